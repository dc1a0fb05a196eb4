//! Each mishap at each request.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::house::{House, REGIONS};

/// What a publish that sends only what differs asks for at least.
const READS: [&str; 10] = [
    "GetCallerIdentity",
    "HeadBucket",
    "GetObject",
    "ListObjectsV2",
    "DescribeKey",
    "DescribeRegions",
    "DescribeImages",
    "DescribeSnapshots",
    "ListSnapshotBlocks",
    "GetSnapshotBlock",
];

/// And what it makes, writes and removes.
const WRITES: [&str; 6] = [
    "StartSnapshot",
    "PutSnapshotBlock",
    "CompleteSnapshot",
    "RegisterImage",
    "CopyImage",
    "DeleteObject",
];

/// The mishap for every request, so many times.
fn rules(action: &Value, times: u32) -> Vec<Value> {
    let each = |which: Value| {
        let mut rule = json!({ "each": true, "times": times, "action": action });
        let members = rule.as_object_mut().expect("an object");
        members.extend(which.as_object().expect("an object").clone());
        rule
    };
    if action.get("stale-reads").is_some() {
        // It is for writes alone, and not for S3, by itself.
        return vec![each(json!({}))];
    }
    let services = ["sts", "s3", "kms", "ec2"].map(|service| each(json!({ "service": service })));
    let operations = [
        "StartSnapshot",
        "PutSnapshotBlock",
        "CompleteSnapshot",
        "ListSnapshotBlocks",
    ]
    .map(|operation| each(json!({ "service": "ebs", "operation": operation })));
    // Of two thousand requests that are alike but for the block's number, some.
    let reads = json!({
        "service": "ebs", "operation": "GetSnapshotBlock", "times": 16 * times, "action": action
    });
    services
        .into_iter()
        .chain(operations)
        .chain([reads])
        .collect()
}

/// Every request of a publish that sends only what differs meets the mishap, so many times; the
/// release is right in the end. `byte` makes the image another one.
fn every_request_meets(house: &House, action: &Value, times: u32, byte: u8) {
    let image = house.image(&format!("image-{byte}"), &[(0, 1), (1, byte), (2, 1)]);
    house.place.control("DELETE", "calls", json!(null));
    let is_stale_reads = action.get("stale-reads").is_some();
    for rule in rules(action, times) {
        house.place.fault(rule);
    }
    let published = house.publish(&image, &[]);
    let calls = house.calls("");
    house.place.control("DELETE", "faults", json!(null));

    let is_hit = |call: &&Value| !call["faults"].as_array().expect("faults").is_empty();
    let hit: BTreeSet<&str> = calls
        .iter()
        .filter(is_hit)
        .filter_map(|call| call["operation"].as_str())
        .collect();
    let (reads, writes) = match is_stale_reads {
        true => (&[][..], &WRITES[..5]),
        false => (&READS[..], &WRITES[..]),
    };
    for operation in reads.iter().chain(writes) {
        assert!(hit.contains(operation), "{operation} was not hit: {hit:?}");
    }
    house.check(&published, &REGIONS[..2]);
    let snapshot = published["regions"][REGIONS[1]]["snapshot"].as_str();
    house.check_bytes(REGIONS[1], snapshot.expect("an id"), &image);
}

/// Once, and repeatedly.
fn once_and_often(action: &Value, often: u32) {
    let house = House::new();
    // Each request waits so long for an answer that does not come.
    let config = house.config();
    house.configure(&config.replace("attempt_seconds = 2", "attempt_seconds = 1"));
    house.publish(&house.image("first", &[(0, 1)]), &[]);
    every_request_meets(&house, action, 1, 2);
    every_request_meets(&house, action, often, 3);
    house.check_no_orphans(3);
}

#[test]
fn throttled() {
    once_and_often(&json!("throttle"), 2);
}

#[test]
fn failing_services() {
    let error = json!({"status": 500, "code": "InternalError", "message": "try again"});
    once_and_often(&json!({ "error": error }), 2);
}

#[test]
fn connections_closed_before_the_work() {
    once_and_often(&json!("close-before"), 3);
}

#[test]
fn answers_lost_after_the_work() {
    once_and_often(&json!("close-after"), 3);
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
