use super::*;
use crate::sandbox::ec2::images::launched;

#[test]
fn what_cannot_be_registered() {
    let bed = bed();
    put_snapshot(&bed, "snap-00000000000000002", |snapshot| {
        snapshot.progress = Progress::Open;
    });
    put_snapshot(&bed, "snap-00000000000000003", |snapshot| {
        snapshot.owner = bed.caller("customer").account;
    });
    put_snapshot(&bed, "snap-00000000000000004", |snapshot| {
        snapshot.region = EU.parse().expect("a Region");
    });
    register(&bed, "taken", &[]).expect("an image");
    let long_name = "n".repeat(129);
    let long_text = "d".repeat(256);
    let cases: &[(&str, Given<'_>, &str)] = &[
        ("ab", &[], "InvalidAMIName.Malformed"),
        (&long_name, &[], "InvalidAMIName.Malformed"),
        ("new:name", &[], "InvalidAMIName.Malformed"),
        ("näme", &[], "InvalidAMIName.Malformed"),
        ("taken", &[], "InvalidAMIName.Duplicate"),
        ("new", &[("Name", "-")], "MissingParameter"),
        (
            "new",
            &[("Description", &long_text)],
            "InvalidParameterValue",
        ),
        ("new", &[("Description", "größer")], "InvalidParameterValue"),
        (
            "new",
            &[("Architecture", "riscv64")],
            "InvalidParameterValue",
        ),
        (
            "new",
            &[("VirtualizationType", "qemu")],
            "InvalidParameterValue",
        ),
        ("new", &[("BootMode", "bios")], "InvalidParameterValue"),
        ("new", &[("ImdsSupport", "v1.0")], "InvalidParameterValue"),
        ("new", &[("TpmSupport", "v1.2")], "InvalidParameterValue"),
        (
            "new",
            &[("SriovNetSupport", "double")],
            "InvalidParameterValue",
        ),
        ("new", &[("EnaSupport", "perhaps")], "InvalidParameterValue"),
        // What goes together.
        (
            "new",
            &[
                ("Architecture", "arm64"),
                ("VirtualizationType", "paravirtual"),
            ],
            "InvalidParameterCombination",
        ),
        (
            "new",
            &[("Architecture", "arm64"), ("BootMode", "uefi-preferred")],
            "InvalidParameterCombination",
        ),
        (
            "new",
            &[("Architecture", "arm64"), ("BootMode", "legacy-bios")],
            "InvalidParameterCombination",
        ),
        (
            "new",
            &[("Architecture", "i386"), ("BootMode", "uefi")],
            "InvalidParameterCombination",
        ),
        (
            "new",
            &[("VirtualizationType", "paravirtual"), ("BootMode", "uefi")],
            "InvalidParameterCombination",
        ),
        (
            "new",
            &[("VirtualizationType", "-"), ("EnaSupport", "true")],
            "InvalidParameterCombination",
        ),
        (
            "new",
            &[("TpmSupport", "v2.0")],
            "InvalidParameterCombination",
        ),
        (
            "new",
            &[("UefiData", "AAAA")],
            "InvalidParameterCombination",
        ),
        (
            "new",
            &[("BootMode", "uefi"), ("UefiData", "no base64!")],
            "InvalidParameterValue",
        ),
        // What is not to be had here.
        (
            "new",
            &[("ImageLocation", "bucket/key")],
            "UnsupportedOperation",
        ),
        (
            "new",
            &[("KernelId", "aki-00000001")],
            "InvalidAMIID.NotFound",
        ),
        (
            "new",
            &[("RamdiskId", "ari-00000001")],
            "InvalidAMIID.NotFound",
        ),
        ("new", &[("BillingProduct.1", "bp-1")], "AuthFailure"),
        ("new", &[("Colour", "blue")], "UnknownParameter"),
        // Tags.
        (
            "new",
            &[
                ("TagSpecification.1.ResourceType", "snapshot"),
                ("TagSpecification.1.Tag.1.Key", "a"),
            ],
            "InvalidParameterValue",
        ),
        // Disks.
        ("new", &[("RootDeviceName", "-")], "MissingParameter"),
        (
            "new",
            &[("RootDeviceName", "/dev/sda1")],
            "InvalidBlockDeviceMapping",
        ),
        (
            "new",
            &[
                ("BlockDeviceMapping.1.Ebs.SnapshotId", "-"),
                ("BlockDeviceMapping.1.Ebs.VolumeSize", "2"),
            ],
            "InvalidBlockDeviceMapping",
        ),
        (
            "new",
            &[("BlockDeviceMapping.1.NoDevice", "")],
            "InvalidBlockDeviceMapping",
        ),
        (
            "new",
            &[(
                "BlockDeviceMapping.1.Ebs.SnapshotId",
                "snap-00000000000000009",
            )],
            "InvalidSnapshot.NotFound",
        ),
        (
            "new",
            &[(
                "BlockDeviceMapping.1.Ebs.SnapshotId",
                "snap-00000000000000003",
            )],
            "InvalidSnapshot.NotFound",
        ),
        (
            "new",
            &[(
                "BlockDeviceMapping.1.Ebs.SnapshotId",
                "snap-00000000000000004",
            )],
            "InvalidSnapshot.NotFound",
        ),
        (
            "new",
            &[(
                "BlockDeviceMapping.1.Ebs.SnapshotId",
                "snap-00000000000000002",
            )],
            "IncorrectState",
        ),
        (
            "new",
            &[("BlockDeviceMapping.1.Ebs.Encrypted", "false")],
            "InvalidParameter",
        ),
        (
            "new",
            &[
                ("BlockDeviceMapping.1.Ebs.Encrypted", "true"),
                ("BlockDeviceMapping.1.Ebs.KmsKeyId", "alias/key"),
            ],
            "InvalidParameter",
        ),
        (
            "new",
            &[("BlockDeviceMapping.1.Ebs.VolumeSize", "1")],
            "InvalidBlockDeviceMapping",
        ),
    ];
    for (name, more, expected) in cases {
        match register(&bed, name, more) {
            Ok(id) => panic!("{name} {more:?} is registered as {id}"),
            Err(error) => assert_eq!(error.code, *expected, "{name} {more:?}: {error}"),
        }
    }
    assert_eq!(found(&bed, "publisher", &[]), ["taken"]);
}

#[test]
fn disks_that_cannot_be() {
    let bed = bed();
    // The second disk; the first is the root.
    let cases: &[(Given<'_>, &str)] = &[
        (&[], "InvalidBlockDeviceMapping"),
        (
            &[("DeviceName", "/dev/xvda"), ("Ebs.VolumeSize", "1")],
            "InvalidBlockDeviceMapping",
        ),
        (
            &[("DeviceName", ""), ("Ebs.VolumeSize", "1")],
            "MissingParameter",
        ),
        (
            &[("VirtualName", "ephemeral24")],
            "InvalidBlockDeviceMapping",
        ),
        (&[("VirtualName", "disk0")], "InvalidBlockDeviceMapping"),
        (
            &[("VirtualName", "ephemeral0"), ("Ebs.VolumeSize", "1")],
            "InvalidBlockDeviceMapping",
        ),
        (&[("Ebs.VolumeType", "gp2")], "MissingParameter"),
        (&[("Ebs.VolumeSize", "0")], "InvalidParameterValue"),
        (&[("Ebs.VolumeSize", "-1")], "InvalidParameterValue"),
        (&[("Ebs.VolumeSize", "16385")], "InvalidParameterValue"),
        (
            &[("Ebs.VolumeSize", "65537"), ("Ebs.VolumeType", "gp3")],
            "InvalidParameterValue",
        ),
        (
            &[("Ebs.VolumeSize", "124"), ("Ebs.VolumeType", "st1")],
            "InvalidParameterValue",
        ),
        (
            &[("Ebs.VolumeSize", "1"), ("Ebs.VolumeType", "gp4")],
            "UnknownVolumeType",
        ),
        (
            &[("Ebs.VolumeSize", "10"), ("Ebs.VolumeType", "io2")],
            "MissingParameter",
        ),
        (
            &[
                ("Ebs.VolumeSize", "10"),
                ("Ebs.VolumeType", "gp2"),
                ("Ebs.Iops", "3000"),
            ],
            "InvalidParameterCombination",
        ),
        (
            &[
                ("Ebs.VolumeSize", "10"),
                ("Ebs.VolumeType", "gp3"),
                ("Ebs.Iops", "2999"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ("Ebs.VolumeSize", "10"),
                ("Ebs.VolumeType", "gp3"),
                ("Ebs.Iops", "5001"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ("Ebs.VolumeSize", "10"),
                ("Ebs.VolumeType", "io1"),
                ("Ebs.Iops", "501"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ("Ebs.VolumeSize", "65000"),
                ("Ebs.VolumeType", "io2"),
                ("Ebs.Iops", "256001"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ("Ebs.VolumeSize", "10"),
                ("Ebs.VolumeType", "gp2"),
                ("Ebs.Throughput", "125"),
            ],
            "InvalidParameterCombination",
        ),
        (
            &[
                ("Ebs.VolumeSize", "10"),
                ("Ebs.VolumeType", "gp3"),
                ("Ebs.Throughput", "124"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ("Ebs.VolumeSize", "10"),
                ("Ebs.VolumeType", "gp3"),
                ("Ebs.Throughput", "751"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[("Ebs.VolumeSize", "1"), ("Ebs.KmsKeyId", "alias/key")],
            "InvalidParameterDependency",
        ),
        (
            &[
                ("Ebs.VolumeSize", "1"),
                ("Ebs.AvailabilityZone", "us-east-1a"),
            ],
            "UnsupportedOperation",
        ),
        (
            &[("Ebs.VolumeSize", "1"), ("Ebs.OutpostArn", "arn:x")],
            "UnsupportedOperation",
        ),
        (
            &[
                ("Ebs.VolumeSize", "1"),
                ("Ebs.VolumeInitializationRate", "100"),
            ],
            "UnsupportedOperation",
        ),
        (
            &[("Ebs.VolumeSize", "1"), ("Ebs.EbsCardIndex", "1")],
            "InvalidParameterValue",
        ),
        (
            &[("Ebs.VolumeSize", "1"), ("Ebs.Colour", "blue")],
            "UnknownParameter",
        ),
    ];
    for (members, expected) in cases {
        let mut members: Vec<(String, &str)> = members
            .iter()
            .map(|(name, value)| (format!("BlockDeviceMapping.2.{name}"), *value))
            .collect();
        if !members.iter().any(|(name, _)| name.ends_with("DeviceName")) {
            members.push(("BlockDeviceMapping.2.DeviceName".to_owned(), "/dev/sdf"));
        }
        let more: Vec<(&str, &str)> = members.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        let error = register(&bed, "name", &more).expect_err(&format!("{more:?}"));
        assert_eq!(error.code, *expected, "{more:?}: {error}");
    }
}

#[test]
fn everything_that_is_registered_is_described() {
    let bed = bed();
    put_snapshot(&bed, "snap-00000000000000002", |snapshot| {
        snapshot.key = Some("arn:aws:kms:us-east-1:111111111111:key/k".to_owned());
    });
    let more = [
        ("Description", "an <image>"),
        ("Architecture", "x86_64"),
        ("BootMode", "uefi"),
        ("EnaSupport", "true"),
        ("SriovNetSupport", "simple"),
        ("ImdsSupport", "v2.0"),
        ("TpmSupport", "v2.0"),
        ("UefiData", "AAAA"),
        ("TagSpecification.1.ResourceType", "image"),
        ("TagSpecification.1.Tag.1.Key", "stage"),
        ("TagSpecification.1.Tag.1.Value", "test"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "8"),
        ("BlockDeviceMapping.1.Ebs.Iops", "4000"),
        ("BlockDeviceMapping.1.Ebs.Throughput", "1000"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false"),
        ("BlockDeviceMapping.2.DeviceName", "/dev/sdf"),
        (
            "BlockDeviceMapping.2.Ebs.SnapshotId",
            "snap-00000000000000002",
        ),
        ("BlockDeviceMapping.3.DeviceName", "/dev/sdg"),
        ("BlockDeviceMapping.3.Ebs.VolumeSize", "3"),
        ("BlockDeviceMapping.3.Ebs.Encrypted", "true"),
        ("BlockDeviceMapping.4.DeviceName", "/dev/sdh"),
        ("BlockDeviceMapping.4.VirtualName", "ephemeral0"),
        ("BlockDeviceMapping.5.DeviceName", "/dev/sdi"),
        ("BlockDeviceMapping.5.NoDevice", ""),
    ];
    let id = register(&bed, "alpine [1]/(x)-y.z 'q'@_", &more).expect("an image");
    let answer = describe(&bed, "publisher", &[("ImageId.1", &id)]).expect("the image");
    let image = |path: &str| answer.get(&format!("imagesSet/item[0]/{path}"));
    let device = |number: usize, path: &str| {
        let path = format!("blockDeviceMapping/item[{number}]/{path}");
        image(&path).map(str::to_owned)
    };
    for (path, expected) in [
        ("imageId", &*id),
        ("name", "alpine [1]/(x)-y.z 'q'@_"),
        ("imageLocation", "111111111111/alpine [1]/(x)-y.z 'q'@_"),
        ("imageState", "available"),
        ("imageOwnerId", "111111111111"),
        ("isPublic", "false"),
        ("architecture", "x86_64"),
        ("imageType", "machine"),
        ("platformDetails", "Linux/UNIX"),
        ("usageOperation", "RunInstances"),
        ("description", "an <image>"),
        ("rootDeviceType", "ebs"),
        ("rootDeviceName", "/dev/xvda"),
        ("virtualizationType", "hvm"),
        ("hypervisor", "xen"),
        ("enaSupport", "true"),
        ("sriovNetSupport", "simple"),
        ("bootMode", "uefi"),
        ("tpmSupport", "v2.0"),
        ("imdsSupport", "v2.0"),
        ("deregistrationProtection", "disabled"),
        ("tagSet/item[0]/key", "stage"),
        ("tagSet/item[0]/value", "test"),
    ] {
        assert_eq!(image(path), Some(expected), "{path}");
    }
    for absent in [
        "deprecationTime",
        "stateReason/code",
        "lastLaunchedTime",
        "sourceImageId",
    ] {
        assert_eq!(image(absent), None, "{absent}");
    }
    assert!(Timestamp::parse(image("creationDate").expect("a date")).is_some());
    let rows: [(usize, [Option<&str>; 8]); 4] = [
        (
            0,
            [
                Some(SNAPSHOT),
                Some("8"),
                Some("gp3"),
                Some("4000"),
                Some("1000"),
                Some("false"),
                Some("false"),
                None,
            ],
        ),
        (
            1,
            [
                Some("snap-00000000000000002"),
                Some("2"),
                Some("gp2"),
                None,
                None,
                Some("true"),
                Some("true"),
                None,
            ],
        ),
        (
            2,
            [
                None,
                Some("3"),
                Some("gp2"),
                None,
                None,
                Some("true"),
                Some("true"),
                None,
            ],
        ),
        (
            3,
            [None, None, None, None, None, None, None, Some("ephemeral0")],
        ),
    ];
    for (number, row) in rows {
        let members = [
            "ebs/snapshotId",
            "ebs/volumeSize",
            "ebs/volumeType",
            "ebs/iops",
            "ebs/throughput",
            "ebs/deleteOnTermination",
            "ebs/encrypted",
            "virtualName",
        ];
        for (member, expected) in members.into_iter().zip(row) {
            assert_eq!(
                device(number, member).as_deref(),
                expected,
                "{number} {member}"
            );
        }
    }
    assert_eq!(
        device(4, "deviceName"),
        None,
        "a device left out is no disk"
    );
}

#[test]
fn the_same_name_elsewhere() {
    let bed = bed();
    put_snapshot(&bed, "snap-00000000000000002", |snapshot| {
        snapshot.region = EU.parse().expect("a Region");
    });
    put_snapshot(&bed, "snap-00000000000000003", |snapshot| {
        snapshot.owner = bed.caller("customer").account;
    });
    let id = register(&bed, "name", &[]).expect("an image");
    let snapshot = |id| image_params("name", &[("BlockDeviceMapping.1.Ebs.SnapshotId", id)]);
    let there = snapshot("snap-00000000000000002");
    ok_in(&bed, "publisher", EU, "RegisterImage", &there);
    let theirs = snapshot("snap-00000000000000003");
    ok(&bed, "customer", "RegisterImage", &theirs);
    let error = register(&bed, "name", &[]).expect_err("a second one");
    assert_eq!(error.code, "InvalidAMIName.Duplicate");
    assert!(error.message.contains(&id), "{error}");
    ok(&bed, "publisher", "DeregisterImage", &[("ImageId", &id)]);
    register(&bed, "name", &[]).expect("the name is free again");
}

#[test]
fn a_snapshot_that_is_shared_can_be_registered() {
    let bed = bed();
    let params = image_params("theirs", &[]);
    assert_eq!(
        code(&bed, "customer", "RegisterImage", &params),
        "InvalidSnapshot.NotFound"
    );
    let customer = bed.caller("customer").account;
    put_snapshot(&bed, SNAPSHOT, |snapshot| {
        snapshot.shared_with.insert(customer);
    });
    ok(&bed, "customer", "RegisterImage", &params);
}

#[test]
fn defaults_are_as_old_as_ec2() {
    let bed = bed();
    let more = [("Architecture", "-"), ("VirtualizationType", "-")];
    register(&bed, "old", &more).expect("an image");
    let answer = describe(&bed, "publisher", &[]).expect("the image");
    assert_eq!(answer.text("imagesSet/item[0]/architecture"), "i386");
    assert_eq!(
        answer.text("imagesSet/item[0]/virtualizationType"),
        "paravirtual"
    );
    assert_eq!(answer.text("imagesSet/item[0]/enaSupport"), "false");
}

#[test]
fn a_dry_run_registers_nothing() {
    let bed = bed();
    let error = register(&bed, "dry", &[("DryRun", "true")]).expect_err("a dry run");
    assert_eq!((&*error.code, error.status), ("DryRunOperation", 412));
    assert!(found(&bed, "publisher", &[]).is_empty());
}

#[test]
fn the_number_of_images_is_limited() {
    let bed = bed();
    assert!(bed.shared.limits.set("images", 1));
    register(&bed, "one", &[]).expect("an image");
    let error = register(&bed, "two", &[]).expect_err("one too many");
    assert_eq!(error.code, "ResourceLimitExceeded");
}

#[test]
fn registering_takes_seconds() {
    let bed = bed();
    bed.shared.clock.set_scale(1.0);
    let id = register(&bed, "slow", &[]).expect("an image");
    let state = || {
        let answer = describe(&bed, "publisher", &[("ImageId.1", &id)]).expect("the image");
        answer.text("imagesSet/item[0]/imageState").to_owned()
    };
    assert_eq!(state(), "pending");
    assert_eq!(
        launchable(&bed, "publisher", &id),
        Err("InvalidAMIID.Unavailable".to_owned())
    );
    bed.shared.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(state(), "available");
    assert_eq!(launchable(&bed, "publisher", &id), Ok(()));
}

#[test]
fn launches_are_reported_a_day_late() {
    let bed = bed();
    let id = register(&bed, "launched", &[]).expect("an image");
    share_with_customer(&bed, &id);
    let hour = std::time::Duration::from_secs(3600);
    let launch = || {
        let now = bed.shared.clock.now();
        bed.shared
            .transact(|world| {
                launched(world, &id, now);
                Ok(())
            })
            .expect("a launch");
        now.iso()
    };
    let shown = |account: &str| {
        let answer = describe(&bed, account, &[("ImageId.1", &id)]).expect("the image");
        answer
            .get("imagesSet/item[0]/lastLaunchedTime")
            .map(str::to_owned)
    };
    let first = launch();
    bed.shared.clock.advance(23 * hour);
    assert_eq!(shown("publisher"), None);
    let second = launch();
    bed.shared.clock.advance(2 * hour);
    assert_eq!(shown("publisher"), Some(first));
    assert_eq!(shown("customer"), None, "it is the owner's to know");
    bed.shared.clock.advance(23 * hour);
    assert_eq!(shown("publisher"), Some(second.clone()));
    launch();
    assert_eq!(
        shown("publisher"),
        Some(second.clone()),
        "and not forgotten"
    );
    let attribute = [("ImageId", &*id), ("Attribute", "lastLaunchedTime")];
    let answer = ok(&bed, "publisher", "DescribeImageAttribute", &attribute);
    assert_eq!(answer.text("lastLaunchedTime/value"), second);
}
