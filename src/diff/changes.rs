//! What is new in a release against another: for the plan of a promotion, release notes, and a
//! nightly's report.

#[cfg(test)]
mod tests;

use serde::Serialize;

use super::load::of_release_manifest;
use super::packages::Change;
use super::secdb::Secdb;
use super::{Difference, Side, diff, markdown, text};
use crate::publish::manifest::ReleaseManifest;

/// What is new in a release, by the two manifests alone: packages, fixes, kernel, boot and sizes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Changes(Difference);

impl Changes {
    /// Compares two releases. Nothing is read and nothing asked: files are not compared.
    pub fn between(from: &ReleaseManifest, to: &ReleaseManifest, secdb: &Secdb) -> Changes {
        let side = |manifest: &ReleaseManifest| Side {
            notes: Vec::new(),
            ..of_release_manifest(&manifest.release.to_string(), manifest)
        };
        Changes(diff(&side(from), &side(to)).with_security(secdb))
    }

    /// The whole difference.
    pub fn difference(&self) -> &Difference {
        &self.0
    }

    /// For people, on one screen.
    pub fn text(&self) -> String {
        text::render(&self.0, false)
    }

    /// For release notes.
    pub fn markdown(&self) -> String {
        markdown::render(&self.0)
    }

    /// In one line: `kernel 5.15.1 → 5.15.2; 12 upgraded, 1 added; fixes 3 CVEs; root used +4.0 KiB`.
    pub fn line(&self) -> String {
        self.0.line()
    }
}

impl From<Difference> for Changes {
    fn from(difference: Difference) -> Changes {
        Changes(difference)
    }
}

impl Difference {
    /// The most important of it in one line.
    pub fn line(&self) -> String {
        let mut parts = Vec::new();
        if let Some(kernel) = self.values.iter().find(|value| value.name == "kernel") {
            let change = &kernel.change;
            parts.push(format!("kernel {} → {}", change.from, change.to));
        }
        if let Some(packages) = self
            .packages
            .as_ref()
            .filter(|packages| !packages.is_empty())
        {
            parts.push(text::package_counts(packages));
        }
        let security = self.security.as_ref();
        let counts = security.map_or((0, 0), |told| (told.fixed.len(), told.reopened.len()));
        for (count, verb) in [(counts.0, "fixes"), (counts.1, "OPENS AGAIN")] {
            if count > 0 {
                parts.push(format!("{verb} {}", text::vulnerabilities(count)));
            }
        }
        if let Some(used) = self.sizes.used.as_ref().filter(|used| used.from != used.to) {
            let delta = super::sizes::delta(used.from, used.to);
            parts.push(format!("root used {}", text::signed(delta)));
        }
        match (parts.is_empty(), self.differs) {
            (false, _) => parts.join("; "),
            (true, false) => "nothing".to_owned(),
            (true, true) => "no package".to_owned(),
        }
    }

    /// Packages that go back to an older version.
    pub(super) fn downgrades(&self) -> impl Iterator<Item = &super::packages::PackageChange> {
        let packages = self.packages.iter().flat_map(|packages| &packages.changed);
        packages.filter(|package| package.change == Change::Down)
    }
}
