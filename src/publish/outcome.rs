//! What a publish came to: what machines and people are told.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::manifest::{Parent, Place, ReleaseManifest, State};
use super::release::ReleaseId;
use crate::aws::{AmiId, KeyArn, Region, SnapshotId};

/// What a publish came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The release.
    pub release: ReleaseId,
    /// `published` if everything is there, or else `incomplete`.
    pub state: &'static str,
    /// The AMIs' name.
    pub name: String,
    /// Whether this run made or changed anything.
    pub changed: bool,
    /// The Region that the image was uploaded to.
    pub home: Region,
    /// What is in each Region.
    pub regions: BTreeMap<Region, Told>,
    /// What was sent, if this run sent something.
    pub upload: Option<Upload>,
    /// The release that what was not sent comes from.
    pub parent: Option<Parent>,
    /// Regions whose snapshots this run has read back, and found equal.
    pub verified: Vec<Region>,
    /// Where the manifest is.
    pub manifest: String,
}

/// A release in a Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The AMI.
    pub ami: Option<AmiId>,
    /// Its snapshot.
    pub snapshot: Option<SnapshotId>,
    /// The key that it is encrypted under.
    pub key: KeyArn,
    /// The AMI's state as AWS says it, or `missing`.
    pub state: String,
    /// Why it is not there, if this run could not make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Upload {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Blocks of 512 KiB that were sent by this run.
    pub blocks_sent: u32,
    /// Blocks of the whole volume.
    pub blocks_total: u32,
    /// Blocks that an earlier run had sent.
    pub blocks_resumed: u32,
    /// Bytes that were sent by this run.
    pub bytes_sent: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Attempts that AWS throttled.
    pub throttled: u64,
}

impl fmt::Display for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = crate::ui::text::bytes(self.bytes_sent);
        let Upload {
            blocks_sent,
            blocks_total,
            seconds,
            ..
        } = self;
        write!(
            f,
            "{bytes} in {seconds:.1} s: {blocks_sent} of {blocks_total} blocks"
        )?;
        match self.blocks_resumed {
            0 => Ok(()),
            resumed => write!(f, ", {resumed} by an earlier run"),
        }
    }
}

impl Outcome {
    /// The Regions that are not there.
    pub fn failed(&self) -> Vec<(&Region, &Told)> {
        let told = self.regions.iter();
        told.filter(|(_, told)| told.error.is_some()).collect()
    }

    /// Of a manifest as it stands.
    pub(super) fn of(manifest: &ReleaseManifest, path: String) -> Outcome {
        let told = |place: &Place| Told {
            ami: place.ami.clone(),
            snapshot: place.snapshot.clone(),
            key: place.key.clone(),
            state: place.state.clone(),
            error: None,
            advice: None,
        };
        let regions = manifest.regions.iter();
        Outcome {
            release: manifest.release.clone(),
            state: match manifest.state {
                State::Published => "published",
                State::Publishing => "incomplete",
            },
            name: manifest.name.clone(),
            changed: false,
            home: manifest.home.clone(),
            regions: regions
                .map(|(region, place)| (region.clone(), told(place)))
                .collect(),
            upload: None,
            parent: manifest.parent.clone(),
            verified: Vec::new(),
            manifest: path,
        }
    }
}
