//! An image as DescribeImages shows it.

use super::block_device::BlockDevice;
use super::deprecation::deprecation;
use super::{Image, ImageState, Origin};
use crate::sandbox::context::Context;
use crate::sandbox::tag::write_tags;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// All that EC2 has.
pub const HYPERVISOR: &str = "xen";
/// Kernels and RAM disks are not to be had.
pub const IMAGE_TYPE: &str = "machine";
/// Nor are images of instance stores.
pub const ROOT_DEVICE_TYPE: &str = "ebs";
/// The code of a failed image's reason.
pub const FAILURE_CODE: &str = "Client.InternalError";

/// Writes an image.
pub fn write(context: &Context, world: &World, image: &Image, state: &ImageState, xml: &mut Xml) {
    xml.text("imageId", &image.id)
        .text("imageLocation", image.location())
        .text("imageState", state.name())
        .text("imageOwnerId", &image.owner)
        .text("creationDate", image.created.iso())
        .text("isPublic", image.permissions.public)
        .text("architecture", &image.architecture)
        .text("imageType", IMAGE_TYPE)
        .text("platformDetails", "Linux/UNIX")
        .text("usageOperation", "RunInstances")
        .text("name", &image.name)
        .optional("description", image.description.as_ref())
        .text("rootDeviceType", ROOT_DEVICE_TYPE)
        .text("rootDeviceName", &image.root_device_name);
    xml.list("blockDeviceMapping", &image.block_devices, |xml, device| {
        write_device(world, device, xml);
    });
    xml.text("virtualizationType", &image.virtualization_type)
        .text("hypervisor", HYPERVISOR)
        .text("enaSupport", image.ena_support)
        .optional("sriovNetSupport", image.sriov_net_support.as_ref())
        .optional("bootMode", image.boot_mode.as_ref())
        .optional("tpmSupport", image.tpm_support.as_ref())
        .optional("imdsSupport", image.imds_support.as_ref())
        .optional("deprecationTime", deprecation(image).map(|at| at.iso()))
        .text("deregistrationProtection", image.protection.name());
    write_origin(image, xml);
    if let ImageState::Failed(reason) = state {
        xml.node("stateReason", |xml| {
            xml.text("code", FAILURE_CODE).text("message", reason);
        });
    }
    if image.owner == context.caller.account {
        let launched = image.last_launched(context.now);
        xml.optional("lastLaunchedTime", launched.map(|at| at.iso()));
    }
    write_tags(xml, &world.tags.of(&context.caller.account, &image.id));
}

/// Whether a volume of a mapping is encrypted before a launch changes that: its snapshot says so,
/// and where it has none, it does itself.
pub fn is_encrypted(world: &World, device: &BlockDevice) -> bool {
    match &device.snapshot_id {
        Some(id) => world
            .ec2
            .snapshots
            .get(id)
            .is_some_and(|snapshot| snapshot.key.is_some()),
        None => device.encrypted == Some(true),
    }
}

fn write_device(world: &World, device: &BlockDevice, xml: &mut Xml) {
    xml.text("deviceName", &device.device_name)
        .optional("virtualName", device.virtual_name.as_ref());
    if device.is_volume() {
        xml.node("ebs", |xml| {
            xml.optional("snapshotId", device.snapshot_id.as_ref())
                .optional("volumeSize", device.size_gib)
                .optional("deleteOnTermination", device.delete_on_termination)
                .optional("volumeType", device.volume_type.as_ref())
                .optional("iops", device.iops)
                .optional("throughput", device.throughput)
                .text("encrypted", is_encrypted(world, device));
        });
    }
}

fn write_origin(image: &Image, xml: &mut Xml) {
    match &image.origin {
        Origin::Snapshots => {}
        Origin::Copy { image, region } => {
            xml.text("sourceImageId", image)
                .text("sourceImageRegion", region);
        }
        Origin::Instance {
            instance,
            image: source,
        } => {
            xml.text("sourceInstanceId", instance)
                .text("sourceImageId", source)
                .text("sourceImageRegion", &image.region);
        }
    }
}
