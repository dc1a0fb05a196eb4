//! Nights, one after the other.

use std::fs;

use super::town::Town;
use crate::publish::house::{BUCKET, REGIONS};
use crate::sandbox::client::{Call, Expect as _};
use crate::sandbox::place::{CUSTOMER, HOME};
use crate::support::Ended;

const ALL: &str =
    "lock done, build done, test skipped, publish done, share skipped, promote done, prune skipped";

#[test]
fn the_first_night_publishes_and_the_second_finds_nothing() {
    let town = Town::new();
    town.configure("[nightly]\nprofiles = [\"base\"]");
    let folder = town.yard.house.folder();
    let file = |name: &str| fs::read_to_string(folder.join(name)).expect(name);
    fs::write(folder.join("summary.md"), "what stood there\n").expect("written");
    let reports = [
        "--report-junit",
        "junit.xml",
        "--report-markdown",
        "report.md",
        "--report-json",
        "report.json",
    ];
    let output = town
        .command(&reports)
        .env("GITHUB_STEP_SUMMARY", folder.join("summary.md"))
        .output();
    let output = output.expect("it starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(file("report.json").as_bytes(), output.stdout);
    assert!(file("junit.xml").contains("<testcase name=\"publish\""));
    let release = town.releases().remove(0);
    assert!(file("report.md").contains(&release));
    let summary = file("summary.md");
    assert_eq!(
        summary,
        format!("what stood there\n{}", file("report.md")),
        "{summary}"
    );

    // What was locked for it lies beside it; locks that people keep are theirs.
    assert!(file("nights/base-x86_64/lock.toml").contains("profile = \"base\""));
    assert!(!folder.join("locks").exists());

    let second = town.night(&["--exit-unchanged"]);
    assert_eq!(second.status, 4, "{}", second.said);
    assert_eq!(second.outcome(0), "unchanged");
    assert_eq!(
        second.steps(0),
        "lock done, build skipped, test skipped, publish skipped, share skipped, promote skipped, prune skipped"
    );
    assert!(
        second
            .said
            .contains(&format!("base-x86_64: unchanged since {release}")),
        "{}",
        second.said
    );
    town.check_base(&second);
    assert_eq!(town.yard.instances().len(), 1);

    let third = town.night(&[]);
    assert_eq!(third.status, 0, "{}", third.said);
    // What is built once more is the same, and stays the same release.
    let forced = town.night(&["--force", "--exit-unchanged"]);
    assert_eq!(forced.status, 4, "{}", forced.said);
    assert_eq!(
        forced.steps(0),
        "lock done, build skipped, test skipped, publish skipped, share skipped, promote skipped, prune skipped"
    );
    town.check_base(&forced);
}

#[test]
fn one_failing_image_does_not_stop_the_others() {
    let town = Town::new();
    town.profile("broken", "packages = [\"no-such-package\"]");
    town.profile("typo", "pakcages = [\"chrony\"]");
    // Nobody listens on a port of the kernel's own.
    town.profile(
        "far",
        "repositories = [{ url = \"http://127.0.0.1:1/alpine\" }]",
    );
    let args = ["broken", "base", "typo", "far", "--jobs", "2"];
    let night = town.night(&[&args[..], &["--exit-unchanged"]].concat());
    assert_eq!(night.status, 1, "{}", night.said);
    let images = night.report["images"].as_array().expect("images").iter();
    let told: Vec<_> = images
        .map(|image| (image["profile"].as_str(), image["outcome"].as_str()))
        .collect();
    let expected = [
        ("broken", "failed"),
        ("base", "published"),
        ("typo", "failed"),
        ("far", "failed"),
    ];
    assert_eq!(
        told,
        expected.map(|(profile, outcome)| (Some(profile), Some(outcome)))
    );
    assert_eq!(night.steps(1), ALL);
    let release = night.report["images"][1]["release"].as_str();
    assert_eq!(town.stays("nightly"), [release.expect("a release")]);
    for (place, words, advice) in [
        (0, "no-such-package", "--repository"),
        (2, "typo.toml:3:1", "packages"),
        (3, "127.0.0.1:1", "mirror"),
    ] {
        let lock = night.step(place, "lock");
        let text = |key: &str| lock[key].as_str().unwrap_or_default().to_owned();
        assert!(text("error").contains(words), "{lock:#}");
        assert!(text("advice").contains(advice), "{lock:#}");
        assert_eq!(
            night.step(place, "build")["why"],
            "not reached",
            "{}",
            night.report
        );
    }
}

/// A Region that the configuration gets later, and one that fails at first.
#[test]
fn what_is_missing_is_finished_and_nothing_else_is_done() {
    let town = Town::new();
    let abroad = REGIONS[1];
    let fault = serde_json::json!({
        "operation": "CopyImage", "region": abroad, "action": "deny",
    });
    town.yard.house.place.fault(fault);
    let first = town.night(&["base"]);
    assert_eq!(first.status, 1, "{}", first.said);
    let publish = first.step(0, "publish");
    assert_eq!(publish["outcome"], "failed", "{publish:#}");
    let error = publish["error"].as_str().expect("an error");
    assert!(error.contains(abroad), "{error}");
    assert!(town.stays("nightly").is_empty(), "it is not everywhere");

    town.yard
        .house
        .place
        .control("DELETE", "faults", serde_json::Value::Null);
    let second = town.night(&["base"]);
    assert_eq!(second.status, 0, "{}", second.said);
    assert_eq!(
        second.steps(0),
        "lock done, build skipped, test skipped, publish done, share skipped, promote done, prune skipped"
    );
    town.check_base(&second);

    let regions = |names: &[&str]| format!("regions = [\"{}\"]", names.join("\", \""));
    town.reconfigure(&regions(&REGIONS[..2]), &regions(&REGIONS));
    let third = town.night(&["base", "--exit-unchanged"]);
    assert_eq!(third.status, 0, "{}", third.said);
    assert_eq!(third.outcome(0), "published");
    // Customers read of the new Region; the channel is where it was.
    assert_eq!(town.stays("nightly").len(), 1);
    let amis = third.report["images"][0]["amis"].as_object();
    assert_eq!(amis.expect("AMIs").len(), 3);
    assert_eq!(town.releases().len(), 1);
    assert_eq!(town.night(&["base", "--exit-unchanged"]).status, 4);
}

#[test]
fn customers_get_what_came_into_their_channel() {
    let town = Town::new();
    let customers =
        format!("[customers.acme]\naccounts = [\"{CUSTOMER}\"]\nchannels = [\"nightly\"]\n");
    let file = town.yard.house.folder().join("customers.toml");
    fs::write(&file, customers).expect("written");
    let first = town.night(&["base"]);
    assert_eq!(first.status, 0, "{}{:#}", first.said, first.report);
    let second = town.night(&["base"]);
    assert_eq!(second.status, 0, "{}{:#}", second.said, second.report);
    for region in &REGIONS[..2] {
        let ami = second.report["images"][0]["amis"][region].as_str();
        let customer = town.yard.house.place.customer().in_region(region);
        let seen = customer.ec2("DescribeImages", &[("ImageId.1", ami.expect("an AMI"))]);
        assert_eq!(seen.done("images").items("imagesSet").len(), 1, "{region}");
    }

    // Whom to give what must be known before anything is done.
    let good = fs::read(&file).expect("customers");
    fs::write(&file, "[customers.acme]\nchannels = [\"nightly\"]\n").expect("written");
    let third = Ended::from(town.command(&["base"]).output().expect("it starts"));
    assert!(third.failed(2).contains("customers.toml"));
    fs::write(&file, good).expect("written");
    town.configure("[nightly]\nshare = false");
    let fourth = town.night(&["base", "--exit-unchanged"]);
    assert_eq!(fourth.status, 4, "{}", fourth.said);
    assert_eq!(fourth.step(0, "share")["why"], "nightly.share is false");
}

/// Somebody took the release out of the channel: it does not come back by itself.
#[test]
fn what_was_taken_out_of_the_channel_stays_out() {
    let town = Town::new();
    let before = town.yard.house.image("before", &[(0, 1)]);
    let before = town.yard.house.publish(&before, &[]);
    let before = before["release"].as_str().expect("a release");
    let first = town.night(&["base"]);
    assert_eq!(first.status, 0, "{}", first.said);
    assert_eq!(first.report["images"][0]["previous"], before);
    let back = ["promote", before, "--to", "nightly"];
    town.yard.house.run(&back).done();
    let stays = town.stays("nightly");

    let night = town.night(&["base"]);
    assert_eq!(night.status, 0, "{}", night.said);
    assert_eq!(town.stays("nightly"), stays);
}

/// A mirror that serves what was current before the last release: customers would get old packages.
#[test]
fn an_index_older_than_the_last_release_s_is_refused() {
    let town = Town::new();
    let first = town.night(&["base"]);
    assert_eq!(first.status, 0, "{}", first.said);
    let release = town.releases().remove(0);
    let path = format!("/{BUCKET}/releases/{release}/manifest.json");
    let client = town.yard.house.client(HOME);
    let manifest = client.s3(&Call::new("GET", &path)).done("a manifest");
    let mut manifest: serde_json::Value =
        serde_json::from_str(&manifest.text()).expect("a manifest");
    manifest["image"]["lock"]["indexes"][0]["date"] = "2999-01-01T00:00:00Z".into();
    let call = Call::new("PUT", &path).body(manifest.to_string());
    client.s3(&call).done("a manifest");

    let second = town.night(&["base", "--exit-unchanged"]);
    assert_eq!(second.status, 1, "{}", second.said);
    let lock = second.step(0, "lock");
    let error = lock["error"].as_str().expect("an error");
    assert!(
        error.contains(&format!(
            "older than that of 2999-01-01 00:00:00 UTC which the release {release} was made from"
        )),
        "{error}"
    );
    let advice = lock["advice"].as_str().expect("advice");
    assert!(advice.contains("give --accept-older"), "{advice}");
    assert_eq!(town.releases().len(), 1);
    let third = town.night(&["base", "--exit-unchanged", "--accept-older"]);
    assert_eq!(third.status, 4, "{}", third.said);
}
