//! A disk image, its partitions, and the ext4 file system on one of them.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ext4_view::{Ext4, Ext4Error, Ext4Read};
use gpt::disk::LogicalBlockSize;
use gpt::partition_types::{LINUX_FS, LINUX_ROOT_ARM_64, LINUX_ROOT_X64};

use super::error::{ContentsError, Result};
use crate::image::partition::{Role, SECTOR};

/// Entries of a partition table that are believed; tables have 128.
const MOST_PARTITIONS: u32 = 1024;

/// A partition of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRange {
    /// Its number in the table, from 1.
    pub number: u32,
    /// Its name in the table.
    pub name: String,
    /// Where it starts, in bytes.
    pub start: u64,
    /// How large it is, in bytes.
    pub size: u64,
    /// Whether its type is one that Linux has its root on.
    is_linux: bool,
}

/// A disk image that is open for reading.
#[derive(Debug, Clone)]
pub struct DiskImage {
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    /// Its length, in bytes.
    size: u64,
    pub(super) root: PartitionRange,
    /// The other partitions.
    pub(super) others: Vec<PartitionRange>,
    /// Bytes of the root file system that are in use.
    pub(super) used: u64,
}

impl DiskImage {
    /// Opens an image and finds its root: the partition called `root`, or else the only one of
    /// a Linux type.
    ///
    /// # Errors
    /// See [`ContentsError`].
    pub fn open(path: &Path) -> Result<DiskImage> {
        let read = |source| ContentsError::Read {
            image: path.to_owned(),
            source,
        };
        DiskImage::of(File::open(path).map_err(read)?, path)
    }

    /// An image that is open already; `path` is for messages.
    ///
    /// # Errors
    /// See [`ContentsError`].
    pub fn of(file: File, path: &Path) -> Result<DiskImage> {
        let read = |source| ContentsError::Read {
            image: path.to_owned(),
            source,
        };
        let metadata = file.metadata().map_err(read)?;
        if !metadata.is_file() {
            return Err(read(io::Error::new(
                ErrorKind::InvalidInput,
                "it is not a file",
            )));
        }
        let size = metadata.len();
        let partitions = partitions(&file, size).map_err(|why| ContentsError::NoTable {
            image: path.to_owned(),
            why,
        })?;
        let (root, others) = root(partitions).map_err(|found| ContentsError::NoRoot {
            image: path.to_owned(),
            found,
        })?;
        let used = used(&file, &root).map_err(|why| ContentsError::NoExt4 {
            image: path.to_owned(),
            number: root.number,
            why,
        })?;
        Ok(DiskImage {
            path: path.to_owned(),
            file: Arc::new(file),
            size,
            root,
            others,
            used,
        })
    }

    /// Its length, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of the root file system that are in use, as `df` counts them.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The names of its partitions, in the order of their numbers.
    pub fn partition_names(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.others.iter().chain([&self.root]).collect();
        all.sort_by_key(|part| part.number);
        all.iter().map(|part| part.name.as_str()).collect()
    }

    /// Its root file system. Each thread opens its own: the reader is not to be shared.
    pub(super) fn ext4(&self) -> Result<Ext4> {
        let reader = Bounded {
            file: Arc::clone(&self.file),
            start: self.root.start,
            size: self.root.size,
        };
        Ext4::load(Box::new(reader)).map_err(|error| ContentsError::NoExt4 {
            image: self.path.clone(),
            number: self.root.number,
            why: error.to_string(),
        })
    }

    pub(super) fn broken(&self, path: impl Into<String>, why: impl ToString) -> ContentsError {
        ContentsError::Broken {
            image: self.path.clone(),
            path: path.into(),
            why: why.to_string(),
        }
    }

    /// What `error` says of `path`.
    pub(super) fn refused(
        &self,
        path: impl Into<String>,
    ) -> impl FnOnce(Ext4Error) -> ContentsError {
        let path = path.into();
        move |error| self.broken(path, error)
    }
}

/// Reads within a partition only.
struct Bounded {
    file: Arc<File>,
    start: u64,
    size: u64,
}

impl Ext4Read for Bounded {
    fn read(
        &mut self,
        at: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        match at.checked_add(into.len() as u64) {
            Some(end) if end <= self.size => {}
            _ => return Err(format!("byte {at} is past the partition's end").into()),
        }
        Ok(self.file.read_exact_at(into, self.start + at)?)
    }
}

/// The partitions of a disk, in the order of their numbers.
fn partitions(file: &File, size: u64) -> Result<Vec<PartitionRange>, String> {
    check_headers(file, size)?;
    let disk = gpt::GptConfig::new()
        .writable(false)
        .logical_block_size(LogicalBlockSize::Lb512)
        .open_from_device(file)
        .map_err(|error| error.to_string())?;
    let range = |(number, part): (&u32, &gpt::partition::Partition)| {
        let sectors = part.last_lba.checked_sub(part.first_lba)?.checked_add(1)?;
        let start = part.first_lba.checked_mul(SECTOR)?;
        let length = sectors.checked_mul(SECTOR)?;
        (start.checked_add(length)? <= size).then(|| PartitionRange {
            number: *number,
            name: part.name.clone(),
            start,
            size: length,
            is_linux: [LINUX_FS, LINUX_ROOT_X64, LINUX_ROOT_ARM_64].contains(&part.part_type_guid),
        })
    };
    let found = disk.partitions().iter().map(|part| {
        range(part).ok_or_else(|| {
            format!(
                "partition {} lies outside of the disk of {size} bytes",
                part.0
            )
        })
    });
    found.collect()
}

/// Refuses tables that the `gpt` crate takes for granted not to exist: it asserts the size of an
/// entry, and reads as many entries as the header says.
fn check_headers(file: &File, size: u64) -> Result<(), String> {
    let mut found = false;
    for at in [SECTOR, size.saturating_sub(SECTOR)] {
        let mut header = [0; 92];
        if file.read_exact_at(&mut header, at).is_err() {
            return Err(format!("it has only {size} bytes"));
        }
        if header[..8] != *b"EFI PART" {
            continue;
        }
        found = true;
        // UEFI 2.10, table 5.5: number and size of the entries.
        let [entries, entry_size] = [80, 84].map(|at| little(&header[at..at + 4]));
        if entry_size != 128 || entries > u64::from(MOST_PARTITIONS) {
            return Err(format!(
                "its header tells of {entries} entries of {entry_size} bytes"
            ));
        }
    }
    if found {
        Ok(())
    } else {
        Err("there is no header in the second or the last sector".to_owned())
    }
}

/// The root and the other partitions, or what there is instead.
fn root(mut all: Vec<PartitionRange>) -> Result<(PartitionRange, Vec<PartitionRange>), String> {
    let named = |part: &PartitionRange| part.is_linux && part.name == Role::Root.name();
    let mut linux = (0..all.len()).filter(|index| all[*index].is_linux);
    let place = match (all.iter().position(named), linux.next(), linux.next()) {
        (Some(place), ..) | (None, Some(place), None) => place,
        _ if all.is_empty() => return Err("its table is empty".to_owned()),
        _ => {
            let tell = |part: &PartitionRange| {
                let kind = if part.is_linux { "Linux" } else { "other type" };
                format!("{} `{}` ({kind})", part.number, part.name)
            };
            return Err(all.iter().map(tell).collect::<Vec<_>>().join(", "));
        }
    };
    let root = all.remove(place);
    Ok((root, all))
}

/// Bytes in use, as the superblock says; `ext4-view` does not tell. What it says of the file
/// system's size is checked, because memory is allocated by it.
/// <https://docs.kernel.org/filesystems/ext4/super.html>
fn used(file: &File, root: &PartitionRange) -> Result<u64, String> {
    let mut block = [0; 1024];
    if root.size < 2048 || file.read_exact_at(&mut block, root.start + 1024).is_err() {
        return Err("the partition is too small".to_owned());
    }
    let word = |at: usize| little(&block[at..at + 4]);
    if little(&block[0x38..0x3a]) != 0xef53 {
        return Err("it has no superblock".to_owned());
    }
    // The upper halves mean something on file systems with 64-bit block numbers only.
    let is_64_bit = word(0x60) & 0x80 != 0;
    let wide = |low: usize, high: usize| word(low) | if is_64_bit { word(high) << 32 } else { 0 };
    let (blocks, free, overhead) = (wide(0x4, 0x150), wide(0xc, 0x158), word(0x248));
    let block_size = u32::try_from(word(0x18))
        .ok()
        .and_then(|shift| 1024u64.checked_shl(shift));
    let size = block_size.and_then(|size| blocks.checked_mul(size));
    match (block_size, size) {
        (Some(block_size), Some(size)) if size <= root.size => {
            Ok(blocks.saturating_sub(overhead).saturating_sub(free) * block_size)
        }
        _ => Err(format!(
            "it claims {blocks} blocks, more than the partition has room for"
        )),
    }
}

fn little(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
