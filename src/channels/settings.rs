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
/// gate = { tested = true, min_age_hours = 24, approvers = ["ada", "grace"] }
/// ```
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// Its name: a word of small letters, digits and `-`.
    pub name: String,
    /// What it asks of a release.
    #[serde(default)]
    pub gate: Gate,
    /// How long it keeps what was in it.
    #[serde(default)]
    pub keep: Keep,
}

/// What a channel asks of a release that is to come into it. That its AMI is available in every
/// Region, and there for every customer of the channel, is always asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// Whether a test of the image must have passed. Where not given: none may have failed.
    pub tested: Option<bool>,
    /// Whether the manifest must be signed. Where not given: if there is a key in `[signing]`.
    pub signed: Option<bool>,
    /// Hours that it must have been in the channel before.
    pub min_age_hours: u32,
    /// Which channel that is; where not given, the one that is listed before this one.
    pub after: Option<String>,
    /// Names of those of whom one must approve: `--approved-by NAME`.
    pub approvers: Vec<String>,
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
    /// A gate names a channel that there is not, or its own.
    #[error("the gate of the channel `{channel}` names the channel `{after}`, which is not another one of these: {}", .known.join(", "))]
    After {
        /// Whose gate it is.
        channel: String,
        /// The channel that it names.
        after: String,
        /// Those that there are.
        known: Vec<String>,
    },
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

/// What a channel asks of a release, and the channel before it.
pub fn gate(settings: &[ChannelSettings], name: &str) -> (Gate, Option<String>) {
    let gate = settings.iter().find(|channel| channel.name == name);
    let gate = gate.map(|channel| channel.gate.clone()).unwrap_or_default();
    let names: Vec<&str> = match settings {
        [] => DEFAULT.to_vec(),
        settings => settings
            .iter()
            .map(|channel| channel.name.as_str())
            .collect(),
    };
    let place = names.iter().position(|known| *known == name);
    let before = place.and_then(|place| names.get(place.checked_sub(1)?));
    let before = gate
        .after
        .clone()
        .or_else(|| before.map(|name| (*name).to_owned()));
    (gate, before)
}

/// Whether a channel may be called so: a word of small letters, digits and `-`.
pub fn is_word(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(is_letter)
}

/// The names of the channels, in their order.
///
/// # Errors
/// One is no word, or there twice.
pub fn names(settings: &[ChannelSettings]) -> Result<Vec<String>, ChannelNameError> {
    if settings.is_empty() {
        return Ok(DEFAULT.map(str::to_owned).into());
    }
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for ChannelSettings { name, .. } in settings {
        if !is_word(name) {
            return Err(ChannelNameError::NoWord(name.clone()));
        }
        if !seen.insert(name) {
            return Err(ChannelNameError::Twice(name.clone()));
        }
        names.push(name.clone());
    }
    for ChannelSettings { name, gate, .. } in settings {
        if let Some(after) = &gate.after
            && (after == name || !names.contains(after))
        {
            return Err(ChannelNameError::After {
                channel: name.clone(),
                after: after.clone(),
                known: names,
            });
        }
    }
    Ok(names)
}
