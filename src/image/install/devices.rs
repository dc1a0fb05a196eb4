//! Device nodes: which of them a package may bring.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, Uid};
use tar::EntryType;

use super::paths::{invalid, remove};
use crate::apk::archive::Entry;

/// What every Linux has, by path, major and minor number. A node of the building machine's disk
/// would be as good as the disk to whoever reaches the root, and an image finds its devices itself.
const ALLOWED: [(&str, (u32, u32)); 6] = [
    ("dev/full", (1, 7)),
    ("dev/null", (1, 3)),
    ("dev/random", (1, 8)),
    ("dev/tty", (5, 0)),
    ("dev/urandom", (1, 9)),
    ("dev/zero", (1, 5)),
];

/// Makes a device node or a named pipe, in the place of whatever file is there.
///
/// # Errors
/// A device that no package may bring, or that cannot be made; user namespaces cannot make any.
pub fn make(
    parent: &OwnedFd,
    name: &str,
    base: &str,
    entry: &Entry,
    ids: (Uid, Gid),
) -> io::Result<()> {
    let is_allowed = match entry.kind {
        EntryType::Fifo => true,
        EntryType::Char => ALLOWED.contains(&(name, entry.device)),
        _ => false,
    };
    let (major, minor) = entry.device;
    if !is_allowed {
        let kind = match entry.kind {
            EntryType::Block => "block",
            _ => "character",
        };
        return Err(invalid(format!(
            "it is the {kind} device {major}:{minor}, which no package may bring"
        )));
    }
    let (kind, device) = match entry.kind {
        EntryType::Fifo => (FileType::Fifo, 0),
        _ => (FileType::CharacterDevice, fs::makedev(major, minor)),
    };
    remove(parent, base)?;
    let mode = Mode::from_raw_mode(entry.mode);
    fs::mknodat(parent, base, kind, mode, device)?;
    let (uid, gid) = ids;
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
