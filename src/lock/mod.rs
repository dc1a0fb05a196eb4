//! Locks: the exact packages of a profile on one architecture, in a file that people review.
//!
//! A lock says which packages an image is made of, in order of installation, and from which
//! repositories, as of when, they were chosen. It is made from signed indexes; whoever builds with it
//! needs no index: each package is the one with its checksum, wherever it comes from. The same
//! profile and the same lock give the same image. Every build has one: where none was written, the
//! newest packages are locked, for that build.
//!
//! | part | subject |
//! |---|---|
//! | [`file`](mod@file) | the file: text, mistakes in it, writing it whole or not at all |
//! | [`make`] | choosing what is locked: the newest, or the least that must change |
//! | [`closure`] | whether locked packages meet each other's dependencies |
//! | [`indexes`] | the dates of indexes; none goes back behind a lock |
//! | [`changes`] | what differs between two locks, for people and machines |
//! | [`error`] | what can be wrong with a lock |

pub mod changes;
pub mod closure;
pub mod error;
pub mod file;
pub mod indexes;
pub mod make;
#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use error::LockError;

use crate::apk::dependency::Dependency;
use crate::apk::index::{Checksum, IndexPackage};
use crate::apk::mirror::Repository;
use crate::apk::version::Version;
use crate::arch::Arch;
use crate::builder::packages::of_checksums;
use crate::digest::sha256;
use crate::plan::{Plan, Sources};

/// The packages of a profile on one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The profile.
    pub profile: String,
    /// The architecture.
    pub arch: Arch,
    /// What was asked for.
    pub wishes: Wishes,
    /// Where packages were chosen from, in order of preference.
    pub repositories: Vec<LockedRepository>,
    /// Packages of the image, in order of installation.
    pub image: Vec<LockedPackage>,
    /// Optional wishes whose name no repository had.
    pub left_out: Vec<Dependency>,
    /// Packages that the boot loader is made with, in order of installation.
    pub boot: Vec<LockedPackage>,
}

/// What a profile asks for, each list sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Packages that must be there.
    pub required: Vec<Dependency>,
    /// Packages that are taken where a repository has them.
    pub optional: Vec<Dependency>,
    /// Packages that the boot loader is made with.
    pub boot: Vec<Dependency>,
}

/// A repository that packages were chosen from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedRepository {
    /// What it is called, with its tag: `v3.15/main`, `@edge https://…`. No mirror is in it.
    pub name: String,
    /// When its index was made; nothing where it does not say.
    pub index_date: Option<OffsetDateTime>,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its architecture as its index says: the lock's, or `noarch`.
    pub arch: String,
    /// The repository that it was chosen from.
    pub repository: String,
    /// Bytes of its file.
    pub size: u64,
    /// What identifies it.
    pub checksum: Checksum,
}

/// What an image's manifest says of the lock that it was built with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LockInfo {
    /// SHA-256 of the lock's text, which is beside the manifest.
    pub sha256: String,
    /// The indexes that it was made from.
    pub indexes: Vec<IndexInfo>,
}

/// An index that packages were chosen from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct IndexInfo {
    /// The repository, whatever the mirror: `v3.15/main`.
    pub repository: String,
    /// When it was made, where it says so.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub date: Option<OffsetDateTime>,
}

impl Wishes {
    /// What a plan asks for.
    pub fn of(plan: &Plan) -> Wishes {
        Wishes {
            required: sorted(plan.world()),
            optional: sorted(plan.optional()),
            boot: sorted(plan.boot_world()),
        }
    }
}

/// Each once, in the order of their texts: that of layers says nothing.
fn sorted(mut wishes: Vec<Dependency>) -> Vec<Dependency> {
    wishes.sort_by_cached_key(ToString::to_string);
    wishes.dedup();
    wishes
}

impl LockedPackage {
    /// Name and version.
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// As far as it is known before its file was read: enough to fetch that.
    pub fn stub(&self) -> IndexPackage {
        IndexPackage {
            name: self.name.as_str().into(),
            version: self.version.clone(),
            arch: self.arch.as_str().into(),
            checksum: self.checksum,
            size: self.size,
            installed_size: 0,
            description: "".into(),
            url: "".into(),
            license: "".into(),
            origin: None,
            maintainer: None,
            build_time: None,
            commit: None,
            provider_priority: 0,
            depends: Vec::new(),
            provides: Vec::new(),
            install_if: Vec::new(),
            replaces: Vec::new(),
            replaces_priority: None,
            unreadable: Vec::new(),
        }
    }
}

impl Lock {
    /// Where the lock of a profile lies, in the folder of locks.
    pub fn path(folder: &Path, profile: &str, arch: Arch) -> PathBuf {
        folder.join(format!("{profile}-{arch}.lock.toml"))
    }

    /// The lock that lies in the folder of locks for a plan, where there is one. It is held against
    /// the plan: `again` is the command that makes it anew.
    ///
    /// # Errors
    /// It cannot be read, is another one's, or the profile asks for something else by now.
    pub fn of_plan(
        folder: &Path,
        plan: &Plan,
        sources: &Sources,
        again: &str,
    ) -> Result<Option<Lock>, LockError> {
        let path = Lock::path(folder, &plan.profile.name, plan.arch);
        let Some(lock) = Lock::read(&path, &plan.profile.name, plan.arch)? else {
            return Ok(None);
        };
        let reasons = lock.outdated(plan, sources);
        match reasons.is_empty() {
            true => Ok(Some(lock)),
            false => Err(LockError::Outdated {
                path,
                reasons,
                again: again.to_owned(),
            }),
        }
    }

    /// What a plan asks for that the lock was not made for, a sentence each.
    pub fn outdated(&self, plan: &Plan, sources: &Sources) -> Vec<String> {
        let wishes = Wishes::of(plan);
        let mut reasons = Vec::new();
        for (what, locked, wanted) in [
            ("package", &self.wishes.required, &wishes.required),
            ("optional package", &self.wishes.optional, &wishes.optional),
            ("boot loader's package", &self.wishes.boot, &wishes.boot),
        ] {
            let new = wanted.iter().filter(|wish| !locked.contains(wish));
            reasons
                .extend(new.map(|wish| format!("the {what} `{wish}` is asked for and not locked")));
            let gone = locked.iter().filter(|wish| !wanted.contains(wish));
            reasons.extend(
                gone.map(|wish| format!("the {what} `{wish}` is locked and not asked for")),
            );
        }
        let mut wanted: Vec<String> = Vec::new();
        for label in sources.repositories.iter().map(Repository::label) {
            if !wanted.contains(&label) {
                wanted.push(label);
            }
        }
        let locked: Vec<&str> = self
            .repositories
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        if wanted != locked {
            reasons.push(format!(
                "it was made from {}, packages are to come from {}",
                locked.join(", "),
                wanted.join(", ")
            ));
        }
        reasons
    }

    /// SHA-256 of its text. A comment that somebody put into the file does not count.
    pub fn digest(&self) -> String {
        sha256(self.to_text().as_bytes())
    }

    /// What a manifest says of it.
    pub fn info(&self) -> LockInfo {
        let index = |one: &LockedRepository| IndexInfo {
            repository: one.name.clone(),
            date: one.index_date,
        };
        LockInfo {
            sha256: self.digest(),
            indexes: self.repositories.iter().map(index).collect(),
        }
    }

    /// SHA-256 over the checksums of the image's packages in their order.
    pub fn packages_digest(&self) -> String {
        of_checksums(
            self.image
                .iter()
                .map(|package| package.checksum.to_string()),
        )
    }

    /// The same of the boot loader's.
    pub fn boot_packages_digest(&self) -> String {
        of_checksums(self.boot.iter().map(|package| package.checksum.to_string()))
    }

    /// All packages: the image's, then the boot loader's.
    pub fn packages(&self) -> impl Iterator<Item = &LockedPackage> {
        self.image.iter().chain(&self.boot)
    }

    /// Whether the same packages are locked for the same wishes; indexes may be newer ones.
    pub fn is_same(&self, other: &Lock) -> bool {
        let undated = |lock: &Lock| {
            let mut lock = lock.clone();
            for repository in &mut lock.repositories {
                repository.index_date = None;
            }
            lock
        };
        undated(self) == undated(other)
    }
}
