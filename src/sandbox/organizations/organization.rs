//! Organizations as a whole, and their roots.

use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::email;
use super::handshakes;
use super::input::{body, listed, nothing, one_of, page};
use super::tree::{Joined, Member, Organization, managed, organization, random_name};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Create {
    feature_set: Option<String>,
}

pub(super) fn create(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: Create = body(context)?;
    let features = input.feature_set.unwrap_or_else(|| "ALL".to_owned());
    one_of(&features, "FeatureSet", &["ALL", "CONSOLIDATED_BILLING"])?;
    let caller = &context.caller.account;
    if world.organizations.members.get(caller.as_str()).is_some() {
        return Err(ServiceError::new(
            "AlreadyInOrganizationException",
            "The provided account is already a member of an organization.",
        ));
    }
    let organization = Organization {
        id: format!("o-{}", random_name::<10>()),
        management: caller.clone(),
        root: format!("r-{}", random_name::<4>()),
        features,
    };
    let member = Member {
        account: caller.clone(),
        organization: organization.id.clone(),
        parent: organization.root.clone(),
        joined: Joined::Invited,
        since: context.now,
        may_leave: context.now,
    };
    let answer = json!({"Organization": describe_json(world, &organization)});
    let state = &mut world.organizations;
    state.members.insert(caller.as_str(), member);
    state
        .organizations
        .insert(organization.id.clone(), organization);
    Ok(answer)
}

pub(super) fn describe(context: &Context, world: &World) -> Result<Value, ServiceError> {
    nothing(context)?;
    let organization = organization(context, world)?;
    Ok(json!({"Organization": describe_json(world, &organization)}))
}

fn describe_json(world: &World, organization: &Organization) -> Value {
    json!({
        "Id": organization.id,
        "Arn": organization.arn(),
        "FeatureSet": organization.features,
        "MasterAccountArn": organization.arn_of("account", organization.management.as_str()),
        "MasterAccountId": organization.management,
        "MasterAccountEmail": email(world, &organization.management),
        "AvailablePolicyTypes": [],
    })
}

pub(super) fn delete(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    nothing(context)?;
    let organization = managed(context, world)?;
    let state = &mut world.organizations;
    let others = state.members.values().any(|member| {
        member.organization == organization.id && member.account != organization.management
    });
    if others {
        return Err(ServiceError::new(
            "OrganizationNotEmptyException",
            "To delete an organization you must first remove all member accounts (except the \
             master).",
        ));
    }
    let units: Vec<String> = state
        .units
        .values()
        .filter(|unit| unit.organization == organization.id)
        .map(|unit| unit.id.clone())
        .collect();
    for unit in units {
        state.units.remove(&unit);
    }
    state.members.remove(organization.management.as_str());
    state.organizations.remove(&organization.id);
    handshakes::cancel_all(context, world, &organization.id);
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct List {
    next_token: Option<String>,
    max_results: Option<i64>,
}

pub(super) fn list_roots(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: List = body(context)?;
    let page = page(context, input.max_results, input.next_token.as_deref())?;
    let organization = managed(context, world)?;
    let root = json!({
        "Id": organization.root,
        "Arn": organization.arn_of("root", &organization.root),
        "Name": "Root",
        "PolicyTypes": [],
    });
    Ok(listed(
        context,
        &page,
        "Roots",
        vec![(organization.root.clone(), root)],
    ))
}
