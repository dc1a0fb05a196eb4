use super::Lab;
use crate::sandbox::ec2::images::BlockDevice;
use crate::sandbox::ec2::instances::devices::{Known, plan};
use crate::sandbox::service::Service;

fn device(name: &str) -> BlockDevice {
    BlockDevice {
        device_name: name.to_owned(),
        ..BlockDevice::default()
    }
}

/// What a mapping plans, beside an image with an encrypted root and a data disk, as
/// `name size type dies`.
fn planned(asked: Vec<BlockDevice>) -> Result<Vec<String>, String> {
    let lab = Lab::new();
    let mut image = lab.bed.shared.read(|world| {
        let image = world.ec2.images.get(&lab.image);
        image.cloned().expect("the image")
    });
    image.block_devices = vec![
        BlockDevice {
            snapshot_id: Some("snap-data".to_owned()),
            size_gib: Some(5),
            delete_on_termination: Some(false),
            ..device("/dev/sdb")
        },
        BlockDevice {
            snapshot_id: Some("snap-root".to_owned()),
            size_gib: Some(2),
            volume_type: Some("gp3".to_owned()),
            iops: Some(3000),
            throughput: Some(200),
            ..device("/dev/xvda")
        },
    ];
    let known = |id: &str| {
        Ok(Known {
            size_gib: if id == "snap-root" { 2 } else { 3 },
            encrypted: id == "snap-root",
        })
    };
    let devices = plan(&image, asked, 3, known).map_err(|error| error.code.into_owned())?;
    Ok(devices
        .into_iter()
        .map(|device| {
            format!(
                "{} {} {} {}",
                device.device_name,
                device.size_gib.expect("a size"),
                device.volume_type.expect("a type"),
                device.delete_on_termination.expect("a fate"),
            )
        })
        .collect())
}

#[test]
fn the_image_and_the_launch_together() {
    let root = "/dev/xvda 2 gp3 true";
    let data = "/dev/sdb 5 gp2 false";
    for (asked, expected) in [
        (vec![], vec![root, data]),
        (
            vec![BlockDevice {
                size_gib: Some(9),
                delete_on_termination: Some(false),
                ..device("/dev/xvda")
            }],
            vec!["/dev/xvda 9 gp3 false", data],
        ),
        (
            vec![BlockDevice {
                volume_type: Some("gp2".to_owned()),
                ..device("/dev/xvda")
            }],
            vec!["/dev/xvda 2 gp2 true", data],
        ),
        (
            vec![BlockDevice {
                no_device: true,
                ..device("/dev/sdb")
            }],
            vec![root],
        ),
        (
            vec![BlockDevice {
                snapshot_id: Some("snap-other".to_owned()),
                ..device("/dev/sdb")
            }],
            vec![root, "/dev/sdb 3 gp2 false"],
        ),
        (
            vec![BlockDevice {
                size_gib: Some(1),
                ..device("sdf")
            }],
            vec![root, data, "sdf 1 gp2 true"],
        ),
    ] {
        assert_eq!(planned(asked.clone()), Ok(strings(&expected)), "{asked:?}");
    }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn mappings_that_cannot_be() {
    let sized = |name: &str, size| BlockDevice {
        size_gib: Some(size),
        ..device(name)
    };
    for (asked, code) in [
        (vec![sized("/dev/xvda", 1)], "InvalidBlockDeviceMapping"),
        (
            vec![sized("sdf", 1), sized("sdf", 1)],
            "InvalidBlockDeviceMapping",
        ),
        (vec![sized("/dev/hda", 1)], "InvalidBlockDeviceMapping"),
        (vec![sized("/dev/sdabc", 1)], "InvalidBlockDeviceMapping"),
        (vec![sized("/dev/sd", 1)], "InvalidBlockDeviceMapping"),
        (
            vec![BlockDevice {
                no_device: true,
                ..device("/dev/xvda")
            }],
            "InvalidBlockDeviceMapping",
        ),
        (
            vec![BlockDevice {
                snapshot_id: Some("snap-other".to_owned()),
                ..device("/dev/xvda")
            }],
            "InvalidBlockDeviceMapping",
        ),
        (
            vec![BlockDevice {
                encrypted: Some(false),
                ..device("/dev/xvda")
            }],
            "InvalidBlockDeviceMapping",
        ),
        (
            vec![BlockDevice {
                virtual_name: Some("ephemeral0".to_owned()),
                ..device("sdc")
            }],
            "UnsupportedOperation",
        ),
        (vec![device("sdf")], "MissingParameter"),
        (
            vec![sized("sdf", 1), sized("sdg", 1)],
            "AttachmentLimitExceeded",
        ),
    ] {
        assert_eq!(planned(asked.clone()), Err(code.to_owned()), "{asked:?}");
    }
}

/// The root volume of an instance that is launched with the root device mapped so, as
/// `snapshot size type key`.
fn root_volume(lab: &Lab, image: &str, ebs: &[(&str, &str)]) -> [String; 4] {
    let names: Vec<String> = ebs
        .iter()
        .map(|(name, _)| format!("BlockDeviceMapping.1.Ebs.{name}"))
        .collect();
    let mut params = vec![
        ("ImageId", image),
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
    ];
    let ebs = names.iter().map(String::as_str).zip(ebs);
    params.extend(ebs.map(|(name, (_, value))| (name, *value)));
    let id = lab.launched(&params);
    let volume = lab.member(&id, "blockDeviceMapping/item[0]/ebs/volumeId");
    let volume = lab.ok("DescribeVolumes", &[("VolumeId.1", &volume)]);
    // An encrypted volume has no holes: its 2 GiB are on this machine's disk.
    lab.ok("TerminateInstances", &[("InstanceId.1", &id)]);
    ["snapshotId", "size", "volumeType", "kmsKeyId"].map(|member| {
        let member = volume.get(&format!("volumeSet/item[0]/{member}"));
        member.unwrap_or_default().to_owned()
    })
}

#[test]
fn a_root_device_is_encrypted_and_keeps_the_images_content() {
    let mut lab = Lab::new();
    let key = || {
        let made = lab.bed.json(
            Service::Kms,
            "publisher",
            "us-east-1",
            "CreateKey",
            serde_json::json!({}),
        );
        let arn = made.expect("a key")["KeyMetadata"]["Arn"].clone();
        arn.as_str().expect("an ARN").to_owned()
    };
    let (first, second) = (key(), key());
    let encrypted = |key| {
        vec![
            ("Encrypted", "true"),
            ("KmsKeyId", key),
            ("VolumeType", "gp3"),
        ]
    };
    let copy = lab.ok(
        "CopySnapshot",
        &[
            ("SourceRegion", "us-east-1"),
            ("SourceSnapshotId", &lab.snapshot),
            ("Encrypted", "true"),
            ("KmsKeyId", &first),
        ],
    );
    let copy = copy.text("snapshotId").to_owned();
    let (plain, plain_image) = (lab.snapshot.clone(), lab.image.clone());
    lab.snapshot = copy.clone();
    let encrypted_image = lab.register("encrypted", &[("EnaSupport", "true")]);
    for (image, snapshot, key) in [
        (&plain_image, &plain, &first),
        (&encrypted_image, &copy, &first),
        (&encrypted_image, &copy, &second),
    ] {
        let root = root_volume(&lab, image, &encrypted(key));
        assert_eq!(root, [snapshot, "2", "gp3", key]);
    }
    let root = root_volume(&lab, &plain_image, &[("VolumeType", "gp3")]);
    assert_eq!(root, [plain.as_str(), "2", "gp3", ""]);
}
