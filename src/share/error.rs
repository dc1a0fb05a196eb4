//! Why access was not planned, or not given.

use super::present::ReadError;
use crate::aws::wait::TimedOut;
use crate::aws::{AwsError, Region};
use crate::channels::settings::ChannelNameError;
use crate::profile::error::Mistake;
use crate::publish::bucket::BucketError;
use crate::publish::complete::SettingsError;
use crate::publish::lease::LeaseError;

/// Why access was not planned, or not given.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The publisher's configuration is not complete.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Channels cannot be called so.
    #[error(transparent)]
    Channels(#[from] ChannelNameError),
    /// The file of customers cannot be read.
    #[error("cannot read the customers in {path}: {source}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Mistakes in it.
    #[error("{}", all(.0))]
    Mistakes(Vec<Mistake>),
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The bucket, or what lies in it, cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Another run changes access, or the lease was lost.
    #[error(transparent)]
    Lease(Box<LeaseError>),
    /// Nobody can be asked.
    #[error("the plan is to be confirmed, and standard input is no terminal")]
    NoTerminal,
    /// The answer was no.
    #[error("nothing was changed")]
    Declined,
    /// Told to stop.
    #[error("{how}; {}", so_far(.done, .open))]
    Interrupted {
        /// By what.
        how: &'static str,
        /// Regions that hold what they are to hold.
        done: Vec<Region>,
        /// Regions that may not yet.
        open: Vec<Region>,
    },
}

/// Why a Region does not hold what it is to hold.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// A call failed, or a policy cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A policy has become one that must not be written over.
    #[error("a policy in {region} was changed meanwhile: {why}")]
    Policy {
        /// Where.
        region: Region,
        /// What is wrong.
        why: String,
    },
    /// KMS or S3 does not take the policy.
    #[error("{error}; what was changed in the policy: {}", .users.join(", "))]
    Put {
        /// What it says.
        error: AwsError,
        /// Who was added or removed.
        users: Vec<String>,
    },
    /// What was changed was not to be seen in time.
    #[error("{what} in {region} is not to be seen as it was set: {timed_out}")]
    NotSeen {
        /// The AMI, snapshot or key.
        what: String,
        /// Where.
        region: Region,
        /// How long was waited.
        timed_out: TimedOut,
    },
}

impl RegionError {
    /// What to do next.
    pub fn advice(&self) -> String {
        match self {
            RegionError::Read(error) => error.advice(),
            RegionError::Aws(error) => error.advice(),
            RegionError::Policy { .. } => {
                "see who else changes it, then run the same command again".to_owned()
            }
            RegionError::Put { .. } => {
                "AWS takes no policy that names an account that there is not (any more): see that all of these exist, and that no other statement names a principal that is gone"
                    .to_owned()
            }
            RegionError::NotSeen { .. } => {
                "run the same command again: it looks at what AWS holds and does what is missing"
                    .to_owned()
            }
        }
    }
}

impl From<LeaseError> for ShareError {
    fn from(error: LeaseError) -> ShareError {
        ShareError::Lease(Box::new(error))
    }
}

impl ShareError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            ShareError::Settings(error) => error.advice(),
            ShareError::Channels(error) => error.advice(),
            ShareError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "`alpine-ami share add NAME --account ID` makes it, or name another in [share] customers".to_owned()
            }
            ShareError::Read { .. } => "correct `customers` in [share]".to_owned(),
            ShareError::Mistakes(mistakes) => {
                let hints: Vec<&str> = mistakes.iter().filter_map(|m| m.hint.as_deref()).collect();
                match hints.is_empty() {
                    true => "correct the file; nothing was changed".to_owned(),
                    false => hints.join("\n"),
                }
            }
            ShareError::Aws(error) => error.advice(),
            ShareError::Bucket(error) => return error.advice(),
            ShareError::Lease(error) => return error.advice(),
            ShareError::NoTerminal => {
                "look at `share plan`, then run `share apply --yes`".to_owned()
            }
            ShareError::Declined => return None,
            ShareError::Interrupted { .. } => {
                "run the same command again: it looks at what AWS holds and does what is missing"
                    .to_owned()
            }
        })
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            ShareError::Settings(_)
                | ShareError::Channels(_)
                | ShareError::Read { .. }
                | ShareError::Mistakes(_)
                | ShareError::NoTerminal
                | ShareError::Bucket(BucketError::Missing { .. } | BucketError::Elsewhere { .. })
        )
    }
}

fn all(mistakes: &[Mistake]) -> String {
    let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    texts.join("\n  ")
}

fn so_far(done: &[Region], open: &[Region]) -> String {
    let names = |regions: &[Region]| {
        let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
        names.join(", ")
    };
    match (done, open) {
        ([], []) => "nothing was changed".to_owned(),
        ([], open) => format!("begun in {}, finished in no Region", names(open)),
        (done, []) => format!("done in {}", names(done)),
        (done, open) => format!("done in {}, not yet in {}", names(done), names(open)),
    }
}
