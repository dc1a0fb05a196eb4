//! Merging layers, remembering where each value was written.
//!
//! Tables merge key by key; a scalar replaces the one beneath; a list adds to the one beneath,
//! except those in [`REPLACED`], where adding would make no sense.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::position;

/// Lists that a higher layer replaces. Everything below `values` is replaced too.
const REPLACED: [&str; 3] = ["arch", "firmware", "mirrors"];

/// Keys that say how a file is read and are not part of the result.
pub(super) const STRUCTURAL: [&str; 4] = ["include", "only_included", "description", "when"];

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// A file, or `--set`.
    pub file: Arc<str>,
    /// Line in it, from 1; 0 where there are no lines.
    pub line: usize,
    /// Column in the line, from 1; 0 where there are no lines.
    pub column: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// A value of the merged profile.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A scalar.
    Value(toml::Value, Origin),
    /// A list; its elements may come from several layers.
    List(Vec<(toml::Value, Origin)>),
    /// A table.
    Table(BTreeMap<String, Node>),
}

impl Node {
    /// An empty table.
    pub fn table() -> Node {
        Node::Table(BTreeMap::new())
    }

    /// The table of a parsed file.
    pub fn from_table(table: &DeTable<'_>, file: &Arc<str>, text: &str) -> Node {
        let from = |value: &Spanned<DeValue<'_>>| Node::from_value(value, file, text);
        let entries = table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), from(value)));
        Node::Table(entries.collect())
    }

    fn from_value(value: &Spanned<DeValue<'_>>, file: &Arc<str>, text: &str) -> Node {
        let origin = |value: &Spanned<DeValue<'_>>| {
            let (line, column) = position(text, value.span().start);
            let file = file.clone();
            Origin { file, line, column }
        };
        match value.get_ref() {
            DeValue::Table(table) => Node::from_table(table, file, text),
            DeValue::Array(array) => Node::List(
                array
                    .iter()
                    .map(|element| (plain(element.get_ref()), origin(element)))
                    .collect(),
            ),
            scalar => Node::Value(plain(scalar), origin(value)),
        }
    }

    /// The value without its origins, as the typed profile is read from it.
    pub fn to_value(&self) -> toml::Value {
        match self {
            Node::Value(value, _) => value.clone(),
            Node::List(elements) => {
                toml::Value::Array(elements.iter().map(|(value, _)| value.clone()).collect())
            }
            Node::Table(entries) => toml::Value::Table(
                entries
                    .iter()
                    .map(|(key, node)| (key.clone(), node.to_value()))
                    .collect(),
            ),
        }
    }

    /// The node at a dotted path.
    pub fn get(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(self, |node, key| match node {
            Node::Table(entries) => entries.get(key),
            _ => None,
        })
    }

    /// Lays `upper` over `self`.
    pub fn merge(&mut self, upper: Node) {
        merge_at(self, upper, "");
    }

    /// Every value with its path and origin, in the order of the paths.
    pub fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        collect(self, "", &mut leaves);
        leaves
    }
}

/// One value of a merged profile, for `profile show`.
#[derive(Debug, Clone, Serialize)]
pub struct Leaf {
    /// Dotted path; elements of one list share it.
    pub path: String,
    /// The value.
    pub value: toml::Value,
    /// Where it was written.
    #[serde(flatten)]
    pub origin: Origin,
}

fn collect(node: &Node, path: &str, leaves: &mut Vec<Leaf>) {
    let leaf = |value: &toml::Value, origin: &Origin| Leaf {
        path: path.to_owned(),
        value: value.clone(),
        origin: origin.clone(),
    };
    match node {
        Node::Value(value, origin) => leaves.push(leaf(value, origin)),
        Node::List(elements) => {
            leaves.extend(elements.iter().map(|(value, origin)| leaf(value, origin)));
        }
        Node::Table(entries) => {
            for (key, node) in entries {
                collect(node, &join(path, key), leaves);
            }
        }
    }
}

fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

fn merge_at(lower: &mut Node, upper: Node, path: &str) {
    match (lower, upper) {
        (Node::Table(lower), Node::Table(upper)) => {
            for (key, node) in upper {
                if path.is_empty() && STRUCTURAL.contains(&key.as_str()) {
                    continue;
                }
                let below = join(path, &key);
                let empty = match &node {
                    Node::Table(_) => Node::table(),
                    _ => Node::List(Vec::new()),
                };
                merge_at(lower.entry(key).or_insert(empty), node, &below);
            }
        }
        (Node::List(lower), Node::List(upper)) if !is_replaced(path) => {
            for (value, origin) in upper {
                add(lower, value, origin);
            }
        }
        (lower, upper) => *lower = upper,
    }
}

fn is_replaced(path: &str) -> bool {
    REPLACED.contains(&path) || path.starts_with("values.")
}

/// Adds an element; one that says the same of the same thing takes its place.
fn add(list: &mut Vec<(toml::Value, Origin)>, value: toml::Value, origin: Origin) {
    let subject = |value: &toml::Value| match value {
        toml::Value::String(text) => {
            let text = text.strip_prefix('-').unwrap_or(text);
            toml::Value::String(text.strip_suffix('?').unwrap_or(text).to_owned())
        }
        // Repositories: a tag names one, whatever its address.
        toml::Value::Table(table) => match table.get("tag") {
            Some(tag) => {
                toml::Value::Table(toml::Table::from_iter([("tag".to_owned(), tag.clone())]))
            }
            None => value.clone(),
        },
        other => other.clone(),
    };
    let removed = |value: &toml::Value| value.as_str().is_some_and(|text| text.starts_with('-'));
    let wanted = subject(&value);
    let before = list
        .iter()
        .position(|(present, _)| names_same(&subject(present), &wanted));
    match (before, removed(&value)) {
        (Some(index), true) => {
            list.remove(index);
        }
        (Some(index), false) => list[index] = (value, origin),
        // A removal of what is not there is kept: resolving the profile reports it.
        (None, _) => list.push((value, origin)),
    }
}

/// `-chrony` takes away `chrony>4` too: a removal names a package, not a constraint.
fn names_same(present: &toml::Value, wanted: &toml::Value) -> bool {
    if present == wanted {
        return true;
    }
    match (present.as_str(), wanted.as_str()) {
        (Some(present), Some(wanted)) => {
            let name = |text: &str| {
                text.split(['<', '>', '=', '~', '@'])
                    .next()
                    .map(str::to_owned)
            };
            // A kernel argument such as `console=ttyS0` is no constraint: a second console is
            // another word, not another value of the first.
            !present.starts_with("console=") && name(present) == name(wanted)
        }
        _ => false,
    }
}

fn plain(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        // Typed parsing has accepted the number before.
        DeValue::Integer(number) => toml::Value::Integer(
            i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_default(),
        ),
        DeValue::Float(number) => toml::Value::Float(number.as_str().parse().unwrap_or_default()),
        DeValue::Boolean(flag) => toml::Value::Boolean(*flag),
        DeValue::Datetime(time) => toml::Value::Datetime(*time),
        DeValue::Array(array) => list(array),
        DeValue::Table(table) => toml::Value::Table(
            table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref())))
                .collect(),
        ),
    }
}

fn list(array: &DeArray<'_>) -> toml::Value {
    toml::Value::Array(array.iter().map(|value| plain(value.get_ref())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        let table = DeTable::parse(text).expect("parses");
        Node::from_table(table.get_ref(), &Arc::from("t.toml"), text)
    }

    fn merged(lower: &str, upper: &str) -> String {
        let mut base = Node::table();
        base.merge(node(lower));
        base.merge(node(upper));
        base.to_value().to_string()
    }

    #[test]
    fn lists_add_and_take_away() {
        let lower = r#"packages = ["a", "b>1", "c?"]"#;
        assert_eq!(
            merged(lower, r#"packages = ["d", "-b", "c"]"#),
            r#"{ packages = ["a", "c", "d"] }"#
        );
    }

    #[test]
    fn a_tag_names_one_repository() {
        let mut base =
            node(r#"repositories = ["main", { url = "theirs", tag = "t" }, { url = "untagged" }]"#);
        base.merge(node(
            r#"repositories = [{ url = "ours", tag = "t" }, { url = "another", tag = "u" }]"#,
        ));
        let expected: toml::Table = toml::from_str(
            r#"repositories = ["main", { url = "ours", tag = "t" }, { url = "untagged" }, { url = "another", tag = "u" }]"#,
        )
        .expect("TOML");
        assert_eq!(base.to_value(), toml::Value::Table(expected));
    }

    #[test]
    fn some_lists_replace() {
        assert_eq!(
            merged(r#"arch = ["x86_64"]"#, r#"arch = ["aarch64"]"#),
            r#"{ arch = ["aarch64"] }"#
        );
    }

    #[test]
    fn kernel_arguments_are_not_constraints() {
        let both = merged(
            r#"kernel.cmdline = ["console=tty0", "quiet"]"#,
            r#"kernel.cmdline = ["console=ttyS0"]"#,
        );
        assert_eq!(
            both,
            r#"{ kernel = { cmdline = ["console=tty0", "quiet", "console=ttyS0"] } }"#
        );
    }

    #[test]
    fn origins_are_kept() {
        let mut base = node("alpine = \"3.15\"\n[disk]\nsize = \"2GiB\"\n");
        base.merge(node("\n\n[disk]\nlabel = \"x\"\n"));
        let leaves: Vec<_> = base
            .leaves()
            .iter()
            .map(|leaf| format!("{} {}", leaf.path, leaf.origin))
            .collect();
        assert_eq!(
            leaves,
            [
                "alpine t.toml:1",
                "disk.label t.toml:4",
                "disk.size t.toml:3"
            ]
        );
    }
}
