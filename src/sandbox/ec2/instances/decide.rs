//! What a launch comes to: everything that a call of RunInstances names, looked up and checked.

use super::devices::{self, Known};
use super::request::Request;
use super::{metadata_options, refused};
use crate::arch::Firmware;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::images::{self, BlockDevice, Image};
use crate::sandbox::ec2::network::{self, KeyPair, Subnet};
use crate::sandbox::ec2::places::{self, InstanceType};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::new_id;
use crate::sandbox::world::World;

/// What all instances of a launch have in common.
pub(super) struct Launch {
    pub image: Image,
    pub kind: &'static InstanceType,
    pub firmware: Firmware,
    pub subnet: Subnet,
    pub groups: Vec<(String, String)>,
    pub key: Option<KeyPair>,
    pub devices: Vec<BlockDevice>,
    pub cores: (u32, u32),
    pub reservation_id: String,
}

/// Looks up and checks everything that the call names.
pub(super) fn decide(
    context: &Context,
    world: &mut World,
    request: &Request,
) -> Result<Launch, ServiceError> {
    let account = &context.caller.account;
    let region = &context.region;
    let kind = places::instance_type(&request.instance_type).ok_or_else(|| {
        ServiceError::new(
            "InvalidParameterValue",
            format!(
                "Invalid value '{}' for InstanceType.",
                request.instance_type
            ),
        )
    })?;
    let image = images::launchable(context, world, &request.image_id)?;
    let firmware = fitting(kind, &image)?;
    let subnet = subnet(context, world, request, kind)?;
    let groups = network::check_security_groups(
        world,
        account,
        region,
        &request.network.group_ids,
        &request.network.group_names,
    )?;
    let key = match &request.key_name {
        Some(name) => Some(network::key_pair(world, account, region, name)?),
        None => None,
    };
    let devices = devices::plan(&image, request.devices.clone(), kind.attachments, |id| {
        known(context, world, &image, id)
    })?;
    let options = request.metadata.for_image(image.imds_support.as_deref());
    if options.tags {
        metadata_options::check_tag_keys(
            request
                .tags
                .get("instance")
                .into_iter()
                .flat_map(|tags| tags.keys()),
        )?;
    }
    if request.cpu_credits && !kind.burstable {
        return Err(ServiceError::invalid_combination(format!(
            "The instance type {} has no CPU credits",
            kind.name
        )));
    }
    Ok(Launch {
        cores: cores(kind, request.cores)?,
        image,
        kind,
        firmware,
        subnet,
        groups,
        key,
        devices,
        reservation_id: new_id("r"),
    })
}

/// What instances of the type boot the image with.
fn fitting(kind: &InstanceType, image: &Image) -> Result<Firmware, ServiceError> {
    let architecture = image.architecture.as_str();
    if !kind.architectures.contains(&architecture) {
        let has = kind.architectures.first().copied().unwrap_or_default();
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!(
                "The architecture '{has}' of the specified instance type does not match the \
                 architecture '{architecture}' of the specified AMI. Specify an instance type and \
                 an AMI that have matching architectures, and try again. You can use \
                 'describe-instance-types' or 'describe-images' to discover the architecture of \
                 the instance type or AMI."
            ),
        ));
    }
    if image.virtualization_type != "hvm" {
        return Err(ServiceError::invalid_combination(format!(
            "The instance type '{}' does not support an AMI of the virtualization type '{}'",
            kind.name, image.virtualization_type
        )));
    }
    if kind.ena == "required" && !image.ena_support {
        return Err(ServiceError::invalid_combination(format!(
            "Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{}' \
             instance type. Ensure that you are using an AMI that is enabled for ENA.",
            kind.name
        )));
    }
    if image.tpm_support.is_some() {
        return Err(refused("instances with a TPM, which the AMI asks for"));
    }
    if image.uefi_data.is_some() {
        return Err(refused("UEFI variables of an AMI's own (UefiData)"));
    }
    let has_uefi = kind.boot_modes.contains(&"uefi");
    let wanted = match image.boot_mode.as_deref() {
        Some("uefi") => "uefi",
        Some("uefi-preferred") if has_uefi => "uefi",
        None if architecture == "arm64" => "uefi",
        _ => "legacy-bios",
    };
    if !kind.boot_modes.contains(&wanted) {
        return Err(ServiceError::invalid_combination(format!(
            "The boot mode '{wanted}' of the AMI is not supported by the instance type '{}'",
            kind.name
        )));
    }
    Ok(if wanted == "uefi" {
        Firmware::Uefi
    } else {
        Firmware::Bios
    })
}

/// The subnet asked for, or the default one of the zone asked for, or of the first zone that has
/// the type.
fn subnet(
    context: &Context,
    world: &mut World,
    request: &Request,
    kind: &InstanceType,
) -> Result<Subnet, ServiceError> {
    let account = &context.caller.account;
    let region = &context.region;
    let zones = places::zones(region);
    let zone = match (&request.zone, &request.zone_id) {
        (Some(_), Some(_)) => {
            return Err(ServiceError::invalid_combination(
                "AvailabilityZone and AvailabilityZoneId may not be specified on the same request",
            ));
        }
        (Some(name), None) => Some(name.clone()),
        (None, Some(id)) => {
            let zone = zones.iter().find(|zone| zone.id == *id).ok_or_else(|| {
                ServiceError::new(
                    "InvalidParameterValue",
                    format!("Invalid availability zone id: [{id}]"),
                )
            })?;
            Some(zone.name.clone())
        }
        (None, None) => None,
    };
    let offered = |zone: &str| places::offered(region, zone, kind.name);
    let subnet = match &request.network.subnet_id {
        Some(id) => network::subnet(account, region, id)?,
        None => {
            let any = zones.iter().find(|zone| offered(&zone.name));
            let zone = zone.as_deref().or(any.map(|zone| zone.name.as_str()));
            network::default_subnet(world, account, region, zone)?
        }
    };
    if zone.is_some_and(|zone| zone != subnet.zone.name) {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!(
                "The subnet '{}' is not in the Availability Zone that was asked for",
                subnet.id
            ),
        ));
    }
    let name = &subnet.zone.name;
    if offered(name) {
        return Ok(subnet);
    }
    let others: Vec<&str> = zones
        .iter()
        .map(|zone| zone.name.as_str())
        .filter(|zone| offered(zone))
        .collect();
    let message = if others.is_empty() {
        "The requested configuration is currently not supported. Please check the documentation \
         for supported configurations."
            .to_owned()
    } else {
        format!(
            "Your requested instance type ({}) is not supported in your requested Availability \
             Zone ({name}). Please retry your request by not specifying an Availability Zone or \
             choosing {}.",
            kind.name,
            others.join(", ")
        )
    };
    Err(ServiceError::new("Unsupported", message))
}

/// What is known of a snapshot that a disk is made of.
fn known(context: &Context, world: &World, image: &Image, id: &str) -> Result<Known, ServiceError> {
    let snapshot = images::snapshot_to_launch(context, world, image, id)?;
    Ok(Known {
        size_gib: snapshot.size_gib,
        encrypted: snapshot.key.is_some(),
    })
}

fn cores(
    kind: &InstanceType,
    asked: (Option<u32>, Option<u32>),
) -> Result<(u32, u32), ServiceError> {
    let most_threads = kind.vcpus / kind.cores.max(1);
    let (cores, threads) = match asked {
        (None, None) => return Ok((kind.cores, most_threads)),
        (Some(cores), Some(threads)) => (cores, threads),
        _ => {
            return Err(ServiceError::invalid_combination(
                "CoreCount and ThreadsPerCore must be specified together",
            ));
        }
    };
    if !(1..=kind.cores).contains(&cores) {
        return Err(ServiceError::invalid_value(
            "CoreCount",
            &cores.to_string(),
            format!("The instance type {} has {} cores.", kind.name, kind.cores),
        ));
    }
    if !(1..=most_threads).contains(&threads) {
        return Err(ServiceError::invalid_value(
            "ThreadsPerCore",
            &threads.to_string(),
            format!("A core of {} has {most_threads} threads.", kind.name),
        ));
    }
    Ok((cores, threads))
}
