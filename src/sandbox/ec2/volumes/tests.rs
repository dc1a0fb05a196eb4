use std::os::unix::fs::FileExt as _;

use super::*;
use crate::sandbox::testing::{Bed, Xml as Answer};

type Params<'a> = &'a [(&'a str, &'a str)];

fn create(bed: &Bed, params: Params<'_>) -> String {
    let answer = bed.ec2("publisher", "CreateVolume", params).expect("made");
    answer.text("volumeId").to_owned()
}

fn describe(bed: &Bed, params: Params<'_>) -> Answer {
    bed.ec2("publisher", "DescribeVolumes", params)
        .expect("described")
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.all("]/volumeId")
}

#[test]
fn a_volume_is_made_described_and_deleted() {
    let bed = Bed::new();
    let id = create(
        &bed,
        &[
            ("AvailabilityZone", "us-east-1b"),
            ("Size", "3"),
            ("VolumeType", "gp3"),
            ("TagSpecification.1.ResourceType", "volume"),
            ("TagSpecification.1.Tag.1.Key", "Name"),
            ("TagSpecification.1.Tag.1.Value", "scratch"),
        ],
    );
    let answer = describe(&bed, &[("VolumeId.1", &id)]);
    for (member, expected) in [
        ("volumeId", id.as_str()),
        ("size", "3"),
        ("snapshotId", ""),
        ("availabilityZone", "us-east-1b"),
        ("availabilityZoneId", "use1-az2"),
        ("status", "available"),
        ("volumeType", "gp3"),
        ("iops", "3000"),
        ("throughput", "125"),
        ("encrypted", "false"),
        ("tagSet/item[0]/value", "scratch"),
    ] {
        assert_eq!(
            answer.text(&format!("volumeSet/item[0]/{member}")),
            expected
        );
    }
    let file = bed.shared.blocks.volume_file(&id);
    assert_eq!(file.metadata().expect("a file").len(), 3 << 30);
    bed.ec2("publisher", "DeleteVolume", &[("VolumeId", &id)])
        .expect("deleted");
    assert!(!file.exists());
    let error = bed
        .ec2("publisher", "DescribeVolumes", &[("VolumeId.1", &id)])
        .unwrap_err();
    assert_eq!(error.code, "InvalidVolume.NotFound");
}

#[test]
fn a_volume_that_cannot_be() {
    const ZONE: (&str, &str) = ("AvailabilityZone", "us-east-1a");
    let bed = Bed::new();
    let none = "snap-00000000000000000";
    let cases: &[(Params<'_>, &str)] = &[
        (&[("Size", "1")], "MissingParameter"),
        (&[ZONE], "MissingParameter"),
        (
            &[ZONE, ("AvailabilityZoneId", "use1-az1"), ("Size", "1")],
            "InvalidParameterCombination",
        ),
        (
            &[("AvailabilityZone", "eu-west-1a"), ("Size", "1")],
            "InvalidZone.NotFound",
        ),
        (
            &[("AvailabilityZoneId", "euw1-az1"), ("Size", "1")],
            "InvalidZone.NotFound",
        ),
        (&[ZONE, ("Size", "0")], "InvalidParameterValue"),
        (&[ZONE, ("Size", "-1")], "InvalidParameterValue"),
        (&[ZONE, ("Size", "16385")], "InvalidParameterValue"),
        (
            &[ZONE, ("Size", "65537"), ("VolumeType", "gp3")],
            "InvalidParameterValue",
        ),
        (
            &[ZONE, ("Size", "124"), ("VolumeType", "st1")],
            "InvalidParameterValue",
        ),
        (
            &[ZONE, ("Size", "3"), ("VolumeType", "io2"), ("Iops", "100")],
            "InvalidParameterValue",
        ),
        (
            &[ZONE, ("Size", "4"), ("VolumeType", "io1")],
            "MissingParameter",
        ),
        (
            &[ZONE, ("Size", "4"), ("VolumeType", "io1"), ("Iops", "99")],
            "InvalidParameterValue",
        ),
        (
            &[ZONE, ("Size", "4"), ("VolumeType", "io1"), ("Iops", "201")],
            "InvalidParameterValue",
        ),
        (
            &[ZONE, ("Size", "4"), ("VolumeType", "gp2"), ("Iops", "100")],
            "InvalidParameterCombination",
        ),
        (
            &[ZONE, ("Size", "4"), ("VolumeType", "gp3"), ("Iops", "2999")],
            "InvalidParameterValue",
        ),
        (
            &[
                ZONE,
                ("Size", "200"),
                ("VolumeType", "gp3"),
                ("Iops", "80001"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ZONE,
                ("Size", "4"),
                ("VolumeType", "gp3"),
                ("Throughput", "124"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ZONE,
                ("Size", "4"),
                ("VolumeType", "gp3"),
                ("Throughput", "751"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ZONE,
                ("Size", "4"),
                ("VolumeType", "gp2"),
                ("Throughput", "125"),
            ],
            "InvalidParameterCombination",
        ),
        (
            &[ZONE, ("Size", "4"), ("VolumeType", "gp9")],
            "UnknownVolumeType",
        ),
        (
            &[ZONE, ("Size", "4"), ("KmsKeyId", "alias/a")],
            "InvalidParameterDependency",
        ),
        (
            &[ZONE, ("Size", "4"), ("MultiAttachEnabled", "true")],
            "UnsupportedOperation",
        ),
        (
            &[ZONE, ("Size", "4"), ("OutpostArn", "arn")],
            "UnsupportedOperation",
        ),
        (
            &[ZONE, ("Size", "4"), ("VolumeInitializationRate", "100")],
            "UnsupportedOperation",
        ),
        (
            &[ZONE, ("Size", "4"), ("Operator.Principal", "a")],
            "UnknownParameter",
        ),
        (&[ZONE, ("SnapshotId", none)], "InvalidSnapshot.NotFound"),
        (&[ZONE, ("SnapshotId", "snap-1")], "InvalidParameterValue"),
    ];
    for (params, code) in cases {
        let error = bed.ec2("publisher", "CreateVolume", params).unwrap_err();
        assert_eq!(error.code, *code, "{params:?}: {error}");
    }
    let answer = describe(&bed, &[]);
    assert!(ids(&answer).is_empty(), "none was made");
}

#[test]
fn a_client_token_stands_for_one_volume() {
    let bed = Bed::new();
    let params = |size| {
        [
            ("AvailabilityZone", "us-east-1a"),
            ("Size", size),
            ("ClientToken", "once"),
        ]
    };
    let id = create(&bed, &params("1"));
    assert_eq!(create(&bed, &params("1")), id);
    let error = bed
        .ec2("publisher", "CreateVolume", &params("2"))
        .unwrap_err();
    assert_eq!(error.code, "IdempotentParameterMismatch");
}

#[test]
fn filters_and_pages() {
    let bed = Bed::new();
    let mut all: Vec<String> = ["1", "2", "3", "4", "5", "6"]
        .map(|size| {
            let zone = if size == "6" {
                "us-east-1c"
            } else {
                "us-east-1a"
            };
            create(&bed, &[("AvailabilityZone", zone), ("Size", size)])
        })
        .to_vec();
    for (filter, value, expected) in [
        ("size", "3", 1),
        ("size", "?", 6),
        ("availability-zone", "us-east-1a", 5),
        ("availability-zone-id", "use1-az3", 1),
        ("volume-id", all[0].as_str(), 1),
        ("volume-type", "gp3", 0),
        ("status", "available", 6),
        ("encrypted", "true", 0),
        ("attachment.device", "*", 0),
        ("snapshot-id", "*", 0),
    ] {
        let answer = describe(
            &bed,
            &[("Filter.1.Name", filter), ("Filter.1.Value.1", value)],
        );
        assert_eq!(ids(&answer).len(), expected, "{filter}={value}");
    }
    all.sort();
    let first = describe(&bed, &[("MaxResults", "5")]);
    let next = first.text("nextToken");
    let second = describe(&bed, &[("MaxResults", "5"), ("NextToken", next)]);
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
            [("MaxResults", "5"), ("NextToken", "x")],
            "InvalidNextToken",
        ),
        (
            [("MaxResults", "5"), ("VolumeId.1", &all[0])],
            "InvalidParameterCombination",
        ),
        (
            [("VolumeId.1", "vol-x"), ("NextToken", "")],
            "InvalidParameterValue",
        ),
    ] {
        let error = bed
            .ec2("publisher", "DescribeVolumes", &params)
            .unwrap_err();
        assert_eq!(error.code, code, "{params:?}");
    }
    let theirs = bed
        .ec2("customer", "DescribeVolumes", &[])
        .expect("described");
    assert!(ids(&theirs).is_empty(), "volumes are each account's own");
    let error = bed
        .ec2("customer", "DeleteVolume", &[("VolumeId", &all[0])])
        .unwrap_err();
    assert_eq!(error.code, "InvalidVolume.NotFound");
}

#[test]
fn a_volume_becomes_a_snapshot_and_a_volume_again() {
    let bed = Bed::new();
    let first = create(&bed, &[("AvailabilityZone", "us-east-1a"), ("Size", "1")]);
    let file = std::fs::File::options()
        .write(true)
        .open(bed.shared.blocks.volume_file(&first))
        .expect("a file");
    file.write_all_at(b"what the guest wrote", 700_000)
        .expect("written");
    let answer = bed
        .ec2("publisher", "CreateSnapshot", &[("VolumeId", &first)])
        .expect("a snapshot");
    let snapshot = answer.text("snapshotId");
    assert_eq!(answer.text("volumeId"), first);
    let error = bed
        .ec2(
            "publisher",
            "CreateVolume",
            &[
                ("AvailabilityZone", "us-east-1a"),
                ("SnapshotId", "snap-00000000000000000"),
            ],
        )
        .unwrap_err();
    assert_eq!(error.code, "InvalidSnapshot.NotFound");
    let second = create(
        &bed,
        &[
            ("AvailabilityZone", "us-east-1a"),
            ("SnapshotId", snapshot),
            ("Size", "2"),
        ],
    );
    let file = std::fs::File::open(bed.shared.blocks.volume_file(&second)).expect("a file");
    assert_eq!(file.metadata().expect("metadata").len(), 2 << 30);
    let mut bytes = [0; 22];
    file.read_exact_at(&mut bytes, 699_999).expect("read");
    assert_eq!(&bytes, b"\0what the guest wrote\0");
    let answer = describe(&bed, &[("VolumeId.1", &second)]);
    assert_eq!(answer.text("volumeSet/item[0]/snapshotId"), snapshot);

    let two = bed
        .ec2("publisher", "CreateSnapshot", &[("VolumeId", &second)])
        .expect("a snapshot");
    let error = bed
        .ec2(
            "publisher",
            "CreateVolume",
            &[
                ("AvailabilityZone", "us-east-1a"),
                ("SnapshotId", two.text("snapshotId")),
                ("Size", "1"),
            ],
        )
        .unwrap_err();
    assert_eq!(
        error.code, "InvalidParameterValue",
        "smaller than the snapshot"
    );
}

#[test]
fn a_volume_in_use_stays() {
    let bed = Bed::new();
    let id = create(&bed, &[("AvailabilityZone", "us-east-1a"), ("Size", "1")]);
    bed.shared
        .transact(|world| {
            let volume = world.ec2.volumes.get_mut(&id).expect("a volume");
            volume.attachment = Some(Attachment {
                instance_id: "i-0123456789abcdef0".to_owned(),
                device: "/dev/sdf".to_owned(),
                since: Timestamp(0),
                delete_on_termination: true,
            });
            Ok(())
        })
        .expect("attached");
    let error = bed
        .ec2("publisher", "DeleteVolume", &[("VolumeId", &id)])
        .unwrap_err();
    assert_eq!(error.code, "VolumeInUse");
    let answer = describe(
        &bed,
        &[
            ("Filter.1.Name", "attachment.instance-id"),
            ("Filter.1.Value.1", "i-0123456789abcdef0"),
        ],
    );
    assert_eq!(answer.text("volumeSet/item[0]/status"), "in-use");
    let device = answer.text("volumeSet/item[0]/attachmentSet/item[0]/device");
    assert_eq!(device, "/dev/sdf");
}

#[test]
fn a_volume_takes_its_time() {
    let bed = Bed::new();
    bed.shared.clock.set_scale(1.0);
    let id = create(&bed, &[("AvailabilityZone", "us-east-1a"), ("Size", "1")]);
    let status = |bed: &Bed| {
        let answer = describe(bed, &[("VolumeId.1", &id)]);
        answer.text("volumeSet/item[0]/status").to_owned()
    };
    assert_eq!(status(&bed), "creating");
    let error = bed
        .ec2("publisher", "CreateSnapshot", &[("VolumeId", &id)])
        .unwrap_err();
    assert_eq!(error.code, "IncorrectState");
    bed.shared.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(status(&bed), "available");
}

/// An instance in `us-east-1a` that runs without a machine.
fn instance(bed: &Bed) -> String {
    bed.shared.machines.pretend();
    let volume = create(bed, &[("AvailabilityZone", "us-east-1a"), ("Size", "1")]);
    let call = |action: &str, params: Params<'_>, path: &str| {
        let answer = bed.ec2("publisher", action, params);
        answer.expect(action).text(path).to_owned()
    };
    let snapshot = call("CreateSnapshot", &[("VolumeId", &volume)], "snapshotId");
    let image = call(
        "RegisterImage",
        &[
            ("Name", "alpine"),
            ("Architecture", "x86_64"),
            ("EnaSupport", "true"),
            ("RootDeviceName", "/dev/xvda"),
            ("VirtualizationType", "hvm"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", &snapshot),
        ],
        "imageId",
    );
    call(
        "RunInstances",
        &[
            ("ImageId", &image),
            ("InstanceType", "t3.micro"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("Placement.AvailabilityZone", "us-east-1a"),
        ],
        "instancesSet/item[0]/instanceId",
    )
}

#[test]
fn volumes_come_and_go_while_an_instance_is_stopped() {
    let bed = Bed::new();
    let instance = instance(&bed);
    let disk = create(&bed, &[("AvailabilityZone", "us-east-1a"), ("Size", "1")]);
    let far = create(&bed, &[("AvailabilityZone", "us-east-1b"), ("Size", "1")]);
    let root = describe(
        &bed,
        &[
            ("Filter.1.Name", "attachment.device"),
            ("Filter.1.Value.1", "/dev/xvda"),
        ],
    );
    let root = root.text("volumeSet/item[0]/volumeId");
    let attach = |volume: &str, device: &str| {
        let params = [
            ("VolumeId", volume),
            ("InstanceId", &instance),
            ("Device", device),
        ];
        let answer = bed.ec2("publisher", "AttachVolume", &params);
        answer.map_or_else(|error| error.code.into_owned(), |_| String::new())
    };
    let detach = |volume: &str, more: Params<'_>| {
        let params = [&[("VolumeId", volume)], more].concat();
        let answer = bed.ec2("publisher", "DetachVolume", &params);
        answer.map_or_else(|error| error.code.into_owned(), |_| String::new())
    };
    let late = create(&bed, &[("AvailabilityZone", "us-east-1a"), ("Size", "1")]);
    assert_eq!(attach(&late, "/dev/sdh"), "", "it runs");
    assert_eq!(detach(&late, &[]), "UnsupportedOperation", "it runs");
    assert_eq!(detach(root, &[]), "OperationNotPermitted", "it runs");
    bed.ec2("publisher", "StopInstances", &[("InstanceId.1", &instance)])
        .expect("stopped");
    for (volume, device, code) in [
        (far.as_str(), "/dev/sdf", "InvalidVolume.ZoneMismatch"),
        (root, "/dev/sdf", "VolumeInUse"),
        (&disk, "/dev/xvda", "InvalidParameterValue"),
        (&disk, "disk", "InvalidParameterValue"),
        (&disk, "/dev/sd1", "InvalidParameterValue"),
        (
            "vol-00000000000000000",
            "/dev/sdf",
            "InvalidVolume.NotFound",
        ),
    ] {
        assert_eq!(attach(volume, device), code, "{volume} {device}");
    }
    assert_eq!(detach(&late, &[]), "");
    assert_eq!(detach(&disk, &[]), "IncorrectState", "it is not attached");
    assert_eq!(attach(&disk, "/dev/sdf"), "");
    let answer = describe(&bed, &[("VolumeId.1", &disk)]);
    let attached = "volumeSet/item[0]/attachmentSet/item[0]";
    assert_eq!(answer.text(&format!("{attached}/instanceId")), instance);
    assert_eq!(
        answer.text(&format!("{attached}/deleteOnTermination")),
        "false"
    );
    assert_eq!(
        detach(&disk, &[("Device", "/dev/sdg")]),
        "InvalidAttachment.NotFound"
    );

    // Snapshots of all its volumes, with or without the root.
    let specified = ("InstanceSpecification.InstanceId", instance.as_str());
    let without_root = ("InstanceSpecification.ExcludeBootVolume", "true");
    let excluded = "InstanceSpecification.ExcludeDataVolumeId.1";
    let count = |params: Params<'_>| {
        let answer = bed.ec2("publisher", "CreateSnapshots", params);
        answer.map_or_else(
            |error| error.code.into_owned(),
            |answer| answer.all("]/snapshotId").len().to_string(),
        )
    };
    assert_eq!(count(&[specified]), "2");
    assert_eq!(count(&[specified, without_root]), "1");
    assert_eq!(count(&[specified, (excluded, &disk)]), "1");
    assert_eq!(
        count(&[specified, (excluded, root)]),
        "InvalidParameterValue"
    );
    assert_eq!(count(&[]), "MissingParameter");

    assert_eq!(
        detach(&disk, &[("InstanceId", &instance), ("Device", "/dev/sdf")]),
        ""
    );
    let answer = describe(&bed, &[("VolumeId.1", &disk)]);
    assert_eq!(answer.text("volumeSet/item[0]/status"), "available");
}

#[test]
fn encryption_of_volumes() {
    let bed = Bed::new();
    let key_of = |id: &str| {
        let volume = bed.shared.read(|world| world.ec2.volumes.get(id).cloned());
        volume.expect("a volume").key
    };
    const ZONE: (&str, &str) = ("AvailabilityZone", "us-east-1a");
    const ENCRYPTED: (&str, &str) = ("Encrypted", "true");
    let first = create(&bed, &[ZONE, ("Size", "1"), ENCRYPTED]);
    let key = key_of(&first).expect("aws/ebs");
    let snapshot = bed.ec2("publisher", "CreateSnapshot", &[("VolumeId", &first)]);
    let snapshot = snapshot.expect("a snapshot");
    let snapshot = ("SnapshotId", snapshot.text("snapshotId"));
    // A GiB of noise would take its time and show nothing here.
    bed.shared
        .transact(|world| {
            let snapshot = world.ec2.snapshots.get_mut(snapshot.1);
            snapshot.expect("a snapshot").size_gib = 0;
            Ok(())
        })
        .expect("changed");
    let second = create(&bed, &[ZONE, snapshot, ("Size", "1")]);
    assert_eq!(key_of(&second), Some(key), "the snapshot's");
    let refused = [ZONE, snapshot, ("Size", "1"), ("Encrypted", "false")];
    let error = bed.ec2("publisher", "CreateVolume", &refused).unwrap_err();
    assert_eq!(error.code, "InvalidParameterValue");
    // A key that there is not shows later.
    let none = ("KmsKeyId", "alias/none");
    let failed = create(&bed, &[ZONE, ("Size", "1"), ENCRYPTED, none]);
    let answer = describe(&bed, &[("VolumeId.1", &failed)]);
    assert_eq!(answer.text("volumeSet/item[0]/status"), "error");
    bed.ec2("publisher", "EnableEbsEncryptionByDefault", &[])
        .expect("enabled");
    let third = create(&bed, &[ZONE, ("Size", "1")]);
    assert!(key_of(&third).is_some());
}
