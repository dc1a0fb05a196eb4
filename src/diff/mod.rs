//! What differs between two images, or two locks: values, packages, files and sizes.
//!
//! [`subject`] says what a word on the command line means, [`load`] reads it into a [`Side`],
//! [`diff`] compares two sides without touching anything, and [`text`] shows the [`Difference`].
//!
//! As JSON (`--output json`) a difference is:
//!
//! ```text
//! {"schema": 1, "from": "a", "to": "b", "differs": true,
//!  "bytes_differ": true | false | null,            null: the digest of one is not known
//!  "about":    [{"name": "release|profile|version|alpine|arch|kernel|firmware|boot mode",
//!                "from": "3.15.10" | null, "to": "3.15.11" | null}],
//!  "values":   [{"name": "alpine", "from": "3.15.10", "to": "3.15.11"}],
//!  "packages": null | {"added": [Package], "removed": [Package],
//!                      "changed": [{"name", "change": "up|down|rebuilt|other", "from": Package, "to": Package}]},
//!  "files":    null | {"added": [Entry], "removed": [Entry],
//!                      "changed": [{"path", "what": ["kind","content","mode","owner","target"],
//!                                   "size_delta": 12, "from": Entry, "to": Entry}],
//!                      "partitions": [{"name", "from": sha256 | null, "to": sha256 | null}],
//!                      "outside_packages": [path] | null},     null: files do not tell their package
//!  "security": null | {"branch": "v3.15", "fixed": [Fix], "reopened": [Fix]},
//!  "sizes":    {"image": {"from", "to"} | null, "used": {…} | null, "packages": {…} | null,
//!               "growth": [{"package", "bytes"}]},
//!  "notes":    ["what could not be compared, and why"]}
//! ```
//!
//! Fix is `{"origin": "openssl", "id": "CVE-2021-3711", "version": "1.1.1l-r0", "packages": ["libssl1.1"]}`;
//! `security` is null where no database of the second image's branch was named ([`secdb`]).
//! `packages` and `files` are null where one side does not tell; `notes` says which, and why.
//! Package is as in `manifest.json` without repository; Entry as in `files.json`
//! ([`crate::image::contents`]). A folder such as `/var` or a cache is compared like any other:
//! what is in the image is in the image.

pub mod changes;
pub mod facts;
pub mod files;
mod importance;
pub mod installed;
pub mod load;
pub mod markdown;
pub mod packages;
pub mod secdb;
pub mod settings;
pub mod sizes;
pub mod subject;
pub mod text;
mod view;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use facts::Fact;
pub use files::FilesDifference;
pub use packages::{Package, PackagesDifference};
pub use sizes::SizesDifference;

use crate::image::contents::Contents;
use crate::publish::release::ReleaseId;
use secdb::{Secdb, Security};

/// The version of the JSON form.
pub const SCHEMA: u32 = 1;

/// One of two images, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Side {
    /// What the user called it.
    pub name: String,
    /// The release, if it is one.
    pub release: Option<ReleaseId>,
    /// SHA-256 of the image file, where it is known without reading it.
    pub sha256: Option<String>,
    /// Kernel, Alpine, firmware and other values.
    pub facts: Vec<Fact>,
    /// Packages, where they are known.
    pub packages: Option<Vec<Package>>,
    /// Files, where they are known.
    pub contents: Option<Contents>,
    /// Length of the image file, in bytes.
    pub image_size: Option<u64>,
    /// Bytes of the root file system that are in use.
    pub used: Option<u64>,
    /// Whether it is a lock: of an image that there need not be.
    pub is_lock: bool,
    /// Why something is not known.
    pub notes: Vec<String>,
}

impl Side {
    /// Alpine's branch, where its release is known: `v3.15`.
    pub fn branch(&self) -> Option<String> {
        let fact = self.facts.iter().find(|fact| fact.name == "alpine")?;
        Some(secdb::branch(&fact.value))
    }
}

/// Something before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair<T> {
    /// In the first image.
    pub from: T,
    /// In the second.
    pub to: T,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Version of the JSON form.
    pub schema: u32,
    /// The first image.
    pub from: String,
    /// The second.
    pub to: String,
    /// Whether anything differs: [`Difference::is_empty`] for machines.
    pub differs: bool,
    /// Whether the image files' digests differ; nothing where one is not known.
    pub bytes_differ: Option<bool>,
    /// Whether the two are locks, which say nothing of files and sizes.
    #[serde(skip)]
    pub locks: bool,
    /// What the two are, whether it differs or not.
    pub about: Vec<About>,
    /// Values that differ.
    pub values: Vec<ValueChange>,
    /// Packages that differ; nothing where a side does not tell them.
    pub packages: Option<PackagesDifference>,
    /// Files that differ; nothing where a side does not tell them.
    pub files: Option<FilesDifference>,
    /// What changed about vulnerabilities; nothing where no database of the branch is at hand.
    pub security: Option<Security>,
    /// How sizes changed.
    pub sizes: SizesDifference,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
}

/// What two images are called in one respect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// In which: `release`, or one of [`facts::ABOUT`].
    pub name: &'static str,
    /// The first, where it is known.
    pub from: Option<String>,
    /// The second.
    pub to: Option<String>,
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueChange {
    /// The value's name.
    pub name: String,
    /// It, before and after.
    #[serde(flatten)]
    pub change: Pair<String>,
}

impl Difference {
    /// Whether nothing differs, as far as the two could be compared.
    pub fn is_empty(&self) -> bool {
        !self.differs
    }

    /// What the second image is in one respect.
    fn to(&self, name: &str) -> Option<&str> {
        let about = self.about.iter().find(|about| about.name == name)?;
        about.to.as_deref()
    }

    /// The same with what changed about vulnerabilities, as the databases of the second image's branch
    /// say.
    #[must_use]
    pub fn with_security(mut self, secdb: &Secdb) -> Difference {
        let branch = self.to("alpine").map(secdb::branch);
        if let (Some(branch), Some(packages)) = (&branch, &self.packages) {
            self.security = secdb.compare(branch, packages);
        }
        if self.security.is_none() && !secdb.is_empty() {
            let known: Vec<_> = secdb.branches().collect();
            let wanted = branch.as_deref().unwrap_or("an unknown release");
            self.notes.push(format!(
                "the security databases at hand are for {}, the image is of {wanted}: fixes are not told",
                known.join(", ")
            ));
        }
        self
    }

    /// Whether something could not be compared.
    pub fn is_partial(&self) -> bool {
        let is_lacking =
            self.packages.is_none() || self.files.is_none() || self.bytes_differ.is_none();
        is_lacking && !self.locks
    }
}

/// Compares two images.
pub fn diff(from: &Side, to: &Side) -> Difference {
    let values = facts::changes(&from.facts, &to.facts);
    let both = from.packages.as_ref().zip(to.packages.as_ref());
    let packages = both.map(|(from, to)| packages::compare(from, to));
    let both = from.contents.as_ref().zip(to.contents.as_ref());
    let files = both.map(|(from, to)| files::compare(from, to, packages.as_ref()));
    let is_lock = from.is_lock && to.is_lock;
    let sizes = match is_lock {
        true => SizesDifference::default(),
        false => sizes::compare(from, to),
    };
    // A volume may be longer than the image on it: its digest is another.
    let alike = from.image_size.is_some() == to.image_size.is_some();
    let bytes = from
        .sha256
        .as_ref()
        .zip(to.sha256.as_ref())
        .filter(|_| alike);
    let bytes_differ = bytes.map(|(from, to)| from != to);
    let differs = bytes_differ == Some(true)
        || !values.is_empty()
        || packages
            .as_ref()
            .is_some_and(|packages| !packages.is_empty())
        || files.as_ref().is_some_and(|files| !files.is_empty())
        || sizes.differ();
    let note = |side: &Side| {
        let tell = |note: &String| format!("{}: {note}", side.name);
        side.notes.iter().map(tell).collect::<Vec<_>>()
    };
    Difference {
        schema: SCHEMA,
        from: from.name.clone(),
        to: to.name.clone(),
        differs,
        bytes_differ,
        about: facts::about(from, to),
        locks: is_lock,
        values,
        packages,
        files,
        security: None,
        sizes,
        notes: [note(from), note(to)].concat(),
    }
}
