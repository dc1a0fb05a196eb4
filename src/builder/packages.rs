//! From repositories to package files: indexes, resolution, download.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::apk::dependency::Dependency;
use crate::apk::fetch::{Fetcher, SignedIndex};
use crate::apk::index::{Checksum, IndexPackage};
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
    /// A package that is locked.
    #[error("the locked package {package} from {repository} cannot be had: {source}")]
    Locked {
        /// Name and version.
        package: String,
        /// The repository, as the lock calls it.
        repository: String,
        /// Why.
        source: Box<MirrorError>,
        /// The command that replaces it.
        again: String,
    },
    /// A lock that lacks something, or has too much.
    #[error("the lock of {profile} for {arch} does not hold together:{}", what.iter().map(|one| format!("\n  {one}")).collect::<String>())]
    Loose {
        /// The profile.
        profile: String,
        /// The architecture.
        arch: Arch,
        /// What is wrong, a sentence each.
        what: Vec<String>,
        /// The command that makes it anew.
        again: String,
    },
}

impl PackagesError {
    /// Whether it is what the user wrote that is wrong: a lock that does not hold together.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, PackagesError::Loose { .. })
    }

    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            PackagesError::Mirror(error) => Some(error.advice()),
            PackagesError::Unsolvable { .. } => Some(
                "change the packages asked for, or add the repository that has what is missing (--repository URL|DIR)".to_owned(),
            ),
            PackagesError::NoRepository => Some("name one with --repository URL|DIR".to_owned()),
            PackagesError::Locked { source, again, .. } => Some(match **source {
                MirrorError::Unreachable { .. } | MirrorError::Store { .. } => source.advice(),
                _ => format!(
                    "nothing else was taken in its place; name a mirror that has it with --mirror, build where it is in the store, or let `{again}` replace it"
                ),
            }),
            PackagesError::Loose { again, .. } => Some(format!(
                "somebody has changed it by hand, or in a merge: put it back as it was, or remove it and run `{again}`"
            )),
        }
    }
}

/// The verified indexes of all repositories, for one architecture.
#[derive(Debug)]
pub struct Indexes {
    arch: Arch,
    sources: Sources,
    indexes: Vec<Source>,
    /// When each was made, in seconds since 1970; 0 where nothing says.
    dates: Vec<u64>,
}

/// Packages in order of installation.
#[derive(Debug)]
pub struct Chosen {
    /// The packages.
    pub selected: Vec<Selected>,
    /// Optional ones that no repository has.
    pub left_out: Vec<Dependency>,
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
        let (mut indexes, mut dates) = (Vec::new(), Vec::new());
        for (task, repository) in tasks.into_iter().zip(&sources.repositories) {
            let SignedIndex { packages, date, .. } =
                task.await.expect("fetching does not panic")?;
            dates.push(date);
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
            dates,
        })
    }

    /// The repositories, each with the moment at which its index was made: seconds since 1970, 0
    /// where nothing says.
    pub fn dates(&self) -> impl Iterator<Item = (&Repository, u64)> {
        self.sources
            .repositories
            .iter()
            .zip(self.dates.iter().copied())
    }

    /// The package with this checksum, if the repository at a place lists it.
    pub fn find(&self, place: usize, checksum: &Checksum) -> Option<&IndexPackage> {
        let mut packages = self.indexes[place].packages.iter();
        packages.find(|package| package.checksum == *checksum)
    }

    /// Whether the repository at a place lists a package with this file's name.
    pub fn has_file(&self, place: usize, name: &str) -> bool {
        let mut packages = self.indexes[place].packages.iter();
        packages.any(|package| package.file_name() == name)
    }

    /// Takes another mirror's index of the repository at a place.
    pub fn replace(&mut self, place: usize, index: SignedIndex) {
        self.dates[place] = index.date;
        self.indexes[place].packages = index.packages;
    }

    /// Adds a package that the repository at a place had once to what is chosen from.
    pub fn remember(&mut self, place: usize, package: IndexPackage) {
        self.indexes[place].packages.push(package);
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
        self.choose_keeping(world, optional, &HashSet::new())
    }

    /// Like [`Indexes::choose`], where packages that are `kept` are preferred to newer ones.
    ///
    /// # Errors
    /// Those of [`Indexes::choose`].
    pub fn choose_keeping(
        &self,
        world: &[Dependency],
        optional: &[Dependency],
        kept: &HashSet<Checksum>,
    ) -> Result<Chosen, PackagesError> {
        let arch = self.arch.as_str();
        solver::resolve_keeping(&self.indexes, world, optional, arch, kept)
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
        PackageInfo::new(&selected.package, self.repository(selected).name())
    }
}
