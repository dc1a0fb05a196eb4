//! What a release changed, for those who decide whether to take it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::data::{PageChanges, PageData, PageRelease};
use super::view::{Link, link, of_release};
use crate::publish::release::ReleaseId;
use crate::ui::text::bytes;

/// More changed packages than this are shown on demand.
const SHORT: usize = 40;

/// Changes, with all channels that they are the same for.
#[derive(Debug, Serialize)]
pub struct ChangesView {
    channels: String,
    since: Link,
    summary: String,
    /// Whether it is short enough to be shown at once.
    short: bool,
    packages: PageChanges,
    values: Vec<ValueView>,
}

/// A value that differs.
#[derive(Debug, Serialize)]
struct ValueView {
    name: &'static str,
    from: String,
    to: String,
}

/// A release's changes in each channel that it is in.
pub fn changes(release: &ReleaseId, data: &PageData) -> Vec<ChangesView> {
    let mut by_base: BTreeMap<&ReleaseId, (&PageChanges, Vec<&str>)> = BTreeMap::new();
    for (channel, stay) in of_release(release, data) {
        if let Some(changes) = &stay.changes {
            let entry = by_base.entry(&changes.since);
            entry.or_insert((changes, Vec::new())).1.push(channel);
        }
    }
    let all = by_base.into_values().rev();
    all.map(|(changes, channels)| ChangesView {
        channels: channels.join(", "),
        since: link(&changes.since, data),
        summary: summary(changes),
        short: count(changes) <= SHORT,
        values: values(release, &changes.since, data),
        packages: changes.clone(),
    })
    .collect()
}

fn count(changes: &PageChanges) -> usize {
    changes.added.len() + changes.removed.len() + changes.upgraded.len()
}

fn summary(changes: &PageChanges) -> String {
    let parts = [
        (
            changes.fixed.len(),
            "vulnerabilities fixed",
            "vulnerability fixed",
        ),
        (
            changes.upgraded.len(),
            "packages upgraded",
            "package upgraded",
        ),
        (changes.added.len(), "added", "added"),
        (changes.removed.len(), "removed", "removed"),
    ];
    let said = parts.iter().filter(|(number, ..)| *number > 0);
    let said: Vec<_> = said
        .map(|(number, many, one)| format!("{number} {}", if *number == 1 { one } else { many }))
        .collect();
    match said.is_empty() {
        true => "The same packages".to_owned(),
        false => said.join(", "),
    }
}

/// Alpine, kernel and size, where both releases tell them and they differ.
fn values(release: &ReleaseId, before: &ReleaseId, data: &PageData) -> Vec<ValueView> {
    let both = data.releases.get(before).zip(data.releases.get(release));
    let Some((before, now)) = both else {
        return Vec::new();
    };
    let told = |of: &PageRelease| {
        [
            ("Alpine", Some(of.alpine.clone())),
            ("Kernel", of.kernel.clone()),
            ("Root in use", of.used_bytes.map(bytes)),
        ]
    };
    let pairs = told(before).into_iter().zip(told(now));
    let differing = pairs.filter_map(|((name, from), (_, to))| {
        let (from, to) = from.zip(to)?;
        (from != to).then_some(ValueView { name, from, to })
    });
    differing.collect()
}
