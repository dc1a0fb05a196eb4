//! Route tables: the main one that every default VPC has, with a route to its internet gateway, and
//! those that are made besides it, which lead nowhere: the sandbox has no CreateRoute.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::default_network::{VPC_CIDR, default_vpc, given_id, internet_gateway, subnet};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region, new_id};
use crate::sandbox::tag::{filter_values, take_tag_specifications, write_tags};
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

const KIND: &str = "route-table";

/// A route table of a default VPC. Only those that were made are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// `rtb-…`.
    pub id: String,
    /// Whose it is.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// The association that makes it the VPC's main one, `rtbassoc-…`.
    pub main: Option<String>,
    /// The subnets that it is for, by their associations.
    pub associations: BTreeMap<String, String>,
}

/// A route, of which all are active.
struct Route {
    destination: &'static str,
    gateway: String,
    origin: &'static str,
}

impl RouteTable {
    fn routes(&self) -> Vec<Route> {
        let mut routes = vec![Route {
            destination: VPC_CIDR,
            gateway: "local".to_owned(),
            origin: "CreateRouteTable",
        }];
        if self.main.is_some() {
            routes.push(Route {
                destination: "0.0.0.0/0",
                gateway: internet_gateway(&self.owner, &self.region),
                origin: "CreateRoute",
            });
        }
        routes
    }
}

/// An account's route tables in a Region, in the order of their ids.
fn tables(world: &World, account: &AccountId, region: &Region) -> Vec<RouteTable> {
    let main = RouteTable {
        id: given_id("rtb", account, region, ""),
        owner: account.clone(),
        region: region.clone(),
        main: Some(given_id("rtbassoc", account, region, "")),
        associations: BTreeMap::new(),
    };
    let made = world.ec2.network.route_tables.values();
    let made = made.filter(|table| table.owner == *account && table.region == *region);
    let mut tables: Vec<RouteTable> = made.cloned().chain([main]).collect();
    tables.sort_by(|one, other| one.id.cmp(&other.id));
    tables
}

/// An account's route table of an id.
///
/// # Errors
/// `InvalidRouteTableID.NotFound`.
pub fn route_table(
    world: &World,
    account: &AccountId,
    region: &Region,
    id: &str,
) -> Result<RouteTable, ServiceError> {
    let mut tables = tables(world, account, region).into_iter();
    tables.find(|table| table.id == id).ok_or_else(|| {
        ServiceError::new(
            "InvalidRouteTableID.NotFound",
            format!("The routeTable ID '{id}' does not exist"),
        )
    })
}

const FILTERS: &[&str] = &[
    "association.gateway-id",
    "association.main",
    "association.route-table-association-id",
    "association.route-table-id",
    "association.subnet-id",
    "owner-id",
    "route-table-id",
    "route.destination-cidr-block",
    "route.destination-ipv6-cidr-block",
    "route.destination-prefix-list-id",
    "route.egress-only-internet-gateway-id",
    "route.gateway-id",
    "route.instance-id",
    "route.nat-gateway-id",
    "route.origin",
    "route.state",
    "route.transit-gateway-id",
    "route.vpc-peering-connection-id",
    "tag-key",
    "tag:",
    "vpc-id",
];

pub(super) fn describe(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("RouteTableId")?;
    let filters = Filters::take(params, FILTERS)?;
    let page = Page::take(params, &context.operation, 5..=100)?;
    params.finish()?;
    let account = &context.caller.account;
    for id in &ids {
        route_table(world, account, &context.region, id)?;
    }
    let mut tables = tables(world, account, &context.region);
    tables.retain(|table| {
        (ids.is_empty() || ids.contains(&table.id))
            && filters.pass(|filter| values(world, table, filter))
    });
    let (tables, next) = page.cut(&context.operation, tables, |table| table.id.clone());
    let mut xml = Xml::new();
    xml.list("routeTableSet", &tables, |xml, table| {
        write(world, table, xml);
    })
    .optional("nextToken", next);
    Ok(xml)
}

fn values(world: &World, table: &RouteTable, filter: &str) -> Vec<String> {
    let associations = || table.associations.keys().chain(&table.main);
    let routes = |value: fn(Route) -> String| table.routes().into_iter().map(value).collect();
    match filter {
        "association.main" => associations()
            .map(|id| (table.main.as_ref() == Some(id)).to_string())
            .collect(),
        "association.route-table-association-id" => associations().cloned().collect(),
        "association.route-table-id" => associations().map(|_| table.id.clone()).collect(),
        "association.subnet-id" => table.associations.values().cloned().collect(),
        "owner-id" => vec![table.owner.to_string()],
        "route-table-id" => vec![table.id.clone()],
        "route.destination-cidr-block" => routes(|route| route.destination.to_owned()),
        "route.gateway-id" => routes(|route| route.gateway),
        "route.origin" => routes(|route| route.origin.to_owned()),
        "route.state" => routes(|_| "active".to_owned()),
        "vpc-id" => vec![default_vpc(&table.owner, &table.region)],
        // Those of what routes here never have are among them, and match none.
        other => filter_values(&world.tags.of(&table.owner, &table.id), other),
    }
}

fn write(world: &World, table: &RouteTable, xml: &mut Xml) {
    let main = table.main.iter().map(|id| (id, None));
    let subnets = table.associations.iter();
    let associations = main.chain(subnets.map(|(id, subnet)| (id, Some(subnet))));
    xml.text("routeTableId", &table.id)
        .text("vpcId", default_vpc(&table.owner, &table.region))
        .text("ownerId", &table.owner)
        .list("routeSet", table.routes(), |xml, route| {
            xml.text("destinationCidrBlock", route.destination)
                .text("gatewayId", route.gateway)
                .text("state", "active")
                .text("origin", route.origin);
        })
        .list("associationSet", associations, |xml, (id, subnet)| {
            xml.text("routeTableAssociationId", id)
                .text("routeTableId", &table.id)
                .optional("subnetId", subnet)
                .text("main", subnet.is_none());
            write_associated(xml);
        })
        .list("propagatingVgwSet", std::iter::empty::<()>(), |_, ()| {});
    write_tags(xml, &world.tags.of(&table.owner, &table.id));
}

fn write_associated(xml: &mut Xml) {
    xml.node("associationState", |xml| {
        xml.text("state", "associated");
    });
}

pub(super) fn create(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let token = params.text("ClientToken").filter(|token| !token.is_empty());
    let fingerprint = params.fingerprint();
    let vpc = params.required("VpcId")?;
    let mut tags = take_tag_specifications(params, &[KIND])?;
    params.finish()?;
    let (account, region) = (&context.caller.account, &context.region);
    if vpc != default_vpc(account, region) {
        return Err(ServiceError::new(
            "InvalidVpcID.NotFound",
            format!("The vpc ID '{vpc}' does not exist"),
        ));
    }
    let made_before = world
        .tokens
        .recall(context, token.as_deref(), &fingerprint)?;
    let table = match made_before {
        Some(id) => route_table(world, account, region, &id)?,
        None => RouteTable {
            id: new_id("rtb"),
            owner: account.clone(),
            region: region.clone(),
            main: None,
            associations: BTreeMap::new(),
        },
    };
    world
        .tokens
        .keep(context, token.as_deref(), &fingerprint, &table.id);
    let shelf = &mut world.ec2.network.route_tables;
    shelf.insert(&table.id, table.clone());
    let tags = tags.remove(KIND).unwrap_or_default();
    world.tags.add(account, region, KIND, &table.id, &tags)?;
    let mut xml = Xml::new();
    xml.node("routeTable", |xml| write(world, &table, xml))
        .optional("clientToken", token);
    Ok(xml)
}

pub(super) fn delete(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.required("RouteTableId")?;
    params.finish()?;
    let table = route_table(world, &context.caller.account, &context.region, &id)?;
    if table.main.is_some() || !table.associations.is_empty() {
        return Err(ServiceError::new(
            "DependencyViolation",
            format!("The routeTable '{id}' has dependencies and cannot be deleted."),
        ));
    }
    world.ec2.network.route_tables.remove(&id);
    world.tags.forget(&id);
    Ok(returned())
}

pub(super) fn associate(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    for name in ["GatewayId", "PublicIpv4Pool"] {
        if params.discard(name) {
            return Err(ServiceError::new(
                "UnsupportedOperation",
                format!("The sandbox does not have this: route tables of gateways ({name})"),
            ));
        }
    }
    let id = params.required("RouteTableId")?;
    let subnet_id = params.required("SubnetId")?;
    params.finish()?;
    let (account, region) = (&context.caller.account, &context.region);
    let table = route_table(world, account, region, &id)?;
    subnet(account, region, &subnet_id)?;
    if table.main.is_some() {
        return Err(ServiceError::new(
            "UnsupportedOperation",
            "The sandbox does not have this: subnets that name the main route table, which they \
             have anyway",
        ));
    }
    let tables = tables(world, account, region);
    let mut taken = tables.iter().flat_map(|table| &table.associations);
    if let Some((taken, _)) = taken.find(|(_, taken)| **taken == subnet_id) {
        return Err(ServiceError::new(
            "Resource.AlreadyAssociated",
            format!("the specified association for route table {id} conflicts with {taken}"),
        ));
    }
    let association = new_id("rtbassoc");
    if let Some(table) = world.ec2.network.route_tables.get_mut(&id) {
        table.associations.insert(association.clone(), subnet_id);
    }
    let mut xml = Xml::new();
    xml.text("associationId", association);
    write_associated(&mut xml);
    Ok(xml)
}

pub(super) fn disassociate(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let association = params.required("AssociationId")?;
    params.finish()?;
    let tables = tables(world, &context.caller.account, &context.region);
    if let Some(main) = tables.iter().find_map(|table| table.main.as_ref())
        && *main == association
    {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!("cannot disassociate the main route table association {association}"),
        ));
    }
    let mut tables = tables.iter();
    let table = tables.find(|table| table.associations.contains_key(&association));
    let table = table.and_then(|table| world.ec2.network.route_tables.get_mut(&table.id));
    let Some(table) = table else {
        return Err(ServiceError::new(
            "InvalidAssociationID.NotFound",
            format!("The association ID '{association}' does not exist"),
        ));
    };
    table.associations.remove(&association);
    Ok(returned())
}

fn returned() -> Xml {
    let mut xml = Xml::new();
    xml.text("return", true);
    xml
}
