//! The id of a release and the names of its AMIs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::{Date, Month};

use crate::arch::Arch;

/// A text that is no release id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no release id: one looks like kubezero-1.22.8-x86_64-20260131.1")]
pub struct ReleaseIdError(String);

/// One image as AMIs in all its Regions: `<profile>-<version>-<arch>-<yyyymmdd>.<n>`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId {
    /// The profile and architecture.
    pub line: Line,
    /// The day it was begun, in UTC: `yyyymmdd`.
    pub date: u32,
    /// Counts the line's releases of a day, from 1.
    pub number: u32,
}

/// What releases follow one another in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The profile.
    pub profile: String,
    /// The version of what the image is made for; it holds no hyphen.
    pub version: String,
    /// The architecture.
    pub arch: Arch,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.profile, self.version, self.arch)
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}.{}", self.line, self.date, self.number))
    }
}

impl ReleaseId {
    /// The day it was begun, if it is one of the calendar.
    pub fn day(&self) -> Option<Date> {
        let (year, month, day) = (self.date / 10_000, self.date / 100 % 100, self.date % 100);
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let year = i32::try_from(year).ok()?;
        Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()
    }
}

impl FromStr for ReleaseId {
    type Err = ReleaseIdError;

    fn from_str(text: &str) -> Result<ReleaseId, ReleaseIdError> {
        parse(text).ok_or_else(|| ReleaseIdError(text.to_owned()))
    }
}

/// From the right: a profile's name may hold hyphens.
fn parse(text: &str) -> Option<ReleaseId> {
    let (rest, day) = text.rsplit_once('-')?;
    let (date, number) = day.split_once('.')?;
    let (rest, arch) = rest.rsplit_once('-')?;
    let (profile, version) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = date.len() == 8 && digits(date) && digits(number) && !number.starts_with('0');
    let word = |text: &str| {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        !text.is_empty() && text.bytes().all(is_good)
    };
    (fits && word(profile) && word(version)).then_some(())?;
    Some(ReleaseId {
        line: Line {
            profile: profile.to_owned(),
            version: version.to_owned(),
            arch: arch.parse().ok()?,
        },
        date: date.parse().ok()?,
        number: number.parse().ok()?,
    })
}

impl TryFrom<String> for ReleaseId {
    type Error = ReleaseIdError;

    fn try_from(text: String) -> Result<ReleaseId, ReleaseIdError> {
        text.parse()
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> String {
        id.to_string()
    }
}

/// A name that AWS would not take for an AMI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the AMI's name would be `{name}`, which AWS does not take: {why} (3 to 128 characters of letters, digits and ()[] ./-'@_)"
)]
pub struct AmiNameError {
    /// The name.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// `<publisher>/<profile>/<version>/alpine-<x.y.z>/<arch>/<yyyymmdd>.<n>`: what customers see and
/// filter on.
///
/// # Errors
/// AWS does not take the name (RegisterImage's page).
pub fn ami_name(
    publisher: &str,
    release: &ReleaseId,
    alpine: &str,
) -> Result<String, AmiNameError> {
    let Line {
        profile,
        version,
        arch,
    } = &release.line;
    let (date, number) = (release.date, release.number);
    let name = format!("{publisher}/{profile}/{version}/alpine-{alpine}/{arch}/{date}.{number}");
    let is_good = |c: &char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(*c);
    let why = match name.chars().find(|c| !is_good(c)) {
        Some(bad) => Some(format!("`{bad}` is not allowed")),
        None if name.len() > 128 => Some(format!("it has {} characters", name.len())),
        None => None,
    };
    match why {
        Some(why) => Err(AmiNameError { name, why }),
        None => Ok(name),
    }
}

/// What an AMI's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmiName {
    /// The publisher's name: one account may publish under several.
    pub publisher: String,
    /// The release.
    pub release: ReleaseId,
    /// Alpine's version.
    pub alpine: String,
}

impl AmiName {
    /// Reads a name that [`ami_name`] gives; nothing of another form. Whoever owns an AMI names it as
    /// they like, so all parts are words that can be printed anywhere, and the date is a day.
    pub fn parse(name: &str) -> Option<AmiName> {
        let parts: Vec<&str> = name.split('/').collect();
        let [publisher, profile, version, alpine, arch, day] = parts[..] else {
            return None;
        };
        let alpine = alpine.strip_prefix("alpine-")?;
        // No option, formula or path begins with a letter or digit.
        let is_word = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let words = [publisher, profile, version, alpine];
        words.into_iter().all(is_word).then_some(())?;
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        publisher.bytes().all(is_good).then_some(())?;
        let is_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
        let is_alpine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        (alpine.split('.').all(is_number) && alpine.bytes().all(is_alpine)).then_some(())?;
        let id = format!("{profile}-{version}-{arch}-{day}");
        let release: ReleaseId = id.parse().ok()?;
        release.day()?;
        // A hyphen in the version would be read as the profile's.
        (ami_name(publisher, &release, alpine).ok()?.as_str() == name).then(|| AmiName {
            publisher: publisher.to_owned(),
            release,
            alpine: alpine.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_the_right() {
        let id: ReleaseId = "my-node-1.22.8-x86_64-20260131.12".parse().expect("an id");
        assert_eq!(id.line.profile, "my-node");
        assert_eq!(
            (id.line.version.as_str(), id.line.arch),
            ("1.22.8", Arch::X86_64)
        );
        assert_eq!((id.date, id.number), (20_260_131, 12));
        assert_eq!(id.to_string(), "my-node-1.22.8-x86_64-20260131.12");
        for bad in [
            "",
            "base",
            "base-1-x86_64-20260131",
            "base-1-x86_64-20260131.0",
            "base-1-x86_64-2026131.1",
            "base-1-mips-20260131.1",
            "base-x86_64-20260131.1",
            "ba/se-1-x86_64-20260131.1",
        ] {
            assert!(bad.parse::<ReleaseId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_what_aws_takes() {
        let id: ReleaseId = "base-3.15-aarch64-20260131.1".parse().expect("an id");
        let name = ami_name("kubezero", &id, "3.15.11").expect("a name");
        assert_eq!(name, "kubezero/base/3.15/alpine-3.15.11/aarch64/20260131.1");
        let error = ami_name("kube zéro", &id, "3.15.11").expect_err("a letter");
        assert_eq!(error.why, "`é` is not allowed");
        assert!(ami_name(&"x".repeat(100), &id, "3.15.11").is_err());
    }

    #[test]
    fn names_of_amis_are_read_as_they_were_written() {
        let id: ReleaseId = "my-node-1.22.8-aarch64-20260131.12".parse().expect("an id");
        let name = ami_name("kube.zero_1", &id, "3.15.11").expect("a name");
        let read = AmiName::parse(&name).expect("ours");
        assert_eq!(
            (read.publisher.as_str(), read.alpine.as_str()),
            ("kube.zero_1", "3.15.11")
        );
        assert_eq!(read.release, id);
        assert_eq!(
            read.release.day().map(|day| day.to_string()).as_deref(),
            Some("2026-01-31")
        );
        for other in [
            "",
            "base",
            "p/base/3.15/alpine-3.15.11/x86_64",
            "p/base/3.15/alpine-3.15.11/x86_64/20260131.1/x",
            "p/base/3.15/alpine-3.15.11/x86_64/20260131.1 ",
            "p/base/3.15/alpine-3.15.11/x86_64/20260131.01",
            "p/base/3.15/alpine-3.15.11/x86_64/20260231.1",
            "p/base/3.15/alpine-3.15.11/x86_64/20260131.0",
            "p/base/3.15/alpine-3.15.11/mips/20260131.1",
            "p/base/3.15/debian-3.15.11/x86_64/20260131.1",
            "p/base/3.15/alpine-/x86_64/20260131.1",
            "p/base/3.15/alpine-3..1/x86_64/20260131.1",
            "p/base/3.15/alpine-x/x86_64/20260131.1",
            "p/base/3-15/alpine-3.15.11/x86_64/20260131.1",
            "/base/3.15/alpine-3.15.11/x86_64/20260131.1",
            "-p/base/3.15/alpine-3.15.11/x86_64/20260131.1",
            "=p/base/3.15/alpine-3.15.11/x86_64/20260131.1",
            "p/-base/3.15/alpine-3.15.11/x86_64/20260131.1",
            "p/ba se/3.15/alpine-3.15.11/x86_64/20260131.1",
            "p q/base/3.15/alpine-3.15.11/x86_64/20260131.1",
            "p\u{1b}[31m/base/3.15/alpine-3.15.11/x86_64/20260131.1",
            "p\n/base/3.15/alpine-3.15.11/x86_64/20260131.1",
            "p/base/3.15/alpine-3.15.\u{661}/x86_64/20260131.1",
        ] {
            assert_eq!(AmiName::parse(other), None, "{other}");
        }
    }
}
