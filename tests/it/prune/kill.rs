//! `prune --yes`, killed at each call and run again.

use std::process::Stdio;

use serde_json::{Value, json};

use super::cellar::Cellar;

/// Starts a prune that gets no answer to its `nth` call of these, and kills it then. False if it made
/// fewer.
fn killed_at(cellar: &Cellar, calls: &Value, nth: usize, is_done: bool) -> bool {
    let mut rule = calls.clone();
    rule["nth"] = json!(nth);
    if is_done {
        rule["action"] = json!("close-after");
        cellar.house.place.fault(rule.clone());
        // The next attempt of the same call, which is the next one that comes.
        rule["nth"] = json!(nth + 1);
    }
    rule["action"] = json!("stall");
    let last = cellar.house.place.fault(rule);
    let run = cellar
        .house
        .program()
        .args(["prune", "--yes", "-q"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let ended = cellar.house.kill_at(run, last);
    assert!(ended.is_none_or(|ended| ended.success()), "{calls} {nth}");
    cellar.no_faults();
    ended.is_none()
}

/// Each release is to go as soon as there is another one. Both runs of its end are killed: the one
/// that deprecates it and the one that deregisters it.
#[test]
fn killed_at_each_call_and_run_again() {
    let cellar = Cellar::new(
        "[[channels]]\nname = \"stable\"\nkeep = { releases = 0, days = 0 }\n\
         [prune]\nderegister_after_days = 0\nunpromoted_days = 0\nversion_days = 0\n",
    );
    let mut number = 0;
    let mut next = || {
        number += 1;
        // Of the same day: releases of one second would be equally new.
        cellar.house.place.advance(60);
        cellar.release(number)
    };
    let mut old = next();
    let mut points = 0;
    for (calls, most) in [
        (json!({"operation": "EnableImageDeprecation"}), 2),
        (json!({"operation": "DeregisterImage"}), 2),
        (json!({"operation": "PutObject"}), 3),
        (json!({"operation": "DeleteObject"}), 1),
        (json!({"operation": "CreateImageUsageReport"}), 1),
        (json!({"operation": "DeleteImageUsageReport"}), 1),
        (json!({"operation": "GetObject"}), 2),
    ] {
        for is_done in [false, true] {
            for nth in 1..=most {
                let new = next();
                let place = format!("{calls} {nth} {is_done}");
                let mut was_killed = false;
                for (counts, mark) in [((2, 2, 2), "deprecated"), ((0, 0, 0), "deregistered")] {
                    was_killed |= killed_at(&cellar, &calls, nth, is_done);
                    cellar.prune(&["--yes"]).done();
                    assert_eq!(cellar.counts(&old), counts, "{place}");
                    let retired = &cellar.manifest(&old)["retired"];
                    assert!(retired[mark].is_string(), "{place}: {retired}");
                    cellar.prune(&[]).done();
                    // A deprecation is rounded to the minute.
                    cellar.house.place.advance(300);
                }
                assert_eq!(cellar.counts(&new), (2, 0, 2), "{place}");
                points += usize::from(was_killed);
                old = new;
            }
        }
    }
    assert!(points > 12, "{points} points");
}
