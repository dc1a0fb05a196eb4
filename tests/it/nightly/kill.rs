//! Killed and told to stop at different calls, and run again.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use super::town::Town;

/// Kills a night that waits for the answer to the `nth` call of an operation, before AWS has done
/// what it asks for or after it; the next night finishes it, and makes nothing twice.
#[track_caller]
fn killed_and_run_again(operation: &str, nth: usize) {
    for action in ["stall", "close-after"] {
        let town = Town::new();
        let rule = json!({ "operation": operation, "nth": nth, "action": action });
        let fault = town.yard.house.place.fault(rule);
        let run = town
            .command(&["base", "-q"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let ended = town.yard.house.kill_at(run, fault);
        assert!(ended.is_none(), "{operation} {nth}: it ended");
        town.yard
            .house
            .place
            .control("DELETE", "faults", Value::Null);

        let next = town.night(&["base"]);
        assert_eq!(next.status, 0, "{operation} {nth} {action}: {}", next.said);
        town.check_base(&next);
        let last = town.night(&["base", "--exit-unchanged"]);
        assert_eq!(last.status, 4, "{operation} {nth} {action}: {}", last.said);
    }
}

#[test]
fn killed_while_it_builds() {
    killed_and_run_again("CreateSnapshot", 1);
}

#[test]
fn killed_while_it_registers() {
    killed_and_run_again("RegisterImage", 1);
}

#[test]
fn killed_while_it_copies() {
    killed_and_run_again("CopyImage", 1);
}

/// The sessions of a night are one that publishes, one that builds, and then one that promotes.
#[test]
fn killed_before_it_promotes() {
    killed_and_run_again("GetCallerIdentity", 3);
}

#[test]
fn told_to_stop_it_reports_and_the_next_night_finishes() {
    let town = Town::new();
    let rule = json!({ "operation": "CopyImage", "nth": 1, "action": "stall" });
    town.yard.house.place.fault(rule);
    let child = town
        .command(&["base", "--report-junit", "junit.xml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    town.yard.house.wait_for_calls("CopyImage", 1);
    let pid = i32::try_from(child.id()).expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let steps = report["images"][0]["steps"].as_array().expect("steps");
    let publish = steps.iter().find(|step| step["step"] == "publish");
    let error = publish.expect("a step")["error"].as_str();
    let error = error.expect("it failed");
    assert!(error.contains("told to stop (SIGTERM)"), "{error}");
    let junit = town.yard.house.folder().join("junit.xml");
    let junit = fs::read_to_string(junit).expect("a report");
    assert!(junit.contains("told to stop (SIGTERM)"), "{junit}");

    town.yard
        .house
        .place
        .control("DELETE", "faults", Value::Null);
    let next = town.night(&["base"]);
    assert_eq!(next.status, 0, "{}", next.said);
    town.check_base(&next);
}
