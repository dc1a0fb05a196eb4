//! Aliases.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

use super::super::access::{Request, aliases_in};
use super::super::input::{Part, invalid, key_id, required, sized, wrong};
use super::super::key::{self, Alias, Key, Needs};
use super::super::reference::OWN_KEYS;
use super::{permitted, read, request};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AliasAndKey {
    alias_name: Option<String>,
    target_key_id: Option<String>,
}

/// An alias name that callers may make: AWS keeps `alias/aws/` to itself.
fn checked(name: Option<String>) -> Result<String, ServiceError> {
    let name = required(name, "aliasName")?;
    sized(&name, "aliasName", 1, 256)?;
    let is_plain = |one: char| one.is_ascii_alphanumeric() || ":/_-".contains(one);
    if !name.chars().all(is_plain) {
        return Err(invalid(
            &name,
            "aliasName",
            "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
        ));
    }
    if name.strip_prefix("alias/").is_none_or(str::is_empty) {
        return Err(wrong("Invalid identifier"));
    }
    if name.starts_with("alias/aws/") {
        return Err(ServiceError::new("NotAuthorizedException", ""));
    }
    // A colon is for ARNs of aliases of other services.
    if name.contains(':') {
        return Err(wrong(format!(
            "{name} contains invalid characters for an alias"
        )));
    }
    Ok(name)
}

/// The key that an alias is to be for.
fn target<'w>(
    context: &Context,
    world: &'w World,
    action: &str,
    name: &str,
    reference: Option<String>,
) -> Result<&'w Key, ServiceError> {
    let reference = key_id(reference, "targetKeyId")?;
    if reference.starts_with("alias/") || reference.contains(":alias/") {
        return Err(wrong("Aliases must refer to keys. Not aliases"));
    }
    let request = of_alias(request(context, action), name);
    let key = permitted(world, context, request, &reference, OWN_KEYS)?;
    key.require(world, context.now, Needs::Kept)?;
    if key.aws_managed {
        let request = super::request(context, action);
        return Err(request.denied(&key.arn(), "because the key is managed by AWS"));
    }
    Ok(key)
}

fn of_alias<'a>(request: Request<'a>, name: &str) -> Request<'a> {
    request.with("kms:requestalias", name)
}

/// CreateAlias.
pub(super) fn create(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: AliasAndKey = read(context)?;
    let name = checked(input.alias_name)?;
    let key = target(context, world, "CreateAlias", &name, input.target_key_id)?;
    let id = key.id.clone();
    let arn = key::alias_arn(&context.caller.account, &context.region, &name);
    if key::find_alias(world, context.now, &arn).is_some() {
        return Err(ServiceError::new(
            "AlreadyExistsException",
            format!("An alias with the name {arn} already exists"),
        ));
    }
    let alias = Alias {
        name,
        account: context.caller.account.clone(),
        region: context.region.clone(),
        target: id,
        created: context.now,
        updated: context.now,
    };
    world.kms.aliases.insert(arn, alias);
    Ok(Value::Null)
}

/// The alias of a name, and that the caller may do this with its key.
fn existing(
    context: &Context,
    world: &World,
    action: &str,
    name: &str,
) -> Result<(String, Alias), ServiceError> {
    let arn = key::alias_arn(&context.caller.account, &context.region, name);
    let alias = key::find_alias(world, context.now, &arn).ok_or_else(|| {
        ServiceError::new("NotFoundException", format!("Alias {arn} is not found."))
    })?;
    let request = of_alias(request(context, action), name);
    permitted(world, context, request, &alias.target_arn(), OWN_KEYS)?;
    Ok((arn, alias.clone()))
}

/// UpdateAlias: both keys must be of one kind.
pub(super) fn update(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: AliasAndKey = read(context)?;
    let name = checked(input.alias_name)?;
    let (arn, mut alias) = existing(context, world, "UpdateAlias", &name)?;
    let new = target(context, world, "UpdateAlias", &name, input.target_key_id)?;
    let old = key::find(world, context.now, &alias.target_arn());
    if old.is_some_and(|old| old.spec != new.spec) {
        return Err(wrong(format!(
            "The alias {name} can only be given to a key of the same type and usage"
        )));
    }
    alias.target = new.id.clone();
    alias.updated = context.now;
    world.kms.aliases.insert(arn, alias);
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteAlias {
    alias_name: Option<String>,
}

/// DeleteAlias.
pub(super) fn delete(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: DeleteAlias = read(context)?;
    let name = checked(input.alias_name)?;
    let (arn, _) = existing(context, world, "DeleteAlias", &name)?;
    world.kms.aliases.remove(&arn);
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListAliases {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

/// ListAliases, of the account or of a key.
pub(super) fn list(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: ListAliases = read(context)?;
    let part = Part::new("ListAliases", input.limit, input.marker, 50)?;
    let target = match input.key_id {
        Some(reference) => {
            let request = request(context, "ListAliases");
            let found = super::super::reference::find(
                world,
                &request,
                &context.region,
                &key_id(Some(reference), "keyId")?,
                OWN_KEYS,
            )?;
            Some(found.key.id.clone())
        }
        None => None,
    };
    let aliases = aliases_in(world, context.now, &context.caller.account, &context.region)
        .into_iter()
        .filter(|alias| target.as_ref().is_none_or(|id| *id == alias.target))
        .map(|alias| {
            let arn = key::alias_arn(&alias.account, &alias.region, &alias.name);
            let entry = json!({
                "AliasName": alias.name,
                "AliasArn": arn,
                "TargetKeyId": alias.target,
                "CreationDate": alias.created.epoch_seconds(),
                "LastUpdatedDate": alias.updated.epoch_seconds(),
            });
            (alias.name.clone(), entry)
        });
    Ok(part.cut("Aliases", aliases))
}
