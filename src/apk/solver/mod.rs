//! Which packages a set of wishes comes to, and in which order they are installed.
//!
//! The rules are apk's, because what is locked here is what `apk` on the running image has to agree
//! with. `universe` numbers what there is, `select` chooses, `order` puts the choice in order,
//! `audit` finds out what is wrong when it does not work out, and `explain` says so.

mod audit;
mod explain;
mod order;
mod reverse;
mod select;
mod universe;

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

pub use self::explain::{Problem, Unsolvable};
use self::order::{Cause, Placement};
use self::select::Selector;
use self::universe::{Requirement, Tags, UNTAGGED, Universe};
use crate::apk::dependency::Dependency;
use crate::apk::index::{Checksum, IndexPackage};

/// A repository: where packages come from. Earlier ones win where nothing else decides.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its URL or path, for messages and output.
    pub name: String,
    /// `@tag`: it serves only wishes with this tag, and what they depend on.
    pub tag: Option<String>,
    /// Its index.
    pub packages: Vec<IndexPackage>,
}

/// A package that is to be installed.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The package.
    pub package: Arc<IndexPackage>,
    /// The place of the first source that has it.
    pub source: usize,
    /// What brought it in first.
    pub reason: Reason,
}

/// What brought a package in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Reason {
    /// It was asked for.
    World {
        /// The wish it meets.
        entry: Dependency,
    },
    /// Another package needs it.
    Dependency {
        /// The name of that package.
        of: Box<str>,
        /// The dependency it meets.
        entry: Dependency,
    },
    /// Its `install_if` is fulfilled.
    InstallIf {
        /// The name of the package that completed it.
        with: Box<str>,
    },
}

/// In what versions of apk differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A condition of `install_if` may be met by what a package provides, not only by its own name:
    /// from apk-tools 2.12.11 on. Alpine 3.15 has 2.12.7.
    pub install_if_through_provides: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            install_if_through_provides: true,
        }
    }
}

/// What came of wishes of which some were optional.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The packages, in order of installation.
    pub selected: Vec<Selected>,
    /// The optional wishes whose name no source knows.
    pub left_out: Vec<Dependency>,
}

/// Chooses the packages that meet `world` on `arch` (Alpine's name), in order of installation.
///
/// # Errors
/// What cannot be met, who wants it, and what is there instead.
pub fn resolve(
    sources: &[Source],
    world: &[Dependency],
    arch: &str,
) -> Result<Vec<Selected>, Unsolvable> {
    resolve_as(sources, world, arch, Rules::default())
}

/// Like [`resolve`], by the rules of another version of apk.
///
/// # Errors
/// Those of [`resolve`].
pub fn resolve_as(
    sources: &[Source],
    world: &[Dependency],
    arch: &str,
    rules: Rules,
) -> Result<Vec<Selected>, Unsolvable> {
    resolve_preferring(sources, world, arch, rules, &HashSet::new())
}

/// Like [`resolve_as`], where packages that are `kept` are preferred to newer ones, as apk prefers
/// what is installed unless it is told to upgrade (`compare_providers` in its `src/solver.c`).
fn resolve_preferring(
    sources: &[Source],
    world: &[Dependency],
    arch: &str,
    rules: Rules,
    kept: &HashSet<Checksum>,
) -> Result<Vec<Selected>, Unsolvable> {
    let mut world: Vec<&Dependency> = world.iter().collect();
    world.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut universe, world) = Universe::new(sources, &world, arch);
    universe.prefer(kept);
    let world = with_tags(&universe, world)?;

    let mut selector = Selector::new(&universe, rules);
    selector.run(&world);
    let placements = order::order(&selector, &world);
    let problems = audit::problems(&selector, sources, &world, &placements, arch);
    if !problems.is_empty() {
        return Err(Unsolvable { problems });
    }
    tracing::debug!(
        names = universe.name_count(),
        candidates = universe.candidates.len(),
        selected = placements.len(),
        "packages resolved"
    );
    Ok(placements
        .iter()
        .map(|placement| selected(&universe, placement))
        .collect())
}

/// Like [`resolve`], with more wishes that are taken only where a package for their name is there.
///
/// # Errors
/// Those of [`resolve`]; an optional wish that is taken has to be met.
pub fn resolve_with_optional(
    sources: &[Source],
    world: &[Dependency],
    optional: &[Dependency],
    arch: &str,
) -> Result<Resolution, Unsolvable> {
    resolve_keeping(sources, world, optional, arch, &HashSet::new())
}

/// Like [`resolve_with_optional`], where the packages in `kept` stay what they are as far as all
/// wishes can be met with them, though there are newer ones.
///
/// # Errors
/// Those of [`resolve`].
pub fn resolve_keeping(
    sources: &[Source],
    world: &[Dependency],
    optional: &[Dependency],
    arch: &str,
    kept: &HashSet<Checksum>,
) -> Result<Resolution, Unsolvable> {
    let known =
        |dependency: &&Dependency| dependency.conflict || is_known(sources, dependency, arch);
    let (taken, left_out): (Vec<_>, Vec<_>) = optional.iter().partition(known);
    let world: Vec<Dependency> = world.iter().chain(taken).cloned().collect();
    Ok(Resolution {
        selected: resolve_preferring(sources, &world, arch, Rules::default(), kept)?,
        left_out: left_out.into_iter().cloned().collect(),
    })
}

/// Whether a source that `dependency` may be served from has something of its name.
fn is_known(sources: &[Source], dependency: &Dependency, arch: &str) -> bool {
    let serves = |source: &&Source| {
        source.tag.is_none() || source.tag.as_deref() == dependency.tag.as_deref()
    };
    let mut packages = sources
        .iter()
        .filter(serves)
        .flat_map(|source| &source.packages);
    packages.any(|package| {
        universe::runs_on(package, arch)
            && (package.name == dependency.name
                || package
                    .provides
                    .iter()
                    .any(|provide| provide.name == dependency.name))
    })
}

/// Looks up the tags of the world.
fn with_tags<'a>(
    universe: &Universe<'a>,
    world: Vec<Requirement<'a>>,
) -> Result<Vec<(Requirement<'a>, Tags)>, Unsolvable> {
    let mut problems = Vec::new();
    let tagged = world
        .into_iter()
        .map(|requirement| {
            let tags = universe.tags_of(requirement.dependency).unwrap_or_else(|| {
                problems.push(audit::unknown_tag(universe, requirement.dependency));
                UNTAGGED
            });
            (requirement, tags)
        })
        .collect();
    match problems.is_empty() {
        true => Ok(tagged),
        false => Err(Unsolvable { problems }),
    }
}

fn selected(universe: &Universe<'_>, placement: &Placement<'_>) -> Selected {
    let candidate = universe.candidate(placement.package);
    let name_of = |package| universe.candidate(package).package.name.clone();
    let reason = match placement.cause {
        Cause::World(requirement) => Reason::World {
            entry: requirement.dependency.clone(),
        },
        Cause::Dependency(parent, requirement) => Reason::Dependency {
            of: name_of(parent),
            entry: requirement.dependency.clone(),
        },
        Cause::InstallIf(trigger) => Reason::InstallIf {
            with: name_of(trigger),
        },
    };
    Selected {
        package: Arc::new(candidate.package.clone()),
        source: candidate.source,
        reason,
    }
}
