//! Which images an account sees, launches and owns.

use super::{Image, ImageState, state};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::snapshots::{self, Snapshot};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::organizations;
use crate::sandbox::world::World;

/// How an image is shared with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// With that account by its id.
    Account,
    /// With an organization or a unit that the account is in.
    Organization,
    /// With everybody.
    Everybody,
}

/// How an image is shared with an account, most directly; nothing where it is not.
pub fn shared_with(world: &World, image: &Image, account: &AccountId) -> Option<Shared> {
    let permissions = &image.permissions;
    if permissions.accounts.contains(account) {
        return Some(Shared::Account);
    }
    if !permissions.organizations.is_empty() || !permissions.units.is_empty() {
        let is_member = organizations::membership(world, account).is_some_and(|membership| {
            permissions
                .organizations
                .contains(&membership.organization_arn)
                || membership
                    .unit_arns
                    .iter()
                    .any(|unit| permissions.units.contains(unit))
        });
        if is_member {
            return Some(Shared::Organization);
        }
    }
    permissions.public.then_some(Shared::Everybody)
}

/// Whether an account sees an image.
pub fn visible(world: &World, image: &Image, account: &AccountId) -> bool {
    image.owner == *account || shared_with(world, image, account).is_some()
}

/// Checks that an id looks like one.
///
/// # Errors
/// `InvalidAMIID.Malformed`.
pub fn check_id(id: &str) -> Result<(), ServiceError> {
    let digits = id.strip_prefix("ami-").unwrap_or_default();
    let is_hex = digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && matches!(digits.len(), 8 | 17) {
        return Ok(());
    }
    Err(ServiceError::new(
        "InvalidAMIID.Malformed",
        format!("Invalid id: \"{id}\" (expecting \"ami-...\")"),
    ))
}

/// There is no such image, as far as the caller may know.
pub fn not_found(ids: &[&str]) -> ServiceError {
    let list = ids.join(", ");
    let message = match ids {
        [_] => format!("The image id '[{list}]' does not exist"),
        _ => format!("The image ids '[{list}]' do not exist"),
    };
    ServiceError::new("InvalidAMIID.NotFound", message)
}

/// The image is no more, or is in a state that does not allow what is asked for.
pub fn unavailable(id: &str, why: &str) -> ServiceError {
    ServiceError::new(
        "InvalidAMIID.Unavailable",
        format!("The image ID '{id}' is not available: {why}"),
    )
}

/// An image of a Region that the caller sees.
///
/// # Errors
/// `InvalidAMIID.Malformed`, `.NotFound`, and `.Unavailable` for one that was deregistered.
pub fn find<'a>(
    context: &Context,
    world: &'a World,
    region: &Region,
    id: &str,
) -> Result<&'a Image, ServiceError> {
    check_id(id)?;
    let account = &context.caller.account;
    let is_seen = |image: &&Image| image.region == *region && visible(world, image, account);
    if let Some(image) = world.ec2.images.get(id).filter(is_seen) {
        return Ok(image);
    }
    let deregistered = &world.ec2.images_state.deregistered;
    Err(match deregistered.get(id).filter(is_seen) {
        Some(_) => unavailable(id, "it has been deregistered"),
        None => not_found(&[id]),
    })
}

/// An image of the call's Region that is the caller's own, to change it.
///
/// # Errors
/// Those of [`find`], and `AuthFailure` for one that is only shared with the caller.
pub fn own<'a>(
    context: &Context,
    world: &'a mut World,
    id: &str,
) -> Result<&'a mut Image, ServiceError> {
    check_own(context, world, id)?;
    world.ec2.images.get_mut(id).ok_or_else(|| not_found(&[id]))
}

/// An image of the call's Region that is the caller's own.
///
/// # Errors
/// As [`own`].
pub fn check_own<'a>(
    context: &Context,
    world: &'a World,
    id: &str,
) -> Result<&'a Image, ServiceError> {
    let image = find(context, world, &context.region, id)?;
    if image.owner != context.caller.account {
        return Err(
            ServiceError::new("AuthFailure", format!("Not authorized for images: [{id}]"))
                .status(403),
        );
    }
    Ok(image)
}

/// An image that the caller may launch: it exists in the call's Region, is the caller's or shared
/// with it (by account, organization, unit, or with everybody), and is available.
///
/// # Errors
/// `InvalidAMIID.Malformed`, `.NotFound`, `.Unavailable`.
pub fn launchable(context: &Context, world: &World, id: &str) -> Result<Image, ServiceError> {
    let image = find(context, world, &context.region, id)?;
    check_available(world, image, context)?;
    Ok(image.clone())
}

/// A snapshot that a disk of a launch of the image begins with: permission for the image is enough
/// for those of its owner's that it names, but nobody lends what is another's.
///
/// # Errors
/// `InvalidSnapshot.NotFound`.
pub fn snapshot_to_launch(
    context: &Context,
    world: &World,
    image: &Image,
    id: &str,
) -> Result<Snapshot, ServiceError> {
    let is_lent = |snapshot: &&Snapshot| {
        snapshot.owner == image.owner && image.snapshots().any(|named| named == snapshot.id)
    };
    match world.ec2.snapshots.get(id).filter(is_lent) {
        Some(snapshot) => Ok(snapshots::as_of_now(context, snapshot)),
        None => snapshots::readable(context, world, id),
    }
}

/// The image that keeps a snapshot from being deleted: one of the snapshot's owner's.
pub fn user<'a>(world: &'a World, snapshot: &Snapshot) -> Option<&'a Image> {
    world.ec2.images.values().find(|image| {
        image.owner == snapshot.owner && image.snapshots().any(|named| named == snapshot.id)
    })
}

/// Checks that an image is available.
///
/// # Errors
/// `InvalidAMIID.Unavailable`.
pub fn check_available(
    world: &World,
    image: &Image,
    context: &Context,
) -> Result<(), ServiceError> {
    match state(world, image, context.now) {
        ImageState::Available => Ok(()),
        other => Err(unavailable(&image.id, &format!("it is {}", other.name()))),
    }
}
