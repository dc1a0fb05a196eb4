//! CreateImage: an image of an instance, with new snapshots of its volumes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::block_device::{self, BlockDevice, refuse, take_block_devices};
use super::permission::LaunchPermissions;
use super::protection::Protection;
use super::{Failure, Image, Origin, access, naming, register};
use crate::arch::Firmware;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::instances::{self, Instance};
use crate::sandbox::ec2::snapshots;
use crate::sandbox::ec2::volumes::{Attachment, Volume};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::new_id;
use crate::sandbox::tag::take_tag_specifications;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// How long it takes AWS, besides the snapshots.
const CREATING: Duration = Duration::from_secs(60);

/// What a call asks for.
struct Wanted {
    instance: String,
    name: String,
    description: Option<String>,
    no_reboot: bool,
    boot_mode: Option<String>,
    devices: Vec<BlockDevice>,
    tags: BTreeMap<String, BTreeMap<String, String>>,
}

/// CreateImage.
pub fn create_image(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let wanted = Wanted::take(params)?;
    params.finish()?;
    let instance = find_instance(context, world, &wanted.instance)?.clone();
    naming::check_name(context, world, &wanted.name)?;
    naming::check_description(wanted.description.as_deref())?;
    wanted.check_state(context, &instance)?;
    let source = source_image(world, &instance.image_id)?;
    wanted.check_boot_mode(&instance)?;
    register::check_quota(context, world)?;

    let id = new_id("ami");
    let block_devices = wanted.devices(context, world, &instance, &id)?;
    let (account, region) = (&context.caller.account, &context.region);
    let no_tags = BTreeMap::new();
    let tags = wanted.tags.get("image").unwrap_or(&no_tags);
    world.tags.add(account, region, "image", &id, tags)?;
    let ready = context.shared.clock.after(CREATING);
    let failure = context.mishaps.fail_later.clone();
    let image = Image {
        id,
        owner: account.clone(),
        region: region.clone(),
        name: wanted.name,
        description: wanted.description,
        created: context.now,
        boot_mode: wanted.boot_mode.or_else(|| source.boot_mode.clone()),
        block_devices,
        origin: Origin::Instance {
            instance: wanted.instance,
            image: source.id.clone(),
        },
        ready,
        failure: failure.map(|reason| Failure { at: ready, reason }),
        disabled: false,
        deprecate_at: None,
        permissions: LaunchPermissions::default(),
        protection: Protection::default(),
        launches: Vec::new(),
        ..source
    };
    Ok(register::keep(world, image))
}

impl Wanted {
    fn take(params: &mut Params) -> Result<Wanted, ServiceError> {
        let wanted = Wanted {
            instance: params.required("InstanceId")?,
            name: params.required("Name")?,
            description: params.text("Description"),
            no_reboot: params.flag("NoReboot")?.unwrap_or(false),
            boot_mode: params.text("BootModeOverride"),
            devices: take_block_devices(params)?,
            tags: take_tag_specifications(params, &["image", "snapshot"])?,
        };
        refuse(
            params,
            "SnapshotLocation",
            "It has neither Outposts nor Local Zones.",
        )?;
        Ok(wanted)
    }

    /// The instance must be running or stopped. A running one would be rebooted for the sake of
    /// its files, which the sandbox does not do: it says so instead of leaving them as they are.
    fn check_state(&self, context: &Context, instance: &Instance) -> Result<(), ServiceError> {
        match instances::state(instance, context.now).name() {
            "stopped" => Ok(()),
            "running" if self.no_reboot => Ok(()),
            "running" => Err(ServiceError::new(
                "UnsupportedOperation",
                format!(
                    "The sandbox does not reboot instances to make images of them: stop {} first, \
                     or set NoReboot",
                    self.instance
                ),
            )),
            other => Err(ServiceError::new(
                "IncorrectInstanceState",
                format!(
                    "The instance '{}' is '{other}'; it must be 'running' or 'stopped'",
                    self.instance
                ),
            )),
        }
    }

    fn check_boot_mode(&self, instance: &Instance) -> Result<(), ServiceError> {
        match self.boot_mode.as_deref() {
            None => Ok(()),
            Some("uefi") if instance.firmware == Firmware::Uefi => Ok(()),
            Some("uefi") => Err(ServiceError::invalid_combination(
                "BootModeOverride needs an instance that was booted in the mode uefi.",
            )),
            Some(other) => Err(ServiceError::invalid_value(
                "BootModeOverride",
                other,
                "It must be uefi.",
            )),
        }
    }

    /// The image's disks: those of the instance, as the call changes them, and those it adds.
    fn devices(
        &self,
        context: &Context,
        world: &mut World,
        instance: &Instance,
        id: &str,
    ) -> Result<Vec<BlockDevice>, ServiceError> {
        let root = &instance.root_device_name;
        let attached = attached_volumes(world, instance);
        if !attached.iter().any(|(_, at)| at.device == *root) {
            return Err(block_device::invalid(format!(
                "The instance {} has no volume at its root device '{root}'",
                instance.id
            )));
        }
        let no_tags = BTreeMap::new();
        let tags = self.tags.get("snapshot").unwrap_or(&no_tags);
        let mut devices = Vec::new();
        for (volume, attachment) in &attached {
            let change = self.change_of(&attachment.device);
            if change.is_some_and(|change| change.no_device) {
                if attachment.device == *root {
                    return Err(block_device::invalid("The root device cannot be left out"));
                }
                continue;
            }
            if let Some(change) = change {
                check_change(change, volume)?;
            }
            let description = format!("Created by CreateImage({}) for {id}", self.instance);
            let snapshot = snapshots::of_volume(context, world, &volume.id, description)?;
            let (account, region) = (&context.caller.account, &context.region);
            world
                .tags
                .add(account, region, "snapshot", &snapshot, tags)?;
            let asked_for = change.and_then(|change| change.delete_on_termination);
            devices.push(BlockDevice {
                device_name: attachment.device.clone(),
                snapshot_id: Some(snapshot),
                size_gib: Some(volume.size_gib),
                volume_type: Some(volume.volume_type.clone()),
                delete_on_termination: Some(asked_for.unwrap_or(attachment.delete_on_termination)),
                // The number of a gp2 volume follows from its size, and cannot be asked for.
                iops: volume.iops.filter(|_| volume.volume_type != "gp2"),
                throughput: volume.throughput,
                ..BlockDevice::default()
            });
        }
        for device in &self.devices {
            let is_there = attached
                .iter()
                .any(|(_, attachment)| attachment.device == device.device_name);
            if !is_there && !device.no_device {
                let mut device = device.clone();
                register::complete(context, world, &mut device)?;
                devices.push(device);
            }
        }
        Ok(devices)
    }

    fn change_of(&self, device: &str) -> Option<&BlockDevice> {
        let mut devices = self.devices.iter();
        devices.find(|change| change.device_name == device)
    }
}

/// Of a volume that is there, only `DeleteOnTermination` can be changed; see the model on
/// `BlockDeviceMappings` and `Encrypted`.
fn check_change(change: &BlockDevice, volume: &Volume) -> Result<(), ServiceError> {
    let name = &change.device_name;
    let is_other_size = change.size_gib.is_some_and(|size| size != volume.size_gib);
    let is_other_type = change
        .volume_type
        .as_ref()
        .is_some_and(|other| *other != volume.volume_type);
    let is_other_speed = change.iops.is_some_and(|iops| Some(iops) != volume.iops)
        || change
            .throughput
            .is_some_and(|throughput| Some(throughput) != volume.throughput);
    let what = if change.virtual_name.is_some() || change.snapshot_id.is_some() {
        "its snapshot"
    } else if is_other_size {
        "its size"
    } else if is_other_type || is_other_speed {
        "its type"
    } else if change.kms_key_id.is_some() {
        "its key"
    } else if change.encrypted == Some(true) && volume.key.is_none() {
        "whether it is encrypted"
    } else {
        return Ok(());
    };
    Err(block_device::invalid(format!(
        "The volume {} is at '{name}': {what} cannot be changed by CreateImage",
        volume.id
    )))
}

fn find_instance<'a>(
    context: &Context,
    world: &'a World,
    id: &str,
) -> Result<&'a Instance, ServiceError> {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    if !matches!(digits.len(), 8 | 17) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ServiceError::new(
            "InvalidInstanceID.Malformed",
            format!("Invalid id: \"{id}\""),
        ));
    }
    let instance = world.ec2.instances.get(id).filter(|instance| {
        instance.owner == context.caller.account && instance.region == context.region
    });
    instance.ok_or_else(|| {
        ServiceError::new(
            "InvalidInstanceID.NotFound",
            format!("The instance ID '{id}' does not exist"),
        )
    })
}

/// The image that an instance was launched from, which may have been deregistered since.
fn source_image(world: &World, id: &str) -> Result<Image, ServiceError> {
    let deregistered = &world.ec2.images_state.deregistered;
    let image = world.ec2.images.get(id).or_else(|| deregistered.get(id));
    image.cloned().ok_or_else(|| access::not_found(&[id]))
}

/// The volumes of an instance and where they are attached, the root volume first.
fn attached_volumes(world: &World, instance: &Instance) -> Vec<(Volume, Attachment)> {
    let volumes = instances::volumes(world, instance).into_iter();
    volumes
        .filter_map(|volume| Some((volume.clone(), volume.attachment.clone()?)))
        .collect()
}
