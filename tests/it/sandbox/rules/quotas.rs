//! Quotas and rates are there, and can be lowered.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::sandbox::client::Expect as _;
use crate::sandbox::place::{ABROAD, HOME, Place};
use crate::sandbox::things::{
    block, copy_image, copy_snapshot, image, key, launch_permission, open_snapshot, register,
    snapshot,
};

#[test]
fn aws_has_them_so() {
    let limits = Place::limited().control("GET", "limits", json!(null));
    for (name, value) in [
        ("pending-snapshots", json!(100)),
        ("ami-copies-into-region", json!(100)),
        ("snapshot-copies-into-region", json!(20)),
        ("launch-permissions-per-image", json!(1000)),
        ("grants-per-key", json!(50_000)),
        ("key-policy-bytes", json!(32_768)),
        ("user-data-bytes", json!(16_384)),
    ] {
        assert_eq!(limits[name], value, "{name}");
    }
    for (name, per_second) in [
        ("ebs-put-snapshot-block", 1000.0),
        ("ebs-put-snapshot-block-of-snapshot", 1000.0),
        ("ebs-start-snapshot", 10.0),
        ("ebs-complete-snapshot", 10.0),
    ] {
        assert_eq!(limits[name]["per_second"], per_second, "{name}");
    }
}

#[test]
fn images() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    place.limit("images", json!(1));
    image(&here, "first", &source);
    register(&here, "second", &source, &[]).refused("ResourceLimitExceeded");
}

#[test]
fn launch_permissions() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    for (name, id) in [("third", "333333333333"), ("fourth", "444444444444")] {
        place.control("POST", "accounts", json!({"name": name, "id": id}));
    }
    place.limit("launch-permissions-per-image", json!(2));
    launch_permission(&here, &image, "Add", "222222222222").done("one");
    launch_permission(&here, &image, "Add", "333333333333").done("two");
    launch_permission(&here, &image, "Add", "333333333333").done("two still");
    launch_permission(&here, &image, "Add", "444444444444").refused("ResourceLimitExceeded");
}

#[test]
fn pending_snapshots() {
    let place = Place::new();
    let here = place.publisher();
    place.limit("pending-snapshots", json!(1));
    open_snapshot(&here, None);
    here.start_snapshot(&json!({"VolumeSize": 1}))
        .refused("ServiceQuotaExceededException");
    open_snapshot(&here.in_region(ABROAD), None);
}

#[test]
fn copies_at_once() {
    let place = Place::new();
    let (here, abroad) = (place.publisher(), place.publisher().in_region(ABROAD));
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    place.clock_scale(1.0);
    place.limit("snapshot-copies-into-region", json!(1));
    copy_snapshot(&abroad, &source, HOME, &[]).done("one");
    copy_snapshot(&abroad, &source, HOME, &[]).refused("ResourceLimitExceeded");
    place.limit("ami-copies-into-region", json!(1));
    copy_image(&abroad, "one", &image, HOME, &[]).done("one");
    copy_image(&abroad, "two", &image, HOME, &[]).refused("ResourceLimitExceeded");
    place.advance(3600);
    copy_snapshot(&abroad, &source, HOME, &[]).done("the first is done");
    copy_image(&abroad, "two", &image, HOME, &[]).done("the first is done");
}

#[test]
fn grants_and_policies_of_a_key() {
    let place = Place::new();
    let here = place.publisher();
    let key = key(&here);
    place.limit("grants-per-key", json!(1));
    let grant = |account: &str| {
        here.kms(
            "CreateGrant",
            json!({
                "KeyId": key,
                "GranteePrincipal": format!("arn:aws:iam::{account}:root"),
                "Operations": ["Decrypt"]
            }),
        )
    };
    grant("222222222222").done("one");
    grant("333333333333").refused("LimitExceededException");

    let padding = "x".repeat(32_768);
    let policy = json!({"Version": "2012-10-17", "Id": padding, "Statement": []});
    here.kms(
        "PutKeyPolicy",
        json!({"KeyId": key, "PolicyName": "default", "Policy": policy.to_string()}),
    )
    .refused("LimitExceededException");
}

#[test]
fn rates() {
    let place = Place::new();
    let here = place.publisher();
    let id = open_snapshot(&here, None);
    let slow = json!({"per_second": 0.001, "burst": 2});
    place.limit("ebs-put-snapshot-block", slow.clone());
    here.put_block(&id, 0, &block(1)).done("one");
    here.put_block(&id, 1, &block(1)).done("two");
    let refused = here
        .put_block(&id, 2, &block(1))
        .expect_err("faster than allowed");
    assert!(
        ["ThrottlingException", "RequestThrottledException"].contains(&&*refused.code),
        "{refused}"
    );
    place.limit("ebs-put-snapshot-block", json!("unlimited"));
    here.put_block(&id, 2, &block(1)).done("unlimited");
}

#[test]
fn user_data() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    let launch = |bytes: usize| {
        let data = BASE64_STANDARD.encode(vec![b'#'; bytes]);
        here.ec2(
            "RunInstances",
            &[
                ("ImageId", &image),
                ("InstanceType", "t3.micro"),
                ("MinCount", "1"),
                ("MaxCount", "1"),
                ("UserData", &data),
            ],
        )
    };
    launch(16_385).refused("InvalidParameterValue");
    let refused = launch(16_384).expect_err("there are no machines");
    assert_ne!(refused.code, "InvalidParameterValue", "{refused}");
    place.limit("user-data-bytes", json!(10));
    launch(11).refused("InvalidParameterValue");
}
