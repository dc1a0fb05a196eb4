//! DescribeImageAttribute, ModifyImageAttribute, ResetImageAttribute.

use super::permission::{self, LaunchPermissions, Permission};
use super::protection::returned;
use super::{Image, ImageState, access, naming, share, state};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// DescribeImageAttribute.
pub fn describe_image_attribute(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let attribute = params.required("Attribute")?;
    let id = params.required("ImageId")?;
    params.finish()?;
    let image = access::check_own(context, world, &id)?;
    let mut xml = Xml::new();
    xml.text("imageId", &id);
    let value = match attribute.as_str() {
        "launchPermission" => {
            image.permissions.write(&mut xml);
            return Ok(xml);
        }
        "productCodes" => {
            xml.node("productCodes", |_| {});
            return Ok(xml);
        }
        "blockDeviceMapping" => {
            return Err(ServiceError::new(
                "AuthFailure",
                "Unauthorized attempt to access restricted resource",
            )
            .status(403));
        }
        "description" => image.description.clone(),
        // No image here has its own kernel.
        "kernel" | "ramdisk" => None,
        "sriovNetSupport" => image.sriov_net_support.clone(),
        "bootMode" => image.boot_mode.clone(),
        "tpmSupport" => image.tpm_support.clone(),
        "uefiData" => image.uefi_data.clone(),
        "imdsSupport" => image.imds_support.clone(),
        "lastLaunchedTime" => image.last_launched(context.now).map(|at| at.iso()),
        "deregistrationProtection" => Some(image.protection.name().to_owned()),
        _ => {
            return Err(ServiceError::invalid_value(
                "attribute",
                &attribute,
                "An image has no such attribute.",
            ));
        }
    };
    xml.node(&attribute, |xml| {
        xml.optional("value", value);
    });
    Ok(xml)
}

/// What a ModifyImageAttribute is to do.
enum Change {
    Description(String),
    ImdsSupport(String),
    Permissions {
        add: Vec<Permission>,
        remove: Vec<Permission>,
    },
}

/// ModifyImageAttribute.
pub fn modify_image_attribute(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("ImageId")?;
    let change = take_change(params)?;
    params.finish()?;
    let image = access::check_own(context, world, &id)?;
    check_modifiable(context, world, image, &change)?;
    match change {
        Change::Description(text) => {
            naming::check_description(Some(&text))?;
            access::own(context, world, &id)?.description = Some(text);
        }
        Change::ImdsSupport(value) => {
            if value != "v2.0" {
                return Err(ServiceError::invalid_value(
                    "imdsSupport",
                    &value,
                    "It must be v2.0, and cannot be taken back.",
                ));
            }
            access::own(context, world, &id)?.imds_support = Some(value);
        }
        Change::Permissions { add, remove } => share::change(context, world, &id, &add, &remove)?,
    }
    Ok(returned())
}

/// ResetImageAttribute: takes every launch permission away.
pub fn reset_image_attribute(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let attribute = params.required("Attribute")?;
    let id = params.required("ImageId")?;
    params.finish()?;
    if attribute != "launchPermission" {
        return Err(ServiceError::invalid_value(
            "attribute",
            &attribute,
            "Only launchPermission can be reset.",
        ));
    }
    access::own(context, world, &id)?.permissions = LaunchPermissions::default();
    Ok(returned())
}

/// A disabled image cannot be shared; one that is not there yet, or failed, not changed at all.
fn check_modifiable(
    context: &Context,
    world: &World,
    image: &Image,
    change: &Change,
) -> Result<(), ServiceError> {
    match (state(world, image, context.now), change) {
        (ImageState::Available, _) => Ok(()),
        (ImageState::Disabled, Change::Description(_) | Change::ImdsSupport(_)) => Ok(()),
        (state, _) => Err(access::unavailable(
            &image.id,
            &format!("it is {}", state.name()),
        )),
    }
}

/// Takes the change in one of its forms: `Description.Value`, `ImdsSupport.Value`,
/// `LaunchPermission.Add.N.…` and `.Remove.N.…`; or `Attribute` with `Value`, or with
/// `OperationType` and lists.
fn take_change(params: &mut Params) -> Result<Change, ServiceError> {
    let value = |params: &mut Params| Ok(params.text("Value").unwrap_or_default());
    let description = params.structure("Description", value)?;
    let imds_support = params.structure("ImdsSupport", value)?;
    let permissions = params.structure("LaunchPermission", |permissions| {
        Ok((
            permission::take_entries(permissions, "Add")?,
            permission::take_entries(permissions, "Remove")?,
        ))
    })?;
    let attribute = params.text("Attribute");
    if !params.list("ProductCode")?.is_empty() {
        return Err(ServiceError::new(
            "UnsupportedOperation",
            "Product codes cannot be set",
        ));
    }
    let structures = [
        description.map(Change::Description),
        imds_support.map(Change::ImdsSupport),
        permissions.map(|(add, remove)| Change::Permissions { add, remove }),
    ];
    let mut changes: Vec<(&str, Change)> = ["description", "imdsSupport", "launchPermission"]
        .into_iter()
        .zip(structures)
        .filter_map(|(name, change)| change.map(|change| (name, change)))
        .collect();
    let has_flat = ["Value", "OperationType"]
        .iter()
        .any(|name| params.has(name));
    match (changes.pop(), attribute.as_deref()) {
        (Some((name, _)), Some(attribute)) if attribute != name => Err(multiple()),
        (Some(_), Some(_)) if has_flat => Err(multiple()),
        (Some((_, change)), _) if changes.is_empty() => Ok(change),
        (Some(_), _) => Err(multiple()),
        (None, attribute) => take_flat_change(params, attribute),
    }
}

fn take_flat_change(params: &mut Params, attribute: Option<&str>) -> Result<Change, ServiceError> {
    match attribute {
        Some("description") => Ok(Change::Description(
            params.text("Value").unwrap_or_default(),
        )),
        Some("imdsSupport") => Ok(Change::ImdsSupport(
            params.text("Value").unwrap_or_default(),
        )),
        Some(other) if other != "launchPermission" => Err(ServiceError::invalid_value(
            "attribute",
            other,
            "It must be description, imdsSupport or launchPermission.",
        )),
        // The older clients leave the attribute out where the lists say it.
        attribute => {
            let operation = params.text("OperationType");
            let entries = permission::take_flat(params)?;
            match operation.as_deref() {
                _ if attribute.is_none() && operation.is_none() && entries.is_empty() => Err(
                    ServiceError::invalid_combination("No attributes specified."),
                ),
                Some("add" | "remove") if entries.is_empty() => {
                    Err(ServiceError::missing_parameter("UserId"))
                }
                Some("add") => Ok(Change::Permissions {
                    add: entries,
                    remove: Vec::new(),
                }),
                Some("remove") => Ok(Change::Permissions {
                    add: Vec::new(),
                    remove: entries,
                }),
                Some(other) => Err(ServiceError::invalid_value(
                    "operationType",
                    other,
                    "It must be add or remove.",
                )),
                None => Err(ServiceError::missing_parameter("OperationType")),
            }
        }
    }
}

fn multiple() -> ServiceError {
    ServiceError::invalid_combination("Fields for multiple attribute types specified")
}
