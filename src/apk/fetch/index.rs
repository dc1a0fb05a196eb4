//! Indexes: whole, verified, and never older than the last one.

use tokio::time::timeout;

use super::Fetcher;
use super::download::looks_packed;
use super::http::{Failed, get, shown};
use crate::apk::index::IndexPackage;
use crate::apk::keys::KeyRing;
use crate::apk::mirror::{
    Failures, INDEX_LIMIT, MirrorError, Place, ReadIndex, Repository, place, read_file,
    verified_index,
};
use crate::arch::Arch;

/// A verified index.
#[derive(Debug)]
pub struct SignedIndex {
    /// The packages that it lists.
    pub packages: Vec<IndexPackage>,
    /// When it was made, in seconds since 1970: the time of its entry `APKINDEX`, which Alpine's
    /// `apk index` writes and which is signed with it, or where that is not given, when its newest
    /// package was built. 0 where nothing says.
    pub date: u64,
}

impl SignedIndex {
    fn new(read: ReadIndex) -> SignedIndex {
        let ReadIndex { packages, date } = read;
        SignedIndex { packages, date }
    }
}

impl Fetcher {
    /// The verified index of a repository.
    ///
    /// # Errors
    /// No base has it, it is not signed by a trusted key, it is older than one that the same address
    /// gave before, or it cannot be parsed.
    pub async fn index(
        &self,
        repository: &Repository,
        arch: Arch,
        keys: &KeyRing,
    ) -> Result<SignedIndex, MirrorError> {
        let mut failures = Failures::default();
        for base in self.in_order(repository) {
            match self.index_at(base, arch, keys).await {
                Ok(found) => return Ok(found),
                Err(error) => self.note(&mut failures, repository, base, error)?,
            }
        }
        Err(failures.into_error())
    }

    async fn index_at(
        &self,
        base: &str,
        arch: Arch,
        keys: &KeyRing,
    ) -> Result<SignedIndex, MirrorError> {
        let url = match place(base, arch, "APKINDEX.tar.gz") {
            Place::File(path) => {
                let bytes = read_file(&path)?;
                let read = verified_index(&path.display().to_string(), &bytes, keys)?;
                return Ok(SignedIndex::new(read));
            }
            Place::Url(url) => url,
        };
        let bytes = self.whole(&url).await?;
        let read = verified_index(&shown(&url), &bytes, keys)?;
        self.check_age(&shown(&url), read.date)?;
        Ok(SignedIndex::new(read))
    }

    /// Sees that a mirror does not go back in time.
    fn check_age(&self, url: &str, date: u64) -> Result<(), MirrorError> {
        match self.store.saw(url, date) {
            Ok(None) => Ok(()),
            Ok(Some((newest, memory))) => Err(MirrorError::Older {
                url: url.to_owned(),
                date,
                newest,
                memory,
            }),
            Err(error) => {
                tracing::debug!("cannot note the date of {url}: {error}");
                Ok(())
            }
        }
    }

    /// A whole index in memory, bounded.
    async fn whole(&self, url: &str) -> Result<Vec<u8>, MirrorError> {
        let mut attempt = 0;
        loop {
            self.limits.pause(attempt).await;
            match timeout(self.limits.index, self.whole_once(url)).await {
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(Failed::Lasting(error))) => return Err(error),
                Ok(Err(Failed::Passing(error))) => {
                    attempt += 1;
                    if attempt >= self.limits.attempts {
                        return Err(error);
                    }
                    tracing::debug!("{error}; once more");
                }
                Err(_) => {
                    let limit = self.limits.index.as_secs_f64();
                    return Err(MirrorError::Unreachable {
                        url: shown(url),
                        why: format!("it did not end within {limit} s"),
                    });
                }
            }
        }
    }

    async fn whole_once(&self, url: &str) -> Result<Vec<u8>, Failed> {
        let mut answer = get(&self.http, url, 0, &self.limits).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if bytes.is_empty() {
                looks_packed(url, &chunk).map_err(Failed::Lasting)?;
            }
            bytes.extend_from_slice(&chunk);
            if bytes.len() > INDEX_LIMIT {
                return Err(Failed::Lasting(MirrorError::Damaged {
                    url: shown(url),
                    why: format!("it does not end after {INDEX_LIMIT} bytes"),
                }));
            }
        }
        Ok(bytes)
    }
}
