//! `build`: the images of profiles, on this machine or on build instances.

mod ec2;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::downloads::{drawn, fetcher, shown};
use super::{ProfilesOptions, SourceOptions, block_on, privileges, program};
use crate::builder::local::{BuildError, BuildOptions, build, check_arch};
use crate::config::Config;
use crate::image::manifest::{IMAGE, MANIFEST, Manifest};
use crate::lock::{Lock, LockError};
use crate::origin::Begun;
use crate::plan::{Plan, Sources};
use crate::publish::progress::Progress;
use crate::ui::{Failure, Status, Ui, text};

/// Build the images of profiles, of the packages that are locked.
///
/// Where a profile has no lock, the newest packages are taken. A lock that the profile does not fit any
/// more is refused: `alpine-ami lock` brings it up to date.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    profiles: ProfilesOptions,
    /// Build only what is locked: refuse where there is no lock, instead of taking the newest packages
    #[arg(long, conflicts_with = "unlocked")]
    locked: bool,
    /// Take the newest packages, whatever is locked
    #[arg(long)]
    unlocked: bool,
    /// Where images are assembled: on this machine, one after the other, or each on an EC2 instance
    /// of its own, as [build] in the configuration says
    #[arg(long, value_enum, default_value_t)]
    on: BuildOn,
    /// Folder for manifest.json and the image: image.raw, or with `--on ec2` a snapshot that takes the
    /// place of an image.raw that was there; with several images, a folder for each in it [default:
    /// build/<profile>-<arch>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keep the instance of a build that fails, to look at it
    #[arg(long)]
    keep_on_failure: bool,
    #[command(flatten)]
    sources: SourceOptions,
}

/// An image that is to be built.
struct Wanted {
    plan: Plan,
    sources: Sources,
    lock: Option<Lock>,
    /// What is said of that when it begins.
    told: String,
    out: PathBuf,
}

impl Wanted {
    fn tell(&self, ui: Ui) {
        ui.progress(&format!("{}: {}", self.plan.profile.name, self.told));
    }
}

/// Where an image is assembled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum BuildOn {
    /// This machine
    #[default]
    Local,
    /// An EC2 instance for each image
    Ec2,
}

impl BuildArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        // Every plan and lock before the first build: a mistake in the last profile costs nothing.
        let wanted = self.wanted(config)?;
        match self.on {
            BuildOn::Ec2 => ec2::run(&self, ui, config, wanted),
            BuildOn::Local if self.keep_on_failure => {
                let what =
                    "--keep-on-failure keeps a build instance, and there is none on this machine";
                let next = "leave it away, or build with --on ec2";
                Err(Failure::bad_input(what, Some(next.to_owned())))
            }
            BuildOn::Local => self.locally(ui, config, wanted),
        }
    }

    fn locally(&self, ui: Ui, config: &Config, wanted: Vec<Wanted>) -> Result<Status, Failure> {
        for one in &wanted {
            check_arch(one.plan.arch)?;
        }
        privileges::become_root()?;
        let mut built = Vec::new();
        for one in wanted {
            one.tell(ui);
            let out = one.out.clone();
            let begun = Begun::now("local", config.own_profiles());
            let manifest = self.build(ui, config, one)?;
            begun.record(&out, &manifest.image.sha256);
            built.push((out, manifest));
        }
        let images: Vec<_> = built
            .iter()
            .map(|(out, built)| describe(out, built))
            .collect();
        ui.result(&json!({ "images": images }), || {
            built
                .iter()
                .map(|(out, built)| summary(out, built))
                .collect()
        })?;
        Ok(Status::Done)
    }

    /// What is to be built of which packages: a lock that does not fit is told before the first
    /// build.
    fn wanted(&self, config: &Config) -> Result<Vec<Wanted>, Failure> {
        let plans = self.profiles.plans(config)?;
        let many = plans.len();
        let wanted = |plan: Plan| {
            let sources = plan.sources(&self.sources.overrides());
            let sources = sources.map_err(BuildError::from)?;
            let (lock, told) = self.lock(config, &plan, &sources)?;
            Ok(Wanted {
                out: self.out(&plan, many),
                sources,
                lock,
                told,
                plan,
            })
        };
        plans.into_iter().map(wanted).collect()
    }

    /// The lock that a plan is built with, and what is said of it; nothing takes the newest packages.
    fn lock(
        &self,
        config: &Config,
        plan: &Plan,
        sources: &Sources,
    ) -> Result<(Option<Lock>, String), Failure> {
        if self.unlocked {
            let told = "taking the newest packages, whatever is locked";
            return Ok((None, told.to_owned()));
        }
        let path = Lock::path(config.locks(), &plan.profile.name, plan.arch);
        let again = self.profiles.lock_command(plan, &self.sources);
        let shown = path.display().to_string();
        match Lock::of_plan(config.locks(), plan, sources, &again)? {
            Some(lock) => Ok((Some(lock), format!("taking the packages of {shown}"))),
            None if self.locked => Err(LockError::None { path, again }.into()),
            None => Ok((
                None,
                format!(
                    "there is no lock {shown}: taking the newest packages (`alpine-ami lock` writes them down)"
                ),
            )),
        }
    }

    fn out(&self, plan: &Plan, images: usize) -> PathBuf {
        let name = format!("{}-{}", plan.profile.name, plan.arch);
        match &self.out {
            None => Path::new("build").join(name),
            Some(out) if images > 1 => out.join(name),
            Some(out) => out.clone(),
        }
    }

    fn build(&self, ui: Ui, config: &Config, wanted: Wanted) -> Result<Manifest, Failure> {
        let plan = &wanted.plan;
        let options = BuildOptions {
            out: wanted.out,
            sources: wanted.sources,
            lock: wanted.lock,
            program: program()?,
        };
        let progress = Progress::default();
        let fetcher = shown(fetcher(config)?, &progress);
        let name = &plan.profile.name;
        let say = |text: &str| progress.say(format!("{name}: {text}"));
        let building = async { Ok::<_, Failure>(build(plan, &options, &fetcher, &say).await?) };
        block_on(drawn(ui, &progress, building))
    }
}

/// For machines: one image.
fn describe(out: &Path, built: &Manifest) -> serde_json::Value {
    json!({
        "profile": built.profile,
        "version": built.version,
        "arch": built.arch,
        "out": out,
        "image": built.snapshot.is_none().then(|| out.join(IMAGE)),
        "snapshot": built.snapshot,
        "manifest": out.join(MANIFEST),
        "size": built.image.size,
        "sha256": built.image.sha256,
        "root_used": built.root.used,
        "packages": built.packages.len(),
    })
}

/// For people: one image.
fn summary(out: &Path, built: &Manifest) -> String {
    let used = text::bytes(built.root.used);
    let size = text::bytes(built.image.size);
    let firmware: Vec<_> = built.firmware.iter().map(|one| one.as_str()).collect();
    let image = match &built.snapshot {
        Some(snapshot) => format!("{} in {}", snapshot.id, snapshot.region),
        None => out.join(IMAGE).display().to_string(),
    };
    let rows = [
        ("image", image),
        ("manifest", out.join(MANIFEST).display().to_string()),
        ("alpine", format!("{} for {}", built.alpine, built.arch)),
        ("kernel", built.kernel.release.clone()),
        ("packages", built.packages.len().to_string()),
        ("root used", format!("{used} of {size}")),
        ("boots under", firmware.join(", ")),
        ("sha256", built.image.sha256.clone()),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(name, value)| vec![format!("  {name}"), value])
        .collect();
    format!(
        "{} {}\n{}",
        built.profile,
        built.version,
        text::table(&rows)
    )
}
