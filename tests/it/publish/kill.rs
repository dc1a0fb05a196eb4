//! Killed at every call, and run again.

use std::process::{Child, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::house::{BLOCKS, House, REGIONS};
use crate::sandbox::client::Expect as _;
use crate::sandbox::things;

/// When a run is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    /// Before AWS has done what the call asks for.
    Before,
    /// After it, with the answer lost: the next attempt of the call gets none either.
    After,
}

/// Starts a publish that gets no answer to the `nth` of these calls, and kills it when it waits for
/// it. False if it ended before: it makes fewer of them.
fn killed_at(house: &House, args: &[&str], calls: &Value, nth: usize, when: When) -> bool {
    let fault = |nth: usize, action: &str| {
        let mut fault = calls.clone();
        fault["nth"] = json!(nth);
        fault["action"] = json!(action);
        house.place.fault(fault)
    };
    let last = match when {
        When::Before => fault(nth, "stall"),
        When::After => {
            fault(nth, "close-after");
            // The next call is the next attempt of it, or another one that goes on beside it.
            fault(nth + 1, "stall")
        }
    };
    let ended = house.kill_at(start(house, args), last);
    let is_good = |ended: &ExitStatus| ended.success() || when == When::After;
    assert!(ended.as_ref().is_none_or(is_good), "{calls} {nth}");
    house.place.control("DELETE", "faults", json!(null));
    ended.is_none()
}

fn start(house: &House, args: &[&str]) -> Child {
    house
        .program()
        .args([&["publish", "-q"], args].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// A snapshot is published: no blocks are sent, so that every call before and after can be tried,
/// each in a second or two.
#[test]
fn killed_at_every_call_and_run_again() {
    let house = House::new();
    let home = house.client(REGIONS[0]);
    let (mut points, mut releases) = (0, 0);
    for service in ["sts", "s3", "kms", "ec2"] {
        let calls = json!({ "service": service });
        for when in [When::Before, When::After] {
            for nth in 1.. {
                let blocks = [(0, things::block(1))];
                let snapshot = things::snapshot(&home, &blocks, Some(&house.keys[REGIONS[0]]));
                let args = [snapshot.as_str(), "--profile", "base", "--arch", "x86_64"];
                let was_killed = killed_at(&house, &args, &calls, nth, when);
                let published = house.publish(snapshot.as_ref(), &args[1..]);
                house.check(&published, &REGIONS[..2]);
                releases += 1;
                house.check_no_orphans(releases);
                if !was_killed {
                    assert!(nth > 1, "{service}: a publish makes no such call");
                    break;
                }
                points += 1;
            }
        }
    }
    assert!(points > 40, "{points} calls");
}

/// The calls that only an image needs. Every release but the first sends only the blocks that
/// differ from it; of the thousands of calls that read it back, two stand for all.
#[test]
fn killed_at_every_call_of_an_upload_and_run_again() {
    let house = House::new();
    house.publish(&house.image("first", &[(0, 1)]), &[]);
    let mut releases = 1;
    let calls = [
        ("StartSnapshot", &[1][..]),
        ("PutSnapshotBlock", &[1, 2]),
        ("CompleteSnapshot", &[1]),
        ("ListSnapshotBlocks", &[1]),
        ("GetSnapshotBlock", &[1, 1500]),
        ("RegisterImage", &[1]),
        ("PutObject", &[2, 3]),
    ];
    for (operation, numbers) in calls {
        for (nth, when) in numbers
            .iter()
            .flat_map(|nth| [(*nth, When::Before), (*nth, When::After)])
        {
            // Another byte in each: another image.
            let byte = u8::try_from(releases).expect("a byte") + 1;
            let image = house.image(
                &format!("kill-{releases}"),
                &[(0, 1), (1, byte), (2, 1), (3, byte)],
            );
            let folder = image.to_str().expect("a path");
            let calls = json!({ "operation": operation });
            assert!(
                killed_at(&house, &[folder], &calls, nth, when),
                "{operation} {nth}"
            );
            let published = house.publish(&image, &[]);
            house.check(&published, &REGIONS[..2]);
            releases += 1;
            house.check_no_orphans(releases);
            house.check_no_journal(&image);
            if releases % 8 == 0 {
                let snapshot = published["regions"][REGIONS[1]]["snapshot"].as_str();
                house.check_bytes(REGIONS[1], snapshot.expect("an id"), &image);
            }
        }
    }
}

/// What failed is taken away by whoever comes next, wherever the run before was killed.
#[test]
fn killed_while_taking_away_what_failed() {
    let house = House::new();
    let fails = json!({"fail-later": {"reason": "bad luck"}});
    let mut releases = 0;
    for (failing, calls) in [
        ("CompleteSnapshot", json!({"operation": "DeleteSnapshot"})),
        ("CopyImage", json!({"operation": "DeregisterImage"})),
    ] {
        for when in [When::Before, When::After] {
            let byte = u8::try_from(releases).expect("a byte") + 1;
            let image = house.image(&format!("image-{releases}"), &[(0, 1), (1, byte)]);
            let folder = image.to_str().expect("a path");
            house
                .place
                .fault(json!({"operation": failing, "nth": 1, "action": fails}));
            assert!(
                killed_at(&house, &[folder], &calls, 1, when),
                "{failing} {when:?}"
            );
            let published = house.publish(&image, &[]);
            house.check(&published, &REGIONS[..2]);
            releases += 1;
            house.check_no_orphans(releases);
        }
    }
}

/// What the last run went by is no more: its AMI, or its key.
#[test]
fn what_changed_between_two_runs() {
    let mut house = House::new();
    let image = house.image("one", &[(0, 1)]);
    let folder = image.to_str().expect("a path").to_owned();
    let first = house.publish(&image, &[]);
    let home = house.client(REGIONS[0]);
    let ami = first["regions"][REGIONS[0]]["ami"].as_str().expect("an id");
    home.ec2("DeregisterImage", &[("ImageId", ami)])
        .done("deregistered");
    let register = json!({"operation": "RegisterImage"});
    assert!(killed_at(&house, &[&folder], &register, 1, When::Before));
    let again = house.publish(&image, &[]);
    house.check(&again, &REGIONS[..2]);
    house.check_no_orphans(1);
    // The snapshot was good.
    assert_eq!(
        again["regions"][REGIONS[0]]["snapshot"],
        first["regions"][REGIONS[0]]["snapshot"]
    );

    // A second release, a child of the first, is killed; its key becomes another.
    let second = house.image("two", &[(0, 1), (1, 2)]);
    let folder = second.to_str().expect("a path").to_owned();
    assert!(killed_at(&house, &[&folder], &register, 1, When::Before));
    let other = things::key(&home);
    let old = house.keys.insert(REGIONS[0], other).expect("a key");
    house.configure(&house.config());
    let published = house.publish(&second, &[]);
    house.check(&published, &REGIONS[..2]);
    house.keys.insert(REGIONS[0], old);
    house.check_no_orphans(2);
}

#[test]
fn killed_while_sending_it_sends_only_what_is_missing() {
    let house = House::new();
    let image = house.image("one", &[(0, 1), (40, 2)]);
    let folder = image.to_str().expect("a path");
    house
        .place
        .fault(json!({"operation": "PutSnapshotBlock", "skip": 1200, "action": "stall"}));
    let mut child = start(&house, &[folder]);
    house.wait_for_calls("PutSnapshotBlock", 1200);
    child.kill().expect("it is there");
    child.wait().expect("it ended");
    house.place.control("DELETE", "faults", json!(null));
    let sent = house.calls("operation=PutSnapshotBlock").len();

    let published = house.publish(&image, &[]);
    house.check(&published, &REGIONS[..2]);
    house.check_no_orphans(1);
    let snapshot = published["regions"][REGIONS[0]]["snapshot"].as_str();
    house.check_bytes(REGIONS[0], snapshot.expect("an id"), &image);
    // An acknowledgement that was under way when the signal came may be lost: as many as can be.
    let again = house.calls("operation=PutSnapshotBlock").len();
    let all = usize::try_from(BLOCKS).expect("a number");
    assert!(sent >= 1200 && again < all + 512, "{sent}, {again}");
}

#[test]
fn one_interrupt_ends_it_in_order() {
    let house = House::new();
    let image = house.image("one", &[(0, 1)]);
    let folder = image.to_str().expect("a path");
    house
        .place
        .fault(json!({"operation": "CopyImage", "action": {"delay": {"ms": 2500}}}));
    let child = house
        .program()
        .args(["publish", folder])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    house.wait_for_calls("RegisterImage", 1);
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::INT).expect("it is there");
    let ended = crate::support::Ended::from(child.wait_with_output().expect("it ends"));
    let said = ended.failed(1);
    assert!(said.contains("interrupted"), "{said}");
    assert!(said.contains("base-3.15-x86_64-"), "{said}");
    assert!(said.contains("run the same command again"), "{said}");
    house.place.control("DELETE", "faults", json!(null));
    // The lease is given back: nobody waits for it.
    let published = house.publish(&image, &[]);
    house.check(&published, &REGIONS[..2]);
    house.check_no_orphans(1);
}
