//! Channels in the publisher's bucket.

use super::{Channel, Entry, SCHEMA, Stay};
use crate::publish::bucket::{Bucket, BucketError};
use crate::publish::release::ReleaseId;

/// So many others may be faster before this gives up.
const MOST_ROUNDS: u32 = 16;

/// The object that a channel is.
pub fn key(channel: &str) -> String {
    format!("channels/{channel}.json")
}

/// Reads a channel; one that nothing was in yet is empty.
///
/// # Errors
/// AWS's; it cannot be read, or was written by a newer version of this program.
pub async fn read(bucket: &Bucket, name: &str) -> Result<Channel, BucketError> {
    let found = find(bucket, name).await?;
    Ok(found.unwrap_or_else(|| Channel::empty(name)))
}

/// Reads a channel; none if nothing was ever in it.
///
/// # Errors
/// AWS's; it cannot be read, or was written by a newer version of this program.
pub async fn find(bucket: &Bucket, name: &str) -> Result<Option<Channel>, BucketError> {
    let found = bucket.document::<Channel>(&key(name), SCHEMA).await?;
    Ok(found.map(|(channel, _)| channel))
}

/// Brings a release into a channel, in the place of the one that is there. Two that do it at once
/// lose nothing of each other's. `entry` is this run's alone: by it the run knows its own write where
/// the answer to that was lost.
///
/// # Errors
/// AWS's; others change the channel all the time.
pub async fn enter(
    bucket: &Bucket,
    name: &str,
    release: &ReleaseId,
    entry: &Entry,
) -> Result<Entered, EnterError> {
    let key = key(name);
    for _ in 0..MOST_ROUNDS {
        let found = bucket.document::<Channel>(&key, SCHEMA).await?;
        let (channel, etag) = match found {
            Some((channel, etag)) => (channel, Some(etag)),
            None => (Channel::empty(name), None),
        };
        // An attempt whose answer was lost did it, and somebody else has written since.
        if let Some(before) = channel.entered(release, entry) {
            return Ok(Entered::Now { before });
        }
        let Some((next, before)) = channel.with(release, entry.clone()) else {
            let stay = channel.stay(release).cloned();
            let stay = stay.expect("it is in the channel: it would take no place");
            return Ok(Entered::Already(stay));
        };
        match bucket.put_document(&key, &next, etag.as_ref()).await {
            Ok(Some(_)) => return Ok(Entered::Now { before }),
            Ok(None) => {}
            // No attempt got an answer. One of them may have done it all the same.
            Err(error) => {
                let channel = read(bucket, name).await.ok();
                let before = channel.and_then(|channel| channel.entered(release, entry));
                return match before {
                    Some(before) => Ok(Entered::Now { before }),
                    None => Err(EnterError {
                        may_be_done: !was_refused(&error),
                        source: error,
                    }),
                };
            }
        }
    }
    Err(bucket.contended(&key).into())
}

/// The one attempt of a write was answered, with a no.
fn was_refused(error: &BucketError) -> bool {
    let BucketError::Aws(error) = error else {
        return false;
    };
    let is_write = error.action == "s3:PutObject";
    is_write && error.attempts == 1 && !error.kind.is_transient()
}

/// Why a release was not brought into a channel.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{source}")]
pub struct EnterError {
    /// Why.
    pub source: BucketError,
    /// Whether it may have been all the same: AWS has not answered, and cannot be asked.
    pub may_be_done: bool,
}

impl From<BucketError> for EnterError {
    fn from(source: BucketError) -> EnterError {
        EnterError {
            source,
            may_be_done: false,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// It was brought in.
    Now {
        /// What was in the channel before, of the same profile and architecture.
        before: Option<ReleaseId>,
    },
    /// It is there already, and nothing was changed.
    Already(Stay),
}
