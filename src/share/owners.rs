//! Whose an account, an organization, a unit or a role is: what the file of customers says, and what
//! it said when access was given. What is in neither is nobody's business of ours.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::customers::Customer;
use super::policy::User;
use super::policy::catalog::Reader;
use crate::aws::ec2::Party;
use crate::aws::kms::sharing::Grant;
use crate::aws::s3::ETag;
use crate::aws::{KeyArn, RoleArn};
use crate::publish::bucket::{Bucket, BucketError};

/// The version of the record's format.
const SCHEMA: u32 = 1;
/// The object in the publisher's bucket.
const KEY: &str = "shares.json";

/// Whom access was given to, as the publisher's bucket remembers it: so that a customer that is no
/// more in the file is known for one of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this format.
    pub schema: u32,
    /// Accounts, organizations, units and roles, with whose they are.
    pub parties: BTreeMap<String, Given>,
    /// Keys that somebody may use.
    pub keys: BTreeSet<KeyArn>,
    /// Whether somebody may read the catalog.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub catalog: bool,
}

/// Whose a party is, and since when it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The customer.
    pub customer: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            schema: SCHEMA,
            parties: BTreeMap::new(),
            keys: BTreeSet::new(),
            catalog: false,
        }
    }
}

impl Record {
    /// Reads it from the publisher's bucket.
    ///
    /// # Errors
    /// The bucket's; a newer version of this program wrote it.
    pub async fn read(bucket: &Bucket) -> Result<(Record, Option<ETag>), BucketError> {
        let found = bucket.document(KEY, SCHEMA).await?;
        Ok(found.map_or_else(Default::default, |(record, etag)| (record, Some(etag))))
    }

    /// Writes it over the one that was read.
    ///
    /// # Errors
    /// The bucket's; somebody else has written it, who had no right to.
    pub async fn write(&self, bucket: &Bucket, over: Option<&ETag>) -> Result<ETag, BucketError> {
        if let Some(etag) = bucket.put_document(KEY, self, over).await? {
            return Ok(etag);
        }
        // An attempt whose answer was lost may have written it.
        match Record::read(bucket).await? {
            (found, Some(etag)) if found == *self => Ok(etag),
            _ => Err(bucket.contended(KEY)),
        }
    }

    /// The record before anything is given: nothing is forgotten yet.
    #[must_use]
    pub fn with(
        &self,
        customers: &[Customer],
        keys: &BTreeSet<KeyArn>,
        catalog: bool,
        now: OffsetDateTime,
    ) -> Record {
        let mut next = self.clone();
        let now = now.replace_nanosecond(0).unwrap_or(now);
        for customer in customers {
            for name in names(customer) {
                let given = next.parties.entry(name).or_insert_with(|| Given {
                    customer: customer.name.clone(),
                    since: now,
                });
                given.customer.clone_from(&customer.name);
            }
        }
        next.keys.extend(keys.iter().cloned());
        next.catalog |= catalog;
        next
    }

    /// The record when nothing is left of what the file does not say.
    #[must_use]
    pub fn only(&self, customers: &[Customer], keys: &BTreeSet<KeyArn>, catalog: bool) -> Record {
        let named: BTreeSet<String> = customers.iter().flat_map(names).collect();
        let mut next = self.clone();
        next.parties.retain(|name, _| named.contains(name));
        next.keys.retain(|key| keys.contains(key));
        next.catalog = catalog;
        next
    }
}

fn names(customer: &Customer) -> Vec<String> {
    let parties = customer.parties().map(|party| party.to_string());
    let roles = customer.roles.iter().map(ToString::to_string);
    parties.chain(roles).collect()
}

/// Whose what is.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    parties: BTreeMap<String, String>,
    users: BTreeMap<User, String>,
}

impl Owners {
    /// As the file says it, or else the record.
    pub fn new(customers: &[Customer], record: &Record) -> Owners {
        let mut owners = Owners::default();
        for (name, given) in &record.parties {
            owners.add(name, &given.customer);
        }
        for customer in customers {
            for name in names(customer) {
                owners.add(&name, &customer.name);
            }
        }
        owners
    }

    fn add(&mut self, name: &str, customer: &str) {
        self.parties.insert(name.to_owned(), customer.to_owned());
        let party = party(name);
        if let Some(user) = party.as_ref().and_then(User::of) {
            self.users.insert(user, customer.to_owned());
        }
    }

    /// Whose a party is.
    pub fn of(&self, party: &Party) -> Option<&str> {
        self.named(&party.to_string())
    }

    /// Whose a user of keys is.
    pub fn of_user(&self, user: &User) -> Option<&str> {
        self.users.get(user).map(String::as_str)
    }

    /// Whose a reader of the catalog is.
    pub fn of_reader(&self, reader: &Reader) -> Option<&str> {
        match reader {
            Reader::Everybody => None,
            Reader::Party(user) => self.of_user(user),
        }
    }

    /// Whose a role is: of a customer that names it, or that has its account.
    pub fn of_role(&self, role: &RoleArn) -> Option<&str> {
        let account = || self.of(&Party::Account(role.account()));
        self.named(role.as_str()).or_else(account)
    }

    /// Whose a grant is: of a customer whose role or account has it, or had it when it was given: of
    /// a role that is gone, AWS gives an id that says nothing.
    pub fn of_grant(&self, grant: &Grant, name_of: impl Fn(&RoleArn) -> String) -> Option<&str> {
        let account = || self.of(&Party::Account(grant.account()?));
        let named = || {
            let name = grant.name.as_deref()?;
            let mut parties = self.parties.iter();
            let found =
                parties.find(|(role, _)| role.parse().is_ok_and(|role| name_of(&role) == name))?;
            Some(found.1.as_str())
        };
        self.named(&grant.grantee).or_else(account).or_else(named)
    }

    fn named(&self, name: &str) -> Option<&str> {
        self.parties.get(name).map(String::as_str)
    }
}

fn party(name: &str) -> Option<Party> {
    let account = || name.parse().ok().map(Party::Account);
    let organization = || name.parse().ok().map(Party::Organization);
    let unit = || name.parse().ok().map(Party::Unit);
    account().or_else(organization).or_else(unit)
}
