//! DescribeSecurityGroups, CreateSecurityGroup, DeleteSecurityGroup.

use super::default_network::default_vpc;
use super::groups::{Rule, SecurityGroup, Target, named, security_group, security_groups};
use super::permission::is_plain;
use super::rules::write_permissions;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::instances::Phase;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::new_id;
use crate::sandbox::tag::{filter_values, take_tag_specifications, write_tags};
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// Longest name and longest description.
const LONGEST_TEXT: usize = 255;

const KIND: &str = "security-group";

const FILTERS: &[&str] = &[
    "description",
    "egress.ip-permission.cidr",
    "egress.ip-permission.from-port",
    "egress.ip-permission.group-id",
    "egress.ip-permission.group-name",
    "egress.ip-permission.ipv6-cidr",
    "egress.ip-permission.prefix-list-id",
    "egress.ip-permission.protocol",
    "egress.ip-permission.to-port",
    "egress.ip-permission.user-id",
    "group-id",
    "group-name",
    "ip-permission.cidr",
    "ip-permission.from-port",
    "ip-permission.group-id",
    "ip-permission.group-name",
    "ip-permission.ipv6-cidr",
    "ip-permission.prefix-list-id",
    "ip-permission.protocol",
    "ip-permission.to-port",
    "ip-permission.user-id",
    "owner-id",
    "tag-key",
    "tag:",
    "vpc-id",
];

pub(super) fn describe(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("GroupId")?;
    let names = params.list("GroupName")?;
    let filters = Filters::take(params, FILTERS)?;
    let page = Page::take(params, &context.operation, 5..=1000)?;
    params.finish()?;
    let account = &context.caller.account;
    for id in &ids {
        security_group(world, account, &context.region, id)?;
    }
    for name in &names {
        named(world, account, &context.region, name)?;
    }
    let mut groups = security_groups(world, account, &context.region);
    groups.retain(|group| {
        let is_named = ids.is_empty() && names.is_empty()
            || ids.contains(&group.id)
            || names.contains(&group.name);
        is_named && filters.pass(|filter| filtered(world, group, filter))
    });
    groups.sort_by(|one, other| one.id.cmp(&other.id));
    let (groups, next) = page.cut(&context.operation, groups, |group| group.id.clone());
    let mut xml = Xml::new();
    xml.list("securityGroupInfo", &groups, |xml, group| {
        write(world, group, xml);
    })
    .optional("nextToken", next);
    Ok(xml)
}

fn write(world: &World, group: &SecurityGroup, xml: &mut Xml) {
    xml.text("ownerId", &group.owner)
        .text("groupId", &group.id)
        .text("groupName", &group.name)
        .text("groupDescription", &group.description)
        .text("vpcId", &group.vpc_id)
        .text("securityGroupArn", group.arn());
    for (name, egress) in [("ipPermissions", false), ("ipPermissionsEgress", true)] {
        let rules: Vec<Rule> = group
            .rules
            .iter()
            .filter(|rule| rule.egress == egress)
            .cloned()
            .collect();
        write_permissions(group, &rules, name, xml);
    }
    write_tags(xml, &world.tags.of(&group.owner, &group.id));
}

fn filtered(world: &World, group: &SecurityGroup, filter: &str) -> Vec<String> {
    let inwards = filter.strip_prefix("ip-permission.");
    let outwards = filter.strip_prefix("egress.ip-permission.");
    if let Some(field) = inwards.or(outwards) {
        return group
            .rules
            .iter()
            .filter(|rule| rule.egress == outwards.is_some())
            .filter_map(|rule| rule_field(world, group, rule, field))
            .collect();
    }
    vec![match filter {
        "description" => group.description.clone(),
        "group-id" => group.id.clone(),
        "group-name" => group.name.clone(),
        "owner-id" => group.owner.to_string(),
        "vpc-id" => group.vpc_id.clone(),
        tag => return filter_values(&world.tags.of(&group.owner, &group.id), tag),
    }]
}

fn rule_field(world: &World, group: &SecurityGroup, rule: &Rule, field: &str) -> Option<String> {
    match (field, &rule.target) {
        ("from-port", _) => rule.from.map(|port| port.to_string()),
        ("to-port", _) => rule.to.map(|port| port.to_string()),
        ("protocol", _) => Some(rule.protocol.clone()),
        ("cidr", Target::Ipv4(cidr)) | ("ipv6-cidr", Target::Ipv6(cidr)) => Some(cidr.clone()),
        ("group-id", Target::Group(id)) => Some(id.clone()),
        ("group-name", Target::Group(id)) => {
            let other = security_group(world, &group.owner, &group.region, id);
            other.ok().map(|other| other.name)
        }
        ("user-id", Target::Group(_)) => Some(group.owner.to_string()),
        _ => None,
    }
}

pub(super) fn create(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let name = params.required("GroupName")?.trim().to_owned();
    let description = params.required("GroupDescription")?;
    let vpc = params.text("VpcId");
    let tags = take_tag_specifications(params, &[KIND])?
        .remove(KIND)
        .unwrap_or_default();
    params.finish()?;
    check_text("GroupName", &name)?;
    check_text("GroupDescription", &description)?;
    if name.starts_with("sg-") {
        return Err(ServiceError::invalid_value(
            "GroupName",
            &name,
            "Group names may not be in the format sg-*.",
        ));
    }
    if name.eq_ignore_ascii_case("default") {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!("Cannot use reserved security group name: {name}"),
        ));
    }
    let account = &context.caller.account;
    let own_vpc = default_vpc(account, &context.region);
    if let Some(vpc) = vpc.filter(|vpc| *vpc != own_vpc) {
        return Err(ServiceError::new(
            "InvalidVpcID.NotFound",
            format!("The vpc ID '{vpc}' does not exist"),
        ));
    }
    let groups = security_groups(world, account, &context.region);
    if groups
        .iter()
        .any(|group| group.name.eq_ignore_ascii_case(&name))
    {
        return Err(ServiceError::new(
            "InvalidGroup.Duplicate",
            format!("The security group '{name}' already exists for VPC '{own_vpc}'"),
        ));
    }
    let most = context.shared.limits.quota("security-groups");
    if groups.len() as u64 >= most {
        return Err(ServiceError::new(
            "SecurityGroupLimitExceeded",
            format!("The maximum number of security groups has been reached: {most}."),
        ));
    }
    let group = SecurityGroup {
        id: new_id("sg"),
        owner: account.clone(),
        region: context.region.clone(),
        vpc_id: own_vpc,
        name,
        description,
        rules: vec![Rule {
            id: new_id("sgr"),
            egress: true,
            protocol: "-1".to_owned(),
            from: None,
            to: None,
            target: Target::Ipv4("0.0.0.0/0".to_owned()),
            description: None,
        }],
    };
    world
        .tags
        .add(account, &context.region, KIND, &group.id, &tags)?;
    let mut xml = Xml::new();
    xml.text("return", true)
        .text("groupId", &group.id)
        .text("securityGroupArn", group.arn());
    write_tags(&mut xml, &tags);
    let groups = &mut world.ec2.network.groups;
    groups.insert(group.id.clone(), group);
    Ok(xml)
}

fn check_text(parameter: &str, text: &str) -> Result<(), ServiceError> {
    if text.is_empty() || text.chars().count() > LONGEST_TEXT {
        return Err(ServiceError::invalid_value(
            parameter,
            text,
            format!("It must have 1 to {LONGEST_TEXT} characters."),
        ));
    }
    if !text.is_ascii() {
        return Err(ServiceError::invalid_value(
            parameter,
            text,
            "Character sets beyond ASCII are not supported.",
        ));
    }
    if !is_plain(text) {
        return Err(ServiceError::invalid_value(
            parameter,
            text,
            "It has characters that are not allowed.",
        ));
    }
    Ok(())
}

pub(super) fn delete(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let id = params.text("GroupId");
    let name = params.text("GroupName");
    params.finish()?;
    let account = &context.caller.account;
    let group = match (id, name) {
        (Some(_), Some(_)) => {
            return Err(ServiceError::invalid_combination(
                "The parameter 'groupName' may not be used in combination with 'groupId'",
            ));
        }
        (Some(id), None) => security_group(world, account, &context.region, &id)?,
        (None, Some(name)) => named(world, account, &context.region, &name)?,
        (None, None) => return Err(ServiceError::missing_parameter("groupName or groupId")),
    };
    if group.name == "default" {
        return Err(ServiceError::new(
            "CannotDelete",
            format!(
                "the specified group: \"{}\" name: \"default\" cannot be deleted by a user",
                group.id
            ),
        ));
    }
    if is_in_use(world, &group) {
        return Err(ServiceError::new(
            "DependencyViolation",
            format!("resource {} has a dependent object", group.id),
        ));
    }
    for rule in &group.rules {
        world.tags.forget(&rule.id);
    }
    world.tags.forget(&group.id);
    world.ec2.network.groups.remove(&group.id);
    let mut xml = Xml::new();
    xml.text("return", true).text("groupId", &group.id);
    Ok(xml)
}

/// Whether an instance has the group, or another group's rule names it.
fn is_in_use(world: &World, group: &SecurityGroup) -> bool {
    let mut instances = world.ec2.instances.values();
    let has_instance = instances.any(|instance| {
        let mut groups = instance.interface.groups.iter();
        groups.any(|(id, _)| *id == group.id) && !matches!(instance.phase, Phase::Terminated { .. })
    });
    let mut groups = world.ec2.network.groups.values();
    has_instance
        || groups.any(|other| {
            let mut rules = other.rules.iter();
            other.id != group.id && rules.any(|rule| rule.target == Target::Group(group.id.clone()))
        })
}
