//! Back to what was there before, and withdrawal.

use serde_json::{Value, json};

use super::{current, object, payload, put, release, signing};
use crate::publish::house::{House, REGIONS};
use crate::sandbox::client::Expect as _;
use crate::sandbox::place::{CUSTOMER, Place};
use crate::share::street::{PLACES, Street, seen};

fn promote(house: &House, release: &str, channel: &str) {
    house.run(&["promote", release, "--to", channel]).done();
}

#[test]
fn a_channel_goes_back_to_what_was_there() {
    let house = House::new();
    signing(&house);
    let releases = [1, 2, 3].map(|byte| release(&house, byte));
    let said = house.run(&["rollback", "stable"]).failed(2);
    assert!(said.contains("nothing of that profile"), "{said}");
    for release in &releases {
        promote(&house, release, "stable");
    }
    let dry = house.run(&["rollback", "stable", "--dry-run"]);
    assert_eq!(dry.status, 3, "{}", dry.stderr);
    assert_eq!(current(&house, "stable"), [releases[2].clone()]);
    let told = house.run(&[
        "rollback",
        "stable",
        "--reason",
        "it is slow",
        "--output",
        "json",
    ]);
    let told: Value = serde_json::from_str(&told.done()).expect("JSON");
    assert_eq!(
        (&told["from"], &told["to"]),
        (&json!(releases[2]), &json!(releases[1]))
    );
    assert_eq!(current(&house, "stable"), [releases[1].clone()]);
    let page = object(&house, "catalog/index.html").expect("a page");
    assert!(page.contains("it is slow"));
    // Again: that was done, and it does not go further by itself.
    let said = house.run(&["rollback", "stable"]).failed(2);
    assert!(said.contains("has gone back from"), "{said}");
    assert_eq!(current(&house, "stable"), [releases[1].clone()]);
    house
        .run(&["rollback", "stable", "--to", &releases[0]])
        .done();
    assert_eq!(current(&house, "stable"), [releases[0].clone()]);
    let said = house
        .run(&["rollback", "stable", "--to", &releases[0]])
        .failed(2);
    assert!(said.contains("already"), "{said}");
    let said = house.run(&["rollback", "stabel"]).failed(2);
    assert!(said.contains("there is no channel"), "{said}");
    // What comes after a rollback is a promotion like any other.
    promote(&house, &releases[2], "stable");
    house.run(&["rollback", "stable"]).done();
    assert_eq!(current(&house, "stable"), [releases[0].clone()]);
}

/// Who runs it keeps the permission, whoever does not loses it, and nobody finds it in lists.
#[test]
fn what_is_withdrawn_goes_from_everybody_who_does_not_run_it() {
    let street = Street::in_place(Place::with_processes());
    let house = &street.house;
    signing(house);
    house.place.clock_scale(0.0);
    street.file(&["acme", "globex"], "");
    let (first, second) = (street.release(&[(0, 1)]), street.release(&[(0, 1), (1, 2)]));
    promote(house, first.id(), "stable");
    for channel in ["nightly", "stable"] {
        promote(house, second.id(), channel);
    }
    let region = PLACES[0];
    let acme = street.acme.in_region(region);
    let launch = [
        ("ImageId", second.ami(region)),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("InstanceType", "t3.micro"),
    ];
    acme.ec2("RunInstances", &launch).done("an instance");
    let args = [
        "rollback",
        "stable",
        "--withdraw",
        "--reason",
        "a hole",
        "--output",
        "json",
    ];
    let told: Value = serde_json::from_str(&house.run(&args).done()).expect("JSON");
    assert_eq!(told["to"], json!(first.id()));
    // It was the first of its kind in nightly.
    assert_eq!(told["others"], json!([{"channel": "nightly", "to": null}]));
    assert_eq!(
        told["withdrawn"]["running"][region],
        json!([CUSTOMER]),
        "{told}"
    );
    assert_eq!(current(house, "stable"), [first.id()]);
    assert_eq!(current(house, "nightly"), Vec::<String>::new());

    let permissions = |region: &str| {
        let params = [
            ("ImageId", second.ami(region)),
            ("Attribute", "launchPermission"),
        ];
        let answer = house.client(region).ec2("DescribeImageAttribute", &params);
        let answer = answer.done("permissions");
        answer
            .all("userId")
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(permissions(PLACES[0]), [CUSTOMER]);
    assert_eq!(permissions(PLACES[1]), Vec::<String>::new());
    for (_, customer) in &street.customers()[..2] {
        assert!(seen(customer, PLACES[1]).contains(&first.ami(PLACES[1]).to_owned()));
        assert!(!seen(customer, PLACES[1]).contains(&second.ami(PLACES[1]).to_owned()));
    }
    // Nor does the next `share apply` give it back.
    street.apply();
    assert_eq!(permissions(PLACES[1]), Vec::<String>::new());
    let said = house
        .run(&["promote", second.id(), "--to", "stable"])
        .failed(2);
    assert!(
        said.contains("it was withdrawn by") && said.contains("a hole"),
        "{said}"
    );
    let at = format!("{}@{}", second.ami(REGIONS[0]), REGIONS[0]);
    let ended = house.run(&["verify", &at]);
    assert_eq!(ended.status, 3, "{}", ended.stderr);
    let said = ended.stdout;
    assert!(
        said.contains("it was withdrawn by") && said.contains("do not launch it"),
        "{said}"
    );
    let said = house.run(&["rollback", "stable", "--withdraw"]).failed(2);
    assert!(said.contains("has gone back"), "{said}");
}

/// Whoever can write to the bucket could mark a manifest withdrawn that says something else: only what
/// was signed before is signed with its withdrawal.
#[test]
fn what_was_changed_is_not_signed_as_withdrawn() {
    let house = House::new();
    signing(&house);
    let [first, second] = [1, 2].map(|byte| release(&house, byte));
    for release in [&first, &second] {
        promote(&house, release, "stable");
    }
    let plain = format!("releases/{second}/manifest.json");
    let papers = format!("releases/{second}/release.json");
    let [manifest, signed] = [&plain, &papers].map(|key| object(&house, key).expect("an object"));
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let running = json!({ REGIONS[0]: [CUSTOMER] });
    let mark = json!({ "at": "2026-01-01T00:00:00Z", "by": "eve", "running": running });
    for is_marked in [false, true] {
        let mut changed = manifest.clone();
        changed["regions"][REGIONS[1]]["ami"] = json!("ami-0123456789abcdef0");
        if is_marked {
            changed["withdrawn"] = mark.clone();
        }
        let changed = changed.to_string();
        put(&house, &plain, &changed);
        let said = house.run(&["rollback", "stable", "--withdraw"]).failed(1);
        let advice = format!("alpine-ami publish {second}");
        for words in ["does not say what was signed of it", "not signed", &advice] {
            assert!(said.contains(words), "{is_marked}: {said}");
        }
        assert_eq!(object(&house, &papers).as_ref(), Some(&signed));
        assert_eq!(object(&house, &plain), Some(changed));
        assert_eq!(current(&house, "stable"), std::slice::from_ref(&second));
    }
    // As the advice says.
    house.run(&["rollback", "stable"]).done();
    assert_eq!(current(&house, "stable"), [first]);

    // As it was, but for a mark that nobody signed: what is signed is this run's own.
    let mut marked = manifest.clone();
    marked["withdrawn"] = mark;
    put(&house, &plain, &marked.to_string());
    let args = [
        &["rollback", "stable", "--release", &second],
        &["--withdraw", "--reason", "a hole"][..],
    ];
    house.run(&args.concat()).done();
    let said = payload(&object(&house, &papers).expect("it is signed"));
    assert_eq!(said["withdrawn"]["reason"], "a hole");
    assert_ne!(said["withdrawn"]["by"], "eve");
    let nobody = json!({ REGIONS[0]: [], REGIONS[1]: [] });
    assert_eq!(said["withdrawn"]["running"], nobody);
    assert_eq!(said["regions"], manifest["regions"]);
    let lies: Value =
        serde_json::from_str(&object(&house, &plain).expect("a manifest")).expect("JSON");
    assert_eq!(lies["withdrawn"], said["withdrawn"]);
}
