//! Disks as mappings name them: those of an image and those that a launch adds or changes.

use serde::{Deserialize, Serialize};

use crate::sandbox::ec2::volumes::check_kind;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;

/// A disk that an instance gets: of an image's mapping or of RunInstances's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// `/dev/xvda`, `/dev/sdf`.
    pub device_name: String,
    /// The snapshot that it begins with.
    pub snapshot_id: Option<String>,
    /// In GiB.
    pub size_gib: Option<u32>,
    /// `gp3`, …
    pub volume_type: Option<String>,
    /// Whether it dies with its instance.
    pub delete_on_termination: Option<bool>,
    /// Whether it is encrypted.
    pub encrypted: Option<bool>,
    /// Key as it was given.
    pub kms_key_id: Option<String>,
    /// Operations a second.
    pub iops: Option<u32>,
    /// MiB a second.
    pub throughput: Option<u32>,
    /// The device is left out.
    pub no_device: bool,
    /// Instance-store name (`ephemeral0`).
    pub virtual_name: Option<String>,
}

/// The type of a volume for which none is given.
const DEFAULT_TYPE: &str = "gp2";

/// Takes `BlockDeviceMapping.N.…`: what a mapping is by itself. What must hold of the volume that
/// comes of it, [`BlockDevice::complete`] checks.
///
/// # Errors
/// A mapping is of no kind or of two, names a device twice, or has a parameter without meaning
/// here (Outposts, zones, initialization rates).
pub fn take_block_devices(params: &mut Params) -> Result<Vec<BlockDevice>, ServiceError> {
    let devices = params.structures("BlockDeviceMapping", take_one)?;
    for (index, device) in devices.iter().enumerate() {
        let name = &device.device_name;
        if devices[..index]
            .iter()
            .any(|other| other.device_name == *name)
        {
            return Err(invalid(format!(
                "The device '{name}' is used in more than one block-device mapping"
            )));
        }
    }
    Ok(devices)
}

fn take_one(params: &mut Params) -> Result<BlockDevice, ServiceError> {
    let mut device = BlockDevice {
        device_name: params.required("DeviceName")?,
        virtual_name: params.text("VirtualName"),
        // Given is given: clients send it empty.
        no_device: params.text("NoDevice").is_some(),
        ..BlockDevice::default()
    };
    let is_ebs = params
        .structure("Ebs", |ebs| take_ebs(ebs, &mut device))?
        .is_some();
    let name = &device.device_name;
    match (is_ebs, &device.virtual_name, device.no_device) {
        (_, _, true) | (true, None, false) => {}
        (false, Some(virtual_name), false) => check_virtual_name(virtual_name)?,
        (true, Some(_), false) => {
            return Err(invalid(format!(
                "The mapping of '{name}' has both an EBS volume and a virtual name"
            )));
        }
        (false, None, false) => {
            return Err(invalid(format!(
                "The mapping of '{name}' has neither an EBS volume nor a virtual name"
            )));
        }
    }
    Ok(device)
}

fn take_ebs(ebs: &mut Params, device: &mut BlockDevice) -> Result<(), ServiceError> {
    device.snapshot_id = ebs.text("SnapshotId").filter(|id| !id.is_empty());
    device.size_gib = ebs.number("VolumeSize")?;
    device.volume_type = ebs.text("VolumeType");
    device.delete_on_termination = ebs.flag("DeleteOnTermination")?;
    device.encrypted = ebs.flag("Encrypted")?;
    device.kms_key_id = ebs.text("KmsKeyId");
    device.iops = ebs.number("Iops")?;
    device.throughput = ebs.number("Throughput")?;
    if device.kms_key_id.is_some() && device.encrypted != Some(true) {
        return Err(ServiceError::new(
            "InvalidParameterDependency",
            "The parameter KmsKeyId requires the parameter Encrypted to be set to true.",
        ));
    }
    for name in ["AvailabilityZone", "AvailabilityZoneId", "OutpostArn"] {
        refuse(
            ebs,
            name,
            "The volume is in its instance's zone, and there are no Outposts.",
        )?;
    }
    refuse(
        ebs,
        "VolumeInitializationRate",
        "Volumes are whole at once here.",
    )?;
    if let Some(index) = ebs
        .number::<u32>("EbsCardIndex")?
        .filter(|index| *index > 0)
    {
        return Err(ServiceError::invalid_value(
            &ebs.full("EbsCardIndex"),
            &index.to_string(),
            "No instance type of the sandbox has a second EBS card.",
        ));
    }
    Ok(())
}

/// Refuses a parameter of AWS's that the sandbox has no use for.
pub fn refuse(params: &mut Params, name: &str, why: &str) -> Result<(), ServiceError> {
    match params.text(name) {
        None => Ok(()),
        Some(_) => Err(ServiceError::new(
            "UnsupportedOperation",
            format!(
                "The sandbox does not have the parameter {}. {why}",
                params.full(name)
            ),
        )),
    }
}

impl BlockDevice {
    /// Fills in what AWS sets by itself, and checks the volume that comes of it. `snapshot_gib` is
    /// the size of its snapshot.
    ///
    /// # Errors
    /// The size, operations or throughput are not what volumes of the type have, or the volume is
    /// smaller than its snapshot.
    pub fn complete(&mut self, snapshot_gib: Option<u32>) -> Result<(), ServiceError> {
        let size = match (self.size_gib, snapshot_gib) {
            (Some(size), Some(snapshot)) if size < snapshot => {
                let id = self.snapshot_id.as_deref().unwrap_or_default();
                return Err(invalid(format!(
                    "Volume of size {size}GB is smaller than snapshot '{id}', expect size >= \
                     {snapshot}GB"
                )));
            }
            (Some(size), _) | (None, Some(size)) => size,
            (None, None) => return Err(ServiceError::missing_parameter("size or snapshotId")),
        };
        let name = self.volume_type.as_deref().unwrap_or(DEFAULT_TYPE);
        let speed = check_kind(name, size, self.iops, self.throughput)?;
        self.size_gib = Some(size);
        self.volume_type = Some(speed.volume_type.to_owned());
        // Volumes of a mapping die with their instance unless it says otherwise, the root and others.
        self.delete_on_termination.get_or_insert(true);
        if speed.volume_type != "gp2" {
            self.iops = speed.iops;
            self.throughput = speed.throughput;
        }
        Ok(())
    }

    /// Whether this is a volume, and no instance store and no device left out.
    pub fn is_volume(&self) -> bool {
        !self.no_device && self.virtual_name.is_none()
    }
}

fn check_virtual_name(name: &str) -> Result<(), ServiceError> {
    let number = name.strip_prefix("ephemeral").unwrap_or_default();
    match number.parse::<u8>() {
        Ok(0..=23) => Ok(()),
        _ => Err(invalid(format!(
            "The virtual name '{name}' is invalid; it must be ephemeral0 to ephemeral23"
        ))),
    }
}

/// A mapping that cannot be.
pub fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidBlockDeviceMapping", message)
}
