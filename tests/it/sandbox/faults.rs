//! Every kind of fault that the sandbox can be told to have, as a client meets it.

use serde_json::{Value, json};

use super::client::{Client, Expect as _, Outcome, Tree};
use super::place::{ABROAD, HOME, PUBLISHER, Place, control_answer};
use super::things::{
    block, copy_image, copy_snapshot, image, open_snapshot, settled_image, settled_snapshot,
    snapshot,
};

fn volumes(client: &Client) -> Outcome<Tree> {
    client.ec2("DescribeVolumes", &[])
}

fn new_volume(client: &Client) -> Outcome<Tree> {
    client.ec2(
        "CreateVolume",
        &[("AvailabilityZone", "us-east-1a"), ("Size", "1")],
    )
}

/// A fault of DescribeVolumes.
fn on_volumes(action: Value) -> Value {
    json!({"service": "ec2", "operation": "DescribeVolumes", "action": action})
}

#[test]
fn throttled_as_each_service_says_it() {
    let place = Place::new();
    let here = place.publisher();
    let id = open_snapshot(&here, None);
    place.fault(json!({"action": "throttle"}));
    let call = super::client::Call::new("GET", "/bucket/key");
    for (refused, codes, status) in [
        (volumes(&here).err(), &["RequestLimitExceeded"][..], 503),
        (
            here.put_block(&id, 0, &block(1)).err(),
            &["ThrottlingException", "RequestThrottledException"],
            400,
        ),
        (
            here.kms("ListKeys", json!({})).err(),
            &["ThrottlingException"],
            400,
        ),
        (
            here.sts("GetCallerIdentity", &[]).err(),
            &["Throttling"],
            400,
        ),
        (
            here.organizations("DescribeOrganization", json!({})).err(),
            &["TooManyRequestsException"],
            400,
        ),
        (here.s3(&call).err(), &["SlowDown"], 503),
    ] {
        let refused = refused.expect("throttled");
        assert!(codes.contains(&&*refused.code), "{codes:?}: {refused}");
        assert_eq!(refused.status, status, "{refused}");
    }
}

#[test]
fn an_error_of_any_kind() {
    let place = Place::new();
    let here = place.publisher();
    let error = json!({"error": {"status": 503, "code": "Unavailable", "message": "later"}});
    place.fault(on_volumes(error));
    let refused = volumes(&here).refused("Unavailable");
    assert_eq!((refused.status, &*refused.message), (503, "later"));
    here.ec2("DescribeSnapshots", &[("Owner.1", "self")])
        .done("another operation");
}

#[test]
fn closed_before_the_work() {
    let place = Place::new();
    let here = place.publisher();
    place.fault(json!({"operation": "CreateVolume", "action": "close-before"}));
    assert_eq!(new_volume(&here).expect_err("no answer").status, 0);
    assert!(volumes(&here).done("volumes").all("volumeId").is_empty());
}

#[test]
fn closed_after_the_work() {
    let place = Place::new();
    let here = place.publisher();
    place.fault(json!({"operation": "CreateVolume", "action": "close-after"}));
    assert_eq!(new_volume(&here).expect_err("no answer").status, 0);
    assert_eq!(volumes(&here).done("volumes").all("volumeId").len(), 1);
}

#[test]
fn delayed() {
    let place = Place::new();
    let here = place.publisher();
    volumes(&here).done("at once");
    place.fault(on_volumes(json!({"delay": {"ms": 300}})));
    let start = std::time::Instant::now();
    volumes(&here).done("later");
    assert!(start.elapsed().as_millis() >= 300, "{:?}", start.elapsed());
}

#[test]
fn stalled() {
    let place = Place::new();
    let here = place.publisher();
    let impatient = Client {
        http: reqwest::Client::builder()
            .no_proxy()
            .timeout(std::time::Duration::from_millis(500))
            .build()
            .expect("a client"),
        ..here.clone()
    };
    impatient
        .ec2("DescribeSnapshots", &[("Owner.1", "self")])
        .done("in time");
    place.fault(json!({"operation": "CreateVolume", "action": "stall"}));
    let refused = new_volume(&impatient).expect_err("no answer");
    assert_eq!(refused.status, 0);
    assert!(refused.message.contains("TimedOut"), "{refused}");
    assert!(volumes(&here).done("volumes").all("volumeId").is_empty());
}

#[test]
fn expired_credentials() {
    let place = Place::new();
    let here = place.publisher();
    place.fault(json!({"action": "expire-credentials"}));
    volumes(&here).refused("RequestExpired");
    here.sts("GetCallerIdentity", &[]).refused("ExpiredToken");
    here.kms("ListKeys", json!({}))
        .refused("ExpiredTokenException");
    let call = super::client::Call::new("GET", "/bucket/key");
    here.s3(&call).refused("ExpiredToken");
}

#[test]
fn denied() {
    let place = Place::new();
    let here = place.publisher();
    place.fault(json!({"account": PUBLISHER, "action": "deny"}));
    let refused = volumes(&here).refused("UnauthorizedOperation");
    assert_eq!(refused.status, 403);
    assert!(refused.message.contains("ec2:DescribeVolumes"), "{refused}");
    here.start_snapshot(&json!({"VolumeSize": 1}))
        .refused("AccessDeniedException");
    here.kms("CreateKey", json!({}))
        .refused("AccessDeniedException");
    volumes(&place.customer()).done("another account");
}

#[test]
fn out_of_capacity() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    place.fault(json!({"operation": "RunInstances", "action": "no-capacity"}));
    super::things::launch(&here, &image).refused("InsufficientInstanceCapacity");
}

#[test]
fn what_is_accepted_fails_later() {
    let place = Place::new();
    let here = place.publisher();
    let abroad = here.in_region(ABROAD);
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    let action = json!({"fail-later": {"reason": "it was told to"}});
    for operation in ["CopyImage", "CopySnapshot", "CompleteSnapshot"] {
        place.fault(json!({"operation": operation, "region": ABROAD, "action": action}));
    }

    let copied = copy_image(&abroad, "copy", &image, HOME, &[]).done("it is accepted");
    let copy = copied.text("imageId");
    assert_eq!(settled_image(&abroad, copy), "failed");
    let described = abroad.ec2("DescribeImages", &[("ImageId.1", copy)]);
    let described = described.done("it can be seen");
    let why = described.text("imagesSet/item[0]/stateReason/message");
    assert!(why.contains("it was told to"), "{why}");

    let copied = copy_snapshot(&abroad, &source, HOME, &[]).done("it is accepted");
    let copy = copied.text("snapshotId");
    assert_eq!(settled_snapshot(&abroad, copy), "error");

    let direct = open_snapshot(&abroad, None);
    abroad.put_block(&direct, 0, &block(1)).done("a block");
    abroad.complete_snapshot(&direct, 1).done("it is accepted");
    assert_eq!(settled_snapshot(&abroad, &direct), "error");
}

#[test]
fn reads_are_stale_for_a_while() {
    let place = Place::new();
    let here = place.publisher();
    place.fault(json!({
        "operation": "CreateVolume", "times": 1, "action": {"stale-reads": {"ms": 3_600_000}}
    }));
    let made = new_volume(&here).done("a volume");
    let id = made.text("volumeId");
    let named = || here.ec2("DescribeVolumes", &[("VolumeId.1", id)]);
    named().refused("InvalidVolume.NotFound");
    assert!(volumes(&here).done("volumes").all("volumeId").is_empty());
    place.control("DELETE", "faults", Value::Null);
    named().done("it can be seen now");
}

#[test]
fn only_the_nth_call() {
    let place = Place::new();
    let here = place.publisher();
    let error = json!({"error": {"status": 500, "code": "InternalError"}});
    let outcomes = |rule: Value| {
        place.control("DELETE", "faults", Value::Null);
        place.fault(rule);
        let calls = (0..4).map(|_| match volumes(&here) {
            Ok(_) => '+',
            Err(_) => '-',
        });
        calls.collect::<String>()
    };
    let rule = |more: Value| {
        let mut rule = on_volumes(error.clone());
        for (name, value) in more.as_object().expect("members") {
            rule[name] = value.clone();
        }
        rule
    };
    assert_eq!(outcomes(rule(json!({"nth": 2}))), "+-++");
    assert_eq!(outcomes(rule(json!({"times": 2}))), "--++");
    assert_eq!(outcomes(rule(json!({"skip": 3}))), "+++-");
    assert_eq!(outcomes(rule(json!({"region": ABROAD}))), "++++");
    assert_eq!(outcomes(rule(json!({"region": HOME}))), "----");
    assert_eq!(outcomes(rule(json!({"account": "222222222222"}))), "++++");
}

#[test]
fn every_call_can_be_read_back() {
    let place = Place::new();
    let here = place.publisher();
    let id = place.fault(on_volumes(
        json!({"error": {"status": 500, "code": "Oops"}}),
    ));
    new_volume(&here).done("a volume");
    volumes(&here).refused("Oops");
    here.kms("CreateKey", json!({"Description": "of the record"}))
        .done("a key");
    let read = place.control("GET", "calls", Value::Null);
    let calls = read.as_array().expect("calls");
    let brief: Vec<_> = calls
        .iter()
        .map(|call| {
            json!([
                call["service"],
                call["operation"],
                call["account"],
                call["region"],
                call["status"],
                call["error"],
                call["faults"]
            ])
        })
        .collect();
    assert_eq!(
        brief,
        [
            json!(["ec2", "CreateVolume", PUBLISHER, HOME, 200, null, []]),
            json!(["ec2", "DescribeVolumes", PUBLISHER, HOME, 500, "Oops", [id]]),
            json!(["kms", "CreateKey", PUBLISHER, HOME, 200, null, []]),
        ]
    );
    assert!(calls[2]["parameters"].to_string().contains("of the record"));
    assert!(!read.to_string().contains(&here.keys.secret));
}

#[test]
fn a_rule_that_is_none() {
    let place = Place::new();
    let here = place.publisher();
    for rule in [
        json!({}),
        json!({"action": "explode"}),
        json!({"action": "throttle", "operatoin": "CopyImage"}),
        json!({"action": "throttle", "service": "sqs"}),
        json!({"action": "throttle", "nth": 0}),
        json!({"action": {"error": {"status": 200, "code": "Fine"}}}),
    ] {
        let answer = control_answer(&here, "POST", "faults", rule.clone());
        assert_eq!(answer.status, 400, "{rule}: {}", answer.text());
    }
    volumes(&here).done("no fault is there");
}
