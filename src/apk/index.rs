//! The text of an `APKINDEX`: one record a package, read and written.
//!
//! A record is lines of `X:value`, ended by an empty line; `apk_pkg_add_info` and
//! `apk_pkg_write_index_entry` in `src/package.c` of apk-tools say what the letters mean and in
//! which order they are written.

mod checksum;
mod parse;

use std::fmt::{self, Write as _};

use serde::Serialize;

pub use self::checksum::{Checksum, ChecksumError};
pub(crate) use self::parse::is_package_name;
pub use self::parse::{IndexError, parse_index};
use crate::apk::dependency::{Dependency, Provide};
use crate::apk::version::Version;

/// A package as an index describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexPackage {
    /// `P:`
    pub name: Box<str>,
    /// `V:`
    pub version: Version,
    /// `A:`, in Alpine's words; `noarch` runs anywhere.
    pub arch: Box<str>,
    /// `C:`
    pub checksum: Checksum,
    /// `S:` the bytes of the `.apk` file.
    pub size: u64,
    /// `I:` the bytes it takes once installed; a package with 0 carries no files.
    pub installed_size: u64,
    /// `T:`
    pub description: Box<str>,
    /// `U:`
    pub url: Box<str>,
    /// `L:` mostly an SPDX expression.
    pub license: Box<str>,
    /// `o:` the aport it was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<str>>,
    /// `m:`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintainer: Option<Box<str>>,
    /// `t:` seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_time: Option<u64>,
    /// `c:` the commit of the ports tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Box<str>>,
    /// `k:` which of several providers of a name is taken; 0 is none of its own accord.
    pub provider_priority: u32,
    /// `D:`
    pub depends: Vec<Dependency>,
    /// `p:`
    pub provides: Vec<Provide>,
    /// `i:` it comes by itself when all of these are there.
    pub install_if: Vec<Dependency>,
    /// `r:` packages whose files it may overwrite. Indexes leave it out, installed databases do not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<Dependency>,
    /// `q:`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces_priority: Option<u32>,
    /// Entries that could not be read. Real indexes have a few (`pc:wofi=v1.3`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Unreadable>,
}

/// An entry of a record that does not follow the rules, kept so that it can be told and written back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The letter of the line.
    pub field: char,
    /// The entry.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unreadable { field, problem, .. } = self;
        write!(f, "field `{field}`: {problem}")
    }
}

impl IndexPackage {
    /// The name of its file in the repository.
    pub fn file_name(&self) -> String {
        format!("{}-{}.apk", self.name, self.version)
    }

    /// Why apk would not install this package although the index lists it: a dependency that it
    /// cannot understand, or a field from the future. An unreadable provide only goes missing.
    pub fn uninstallable(&self) -> Option<&Unreadable> {
        self.unreadable
            .iter()
            .find(|entry| entry.field == 'D' || !"pi".contains(entry.field))
    }

    /// The record of this package, with the empty line that ends it.
    pub fn to_index_record(&self) -> String {
        let mut record = String::with_capacity(512);
        // Writing to a String cannot fail.
        let _ = self.write_record(&mut record);
        record
    }

    fn write_record(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            "C:{}\nP:{}\nV:{}\nA:{}",
            self.checksum, self.name, self.version, self.arch
        )?;
        writeln!(out, "S:{}\nI:{}", self.size, self.installed_size)?;
        writeln!(
            out,
            "T:{}\nU:{}\nL:{}",
            self.description, self.url, self.license
        )?;
        write_field(out, 'o', self.origin.as_ref())?;
        write_field(out, 'm', self.maintainer.as_ref())?;
        write_field(out, 't', self.build_time)?;
        write_field(out, 'c', self.commit.as_ref())?;
        let priority = (self.provider_priority != 0).then_some(self.provider_priority);
        write_field(out, 'k', priority)?;
        self.write_list(out, 'D', &self.depends)?;
        self.write_list(out, 'p', &self.provides)?;
        self.write_list(out, 'i', &self.install_if)?;
        self.write_list(out, 'r', &self.replaces)?;
        write_field(out, 'q', self.replaces_priority)?;
        out.push('\n');
        Ok(())
    }

    fn write_list<T: fmt::Display>(
        &self,
        out: &mut String,
        field: char,
        list: &[T],
    ) -> fmt::Result {
        let unreadable = || self.unreadable.iter().filter(|entry| entry.field == field);
        if list.is_empty() && unreadable().next().is_none() {
            return Ok(());
        }
        write!(out, "{field}")?;
        let mut separator = ':';
        for entry in list {
            write!(out, "{separator}{entry}")?;
            separator = ' ';
        }
        for entry in unreadable() {
            write!(out, "{separator}{}", entry.text)?;
            separator = ' ';
        }
        out.push('\n');
        Ok(())
    }
}

fn write_field<T: fmt::Display>(out: &mut String, field: char, value: Option<T>) -> fmt::Result {
    match value {
        Some(value) => writeln!(out, "{field}:{value}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "\
C:Q1YCZ4e/kV0Uaynh14//zvTTyN7x8=
P:7zip
V:23.01-r0
A:x86_64
S:866787
I:1720320
T:File archiver: with a high compression ratio
U:https://7-zip.org/
L:LGPL-2.0-only
o:7zip
m:Alex Xu (Hello71) <alex_y_xu@yahoo.ca>
t:1688146859
c:da4780262417a9446b7d13fe9bb7e83c54edb53d
k:100
D:so:libc.musl-x86_64.so.1 !p7zip<23
p:7zip-virtual p7zip=23.01-r0 cmd:7z=23.01-r0
i:docs 7zip=23.01-r0

";

    fn one(text: &str) -> IndexPackage {
        let mut packages = parse_index(text).expect("a valid index");
        assert_eq!(packages.len(), 1);
        packages.remove(0)
    }

    fn refused(text: &str) -> String {
        parse_index(text).expect_err("an invalid index").to_string()
    }

    #[test]
    fn reads_every_field() {
        let package = one(RECORD);
        assert_eq!(package.file_name(), "7zip-23.01-r0.apk");
        assert_eq!(
            package.checksum.to_string(),
            "Q1YCZ4e/kV0Uaynh14//zvTTyN7x8="
        );
        assert_eq!((package.size, package.installed_size), (866_787, 1_720_320));
        assert_eq!(
            &*package.description,
            "File archiver: with a high compression ratio"
        );
        assert_eq!(package.build_time, Some(1_688_146_859));
        assert_eq!(package.provider_priority, 100);
        assert_eq!(package.depends[1].to_string(), "!p7zip<23");
        assert_eq!(package.provides[0].version, None);
        assert_eq!(package.install_if.len(), 2);
        assert_eq!(package.unreadable, []);
    }

    #[test]
    fn writes_what_it_read() {
        assert_eq!(one(RECORD).to_index_record(), RECORD);
    }

    #[test]
    fn records_end_at_empty_lines_or_the_end() {
        assert_eq!(parse_index("").expect("empty"), []);
        assert_eq!(parse_index("\n\n").expect("empty lines"), []);
        let two = format!("\n{RECORD}\n\n{}", RECORD.trim_end());
        assert_eq!(parse_index(&two).expect("two records").len(), 2);
    }

    #[test]
    fn unreadable_provides_go_missing() {
        let package = one(&RECORD.replace("p:7zip-virtual", "p:pc:wofi=v1.3"));
        assert_eq!(package.provides.len(), 2);
        assert_eq!(package.unreadable[0].text, "pc:wofi=v1.3");
        assert_eq!(package.uninstallable(), None);
        assert!(
            package
                .to_index_record()
                .contains("cmd:7z=23.01-r0 pc:wofi=v1.3\n")
        );
    }

    #[test]
    fn unreadable_dependencies_make_uninstallable() {
        let package = one(&RECORD.replace("!p7zip<23", "foo>=latest"));
        let why = package.uninstallable().expect("it is not installable");
        assert!(why.problem.contains("`latest`"), "{}", why.problem);
        let future = one(&RECORD.replace("t:1688146859", "X:something"));
        assert!(future.uninstallable().is_some());
        let ignored = one(&RECORD.replace("t:1688146859", "x:something"));
        assert!(ignored.unreadable.is_empty());
    }

    #[test]
    fn half_a_condition_is_none() {
        let package = one(&RECORD.replace("i:docs", "i:docs>=x"));
        assert!(package.install_if.is_empty());
        assert_eq!(package.uninstallable(), None);
    }

    #[test]
    fn errors_name_line_and_package() {
        for (from, to, message) in [
            (
                "V:23.01-r0",
                "V:23.01-1",
                "index line 3, package 7zip: invalid version `23.01-1`: unexpected `-1`",
            ),
            (
                "S:866787",
                "S:many",
                "index line 5, package 7zip: `many` in field `S` is not a number",
            ),
            (
                "S:866787",
                "size 5",
                "index line 5, package 7zip: `size 5` is not a field such as `P:name`",
            ),
            (
                "V:23.01-r0\n",
                "",
                "index line 17, package 7zip: the record has no `V:` line",
            ),
            ("P:7zip\n", "", "index line 17: the record has no `P:` line"),
            (
                "Q1YCZ",
                "Q1YC",
                "index line 1: invalid checksum `Q1YC4e/kV0Uaynh14//zvTTyN7x8=`: it must be Q1 and 28 characters of base64, or Q2 and 44",
            ),
        ] {
            assert_eq!(refused(&RECORD.replacen(from, to, 1)), message);
        }
    }

    #[test]
    fn a_name_is_never_a_path() {
        for name in ["../x", "a/b", ".x", "-x", "a b"] {
            let record = format!("C:Q1EfatjsUqKYSrqv18O1FlA3hcIHI=\nP:{name}\nV:1\nA:noarch\n");
            let error = parse_index(&record).expect_err(name);
            assert!(
                error.to_string().contains("cannot be a package's name"),
                "{error}"
            );
        }
    }
}
