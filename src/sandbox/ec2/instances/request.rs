//! What a call of RunInstances asks for, parameter by parameter.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{ShutdownBehavior, metadata_options, refused, role};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::images::{self, BlockDevice};
use crate::sandbox::ec2::templates;
use crate::sandbox::error::ServiceError;
use crate::sandbox::tag;
use crate::sandbox::wire::query::Params;
use crate::sandbox::world::World;

/// A launch, as it was asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub client_token: Option<String>,
    /// Of all parameters besides the token.
    pub fingerprint: String,
    pub image_id: String,
    pub instance_type: String,
    pub least: u32,
    pub most: u32,
    pub devices: Vec<BlockDevice>,
    pub user_data: Option<String>,
    pub metadata: metadata_options::Wanted,
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
    pub shutdown_behavior: ShutdownBehavior,
    pub disable_api_termination: bool,
    pub disable_api_stop: bool,
    pub key_name: Option<String>,
    /// The name of the instance profile, and of its role.
    pub role: Option<String>,
    pub network: Network,
    pub zone: Option<String>,
    pub zone_id: Option<String>,
    pub ebs_optimized: bool,
    pub monitoring: bool,
    /// Cores and threads of each.
    pub cores: (Option<u32>, Option<u32>),
    pub cpu_credits: bool,
    pub auto_recovery: bool,
}

/// The network interface, as it was asked for: its own parameters or those of the call.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    pub subnet_id: Option<String>,
    pub group_ids: Vec<String>,
    pub group_names: Vec<String>,
    pub description: String,
    pub delete_on_termination: Option<bool>,
}

/// Parameters that name things that the sandbox does not have at all.
const ABSENT: &[(&str, &str)] = &[
    ("KernelId", "kernels for paravirtual instances"),
    ("RamdiskId", "RAM disks for paravirtual instances"),
    ("AdditionalInfo", "AdditionalInfo, which is reserved"),
    ("ElasticGpuSpecification", "elastic graphics accelerators"),
    (
        "ElasticInferenceAccelerator",
        "elastic inference accelerators",
    ),
    ("LicenseSpecification", "license configurations"),
    ("Operator", "managed instances"),
    ("SecondaryInterface", "secondary interfaces"),
    ("Ipv6Address", "IPv6"),
    ("Ipv6AddressCount", "IPv6"),
    ("PrivateIpAddress", "private addresses of one's choice"),
];

impl Request {
    /// Takes every parameter of RunInstances.
    pub fn take(
        context: &Context,
        world: &World,
        params: &mut Params,
    ) -> Result<Request, ServiceError> {
        let client_token = params.text("ClientToken").filter(|token| !token.is_empty());
        if let Some(token) = client_token
            .as_deref()
            .filter(|token| token.len() > 64 || !token.is_ascii())
        {
            return Err(ServiceError::invalid_value(
                "clientToken",
                token,
                "It has at most 64 ASCII characters.",
            ));
        }
        let fingerprint = params.fingerprint();
        templates::lay_under(context, world, params)?;
        for (name, what) in ABSENT {
            if params.discard(name) {
                return Err(refused(what));
            }
        }
        let (least, most) = take_counts(params)?;
        let (zone, zone_id) = take_placement(params)?.unwrap_or_default();
        take_what_changes_nothing(params)?;
        let request = Request {
            client_token,
            fingerprint,
            image_id: params.required("ImageId")?,
            instance_type: params
                .text("InstanceType")
                .unwrap_or_else(|| "m1.small".to_owned()),
            least,
            most,
            devices: images::take_block_devices(params)?,
            user_data: take_user_data(context, params)?,
            metadata: params
                .structure("MetadataOptions", metadata_options::Wanted::take)?
                .unwrap_or_default(),
            tags: tag::take_tag_specifications(
                params,
                &["instance", "volume", "network-interface"],
            )?,
            shutdown_behavior: match params.text("InstanceInitiatedShutdownBehavior") {
                Some(text) => ShutdownBehavior::parse(&text)?,
                None => ShutdownBehavior::Stop,
            },
            disable_api_termination: params.flag("DisableApiTermination")?.unwrap_or(false),
            disable_api_stop: params.flag("DisableApiStop")?.unwrap_or(false),
            key_name: params.text("KeyName"),
            role: role::take(&context.caller.account, params)?,
            network: take_network(params)?,
            zone,
            zone_id,
            ebs_optimized: params.flag("EbsOptimized")?.unwrap_or(false),
            monitoring: take_monitoring(params)?,
            cores: take_cpu_options(params)?,
            cpu_credits: take_cpu_credits(params)?,
            auto_recovery: take_auto_recovery(params)?,
        };
        params.finish()?;
        Ok(request)
    }
}

fn take_counts(params: &mut Params) -> Result<(u32, u32), ServiceError> {
    let mut take = |name: &str| {
        let count = params
            .number::<u32>(name)?
            .ok_or_else(|| ServiceError::missing_parameter(name))?;
        if count == 0 {
            return Err(ServiceError::invalid_value(
                name,
                "0",
                "Expecting a value of at least 1.",
            ));
        }
        Ok(count)
    };
    let least = take("MinCount")?;
    let most = take("MaxCount")?;
    if least > most {
        return Err(ServiceError::invalid_value(
            "minCount",
            &least.to_string(),
            format!("It must not be greater than maxCount ({most})."),
        ));
    }
    Ok((least, most))
}

/// Checks user data as it is sent: base64 of at most 16 KB.
pub(super) fn check_user_data(context: &Context, text: &str) -> Result<(), ServiceError> {
    let data = BASE64_STANDARD.decode(text).map_err(|_| {
        ServiceError::new(
            "InvalidUserData.Malformed",
            "Invalid BASE64 encoding of user data.",
        )
    })?;
    let most = context.shared.limits.quota("user-data-bytes");
    if data.len() as u64 > most {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!("User data is limited to {most} bytes"),
        ));
    }
    Ok(())
}

fn take_user_data(context: &Context, params: &mut Params) -> Result<Option<String>, ServiceError> {
    let Some(text) = params.text("UserData").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    check_user_data(context, &text)?;
    Ok(Some(text))
}

type Zone = (Option<String>, Option<String>);

fn take_placement(params: &mut Params) -> Result<Option<Zone>, ServiceError> {
    params.structure("Placement", |placement| {
        for name in [
            "Affinity",
            "GroupName",
            "GroupId",
            "PartitionNumber",
            "HostId",
            "HostResourceGroupArn",
            "SpreadDomain",
        ] {
            if placement.discard(name) {
                return Err(refused(&format!(
                    "placement groups and dedicated hosts (Placement.{name})"
                )));
            }
        }
        match placement.text("Tenancy").as_deref() {
            None | Some("default") => {}
            Some("dedicated" | "host") => return Err(refused("dedicated tenancy")),
            Some(other) => {
                return Err(ServiceError::invalid_value(
                    "tenancy",
                    other,
                    "It must be default, dedicated or host.",
                ));
            }
        }
        Ok((
            placement.text("AvailabilityZone"),
            placement.text("AvailabilityZoneId"),
        ))
    })
}

fn take_monitoring(params: &mut Params) -> Result<bool, ServiceError> {
    let monitoring = params.structure("Monitoring", |monitoring| {
        if monitoring.discard("MetricCategoryId") {
            return Err(refused("metrics (Monitoring.MetricCategoryId)"));
        }
        monitoring
            .flag("Enabled")?
            .ok_or_else(|| ServiceError::missing_parameter("Monitoring.Enabled"))
    })?;
    Ok(monitoring.unwrap_or(false))
}

fn take_cpu_options(params: &mut Params) -> Result<(Option<u32>, Option<u32>), ServiceError> {
    let options = params.structure("CpuOptions", |options| {
        for name in ["AmdSevSnp", "NestedVirtualization"] {
            if options.text(name).is_some_and(|text| text != "disabled") {
                return Err(refused(&format!("CpuOptions.{name}")));
            }
        }
        Ok((
            options.number("CoreCount")?,
            options.number("ThreadsPerCore")?,
        ))
    })?;
    Ok(options.unwrap_or_default())
}

/// Whether credits are asked for, which only some types have; they cost, and do nothing else.
fn take_cpu_credits(params: &mut Params) -> Result<bool, ServiceError> {
    let credits = params.structure("CreditSpecification", |credits| {
        let kind = credits.required("CpuCredits")?;
        if matches!(kind.as_str(), "standard" | "unlimited") {
            return Ok(());
        }
        Err(ServiceError::invalid_value(
            "CpuCredits",
            &kind,
            "It must be standard or unlimited.",
        ))
    })?;
    Ok(credits.is_some())
}

fn take_auto_recovery(params: &mut Params) -> Result<bool, ServiceError> {
    let recovery = params.structure("MaintenanceOptions", |options| {
        match options.text("AutoRecovery").as_deref() {
            None | Some("default") => Ok(true),
            Some("disabled") => Ok(false),
            Some(other) => Err(ServiceError::invalid_value(
                "AutoRecovery",
                other,
                "It must be default or disabled.",
            )),
        }
    })?;
    Ok(recovery.unwrap_or(true))
}

/// Options that are accepted where they ask for what every instance here has anyway.
fn take_what_changes_nothing(params: &mut Params) -> Result<(), ServiceError> {
    for (structure, name, fine) in [
        ("HibernationOptions", "Configured", &["false"][..]),
        ("EnclaveOptions", "Enabled", &["false"]),
        (
            "CapacityReservationSpecification",
            "CapacityReservationPreference",
            &["open", "none"],
        ),
        (
            "NetworkPerformanceOptions",
            "BandwidthWeighting",
            &["default"],
        ),
        ("InstanceMarketOptions", "MarketType", &["on-demand"]),
    ] {
        params.structure(structure, |options| {
            let value = options.text(name).unwrap_or_default();
            if fine.contains(&value.to_ascii_lowercase().as_str()) {
                return Ok(());
            }
            Err(refused(&format!("{structure}.{name}={value}")))
        })?;
    }
    params.structure("PrivateDnsNameOptions", |options| {
        let named = options.text("HostnameType");
        if named.is_some_and(|kind| kind != "ip-name") {
            return Err(refused("names of instances other than ip-name"));
        }
        for name in [
            "EnableResourceNameDnsARecord",
            "EnableResourceNameDnsAAAARecord",
        ] {
            if options.flag(name)? == Some(true) {
                return Err(refused(&format!("PrivateDnsNameOptions.{name}")));
            }
        }
        Ok(())
    })?;
    if params.flag("EnablePrimaryIpv6")? == Some(true) {
        return Err(refused("IPv6 (EnablePrimaryIpv6)"));
    }
    Ok(())
}

fn take_network(params: &mut Params) -> Result<Network, ServiceError> {
    let call = Network {
        subnet_id: params.text("SubnetId"),
        group_ids: params.list("SecurityGroupId")?,
        group_names: params.list("SecurityGroup")?,
        ..Network::default()
    };
    let mut interfaces = params.structures("NetworkInterface", take_interface)?;
    match interfaces.len() {
        0 => Ok(call),
        1 => {
            if call.subnet_id.is_some()
                || !call.group_ids.is_empty()
                || !call.group_names.is_empty()
            {
                return Err(ServiceError::invalid_combination(
                    "Network interfaces and an instance-level subnet ID or security groups may \
                     not be specified on the same request",
                ));
            }
            Ok(interfaces.remove(0))
        }
        _ => Err(refused("instances with several network interfaces")),
    }
}

fn take_interface(interface: &mut Params) -> Result<Network, ServiceError> {
    for name in [
        "NetworkInterfaceId",
        "PrivateIpAddress",
        "PrivateIpAddresses",
        "SecondaryPrivateIpAddressCount",
        "Ipv6AddressCount",
        "Ipv6Addresses",
        "Ipv4Prefix",
        "Ipv4PrefixCount",
        "Ipv6Prefix",
        "Ipv6PrefixCount",
        "EnaSrdSpecification",
        "ConnectionTrackingSpecification",
        "EnaQueueCount",
    ] {
        if interface.discard(name) {
            return Err(refused(&format!("NetworkInterface.N.{name}")));
        }
    }
    for name in ["AssociateCarrierIpAddress", "PrimaryIpv6"] {
        if interface.flag(name)? == Some(true) {
            return Err(refused(&format!("NetworkInterface.N.{name}")));
        }
    }
    for name in ["DeviceIndex", "NetworkCardIndex"] {
        match interface.number::<u32>(name)? {
            Some(0) => {}
            None if name == "NetworkCardIndex" => {}
            _ => {
                return Err(ServiceError::new(
                    "InvalidParameterValue",
                    format!("An instance's only network interface must have {name} 0"),
                ));
            }
        }
    }
    if interface
        .text("InterfaceType")
        .is_some_and(|kind| kind != "interface")
    {
        return Err(refused("network interfaces of other types"));
    }
    // It decides whether the Internet is reached, which no instance of the sandbox does.
    interface.flag("AssociatePublicIpAddress")?;
    Ok(Network {
        subnet_id: interface.text("SubnetId"),
        group_ids: interface.list("SecurityGroupId")?,
        group_names: Vec::new(),
        description: interface.text("Description").unwrap_or_default(),
        delete_on_termination: interface.flag("DeleteOnTermination")?,
    })
}
