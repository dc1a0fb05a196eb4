//! What most tests begin with: a key, a snapshot with blocks, an image of it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{BLOCK, Client, Expect as _, Outcome, Tree};

/// A block filled with a byte.
pub fn block(byte: u8) -> Vec<u8> {
    vec![byte; BLOCK]
}

/// A key that its account may use as its policies say; its ARN.
pub fn key(client: &Client) -> String {
    let made = client.kms("CreateKey", json!({})).done("a key");
    made["KeyMetadata"]["Arn"]
        .as_str()
        .expect("an ARN")
        .to_owned()
}

/// A key whose policy lets another account use it as customers must be able to; its ARN.
pub fn key_shared_with(client: &Client, owner: &str, other: &str) -> String {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "owner",
                "Effect": "Allow",
                "Principal": {"AWS": format!("arn:aws:iam::{owner}:root")},
                "Action": "kms:*",
                "Resource": "*"
            },
            {
                "Sid": "use",
                "Effect": "Allow",
                "Principal": {"AWS": format!("arn:aws:iam::{other}:root")},
                "Action": [
                    "kms:DescribeKey", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"
                ],
                "Resource": "*"
            },
            {
                "Sid": "grants",
                "Effect": "Allow",
                "Principal": {"AWS": format!("arn:aws:iam::{other}:root")},
                "Action": "kms:CreateGrant",
                "Resource": "*",
                "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}}
            }
        ]
    });
    let made = client
        .kms("CreateKey", json!({"Policy": policy.to_string()}))
        .done("a key");
    made["KeyMetadata"]["Arn"]
        .as_str()
        .expect("an ARN")
        .to_owned()
}

/// A completed snapshot of 1 GiB with these blocks, under a key where one is given.
pub fn snapshot(client: &Client, blocks: &[(u32, Vec<u8>)], key: Option<&str>) -> String {
    let id = open_snapshot(client, key);
    for (index, data) in blocks {
        client.put_block(&id, *index, data).done("a block");
    }
    client
        .complete_snapshot(&id, blocks.len())
        .done("a completed snapshot");
    assert_eq!(settled_snapshot(client, &id), "completed");
    id
}

/// A snapshot of 1 GiB that awaits its blocks.
pub fn open_snapshot(client: &Client, key: Option<&str>) -> String {
    let mut body = json!({"VolumeSize": 1});
    if let Some(key) = key {
        body["Encrypted"] = true.into();
        body["KmsKeyArn"] = key.into();
    }
    let started = client.start_snapshot(&body).done("a started snapshot");
    started["SnapshotId"].as_str().expect("an id").to_owned()
}

/// An image of a snapshot.
pub fn image(client: &Client, name: &str, snapshot: &str) -> String {
    register(client, name, snapshot, &[])
        .done("an image")
        .text("imageId")
        .to_owned()
}

/// RegisterImage as the publisher does it, with further parameters.
pub fn register(
    client: &Client,
    name: &str,
    snapshot: &str,
    more: &[(&str, &str)],
) -> Outcome<Tree> {
    let mut params = vec![
        ("Name", name),
        ("Architecture", "x86_64"),
        ("RootDeviceName", "/dev/xvda"),
        ("VirtualizationType", "hvm"),
        ("EnaSupport", "true"),
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.SnapshotId", snapshot),
    ];
    params.extend(more);
    client.ec2("RegisterImage", &params)
}

/// An image as its owner describes it.
pub fn describe_image(client: &Client, id: &str) -> Tree {
    client
        .ec2("DescribeImages", &[("ImageId.1", id)])
        .done("an image")
}

/// The state that a snapshot has once it is no longer pending.
pub fn settled_snapshot(client: &Client, id: &str) -> String {
    settled("pending", || {
        client
            .ec2("DescribeSnapshots", &[("SnapshotId.1", id)])
            .done("a snapshot")
            .text("snapshotSet/item[0]/status")
            .to_owned()
    })
}

/// The state that an image has once it is no longer pending.
pub fn settled_image(client: &Client, id: &str) -> String {
    settled("pending", || {
        describe_image(client, id)
            .text("imagesSet/item[0]/imageState")
            .to_owned()
    })
}

/// The state that a volume has once it is no longer being made.
pub fn settled_volume(client: &Client, id: &str) -> String {
    settled("creating", || {
        client
            .ec2("DescribeVolumes", &[("VolumeId.1", id)])
            .done("a volume")
            .text("volumeSet/item[0]/status")
            .to_owned()
    })
}

fn settled(passing: &str, mut look: impl FnMut() -> String) -> String {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let state = look();
        if state != passing {
            return state;
        }
        assert!(Instant::now() < patience, "it stays {passing}");
    }
}

/// Adds or removes a launch permission of an image.
pub fn launch_permission(client: &Client, image: &str, what: &str, account: &str) -> Outcome<Tree> {
    let name = format!("LaunchPermission.{what}.1.UserId");
    client.ec2(
        "ModifyImageAttribute",
        &[("ImageId", image), (&name, account)],
    )
}

/// Lets an account copy a snapshot.
pub fn share_snapshot(client: &Client, snapshot: &str, account: &str) -> Outcome<Tree> {
    client.ec2(
        "ModifySnapshotAttribute",
        &[
            ("SnapshotId", snapshot),
            ("CreateVolumePermission.Add.1.UserId", account),
        ],
    )
}

/// CopyImage into the client's Region.
pub fn copy_image(
    client: &Client,
    name: &str,
    image: &str,
    from: &str,
    more: &[(&str, &str)],
) -> Outcome<Tree> {
    let mut params = vec![
        ("Name", name),
        ("SourceImageId", image),
        ("SourceRegion", from),
    ];
    params.extend(more);
    client.ec2("CopyImage", &params)
}

/// CopySnapshot into the client's Region.
pub fn copy_snapshot(
    client: &Client,
    snapshot: &str,
    from: &str,
    more: &[(&str, &str)],
) -> Outcome<Tree> {
    let mut params = vec![("SourceSnapshotId", snapshot), ("SourceRegion", from)];
    params.extend(more);
    client.ec2("CopySnapshot", &params)
}

/// RunInstances of one small instance.
pub fn launch(client: &Client, image: &str) -> Outcome<Tree> {
    client.ec2(
        "RunInstances",
        &[
            ("ImageId", image),
            ("InstanceType", "t3.micro"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
        ],
    )
}
