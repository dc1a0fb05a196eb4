//! Unpacking a verified package into a root, on directory handles, never leaving it.
//!
//! Every path is opened beneath the root's handle with `openat2(RESOLVE_BENEATH |
//! RESOLVE_NO_SYMLINKS)`: neither `..` nor a symbolic link that an earlier package or script left
//! can lead a later file outside.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use sha1::{Digest as _, Sha1};
use tar::EntryType;

use super::accounts::Accounts;
use super::owners::{Claim, Owner, Owners};
use super::paths::{clean_name, invalid, open_dir, remove};
use crate::apk::index::Checksum;
use crate::apk::record::{FileRecord, PathRecord, Records};

/// Entries of one package; the largest in Alpine has some 30,000.
const COUNT_LIMIT: usize = 1_000_000;
/// Unpacked bytes of one package.
const SIZE_LIMIT: u64 = 16 << 30;

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
/// A name that would leave the root, a conflict with another package, a bound that is exceeded, or
/// a file that cannot be written; the text names the entry.
pub fn extract(data: impl Read, owner: &Owner, target: &mut Target<'_>) -> io::Result<Records> {
    let mut archive = tar::Archive::new(data);
    let mut unpacker = Unpacker {
        owner,
        target,
        records: Records::default(),
        checksums: BTreeMap::new(),
        parent: None,
        bytes: 0,
    };
    for (count, entry) in archive.entries()?.enumerate() {
        if count >= COUNT_LIMIT {
            return Err(invalid(format!("it has more than {COUNT_LIMIT} entries")));
        }
        let mut entry = entry?;
        let raw = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|error| invalid(format!("the name {error} is not UTF-8")))?;
        let Some(name) = clean_name(&raw)? else {
            continue;
        };
        unpacker
            .entry(&name, &mut entry)
            .map_err(|error| io::Error::new(error.kind(), format!("`{name}`: {error}")))?;
    }
    Ok(unpacker.records)
}

struct Unpacker<'a, 'b> {
    owner: &'a Owner,
    target: &'a mut Target<'b>,
    records: Records,
    checksums: BTreeMap<String, Option<Checksum>>,
    parent: Option<(String, OwnedFd)>,
    bytes: u64,
}

/// What an entry's header says, read before its content.
struct Header {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: i64,
    checksum: Option<Checksum>,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Unpacker<'_, '_> {
    fn entry<R: Read>(&mut self, name: &str, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
        let header = self.header(entry)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            return self.directory(name, &header);
        }
        if self.checksums.contains_key(name) {
            return Err(invalid("it is in the package twice".to_owned()));
        }
        let (parent, base) = self.parent(name)?;
        if !self.takes(name)? {
            return Ok(());
        }
        let checksum = match kind {
            EntryType::Regular | EntryType::Continuous => {
                Some(self.file(&parent, name, &base, entry, &header)?)
            }
            EntryType::Symlink => Some(symlink(&parent, &base, entry, &header)?),
            EntryType::Link => self.hardlink(&parent, &base, entry)?,
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                device(&parent, &base, entry, kind, &header)?;
                header.checksum
            }
            other => return Err(invalid(format!("entries of type {other:?} have no place"))),
        };
        self.checksums.insert(name.to_owned(), checksum);
        let files = &mut self.target.owners.files;
        if let Some(before) = files.insert(name.to_owned(), self.owner.clone()) {
            let taken = (name.to_owned(), before.name);
            self.records.taken_over.push(taken);
        }
        let (mode, uid, gid) = (header.mode, header.uid, header.gid);
        self.records.add_file(
            name,
            FileRecord {
                name: base,
                path: PathRecord { mode, uid, gid },
                checksum,
            },
        );
        Ok(())
    }

    fn header<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> io::Result<Header> {
        let accounts = self.target.accounts;
        let header = entry.header();
        let text = |bytes: Option<&[u8]>| {
            bytes.map(|bytes| {
                String::from_utf8_lossy(bytes)
                    .trim_end_matches('\0')
                    .to_owned()
            })
        };
        let id = |id: u64| u32::try_from(id).map_err(|_| invalid(format!("{id} is no user id")));
        let mut read = Header {
            mode: header.mode()? & 0o7777,
            uid: accounts.uid(text(header.username_bytes()), id(header.uid()?)?),
            gid: accounts.gid(text(header.groupname_bytes()), id(header.gid()?)?),
            mtime: i64::try_from(header.mtime()?).unwrap_or(0),
            checksum: None,
            xattrs: Vec::new(),
        };
        for extension in entry.pax_extensions()?.into_iter().flatten() {
            let extension = extension?;
            let key = extension
                .key()
                .map_err(|error| invalid(error.to_string()))?;
            if key == "APK-TOOLS.checksum.SHA1" {
                read.checksum = Some(from_hex(extension.value_bytes())?);
            } else if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                read.xattrs
                    .push((name.to_owned(), extension.value_bytes().to_vec()));
            }
        }
        Ok(read)
    }

    /// The handle of the folder that `name` lies in, which must be there, and its last part.
    fn parent(&mut self, name: &str) -> io::Result<(OwnedFd, String)> {
        let (dir, base) = name.rsplit_once('/').unwrap_or(("", name));
        let cached = self.parent.take().filter(|(path, _)| path == dir);
        let handle = match cached {
            Some((_, handle)) => handle,
            None => open_dir(self.target.root, dir)?,
        };
        let handle_again = handle.try_clone()?;
        self.parent = Some((dir.to_owned(), handle));
        Ok((handle_again, base.to_owned()))
    }

    /// Creates or shares a folder. Where several packages have it, the lowest owner wins, and
    /// between equal owners the modes are ANDed. A folder that a script made or changed keeps what
    /// the script gave it (apk-tools, `src/database.c`).
    fn directory(&mut self, name: &str, header: &Header) -> io::Result<()> {
        let (parent, base) = self.parent(name)?;
        let new = (header.uid, header.gid, header.mode);
        let before = self.target.owners.directories.get(name).copied();
        let (uid, gid, mode) = match before {
            Some((uid, gid, mode)) if (uid, gid) == (new.0, new.1) => (uid, gid, mode & new.2),
            Some(before) if (before.0, before.1) < (new.0, new.1) => before,
            _ => new,
        };
        let made = match fs::mkdirat(&parent, &base, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(rustix::io::Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        let handle = open_dir(&parent, &base)?;
        let there = fs::fstat(&handle)?;
        let as_packaged = before == Some((there.st_uid, there.st_gid, there.st_mode & 0o7777));
        if made || as_packaged {
            fs::fchown(&handle, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            fs::fchmod(&handle, Mode::from_raw_mode(mode))?;
            set_xattrs(&handle, header)?;
        }
        self.target
            .owners
            .directories
            .insert(name.to_owned(), (uid, gid, mode));
        let (mode, uid, gid) = (header.mode, header.uid, header.gid);
        self.records
            .add_directory(name, PathRecord { mode, uid, gid });
        Ok(())
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

    fn file<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &str,
        base: &str,
        entry: &mut tar::Entry<'_, R>,
        header: &Header,
    ) -> io::Result<Checksum> {
        self.bytes = self.bytes.saturating_add(entry.size());
        if self.bytes > SIZE_LIMIT {
            return Err(invalid(format!(
                "the package unpacks to more than {SIZE_LIMIT} bytes"
            )));
        }
        // A name of its own, short enough beside the longest name.
        let temporary = ".apk-unpacking".to_owned();
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = fs::openat(parent, &temporary, flags, Mode::from_raw_mode(0o600))?;
        let mut file = std::fs::File::from(handle);
        let mut hash = Sha1::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = entry.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            file.write_all(&buffer[..count])?;
        }
        let found = Checksum::Sha1(hash.finalize().into());
        if header.checksum.is_some_and(|stated| stated != found) {
            return Err(invalid(
                "its content does not match its checksum".to_owned(),
            ));
        }
        fs::fchown(
            &file,
            Some(Uid::from_raw(header.uid)),
            Some(Gid::from_raw(header.gid)),
        )?;
        // After the owner: changing that clears set-id bits.
        fs::fchmod(&file, Mode::from_raw_mode(header.mode))?;
        set_xattrs(&file, header)?;
        fs::futimens(&file, &times(header.mtime))?;
        let place = if self.is_protected(parent, name, base, &found)? {
            format!("{base}.apk-new")
        } else {
            base.to_owned()
        };
        fs::renameat(parent, &temporary, parent, &place)?;
        Ok(found)
    }

    /// Configuration that no package put there (a script did) is kept, and the package's goes
    /// beside it as `.apk-new`: apk protects `etc` except `etc/init.d`.
    fn is_protected(
        &self,
        parent: &OwnedFd,
        name: &str,
        base: &str,
        found: &Checksum,
    ) -> io::Result<bool> {
        let in_etc = name.starts_with("etc/") && !name.starts_with("etc/init.d/");
        if !in_etc || self.target.owners.files.contains_key(name) {
            return Ok(false);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut there = match fs::openat(parent, base, flags, Mode::empty()) {
            Ok(handle) => std::fs::File::from(handle),
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut content = Vec::new();
        there.read_to_end(&mut content)?;
        Ok(Checksum::Sha1(Sha1::digest(&content).into()) != *found)
    }

    /// A further name of a file of this package, which must have come before.
    fn hardlink<R: Read>(
        &mut self,
        parent: &OwnedFd,
        base: &str,
        entry: &tar::Entry<'_, R>,
    ) -> io::Result<Option<Checksum>> {
        let raw = link_name(entry)?;
        let target = clean_name(&raw)?.unwrap_or_default();
        let Some(checksum) = self.checksums.get(&target).copied() else {
            return Err(invalid(format!(
                "it is a hard link to `{raw}`, which did not come before it in the package"
            )));
        };
        let (dir, target_base) = target.rsplit_once('/').unwrap_or(("", &target));
        let target_parent = open_dir(self.target.root, dir)?;
        remove(parent, base)?;
        fs::linkat(&target_parent, target_base, parent, base, AtFlags::empty())?;
        Ok(checksum)
    }
}

fn symlink<R: Read>(
    parent: &OwnedFd,
    base: &str,
    entry: &tar::Entry<'_, R>,
    header: &Header,
) -> io::Result<Checksum> {
    let target = link_name(entry)?;
    remove(parent, base)?;
    fs::symlinkat(&target, parent, base)?;
    fs::chownat(
        parent,
        base,
        Some(Uid::from_raw(header.uid)),
        Some(Gid::from_raw(header.gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    fs::utimensat(
        parent,
        base,
        &times(header.mtime),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    let found = Checksum::Sha1(Sha1::digest(target.as_bytes()).into());
    if header.checksum.is_some_and(|stated| stated != found) {
        return Err(invalid("its target does not match its checksum".to_owned()));
    }
    Ok(found)
}

fn device<R: Read>(
    parent: &OwnedFd,
    base: &str,
    entry: &tar::Entry<'_, R>,
    kind: EntryType,
    header: &Header,
) -> io::Result<()> {
    let kind = match kind {
        EntryType::Char => fs::FileType::CharacterDevice,
        EntryType::Block => fs::FileType::BlockDevice,
        _ => fs::FileType::Fifo,
    };
    let major = entry.header().device_major()?.unwrap_or(0);
    let minor = entry.header().device_minor()?.unwrap_or(0);
    remove(parent, base)?;
    let mode = Mode::from_raw_mode(header.mode);
    fs::mknodat(parent, base, kind, mode, fs::makedev(major, minor))?;
    let (uid, gid) = (Uid::from_raw(header.uid), Gid::from_raw(header.gid));
    fs::chownat(
        parent,
        base,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    // `mknod` is subject to the umask.
    fs::chmodat(parent, base, mode, AtFlags::empty())?;
    Ok(())
}

fn link_name<R: Read>(entry: &tar::Entry<'_, R>) -> io::Result<String> {
    let name = entry
        .link_name_bytes()
        .ok_or_else(|| invalid("it is a link to nothing".to_owned()))?;
    String::from_utf8(name.into_owned())
        .map_err(|_| invalid("the name it links to is not UTF-8".to_owned()))
}

fn set_xattrs(handle: impl AsFd, header: &Header) -> io::Result<()> {
    for (name, value) in &header.xattrs {
        let name = OsStr::from_bytes(name.as_bytes());
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

fn from_hex(text: &[u8]) -> io::Result<Checksum> {
    let bad = || invalid("its checksum is not a SHA-1".to_owned());
    let text = std::str::from_utf8(text).map_err(|_| bad())?.trim();
    let mut sum = [0; 20];
    if text.len() != 40 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad());
    }
    for (index, byte) in sum.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| bad())?;
    }
    Ok(Checksum::Sha1(sum))
}
