//! The release manifest: what a release is and where, kept in the publisher's bucket.
//!
//! It is written before the first resource is made, with the state [`State::Publishing`], so that a
//! later run knows what a dead one was about; then whenever a Region has come to something.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::papers::Withdrawal;
use super::release::ReleaseId;
use crate::aws::{AccountId, AmiId, KeyArn, Region, SnapshotId};
use crate::blocks::digests::BlockDigests;
use crate::image::manifest::Manifest as ImageManifest;
use crate::origin::Origin;
use crate::vm::tested::Tested;

/// The version of the format; a reader refuses a higher one.
pub const SCHEMA: u32 = 1;

/// What a release is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ReleaseManifest {
    /// Version of this format.
    pub schema: u32,
    /// The release.
    pub release: ReleaseId,
    /// How far it has come.
    pub state: State,
    /// Whether it was published before, in fewer Regions: who has them needs them, whatever becomes of
    /// the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_published: bool,
    /// The AMIs' name, the same in every Region.
    pub name: String,
    /// The AMIs' description.
    pub description: String,
    /// Name and version of the program that published it.
    pub tool: String,
    /// The publisher's account.
    pub account: AccountId,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub created: OffsetDateTime,
    /// The run that began it; part of every resource's tags.
    pub run: String,
    /// From when on its resources may be swept if it is never finished; part of their tags.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub end_of_life: OffsetDateTime,
    /// What it was made from.
    pub source: Source,
    /// How instances of it boot, and on what.
    pub boot: Boot,
    /// Size of the root volume, in GiB.
    pub volume_gib: u32,
    /// The Region that the image was uploaded to.
    pub home: Region,
    /// What is in each Region.
    pub regions: BTreeMap<Region, Place>,
    /// How many snapshots of the image were given up; part of the next one's token, since AWS
    /// answers a token that it knows with what it made then.
    #[serde(default)]
    pub snapshots_given_up: u32,
    /// The release whose snapshot was the parent of this one's, if only what differs was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Digests of the snapshot's blocks, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<BlockDigests>,
    /// The image's own manifest: packages, kernel, sizes. Not there for a bare snapshot or AMI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageManifest>,
    /// The object beside this one that lists the image's files, and its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Attachment>,
    /// The object beside this one that is the bill of materials, in SPDX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<Attachment>,
    /// Who built the image, from what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What a test of the image came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Tested>,
    /// That nobody is to use it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawal>,
    /// How far its end has come, if `prune` has begun with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Retirement>,
}

/// The end of a release. The manifest stays: it is history.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Retirement {
    /// When its AMIs were deprecated, everywhere.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub deprecated: Option<OffsetDateTime>,
    /// When its AMIs began to end: from then on its id is nobody's any more, also where some of them
    /// are left.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub deregistering: Option<OffsetDateTime>,
    /// When nothing was left of it in any Region.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub deregistered: Option<OffsetDateTime>,
}

impl Retirement {
    /// What is left of it when the AMIs are shown again: that they began to end is not taken back.
    pub fn shown_again(self) -> Option<Retirement> {
        let is_over = self.deregistering.is_some() || self.deregistered.is_some();
        is_over.then_some(Retirement {
            deprecated: None,
            ..self
        })
    }
}

impl ReleaseManifest {
    /// Whether some of its AMIs may be gone for good: signed papers name them, so that the id never
    /// gets others.
    pub fn is_ending(&self) -> bool {
        self.retired.is_some_and(|retired| {
            retired.deregistering.is_some() || retired.deregistered.is_some()
        })
    }

    /// Whether its AMIs and snapshots are gone.
    pub fn is_gone(&self) -> bool {
        self.retired
            .is_some_and(|retired| retired.deregistered.is_some())
    }
}

/// How far a release has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A run is at it, or one died at it.
    Publishing,
    /// Everything is there.
    Published,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            State::Publishing => "publishing",
            State::Published => "published",
        })
    }
}

/// What a release was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Source {
    /// An image file.
    Image {
        /// SHA-256 of its bytes, in hexadecimal.
        sha256: String,
        /// Its length, in bytes.
        size: u64,
    },
    /// A snapshot in the home Region.
    Snapshot {
        /// The snapshot.
        id: SnapshotId,
    },
    /// An AMI.
    Ami {
        /// The AMI.
        id: AmiId,
        /// Where it is.
        region: Region,
    },
}

/// How instances boot, and on what: RegisterImage's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Boot {
    /// `legacy-bios`, `uefi` or `uefi-preferred`.
    pub mode: String,
    /// Whether instances may have a TPM: where UEFI is possible.
    pub tpm: bool,
    /// The device of the root volume.
    pub root_device: String,
}

/// What a release is in a Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Place {
    /// The AMI.
    pub ami: Option<AmiId>,
    /// Its snapshot.
    pub snapshot: Option<SnapshotId>,
    /// The key that the snapshot is encrypted under.
    pub key: KeyArn,
    /// The AMI's state as AWS says it, or `missing`.
    pub state: String,
    /// How many results of the step there were thrown away because they failed; part of client
    /// tokens.
    #[serde(default)]
    pub attempt: u32,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where a snapshot's blocks that were not sent come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Parent {
    /// The release.
    pub release: ReleaseId,
    /// Its snapshot in the home Region.
    pub snapshot: SnapshotId,
    /// How many blocks differ from it.
    pub blocks_sent: u32,
}

/// An object beside the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Attachment {
    /// Its name, beside the manifest.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}
