//! Permissions as calls give them, taken apart into rules.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::default_network::default_vpc;
use super::groups::{Rule, Target, named, security_group};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::query::Params;
use crate::sandbox::world::World;

/// Longest description of a rule.
const LONGEST_DESCRIPTION: usize = 255;

/// Characters of names and descriptions besides letters, digits and the space.
pub(super) const PUNCTUATION: &str = "._-:/()#,@[]+=&;{}!$*";

/// A rule that is asked for, of whatever group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) protocol: String,
    pub(super) from: Option<i32>,
    pub(super) to: Option<i32>,
    pub(super) target: Target,
    pub(super) description: Option<String>,
}

impl Wanted {
    /// Whether a rule is this one; descriptions do not matter.
    pub(super) fn is(&self, rule: &Rule) -> bool {
        self.is_like(&Wanted {
            protocol: rule.protocol.clone(),
            from: rule.from,
            to: rule.to,
            target: rule.target.clone(),
            description: None,
        })
    }

    /// Whether both mean the same.
    pub(super) fn is_like(&self, other: &Wanted) -> bool {
        (&self.protocol, self.from, self.to, &self.target)
            == (&other.protocol, other.from, other.to, &other.target)
    }

    /// As messages name it.
    pub(super) fn text(&self) -> String {
        let peer = match &self.target {
            Target::Ipv4(peer) | Target::Ipv6(peer) | Target::Group(peer) => peer,
        };
        let protocol = match self.protocol.as_str() {
            "-1" => "ALL".to_owned(),
            other => other.to_ascii_uppercase(),
        };
        let ports = match (self.from, self.to) {
            (Some(from), Some(to)) => format!(", from port: {from}, to port: {to}"),
            _ => String::new(),
        };
        format!("peer: {peer}, {protocol}{ports}, ALLOW")
    }
}

/// Reads one of `IpPermissions.N`.
pub(super) fn take(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Vec<Wanted>, ServiceError> {
    let protocol = params.required("IpProtocol")?;
    let from = params.number("FromPort")?;
    let to = params.number("ToPort")?;
    let mut targets = params.structures("IpRanges", |range| {
        let cidr = range.required("CidrIp")?;
        Ok((Target::Ipv4(ipv4(&cidr)?), take_description(range)?))
    })?;
    targets.extend(params.structures("Ipv6Ranges", |range| {
        let cidr = range.required("CidrIpv6")?;
        Ok((Target::Ipv6(ipv6(&cidr)?), take_description(range)?))
    })?);
    targets.extend(params.structures("Groups", |pair| {
        let id = take_group(context, world, pair)?;
        Ok((Target::Group(id), take_description(pair)?))
    })?);
    params.structures("PrefixListIds", |list| {
        let id = list.required("PrefixListId")?;
        take_description(list)?;
        Err::<(), _>(ServiceError::new(
            "InvalidPrefixListID.NotFound",
            format!("The prefix list ID '{id}' does not exist"),
        ))
    })?;
    wanted(&protocol, from, to, targets)
}

/// Reads `IpProtocol`, `FromPort`, `ToPort` and `CidrIp`, or `SourceSecurityGroupName`, which
/// stands for every protocol.
pub(super) fn take_flat(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Vec<Wanted>, ServiceError> {
    let protocol = params.text("IpProtocol");
    let from = params.number("FromPort")?;
    let to = params.number("ToPort")?;
    let cidr = params.text("CidrIp");
    let group = params.text("SourceSecurityGroupName");
    let owner = params.text("SourceSecurityGroupOwnerId");
    if let Some(owner) = owner
        && (group.is_none() || owner != context.caller.account.as_str())
    {
        return Err(foreign_network());
    }
    match (protocol, cidr, group) {
        (None, None, None) if from.is_none() && to.is_none() => Ok(Vec::new()),
        (None, None, Some(group)) if from.is_none() && to.is_none() => {
            let group = named(world, &context.caller.account, &context.region, &group)?;
            let target = || vec![(Target::Group(group.id.clone()), None)];
            Ok([
                wanted("tcp", Some(0), Some(65535), target())?,
                wanted("udp", Some(0), Some(65535), target())?,
                wanted("icmp", Some(-1), Some(-1), target())?,
            ]
            .concat())
        }
        (_, _, Some(_)) => Err(ServiceError::invalid_combination(
            "The parameter 'sourceSecurityGroupName' may not be used in combination with \
             'cidrIp', 'ipProtocol', 'fromPort' or 'toPort'",
        )),
        (Some(protocol), Some(cidr), None) => {
            let target = Target::Ipv4(ipv4(&cidr)?);
            wanted(&protocol, from, to, vec![(target, None)])
        }
        (None, _, None) => Err(ServiceError::missing_parameter("ipProtocol")),
        (Some(_), None, None) => Err(ServiceError::missing_parameter("cidrIp")),
    }
}

fn wanted(
    protocol: &str,
    from: Option<i32>,
    to: Option<i32>,
    targets: Vec<(Target, Option<String>)>,
) -> Result<Vec<Wanted>, ServiceError> {
    if targets.is_empty() {
        return Err(ServiceError::missing_parameter("ipRanges"));
    }
    let protocol = check_protocol(protocol)?;
    let (from, to) = check_ports(&protocol, from, to)?;
    Ok(targets
        .into_iter()
        .map(|(target, description)| Wanted {
            protocol: protocol.clone(),
            from,
            to,
            target,
            description,
        })
        .collect())
}

/// A protocol as EC2 writes it.
fn check_protocol(text: &str) -> Result<String, ServiceError> {
    let text = text.to_ascii_lowercase();
    Ok(match text.as_str() {
        "6" => "tcp",
        "17" => "udp",
        "1" => "icmp",
        "58" => "icmpv6",
        "tcp" | "udp" | "icmp" | "icmpv6" | "-1" => &text,
        "all" => "-1",
        number if number.parse::<u8>().is_ok() => number,
        _ => {
            return Err(ServiceError::new(
                "InvalidParameterValue",
                format!("Invalid value '{text}' for IP protocol. Unknown protocol."),
            ));
        }
    }
    .to_owned())
}

fn check_ports(
    protocol: &str,
    from: Option<i32>,
    to: Option<i32>,
) -> Result<(Option<i32>, Option<i32>), ServiceError> {
    let invalid = |message: String| Err(ServiceError::new("InvalidParameterValue", message));
    match (protocol, from, to) {
        ("tcp" | "udp", Some(from), Some(to)) => {
            if let Some(port) = [from, to]
                .into_iter()
                .find(|port| !(0..=65535).contains(port))
            {
                return invalid(format!("TCP/UDP port ({port}) out of range"));
            }
            if from > to {
                return invalid(format!("Invalid TCP/UDP port range ({from}:{to})"));
            }
            Ok((Some(from), Some(to)))
        }
        ("tcp" | "udp", _, _) => invalid(
            "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."
                .to_owned(),
        ),
        ("icmpv6", None, None) => Ok((Some(-1), Some(-1))),
        ("icmp" | "icmpv6", Some(kind), Some(code)) => {
            let in_range = |number: i32| (-1..=255).contains(&number);
            if !in_range(kind) || !in_range(code) || (kind == -1 && code != -1) {
                return invalid(format!("ICMP type ({kind}) or code ({code}) out of range"));
            }
            Ok((Some(kind), Some(code)))
        }
        ("icmp" | "icmpv6", _, _) => invalid(
            "Invalid value 'Must specify both ICMP type and code.' for portRange.".to_owned(),
        ),
        // All ports, whatever was given.
        _ => Ok((None, None)),
    }
}

/// The id of the group that a pair names.
fn take_group(context: &Context, world: &World, pair: &mut Params) -> Result<String, ServiceError> {
    let account = &context.caller.account;
    let region = &context.region;
    let id = pair.text("GroupId");
    let name = pair.text("GroupName");
    let vpc = pair.text("VpcId");
    let is_foreign = pair
        .text("UserId")
        .is_some_and(|user| user != account.as_str())
        || vpc.is_some_and(|vpc| vpc != default_vpc(account, region));
    if let Some(id) = pair.text("VpcPeeringConnectionId") {
        return Err(ServiceError::new(
            "InvalidVpcPeeringConnectionID.NotFound",
            format!("The vpcPeeringConnection ID '{id}' does not exist"),
        ));
    }
    if pair.text("PeeringStatus").is_some() {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            "The peering status is AWS's to give",
        ));
    }
    if is_foreign {
        return Err(foreign_network());
    }
    let group = match (id, name) {
        (Some(_), Some(_)) => {
            return Err(ServiceError::invalid_combination(
                "The parameter 'groupName' may not be used in combination with 'groupId'",
            ));
        }
        (Some(id), None) => security_group(world, account, region, &id)?,
        (None, Some(name)) => named(world, account, region, &name)?,
        (None, None) => return Err(ServiceError::missing_parameter(&pair.full("GroupId"))),
    };
    Ok(group.id)
}

/// There is no peering between networks of the sandbox.
fn foreign_network() -> ServiceError {
    ServiceError::new(
        "InvalidGroup.NotFound",
        "You have specified two resources that belong to different networks.",
    )
}

fn take_description(params: &mut Params) -> Result<Option<String>, ServiceError> {
    let Some(text) = params.text("Description").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.chars().count() > LONGEST_DESCRIPTION || !is_plain(&text) {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!(
                "Invalid rule description. Valid descriptions are strings less than 256 \
                 characters from the following set:  a-zA-Z0-9. {PUNCTUATION}"
            ),
        ));
    }
    Ok(Some(text))
}

/// Whether a text has only characters that names and descriptions may have.
pub(super) fn is_plain(text: &str) -> bool {
    text.chars()
        .all(|char| char.is_ascii_alphanumeric() || char == ' ' || PUNCTUATION.contains(char))
}

fn malformed(cidr: &str) -> ServiceError {
    ServiceError::new(
        "InvalidParameterValue",
        format!("CIDR block {cidr} is malformed"),
    )
}

/// A range of IPv4 with the bits after its prefix cleared, as AWS keeps it.
fn ipv4(cidr: &str) -> Result<String, ServiceError> {
    let parse = || {
        let (address, length) = cidr.split_once('/')?;
        let address: Ipv4Addr = address.parse().ok()?;
        let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        Some((Ipv4Addr::from_bits(address.to_bits() & mask), length))
    };
    let (address, length) = parse().ok_or_else(|| malformed(cidr))?;
    Ok(format!("{address}/{length}"))
}

/// A range of IPv6 with the bits after its prefix cleared.
fn ipv6(cidr: &str) -> Result<String, ServiceError> {
    let parse = || {
        let (address, length) = cidr.split_once('/')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let length: u32 = length.parse().ok().filter(|length| *length <= 128)?;
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Some((Ipv6Addr::from_bits(address.to_bits() & mask), length))
    };
    let (address, length) = parse().ok_or_else(|| malformed(cidr))?;
    Ok(format!("{address}/{length}"))
}
