//! Commands that are killed at each of their calls, and run again.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::publish::house::House;
use crate::sandbox::place::PUBLISHER;

/// Where a command is killed: while it waits for the answer to its `nth` call of an operation.
pub struct Point {
    operation: String,
    nth: usize,
    /// Whether AWS has done by then what the call asks for.
    is_done: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = if self.is_done { "after" } else { "before" };
        write!(f, "{moment} {} {}", self.operation, self.nth)
    }
}

/// Runs a command to its end, and tells all points of it. A call that changes nothing is the same
/// before its work and after it.
#[track_caller]
pub fn points(house: &House, args: &[&str]) -> Vec<Point> {
    house.place.control("DELETE", "calls", Value::Null);
    house.run(args).done();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for call in house.calls(&format!("account={PUBLISHER}")) {
        let operation = call["operation"].as_str().expect("an operation");
        *counts.entry(operation.to_owned()).or_default() += 1;
    }
    let mut points = Vec::new();
    for (operation, count) in counts {
        let moments: &[bool] = if is_read(&operation) {
            &[false]
        } else {
            &[false, true]
        };
        for nth in 1..=count {
            points.extend(moments.iter().map(|is_done| Point {
                operation: operation.clone(),
                nth,
                is_done: *is_done,
            }));
        }
    }
    points
}

fn is_read(operation: &str) -> bool {
    let reads = ["Describe", "Get", "Head", "List", "Sign"];
    reads.iter().any(|read| operation.starts_with(read))
}

/// Starts a command and kills it at a point. False if it ended before it came there.
pub fn killed_at(house: &House, args: &[&str], point: &Point) -> bool {
    let mut rule = json!({ "operation": point.operation, "nth": point.nth });
    if point.is_done {
        rule["action"] = json!("close-after");
        house.place.fault(rule.clone());
        // The next attempt of the same call, or another one that was under way.
        rule["nth"] = json!(point.nth + 1);
    }
    rule["action"] = json!("stall");
    let last = house.place.fault(rule);
    let run = house
        .program()
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let ended = house.kill_at(run, last);
    house.place.control("DELETE", "faults", Value::Null);
    ended.is_none()
}
