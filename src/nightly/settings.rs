//! `[nightly]` in `alpine-ami.toml`, and what it comes to with the command line.

use serde::Deserialize;

use crate::arch::Arch;
use crate::channels::settings::{ChannelNameError, known};

/// Images at once on this machine, if it has the processors: each runs a virtual machine too.
const MOST_AT_ONCE: usize = 4;

/// What an unattended run does. Each of its steps has the role that `[aws]` has for the command of
/// that name.
///
/// ```toml
/// [nightly]
/// profiles = ["base", "kubezero-worker"]
/// archs = ["x86_64", "aarch64"]          # this machine's where none are named
/// on = "ec2"                             # or "local"
/// jobs = 2                               # images at once
/// channel = "nightly"                    # the first of [[channels]] where none is named
/// share = true                           # give customers what customers.toml says
/// prune = true                           # retire what is too old
/// ```
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NightlySettings {
    /// The profiles.
    pub profiles: Vec<String>,
    /// The architectures of each; this machine's where none are named.
    pub archs: Vec<Arch>,
    /// Where images are assembled.
    pub on: On,
    /// Images at once; half of this machine's processors where it is not given, with `on = "ec2"`
    /// as many as `[build]` has instances at once.
    pub jobs: Option<u16>,
    /// The channel that new releases come into; the first where it is not given.
    pub channel: Option<String>,
    /// Whether customers are given what the file of customers says.
    pub share: bool,
    /// Whether what is too old is retired.
    pub prune: bool,
}

impl Default for NightlySettings {
    fn default() -> NightlySettings {
        NightlySettings {
            profiles: Vec::new(),
            archs: Vec::new(),
            on: On::default(),
            jobs: None,
            channel: None,
            share: true,
            prune: true,
        }
    }
}

/// Where images are assembled.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// On this machine, where they are tested, too
    #[default]
    Local,
    /// Each on an EC2 instance of its own, as [build] says
    Ec2,
}

/// What the command line says of it; what it does not say, the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Profiles.
    pub profiles: Vec<String>,
    /// Architectures.
    pub archs: Vec<Arch>,
    /// Where images are assembled.
    pub on: Option<On>,
    /// Images at once.
    pub jobs: Option<u16>,
}

/// What is to be done, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Profile and architecture of each image; the profile's own choice where none is named.
    pub images: Vec<(String, Option<Arch>)>,
    /// Where they are assembled.
    pub on: On,
    /// How many at once.
    pub jobs: usize,
    /// The channel that new releases come into.
    pub channel: String,
    /// Whether customers are given what they are to get.
    pub share: bool,
    /// Whether what is too old is retired.
    pub prune: bool,
}

/// What is missing in the settings or no good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Nothing is named.
    #[error("there is no profile to build")]
    NoProfile,
    /// A profile is named twice.
    #[error("the profile `{0}` is named twice")]
    Twice(String),
    /// No image would ever be made.
    #[error("nightly.jobs is 0: at least one image is made at a time")]
    NoJobs,
    /// There is no such channel.
    #[error("nightly.channel: {0}")]
    Channel(#[source] ChannelNameError),
}

impl SettingsError {
    /// What to do next.
    pub fn advice(&self) -> String {
        match self {
            SettingsError::NoProfile => {
                "name one, or write `profiles = [\"base\"]` under [nightly] in alpine-ami.toml; \
                 `alpine-ami profile list` shows what there is"
                    .to_owned()
            }
            SettingsError::Twice(_) => "name each once".to_owned(),
            SettingsError::NoJobs => "leave it away, or write how many".to_owned(),
            SettingsError::Channel(error) => error.advice(),
        }
    }
}

impl NightlySettings {
    /// What is to be done: `channels` are those that there are, `instances` what `[build]` allows at
    /// once, `processors` this machine's.
    ///
    /// # Errors
    /// No profile, one that is named twice, no jobs, an unknown channel.
    pub fn with(
        &self,
        given: Given,
        channels: &[String],
        (instances, processors): (usize, usize),
    ) -> Result<Terms, SettingsError> {
        let profiles = or(given.profiles, &self.profiles);
        let mut archs = or(given.archs, &self.archs);
        archs.sort_unstable();
        archs.dedup();
        if profiles.is_empty() {
            return Err(SettingsError::NoProfile);
        }
        let is_twice = |(place, name): (usize, &String)| profiles[..place].contains(name);
        if let Some(place) = (0..profiles.len()).find(|at| is_twice((*at, &profiles[*at]))) {
            return Err(SettingsError::Twice(profiles[place].clone()));
        }
        let channel = match &self.channel {
            Some(channel) => channel.clone(),
            None => channels.first().cloned().unwrap_or_default(),
        };
        known(channels, &channel).map_err(SettingsError::Channel)?;
        let on = given.on.unwrap_or(self.on);
        let jobs = match (given.jobs.or(self.jobs), on) {
            (Some(0), _) => return Err(SettingsError::NoJobs),
            (Some(jobs), _) => usize::from(jobs),
            (None, On::Local) => (processors / 2).clamp(1, MOST_AT_ONCE),
            (None, On::Ec2) => instances.max(1),
        };
        Ok(Terms {
            images: images(&profiles, &archs),
            on,
            jobs,
            channel,
            share: self.share,
            prune: self.prune,
        })
    }
}

fn or<T: Clone>(given: Vec<T>, configured: &[T]) -> Vec<T> {
    match given.is_empty() {
        true => configured.to_owned(),
        false => given,
    }
}

fn images(profiles: &[String], archs: &[Arch]) -> Vec<(String, Option<Arch>)> {
    let of = |profile: &String| -> Vec<(String, Option<Arch>)> {
        let name = || profile.clone();
        match archs.is_empty() {
            true => vec![(name(), None)],
            false => archs.iter().map(|arch| (name(), Some(*arch))).collect(),
        }
    };
    profiles.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> NightlySettings {
        toml::from_str(text).expect(text)
    }

    fn channels() -> Vec<String> {
        ["nightly", "stable"].map(str::to_owned).into()
    }

    fn terms(text: &str, given: Given) -> Result<Terms, SettingsError> {
        settings(text).with(given, &channels(), (10, 6))
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let terms = terms(r#"profiles = ["base"]"#, Given::default()).expect("terms");
        let expected = Terms {
            images: vec![("base".to_owned(), None)],
            on: On::Local,
            jobs: 3,
            channel: "nightly".to_owned(),
            share: true,
            prune: true,
        };
        assert_eq!(terms, expected);
    }

    #[test]
    fn the_command_line_goes_before_the_configuration() {
        let text = r#"
            profiles = ["base"]
            archs = ["aarch64"]
            on = "ec2"
            channel = "stable"
            share = false
        "#;
        let configured = terms(text, Given::default()).expect("terms");
        assert_eq!(
            configured.images,
            [("base".to_owned(), Some(Arch::Aarch64))]
        );
        assert_eq!((configured.on, configured.jobs), (On::Ec2, 10));
        assert_eq!(configured.channel, "stable");
        assert!(!configured.share && configured.prune);

        let given = Given {
            profiles: vec!["a".to_owned(), "b".to_owned()],
            archs: vec![Arch::Aarch64, Arch::X86_64, Arch::Aarch64],
            on: Some(On::Local),
            jobs: Some(7),
        };
        let given = terms(text, given).expect("terms");
        let (x86, arm) = (Some(Arch::X86_64), Some(Arch::Aarch64));
        let expected = [("a", x86), ("a", arm), ("b", x86), ("b", arm)];
        assert_eq!(
            given.images,
            expected.map(|(name, arch)| (name.to_owned(), arch))
        );
        assert_eq!((given.on, given.jobs), (On::Local, 7));
    }

    #[test]
    fn bad_settings_are_told() {
        let nothing = terms("", Given::default()).expect_err("no profile");
        assert_eq!(nothing, SettingsError::NoProfile);
        let twice = terms(r#"profiles = ["a", "b", "a"]"#, Given::default());
        assert_eq!(twice, Err(SettingsError::Twice("a".to_owned())));
        let text = r#"
            profiles = ["a"]
            channel = "edge"
        "#;
        let error = terms(text, Given::default()).expect_err("no such channel");
        assert_eq!(
            error.to_string(),
            "nightly.channel: there is no channel `edge`; there are nightly, stable"
        );
        let text = "profiles = [\"a\"]\njobs = 0";
        assert_eq!(terms(text, Given::default()), Err(SettingsError::NoJobs));
        for bad in ["jobs = -1", "on = \"there\"", "profile = [\"a\"]"] {
            assert!(toml::from_str::<NightlySettings>(bad).is_err(), "{bad}");
        }
    }
}
