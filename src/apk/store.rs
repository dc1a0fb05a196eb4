//! What was downloaded, by its checksum, in the user's cache folder.
//!
//! ```text
//! ab/abcdef….apk     packages, by the checksum that indexes and locks give them
//! partial/….part     downloads that are not whole yet; the next run goes on with them
//! seen/….json        the newest index that each address has given
//! in-use/…           a list for each process that is running: what it needs
//! lock               held for the moments in which files come under these names or go
//! ```
//!
//! Nothing has a name in the first before it was verified: it is written below `partial` and
//! renamed. A process that is killed leaves locks that are gone with it, lists that the next one
//! removes, and downloads that the next one goes on with. Together, all of it takes no more than a
//! limit: unfinished downloads that no process holds go first, then what was not used for the longest
//! time, and never what a process that is running has asked for.

mod evict;
mod in_use;
mod partial;
mod seen;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use self::in_use::InUse;
pub use self::partial::{Opened, Partial};
use super::index::Checksum;

/// What a store may take where nobody says otherwise, in bytes: the packages of some sixty images that
/// have none in common. Mirrors drop old packages; the store is what old locks are built from.
pub const USUAL_LIMIT: u64 = 20 << 30;

/// The folder of what was downloaded. Clones are the same store and the same user of it.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    /// Bytes of packages and unfinished downloads.
    limit: u64,
    /// What this process needs of it.
    in_use: Mutex<Option<InUse>>,
    /// Bytes that were there when somebody last looked, and what came since.
    taken: Mutex<Option<u64>>,
}

impl Store {
    /// The store in `dir`, which is made when something is put there.
    pub fn new(dir: PathBuf) -> Store {
        Store::with_limit(dir, USUAL_LIMIT)
    }

    /// A store of at most `limit` bytes.
    pub fn with_limit(dir: PathBuf, limit: u64) -> Store {
        Store(Arc::new(Inner {
            dir,
            limit,
            in_use: Mutex::default(),
            taken: Mutex::default(),
        }))
    }

    /// The store of this user: `$XDG_CACHE_HOME/alpine-ami/packages`, else below `~/.cache`.
    pub fn of_user() -> Store {
        Store::new(Store::user_dir())
    }

    /// Where the store of this user is.
    pub fn user_dir() -> PathBuf {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = var("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(var("HOME")?).join(".cache")))
            .unwrap_or_else(std::env::temp_dir);
        cache.join("alpine-ami").join("packages")
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Where the package with this checksum lies or will lie.
    pub fn path(&self, checksum: &Checksum) -> PathBuf {
        let name = crate::digest::hex(checksum.as_bytes());
        self.0.dir.join(&name[..2]).join(format!("{name}.apk"))
    }

    /// The package with this checksum, if it is there: it counts as used now, and stays for as long as
    /// this store is held. If it comes later, it stays as well.
    pub fn claim(&self, checksum: &Checksum) -> Option<PathBuf> {
        self.claim_path(self.path(checksum))
    }

    /// The unfinished download of a package, for this process alone.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn partial(&self, checksum: &Checksum) -> io::Result<Opened> {
        let name = crate::digest::hex(checksum.as_bytes());
        Partial::open(&self.partials()?, &name)
    }

    /// One that no other process goes on with: `name` only says what it is of.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn private_partial(&self, name: &str) -> io::Result<Partial> {
        Partial::private(&self.partials()?, name)
    }

    /// Puts a package that was verified in its place.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn keep(&self, partial: Partial, checksum: &Checksum) -> io::Result<PathBuf> {
        let path = self.path(checksum);
        // Before it has its name: from then on it may be removed by whoever makes room.
        self.claim(checksum);
        self.place(partial, &path)?;
        Ok(path)
    }

    /// Copies a package that was verified elsewhere to its place, unless it is there.
    ///
    /// # Errors
    /// The file cannot be read, or the store not be written.
    pub fn copy(&self, file: &Path, checksum: &Checksum) -> io::Result<PathBuf> {
        if let Some(path) = self.claim(checksum) {
            return Ok(path);
        }
        let name = crate::digest::hex(checksum.as_bytes());
        let mut partial = self.private_partial(&name)?;
        io::copy(&mut File::open(file)?, partial.file())?;
        self.keep(partial, checksum)
    }

    fn place(&self, partial: Partial, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(&self.0.dir))?;
        let size = partial.place(path)?;
        self.make_room(size);
        Ok(())
    }

    fn partials_path(&self) -> PathBuf {
        self.0.dir.join("partial")
    }

    fn partials(&self) -> io::Result<PathBuf> {
        let partials = self.partials_path();
        fs::create_dir_all(&partials)?;
        Ok(partials)
    }

    fn claim_path(&self, path: PathBuf) -> Option<PathBuf> {
        if let Err(error) = self.note_use(&path) {
            // Of a store that cannot be written, nothing is removed by a process like this one.
            tracing::debug!("cannot note that {} is in use: {error}", path.display());
        }
        if !path.is_file() {
            return None;
        }
        if let Err(error) = touch(&path) {
            tracing::debug!("cannot note when {} was used: {error}", path.display());
        }
        Some(path)
    }

    fn note_use(&self, path: &Path) -> io::Result<()> {
        let mut in_use = self.in_use();
        if in_use.is_none() {
            fs::create_dir_all(&self.0.dir)?;
            let _alone = self.alone()?;
            *in_use = Some(InUse::begin(&self.0.dir)?);
            partial::sweep(&self.partials_path());
        }
        // With others that do the same, and without whoever makes room.
        let lock = self.lock_file()?;
        lock.lock_shared()?;
        match in_use.as_mut() {
            Some(in_use) => in_use.note(path),
            None => Ok(()),
        }
    }

    fn in_use(&self) -> MutexGuard<'_, Option<InUse>> {
        self.0.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store's lock, for this process alone until it is dropped.
    fn alone(&self) -> io::Result<File> {
        let lock = self.lock_file()?;
        lock.lock()?;
        Ok(lock)
    }

    fn lock_file(&self) -> io::Result<File> {
        File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(self.0.dir.join("lock"))
    }
}

/// The time of last use is the time of modification: many file systems do not keep access times.
fn touch(path: &Path) -> io::Result<()> {
    File::open(path)?.set_modified(SystemTime::now())
}

#[cfg(test)]
mod tests;
