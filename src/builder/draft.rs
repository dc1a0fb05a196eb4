//! What a job is made of: packages chosen and fetched, before anything is where an instance reaches
//! it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use crate::apk::fetch::Fetcher;
use crate::builder::gather::{Gathered, gather};
use crate::builder::job::{Addresses, Job, JobDisk, JobRepository, SCHEMA, Source};
use crate::builder::packages::PackagesError;
use crate::digest;
use crate::image::manifest::PackageInfo;
use crate::lock::Lock;
use crate::lock::make::Maker;
use crate::plan::{Plan, Sources};

/// A job that cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// Repositories and packages.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// A package's file, on this machine.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A file that an instance needs. Its SHA-256 is its name wherever it lies: it is put there once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its length, in bytes.
    pub size: u64,
    /// Where it is on this machine.
    pub path: PathBuf,
}

/// A job but for the addresses.
#[derive(Debug)]
pub struct Draft {
    plan: Plan,
    lock: Lock,
    packages_digest: String,
    boot_packages: Vec<PackageInfo>,
    keys: BTreeMap<String, String>,
    repositories: Vec<DraftRepository>,
}

#[derive(Debug)]
struct DraftRepository {
    name: String,
    id: String,
    tag: Option<String>,
    packages: BTreeMap<String, Needed>,
}

impl Draft {
    /// Fetches the packages of a plan that are locked, or the newest where nothing is, as a build on
    /// this machine does.
    ///
    /// # Errors
    /// They cannot be had.
    pub async fn new(
        plan: Plan,
        sources: &Sources,
        lock: Option<Lock>,
        fetcher: &Fetcher,
    ) -> Result<Draft, DraftError> {
        let lock = match lock {
            Some(lock) => lock,
            None => {
                let plan = &plan;
                let maker = Maker {
                    plan,
                    sources,
                    fetcher,
                };
                maker.newest().await?
            }
        };
        let gathered = gather(fetcher, sources, &lock).await?;
        let mut repositories: Vec<_> = sources
            .repositories
            .iter()
            .map(|repository| DraftRepository {
                name: repository.name().to_owned(),
                id: repository.id().to_owned(),
                tag: repository.tag.clone(),
                packages: BTreeMap::new(),
            })
            .collect();
        for one in gathered.image.iter().chain(&gathered.boot) {
            let packages = &mut repositories[one.source].packages;
            packages.insert(one.package.file_name(), needed(one)?);
        }
        let keys = sources.keys.iter();
        let keys =
            keys.map(|(name, pem)| (name.to_owned(), String::from_utf8_lossy(pem).into_owned()));
        Ok(Draft {
            packages_digest: lock.packages_digest(),
            boot_packages: gathered.boot.iter().map(Gathered::describe).collect(),
            keys: keys.collect(),
            repositories,
            plan,
            lock,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is locked.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// What the packages come to: the digest that the manifest will have.
    pub fn packages_digest(&self) -> &str {
        &self.packages_digest
    }

    /// The packages that the boot loader is made with, which are not in the image.
    pub fn boot_packages(&self) -> &[PackageInfo] {
        &self.boot_packages
    }

    /// What these come to.
    pub fn boot_packages_digest(&self) -> String {
        self.lock.boot_packages_digest()
    }

    /// Every file that the instance will fetch, each once.
    pub fn needed(&self) -> BTreeMap<&str, &Needed> {
        self.repositories
            .iter()
            .flat_map(|one| one.packages.values())
            .map(|needed| (needed.sha256.as_str(), needed))
            .collect()
    }

    /// The job, with the address of each file by its SHA-256.
    pub fn job(
        &self,
        id: &str,
        disk: JobDisk,
        reports: Addresses,
        address: impl Fn(&str) -> String,
    ) -> Job {
        let source = |needed: &Needed| Source {
            url: address(&needed.sha256),
            size: needed.size,
            sha256: needed.sha256.clone(),
        };
        let repository = |one: &DraftRepository| JobRepository {
            name: one.name.clone(),
            id: one.id.clone(),
            tag: one.tag.clone(),
            packages: one
                .packages
                .iter()
                .map(|(name, needed)| (name.clone(), source(needed)))
                .collect(),
        };
        Job {
            schema: SCHEMA,
            tool: concat!("alpine-ami ", env!("CARGO_PKG_VERSION")).to_owned(),
            id: id.to_owned(),
            arch: self.plan.arch,
            plan_digest: self.plan.digest.clone(),
            plan: Job::plan_files(&self.plan),
            keys: self.keys.clone(),
            lock: self.lock.to_text(),
            repositories: self.repositories.iter().map(repository).collect(),
            packages_digest: self.packages_digest.clone(),
            disk,
            reports,
        }
    }
}

/// A package's file, read once more: its name wherever it goes is what it holds.
fn needed(one: &Gathered) -> Result<Needed, DraftError> {
    let path = &one.file;
    let read = |source| DraftError::Read {
        path: path.clone(),
        source,
    };
    Ok(Needed {
        sha256: File::open(path)
            .and_then(|file| digest::sha256_of_file(&file))
            .map_err(read)?,
        size: fs::metadata(path).map_err(read)?.len(),
        path: path.clone(),
    })
}
