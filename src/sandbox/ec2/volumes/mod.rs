//! Volumes: made empty or from snapshots, attached, described, deleted.

mod attach;
mod create;
mod describe;
mod kinds;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::Operation;
use super::snapshots::check_id;
use crate::sandbox::blocks::Job;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::{Effect, World};

pub(super) use attach::root_device;
pub use create::{NewVolume, create};
pub use kinds::check as check_kind;

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// `vol-…`.
    pub id: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// Such as `eu-central-1a`.
    pub zone: String,
    /// In GiB.
    pub size_gib: u32,
    /// `gp3`, …
    pub volume_type: String,
    /// Operations a second.
    pub iops: Option<u32>,
    /// MiB a second.
    pub throughput: Option<u32>,
    /// The snapshot it began with.
    pub snapshot_id: Option<String>,
    /// The size of that snapshot, in GiB, or 0.
    pub snapshot_size_gib: u32,
    /// Whether that snapshot was encrypted.
    pub snapshot_encrypted: bool,
    /// ARN of the key it is encrypted under.
    pub key: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it is available at the earliest.
    pub ready: Timestamp,
    /// Whether its data is there.
    pub done: bool,
    /// Why it came to nothing, where it did.
    pub failed: Option<String>,
    /// What it has in common with its snapshots, see [`super::snapshots::Snapshot::lineage`].
    pub lineage: String,
    /// The instance that it is attached to.
    pub attachment: Option<Attachment>,
}

/// A volume's place in an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// `i-…`.
    pub instance_id: String,
    /// `/dev/xvda`.
    pub device: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether it dies with the instance.
    pub delete_on_termination: bool,
}

/// `creating`, `available`, `in-use` or `error`, with EC2's names.
pub fn state(volume: &Volume, now: Timestamp) -> &'static str {
    if volume.attachment.is_some() {
        "in-use"
    } else if volume.ready > now {
        "creating"
    } else if volume.failed.is_some() {
        "error"
    } else if volume.done {
        "available"
    } else {
        "creating"
    }
}

/// One of the caller's volumes in the call's Region.
///
/// # Errors
/// `InvalidVolume.NotFound`.
pub fn own(context: &Context, world: &World, id: &str) -> Result<Volume, ServiceError> {
    check_id("volumeId", "vol", id)?;
    world
        .ec2
        .volumes
        .get(id)
        .filter(|volume| volume.owner == context.caller.account && volume.region == context.region)
        .cloned()
        .ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> ServiceError {
    ServiceError::new(
        "InvalidVolume.NotFound",
        format!("The volume '{id}' does not exist."),
    )
}

/// Deletes one of the caller's volumes.
///
/// # Errors
/// There is none, or it is attached.
pub fn delete(context: &Context, world: &mut World, id: &str) -> Result<(), ServiceError> {
    let volume = own(context, world, id)?;
    if let Some(attachment) = &volume.attachment {
        return Err(ServiceError::new(
            "VolumeInUse",
            format!(
                "Volume {id} is currently attached to {}",
                attachment.instance_id
            ),
        ));
    }
    world.ec2.volumes.remove(id);
    world.tags.forget(id);
    world
        .effects
        .push(Effect::Blocks(Job::Remove(id.to_owned())));
    Ok(())
}

fn delete_volume(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("VolumeId")?;
    params.finish()?;
    delete(context, world, &id)?;
    let mut xml = Xml::new();
    xml.text("return", true);
    Ok(xml)
}

/// The operations of this room.
pub fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "CreateVolume" => Operation::Act(create::create_volume),
        "DescribeVolumes" => Operation::Look(describe::describe_volumes),
        "DeleteVolume" => Operation::Act(delete_volume),
        "AttachVolume" => Operation::Act(attach::attach_volume),
        "DetachVolume" => Operation::Act(attach::detach_volume),
        _ => return None,
    })
}
