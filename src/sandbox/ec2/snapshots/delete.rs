//! Deleting snapshots.

use super::own;
use crate::sandbox::blocks::Job;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::{Effect, World};

pub(super) fn delete_snapshot(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("SnapshotId")?;
    params.finish()?;
    let snapshot = own(context, world, &id)?;
    let user = world.ec2.images.values().find(|image| {
        let mut devices = image.block_devices.iter();
        devices.any(|device| device.snapshot_id.as_deref() == Some(&*id))
    });
    if let Some(image) = user {
        return Err(ServiceError::new(
            "InvalidSnapshot.InUse",
            format!("The snapshot {id} is currently in use by {}", image.id),
        ));
    }
    delete(world, &snapshot.id);
    let mut xml = Xml::new();
    xml.text("return", true);
    Ok(xml)
}

/// Deletes a snapshot whatever uses it.
pub(in crate::sandbox) fn delete(world: &mut World, id: &str) {
    world.ec2.snapshots.remove(id);
    world.tags.forget(id);
    world
        .effects
        .push(Effect::Blocks(Job::Remove(id.to_owned())));
}
