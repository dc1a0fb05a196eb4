//! What is wrong is found before anything is made.

use std::path::Path;

use super::yard::{GOOD, Worker, Yard};
use crate::sandbox::client::Expect as _;
use crate::sandbox::place::HOME;
use crate::sandbox::things;

/// With this change to the configuration a build is refused, with these words, and nothing is made.
#[track_caller]
fn refused(yard: &Yard, worker: &Path, change: (&str, &str), words: &[&str]) {
    let config = yard.config(worker, "");
    let changed = config.replace(change.0, change.1);
    assert_ne!(config, changed, "{change:?}");
    yard.house.configure(&changed);
    let said = yard.run(&[]).failed(2);
    for word in words {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    assert!(said.contains("next: "), "{said}");
    assert!(yard.house.calls("operation=RunInstances").is_empty());
    assert!(yard.objects().is_empty(), "something was staged");
}

#[test]
fn what_cannot_work_is_told_before_anything_is_made() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    let ami = yard.ami.as_str();
    let refused = |change: (&str, &str), words: &[&str]| {
        refused(&yard, &worker.path, change, words);
    };
    refused(
        ("base_images = { x86_64", "base_images = { aarch64"),
        &["no base image for x86_64", "build builder --arch x86_64"],
    );
    refused(
        (ami, "ami-00000000"),
        &["ami-00000000", "none that this account may launch"],
    );
    refused(
        (ami, "self/nothing/*"),
        &["self/nothing/*", "none that this account may launch"],
    );
    refused(("minutes = 5", "minutes = 0"), &["build.minutes is 0"]);
    refused(
        ("t3.small", "t4g.small"),
        &["t4g.small", "do not run x86_64"],
    );
    refused(
        ("\"t3.small\", \"t3.micro\"", "\"x9.large\""),
        &["x9.large", "none of these types is offered"],
    );
    refused(
        ("minutes = 5", "subnets = [\"subnet-00000000\"]"),
        &["subnet-00000000", "no such subnet"],
    );
    refused(
        ("volume_gib = 2", "volume_gib = 1"),
        &["2147483648", "1073741824", "disk.size"],
    );
}

#[test]
fn an_image_of_another_account_or_architecture_is_refused() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    let home = yard.house.client(HOME);
    let customer = yard.house.place.customer();
    let snapshot = things::snapshot(&customer, &[(0, things::block(1))], None);
    let theirs = things::image(&customer, "theirs", &snapshot);
    refused(
        &yard,
        &worker.path,
        (&yard.ami, &theirs),
        &[&theirs, "may launch"],
    );

    let snapshot = things::snapshot(&home, &[(0, things::block(1))], None);
    let arm = home.ec2(
        "RegisterImage",
        &[
            ("Name", "for arm"),
            ("Architecture", "arm64"),
            ("RootDeviceName", "/dev/xvda"),
            ("VirtualizationType", "hvm"),
            ("EnaSupport", "true"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", &snapshot),
        ],
    );
    let arm = arm.done("an image").text("imageId").to_owned();
    let words = [arm.as_str(), "it is for arm64", "x86_64"];
    refused(&yard, &worker.path, (&yard.ami, &arm), &words);
}

#[test]
fn a_subnet_without_a_way_out_is_refused() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    let home = yard.house.client(HOME);
    let default = [
        ("Filter.1.Name", "default-for-az"),
        ("Filter.1.Value.1", "true"),
    ];
    let subnets = home.ec2("DescribeSubnets", &default).done("subnets");
    let subnet = &subnets.items("subnetSet")[0];
    let vpc = subnet.text("vpcId").to_owned();
    let subnet = subnet.text("subnetId").to_owned();
    let table = home.ec2("CreateRouteTable", &[("VpcId", &vpc)]);
    let table = table
        .done("a table")
        .text("routeTable/routeTableId")
        .to_owned();
    let both = [("RouteTableId", table.as_str()), ("SubnetId", &subnet)];
    home.ec2("AssociateRouteTable", &both).done("associated");
    let more = format!("subnets = [\"{subnet}\"]");
    refused(
        &yard,
        &worker.path,
        ("minutes = 5", &more),
        &[&subnet, "no route leads out", "gateway endpoint"],
    );
}

#[test]
fn a_worker_that_cannot_run_there_is_refused() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    let path = worker.path.to_str().expect("a path").to_owned();
    let change = |with: &'static str| (path.clone(), with);
    for (with, words) in [
        ("/bin/ls", "linked dynamically"),
        ("/etc/passwd", "no program for 64-bit Linux"),
        ("/not/there", "cannot read the worker"),
    ] {
        let (from, to) = change(with);
        refused(&yard, &worker.path, (&from, to), &[with, words]);
    }
    // Without a worker for the other architecture, it is told how one is built.
    yard.configure(&worker.path, "");
    let ended = yard.command(&["base", "--arch", "aarch64"]).output();
    let said = crate::support::Ended::from(ended.expect("it starts")).failed(2);
    assert!(said.contains("no base image for aarch64"), "{said}");
}

#[test]
fn one_image_that_cannot_be_begun_stops_no_other() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    // Nodes' packages come from a repository that is not reached here.
    let more = ["--all", "--arch", "x86_64"];
    let ended = yard.command(&more).output().expect("it starts");
    let ended = crate::support::Ended::from(ended);
    assert_eq!(ended.status, 1, "{}", ended.stderr);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(told["images"][0]["profile"], "base", "{told:#}");
    let failed = told["failed"].as_array().expect("a list");
    let failed: Vec<_> = failed
        .iter()
        .filter_map(|one| one["image"].as_str())
        .collect();
    assert_eq!(
        failed,
        [
            "builder-x86_64",
            "kubezero-controller-x86_64",
            "kubezero-worker-x86_64"
        ]
    );
    yard.check_left(1);
}
