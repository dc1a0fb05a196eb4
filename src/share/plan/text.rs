//! A plan as people review it: what changes for whom, all Regions in a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::told::{Action, Kind, Told, ToldChange};
use super::{Access, Refused, Unknown};
use crate::aws::Region;
use crate::ui::text::table;

/// So many parties that get something, or Regions, are named in a line; of more, their number.
const NAMED: usize = 3;

/// What a line says, but for where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    action: Action,
    access: Kind,
    subject: String,
    parties: Vec<String>,
}

/// The plan for people.
pub fn plan(told: &Told) -> String {
    let mut text = String::new();
    for (customer, lines) in by_customer(told) {
        let name = customer.unwrap_or("nobody in the file of customers");
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}");
        let rows: Vec<Vec<String>> = lines
            .into_iter()
            .map(|(line, regions)| row(&line, &regions))
            .collect();
        text.push_str(&table(&rows));
        text.push('\n');
    }
    unknown(told, &mut text);
    for missing in &told.missing {
        let _ = writeln!(
            text,
            "missing: {} is to get {} in {}: {}",
            missing.customer, missing.release, missing.region, missing.why
        );
    }
    for customer in &told.unsure {
        let _ = writeln!(
            text,
            "unsure: what {customer} is to get is not known (a manifest is gone, or none of its channels is there): nothing is taken from it"
        );
    }
    for refused in &told.refused {
        let Refused {
            region,
            why,
            advice,
        } = refused;
        let _ = writeln!(text, "refused in {region}: {why}\n  next: {advice}");
    }
    for (region, why) in &told.failed {
        let _ = writeln!(text, "failed in {region}: {why}");
    }
    let _ = writeln!(text, "{}", summary(told));
    text
}

/// The plan's last line.
pub fn summary(told: &Told) -> String {
    let count = |action| {
        let of = told.changes.iter().filter(|change| change.action == action);
        of.map(|change| change.parties.len()).sum::<usize>()
    };
    let regions: BTreeSet<&Region> = told.changes.iter().map(|change| &change.region).collect();
    let mut parts = match told.changes.is_empty() {
        true => vec!["nothing to change".to_owned()],
        false => vec![format!(
            "{} to add, {} to remove, in {}",
            count(Action::Add),
            count(Action::Remove),
            counted(regions.len(), "Region")
        )],
    };
    for (count, what) in [
        (told.unknown.len(), "unknown"),
        (told.missing.len(), "missing"),
        (told.refused.len(), "refused"),
        (told.failed.len(), "failed"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.join("; ")
}

fn by_customer(told: &Told) -> BTreeMap<Option<&str>, Vec<(Line, BTreeSet<&Region>)>> {
    let mut lines: BTreeMap<(Option<&str>, Line), BTreeSet<&Region>> = BTreeMap::new();
    for change in &told.changes {
        let key = (change.customer.as_deref(), line(change));
        lines.entry(key).or_default().insert(&change.region);
    }
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for ((customer, line), regions) in lines {
        found
            .entry(customer)
            .or_insert_with(Vec::new)
            .push((line, regions));
    }
    found
}

fn line(change: &ToldChange) -> Line {
    let subject = match (&change.release, change.access) {
        (Some(release), _) if !release.is_empty() => release.clone(),
        (Some(_), _) | (None, Kind::Catalog) => change.resource.clone(),
        // Each Region has a key of its own.
        (None, _) => String::new(),
    };
    Line {
        action: change.action,
        access: change.access,
        subject,
        parties: change.parties.clone(),
    }
}

fn row(line: &Line, regions: &BTreeSet<&Region>) -> Vec<String> {
    let sign = match line.action {
        Action::Add => "+",
        Action::Remove => "-",
    };
    let access = match line.access {
        Kind::Launch => "launch",
        Kind::Copy => "copy",
        Kind::Key => "key",
        Kind::Grant => "key, by grant",
        Kind::Catalog => "catalog",
    };
    let names: Vec<&str> = regions.iter().map(|region| region.as_str()).collect();
    let parties: Vec<&str> = line.parties.iter().map(String::as_str).collect();
    vec![
        format!("  {sign} {access}"),
        line.subject.clone(),
        match line.action {
            Action::Add => some(&parties, "parties"),
            // Whoever loses something is named.
            Action::Remove => parties.join(", "),
        },
        format!("in {}", some(&names, "Regions")),
    ]
}

fn some(names: &[&str], what: &str) -> String {
    match names.len() > NAMED {
        true => format!("{} {what}", names.len()),
        false => names.join(", "),
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn unknown(told: &Told, text: &mut String) {
    if told.unknown.is_empty() {
        return;
    }
    text.push_str("not in the file of customers\n");
    let rows: Vec<Vec<String>> = told.unknown.iter().map(unknown_row).collect();
    text.push_str(&table(&rows));
    text.push('\n');
}

fn unknown_row(unknown: &Unknown) -> Vec<String> {
    let (access, subject) = match &unknown.access {
        Access::Launch { image, release } => ("launch", format!("{release} ({image})")),
        Access::Copy { snapshot, release } => ("copy", format!("{release} ({snapshot})")),
        Access::Key { key } => ("key", key.key_id().to_owned()),
        Access::Catalog {
            catalog,
            statement: None,
        } => ("catalog", catalog.clone()),
        Access::Catalog {
            catalog,
            statement: Some(statement),
        } => ("bucket, by statement", format!("{catalog} ({statement})")),
        Access::Grant { key, grant } => ("key, by grant", format!("{} ({grant})", key.key_id())),
        Access::Statement { key, statement } => (
            "key, by statement",
            format!("{} ({statement})", key.key_id()),
        ),
    };
    vec![
        format!("  ? {access}"),
        subject,
        unknown.who.clone(),
        format!("in {}", unknown.region),
    ]
}
