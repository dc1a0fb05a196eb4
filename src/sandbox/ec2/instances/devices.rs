//! Which disks an instance gets: those of its image, changed by what the launch asks for.

use std::collections::BTreeSet;

use super::refused;
use crate::sandbox::ec2::images::{BlockDevice, Image};
use crate::sandbox::error::ServiceError;

/// What there is to know of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// In GiB.
    pub size_gib: u32,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// The disks of an instance, the root disk first. `snapshot` gives what is known of a snapshot of
/// the image's, or of one that the launch names; its errors are those of a snapshot that cannot be
/// used.
///
/// # Errors
/// `InvalidBlockDeviceMapping` and others, as EC2 has them for a mapping that cannot be.
pub(super) fn plan(
    image: &Image,
    asked: Vec<BlockDevice>,
    most: u32,
    snapshot: impl Fn(&str) -> Result<Known, ServiceError>,
) -> Result<Vec<BlockDevice>, ServiceError> {
    let mut names = BTreeSet::new();
    for device in &asked {
        check_name(&device.device_name)?;
        if !names.insert(device.device_name.as_str()) {
            return Err(invalid(format!(
                "The device '{}' is used in more than one block-device mapping",
                device.device_name
            )));
        }
    }
    let mut planned: Vec<BlockDevice> = image
        .block_devices
        .iter()
        // Instance stores: types with volumes as NVMe disks ignore an image's, as EC2 does.
        .filter(|device| device.virtual_name.is_none() && !device.no_device)
        .cloned()
        .collect();
    for asked in asked {
        let at = planned
            .iter()
            .position(|device| device.device_name == asked.device_name);
        match at {
            _ if asked.virtual_name.is_some() => {
                return Err(refused("instance stores (VirtualName)"));
            }
            Some(at) if asked.no_device => {
                if asked.device_name == image.root_device_name {
                    return Err(invalid(format!(
                        "The device '{}' is the root device, which an instance must have",
                        asked.device_name
                    )));
                }
                planned.remove(at);
            }
            None if asked.no_device => {}
            Some(at) => {
                let is_root = asked.device_name == image.root_device_name;
                planned[at] = overridden(&planned[at], asked, is_root)?;
            }
            None => planned.push(asked),
        }
    }
    for device in &mut planned {
        complete(device, &snapshot)?;
    }
    if planned.len() > most as usize {
        return Err(ServiceError::new(
            "AttachmentLimitExceeded",
            format!("The instance type has at most {most} volumes"),
        ));
    }
    planned.sort_by_key(|device| device.device_name != image.root_device_name);
    match planned.first() {
        Some(first) if first.device_name == image.root_device_name => Ok(planned),
        _ => Err(invalid(format!(
            "The image has no volume for its root device '{}'",
            image.root_device_name
        ))),
    }
}

/// A device of the image's with what the launch asks of it.
fn overridden(
    device: &BlockDevice,
    asked: BlockDevice,
    is_root: bool,
) -> Result<BlockDevice, ServiceError> {
    let other = asked.snapshot_id.is_some() && asked.snapshot_id != device.snapshot_id;
    if other && is_root {
        return Err(invalid("snapshotId cannot be modified on root device"));
    }
    let retyped = asked
        .volume_type
        .as_ref()
        .is_some_and(|kind| device.volume_type.as_ref() != Some(kind));
    // Speeds are of a type: those of another one mean nothing.
    let kept = |speed| if retyped { None } else { speed };
    Ok(BlockDevice {
        iops: asked.iops.or(kept(device.iops)),
        throughput: asked.throughput.or(kept(device.throughput)),
        // Another snapshot may be larger than the image's own.
        size_gib: asked
            .size_gib
            .or(if other { None } else { device.size_gib }),
        snapshot_id: asked.snapshot_id.or(device.snapshot_id.clone()),
        volume_type: asked.volume_type.or(device.volume_type.clone()),
        delete_on_termination: asked.delete_on_termination.or(device.delete_on_termination),
        encrypted: asked.encrypted.or(device.encrypted),
        kms_key_id: asked.kms_key_id.or(device.kms_key_id.clone()),
        ..asked
    })
}

/// Fills in and checks what depends on the snapshot.
fn complete(
    device: &mut BlockDevice,
    snapshot: &impl Fn(&str) -> Result<Known, ServiceError>,
) -> Result<(), ServiceError> {
    let known = match &device.snapshot_id {
        Some(id) => Some(snapshot(id)?),
        None => None,
    };
    device.complete(known.map(|known| known.size_gib))?;
    if device.encrypted == Some(false) && known.is_some_and(|known| known.encrypted) {
        return Err(invalid(format!(
            "The encrypted flag cannot be false for device {}: its snapshot is encrypted",
            device.device_name
        )));
    }
    Ok(())
}

/// Names that volumes of HVM instances can have: `/dev/sda1`, `/dev/sd[b-z]`, `/dev/xvd…`, with or
/// without `/dev/`.
fn check_name(name: &str) -> Result<(), ServiceError> {
    let short = name.strip_prefix("/dev/").unwrap_or(name);
    let rest = short
        .strip_prefix("sd")
        .or_else(|| short.strip_prefix("xvd"))
        .unwrap_or_default();
    let letters = rest.trim_end_matches(|char: char| char.is_ascii_digit());
    let is_right = matches!(letters.len(), 1 | 2)
        && letters.bytes().all(|byte| byte.is_ascii_lowercase())
        && rest.len() - letters.len() <= 2;
    if is_right {
        return Ok(());
    }
    Err(ServiceError::new(
        "InvalidBlockDeviceMapping",
        format!("Invalid device name {name}"),
    ))
}

fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidBlockDeviceMapping", message)
}
