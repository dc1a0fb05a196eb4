//! RegisterImage: an image of snapshots.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::block_device::{self, BlockDevice, refuse, take_block_devices};
use super::permission::LaunchPermissions;
use super::protection::Protection;
use super::{Image, Origin, access, naming};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::snapshots;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::new_id;
use crate::sandbox::tag::take_tag_specifications;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// How long it takes AWS.
const REGISTERING: Duration = Duration::from_secs(3);

/// The largest UEFI variable store, in characters of Base64.
const MOST_UEFI_DATA: usize = 64_000;

/// What an image says of the machines it runs on.
#[derive(Debug, Clone)]
struct Machine {
    architecture: String,
    virtualization_type: String,
    boot_mode: Option<String>,
    ena_support: bool,
    sriov_net_support: Option<String>,
    imds_support: Option<String>,
    tpm_support: Option<String>,
    uefi_data: Option<String>,
}

/// RegisterImage.
pub fn register_image(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let name = params.required("Name")?;
    let description = params.text("Description");
    let machine = take_machine(params)?;
    let root_device_name = params.text("RootDeviceName");
    let mut devices = take_block_devices(params)?;
    let mut tags = take_tag_specifications(params, &["image"])?;
    refuse(
        params,
        "ImageLocation",
        "Images are of EBS snapshots, not of bundles in S3.",
    )?;
    let kernels = [params.text("KernelId"), params.text("RamdiskId")];
    let products = params.list("BillingProduct")?;
    params.finish()?;

    naming::check_name(context, world, &name)?;
    naming::check_description(description.as_deref())?;
    machine.check()?;
    if let Some(kernel) = kernels.iter().flatten().next() {
        return Err(access::not_found(&[kernel]));
    }
    if !products.is_empty() {
        return Err(
            ServiceError::new("AuthFailure", "Not authorized for billing products").status(403),
        );
    }
    let root_device_name =
        root_device_name.ok_or_else(|| ServiceError::missing_parameter("RootDeviceName"))?;
    devices.retain(|device| !device.no_device);
    for device in &mut devices {
        complete(context, world, device)?;
    }
    let has_root = devices
        .iter()
        .any(|device| device.device_name == root_device_name && device.snapshot_id.is_some());
    if !has_root {
        return Err(block_device::invalid(format!(
            "The block-device mappings must give the root device '{root_device_name}' a snapshot"
        )));
    }
    check_quota(context, world)?;

    let image = Image {
        id: new_id("ami"),
        owner: context.caller.account.clone(),
        region: context.region.clone(),
        name,
        created: context.now,
        architecture: machine.architecture,
        boot_mode: machine.boot_mode,
        root_device_name,
        imds_support: machine.imds_support,
        block_devices: devices,
        description,
        virtualization_type: machine.virtualization_type,
        ena_support: machine.ena_support,
        sriov_net_support: machine.sriov_net_support,
        tpm_support: machine.tpm_support,
        uefi_data: machine.uefi_data,
        origin: Origin::Snapshots,
        ready: context.shared.clock.after(REGISTERING),
        failure: None,
        disabled: false,
        deprecate_at: None,
        permissions: LaunchPermissions::default(),
        protection: Protection::default(),
        launches: Vec::new(),
    };
    let tags = tags.remove("image").unwrap_or_default();
    let (account, region) = (&context.caller.account, &context.region);
    world.tags.add(account, region, "image", &image.id, &tags)?;
    Ok(keep(world, image))
}

/// Puts a new image into the world, and answers with its id.
pub fn keep(world: &mut World, image: Image) -> Xml {
    let mut xml = Xml::new();
    xml.text("imageId", &image.id);
    world.ec2.images.insert(image.id.clone(), image);
    xml
}

/// Checks that the caller may have one more image in the call's Region.
///
/// # Errors
/// `ResourceLimitExceeded`.
pub fn check_quota(context: &Context, world: &World) -> Result<(), ServiceError> {
    let quota = context.shared.limits.quota("images");
    let images = world.ec2.images.values();
    let own = images
        .filter(|image| image.owner == context.caller.account && image.region == context.region);
    if own.count() as u64 >= quota {
        return Err(ServiceError::new(
            "ResourceLimitExceeded",
            format!(
                "You have reached your quota of {quota} for the number of images in this Region."
            ),
        ));
    }
    Ok(())
}

pub fn complete(
    context: &Context,
    world: &World,
    device: &mut BlockDevice,
) -> Result<(), ServiceError> {
    if !device.is_volume() {
        return Ok(());
    }
    if device.kms_key_id.is_some() {
        return Err(ServiceError::new(
            "InvalidParameter",
            "Parameter kmsKeyId is invalid. You cannot specify a key in the mappings of an image.",
        ));
    }
    let Some(id) = device.snapshot_id.clone() else {
        return device.complete(None);
    };
    if device.encrypted.is_some() {
        return Err(ServiceError::new(
            "InvalidParameter",
            "Parameter encrypted is invalid. You cannot specify the encrypted flag if specifying \
             a snapshot id in a block device mapping.",
        ));
    }
    let snapshot = snapshots::readable(context, world, &id)?;
    snapshots::completed(context, &snapshot)?;
    device.complete(Some(snapshot.size_gib))
}

fn take_machine(params: &mut Params) -> Result<Machine, ServiceError> {
    Ok(Machine {
        architecture: one_of(
            params,
            "Architecture",
            &["i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"],
        )?
        // EC2's defaults are as old as these.
        .unwrap_or_else(|| "i386".to_owned()),
        virtualization_type: one_of(params, "VirtualizationType", &["hvm", "paravirtual"])?
            .unwrap_or_else(|| "paravirtual".to_owned()),
        boot_mode: one_of(
            params,
            "BootMode",
            &["legacy-bios", "uefi", "uefi-preferred"],
        )?,
        ena_support: params.flag("EnaSupport")?.unwrap_or(false),
        sriov_net_support: one_of(params, "SriovNetSupport", &["simple"])?,
        imds_support: one_of(params, "ImdsSupport", &["v2.0"])?,
        tpm_support: one_of(params, "TpmSupport", &["v2.0"])?,
        uefi_data: params.text("UefiData"),
    })
}

/// A parameter that has one of a few values.
fn one_of(
    params: &mut Params,
    name: &str,
    values: &[&str],
) -> Result<Option<String>, ServiceError> {
    match params.text(name) {
        Some(value) if !values.contains(&value.as_str()) => Err(ServiceError::invalid_value(
            name,
            &value,
            format!("It must be one of {}.", values.join(", ")),
        )),
        value => Ok(value),
    }
}

impl Machine {
    /// What goes together; "Amazon EC2 instance launch behavior with boot modes" and "NitroTPM" of
    /// the user guide.
    fn check(&self) -> Result<(), ServiceError> {
        let boot_mode = self.boot_mode.as_deref();
        let is_uefi = matches!(boot_mode, Some("uefi" | "uefi-preferred"));
        let is_hvm = self.virtualization_type == "hvm";
        let wrong = match self.architecture.as_str() {
            "arm64" if !is_hvm => "An arm64 image must have the virtualization type hvm.",
            "arm64" if !matches!(boot_mode, None | Some("uefi")) => {
                "An arm64 image must have the boot mode uefi."
            }
            "i386" if is_uefi => "An i386 image boots in the mode legacy-bios only.",
            _ if !is_hvm && is_uefi => "UEFI needs the virtualization type hvm.",
            _ if !is_hvm && (self.ena_support || self.sriov_net_support.is_some()) => {
                "Enhanced networking needs the virtualization type hvm."
            }
            _ if self.tpm_support.is_some() && boot_mode != Some("uefi") => {
                "TpmSupport needs the boot mode uefi."
            }
            _ if self.uefi_data.is_some() && !is_uefi => {
                "UefiData needs the boot mode uefi or uefi-preferred."
            }
            _ => return self.check_uefi_data(),
        };
        Err(ServiceError::invalid_combination(wrong))
    }

    fn check_uefi_data(&self) -> Result<(), ServiceError> {
        let Some(data) = &self.uefi_data else {
            return Ok(());
        };
        if data.len() > MOST_UEFI_DATA || BASE64_STANDARD.decode(data).is_err() {
            return Err(ServiceError::new(
                "InvalidParameterValue",
                format!("UefiData must be Base64 of at most {MOST_UEFI_DATA} characters"),
            ));
        }
        Ok(())
    }
}
