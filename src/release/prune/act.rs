//! The plan is made, shown and done. A run may be killed at any call: the next one looks at what is
//! there and goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::error::{PruneError, Trouble};
use super::orphans::{self, Orphans};
use super::plan::{Mark, Plan, Planned, Step, Terms, plan, plan_release};
use super::seen::Seen;
use super::survey::{self, Survey, survey};
use super::{Job, uses};
use crate::aws::AwsError;
use crate::aws::ec2::Ec2;
use crate::interrupt::Stop;
use crate::publish::bucket::Bucket;
use crate::publish::holder::{Holder, new_run_id};
use crate::publish::lease::{Lease, LeaseError, Of};
use crate::publish::manifest::Retirement;
use crate::publish::release::ReleaseId;
use crate::release::catalog;
use crate::release::desk::Desk;
use crate::telemetry;

/// What is to be done, and what could not be seen.
#[derive(Debug, Clone, Serialize)]
pub struct Proposal {
    /// Releases.
    #[serde(flatten)]
    pub plan: Plan,
    /// What dead runs left, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphans: Option<Orphans>,
    /// Regions that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Trouble>,
}

impl Proposal {
    /// Whether there is anything to do.
    pub fn has_work(&self) -> bool {
        self.plan.has_work() || self.orphans.as_ref().is_some_and(Orphans::has_work)
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Pruned {
    /// What was to be done.
    pub plan: Proposal,
    /// Whether anything was done.
    pub changed: bool,
    /// What did not work out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Trouble>,
}

/// Looks, and says what is to be done. Nothing is changed.
///
/// # Errors
/// [`PruneError`]. A Region that cannot be read is no error, but told.
pub async fn propose(
    job: &Job<'_>,
    with_orphans: bool,
    mut stop: Stop,
) -> Result<Proposal, PruneError> {
    let bucket = job.publisher.bucket(job.aws);
    let looking = async {
        bucket.check().await?;
        Ok(look(job, &bucket, with_orphans).await?.1)
    };
    tokio::select! {
        biased;
        how = stop.told() => Err(PruneError::Interrupted { how, done: 0 }),
        proposal = looking => proposal,
    }
}

/// Looks, says what is to be done, and does it; then the catalog's page tells what there is still,
/// also where an earlier run was killed before that.
///
/// # Errors
/// [`PruneError`]. What goes wrong with a release or in a Region is no error of the run, but told in
/// what it comes to.
pub async fn prune(
    job: &Job<'_>,
    desk: &Desk<'_>,
    with_orphans: bool,
    stop: Stop,
    show: impl FnOnce(&Proposal),
) -> Result<Pruned, PruneError> {
    let span = telemetry::span!("prune");
    telemetry::stage(span, prune_it(job, desk, with_orphans, stop, show)).await
}

async fn prune_it(
    job: &Job<'_>,
    desk: &Desk<'_>,
    with_orphans: bool,
    mut stop: Stop,
    show: impl FnOnce(&Proposal),
) -> Result<Pruned, PruneError> {
    let bucket = job.publisher.bucket(job.aws);
    let run = new_run_id(OffsetDateTime::now_utc());
    let done = AtomicUsize::new(0);
    let interrupted = |how| PruneError::Interrupted {
        how,
        done: done.load(Ordering::Relaxed),
    };
    let lease = tokio::select! {
        how = stop.told() => Err(interrupted(how)),
        lease = async {
            bucket.check().await?;
            Ok(take(job, &bucket, Of::access(), &run).await?)
        } => lease,
    }?;
    let work = async {
        let (survey, proposal) = look(job, &bucket, with_orphans).await?;
        show(&proposal);
        let mut failed = proposal.failed.clone();
        for planned in proposal.plan.releases.iter().filter(|one| one.has_work()) {
            job.progress
                .say(format!("{}: {}", planned.release, doing(planned)));
            let span = telemetry::span!("prune a release", release = %planned.release);
            let ended = one(job, &bucket, &survey.seen, planned, &run);
            let troubles = ended.instrument(span.clone()).await;
            if !troubles.is_empty() {
                telemetry::failed(&span);
            }
            failed.extend(troubles);
            done.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(orphans) = &proposal.orphans {
            failed.extend(orphans::sweep(job, &bucket, orphans, &run).await);
        }
        let page = catalog::refresh_if_any(desk).await;
        failed.extend(page.as_ref().err().map(Trouble::of_page));
        Ok(Pruned {
            changed: proposal.has_work() || page.unwrap_or_default(),
            plan: proposal,
            failed,
        })
    };
    let result = tokio::select! {
        biased;
        lost = lease.lost() => Err(lost.into()),
        how = stop.told() => Err(interrupted(how)),
        result = work => result,
    };
    if let Err(error) = lease.release().await {
        // It expires by itself.
        tracing::debug!("{error}");
    }
    result
}

pub(super) async fn take(
    job: &Job<'_>,
    bucket: &Bucket,
    of: Of,
    run: &str,
) -> Result<Lease, LeaseError> {
    let ttl = Duration::from_secs(job.publisher.lease_seconds);
    Lease::acquire(bucket, of, Holder::here(run, "prune"), ttl).await
}

fn terms<'a>(job: &Job<'a>) -> Terms<'a> {
    Terms {
        settings: job.settings,
        despite_unseen: job.despite_unseen,
    }
}

async fn look(
    job: &Job<'_>,
    bucket: &Bucket,
    with_orphans: bool,
) -> Result<(Survey, Proposal), PruneError> {
    let mut survey = survey(job, bucket).await?;
    // By AWS's clock, which promotions are dated by.
    let now = bucket.now();
    let first = plan(&survey.seen, terms(job), now);
    uses::ask(job, &first, &mut survey.seen).await;
    let orphans = match with_orphans {
        true => Some(orphans::look(job, bucket, &survey, now).await?),
        false => None,
    };
    let proposal = Proposal {
        plan: plan(&survey.seen, terms(job), now),
        orphans,
        failed: survey.troubles(),
    };
    Ok((survey, proposal))
}

/// In words.
fn doing(planned: &Planned) -> &'static str {
    let has = |is: fn(&Step) -> bool| planned.steps.values().any(is);
    if has(Step::removes) {
        "deregistering"
    } else if has(|step| matches!(step, Step::Deprecate { .. })) {
        "deprecating"
    } else if has(|step| matches!(step, Step::Restore { .. })) {
        "taking its deprecation back"
    } else {
        "marking the manifest"
    }
}

/// Does what is to be done with one release, in all Regions at once. Nobody else publishes in its line
/// meanwhile, and the channels are read once more before.
async fn one(
    job: &Job<'_>,
    bucket: &Bucket,
    seen: &Seen,
    planned: &Planned,
    run: &str,
) -> Vec<Trouble> {
    let release = &planned.release;
    let trouble =
        |error: &dyn std::fmt::Display, advice| vec![Trouble::of_release(release, error, advice)];
    let lease = match take(job, bucket, Of::line(&release.line), run).await {
        Ok(lease) => lease,
        Err(error) => return trouble(&error, error.advice()),
    };
    let work = async {
        match is_still_so(job, bucket, seen, planned).await {
            Ok(true) => {}
            Ok(false) => {
                let why =
                    "it is needed after all, a channel has changed meanwhile: nothing was done";
                return trouble(&why, None);
            }
            Err(error) => return trouble(&error, error.advice()),
        }
        if planned.steps.values().any(Step::removes)
            && let Err(error) = begin_end(bucket, release).await
        {
            return trouble(&error, error.advice());
        }
        let failed = in_regions(job, planned).await;
        if !failed.is_empty() {
            return failed;
        }
        match mark(bucket, planned).await {
            Ok(()) => Vec::new(),
            Err(error) => trouble(&error, error.advice()),
        }
    };
    let failed = tokio::select! {
        biased;
        lost = lease.lost() => trouble(&lost, lost.advice()),
        failed = work => failed,
    };
    if let Err(error) = lease.release().await {
        tracing::debug!("{error}");
    }
    failed
}

/// Whether the channels say of a release what they said when it was planned.
async fn is_still_so(
    job: &Job<'_>,
    bucket: &Bucket,
    seen: &Seen,
    planned: &Planned,
) -> Result<bool, PruneError> {
    let channels = survey::channels(job, bucket).await?;
    let now = Seen {
        channels,
        ..seen.clone()
    };
    let release = now.releases.iter().find(|one| one.id == planned.release);
    let again = release.map(|release| plan_release(&now, release, terms(job), bucket.now()));
    Ok(again.is_some_and(|again| again.kept.is_empty() == planned.kept.is_empty()))
}

/// Writes into the manifest that the release ends, before anything of it does: a run that is cut off
/// may leave some of its AMIs, and nobody is to make the others again under its id.
async fn begin_end(bucket: &Bucket, release: &ReleaseId) -> Result<(), PruneError> {
    let Some(mut stored) = bucket.manifest(release).await? else {
        return Ok(());
    };
    let mut manifest = stored.manifest.clone();
    let retired = manifest.retired.get_or_insert_default();
    if retired.deregistering.is_none() {
        retired.deregistering = now(bucket);
        bucket.replace(&mut stored, manifest).await?;
    }
    Ok(())
}

/// By AWS's clock, to the second.
fn now(bucket: &Bucket) -> Option<OffsetDateTime> {
    bucket.now().replace_nanosecond(0).ok()
}

async fn in_regions(job: &Job<'_>, planned: &Planned) -> Vec<Trouble> {
    let mut running = JoinSet::new();
    for (region, step) in planned.steps.clone() {
        let ec2 = job.aws.ec2(&region);
        let span = telemetry::span!("prune in a Region", %region);
        running.spawn(async move { (region, telemetry::stage(span, act(&ec2, &step)).await) });
    }
    let mut failed = Vec::new();
    while let Some(ended) = running.join_next().await {
        let (region, result) = ended.expect("a Region does not panic");
        if let Err(error) = result {
            failed.push(Trouble::of_call(&region, Some(&planned.release), &error));
        }
    }
    failed.sort_by(|one, other| one.region.cmp(&other.region));
    failed
}

async fn act(ec2: &Ec2, step: &Step) -> Result<(), AwsError> {
    match step {
        Step::Wait { .. } => {}
        Step::Deprecate { ami } => {
            ec2.deprecate(ami, OffsetDateTime::UNIX_EPOCH).await?;
        }
        Step::Restore { ami } => {
            ec2.undo_deprecation(ami).await?;
        }
        Step::Deregister {
            ami,
            with_snapshots,
        } => ec2.deregister(ami, *with_snapshots).await?,
        Step::DeleteSnapshots { snapshots } => {
            for snapshot in snapshots {
                // Where an AMI has it after all, AWS keeps it.
                ec2.delete_snapshot(snapshot).await?;
            }
        }
    }
    Ok(())
}

/// Writes into the manifest how far the release's end has come.
async fn mark(bucket: &Bucket, planned: &Planned) -> Result<(), PruneError> {
    let Some(mark) = planned.mark else {
        return Ok(());
    };
    let Some(mut stored) = bucket.manifest(&planned.release).await? else {
        return Ok(());
    };
    let now = now(bucket);
    let mut manifest = stored.manifest.clone();
    let retired = manifest.retired.unwrap_or_default();
    manifest.retired = match mark {
        Mark::Restored => retired.shown_again(),
        Mark::Deprecated => Some(Retirement {
            deprecated: now,
            ..retired
        }),
        Mark::Deregistered => Some(Retirement {
            deregistered: now,
            ..retired
        }),
    };
    bucket.replace(&mut stored, manifest).await?;
    Ok(())
}
