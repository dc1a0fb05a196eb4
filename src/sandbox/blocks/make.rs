//! Making volumes out of snapshots, and snapshots out of volumes and other snapshots.
//!
//! Everything can be done again from the start: results get their names when they are whole.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::table::Table;
use super::{BLOCK_SIZE, BlockStore, ZERO_DIGEST, extents, noise, offset};

/// The snapshot that a volume begins with.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    /// Its id.
    pub snapshot: &'a str,
    /// How many blocks it has place for.
    pub blocks: u64,
    /// Whether it is encrypted: its absent blocks are noise then.
    pub encrypted: bool,
}

impl BlockStore {
    /// Makes the files of a snapshot that is the copy of another one.
    ///
    /// # Errors
    /// The other one's files are not there.
    pub(super) fn make_copy(&self, snapshot: &str, source: &str) -> io::Result<()> {
        for end in ["data", "table"] {
            match std::fs::hard_link(self.file(source, end), self.file(snapshot, end)) {
                // Done before a kill.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Makes a volume's file.
    ///
    /// # Errors
    /// Files cannot be read or written; the file system may not have room for the size.
    pub(super) fn make_volume(
        &self,
        volume: &str,
        size_gib: u32,
        beginning: Option<Beginning<'_>>,
    ) -> io::Result<()> {
        let raw = self.volume_file(volume);
        if raw.exists() {
            return Ok(());
        }
        let part = self.file(volume, "raw.part");
        let file = create(&part)?;
        file.set_len(u64::from(size_gib) << 30)?;
        if let Some(beginning) = beginning {
            let table = self.file(volume, "table");
            remove(&table)?;
            std::fs::hard_link(self.file(beginning.snapshot, "table"), &table)?;
            self.fill_volume(volume, &file, beginning)?;
        }
        std::fs::rename(part, raw)
    }

    fn fill_volume(&self, volume: &str, file: &File, beginning: Beginning<'_>) -> io::Result<()> {
        let data = File::open(self.file(beginning.snapshot, "data"))?;
        // Where the absent blocks begin that are to be filled next.
        let mut absent = 0;
        let fill = |range: std::ops::Range<u64>| {
            let mut range = if beginning.encrypted { range } else { 0..0 };
            range
                .try_for_each(|index| file.write_all_at(noise::block(volume, index), offset(index)))
        };
        for entry in self.entries(beginning.snapshot, 0)? {
            let (index, digest) = entry?;
            fill(absent..index)?;
            absent = index + 1;
            if digest != *ZERO_DIGEST {
                extents::copy(&data, file, offset(index)..offset(index + 1))?;
            }
        }
        fill(absent..beginning.blocks)
    }

    /// Makes a snapshot's files out of a volume: the blocks that the volume has data in, and those
    /// that it began with.
    ///
    /// # Errors
    /// Files cannot be read or written.
    pub(super) fn make_snapshot(&self, snapshot: &str, volume: &str) -> io::Result<()> {
        if self.file(snapshot, "table").exists() {
            return Ok(());
        }
        let (data_part, table_part) = (
            self.file(snapshot, "data.part"),
            self.file(snapshot, "table.part"),
        );
        remove(&table_part)?;
        let (data, table) = (create(&data_part)?, Table::write(&table_part)?);
        let raw = File::open(self.volume_file(volume))?;
        let began = match Table::open(&self.file(volume, "table")) {
            Ok(table) => Some(table),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut block = vec![0; BLOCK_SIZE];
        let mut position = 0;
        while let Some(extent) = extents::next(&raw, position)? {
            let index = extent.start / BLOCK_SIZE as u64;
            position = offset(index + 1);
            raw.read_exact_at(&mut block, offset(index))?;
            let is_absent = match &began {
                Some(began) => block == noise::block(volume, index) && began.get(index)?.is_none(),
                None => false,
            };
            if is_absent {
                continue;
            }
            let digest = Sha256::digest(&block).into();
            if digest != *ZERO_DIGEST {
                data.write_all_at(&block, offset(index))?;
            }
            table.set(index, Some(&digest))?;
        }
        if let Some(began) = began {
            for entry in began.entries(0) {
                let (index, _) = entry?;
                if table.get(index)?.is_none() {
                    table.set(index, Some(&ZERO_DIGEST))?;
                }
            }
        }
        std::fs::rename(data_part, self.file(snapshot, "data"))?;
        std::fs::rename(table_part, self.file(snapshot, "table"))
    }

    /// Completes a snapshot that blocks were put into with the other blocks of its parent.
    ///
    /// # Errors
    /// Files cannot be read or written.
    pub(super) fn merge_parent(&self, snapshot: &str) -> io::Result<()> {
        let parent = match Table::open(&self.file(snapshot, "base.table")) {
            Ok(table) => table,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let from = File::open(self.file(snapshot, "base.data"))?;
        let data = OpenOptions::new()
            .write(true)
            .open(self.file(snapshot, "data"))?;
        let table = Table::write(&self.file(snapshot, "table"))?;
        for entry in parent.entries(0) {
            let (index, digest) = entry?;
            if table.get(index)?.is_some() {
                continue;
            }
            if digest != *ZERO_DIGEST {
                extents::copy(&from, &data, offset(index)..offset(index + 1))?;
            }
            table.set(index, Some(&digest))?;
        }
        Ok(())
    }

    /// Removes the parent that a snapshot does not need any more.
    ///
    /// # Errors
    /// The files cannot be removed.
    pub(super) fn drop_base(&self, snapshot: &str) -> io::Result<()> {
        remove(&self.file(snapshot, "base.table"))?;
        remove(&self.file(snapshot, "base.data"))
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
