//! Grants: made, listed, revoked, retired.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, random};
use crate::sandbox::world::World;

use super::super::grant::{self, Constraints, Grant};
use super::super::input::{Part, key_id, one_of, required, sized, unsupported, wrong};
use super::super::key::{self, Key, Needs};
use super::super::material::{EncryptionContext, Spec};
use super::super::reference::{self, KEYS};
use super::{later, permitted, read, request, unless_dry_run};

/// A constraint names at most so many pairs.
const MOST_PAIRS: usize = 8;
/// A value of a constraint has at most so many characters.
const LONGEST_VALUE: usize = 384;

/// What EC2 grants an instance for one of its volumes.
pub(in super::super) fn for_volume() -> (Vec<String>, Constraints) {
    let volume = ("aws:ebs:id".to_owned(), "vol-".to_owned());
    let constraints = Constraints {
        equals: None,
        subset: Some(EncryptionContext::from([volume])),
    };
    (vec!["Decrypt".to_owned()], constraints)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateGrant {
    key_id: Option<String>,
    grantee_principal: Option<String>,
    retiring_principal: Option<String>,
    operations: Option<Vec<String>>,
    constraints: Option<GivenConstraints>,
    grant_tokens: Option<Vec<String>>,
    name: Option<String>,
    dry_run: Option<bool>,
    grantee_service_principal: Option<String>,
    retiring_service_principal: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GivenConstraints {
    encryption_context_subset: Option<EncryptionContext>,
    encryption_context_equals: Option<EncryptionContext>,
    source_arn: Option<String>,
}

impl GivenConstraints {
    fn checked(self) -> Result<Constraints, ServiceError> {
        if self.source_arn.is_some() {
            return Err(unsupported(
                "The sandbox has no grants for services: no SourceArn constraint",
            ));
        }
        let given = [
            &self.encryption_context_equals,
            &self.encryption_context_subset,
        ];
        for context in given.into_iter().flatten() {
            if context.len() > MOST_PAIRS {
                return Err(wrong(format!(
                    "A grant constraint has at most {MOST_PAIRS} encryption context pairs"
                )));
            }
            let longest = context.values().map(|value| value.chars().count()).max();
            if longest.is_some_and(|longest| longest > LONGEST_VALUE) {
                return Err(wrong(format!(
                    "An encryption context value of a grant constraint has at most \
                     {LONGEST_VALUE} characters"
                )));
            }
        }
        Ok(Constraints {
            equals: self.encryption_context_equals,
            subset: self.encryption_context_subset,
        })
    }
}

/// The ARN of a principal: of an account's root, a user, a role or a session.
fn principal(arn: &str, member: &str) -> Result<String, ServiceError> {
    sized(arn, member, 1, 256)?;
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let is_principal = match parts[..] {
        ["arn", "aws", service, "", account, name] => {
            let (kind, rest) = name.split_once('/').unwrap_or((name, ""));
            let is_plain = |one: char| one.is_alphanumeric() || "_+=,.@:/-".contains(one);
            account.parse::<AccountId>().is_ok()
                && name.chars().all(is_plain)
                && match (service, kind) {
                    ("iam", "root") => name == "root",
                    ("iam", "user" | "role") => !rest.is_empty(),
                    ("sts", "assumed-role" | "federated-user") => !rest.is_empty(),
                    _ => false,
                }
        }
        _ => false,
    };
    if is_principal {
        Ok(arn.to_owned())
    } else {
        Err(ServiceError::new(
            "InvalidArnException",
            format!("ARN does not refer to a valid principal: {arn}"),
        ))
    }
}

/// A CreateGrant whose members are what they must be.
struct Wanted {
    grantee: String,
    retiring: Option<String>,
    operations: Vec<String>,
    constraints: Constraints,
    name: Option<String>,
}

impl Wanted {
    fn of(input: CreateGrant) -> Result<Wanted, ServiceError> {
        if input.grantee_service_principal.is_some() || input.retiring_service_principal.is_some() {
            return Err(unsupported("The sandbox has no grants for services"));
        }
        let grantee = required(input.grantee_principal, "granteePrincipal")?;
        let mut operations = Vec::new();
        for operation in required(input.operations, "operations")? {
            operations.push(one_of(&operation, "operations", grant::OPERATIONS)?.to_owned());
        }
        operations.sort_unstable();
        operations.dedup();
        if operations.is_empty() {
            return Err(wrong("A grant must allow at least one operation"));
        }
        if let Some(name) = &input.name {
            sized(name, "name", 1, 256)?;
            if !name
                .chars()
                .all(|one| one.is_ascii_alphanumeric() || ":/_-".contains(one))
            {
                return Err(super::super::input::invalid(
                    name,
                    "name",
                    "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
                ));
            }
        }
        let constraints = input
            .constraints
            .map(GivenConstraints::checked)
            .transpose()?;
        Ok(Wanted {
            grantee: principal(&grantee, "granteePrincipal")?,
            retiring: input
                .retiring_principal
                .map(|arn| principal(&arn, "retiringPrincipal"))
                .transpose()?,
            operations,
            constraints: constraints.unwrap_or_default(),
            name: input.name,
        })
    }

    /// Whether a key of that kind can have such a grant.
    fn check_against(&self, key: &Key) -> Result<(), ServiceError> {
        for operation in &self.operations {
            if !grant::fits(operation, key.spec) {
                return Err(wrong(format!(
                    "The operation {operation} is not valid for a key of the usage {}",
                    key.spec.usage()
                )));
            }
        }
        if self.constraints.kind().is_some() && key.spec != Spec::Symmetric {
            return Err(wrong(
                "Encryption context constraints are for symmetric encryption keys only",
            ));
        }
        Ok(())
    }

    fn is(&self, grant: &Grant) -> bool {
        grant.name.is_some()
            && grant.name == self.name
            && grant.grantee == self.grantee
            && grant.retiring == self.retiring
            && grant.operations == self.operations
            && grant.constraints == self.constraints
    }
}

/// From when on a change of grants is known everywhere.
fn known_everywhere(context: &Context) -> Timestamp {
    let seconds = context.shared.limits.quota("grant-delay-seconds");
    later(context, Duration::from_secs(seconds))
}

/// CreateGrant. With a name, a repeated call gives the grant that is there.
pub(super) fn create(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: CreateGrant = read(context)?;
    let reference = key_id(input.key_id.clone(), "keyId")?;
    let tokens = grant::of_tokens(world, input.grant_tokens.as_deref().unwrap_or_default())?;
    let dry_run = input.dry_run;
    let wanted = Wanted::of(input)?;
    let mut request = request(context, "CreateGrant")
        .with("kms:grantisforawsresource", "false")
        .with("kms:granteeprincipal", wanted.grantee.as_str());
    if let Some(retiring) = &wanted.retiring {
        request = request.with("kms:retiringprincipal", retiring.as_str());
    }
    request.tokens = &tokens;
    request.of_grant(&wanted.operations, &wanted.constraints);
    let key = permitted(world, context, request, &reference, KEYS)?;
    key.require(world, context.now, Needs::Usable)?;
    wanted.check_against(key)?;
    let arn = key.arn();
    unless_dry_run(dry_run)?;
    forget_ended(world, context.now, &arn);
    let present: Vec<&Grant> = grant::of_key(world, &arn)
        .into_iter()
        .filter(|grant| grant.is_listed())
        .collect();
    if let Some(same) = present.iter().find(|grant| wanted.is(grant)) {
        return Ok(json!({ "GrantId": same.id, "GrantToken": same.new_token() }));
    }
    let most = context.shared.limits.quota("grants-per-key");
    if present.len() as u64 >= most {
        return Err(ServiceError::new(
            "LimitExceededException",
            format!("The key {arn} has {most} grants, and can have no more"),
        ));
    }
    let grant = Grant {
        id: crate::digest::hex(&random::<32>()),
        key: arn.clone(),
        name: wanted.name,
        grantee: wanted.grantee,
        retiring: wanted.retiring,
        issuer: context.caller.account.clone(),
        operations: wanted.operations,
        constraints: wanted.constraints,
        created: context.now,
        known: known_everywhere(context),
        ended: None,
        secret: crate::digest::hex(&random::<16>()),
    };
    let answer = json!({ "GrantId": grant.id, "GrantToken": grant.new_token() });
    world
        .kms
        .grants
        .insert(grant::shelf_key(&arn, &grant.id), grant);
    Ok(answer)
}

/// Removes the grants whose end is known everywhere.
fn forget_ended(world: &mut World, now: Timestamp, key_arn: &str) {
    let ended: Vec<String> = grant::of_key(world, key_arn)
        .into_iter()
        .filter(|grant| grant.ended.is_some_and(|ended| ended <= now))
        .map(|grant| grant::shelf_key(key_arn, &grant.id))
        .collect();
    for key in ended {
        world.kms.grants.remove(&key);
    }
}

/// A grant as answers have it.
fn shown(grant: &Grant) -> Value {
    let mut entry = Map::new();
    let mut add = |name: &str, value: Value| {
        entry.insert(name.to_owned(), value);
    };
    add("KeyId", json!(grant.key));
    add("GrantId", json!(grant.id));
    // AWS shows an empty name where none was given.
    add("Name", json!(grant.name.as_deref().unwrap_or_default()));
    add("CreationDate", json!(grant.created.epoch_seconds()));
    add("GranteePrincipal", json!(grant.grantee));
    if let Some(retiring) = &grant.retiring {
        add("RetiringPrincipal", json!(retiring));
    }
    let issuer = format!("arn:aws:iam::{}:root", grant.issuer);
    add("IssuingAccount", json!(issuer));
    add("Operations", json!(grant.operations));
    let mut constraints = Map::new();
    for (name, context) in [
        ("EncryptionContextEquals", &grant.constraints.equals),
        ("EncryptionContextSubset", &grant.constraints.subset),
    ] {
        if let Some(context) = context {
            constraints.insert(name.to_owned(), json!(context));
        }
    }
    if !constraints.is_empty() {
        add("Constraints", constraints.into());
    }
    entry.into()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListGrants {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
    grant_id: Option<String>,
    grantee_principal: Option<String>,
    grantee_service_principal: Option<String>,
}

/// ListGrants.
pub(super) fn list(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: ListGrants = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let part = Part::new("ListGrants", input.limit, input.marker, 50)?;
    if input.grantee_service_principal.is_some() {
        return Err(unsupported("The sandbox has no grants for services"));
    }
    let grantee = input
        .grantee_principal
        .map(|arn| principal(&arn, "granteePrincipal"))
        .transpose()?;
    let request = request(context, "ListGrants").with("kms:grantisforawsresource", "false");
    let key = permitted(world, context, request, &reference, KEYS)?;
    let arn = key.arn();
    let grants = grant::of_key(world, &arn)
        .into_iter()
        .filter(|grant| grant.is_listed())
        .filter(|grant| input.grant_id.as_ref().is_none_or(|id| *id == grant.id))
        .filter(|grant| grantee.as_ref().is_none_or(|arn| *arn == grant.grantee));
    Ok(part.cut(
        "Grants",
        grants.map(|grant| (grant.id.clone(), shown(grant))),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListRetirableGrants {
    limit: Option<i64>,
    marker: Option<String>,
    retiring_principal: Option<String>,
    retiring_service_principal: Option<String>,
}

/// ListRetirableGrants, of keys of any account in the Region.
pub(super) fn list_retirable(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: ListRetirableGrants = read(context)?;
    let part = Part::new("ListRetirableGrants", input.limit, input.marker, 50)?;
    if input.retiring_service_principal.is_some() {
        return Err(unsupported("The sandbox has no grants for services"));
    }
    let retiring = required(input.retiring_principal, "retiringPrincipal")?;
    let retiring = principal(&retiring, "retiringPrincipal")?;
    if retiring.split(':').nth(4) != Some(context.caller.account.as_str()) {
        let request = request(context, "ListRetirableGrants");
        return Err(request.denied(&retiring, "because it is another account's principal"));
    }
    let region = context.region.as_str();
    let grants = world
        .kms
        .grants
        .iter()
        .filter(|(_, grant)| {
            grant.is_listed()
                && grant.retiring.as_ref() == Some(&retiring)
                && grant.key.split(':').nth(3) == Some(region)
                && key::find(world, context.now, &grant.key).is_some()
        })
        .map(|(key, grant)| (key.to_owned(), shown(grant)));
    Ok(part.cut("Grants", grants))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RevokeGrant {
    key_id: Option<String>,
    grant_id: Option<String>,
    dry_run: Option<bool>,
}

/// The grant of a key, by its id.
fn existing<'w>(world: &'w World, key_arn: &str, id: &str) -> Result<&'w Grant, ServiceError> {
    world
        .kms
        .grants
        .get(&grant::shelf_key(key_arn, id))
        .filter(|grant| grant.is_listed())
        .ok_or_else(|| ServiceError::new("NotFoundException", format!("Grant ID {id} not found")))
}

fn end(context: &Context, world: &mut World, key_arn: &str, id: &str) {
    let ends = known_everywhere(context);
    if let Some(grant) = world.kms.grants.get_mut(&grant::shelf_key(key_arn, id)) {
        grant.ended = Some(ends);
    }
}

/// RevokeGrant: whoever the key policy lets do it.
pub(super) fn revoke(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: RevokeGrant = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let id = required(input.grant_id, "grantId")?;
    sized(&id, "grantId", 1, 128)?;
    let request = request(context, "RevokeGrant").with("kms:grantisforawsresource", "false");
    let key = permitted(world, context, request, &reference, KEYS)?;
    let arn = key.arn();
    existing(world, &arn, &id)?;
    unless_dry_run(input.dry_run)?;
    end(context, world, &arn, &id);
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RetireGrant {
    grant_token: Option<String>,
    key_id: Option<String>,
    grant_id: Option<String>,
    dry_run: Option<bool>,
}

/// RetireGrant: the retiring principal, a grantee that may, and the account that made the grant.
pub(super) fn retire(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: RetireGrant = read(context)?;
    let request = request(context, "RetireGrant");
    let grant = match (input.grant_token, input.key_id, input.grant_id) {
        (Some(token), None, None) => grant::of_token(world, &token)?
            .filter(|grant| grant.is_listed())
            .ok_or_else(|| {
                ServiceError::new("NotFoundException", "The grant of the token is not found")
            })?,
        (None, Some(reference), Some(id)) => {
            sized(&id, "grantId", 1, 128)?;
            let reference = key_id(Some(reference), "keyId")?;
            let found = reference::find(world, &request, &context.region, &reference, KEYS)?;
            existing(world, &found.key.arn(), &id)?
        }
        _ => {
            return Err(wrong(
                "Specify either a grant token, or both a key ID and a grant ID",
            ));
        }
    };
    let caller = &context.caller;
    let is_retiring = grant
        .retiring
        .as_ref()
        .is_some_and(|retiring| grant::is_principal(retiring, caller));
    let may_as_grantee = grant::is_principal(&grant.grantee, caller)
        && grant.operations.iter().any(|known| known == "RetireGrant");
    if !is_retiring && !may_as_grantee && grant.issuer != caller.account {
        return Err(request.hidden(&grant.key));
    }
    let (arn, id) = (grant.key.clone(), grant.id.clone());
    unless_dry_run(input.dry_run)?;
    end(context, world, &arn, &id);
    Ok(Value::Null)
}
