//! Fetching indexes and packages from mirrors: bounded in size and time, verified on the way.
//!
//! A mirror that does not answer is passed over for the next one; a mirror that lies is an error.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::io::AsyncWriteExt as _;

use super::index::IndexPackage;
use super::keys::KeyRing;
use super::mirror::{
    Absence, INDEX_LIMIT, MirrorError, Place, Repository, place, read_file, verified_index,
};
use super::package::Package;
use super::store::Store;
use crate::arch::Arch;
use crate::causes::deepest;

/// How long a mirror may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a mirror may be silent in the middle of an answer.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one index or package may take in all: a trickle is not an answer.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(600);
/// Tries a mirror gets before the next one is asked.
const ATTEMPTS: u32 = 3;

/// Fetches from mirrors.
#[derive(Debug, Clone)]
pub struct Fetcher {
    http: reqwest::Client,
    store: Store,
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

    /// Where it keeps packages.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The verified index of a repository, and its bytes as they were signed.
    ///
    /// # Errors
    /// No base has it, it is not signed by a trusted key, or it cannot be parsed.
    pub async fn index(
        &self,
        repository: &Repository,
        arch: Arch,
        keys: &KeyRing,
    ) -> Result<(Vec<u8>, Vec<IndexPackage>), MirrorError> {
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
    ) -> Result<(Vec<u8>, Vec<IndexPackage>), MirrorError> {
        let place = place(base, arch, "APKINDEX.tar.gz");
        let bytes = match &place {
            Place::File(path) => read_file(path)?,
            Place::Url(url) => self.download(url).await?,
        };
        let url = match place {
            Place::File(path) => path.display().to_string(),
            Place::Url(url) => url,
        };
        let packages = verified_index(&url, &bytes, keys)?;
        Ok((bytes, packages))
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
            let folder = self.store.incoming().map_err(store_error)?;
            let incoming = folder.path().join("incoming.apk");
            match self.save(url, &incoming, package.size).await {
                Ok(()) => {}
                Err(error @ MirrorError::Unreachable { .. }) => {
                    last = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            Package::open(&incoming, &package.checksum, keys).map_err(|source| {
                MirrorError::Package {
                    url: url.to_owned(),
                    source: Box::new(source),
                }
            })?;
            return self.store.keep(&incoming, stored).map_err(store_error);
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
