use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Lab;
use crate::sandbox::machines::console_file;

#[test]
fn pages_and_reservations() {
    let lab = Lab::new();
    lab.run(&[("MaxCount", "4")]).expect("launched");
    lab.run(&[("MaxCount", "3")]).expect("launched");
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut token = String::new();
    loop {
        let mut params = vec![("MaxResults", "5")];
        if !token.is_empty() {
            params.push(("NextToken", token.as_str()));
        }
        let page = lab.ok("DescribeInstances", &params);
        let ids: Vec<String> = page
            .0
            .iter()
            .filter(|(path, _)| path.ends_with("]/instanceId"))
            .map(|(_, id)| id.clone())
            .collect();
        sizes.push(ids.len());
        seen.extend(ids);
        match page.get("nextToken") {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(sizes, [5, 2]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7);
    let all = lab.ok("DescribeInstances", &[]);
    assert_eq!(all.all("/reservationId").len(), 2);
    let id = ("InstanceId.1", seen[0].as_str());
    for (params, code) in [
        (&[("MaxResults", "4")][..], "InvalidParameterValue"),
        (&[("MaxResults", "1001")], "InvalidParameterValue"),
        (&[("MaxResults", "5"), id], "InvalidParameterCombination"),
        (&[("NextToken", "x")], "InvalidNextToken"),
        (
            &[("Filter.1.Name", "none"), ("Filter.1.Value.1", "x")],
            "InvalidParameterValue",
        ),
        (
            &[id, ("InstanceId.2", "i-0123456789abcdef0")],
            "InvalidInstanceID.NotFound",
        ),
        (&[("InstanceId.1", "i-1")], "InvalidInstanceID.Malformed"),
        (&[("Nonsense", "1")], "UnknownParameter"),
    ] {
        assert_eq!(lab.code("DescribeInstances", params), code, "{params:?}");
    }
}

#[test]
fn filters() {
    let lab = Lab::new();
    let id = lab.launched(&[
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "web"),
        ("ClientToken", "token"),
    ]);
    let volume = lab.member(&id, "blockDeviceMapping/item[0]/ebs/volumeId");
    let group = lab.member(&id, "groupSet/item[0]/groupId");
    let mac = lab.member(&id, "networkInterfaceSet/item[0]/macAddress");
    for (name, value, passes) in [
        ("instance-id", id.as_str(), true),
        ("instance-state-name", "running", true),
        ("instance-state-name", "stop*", false),
        ("instance-state-code", "16", true),
        ("image-id", &lab.image, true),
        ("instance-type", "t3.*", true),
        ("tag:Name", "web", true),
        ("tag:Name", "db", false),
        ("tag-key", "Name", true),
        ("client-token", "token", true),
        ("block-device-mapping.volume-id", &volume, true),
        ("block-device-mapping.device-name", "/dev/xvda", true),
        ("block-device-mapping.delete-on-termination", "false", false),
        ("instance.group-id", &group, true),
        ("network-interface.mac-address", &mac, true),
        ("network-interface.group-name", "default", true),
        ("metadata-options.http-tokens", "required", true),
        ("metadata-options.http-endpoint", "disabled", false),
        ("availability-zone", "us-east-1a", true),
        ("private-ip-address", "172.31.0.4", true),
        ("platform", "windows", false),
        ("ip-address", "*", false),
        ("state-reason-code", "*", false),
        ("virtualization-type", "hvm", true),
    ] {
        let params = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let found = lab.ok("DescribeInstances", &params);
        let found = found.all("instancesSet/item[0]/instanceId");
        assert_eq!(!found.is_empty(), passes, "{name} {value}");
    }
}

#[test]
fn other_accounts_and_regions_see_nothing() {
    let lab = Lab::new();
    lab.launched(&[]);
    let theirs = lab
        .bed
        .ec2("customer", "DescribeInstances", &[])
        .expect("an answer");
    assert!(theirs.all("instanceId").is_empty());
    let elsewhere = lab.bed.query(
        crate::sandbox::service::Service::Ec2,
        "publisher",
        "eu-west-1",
        "DescribeInstances",
        &[],
    );
    assert!(elsewhere.expect("an answer").all("instanceId").is_empty());
}

#[test]
fn status_checks() {
    let lab = Lab::new();
    let shared = &lab.bed.shared;
    let id = lab.launched(&[]);
    let stopped = lab.launched(&[]);
    lab.ok("StopInstances", &[("InstanceId.1", &stopped)]);
    let path = "instanceStatusSet/item[0]/instanceStatus/status";
    let running = lab.ok("DescribeInstanceStatus", &[]);
    assert_eq!(running.all("/instanceId"), [&id]);
    assert_eq!(running.text(path), "ok");
    let all = lab.ok("DescribeInstanceStatus", &[("IncludeAllInstances", "true")]);
    assert_eq!(all.all("/instanceId").len(), 2);
    let named = [
        ("InstanceId.1", stopped.as_str()),
        ("IncludeAllInstances", "true"),
    ];
    let one = lab.ok("DescribeInstanceStatus", &named);
    assert_eq!(one.text(path), "not-applicable");

    shared.clock.set_scale(1.0);
    let slow = lab.launched(&[]);
    shared.clock.advance(Duration::from_secs(30));
    let named = [("InstanceId.1", slow.as_str())];
    assert_eq!(
        lab.ok("DescribeInstanceStatus", &named).text(path),
        "initializing"
    );
    shared.clock.advance(Duration::from_secs(300));
    assert_eq!(lab.ok("DescribeInstanceStatus", &named).text(path), "ok");
    let filter = [
        ("Filter.1.Name", "instance-status.reachability"),
        ("Filter.1.Value.1", "passed"),
    ];
    let passed = lab.ok("DescribeInstanceStatus", &filter);
    assert_eq!(passed.all("/instanceId").len(), 2);
}

#[test]
fn the_console_is_given_from_its_end() {
    let lab = Lab::new();
    let id = lab.launched(&[]);
    let named = [("InstanceId", id.as_str()), ("Latest", "true")];
    let none = lab.ok("GetConsoleOutput", &named);
    assert_eq!(
        (none.text("instanceId"), none.get("output")),
        (id.as_str(), None)
    );
    let file = console_file(&lab.bed.shared, &id);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    let mut text = vec![b'x'; 70_000];
    text.extend(b"login:");
    std::fs::write(&file, &text).expect("written");
    let some = lab.ok("GetConsoleOutput", &named);
    let output = BASE64_STANDARD.decode(some.text("output")).expect("base64");
    assert_eq!(output, text[text.len() - 65_536..]);
    assert!(some.text("timestamp").starts_with("20"));
    let old = lab.launched(&[("InstanceType", "t2.micro")]);
    let latest = [("InstanceId", old.as_str()), ("Latest", "true")];
    assert_eq!(
        lab.code("GetConsoleOutput", &latest),
        "UnsupportedOperation"
    );
}
