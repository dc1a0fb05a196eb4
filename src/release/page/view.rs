//! What the template sees: the catalog in the order, and in the words, that people read it in.

use std::collections::BTreeSet;

use serde::Serialize;
use time::OffsetDateTime;

use super::changes::{ChangesView, changes};
use super::data::{MoveKind, PageChannel, PageData, PageKey, PageMove, PageRelease, PageStay};
use super::words::{When, is_safe, said, short_principal, when};
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
pub struct Link {
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

#[derive(Debug, Serialize)]
struct FileView {
    label: &'static str,
    href: String,
}

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
        left.0
            .cmp(&right.0)
            .then(versions)
            .then(left.1.cmp(&right.1))
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
            condition: of.condition.as_str(),
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
        reason: said(step.reason.as_deref()),
    }
}

/// Names a release.
pub fn link(release: &ReleaseId, data: &PageData) -> Link {
    Link {
        release: release.clone(),
        here: data.releases.contains_key(release),
    }
}

fn view(release: &ReleaseId, of: &PageRelease, data: &PageData) -> ReleaseView {
    let firmware: Vec<_> = of
        .firmware
        .iter()
        .map(|one| one.as_str().to_uppercase())
        .collect();
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
        condition: of.condition.as_str(),
        condition_reason: said(of.condition.reason()),
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
        reason: said(stay.reason.as_deref()),
    });
    all.collect()
}

/// A release's stays, with their channels, in the order in which channels are shown.
pub fn of_release<'a>(
    release: &'a ReleaseId,
    data: &'a PageData,
) -> impl Iterator<Item = (&'a str, &'a PageStay)> {
    let channels = data.channels.iter().rev();
    let stays =
        channels.flat_map(|channel| channel.stays.iter().map(|stay| (&*channel.name, stay)));
    stays.filter(move |(_, stay)| stay.release == *release)
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
