//! The order of a run: images side by side, and then what is done once for all of them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::after::{promoted, prune_once, share_once};
use super::builders::Builder;
use super::error::NightlyError;
use super::image::{Made, Order, Shop};
use super::ledger::timed;
use super::report::{Outcome, Report, Step};
use super::settings::Terms;
use crate::apk::fetch::Fetcher;
use crate::arch::Arch;
use crate::aws::Aws;
use crate::builder::packages::PackagesError;
use crate::config::Config;
use crate::image::jail;
use crate::interrupt::Stop;
use crate::plan::{Plan, PlanError, SourceOverrides};
use crate::profile::{Library, ProfileError, ProfileSource};
use crate::publish::complete::Publisher;
use crate::publish::holder::new_run_id;
use crate::publish::progress::Progress;
use crate::release::desk::Desk;
use crate::release::error::ReleaseError;
use crate::telemetry;
use crate::ui::Ui;
use crate::ui::progress::downloads;

/// What an unattended run is told.
pub struct Night<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The publisher's, complete.
    pub publisher: &'a Publisher,
    /// The names of the channels.
    pub channels: &'a [String],
    /// What is to be done.
    pub terms: Terms,
    /// Values of profiles that are set.
    pub set: Vec<String>,
    /// Where packages come from, if not from where profiles say.
    pub sources: SourceOverrides,
    /// The folder that gets one for each image.
    pub out: PathBuf,
    /// Whether images are built though nothing changed.
    pub force: bool,
    /// Whether indexes are taken that are older than those of the last release.
    pub accept_older: bool,
    /// This program's executable.
    pub program: PathBuf,
    /// Who is told what goes on.
    pub ui: Ui,
}

/// Does all of it. That an image fails, or that the run is told to stop, stands in the report.
///
/// # Errors
/// The run could not begin, and nothing was made.
pub async fn run(night: &Night<'_>, stop: Stop) -> Result<Report, NightlyError> {
    let span = telemetry::span!("nightly");
    let report = telemetry::stage(span.clone(), run_it(night, stop)).await?;
    if report.count(Outcome::Failed) > 0 {
        telemetry::failed(&span);
    }
    Ok(report)
}

async fn run_it(night: &Night<'_>, mut stop: Stop) -> Result<Report, NightlyError> {
    let started = OffsetDateTime::now_utc();
    let run = new_run_id(started);
    let orders = orders(night)?;
    let shop = tokio::select! {
        biased;
        how = stop.told() => return Err(NightlyError::Interrupted(how)),
        shop = open(night, &orders) => shop?,
    };
    let mut made = make(Arc::new(shop), orders, &stop).await;
    let shared = timed(Step::Share, share_once(night, stop.clone())).await;
    for one in &mut made {
        shared.enter(&mut one.ledger, Step::Share);
        if let Some(release) = &one.promote {
            promoted(night, release, &mut one.ledger, stop.clone()).await;
        }
    }
    let pruned = timed(Step::Prune, prune_once(night, stop)).await;
    let images = made.into_iter().map(|mut one| {
        pruned.enter(&mut one.ledger, Step::Prune);
        one.ledger.close()
    });
    let images = images.collect();
    Ok(Report::new(run, started, OffsetDateTime::now_utc(), images))
}

/// What is asked for, in that order. A mistake in one profile is that image's; one in what was asked
/// for ends the run before it begins.
fn orders(night: &Night<'_>) -> Result<Vec<Order>, PlanError> {
    let library = night.config.library();
    let order = |(profile, arch): &(String, Option<Arch>)| order(&library, night, profile, *arch);
    night.terms.images.iter().map(order).collect()
}

fn order(
    library: &Library,
    night: &Night<'_>,
    profile: &str,
    arch: Option<Arch>,
) -> Result<Order, PlanError> {
    let source = ProfileSource {
        name: profile.to_owned(),
        arch,
        set: night.set.clone(),
    };
    let plan = match Plan::new(library, &source) {
        Err(
            error
            @ PlanError::Profile(ProfileError::Unknown { .. } | ProfileError::OnlyIncluded(_)),
        )
        | Err(error @ PlanError::Profile(ProfileError::Set { .. } | ProfileError::Arch { .. })) => {
            return Err(error);
        }
        plan => plan,
    };
    let planned = plan.as_ref().ok().map(|plan| plan.arch);
    let arch = planned.or(arch).or(Arch::host());
    Ok(Order {
        profile: profile.to_owned(),
        arch: arch.unwrap_or(Arch::X86_64),
        plan,
    })
}

/// Looks at everything that all images need.
async fn open(night: &Night<'_>, orders: &[Order]) -> Result<Shop, NightlyError> {
    let Night {
        config,
        publisher,
        terms,
        ..
    } = night;
    let aws = Aws::connect(&config.aws, "publish", &publisher.home).await?;
    let bucket = publisher.bucket(&aws);
    bucket.check().await?;
    let progress = Progress::default();
    let desk = Desk::open(config, publisher, &aws, &progress).await?;
    let channel = desk.store.read(&terms.channel).await;
    let archs: BTreeSet<Arch> = orders.iter().map(|order| order.arch).collect();
    let program = night.program.clone();
    let fetcher = Fetcher::configured(&config.downloads).map_err(PackagesError::from)?;
    Ok(Shop {
        channel: channel.map_err(ReleaseError::from)?,
        signer: desk.store.signer.clone(),
        profiles: config.own_profiles().to_owned(),
        builder: Builder::open(terms.on, config, publisher, program, &archs).await?,
        fetcher: fetcher.watched(downloads::lines(night.ui)),
        publisher: (*publisher).clone(),
        sources: night.sources.clone(),
        limit: Semaphore::new(terms.jobs),
        secdb: config.diff.secdb.clone(),
        out: night.out.clone(),
        force: night.force,
        accept_older: night.accept_older,
        program: night.program.clone(),
        ui: night.ui,
        bucket,
        aws,
    })
}

/// All images, so many at once as the run may.
async fn make(shop: Arc<Shop>, orders: Vec<Order>, stop: &Stop) -> Vec<Made> {
    // Scripts of packages block a thread, so that only their end ends a build.
    let mut told = stop.clone();
    let killer = tokio::spawn(async move {
        told.told().await;
        jail::kill_all();
    });
    let mut tasks = JoinSet::new();
    for (place, order) in orders.into_iter().enumerate() {
        let (shop, stop) = (Arc::clone(&shop), stop.clone());
        let made = async move { (place, shop.make(order, stop).await) };
        // Below the run's span, also in a task of its own.
        tasks.spawn(made.in_current_span());
    }
    let mut made = Vec::new();
    let mut panicked = None;
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(one) => made.push(one),
            // The others come to their end first: they may have instances.
            Err(error) => panicked = Some(error),
        }
    }
    killer.abort();
    if let Some(error) = panicked {
        std::panic::resume_unwind(error.into_panic());
    }
    made.sort_by_key(|(place, _)| *place);
    made.into_iter().map(|(_, one)| one).collect()
}
