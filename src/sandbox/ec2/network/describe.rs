//! DescribeVpcs, DescribeSubnets, DescribeInternetGateways: the default network as it looks.

use super::default_network::{
    SUBNET_ADDRESSES, Subnet, VPC_CIDR, default_subnets, default_vpc, given_id, internet_gateway,
    subnet_not_found, used_addresses,
};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::tag::{filter_values, write_tags};
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

pub(super) fn vpcs(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("VpcId")?;
    let filters = Filters::take(
        params,
        &[
            "cidr",
            "cidr-block-association.association-id",
            "cidr-block-association.cidr-block",
            "cidr-block-association.state",
            "dhcp-options-id",
            "ipv6-cidr-block-association.association-id",
            "ipv6-cidr-block-association.ipv6-cidr-block",
            "ipv6-cidr-block-association.ipv6-pool",
            "ipv6-cidr-block-association.state",
            "is-default",
            "owner-id",
            "state",
            "tag-key",
            "tag:",
            "vpc-id",
        ],
    )?;
    let page = Page::take(params, &context.operation, 5..=1000)?;
    params.finish()?;
    let account = &context.caller.account;
    let vpc = default_vpc(account, &context.region);
    if let Some(id) = ids.iter().find(|id| **id != vpc) {
        return Err(ServiceError::new(
            "InvalidVpcID.NotFound",
            format!("The vpc ID '{id}' does not exist"),
        ));
    }
    let given = |prefix| given_id(prefix, account, &context.region, "");
    let (association, options) = (given("vpc-cidr-assoc"), given("dopt"));
    let passes = filters.pass(|filter| {
        vec![match filter {
            "cidr" | "cidr-block-association.cidr-block" => VPC_CIDR.to_owned(),
            "cidr-block-association.association-id" => association.clone(),
            "cidr-block-association.state" => "associated".to_owned(),
            "dhcp-options-id" => options.clone(),
            "is-default" => "true".to_owned(),
            "owner-id" => account.to_string(),
            "state" => "available".to_owned(),
            "vpc-id" => vpc.clone(),
            other => return filter_values(&world.tags.of(account, &vpc), other),
        }]
    });
    let found: Vec<&String> = passes.then_some(&vpc).into_iter().collect();
    let (found, next) = page.cut(&context.operation, found, |id| (*id).clone());
    let mut xml = Xml::new();
    xml.list("vpcSet", found, |xml, id| {
        xml.text("vpcId", id)
            .text("ownerId", account)
            .text("state", "available")
            .text("cidrBlock", VPC_CIDR)
            .node("cidrBlockAssociationSet", |xml| {
                xml.node("item", |xml| {
                    xml.text("cidrBlock", VPC_CIDR)
                        .text("associationId", &association)
                        .node("cidrBlockState", |xml| {
                            xml.text("state", "associated");
                        });
                });
            })
            .text("dhcpOptionsId", &options)
            .text("instanceTenancy", "default")
            .text("isDefault", true);
        write_tags(xml, &world.tags.of(account, id));
    })
    .optional("nextToken", next);
    Ok(xml)
}

pub(super) fn subnets(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("SubnetId")?;
    let filters = Filters::take(
        params,
        &[
            "availability-zone",
            "availabilityZone",
            "availability-zone-id",
            "availabilityZoneId",
            "available-ip-address-count",
            "cidr",
            "cidr-block",
            "cidrBlock",
            "customer-owned-ipv4-pool",
            "default-for-az",
            "defaultForAz",
            "enable-dns64",
            "enable-lni-at-device-index",
            "ipv6-cidr-block-association.association-id",
            "ipv6-cidr-block-association.ipv6-cidr-block",
            "ipv6-cidr-block-association.state",
            "ipv6-native",
            "map-customer-owned-ip-on-launch",
            "map-public-ip-on-launch",
            "outpost-arn",
            "owner-id",
            "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
            "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
            "private-dns-name-options-on-launch.hostname-type",
            "state",
            "subnet-arn",
            "subnet-id",
            "tag-key",
            "tag:",
            "vpc-id",
        ],
    )?;
    let page = Page::take(params, &context.operation, 5..=1000)?;
    params.finish()?;
    let mut subnets = default_subnets(&context.caller.account, &context.region);
    if let Some(id) = ids
        .iter()
        .find(|id| !subnets.iter().any(|subnet| subnet.id == **id))
    {
        return Err(subnet_not_found(id));
    }
    subnets.retain(|subnet| {
        (ids.is_empty() || ids.contains(&subnet.id))
            && filters.pass(|filter| subnet_values(world, subnet, filter))
    });
    subnets.sort_by(|one, other| one.id.cmp(&other.id));
    let (subnets, next) = page.cut(&context.operation, subnets, |subnet| subnet.id.clone());
    let mut xml = Xml::new();
    xml.list("subnetSet", &subnets, |xml, subnet| {
        write_subnet(world, subnet, xml);
    })
    .optional("nextToken", next);
    Ok(xml)
}

fn available(world: &World, subnet: &Subnet) -> usize {
    (SUBNET_ADDRESSES as usize).saturating_sub(used_addresses(world, &subnet.id).len())
}

fn arn(subnet: &Subnet) -> String {
    format!(
        "arn:aws:ec2:{}:{}:subnet/{}",
        subnet.region, subnet.owner, subnet.id
    )
}

fn subnet_values(world: &World, subnet: &Subnet, filter: &str) -> Vec<String> {
    vec![match filter {
        "availability-zone" | "availabilityZone" => subnet.zone.name.clone(),
        "availability-zone-id" | "availabilityZoneId" => subnet.zone.id.clone(),
        "available-ip-address-count" => available(world, subnet).to_string(),
        "cidr" | "cidr-block" | "cidrBlock" => subnet.cidr(),
        "default-for-az" | "defaultForAz" | "map-public-ip-on-launch" => "true".to_owned(),
        "enable-dns64"
        | "ipv6-native"
        | "map-customer-owned-ip-on-launch"
        | "private-dns-name-options-on-launch.enable-resource-name-dns-a-record"
        | "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record" => {
            "false".to_owned()
        }
        "owner-id" => subnet.owner.to_string(),
        "private-dns-name-options-on-launch.hostname-type" => "ip-name".to_owned(),
        "state" => "available".to_owned(),
        "subnet-arn" => arn(subnet),
        "subnet-id" => subnet.id.clone(),
        "vpc-id" => subnet.vpc_id.clone(),
        other => return filter_values(&world.tags.of(&subnet.owner, &subnet.id), other),
    }]
}

fn write_subnet(world: &World, subnet: &Subnet, xml: &mut Xml) {
    xml.text("subnetId", &subnet.id)
        .text("subnetArn", arn(subnet))
        .text("state", "available")
        .text("ownerId", &subnet.owner)
        .text("vpcId", &subnet.vpc_id)
        .text("cidrBlock", subnet.cidr())
        .text("availableIpAddressCount", available(world, subnet))
        .text("availabilityZone", &subnet.zone.name)
        .text("availabilityZoneId", &subnet.zone.id)
        .text("defaultForAz", true)
        .text("mapPublicIpOnLaunch", true)
        .text("mapCustomerOwnedIpOnLaunch", false)
        .text("assignIpv6AddressOnCreation", false)
        .text("ipv6Native", false)
        .text("enableDns64", false)
        .node("privateDnsNameOptionsOnLaunch", |xml| {
            xml.text("hostnameType", "ip-name")
                .text("enableResourceNameDnsARecord", false)
                .text("enableResourceNameDnsAAAARecord", false);
        });
    write_tags(xml, &world.tags.of(&subnet.owner, &subnet.id));
}

pub(super) fn internet_gateways(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("InternetGatewayId")?;
    let filters = Filters::take(
        params,
        &[
            "attachment.state",
            "attachment.vpc-id",
            "internet-gateway-id",
            "owner-id",
            "tag-key",
            "tag:",
        ],
    )?;
    let page = Page::take(params, &context.operation, 5..=1000)?;
    params.finish()?;
    let account = &context.caller.account;
    let gateway = internet_gateway(account, &context.region);
    let vpc = default_vpc(account, &context.region);
    if let Some(id) = ids.iter().find(|id| **id != gateway) {
        return Err(ServiceError::new(
            "InvalidInternetGatewayID.NotFound",
            format!("The internetGateway ID '{id}' does not exist"),
        ));
    }
    let passes = filters.pass(|filter| {
        vec![match filter {
            "attachment.state" => "available".to_owned(),
            "attachment.vpc-id" => vpc.clone(),
            "internet-gateway-id" => gateway.clone(),
            "owner-id" => account.to_string(),
            other => return filter_values(&world.tags.of(account, &gateway), other),
        }]
    });
    let found: Vec<&String> = passes.then_some(&gateway).into_iter().collect();
    let (found, next) = page.cut(&context.operation, found, |id| (*id).clone());
    let mut xml = Xml::new();
    xml.list("internetGatewaySet", found, |xml, id| {
        xml.text("internetGatewayId", id)
            .text("ownerId", account)
            .node("attachmentSet", |xml| {
                xml.node("item", |xml| {
                    xml.text("vpcId", &vpc).text("state", "available");
                });
            });
        write_tags(xml, &world.tags.of(account, id));
    })
    .optional("nextToken", next);
    Ok(xml)
}
