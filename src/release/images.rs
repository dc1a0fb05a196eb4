//! The AMIs of a release, in all its Regions: whether they can be launched, and found.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::desk::Desk;
use super::error::ReleaseError;
use crate::aws::ec2::ImageState;
use crate::aws::{AwsError, Region};
use crate::publish::manifest::ReleaseManifest;

/// Regions where a release's AMI cannot be launched, and what it is there, or why that is not known.
/// All are asked at once.
pub(super) async fn unavailable(
    desk: &Desk<'_>,
    manifest: &ReleaseManifest,
) -> BTreeMap<Region, Result<String, AwsError>> {
    let mut asked = JoinSet::new();
    for (region, place) in &manifest.regions {
        let (ec2, region, ami) = (desk.aws.ec2(region), region.clone(), place.ami.clone());
        asked.spawn(async move {
            let state = match ami {
                None => Ok("missing".to_owned()),
                Some(ami) => ec2.image(&ami).await.map(|found| match found {
                    None => "gone".to_owned(),
                    Some(image) => image.state.to_string(),
                }),
            };
            (region, state)
        });
    }
    let mut unavailable = BTreeMap::new();
    while let Some(answer) = asked.join_next().await {
        let (region, state) = answer.expect("asking does not panic");
        let available = ImageState::Available.to_string();
        if state.as_ref().is_ok_and(|state| *state == available) {
            continue;
        }
        unavailable.insert(region, state);
    }
    unavailable
}

/// Takes the deprecation of a release's AMIs back, which hides them from customers: what was left to
/// be retired comes into a channel again.
pub(super) async fn show_again(
    desk: &Desk<'_>,
    manifest: &ReleaseManifest,
) -> Result<(), ReleaseError> {
    for (region, place) in &manifest.regions {
        let ec2 = desk.aws.ec2(region);
        let Some(ami) = &place.ami else { continue };
        let image = ec2.image(ami).await?;
        if image.is_some_and(|image| image.deprecation.is_some()) {
            ec2.undo_deprecation(ami).await?;
        }
    }
    let Some(mut stored) = desk.bucket().manifest(&manifest.release).await? else {
        return Ok(());
    };
    // Its end begins anew, if it ever comes to that.
    if let Some(retired) = stored.manifest.retired {
        let mut next = stored.manifest.clone();
        next.retired = retired.shown_again();
        desk.bucket().try_replace(&mut stored, next).await?;
    }
    Ok(())
}
