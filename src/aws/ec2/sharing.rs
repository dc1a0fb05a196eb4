//! Who else may launch AMIs and copy snapshots.

use std::collections::BTreeSet;
use std::fmt;

use aws_sdk_ec2::types::{
    self, ImageAttributeName, LaunchPermissionModifications, OperationType, PermissionGroup,
    SnapshotAttributeName,
};
use serde::Serialize;

use super::{Ec2, Image, unless_missing};
use crate::aws::error::{AwsError, Kind};
use crate::aws::names::{AccountId, AmiId, NameError, OrganizationArn, SnapshotId, UnitArn};
use crate::aws::retry::Call;
use crate::aws::tags;

/// So many entries a call changes at most. For snapshots it is AWS's limit; for AMIs AWS names
/// none, and this is as good there.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifySnapshotAttribute.html>
pub const MOST_ENTRIES: usize = 500;

/// Whom an AMI or a snapshot is shared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub enum Party {
    /// An account.
    Account(AccountId),
    /// All accounts of an organization.
    Organization(OrganizationArn),
    /// All accounts in an organizational unit and below it.
    Unit(UnitArn),
    /// Every account there is.
    Everybody,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Party::Account(account) => account.as_str(),
            Party::Organization(arn) => arn.as_str(),
            Party::Unit(arn) => arn.as_str(),
            Party::Everybody => "everybody",
        })
    }
}

impl From<Party> for String {
    fn from(party: Party) -> String {
        party.to_string()
    }
}

/// Whether entries are added or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They are added; those that are there stay.
    Add,
    /// They are removed, where they are there.
    Remove,
}

impl Ec2 {
    /// The account's own AMIs that belong to releases, of whatever state.
    ///
    /// # Errors
    /// Those of DescribeImages.
    pub async fn images_of_releases(&self) -> Result<Vec<Image>, AwsError> {
        let tagged = super::filter("tag-key", [tags::RELEASE]);
        self.own_images("AMIs of releases", tagged).await
    }

    /// Who may launch an AMI besides its owner. None if there is no such AMI.
    ///
    /// # Errors
    /// Those of DescribeImageAttribute.
    pub async fn launch_permissions(
        &self,
        ami: &AmiId,
    ) -> Result<Option<BTreeSet<Party>>, AwsError> {
        let call = Call::new("ec2:DescribeImageAttribute", ami);
        let request = self.client.describe_image_attribute();
        let request = request.image_id(ami.as_str());
        let request = request.attribute(ImageAttributeName::LaunchPermission);
        let asked = self.caller.run(call.clone(), || request.clone().send());
        let answer = match unless_missing(asked.await) {
            Err(error) if error.code.as_deref() == Some("InvalidAMIID.Unavailable") => None,
            answer => answer?,
        };
        let Some(answer) = answer else {
            return Ok(None);
        };
        let parties = answer.launch_permissions().iter().map(launcher);
        let parties: Result<_, NameError> = parties.collect();
        let parties = parties.map_err(|error| self.strange(&call, &error))?;
        Ok(Some(parties))
    }

    /// Adds or removes launch permissions, in as many calls as AWS wants; the others are not touched.
    ///
    /// # Errors
    /// Those of ModifyImageAttribute.
    pub async fn change_launch_permissions(
        &self,
        ami: &AmiId,
        way: Way,
        parties: &BTreeSet<Party>,
    ) -> Result<(), AwsError> {
        let entries: Vec<types::LaunchPermission> = parties.iter().map(permission).collect();
        for part in entries.chunks(MOST_ENTRIES) {
            let change = LaunchPermissionModifications::builder();
            let part = Some(part.to_vec());
            let change = match way {
                Way::Add => change.set_add(part),
                Way::Remove => change.set_remove(part),
            };
            let request = self.client.modify_image_attribute();
            let request = request.image_id(ami.as_str());
            let request = request.launch_permission(change.build());
            let call = Call::new("ec2:ModifyImageAttribute", ami);
            self.caller.run(call, || request.clone().send()).await?;
        }
        Ok(())
    }

    /// Who may make volumes of a snapshot and copy it: accounts, or everybody. None if there is no
    /// such snapshot.
    ///
    /// # Errors
    /// Those of DescribeSnapshotAttribute.
    pub async fn volume_permissions(
        &self,
        snapshot: &SnapshotId,
    ) -> Result<Option<BTreeSet<Party>>, AwsError> {
        let call = Call::new("ec2:DescribeSnapshotAttribute", snapshot);
        let request = self.client.describe_snapshot_attribute();
        let request = request.snapshot_id(snapshot.as_str());
        let request = request.attribute(SnapshotAttributeName::CreateVolumePermission);
        let asked = self.caller.run(call.clone(), || request.clone().send());
        let Some(answer) = unless_missing(asked.await)? else {
            return Ok(None);
        };
        let copier = |permission: &types::CreateVolumePermission| match permission.user_id() {
            Some(account) => Ok(Party::Account(account.parse()?)),
            None => Ok(Party::Everybody),
        };
        let parties = answer.create_volume_permissions().iter().map(copier);
        let parties: Result<_, NameError> = parties.collect();
        let parties = parties.map_err(|error| self.strange(&call, &error))?;
        Ok(Some(parties))
    }

    /// Adds or removes permissions to make volumes of a snapshot, of accounts and of everybody; the
    /// others are not touched.
    ///
    /// # Errors
    /// Those of ModifySnapshotAttribute; no organization can have the permission.
    pub async fn change_volume_permissions(
        &self,
        snapshot: &SnapshotId,
        way: Way,
        parties: &BTreeSet<Party>,
    ) -> Result<(), AwsError> {
        let operation = match way {
            Way::Add => OperationType::Add,
            Way::Remove => OperationType::Remove,
        };
        let parties: Vec<&Party> = parties.iter().collect();
        for part in parties.chunks(MOST_ENTRIES) {
            let mut request = self.client.modify_snapshot_attribute();
            for party in part {
                request = match party {
                    Party::Everybody => request.group_names("all"),
                    party => request.user_ids(party.to_string()),
                };
            }
            let request = request.snapshot_id(snapshot.as_str());
            let request = request.attribute(SnapshotAttributeName::CreateVolumePermission);
            let request = request.operation_type(operation.clone());
            let call = Call::new("ec2:ModifySnapshotAttribute", snapshot);
            self.caller.run(call, || request.clone().send()).await?;
        }
        Ok(())
    }

    fn strange(&self, call: &Call, error: &NameError) -> AwsError {
        self.caller.refuse(call, Kind::Invalid, error.to_string())
    }
}

fn launcher(permission: &types::LaunchPermission) -> Result<Party, NameError> {
    if let Some(account) = permission.user_id() {
        return Ok(Party::Account(account.parse()?));
    }
    if let Some(arn) = permission.organization_arn() {
        return Ok(Party::Organization(arn.parse()?));
    }
    match permission.organizational_unit_arn() {
        Some(arn) => Ok(Party::Unit(arn.parse()?)),
        None => Ok(Party::Everybody),
    }
}

fn permission(party: &Party) -> types::LaunchPermission {
    let permission = types::LaunchPermission::builder();
    match party {
        Party::Account(account) => permission.user_id(account.as_str()),
        Party::Organization(arn) => permission.organization_arn(arn.as_str()),
        Party::Unit(arn) => permission.organizational_unit_arn(arn.as_str()),
        Party::Everybody => permission.group(PermissionGroup::All),
    }
    .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::tags::Tags;
    use crate::aws::testing::{Cloud, HOME, region};

    #[tokio::test]
    async fn permissions_are_added_and_removed_and_nothing_else() {
        let cloud = Cloud::start().await;
        let ec2 = cloud.aws().await.ec2(&region(HOME));
        let (key, tags) = (ec2.test_key().await, Tags::default());
        let snapshot = ec2.test_snapshot(Some(&key), &tags).await;
        let ami = ec2.test_image("shared", &snapshot, &tags).await;
        assert_eq!(ec2.images_of_releases().await.expect("a list"), []);

        let customer = Party::Account("222222222222".parse().expect("an account"));
        let arn = "arn:aws:organizations::222222222222:organization/o-a1b2c3d4e5";
        let organization = Party::Organization(arn.parse().expect("an ARN"));
        let arn = "arn:aws:organizations::222222222222:ou/o-a1b2c3d4e5/ou-ab12-cd34ef56";
        let unit = Party::Unit(arn.parse().expect("an ARN"));
        let all = BTreeSet::from([customer.clone(), organization.clone(), unit.clone()]);
        let change = |way, parties| ec2.change_launch_permissions(&ami, way, parties);
        change(Way::Add, &all).await.expect("shared");
        change(Way::Add, &all).await.expect("shared already");
        let seen = ec2.launch_permissions(&ami).await.expect("an answer");
        assert_eq!(seen.as_ref(), Some(&all));
        let one = BTreeSet::from([organization]);
        change(Way::Remove, &one).await.expect("removed");
        change(Way::Remove, &one).await.expect("removed already");
        let seen = ec2.launch_permissions(&ami).await.expect("an answer");
        assert_eq!(seen, Some(BTreeSet::from([customer.clone(), unit])));

        let one = BTreeSet::from([customer]);
        let change = |way| ec2.change_volume_permissions(&snapshot, way, &one);
        change(Way::Add).await.expect("shared");
        let seen = ec2.volume_permissions(&snapshot).await.expect("an answer");
        assert_eq!(seen.as_ref(), Some(&one));
        change(Way::Remove).await.expect("removed");
        let seen = ec2.volume_permissions(&snapshot).await.expect("an answer");
        assert_eq!(seen, Some(BTreeSet::new()));

        let nothing = "ami-00000000000000000".parse().expect("an id");
        assert_eq!(ec2.launch_permissions(&nothing).await.expect("none"), None);
        let nothing = "snap-00000000000000000".parse().expect("an id");
        assert_eq!(ec2.volume_permissions(&nothing).await.expect("none"), None);
    }
}
