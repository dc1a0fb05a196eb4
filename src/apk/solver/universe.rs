//! Everything that could be installed: the packages of all sources, by number instead of by name.
//!
//! The order of things matters here. Where apk has no reason to prefer one package over another it
//! takes the first it comes across, and it comes across them in the order of its repositories and
//! of its hash table of names. To choose and to order as apk does, names are numbered in the order
//! in which apk meets them, and [`Universe::hash_order`] walks them as its table would.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use super::Source;
use crate::apk::dependency::Dependency;
use crate::apk::index::{Checksum, IndexPackage};
use crate::apk::version::Version;

/// The number of a name.
pub(super) type NameId = u32;
/// The number of a package.
pub(super) type PackageId = u32;
/// A set of repository tags, a bit each.
pub(super) type Tags = u64;

/// The repositories without a tag.
pub(super) const UNTAGGED: Tags = 1;
/// Tags beyond this many share the last bit, which only makes them stand in for each other.
const MAX_TAGS: usize = Tags::BITS as usize;
/// The buckets in apk's table of names (`apk_db_init` in `src/database.c`).
const BUCKETS: u32 = 20_000;

/// A package that stands for a name, and the version it has there: none for a plain provide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Provider<'a> {
    pub package: PackageId,
    pub version: Option<&'a Version>,
}

/// A dependency with the number of its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requirement<'a> {
    pub name: NameId,
    pub dependency: &'a Dependency,
}

/// A package that may be chosen.
pub(super) struct Candidate<'a> {
    pub package: &'a IndexPackage,
    pub name: NameId,
    /// The first source that has it.
    pub source: usize,
    /// The tags of all sources that have it.
    pub tags: Tags,
    /// It is preferred to others, whatever their version.
    pub kept: bool,
    depends: Range<u32>,
    provides: Range<u32>,
    install_if: Range<u32>,
}

/// All names and packages.
pub(super) struct Universe<'a> {
    pub candidates: Vec<Candidate<'a>>,
    names: Vec<&'a str>,
    numbers: HashMap<&'a str, NameId, FastHash>,
    requirements: Vec<Requirement<'a>>,
    provides: Vec<(NameId, Option<&'a Version>)>,
    /// The providers of name `n` are `providers[provider_start[n]..provider_start[n + 1]]`.
    providers: Vec<Provider<'a>>,
    provider_start: Vec<u32>,
    tags: Vec<&'a str>,
}

impl<'a> Universe<'a> {
    /// Numbers the packages of all sources that `arch` can run, then the names of `world`.
    pub fn new(
        sources: &'a [Source],
        world: &[&'a Dependency],
        arch: &str,
    ) -> (Universe<'a>, Vec<Requirement<'a>>) {
        let count = sources.iter().map(|source| source.packages.len()).sum();
        let mut universe = Universe {
            candidates: Vec::with_capacity(count),
            names: Vec::new(),
            numbers: HashMap::with_capacity_and_hasher(3 * count, FastHash::default()),
            requirements: Vec::with_capacity(4 * count),
            provides: Vec::with_capacity(2 * count),
            providers: Vec::new(),
            provider_start: Vec::new(),
            tags: Vec::new(),
        };
        let mut known: HashMap<Checksum, PackageId, FastHash> =
            HashMap::with_capacity_and_hasher(count, FastHash::default());
        for (index, source) in sources.iter().enumerate() {
            let tags = universe.tag(source.tag.as_deref());
            for package in &source.packages {
                if !runs_on(package, arch) {
                    continue;
                }
                match known.entry(package.checksum) {
                    // The same package in two repositories is one package.
                    Entry::Occupied(entry) => {
                        universe.candidates[*entry.get() as usize].tags |= tags;
                    }
                    Entry::Vacant(entry) => {
                        entry.insert(universe.candidates.len() as PackageId);
                        universe.add(package, index, tags);
                    }
                }
            }
        }
        let world = world
            .iter()
            .map(|dependency| universe.requirement(dependency))
            .collect();
        universe.link_providers();
        (universe, world)
    }

    fn add(&mut self, package: &'a IndexPackage, source: usize, tags: Tags) {
        let name = self.number(&package.name);
        let depends = self.add_requirements(&package.depends);
        let start = self.provides.len() as u32;
        for provide in &package.provides {
            let number = self.number(&provide.name);
            self.provides.push((number, provide.version.as_ref()));
        }
        let provides = start..self.provides.len() as u32;
        let install_if = self.add_requirements(&package.install_if);
        self.candidates.push(Candidate {
            package,
            name,
            source,
            tags,
            kept: false,
            depends,
            provides,
            install_if,
        });
    }

    /// Prefers packages, whatever their version.
    pub fn prefer(&mut self, kept: &HashSet<Checksum>) {
        if kept.is_empty() {
            return;
        }
        for candidate in &mut self.candidates {
            candidate.kept = kept.contains(&candidate.package.checksum);
        }
    }

    fn add_requirements(&mut self, list: &'a [Dependency]) -> Range<u32> {
        let start = self.requirements.len() as u32;
        for dependency in list {
            let requirement = self.requirement(dependency);
            self.requirements.push(requirement);
        }
        start..self.requirements.len() as u32
    }

    fn requirement(&mut self, dependency: &'a Dependency) -> Requirement<'a> {
        Requirement {
            name: self.number(&dependency.name),
            dependency,
        }
    }

    fn number(&mut self, text: &'a str) -> NameId {
        *self.numbers.entry(text).or_insert_with(|| {
            self.names.push(text);
            (self.names.len() - 1) as NameId
        })
    }

    /// Sorts the providers of all names by name, each in the order in which it was met.
    fn link_providers(&mut self) {
        let mut next = vec![0_u32; self.names.len() + 1];
        for candidate in &self.candidates {
            next[candidate.name as usize + 1] += 1;
            for &(name, _) in self.provides_of(candidate) {
                next[name as usize + 1] += 1;
            }
        }
        for name in 1..next.len() {
            next[name] += next[name - 1];
        }
        self.provider_start = next.clone();
        let nobody = Provider {
            package: 0,
            version: None,
        };
        let mut providers = vec![nobody; self.candidates.len() + self.provides.len()];
        for (package, candidate) in (0..).zip(&self.candidates) {
            let own = (candidate.name, Some(&candidate.package.version));
            for &(name, version) in std::iter::once(&own).chain(self.provides_of(candidate)) {
                let slot = &mut next[name as usize];
                providers[*slot as usize] = Provider { package, version };
                *slot += 1;
            }
        }
        self.providers = providers;
    }

    fn tag(&mut self, tag: Option<&'a str>) -> Tags {
        let Some(tag) = tag else {
            return UNTAGGED;
        };
        let known = self.tags.iter().position(|&other| other == tag);
        let index = known.unwrap_or_else(|| {
            self.tags.push(tag);
            self.tags.len() - 1
        });
        1 << (index + 1).min(MAX_TAGS - 1)
    }

    /// The tags that a dependency of the world asks for; nothing where no source has that tag.
    pub fn tags_of(&self, dependency: &Dependency) -> Option<Tags> {
        let Some(tag) = dependency.tag.as_deref() else {
            return Some(UNTAGGED);
        };
        let index = self.tags.iter().position(|&other| other == tag)?;
        Some(1 << (index + 1).min(MAX_TAGS - 1))
    }

    pub fn tag_names(&self) -> &[&'a str] {
        &self.tags
    }

    pub fn name_count(&self) -> usize {
        self.names.len()
    }

    pub fn name_text(&self, name: NameId) -> &'a str {
        self.names[name as usize]
    }

    pub fn names(&self) -> impl Iterator<Item = (NameId, &'a str)> {
        (0..).zip(self.names.iter().copied())
    }

    pub fn candidate(&self, package: PackageId) -> &Candidate<'a> {
        &self.candidates[package as usize]
    }

    /// Who stands for a name, in the order of the sources.
    pub fn providers(&self, name: NameId) -> &[Provider<'a>] {
        let name = name as usize;
        let (start, end) = (self.provider_start[name], self.provider_start[name + 1]);
        &self.providers[start as usize..end as usize]
    }

    pub fn depends(&self, package: PackageId) -> &[Requirement<'a>] {
        self.requirements_at(&self.candidate(package).depends)
    }

    pub fn install_if(&self, package: PackageId) -> &[Requirement<'a>] {
        self.requirements_at(&self.candidate(package).install_if)
    }

    pub fn provides(&self, package: PackageId) -> &[(NameId, Option<&'a Version>)] {
        self.provides_of(self.candidate(package))
    }

    fn provides_of(&self, candidate: &Candidate<'a>) -> &[(NameId, Option<&'a Version>)] {
        &self.provides[candidate.provides.start as usize..candidate.provides.end as usize]
    }

    fn requirements_at(&self, range: &Range<u32>) -> &[Requirement<'a>] {
        &self.requirements[range.start as usize..range.end as usize]
    }

    /// The own name of a package and all it provides.
    pub fn names_of(&self, package: PackageId) -> impl Iterator<Item = NameId> {
        let provides = self.provides(package).iter().map(|&(name, _)| name);
        std::iter::once(self.candidate(package).name).chain(provides)
    }

    /// Whether `requirement`, asked for by `asker` (nobody: the world), is met where `provider`
    /// stands for its name. What a package excludes, it may itself provide.
    pub fn is_met(
        &self,
        requirement: &Requirement<'a>,
        asker: Option<PackageId>,
        provider: Option<Provider<'a>>,
    ) -> bool {
        let conflict = requirement.dependency.conflict;
        let Some(provider) = provider else {
            return conflict;
        };
        if conflict && asker == Some(provider.package) {
            return true;
        }
        let checksum = &self.candidate(provider.package).package.checksum;
        requirement.dependency.fits(provider.version, checksum) != conflict
    }

    /// Sorts names as apk walks its table: by bucket, the newest of a bucket first.
    pub fn hash_order(&self, names: &mut [NameId]) {
        names.sort_by_cached_key(|&name| {
            let hash = murmur3_32(self.name_text(name).as_bytes(), 5381);
            (hash % BUCKETS, Reverse(name))
        });
    }
}

/// Whether a package can be installed on `arch`.
pub(super) fn runs_on(package: &IndexPackage, arch: &str) -> bool {
    &*package.arch == arch || &*package.arch == "noarch"
}

/// A hash for our own tables that is quick on short keys. Indexes are signed, so nobody feeds it
/// keys made to collide.
#[derive(Default)]
struct Mixer(u64);

type FastHash = BuildHasherDefault<Mixer>;

impl Mixer {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(word.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)));
        }
        let rest = words.remainder();
        self.mix(rest.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)));
    }

    fn finish(&self) -> u64 {
        // The table takes its buckets from the low bits, which a multiplication mixes least.
        self.0 ^ self.0 >> 32
    }
}

/// MurmurHash3, the variant for 32 bits; apk hashes names with it (`src/blob.c`).
fn murmur3_32(key: &[u8], seed: u32) -> u32 {
    let scramble = |block: u32| {
        block
            .wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let mut hash = seed;
    let mut blocks = key.chunks_exact(4);
    for block in &mut blocks {
        let block = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        hash = (hash ^ scramble(block)).rotate_left(13);
        hash = hash.wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let tail = blocks.remainder();
    let rest = tail
        .iter()
        .rev()
        .fold(0, |rest, &byte| rest << 8 | u32::from(byte));
    // An empty tail scrambles to 0 and changes nothing.
    hash ^= scramble(rest);
    hash ^= key.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the reference implementation of MurmurHash3_x86_32.
    #[test]
    fn hashes_like_murmur3() {
        for (key, seed, expected) in [
            ("", 0, 0),
            ("", 1, 0x514e_28b7),
            ("test", 0, 0xba6b_d213),
            ("Hello, world!", 0, 0xc036_3e43),
            ("aaaa", 0x9747_b28c, 0x5a97_808a),
            ("aaa", 0x9747_b28c, 0x283e_0130),
        ] {
            assert_eq!(murmur3_32(key.as_bytes(), seed), expected, "{key}");
        }
    }
}
