//! Builds that go well: what is made, what is left, and what another run finds.

use std::fs;

use alpine_ami::builder::ec2::program::Program;
use alpine_ami::image::manifest::Manifest;
use serde_json::Value;

use super::yard::{GOOD, Worker, Yard};
use crate::publish::house::{REGIONS, tag};
use crate::sandbox::client::Expect as _;
use crate::sandbox::place::HOME;
use crate::support::{self, run, skip};

#[test]
fn a_build_leaves_a_snapshot_that_is_published() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    let told = yard.build();
    yard.check_built(&told);
    assert_eq!(told["new"], true);
    let instances = yard.instances();
    assert_eq!(instances.len(), 1);
    let launched = &yard.house.calls("operation=RunInstances")[0];
    assert_eq!(launched["error"], Value::Null, "{launched:#}");

    // Nothing is built twice; another folder gets the manifest all the same.
    fs::remove_dir_all(yard.out()).expect("removed");
    let again = yard.build();
    assert_eq!(again["snapshot"], told["snapshot"]);
    assert_eq!(again["new"], false);
    assert_eq!(yard.instances().len(), 1);
    yard.check_built(&again);

    let published = yard.house.publish(&yard.out(), &[]);
    yard.house.check(&published, &REGIONS[..2]);
    let snapshot = published["regions"][HOME]["snapshot"].clone();
    assert_eq!(snapshot, told["snapshot"]["id"]);
    let said = support::Ended::from(
        yard.house
            .program()
            .args(["test"])
            .arg(yard.out())
            .output()
            .expect("it starts"),
    );
    let said = said.failed(2);
    assert!(said.contains("not in a file"), "{said}");
}

#[test]
fn everything_is_tagged_and_has_an_end() {
    let worker = Worker::new(&format!("report('waiting')\ntime.sleep(1)\n{GOOD}"));
    let yard = Yard::new(&worker.path);
    let mut child = yard
        .command(&["base", "--arch", "x86_64"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    yard.house.wait_for_calls("RunInstances", 1);
    let home = yard.house.client(HOME);
    let begun = std::time::Instant::now();
    let instance = loop {
        if let Some(instance) = yard.instances().pop() {
            break instance;
        }
        assert!(begun.elapsed().as_secs() < 60, "no instance");
    };
    let volumes = home.ec2("DescribeVolumes", &[]).done("volumes");
    assert_eq!(volumes.items("volumeSet").len(), 2, "{volumes:#?}");
    for thing in volumes.items("volumeSet").iter().chain([&instance]) {
        for name in ["build", "run", "job", "end-of-life"] {
            let found = tag(thing, &format!("alpine-ami:{name}"));
            assert!(found.is_some(), "{name}: {thing:#?}");
        }
    }
    for volume in volumes.items("volumeSet") {
        assert_eq!(volume.text("encrypted"), "true");
        assert_eq!(volume.text("kmsKeyId"), yard.house.keys[HOME]);
    }
    let options = "metadataOptions";
    assert_eq!(instance.text(&format!("{options}/httpTokens")), "required");
    assert_eq!(
        instance.text(&format!("{options}/httpPutResponseHopLimit")),
        "1"
    );
    assert!(child.wait().expect("it ends").success());
    yard.check_left(1);
}

#[test]
fn several_images_are_built_at_once() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    // The stand-in says of both that they are `base`, which is right for one of them.
    let more = ["base", "builder", "--arch", "x86_64"];
    let ended = support::Ended::from(yard.command(&more).output().expect("it starts"));
    assert_eq!(ended.status, 1, "{}", ended.stderr);
    let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(told["images"][0]["profile"], "base");
    assert_eq!(told["failed"][0]["image"], "builder-x86_64");
    let error = told["failed"][0]["error"].as_str().expect("text");
    assert!(
        error.contains("has the profile base, not builder"),
        "{error}"
    );
    assert!(
        ended.stderr.contains("1 of 2 images were not built"),
        "{}",
        ended.stderr
    );
    assert!(yard.out().join("base-x86_64/manifest.json").is_file());
    yard.check_left(1);
}

/// The whole thing with this program as the worker: the volume is what a local build makes.
#[test]
fn what_an_instance_builds_is_what_is_built_here() {
    let own = env!("CARGO_BIN_EXE_alpine-ami").as_ref();
    let host = alpine_ami::arch::Arch::host().expect("one of ours");
    if let Err(error) = Program::find(None, own, host) {
        let test = "what_an_instance_builds_is_what_is_built_here";
        return skip(
            test,
            &format!("{error}; scripts/test builds one that will do"),
        );
    }
    let yard = Yard::new(own);
    let told = yard.build();
    let local = yard.house.folder().join("local");
    let mirror = support::demo_mirror();
    run([
        "build".as_ref(),
        "base".as_ref(),
        "--arch".as_ref(),
        "x86_64".as_ref(),
        "--mirror".as_ref(),
        mirror.as_os_str(),
        "--keys-dir".as_ref(),
        mirror.join("keys").as_os_str(),
        "--out".as_ref(),
        local.as_os_str(),
    ])
    .done();
    let snapshot = told["snapshot"]["id"].as_str().expect("an id");
    yard.house.check_all_bytes(HOME, snapshot, &local, 4096);
    let built = Manifest::read(&yard.out()).expect("a manifest");
    let expected = Manifest::read(&local).expect("a manifest");
    let bill = |folder: &std::path::Path| fs::read(folder.join("sbom.spdx.json"));
    assert_eq!(
        bill(&yard.out()).expect("a bill"),
        bill(&local).expect("a bill")
    );
    assert!(built.snapshot.is_some());
    assert_eq!(
        Manifest {
            snapshot: None,
            ..built
        },
        expected
    );
    yard.check_left(1);
}
