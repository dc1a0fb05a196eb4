//! Keys of objects in the bucket, without its prefix.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::publish::manifest::Source;
use crate::publish::release::{Line, ReleaseId};

/// A prefix as it is put before keys: nothing, or one that ends with `/`.
pub fn prefix(configured: &str) -> String {
    match configured.trim_matches('/') {
        "" => String::new(),
        words => format!("{words}/"),
    }
}

pub fn manifest(release: &ReleaseId) -> String {
    attachment(release, "manifest.json")
}

pub fn attachment(release: &ReleaseId, name: &str) -> String {
    format!("releases/{release}/{name}")
}

pub fn source(line: &Line, source: &Source) -> String {
    let id = match source {
        Source::Image { sha256, .. } => sha256,
        Source::Snapshot { id } => id.as_str(),
        Source::Ami { id, .. } => id.as_str(),
    };
    format!("sources/{id}/{line}.json")
}

/// The releases that manifests are there of; what else lies there is not ours to judge.
pub fn releases<'a>(keys: impl Iterator<Item = &'a str>) -> BTreeSet<ReleaseId> {
    let id = |key: &'a str| {
        let path = key.strip_prefix("releases/")?;
        path.strip_suffix("/manifest.json")?.parse().ok()
    };
    keys.filter_map(id).collect()
}

/// Those of a line, newest first.
pub fn releases_of<'a>(line: &Line, keys: impl Iterator<Item = &'a str>) -> Vec<ReleaseId> {
    let mut found = releases(keys);
    found.retain(|release| release.line == *line);
    found.into_iter().rev().collect()
}

/// Those before a release, of its profile and architecture: first those of its version, then
/// others; of both the newest first.
pub fn earlier_than<'a>(
    release: &ReleaseId,
    keys: impl Iterator<Item = &'a str>,
) -> Vec<ReleaseId> {
    let when = |release: &ReleaseId| (release.date, release.number);
    let is_kin = |other: &ReleaseId| {
        let (line, other) = (&release.line, &other.line);
        (&line.profile, line.arch) == (&other.profile, other.arch)
    };
    let is_before = |other: &ReleaseId| match other.line == release.line {
        true => when(other) < when(release),
        // Numbers of different lines say nothing about each other.
        false => other.date <= release.date,
    };
    let found = releases(keys).into_iter();
    let mut found: Vec<_> = found.filter(|id| is_kin(id) && is_before(id)).collect();
    found.sort_by_key(|id| (id.line != release.line, Reverse(when(id))));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ReleaseId {
        text.parse().expect(text)
    }

    fn texts(found: Vec<ReleaseId>) -> Vec<String> {
        found.iter().map(ToString::to_string).collect()
    }

    const KEYS: [&str; 11] = [
        "releases/node-1.21-x86_64-20260301.1/manifest.json",
        "releases/node-1.22-aarch64-20260301.1/manifest.json",
        "releases/node-1.22-x86_64-20260131.2/manifest.json",
        "releases/node-1.22-x86_64-20260131.10/files.json",
        "releases/node-1.22-x86_64-20260131.10/manifest.json",
        "releases/node-1.22-x86_64-20260131.11/files.json",
        "releases/node-1.22-x86_64-20260201.1/manifest.json",
        "releases/node-1.22-x86_64-mine/manifest.json",
        "releases/node-1.22-x86_64-20260202.1/old/manifest.json",
        "releases/node-gpu-1.22-x86_64-20260203.1/manifest.json",
        "releases/README",
    ];

    #[test]
    fn releases_are_read_from_keys() {
        let line = id("node-1.22-x86_64-20260101.1").line;
        let found = texts(releases_of(&line, KEYS.into_iter()));
        let expected = [
            "node-1.22-x86_64-20260201.1",
            "node-1.22-x86_64-20260131.10",
            "node-1.22-x86_64-20260131.2",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_nearest_of_kin_comes_first() {
        for (release, expected) in [
            (
                "node-1.22-x86_64-20260301.1",
                &[
                    "node-1.22-x86_64-20260201.1",
                    "node-1.22-x86_64-20260131.10",
                    "node-1.22-x86_64-20260131.2",
                    "node-1.21-x86_64-20260301.1",
                ][..],
            ),
            (
                "node-1.22-x86_64-20260131.10",
                &["node-1.22-x86_64-20260131.2"],
            ),
            ("node-1.22-aarch64-20260301.1", &[]),
            (
                "node-gpu-1.23-x86_64-20260203.1",
                &["node-gpu-1.22-x86_64-20260203.1"],
            ),
        ] {
            let found = texts(earlier_than(&id(release), KEYS.into_iter()));
            assert_eq!(found, expected, "before {release}");
        }
    }

    #[test]
    fn prefixes_end_in_a_slash() {
        for (configured, expected) in [("", ""), ("/", ""), ("a", "a/"), ("/a/b/", "a/b/")] {
            assert_eq!(prefix(configured), expected);
        }
    }
}
