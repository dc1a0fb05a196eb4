//! Why an upload ends without a snapshot.

use std::io;

use crate::aws::{AwsError, KeyArn, Kind, Region, SnapshotId};

/// Why an upload, or the reading back of one, failed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// A call failed.
    #[error(transparent)]
    Aws(Box<AwsError>),
    /// The image cannot be read.
    #[error("block {block} of the image cannot be read while it is sent to {snapshot} in {region}")]
    Read {
        /// The block.
        block: u32,
        /// The snapshot that it is for.
        snapshot: SnapshotId,
        /// Where.
        region: Region,
        /// Why.
        source: io::Error,
    },
    /// What a snapshot has cannot be written to a file.
    #[error("block {block} of {snapshot} in {region} cannot be written to the file")]
    Write {
        /// The block.
        block: u32,
        /// The snapshot.
        snapshot: SnapshotId,
        /// Where.
        region: Region,
        /// Why.
        source: io::Error,
    },
    /// The image is not what it was when it was scanned.
    #[error(
        "the image has changed: block {block} is no longer what it was, and {snapshot} in {region} did not take it"
    )]
    Changed {
        /// The block.
        block: u32,
        /// The snapshot that did not take it.
        snapshot: SnapshotId,
        /// Where.
        region: Region,
    },
    /// The digests are not those of a volume of that size.
    #[error(
        "{blocks} digests were given for a volume of {volume_gib} GiB in {region}, which has another number of blocks"
    )]
    WrongSize {
        /// Digests.
        blocks: usize,
        /// GiB.
        volume_gib: u32,
        /// Where.
        region: Region,
    },
    /// The token was used before, with other tags or another size, key or parent.
    #[error("a snapshot was started with the same token and other parameters: {0}")]
    TokenTaken(Box<AwsError>),
    /// The snapshot that the token stands for can never be completed: another attempt needs
    /// another token.
    #[error("{snapshot} in {region} has failed: {why}")]
    SnapshotFailed {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Where.
        region: Region,
        /// AWS's reason.
        why: String,
    },
    /// AWS encrypts the snapshot under another key, or not at all. No block was sent.
    #[error("{snapshot} in {region} is encrypted under {}, not under {wanted}; no block was sent", found.as_ref().map_or("no key", KeyArn::as_str))]
    WrongKey {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Where.
        region: Region,
        /// The key that it has.
        found: Option<KeyArn>,
        /// The key that it must have.
        wanted: KeyArn,
    },
}

impl From<AwsError> for UploadError {
    fn from(error: AwsError) -> UploadError {
        UploadError::Aws(Box::new(error))
    }
}

impl UploadError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            UploadError::Aws(error) if error.kind == Kind::Denied => format!(
                "{}, and the use of the snapshot's key",
                error.advice()
            ),
            UploadError::Aws(error) => error.advice(),
            UploadError::Read { .. } => {
                "see that the image can be read, and run the same command again; it goes on where it stopped".to_owned()
            }
            UploadError::Write { .. } => "make room where the file is, and run the command again".to_owned(),
            UploadError::Changed { .. } => {
                "let nothing write to the image while it is published: build it again, and publish that".to_owned()
            }
            UploadError::WrongSize { .. } => return None,
            UploadError::TokenTaken(_) => {
                "an earlier run began this release in another way: publish with what it was begun with, or as another release".to_owned()
            }
            UploadError::SnapshotFailed { snapshot, .. } => {
                format!("run the same command again: it makes another snapshot in place of {snapshot}")
            }
            UploadError::WrongKey { snapshot, .. } => format!(
                "see which key the parent snapshot is encrypted under; {snapshot} is empty and can be deleted"
            ),
        })
    }
}
