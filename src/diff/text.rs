//! A difference for people: a summary first, then what fits on a screen.

use super::files::Aspect;
use super::packages::Change;
use super::{Difference, FilesDifference, Package, PackagesDifference, Pair};
use crate::image::contents::{Entry, EntryKind};
use crate::ui::text::{bytes, table};

/// Lines of packages that are shown without `--all`.
const PACKAGES: usize = 15;
/// Lines of files.
const FILES: usize = 12;
/// Packages that grew or shrank.
const GROWTH: usize = 5;
/// Longer values are told by where they begin to differ.
const LONGEST_VALUE: usize = 60;

/// Shows a difference; with `all`, every package and file.
pub fn render(difference: &Difference, all: bool) -> String {
    let mut text = format!("{} → {}\n\n", difference.from, difference.to);
    text.push_str(&table(&summary(difference)));
    let limit = |most| if all { usize::MAX } else { most };
    if !difference.values.is_empty() {
        let row = |value: &super::ValueChange| {
            let Pair { from, to } = &value.change;
            let (from, to) = if all {
                (from.clone(), to.clone())
            } else {
                shortened(from, to)
            };
            vec![
                format!("  {}", value.name),
                format!("{} → {}", or_nothing(&from), or_nothing(&to)),
            ]
        };
        let rows: Vec<_> = difference.values.iter().map(row).collect();
        section(&mut text, "values", rows, usize::MAX);
    }
    if let Some(packages) = &difference.packages {
        section(
            &mut text,
            "packages",
            package_rows(packages),
            limit(PACKAGES),
        );
    }
    if let Some(files) = &difference.files {
        section(&mut text, "files", file_rows(files), limit(FILES));
    }
    let growth = difference.sizes.growth.iter();
    let row = |growth: &super::sizes::Growth| {
        vec![
            format!("  {}", signed(growth.bytes)),
            growth.package.clone(),
        ]
    };
    section(
        &mut text,
        "growth by package",
        growth.map(row).collect(),
        limit(GROWTH),
    );
    if !difference.notes.is_empty() {
        text.push('\n');
    }
    for note in &difference.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    // Versions and licences are what an image says, which may be anyone's; a terminal obeys control
    // characters.
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

fn section(text: &mut String, title: &str, rows: Vec<Vec<String>>, most: usize) {
    if rows.is_empty() {
        return;
    }
    // Cutting a single line off would only put another in its place.
    let shown = if rows.len() <= most.saturating_add(1) {
        rows.len()
    } else {
        most
    };
    text.push_str(&format!("\n{title}\n"));
    text.push_str(&table(&rows[..shown]));
    if shown < rows.len() {
        text.push_str(&format!(
            "  … and {} more; --all shows them\n",
            rows.len() - shown
        ));
    }
}

fn summary(difference: &Difference) -> Vec<Vec<String>> {
    let row = |name: &str, told: String| vec![name.to_owned(), told];
    let not_compared = || "not compared".to_owned();
    let mut rows = Vec::new();
    if difference.is_empty() {
        let told = if difference.is_partial() {
            "nothing in what could be compared"
        } else {
            "nothing"
        };
        rows.push(row("differs", told.to_owned()));
    }
    let values: Vec<_> = difference
        .values
        .iter()
        .map(|value| value.name.as_str())
        .collect();
    rows.push(row(
        "values",
        if values.is_empty() {
            "the same".to_owned()
        } else {
            values.join(", ")
        },
    ));
    rows.push(row(
        "packages",
        difference
            .packages
            .as_ref()
            .map_or_else(not_compared, packages),
    ));
    rows.push(row(
        "files",
        difference.files.as_ref().map_or_else(not_compared, files),
    ));
    let sizes = &difference.sizes;
    for (name, pair) in [
        ("image", &sizes.image),
        ("root used", &sizes.used),
        ("packages' size", &sizes.packages),
    ] {
        if let Some(pair) = pair {
            rows.push(row(name, size(pair)));
        }
    }
    match difference.bytes_differ {
        Some(true) => rows.push(row("image bytes", "differ".to_owned())),
        Some(false) => rows.push(row("image bytes", "the same".to_owned())),
        None => {}
    }
    rows
}

/// `2 added, 1 removed`, without what there is none of.
fn counts(counts: &[(usize, &str)]) -> String {
    let some = counts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<_> = some
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if told.is_empty() {
        "the same".to_owned()
    } else {
        told.join(", ")
    }
}

fn packages(packages: &PackagesDifference) -> String {
    let licenses = packages
        .changed
        .iter()
        .filter(|package| package.license_changed());
    counts(&[
        (packages.added.len(), "added"),
        (packages.removed.len(), "removed"),
        (packages.count(Change::Up), "upgraded"),
        (packages.count(Change::Down), "downgraded"),
        (packages.count(Change::Rebuilt), "rebuilt"),
        (packages.count(Change::Other), "otherwise changed"),
        (licenses.count(), "under another licence"),
    ])
}

fn files(files: &FilesDifference) -> String {
    counts(&[
        (files.added.len(), "added"),
        (files.removed.len(), "removed"),
        (files.changed.len(), "changed"),
        (files.partitions.len(), "other partitions changed"),
    ])
}

fn package_rows(packages: &PackagesDifference) -> Vec<Vec<String>> {
    let alone = |sign: &'static str| {
        move |package: &Package| {
            let Package {
                name,
                version,
                installed_size,
                ..
            } = package;
            vec![
                format!("  {sign} {name}"),
                version.clone(),
                bytes(*installed_size),
            ]
        }
    };
    let changed = packages.changed.iter().map(|package| {
        let (from, to) = (&package.from, &package.to);
        let (sign, told) = match package.change {
            Change::Up => ("↑", format!("{} → {}", from.version, to.version)),
            Change::Down => ("↓", format!("{} → {}", from.version, to.version)),
            Change::Rebuilt => ("~", format!("{} rebuilt", to.version)),
            Change::Other if from.version == to.version => ("~", to.version.clone()),
            Change::Other => ("~", format!("{} → {}", from.version, to.version)),
        };
        let delta = super::sizes::delta(from.installed_size, to.installed_size);
        let mut row = vec![format!("  {sign} {}", package.name), told];
        row.push(if delta == 0 {
            String::new()
        } else {
            signed(delta)
        });
        if package.license_changed() {
            row.push(format!(
                "licence {} → {}",
                or_nothing(&from.license),
                or_nothing(&to.license)
            ));
        }
        row
    });
    let added = packages.added.iter().map(alone("+"));
    let removed = packages.removed.iter().map(alone("-"));
    added.chain(removed).chain(changed).collect()
}

fn file_rows(files: &FilesDifference) -> Vec<Vec<String>> {
    let alone = |sign: &'static str| {
        move |entry: &Entry| vec![format!("  {sign} {}", entry.path), described(entry)]
    };
    let partition = |part: &super::files::PartitionChange| {
        let told = match (&part.from, &part.to) {
            (None, _) => "partition added",
            (_, None) => "partition removed",
            _ => "partition content",
        };
        vec![format!("  ~ {}", part.name), told.to_owned()]
    };
    let changed = files.changed.iter().map(|change| {
        let told: Vec<_> = change
            .what
            .iter()
            .map(|aspect| aspect_told(*aspect, change))
            .collect();
        vec![format!("  ~ {}", change.path), told.join(", ")]
    });
    let partitions = files.partitions.iter().map(partition);
    let added = files.added.iter().map(alone("+"));
    let removed = files.removed.iter().map(alone("-"));
    partitions
        .chain(added)
        .chain(removed)
        .chain(changed)
        .collect()
}

fn described(entry: &Entry) -> String {
    match (&entry.target, entry.size) {
        (Some(target), _) => format!("→ {target}"),
        (None, Some(size)) => bytes(size),
        (None, None) => kind(entry.kind).to_owned(),
    }
}

fn aspect_told(aspect: Aspect, change: &super::files::FileChange) -> String {
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

fn size(pair: &Pair<u64>) -> String {
    let Pair { from, to } = *pair;
    if from == to {
        return bytes(from);
    }
    let delta = signed(super::sizes::delta(from, to));
    format!("{} → {} ({delta})", bytes(from), bytes(to))
}

fn signed(count: i64) -> String {
    let sign = if count < 0 { '-' } else { '+' };
    format!("{sign}{}", bytes(count.unsigned_abs()))
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}

/// Long values from where they differ on: command lines, lists.
fn shortened(from: &str, to: &str) -> (String, String) {
    if from.chars().count().max(to.chars().count()) <= LONGEST_VALUE {
        return (from.to_owned(), to.to_owned());
    }
    let same = from
        .chars()
        .zip(to.chars())
        .take_while(|(a, b)| a == b)
        .count();
    // A few words before say where that is.
    let skip = same.saturating_sub(LONGEST_VALUE / 3);
    let cut = |text: &str| {
        let rest: Vec<char> = text.chars().skip(skip).collect();
        let shown: String = rest.iter().take(LONGEST_VALUE).collect();
        let before = if skip > 0 { "…" } else { "" };
        let after = if rest.len() > LONGEST_VALUE {
            "…"
        } else {
            ""
        };
        format!("{before}{shown}{after}")
    };
    (cut(from), cut(to))
}
