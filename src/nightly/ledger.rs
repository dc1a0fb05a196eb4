//! What has become of an image so far, step by step.

use std::time::Instant;

use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::error::StepError;
use super::report::{ImageReport, Outcome, Step, StepOutcome, StepReport};
use crate::arch::Arch;
use crate::causes::chain;
use crate::telemetry;

/// Every step, in order.
const STEPS: [Step; 7] = [
    Step::Lock,
    Step::Build,
    Step::Test,
    Step::Publish,
    Step::Share,
    Step::Promote,
    Step::Prune,
];

/// A step failed, and it is written down why: no more is to be done for the image.
#[derive(Debug)]
pub(super) struct Failed;

/// What a step came to.
#[derive(Debug)]
pub(super) struct Did<T> {
    /// What the next step needs.
    pub value: T,
    /// Why it was not needed, if it was not.
    pub skipped: Option<String>,
}

impl<T> From<T> for Did<T> {
    fn from(value: T) -> Did<T> {
        Did {
            value,
            skipped: None,
        }
    }
}

/// What has become of an image so far.
#[derive(Debug)]
pub(super) struct Ledger {
    /// What is reported of it.
    pub report: ImageReport,
    /// The span that its steps are below.
    pub span: Span,
}

impl Ledger {
    /// Nothing has been done yet.
    pub(super) fn new(profile: &str, arch: Arch, version: Option<String>) -> Ledger {
        Ledger {
            report: ImageReport {
                profile: profile.to_owned(),
                arch,
                version,
                outcome: Outcome::Unchanged,
                release: None,
                previous: None,
                steps: Vec::new(),
                changes: None,
                amis: Default::default(),
            },
            span: telemetry::span!(
                "nightly image",
                profile,
                %arch,
                release = Empty,
                outcome = Empty
            ),
        }
    }

    /// Does a step and writes down how it went.
    pub(super) async fn step<T>(
        &mut self,
        step: Step,
        work: impl Future<Output = Result<Did<T>, StepError>>,
    ) -> Result<T, Failed> {
        let mut value = None;
        let work = async {
            let did = work.await?;
            value = Some(did.value);
            Ok(did
                .skipped
                .map_or(StepOutcome::Done, |why| StepOutcome::Skipped { why }))
        };
        let timed = timed(step, work).instrument(self.span.clone()).await;
        timed.enter(self, step);
        value.ok_or(Failed)
    }

    /// Writes down that steps are not needed.
    pub(super) fn skip(&mut self, steps: &[Step], why: &str) {
        for step in steps {
            let why = why.to_owned();
            self.write(*step, StepOutcome::Skipped { why }, 0.0);
        }
    }

    /// Writes down a step that was done for all images.
    pub(super) fn write(&mut self, step: Step, outcome: StepOutcome, seconds: f64) {
        if matches!(outcome, StepOutcome::Failed { .. }) {
            self.report.outcome = Outcome::Failed;
            telemetry::failed(&self.span);
        }
        self.report.steps.push(StepReport {
            step,
            outcome,
            seconds,
        });
    }

    /// Whether a step failed.
    pub(super) fn has_failed(&self) -> bool {
        self.report.outcome == Outcome::Failed
    }

    /// The report, with every step in it.
    pub(super) fn close(mut self) -> ImageReport {
        for step in STEPS {
            if !self.report.steps.iter().any(|done| done.step == step) {
                self.skip(&[step], "not reached");
            }
        }
        self.report.steps.sort_by_key(|done| done.step);
        self.span.record("outcome", self.report.outcome.to_string());
        if let Some(release) = &self.report.release {
            self.span.record("release", release.to_string());
        }
        self.report
    }
}

/// Does a step in a span of its own, and takes its time.
pub(super) async fn timed(
    step: Step,
    work: impl Future<Output = Result<StepOutcome, StepError>>,
) -> Timed {
    let span = telemetry::span!(
        "nightly step",
        otel.name = format!("nightly {step}"),
        %step,
        outcome = Empty
    );
    let begun = Instant::now();
    let result = telemetry::stage(span.clone(), work).await;
    let outcome = result.unwrap_or_else(|error| failed(&error));
    span.record("outcome", outcome.word());
    Timed {
        outcome,
        seconds: begun.elapsed().as_secs_f64(),
    }
}

/// How a step ended, and how long it took.
pub(super) struct Timed {
    /// How it ended.
    pub outcome: StepOutcome,
    seconds: f64,
}

impl Timed {
    /// Writes it down for an image.
    pub(super) fn enter(&self, ledger: &mut Ledger, step: Step) {
        ledger.write(step, self.outcome.clone(), self.seconds);
    }
}

/// A failure as it is reported.
fn failed(error: &StepError) -> StepOutcome {
    StepOutcome::Failed {
        error: chain(error),
        advice: error.advice(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_step_is_told_once_and_in_order() {
        let mut ledger = Ledger::new("base", Arch::X86_64, None);
        let locked = ledger.step(Step::Lock, async { Ok(Did::from(7)) }).await;
        assert!(matches!(locked, Ok(7)));
        let built = async {
            Ok(Did {
                value: (),
                skipped: Some("it is there".to_owned()),
            })
        };
        ledger.step(Step::Build, built).await.expect("skipped");
        let tested = async { Err::<Did<()>, _>(StepError::Interrupted("interrupted")) };
        ledger.step(Step::Test, tested).await.expect_err("it ends");
        assert!(ledger.has_failed());
        ledger.write(Step::Share, StepOutcome::Done, 1.0);

        let report = ledger.close();
        assert_eq!(report.outcome, Outcome::Failed);
        let told: Vec<String> = report
            .steps
            .iter()
            .map(|done| match &done.outcome {
                StepOutcome::Done => format!("{} done", done.step),
                StepOutcome::Skipped { why } => format!("{} skipped: {why}", done.step),
                StepOutcome::Failed { error, .. } => format!("{} failed: {error}", done.step),
            })
            .collect();
        let expected = [
            "lock done",
            "build skipped: it is there",
            "test failed: interrupted",
            "publish skipped: not reached",
            "share done",
            "promote skipped: not reached",
            "prune skipped: not reached",
        ];
        assert_eq!(told, expected);
    }
}
