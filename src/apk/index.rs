//! The text of an `APKINDEX`: one record a package, read and written.
//!
//! A record is lines of `X:value`, ended by an empty line; `apk_pkg_add_info` and
//! `apk_pkg_write_index_entry` in `src/package.c` of apk-tools say what the letters mean and in
//! which order they are written.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::apk::dependency::{Dependency, Provide};
use crate::apk::version::Version;

/// What identifies a package: the digest of its compressed control member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checksum {
    /// `Q1`: SHA-1, what apk 2 writes.
    Sha1([u8; 20]),
    /// `Q2`: SHA-256, which newer tools may write.
    Sha256([u8; 32]),
}

/// A text that is not a checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid checksum `{0}`: it must be Q1 and 28 characters of base64, or Q2 and 44")]
pub struct ChecksumError(String);

impl Checksum {
    /// The digest itself.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Checksum::Sha1(bytes) => bytes,
            Checksum::Sha256(bytes) => bytes,
        }
    }
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let decode = |encoded: &str| STANDARD.decode(encoded).ok();
        let parsed = if let Some(encoded) = text.strip_prefix("Q1") {
            decode(encoded).and_then(|bytes| bytes.try_into().ok().map(Checksum::Sha1))
        } else if let Some(encoded) = text.strip_prefix("Q2") {
            decode(encoded).and_then(|bytes| bytes.try_into().ok().map(Checksum::Sha256))
        } else {
            None
        };
        parsed.ok_or_else(|| ChecksumError(text.to_owned()))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Checksum::Sha1(_) => "Q1",
            Checksum::Sha256(_) => "Q2",
        };
        write!(f, "{kind}{}", STANDARD.encode(self.as_bytes()))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Checksum {
    fn schema_name() -> Cow<'static, str> {
        "Checksum".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Q1 and the base64 of a SHA-1, or Q2 and that of a SHA-256",
            "pattern": "^Q[12][A-Za-z0-9+/]+=*$",
        })
    }
}

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

/// An index that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("index line {line}{}: {problem}", of_package(package.as_deref()))]
pub struct IndexError {
    /// Counted from 1.
    pub line: usize,
    /// The package whose record it is in, where its name came before the mistake.
    pub package: Option<String>,
    /// What is wrong.
    pub problem: String,
}

fn of_package(package: Option<&str>) -> String {
    package.map_or_else(String::new, |name| format!(", package {name}"))
}

/// Reads the text of an `APKINDEX`.
///
/// # Errors
/// The first line that is not a field, the first number, version or checksum that is none, or the
/// first record without a name, version, architecture or checksum. A dependency that cannot be
/// read is no error here: see [`IndexPackage::unreadable`].
pub fn parse_index(text: &str) -> Result<Vec<IndexPackage>, IndexError> {
    // Alpine's records take 400 bytes on average.
    let mut packages = Vec::with_capacity(text.len() / 400 + 1);
    let mut record = Record::default();
    let mut count = 0;
    for (number, line) in (1..).zip(text.lines()) {
        count = number;
        let done = if line.is_empty() {
            std::mem::take(&mut record).finish()
        } else {
            record.add(line).map(|()| None)
        };
        match done {
            Ok(package) => packages.extend(package),
            Err(fault) => return Err(fault.at(number)),
        }
    }
    match record.finish() {
        Ok(package) => packages.extend(package),
        Err(fault) => return Err(fault.at(count)),
    }
    Ok(packages)
}

/// What went wrong in a record, before its line is known.
struct Fault {
    package: Option<String>,
    problem: String,
}

impl Fault {
    fn at(self, line: usize) -> IndexError {
        IndexError {
            line,
            package: self.package,
            problem: self.problem,
        }
    }
}

/// The record that is being read.
#[derive(Default)]
struct Record<'a> {
    touched: bool,
    name: Option<&'a str>,
    version: Option<Version>,
    arch: Option<&'a str>,
    checksum: Option<Checksum>,
    size: u64,
    installed_size: u64,
    description: &'a str,
    url: &'a str,
    license: &'a str,
    origin: Option<&'a str>,
    maintainer: Option<&'a str>,
    build_time: Option<u64>,
    commit: Option<&'a str>,
    provider_priority: u32,
    depends: Vec<Dependency>,
    provides: Vec<Provide>,
    install_if: Vec<Dependency>,
    replaces: Vec<Dependency>,
    replaces_priority: Option<u32>,
    unreadable: Vec<Unreadable>,
}

impl<'a> Record<'a> {
    fn fault(&self, problem: impl fmt::Display) -> Fault {
        Fault {
            package: self.name.map(str::to_owned),
            problem: problem.to_string(),
        }
    }

    fn add(&mut self, line: &'a str) -> Result<(), Fault> {
        self.touched = true;
        let (field, value) = match line.split_once(':') {
            Some((field, value)) if field.len() == 1 => (char::from(field.as_bytes()[0]), value),
            _ => return Err(self.fault(format_args!("`{line}` is not a field such as `P:name`"))),
        };
        match field {
            'C' => self.checksum = Some(value.parse().map_err(|e| self.fault(e))?),
            'P' => self.name = Some(value),
            'V' => self.version = Some(value.parse().map_err(|e| self.fault(e))?),
            'A' => self.arch = Some(value),
            'S' => self.size = self.number(field, value)?,
            'I' => self.installed_size = self.number(field, value)?,
            'T' => self.description = value,
            'U' => self.url = value,
            'L' => self.license = value,
            'o' => self.origin = Some(value),
            'm' => self.maintainer = Some(value),
            't' => self.build_time = Some(self.number(field, value)?),
            'c' => self.commit = Some(value),
            'k' => self.provider_priority = self.number(field, value)?,
            'q' => self.replaces_priority = Some(self.number(field, value)?),
            'D' => self.depends = self.list(field, value, Dependency::parse_untagged),
            'p' => self.provides = self.list(field, value, str::parse),
            'i' => self.install_if = self.install_if(value),
            'r' => self.replaces = self.list(field, value, Dependency::parse_untagged),
            // Lower case letters may be ignored by who does not know them.
            'a'..='z' => {}
            _ => self.unreadable.push(Unreadable {
                field,
                text: line.to_owned(),
                problem: "it is not known and needs a newer apk".to_owned(),
            }),
        }
        Ok(())
    }

    fn number<N: FromStr>(&self, field: char, value: &str) -> Result<N, Fault> {
        value
            .parse()
            .map_err(|_| self.fault(format_args!("`{value}` in field `{field}` is not a number")))
    }

    fn list<T, E: fmt::Display>(
        &mut self,
        field: char,
        value: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let mut list = Vec::with_capacity(value.bytes().filter(|&byte| byte == b' ').count() + 1);
        for text in value.split_ascii_whitespace() {
            match parse(text) {
                Ok(entry) => list.push(entry),
                Err(error) => self.unreadable.push(Unreadable {
                    field,
                    text: text.to_owned(),
                    problem: error.to_string(),
                }),
            }
        }
        list
    }

    /// Half a condition would pull the package in where it does not belong, so all of it goes.
    fn install_if(&mut self, value: &str) -> Vec<Dependency> {
        let before = self.unreadable.len();
        let conditions = self.list('i', value, Dependency::parse_untagged);
        if self.unreadable.len() == before {
            return conditions;
        }
        self.unreadable.truncate(before);
        self.unreadable.push(Unreadable {
            field: 'i',
            text: value.to_owned(),
            problem: "a condition cannot be read".to_owned(),
        });
        Vec::new()
    }

    /// The package, or nothing where there was no line at all.
    fn finish(self) -> Result<Option<IndexPackage>, Fault> {
        if !self.touched {
            return Ok(None);
        }
        let missing = |line| self.fault(format_args!("the record has no `{line}` line"));
        let name = self.name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| missing("P:"))?.into();
        let arch = self.arch.ok_or_else(|| missing("A:"))?.into();
        let checksum = self.checksum.ok_or_else(|| missing("C:"))?;
        let version = match self.version {
            Some(version) => version,
            None => return Err(missing("V:")),
        };
        Ok(Some(IndexPackage {
            name,
            version,
            arch,
            checksum,
            size: self.size,
            installed_size: self.installed_size,
            description: self.description.into(),
            url: self.url.into(),
            license: self.license.into(),
            origin: self.origin.map(Into::into),
            maintainer: self.maintainer.map(Into::into),
            build_time: self.build_time,
            commit: self.commit.map(Into::into),
            provider_priority: self.provider_priority,
            depends: self.depends,
            provides: self.provides,
            install_if: self.install_if,
            replaces: self.replaces,
            replaces_priority: self.replaces_priority,
            unreadable: self.unreadable,
        }))
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
    fn checksums_come_in_two_kinds() {
        let sha256 = "Q2LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
        let checksum: Checksum = sha256.parse().expect("a SHA-256");
        assert_eq!(checksum.as_bytes().len(), 32);
        assert_eq!(checksum.to_string(), sha256);
        assert!(
            "Q3YCZ4e/kV0Uaynh14//zvTTyN7x8="
                .parse::<Checksum>()
                .is_err()
        );
        assert!(
            "Q2YCZ4e/kV0Uaynh14//zvTTyN7x8="
                .parse::<Checksum>()
                .is_err()
        );
    }
}
