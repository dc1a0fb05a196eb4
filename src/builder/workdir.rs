//! The folder that a build works in, inside its output folder, so that finished files are only
//! renamed. It goes away with the build; what a killed build left is swept by the next one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

const PREFIX: &str = ".alpine-ami-build-";
/// Held locked while the build lives: the kernel lets go of it however the build ends.
const LOCK: &str = "lock";

/// A folder for half-done work.
#[derive(Debug)]
pub struct WorkDir {
    dir: tempfile::TempDir,
    _lock: File,
}

impl WorkDir {
    /// A new folder in `out`, which is made where it is missing; dead builds' folders are removed.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn new(out: &Path) -> io::Result<WorkDir> {
        fs::create_dir_all(out)?;
        sweep(out)?;
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(out)?;
        let lock = File::create(dir.path().join(LOCK))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(WorkDir { dir, _lock: lock })
    }

    /// A new folder inside.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join(name);
        fs::create_dir(&path)?;
        // It becomes the root of a file system, whatever the caller's umask is.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// The path of a file inside.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn sweep(out: &Path) -> io::Result<()> {
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Without a lock file a build has only just begun or was killed then: an empty folder is
        // no loss, and a live one is not empty for long.
        let alive = match File::open(entry.path().join(LOCK)) {
            Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err(),
            Err(_) => fs::remove_dir(entry.path()).is_err(),
        };
        if !alive && entry.path().exists() {
            tracing::info!(
                "removing what a dead build left: {}",
                entry.path().display()
            );
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_builds_are_swept_and_live_ones_are_not() {
        let out = tempfile::tempdir().expect("a folder");
        let live = WorkDir::new(out.path()).expect("a work folder");
        let dead = out.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).expect("a dead folder");
        fs::write(dead.join(LOCK), "").expect("its lock");
        let other = WorkDir::new(out.path()).expect("another");
        assert!(!dead.exists());
        assert!(live.dir.path().exists() && other.dir.path().exists());
        let path = live.dir.path().to_owned();
        drop(live);
        assert!(!path.exists());
    }
}
