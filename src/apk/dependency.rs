//! What a package needs, excludes or provides: the entries of `D:`, `i:`, `p:` and of `etc/apk/world`.
//!
//! The form is `[!]name[@tag][operator version]`, as `apk_blob_pull_dep` in `src/package.c` of
//! apk-tools reads it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::apk::index::{Checksum, ChecksumError};
use crate::apk::version::{Version, VersionError};
use crate::text_form::text_form;

/// How the version that is there has to stand to the version that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `~`, also written `=~` and `~=`: begins with it, so `~1.2` takes `1.2.3-r0` and not `1.20`.
    Prefix,
    /// `<~`: older, or begins with it.
    LessOrPrefix,
    /// `>~`: newer, or begins with it.
    GreaterOrPrefix,
}

impl Operator {
    fn parse(text: &str) -> Option<Operator> {
        Some(match text {
            "=" => Operator::Equal,
            "<" => Operator::Less,
            "<=" | "=<" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" | "=>" => Operator::GreaterOrEqual,
            "~" | "=~" | "~=" => Operator::Prefix,
            "<~" | "~<" => Operator::LessOrPrefix,
            ">~" | "~>" => Operator::GreaterOrPrefix,
            _ => return None,
        })
    }

    /// The way apk writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::Equal => "=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Prefix => "~",
            Operator::LessOrPrefix => "<~",
            Operator::GreaterOrPrefix => ">~",
        }
    }

    /// Whether `there` is what `operator asked` wants.
    pub fn accepts(self, there: &Version, asked: &Version) -> bool {
        match self {
            Operator::Equal => there == asked,
            Operator::Less => there < asked,
            Operator::LessOrEqual => there <= asked,
            Operator::Greater => there > asked,
            Operator::GreaterOrEqual => there >= asked,
            Operator::Prefix => there.matches_prefix(asked),
            Operator::LessOrPrefix => there.compare_prefix(asked) != Ordering::Greater,
            Operator::GreaterOrPrefix => there.compare_prefix(asked) != Ordering::Less,
        }
    }
}

/// What a dependency wants beyond the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// Anything of that name.
    Any,
    /// A version of it.
    Version(Operator, Version),
    /// `><`: exactly the package with this checksum.
    Checksum(Checksum),
}

/// One entry of a list of dependencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// `!`: nothing that fits may be installed.
    pub conflict: bool,
    /// A package, or anything packages provide, such as `cmd:mount` or `so:libc.musl-x86_64.so.1`.
    pub name: Box<str>,
    /// `@tag`: repositories with this tag may serve it too. Only the world has tags.
    pub tag: Option<Box<str>>,
    /// What is wanted of it.
    pub constraint: Constraint,
}

/// A text that is not a dependency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DependencyError {
    /// There is nothing before the operator.
    #[error("invalid dependency `{0}`: it has no name")]
    NoName(String),
    /// The name has a character that separates entries or parts of them.
    #[error("invalid dependency `{text}`: `{bad}` cannot be part of a name")]
    BadName {
        /// The whole entry.
        text: String,
        /// What does not belong there.
        bad: char,
    },
    /// `name@` without a tag behind it.
    #[error("invalid dependency `{0}`: there is no tag after the @")]
    NoTag(String),
    /// A tag where there must be none.
    #[error("invalid dependency `{0}`: only the world has repository tags")]
    UnexpectedTag(String),
    /// An operator apk does not know.
    #[error(
        "invalid dependency `{text}`: unknown operator `{operator}`, use one of = < <= > >= ~ <~ >~ ><"
    )]
    BadOperator {
        /// The whole entry.
        text: String,
        /// What stands where the operator should.
        operator: String,
    },
    /// The part after the operator is no version.
    #[error("invalid dependency `{text}`: {source}")]
    BadVersion {
        /// The whole entry.
        text: String,
        /// What is wrong with it.
        source: VersionError,
    },
    /// The part after `><` is no checksum.
    #[error("invalid dependency `{text}`: {source}")]
    BadChecksum {
        /// The whole entry.
        text: String,
        /// What is wrong with it.
        source: ChecksumError,
    },
    /// A `p:` entry with `!`, or with an operator other than `=`.
    #[error("invalid provide `{0}`: it may only be a name or name=version")]
    NotAProvide(String),
}

impl Dependency {
    /// Any version of `name`.
    pub fn any(name: &str) -> Dependency {
        Dependency {
            conflict: false,
            name: name.into(),
            tag: None,
            constraint: Constraint::Any,
        }
    }

    /// Reads an entry of a package, where a tag has no place.
    ///
    /// # Errors
    /// Shows the part that is wrong.
    pub fn parse_untagged(text: &str) -> Result<Dependency, DependencyError> {
        let dependency: Dependency = text.parse()?;
        match dependency.tag {
            Some(_) => Err(DependencyError::UnexpectedTag(text.to_owned())),
            None => Ok(dependency),
        }
    }

    /// Whether something of this name fits what comes after the name, `!` left aside: `version` is
    /// the version under which the name is there (none for a provide without one), and `checksum`
    /// that of its package.
    ///
    /// A provide without a version never fits a constraint that asks for one
    /// (`apk_dep_is_provided` in `src/package.c`).
    pub fn fits(&self, version: Option<&Version>, checksum: &Checksum) -> bool {
        match &self.constraint {
            Constraint::Any => true,
            Constraint::Version(operator, asked) => {
                version.is_some_and(|there| operator.accepts(there, asked))
            }
            Constraint::Checksum(asked) => asked == checksum,
        }
    }

    /// Cuts `[!]name[@tag]operator rest` at the operator; without one, both last parts are empty.
    fn split(text: &str) -> (&str, &str, &str) {
        let is_comparer = |byte: u8| matches!(byte, b'<' | b'>' | b'=' | b'~');
        let Some(start) = text.bytes().position(is_comparer) else {
            return (text, "", "");
        };
        let (name, rest) = text.split_at(start);
        let version = rest.trim_start_matches(['<', '>', '=', '~']);
        (name, &rest[..rest.len() - version.len()], version)
    }
}

/// Checks that a name can stand in a list: no blanks, none of the characters with a meaning.
fn checked_name<'a>(name: &'a str, text: &str) -> Result<&'a str, DependencyError> {
    if name.is_empty() {
        return Err(DependencyError::NoName(text.to_owned()));
    }
    // Nearly all names are plain ASCII, and there are a hundred thousand of them in an index.
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'!' | b'@' | b'<'..=b'>' | b'~');
    if name.bytes().all(is_plain) {
        return Ok(name);
    }
    let has_meaning = |c: char| c.is_whitespace() || c.is_control() || "!@<=>~".contains(c);
    match name.chars().find(|&c| has_meaning(c)) {
        Some(bad) => Err(DependencyError::BadName {
            text: text.to_owned(),
            bad,
        }),
        None => Ok(name),
    }
}

fn parse_constraint(
    operator: &str,
    version: &str,
    text: &str,
) -> Result<Constraint, DependencyError> {
    if operator == "><" {
        let checksum = version
            .parse()
            .map_err(|source| DependencyError::BadChecksum {
                text: text.to_owned(),
                source,
            })?;
        return Ok(Constraint::Checksum(checksum));
    }
    let operator = Operator::parse(operator).ok_or_else(|| DependencyError::BadOperator {
        text: text.to_owned(),
        operator: operator.to_owned(),
    })?;
    let version = Version::parse(version).map_err(|source| DependencyError::BadVersion {
        text: text.to_owned(),
        source,
    })?;
    Ok(Constraint::Version(operator, version))
}

impl FromStr for Dependency {
    type Err = DependencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (conflict, entry) = match text.strip_prefix('!') {
            Some(entry) => (true, entry),
            None => (false, text),
        };
        let (name, operator, version) = Dependency::split(entry);
        let (name, tag) = match name.split_once('@') {
            Some((_, "")) => return Err(DependencyError::NoTag(text.to_owned())),
            Some((name, tag)) => (name, Some(checked_name(tag, text)?.into())),
            None => (name, None),
        };
        let name = checked_name(name, text)?.into();
        let constraint = match operator {
            "" => Constraint::Any,
            operator => parse_constraint(operator, version, text)?,
        };
        Ok(Dependency {
            conflict,
            name,
            tag,
            constraint,
        })
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.conflict {
            f.write_str("!")?;
        }
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, "@{tag}")?;
        }
        match &self.constraint {
            Constraint::Any => Ok(()),
            Constraint::Version(operator, version) => write!(f, "{}{version}", operator.as_str()),
            Constraint::Checksum(checksum) => write!(f, "><{checksum}"),
        }
    }
}

/// Something a package is, besides its own name.
///
/// With a version, its package is the only one that may be installed for that name; without,
/// several packages may provide it side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provide {
    /// What is provided.
    pub name: Box<str>,
    /// The version it has under that name.
    pub version: Option<Version>,
}

impl FromStr for Provide {
    type Err = DependencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let dependency = Dependency::parse_untagged(text)?;
        let version = match dependency.constraint {
            Constraint::Any => None,
            Constraint::Version(Operator::Equal, version) => Some(version),
            _ => return Err(DependencyError::NotAProvide(text.to_owned())),
        };
        if dependency.conflict {
            return Err(DependencyError::NotAProvide(text.to_owned()));
        }
        Ok(Provide {
            name: dependency.name,
            version,
        })
    }
}

impl fmt::Display for Provide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            Some(version) => write!(f, "={version}"),
            None => Ok(()),
        }
    }
}

text_form!(Dependency, "Dependency", {
    "description": "An apk dependency: [!]name[@tag][operator version], with one of the operators = < <= > >= ~ <~ >~ ><",
    "pattern": "^!?[^!@<>=~\\s]+(@[^!@<>=~\\s]+)?([<>=~]{1,2}[^<>=~\\s]+)?$",
    "examples": ["openssh", "linux-virt~6.6", "cri-o@edge>=1.29", "!busybox-suid"],
});

text_form!(Provide, "Provide", {
    "description": "What a package provides: name or name=version",
});

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency(text: &str) -> Dependency {
        text.parse().expect(text)
    }

    #[test]
    fn reads_and_writes_every_form() {
        for text in [
            "musl",
            "!busybox-suid",
            "so:libc.musl-x86_64.so.1",
            "cmd:[",
            "/bin/sh",
            "py3.11:requests",
            "foo=1.0-r0",
            "foo<1.0",
            "foo<=1.0",
            "foo>1.0",
            "foo>=1.0",
            "foo~1.0",
            "foo<~1.0",
            "foo>~1.0",
            "foo><Q1YCZ4e/kV0Uaynh14//zvTTyN7x8=",
            "!foo>1.0_rc1",
            "foo@edge",
            "foo@edge~1.2",
        ] {
            assert_eq!(dependency(text).to_string(), text);
        }
    }

    #[test]
    fn operators_have_other_spellings() {
        for (text, canonical) in [
            ("foo=~1.0", "foo~1.0"),
            ("foo~=1.0", "foo~1.0"),
            ("foo=>1.0", "foo>=1.0"),
            ("foo=<1.0", "foo<=1.0"),
        ] {
            assert_eq!(dependency(text).to_string(), canonical);
        }
    }

    #[test]
    fn parts_go_where_they_belong() {
        let parsed = dependency("!cri-o@edge>=1.29.0-r1");
        assert!(parsed.conflict);
        assert_eq!(&*parsed.name, "cri-o");
        assert_eq!(parsed.tag.as_deref(), Some("edge"));
        let version = "1.29.0-r1".parse().expect("a version");
        assert_eq!(
            parsed.constraint,
            Constraint::Version(Operator::GreaterOrEqual, version)
        );
    }

    #[test]
    fn operators_accept() {
        let checksum: Checksum = "Q1YCZ4e/kV0Uaynh14//zvTTyN7x8="
            .parse()
            .expect("a checksum");
        for (wanted, there, expected) in [
            ("foo", "1.0", true),
            ("foo=1.0", "1.0", true),
            ("foo=1.0", "1.0-r0", false),
            ("foo<1.0", "0.9", true),
            ("foo<1.0", "1.0", false),
            ("foo<=1.0", "1.0", true),
            ("foo<=1.0", "1.0-r0", false),
            ("foo>1.0", "1.0-r0", true),
            ("foo>1.0", "1.0", false),
            ("foo>=1.0", "1.0", true),
            ("foo>=1.0", "1.0_rc1", false),
            ("foo~1.2", "1.2.3-r4", true),
            ("foo~1.2", "1.20", false),
            ("foo<~1.2", "1.2.9", true),
            ("foo<~1.2", "1.1", true),
            ("foo<~1.2", "1.3", false),
            ("foo>~1.2", "1.2_rc1", true),
            ("foo>~1.2", "1.3", true),
            ("foo>~1.2", "1.1", false),
            ("foo><Q1YCZ4e/kV0Uaynh14//zvTTyN7x8=", "1.0", true),
            ("foo><Q19qUyV9TFS+tErPDBnvqG7VqyvyM=", "1.0", false),
        ] {
            let there: Version = there.parse().expect(there);
            let fits = dependency(wanted).fits(Some(&there), &checksum);
            assert_eq!(fits, expected, "{wanted} with {there}");
        }
        assert!(dependency("foo").fits(None, &checksum));
        assert!(!dependency("foo>=0").fits(None, &checksum));
    }

    #[test]
    fn refuses_with_the_bad_part() {
        for (text, message) in [
            ("", "invalid dependency ``: it has no name"),
            ("!", "invalid dependency `!`: it has no name"),
            ("=1", "invalid dependency `=1`: it has no name"),
            (
                "!!foo",
                "invalid dependency `!!foo`: `!` cannot be part of a name",
            ),
            (
                "foo bar",
                "invalid dependency `foo bar`: ` ` cannot be part of a name",
            ),
            (
                "foo@",
                "invalid dependency `foo@`: there is no tag after the @",
            ),
            (
                "foo@a@b",
                "invalid dependency `foo@a@b`: `@` cannot be part of a name",
            ),
            (
                "foo==1",
                "invalid dependency `foo==1`: unknown operator `==`, use one of = < <= > >= ~ <~ >~ ><",
            ),
            (
                "foo=",
                "invalid dependency `foo=`: invalid version ``: it is empty",
            ),
            (
                "foo>=v1.3",
                "invalid dependency `foo>=v1.3`: invalid version `v1.3`: `v1.3` where a number is due at the start",
            ),
            (
                "foo><Q1zz",
                "invalid dependency `foo><Q1zz`: invalid checksum `Q1zz`: it must be Q1 and 28 characters of base64, or Q2 and 44",
            ),
        ] {
            let error = text.parse::<Dependency>().expect_err(text);
            assert_eq!(error.to_string(), message);
        }
        assert!(Dependency::parse_untagged("foo@edge").is_err());
    }

    #[test]
    fn provides_are_names_or_exact_versions() {
        for text in ["foo", "so:libfoo.so.1=1.2.3", "cmd:foo=1.0-r0"] {
            let provide: Provide = text.parse().expect(text);
            assert_eq!(provide.to_string(), text);
        }
        for text in ["!foo", "foo>1", "foo~1", "foo@tag=1", "foo=v1"] {
            assert!(text.parse::<Provide>().is_err(), "{text}");
        }
    }

    #[test]
    fn is_a_string_in_json() {
        let parsed: Dependency = serde_json::from_str("\"foo@edge>=1.2\"").expect("valid");
        let written = serde_json::to_string(&parsed).expect("valid");
        assert_eq!(written, "\"foo@edge>=1.2\"");
        let error = serde_json::from_str::<Dependency>("\"foo>=x\"").expect_err("no version");
        assert!(error.to_string().contains("invalid version `x`"), "{error}");
    }
}
