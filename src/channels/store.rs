//! Channels in the publisher's bucket.

use super::{Channel, Entry, SCHEMA};
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
    let found = bucket.document::<Channel>(&key(name), SCHEMA).await?;
    Ok(found.map_or_else(|| Channel::empty(name), |(channel, _)| channel))
}

/// Brings a release into a channel, in the place of the one that is there; which one that was, and
/// whether anything changed. Two that do it at once lose nothing of each other's.
///
/// # Errors
/// AWS's; others change the channel all the time.
pub async fn enter(
    bucket: &Bucket,
    name: &str,
    release: &ReleaseId,
    entry: &Entry,
) -> Result<Option<Entered>, BucketError> {
    let key = key(name);
    for _ in 0..MOST_ROUNDS {
        let found = bucket.document::<Channel>(&key, SCHEMA).await?;
        let (channel, etag) = match found {
            Some((channel, etag)) => (channel, Some(etag)),
            None => (Channel::empty(name), None),
        };
        let Some((next, before)) = channel.with(release, entry.clone()) else {
            return Ok(None);
        };
        let written = bucket.put_document(&key, &next, etag.as_ref()).await?;
        if written.is_some() {
            return Ok(Some(Entered { before }));
        }
    }
    Err(bucket.contended(&key))
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// What was in the channel before, of the same profile and architecture.
    pub before: Option<ReleaseId>,
}
