//! Names are unique per account and Region; a token stands for one call.

use serde_json::json;

use crate::sandbox::client::Expect as _;
use crate::sandbox::place::{ABROAD, Place};
use crate::sandbox::things::{block, copy_image, image, register, settled_image, snapshot};

#[test]
fn names_are_unique_per_account_and_region() {
    let place = Place::new();
    let (here, abroad) = (place.publisher(), place.publisher().in_region(ABROAD));
    let customer = place.customer();
    let source = snapshot(&here, &[(0, block(1))], None);
    let first = image(&here, "one/name", &source);
    register(&here, "one/name", &source, &[]).refused("InvalidAMIName.Duplicate");
    copy_image(&here, "one/name", &first, &here.region, &[]).refused("InvalidAMIName.Duplicate");

    let copied = copy_image(&abroad, "one/name", &first, &here.region, &[]).done("abroad");
    assert_eq!(settled_image(&abroad, copied.text("imageId")), "available");
    let theirs = snapshot(&customer, &[(0, block(1))], None);
    image(&customer, "one/name", &theirs);

    here.ec2("DeregisterImage", &[("ImageId", &first)])
        .done("gone");
    image(&here, "one/name", &source);
}

#[test]
fn names_have_3_to_128_of_some_characters() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let long = "x".repeat(129);
    for name in ["ab", &long, "a+b+c", "a:b:c", "käse"] {
        register(&here, name, &source, &[]).refused("InvalidAMIName.Malformed");
    }
    for name in ["abc", &long[1..], "a (b) [c] ./-'@_"] {
        image(&here, name, &source);
    }
}

#[test]
fn a_token_stands_for_one_snapshot() {
    let place = Place::new();
    let here = place.publisher();
    let start = |size: u32, token: &str| {
        here.start_snapshot(&json!({"VolumeSize": size, "ClientToken": token}))
    };
    let first = start(1, "once").done("a snapshot");
    let again = start(1, "once").done("the same");
    assert_eq!(first["SnapshotId"], again["SnapshotId"]);
    start(2, "once").refused("ConflictException");
    let other = start(1, "twice").done("another");
    assert_ne!(first["SnapshotId"], other["SnapshotId"]);
    // Tokens are an account's and a Region's.
    let body = json!({"VolumeSize": 1, "ClientToken": "once"});
    for client in [place.customer(), here.in_region(ABROAD)] {
        let theirs = client.start_snapshot(&body).done("its own");
        assert_ne!(first["SnapshotId"], theirs["SnapshotId"]);
    }
    start(1, &"x".repeat(65)).refused("ValidationException");
}

#[test]
fn a_token_stands_for_one_copy() {
    let place = Place::new();
    let (here, abroad) = (place.publisher(), place.publisher().in_region(ABROAD));
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    let copy = |name: &str, token: &str| {
        copy_image(
            &abroad,
            name,
            &image,
            &here.region,
            &[("ClientToken", token)],
        )
    };
    let first = copy("copy", "once").done("a copy");
    let again = copy("copy", "once").done("the same, though the name is taken");
    assert_eq!(first.text("imageId"), again.text("imageId"));
    copy("other", "once").refused("IdempotentParameterMismatch");
    copy("copy", "twice").refused("InvalidAMIName.Duplicate");
}

#[test]
fn a_token_stands_for_one_volume() {
    let place = Place::new();
    let here = place.publisher();
    let create = |size: &str| {
        let zone = ("AvailabilityZone", "us-east-1a");
        here.ec2(
            "CreateVolume",
            &[zone, ("Size", size), ("ClientToken", "once")],
        )
    };
    let first = create("1").done("a volume");
    let again = create("1").done("the same");
    assert_eq!(first.text("volumeId"), again.text("volumeId"));
    create("2").refused("IdempotentParameterMismatch");
}

#[test]
fn a_name_of_a_grant_makes_it_one() {
    let place = Place::new();
    let here = place.publisher();
    let key = crate::sandbox::things::key(&here);
    let grant = |operations: &[&str]| {
        here.kms(
            "CreateGrant",
            json!({
                "KeyId": key,
                "Name": "once",
                "GranteePrincipal": "arn:aws:iam::222222222222:root",
                "Operations": operations
            }),
        )
        .done("a grant")["GrantId"]
            .clone()
    };
    let first = grant(&["Decrypt"]);
    assert_eq!(grant(&["Decrypt"]), first);
    assert_ne!(grant(&["Decrypt", "DescribeKey"]), first);
    let all = here.kms("ListGrants", json!({"KeyId": key})).done("grants");
    assert_eq!(all["Grants"].as_array().map(Vec::len), Some(2));
}
