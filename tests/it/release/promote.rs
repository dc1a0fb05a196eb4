//! Releases come into channels: one after the other, at once, with answers lost.

use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{object, put};
use crate::publish::house::{BUCKET, House, REGIONS};
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
        "{first} → nightly, the first of its profile and architecture there\n  \
         ok  available in 2 Regions\n  ok  no customer gets it\n{first} is in nightly\n"
    );
    assert_eq!(said, expected);
    let told = promoted(&house, &arm, "nightly");
    let of = |key: &str| told[key].clone();
    assert_eq!(
        (of("release"), of("channel")),
        (json!(arm), json!("nightly"))
    );
    assert_eq!((of("before"), of("moved")), (json!(null), json!(true)));
    assert_eq!(of("customers"), json!([]));
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
    assert!(said.ends_with(&words), "{said}");
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
    let newer = channel.replace("\"schema\": 2", "\"schema\": 99");
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

/// One wins, the other says so, and a third that is about another architecture loses nothing.
#[test]
fn two_at_once_lose_nothing() {
    let house = House::new();
    let releases = [
        release(&house, "x86_64"),
        release(&house, "x86_64"),
        release(&house, "aarch64"),
    ];
    // All of them have read before the first one has the lease.
    let delay = json!({ "delay": { "ms": 1000 } });
    house
        .place
        .fault(json!({ "operation": "PutObject", "times": 3, "action": delay }));
    let children = releases
        .each_ref()
        .map(|release| start(&house, release, "nightly"));
    let [one, other, arm] = children.map(ended);
    arm.done();
    let (won, lost) = match one.status {
        0 => (0, other),
        _ => (1, one),
    };
    let said = lost.failed(1);
    let words = format!("nightly was moved meanwhile: {} is there", releases[won]);
    assert!(
        said.contains(&words) && said.contains("nothing was moved by this run"),
        "{said}"
    );
    let stays = stays(&house, "nightly");
    assert_eq!(stays.len(), 2, "{stays:?}");
    assert!(stays.contains(&(releases[won].clone(), true)), "{stays:?}");
    assert!(stays.contains(&(releases[2].clone(), true)), "{stays:?}");
    // It is not lost: who still wants it asks again.
    promote(&house, &releases[1 - won], "nightly").done();
}

#[test]
fn lost_answers_are_asked_for() {
    let house = House::new();
    let config = house.config();
    house.configure(&config.replace("total_seconds = 30", "total_seconds = 3"));
    let (first, next) = (release(&house, "x86_64"), release(&house, "x86_64"));
    promote(&house, &first, "nightly").done();
    // The lease, what was there before, the channel: that one is written, and nobody hears of it.
    let lost = |more: Value| {
        let mut rule = json!({ "operation": "PutObject", "action": "close-after" });
        for (name, value) in more.as_object().expect("names") {
            rule[name] = value.clone();
        }
        house.place.fault(rule);
    };
    lost(json!({ "nth": 3 }));
    assert_eq!(promoted(&house, &next, "nightly")["before"], json!(first));
    no_more_faults(&house);
    assert_eq!(stays(&house, "nightly").len(), 2);

    // Never an answer any more: the channel is moved, the page is not, and the next run ends it.
    lost(json!({ "skip": 2 }));
    promote(&house, &first, "nightly").failed(1);
    no_more_faults(&house);
    let again = promote(&house, &first, "nightly");
    assert!(matches!(again.status, 0 | 2), "{}", again.stderr);
    let last = stays(&house, "nightly").pop().expect("a stay");
    assert_eq!(last, (first.clone(), true));
    assert_eq!(stays(&house, "nightly").len(), 3);

    // A no is a no.
    house
        .place
        .fault(json!({ "operation": "PutObject", "action": "deny" }));
    let said = promote(&house, &next, "nightly").failed(1);
    assert!(
        said.contains("s3:PutObject") && !said.contains("not known"),
        "{said}"
    );
    assert_eq!(stays(&house, "nightly").len(), 3);
}

/// Told to stop while it looks, it moves nothing; while it writes, it ends that first.
#[test]
fn told_to_stop() {
    use rustix::process::{Pid, Signal, kill_process};
    let house = House::new();
    let release = release(&house, "x86_64");
    for (operation, nth, status, words) in [
        (
            "HeadBucket",
            1,
            1,
            "told to stop (SIGTERM); nothing was moved",
        ),
        // The first is the lease.
        ("PutObject", 2, 0, "told to stop (SIGTERM)"),
    ] {
        let stall = json!({ "operation": operation, "nth": nth, "action": "stall" });
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
