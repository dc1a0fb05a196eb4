//! Withdrawal: nobody is to use a release any more.
//!
//! That it is so is written first; then its AMIs are deprecated, which hides them from customers who
//! look for one; and the launch permission is taken from those who do not run it, as far as AWS's
//! usage reports show. Each step finds done what an earlier run did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;

use super::desk::Desk;
use super::error::ReleaseError;
use crate::aws::ec2::Ec2;
use crate::aws::wait::TimedOut;
use crate::aws::{AccountId, AmiId, AwsError, Region};
use crate::publish::manifest::ReleaseManifest;
use crate::publish::papers::{self, Withdrawal};
use crate::publish::release::ReleaseId;
use crate::share::apply;
use crate::share::survey::survey;

/// So many others may be faster before this gives up.
const MOST_ROUNDS: u32 = 16;

/// What a withdrawal came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Withdrawn {
    /// The release.
    pub release: Option<ReleaseId>,
    /// Accounts that run it, by Region: they keep the launch permission.
    pub running: BTreeMap<Region, BTreeSet<AccountId>>,
    /// Regions of which it is not known who runs it, and why: there nothing was taken.
    pub unknown: BTreeMap<Region, String>,
}

/// Withdraws a release: no channel may point to it any more.
///
/// # Errors
/// A Region could not be brought so far; the others were. The bucket's.
pub async fn withdraw(
    desk: &Desk<'_>,
    release: &ReleaseId,
    reason: Option<&str>,
) -> Result<Withdrawn, ReleaseError> {
    let withdrawal = Withdrawal {
        at: desk.bucket().now(),
        by: desk.aws.identity().arn.clone(),
        reason: reason.map(str::to_owned),
        running: None,
    };
    let said = |manifest: &mut ReleaseManifest| {
        manifest.withdrawn.get_or_insert(withdrawal.clone());
    };
    let manifest = change(desk, release, said).await?;
    let mut failed = deprecate(desk, &manifest).await;
    let (running, unknown) = running(desk, &manifest).await;
    let known = |manifest: &mut ReleaseManifest| {
        if let Some(withdrawn) = &mut manifest.withdrawn {
            withdrawn.running = Some(running.clone());
        }
    };
    change(desk, release, known).await?;
    failed.extend(take(desk, release).await?);
    match failed.is_empty() {
        true => Ok(Withdrawn {
            release: Some(release.clone()),
            running,
            unknown,
        }),
        false => Err(ReleaseError::Withdrawal {
            release: release.clone(),
            failed,
        }),
    }
}

/// Changes a release's manifest, and signs it anew.
async fn change(
    desk: &Desk<'_>,
    release: &ReleaseId,
    change: impl Fn(&mut ReleaseManifest),
) -> Result<ReleaseManifest, ReleaseError> {
    let bucket = desk.bucket();
    for _ in 0..MOST_ROUNDS {
        let stored = bucket.manifest(release).await?;
        let mut stored = stored.ok_or_else(|| ReleaseError::NoRelease {
            release: release.clone(),
            bucket: bucket.url(""),
        })?;
        let mut next = stored.manifest.clone();
        change(&mut next);
        if next != stored.manifest && !bucket.try_replace(&mut stored, next).await? {
            continue;
        }
        if let Some(signer) = &desk.store.signer {
            papers::sign(bucket, signer, &stored.manifest).await?;
        }
        return Ok(stored.manifest);
    }
    Err(bucket.contended(&release.to_string()).into())
}

/// The AMIs of a release, each with a client of its Region.
fn images(desk: &Desk<'_>, manifest: &ReleaseManifest) -> Vec<(Region, Ec2, AmiId)> {
    let places = manifest.regions.iter();
    let images = places.filter_map(|(region, place)| {
        let ami = place.ami.clone()?;
        Some((region.clone(), desk.aws.ec2(region), ami))
    });
    images.collect()
}

async fn deprecate(
    desk: &Desk<'_>,
    manifest: &ReleaseManifest,
) -> BTreeMap<Region, (String, String)> {
    desk.progress.say("deprecating its AMIs");
    let now = desk.bucket().now();
    let mut asked = JoinSet::new();
    for (region, ec2, ami) in images(desk, manifest) {
        asked.spawn(async move { (region, ec2.deprecate(&ami, now).await) });
    }
    let mut failed = BTreeMap::new();
    while let Some(answer) = asked.join_next().await {
        let (region, result) = answer.expect("asking does not panic");
        if let Err(error) = result {
            failed.insert(region, (error.to_string(), error.advice()));
        }
    }
    failed
}

type Running = BTreeMap<Region, BTreeSet<AccountId>>;

/// Who runs it: a Region that does not say is told, and is none of those that are known.
async fn running(
    desk: &Desk<'_>,
    manifest: &ReleaseManifest,
) -> (Running, BTreeMap<Region, String>) {
    desk.progress
        .say("asking AWS who runs it: this takes minutes");
    let limit: Duration = desk.aws.settings().wait();
    let mut asked = JoinSet::new();
    for (region, ec2, ami) in images(desk, manifest) {
        asked.spawn(async move { (region, ec2.usage(&ami, limit).await) });
    }
    let (mut running, mut unknown) = (Running::new(), BTreeMap::new());
    while let Some(answer) = asked.join_next().await {
        let (region, usage): (_, Result<Result<_, TimedOut>, AwsError>) =
            answer.expect("asking does not panic");
        match usage {
            Ok(Ok(usage)) => {
                let accounts = usage.into_iter().map(|usage| usage.account);
                running.insert(region, accounts.collect());
            }
            Ok(Err(late)) => drop(unknown.insert(region, late.to_string())),
            Err(error) => drop(unknown.insert(region, error.to_string())),
        }
    }
    (running, unknown)
}

/// Takes the launch permission from those who do not run it.
async fn take(
    desk: &Desk<'_>,
    release: &ReleaseId,
) -> Result<BTreeMap<Region, (String, String)>, ReleaseError> {
    let Some(job) = desk.job(&[]) else {
        return Ok(BTreeMap::new());
    };
    desk.progress.say("taking the launch permission back");
    let mut survey = survey(&job, desk.bucket()).await?;
    let part = survey.plan.taking(&release.to_string());
    let mut failed: BTreeMap<Region, (String, String)> = BTreeMap::new();
    for (region, error) in &survey.failed {
        failed.insert(region.clone(), (error.to_string(), error.advice()));
    }
    failed.extend(apply::make(&job, desk.bucket(), &mut survey, part).await?);
    Ok(failed)
}
