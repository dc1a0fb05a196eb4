//! Why a release was not published.

use std::fmt::Write as _;

use super::bucket::BucketError;
use super::complete::SettingsError;
use super::keys::{KeyError, KeyErrors};
use super::lease::LeaseError;
use super::papers::StatementError;
use super::regions::RegionError;
use super::release::{AmiNameError, ReleaseId};
use super::subject::SubjectError;
use super::upload::UploadError;
use crate::aws::wait::TimedOut;
use crate::aws::{AwsError, Region, SnapshotId};
use crate::sign::SignError;

/// Why a release was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The configuration is not complete.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// What was named cannot be published.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The bucket, or what lies in it, cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Another run publishes, or the lease was lost.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyErrors),
    /// What was published could not be signed.
    #[error("it is published, and not signed: {0}")]
    Statement(#[from] StatementError),
    /// There is no key to sign with.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// AWS would not take the AMIs' name.
    #[error(transparent)]
    Name(#[from] AmiNameError),
    /// A Region does not have what it is to have.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// Several do not.
    #[error("{}", all(.0))]
    Regions(Vec<RegionError>),
    /// The image did not become a snapshot.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// Regions that AWS does not have, or that the account has not opted in to.
    #[error("{}", regions(.unknown, .closed))]
    Places {
        /// AWS has none of that name.
        unknown: Vec<Region>,
        /// The account may not use them.
        closed: Vec<Region>,
    },
    /// There is no manifest of it.
    #[error("there is no release {release} in {bucket}")]
    NoRelease {
        /// The release.
        release: ReleaseId,
        /// The bucket.
        bucket: String,
    },
    /// The release is not finished, and what it is made from is not here.
    #[error(
        "{release} has no snapshot yet in {home}; it is made from the image with the SHA-256 {sha256}"
    )]
    NoImage {
        /// The release.
        release: ReleaseId,
        /// Its home Region.
        home: Region,
        /// The image.
        sha256: String,
    },
    /// What was read back is not the image.
    #[error("{snapshot} in {region} is not the image: {count} blocks differ, the first is {first}")]
    Differs {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Where.
        region: Region,
        /// How many.
        count: u32,
        /// The first one.
        first: u32,
    },
    /// A snapshot was not completed in time.
    #[error("{snapshot} in {region} is not completed: {timed_out}")]
    NotCompleted {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Where.
        region: Region,
        /// How long it was waited for, and what was seen.
        timed_out: TimedOut,
    },
    /// Nobody is to use it any more.
    #[error("{release} was withdrawn: it does not come to {region}")]
    Withdrawn {
        /// The release.
        release: ReleaseId,
        /// The Region that is new to it.
        region: Region,
    },
    /// Its AMIs end or are gone.
    #[error("{0} was retired: its AMIs are gone or going, and its id gets no others")]
    Retired(ReleaseId),
    /// There is nothing that a snapshot could be compared with.
    #[error(
        "{0} has no digests of its blocks, so it cannot be verified: it was made from a snapshot or an AMI"
    )]
    NothingToVerify(ReleaseId),
    /// Told to stop.
    #[error("{how}; {}", so_far(.release.as_ref(), .done, .missing))]
    Interrupted {
        /// By what.
        how: &'static str,
        /// The release that it was at, if it had come so far.
        release: Option<ReleaseId>,
        /// Regions that have it.
        done: Vec<Region>,
        /// Regions that are to have it.
        missing: Vec<Region>,
    },
}

impl PublishError {
    /// Told to stop before anything was made.
    pub fn early(how: &'static str) -> PublishError {
        PublishError::Interrupted {
            how,
            release: None,
            done: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            PublishError::Settings(error) => error.advice(),
            PublishError::Subject(error) => error.advice(),
            PublishError::Aws(error) => error.advice(),
            PublishError::Bucket(error) => return error.advice(),
            PublishError::Lease(error) => return error.advice(),
            PublishError::Keys(error) => return error.advice(),
            PublishError::Region(error) => return error.advice(),
            PublishError::Upload(error) => return error.advice(),
            PublishError::Statement(error) => return error.advice(),
            PublishError::Sign(error) => error.advice(),
            PublishError::Regions(errors) => {
                let mut advice: Vec<String> =
                    errors.iter().filter_map(RegionError::advice).collect();
                advice.dedup();
                advice.join("\n")
            }
            PublishError::Name(_) => {
                "change `publisher` under [publish], or the profile's name or version".to_owned()
            }
            PublishError::Places { closed, .. } if !closed.is_empty() => format!(
                "opt in (aws account enable-region --region-name {}), or leave the Region out of --regions and [publish]",
                closed[0]
            ),
            PublishError::Places { .. } => {
                "correct --regions, or `regions` under [publish]; `aws ec2 describe-regions` lists them".to_owned()
            }
            PublishError::NoRelease { .. } => {
                "name a release as `publish` printed it; publish.bucket and publish.prefix say where it is looked for".to_owned()
            }
            PublishError::NoImage { .. } => {
                "publish the folder with that image: it goes on where it stopped".to_owned()
            }
            PublishError::Differs { .. } => {
                "do not use it; publish the image again, and tell AWS's support if it happens again".to_owned()
            }
            PublishError::NotCompleted { .. } => {
                "run the same command again; it goes on waiting. `wait_minutes` in [aws] says how long".to_owned()
            }
            PublishError::Withdrawn { .. } => {
                "publish another release there".to_owned()
            }
            PublishError::Retired(_) => {
                "publish its image again, or a copy of its snapshot: that becomes a new release".to_owned()
            }
            PublishError::NothingToVerify(_) => "leave --verify away".to_owned(),
            PublishError::Interrupted { .. } => {
                "run the same command again: it finds what is there and goes on".to_owned()
            }
        })
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        if let PublishError::Keys(KeyErrors(errors)) = self {
            let is_of_aws = |error: &KeyError| matches!(error, KeyError::Aws { .. });
            return !errors.iter().all(is_of_aws);
        }
        if let PublishError::Sign(error) = self {
            return error.is_bad_input();
        }
        matches!(
            self,
            PublishError::Settings(_)
                | PublishError::Subject(_)
                | PublishError::Name(_)
                | PublishError::Places { .. }
                | PublishError::NoRelease { .. }
                | PublishError::NothingToVerify(_)
                | PublishError::Withdrawn { .. }
                | PublishError::Retired(_)
                | PublishError::Bucket(BucketError::Missing { .. } | BucketError::Elsewhere { .. })
        )
    }
}

fn all(errors: &[RegionError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("\n  ")
}

fn list(regions: &[Region]) -> String {
    let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
    names.join(", ")
}

fn regions(unknown: &[Region], closed: &[Region]) -> String {
    let mut texts = Vec::new();
    if !unknown.is_empty() {
        texts.push(format!("AWS has no Region {}", list(unknown)));
    }
    if !closed.is_empty() {
        texts.push(format!("the account has not opted in to {}", list(closed)));
    }
    texts.join("; ")
}

fn so_far(release: Option<&ReleaseId>, done: &[Region], missing: &[Region]) -> String {
    let Some(release) = release else {
        return "nothing was made yet".to_owned();
    };
    let mut text = format!("{release} is begun");
    // Writing to a string does not fail.
    let _ = match done {
        [] => write!(text, ", in no Region yet"),
        done => write!(text, ", done in {}", list(done)),
    };
    if !missing.is_empty() {
        let _ = write!(text, ", not yet in {}", list(missing));
    }
    text
}
