//! The profile file as it is written: every key optional, none unknown.
//!
//! One file is one layer. Layers are merged in the order of `include`, the file itself last; the
//! result, with every value present, is a [`Profile`](super::Profile).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{AlpineRelease, ByteSize, Entry, Name, ReleaseRange, ShellPath, Word};
use crate::apk::dependency::Dependency;
use crate::arch::Arch;
pub use crate::arch::Firmware;

/// A layer of a profile.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// One line for `profile list`.
    pub description: Option<String>,
    /// Layers beneath this one, lowest first: names of other profile files, without `.toml`.
    #[serde(default)]
    pub include: Vec<String>,
    /// A layer that is only ever included, never built by itself.
    #[serde(default)]
    pub only_included: bool,
    /// Version of what the image is made for, as it stands in release and AMI names; the Alpine
    /// release where nothing is said.
    pub version: Option<Name>,
    /// Alpine release, such as `"3.15"`.
    pub alpine: Option<AlpineRelease>,
    /// Architectures that it can be built for. Replaces what lower layers say.
    pub arch: Option<Vec<Arch>>,
    /// Firmware that the image boots under; those that an architecture does not have are left
    /// out (`bios` is x86_64 only). Replaces what lower layers say.
    pub firmware: Option<Vec<Firmware>>,
    /// Alpine mirrors, the first that answers is taken. Replaces what lower layers say.
    pub mirrors: Option<Vec<Word>>,
    /// Repositories: a name below each mirror's release, such as `"main"`, or a table. A table with
    /// the tag of a lower layer's takes its place.
    #[serde(default)]
    pub repositories: Vec<RepositoryEntry>,
    /// Trusted keys: folders below `keys/` of the profiles.
    #[serde(default)]
    pub keys: Vec<Entry<Name>>,
    /// Packages, as in apk's world. `"name?"` is taken only where a repository has it; `"-name"`
    /// takes away what a lower layer asks for.
    #[serde(default)]
    pub packages: Vec<Entry<Dependency>>,
    /// Overlays, laid over the packages in this order.
    #[serde(default)]
    pub overlays: Vec<Entry<Name>>,
    /// Services by runlevel. `"name?"` is enabled only where the root has it; `"-name"` takes away
    /// what a lower layer enables.
    #[serde(default)]
    pub services: BTreeMap<Runlevel, Vec<Entry<Name>>>,
    /// Kernel and early boot.
    pub kernel: Option<KernelLayer>,
    /// Boot loader.
    pub boot: Option<BootLayer>,
    /// The disk.
    pub disk: Option<DiskLayer>,
    /// Users that the image has beside those of its packages; they have no password.
    #[serde(default)]
    pub users: BTreeMap<Name, UserLayer>,
    /// Values for the overlays' templates.
    #[serde(default)]
    pub values: BTreeMap<String, Scalar>,
    /// Checks that `test` runs inside the booted image, by name.
    #[serde(default)]
    pub checks: BTreeMap<String, CheckLayer>,
    /// Layers that hold for one architecture, Alpine release or firmware only.
    #[serde(default)]
    pub when: Vec<When>,
}

/// A layer with its condition: all that is said must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The architecture built for.
    pub arch: Option<Arch>,
    /// The Alpine release, such as `">=3.18"` or `"3.15"`.
    pub alpine: Option<ReleaseRange>,
    /// A firmware among those of the image.
    pub firmware: Option<Firmware>,
    /// What then holds too.
    pub set: Box<Layer>,
}

/// OpenRC's runlevels.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Runlevel {
    /// Devices and kernel file systems.
    Sysinit,
    /// Everything local.
    Boot,
    /// What the machine is for.
    Default,
    /// On the way down.
    Shutdown,
}

impl Runlevel {
    /// OpenRC's name, which is also the folder below `etc/runlevels`.
    pub fn as_str(self) -> &'static str {
        match self {
            Runlevel::Sysinit => "sysinit",
            Runlevel::Boot => "boot",
            Runlevel::Default => "default",
            Runlevel::Shutdown => "shutdown",
        }
    }
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RepositoryEntry {
    /// A repository of the Alpine mirrors: `<mirror>/v<alpine>/<name>`.
    Name(Name),
    /// One of its own.
    Url(RepositoryUrl),
}

/// A repository outside the Alpine mirrors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositoryUrl {
    /// Address or folder, above the architecture; `{alpine}` is replaced by the release.
    pub url: Word,
    /// Serves only packages asked for as `name@tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Name>,
}

/// Kernel and early boot.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelLayer {
    /// The kernel's flavour: `/boot/vmlinuz-<flavor>`.
    pub flavor: Option<Name>,
    /// Words of the kernel command line, beside the root.
    #[serde(default)]
    pub cmdline: Vec<Entry<Word>>,
    /// Modules without which the root is not found.
    #[serde(default)]
    pub modules: Vec<Entry<Name>>,
    /// Whether there is an initramfs.
    pub initramfs: Option<InitramfsPolicy>,
}

/// Whether the image gets an initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InitramfsPolicy {
    /// Where one of the modules is not built into the kernel.
    Auto,
    /// Always.
    Always,
    /// Never: a kernel that would need one is an error.
    Never,
}

/// Boot loader.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootLayer {
    /// Packages that the boot loader is made with. They are installed beside the image, not into
    /// it.
    #[serde(default)]
    pub packages: Vec<Entry<Dependency>>,
}

/// The disk.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskLayer {
    /// Size, such as `"2GiB"`.
    pub size: Option<ByteSize>,
    /// Label of the root file system.
    pub label: Option<Name>,
}

/// A user.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserLayer {
    /// Numeric id, of the user and of its own group.
    pub uid: Option<u32>,
    /// Groups beside its own; they must exist in the packages.
    #[serde(default)]
    pub groups: Vec<Entry<Name>>,
    /// Login shell.
    pub shell: Option<ShellPath>,
}

/// A check.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckLayer {
    /// A shell script, run as root by the image's `sh`; its exit status decides.
    pub run: Option<String>,
    /// Seconds after which it has failed.
    pub timeout_seconds: Option<u64>,
}

/// A value for templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// true or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

impl Scalar {
    /// Whether a text in it would break out of the line that a template puts it on.
    pub fn has_control(&self) -> bool {
        let broken = |text: &String| text.contains(char::is_control);
        match self {
            Scalar::Text(text) => broken(text),
            Scalar::List(texts) => texts.iter().any(broken),
            Scalar::Bool(_) | Scalar::Integer(_) => false,
        }
    }
}
