//! Releases come into channels: one after the other, at once, with answers lost, killed.

use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::publish::house::{BUCKET, House, REGIONS};
use crate::sandbox::client::{Call, Expect as _};
use crate::sandbox::things;
use crate::support::Ended;

/// Publishes a snapshot, of which no blocks are sent: the release.
fn release(house: &House, arch: &str) -> String {
    let home = house.client(REGIONS[0]);
    let blocks = [(0, things::block(1))];
    let snapshot = things::snapshot(&home, &blocks, Some(&house.keys[REGIONS[0]]));
    let more = ["--profile", "base", "--arch", arch];
    let published = house.publish(snapshot.as_ref(), &more);
    published["release"].as_str().expect("an id").to_owned()
}

/// An object of the publisher's bucket.
fn object(house: &House, key: &str) -> Option<String> {
    let get = Call::new("GET", &format!("/{BUCKET}/{key}"));
    let answer = house.client(REGIONS[0]).s3(&get).ok()?;
    Some(answer.text())
}

fn put(house: &House, key: &str, text: &str) {
    let put = Call::new("PUT", &format!("/{BUCKET}/{key}")).body(text);
    house.client(REGIONS[0]).s3(&put).done("an object");
}

/// Who was in a channel, in the order of coming, and whether it is.
fn stays(house: &House, channel: &str) -> Vec<(String, bool)> {
    let document = object(house, &format!("channels/{channel}.json")).expect("a document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let stays = document["stays"].as_array().expect("stays").iter();
    let told = stays.map(|stay| {
        let release = stay["release"].as_str().expect("an id").to_owned();
        (release, stay["until"].is_null())
    });
    told.collect()
}

fn promote(house: &House, release: &str, channel: &str) -> Ended {
    house.run(&["promote", release, "--to", channel])
}

/// The same; what it prints as JSON.
#[track_caller]
fn promoted(house: &House, release: &str, channel: &str) -> Value {
    let ended = house.run(&["promote", release, "--to", channel, "--output", "json"]);
    serde_json::from_str(&ended.done()).expect("JSON")
}

fn start(house: &House, release: &str, channel: &str) -> Child {
    house
        .program()
        .args(["promote", release, "--to", channel, "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

fn ended(child: Child) -> Ended {
    Ended::from(child.wait_with_output().expect("it ends"))
}

/// Waits until a fault was applied.
fn wait_for_fault(house: &House, fault: u64) {
    let begun = std::time::Instant::now();
    let what = format!("faults/{fault}");
    while house.place.control("GET", &what, json!(null))["applied"] == 0 {
        assert!(begun.elapsed().as_secs() < 60, "the fault met no call");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn no_more_faults(house: &House) {
    house.place.control("DELETE", "faults", json!(null));
}

#[test]
fn a_release_goes_from_channel_to_channel() {
    let house = House::new();
    let first = release(&house, "x86_64");
    let arm = release(&house, "aarch64");
    let said = promote(&house, &first, "nightly").done();
    let expected = format!(
        "{first} is in nightly, the first of its profile and architecture there\n\
         `alpine-ami share apply` gives nightly's customers access\n"
    );
    assert_eq!(said, expected);
    let told = promoted(&house, &arm, "nightly");
    let expected = json!({ "release": arm, "channel": "nightly", "before": null });
    assert_eq!(told, expected);
    promote(&house, &first, "candidate").done();

    let next = release(&house, "x86_64");
    let args = [
        "promote",
        &next,
        "--to",
        "nightly",
        "--reason",
        "a newer kernel",
    ];
    let said = house.run(&args).done();
    let words = format!("{next} is in nightly, in the place of {first}\n");
    assert!(said.starts_with(&words), "{said}");
    let expected = [(first.clone(), false), (arm, true), (next.clone(), true)];
    assert_eq!(stays(&house, "nightly"), expected);
    assert_eq!(stays(&house, "candidate"), [(first.clone(), true)]);
    // And back again, from any channel to any.
    let told = promoted(&house, &first, "nightly");
    assert_eq!(told["before"], json!(next));

    let document = object(&house, "channels/nightly.json").expect("a document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let stay = &document["stays"][2];
    assert_eq!(stay["reason"], "a newer kernel");
    let by = stay["by"].as_str().expect("a principal");
    assert!(by.starts_with("arn:aws:"), "{by}");
    assert_eq!(document["stays"][0]["until"], stay["since"]);
    assert_eq!(document["stays"][0].get("reason"), None);
}

/// By AWS's clock: that is the one that all who promote share.
#[test]
fn the_date_is_awss() {
    let house = House::new();
    let first = release(&house, "x86_64");
    promote(&house, &first, "nightly").done();
    house.place.advance(10 * 24 * 3600);
    let next = release(&house, "x86_64");
    promote(&house, &next, "nightly").done();
    let document = object(&house, "channels/nightly.json").expect("a document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let [before, after] = [0, 1].map(|stay| {
        let since = document["stays"][stay]["since"].as_str().expect("a time");
        OffsetDateTime::parse(since, &Rfc3339).expect("a time")
    });
    let between = after - before;
    assert_eq!(between.whole_days(), 10, "{between}");
}

/// The command is refused, says all of this in one error, and nothing is moved.
#[track_caller]
fn refused(house: &House, args: &[&str], words: &[&str]) {
    let seen = || ["nightly", "stable"].map(|name| object(house, &format!("channels/{name}.json")));
    let before = seen();
    let said = house.run(&[&["promote"], args].concat()).failed(2);
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    assert_eq!(seen(), before);
}

#[test]
fn what_cannot_be_promoted() {
    let house = House::new();
    let release = release(&house, "x86_64");
    promote(&house, &release, "nightly").done();
    refused(
        &house,
        &[&release, "--to", "stabel"],
        &[
            "there is no channel `stabel`; there are nightly, candidate, stable",
            "[[channels]]",
        ],
    );
    let other = release.replace("base-", "bass-");
    refused(
        &house,
        &[&other, "--to", "stable"],
        &[
            &format!("there is no release {other} in s3://{BUCKET}/"),
            "publish.prefix",
        ],
    );
    refused(
        &house,
        &["base", "--to", "stable"],
        &["`base` is no release id"],
    );
    refused(
        &house,
        &[&release, "--to", "stable", "--reason", ""],
        &["--reason"],
    );
    refused(&house, &[&release], &["--to"]);
    refused(
        &house,
        &[&release, "--to", "nightly"],
        &[
            &format!("{release} is in nightly already, since 20"),
            "Z by arn:aws:",
            "nothing was moved",
            "share apply",
        ],
    );

    let key = format!("releases/{release}/manifest.json");
    let manifest = object(&house, &key).expect("a manifest");
    let unfinished = manifest.replace("\"published\"", "\"publishing\"");
    assert_ne!(unfinished, manifest);
    put(&house, &key, &unfinished);
    let advice = format!("alpine-ami publish {release}");
    refused(
        &house,
        &[&release, "--to", "stable"],
        &["is not published", &advice],
    );
    put(&house, &key, &manifest);

    // Of a newer version of this program: it failed, and the document is as it was.
    let channel = object(&house, "channels/nightly.json").expect("a document");
    let newer = channel.replace("\"schema\": 1", "\"schema\": 99");
    put(&house, "channels/stable.json", &newer);
    let said = promote(&house, &release, "stable").failed(1);
    let words = [
        &format!("s3://{BUCKET}/channels/stable.json"),
        "has format 99",
        "update alpine-ami",
    ];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    assert_eq!(object(&house, "channels/stable.json"), Some(newer));

    house.configure(&house.config().replace("bucket = ", "# bucket = "));
    let said = promote(&house, &release, "stable").failed(2);
    assert!(said.contains("[publish] lacks bucket"), "{said}");
}

#[test]
fn two_at_once_lose_nothing() {
    let house = House::new();
    let releases = [
        release(&house, "x86_64"),
        release(&house, "x86_64"),
        release(&house, "aarch64"),
    ];
    // All of them have read before the first one writes.
    let delay = json!({ "delay": { "ms": 1000 } });
    house
        .place
        .fault(json!({ "operation": "PutObject", "times": 3, "action": delay }));
    let children = releases
        .each_ref()
        .map(|release| start(&house, release, "nightly"));
    let told = children
        .map(|child| -> Value { serde_json::from_str(&ended(child).done()).expect("JSON") });
    let refused = house.calls("operation=PutObject");
    let refused = refused.iter().filter(|call| call["status"] == 412).count();
    assert!(refused > 0, "they were not at once");

    let stays = stays(&house, "nightly");
    assert_eq!(stays.len(), 3, "{stays:?}");
    let is_in = |release: &String| stays.contains(&(release.clone(), true));
    let [one, other, arm] = &releases;
    assert!(is_in(arm) && is_in(one) != is_in(other), "{stays:?}");
    assert_eq!(told[2]["before"], json!(null));
    // The one that is there took the other's place, and says so.
    let (last, gone) = match is_in(one) {
        true => (&told[0], other),
        false => (&told[1], one),
    };
    assert_eq!(last["before"], json!(gone));
}

/// A write that was done, and another one after it before this run could learn so.
#[test]
fn its_own_write_is_known_behind_another_ones() {
    let house = House::new();
    let (before, first, next) = (
        release(&house, "x86_64"),
        release(&house, "x86_64"),
        release(&house, "x86_64"),
    );
    promote(&house, &before, "nightly").done();
    let fault = |nth: u64, action: &str| {
        let rule = json!({ "operation": "PutObject", "nth": nth, "action": action });
        house.place.fault(rule)
    };
    fault(1, "close-after");
    // The second attempt gets no answer as long as the other run takes.
    let stalled = fault(2, "stall");
    let child = start(&house, &first, "nightly");
    wait_for_fault(&house, stalled);
    let told = promoted(&house, &next, "nightly");
    assert_eq!(told["before"], json!(first));
    let told: Value = serde_json::from_str(&ended(child).done()).expect("JSON");
    assert_eq!(told["before"], json!(before));
    let expected = [(before, false), (first, false), (next, true)];
    assert_eq!(stays(&house, "nightly"), expected);
}

#[test]
fn lost_answers_are_asked_for() {
    let house = House::new();
    let config = house.config();
    house.configure(&config.replace("total_seconds = 30", "total_seconds = 3"));
    let (first, next) = (release(&house, "x86_64"), release(&house, "x86_64"));
    promote(&house, &first, "nightly").done();
    // Once, by the call itself; always, by a look afterwards.
    let lost =
        |times: u64| json!({ "operation": "PutObject", "times": times, "action": "close-after" });
    house.place.fault(lost(1));
    assert_eq!(promoted(&house, &next, "nightly")["before"], json!(first));
    no_more_faults(&house);
    house.place.fault(lost(1000));
    assert_eq!(promoted(&house, &first, "nightly")["before"], json!(next));
    no_more_faults(&house);

    // Nor can anybody look: it says that it does not know, and the next run knows.
    house.place.fault(lost(1000));
    // The manifest and the channel are read before.
    house
        .place
        .fault(json!({ "operation": "GetObject", "skip": 2, "action": "close-before" }));
    let said = promote(&house, &next, "nightly").failed(1);
    let unknown = format!("whether {next} came into nightly is not known: s3:");
    assert!(said.contains(&unknown), "{said}");
    let advice = "if it says that the release is there already, this run did it";
    assert!(said.contains(advice), "{said}");
    no_more_faults(&house);
    let said = promote(&house, &next, "nightly").failed(2);
    assert!(said.contains("is in nightly already, since"), "{said}");
    let last = stays(&house, "nightly").pop().expect("a stay");
    assert_eq!(last, (next.clone(), true));
    assert_eq!(stays(&house, "nightly").len(), 4);

    // A no is a no.
    house
        .place
        .fault(json!({ "operation": "PutObject", "action": "deny" }));
    let said = promote(&house, &first, "nightly").failed(1);
    assert!(
        said.contains("s3:PutObject") && !said.contains("not known"),
        "{said}"
    );
    assert_eq!(stays(&house, "nightly").len(), 4);
}

/// At each call, before its work and after it; the next run ends the same.
#[test]
fn killed_at_every_call_and_run_again() {
    let house = House::new();
    let mut releases = [release(&house, "x86_64"), release(&house, "x86_64")];
    let mut count = 0;
    for operation in ["GetCallerIdentity", "HeadBucket", "GetObject", "PutObject"] {
        for is_done in [false, true] {
            let [release, other] = &releases;
            let fault = |nth: u64, action: &str| {
                let rule = json!({ "operation": operation, "nth": nth, "action": action });
                house.place.fault(rule)
            };
            let stalled = match is_done {
                false => fault(1, "stall"),
                true => {
                    fault(1, "close-after");
                    fault(2, "stall")
                }
            };
            let mut child = start(&house, release, "nightly");
            wait_for_fault(&house, stalled);
            child.kill().expect("it is there");
            child.wait().expect("it ended");
            no_more_faults(&house);
            let again = promote(&house, release, "nightly");
            match is_done && operation == "PutObject" {
                true => {
                    let said = again.failed(2);
                    assert!(said.contains("a run of yours that was cut off"), "{said}");
                }
                false => drop(again.done()),
            }
            count += 1;
            let stays = stays(&house, "nightly");
            assert_eq!(stays.len(), count, "{operation}");
            assert_eq!(stays.last(), Some(&(release.clone(), true)));
            assert!(!stays.contains(&(other.clone(), true)));
            releases.reverse();
        }
    }
}

/// Told to stop while it looks, it moves nothing; while it writes, it ends that first.
#[test]
fn told_to_stop() {
    use rustix::process::{Pid, Signal, kill_process};
    let house = House::new();
    let release = release(&house, "x86_64");
    for (operation, status, words) in [
        ("HeadBucket", 1, "told to stop (SIGTERM); nothing was moved"),
        ("PutObject", 0, "told to stop (SIGTERM)"),
    ] {
        let stall = json!({ "operation": operation, "nth": 1, "action": "stall" });
        let fault = house.place.fault(stall);
        let child = start(&house, &release, "nightly");
        wait_for_fault(&house, fault);
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).expect("it is there");
        let ended = ended(child);
        assert_eq!(ended.status, status, "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        assert_eq!(
            object(&house, "channels/nightly.json").is_some(),
            status == 0
        );
        no_more_faults(&house);
    }
}
