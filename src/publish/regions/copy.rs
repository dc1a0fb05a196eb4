//! All Regions at once.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::error::RegionError;
use super::{Origin, Placing, Target};
use crate::aws::{AmiId, Region};
use crate::publish::manifest::Place;

impl Placing {
    /// Brings the AMI into the home Region: registers it from the snapshot, or copies it from an
    /// AMI that is under another key or in another Region. Finds what an earlier run made.
    ///
    /// # Errors
    /// The Region does not have what it is to have; see [`RegionError`].
    pub async fn home(&self, target: Target, origin: Origin) -> Result<Place, RegionError> {
        self.bring(target, origin).await
    }

    /// Copies the AMI of the home Region into all these Regions at once, and waits until all have
    /// come to something. A Region that fails does nothing to the others. Finds what an earlier run
    /// made, and does only what is missing.
    ///
    /// When the future is dropped, all work of this program for the Regions stops; what AWS has
    /// begun goes on there, and the next run finds it.
    pub async fn copies(
        &self,
        ami: &AmiId,
        home: &Region,
        targets: Vec<Target>,
    ) -> BTreeMap<Region, Result<Place, RegionError>> {
        let mut errands = JoinSet::new();
        for target in targets {
            let placing = self.clone();
            let origin = Origin::Ami {
                id: ami.clone(),
                region: home.clone(),
            };
            let errand = async move {
                let region = target.region.clone();
                let result = placing.bring(target, origin).await;
                match &result {
                    Ok(place) => placing.progress.region(&region, place.state.clone()),
                    Err(error) => placing.progress.region(&region, format!("failed: {error}")),
                }
                (region, result)
            };
            errands.spawn(errand.in_current_span());
        }
        errands.join_all().await.into_iter().collect()
    }
}
