//! Unpacking a verified package into a root, on directory handles, never leaving it.
//!
//! Every path is opened beneath the root's handle with `openat2(RESOLVE_BENEATH |
//! RESOLVE_NO_SYMLINKS)`: neither `..` nor a symbolic link that an earlier package or script left
//! can lead a later file outside.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use sha1::{Digest as _, Sha1};
use tar::EntryType;

use super::accounts::Accounts;
use super::devices;
use super::owners::{Claim, Owner, Owners};
use super::paths::{clean_name, invalid, open_dir, remove};
use crate::apk::archive::{Archive, Entry};
use crate::apk::index::Checksum;
use crate::apk::record::{FileRecord, PathRecord, Records};

/// What a file is written as where its name is taken: a name of its own, short enough beside the
/// longest name.
const TEMPORARY: &str = ".apk-unpacking";

/// The root being filled.
pub struct Target<'a> {
    /// Its folder.
    pub root: BorrowedFd<'a>,
    /// Its users and groups.
    pub accounts: &'a Accounts,
    /// What lies in it already.
    pub owners: &'a mut Owners,
}

/// Unpacks `data` as `owner` and returns what the database has to know of it.
///
/// # Errors
/// A name that would leave the root, a conflict with another package, an entry that has no place in
/// a package, or a file that cannot be written; the text names the entry.
pub fn extract(
    data: impl BufRead,
    owner: &Rc<Owner>,
    target: &mut Target<'_>,
) -> io::Result<Records> {
    let mut archive = Archive::new(data);
    let mut unpacker = Unpacker {
        owner,
        target,
        records: Records::default(),
        seen: HashMap::new(),
        parent: None,
    };
    while let Some(entry) = archive.next_entry()? {
        let Some(name) = clean_name(&entry.name)? else {
            continue;
        };
        unpacker
            .entry(&name, &entry, &mut archive)
            .map_err(|error| io::Error::new(error.kind(), format!("`{name}`: {error}")))?;
    }
    Ok(unpacker.records)
}

/// What has become of an entry.
#[derive(Clone, Copy)]
enum Fate {
    /// It is a folder, or was left to the package that has it.
    NoFile,
    /// It is a file with this checksum; devices have none.
    File(Option<Checksum>),
}

struct Unpacker<'a, 'b> {
    owner: &'a Rc<Owner>,
    target: &'a mut Target<'b>,
    records: Records,
    /// The entries so far.
    seen: HashMap<String, Fate>,
    /// The folder of the last entry, which mostly is that of the next.
    parent: Option<(String, OwnedFd)>,
}

impl Unpacker<'_, '_> {
    fn entry(&mut self, name: &str, entry: &Entry, content: impl BufRead) -> io::Result<()> {
        if self.seen.contains_key(name) {
            return Err(invalid("it is in the package twice".to_owned()));
        }
        let (dir, base) = name.rsplit_once('/').unwrap_or(("", name));
        let cached = self.parent.take().filter(|(path, _)| path == dir);
        let parent = match cached {
            Some((_, parent)) => parent,
            None => open_dir(self.target.root, dir)?,
        };
        let fate = match entry.kind {
            EntryType::Directory => self.directory(&parent, name, base, entry)?,
            _ => self.file(&parent, name, base, entry, content)?,
        };
        self.parent = Some((dir.to_owned(), parent));
        self.seen.insert(name.to_owned(), fate);
        Ok(())
    }

    fn ids(&self, entry: &Entry) -> (u32, u32) {
        let accounts = self.target.accounts;
        let uid = accounts.uid(entry.user.as_deref(), entry.uid);
        (uid, accounts.gid(entry.group.as_deref(), entry.gid))
    }

    /// Creates or shares a folder. Where several packages have it, the lowest owner wins, and
    /// between equal owners the modes are ANDed. A folder that a script made or changed keeps what
    /// the script gave it (apk-tools, `src/database.c`).
    fn directory(
        &mut self,
        parent: &OwnedFd,
        name: &str,
        base: &str,
        entry: &Entry,
    ) -> io::Result<Fate> {
        let (uid, gid) = self.ids(entry);
        let new = (uid, gid, entry.mode);
        let path = PathRecord {
            mode: entry.mode,
            uid,
            gid,
        };
        self.records.add_directory(name, path);
        let before = self.target.owners.directories.get(name).copied();
        let (uid, gid, mode) = match before {
            Some((uid, gid, mode)) if (uid, gid) == (new.0, new.1) => (uid, gid, mode & new.2),
            Some(before) if (before.0, before.1) < (new.0, new.1) => before,
            _ => new,
        };
        let made = match fs::mkdirat(parent, base, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        let handle = open_dir(parent, base)?;
        let there = fs::fstat(&handle)?;
        let as_packaged = before == Some((there.st_uid, there.st_gid, there.st_mode & 0o7777));
        if made || as_packaged {
            fs::fchown(&handle, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            fs::fchmod(&handle, Mode::from_raw_mode(mode))?;
            set_xattrs(&handle, entry)?;
        }
        let directories = &mut self.target.owners.directories;
        directories.insert(name.to_owned(), (uid, gid, mode));
        Ok(Fate::NoFile)
    }

    /// Lays down anything that is not a folder.
    fn file(
        &mut self,
        parent: &OwnedFd,
        name: &str,
        base: &str,
        entry: &Entry,
        content: impl BufRead,
    ) -> io::Result<Fate> {
        if !self.takes(name)? {
            return Ok(Fate::NoFile);
        }
        let (uid, gid) = self.ids(entry);
        let ids = (Uid::from_raw(uid), Gid::from_raw(gid));
        let checksum = match entry.kind {
            EntryType::Regular | EntryType::Continuous => {
                Some(self.regular(parent, name, base, entry, ids, content)?)
            }
            EntryType::Symlink => Some(symlink(parent, base, entry, ids)?),
            EntryType::Link => self.hardlink(parent, base, entry)?,
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                devices::make(parent, name, base, entry, ids)?;
                entry.checksum
            }
            other => return Err(invalid(format!("entries of type {other:?} have no place"))),
        };
        let files = &mut self.target.owners.files;
        if let Some(before) = files.insert(name.to_owned(), Rc::clone(self.owner)) {
            let taken = (name.to_owned(), before.name.clone());
            self.records.taken_over.push(taken);
        }
        let path = PathRecord {
            mode: entry.mode,
            uid,
            gid,
        };
        let record = FileRecord {
            name: base.to_owned(),
            path,
            checksum,
        };
        self.records.add_file(name, record);
        Ok(Fate::File(checksum))
    }

    /// Whether this package's file is laid down where another package may have one.
    fn takes(&self, name: &str) -> io::Result<bool> {
        let Some(before) = self.target.owners.files.get(name) else {
            return Ok(true);
        };
        match self.owner.against(before) {
            Claim::Take => Ok(true),
            Claim::Leave => Ok(false),
            Claim::Conflict => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("it belongs to the package {} already", before.name),
            )),
        }
    }

    /// Writes a file under its name or, where something is there, beside it, and then in its place.
    fn regular(
        &self,
        parent: &OwnedFd,
        name: &str,
        base: &str,
        entry: &Entry,
        ids: (Uid, Gid),
        content: impl BufRead,
    ) -> io::Result<Checksum> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        match fs::openat(parent, base, flags, mode) {
            Ok(handle) => write(File::from(handle), entry, ids, content),
            Err(Errno::EXIST) => {
                let handle = fs::openat(parent, TEMPORARY, flags, mode)?;
                let found = write(File::from(handle), entry, ids, content)?;
                let place = if self.is_protected(parent, name, base, entry.size, &found)? {
                    format!("{base}.apk-new")
                } else {
                    base.to_owned()
                };
                fs::renameat(parent, TEMPORARY, parent, &place)?;
                Ok(found)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Configuration that no package put there (a script did) is kept, and the package's goes
    /// beside it as `.apk-new`: apk protects `etc` except `etc/init.d`.
    fn is_protected(
        &self,
        parent: &OwnedFd,
        name: &str,
        base: &str,
        size: u64,
        found: &Checksum,
    ) -> io::Result<bool> {
        let in_etc = name.starts_with("etc/") && !name.starts_with("etc/init.d/");
        if !in_etc || self.target.owners.files.contains_key(name) {
            return Ok(false);
        }
        // A script may have left anything there: a pipe that nobody writes to, a file without end.
        let there = fs::statat(parent, base, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(there.st_mode) != FileType::RegularFile
            || there.st_size.cast_unsigned() != size
        {
            return Ok(true);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let there = File::from(fs::openat(parent, base, flags, Mode::empty())?);
        let mut hash = Sha1::new();
        io::copy(&mut there.take(size), &mut HashWriter(&mut hash))?;
        Ok(Checksum::Sha1(hash.finalize().into()) != *found)
    }

    /// A further name of a file of this package, which must have come before.
    fn hardlink(
        &self,
        parent: &OwnedFd,
        base: &str,
        entry: &Entry,
    ) -> io::Result<Option<Checksum>> {
        let raw = link_name(entry)?;
        let target = clean_name(raw)?.unwrap_or_default();
        let Some(Fate::File(checksum)) = self.seen.get(&target).copied() else {
            return Err(invalid(format!(
                "it is a hard link to `{}`, which is no file that came before it in the package",
                raw.escape_debug()
            )));
        };
        let (dir, target_base) = target.rsplit_once('/').unwrap_or(("", &target));
        let target_parent = open_dir(self.target.root, dir)?;
        remove(parent, base)?;
        fs::linkat(&target_parent, target_base, parent, base, AtFlags::empty())?;
        Ok(checksum)
    }
}

struct HashWriter<'a>(&'a mut Sha1);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fills a new file, checks it, and gives it owner, mode, attributes and time.
fn write(
    mut file: File,
    entry: &Entry,
    (uid, gid): (Uid, Gid),
    mut content: impl BufRead,
) -> io::Result<Checksum> {
    let mut hash = Sha1::new();
    loop {
        let chunk = content.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        hash.update(chunk);
        file.write_all(chunk)?;
        let length = chunk.len();
        content.consume(length);
    }
    let found = Checksum::Sha1(hash.finalize().into());
    if entry.checksum.is_some_and(|stated| stated != found) {
        return Err(invalid(
            "its content does not match its checksum".to_owned(),
        ));
    }
    fs::fchown(&file, Some(uid), Some(gid))?;
    // After the owner: changing that clears set-id bits.
    fs::fchmod(&file, Mode::from_raw_mode(entry.mode))?;
    set_xattrs(&file, entry)?;
    fs::futimens(&file, &times(entry.mtime))?;
    Ok(found)
}

fn symlink(
    parent: &OwnedFd,
    base: &str,
    entry: &Entry,
    (uid, gid): (Uid, Gid),
) -> io::Result<Checksum> {
    let target = link_name(entry)?;
    let found = Checksum::Sha1(Sha1::digest(target.as_bytes()).into());
    if entry.checksum.is_some_and(|stated| stated != found) {
        return Err(invalid("its target does not match its checksum".to_owned()));
    }
    remove(parent, base)?;
    fs::symlinkat(target, parent, base)?;
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    fs::chownat(parent, base, Some(uid), Some(gid), flags)?;
    fs::utimensat(parent, base, &times(entry.mtime), flags)?;
    Ok(found)
}

fn link_name(entry: &Entry) -> io::Result<&str> {
    match entry.link.as_deref() {
        Some(target) if !target.is_empty() => Ok(target),
        _ => Err(invalid("it is a link to nothing".to_owned())),
    }
}

/// Attributes of the names that packages use: others steer the file system of the building machine
/// (`trusted.overlay.redirect`) or are access control lists, which an image does not have.
fn set_xattrs(handle: impl AsFd, entry: &Entry) -> io::Result<()> {
    for (name, value) in &entry.xattrs {
        if !name.starts_with("user.") && !name.starts_with("security.") {
            return Err(invalid(format!(
                "the attribute `{}` has no place in a package",
                name.escape_debug()
            )));
        }
        fs::fsetxattr(&handle, name, value, fs::XattrFlags::empty())?;
    }
    Ok(())
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
