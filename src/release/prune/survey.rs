//! What there is: manifests, channels, and the AMIs and snapshots in every Region.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Job;
use super::error::{PruneError, Trouble};
use super::seen::{HeldImage, Seen, SeenPlace, SeenRelease, Uses};
use super::settings::Keep;
use crate::aws::ec2::{Image, Snapshot};
use crate::aws::{AwsError, Region, SnapshotId, tags};
use crate::channels::{Channel, store};
use crate::publish::bucket::{Bucket, BucketError};
use crate::publish::manifest::{ReleaseManifest, Source, State};
use crate::publish::release::ReleaseId;

/// So many manifests are read at once.
const AT_ONCE: usize = 16;

/// What was found.
pub struct Survey {
    /// What there is.
    pub seen: Seen,
    /// All manifests.
    pub manifests: Vec<ReleaseManifest>,
    /// What each Region holds of releases.
    pub regions: BTreeMap<Region, Result<Holding, AwsError>>,
}

/// What a Region holds of releases.
#[derive(Debug, Clone, Default)]
pub struct Holding {
    /// The account's AMIs that are tagged with a release.
    pub images: Vec<Image>,
    /// The account's snapshots that are.
    pub snapshots: Vec<Snapshot>,
}

impl Survey {
    /// The Regions that could not be read.
    pub fn troubles(&self) -> Vec<Trouble> {
        let failed = self.regions.iter();
        let failed = failed.filter_map(|(region, held)| Some((region, held.as_ref().err()?)));
        failed
            .map(|(region, error)| Trouble::of_call(region, None, error))
            .collect()
    }
}

/// Looks at everything but who uses what.
///
/// # Errors
/// The bucket's. A Region that cannot be read is no error, but told.
pub async fn survey(job: &Job<'_>, bucket: &Bucket) -> Result<Survey, PruneError> {
    job.progress.say("reading the releases and channels");
    let (manifests, channels) = tokio::join!(manifests(bucket), channels(job, bucket));
    let (manifests, channels) = (manifests?, channels?);
    let mut names: BTreeSet<Region> = job.publisher.regions.clone();
    names.extend(manifests.iter().flat_map(|one| one.regions.keys().cloned()));
    job.progress
        .say(format!("reading the AMIs, in {} Regions", names.len()));
    let regions = holdings(job, names).await;
    let mut releases = Vec::new();
    for manifest in &manifests {
        if manifest.state == State::Published
            && let Some(release) = release(job, manifest, &regions).await
        {
            releases.push(release);
        }
    }
    Ok(Survey {
        seen: Seen {
            releases,
            channels,
            customers: job.customers.to_vec(),
        },
        manifests,
        regions,
    })
}

async fn manifests(bucket: &Bucket) -> Result<Vec<ReleaseManifest>, BucketError> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut reading = JoinSet::new();
    for id in bucket.all_releases().await? {
        let (bucket, turns) = (bucket.clone(), Arc::clone(&turns));
        reading.spawn(async move {
            let _turn = turns.acquire().await.expect("it is never closed");
            bucket.manifest(&id).await
        });
    }
    let mut found = Vec::new();
    while let Some(read) = reading.join_next().await {
        let stored = read.expect("reading does not panic")?;
        found.extend(stored.map(|stored| stored.manifest));
    }
    found.sort_by(|one, other| one.release.cmp(&other.release));
    Ok(found)
}

/// The channels that there are documents of, those too that the configuration does not name any more:
/// what is in them is still in them.
///
/// # Errors
/// AWS's; one cannot be read.
pub async fn channels(job: &Job<'_>, bucket: &Bucket) -> Result<Vec<(Channel, Keep)>, BucketError> {
    let keys = bucket.list("channels/").await?;
    let names = keys.iter().filter_map(|key| {
        let name = key.strip_prefix("channels/")?.strip_suffix(".json")?;
        (!name.contains('/')).then_some(name)
    });
    let mut found = Vec::new();
    for name in names {
        let settings = job.channels.iter().find(|channel| channel.name == name);
        let keep = settings.map(|channel| channel.keep).unwrap_or_default();
        let channel = store::find(bucket, name).await?;
        found.extend(channel.map(|channel| (channel, keep)));
    }
    Ok(found)
}

async fn holdings(
    job: &Job<'_>,
    names: BTreeSet<Region>,
) -> BTreeMap<Region, Result<Holding, AwsError>> {
    let mut reading = JoinSet::new();
    for region in names {
        let ec2 = job.aws.ec2(&region);
        reading.spawn(async move {
            let (images, snapshots) =
                tokio::join!(ec2.images_of_releases(), ec2.snapshots_of_releases());
            let held = images.and_then(|images| {
                let snapshots = snapshots?;
                Ok(Holding { images, snapshots })
            });
            (region, held)
        });
    }
    let mut found = BTreeMap::new();
    while let Some(read) = reading.join_next().await {
        let (region, held) = read.expect("reading does not panic");
        found.insert(region, held);
    }
    found
}

/// What there is of a release. Nothing if it is known to be gone, and is.
async fn release(
    job: &Job<'_>,
    manifest: &ReleaseManifest,
    regions: &BTreeMap<Region, Result<Holding, AwsError>>,
) -> Option<SeenRelease> {
    let mut places = BTreeMap::new();
    for region in manifest.regions.keys() {
        let place = match regions.get(region) {
            Some(Ok(holding)) => place(job, manifest, region, holding).await,
            Some(Err(error)) => SeenPlace::Unread(error.to_string()),
            None => SeenPlace::Unread("nobody has looked there".to_owned()),
        };
        places.insert(region.clone(), place);
    }
    let is_there = |place: &SeenPlace| matches!(place, SeenPlace::Held { image: Some(_), .. });
    if manifest.is_gone() && !places.values().any(is_there) {
        return None;
    }
    Some(SeenRelease {
        id: manifest.release.clone(),
        created: manifest.created,
        retired: manifest.retired,
        places,
    })
}

async fn place(
    job: &Job<'_>,
    manifest: &ReleaseManifest,
    region: &Region,
    holding: &Holding,
) -> SeenPlace {
    let ours = |tags: &tags::Tags| is_ours(tags, &manifest.release, &manifest.run);
    let mut images = holding.images.iter();
    let mut image = images.find(|image| ours(&image.tags)).cloned();
    let named = manifest.regions.get(region);
    let named = named.and_then(|place| place.ami.as_ref());
    if image.is_none() && !manifest.is_gone() {
        // Somebody may have taken its tags away.
        if let Some(ami) = named {
            match job.aws.ec2(region).image(ami).await {
                Ok(found) => image = found,
                Err(error) => return SeenPlace::Unread(error.to_string()),
            }
        }
    }
    let held: BTreeSet<&SnapshotId> = holding.images.iter().flat_map(Image::snapshots).collect();
    let left = holding.snapshots.iter().filter(|snapshot| {
        ours(&snapshot.tags)
            && !held.contains(&snapshot.id)
            && owns(manifest, region, Some(snapshot))
    });
    let snapshot = image.as_ref().and_then(Image::root_snapshot);
    let snapshot = holding
        .snapshots
        .iter()
        .find(|held| Some(&held.id) == snapshot);
    SeenPlace::Held {
        image: image.as_ref().map(|image| HeldImage {
            id: image.id.clone(),
            deprecation: image.deprecation,
            owns_snapshots: owns(manifest, region, snapshot),
        }),
        snapshots: left.map(|snapshot| snapshot.id.clone()).collect(),
        uses: Uses::NotAsked,
    }
}

/// Whether a resource is one that this release's own runs made: another publisher of the account may
/// have a release of the same id.
pub(super) fn is_ours(tags: &tags::Tags, release: &ReleaseId, run: &str) -> bool {
    tags.get(tags::RELEASE) == Some(release.to_string().as_str())
        && tags.get(tags::RUN) == Some(run)
}

/// Whether the release's snapshot in a Region was made for it: one that it was published from stays,
/// unless a build of ours made it.
pub(super) fn owns(
    manifest: &ReleaseManifest,
    region: &Region,
    snapshot: Option<&Snapshot>,
) -> bool {
    let is_built = || snapshot.is_some_and(|found| found.tags.get(tags::BUILD).is_some());
    match &manifest.source {
        Source::Image { .. } => true,
        Source::Snapshot { .. } | Source::Ami { .. } => *region != manifest.home || is_built(),
    }
}
