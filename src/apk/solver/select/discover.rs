//! Finding the names that can play a part, before anything is deduced.

use super::{PackageState, Selector};
use crate::apk::solver::universe::{NameId, PackageId, UNTAGGED};

impl Selector<'_, '_> {
    /// Finds every name that can play a part, from `root` down, and how deep below it they go.
    ///
    /// This is a recursion over dependencies, with its own stack because they go deep.
    pub(super) fn discover(&mut self, root: NameId) {
        let mut stack = Vec::new();
        self.enter(root, &mut stack);
        while let Some(visit) = stack.last_mut() {
            match self.advance(visit) {
                Some(next) => self.enter(next, &mut stack),
                None => drop(stack.pop()),
            }
        }
    }

    fn enter(&mut self, name: NameId, stack: &mut Vec<Visit>) {
        let state = self.name(name);
        if !state.seen {
            state.seen = true;
            state.no_iif = true;
            stack.push(Visit::new(name));
        }
    }

    /// One step of a visit: the next name to look at below it.
    fn advance(&mut self, visit: &mut Visit) -> Option<NameId> {
        let providers = self.universe.providers(visit.name);
        while let Some(provider) = providers.get(visit.provider) {
            let package = provider.package;
            if visit.depends == 0 && !visit.inside && !self.package(package).seen {
                visit.inside = true;
                self.introduce(package);
            }
            if visit.inside {
                let depends = self.universe.depends(package);
                if let Some(last) = visit.depends.checked_sub(1) {
                    let below = self.name(depends[last].name).depth + 1;
                    let state = self.package(package);
                    state.depth = state.depth.max(below);
                }
                if let Some(requirement) = depends.get(visit.depends) {
                    visit.depends += 1;
                    return Some(requirement.name);
                }
            }
            let PackageState {
                iif_failed, depth, ..
            } = *self.package(package);
            let state = self.name(visit.name);
            state.no_iif &= iif_failed;
            state.depth = state.depth.max(depth);
            visit.provider += 1;
            visit.depends = 0;
            visit.inside = false;
        }
        self.triggered_by(visit)
    }

    /// The next name with an `install_if` that the visited name may fulfil.
    fn triggered_by(&self, visit: &mut Visit) -> Option<NameId> {
        if visit.triggered.is_none() {
            let mut names = self.reverses.install_if(visit.name).to_vec();
            if self.rules.install_if_through_provides {
                for provider in self.universe.providers(visit.name) {
                    for name in self.universe.names_of(provider.package) {
                        names.extend_from_slice(self.reverses.install_if(name));
                    }
                }
            }
            names.reverse();
            visit.triggered = Some(names);
        }
        visit.triggered.as_mut()?.pop()
    }

    fn introduce(&mut self, package: PackageId) {
        let candidate = self.universe.candidate(package);
        let untagged = candidate.tags & UNTAGGED != 0;
        *self.package(package) = PackageState {
            seen: true,
            selectable: candidate.package.uninstallable().is_none(),
            tags_allowed: UNTAGGED,
            tag_ok: untagged,
            tag_preferred: untagged,
            iif_failed: self.universe.install_if(package).is_empty(),
            ..PackageState::default()
        };
    }
}

/// How far [`Selector::discover`] has come with a name.
struct Visit {
    name: NameId,
    provider: usize,
    /// The current provider is seen for the first time, so its dependencies are looked at.
    inside: bool,
    depends: usize,
    /// What is left to look at after the providers.
    triggered: Option<Vec<NameId>>,
}

impl Visit {
    fn new(name: NameId) -> Visit {
        Visit {
            name,
            provider: 0,
            inside: false,
            depends: 0,
            triggered: None,
        }
    }
}
