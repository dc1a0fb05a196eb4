//! Withdrawal: nobody is to use a release any more.
//!
//! That it is so is written first; then its AMIs are deprecated, which hides them from customers who
//! look for one; and the launch permission is taken from those who do not run it, as far as AWS's
//! usage reports show. Each step finds done what an earlier run did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use time::OffsetDateTime;
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
    /// Whether this run did anything about it.
    pub changed: bool,
}

/// Says that a release is withdrawn, and by whom; whether that was to be said.
///
/// # Errors
/// There is no such release; the bucket's; the key cannot sign.
pub async fn mark(
    desk: &Desk<'_>,
    release: &ReleaseId,
    reason: Option<&str>,
) -> Result<(ReleaseManifest, bool), ReleaseError> {
    let withdrawal = Withdrawal {
        at: desk.bucket().now(),
        by: desk.aws.identity().arn.clone(),
        reason: reason.map(str::to_owned),
        running: None,
    };
    let said = |manifest: &mut ReleaseManifest| {
        manifest.withdrawn.get_or_insert(withdrawal.clone());
    };
    change(desk, release, said).await
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
    let (manifest, mut changed) = mark(desk, release, reason).await?;
    let (hidden, mut failed) = deprecate(desk, &manifest).await;
    changed |= hidden;
    let before = manifest
        .withdrawn
        .as_ref()
        .and_then(|one| one.running.clone());
    let mut running = before.unwrap_or_default();
    // Who runs it is asked once in each Region: later, nobody can come to it any more.
    let (found, unknown) = ask(desk, &manifest, &running).await;
    running.extend(found);
    failed.extend(unknown);
    let known = |manifest: &mut ReleaseManifest| {
        if let Some(withdrawn) = &mut manifest.withdrawn {
            withdrawn.running = Some(running.clone());
        }
    };
    changed |= change(desk, release, known).await?.1;
    let (taken, not_taken) = take(desk, release).await?;
    changed |= taken;
    failed.extend(not_taken);
    match failed.is_empty() {
        true => Ok(Withdrawn {
            release: Some(release.clone()),
            running,
            changed,
        }),
        false => Err(ReleaseError::Withdrawal {
            release: release.clone(),
            failed,
        }),
    }
}

/// Changes a release's manifest, and signs it anew; whether any of that was to be done. What was not
/// signed as it stands is not signed now, unless an earlier withdrawal was cut off there.
async fn change(
    desk: &Desk<'_>,
    release: &ReleaseId,
    change: impl Fn(&mut ReleaseManifest),
) -> Result<(ReleaseManifest, bool), ReleaseError> {
    let bucket = desk.bucket();
    for _ in 0..MOST_ROUNDS {
        let stored = bucket.manifest(release).await?;
        let mut stored = stored.ok_or_else(|| ReleaseError::NoRelease {
            release: release.clone(),
            bucket: bucket.url(""),
        })?;
        let mut next = stored.manifest.clone();
        change(&mut next);
        let changes = next != stored.manifest;
        let is_begun = stored.manifest.withdrawn.is_some();
        let was_signed = match &desk.store.ring {
            Some(ring) if !is_begun => papers::check(bucket, &stored.manifest, ring).await?.is_ok(),
            _ => is_begun,
        };
        if changes && !bucket.try_replace(&mut stored, next).await? {
            continue;
        }
        let mut signed = false;
        if let Some(signer) = desk.store.signer.as_ref().filter(|_| was_signed) {
            signed = papers::sign(bucket, signer, release).await?;
        }
        return Ok((stored.manifest, changes || signed));
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

/// What could not be done in a Region, and what to do about it.
type Failed = BTreeMap<Region, (String, String)>;

async fn deprecate(desk: &Desk<'_>, manifest: &ReleaseManifest) -> (bool, Failed) {
    desk.progress.say("deprecating its AMIs");
    let now = desk.bucket().now();
    let mut asked = JoinSet::new();
    for (region, ec2, ami) in images(desk, manifest) {
        asked.spawn(async move { (region, hide(&ec2, &ami, now).await) });
    }
    let (mut changed, mut failed) = (false, Failed::new());
    while let Some(answer) = asked.join_next().await {
        let (region, result) = answer.expect("asking does not panic");
        match result {
            Ok(hidden) => changed |= hidden,
            Err(error) => drop(failed.insert(region, (error.to_string(), error.advice()))),
        }
    }
    (changed, failed)
}

/// Deprecates an AMI that is not to be within minutes; whether that was to be done.
async fn hide(ec2: &Ec2, ami: &AmiId, now: OffsetDateTime) -> Result<bool, AwsError> {
    let image = ec2.image(ami).await?;
    let soon = now + time::Duration::minutes(5);
    match image.map(|image| image.deprecation) {
        None => Ok(false),
        Some(Some(at)) if at <= soon => Ok(false),
        Some(_) => ec2.deprecate(ami, now).await,
    }
}

type Running = BTreeMap<Region, BTreeSet<AccountId>>;

/// Who runs it, where that is not known: a Region that does not say is told.
async fn ask(desk: &Desk<'_>, manifest: &ReleaseManifest, known: &Running) -> (Running, Failed) {
    let mut open = images(desk, manifest);
    open.retain(|(region, ..)| !known.contains_key(region));
    if !open.is_empty() {
        desk.progress
            .say("asking AWS who runs it: this takes minutes");
    }
    let limit: Duration = desk.aws.settings().wait();
    let mut asked = JoinSet::new();
    for (region, ec2, ami) in open {
        asked.spawn(async move { (region, ec2.usage(&ami, limit).await) });
    }
    let (mut running, mut unknown) = (Running::new(), Failed::new());
    while let Some(answer) = asked.join_next().await {
        let (region, usage): (_, Result<Result<_, TimedOut>, AwsError>) =
            answer.expect("asking does not panic");
        match usage {
            Ok(Ok(usage)) => {
                let accounts = usage.into_iter().map(|usage| usage.account);
                running.insert(region, accounts.collect());
            }
            Ok(Err(late)) => {
                let why = format!("who runs it is not known, and nothing was taken: {late}");
                unknown.insert(region, (why, "wait some minutes".to_owned()));
            }
            Err(error) => {
                let why = format!("who runs it is not known, and nothing was taken: {error}");
                unknown.insert(region, (why, error.advice()));
            }
        }
    }
    (running, unknown)
}

/// Takes the launch permission from those who do not run it.
async fn take(desk: &Desk<'_>, release: &ReleaseId) -> Result<(bool, Failed), ReleaseError> {
    let Some(job) = desk.job(&[]) else {
        return Ok((false, Failed::new()));
    };
    desk.progress.say("taking the launch permission back");
    let mut survey = survey(&job, desk.bucket()).await?;
    let part = survey.plan.taking(&release.to_string());
    let mut failed = Failed::new();
    for (region, error) in &survey.failed {
        failed.insert(region.clone(), (error.to_string(), error.advice()));
    }
    let taken = !part.is_empty();
    failed.extend(apply::make(&job, desk.bucket(), &mut survey, part).await?);
    Ok((taken, failed))
}
