//! A version's parameters, as they were sent: `BlockDeviceMapping.1.Ebs.VolumeSize` and its text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;

/// The members of RequestLaunchTemplateData. What is in them is looked at by a launch.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RequestLaunchTemplateData.html>
const MEMBERS: &[&str] = &[
    "BlockDeviceMapping",
    "CapacityReservationSpecification",
    "CpuOptions",
    "CreditSpecification",
    "DisableApiStop",
    "DisableApiTermination",
    "EbsOptimized",
    "ElasticGpuSpecification",
    "ElasticInferenceAccelerator",
    "EnclaveOptions",
    "HibernationOptions",
    "IamInstanceProfile",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "InstanceMarketOptions",
    "InstanceRequirements",
    "InstanceType",
    "KernelId",
    "KeyName",
    "LicenseSpecification",
    "MaintenanceOptions",
    "MetadataOptions",
    "Monitoring",
    "NetworkInterface",
    "NetworkPerformanceOptions",
    "Operator",
    "Placement",
    "PrivateDnsNameOptions",
    "RamDiskId",
    "SecondaryInterface",
    "SecurityGroup",
    "SecurityGroupId",
    "TagSpecification",
    "UserData",
];

/// Parameters by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Data(pub(super) BTreeMap<String, String>);

impl Data {
    /// Takes `LaunchTemplateData`.
    ///
    /// # Errors
    /// It is not there, or has members that EC2 does not know.
    pub(super) fn take(params: &mut Params) -> Result<Data, ServiceError> {
        let data = params.structure("LaunchTemplateData", |data| {
            let leaves = data.leaves();
            for name in MEMBERS {
                data.discard(name);
            }
            Ok(Data(leaves))
        })?;
        data.filter(|data| !data.0.is_empty())
            .ok_or_else(|| ServiceError::missing_parameter("LaunchTemplateData"))
    }

    /// These, and of the others the members that these do not have.
    pub(super) fn over(mut self, others: &Data) -> Data {
        let own: Vec<String> = self.members().map(str::to_owned).collect();
        for (name, value) in &others.0 {
            if !own.iter().any(|member| member == first(name)) {
                self.0.insert(name.clone(), value.clone());
            }
        }
        self
    }

    /// The image.
    pub fn image(&self) -> Option<&str> {
        self.get("ImageId")
    }

    /// A parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn members(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| first(name))
    }

    /// Writes them as EC2 shows them.
    pub(super) fn write(&self, xml: &mut Xml) {
        let leaves: Vec<(&str, &str)> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        write_members("", &leaves, xml);
    }
}

/// The first part of a parameter's name.
pub(super) fn first(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// Writes what is below `parent`: the members of a structure. Leaves of one member stand together,
/// since they are in the order of their names.
fn write_members(parent: &str, leaves: &[(&str, &str)], xml: &mut Xml) {
    for member in leaves.chunk_by(|one, other| first(one.0) == first(other.0)) {
        let name = first(member[0].0);
        if let [(whole, value)] = member
            && *whole == name
        {
            xml.text(&lower(name), value);
            continue;
        }
        let below = below(member);
        let is_list = below
            .iter()
            .all(|(name, _)| first(name).parse::<u32>().is_ok());
        if !is_list {
            xml.node(&lower(name), |xml| write_members(name, &below, xml));
            continue;
        }
        xml.node(&list_name(parent, name), |xml| {
            for item in below.chunk_by(|one, other| first(one.0) == first(other.0)) {
                match item {
                    [(number, value)] if !number.contains('.') => {
                        xml.text("item", value);
                    }
                    item => {
                        let item = self::below(item);
                        xml.node("item", |xml| write_members(name, &item, xml));
                    }
                }
            }
        });
    }
}

/// The names without their first parts.
fn below<'a>(leaves: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let rest = |(name, value): &(&'a str, &'a str)| {
        let rest = name.split_once('.').map_or("", |(_, rest)| rest);
        (rest, *value)
    };
    leaves.iter().map(rest).collect()
}

fn list_name(parent: &str, name: &str) -> String {
    match (parent, name) {
        ("NetworkInterface", "SecurityGroupId") => "groupSet".to_owned(),
        (_, "LicenseSpecification") => "licenseSet".to_owned(),
        (_, "Ipv6Addresses") => "ipv6AddressesSet".to_owned(),
        (_, name) => format!("{}Set", lower(name)),
    }
}

fn lower(name: &str) -> String {
    let mut chars = name.chars();
    let head = chars.next().map(|char| char.to_ascii_lowercase());
    head.into_iter().chain(chars).collect()
}
