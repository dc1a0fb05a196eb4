//! Putting blocks into a snapshot: many at once, each in its place, none through the database.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::SystemTime;

use rustix::fs::{FallocateFlags, OFlags};

use super::table::{Entries, Table};
use super::{BLOCK_SIZE, BlockStore, ZERO_DIGEST, offset};
use crate::sandbox::clock::Timestamp;

/// Blocks whose indexes differ by a multiple of this are not put at the same time.
const STRIPES: usize = 64;

/// What memory must be aligned to, to be written past the page cache.
const PAGE: usize = 4096;

/// A snapshot that blocks are put into.
#[derive(Debug)]
pub struct Writer {
    data: File,
    /// The same file past the page cache, where the file system has that: blocks come faster than
    /// the kernel finds memory for them, and nobody reads them soon.
    direct: Option<File>,
    table: Table,
    last: AtomicI64,
    progress: AtomicU8,
    stripes: [Mutex<()>; STRIPES],
    sealed: RwLock<bool>,
}

impl Writer {
    pub(super) fn open(store: &BlockStore, snapshot: &str, last: Timestamp) -> io::Result<Writer> {
        let path = store.file(snapshot, "data");
        let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
        Ok(Writer {
            data: OpenOptions::new().read(true).write(true).open(&path)?,
            direct: OpenOptions::new()
                .write(true)
                .custom_flags(direct)
                .open(&path)
                .ok(),
            table: Table::write(&store.file(snapshot, "table"))?,
            last: AtomicI64::new(last.0),
            progress: AtomicU8::new(0),
            stripes: std::array::from_fn(|_| Mutex::new(())),
            sealed: RwLock::new(false),
        })
    }

    /// Puts a block, whose digest is known; false if the snapshot is sealed.
    ///
    /// # Errors
    /// Writing fails.
    pub fn put(
        &self,
        index: u64,
        block: &[u8],
        digest: &[u8; 32],
        now: Timestamp,
    ) -> io::Result<bool> {
        debug_assert_eq!(block.len(), BLOCK_SIZE);
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        if *sealed {
            return Ok(false);
        }
        let stripe = usize::try_from(index % STRIPES as u64).unwrap_or(0);
        let _alone = self.stripes[stripe]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.table.get(index)?;
        if before.is_some() {
            // A kill in between must not leave a block with another one's digest.
            self.table.set(index, None)?;
        }
        if *digest != *ZERO_DIGEST {
            self.write(block, offset(index))?;
        } else if before.is_some_and(|before| before != *ZERO_DIGEST) {
            rustix::fs::fallocate(
                &self.data,
                FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                offset(index),
                BLOCK_SIZE as u64,
            )?;
        }
        self.table.set(index, Some(digest))?;
        self.last.fetch_max(now.0, Ordering::Relaxed);
        Ok(true)
    }

    fn write(&self, block: &[u8], offset: u64) -> io::Result<()> {
        let is_aligned = block.as_ptr().align_offset(PAGE) == 0;
        if let Some(direct) = self.direct.as_ref().filter(|_| is_aligned) {
            match direct.write_all_at(block, offset) {
                // The file system wants another alignment, or has no such writes after all.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                written => return written,
            }
        }
        self.data.write_all_at(block, offset)
    }

    /// Waits for puts under way and keeps others off, for as long as the result lives, and for
    /// good where it is set to true.
    pub fn seal(&self) -> RwLockWriteGuard<'_, bool> {
        self.sealed.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals the snapshot for good if nothing is done with it right now and `last` is still its
    /// last put, which its table is marked with; whether that is so.
    pub(super) fn give_up(&self, last: Timestamp, mark: SystemTime) -> bool {
        // Whoever is being waited for may wait for the world, which the caller may have.
        let Ok(mut sealed) = self.sealed.try_write() else {
            return false;
        };
        let is_last = self.last() == last;
        *sealed = *sealed || is_last && self.table.mark(mark).is_ok();
        *sealed
    }

    /// The blocks that were put.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn entries(&self) -> io::Result<Entries> {
        Ok(self.table.again()?.entries(0))
    }

    /// When the last block was put, or the snapshot was started.
    pub fn last(&self) -> Timestamp {
        Timestamp(self.last.load(Ordering::Relaxed))
    }

    /// How far the whole is, in percent, as its writer says.
    pub fn progress(&self) -> u8 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Its writer says how far the whole is.
    pub fn set_progress(&self, percent: u8) {
        self.progress.store(percent, Ordering::Relaxed);
    }
}
