//! What a nightly run did, image by image and step by step, and how it is told.
//!
//! [`Report`] is plain data. [`text`] shows it to people, [`markdown`] is for `$GITHUB_STEP_SUMMARY`,
//! [`junit`] for whatever CI shows test results, and as JSON (`--output json`) it is:
//!
//! ```text
//! {"schema": 1,
//!  "run": "20260131T020000Z-0123abcd",
//!  "started": "2026-01-31T02:00:00Z", "finished": "2026-01-31T02:41:07Z",
//!  "images": [
//!    {"profile": "kubezero", "arch": "x86_64",
//!     "version": "1.22.8" | null,                 null: it failed before that was known
//!     "outcome": "published" | "unchanged" | "failed",
//!     "release": "kubezero-1.22.8-x86_64-20260131.1" | null,
//!     "previous": "kubezero-1.22.8-x86_64-20260130.1" | null,
//!     "steps": [{"step": "lock" | "build" | "test" | "publish" | "share" | "promote" | "prune",
//!                "outcome": "done", "seconds": 12.5},
//!               {"step": …, "outcome": "skipped", "why": "…", "seconds": 0.0},
//!               {"step": …, "outcome": "failed", "error": "…", "advice": "…" | null, "seconds": 3.0}],
//!     "changes": "12 upgraded, 1 added; fixes 3 CVEs" | null,
//!     "amis": {"eu-central-1": "ami-0123456789abcdef0"}}]}
//! ```

pub mod junit;
pub mod markdown;
mod plain;
pub mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;

use crate::arch::Arch;
use crate::aws::{AmiId, Region};
use crate::publish::release::ReleaseId;
use crate::ui::Status;

/// The version of the JSON form.
pub const SCHEMA: u32 = 1;

/// What a nightly run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Version of the JSON form: [`SCHEMA`].
    pub schema: u32,
    /// The run's id, which is part of every tag.
    pub run: String,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub finished: OffsetDateTime,
    /// Every image, in the order in which they were asked for.
    pub images: Vec<ImageReport>,
}

/// What became of one profile on one architecture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageReport {
    /// The profile.
    pub profile: String,
    /// The architecture.
    pub arch: Arch,
    /// Version of what the image is made for; nothing where it failed before that was known.
    pub version: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The release that was made or, where nothing changed, that stays the newest.
    pub release: Option<ReleaseId>,
    /// The newest release before it.
    pub previous: Option<ReleaseId>,
    /// What was done, in order.
    pub steps: Vec<StepReport>,
    /// What differs from the release before, in one line.
    pub changes: Option<String>,
    /// The AMI in each Region.
    pub amis: BTreeMap<Region, AmiId>,
}

/// How an image ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// There is a new release.
    Published,
    /// Profile and lock are those of the newest release: there was nothing to do.
    Unchanged,
    /// A step failed: one of its steps is [`StepOutcome::Failed`].
    Failed,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// The step.
    pub step: Step,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: StepOutcome,
    /// How long it took.
    pub seconds: f64,
}

/// The steps of a nightly, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Resolve the packages and compare with the newest release.
    Lock,
    /// Make the image.
    Build,
    /// Boot it and check it from inside.
    Test,
    /// AMIs in every Region.
    Publish,
    /// Give customers what they are to get.
    Share,
    /// Bring it into the first channel.
    Promote,
    /// Retire what is too old.
    Prune,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum StepOutcome {
    /// It did what it does.
    Done,
    /// It was not needed, or not reached.
    Skipped {
        /// Why.
        why: String,
    },
    /// It failed.
    Failed {
        /// What went wrong.
        error: String,
        /// What to do next.
        advice: Option<String>,
    },
}

impl Report {
    /// A report of these images.
    pub fn new(
        run: String,
        started: OffsetDateTime,
        finished: OffsetDateTime,
        images: Vec<ImageReport>,
    ) -> Report {
        Report {
            schema: SCHEMA,
            run,
            started,
            finished,
            images,
        }
    }

    /// How many images ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        let ended = |image: &&ImageReport| image.outcome == outcome;
        self.images.iter().filter(ended).count()
    }

    /// How the command ends: one failed image makes it fail; with `exit_unchanged`, a run that
    /// found nothing to do says so.
    pub fn status(&self, exit_unchanged: bool) -> Status {
        if self.count(Outcome::Failed) > 0 {
            return Status::Failed;
        }
        let nothing_to_do = self.count(Outcome::Unchanged) == self.images.len();
        match exit_unchanged && nothing_to_do {
            true => Status::Unchanged,
            false => Status::Done,
        }
    }

    /// `2 published, 1 unchanged, 1 failed`, without what there is none of.
    pub(crate) fn headline(&self) -> String {
        let told = [Outcome::Published, Outcome::Unchanged, Outcome::Failed]
            .map(|outcome| (self.count(outcome), outcome))
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, outcome)| format!("{count} {outcome}"))
            .collect::<Vec<_>>();
        match told.is_empty() {
            true => "no images".to_owned(),
            false => told.join(", "),
        }
    }

    /// Seconds from beginning to end.
    pub(crate) fn seconds(&self) -> f64 {
        (self.finished - self.started).as_seconds_f64().max(0.0)
    }
}

impl ImageReport {
    /// `kubezero 1.22.8 x86_64`.
    pub fn title(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version} {}", self.profile, self.arch),
            None => format!("{} {}", self.profile, self.arch),
        }
    }

    /// How long its steps took.
    pub fn seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }

    /// The steps that failed.
    pub fn failures(&self) -> impl Iterator<Item = Failed<'_>> {
        self.steps.iter().filter_map(|step| match &step.outcome {
            StepOutcome::Failed { error, advice } => Some(Failed {
                step: step.step,
                error,
                advice: advice.as_deref(),
            }),
            StepOutcome::Done | StepOutcome::Skipped { .. } => None,
        })
    }
}

/// A step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed<'a> {
    /// The step.
    pub step: Step,
    /// What went wrong.
    pub error: &'a str,
    /// What to do next.
    pub advice: Option<&'a str>,
}

impl StepOutcome {
    /// In one word, that of the JSON form.
    pub fn word(&self) -> &'static str {
        match self {
            StepOutcome::Done => "done",
            StepOutcome::Skipped { .. } => "skipped",
            StepOutcome::Failed { .. } => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Published => "published",
            Outcome::Unchanged => "unchanged",
            Outcome::Failed => "failed",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Step::Lock => "lock",
            Step::Build => "build",
            Step::Test => "test",
            Step::Publish => "publish",
            Step::Share => "share",
            Step::Promote => "promote",
            Step::Prune => "prune",
        })
    }
}
