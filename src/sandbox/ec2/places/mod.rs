//! Regions, zones, instance types and their offerings, and what is set for an account as a whole.

mod describe;
mod describe_types;
mod settings;
mod settings_operations;
#[cfg(test)]
mod tests;
mod types;
mod zones;

use super::Operation;
use crate::sandbox::shelf::{AnyShelf, Shelf};

pub use settings::{EbsDefaults, PublicSnapshots, Settings, ebs_defaults, public_snapshots};
pub use types::{EbsSpeed, InstanceType, Network, TYPES, instance_type};
pub use zones::{Place, Zone, offered, place_of, zones};

/// What is set for accounts as a whole.
#[derive(Debug, Clone)]
pub struct PlacesState {
    /// By account and Region.
    pub settings: Shelf<Settings>,
}

impl Default for PlacesState {
    fn default() -> PlacesState {
        PlacesState {
            settings: Shelf::new("ec2-settings"),
        }
    }
}

impl PlacesState {
    /// Its shelves.
    pub fn shelves(&mut self) -> Vec<&mut dyn AnyShelf> {
        vec![&mut self.settings]
    }
}

/// The operations of this room.
pub fn operation(name: &str) -> Option<Operation> {
    use Operation::{Act, Look};
    Some(match name {
        "DescribeRegions" => Look(describe::regions),
        "DescribeAvailabilityZones" => Look(describe::availability_zones),
        "DescribeAccountAttributes" => Look(describe::account_attributes),
        "DescribeInstanceTypes" => Look(describe_types::types),
        "DescribeInstanceTypeOfferings" => Look(describe_types::offerings),
        "EnableEbsEncryptionByDefault" => Act(settings_operations::enable_encryption),
        "DisableEbsEncryptionByDefault" => Act(settings_operations::disable_encryption),
        "GetEbsEncryptionByDefault" => Look(settings_operations::get_encryption),
        "GetEbsDefaultKmsKeyId" => Look(settings_operations::get_key),
        "ModifyEbsDefaultKmsKeyId" => Act(settings_operations::modify_key),
        "ResetEbsDefaultKmsKeyId" => Act(settings_operations::reset_key),
        "GetSnapshotBlockPublicAccessState" => Look(settings_operations::get_public_snapshots),
        "EnableSnapshotBlockPublicAccess" => Act(settings_operations::block_public_snapshots),
        "DisableSnapshotBlockPublicAccess" => Act(settings_operations::unblock_public_snapshots),
        _ => return None,
    })
}
