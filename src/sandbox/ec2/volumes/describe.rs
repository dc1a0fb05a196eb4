//! Describing volumes.

use super::{Attachment, Volume, not_found, state};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::places;
use crate::sandbox::ec2::snapshots::check_id;
use crate::sandbox::error::ServiceError;
use crate::sandbox::tag::{filter_values, write_tags};
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

const FILTERS: &[&str] = &[
    "attachment.attach-time",
    "attachment.delete-on-termination",
    "attachment.device",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "create-time",
    "encrypted",
    "fast-restored",
    "multi-attach-enabled",
    "operator.managed",
    "operator.principal",
    "size",
    "snapshot-id",
    "status",
    "tag:",
    "tag-key",
    "volume-id",
    "volume-type",
];

pub(super) fn describe_volumes(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("VolumeId")?;
    let filters = Filters::take(params, FILTERS)?;
    let page = Page::take(params, "DescribeVolumes", 5..=1000)?;
    // No volume here is managed by a service, so that none is left out either way.
    params.flag("IncludeManagedResources")?;
    params.finish()?;
    if !ids.is_empty() && page.is_limited() {
        return Err(ServiceError::invalid_combination(
            "The parameter volumeSet cannot be used with the parameter maxResults",
        ));
    }
    let own: Vec<&Volume> = world
        .ec2
        .volumes
        .values()
        .filter(|volume| volume.owner == context.caller.account)
        .filter(|volume| volume.region == context.region)
        .collect();
    for id in &ids {
        check_id("volumeId", "vol", id)?;
        if !own.iter().any(|volume| volume.id == *id) {
            return Err(not_found(id));
        }
    }
    let found = own
        .into_iter()
        .filter(|volume| ids.is_empty() || ids.contains(&volume.id))
        .filter(|volume| filters.pass(|name| values(context, world, volume, name)))
        .collect();
    let (found, next) = page.cut("DescribeVolumes", found, |volume| volume.id.clone());
    let mut xml = Xml::new();
    xml.list("volumeSet", found, |xml, volume| {
        write_volume(context, world, xml, volume);
    });
    xml.optional("nextToken", next);
    Ok(xml)
}

fn values(context: &Context, world: &World, volume: &Volume, filter: &str) -> Vec<String> {
    let attached = |value: fn(&Attachment) -> String| volume.attachment.as_ref().map(value);
    let value = match filter {
        "attachment.attach-time" => attached(|attachment| attachment.since.iso()),
        "attachment.delete-on-termination" => {
            attached(|attachment| attachment.delete_on_termination.to_string())
        }
        "attachment.device" => attached(|attachment| attachment.device.clone()),
        "attachment.instance-id" => attached(|attachment| attachment.instance_id.clone()),
        "attachment.status" => attached(|_| "attached".to_owned()),
        "availability-zone" => Some(volume.zone.clone()),
        "availability-zone-id" => zone_id(volume),
        "create-time" => Some(volume.created.iso()),
        "encrypted" => Some(volume.key.is_some().to_string()),
        "fast-restored" | "multi-attach-enabled" | "operator.managed" => Some("false".to_owned()),
        "operator.principal" => None,
        "size" => Some(volume.size_gib.to_string()),
        "snapshot-id" => volume.snapshot_id.clone(),
        "status" => Some(state(volume, context.now).to_owned()),
        "volume-id" => Some(volume.id.clone()),
        "volume-type" => Some(volume.volume_type.clone()),
        tag => {
            let tags = world.tags.of(&context.caller.account, &volume.id);
            return filter_values(&tags, tag);
        }
    };
    value.into_iter().collect()
}

fn zone_id(volume: &Volume) -> Option<String> {
    places::zones(&volume.region)
        .into_iter()
        .find(|zone| zone.name == volume.zone)
        .map(|zone| zone.id)
}

/// Writes a volume as DescribeVolumes does.
pub(super) fn write_volume(context: &Context, world: &World, xml: &mut Xml, volume: &Volume) {
    xml.text("volumeId", &volume.id)
        .text("size", volume.size_gib)
        .text(
            "snapshotId",
            volume.snapshot_id.as_deref().unwrap_or_default(),
        )
        .text("availabilityZone", &volume.zone)
        .optional("availabilityZoneId", zone_id(volume))
        .text("status", state(volume, context.now))
        .text("createTime", volume.created)
        .list("attachmentSet", &volume.attachment, |xml, attachment| {
            write_attachment(xml, &volume.id, attachment, "attached");
        })
        .text("volumeType", &volume.volume_type)
        .optional("iops", volume.iops)
        .optional("throughput", volume.throughput)
        .text("encrypted", volume.key.is_some())
        .optional("kmsKeyId", volume.key.as_ref())
        .text("multiAttachEnabled", false);
    let tags = world.tags.of(&context.caller.account, &volume.id);
    write_tags(xml, &tags);
}

/// Writes the members of an attachment.
pub(super) fn write_attachment(xml: &mut Xml, volume: &str, attachment: &Attachment, status: &str) {
    xml.text("volumeId", volume)
        .text("instanceId", &attachment.instance_id)
        .text("device", &attachment.device)
        .text("status", status)
        .text("attachTime", attachment.since)
        .text("deleteOnTermination", attachment.delete_on_termination);
}
