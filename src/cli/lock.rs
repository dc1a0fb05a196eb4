//! `lock`: which packages are built, written down.
//!
//! As JSON: `{"locks": [{"profile", "arch", "file", "sha256", "new": bool, "changed": bool, "changes":
//! null where there was none | Changes, "notes": [text], "packages": count, "boot_packages": count,
//! "size": bytes}]}`; [`Changes`] says what is in those. `sha256` is that of the file, but for comments.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::downloads::{self, drawn, fetcher};
use super::{ProfilesOptions, SourceOptions, block_on};
use crate::apk::fetch::Fetcher;
use crate::config::Config;
use crate::lock::changes::Changes;
use crate::lock::make::{Made, Maker};
use crate::lock::{Lock, LockError};
use crate::plan::Plan;
use crate::publish::progress::Progress;
use crate::ui::{Failure, Status, Ui, text};

/// Write down the exact packages of profiles, or check what is written; prints what changed.
///
/// There is a file for each profile and architecture, in the folder `locks` beside the configuration
/// ([paths] locks). Packages that are locked stay as far as they fit the profile, though there be newer
/// ones; each comes into this machine's store, from where it can be had when mirrors have dropped it. An
/// index that is older than the one a lock was made from is refused.
#[derive(Debug, Args)]
pub(super) struct LockArgs {
    #[command(flatten)]
    profiles: ProfilesOptions,
    /// Take the newest packages
    #[arg(long)]
    update: bool,
    /// Write nothing; exit with 3 if something would change
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    sources: SourceOptions,
}

/// What became of a lock.
struct Done {
    path: PathBuf,
    before: Option<Lock>,
    made: Made,
}

impl LockArgs {
    pub(super) fn run(self, ui: Ui, config: &Config) -> Result<Status, Failure> {
        let progress = Progress::default();
        let fetcher = downloads::shown(fetcher(config)?, &progress);
        let mut all = Vec::new();
        // Every plan and every lock before the first is written: a mistake in the last costs nothing.
        for plan in self.profiles.plans(config)? {
            let path = Lock::path(config.locks(), &plan.profile.name, plan.arch);
            let before = Lock::read(&path, &plan.profile.name, plan.arch)?;
            all.push((plan, path, before));
        }
        let mut locks = Vec::new();
        for (plan, path, before) in all {
            progress.say(format!("{}: fetching indexes", plan.profile.name));
            let one = self.one(&progress, &fetcher, &plan, path, before);
            locks.push(block_on(drawn(ui, &progress, one))?);
        }
        let told = json!({ "locks": locks.iter().map(Done::json).collect::<Vec<_>>() });
        ui.result(&told, || {
            locks.iter().map(|done| done.text(self.check)).collect()
        })?;
        match self.check && locks.iter().any(Done::has_changed) {
            true => Ok(Status::Differs),
            false => Ok(Status::Done),
        }
    }

    async fn one(
        &self,
        progress: &Progress,
        fetcher: &Fetcher,
        plan: &Plan,
        path: PathBuf,
        before: Option<Lock>,
    ) -> Result<Done, Failure> {
        let sources = plan.sources(&self.sources.overrides());
        let sources = sources.map_err(LockError::from)?;
        let maker = Maker {
            plan,
            sources: &sources,
            fetcher,
        };
        let made = maker.again(&path, before.as_ref(), self.update).await?;
        let done = Done { path, before, made };
        if !self.check {
            let lock = &done.made.lock;
            let count = lock.packages().count();
            progress.say(format!("{}: fetching {count} packages", lock.profile));
            // Before it is written: what is locked can be had.
            maker.stock(lock).await?;
            if done.has_changed() {
                lock.write(&done.path)?;
            }
        }
        Ok(done)
    }
}

impl Done {
    fn has_changed(&self) -> bool {
        self.before.as_ref() != Some(&self.made.lock)
    }

    fn changes(&self) -> Option<Changes> {
        let before = self.before.as_ref()?;
        Some(Changes::between(before, &self.made.lock))
    }

    fn json(&self) -> Value {
        let lock = &self.made.lock;
        json!({
            "profile": lock.profile,
            "arch": lock.arch,
            "file": self.path,
            "sha256": lock.digest(),
            "new": self.before.is_none(),
            "changed": self.has_changed(),
            "changes": self.changes(),
            "notes": self.made.notes,
            "packages": lock.image.len(),
            "boot_packages": lock.boot.len(),
            "size": size(lock),
        })
    }

    fn text(&self, check: bool) -> String {
        let lock = &self.made.lock;
        let head = format!("{} for {}: ", lock.profile, lock.arch);
        let path = shown(&self.path);
        let mut text = match (self.changes(), check) {
            (None, true) => format!("{head}there is no {path}\n"),
            (None, false) => {
                let (count, size) = (lock.packages().count(), text::bytes(size(lock)));
                format!("{head}{count} packages, {size}, are locked in {path}\n")
            }
            (Some(_), _) if !self.has_changed() => format!("{head}{path} is up to date\n"),
            (Some(changes), true) => {
                let summary = changes.summary();
                format!(
                    "{head}{path} is out of date: {summary}\n{}",
                    changes.to_text()
                )
            }
            (Some(changes), false) => {
                format!("{head}{}\n{}", changes.summary(), changes.to_text())
            }
        };
        for note in &self.made.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
        // Versions and names are what an index says; a terminal obeys control characters.
        text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
    }
}

/// Bytes of all files.
fn size(lock: &Lock) -> u64 {
    lock.packages().map(|package| package.size).sum()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
