//! Promotion: a release comes into a channel.
//!
//! The release has been published, and the channel is one of the publisher's. Customers' access is
//! not moved here: `share apply` gives it.

use serde::Serialize;
use time::format_description::well_known::Rfc3339;

use super::settings::ChannelNameError;
use super::store::{self, Entered};
use super::{Entry, Stay};
use crate::aws::AwsError;
use crate::interrupt::Stop;
use crate::publish::bucket::{Bucket, BucketError};
use crate::publish::manifest::State;
use crate::publish::release::ReleaseId;
use crate::telemetry;

/// Why a release did not come into a channel.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// There is no such channel.
    #[error(transparent)]
    Channel(#[from] ChannelNameError),
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The bucket, or what lies in it, cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The channel was not written, as far as is known.
    #[error("whether {release} came into {channel} is not known: {source}")]
    Unanswered {
        /// The release.
        release: ReleaseId,
        /// The channel.
        channel: String,
        /// Why.
        source: BucketError,
    },
    /// There is no manifest of it.
    #[error("there is no release {release} in {bucket}")]
    NoRelease {
        /// The release.
        release: ReleaseId,
        /// Where releases are looked for: `s3://…`.
        bucket: String,
    },
    /// Not all that it is to be is there.
    #[error("{0} is not published: it was begun and not finished")]
    Unfinished(ReleaseId),
    /// It is in the channel.
    #[error("{} is in {channel} already, {}; nothing was moved", .stay.release, whence(.stay))]
    Already {
        /// The channel.
        channel: String,
        /// Since when, and by whom.
        stay: Box<Stay>,
    },
    /// Told to stop.
    #[error("{0}; nothing was moved")]
    Interrupted(&'static str),
}

impl PromoteError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            PromoteError::Channel(error) => error.advice(),
            PromoteError::Aws(error) => error.advice(),
            PromoteError::Bucket(error) => return error.advice(),
            PromoteError::Unanswered { source, .. } => {
                let first = source.advice().map_or(String::new(), |advice| format!("{advice}\n"));
                format!(
                    "{first}then run the same command again: if it says that the release is there \
                     already, this run did it"
                )
            }
            PromoteError::NoRelease { .. } => {
                "name a release as `publish` printed it; publish.bucket and publish.prefix say where it is looked for".to_owned()
            }
            PromoteError::Unfinished(release) => {
                format!("finish it first: `alpine-ami publish {release}`")
            }
            PromoteError::Already { .. } => {
                "nothing is left to do here, also if that was a run of yours that was cut off; \
                 `alpine-ami share apply` gives customers access"
                    .to_owned()
            }
            PromoteError::Interrupted(_) => "run the same command again".to_owned(),
        })
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            PromoteError::Channel(_)
                | PromoteError::NoRelease { .. }
                | PromoteError::Unfinished(_)
                | PromoteError::Already { .. }
                | PromoteError::Bucket(BucketError::Missing { .. } | BucketError::Elsewhere { .. })
        )
    }
}

fn whence(stay: &Stay) -> String {
    let at = stay.since.replace_nanosecond(0).unwrap_or(stay.since);
    let at = at.format(&Rfc3339).unwrap_or_else(|_| at.to_string());
    match stay.by.is_empty() {
        true => format!("since {at}"),
        false => format!("since {at} by {}", stay.by),
    }
}

/// What a promotion came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promoted {
    /// The release.
    pub release: ReleaseId,
    /// The channel that it is in now.
    pub channel: String,
    /// What was there before, of the same profile and architecture.
    pub before: Option<ReleaseId>,
}

/// Brings a release into a channel, by a principal and for a reason. Once the channel is being
/// written, this does not stop any more: it would not be known whether it is.
///
/// # Errors
/// The release is not there, or not finished, or is in the channel already; AWS's; told to stop.
pub async fn promote(
    bucket: &Bucket,
    release: &ReleaseId,
    channel: &str,
    by: (&str, Option<&str>),
    stop: Stop,
) -> Result<Promoted, PromoteError> {
    let span = telemetry::span!("promote", %release, channel);
    telemetry::stage(span, promote_it(bucket, release, channel, by, stop)).await
}

async fn promote_it(
    bucket: &Bucket,
    release: &ReleaseId,
    channel: &str,
    (by, reason): (&str, Option<&str>),
    mut stop: Stop,
) -> Result<Promoted, PromoteError> {
    tokio::select! {
        biased;
        how = stop.told() => return Err(PromoteError::Interrupted(how)),
        seen = published(bucket, release) => seen?,
    }
    let entry = Entry {
        // By AWS's clock: the machines that promote need not have the same time.
        at: bucket.now(),
        by: by.to_owned(),
        reason: reason.map(str::to_owned),
    };
    let entered = store::enter(bucket, channel, release, &entry).await;
    let entered = entered.map_err(|error| match error.may_be_done {
        false => PromoteError::Bucket(error.source),
        true => PromoteError::Unanswered {
            release: release.clone(),
            channel: channel.to_owned(),
            source: error.source,
        },
    })?;
    match entered {
        Entered::Now { before } => Ok(Promoted {
            release: release.clone(),
            channel: channel.to_owned(),
            before,
        }),
        Entered::Already(stay) => Err(PromoteError::Already {
            channel: channel.to_owned(),
            stay: Box::new(stay),
        }),
    }
}

/// Sees that a release is there, and everything of it.
async fn published(bucket: &Bucket, release: &ReleaseId) -> Result<(), PromoteError> {
    bucket.check().await?;
    let stored = bucket.manifest(release).await?;
    let stored = stored.ok_or_else(|| PromoteError::NoRelease {
        release: release.clone(),
        bucket: bucket.url(""),
    })?;
    match stored.manifest.state {
        State::Published => Ok(()),
        State::Publishing => Err(PromoteError::Unfinished(release.clone())),
    }
}
