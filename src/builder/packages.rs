//! From repositories to package files: indexes, resolution, download.

use std::path::PathBuf;

use crate::apk::dependency::Dependency;
use crate::apk::fetch::Fetcher;
use crate::apk::keys::KeyRing;
use crate::apk::mirror::{MirrorError, Repository};
use crate::apk::solver::{self, Selected, Source, Unsolvable};
use crate::arch::Arch;
use crate::digest::sha256;
use crate::image::manifest::PackageInfo;
use crate::plan::Sources;

/// Packages that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// A repository.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// No set of packages meets what is asked for.
    #[error("{unsolvable}\n  searched: {}", searched.join(", "))]
    Unsolvable {
        /// What cannot be met and why.
        unsolvable: Box<Unsolvable>,
        /// The repositories.
        searched: Vec<String>,
    },
    /// No repository was named.
    #[error("there is no repository to take packages from")]
    NoRepository,
}

impl PackagesError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            PackagesError::Mirror(error) => Some(error.advice()),
            PackagesError::Unsolvable { .. } => Some(
                "change the packages asked for, or add the repository that has what is missing (--repository URL|DIR)".to_owned(),
            ),
            PackagesError::NoRepository => Some("name one with --repository URL|DIR".to_owned()),
        }
    }
}

/// The verified indexes of all repositories, for one architecture.
#[derive(Debug)]
pub struct Indexes {
    arch: Arch,
    sources: Sources,
    indexes: Vec<Source>,
    signed: Vec<Vec<u8>>,
}

/// Packages in order of installation.
#[derive(Debug)]
pub struct Chosen {
    /// The packages.
    pub selected: Vec<Selected>,
    /// Optional ones that no repository has.
    pub left_out: Vec<Dependency>,
}

impl Chosen {
    /// SHA-256 over the checksums of all packages in their order.
    pub fn digest(&self) -> String {
        let checksums = self.selected.iter();
        of_checksums(checksums.map(|one| one.package.checksum.to_string()))
    }
}

/// SHA-256 over checksums in their order.
pub fn of_checksums(checksums: impl Iterator<Item = String>) -> String {
    let sums: String = checksums.map(|checksum| checksum + "\n").collect();
    sha256(sums.as_bytes())
}

impl Indexes {
    /// Fetches and verifies all indexes at once.
    ///
    /// # Errors
    /// A repository that cannot be reached or trusted.
    pub async fn fetch(
        fetcher: &Fetcher,
        sources: &Sources,
        arch: Arch,
    ) -> Result<Indexes, PackagesError> {
        if sources.repositories.is_empty() {
            return Err(PackagesError::NoRepository);
        }
        let mut tasks = Vec::new();
        for repository in &sources.repositories {
            let (fetcher, repository) = (fetcher.clone(), repository.clone());
            let keys = sources.keys.clone();
            tasks.push(tokio::spawn(async move {
                fetcher.index(&repository, arch, &keys).await
            }));
        }
        let (mut indexes, mut signed) = (Vec::new(), Vec::new());
        for (task, repository) in tasks.into_iter().zip(&sources.repositories) {
            let (bytes, packages) = task.await.expect("fetching does not panic")?;
            signed.push(bytes);
            tracing::debug!("{}: {} packages", repository.name(), packages.len());
            indexes.push(Source {
                name: repository.name().to_owned(),
                tag: repository.tag.clone(),
                packages,
            });
        }
        Ok(Indexes {
            arch,
            sources: sources.clone(),
            indexes,
            signed,
        })
    }

    /// The repositories, each with its index as it was signed.
    pub fn signed(&self) -> impl Iterator<Item = (&Repository, &[u8])> {
        let signed = self.signed.iter().map(Vec::as_slice);
        self.sources.repositories.iter().zip(signed)
    }

    /// The keys that are trusted.
    pub fn keys(&self) -> &KeyRing {
        &self.sources.keys
    }

    /// Chooses the packages that meet `world`, and of `optional` what any repository has.
    ///
    /// # Errors
    /// What cannot be met and why.
    pub fn choose(
        &self,
        world: &[Dependency],
        optional: &[Dependency],
    ) -> Result<Chosen, PackagesError> {
        let arch = self.arch.as_str();
        solver::resolve_with_optional(&self.indexes, world, optional, arch)
            .map(|resolution| Chosen {
                selected: resolution.selected,
                left_out: resolution.left_out,
            })
            .map_err(|unsolvable| PackagesError::Unsolvable {
                unsolvable: Box::new(unsolvable),
                searched: self
                    .indexes
                    .iter()
                    .map(|index| index.name.clone())
                    .collect(),
            })
    }

    /// Fetches the files of chosen packages, several at once, and returns them in order.
    ///
    /// # Errors
    /// A package that cannot be fetched or is not what the index lists.
    pub async fn files(
        &self,
        fetcher: &Fetcher,
        selected: &[Selected],
    ) -> Result<Vec<PathBuf>, PackagesError> {
        let is_missing =
            |one: &&Selected| !fetcher.is_here(self.repository(one), self.arch, &one.package);
        let missing = selected.iter().filter(is_missing);
        let bytes = missing.map(|one| one.package.size).sum();
        let files = self.each_file(fetcher, selected);
        fetcher.telling(bytes, files).await
    }

    async fn each_file(
        &self,
        fetcher: &Fetcher,
        selected: &[Selected],
    ) -> Result<Vec<PathBuf>, PackagesError> {
        let mut tasks = tokio::task::JoinSet::new();
        for (place, one) in selected.iter().enumerate() {
            let fetcher = fetcher.clone();
            let repository = self.repository(one).clone();
            let (package, keys, arch) = (one.package.clone(), self.sources.keys.clone(), self.arch);
            tasks.spawn(async move {
                let file = fetcher.package(&repository, arch, &package, &keys).await;
                (place, file)
            });
        }
        let mut files = vec![PathBuf::new(); selected.len()];
        while let Some(done) = tasks.join_next().await {
            let (place, file) = done.expect("fetching does not panic");
            files[place] = file?;
        }
        Ok(files)
    }

    /// The repository that a package comes from.
    pub fn repository(&self, selected: &Selected) -> &Repository {
        &self.sources.repositories[selected.source]
    }

    /// What a manifest and `packages resolve` say of a package.
    pub fn describe(&self, selected: &Selected) -> PackageInfo {
        let package = &selected.package;
        PackageInfo {
            name: package.name.to_string(),
            version: package.version.to_string(),
            arch: package.arch.to_string(),
            checksum: package.checksum.to_string(),
            repository: self.repository(selected).name().to_owned(),
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
