//! The files of a lock's packages: from the store, or from where they were locked from; verified, and
//! read for what the lock leaves to them.

use std::path::{Path, PathBuf};

use tokio::task::JoinSet;

use super::packages::PackagesError;
use crate::apk::fetch::Fetcher;
use crate::apk::index::IndexPackage;
use crate::apk::keys::KeyRing;
use crate::apk::mirror::{MirrorError, Repository};
use crate::apk::pack::index_entry;
use crate::apk::package::Package;
use crate::arch::Arch;
use crate::image::install::Planned;
use crate::image::manifest::PackageInfo;
use crate::lock::closure;
use crate::lock::{Lock, LockedPackage};
use crate::plan::Sources;

/// A locked package with its file.
#[derive(Debug)]
pub struct Gathered {
    /// What it says of itself, with the lock's architecture.
    pub package: IndexPackage,
    /// What its repository is called.
    pub repository: String,
    /// The tag of its repository.
    pub tag: Option<String>,
    /// The place of the repository among the sources.
    pub source: usize,
    /// The verified file.
    pub file: PathBuf,
}

/// The packages of a lock, in order of installation.
#[derive(Debug)]
pub struct GatheredLock {
    /// The image's.
    pub image: Vec<Gathered>,
    /// The boot loader's.
    pub boot: Vec<Gathered>,
}

impl Gathered {
    /// What a manifest says of it.
    pub fn describe(&self) -> PackageInfo {
        PackageInfo::new(&self.package, &self.repository)
    }

    /// As it is installed.
    pub fn planned(&self) -> Planned<'_> {
        Planned {
            package: &self.package,
            tag: self.tag.as_deref(),
            file: self.file.clone(),
        }
    }
}

/// Fetches what is locked, several at once, and sees that it holds together.
///
/// # Errors
/// A package that cannot be had, is another one, or lacks what it needs.
pub async fn gather(
    fetcher: &Fetcher,
    sources: &Sources,
    lock: &Lock,
) -> Result<GatheredLock, PackagesError> {
    let mut orders = Vec::new();
    for locked in lock.packages() {
        let (source, repository) = repository(sources, lock, locked)?;
        orders.push(Order {
            fetcher: fetcher.clone(),
            repository: repository.clone(),
            source,
            arch: lock.arch,
            locked: locked.clone(),
            keys: sources.keys.clone(),
            again: again(lock),
        });
    }
    let missing = orders.iter().filter(|order| !order.is_here());
    let bytes = missing.map(|order| order.locked.size).sum();
    let mut gathered = fetcher.telling(bytes, fetch(orders)).await?;
    gathered.sort_by_key(|(place, _)| *place);
    let mut image: Vec<_> = gathered.into_iter().map(|(_, one)| one).collect();
    let boot = image.split_off(lock.image.len());
    let gathered = GatheredLock { image, boot };
    check(lock, &gathered)?;
    Ok(gathered)
}

/// All of them, each with its place; the fetcher says how many at once.
async fn fetch(orders: Vec<Order>) -> Result<Vec<(usize, Gathered)>, PackagesError> {
    let mut tasks = JoinSet::new();
    for (place, order) in orders.into_iter().enumerate() {
        tasks.spawn(async move { (place, order.fetch().await) });
    }
    let mut gathered = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (place, one) = done.expect("fetching does not panic");
        gathered.push((place, one?));
    }
    Ok(gathered)
}

/// The command that makes a lock anew.
fn again(lock: &Lock) -> String {
    format!("alpine-ami lock {} --arch {}", lock.profile, lock.arch)
}

fn repository<'a>(
    sources: &'a Sources,
    lock: &Lock,
    locked: &LockedPackage,
) -> Result<(usize, &'a Repository), PackagesError> {
    let mut repositories = sources.repositories.iter().enumerate();
    let found = repositories.find(|(_, repository)| repository.label() == locked.repository);
    found.ok_or_else(|| PackagesError::Loose {
        profile: lock.profile.clone(),
        arch: lock.arch,
        what: vec![format!(
            "{} is to come from {}, where packages do not come from",
            locked.id(),
            locked.repository
        )],
        again: again(lock),
    })
}

/// A package that is to be fetched.
struct Order {
    fetcher: Fetcher,
    repository: Repository,
    source: usize,
    arch: Arch,
    locked: LockedPackage,
    keys: KeyRing,
    again: String,
}

impl Order {
    fn is_here(&self) -> bool {
        let stub = self.locked.stub();
        self.fetcher.is_here(&self.repository, self.arch, &stub)
    }

    async fn fetch(self) -> Result<Gathered, PackagesError> {
        // Before a folder: there, a package that was built again under its version has its name.
        if let Some(file) = self.fetcher.store().claim(&self.locked.checksum)
            && let Ok(package) = read_package(&file, &self.locked, &self.keys)
        {
            return Ok(self.gathered(file, package));
        }
        let stub = self.locked.stub();
        let fetched = self
            .fetcher
            .package(&self.repository, self.arch, &stub, &self.keys);
        let read = fetched.await.and_then(|file| {
            let package = read_package(&file, &self.locked, &self.keys)?;
            Ok((file, package))
        });
        match read {
            Ok((file, package)) => Ok(self.gathered(file, package)),
            Err(source) => Err(PackagesError::Locked {
                package: self.locked.id(),
                repository: self.locked.repository,
                source: Box::new(source),
                again: self.again,
            }),
        }
    }

    fn gathered(self, file: PathBuf, package: IndexPackage) -> Gathered {
        Gathered {
            package,
            repository: self.repository.name().to_owned(),
            tag: self.repository.tag,
            source: self.source,
            file,
        }
    }
}

/// What the file of a locked package says of it, as its index said it: an index is made of that.
///
/// # Errors
/// It is another package, or one that apk could not install.
pub fn read_package(
    file: &Path,
    locked: &LockedPackage,
    keys: &KeyRing,
) -> Result<IndexPackage, MirrorError> {
    let url = || file.display().to_string();
    let package =
        Package::open(file, &locked.checksum, keys).map_err(|source| MirrorError::Package {
            url: url(),
            source: Box::new(source),
        })?;
    let damaged = |why| MirrorError::Damaged { url: url(), why };
    let entry = index_entry(&package.info, locked.checksum, locked.size).map_err(damaged)?;
    if (&*entry.name, &entry.version) != (locked.name.as_str(), &locked.version) {
        let found = format!("{}-{}", entry.name, entry.version);
        return Err(damaged(format!(
            "it calls itself {found}, the lock {}",
            locked.id()
        )));
    }
    Ok(IndexPackage {
        arch: locked.arch.as_str().into(),
        ..entry
    })
}

fn check(lock: &Lock, gathered: &GatheredLock) -> Result<(), PackagesError> {
    let packages = |of: &[Gathered]| -> Vec<IndexPackage> {
        of.iter().map(|one| one.package.clone()).collect()
    };
    let (image, boot) = (packages(&gathered.image), packages(&gathered.boot));
    let what = closure::unmet_in(lock, &image, &boot);
    match what.is_empty() {
        true => Ok(()),
        false => Err(PackagesError::Loose {
            profile: lock.profile.clone(),
            arch: lock.arch,
            what,
            again: again(lock),
        }),
    }
}
