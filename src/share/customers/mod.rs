//! `customers.toml`: who gets what.
//!
//! ```toml
//! [customers.acme]
//! accounts = ["111122223333"]
//! channels = ["stable"]
//! profiles = ["kubezero*"]              # every one where not given
//! regions = ["eu-central-1"]            # all of the publisher's where not given
//! copy = true                           # snapshots too: they may copy, not only launch
//! roles = ["arn:aws:iam::111122223333:role/autoscaler"]
//! start = 2026-01-01
//! end = 2026-12-31
//! grace_days = 30
//!
//! [customers.globex]
//! organizations = ["arn:aws:organizations::444455556666:organization/o-a1b2c3d4e5"]
//! units = ["arn:aws:organizations::444455556666:ou/o-a1b2c3d4e5/ou-ab12-cd34ef56"]
//! channels = ["candidate", "stable"]
//! ```
//!
//! | part | subject |
//! |---|---|
//! | `check` | what makes sense in it |
//! | [`edit`] | a customer more or less in its text |
//! | [`file`](mod@file), [`error`] | changing the file, whole or not at all; why it was not |

mod check;
pub mod edit;
pub mod error;
pub mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use globset::GlobMatcher;
use serde::Deserialize;
use time::Date;
use toml::Spanned;

use crate::aws::ec2::Party;
use crate::aws::{AccountId, OrganizationArn, Region, RoleArn, UnitArn};
use crate::profile::error::{Mistake, toml_mistake};

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "customers.toml";
/// Days that a customer keeps a release that has left its channels, where the file says nothing.
pub const GRACE_DAYS: u32 = 30;

/// A named party, and what it gets.
#[derive(Debug, Clone)]
pub struct Customer {
    /// Its name, in plans and in nothing that it sees.
    pub name: String,
    /// Its accounts.
    pub accounts: BTreeSet<AccountId>,
    /// Its organizations: all accounts in them.
    pub organizations: BTreeSet<OrganizationArn>,
    /// Its organizational units: all accounts in and below them.
    pub units: BTreeSet<UnitArn>,
    /// The channels whose releases it gets.
    pub channels: BTreeSet<String>,
    /// The profiles of which it gets releases, one of which must match.
    pub profiles: Vec<GlobMatcher>,
    /// The Regions where it gets them; all of a release's where none is named.
    pub regions: Option<BTreeSet<Region>>,
    /// Whether it may copy: it gets the snapshots too. AWS knows that for accounts alone.
    pub copy: bool,
    /// Roles that get the keys by grants of their own.
    pub roles: BTreeSet<RoleArn>,
    /// The first day on which it gets anything.
    pub start: Option<Date>,
    /// The last one.
    pub end: Option<Date>,
    /// Days for which it keeps a release that has left its channels.
    pub grace_days: u32,
}

/// What names in the file may be.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// The channels.
    pub channels: &'a [String],
    /// The Regions that the publisher publishes to.
    pub regions: &'a BTreeSet<Region>,
}

impl Customer {
    /// Its accounts, organizations and units.
    pub fn parties(&self) -> impl Iterator<Item = Party> + '_ {
        let accounts = self.accounts.iter().cloned().map(Party::Account);
        let organizations = self.organizations.iter().cloned().map(Party::Organization);
        let units = self.units.iter().cloned().map(Party::Unit);
        accounts.chain(organizations).chain(units)
    }

    /// Whether it gets anything on that day.
    pub fn is_served_on(&self, day: Date) -> bool {
        self.start.is_none_or(|start| start <= day) && self.end.is_none_or(|end| day <= end)
    }

    /// Whether it gets releases of a profile.
    pub fn wants(&self, profile: &str) -> bool {
        self.profiles.iter().any(|glob| glob.is_match(profile))
    }

    /// Whether it gets releases in a Region.
    pub fn is_in(&self, region: &Region) -> bool {
        let regions = self.regions.as_ref();
        regions.is_none_or(|regions| regions.contains(region))
    }
}

/// The file, with the places of what may be wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    customers: std::collections::BTreeMap<String, Spanned<WrittenCustomer>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCustomer {
    #[serde(default)]
    accounts: Vec<Spanned<String>>,
    #[serde(default)]
    organizations: Vec<Spanned<String>>,
    #[serde(default)]
    units: Vec<Spanned<String>>,
    channels: Spanned<Vec<Spanned<String>>>,
    profiles: Option<Spanned<Vec<Spanned<String>>>>,
    regions: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    copy: bool,
    #[serde(default)]
    roles: Vec<Spanned<String>>,
    start: Option<Spanned<toml::value::Datetime>>,
    end: Option<Spanned<toml::value::Datetime>>,
    grace_days: Option<u32>,
}

/// Reads customers, in the order of their names. `file` is what mistakes call the text.
///
/// # Errors
/// All that is wrong with it, in its order, each with line and column.
pub fn parse(file: &str, text: &str, known: &Known<'_>) -> Result<Vec<Customer>, Vec<Mistake>> {
    let written: Written =
        toml::from_str(text).map_err(|error| vec![toml_mistake(file, text, &error)])?;
    check::checked(file, text, written, known)
}
