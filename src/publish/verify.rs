//! Snapshots: waited for until they are whole, read back, and compared with the image.

use super::error::PublishError;
use super::manifest::ReleaseManifest;
use super::run::{Done, Job};
use super::upload::verify::verify;
use super::upload::{SnapshotState, SnapshotStates as _, UploadError};
use crate::aws::wait::{self, Seen};
use crate::aws::{Region, SnapshotId};
use crate::blocks::digests::BlockDigests;
use crate::publish::home::States;

/// Reads back the snapshots of all Regions that have the release, but for those that are
/// verified already. What differs in one does not keep the others from being told.
pub(super) async fn all(
    job: &Job<'_>,
    manifest: &ReleaseManifest,
    done: &mut Done,
) -> Result<(), PublishError> {
    let Some(blocks) = &manifest.blocks else {
        return Err(PublishError::NothingToVerify(manifest.release.clone()));
    };
    for (region, place) in &manifest.regions {
        let (Some(id), "available") = (&place.snapshot, place.state.as_str()) else {
            continue;
        };
        if done.verified.contains(region) {
            continue;
        }
        match snapshot(job, region, id, blocks).await {
            Ok(()) => done.verified.push(region.clone()),
            Err(error) => {
                let told = (error.to_string(), error.advice());
                done.failed.insert(region.clone(), told);
            }
        }
    }
    done.verified.sort();
    Ok(())
}

/// Reads back a snapshot.
pub(super) async fn snapshot(
    job: &Job<'_>,
    region: &Region,
    id: &SnapshotId,
    blocks: &BlockDigests,
) -> Result<(), PublishError> {
    job.progress.region(region, format!("reading {id} back"));
    let ebs = job.aws.ebs(region).just_completed();
    let found = verify(&ebs, id, blocks, false, job.progress).await?;
    if found.is_equal() {
        job.progress
            .region(region, format!("{id} is equal to the image"));
        return Ok(());
    }
    Err(PublishError::Differs {
        snapshot: id.clone(),
        region: region.clone(),
        count: found.differing,
        first: found.first.first().copied().unwrap_or_default(),
    })
}

/// Waits until EC2 says that a snapshot is completed, which is some seconds after it was.
pub(super) async fn completed(
    job: &Job<'_>,
    region: &Region,
    id: &SnapshotId,
) -> Result<(), PublishError> {
    let states = States(job.aws.ec2(region));
    let tell = |seen: &str| {
        job.progress
            .region(region, format!("waits for {id}: {seen}"))
    };
    let waited = wait::until(job.aws.settings().wait(), tell, async || {
        Ok(match states.state(id).await.map_err(UploadError::from)? {
            SnapshotState::Completed => Seen::Reached(()),
            SnapshotState::Pending => Seen::NotYet("pending".to_owned()),
            SnapshotState::Missing => Seen::NotYet("not seen by EC2 yet".to_owned()),
            SnapshotState::Failed(why) => {
                let (snapshot, region) = (id.clone(), region.clone());
                return Err(UploadError::SnapshotFailed {
                    snapshot,
                    region,
                    why,
                });
            }
        })
    });
    waited
        .await?
        .map_err(|timed_out| PublishError::NotCompleted {
            snapshot: id.clone(),
            region: region.clone(),
            timed_out,
        })
}
