//! Choosing what is locked: the newest packages, or those that are locked already as far as they fit.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::indexes::{self, Floor, dated};
use super::{Lock, LockError, LockedPackage, Wishes, closure};
use crate::apk::fetch::Fetcher;
use crate::apk::index::{Checksum, IndexPackage};
use crate::apk::mirror::{MirrorError, Repository};
use crate::apk::solver::Selected;
use crate::builder::gather::{Gathered, gather, read_package};
use crate::builder::packages::{Chosen, Indexes, PackagesError};
use crate::plan::{Plan, Sources};

/// What a lock is made with.
#[derive(Debug, Clone, Copy)]
pub struct Maker<'a> {
    /// What is asked for.
    pub plan: &'a Plan,
    /// Where packages come from.
    pub sources: &'a Sources,
    /// What fetches them.
    pub fetcher: &'a Fetcher,
}

/// A lock, and what is to be said of how it came about.
#[derive(Debug)]
pub struct Made {
    /// The lock. Where nothing had to change it is the one before, dates of indexes too.
    pub lock: Lock,
    /// Why something that was locked could not stay, a sentence each.
    pub notes: Vec<String>,
}

impl Maker<'_> {
    /// The newest packages, whatever is locked.
    ///
    /// # Errors
    /// A repository that cannot be used, or wishes that cannot be met.
    pub async fn newest(&self) -> Result<Lock, PackagesError> {
        let indexes = Indexes::fetch(self.fetcher, self.sources, self.plan.arch).await?;
        self.choose(&indexes, &[], &[])
    }

    /// The same, from indexes that are not older than those of `floors`.
    ///
    /// # Errors
    /// Those of [`Maker::newest`], or an index that is older.
    pub async fn newest_since(&self, floors: &[Floor]) -> Result<Lock, LockError> {
        let arch = self.plan.arch;
        let indexes = indexes::fetch(self.fetcher, self.sources, arch, floors).await?;
        Ok(self.choose(&indexes, &[], &[])?)
    }

    /// What the lock in `path` is to be, which was `before` if there is one: with as many of its
    /// packages as the plan allows, or with `update` the newest.
    ///
    /// # Errors
    /// Those of [`Maker::newest`], or an index that is older than the lock's.
    pub async fn again(
        &self,
        path: &Path,
        before: Option<&Lock>,
        update: bool,
    ) -> Result<Made, LockError> {
        let (arch, floor) = (
            self.plan.arch,
            before.map(|before| Floor::of_lock(path, before)),
        );
        let mut indexes =
            indexes::fetch(self.fetcher, self.sources, arch, floor.as_slice()).await?;
        let Some(before) = before.filter(|_| !update) else {
            let lock = self.choose(&indexes, &[], &[])?;
            return Ok(settled(lock, before, Vec::new()));
        };
        let mut notes = self.remember(&mut indexes, before).await?;
        if notes.is_empty() && before.outdated(self.plan, self.sources).is_empty() {
            notes = self.amiss(&indexes, before);
            if notes.is_empty() {
                return Ok(settled(before.clone(), None, notes));
            }
        }
        let lock = self.choose(&indexes, &before.image, &before.boot)?;
        Ok(settled(lock, Some(before), notes))
    }

    /// Chooses packages, those that are locked before newer ones.
    fn choose(
        &self,
        indexes: &Indexes,
        image: &[LockedPackage],
        boot: &[LockedPackage],
    ) -> Result<Lock, PackagesError> {
        let plan = self.plan;
        let (world, optional) = (plan.world(), plan.optional());
        let chosen = keep_most(&checksums(image), |kept| {
            indexes.choose_keeping(&world, &optional, kept)
        })?;
        let world = plan.boot_world();
        let boot = keep_most(&checksums(boot), |kept| {
            indexes.choose_keeping(&world, &[], kept)
        })?;
        Ok(self.lock(indexes, &chosen, &boot))
    }

    fn lock(&self, indexes: &Indexes, chosen: &Chosen, boot: &Chosen) -> Lock {
        let locked = |one: &Selected| LockedPackage {
            name: one.package.name.to_string(),
            version: one.package.version.clone(),
            arch: one.package.arch.to_string(),
            repository: indexes.repository(one).label(),
            size: one.package.size,
            checksum: one.package.checksum,
        };
        let mut repositories = dated(indexes);
        let mut seen = HashSet::new();
        repositories.retain(|one| seen.insert(one.name.clone()));
        Lock {
            profile: self.plan.profile.name.clone(),
            arch: self.plan.arch,
            wishes: Wishes::of(self.plan),
            repositories,
            image: chosen.selected.iter().map(locked).collect(),
            left_out: chosen.left_out.clone(),
            boot: boot.selected.iter().map(locked).collect(),
        }
    }

    /// What does not hold together in a lock whose packages are all there: a hand or a merge has
    /// changed it.
    fn amiss(&self, indexes: &Indexes, lock: &Lock) -> Vec<String> {
        let mut notes = Vec::new();
        let mut listed = |packages: &[LockedPackage]| -> Vec<IndexPackage> {
            let found = packages.iter().filter_map(|locked| {
                let mut labels = self.sources.repositories.iter().map(Repository::label);
                let place = labels.position(|label| label == locked.repository)?;
                let package = indexes.find(place, &locked.checksum)?;
                notes.extend(mismatch(locked, package));
                Some(package.clone())
            });
            found.collect()
        };
        let (image, boot) = (listed(&lock.image), listed(&lock.boot));
        notes.extend(closure::unmet_in(lock, &image, &boot));
        notes
    }

    /// Adds locked packages that indexes list no more to what can be chosen from, where they are
    /// still to be had; says which are not.
    async fn remember(
        &self,
        indexes: &mut Indexes,
        before: &Lock,
    ) -> Result<Vec<String>, LockError> {
        let mut gone = Vec::new();
        let mut seen = HashSet::new();
        for locked in before.packages() {
            let mut labels = self.sources.repositories.iter().map(|one| one.label());
            // Of a repository that packages are not to come from any more, nothing is to be had.
            let Some(place) = labels.position(|label| label == locked.repository) else {
                continue;
            };
            if !seen.insert(locked.checksum) || indexes.find(place, &locked.checksum).is_some() {
                continue;
            }
            match self.find(indexes, place, locked).await? {
                Some(file) => {
                    let package = read_package(&file, locked, &self.sources.keys)
                        .map_err(PackagesError::from)?;
                    indexes.remember(place, package);
                }
                None => gone.push(format!(
                    "{} is gone from {}, and it is not in this machine's store",
                    locked.id(),
                    locked.repository
                )),
            }
        }
        Ok(gone)
    }

    /// The file of a package that the index does not list any more: in the store, or still beside
    /// the index.
    async fn find(
        &self,
        indexes: &Indexes,
        place: usize,
        locked: &LockedPackage,
    ) -> Result<Option<PathBuf>, LockError> {
        let (repository, keys) = (&self.sources.repositories[place], &self.sources.keys);
        let stub = locked.stub();
        if let Some(file) = self.fetcher.stored(&locked.checksum, keys).await {
            return Ok(Some(file));
        }
        // A package that was built again under the same version lies where the old one lay.
        if indexes.has_file(place, &stub.file_name()) {
            return Ok(None);
        }
        match self
            .fetcher
            .package(repository, self.plan.arch, &stub, keys)
            .await
        {
            Ok(file) => Ok(Some(file)),
            Err(MirrorError::Missing { .. }) => Ok(None),
            Err(error) => Err(PackagesError::from(error).into()),
        }
    }

    /// Sees that every package of a lock is in the store, from where it can be had when mirrors have
    /// dropped it.
    ///
    /// # Errors
    /// A package cannot be had, or the store cannot be written.
    pub async fn stock(&self, lock: &Lock) -> Result<(), PackagesError> {
        let gathered = gather(self.fetcher, self.sources, lock).await?;
        let keep = || {
            for one in gathered.image.iter().chain(&gathered.boot) {
                self.keep(one)?;
            }
            Ok(())
        };
        tokio::task::block_in_place(keep)
    }

    /// A package that lies in a mirror's folder is copied.
    fn keep(&self, one: &Gathered) -> Result<(), PackagesError> {
        let store = self.fetcher.store();
        let checksum = &one.package.checksum;
        if one.file == store.path(checksum) {
            return Ok(());
        }
        match store.copy(&one.file, checksum) {
            Ok(_) => Ok(()),
            Err(source) => {
                let path = store.path(checksum);
                Err(MirrorError::Store { path, source }.into())
            }
        }
    }
}

/// What a lock says of a package that its index says otherwise.
fn mismatch(locked: &LockedPackage, package: &IndexPackage) -> Option<String> {
    let told = |name: &str, version: &dyn Display, arch: &str, size: u64| {
        format!("{name}-{version} for {arch} of {size} bytes")
    };
    let LockedPackage { name, arch, .. } = locked;
    let wrong = told(name, &locked.version, arch, locked.size);
    let right = told(&package.name, &package.version, &package.arch, package.size);
    (wrong != right).then(|| format!("{wrong} is locked, and what has its checksum is {right}"))
}

/// A lock in which nothing changed but dates is the one before.
fn settled(lock: Lock, before: Option<&Lock>, notes: Vec<String>) -> Made {
    let lock = match before {
        Some(before) if before.is_same(&lock) => before.clone(),
        _ => lock,
    };
    Made { lock, notes }
}

fn checksums(packages: &[LockedPackage]) -> Vec<Checksum> {
    packages.iter().map(|package| package.checksum).collect()
}

/// Solves with as many as possible kept. apk's method takes no choice back, so that a package which
/// is preferred may make the wishes unsolvable: those in the way are found by halving.
fn keep_most<T, E>(
    all: &[Checksum],
    mut solve: impl FnMut(&HashSet<Checksum>) -> Result<T, E>,
) -> Result<T, E> {
    let everything: HashSet<Checksum> = all.iter().copied().collect();
    match solve(&everything) {
        Err(_) if !all.is_empty() => {}
        solved => return solved,
    }
    let mut kept = HashSet::new();
    // What is wrong without any preference is wrong with the wishes.
    let mut best = solve(&kept)?;
    let mut parts = halves(all);
    while let Some(part) = parts.pop() {
        let mut more = kept.clone();
        more.extend(part);
        match solve(&more) {
            Ok(solved) => (kept, best) = (more, solved),
            Err(_) => parts.extend(halves(part)),
        }
    }
    Ok(best)
}

/// The halves of a part that has some, the first on top.
fn halves(part: &[Checksum]) -> Vec<&[Checksum]> {
    if part.len() < 2 {
        return Vec::new();
    }
    let (first, second) = part.split_at(part.len() / 2);
    vec![second, first]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::testing::package;

    #[test]
    fn what_is_in_the_way_goes_and_all_else_stays() {
        let all: Vec<_> = (0..9)
            .map(|n| package(&format!("p{n}-1")).checksum)
            .collect();
        // 2 never fits; 5 and 7 do not fit together; with 8 nothing does without 0.
        let solve = |kept: &HashSet<Checksum>| {
            let has = |n: usize| kept.contains(&all[n]);
            match has(2) || has(5) && has(7) || has(8) && !has(0) {
                true => Err(()),
                false => Ok(kept.clone()),
            }
        };
        let kept = keep_most(&all, solve).expect("solved");
        let places: Vec<_> = (0..9).filter(|n| kept.contains(&all[*n])).collect();
        assert_eq!(places, [0, 1, 3, 4, 5, 6, 8]);
        // All of it is asked for once where all of it fits.
        let mut asked = 0;
        let solved = keep_most(&all, |kept| {
            asked += 1;
            Ok::<_, ()>(kept.len())
        });
        assert_eq!((solved, asked), (Ok(9), 1));
        let wrong = keep_most(&all, |_| Err::<(), _>("wishes"));
        assert_eq!(wrong, Err("wishes"));
        assert_eq!(keep_most(&[], |_| Err::<(), _>("wishes")), Err("wishes"));
    }
}
