//! Keys as such: made, described, listed, enabled, disabled, deleted.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::new_uuid;
use crate::sandbox::world::World;

use super::super::grant;
use super::super::input::{self, Part, key_id, one_of, required, sized, unsupported, within};
use super::super::key::{self, Deletion, Key, KeyState, Needs};
use super::super::managed;
use super::super::material::{Material, Spec};
use super::super::reference::{ANY, OWN_KEYS, Reference};
use super::tags::Tag;
use super::{key_mut, metadata, permitted, policies, read, request};

const USAGES: &[&str] = &[
    "SIGN_VERIFY",
    "ENCRYPT_DECRYPT",
    "GENERATE_VERIFY_MAC",
    "KEY_AGREEMENT",
    "ENCAPSULATE_DECAPSULATE",
];
const SPECS: &[&str] = &[
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "SYMMETRIC_DEFAULT",
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "SM2",
    "ML_DSA_44",
    "ML_DSA_65",
    "ML_DSA_87",
    "ECC_NIST_EDWARDS25519",
    "ML_KEM_512",
    "ML_KEM_768",
    "ML_KEM_1024",
];
const ORIGINS: &[&str] = &["AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateKey {
    policy: Option<String>,
    description: Option<String>,
    key_usage: Option<String>,
    customer_master_key_spec: Option<String>,
    key_spec: Option<String>,
    origin: Option<String>,
    custom_key_store_id: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
    tags: Option<Vec<Tag>>,
    multi_region: Option<bool>,
    xks_key_id: Option<String>,
}

impl CreateKey {
    /// The kind of key asked for.
    fn spec(&self) -> Result<Spec, ServiceError> {
        let given = match (&self.key_spec, &self.customer_master_key_spec) {
            (Some(_), Some(_)) => {
                return Err(input::wrong(
                    "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
                     CustomerMasterKeySpec is deprecated.",
                ));
            }
            (Some(spec), None) => one_of(spec, "keySpec", SPECS)?,
            (None, Some(spec)) => one_of(spec, "customerMasterKeySpec", SPECS)?,
            (None, None) => "SYMMETRIC_DEFAULT",
        };
        let usage = self.key_usage.as_deref();
        let usage = usage
            .map(|usage| one_of(usage, "keyUsage", USAGES))
            .transpose()?;
        let spec = match given {
            "SYMMETRIC_DEFAULT" => Spec::Symmetric,
            "ECC_NIST_P256" => Spec::EccP256,
            other => {
                return Err(unsupported(format!(
                    "The sandbox has keys of the specs SYMMETRIC_DEFAULT and ECC_NIST_P256 only, \
                     not {other}"
                )));
            }
        };
        match usage {
            None if spec == Spec::EccP256 => Err(input::wrong(
                "You must specify a KeyUsage value for an asymmetric KMS key.",
            )),
            Some("KEY_AGREEMENT") if spec == Spec::EccP256 => {
                Err(unsupported("The sandbox has no keys for KEY_AGREEMENT"))
            }
            Some(usage) if usage != spec.usage() => Err(input::wrong(format!(
                "KeyUsage {usage} is not compatible with KeySpec {}",
                spec.name()
            ))),
            _ => Ok(spec),
        }
    }

    fn check_origin(&self) -> Result<(), ServiceError> {
        let origin = self.origin.as_deref().unwrap_or("AWS_KMS");
        let elsewhere = self.custom_key_store_id.is_some() || self.xks_key_id.is_some();
        if one_of(origin, "origin", ORIGINS)? != "AWS_KMS" || elsewhere {
            return Err(unsupported(
                "The sandbox has no imported key material and no custom key stores: Origin is \
                 AWS_KMS",
            ));
        }
        Ok(())
    }
}

/// CreateKey.
pub(super) fn create(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: CreateKey = read(context)?;
    let spec = input.spec()?;
    input.check_origin()?;
    let description = input.description.unwrap_or_default();
    sized(&description, "description", 0, 8192)?;
    let tags = super::tags::checked(input.tags.unwrap_or_default(), &BTreeMap::new())?;
    let id = if input.multi_region == Some(true) {
        format!("mrk-{}", new_uuid().replace('-', ""))
    } else {
        new_uuid()
    };
    let account = &context.caller.account;
    let mut key = Key {
        id,
        account: account.clone(),
        region: context.region.clone(),
        spec,
        aws_managed: false,
        created: context.now,
        ready: context.now,
        updating_until: None,
        description,
        enabled: true,
        deletion: None,
        policy: policies::usual(account),
        tags,
    };
    if let Some(policy) = input.policy {
        let bypass = input.bypass_policy_lockout_safety_check == Some(true);
        policies::check(context, world, &key, &policy, bypass)?;
        key.policy = policy;
    }
    let material = Material::new(spec, context.region.clone())?;
    world.kms.materials.insert(key.id.clone(), material);
    world.kms.keys.insert(key.arn(), key.clone());
    Ok(json!({ "KeyMetadata": metadata::of(world, context.now, &key)? }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeKey {
    key_id: Option<String>,
    grant_tokens: Option<Vec<String>>,
}

/// Makes `aws/ebs` where DescribeKey asks about it, as on AWS.
pub(super) fn make_default_if_asked(context: &Context) -> Result<(), ServiceError> {
    let input: DescribeKey = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let (account, region) = (&context.caller.account, &context.region);
    let default = key::arn(account, region, &managed::ebs_key_id(account, region));
    let alias = key::alias_arn(account, region, managed::EBS_ALIAS);
    let asked = Reference::parse(account, region, &reference).map(|asked| asked.arn());
    if asked.is_some_and(|asked| asked == default || asked == alias) {
        context.transact(|world| {
            managed::make_ebs_key(world, context.now, account, region);
            Ok(())
        })?;
    }
    Ok(())
}

/// DescribeKey.
pub(super) fn describe(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: DescribeKey = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let tokens = grant::of_tokens(world, &input.grant_tokens.unwrap_or_default())?;
    let mut request = request(context, "DescribeKey");
    request.tokens = &tokens;
    let key = permitted(world, context, request, &reference, ANY)?;
    Ok(json!({ "KeyMetadata": metadata::of(world, context.now, key)? }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListKeys {
    limit: Option<i64>,
    marker: Option<String>,
    resource_owners: Option<Vec<String>>,
}

/// ListKeys.
pub(super) fn list(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: ListKeys = read(context)?;
    let part = Part::new("ListKeys", input.limit, input.marker, 100)?;
    for owner in input.resource_owners.into_iter().flatten() {
        if one_of(
            &owner,
            "resourceOwners",
            &["SELF", "OTHER_ACCOUNTS_VIA_RAM"],
        )? != "SELF"
        {
            return Err(unsupported(
                "The sandbox has no keys that are shared by RAM",
            ));
        }
    }
    let prefix = key::arn(&context.caller.account, &context.region, "");
    let keys = world
        .kms
        .keys
        .under(prefix)
        .filter(|(_, key)| key.state(world, context.now) != KeyState::Deleted)
        .map(|(arn, key)| {
            let entry = json!({ "KeyId": key.id, "KeyArn": arn });
            (key.id.clone(), entry)
        });
    Ok(part.cut("Keys", keys))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OnlyKey {
    key_id: Option<String>,
}

/// EnableKey.
pub(super) fn enable(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    switch(context, world, "EnableKey", true)
}

/// DisableKey.
pub(super) fn disable(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    switch(context, world, "DisableKey", false)
}

fn switch(
    context: &Context,
    world: &mut World,
    action: &str,
    enabled: bool,
) -> Result<Value, ServiceError> {
    let input: OnlyKey = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let key = permitted(
        world,
        context,
        request(context, action),
        &reference,
        OWN_KEYS,
    )?;
    key.require(world, context.now, Needs::Kept)?;
    let arn = key.arn();
    key_mut(world, &arn)?.enabled = enabled;
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ScheduleKeyDeletion {
    key_id: Option<String>,
    pending_window_in_days: Option<i64>,
}

/// ScheduleKeyDeletion.
pub(super) fn schedule_deletion(
    context: &Context,
    world: &mut World,
) -> Result<Value, ServiceError> {
    let input: ScheduleKeyDeletion = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let days = within(
        input.pending_window_in_days.unwrap_or(30),
        "pendingWindowInDays",
        7..=30,
    )?;
    let request = request(context, "ScheduleKeyDeletion")
        .with("kms:scheduledeletionpendingwindowindays", days.to_string());
    let key = permitted(world, context, request, &reference, OWN_KEYS)?;
    key.require(world, context.now, Needs::Kept)?;
    let arn = key.arn();
    key_mut(world, &arn)?.deletion = Some(Deletion {
        asked: context.now,
        days,
    });
    let key = required(key::find(world, context.now, &arn), "keyId")?;
    let state = key.state(world, context.now);
    let mut answer = json!({
        "KeyId": arn,
        "KeyState": state.name(),
        "PendingWindowInDays": days,
    });
    if let KeyState::PendingDeletion(date) = state {
        answer["DeletionDate"] = json!(date.epoch_seconds());
    }
    Ok(answer)
}

/// CancelKeyDeletion. The key is disabled then.
pub(super) fn cancel_deletion(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: OnlyKey = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let request = request(context, "CancelKeyDeletion");
    let key = permitted(world, context, request, &reference, OWN_KEYS)?;
    key.require(world, context.now, Needs::Doomed)?;
    let arn = key.arn();
    let key = key_mut(world, &arn)?;
    key.deletion = None;
    key.enabled = false;
    Ok(json!({ "KeyId": arn }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdateKeyDescription {
    key_id: Option<String>,
    description: Option<String>,
}

/// UpdateKeyDescription.
pub(super) fn update_description(
    context: &Context,
    world: &mut World,
) -> Result<Value, ServiceError> {
    let input: UpdateKeyDescription = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let description = required(input.description, "description")?;
    sized(&description, "description", 0, 8192)?;
    let request = request(context, "UpdateKeyDescription");
    let key = permitted(world, context, request, &reference, OWN_KEYS)?;
    key.require(world, context.now, Needs::Kept)?;
    let arn = key.arn();
    key_mut(world, &arn)?.description = description;
    Ok(Value::Null)
}
