//! Each mishap at each call.

use serde_json::{Value, json};

use super::house::{House, REGIONS};

/// The calls of a publish that sends only what differs.
const OPERATIONS: [(&str, &str); 22] = [
    ("sts", "GetCallerIdentity"),
    ("s3", "HeadBucket"),
    ("s3", "GetObject"),
    ("s3", "ListObjectsV2"),
    ("s3", "PutObject"),
    ("s3", "DeleteObject"),
    ("kms", "DescribeKey"),
    ("ec2", "DescribeRegions"),
    ("ec2", "DescribeImages"),
    ("ec2", "DescribeSnapshots"),
    ("ebs", "StartSnapshot"),
    ("ebs", "PutSnapshotBlock"),
    ("ebs", "CompleteSnapshot"),
    ("ebs", "ListSnapshotBlocks"),
    ("ebs", "GetSnapshotBlock"),
    ("ec2", "RegisterImage"),
    ("ec2", "CopyImage"),
    ("ec2", "CreateTags"),
    ("ec2", "DeregisterImage"),
    ("ec2", "DeleteSnapshot"),
    ("kms", "CreateGrant"),
    ("kms", "GenerateDataKeyWithoutPlaintext"),
];

/// The first calls of each operation meet the mishap, so many of each; the release is right in the
/// end.
fn every_call_meets(house: &House, action: &Value, times: u32) {
    let before = house.calls("").len();
    // Reads are behind after writes.
    let reads = ["Get", "Head", "List", "Describe"];
    let is_read = |operation: &str| reads.iter().any(|start| operation.starts_with(start));
    let only_writes = action.get("stale-reads").is_some();
    for (service, operation) in OPERATIONS {
        if only_writes && (is_read(operation) || service == "s3") {
            continue;
        }
        house.place.fault(json!({
            "service": service, "operation": operation, "times": times, "action": action
        }));
    }
    let name = format!("image-{before}");
    let byte = u8::try_from(before % 250).expect("a byte") + 2;
    let image = house.image(&name, &[(0, 1), (1, byte), (2, 1)]);
    let published = house.publish(&image, &[]);
    let faults = house.place.control("GET", "faults", json!(null));
    let applied = faults.to_string().matches("\"applied\":0").count();
    // Those of operations that a publish makes only where something failed for good.
    assert!(applied <= 6, "{faults:#}");
    house.place.control("DELETE", "faults", json!(null));
    house.check(&published, &REGIONS[..2]);
    let snapshot = published["regions"][REGIONS[1]]["snapshot"].as_str();
    house.check_bytes(REGIONS[1], snapshot.expect("an id"), &image);
}

/// Once, and repeatedly.
fn once_and_often(action: &Value, often: u32) {
    let house = House::new();
    house.publish(&house.image("first", &[(0, 1)]), &[]);
    every_call_meets(&house, action, 1);
    every_call_meets(&house, action, often);
    house.check_no_orphans(3);
}

#[test]
fn throttled() {
    once_and_often(&json!("throttle"), 4);
}

#[test]
fn failing_services() {
    let error = json!({"status": 500, "code": "InternalError", "message": "try again"});
    once_and_often(&json!({ "error": error }), 4);
}

#[test]
fn connections_closed_before_the_work() {
    once_and_often(&json!("close-before"), 4);
}

#[test]
fn answers_lost_after_the_work() {
    once_and_often(&json!("close-after"), 4);
}

#[test]
fn no_answer() {
    once_and_often(&json!("stall"), 2);
}

#[test]
fn reads_that_are_behind() {
    once_and_often(&json!({"stale-reads": {"ms": 1000}}), 3);
}

#[test]
fn a_copy_that_fails_later_is_made_again_by_the_next_run() {
    let house = House::new();
    let image = house.image("one", &[(0, 1)]);
    house.place.fault(json!({
        "operation": "CopyImage", "times": 2, "action": {"fail-later": {"reason": "bad luck"}}
    }));
    let folder = image.to_str().expect("a path");
    for _ in 0..2 {
        let said = house.run(&["publish", folder]).failed(1);
        assert!(
            said.contains("bad luck") && said.contains(REGIONS[1]),
            "{said}"
        );
    }
    let published = house.publish(&image, &[]);
    house.check(&published, &REGIONS[..2]);
    house.check_no_orphans(1);
}

#[test]
fn a_denied_call_stops_at_once_and_names_itself() {
    let house = House::new();
    let image = house.image("one", &[(0, 1)]);
    for (service, operation, action, times) in [
        ("ebs", "StartSnapshot", "ebs:StartSnapshot", 1),
        ("ebs", "PutSnapshotBlock", "ebs:PutSnapshotBlock", 256),
        ("ec2", "RegisterImage", "ec2:RegisterImage", 1),
        ("ec2", "CopyImage", "ec2:CopyImage", 1),
        ("kms", "DescribeKey", "kms:DescribeKey", 2),
        ("s3", "PutObject", "s3:PutObject", 2),
    ] {
        house.place.control("DELETE", "faults", json!(null));
        house
            .place
            .fault(json!({"service": service, "operation": operation, "action": "deny"}));
        let before = house.calls(&format!("operation={operation}")).len();
        let said = house
            .run(&["publish", image.to_str().expect("a path")])
            .failed(1);
        assert!(said.contains(action), "{operation}: {said}");
        assert!(said.contains("doctor --iam-policy"), "{operation}: {said}");
        let made = house.calls(&format!("operation={operation}")).len() - before;
        assert!(made <= times, "{operation}: {made} calls");
    }
    house.place.control("DELETE", "faults", json!(null));
    let published = house.publish(&image, &[]);
    house.check(&published, &REGIONS[..2]);
    house.check_no_orphans(1);
}
