//! Promotion and rollback, killed at each call and run again: the same end.

use std::process::Stdio;

use serde_json::{Value, json};

use super::{current, object, payload, signing};
use crate::publish::house::House;
use crate::share::street::Street;

/// Starts a command that gets no answer to its `nth` call of a service, and kills it then. False if it
/// made fewer.
fn killed_at(house: &House, args: &[&str], service: &str, nth: usize, is_done: bool) -> bool {
    let mut rule = json!({ "service": service, "nth": nth });
    if is_done {
        rule["action"] = json!("close-after");
        house.place.fault(rule.clone());
        // The next attempt of the same call, which is the next one that comes.
        rule["nth"] = json!(nth + 1);
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

/// Every call of S3 and EC2 while a release comes and goes back, before its work and after it.
#[test]
fn killed_at_each_call_and_run_again() {
    let street = Street::new();
    let house = &street.house;
    signing(house);
    street.file(&["acme"], "");
    let (first, second) = (street.release(&[(0, 1)]), street.release(&[(0, 1), (1, 2)]));
    street.promote(&first);
    let (mut points, mut up) = (0, false);
    for service in ["s3", "ec2"] {
        for is_done in [false, true] {
            for nth in 1.. {
                up = !up;
                let args: &[&str] = match up {
                    true => &["promote", second.id(), "--to", "stable"],
                    false => &["rollback", "stable", "--to", first.id()],
                };
                let was_killed = killed_at(house, args, service, nth, is_done);
                let ended = house.run(args);
                // What was cut off after its last write has nothing left to do.
                let is_there = ended.status == 2 && ended.stderr.contains("already");
                assert!(
                    ended.status == 0 || is_there,
                    "{service} {nth}: {}",
                    ended.stderr
                );
                let expected = match up {
                    true => second.id(),
                    false => first.id(),
                };
                assert_eq!(current(house, "stable"), [expected], "{service} {nth}");
                agrees(house, expected);
                points += usize::from(was_killed);
                if !was_killed {
                    break;
                }
            }
        }
    }
    assert!(points > 30, "only {points} calls were met");
    let (status, plan) = street.plan(&[]);
    assert_eq!(status, 0, "{plan}");
}

/// The page and the channel tell the same.
#[track_caller]
fn agrees(house: &House, release: &str) {
    let channel = payload(&object(house, "channels/stable.json").expect("a channel"));
    let listed = channel["releases"].as_array().expect("releases");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["release"], json!(release));
    let page = object(house, "catalog/index.html").expect("a page");
    for place in listed[0]["regions"].as_object().expect("Regions").values() {
        assert!(page.contains(place["ami"].as_str().expect("an id")));
    }
}
