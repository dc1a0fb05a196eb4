//! Which packages are chosen: apk's deduction, without going back on a choice.
//!
//! The method is that of `src/solver.c` of apk-tools 2.12. Every name that is wanted has candidates;
//! what all candidates of a name have in common is already certain, so it is applied to the names
//! they depend on, which loses them candidates, and so on until nothing follows any more. Then the
//! name with the most settled surroundings is decided for its best candidate, and deduction
//! starts again. A wrong choice is not taken back: apk reports it, and so does this module.
//!
//! The order in which names are reconsidered and decided can change what is chosen, which is why the
//! two queues here behave as apk's do: first in, first out for what to reconsider, and the name
//! that was queued last looked at first for what to decide.

mod decide;
mod discover;

use std::collections::VecDeque;

use super::Rules;
use super::reverse::Reverses;
use super::universe::{NameId, PackageId, Provider, Requirement, Tags, Universe};

/// What is known of a name.
#[derive(Default)]
pub(super) struct NameState<'a> {
    /// It can play a part in this resolution.
    pub seen: bool,
    /// It is decided; `chosen` says for whom, nobody being an answer too.
    pub locked: bool,
    pub chosen: Option<Provider<'a>>,
    /// How many want it. The same one may be counted more than once; what matters is whether it is 0.
    pub requirers: u32,
    /// The longest way down from it, where circles end when they meet themselves.
    pub depth: u32,
    /// There is more than one candidate, or one whose tag is not allowed so far.
    has_options: bool,
    /// A candidate's `install_if` is fulfilled.
    has_iif: bool,
    /// No candidate's `install_if` can be fulfilled any more.
    pub no_iif: bool,
    /// Everything that depends on it is decided.
    dependents_decided: bool,
    recheck_depends: bool,
    recheck_iif: bool,
    is_dirty: bool,
    is_open: bool,
    /// Scratch of [`Selector::merge`]: how many candidates in a row had it as dependency.
    merged_depends: u32,
    /// The same for provides.
    merged_provides: u32,
    /// One of those provided it without a version.
    merged_virtual: bool,
}

/// What is known of a package.
#[derive(Default)]
pub(super) struct PackageState {
    pub seen: bool,
    /// Nothing speaks against it yet.
    pub selectable: bool,
    /// Constraints that it breaks.
    pub conflicts: u32,
    /// The tags whose repositories it may come from.
    pub tags_allowed: Tags,
    /// It is in a repository it may come from.
    pub tag_ok: bool,
    /// It is in a repository that was asked for.
    tag_preferred: bool,
    iif_triggered: bool,
    pub iif_failed: bool,
    /// It was a candidate when its name was last reconsidered.
    merged: bool,
    /// It was a candidate when what candidates have in common was last applied.
    merge_used: bool,
    pub depth: u32,
}

/// A step of the deduction that ended in a contradiction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The name is wanted and nobody could be taken for it.
    NoProvider(NameId),
    /// The package had to be taken although something speaks against it.
    Unusable(PackageId),
    /// Both packages claim the name for themselves.
    SameName(NameId, PackageId, PackageId),
}

/// The state of a resolution, and its result when [`Selector::run`] is through.
pub(super) struct Selector<'u, 'a> {
    pub universe: &'u Universe<'a>,
    pub rules: Rules,
    pub names: Vec<NameState<'a>>,
    pub packages: Vec<PackageState>,
    pub failures: Vec<Failure>,
    pub reverses: Reverses,
    dirty: VecDeque<NameId>,
    open: Vec<NameId>,
}

impl<'u, 'a> Selector<'u, 'a> {
    pub fn new(universe: &'u Universe<'a>, rules: Rules) -> Self {
        let mut names = Vec::new();
        names.resize_with(universe.name_count(), NameState::default);
        let mut packages = Vec::new();
        packages.resize_with(universe.candidates.len(), PackageState::default);
        Selector {
            universe,
            rules,
            names,
            packages,
            failures: Vec::new(),
            reverses: Reverses::of_install_if(universe),
            dirty: VecDeque::new(),
            open: Vec::new(),
        }
    }

    /// Decides every name that `world` wants, directly or not. The world is sorted by name.
    pub fn run(&mut self, world: &[(Requirement<'a>, Tags)]) {
        for (requirement, _) in world {
            self.discover(requirement.name);
        }
        let seen = |name: &NameId| self.names[*name as usize].seen;
        let names = (0..self.names.len() as NameId).filter(seen).collect();
        self.reverses.add_depends(self.universe, names);
        for (requirement, tags) in world {
            self.apply(requirement, Asker::World(*tags));
        }
        loop {
            while let Some(name) = self.dirty.pop_front() {
                self.names[name as usize].is_dirty = false;
                if !self.names[name as usize].locked {
                    self.reconsider(name);
                }
            }
            match self.most_settled() {
                Some(name) => self.decide(name),
                None => return,
            }
        }
    }

    fn name(&mut self, name: NameId) -> &mut NameState<'a> {
        &mut self.names[name as usize]
    }

    fn package(&mut self, package: PackageId) -> &mut PackageState {
        &mut self.packages[package as usize]
    }

    /// The names whose `install_if` may change when `package` is chosen or lost.
    pub fn trigger_names(&self, package: PackageId) -> impl Iterator<Item = NameId> + use<'u, 'a> {
        let count = match self.rules.install_if_through_provides {
            true => usize::MAX,
            false => 1,
        };
        self.universe.names_of(package).take(count)
    }

    fn queue_dirty(&mut self, name: NameId) {
        let state = self.name(name);
        let idle = state.requirers == 0 && !state.recheck_iif;
        if !state.is_dirty && !state.locked && !idle {
            state.is_dirty = true;
            self.dirty.push_back(name);
        }
    }

    /// Puts a name among those to decide, or takes it out, as it is wanted or not.
    fn queue_open(&mut self, name: NameId) {
        let state = self.name(name);
        if state.locked {
            return;
        }
        let wanted = state.requirers > 0 || state.has_iif;
        if wanted == state.is_open {
            return;
        }
        state.is_open = wanted;
        if wanted {
            self.open.push(name);
        } else {
            self.open.retain(|&other| other != name);
        }
    }

    fn recheck_dependents(&mut self, name: NameId) {
        for index in 0..self.reverses.depends(name).len() {
            let dependent = self.reverses.depends(name)[index];
            self.name(dependent).recheck_depends = true;
            self.queue_dirty(dependent);
        }
    }

    fn recheck_install_if(&mut self, name: NameId) {
        for index in 0..self.reverses.install_if(name).len() {
            let triggered = self.reverses.install_if(name)[index];
            let state = self.name(triggered);
            if state.seen && !state.no_iif {
                state.recheck_iif = true;
                self.queue_dirty(triggered);
            }
        }
    }

    fn disqualify(&mut self, package: PackageId) {
        self.package(package).selectable = false;
        for name in self.universe.names_of(package) {
            self.recheck_dependents(name);
        }
        for name in self.trigger_names(package) {
            self.recheck_install_if(name);
        }
    }

    fn wanted_now(&mut self, name: NameId) {
        self.queue_open(name);
        self.recheck_install_if(name);
        self.queue_dirty(name);
    }

    /// Lets a requirement take effect on those who could meet it.
    fn apply(&mut self, requirement: &Requirement<'a>, asker: Asker) {
        let name = requirement.name;
        if !requirement.dependency.conflict {
            self.name(name).requirers += 1;
            if self.name(name).requirers == 1 {
                self.wanted_now(name);
            }
        }
        for &provider in self.universe.providers(name) {
            let met = self
                .universe
                .is_met(requirement, asker.package(), Some(provider));
            if met {
                self.inherit_tags(provider.package, asker);
                continue;
            }
            let state = self.package(provider.package);
            state.conflicts += 1;
            if state.selectable {
                self.disqualify(provider.package);
            }
        }
    }

    /// Allows a package the tags of who asks for it.
    fn inherit_tags(&mut self, package: PackageId, asker: Asker) {
        let inherited = match asker {
            Asker::World(tags) => tags,
            Asker::Package(parent) => self.package(parent).tags_allowed,
        };
        let there = self.universe.candidate(package).tags;
        let state = self.package(package);
        state.tags_allowed |= inherited;
        if let Asker::World(tags) = asker {
            state.tag_preferred = there & tags != 0;
        }
        state.tag_ok |= there & state.tags_allowed != 0;
    }

    fn is_satisfiable(&self, requirement: &Requirement<'a>, asker: PackageId) -> bool {
        let met = |provider| self.universe.is_met(requirement, Some(asker), provider);
        let name = &self.names[requirement.name as usize];
        if name.locked {
            return met(name.chosen);
        }
        if name.requirers == 0 && met(None) {
            return true;
        }
        let providers = self.universe.providers(requirement.name);
        providers.iter().any(|&provider| {
            self.packages[provider.package as usize].selectable && met(Some(provider))
        })
    }

    /// Draws the conclusions for a name whose surroundings changed.
    fn reconsider(&mut self, name: NameId) {
        let state = self.name(name);
        let recheck_depends = std::mem::take(&mut state.recheck_depends);
        let recheck_iif = std::mem::take(&mut state.recheck_iif);
        let wanted = state.requirers > 0;

        let (mut options, mut tag_not_ok, mut first) = (0, 0, None);
        let (mut has_iif, mut no_iif) = (false, true);
        for &provider in self.universe.providers(name) {
            let package = provider.package;
            self.package(package).merged = false;
            if recheck_depends && self.package(package).selectable {
                self.check_depends(package);
            }
            if !self.package(package).selectable {
                continue;
            }
            if recheck_iif {
                self.check_install_if(package);
            }
            let state = self.package(package);
            has_iif |= state.iif_triggered;
            no_iif &= state.iif_failed;
            if wanted {
                state.merged = true;
                tag_not_ok += usize::from(!state.tag_ok);
                first.get_or_insert(package);
                self.merge(provider, options);
                options += 1;
            }
        }
        let state = self.name(name);
        state.has_options = options > 1 || tag_not_ok > 0;
        state.has_iif = has_iif;
        state.no_iif = no_iif;
        self.queue_open(name);

        if let Some(first) = first {
            for provider in self.universe.providers(name) {
                let state = self.package(provider.package);
                state.merge_used = state.merged;
            }
            self.apply_common_depends(first, options);
            self.apply_common_provides(name, first, options);
        }
        let mut dependents = self.reverses.depends(name).iter();
        self.names[name as usize].dependents_decided =
            dependents.all(|&dependent| self.names[dependent as usize].locked);
    }

    fn check_depends(&mut self, package: PackageId) {
        let depends = self.universe.depends(package);
        if !depends
            .iter()
            .all(|requirement| self.is_satisfiable(requirement, package))
        {
            self.disqualify(package);
        }
    }

    /// Finds out whether the `install_if` of a package has come true, or cannot any more.
    fn check_install_if(&mut self, package: PackageId) {
        let conditions = self.universe.install_if(package);
        let state = &self.packages[package as usize];
        if !state.iif_triggered && !state.iif_failed {
            let failing = conditions.iter().find(|condition| {
                let name = &self.names[condition.name as usize];
                !name.locked || !self.universe.is_met(condition, Some(package), name.chosen)
            });
            let failed =
                failing.is_some_and(|condition| self.names[condition.name as usize].locked);
            let triggered = failing.is_none();
            let state = self.package(package);
            state.iif_failed = failed;
            state.iif_triggered = triggered;
        }
        if !self.packages[package as usize].iif_triggered {
            return;
        }
        for condition in conditions {
            if let Some(chosen) = self.names[condition.name as usize].chosen {
                self.inherit_tags(package, Asker::Package(chosen.package));
            }
        }
    }

    /// Counts what the candidate number `index` of a name depends on and provides. A name stays in
    /// the count as long as every candidate before had it too.
    fn merge(&mut self, provider: Provider<'a>, index: u32) {
        let package = provider.package;
        for requirement in self.universe.depends(package) {
            let count = &mut self.name(requirement.name).merged_depends;
            if !requirement.dependency.conflict && *count == index {
                *count = index + 1;
            }
        }
        let own = (self.universe.candidate(package).name, provider.version);
        for &(name, version) in std::iter::once(&own).chain(self.universe.provides(package)) {
            let state = self.name(name);
            if state.merged_provides == index {
                state.merged_provides = index + 1;
                state.merged_virtual |= version.is_none();
            }
        }
    }

    /// Applies the dependencies that all candidates have in common.
    ///
    /// `first` has all of those, so its own are the ones to look at.
    fn apply_common_depends(&mut self, first: PackageId, options: u32) {
        for requirement in self.universe.depends(first) {
            let state = self.name(requirement.name);
            let common = std::mem::take(&mut state.merged_depends) == options;
            if !common {
                continue;
            }
            if options == 1 {
                self.apply(requirement, Asker::Package(first));
            } else if state.requirers == 0 {
                // Only the name is certain: the candidates may want different versions of it.
                state.requirers += 1;
                self.wanted_now(requirement.name);
                for provider in self.universe.providers(requirement.name) {
                    self.inherit_tags(provider.package, Asker::Package(first));
                }
            }
        }
    }

    /// Where every candidate for `name` provides another name too, whoever provides the other name
    /// without being one of them can no longer be chosen.
    fn apply_common_provides(&mut self, name: NameId, first: PackageId, options: u32) {
        for other in self.universe.names_of(first) {
            let state = self.name(other);
            let common = std::mem::take(&mut state.merged_provides) == options;
            let skip_virtual = state.merged_virtual;
            if common && other != name {
                self.exclude_others(other, name, skip_virtual);
            }
        }
        for other in self.universe.names_of(first) {
            self.name(other).merged_virtual = false;
        }
    }

    /// Drops the providers of `name` that do not provide `must` as well.
    fn exclude_others(&mut self, name: NameId, must: NameId, skip_virtual: bool) {
        for provider in self.universe.providers(name) {
            let package = provider.package;
            let side_by_side = |version: Option<_>| skip_virtual && version.is_none();
            let kept = self.universe.candidate(package).name == must
                || !self.packages[package as usize].selectable
                || side_by_side(provider.version)
                || (self.universe.provides(package).iter())
                    .any(|&(provided, version)| provided == must || side_by_side(version));
            if !kept {
                self.disqualify(package);
            }
        }
    }
}

/// Who asks for something.
#[derive(Debug, Clone, Copy)]
enum Asker {
    /// The world, and the tags it asks with.
    World(Tags),
    Package(PackageId),
}

impl Asker {
    fn package(self) -> Option<PackageId> {
        match self {
            Asker::World(_) => None,
            Asker::Package(package) => Some(package),
        }
    }
}
