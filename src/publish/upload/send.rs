//! Putting blocks: which goes next, and in whose memory.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::Digest as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};

use super::journal::Journal;
use super::pace::{Pace, Pass};
use super::{Upload, UploadError};
use crate::aws::ebs::{Ebs, Taken};
use crate::aws::{Kind, SnapshotId};
use crate::blocks;
use crate::blocks::digests::{BLOCK, BlockDigest, of_zeros};
use crate::publish::progress::Progress;

/// Blocks of data in memory at once: 64 MiB.
const IN_MEMORY: usize = 128;

/// Puts blocks until all are acknowledged, or one cannot be put.
pub(super) async fn send(
    upload: &Upload,
    snapshot: &SnapshotId,
    missing: &[u32],
    journal: &Arc<Journal>,
    pace: &Arc<Pace>,
) -> Result<Taken, UploadError> {
    let what = format!("sending {snapshot}");
    upload.progress.begin(what, (missing.len() * BLOCK) as u64);
    let target = Arc::new(Target {
        ebs: upload.ebs.clone(),
        snapshot: snapshot.clone(),
        image: Arc::clone(&upload.image),
        size: upload.size,
        journal: Arc::clone(journal),
        progress: upload.progress.clone(),
    });
    let mut queue = Queue::new(missing, &upload.blocks.0);
    let mut tasks: JoinSet<Result<Taken, UploadError>> = JoinSet::new();
    // What is dropped with this future takes the tasks with it.
    while let Some(next) = queue.next().await {
        let pass = pace.next().await;
        while let Some(ended) = tasks.try_join_next() {
            if let Some(end) = last(ended) {
                return end;
            }
        }
        let digest = upload.blocks.0[next.block as usize];
        tasks.spawn(put(Arc::clone(&target), next, digest, pass));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Some(end) = last(ended) {
            return end;
        }
    }
    Ok(Taken::Yes)
}

/// What a task ended with, if no more blocks are to be put.
fn last(
    ended: Result<Result<Taken, UploadError>, tokio::task::JoinError>,
) -> Option<Result<Taken, UploadError>> {
    match ended {
        Ok(Ok(Taken::Yes)) => None,
        Ok(end) => Some(end),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Where blocks go, and who hears of it.
struct Target {
    ebs: Ebs,
    snapshot: SnapshotId,
    image: Arc<File>,
    size: u64,
    journal: Arc<Journal>,
    progress: Progress,
}

/// Puts a block.
async fn put(
    target: Arc<Target>,
    next: Next,
    digest: BlockDigest,
    pass: Pass,
) -> Result<Taken, UploadError> {
    let Next { block, memory } = next;
    let is_data = memory.is_some();
    let bytes = match memory {
        Some(memory) => target.read(block, memory).await?,
        None => blocks::zeros(),
    };
    let progress = target.progress.clone();
    let watch = pass.watch(move || progress.throttled());
    let put = target
        .ebs
        .put_block(&target.snapshot, block, bytes, &digest, watch);
    match put.await {
        Ok(Taken::Yes) => {
            target.journal.acknowledged(block);
            target.progress.advance(BLOCK as u64);
            pass.went_well();
            Ok(Taken::Yes)
        }
        Err(error) if is_data && error.kind == Kind::Invalid => {
            Err(target.why_refused(block, &digest, error).await)
        }
        other => Ok(other?),
    }
}

impl Target {
    async fn read(self: &Arc<Target>, block: u32, memory: Memory) -> Result<Bytes, UploadError> {
        let target = Arc::clone(self);
        let mut memory = memory;
        let filled = spawn_blocking(move || {
            blocks::read(&target.image, target.size, block, &mut memory.bytes)?;
            Ok(Bytes::from_owner(memory))
        });
        let filled = filled.await.unwrap_or_else(|error| {
            // It is not aborted, except with the runtime.
            Err(std::io::Error::other(error))
        });
        filled.map_err(|source| UploadError::Read {
            block,
            snapshot: self.snapshot.clone(),
            region: self.ebs.region().clone(),
            source,
        })
    }

    /// Whether AWS refused a block because the image is no longer what was hashed.
    async fn why_refused(
        self: &Arc<Target>,
        block: u32,
        digest: &BlockDigest,
        error: crate::aws::AwsError,
    ) -> UploadError {
        let memory = Memory::default();
        match self.read(block, memory).await {
            Ok(bytes) if BlockDigest::from(sha2::Sha256::digest(&bytes)) == *digest => error.into(),
            Ok(_) => UploadError::Changed {
                block,
                snapshot: self.snapshot.clone(),
                region: self.ebs.region().clone(),
            },
            Err(unreadable) => unreadable,
        }
    }
}

/// The block that goes next.
struct Next {
    block: u32,
    /// What it is read into; none for zeros, of which there is one block for all.
    memory: Option<Memory>,
}

/// Blocks that wait. Data goes as long as there is memory for it, zeros in the meantime: both
/// together keep the connection full, and a long run of either does not keep the other waiting.
struct Queue {
    data: std::vec::IntoIter<u32>,
    zeros: std::vec::IntoIter<u32>,
    store: Store,
}

impl Queue {
    fn new(missing: &[u32], digests: &[BlockDigest]) -> Queue {
        let zeros = of_zeros();
        let (zeros, data): (Vec<u32>, Vec<u32>) = missing
            .iter()
            .partition(|block| digests[**block as usize] == zeros);
        Queue {
            data: data.into_iter(),
            zeros: zeros.into_iter(),
            store: Store::new(IN_MEMORY),
        }
    }

    async fn next(&mut self) -> Option<Next> {
        let has_data = !self.data.as_slice().is_empty();
        if has_data && let Some(memory) = self.store.try_take() {
            let block = self.data.next()?;
            return Some(Next {
                block,
                memory: Some(memory),
            });
        }
        if let Some(block) = self.zeros.next() {
            return Some(Next {
                block,
                memory: None,
            });
        }
        let block = self.data.next()?;
        let memory = Some(self.store.take().await);
        Some(Next { block, memory })
    }
}

/// Blocks' memory that nobody uses.
type Free = Arc<Mutex<Vec<Vec<u8>>>>;

/// Memory for blocks of data, used again and again.
struct Store {
    free: Free,
    room: Arc<Semaphore>,
}

impl Store {
    fn new(blocks: usize) -> Store {
        Store {
            free: Arc::default(),
            room: Arc::new(Semaphore::new(blocks)),
        }
    }

    fn try_take(&self) -> Option<Memory> {
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        Some(self.lend(room))
    }

    async fn take(&self) -> Memory {
        let room = Arc::clone(&self.room).acquire_owned().await;
        self.lend(room.expect("the semaphore is not closed"))
    }

    fn lend(&self, room: OwnedSemaphorePermit) -> Memory {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Memory {
            bytes: free.unwrap_or_else(|| vec![0; BLOCK]),
            home: Some((Arc::clone(&self.free), room)),
        }
    }
}

/// A block's memory, which goes back when the last handle of it is dropped: also the HTTP client's.
struct Memory {
    bytes: Vec<u8>,
    home: Option<(Free, OwnedSemaphorePermit)>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            bytes: vec![0; BLOCK],
            home: None,
        }
    }
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some((free, room)) = self.home.take() {
            free.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(std::mem::take(&mut self.bytes));
            drop(room);
        }
    }
}
