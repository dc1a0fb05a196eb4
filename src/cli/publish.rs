//! `publish`: a release in every Region.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use tokio::task::spawn_blocking;

use super::until_told_to_stop;
use crate::arch::Arch;
use crate::aws::names::NameError;
use crate::aws::{Aws, Region};
use crate::config::Config;
use crate::interrupt::Stop;
use crate::plan::Plan;
use crate::profile::ProfileSource;
use crate::publish::PublishError;
use crate::publish::complete::Publisher;
use crate::publish::outcome::{Outcome, Told};
use crate::publish::progress::Progress;
use crate::publish::run::{Job, publish};
use crate::publish::subject::{About, Named, Subject};
use crate::sign::Signer;
use crate::ui::progress::Drawing;
use crate::ui::{Failure, Status, Ui, text};

/// Publish an image: encrypted snapshot, AMI, copies in every Region, manifest.
///
/// Run it again to finish what was interrupted; where everything is there, it does nothing.
/// Bucket, Regions and keys are those of [publish] in the configuration.
#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// Folder that `build` made, snap-…, ami-… (ami-…@REGION), or a release
    source: String,
    /// Regions, separated by commas [default: those of the configuration]; the home Region and
    /// those that the release is in already are always among them
    #[arg(long, value_name = "REGION,…", value_delimiter = ',', value_parser = region)]
    regions: Vec<Region>,
    /// One more Region for a release that is there; may be repeated
    #[arg(long, value_name = "REGION", value_delimiter = ',', value_parser = region)]
    add_region: Vec<Region>,
    /// Read the snapshot back in every Region and compare it with the image
    #[arg(long)]
    verify: bool,
    /// Exit with 4 if there was nothing to do
    #[arg(long)]
    exit_unchanged: bool,
    /// The profile that a snapshot or AMI was made from
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// The architecture of a snapshot or AMI: x86_64 or aarch64
    #[arg(long, value_name = "ARCH", requires = "profile")]
    arch: Option<Arch>,
    /// Set a value of the profile named with --profile; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "profile")]
    set: Vec<String>,
}

impl PublishArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let publisher = Publisher::new(&config.publish)?;
        let named = Named::parse(&self.source)?;
        let is_bare = matches!(named, Named::Snapshot(_) | Named::Ami(..));
        if self.profile.is_some() && !is_bare {
            let what = format!(
                "--profile says what is in a snapshot or AMI; {} says it itself",
                self.source
            );
            return Err(Failure::bad_input(what, Some("leave it away".to_owned())));
        }
        let about = self.about(config)?;
        let progress = Progress::default();
        let outcome = until_told_to_stop(ui, async |stop| {
            let drawing = Drawing::start(&ui, &progress);
            let done = self
                .publish(config, &publisher, named, about, &progress, stop)
                .await;
            drawing.finish().await;
            done
        })?;
        ui.result(&outcome, || told(&outcome))?;
        let failed = outcome.failed();
        if !failed.is_empty() {
            return Err(incomplete(&outcome, &failed));
        }
        match self.exit_unchanged && !outcome.changed {
            true => Ok(Status::Unchanged),
            false => Ok(Status::Done),
        }
    }

    async fn publish(
        &self,
        config: &Config,
        publisher: &Publisher,
        named: Named,
        about: Option<About>,
        progress: &Progress,
        mut stop: Stop,
    ) -> Result<Outcome, Failure> {
        let volume_gib = publisher.volume_gib;
        progress.say(format!("reading {}", self.source));
        let open = async {
            let subject = async {
                let home = publisher.home.clone();
                let open = move || Subject::open(named, about, volume_gib, &home);
                let open = spawn_blocking(open);
                Ok::<_, Failure>(open.await.expect("reading does not panic")?)
            };
            // Of two mistakes it is always that of the subject that is told.
            let connect = async { Ok(Aws::connect(&config.aws, "publish", &publisher.home).await) };
            let (subject, aws) = tokio::try_join!(subject, connect)?;
            Ok::<_, Failure>((subject, aws?))
        };
        let (subject, aws) = tokio::select! {
            how = stop.told() => return Err(PublishError::early(how).into()),
            opened = open => opened?,
        };
        let signer = tokio::select! {
            how = stop.told() => return Err(PublishError::early(how).into()),
            signer = Signer::open(&config.signing, &aws, &publisher.home) => {
                signer.map_err(PublishError::from)?
            }
        };
        let job = Job {
            publisher,
            aws: &aws,
            subject: &subject,
            regions: self.asked(),
            add: self.add_region.iter().cloned().collect(),
            verify: self.verify,
            signer,
            progress,
        };
        Ok(publish(&job, stop).await?)
    }

    fn asked(&self) -> Option<BTreeSet<Region>> {
        let asked: BTreeSet<Region> = self.regions.iter().cloned().collect();
        (!asked.is_empty()).then_some(asked)
    }

    /// What the user says is in a snapshot or AMI.
    fn about(&self, config: &Config) -> Result<Option<About>, Failure> {
        let Some(profile) = &self.profile else {
            return Ok(None);
        };
        let source = ProfileSource {
            name: profile.clone(),
            arch: self.arch,
            set: self.set.clone(),
        };
        let plan = Plan::new(&config.library(), &source)?;
        Ok(Some(About::plan(&plan)))
    }
}

/// People put spaces after commas.
fn region(text: &str) -> Result<Region, NameError> {
    text.trim().parse()
}

fn incomplete(outcome: &Outcome, failed: &[(&Region, &Told)]) -> Failure {
    let mut what = format!("{} is not complete:", outcome.release);
    let mut advice: Vec<&str> = Vec::new();
    for (region, told) in failed {
        let error = told.error.as_deref().unwrap_or_default();
        // Writing to a string does not fail.
        let _ = write!(what, "\n  {region}: {error}");
        advice.extend(told.advice.as_deref());
    }
    advice.sort_unstable();
    advice.dedup();
    if !advice
        .iter()
        .any(|one| one.contains("the same command again"))
    {
        advice.push("run the same command again: it makes only what is missing");
    }
    Failure::failed(what, Some(advice.join("; then ")))
}

/// For people: where the release is.
fn told(outcome: &Outcome) -> String {
    let mut rows = vec![
        ["  region", "ami", "snapshot", "state"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (region, place) in &outcome.regions {
        let id = |id: Option<String>| id.unwrap_or_else(|| "-".to_owned());
        rows.push(vec![
            format!("  {region}"),
            id(place.ami.as_ref().map(ToString::to_string)),
            id(place.snapshot.as_ref().map(ToString::to_string)),
            place.state.clone(),
        ]);
    }
    let mut facts = vec![
        vec!["  name".to_owned(), outcome.name.clone()],
        vec!["  manifest".to_owned(), outcome.manifest.clone()],
    ];
    if let Some(upload) = &outcome.upload {
        facts.push(vec!["  sent".to_owned(), upload.to_string()]);
    }
    if let Some(parent) = &outcome.parent {
        facts.push(vec!["  parent".to_owned(), parent.release.to_string()]);
    }
    if !outcome.verified.is_empty() {
        let regions: Vec<&str> = outcome.verified.iter().map(Region::as_str).collect();
        facts.push(vec![
            "  read back".to_owned(),
            format!("equal in {}", regions.join(", ")),
        ]);
    }
    let head = match outcome.changed {
        true => String::new(),
        false => ", as it was already".to_owned(),
    };
    format!(
        "{}: {}{head}\n{}\n{}",
        outcome.release,
        outcome.state,
        text::table(&facts),
        text::table(&rows)
    )
}
