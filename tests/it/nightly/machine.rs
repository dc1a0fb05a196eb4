//! A night on this machine: the image is built here, boots here, and is published.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::least::{actions, confine, printed, role};
use crate::publish::house::House;
use crate::sandbox::place::HOME;
use crate::support::{Ended, demo_mirror};

/// A small profile.
const PROFILE: &str = "description = \"of a test\"\ninclude = [\"core\"]\nversion = \"1\"\n";

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

/// An image that does not pass is not published, nor built again. One that does is published; the
/// night that was killed before it promoted it needs no other boot.
#[test]
fn nights_on_this_machine() {
    let house = House::new();
    let config = house.config().replace("volume_gib = 1", "volume_gib = 2");
    house.configure(&format!("{config}\n[paths]\nprofiles = [\"profiles\"]\n"));
    let profile = house.folder().join("profiles/tiny.toml");
    fs::create_dir(house.folder().join("profiles")).expect("a folder");
    let failing = format!("{PROFILE}\n[checks.never]\nrun = \"false\"\n");
    fs::write(&profile, failing).expect("written");
    for built in ["build done", "build skipped"] {
        let image = night(&house, 1);
        assert_eq!(steps(&image)[1], built, "{image:#}");
        let error = image["steps"][2]["error"].as_str().expect("an error");
        assert!(
            error.contains("under bios") && error.contains("never"),
            "{error}"
        );
        assert_eq!(image["release"], Value::Null);
        assert!(house.images(HOME).is_empty());
    }

    // From here on in a role that may do what such a night needs, and launch nothing.
    let least = printed(&house, "nightly");
    assert!(!actions(&least).contains(&"ec2:RunInstances".to_owned()));
    confine(&house, "nightly", &least);
    let file = house.folder().join("alpine-ami.toml");
    let config = fs::read_to_string(&file).expect("a configuration");
    let role = role("nightly");
    let config = config.replace("[aws]\n", &format!("[aws]\nassume_role = \"{role}\"\n"));
    house.configure(&config);

    fs::write(&profile, PROFILE).expect("written");
    // One session publishes, the next one promotes.
    let rule = json!({ "operation": "GetCallerIdentity", "nth": 2, "action": "stall" });
    let fault = house.place.fault(rule);
    let run = command(&house)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("it starts");
    assert!(house.kill_at(run, fault).is_none(), "it ended");
    house.place.control("DELETE", "faults", Value::Null);
    assert_eq!(house.images(HOME).len(), 1);

    let image = night(&house, 0);
    assert_eq!(image["outcome"], "published", "{image:#}");
    let expected = [
        "lock done",
        "build skipped",
        "test skipped",
        "publish skipped",
        "share skipped",
        "promote done",
        "prune skipped",
    ];
    assert_eq!(steps(&image), expected, "{image:#}");
    let image = night(&house, 4);
    assert_eq!(image["outcome"], "unchanged", "{image:#}");
    assert_eq!(house.images(HOME).len(), 1);
}
