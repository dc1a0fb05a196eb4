//! What is looked at before anything is made.

use std::collections::{BTreeMap, BTreeSet};

use super::error::PublishError;
use super::keys;
use super::manifest::{ReleaseManifest, Source};
use super::run::Job;
use super::subject::Subject;
use crate::aws::ec2::RegionStatus;
use crate::aws::{AwsError, KeyArn, Region};

/// The Regions that the release is to be in: those asked for or configured, and those where it is
/// already.
pub(super) fn wanted(job: &Job<'_>, begun: Option<&ReleaseManifest>) -> BTreeSet<Region> {
    let places = begun.into_iter().flat_map(|manifest| &manifest.regions);
    // A release that is named is all that it was to be; else a Region that it never came to may
    // be left out.
    let is_named = matches!(job.subject, Subject::Release(_)) && job.regions.is_none();
    let mut regions: BTreeSet<Region> = places
        .filter(|(_, place)| is_named || place.ami.is_some())
        .map(|(region, _)| region.clone())
        .collect();
    match (&job.regions, job.subject) {
        (Some(asked), _) => regions.extend(asked.iter().cloned()),
        // A release that is named is what it is, whatever the configuration says by now.
        (None, Subject::Release(_)) => {}
        (None, _) => regions.extend(job.publisher.regions.iter().cloned()),
    }
    regions.extend(job.add.iter().cloned());
    regions.insert(home(job, begun).clone());
    regions
}

/// Where the release is uploaded to.
pub(super) fn home<'a>(job: &'a Job<'_>, begun: Option<&'a ReleaseManifest>) -> &'a Region {
    begun.map_or(&job.publisher.home, |manifest| &manifest.home)
}

/// The Regions that AWS has.
///
/// # Errors
/// AWS could not be asked.
pub(super) async fn regions(job: &Job<'_>) -> Result<Vec<RegionStatus>, AwsError> {
    job.aws.ec2(&job.publisher.home).regions().await
}

/// The Regions that AWS does not have or the account may not use, all at once, if there are any.
pub(super) fn unusable(known: &[RegionStatus], regions: &BTreeSet<Region>) -> Option<PublishError> {
    let status = |region: &Region| known.iter().find(|status| status.region == *region);
    let select = |fits: &dyn Fn(&Region) -> bool| -> Vec<Region> {
        regions
            .iter()
            .filter(|region| fits(region))
            .cloned()
            .collect()
    };
    let unknown = select(&|region| status(region).is_none());
    let closed = select(&|region| status(region).is_some_and(|status| !status.usable));
    if unknown.is_empty() && closed.is_empty() {
        return None;
    }
    Some(PublishError::Places { unknown, closed })
}

/// The key of each Region. Where the release is already, it is the one that it is encrypted under.
///
/// # Errors
/// Keys that cannot be used, all at once.
pub(super) async fn find_keys(
    job: &Job<'_>,
    regions: &BTreeSet<Region>,
    begun: Option<&ReleaseManifest>,
) -> Result<BTreeMap<Region, KeyArn>, PublishError> {
    let placed = |region: &Region| {
        let place = begun?.regions.get(region)?;
        place.ami.as_ref().map(|_| place.key.clone())
    };
    let (done, open): (Vec<&Region>, Vec<&Region>) =
        regions.iter().partition(|region| placed(region).is_some());
    let open: Vec<Region> = open.into_iter().cloned().collect();
    let done: Vec<Region> = done.into_iter().cloned().collect();
    tell_of_other_keys(job, &done, placed).await;
    let mut found = keys::resolve(job.aws, &job.publisher.keys, &open).await?;
    found.extend(
        done.iter()
            .filter_map(|region| Some((region.clone(), placed(region)?))),
    );
    Ok(found)
}

/// What is encrypted stays under its key; who has named another one since should know.
async fn tell_of_other_keys(
    job: &Job<'_>,
    done: &[Region],
    placed: impl Fn(&Region) -> Option<KeyArn>,
) {
    let is_named =
        |region: &&Region| keys::names(&job.publisher.keys, &[(*region).clone()]).is_ok();
    let named: Vec<Region> = done.iter().filter(is_named).cloned().collect();
    let found = match keys::resolve(job.aws, &job.publisher.keys, &named).await {
        Ok(found) => found,
        Err(error) => {
            job.progress
                .say(format!("warning: {error}; the release is there already"));
            return;
        }
    };
    for (region, key) in found {
        if let Some(other) = placed(&region).filter(|placed| *placed != key) {
            let line = format!(
                "warning: the AMI in {region} stays under {other}, though [publish.keys] names {key}"
            );
            job.progress.say(line);
        }
    }
}

/// What the subject is made from; nothing for a release, which says it itself.
pub(super) fn source(job: &Job<'_>) -> Option<Source> {
    match job.subject {
        Subject::Image(image) => Some(image.source()),
        Subject::Snapshot(id, ..) => Some(Source::Snapshot { id: id.clone() }),
        Subject::Ami(id, region, _) => Some(Source::Ami {
            id: id.clone(),
            region: region.clone().unwrap_or_else(|| job.publisher.home.clone()),
        }),
        Subject::Release(_) => None,
    }
}
