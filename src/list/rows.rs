//! Rows: an AMI each, with what its name says.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;

use super::catalog::Catalog;
use crate::apk::version::Version;
use crate::arch::Arch;
use crate::aws::ec2::Image;
use crate::aws::{AccountId, AmiId, Region};
use crate::publish::description;
use crate::publish::release::{AmiName, ReleaseId};

/// An AMI that can be launched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Where it is.
    pub region: Region,
    /// The profile.
    pub profile: String,
    /// The version of what the image is made for.
    pub version: String,
    /// Alpine's version.
    pub alpine: String,
    /// The architecture.
    pub arch: Arch,
    /// The release.
    pub release: ReleaseId,
    /// The day that the release was begun: `2026-01-31`.
    pub date: String,
    /// The AMI's id.
    pub ami: AmiId,
    /// Its whole name.
    pub name: String,
    /// Whether all of it is encrypted.
    pub encrypted: bool,
    /// Whether the publisher advises against it.
    pub deprecated: bool,
    /// Whether it is the newest of its name, profile, version and architecture in its Region that is
    /// not deprecated.
    pub newest: bool,
    /// The channels that it is in now, where there is a catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<String>>,
    /// Whether the publisher's key vouches for this very AMI, where a key is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
    /// The publisher's name.
    #[serde(skip)]
    pub publisher: String,
    /// The id of the key that it is encrypted under, where its description tells.
    #[serde(skip)]
    pub key: Option<String>,
}

impl Row {
    /// The order of time among releases of all versions: by the version first.
    pub fn age(&self, other: &Row) -> Ordering {
        let when = |row: &Row| (row.release.date, row.release.number);
        by_version(&self.version, &other.version)
            .then_with(|| when(self).cmp(&when(other)))
            .then_with(|| self.ami.cmp(&other.ami))
    }

    fn of(region: &Region, image: &Image, now: OffsetDateTime) -> Option<Row> {
        let AmiName {
            publisher,
            release,
            alpine,
        } = AmiName::parse(&image.name)?;
        let is_encrypted = |encrypted: Option<bool>| encrypted == Some(true);
        let disks = &image.mappings;
        let key = image.description.as_deref().and_then(description::key_id);
        Some(Row {
            region: region.clone(),
            profile: release.line.profile.clone(),
            version: release.line.version.clone(),
            alpine,
            arch: release.line.arch,
            date: release.day()?.to_string(),
            release,
            ami: image.id.clone(),
            name: image.name.clone(),
            encrypted: !disks.is_empty() && disks.iter().all(|disk| is_encrypted(disk.encrypted)),
            deprecated: image.deprecation.is_some_and(|since| since <= now),
            newest: false,
            channels: None,
            signed: None,
            publisher,
            key: key.map(str::to_owned),
        })
    }
}

/// Whose AMIs become rows.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The account: what others own is none of its AMIs, whatever its name.
    pub owner: &'a AccountId,
    /// The only name that it publishes under, if that is known.
    pub name: Option<&'a str>,
}

/// The rows of AMIs, by Region, profile and architecture, the newest first. AMIs with names of
/// another form are none of this program's.
pub fn rows(
    images: &BTreeMap<Region, Vec<Image>>,
    source: Source<'_>,
    catalog: Option<&Catalog>,
    now: OffsetDateTime,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (region, images) in images {
        let own = images
            .iter()
            .filter(|image| image.owner.as_ref() == Some(source.owner));
        let named = own.filter_map(|image| Row::of(region, image, now));
        rows.extend(named.filter(|row| source.name.is_none_or(|name| name == row.publisher)));
    }
    for row in &mut rows {
        row.channels = catalog.map(|catalog| catalog.channels_of(&row.release));
        let signed = catalog.and_then(|catalog| catalog.signed.as_ref());
        row.signed = signed.map(|amis| amis.contains(&row.ami));
    }
    rows.sort_by(|a, b| {
        let place = |row: &Row| (row.region.clone(), row.profile.clone(), row.arch);
        let places = place(a).cmp(&place(b));
        let publishers = || a.publisher.cmp(&b.publisher);
        places.then_with(publishers).then_with(|| b.age(a))
    });
    mark_newest(&mut rows);
    rows
}

/// Of rows that are sorted, the first of each kind that is not deprecated.
fn mark_newest(rows: &mut [Row]) {
    let mut last = None;
    for row in rows.iter_mut().filter(|row| !row.deprecated) {
        let kind = (
            row.region.clone(),
            row.publisher.clone(),
            row.release.line.clone(),
        );
        row.newest = last.as_ref() != Some(&kind);
        last = Some(kind);
    }
}

/// The order of versions: Alpine's, in which `1.22_rc1` comes before `1.22`. What is none of its
/// versions comes before them; there, runs of digits are numbers.
pub fn by_version(a: &str, b: &str) -> Ordering {
    match (Version::parse(a), Version::parse(b)) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        (Ok(_), Err(_)) => Ordering::Greater,
        (Err(_), Ok(_)) => Ordering::Less,
        (Err(_), Err(_)) => by_runs(a, b),
    }
}

fn by_runs(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let order = match (run(&mut a), run(&mut b)) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(other)) => by_run(one, other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Takes a run of digits, or of other characters, from the front.
fn run<'a>(text: &mut &'a str) -> Option<&'a str> {
    let is_digit = |c: char| c.is_ascii_digit();
    let first = text.chars().next()?;
    let end = text.find(|c| is_digit(c) != is_digit(first));
    let (run, rest) = text.split_at(end.unwrap_or(text.len()));
    *text = rest;
    Some(run)
}

fn by_run(a: &str, b: &str) -> Ordering {
    let is_number = |run: &str| run.starts_with(|c: char| c.is_ascii_digit());
    if !is_number(a) || !is_number(b) {
        return a.cmp(b);
    }
    // They may have more digits than a number of the machine.
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OTHER, OWNER, account, image, listed};
    use super::*;
    use crate::aws::testing::region;

    #[test]
    fn versions_are_numbers() {
        for (less, more) in [
            ("1.9", "1.22"),
            ("1.22", "1.22.1"),
            ("1.22.8", "1.22.10"),
            ("3.15", "3.15.0"),
            ("1.22.8", "1.220"),
            ("18446744073709551615", "18446744073709551616"),
            ("1.22-a", "1.22-b"),
            ("1.22.0_rc1", "1.22.0"),
            ("1.22.0_alpha1", "1.22.0_rc1"),
        ] {
            assert_eq!(by_version(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(by_version(more, less), Ordering::Greater, "{less} {more}");
        }
        assert_eq!(by_version("a-02", "a-2"), Ordering::Equal);
    }

    #[test]
    fn only_the_owners_amis_with_names_of_ours_are_rows() {
        let name = "p/node/1.22.8/alpine-3.15.11/x86_64/20260131.1";
        let mut strange = image(4, name);
        strange.owner = Some(account(OTHER));
        let mut nobodys = image(5, name);
        nobodys.owner = None;
        let images = vec![image(1, name), image(2, "something else"), strange, nobodys];
        let images = BTreeMap::from([(region("eu-west-1"), images)]);
        let owner = account(OWNER);
        let source = Source {
            owner: &owner,
            name: None,
        };
        let now = OffsetDateTime::UNIX_EPOCH;
        let rows = rows(&images, source, None, now);
        let [row] = &rows[..] else {
            panic!("{rows:#?}");
        };
        assert_eq!(row.ami, image(1, name).id);
        assert_eq!((row.date.as_str(), row.newest), ("2026-01-31", true));
        assert_eq!(row.release.to_string(), "node-1.22.8-x86_64-20260131.1");
        let named = Source {
            name: Some("q"),
            ..source
        };
        assert!(super::rows(&images, named, None, now).is_empty());
    }

    #[test]
    fn the_newest_of_each_version_is_marked() {
        let rows = listed(&[
            "p/node/1.22.8/alpine-3.15.11/x86_64/20260131.9",
            "p/node/1.22.8/alpine-3.15.11/x86_64/20260131.10",
            "p/node/1.22.8/alpine-3.15.11/x86_64/20260201.1 deprecated",
            "p/node/1.9.1/alpine-3.15.11/x86_64/20260301.1",
            "p/node/1.22.8/alpine-3.15.11/aarch64/20260131.1",
            "q/node/1.22.8/alpine-3.15.11/x86_64/20260131.1",
        ]);
        let told: Vec<String> = rows
            .iter()
            .map(|row| {
                let mark = if row.newest { " newest" } else { "" };
                format!("{} {}{mark}", row.publisher, row.release)
            })
            .collect();
        assert_eq!(
            told,
            [
                "p node-1.22.8-x86_64-20260201.1",
                "p node-1.22.8-x86_64-20260131.10 newest",
                "p node-1.22.8-x86_64-20260131.9",
                "p node-1.9.1-x86_64-20260301.1 newest",
                "q node-1.22.8-x86_64-20260131.1 newest",
                "p node-1.22.8-aarch64-20260131.1 newest",
            ]
        );
    }
}
