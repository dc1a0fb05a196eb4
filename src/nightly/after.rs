//! What is done once for all images, when each of them has come to its end.

use tracing::Instrument as _;

use super::error::StepError;
use super::ledger::{Ledger, timed};
use super::report::{Outcome, Step, StepOutcome};
use super::run::Night;
use super::standing::REASON;
use crate::aws::Aws;
use crate::interrupt::Stop;
use crate::publish::complete::Publisher;
use crate::publish::progress::Progress;
use crate::publish::release::ReleaseId;
use crate::release::desk::Desk;
use crate::release::error::ReleaseError;
use crate::release::promote::{Preview, Promotion, promote};
use crate::release::prune;
use crate::release::prune::act::{Proposal, prune};
use crate::share::apply::apply;
use crate::share::customers::Customer;
use crate::share::error::ShareError;
use crate::share::survey::{Job, if_any};

fn skipped(why: impl Into<String>) -> StepOutcome {
    StepOutcome::Skipped { why: why.into() }
}

async fn customers(night: &Night<'_>, aws: &Aws) -> Result<Option<Vec<Customer>>, ShareError> {
    let bucket = night.publisher.bucket(aws);
    let (settings, channels) = (&night.config.share, night.channels);
    if_any(&bucket, night.publisher, settings, channels).await
}

/// Gives customers what they are to get, and takes what they are not to have any more: dates pass,
/// also on days without a new release.
pub(super) async fn share_once(
    night: &Night<'_>,
    mut stop: Stop,
) -> Result<StepOutcome, StepError> {
    if !night.terms.share {
        return Ok(skipped("nightly.share is false"));
    }
    let settings = &night.config.share;
    let Publisher { home, .. } = night.publisher;
    night.ui.progress("sharing");
    let aws = tokio::select! {
        biased;
        how = stop.told() => return Err(StepError::Interrupted(how)),
        aws = Aws::connect(&night.config.aws, "share", home) => aws?,
    };
    let Some(customers) = customers(night, &aws).await? else {
        let file = settings.customers.display();
        return Ok(skipped(format!("there is no {file}")));
    };
    let job = Job {
        publisher: night.publisher,
        aws: &aws,
        settings,
        channels: night.channels,
        customers: &customers,
        as_if: &[],
        remove_unknown: false,
        progress: &Progress::default(),
    };
    // Nobody is there to be asked.
    let applied = apply(&job, stop, async |_| Ok(true)).await?;
    match StepError::of_share(&applied) {
        Some(error) => Err(error),
        None if applied.changed => Ok(StepOutcome::Done),
        None => Ok(skipped("customers have what they are to have")),
    }
}

/// Brings a release into the run's channel.
pub(super) async fn promote_one(
    night: &Night<'_>,
    release: &ReleaseId,
    mut stop: Stop,
) -> Result<StepOutcome, StepError> {
    let channel = &night.terms.channel;
    let home = &night.publisher.home;
    let progress = Progress::default();
    let aws = tokio::select! {
        biased;
        how = stop.told() => return Err(StepError::Interrupted(how)),
        aws = Aws::connect(&night.config.aws, "promote", home) => aws?,
    };
    let desk = tokio::select! {
        biased;
        how = stop.told() => return Err(StepError::Interrupted(how)),
        desk = Desk::open(night.config, night.publisher, &aws, &progress) => desk?,
    };
    let asked = Promotion {
        release: release.clone(),
        channel: channel.clone(),
        reason: Some(REASON.to_owned()),
        approved_by: None,
        dry_run: false,
    };
    let show = |preview: &Preview| night.ui.progress(preview.text().trim_end());
    match promote(&desk, &asked, stop, show).await {
        Ok(_) => Ok(StepOutcome::Done),
        Err(ReleaseError::Already { .. }) => Ok(skipped(format!("it is in {channel} already"))),
        Err(error) => Err(error.into()),
    }
}

/// Promotes a release and writes it down: an image that is new in the channel is published.
pub(super) async fn promoted(
    night: &Night<'_>,
    release: &ReleaseId,
    ledger: &mut Ledger,
    stop: Stop,
) {
    let promoted = timed(Step::Promote, promote_one(night, release, stop));
    let timed = promoted.instrument(ledger.span.clone()).await;
    timed.enter(ledger, Step::Promote);
    if timed.outcome == StepOutcome::Done && !ledger.has_failed() {
        ledger.report.outcome = Outcome::Published;
    }
}

/// Retires what is too old, and sweeps what dead runs left.
pub(super) async fn prune_once(
    night: &Night<'_>,
    mut stop: Stop,
) -> Result<StepOutcome, StepError> {
    if !night.terms.prune {
        return Ok(skipped("nightly.prune is false"));
    }
    let home = &night.publisher.home;
    let aws = tokio::select! {
        biased;
        how = stop.told() => return Err(StepError::Interrupted(how)),
        aws = Aws::connect(&night.config.aws, "prune", home) => aws?,
    };
    let progress = Progress::default();
    let desk = tokio::select! {
        biased;
        how = stop.told() => return Err(StepError::Interrupted(how)),
        desk = Desk::open(night.config, night.publisher, &aws, &progress) => desk?,
    };
    night.ui.progress("pruning");
    let job = prune::Job {
        publisher: night.publisher,
        aws: &aws,
        settings: &night.config.prune,
        channels: &night.config.channels,
        customers: desk.customers.as_deref().unwrap_or_default(),
        despite_unseen: false,
        progress: &progress,
    };
    let show = |plan: &Proposal| {
        if plan.has_work() || plan.plan.unseen().next().is_some() {
            night.ui.progress(prune::text::proposal(plan).trim_end());
        }
    };
    let pruned = prune(&job, &desk, true, stop, show).await?;
    match StepError::of_prune(&pruned) {
        Some(error) => Err(error),
        None if pruned.changed => Ok(StepOutcome::Done),
        None => Ok(skipped(match pruned.plan.plan.unseen().next() {
            Some((release, why)) => format!("it could not be seen who uses {release}: {why}"),
            None => "nothing is too old".to_owned(),
        })),
    }
}
