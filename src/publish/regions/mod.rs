//! AMIs in Regions: from what AWS holds to what a release is to have there.
//!
//! | part | subject |
//! |---|---|
//! | [`boot`] | RegisterImage's parameters, from what an image starts under |
//! | [`observe`] | what there is in a Region, and whether a name is free |
//! | [`plan`] | what is to be done there: a pure function |
//! | [`errand`] | doing it in one Region: make, wait, record, take away what failed |
//! | [`copy`] | all Regions at once |
//! | [`source`] | snapshots and AMIs that are there already, as what a release is made from |
//! | [`error`] | what can go wrong |
//!
//! A run can be killed anywhere. What the next one goes by is the AMI's name, which is unique in an
//! account and Region, and the tag of the release, which every resource gets in the call that makes
//! it. The record (the release's manifest) is needed for one thing only: AWS answers a client token
//! that it knows with what it made then, failed or not, so the number of results that were thrown
//! away is recorded before they are.

pub mod boot;
pub mod copy;
pub mod errand;
pub mod error;
pub mod observe;
pub mod plan;
pub mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;

pub use boot::boot;
pub use error::RegionError;
pub use observe::check_names;
pub use source::{SourceAmi, adopt_snapshot, inspect_ami, inspect_snapshot};

use super::manifest::{Boot, Place};
use super::progress::Progress;
use super::release::ReleaseId;
use crate::arch::Arch;
use crate::aws::tags::Tags;
use crate::aws::{AmiId, Aws, KeyArn, Region, SnapshotId};

/// What a release's AMIs are to be, in whatever Region.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The release.
    pub release: ReleaseId,
    /// The AMIs' name, the same in every Region.
    pub name: String,
    /// The AMIs' description.
    pub description: String,
    /// What they run on.
    pub arch: Arch,
    /// How instances boot.
    pub boot: Boot,
    /// Size of the root volume, in GiB.
    pub volume_gib: u32,
    /// Tags of AMIs and snapshots; [`crate::aws::tags::RELEASE`] is among them.
    pub tags: Tags,
}

/// A Region that is to have the release.
#[derive(Debug, Clone)]
pub struct Target {
    /// The Region.
    pub region: Region,
    /// The key that the snapshot there is encrypted under.
    pub key: KeyArn,
    /// What the release's manifest has of the Region.
    pub recorded: Option<Place>,
}

/// What the AMI in a Region is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A completed snapshot in the same Region.
    Snapshot(SnapshotId),
    /// An AMI, in whatever Region.
    Ami {
        /// The AMI.
        id: AmiId,
        /// Where it is.
        region: Region,
    },
}

/// Keeps what is known of Regions, so that a later run knows it: the release's manifest.
#[async_trait]
pub trait Record: Send + Sync {
    /// Keeps what is in a Region; returns when it is kept.
    ///
    /// It is called as soon as an id is known, before what has failed is taken away, and at the end.
    ///
    /// # Errors
    /// It could not be kept.
    async fn place(&self, region: &Region, place: &Place) -> Result<(), NotRecorded>;
}

/// What is known could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct NotRecorded {
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
    /// What to do next.
    pub advice: Option<String>,
}

/// One release on its way into Regions.
#[derive(Clone)]
pub struct Placing {
    /// The publisher's session.
    pub aws: Aws,
    /// What is to be there.
    pub wanted: Arc<Wanted>,
    /// Where what is known is kept.
    pub record: Arc<dyn Record>,
    /// Whether this run has begun the release: then nothing of it is anywhere, and at home nothing is
    /// looked for.
    pub is_new: bool,
    /// Who is told what goes on.
    pub progress: Progress,
}
