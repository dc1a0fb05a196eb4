//! What there is, as it was found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;

use super::settings::Keep;
use crate::aws::ec2::{Reference, Usage};
use crate::aws::{AmiId, Region, SnapshotId};
use crate::channels::Channel;
use crate::publish::manifest::Retirement;
use crate::publish::release::ReleaseId;
use crate::share::customers::Customer;

/// What there is.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The releases that were published, and of which something is there still.
    pub releases: Vec<SeenRelease>,
    /// The channels, and how long each keeps what was in it.
    pub channels: Vec<(Channel, Keep)>,
    /// The customers.
    pub customers: Vec<Customer>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRelease {
    /// Its id.
    pub id: ReleaseId,
    /// When it was begun.
    pub created: OffsetDateTime,
    /// What earlier runs did.
    pub retired: Option<Retirement>,
    /// What there is of it.
    pub places: BTreeMap<Region, SeenPlace>,
}

/// What there is of a release in a Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenPlace {
    /// The Region could not be read, and why.
    Unread(String),
    /// This.
    Held {
        /// The AMI, if it is there.
        image: Option<HeldImage>,
        /// Snapshots of it that no AMI has.
        snapshots: Vec<SnapshotId>,
        /// Who uses the AMI.
        uses: Uses,
    },
}

/// An AMI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldImage {
    /// The AMI.
    pub id: AmiId,
    /// From when on it is deprecated, if it is to be.
    pub deprecation: Option<OffsetDateTime>,
    /// Whether its snapshots are the release's own: those that somebody else made stay.
    pub owns_snapshots: bool,
}

/// Who uses an AMI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uses {
    /// Nobody has looked: nothing depends on it so far.
    NotAsked,
    /// These, as far as AWS knows.
    Seen(Vec<Use>),
    /// It could not be seen, and why.
    Unseen(String),
}

/// Somebody's use of an AMI.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// A resource of the publisher's own.
    Own(Reference),
    /// Another account's resources.
    Other(Usage),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Use::Own(reference) => f.write_str(&reference.arn),
            Use::Other(Usage {
                account,
                kind,
                count,
            }) => write!(f, "account {account} ({kind}: {count})"),
        }
    }
}
