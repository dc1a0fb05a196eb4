//! DescribeRegions, DescribeAvailabilityZones, DescribeAccountAttributes.

use super::zones::{Zone, place_of, zones};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::network;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::Region;
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

pub(super) fn regions(
    _context: &Context,
    _world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let names = params.list("RegionName")?;
    let all = params.flag("AllRegions")?.unwrap_or(false);
    let filters = Filters::take(params, &["endpoint", "opt-in-status", "region-name"])?;
    params.finish()?;
    let unknown: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| name.parse::<Region>().is_err())
        .collect();
    if !unknown.is_empty() {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!("Invalid region: [{}]", unknown.join(",")),
        ));
    }
    let endpoint = |region: &Region| format!("ec2.{region}.amazonaws.com");
    // Nobody can opt in here: that is done through Account Management.
    let status = |region: &Region| {
        if region.is_default() {
            "opt-in-not-required"
        } else {
            "not-opted-in"
        }
    };
    let regions = Region::all().filter(|region| {
        let is_asked_for = if names.is_empty() {
            all || region.is_default()
        } else {
            names.iter().any(|name| name == region.as_str())
        };
        is_asked_for
            && filters.pass(|filter| {
                vec![match filter {
                    "endpoint" => endpoint(region),
                    "opt-in-status" => status(region).to_owned(),
                    _ => region.to_string(),
                }]
            })
    });
    let mut xml = Xml::new();
    xml.list("regionInfo", regions, |xml, region| {
        xml.text("regionName", &region)
            .text("regionEndpoint", endpoint(&region))
            .text("optInStatus", status(&region));
        write_geography(&region, xml);
    });
    Ok(xml)
}

fn write_geography(region: &Region, xml: &mut Xml) {
    xml.node("geographySet", |xml| {
        xml.node("item", |xml| {
            xml.text("name", place_of(region).geography);
        });
    });
}

const ZONE_FILTERS: &[&str] = &[
    "group-long-name",
    "group-name",
    "message",
    "opt-in-status",
    "parent-zone-id",
    "parent-zone-name",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
];

pub(super) fn availability_zones(
    context: &Context,
    _world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let names = params.list("ZoneName")?;
    let ids = params.list("ZoneId")?;
    // There are no local zones, so that all zones are those that there are anyway.
    let _all = params.flag("AllAvailabilityZones")?;
    let filters = Filters::take(params, ZONE_FILTERS)?;
    params.finish()?;
    let region = &context.region;
    let known = zones(region);
    check_known("availability zone", &names, |name| {
        known.iter().any(|zone| zone.name == name)
    })?;
    check_known("availability zone-id", &ids, |id| {
        known.iter().any(|zone| zone.id == id)
    })?;
    let zones = known.iter().filter(|zone| {
        (names.is_empty() || names.contains(&zone.name))
            && (ids.is_empty() || ids.contains(&zone.id))
            && filters.pass(|filter| zone_values(region, zone, filter))
    });
    let mut xml = Xml::new();
    xml.list("availabilityZoneInfo", zones, |xml, zone| {
        let value = |filter| zone_values(region, zone, filter).concat();
        xml.text("zoneName", &zone.name)
            .text("zoneId", &zone.id)
            .text("zoneState", value("state"))
            .text("zoneType", value("zone-type"))
            .text("regionName", region)
            .text("groupName", value("group-name"))
            .text("groupLongName", value("group-long-name"))
            .text("networkBorderGroup", region)
            .text("optInStatus", value("opt-in-status"))
            .list("messageSet", std::iter::empty::<()>(), |_, ()| {});
        write_geography(region, xml);
    });
    Ok(xml)
}

fn check_known(
    what: &str,
    given: &[String],
    is_known: impl Fn(&str) -> bool,
) -> Result<(), ServiceError> {
    match given.iter().find(|value| !is_known(value)) {
        Some(value) => Err(ServiceError::new(
            "InvalidParameterValue",
            format!("Invalid {what}: [{value}]"),
        )),
        None => Ok(()),
    }
}

fn zone_values(region: &Region, zone: &Zone, filter: &str) -> Vec<String> {
    vec![match filter {
        "group-long-name" => format!("{} 1", place_of(region).long_name),
        "group-name" => format!("{region}-zg-1"),
        "opt-in-status" => "opt-in-not-required".to_owned(),
        "region-name" => region.to_string(),
        "state" => "available".to_owned(),
        "zone-id" => zone.id.clone(),
        "zone-name" => zone.name.clone(),
        "zone-type" => "availability-zone".to_owned(),
        // Zones without messages and parents have none of these.
        _ => return Vec::new(),
    }]
}

pub(super) fn account_attributes(
    context: &Context,
    _world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let names = params.list("AttributeName")?;
    params.finish()?;
    let attributes = [
        ("supported-platforms", "VPC".to_owned()),
        (
            "default-vpc",
            network::default_vpc(&context.caller.account, &context.region),
        ),
        ("max-instances", "20".to_owned()),
        ("vpc-max-security-groups-per-interface", "5".to_owned()),
        ("max-elastic-ips", "5".to_owned()),
        ("vpc-max-elastic-ips", "5".to_owned()),
    ];
    if let Some(name) = names
        .iter()
        .find(|name| !attributes.iter().any(|(known, _)| known == name))
    {
        return Err(ServiceError::invalid_value(
            "attributeName",
            name,
            "It is no attribute of accounts.",
        ));
    }
    let attributes = attributes
        .iter()
        .filter(|(known, _)| names.is_empty() || names.iter().any(|name| name == known));
    let mut xml = Xml::new();
    xml.list("accountAttributeSet", attributes, |xml, (name, value)| {
        xml.text("attributeName", name)
            .node("attributeValueSet", |xml| {
                xml.node("item", |xml| {
                    xml.text("attributeValue", value);
                });
            });
    });
    Ok(xml)
}
