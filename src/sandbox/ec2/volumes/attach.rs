//! Attaching volumes to instances, and taking them off those that are stopped.
//!
//! A running machine gets further disks, and keeps those that it has.

use super::describe::write_attachment;
use super::{Attachment, Volume, own, state};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::instances::{self, Instance, State};
use crate::sandbox::error::ServiceError;
use crate::sandbox::machines::{InstanceMode, Order};
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::{Effect, World};

/// The root device of one of the caller's instances.
///
/// # Errors
/// There is no such instance.
pub fn root_device(context: &Context, world: &World, id: &str) -> Result<String, ServiceError> {
    let instance = instances::find(context, world, id)?;
    Ok(instance.root_device_name.clone())
}

pub(super) fn attach_volume(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("VolumeId")?;
    let instance = params.required("InstanceId")?;
    let device = params.required("Device")?;
    let card = params.number::<u32>("EbsCardIndex")?.unwrap_or(0);
    params.finish()?;
    if card != 0 {
        return Err(ServiceError::invalid_value(
            "ebsCardIndex",
            &card.to_string(),
            "The sandbox's instances have one EBS card.",
        ));
    }
    let volume = own(context, world, &id)?;
    let instance = instances::find(context, world, &instance)?;
    check_attachable(context, &volume, instance)?;
    check_device(world, instance, &device)?;
    let runs = is_running(context, instance)?;
    if runs && context.shared.machines.mode() == InstanceMode::Process {
        return Err(ServiceError::new(
            "UnsupportedOperation",
            format!(
                "'{}' is a process, which gets no volumes while it runs",
                instance.id
            ),
        ));
    }
    let attachment = Attachment {
        instance_id: instance.id.clone(),
        device,
        since: context.now,
        delete_on_termination: false,
    };
    let mut xml = Xml::new();
    write_attachment(&mut xml, &id, &attachment, "attaching");
    if let Some(volume) = world.ec2.volumes.get_mut(&id) {
        volume.attachment = Some(attachment.clone());
    }
    if runs {
        let plug = Order::Plug(attachment.instance_id, id);
        world.effects.push(Effect::Machine(plug));
    }
    Ok(xml)
}

fn check_attachable(
    context: &Context,
    volume: &Volume,
    instance: &Instance,
) -> Result<(), ServiceError> {
    let id = &volume.id;
    match state(volume, context.now) {
        "available" => {}
        "in-use" => {
            return Err(ServiceError::new(
                "VolumeInUse",
                format!("{id} is already attached to an instance"),
            ));
        }
        other => {
            return Err(ServiceError::new(
                "IncorrectState",
                format!("{id} is not 'available', it is '{other}'."),
            ));
        }
    }
    if volume.zone != instance.interface.zone {
        return Err(ServiceError::new(
            "InvalidVolume.ZoneMismatch",
            format!(
                "The volume '{id}' is not in the same availability zone as instance '{}'",
                instance.id
            ),
        ));
    }
    Ok(())
}

/// A name that EC2 allows, and that the instance has no other volume under.
fn check_device(world: &World, instance: &Instance, device: &str) -> Result<(), ServiceError> {
    let name = device.strip_prefix("/dev/").unwrap_or(device);
    let rest = name
        .strip_prefix("sd")
        .or_else(|| name.strip_prefix("xvd"))
        .unwrap_or_default();
    let is_name = matches!(rest.len(), 1..=3)
        && rest.starts_with(|first: char| first.is_ascii_lowercase())
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !is_name {
        return Err(ServiceError::invalid_value(
            "device",
            device,
            format!("{device} is not a valid EBS device name."),
        ));
    }
    let is_taken = instances::volumes(world, instance).iter().any(|volume| {
        let attachment = volume.attachment.as_ref();
        attachment.is_some_and(|attachment| attachment.device == device)
    });
    if is_taken {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!(
                "Invalid value '{device}' for unixDevice. Attachment point {device} is already in \
                 use"
            ),
        ));
    }
    Ok(())
}

/// Whether an instance runs; if it does not, it is stopped.
fn is_running(context: &Context, instance: &Instance) -> Result<bool, ServiceError> {
    match instances::state(instance, context.now) {
        State::Stopped => Ok(false),
        State::Running => Ok(true),
        other => Err(ServiceError::new(
            "IncorrectState",
            format!("Instance '{}' is '{}'.", instance.id, other.name()),
        )),
    }
}

pub(super) fn detach_volume(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("VolumeId")?;
    let instance = params.text("InstanceId");
    let device = params.text("Device");
    // Off is off: there is nothing that could be forced.
    params.flag("Force")?;
    params.finish()?;
    let volume = own(context, world, &id)?;
    let Some(attachment) = volume.attachment else {
        return Err(ServiceError::new(
            "IncorrectState",
            format!(
                "Volume '{id}' is in the '{}' state.",
                state(&volume, context.now)
            ),
        ));
    };
    let is_meant = instance.is_none_or(|id| id == attachment.instance_id)
        && device.is_none_or(|device| device == attachment.device);
    if !is_meant {
        return Err(ServiceError::new(
            "InvalidAttachment.NotFound",
            format!("The volume '{id}' is not attached to that instance as that device"),
        ));
    }
    let instance = instances::find(context, world, &attachment.instance_id)?;
    let is_root = attachment.device == instance.root_device_name;
    if is_root && instances::state(instance, context.now) == State::Running {
        return Err(ServiceError::new(
            "OperationNotPermitted",
            format!(
                "Unable to detach root volume '{id}' from instance '{}'",
                instance.id
            ),
        ));
    }
    if is_running(context, instance)? {
        return Err(ServiceError::new(
            "UnsupportedOperation",
            format!(
                "The sandbox detaches volumes while an instance is stopped, and '{}' is running",
                instance.id
            ),
        ));
    }
    let mut xml = Xml::new();
    write_attachment(&mut xml, &id, &attachment, "detaching");
    if let Some(volume) = world.ec2.volumes.get_mut(&id) {
        volume.attachment = None;
    }
    Ok(xml)
}
