//! `[[channels]]` in `alpine-ami.toml`: which channels there are.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::release::prune::settings::Keep;

/// The channels of a publisher that names none, from the first to the last.
pub const DEFAULT: [&str; 3] = ["nightly", "candidate", "stable"];

/// A channel.
///
/// ```toml
/// [[channels]]
/// name = "edge"
///
/// [[channels]]
/// name = "stable"
/// ```
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// Its name: a word of small letters, digits and `-`.
    pub name: String,
    /// How long it keeps what was in it.
    #[serde(default)]
    pub keep: Keep,
}

/// Channels that cannot be called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelNameError {
    /// It is no word.
    #[error("the channel `{0}` is no word of small letters, digits and `-`")]
    NoWord(String),
    /// Two have the name.
    #[error("there are two channels `{0}`")]
    Twice(String),
    /// There is none of the name.
    #[error("there is no channel `{name}`; there are {}", .known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

impl ChannelNameError {
    /// What to do next.
    pub fn advice(&self) -> String {
        match self {
            ChannelNameError::Unknown { .. } => {
                "name one of them, or add it to [[channels]] in the configuration".to_owned()
            }
            _ => "correct [[channels]] in the configuration".to_owned(),
        }
    }
}

/// Sees that there is a channel of that name.
///
/// # Errors
/// There is none.
pub fn known(names: &[String], name: &str) -> Result<(), ChannelNameError> {
    match names.iter().any(|known| known == name) {
        true => Ok(()),
        false => Err(ChannelNameError::Unknown {
            name: name.to_owned(),
            known: names.to_owned(),
        }),
    }
}

/// The names of the channels, in their order.
///
/// # Errors
/// One is no word, or there twice.
pub fn names(settings: &[ChannelSettings]) -> Result<Vec<String>, ChannelNameError> {
    if settings.is_empty() {
        return Ok(DEFAULT.map(str::to_owned).into());
    }
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for ChannelSettings { name, .. } in settings {
        if name.is_empty() || !name.bytes().all(is_letter) {
            return Err(ChannelNameError::NoWord(name.clone()));
        }
        if !seen.insert(name) {
            return Err(ChannelNameError::Twice(name.clone()));
        }
        names.push(name.clone());
    }
    Ok(names)
}
