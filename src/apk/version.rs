//! Versions of Alpine packages: what is one, and which of two is newer.
//!
//! A version is `digits{.digits}[letter][digits]{_suffix[digits]}[~hash][-rN]`. The rules are those of
//! `src/version.c` of apk-tools 3, with one thing taken over from apk-tools 2: digits may follow
//! the letter (`1.1.0b1`), because Alpine 3.19 still ships such versions.
//!
//! apk-tools 2.12 differs in one corner: it compares a component with leading zeros by its number of
//! zeros first, where apk-tools 3 (and this module) compares it as a string, as a fraction is read:
//! `1.010` is less than `1.02`.

use crate::text_form::text_form;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A version that is known to be well formed. It keeps the text it was read from.
///
/// Two versions are equal when apk takes them for the same (`1.0-r1` and `1.0-r01`), not when
/// their texts are; compare [`Version::as_str`] for that.
#[derive(Clone)]
pub struct Version(Box<str>);

/// A text that is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid version `{text}`: {problem}")]
pub struct VersionError {
    text: String,
    problem: String,
}

/// A piece of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    /// The first number.
    First(&'a str),
    /// A number after a dot or after the letter.
    Number(&'a str),
    Letter(u8),
    Suffix(Suffix),
    SuffixNumber(&'a str),
    Hash(&'a str),
    Revision(&'a str),
    End,
}

/// The kinds of parts, in the order in which they may follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    First,
    Number,
    Letter,
    Suffix,
    SuffixNumber,
    Hash,
    Revision,
    End,
}

/// What may follow an underscore. The ones before `None` mark what comes before a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    Alpha,
    Beta,
    Pre,
    Rc,
    /// No suffix at all; it is here for its place in the order.
    None,
    Cvs,
    Svn,
    Git,
    Hg,
    P,
}

impl Suffix {
    fn parse(text: &str) -> Option<Suffix> {
        Some(match text {
            "alpha" => Suffix::Alpha,
            "beta" => Suffix::Beta,
            "pre" => Suffix::Pre,
            "rc" => Suffix::Rc,
            "cvs" => Suffix::Cvs,
            "svn" => Suffix::Svn,
            "git" => Suffix::Git,
            "hg" => Suffix::Hg,
            "p" => Suffix::P,
            _ => return None,
        })
    }
}

impl Part<'_> {
    /// The place in the grammar. Where one version goes on and the other has come to a later
    /// place, the one that goes on is the newer: `1.0.1` has another number where `1.0` ends.
    fn place(self) -> Place {
        match self {
            Part::First(_) => Place::First,
            Part::Number(_) => Place::Number,
            Part::Letter(_) => Place::Letter,
            Part::Suffix(_) => Place::Suffix,
            Part::SuffixNumber(_) => Place::SuffixNumber,
            Part::Hash(_) => Place::Hash,
            Part::Revision(_) => Place::Revision,
            Part::End => Place::End,
        }
    }

    fn is_before_release(self) -> bool {
        matches!(self, Part::Suffix(suffix) if suffix < Suffix::None)
    }
}

/// Cuts a version into its parts from left to right.
struct Parts<'a> {
    rest: &'a str,
    /// The part before, which decides what may come next.
    last: Option<Place>,
}

impl<'a> Parts<'a> {
    fn new(text: &'a str) -> Self {
        Parts {
            rest: text,
            last: None,
        }
    }

    /// Takes the longest prefix of bytes that `belongs` accepts; all of them are ASCII.
    fn take(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let length = self.rest.bytes().take_while(|&byte| belongs(byte)).count();
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn digits(&mut self, after: &str) -> Result<&'a str, String> {
        let digits = self.take(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(match self.rest.chars().next() {
                None => format!("a number is missing after {after}"),
                Some(_) => format!("`{}` where a number is due after {after}", self.rest),
            });
        }
        Ok(digits)
    }

    /// The next part, [`Part::End`] for ever after the last one.
    fn next(&mut self) -> Result<Part<'a>, String> {
        let part = match self.last {
            Some(last) => self.following(last)?,
            None => Part::First(self.first()?),
        };
        self.last = Some(part.place());
        Ok(part)
    }

    fn first(&mut self) -> Result<&'a str, String> {
        let digits = self.take(|byte| byte.is_ascii_digit());
        match (digits, self.rest) {
            ("", "") => Err("it is empty".to_owned()),
            ("", rest) => Err(format!("`{rest}` where a number is due at the start")),
            (digits, _) => Ok(digits),
        }
    }

    fn following(&mut self, last: Place) -> Result<Part<'a>, String> {
        let whole = self.rest;
        let unexpected = || format!("unexpected `{whole}`");
        let Some(first) = whole.bytes().next() else {
            return Ok(Part::End);
        };
        match first {
            b'a'..=b'z' if last <= Place::Number => {
                self.rest = &whole[1..];
                Ok(Part::Letter(first))
            }
            b'.' if last <= Place::Number => {
                self.rest = &whole[1..];
                self.digits("a dot").map(Part::Number)
            }
            b'0'..=b'9' if last == Place::Letter => self.digits("a letter").map(Part::Number),
            b'0'..=b'9' if last == Place::Suffix => self.digits("a suffix").map(Part::SuffixNumber),
            b'_' if last <= Place::SuffixNumber => {
                self.rest = &whole[1..];
                let name = self.take(|byte| byte.is_ascii_lowercase());
                Suffix::parse(name)
                    .map(Part::Suffix)
                    .ok_or_else(|| format!("unknown suffix `_{name}`"))
            }
            b'~' if last < Place::Hash => {
                self.rest = &whole[1..];
                let hash = self.take(|byte| byte.is_ascii_hexdigit());
                if hash.is_empty() {
                    return Err(unexpected());
                }
                Ok(Part::Hash(hash))
            }
            b'-' if last < Place::Revision && whole.starts_with("-r") => {
                self.rest = &whole[2..];
                self.digits("`-r`").map(Part::Revision)
            }
            _ => Err(unexpected()),
        }
    }

    /// The next part of a text that has been read through before.
    fn next_valid(&mut self) -> Part<'a> {
        self.next()
            .expect("a Version is only made of a text that was read to its end")
    }
}

/// Compares two runs of digits as numbers of any length.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let a = a.trim_start_matches('0');
    let b = b.trim_start_matches('0');
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Compares two parts of the same kind.
fn compare_alike(a: Part<'_>, b: Part<'_>) -> Ordering {
    match (a, b) {
        // A leading zero makes it a fraction, so that 1.05 comes before 1.1.
        (Part::Number(a), Part::Number(b)) if a.starts_with('0') || b.starts_with('0') => a.cmp(b),
        (Part::First(a), Part::First(b))
        | (Part::Number(a), Part::Number(b))
        | (Part::SuffixNumber(a), Part::SuffixNumber(b))
        | (Part::Revision(a), Part::Revision(b)) => compare_numbers(a, b),
        (Part::Letter(a), Part::Letter(b)) => a.cmp(&b),
        (Part::Suffix(a), Part::Suffix(b)) => a.cmp(&b),
        (Part::Hash(a), Part::Hash(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

impl Version {
    /// Reads a version.
    ///
    /// # Errors
    /// Says which part of the text cannot stand where it stands.
    pub fn parse(text: &str) -> Result<Version, VersionError> {
        let mut parts = Parts::new(text);
        loop {
            match parts.next() {
                Ok(Part::End) => return Ok(Version(text.into())),
                Ok(_) => {}
                Err(problem) => {
                    return Err(VersionError {
                        text: text.to_owned(),
                        problem,
                    });
                }
            }
        }
    }

    /// The text as it was read.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this version begins with `prefix`, part for part: `1.2.3-r4` matches `1.2`, `1.20`
    /// does not. This is what `~` in a dependency asks for.
    pub fn matches_prefix(&self, prefix: &Version) -> bool {
        compare(&self.0, &prefix.0, true) == Ordering::Equal
    }

    /// Compares as `<~` and `>~` do: every version that begins with `prefix` equals it.
    pub(crate) fn compare_prefix(&self, prefix: &Version) -> Ordering {
        compare(&self.0, &prefix.0, true)
    }

    /// The version without its `-rN`, as upstream calls it.
    pub fn upstream(&self) -> &str {
        self.0
            .rsplit_once("-r")
            .map_or(&*self.0, |(upstream, _)| upstream)
    }
}

/// Compares two well-formed versions; with `prefix`, the end of `b` equals whatever `a` goes on with.
fn compare(a: &str, b: &str, prefix: bool) -> Ordering {
    let (mut left, mut right) = (Parts::new(a), Parts::new(b));
    loop {
        let (a, b) = (left.next_valid(), right.next_valid());
        if b == Part::End && (prefix || a == Part::End) {
            return Ordering::Equal;
        }
        if a.place() == b.place() {
            match compare_alike(a, b) {
                Ordering::Equal => continue,
                unequal => return unequal,
            }
        }
        // 1.0_rc1 is longer than 1.0 and yet older.
        if a.is_before_release() {
            return Ordering::Less;
        }
        if b.is_before_release() {
            return Ordering::Greater;
        }
        return b.place().cmp(&a.place());
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // Most comparisons while solving are of a version with itself.
        if self.0 == other.0 {
            return Ordering::Equal;
        }
        compare(&self.0, &other.0, false)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.0)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Version::parse(text)
    }
}

text_form!(Version, "Version", {
    "description": "An Alpine package version, such as 1.2.3_rc1-r0",
    "pattern": "^[0-9]",
});

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect(text)
    }

    /// Each row is in ascending order; `=` joins what is equal.
    const ASCENDING: &[&str] = &[
        "0 1 2 9 10 99 100",
        "0.1 0.2 0.9 0.10 0.11 1.0 1.1 1.10 2",
        "1 1.0 1.0.0 1.0.0.0",
        "1.0.9 1.0.10 1.1 1.2.0",
        // Leading zeros make a fraction, from the second number on.
        "1.0 1.00 1.001 1.01 1.010 1.02 1.05 1.1 1.10 1.11",
        "1.009 1.01 1.09 1.1 1.9 1.10",
        "6.0 006.1",
        "006=6 7=07=007",
        // Letters.
        "1.0 1.0a 1.0b 1.0z 1.0.1",
        "1.1.1 1.1.1a 1.1.1w 1.1.2",
        "1.1.0 1.1.0b 1.1.0b1 1.1.0b2 1.1.0b10 1.1.0c",
        "0.99f6 0.99f7-r2 0.99f10",
        // Suffixes, before and after the release.
        "1.0_alpha 1.0_alpha1 1.0_alpha2 1.0_alpha10 1.0_beta 1.0_pre 1.0_rc 1.0_rc1 1.0",
        "1.0 1.0_cvs 1.0_svn 1.0_git 1.0_hg 1.0_p 1.0_p0 1.0_p1 1.0_p2 1.0_p10",
        "1.0_rc 1.0_rc1 1.0_rc_p",
        "0.1.0_alpha_pre2 0.1.0_alpha",
        "1.1_p1_alpha 1.1_p1 1.1_p1_git20200101 1.1_p2",
        "1.0_git20191231 1.0_git20200101",
        "1.0.0_pre20191002222144-r0 1.0.0_pre20210530193627-r0",
        "1.0_alpha01=1.0_alpha1 1.0_alpha02",
        "1.0_p1 1.0a 1.0.1",
        // Commit hashes tell builds apart and come after the plain version.
        "1.0 1.0~0a 1.0~ab12 1.0~ab12-r1",
        "1.0_git20240101 1.0_git20240101~9f3c 1.0_git20240102",
        // Revisions.
        "1.0 1.0-r0 1.0-r1=1.0-r01 1.0-r9 1.0-r10 1.0.0",
        "1.0_alpha-r5 1.0-r0",
        "1.3-r0 1.3.1-r0",
        "1.3_pre1-r1 1.3.2",
        // Longer than any machine word.
        "20230101123456 20240101123456 99999999999999999999998 99999999999999999999999",
        "2.1.9.200602141850 2.1.9.200602141851",
        // What packages really look like.
        "1.35.0-r17 1.36.1-r15 1.36.1-r16",
        "2.02.07 2.02.10 2.2",
        "9.0_p1-r0 9.6_p1-r0 10.0_p1-r0",
        "3.0.12-r4 3.1.4-r0 3.1.4-r5",
        "0.164_git20231001-r0 0.165",
        "1.0.3-r9 1.1.1k-r0 1.1.1l-r0 3.0.0",
        "2021a-r0 2021e-r0 2022a-r0",
        "20050718-r1 20050718-r2 20060101",
    ];

    #[test]
    fn orders_like_apk() {
        for row in ASCENDING {
            let groups: Vec<Vec<Version>> = row
                .split(' ')
                .map(|group| group.split('=').map(version).collect())
                .collect();
            for (i, left) in groups.iter().enumerate() {
                for (j, right) in groups.iter().enumerate() {
                    for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (a, b))) {
                        assert_eq!(a.cmp(b), i.cmp(&j), "{a} against {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn keeps_the_text() {
        assert_eq!(version("1.00_p01-r007").to_string(), "1.00_p01-r007");
        assert_eq!(version("1.2.3_rc1-r4").upstream(), "1.2.3_rc1");
        assert_eq!(version("1.2.3").upstream(), "1.2.3");
        assert_eq!(format!("{:>6}", version("1.2")), "   1.2");
    }

    #[test]
    fn prefixes_stop_at_parts() {
        for (text, prefix, expected) in [
            ("1.2.3-r4", "1", true),
            ("1.2.3-r4", "1.2", true),
            ("1.2.3-r4", "1.2.3", true),
            ("1.2.3-r4", "1.2.3-r4", true),
            ("1.2.3-r4", "1.2.3-r5", false),
            ("1.20", "1.2", false),
            ("1.2", "1.2.0", false),
            ("1.2a", "1.2", true),
            ("1.2_rc1", "1.2", true),
            ("1.2_rc1", "1.2_rc", true),
            ("1.2_p1", "1.2_rc", false),
            ("12", "1", false),
            ("1.02", "1.0", false),
            ("1.2~ab-r1", "1.2", true),
            ("2.0", "1", false),
        ] {
            let matches = version(text).matches_prefix(&version(prefix));
            assert_eq!(matches, expected, "{text} ~ {prefix}");
        }
    }

    #[test]
    fn refuses_with_the_bad_part() {
        for (text, message) in [
            ("", "invalid version ``: it is empty"),
            (
                "v1.3",
                "invalid version `v1.3`: `v1.3` where a number is due at the start",
            ),
            (
                "1.",
                "invalid version `1.`: a number is missing after a dot",
            ),
            (
                "0..0",
                "invalid version `0..0`: `.0` where a number is due after a dot",
            ),
            (
                "0.164.x",
                "invalid version `0.164.x`: `x` where a number is due after a dot",
            ),
            ("1.0bc", "invalid version `1.0bc`: unexpected `c`"),
            ("1.0b.1", "invalid version `1.0b.1`: unexpected `.1`"),
            (
                "1.0_foo",
                "invalid version `1.0_foo`: unknown suffix `_foo`",
            ),
            ("5.3.0_", "invalid version `5.3.0_`: unknown suffix `_`"),
            ("1.0-1", "invalid version `1.0-1`: unexpected `-1`"),
            (
                "1.0-r",
                "invalid version `1.0-r`: a number is missing after `-r`",
            ),
            (
                "1.0-rc1",
                "invalid version `1.0-rc1`: `c1` where a number is due after `-r`",
            ),
            ("1.0-r1_p2", "invalid version `1.0-r1_p2`: unexpected `_p2`"),
            ("1.0~", "invalid version `1.0~`: unexpected `~`"),
            ("1.0~xyz", "invalid version `1.0~xyz`: unexpected `~xyz`"),
            ("1.0 ", "invalid version `1.0 `: unexpected ` `"),
            ("1.0é", "invalid version `1.0é`: unexpected `é`"),
        ] {
            let error = Version::parse(text).expect_err(text);
            assert_eq!(error.to_string(), message);
        }
    }
}
