//! What the template sees: the catalog in the order, and in the words, that people read it in.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::data::{
    Condition, MoveKind, PageChannel, PageChanges, PageData, PageKey, PageMove, PageRelease,
    PageStay,
};
use crate::list::rows::by_version;
use crate::publish::release::ReleaseId;
use crate::ui::text::bytes;

/// The whole page.
#[derive(Debug, Serialize)]
pub struct View {
    publisher: String,
    account: String,
    generated: When,
    catalog: String,
    key: Option<PageKey>,
    /// Whether the publisher signs: a release without a signature is then an exception to mark.
    signs: bool,
    /// The last one in the order of promotion first.
    channels: Vec<ChannelView>,
    /// Releases that no channel points to, the newest first.
    others: Vec<Row>,
    /// All releases, the newest first.
    releases: Vec<ReleaseView>,
    profiles: BTreeSet<String>,
    architectures: BTreeSet<String>,
    regions: BTreeSet<String>,
}

/// A time, for machines and for people.
#[derive(Debug, Serialize)]
pub struct When {
    iso: String,
    day: String,
    full: String,
}

#[derive(Debug, Serialize)]
struct ChannelView {
    name: String,
    description: Option<String>,
    rows: Vec<Row>,
    history: Vec<MoveView>,
}

/// A release in a list.
#[derive(Debug, Serialize)]
struct Row {
    release: ReleaseId,
    profile: String,
    version: String,
    arch: String,
    since: When,
    by: Option<String>,
    /// What it is; nothing where the catalog has no more than the id.
    is: Option<Summary>,
}

#[derive(Debug, Serialize)]
struct Summary {
    alpine: String,
    kernel: Option<String>,
    regions: usize,
    signed: bool,
    condition: &'static str,
}

#[derive(Debug, Serialize)]
struct MoveView {
    at: When,
    kind: &'static str,
    what: &'static str,
    release: Link,
    before: Option<Link>,
    by: String,
    reason: Option<String>,
}

/// A release that is named; `here` if the page tells more of it.
#[derive(Debug, Serialize)]
struct Link {
    release: ReleaseId,
    here: bool,
}

#[derive(Debug, Serialize)]
struct ReleaseView {
    release: ReleaseId,
    profile: String,
    version: String,
    arch: String,
    name: String,
    alpine: String,
    kernel: Option<String>,
    firmware: String,
    published: When,
    size: Option<String>,
    used: Option<String>,
    sha256: Option<String>,
    signed: bool,
    condition: &'static str,
    condition_reason: Option<String>,
    regions: Vec<PlaceView>,
    stays: Vec<StayView>,
    changes: Vec<ChangesView>,
    packages: usize,
    files: Vec<FileView>,
}

#[derive(Debug, Serialize)]
struct PlaceView {
    region: String,
    ami: String,
    snapshot: Option<String>,
    key: Option<String>,
    key_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct StayView {
    channel: String,
    since: When,
    by: String,
    reason: Option<String>,
}

/// Changes, with all channels that they are the same for.
#[derive(Debug, Serialize)]
struct ChangesView {
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

#[derive(Debug, Serialize)]
struct FileView {
    label: &'static str,
    href: String,
}

/// More changed packages than this are shown on demand.
const SHORT: usize = 40;

impl View {
    /// Orders and words a catalog.
    pub fn new(data: &PageData) -> View {
        let mut releases: Vec<_> = data.releases.iter().collect();
        releases.sort_by(|(a, left), (b, right)| (right.published, b).cmp(&(left.published, a)));
        let stays = || data.channels.iter().flat_map(|channel| &channel.stays);
        let in_channels: BTreeSet<_> = stays().map(|stay| &stay.release).collect();
        let is_gone = |id: &ReleaseId| !in_channels.contains(id);
        let others = releases.iter().filter(|(id, _)| is_gone(id));
        let others = others.map(|(id, of)| row(id, Some(of), of.published, None));
        let lines = data.releases.keys().chain(in_channels.iter().copied());
        let lines: Vec<_> = lines.map(|release| &release.line).collect();
        let places = data.releases.values().flat_map(|of| of.regions.keys());
        View {
            publisher: data.publisher.clone(),
            account: data.account.to_string(),
            generated: when(data.generated),
            catalog: data.catalog.clone(),
            key: data.key.clone(),
            signs: data.key.is_some(),
            channels: data
                .channels
                .iter()
                .rev()
                .map(|one| channel(one, data))
                .collect(),
            others: others.collect(),
            releases: releases.iter().map(|(id, of)| view(id, of, data)).collect(),
            profiles: lines.iter().map(|line| line.profile.clone()).collect(),
            architectures: lines.iter().map(|line| line.arch.to_string()).collect(),
            regions: places.map(ToString::to_string).collect(),
        }
    }
}

fn channel(channel: &PageChannel, data: &PageData) -> ChannelView {
    let mut stays: Vec<_> = channel.stays.iter().collect();
    // Of a profile's versions, the newest first, as people look for it.
    stays.sort_by(|a, b| {
        let line = |stay: &PageStay| (stay.release.line.profile.clone(), stay.release.line.arch);
        let versions = by_version(&b.release.line.version, &a.release.line.version);
        let (left, right) = (line(a), line(b));
        left.0.cmp(&right.0).then(versions).then(left.1.cmp(&right.1))
    });
    let mut history: Vec<_> = channel.history.iter().collect();
    history.sort_by_key(|step| std::cmp::Reverse(step.at));
    let row = |stay: &&PageStay| {
        let release = data.releases.get(&stay.release);
        row(&stay.release, release, stay.since, Some(&stay.by))
    };
    ChannelView {
        name: channel.name.clone(),
        description: channel.description.clone(),
        rows: stays.iter().map(row).collect(),
        history: history.iter().map(|step| happened(step, data)).collect(),
    }
}

fn row(
    release: &ReleaseId,
    of: Option<&PageRelease>,
    since: OffsetDateTime,
    by: Option<&str>,
) -> Row {
    Row {
        release: release.clone(),
        profile: release.line.profile.clone(),
        version: release.line.version.clone(),
        arch: release.line.arch.to_string(),
        since: when(since),
        by: by.map(short_principal),
        is: of.map(|of| Summary {
            alpine: of.alpine.clone(),
            kernel: of.kernel.clone(),
            regions: of.regions.len(),
            signed: of.signed,
            condition: condition(&of.condition).0,
        }),
    }
}

fn happened(step: &PageMove, data: &PageData) -> MoveView {
    let (kind, what) = match step.kind {
        MoveKind::Promoted => ("promoted", "Promoted"),
        MoveKind::RolledBack => ("rolled-back", "Rolled back"),
        MoveKind::Withdrawn => ("withdrawn", "Withdrawn"),
    };
    MoveView {
        at: when(step.at),
        kind,
        what,
        release: link(&step.release, data),
        before: step.before.as_ref().map(|before| link(before, data)),
        by: short_principal(&step.by),
        reason: said(step.reason.as_ref()),
    }
}

fn link(release: &ReleaseId, data: &PageData) -> Link {
    Link {
        release: release.clone(),
        here: data.releases.contains_key(release),
    }
}

fn view(release: &ReleaseId, of: &PageRelease, data: &PageData) -> ReleaseView {
    let (condition, reason) = condition(&of.condition);
    let firmware: Vec<_> = of.firmware.iter().map(|one| one.as_str().to_uppercase()).collect();
    let regions = of.regions.iter().map(|(region, place)| PlaceView {
        region: region.to_string(),
        ami: place.ami.to_string(),
        snapshot: place.snapshot.as_ref().map(ToString::to_string),
        key: place.key.as_ref().map(ToString::to_string),
        key_id: place.key.as_ref().map(|key| key.key_id().to_owned()),
    });
    ReleaseView {
        release: release.clone(),
        profile: release.line.profile.clone(),
        version: release.line.version.clone(),
        arch: release.line.arch.to_string(),
        name: of.name.clone(),
        alpine: of.alpine.clone(),
        kernel: of.kernel.clone(),
        firmware: firmware.join(", "),
        published: when(of.published),
        size: of.image_bytes.map(bytes),
        used: of.used_bytes.map(bytes),
        sha256: of.sha256.clone(),
        signed: of.signed,
        condition,
        condition_reason: said(reason),
        regions: regions.collect(),
        stays: stays(release, data),
        changes: changes(release, data),
        packages: of.packages.len(),
        files: files(of),
    }
}

fn stays(release: &ReleaseId, data: &PageData) -> Vec<StayView> {
    let all = of_release(release, data).map(|(channel, stay)| StayView {
        channel: channel.to_owned(),
        since: when(stay.since),
        by: stay.by.clone(),
        reason: said(stay.reason.as_ref()),
    });
    all.collect()
}

/// A release's stays, with their channels, in the order in which channels are shown.
fn of_release<'a>(
    release: &'a ReleaseId,
    data: &'a PageData,
) -> impl Iterator<Item = (&'a str, &'a PageStay)> {
    let channels = data.channels.iter().rev();
    let stays = channels.flat_map(|channel| channel.stays.iter().map(|stay| (&*channel.name, stay)));
    stays.filter(move |(_, stay)| stay.release == *release)
}

fn changes(release: &ReleaseId, data: &PageData) -> Vec<ChangesView> {
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
        (changes.fixed.len(), "vulnerabilities fixed", "vulnerability fixed"),
        (changes.upgraded.len(), "packages upgraded", "package upgraded"),
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

fn files(of: &PageRelease) -> Vec<FileView> {
    let files = [
        ("Release manifest", &of.manifest),
        ("Provenance statement", &of.provenance),
        ("Bill of materials", &of.sbom),
    ];
    let there = files.into_iter().filter_map(|(label, href)| {
        let href = href.clone().filter(|href| is_safe(href))?;
        Some(FileView { label, href })
    });
    there.collect()
}

/// Whether a link leads to a file beside the page or to a web server, and nowhere else: a browser
/// would run what stands behind `javascript:`.
fn is_safe(href: &str) -> bool {
    let word = href.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain = !href.chars().any(|char| char.is_control() || char == '\\');
    is_plain && !href.starts_with("//") && (href.starts_with("https://") || !word.contains(':'))
}

fn condition(condition: &Condition) -> (&'static str, Option<&String>) {
    match condition {
        Condition::Good => ("good", None),
        Condition::Deprecated { reason } => ("deprecated", reason.as_ref()),
        Condition::Withdrawn { reason } => ("withdrawn", reason.as_ref()),
    }
}

/// An empty reason is none.
fn said(reason: Option<&String>) -> Option<String> {
    reason.filter(|text| !text.trim().is_empty()).cloned()
}

/// `arn:aws:sts::111122223333:assumed-role/publisher/nightly` is `publisher/nightly`.
fn short_principal(principal: &str) -> String {
    let name = match principal.starts_with("arn:") {
        true => principal.splitn(6, ':').nth(5).unwrap_or(principal),
        false => principal,
    };
    let kinds = ["assumed-role/", "federated-user/", "user/", "role/"];
    let name = kinds.iter().find_map(|kind| name.strip_prefix(kind)).unwrap_or(name);
    name.to_owned()
}

fn when(at: OffsetDateTime) -> When {
    let at = at.to_offset(UtcOffset::UTC);
    let at = at.replace_nanosecond(0).expect("zero is a nanosecond");
    let day = at.format(format_description!("[day padding:none] [month repr:short] [year]"));
    let full = at.format(format_description!(
        "[day padding:none] [month repr:long] [year], [hour]:[minute] UTC"
    ));
    // A time that has no such form, before the year 0, is still told.
    let plain = || at.to_string();
    When {
        iso: at.format(&Rfc3339).unwrap_or_else(|_| plain()),
        day: day.unwrap_or_else(|_| plain()),
        full: full.unwrap_or_else(|_| plain()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_files_or_web_servers_only() {
        for good in ["../releases/a-1.json", "x/a:b", "https://x.test/a"] {
            assert!(is_safe(good), "{good}");
        }
        let bad = [
            "javascript:alert(1)",
            "java\tscript:alert(1)",
            "data:text/html,x",
            "//other.test/x",
            "\\\\other.test\\x",
            "http://x.test/a",
            "JavaScript:x/y",
        ];
        for bad in bad {
            assert!(!is_safe(bad), "{bad}");
        }
    }

    #[test]
    fn principals_are_named_shortly() {
        let cases = [
            ("arn:aws:sts::111122223333:assumed-role/publisher/nightly", "publisher/nightly"),
            ("arn:aws:iam::111122223333:user/team/ann", "team/ann"),
            ("arn:aws:iam::111122223333:root", "root"),
            ("arn:aws", "arn:aws"),
            ("Ann", "Ann"),
            ("", ""),
        ];
        for (principal, short) in cases {
            assert_eq!(short_principal(principal), short);
        }
    }

    #[test]
    fn times_are_told_in_utc() {
        let at = time::macros::datetime!(2026-02-01 00:30:12.5 +1);
        let when = when(at);
        assert_eq!(
            (&*when.iso, &*when.day, &*when.full),
            ("2026-01-31T23:30:12Z", "31 Jan 2026", "31 January 2026, 23:30 UTC")
        );
    }
}
