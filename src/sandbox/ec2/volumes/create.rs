//! New volumes.

use std::time::Duration;

use super::describe::write_volume;
use super::{Volume, kinds};
use crate::sandbox::blocks::Job;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::images::{self, Image};
use crate::sandbox::ec2::places;
use crate::sandbox::ec2::snapshots::{self, Choice, Snapshot, Trouble, Wish, choose, refuse};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{new_id, new_uuid};
use crate::sandbox::tag::take_tag_specifications;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::{Effect, World};

/// How long AWS takes until a new volume is available.
const VOLUME_TAKES: Duration = Duration::from_secs(5);

/// A volume that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewVolume<'a> {
    /// Such as `eu-central-1a`.
    pub zone: String,
    /// In GiB; the snapshot's where it is left out.
    pub size_gib: Option<u32>,
    /// `gp3`, …; `gp2` where it is left out.
    pub volume_type: Option<String>,
    /// Operations a second.
    pub iops: Option<u32>,
    /// MiB a second.
    pub throughput: Option<u32>,
    /// What it begins with.
    pub snapshot_id: Option<String>,
    /// The image that it is made for the launch of.
    pub image: Option<&'a Image>,
    /// Whether it is to be encrypted.
    pub encrypted: Option<bool>,
    /// The key, as it was given.
    pub kms_key_id: Option<String>,
}

/// Makes a volume of the caller's in the call's Region; its id. A snapshot must be readable for the
/// caller, or lent with the image that is launched.
///
/// # Errors
/// Parameters are wrong, there is no such snapshot for the caller, or (`InvalidKMSKey.InvalidState`,
/// `Client.InternalError`) its key or the volume's cannot be used.
pub fn create(
    context: &Context,
    world: &mut World,
    new: NewVolume<'_>,
) -> Result<String, ServiceError> {
    let (volume, trouble) = plan(context, world, new)?;
    match trouble {
        None => Ok(put(world, volume)),
        Some(Trouble::State) => Err(ServiceError::new(
            "InvalidKMSKey.InvalidState",
            "The KMS key provided is in an incorrect state",
        )),
        Some(Trouble::Inaccessible) => Err(ServiceError::new(
            "Client.InternalError",
            "Client error on launch: the volume's KMS key is not accessible",
        )),
    }
}

/// Puts a volume into the world and has its data made.
fn put(world: &mut World, volume: Volume) -> String {
    let id = volume.id.clone();
    if volume.failed.is_none() {
        world.effects.push(Effect::Blocks(Job::Volume(id.clone())));
    }
    world.ec2.volumes.insert(id.clone(), volume);
    id
}

/// The volume, and what hinders its making.
fn plan(
    context: &Context,
    world: &mut World,
    new: NewVolume<'_>,
) -> Result<(Volume, Option<Trouble>), ServiceError> {
    if !places::zones(&context.region)
        .iter()
        .any(|zone| zone.name == new.zone)
    {
        return Err(ServiceError::new(
            "InvalidZone.NotFound",
            format!("The zone '{}' does not exist.", new.zone),
        ));
    }
    let snapshot = match &new.snapshot_id {
        Some(id) => Some(snapshot_to_begin_with(context, world, new.image, id)?),
        None => None,
    };
    let size_gib = size(new.size_gib, snapshot.as_ref())?;
    let volume_type = new.volume_type.as_deref().unwrap_or("gp2");
    let speed = kinds::check(volume_type, size_gib, new.iops, new.throughput)?;
    let Choice { key, trouble } = choose(
        context,
        world,
        Wish {
            encrypted: new.encrypted,
            key: new.kms_key_id.as_deref(),
            source: snapshot.as_ref(),
            keep_key: true,
        },
    )?;
    let volume = Volume {
        id: new_id("vol"),
        owner: context.caller.account.clone(),
        region: context.region.clone(),
        zone: new.zone,
        size_gib,
        volume_type: speed.volume_type.to_owned(),
        iops: speed.iops,
        throughput: speed.throughput,
        snapshot_size_gib: snapshot.as_ref().map_or(0, |snapshot| snapshot.size_gib),
        snapshot_encrypted: snapshot.as_ref().is_some_and(|s| s.key.is_some()),
        snapshot_id: new.snapshot_id,
        key,
        created: context.now,
        ready: context.shared.clock.after(VOLUME_TAKES),
        done: false,
        failed: trouble.map(|trouble| trouble.message().to_owned()),
        lineage: snapshot.map_or_else(new_uuid, |snapshot| snapshot.lineage),
        attachment: None,
    };
    Ok((volume, trouble))
}

fn snapshot_to_begin_with(
    context: &Context,
    world: &World,
    image: Option<&Image>,
    id: &str,
) -> Result<Snapshot, ServiceError> {
    let snapshot = match image {
        Some(image) => images::snapshot_to_launch(context, world, image, id)?,
        None => snapshots::readable(context, world, id)?,
    };
    snapshots::completed(context, &snapshot)?;
    Ok(snapshot)
}

fn size(asked: Option<u32>, snapshot: Option<&Snapshot>) -> Result<u32, ServiceError> {
    match (asked, snapshot) {
        (Some(size), Some(snapshot)) if size < snapshot.size_gib => Err(ServiceError::new(
            "InvalidParameterValue",
            format!(
                "Volume of {size}GiB is smaller than snapshot '{}', expect size >= {}GiB",
                snapshot.id, snapshot.size_gib
            ),
        )),
        (Some(size), _) => Ok(size),
        (None, Some(snapshot)) => Ok(snapshot.size_gib),
        (None, None) => Err(ServiceError::missing_parameter("size/snapshot")),
    }
}

pub(super) fn create_volume(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let token = params.text("ClientToken").filter(|token| !token.is_empty());
    let fingerprint = params.fingerprint();
    let new = NewVolume {
        zone: take_zone(context, params)?,
        size_gib: params.number("Size")?,
        volume_type: params.text("VolumeType"),
        iops: params.number("Iops")?,
        throughput: params.number("Throughput")?,
        snapshot_id: params.text("SnapshotId").filter(|id| !id.is_empty()),
        image: None,
        encrypted: params.flag("Encrypted")?,
        kms_key_id: params.text("KmsKeyId"),
    };
    let mut tags = take_tag_specifications(params, &["volume"])?;
    if params.flag("MultiAttachEnabled")? == Some(true) {
        return Err(ServiceError::new(
            "UnsupportedOperation",
            "The sandbox has no Multi-Attach",
        ));
    }
    refuse(params, &["OutpostArn"], "Outposts")?;
    refuse(
        params,
        &["VolumeInitializationRate"],
        "initialization rates",
    )?;
    params.finish()?;
    if let Some(id) = world
        .tokens
        .recall(context, token.as_deref(), &fingerprint)?
    {
        return written(context, world, &id);
    }
    let (volume, _) = plan(context, world, new)?;
    let id = put(world, volume);
    let tags = tags.remove("volume").unwrap_or_default();
    let account = &context.caller.account;
    world
        .tags
        .add(account, &context.region, "volume", &id, &tags)?;
    world
        .tokens
        .keep(context, token.as_deref(), &fingerprint, &id);
    written(context, world, &id)
}

fn written(context: &Context, world: &World, id: &str) -> Result<Xml, ServiceError> {
    let volume = super::own(context, world, id)?;
    let mut xml = Xml::new();
    write_volume(context, world, &mut xml, &volume);
    Ok(xml)
}

/// Takes a zone's name or its id.
fn take_zone(context: &Context, params: &mut Params) -> Result<String, ServiceError> {
    let (name, id) = (
        params.text("AvailabilityZone"),
        params.text("AvailabilityZoneId"),
    );
    match (name, id) {
        (Some(_), Some(_)) => Err(ServiceError::invalid_combination(
            "Either AvailabilityZone or AvailabilityZoneId is given, not both",
        )),
        (Some(name), None) => Ok(name),
        (None, Some(id)) => places::zones(&context.region)
            .into_iter()
            .find(|zone| zone.id == id)
            .map(|zone| zone.name)
            .ok_or_else(|| {
                ServiceError::new(
                    "InvalidZone.NotFound",
                    format!("The zone '{id}' does not exist."),
                )
            }),
        (None, None) => Err(ServiceError::missing_parameter("AvailabilityZone")),
    }
}
