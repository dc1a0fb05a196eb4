//! How far an image is.

use super::Image;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::ec2::snapshots::{self, Progress};
use crate::sandbox::world::World;

/// How far an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// It or one of its snapshots is being made.
    Pending,
    /// It can be launched.
    Available,
    /// It cannot be made, with the message of its `stateReason`.
    Failed(String),
    /// Its owner disabled it.
    Disabled,
}

impl ImageState {
    /// EC2's name.
    pub fn name(&self) -> &'static str {
        match self {
            ImageState::Pending => "pending",
            ImageState::Available => "available",
            ImageState::Failed(_) => "failed",
            ImageState::Disabled => "disabled",
        }
    }
}

/// How far an image is.
pub fn state(world: &World, image: &Image, now: Timestamp) -> ImageState {
    if image.disabled {
        return ImageState::Disabled;
    }
    if let Some(failure) = image.failure.as_ref().filter(|failure| failure.at <= now) {
        return ImageState::Failed(failure.reason.clone());
    }
    let mut is_pending = now < image.ready || image.failure.is_some();
    for id in image.snapshots() {
        let Some(snapshot) = world.ec2.snapshots.get(id) else {
            continue;
        };
        match (snapshots::state(snapshot, now), &snapshot.progress) {
            ("completed", _) => {}
            ("error", Progress::Fails { reason, .. }) => {
                return ImageState::Failed(format!("Snapshot {id} failed: {reason}"));
            }
            _ => is_pending = true,
        }
    }
    if is_pending {
        ImageState::Pending
    } else {
        ImageState::Available
    }
}
