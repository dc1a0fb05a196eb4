//! The data in the page that its script works with: ids, packages, words to search for.

use std::collections::BTreeMap;

use serde::Serialize;

use super::data::{PageData, PagePackage, PageRelease};
use crate::aws::{AmiId, Region};
use crate::list::format::words;
use crate::publish::release::ReleaseId;

#[derive(Serialize)]
struct Embedded<'a> {
    account: String,
    catalog: &'a str,
    /// Every package once: most are in every release.
    packages: Vec<&'a PagePackage>,
    releases: BTreeMap<&'a ReleaseId, Release<'a>>,
}

#[derive(Serialize)]
struct Release<'a> {
    profile: &'a str,
    version: &'a str,
    arch: String,
    name: &'a str,
    /// Its name in a CloudFormation mapping, the same as `list --format cloudformation` writes.
    mapping: String,
    /// The channel that is most proven of those that it is in.
    channel: Option<&'a str>,
    /// `good`, `deprecated` or `withdrawn`.
    condition: &'static str,
    signed: bool,
    regions: BTreeMap<&'a Region, &'a AmiId>,
    /// Positions in `packages`.
    packages: Vec<usize>,
    /// What it is found by besides its name and what its row shows.
    words: String,
}

/// The data as JSON that nothing in it can end, wherever it stands in a page: characters that mean
/// something to HTML are written as JSON's escapes.
/// <https://html.spec.whatwg.org/multipage/scripting.html#restrictions-for-contents-of-script-elements>
pub fn json(data: &PageData) -> String {
    let mut positions: BTreeMap<&PagePackage, usize> = BTreeMap::new();
    for package in data.releases.values().flat_map(|of| &of.packages) {
        positions.insert(package, 0);
    }
    for (position, (_, place)) in positions.iter_mut().enumerate() {
        *place = position;
    }
    let releases = data.releases.iter();
    let embedded = Embedded {
        account: data.account.to_string(),
        catalog: &data.catalog,
        releases: releases
            .map(|(id, of)| (id, release(id, of, data, &positions)))
            .collect(),
        packages: positions.into_keys().collect(),
    };
    let text = serde_json::to_string(&embedded).expect("texts and numbers are JSON");
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            // Ends of lines to older scripts.
            '\u{2028}' => safe.push_str("\\u2028"),
            '\u{2029}' => safe.push_str("\\u2029"),
            char => safe.push(char),
        }
    }
    safe
}

fn release<'a>(
    id: &'a ReleaseId,
    of: &'a PageRelease,
    data: &'a PageData,
    positions: &BTreeMap<&PagePackage, usize>,
) -> Release<'a> {
    let line = &id.line;
    let channels = || data.channels.iter().rev();
    let mut holds = channels().filter(|one| one.stays.iter().any(|stay| stay.release == *id));
    let regions = of.regions.iter();
    Release {
        profile: &line.profile,
        version: &line.version,
        arch: line.arch.to_string(),
        name: &of.name,
        mapping: words(&format!("{}-{}", line.profile, line.arch)),
        channel: holds.next().map(|channel| channel.name.as_str()),
        condition: of.condition.as_str(),
        signed: of.signed,
        regions: regions
            .map(|(region, place)| (region, &place.ami))
            .collect(),
        packages: of
            .packages
            .iter()
            .map(|package| positions[package])
            .collect(),
        words: found_by(id, of, data),
    }
}

fn found_by(id: &ReleaseId, of: &PageRelease, data: &PageData) -> String {
    let stays = data.channels.iter().flat_map(|channel| &channel.stays);
    let changes = stays.filter(|stay| stay.release == *id);
    let fixed = changes
        .filter_map(|stay| stay.changes.as_ref())
        .flat_map(|one| &one.fixed);
    let mut words: Vec<&str> = Vec::new();
    words.extend(of.sha256.as_deref());
    words.extend(of.kernel.as_deref());
    for place in of.regions.values() {
        words.push(place.ami.as_str());
        words.extend(place.snapshot.as_ref().map(|snapshot| snapshot.as_str()));
    }
    words.extend(fixed.map(|fix| fix.id.as_str()));
    words.join(" ")
}
