//! Folders for half-done work: removed when dropped, and when a later run finds them abandoned.
//!
//! Each holds a lock file that stays locked for as long as its owner lives; the kernel lets go of
//! it however the owner ends, so a folder whose lock can be taken belongs to nobody any more.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use serde::Serialize;
use tempfile::TempDir;

const LOCK: &str = "lock";
/// A folder without a lock file that is younger than this may be one that is just being made.
const SETTLED: Duration = Duration::from_secs(60);

/// A folder for half-done work.
#[derive(Debug)]
pub struct WorkDir {
    folder: TempDir,
    _lock: File,
}

impl WorkDir {
    /// Makes a folder in `parent` whose name begins with `prefix`, and removes those that dead
    /// runs left there.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn new(parent: &Path, prefix: &str) -> io::Result<WorkDir> {
        sweep(parent, prefix);
        loop {
            let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
            let path = folder.path().join(LOCK);
            let lock = File::create(&path)?;
            lock.lock()?;
            // Another run's sweep may have come between making the file and locking it.
            if path.exists() {
                return Ok(WorkDir {
                    folder,
                    _lock: lock,
                });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new folder inside, `0755` whatever the umask is: it becomes the root of a file system.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }
}

/// Writes a file as JSON that everybody may read, whole or not at all.
///
/// # Errors
/// Its folder cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")?;
    let readable = fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes abandoned folders. What cannot be looked at or removed is another user's.
fn sweep(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(prefix.as_bytes()) {
            continue;
        }
        let path = entry.path();
        if !is_ours(&path) {
            continue;
        }
        match open_lock(&path.join(LOCK)) {
            Ok(lock) => {
                if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
                    remove(&path);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_settled(&path) => {
                remove(&path);
            }
            Err(_) => {}
        }
    }
}

/// In a folder that all may write to, such as `/tmp`, others can make what looks like ours.
fn is_ours(folder: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_dir() && meta.uid() == me)
}

fn open_lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = File::options();
    options.read(true).custom_flags(flags.bits().cast_signed());
    options.open(path)
}

fn remove(path: &Path) {
    tracing::debug!(folder = %path.display(), "removing what a dead run left");
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::debug!("cannot remove {}: {error}", path.display());
    }
}

fn is_settled(folder: &Path) -> bool {
    fs::symlink_metadata(folder)
        .and_then(|meta| meta.modified())
        .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > SETTLED))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_abandoned_folders_are_swept() {
        let parent = tempfile::tempdir().expect("a folder");
        let live = WorkDir::new(parent.path(), "x-").expect("a folder");
        let make = |name: &str| {
            let path = parent.path().join(name);
            fs::create_dir(&path).expect(name);
            path
        };
        let (dead, young, old, other) = (make("x-dead"), make("x-young"), make("x-old"), make("y"));
        File::create(dead.join(LOCK)).expect("a lock");
        let long_ago = SystemTime::now() - 2 * SETTLED;
        for folder in [&old, &other] {
            let handle = File::open(folder).expect("a folder");
            handle.set_modified(long_ago).expect("a time");
        }

        let next = WorkDir::new(parent.path(), "x-").expect("a folder");
        assert!(live.path().exists() && young.exists() && other.exists());
        assert!(!dead.exists() && !old.exists());
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }
}
