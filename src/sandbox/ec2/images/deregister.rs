//! DeregisterImage: the end of an image, and of its snapshots if that is asked for.

use super::access;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::snapshots;
use crate::sandbox::error::ServiceError;
use crate::sandbox::iam;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// DeregisterImage.
pub fn deregister_image(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("ImageId")?;
    let delete = params.flag("DeleteAssociatedSnapshots")?.unwrap_or(false);
    params.finish()?;
    let image = access::check_own(context, world, &id)?.clone();
    image.protection.check(&id, context.now)?;
    world.ec2.images.remove(&id);
    world.tags.forget(&id);
    let mut xml = Xml::new();
    xml.text("return", true);
    if delete {
        let results: Vec<(&str, &str)> = image
            .snapshots()
            .map(|snapshot| (snapshot, delete_snapshot(context, world, snapshot)))
            .collect();
        xml.list("deleteSnapshotResultSet", results, |xml, (id, code)| {
            xml.text("snapshotId", id).text("returnCode", code);
        });
    }
    world.ec2.images_state.deregistered.insert(id, image);
    Ok(xml)
}

/// Deletes a snapshot that the image had; the result is in EC2's words. One that another image of
/// its owner's has too stays.
fn delete_snapshot(context: &Context, world: &mut World, id: &str) -> &'static str {
    let Some(snapshot) = world.ec2.snapshots.get(id) else {
        return "client-error";
    };
    let may = iam::allows_ec2(context, world, "DeleteSnapshot", "snapshot", id);
    if snapshot.owner != context.caller.account || !may {
        return "missing-permissions";
    }
    if access::user(world, snapshot).is_some() {
        return "skipped";
    }
    snapshots::delete(world, id);
    "success"
}
