//! Which resource an id means, and whether the caller can see it.

use crate::sandbox::context::Context;
use crate::sandbox::ec2::{images, instances, network, snapshots, templates, usage};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::world::World;

/// EC2's name for the type of a resource that the caller can see.
///
/// # Errors
/// `InvalidID` for what is no id, or one of no known type, and the type's own code for an id that
/// means nothing to the caller.
pub(super) fn kind_of(
    context: &Context,
    world: &World,
    id: &str,
) -> Result<&'static str, ServiceError> {
    let prefix = prefix(id).ok_or_else(|| invalid(id))?;
    let account = &context.caller.account;
    let region = &context.region;
    let is_own = |owner: &AccountId, place: &Region| owner == account && place == region;
    let (kind, code, known) = match prefix {
        "ami" => {
            images::find(context, world, region, id)?;
            return Ok("image");
        }
        "snap" => {
            snapshots::readable(context, world, id)?;
            return Ok("snapshot");
        }
        "i" => {
            instances::find(context, world, id)?;
            return Ok("instance");
        }
        "rtb" => {
            network::route_table(world, account, region, id)?;
            return Ok("route-table");
        }
        "sg" => {
            network::security_group(world, account, region, id)?;
            return Ok("security-group");
        }
        "eni" => {
            let mut instances = world.ec2.instances.values();
            let known = instances.any(|instance| {
                instance.interface.id == id && instances::find(context, world, &instance.id).is_ok()
            });
            ("network-interface", "InvalidNetworkInterfaceID", known)
        }
        "vol" => {
            let volume = world.ec2.volumes.get(id);
            let own = volume.is_some_and(|volume| is_own(&volume.owner, &volume.region));
            ("volume", "InvalidVolume", own)
        }
        "sgr" => {
            let groups = network::security_groups(world, account, region);
            let mut rules = groups.iter().flat_map(|group| &group.rules);
            let known = rules.any(|rule| rule.id == id);
            ("security-group-rule", "InvalidSecurityGroupRuleId", known)
        }
        "key" => {
            let key = world.ec2.network.keys.get(id);
            let own = key.is_some_and(|key| is_own(&key.owner, &key.region));
            ("key-pair", "InvalidKeyPair", own)
        }
        "lt" => {
            let known = templates::own(context, world).any(|template| template.id == id);
            ("launch-template", "InvalidLaunchTemplateId", known)
        }
        "amiur" => {
            let known = usage::own(context, world).any(|report| report.id == id);
            ("image-usage-report", "InvalidImageUsageReportId", known)
        }
        "vpc" => {
            let known = network::default_vpc(account, region) == id;
            ("vpc", "InvalidVpcID", known)
        }
        "subnet" => {
            let known = network::subnet(account, region, id).is_ok();
            ("subnet", "InvalidSubnetID", known)
        }
        "igw" => {
            let known = network::internet_gateway(account, region) == id;
            ("internet-gateway", "InvalidInternetGatewayID", known)
        }
        _ => return Err(invalid(id)),
    };
    if known {
        return Ok(kind);
    }
    Err(ServiceError::new(
        format!("{code}.NotFound"),
        format!("The {} ID '{id}' does not exist", kind.replace('-', " ")),
    ))
}

/// What stands before the digits of an id.
fn prefix(id: &str) -> Option<&str> {
    let (prefix, digits) = id.split_once('-')?;
    let is_hex = digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && matches!(digits.len(), 8 | 17)).then_some(prefix)
}

fn invalid(id: &str) -> ServiceError {
    ServiceError::new("InvalidID", format!("The ID '{id}' is not valid"))
}
