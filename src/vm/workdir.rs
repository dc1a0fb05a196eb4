//! The folder of one running machine, and the removal of those that dead runs left.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

const PREFIX: &str = "alpine-ami-vm-";
const LOCK: &str = "lock";
/// A folder younger than this may not have been locked yet by the run that makes it.
const SETTLED: Duration = Duration::from_secs(60);

/// A folder for sockets and firmware variables, removed when dropped.
///
/// Its lock is held as long as this program lives, so that a later run sees which folders
/// belong to nobody any more.
#[derive(Debug)]
pub struct WorkDir {
    folder: TempDir,
    _lock: File,
}

impl WorkDir {
    /// Makes a folder under `parent` (short, since socket paths have 107 bytes at most) and
    /// removes the ones there that dead runs left.
    pub fn create(parent: &Path) -> io::Result<WorkDir> {
        sweep(parent);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(WorkDir {
            folder,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes abandoned folders. What cannot be looked at or removed is another user's.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        if ours && is_abandoned(&entry.path()) {
            tracing::debug!(folder = %entry.path().display(), "removing what a dead run left");
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(folder: &PathBuf) -> bool {
    let settled = std::fs::symlink_metadata(folder)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > SETTLED));
    if !settled {
        return false;
    }
    match File::open(folder.join(LOCK)) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn age(folder: &Path) {
        let long_ago = SystemTime::now() - 2 * SETTLED;
        File::open(folder)
            .and_then(|folder| folder.set_modified(long_ago))
            .expect("set");
    }

    #[test]
    fn only_abandoned_folders_are_swept() {
        let parent = tempfile::tempdir().expect("a folder");
        let live = WorkDir::create(parent.path()).expect("a folder");
        let dead = parent.path().join(format!("{PREFIX}dead"));
        let young = parent.path().join(format!("{PREFIX}young"));
        let other = parent.path().join("other");
        for folder in [&dead, &young, &other] {
            std::fs::create_dir(folder).expect("made");
        }
        File::create(dead.join(LOCK)).expect("made");
        for folder in [live.path(), &dead, &other] {
            age(folder);
        }

        let next = WorkDir::create(parent.path()).expect("a folder");

        assert!(live.path().exists() && young.exists() && other.exists());
        assert!(!dead.exists());
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }
}
