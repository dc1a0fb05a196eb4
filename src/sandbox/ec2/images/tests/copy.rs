use std::time::Duration;

use super::*;

/// Copies an image of `us-east-1` into a Region.
fn copy(
    bed: &Bed,
    account: &str,
    region: &str,
    source: &str,
    more: &[(&str, &str)],
) -> Result<String, ServiceError> {
    let mut params = vec![
        ("SourceRegion", US),
        ("SourceImageId", source),
        ("Name", "copy"),
    ];
    for (name, value) in more {
        params.retain(|(known, _)| known != name);
        if *value != "-" {
            params.push((name, value));
        }
    }
    let answer = bed.query(Service::Ec2, account, region, "CopyImage", &params)?;
    Ok(answer.text("imageId").to_owned())
}

/// A text of an image that its owner sees.
fn shown(bed: &Bed, account: &str, region: &str, id: &str, path: &str) -> Option<String> {
    let params = [("ImageId.1", id)];
    let answer = ok_in(bed, account, region, "DescribeImages", &params);
    let text = answer.get(&format!("imagesSet/item[0]/{path}"));
    text.map(str::to_owned)
}

/// The snapshot of the image's root.
fn root_snapshot(bed: &Bed, account: &str, region: &str, id: &str) -> Snapshot {
    let path = "blockDeviceMapping/item[0]/ebs/snapshotId";
    let snapshot = shown(bed, account, region, id, path).expect("a snapshot");
    bed.shared
        .read(|world| world.ec2.snapshots.get(&snapshot).cloned())
        .expect("in the world")
}

/// A new key of an account's.
fn new_key(bed: &Bed, account: &str, region: &str) -> String {
    let made = bed
        .json(
            Service::Kms,
            account,
            region,
            "CreateKey",
            serde_json::json!({}),
        )
        .expect("a key");
    made["KeyMetadata"]["Arn"]
        .as_str()
        .expect("an ARN")
        .to_owned()
}

#[test]
fn what_cannot_be_copied() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    put_snapshot(&bed, "snap-00000000000000002", |snapshot| {
        snapshot.key = Some("arn:aws:kms:us-east-1:111111111111:key/k".to_owned());
    });
    let other = [(
        "BlockDeviceMapping.1.Ebs.SnapshotId",
        "snap-00000000000000002",
    )];
    let encrypted = register(&bed, "encrypted", &other).expect("an image");
    let disabled = register(&bed, "disabled", &[]).expect("an image");
    ok(&bed, "publisher", "DisableImage", &[("ImageId", &disabled)]);
    let gone = register(&bed, "gone", &[]).expect("an image");
    ok(&bed, "publisher", "DeregisterImage", &[("ImageId", &gone)]);
    let long_token = "t".repeat(129);
    let cases: &[(&str, Given<'_>, &str)] = &[
        (&id, &[("Name", "-")], "MissingParameter"),
        (&id, &[("Name", "a:b")], "InvalidAMIName.Malformed"),
        (&id, &[("Description", "größer")], "InvalidParameterValue"),
        (&id, &[("SourceRegion", "-")], "MissingParameter"),
        (&id, &[("SourceRegion", "mars-1")], "InvalidParameterValue"),
        (&id, &[("SourceRegion", EU)], "InvalidAMIID.NotFound"),
        (&id, &[("SourceImageId", "-")], "MissingParameter"),
        (
            &id,
            &[("ClientToken", &long_token)],
            "InvalidParameterValue",
        ),
        (
            &id,
            &[("KmsKeyId", "alias/key")],
            "InvalidParameterDependency",
        ),
        (
            &id,
            &[("Encrypted", "false"), ("KmsKeyId", "alias/key")],
            "InvalidParameterDependency",
        ),
        (
            &id,
            &[("DestinationOutpostArn", "arn:x")],
            "UnsupportedOperation",
        ),
        (
            &id,
            &[("DestinationAvailabilityZone", "z")],
            "UnsupportedOperation",
        ),
        (
            &id,
            &[("DestinationAvailabilityZoneId", "z")],
            "UnsupportedOperation",
        ),
        (
            &id,
            &[("SnapshotCopyCompletionDurationMinutes", "20")],
            "InvalidParameterValue",
        ),
        (
            &id,
            &[("SnapshotCopyCompletionDurationMinutes", "2895")],
            "InvalidParameterValue",
        ),
        (
            &id,
            &[
                ("TagSpecification.1.ResourceType", "volume"),
                ("TagSpecification.1.Tag.1.Key", "a"),
            ],
            "InvalidParameterValue",
        ),
        (&id, &[("Colour", "blue")], "UnknownParameter"),
        ("ami-1", &[], "InvalidAMIID.Malformed"),
        ("ami-00000001", &[], "InvalidAMIID.NotFound"),
        (&gone, &[], "InvalidAMIID.Unavailable"),
        (&disabled, &[], "InvalidAMIID.Unavailable"),
        (&encrypted, &[("Encrypted", "false")], "InvalidRequest"),
    ];
    for (source, more, expected) in cases {
        match copy(&bed, "publisher", EU, source, more) {
            Ok(id) => panic!("{source} {more:?} is copied to {id}"),
            Err(error) => assert_eq!(error.code, *expected, "{source} {more:?}: {error}"),
        }
    }
    assert!(
        ok_in(&bed, "publisher", EU, "DescribeImages", &[])
            .all("/name")
            .is_empty()
    );
    let error = copy(&bed, "publisher", US, &id, &[("Name", "image")]).expect_err("here");
    assert_eq!(error.code, "InvalidAMIName.Duplicate");
}

#[test]
fn a_copy_is_like_its_source_but_shared_with_nobody() {
    let bed = bed();
    let more = [
        ("Description", "the source"),
        ("BootMode", "uefi"),
        ("EnaSupport", "true"),
        ("ImdsSupport", "v2.0"),
        ("TpmSupport", "v2.0"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "8"),
        ("BlockDeviceMapping.2.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.2.Ebs.SnapshotId", SNAPSHOT),
        ("BlockDeviceMapping.3.DeviceName", "/dev/sdg"),
        ("BlockDeviceMapping.3.Ebs.VolumeSize", "1"),
    ];
    let id = register(&bed, "image", &more).expect("an image");
    share_with_customer(&bed, &id);
    ok(
        &bed,
        "publisher",
        "EnableImageDeregistrationProtection",
        &[("ImageId", &id)],
    );
    let params = [("ImageId", &*id), ("DeprecateAt", "2035-01-01T00:00:00Z")];
    bed.ec2("publisher", "EnableImageDeprecation", &params)
        .expect("deprecated");
    let copied = copy(&bed, "publisher", EU, &id, &[]).expect("a copy");
    let text = |path: &str| shown(&bed, "publisher", EU, &copied, path);
    for (path, expected) in [
        ("name", Some("copy")),
        ("description", None),
        ("architecture", Some("x86_64")),
        ("virtualizationType", Some("hvm")),
        ("bootMode", Some("uefi")),
        ("enaSupport", Some("true")),
        ("imdsSupport", Some("v2.0")),
        ("tpmSupport", Some("v2.0")),
        ("rootDeviceName", Some("/dev/xvda")),
        ("sourceImageId", Some(&*id)),
        ("sourceImageRegion", Some(US)),
        ("deprecationTime", None),
        ("deregistrationProtection", Some("disabled")),
        ("isPublic", Some("false")),
        ("blockDeviceMapping/item[0]/ebs/volumeSize", Some("8")),
        ("blockDeviceMapping/item[0]/ebs/volumeType", Some("gp3")),
        ("blockDeviceMapping/item[0]/ebs/encrypted", Some("false")),
        ("blockDeviceMapping/item[2]/ebs/volumeSize", Some("1")),
        ("blockDeviceMapping/item[2]/ebs/snapshotId", None),
    ] {
        assert_eq!(text(path).as_deref(), expected, "{path}");
    }
    let snapshot = text("blockDeviceMapping/item[0]/ebs/snapshotId").expect("a snapshot");
    assert_ne!(snapshot, SNAPSHOT);
    let second = text("blockDeviceMapping/item[1]/ebs/snapshotId");
    assert_eq!(second, Some(snapshot), "one snapshot, copied once");
    assert!(
        ok_in(&bed, "customer", EU, "DescribeImages", &[])
            .all("/name")
            .is_empty()
    );
    let description = root_snapshot(&bed, "publisher", EU, &copied).description;
    assert!(
        description.contains(&id) && description.contains(&copied),
        "{description}"
    );
    let source = [
        ("Filter.1.Name", "source-image-id"),
        ("Filter.1.Value.1", &*id),
    ];
    let found = ok_in(&bed, "publisher", EU, "DescribeImages", &source);
    assert_eq!(found.all("]/name"), ["copy"]);
}

#[test]
fn tags_are_copied_if_asked_for() {
    let bed = bed();
    let tags = [
        ("TagSpecification.1.ResourceType", "image"),
        ("TagSpecification.1.Tag.1.Key", "stage"),
        ("TagSpecification.1.Tag.1.Value", "test"),
        ("TagSpecification.1.Tag.2.Key", "team"),
        ("TagSpecification.1.Tag.2.Value", "a"),
    ];
    let id = register(&bed, "image", &tags).expect("an image");
    let more = [
        ("TagSpecification.1.ResourceType", "image"),
        ("TagSpecification.1.Tag.1.Key", "stage"),
        ("TagSpecification.1.Tag.1.Value", "live"),
        ("TagSpecification.2.ResourceType", "snapshot"),
        ("TagSpecification.2.Tag.1.Key", "of"),
        ("TagSpecification.2.Tag.1.Value", "copy"),
    ];
    let account = bed.caller("publisher").account;
    for (name, copy_tags, expected) in [
        ("one", "false", vec![("stage", "live")]),
        ("two", "true", vec![("stage", "live"), ("team", "a")]),
    ] {
        let mut more = more.to_vec();
        more.extend([("CopyImageTags", copy_tags), ("Name", name)]);
        let copied = copy(&bed, "publisher", EU, &id, &more).expect("a copy");
        let snapshot = root_snapshot(&bed, "publisher", EU, &copied).id;
        let tags = |resource: &str| {
            let tags = bed.shared.read(|world| world.tags.of(&account, resource));
            tags.into_iter().collect::<Vec<_>>()
        };
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(tags(&copied), expected, "{copy_tags}");
        assert_eq!(tags(&snapshot), [("of".to_owned(), "copy".to_owned())]);
    }
}

#[test]
fn a_launch_permission_does_not_let_copy() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    let error = copy(&bed, "customer", US, &id, &[]).expect_err("unseen");
    assert_eq!(error.code, "InvalidAMIID.NotFound");
    share_with_customer(&bed, &id);
    let error = copy(&bed, "customer", US, &id, &[]).expect_err("unread");
    assert_eq!(error.code, "InvalidRequest");
    assert!(error.message.contains("storage"), "{error}");
    let customer = bed.caller("customer").account;
    put_snapshot(&bed, SNAPSHOT, |snapshot| {
        snapshot.shared_with.insert(customer.clone());
    });
    let copied = copy(&bed, "customer", EU, &id, &[]).expect("a copy");
    let snapshot = root_snapshot(&bed, "customer", EU, &copied);
    assert_eq!(snapshot.owner, customer);
    assert_eq!(
        shown(&bed, "customer", EU, &copied, "imageOwnerId").as_deref(),
        Some(customer.as_str())
    );
}

#[test]
fn tokens() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    let token = ("ClientToken", "token");
    let first = copy(&bed, "publisher", EU, &id, &[token]).expect("a copy");
    let again = copy(&bed, "publisher", EU, &id, &[token]).expect("the same");
    assert_eq!(first, again);
    let error = copy(&bed, "publisher", EU, &id, &[token, ("Name", "other")]).expect_err("another");
    assert_eq!(error.code, "IdempotentParameterMismatch");
    let error = copy(&bed, "publisher", EU, &id, &[]).expect_err("the name");
    assert_eq!(error.code, "InvalidAMIName.Duplicate");
    copy(&bed, "publisher", "eu-west-1", &id, &[token]).expect("each Region has its own");
    // EC2 answers with what the token made, even where that is no more.
    let gone = [
        ("ImageId", first.as_str()),
        ("DeleteAssociatedSnapshots", "true"),
    ];
    bed.query(Service::Ec2, "publisher", EU, "DeregisterImage", &gone)
        .expect("deregistered");
    let again = copy(&bed, "publisher", EU, &id, &[token]).expect("the same");
    assert_eq!(again, first);
    let told = [("ImageId.1", first.as_str())];
    let error = bed
        .query(Service::Ec2, "publisher", EU, "DescribeImages", &told)
        .expect_err("gone");
    assert_eq!(error.code, "InvalidAMIID.NotFound");
}

#[test]
fn copies_take_time_and_are_limited() {
    let bed = bed();
    // One with data, since that is really copied.
    let volume = [("AvailabilityZone", "us-east-1a"), ("Size", "2")];
    let volume = ok(&bed, "publisher", "CreateVolume", &volume);
    let of = [("VolumeId", volume.text("volumeId"))];
    let made = ok(&bed, "publisher", "CreateSnapshot", &of);
    let root = [(
        "BlockDeviceMapping.1.Ebs.SnapshotId",
        made.text("snapshotId"),
    )];
    let id = register(&bed, "image", &root).expect("an image");
    bed.shared.clock.set_scale(1.0);
    assert!(bed.shared.limits.set("ami-copies-into-region", 1));
    let copied = copy(&bed, "publisher", EU, &id, &[]).expect("a copy");
    let state = || shown(&bed, "publisher", EU, &copied, "imageState").expect("a state");
    assert_eq!(state(), "pending");
    let other = [("Name", "other")];
    let error = copy(&bed, "publisher", EU, &id, &other).expect_err("one too many");
    assert_eq!(error.code, "ResourceLimitExceeded");
    copy(&bed, "publisher", "eu-west-1", &id, &other).expect("into another Region");
    let snapshot = root_snapshot(&bed, "publisher", EU, &copied).id;
    let complete = |done: bool| {
        bed.shared
            .transact(|world| {
                let snapshot = world.ec2.snapshots.get_mut(&snapshot).expect("a snapshot");
                if let Progress::Until { done: is_done, .. } = &mut snapshot.progress {
                    *is_done = done;
                }
                Ok(())
            })
            .expect("a change");
    };
    complete(true);
    assert_eq!(state(), "pending");
    bed.shared.clock.advance(Duration::from_secs(299));
    assert_eq!(state(), "pending");
    complete(false);
    bed.shared.clock.advance(Duration::from_secs(2));
    assert_eq!(state(), "pending", "its snapshot is not there");
    complete(true);
    assert_eq!(state(), "available");
    copy(&bed, "publisher", EU, &id, &other).expect("the next one");
}

#[test]
fn keys_of_copies() {
    let bed = bed();
    let image = register(&bed, "image", &[]).expect("an image");
    let own_us = new_key(&bed, "publisher", US);
    let own_eu = new_key(&bed, "publisher", EU);
    let owner = bed.caller("publisher").account;
    put_snapshot(&bed, "snap-00000000000000002", |snapshot| {
        snapshot.key = Some(own_us.clone());
    });
    let other = [(
        "BlockDeviceMapping.1.Ebs.SnapshotId",
        "snap-00000000000000002",
    )];
    let encrypted = register(&bed, "encrypted", &other).expect("an image");
    let default_eu = bed
        .shared
        .transact(|world| {
            let region = EU.parse().expect("a Region");
            Ok(crate::sandbox::kms::ebs_default_key(world, &owner, &region))
        })
        .expect("a key");
    let with_key = [("Encrypted", "true"), ("KmsKeyId", &*own_eu)];
    let cases: &[(&str, Given<'_>, Option<&str>)] = &[
        (&image, &[], None),
        (&image, &[("Encrypted", "false")], None),
        (&image, &[("Encrypted", "true")], Some(&default_eu)),
        (&image, &with_key, Some(&own_eu)),
        (&encrypted, &[], Some(&default_eu)),
        (&encrypted, &[("Encrypted", "true")], Some(&default_eu)),
        (&encrypted, &with_key, Some(&own_eu)),
    ];
    for (number, (source, more, key)) in cases.iter().enumerate() {
        let name = format!("copy {number}");
        let mut more = more.to_vec();
        more.push(("Name", &name));
        let copied = copy(&bed, "publisher", EU, source, &more).expect("a copy");
        let snapshot = root_snapshot(&bed, "publisher", EU, &copied);
        assert_eq!(snapshot.key.as_deref(), *key, "{source} {more:?}");
        let shown = shown(
            &bed,
            "publisher",
            EU,
            &copied,
            "blockDeviceMapping/item[0]/ebs/encrypted",
        );
        assert_eq!(shown, Some(key.is_some().to_string()));
    }
}

#[test]
fn trouble_with_keys_shows_later() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    let elsewhere = new_key(&bed, "publisher", US);
    let theirs = new_key(&bed, "customer", EU);
    for (number, key) in ["alias/none", &elsewhere, &theirs].into_iter().enumerate() {
        let name = format!("copy {number}");
        let more = [("Encrypted", "true"), ("KmsKeyId", key), ("Name", &*name)];
        let copied = copy(&bed, "publisher", EU, &id, &more).expect("it is accepted");
        let text = |path| shown(&bed, "publisher", EU, &copied, path);
        assert_eq!(text("imageState").as_deref(), Some("failed"), "{key}");
        let reason = text("stateReason/message").expect("a reason");
        assert!(
            reason.contains("Given key ID is not accessible"),
            "{key}: {reason}"
        );
    }
}

#[test]
fn a_copy_fails_later_on_request() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    let body = format!(
        "Action=CopyImage&Version=2016-11-15&SourceRegion={US}&SourceImageId={id}&Name=copy"
    );
    let request = crate::sandbox::testing::request("POST", "/", &[], body.as_bytes());
    let mut context = bed.context(Service::Ec2, "CopyImage", "publisher", EU, request);
    context.mishaps.fail_later = Some("a bad day".to_owned());
    let answer = Xml::parse(&Service::Ec2.handle(&context).expect("it is accepted"));
    bed.shared.settle();
    let copied = answer.text("imageId");
    let text = |path| shown(&bed, "publisher", EU, copied, path);
    assert_eq!(text("imageState").as_deref(), Some("failed"));
    assert!(
        text("stateReason/message")
            .expect("a reason")
            .contains("a bad day")
    );
    let snapshot = text("blockDeviceMapping/item[0]/ebs/snapshotId").expect("a snapshot");
    let call = |action: &str, params: &[(&str, &str)]| {
        bed.query(Service::Ec2, "publisher", EU, action, params)
    };
    let told = call("DescribeSnapshots", &[("SnapshotId.1", &snapshot)]).expect("a snapshot");
    assert_eq!(told.text("snapshotSet/item[0]/status"), "error");
    let error = call("DeleteSnapshot", &[("SnapshotId", &snapshot)]).expect_err("in use");
    assert_eq!(error.code, "InvalidSnapshot.InUse");
    let gone = [("ImageId", copied), ("DeleteAssociatedSnapshots", "true")];
    let gone = call("DeregisterImage", &gone).expect("deregistered");
    let code = "deleteSnapshotResultSet/item[0]/returnCode";
    assert_eq!(gone.text(code), "success");
    let error = call("DescribeSnapshots", &[("SnapshotId.1", &snapshot)]).expect_err("gone");
    assert_eq!(error.code, "InvalidSnapshot.NotFound");
}
