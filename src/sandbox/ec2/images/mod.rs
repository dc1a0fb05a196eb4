//! AMIs.
//!
//! | part | subject |
//! |---|---|
//! | `block_device` | the disks that an image or a launch names |
//! | `access`, `state`, `permission` | who may see and launch an image, and how far it is |
//! | `register`, `create`, `copy`, `naming` | ways to a new image |
//! | `describe`, `show`, `filter` | DescribeImages |
//! | `attribute`, `share` | DescribeImageAttribute, ModifyImageAttribute, ResetImageAttribute |
//! | `deprecation`, `protection`, `disable`, `deregister` | the end of an image's life |
//! | `public_access` | the account's block on public images |

mod access;
mod attribute;
mod block_device;
mod copy;
mod create;
mod deprecation;
mod deregister;
mod describe;
mod disable;
mod filter;
mod naming;
mod permission;
mod protection;
mod public_access;
mod register;
mod share;
mod show;
mod state;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::shelf::{AnyShelf, Shelf};
use crate::sandbox::world::World;

pub use access::{check_own as own_image, find, launchable, snapshot_to_launch, user};
pub use block_device::{BlockDevice, take_block_devices};
pub use permission::LaunchPermissions;
pub use protection::Protection;
pub use public_access::PublicAccess;
pub use state::{ImageState, state};

/// An AMI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `ami-…`.
    pub id: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// Unique among the owner's in the Region.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// `x86_64` or `arm64`, or one that nothing here runs.
    pub architecture: String,
    /// `legacy-bios`, `uefi` or `uefi-preferred`.
    pub boot_mode: Option<String>,
    /// `/dev/xvda`.
    pub root_device_name: String,
    /// `v2.0` where instances get version 2 of the metadata service only.
    pub imds_support: Option<String>,
    /// Its disks. Those of snapshots do not say whether they are encrypted: the snapshot does.
    pub block_devices: Vec<BlockDevice>,
    /// What its owner says of it.
    pub description: Option<String>,
    /// `hvm` or `paravirtual`.
    pub virtualization_type: String,
    /// Whether it can use the Elastic Network Adapter.
    pub ena_support: bool,
    /// `simple` where it can use the older adapter of Intel.
    pub sriov_net_support: Option<String>,
    /// `v2.0` where instances get a TPM.
    pub tpm_support: Option<String>,
    /// Its UEFI variables, in Base64.
    pub uefi_data: Option<String>,
    /// What it was made from.
    pub origin: Origin,
    /// When it is available at the earliest; its snapshots must be completed too.
    pub ready: Timestamp,
    /// It will fail, or has failed, whatever its snapshots do.
    pub failure: Option<Failure>,
    /// Whether its owner disabled it.
    pub disabled: bool,
    /// When its owner wants it deprecated.
    pub deprecate_at: Option<Timestamp>,
    /// Who may launch it besides its owner.
    pub permissions: LaunchPermissions,
    /// Whether it can be deregistered.
    pub protection: Protection,
    /// Launches, as far as [`Image::last_launched`] needs them, in order.
    pub launches: Vec<Timestamp>,
}

/// What an image was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Snapshots, by RegisterImage.
    Snapshots,
    /// An image, by CopyImage.
    Copy {
        /// The image.
        image: String,
        /// Where that is.
        region: Region,
    },
    /// An instance, by CreateImage.
    Instance {
        /// The instance.
        instance: String,
        /// The image that the instance was launched from.
        image: String,
    },
}

/// Why and when an image fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When it shows.
    pub at: Timestamp,
    /// The message of its `stateReason`.
    pub reason: String,
}

impl Image {
    /// Its snapshots, each once.
    pub fn snapshots(&self) -> impl Iterator<Item = &str> {
        let ids: std::collections::BTreeSet<&str> = self
            .block_devices
            .iter()
            .filter_map(|device| device.snapshot_id.as_deref())
            .collect();
        ids.into_iter()
    }

    /// What DescribeImages gives as its location, from the days when images lay in S3.
    pub fn location(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// When it was last launched, as EC2 knows it: a day late.
    pub fn last_launched(&self, now: Timestamp) -> Option<Timestamp> {
        let reported = |launch: &&Timestamp| launch.plus(DAY) <= now;
        self.launches.iter().rev().find(reported).copied()
    }
}

/// What EC2 takes a day for: to report a launch, to end a protection's cooldown. The clock's scale
/// leaves it alone, since nothing waits for it; whoever wants to see it puts the clock forward.
const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Notes that an instance was launched from an image.
pub fn launched(world: &mut World, id: &str, when: Timestamp) {
    let Some(image) = world.ec2.images.get_mut(id) else {
        return;
    };
    // Of those that are reported already, only the last one matters.
    let reported = image.last_launched(when);
    image
        .launches
        .retain(|launch| reported.is_none_or(|reported| *launch >= reported));
    image.launches.push(when);
    image.launches.sort();
}

/// What there is about images besides the images.
#[derive(Debug, Clone)]
pub struct ImagesState {
    /// Deregistered images by id: they are no more, but EC2 does not say that they never were.
    pub deregistered: Shelf<Image>,
    /// The block on public images by account and Region.
    pub public_access: Shelf<PublicAccess>,
}

impl Default for ImagesState {
    fn default() -> ImagesState {
        ImagesState {
            deregistered: Shelf::new("ec2-deregistered-image"),
            public_access: Shelf::new("ec2-image-public-access"),
        }
    }
}

impl ImagesState {
    /// Its shelves.
    pub fn shelves(&mut self) -> Vec<&mut dyn AnyShelf> {
        vec![&mut self.deregistered, &mut self.public_access]
    }
}

/// The operations of this room.
pub fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "RegisterImage" => Operation::Act(register::register_image),
        "CreateImage" => Operation::Act(create::create_image),
        "CopyImage" => Operation::Act(copy::copy_image),
        "DescribeImages" => Operation::Look(describe::describe_images),
        "DescribeImageAttribute" => Operation::Look(attribute::describe_image_attribute),
        "ModifyImageAttribute" => Operation::Act(attribute::modify_image_attribute),
        "ResetImageAttribute" => Operation::Act(attribute::reset_image_attribute),
        "EnableImageDeprecation" => Operation::Act(deprecation::enable),
        "DisableImageDeprecation" => Operation::Act(deprecation::disable),
        "DisableImage" => Operation::Act(disable::disable_image),
        "EnableImage" => Operation::Act(disable::enable_image),
        "EnableImageDeregistrationProtection" => Operation::Act(protection::enable),
        "DisableImageDeregistrationProtection" => Operation::Act(protection::disable),
        "DeregisterImage" => Operation::Act(deregister::deregister_image),
        "GetImageBlockPublicAccessState" => Operation::Look(public_access::get),
        "EnableImageBlockPublicAccess" => Operation::Act(public_access::enable),
        "DisableImageBlockPublicAccess" => Operation::Act(public_access::disable),
        _ => return None,
    })
}
