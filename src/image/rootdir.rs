//! Reading inside a root folder without ever leaving it.
//!
//! Every path is resolved by the kernel (`openat2`) relative to an open handle of the root,
//! so a symbolic link such as `/bin -> /usr/bin` or `x -> ../../etc` ends up where it would in
//! the finished image, never on the machine that builds it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::error::{ImageError, Result};

/// How often a lookup that raced with a rename is tried again; `openat2` answers EAGAIN then.
const LOOKUP_TRIES: usize = 8;

/// An open root folder.
#[derive(Debug)]
pub struct RootDir {
    handle: OwnedFd,
    path: PathBuf,
}

impl RootDir {
    /// Opens `path`, which must be a folder.
    pub fn open(path: &Path) -> Result<RootDir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())
            .map_err(ImageError::io("opening root folder", path))?;
        Ok(RootDir {
            handle,
            path: path.to_path_buf(),
        })
    }

    /// Where the root is on this machine, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root's own handle.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// The content of a file, links followed as in the image; `None` where it does not exist.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some(mut file) = self.file(path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.read_to_end(&mut content)
            .map_err(ImageError::io("reading", self.path.join(path)))?;
        Ok(Some(content))
    }

    /// The content of a text file; bytes that are not UTF-8 become replacement characters.
    pub fn read_text(&self, path: &str) -> Result<Option<String>> {
        let content = self.read(path)?;
        Ok(content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Opens a file, links followed as in the image; `None` where it does not exist.
    pub fn file(&self, path: &str) -> Result<Option<File>> {
        // NONBLOCK: opening a fifo must not wait for its other end.
        let opened = self.open_at(
            path,
            OFlags::RDONLY | OFlags::NONBLOCK,
            ResolveFlags::IN_ROOT,
        );
        Ok(self.found(path, opened)?.map(File::from))
    }

    /// Opens exactly the file at `path`, through no link at all.
    pub fn exact_file(&self, path: &str) -> Result<File> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, resolve)
            .map(File::from)
            .map_err(ImageError::io("opening", self.path.join(path)))
    }

    /// The names in a folder, sorted; `None` where it does not exist.
    pub fn names(&self, path: &str) -> Result<Option<Vec<String>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = self.open_at(path, flags, ResolveFlags::IN_ROOT);
        let Some(dir) = self.found(path, opened)? else {
            return Ok(None);
        };
        sorted_names(&dir, &self.path.join(path)).map(Some)
    }

    fn open_at(&self, path: &str, flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
        let path = path.trim_start_matches('/');
        let path = if path.is_empty() { "." } else { path };
        let flags = flags | OFlags::CLOEXEC;
        let mut tries = 0;
        loop {
            tries += 1;
            let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.handle, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if tries < LOOKUP_TRIES => {}
                result => return result.map_err(io::Error::from),
            }
        }
    }

    /// Turns "there is no such file" into `None`.
    fn found<T>(&self, path: &str, opened: io::Result<T>) -> Result<Option<T>> {
        match opened {
            Ok(value) => Ok(Some(value)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(ImageError::io("opening", self.path.join(path))(error)),
        }
    }
}

/// The names in an open folder, sorted by their bytes; `path` is for messages.
pub(super) fn sorted_names(dir: impl AsFd, path: &Path) -> Result<Vec<String>> {
    let listing = rustix::fs::Dir::read_from(dir).map_err(ImageError::io("listing", path))?;
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry.map_err(ImageError::io("listing", path))?;
        let bytes = entry.file_name().to_bytes();
        if bytes == b"." || bytes == b".." {
            continue;
        }
        let name = str::from_utf8(bytes).map_err(|_| ImageError::NotUtf8 {
            path: path
                .join(bytes.escape_ascii().to_string())
                .display()
                .to_string(),
        })?;
        names.push(name.to_owned());
    }
    // The kernel's order is that of the hash table of whatever file system this is.
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        std::fs::write(dir.path().join("usr/bin/tool"), "inside").unwrap();
        symlink("/usr/bin", dir.path().join("bin")).unwrap();
        symlink("../../../../etc/passwd", dir.path().join("usr/escape")).unwrap();
        let root = RootDir::open(dir.path()).unwrap();

        assert_eq!(root.read("bin/tool").unwrap().unwrap(), b"inside");
        assert_eq!(root.read("/bin/tool").unwrap().unwrap(), b"inside");
        assert!(root.read("usr/escape").unwrap().is_none(), "left the root");
        assert!(root.exact_file("bin/tool").is_err(), "followed a link");
        assert!(root.read("absent").unwrap().is_none());
        assert_eq!(root.names("/bin").unwrap().unwrap(), ["tool"]);
    }

    #[test]
    fn names_that_are_not_utf8_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(OsStr::from_bytes(b"caf\xe9")), "").unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        let error = root.names("/").unwrap_err();
        assert!(error.to_string().ends_with("/caf\\xe9`"), "{error}");
    }
}
