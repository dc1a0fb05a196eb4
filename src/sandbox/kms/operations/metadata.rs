//! `KeyMetadata`.

use serde_json::{Map, Value, json};

use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

use super::super::key::{Key, KeyState};
use super::super::material::Spec;

/// A key as DescribeKey shows it.
pub(super) fn of(world: &World, now: Timestamp, key: &Key) -> Result<Value, ServiceError> {
    let state = key.state(world, now);
    let mut metadata = Map::new();
    let mut add = |name: &str, value: Value| {
        metadata.insert(name.to_owned(), value);
    };
    add("AWSAccountId", json!(key.account));
    add("KeyId", json!(key.id));
    add("Arn", json!(key.arn()));
    add("CreationDate", json!(key.created.epoch_seconds()));
    let is_enabled = matches!(state, KeyState::Enabled | KeyState::Updating);
    add("Enabled", json!(is_enabled));
    add("Description", json!(key.description));
    add("KeyUsage", json!(key.spec.usage()));
    add("KeyState", json!(state.name()));
    add("Origin", json!("AWS_KMS"));
    let manager = if key.aws_managed { "AWS" } else { "CUSTOMER" };
    add("KeyManager", json!(manager));
    add("CustomerMasterKeySpec", json!(key.spec.name()));
    add("KeySpec", json!(key.spec.name()));
    match key.spec {
        Spec::Symmetric => {
            add("EncryptionAlgorithms", json!(["SYMMETRIC_DEFAULT"]));
            let material = key.material(world)?;
            let version = material.version_id(material.version(now))?;
            add("CurrentKeyMaterialId", json!(version));
        }
        Spec::EccP256 => add("SigningAlgorithms", json!(["ECDSA_SHA_256"])),
    }
    match state {
        KeyState::PendingDeletion(date) => add("DeletionDate", json!(date.epoch_seconds())),
        KeyState::PendingReplicaDeletion => {
            let days = key.deletion.as_ref().map(|deletion| deletion.days);
            add("PendingDeletionWindowInDays", json!(days));
        }
        _ => {}
    }
    add("MultiRegion", json!(key.is_multi_region()));
    if key.is_multi_region() {
        add("MultiRegionConfiguration", relations(world, now, key));
    }
    Ok(metadata.into())
}

/// A multi-Region key's place among its relatives.
fn relations(world: &World, now: Timestamp, key: &Key) -> Value {
    let is_updating = key.state(world, now) == KeyState::Updating;
    let mut all = key.relatives(world, now);
    all.push(key);
    all.sort_by_key(|relative| relative.region.clone());
    let place = |key: &Key| json!({ "Arn": key.arn(), "Region": key.region });
    let (primary, replicas): (Vec<&Key>, Vec<&Key>) = all
        .into_iter()
        .partition(|relative| relative.is_primary(world));
    let kind = match key.is_primary(world) && !is_updating {
        true => "PRIMARY",
        false => "REPLICA",
    };
    json!({
        "MultiRegionKeyType": kind,
        "PrimaryKey": primary.first().map(|key| place(key)),
        "ReplicaKeys": replicas.into_iter().map(place).collect::<Vec<_>>(),
    })
}
