//! What is set for an account in a Region as a whole: encryption by default and its key, and
//! whether snapshots may be public.

use serde::{Deserialize, Serialize};

use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::world::World;

/// Settings of an account in a Region; those of a new account are the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Whether new volumes and copies of snapshots are encrypted whatever was asked for.
    pub encrypt: bool,
    /// Key for what is encrypted without a key being named; none for `aws/ebs`.
    pub key: Option<String>,
    /// Whether snapshots may be public.
    pub public_snapshots: PublicSnapshots,
}

/// Whether snapshots may be public.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicSnapshots {
    /// They may.
    #[default]
    Unblocked,
    /// Those that are stay so; no other becomes so.
    BlockNew,
    /// None is treated as public.
    BlockAll,
}

impl PublicSnapshots {
    /// As EC2 names it.
    pub fn name(self) -> &'static str {
        match self {
            PublicSnapshots::Unblocked => "unblocked",
            PublicSnapshots::BlockNew => "block-new-sharing",
            PublicSnapshots::BlockAll => "block-all-sharing",
        }
    }
}

/// Encryption by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EbsDefaults {
    /// Whether everything new is encrypted.
    pub encrypt: bool,
    /// ARN of the key for what is encrypted without a key being named; none for `aws/ebs`.
    pub key: Option<String>,
}

/// Encryption by default of an account in a Region.
pub fn ebs_defaults(world: &World, account: &AccountId, region: &Region) -> EbsDefaults {
    let settings = settings(world, account, region);
    EbsDefaults {
        encrypt: settings.encrypt,
        key: settings.key,
    }
}

/// Whether an account's snapshots in a Region may be public.
pub fn public_snapshots(world: &World, account: &AccountId, region: &Region) -> PublicSnapshots {
    settings(world, account, region).public_snapshots
}

pub(super) fn settings(world: &World, account: &AccountId, region: &Region) -> Settings {
    let shelf = &world.ec2.places.settings;
    shelf
        .get(&key(account, region))
        .cloned()
        .unwrap_or_default()
}

pub(super) fn key(account: &AccountId, region: &Region) -> String {
    format!("{account}/{region}")
}
