//! Accounts of an organization: listed, moved about, taken out.

use serde::Deserialize;
use serde_json::{Value, json};

use super::input::{
    body, is_account, is_parent, listed, nothing, page, pattern, required, violates,
};
use super::tree::{
    Joined, Member, Organization, check_parent, has_parent, managed, members, organization, path,
};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::AccountId;
use crate::sandbox::world::World;

/// The address of an account's owner. Accounts that were not made in an organization have one that
/// follows from their id.
pub(super) fn email(world: &World, account: &AccountId) -> String {
    world
        .organizations
        .creations
        .values()
        .find(|creation| creation.account.as_ref() == Some(account))
        .map_or_else(
            || format!("owner@{account}.sandbox.invalid"),
            |creation| creation.email.clone(),
        )
}

/// The account whose owner has an address.
pub(super) fn account_of(world: &World, address: &str) -> Option<AccountId> {
    world
        .accounts
        .values()
        .map(|account| &account.id)
        .find(|id| email(world, id).eq_ignore_ascii_case(address))
        .cloned()
}

/// The name of an account.
pub(super) fn name(world: &World, account: &AccountId) -> String {
    world
        .organizations
        .creations
        .values()
        .find(|creation| creation.account.as_ref() == Some(account))
        .map(|creation| creation.name.clone())
        .or_else(|| {
            let account = world.accounts.get(account.as_str())?;
            Some(account.name.clone())
        })
        .unwrap_or_default()
}

/// An error if the organization is full.
pub(super) fn check_room(
    context: &Context,
    world: &World,
    organization: &Organization,
) -> Result<(), ServiceError> {
    let most = context.shared.limits.quota("accounts-per-organization");
    let members = world.organizations.members.values();
    let count = members
        .filter(|member| member.organization == organization.id)
        .count();
    if count as u64 >= most {
        return Err(violates(
            "ACCOUNT_NUMBER_LIMIT_EXCEEDED",
            format!("You have exceeded the allowed number of AWS accounts: {most}."),
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Move {
    account_id: Option<String>,
    source_parent_id: Option<String>,
    destination_parent_id: Option<String>,
}

pub(super) fn move_account(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: Move = body(context)?;
    let account = required(input.account_id, "AccountId")?;
    pattern(is_account(&account), "AccountId", &account)?;
    let source = required(input.source_parent_id, "SourceParentId")?;
    pattern(is_parent(&source), "SourceParentId", &source)?;
    let destination = required(input.destination_parent_id, "DestinationParentId")?;
    pattern(is_parent(&destination), "DestinationParentId", &destination)?;
    let organization = managed(context, world)?;
    let member = member(context, world, &organization, &account)?;
    if !has_parent(world, &organization, &source) {
        return Err(source_not_found());
    }
    if !has_parent(world, &organization, &destination) {
        return Err(ServiceError::new(
            "DestinationParentNotFoundException",
            "We can't find the destination container (a root or OU) with the ParentId that you \
             specified.",
        ));
    }
    if member.parent == destination {
        return Err(ServiceError::new(
            "DuplicateAccountException",
            "That account is already present in the specified destination.",
        ));
    }
    if member.parent != source {
        return Err(source_not_found());
    }
    let moved = Member {
        parent: destination,
        ..member
    };
    world.organizations.members.insert(account, moved);
    Ok(Value::Null)
}

fn source_not_found() -> ServiceError {
    ServiceError::new(
        "SourceParentNotFoundException",
        "We can't find a source root or OU with the ParentId that you specified.",
    )
}

/// An account of the organization.
fn member(
    context: &Context,
    world: &World,
    organization: &Organization,
    id: &str,
) -> Result<Member, ServiceError> {
    members(context, world, organization)
        .into_iter()
        .find(|member| member.account.as_str() == id)
        .ok_or_else(|| {
            ServiceError::new(
                "AccountNotFoundException",
                "You specified an account that doesn't exist.",
            )
        })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct List {
    next_token: Option<String>,
    max_results: Option<i64>,
}

pub(super) fn list(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: List = body(context)?;
    let page = page(context, input.max_results, input.next_token.as_deref())?;
    let organization = managed(context, world)?;
    let accounts = members(context, world, &organization)
        .iter()
        .map(|member| keyed(world, &organization, member))
        .collect();
    Ok(listed(context, &page, "Accounts", accounts))
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
    let accounts = members(context, world, &organization)
        .iter()
        .filter(|member| member.parent == parent)
        .map(|member| keyed(world, &organization, member))
        .collect();
    Ok(listed(context, &page, "Accounts", accounts))
}

fn keyed(world: &World, organization: &Organization, member: &Member) -> (String, Value) {
    let json = account_json(world, organization, member);
    (member.account.clone().into(), json)
}

fn account_json(world: &World, organization: &Organization, member: &Member) -> Value {
    let id = member.account.as_str();
    json!({
        "Id": id,
        "Arn": organization.arn_of("account", id),
        "Email": email(world, &member.account),
        "Name": name(world, &member.account),
        "Status": "ACTIVE",
        "State": "ACTIVE",
        "Paths": [format!("{}{id}/", path(world, organization, &member.parent))],
        "JoinedMethod": match member.joined {
            Joined::Invited => "INVITED",
            Joined::Created => "CREATED",
        },
        "JoinedTimestamp": member.since.epoch_seconds(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OfAccount {
    account_id: Option<String>,
}

impl OfAccount {
    /// The account, and the organization that the caller manages and that the account is in.
    fn take(context: &Context, world: &World) -> Result<(Organization, Member), ServiceError> {
        let input: OfAccount = body(context)?;
        let id = required(input.account_id, "AccountId")?;
        pattern(is_account(&id), "AccountId", &id)?;
        let organization = managed(context, world)?;
        let member = member(context, world, &organization, &id)?;
        Ok((organization, member))
    }
}

pub(super) fn describe(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let (organization, member) = OfAccount::take(context, world)?;
    Ok(json!({"Account": account_json(world, &organization, &member)}))
}

pub(super) fn leave(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    nothing(context)?;
    let organization = organization(context, world)?;
    let id = context.caller.account.as_str();
    let member = member(context, world, &organization, id)?;
    take_out(context, world, &organization, &member)
}

pub(super) fn remove(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let (organization, member) = OfAccount::take(context, world)?;
    take_out(context, world, &organization, &member)
}

fn take_out(
    context: &Context,
    world: &mut World,
    organization: &Organization,
    member: &Member,
) -> Result<Value, ServiceError> {
    if member.account == organization.management {
        return Err(master_cannot_leave());
    }
    if context.now < member.may_leave {
        return Err(violates(
            "WAIT_PERIOD_ACTIVE",
            "After you create an Amazon Web Services account, you must wait until at least four \
             days after the account was created.",
        ));
    }
    let members = &mut world.organizations.members;
    members.remove(member.account.as_str());
    Ok(Value::Null)
}

/// A management account cannot leave.
pub(super) fn master_cannot_leave() -> ServiceError {
    ServiceError::new(
        "MasterCannotLeaveOrganizationException",
        "You can't remove a management account from an organization. If you want the management \
         account to become a member account in another organization, you must first delete the \
         current organization of the management account.",
    )
}
