//! Channels: which release of a profile and architecture is in each, and which were.
//!
//! A channel is a document in the publisher's bucket, `channels/<channel>.json`. It holds the stays of
//! releases, those that are over too: a customer keeps for a while what has left its channels.
//!
//! | part | subject |
//! |---|---|
//! | [`settings`] | which channels there are |
//! | [`store`] | the documents in the bucket |
//! | [`promote`](mod@promote) | a release comes into a channel |

pub mod promote;
pub mod settings;
pub mod store;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::arch::Arch;
use crate::publish::release::ReleaseId;

/// The version of the format; a reader refuses a higher one.
pub const SCHEMA: u32 = 1;

/// A channel, as it lies in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Version of this format.
    pub schema: u32,
    /// Its name.
    pub channel: String,
    /// What is and was in it, in the order of coming.
    pub stays: Vec<Stay>,
}

/// A release's time in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// The release.
    pub release: ReleaseId,
    /// Since when it is there.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Until when it was there; none if it is.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub until: Option<OffsetDateTime>,
    /// Who brought it in: a principal of AWS.
    #[serde(default)]
    pub by: String,
    /// Why, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
}

impl Channel {
    /// One that nothing was in yet.
    pub fn empty(name: &str) -> Channel {
        Channel {
            schema: SCHEMA,
            channel: name.to_owned(),
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

    /// Whether a release was brought in by exactly this entry, be it there still or not; which one
    /// it took the place of.
    pub fn entered(&self, release: &ReleaseId, entry: &Entry) -> Option<Option<ReleaseId>> {
        let is_own =
            |stay: &&Stay| (&stay.release, stay.since, &stay.by) == (release, entry.at, &entry.by);
        self.stays.iter().find(is_own)?;
        let line = |release: &ReleaseId| (release.line.profile.clone(), release.line.arch);
        let mut ended = self
            .stays
            .iter()
            .filter(|stay| stay.until == Some(entry.at));
        let before = ended.find(|stay| line(&stay.release) == line(release));
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
        });
        Some((next, before))
    }
}
