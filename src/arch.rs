//! Processor architectures, under Alpine's names, and the firmware that starts their machines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An architecture that images can be built for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86; EC2 calls it `x86_64` too.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm; EC2 calls it `arm64`.
    Aarch64,
}

impl Arch {
    /// Every architecture, in the order in which they are listed to users.
    pub const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    /// Alpine's name, as in repository paths and `etc/apk/arch`.
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }

    /// The architecture that this program was built for, where it is one of ours.
    pub fn host() -> Option<Arch> {
        std::env::consts::ARCH.parse().ok()
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is not an architecture of ours.
#[derive(Debug, thiserror::Error)]
#[error("unknown architecture `{0}`: use x86_64 or aarch64")]
pub struct UnknownArch(String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Arch::ALL
            .into_iter()
            .find(|arch| arch.as_str() == name)
            .ok_or_else(|| UnknownArch(name.to_owned()))
    }
}

/// Firmware that starts the boot loader.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// PC BIOS; EC2's boot mode `legacy-bios`; x86_64 only.
    Bios,
    /// UEFI; EC2's boot mode `uefi`.
    Uefi,
}

impl Firmware {
    /// Whether machines of this architecture have it.
    pub fn exists_on(self, arch: Arch) -> bool {
        self == Firmware::Uefi || arch == Arch::X86_64
    }

    /// The name in profiles, options and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Firmware::Bios => "bios",
            Firmware::Uefi => "uefi",
        }
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is not a firmware of ours.
#[derive(Debug, thiserror::Error)]
#[error("unknown firmware `{0}`: use bios or uefi")]
pub struct UnknownFirmware(String);

impl FromStr for Firmware {
    type Err = UnknownFirmware;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Firmware::Bios, Firmware::Uefi]
            .into_iter()
            .find(|firmware| firmware.as_str() == name)
            .ok_or_else(|| UnknownFirmware(name.to_owned()))
    }
}
