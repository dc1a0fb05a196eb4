//! The first manifest of a release: everything that is decided before anything is made.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use super::error::PublishError;
use super::manifest::{Boot, Parent, ReleaseManifest, SCHEMA, Source, State};
use super::preflight;
use super::regions::{boot, inspect_ami, inspect_snapshot};
use super::release::{AmiNameError, Line, ReleaseId, ami_name};
use super::run::{Job, empty};
use super::subject::{About, Image, Subject, SubjectError};
use crate::aws::ec2::SnapshotState;
use crate::aws::{KeyArn, Region};
use crate::blocks;
use crate::blocks::digests::BlockDigests;

/// Earlier releases whose snapshots are gone are passed over, so many of them.
const MOST_PARENTS: usize = 8;

/// The first manifest of a release, but for its id.
pub(super) struct Draft {
    publisher: String,
    alpine: String,
    manifest: ReleaseManifest,
}

/// What the source says of volume and boot.
struct Shape {
    boot: Boot,
    volume_gib: u32,
    blocks: Option<BlockDigests>,
}

impl Draft {
    /// Decides everything but the parent; makes nothing.
    pub(super) async fn new(
        job: &Job<'_>,
        line: &Line,
        run: &str,
        now: OffsetDateTime,
        keys: &BTreeMap<Region, KeyArn>,
    ) -> Result<Draft, PublishError> {
        let home = &job.publisher.home;
        let about = job
            .subject
            .about()
            .expect("a release that is begun needs no draft");
        let source = preflight::source(job).expect("a release that is begun needs no draft");
        let shape = shape(job, &about, &source, &keys[home]).await?;
        let image = match job.subject {
            Subject::Image(image) => Some(image.manifest.clone()),
            Subject::Snapshot(_, _, built) => built.as_ref().map(|built| built.manifest.clone()),
            _ => None,
        };
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let places = keys
            .iter()
            .map(|(region, key)| (region.clone(), empty(key)));
        let manifest = ReleaseManifest {
            schema: SCHEMA,
            // Stands in for the one that is chosen later.
            release: ReleaseId {
                line: line.clone(),
                date: 0,
                number: 0,
            },
            state: State::Publishing,
            was_published: false,
            name: String::new(),
            description: description(job, &about),
            tool: concat!("alpine-ami ", env!("CARGO_PKG_VERSION")).to_owned(),
            account: job.aws.account().clone(),
            created: now,
            run: run.to_owned(),
            end_of_life: now + Duration::days(job.publisher.end_of_life_days.into()),
            source,
            boot: shape.boot,
            volume_gib: shape.volume_gib,
            home: home.clone(),
            regions: places.collect(),
            snapshots_given_up: 0,
            parent: None,
            blocks: shape.blocks,
            image,
            files: None,
            sbom: None,
            origin: None,
            tested: None,
            withdrawn: None,
            retired: None,
        };
        Ok(Draft {
            publisher: job.publisher.name.clone(),
            alpine: about.alpine,
            manifest,
        })
    }

    /// The manifest under an id.
    ///
    /// # Errors
    /// AWS would not take the name.
    pub(super) fn manifest(&self, release: &ReleaseId) -> Result<ReleaseManifest, AmiNameError> {
        Ok(ReleaseManifest {
            release: release.clone(),
            name: ami_name(&self.publisher, release, &self.alpine)?,
            ..self.manifest.clone()
        })
    }

    /// The same with a parent.
    pub(super) fn with_parent(mut self, parent: Option<Parent>) -> Draft {
        self.manifest.parent = parent;
        self
    }

    /// The newest earlier release of the profile and architecture whose snapshot is there, under the
    /// same key: what it has need not be sent.
    pub(super) async fn parent(
        &self,
        job: &Job<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<Parent>, PublishError> {
        let (home, ours) = (&self.manifest.home, &self.manifest);
        let Some(blocks) = &ours.blocks else {
            return Ok(None);
        };
        let bucket = job.publisher.bucket(job.aws);
        let key = &ours.regions[home].key;
        // Later than any of today's.
        let before = ReleaseId {
            line: ours.release.line.clone(),
            date: date(now + Duration::days(1)),
            number: 1,
        };
        let mut gone: Vec<ReleaseId> = Vec::new();
        for _ in 0..MOST_PARENTS {
            let fits = |earlier: &ReleaseManifest| {
                let place = earlier.regions.get(home);
                let same_key = place.is_some_and(|place| place.key == *key);
                let fits = earlier.home == *home && earlier.volume_gib <= ours.volume_gib;
                same_key && fits && !gone.contains(&earlier.release)
            };
            let Some(earlier) = bucket.earlier(&before, fits).await? else {
                return Ok(None);
            };
            if let Some(parent) = usable(job, home, key, &earlier, blocks).await? {
                return Ok(Some(parent));
            }
            gone.push(earlier.release);
        }
        Ok(None)
    }
}

/// An earlier release as the parent, if its snapshot is there and whole.
async fn usable(
    job: &Job<'_>,
    home: &Region,
    key: &KeyArn,
    earlier: &ReleaseManifest,
    blocks: &BlockDigests,
) -> Result<Option<Parent>, PublishError> {
    let place = earlier.regions.get(home);
    let snapshot = place.and_then(|place| place.snapshot.clone());
    let (Some(snapshot), Some(theirs)) = (snapshot, &earlier.blocks) else {
        return Ok(None);
    };
    let seen = job.aws.ec2(home).snapshot(&snapshot).await?;
    let is_good = seen.is_some_and(|seen| {
        seen.state == SnapshotState::Completed && seen.key.as_ref() == Some(key)
    });
    let differing = blocks.differing(theirs).len();
    Ok(is_good.then(|| Parent {
        release: earlier.release.clone(),
        snapshot,
        blocks_sent: u32::try_from(differing).unwrap_or(u32::MAX),
    }))
}

/// `yyyymmdd`.
fn date(time: OffsetDateTime) -> u32 {
    let (year, month, day) = time.to_calendar_date();
    let year = u32::try_from(year).unwrap_or_default();
    year * 10_000 + u32::from(u8::from(month)) * 100 + u32::from(day)
}

async fn shape(
    job: &Job<'_>,
    about: &About,
    source: &Source,
    key: &KeyArn,
) -> Result<Shape, PublishError> {
    let home = &job.publisher.home;
    let boot = boot(about.firmware.iter().copied(), about.line.arch);
    match (job.subject, source) {
        (Subject::Image(image), _) => {
            let volume_gib = job.publisher.volume_gib;
            let blocks = Some(on_volume(image, volume_gib)?);
            Ok(Shape {
                boot,
                volume_gib,
                blocks,
            })
        }
        (_, Source::Snapshot { id }) => {
            let found = inspect_snapshot(job.aws, home, id, key, None).await?;
            let volume_gib = found.volume_gib;
            Ok(Shape {
                boot,
                volume_gib,
                blocks: None,
            })
        }
        (_, Source::Ami { id, region }) => {
            let found = inspect_ami(job.aws, region, id, None).await?;
            let (boot, volume_gib) = (found.boot, found.volume_gib);
            Ok(Shape {
                boot,
                volume_gib,
                blocks: None,
            })
        }
        (_, Source::Image { .. }) => unreachable!("an image is the subject of its own"),
    }
}

fn on_volume(image: &Image, volume_gib: u32) -> Result<BlockDigests, SubjectError> {
    blocks::on_volume(&image.blocks, volume_gib).ok_or_else(|| SubjectError::TooLarge {
        path: image.folder.join(&image.manifest.image.file),
        size: image.manifest.image.size,
        volume_gib,
    })
}

/// What customers read: tags are not for them. EC2 takes 255 characters.
fn description(job: &Job<'_>, about: &About) -> String {
    let Line {
        profile,
        version,
        arch,
    } = &about.line;
    let alpine = &about.alpine;
    let own = job.publisher.description.as_deref();
    let mut text = format!("{profile} {version} on Alpine Linux {alpine}, {arch}");
    if let Some(own) = own {
        text = format!("{text}. {own}");
    }
    text.chars().take(255).collect()
}
