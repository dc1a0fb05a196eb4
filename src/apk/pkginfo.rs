//! `.PKGINFO`: what a package says of itself, as `key = value` lines.

use std::fmt::Write as _;

/// Fields of an index or database record after name, version, architecture and file size, in their
/// order there, with the key of `.PKGINFO` that each comes from.
const RECORD: [(char, &str); 14] = [
    ('I', "size"),
    ('T', "pkgdesc"),
    ('U', "url"),
    ('L', "license"),
    ('o', "origin"),
    ('m', "maintainer"),
    ('t', "builddate"),
    ('c', "commit"),
    ('k', "provider_priority"),
    ('D', "depend"),
    ('p', "provides"),
    ('i', "install_if"),
    ('r', "replaces"),
    ('q', "replaces_priority"),
];

/// The fields of a `.PKGINFO`, in their order, repeatable ones repeated.
///
/// Keys are those of apk-tools (`src/package.c`): pkgname pkgver pkgdesc url size license arch
/// depend install_if provides origin maintainer builddate commit provider_priority replaces
/// replaces_priority triggers datahash packager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PkgInfo {
    fields: Vec<(String, String)>,
}

impl PkgInfo {
    /// Parses the text; comments, empty lines and lines without a key are skipped, as apk does.
    pub fn parse(text: &str) -> PkgInfo {
        let fields = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect();
        PkgInfo { fields }
    }

    /// The first value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(name, _)| name == key);
        field.map(|(_, value)| value.as_str())
    }

    /// Every value of a key that may be repeated.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The words of every value of `key`: `triggers`, `install_if` and `replaces` may hold several
    /// in one line.
    pub fn words<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(key).flat_map(str::split_ascii_whitespace)
    }

    /// Replaces every value of `key` by one.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.fields.retain(|(name, _)| name != key);
        self.fields.push((key.to_owned(), value.into()));
    }

    /// `name-version`, the stem of the package's file name and of its scripts' names.
    pub fn id(&self) -> Option<String> {
        Some(format!("{}-{}", self.get("pkgname")?, self.get("pkgver")?))
    }

    /// The lines of an index or database record that come from here.
    pub fn record_lines(&self) -> String {
        let mut text = String::new();
        for (field, key) in RECORD {
            let values: Vec<_> = self.all(key).collect();
            if !values.is_empty() {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{field}:{}", values.join(" "));
            }
        }
        text
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.fields {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{key} = {value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_and_comments() {
        let text = "# made by hand\npkgname = a\npkgver=1-r0\ndepend = b\ndepend = c>1\n\ntriggers = /x /y\n";
        let info = PkgInfo::parse(text);
        assert_eq!(info.id().as_deref(), Some("a-1-r0"));
        assert_eq!(info.all("depend").collect::<Vec<_>>(), ["b", "c>1"]);
        assert_eq!(info.words("triggers").collect::<Vec<_>>(), ["/x", "/y"]);
        assert_eq!(PkgInfo::parse(&info.to_text()), info);
    }
}
