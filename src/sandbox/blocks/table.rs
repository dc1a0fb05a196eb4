//! The table of a snapshot's blocks: a record of fixed size for each, in a sparse file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::SystemTime;

use super::extents;

/// Bytes of a record: whether the block is present, and in the second half its SHA-256.
const RECORD: usize = 64;

/// Records read at a time.
const CHUNK: usize = 1024;

/// A block that is present: its index and its SHA-256.
pub type Entry = (u64, [u8; 32]);

/// A table.
#[derive(Debug)]
pub struct Table(File);

impl Table {
    /// A table, to read it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Table> {
        File::open(path).map(Table)
    }

    /// A table, to write it; it is made where it is missing.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn write(path: &Path) -> io::Result<Table> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map(Table)
    }

    /// A block's digest, if it is present.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn get(&self, index: u64) -> io::Result<Option<[u8; 32]>> {
        let mut record = [0; RECORD];
        match self.0.read_exact_at(&mut record, place(index)) {
            Ok(()) => Ok(parse(&record)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A block is present, or absent.
    ///
    /// # Errors
    /// The table cannot be written.
    pub fn set(&self, index: u64, digest: Option<&[u8; 32]>) -> io::Result<()> {
        let mut record = [0; RECORD];
        if let Some(digest) = digest {
            record[0] = 1;
            record[RECORD / 2..].copy_from_slice(digest);
        }
        self.0.write_all_at(&record, place(index))
    }

    /// The blocks that are present, from an index on.
    pub fn entries(self, from: u64) -> Entries {
        Entries {
            table: self,
            next: from,
            records: Vec::new(),
            used: 0,
        }
    }

    /// Sets when it was changed last.
    ///
    /// # Errors
    /// The file system does not let us.
    pub fn mark(&self, changed: SystemTime) -> io::Result<()> {
        self.0.set_modified(changed)
    }

    /// Another handle on it.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn again(&self) -> io::Result<Table> {
        self.0.try_clone().map(Table)
    }
}

fn place(index: u64) -> u64 {
    index * RECORD as u64
}

fn parse(record: &[u8]) -> Option<[u8; 32]> {
    match record.split_first() {
        Some((1, _)) => record.get(RECORD / 2..)?.try_into().ok(),
        _ => None,
    }
}

/// The blocks that are present, in the order of their indexes.
#[derive(Debug)]
pub struct Entries {
    table: Table,
    /// The index of the first record that was not read yet.
    next: u64,
    /// Records that were read, and how many bytes of them were looked at.
    records: Vec<u8>,
    used: usize,
}

impl Entries {
    /// Reads the next records that may say something; false if there are none.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(extent) = extents::next(&self.table.0, place(self.next))? else {
            return Ok(false);
        };
        self.next = extent.start / RECORD as u64;
        self.records.resize(CHUNK * RECORD, 0);
        self.used = 0;
        let read = self.table.0.read_at(&mut self.records, place(self.next))?;
        // Whole records only: the table is written record by record.
        self.records.truncate(read / RECORD * RECORD);
        self.next += (read / RECORD) as u64;
        Ok(!self.records.is_empty())
    }
}

impl Iterator for Entries {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        loop {
            let Some(record) = self.records.get(self.used..self.used + RECORD) else {
                match self.fill() {
                    Ok(true) => continue,
                    Ok(false) => return None,
                    Err(error) => return Some(Err(error)),
                }
            };
            let behind = ((self.records.len() - self.used) / RECORD) as u64;
            self.used += RECORD;
            if let Some(digest) = parse(record) {
                return Some(Ok((self.next - behind, digest)));
            }
        }
    }
}
