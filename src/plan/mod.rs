//! A plan: everything that is decided before a package is fetched.
//!
//! A profile merged for one architecture, with its overlays rendered and its repositories and keys
//! named. The same profile gives the same plan, byte for byte, on every machine: `render` writes it
//! out, and its digest stands in the image's manifest.

mod files;

use std::path::PathBuf;

use crate::apk::dependency::Dependency;
use crate::apk::keys::{KeyError, KeyRing};
use crate::apk::mirror::Repository;
use crate::arch::Arch;
use crate::overlay::{self, Context, OverlayError, Tree};
use crate::profile::error::nearest;
use crate::profile::{
    EntryMode, Firmware, Library, Profile, ProfileError, ProfileSource, RepositoryEntry,
};

pub use files::{ReadError, WriteError};

/// A plan that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// An overlay.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// A key.
    #[error("profile `{profile}`, keys: {source}")]
    Key {
        /// The profile.
        profile: String,
        /// Which file and why.
        source: KeyError,
    },
    /// A folder of keys that is not there.
    #[error("profile `{profile}`: there are no keys called `{name}`")]
    NoKeys {
        /// The profile.
        profile: String,
        /// What it names.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

impl PlanError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            PlanError::Profile(error) => error.advice(),
            PlanError::Overlay(error) => error.advice(),
            PlanError::Key { .. } => None,
            PlanError::NoKeys { name, known, .. } => {
                Some(match nearest(name, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "keys are folders of *.rsa.pub files below keys/; there are: {}",
                        known.join(", ")
                    ),
                })
            }
        }
    }
}

/// Where packages come from, where the command line says something of it.
#[derive(Debug, Clone, Default)]
pub struct SourceOverrides {
    /// Take the place of the profile's mirrors.
    pub mirrors: Vec<String>,
    /// Further repositories.
    pub repositories: Vec<String>,
    /// Folders of further trusted keys.
    pub key_dirs: Vec<PathBuf>,
}

/// Where packages are fetched from and whom to believe.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Repositories in order of preference.
    pub repositories: Vec<Repository>,
    /// Trusted keys.
    pub keys: KeyRing,
}

/// Everything that is decided before a package is fetched.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The merged profile.
    pub profile: Profile,
    /// The architecture.
    pub arch: Arch,
    /// Firmware to lay down.
    pub firmware: Vec<Firmware>,
    /// Lines of the image's `etc/apk/repositories`.
    pub repositories: Vec<String>,
    /// Keys of the image's `etc/apk/keys`: those that the profile trusts.
    pub keys: KeyRing,
    /// The overlays, rendered.
    pub tree: Tree,
    /// SHA-256 of all of it, in hexadecimal.
    pub digest: String,
}

/// What templates see beside the profile's `values`.
#[derive(serde::Serialize)]
struct TemplateValues<'a> {
    profile: &'a str,
    version: &'a str,
    alpine: String,
    arch: &'a str,
    root_label: &'a str,
    users: Vec<String>,
}

impl Plan {
    /// Makes the plan of a profile.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn new(library: &Library, source: &ProfileSource) -> Result<Plan, PlanError> {
        let resolved = library.resolve(source)?;
        let profile = resolved.profile;
        let arch = profile.choose_arch(source.arch)?;
        let overlays: Vec<_> = profile
            .overlays
            .iter()
            .map(|entry| entry.value.to_string())
            .collect();
        let tree = overlay::render(library.overlays(), &overlays, &context(&profile, arch))?;
        let mut plan = Plan {
            arch,
            firmware: profile.firmware_on(arch),
            repositories: published(&profile),
            keys: keys(library, &profile)?,
            tree,
            profile,
            digest: String::new(),
        };
        plan.digest = files::digest(&plan.files());
        Ok(plan)
    }

    /// Packages that must be there.
    pub fn world(&self) -> Vec<Dependency> {
        self.packages(EntryMode::Required)
    }

    /// Packages that are taken where a repository has them.
    pub fn optional(&self) -> Vec<Dependency> {
        self.packages(EntryMode::Optional)
    }

    fn packages(&self, mode: EntryMode) -> Vec<Dependency> {
        let entries = self.profile.packages.iter();
        let entries = entries.filter(|entry| entry.mode == mode);
        entries.map(|entry| entry.value.clone()).collect()
    }

    /// Packages that the boot loader is made with.
    pub fn boot_world(&self) -> Vec<Dependency> {
        let entries = self.profile.boot.packages.iter();
        entries.map(|entry| entry.value.clone()).collect()
    }

    /// Where this build's packages come from. The command line's mirrors and keys serve the build
    /// only: they do not become part of the image.
    ///
    /// # Errors
    /// A folder of keys that cannot be read.
    pub fn sources(&self, overrides: &SourceOverrides) -> Result<Sources, KeyError> {
        let profile = &self.profile;
        let mirrors = if overrides.mirrors.is_empty() {
            texts(&profile.mirrors)
        } else {
            overrides.mirrors.clone()
        };
        let mut repositories: Vec<_> = profile
            .repositories
            .iter()
            .map(|entry| repository(entry, profile, &mirrors))
            .collect();
        repositories.extend(
            overrides
                .repositories
                .iter()
                .map(|base| Repository::at(base)),
        );
        let mut keys = self.keys.clone();
        for dir in &overrides.key_dirs {
            keys.add_dir(dir)?;
        }
        Ok(Sources { repositories, keys })
    }
}

fn context(profile: &Profile, arch: Arch) -> Context {
    let fixed = TemplateValues {
        profile: &profile.name,
        version: &profile.version,
        alpine: profile.alpine.to_string(),
        arch: arch.as_str(),
        root_label: &profile.disk.label,
        users: texts(profile.users.keys()),
    };
    let json = |value: serde_json::Result<serde_json::Value>| value.unwrap_or_default();
    let mut all = json(serde_json::to_value(&profile.values));
    if let (Some(all), Some(fixed)) = (
        all.as_object_mut(),
        json(serde_json::to_value(&fixed)).as_object_mut(),
    ) {
        all.append(fixed);
    }
    Context::new(&all)
}

fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

fn repository(entry: &RepositoryEntry, profile: &Profile, mirrors: &[String]) -> Repository {
    match entry {
        RepositoryEntry::Name(name) => Repository {
            bases: mirrors
                .iter()
                .map(|mirror| {
                    format!(
                        "{}/v{}/{name}",
                        mirror.trim_end_matches('/'),
                        profile.alpine
                    )
                })
                .collect(),
            tag: None,
            alias: None,
            id: Some(format!("v{}/{name}", profile.alpine)),
        },
        RepositoryEntry::Url(own) => Repository {
            tag: own.tag.as_ref().map(ToString::to_string),
            ..Repository::at(&own.url.replace("{alpine}", &profile.alpine.to_string()))
        },
    }
}

/// What the image's own apk asks: the profile's first mirror.
fn published(profile: &Profile) -> Vec<String> {
    profile
        .repositories
        .iter()
        .map(|entry| {
            let repository = repository(entry, profile, &texts(&profile.mirrors));
            match &repository.tag {
                Some(tag) => format!("@{tag} {}", repository.name()),
                None => repository.name().to_owned(),
            }
        })
        .collect()
}

fn keys(library: &Library, profile: &Profile) -> Result<KeyRing, PlanError> {
    let mut ring = KeyRing::default();
    let key_error = |source| PlanError::Key {
        profile: profile.name.clone(),
        source,
    };
    for entry in &profile.keys {
        let name = &entry.value;
        let files = library
            .assets()
            .tree(&format!("keys/{name}"))
            .map_err(ProfileError::from)?;
        if files.is_empty() {
            return Err(PlanError::NoKeys {
                profile: profile.name.clone(),
                name: name.to_string(),
                known: library.assets().names("keys").map_err(ProfileError::from)?,
            });
        }
        for (file, asset) in files {
            ring.add(&file, &asset.bytes).map_err(key_error)?;
        }
    }
    Ok(ring)
}
