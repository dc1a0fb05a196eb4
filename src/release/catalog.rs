//! What customers read besides the channels themselves: a page, which channels there are, and the
//! schemas of what is signed.
//!
//! All of it is made from the channels and the manifests alone, so that the same catalog gives the same
//! bytes, and whoever finds it otherwise writes it again.

use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, schema_for};
use time::OffsetDateTime;

use super::desk::Desk;
use super::error::ReleaseError;
use super::page::data::{
    Condition as PageCondition, MoveKind, PageChanges, PageChannel, PageData, PageFix, PageKey,
    PageMove, PagePackage, PagePlace, PageRelease, PageStay, PageUpgrade, PageVersion,
};
use super::page::render;
use crate::aws::s3::{Condition, Put};
use crate::channels::index::{self, Index};
use crate::channels::{Channel, Stay};
use crate::diff::changes::Changes;
use crate::publish::bucket::{BucketError, keys};
use crate::publish::manifest::ReleaseManifest;
use crate::publish::papers::{self, PROVENANCE, SIGNED};
use crate::publish::release::ReleaseId;

/// The page.
pub const PAGE: &str = "catalog/index.html";
/// The JSON Schema of a channel's document.
pub const CHANNEL_SCHEMA: &str = "catalog/channel.schema.json";
/// The JSON Schema of the index of channels.
pub const INDEX_SCHEMA: &str = "catalog/index.schema.json";
/// The JSON Schema of a release's manifest.
pub const RELEASE_SCHEMA: &str = "catalog/release.schema.json";

/// So many others may be faster before this gives up.
const MOST_ROUNDS: u32 = 16;
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const JSON_SCHEMA: &str = "application/schema+json";

/// Writes what is not as it should be. Whether anything was written.
///
/// # Errors
/// The bucket's.
pub async fn refresh(desk: &Desk<'_>) -> Result<bool, ReleaseError> {
    desk.progress.say("writing the catalog's page");
    let channel = write(desk, CHANNEL_SCHEMA, JSON_SCHEMA, schema::<Channel>()).await?;
    let release = schema::<ReleaseManifest>();
    let release = write(desk, RELEASE_SCHEMA, JSON_SCHEMA, release).await?;
    let of_index = write(desk, INDEX_SCHEMA, JSON_SCHEMA, schema::<Index>()).await?;
    let mut channels = Vec::new();
    for name in &desk.names {
        channels.push(desk.store.read(name).await?);
    }
    let index = write(desk, index::KEY, JSON, index(&channels)).await?;
    let page = render(&page(desk, &channels).await?).into_bytes();
    let page = write(desk, PAGE, HTML, page).await?;
    Ok(channel | release | of_index | index | page)
}

/// Which channels have a document that customers can read.
fn index(channels: &[Channel]) -> Vec<u8> {
    let used = channels.iter().filter(|channel| !channel.stays.is_empty());
    let names = used.map(|channel| channel.channel.clone()).collect();
    let mut text = serde_json::to_vec_pretty(&Index::new(names)).expect("an index has a JSON form");
    text.push(b'\n');
    text
}

/// The same, where there is a page: what has become of releases shows on it.
///
/// # Errors
/// The bucket's.
pub async fn refresh_if_any(desk: &Desk<'_>) -> Result<bool, ReleaseError> {
    match desk.bucket().object(PAGE).await? {
        Some(_) => refresh(desk).await,
        None => Ok(false),
    }
}

/// A type's JSON Schema.
pub fn schema<T: JsonSchema>() -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(&schema_for!(T)).expect("a schema has a JSON form");
    text.push(b'\n');
    text
}

async fn write(
    desk: &Desk<'_>,
    key: &str,
    content_type: &str,
    bytes: Vec<u8>,
) -> Result<bool, BucketError> {
    let bucket = desk.bucket();
    for _ in 0..MOST_ROUNDS {
        let found = bucket.object(key).await?;
        let condition = match found {
            Some(found) if found.bytes == bytes => return Ok(false),
            Some(found) => Condition::Unchanged(found.etag),
            None => Condition::Absent,
        };
        let put = bucket.put_object(key, content_type, bytes.clone(), &condition);
        if let Put::Written(_) = put.await? {
            return Ok(true);
        }
    }
    Err(bucket.contended(key))
}

/// What the page tells: what is in each channel, and what each release took the place of.
async fn page(desk: &Desk<'_>, channels: &[Channel]) -> Result<PageData, ReleaseError> {
    let manifests = manifests(desk, channels).await?;
    let mut releases = BTreeMap::new();
    // Of one whose AMIs are gone, only what changed since is told.
    for (id, manifest) in manifests.iter().filter(|(_, one)| !one.is_gone()) {
        let is_signed = match &desk.store.ring {
            None => false,
            Some(ring) => papers::check(desk.bucket(), manifest, ring).await?.is_ok(),
        };
        releases.insert(id.clone(), release(manifest, is_signed));
    }
    let moments = channels.iter().flat_map(|channel| &channel.stays);
    let moments = moments.flat_map(|stay| [Some(stay.since), stay.until].into_iter().flatten());
    let key = desk.store.signer.as_ref().map(|signer| PageKey {
        fingerprint: signer.public().id(),
        pem: signer.public().to_pem(),
    });
    Ok(PageData {
        publisher: desk.publisher.name.clone(),
        account: desk.aws.account().clone(),
        generated: moments.max().unwrap_or(OffsetDateTime::UNIX_EPOCH),
        catalog: desk.bucket().url(""),
        key,
        channels: channels
            .iter()
            .map(|one| channel(desk, one, &manifests))
            .collect(),
        releases,
    })
}

/// The manifests of what is in channels, and of what that took the place of.
async fn manifests(
    desk: &Desk<'_>,
    channels: &[Channel],
) -> Result<BTreeMap<ReleaseId, ReleaseManifest>, BucketError> {
    let mut wanted: BTreeSet<&ReleaseId> = BTreeSet::new();
    for channel in channels {
        for current in channel.stays.iter().filter(|stay| stay.until.is_none()) {
            wanted.insert(&current.release);
            wanted.extend(before(channel, current).map(|stay| &stay.release));
        }
    }
    let mut manifests = BTreeMap::new();
    for id in wanted {
        if let Some(stored) = desk.bucket().manifest(id).await? {
            manifests.insert(id.clone(), stored.manifest);
        }
    }
    Ok(manifests)
}

/// The stay that another one ended.
fn before<'c>(channel: &'c Channel, stay: &Stay) -> Option<&'c Stay> {
    let mut stays = channel.stays_of(&stay.release.line);
    stays.find(|earlier| earlier.until == Some(stay.since))
}

fn channel(
    desk: &Desk<'_>,
    channel: &Channel,
    manifests: &BTreeMap<ReleaseId, ReleaseManifest>,
) -> PageChannel {
    let stays = channel.stays.iter().filter(|stay| stay.until.is_none());
    let stays = stays.map(|stay| PageStay {
        release: stay.release.clone(),
        since: stay.since,
        by: stay.by.clone(),
        reason: stay.reason.clone(),
        changes: before(channel, stay).and_then(|earlier| {
            let (from, to) = (
                manifests.get(&earlier.release)?,
                manifests.get(&stay.release)?,
            );
            Some(changes(&Changes::between(from, to, &desk.secdb), earlier))
        }),
    });
    PageChannel {
        name: channel.channel.clone(),
        description: None,
        stays: stays.collect(),
        history: channel
            .stays
            .iter()
            .map(|stay| moved(channel, stay))
            .collect(),
    }
}

fn moved(channel: &Channel, stay: &Stay) -> PageMove {
    PageMove {
        at: stay.since,
        kind: match stay.in_place_of {
            Some(_) => MoveKind::RolledBack,
            None => MoveKind::Promoted,
        },
        release: stay.release.clone(),
        before: before(channel, stay).map(|earlier| earlier.release.clone()),
        by: stay.by.clone(),
        reason: stay.reason.clone(),
    }
}

fn changes(changes: &Changes, earlier: &Stay) -> PageChanges {
    let difference = changes.difference();
    let packages = difference.packages.clone().unwrap_or_default();
    let version = |package: &crate::diff::Package| PageVersion {
        name: package.name.clone(),
        version: package.version.clone(),
    };
    let upgraded = packages.changed.iter().map(|change| PageUpgrade {
        name: change.name.clone(),
        from: change.from.version.clone(),
        to: change.to.version.clone(),
    });
    let fixed = difference
        .security
        .iter()
        .flat_map(|security| &security.fixed);
    PageChanges {
        since: earlier.release.clone(),
        added: packages.added.iter().map(version).collect(),
        removed: packages.removed.iter().map(version).collect(),
        upgraded: upgraded.filter(|change| change.from != change.to).collect(),
        fixed: fixed
            .map(|fix| PageFix {
                id: fix.id.clone(),
                package: fix.origin.clone(),
            })
            .collect(),
    }
}

fn release(manifest: &ReleaseManifest, is_signed: bool) -> PageRelease {
    let image = manifest.image.as_ref();
    let beside = |name: &str| format!("../{}", keys::attachment(&manifest.release, name));
    let packages = image.into_iter().flat_map(|image| &image.packages);
    let mut packages: Vec<PagePackage> = packages
        .map(|package| PagePackage {
            name: package.name.clone(),
            version: package.version.clone(),
            license: package.license.clone(),
            size: package.installed_size,
        })
        .collect();
    packages.sort();
    let places = manifest.regions.iter().filter_map(|(region, place)| {
        let told = PagePlace {
            ami: place.ami.clone()?,
            snapshot: place.snapshot.clone(),
            key: Some(place.key.clone()),
        };
        Some((region.clone(), told))
    });
    PageRelease {
        name: manifest.name.clone(),
        alpine: image.map_or_else(String::new, |image| image.alpine.clone()),
        kernel: image.map(|image| image.kernel.release.clone()),
        firmware: image.map_or_else(Vec::new, |image| image.firmware.clone()),
        published: manifest.created,
        image_bytes: image.map(|image| image.image.size),
        used_bytes: image.map(|image| image.root.used),
        sha256: image.map(|image| image.image.sha256.clone()),
        condition: condition(manifest),
        signed: is_signed,
        regions: places.collect(),
        packages,
        manifest: is_signed.then(|| beside(SIGNED)),
        provenance: (is_signed && image.is_some()).then(|| beside(PROVENANCE)),
        sbom: manifest.sbom.as_ref().map(|sbom| beside(&sbom.name)),
    }
}

fn condition(manifest: &ReleaseManifest) -> PageCondition {
    if let Some(withdrawn) = &manifest.withdrawn {
        let reason = withdrawn.reason.clone();
        return PageCondition::Withdrawn { reason };
    }
    match manifest
        .retired
        .is_some_and(|retired| retired.deprecated.is_some())
    {
        true => PageCondition::Deprecated { reason: None },
        false => PageCondition::Good,
    }
}
