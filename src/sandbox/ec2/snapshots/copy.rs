//! Copies of snapshots, within a Region and between Regions.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    Choice, NO_VOLUME, Origin, Progress, Snapshot, Wish, choose, completed, readable_in, refuse,
    state,
};
use crate::sandbox::blocks::Job;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{Region, new_id, new_uuid};
use crate::sandbox::tag::{take_tag_specifications, write_tags};
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::{Effect, World};

/// How long AWS takes for a copy of a small snapshot.
const COPY_TAKES: Duration = Duration::from_secs(180);

/// A copy that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Where the snapshot is.
    pub source_region: Region,
    /// The snapshot.
    pub source: String,
    /// Whether the copy is to be encrypted.
    pub encrypted: Option<bool>,
    /// The key, as it was given.
    pub key: Option<String>,
    /// What is said of the copy.
    pub description: String,
    /// Whether it is part of the copy of an image, which has a quota of its own.
    pub for_image: bool,
}

/// Starts a copy into the call's Region, which is the caller's; its id. What is wrong with keys
/// shows later, in the copy's state.
///
/// # Errors
/// There is no such snapshot for the caller, it is not completed, parameters do not go together,
/// or too many copies are under way.
pub fn start_copy(
    context: &Context,
    world: &mut World,
    copy: Copy,
) -> Result<String, ServiceError> {
    let source = readable_in(context, world, &copy.source, &copy.source_region)?;
    completed(context, &source)?;
    let choice = choose(
        context,
        world,
        Wish {
            encrypted: copy.encrypted,
            key: copy.key.as_deref(),
            source: Some(&source),
            keep_key: false,
        },
    )?;
    if !copy.for_image {
        check_quota(context, world)?;
    }
    let snapshot = Snapshot {
        id: new_id("snap"),
        owner: context.caller.account.clone(),
        region: context.region.clone(),
        size_gib: source.size_gib,
        description: copy.description,
        started: context.now,
        progress: progress(context, &choice),
        key: choice.key,
        volume_id: NO_VOLUME.to_owned(),
        shared_with: BTreeSet::new(),
        public: false,
        origin: Origin::Copy {
            source: copy.source,
            for_image: copy.for_image,
        },
        lineage: new_uuid(),
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

fn progress(context: &Context, choice: &Choice) -> Progress {
    let end = context.shared.clock.after(COPY_TAKES);
    let hindrance = choice.trouble.map(|trouble| trouble.message().to_owned());
    match hindrance.or_else(|| context.mishaps.fail_later.clone()) {
        Some(reason) => Progress::Fails { at: end, reason },
        None => Progress::Until {
            ready: end,
            done: false,
        },
    }
}

fn check_quota(context: &Context, world: &World) -> Result<(), ServiceError> {
    let limit = context.shared.limits.quota("snapshot-copies-into-region");
    let under_way = world.ec2.snapshots.values().filter(|snapshot| {
        snapshot.owner == context.caller.account
            && snapshot.region == context.region
            && matches!(
                snapshot.origin,
                Origin::Copy {
                    for_image: false,
                    ..
                }
            )
            && state(snapshot, context.now) == "pending"
    });
    if under_way.count() as u64 >= limit {
        return Err(ServiceError::new(
            "ResourceLimitExceeded",
            format!(
                "Too many snapshot copies in progress. The limit is {limit} for this destination \
                 region."
            ),
        ));
    }
    Ok(())
}

pub(super) fn copy_snapshot(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let source = params.required("SourceSnapshotId")?;
    let source_region = params.required("SourceRegion")?;
    let description = params.text("Description").unwrap_or_default();
    let encrypted = params.flag("Encrypted")?;
    let key = params.text("KmsKeyId");
    let destination = params.text("DestinationRegion");
    let presigned_url = params.text("PresignedUrl");
    let mut tags = take_tag_specifications(params, &["snapshot"])?;
    refuse(params, &["DestinationOutpostArn"], "Outposts")?;
    refuse(params, &["DestinationAvailabilityZone"], "Local Zones")?;
    refuse(params, &["CompletionDurationMinutes"], "time-based copies")?;
    params.finish()?;
    let source_region = source_region
        .parse()
        .map_err(|why: String| ServiceError::invalid_value("sourceRegion", &source_region, why))?;
    if let Some(destination) = destination.filter(|name| name != context.region.as_str()) {
        return Err(ServiceError::invalid_value(
            "destinationRegion",
            &destination,
            "A snapshot is copied into the Region that is called.",
        ));
    }
    if let Some(url) = presigned_url {
        check_presigned(&url, &source)?;
    }
    let copy = Copy {
        source_region,
        source,
        encrypted,
        key,
        description,
        for_image: false,
    };
    let id = start_copy(context, world, copy)?;
    let tags = tags.remove("snapshot").unwrap_or_default();
    let account = &context.caller.account;
    world
        .tags
        .add(account, &context.region, "snapshot", &id, &tags)?;
    let mut xml = Xml::new();
    xml.text("snapshotId", id);
    write_tags(&mut xml, &tags);
    Ok(xml)
}

/// Clients sign the call for the source's Region too, from the time when AWS needed that.
fn check_presigned(url: &str, source: &str) -> Result<(), ServiceError> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let has = |name: &str, value: &str| {
        form_urlencoded::parse(query.as_bytes()).any(|(n, v)| n == name && v == value)
    };
    if has("Action", "CopySnapshot") && has("SourceSnapshotId", source) {
        Ok(())
    } else {
        Err(ServiceError::invalid_value(
            "presignedUrl",
            url,
            "It must be a signed CopySnapshot of the same snapshot.",
        ))
    }
}
