//! Organizational units, and what is in what.

use serde::Deserialize;
use serde_json::{Value, json};

use super::input::{
    at_most, body, is_account, is_parent, is_unit, listed, not_here, one_of, page, pattern,
    required, violates,
};
use super::tree::{
    Organization, Unit, check_parent, managed, members, parent_json, path, random_name, units_above,
};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

/// Units may be nested so deep below the root.
const DEEPEST: usize = 5;

/// Units of an organization.
const MOST_UNITS: usize = 2000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Create {
    parent_id: Option<String>,
    name: Option<String>,
    tags: Option<Vec<Value>>,
}

pub(super) fn create(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: Create = body(context)?;
    let parent = required(input.parent_id, "ParentId")?;
    pattern(is_parent(&parent), "ParentId", &parent)?;
    let name = required(input.name, "Name")?;
    at_most(&name, "Name", 128)?;
    if input.tags.is_some_and(|tags| !tags.is_empty()) {
        return Err(not_here("tags of organizational units"));
    }
    let organization = managed(context, world)?;
    check_parent(world, &organization, &parent)?;
    check_name(world, &organization, &parent, &name)?;
    if units_above(world, &parent).len() >= DEEPEST {
        return Err(violates(
            "OU_DEPTH_LIMIT_EXCEEDED",
            format!("You attempted to create an OU tree that is more than {DEEPEST} levels deep."),
        ));
    }
    let units = world.organizations.units.values();
    if units
        .filter(|unit| unit.organization == organization.id)
        .count()
        >= MOST_UNITS
    {
        return Err(violates(
            "OU_NUMBER_LIMIT_EXCEEDED",
            format!("An organization has at most {MOST_UNITS} OUs."),
        ));
    }
    let root = organization.root.trim_start_matches("r-");
    let unit = Unit {
        id: format!("ou-{root}-{}", random_name::<8>()),
        organization: organization.id.clone(),
        parent,
        name,
    };
    world
        .organizations
        .units
        .insert(unit.id.clone(), unit.clone());
    Ok(json!({"OrganizationalUnit": unit_json(world, &organization, &unit)}))
}

fn check_name(
    world: &World,
    organization: &Organization,
    parent: &str,
    name: &str,
) -> Result<(), ServiceError> {
    let mut units = world.organizations.units.values();
    if units.any(|unit| {
        unit.organization == organization.id && unit.parent == parent && unit.name == name
    }) {
        return Err(ServiceError::new(
            "DuplicateOrganizationalUnitException",
            "An OU with the same name already exists.",
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OfUnit {
    organizational_unit_id: Option<String>,
}

impl OfUnit {
    /// The unit's id and the caller's organization, which has that unit.
    fn take(context: &Context, world: &World) -> Result<(Organization, Unit), ServiceError> {
        let input: OfUnit = body(context)?;
        find(context, world, input.organizational_unit_id)
    }
}

fn find(
    context: &Context,
    world: &World,
    id: Option<String>,
) -> Result<(Organization, Unit), ServiceError> {
    let id = required(id, "OrganizationalUnitId")?;
    pattern(is_unit(&id), "OrganizationalUnitId", &id)?;
    let organization = managed(context, world)?;
    let unit = world
        .organizations
        .units
        .get(&id)
        .filter(|unit| unit.organization == organization.id)
        .cloned()
        .ok_or_else(|| {
            ServiceError::new(
                "OrganizationalUnitNotFoundException",
                "You specified an organizational unit that doesn't exist.",
            )
        })?;
    Ok((organization, unit))
}

pub(super) fn describe(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let (organization, unit) = OfUnit::take(context, world)?;
    Ok(json!({"OrganizationalUnit": unit_json(world, &organization, &unit)}))
}

fn unit_json(world: &World, organization: &Organization, unit: &Unit) -> Value {
    json!({
        "Id": unit.id,
        "Arn": organization.arn_of("ou", &unit.id),
        "Name": unit.name,
        "Path": path(world, organization, &unit.id),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Update {
    organizational_unit_id: Option<String>,
    name: Option<String>,
}

pub(super) fn update(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: Update = body(context)?;
    let (organization, mut unit) = find(context, world, input.organizational_unit_id)?;
    if let Some(name) = input.name.filter(|name| *name != unit.name) {
        let name = required(Some(name), "Name")?;
        at_most(&name, "Name", 128)?;
        check_name(world, &organization, &unit.parent, &name)?;
        unit.name = name;
        world
            .organizations
            .units
            .insert(unit.id.clone(), unit.clone());
    }
    Ok(json!({"OrganizationalUnit": unit_json(world, &organization, &unit)}))
}

pub(super) fn delete(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let (_, unit) = OfUnit::take(context, world)?;
    let state = &mut world.organizations;
    let used = state.units.values().any(|other| other.parent == unit.id)
        || state
            .members
            .values()
            .any(|member| member.parent == unit.id);
    if used {
        return Err(ServiceError::new(
            "OrganizationalUnitNotEmptyException",
            "The specified OU is not empty. Move all accounts to another root or to other OUs, \
             remove all child OUs, and try the operation again.",
        ));
    }
    state.units.remove(&unit.id);
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ForParent {
    parent_id: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

pub(super) fn list_for_parent(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: ForParent = body(context)?;
    let page = page(context, input.max_results, input.next_token.as_deref())?;
    let parent = required(input.parent_id, "ParentId")?;
    pattern(is_parent(&parent), "ParentId", &parent)?;
    let organization = managed(context, world)?;
    check_parent(world, &organization, &parent)?;
    let units = world
        .organizations
        .units
        .values()
        .filter(|unit| unit.parent == parent)
        .map(|unit| (unit.id.clone(), unit_json(world, &organization, unit)))
        .collect();
    Ok(listed(context, &page, "OrganizationalUnits", units))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Parents {
    child_id: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

pub(super) fn list_parents(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: Parents = body(context)?;
    let page = page(context, input.max_results, input.next_token.as_deref())?;
    let child = required(input.child_id, "ChildId")?;
    pattern(is_account(&child) || is_unit(&child), "ChildId", &child)?;
    let organization = managed(context, world)?;
    let state = &world.organizations;
    let of_unit = state
        .units
        .get(&child)
        .filter(|unit| unit.organization == organization.id)
        .map(|unit| unit.parent.clone());
    let parent = of_unit
        .or_else(|| {
            members(context, world, &organization)
                .into_iter()
                .find(|member| member.account.as_str() == child)
                .map(|member| member.parent)
        })
        .ok_or_else(|| {
            ServiceError::new(
                "ChildNotFoundException",
                "We can't find an organizational unit (OU) or Amazon Web Services account with \
                 the ChildId that you specified.",
            )
        })?;
    let parents = vec![(parent.clone(), parent_json(&parent))];
    Ok(listed(context, &page, "Parents", parents))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Children {
    parent_id: Option<String>,
    child_type: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

pub(super) fn list_children(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: Children = body(context)?;
    let page = page(context, input.max_results, input.next_token.as_deref())?;
    let parent = required(input.parent_id, "ParentId")?;
    pattern(is_parent(&parent), "ParentId", &parent)?;
    let kind = required(input.child_type, "ChildType")?;
    one_of(&kind, "ChildType", &["ACCOUNT", "ORGANIZATIONAL_UNIT"])?;
    let organization = managed(context, world)?;
    check_parent(world, &organization, &parent)?;
    let children: Vec<String> = if kind == "ACCOUNT" {
        members(context, world, &organization)
            .into_iter()
            .filter(|member| member.parent == parent)
            .map(|member| member.account.into())
            .collect()
    } else {
        let units = world.organizations.units.values();
        units
            .filter(|unit| unit.parent == parent)
            .map(|unit| unit.id.clone())
            .collect()
    };
    let children = children
        .into_iter()
        .map(|id| (id.clone(), json!({"Id": id, "Type": kind})))
        .collect();
    Ok(listed(context, &page, "Children", children))
}
