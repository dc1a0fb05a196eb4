//! Values that parse once, where they are written, and say what is wrong with them there.

use std::fmt;
use std::str::FromStr;

use crate::text_form::text_form;

/// An Alpine release branch, such as 3.15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlpineRelease {
    major: u16,
    minor: u16,
}

impl FromStr for AlpineRelease {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('.')
            .filter(|(major, minor)| is_number(major) && is_number(minor))
            .and_then(|(major, minor)| {
                Some(AlpineRelease {
                    major: major.parse().ok()?,
                    minor: minor.parse().ok()?,
                })
            })
            .ok_or_else(|| format!("`{text}` is not an Alpine release: write it like \"3.15\""))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

impl fmt::Display for AlpineRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A condition on the Alpine release: `3.15`, `>=3.18`, `<3.17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseRange {
    operator: Operator,
    release: AlpineRelease,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    AtLeast,
    Below,
}

impl ReleaseRange {
    /// Whether `release` meets the condition.
    pub fn contains(self, release: AlpineRelease) -> bool {
        match self.operator {
            Operator::Equal => release == self.release,
            Operator::AtLeast => release >= self.release,
            Operator::Below => release < self.release,
        }
    }
}

impl FromStr for ReleaseRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (operator, rest) = if let Some(rest) = text.strip_prefix(">=") {
            (Operator::AtLeast, rest)
        } else if let Some(rest) = text.strip_prefix('<') {
            (Operator::Below, rest)
        } else {
            (Operator::Equal, text)
        };
        let release = rest.trim().parse().map_err(|_| {
            format!("`{text}` is not a range of Alpine releases: write \"3.15\", \">=3.18\" or \"<3.17\"")
        })?;
        Ok(ReleaseRange { operator, release })
    }
}

impl fmt::Display for ReleaseRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            Operator::Equal => "",
            Operator::AtLeast => ">=",
            Operator::Below => "<",
        };
        write!(f, "{operator}{}", self.release)
    }
}

/// A name that becomes part of a path or of a line of a file: one word of letters, digits and
/// `._-+`, which does not begin with a dot or a dash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl std::ops::Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
        if !text.is_empty() && text.chars().all(part) && !text.starts_with(['.', '-']) {
            return Ok(Name(text.to_owned()));
        }
        Err(format!(
            "`{}` is not a name: use letters, digits and ._-+, and begin with a letter or digit",
            text.escape_debug()
        ))
    }
}

/// One word: text without blanks or control characters, as a kernel parameter or an address is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(String);

impl std::ops::Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Ok(Word(text.to_owned()));
        }
        Err(format!("`{}` is not one word", text.escape_debug()))
    }
}

/// An absolute path on the image that can stand in `etc/passwd`: a login shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellPath(String);

impl fmt::Display for ShellPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ShellPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |c: char| c.is_whitespace() || c.is_control() || c == ':';
        if text.starts_with('/') && !text.contains(wrong) {
            return Ok(ShellPath(text.to_owned()));
        }
        Err(format!(
            "`{}` is not the path of a shell, such as \"/bin/ash\"",
            text.escape_debug()
        ))
    }
}

/// A size in bytes, written with a binary unit: `"2GiB"`, `"512MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
        units
            .into_iter()
            .find_map(|(unit, shift)| {
                let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
                number.checked_mul(1 << shift)
            })
            .map(ByteSize)
            .ok_or_else(|| {
                format!("`{text}` is not a size: write a whole number with GiB, MiB or KiB, such as \"2GiB\"")
            })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0 {
            bytes if bytes % (1 << 30) == 0 => (bytes >> 30, "GiB"),
            bytes if bytes % (1 << 20) == 0 => (bytes >> 20, "MiB"),
            bytes => (bytes >> 10, "KiB"),
        };
        write!(f, "{number}{unit}")
    }
}

/// An entry of a list that layers add to: `x`, `x?` (only where it is to be had), `-x` (not, though
/// a lower layer has it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// What is asked for; for a removal, what is not.
    pub value: T,
    /// How.
    pub mode: EntryMode,
}

/// How an [`Entry`] is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryMode {
    /// It must be there.
    Required,
    /// `x?`: it is taken where it is there.
    Optional,
    /// `-x`: it is taken away from what lower layers say.
    Removed,
}

impl<T: FromStr> FromStr for Entry<T>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mode, value) = if let Some(rest) = text.strip_prefix('-') {
            (EntryMode::Removed, rest)
        } else if let Some(rest) = text.strip_suffix('?') {
            (EntryMode::Optional, rest)
        } else {
            (EntryMode::Required, text)
        };
        if value.trim().is_empty() {
            return Err(format!("`{text}` names nothing"));
        }
        let value = value.parse().map_err(|error: T::Err| error.to_string())?;
        Ok(Entry { value, mode })
    }
}

impl<T: fmt::Display> fmt::Display for Entry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode {
            EntryMode::Required => write!(f, "{}", self.value),
            EntryMode::Optional => write!(f, "{}?", self.value),
            EntryMode::Removed => write!(f, "-{}", self.value),
        }
    }
}

text_form!(AlpineRelease, "AlpineRelease", { "description": "An Alpine release, such as 3.15" });
text_form!(ReleaseRange, "ReleaseRange", { "description": "A range of Alpine releases: 3.15, >=3.18 or <3.17" });
text_form!(Name, "Name", { "description": "Letters, digits and ._-+, beginning with a letter or digit" });
text_form!(Word, "Word", { "description": "Text without blanks" });
text_form!(ShellPath, "ShellPath", { "description": "An absolute path, such as /bin/ash" });
text_form!(ByteSize, "ByteSize", { "description": "A size, such as 2GiB" });
text_form!(Entry<T>, "Entry", { "description": "x, x? (only where it is to be had) or -x (not, though a lower layer has it)" }, [T]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_ranges() {
        let release: AlpineRelease = "3.15".parse().expect("parses");
        assert_eq!(release.to_string(), "3.15");
        for bad in ["3", "3.", "v3.15", "3.15.1", "edge", "3.015", ""] {
            assert!(bad.parse::<AlpineRelease>().is_err(), "{bad}");
        }
        let holds = |range: &str| {
            range
                .parse::<ReleaseRange>()
                .expect(range)
                .contains(release)
        };
        assert!(holds("3.15") && holds(">=3.9") && holds("<3.16"));
        assert!(!holds(">=3.16") && !holds("<3.15") && !holds("3.1"));
        assert!("~3.15".parse::<ReleaseRange>().is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!("2GiB".parse(), Ok(ByteSize(2 << 30)));
        assert_eq!(ByteSize(512 << 20).to_string(), "512MiB");
        for bad in ["2G", "2 GB", "GiB", "-1MiB", "99999999999999999GiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_neither_paths_nor_lines() {
        for good in ["chronyd", "kubelet-root", "a.b_c+d", "0x"] {
            assert_eq!(good.parse::<Name>().expect(good).to_string(), good);
        }
        for bad in [
            "", "../x", "/tmp/x", "a/b", "a b", "a:b", "a\nb", ".x", "-x",
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        assert!("a b".parse::<Word>().is_err() && "a=b,c".parse::<Word>().is_ok());
        for bad in ["ash", "/bin/a:b", "/bin/a\n"] {
            assert!(bad.parse::<ShellPath>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn entries() {
        let parse = |text: &str| text.parse::<Entry<String>>();
        assert_eq!(parse("a").expect("a").mode, EntryMode::Required);
        assert_eq!(parse("a?").expect("a?").mode, EntryMode::Optional);
        let removed = parse("-a").expect("-a");
        assert_eq!(
            (removed.mode, removed.value.as_str()),
            (EntryMode::Removed, "a")
        );
        assert!(parse("?").is_err() && parse("-").is_err() && parse("").is_err());
    }
}
