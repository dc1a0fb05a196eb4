//! Describing snapshots.

use super::{
    Origin, Progress, Snapshot, as_of_now, check_id, is_public, is_visible, not_found, state,
};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::AccountId;
use crate::sandbox::tag::{filter_values, write_tags};
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

const FILTERS: &[&str] = &[
    "description",
    "encrypted",
    "owner-alias",
    "owner-id",
    "progress",
    "snapshot-id",
    "start-time",
    "status",
    "storage-tier",
    "transfer-type",
    "tag:",
    "tag-key",
    "volume-id",
    "volume-size",
];

pub(super) fn describe_snapshots(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("SnapshotId")?;
    let owners = params.list("Owner")?;
    let restorable_by = params.list("RestorableBy")?;
    let filters = Filters::take(params, FILTERS)?;
    let page = Page::take(params, "DescribeSnapshots", 5..=1000)?;
    params.finish()?;
    if !ids.is_empty() && page.is_limited() {
        return Err(ServiceError::invalid_combination(
            "The parameter snapshotSet cannot be used with the parameter maxResults",
        ));
    }
    let account = &context.caller.account;
    let visible: Vec<Snapshot> = world
        .ec2
        .snapshots
        .values()
        .filter(|snapshot| snapshot.region == context.region)
        .filter(|snapshot| is_visible(world, account, snapshot))
        .map(|snapshot| as_of_now(context, snapshot))
        .collect();
    for id in &ids {
        check_id("snapshotId", "snap", id)?;
        if !visible.iter().any(|snapshot| snapshot.id == *id) {
            return Err(not_found(id));
        }
    }
    for name in owners.iter().filter(|name| *name != "amazon") {
        check_account("owner", name, &["self"])?;
    }
    for name in &restorable_by {
        check_account("restorableBy", name, &["self", "all"])?;
    }
    let found = visible
        .into_iter()
        .filter(|snapshot| ids.is_empty() || ids.contains(&snapshot.id))
        .filter(|snapshot| {
            owners.is_empty()
                || owners
                    .iter()
                    .any(|owner| is_account(owner, account, snapshot.owner.as_str()))
        })
        .filter(|snapshot| {
            restorable_by.is_empty()
                || restorable_by
                    .iter()
                    .any(|name| is_restorable(world, account, snapshot, name))
        })
        .filter(|snapshot| filters.pass(|name| values(context, world, snapshot, name)))
        .collect();
    let (found, next) = page.cut("DescribeSnapshots", found, |snapshot| snapshot.id.clone());
    let mut xml = Xml::new();
    xml.list("snapshotSet", &found, |xml, snapshot| {
        write_snapshot(context, world, xml, snapshot);
    });
    xml.optional("nextToken", next);
    Ok(xml)
}

fn check_account(parameter: &str, name: &str, words: &[&str]) -> Result<(), ServiceError> {
    if words.contains(&name) || name.parse::<AccountId>().is_ok() {
        return Ok(());
    }
    Err(ServiceError::new(
        "InvalidUserID.Malformed",
        format!("Invalid user id: \"{name}\" for parameter {parameter}"),
    ))
}

fn is_account(name: &str, caller: &AccountId, account: &str) -> bool {
    match name {
        "self" => caller.as_str() == account,
        name => name == account,
    }
}

/// What was shared with others is the owner's to know.
fn is_restorable(world: &World, caller: &AccountId, snapshot: &Snapshot, name: &str) -> bool {
    match name {
        "all" => is_public(world, snapshot),
        "self" => snapshot.owner == *caller || snapshot.shared_with.contains(caller),
        name => {
            let is_owners = snapshot.owner.as_str() == name;
            let mut shared_with = snapshot.shared_with.iter();
            (snapshot.owner == *caller || caller.as_str() == name)
                && (is_owners || shared_with.any(|account| account.as_str() == name))
        }
    }
}

fn values(context: &Context, world: &World, snapshot: &Snapshot, filter: &str) -> Vec<String> {
    let value = match filter {
        "description" => snapshot.description.clone(),
        "encrypted" => snapshot.key.is_some().to_string(),
        "owner-alias" => return Vec::new(),
        "owner-id" => snapshot.owner.to_string(),
        "progress" => progress(context, snapshot),
        "snapshot-id" => snapshot.id.clone(),
        "start-time" => snapshot.started.iso(),
        "status" => state(snapshot, context.now).to_owned(),
        "storage-tier" => "standard".to_owned(),
        "transfer-type" => match transfer_type(snapshot) {
            Some(kind) => kind.to_owned(),
            None => return Vec::new(),
        },
        "volume-id" => snapshot.volume_id.clone(),
        "volume-size" => snapshot.size_gib.to_string(),
        tag => {
            let tags = world.tags.of(&context.caller.account, &snapshot.id);
            return filter_values(&tags, tag);
        }
    };
    vec![value]
}

fn transfer_type(snapshot: &Snapshot) -> Option<&'static str> {
    matches!(snapshot.origin, Origin::Copy { .. }).then_some("standard")
}

/// As EC2 writes it: `45%`.
fn progress(context: &Context, snapshot: &Snapshot) -> String {
    let percent = match &snapshot.progress {
        Progress::Until { .. } if state(snapshot, context.now) == "completed" => 100,
        // Up to 99 as time passes.
        Progress::Until { ready: end, .. } | Progress::Fails { at: end, .. } => {
            let whole = end.0.saturating_sub(snapshot.started.0).max(1);
            let passed = context.now.0.saturating_sub(snapshot.started.0);
            passed.clamp(0, whole).saturating_mul(99) / whole
        }
        Progress::Open => i64::from(context.shared.blocks.progress(&snapshot.id)),
    };
    format!("{percent}%")
}

/// Writes a snapshot as DescribeSnapshots does.
pub(super) fn write_snapshot(context: &Context, world: &World, xml: &mut Xml, snapshot: &Snapshot) {
    let state = state(snapshot, context.now);
    xml.text("snapshotId", &snapshot.id)
        .text("volumeId", &snapshot.volume_id)
        .text("status", state);
    if let (Progress::Fails { reason, .. }, "error") = (&snapshot.progress, state) {
        xml.text("statusMessage", reason);
    }
    xml.text("startTime", snapshot.started)
        .text("progress", progress(context, snapshot))
        .text("ownerId", &snapshot.owner)
        .text("volumeSize", snapshot.size_gib)
        .text("description", &snapshot.description)
        .text("encrypted", snapshot.key.is_some())
        .optional("kmsKeyId", snapshot.key.as_ref());
    if snapshot.key.is_some() {
        xml.text("dataEncryptionKeyId", &snapshot.lineage);
    }
    xml.text("storageTier", "standard")
        .optional("transferType", transfer_type(snapshot));
    if let (Progress::Until { ready, .. }, "completed") = (&snapshot.progress, state) {
        xml.text("completionTime", ready);
    }
    let tags = world.tags.of(&context.caller.account, &snapshot.id);
    write_tags(xml, &tags);
}

/// Writes a snapshot as CreateSnapshots does.
pub(super) fn write_info(context: &Context, world: &World, xml: &mut Xml, snapshot: &Snapshot) {
    xml.text("description", &snapshot.description)
        .text("encrypted", snapshot.key.is_some())
        .text("volumeId", &snapshot.volume_id)
        .text("state", state(snapshot, context.now))
        .text("volumeSize", snapshot.size_gib)
        .text("startTime", snapshot.started)
        .text("progress", progress(context, snapshot))
        .text("ownerId", &snapshot.owner)
        .text("snapshotId", &snapshot.id);
    let tags = world.tags.of(&context.caller.account, &snapshot.id);
    write_tags(xml, &tags);
}
