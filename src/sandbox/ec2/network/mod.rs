//! The default network of each account and Region, route tables, security groups and key pairs.

mod default_network;
mod der;
mod describe;
mod group_operations;
mod groups;
mod key_operations;
mod keys;
mod permission;
mod route_tables;
mod rules;
mod ssh_key;
#[cfg(test)]
mod tests;

use super::Operation;
use crate::sandbox::shelf::{AnyShelf, Shelf};

pub use default_network::{
    AddressPool, Subnet, default_subnet, default_subnets, default_vpc, internet_gateway,
    private_address, subnet,
};
pub use groups::{
    Rule, SecurityGroup, Target, check_security_groups, security_group, security_groups,
};
pub use keys::{KeyPair, key_pair};
pub use route_tables::{RouteTable, route_table};

/// Networks, security groups, key pairs.
#[derive(Debug, Clone)]
pub struct NetworkState {
    /// Addresses that have been handed out, by the subnet's id.
    pub addresses: Shelf<AddressPool>,
    /// Security groups by id. A default group is here once it was changed.
    pub groups: Shelf<SecurityGroup>,
    /// Key pairs by id.
    pub keys: Shelf<KeyPair>,
    /// Route tables by id, besides the main ones.
    pub route_tables: Shelf<RouteTable>,
}

impl Default for NetworkState {
    fn default() -> NetworkState {
        NetworkState {
            addresses: Shelf::new("ec2-subnet-addresses"),
            groups: Shelf::new("ec2-security-group"),
            keys: Shelf::new("ec2-key-pair"),
            route_tables: Shelf::new("ec2-route-table"),
        }
    }
}

impl NetworkState {
    /// Its shelves.
    pub fn shelves(&mut self) -> Vec<&mut dyn AnyShelf> {
        vec![
            &mut self.addresses,
            &mut self.groups,
            &mut self.keys,
            &mut self.route_tables,
        ]
    }
}

/// The operations of this room.
pub fn operation(name: &str) -> Option<Operation> {
    use Operation::{Act, Look};
    Some(match name {
        "DescribeVpcs" => Look(describe::vpcs),
        "DescribeSubnets" => Look(describe::subnets),
        "DescribeInternetGateways" => Look(describe::internet_gateways),
        "DescribeRouteTables" => Look(route_tables::describe),
        "CreateRouteTable" => Act(route_tables::create),
        "DeleteRouteTable" => Act(route_tables::delete),
        "AssociateRouteTable" => Act(route_tables::associate),
        "DisassociateRouteTable" => Act(route_tables::disassociate),
        "DescribeSecurityGroups" => Look(group_operations::describe),
        "CreateSecurityGroup" => Act(group_operations::create),
        "DeleteSecurityGroup" => Act(group_operations::delete),
        "AuthorizeSecurityGroupIngress" => Act(rules::authorize_ingress),
        "AuthorizeSecurityGroupEgress" => Act(rules::authorize_egress),
        "RevokeSecurityGroupIngress" => Act(rules::revoke_ingress),
        "RevokeSecurityGroupEgress" => Act(rules::revoke_egress),
        "DescribeSecurityGroupRules" => Look(rules::describe),
        "CreateKeyPair" => Act(key_operations::create),
        "ImportKeyPair" => Act(key_operations::import),
        "DescribeKeyPairs" => Look(key_operations::describe),
        "DeleteKeyPair" => Act(key_operations::delete),
        _ => return None,
    })
}
