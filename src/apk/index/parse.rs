//! Reading the records of an index.

use std::fmt;
use std::str::FromStr;

use super::{Checksum, IndexPackage, Unreadable};
use crate::apk::dependency::{Dependency, Provide};
use crate::apk::version::Version;

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

/// Whether a package can be called so: its name becomes part of file names, so it is no path.
pub(crate) fn is_package_name(name: &str) -> bool {
    let part_of_name = |c: char| !c.is_whitespace() && !c.is_control() && c != '/';
    !name.is_empty() && name.chars().all(part_of_name) && !name.starts_with(['.', '-'])
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
        let (field, value) = match line.as_bytes() {
            [field, b':', ..] if field.is_ascii() => (char::from(*field), &line[2..]),
            _ => return Err(self.fault(format_args!("`{line}` is not a field such as `P:name`"))),
        };
        match field {
            'C' => self.checksum = Some(value.parse().map_err(|e| self.fault(e))?),
            'P' => self.name = Some(self.package_name(value)?),
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

    fn package_name(&self, name: &'a str) -> Result<&'a str, Fault> {
        if name.is_empty() || is_package_name(name) {
            return Ok(name);
        }
        Err(self.fault(format_args!(
            "`{}` cannot be a package's name",
            name.escape_debug()
        )))
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
