//! Deciding a name: which comes next, which candidate is best, and what the others lose.

use std::cmp::{Ordering, Reverse};

use super::{Asker, Failure, Selector};
use crate::apk::solver::universe::{NameId, Provider};

impl<'a> Selector<'_, 'a> {
    /// The name to decide next: one without options whose dependents are decided, the newest of
    /// them; else what is really wanted, has a package of its own, and stands highest.
    pub(super) fn most_settled(&self) -> Option<NameId> {
        let state = |name: NameId| &self.names[name as usize];
        let forced = self.open.iter().rev().copied().find(|&name| {
            let state = state(name);
            state.dependents_decided && state.requirers > 0 && !state.has_options
        });
        // `min_by_key` takes the first of equals, and the newest comes first.
        forced.or_else(|| {
            self.open.iter().rev().copied().min_by_key(|&name| {
                let state = state(name);
                (
                    state.requirers == 0,
                    self.own_name_class(name),
                    Reverse(state.depth),
                )
            })
        })
    }

    /// 0 where only packages of that name stand for it, 2 where only provides do, else 1.
    fn own_name_class(&self, name: NameId) -> u8 {
        let providers = self.universe.providers(name);
        let is_own =
            |provider: &&Provider<'a>| self.universe.candidate(provider.package).name == name;
        match providers.iter().filter(is_own).count() {
            own if own == providers.len() => 0,
            0 => 2,
            _ => 1,
        }
    }

    /// Takes the best candidate for a name, or nobody.
    pub(super) fn decide(&mut self, name: NameId) {
        let Some(best) = self.best_provider(name) else {
            self.lock(name, None);
            if self.name(name).requirers > 0 {
                self.failures.push(Failure::NoProvider(name));
            }
            return;
        };
        let package = best.package;
        let state = self.package(package);
        if !state.selectable || !state.tag_ok {
            self.failures.push(Failure::Unusable(package));
        }
        let candidate = self.universe.candidate(package);
        let own = (candidate.name, Some(&candidate.package.version));
        for &(name, version) in std::iter::once(&own).chain(self.universe.provides(package)) {
            self.lock(name, Some(Provider { package, version }));
        }
        for requirement in self.universe.depends(package) {
            self.apply(requirement, Asker::Package(package));
        }
    }

    fn best_provider(&self, name: NameId) -> Option<Provider<'a>> {
        let state = &self.names[name as usize];
        let providers = self.universe.providers(name);
        let eligible = providers.iter().copied().filter(|provider| {
            let package = &self.packages[provider.package as usize];
            let called_for = state.requirers > 0 || package.iif_triggered && package.tag_ok;
            called_for && self.is_taken_by_itself(provider, providers.len())
        });
        // The first of equals stays.
        eligible.reduce(|best, other| match self.compare(&other, &best) {
            Ordering::Greater => other,
            _ => best,
        })
    }

    /// A provide without a version is a choice for people, unless the package has a priority, is
    /// wanted under its own name, or is the only one.
    fn is_taken_by_itself(&self, provider: &Provider<'a>, providers: usize) -> bool {
        let candidate = self.universe.candidate(provider.package);
        provider.version.is_some()
            || candidate.package.provider_priority > 0
            || providers == 1
            || self.names[candidate.name as usize].requirers > 0
    }

    /// Which of two providers is preferred; the greater is.
    fn compare(&self, a: &Provider<'a>, b: &Provider<'a>) -> Ordering {
        let state = |provider: &Provider| &self.packages[provider.package as usize];
        let candidate = |provider: &Provider| self.universe.candidate(provider.package);
        let key = |provider: &Provider| {
            let state = state(provider);
            let conflicts = Reverse(state.conflicts);
            (
                state.selectable,
                state.merge_used,
                conflicts,
                state.tag_ok,
                state.tag_preferred,
                candidate(provider).kept,
            )
        };
        let version_of_name = match (a.version, b.version) {
            (Some(a), Some(b)) => a.cmp(b),
            _ => Ordering::Equal,
        };
        let (left, right) = (candidate(a), candidate(b));
        let own_version = match left.name == right.name {
            true => left.package.version.cmp(&right.package.version),
            false => Ordering::Equal,
        };
        let priority = |provider| candidate(provider).package.provider_priority;
        key(a)
            .cmp(&key(b))
            .then(version_of_name)
            .then(own_version)
            .then_with(|| priority(a).cmp(&priority(b)))
            .then_with(|| right.source.cmp(&left.source))
    }

    /// Decides a name for a provider, and loses everybody else who stands for it.
    fn lock(&mut self, name: NameId, chosen: Option<Provider<'a>>) {
        if self.name(name).locked {
            self.check_shared(name, chosen);
            return;
        }
        let state = self.name(name);
        state.locked = true;
        state.chosen = chosen;
        if std::mem::take(&mut state.is_open) {
            self.open.retain(|&other| other != name);
        }
        for other in self.universe.providers(name) {
            let same = chosen.is_some_and(|chosen| chosen.package == other.package);
            let both_virtual =
                chosen.is_none_or(|chosen| chosen.version.is_none()) && other.version.is_none();
            if !same && !both_virtual {
                self.disqualify(other.package);
            }
        }
        self.recheck_dependents(name);
        self.recheck_install_if(name);
    }

    /// Two packages may stand for one name only if neither has a version for it.
    fn check_shared(&mut self, name: NameId, second: Option<Provider<'a>>) {
        let first = self.name(name).chosen;
        let is_virtual = |provider: Option<Provider>| provider.is_none_or(|p| p.version.is_none());
        if is_virtual(first) && is_virtual(second) {
            return;
        }
        if let (Some(first), Some(second)) = (first, second)
            && first.package != second.package
        {
            self.failures
                .push(Failure::SameName(name, first.package, second.package));
        }
    }
}
