//! DescribeInstanceStatus.

use super::{Instance, Phase, State, find_all, is_visible, state, write};
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// The filters that EC2 has; the sandbox has no events, and nobody who manages instances.
const FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "event.not-before-deadline",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "operator.managed",
    "operator.principal",
    "system-status.reachability",
    "system-status.status",
    "attached-ebs-status.status",
    "application-status.status",
];

/// DescribeInstanceStatus: of running instances, unless all are asked for.
pub(super) fn describe(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("InstanceId")?;
    let filters = Filters::take(params, FILTERS)?;
    let page = Page::take(params, "DescribeInstanceStatus", 5..=1000)?;
    let all = params.flag("IncludeAllInstances")?.unwrap_or(false);
    params.flag("IncludeManagedResources")?;
    params.finish()?;
    if page.is_limited() && !ids.is_empty() {
        return Err(ServiceError::invalid_combination(
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    let named = find_all(context, world, &ids)?;
    let candidates: Vec<&Instance> = if ids.is_empty() {
        let every = world.ec2.instances.values();
        every
            .filter(|instance| is_visible(context, instance))
            .collect()
    } else {
        named
    };
    let mut passed: Vec<&Instance> = candidates
        .into_iter()
        .filter(|instance| all || state(instance, context.now) == State::Running)
        .filter(|instance| filters.pass(|name| values(instance, context.now, name)))
        .collect();
    passed.sort_by(|one, other| one.id.cmp(&other.id));
    let (shown, token) = page.cut("DescribeInstanceStatus", passed, |instance| {
        instance.id.clone()
    });
    let mut xml = Xml::new();
    xml.list("instanceStatusSet", shown, |xml, instance| {
        write_status(xml, instance, context.now);
    });
    xml.optional("nextToken", token);
    Ok(xml)
}

/// Status and reachability, as EC2's checks find them.
fn checks(instance: &Instance, now: Timestamp) -> (&'static str, &'static str) {
    match instance.phase {
        Phase::Running { since, checked } if since <= now && now < checked => {
            ("initializing", "initializing")
        }
        Phase::Running { checked, .. } if checked <= now => ("ok", "passed"),
        _ => ("not-applicable", ""),
    }
}

fn values(instance: &Instance, now: Timestamp, name: &str) -> Vec<String> {
    let (status, reachability) = checks(instance, now);
    let state = state(instance, now);
    let value = match name {
        "availability-zone" => instance.interface.zone.clone(),
        "availability-zone-id" => instance.interface.zone_id.clone(),
        "instance-state-code" => state.code().to_string(),
        "instance-state-name" => state.name().to_owned(),
        "instance-status.reachability" | "system-status.reachability" => reachability.to_owned(),
        "instance-status.status" | "system-status.status" | "attached-ebs-status.status" => {
            status.to_owned()
        }
        "operator.managed" => false.to_string(),
        _ => return Vec::new(),
    };
    vec![value]
}

fn write_status(xml: &mut Xml, instance: &Instance, now: Timestamp) {
    let (status, reachability) = checks(instance, now);
    xml.text("instanceId", &instance.id)
        .text("availabilityZone", &instance.interface.zone)
        .text("availabilityZoneId", &instance.interface.zone_id);
    write::write_state(xml, "instanceState", state(instance, now));
    for name in ["systemStatus", "instanceStatus", "attachedEbsStatus"] {
        xml.node(name, |xml| {
            xml.text("status", status);
            if !reachability.is_empty() {
                xml.node("details", |xml| {
                    xml.node("item", |xml| {
                        xml.text("name", "reachability")
                            .text("status", reachability);
                    });
                });
            }
        });
    }
}
