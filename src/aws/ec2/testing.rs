//! What tests of EC2 need and this program does not: keys, snapshots, route tables, and a look at
//! everything.

use aws_sdk_ebs::types::Tag;
use aws_sdk_ec2::types::{
    Filter, LaunchPermission, LaunchPermissionModifications, PermissionGroup,
};

use super::{Ec2, Image, Instance, Launch, Launched, NewVolume, Registration, Snapshot, Subnet};
use crate::arch::Arch;
use crate::aws::names::{AccountId, AmiId, KeyArn, SnapshotId};
use crate::aws::retry::Call;
use crate::aws::tags::Tags;

impl Ec2 {
    /// Makes a key in the Region.
    pub(crate) async fn test_key(&self) -> KeyArn {
        let config = aws_sdk_kms::config::Builder::from(self.caller.session.sdk())
            .region(aws_config::Region::new(self.region().to_string()))
            .build();
        let client = aws_sdk_kms::Client::from_conf(config);
        let answer = client.create_key().send().await.expect("a key");
        let arn = answer
            .key_metadata()
            .and_then(|key| key.arn())
            .expect("an ARN");
        arn.parse().expect("an ARN of a key")
    }

    /// Makes a completed snapshot of 1 GiB without blocks.
    pub(crate) async fn test_snapshot(&self, key: Option<&KeyArn>, tags: &Tags) -> SnapshotId {
        let config = aws_sdk_ebs::config::Builder::from(self.caller.session.sdk())
            .region(aws_config::Region::new(self.region().to_string()))
            .build();
        let client = aws_sdk_ebs::Client::from_conf(config);
        let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
        let started = client
            .start_snapshot()
            .volume_size(1)
            .set_encrypted(key.map(|_| true))
            .set_kms_key_arn(key.map(ToString::to_string))
            .set_tags((!tags.0.is_empty()).then(|| tags.0.iter().map(tag).collect()))
            .send()
            .await
            .expect("a snapshot");
        let id = started.snapshot_id().expect("an id");
        let complete = client
            .complete_snapshot()
            .snapshot_id(id)
            .changed_blocks_count(0);
        complete.send().await.expect("a completed snapshot");
        id.parse().expect("a snapshot's id")
    }

    /// Registers an AMI.
    pub(crate) async fn test_image(&self, name: &str, snapshot: &SnapshotId, tags: &Tags) -> AmiId {
        let registration = Registration {
            name,
            description: "an image",
            arch: Arch::X86_64,
            boot_mode: "legacy-bios",
            tpm: false,
            root_device: "/dev/xvda",
            snapshot,
            volume_gib: 2,
            tags,
        };
        self.register(&registration).await.expect("an AMI")
    }

    /// All AMIs of the account in the Region.
    pub(crate) async fn test_images(&self) -> Vec<Image> {
        let everything = Filter::builder().name("name").values("*").build();
        self.own_images("all", everything).await.expect("images")
    }

    /// All snapshots of the account in the Region.
    pub(crate) async fn test_snapshots(&self) -> Vec<Snapshot> {
        let call = Call::new("ec2:DescribeSnapshots", "all");
        let request = self.client.describe_snapshots().owner_ids("self");
        let answer = self
            .caller
            .run(call.clone(), || request.clone().send())
            .await;
        let answer = answer.expect("snapshots");
        self.snapshots(&call, answer.snapshots()).expect("typed")
    }

    /// A launch of an AMI of its own, with a volume under a key of its own.
    pub(crate) async fn test_launch(&self, token: &str) -> Launch {
        let tags = Tags([("made-by".to_owned(), "a * test".to_owned())].into());
        let snapshot = self.test_snapshot(None, &tags).await;
        Launch {
            token: token.to_owned(),
            image: self.test_image(token, &snapshot, &tags).await,
            instance_type: "t3.micro".to_owned(),
            subnet: None,
            zone: None,
            security_groups: Vec::new(),
            user_data: "#!/bin/sh\n".to_owned(),
            root_device: None,
            volume: NewVolume {
                device: "/dev/sdf".to_owned(),
                gib: 2,
                key: self.test_key().await,
            },
            tags,
        }
    }

    /// Launches an instance.
    pub(crate) async fn test_instance(&self, launch: &Launch) -> Instance {
        match self.run_instance(launch).await.expect("an answer") {
            Launched::Yes(instance) => instance,
            Launched::NoCapacity(why) => panic!("{why}"),
        }
    }

    /// Gives a subnet a route table of its own that leads nowhere.
    pub(crate) async fn test_cut_off(&self, subnet: &Subnet) {
        let request = self.client.create_route_table().vpc_id(&subnet.vpc);
        let answer = request.send().await.expect("a route table");
        let table = answer
            .route_table()
            .and_then(|table| table.route_table_id());
        self.client
            .associate_route_table()
            .route_table_id(table.expect("an id"))
            .subnet_id(subnet.id.as_str())
            .send()
            .await
            .expect("an association");
    }

    /// Shares an AMI with an account.
    pub(crate) async fn test_share(&self, image: &AmiId, account: &AccountId) {
        let permission = LaunchPermission::builder().user_id(account.as_str());
        self.test_permit(image, permission.build()).await;
    }

    /// Makes an AMI public.
    pub(crate) async fn test_make_public(&self, image: &AmiId) {
        let request = self.client.disable_image_block_public_access();
        request.send().await.expect("public images are allowed");
        let permission = LaunchPermission::builder().group(PermissionGroup::All);
        self.test_permit(image, permission.build()).await;
    }

    async fn test_permit(&self, image: &AmiId, permission: LaunchPermission) {
        let permissions = LaunchPermissionModifications::builder().add(permission);
        let request = self.client.modify_image_attribute();
        let request = request.image_id(image.as_str());
        let request = request.launch_permission(permissions.build());
        request.send().await.expect("a permission");
    }

    /// Disables an AMI.
    pub(crate) async fn test_disable(&self, image: &Image) {
        let request = self.client.disable_image().image_id(image.id.as_str());
        request.send().await.expect("a disabled image");
    }
}
