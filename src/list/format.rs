//! Forms of a list: for people, for programs, for templates.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::filter::choose;
use super::{ListError, Row};
use crate::aws::{AccountId, Region};
use crate::ui::text;

/// The columns of tables and CSV; the last one only where there is a catalog.
const COLUMNS: [&str; 14] = [
    "region",
    "profile",
    "version",
    "alpine",
    "arch",
    "release",
    "date",
    "ami",
    "name",
    "encrypted",
    "deprecated",
    "newest",
    "channels",
    "signed",
];

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// A line each, with a header
    Csv,
    /// A mapping for a CloudFormation template: the newest of each profile and architecture
    #[value(name = "cloudformation")]
    CloudFormation,
    /// A Terraform variable: the newest of each profile and architecture
    Tfvars,
}

/// A list as JSON has it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Document<'a> {
    /// The publisher's account.
    pub publisher: &'a AccountId,
    /// The AMIs.
    pub images: &'a [Row],
}

/// A table; nothing where there are no rows. The release says all that the name does.
pub fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let is_shown = |column: &str| match column {
        "name" => false,
        "channels" => rows.iter().any(|row| row.channels.is_some()),
        "signed" => rows.iter().any(|row| row.signed.is_some()),
        _ => true,
    };
    let columns: Vec<&str> = COLUMNS.into_iter().filter(|name| is_shown(name)).collect();
    let mut lines = vec![columns.iter().map(|name| (*name).to_owned()).collect()];
    lines.extend(rows.iter().map(|row| {
        let cell = |column: &&str| match cell(row, column).as_str() {
            "true" => "yes".to_owned(),
            // What is rare stands out.
            "false" if !matches!(*column, "encrypted" | "signed") => "-".to_owned(),
            "false" => "no".to_owned(),
            "" => "-".to_owned(),
            text => text.to_owned(),
        };
        columns.iter().map(cell).collect()
    }));
    text::table(&lines)
}

/// Comma-separated values.
/// <https://www.rfc-editor.org/rfc/rfc4180>
pub fn csv(rows: &[Row], with_channels: bool, with_signed: bool) -> String {
    let is_there = |column: &&str| match *column {
        "channels" => with_channels,
        "signed" => with_signed,
        _ => true,
    };
    let columns: Vec<&str> = COLUMNS.into_iter().filter(is_there).collect();
    let mut text = record(columns.iter().map(|name| (*name).to_owned()));
    for row in rows {
        text.push_str(&record(columns.iter().map(|column| cell(row, column))));
    }
    text
}

fn cell(row: &Row, column: &str) -> String {
    match column {
        "region" => row.region.to_string(),
        "profile" => row.profile.clone(),
        "version" => row.version.clone(),
        "alpine" => row.alpine.clone(),
        "arch" => row.arch.to_string(),
        "release" => row.release.to_string(),
        "date" => row.date.clone(),
        "ami" => row.ami.to_string(),
        "name" => row.name.clone(),
        "encrypted" => row.encrypted.to_string(),
        "deprecated" => row.deprecated.to_string(),
        "newest" => row.newest.to_string(),
        "signed" => row
            .signed
            .map_or(String::new(), |signed| signed.to_string()),
        _ => row.channels.as_deref().unwrap_or_default().join(" "),
    }
}

fn record(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    });
    let cells: Vec<String> = quoted.collect();
    format!("{}\n", cells.join(","))
}

/// A mapping of a CloudFormation template: Region, then profile and architecture. Names in mappings
/// are letters and digits only: `kubezero` on x86_64 is `KubezeroX8664`.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/mappings-section-structure.html>
///
/// # Errors
/// Two would have the same name.
pub fn cloudformation(rows: &[Row]) -> Result<Value, ListError> {
    let mut regions: BTreeMap<&Region, BTreeMap<String, &Row>> = BTreeMap::new();
    for row in choose(rows)? {
        let key = words(&format!("{}-{}", row.profile, row.arch));
        let names = regions.entry(&row.region).or_default();
        if let Some(other) = names.insert(key.clone(), row) {
            return Err(ListError::Clash {
                what: format!(
                    "{}/{} and {}/{}",
                    other.profile, other.arch, row.profile, row.arch
                ),
                key,
                add: "--profile",
            });
        }
    }
    let ids = |names: BTreeMap<String, &Row>| {
        let ids = names.into_iter().map(|(key, row)| (key, json!(row.ami)));
        Value::Object(ids.collect())
    };
    let regions = regions.into_iter();
    let regions: Map<String, Value> = regions
        .map(|(region, names)| (region.to_string(), ids(names)))
        .collect();
    Ok(json!({ "Mappings": { "AlpineAmi": regions } }))
}

/// A name in a mapping: `my-node` is `MyNode`; `x86_64` is `X8664`.
pub(crate) fn words(text: &str) -> String {
    let mut words = String::new();
    let mut begins = true;
    for char in text.chars() {
        match char.is_ascii_alphanumeric() {
            true if begins => words.push(char.to_ascii_uppercase()),
            true => words.push(char),
            false => {}
        }
        begins = !char.is_ascii_alphanumeric();
    }
    words
}

/// A Terraform variable, of the type `map(map(string))`.
///
/// # Errors
/// Two would have the same name.
pub fn tfvars(rows: &[Row]) -> Result<String, ListError> {
    let mut regions: BTreeMap<&Region, Vec<&Row>> = BTreeMap::new();
    for row in choose(rows)? {
        regions.entry(&row.region).or_default().push(row);
    }
    let mut text = "alpine_ami = {\n".to_owned();
    for (region, rows) in regions {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  \"{region}\" = {{");
        for row in rows {
            let _ = writeln!(
                text,
                "    \"{}/{}\" = \"{}\"",
                row.profile, row.arch, row.ami
            );
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OWNER, account, listed};
    use super::*;

    const NAMES: [&str; 4] = [
        "p/my-node/1.22.8/alpine-3.15.11/x86_64/20260131.1 eu-central-1",
        "p/my-node/1.9.0/alpine-3.15.11/x86_64/20260201.1 eu-central-1",
        "p/my-node/1.22.8/alpine-3.15.11/aarch64/20260131.1 eu-central-1",
        "p/my-node/1.22.8/alpine-3.15.11/x86_64/20260131.1 us-east-1 deprecated",
    ];

    #[test]
    fn people_read_a_table() {
        let table = table(&listed(&NAMES[..2]));
        assert_eq!(
            table,
            "region        profile  version  alpine   arch    release                          date        ami                    encrypted  deprecated  newest\n\
             eu-central-1  my-node  1.22.8   3.15.11  x86_64  my-node-1.22.8-x86_64-20260131.1  2026-01-31  ami-00000000000000001  yes        -           yes\n\
             eu-central-1  my-node  1.9.0    3.15.11  x86_64  my-node-1.9.0-x86_64-20260201.1   2026-02-01  ami-00000000000000002  yes        -           yes\n"
                .replace("release                          date", "release                           date")
        );
        assert_eq!(super::table(&[]), "");
    }

    #[test]
    fn machines_read_json_and_csv() {
        let mut rows = listed(&NAMES[3..]);
        rows[0].channels = Some(vec!["nightly".to_owned(), "stable".to_owned()]);
        let document = Document {
            publisher: &account(OWNER),
            images: &rows,
        };
        assert_eq!(
            serde_json::to_value(document).expect("JSON"),
            json!({"publisher": OWNER, "images": [{
                "region": "us-east-1",
                "profile": "my-node",
                "version": "1.22.8",
                "alpine": "3.15.11",
                "arch": "x86_64",
                "release": "my-node-1.22.8-x86_64-20260131.1",
                "date": "2026-01-31",
                "ami": "ami-00000000000000001",
                "name": "p/my-node/1.22.8/alpine-3.15.11/x86_64/20260131.1",
                "encrypted": true,
                "deprecated": true,
                "newest": false,
                "channels": ["nightly", "stable"],
            }]})
        );
        assert_eq!(
            csv(&rows, true, false),
            "region,profile,version,alpine,arch,release,date,ami,name,encrypted,deprecated,newest,channels\n\
             us-east-1,my-node,1.22.8,3.15.11,x86_64,my-node-1.22.8-x86_64-20260131.1,2026-01-31,\
             ami-00000000000000001,p/my-node/1.22.8/alpine-3.15.11/x86_64/20260131.1,true,true,false,nightly stable\n"
        );
        assert!(csv(&[], false, false).ends_with(",newest\n"));
        assert!(csv(&[], true, true).ends_with(",channels,signed\n"));
        let cells = ["a", "b,c", "d\"e"].map(str::to_owned);
        assert_eq!(record(cells.into_iter()), "a,\"b,c\",\"d\"\"e\"\n");
    }

    #[test]
    fn templates_get_the_newest_by_version() {
        let rows = listed(&NAMES);
        assert_eq!(
            cloudformation(&rows).expect("a mapping"),
            json!({"Mappings": {"AlpineAmi": {"eu-central-1": {
                "MyNodeAarch64": "ami-00000000000000003",
                "MyNodeX8664": "ami-00000000000000001",
            }}}})
        );
        assert_eq!(
            tfvars(&rows).expect("a variable"),
            "alpine_ami = {\n  \"eu-central-1\" = {\n    \"my-node/x86_64\" = \"ami-00000000000000001\"\n    \
             \"my-node/aarch64\" = \"ami-00000000000000003\"\n  }\n}\n"
        );
        let names = [
            "p/a.b/1/alpine-3.15.11/x86_64/20260131.1",
            "p/a-b/1/alpine-3.15.11/x86_64/20260131.1",
        ];
        let error = cloudformation(&listed(&names)).expect_err("one name");
        assert_eq!(
            error.to_string(),
            "a-b/x86_64 and a.b/x86_64 would both be `ABX8664`"
        );
        assert!(tfvars(&listed(&names)).is_ok());
    }
}
