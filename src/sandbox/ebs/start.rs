//! Starting a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::{
    authorize, invalid_value, key_not_found, quota_exceeded, snapshot_not_found, validation,
};
use super::request::Parts;
use crate::sandbox::blocks::BLOCK_SIZE;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::places::ebs_defaults;
use crate::sandbox::ec2::snapshots::{self, NO_VOLUME, Origin, Progress, Snapshot, state};
use crate::sandbox::error::ServiceError;
use crate::sandbox::http::Reply;
use crate::sandbox::id::{new_id, new_uuid};
use crate::sandbox::kms::{self, KeyUse};
use crate::sandbox::wire::json;
use crate::sandbox::world::World;

/// The largest volume, in GiB.
const LARGEST: i64 = 65_536;

/// Minutes without a put after which a snapshot fails, where the call does not say.
const TIMEOUT: u32 = 60;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Input {
    volume_size: Option<i64>,
    parent_snapshot_id: Option<String>,
    tags: Option<Vec<Tag>>,
    description: Option<String>,
    client_token: Option<String>,
    encrypted: Option<bool>,
    kms_key_arn: Option<String>,
    timeout: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Tag {
    key: Option<String>,
    value: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    snapshot_id: &'a str,
    owner_id: &'a str,
    status: &'static str,
    start_time: f64,
    volume_size: u32,
    block_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_snapshot_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<&'a str>,
}

/// What was asked for, checked.
struct Plan {
    size_gib: u32,
    timeout_minutes: u32,
    tags: BTreeMap<String, String>,
    input: Input,
}

pub(super) fn start_snapshot(context: &Context, parts: Parts<'_>) -> Result<Reply, ServiceError> {
    parts.finish()?;
    let mut input: Input = json::read(&context.request.body)?;
    let token = input.client_token.take();
    if let Some(token) = &token {
        check_token(token)?;
    }
    let fingerprint = serde_json::to_vec(&input).map_err(ServiceError::internal)?;
    let fingerprint = crate::digest::sha256(&fingerprint);
    let plan = check(input)?;
    let body = context.transact(|world| {
        let known = world
            .tokens
            .recall(context, token.as_deref(), &fingerprint)
            .map_err(|error| ServiceError::new("ConflictException", error.message).status(409))?;
        if let Some(body) = known {
            return Ok(body);
        }
        let body = start(context, world, plan)?;
        world
            .tokens
            .keep(context, token.as_deref(), &fingerprint, &body);
        Ok(body)
    })?;
    Ok(Reply {
        status: 201,
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.into(),
    })
}

fn check_token(token: &str) -> Result<(), ServiceError> {
    let fits = (1..=64).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        Ok(())
    } else {
        Err(invalid_value(
            "ClientToken must have 1 to 64 ASCII characters without spaces",
        ))
    }
}

fn check(input: Input) -> Result<Plan, ServiceError> {
    let size = input
        .volume_size
        .ok_or_else(|| invalid_value("VolumeSize is missing"))?;
    let size_gib = u32::try_from(size)
        .ok()
        .filter(|_| (1..=LARGEST).contains(&size))
        .ok_or_else(|| {
            validation(
                "INVALID_VOLUME_SIZE",
                format!("VolumeSize is {size}; it must be from 1 to {LARGEST} GiB"),
            )
        })?;
    let timeout_minutes = match input.timeout {
        None => TIMEOUT,
        Some(minutes) => u32::try_from(minutes)
            .ok()
            .filter(|minutes| (10..=4320).contains(minutes))
            .ok_or_else(|| {
                invalid_value(format!(
                    "Timeout is {minutes}; it must be from 10 to 4320 minutes"
                ))
            })?,
    };
    if input
        .description
        .as_ref()
        .is_some_and(|text| !(1..=255).contains(&text.chars().count()))
    {
        return Err(invalid_value("Description must have 1 to 255 characters"));
    }
    if input.parent_snapshot_id.is_some()
        && (input.encrypted.is_some() || input.kms_key_arn.is_some())
    {
        return Err(validation(
            "INVALID_DEPENDENCY_REQUEST",
            "Encrypted and KmsKeyArn cannot be given with ParentSnapshotId: a snapshot is encrypted \
             as its parent is",
        ));
    }
    let tags = check_tags(input.tags.as_deref().unwrap_or_default())?;
    Ok(Plan {
        size_gib,
        timeout_minutes,
        tags,
        input,
    })
}

fn check_tags(given: &[Tag]) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut tags = BTreeMap::new();
    for tag in given {
        let key = tag.key.clone().unwrap_or_default();
        let value = tag.value.clone().unwrap_or_default();
        if tags.insert(key.clone(), value).is_some() {
            return Err(validation(
                "INVALID_TAG",
                format!("Duplicate tag key '{key}' specified."),
            ));
        }
    }
    Ok(tags)
}

/// Makes the snapshot; the answer's body.
fn start(context: &Context, world: &mut World, plan: Plan) -> Result<String, ServiceError> {
    let shared = &context.shared;
    let limit = shared.limits.quota("pending-snapshots");
    if snapshots::pending(context, world, |_| true) >= limit {
        return Err(quota_exceeded(format!(
            "There are {limit} pending snapshots already"
        )));
    }
    let parent = match &plan.input.parent_snapshot_id {
        Some(id) => Some(check_parent(context, world, id, plan.size_gib)?),
        None => None,
    };
    let key = choose_key(context, world, &plan.input, parent.as_ref())?;
    let snapshot = Snapshot {
        id: new_id("snap"),
        owner: context.caller.account.clone(),
        region: context.region.clone(),
        size_gib: plan.size_gib,
        description: plan.input.description.clone().unwrap_or_default(),
        started: context.now,
        key,
        volume_id: NO_VOLUME.to_owned(),
        progress: match &context.mishaps.fail_later {
            Some(reason) => Progress::Fails {
                at: context.now,
                reason: reason.clone(),
            },
            None => Progress::Open,
        },
        shared_with: BTreeSet::new(),
        public: false,
        origin: Origin::Direct {
            parent: plan.input.parent_snapshot_id.clone(),
            timeout_minutes: plan.timeout_minutes,
        },
        lineage: parent.map_or_else(new_uuid, |parent| parent.lineage),
    };
    world
        .tags
        .add(
            &context.caller.account,
            &context.region,
            "snapshot",
            &snapshot.id,
            &plan.tags,
        )
        .map_err(|error| validation("INVALID_TAG", error.message))?;
    let body = body(&snapshot, &plan)?;
    // The parent's data is there as long as nobody else has the world.
    shared
        .blocks
        .start(
            &snapshot.id,
            plan.input.parent_snapshot_id.as_deref(),
            context.now,
        )
        .map_err(ServiceError::internal)?;
    world.ec2.snapshots.insert(snapshot.id.clone(), snapshot);
    Ok(body)
}

fn check_parent(
    context: &Context,
    world: &World,
    id: &str,
    size_gib: u32,
) -> Result<Snapshot, ServiceError> {
    let parent = snapshots::readable(context, world, id).map_err(|_| snapshot_not_found(id))?;
    if state(&parent, context.now) != "completed" {
        return Err(validation(
            "INVALID_SNAPSHOT_ID",
            format!("The parent snapshot '{id}' is not completed."),
        ));
    }
    if size_gib < parent.size_gib {
        return Err(validation(
            "INVALID_VOLUME_SIZE",
            format!(
                "VolumeSize is {size_gib}; the parent snapshot has {} GiB",
                parent.size_gib
            ),
        ));
    }
    Ok(parent)
}

/// The key by the tables of "Encryption outcomes for EBS direct APIs" in the user guide.
fn choose_key(
    context: &Context,
    world: &mut World,
    input: &Input,
    parent: Option<&Snapshot>,
) -> Result<Option<String>, ServiceError> {
    let account = &context.caller.account;
    let defaults = ebs_defaults(world, account, &context.region);
    let key = match (parent, input.encrypted, &input.kms_key_arn) {
        (Some(parent), _, _) => match &parent.key {
            None if defaults.encrypt => {
                return Err(validation(
                    "INVALID_DEPENDENCY_REQUEST",
                    "The parent snapshot is not encrypted, and encryption by default is enabled",
                ));
            }
            key => key.clone(),
        },
        (None, Some(true), Some(arn)) => {
            if !arn.starts_with("arn:") {
                return Err(invalid_value(format!("KmsKeyArn '{arn}' is no key's ARN")));
            }
            let key = kms::resolve(world, account, &context.region, arn)
                .ok_or_else(|| key_not_found(arn))?;
            // The account's own default key may have been named before it was made.
            if kms::is_aws_managed(world, &key) && key.split(':').nth(4) == Some(account.as_str()) {
                kms::ebs_default_key(world, account, &context.region);
            }
            Some(key)
        }
        (None, _, Some(_)) => {
            return Err(invalid_value(
                "KmsKeyArn can only be given where Encrypted is true",
            ));
        }
        (None, Some(true), None) => Some(default_key(context, world, defaults.key)),
        (None, Some(false), None) if defaults.encrypt => {
            return Err(invalid_value(
                "Encrypted cannot be false: encryption by default is enabled",
            ));
        }
        (None, None, None) if defaults.encrypt => Some(default_key(context, world, defaults.key)),
        (None, _, None) => None,
    };
    authorize(context, world, key.as_deref(), KeyUse::Encrypt)?;
    Ok(key)
}

fn default_key(context: &Context, world: &mut World, default: Option<String>) -> String {
    default.unwrap_or_else(|| kms::ebs_default_key(world, &context.caller.account, &context.region))
}

fn body(snapshot: &Snapshot, plan: &Plan) -> Result<String, ServiceError> {
    serde_json::to_string(&Output {
        snapshot_id: &snapshot.id,
        owner_id: snapshot.owner.as_str(),
        status: "pending",
        start_time: snapshot.started.epoch_seconds(),
        volume_size: snapshot.size_gib,
        block_size: BLOCK_SIZE,
        description: plan.input.description.as_deref(),
        tags: plan
            .tags
            .iter()
            .map(|(key, value)| Tag {
                key: Some(key.clone()),
                value: Some(value.clone()),
            })
            .collect(),
        parent_snapshot_id: plan.input.parent_snapshot_id.as_deref(),
        kms_key_arn: snapshot.key.as_deref(),
    })
    .map_err(ServiceError::internal)
}
