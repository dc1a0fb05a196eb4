//! A snapshot has a key, and what is made from it has one too.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use serde_json::json;

use crate::sandbox::client::{BLOCK, Client, Expect as _};
use crate::sandbox::place::{ABROAD, CUSTOMER, Place};
use crate::sandbox::things::{
    block, copy_image, copy_snapshot, describe_image, image, key, launch_permission, open_snapshot,
    register, settled_image, settled_snapshot, settled_volume, share_snapshot, snapshot,
};

fn key_of(client: &Client, snapshot: &str) -> Option<String> {
    let described = client
        .ec2("DescribeSnapshots", &[("SnapshotId.1", snapshot)])
        .done("a snapshot");
    let key = described.get("snapshotSet/item[0]/kmsKeyId");
    let encrypted = described.text("snapshotSet/item[0]/encrypted");
    assert_eq!(encrypted == "true", key.is_some(), "{described:#?}");
    key.map(str::to_owned)
}

fn disk_of(client: &Client, image: &str) -> String {
    describe_image(client, image)
        .text("imagesSet/item[0]/blockDeviceMapping/item[0]/ebs/snapshotId")
        .to_owned()
}

#[test]
fn a_copy_is_under_the_key_asked_for() {
    let place = Place::new();
    let (here, abroad) = (place.publisher(), place.publisher().in_region(ABROAD));
    let source = snapshot(&here, &[(0, block(1))], None);
    let key = key(&abroad);

    let copied = copy_snapshot(
        &abroad,
        &source,
        &here.region,
        &[("Encrypted", "true"), ("KmsKeyId", &key)],
    )
    .done("a copy");
    let copy = copied.text("snapshotId");
    assert_eq!(settled_snapshot(&abroad, copy), "completed");
    assert_eq!(key_of(&abroad, copy), Some(key.clone()));
    assert!(abroad.get_block(copy, 0).done("the block") == block(1));

    let image = image(&here, "image", &source);
    let more = [("Encrypted", "true"), ("KmsKeyId", key.as_str())];
    let copied = copy_image(&abroad, "copy", &image, &here.region, &more).done("a copy");
    let copy = copied.text("imageId");
    assert_eq!(settled_image(&abroad, copy), "available");
    assert_eq!(key_of(&abroad, &disk_of(&abroad, copy)), Some(key));
}

#[test]
fn a_copy_without_a_key_named_is_under_aws_ebs() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let copied =
        copy_snapshot(&here, &source, &here.region, &[("Encrypted", "true")]).done("a copy");
    let arn = key_of(&here, copied.text("snapshotId")).expect("it is encrypted");
    let described = here
        .kms("DescribeKey", json!({"KeyId": "alias/aws/ebs"}))
        .done("the key");
    assert_eq!(described["KeyMetadata"]["Arn"], arn);
    assert_eq!(described["KeyMetadata"]["KeyManager"], "AWS");
}

#[test]
fn a_key_without_encryption() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let key = key(&here);
    copy_snapshot(&here, &source, &here.region, &[("KmsKeyId", &key)])
        .refused("InvalidParameterDependency");
    here.ec2(
        "CreateVolume",
        &[
            ("AvailabilityZone", "us-east-1a"),
            ("Size", "1"),
            ("KmsKeyId", &key),
        ],
    )
    .refused("InvalidParameterDependency");
    here.start_snapshot(&json!({"VolumeSize": 1, "KmsKeyArn": key}))
        .refused("ValidationException");
}

#[test]
fn a_child_has_its_parents_key() {
    let place = Place::new();
    let here = place.publisher();
    let key = key(&here);
    let parent = snapshot(&here, &[(0, block(1))], Some(&key));
    here.start_snapshot(&json!({"VolumeSize": 1, "ParentSnapshotId": parent, "Encrypted": true}))
        .refused("ValidationException");
    let child = here
        .start_snapshot(&json!({"VolumeSize": 1, "ParentSnapshotId": parent}))
        .done("a child");
    assert_eq!(child["KmsKeyArn"], key);
    let child = child["SnapshotId"].as_str().expect("an id");
    here.put_block(child, 1, &block(2)).done("a block");
    here.complete_snapshot(child, 1).done("a whole");
    assert_eq!(settled_snapshot(&here, child), "completed");
    assert!(here.get_block(child, 0).done("the parent's") == block(1));
    assert!(here.get_block(child, 1).done("its own") == block(2));
}

#[test]
fn a_volume_of_an_encrypted_snapshot_is_encrypted() {
    let place = Place::new();
    let here = place.publisher();
    let key = key(&here);
    let source = snapshot(&here, &[(0, block(1))], Some(&key));
    let volume = |more: &[(&str, &str)]| {
        let mut params = vec![
            ("AvailabilityZone", "us-east-1a"),
            ("SnapshotId", source.as_str()),
        ];
        params.extend(more);
        here.ec2("CreateVolume", &params)
    };
    let made = volume(&[]).done("a volume");
    let id = made.text("volumeId");
    assert_eq!(settled_volume(&here, id), "available");
    let described = here
        .ec2("DescribeVolumes", &[("VolumeId.1", id)])
        .done("the volume");
    assert_eq!(described.text("volumeSet/item[0]/kmsKeyId"), key);
    volume(&[("Encrypted", "false")]).refused("InvalidParameterValue");
}

#[test]
fn an_absent_block_of_an_encrypted_snapshot_is_noise() {
    let place = Place::new();
    let here = place.publisher();
    let key = key(&here);
    // Block 1 of the volume, of which the snapshot has only block 0.
    let absent = |source: &str| {
        let made = here
            .ec2(
                "CreateVolume",
                &[("AvailabilityZone", "us-east-1a"), ("SnapshotId", source)],
            )
            .done("a volume");
        let id = made.text("volumeId");
        assert_eq!(settled_volume(&here, id), "available");
        place.settle();
        let file = place.sandbox().shared().blocks.volume_file(id);
        let file = File::open(file).expect("the volume's file");
        let mut read = [vec![0; BLOCK], vec![0; BLOCK]];
        for (index, data) in read.iter_mut().enumerate() {
            let at = (index * BLOCK) as u64;
            file.read_exact_at(data, at).expect("a block");
        }
        let [first, second] = read;
        assert!(first == block(1), "block 0 is as it was put");
        second
    };
    let plain = snapshot(&here, &[(0, block(1))], None);
    assert!(absent(&plain) == block(0), "unencrypted: zeros");

    let encrypted = snapshot(&here, &[(0, block(1))], Some(&key));
    assert!(is_noise(&absent(&encrypted)), "written encrypted");

    let more = [("Encrypted", "true"), ("KmsKeyId", key.as_str())];
    let copied = copy_snapshot(&here, &plain, &here.region, &more).done("a copy");
    let copy = copied.text("snapshotId");
    assert_eq!(settled_snapshot(&here, copy), "completed");
    assert!(is_noise(&absent(copy)), "copied encrypted");
}

/// Whether every value of a byte is about as frequent as another.
fn is_noise(data: &[u8]) -> bool {
    let mut counts = [0_usize; 256];
    for byte in data {
        counts[usize::from(*byte)] += 1;
    }
    let mean = data.len() / 256;
    counts
        .iter()
        .all(|count| (mean * 4 / 5..mean * 6 / 5).contains(count))
}

#[test]
fn aws_ebs_is_not_shared() {
    let place = Place::new();
    let here = place.publisher();
    let started = here
        .start_snapshot(&json!({"VolumeSize": 1, "Encrypted": true}))
        .done("a snapshot");
    let source = started["SnapshotId"].as_str().expect("an id");
    here.put_block(source, 0, &block(1)).done("a block");
    here.complete_snapshot(source, 1).done("a whole");
    assert_eq!(settled_snapshot(&here, source), "completed");
    share_snapshot(&here, source, CUSTOMER).refused("OperationNotPermitted");
    let image = image(&here, "image", source);
    launch_permission(&here, &image, "Add", CUSTOMER).refused("InvalidParameter");
    // What is allowed shows that it is for the key.
    let key = key(&here);
    let other = snapshot(&here, &[(0, block(1))], Some(&key));
    share_snapshot(&here, &other, CUSTOMER).done("it is shared");
}

#[test]
fn encrypted_is_never_public() {
    let place = Place::new();
    let here = place.publisher();
    here.ec2("DisableImageBlockPublicAccess", &[])
        .done("images may be public");
    let everybody = |image: &str| {
        here.ec2(
            "ModifyImageAttribute",
            &[("ImageId", image), ("LaunchPermission.Add.1.Group", "all")],
        )
    };
    let all = |snapshot: &str| {
        here.ec2(
            "ModifySnapshotAttribute",
            &[
                ("SnapshotId", snapshot),
                ("CreateVolumePermission.Add.1.Group", "all"),
            ],
        )
    };
    let plain = snapshot(&here, &[(0, block(1))], None);
    everybody(&image(&here, "plain", &plain)).done("it is public");
    all(&plain).done("it is public");

    let key = key(&here);
    let encrypted = snapshot(&here, &[(0, block(1))], Some(&key));
    everybody(&image(&here, "encrypted", &encrypted)).refused("UnsupportedOperation");
    all(&encrypted).refused("OperationNotPermitted");
}

#[test]
fn a_mapping_of_an_image_does_not_choose_a_key() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let encrypted = ("BlockDeviceMapping.1.Ebs.Encrypted", "true");
    let key = ("BlockDeviceMapping.1.Ebs.KmsKeyId", "alias/aws/ebs");
    for (more, code) in [
        (&[encrypted][..], "InvalidParameter"),
        (&[encrypted, key], "InvalidParameter"),
        (&[key], "InvalidParameterDependency"),
    ] {
        register(&here, "image", &source, more).refused(code);
    }
}

#[test]
fn a_snapshot_under_a_key_that_is_not_there() {
    let place = Place::new();
    let here = place.publisher();
    let none = "arn:aws:kms:us-east-1:111111111111:key/00000000-0000-0000-0000-000000000000";
    let body = json!({"VolumeSize": 1, "Encrypted": true, "KmsKeyArn": none});
    here.start_snapshot(&body)
        .refused("ResourceNotFoundException");
    // A copy is accepted, and fails.
    let source = open_snapshot(&here, None);
    here.put_block(&source, 0, &block(1)).done("a block");
    here.complete_snapshot(&source, 1).done("a whole");
    assert_eq!(settled_snapshot(&here, &source), "completed");
    let more = [("Encrypted", "true"), ("KmsKeyId", none)];
    let copied = copy_snapshot(&here, &source, &here.region, &more).done("a copy");
    assert_eq!(
        settled_snapshot(&here, copied.text("snapshotId")),
        "error",
        "under no key"
    );
}

#[test]
fn a_disabled_key_opens_nothing() {
    let place = Place::new();
    let here = place.publisher();
    let key = key(&here);
    let source = snapshot(&here, &[(0, block(1))], Some(&key));
    let switch = |operation: &str| here.kms(operation, json!({"KeyId": key})).done(operation);
    switch("DisableKey");
    let refused = here.get_block(&source, 0).expect_err("its key is disabled");
    assert_eq!(refused.status / 100, 4, "{refused}");
    let body = json!({"VolumeSize": 1, "Encrypted": true, "KmsKeyArn": key});
    let refused = here.start_snapshot(&body).expect_err("its key is disabled");
    assert_eq!(refused.status / 100, 4, "{refused}");
    switch("EnableKey");
    assert!(here.get_block(&source, 0).done("it is enabled") == block(1));
}
