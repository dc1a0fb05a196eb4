//! `build`: the image of a profile.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{ProfileOptions, block_on, privileges, program};
use crate::apk::fetch::Fetcher;
use crate::apk::store::Store;
use crate::arch::Arch;
use crate::builder::local::{BuildError, BuildOptions, build};
use crate::builder::packages::PackagesError;
use crate::config::Config;
use crate::image::manifest::{IMAGE, MANIFEST, Manifest};
use crate::plan::Plan;
use crate::ui::{Failure, Status, Ui, text};

/// Build the image of a profile.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Profiles
    #[arg(value_name = "PROFILE", required = true)]
    profiles: Vec<String>,
    /// Where the image is assembled
    #[arg(long, value_enum, default_value_t)]
    on: BuildOn,
    /// Folder for image.raw and manifest.json; with several profiles, a folder for each in it
    /// [default: build/<profile>-<arch>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    options: ProfileOptions,
}

/// Where an image is assembled.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum BuildOn {
    /// This machine
    #[default]
    Local,
}

impl BuildArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let BuildOn::Local = self.on;
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
        let plans = self
            .profiles
            .iter()
            .map(|name| self.options.plan(config, name))
            .collect::<Result<Vec<_>, _>>()?;
        for plan in &plans {
            check_can_run(plan.arch)?;
        }
        privileges::become_root()?;
        let mut built = Vec::new();
        for plan in &plans {
            let out = self.out(plan);
            let manifest = self.build(ui, plan, &out)?;
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

    fn out(&self, plan: &Plan) -> PathBuf {
        let name = format!("{}-{}", plan.profile.name, plan.arch);
        match &self.out {
            None => Path::new("build").join(name),
            Some(out) if self.profiles.len() > 1 => out.join(name),
            Some(out) => out.clone(),
        }
    }

    fn build(&self, ui: Ui, plan: &Plan, out: &Path) -> Result<Manifest, Failure> {
        let options = BuildOptions {
            out: out.to_owned(),
            sources: plan
                .sources(&self.options.overrides())
                .map_err(BuildError::from)?,
            program: program()?,
        };
        let fetcher = Fetcher::new(Store::of_user()).map_err(PackagesError::from)?;
        let name = &plan.profile.name;
        let progress = |text: &str| ui.progress(&format!("{name}: {text}"));
        block_on(async { Ok(build(plan, &options, &fetcher, &progress).await?) })
    }
}

/// Packages' scripts run on this machine: one of another architecture needs the kernel to know how
/// (`binfmt_misc` with qemu-user).
fn check_can_run(arch: Arch) -> Result<(), Failure> {
    let handler = format!("/proc/sys/fs/binfmt_misc/qemu-{arch}");
    if Arch::host() == Some(arch) || Path::new(&handler).exists() {
        return Ok(());
    }
    Err(Failure::failed(
        format!(
            "an image for {arch} cannot be built here: this machine cannot run its packages' scripts ({handler} is missing)"
        ),
        Some(format!(
            "build it on a machine of that architecture; `render` and `profile check` work for {arch} everywhere"
        )),
    ))
}

fn describe(out: &Path, built: &Manifest) -> serde_json::Value {
    json!({
        "profile": built.profile,
        "version": built.version,
        "arch": built.arch,
        "out": out,
        "image": out.join(IMAGE),
        "manifest": out.join(MANIFEST),
        "size": built.image.size,
        "sha256": built.image.sha256,
        "root_used": built.root.used,
        "packages": built.packages.len(),
    })
}

fn summary(out: &Path, built: &Manifest) -> String {
    let used = text::bytes(built.root.used);
    let size = text::bytes(built.image.size);
    let firmware: Vec<_> = built.firmware.iter().map(|one| one.as_str()).collect();
    let rows = [
        ("image", out.join(IMAGE).display().to_string()),
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
