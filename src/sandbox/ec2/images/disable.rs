//! DisableImage and EnableImage.

use super::permission::LaunchPermissions;
use super::protection::returned;
use super::{ImageState, access, state};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// DisableImage: nobody can launch it, and those it was shared with lose it for good.
pub fn disable_image(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("ImageId")?;
    params.finish()?;
    let image = access::check_own(context, world, &id)?;
    match state(world, image, context.now) {
        ImageState::Available | ImageState::Disabled => {}
        other => return Err(access::unavailable(&id, &format!("it is {}", other.name()))),
    }
    let image = access::own(context, world, &id)?;
    image.disabled = true;
    image.permissions = LaunchPermissions::default();
    Ok(returned())
}

/// EnableImage: its owner can launch it again.
pub fn enable_image(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("ImageId")?;
    params.finish()?;
    let image = access::check_own(context, world, &id)?;
    match state(world, image, context.now) {
        ImageState::Available | ImageState::Disabled => {}
        other => return Err(access::unavailable(&id, &format!("it is {}", other.name()))),
    }
    access::own(context, world, &id)?.disabled = false;
    Ok(returned())
}
