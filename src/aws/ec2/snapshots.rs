//! Snapshots: described, deleted.

use aws_sdk_ec2::operation::describe_snapshots::DescribeSnapshotsOutput;
use aws_sdk_ec2::types;

use super::{Ec2, PAGE, filter, tags_from, unless_missing};
use crate::aws::error::{AwsError, Kind};
use crate::aws::names::{AccountId, KeyArn, SnapshotId};
use crate::aws::retry::Call;
use crate::aws::tags::{self, Tags};

/// A snapshot, as DescribeSnapshots shows it to its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// How far it is.
    pub state: SnapshotState,
    /// Why it failed, if it did.
    pub state_message: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The key that it is encrypted under.
    pub key: Option<KeyArn>,
    /// Size of its volume, in GiB.
    pub volume_gib: u32,
    /// Its tags, as the caller's account sees them.
    pub tags: Tags,
    /// How much of it is done, as AWS writes it: `45%`.
    pub progress: Option<String>,
    /// Whose it is.
    pub owner: Option<AccountId>,
    /// What is said of it.
    pub description: String,
}

/// How far a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotState {
    /// It is being written or copied.
    Pending,
    /// It is whole.
    Completed,
    /// It could not be made.
    Error,
    /// In the Recycle Bin or on its way out of it, or what is new to this program.
    Other(String),
}

impl SnapshotState {
    /// AWS's word.
    pub fn as_str(&self) -> &str {
        match self {
            SnapshotState::Pending => "pending",
            SnapshotState::Completed => "completed",
            SnapshotState::Error => "error",
            SnapshotState::Other(word) => word,
        }
    }

    fn of(word: &str) -> SnapshotState {
        match word {
            "pending" => SnapshotState::Pending,
            "completed" => SnapshotState::Completed,
            "error" => SnapshotState::Error,
            other => SnapshotState::Other(other.to_owned()),
        }
    }
}

impl Snapshot {
    /// The release that it is tagged with.
    pub fn release(&self) -> Option<&str> {
        self.tags.get(tags::RELEASE)
    }

    /// How much of it is done, in percent.
    pub fn percent(&self) -> Option<f64> {
        let progress = self.progress.as_deref()?;
        let percent: f64 = progress.strip_suffix('%')?.parse().ok()?;
        Some(percent).filter(|percent| percent.is_finite())
    }
}

impl Ec2 {
    /// The snapshot of that id, whoever's it is. None if there is none, or none that the account
    /// may see.
    ///
    /// # Errors
    /// Those of DescribeSnapshots.
    pub async fn snapshot(&self, id: &SnapshotId) -> Result<Option<Snapshot>, AwsError> {
        let call = Call::new("ec2:DescribeSnapshots", id);
        let request = self.client.describe_snapshots().snapshot_ids(id.as_str());
        let asked = self.caller.run(call.clone(), || request.clone().send());
        match unless_missing(asked.await)? {
            Some(answer) => Ok(self.snapshots(&call, answer.snapshots())?.pop()),
            None => Ok(None),
        }
    }

    /// The account's own snapshots that are tagged with the release.
    ///
    /// # Errors
    /// Those of DescribeSnapshots.
    pub async fn snapshots_of_release(&self, release: &str) -> Result<Vec<Snapshot>, AwsError> {
        let filter = filter(format!("tag:{}", tags::RELEASE), [release]);
        self.own_snapshots(release, filter).await
    }

    /// The account's own snapshots that belong to releases.
    ///
    /// # Errors
    /// Those of DescribeSnapshots.
    pub async fn snapshots_of_releases(&self) -> Result<Vec<Snapshot>, AwsError> {
        let tagged = filter("tag-key", [tags::RELEASE]);
        self.own_snapshots("snapshots of releases", tagged).await
    }

    /// The account's own snapshots that builds on instances made.
    ///
    /// # Errors
    /// Those of DescribeSnapshots.
    pub async fn snapshots_of_builds(&self) -> Result<Vec<Snapshot>, AwsError> {
        let tagged = filter("tag-key", [tags::BUILD]);
        self.own_snapshots("snapshots of builds", tagged).await
    }

    pub(super) async fn own_snapshots(
        &self,
        what: &str,
        filter: types::Filter,
    ) -> Result<Vec<Snapshot>, AwsError> {
        let call = Call::new("ec2:DescribeSnapshots", what);
        let request = self.client.describe_snapshots().owner_ids("self");
        let request = request.filters(filter).max_results(PAGE);
        let ask = |token| request.clone().set_next_token(token).send();
        let mut snapshots = Vec::new();
        for page in self
            .pages(&call, ask, DescribeSnapshotsOutput::next_token)
            .await?
        {
            snapshots.extend(self.snapshots(&call, page.snapshots())?);
        }
        Ok(snapshots)
    }

    /// Deletes a snapshot. One that is not there is no error. False if an AMI uses it: it stays.
    ///
    /// # Errors
    /// Those of DeleteSnapshot.
    pub async fn delete_snapshot(&self, id: &SnapshotId) -> Result<bool, AwsError> {
        let call = Call::new("ec2:DeleteSnapshot", id);
        let request = self.client.delete_snapshot().snapshot_id(id.as_str());
        match self.caller.run(call, || request.clone().send()).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == Kind::NotFound => Ok(true),
            Err(error) if error.code.as_deref() == Some("InvalidSnapshot.InUse") => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn snapshots(
        &self,
        call: &Call,
        snapshots: &[types::Snapshot],
    ) -> Result<Vec<Snapshot>, AwsError> {
        let typed = |snapshot: &types::Snapshot| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            Ok(Snapshot {
                id: self.id(call, snapshot.snapshot_id())?,
                state: SnapshotState::of(snapshot.state().map_or("", |state| state.as_str())),
                state_message: text(snapshot.state_message()),
                encrypted: snapshot.encrypted().unwrap_or(false),
                key: snapshot.kms_key_id().and_then(|key| key.parse().ok()),
                volume_gib: snapshot
                    .volume_size()
                    .and_then(|gib| u32::try_from(gib).ok())
                    .unwrap_or(0),
                tags: tags_from(snapshot.tags()),
                progress: text(snapshot.progress()),
                owner: snapshot.owner_id().and_then(|owner| owner.parse().ok()),
                description: snapshot.description().unwrap_or_default().to_owned(),
            })
        };
        snapshots.iter().map(typed).collect()
    }
}
