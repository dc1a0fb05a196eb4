//! Which rows are asked for, and which one a script or a template is given.

use std::collections::BTreeMap;

use super::{ListError, Row};
use crate::arch::Arch;

/// What rows must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The name that the publisher publishes under.
    pub publisher: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// The version, or its first parts: `1.22` takes `1.22.8`, and not `1.220`.
    pub version: Option<String>,
    /// The architecture.
    pub arch: Option<Arch>,
    /// A channel that they are in now.
    pub channel: Option<String>,
}

impl Filter {
    /// Whether a row is asked for.
    pub fn takes(&self, row: &Row) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == value)
        };
        let version = self.version.as_ref();
        let channels = row.channels.as_deref().unwrap_or_default();
        is(&self.publisher, &row.publisher)
            && is(&self.profile, &row.profile)
            && version.is_none_or(|version| begins(&row.version, version))
            && self.arch.is_none_or(|arch| arch == row.arch)
            && self
                .channel
                .as_ref()
                .is_none_or(|name| channels.contains(name))
    }

    /// The options that say the same, for messages.
    pub fn options(&self) -> Vec<String> {
        let option = |name: &str, value: Option<String>| Some(format!("{name} {}", value?));
        [
            option("--publisher-name", self.publisher.clone()),
            option("--profile", self.profile.clone()),
            option("--version", self.version.clone()),
            option("--arch", self.arch.map(|arch| arch.to_string())),
            option("--channel", self.channel.clone()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Whether the parts of a version begin with those of another.
fn begins(version: &str, first: &str) -> bool {
    let rest = version.strip_prefix(first);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || first.ends_with('.'))
}

/// The newest row of each Region, profile and architecture that is not deprecated, whatever the
/// versions.
///
/// # Errors
/// There are AMIs of the same profile and architecture under several names of the publisher's: which
/// are meant, only the user knows.
pub fn choose(rows: &[Row]) -> Result<Vec<&Row>, ListError> {
    let mut chosen: BTreeMap<_, &Row> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.deprecated) {
        let line = (&row.region, &row.profile, row.arch);
        let best = chosen.entry(line).or_insert(row);
        if best.publisher != row.publisher {
            return Err(ListError::Clash {
                what: format!("{} and {}", best.name, row.name),
                key: format!("{}/{}", row.profile, row.arch),
                add: "--publisher-name",
            });
        }
        if best.age(row).is_lt() {
            *best = row;
        }
    }
    Ok(chosen.into_values().collect())
}

/// The one AMI that a script gets: the newest that is not deprecated, of one Region, profile and
/// architecture. Nothing if there is none.
///
/// # Errors
/// The rows are of several.
pub fn only(rows: &[Row]) -> Result<Option<&Row>, ListError> {
    let rows: Vec<&Row> = rows.iter().filter(|row| !row.deprecated).collect();
    let (mut kinds, mut add) = (Vec::new(), Vec::new());
    let mut look = |what: &str, option, value: fn(&Row) -> &str| {
        let mut values: Vec<&str> = rows.iter().map(|row| value(row)).collect();
        values.sort_unstable();
        values.dedup();
        if values.len() > 1 {
            kinds.push(format!("{what} {}", values.join(", ")));
            add.push(option);
        }
    };
    look("the Regions", "--region", |row| row.region.as_str());
    look("the names", "--publisher-name", |row| &row.publisher);
    look("the profiles", "--profile", |row| &row.profile);
    look("the architectures", "--arch", |row| row.arch.as_str());
    if !add.is_empty() {
        return Err(ListError::Several {
            count: rows.len(),
            kinds,
            add,
        });
    }
    Ok(rows.into_iter().max_by(|a, b| a.age(b)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::listed;
    use super::*;

    const NAMES: [&str; 6] = [
        "p/node/1.22.8/alpine-3.15.11/x86_64/20260131.1",
        "p/node/1.22.10/alpine-3.15.11/x86_64/20260101.1",
        "p/node/1.220/alpine-3.15.11/x86_64/20260131.1",
        "p/node/1.22.11/alpine-3.15.11/x86_64/20260201.1 deprecated",
        "p/node/1.22.8/alpine-3.15.11/aarch64/20260131.1",
        "p/base/3.15/alpine-3.15.11/x86_64/20260131.1",
    ];

    fn taken(filter: &Filter) -> Vec<String> {
        let rows = listed(&NAMES);
        let taken = rows.iter().filter(|row| filter.takes(row));
        taken.map(|row| row.release.line.to_string()).collect()
    }

    fn filter(version: &str) -> Filter {
        Filter {
            profile: Some("node".to_owned()),
            version: Some(version.to_owned()),
            arch: Some(Arch::X86_64),
            ..Filter::default()
        }
    }

    #[test]
    fn versions_are_taken_by_their_parts() {
        for (version, expected) in [
            ("1.220", &["node-1.220-x86_64"][..]),
            ("1.22.8", &["node-1.22.8-x86_64"]),
            (
                "1.22",
                &[
                    "node-1.22.11-x86_64",
                    "node-1.22.10-x86_64",
                    "node-1.22.8-x86_64",
                ],
            ),
            ("1.2", &[]),
            ("22", &[]),
        ] {
            assert_eq!(taken(&filter(version)), expected, "{version}");
        }
        assert_eq!(taken(&Filter::default()).len(), NAMES.len());
        let channel = Filter {
            channel: Some("stable".to_owned()),
            ..Filter::default()
        };
        assert!(taken(&channel).is_empty());
    }

    #[test]
    fn a_script_gets_one_or_is_told_what_to_add() {
        let mut rows = listed(&NAMES);
        let error = only(&rows).expect_err("several");
        assert_eq!(error.advice().as_deref(), Some("add --profile and --arch"));
        assert!(error.to_string().starts_with("5 AMIs match"), "{error}");
        rows.retain(|row| filter("1.22").takes(row));
        let one = only(&rows).expect("one kind").expect("one");
        // The newest version, not the newest date, and none that is deprecated.
        assert_eq!(one.version, "1.22.10");
        rows.retain(|row| row.deprecated);
        assert_eq!(rows.len(), 1);
        assert_eq!(only(&rows).expect("no kind"), None);

        let everywhere = listed(&[NAMES[0], &format!("{} eu-west-2", NAMES[0])]);
        let error = only(&everywhere).expect_err("several");
        assert_eq!(error.advice().as_deref(), Some("add --region"));
        assert!(
            error.to_string().contains("eu-west-1, eu-west-2"),
            "{error}"
        );
    }

    #[test]
    fn one_of_each_profile_and_architecture_is_chosen() {
        let rows = listed(&NAMES);
        let lines: Vec<String> = choose(&rows)
            .expect("no clash")
            .iter()
            .map(|row| row.release.line.to_string())
            .collect();
        assert_eq!(
            lines,
            [
                "base-3.15-x86_64",
                "node-1.220-x86_64",
                "node-1.22.8-aarch64"
            ]
        );
        let two = listed(&[NAMES[0], "q/node/1.22.8/alpine-3.15.11/x86_64/20260131.1"]);
        let error = choose(&two).expect_err("two names");
        assert_eq!(error.advice().as_deref(), Some("add --publisher-name"));
    }
}
