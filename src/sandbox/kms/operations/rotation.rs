//! Rotation of symmetric keys. Versions follow from the time that passed.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

use super::super::input::{key_id, unsupported, within};
use super::super::key::{Key, KeyState, Needs};
use super::super::material::Spec;
use super::super::reference::{KEYS, OWN_KEYS};
use super::{permitted, read, request};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OnlyKey {
    key_id: Option<String>,
}

/// GetKeyRotationStatus.
pub(super) fn status(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: OnlyKey = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let request = request(context, "GetKeyRotationStatus");
    let key = permitted(world, context, request, &reference, KEYS)?;
    must_be_symmetric(key)?;
    let rotation = key.material(world)?.rotation.as_ref();
    let mut answer = json!({
        "KeyId": key.arn(),
        "KeyRotationEnabled": rotation.is_some(),
    });
    if let Some(rotation) = rotation {
        answer["RotationPeriodInDays"] = json!(rotation.days);
        if key.state(world, context.now) == KeyState::Enabled {
            answer["NextRotationDate"] = json!(rotation.next(context.now).epoch_seconds());
        }
    }
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EnableKeyRotation {
    key_id: Option<String>,
    rotation_period_in_days: Option<i64>,
}

/// EnableKeyRotation.
pub(super) fn enable(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: EnableKeyRotation = read(context)?;
    let days = within(
        input.rotation_period_in_days.unwrap_or(365),
        "rotationPeriodInDays",
        90..=2560,
    )?;
    set(
        context,
        world,
        "EnableKeyRotation",
        input.key_id,
        Some(days),
    )
}

/// DisableKeyRotation.
pub(super) fn disable(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: OnlyKey = read(context)?;
    set(context, world, "DisableKeyRotation", input.key_id, None)
}

fn set(
    context: &Context,
    world: &mut World,
    action: &str,
    reference: Option<String>,
    days: Option<u32>,
) -> Result<Value, ServiceError> {
    let reference = key_id(reference, "keyId")?;
    let key = permitted(
        world,
        context,
        request(context, action),
        &reference,
        OWN_KEYS,
    )?;
    must_be_symmetric(key)?;
    key.require(world, context.now, Needs::Usable)?;
    if !key.is_primary(world) {
        return Err(unsupported(format!(
            "{} is a multi-Region replica key: its rotation is set on the primary key",
            key.arn()
        )));
    }
    let id = key.id.clone();
    let material = world.kms.materials.get_mut(&id);
    let material =
        material.ok_or_else(|| ServiceError::internal(format!("the key {id} has no material")))?;
    let is_same = material.rotation.as_ref().map(|rotation| rotation.days) == days;
    if !is_same {
        material.set_rotation(context.now, days);
    }
    Ok(Value::Null)
}

fn must_be_symmetric(key: &Key) -> Result<(), ServiceError> {
    if key.spec == Spec::Symmetric {
        Ok(())
    } else {
        Err(unsupported(format!(
            "{} is asymmetric: only symmetric encryption keys rotate",
            key.arn()
        )))
    }
}
