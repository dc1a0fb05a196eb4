//! DescribeInstanceAttribute, ModifyInstanceAttribute.

use std::collections::BTreeMap;

use super::{Instance, ShutdownBehavior, State, find, refused, request, state, volumes, write};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::{network, places};
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// DescribeInstanceAttribute.
pub(super) fn describe(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("InstanceId")?;
    let attribute = params.required("Attribute")?;
    params.finish()?;
    let instance = find(context, world, &id)?;
    let mut xml = Xml::new();
    xml.text("instanceId", &id);
    let mut value = |text: Option<String>| {
        xml.node(&attribute, |xml| {
            xml.optional("value", text);
        });
    };
    match attribute.as_str() {
        "instanceType" => value(Some(instance.instance_type.clone())),
        "userData" => value(instance.user_data.clone()),
        "disableApiTermination" => value(Some(instance.disable_api_termination.to_string())),
        "disableApiStop" => value(Some(instance.disable_api_stop.to_string())),
        "instanceInitiatedShutdownBehavior" => {
            value(Some(instance.shutdown_behavior.as_str().to_owned()));
        }
        "rootDeviceName" => value(Some(instance.root_device_name.clone())),
        "sourceDestCheck" => value(Some(instance.interface.source_dest_check.to_string())),
        "ebsOptimized" => value(Some(instance.ebs_optimized.to_string())),
        "enaSupport" => value(Some(write::has_ena(instance).to_string())),
        // Instances of HVM images have none of these.
        "kernel" | "ramdisk" | "sriovNetSupport" => value(None),
        "productCodes" => {
            xml.node("productCodes", |_| {});
        }
        "blockDeviceMapping" => {
            let state = state(instance, context.now);
            write::block_devices(&mut xml, &volumes(world, instance), state);
        }
        "groupSet" => write::groups(&mut xml, instance),
        "enclaveOptions" => {
            xml.node("enclaveOptions", |xml| {
                xml.text("enabled", false);
            });
        }
        other => {
            return Err(ServiceError::new(
                "InvalidParameterValue",
                format!("Value ({other}) for parameter attribute is invalid. Unknown attribute."),
            ));
        }
    }
    Ok(xml)
}

/// What a call changes.
enum Change {
    InstanceType(String),
    UserData(String),
    DisableApiTermination(bool),
    DisableApiStop(bool),
    ShutdownBehavior(ShutdownBehavior),
    SourceDestCheck(bool),
    EbsOptimized(bool),
    Groups(Vec<String>),
    /// Whether volumes die with the instance, by their devices' names.
    DeleteOnTermination(BTreeMap<String, bool>),
}

/// ModifyInstanceAttribute: one attribute, given as `Attribute` and `Value` or under its own name.
pub(super) fn modify(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("InstanceId")?;
    let mut changes = take_changes(context, params)?;
    params.finish()?;
    let (Some(change), None) = (changes.pop(), changes.pop()) else {
        return Err(ServiceError::invalid_combination(
            "Exactly one attribute must be specified",
        ));
    };
    let instance = find(context, world, &id)?;
    apply(context, world, &instance.clone(), change)?;
    let mut xml = Xml::new();
    xml.text("return", true);
    Ok(xml)
}

fn take_changes(context: &Context, params: &mut Params) -> Result<Vec<Change>, ServiceError> {
    let attribute = params.text("Attribute");
    let given = params.text("Value");
    let mut changes = Vec::new();
    for (name, wire) in [
        ("instanceType", "InstanceType"),
        ("userData", "UserData"),
        ("disableApiTermination", "DisableApiTermination"),
        ("disableApiStop", "DisableApiStop"),
        (
            "instanceInitiatedShutdownBehavior",
            "InstanceInitiatedShutdownBehavior",
        ),
        ("sourceDestCheck", "SourceDestCheck"),
        ("ebsOptimized", "EbsOptimized"),
        ("kernel", "Kernel"),
        ("ramdisk", "Ramdisk"),
        ("sriovNetSupport", "SriovNetSupport"),
        ("enaSupport", "EnaSupport"),
    ] {
        let own = params.structure(wire, |params| Ok(params.text("Value").unwrap_or_default()))?;
        let is_named = attribute.as_deref() == Some(name);
        let named = is_named.then(|| given.clone().unwrap_or_default());
        for text in own.into_iter().chain(named) {
            changes.push(change(context, name, text)?);
        }
    }
    if params.discard("EnclaveOptions") {
        return Err(refused("enclaves"));
    }
    let groups = params.list("GroupId")?;
    if !groups.is_empty() {
        changes.push(Change::Groups(groups));
    }
    let devices = params.structures("BlockDeviceMapping", take_device)?;
    if !devices.is_empty() {
        changes.push(Change::DeleteOnTermination(devices.into_iter().collect()));
    }
    match attribute.as_deref() {
        Some("groupSet" | "blockDeviceMapping") if changes.len() == 1 => {}
        Some(name) if changes.is_empty() => {
            return Err(ServiceError::invalid_value(
                "attribute",
                name,
                "It cannot be changed in this way.",
            ));
        }
        _ => {}
    }
    Ok(changes)
}

fn change(context: &Context, name: &str, text: String) -> Result<Change, ServiceError> {
    let flag = |text: &str| match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ServiceError::invalid_value(
            name,
            text,
            "It must be true or false.",
        )),
    };
    Ok(match name {
        "instanceType" => Change::InstanceType(text),
        "userData" => {
            request::check_user_data(context, &text)?;
            Change::UserData(text)
        }
        "disableApiTermination" => Change::DisableApiTermination(flag(&text)?),
        "disableApiStop" => Change::DisableApiStop(flag(&text)?),
        "instanceInitiatedShutdownBehavior" => {
            Change::ShutdownBehavior(ShutdownBehavior::parse(&text)?)
        }
        "sourceDestCheck" => Change::SourceDestCheck(flag(&text)?),
        "ebsOptimized" => Change::EbsOptimized(flag(&text)?),
        _ => return Err(refused(&format!("changing an instance's {name}"))),
    })
}

fn take_device(device: &mut Params) -> Result<(String, bool), ServiceError> {
    for name in ["VirtualName", "NoDevice"] {
        if device.discard(name) {
            return Err(refused(&format!(
                "changing BlockDeviceMapping.N.{name} of an instance"
            )));
        }
    }
    let name = device.required("DeviceName")?;
    let dies = device.structure("Ebs", |ebs| {
        if ebs.discard("VolumeId") {
            return Err(refused(
                "changing BlockDeviceMapping.N.Ebs.VolumeId of an instance",
            ));
        }
        ebs.flag("DeleteOnTermination")
    })?;
    let dies = dies.flatten().ok_or_else(|| {
        ServiceError::missing_parameter("BlockDeviceMapping.N.Ebs.DeleteOnTermination")
    })?;
    Ok((name, dies))
}

fn apply(
    context: &Context,
    world: &mut World,
    instance: &Instance,
    change: Change,
) -> Result<(), ServiceError> {
    let id = &instance.id;
    let state = state(instance, context.now);
    if matches!(state, State::Terminated | State::ShuttingDown) {
        return Err(ServiceError::new(
            "IncorrectInstanceState",
            format!("The instance '{id}' is {}", state.name()),
        ));
    }
    let needs_rest = matches!(
        change,
        Change::InstanceType(_) | Change::UserData(_) | Change::EbsOptimized(_)
    );
    if needs_rest && state != State::Stopped {
        return Err(ServiceError::new(
            "IncorrectInstanceState",
            format!("The instance '{id}' is not in the 'stopped' state."),
        ));
    }
    if let Change::DeleteOnTermination(devices) = change {
        return apply_to_volumes(world, instance, &devices);
    }
    let mut changed = instance.clone();
    match change {
        Change::InstanceType(name) => {
            let kind = places::instance_type(&name).ok_or_else(|| {
                ServiceError::new(
                    "InvalidInstanceAttributeValue",
                    format!("Invalid value '{name}' for InstanceType."),
                )
            })?;
            let modes = kind
                .boot_modes
                .contains(&write::current_boot_mode(instance));
            if !kind.architectures.contains(&instance.architecture.as_str()) || !modes {
                return Err(ServiceError::new(
                    "InvalidInstanceAttributeValue",
                    format!("The instance type '{name}' cannot run the instance's AMI"),
                ));
            }
            changed.cores = (kind.cores, kind.vcpus / kind.cores.max(1));
            changed.instance_type = name;
        }
        Change::UserData(text) => changed.user_data = Some(text).filter(|text| !text.is_empty()),
        Change::DisableApiTermination(on) => changed.disable_api_termination = on,
        Change::DisableApiStop(on) => changed.disable_api_stop = on,
        Change::ShutdownBehavior(behavior) => changed.shutdown_behavior = behavior,
        Change::SourceDestCheck(on) => changed.interface.source_dest_check = on,
        Change::EbsOptimized(on) => changed.ebs_optimized = on,
        Change::Groups(ids) => {
            changed.interface.groups = network::check_security_groups(
                world,
                &context.caller.account,
                &context.region,
                &ids,
                &[],
            )?;
        }
        Change::DeleteOnTermination(_) => {}
    }
    world.ec2.instances.insert(id, changed);
    Ok(())
}

fn apply_to_volumes(
    world: &mut World,
    instance: &Instance,
    devices: &BTreeMap<String, bool>,
) -> Result<(), ServiceError> {
    for (name, dies) in devices {
        let attached = volumes(world, instance)
            .into_iter()
            .find(|volume| {
                volume
                    .attachment
                    .as_ref()
                    .is_some_and(|attachment| attachment.device == *name)
            })
            .map(|volume| volume.id.clone());
        let attachment = attached
            .and_then(|id| world.ec2.volumes.get_mut(&id))
            .and_then(|volume| volume.attachment.as_mut())
            .ok_or_else(|| {
                ServiceError::new(
                    "InvalidInstanceAttributeValue",
                    format!("No device is currently mapped at {name}"),
                )
            })?;
        attachment.delete_on_termination = *dies;
    }
    Ok(())
}
