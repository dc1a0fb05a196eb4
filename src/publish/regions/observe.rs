//! What there is in a Region.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::error::RegionError;
use crate::aws::ec2::{Ec2, Image, ImageState, Snapshot};
use crate::aws::{Aws, AwsError, Region};
use crate::publish::release::ReleaseId;

/// What there is in a Region that has to do with a release: AMIs with its name or its tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The AMIs, each once.
    pub images: Vec<Found>,
}

/// An AMI and its root's snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The AMI.
    pub image: Image,
    /// The snapshot, if it is seen: that of a pending AMI may not be, yet.
    pub snapshot: Option<Snapshot>,
}

/// Looks for AMIs with the release's name. Those with its tag are looked for, too: one of AWS's
/// readers may find by tag what it does not yet find by name. Another publisher of the account may
/// have a release of the same id, whose AMIs have other names.
///
/// # Errors
/// AWS could not be asked.
pub async fn observe(ec2: &Ec2, name: &str, release: &ReleaseId) -> Result<Observed, AwsError> {
    let release = release.to_string();
    let (named, tagged) =
        tokio::try_join!(ec2.images_named(name), ec2.images_of_release(&release))?;
    let mut seen = BTreeSet::new();
    let mut observed = Observed::default();
    let tagged = tagged.into_iter().filter(|image| image.name == name);
    for image in named.into_iter().chain(tagged) {
        if seen.insert(image.id.clone()) {
            let snapshot = snapshot(ec2, &image).await?;
            observed.images.push(Found { image, snapshot });
        }
    }
    Ok(observed)
}

/// The snapshot of an AMI's root, if it is seen.
pub(super) async fn snapshot(ec2: &Ec2, image: &Image) -> Result<Option<Snapshot>, AwsError> {
    match image.root_snapshot() {
        Some(id) => ec2.snapshot(id).await,
        None => Ok(None),
    }
}

/// Makes sure, before anything is made, that in all these Regions the name is free, or the release
/// has it already.
///
/// # Errors
/// One for every Region where it is taken, or where AWS could not be asked; in the Regions' order.
pub async fn check_names(
    aws: &Aws,
    name: &str,
    release: Option<&ReleaseId>,
    regions: &[Region],
) -> Result<(), Vec<RegionError>> {
    let mut checks = JoinSet::new();
    for region in regions {
        let ec2 = aws.ec2(region);
        let (name, release) = (name.to_owned(), release.map(ToString::to_string));
        checks.spawn(async move {
            let images = ec2.images_named(&name).await?;
            match taken(&images, release.as_deref()) {
                None => Ok(()),
                Some(image) => Err(RegionError::NameTaken {
                    region: ec2.region().clone(),
                    name,
                    ami: image.id.clone(),
                    holder: image.release().map(str::to_owned),
                }),
            }
        });
    }
    let results = checks.join_all().await.into_iter();
    let mut errors: Vec<RegionError> = results.filter_map(Result::err).collect();
    errors.sort_by(|a, b| a.region().cmp(b.region()));
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// The AMI that keeps the release from the name.
pub(super) fn taken<'a>(images: &'a [Image], release: Option<&str>) -> Option<&'a Image> {
    images.iter().find(|image| {
        let is_ours = release.is_some() && image.release() == release;
        image.state != ImageState::Deregistered && !is_ours
    })
}
