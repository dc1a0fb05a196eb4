//! Volumes: described, deleted, and snapshots made of them.

#[cfg(test)]
mod tests;

use std::fmt;

use aws_sdk_ec2::operation::describe_volumes::DescribeVolumesOutput;
use aws_sdk_ec2::types::{self, ResourceType};

use super::{Ec2, PAGE, Snapshot, filter, specification, tags_from, unless_missing};
use crate::aws::error::AwsError;
use crate::aws::names::{InstanceId, KeyArn, SnapshotId, VolumeId};
use crate::aws::retry::Call;
use crate::aws::tags::{self, Tags};

/// A volume, as DescribeVolumes shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// How it is.
    pub state: VolumeState,
    /// Its size, in GiB.
    pub gib: u32,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The key that it is encrypted under.
    pub key: Option<KeyArn>,
    /// The instance that has it.
    pub attached_to: Option<InstanceId>,
    /// Its tags.
    pub tags: Tags,
}

/// How a volume is.
/// <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-describing-volumes.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeState {
    /// It is being made.
    Creating,
    /// It is there, and no instance has it.
    Available,
    /// An instance has it.
    InUse,
    /// It is being deleted.
    Deleting,
    /// It could not be made, or its hardware failed.
    Error,
    /// AWS's `deleted`, and what is new to this program.
    Other(String),
}

impl VolumeState {
    /// AWS's word.
    pub fn as_str(&self) -> &str {
        match self {
            VolumeState::Creating => "creating",
            VolumeState::Available => "available",
            VolumeState::InUse => "in-use",
            VolumeState::Deleting => "deleting",
            VolumeState::Error => "error",
            VolumeState::Other(word) => word,
        }
    }

    fn of(word: &str) -> VolumeState {
        match word {
            "creating" => VolumeState::Creating,
            "available" => VolumeState::Available,
            "in-use" => VolumeState::InUse,
            "deleting" => VolumeState::Deleting,
            "error" => VolumeState::Error,
            other => VolumeState::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for VolumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Ec2 {
    /// The volume of that id. None if there is none, or none yet.
    ///
    /// # Errors
    /// Those of DescribeVolumes.
    pub async fn volume(&self, id: &VolumeId) -> Result<Option<Volume>, AwsError> {
        let call = Call::new("ec2:DescribeVolumes", id);
        let request = self.client.describe_volumes().volume_ids(id.as_str());
        let asked = self.caller.run(call.clone(), || request.clone().send());
        match unless_missing(asked.await)? {
            Some(answer) => Ok(self.volumes(&call, answer.volumes())?.pop()),
            None => Ok(None),
        }
    }

    /// The account's volumes with that tag.
    ///
    /// # Errors
    /// Those of DescribeVolumes.
    pub async fn volumes_tagged(&self, key: &str, value: &str) -> Result<Vec<Volume>, AwsError> {
        let filter = filter(format!("tag:{key}"), [value]);
        self.volumes_with(format!("{key}={value}"), filter).await
    }

    async fn volumes_with(
        &self,
        what: String,
        filter: types::Filter,
    ) -> Result<Vec<Volume>, AwsError> {
        let call = Call::new("ec2:DescribeVolumes", what);
        let request = self.client.describe_volumes();
        let request = request.filters(filter).max_results(PAGE);
        let ask = |token| request.clone().set_next_token(token).send();
        let mut volumes = Vec::new();
        for page in self
            .pages(&call, ask, DescribeVolumesOutput::next_token)
            .await?
        {
            volumes.extend(self.volumes(&call, page.volumes())?);
        }
        Ok(volumes)
    }

    /// The account's volumes of builds.
    ///
    /// # Errors
    /// Those of DescribeVolumes.
    pub async fn volumes_of_builds(&self) -> Result<Vec<Volume>, AwsError> {
        let filter = filter("tag-key", [tags::BUILD]);
        self.volumes_with("volumes of builds".to_owned(), filter)
            .await
    }

    /// Deletes a volume. One that is not there is no error.
    ///
    /// # Errors
    /// Those of DeleteVolume, among them `VolumeInUse` where an instance has it.
    pub async fn delete_volume(&self, id: &VolumeId) -> Result<(), AwsError> {
        let call = Call::new("ec2:DeleteVolume", id);
        let request = self.client.delete_volume().volume_id(id.as_str());
        let asked = self.caller.run(call, || request.clone().send());
        unless_missing(asked.await).map(drop)
    }

    /// Begins a snapshot of a volume: of what was written when the call came, so that the instance
    /// that has the volume should be stopped. It is encrypted under the volume's key.
    ///
    /// CreateSnapshot takes no client token, and nothing about a snapshot is unique: whoever may
    /// have called this before, in this run or in an earlier one, looks at
    /// [`Ec2::snapshots_of_volume`] first. For the same reason this is not called again after a
    /// fault or without an answer: the error then leaves open whether there is a snapshot.
    ///
    /// # Errors
    /// Those of CreateSnapshot.
    pub async fn create_snapshot(
        &self,
        volume: &VolumeId,
        description: &str,
        tags: &Tags,
    ) -> Result<SnapshotId, AwsError> {
        let call = Call::new("ec2:CreateSnapshot", volume).unrepeatable();
        let request = self
            .client
            .create_snapshot()
            .volume_id(volume.as_str())
            .description(description)
            .tag_specifications(specification(ResourceType::Snapshot, tags));
        let answer = self
            .caller
            .run(call.clone(), || request.clone().send())
            .await?;
        self.id(&call, answer.snapshot_id())
    }

    /// The account's own snapshots of a volume, which may be gone by now.
    ///
    /// # Errors
    /// Those of DescribeSnapshots.
    pub async fn snapshots_of_volume(&self, volume: &VolumeId) -> Result<Vec<Snapshot>, AwsError> {
        let filter = filter("volume-id", [volume]);
        self.own_snapshots(volume.as_str(), filter).await
    }

    fn volumes(&self, call: &Call, volumes: &[types::Volume]) -> Result<Vec<Volume>, AwsError> {
        let typed = |volume: &types::Volume| {
            let size = volume.size().and_then(|gib| u32::try_from(gib).ok());
            let mut attachments = volume.attachments().iter();
            let attached = attachments.find_map(|attachment| attachment.instance_id());
            Ok(Volume {
                id: self.id(call, volume.volume_id())?,
                state: VolumeState::of(volume.state().map_or("", |state| state.as_str())),
                gib: size.unwrap_or(0),
                encrypted: volume.encrypted().unwrap_or(false),
                key: volume.kms_key_id().and_then(|key| key.parse().ok()),
                attached_to: attached.and_then(|id| id.parse().ok()),
                tags: tags_from(volume.tags()),
            })
        };
        volumes.iter().map(typed).collect()
    }
}
