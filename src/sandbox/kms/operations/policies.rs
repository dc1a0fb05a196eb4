//! Key policies.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::AccountId;
use crate::sandbox::policy::{Policy, Verdict};
use crate::sandbox::world::World;

use super::super::input::{Part, key_id, required, sized};
use super::super::key::Key;
use super::super::reference::OWN_KEYS;
use super::{key_mut, permitted, read, request};

/// Condition keys of other services, and those that no request of the sandbox's KMS carries: a
/// policy that asks for them would mean something else here than on AWS.
fn is_foreign(key: &str) -> bool {
    key.starts_with("s3:")
        || key.starts_with("ec2:")
        || key.starts_with("ebs:")
        || matches!(
            key,
            "aws:sourceip" | "aws:resourceorgid" | "aws:resourceorgpaths"
        )
}

/// The policy of a key that is made without one: the account decides.
pub(super) fn usual(account: &AccountId) -> String {
    let document = json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
            "Action": "kms:*",
            "Resource": "*",
        }]
    });
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// Whether a policy can be put on a key: it is one, it is not too long, and the caller can change
/// it again.
///
/// # Errors
/// `MalformedPolicyDocumentException`, `LimitExceededException`, `ValidationException`.
pub(super) fn check(
    context: &Context,
    world: &World,
    key: &Key,
    document: &str,
    bypass_lockout_check: bool,
) -> Result<(), ServiceError> {
    sized(document, "policy", 1, 131_072)?;
    let most = context.shared.limits.quota("key-policy-bytes");
    if document.len() as u64 > most {
        return Err(ServiceError::new(
            "LimitExceededException",
            format!("A key policy has at most {most} bytes"),
        ));
    }
    let malformed =
        |message: String| ServiceError::new("MalformedPolicyDocumentException", message);
    let is_allowed =
        |one: char| matches!(one, '\t' | '\n' | '\r' | ' '..='\u{ff}') && one != '\u{7f}';
    if !document.chars().all(is_allowed) {
        return Err(malformed(
            "Policy contains characters that are not allowed".to_owned(),
        ));
    }
    let policy = Policy::parse(document).map_err(|error| malformed(error.to_string()))?;
    if let Some(key) = policy
        .condition_keys()
        .into_iter()
        .find(|key| is_foreign(key))
    {
        return Err(malformed(format!(
            "The sandbox's KMS does not know the condition key {key} of its requests"
        )));
    }
    let mut next = request(context, "PutKeyPolicy");
    if bypass_lockout_check {
        return Ok(());
    }
    next = next.with("kms:bypasspolicylockoutsafetycheck", "false");
    if next.verdict(world, key, document)? == Verdict::Allow {
        Ok(())
    } else {
        Err(malformed(
            "The new key policy will not allow you to update the key policy in the future."
                .to_owned(),
        ))
    }
}

fn only_default(name: Option<&str>) -> Result<(), ServiceError> {
    if name.is_some_and(|name| name != "default") {
        return Err(ServiceError::new(
            "NotFoundException",
            "No such policy exists",
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetKeyPolicy {
    key_id: Option<String>,
    policy_name: Option<String>,
}

/// GetKeyPolicy.
pub(super) fn get(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: GetKeyPolicy = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let request = request(context, "GetKeyPolicy");
    let key = permitted(world, context, request, &reference, OWN_KEYS)?;
    only_default(input.policy_name.as_deref())?;
    Ok(json!({ "Policy": key.policy, "PolicyName": "default" }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutKeyPolicy {
    key_id: Option<String>,
    policy_name: Option<String>,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
}

/// PutKeyPolicy. The whole policy is replaced.
pub(super) fn put(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: PutKeyPolicy = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let policy = required(input.policy, "policy")?;
    let bypass = input.bypass_policy_lockout_safety_check == Some(true);
    let request = request(context, "PutKeyPolicy")
        .with("kms:bypasspolicylockoutsafetycheck", bypass.to_string());
    let key = permitted(world, context, request, &reference, OWN_KEYS)?;
    only_default(input.policy_name.as_deref())?;
    check(context, world, key, &policy, bypass)?;
    let arn = key.arn();
    key_mut(world, &arn)?.policy = policy;
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListKeyPolicies {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

/// ListKeyPolicies. There is but `default`.
pub(super) fn list(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: ListKeyPolicies = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let part = Part::new("ListKeyPolicies", input.limit, input.marker, 100)?;
    let request = request(context, "ListKeyPolicies");
    permitted(world, context, request, &reference, OWN_KEYS)?;
    let name = "default".to_owned();
    Ok(part.cut("PolicyNames", std::iter::once((name.clone(), json!(name)))))
}
