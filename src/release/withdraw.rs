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
use crate::publish::papers::{self, Papers, UntrustedManifest, Withdrawal};
use crate::publish::release::ReleaseId;
use crate::share::apply;
use crate::share::survey::survey;
use crate::sign::Signer;

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
    say(desk, release, &withdrawal).await
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
    let said = manifest.withdrawn.clone().expect("it was marked");
    let mut running = said.running.clone().unwrap_or_default();
    // Who runs it is asked once in each Region: later, nobody can come to it any more.
    let (found, unknown) = ask(desk, &manifest, &running).await;
    running.extend(found);
    failed.extend(unknown);
    let known = Withdrawal {
        running: Some(running.clone()),
        ..said
    };
    changed |= say(desk, release, &known).await?.1;
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

/// Says in a release's manifest that it is withdrawn, and signs that; whether any of it was to be done.
/// What was said of it before stays, but for who runs it, where that is known now.
///
/// What is signed is what was signed before, and the withdrawal: the manifest lies where others may
/// write, too, and one that says anything else is signed by nobody. What was never signed is not now.
async fn say(
    desk: &Desk<'_>,
    release: &ReleaseId,
    withdrawal: &Withdrawal,
) -> Result<(ReleaseManifest, bool), ReleaseError> {
    let bucket = desk.bucket();
    let mut changed = false;
    for _ in 0..MOST_ROUNDS {
        let stored = bucket.manifest(release).await?;
        let mut stored = stored.ok_or_else(|| ReleaseError::NoRelease {
            release: release.clone(),
            bucket: bucket.url(""),
        })?;
        let papers = papers_of(desk, &stored.manifest).await?;
        let before = match &papers {
            // What is not signed of it is nobody's word.
            Some((_, papers)) => papers.manifest.withdrawn.clone(),
            None => stored.manifest.withdrawn.clone(),
        };
        let mut said = before.clone().unwrap_or_else(|| withdrawal.clone());
        if withdrawal.running.is_some() {
            said.running.clone_from(&withdrawal.running);
        }
        let next = ReleaseManifest {
            withdrawn: Some(said.clone()),
            ..stored.manifest.clone()
        };
        if next != stored.manifest {
            if !bucket.try_replace(&mut stored, next).await? {
                continue;
            }
            changed = true;
        }
        if let Some((signer, papers)) = papers.filter(|_| before.as_ref() != Some(&said)) {
            if !papers.withdraw(bucket, signer, &said).await? {
                continue;
            }
            changed = true;
        }
        return Ok((stored.manifest, changed));
    }
    Err(bucket.contended(&release.to_string()).into())
}

/// What is signed of a release, and who signs that it is withdrawn. Nothing where nobody signs, or
/// nobody vouches for it: that is told.
async fn papers_of<'d>(
    desk: &'d Desk<'_>,
    manifest: &ReleaseManifest,
) -> Result<Option<(&'d Signer, Papers)>, ReleaseError> {
    let (Some(signer), Some(ring)) = (&desk.store.signer, &desk.store.ring) else {
        return Ok(None);
    };
    let release = &manifest.release;
    match papers::but_for_withdrawal(desk.bucket(), manifest, ring).await? {
        Ok(papers) => Ok(Some((signer, papers))),
        Err(UntrustedManifest::Differs) => Err(ReleaseError::NotAsSigned(release.clone())),
        Err(why) => {
            // Once is enough.
            if manifest.withdrawn.is_none() {
                let said = format!("warning: the withdrawal of {release} is not signed: {why}");
                desk.progress.say(said);
            }
            Ok(None)
        }
    }
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
