//! AWS comes to hold what the file of customers says. A run may be killed at any time: the next one
//! looks at what is there and does what is missing.

mod errand;
mod sight;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::error::{RegionError, ShareError};
use super::plan::RegionPlan;
use super::plan::told::Told;
use super::survey::{Job, Survey, survey};
use crate::aws::Region;
use crate::interrupt::Stop;
use crate::publish::bucket::Bucket;
use crate::publish::holder::{Holder, new_run_id};
use crate::publish::lease::{self, Lease};
use crate::telemetry;
use errand::Errand;

/// What came of it.
#[derive(Debug)]
pub struct Applied {
    /// The plan.
    pub plan: Told,
    /// Whether anything was changed.
    pub changed: bool,
    /// What went wrong in a Region, and what to do about it.
    pub failed: BTreeMap<Region, (String, String)>,
}

/// How far Regions have come.
type Ends = Arc<Mutex<BTreeMap<Region, bool>>>;

/// Changes what the plan says, if `confirm` says yes to it.
///
/// # Errors
/// [`ShareError`]. A Region that fails is no error of the run, but told in what it comes to.
pub async fn apply(
    job: &Job<'_>,
    stop: Stop,
    confirm: impl AsyncFnOnce(&Told) -> Result<bool, ShareError>,
) -> Result<Applied, ShareError> {
    telemetry::stage(telemetry::span!("share"), apply_it(job, stop, confirm)).await
}

async fn apply_it(
    job: &Job<'_>,
    mut stop: Stop,
    confirm: impl AsyncFnOnce(&Told) -> Result<bool, ShareError>,
) -> Result<Applied, ShareError> {
    let ends = Ends::default();
    let bucket = job.bucket();
    let lease = tokio::select! {
        how = stop.told() => Err(interrupted(how, &ends)),
        lease = take_lease(job, &bucket) => lease,
    }?;
    let result = tokio::select! {
        biased;
        lost = lease.lost() => Err(lost.into()),
        how = stop.told() => Err(interrupted(how, &ends)),
        result = under_lease(job, &bucket, &ends, confirm) => result,
    };
    if let Err(error) = lease.release().await {
        // It expires by itself.
        tracing::debug!("{error}");
    }
    result
}

async fn take_lease(job: &Job<'_>, bucket: &Bucket) -> Result<Lease, ShareError> {
    bucket.check().await?;
    let run = new_run_id(OffsetDateTime::now_utc());
    let ttl = Duration::from_secs(job.publisher.lease_seconds);
    let holder = Holder::here(&run, "share apply");
    Ok(Lease::acquire(bucket, lease::Of::access(), holder, ttl).await?)
}

fn interrupted(how: &'static str, ends: &Ends) -> ShareError {
    let ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
    let those = |wanted: bool| {
        let ends = ends.iter().filter(|(_, done)| **done == wanted);
        ends.map(|(region, _)| region.clone()).collect()
    };
    ShareError::Interrupted {
        how,
        done: those(true),
        open: those(false),
    }
}

async fn under_lease(
    job: &Job<'_>,
    bucket: &Bucket,
    ends: &Ends,
    confirm: impl AsyncFnOnce(&Told) -> Result<bool, ShareError>,
) -> Result<Applied, ShareError> {
    let mut survey = survey(job, bucket).await?;
    let plan = survey.told();
    let refused = &survey.plan.refused;
    let mut failed: BTreeMap<Region, (String, String)> = BTreeMap::new();
    for (region, error) in &survey.failed {
        failed.insert(region.clone(), (error.to_string(), error.advice()));
    }
    for refusal in refused {
        let told = (refusal.why.clone(), refusal.advice.clone());
        failed.entry(refusal.region.clone()).or_insert(told);
    }
    let mut open = survey.plan.regions.clone();
    open.retain(|region, _| !failed.contains_key(region));
    let changed = !open.is_empty();
    if changed && !confirm(&plan).await? {
        return Err(ShareError::Declined);
    }
    // Also of those who have everything already: it may be taken from them some day.
    remember(job, bucket, &mut survey).await?;
    failed.extend(change(job, ends, open).await);
    if failed.is_empty() {
        forget(job, bucket, &mut survey).await?;
    }
    Ok(Applied {
        plan,
        changed,
        failed,
    })
}

/// Makes the changes of a part of what was planned, for who holds the lease already; what failed in a
/// Region, and what to do about it.
///
/// # Errors
/// The bucket's: nothing was changed.
pub async fn make(
    job: &Job<'_>,
    bucket: &Bucket,
    survey: &mut Survey,
    part: BTreeMap<Region, RegionPlan>,
) -> Result<BTreeMap<Region, (String, String)>, ShareError> {
    remember(job, bucket, survey).await?;
    Ok(change(job, &Ends::default(), part).await)
}

/// Before anything is given: a later run must know whom it may take it from.
async fn remember(job: &Job<'_>, bucket: &Bucket, survey: &mut Survey) -> Result<(), ShareError> {
    let now = OffsetDateTime::now_utc();
    let next = survey
        .record
        .with(job.customers, &survey.keys, job.serves_catalog(), now);
    write(bucket, survey, next).await
}

/// When everything is as it is to be: what the file does not say has nothing any more.
async fn forget(job: &Job<'_>, bucket: &Bucket, survey: &mut Survey) -> Result<(), ShareError> {
    let next = survey
        .record
        .only(job.customers, &survey.keys, job.serves_catalog());
    write(bucket, survey, next).await
}

async fn write(
    bucket: &Bucket,
    survey: &mut Survey,
    next: super::owners::Record,
) -> Result<(), ShareError> {
    if next != survey.record {
        survey.etag = Some(next.write(bucket, survey.etag.as_ref()).await?);
        survey.record = next;
    }
    Ok(())
}

/// Changes all Regions at once; which of them failed, and why.
async fn change(
    job: &Job<'_>,
    ends: &Ends,
    plans: BTreeMap<Region, RegionPlan>,
) -> BTreeMap<Region, (String, String)> {
    let mark = |region: &Region, done: bool| {
        let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.insert(region.clone(), done);
    };
    let mut running = JoinSet::new();
    for (region, plan) in plans {
        mark(&region, false);
        let errand = Errand::new(job, &region);
        let span = telemetry::span!("share in a Region", %region);
        running.spawn(async move {
            let result = telemetry::stage(span, errand.run(plan)).await;
            (region, result)
        });
    }
    let mut failed = BTreeMap::new();
    while let Some(ended) = running.join_next().await {
        let (region, result): (Region, Result<(), RegionError>) =
            ended.expect("a Region does not panic");
        match result {
            Ok(()) => {
                mark(&region, true);
                job.progress.region(&region, "done");
            }
            Err(error) => {
                job.progress.region(&region, "failed");
                failed.insert(region, (error.to_string(), error.advice()));
            }
        }
    }
    failed
}
