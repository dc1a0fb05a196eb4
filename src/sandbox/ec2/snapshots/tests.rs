use std::time::Duration;

use super::*;
use crate::sandbox::service::Service;
use crate::sandbox::testing::{Bed, Xml as Answer, request};

type Params<'a> = &'a [(&'a str, &'a str)];

const PUBLISHER: &str = "111111111111";
const CUSTOMER: &str = "222222222222";

fn call(bed: &Bed, action: &str, params: Params<'_>) -> Answer {
    bed.ec2("publisher", action, params)
        .unwrap_or_else(|error| panic!("{action} {params:?}: {error}"))
}

fn fails(bed: &Bed, account: &str, action: &str, params: Params<'_>) -> String {
    let error = bed.ec2(account, action, params);
    let error = error.expect_err(&format!("{action} {params:?}"));
    error.code.into_owned()
}

fn volume(bed: &Bed) -> String {
    let params = [("AvailabilityZone", "us-east-1a"), ("Size", "1")];
    call(bed, "CreateVolume", &params)
        .text("volumeId")
        .to_owned()
}

/// A snapshot of the publisher's in `us-east-1`.
fn snapshot(bed: &Bed) -> String {
    let volume = volume(bed);
    let answer = call(bed, "CreateSnapshot", &[("VolumeId", &volume)]);
    answer.text("snapshotId").to_owned()
}

/// Gives a snapshot a key, as if it had been made with it.
fn encrypt(bed: &Bed, id: &str, key: &str) {
    bed.shared
        .transact(|world| {
            let snapshot = world.ec2.snapshots.get_mut(id).expect("a snapshot");
            snapshot.key = Some(key.to_owned());
            Ok(())
        })
        .expect("changed");
}

fn share(bed: &Bed, id: &str) {
    let permission = [
        ("SnapshotId", id),
        ("CreateVolumePermission.Add.1.UserId", CUSTOMER),
    ];
    call(bed, "ModifySnapshotAttribute", &permission);
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.all("]/snapshotId")
}

fn status(bed: &Bed, region: &str, id: &str) -> String {
    let params = [("SnapshotId.1", id)];
    let answer = bed
        .query(
            Service::Ec2,
            "publisher",
            region,
            "DescribeSnapshots",
            &params,
        )
        .expect("described");
    answer.text("snapshotSet/item[0]/status").to_owned()
}

#[test]
fn a_snapshot_of_a_volume() {
    let bed = Bed::new();
    bed.shared.clock.set_scale(1.0);
    let volume = volume(&bed);
    assert_eq!(
        fails(
            &bed,
            "publisher",
            "CreateSnapshot",
            &[("VolumeId", &volume)]
        ),
        "IncorrectState",
        "the volume is being made"
    );
    bed.shared.clock.advance(Duration::from_secs(60));
    let answer = call(
        &bed,
        "CreateSnapshot",
        &[
            ("VolumeId", &volume),
            ("Description", "nightly"),
            ("TagSpecification.1.ResourceType", "snapshot"),
            ("TagSpecification.1.Tag.1.Key", "Name"),
            ("TagSpecification.1.Tag.1.Value", "root"),
        ],
    );
    let id = answer.text("snapshotId");
    assert_eq!(answer.text("status"), "pending");
    assert_eq!(status(&bed, "us-east-1", id), "pending");
    bed.shared.clock.advance(Duration::from_secs(61));
    let answer = call(&bed, "DescribeSnapshots", &[("SnapshotId.1", id)]);
    for (member, expected) in [
        ("status", "completed"),
        ("progress", "100%"),
        ("volumeId", volume.as_str()),
        ("volumeSize", "1"),
        ("ownerId", PUBLISHER),
        ("description", "nightly"),
        ("encrypted", "false"),
        ("storageTier", "standard"),
        ("tagSet/item[0]/value", "root"),
    ] {
        let path = format!("snapshotSet/item[0]/{member}");
        assert_eq!(answer.text(&path), expected, "{member}");
    }
}

#[test]
fn a_snapshot_that_cannot_be() {
    let bed = Bed::new();
    let volume = volume(&bed);
    let long = "x".repeat(256);
    let cases: &[(Params<'_>, &str)] = &[
        (&[], "MissingParameter"),
        (
            &[("VolumeId", "vol-00000000000000000")],
            "InvalidVolume.NotFound",
        ),
        (&[("VolumeId", "disk")], "InvalidParameterValue"),
        (
            &[("VolumeId", &volume), ("Description", &long)],
            "InvalidParameterValue",
        ),
        (
            &[("VolumeId", &volume), ("OutpostArn", "arn")],
            "UnsupportedOperation",
        ),
        (
            &[("VolumeId", &volume), ("Location", "local")],
            "UnsupportedOperation",
        ),
        (
            &[("VolumeId", &volume), ("Location", "moon")],
            "InvalidParameterValue",
        ),
        (
            &[("VolumeId", &volume), ("Colour", "red")],
            "UnknownParameter",
        ),
        (
            &[
                ("VolumeId", &volume),
                ("TagSpecification.1.ResourceType", "volume"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[("VolumeId", &volume), ("DryRun", "true")],
            "DryRunOperation",
        ),
    ];
    for (params, code) in cases {
        let found = fails(&bed, "publisher", "CreateSnapshot", params);
        assert_eq!(found, *code, "{params:?}");
    }
    assert_eq!(
        fails(&bed, "customer", "CreateSnapshot", &[("VolumeId", &volume)]),
        "InvalidVolume.NotFound"
    );
    assert!(ids(&call(&bed, "DescribeSnapshots", &[])).is_empty());
}

#[test]
fn so_many_may_be_pending() {
    let bed = Bed::new();
    let volume = volume(&bed);
    bed.shared.clock.set_scale(1.0);
    bed.shared.clock.advance(Duration::from_secs(60));
    let create = [("VolumeId", volume.as_str())];
    for _ in 0..5 {
        call(&bed, "CreateSnapshot", &create);
    }
    assert_eq!(
        fails(&bed, "publisher", "CreateSnapshot", &create),
        "ConcurrentSnapshotLimitExceeded"
    );
    bed.shared.limits.set("pending-snapshots", 5);
    assert_eq!(
        fails(&bed, "publisher", "CreateSnapshot", &create),
        "PendingSnapshotLimitExceeded"
    );
    bed.shared.clock.advance(Duration::from_secs(61));
    call(&bed, "CreateSnapshot", &create);
}

#[test]
fn who_sees_a_snapshot() {
    let bed = Bed::new();
    let id = snapshot(&bed);
    let by_id = [("SnapshotId.1", id.as_str())];
    let theirs = |params: Params<'_>| {
        let answer = bed.ec2("customer", "DescribeSnapshots", params);
        ids(&answer.expect("described")).len()
    };
    assert_eq!(
        fails(&bed, "customer", "DescribeSnapshots", &by_id),
        "InvalidSnapshot.NotFound"
    );
    assert_eq!(theirs(&[]), 0);
    share(&bed, &id);
    assert_eq!(theirs(&by_id), 1);
    for (params, expected) in [
        (&[("Owner.1", "self")], 0),
        (&[("Owner.1", PUBLISHER)], 1),
        (&[("Owner.1", "amazon")], 0),
        (&[("RestorableBy.1", "self")], 1),
        (&[("RestorableBy.1", "all")], 0),
        (&[("RestorableBy.1", PUBLISHER)], 0),
    ] {
        assert_eq!(theirs(params), expected, "{params:?}");
    }
    let answer = call(&bed, "DescribeSnapshots", &[("RestorableBy.1", CUSTOMER)]);
    assert_eq!(
        ids(&answer),
        [&id],
        "the owner knows with whom it is shared"
    );
    call(
        &bed,
        "ModifySnapshotAttribute",
        &[
            ("SnapshotId", &id),
            ("Attribute", "createVolumePermission"),
            ("OperationType", "add"),
            ("UserGroup.1", "all"),
        ],
    );
    assert_eq!(theirs(&[("RestorableBy.1", "all")]), 1);
    let tag = [
        ("ResourceId.1", id.as_str()),
        ("Tag.1.Key", "secret"),
        ("Tag.1.Value", "x"),
    ];
    call(&bed, "CreateTags", &tag);
    let answer = bed.ec2("customer", "DescribeSnapshots", &by_id);
    assert_eq!(
        answer.expect("described").all("tagSet/item[0]/key").len(),
        0
    );
    for (params, code) in [
        (&[("Owner.1", "me")], "InvalidUserID.Malformed"),
        (&[("RestorableBy.1", "1")], "InvalidUserID.Malformed"),
        (&[("SnapshotId.1", "disk")], "InvalidParameterValue"),
    ] {
        let found = fails(&bed, "publisher", "DescribeSnapshots", params);
        assert_eq!(found, code, "{params:?}");
    }
}

#[test]
fn filters_and_pages() {
    let bed = Bed::new();
    let volume = volume(&bed);
    let mut all = Vec::new();
    for number in 0..6 {
        let description = format!("number {number}");
        let params = [("VolumeId", volume.as_str()), ("Description", &description)];
        let answer = call(&bed, "CreateSnapshot", &params);
        all.push(answer.text("snapshotId").to_owned());
    }
    for (filter, value, expected) in [
        ("description", "number 3", 1),
        ("description", "number *", 6),
        ("volume-id", &volume, 6),
        ("volume-size", "1", 6),
        ("status", "completed", 6),
        ("status", "pending", 0),
        ("progress", "100%", 6),
        ("encrypted", "false", 6),
        ("owner-id", PUBLISHER, 6),
        ("owner-alias", "amazon", 0),
        ("storage-tier", "standard", 6),
        ("transfer-type", "standard", 0),
        ("snapshot-id", &all[2], 1),
        ("start-time", "20*", 6),
    ] {
        let params = [("Filter.1.Name", filter), ("Filter.1.Value.1", value)];
        let answer = call(&bed, "DescribeSnapshots", &params);
        assert_eq!(ids(&answer).len(), expected, "{filter}={value}");
    }
    all.sort();
    let first = call(&bed, "DescribeSnapshots", &[("MaxResults", "5")]);
    let next = [("MaxResults", "5"), ("NextToken", first.text("nextToken"))];
    let second = call(&bed, "DescribeSnapshots", &next);
    assert_eq!([ids(&first), ids(&second)].concat(), all);
    assert_eq!(second.get("nextToken"), None);
    for (params, code) in [
        (
            [("Filter.1.Name", "colour"), ("Filter.1.Value.1", "red")],
            "InvalidParameterValue",
        ),
        (
            [("MaxResults", "4"), ("NextToken", "")],
            "InvalidParameterValue",
        ),
        (
            [("MaxResults", "5"), ("SnapshotId.1", &all[0])],
            "InvalidParameterCombination",
        ),
    ] {
        let found = fails(&bed, "publisher", "DescribeSnapshots", &params);
        assert_eq!(found, code, "{params:?}");
    }
}

#[test]
fn permissions_change() {
    let bed = Bed::new();
    let id = snapshot(&bed);
    let permissions = |bed: &Bed| {
        let params = [
            ("SnapshotId", id.as_str()),
            ("Attribute", "createVolumePermission"),
        ];
        let answer = call(bed, "DescribeSnapshotAttribute", &params);
        let mut found: Vec<String> = [answer.all("/group"), answer.all("/userId")]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        found.sort();
        found
    };
    let modify = |params: Params<'_>| {
        let all = [&[("SnapshotId", id.as_str())], params].concat();
        call(&bed, "ModifySnapshotAttribute", &all);
        permissions(&bed)
    };
    let add = "CreateVolumePermission.Add.1";
    let (user, group) = (format!("{add}.UserId"), format!("{add}.Group"));
    assert_eq!(modify(&[(&user, CUSTOMER)]), [CUSTOMER]);
    assert_eq!(modify(&[(&group, "all")]), [CUSTOMER, "all"]);
    assert_eq!(
        modify(&[("OperationType", "remove"), ("UserId.1", CUSTOMER)]),
        ["all"]
    );
    call(
        &bed,
        "ResetSnapshotAttribute",
        &[("SnapshotId", &id), ("Attribute", "createVolumePermission")],
    );
    assert!(permissions(&bed).is_empty());

    let removed = "CreateVolumePermission.Remove.1.UserId";
    let cases: &[(Params<'_>, &str)] = &[
        (&[], "MissingParameter"),
        (&[("OperationType", "add")], "MissingParameter"),
        (&[("UserId.1", CUSTOMER)], "MissingParameter"),
        (
            &[("OperationType", "swap"), ("UserId.1", CUSTOMER)],
            "InvalidParameterValue",
        ),
        (
            &[(&user, CUSTOMER), (removed, PUBLISHER)],
            "InvalidParameterCombination",
        ),
        (
            &[(&user, CUSTOMER), (&group, "all")],
            "InvalidParameterCombination",
        ),
        (
            &[(&user, CUSTOMER), ("OperationType", "add")],
            "InvalidParameterCombination",
        ),
        (&[(&user, "12")], "InvalidUserID.Malformed"),
        (&[(&group, "some")], "InvalidUserGroup"),
        (
            &[(&user, CUSTOMER), ("Attribute", "colour")],
            "InvalidParameterValue",
        ),
        (
            &[(&user, CUSTOMER), ("Attribute", "productCodes")],
            "UnsupportedOperation",
        ),
    ];
    for (params, code) in cases {
        let all = [&[("SnapshotId", id.as_str())], *params].concat();
        let found = fails(&bed, "publisher", "ModifySnapshotAttribute", &all);
        assert_eq!(found, *code, "{params:?}");
    }
    share(&bed, &id);
    let params = [("SnapshotId", id.as_str()), (&user, CUSTOMER)];
    assert_eq!(
        fails(&bed, "customer", "ModifySnapshotAttribute", &params),
        "AuthFailure",
        "it is not theirs"
    );
}

#[test]
fn what_is_encrypted_is_never_public() {
    let bed = Bed::new();
    let id = snapshot(&bed);
    encrypt(&bed, &id, "arn:aws:kms:us-east-1:111111111111:key/own");
    let public = [
        ("SnapshotId", id.as_str()),
        ("CreateVolumePermission.Add.1.Group", "all"),
    ];
    assert_eq!(
        fails(&bed, "publisher", "ModifySnapshotAttribute", &public),
        "OperationNotPermitted"
    );
    share(&bed, &id);
    // The account's own key for EBS cannot be shared at all.
    let account = bed.caller("publisher").account;
    let key = bed
        .shared
        .transact(|world| {
            let region = "us-east-1".parse().expect("a Region");
            Ok(crate::sandbox::kms::ebs_default_key(
                world, &account, &region,
            ))
        })
        .expect("a key");
    encrypt(&bed, &id, &key);
    let user = [
        ("SnapshotId", id.as_str()),
        ("CreateVolumePermission.Add.1.UserId", CUSTOMER),
    ];
    assert_eq!(
        fails(&bed, "publisher", "ModifySnapshotAttribute", &user),
        "OperationNotPermitted"
    );
}

/// A copy by an account into `eu-west-1`.
fn copy(bed: &Bed, account: &str, source: &str, more: Params<'_>) -> Result<String, ServiceError> {
    let params = [
        &[("SourceRegion", "us-east-1"), ("SourceSnapshotId", source)],
        more,
    ]
    .concat();
    bed.query(Service::Ec2, account, "eu-west-1", "CopySnapshot", &params)
        .map(|answer| answer.text("snapshotId").to_owned())
}

#[test]
fn a_copy_in_another_region() {
    let bed = Bed::new();
    let id = snapshot(&bed);
    bed.shared.clock.set_scale(1.0);
    let url =
        format!("https://ec2.us-east-1.amazonaws.com/?Action=CopySnapshot&SourceSnapshotId={id}");
    let more = [
        ("Description", "a copy"),
        ("DestinationRegion", "eu-west-1"),
        ("PresignedUrl", url.as_str()),
        ("TagSpecification.1.ResourceType", "snapshot"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "copied"),
    ];
    let copied = copy(&bed, "publisher", &id, &more).expect("copied");
    assert_eq!(status(&bed, "eu-west-1", &copied), "pending");
    bed.shared.clock.advance(Duration::from_secs(600));
    assert_eq!(status(&bed, "eu-west-1", &copied), "completed");
    let params = [("SnapshotId.1", copied.as_str())];
    let answer = bed
        .query(
            Service::Ec2,
            "publisher",
            "eu-west-1",
            "DescribeSnapshots",
            &params,
        )
        .expect("described");
    for (member, expected) in [
        ("volumeId", "vol-ffffffff"),
        ("volumeSize", "1"),
        ("description", "a copy"),
        ("transferType", "standard"),
        ("tagSet/item[0]/value", "copied"),
    ] {
        let path = format!("snapshotSet/item[0]/{member}");
        assert_eq!(answer.text(&path), expected, "{member}");
    }
    assert_eq!(
        fails(&bed, "publisher", "DescribeSnapshots", &params),
        "InvalidSnapshot.NotFound",
        "it is not in us-east-1"
    );
    call(&bed, "DeleteSnapshot", &[("SnapshotId", &id)]);
    assert_eq!(status(&bed, "eu-west-1", &copied), "completed");
}

#[test]
fn a_copy_that_cannot_be() {
    let bed = Bed::new();
    let id = snapshot(&bed);
    let encrypted = snapshot(&bed);
    encrypt(
        &bed,
        &encrypted,
        "arn:aws:kms:us-east-1:111111111111:key/own",
    );
    let cases: &[(&str, Params<'_>, &str)] = &[
        ("snap-00000000000000000", &[], "InvalidSnapshot.NotFound"),
        (
            &id,
            &[("DestinationRegion", "us-east-1")],
            "InvalidParameterValue",
        ),
        (
            &id,
            &[("PresignedUrl", "https://a/?Action=CopyImage")],
            "InvalidParameterValue",
        ),
        (
            &id,
            &[("KmsKeyId", "alias/a")],
            "InvalidParameterDependency",
        ),
        (
            &encrypted,
            &[("Encrypted", "false")],
            "InvalidParameterValue",
        ),
        (
            &id,
            &[("DestinationOutpostArn", "arn")],
            "UnsupportedOperation",
        ),
        (
            &id,
            &[("DestinationAvailabilityZone", "a")],
            "UnsupportedOperation",
        ),
        (
            &id,
            &[("CompletionDurationMinutes", "15")],
            "UnsupportedOperation",
        ),
        (&id, &[("Colour", "red")], "UnknownParameter"),
    ];
    for (source, params, code) in cases {
        let error = copy(&bed, "publisher", source, params).expect_err(code);
        assert_eq!(error.code, *code, "{source} {params:?}");
    }
    let error = copy(&bed, "customer", &id, &[]).expect_err("not shared");
    assert_eq!(error.code, "InvalidSnapshot.NotFound");
    share(&bed, &id);
    copy(&bed, "customer", &id, &[]).expect("shared");
    for (region, code) in [
        ("mars-east-1", "InvalidParameterValue"),
        ("us-west-2", "InvalidSnapshot.NotFound"),
    ] {
        let params = [("SourceRegion", region), ("SourceSnapshotId", &id)];
        assert_eq!(fails(&bed, "publisher", "CopySnapshot", &params), code);
    }
}

#[test]
fn so_many_copies_at_once() {
    let bed = Bed::new();
    let id = snapshot(&bed);
    bed.shared.clock.set_scale(1.0);
    bed.shared.limits.set("snapshot-copies-into-region", 1);
    copy(&bed, "publisher", &id, &[]).expect("copied");
    let error = copy(&bed, "publisher", &id, &[]).expect_err("too many");
    assert_eq!(error.code, "ResourceLimitExceeded");
    bed.shared.clock.advance(Duration::from_secs(600));
    copy(&bed, "publisher", &id, &[]).expect("copied");
    let pending = copy(&bed, "publisher", &id, &[]).expect_err("too many");
    assert_eq!(pending.code, "ResourceLimitExceeded");
}

#[test]
fn encryption_of_copies() {
    let bed = Bed::new();
    let id = snapshot(&bed);
    let key_of = |copied: &str| {
        bed.shared.read(|world| {
            let snapshot = world.ec2.snapshots.get(copied).expect("a snapshot");
            snapshot.key.clone()
        })
    };
    let plain = copy(&bed, "publisher", &id, &[]).expect("copied");
    assert_eq!(key_of(&plain), None);
    let encrypted = copy(&bed, "publisher", &id, &[("Encrypted", "true")]).expect("copied");
    let key = key_of(&encrypted).expect("a key");
    assert!(
        key.starts_with("arn:aws:kms:eu-west-1:111111111111:key/"),
        "{key}"
    );
    // A key that there is not shows later.
    let params = [("Encrypted", "true"), ("KmsKeyId", "alias/none")];
    let failed = copy(&bed, "publisher", &id, &params).expect("accepted");
    assert_eq!(status(&bed, "eu-west-1", &failed), "error");
    let params = [("SnapshotId.1", failed.as_str())];
    let answer = bed
        .query(
            Service::Ec2,
            "publisher",
            "eu-west-1",
            "DescribeSnapshots",
            &params,
        )
        .expect("described");
    assert_eq!(
        answer.text("snapshotSet/item[0]/statusMessage"),
        "Given key ID is not accessible"
    );
    let error = bed
        .query(
            Service::Ec2,
            "publisher",
            "eu-west-1",
            "CopySnapshot",
            &[("SourceRegion", "eu-west-1"), ("SourceSnapshotId", &failed)],
        )
        .unwrap_err();
    assert_eq!(error.code, "IncorrectState", "it is not completed");
}

#[test]
fn a_mishap_shows_later() {
    let bed = Bed::new();
    let volume = volume(&bed);
    let body = format!("Action=CreateSnapshot&Version=2016-11-15&VolumeId={volume}");
    let request = request("POST", "/", &[], body.as_bytes());
    let mut context = bed.context(
        Service::Ec2,
        "CreateSnapshot",
        "publisher",
        "us-east-1",
        request,
    );
    context.mishaps.fail_later = Some("It went wrong".to_owned());
    Service::Ec2.handle(&context).expect("accepted");
    bed.shared.settle();
    let answer = call(&bed, "DescribeSnapshots", &[]);
    assert_eq!(answer.text("snapshotSet/item[0]/status"), "error");
    assert_eq!(
        answer.text("snapshotSet/item[0]/statusMessage"),
        "It went wrong"
    );
}

#[test]
fn a_snapshot_in_use_stays() {
    let bed = Bed::new();
    let id = snapshot(&bed);
    let delete = [("SnapshotId", id.as_str())];
    let image = call(
        &bed,
        "RegisterImage",
        &[
            ("Name", "alpine"),
            ("Architecture", "x86_64"),
            ("RootDeviceName", "/dev/xvda"),
            ("VirtualizationType", "hvm"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", &id),
        ],
    );
    assert_eq!(
        fails(&bed, "publisher", "DeleteSnapshot", &delete),
        "InvalidSnapshot.InUse"
    );
    call(
        &bed,
        "DeregisterImage",
        &[("ImageId", image.text("imageId"))],
    );
    assert_eq!(
        fails(&bed, "customer", "DeleteSnapshot", &delete),
        "InvalidSnapshot.NotFound"
    );
    share(&bed, &id);
    assert_eq!(
        fails(&bed, "customer", "DeleteSnapshot", &delete),
        "AuthFailure"
    );
    bed.ec2(
        "customer",
        "RegisterImage",
        &[
            ("Name", "theirs"),
            ("RootDeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", &id),
            ("VirtualizationType", "hvm"),
        ],
    )
    .expect("an image that keeps nobody from deleting");
    call(&bed, "DeleteSnapshot", &delete);
    assert_eq!(
        fails(&bed, "publisher", "DeleteSnapshot", &delete),
        "InvalidSnapshot.NotFound"
    );
}
