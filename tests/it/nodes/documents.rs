//! The keys of documents: of YAML the part that the overlays keep to, and of TOML.

/// Every scalar of a YAML document with its path: `a.b` below mappings, `a[].b` in lists.
///
/// Anything but block mappings, block lists and plain or double-quoted scalars on one line is refused:
/// the overlays have nothing else, and a reader of all of YAML would be one more dependency.
#[track_caller]
pub fn yaml_scalars(text: &str) -> Vec<(String, String)> {
    let mut scalars = Vec::new();
    // What is open: the column where each key or dash stands.
    let mut open: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let mut rest = line.trim_start_matches(' ');
        if rest.is_empty() || rest.starts_with('#') {
            continue;
        }
        let mut column = line.len() - rest.len();
        if let Some(item) = rest.strip_prefix("- ") {
            open.retain(|(at, _)| *at < column);
            open.push((column, "[]".to_owned()));
            column += 2;
            rest = item;
        }
        open.retain(|(at, _)| *at < column);
        let (key, value) = match (rest.split_once(": "), rest.strip_suffix(':')) {
            (Some((key, value)), _) if is_plain(key) => (Some(key), value.trim()),
            (None, Some(key)) if is_plain(key) => (Some(key), ""),
            _ => (None, rest),
        };
        if let Some(key) = key {
            open.push((column, key.to_owned()));
        }
        if !value.is_empty() {
            scalars.push((path(&open), scalar(value, line).to_owned()));
        }
    }
    scalars
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric())
}

#[track_caller]
fn scalar<'a>(value: &'a str, line: &str) -> &'a str {
    if let Some(quoted) = value.strip_prefix('"') {
        let end = quoted.strip_suffix('"');
        return end.filter(|text| !text.contains(['"', '\\'])).expect(line);
    }
    let special = value.starts_with(['&', '*', '!', '|', '>', '[', '{', '\'', '%', '@', '`']);
    assert!(!special && !value.contains(" #"), "not understood: {line}");
    value
}

fn path(open: &[(usize, String)]) -> String {
    let mut path = String::new();
    for (_, part) in open {
        if !path.is_empty() && part != "[]" {
            path.push('.');
        }
        path.push_str(part);
    }
    path
}

/// Every value of a TOML document with its path: `table.key`.
#[track_caller]
pub fn toml_values(text: &str) -> Vec<(String, toml::Value)> {
    let table: toml::Table = toml::from_str(text).expect("TOML");
    let mut values = Vec::new();
    collect(&table, "", &mut values);
    values
}

fn collect(table: &toml::Table, below: &str, values: &mut Vec<(String, toml::Value)>) {
    for (key, value) in table {
        let path = match below {
            "" => key.clone(),
            below => format!("{below}.{key}"),
        };
        match value {
            toml::Value::Table(table) => collect(table, &path, values),
            value => values.push((path, value.clone())),
        }
    }
}

#[test]
fn yaml_is_read_as_far_as_it_is_used() {
    let text = "# c\na: 1\nb:\n  c: x y\n  d: \"*.e:f\"\ng:\n  - h: i\n    j:\n      - \"k\"\n      - l\n  - h: m\n";
    let expected = [
        ("a", "1"),
        ("b.c", "x y"),
        ("b.d", "*.e:f"),
        ("g[].h", "i"),
        ("g[].j[]", "k"),
        ("g[].j[]", "l"),
        ("g[].h", "m"),
    ];
    let read = yaml_scalars(text);
    let read: Vec<_> = read
        .iter()
        .map(|(path, value)| (path.as_str(), value.as_str()))
        .collect();
    assert_eq!(read, expected);
}
