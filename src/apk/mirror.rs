//! Repositories on mirrors: fetching and verifying their indexes and packages.
//!
//! A repository is a base address or folder with `<arch>/APKINDEX.tar.gz` and the packages beside
//! it. Nothing is believed before its signature or checksum was verified; a mirror that does not
//! answer is passed over for the next one, a mirror that lies is an error.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::io::AsyncWriteExt as _;

use super::index::{IndexPackage, parse_index};
use super::keys::{KeyError, KeyRing};
use super::member::read_member;
use super::package::{Package, PackageError};
use super::store::Store;
use crate::arch::Arch;

/// The community index of Alpine 3.19 is 2 MB packed and 7 MB unpacked.
const INDEX_LIMIT: usize = 128 << 20;
/// How long a mirror may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a mirror may be silent in the middle of an answer.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one index or package may take in all: a trickle is not an answer.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(600);
/// Tries a mirror gets before the next one is asked.
const ATTEMPTS: u32 = 3;

/// A repository, reachable at one of several bases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Addresses or folders above the architecture, in order of preference; never empty.
    pub bases: Vec<String>,
    /// Serves only what is asked for with this tag.
    pub tag: Option<String>,
}

impl Repository {
    /// A repository at one address or folder.
    pub fn at(base: &str) -> Repository {
        Repository {
            bases: vec![base.trim_end_matches('/').to_owned()],
            tag: None,
        }
    }

    /// What it is called in messages and results.
    pub fn name(&self) -> &str {
        &self.bases[0]
    }
}

/// A repository that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// No answer, or one that broke off.
    #[error("cannot fetch {url}: {why}")]
    Unreachable {
        /// Address or file.
        url: String,
        /// Why.
        why: String,
    },
    /// The mirror says that it has no such file.
    #[error("cannot fetch {url}: there is no such file{}", status.map(|status| format!(" (HTTP {status})")).unwrap_or_default())]
    Missing {
        /// Address or file.
        url: String,
        /// The status, where the mirror speaks HTTP.
        status: Option<u16>,
    },
    /// An index that is not one.
    #[error("the index {url} is damaged: {why}")]
    Damaged {
        /// Address or file.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// An index that nobody trusted has signed.
    #[error("cannot trust the index {url}: {source}")]
    Untrusted {
        /// Address or file.
        url: String,
        /// Why.
        source: KeyError,
    },
    /// A package that is not the one the index lists.
    #[error("{source} (from {url})")]
    Package {
        /// Address or file.
        url: String,
        /// Why.
        source: Box<PackageError>,
    },
    /// The store of packages cannot be written.
    #[error("cannot write the package store {path}: {source}")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl MirrorError {
    /// What to do next.
    pub fn advice(&self) -> String {
        match self {
            MirrorError::Unreachable { .. } => {
                "check the address and the network, or name another mirror with --mirror URL|DIR"
            }
            MirrorError::Missing { .. } => {
                "check release, repository and architecture: indexes lie at <mirror>/v<alpine>/<repository>/<arch>/APKINDEX.tar.gz; a mirror of one's own is named with --mirror, one repository with --repository"
            }
            MirrorError::Damaged { .. } | MirrorError::Package { .. } => {
                "nothing of it was used; try another mirror, and tell the mirror's owner if it stays"
            }
            MirrorError::Untrusted { .. } => {
                "if the signer can be trusted, put its public key (*.rsa.pub) into a folder and name that with --keys-dir"
            }
            MirrorError::Store { .. } => {
                "make the folder writable, or set XDG_CACHE_HOME to one that is"
            }
        }
        .to_owned()
    }

    /// Whether another mirror may do better.
    fn is_absence(&self) -> bool {
        matches!(
            self,
            MirrorError::Unreachable { .. } | MirrorError::Missing { .. }
        )
    }
}

/// Fetches from mirrors.
#[derive(Debug, Clone)]
pub struct Fetcher {
    http: reqwest::Client,
    store: Store,
}

/// Where something can be read from.
enum Place {
    File(PathBuf),
    Url(String),
}

fn place(base: &str, arch: Arch, file: &str) -> Place {
    let joined = format!("{base}/{arch}/{file}");
    if base.starts_with("http://") || base.starts_with("https://") {
        return Place::Url(joined);
    }
    let path = joined.strip_prefix("file://").unwrap_or(&joined);
    Place::File(PathBuf::from(path))
}

impl Fetcher {
    /// A fetcher that keeps packages in `store`. A proxy is taken from the environment.
    ///
    /// # Errors
    /// The system's trusted certificates cannot be loaded.
    pub fn new(store: Store) -> Result<Fetcher, MirrorError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .user_agent(concat!("alpine-ami/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| MirrorError::Unreachable {
                url: "any https mirror".to_owned(),
                why: deepest(&error),
            })?;
        Ok(Fetcher { http, store })
    }

    /// The verified index of a repository.
    ///
    /// # Errors
    /// No base has it, it is not signed by a trusted key, or it cannot be parsed.
    pub async fn index(
        &self,
        repository: &Repository,
        arch: Arch,
        keys: &KeyRing,
    ) -> Result<Vec<IndexPackage>, MirrorError> {
        let mut absence = Absence::default();
        for base in &repository.bases {
            match self.index_at(base, arch, keys).await {
                Err(error) if error.is_absence() => absence.note(error),
                other => return other,
            }
        }
        Err(absence.into_error())
    }

    async fn index_at(
        &self,
        base: &str,
        arch: Arch,
        keys: &KeyRing,
    ) -> Result<Vec<IndexPackage>, MirrorError> {
        let place = place(base, arch, "APKINDEX.tar.gz");
        let bytes = match &place {
            Place::File(path) => read_file(path)?,
            Place::Url(url) => self.download(url).await?,
        };
        let url = match place {
            Place::File(path) => path.display().to_string(),
            Place::Url(url) => url,
        };
        verified_index(&url, &bytes, keys)
    }

    /// A file with the verified package: in the mirror's folder, or in the store.
    ///
    /// # Errors
    /// No base has it, or what a base gives is not what the index lists.
    pub async fn package(
        &self,
        repository: &Repository,
        arch: Arch,
        package: &IndexPackage,
        keys: &KeyRing,
    ) -> Result<PathBuf, MirrorError> {
        let stored = self.store.path(&package.checksum);
        if stored.is_file() && Package::open(&stored, &package.checksum, keys).is_ok() {
            return Ok(stored);
        }
        let mut absence = Absence::default();
        for base in &repository.bases {
            let found = match place(base, arch, &package.file_name()) {
                Place::File(path) if path.is_file() => Ok(path),
                Place::File(path) => Err(MirrorError::Missing {
                    url: path.display().to_string(),
                    status: None,
                }),
                Place::Url(url) => self
                    .store_package(&url, package, &stored, keys)
                    .await
                    .map(|()| stored.clone()),
            };
            match found {
                Err(error) if error.is_absence() => absence.note(error),
                other => return other,
            }
        }
        Err(absence.into_error())
    }

    async fn store_package(
        &self,
        url: &str,
        package: &IndexPackage,
        stored: &Path,
        keys: &KeyRing,
    ) -> Result<(), MirrorError> {
        let store_error = |source| MirrorError::Store {
            path: stored.to_owned(),
            source,
        };
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            pause(attempt).await;
            let incoming = self.store.incoming(stored).map_err(store_error)?;
            match self.save(url, incoming.path(), package.size).await {
                Ok(()) => {}
                Err(error @ MirrorError::Unreachable { .. }) => {
                    last = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            Package::open(incoming.path(), &package.checksum, keys).map_err(|source| {
                MirrorError::Package {
                    url: url.to_owned(),
                    source: Box::new(source),
                }
            })?;
            return self.store.keep(incoming, stored).map_err(store_error);
        }
        Err(last.expect("there was at least one attempt"))
    }

    /// Streams a package to disk; one longer than its index says is cut off at once.
    async fn save(&self, url: &str, path: &Path, size: u64) -> Result<(), MirrorError> {
        let store_error = |source| MirrorError::Store {
            path: path.to_owned(),
            source,
        };
        let mut answer = self.get(url).await?;
        let mut file = tokio::fs::File::create(path).await.map_err(store_error)?;
        let mut written = 0;
        while let Some(chunk) = answer.chunk().await.map_err(|e| broken(url, &e))? {
            written += chunk.len() as u64;
            if written > size {
                break;
            }
            file.write_all(&chunk).await.map_err(store_error)?;
        }
        file.flush().await.map_err(store_error)?;
        if written != size {
            let relation = if written > size { "more than" } else { "not" };
            let why = format!("it has {relation} the {size} bytes that its index says");
            return Err(MirrorError::Damaged {
                url: url.to_owned(),
                why,
            });
        }
        Ok(())
    }

    /// A whole answer in memory, bounded.
    async fn download(&self, url: &str) -> Result<Vec<u8>, MirrorError> {
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            pause(attempt).await;
            match self.download_once(url).await {
                Err(error @ MirrorError::Unreachable { .. }) => last = Some(error),
                other => return other,
            }
        }
        Err(last.expect("there was at least one attempt"))
    }

    async fn download_once(&self, url: &str) -> Result<Vec<u8>, MirrorError> {
        let mut answer = self.get(url).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| broken(url, &e))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > INDEX_LIMIT {
                return Err(MirrorError::Damaged {
                    url: url.to_owned(),
                    why: format!("it does not end after {INDEX_LIMIT} bytes"),
                });
            }
        }
        Ok(bytes)
    }

    async fn get(&self, url: &str) -> Result<reqwest::Response, MirrorError> {
        let answer = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|error| broken(url, &error))?;
        let url = || url.to_owned();
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => {
                let status = Some(answer.status().as_u16());
                Err(MirrorError::Missing { url: url(), status })
            }
            status => {
                let why = format!("the mirror answered HTTP {status}");
                Err(MirrorError::Unreachable { url: url(), why })
            }
        }
    }
}

/// What bases without the file said; the first has the last word, since it is preferred.
#[derive(Default)]
struct Absence {
    first: Option<MirrorError>,
}

impl Absence {
    fn note(&mut self, error: MirrorError) {
        tracing::debug!("{error}");
        self.first.get_or_insert(error);
    }

    fn into_error(self) -> MirrorError {
        self.first.expect("a repository has at least one base")
    }
}

/// Waits before a further attempt: 0, then about 0.5 s, then about 1 s.
async fn pause(attempt: u32) {
    if attempt > 0 {
        tokio::time::sleep(Duration::from_millis(500) * attempt).await;
    }
}

fn broken(url: &str, error: &reqwest::Error) -> MirrorError {
    MirrorError::Unreachable {
        url: url.to_owned(),
        why: deepest(error),
    }
}

/// The innermost cause: "connection refused" says more than "error sending request".
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn read_file(path: &Path) -> Result<Vec<u8>, MirrorError> {
    let url = path.display().to_string();
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(INDEX_LIMIT as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MirrorError::Missing { url, status: None },
        _ => MirrorError::Unreachable {
            url,
            why: error.to_string(),
        },
    })
}

fn verified_index(
    url: &str,
    bytes: &[u8],
    keys: &KeyRing,
) -> Result<Vec<IndexPackage>, MirrorError> {
    let damaged = |why: String| MirrorError::Damaged {
        url: url.to_owned(),
        why,
    };
    let untrusted = |source| MirrorError::Untrusted {
        url: url.to_owned(),
        source,
    };
    let mut reader = bytes;
    let signature =
        read_member(&mut reader, INDEX_LIMIT).map_err(|error| damaged(error.to_string()))?;
    if !signature.content.starts_with(b".SIGN.") {
        return Err(untrusted(KeyError::Unsigned));
    }
    keys.verify(&signature, reader).map_err(untrusted)?;
    let index =
        read_member(&mut reader, INDEX_LIMIT).map_err(|error| damaged(error.to_string()))?;
    if !reader.is_empty() {
        return Err(damaged("there is more after its end".to_owned()));
    }
    let text = index_text(&index.content).map_err(|error| damaged(error.to_string()))?;
    parse_index(&text).map_err(|error| damaged(error.to_string()))
}

fn index_text(content: &[u8]) -> io::Result<String> {
    for entry in tar::Archive::new(content).entries()? {
        let mut entry = entry?;
        if entry.path_bytes().as_ref() == b"APKINDEX" {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            return Ok(text);
        }
    }
    Err(io::Error::other("there is no APKINDEX in it"))
}
