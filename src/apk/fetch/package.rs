//! Packages: from a folder, out of the store, or from the first mirror that gives what the index says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::Fetcher;
use super::download::{Came, Download, Wanted};
use super::http::{Failed, shown};
use super::watch::Event;
use crate::apk::index::{Checksum, IndexPackage};
use crate::apk::keys::KeyRing;
use crate::apk::mirror::{Failures, MirrorError, Place, Repository, place};
use crate::apk::package::{Package, PackageError};
use crate::apk::store::{Opened, Partial};
use crate::arch::Arch;

/// How often another process's download of the same package is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Where a download begins.
enum Begin {
    /// Another process has finished it.
    Stored(PathBuf),
    Partial(Partial),
}

impl Fetcher {
    /// The package with this checksum, if the store has it and it is still whole; no mirror is asked.
    pub async fn stored(&self, checksum: &Checksum, keys: &KeyRing) -> Option<PathBuf> {
        let path = self.store.claim(checksum)?;
        let (file, checksum, keys) = (path.clone(), *checksum, keys.clone());
        let opened = spawn_blocking(move || Package::open(&file, &checksum, &keys).map(drop));
        match opened.await.expect("verifying does not panic") {
            Ok(()) => Some(path),
            Err(error) => {
                tracing::debug!("the store has it and it cannot be used: {error}");
                let is_damaged = matches!(
                    error,
                    PackageError::Damaged { .. }
                        | PackageError::Checksum { .. }
                        | PackageError::DataHash { .. }
                );
                if is_damaged {
                    let _ = std::fs::remove_file(&path);
                }
                None
            }
        }
    }

    /// Whether a package need not be fetched over a network, as far as a look at names tells.
    pub fn is_here(&self, repository: &Repository, arch: Arch, package: &IndexPackage) -> bool {
        in_first_folder(repository, arch, package).is_some()
            || self.store.path(&package.checksum).is_file()
    }

    /// A file with the package: in the mirror's folder, where it is verified when it is unpacked, or in
    /// the store, where nothing else is.
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
        let _slot = self.slots.acquire().await.expect("it is never closed");
        if let Some(path) = in_first_folder(repository, arch, package) {
            return Ok(path);
        }
        if let Some(path) = self.stored(&package.checksum, keys).await {
            return Ok(path);
        }
        let wanted = Wanted {
            file: &package.file_name(),
            checksum: package.checksum,
            size: package.size,
            keys,
        };
        let mut failures = Failures::default();
        for base in self.in_order(repository) {
            let found = match place(base, arch, wanted.file) {
                Place::File(path) => in_folder(path, package.size),
                Place::Url(url) => self.download(&url, &wanted).await,
            };
            match found {
                Ok(path) => return Ok(path),
                Err(error) => self.note(&mut failures, repository, base, error)?,
            }
        }
        Err(failures.into_error())
    }

    /// A package from one address into the store.
    async fn download(&self, url: &str, wanted: &Wanted<'_>) -> Result<PathBuf, MirrorError> {
        let partial = match self.begin(wanted).await? {
            Begin::Stored(path) => return Ok(path),
            Begin::Partial(partial) => partial,
        };
        let mut download = Download::new(wanted, partial, &self.watch)?;
        let mut attempt = 0;
        loop {
            self.limits.pause(attempt).await;
            download.resume()?;
            match download.attempt(&self.http, url, &self.limits).await {
                Ok(Came::Whole) => return self.keep(download.into_partial(), wanted).await,
                Ok(Came::Mixed) => tracing::debug!("{}: once more from its start", shown(url)),
                Err(Failed::Lasting(error)) => return Err(error),
                Err(Failed::Passing(error)) => {
                    attempt += 1;
                    if attempt >= self.limits.attempts {
                        return Err(error);
                    }
                    tracing::debug!("{error}; once more");
                }
            }
        }
    }

    /// Waits for whoever downloads the same, as long as that goes on.
    async fn begin(&self, wanted: &Wanted<'_>) -> Result<Begin, MirrorError> {
        let failed = |source| self.unwritable(&wanted.checksum, source);
        let mut grown = (0, Instant::now());
        loop {
            let bytes = match self.store.partial(&wanted.checksum).map_err(failed)? {
                Opened::Theirs(bytes) => bytes,
                Opened::Ours(partial) => {
                    return Ok(match self.stored(&wanted.checksum, wanted.keys).await {
                        Some(path) => {
                            self.watch.tell(Event::Came(wanted.size));
                            Begin::Stored(path)
                        }
                        None => Begin::Partial(partial),
                    });
                }
            };
            if bytes != grown.0 {
                grown = (bytes, Instant::now());
            } else if grown.1.elapsed() > self.limits.silence {
                // It was stopped, or is as good as dead.
                let private = self.store.private_partial(wanted.file).map_err(failed)?;
                return Ok(Begin::Partial(private));
            }
            sleep(LOOK).await;
        }
    }

    async fn keep(&self, partial: Partial, wanted: &Wanted<'_>) -> Result<PathBuf, MirrorError> {
        let (store, checksum) = (self.store.clone(), wanted.checksum);
        // It waits for the disk.
        spawn_blocking(move || store.keep(partial, &checksum))
            .await
            .expect("writing does not panic")
            .map_err(|source| self.unwritable(&checksum, source))
    }

    fn unwritable(&self, checksum: &Checksum, source: std::io::Error) -> MirrorError {
        MirrorError::Store {
            path: self.store.path(checksum),
            source,
        }
    }
}

/// The package in the repository's folder, where the first base is one: nothing is gained by a copy.
fn in_first_folder(repository: &Repository, arch: Arch, package: &IndexPackage) -> Option<PathBuf> {
    match place(repository.bases.first()?, arch, &package.file_name()) {
        Place::File(path) => in_folder(path, package.size).ok(),
        Place::Url(_) => None,
    }
}

/// A package in a folder, if it has the length that the index says; the rest is verified when it is
/// unpacked.
fn in_folder(path: PathBuf, size: u64) -> Result<PathBuf, MirrorError> {
    let url = |path: &Path| path.display().to_string();
    match std::fs::metadata(&path) {
        Ok(meta) if meta.len() == size => Ok(path),
        Ok(meta) => Err(MirrorError::Damaged {
            url: url(&path),
            why: format!(
                "it has {} bytes, not the {size} bytes that are listed for it",
                meta.len()
            ),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(MirrorError::Missing {
            url: url(&path),
            status: None,
        }),
        Err(error) => Err(MirrorError::Unreachable {
            url: url(&path),
            why: error.to_string(),
        }),
    }
}
