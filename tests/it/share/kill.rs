//! `share apply`, killed at each call and run again.

use std::process::Stdio;

use serde_json::{Value, json};

use super::street::{PLACES, Street};
use crate::release::configured;

/// Starts an apply that gets no answer to its `nth` call of a service, and kills it then. False if it
/// made fewer.
fn killed_at(street: &Street, calls: &Value, nth: usize, is_done: bool) -> bool {
    let mut rule = calls.clone();
    rule["nth"] = json!(nth);
    if is_done {
        rule["action"] = json!("close-after");
        street.house.place.fault(rule.clone());
        // The next attempt of the same call, which is the next one that comes.
        rule["nth"] = json!(nth + 1);
    }
    rule["action"] = json!("stall");
    let last = street.house.place.fault(rule);
    let run = street
        .house
        .program()
        .args(["share", "apply", "--yes", "-q"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let ended = street.house.kill_at(run, last);
    assert!(ended.is_none_or(|ended| ended.success()), "{calls} {nth}");
    street.house.place.control("DELETE", "faults", json!(null));
    ended.is_none()
}

/// Two releases and four customers, one of whom goes: things are given and taken away in each run.
#[test]
fn killed_at_each_call_and_run_again() {
    let street = Street::new();
    configured(&street.house, "[share]\ncatalog = \"customers\"\n");
    let first = street.release(&[(0, 1)]);
    street.promote(&first);
    let second = street.release(&[(0, 1), (1, 2)]);
    street.promote(&second);
    let some = ["acme", "umbrella"];
    let others = ["acme", "globex", "initech"];
    // What it comes to without being killed, both ways.
    let mut expected = Vec::new();
    for names in [&some[..], &others[..]] {
        street.file(names, "copy = false");
        street.apply();
        expected.push((names, street.states()));
    }
    let mut ways = (0..).map(|way| &expected[way % 2]);
    let mut points = 0;
    for service in ["s3", "kms", "ec2"] {
        for is_done in [false, true] {
            for nth in 1.. {
                let (names, states) = ways.next().expect("there is always one more");
                street.file(names, "copy = false");
                let was_killed = killed_at(&street, &json!({ "service": service }), nth, is_done);
                street.apply();
                assert_eq!(&street.states(), states, "{service} {nth} {is_done}");
                assert_eq!(street.plan(&[]).0, 0, "{service} {nth} {is_done}");
                if !was_killed {
                    break;
                }
                points += 1;
            }
        }
    }
    assert!(points > 15 * PLACES.len(), "{points} calls");
}
