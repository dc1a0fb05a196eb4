//! Files that were added, removed or changed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::packages::PackagesDifference;
use crate::image::contents::{Contents, Entry, PartitionDigest};

/// The database of packages, which is another when any package is.
const DATABASE: &str = "/lib/apk/db/";

/// What differs among files, each list sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FilesDifference {
    /// Only in the second image.
    pub added: Vec<Entry>,
    /// Only in the first.
    pub removed: Vec<Entry>,
    /// In both, but not the same.
    pub changed: Vec<FileChange>,
    /// Partitions beside the root that differ.
    pub partitions: Vec<PartitionChange>,
    /// Paths of the three lists that no package which came, went or changed accounts for; nothing
    /// where an image does not say which package its files are of.
    pub outside_packages: Option<Vec<String>>,
}

/// A path that is not the same in both images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// The path.
    pub path: String,
    /// What of it differs, in the order of [`Aspect`].
    pub what: Vec<Aspect>,
    /// By how many bytes it grew.
    pub size_delta: i64,
    /// As it is in the first image.
    pub from: Entry,
    /// As it is in the second.
    pub to: Entry,
}

/// What can differ about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// A file has become a link, say.
    Kind,
    /// A regular file's bytes.
    Content,
    /// Permission bits.
    Mode,
    /// User or group.
    Owner,
    /// Where a symbolic link points.
    Target,
}

/// A partition that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionChange {
    /// Its name in the table.
    pub name: String,
    /// SHA-256 in the first image, where it has one.
    pub from: Option<String>,
    /// SHA-256 in the second.
    pub to: Option<String>,
}

impl FilesDifference {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && self.partitions.is_empty()
    }
}

/// Compares two lists, both sorted by path; `packages` is what differs among packages.
pub fn compare(
    from: &Contents,
    to: &Contents,
    packages: Option<&PackagesDifference>,
) -> FilesDifference {
    let mut difference = by_path(from, to);
    let tells = |contents: &Contents| contents.entries.iter().any(|entry| entry.package.is_some());
    if let Some(packages) = packages.filter(|_| tells(from) && tells(to)) {
        difference.outside_packages = Some(outside(&difference, packages));
    }
    difference
}

/// What is left when the packages that differ are taken out: configuration, scripts, what packages'
/// own scripts have made.
fn outside(files: &FilesDifference, packages: &PackagesDifference) -> Vec<String> {
    let alone = packages.added.iter().chain(&packages.removed);
    let mut differing: BTreeSet<&str> = alone.map(|package| package.name.as_str()).collect();
    differing.extend(packages.changed.iter().map(|change| change.name.as_str()));
    let explains = |entry: &Entry| {
        let owner = entry.package.as_deref();
        owner.is_some_and(|owner| differing.contains(owner))
            || (!differing.is_empty() && entry.path.starts_with(DATABASE))
    };
    let alone = files.added.iter().chain(&files.removed);
    let mut paths: Vec<String> = alone
        .filter(|entry| !explains(entry))
        .map(|entry| entry.path.clone())
        .collect();
    let changed = files.changed.iter();
    paths.extend(
        changed
            .filter(|change| !explains(&change.from) && !explains(&change.to))
            .map(|change| change.path.clone()),
    );
    paths.sort();
    paths
}

fn by_path(from: &Contents, to: &Contents) -> FilesDifference {
    let mut difference = FilesDifference {
        partitions: partitions(&from.partitions, &to.partitions),
        ..FilesDifference::default()
    };
    let (mut from, mut to) = (from.entries.iter().peekable(), to.entries.iter().peekable());
    loop {
        let order = match (from.peek(), to.peek()) {
            (None, None) => return difference,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(from), Some(to)) => from.path.cmp(&to.path),
        };
        let before = order.is_le().then(|| from.next()).flatten();
        let after = order.is_ge().then(|| to.next()).flatten();
        match (before, after) {
            (Some(before), Some(after)) => difference.changed.extend(change(before, after)),
            (before, after) => {
                difference.removed.extend(before.cloned());
                difference.added.extend(after.cloned());
            }
        }
    }
}

fn change(from: &Entry, to: &Entry) -> Option<FileChange> {
    let same_kind = from.kind == to.kind;
    let differs = [
        (Aspect::Kind, !same_kind),
        // Of another kind it has other content too; saying so would tell nothing.
        (
            Aspect::Content,
            same_kind && (&from.sha256, from.size) != (&to.sha256, to.size),
        ),
        (Aspect::Mode, from.mode != to.mode),
        (Aspect::Owner, (from.uid, from.gid) != (to.uid, to.gid)),
        (Aspect::Target, same_kind && from.target != to.target),
    ];
    let what: Vec<_> = differs
        .into_iter()
        .filter_map(|(aspect, differs)| differs.then_some(aspect))
        .collect();
    (!what.is_empty()).then(|| FileChange {
        path: from.path.clone(),
        what,
        size_delta: super::sizes::delta(from.size.unwrap_or(0), to.size.unwrap_or(0)),
        from: from.clone(),
        to: to.clone(),
    })
}

/// Partitions are matched by name: a number is another where one image boots on UEFI only.
fn partitions(from: &[PartitionDigest], to: &[PartitionDigest]) -> Vec<PartitionChange> {
    type Both<'a> = (Option<&'a String>, Option<&'a String>);
    let mut all: BTreeMap<&str, Both<'_>> = BTreeMap::new();
    for part in from {
        all.entry(&part.name).or_default().0 = Some(&part.sha256);
    }
    for part in to {
        all.entry(&part.name).or_default().1 = Some(&part.sha256);
    }
    let differing = all.into_iter().filter(|(_, (from, to))| from != to);
    differing
        .map(|(name, (from, to))| PartitionChange {
            name: name.to_owned(),
            from: from.cloned(),
            to: to.cloned(),
        })
        .collect()
}
