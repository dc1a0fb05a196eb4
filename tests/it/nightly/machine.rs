//! A night on this machine: the image is built here, boots here, and is published.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::publish::house::House;
use crate::support::{Ended, demo_mirror};

/// A small profile, and one firmware: a boot by emulation takes its time.
const PROFILE: &str =
    "description = \"of a test\"\ninclude = [\"core\"]\nversion = \"1\"\nfirmware = [\"-uefi\"]\n";

fn command(house: &House) -> Command {
    let mirror = demo_mirror();
    let mut command = house.program();
    command
        .args(["nightly", "tiny", "--arch", "x86_64", "--exit-unchanged"])
        .args(["--output", "json"])
        .arg("--mirror")
        .arg(&mirror)
        .arg("--keys-dir")
        .arg(mirror.join("keys"))
        .env_remove("GITHUB_STEP_SUMMARY");
    command
}

#[track_caller]
fn night(house: &House, status: i32) -> Value {
    let ended = Ended::from(command(house).output().expect("it starts"));
    assert_eq!(ended.status, status, "{}{}", ended.stdout, ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    report["images"][0].clone()
}

fn steps(image: &Value) -> Vec<String> {
    let steps = image["steps"].as_array().expect("steps").iter();
    let told = steps.map(|step| {
        let text = |key: &str| step[key].as_str().expect(key);
        format!("{} {}", text("step"), text("outcome"))
    });
    told.collect()
}

/// Killed when the image is built and has booted; the next night boots it again and builds nothing.
#[test]
fn a_night_on_this_machine_killed_and_run_again() {
    let house = House::new();
    let config = house.config().replace("volume_gib = 1", "volume_gib = 2");
    house.configure(&format!("{config}\n[paths]\nprofiles = [\"profiles\"]\n"));
    fs::create_dir(house.folder().join("profiles")).expect("a folder");
    fs::write(house.folder().join("profiles/tiny.toml"), PROFILE).expect("written");
    let fault = house
        .place
        .fault(json!({ "operation": "StartSnapshot", "action": "stall" }));
    let run = command(&house)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("it starts");
    assert!(house.kill_at(run, fault).is_none(), "it ended");
    house.place.control("DELETE", "faults", Value::Null);

    let image = night(&house, 0);
    assert_eq!(image["outcome"], "published", "{image:#}");
    let expected = [
        "lock done",
        "build skipped",
        "test done",
        "publish done",
        "share skipped",
        "promote done",
        "prune skipped",
    ];
    assert_eq!(steps(&image), expected, "{image:#}");
    let image = night(&house, 4);
    assert_eq!(image["outcome"], "unchanged", "{image:#}");

    // A check that does not pass: nothing of it is published.
    let failing = format!("{PROFILE}\n[checks.never]\nrun = \"false\"\n");
    fs::write(house.folder().join("profiles/tiny.toml"), failing).expect("written");
    let image = night(&house, 1);
    let test = &image["steps"][2];
    let error = test["error"].as_str().expect("an error");
    assert!(
        error.contains("under bios") && error.contains("never"),
        "{test:#}"
    );
    assert_eq!(image["release"], Value::Null);
    assert_eq!(house.images(crate::sandbox::place::HOME).len(), 1);
}
