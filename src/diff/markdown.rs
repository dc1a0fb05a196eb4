//! A difference as Markdown, for release notes.

use super::importance::Importance;
use super::packages::Change;
use super::view::{self, FixRow, PackageRow};
use super::{Difference, Pair};
use crate::ui::markdown::{code, details, plain, table};

/// Rows of a table that are shown unfolded.
const ROWS: usize = 15;
/// Files are folded away; more than so many are left out, or GitHub would leave all of it out.
const FILES: usize = 500;

/// Renders a difference.
pub fn render(difference: &Difference) -> String {
    let mut text = format!(
        "## {} → {}\n\n",
        plain(&difference.from),
        plain(&difference.to)
    );
    if difference.is_empty() {
        text.push_str("Nothing differs in what could be compared.\n\n");
    }
    let warnings = view::warnings(difference);
    if !warnings.is_empty() {
        text.push_str("> [!WARNING]\n");
        for warning in warnings {
            text.push_str(&format!("> {}<br>\n", plain(&warning)));
        }
        text.push('\n');
    }
    text.push_str(&about(difference));
    text.push_str(&security(difference));
    text.push_str(&packages(difference));
    text.push_str(&values(difference));
    text.push_str(&files(difference));
    if !difference.notes.is_empty() {
        text.push_str("\n### Notes\n\n");
    }
    for note in &difference.notes {
        text.push_str(&format!("- {}\n", plain(note)));
    }
    text
}

fn about(difference: &Difference) -> String {
    let changed = |from: &str, to: &str| match from == to {
        true => plain(to),
        false => format!("**{}**", plain(view::or_nothing(to))),
    };
    let mut rows: Vec<_> = view::about(difference)
        .into_iter()
        .map(|line| {
            [
                capital(line.name),
                plain(&line.from),
                changed(&line.from, &line.to),
            ]
        })
        .collect();
    let sizes = &difference.sizes;
    for (name, pair) in [("Root used", &sizes.used), ("Image size", &sizes.image)] {
        if let Some(Pair { from, to }) = pair {
            let told = view::size(&Pair {
                from: *from,
                to: *to,
            });
            let to = told.split_once(" → ").map_or(told.as_str(), |(_, to)| to);
            rows.push([
                name.to_owned(),
                crate::ui::text::bytes(*from),
                changed(&crate::ui::text::bytes(*from), to),
            ]);
        }
    }
    match rows.is_empty() {
        true => String::new(),
        false => table(["", "Before", "After"], &rows),
    }
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn security(difference: &Difference) -> String {
    let Some(security) = &difference.security else {
        return String::new();
    };
    let mut text = String::new();
    for (title, fixes) in [
        ("Open again", &security.reopened),
        ("Security fixes", &security.fixed),
    ] {
        if fixes.is_empty() {
            continue;
        }
        let row = |row: FixRow| {
            let ids: Vec<_> = row.ids.iter().map(|id| linked(id)).collect();
            [code(&row.origin), code(&row.version), ids.join(", ")]
        };
        let rows: Vec<_> = view::fixes(fixes).into_iter().map(row).collect();
        text.push_str(&format!("\n### {title}\n\n"));
        text.push_str(&folded(
            ["Package", "Fixed in", "Vulnerabilities"],
            &rows,
            "more packages",
        ));
    }
    text
}

/// Only an id of the usual form becomes part of an address.
fn linked(id: &str) -> String {
    match super::secdb::is_cve(id) {
        true => format!("[{id}](https://security.alpinelinux.org/vuln/{id})"),
        false => plain(id),
    }
}

fn packages(difference: &Difference) -> String {
    let Some(packages) = difference.packages.as_ref() else {
        return String::new();
    };
    if packages.is_empty() {
        return "\n### Packages\n\nThe same.\n".to_owned();
    }
    let counts = view::package_counts(packages);
    let rows: Vec<_> = view::packages(difference).iter().map(package).collect();
    format!(
        "\n### Packages\n\n{}.\n\n{}",
        plain(&counts),
        folded(
            ["Package", "", "Before", "After", "Size"],
            &rows,
            "more packages"
        )
    )
}

fn package(row: &PackageRow) -> [String; 5] {
    let mut how = match row.change {
        None if row.to.is_some() => "added",
        None => "removed",
        Some(Change::Up) => "upgraded",
        Some(Change::Down) => "**downgraded**",
        Some(Change::Rebuilt) => "rebuilt",
        Some(Change::Other) => "changed",
    }
    .to_owned();
    if row.importance == Importance::Security {
        how.push_str(", security");
    }
    if let Some(Pair { from, to }) = &row.license {
        let (from, to) = (view::or_nothing(from), view::or_nothing(to));
        how.push_str(&format!(", licence {} → {}", plain(from), plain(to)));
    }
    [
        code(&row.name),
        how,
        code(row.from.as_deref().unwrap_or_default()),
        code(row.to.as_deref().unwrap_or_default()),
        match row.delta {
            0 => String::new(),
            delta => view::signed(delta),
        },
    ]
}

fn values(difference: &Difference) -> String {
    let rows: Vec<_> = view::other_values(difference)
        .map(|value| {
            let Pair { from, to } = &value.change;
            let (from, to) = match from.len().max(to.len()) > 2000 {
                true => super::text::shortened(from, to),
                false => (from.clone(), to.clone()),
            };
            [plain(&value.name), code(&from), code(&to)]
        })
        .collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!(
            "\n### Other values\n\n{}",
            table(["Value", "Before", "After"], &rows)
        ),
    }
}

fn files(difference: &Difference) -> String {
    let Some(files) = difference.files.as_ref().filter(|files| !files.is_empty()) else {
        return String::new();
    };
    let counts = plain(&view::file_counts(files));
    let mut rows: Vec<_> = view::files(files, false)
        .into_iter()
        .map(|row| {
            let how = match row.sign {
                '+' => "added",
                '-' => "removed",
                _ => "changed",
            };
            [code(&row.path), how.to_owned(), plain(&row.told)]
        })
        .collect();
    let mut text = format!("\n### Files\n\n{counts}.\n");
    if rows.is_empty() {
        return text;
    }
    let left = rows.len().saturating_sub(FILES);
    rows.truncate(FILES);
    let mut body = table(["Path", "", ""], &rows);
    if left > 0 {
        body.push_str(&format!("\nAnd {left} more.\n"));
    }
    let title = match files.outside_packages.is_some() {
        true => "Files that no package accounts for",
        false => "All files",
    };
    text.push_str(&format!("\n{}", details(title, &body)));
    text
}

/// A table whose first rows are shown, and the others when somebody wants them.
fn folded<const N: usize>(heading: [&str; N], rows: &[[String; N]], what: &str) -> String {
    // Folding a single row away would only put another line in its place.
    if rows.len() <= ROWS + 1 {
        return table(heading, rows);
    }
    let (shown, more) = rows.split_at(ROWS);
    let title = format!("{} {what}", more.len());
    format!(
        "{}\n{}",
        table(heading, shown),
        details(&title, &table(heading, more))
    )
}
