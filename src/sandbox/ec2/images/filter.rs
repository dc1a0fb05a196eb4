//! The filters of DescribeImages.

use super::{Image, ImageState, Origin, show};
use crate::sandbox::context::Context;
use crate::sandbox::tag::filter_values;
use crate::sandbox::world::World;

/// Those that the model's documentation names.
pub const KNOWN: &[&str] = &[
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "boot-mode",
    "creation-date",
    "description",
    "ena-support",
    "free-tier-eligible",
    "hypervisor",
    "image-allowed",
    "image-id",
    "image-type",
    "image-watermark.source-image-creation-time",
    "image-watermark.source-image-id",
    "image-watermark.source-image-region",
    "image-watermark.watermark-creation-time",
    "image-watermark.watermark-key",
    "instance-type-specification.supported-instance-type",
    "instance-type-specification.unsupported-instance-type",
    "is-public",
    "kernel-id",
    "manifest-location",
    "name",
    "owner-alias",
    "owner-id",
    "platform",
    "product-code",
    "product-code.type",
    "public-ssm-parameter-name",
    "ramdisk-id",
    "root-device-name",
    "root-device-type",
    "scan-result.critical-fix-available-since",
    "scan-result.finding-scan-date",
    "scan-result.high-fix-available-since",
    "scan-result.highest-finding-severity-label",
    "scan-result.informational-fix-available-since",
    "scan-result.low-fix-available-since",
    "scan-result.medium-fix-available-since",
    "source-image-id",
    "source-image-region",
    "source-instance-id",
    "sriov-net-support",
    "state",
    "state-reason-code",
    "state-reason-message",
    "tag-key",
    "tag:",
    "virtualization-type",
];

/// The values that an image has for a filter. What no image of the sandbox has (product codes,
/// watermarks, scan results, kernels, an alias of its owner) has none, so that such a filter finds
/// nothing.
pub fn values(
    context: &Context,
    world: &World,
    image: &Image,
    state: &ImageState,
    filter: &str,
) -> Vec<String> {
    let one = |value: &str| vec![value.to_owned()];
    let given = |value: Option<&String>| value.cloned().into_iter().collect();
    if let Some(member) = filter.strip_prefix("block-device-mapping.") {
        return device_values(world, image, member);
    }
    match filter {
        "architecture" => one(&image.architecture),
        "boot-mode" => given(image.boot_mode.as_ref()),
        "creation-date" => one(&image.created.iso()),
        "description" => given(image.description.as_ref()),
        "ena-support" => one(bool_text(image.ena_support)),
        "hypervisor" => one(show::HYPERVISOR),
        "image-id" => one(&image.id),
        "image-type" => one(show::IMAGE_TYPE),
        "is-public" => one(bool_text(image.permissions.public)),
        "manifest-location" => one(&image.location()),
        "name" => one(&image.name),
        "owner-id" => one(image.owner.as_str()),
        "root-device-name" => one(&image.root_device_name),
        "root-device-type" => one(show::ROOT_DEVICE_TYPE),
        "source-image-id" | "source-image-region" | "source-instance-id" => {
            origin_value(image, filter)
        }
        "sriov-net-support" => given(image.sriov_net_support.as_ref()),
        "state" => one(state.name()),
        "state-reason-code" => match state {
            ImageState::Failed(_) => one(show::FAILURE_CODE),
            _ => Vec::new(),
        },
        "state-reason-message" => match state {
            ImageState::Failed(reason) => one(reason),
            _ => Vec::new(),
        },
        "virtualization-type" => one(&image.virtualization_type),
        _ => filter_values(&world.tags.of(&context.caller.account, &image.id), filter),
    }
}

fn origin_value(image: &Image, filter: &str) -> Vec<String> {
    let value = match (&image.origin, filter) {
        (Origin::Copy { image, .. } | Origin::Instance { image, .. }, "source-image-id") => image,
        (Origin::Copy { region, .. }, "source-image-region") => return vec![region.to_string()],
        (Origin::Instance { .. }, "source-image-region") => return vec![image.region.to_string()],
        (Origin::Instance { instance, .. }, "source-instance-id") => instance,
        _ => return Vec::new(),
    };
    vec![value.clone()]
}

fn device_values(world: &World, image: &Image, member: &str) -> Vec<String> {
    let devices = image.block_devices.iter();
    devices
        .filter_map(|device| match member {
            "device-name" => Some(device.device_name.clone()),
            _ if !device.is_volume() => None,
            "delete-on-termination" => device
                .delete_on_termination
                .map(|flag| bool_text(flag).to_owned()),
            "encrypted" => Some(bool_text(show::is_encrypted(world, device)).to_owned()),
            "snapshot-id" => device.snapshot_id.clone(),
            "volume-size" => device.size_gib.map(|size| size.to_string()),
            "volume-type" => device.volume_type.clone(),
            _ => None,
        })
        .collect()
}

fn bool_text(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}
