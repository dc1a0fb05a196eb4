//! What is known of an AMI or a file in the end.

use serde::Serialize;

use crate::publish::manifest::ReleaseManifest;
use crate::publish::release::ReleaseId;

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: `name`, `manifest`, `ami`, `owner`, `snapshot`, `encrypted`, `boot`, `channel NAME`.
    pub name: String,
    /// Whether it is as the publisher signed it.
    pub passed: bool,
    /// What was seen.
    pub told: String,
}

/// What is known of an AMI or a file in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The AMI or the file.
    pub what: String,
    /// Whether it is what the publisher signed, and was not withdrawn since.
    pub verified: bool,
    /// The release that it is, as far as it says so.
    pub release: Option<ReleaseId>,
    /// Who withdrew the release, and why, if somebody did.
    pub withdrawn: Option<String>,
    /// What was compared.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Of what was compared; `manifest` is the signed one, if that can be read.
    pub(super) fn of(
        what: String,
        release: Option<ReleaseId>,
        manifest: Option<&ReleaseManifest>,
        checks: Vec<Check>,
    ) -> Verdict {
        let withdrawn = manifest.and_then(|manifest| manifest.withdrawn.as_ref());
        Verdict {
            what,
            // CI goes by that alone.
            verified: checks.iter().all(|check| check.passed) && withdrawn.is_none(),
            release,
            withdrawn: withdrawn.map(|one| match &one.reason {
                Some(reason) => format!("{}: {reason}", one.by),
                None => one.by.clone(),
            }),
            checks,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let mark = match check.passed {
                true => "ok",
                false => "NO",
            };
            text.push_str(&format!("  {mark}  {:<10} {}\n", check.name, check.told));
        }
        if let Some(by) = &self.withdrawn {
            text.push_str(&format!("it was withdrawn by {by}: do not launch it\n"));
        }
        let release = self.release.as_ref();
        let release = release.map_or(String::new(), |release| format!(" {release}"));
        let is_signed = self.checks.iter().all(|check| check.passed);
        text.push_str(&match is_signed {
            true => format!("{} is what the publisher signed:{release}\n", self.what),
            false => format!("{} is NOT what the publisher signed\n", self.what),
        });
        text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
    }
}

/// One thing that was compared.
pub(super) fn check(name: impl Into<String>, passed: bool, told: impl Into<String>) -> Check {
    Check {
        name: name.into(),
        passed,
        told: told.into(),
    }
}
