//! A release from an image to every Region, and again.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::house::{BLOCKS, House, REGIONS, tag};
use crate::sandbox::client::Expect as _;
use crate::sandbox::things;

#[test]
fn an_image_becomes_an_ami_in_every_region() {
    let house = House::new();
    let image = house.image("one", &[(0, 1), (5, 2), (63, 3)]);
    let published = house.publish(&image, &["--verify"]);
    house.check(&published, &REGIONS[..2]);
    house.check_no_orphans(1);
    let release = published["release"].as_str().expect("a release");
    assert!(release.starts_with("base-3.15-x86_64-"), "{release}");
    assert!(release.ends_with(".1"), "{release}");
    for region in &REGIONS[..2] {
        let snapshot = published["regions"][region]["snapshot"].as_str();
        house.check_bytes(region, snapshot.expect("a snapshot"), &image);
        let images = house.images(region);
        let told = &images[0];
        let name = told.text("name");
        assert!(
            name.starts_with("tests/base/3.15/alpine-3.15.11/x86_64/"),
            "{name}"
        );
        for (what, expected) in [
            ("architecture", "x86_64"),
            ("bootMode", "uefi-preferred"),
            ("enaSupport", "true"),
            ("imdsSupport", "v2.0"),
            ("rootDeviceName", "/dev/xvda"),
            ("virtualizationType", "hvm"),
            ("isPublic", "false"),
            ("blockDeviceMapping/item[0]/deviceName", "/dev/xvda"),
            ("blockDeviceMapping/item[0]/ebs/volumeType", "gp3"),
            ("blockDeviceMapping/item[0]/ebs/volumeSize", "1"),
            ("blockDeviceMapping/item[0]/ebs/encrypted", "true"),
            ("blockDeviceMapping/item[0]/ebs/deleteOnTermination", "true"),
        ] {
            assert_eq!(told.text(what), expected, "{region}: {what}");
        }
        assert_eq!(tag(told, "alpine-ami:release").as_deref(), Some(release));
    }
    // A block may be sent again where the machine is so busy that its answer comes late.
    let puts = house.calls("operation=PutSnapshotBlock");
    let path = |call: &Value| call["parameters"]["path"].as_str().map(str::to_owned);
    let blocks: BTreeSet<String> = puts.iter().filter_map(path).collect();
    assert_eq!(blocks.len(), BLOCKS as usize);
    assert_eq!(published["upload"]["blocks_sent"], BLOCKS);

    // Once more: everything is there, nothing is made.
    let before = house.calls("").len();
    let again = house.publish(&image, &[]);
    assert_eq!(again["release"], published["release"]);
    assert_eq!(again["regions"], published["regions"]);
    for call in &house.calls("")[before..] {
        let operation = call["operation"].as_str().unwrap_or_default();
        let makes = [
            "StartSnapshot",
            "PutSnapshotBlock",
            "RegisterImage",
            "CopyImage",
            "CreateTags",
        ];
        assert!(!makes.contains(&operation), "{operation}");
    }
    let unchanged = house.run(&[
        "publish",
        image.to_str().expect("a path"),
        "--exit-unchanged",
    ]);
    assert_eq!(unchanged.status, 4, "{}", unchanged.stderr);
}

#[test]
fn a_region_is_added_to_an_old_release() {
    let house = House::new();
    let image = house.image("one", &[(1, 1)]);
    let first = house.publish(&image, &[]);
    let release = first["release"].as_str().expect("a release");
    let args = [
        "publish",
        release,
        "--add-region",
        REGIONS[2],
        "--output",
        "json",
    ];
    let added: serde_json::Value = serde_json::from_str(&house.run(&args).done()).expect("JSON");
    house.check(&added, &REGIONS);
    assert_eq!(added["regions"][REGIONS[0]], first["regions"][REGIONS[0]]);
    assert_eq!(house.calls("operation=CopyImage").len(), 2);
    // What the release is, it stays: the next run asks for no less.
    let again = house.publish(&image, &[]);
    house.check(&again, &REGIONS);
}

#[test]
fn a_failing_region_undoes_no_other() {
    let house = House::new();
    house.configure(&house.config().replace(
        &format!("\"{}\"]", REGIONS[1]),
        &format!("\"{}\", \"{}\"]", REGIONS[1], REGIONS[2]),
    ));
    let image = house.image("one", &[(1, 1)]);
    let reason = "Given key ID is not accessible";
    house.place.fault(json!({
        "operation": "CopyImage", "region": REGIONS[1], "nth": 1,
        "action": {"fail-later": {"reason": reason}}
    }));
    let folder = image.to_str().expect("a path");
    let ended = house.run(&["publish", folder, "--output", "json"]);
    assert_eq!(ended.status, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(told["state"], "incomplete");
    assert_eq!(
        told["regions"][REGIONS[2]]["state"], "available",
        "{told:#}"
    );
    let error = told["regions"][REGIONS[1]]["error"].as_str();
    assert!(
        error.is_some_and(|error| error.contains(reason)),
        "{told:#}"
    );
    // The failed copy and its snapshot are gone.
    assert!(house.images(REGIONS[1]).is_empty());
    assert!(house.snapshots(REGIONS[1]).is_empty());

    let published = house.publish(&image, &[]);
    house.check(&published, &REGIONS);
    // Two at first, and the one that failed again.
    assert_eq!(house.calls("operation=CopyImage").len(), 3);
    assert_eq!(house.calls("operation=StartSnapshot").len(), 1);
}

#[test]
fn a_snapshot_and_an_ami_can_be_published() {
    let house = House::new();
    let home = house.client(REGIONS[0]);
    // As a build instance leaves it: under the right key, of no release.
    let blocks: Vec<(u32, Vec<u8>)> = vec![(0, things::block(1)), (7, things::block(2))];
    let key = house.keys[REGIONS[0]].as_str();
    let snapshot = things::snapshot(&home, &blocks, Some(key));
    let about = ["--profile", "base", "--arch", "x86_64", "--output", "json"];

    let bare = house.run(&["publish", &snapshot]).failed(2);
    assert!(bare.contains("--profile"), "{bare}");
    let args = [&["publish", &snapshot], &about[..]].concat();
    let told: serde_json::Value = serde_json::from_str(&house.run(&args).done()).expect("JSON");
    house.check(&told, &REGIONS[..2]);
    assert_eq!(told["regions"][REGIONS[0]]["snapshot"], snapshot);
    let abroad = told["regions"][REGIONS[1]]["snapshot"]
        .as_str()
        .expect("an id");
    let copied = house.blocks(REGIONS[1], abroad);
    assert!(
        blocks
            .iter()
            .all(|(index, data)| copied.get(index) == Some(data))
    );
    let again: serde_json::Value = serde_json::from_str(&house.run(&args).done()).expect("JSON");
    assert_eq!(again["release"], told["release"]);

    // An AMI in another Region, under another key: it is copied home under the release's key.
    let other = things::snapshot(
        &house.client(REGIONS[1]),
        &blocks,
        Some(&house.keys[REGIONS[1]]),
    );
    let more = [("ImdsSupport", "v2.0"), ("BootMode", "uefi-preferred")];
    let made = things::register(&house.client(REGIONS[1]), "made by hand", &other, &more);
    let ami = format!("{}@{}", made.done("an AMI").text("imageId"), REGIONS[1]);
    let args = [&["publish", &ami], &about[..]].concat();
    let second: serde_json::Value = serde_json::from_str(&house.run(&args).done()).expect("JSON");
    assert_ne!(second["release"], told["release"]);
    house.check(&second, &REGIONS[..2]);
}

#[test]
fn two_runs_do_not_publish_the_same_release() {
    let house = House::new();
    let image = house.image("one", &[(3, 3)]);
    // The first one stands still while it sends.
    house.place.fault(json!({
        "operation": "PutSnapshotBlock", "nth": 100, "action": {"delay": {"ms": 2500}}
    }));
    let folder = image.to_str().expect("a path");
    let mut first = house
        .program()
        .args(["publish", folder, "--output", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    house.wait_for_calls("PutSnapshotBlock", 100);
    let second = house.run(&["publish", folder]).failed(1);
    assert!(
        second.contains(&format!("process {}", first.id())),
        "{second}"
    );
    let ended = first.wait().expect("it ends");
    assert!(ended.success());
    let published = house.publish(&image, &[]);
    house.check(&published, &REGIONS[..2]);
    house.check_no_orphans(1);
}
