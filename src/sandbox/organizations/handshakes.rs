//! Invitations into an organization, and their acceptance.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::accounts::{self, check_room, email, master_cannot_leave};
use super::input::{
    at_most, body, invalid, is_account, is_email, is_id, listed, not_here, one_of, page, pattern,
    required,
};
use super::tree::{Joined, Member, Organization, access_denied, managed, random_name};
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::AccountId;
use crate::sandbox::world::World;

/// An invitation can be accepted so long.
const OPEN_FOR: Duration = Duration::from_secs(15 * 24 * 3600);

/// An invitation that is closed is shown so long.
const SHOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// An invitation of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// `h-…`.
    pub id: String,
    /// The organization as it was when it invited.
    pub organization: Organization,
    /// Who is invited.
    pub account: AccountId,
    /// The address, where the invitation named that.
    pub address: Option<String>,
    /// What the inviter says.
    pub notes: Option<String>,
    /// When it was sent.
    pub requested: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// How it was closed and when.
    pub closed: Option<(Answer, Timestamp)>,
}

/// How an invitation was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The account is in.
    Accepted,
    /// The account does not want.
    Declined,
    /// The organization took it back.
    Canceled,
}

impl Handshake {
    fn state(&self, now: Timestamp) -> &'static str {
        match self.closed {
            Some((Answer::Accepted, _)) => "ACCEPTED",
            Some((Answer::Declined, _)) => "DECLINED",
            Some((Answer::Canceled, _)) => "CANCELED",
            None if self.expires <= now => "EXPIRED",
            None => "OPEN",
        }
    }

    fn is_shown(&self, now: Timestamp) -> bool {
        let closed = self.closed.map_or(self.expires, |(_, when)| when);
        now < closed.plus(SHOWN_FOR)
    }

    fn target(&self) -> (&'static str, &str) {
        match &self.address {
            Some(address) => ("EMAIL", address),
            None => ("ACCOUNT", self.account.as_str()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Invite {
    target: Option<Party>,
    notes: Option<String>,
    tags: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Party {
    id: Option<String>,
    #[serde(rename = "Type")]
    kind: Option<String>,
}

pub(super) fn invite(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: Invite = body(context)?;
    let target = input
        .target
        .ok_or_else(|| invalid("INPUT_REQUIRED", "You must include a value for Target"))?;
    let id = required(target.id, "Target.Id")?;
    let kind = required(target.kind, "Target.Type")?;
    one_of(&kind, "Target.Type", &["ACCOUNT", "EMAIL", "ORGANIZATION"])?;
    if let Some(notes) = &input.notes {
        at_most(notes, "Notes", 1024)?;
    }
    if input.tags.is_some_and(|tags| !tags.is_empty()) {
        return Err(not_here("tags of accounts"));
    }
    let organization = managed(context, world)?;
    let account = invited(world, &kind, &id)?;
    let state = &world.organizations;
    if state
        .members
        .get(account.as_str())
        .is_some_and(|member| member.organization == organization.id)
    {
        return Err(handshake_violates(
            "ALREADY_IN_AN_ORGANIZATION",
            "The invited account is already a member of the organization.",
        ));
    }
    if state.handshakes.values().any(|other| {
        other.organization.id == organization.id
            && other.account == account
            && other.state(context.now) == "OPEN"
    }) {
        return Err(ServiceError::new(
            "DuplicateHandshakeException",
            "A handshake with the same action and target already exists.",
        ));
    }
    check_room(context, world, &organization)?;
    let handshake = Handshake {
        id: format!("h-{}", random_name::<32>()),
        organization,
        account,
        address: (kind == "EMAIL").then_some(id),
        notes: input.notes,
        requested: context.now,
        expires: context.now.plus(OPEN_FOR),
        closed: None,
    };
    let handshakes = &mut world.organizations.handshakes;
    handshakes.insert(handshake.id.clone(), handshake.clone());
    Ok(answer(context, world, &handshake))
}

/// The account that is meant.
fn invited(world: &World, kind: &str, id: &str) -> Result<AccountId, ServiceError> {
    let found = match kind {
        "ACCOUNT" => {
            pattern(is_account(id), "Target.Id", id)?;
            world.accounts.get(id).map(|account| account.id.clone())
        }
        "EMAIL" => {
            if !is_email(id) {
                return Err(invalid(
                    "INVALID_EMAIL_ADDRESS_TARGET",
                    "You specified an invalid email address for the invited account owner.",
                ));
            }
            accounts::account_of(world, id)
        }
        _ => {
            return Err(invalid(
                "INVALID_PARTY_TYPE_TARGET",
                "You specified the wrong type of entity (account, organization, or email) as a \
                 party.",
            ));
        }
    };
    found.ok_or_else(|| {
        handshake_violates(
            "TARGET_ACCOUNT_VALIDATION_FAILURE",
            format!("The sandbox has no account `{id}`."),
        )
    })
}

fn handshake_violates(reason: &str, message: impl Into<String>) -> ServiceError {
    ServiceError::new("HandshakeConstraintViolationException", message).member("Reason", reason)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OfHandshake {
    handshake_id: Option<String>,
}

impl OfHandshake {
    fn take(context: &Context, world: &World) -> Result<Handshake, ServiceError> {
        let input: OfHandshake = body(context)?;
        let id = required(input.handshake_id, "HandshakeId")?;
        pattern(is_id(&id, "h-"), "HandshakeId", &id)?;
        world
            .organizations
            .handshakes
            .get(&id)
            .filter(|handshake| handshake.is_shown(context.now))
            .cloned()
            .ok_or_else(|| {
                ServiceError::new(
                    "HandshakeNotFoundException",
                    "We can't find a handshake with the HandshakeId that you specified.",
                )
            })
    }
}

/// Closes a handshake that is open.
fn close(
    context: &Context,
    world: &mut World,
    mut handshake: Handshake,
    how: Answer,
) -> Result<Handshake, ServiceError> {
    match handshake.closed {
        None if handshake.expires > context.now => {}
        Some((was, _)) if was == how => {
            return Err(ServiceError::new(
                "HandshakeAlreadyInStateException",
                "The specified handshake is already in the requested state.",
            ));
        }
        _ => {
            return Err(ServiceError::new(
                "InvalidHandshakeTransitionException",
                format!(
                    "You can't perform the operation on the handshake in its current state, {}.",
                    handshake.state(context.now)
                ),
            ));
        }
    }
    handshake.closed = Some((how, context.now));
    let handshakes = &mut world.organizations.handshakes;
    handshakes.insert(handshake.id.clone(), handshake.clone());
    Ok(handshake)
}

pub(super) fn accept(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let handshake = OfHandshake::take(context, world)?;
    let account = context.caller.account.clone();
    if handshake.account != account {
        return Err(access_denied());
    }
    let handshake = close(context, world, handshake, Answer::Accepted)?;
    let organization = &handshake.organization;
    check_room(context, world, organization)?;
    let state = &mut world.organizations;
    // An account that is in another organization leaves it, unless it manages that one.
    if let Some(member) = state.members.get(account.as_str()) {
        let manages = state
            .organizations
            .get(&member.organization)
            .is_some_and(|old| old.management == account);
        if manages {
            return Err(master_cannot_leave());
        }
    }
    let member = Member {
        account: account.clone(),
        organization: organization.id.clone(),
        parent: organization.root.clone(),
        joined: Joined::Invited,
        since: context.now,
        may_leave: context.now,
    };
    state.members.insert(account.as_str(), member);
    Ok(answer(context, world, &handshake))
}

pub(super) fn decline(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let handshake = OfHandshake::take(context, world)?;
    if handshake.account != context.caller.account {
        return Err(access_denied());
    }
    let handshake = close(context, world, handshake, Answer::Declined)?;
    Ok(answer(context, world, &handshake))
}

pub(super) fn cancel(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let handshake = OfHandshake::take(context, world)?;
    if handshake.organization.management != context.caller.account {
        return Err(access_denied());
    }
    let handshake = close(context, world, handshake, Answer::Canceled)?;
    Ok(answer(context, world, &handshake))
}

/// Takes back every open invitation of an organization that is no more.
pub(super) fn cancel_all(context: &Context, world: &mut World, organization: &str) {
    let handshakes = &mut world.organizations.handshakes;
    let open: Vec<String> = handshakes
        .values()
        .filter(|handshake| {
            handshake.organization.id == organization && handshake.state(context.now) == "OPEN"
        })
        .map(|handshake| handshake.id.clone())
        .collect();
    for id in open {
        if let Some(handshake) = handshakes.get_mut(&id) {
            handshake.closed = Some((Answer::Canceled, context.now));
        }
    }
}

pub(super) fn describe(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let handshake = OfHandshake::take(context, world)?;
    let caller = &context.caller.account;
    if handshake.account != *caller && handshake.organization.management != *caller {
        return Err(access_denied());
    }
    Ok(answer(context, world, &handshake))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct List {
    filter: Option<Filter>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Filter {
    action_type: Option<String>,
    parent_handshake_id: Option<String>,
}

fn list(
    context: &Context,
    world: &World,
    of: impl Fn(&Handshake) -> bool,
) -> Result<Value, ServiceError> {
    let input: List = body(context)?;
    let page = page(context, input.max_results, input.next_token.as_deref())?;
    let mut all = true;
    if let Some(filter) = input.filter {
        if filter.action_type.is_some() && filter.parent_handshake_id.is_some() {
            return Err(invalid(
                "MAX_LIMIT_EXCEEDED_FILTER",
                "You can specify only one filter parameter for the operation.",
            ));
        }
        if let Some(action) = filter.action_type {
            const ACTIONS: [&str; 5] = [
                "INVITE",
                "ENABLE_ALL_FEATURES",
                "APPROVE_ALL_FEATURES",
                "ADD_ORGANIZATIONS_SERVICE_LINKED_ROLE",
                "TRANSFER_RESPONSIBILITY",
            ];
            one_of(&action, "Filter.ActionType", &ACTIONS)?;
            all = action == "INVITE";
        }
        // Invitations have no parent.
        if let Some(parent) = filter.parent_handshake_id {
            pattern(is_id(&parent, "h-"), "Filter.ParentHandshakeId", &parent)?;
            all = false;
        }
    }
    let handshakes = world
        .organizations
        .handshakes
        .values()
        .filter(|handshake| all && handshake.is_shown(context.now) && of(handshake))
        .map(|handshake| {
            (
                handshake.id.clone(),
                handshake_json(context, world, handshake),
            )
        })
        .collect();
    Ok(listed(context, &page, "Handshakes", handshakes))
}

pub(super) fn list_for_account(context: &Context, world: &World) -> Result<Value, ServiceError> {
    list(context, world, |handshake| {
        handshake.account == context.caller.account
    })
}

pub(super) fn list_for_organization(
    context: &Context,
    world: &World,
) -> Result<Value, ServiceError> {
    let organization = managed(context, world)?;
    list(context, world, |handshake| {
        handshake.organization.id == organization.id
    })
}

fn answer(context: &Context, world: &World, handshake: &Handshake) -> Value {
    json!({"Handshake": handshake_json(context, world, handshake)})
}

fn handshake_json(context: &Context, world: &World, handshake: &Handshake) -> Value {
    let organization = &handshake.organization;
    let (kind, target) = handshake.target();
    let mut resources = vec![
        json!({
            "Type": "ORGANIZATION",
            "Value": organization.id,
            "Resources": [
                {"Type": "MASTER_EMAIL", "Value": email(world, &organization.management)},
                {"Type": "MASTER_NAME", "Value": accounts::name(world, &organization.management)},
                {"Type": "ORGANIZATION_FEATURE_SET", "Value": organization.features},
            ],
        }),
        json!({"Type": kind, "Value": target}),
    ];
    if let Some(notes) = &handshake.notes {
        resources.push(json!({"Type": "NOTES", "Value": notes}));
    }
    json!({
        "Id": handshake.id,
        "Arn": organization.arn_of("handshake", &format!("invite/{}", handshake.id)),
        "Parties": [
            {"Id": organization.id, "Type": "ORGANIZATION"},
            {"Id": target, "Type": kind},
        ],
        "State": handshake.state(context.now),
        "RequestedTimestamp": handshake.requested.epoch_seconds(),
        "ExpirationTimestamp": handshake.expires.epoch_seconds(),
        "Action": "INVITE",
        "Resources": resources,
    })
}
