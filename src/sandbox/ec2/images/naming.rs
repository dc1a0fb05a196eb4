//! Names and descriptions of images.

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

/// Checks the name of an image that the caller is about to make in the call's Region.
///
/// # Errors
/// `InvalidAMIName.Malformed`, and `InvalidAMIName.Duplicate` if the caller has one of that name.
pub fn check_name(context: &Context, world: &World, name: &str) -> Result<(), ServiceError> {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || "()[] ./-'@_".contains(char);
    if !(3..=128).contains(&name.chars().count()) || !name.chars().all(is_allowed) {
        return Err(ServiceError::new(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, \
             numbers, and ( ) [ ] . / - ' @ _ and spaces",
        ));
    }
    let other = world.ec2.images.values().find(|image| {
        image.owner == context.caller.account
            && image.region == context.region
            && image.name == name
    });
    match other {
        None => Ok(()),
        Some(other) => Err(ServiceError::new(
            "InvalidAMIName.Duplicate",
            format!("AMI name {name} is already in use by AMI {}", other.id),
        )),
    }
}

/// Checks a description.
///
/// # Errors
/// `InvalidParameterValue`: longer than 255 characters, or not of ASCII.
pub fn check_description(description: Option<&str>) -> Result<(), ServiceError> {
    let Some(text) = description else {
        return Ok(());
    };
    if !text.is_ascii() {
        return Err(ServiceError::invalid_value(
            "description",
            text,
            "Character sets beyond ASCII are not supported.",
        ));
    }
    if text.len() > 255 {
        return Err(ServiceError::invalid_value(
            "description",
            text,
            "It must have at most 255 characters.",
        ));
    }
    Ok(())
}
