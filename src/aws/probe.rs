//! Calls that make nothing, to see what a session may do: dry runs where AWS has them, and where it
//! has none, calls that cannot succeed, because what they name is not there. And what there is to
//! try them on.

use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, Filter, ImageState, ResourceType, Tag, TagSpecification,
};

use super::error::{AwsError, Kind};
use super::names::{AmiId, Region, SnapshotId};
use super::retry::{Call, Caller};
use super::tags;

/// An id of the right form that no snapshot has.
const NO_SNAPSHOT: &str = "snap-00000000000000000";
/// An id of the right form that no AMI has.
const NO_AMI: &str = "ami-00000000000000000";
/// A name that nothing has.
const NO_NAME: &str = "alpine-ami-doctor-asks";

/// What the account has in a Region: something to try dry runs on, and what quotas count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// How many AMIs are the account's.
    pub amis: usize,
    /// How many snapshots are the account's and still pending.
    pub pending_snapshots: usize,
    /// An AMI of a release that can be used, and its snapshot.
    pub released: Option<(AmiId, Option<SnapshotId>)>,
}

/// Calls that make nothing, in a Region.
#[derive(Debug, Clone)]
pub struct Probe {
    caller: Caller,
    ec2: aws_sdk_ec2::Client,
    ebs: aws_sdk_ebs::Client,
}

/// A client of a service. Each SDK has types of its own with the same methods.
macro_rules! client {
    ($sdk:ident, $caller:expr) => {
        $sdk::Client::from_conf(
            $sdk::config::Builder::from($caller.session.sdk())
                .region(aws_config::Region::new($caller.region.to_string()))
                .interceptor($caller.session.interceptor())
                .build(),
        )
    };
}

impl Probe {
    pub(super) fn new(caller: Caller) -> Probe {
        Probe {
            ec2: client!(aws_sdk_ec2, caller),
            ebs: client!(aws_sdk_ebs, caller),
            caller,
        }
    }

    /// What the account has here.
    ///
    /// # Errors
    /// AWS's.
    pub async fn holdings(&self) -> Result<Holdings, AwsError> {
        let mut holdings = Holdings::default();
        let mut next: Option<String> = None;
        loop {
            let call = Call::new("ec2:DescribeImages", "the account's AMIs");
            let send = || {
                let call = self.ec2.describe_images().owners("self").max_results(1000);
                call.set_next_token(next.clone()).send()
            };
            let page = self.caller.run(call, send).await?;
            holdings.amis += page.images().len();
            let released = page.images().iter().find_map(|image| {
                let is_release = |tag: &Tag| tag.key() == Some(tags::RELEASE);
                image.tags().iter().find(|tag| is_release(tag))?;
                // The blocks of an AMI that is still being copied cannot be listed.
                (image.state() == Some(&ImageState::Available)).then_some(())?;
                let mapping = image.block_device_mappings().first();
                let snapshot = mapping.and_then(|mapping| mapping.ebs()?.snapshot_id());
                Some((
                    image.image_id()?.parse().ok()?,
                    snapshot.and_then(|id| id.parse().ok()),
                ))
            });
            holdings.released = holdings.released.or(released);
            next = page.next_token().map(str::to_owned);
            if next.as_deref().unwrap_or_default().is_empty() {
                break;
            }
        }
        holdings.pending_snapshots = self.pending_snapshots().await?;
        Ok(holdings)
    }

    async fn pending_snapshots(&self) -> Result<usize, AwsError> {
        let pending = Filter::builder().name("status").values("pending").build();
        let mut count = 0;
        let mut next: Option<String> = None;
        loop {
            let call = Call::new("ec2:DescribeSnapshots", "the account's snapshots");
            let send = || {
                let call = self.ec2.describe_snapshots().owner_ids("self");
                let call = call.filters(pending.clone()).max_results(1000);
                call.set_next_token(next.clone()).send()
            };
            let page = self.caller.run(call, send).await?;
            count += page.snapshots().len();
            next = page.next_token().map(str::to_owned);
            if next.as_deref().unwrap_or_default().is_empty() {
                return Ok(count);
            }
        }
    }

    /// Asks whether an AMI may be registered and tagged.
    ///
    /// # Errors
    /// It may not; or the snapshot is not there, so that AWS did not come to a dry run.
    pub async fn may_register(&self, snapshot: Option<&SnapshotId>) -> Result<(), AwsError> {
        let snapshot = snapshot.map_or(NO_SNAPSHOT, SnapshotId::as_str);
        let disk = EbsBlockDevice::builder().snapshot_id(snapshot).build();
        let mapping = BlockDeviceMapping::builder().device_name("/dev/xvda");
        let mapping = mapping.ebs(disk).build();
        let send = || {
            let call = self.ec2.register_image().name(NO_NAME);
            let call = call.root_device_name("/dev/xvda");
            let call = call.block_device_mappings(mapping.clone());
            call.tag_specifications(tagged(ResourceType::Image))
                .dry_run(true)
                .send()
        };
        let call = Call::new("ec2:RegisterImage", snapshot);
        allowed(self.caller.run(call, send)).await
    }

    /// Asks whether an AMI may be copied to here and tagged.
    ///
    /// # Errors
    /// It may not; or the AMI is not there.
    pub async fn may_copy(&self, from: &Region, ami: Option<&AmiId>) -> Result<(), AwsError> {
        let ami = ami.map_or(NO_AMI, AmiId::as_str);
        let send = || {
            let call = self.ec2.copy_image().name(NO_NAME);
            let call = call.source_region(from.as_str()).source_image_id(ami);
            let call = call.tag_specifications(tagged(ResourceType::Image));
            call.tag_specifications(tagged(ResourceType::Snapshot))
                .dry_run(true)
                .send()
        };
        let call = Call::new("ec2:CopyImage", ami);
        allowed(self.caller.run(call, send)).await
    }

    /// Asks whether an AMI may be deregistered.
    ///
    /// # Errors
    /// It may not; or it is not there.
    pub async fn may_deregister(&self, ami: Option<&AmiId>) -> Result<(), AwsError> {
        let ami = ami.map_or(NO_AMI, AmiId::as_str);
        let send = || {
            let call = self.ec2.deregister_image().image_id(ami);
            call.dry_run(true).send()
        };
        let call = Call::new("ec2:DeregisterImage", ami);
        allowed(self.caller.run(call, send)).await
    }

    /// Asks whether an AMI may be launched, on an instance of that type in the default subnet. Keys
    /// are not looked at by a dry run.
    ///
    /// # Errors
    /// It may not; it is not there; or the instance could not be launched for another reason.
    pub async fn may_launch(&self, ami: &AmiId, instance_type: &str) -> Result<(), AwsError> {
        let send = || {
            let call = self.ec2.run_instances().image_id(ami.as_str());
            let call = call.instance_type(instance_type.into());
            call.min_count(1).max_count(1).dry_run(true).send()
        };
        let call = Call::new("ec2:RunInstances", ami);
        allowed(self.caller.run(call, send)).await
    }

    /// Asks whether a snapshot may be deleted.
    ///
    /// # Errors
    /// It may not; or it is not there, or an AMI needs it.
    pub async fn may_delete(&self, snapshot: Option<&SnapshotId>) -> Result<(), AwsError> {
        let snapshot = snapshot.map_or(NO_SNAPSHOT, SnapshotId::as_str);
        let send = || {
            let call = self.ec2.delete_snapshot().snapshot_id(snapshot);
            call.dry_run(true).send()
        };
        let call = Call::new("ec2:DeleteSnapshot", snapshot);
        allowed(self.caller.run(call, send)).await
    }

    /// Asks whether a snapshot may be started and tagged: with a parent that is not there, so that
    /// none is.
    ///
    /// # Errors
    /// Always: `NotFound` where it may.
    pub async fn may_start(&self) -> Result<(), AwsError> {
        let send = || {
            let tag = aws_sdk_ebs::types::Tag::builder();
            let tag = tag.key(tags::RELEASE).value(NO_NAME).build();
            let call = self.ebs.start_snapshot().volume_size(1).tags(tag);
            call.parent_snapshot_id(NO_SNAPSHOT).send()
        };
        let call = Call::new("ebs:StartSnapshot", NO_SNAPSHOT);
        self.caller.run(call, send).await.map(drop)
    }

    /// Asks whether a snapshot may be completed, which is what is asked of putting blocks too: one
    /// that is not there.
    ///
    /// # Errors
    /// Always: `NotFound` where it may.
    pub async fn may_complete(&self) -> Result<(), AwsError> {
        let send = || {
            let call = self.ebs.complete_snapshot().snapshot_id(NO_SNAPSHOT);
            call.changed_blocks_count(0).send()
        };
        let call = Call::new("ebs:CompleteSnapshot", NO_SNAPSHOT);
        self.caller.run(call, send).await.map(drop)
    }

    /// Asks whether blocks of snapshots may be listed, which is what is asked of reading them too.
    ///
    /// # Errors
    /// They may not; or the snapshot is not there.
    pub async fn may_list_blocks(&self, snapshot: Option<&SnapshotId>) -> Result<(), AwsError> {
        let snapshot = snapshot.map_or(NO_SNAPSHOT, SnapshotId::as_str);
        let send = || {
            let call = self.ebs.list_snapshot_blocks();
            call.snapshot_id(snapshot).send()
        };
        let call = Call::new("ebs:ListSnapshotBlocks", snapshot);
        self.caller.run(call, send).await.map(drop)
    }
}

/// The tag that the least policy asks for.
fn tagged(resource: ResourceType) -> TagSpecification {
    let tag = Tag::builder().key(tags::RELEASE).value(NO_NAME).build();
    let tagged = TagSpecification::builder().resource_type(resource);
    tagged.tags(tag).build()
}

/// A dry run always ends in an error; one of its errors is good news.
pub(super) async fn allowed<T>(
    call: impl Future<Output = Result<T, AwsError>>,
) -> Result<(), AwsError> {
    match call.await {
        Err(error) if error.kind != Kind::DryRun => Err(error),
        _ => Ok(()),
    }
}
