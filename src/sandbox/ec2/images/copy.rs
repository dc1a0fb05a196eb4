//! CopyImage: an image of copies of another's snapshots, in another Region or the same.

use std::collections::BTreeMap;
use std::time::Duration;

use super::block_device::refuse;
use super::permission::LaunchPermissions;
use super::protection::Protection;
use super::{Failure, Image, ImageState, Origin, access, naming, register, state};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::snapshots;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{Region, new_id};
use crate::sandbox::tag::take_tag_specifications;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// How long it takes AWS, at least; the snapshots may take longer.
const COPYING: Duration = Duration::from_secs(5 * 60);

/// What a call asks for.
struct Wanted {
    source_region: Region,
    source: String,
    name: String,
    description: Option<String>,
    encrypted: Option<bool>,
    key: Option<String>,
    copy_tags: bool,
    tags: BTreeMap<String, BTreeMap<String, String>>,
}

/// CopyImage.
pub fn copy_image(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let token = params.text("ClientToken");
    let fingerprint = params.fingerprint();
    let wanted = Wanted::take(params)?;
    params.finish()?;
    let token = token.as_deref();
    if let Some(token) = token.filter(|token| token.len() > 128 || !token.is_ascii()) {
        return Err(ServiceError::invalid_value(
            "clientToken",
            token,
            "It must have at most 128 characters of ASCII.",
        ));
    }
    if let Some(id) = world.tokens.recall(context, token, &fingerprint)? {
        let mut xml = Xml::new();
        xml.text("imageId", id);
        return Ok(xml);
    }
    naming::check_name(context, world, &wanted.name)?;
    naming::check_description(wanted.description.as_deref())?;
    let source = access::find(context, world, &wanted.source_region, &wanted.source)?.clone();
    access::check_available(world, &source, context)?;
    wanted.check_storage(context, world, &source)?;
    check_quotas(context, world)?;

    let image = wanted.start(context, world, source)?;
    world.tokens.keep(context, token, &fingerprint, &image.id);
    Ok(register::keep(world, image))
}

impl Wanted {
    fn take(params: &mut Params) -> Result<Wanted, ServiceError> {
        let source_region = params.required("SourceRegion")?;
        let wanted = Wanted {
            source_region: source_region.parse().map_err(|why: String| {
                ServiceError::invalid_value("sourceRegion", &source_region, why)
            })?,
            source: params.required("SourceImageId")?,
            name: params.required("Name")?,
            description: params.text("Description"),
            encrypted: params.flag("Encrypted")?,
            key: params.text("KmsKeyId"),
            copy_tags: params.flag("CopyImageTags")?.unwrap_or(false),
            tags: take_tag_specifications(params, &["image", "snapshot"])?,
        };
        for name in [
            "DestinationOutpostArn",
            "DestinationAvailabilityZone",
            "DestinationAvailabilityZoneId",
        ] {
            refuse(params, name, "It has neither Outposts nor Local Zones.")?;
        }
        // Whatever is promised here is more than copies take.
        let minutes = params.number::<u32>("SnapshotCopyCompletionDurationMinutes")?;
        if let Some(minutes) =
            minutes.filter(|minutes| !(15..=2880).contains(minutes) || !minutes.is_multiple_of(15))
        {
            return Err(ServiceError::invalid_value(
                "SnapshotCopyCompletionDurationMinutes",
                &minutes.to_string(),
                "It must be a multiple of 15, from 15 to 2880.",
            ));
        }
        if wanted.key.is_some() && wanted.encrypted != Some(true) {
            return Err(ServiceError::new(
                "InvalidParameterDependency",
                "The parameter KmsKeyId requires the parameter Encrypted to be set to true.",
            ));
        }
        Ok(wanted)
    }

    /// The caller must be allowed to read what it copies: a launch permission is not enough.
    fn check_storage(
        &self,
        context: &Context,
        world: &World,
        source: &Image,
    ) -> Result<(), ServiceError> {
        let there = Context {
            region: self.source_region.clone(),
            ..context.clone()
        };
        for id in source.snapshots() {
            let snapshot = snapshots::readable(&there, world, id).map_err(|_| {
                ServiceError::new(
                    "InvalidRequest",
                    "You do not have permission to access the storage of this ami",
                )
            })?;
            if snapshot.key.is_some() && self.encrypted == Some(false) {
                return Err(ServiceError::new(
                    "InvalidRequest",
                    format!(
                        "Snapshot {id} is encrypted. Creating an unencrypted copy from an \
                         encrypted snapshot is not supported."
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Starts the copies of the snapshots; each is made once, however often the image has it.
    fn start(
        &self,
        context: &Context,
        world: &mut World,
        source: Image,
    ) -> Result<Image, ServiceError> {
        let id = new_id("ami");
        let no_tags = BTreeMap::new();
        let (account, region) = (&context.caller.account, &context.region);
        let mut copies: BTreeMap<&str, String> = BTreeMap::new();
        for snapshot in source.snapshots() {
            let copy = snapshots::Copy {
                source_region: self.source_region.clone(),
                source: snapshot.to_owned(),
                encrypted: self.encrypted,
                key: self.key.clone(),
                description: format!(
                    "Copied for DestinationAmi {id} from SourceAmi {} for SourceSnapshot {snapshot}.",
                    source.id
                ),
                for_image: true,
            };
            let copy = snapshots::start_copy(context, world, copy)?;
            let tags = self.tags.get("snapshot").unwrap_or(&no_tags);
            world.tags.add(account, region, "snapshot", &copy, tags)?;
            copies.insert(snapshot, copy);
        }
        let mut block_devices = source.block_devices.clone();
        for device in &mut block_devices {
            let of = device.snapshot_id.as_deref();
            device.snapshot_id = of.and_then(|of| copies.get(of).cloned());
        }
        let mut tags = match self.copy_tags {
            true => world.tags.of(account, &source.id),
            false => BTreeMap::new(),
        };
        tags.extend(self.tags.get("image").cloned().unwrap_or_default());
        world.tags.add(account, region, "image", &id, &tags)?;
        let ready = context.shared.clock.after(COPYING);
        let failure = context.mishaps.fail_later.clone();
        Ok(Image {
            id,
            owner: account.clone(),
            region: region.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            created: context.now,
            block_devices,
            origin: Origin::Copy {
                image: source.id.clone(),
                region: self.source_region.clone(),
            },
            ready,
            failure: failure.map(|reason| Failure { at: ready, reason }),
            disabled: false,
            deprecate_at: None,
            permissions: LaunchPermissions::default(),
            protection: Protection::default(),
            launches: Vec::new(),
            ..source
        })
    }
}

/// Images of the caller's in the call's Region, and those of them that are being copied there.
fn check_quotas(context: &Context, world: &World) -> Result<(), ServiceError> {
    register::check_quota(context, world)?;
    let quota = context.shared.limits.quota("ami-copies-into-region");
    let images = world.ec2.images.values();
    let pending = images.filter(|image| {
        image.owner == context.caller.account
            && image.region == context.region
            && matches!(image.origin, Origin::Copy { .. })
            && state(world, image, context.now) == ImageState::Pending
    });
    if pending.count() as u64 >= quota {
        return Err(ServiceError::new(
            "ResourceLimitExceeded",
            format!(
                "Too many image copies in progress. The limit is {quota} for this destination \
                 region."
            ),
        ));
    }
    Ok(())
}
