//! Repositories on mirrors, and the verification of their indexes.
//!
//! A repository is a base address or folder with `<arch>/APKINDEX.tar.gz` and the packages beside
//! it. Nothing is believed before its signature was verified.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::index::{IndexPackage, parse_index};
use super::keys::{KeyError, KeyRing};
use super::member::read_member;
use super::package::PackageError;
use crate::arch::Arch;

/// The community index of Alpine 3.19 is 2 MB packed and 7 MB unpacked.
pub(super) const INDEX_LIMIT: usize = 128 << 20;

/// A repository, reachable at one of several bases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Addresses or folders above the architecture, in order of preference; never empty.
    pub bases: Vec<String>,
    /// Serves only what is asked for with this tag.
    pub tag: Option<String>,
    /// What it is called, where its bases are copies of it.
    pub alias: Option<String>,
    /// What locks call it, where that does not depend on the mirror: `v3.15/main`.
    pub id: Option<String>,
}

impl Repository {
    /// A repository at one address or folder.
    pub fn at(base: &str) -> Repository {
        Repository {
            bases: vec![base.trim_end_matches('/').to_owned()],
            tag: None,
            alias: None,
            id: None,
        }
    }

    /// What it is called in messages and results.
    pub fn name(&self) -> &str {
        self.alias.as_ref().unwrap_or(&self.bases[0])
    }

    /// What a lock calls it, whichever mirror it is fetched from.
    pub fn id(&self) -> &str {
        self.id.as_ref().unwrap_or(&self.bases[0])
    }

    /// The same with its tag, as a line of `etc/apk/repositories` has it: `@tag v3.15/main`.
    pub fn label(&self) -> String {
        match &self.tag {
            Some(tag) => format!("@{tag} {}", self.id()),
            None => self.id().to_owned(),
        }
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
    /// An index or package that is not one, or is cut short.
    #[error("{url} is damaged: {why}")]
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
                "check the address and the network, or name another mirror or repository"
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
    pub(super) fn is_absence(&self) -> bool {
        matches!(
            self,
            MirrorError::Unreachable { .. } | MirrorError::Missing { .. }
        )
    }
}

/// Where something can be read from.
pub(super) enum Place {
    File(PathBuf),
    Url(String),
}

pub(super) fn place(base: &str, arch: Arch, file: &str) -> Place {
    let joined = format!("{base}/{arch}/{file}");
    if base.starts_with("http://") || base.starts_with("https://") {
        return Place::Url(joined);
    }
    let path = joined.strip_prefix("file://").unwrap_or(&joined);
    Place::File(PathBuf::from(path))
}

/// What bases without the file said; the first has the last word, since it is preferred.
#[derive(Default)]
pub(super) struct Absence {
    first: Option<MirrorError>,
}

impl Absence {
    pub fn note(&mut self, error: MirrorError) {
        tracing::debug!("{error}");
        self.first.get_or_insert(error);
    }

    pub fn into_error(self) -> MirrorError {
        self.first.expect("a repository has at least one base")
    }
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, MirrorError> {
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

pub(super) fn verified_index(
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
