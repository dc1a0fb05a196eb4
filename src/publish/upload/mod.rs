//! An image becomes a snapshot, block by block.
//!
//! | part | subject |
//! |---|---|
//! | [`send`] | puts blocks: what goes when, and in whose memory |
//! | [`pace`] | how many are under way at once |
//! | [`journal`] | what AWS has acknowledged, for a run that is begun again |
//! | [`verify`] | reads a snapshot back |
//! | [`error`] | why it did not work |
//!
//! StartSnapshot answers a token that it knows with the snapshot that it made then. So a run that
//! is begun again finds its snapshot, and the journal beside the image says which blocks that one
//! has already. Without a journal all blocks are sent again, to the same snapshot.

pub mod error;
pub mod journal;
pub mod pace;
mod send;
#[cfg(test)]
mod tests;
pub mod verify;

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use self::journal::{Journal, Subject};
use self::pace::Pace;
use super::progress::Progress;
use crate::aws::ebs::{Ebs, Encryption, Start, Taken};
use crate::aws::tags::Tags;
use crate::aws::{AwsError, KeyArn, Kind, SnapshotId};
use crate::blocks::digests::{BLOCK, BLOCKS_PER_GIB, BlockDigests, linear, of_zeros};

pub use self::error::UploadError;
pub use self::pace::PUTS_PER_SECOND;

/// Calls that are under way at most: from 200 ms away, 1,000 blocks a second need 200.
const MOST_UNDER_WAY: u32 = 320;

/// What EC2 says of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotState {
    /// EC2 does not know it (yet, or no more).
    Missing,
    /// Open for blocks, or completed a short while ago.
    Pending,
    /// It has all its blocks.
    Completed,
    /// It never will; AWS's reason.
    Failed(String),
}

/// Who can tell the state of a snapshot.
#[async_trait]
pub trait SnapshotStates: Send + Sync {
    /// What EC2 says now.
    async fn state(&self, snapshot: &SnapshotId) -> Result<SnapshotState, AwsError>;
}

/// The snapshot whose blocks the new one has where none are sent.
#[derive(Debug, Clone)]
pub struct ParentSnapshot {
    /// The snapshot, completed, in the same Region.
    pub snapshot: SnapshotId,
    /// The digests of its blocks, every one of which it has.
    pub blocks: BlockDigests,
}

/// An upload.
pub struct Upload {
    /// The Region that it goes to.
    pub ebs: Ebs,
    /// Who tells the snapshot's state.
    pub states: Arc<dyn SnapshotStates>,
    /// The image.
    pub image: Arc<File>,
    /// Its length, in bytes.
    pub size: u64,
    /// The digests of all blocks of the volume ([`crate::blocks::on_volume`]).
    pub blocks: BlockDigests,
    /// Size of the volume, in GiB.
    pub volume_gib: u32,
    /// The token of StartSnapshot. It stands for the image: made from a release, whose source is
    /// the image's digest.
    pub token: String,
    /// The snapshot's tags. With the same token they must be the same, too: AWS takes them for a
    /// part of what was asked.
    pub tags: Tags,
    /// The snapshot's description; likewise.
    pub description: String,
    /// The key that the snapshot must be encrypted under. None is for measurements alone.
    pub key: Option<KeyArn>,
    /// The snapshot that the blocks which are not sent come from.
    pub parent: Option<ParentSnapshot>,
    /// Leaves out blocks of zeros. Of an encrypted snapshot they are sent in any case: those that
    /// were not read as random data.
    pub omit_zeros: bool,
    /// The file that remembers what was acknowledged.
    pub journal: Option<PathBuf>,
    /// Blocks a second at most: [`PUTS_PER_SECOND`], unless the account has another quota.
    pub puts_per_second: Option<u32>,
    /// Who hears of it.
    pub progress: Progress,
}

/// What came of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The snapshot. AWS has taken its completion; until EC2 says `completed` some seconds pass.
    pub snapshot: SnapshotId,
    /// Blocks that this run sent.
    pub blocks_sent: u32,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Blocks that the snapshot has of its own: those that differ from the parent's, or all.
    pub blocks_total: u32,
    /// Blocks that an earlier run had sent.
    pub resumed_blocks: u32,
    /// Attempts that AWS throttled.
    pub throttled: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Numbers of the blocks that a snapshot must be sent, in their order.
pub fn to_send(blocks: &BlockDigests, parent: Option<&BlockDigests>, omit_zeros: bool) -> Vec<u32> {
    let zeros = of_zeros();
    let mut numbers = match parent {
        Some(parent) => blocks.differing(parent),
        None => (0u32..).take(blocks.0.len()).collect(),
    };
    // What the parent has there must be written over, be it with zeros.
    if omit_zeros && parent.is_none() {
        numbers.retain(|number| blocks.0[*number as usize] != zeros);
    }
    numbers
}

impl Upload {
    /// Sends what is missing and completes the snapshot. The future may be dropped at any time:
    /// another run goes on from there.
    ///
    /// # Errors
    /// [`UploadError`]; for [`UploadError::SnapshotFailed`] another token is needed.
    pub async fn run(&self) -> Result<Uploaded, UploadError> {
        let began = Instant::now();
        if self.blocks.0.len() != self.volume_gib as usize * BLOCKS_PER_GIB as usize {
            return Err(UploadError::WrongSize {
                blocks: self.blocks.0.len(),
                volume_gib: self.volume_gib,
                region: self.ebs.region().clone(),
            });
        }
        let parent = self.parent.as_ref().map(|parent| &parent.blocks);
        let omit_zeros = self.omit_zeros && self.key.is_none();
        let needed = to_send(&self.blocks, parent, omit_zeros);
        let snapshot = self.start().await?;
        let region = self.ebs.region();
        self.progress
            .say(format!("snapshot {snapshot} in {region}"));
        let mut uploaded = Uploaded {
            snapshot,
            blocks_sent: 0,
            bytes_sent: 0,
            blocks_total: needed.len() as u32,
            resumed_blocks: 0,
            throttled: 0,
            elapsed: Duration::ZERO,
        };
        if !self.is_completed(&uploaded.snapshot).await? {
            self.send_and_complete(&needed, &mut uploaded).await?;
        } else {
            uploaded.resumed_blocks = uploaded.blocks_total;
            // The run that completed it may not have come so far.
            if let Some(path) = &self.journal {
                journal::forget(path);
            }
        }
        uploaded.elapsed = began.elapsed();
        Ok(uploaded)
    }

    /// The snapshot that the token stands for.
    async fn start(&self) -> Result<SnapshotId, UploadError> {
        let encryption = match (&self.parent, &self.key) {
            (Some(parent), _) => Encryption::Parent(parent.snapshot.clone()),
            (None, Some(key)) => Encryption::Key(key.clone()),
            (None, None) => Encryption::None,
        };
        let start = Start {
            token: &self.token,
            volume_gib: self.volume_gib,
            encryption: &encryption,
            description: &self.description,
            tags: &self.tags,
        };
        let started = self.ebs.start_snapshot(&start).await;
        let started = started.map_err(|error| match error.kind {
            Kind::Conflict => UploadError::TokenTaken(Box::new(error)),
            _ => error.into(),
        })?;
        match &self.key {
            Some(wanted) if started.key.as_ref() != Some(wanted) => Err(UploadError::WrongKey {
                snapshot: started.snapshot,
                region: self.ebs.region().clone(),
                found: started.key,
                wanted: wanted.clone(),
            }),
            _ => Ok(started.snapshot),
        }
    }

    /// Whether nothing is left to do.
    async fn is_completed(&self, snapshot: &SnapshotId) -> Result<bool, UploadError> {
        match self.states.state(snapshot).await? {
            SnapshotState::Completed => Ok(true),
            // It may have been started this moment.
            SnapshotState::Pending | SnapshotState::Missing => Ok(false),
            SnapshotState::Failed(why) => Err(self.failed(snapshot, why)),
        }
    }

    async fn send_and_complete(
        &self,
        needed: &[u32],
        uploaded: &mut Uploaded,
    ) -> Result<(), UploadError> {
        let subject = Subject {
            token: &self.token,
            region: self.ebs.region(),
            linear: &linear(&self.blocks.0),
            parent: self.parent.as_ref().map(|parent| &parent.snapshot),
        };
        let snapshot = uploaded.snapshot.clone();
        loop {
            let (journal, known) = Journal::open(self.journal.as_deref(), &subject, &snapshot);
            let known: HashSet<u32> = known.into_iter().collect();
            let (acknowledged, missing): (Vec<u32>, Vec<u32>) =
                needed.iter().partition(|block| known.contains(block));
            uploaded.resumed_blocks = acknowledged.len() as u32;
            let pace = Pace::new(MOST_UNDER_WAY, self.puts_per_second);
            let journal = Arc::new(journal);
            let sent = send::send(self, &snapshot, &missing, &journal, &pace).await;
            self.progress.end();
            uploaded.throttled += pace.throttled();
            match self.after(&snapshot, sent, Phase::Puts).await? {
                Next::Over => {
                    journal.remove();
                    return Ok(());
                }
                Next::Complete => {}
                Next::Taken => {
                    uploaded.blocks_sent += missing.len() as u32;
                    uploaded.bytes_sent += missing.len() as u64 * BLOCK as u64;
                }
            }
            match self.complete(&snapshot, needed).await {
                // Some acknowledged block is not there after all.
                Err(UploadError::Aws(error))
                    if error.kind == Kind::Invalid && uploaded.resumed_blocks > 0 =>
                {
                    tracing::warn!("{error}; every block is sent again");
                    journal.remove();
                }
                completed => {
                    completed?;
                    journal.remove();
                    return Ok(());
                }
            }
        }
    }

    async fn complete(&self, snapshot: &SnapshotId, needed: &[u32]) -> Result<(), UploadError> {
        let put = needed.iter().map(|block| &self.blocks.0[*block as usize]);
        let (count, linear) = (needed.len() as u32, linear(put));
        let taken = self.ebs.complete_snapshot(snapshot, count, &linear).await;
        let taken = taken.map_err(UploadError::from);
        self.after(snapshot, taken, Phase::Completion).await?;
        Ok(())
    }

    /// What follows a call, which may have found the snapshot completed already: by an attempt
    /// whose answer was lost, or by an earlier run.
    async fn after(
        &self,
        snapshot: &SnapshotId,
        result: Result<Taken, UploadError>,
        phase: Phase,
    ) -> Result<Next, UploadError> {
        let refused = match result {
            Ok(Taken::Yes) => return Ok(Next::Taken),
            Ok(Taken::NotOpen(words)) => Refused::NotOpen(words),
            Err(UploadError::Aws(error)) if error.kind == Kind::NotFound => {
                Refused::NotFound(error)
            }
            Err(error) => return Err(error),
        };
        next(phase, refused, self.states.state(snapshot).await?).map_err(|end| match end {
            End::Failed(why) => self.failed(snapshot, why),
            End::Aws(error) => UploadError::Aws(error),
        })
    }

    fn failed(&self, snapshot: &SnapshotId, why: String) -> UploadError {
        UploadError::SnapshotFailed {
            snapshot: snapshot.clone(),
            region: self.ebs.region().clone(),
            why,
        }
    }
}

/// Which call it is that a snapshot does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// PutSnapshotBlock.
    Puts,
    /// CompleteSnapshot.
    Completion,
}

/// How a call was refused.
enum Refused {
    /// The snapshot is not open; AWS's words.
    NotOpen(String),
    /// The EBS direct APIs do not know it, for longer than a new one takes.
    NotFound(Box<AwsError>),
}

/// What follows a call.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It was done.
    Taken,
    /// The snapshot takes no blocks: whether it has them all, its completion tells.
    Complete,
    /// The snapshot is completed.
    Over,
}

/// Why nothing follows.
#[derive(Debug)]
enum End {
    /// The snapshot will never be completed; why.
    Failed(String),
    /// The call's error.
    Aws(Box<AwsError>),
}

/// What follows a call that was refused, from what EC2 says of the snapshot. EC2 says `pending` of
/// one that is open, and of one that was completed a short while ago; which of both, CompleteSnapshot
/// tells, which compares the count and the digests of the blocks.
fn next(phase: Phase, refused: Refused, state: SnapshotState) -> Result<Next, End> {
    match (state, refused, phase) {
        (SnapshotState::Completed, _, _) => Ok(Next::Over),
        (SnapshotState::Failed(why), _, _) => Err(End::Failed(why)),
        (SnapshotState::Missing, Refused::NotOpen(words), _) => Err(End::Failed(words)),
        (SnapshotState::Missing, Refused::NotFound(error), _) => {
            Err(End::Failed(error.to_string()))
        }
        (SnapshotState::Pending, Refused::NotOpen(_), Phase::Puts) => Ok(Next::Complete),
        (SnapshotState::Pending, Refused::NotOpen(_), Phase::Completion) => Ok(Next::Over),
        (SnapshotState::Pending, Refused::NotFound(error), _) => Err(End::Aws(error)),
    }
}
