//! What dead runs left, past its end of life: of releases that were begun and never finished, and of
//! builds on instances.
//!
//! Everything carries its end of life from the call on that made it. Nothing of a published release is
//! an orphan, nor anything of another publisher's; and what a lease is held of is left alone. An AMI
//! whose release has no manifest at all is one only if it bears this publisher's name and nobody may
//! launch it: a manifest may lie in another bucket.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use super::Job;
use super::act::take;
use super::error::{PruneError, Trouble};
use super::survey::{Holding, Survey, is_ours, owns};
use crate::aws::ec2::{Ec2, Image, VolumeState};
use crate::aws::tags::{self, Tags};
use crate::aws::{AmiId, AwsError, InstanceId, Region, SnapshotId, VolumeId};
use crate::publish::bucket::Bucket;
use crate::publish::lease::{LeaseError, Of};
use crate::publish::manifest::{ReleaseManifest, State};
use crate::publish::release::{AmiName, ReleaseId};

/// What dead runs left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Orphans {
    /// What is to be removed.
    pub found: Vec<Orphan>,
    /// Regions and things that could not be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Trouble>,
}

impl Orphans {
    /// Whether there is anything to remove.
    pub fn has_work(&self) -> bool {
        !self.found.is_empty()
    }
}

/// Something that a dead run left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Orphan {
    /// What it is of.
    pub of: Dead,
    /// Where; of an object, the bucket's Region.
    pub region: Region,
    /// What it is.
    pub thing: Thing,
}

/// What was begun and never finished.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dead {
    /// A build on an instance, by its id.
    Build(String),
    /// A release.
    Release(ReleaseId),
}

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dead::Build(id) => write!(f, "build {id}"),
            Dead::Release(id) => write!(f, "release {id}"),
        }
    }
}

/// A resource, in the order in which they are removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thing {
    /// An instance.
    Instance(InstanceId),
    /// A volume.
    Volume(VolumeId),
    /// An AMI, and whether its snapshots go with it.
    Image(AmiId, bool),
    /// A snapshot.
    Snapshot(SnapshotId),
    /// An object in the publisher's bucket, without its prefix.
    Object(String),
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thing::Instance(id) => id.fmt(f),
            Thing::Volume(id) => id.fmt(f),
            Thing::Image(id, true) => write!(f, "{id} and its snapshots"),
            Thing::Image(id, false) => id.fmt(f),
            Thing::Snapshot(id) => id.fmt(f),
            Thing::Object(key) => f.write_str(key),
        }
    }
}

/// Looks for what dead runs left.
///
/// # Errors
/// The bucket's. A Region that cannot be read is no error, but told.
pub async fn look(
    job: &Job<'_>,
    bucket: &Bucket,
    survey: &Survey,
    now: OffsetDateTime,
) -> Result<Orphans, PruneError> {
    job.progress.say("looking for what dead runs left");
    let mut orphans = Orphans::default();
    for (region, held) in &survey.regions {
        let ec2 = job.aws.ec2(region);
        if let Ok(holding) = held {
            let found = of_releases(job, &ec2, survey, holding, now).await;
            orphans.note(region, found);
        }
        let found = of_builds(&ec2, now).await;
        orphans.note(region, found);
    }
    let keys = bucket.list("builds/").await?;
    let old = now - Duration::days(job.publisher.end_of_life_days.into());
    let objects = keys.iter().filter_map(|key| dead_object(key, old));
    orphans.found.extend(objects.map(|(build, key)| Orphan {
        of: Dead::Build(build),
        region: job.publisher.home.clone(),
        thing: Thing::Object(key),
    }));
    orphans.found.sort();
    Ok(orphans)
}

impl Orphans {
    fn note(&mut self, region: &Region, found: Result<Vec<Orphan>, AwsError>) {
        match found {
            Ok(found) => self.found.extend(found),
            Err(error) => self.failed.push(Trouble::of_call(region, None, &error)),
        }
    }
}

/// Whether a resource's end of life is over. One that says none is nobody's to sweep.
fn is_over(tags: &Tags, now: OffsetDateTime) -> bool {
    let end = tags.get(tags::END_OF_LIFE);
    let end = end.and_then(|end| OffsetDateTime::parse(end, &Rfc3339).ok());
    end.is_some_and(|end| end < now)
}

/// The manifest of a release that was begun, never finished, and is past its end of life; if the
/// resource is one of that run.
fn dead_manifest<'s>(
    survey: &'s Survey,
    tags: &Tags,
    now: OffsetDateTime,
) -> Option<&'s ReleaseManifest> {
    let mut manifests = survey.manifests.iter();
    manifests.find(|manifest| {
        is_ours(tags, &manifest.release, &manifest.run)
            && was_never_published(manifest)
            && manifest.end_of_life < now
    })
}

/// What gets another Region is not finished there, but customers may have it in the others.
fn was_never_published(manifest: &ReleaseManifest) -> bool {
    manifest.state == State::Publishing && !manifest.was_published
}

async fn of_releases(
    job: &Job<'_>,
    ec2: &Ec2,
    survey: &Survey,
    holding: &Holding,
    now: OffsetDateTime,
) -> Result<Vec<Orphan>, AwsError> {
    let region = ec2.region();
    let mut found = Vec::new();
    let mut add = |release: &ReleaseId, thing: Thing| {
        found.push(Orphan {
            of: Dead::Release(release.clone()),
            region: region.clone(),
            thing,
        });
    };
    for image in holding
        .images
        .iter()
        .filter(|image| is_over(&image.tags, now))
    {
        if let Some(manifest) = dead_manifest(survey, &image.tags, now) {
            let snapshot = image.root_snapshot();
            let snapshot = holding
                .snapshots
                .iter()
                .find(|held| Some(&held.id) == snapshot);
            let owns = owns(manifest, region, snapshot);
            add(&manifest.release, Thing::Image(image.id.clone(), owns));
        } else if let Some(release) = nameless(job, survey, image)
            && is_unused(ec2, image).await?
        {
            add(&release, Thing::Image(image.id.clone(), true));
        }
    }
    let used: Vec<&SnapshotId> = holding.images.iter().flat_map(Image::snapshots).collect();
    for snapshot in &holding.snapshots {
        if !is_over(&snapshot.tags, now) || used.contains(&&snapshot.id) {
            continue;
        }
        if let Some(manifest) = dead_manifest(survey, &snapshot.tags, now)
            && owns(manifest, region, Some(snapshot))
        {
            add(&manifest.release, Thing::Snapshot(snapshot.id.clone()));
        }
    }
    Ok(found)
}

/// The release of an AMI of this publisher's that there is no manifest of.
fn nameless(job: &Job<'_>, survey: &Survey, image: &Image) -> Option<ReleaseId> {
    let name = AmiName::parse(&image.name)?;
    let is_known = || {
        let mut manifests = survey.manifests.iter();
        manifests.any(|manifest| manifest.release == name.release)
    };
    let is_ours = name.publisher == job.publisher.name
        && image.release() == Some(name.release.to_string().as_str());
    (is_ours && !is_known()).then_some(name.release)
}

/// Whether nobody else may launch an AMI, and nothing of one's own names it.
async fn is_unused(ec2: &Ec2, image: &Image) -> Result<bool, AwsError> {
    let shared = ec2.launch_permissions(&image.id).await?;
    if image.public || shared.is_some_and(|parties| !parties.is_empty()) {
        return Ok(false);
    }
    let references = ec2.references(std::slice::from_ref(&image.id)).await?;
    Ok(references.is_empty())
}

/// What builds left: what became a release's is the release's.
async fn of_builds(ec2: &Ec2, now: OffsetDateTime) -> Result<Vec<Orphan>, AwsError> {
    let (instances, volumes, snapshots) = tokio::join!(
        ec2.instances_of_builds(),
        ec2.volumes_of_builds(),
        ec2.snapshots_of_builds()
    );
    let dead = |tags: &Tags| {
        let build = tags.get(tags::BUILD).filter(|_| is_over(tags, now));
        let build = build.filter(|_| tags.get(tags::RELEASE).is_none())?;
        Some(Dead::Build(build.to_owned()))
    };
    let mut found = Vec::new();
    let mut add = |of: Option<Dead>, thing: Thing| {
        found.extend(of.map(|of| Orphan {
            of,
            region: ec2.region().clone(),
            thing,
        }));
    };
    for instance in instances? {
        if !instance.state.is_ending() {
            add(dead(&instance.tags), Thing::Instance(instance.id));
        }
    }
    for volume in volumes? {
        if volume.state == VolumeState::Available {
            add(dead(&volume.tags), Thing::Volume(volume.id));
        }
    }
    for snapshot in snapshots? {
        add(dead(&snapshot.tags), Thing::Snapshot(snapshot.id));
    }
    Ok(found)
}

/// The build that an object is of, `builds/<build>/<run>/…`, if the run began before then: a run's id
/// says when. What a build came to is not a run's.
fn dead_object(key: &str, old: OffsetDateTime) -> Option<(String, String)> {
    let (build, rest) = key.strip_prefix("builds/")?.split_once('/')?;
    let (run, _) = rest.split_once('/')?;
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let began = PrimitiveDateTime::parse(run.get(..16)?, format).ok()?;
    (began.assume_utc() < old).then(|| (build.to_owned(), key.to_owned()))
}

/// Removes what was found, but for that of which a lease is held: whoever holds it lives. What fails
/// keeps nothing else from being removed.
pub(super) async fn sweep(
    job: &Job<'_>,
    bucket: &Bucket,
    orphans: &Orphans,
    run: &str,
) -> Vec<Trouble> {
    let mut failed = orphans.failed.clone();
    let mut by_owner: BTreeMap<&Dead, Vec<&Orphan>> = BTreeMap::new();
    for orphan in &orphans.found {
        by_owner.entry(&orphan.of).or_default().push(orphan);
    }
    for (dead, things) in by_owner {
        job.progress.say(format!("removing what is left of {dead}"));
        let of = match dead {
            Dead::Build(id) => Of::build(id),
            Dead::Release(id) => Of::line(&id.line),
        };
        let lease = match take(job, bucket, of, run).await {
            Ok(lease) => lease,
            Err(error @ LeaseError::Held { .. }) => {
                tracing::warn!("left alone: {error}");
                continue;
            }
            Err(error) => {
                failed.push(trouble(dead, None, &error.to_string(), error.advice()));
                continue;
            }
        };
        // A run that went on from there may have finished it meanwhile.
        let is_alive = match dead {
            Dead::Build(_) => Ok(false),
            Dead::Release(id) => bucket
                .manifest(id)
                .await
                .map(|found| found.is_some_and(|stored| !was_never_published(&stored.manifest))),
        };
        let things = match is_alive {
            Ok(false) => things,
            Ok(true) => Vec::new(),
            Err(error) => {
                failed.push(trouble(dead, None, &error.to_string(), error.advice()));
                Vec::new()
            }
        };
        for orphan in things {
            if let Err(error) = remove(job, bucket, orphan).await {
                let region = Some(orphan.region.clone());
                let said = error.to_string();
                failed.push(trouble(dead, region, &said, Some(error.advice())));
            }
        }
        if let Err(error) = lease.release().await {
            tracing::debug!("{error}");
        }
    }
    failed
}

fn trouble(dead: &Dead, region: Option<Region>, why: &str, advice: Option<String>) -> Trouble {
    let (release, error) = match dead {
        Dead::Release(id) => (Some(id.clone()), why.to_owned()),
        Dead::Build(_) => (None, format!("{dead}: {why}")),
    };
    Trouble {
        region,
        release,
        error,
        advice,
    }
}

async fn remove(job: &Job<'_>, bucket: &Bucket, orphan: &Orphan) -> Result<(), AwsError> {
    let ec2 = job.aws.ec2(&orphan.region);
    match &orphan.thing {
        Thing::Instance(id) => ec2.terminate(id).await,
        Thing::Volume(id) => ec2.delete_volume(id).await,
        Thing::Image(id, with_snapshots) => ec2.deregister(id, *with_snapshots).await,
        // Where an AMI has it after all, AWS keeps it.
        Thing::Snapshot(id) => ec2.delete_snapshot(id).await.map(drop),
        Thing::Object(key) => {
            let key = bucket.key(key);
            bucket.s3().remove(bucket.address(), &key).await
        }
    }
}
