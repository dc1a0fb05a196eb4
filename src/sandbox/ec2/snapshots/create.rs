//! Snapshots of volumes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::describe::write_snapshot;
use super::{Origin, Progress, Snapshot, check_id, refuse, state};
use crate::sandbox::blocks::Job;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::volumes;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::new_id;
use crate::sandbox::tag::take_tag_specifications;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::{Effect, World};

/// How long AWS takes for a snapshot of a small volume.
const SNAPSHOT_TAKES: Duration = Duration::from_secs(60);

/// Starts a snapshot of one of the caller's volumes; its id.
///
/// # Errors
/// There is no such volume, it has no data yet, or too many snapshots are under way.
pub fn of_volume(
    context: &Context,
    world: &mut World,
    volume_id: &str,
    description: String,
) -> Result<String, ServiceError> {
    let volume = volumes::own(context, world, volume_id)?;
    let volume_state = volumes::state(&volume, context.now);
    if !matches!(volume_state, "available" | "in-use") {
        return Err(ServiceError::new(
            "IncorrectState",
            format!("The volume '{volume_id}' is '{volume_state}'."),
        ));
    }
    if description.chars().count() > 255 {
        return Err(ServiceError::invalid_value(
            "Description",
            &description,
            "It may have 255 characters.",
        ));
    }
    check_quotas(context, world, &volume)?;
    let end = context.shared.clock.after(SNAPSHOT_TAKES);
    let progress = match &context.mishaps.fail_later {
        Some(reason) => Progress::Fails {
            at: end,
            reason: reason.clone(),
        },
        None => Progress::Until {
            ready: end,
            done: false,
        },
    };
    let snapshot = Snapshot {
        id: new_id("snap"),
        owner: context.caller.account.clone(),
        region: context.region.clone(),
        size_gib: volume.size_gib,
        description,
        started: context.now,
        key: volume.key,
        volume_id: volume.id.clone(),
        progress,
        shared_with: BTreeSet::new(),
        public: false,
        origin: Origin::Volume(volume.id),
        lineage: volume.lineage,
    };
    let id = snapshot.id.clone();
    if let Progress::Until { .. } = snapshot.progress {
        world
            .effects
            .push(Effect::Blocks(Job::Snapshot(id.clone())));
    }
    world.ec2.snapshots.insert(id.clone(), snapshot);
    Ok(id)
}

fn check_quotas(
    context: &Context,
    world: &World,
    volume: &volumes::Volume,
) -> Result<(), ServiceError> {
    let quota = |name| context.shared.limits.quota(name);
    if pending(context, world, |_| true) >= quota("pending-snapshots") {
        return Err(ServiceError::new(
            "PendingSnapshotLimitExceeded",
            "The maximum number of pending snapshots has been reached",
        ));
    }
    let of_this = pending(context, world, |snapshot| snapshot.volume_id == volume.id);
    let limit = match volume.volume_type.as_str() {
        "st1" | "sc1" => 1,
        _ => quota("pending-snapshots-per-volume"),
    };
    if of_this >= limit {
        return Err(ServiceError::new(
            "ConcurrentSnapshotLimitExceeded",
            "Maximum allowed in-progress snapshots for a single volume exceeded.",
        ));
    }
    Ok(())
}

/// How many of the caller's snapshots in the Region are pending, copies apart.
pub fn pending(context: &Context, world: &World, is_meant: impl Fn(&Snapshot) -> bool) -> u64 {
    let found = world.ec2.snapshots.values().filter(|snapshot| {
        snapshot.owner == context.caller.account
            && snapshot.region == context.region
            && !matches!(snapshot.origin, Origin::Copy { .. })
            && is_meant(snapshot)
            && state(&super::as_of_now(context, snapshot), context.now) == "pending"
    });
    found.count() as u64
}

pub(super) fn create_snapshot(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let volume = params.required("VolumeId")?;
    let description = params.text("Description").unwrap_or_default();
    let mut tags = take_tag_specifications(params, &["snapshot"])?;
    take_location(params)?;
    params.finish()?;
    check_id("volumeId", "vol", &volume)?;
    let id = of_volume(context, world, &volume, description)?;
    let tags = tags.remove("snapshot").unwrap_or_default();
    let account = &context.caller.account;
    world
        .tags
        .add(account, &context.region, "snapshot", &id, &tags)?;
    Ok(written(context, world, &id))
}

/// Takes the places that a snapshot could be put in besides its Region.
fn take_location(params: &mut Params) -> Result<(), ServiceError> {
    refuse(params, &["OutpostArn"], "Outposts")?;
    match params.text("Location").as_deref() {
        None | Some("regional") => Ok(()),
        Some("local") => Err(ServiceError::new(
            "UnsupportedOperation",
            "The sandbox has no Local Zones",
        )),
        Some(other) => Err(ServiceError::invalid_value(
            "Location",
            other,
            "It must be regional or local.",
        )),
    }
}

fn written(context: &Context, world: &World, id: &str) -> Xml {
    let mut xml = Xml::new();
    if let Some(snapshot) = world.ec2.snapshots.get(id) {
        write_snapshot(context, world, &mut xml, snapshot);
    }
    xml
}

pub(super) fn create_snapshots(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let (instance, without_root, without) = params
        .structure("InstanceSpecification", |specification| {
            Ok((
                specification.required("InstanceId")?,
                specification.flag("ExcludeBootVolume")?.unwrap_or(false),
                specification.list("ExcludeDataVolumeId")?,
            ))
        })?
        .ok_or_else(|| ServiceError::missing_parameter("InstanceSpecification.InstanceId"))?;
    let description = params.text("Description").unwrap_or_default();
    let mut tags = take_tag_specifications(params, &["snapshot"])?;
    let copy_tags = params.text("CopyTagsFromSource");
    take_location(params)?;
    params.finish()?;
    if let Some(other) = copy_tags.as_deref().filter(|text| *text != "volume") {
        return Err(ServiceError::invalid_value(
            "CopyTagsFromSource",
            other,
            "It must be volume.",
        ));
    }
    let account = context.caller.account.clone();
    let root = volumes::root_device(context, world, &instance)?;
    let attached: Vec<volumes::Volume> = world
        .ec2
        .volumes
        .values()
        .filter(|volume| {
            let attachment = volume.attachment.as_ref();
            attachment.is_some_and(|attachment| attachment.instance_id == instance)
        })
        .cloned()
        .collect();
    let is_root = |volume: &volumes::Volume| {
        let attachment = volume.attachment.as_ref();
        attachment.is_some_and(|attachment| attachment.device == root)
    };
    if let Some(wrong) = without.iter().find(|id| {
        let excluded = attached.iter().find(|volume| volume.id == **id);
        excluded.is_none_or(is_root)
    }) {
        return Err(ServiceError::invalid_value(
            "ExcludeDataVolumeId",
            wrong,
            "It is no data volume of the instance.",
        ));
    }
    let tags = tags.remove("snapshot").unwrap_or_default();
    let mut ids = Vec::new();
    for volume in attached {
        if without.contains(&volume.id) || without_root && is_root(&volume) {
            continue;
        }
        let id = of_volume(context, world, &volume.id, description.clone())?;
        if copy_tags.is_some() {
            let own = world.tags.of(&account, &volume.id);
            let region = &context.region;
            world.tags.add(&account, region, "snapshot", &id, &own)?;
        }
        let region = &context.region;
        world.tags.add(&account, region, "snapshot", &id, &tags)?;
        ids.push(id);
    }
    let snapshots: Vec<Snapshot> = ids
        .iter()
        .filter_map(|id| world.ec2.snapshots.get(id).cloned())
        .collect();
    let mut xml = Xml::new();
    xml.list("snapshotSet", &snapshots, |xml, snapshot| {
        super::describe::write_info(context, world, xml, snapshot);
    });
    Ok(xml)
}
