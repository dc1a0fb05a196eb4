//! A whole life, driven by the real AWS CLI: from a bucket to an image that is no more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cli::Cli;
use super::client::{BLOCK, Call, checksum};
use super::place::{ABROAD, CUSTOMER, HOME, PUBLISHER, Place};

#[test]
fn from_bucket_to_deregistration() {
    let place = Place::with_machines();
    let publisher = Cli::new(&place, "publisher");
    let customer = Cli::new(&place, "customer");
    assert_eq!(
        publisher.json(&["sts", "get-caller-identity"])["Account"],
        PUBLISHER
    );
    assert_eq!(
        customer.json(&["sts", "get-caller-identity"])["Account"],
        CUSTOMER
    );

    let disk = a_bucket_keeps_a_disk(&place, &publisher);
    let snapshot = blocks_become_a_snapshot(&publisher, &disk);
    let image = the_snapshot_becomes_an_image(&publisher, &snapshot);
    let key = a_key_abroad(&publisher);
    let copy = a_copy_abroad_is_encrypted(&publisher, &image, &key);
    the_customer_sees_what_is_shared(&publisher, &customer, &copy);
    the_launch_permission_is_not_enough(&customer, &copy, &key);
    the_customer_may_use_the_key(&publisher, &customer, &key);
    it_runs(&place, &customer, &copy);
    both_images_end(&publisher, &customer, &[(HOME, &image), (ABROAD, &copy)]);
}

/// A file of two blocks goes through S3 and back, also by a presigned URL. Returns what came back.
fn a_bucket_keeps_a_disk(place: &Place, publisher: &Cli) -> PathBuf {
    let mut disk = boot_sector(&publisher.home);
    disk.resize(BLOCK, 0);
    let sent = publisher.file("disk.img", &[disk, vec![2; BLOCK]].concat());
    let got = publisher.home.join("got.img");
    let (sent, got) = (text(&sent), text(&got));
    publisher.run(&["s3", "mb", "s3://life-of-an-image"]);
    publisher.run(&["s3", "cp", &sent, "s3://life-of-an-image/disk.img"]);
    publisher.run(&["s3", "cp", "s3://life-of-an-image/disk.img", &got]);
    assert_eq!(fs::read(&got).expect("got"), fs::read(&sent).expect("sent"));

    let listed = publisher.json(&["s3api", "list-objects-v2", "--bucket", "life-of-an-image"]);
    assert_eq!(listed["Contents"][0]["Key"], "disk.img");
    assert_eq!(listed["Contents"][0]["Size"], 2 * BLOCK);

    let url = publisher.run(&["s3", "presign", "s3://life-of-an-image/disk.img"]);
    let fetched = place
        .publisher()
        .send_url(url.trim(), &Call::new("GET", "/"))
        .expect("an answer");
    assert_eq!(fetched.status, 200, "{}", fetched.text());
    assert_eq!(fetched.body, fs::read(&sent).expect("sent"));

    publisher.run(&["s3", "rb", "--force", "s3://life-of-an-image"]);
    PathBuf::from(got)
}

fn blocks_become_a_snapshot(publisher: &Cli, disk: &Path) -> String {
    let started = publisher.json(&[
        "ebs",
        "start-snapshot",
        "--volume-size",
        "1",
        "--description",
        "a life",
        "--client-token",
        "life-1",
        "--tags",
        "Key=life,Value=whole",
    ]);
    assert_eq!(started["Status"], "pending");
    let snapshot = string(&started["SnapshotId"]);
    for (index, data) in fs::read(disk).expect("a disk").chunks(BLOCK).enumerate() {
        let file = publisher.file("block", data);
        publisher.json(&[
            "ebs",
            "put-snapshot-block",
            "--snapshot-id",
            &snapshot,
            "--block-index",
            &index.to_string(),
            "--block-data",
            &text(&file),
            "--data-length",
            &data.len().to_string(),
            "--checksum",
            &checksum(data),
            "--checksum-algorithm",
            "SHA256",
        ]);
    }
    publisher.json(&[
        "ebs",
        "complete-snapshot",
        "--snapshot-id",
        &snapshot,
        "--changed-blocks-count",
        "2",
    ]);
    publisher.run(&[
        "ec2",
        "wait",
        "snapshot-completed",
        "--snapshot-ids",
        &snapshot,
    ]);

    let listed = publisher.json(&["ebs", "list-snapshot-blocks", "--snapshot-id", &snapshot]);
    assert_eq!(listed["Blocks"].as_array().map(Vec::len), Some(2));
    let token = string(&listed["Blocks"][1]["BlockToken"]);
    let got = publisher.home.join("block-1");
    publisher.run(&[
        "ebs",
        "get-snapshot-block",
        "--snapshot-id",
        &snapshot,
        "--block-index",
        "1",
        "--block-token",
        &token,
        &text(&got),
    ]);
    assert!(fs::read(got).expect("a block") == vec![2; BLOCK]);
    snapshot
}

fn the_snapshot_becomes_an_image(publisher: &Cli, snapshot: &str) -> String {
    let disk = json!([{
        "DeviceName": "/dev/xvda",
        "Ebs": {"SnapshotId": snapshot, "VolumeType": "gp3", "DeleteOnTermination": true}
    }]);
    let registered = publisher.json(&[
        "ec2",
        "register-image",
        "--name",
        "life/x86_64/1",
        "--description",
        "an image's life",
        "--architecture",
        "x86_64",
        "--root-device-name",
        "/dev/xvda",
        "--virtualization-type",
        "hvm",
        "--boot-mode",
        "legacy-bios",
        "--ena-support",
        "--imds-support",
        "v2.0",
        "--block-device-mappings",
        &disk.to_string(),
        "--tag-specifications",
        "ResourceType=image,Tags=[{Key=life,Value=whole}]",
    ]);
    let image = string(&registered["ImageId"]);
    publisher.run(&["ec2", "wait", "image-available", "--image-ids", &image]);
    let described = publisher.image(HOME, &image);
    assert_eq!(described["BootMode"], "legacy-bios");
    assert_eq!(described["ImdsSupport"], "v2.0");
    assert_eq!(
        described["Tags"],
        json!([{"Key": "life", "Value": "whole"}])
    );
    let disk = &described["BlockDeviceMappings"][0];
    assert_eq!(disk["DeviceName"], "/dev/xvda");
    assert_eq!(disk["Ebs"]["SnapshotId"], snapshot);
    assert_eq!(disk["Ebs"]["VolumeType"], "gp3");
    assert_eq!(disk["Ebs"]["VolumeSize"], 1);
    assert_eq!(disk["Ebs"]["Encrypted"], false);
    image
}

/// A key that its policy keeps to its account.
fn a_key_abroad(publisher: &Cli) -> String {
    let made = publisher.json(&["kms", "create-key", "--region", ABROAD]);
    let key = string(&made["KeyMetadata"]["Arn"]);
    publisher.run(&[
        "kms",
        "create-alias",
        "--region",
        ABROAD,
        "--alias-name",
        "alias/life",
        "--target-key-id",
        &key,
    ]);
    key
}

fn a_copy_abroad_is_encrypted(publisher: &Cli, image: &str, key: &str) -> String {
    let copied = publisher.json(&[
        "ec2",
        "copy-image",
        "--region",
        ABROAD,
        "--name",
        "life/x86_64/1",
        "--source-image-id",
        image,
        "--source-region",
        HOME,
        "--encrypted",
        "--kms-key-id",
        "alias/life",
        "--client-token",
        "life-copy-1",
        "--copy-image-tags",
    ]);
    let copy = string(&copied["ImageId"]);
    publisher.run(&[
        "ec2",
        "wait",
        "image-available",
        "--region",
        ABROAD,
        "--image-ids",
        &copy,
    ]);
    let described = publisher.image(ABROAD, &copy);
    assert_eq!(
        described["Tags"],
        json!([{"Key": "life", "Value": "whole"}])
    );
    let disk = &described["BlockDeviceMappings"][0]["Ebs"];
    assert_eq!(disk["Encrypted"], true);
    let snapshot = string(&disk["SnapshotId"]);
    let snapshots = publisher.json(&[
        "ec2",
        "describe-snapshots",
        "--region",
        ABROAD,
        "--snapshot-ids",
        &snapshot,
    ]);
    assert_eq!(snapshots["Snapshots"][0]["KmsKeyId"], key);
    assert_eq!(snapshots["Snapshots"][0]["Encrypted"], true);
    copy
}

fn the_customer_sees_what_is_shared(publisher: &Cli, customer: &Cli, copy: &str) {
    let shared_with_me = || {
        customer.json(&[
            "ec2",
            "describe-images",
            "--region",
            ABROAD,
            "--executable-users",
            "self",
        ])["Images"]
            .clone()
    };
    assert_eq!(shared_with_me(), json!([]));
    customer.refused(
        "InvalidAMIID.NotFound",
        &[
            "ec2",
            "describe-images",
            "--region",
            ABROAD,
            "--image-ids",
            copy,
        ],
    );
    publisher.run(&[
        "ec2",
        "modify-image-attribute",
        "--region",
        ABROAD,
        "--image-id",
        copy,
        "--launch-permission",
        &format!("Add=[{{UserId={CUSTOMER}}}]"),
    ]);
    let images = shared_with_me();
    assert_eq!(images.as_array().map(Vec::len), Some(1), "{images}");
    assert_eq!(images[0]["ImageId"], copy);
    assert_eq!(images[0]["OwnerId"], PUBLISHER);
    assert_eq!(images[0]["Tags"], Value::Null, "tags are their owner's");
}

/// Without the key the launch is accepted and comes to nothing.
fn the_launch_permission_is_not_enough(customer: &Cli, copy: &str, key: &str) {
    customer.refused(
        "AccessDeniedException",
        &["kms", "describe-key", "--region", ABROAD, "--key-id", key],
    );
    let instance = launch(customer, copy);
    wait_for(customer, "terminated", &instance);
    let seen = describe(customer, &instance);
    assert_eq!(seen["StateReason"]["Code"], "Client.InternalError");
}

fn the_customer_may_use_the_key(publisher: &Cli, customer: &Cli, key: &str) {
    let granted = publisher.json(&[
        "kms",
        "create-grant",
        "--region",
        ABROAD,
        "--key-id",
        key,
        "--name",
        "customer",
        "--grantee-principal",
        &format!("arn:aws:iam::{CUSTOMER}:root"),
        "--operations",
        "DescribeKey",
        "Decrypt",
        "ReEncryptFrom",
        "ReEncryptTo",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "CreateGrant",
    ]);
    assert!(!string(&granted["GrantToken"]).is_empty());
    let seen = customer.json(&["kms", "describe-key", "--region", ABROAD, "--key-id", key]);
    assert_eq!(seen["KeyMetadata"]["Arn"], key);
}

/// The guest says so on its console, writes to its disk and switches itself off.
fn it_runs(place: &Place, customer: &Cli, copy: &str) {
    let instance = launch(customer, copy);
    wait_for(customer, "stopped", &instance);
    let output = customer.json(&[
        "ec2",
        "get-console-output",
        "--region",
        ABROAD,
        "--latest",
        "--instance-id",
        &instance,
    ]);
    let console = string(&output["Output"]);
    assert!(console.contains("hello from the boot sector"), "{console}");
    assert!(console.contains("wrote a sector"), "{console}");

    let seen = describe(customer, &instance);
    assert_eq!(
        seen["StateReason"]["Code"],
        "Client.InstanceInitiatedShutdown"
    );
    let volume = string(&seen["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]);
    let made = customer.json(&[
        "ec2",
        "create-snapshot",
        "--region",
        ABROAD,
        "--volume-id",
        &volume,
    ]);
    let snapshot = string(&made["SnapshotId"]);
    customer.run(&[
        "ec2",
        "wait",
        "snapshot-completed",
        "--region",
        ABROAD,
        "--snapshot-ids",
        &snapshot,
    ]);
    let written = place
        .customer()
        .in_region(ABROAD)
        .get_block(&snapshot, 2)
        .expect("the block at 1 MiB");
    // Before the byte in which the guest notes its disk, it is the sector itself.
    assert_eq!(written[..64], boot_sector(&customer.home)[..64]);

    customer.run(&[
        "ec2",
        "terminate-instances",
        "--region",
        ABROAD,
        "--instance-ids",
        &instance,
    ]);
    wait_for(customer, "terminated", &instance);
    customer.refused(
        "InvalidVolume.NotFound",
        &[
            "ec2",
            "describe-volumes",
            "--region",
            ABROAD,
            "--volume-ids",
            &volume,
        ],
    );
}

fn launch(customer: &Cli, image: &str) -> String {
    let launched = customer.json(&[
        "ec2",
        "run-instances",
        "--region",
        ABROAD,
        "--image-id",
        image,
        "--instance-type",
        "t3.micro",
    ]);
    string(&launched["Instances"][0]["InstanceId"])
}

/// Waits until an instance is in a state. The CLI's own waiters take `pending` for a failure.
fn wait_for(customer: &Cli, state: &str, instance: &str) {
    let patience = Instant::now() + Duration::from_secs(300);
    loop {
        let seen = describe(customer, instance);
        if seen["State"]["Name"] == state {
            return;
        }
        assert!(
            Instant::now() < patience,
            "it does not become {state}: {seen}"
        );
    }
}

fn describe(customer: &Cli, instance: &str) -> Value {
    customer.json(&[
        "ec2",
        "describe-instances",
        "--region",
        ABROAD,
        "--instance-ids",
        instance,
    ])["Reservations"][0]["Instances"][0]
        .clone()
}

/// The smallest guest there is, assembled from `boot.S`.
pub fn boot_sector(folder: &Path) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sandbox/boot.S");
    let (object, sector) = (folder.join("boot.o"), folder.join("boot.bin"));
    let run = |program: &str, args: &[&str], files: [&Path; 2]| {
        let status = Command::new(program)
            .args(args)
            .arg("-o")
            .args(files)
            .status()
            .expect(program);
        assert!(status.success(), "{program}");
    };
    run("as", &["--32"], [&object, &source]);
    let flat = ["-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary"];
    run("ld", &flat, [&sector, &object]);
    let sector = fs::read(sector).expect("a sector");
    assert_eq!(sector.len(), 512);
    sector
}

fn both_images_end(publisher: &Cli, customer: &Cli, images: &[(&str, &str)]) {
    for (region, image) in images {
        let described = publisher.image(region, image);
        let snapshot = string(&described["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]);
        publisher.refused(
            "InvalidSnapshot.InUse",
            &[
                "ec2",
                "delete-snapshot",
                "--region",
                region,
                "--snapshot-id",
                &snapshot,
            ],
        );
        publisher.json(&[
            "ec2",
            "deregister-image",
            "--region",
            region,
            "--image-id",
            image,
            "--delete-associated-snapshots",
        ]);
        for cli in [publisher, customer] {
            cli.refused(
                "InvalidAMIID.",
                &[
                    "ec2",
                    "describe-images",
                    "--region",
                    region,
                    "--image-ids",
                    image,
                ],
            );
        }
        publisher.refused(
            "InvalidSnapshot.NotFound",
            &[
                "ec2",
                "describe-snapshots",
                "--region",
                region,
                "--snapshot-ids",
                &snapshot,
            ],
        );
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

#[track_caller]
fn string(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
