//! Downloads that are not whole yet.
//!
//! One lies under the checksum of what it is to become, not under an address: whichever mirror goes
//! on with it, the checksum says at the end whether all of it belongs together.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const SUFFIX: &str = ".part";
/// Who has not gone on by then will not: a week of nightly runs.
const KEPT_FOR: Duration = Duration::from_secs(7 * 86_400);

/// An unfinished download. Until it is dropped, no other process writes to it.
#[derive(Debug)]
pub struct Partial {
    file: File,
    path: PathBuf,
    /// Nobody goes on with it.
    is_private: bool,
}

/// What became of asking for one.
#[derive(Debug)]
pub enum Opened {
    /// It is this process's.
    Ours(Partial),
    /// Another download of the same is under way and has so many bytes.
    Theirs(u64),
}

impl Partial {
    pub(super) fn open(folder: &Path, name: &str) -> io::Result<Opened> {
        let path = folder.join(format!("{name}{SUFFIX}"));
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(Opened::Theirs(file.metadata()?.len())),
                Err(TryLockError::Error(error)) => return Err(error),
                // Whoever had it may have put it in its place, or removed it.
                Ok(()) if !is_at(&file, &path)? => {}
                Ok(()) => {
                    return Ok(Opened::Ours(Partial {
                        file,
                        path,
                        is_private: false,
                    }));
                }
            }
        }
    }

    pub(super) fn private(folder: &Path, name: &str) -> io::Result<Partial> {
        loop {
            let made = tempfile::Builder::new()
                .prefix(&format!("{name}."))
                .suffix(SUFFIX)
                .permissions(fs::Permissions::from_mode(0o644))
                .tempfile_in(folder)?;
            let (file, path) = made.keep().map_err(|error| error.error)?;
            file.lock()?;
            // Another process's sweep may have come before the lock.
            if is_at(&file, &path)? {
                return Ok(Partial {
                    file,
                    path,
                    is_private: true,
                });
            }
        }
    }

    /// Its bytes.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it: what is in it is of no use.
    pub fn discard(self) {
        remove(&self.path);
    }

    /// Gives it its name, and returns its size in bytes.
    pub(super) fn place(mut self, path: &Path) -> io::Result<u64> {
        // A file that has its name is whole, even when the machine goes down.
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        self.is_private = false;
        Ok(self.file.metadata()?.len())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let is_empty = self.file.metadata().is_ok_and(|meta| meta.len() == 0);
        // A placed one is not at this path any more.
        if (self.is_private || is_empty) && is_at(&self.file, &self.path).unwrap_or(false) {
            remove(&self.path);
        }
    }
}

/// Whether a path still leads to this file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok((meta.dev(), meta.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what dead runs left and nobody will go on with.
pub(super) fn sweep(folder: &Path) {
    sweep_older(folder, KEPT_FOR);
}

/// Removes what no process holds and nobody has gone on with for that long, and says how many bytes
/// are left.
pub(super) fn sweep_older(folder: &Path, kept_for: Duration) -> u64 {
    let mut left = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_private = name.trim_end_matches(SUFFIX).contains('.');
        let Ok(meta) = entry.metadata() else {
            // It has got its place meanwhile.
            continue;
        };
        let last = meta.modified().unwrap_or_else(|_| SystemTime::now());
        let is_old = last.elapsed().is_ok_and(|age| age > kept_for);
        if is_private || is_old {
            // Under its lock: whoever opens it meanwhile sees that it is gone.
            let lock = File::open(&path);
            if lock.as_ref().is_ok_and(|lock| lock.try_lock().is_ok()) {
                remove(&path);
                continue;
            }
        }
        left += meta.len();
    }
    left
}

/// How many bytes all of them have.
pub(super) fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| Some(entry.metadata().ok()?.len()));
    sizes.sum()
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!("cannot remove {}: {error}", path.display());
    }
}
