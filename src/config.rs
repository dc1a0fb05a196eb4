//! `alpine-ami.toml`: where this publisher's own profiles and overlays are, how packages are fetched,
//! how AWS is called, where releases go, and where images are built.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::apk::fetch::DownloadSettings;
use crate::assets::Assets;
use crate::aws::settings::AwsSettings;
use crate::builder::ec2::settings::BuildSettings;
use crate::channels::settings::ChannelSettings;
use crate::diff::secdb::load::is_address;
use crate::diff::settings::DiffSettings;
use crate::list::settings::ListSettings;
use crate::nightly::settings::NightlySettings;
use crate::profile::Library;
use crate::profile::error::{Mistake, toml_mistake};
use crate::publish::settings::PublishSettings;
use crate::release::prune::settings::PruneSettings;
use crate::share::settings::ShareSettings;
use crate::sign::settings::SigningSettings;

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "alpine-ami.toml";

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A mistake in it.
    #[error("{0}")]
    Mistake(Box<Mistake>),
    /// A folder that it names is not there.
    #[error("{config}: `{key}` names {path}, which is not a folder")]
    NoFolder {
        /// The configuration.
        config: PathBuf,
        /// The key.
        key: &'static str,
        /// The folder.
        path: PathBuf,
    },
}

/// The configuration.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folders.
    #[serde(default)]
    pub paths: Paths,
    /// How packages are fetched, and how much of them is kept.
    #[serde(default)]
    pub downloads: DownloadSettings,
    /// How AWS is called.
    #[serde(default)]
    pub aws: AwsSettings,
    /// Where releases go.
    #[serde(default)]
    pub publish: PublishSettings,
    /// By which key releases and channels are signed.
    #[serde(default)]
    pub signing: SigningSettings,
    /// Build instances.
    #[serde(default)]
    pub build: BuildSettings,
    /// Channels, from the first to the last.
    #[serde(default)]
    pub channels: Vec<ChannelSettings>,
    /// Who gets what.
    #[serde(default)]
    pub share: ShareSettings,
    /// How releases end.
    #[serde(default)]
    pub prune: PruneSettings,
    /// What images are compared with the help of.
    #[serde(default)]
    pub diff: DiffSettings,
    /// What customers list.
    #[serde(default)]
    pub list: ListSettings,
    /// The unattended run.
    #[serde(default)]
    pub nightly: NightlySettings,
}

/// Folders, relative to the configuration's own.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Profiles of one's own, over the built-in ones; the first folder wins.
    #[serde(default)]
    pub profiles: Vec<PathBuf>,
    /// Overlays of one's own, over the built-in ones; the first folder wins.
    #[serde(default)]
    pub overlays: Vec<PathBuf>,
    /// Where locks are: `locks`, where nothing is said. It is made when the first lock comes.
    #[serde(default)]
    pub locks: Option<PathBuf>,
}

impl Config {
    /// Reads `file`, or [`DEFAULT_FILE`] where there is one, or takes the defaults.
    ///
    /// # Errors
    /// A file that was named and is not there, a mistake in it, or a folder it names that is not
    /// there.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => {
                return Ok(Config::default());
            }
            Err(source) => {
                let path = path.to_owned();
                return Err(ConfigError::Read { path, source });
            }
        };
        let mut config: Config = toml::from_str(&text).map_err(|error| {
            let mistake = toml_mistake(&path.display().to_string(), &text, &error);
            ConfigError::Mistake(Box::new(mistake))
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        for (key, dirs) in [
            ("paths.profiles", &mut config.paths.profiles),
            ("paths.overlays", &mut config.paths.overlays),
        ] {
            for dir in dirs {
                *dir = base.join(&*dir);
                if !dir.is_dir() {
                    return Err(ConfigError::NoFolder {
                        config: path.to_owned(),
                        key,
                        path: dir.clone(),
                    });
                }
            }
        }
        config.paths.locks = Some(base.join(config.locks()));
        for worker in config.build.workers.values_mut() {
            *worker = base.join(&*worker);
        }
        config.signing.based_on(base);
        if let Some(key) = &mut config.list.key {
            *key = base.join(&*key);
        }
        for source in &mut config.diff.secdb {
            if !is_address(source) {
                *source = base.join(&*source).display().to_string();
            }
        }
        config.share.customers = base.join(&config.share.customers);
        Ok(config)
    }

    /// The folder of the publisher's own profiles, or where the program was started.
    pub fn own_profiles(&self) -> &Path {
        let own = self.paths.profiles.first();
        own.map_or(Path::new("."), PathBuf::as_path)
    }

    /// The folder of locks.
    pub fn locks(&self) -> &Path {
        self.paths.locks.as_deref().unwrap_or(Path::new("locks"))
    }

    /// The profiles that can be named under this configuration.
    pub fn library(&self) -> Library {
        Library::new(
            Assets::profiles(self.paths.profiles.clone()),
            Assets::overlays(self.paths.overlays.clone()),
        )
    }
}
