//! What can be wrong with a profile, each with file, line and column.

use std::fmt;
use std::ops::Range;

/// A mistake in a file that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// Line from 1; 0 where there is none.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// The nearest right spelling, or another way out.
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.what),
        }
    }
}

/// A profile that cannot be read or makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No such profile.
    #[error("there is no profile `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A layer that is not meant to be built.
    #[error("`{0}` is a layer for other profiles to include, not a profile to build")]
    OnlyIncluded(String),
    /// A mistake in a file.
    #[error("{0}")]
    Mistake(Box<Mistake>),
    /// A value given with `--set`.
    #[error("--set {assignment}: {why}")]
    Set {
        /// What was given.
        assignment: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// An architecture that the profile is not for.
    #[error("profile `{profile}` is not for {arch}, only for {supported}")]
    Arch {
        /// The profile.
        profile: String,
        /// What was asked for.
        arch: String,
        /// What it supports.
        supported: String,
    },
    /// The merged layers lack something.
    #[error("profile `{profile}`: {what}")]
    Incomplete {
        /// The profile.
        profile: String,
        /// What is missing or wrong.
        what: String,
    },
}

impl ProfileError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            ProfileError::Unknown { name, known } => {
                let all = format!("there are: {}", known.join(", "));
                Some(match nearest(name, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`? {all}"),
                    None => all,
                })
            }
            ProfileError::OnlyIncluded(_) => {
                Some("`alpine-ami profile list` shows the profiles to build".to_owned())
            }
            ProfileError::Mistake(mistake) => mistake.hint.clone(),
            ProfileError::Set { .. } => {
                Some("write KEY=VALUE with a key of `alpine-ami profile schema`, such as alpine=3.19 or disk.size=4GiB".to_owned())
            }
            ProfileError::Arch { supported, .. } => Some(format!("use --arch with {supported}")),
            ProfileError::Incomplete { .. } => {
                Some("`alpine-ami profile show` tells where each value comes from".to_owned())
            }
            ProfileError::Io(_) => None,
        }
    }
}

/// Line and column, both from 1, of a byte offset.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let before = String::from_utf8_lossy(before);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (line, column)
}

/// A mistake at a place in a text.
pub fn mistake(file: &str, text: &str, span: Option<Range<usize>>, what: String) -> Mistake {
    let (line, column) = span.map_or((0, 0), |span| position(text, span.start));
    Mistake {
        file: file.to_owned(),
        line,
        column,
        hint: None,
        what,
    }
}

/// The mistake that the TOML parser found, with the nearest right spelling of an unknown key.
pub fn toml_mistake(file: &str, text: &str, error: &toml::de::Error) -> Mistake {
    let message = error.message();
    let mut mistake = mistake(file, text, error.span(), message.trim().to_owned());
    if let Some((unknown, known)) = unknown_word(message) {
        mistake.hint = nearest(unknown, known.iter().copied())
            .map(|near| format!("did you mean `{near}`?"))
            .or_else(|| Some(format!("known here: {}", known.join(", "))));
        let kind = message.split_whitespace().nth(1).unwrap_or("key");
        let kind = if kind == "field" { "key" } else { "value" };
        mistake.what = format!("unknown {kind} `{unknown}`");
    }
    mistake
}

/// Reads a TOML file strictly; gives its text too, for the places of later mistakes.
///
/// # Errors
/// The mistake: not UTF-8, not TOML, an unknown key or a value of the wrong type.
pub fn read_toml<T: serde::de::DeserializeOwned>(
    origin: &str,
    bytes: Vec<u8>,
) -> Result<(String, T), Mistake> {
    let text = String::from_utf8(bytes)
        .map_err(|_| mistake(origin, "", None, "it is not UTF-8 text".to_owned()))?;
    match toml::from_str(&text) {
        Ok(read) => Ok((text, read)),
        Err(error) => Err(toml_mistake(origin, &text, &error)),
    }
}

/// serde words it "unknown field `x`, expected one of `a`, `b`" (or variant, and "expected `a`").
fn unknown_word(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message
        .strip_prefix("unknown field `")
        .or_else(|| message.strip_prefix("unknown variant `"))?;
    let (unknown, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((unknown, known))
}

/// The word nearest to a misspelt one, where one is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_one() {
        assert_eq!(position("ab\ncd", 0), (1, 1));
        assert_eq!(position("ab\ncd", 4), (2, 2));
        assert_eq!(position("ä\nöx", 5), (2, 2));
    }

    #[test]
    fn near_words() {
        let known = ["packages", "overlays", "services"];
        assert_eq!(nearest("package", known.into_iter()), Some("packages"));
        assert_eq!(nearest("pakcages", known.into_iter()), Some("packages"));
        assert_eq!(nearest("zebra", known.into_iter()), None);
    }
}
