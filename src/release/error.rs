//! Why a release was not moved.

use std::collections::BTreeMap;

use time::format_description::well_known::Rfc3339;

use super::gate::Check;
use crate::aws::{AwsError, Region};
use crate::channels::Stay;
use crate::channels::settings::ChannelNameError;
use crate::channels::store::StoreError;
use crate::publish::bucket::BucketError;
use crate::publish::lease::LeaseError;
use crate::publish::papers::StatementError;
use crate::publish::release::ReleaseId;
use crate::share::error::ShareError;
use crate::sign::SignError;

/// Why a release was not moved.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// There is no such channel.
    #[error(transparent)]
    Channel(#[from] ChannelNameError),
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The bucket, or what lies in it, cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A channel cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another run moves something, or the lease was lost.
    #[error(transparent)]
    Lease(Box<LeaseError>),
    /// Customers' access cannot be moved.
    #[error(transparent)]
    Share(Box<ShareError>),
    /// The key cannot sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A manifest could not be signed again.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The channel was not written, as far as is known.
    #[error("whether {release} came into {channel} is not known: {source}")]
    Unanswered {
        /// The release.
        release: ReleaseId,
        /// The channel.
        channel: String,
        /// Why.
        source: Box<StoreError>,
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
    /// The channel's gate is closed to it.
    #[error("{release} does not come into {channel}:{}; nothing was moved", closed(.failed))]
    Gate {
        /// The release.
        release: ReleaseId,
        /// The channel.
        channel: String,
        /// What it lacks.
        failed: Vec<Check>,
    },
    /// The channel is moved, and not all that customers read besides is written.
    #[error("{release} is in {channel}; the catalog's page is not written: {source}")]
    Page {
        /// The channel.
        channel: String,
        /// The release.
        release: ReleaseId,
        /// Why.
        source: Box<ReleaseError>,
    },
    /// Somebody else moved the channel between the look and the move.
    #[error("{channel} was moved meanwhile: {} is there, {}; nothing was moved by this run", .stay.release, whence(.stay))]
    Overtaken {
        /// The channel.
        channel: String,
        /// What is there now.
        stay: Box<Stay>,
    },
    /// The manifest in the bucket is not what was signed.
    #[error(
        "the manifest of {0} does not say what was signed of it: one of them was changed; its withdrawal is not signed"
    )]
    NotAsSigned(ReleaseId),
    /// Nothing was in the channel before.
    #[error("{0}")]
    NothingBefore(String),
    /// More than one profile or architecture is in the channel.
    #[error("{channel} holds {}: which of them goes back?", .held.join(", "))]
    Several {
        /// The channel.
        channel: String,
        /// What is in it.
        held: Vec<String>,
    },
    /// Customers do not have what they are to have.
    #[error("customers' access is not complete; {channel} was not moved:{}", lines(.failed))]
    Access {
        /// The channel.
        channel: String,
        /// Why, by Region, and what to do.
        failed: BTreeMap<Region, (String, String)>,
    },
    /// Something of a withdrawal failed in a Region.
    #[error("{release} is withdrawn, and not everywhere:{}", lines(.failed))]
    Withdrawal {
        /// The release.
        release: ReleaseId,
        /// Why, by Region, and what to do.
        failed: BTreeMap<Region, (String, String)>,
    },
    /// Told to stop.
    #[error("{0}; nothing was moved")]
    Interrupted(&'static str),
}

impl From<LeaseError> for ReleaseError {
    fn from(error: LeaseError) -> ReleaseError {
        ReleaseError::Lease(Box::new(error))
    }
}

impl From<ShareError> for ReleaseError {
    fn from(error: ShareError) -> ReleaseError {
        ReleaseError::Share(Box::new(error))
    }
}

impl ReleaseError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            ReleaseError::Channel(error) => error.advice(),
            ReleaseError::Aws(error) => error.advice(),
            ReleaseError::Bucket(error) => return error.advice(),
            ReleaseError::Store(error) => return error.advice(),
            ReleaseError::Lease(error) => return error.advice(),
            ReleaseError::Share(error) => return error.advice(),
            ReleaseError::Sign(error) => error.advice(),
            ReleaseError::Statement(error) => return error.advice(),
            ReleaseError::Unanswered { source, .. } => {
                let first = source.advice().map_or(String::new(), |advice| format!("{advice}\n"));
                format!(
                    "{first}then run the same command again: it ends what this run began"
                )
            }
            ReleaseError::NoRelease { .. } => {
                "name a release as `publish` printed it; publish.bucket and publish.prefix say where it is looked for".to_owned()
            }
            ReleaseError::Unfinished(release) => {
                format!("finish it first: `alpine-ami publish {release}`")
            }
            ReleaseError::Already { .. } => {
                "nothing is left to do here, also if that was a run of yours that was cut off; \
                 `alpine-ami share apply` gives customers access"
                    .to_owned()
            }
            ReleaseError::Gate { failed, .. } => {
                let mut advice: Vec<&str> = failed.iter().map(|check| check.advice.as_str()).collect();
                advice.dedup();
                advice.join("\n")
            }
            ReleaseError::Overtaken { channel, .. } => format!(
                "look at what {channel} holds now, and run the command again if this release is still to be there"
            ),
            ReleaseError::NotAsSigned(release) => format!(
                "if a run of `publish` was cut off, `alpine-ami publish {release}` finishes it; if not, \
                 find out who changed it, and put it back as it was. Without --withdraw, a rollback \
                 takes it out of the channel meanwhile"
            ),
            ReleaseError::NothingBefore(_) => {
                "name a release with --to, or promote one".to_owned()
            }
            ReleaseError::Several { .. } => "add --profile, and --arch where that is not enough".to_owned(),
            ReleaseError::Access { failed, .. } | ReleaseError::Withdrawal { failed, .. } => {
                let mut advice: Vec<&str> = failed.values().map(|(_, advice)| advice.as_str()).collect();
                advice.sort_unstable();
                advice.dedup();
                format!("{}\nthen run the same command again: it does only what is missing", advice.join("\n"))
            }
            ReleaseError::Page { source, .. } => {
                let first = source.advice().map_or(String::new(), |advice| format!("{advice}\n"));
                format!("{first}then run the same command again: it does only what is missing")
            }
            ReleaseError::Interrupted(_) => "run the same command again".to_owned(),
        })
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        match self {
            ReleaseError::Store(error) => error.is_bad_input(),
            ReleaseError::Share(error) => error.is_bad_input(),
            ReleaseError::Sign(error) => error.is_bad_input(),
            ReleaseError::Bucket(BucketError::Missing { .. } | BucketError::Elsewhere { .. })
            | ReleaseError::Channel(_)
            | ReleaseError::NoRelease { .. }
            | ReleaseError::Unfinished(_)
            | ReleaseError::Already { .. }
            | ReleaseError::Gate { .. }
            | ReleaseError::NothingBefore(_)
            | ReleaseError::Several { .. } => true,
            _ => false,
        }
    }
}

fn closed(failed: &[Check]) -> String {
    match failed {
        [only] => format!(" {}", only.told),
        all => all
            .iter()
            .map(|check| format!("\n  {}", check.told))
            .collect(),
    }
}

fn lines(failed: &BTreeMap<Region, (String, String)>) -> String {
    let lines = failed.iter();
    lines
        .map(|(region, (why, _))| format!("\n  {region}: {why}"))
        .collect()
}

fn whence(stay: &Stay) -> String {
    let at = stay.since.replace_nanosecond(0).unwrap_or(stay.since);
    let at = at.format(&Rfc3339).unwrap_or_else(|_| at.to_string());
    match stay.by.is_empty() {
        true => format!("since {at}"),
        false => format!("since {at} by {}", stay.by),
    }
}
