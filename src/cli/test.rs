//! `test`: booting an image and checking it from inside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use time::OffsetDateTime;

use super::{block_on, program};
use crate::arch::{Arch, Firmware};
use crate::config::Config;
use crate::image::manifest::{IMAGE, MANIFEST, Manifest};
use crate::plan::Plan;
use crate::profile::Check as ProfileCheck;
use crate::profile::ProfileSource;
use crate::ui::{Failure, Status, Ui};
use crate::vm::tested::{TEST, Tested};
use crate::vm::{BlankVolume, Check, Report, TestConfig, test_image};

/// Boot an image under QEMU and check it from inside.
///
/// The image is never written. Accelerator: $ALPINE_AMI_ACCEL (kvm or tcg), else KVM where a short
/// probe really ran a guest, else TCG.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Image file, or the folder that `build` made
    image: PathBuf,
    /// Take the checks from this profile instead of the image's manifest
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// bios or uefi [default: the first that the image boots under]
    #[arg(long, value_name = "FIRMWARE")]
    firmware: Option<Firmware>,
    /// Memory of the machine, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(128..=65_536))]
    memory: u32,
    /// Seconds for all of it, from power-on to power-off
    #[arg(long, value_name = "SECONDS", default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    deadline: u64,
    /// File for the serial console [default: console.log beside the image, or
    /// in the folder for temporary files where that one cannot be written]
    #[arg(long, value_name = "FILE")]
    console: Option<PathBuf>,
    /// Architecture of an image without a manifest: x86_64 or aarch64
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// Set a value of the profile named with --profile; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "profile")]
    set: Vec<String>,
}

/// What is known of an image without booting it.
struct Known {
    profile: Option<String>,
    arch: Arch,
    firmware: Firmware,
    checks: Vec<Check>,
    volumes: Vec<BlankVolume>,
}

impl TestArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let image = self.find_image()?;
        let known = self.known(config, &image)?;
        let console = self.console_file(&image);
        let mut test = TestConfig::new(image, known.arch, known.firmware, console, program()?);
        test.profile = known.profile;
        test.checks = known.checks;
        test.volumes = known.volumes;
        test.memory_mib = self.memory;
        test.deadline = Duration::from_secs(self.deadline);
        let checks = test.checks.len();
        let firmware = test.firmware;
        ui.progress(&format!(
            "booting {} under {firmware}, then {checks} checks; console in {}",
            test.image.display(),
            test.console_log.display()
        ));
        let report = block_on(async { Ok(test_image(&test).await?) })?;
        // Another profile's checks say nothing about this release.
        if self.profile.is_none() {
            keep(&ui, &test.image, &report);
        }
        ui.result(&report, || report.to_text())?;
        Ok(if report.passed {
            Status::Done
        } else {
            Status::Failed
        })
    }

    fn find_image(&self) -> Result<PathBuf, Failure> {
        let given = &self.image;
        let image = if given.is_dir() {
            given.join(IMAGE)
        } else {
            given.clone()
        };
        if image.is_file() {
            return Ok(image);
        }
        if let Ok(Manifest {
            snapshot: Some(snapshot),
            ..
        }) = Manifest::read(given)
        {
            return Err(Failure::bad_input(
                format!(
                    "the image of {} is in {}, not in a file",
                    given.display(),
                    snapshot.id
                ),
                Some(
                    "publish it, and launch an instance of the AMI; or build it on this machine"
                        .to_owned(),
                ),
            ));
        }
        Err(Failure::bad_input(
            format!("there is no image {}", image.display()),
            Some("name a raw disk image, or a folder that `alpine-ami build` made".to_owned()),
        ))
    }

    fn known(&self, config: &Config, image: &Path) -> Result<Known, Failure> {
        let dir = match image.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        // Only the file that the manifest is about has its checks.
        let ours = image.file_name().is_some_and(|name| name == IMAGE);
        let manifest = (ours && dir.join(MANIFEST).is_file())
            .then(|| Manifest::read(dir))
            .transpose()?;
        if let Some(built) = &manifest
            && self.arch.is_some_and(|asked| asked != built.arch)
        {
            return Err(Failure::bad_input(
                format!(
                    "{} is for {}, not for what --arch says",
                    image.display(),
                    built.arch
                ),
                Some("leave --arch away: the manifest beside the image tells".to_owned()),
            ));
        }
        let plan = match &self.profile {
            Some(name) => Some(self.plan(config, name, manifest.as_ref())?),
            None => None,
        };
        let (profile, checks, volumes, arch, firmware) = match (plan, manifest) {
            // What the image is, its manifest knows best; what is checked, the profile says.
            (Some(plan), Some(built)) => (
                plan.profile.name,
                plan.profile.checks,
                plan.profile.test.volumes,
                built.arch,
                built.firmware,
            ),
            (Some(plan), None) => (
                plan.profile.name,
                plan.profile.checks,
                plan.profile.test.volumes,
                plan.arch,
                plan.firmware,
            ),
            (None, Some(built)) => (
                built.profile,
                built.checks,
                built.test_volumes,
                built.arch,
                built.firmware,
            ),
            (None, None) => {
                let advice = "name the profile with --profile, whose checks are to be run";
                let what = format!("{} has no manifest.json beside it", image.display());
                return Err(Failure::bad_input(what, Some(advice.to_owned())));
            }
        };
        if let Some(asked) = self.firmware.filter(|asked| !firmware.contains(asked)) {
            let has: Vec<_> = firmware.iter().map(|one| one.as_str()).collect();
            return Err(Failure::bad_input(
                format!("{} does not boot under {asked}", image.display()),
                Some(format!("it boots under {}", has.join(", "))),
            ));
        }
        Ok(Known {
            profile: Some(profile),
            arch,
            firmware: self
                .firmware
                .or(firmware.first().copied())
                .unwrap_or(Firmware::Uefi),
            checks: checks.into_iter().map(guest_check).collect(),
            volumes: volumes.iter().map(Into::into).collect(),
        })
    }

    /// The plan of the profile named, for the architecture of the image where that is known.
    fn plan(
        &self,
        config: &Config,
        name: &str,
        manifest: Option<&Manifest>,
    ) -> Result<Plan, Failure> {
        let source = ProfileSource {
            name: name.to_owned(),
            arch: manifest.map(|built| built.arch).or(self.arch),
            set: self.set.clone(),
        };
        Ok(Plan::new(&config.library(), &source)?)
    }

    /// Beside the image, or among temporary files where that folder cannot be written.
    fn console_file(&self, image: &Path) -> PathBuf {
        if let Some(console) = &self.console {
            return console.clone();
        }
        let beside = image.with_file_name("console.log");
        let mut options = std::fs::OpenOptions::new();
        if options.create(true).append(true).open(&beside).is_ok() {
            return beside;
        }
        std::env::temp_dir().join(format!("alpine-ami-console-{}.log", std::process::id()))
    }
}

fn guest_check((name, check): (String, ProfileCheck)) -> Check {
    Check {
        name,
        run: check.run,
        timeout_seconds: check.timeout_seconds,
    }
}

/// Beside an image that `build` made, for its release.
fn keep(ui: &Ui, image: &Path, report: &Report) {
    let Some(folder) = image.parent() else { return };
    let is_built = image.file_name().is_some_and(|name| name == IMAGE);
    let Some(built) = is_built.then(|| Manifest::read(folder).ok()).flatten() else {
        return;
    };
    let tested = Tested::of(report, &built.image.sha256, OffsetDateTime::now_utc());
    if let Err(error) = tested.write(folder) {
        ui.progress(&format!(
            "warning: the result is not kept for the release: cannot write {}: {error}",
            folder.join(TEST).display()
        ));
    }
}
