//! Keys: what is remembered of them, their states, and where they are found.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::world::World;

use super::material::{Material, Spec};

/// A day.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A key of an account in a Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// A UUID, or `mrk-…` for a key of several Regions.
    pub id: String,
    /// Whose it is.
    pub account: AccountId,
    /// Where it is.
    pub region: Region,
    /// What kind of key it is.
    pub spec: Spec,
    /// Whether AWS manages it, as `aws/ebs`.
    pub aws_managed: bool,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it can be used: a replica takes some seconds.
    pub ready: Timestamp,
    /// Until when a change of the primary Region is under way.
    pub updating_until: Option<Timestamp>,
    /// What its owner says about it.
    pub description: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// That it is to be deleted.
    pub deletion: Option<Deletion>,
    /// The key policy, as it was put.
    pub policy: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A deletion that was scheduled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it was asked for.
    pub asked: Timestamp,
    /// How many days are to pass.
    pub days: u32,
}

/// What can be done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// A replica that is not ready.
    Creating,
    /// It can be used.
    Enabled,
    /// It can be used, while its primary Region changes.
    Updating,
    /// It cannot be used.
    Disabled,
    /// It will be deleted.
    PendingDeletion(Timestamp),
    /// It will be deleted some time after its last replica.
    PendingReplicaDeletion,
    /// It is no more.
    Deleted,
}

impl KeyState {
    /// As `KeyMetadata` has it.
    pub fn name(self) -> &'static str {
        match self {
            KeyState::Creating => "Creating",
            KeyState::Enabled => "Enabled",
            KeyState::Updating => "Updating",
            KeyState::Disabled => "Disabled",
            KeyState::PendingDeletion(_) => "PendingDeletion",
            KeyState::PendingReplicaDeletion => "PendingReplicaDeletion",
            KeyState::Deleted => "Deleted",
        }
    }
}

/// What an operation asks of a key's state ("Key states of AWS KMS keys", developer guide).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// That it is not to be deleted.
    Kept,
    /// That it can be used.
    Usable,
    /// That it is enabled and nothing is under way.
    Settled,
    /// That it is to be deleted.
    Doomed,
}

impl Key {
    /// `arn:aws:kms:<region>:<account>:key/<id>`.
    pub fn arn(&self) -> String {
        arn(&self.account, &self.region, &self.id)
    }

    /// Whether it may have relatives in other Regions.
    pub fn is_multi_region(&self) -> bool {
        self.id.starts_with("mrk-")
    }

    /// What is the same for a key and its replicas.
    ///
    /// # Errors
    /// None but a broken state.
    pub fn material<'w>(&self, world: &'w World) -> Result<&'w Material, ServiceError> {
        world
            .kms
            .materials
            .get(&self.id)
            .ok_or_else(|| ServiceError::internal(format!("the key {} has no material", self.id)))
    }

    /// Whether it is the one that replicas are made from.
    pub fn is_primary(&self, world: &World) -> bool {
        self.material(world)
            .is_ok_and(|material| material.primary == self.region)
    }

    /// The same key in other Regions, as far as it is not deleted.
    pub fn relatives<'w>(&self, world: &'w World, now: Timestamp) -> Vec<&'w Key> {
        self.all_relatives(world)
            .filter(|key| key.own_deletion().is_none_or(|date| date > now) || key.is_primary(world))
            .collect()
    }

    fn all_relatives<'w>(&self, world: &'w World) -> impl Iterator<Item = &'w Key> {
        let regions = self.is_multi_region().then(Region::all);
        regions
            .into_iter()
            .flatten()
            .filter(|region| *region != self.region)
            .filter_map(|region| world.kms.keys.get(&arn(&self.account, &region, &self.id)))
    }

    /// When it is deleted, replicas aside.
    fn own_deletion(&self) -> Option<Timestamp> {
        let deletion = self.deletion.as_ref()?;
        Some(deletion.asked.plus(DAY * deletion.days))
    }

    /// Its state.
    pub fn state(&self, world: &World, now: Timestamp) -> KeyState {
        if let Some(deletion) = &self.deletion {
            return match self.deletion_date(world, now, deletion) {
                Some(date) if date <= now => KeyState::Deleted,
                Some(date) => KeyState::PendingDeletion(date),
                None => KeyState::PendingReplicaDeletion,
            };
        }
        if now < self.ready {
            KeyState::Creating
        } else if self.updating_until.is_some_and(|until| now < until) {
            KeyState::Updating
        } else if self.enabled {
            KeyState::Enabled
        } else {
            KeyState::Disabled
        }
    }

    /// When it is deleted; a primary waits for its replicas, and its time begins with their end.
    fn deletion_date(
        &self,
        world: &World,
        now: Timestamp,
        deletion: &Deletion,
    ) -> Option<Timestamp> {
        let mut from = deletion.asked;
        if self.is_multi_region() && self.is_primary(world) {
            for replica in self.all_relatives(world) {
                let gone = replica.own_deletion().filter(|date| *date <= now)?;
                from = from.max(gone);
            }
        }
        Some(from.plus(DAY * deletion.days))
    }

    /// Whether its state allows what is asked for.
    ///
    /// # Errors
    /// `DisabledException`, `KMSInvalidStateException`.
    pub fn require(&self, world: &World, now: Timestamp, needs: Needs) -> Result<(), ServiceError> {
        let state = self.state(world, now);
        let invalid = |what: &str| {
            Err(ServiceError::new(
                "KMSInvalidStateException",
                format!("{} is {what}.", self.arn()),
            ))
        };
        let is_doomed = matches!(
            state,
            KeyState::PendingDeletion(_) | KeyState::PendingReplicaDeletion | KeyState::Deleted
        );
        match (needs, state) {
            (Needs::Doomed, _) if is_doomed => Ok(()),
            (Needs::Doomed, _) => invalid("not pending deletion"),
            (_, KeyState::PendingReplicaDeletion) => invalid("pending replica deletion"),
            (_, _) if is_doomed => invalid("pending deletion"),
            (Needs::Kept, _) => Ok(()),
            (_, KeyState::Creating) => invalid("creating"),
            (_, KeyState::Disabled) => Err(ServiceError::new(
                "DisabledException",
                format!("{} is disabled.", self.arn()),
            )),
            (Needs::Settled, KeyState::Updating) => invalid("updating"),
            _ => Ok(()),
        }
    }
}

/// The ARN of a key.
pub(super) fn arn(account: &AccountId, region: &Region, id: &str) -> String {
    format!("arn:aws:kms:{region}:{account}:key/{id}")
}

/// A key that is not deleted.
pub(super) fn find<'w>(world: &'w World, now: Timestamp, arn: &str) -> Option<&'w Key> {
    world
        .kms
        .keys
        .get(arn)
        .filter(|key| key.state(world, now) != KeyState::Deleted)
}

/// A name for a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// `alias/…`.
    pub name: String,
    /// Whose it is.
    pub account: AccountId,
    /// Where it is.
    pub region: Region,
    /// Id of the key, which is of the same account and Region.
    pub target: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last given to a key.
    pub updated: Timestamp,
}

impl Alias {
    /// The ARN of the key.
    pub fn target_arn(&self) -> String {
        arn(&self.account, &self.region, &self.target)
    }
}

/// The ARN of an alias (`alias/…`).
pub(super) fn alias_arn(account: &AccountId, region: &Region, name: &str) -> String {
    format!("arn:aws:kms:{region}:{account}:{name}")
}

/// An alias whose key is not deleted: the aliases of a key go with it.
pub(super) fn find_alias<'w>(world: &'w World, now: Timestamp, arn: &str) -> Option<&'w Alias> {
    world
        .kms
        .aliases
        .get(arn)
        .filter(|alias| find(world, now, &alias.target_arn()).is_some())
}
