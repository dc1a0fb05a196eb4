//! What the page is made from.
//!
//! Plain data, as the signed catalog has it; nothing here is fit for HTML yet, and every text may be
//! anyone's: reasons, licences and names are escaped where the page is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::arch::Firmware;
use crate::aws::{AccountId, AmiId, KeyArn, Region, SnapshotId};
use crate::publish::release::ReleaseId;

/// A whole catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageData {
    /// The publisher's name: the first part of AMIs' names.
    pub publisher: String,
    /// The account that owns the AMIs.
    pub account: AccountId,
    /// When the catalog was written.
    #[serde(with = "time::serde::rfc3339")]
    pub generated: OffsetDateTime,
    /// Where the catalog is: `s3://…` or `https://…`.
    pub catalog: String,
    /// The key that manifests are signed with, if they are.
    pub key: Option<PageKey>,
    /// The channels in the order of promotion, nightly first. The page shows the last one first: it
    /// is what most customers come for.
    pub channels: Vec<PageChannel>,
    /// Every release that can still be launched, also those that no channel points to any more.
    pub releases: BTreeMap<ReleaseId, PageRelease>,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageKey {
    /// Its fingerprint, as the program prints it elsewhere.
    pub fingerprint: String,
    /// The key, as PEM.
    pub pem: String,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageChannel {
    /// Its name.
    pub name: String,
    /// What it is for, if the publisher says so.
    pub description: Option<String>,
    /// What is in it now.
    pub stays: Vec<PageStay>,
    /// What happened to it, in any order.
    pub history: Vec<PageMove>,
}

/// A release that is in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageStay {
    /// The release.
    pub release: ReleaseId,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Who brought it in: a principal of AWS.
    pub by: String,
    /// Why, if that was said.
    pub reason: Option<String>,
    /// What it changed, where that is known.
    pub changes: Option<PageChanges>,
}

/// What differs from the release that was in the channel before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageChanges {
    /// That release.
    pub since: ReleaseId,
    /// Packages that came.
    pub added: Vec<PageVersion>,
    /// Packages that went.
    pub removed: Vec<PageVersion>,
    /// Packages whose version is another.
    pub upgraded: Vec<PageUpgrade>,
    /// Vulnerabilities that are mended, as far as Alpine's security database says.
    pub fixed: Vec<PageFix>,
}

/// A package in a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageVersion {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A package in two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageUpgrade {
    /// Its name.
    pub name: String,
    /// The version before.
    pub from: String,
    /// The version now.
    pub to: String,
}

/// A vulnerability that is mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageFix {
    /// Its name, such as `CVE-2022-0778`.
    pub id: String,
    /// The package that it was in.
    pub package: String,
}

/// Something that happened to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageMove {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What.
    pub kind: MoveKind,
    /// The release that came; for a withdrawal, the one that went.
    pub release: ReleaseId,
    /// The release that was there before, if one was.
    pub before: Option<ReleaseId>,
    /// Who did it: a principal of AWS.
    pub by: String,
    /// Why, if that was said.
    pub reason: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MoveKind {
    /// A release came into the channel.
    Promoted,
    /// The channel went back to a release that it had before.
    RolledBack,
    /// A release was taken back from customers.
    Withdrawn,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRelease {
    /// The AMIs' name, the same in every Region.
    pub name: String,
    /// The Alpine release.
    pub alpine: String,
    /// The kernel's release, where it is known.
    pub kernel: Option<String>,
    /// Firmware that it boots under.
    pub firmware: Vec<Firmware>,
    /// When it was published.
    #[serde(with = "time::serde::rfc3339")]
    pub published: OffsetDateTime,
    /// Length of the image, in bytes, where it is known.
    pub image_bytes: Option<u64>,
    /// Bytes of the root file system in use, where they are known.
    pub used_bytes: Option<u64>,
    /// SHA-256 of the image in hexadecimal, where it is known.
    pub sha256: Option<String>,
    /// Whether it may be launched.
    pub condition: Condition,
    /// Whether the manifest is signed with the catalog's key.
    pub signed: bool,
    /// What is in each Region.
    pub regions: BTreeMap<Region, PagePlace>,
    /// Its packages, in the order in which they are shown.
    pub packages: Vec<PagePackage>,
    /// Where its manifest is, relative to the page.
    pub manifest: Option<String>,
    /// Where its provenance statement is, relative to the page.
    pub provenance: Option<String>,
    /// Where its bill of materials is, relative to the page.
    pub sbom: Option<String>,
}

/// Whether a release may be launched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Condition {
    /// It may.
    #[default]
    Good,
    /// It can be launched, but something newer should.
    Deprecated {
        /// Why, if that was said.
        reason: Option<String>,
    },
    /// It should not be: it was taken back.
    Withdrawn {
        /// Why, if that was said.
        reason: Option<String>,
    },
}

impl Condition {
    /// One word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Condition::Good => "good",
            Condition::Deprecated { .. } => "deprecated",
            Condition::Withdrawn { .. } => "withdrawn",
        }
    }

    /// Why it is not good, if that was said.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Condition::Good => None,
            Condition::Deprecated { reason } | Condition::Withdrawn { reason } => reason.as_deref(),
        }
    }
}

/// What a release is in a Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagePlace {
    /// The AMI.
    pub ami: AmiId,
    /// Its snapshot, if customers are told.
    pub snapshot: Option<SnapshotId>,
    /// The key that it is encrypted under: customers' roles need to be allowed to use it.
    pub key: Option<KeyArn>,
}

/// A package of a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PagePackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence.
    pub license: String,
    /// Bytes that it takes once installed.
    pub size: u64,
}
