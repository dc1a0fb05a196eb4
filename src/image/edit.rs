//! Changing a root folder from outside without ever leaving it.
//!
//! The packages and their scripts have had the root before: any path in it may be a symbolic link
//! that leads to this machine's own files. Folders are therefore opened through no link at all, and
//! files are made anew or opened without following one.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Uid};

use super::install::paths::{open_dir, remove};
use super::rootdir::RootDir;

/// Owner of something in a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Ids {
    /// root:root.
    pub const ROOT: Ids = Ids { uid: 0, gid: 0 };
}

impl RootDir {
    /// The folder at `path`; what is missing of it is made, `0755 root:root`.
    ///
    /// # Errors
    /// It cannot be made, or a symbolic link lies on the way.
    pub fn make_folder(&self, path: &str) -> io::Result<OwnedFd> {
        let mut handle = self.handle().try_clone_to_owned()?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let made = match fs::mkdirat(&handle, part, Mode::from_raw_mode(0o700)) {
                Ok(()) => true,
                Err(rustix::io::Errno::EXIST) => false,
                Err(error) => return Err(error.into()),
            };
            handle = open_dir(&handle, part)?;
            if made {
                fs::fchmod(&handle, Mode::from_raw_mode(0o755))?;
            }
        }
        Ok(handle)
    }

    /// Makes the folder where it is missing, and gives it mode and owner.
    ///
    /// # Errors
    /// Those of [`RootDir::make_folder`].
    pub fn set_folder(&self, path: &str, mode: u32, ids: Ids) -> io::Result<()> {
        set(&self.make_folder(path)?, mode, ids)
    }

    /// Makes a file, in the place of whatever is there, with folders on the way.
    ///
    /// # Errors
    /// It cannot be written, or a symbolic link lies on the way.
    pub fn put_file(&self, path: &str, bytes: &[u8], mode: u32, ids: Ids) -> io::Result<()> {
        let (dir, base) = split(path);
        let parent = self.make_folder(dir)?;
        remove(&parent, base)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(
            &parent,
            base,
            flags,
            Mode::from_raw_mode(0o600),
        )?);
        file.write_all(bytes)?;
        set(&file, mode, ids)
    }

    /// Makes a symbolic link, in the place of whatever is there, with folders on the way.
    ///
    /// # Errors
    /// It cannot be made, or another symbolic link lies on the way.
    pub fn put_link(&self, path: &str, target: &str, ids: Ids) -> io::Result<()> {
        let (dir, base) = split(path);
        let parent = self.make_folder(dir)?;
        remove(&parent, base)?;
        fs::symlinkat(target, &parent, base)?;
        let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
        fs::chownat(
            &parent,
            base,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        Ok(())
    }

    /// Gives a file that is there other content; mode and owner stay.
    ///
    /// # Errors
    /// It is not there, is a symbolic link, or cannot be written.
    pub fn rewrite(&self, path: &str, text: &str) -> io::Result<()> {
        let (dir, base) = split(path);
        let parent = open_dir(self.handle(), dir)?;
        // NONBLOCK: a script may have left a pipe there, whose other end nobody opens.
        let flags =
            OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(&parent, base, flags, Mode::empty())?;
        File::from(file).write_all(text.as_bytes())
    }

    /// Removes from a folder what `chosen` says of each name; nothing where there is no such folder
    /// or where it is reached through a symbolic link, which leads to a folder of its own.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn remove_from(&self, path: &str, chosen: impl Fn(&str) -> bool) -> io::Result<()> {
        let Ok(dir) = open_dir(self.handle(), path) else {
            return Ok(());
        };
        for (name, kind) in entries(&dir)? {
            if chosen(&name.to_string_lossy()) {
                remove_tree(&dir, &name, kind)?;
            }
        }
        Ok(())
    }

    /// Removes every file at any depth below a folder and keeps the folders.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn remove_files_below(&self, path: &str) -> io::Result<()> {
        match open_dir(self.handle(), path) {
            Ok(dir) => remove_files(&dir),
            Err(_) => Ok(()),
        }
    }
}

type Name = std::ffi::CString;

fn entries(dir: &OwnedFd) -> io::Result<Vec<(Name, FileType)>> {
    let mut found = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_owned();
        if name.as_bytes() == b"." || name.as_bytes() == b".." {
            continue;
        }
        // The type in the listing is optional; this one is not.
        let meta = fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        found.push((name, FileType::from_raw_mode(meta.st_mode)));
    }
    Ok(found)
}

/// A child folder, not through a link.
fn child(dir: &OwnedFd, name: &Name) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(dir, name, flags, Mode::empty())?)
}

fn remove_tree(dir: &OwnedFd, name: &Name, kind: FileType) -> io::Result<()> {
    if kind != FileType::Directory {
        return Ok(fs::unlinkat(dir, name, AtFlags::empty())?);
    }
    let below = child(dir, name)?;
    for (name, kind) in entries(&below)? {
        remove_tree(&below, &name, kind)?;
    }
    Ok(fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

fn remove_files(dir: &OwnedFd) -> io::Result<()> {
    for (name, kind) in entries(dir)? {
        if kind == FileType::Directory {
            remove_files(&child(dir, &name)?)?;
        } else {
            fs::unlinkat(dir, &name, AtFlags::empty())?;
        }
    }
    Ok(())
}

fn set(handle: impl AsFd, mode: u32, ids: Ids) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    fs::fchown(&handle, Some(uid), Some(gid))?;
    fs::fchmod(&handle, Mode::from_raw_mode(mode))?;
    Ok(())
}

/// Folder and last part of a path below the root.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_in_the_root_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, inside) = (dir.path().join("outside"), dir.path().join("root"));
        std::fs::create_dir_all(outside.join("log")).unwrap();
        std::fs::create_dir_all(inside.join("etc")).unwrap();
        std::fs::write(outside.join("precious"), "precious").unwrap();
        std::fs::write(outside.join("log/messages"), "precious").unwrap();
        symlink(outside.join("precious"), inside.join("etc/shadow")).unwrap();
        symlink(&outside, inside.join("var")).unwrap();
        let root = RootDir::open(&inside).unwrap();

        assert!(root.rewrite("etc/shadow", "gone").is_err());
        assert!(root.put_file("var/x", b"x", 0o644, Ids::ROOT).is_err());
        assert!(root.make_folder("var/new").is_err());
        root.remove_from("var", |_| true).unwrap();
        root.remove_files_below("var/log").unwrap();
        // What stands in the place of a link takes its place, not its target's.
        root.put_file(
            "etc/shadow",
            b"new",
            0o600,
            Ids {
                uid: getuid(),
                gid: getgid(),
            },
        )
        .unwrap();

        assert_eq!(
            std::fs::read(outside.join("precious")).unwrap(),
            b"precious"
        );
        assert!(outside.join("log/messages").exists());
        assert!(!outside.join("x").exists() && !outside.join("new").exists());
        assert_eq!(std::fs::read(inside.join("etc/shadow")).unwrap(), b"new");
    }

    fn getuid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    fn getgid() -> u32 {
        rustix::process::getgid().as_raw()
    }
}
