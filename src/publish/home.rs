//! The home Region: from the source to a snapshot there, and from that to an AMI.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::book::Book;
use super::bucket::Bucket;
use super::error::PublishError;
use super::manifest::{Parent, Place, ReleaseManifest, Source};
use super::outcome;
use super::regions::{Origin, Placing, adopt_snapshot, inspect_ami, inspect_snapshot};
use super::run::{Done, Job, tags, target};
use super::subject::{Image, Subject};
use super::upload::journal::forget;
use super::upload::{
    PUTS_PER_SECOND, ParentSnapshot, SnapshotState, SnapshotStates, Upload, UploadError, Uploaded,
};
use super::verify;
use crate::aws::ec2::{self, Ec2};
use crate::aws::{AwsError, Kind, SnapshotId, token};

/// Snapshots that AWS gave up, or that did not hold what they should, before this run gives up.
const MOST_ATTEMPTS: u32 = 3;

/// Brings the release into its home Region, or finds it there.
pub(super) async fn bring(
    job: &Job<'_>,
    bucket: &Bucket,
    book: &Arc<Book>,
    placing: &Placing,
    done: &mut Done,
) -> Result<Place, PublishError> {
    let manifest = book.manifest().await;
    let known = match placing.is_new {
        true => None,
        false => known_snapshot(job, &manifest).await?,
    };
    let origin = match (&manifest.source, known) {
        (_, Some(snapshot)) => {
            if let Subject::Image(image) = job.subject {
                forget(&journal(image, &manifest.release.to_string()));
            }
            Origin::Snapshot(snapshot)
        }
        (Source::Image { .. }, None) => Origin::Snapshot(send(job, bucket, book, done).await?),
        (Source::Snapshot { id }, None) => {
            adopt(job, &manifest, id).await?;
            Origin::Snapshot(id.clone())
        }
        (Source::Ami { id, region }, None) => {
            let found = inspect_ami(job.aws, region, id, Some(&manifest.release)).await?;
            let origin = found.origin(&manifest.home, &place(&manifest).key);
            if let Origin::Snapshot(snapshot) = &origin {
                adopt_snapshot(job.aws, &manifest.home, snapshot, &tags(&manifest)).await?;
            }
            origin
        }
    };
    let manifest = book.manifest().await;
    let home = target(&manifest.home, place(&manifest));
    let placed = placing.home(home, origin).await?;
    sweep(job, &manifest, &placed).await?;
    Ok(placed)
}

/// Deletes the release's snapshots that were given up: a run may have died between writing that
/// down and deleting them. Those that were there before the release are not ours to delete.
async fn sweep(
    job: &Job<'_>,
    manifest: &ReleaseManifest,
    placed: &Place,
) -> Result<(), PublishError> {
    let is_image = matches!(manifest.source, Source::Image { .. });
    if !is_image || manifest.snapshots_given_up == 0 {
        return Ok(());
    }
    let ec2 = job.aws.ec2(&manifest.home);
    let release = manifest.release.to_string();
    for snapshot in ec2.snapshots_of_release(&release).await? {
        // Another publisher of the account may have a release of the same id.
        let is_ours = snapshot.tags.get(crate::aws::tags::RUN) == Some(manifest.run.as_str());
        if is_ours && Some(&snapshot.id) != placed.snapshot.as_ref() {
            // Where an AMI has it after all, AWS keeps it.
            ec2.delete_snapshot(&snapshot.id).await?;
        }
    }
    Ok(())
}

fn place(manifest: &ReleaseManifest) -> &Place {
    let place = manifest.regions.get(&manifest.home);
    place.expect("the home Region is always a place of the release")
}

/// The snapshot of the release's AMI in the home Region, if there is one: then nothing is sent.
async fn known_snapshot(
    job: &Job<'_>,
    manifest: &ReleaseManifest,
) -> Result<Option<SnapshotId>, PublishError> {
    let ec2 = job.aws.ec2(&manifest.home);
    let release = manifest.release.to_string();
    let images = ec2.images_of_release(&release).await?;
    let usable = images
        .iter()
        .filter(|image| image.name == manifest.name)
        .filter(|image| {
            matches!(
                image.state,
                ec2::ImageState::Pending | ec2::ImageState::Available
            )
        });
    let mut snapshots = usable.filter_map(|image| image.root_snapshot());
    Ok(snapshots.next().cloned())
}

async fn adopt(
    job: &Job<'_>,
    manifest: &ReleaseManifest,
    id: &SnapshotId,
) -> Result<(), PublishError> {
    let (home, key) = (&manifest.home, &place(manifest).key);
    inspect_snapshot(job.aws, home, id, key, Some(&manifest.release)).await?;
    adopt_snapshot(job.aws, home, id, &tags(manifest)).await?;
    Ok(())
}

/// The image's blocks become a snapshot. One that AWS gave up, or that lost its parent, is replaced
/// under another token.
async fn send(
    job: &Job<'_>,
    bucket: &Bucket,
    book: &Book,
    done: &mut Done,
) -> Result<SnapshotId, PublishError> {
    for _ in 1..MOST_ATTEMPTS {
        match send_once(job, bucket, book, done).await {
            Err(PublishError::Upload(UploadError::SnapshotFailed { snapshot, why, .. })) => {
                give_up(job, book, &snapshot, &why, false).await?;
            }
            Err(PublishError::Upload(UploadError::Aws(error))) if lost_parent(&error) => {
                let without = |manifest: &mut ReleaseManifest| {
                    manifest.parent = None;
                    another_snapshot(manifest);
                };
                book.change(without).await?;
            }
            Err(PublishError::Differs {
                snapshot, count, ..
            }) => {
                let why = format!("{count} blocks were not the image's");
                give_up(job, book, &snapshot, &why, true).await?;
            }
            result => return result,
        }
    }
    send_once(job, bucket, book, done).await
}

/// StartSnapshot says so where the parent is gone.
fn lost_parent(error: &AwsError) -> bool {
    error.action == "ebs:StartSnapshot" && error.kind == Kind::NotFound
}

/// The next snapshot has a token of its own; what the last one was is swept in the end.
pub(super) fn another_snapshot(manifest: &mut ReleaseManifest) {
    manifest.snapshots_given_up += 1;
    let home = manifest.home.clone();
    if let Some(place) = manifest.regions.get_mut(&home) {
        place.snapshot = None;
    }
}

/// Writes down that the snapshot is no good before it is deleted: its token will always stand for it.
async fn give_up(
    job: &Job<'_>,
    book: &Book,
    snapshot: &SnapshotId,
    why: &str,
    blame_parent: bool,
) -> Result<(), PublishError> {
    job.progress.say(format!("{snapshot} is given up: {why}"));
    let change = |manifest: &mut ReleaseManifest| {
        another_snapshot(manifest);
        if blame_parent {
            manifest.parent = None;
        }
    };
    book.change(change).await?;
    let home = book.manifest().await.home;
    job.aws.ec2(&home).delete_snapshot(snapshot).await?;
    Ok(())
}

async fn send_once(
    job: &Job<'_>,
    bucket: &Bucket,
    book: &Book,
    done: &mut Done,
) -> Result<SnapshotId, PublishError> {
    let manifest = book.manifest().await;
    let Subject::Image(image) = job.subject else {
        return Err(no_image(&manifest));
    };
    let parent = parent(bucket, &manifest).await?;
    let is_child = parent.is_some();
    let upload = upload(job, image, &manifest, parent).await?;
    let sent = upload.run().await?;
    let snapshot = sent.snapshot.clone();
    book.change(|manifest| {
        let home = manifest.home.clone();
        if let Some(place) = manifest.regions.get_mut(&home) {
            place.snapshot = Some(snapshot.clone());
        }
    })
    .await?;
    verify::completed(job, &manifest.home, &snapshot).await?;
    if is_child || job.verify {
        // What was not sent is the parent's, as its manifest says: reading back proves it.
        verify::snapshot(job, &manifest.home, &snapshot, &upload.blocks).await?;
        done.verified.push(manifest.home.clone());
    }
    done.upload = Some(told(&sent, &upload));
    Ok(snapshot)
}

fn no_image(manifest: &ReleaseManifest) -> PublishError {
    let sha256 = match &manifest.source {
        Source::Image { sha256, .. } => sha256.clone(),
        Source::Snapshot { id } => id.to_string(),
        Source::Ami { id, .. } => id.to_string(),
    };
    PublishError::NoImage {
        release: manifest.release.clone(),
        home: manifest.home.clone(),
        sha256,
    }
}

/// The parent that was chosen when the release was begun.
async fn parent(
    bucket: &Bucket,
    manifest: &ReleaseManifest,
) -> Result<Option<ParentSnapshot>, PublishError> {
    let Some(Parent {
        release, snapshot, ..
    }) = &manifest.parent
    else {
        return Ok(None);
    };
    let stored = bucket.manifest(release).await?;
    let blocks = stored.and_then(|stored| stored.manifest.blocks);
    Ok(blocks.map(|blocks| ParentSnapshot {
        snapshot: snapshot.clone(),
        blocks,
    }))
}

async fn upload(
    job: &Job<'_>,
    image: &Image,
    manifest: &ReleaseManifest,
    parent: Option<ParentSnapshot>,
) -> Result<Upload, PublishError> {
    let place = place(manifest);
    let release = manifest.release.to_string();
    let blocks = manifest.blocks.clone().ok_or_else(|| no_image(manifest))?;
    let ec2 = job.aws.ec2(&manifest.home);
    let file = image.file.try_clone().map_err(|source| {
        let path = image.folder.join(&image.manifest.image.file);
        super::subject::SubjectError::Read { path, source }
    })?;
    Ok(Upload {
        ebs: job.aws.ebs(&manifest.home),
        states: Arc::new(States(ec2)),
        image: Arc::new(file),
        size: image.manifest.image.size,
        blocks,
        volume_gib: manifest.volume_gib,
        token: token::client_token(
            &format!("{} {}", manifest.name, manifest.run),
            "snapshot",
            &manifest.home,
            manifest.snapshots_given_up,
        ),
        tags: tags(manifest),
        description: manifest.description.clone(),
        key: Some(place.key.clone()),
        parent,
        omit_zeros: false,
        journal: Some(journal(image, &release)),
        puts_per_second: Some(PUTS_PER_SECOND),
        progress: job.progress.clone(),
    })
}

/// Beside the image, so that who moves or deletes the image takes it along.
fn journal(image: &Image, release: &str) -> PathBuf {
    image.folder.join(format!(".{release}.blocks"))
}

fn told(sent: &Uploaded, upload: &Upload) -> outcome::Upload {
    outcome::Upload {
        snapshot: sent.snapshot.clone(),
        blocks_sent: sent.blocks_sent,
        blocks_total: u32::try_from(upload.blocks.0.len()).unwrap_or(u32::MAX),
        blocks_resumed: sent.resumed_blocks,
        bytes_sent: sent.bytes_sent,
        seconds: sent.elapsed.as_secs_f64(),
        throttled: sent.throttled,
    }
}

/// What EC2 says of snapshots.
pub(super) struct States(pub(super) Ec2);

#[async_trait]
impl SnapshotStates for States {
    async fn state(&self, snapshot: &SnapshotId) -> Result<SnapshotState, AwsError> {
        let found = self.0.snapshot(snapshot).await?;
        Ok(match found {
            None => SnapshotState::Missing,
            Some(found) => match found.state {
                ec2::SnapshotState::Completed => SnapshotState::Completed,
                ec2::SnapshotState::Error => {
                    let why = found.state_message;
                    SnapshotState::Failed(why.unwrap_or_else(|| "AWS gives no reason".to_owned()))
                }
                ec2::SnapshotState::Pending | ec2::SnapshotState::Other(_) => {
                    SnapshotState::Pending
                }
            },
        })
    }
}
