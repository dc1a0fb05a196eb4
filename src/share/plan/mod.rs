//! What is to be changed so that AWS holds what it is to hold: decided here, without a call.

mod region;
#[cfg(test)]
mod tests;
pub mod text;
pub mod told;

pub use region::grant_name;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::desired::{Desired, Missing};
use super::owners::Owners;
use super::policy::User;
use super::policy::catalog::Reader;
use super::present::PresentRegion;
use crate::aws::ec2::Party;
use crate::aws::{AccountId, AmiId, KeyArn, Region, RoleArn, SnapshotId};

/// What is to be changed, and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Regions in which something is to be changed.
    pub regions: BTreeMap<Region, RegionPlan>,
    /// Access that the file does not know.
    pub unknown: BTreeSet<Unknown>,
    /// What customers are to get and cannot.
    pub missing: BTreeSet<Missing>,
    /// Customers of whom it is not known what they are to get: nothing is taken from them.
    pub unsure: BTreeSet<String>,
    /// What must not be done; nothing is changed in these Regions.
    pub refused: Vec<Refused>,
}

/// What is to be changed in a Region, in the order in which it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegionPlan {
    /// First this is given.
    pub add: Vec<Change>,
    /// Then this is taken away.
    pub remove: Vec<Change>,
}

/// A call that changes who may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A key's policy: these users are added or removed, and our statements written as they should be.
    Policy {
        /// The key.
        key: KeyArn,
        /// Who is added or removed.
        users: BTreeSet<User>,
    },
    /// A grant of a key's use is given.
    Grant {
        /// The key.
        key: KeyArn,
        /// To whom.
        role: RoleArn,
    },
    /// A grant is taken back.
    Revoke {
        /// The key.
        key: KeyArn,
        /// The grant's id.
        grant: String,
        /// Who has it.
        grantee: String,
        /// The customer, if it is one of ours.
        customer: Option<String>,
    },
    /// Permissions to copy a snapshot.
    Copy {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The releases that it belongs to.
        release: String,
        /// Who.
        parties: BTreeSet<Party>,
    },
    /// Permissions to launch an AMI.
    Launch {
        /// The AMI.
        image: AmiId,
        /// The release that it is.
        release: String,
        /// Who.
        parties: BTreeSet<Party>,
    },
    /// The policy of the publisher's bucket: these read the catalog, or no more, and our statements are
    /// written as they should be.
    Catalog {
        /// Where the catalog is.
        url: String,
        /// Who.
        readers: BTreeSet<Reader>,
    },
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "access", rename_all = "kebab-case")]
pub enum Access {
    /// Launch an AMI.
    Launch {
        /// The AMI.
        image: AmiId,
        /// The release that it is.
        release: String,
    },
    /// Copy a snapshot.
    Copy {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The release that it belongs to.
        release: String,
    },
    /// Use a key, by our statements in its policy.
    Key {
        /// The key.
        key: KeyArn,
    },
    /// Use a key, by a grant.
    Grant {
        /// The key.
        key: KeyArn,
        /// The grant's id.
        grant: String,
    },
    /// Use a key, by a statement of its policy that is not ours.
    Statement {
        /// The key.
        key: KeyArn,
        /// The statement's Sid, or its place.
        statement: String,
    },
    /// Read the catalog, by our statements in the bucket's policy; or do what a statement of it lets
    /// that is not ours.
    Catalog {
        /// Where the catalog is.
        catalog: String,
        /// The Sid or the place of a statement that is not ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        statement: Option<String>,
    },
}

/// Access of somebody whom the file does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unknown {
    /// Who.
    pub who: String,
    /// Where.
    pub region: Region,
    /// What to.
    #[serde(flatten)]
    pub access: Access,
    /// Whether `--remove-unknown` takes it away.
    pub removable: bool,
}

/// What must not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Where.
    pub region: Region,
    /// What is wrong.
    pub why: String,
    /// What to do about it.
    pub advice: String,
}

/// What a plan hangs on besides what is desired and what is there.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Whose accounts are whose.
    pub owners: &'a Owners,
    /// The publisher's name.
    pub publisher: &'a str,
    /// The publisher's account.
    pub account: &'a AccountId,
    /// The publisher's principal, as an ARN.
    pub principal: &'a str,
    /// The quota of launch permissions of an AMI.
    pub launch_permissions: usize,
    /// Whether access that the file does not know is taken away.
    pub remove_unknown: bool,
}

impl Plan {
    /// What is to be changed in the Regions whose state is known.
    pub fn new(
        desired: &Desired,
        present: &BTreeMap<Region, PresentRegion>,
        terms: Terms<'_>,
    ) -> Plan {
        let mut plan = Plan {
            missing: desired.missing.clone(),
            unsure: desired.unsure.clone(),
            ..Plan::default()
        };
        for (region, present) in present {
            let wanted = desired.regions.get(region).cloned().unwrap_or_default();
            let planner = region::Planner::new(region, &wanted, present, &desired.unsure, terms);
            planner.add_to(&mut plan);
        }
        plan
    }

    /// What gives access to one release: its AMIs and snapshots, and keys.
    pub fn giving(&self, release: &str) -> BTreeMap<Region, RegionPlan> {
        self.part(|plan| RegionPlan {
            add: only(&plan.add, |change| change.is_of(release).unwrap_or(true)),
            remove: Vec::new(),
        })
    }

    /// What takes away access to one release. Keys stay: they are other releases' too.
    pub fn taking(&self, release: &str) -> BTreeMap<Region, RegionPlan> {
        self.part(|plan| RegionPlan {
            add: Vec::new(),
            remove: only(&plan.remove, |change| change.is_of(release) == Some(true)),
        })
    }

    fn part(&self, of: impl Fn(&RegionPlan) -> RegionPlan) -> BTreeMap<Region, RegionPlan> {
        let parts = self.regions.iter();
        let parts = parts.map(|(region, plan)| (region.clone(), of(plan)));
        parts.filter(|(_, part)| !part.is_empty()).collect()
    }

    /// Whether nothing is to be changed, and nothing is wrong.
    pub fn is_in_sync(&self) -> bool {
        self.regions.is_empty() && self.missing.is_empty() && self.refused.is_empty()
    }
}

impl Change {
    /// Whether it is about this release; nothing where it is about a key.
    fn is_of(&self, wanted: &str) -> Option<bool> {
        match self {
            Change::Copy { release, .. } | Change::Launch { release, .. } => {
                Some(release == wanted)
            }
            _ => None,
        }
    }
}

fn only(changes: &[Change], wanted: impl Fn(&Change) -> bool) -> Vec<Change> {
    changes
        .iter()
        .filter(|change| wanted(change))
        .cloned()
        .collect()
}

impl RegionPlan {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}
