//! Why a resolution did not work out: what was chosen is held against everything that was wanted.

use super::Source;
use super::explain::Problem;
use super::order::{Cause, Placement};
use super::select::{Failure, Selector};
use super::universe::{NameId, PackageId, Provider, Requirement, Tags, Universe, runs_on};
use crate::apk::dependency::Dependency;

/// More than this many alternatives, chains or similar names are not read any more.
const MANY: usize = 5;

/// A wish of the world for a repository that is not there.
pub(super) fn unknown_tag(universe: &Universe<'_>, dependency: &Dependency) -> Problem {
    let known: Vec<String> = universe
        .tag_names()
        .iter()
        .map(|tag| format!("@{tag}"))
        .collect();
    let known = match known.is_empty() {
        true => "no repository has a tag".to_owned(),
        false => format!("the tags are {}", known.join(", ")),
    };
    Problem {
        constraint: dependency.to_string(),
        what: format!(
            "no repository is tagged @{}",
            dependency.tag.as_deref().unwrap_or_default()
        ),
        wanted_by: vec![vec!["world".to_owned()]],
        instead: vec![known],
    }
}

/// Everything that is wrong with what `selector` chose; nothing if it is a solution.
pub(super) fn problems<'a>(
    selector: &Selector<'_, 'a>,
    sources: &[Source],
    world: &[(Requirement<'a>, Tags)],
    placements: &[Placement<'a>],
    arch: &str,
) -> Vec<Problem> {
    let audit = Audit {
        selector,
        universe: selector.universe,
        sources,
        world,
        placements,
        arch,
    };
    let mut problems = audit.unmet();
    problems.extend(audit.failures(problems.is_empty()));
    problems
}

struct Audit<'s, 'u, 'a> {
    selector: &'s Selector<'u, 'a>,
    universe: &'u Universe<'a>,
    sources: &'s [Source],
    world: &'s [(Requirement<'a>, Tags)],
    placements: &'s [Placement<'a>],
    arch: &'s str,
}

/// A requirement and who has it; nobody is the world.
type Wish<'a> = (Option<PackageId>, Requirement<'a>);

impl<'a> Audit<'_, '_, 'a> {
    /// All that was wanted, by the world and by what was chosen for it.
    fn wishes(&self) -> impl Iterator<Item = Wish<'a>> {
        let world = self
            .world
            .iter()
            .map(|&(requirement, _)| (None, requirement));
        let depends = self.placements.iter().flat_map(|placement| {
            let asker = placement.package;
            self.universe
                .depends(asker)
                .iter()
                .map(move |&requirement| (Some(asker), requirement))
        });
        world.chain(depends)
    }

    fn chosen(&self, name: NameId) -> Option<Provider<'a>> {
        self.selector.names[name as usize].chosen
    }

    fn label(&self, package: PackageId) -> String {
        let package = self.universe.candidate(package).package;
        format!("{}-{}", package.name, package.version)
    }

    fn located(&self, package: PackageId) -> String {
        let source = &self.sources[self.universe.candidate(package).source];
        let tag = source
            .tag
            .as_ref()
            .map_or_else(String::new, |tag| format!(" @{tag}"));
        format!("{} ({}{tag})", self.label(package), source.name)
    }

    /// A problem for each requirement that what was chosen does not meet. Several that want the
    /// same are one problem.
    fn unmet(&self) -> Vec<Problem> {
        let mut groups: Vec<(String, Vec<Wish<'a>>)> = Vec::new();
        for wish in self.wishes() {
            let (asker, requirement) = wish;
            if self
                .universe
                .is_met(&requirement, asker, self.chosen(requirement.name))
            {
                continue;
            }
            let text = requirement.dependency.to_string();
            match groups.iter_mut().find(|(other, _)| *other == text) {
                Some((_, wishes)) => wishes.push(wish),
                None => groups.push((text, vec![wish])),
            }
        }
        groups
            .into_iter()
            .filter_map(|(constraint, wishes)| {
                let &(asker, requirement) = wishes.first()?;
                let (what, instead) = self.describe(asker, requirement);
                let mut wanted_by: Vec<_> = wishes
                    .iter()
                    .take(MANY)
                    .map(|wish| self.chain(*wish))
                    .collect();
                if wishes.len() > MANY {
                    wanted_by.push(vec![format!("{} more", wishes.len() - MANY)]);
                }
                Some(Problem {
                    constraint,
                    what,
                    wanted_by,
                    instead,
                })
            })
            .collect()
    }

    /// What is wrong with a requirement, and what is there instead.
    fn describe(
        &self,
        asker: Option<PackageId>,
        requirement: Requirement<'a>,
    ) -> (String, Vec<String>) {
        let name = self.universe.name_text(requirement.name);
        let chosen = self.chosen(requirement.name);
        if requirement.dependency.conflict {
            let Some(provider) = chosen else {
                return ("it was excluded".to_owned(), Vec::new());
            };
            let there = self.label(provider.package);
            let wanted = format!("{there} is wanted by {}", self.origin(provider.package));
            return (format!("{there} is wanted too"), vec![wanted]);
        }
        let providers = self.universe.providers(requirement.name);
        if providers.is_empty() {
            return (self.nothing(name), self.similar(name));
        }
        let fits =
            |provider: &&Provider<'a>| self.universe.is_met(&requirement, asker, Some(**provider));
        let fitting: Vec<_> = providers.iter().filter(fits).collect();
        if fitting.is_empty() {
            let instead = self.list(providers.iter(), |provider| self.offered(name, provider));
            return (format!("no {name} fits"), instead);
        }
        if chosen.is_none() && fitting.iter().all(|provider| provider.version.is_none()) {
            let choices = fitting
                .iter()
                .map(|provider| self.located(provider.package));
            let choices = choices.take(MANY).collect::<Vec<_>>().join(", ");
            let what = "several packages provide it, and none of them by default".to_owned();
            return (what, vec![format!("ask for one of them: {choices}")]);
        }
        let instead = self.list(fitting.into_iter(), |provider| {
            let label = self.located(provider.package);
            match self.objection(provider.package) {
                Some(objection) => format!("{label} {objection}"),
                None => format!("{label} was not chosen"),
            }
        });
        let what = match chosen {
            Some(provider) => {
                let label = self.label(provider.package);
                format!(
                    "{label} was chosen, wanted by {}",
                    self.origin(provider.package)
                )
            }
            None => "what fits cannot be installed".to_owned(),
        };
        (what, instead)
    }

    fn list<'p>(
        &self,
        providers: impl Iterator<Item = &'p Provider<'a>>,
        describe: impl Fn(&Provider<'a>) -> String,
    ) -> Vec<String>
    where
        'a: 'p,
    {
        let mut all: Vec<String> = providers.map(describe).collect();
        if all.len() > MANY {
            let more = all.len() - MANY;
            all.truncate(MANY);
            all.push(format!("and {more} more"));
        }
        all
    }

    /// A provider that does not fit, under the name that is wanted.
    fn offered(&self, name: &str, provider: &Provider<'a>) -> String {
        let located = self.located(provider.package);
        match provider.version {
            _ if &*self.universe.candidate(provider.package).package.name == name => {
                format!("there is {located}")
            }
            Some(version) => format!("there is {name}={version} of {located}"),
            None => format!("there is {name} without a version, of {located}"),
        }
    }

    /// Nobody provides `name`: perhaps for another architecture?
    fn nothing(&self, name: &str) -> String {
        let mut packages = self.sources.iter().flat_map(|source| &source.packages);
        let elsewhere =
            packages.find(|package| &*package.name == name && !runs_on(package, self.arch));
        match elsewhere {
            Some(package) => format!("it is there for {}, not for {}", package.arch, self.arch),
            None if name.contains(':') => "nothing provides it".to_owned(),
            None => "no such package".to_owned(),
        }
    }

    /// Names that someone who wrote `name` may have meant.
    fn similar(&self, name: &str) -> Vec<String> {
        let kind = |text: &str| text.split_once(':').map(|(kind, _)| kind.to_owned());
        let (wanted_kind, limit) = (kind(name), name.len() / 3);
        let mut near: Vec<(usize, &str)> = self
            .universe
            .names()
            .filter(|&(id, text)| {
                text.len().abs_diff(name.len()) <= limit
                    && kind(text) == wanted_kind
                    && !self.universe.providers(id).is_empty()
            })
            .map(|(_, text)| (strsim::osa_distance(name, text), text))
            .filter(|&(distance, _)| distance <= limit)
            .collect();
        near.sort_unstable();
        near.truncate(3);
        match near.is_empty() {
            true => Vec::new(),
            false => {
                let names: Vec<&str> = near.into_iter().map(|(_, text)| text).collect();
                vec![format!("similar: {}", names.join(", "))]
            }
        }
    }

    /// What speaks against a package that would fit.
    fn objection(&self, package: PackageId) -> Option<String> {
        let candidate = self.universe.candidate(package);
        if let Some(unreadable) = candidate.package.uninstallable() {
            return Some(format!("cannot be installed: {unreadable}"));
        }
        if !self.tag_ok(package) {
            return Some(self.masked(package));
        }
        let own = Some(&candidate.package.version);
        let provides = self.universe.provides(package).iter().copied();
        let mut stands_for = std::iter::once((candidate.name, own)).chain(provides);
        let (asker, requirement) = stands_for
            .find_map(|(name, version)| {
                let provider = Some(Provider { package, version });
                self.wishes().find(|(asker, requirement)| {
                    requirement.name == name && !self.universe.is_met(requirement, *asker, provider)
                })
            })
            .or_else(|| self.broken_need(package))?;
        let wish = match asker {
            Some(asker) if asker == package => {
                return Some(format!(
                    "needs {}, which cannot be met",
                    requirement.dependency
                ));
            }
            Some(asker) => format!("{} of {}", requirement.dependency, self.label(asker)),
            None => format!("{} of the world", requirement.dependency),
        };
        Some(format!("is excluded by {wish}"))
    }

    /// A dependency of `package` that what was chosen, or what there is at all, does not meet.
    fn broken_need(&self, package: PackageId) -> Option<Wish<'a>> {
        let broken = self.universe.depends(package).iter().find(|requirement| {
            let name = &self.selector.names[requirement.name as usize];
            let met = |provider| self.universe.is_met(requirement, Some(package), provider);
            match name.locked {
                true => !met(name.chosen),
                false => {
                    let providers = self.universe.providers(requirement.name);
                    !met(None) && !providers.iter().any(|&provider| met(Some(provider)))
                }
            }
        })?;
        Some((Some(package), *broken))
    }

    fn masked(&self, package: PackageId) -> String {
        let tags = self.universe.candidate(package).tags;
        let names = (1..).zip(self.universe.tag_names());
        let of = names
            .filter(|&(bit, _)| tags >> bit & 1 == 1)
            .map(|(_, tag)| format!("@{tag}"));
        format!(
            "is only in a repository tagged {}",
            of.collect::<Vec<_>>().join(", ")
        )
    }

    /// The contradictions met on the way. What had to be taken although something speaks against it
    /// mostly follows from another problem, so it is only told where nothing else is.
    fn failures(&self, nothing_else: bool) -> Vec<Problem> {
        let mut problems: Vec<Problem> = Vec::new();
        for &failure in &self.selector.failures {
            match failure {
                Failure::SameName(name, a, b) => problems.push(self.same_name(name, a, b)),
                Failure::Unusable(package) if !self.tag_ok(package) => {
                    let hint = "ask for it with its tag, as name@tag".to_owned();
                    problems.push(self.unusable(package, self.masked(package), vec![hint]));
                }
                Failure::Unusable(_) | Failure::NoProvider(_) => {}
            }
        }
        if problems.is_empty() && nothing_else {
            problems.extend(
                self.selector
                    .failures
                    .iter()
                    .filter_map(|failure| match *failure {
                        Failure::Unusable(package) => {
                            let objection = self.objection(package);
                            let what =
                                objection.unwrap_or_else(|| "was ruled out before".to_owned());
                            Some(self.unusable(package, what, Vec::new()))
                        }
                        _ => None,
                    }),
            );
        }
        problems.dedup_by(|a, b| a.constraint == b.constraint);
        problems
    }

    fn tag_ok(&self, package: PackageId) -> bool {
        self.selector.packages[package as usize].tag_ok
    }

    fn unusable(&self, package: PackageId, what: String, instead: Vec<String>) -> Problem {
        let mut chain = self.chain_to(package);
        chain.pop();
        Problem {
            constraint: self.label(package),
            what,
            wanted_by: vec![chain],
            instead,
        }
    }

    fn same_name(&self, name: NameId, first: PackageId, second: PackageId) -> Problem {
        let name = self.universe.name_text(name);
        Problem {
            constraint: format!("{} and {}", self.label(first), self.label(second)),
            what: format!("both provide {name}, only one can be installed"),
            wanted_by: vec![self.chain_to(first), self.chain_to(second)],
            instead: Vec::new(),
        }
    }

    fn cause(&self, package: PackageId) -> Option<Cause<'a>> {
        let placement = self
            .placements
            .iter()
            .find(|placement| placement.package == package)?;
        Some(placement.cause)
    }

    /// Where a package comes from, with the wish that it meets at the end.
    fn origin(&self, package: PackageId) -> String {
        let mut chain = self.chain_to(package);
        chain.pop();
        let wish = match self.cause(package) {
            Some(Cause::World(requirement) | Cause::Dependency(_, requirement)) => {
                format!(" [{}]", requirement.dependency)
            }
            Some(Cause::InstallIf(_)) => " [install_if]".to_owned(),
            None => String::new(),
        };
        chain.join(" → ") + &wish
    }

    /// From the world down to who has a wish.
    fn chain(&self, (asker, _): Wish<'a>) -> Vec<String> {
        asker.map_or_else(|| vec!["world".to_owned()], |asker| self.chain_to(asker))
    }

    /// From the world down to a package.
    fn chain_to(&self, package: PackageId) -> Vec<String> {
        let mut packages = vec![package];
        while let Some(Cause::Dependency(parent, _) | Cause::InstallIf(parent)) =
            packages.last().and_then(|&last| self.cause(last))
            && !packages.contains(&parent)
        {
            packages.push(parent);
        }
        let labels = packages
            .into_iter()
            .rev()
            .map(|package| self.label(package));
        std::iter::once("world".to_owned()).chain(labels).collect()
    }
}
