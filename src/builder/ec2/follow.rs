//! Following an instance until it has left a result, or leaves none.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::InstanceBuildError;
use super::shelf::Keys;
use super::site::Site;
use crate::aws::InstanceId;
use crate::aws::ec2::{Instance, InstanceState};
use crate::builder::job::{End, Outcome, Report};
use crate::image::manifest::Manifest;

/// How often reports are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// And how often the instance.
const STATE_EVERY: Duration = Duration::from_secs(6);
/// An instance that is off may have left its result a moment ago, and its script may be sending its
/// log: both are looked at again after this.
const LAST_LOOK_AFTER: Duration = Duration::from_secs(1);
/// What the instance said last, which is shown with an error.
const LINES_SHOWN: usize = 15;

/// What an instance's own words are written to, in the output folder.
pub const LOG: &str = "instance.log";

/// An instance that is followed.
pub struct Followed<'a> {
    /// Where it is.
    pub site: &'a Site,
    /// The instance.
    pub instance: Instance,
    /// Its objects.
    pub keys: Keys,
    /// The SHA-256 of its job.
    pub job_sha256: String,
    /// Where its words are kept if it fails.
    pub out: &'a Path,
}

/// What of its words is known.
#[derive(Default)]
struct Heard {
    /// Lines that were told.
    lines: u64,
    /// The number of the last report.
    sequence: u64,
}

impl Followed<'_> {
    /// Waits for the result, and tells what the worker says meanwhile.
    ///
    /// # Errors
    /// The worker failed, the instance ended without a result, or does not report any more; AWS's.
    pub async fn result(&self, tell: impl Fn(&str)) -> Result<Manifest, InstanceBuildError> {
        let mut heard = Heard::default();
        let (mut reported, mut looked) = (Instant::now(), None::<Instant>);
        let mut state = self.instance.state.clone();
        loop {
            let outcome = self.outcome().await?;
            // What it said before comes first.
            if self.hear(&mut heard, &tell).await? {
                reported = Instant::now();
            }
            if let Some(outcome) = outcome {
                return self.judge(outcome, &tell);
            }
            if looked.is_none_or(|at| at.elapsed() >= STATE_EVERY) {
                looked = Some(Instant::now());
                let now = self.state(&state, &tell).await?;
                if has_ended(&now) {
                    return self.ended(now, &mut heard, &tell).await;
                }
                state = now;
            }
            let silent = reported.elapsed();
            if silent > self.site.report_within {
                let why = match heard.sequence {
                    0 => format!("it has not reported within {} s", silent.as_secs()),
                    _ => format!("it has not reported for {} s", silent.as_secs()),
                };
                return Err(self.silent(why, false, &tell).await);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// What it came to, if it says so, and is the one that was asked for.
    async fn outcome(&self) -> Result<Option<Outcome>, InstanceBuildError> {
        let outcome = self.site.shelf.read::<Outcome>(&self.keys.result()).await?;
        match outcome {
            Some(outcome) if outcome.job_sha256 != self.job_sha256 => {
                Err(InstanceBuildError::Differs {
                    instance: self.instance.id.clone(),
                    place: self.site.place(),
                    what: "job",
                    found: printable(outcome.job_sha256.as_bytes())
                        .chars()
                        .take(64)
                        .collect(),
                    expected: self.job_sha256.clone(),
                })
            }
            outcome => Ok(outcome),
        }
    }

    fn judge(
        &self,
        outcome: Outcome,
        tell: &impl Fn(&str),
    ) -> Result<Manifest, InstanceBuildError> {
        match outcome.end {
            End::Done { manifest, .. } => {
                tell(&took(&outcome.steps));
                Ok(*manifest)
            }
            End::Failed { error, advice } => {
                let lines = outcome.lines.join("\n");
                Err(InstanceBuildError::Failed {
                    instance: self.instance.id.clone(),
                    place: self.site.place(),
                    error: printable(error.as_bytes()),
                    advice: advice.map(|advice| printable(advice.as_bytes())),
                    log: self.write_down(&printable(lines.as_bytes())),
                })
            }
        }
    }

    /// Tells new lines of the last report. True if there is a new report.
    async fn hear(
        &self,
        heard: &mut Heard,
        tell: &impl Fn(&str),
    ) -> Result<bool, InstanceBuildError> {
        let key = self.keys.progress();
        let Some(report) = self.site.shelf.read::<Report>(&key).await? else {
            return Ok(false);
        };
        if report.job_sha256 != self.job_sha256 || report.sequence <= heard.sequence {
            return Ok(false);
        }
        heard.sequence = report.sequence;
        let known = heard.lines.saturating_sub(report.lines_before);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        for line in report.lines.iter().skip(known) {
            tell(&printable(line.as_bytes()));
        }
        heard.lines = report
            .lines_before
            .saturating_add(report.lines.len() as u64);
        Ok(true)
    }

    /// Its state, told where it is another one.
    async fn state(
        &self,
        before: &InstanceState,
        tell: &impl Fn(&str),
    ) -> Result<InstanceState, InstanceBuildError> {
        let found = self.site.ec2().instance(&self.instance.id).await?;
        // What was launched a moment ago may not show yet: then it is as it was.
        let Some(found) = found else {
            return Ok(before.clone());
        };
        if found.state != *before {
            let why = found.state_reason.as_deref();
            let why = why.map_or(String::new(), |why| format!(": {why}"));
            tell(&format!("{} is {}{why}", found.id, found.state));
        }
        Ok(found.state)
    }

    /// It is off: its result, if it left one just before.
    async fn ended(
        &self,
        state: InstanceState,
        heard: &mut Heard,
        tell: &impl Fn(&str),
    ) -> Result<Manifest, InstanceBuildError> {
        tokio::time::sleep(LAST_LOOK_AFTER).await;
        self.hear(heard, tell).await?;
        if let Some(outcome) = self.outcome().await? {
            return self.judge(outcome, tell);
        }
        let found = self.site.ec2().instance(&self.instance.id).await?;
        let reason = found.and_then(|found| found.state_reason);
        let no_capacity = reason.as_deref().is_some_and(is_about_capacity);
        let reason = reason.map_or(String::new(), |reason| format!(" ({reason})"));
        let why = format!("it is {state}{reason}, and left no result");
        Err(self.silent(why, no_capacity, tell).await)
    }

    /// No result: what it left of its log, and else its console, says more.
    async fn silent(
        &self,
        why: String,
        no_capacity: bool,
        tell: &impl Fn(&str),
    ) -> InstanceBuildError {
        let (text, from) = self.words().await;
        if !text.trim().is_empty() {
            tell(&format!("the end of its {from}:"));
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(LINES_SHOWN)..] {
                tell(&format!("  {line}"));
            }
        }
        InstanceBuildError::Silent {
            instance: self.instance.id.clone(),
            place: self.site.place(),
            why,
            no_capacity,
            log: self.write_down(&text),
        }
    }

    /// The log that its script has left, or what stands on its console.
    async fn words(&self) -> (String, &'static str) {
        if let Ok(Some(bytes)) = self.site.shelf.bytes(&self.keys.log()).await {
            return (printable(&bytes), "log");
        }
        match self.site.ec2().console_output(&self.instance.id).await {
            Ok(text) => (printable(text.as_bytes()), "console"),
            Err(error) => {
                // It is one more thing that went wrong, and not the first.
                tracing::warn!("{error}");
                (String::new(), "console")
            }
        }
    }

    /// Keeps words beside where the image would be. None if there are none, or no place.
    fn write_down(&self, text: &str) -> Option<PathBuf> {
        if text.trim().is_empty() {
            return None;
        }
        let path = self.out.join(LOG);
        let written = std::fs::create_dir_all(self.out).and_then(|()| std::fs::write(&path, text));
        if let Err(error) = &written {
            tracing::warn!("cannot write {}: {error}", path.display());
        }
        written.ok().map(|()| path)
    }

    /// The instance.
    pub fn id(&self) -> &InstanceId {
        &self.instance.id
    }
}

/// What a worker took for its steps.
fn took(steps: &[(String, u64)]) -> String {
    let seconds = |milliseconds: u64| format!("{:.1} s", milliseconds as f64 / 1000.0);
    let total = steps
        .iter()
        .fold(0, |sum: u64, (_, took)| sum.saturating_add(*took));
    let long = steps.iter().filter(|(_, took)| *took >= 1000);
    let long: Vec<_> = long
        .map(|(step, took)| format!("{} {}", printable(step.as_bytes()), seconds(*took)))
        .collect();
    match long.is_empty() {
        true => format!("built in {}", seconds(total)),
        false => format!("built in {}: {}", seconds(total), long.join(", ")),
    }
}

/// A launch that was taken and came to nothing.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>
fn is_about_capacity(reason: &str) -> bool {
    reason.starts_with("Server.InsufficientInstanceCapacity")
}

/// Whether it does nothing any more.
fn has_ended(state: &InstanceState) -> bool {
    *state == InstanceState::Stopped || state.is_ending()
}

/// Text without what would move a terminal's cursor: it was written by a machine that is not
/// trusted.
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .filter(|char| matches!(char, '\n' | '\t') || !char.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_took_long_are_told() {
        let step = |name: &str, took| (name.to_owned(), took);
        assert_eq!(took(&[step("a", 20)]), "built in 0.0 s");
        let steps = [step("a", 20), step("b", 61_500), step("c", 1000)];
        assert_eq!(took(&steps), "built in 62.5 s: b 61.5 s, c 1.0 s");
    }

    #[test]
    fn words_of_an_instance_move_no_cursor() {
        assert_eq!(printable(b"a\x1b[2Jb\r\n\tc\xff"), "a[2Jb\n\tc\u{fffd}");
    }
}
