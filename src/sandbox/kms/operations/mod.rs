//! KMS's operations.

mod aliases;
mod encryption;
pub(super) mod grants;
mod keys;
mod metadata;
mod policies;
mod regions;
mod rotation;
mod signing;
mod tags;

use std::time::Duration;

use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::http::Reply;
use crate::sandbox::iam;
use crate::sandbox::wire::json;
use crate::sandbox::world::World;

use super::access::Request;
use super::key::{Key, alias_arn};
use super::reference::{self, Found, Takes};

/// An operation that only looks.
type Look = fn(&Context, &World) -> Result<Value, ServiceError>;
/// An operation that changes something.
type Act = fn(&Context, &mut World) -> Result<Value, ServiceError>;

/// An operation. Without a result it gives null.
#[derive(Clone, Copy)]
enum Operation {
    Look(Look),
    Act(Act),
}

fn operation(name: &str) -> Option<Operation> {
    use Operation::{Act, Look};
    Some(match name {
        "CreateKey" => Act(keys::create),
        "DescribeKey" => Look(keys::describe),
        "ListKeys" => Look(keys::list),
        "EnableKey" => Act(keys::enable),
        "DisableKey" => Act(keys::disable),
        "ScheduleKeyDeletion" => Act(keys::schedule_deletion),
        "CancelKeyDeletion" => Act(keys::cancel_deletion),
        "UpdateKeyDescription" => Act(keys::update_description),
        "TagResource" => Act(tags::tag),
        "UntagResource" => Act(tags::untag),
        "ListResourceTags" => Look(tags::list),
        "CreateAlias" => Act(aliases::create),
        "UpdateAlias" => Act(aliases::update),
        "DeleteAlias" => Act(aliases::delete),
        "ListAliases" => Look(aliases::list),
        "ReplicateKey" => Act(regions::replicate),
        "UpdatePrimaryRegion" => Act(regions::update_primary),
        "GetKeyPolicy" => Look(policies::get),
        "PutKeyPolicy" => Act(policies::put),
        "ListKeyPolicies" => Look(policies::list),
        "CreateGrant" => Act(grants::create),
        "ListGrants" => Look(grants::list),
        "ListRetirableGrants" => Look(grants::list_retirable),
        "RevokeGrant" => Act(grants::revoke),
        "RetireGrant" => Act(grants::retire),
        "Encrypt" => Look(encryption::encrypt),
        "Decrypt" => Look(encryption::decrypt),
        "ReEncrypt" => Look(encryption::re_encrypt),
        "GenerateDataKey" => Look(encryption::data_key),
        "GenerateDataKeyWithoutPlaintext" => Look(encryption::data_key_without_plaintext),
        "GenerateRandom" => Look(encryption::random_bytes),
        "Sign" => Look(signing::sign),
        "Verify" => Look(signing::verify),
        "GetPublicKey" => Look(signing::public_key),
        "GetKeyRotationStatus" => Look(rotation::status),
        "EnableKeyRotation" => Act(rotation::enable),
        "DisableKeyRotation" => Act(rotation::disable),
        _ => return None,
    })
}

/// Answers a call.
pub(super) fn handle(context: &Context) -> Result<Reply, ServiceError> {
    let is_kms = context
        .request
        .header("x-amz-target")
        .is_none_or(|target| target.starts_with("TrentService."));
    let Some(operation) = operation(&context.operation).filter(|_| is_kms) else {
        return Err(ServiceError::new(
            "UnknownOperationException",
            format!("The sandbox's KMS has no operation {}", context.operation),
        ));
    };
    iam::check(context, wish_without_key(context))?;
    if context.operation == "DescribeKey" {
        keys::make_default_if_asked(context)?;
    }
    let answer = match operation {
        Operation::Look(look) => context.read(|world| look(context, world))?,
        Operation::Act(act) => context.transact(|world| act(context, world))?,
    };
    let reply = Reply::json(&answer)?;
    Ok(match answer {
        Value::Null => Reply {
            body: Bytes::new(),
            ..reply
        },
        _ => reply,
    })
}

/// What a call asks for that is no key's. What it asks of a key is weighed with the key's policy.
fn wish_without_key(context: &Context) -> Vec<iam::Wish> {
    let action = format!("kms:{}", context.operation);
    let body: Value = serde_json::from_slice(&context.request.body).unwrap_or_default();
    match context.operation.as_str() {
        "CreateKey" => {
            let is_tagged = body["Tags"].as_array().is_some_and(|tags| !tags.is_empty());
            let tagging = is_tagged.then(|| iam::Wish::new("kms:TagResource", "*"));
            [iam::Wish::new(action, "*")]
                .into_iter()
                .chain(tagging)
                .collect()
        }
        "ListKeys" | "ListAliases" | "GenerateRandom" | "ListRetirableGrants" => {
            vec![iam::Wish::new(action, "*")]
        }
        "CreateAlias" | "UpdateAlias" | "DeleteAlias" => {
            let name = body["AliasName"].as_str().unwrap_or_default();
            let arn = alias_arn(&context.caller.account, &context.region, name);
            vec![iam::Wish::new(action, arn)]
        }
        _ => Vec::new(),
    }
}

/// Reads the request's body.
fn read<T: DeserializeOwned>(context: &Context) -> Result<T, ServiceError> {
    json::read(&context.request.body)
}

/// A request for a key by the caller of this call.
fn request<'a>(context: &'a Context, action: &'a str) -> Request<'a> {
    Request::new(&context.caller, context.now, action)
}

/// Finds the key that a call names and sees that the caller may do this with it.
fn permitted<'w>(
    world: &'w World,
    context: &Context,
    request: Request<'_>,
    reference: &str,
    takes: Takes,
) -> Result<&'w Key, ServiceError> {
    let Found { key, alias } = reference::find(world, &request, &context.region, reference, takes)?;
    let request = match alias {
        Some(alias) => request.with("kms:requestalias", alias),
        None => request,
    };
    request.check(world, key)?;
    Ok(key)
}

/// The key of an ARN that was found before, to change it.
fn key_mut<'w>(world: &'w mut World, arn: &str) -> Result<&'w mut Key, ServiceError> {
    world
        .kms
        .keys
        .get_mut(arn)
        .ok_or_else(|| ServiceError::internal(format!("the key {arn} is gone")))
}

/// When something that takes AWS so long is done. It follows from the moment of the call, so that
/// without delays it is done for that call's own answer.
fn later(context: &Context, takes: Duration) -> Timestamp {
    context
        .now
        .plus(takes.mul_f64(context.shared.clock.scale()))
}

/// What a call with `DryRun` answers where it would have succeeded.
fn unless_dry_run(dry_run: Option<bool>) -> Result<(), ServiceError> {
    if dry_run == Some(true) {
        return Err(ServiceError::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        ));
    }
    Ok(())
}

/// `InvalidKeyUsageException`: the key is not for that.
pub(super) fn wrong_usage(key: &Key, operation: &str) -> ServiceError {
    ServiceError::new(
        "InvalidKeyUsageException",
        format!(
            "{} key usage is {} which is not valid for {operation}.",
            key.arn(),
            key.spec.usage()
        ),
    )
}
