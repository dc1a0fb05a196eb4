//! The whole way on real machines: the builder image boots, assembles another image onto its second
//! disk, and what comes of it is published and boots.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use alpine_ami::arch::Arch;
use alpine_ami::builder::ec2::program::Program;
use alpine_ami::sandbox::machines::GUEST_ENDPOINT;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::publish::house::{House, REGIONS};
use crate::sandbox::client::Expect as _;
use crate::sandbox::place::{HOME, Place};
use crate::sandbox::things;
use crate::support::{Ended, demo_mirror, skip};

/// An emulated machine on a busy host boots in a minute or two.
const PATIENCE: Duration = Duration::from_secs(400);

#[test]
fn a_machine_builds_an_image_that_boots() {
    let host = Arch::host().expect("one of ours");
    let own: &Path = env!("CARGO_BIN_EXE_alpine-ami").as_ref();
    if let Err(error) = Program::find(None, own, host) {
        let test = "a_machine_builds_an_image_that_boots";
        return skip(
            test,
            &format!("{error}; scripts/test builds one that will do"),
        );
    }
    let house = House::in_place(Place::with_machines());
    let worker = stripped(own, house.folder());
    let publish = house.config().replace("volume_gib = 1", "volume_gib = 2");
    house.configure(&publish);
    let builder = build(&house, "builder", &[]);
    publish_at_home(&house, &builder);

    house.configure(&format!(
        "{publish}\n[build]\nminutes = 20\nreport_seconds = {}\ns3_endpoint = \"http://{GUEST_ENDPOINT}\"\n\
         base_images = {{ {host} = \"self/tests/builder/*\" }}\n\
         instance_types = {{ x86_64 = [\"t3.small\"], aarch64 = [\"t4g.small\"] }}\n\
         workers = {{ {host} = \"{}\" }}\n",
        PATIENCE.as_secs(),
        worker.display()
    ));
    let begun = Instant::now();
    let made = build(&house, "base", &["--on", "ec2", "--out", "made"]);
    eprintln!(
        "built by a machine in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    let local = build(&house, "base", &["--out", "local"]);
    let manifest = alpine_ami::image::manifest::Manifest::read(&made).expect("a manifest");
    let snapshot = manifest.snapshot.expect("a snapshot").id;
    house.check_all_bytes(HOME, snapshot.as_str(), &local, 4096);

    let ami = publish_at_home(&house, &made);
    boots(&house, &ami);
}

/// This program without what only debuggers read: it goes through an emulated network.
fn stripped(program: &Path, folder: &Path) -> PathBuf {
    let out = folder.join("worker");
    let done = Command::new("strip")
        .arg("-o")
        .arg(&out)
        .arg(program)
        .status();
    assert!(done.expect("strip, which comes with the linker").success());
    out
}

/// Builds a profile of the demo mirror's packages; where it went.
fn build(house: &House, profile: &str, more: &[&str]) -> PathBuf {
    let mirror = demo_mirror();
    let output = house
        .program()
        .args(["build", profile, "--output", "json"])
        .arg("--mirror")
        .arg(&mirror)
        .arg("--keys-dir")
        .arg(mirror.join("keys"))
        .args(more)
        .output();
    let printed = Ended::from(output.expect("it starts")).done();
    let told: Value = serde_json::from_str(&printed).expect("JSON");
    house
        .folder()
        .join(told["images"][0]["out"].as_str().expect("a path"))
}

/// Publishes what is in a folder to the home Region; the AMI.
fn publish_at_home(house: &House, folder: &Path) -> String {
    let told = house.publish(folder, &["--regions", REGIONS[0]]);
    let ami = told["regions"][HOME]["ami"].as_str().expect("an AMI");
    ami.to_owned()
}

/// An instance of the AMI comes to its login prompt.
fn boots(house: &House, ami: &str) {
    let home = house.client(HOME);
    let instance = things::launch(&home, ami).done("an instance");
    let instance = instance.text("instancesSet/item[0]/instanceId").to_owned();
    let begun = Instant::now();
    loop {
        let params = [("InstanceId", instance.as_str()), ("Latest", "true")];
        let answer = home.ec2("GetConsoleOutput", &params).done("a console");
        let console = answer
            .get("output")
            .unwrap_or_default()
            .replace(char::is_whitespace, "");
        let console = BASE64_STANDARD.decode(console).expect("base64");
        let console = String::from_utf8_lossy(&console);
        if console.contains("login:") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "no login prompt: {console}");
        std::thread::sleep(Duration::from_secs(2));
    }
    home.ec2("TerminateInstances", &[("InstanceId.1", &instance)])
        .done("terminated");
}
