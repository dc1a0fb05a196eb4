//! Adding a customer to the text of `customers.toml`, and taking one out.
//!
//! The file is a person's: what is not the customer's stays as it is, byte for byte. So the text is
//! not written anew from what was read; lines are put behind it, or taken out of it.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::ops::Range;

use time::Date;
use toml_edit::{Document, Item, Key, TableLike, Value};

use super::error::EditError;
use crate::aws::{AccountId, OrganizationArn, Region, RoleArn, UnitArn};
use crate::profile::error::position;

/// Characters of a line: longer lists have a line for each entry.
const LINE: usize = 100;

/// A customer that is to be added. What is empty or none is not written.
#[derive(Debug, Clone, Default)]
pub struct NewCustomer {
    /// Its name.
    pub name: String,
    /// Its accounts.
    pub accounts: Vec<AccountId>,
    /// Its organizations.
    pub organizations: Vec<OrganizationArn>,
    /// Its organizational units.
    pub units: Vec<UnitArn>,
    /// The channels whose releases it gets.
    pub channels: Vec<String>,
    /// Patterns of the profiles that it gets.
    pub profiles: Vec<String>,
    /// The Regions where it gets them.
    pub regions: Vec<Region>,
    /// Whether it may copy.
    pub copy: bool,
    /// Roles that get grants of their own.
    pub roles: Vec<RoleArn>,
    /// The first day on which it gets anything.
    pub start: Option<Date>,
    /// The last one.
    pub end: Option<Date>,
    /// Days for which it keeps a release that has left its channels.
    pub grace_days: Option<u32>,
}

/// The text with a customer behind the others. `file` is what errors call it. Whether the customer
/// makes sense is for [`super::parse`] to say.
///
/// # Errors
/// There is one of that name, or the customers are written in a way that none can be added to.
pub fn add(file: &str, text: &str, new: &NewCustomer) -> Result<String, EditError> {
    let document = read(text);
    if let Some(customers) = customers(file, text, &document)?
        && let Some((key, _)) = customers.get_key_value(&new.name)
    {
        return Err(EditError::Exists {
            name: new.name.clone(),
            file: file.to_owned(),
            line: line(text, key.span()),
        });
    }
    // As the file ends its lines.
    let first = text.split_inclusive('\n').next().unwrap_or_default();
    let end = if first.ends_with("\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let mut added = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        added.push_str(end);
    }
    if added
        .lines()
        .next_back()
        .is_some_and(|last| !is_blank(last))
    {
        added.push_str(end);
    }
    for line in written(new).lines() {
        added.push_str(line);
        added.push_str(end);
    }
    Ok(added)
}

/// The text without a customer, and without the comments that are directly above it or at its end.
///
/// # Errors
/// There is none of that name, or the customers are written in a way that none can be taken from.
pub fn remove(file: &str, text: &str, name: &str) -> Result<String, EditError> {
    let document = read(text);
    let customers = customers(file, text, &document)?;
    let found = customers.and_then(|customers| customers.get_key_value(name));
    let Some((key, item)) = found else {
        let known = customers.into_iter().flat_map(TableLike::iter);
        return Err(EditError::Unknown {
            name: name.to_owned(),
            file: file.to_owned(),
            known: known.map(|(name, _)| name.to_owned()).collect(),
        });
    };
    let mut lines = Lines::new(text);
    for place in places(key, item) {
        lines.cut(&place);
    }
    Ok(lines.rest())
}

/// The text was read before: nobody edits what is wrong already.
fn read(text: &str) -> Document<&str> {
    Document::parse(text).expect("it is TOML: it was parsed before")
}

/// The customers, if there are any.
fn customers<'a>(
    file: &str,
    text: &str,
    document: &'a Document<&str>,
) -> Result<Option<&'a dyn TableLike>, EditError> {
    let Some((key, item)) = document.get_key_value("customers") else {
        return Ok(None);
    };
    match item {
        Item::Table(table) => Ok(Some(table)),
        // Its entries have no lines of their own, and no header can add to it.
        _ => Err(EditError::Inline {
            file: file.to_owned(),
            line: line(text, key.span()),
        }),
    }
}

fn line(text: &str, span: Option<Range<usize>>) -> usize {
    span.map_or(0, |span| position(text, span.start).0)
}

/// Where a customer stands: `[customers.acme]` and what follows; `acme = { … }`; or each line of
/// `acme.accounts = …`, which need not be neighbours.
fn places(key: &Key, item: &Item) -> Vec<Range<usize>> {
    let end = |item: &Item| item.span().map(|span| span.end);
    let entry = |(key, item): (&Key, &Item)| Some(key.span()?.start..end(item)?);
    match item {
        Item::Table(table) => {
            let entries = table.iter().map(|(name, _)| table.get_key_value(name));
            let mut places: Vec<_> = entries.flatten().filter_map(entry).collect();
            if table.is_dotted() {
                return places;
            }
            places.extend(table.span());
            // One piece, with comments and empty lines between what it says.
            let start = places.iter().map(|place| place.start).min();
            let end = places.iter().map(|place| place.end).max();
            start
                .zip(end)
                .map(|(start, end)| start..end)
                .into_iter()
                .collect()
        }
        _ => entry((key, item)).into_iter().collect(),
    }
}

/// A text from which lines are taken.
struct Lines<'a> {
    lines: Vec<&'a str>,
    is_cut: Vec<bool>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Lines<'a> {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let is_cut = vec![false; lines.len()];
        Lines { lines, is_cut }
    }

    /// Takes out the lines that hold any of these bytes, with the comments that belong to them, and
    /// the empty lines that would be too many.
    fn cut(&mut self, bytes: &Range<usize>) {
        let mut at = 0;
        let mut held = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            if at < bytes.end && at + line.len() > bytes.start {
                held.push(index);
            }
            at += line.len();
        }
        let (Some(&first), Some(&last)) = (held.first(), held.last()) else {
            return;
        };
        let (mut first, mut end) = (first, last + 1);
        while first > 0 && is_comment(self.lines[first - 1]) {
            first -= 1;
        }
        let below = self.lines[end..].iter();
        let comments = below.take_while(|line| is_comment(line)).count();
        // What follows without an empty line between is what they are about.
        if self.is_blank_or_end(end + comments) {
            end += comments;
        }
        let is_after_blank = first == 0 || is_blank(self.lines[first - 1]);
        while is_after_blank && end < self.lines.len() && is_blank(self.lines[end]) {
            end += 1;
        }
        while end == self.lines.len() && first > 0 && is_blank(self.lines[first - 1]) {
            first -= 1;
        }
        self.is_cut[first..end].fill(true);
    }

    fn is_blank_or_end(&self, index: usize) -> bool {
        self.lines.get(index).is_none_or(|line| is_blank(line))
    }

    fn rest(&self) -> String {
        let lines = self.lines.iter().zip(&self.is_cut);
        lines
            .filter(|(_, is_cut)| !**is_cut)
            .map(|(line, _)| *line)
            .collect()
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// The customer as the file has it.
fn written(new: &NewCustomer) -> String {
    let mut text = format!("[customers.{}]\n", Key::new(&new.name));
    list(&mut text, "accounts", &new.accounts);
    list(&mut text, "organizations", &new.organizations);
    list(&mut text, "units", &new.units);
    list(&mut text, "channels", &new.channels);
    list(&mut text, "profiles", &new.profiles);
    list(&mut text, "regions", &new.regions);
    // Writing to a string does not fail.
    if new.copy {
        let _ = writeln!(text, "copy = true");
    }
    list(&mut text, "roles", &new.roles);
    for (key, day) in [("start", new.start), ("end", new.end)] {
        if let Some(day) = day {
            let _ = writeln!(text, "{key} = {day}");
        }
    }
    if let Some(days) = new.grace_days {
        let _ = writeln!(text, "grace_days = {days}");
    }
    text
}

fn list<T: ToString>(text: &mut String, key: &str, entries: &[T]) {
    if entries.is_empty() {
        return;
    }
    let quoted = |entry: &T| Value::from(entry.to_string()).to_string();
    let entries: Vec<String> = entries.iter().map(quoted).collect();
    let short = format!("{key} = [{}]\n", entries.join(", "));
    if short.len() <= LINE {
        text.push_str(&short);
    } else {
        let long: String = entries
            .iter()
            .map(|entry| format!("    {entry},\n"))
            .collect();
        // Writing to a string does not fail.
        let _ = write!(text, "{key} = [\n{long}]\n");
    }
}
