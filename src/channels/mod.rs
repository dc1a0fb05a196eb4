//! Channels: which release of a profile and architecture is in each, and which were.
//!
//! A channel is a document in the publisher's bucket, `channels/<channel>.json`: pointer and catalog in
//! one, so that both change in one write. It holds the stays of releases, those that are over too (a
//! customer keeps for a while what has left its channels), and where what is in it now is to be had. It
//! is signed where the publisher has a key; what a write replaces stays as
//! `channels/<channel>/<serial>.json`.
//!
//! | part | subject |
//! |---|---|
//! | [`settings`] | which channels there are, and what they ask of a release |
//! | [`document`] | a channel's document, read and trusted |
//! | [`index`] | which channels there are, for customers |
//! | [`store`] | the documents in the bucket |

pub mod document;
pub mod index;
pub mod settings;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::arch::Arch;
use crate::aws::{AccountId, AmiId, KeyArn, Region, SnapshotId};
use crate::publish::papers::Withdrawal;
use crate::publish::release::{Line, ReleaseId};

/// The version of the format; a reader refuses a higher one. The first one, which nothing was signed
/// in, had neither `serial` nor `releases`.
pub const SCHEMA: u32 = 2;

/// A channel, as it lies in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Channel {
    /// Version of this format.
    pub schema: u32,
    /// Its name.
    pub channel: String,
    /// Counts its versions, from 1; 0 in one of the first format.
    #[serde(default)]
    pub serial: u64,
    /// Whose it is: the first part of AMIs' names.
    #[serde(default)]
    pub publisher: String,
    /// The publisher's account: the owner of the AMIs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// What is in it now, and where that is to be had.
    #[serde(default)]
    pub releases: Vec<Listed>,
    /// What is and was in it, in the order of coming.
    pub stays: Vec<Stay>,
}

/// A release that is in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Listed {
    /// The release.
    pub release: ReleaseId,
    /// The profile.
    pub profile: String,
    /// The version of what the image is made for.
    pub version: String,
    /// The architecture.
    pub arch: Arch,
    /// The Alpine release, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpine: Option<String>,
    /// The kernel, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The AMIs' name, the same in every Region.
    pub name: String,
    /// When it was begun.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub created: OffsetDateTime,
    /// What it is in each Region.
    pub regions: BTreeMap<Region, ListedAmi>,
    /// Where its signed manifest is, from the catalog's root.
    pub manifest: String,
    /// That nobody is to use it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawal>,
}

/// A release in a Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ListedAmi {
    /// The AMI.
    pub ami: AmiId,
    /// Its snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// The key that it is encrypted under.
    pub key: KeyArn,
}

/// A release's time in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Stay {
    /// The release.
    pub release: ReleaseId,
    /// Since when it is there.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub since: OffsetDateTime,
    /// Until when it was there; none if it is.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub until: Option<OffsetDateTime>,
    /// Who brought it in: a principal of AWS.
    #[serde(default)]
    pub by: String,
    /// Why, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who approved of it, where the channel's gate asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Which release was taken back for it, if it came by a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place_of: Option<ReleaseId>,
}

/// Who brings a release into a channel, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: OffsetDateTime,
    /// Who: a principal of AWS.
    pub by: String,
    /// Why, if that is said.
    pub reason: Option<String>,
    /// Who approved of it.
    pub approved_by: Option<String>,
    /// Which release is taken back, if this is a rollback.
    pub in_place_of: Option<ReleaseId>,
}

impl Channel {
    /// One that nothing was in yet.
    pub fn empty(name: &str) -> Channel {
        Channel {
            schema: SCHEMA,
            channel: name.to_owned(),
            serial: 0,
            publisher: String::new(),
            account: None,
            releases: Vec::new(),
            stays: Vec::new(),
        }
    }

    /// What is in it now.
    pub fn current(&self) -> impl Iterator<Item = &ReleaseId> {
        let now = self.stays.iter().filter(|stay| stay.until.is_none());
        now.map(|stay| &stay.release)
    }

    /// What is in it now of a profile and architecture.
    pub fn current_of(&self, profile: &str, arch: Arch) -> Option<&ReleaseId> {
        self.current()
            .find(|release| (release.line.profile.as_str(), release.line.arch) == (profile, arch))
    }

    /// The stay of a release that is in it now.
    pub fn stay(&self, release: &ReleaseId) -> Option<&Stay> {
        let mut stays = self.stays.iter();
        stays.find(|stay| stay.until.is_none() && stay.release == *release)
    }

    /// The stays of a profile and architecture, in the order of coming.
    pub fn stays_of(&self, line: &Line) -> impl Iterator<Item = &Stay> {
        self.stays
            .iter()
            .filter(|stay| is_kin(&stay.release.line, line))
    }

    /// Whether a release was brought in by exactly this entry, be it there still or not; which one
    /// it took the place of.
    pub fn entered(&self, release: &ReleaseId, entry: &Entry) -> Option<Option<ReleaseId>> {
        let is_own =
            |stay: &&Stay| (&stay.release, stay.since, &stay.by) == (release, entry.at, &entry.by);
        self.stays.iter().find(is_own)?;
        let mut ended = self
            .stays
            .iter()
            .filter(|stay| stay.until == Some(entry.at));
        let before = ended.find(|stay| is_kin(&stay.release.line, &release.line));
        Some(before.map(|stay| stay.release.clone()))
    }

    /// The channel with a release in the place of that of its profile and architecture, whatever the
    /// versions; which one that was. Nothing if the release is in it already.
    pub fn with(&self, release: &ReleaseId, entry: Entry) -> Option<(Channel, Option<ReleaseId>)> {
        let before = self.current_of(&release.line.profile, release.line.arch);
        if before == Some(release) {
            return None;
        }
        let before = before.cloned();
        let mut next = self.clone();
        for stay in &mut next.stays {
            if Some(&stay.release) == before.as_ref() && stay.until.is_none() {
                stay.until = Some(entry.at);
            }
        }
        next.stays.push(Stay {
            release: release.clone(),
            since: entry.at,
            until: None,
            by: entry.by,
            reason: entry.reason,
            approved_by: entry.approved_by,
            in_place_of: entry.in_place_of,
        });
        Some((next, before))
    }

    /// The channel without a release that is in it, and with nothing in its place. Nothing if it is
    /// not in it.
    pub fn without(&self, release: &ReleaseId, at: OffsetDateTime) -> Option<Channel> {
        let mut next = self.clone();
        let mut stays = next.stays.iter_mut();
        let stay = stays.find(|stay| stay.until.is_none() && stay.release == *release)?;
        stay.until = Some(at);
        Some(next)
    }
}

/// Whether one takes the other's place in a channel: profile and architecture are the same, whatever
/// the versions.
fn is_kin(one: &Line, other: &Line) -> bool {
    (&one.profile, one.arch) == (&other.profile, other.arch)
}
