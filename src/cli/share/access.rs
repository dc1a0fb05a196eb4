//! `share plan`, `share apply`: what AWS holds, and what it is to hold.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::aws::{Aws, Region};
use crate::channels::settings;
use crate::cli::until_told_to_stop;
use crate::config::Config;
use crate::publish::complete::Publisher;
use crate::publish::progress::Progress;
use crate::share::apply::{Applied, apply};
use crate::share::customers::Customer;
use crate::share::error::ShareError;
use crate::share::plan::text;
use crate::share::plan::told::Told;
use crate::share::survey::{Job, read_customers, survey};
use crate::ui::progress::Drawing;
use crate::ui::{Failure, Status, Ui};

/// Show what would change for whom.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Take away access that the file of customers does not know, too
    #[arg(long)]
    remove_unknown: bool,
}

/// Change what AWS holds to what the file of customers says.
///
/// Access is given before any is taken away, and every change is read back. Run it again if it was
/// interrupted; where AWS holds what it should, it does nothing.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// Take away access that the file of customers does not know, too
    #[arg(long)]
    remove_unknown: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Exit with 4 if there was nothing to do
    #[arg(long)]
    exit_unchanged: bool,
}

/// What is read before AWS is called.
struct Input {
    publisher: Publisher,
    channels: Vec<String>,
    customers: Vec<Customer>,
}

impl Input {
    fn read(config: &Config) -> Result<Input, ShareError> {
        let publisher = Publisher::new(&config.publish)?;
        let channels = settings::names(&config.channels)?;
        let customers = read_customers(&publisher, &config.share, &channels)?;
        Ok(Input {
            publisher,
            channels,
            customers,
        })
    }

    fn job<'a>(
        &'a self,
        config: &'a Config,
        aws: &'a Aws,
        remove_unknown: bool,
        progress: &'a Progress,
    ) -> Job<'a> {
        Job {
            publisher: &self.publisher,
            aws,
            settings: &config.share,
            channels: &self.channels,
            customers: &self.customers,
            as_if: &[],
            remove_unknown,
            progress,
        }
    }
}

impl PlanArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let input = Input::read(config)?;
        let progress = Progress::default();
        let told = until_told_to_stop(ui, async |mut stop| {
            let drawing = Drawing::start(&ui, &progress);
            let look = async {
                let home = &input.publisher.home;
                let aws = Aws::connect(&config.aws, "share", home).await?;
                let job = input.job(config, &aws, self.remove_unknown, &progress);
                let bucket = job.bucket();
                bucket.check().await?;
                let survey = survey(&job, &bucket).await?;
                Ok::<_, ShareError>((survey.told(), advice(&survey)))
            };
            let told = tokio::select! {
                how = stop.told() => Err(early(how)),
                told = look => told,
            };
            drawing.finish().await;
            Ok(told?)
        })?;
        let (told, advice) = told;
        ui.result(&told, || text::plan(&told))?;
        if !told.failed.is_empty() {
            return Err(incomplete("the plan", &told.failed, advice));
        }
        match told.in_sync {
            true => Ok(Status::Done),
            false => Ok(Status::Differs),
        }
    }
}

/// What to do about Regions that could not be read.
fn advice(survey: &crate::share::survey::Survey) -> Vec<String> {
    survey.failed.values().map(|error| error.advice()).collect()
}

/// What `apply` prints.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    changed: bool,
    plan: &'a Told,
    failed: BTreeMap<&'a Region, &'a str>,
}

impl ApplyArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let input = Input::read(config)?;
        let progress = Progress::default();
        let applied = until_told_to_stop(ui, async |mut stop| {
            let home = &input.publisher.home;
            let aws = tokio::select! {
                how = stop.told() => return Err(early(how).into()),
                aws = Aws::connect(&config.aws, "share", home) => aws?,
            };
            let job = input.job(config, &aws, self.remove_unknown, &progress);
            let drawing = Drawing::start(&ui, &progress);
            let applied = apply(&job, stop, async |told| self.confirm(told).await).await;
            drawing.finish().await;
            Ok(applied?)
        })?;
        let failed = applied.failed.iter();
        let printed = Printed {
            changed: applied.changed,
            plan: &applied.plan,
            failed: failed
                .map(|(region, (why, _))| (region, why.as_str()))
                .collect(),
        };
        ui.result(&printed, || said(&applied, self.yes))?;
        self.end(&applied)
    }

    fn end(&self, applied: &Applied) -> Result<Status, Failure> {
        let Applied {
            plan,
            changed,
            failed,
        } = applied;
        if !failed.is_empty() {
            let whys = failed
                .iter()
                .map(|(region, (why, _))| (region.clone(), why.clone()))
                .collect();
            let advice = failed.values().map(|(_, advice)| advice.clone()).collect();
            return Err(incomplete("sharing", &whys, advice));
        }
        if !plan.missing.is_empty() {
            let what = format!(
                "{} of what customers are to get is missing",
                plan.missing.len()
            );
            let advice = "publish the release there (`publish RELEASE --add-region …`), or leave the Region out of the customer's".to_owned();
            return Err(Failure::failed(what, Some(advice)));
        }
        match self.exit_unchanged && !changed {
            true => Ok(Status::Unchanged),
            false => Ok(Status::Done),
        }
    }

    /// Whether the plan is to be done: whoever runs it is shown the plan and asked.
    async fn confirm(&self, told: &Told) -> Result<bool, ShareError> {
        if self.yes {
            return Ok(true);
        }
        eprint!("{}", text::plan(told));
        if !io::stdin().is_terminal() {
            return Err(ShareError::NoTerminal);
        }
        eprint!("\nDo this? [y/N] ");
        let answer = spawn_blocking(|| {
            let mut line = String::new();
            // Who closes the terminal has not said yes.
            let _ = io::stdin().lock().read_line(&mut line);
            line
        });
        let answer = answer.await.unwrap_or_default();
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

fn early(how: &'static str) -> ShareError {
    ShareError::Interrupted {
        how,
        done: Vec::new(),
        open: Vec::new(),
    }
}

/// For people: the plan, unless it was shown before, and what came of it.
fn said(applied: &Applied, shows_plan: bool) -> String {
    let mut said = String::new();
    if shows_plan || !applied.changed {
        said.push_str(&text::plan(&applied.plan));
    }
    if applied.changed && applied.failed.is_empty() {
        said.push_str("done: AWS holds it, read back in every Region\n");
    }
    said
}

fn incomplete(what: &str, failed: &BTreeMap<Region, String>, mut advice: Vec<String>) -> Failure {
    let mut error = format!("{what} is not complete:");
    for (region, why) in failed {
        // Writing to a string does not fail.
        let _ = write!(error, "\n  {region}: {why}");
    }
    advice.sort_unstable();
    advice.dedup();
    advice.push("run the same command again: it does only what is missing".to_owned());
    Failure::failed(error, Some(advice.join("; then ")))
}
