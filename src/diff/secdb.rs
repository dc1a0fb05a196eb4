//! Alpine's security database: which vulnerabilities a version of a source package fixes.
//!
//! A database is for one branch and repository, as at `https://secdb.alpinelinux.org/v3.15/main.json`:
//!
//! ```text
//! {"distroversion": "v3.15", "reponame": "main",
//!  "packages": [{"pkg": {"name": "openssl",
//!                        "secfixes": {"1.1.1l-r0": ["CVE-2021-3711", "CVE-2021-3712"],
//!                                     "0": ["CVE-2022-1343"]}}}]}
//! ```
//!
//! It comes from comments of the packages' build files, which people write: a text may hold several
//! ids of one vulnerability (`CVE-2017-10912 XSA-217`) and a remark behind them
//! (`CVE-2017-2616 (+ regression fix)`), and a CVE may be spelt with a low line. What stands under the
//! version `0` never affected the package. It says what is fixed and nothing about what is not.
//!
//! A fix counts where the package comes from an older version than the fixed one and goes to that or
//! a newer one; back over it, it is open again.

pub mod load;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::packages::PackagesDifference;
use crate::apk::version::Version;

/// The version that fixes what never affected a package.
const NEVER_AFFECTED: &str = "0";

/// Security databases, joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secdb {
    /// Fixed versions and what they fix, by branch (`v3.15`) and source package.
    branches: BTreeMap<String, BTreeMap<String, Vec<(Version, BTreeSet<String>)>>>,
}

/// A vulnerability that is fixed or open again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fix {
    /// The source package.
    pub origin: String,
    /// `CVE-2021-3711`, or another's id where it has no CVE.
    pub id: String,
    /// The version that it is fixed in.
    pub version: String,
    /// Packages of the image that are built from the source package and changed.
    pub packages: Vec<String>,
}

/// What changed about vulnerabilities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Security {
    /// The branch whose databases were looked at: `v3.15`.
    pub branch: String,
    /// What is fixed, by source package and id.
    pub fixed: Vec<Fix>,
    /// What was fixed and is no more.
    pub reopened: Vec<Fix>,
}

/// The file.
#[derive(Deserialize)]
struct Database {
    distroversion: String,
    #[serde(default)]
    packages: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    pkg: Pkg,
}

#[derive(Deserialize)]
struct Pkg {
    name: String,
    #[serde(default)]
    secfixes: Option<BTreeMap<String, Option<Vec<String>>>>,
}

impl Secdb {
    /// Takes in a database.
    ///
    /// # Errors
    /// It is none.
    pub fn add(&mut self, json: &[u8]) -> Result<(), serde_json::Error> {
        let database: Database = serde_json::from_slice(json)?;
        let branch = self.branches.entry(database.distroversion).or_default();
        for Record { pkg } in database.packages {
            let fixes = branch.entry(pkg.name).or_default();
            for (version, texts) in pkg.secfixes.unwrap_or_default() {
                // What apk could not order was never in an index.
                let Ok(parsed) = Version::parse(&version) else {
                    continue;
                };
                let texts = texts.unwrap_or_default();
                let ids: BTreeSet<_> = texts.iter().flat_map(|text| ids(text)).collect();
                if version != NEVER_AFFECTED && !ids.is_empty() {
                    fixes.push((parsed, ids));
                }
            }
        }
        Ok(())
    }

    /// Whether nothing was taken in.
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// The branches that it knows.
    pub fn branches(&self) -> impl Iterator<Item = &str> {
        self.branches.keys().map(String::as_str)
    }

    /// What changed about vulnerabilities with these packages on that branch; nothing where no
    /// database is for it.
    pub fn compare(&self, branch: &str, packages: &PackagesDifference) -> Option<Security> {
        let known = self.branches.get(branch)?;
        let (mut fixed, mut reopened) = (Found::default(), Found::default());
        for change in &packages.changed {
            let versions = Version::parse(&change.from.version)
                .ok()
                .zip(Version::parse(&change.to.version).ok());
            let origin = change.to.origin();
            let (Some((from, to)), Some(fixes)) = (versions, known.get(origin)) else {
                continue;
            };
            for (version, ids) in fixes {
                let found = match () {
                    () if from < *version && *version <= to => &mut fixed,
                    () if to < *version && *version <= from => &mut reopened,
                    () => continue,
                };
                for id in ids {
                    found.note(origin, id, version, &change.name);
                }
            }
        }
        Some(Security {
            branch: branch.to_owned(),
            fixed: fixed.list(),
            reopened: reopened.list(),
        })
    }
}

/// Fixes by source package and id: packages of one source have the same.
#[derive(Default)]
struct Found(BTreeMap<(String, String), (Version, BTreeSet<String>)>);

impl Found {
    fn note(&mut self, origin: &str, id: &str, version: &Version, package: &str) {
        let key = (origin.to_owned(), id.to_owned());
        let (fixed_in, packages) = self
            .0
            .entry(key)
            .or_insert_with(|| (version.clone(), BTreeSet::new()));
        // One that was fixed twice is fixed by the last.
        if version > fixed_in {
            *fixed_in = version.clone();
        }
        packages.insert(package.to_owned());
    }

    fn list(self) -> Vec<Fix> {
        let fix = |((origin, id), (version, packages)): ((String, String), (Version, _))| Fix {
            origin,
            id,
            version: version.as_str().to_owned(),
            packages: BTreeSet::into_iter(packages).collect(),
        };
        self.0.into_iter().map(fix).collect()
    }
}

/// `3.15.11` is of the branch `v3.15`; what is no release of Alpine's (`edge`) stands for itself.
pub fn branch(alpine: &str) -> String {
    let mut parts = alpine.trim_start_matches('v').splitn(3, '.');
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match (
        parts.next().filter(is_number),
        parts.next().filter(is_number),
    ) {
        (Some(major), Some(minor)) => format!("v{major}.{minor}"),
        _ => alpine.to_owned(),
    }
}

/// The ids of a text: its CVEs, or the first other id where it has none.
fn ids(text: &str) -> Vec<String> {
    let text = text.split('(').next().unwrap_or_default();
    let words = text.split(|c: char| c.is_whitespace() || c == ',' || c == ';');
    let words: Vec<String> = words
        .filter(|word| is_id(word))
        .map(|word| match word.strip_prefix("CVE_") {
            Some(number) => format!("CVE-{number}"),
            None => word.to_owned(),
        })
        .collect();
    let cves: Vec<String> = words.iter().filter(|id| is_cve(id)).cloned().collect();
    match cves.is_empty() {
        true => words.into_iter().take(1).collect(),
        false => cves,
    }
}

/// `CVE-2021-3711`, `XSA-217`, `GHSA-h6cc-rc6q-23j4`, `ALPINE-13661`.
fn is_id(word: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    word.bytes().all(is_letter)
        && word.contains(['-', '_'])
        && word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.contains(|c: char| c.is_ascii_digit())
}

/// Whether an id is a CVE's: `CVE-2021-3711`.
pub fn is_cve(id: &str) -> bool {
    let digits =
        |text: &str, least| text.len() >= least && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = id
        .strip_prefix("CVE-")
        .and_then(|rest| rest.split_once('-'));
    number.is_some_and(|(year, number)| year.len() == 4 && digits(year, 4) && digits(number, 4))
}
