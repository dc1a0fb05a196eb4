//! Packages that were downloaded, by their checksum, in the user's cache folder.
//!
//! A file is written beside its place under a name of its own, verified, and renamed: whoever is
//! killed leaves at most a temporary file, and two processes that fetch the same package end with
//! the same bytes.

use std::io;
use std::path::{Path, PathBuf};

use super::index::Checksum;

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

    /// A new file in which a download for `path` can be written; it goes away unless it is kept.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn incoming(&self, path: &Path) -> io::Result<tempfile::NamedTempFile> {
        let dir = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(dir)?;
        tempfile::Builder::new()
            .prefix(".incoming-")
            .tempfile_in(dir)
    }

    /// Puts a verified file in its place.
    ///
    /// # Errors
    /// The file cannot be synchronised or renamed.
    pub fn keep(&self, file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}
