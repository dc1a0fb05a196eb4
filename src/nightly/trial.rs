//! An image is booted before it is published.

use std::io;
use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;

use super::error::StepError;
use super::ledger::Did;
use crate::image::manifest::{IMAGE, Manifest};
use crate::interrupt::Stop;
use crate::vm::tested::{TEST, Tested};
use crate::vm::{Check, Report, TestConfig, test_image};

/// Nobody waits for it: an emulated machine on a busy host takes some minutes.
const DEADLINE: Duration = Duration::from_secs(900);

/// Boots the image in a folder under each firmware that it is for, and runs its checks inside.
///
/// # Errors
/// It does not boot, or a check did not pass.
pub(super) async fn boot(
    folder: &Path,
    image: &Manifest,
    program: &Path,
    tell: impl Fn(&str),
    mut stop: Stop,
) -> Result<Did<()>, StepError> {
    if let Some(snapshot) = &image.snapshot {
        let why = format!(
            "the image is in {}, not on this machine: no machine here can boot it",
            snapshot.id
        );
        return Ok(Did {
            value: (),
            skipped: Some(why),
        });
    }
    let mut last = None;
    for firmware in &image.firmware {
        let console = folder.join(format!("console-{firmware}.log"));
        let program = program.to_owned();
        let mut test = TestConfig::new(folder.join(IMAGE), image.arch, *firmware, console, program);
        test.profile = Some(image.profile.clone());
        test.checks = checks(image);
        test.volumes = image.test_volumes.iter().map(Into::into).collect();
        test.deadline = DEADLINE;
        tell(&format!(
            "booting it under {firmware}, then {} checks",
            test.checks.len()
        ));
        let report = tokio::select! {
            biased;
            how = stop.told() => return Err(StepError::Interrupted(how)),
            report = test_image(&test) => report?,
        };
        if !report.passed {
            keep(folder, image, &report).map_err(|source| not_kept(folder, source))?;
            return Err(StepError::NotPassed {
                firmware: *firmware,
                failures: report.failures,
                console: report.console,
            });
        }
        tell(&format!(
            "passed under {firmware}: up after {:.1} s",
            report.boot_seconds
        ));
        last = Some(report);
    }
    if let Some(report) = last {
        keep(folder, image, &report).map_err(|source| not_kept(folder, source))?;
    }
    Ok(().into())
}

/// The release says it, and gates ask for it.
fn keep(folder: &Path, image: &Manifest, report: &Report) -> io::Result<()> {
    let tested = Tested::of(report, &image.image.sha256, OffsetDateTime::now_utc());
    tested.write(folder)
}

fn not_kept(folder: &Path, source: io::Error) -> StepError {
    let path = folder.join(TEST);
    StepError::Keep { path, source }
}

fn checks(image: &Manifest) -> Vec<Check> {
    let checks = image.checks.iter();
    checks
        .map(|(name, check)| Check {
            name: name.clone(),
            run: check.run.clone(),
            timeout_seconds: check.timeout_seconds,
        })
        .collect()
}
