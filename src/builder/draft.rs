//! What a job is made of: packages chosen and fetched, before anything is where an instance reaches
//! it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use crate::apk::fetch::Fetcher;
use crate::builder::job::{Addresses, Job, JobDisk, JobRepository, SCHEMA, Source};
use crate::builder::packages::{Chosen, Indexes, PackagesError, of_checksums};
use crate::digest;
use crate::image::manifest::PackageInfo;
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
    /// The bytes.
    pub content: Content,
}

/// Where bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In a file of this machine.
    File(PathBuf),
    /// Here.
    Bytes(Vec<u8>),
}

/// A job but for the addresses.
#[derive(Debug)]
pub struct Draft {
    plan: Plan,
    packages_digest: String,
    boot_packages: Vec<PackageInfo>,
    keys: BTreeMap<String, String>,
    repositories: Vec<DraftRepository>,
}

#[derive(Debug)]
struct DraftRepository {
    name: String,
    tag: Option<String>,
    index: Needed,
    packages: BTreeMap<String, Needed>,
}

impl Draft {
    /// Chooses and fetches the packages of a plan, as a build on this machine does.
    ///
    /// # Errors
    /// They cannot be had.
    pub async fn new(
        plan: Plan,
        sources: &Sources,
        fetcher: &Fetcher,
    ) -> Result<Draft, DraftError> {
        let indexes = Indexes::fetch(fetcher, sources, plan.arch).await?;
        let chosen = indexes.choose(&plan.world(), &plan.optional())?;
        let boot = indexes.choose(&plan.boot_world(), &[])?;
        let mut repositories: Vec<_> = indexes
            .signed()
            .map(|(repository, index)| DraftRepository {
                name: repository.name().to_owned(),
                tag: repository.tag.clone(),
                index: Needed {
                    sha256: digest::sha256(index),
                    size: index.len() as u64,
                    content: Content::Bytes(index.to_vec()),
                },
                packages: BTreeMap::new(),
            })
            .collect();
        for some in [&chosen, &boot] {
            let files = indexes.files(fetcher, &some.selected).await?;
            add(&mut repositories, some, files)?;
        }
        let keys = indexes.keys().iter();
        let keys =
            keys.map(|(name, pem)| (name.to_owned(), String::from_utf8_lossy(pem).into_owned()));
        Ok(Draft {
            packages_digest: chosen.digest(),
            boot_packages: boot
                .selected
                .iter()
                .map(|one| indexes.describe(one))
                .collect(),
            keys: keys.collect(),
            repositories,
            plan,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
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
        let checksums = self.boot_packages.iter();
        of_checksums(checksums.map(|package| package.checksum.clone()))
    }

    /// Every file that the instance will fetch, each once.
    pub fn needed(&self) -> BTreeMap<&str, &Needed> {
        let indexes = self.repositories.iter().map(|one| &one.index);
        let packages = self
            .repositories
            .iter()
            .flat_map(|one| one.packages.values());
        indexes
            .chain(packages)
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
            tag: one.tag.clone(),
            index: source(&one.index),
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
            repositories: self.repositories.iter().map(repository).collect(),
            packages_digest: self.packages_digest.clone(),
            disk,
            reports,
        }
    }
}

fn add(
    repositories: &mut [DraftRepository],
    chosen: &Chosen,
    files: Vec<PathBuf>,
) -> Result<(), DraftError> {
    for (selected, path) in chosen.selected.iter().zip(files) {
        let read = |source| DraftError::Read {
            path: path.clone(),
            source,
        };
        let needed = Needed {
            sha256: File::open(&path)
                .and_then(|file| digest::sha256_of_file(&file))
                .map_err(read)?,
            size: fs::metadata(&path).map_err(read)?.len(),
            content: Content::File(path),
        };
        let packages = &mut repositories[selected.source].packages;
        packages.insert(selected.package.file_name(), needed);
    }
    Ok(())
}
