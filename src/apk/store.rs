//! Packages that were downloaded, by their checksum, in the user's cache folder.
//!
//! A file is written in a work folder of its own, verified, and renamed: what a killed run leaves
//! there the next one removes, and two processes that fetch the same package end with the same
//! bytes.

use std::io;
use std::path::{Path, PathBuf};

use super::index::Checksum;
use crate::workdir::WorkDir;

/// The folder of downloaded packages.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// The store in `dir`, which is made when the first package comes.
    pub fn new(dir: PathBuf) -> Store {
        Store { dir }
    }

    /// The store of this user: `$XDG_CACHE_HOME/alpine-ami/packages`, else below `~/.cache`.
    pub fn of_user() -> Store {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = var("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(var("HOME")?).join(".cache")))
            .unwrap_or_else(std::env::temp_dir);
        Store::new(cache.join("alpine-ami").join("packages"))
    }

    /// Where the package with this checksum lies or will lie.
    pub fn path(&self, checksum: &Checksum) -> PathBuf {
        let name = crate::digest::hex(checksum.as_bytes());
        self.dir.join(&name[..2]).join(format!("{name}.apk"))
    }

    /// A folder for downloads, on the file system of the store; those of dead runs are removed.
    ///
    /// # Errors
    /// The store cannot be made or written.
    pub fn incoming(&self) -> io::Result<WorkDir> {
        std::fs::create_dir_all(&self.dir)?;
        WorkDir::new(&self.dir, ".incoming-")
    }

    /// Puts a verified file in its place.
    ///
    /// # Errors
    /// The file cannot be synchronised or renamed.
    pub fn keep(&self, file: &Path, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path.parent().unwrap_or(&self.dir))?;
        std::fs::File::open(file)?.sync_all()?;
        std::fs::rename(file, path)
    }
}
