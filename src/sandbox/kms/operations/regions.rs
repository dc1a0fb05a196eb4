//! Keys of several Regions: replicas, and which key is the primary one.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::Region;
use crate::sandbox::world::World;

use super::super::grant;
use super::super::input::{key_id, required, sized, unsupported, wrong};
use super::super::key::{self, Key, Needs};
use super::super::reference::OWN_KEYS;
use super::tags::{Tag, checked, shown};
use super::{later, metadata, permitted, policies, read, request};

/// How long a replica, or a change of the primary Region, takes on AWS.
const SOME_SECONDS: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ReplicateKey {
    key_id: Option<String>,
    replica_region: Option<String>,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
    description: Option<String>,
    tags: Option<Vec<Tag>>,
}

/// ReplicateKey: description, tags, policy and state are the replica's own.
pub(super) fn replicate(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: ReplicateKey = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let region = region(input.replica_region, "replicaRegion")?;
    let description = input.description.unwrap_or_default();
    sized(&description, "description", 0, 8192)?;
    let tags = checked(input.tags.unwrap_or_default(), &Default::default())?;
    let request = request(context, "ReplicateKey").with("kms:replicaregion", region.as_str());
    let primary = permitted(world, context, request, &reference, OWN_KEYS)?;
    must_be_primary(world, primary)?;
    primary.require(world, context.now, Needs::Settled)?;
    let arn = key::arn(&primary.account, &region, &primary.id);
    if region == primary.region || key::find(world, context.now, &arn).is_some() {
        return Err(ServiceError::new(
            "AlreadyExistsException",
            format!("{arn} already exists"),
        ));
    }
    let mut replica = Key {
        region,
        created: context.now,
        ready: later(context, SOME_SECONDS),
        description,
        tags,
        enabled: true,
        deletion: None,
        updating_until: None,
        policy: policies::usual(&primary.account),
        ..primary.clone()
    };
    if let Some(policy) = input.policy {
        let bypass = input.bypass_policy_lockout_safety_check == Some(true);
        policies::check(context, world, &replica, &policy, bypass)?;
        replica.policy = policy;
    }
    forget_former(world, &replica);
    world.kms.keys.insert(arn, replica.clone());
    Ok(json!({
        "ReplicaKeyMetadata": metadata::of(world, context.now, &replica)?,
        "ReplicaPolicy": replica.policy,
        "ReplicaTags": shown(&replica.tags),
    }))
}

/// Removes what is left of a deleted replica in the place of a new one, which has the same ARN:
/// its grants and aliases were deleted with it.
fn forget_former(world: &mut World, replica: &Key) {
    let grants = grant::of_key(world, &replica.arn())
        .into_iter()
        .map(|grant| grant::shelf_key(&replica.arn(), &grant.id));
    for key in grants.collect::<Vec<_>>() {
        world.kms.grants.remove(&key);
    }
    let prefix = key::alias_arn(&replica.account, &replica.region, "alias/");
    let aliases = world
        .kms
        .aliases
        .under(prefix)
        .filter(|(_, alias)| alias.target == replica.id)
        .map(|(arn, _)| arn.to_owned());
    for arn in aliases.collect::<Vec<_>>() {
        world.kms.aliases.remove(&arn);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdatePrimaryRegion {
    key_id: Option<String>,
    primary_region: Option<String>,
}

/// UpdatePrimaryRegion.
pub(super) fn update_primary(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: UpdatePrimaryRegion = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let region = region(input.primary_region, "primaryRegion")?;
    let request =
        request(context, "UpdatePrimaryRegion").with("kms:primaryregion", region.as_str());
    let primary = permitted(world, context, request, &reference, OWN_KEYS)?;
    must_be_primary(world, primary)?;
    primary.require(world, context.now, Needs::Settled)?;
    if region == primary.region {
        return Err(unsupported(format!(
            "{} is the primary key already",
            primary.arn()
        )));
    }
    let next = key::arn(&primary.account, &region, &primary.id);
    let replica = key::find(world, context.now, &next).ok_or_else(|| {
        ServiceError::new("NotFoundException", format!("Key '{next}' does not exist"))
    })?;
    // The caller must be allowed to do it at both keys.
    super::request(context, "UpdatePrimaryRegion")
        .with("kms:primaryregion", region.as_str())
        .check(world, replica)?;
    replica.require(world, context.now, Needs::Settled)?;
    let (id, former) = (primary.id.clone(), primary.arn());
    let until = later(context, SOME_SECONDS);
    for arn in [former, next] {
        super::key_mut(world, &arn)?.updating_until = Some(until);
    }
    if let Some(material) = world.kms.materials.get_mut(&id) {
        material.primary = region;
    }
    Ok(Value::Null)
}

fn must_be_primary(world: &World, key: &Key) -> Result<(), ServiceError> {
    if key.is_multi_region() && key.is_primary(world) {
        return Ok(());
    }
    let what = if key.is_multi_region() {
        "is a replica key: this can only be done with the primary key"
    } else {
        "is not a multi-Region key"
    };
    Err(unsupported(format!("{} {what}", key.arn())))
}

fn region(text: Option<String>, member: &str) -> Result<Region, ServiceError> {
    let text = required(text, member)?;
    text.parse().map_err(wrong)
}
