//! Why a build on an instance failed.

use std::io;
use std::path::PathBuf;

use super::program::ProgramError;
use super::settings::SettingsError;
use super::user_data::TooLong;
use crate::arch::Arch;
use crate::aws::kms::FOR_VOLUMES;
use crate::aws::wait::TimedOut;
use crate::aws::{AwsError, InstanceId, Place};
use crate::builder::draft::DraftError;
use crate::builder::packages::PackagesError;
use crate::publish::bucket::BucketError;
use crate::publish::keys::KeyErrors;
use crate::publish::lease::LeaseError;

/// A build on an instance that failed.
#[derive(Debug, thiserror::Error)]
pub enum InstanceBuildError {
    /// `[build]`.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The worker's file.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Packages.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The publisher's bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The key of the home Region.
    #[error(transparent)]
    Keys(#[from] KeyErrors),
    /// Another run builds the same.
    #[error(transparent)]
    Lease(Box<LeaseError>),
    /// A call.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The URLs are too long.
    #[error(transparent)]
    UserData(#[from] TooLong),
    /// What `[build]` names is not there, or is no good.
    #[error("{place}: {what}: {why}")]
    Ground {
        /// The home Region.
        place: Place,
        /// What is named.
        what: String,
        /// What is wrong with it.
        why: String,
        /// What to do next.
        next: String,
    },
    /// The volume has no room for the profile's disk.
    #[error("{profile}: its disk has {disk} bytes, the volume that it is built on only {volume}")]
    Disk {
        /// The profile.
        profile: String,
        /// The profile's.
        disk: u64,
        /// The volume's.
        volume: u64,
    },
    /// Nowhere is an instance to be had.
    #[error("{place}: there is no capacity for a build instance for {arch}:{}", list(.tried))]
    NoCapacity {
        /// The home Region.
        place: Place,
        /// The image's architecture.
        arch: Arch,
        /// What was tried, and what AWS said.
        tried: Vec<String>,
    },
    /// The worker failed, and said why.
    #[error("{instance} in {place}: {error}{}", kept_at(.log))]
    Failed {
        /// The instance.
        instance: InstanceId,
        /// Where it is.
        place: Place,
        /// The worker's words.
        error: String,
        /// The worker's advice.
        advice: Option<String>,
        /// Where what it said is kept, on this machine.
        log: Option<PathBuf>,
    },
    /// The instance ended or hangs without a result; or AWS took it back for lack of capacity.
    #[error("{instance} in {place}: {why}{}", kept_at(.log))]
    Silent {
        /// The instance.
        instance: InstanceId,
        /// Where it is.
        place: Place,
        /// How it is.
        why: String,
        /// Whether AWS ended it for lack of capacity: another type or zone may do.
        no_capacity: bool,
        /// Where what it said is kept, on this machine.
        log: Option<PathBuf>,
    },
    /// The result is not of the job.
    #[error("{instance} in {place}: what it says it built has the {what} {found}, not {expected}")]
    Differs {
        /// The instance.
        instance: InstanceId,
        /// Where it is.
        place: Place,
        /// What differs.
        what: &'static str,
        /// As it is.
        found: String,
        /// As it should be.
        expected: String,
    },
    /// The volume or its snapshot is not as it should be.
    #[error("{id} in {place}: {why}")]
    Snapshot {
        /// Which.
        id: String,
        /// Where it is.
        place: Place,
        /// What is wrong.
        why: String,
    },
    /// A state that did not come.
    #[error("{what} in {place}: {timed_out}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// Where.
        place: Place,
        /// For how long, and what was seen.
        timed_out: TimedOut,
    },
    /// The output folder.
    #[error("cannot write {path}: {source}")]
    Output {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user, or a signal.
    #[error("{how}; {left}")]
    Interrupted {
        /// How.
        how: &'static str,
        /// What was done about what there was.
        left: String,
    },
}

fn list(tried: &[String]) -> String {
    tried.iter().map(|one| format!("\n  {one}")).collect()
}

fn kept_at(log: &Option<PathBuf>) -> String {
    log.as_ref().map_or(String::new(), |log| {
        format!("\n  what it said is in {}", log.display())
    })
}

impl InstanceBuildError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        use InstanceBuildError as E;
        let text = match self {
            E::Settings(error) => error.advice(),
            E::Program(error) => error.advice(),
            E::Draft(DraftError::Packages(error)) => return error.advice(),
            E::Draft(DraftError::Read { .. }) => "run the same command again".to_owned(),
            E::Bucket(error) => return error.advice(),
            E::Keys(error) => return error.advice(),
            E::Lease(error) => return error.advice(),
            // What AWS's error says of going on is not so: what there was is removed.
            E::Aws(error) if error.kind.is_transient() => {
                "run the same command again later".to_owned()
            }
            E::Aws(error) => error.advice(),
            E::UserData(_) => "shorten the bucket's name or publish.prefix: both are in every URL".to_owned(),
            E::Ground { next, .. } => next.clone(),
            E::Disk { .. } => "make the profile's disk.size smaller, or publish.volume_gib larger".to_owned(),
            E::NoCapacity { .. } => "run the same command again later, or name more types under [build.instance_types] or more zones' subnets under build.subnets".to_owned(),
            E::Failed { advice, .. } => advice.clone().unwrap_or_else(|| {
                "look at what it said, mend it, and run the same command again".to_owned()
            }),
            // What EC2 says of an instance whose volume's key it may not use in the caller's name.
            E::Silent { why, .. } if why.contains("Client.InternalError") => format!(
                "see that the key of [publish.keys] may be used: the principal needs {FOR_VOLUMES} on it, and on that of the base image if it has another; `alpine-ami doctor --iam-policy` prints the least policy"
            ),
            E::Silent { .. } => "look at what it said; where it said nothing, the base image runs no user data, or has no way to S3; --keep-on-failure keeps the instance".to_owned(),
            E::Differs { .. } => "somebody changed the job or its result in the bucket, or the worker is of another version: look at who may write there, and build again".to_owned(),
            E::Snapshot { .. } => "run the same command again; if it happens again, see who else changes this build's things".to_owned(),
            E::TimedOut { .. } => "run the same command again, with a larger aws.wait_minutes".to_owned(),
            E::Output { .. } => "name a folder that can be written with --out, then run the same command again: the snapshot is found".to_owned(),
            E::Interrupted { .. } => "run the same command again".to_owned(),
        };
        Some(text)
    }

    /// Whether it is about one instance and what it made: another one may do better.
    pub fn is_the_instances(&self) -> bool {
        use InstanceBuildError as E;
        matches!(
            self,
            E::Failed { .. } | E::Silent { .. } | E::Differs { .. } | E::Snapshot { .. }
        )
    }

    /// Whether the user wrote something wrong.
    pub fn is_bad_input(&self) -> bool {
        use InstanceBuildError as E;
        if let E::Draft(DraftError::Packages(error)) = self {
            return error.is_bad_input();
        }
        matches!(
            self,
            E::Settings(_) | E::Program(_) | E::Ground { .. } | E::Disk { .. }
        )
    }
}

impl From<LeaseError> for InstanceBuildError {
    fn from(error: LeaseError) -> InstanceBuildError {
        InstanceBuildError::Lease(Box::new(error))
    }
}

impl From<PackagesError> for InstanceBuildError {
    fn from(error: PackagesError) -> InstanceBuildError {
        InstanceBuildError::Draft(error.into())
    }
}
