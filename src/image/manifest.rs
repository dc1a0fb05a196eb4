//! `manifest.json`: what an image is, written last, so that an image with one is complete.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::apk::index::IndexPackage;
use crate::arch::Arch;
use crate::aws::names::{KeyArn, Region, SnapshotId};
use crate::blocks::{self, Scan};
use crate::lock::LockInfo;
use crate::profile::{Check, Firmware, TestVolume};
use crate::workdir::write_json;

/// The name of the image's file.
pub const IMAGE: &str = "image.raw";
/// The name of the manifest's file.
pub const MANIFEST: &str = "manifest.json";
/// The version of the format; a reader refuses a higher one.
pub const SCHEMA: u32 = 1;

/// What an image is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Manifest {
    /// Version of this format.
    pub schema: u32,
    /// Name and version of the program that built it.
    pub tool: String,
    /// The profile's name.
    pub profile: String,
    /// Version of what the image is made for.
    pub version: String,
    /// The Alpine release, as the package with it says: `3.15.11`; where none does, the branch.
    pub alpine: String,
    /// The architecture.
    pub arch: Arch,
    /// Firmware that it boots under.
    pub firmware: Vec<Firmware>,
    /// SHA-256 of the rendered plan.
    pub plan_digest: String,
    /// SHA-256 over the checksums of all packages in their order.
    pub packages_digest: String,
    /// The lock that it was built with; manifests of earlier versions do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockInfo>,
    /// The time that stands in for the clock in the image, in seconds since 1970.
    pub source_date_epoch: u64,
    /// The image file, or what such a file would be where the image is in a snapshot.
    pub image: ImageFile,
    /// Where the image is if not in a file: a build instance made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<BuiltSnapshot>,
    /// The root file system.
    pub root: RootFileSystem,
    /// The kernel.
    pub kernel: KernelInfo,
    /// Packages in the image, in order of installation.
    pub packages: Vec<PackageInfo>,
    /// Packages that the boot loader was made with; they are not in the image.
    pub boot_packages: Vec<PackageInfo>,
    /// Optional packages that no repository had.
    pub left_out: Vec<String>,
    /// The profile's checks, by name: what `test` runs in the guest.
    pub checks: BTreeMap<String, Check>,
    /// Blank volumes that `test` gives the machine besides the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_volumes: Vec<TestVolume>,
}

/// The image file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ImageFile {
    /// Its name beside the manifest.
    pub file: String,
    /// Its length, in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// SHA-256 over `sha256` and the SHA-256 of every block of 512 KiB, in order; behind the end
    /// are zeros ([`blocks::bound`]). What is compared before an image is published: all processors
    /// share that work, and holes need none. A manifest without it is good, and takes longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks_sha256: Option<String>,
}

impl ImageFile {
    /// What is said of a file of that name, in which `scan` was found.
    pub fn new(file: &str, scan: &Scan) -> ImageFile {
        ImageFile {
            file: file.to_owned(),
            size: scan.size,
            blocks_sha256: blocks::bound(&scan.sha256, &scan.blocks),
            sha256: scan.sha256.clone(),
        }
    }
}

/// A snapshot that holds an image from its first block on, with zeros behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BuiltSnapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Where it is.
    pub region: Region,
    /// The key that it is encrypted under.
    pub key: KeyArn,
    /// The volume's size, in GiB.
    pub volume_gib: u32,
    /// The build that made it, as its tag says.
    pub build: String,
}

/// The root file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RootFileSystem {
    /// Its UUID.
    pub uuid: String,
    /// Its label.
    pub label: String,
    /// Room for files, in bytes: without inode tables, bitmaps and journal.
    pub capacity: u64,
    /// Bytes of it in use.
    pub used: u64,
}

/// The kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct KernelInfo {
    /// Its release: `uname -r`.
    pub release: String,
    /// Its command line.
    pub cmdline: String,
    /// Whether there is an initramfs.
    pub initramfs: bool,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PackageInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub arch: String,
    /// Its checksum in apk's form.
    pub checksum: String,
    /// Where it came from.
    pub repository: String,
    /// Bytes of its file.
    pub size: u64,
    /// Bytes that it takes once installed.
    pub installed_size: u64,
    /// Its licence.
    pub license: String,
    /// The source package that it is built from, where that is called otherwise; fixes of
    /// vulnerabilities go by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl PackageInfo {
    /// What is told of a package from the repository of that name.
    pub fn new(package: &IndexPackage, repository: &str) -> PackageInfo {
        PackageInfo {
            name: package.name.to_string(),
            version: package.version.to_string(),
            arch: package.arch.to_string(),
            checksum: package.checksum.to_string(),
            repository: repository.to_owned(),
            size: package.size,
            installed_size: package.installed_size,
            license: package.license.to_string(),
            origin: package
                .origin
                .as_deref()
                .filter(|origin| **origin != *package.name)
                .map(str::to_owned),
        }
    }
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not there or cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a manifest.
    #[error("{path} is not a manifest: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It was written by a later version of this program.
    #[error("{path} has format {found}, this program knows {SCHEMA}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

impl ManifestError {
    /// What to do next.
    pub fn advice(&self) -> &'static str {
        match self {
            ManifestError::Read { .. } | ManifestError::Parse { .. } => {
                "name a folder that `alpine-ami build` has made; it is complete when it holds manifest.json"
            }
            ManifestError::Schema { .. } => {
                "use the version of alpine-ami that built it, or a later one"
            }
        }
    }
}

impl Manifest {
    /// Reads the manifest of a build folder.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn read(dir: &Path) -> Result<Manifest, ManifestError> {
        /// Only the version: another format may lack everything else.
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let path = dir.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|source| ManifestError::Read {
            path: path.clone(),
            source,
        })?;
        let parse = |source| ManifestError::Parse {
            path: path.clone(),
            source,
        };
        let Version { schema } = serde_json::from_str(&text).map_err(parse)?;
        if schema > SCHEMA {
            return Err(ManifestError::Schema {
                path,
                found: schema,
            });
        }
        serde_json::from_str(&text).map_err(parse)
    }

    /// Writes the manifest into a build folder, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        write_json(&dir.join(MANIFEST), self)
    }
}
