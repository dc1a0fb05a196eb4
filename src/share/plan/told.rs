//! A plan as machines read it: what changes for which customer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Change, Missing, Plan, Refused, Unknown};
use crate::aws::Region;
use crate::share::owners::Owners;

/// Whom a change names that only mends our statements in a policy.
const CHANGED: &str = "our statements, which somebody has changed";

/// A plan by customers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Whether AWS holds what the file says, as far as it is known.
    pub in_sync: bool,
    /// What is to be changed, in the order in which it is in each Region.
    pub changes: Vec<ToldChange>,
    /// Access that the file does not know.
    pub unknown: Vec<Unknown>,
    /// What customers are to get and cannot.
    pub missing: Vec<Missing>,
    /// Customers of whom it is not known what they are to get: a manifest is gone, or none of their
    /// channels is there. Nothing is taken from them.
    pub unsure: Vec<String>,
    /// What must not be done.
    pub refused: Vec<Refused>,
    /// Regions whose state could not be read, or in which something could not be changed.
    pub failed: BTreeMap<Region, String>,
}

/// What changes for a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToldChange {
    /// The customer; none where the file does not know who has the access.
    pub customer: Option<String>,
    /// Where.
    pub region: Region,
    /// Whether it is given or taken away.
    pub action: Action,
    /// What to.
    pub access: Kind,
    /// The AMI, the snapshot, the key or the catalog.
    pub resource: String,
    /// The release that an AMI or a snapshot belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Accounts, organizations, units or roles.
    pub parties: Vec<String>,
}

/// Whether access is given or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is given.
    Add,
    /// It is taken away.
    Remove,
}

/// What access is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Launching an AMI.
    Launch,
    /// Copying a snapshot.
    Copy,
    /// Using a key by its policy.
    Key,
    /// Using a key by a grant.
    Grant,
    /// Reading the catalog.
    Catalog,
}

impl Told {
    /// Tells a plan.
    pub fn new(plan: &Plan, owners: &Owners, failed: BTreeMap<Region, String>) -> Told {
        let mut changes = Vec::new();
        for (region, plan) in &plan.regions {
            for (action, list) in [(Action::Add, &plan.add), (Action::Remove, &plan.remove)] {
                for change in list {
                    changes.extend(told(region, action, change, owners));
                }
            }
        }
        Told {
            in_sync: plan.is_in_sync() && failed.is_empty(),
            changes,
            unknown: plan.unknown.iter().cloned().collect(),
            missing: plan.missing.iter().cloned().collect(),
            unsure: plan.unsure.iter().cloned().collect(),
            refused: plan.refused.clone(),
            failed,
        }
    }
}

/// A change, for each customer that it is about.
fn told(region: &Region, action: Action, change: &Change, owners: &Owners) -> Vec<ToldChange> {
    let mut by_customer: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
    let mut add = |customer: Option<&str>, who: String| {
        let customer = customer.map(str::to_owned);
        by_customer.entry(customer).or_default().push(who);
    };
    let (access, resource, release) = match change {
        Change::Policy { key, users } => {
            for user in users {
                add(owners.of_user(user), user.to_string());
            }
            if users.is_empty() {
                add(None, CHANGED.to_owned());
            }
            (Kind::Key, key.to_string(), None)
        }
        Change::Grant { key, role } => {
            add(owners.of_role(role), role.to_string());
            (Kind::Grant, key.to_string(), None)
        }
        Change::Revoke {
            key,
            grantee,
            customer,
            ..
        } => {
            add(customer.as_deref(), grantee.clone());
            (Kind::Grant, key.to_string(), None)
        }
        Change::Copy {
            snapshot,
            release,
            parties,
        } => {
            for party in parties {
                add(owners.of(party), party.to_string());
            }
            (Kind::Copy, snapshot.to_string(), Some(release.clone()))
        }
        Change::Launch {
            image,
            release,
            parties,
        } => {
            for party in parties {
                add(owners.of(party), party.to_string());
            }
            (Kind::Launch, image.to_string(), Some(release.clone()))
        }
        Change::Catalog { url, readers } => {
            for reader in readers {
                add(owners.of_reader(reader), reader.to_string());
            }
            if readers.is_empty() {
                add(None, CHANGED.to_owned());
            }
            (Kind::Catalog, url.clone(), None)
        }
    };
    let each = by_customer.into_iter();
    each.map(|(customer, parties)| ToldChange {
        customer,
        region: region.clone(),
        action,
        access,
        resource: resource.clone(),
        release: release.clone(),
        parties,
    })
    .collect()
}
