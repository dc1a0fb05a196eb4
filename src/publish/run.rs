//! A publish from its beginning to its end: the order of the steps, and what holds between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::OnceCell;

use super::book::Book;
use super::bucket::{Bucket, Stored};
use super::claim::{self, Claim, Claimed, Preview};
use super::complete::Publisher;
use super::draft::Draft;
use super::error::PublishError;
use super::holder::{Holder, new_run_id};
use super::lease::{self, Lease};
use super::manifest::{Place, ReleaseManifest, Source, State};
use super::outcome::{Outcome, Upload};
use super::progress::Progress;
use super::regions::{Placing, RegionError, Target, Wanted, check_names};
use super::release::{Line, ReleaseId};
use super::subject::{About, Subject};
use super::{files, home, papers, preflight, verify};
use crate::aws::tags::Tags;
use crate::aws::{Aws, KeyArn, Region};
use crate::interrupt::Stop;
use crate::sign::Signer;
use crate::telemetry;

/// What is to be published, by whom, and where to.
pub struct Job<'a> {
    /// The publisher's configuration.
    pub publisher: &'a Publisher,
    /// The publisher's session.
    pub aws: &'a Aws,
    /// What is published.
    pub subject: &'a Subject,
    /// The Regions, where they are not those of the configuration.
    pub regions: Option<BTreeSet<Region>>,
    /// Regions besides.
    pub add: BTreeSet<Region>,
    /// Whether the snapshots of all Regions are read back.
    pub verify: bool,
    /// Who signs what is published, if anybody does.
    pub signer: Option<Signer>,
    /// Who is told what goes on.
    pub progress: &'a Progress,
}

/// A run that has looked at everything and made nothing yet.
struct Ready {
    bucket: Bucket,
    line: Line,
    begun: Option<Stored>,
    preview: Option<Preview>,
    keys: BTreeMap<Region, KeyArn>,
    draft: Option<Draft>,
}

/// What a run has done besides what the manifest says.
#[derive(Default)]
pub(super) struct Done {
    pub upload: Option<Upload>,
    /// Whether the manifest was signed, as it stands now.
    pub signed: bool,
    /// Regions whose snapshots were read back and found equal.
    pub verified: Vec<Region>,
    /// What went wrong in a Region, and what to do about it.
    pub failed: BTreeMap<Region, (String, Option<String>)>,
}

/// Publishes a release, or finishes one that an earlier run began, or finds that nothing is to do.
/// It may be killed at any time: another run goes on from there.
///
/// # Errors
/// [`PublishError`]. A Region other than the home Region that fails is no error of the run, but
/// told in what it comes to.
pub async fn publish(job: &Job<'_>, stop: Stop) -> Result<Outcome, PublishError> {
    telemetry::stage(telemetry::span!("publish"), publish_it(job, stop)).await
}

async fn publish_it(job: &Job<'_>, mut stop: Stop) -> Result<Outcome, PublishError> {
    let run = new_run_id(OffsetDateTime::now_utc());
    let book = OnceCell::new();
    let ready = tokio::select! {
        how = stop.told() => Err(interrupted(how, None).await),
        ready = look(job, &run) => ready,
    }?;
    let ttl = Duration::from_secs(job.publisher.lease_seconds);
    let holder = Holder::here(&run, "publish");
    let lease = Lease::acquire(&ready.bucket, lease::Of::line(&ready.line), holder, ttl).await?;
    let result = tokio::select! {
        biased;
        lost = lease.lost() => Err(lost.into()),
        how = stop.told() => Err(interrupted(how, book.get()).await),
        result = under_lease(job, ready, &run, &book) => result,
    };
    if let Err(error) = lease.release().await {
        // It expires by itself.
        tracing::debug!("{error}");
    }
    result
}

async fn interrupted(how: &'static str, book: Option<&Arc<Book>>) -> PublishError {
    let Some(book) = book else {
        return PublishError::early(how);
    };
    let manifest = book.manifest().await;
    let (done, missing) = manifest
        .regions
        .iter()
        .partition::<Vec<_>, _>(|(_, place)| place.state == "available");
    let names = |regions: Vec<(&Region, &Place)>| {
        regions
            .into_iter()
            .map(|(region, _)| region.clone())
            .collect()
    };
    PublishError::Interrupted {
        how,
        release: Some(manifest.release.clone()),
        done: names(done),
        missing: names(missing),
    }
}

/// Everything that can be wrong is found here, before anything is made.
async fn look(job: &Job<'_>, run: &str) -> Result<Ready, PublishError> {
    let bucket = job.publisher.bucket(job.aws);
    let now = bucket.now();
    // A bucket that is not as it should be is told before what comes of that.
    let (checked, known, seen) = tokio::join!(
        bucket.check(),
        preflight::regions(job),
        seen(job, &bucket, run, now)
    );
    checked?;
    let Seen {
        line,
        release,
        begun,
        preview,
    } = seen?;
    let known = known?;
    let manifest = begun.as_ref().map(|stored| &stored.manifest);
    if manifest.is_some_and(ReleaseManifest::is_ending) {
        return Err(PublishError::Retired(release));
    }
    let is_image = match (manifest, job.subject) {
        (Some(manifest), _) => manifest.blocks.is_some(),
        (None, subject) => matches!(subject, Subject::Image(_)),
    };
    if job.verify && !is_image {
        return Err(PublishError::NothingToVerify(release));
    }
    let regions = preflight::wanted(job, manifest);
    if let Some(manifest) = manifest.filter(|manifest| manifest.withdrawn.is_some())
        && let Some(new) = regions
            .iter()
            .find(|region| !manifest.regions.contains_key(region))
    {
        return Err(PublishError::Withdrawn {
            release: manifest.release.clone(),
            region: new.clone(),
        });
    }
    if let Some(error) = preflight::unusable(&known, &regions) {
        return Err(error);
    }
    let keys = preflight::find_keys(job, &regions, manifest).await?;
    let draft = match manifest {
        Some(_) => None,
        None => Some(Draft::new(job, &line, run, now, &keys).await?),
    };
    let name = match (manifest, &draft) {
        (Some(manifest), _) => manifest.name.clone(),
        (None, Some(draft)) => draft.manifest(&release)?.name,
        (None, None) => unreachable!("what is not begun has a draft"),
    };
    let asked: Vec<Region> = regions.iter().cloned().collect();
    // What is not begun in our bucket has no AMI yet: one of that name is another's.
    let ours = manifest.map(|_| &release);
    let parent = async {
        match &draft {
            Some(draft) => draft.parent(job, now).await,
            None => Ok(None),
        }
    };
    let (names, parent) = tokio::join!(check_names(job.aws, &name, ours, &asked), parent);
    names.map_err(PublishError::Regions)?;
    let parent = parent?;
    let draft = draft.map(|draft| draft.with_parent(parent));
    Ok(Ready {
        bucket,
        line,
        begun,
        preview,
        keys,
        draft,
    })
}

/// What the bucket has of the release.
struct Seen {
    line: Line,
    release: ReleaseId,
    begun: Option<Stored>,
    /// Of a source that may become a release.
    preview: Option<Preview>,
}

async fn seen(
    job: &Job<'_>,
    bucket: &Bucket,
    run: &str,
    now: OffsetDateTime,
) -> Result<Seen, PublishError> {
    if let Subject::Release(id) = job.subject {
        let stored = bucket.manifest(id).await?;
        let stored = stored.ok_or_else(|| PublishError::NoRelease {
            release: id.clone(),
            bucket: bucket.url(""),
        })?;
        return Ok(Seen {
            line: id.line.clone(),
            release: id.clone(),
            begun: Some(stored),
            preview: None,
        });
    }
    let about = job.subject.about();
    let about = about.expect("only a release says it itself");
    let source = preflight::source(job);
    let source = source.expect("only a release has no source of its own");
    about.check()?;
    let claim = Claim {
        line: &about.line,
        source: &source,
        run,
        now,
    };
    let preview = claim::preview(bucket, claim).await?;
    Ok(Seen {
        line: about.line.clone(),
        release: preview.release.clone(),
        begun: preview.stored.clone(),
        preview: Some(preview),
    })
}

/// The steps that make something. Only one run at a time is here for a line.
async fn under_lease(
    job: &Job<'_>,
    ready: Ready,
    run: &str,
    cell: &OnceCell<Arc<Book>>,
) -> Result<Outcome, PublishError> {
    let Claimed { stored, is_new } = begin(job, &ready, run).await?;
    job.progress
        .say(format!("release {}", stored.manifest.release));
    let book = Arc::new(Book::open(&ready.bucket, stored));
    // It is set once, here.
    let _ = cell.set(Arc::clone(&book));
    open_places(job, &book, &ready.keys).await?;
    let mut done = Done::default();
    let manifest = book.manifest().await;
    let files = match manifest.files {
        Some(_) => None,
        None => files::list(job.subject),
    };
    let placing = placing(job, &book, &manifest, is_new);
    let home = home::bring(job, &ready.bucket, &book, &placing, &mut done).await?;
    let ami = home
        .ami
        .ok_or_else(|| PublishError::Region(vanished(&manifest)))?;
    let others = targets(&book.manifest().await);
    // Copies take minutes: nothing that can be done meanwhile keeps them waiting.
    let (attached, copied) = tokio::join!(
        files::attach(&ready.bucket, &book, files),
        placing.copies(&ami, &manifest.home, others)
    );
    for (region, result) in copied {
        if let Err(error) = result {
            let told = (error.to_string(), error.advice());
            done.failed.insert(region, told);
        }
    }
    match attached {
        // What became of the Regions is more to know; the next run finds the list missing.
        Err(error) if !done.failed.is_empty() => job.progress.say(format!("warning: {error}")),
        attached => attached?,
    }
    if done.failed.is_empty() {
        book.change(|manifest| manifest.state = State::Published)
            .await?;
    }
    papers::add(&ready.bucket, &book, job.subject).await?;
    if let (Some(signer), true) = (&job.signer, done.failed.is_empty()) {
        let release = book.manifest().await.release;
        done.signed = papers::sign(&ready.bucket, signer, &release).await?;
    }
    if job.verify {
        verify::all(job, &book.manifest().await, &mut done).await?;
    }
    Ok(outcome(&ready.bucket, &book, done).await)
}

/// The release's manifest, there from now on.
async fn begin(job: &Job<'_>, ready: &Ready, run: &str) -> Result<Claimed, PublishError> {
    let (Some(draft), Some(seen), Some(source)) =
        (&ready.draft, &ready.preview, preflight::source(job))
    else {
        // Read again: another run may have finished it before this one had the lease, or retired it.
        let begun = ready.begun.as_ref().map(|stored| &stored.manifest.release);
        let release = begun.expect("what is begun has a manifest");
        let stored = ready.bucket.manifest(release).await?;
        let stored = stored.ok_or_else(|| PublishError::NoRelease {
            release: release.clone(),
            bucket: ready.bucket.url(""),
        })?;
        if stored.manifest.is_ending() {
            return Err(PublishError::Retired(release.clone()));
        }
        let is_new = false;
        return Ok(Claimed { stored, is_new });
    };
    let now = ready.bucket.now();
    let claim = Claim {
        line: &ready.line,
        source: &source,
        run,
        now,
    };
    let draft = |release: &ReleaseId| {
        draft
            .manifest(release)
            .expect("the name was checked, and another number makes it no worse")
    };
    Ok(claim::claim(&ready.bucket, claim, seen.clone(), draft).await?)
}

/// Regions that are new to the release get a place in the manifest, and those that it never came
/// to and that are not asked for any more lose theirs. What is not begun may change its key.
async fn open_places(
    job: &Job<'_>,
    book: &Book,
    keys: &BTreeMap<Region, KeyArn>,
) -> Result<(), PublishError> {
    let dropped = dropped(job, &book.manifest().await, keys).await?;
    for region in &dropped {
        job.progress.region(region, "not asked for any more");
    }
    let change = |manifest: &mut ReleaseManifest| {
        manifest
            .regions
            .retain(|region, _| !dropped.contains(region));
        for (region, key) in keys {
            let is_home = *region == manifest.home;
            let Some(place) = manifest.regions.get_mut(region) else {
                manifest.regions.insert(region.clone(), empty(key));
                manifest.was_published |= manifest.state == State::Published;
                manifest.state = State::Publishing;
                continue;
            };
            if place.ami.is_none() && place.key != *key {
                // Tokens that went with the other key would be refused with this one.
                place.attempt += 1;
                place.key = key.clone();
                if is_home {
                    manifest.parent = None;
                    home::another_snapshot(manifest);
                }
            }
        }
    };
    Ok(book.change(change).await?)
}

/// Regions of the manifest that are not asked for, and where nothing of the release is.
async fn dropped(
    job: &Job<'_>,
    manifest: &ReleaseManifest,
    keys: &BTreeMap<Region, KeyArn>,
) -> Result<BTreeSet<Region>, PublishError> {
    let release = manifest.release.to_string();
    let mut dropped = BTreeSet::new();
    for (region, place) in &manifest.regions {
        if keys.contains_key(region) || place.ami.is_some() {
            continue;
        }
        // A run may have died before it wrote an AMI's id down.
        let images = job.aws.ec2(region).images_of_release(&release).await?;
        if !images.iter().any(|image| image.name == manifest.name) {
            dropped.insert(region.clone());
        }
    }
    Ok(dropped)
}

/// A Region that has nothing yet.
pub(super) fn empty(key: &KeyArn) -> Place {
    Place {
        ami: None,
        snapshot: None,
        key: key.clone(),
        state: "missing".to_owned(),
        attempt: 0,
        error: None,
    }
}

fn placing(job: &Job<'_>, book: &Arc<Book>, manifest: &ReleaseManifest, is_new: bool) -> Placing {
    let wanted = Wanted {
        release: manifest.release.clone(),
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        arch: manifest.release.line.arch,
        boot: manifest.boot.clone(),
        volume_gib: manifest.volume_gib,
        tags: tags(manifest),
    };
    Placing {
        aws: job.aws.clone(),
        wanted: Arc::new(wanted),
        record: Arc::clone(book) as Arc<_>,
        is_new,
        progress: job.progress.clone(),
    }
}

/// What everything that belongs to a release is tagged with: the same in every run, since client
/// tokens stand for them too.
pub(super) fn tags(manifest: &ReleaseManifest) -> Tags {
    let source = match &manifest.source {
        Source::Image { sha256, .. } => sha256.clone(),
        Source::Snapshot { id } => id.to_string(),
        Source::Ami { id, .. } => id.to_string(),
    };
    let release = manifest.release.to_string();
    Tags::of_release(&release, &manifest.run, &source, manifest.end_of_life)
}

/// The Regions that are copied to.
fn targets(manifest: &ReleaseManifest) -> Vec<Target> {
    let others = manifest
        .regions
        .iter()
        .filter(|(region, _)| **region != manifest.home);
    others
        .map(|(region, place)| target(region, place))
        .collect()
}

/// A Region as the manifest has it.
pub(super) fn target(region: &Region, place: &Place) -> Target {
    Target {
        region: region.clone(),
        key: place.key.clone(),
        recorded: Some(place.clone()),
    }
}

fn vanished(manifest: &ReleaseManifest) -> RegionError {
    RegionError::Vanished {
        region: manifest.home.clone(),
        call: "RegisterImage",
        why: "it has no id".to_owned(),
    }
}

async fn outcome(bucket: &Bucket, book: &Book, done: Done) -> Outcome {
    let manifest = book.manifest().await;
    let mut outcome = Outcome::of(&manifest, bucket.manifest_url(&manifest.release));
    outcome.changed = done.upload.is_some() || done.signed || book.is_changed().await;
    outcome.upload = done.upload;
    outcome.verified = done.verified;
    for (region, error) in done.failed {
        if let Some(told) = outcome.regions.get_mut(&region) {
            (told.error, told.advice) = (Some(error.0), error.1);
        }
    }
    outcome
}

impl Subject {
    /// What is said of it, unless it is a release.
    pub fn about(&self) -> Option<About> {
        match self {
            Subject::Image(image) => Some(About::image(&image.manifest)),
            Subject::Snapshot(_, about, _) | Subject::Ami(_, _, about) => Some(about.clone()),
            Subject::Release(_) => None,
        }
    }
}
