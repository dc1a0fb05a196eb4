//! `prune`: what nobody needs any more goes.

use std::fmt::Write as _;

use clap::Args;

use super::until_told_to_stop;
use crate::aws::Aws;
use crate::channels::settings::names;
use crate::config::Config;
use crate::publish::complete::Publisher;
use crate::publish::progress::Progress;
use crate::release::desk::Desk;
use crate::release::prune::act::{Proposal, Pruned, propose, prune};
use crate::release::prune::error::{PruneError, Trouble};
use crate::release::prune::{Job, text};
use crate::share::survey::if_any;
use crate::ui::progress::Drawing;
use crate::ui::{Failure, Status, Ui};

/// Retire releases that nobody needs any more.
///
/// Shows what would be done, and exits with 3 if there is anything; with --yes does it. What is to go
/// is deprecated first, and deregistered with its snapshots some weeks later. What a channel, a
/// customer's grace or anybody's instance or launch template needs stays.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Remove what dead runs left past its end of life, too
    #[arg(long)]
    orphans: bool,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Deregister releases too of which it could not be seen whether anybody uses them
    #[arg(long)]
    despite_unseen: bool,
}

impl PruneArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let publisher = Publisher::new(&config.publish)?;
        let channels = names(&config.channels)?;
        let progress = Progress::default();
        let pruned = until_told_to_stop(ui, async |mut stop| {
            let home = &publisher.home;
            let aws = tokio::select! {
                biased;
                how = stop.told() => return Err(PruneError::Interrupted { how, done: 0 }.into()),
                aws = Aws::connect(&config.aws, "prune", home) => aws?,
            };
            let open = async {
                if self.yes {
                    let desk = Desk::open(config, &publisher, &aws, &progress).await;
                    return Ok((Some(desk.map_err(PruneError::from)?), None));
                }
                let bucket = publisher.bucket(&aws);
                bucket.check().await?;
                let customers = if_any(&bucket, &publisher, &config.share, &channels).await;
                let customers =
                    customers.map_err(|error| PruneError::Customers(Box::new(error)))?;
                Ok::<_, PruneError>((None, customers))
            };
            let (desk, customers) = tokio::select! {
                biased;
                how = stop.told() => return Err(PruneError::Interrupted { how, done: 0 }.into()),
                opened = open => opened?,
            };
            let customers = desk.as_ref().map_or(&customers, |desk| &desk.customers);
            let job = Job {
                publisher: &publisher,
                aws: &aws,
                settings: &config.prune,
                channels: &config.channels,
                customers: customers.as_deref().unwrap_or_default(),
                despite_unseen: self.despite_unseen,
                progress: &progress,
            };
            let drawing = Drawing::start(&ui, &progress);
            let pruned = match &desk {
                Some(desk) => {
                    let show = |plan: &Proposal| ui.progress(text::proposal(plan).trim_end());
                    prune(&job, desk, self.orphans, stop, show).await
                }
                None => propose(&job, self.orphans, stop).await.map(|plan| Pruned {
                    changed: false,
                    failed: plan.failed.clone(),
                    plan,
                }),
            };
            drawing.finish().await;
            Ok(pruned?)
        })?;
        match self.yes {
            true => ui.result(&pruned, || said(&pruned))?,
            false => ui.result(&pruned.plan, || text::proposal(&pruned.plan))?,
        }
        if !pruned.failed.is_empty() {
            return Err(incomplete(&pruned.failed));
        }
        match !self.yes && pruned.plan.has_work() {
            true => Ok(Status::Differs),
            false => Ok(Status::Done),
        }
    }
}

/// What was done, for people: the plan was shown before.
fn said(pruned: &Pruned) -> String {
    match (pruned.changed, pruned.failed.is_empty()) {
        (false, _) => "nothing to do\n".to_owned(),
        (true, true) => "done\n".to_owned(),
        (true, false) => String::new(),
    }
}

fn incomplete(failed: &[Trouble]) -> Failure {
    let mut error = "pruning is not complete:".to_owned();
    for trouble in failed {
        let place = [
            trouble.region.as_ref().map(ToString::to_string),
            trouble.release.as_ref().map(ToString::to_string),
        ];
        let place: Vec<String> = place.into_iter().flatten().collect();
        let colon = if place.is_empty() { "" } else { ": " };
        // Writing to a string does not fail.
        let _ = write!(error, "\n  {}{colon}{}", place.join(", "), trouble.error);
    }
    let mut advice: Vec<String> = failed.iter().filter_map(|one| one.advice.clone()).collect();
    advice.sort_unstable();
    advice.dedup();
    advice.push("run the same command again: it does only what is missing".to_owned());
    Failure::failed(error, Some(advice.join("\nthen ")))
}
