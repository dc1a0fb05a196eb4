//! The block on public images, for each account and Region. It is on for new accounts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// How long a change takes; AWS says up to ten minutes.
const CHANGE: Duration = Duration::from_secs(60);

/// The last change of the block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAccess {
    /// Whether images could not be made public before.
    was_blocked: bool,
    /// Whether they cannot be made public from the moment on.
    blocked: bool,
    /// When the change has come to pass.
    from: Timestamp,
}

/// Whether the caller's images of the call's Region cannot be made public.
pub fn is_blocked(context: &Context, world: &World) -> bool {
    match world.ec2.images_state.public_access.get(&key(context)) {
        Some(change) if context.now < change.from => change.was_blocked,
        Some(change) => change.blocked,
        None => true,
    }
}

/// GetImageBlockPublicAccessState.
pub fn get(context: &Context, world: &World, params: &mut Params) -> Result<Xml, ServiceError> {
    params.finish()?;
    let mut xml = Xml::new();
    xml.text(
        "imageBlockPublicAccessState",
        name(is_blocked(context, world)),
    )
    .text("managedBy", "account");
    Ok(xml)
}

/// EnableImageBlockPublicAccess.
pub fn enable(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let state = params.required("ImageBlockPublicAccessState")?;
    params.finish()?;
    if state != name(true) {
        return Err(ServiceError::invalid_value(
            "ImageBlockPublicAccessState",
            &state,
            "It must be block-new-sharing.",
        ));
    }
    Ok(set(context, world, true))
}

/// DisableImageBlockPublicAccess.
pub fn disable(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    params.finish()?;
    Ok(set(context, world, false))
}

fn set(context: &Context, world: &mut World, blocked: bool) -> Xml {
    let change = PublicAccess {
        was_blocked: is_blocked(context, world),
        blocked,
        from: context.shared.clock.after(CHANGE),
    };
    let shelf = &mut world.ec2.images_state.public_access;
    shelf.insert(key(context), change);
    let mut xml = Xml::new();
    xml.text("imageBlockPublicAccessState", name(blocked));
    xml
}

fn name(blocked: bool) -> &'static str {
    if blocked {
        "block-new-sharing"
    } else {
        "unblocked"
    }
}

fn key(context: &Context) -> String {
    format!("{}/{}", context.caller.account, context.region)
}
