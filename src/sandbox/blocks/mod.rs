//! The data of snapshots and volumes, in sparse files.
//!
//! | file | what it holds |
//! |---|---|
//! | `snap-….data` | a snapshot's blocks, each at its place; blocks of zeros are holes |
//! | `snap-….table` | a record for each block: whether it is present, and its digest |
//! | `snap-….base.*` | the parent of a snapshot that blocks are put into, by hard link |
//! | `vol-….raw` | a volume, as machines attach it |
//! | `vol-….table` | the table of the snapshot that the volume was made from |
//! | `….part` | being written |
//! | `token.key` | what block tokens are signed with |
//!
//! What is finished never changes (volumes apart), so a copy of a snapshot is a hard link, and work
//! that a kill broke off is done again from the start.

mod extents;
mod job;
mod make;
mod noise;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use job::{Job, perform, recover};
pub use table::{Entries, Entry};
pub use writer::Writer;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::clock::Timestamp;
use table::Table;

/// Bytes of a block of a snapshot.
pub const BLOCK_SIZE: usize = 512 << 10;

/// Blocks of a GiB.
pub const BLOCKS_PER_GIB: u64 = 2048;

/// SHA-256 of a block of zeros.
static ZERO_DIGEST: LazyLock<[u8; 32]> =
    LazyLock::new(|| Sha256::digest(vec![0; BLOCK_SIZE]).into());

/// The folder of the data.
#[derive(Debug)]
pub struct BlockStore {
    folder: PathBuf,
    token_key: [u8; 32],
    writers: Mutex<HashMap<String, Arc<Writer>>>,
}

impl BlockStore {
    /// The data in a folder, which is made.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path) -> io::Result<BlockStore> {
        std::fs::create_dir_all(folder)?;
        Ok(BlockStore {
            folder: folder.to_owned(),
            token_key: token_key(&folder.join("token.key"))?,
            writers: Mutex::default(),
        })
    }

    /// The raw file of a volume, which a machine attaches.
    pub fn volume_file(&self, volume: &str) -> PathBuf {
        self.file(volume, "raw")
    }

    /// What block tokens are signed with; it outlives the sandbox's process, as tokens do.
    pub fn token_key(&self) -> &[u8; 32] {
        &self.token_key
    }

    /// Makes the empty files of a snapshot that blocks will be put into, on top of its parent's.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn start(&self, snapshot: &str, parent: Option<&str>, now: Timestamp) -> io::Result<()> {
        File::create_new(self.file(snapshot, "data"))?;
        File::create_new(self.file(snapshot, "table"))?;
        if let Some(parent) = parent {
            for end in ["data", "table"] {
                let base = self.file(snapshot, &format!("base.{end}"));
                std::fs::hard_link(self.file(parent, end), base)?;
            }
        }
        let writer = Writer::open(self, snapshot, now)?;
        self.lock_writers()
            .insert(snapshot.to_owned(), Arc::new(writer));
        Ok(())
    }

    /// For putting blocks into a snapshot that was started, also before a restart.
    ///
    /// # Errors
    /// Its files cannot be opened.
    pub fn writer(&self, snapshot: &str, ahead_ms: i64) -> io::Result<Arc<Writer>> {
        if let Some(writer) = self.lock_writers().get(snapshot) {
            return Ok(Arc::clone(writer));
        }
        let last = self.touched(snapshot, ahead_ms)?;
        let writer = Writer::open(self, snapshot, last)?;
        // Somebody else may have been faster.
        Ok(Arc::clone(
            self.lock_writers()
                .entry(snapshot.to_owned())
                .or_insert_with(|| Arc::new(writer)),
        ))
    }

    /// When the last block was put into a snapshot, or it was started.
    ///
    /// # Errors
    /// Its files are not there.
    pub fn last_put(&self, snapshot: &str, ahead_ms: i64) -> io::Result<Timestamp> {
        let writer = self.lock_writers().get(snapshot).map(Arc::clone);
        match writer {
            Some(writer) => Ok(writer.last()),
            None => self.touched(snapshot, ahead_ms),
        }
    }

    /// When a snapshot's table was changed last.
    fn touched(&self, snapshot: &str, ahead_ms: i64) -> io::Result<Timestamp> {
        let touched = self.file(snapshot, "table").metadata()?.modified()?;
        let since = touched.duration_since(UNIX_EPOCH).unwrap_or_default();
        let last = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Ok(Timestamp(last.saturating_add(ahead_ms)))
    }

    /// How far a snapshot is, in percent, as its writer said since the sandbox was started.
    pub fn progress(&self, snapshot: &str) -> u8 {
        let writers = self.lock_writers();
        writers.get(snapshot).map_or(0, |writer| writer.progress())
    }

    /// Closes the writer of a snapshot whose time was up after the put at `last`. One that is in
    /// use right now, or was since, stays.
    pub fn time_out(&self, snapshot: &str, last: Timestamp, ahead_ms: i64) {
        let mut writers = self.lock_writers();
        let Some(writer) = writers.get(snapshot) else {
            return;
        };
        // What the writer knows is found at the table from now on, whose clock is the real one.
        let real = last.0.saturating_sub(ahead_ms);
        let since = Duration::from_millis(u64::try_from(real).unwrap_or(0));
        if writer.give_up(last, UNIX_EPOCH + since) {
            writers.remove(snapshot);
        }
    }

    /// Whether files of a snapshot are open for putting blocks into it.
    #[cfg(test)]
    pub(crate) fn has_writer(&self, snapshot: &str) -> bool {
        self.lock_writers().contains_key(snapshot)
    }

    /// No more blocks will be put into a snapshot.
    pub fn close(&self, snapshot: &str) {
        self.lock_writers().remove(snapshot);
    }

    /// A block of a snapshot with its digest, if it is present.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn read(&self, snapshot: &str, index: u64) -> io::Result<Option<(Vec<u8>, [u8; 32])>> {
        let Some(digest) = self.digest(snapshot, index)? else {
            return Ok(None);
        };
        let mut block = vec![0; BLOCK_SIZE];
        if digest != *ZERO_DIGEST {
            let data = File::open(self.file(snapshot, "data"))?;
            data.read_exact_at(&mut block, offset(index))?;
        }
        Ok(Some((block, digest)))
    }

    /// The digest of a block of a snapshot, if it is present.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn digest(&self, snapshot: &str, index: u64) -> io::Result<Option<[u8; 32]>> {
        Table::open(&self.file(snapshot, "table"))?.get(index)
    }

    /// The blocks that a snapshot has, from an index on, in the order of their indexes.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn entries(&self, snapshot: &str, from: u64) -> io::Result<Entries> {
        Ok(Table::open(&self.file(snapshot, "table"))?.entries(from))
    }

    fn file(&self, id: &str, end: &str) -> PathBuf {
        self.folder.join(format!("{id}.{end}"))
    }

    fn lock_writers(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Writer>>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a block is in a file.
fn offset(index: u64) -> u64 {
    index * BLOCK_SIZE as u64
}

fn token_key(file: &Path) -> io::Result<[u8; 32]> {
    match std::fs::read(file) {
        Ok(bytes) => bytes
            .try_into()
            .map_err(|_| io::Error::other("token.key is not 32 bytes long")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = super::id::random::<32>();
            let part = file.with_extension("part");
            std::fs::write(&part, key)?;
            std::fs::rename(&part, file)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}
