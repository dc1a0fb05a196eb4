//! What the forms for people have in common: what is told, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{Aspect, FileChange, PartitionChange};
use super::importance::Importance;
use super::packages::Change;
use super::secdb::Fix;
use super::{Difference, FilesDifference, Package, Pair, ValueChange, facts, sizes};
use crate::image::contents::{Entry, EntryKind};
use crate::ui::text::bytes;

/// Something that the two are or are not alike in.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) from: String,
    pub(super) to: String,
}

/// A package that came, went or changed.
pub(super) struct PackageRow {
    pub(super) importance: Importance,
    pub(super) sign: char,
    pub(super) name: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) change: Option<Change>,
    /// By how many bytes it grew; one that came or went counts whole.
    pub(super) delta: i64,
    /// Its licence before and after, where that changed.
    pub(super) license: Option<Pair<String>>,
}

/// What is fixed in a source package.
pub(super) struct FixRow {
    pub(super) origin: String,
    /// The last of the versions that fix something.
    pub(super) version: String,
    pub(super) ids: Vec<String>,
}

/// A path that came, went or changed.
pub(super) struct FileRow {
    pub(super) sign: char,
    pub(super) path: String,
    pub(super) told: String,
}

/// What the two are.
pub(super) fn about(difference: &Difference) -> Vec<Line> {
    let value = |name: &str| {
        let about = difference.about.iter().find(|about| about.name == name);
        about.map_or((None, None), |about| (about.from.clone(), about.to.clone()))
    };
    // Several values on one line, such as profile, version and architecture.
    let joined = |name, parts: &[&str], separator| {
        let told = parts.iter().map(|part| value(part));
        let (from, to): (Vec<_>, Vec<_>) = told.unzip();
        let join = |parts: Vec<Option<String>>| {
            parts
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(separator)
        };
        let (from, to) = (join(from), join(to));
        (!from.is_empty() || !to.is_empty()).then_some(Line { name, from, to })
    };
    let subject = if difference.locks { "lock" } else { "image" };
    [
        joined("release", &["release"], ""),
        joined(subject, &["profile", "version", "arch"], " "),
        joined("alpine", &["alpine"], ""),
        joined("kernel", &["kernel"], ""),
        joined("boot", &["firmware", "boot mode"], "; "),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Values that differ and are not told already.
pub(super) fn other_values(difference: &Difference) -> impl Iterator<Item = &ValueChange> {
    let values = difference.values.iter();
    values.filter(|value| !facts::ABOUT.contains(&value.name.as_str()))
}

/// Packages, the most important first.
pub(super) fn packages(difference: &Difference) -> Vec<PackageRow> {
    let Some(packages) = &difference.packages else {
        return Vec::new();
    };
    let grown = |from: u64, to: u64| sizes::delta(from, to);
    let alone = |sign: char, package: &Package| {
        let version = Some(package.version.clone());
        let (from, to, delta) = match sign {
            '+' => (None, version, grown(0, package.installed_size)),
            _ => (version, None, grown(package.installed_size, 0)),
        };
        PackageRow {
            importance: difference.importance(&package.name, package.origin(), None),
            sign,
            name: package.name.clone(),
            from,
            to,
            change: None,
            delta,
            license: None,
        }
    };
    let changed = packages.changed.iter().map(|change| {
        let (from, to) = (&change.from, &change.to);
        let how = Some(change.change);
        PackageRow {
            importance: difference.importance(&change.name, to.origin(), how),
            sign: match change.change {
                Change::Up => '↑',
                Change::Down => '↓',
                Change::Rebuilt | Change::Other => '~',
            },
            name: change.name.clone(),
            from: Some(from.version.clone()),
            to: Some(to.version.clone()),
            change: how,
            delta: grown(from.installed_size, to.installed_size),
            license: change.license_changed().then(|| Pair {
                from: from.license.clone(),
                to: to.license.clone(),
            }),
        }
    });
    let added = packages.added.iter().map(|package| alone('+', package));
    let removed = packages.removed.iter().map(|package| alone('-', package));
    let mut rows: Vec<_> = added.chain(removed).chain(changed).collect();
    // What is only rebuilt says least; the order by name is kept among equals.
    rows.sort_by_key(|row| (row.importance, row.change == Some(Change::Rebuilt)));
    rows
}

/// Fixes by source package, that with the most first.
pub(super) fn fixes(fixes: &[Fix]) -> Vec<FixRow> {
    let mut origins: BTreeMap<&str, Vec<&Fix>> = BTreeMap::new();
    for fix in fixes {
        origins.entry(&fix.origin).or_default().push(fix);
    }
    let row = |(origin, fixes): (&str, Vec<&Fix>)| {
        let versions = fixes.iter().map(|fix| fix.version.as_str());
        let parsed = versions.filter_map(|text| crate::apk::version::Version::parse(text).ok());
        FixRow {
            origin: origin.to_owned(),
            version: parsed
                .max()
                .map(|version| version.as_str().to_owned())
                .unwrap_or_default(),
            ids: fixes.iter().map(|fix| fix.id.clone()).collect(),
        }
    };
    let mut rows: Vec<_> = origins.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.ids.len()));
    rows
}

/// The files that packages do not account for, or all of them where that is not known; `all` tells all.
pub(super) fn files(files: &FilesDifference, all: bool) -> Vec<FileRow> {
    let outside = files.outside_packages.as_ref().filter(|_| !all);
    let outside: Option<BTreeSet<&String>> = outside.map(|paths| paths.iter().collect());
    let is_told = |path: &String| outside.as_ref().is_none_or(|paths| paths.contains(path));
    let alone = |sign| {
        move |entry: &Entry| FileRow {
            sign,
            path: entry.path.clone(),
            told: described(entry),
        }
    };
    let changed = |change: &FileChange| FileRow {
        sign: '~',
        path: change.path.clone(),
        told: change
            .what
            .iter()
            .map(|aspect| aspect_told(*aspect, change))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let partition = |part: &PartitionChange| FileRow {
        sign: '~',
        path: part.name.clone(),
        told: match (&part.from, &part.to) {
            (None, _) => "partition added",
            (_, None) => "partition removed",
            _ => "partition content",
        }
        .to_owned(),
    };
    let told = |entries: &[Entry], sign| -> Vec<FileRow> {
        let told = entries.iter().filter(|entry| is_told(&entry.path));
        told.map(alone(sign)).collect()
    };
    let mut rows: Vec<_> = files.partitions.iter().map(partition).collect();
    rows.extend(told(&files.added, '+'));
    rows.extend(told(&files.removed, '-'));
    let told = files.changed.iter().filter(|change| is_told(&change.path));
    rows.extend(told.map(changed));
    rows
}

/// What must not be overlooked: `DOWNGRADE: a 2 → 1`.
pub(super) fn warnings(difference: &Difference) -> Vec<String> {
    let mut warnings = Vec::new();
    let downgrades: Vec<_> = difference
        .downgrades()
        .map(|package| {
            let (from, to) = (&package.from.version, &package.to.version);
            format!("{} {from} → {to}", package.name)
        })
        .collect();
    if !downgrades.is_empty() {
        warnings.push(format!("DOWNGRADE: {}", some(&downgrades, 3)));
    }
    let reopened = difference.security.iter().flat_map(|told| &told.reopened);
    let reopened: Vec<_> = reopened
        .map(|fix| format!("{} ({})", fix.id, fix.origin))
        .collect();
    if !reopened.is_empty() {
        warnings.push(format!("OPEN AGAIN: {}", some(&reopened, 3)));
    }
    warnings
}

/// The first of several: `a, b and 3 more`.
pub(super) fn some(texts: &[String], most: usize) -> String {
    // Cutting a single one off would only put another word in its place.
    match texts.len() > most + 1 {
        true => format!(
            "{} and {} more",
            texts[..most].join(", "),
            texts.len() - most
        ),
        false => texts.join(", "),
    }
}

fn described(entry: &Entry) -> String {
    match (&entry.target, entry.size) {
        (Some(target), _) => format!("→ {target}"),
        (None, Some(size)) => bytes(size),
        (None, None) => kind(entry.kind).to_owned(),
    }
}

fn aspect_told(aspect: Aspect, change: &FileChange) -> String {
    let (from, to) = (&change.from, &change.to);
    match aspect {
        Aspect::Kind => format!("{} → {}", kind(from.kind), kind(to.kind)),
        Aspect::Content if change.size_delta == 0 => "content".to_owned(),
        Aspect::Content => format!("content {}", signed(change.size_delta)),
        Aspect::Mode => format!("mode {:o} → {:o}", from.mode, to.mode),
        Aspect::Owner => format!("owner {}:{} → {}:{}", from.uid, from.gid, to.uid, to.gid),
        Aspect::Target => {
            let target =
                |entry: &Entry| or_nothing(entry.target.as_deref().unwrap_or_default()).to_owned();
            format!("target {} → {}", target(from), target(to))
        }
    }
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Dir => "folder",
        EntryKind::File => "file",
        EntryKind::Symlink => "link",
        EntryKind::CharDevice => "character device",
        EntryKind::BlockDevice => "block device",
        EntryKind::Fifo => "named pipe",
        EntryKind::Socket => "socket",
    }
}

/// `10.0 MiB`, or `10.0 MiB → 10.1 MiB (+4.0 KiB)`.
pub(super) fn size(pair: &Pair<u64>) -> String {
    let Pair { from, to } = *pair;
    if from == to {
        return bytes(from);
    }
    let delta = signed(sizes::delta(from, to));
    format!("{} → {} ({delta})", bytes(from), bytes(to))
}

/// Bytes with their sign.
pub(super) fn signed(count: i64) -> String {
    let sign = if count < 0 { '-' } else { '+' };
    format!("{sign}{}", bytes(count.unsigned_abs()))
}

pub(super) fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}

/// `1 vulnerability`, `3 vulnerabilities`.
pub(super) fn vulnerabilities(count: usize) -> String {
    match count {
        1 => "1 vulnerability".to_owned(),
        count => format!("{count} vulnerabilities"),
    }
}

/// `2 added, 1 removed`, without what there is none of.
pub(super) fn counts(counts: &[(usize, &str)]) -> String {
    let some = counts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<_> = some
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    match told.is_empty() {
        true => "the same".to_owned(),
        false => told.join(", "),
    }
}

/// What came, went or changed among packages, in one line.
pub(super) fn package_counts(packages: &super::PackagesDifference) -> String {
    let licenses = packages
        .changed
        .iter()
        .filter(|package| package.license_changed());
    counts(&[
        (packages.count(Change::Up), "upgraded"),
        (packages.count(Change::Down), "DOWNGRADED"),
        (packages.added.len(), "added"),
        (packages.removed.len(), "removed"),
        (packages.count(Change::Rebuilt), "rebuilt"),
        (packages.count(Change::Other), "otherwise changed"),
        (licenses.count(), "under another licence"),
    ])
}

/// What came, went or changed among files, in one line.
pub(super) fn file_counts(files: &FilesDifference) -> String {
    let all = counts(&[
        (files.added.len(), "added"),
        (files.removed.len(), "removed"),
        (files.changed.len(), "changed"),
        (files.partitions.len(), "other partitions changed"),
    ]);
    match &files.outside_packages {
        Some(outside) if !files.is_empty() => {
            format!("{all}; {} of them not by a package", outside.len())
        }
        _ => all,
    }
}

/// What is known about vulnerabilities, in one line.
pub(super) fn security(difference: &Difference) -> String {
    let Some(security) = &difference.security else {
        return "not looked up; --secdb names Alpine's database".to_owned();
    };
    match (security.fixed.len(), security.reopened.len()) {
        (0, 0) => "no vulnerability fixed".to_owned(),
        (fixed, 0) => format!("{} fixed", vulnerabilities(fixed)),
        (0, again) => format!("{} OPEN AGAIN", vulnerabilities(again)),
        (fixed, again) => format!("{} fixed, {again} OPEN AGAIN", vulnerabilities(fixed)),
    }
}
