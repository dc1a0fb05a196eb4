//! What a run of the program took, as tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

/// Calls that change who has access.
const CHANGES: [&str; 5] = [
    "ModifyImageAttribute",
    "ModifySnapshotAttribute",
    "PutKeyPolicy",
    "CreateGrant",
    "RevokeGrant",
];
/// What services answer when there are too many calls.
const THROTTLES: [&str; 3] = ["RequestLimitExceeded", "ThrottlingException", "SlowDown"];

/// Numbers of calls by operation.
#[derive(Debug, Clone, Default)]
pub struct Calls(BTreeMap<String, usize>);

impl Calls {
    pub fn add(&mut self, operation: &str, count: usize) {
        *self.0.entry(operation.to_owned()).or_default() += count;
    }

    fn of(&self, operation: &str) -> usize {
        self.0.get(operation).copied().unwrap_or_default()
    }

    fn all(&self) -> usize {
        self.0.values().sum()
    }

    fn changes(&self) -> usize {
        CHANGES.iter().map(|operation| self.of(operation)).sum()
    }
}

/// A run of the program.
pub struct Step {
    what: &'static str,
    wall: Duration,
    calls: Calls,
    throttled: usize,
    least: Calls,
}

impl Step {
    pub fn new(what: &'static str, wall: Duration, calls: &[Value], least: Calls) -> Step {
        let mut counted = Calls::default();
        let mut throttled = 0;
        for call in calls {
            counted.add(call["operation"].as_str().unwrap_or_default(), 1);
            let error = call["error"].as_str();
            throttled += usize::from(error.is_some_and(|code| THROTTLES.contains(&code)));
        }
        Step {
            what,
            wall,
            calls: counted,
            throttled,
            least,
        }
    }
}

/// Time and calls of every step, at every rate.
pub fn steps(runs: &[(&str, Vec<Step>)]) -> String {
    let mut text = format!(
        "{:<7} {:<30} {:>8} {:>7} {:>7} {:>9} {:>7} {:>10}\n",
        "rates", "what", "time", "calls", "least", "changes", "least", "throttled"
    );
    for (rates, steps) in runs {
        for step in steps {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{rates:<7} {:<30} {:>6.1} s {:>7} {:>7} {:>9} {:>7} {:>10}",
                step.what,
                step.wall.as_secs_f64(),
                step.calls.all(),
                step.least.all(),
                step.calls.changes(),
                step.least.changes(),
                step.throttled
            );
        }
    }
    text
}

/// Calls of every step by operation, each with the least, in the order of [`steps`].
pub fn operations(steps: &[Step]) -> String {
    let names = steps.iter().flat_map(|step| [&step.calls, &step.least]);
    let names: BTreeSet<&String> = names.flat_map(|calls| calls.0.keys()).collect();
    let mut text = format!("{:<26}", "calls/least");
    for step in steps {
        let word = step.what.split([',', ':']).next().unwrap_or_default();
        let _ = write!(text, " {word:>11}");
    }
    text.push('\n');
    for name in names {
        let _ = write!(text, "{name:<26}");
        for step in steps {
            let pair = format!("{}/{}", step.calls.of(name), step.least.of(name));
            let _ = write!(text, " {pair:>11}");
        }
        text.push('\n');
    }
    text
}
