//! Deleting snapshots.

use super::own;
use crate::sandbox::blocks::Job;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::images;
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
    if let Some(image) = images::user(world, &snapshot) {
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
