//! Things become what they are to be in AWS's time, which the clock's control lets pass.

use serde_json::{Value, json};

use crate::sandbox::client::{Call, Client, Expect as _, Outcome, encode};
use crate::sandbox::place::{ABROAD, HOME, Place};
use crate::sandbox::things::{
    block, copy_image, copy_snapshot, describe_image, image, launch, launch_permission,
    open_snapshot, settled_image, settled_snapshot, snapshot,
};

/// A place where states take their time from now on, and an image in it that is ready.
fn slow_place() -> (Place, String, String) {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    assert_eq!(settled_image(&here, &image), "available");
    place.clock_scale(1.0);
    (place, source, image)
}

fn state(client: &Client, snapshot: &str) -> String {
    let described = client.ec2("DescribeSnapshots", &[("SnapshotId.1", snapshot)]);
    described
        .done("a snapshot")
        .text("snapshotSet/item[0]/status")
        .to_owned()
}

#[test]
fn a_snapshot_is_pending_until_its_time_has_come() {
    let (place, ..) = slow_place();
    let here = place.publisher();
    let id = open_snapshot(&here, None);
    assert_eq!(state(&here, &id), "pending");
    here.put_block(&id, 0, &block(1)).done("a block");
    here.complete_snapshot(&id, 1).done("a whole");
    place.settle();
    assert_eq!(state(&here, &id), "pending", "not at once");
    let refused = here.list_blocks(&id).expect_err("it is pending");
    assert_eq!(refused.status, 400, "{refused}");
    place.advance(3600);
    assert_eq!(state(&here, &id), "completed");
    assert!(here.get_block(&id, 0).done("it can be read") == block(1));
}

#[test]
fn a_copy_is_pending_until_its_time_has_come() {
    let (place, source, image) = slow_place();
    let abroad = place.publisher().in_region(ABROAD);
    let copied = copy_image(&abroad, "copy", &image, HOME, &[]).done("a copy");
    let copy = copied.text("imageId");
    let copied = copy_snapshot(&abroad, &source, HOME, &[]).done("a copy");
    let snapshot = copied.text("snapshotId");
    place.settle();
    let image_state = || {
        describe_image(&abroad, copy)
            .text("imagesSet/item[0]/imageState")
            .to_owned()
    };
    assert_eq!(image_state(), "pending");
    assert_eq!(state(&abroad, snapshot), "pending");
    launch(&abroad, copy).refused("InvalidAMIID.Unavailable");
    copy_image(&abroad, "other", copy, ABROAD, &[]).refused("InvalidAMIID.Unavailable");
    copy_snapshot(&abroad, snapshot, ABROAD, &[]).refused("IncorrectState");
    place.advance(3600);
    assert_eq!(image_state(), "available");
    assert_eq!(state(&abroad, snapshot), "completed");
    let refused = launch(&abroad, copy).expect_err("there are no machines");
    assert_ne!(refused.code, "InvalidAMIID.Unavailable");
}

#[test]
fn a_copy_fails_when_its_time_has_come() {
    let (place, _, image) = slow_place();
    let abroad = place.publisher().in_region(ABROAD);
    let key = crate::sandbox::things::key(&abroad);
    abroad
        .kms("DisableKey", json!({"KeyId": key}))
        .done("disabled");
    let more = [("Encrypted", "true"), ("KmsKeyId", key.as_str())];
    let copied = copy_image(&abroad, "copy", &image, HOME, &more).done("it is accepted");
    let copy = copied.text("imageId");
    let part = |part: &str| {
        describe_image(&abroad, copy)
            .get(&format!("imagesSet/item[0]/{part}"))
            .map(str::to_owned)
    };
    assert_eq!(part("imageState").as_deref(), Some("pending"));
    assert_eq!(part("stateReason/message"), None);
    place.advance(3600);
    assert_eq!(part("imageState").as_deref(), Some("failed"));
    assert!(part("stateReason/message").is_some_and(|why| !why.is_empty()));
    launch(&abroad, copy).refused("InvalidAMIID.Unavailable");
}

#[test]
fn a_volume_takes_its_time() {
    let (place, ..) = slow_place();
    let here = place.publisher();
    let made = here
        .ec2(
            "CreateVolume",
            &[("AvailabilityZone", "us-east-1a"), ("Size", "1")],
        )
        .done("a volume");
    assert_eq!(made.text("status"), "creating");
    let id = made.text("volumeId");
    here.ec2("CreateSnapshot", &[("VolumeId", id)])
        .refused("IncorrectState");
    place.settle();
    place.advance(600);
    let described = here.ec2("DescribeVolumes", &[("VolumeId.1", id)]);
    assert_eq!(
        described.done("it").text("volumeSet/item[0]/status"),
        "available"
    );
    here.ec2("CreateSnapshot", &[("VolumeId", id)])
        .done("a snapshot");
}

#[test]
fn a_snapshot_without_blocks_for_an_hour_is_given_up() {
    let place = Place::new();
    let here = place.publisher();
    let id = open_snapshot(&here, None);
    place.advance(59 * 60);
    here.put_block(&id, 0, &block(1)).done("in time");
    place.advance(61 * 60);
    let late = here
        .put_block(&id, 1, &block(1))
        .expect_err("the hour is over");
    assert_eq!(late.status / 100, 4, "{late}");
    assert_eq!(settled_snapshot(&here, &id), "error");
}

#[test]
fn a_session_ends() {
    let place = Place::new();
    let here = place.publisher();
    let assumed = here
        .sts(
            "AssumeRole",
            &[
                ("RoleArn", "arn:aws:iam::222222222222:role/admin"),
                ("RoleSessionName", "short"),
                ("DurationSeconds", "900"),
            ],
        )
        .done("a session");
    let part = |name: &str| {
        let path = format!("AssumeRoleResult/Credentials/{name}");
        assumed.text(&path).to_owned()
    };
    let session = here.with_keys(crate::sandbox::client::Keys {
        id: part("AccessKeyId"),
        secret: part("SecretAccessKey"),
        session: Some(part("SessionToken")),
    });
    let who = session.sts("GetCallerIdentity", &[]).done("while it holds");
    assert_eq!(who.text("GetCallerIdentityResult/Account"), "222222222222");
    place.advance(901);
    session
        .sts("GetCallerIdentity", &[])
        .refused("ExpiredToken");
    session
        .ec2("DescribeVolumes", &[])
        .refused("RequestExpired");
}

#[test]
fn an_image_that_is_pending_is_not_shared_in_vain() {
    let (place, _, image) = slow_place();
    let abroad = place.publisher().in_region(ABROAD);
    let copied = copy_image(&abroad, "copy", &image, HOME, &[]).done("a copy");
    let copy = copied.text("imageId");
    launch_permission(&abroad, copy, "Add", "222222222222").refused("InvalidAMIID.Unavailable");
    place.advance(3600);
    launch_permission(&abroad, copy, "Add", "222222222222").done("it is available");
}

#[test]
fn tokens_of_blocks_end() {
    let place = Place::new();
    let here = place.publisher();
    let blocks: Vec<_> = (0..101).map(|index| (index, block(1))).collect();
    let source = snapshot(&here, &blocks, None);
    let list = |query: &str| {
        let call = Call::new("GET", &format!("/snapshots/{source}/blocks{query}"));
        let answer = here.ebs(&call)?;
        Ok(serde_json::from_slice::<Value>(&answer.body).expect("JSON"))
    };
    let outcome: Outcome<Value> = list("?maxResults=99");
    outcome.refused("ValidationException");
    let page: Value = list("?maxResults=100").done("a page");
    let next = encode(page["NextToken"].as_str().expect("there is more"));
    let next = format!("?maxResults=100&pageToken={next}");
    let rest = list(&next).done("the rest");
    assert_eq!(rest["Blocks"].as_array().map(Vec::len), Some(1));
    assert_eq!(rest["Blocks"][0]["BlockIndex"], 100);
    let token = encode(page["Blocks"][0]["BlockToken"].as_str().expect("a token"));
    let get = |index: u32| {
        let path = format!("/snapshots/{source}/blocks/{index}?blockToken={token}");
        here.ebs(&Call::new("GET", &path))
    };
    get(0).done("the block");
    get(1).refused("ValidationException");

    place.advance(61 * 60);
    list(&next).refused("ValidationException");
    get(0).done("the block's token holds for a week");
    place.advance(7 * 24 * 3600);
    get(0).refused("ValidationException");
}
