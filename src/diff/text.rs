//! A difference for people, on one screen: what the two are, what must not be overlooked, then what
//! changed, the most important first.

pub(super) use super::view::{package_counts, signed, vulnerabilities};

use super::packages::Change;
use super::view::{self, FixRow, PackageRow};
use super::{Difference, Pair, ValueChange};
use crate::ui::text::table;

/// Lines that are shown without `--all`.
const LINES: usize = 40;
/// Characters of a line that are shown without `--all`.
const WIDTH: usize = 100;
/// Longer values are told by where they begin to differ.
const LONGEST_VALUE: usize = 60;
/// Ids of vulnerabilities on a line.
const IDS: usize = 3;

/// A part of the text that may be cut.
struct Section {
    title: &'static str,
    rows: Vec<Vec<String>>,
    /// How many more of its lines are shown for one of another's.
    weight: usize,
}

/// Shows a difference; with `all`, every package and file.
pub fn render(difference: &Difference, all: bool) -> String {
    let mut text = format!("{} → {}\n", difference.from, difference.to);
    for warning in view::warnings(difference) {
        text.push_str(&format!("! {warning}\n"));
    }
    text.push('\n');
    text.push_str(&table(&summary(difference)));
    let mut notes = String::new();
    for note in &difference.notes {
        notes.push_str(&format!("note: {note}\n"));
    }
    let sections = sections(difference, all);
    let taken = text.lines().count() + notes.lines().count() + usize::from(!notes.is_empty());
    let shown = match all {
        true => sections.iter().map(|section| section.rows.len()).collect(),
        false => fit(&sections, LINES.saturating_sub(taken)),
    };
    for (section, shown) in sections.iter().zip(shown) {
        text.push_str(&format!("\n{}\n", section.title));
        text.push_str(&table(&section.rows[..shown]));
        let left = section.rows.len() - shown;
        if left > 0 {
            text.push_str(&format!("  … and {left} more; --all shows them\n"));
        }
    }
    if !notes.is_empty() {
        text.push('\n');
        text.push_str(&notes);
    }
    // Versions and licences are what an image says, which may be anyone's; a terminal obeys control
    // characters.
    let text = text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}");
    match all {
        true => text,
        false => text.lines().map(clipped).collect(),
    }
}

fn clipped(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        None => format!("{line}\n"),
        Some(_) => {
            let shown: String = line.chars().take(WIDTH - 1).collect();
            format!("{}…\n", shown.trim_end())
        }
    }
}

/// How many lines of each section fit into so many: at least one of each, then in turn.
fn fit(sections: &[Section], room: usize) -> Vec<usize> {
    // A heading with an empty line before it, and a last line that says what is left out.
    let cost =
        |section: &Section, shown: usize| 2 + shown + usize::from(shown < section.rows.len());
    let mut shown: Vec<usize> = sections
        .iter()
        .map(|section| section.rows.len().min(1))
        .collect();
    let total = |shown: &[usize]| -> usize {
        let all = sections.iter().zip(shown);
        all.map(|(section, shown)| cost(section, *shown)).sum()
    };
    loop {
        let before = shown.clone();
        for (index, section) in sections.iter().enumerate() {
            for _ in 0..section.weight {
                let mut more = shown.clone();
                more[index] += 1;
                if more[index] <= section.rows.len() && total(&more) <= room {
                    shown = more;
                }
            }
        }
        if shown == before {
            return shown;
        }
    }
}

fn summary(difference: &Difference) -> Vec<Vec<String>> {
    let row = |name: &str, told: String| vec![name.to_owned(), told];
    let not_compared = || "not compared".to_owned();
    let mut rows = Vec::new();
    if difference.is_empty() {
        let told = match difference.is_partial() {
            true => "nothing in what could be compared",
            false => "nothing",
        };
        rows.push(row("differs", told.to_owned()));
    }
    for line in view::about(difference) {
        // What the user called them may be the releases' names already.
        if line.name == "release" && (&line.from, &line.to) == (&difference.from, &difference.to) {
            continue;
        }
        rows.push(row(line.name, arrow(&line.from, &line.to)));
    }
    let sizes = &difference.sizes;
    for (name, pair) in [
        ("root used", &sizes.used),
        ("image size", &sizes.image),
        ("packages' size", &sizes.packages),
    ] {
        if let Some(pair) = pair {
            rows.push(row(name, view::size(pair)));
        }
    }
    let packages = difference.packages.as_ref();
    rows.push(row(
        "packages",
        packages.map_or_else(not_compared, package_counts),
    ));
    if packages.is_some_and(|packages| !packages.is_empty()) {
        rows.push(row("security", view::security(difference)));
    }
    let files = difference.files.as_ref();
    if !difference.locks {
        rows.push(row(
            "files",
            files.map_or_else(not_compared, view::file_counts),
        ));
    }
    match difference.bytes_differ {
        Some(true) => rows.push(row("image bytes", "differ".to_owned())),
        Some(false) => rows.push(row("image bytes", "the same".to_owned())),
        None => {}
    }
    rows
}

fn arrow(from: &str, to: &str) -> String {
    match from == to {
        true => to.to_owned(),
        false => format!("{} → {}", view::or_nothing(from), view::or_nothing(to)),
    }
}

fn sections(difference: &Difference, all: bool) -> Vec<Section> {
    let section = |title, weight, rows| Section {
        title,
        rows,
        weight,
    };
    let fixes = |rows: Vec<FixRow>| rows.into_iter().map(|row| fix_row(&row, all)).collect();
    let security = difference.security.clone().unwrap_or_default();
    let packages = view::packages(difference);
    let files = difference.files.as_ref();
    let growth = difference.sizes.growth.iter();
    let mut sections = vec![
        section("open again", 2, fixes(view::fixes(&security.reopened))),
        section("fixed", 2, fixes(view::fixes(&security.fixed))),
        section("packages", 3, packages.iter().map(package_row).collect()),
        section(
            "other values",
            1,
            view::other_values(difference)
                .map(|value| value_row(value, all))
                .collect(),
        ),
        section(
            match files.is_some_and(|files| files.outside_packages.is_some()) && !all {
                true => "files that no package accounts for",
                false => "files",
            },
            1,
            files.map_or_else(Vec::new, |files| {
                let rows = view::files(files, all).into_iter();
                rows.map(|row| vec![format!("  {} {}", row.sign, row.path), row.told])
                    .collect()
            }),
        ),
        section(
            "growth by package",
            1,
            growth
                .map(|growth| {
                    vec![
                        format!("  {}", signed(growth.bytes)),
                        growth.package.clone(),
                    ]
                })
                .collect(),
        ),
    ];
    sections.retain(|section| !section.rows.is_empty());
    sections
}

fn fix_row(row: &FixRow, all: bool) -> Vec<String> {
    let most = if all { usize::MAX - 1 } else { IDS };
    vec![
        format!("  {}", row.origin),
        row.version.clone(),
        view::some(&row.ids, most),
    ]
}

fn package_row(row: &PackageRow) -> Vec<String> {
    let version = |version: &Option<String>| version.clone().unwrap_or_default();
    let (from, to) = (version(&row.from), version(&row.to));
    let told = match row.change {
        None if row.from.is_some() => from,
        None => to,
        Some(Change::Rebuilt) => format!("{to} rebuilt"),
        Some(_) => arrow(&from, &to),
    };
    let mut cells = vec![
        format!("  {} {}", row.sign, row.name),
        told,
        match row.delta {
            0 => String::new(),
            delta => signed(delta),
        },
    ];
    if row.change == Some(Change::Down) {
        cells.push("DOWNGRADE".to_owned());
    }
    if let Some(Pair { from, to }) = &row.license {
        cells.push(format!("licence {}", arrow(from, to)));
    }
    cells
}

fn value_row(value: &ValueChange, all: bool) -> Vec<String> {
    let Pair { from, to } = &value.change;
    let (from, to) = match all {
        true => (from.clone(), to.clone()),
        false => shortened(from, to),
    };
    vec![format!("  {}", value.name), arrow(&from, &to)]
}

/// Long values from where they differ on: command lines, lists.
pub(super) fn shortened(from: &str, to: &str) -> (String, String) {
    if from.chars().count().max(to.chars().count()) <= LONGEST_VALUE / 2 {
        return (from.to_owned(), to.to_owned());
    }
    let same = from
        .chars()
        .zip(to.chars())
        .take_while(|(a, b)| a == b)
        .count();
    // A few words before say where that is.
    let skip = same.saturating_sub(LONGEST_VALUE / 5);
    let cut = |text: &str| {
        let rest: Vec<char> = text.chars().skip(skip).collect();
        let shown: String = rest.iter().take(LONGEST_VALUE / 2).collect();
        let before = if skip > 0 { "…" } else { "" };
        let after = match rest.len() > LONGEST_VALUE / 2 {
            true => "…",
            false => "",
        };
        format!("{before}{shown}{after}")
    };
    (cut(from), cut(to))
}
