//! What is in a disk image: every file of its root, read without mounting anything.
//!
//! The list is `files.json`, one entry a line, so that `diff`, `grep` and people can read it too:
//!
//! ```text
//! {"schema":1,
//! "partitions":[
//! {"number":2,"name":"esp","size":8388608,"sha256":"…"}],
//! "used":220200960,
//! "entries":[
//! {"path":"/","kind":"dir","mode":"755"},
//! {"path":"/bin/sh","kind":"symlink","mode":"777","target":"/bin/busybox","package":"busybox"}]}
//! ```
//!
//! Owners that are root are left out. Times are not listed: they are the build's epoch or older.
//! Neither are device numbers, extended attributes and which names are hard links of one file,
//! none of which `ext4-view` tells; files with several names are listed under each.

mod disk;
mod error;
mod owners;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use disk::{DiskImage, PartitionRange};
pub use error::{ContentsError, Result};

/// The name of the list beside a release manifest.
pub const FILES: &str = "files.json";
/// The version of the format; a reader refuses a higher one.
pub const SCHEMA: u32 = 1;

/// What is in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Version of this format.
    pub schema: u32,
    /// The partitions that are not the root, in the order of their numbers.
    pub partitions: Vec<PartitionDigest>,
    /// Bytes of the root file system that are in use, as `df` counts them.
    pub used: u64,
    /// Everything in the root file system, sorted by path.
    pub entries: Vec<Entry>,
}

/// A partition that is compared as one piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionDigest {
    /// Its number in the table, from 1.
    pub number: u32,
    /// Its name in the table.
    pub name: String,
    /// How large it is, in bytes.
    pub size: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A folder.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A path of the root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Absolute; bytes that are not UTF-8 stand as `\xff`, control characters as `\n` or `\u{1b}`.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, `7777` at most; octal digits in JSON.
    #[serde(with = "octal")]
    pub mode: u16,
    /// Owner.
    #[serde(default, skip_serializing_if = "is_root")]
    pub uid: u32,
    /// Group.
    #[serde(default, skip_serializing_if = "is_root")]
    pub gid: u32,
    /// Bytes of a regular file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 of a regular file, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where a symbolic link points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The package that it is of, as the image's database says; a folder may be of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// Serde's signature.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it by reference"
)]
fn is_root(id: &u32) -> bool {
    *id == 0
}

/// Modes as people write them.
mod octal {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(mode: &u16, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{mode:o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<u16, D::Error> {
        let text = String::deserialize(reader)?;
        let mode = u16::from_str_radix(&text, 8).ok();
        let mode = mode.filter(|mode| *mode <= 0o7777);
        mode.ok_or_else(|| de::Error::custom(format!("`{text}` is no file mode")))
    }
}

/// Lists what is in a disk image, hashing on all cores.
///
/// # Errors
/// See [`ContentsError`].
pub fn list(image: &Path) -> Result<Contents> {
    DiskImage::open(image)?.list()
}

impl Contents {
    /// The list as it is kept.
    pub fn to_json(&self) -> String {
        let Contents {
            schema,
            partitions,
            used,
            entries,
        } = self;
        let mut text = format!("{{\"schema\":{schema},\n\"partitions\":");
        lines(&mut text, partitions);
        // Writing to a string does not fail.
        let _ = write!(text, ",\n\"used\":{used},\n\"entries\":");
        lines(&mut text, entries);
        text.push_str("}\n");
        text
    }

    /// Reads a list; `name` is for messages.
    ///
    /// # Errors
    /// [`ContentsError::Parse`] or [`ContentsError::Schema`].
    pub fn from_json(name: &str, text: &[u8]) -> Result<Contents> {
        /// Only the version: another format may lack everything else.
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let parse = |source| ContentsError::Parse {
            name: name.to_owned(),
            source,
        };
        let Version { schema } = serde_json::from_slice(text).map_err(parse)?;
        if schema > SCHEMA {
            return Err(ContentsError::Schema {
                name: name.to_owned(),
                found: schema,
            });
        }
        let mut contents: Contents = serde_json::from_slice(text).map_err(parse)?;
        // What compares lists relies on the order.
        contents.entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(contents)
    }
}

/// A JSON array with an item a line.
fn lines(text: &mut String, items: &[impl Serialize]) {
    text.push('[');
    for (count, item) in items.iter().enumerate() {
        text.push_str(if count == 0 { "\n" } else { ",\n" });
        let item = serde_json::to_string(item).expect("texts and numbers are JSON");
        text.push_str(&item);
    }
    text.push(']');
}
