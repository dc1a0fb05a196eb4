use std::net::Ipv4Addr;

use super::*;
use crate::arch::Firmware;
use crate::sandbox::ec2::instances::{
    Instance, Interface, MetadataOptions, Phase, ShutdownBehavior,
};
use crate::sandbox::ec2::volumes::Attachment;
use crate::sandbox::world::World;

const INSTANCE: &str = "i-00000000000000001";

fn change(bed: &Bed, change: impl FnOnce(&mut World)) {
    let changed = bed.shared.transact(|world| {
        change(world);
        Ok(())
    });
    changed.expect("a change");
}

/// A stopped instance of an image, with a root volume of 2 GiB and a second one of 3 GiB, encrypted
/// and gone with the instance.
fn with_instance(more: &[(&str, &str)]) -> (Bed, String) {
    let bed = bed();
    let image = register(&bed, "source", more).expect("an image");
    let instance = instance(&bed, &image);
    change(&bed, |world| {
        world.ec2.instances.insert(INSTANCE, instance);
    });
    attach(
        &bed,
        "/dev/xvda",
        &[("Size", "2"), ("VolumeType", "gp2")],
        false,
    );
    attach(
        &bed,
        "/dev/sdf",
        &[("Size", "3"), ("VolumeType", "gp3"), ("Encrypted", "true")],
        true,
    );
    (bed, image)
}

fn attach(bed: &Bed, device: &str, more: &[(&str, &str)], delete_on_termination: bool) {
    let mut params = vec![("AvailabilityZone", "us-east-1a")];
    params.extend(more);
    let made = ok(bed, "publisher", "CreateVolume", &params);
    let id = made.text("volumeId").to_owned();
    change(bed, |world| {
        let volume = world.ec2.volumes.get_mut(&id).expect("the volume");
        volume.attachment = Some(Attachment {
            instance_id: INSTANCE.to_owned(),
            device: device.to_owned(),
            since: Timestamp(0),
            delete_on_termination,
        });
    });
}

fn instance(bed: &Bed, image: &str) -> Instance {
    Instance {
        id: INSTANCE.to_owned(),
        owner: bed.caller("publisher").account,
        region: US.parse().expect("a Region"),
        reservation_id: "r-00000000000000001".to_owned(),
        launch_index: 0,
        client_token: None,
        image_id: image.to_owned(),
        instance_type: "t3.micro".to_owned(),
        architecture: "x86_64".to_owned(),
        boot_mode: None,
        firmware: Firmware::Bios,
        root_device_name: "/dev/xvda".to_owned(),
        interface: Interface {
            id: "eni-00000000000000001".to_owned(),
            attachment_id: "eni-attach-00000000000000001".to_owned(),
            description: String::new(),
            mac: "02:00:00:00:00:01".to_owned(),
            address: Ipv4Addr::new(172, 31, 0, 4),
            subnet_id: "subnet-00000000000000001".to_owned(),
            vpc_id: "vpc-00000000000000001".to_owned(),
            zone: "us-east-1a".to_owned(),
            zone_id: "use1-az1".to_owned(),
            groups: Vec::new(),
            source_dest_check: true,
            delete_on_termination: true,
            attached: Timestamp(0),
        },
        key: None,
        role: None,
        credentials: None,
        user_data: None,
        metadata: MetadataOptions {
            tokens_required: true,
            hop_limit: 1,
            endpoint: true,
            tags: false,
        },
        shutdown_behavior: ShutdownBehavior::Stop,
        disable_api_termination: false,
        disable_api_stop: false,
        ebs_optimized: false,
        monitoring: false,
        cores: (1, 2),
        auto_recovery: true,
        launched: Timestamp(0),
        phase: Phase::Stopped,
        reason: None,
        transition: String::new(),
    }
}

fn create(bed: &Bed, more: &[(&str, &str)]) -> Result<String, ServiceError> {
    let mut params = vec![("InstanceId", INSTANCE), ("Name", "image")];
    for (name, value) in more {
        params.retain(|(known, _)| known != name);
        params.push((name, value));
    }
    let answer = bed.ec2("publisher", "CreateImage", &params)?;
    Ok(answer.text("imageId").to_owned())
}

#[test]
fn what_no_image_can_be_made_of() {
    let (bed, _) = with_instance(&[]);
    let cases: &[(Given<'_>, &str)] = &[
        (&[("InstanceId", "")], "MissingParameter"),
        (&[("InstanceId", "i-1")], "InvalidInstanceID.Malformed"),
        (
            &[("InstanceId", "i-00000000000000002")],
            "InvalidInstanceID.NotFound",
        ),
        (&[("Name", "")], "MissingParameter"),
        (&[("Name", "a")], "InvalidAMIName.Malformed"),
        (&[("Name", "source")], "InvalidAMIName.Duplicate"),
        (&[("Description", "größer")], "InvalidParameterValue"),
        (&[("SnapshotLocation", "regional")], "UnsupportedOperation"),
        (
            &[("BootModeOverride", "uefi")],
            "InvalidParameterCombination",
        ),
        (
            &[("BootModeOverride", "legacy-bios")],
            "InvalidParameterValue",
        ),
        (&[("Colour", "blue")], "UnknownParameter"),
        (
            &[
                ("TagSpecification.1.ResourceType", "instance"),
                ("TagSpecification.1.Tag.1.Key", "a"),
            ],
            "InvalidParameterValue",
        ),
    ];
    for (more, expected) in cases {
        let error = create(&bed, more).expect_err(&format!("{more:?}"));
        assert_eq!(error.code, *expected, "{more:?}: {error}");
    }
    let theirs = [("InstanceId", INSTANCE), ("Name", "theirs")];
    assert_eq!(
        code(&bed, "customer", "CreateImage", &theirs),
        "InvalidInstanceID.NotFound"
    );
}

#[test]
fn disks_that_cannot_be_changed() {
    let (bed, _) = with_instance(&[]);
    let cases: &[(&str, Given<'_>, &str)] = &[
        (
            "/dev/xvda",
            &[("NoDevice", "")],
            "InvalidBlockDeviceMapping",
        ),
        (
            "/dev/xvda",
            &[("Ebs.VolumeSize", "3")],
            "InvalidBlockDeviceMapping",
        ),
        (
            "/dev/xvda",
            &[("Ebs.VolumeType", "gp3")],
            "InvalidBlockDeviceMapping",
        ),
        (
            "/dev/xvda",
            &[("Ebs.SnapshotId", SNAPSHOT)],
            "InvalidBlockDeviceMapping",
        ),
        (
            "/dev/xvda",
            &[("Ebs.Encrypted", "true")],
            "InvalidBlockDeviceMapping",
        ),
        (
            "/dev/sdf",
            &[("Ebs.Iops", "4000")],
            "InvalidBlockDeviceMapping",
        ),
        (
            "/dev/sdf",
            &[("Ebs.Throughput", "200")],
            "InvalidBlockDeviceMapping",
        ),
        (
            "/dev/sdf",
            &[("VirtualName", "ephemeral0")],
            "InvalidBlockDeviceMapping",
        ),
        (
            "/dev/sdf",
            &[("Ebs.Encrypted", "true"), ("Ebs.KmsKeyId", "alias/key")],
            "InvalidBlockDeviceMapping",
        ),
        // A new one has the rules of RegisterImage.
        (
            "/dev/sdg",
            &[("Ebs.SnapshotId", SNAPSHOT), ("Ebs.Encrypted", "true")],
            "InvalidParameter",
        ),
        ("/dev/sdg", &[("Ebs.VolumeType", "gp3")], "MissingParameter"),
    ];
    for (device, members, expected) in cases {
        let mut params = vec![("BlockDeviceMapping.1.DeviceName".to_owned(), *device)];
        params.extend(
            members
                .iter()
                .map(|(name, value)| (format!("BlockDeviceMapping.1.{name}"), *value)),
        );
        let more: Vec<(&str, &str)> = params.iter().map(|(n, v)| (&**n, *v)).collect();
        let error = create(&bed, &more).expect_err(&format!("{more:?}"));
        assert_eq!(error.code, *expected, "{more:?}: {error}");
    }
    let snapshots = bed.shared.read(|world| world.ec2.snapshots.len());
    assert_eq!(snapshots, 1, "nothing was made");
}

#[test]
fn an_image_of_an_instance() {
    let (bed, source) = with_instance(&[("EnaSupport", "true"), ("ImdsSupport", "v2.0")]);
    let more = [
        ("Description", "of an instance"),
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
        ("BlockDeviceMapping.1.Ebs.Encrypted", "false"),
        ("BlockDeviceMapping.2.DeviceName", "/dev/sdg"),
        ("BlockDeviceMapping.2.Ebs.VolumeSize", "5"),
        ("BlockDeviceMapping.3.DeviceName", "/dev/sdh"),
        ("BlockDeviceMapping.3.NoDevice", ""),
        ("TagSpecification.1.ResourceType", "image"),
        ("TagSpecification.1.Tag.1.Key", "a"),
        ("TagSpecification.1.Tag.1.Value", "image's"),
        ("TagSpecification.2.ResourceType", "snapshot"),
        ("TagSpecification.2.Tag.1.Key", "a"),
        ("TagSpecification.2.Tag.1.Value", "snapshot's"),
    ];
    let id = create(&bed, &more).expect("an image");
    let answer = describe(&bed, "publisher", &[("ImageId.1", &id)]).expect("the image");
    let text = |path: &str| answer.get(&format!("imagesSet/item[0]/{path}"));
    for (path, expected) in [
        ("imageState", Some("available")),
        ("name", Some("image")),
        ("description", Some("of an instance")),
        ("architecture", Some("x86_64")),
        ("virtualizationType", Some("hvm")),
        ("enaSupport", Some("true")),
        ("imdsSupport", Some("v2.0")),
        ("rootDeviceName", Some("/dev/xvda")),
        ("sourceInstanceId", Some(INSTANCE)),
        ("sourceImageId", Some(&*source)),
        ("sourceImageRegion", Some(US)),
        ("tagSet/item[0]/value", Some("image's")),
        ("blockDeviceMapping/item[0]/deviceName", Some("/dev/xvda")),
        ("blockDeviceMapping/item[0]/ebs/volumeSize", Some("2")),
        ("blockDeviceMapping/item[0]/ebs/volumeType", Some("gp2")),
        ("blockDeviceMapping/item[0]/ebs/iops", None),
        (
            "blockDeviceMapping/item[0]/ebs/deleteOnTermination",
            Some("true"),
        ),
        ("blockDeviceMapping/item[0]/ebs/encrypted", Some("false")),
        ("blockDeviceMapping/item[1]/deviceName", Some("/dev/sdf")),
        ("blockDeviceMapping/item[1]/ebs/volumeSize", Some("3")),
        ("blockDeviceMapping/item[1]/ebs/volumeType", Some("gp3")),
        ("blockDeviceMapping/item[1]/ebs/iops", Some("3000")),
        ("blockDeviceMapping/item[1]/ebs/throughput", Some("125")),
        (
            "blockDeviceMapping/item[1]/ebs/deleteOnTermination",
            Some("true"),
        ),
        ("blockDeviceMapping/item[1]/ebs/encrypted", Some("true")),
        ("blockDeviceMapping/item[2]/deviceName", Some("/dev/sdg")),
        ("blockDeviceMapping/item[2]/ebs/snapshotId", None),
        ("blockDeviceMapping/item[3]/deviceName", None),
    ] {
        assert_eq!(text(path), expected, "{path}");
    }
    let account = bed.caller("publisher").account;
    for number in [0, 1] {
        let path = format!("blockDeviceMapping/item[{number}]/ebs/snapshotId");
        let snapshot = text(&path).expect("a snapshot");
        let tags = bed.shared.read(|world| world.tags.of(&account, snapshot));
        assert_eq!(tags.get("a").map(String::as_str), Some("snapshot's"));
    }
    let filter = [
        ("Filter.1.Name", "source-instance-id"),
        ("Filter.1.Value.1", INSTANCE),
    ];
    assert_eq!(found(&bed, "publisher", &filter), ["image"]);
}

#[test]
fn a_disk_is_left_out() {
    let (bed, _) = with_instance(&[]);
    let more = [
        ("BlockDeviceMapping.1.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.1.NoDevice", ""),
    ];
    let id = create(&bed, &more).expect("an image");
    let answer = describe(&bed, "publisher", &[("ImageId.1", &id)]).expect("the image");
    assert_eq!(answer.all("/deviceName"), ["/dev/xvda"]);
}

#[test]
fn an_instance_that_runs() {
    let (bed, source) = with_instance(&[]);
    let set = |phase: Phase| {
        change(&bed, |world| {
            let instance = world.ec2.instances.get_mut(INSTANCE).expect("the instance");
            instance.phase = phase;
            instance.firmware = Firmware::Uefi;
        });
    };
    let no_reboot = [("NoReboot", "true"), ("BootModeOverride", "uefi")];
    for phase in [
        Phase::Pending { launch: true },
        Phase::Stopping,
        Phase::ShuttingDown,
    ] {
        set(phase);
        let error = create(&bed, &no_reboot).expect_err("in between");
        assert_eq!(error.code, "IncorrectInstanceState");
    }
    set(Phase::Running {
        since: Timestamp(0),
        checked: Timestamp(0),
    });
    let error = create(&bed, &[]).expect_err("with a reboot");
    assert_eq!(error.code, "UnsupportedOperation");
    ok(
        &bed,
        "publisher",
        "DeregisterImage",
        &[("ImageId", &source)],
    );
    let id = create(&bed, &no_reboot).expect("the source need not be there");
    let answer = describe(&bed, "publisher", &[("ImageId.1", &id)]).expect("the image");
    assert_eq!(answer.text("imagesSet/item[0]/bootMode"), "uefi");
}

#[test]
fn an_image_fails_later_on_request() {
    let (bed, _) = with_instance(&[]);
    let body = format!("Action=CreateImage&Version=2016-11-15&InstanceId={INSTANCE}&Name=image");
    let request = crate::sandbox::testing::request("POST", "/", &[], body.as_bytes());
    let mut context = bed.context(Service::Ec2, "CreateImage", "publisher", US, request);
    context.mishaps.fail_later = Some("a bad day".to_owned());
    let answer = Xml::parse(&Service::Ec2.handle(&context).expect("it is accepted"));
    let named = [("ImageId.1", answer.text("imageId"))];
    let answer = describe(&bed, "publisher", &named).expect("the image");
    assert_eq!(answer.text("imagesSet/item[0]/imageState"), "failed");
    let reason = answer.text("imagesSet/item[0]/stateReason/message");
    assert!(reason.contains("a bad day"), "{reason}");
}

#[test]
fn an_instance_without_its_root() {
    let (bed, _) = with_instance(&[]);
    change(&bed, |world| {
        let ids: Vec<String> = world
            .ec2
            .volumes
            .iter()
            .map(|(id, _)| id.to_owned())
            .collect();
        for id in ids {
            let volume = world.ec2.volumes.get_mut(&id).expect("a volume");
            let at_root = |at: &Attachment| at.device == "/dev/xvda";
            if volume.attachment.as_ref().is_some_and(at_root) {
                volume.attachment = None;
            }
        }
    });
    let error = create(&bed, &[]).expect_err("nothing to boot from");
    assert_eq!(error.code, "InvalidBlockDeviceMapping");
}
