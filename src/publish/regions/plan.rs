//! What is to be done in a Region: decided from what is there, without asking anybody.

use super::boot::default_mode;
use super::error::RegionError;
use super::observe::{Found, Observed, taken};
use super::{Origin, Target, Wanted};
use crate::aws::ec2::images::architecture;
use crate::aws::ec2::{Image, ImageState, Snapshot, SnapshotState};
use crate::aws::{AmiId, KeyArn, SnapshotId};
use crate::publish::manifest::Place;

/// What is to be done in a Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// There is nothing: the AMI is to be made, with the tokens of this attempt.
    Make {
        /// Counts the results that were thrown away.
        attempt: u32,
    },
    /// It is being made.
    Wait {
        /// The AMI.
        ami: AmiId,
    },
    /// It is there and right.
    Nothing {
        /// The AMI.
        ami: AmiId,
        /// Its snapshot.
        snapshot: SnapshotId,
    },
    /// What is there has failed: it is recorded, taken away, and made again.
    Replace {
        /// The AMI.
        ami: AmiId,
        /// Its snapshot, if it is known.
        snapshot: Option<SnapshotId>,
        /// Why it failed.
        reason: String,
        /// What the next try's tokens are of.
        attempt: u32,
    },
}

/// How far an AMI is on its way to what the release says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// What is waited for, in words.
    NotYet(String),
    /// The AMI can be launched and its snapshot is whole.
    Finished(SnapshotId),
    /// It cannot be made, and why.
    Failed(String),
    /// It is in a state that this program does not lead it out of: AWS's word.
    OutOfUse(String),
}

/// What is to be done in the target's Region.
///
/// # Errors
/// The name is taken, or what is there is not what the release says.
pub fn decide(
    observed: &Observed,
    wanted: &Wanted,
    target: &Target,
    origin: &Origin,
) -> Result<Action, RegionError> {
    let release = wanted.release.to_string();
    let region = &target.region;
    let there = |found: &&Found| found.image.state != ImageState::Deregistered;
    let there: Vec<&Found> = observed.images.iter().filter(there).collect();
    let named = there.iter().filter(|found| found.image.name == wanted.name);
    let named: Vec<Image> = named.map(|found| found.image.clone()).collect();
    if let Some(image) = taken(&named, Some(&release)) {
        return Err(RegionError::NameTaken {
            region: region.clone(),
            name: wanted.name.clone(),
            ami: image.id.clone(),
            holder: image.release().map(str::to_owned),
        });
    }
    match there.as_slice() {
        [] => Ok(Action::Make {
            attempt: next_attempt(target.recorded.as_ref()),
        }),
        [found] => one(found, wanted, target, origin),
        several => Err(RegionError::Several {
            region: region.clone(),
            release,
            amis: several.iter().map(|found| found.image.id.clone()).collect(),
        }),
    }
}

fn one(
    found: &Found,
    wanted: &Wanted,
    target: &Target,
    origin: &Origin,
) -> Result<Action, RegionError> {
    let Found { image, snapshot } = found;
    let ami = image.id.clone();
    match stage(image, snapshot.as_ref()) {
        Stage::NotYet(_) => Ok(Action::Wait { ami }),
        Stage::Finished(id) => match difference(found, wanted, &target.key, origin) {
            None => Ok(Action::Nothing { ami, snapshot: id }),
            Some(difference) => Err(difference.on(target, ami)),
        },
        Stage::Failed(reason) => Ok(Action::Replace {
            attempt: attempt_after(target.recorded.as_ref(), &ami),
            snapshot: image.root_snapshot().cloned(),
            ami,
            reason,
        }),
        Stage::OutOfUse(state) => Err(RegionError::OutOfUse {
            region: target.region.clone(),
            ami,
            state,
        }),
    }
}

/// The attempt of which the tokens are where there is nothing. What is recorded and gone was taken
/// away by somebody: AWS would answer the same token with the AMI that is no more.
fn next_attempt(recorded: Option<&Place>) -> u32 {
    match recorded {
        None => 0,
        Some(place) if place.ami.is_some() && place.error.is_none() => place.attempt + 1,
        Some(place) => place.attempt,
    }
}

/// The attempt that follows the failure of an AMI, which counts once however often it is seen.
fn attempt_after(recorded: Option<&Place>, ami: &AmiId) -> u32 {
    match recorded {
        None => 1,
        Some(place) if place.ami.as_ref() == Some(ami) && place.error.is_some() => place.attempt,
        Some(place) => place.attempt + 1,
    }
}

/// How far an AMI is.
pub fn stage(image: &Image, snapshot: Option<&Snapshot>) -> Stage {
    match &image.state {
        ImageState::Failed => Stage::Failed(reason(image, snapshot)),
        ImageState::Other(word) if word == "error" || word == "invalid" => {
            Stage::Failed(reason(image, snapshot))
        }
        ImageState::Pending | ImageState::Available => under_way(image, snapshot),
        ImageState::Other(word) if word == "transient" => under_way(image, snapshot),
        other => Stage::OutOfUse(other.to_string()),
    }
}

fn under_way(image: &Image, snapshot: Option<&Snapshot>) -> Stage {
    let Image { id, state, .. } = image;
    let Some(snapshot) = snapshot else {
        return Stage::NotYet(format!("{id} {state}, its snapshot is not seen yet"));
    };
    match (&snapshot.state, state) {
        (SnapshotState::Error, _) => Stage::Failed(reason(image, Some(snapshot))),
        (SnapshotState::Completed, ImageState::Available) => Stage::Finished(snapshot.id.clone()),
        (other, _) => {
            let progress = snapshot.progress.as_deref().unwrap_or("");
            let told = format!(
                "{id} {state}, {} {} {progress}",
                snapshot.id,
                other.as_str()
            );
            Stage::NotYet(told.trim_end().to_owned())
        }
    }
}

fn reason(image: &Image, snapshot: Option<&Snapshot>) -> String {
    let snapshot = snapshot.and_then(|snapshot| snapshot.state_message.clone());
    let reason = image.state_reason.clone().or(snapshot);
    reason.unwrap_or_else(|| format!("AWS gives no reason; its state is {}", image.state))
}

/// What differs between an AMI and what the release says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Of what.
    pub field: &'static str,
    /// What it is.
    pub is: String,
    /// What it was to be.
    pub wanted: String,
}

impl Difference {
    pub(super) fn on(self, target: &Target, ami: AmiId) -> RegionError {
        RegionError::Different {
            region: target.region.clone(),
            ami,
            field: self.field,
            is: self.is,
            wanted: self.wanted,
        }
    }
}

/// The first thing in which a finished AMI is not what the release says.
pub fn difference(
    found: &Found,
    wanted: &Wanted,
    key: &KeyArn,
    origin: &Origin,
) -> Option<Difference> {
    let Found { image, snapshot } = found;
    let snapshot = snapshot.as_ref();
    let text = |text: Option<&str>| text.unwrap_or("not set").to_owned();
    let encryption = |is: bool| if is { "on" } else { "off" }.to_owned();
    let boot_mode = image
        .boot_mode
        .as_deref()
        .unwrap_or(default_mode(wanted.arch));
    let tpm = wanted.boot.tpm.then_some("v2.0");
    let release = wanted.release.to_string();
    let is_key = snapshot.and_then(|snapshot| snapshot.key.as_ref());
    let is_snapshot = image.root_snapshot().map(SnapshotId::as_str);
    let volume = image.root().and_then(|root| root.volume_gib);
    let root = wanted.boot.root_device.as_str();
    let public = |is: bool| if is { "everybody" } else { "nobody yet" }.to_owned();
    let is_encrypted = snapshot.is_some_and(|snapshot| snapshot.encrypted);
    let fields = [
        ("tag of the release", text(image.release()), release.clone()),
        ("name", image.name.clone(), wanted.name.clone()),
        (
            "architecture",
            image.architecture.clone(),
            architecture(wanted.arch).to_owned(),
        ),
        ("boot mode", boot_mode.to_owned(), wanted.boot.mode.clone()),
        ("TPM support", text(image.tpm.as_deref()), text(tpm)),
        (
            "root device",
            text(image.root_device.as_deref()),
            root.to_owned(),
        ),
        (
            "IMDS support",
            text(image.imds.as_deref()),
            text(Some("v2.0")),
        ),
        ("ENA support", encryption(image.ena), encryption(true)),
        ("audience", public(image.public), public(false)),
        (
            "volume size in GiB",
            text(volume.map(|gib| gib.to_string()).as_deref()),
            wanted.volume_gib.to_string(),
        ),
        (
            "snapshot's encryption",
            encryption(is_encrypted),
            encryption(true),
        ),
        (
            "snapshot's key",
            text(is_key.map(KeyArn::as_str)),
            key.to_string(),
        ),
        (
            "snapshot's tag of the release",
            text(snapshot.and_then(Snapshot::release)),
            release,
        ),
        (
            "snapshot",
            text(is_snapshot),
            match origin {
                Origin::Snapshot(id) => id.to_string(),
                Origin::Ami { .. } => text(is_snapshot),
            },
        ),
    ];
    let differs = |(_, is, wanted): &(&str, String, String)| is != wanted;
    let (field, is, wanted) = fields.into_iter().find(differs)?;
    Some(Difference { field, is, wanted })
}

/// Snapshots that are tagged with the release and that no AMI has: what a failed copy left.
pub fn leftovers(images: &[Image], snapshots: &[Snapshot], release: &str) -> Vec<SnapshotId> {
    let is_used = |id: &SnapshotId| {
        images
            .iter()
            .any(|image| image.snapshots().any(|of| of == id))
    };
    let left = snapshots
        .iter()
        .filter(|snapshot| snapshot.release() == Some(release) && !is_used(&snapshot.id));
    left.map(|snapshot| snapshot.id.clone()).collect()
}
