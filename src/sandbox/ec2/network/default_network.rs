//! The network that every account has in every Region from the start: a VPC, a public subnet in
//! each zone, an internet gateway.
//!
//! Nothing of it is stored: its ids follow from the account and the Region, as if it had been made
//! together with the account.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::sandbox::ec2::instances::Phase;
use crate::sandbox::ec2::places::{self, Zone};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::world::World;

/// The VPC's addresses.
pub const VPC_CIDR: &str = "172.31.0.0/16";

/// Addresses of a subnet, a /20.
const SUBNET_SIZE: u32 = 4096;

/// AWS keeps the first four addresses of a subnet and its last.
const KEPT_FIRST: u32 = 4;

/// Addresses of a subnet that can be handed out.
pub const SUBNET_ADDRESSES: u32 = SUBNET_SIZE - KEPT_FIRST - 1;

/// A subnet of a default VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// `subnet-…`.
    pub id: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// `vpc-…`.
    pub vpc_id: String,
    /// Its zone.
    pub zone: Zone,
    /// Its first address.
    pub base: Ipv4Addr,
}

impl Subnet {
    /// Such as `172.31.16.0/20`.
    pub fn cidr(&self) -> String {
        format!("{}/20", self.base)
    }
}

/// The addresses of a subnet that instances had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPool {
    /// The subnet's first address.
    pub base: Ipv4Addr,
    /// How many were handed out, one after the other.
    pub handed_out: u32,
}

/// The id of something that an account has in a Region from the start.
pub(super) fn given_id(prefix: &str, account: &AccountId, region: &Region, which: &str) -> String {
    let digest = crate::digest::sha256(format!("{prefix}/{account}/{region}/{which}").as_bytes());
    format!("{prefix}-{}", &digest[..17])
}

/// The id of an account's default VPC in a Region.
pub fn default_vpc(account: &AccountId, region: &Region) -> String {
    given_id("vpc", account, region, "")
}

/// The id of the default VPC's internet gateway.
pub fn internet_gateway(account: &AccountId, region: &Region) -> String {
    given_id("igw", account, region, "")
}

/// The default subnets, in the order of their zones.
pub fn default_subnets(account: &AccountId, region: &Region) -> Vec<Subnet> {
    places::zones(region)
        .into_iter()
        .zip(0..)
        .map(|(zone, number)| Subnet {
            id: given_id("subnet", account, region, &zone.name),
            owner: account.clone(),
            region: region.clone(),
            vpc_id: default_vpc(account, region),
            zone,
            base: Ipv4Addr::from_bits(
                Ipv4Addr::new(172, 31, 0, 0).to_bits() + number * SUBNET_SIZE,
            ),
        })
        .collect()
}

/// The default subnet of a zone, or of the first zone where none is asked for.
///
/// # Errors
/// `InvalidParameterValue`: the Region has no such zone.
pub fn default_subnet(
    _world: &mut World,
    account: &AccountId,
    region: &Region,
    zone: Option<&str>,
) -> Result<Subnet, ServiceError> {
    default_subnets(account, region)
        .into_iter()
        .find(|subnet| zone.is_none_or(|zone| subnet.zone.name == zone))
        .ok_or_else(|| {
            ServiceError::new(
                "InvalidParameterValue",
                format!("Invalid availability zone: [{}]", zone.unwrap_or_default()),
            )
        })
}

/// An account's subnet of an id.
///
/// # Errors
/// `InvalidSubnetID.NotFound`, also where it is another account's or in another Region.
pub fn subnet(account: &AccountId, region: &Region, id: &str) -> Result<Subnet, ServiceError> {
    default_subnets(account, region)
        .into_iter()
        .find(|subnet| subnet.id == id)
        .ok_or_else(|| subnet_not_found(id))
}

/// An address of a subnet: one that nobody had before, or where all have been handed out, one that
/// no instance has any more.
///
/// # Errors
/// `InvalidSubnetID.NotFound`, and `InsufficientFreeAddressesInSubnet` when all are in use.
pub fn private_address(world: &mut World, subnet_id: &str) -> Result<Ipv4Addr, ServiceError> {
    let mut pool = match world.ec2.network.addresses.get(subnet_id) {
        Some(pool) => pool.clone(),
        None => AddressPool {
            base: base_of(world, subnet_id).ok_or_else(|| subnet_not_found(subnet_id))?,
            handed_out: 0,
        },
    };
    if pool.handed_out < SUBNET_ADDRESSES {
        let address = address(pool.base, pool.handed_out);
        pool.handed_out += 1;
        world.ec2.network.addresses.insert(subnet_id, pool);
        return Ok(address);
    }
    let used = used_addresses(world, subnet_id);
    (0..SUBNET_ADDRESSES)
        .map(|number| address(pool.base, number))
        .find(|address| !used.contains(address))
        .ok_or_else(|| {
            ServiceError::new(
                "InsufficientFreeAddressesInSubnet",
                format!(
                    "There are not enough free addresses in subnet '{subnet_id}' to satisfy the \
                     requested number of instances."
                ),
            )
        })
}

/// The addresses of a subnet that can be handed out, by number.
fn address(base: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(base.to_bits() + KEPT_FIRST + number)
}

/// The first address of whichever account's subnet.
fn base_of(world: &World, subnet_id: &str) -> Option<Ipv4Addr> {
    world
        .accounts
        .values()
        .flat_map(|account| Region::all().map(|region| (&account.id, region)))
        .flat_map(|(account, region)| default_subnets(account, &region))
        .find(|subnet| subnet.id == subnet_id)
        .map(|subnet| subnet.base)
}

/// Addresses of a subnet's instances, of which those that are gone have none.
pub(super) fn used_addresses(world: &World, subnet_id: &str) -> BTreeSet<Ipv4Addr> {
    world
        .ec2
        .instances
        .values()
        .filter(|instance| {
            instance.interface.subnet_id == subnet_id
                && !matches!(instance.phase, Phase::Terminated { .. })
        })
        .map(|instance| instance.interface.address)
        .collect()
}

pub(super) fn subnet_not_found(id: &str) -> ServiceError {
    ServiceError::new(
        "InvalidSubnetID.NotFound",
        format!("The subnet ID '{id}' does not exist"),
    )
}
