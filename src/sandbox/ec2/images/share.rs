//! Giving and taking launch permissions, and what stands against it.

use std::collections::BTreeSet;

use super::permission::{self, Permission};
use super::{Image, access, public_access, show};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::kms;
use crate::sandbox::world::World;

/// One call names so many accounts at most.
const MOST_ACCOUNTS: usize = 10_000;

/// Changes the launch permissions of an image of the caller's.
///
/// # Errors
/// `InvalidAMIAttributeItemValue` for an account that there is not, `OperationNotPermitted` where
/// public images are blocked, `UnsupportedOperation` to make an encrypted image public,
/// `InvalidParameter` to share one under the key `aws/ebs`, `ResourceLimitExceeded`.
pub fn change(
    context: &Context,
    world: &mut World,
    id: &str,
    add: &[Permission],
    remove: &[Permission],
) -> Result<(), ServiceError> {
    check_accounts(world, add, remove)?;
    let image = access::check_own(context, world, id)?;
    let mut permissions = image.permissions.clone();
    for entry in add {
        permissions.add(entry);
    }
    for entry in remove {
        permissions.remove(entry);
    }
    if !add.is_empty() {
        check_keys(world, image)?;
    }
    if permissions.public && !image.permissions.public {
        check_public(context, world, image)?;
    }
    let quota = context.shared.limits.quota("launch-permissions-per-image");
    if permissions.len() > image.permissions.len() && permissions.len() as u64 > quota {
        return Err(ServiceError::new(
            "ResourceLimitExceeded",
            format!(
                "You have reached your quota of {quota} for the number of launch permissions of an \
                 image: {id} would have {}.",
                permissions.len()
            ),
        ));
    }
    access::own(context, world, id)?.permissions = permissions;
    Ok(())
}

/// An account that is given something must exist; one that loses it may be gone.
fn check_accounts(
    world: &World,
    add: &[Permission],
    remove: &[Permission],
) -> Result<(), ServiceError> {
    let accounts: BTreeSet<_> = add
        .iter()
        .chain(remove)
        .filter_map(|entry| match entry {
            Permission::Account(account) => Some(account),
            _ => None,
        })
        .collect();
    if accounts.len() > MOST_ACCOUNTS {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!("A request names at most {MOST_ACCOUNTS} accounts"),
        ));
    }
    for entry in add {
        if let Permission::Account(account) = entry
            && world.accounts.values().all(|known| known.id != *account)
        {
            return Err(permission::invalid_item(account.as_str(), "userId"));
        }
    }
    Ok(())
}

/// Nobody else can use what AWS's own key encrypts.
fn check_keys(world: &World, image: &Image) -> Result<(), ServiceError> {
    let mut keys = image
        .snapshots()
        .filter_map(|id| world.ec2.snapshots.get(id)?.key.as_deref());
    if keys.any(|key| kms::is_aws_managed(world, key)) {
        return Err(ServiceError::new(
            "InvalidParameter",
            "Snapshots encrypted with the AWS Managed CMK can't be shared. Specify another \
             snapshot.",
        ));
    }
    Ok(())
}

fn check_public(context: &Context, world: &World, image: &Image) -> Result<(), ServiceError> {
    if public_access::is_blocked(context, world) {
        return Err(ServiceError::new(
            "OperationNotPermitted",
            "You can't publicly share this image because block public access for AMIs is enabled \
             for this account. To publicly share the image, you must call the \
             DisableImageBlockPublicAccess API.",
        ));
    }
    let is_encrypted = |device| show::is_encrypted(world, device);
    if image.block_devices.iter().any(is_encrypted) {
        return Err(ServiceError::new(
            "UnsupportedOperation",
            "Encrypted snapshots can't be shared publicly. Specify another snapshot.",
        ));
    }
    let quota = context.shared.limits.quota("public-images");
    let images = world.ec2.images.values();
    let public = images.filter(|other| {
        other.permissions.public && other.owner == image.owner && other.region == image.region
    });
    if public.count() as u64 >= quota {
        return Err(ServiceError::new(
            "ResourceLimitExceeded",
            format!(
                "You have reached your quota of {quota} for the number of public images allowed \
                 in this Region. Deregister unused public images or make them private, or request \
                 an increase in your public AMIs quota."
            ),
        ));
    }
    Ok(())
}
