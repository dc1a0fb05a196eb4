//! `build`: the images of profiles, on this machine or on build instances.

mod ec2;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::downloads::{drawn, fetcher, shown};
use super::{SourceOptions, block_on, privileges, program};
use crate::arch::Arch;
use crate::builder::local::{BuildError, BuildOptions, build, check_arch};
use crate::config::Config;
use crate::image::manifest::{IMAGE, MANIFEST, Manifest};
use crate::origin::Begun;
use crate::plan::Plan;
use crate::profile::ProfileSource;
use crate::publish::progress::Progress;
use crate::ui::{Failure, Status, Ui, text};

/// Build the images of profiles.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Profiles
    #[arg(value_name = "PROFILE", required_unless_present = "all")]
    profiles: Vec<String>,
    /// Every profile that there is, for every architecture that it is for
    #[arg(long, conflicts_with = "profiles")]
    all: bool,
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
    /// Architecture: x86_64 or aarch64; may be repeated, or several with commas [default: this
    /// machine's]
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    arch: Vec<Arch>,
    /// Set a value of the profile, such as alpine=3.19; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    sources: SourceOptions,
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
        if let Some(twice) = self
            .profiles
            .iter()
            .enumerate()
            .find_map(|(place, name)| self.profiles[..place].contains(name).then_some(name))
        {
            let what = format!("the profile `{twice}` is named twice");
            return Err(Failure::bad_input(what, Some("name each once".to_owned())));
        }
        // Every plan before the first build: a mistake in the last profile costs nothing.
        let plans = self.plans(config)?;
        match self.on {
            BuildOn::Ec2 => ec2::run(&self, ui, config, plans),
            BuildOn::Local if self.keep_on_failure => {
                let what =
                    "--keep-on-failure keeps a build instance, and there is none on this machine";
                let next = "leave it away, or build with --on ec2";
                Err(Failure::bad_input(what, Some(next.to_owned())))
            }
            BuildOn::Local => self.locally(ui, config, &plans),
        }
    }

    fn locally(&self, ui: Ui, config: &Config, plans: &[Plan]) -> Result<Status, Failure> {
        for plan in plans {
            check_arch(plan.arch)?;
        }
        privileges::become_root()?;
        let mut built = Vec::new();
        for plan in plans {
            let out = self.out(plan, plans.len());
            let begun = Begun::now("local", config.own_profiles());
            let manifest = self.build(ui, config, plan, &out)?;
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

    /// A plan for each profile and architecture that is asked for.
    fn plans(&self, config: &Config) -> Result<Vec<Plan>, Failure> {
        let library = config.library();
        let asked: BTreeSet<Arch> = self.arch.iter().copied().collect();
        let mut wanted: Vec<(String, Option<Arch>)> = Vec::new();
        if self.all {
            for listed in library.list()? {
                let fits = |arch: &&Arch| asked.is_empty() || asked.contains(arch);
                let arches = listed.arch.iter().filter(fits);
                wanted.extend(arches.map(|arch| (listed.name.clone(), Some(*arch))));
            }
        } else {
            for name in &self.profiles {
                match asked.is_empty() {
                    true => wanted.push((name.clone(), None)),
                    false => wanted.extend(asked.iter().map(|arch| (name.clone(), Some(*arch)))),
                }
            }
        }
        if wanted.is_empty() {
            let next = Some("`alpine-ami profile list` shows what there is".to_owned());
            return Err(Failure::bad_input(
                "no profile is for that architecture",
                next,
            ));
        }
        let plan = |(name, arch): (String, Option<Arch>)| {
            let source = ProfileSource {
                name,
                arch,
                set: self.set.clone(),
            };
            Ok(Plan::new(&library, &source)?)
        };
        wanted.into_iter().map(plan).collect()
    }

    fn out(&self, plan: &Plan, images: usize) -> PathBuf {
        let name = format!("{}-{}", plan.profile.name, plan.arch);
        match &self.out {
            None => Path::new("build").join(name),
            Some(out) if images > 1 => out.join(name),
            Some(out) => out.clone(),
        }
    }

    fn build(&self, ui: Ui, config: &Config, plan: &Plan, out: &Path) -> Result<Manifest, Failure> {
        let options = BuildOptions {
            out: out.to_owned(),
            sources: plan
                .sources(&self.sources.overrides())
                .map_err(BuildError::from)?,
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
