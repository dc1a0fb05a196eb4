//! Profiles: typed descriptions of images, made of layers.
//!
//! A profile file is a [`layer::Layer`]; [`Library`] follows its includes, merges the layers and
//! gives a [`Profile`], in which every value is present and remembers where it was written.

pub mod error;
mod kinds;
pub mod layer;
mod library;
mod loaded;
pub mod merge;
pub mod value;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use error::ProfileError;
pub use layer::{
    Firmware, InitramfsPolicy, RepositoryEntry, RepositoryUrl, Runlevel, Scalar, TestVolume,
};
pub use library::{Library, Listed, Resolved};
pub use value::{AlpineRelease, ByteSize, Entry, EntryMode, Name, ShellPath, Word};

use crate::apk::dependency::Dependency;
use crate::arch::Arch;

/// Which profile, and what the command line says about it.
#[derive(Debug, Clone)]
pub struct ProfileSource {
    /// Its name: the file's name without `.toml`.
    pub name: String,
    /// The architecture asked for.
    pub arch: Option<Arch>,
    /// `--set KEY=VALUE`, in order.
    pub set: Vec<String>,
}

impl ProfileSource {
    /// A profile as its files say.
    pub fn new(name: &str) -> ProfileSource {
        ProfileSource {
            name: name.to_owned(),
            arch: None,
            set: Vec::new(),
        }
    }
}

/// A description of an image with every value present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// One line about it.
    pub description: String,
    /// Version of what the image is made for.
    pub version: Name,
    /// Alpine release.
    pub alpine: AlpineRelease,
    /// Architectures that it can be built for.
    pub arch: Vec<Arch>,
    /// Firmware that it boots under.
    pub firmware: Vec<Firmware>,
    /// Alpine mirrors, in order of preference.
    pub mirrors: Vec<Word>,
    /// Repositories, in order of preference.
    pub repositories: Vec<RepositoryEntry>,
    /// Folders of trusted keys.
    #[serde(default)]
    pub keys: Vec<Entry<Name>>,
    /// Packages.
    pub packages: Vec<Entry<Dependency>>,
    /// Overlays, in order.
    #[serde(default)]
    pub overlays: Vec<Entry<Name>>,
    /// Services by runlevel.
    #[serde(default)]
    pub services: BTreeMap<Runlevel, Vec<Entry<Name>>>,
    /// Kernel and early boot.
    pub kernel: Kernel,
    /// Boot loader.
    pub boot: Boot,
    /// The disk.
    pub disk: Disk,
    /// Users beside those of the packages.
    #[serde(default)]
    pub users: BTreeMap<Name, User>,
    /// Values for templates.
    #[serde(default)]
    pub values: BTreeMap<String, Scalar>,
    /// Checks by name.
    #[serde(default)]
    pub checks: BTreeMap<String, Check>,
    /// The machine that `test` boots the image in.
    #[serde(default)]
    pub test: Test,
}

/// Kernel and early boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// `/boot/vmlinuz-<flavor>`.
    pub flavor: Name,
    /// Words of the command line, beside the root.
    #[serde(default)]
    pub cmdline: Vec<Entry<Word>>,
    /// Modules without which the root is not found.
    #[serde(default)]
    pub modules: Vec<Entry<Name>>,
    /// Whether there is an initramfs.
    pub initramfs: InitramfsPolicy,
}

/// Boot loader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// Packages that it is made with.
    pub packages: Vec<Entry<Dependency>>,
}

/// The disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Its size.
    pub size: ByteSize,
    /// Label of the root file system.
    pub label: Name,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Numeric id, of the user and of its own group.
    pub uid: u32,
    /// Groups beside its own.
    #[serde(default)]
    pub groups: Vec<Entry<Name>>,
    /// Login shell.
    pub shell: ShellPath,
}

/// A check that runs inside the booted image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// A shell script; its exit status decides.
    pub run: String,
    /// Seconds after which it has failed.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u64,
}

/// The machine that `test` boots the image in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Blank volumes that it has besides the image.
    #[serde(default)]
    pub volumes: Vec<TestVolume>,
}

fn default_timeout() -> u64 {
    30
}

impl Profile {
    /// The architecture to build for: the one asked for, else this machine's, else the first.
    ///
    /// # Errors
    /// One that the profile is not for.
    pub fn choose_arch(&self, asked: Option<Arch>) -> Result<Arch, ProfileError> {
        match asked.or_else(|| Arch::host().filter(|host| self.arch.contains(host))) {
            Some(arch) if self.arch.contains(&arch) => Ok(arch),
            None => Ok(self.arch[0]),
            Some(arch) => {
                let supported: Vec<_> = self.arch.iter().map(|arch| arch.as_str()).collect();
                Err(ProfileError::Arch {
                    profile: self.name.clone(),
                    arch: arch.to_string(),
                    supported: supported.join(", "),
                })
            }
        }
    }

    /// The firmware of this profile that machines of `arch` have.
    pub fn firmware_on(&self, arch: Arch) -> Vec<Firmware> {
        let all: BTreeSet<_> = self.firmware.iter().copied().collect();
        all.into_iter()
            .filter(|firmware| firmware.exists_on(arch))
            .collect()
    }

    /// Rules that no single value shows.
    fn validate(&self) -> Result<(), String> {
        let refuse = |what: &str| Err(what.to_owned());
        if self.arch.is_empty() {
            return refuse("`arch` is empty: name at least one architecture");
        }
        if self.firmware.is_empty() {
            return refuse("`firmware` is empty: name bios, uefi or both");
        }
        for &arch in &self.arch {
            if self.firmware_on(arch).is_empty() {
                return Err(format!("none of its firmware exists on {arch}"));
            }
        }
        if self.mirrors.is_empty() && self.uses_mirrors() {
            return refuse("`mirrors` is empty, but repositories are named by their mirror");
        }
        if let Some((name, _)) = self
            .checks
            .iter()
            .find(|(_, check)| check.run.trim().is_empty())
        {
            return Err(format!(
                "`checks.{name}.run` is empty: such a check could not fail"
            ));
        }
        if let Some((name, _)) = self.values.iter().find(|(_, value)| value.has_control()) {
            return Err(format!(
                "`values.{name}` holds a line break or another control character"
            ));
        }
        let volumes = &self.test.volumes;
        if let Some(volume) = volumes.iter().find(|one| !is_device_name(&one.device)) {
            return Err(format!(
                "`test.volumes`: `{}` is no device that EC2 attaches: write such as `/dev/xvdb`",
                volume.device
            ));
        }
        // ext4 holds 16 bytes (struct ext4_super_block, s_volume_name).
        if self.disk.label.is_empty() || self.disk.label.len() > 16 {
            return refuse("`disk.label` must have 1 to 16 bytes");
        }
        // The partition table, the boot partitions and a root of a useful size.
        if self.disk.size < ByteSize(64 << 20) || !self.disk.size.0.is_multiple_of(1 << 20) {
            return refuse("`disk.size` must be whole MiB, at least 64MiB");
        }
        Ok(())
    }

    /// Whether any repository is named by its mirror.
    pub fn uses_mirrors(&self) -> bool {
        self.repositories
            .iter()
            .any(|entry| matches!(entry, RepositoryEntry::Name(_)))
    }
}

/// Names for volumes beside the root's, of those that EC2 recommends.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html>
fn is_device_name(name: &str) -> bool {
    let letters = name
        .strip_prefix("/dev/sd")
        .or_else(|| name.strip_prefix("/dev/xvd"));
    letters.is_some_and(|letters| {
        (1..=2).contains(&letters.len()) && letters.bytes().all(|one| one.is_ascii_lowercase())
    })
}
