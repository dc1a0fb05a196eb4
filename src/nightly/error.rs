//! Why a step failed, or the whole run.

use std::fmt::Write as _;

use super::settings::SettingsError;
use crate::apk::keys::KeyError;
use crate::arch::Firmware;
use crate::aws::{AwsError, Region};
use crate::builder::ec2::InstanceBuildError;
use crate::builder::local::BuildError;
use crate::builder::packages::PackagesError;
use crate::lock::LockError;
use crate::plan::PlanError;
use crate::publish::PublishError;
use crate::publish::bucket::BucketError;
use crate::publish::outcome::Outcome;
use crate::publish::release::ReleaseId;
use crate::publish::subject::SubjectError;
use crate::release::error::ReleaseError;
use crate::release::prune::act::Pruned;
use crate::release::prune::error::{PruneError, Trouble};
use crate::share::apply::Applied;
use crate::share::error::ShareError;
use crate::vm::VmError;

/// Why an unattended run could not begin. Nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum NightlyError {
    /// What is to be done makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no such profile, or not for that architecture.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// AWS does not know us.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The publisher's bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The channel, or the key that signs it, cannot be used.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// There is no place for build instances.
    #[error(transparent)]
    Site(#[from] InstanceBuildError),
    /// Nothing can be fetched.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// Told to stop.
    #[error("{0}; nothing was begun")]
    Interrupted(&'static str),
}

impl NightlyError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            NightlyError::Settings(error) => Some(error.advice()),
            NightlyError::Plan(error) => error.advice(),
            NightlyError::Aws(error) => Some(error.advice()),
            NightlyError::Bucket(error) => error.advice(),
            NightlyError::Release(error) => error.advice(),
            NightlyError::Site(error) => error.advice(),
            NightlyError::Packages(error) => error.advice(),
            NightlyError::Interrupted(_) => Some("run the same command again".to_owned()),
        }
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        match self {
            NightlyError::Settings(_) | NightlyError::Plan(_) => true,
            NightlyError::Bucket(error) => matches!(
                error,
                BucketError::Missing { .. } | BucketError::Elsewhere { .. }
            ),
            NightlyError::Release(error) => error.is_bad_input(),
            NightlyError::Site(error) => error.is_bad_input(),
            _ => false,
        }
    }
}

/// Why a step of one image failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// A mistake in the profile.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Keys that were named.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Repositories and packages.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// What is locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The publisher's bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Building here.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Building on an instance.
    #[error(transparent)]
    Instance(#[from] InstanceBuildError),
    /// There is no report of a test.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// That it was tested could not be written down.
    #[error("cannot write {path}: {source}")]
    Keep {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The image is not what it should be.
    #[error("under {firmware}: {}", .failures.join("; "))]
    NotPassed {
        /// What it was started with.
        firmware: Firmware,
        /// A sentence each.
        failures: Vec<String>,
        /// The whole console.
        console: std::path::PathBuf,
    },
    /// What was built cannot be published.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// Publishing.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Some Regions do not have the release.
    #[error("{release} is not complete:{}", list(.regions))]
    Incomplete {
        /// The release.
        release: ReleaseId,
        /// Why, by Region.
        regions: Vec<(Region, String)>,
        /// What to do about it.
        advice: Vec<String>,
    },
    /// Giving customers what they are to get.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// Some Regions do not hold what they should.
    #[error("sharing is not complete:{}", list(.regions))]
    NotShared {
        /// Why, by Region.
        regions: Vec<(Region, String)>,
        /// What to do about it.
        advice: Vec<String>,
    },
    /// There is nothing to give.
    #[error("{0} of what customers are to get is missing")]
    Missing(usize),
    /// Bringing a release into the channel.
    #[error(transparent)]
    Promote(#[from] ReleaseError),
    /// Retiring what is too old.
    #[error(transparent)]
    Prune(#[from] PruneError),
    /// Not all that is too old is retired.
    #[error("pruning is not complete:{}", troubles(.0))]
    NotPruned(Vec<Trouble>),
    /// Told to stop.
    #[error("{0}")]
    Interrupted(&'static str),
}

impl StepError {
    /// A publish that came to this, if it is not complete.
    pub(super) fn of_publish(outcome: &Outcome) -> Option<StepError> {
        let failed = outcome.failed();
        if failed.is_empty() {
            return None;
        }
        let why = |told: &crate::publish::outcome::Told| told.error.clone().unwrap_or_default();
        let regions = failed
            .iter()
            .map(|(region, told)| ((*region).clone(), why(told)));
        let advice = failed.iter().filter_map(|(_, told)| told.advice.clone());
        Some(StepError::Incomplete {
            release: outcome.release.clone(),
            regions: regions.collect(),
            advice: advice.collect(),
        })
    }

    /// A sharing that came to this, if it is not complete.
    pub(super) fn of_share(applied: &Applied) -> Option<StepError> {
        let Applied { plan, failed, .. } = applied;
        if !failed.is_empty() {
            let regions = failed
                .iter()
                .map(|(region, (why, _))| (region.clone(), why.clone()));
            let advice = failed.values().map(|(_, advice)| advice.clone());
            return Some(StepError::NotShared {
                regions: regions.collect(),
                advice: advice.collect(),
            });
        }
        let missing = plan.missing.len();
        (missing > 0).then_some(StepError::Missing(missing))
    }

    /// A pruning that came to this, if it is not complete.
    pub(super) fn of_prune(pruned: &Pruned) -> Option<StepError> {
        let failed = &pruned.failed;
        (!failed.is_empty()).then(|| StepError::NotPruned(failed.clone()))
    }

    /// What to do next.
    pub(super) fn advice(&self) -> Option<String> {
        const AGAIN: &str = "run it again: it does only what is missing";
        match self {
            StepError::Plan(error) => error.advice(),
            StepError::Keys(_) => {
                Some("--keys-dir names a folder with public keys called *.pub".to_owned())
            }
            StepError::Packages(error) => error.advice(),
            StepError::Lock(error) => error.advice(),
            StepError::Aws(error) => Some(error.advice()),
            StepError::Bucket(error) => error.advice(),
            StepError::Build(error) => error.advice(),
            StepError::Instance(error) => error.advice(),
            StepError::Vm(error) => error.advice(),
            StepError::Keep { .. } => {
                Some("name a folder that can be written with --out".to_owned())
            }
            StepError::NotPassed { console, .. } => Some(format!(
                "nothing was published; the console is in {}, and `alpine-ami test` shows all of the report",
                console.display()
            )),
            StepError::Subject(error) => Some(error.advice()),
            StepError::Publish(error) => error.advice(),
            StepError::Incomplete { advice, .. } | StepError::NotShared { advice, .. } => {
                Some(all(advice, AGAIN))
            }
            StepError::Share(error) => error.advice(),
            StepError::Missing(_) => {
                Some("`alpine-ami share plan` says what, for whom and where".to_owned())
            }
            StepError::Promote(error) => error.advice(),
            StepError::Prune(error) => error.advice(),
            StepError::NotPruned(failed) => {
                let advice = failed.iter().filter_map(|one| one.advice.clone());
                Some(all(&advice.collect::<Vec<_>>(), AGAIN))
            }
            StepError::Interrupted(_) => Some("run it again: it goes on from there".to_owned()),
        }
    }
}

/// Each advice once, and at last that of running it again, in place of what each says of that.
fn all(advice: &[String], again: &str) -> String {
    let first = |one: &String| {
        let first = one
            .split("run the same command again")
            .next()
            .unwrap_or(one);
        let first = first.trim_end_matches("then ").trim_end_matches("and ");
        first.trim_end_matches([',', ';', ' ', '\n']).to_owned()
    };
    let mut advice: Vec<String> = advice.iter().map(first).collect();
    advice.retain(|one| !one.is_empty());
    advice.sort_unstable();
    advice.dedup();
    advice.push(again.to_owned());
    advice.join("; then ")
}

fn troubles(failed: &[Trouble]) -> String {
    let mut text = String::new();
    for Trouble {
        region,
        release,
        error,
        ..
    } in failed
    {
        text.push_str("\n  ");
        let region = region.as_ref().map(ToString::to_string);
        let release = release.as_ref().map(ToString::to_string);
        for place in [region, release].into_iter().flatten() {
            text.push_str(&format!("{place}: "));
        }
        text.push_str(error);
    }
    text
}

fn list(regions: &[(Region, String)]) -> String {
    let mut text = String::new();
    for (region, why) in regions {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {region}: {why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_given_once_and_ends_with_running_it_again() {
        let advice = [
            "wait until that run is done and run the same command again: what it has made is found",
            "run the same command again; it does only what is missing",
            "check the key, then run the same command again; it does only what is missing",
            "check the key, then run the same command again; it does only what is missing",
            "allow ec2:CopyImage to the principal",
        ]
        .map(str::to_owned);
        assert_eq!(
            all(&advice, "run it again"),
            "allow ec2:CopyImage to the principal; then check the key; then wait until that run is \
             done; then run it again"
        );
    }
}
