//! Security groups.

use serde::{Deserialize, Serialize};

use super::default_network::{default_vpc, given_id};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::world::World;

/// Most groups of an instance's network interface.
const MOST_GROUPS_OF_AN_INTERFACE: usize = 5;

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// `sg-…`.
    pub id: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// `vpc-…`.
    pub vpc_id: String,
    /// Unique in its VPC.
    pub name: String,
    /// What its owner says of it.
    pub description: String,
    /// What it lets through.
    pub rules: Vec<Rule>,
}

impl SecurityGroup {
    /// Its ARN.
    pub fn arn(&self) -> String {
        format!(
            "arn:aws:ec2:{}:{}:security-group/{}",
            self.region, self.owner, self.id
        )
    }
}

/// A rule of a security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// `sgr-…`.
    pub id: String,
    /// Whether it is about what goes out.
    pub egress: bool,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, a number, or `-1` for all.
    pub protocol: String,
    /// First port, or type of ICMP; none where the protocol has no ports.
    pub from: Option<i32>,
    /// Last port, or code of ICMP.
    pub to: Option<i32>,
    /// Who is on the other side.
    pub target: Target,
    /// What its owner says of it.
    pub description: Option<String>,
}

/// Who is on the other side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Addresses, such as `10.0.0.0/8`.
    Ipv4(String),
    /// Addresses, such as `2001:db8::/32`.
    Ipv6(String),
    /// Members of a group of the same account.
    Group(String),
}

/// The groups of an account in a Region: its default group first, then the others by id.
pub fn security_groups(world: &World, account: &AccountId, region: &Region) -> Vec<SecurityGroup> {
    let default = default_group(world, account, region);
    let others = world
        .ec2
        .network
        .groups
        .values()
        .filter(|group| {
            group.owner == *account && group.region == *region && group.id != default.id
        })
        .cloned();
    std::iter::once(default.clone()).chain(others).collect()
}

/// A group of an account, by its id.
///
/// # Errors
/// `InvalidGroupId.Malformed`, `InvalidGroup.NotFound`.
pub fn security_group(
    world: &World,
    account: &AccountId,
    region: &Region,
    id: &str,
) -> Result<SecurityGroup, ServiceError> {
    if !id.starts_with("sg-") {
        return Err(ServiceError::new(
            "InvalidGroupId.Malformed",
            format!("Invalid id: \"{id}\" (expecting \"sg-...\")"),
        ));
    }
    security_groups(world, account, region)
        .into_iter()
        .find(|group| group.id == id)
        .ok_or_else(|| {
            ServiceError::new(
                "InvalidGroup.NotFound",
                format!("The security group '{id}' does not exist"),
            )
        })
}

/// Ids and names of the groups that an instance is to have; the default group where it names none.
///
/// # Errors
/// A group does not exist or is named twice, or there are too many.
pub fn check_security_groups(
    world: &World,
    account: &AccountId,
    region: &Region,
    ids: &[String],
    names: &[String],
) -> Result<Vec<(String, String)>, ServiceError> {
    let mut found: Vec<(String, String)> = Vec::new();
    for id in ids {
        let group = security_group(world, account, region, id)?;
        found.push((group.id, group.name));
    }
    for name in names {
        let group = named(world, account, region, name)?;
        found.push((group.id, group.name));
    }
    if found.is_empty() {
        let group = default_group(world, account, region);
        found.push((group.id, group.name));
    }
    if let Some((id, _)) = found
        .iter()
        .enumerate()
        .find_map(|(at, group)| found[..at].contains(group).then_some(group))
    {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!("The security group '{id}' is given more than once"),
        ));
    }
    if found.len() > MOST_GROUPS_OF_AN_INTERFACE {
        return Err(ServiceError::new(
            "SecurityGroupsPerInterfaceLimitExceeded",
            format!(
                "The maximum number of security groups per interface has been reached: \
                 {MOST_GROUPS_OF_AN_INTERFACE}."
            ),
        ));
    }
    Ok(found)
}

/// A group of the default VPC by its name.
pub(super) fn named(
    world: &World,
    account: &AccountId,
    region: &Region,
    name: &str,
) -> Result<SecurityGroup, ServiceError> {
    security_groups(world, account, region)
        .into_iter()
        .find(|group| group.name == name)
        .ok_or_else(|| {
            ServiceError::new(
                "InvalidGroup.NotFound",
                format!("The security group '{name}' does not exist in default VPC"),
            )
        })
}

/// The group `default` of the default VPC: as it was changed, or as every account has it.
pub(super) fn default_group(world: &World, account: &AccountId, region: &Region) -> SecurityGroup {
    let id = given_id("sg", account, region, "default");
    if let Some(changed) = world.ec2.network.groups.get(&id) {
        return changed.clone();
    }
    let rule = |egress: bool, target| Rule {
        id: given_id("sgr", account, region, if egress { "out" } else { "in" }),
        egress,
        protocol: "-1".to_owned(),
        from: None,
        to: None,
        target,
        description: None,
    };
    SecurityGroup {
        rules: vec![
            rule(false, Target::Group(id.clone())),
            rule(true, Target::Ipv4("0.0.0.0/0".to_owned())),
        ],
        id,
        owner: account.clone(),
        region: region.clone(),
        vpc_id: default_vpc(account, region),
        name: "default".to_owned(),
        description: "default VPC security group".to_owned(),
    }
}
