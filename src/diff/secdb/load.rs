//! Reading security databases from files, folders and web servers.

use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::Secdb;
use crate::web::{self, WebError};

/// No database has more bytes: that of the largest branch has one million.
const MOST_BYTES: usize = 16 << 20;
/// What Alpine has databases of.
const REPOSITORIES: [&str; 2] = ["main", "community"];

/// A security database that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecdbError {
    /// It cannot be read.
    #[error("cannot read the security database {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder without any.
    #[error("the folder {0} holds no security database: nothing in it is called *.json")]
    Empty(PathBuf),
    /// It is none.
    #[error("{place} is no security database of Alpine's: {why}")]
    Unreadable {
        /// The file or address.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The address is none that a database can be at.
    #[error("`{text}` is no address of a security database: {why}")]
    Address {
        /// What was read.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A web server does not give it.
    #[error("the security database cannot be fetched: {0}")]
    Web(#[from] WebError),
    /// An address is for every branch, and the image does not tell its own.
    #[error(
        "which branch's database to fetch from {url} is not known: the image does not tell its Alpine release"
    )]
    NoBranch {
        /// The address.
        url: String,
    },
}

impl SecdbError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            SecdbError::Read { .. } | SecdbError::Empty(_) | SecdbError::Unreadable { .. } => {
                "name a file such as https://secdb.alpinelinux.org/v3.15/main.json, or a folder of them; \
                 without --secdb and [diff] secdb everything else is compared"
            }
            SecdbError::Address { .. } => {
                "write https://…/main.json, or https://…/ with v3.15/main.json below it, or a path"
            }
            SecdbError::Web(_) => {
                "check the address, the network and a proxy, or fetch the file and name it; \
                 without --secdb and [diff] secdb everything else is compared"
            }
            SecdbError::NoBranch { .. } => "name the databases themselves: https://…/v3.15/main.json",
        }
        .to_owned())
    }

    /// Whether the user named something that is not there or is no database.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, SecdbError::Web(_))
    }
}

impl Secdb {
    /// Reads the databases of a branch (`v3.15`) from files, folders and addresses. Of a folder, every
    /// `*.json` is read in it and in its folder of the branch's name.
    ///
    /// # Errors
    /// One of them cannot be read, or is none.
    pub async fn load(sources: &[String], branch: Option<&str>) -> Result<Secdb, SecdbError> {
        let mut secdb = Secdb::default();
        for source in sources {
            match is_address(source) {
                true => fetch(&mut secdb, source, branch).await?,
                false => read(&mut secdb, Path::new(source), branch)?,
            }
        }
        Ok(secdb)
    }

    fn take(&mut self, place: &str, bytes: &[u8]) -> Result<(), SecdbError> {
        // The words of an error may be those of the file, which anybody may have written.
        self.add(bytes).map_err(|error| SecdbError::Unreadable {
            place: place.to_owned(),
            why: web::printable(&error.to_string()),
        })
    }
}

/// Whether a source is on a web server and not on this machine.
pub fn is_address(source: &str) -> bool {
    source.contains("://")
}

fn read(secdb: &mut Secdb, path: &Path, branch: Option<&str>) -> Result<(), SecdbError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SecdbError::Read { path, source }
    };
    if !std::fs::metadata(path).map_err(failed(path))?.is_dir() {
        let bytes = bytes(path).map_err(failed(path))?;
        return secdb.take(&path.display().to_string(), &bytes);
    }
    let mut files = databases(path).map_err(failed(path))?;
    if let Some(branch) = branch.filter(|branch| !branch.contains('/')) {
        let below = path.join(branch);
        files.extend(databases(&below).map_err(failed(&below))?);
    }
    if files.is_empty() {
        return Err(SecdbError::Empty(path.to_owned()));
    }
    for file in files {
        let bytes = bytes(&file).map_err(failed(&file))?;
        secdb.take(&file.display().to_string(), &bytes)?;
    }
    Ok(())
}

/// The `*.json` of a folder, sorted; none where there is no such folder.
fn databases(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|name| name == "json") && path.is_file());
    paths.sort();
    Ok(paths)
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > MOST_BYTES {
        true => Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it has more than {MOST_BYTES} bytes"),
        )),
        false => Ok(bytes),
    }
}

async fn fetch(secdb: &mut Secdb, source: &str, branch: Option<&str>) -> Result<(), SecdbError> {
    let base = web::address(source).map_err(|why| SecdbError::Address {
        text: source.to_owned(),
        why,
    })?;
    let http = web::client(&base)?;
    for url in addresses(&base, branch)? {
        let found = web::fetch(&http, &url, MOST_BYTES).await?;
        let bytes = found.ok_or_else(|| WebError {
            url: url.clone(),
            why: "there is no such file".to_owned(),
        })?;
        secdb.take(&url, &bytes)?;
    }
    Ok(())
}

/// The address of one database, or those of a branch below one that ends in `/`.
fn addresses(base: &Url, branch: Option<&str>) -> Result<Vec<String>, SecdbError> {
    if !base.path().ends_with('/') {
        return Ok(vec![base.to_string()]);
    }
    let url = base.to_string();
    // A branch is what an image says of itself; of anything else no address is made.
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let good = branch.filter(|branch| branch.bytes().all(is_letter) && !branch.starts_with('.'));
    let branch = good.ok_or(SecdbError::NoBranch { url })?;
    let one = |repository| format!("{base}{branch}/{repository}.json");
    Ok(REPOSITORIES.map(one).to_vec())
}
