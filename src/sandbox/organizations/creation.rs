//! Accounts that are made in an organization.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::accounts::{account_of, check_room};
use super::input::{
    at_most, body, invalid, is_email, is_id, listed, not_here, one_of, page, pattern, required,
};
use super::tree::{Joined, Member, managed, random_name};
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, random};
use crate::sandbox::server::new_access_key;
use crate::sandbox::world::{Account, World};

/// How long AWS takes to make an account.
const CREATION: Duration = Duration::from_secs(30);

/// How long an account that was made in an organization must stay.
const WAITING_PERIOD: Duration = Duration::from_secs(4 * 24 * 3600);

/// A request for a new account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// `car-…`.
    pub id: String,
    /// The organization that asked.
    pub organization: String,
    /// Name of the account.
    pub name: String,
    /// Its owner's address.
    pub email: String,
    /// The account; none where the request fails.
    pub account: Option<AccountId>,
    /// Why it fails.
    pub failure: Option<String>,
    /// When it was asked for.
    pub requested: Timestamp,
    /// When it is done, or has failed.
    pub completed: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Create {
    email: Option<String>,
    account_name: Option<String>,
    role_name: Option<String>,
    iam_user_access_to_billing: Option<String>,
    tags: Option<Vec<Value>>,
}

impl Create {
    /// The address and the name.
    fn check(self) -> Result<(String, String), ServiceError> {
        let email = required(self.email, "Email")?;
        pattern(is_email(&email), "Email", &email)?;
        let name = required(self.account_name, "AccountName")?;
        at_most(&name, "AccountName", 50)?;
        let printable = name.chars().all(|char| matches!(char, ' '..='~'));
        pattern(printable, "AccountName", &name)?;
        // Any role of any account can be assumed here, so that one of this name needs no making.
        if let Some(role) = self.role_name {
            at_most(&role, "RoleName", 64)?;
            let allowed = |char: char| char.is_ascii_alphanumeric() || "_+=,.@-".contains(char);
            pattern(
                !role.is_empty() && role.chars().all(allowed),
                "RoleName",
                &role,
            )?;
            if role.starts_with("AWSServiceRoleFor") {
                return Err(invalid(
                    "INVALID_ROLE_NAME",
                    "A role name can't begin with the reserved prefix AWSServiceRoleFor.",
                ));
            }
        }
        if let Some(access) = self.iam_user_access_to_billing {
            one_of(&access, "IamUserAccessToBilling", &["ALLOW", "DENY"])?;
            if access == "DENY" {
                return Err(not_here("billing, so that access to it cannot be denied"));
            }
        }
        if self.tags.is_some_and(|tags| !tags.is_empty()) {
            return Err(not_here("tags of accounts"));
        }
        Ok((email, name))
    }
}

pub(super) fn create(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let (email, name) = body::<Create>(context)?.check()?;
    let organization = managed(context, world)?;
    check_room(context, world, &organization)?;
    let completed = context.shared.clock.after(CREATION);
    let taken = account_of(world, &email).is_some();
    let account = (!taken).then(|| new_account(world, &name));
    let creation = Creation {
        id: format!("car-{}", random_name::<32>()),
        organization: organization.id.clone(),
        name,
        email,
        account: account.clone(),
        failure: taken.then(|| "EMAIL_ALREADY_EXISTS".to_owned()),
        requested: context.now,
        completed,
    };
    if let Some(account) = account {
        let member = Member {
            organization: organization.id,
            parent: organization.root,
            joined: Joined::Created,
            since: completed,
            may_leave: context.shared.clock.after(WAITING_PERIOD),
            account: account.clone(),
        };
        let members = &mut world.organizations.members;
        members.insert(account.as_str(), member);
    }
    let answer = json!({"CreateAccountStatus": creation_json(context, &creation)});
    let creations = &mut world.organizations.creations;
    creations.insert(creation.id.clone(), creation);
    Ok(answer)
}

/// Makes an account of the sandbox with credentials for its administrator.
fn new_account(world: &mut World, name: &str) -> AccountId {
    let id = loop {
        let number = u64::from_be_bytes(random::<8>()) % 900_000_000_000 + 100_000_000_000;
        let id: AccountId = number.to_string().parse().expect("twelve digits");
        if world.accounts.get(id.as_str()).is_none() {
            break id;
        }
    };
    // `sandbox env --account` finds accounts by name, of which AWS allows doubles.
    let double = world.accounts.values().any(|known| known.name == name);
    let account = Account {
        id: id.clone(),
        name: if double {
            format!("{name}-{id}")
        } else {
            name.to_owned()
        },
    };
    world.accounts.insert(id.as_str(), account);
    let key = new_access_key(&id);
    world.access_keys.insert(key.id.clone(), key);
    id
}

fn creation_state(context: &Context, creation: &Creation) -> &'static str {
    if context.shared.clock.now() < creation.completed {
        "IN_PROGRESS"
    } else if creation.failure.is_some() {
        "FAILED"
    } else {
        "SUCCEEDED"
    }
}

fn creation_json(context: &Context, creation: &Creation) -> Value {
    let state = creation_state(context, creation);
    let mut answer = json!({
        "Id": creation.id,
        "AccountName": creation.name,
        "State": state,
        "RequestedTimestamp": creation.requested.epoch_seconds(),
    });
    if state != "IN_PROGRESS" {
        answer["CompletedTimestamp"] = creation.completed.epoch_seconds().into();
    }
    match (state, &creation.account, &creation.failure) {
        ("SUCCEEDED", Some(account), _) => answer["AccountId"] = account.as_str().into(),
        ("FAILED", _, Some(reason)) => answer["FailureReason"] = reason.as_str().into(),
        _ => {}
    }
    answer
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OfCreation {
    create_account_request_id: Option<String>,
}

pub(super) fn describe(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: OfCreation = body(context)?;
    let id = required(input.create_account_request_id, "CreateAccountRequestId")?;
    pattern(is_id(&id, "car-"), "CreateAccountRequestId", &id)?;
    let organization = managed(context, world)?;
    let creation = world
        .organizations
        .creations
        .get(&id)
        .filter(|creation| creation.organization == organization.id)
        .ok_or_else(|| {
            ServiceError::new(
                "CreateAccountStatusNotFoundException",
                "We can't find an create account request with the CreateAccountRequestId that \
                 you specified.",
            )
        })?;
    Ok(json!({"CreateAccountStatus": creation_json(context, creation)}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Creations {
    states: Option<Vec<String>>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

pub(super) fn list(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: Creations = body(context)?;
    let page = page(context, input.max_results, input.next_token.as_deref())?;
    let states = input.states.unwrap_or_default();
    for state in &states {
        one_of(state, "States", &["IN_PROGRESS", "SUCCEEDED", "FAILED"])?;
    }
    let organization = managed(context, world)?;
    let creations = world
        .organizations
        .creations
        .values()
        .filter(|creation| {
            let state = creation_state(context, creation);
            creation.organization == organization.id
                && (states.is_empty() || states.iter().any(|wanted| wanted == state))
        })
        .map(|creation| (creation.id.clone(), creation_json(context, creation)))
        .collect();
    Ok(listed(context, &page, "CreateAccountStatuses", creations))
}
