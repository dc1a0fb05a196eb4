//! What was found, for people and for machines.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::aws::Region;

/// All that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One for each thing that was looked at, in the order of a run.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it belongs to.
    pub group: Group,
    /// What was looked at: `ec2:CopyImage`, `clock`, `qemu-img`.
    pub name: String,
    /// Where, if it is a matter of a Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// How it is.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What checks are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// `alpine-ami.toml`.
    Configuration,
    /// What this machine must have.
    Tools,
    /// Who calls AWS, and with which clock.
    Credentials,
    /// The Regions of a release.
    Regions,
    /// What the principal may do.
    Permissions,
    /// The keys of the Regions.
    Keys,
    /// The bucket of manifests.
    Bucket,
    /// What build instances need.
    Build,
    /// How much of what AWS allows is used.
    Quotas,
}

impl Group {
    fn title(self) -> &'static str {
        match self {
            Group::Configuration => "Configuration",
            Group::Tools => "Tools of this machine",
            Group::Credentials => "Credentials",
            Group::Regions => "Regions",
            Group::Permissions => "Permissions",
            Group::Keys => "Keys",
            Group::Bucket => "Bucket",
            Group::Build => "Build instances",
            Group::Quotas => "Quotas",
        }
    }
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It works.
    Ok,
    /// It could not be looked at, or there is no way to.
    Skipped,
    /// It works, but should be different.
    Warning,
    /// It does not work.
    Failed,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Ok => "ok",
            Status::Skipped => "?",
            Status::Warning => "warning",
            Status::Failed => "FAILED",
        })
    }
}

impl Check {
    /// Something that works.
    pub fn ok(group: Group, name: impl Into<String>, found: impl Into<String>) -> Check {
        Check {
            group,
            name: name.into(),
            region: None,
            status: Status::Ok,
            found: found.into(),
            advice: None,
        }
    }

    /// Something that was not, or cannot be, looked at.
    pub fn skipped(group: Group, name: impl Into<String>, why: impl Into<String>) -> Check {
        Check {
            status: Status::Skipped,
            ..Check::ok(group, name, why)
        }
    }

    /// Something that works and should be different.
    pub fn warning(
        group: Group,
        name: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Check {
        Check {
            status: Status::Warning,
            advice: Some(advice.into()),
            ..Check::ok(group, name, found)
        }
    }

    /// Something that does not work.
    pub fn failed(
        group: Group,
        name: impl Into<String>,
        found: impl Into<String>,
        advice: Option<String>,
    ) -> Check {
        Check {
            status: Status::Failed,
            advice,
            ..Check::ok(group, name, found)
        }
    }

    /// The same, as a matter of a Region: what was found need not say it again.
    pub fn of(self, region: &Region) -> Check {
        let found = self.found.strip_prefix(&format!("{region}: "));
        Check {
            found: found.map(str::to_owned).unwrap_or(self.found),
            region: Some(region.clone()),
            ..self
        }
    }
}

impl Report {
    /// Whether something does not work.
    pub fn has_failed(&self) -> bool {
        self.count(Status::Failed) > 0
    }

    /// How many checks ended so.
    pub fn count(&self, status: Status) -> usize {
        let with = self.checks.iter().filter(|check| check.status == status);
        with.count()
    }

    /// The report as text: a block for each group, then what to mend.
    pub fn text(&self) -> String {
        let mut checks: Vec<&Check> = self.checks.iter().collect();
        // A stable sort: within a group and a Region, the order of the run stays.
        checks.sort_by(|a, b| (a.group, &a.region).cmp(&(b.group, &b.region)));
        let width = |cells: &dyn Fn(&Check) -> usize| {
            let all = checks.iter().map(|check| cells(check));
            all.max().unwrap_or(0)
        };
        let names = width(&|check| check.name.chars().count());
        let regions = width(&|check| region(check).len());
        let mut text = String::new();
        let mut group = None;
        for check in &checks {
            if group != Some(check.group) {
                let gap = if group.is_none() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}{}", check.group.title());
                group = Some(check.group);
            }
            let (status, name, region) = (check.status, &check.name, region(check));
            let line = format!(
                "  {status:7}  {region:regions$}  {name:names$}  {}",
                check.found
            );
            let _ = writeln!(text, "{}", line.trim_end());
            if let Some(advice) = &check.advice {
                for line in advice.lines() {
                    let _ = writeln!(text, "           → {line}");
                }
            }
        }
        let _ = writeln!(text, "\n{}", self.summary());
        text
    }

    fn summary(&self) -> String {
        let [ok, skipped, warnings, failed] =
            [Status::Ok, Status::Skipped, Status::Warning, Status::Failed]
                .map(|status| self.count(status));
        format!(
            "{ok} work, {failed} do not, {warnings} should be looked at, {skipped} could not be checked"
        )
    }
}

fn region(check: &Check) -> &str {
    check.region.as_ref().map_or("", Region::as_str)
}
