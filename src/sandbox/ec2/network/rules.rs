//! AuthorizeSecurityGroupIngress and Egress, RevokeSecurityGroupIngress and Egress,
//! DescribeSecurityGroupRules.

use std::collections::BTreeMap;

use super::groups::{Rule, SecurityGroup, Target, named, security_group, security_groups};
use super::permission::{self, Wanted};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::new_id;
use crate::sandbox::tag::{filter_values, take_tag_specifications, write_tags};
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// Most rules of a group, inwards and again outwards.
const MOST_RULES: usize = 60;

const KIND: &str = "security-group-rule";

pub(super) fn authorize_ingress(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    authorize(context, world, params, false)
}

pub(super) fn authorize_egress(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    authorize(context, world, params, true)
}

pub(super) fn revoke_ingress(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    revoke(context, world, params, false)
}

pub(super) fn revoke_egress(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    revoke(context, world, params, true)
}

/// Takes `GroupId`, or for rules of what comes in also `GroupName`.
fn take_group(
    context: &Context,
    world: &World,
    params: &mut Params,
    egress: bool,
) -> Result<SecurityGroup, ServiceError> {
    let account = &context.caller.account;
    let id = params.text("GroupId");
    let name = if egress {
        None
    } else {
        params.text("GroupName")
    };
    match (id, name) {
        (Some(_), Some(_)) => Err(ServiceError::invalid_combination(
            "The parameter 'groupName' may not be used in combination with 'groupId'",
        )),
        (Some(id), None) => security_group(world, account, &context.region, &id),
        (None, Some(name)) => named(world, account, &context.region, &name),
        (None, None) if egress => Err(ServiceError::missing_parameter("groupId")),
        (None, None) => Err(ServiceError::missing_parameter("groupName or groupId")),
    }
}

/// Takes `IpPermissions.N`, or the same spread over parameters of the call itself.
fn take_permissions(
    context: &Context,
    world: &World,
    params: &mut Params,
    egress: bool,
) -> Result<Vec<Wanted>, ServiceError> {
    let listed = params
        .structures("IpPermissions", |permission| {
            permission::take(context, world, permission)
        })?
        .concat();
    if egress {
        for name in [
            "SourceSecurityGroupName",
            "SourceSecurityGroupOwnerId",
            "IpProtocol",
            "FromPort",
            "ToPort",
            "CidrIp",
        ] {
            if let Some(value) = params.text(name) {
                return Err(ServiceError::invalid_value(
                    name,
                    &value,
                    "It is not supported here. Use IP permissions instead.",
                ));
            }
        }
        return Ok(listed);
    }
    let flat = permission::take_flat(context, world, params)?;
    if !listed.is_empty() && !flat.is_empty() {
        return Err(ServiceError::invalid_combination(
            "The parameter 'ipPermissions' may not be used in combination with 'ipProtocol'",
        ));
    }
    Ok(if listed.is_empty() { flat } else { listed })
}

fn authorize(
    context: &Context,
    world: &mut World,
    params: &mut Params,
    egress: bool,
) -> Result<Xml, ServiceError> {
    let mut group = take_group(context, world, params, egress)?;
    let wanted = take_permissions(context, world, params, egress)?;
    let tags = take_tag_specifications(params, &[KIND])?
        .remove(KIND)
        .unwrap_or_default();
    params.finish()?;
    if wanted.is_empty() {
        return Err(ServiceError::missing_parameter("ipPermissions"));
    }
    check_new(&group, &wanted, egress)?;
    let rules: Vec<Rule> = wanted
        .into_iter()
        .map(|wanted| Rule {
            id: new_id("sgr"),
            egress,
            protocol: wanted.protocol,
            from: wanted.from,
            to: wanted.to,
            target: wanted.target,
            description: wanted.description,
        })
        .collect();
    group.rules.extend(rules.iter().cloned());
    for rule in &rules {
        let account = &context.caller.account;
        world
            .tags
            .add(account, &context.region, KIND, &rule.id, &tags)?;
    }
    let mut xml = Xml::new();
    xml.text("return", true)
        .list("securityGroupRuleSet", &rules, |xml, rule| {
            write_rule(world, &group, rule, &tags, xml);
        });
    let groups = &mut world.ec2.network.groups;
    groups.insert(group.id.clone(), group);
    Ok(xml)
}

fn check_new(group: &SecurityGroup, wanted: &[Wanted], egress: bool) -> Result<(), ServiceError> {
    for (at, rule) in wanted.iter().enumerate() {
        if wanted[..at].iter().any(|other| other.is_like(rule)) {
            return Err(ServiceError::new(
                "InvalidParameterValue",
                "The same permission must not appear multiple times",
            ));
        }
    }
    let old = || group.rules.iter().filter(|rule| rule.egress == egress);
    if let Some(rule) = wanted.iter().find(|rule| old().any(|old| rule.is(old))) {
        return Err(ServiceError::new(
            "InvalidPermission.Duplicate",
            format!("the specified rule \"{}\" already exists", rule.text()),
        ));
    }
    if old().count() + wanted.len() > MOST_RULES {
        return Err(ServiceError::new(
            "RulesPerSecurityGroupLimitExceeded",
            format!(
                "The maximum number of rules per security group has been reached: {MOST_RULES}."
            ),
        ));
    }
    Ok(())
}

fn revoke(
    context: &Context,
    world: &mut World,
    params: &mut Params,
    egress: bool,
) -> Result<Xml, ServiceError> {
    let mut group = take_group(context, world, params, egress)?;
    let wanted = take_permissions(context, world, params, egress)?;
    let ids = params.list("SecurityGroupRuleId")?;
    params.finish()?;
    match (wanted.is_empty(), ids.is_empty()) {
        (true, true) => {
            return Err(ServiceError::new(
                "MissingParameter",
                "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.",
            ));
        }
        (false, false) => {
            return Err(ServiceError::invalid_combination(
                "Only one of 'ipPermissions' and 'securityGroupRuleIds' can be provided.",
            ));
        }
        _ => {}
    }
    let has = |rule: &Rule, id: &String| rule.egress == egress && rule.id == *id;
    if let Some(id) = ids
        .iter()
        .find(|id| !group.rules.iter().any(|rule| has(rule, id)))
    {
        return Err(rule_not_found(id));
    }
    let (gone, left): (Vec<Rule>, Vec<Rule>) = group.rules.into_iter().partition(|rule| {
        ids.iter().any(|id| has(rule, id))
            || (rule.egress == egress && wanted.iter().any(|wanted| wanted.is(rule)))
    });
    group.rules = left;
    // Groups of a default VPC answer with what they do not have; others with an error.
    let unknown: Vec<Rule> = wanted
        .into_iter()
        .filter(|wanted| !gone.iter().any(|rule| wanted.is(rule)))
        .map(|wanted| Rule {
            id: String::new(),
            egress,
            protocol: wanted.protocol,
            from: wanted.from,
            to: wanted.to,
            target: wanted.target,
            description: wanted.description,
        })
        .collect();
    for rule in &gone {
        world.tags.forget(&rule.id);
    }
    let mut xml = Xml::new();
    xml.text("return", true);
    if !unknown.is_empty() {
        write_permissions(&group, &unknown, "unknownIpPermissionSet", &mut xml);
    }
    xml.list("revokedSecurityGroupRuleSet", &gone, |xml, rule| {
        xml.text("securityGroupRuleId", &rule.id)
            .text("groupId", &group.id);
        write_range(rule, xml);
        if let Target::Group(id) = &rule.target {
            xml.text("referencedGroupId", id);
        }
        xml.optional("description", rule.description.as_ref());
    });
    let groups = &mut world.ec2.network.groups;
    groups.insert(group.id.clone(), group);
    Ok(xml)
}

fn rule_not_found(id: &str) -> ServiceError {
    ServiceError::new(
        "InvalidSecurityGroupRuleId.NotFound",
        format!("The security group rule ID '{id}' does not exist"),
    )
}

pub(super) fn describe(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let known = ["group-id", "security-group-rule-id", "tag-key", "tag:"];
    let filters = Filters::take(params, &known)?;
    let ids = params.list("SecurityGroupRuleId")?;
    let page = Page::take(params, &context.operation, 5..=1000)?;
    params.finish()?;
    let account = &context.caller.account;
    let mut rules: Vec<(SecurityGroup, Rule)> = security_groups(world, account, &context.region)
        .into_iter()
        .flat_map(|group| {
            let rules = group.rules.clone();
            rules.into_iter().map(move |rule| (group.clone(), rule))
        })
        .collect();
    if let Some(id) = ids
        .iter()
        .find(|id| !rules.iter().any(|(_, rule)| rule.id == **id))
    {
        return Err(rule_not_found(id));
    }
    rules.retain(|(group, rule)| {
        (ids.is_empty() || ids.contains(&rule.id))
            && filters.pass(|name| match name {
                "group-id" => vec![group.id.clone()],
                "security-group-rule-id" => vec![rule.id.clone()],
                tag => filter_values(&world.tags.of(account, &rule.id), tag),
            })
    });
    rules.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
    let (rules, next) = page.cut(&context.operation, rules, |(_, rule)| rule.id.clone());
    let mut xml = Xml::new();
    xml.list("securityGroupRuleSet", &rules, |xml, (group, rule)| {
        let tags = world.tags.of(account, &rule.id);
        write_rule(world, group, rule, &tags, xml);
    })
    .optional("nextToken", next);
    Ok(xml)
}

fn write_rule(
    world: &World,
    group: &SecurityGroup,
    rule: &Rule,
    tags: &BTreeMap<String, String>,
    xml: &mut Xml,
) {
    xml.text("securityGroupRuleId", &rule.id)
        .text("groupId", &group.id)
        .text("groupOwnerId", &group.owner);
    write_range(rule, xml);
    if let Target::Group(id) = &rule.target {
        xml.node("referencedGroupInfo", |xml| {
            xml.text("groupId", id)
                .text("userId", &group.owner)
                .text("vpcId", vpc_of(world, group, id));
        });
    }
    xml.optional("description", rule.description.as_ref()).text(
        "securityGroupRuleArn",
        format!(
            "arn:aws:ec2:{}:{}:security-group-rule/{}",
            group.region, group.owner, rule.id
        ),
    );
    write_tags(xml, tags);
}

fn vpc_of(world: &World, group: &SecurityGroup, id: &str) -> String {
    security_group(world, &group.owner, &group.region, id)
        .map_or_else(|_| group.vpc_id.clone(), |other| other.vpc_id)
}

fn write_range(rule: &Rule, xml: &mut Xml) {
    xml.text("isEgress", rule.egress)
        .text("ipProtocol", &rule.protocol)
        .text("fromPort", rule.from.unwrap_or(-1))
        .text("toPort", rule.to.unwrap_or(-1));
    match &rule.target {
        Target::Ipv4(cidr) => xml.text("cidrIpv4", cidr),
        Target::Ipv6(cidr) => xml.text("cidrIpv6", cidr),
        Target::Group(_) => xml,
    };
}

/// Writes rules as permissions: those of a protocol and a range of ports together.
pub(super) fn write_permissions(group: &SecurityGroup, rules: &[Rule], name: &str, xml: &mut Xml) {
    type Range<'a> = (&'a str, Option<i32>, Option<i32>);
    let mut ranges: BTreeMap<Range<'_>, Vec<&Rule>> = BTreeMap::new();
    for rule in rules {
        let range = (rule.protocol.as_str(), rule.from, rule.to);
        ranges.entry(range).or_default().push(rule);
    }
    xml.list(name, ranges, |xml, ((protocol, from, to), rules)| {
        xml.text("ipProtocol", protocol)
            .optional("fromPort", from)
            .optional("toPort", to);
        let groups = rules.iter().filter_map(|rule| match &rule.target {
            Target::Group(id) => Some((rule, id)),
            _ => None,
        });
        xml.list("groups", groups, |xml, (rule, id)| {
            xml.optional("description", rule.description.as_ref())
                .text("userId", &group.owner)
                .text("groupId", id);
        });
        let ranges = rules.iter().filter_map(|rule| match &rule.target {
            Target::Ipv4(cidr) => Some((rule, cidr)),
            _ => None,
        });
        xml.list("ipRanges", ranges, |xml, (rule, cidr)| {
            xml.text("cidrIp", cidr)
                .optional("description", rule.description.as_ref());
        });
        let ranges = rules.iter().filter_map(|rule| match &rule.target {
            Target::Ipv6(cidr) => Some((rule, cidr)),
            _ => None,
        });
        xml.list("ipv6Ranges", ranges, |xml, (rule, cidr)| {
            xml.text("cidrIpv6", cidr)
                .optional("description", rule.description.as_ref());
        });
        xml.list("prefixListIds", std::iter::empty::<()>(), |_, ()| {});
    });
}
