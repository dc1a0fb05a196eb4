//! In which order the chosen packages are installed, and what brought each of them in.
//!
//! As in `generate_changeset` of `src/solver.c` in apk-tools: the world by name, below each entry
//! its dependencies first, in the order of `D:`, and behind each package what comes by itself as
//! soon as its `install_if` is complete.

use super::select::Selector;
use super::universe::{NameId, PackageId, Requirement, Tags};

/// What brought a package in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause<'a> {
    /// An entry of the world.
    World(Requirement<'a>),
    /// A dependency of another package.
    Dependency(PackageId, Requirement<'a>),
    /// Its `install_if`, completed by this package.
    InstallIf(PackageId),
}

/// A package at its place in the order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placement<'a> {
    pub package: PackageId,
    pub cause: Cause<'a>,
}

/// A package whose dependencies, and then the packages it pulls in, are being placed.
struct Frame<'a> {
    placement: Placement<'a>,
    depends: usize,
    /// The names to try once the package is placed.
    triggered: Option<std::vec::IntoIter<NameId>>,
}

struct Order<'s, 'u, 'a> {
    selector: &'s Selector<'u, 'a>,
    names: Vec<bool>,
    packages: Vec<bool>,
    stack: Vec<Frame<'a>>,
    placed: Vec<Placement<'a>>,
}

/// Orders what `selector` chose for `world`, which is sorted by name.
pub(super) fn order<'a>(
    selector: &Selector<'_, 'a>,
    world: &[(Requirement<'a>, Tags)],
) -> Vec<Placement<'a>> {
    let mut order = Order {
        selector,
        names: vec![false; selector.names.len()],
        packages: vec![false; selector.packages.len()],
        stack: Vec::new(),
        placed: Vec::new(),
    };
    for &(requirement, _) in world {
        order.visit(requirement.name, Cause::World(requirement));
        order.finish();
    }
    order.name_true_causes(world);
    order.placed
}

impl<'a> Order<'_, '_, 'a> {
    /// Starts with the package chosen for a name, if that has not happened yet.
    fn visit(&mut self, name: NameId, cause: Cause<'a>) {
        if std::mem::replace(&mut self.names[name as usize], true) {
            return;
        }
        let Some(chosen) = self.selector.names[name as usize].chosen else {
            return;
        };
        let package = chosen.package;
        if std::mem::replace(&mut self.packages[package as usize], true) {
            return;
        }
        for name in self.selector.universe.names_of(package) {
            self.names[name as usize] = true;
        }
        self.stack.push(Frame {
            placement: Placement { package, cause },
            depends: 0,
            triggered: None,
        });
    }

    /// Works until everything that was started is placed.
    fn finish(&mut self) {
        let selector = self.selector;
        while let Some(frame) = self.stack.last_mut() {
            let package = frame.placement.package;
            // What a package excludes is looked at as well: `!foo<2` places foo 3 before it.
            if let Some(&requirement) = selector.universe.depends(package).get(frame.depends) {
                frame.depends += 1;
                self.visit(requirement.name, Cause::Dependency(package, requirement));
                continue;
            }
            let placement = frame.placement;
            let triggered = frame.triggered.get_or_insert_with(|| {
                self.placed.push(placement);
                let names = selector.trigger_names(package);
                let lists = names.map(|name| selector.reverses.install_if(name).to_vec());
                lists.collect::<Vec<_>>().concat().into_iter()
            });
            match triggered.next() {
                Some(name) if self.is_complete(name) => {
                    self.visit(name, Cause::InstallIf(package));
                }
                Some(_) => {}
                None => drop(self.stack.pop()),
            }
        }
    }

    /// Where a package was placed early because of what excludes other versions of it, looks for
    /// who wants it.
    fn name_true_causes(&mut self, world: &[(Requirement<'a>, Tags)]) {
        let is_exclusion = |cause| match cause {
            Cause::World(requirement) | Cause::Dependency(_, requirement) => {
                requirement.dependency.conflict
            }
            Cause::InstallIf(_) => false,
        };
        for index in 0..self.placed.len() {
            let Placement { package, cause } = self.placed[index];
            if is_exclusion(cause) {
                self.placed[index].cause = self.true_cause(package, world).unwrap_or(cause);
            }
        }
    }

    fn true_cause(
        &self,
        package: PackageId,
        world: &[(Requirement<'a>, Tags)],
    ) -> Option<Cause<'a>> {
        let universe = self.selector.universe;
        let stands_for = |requirement: &Requirement<'a>| {
            let chosen = self.selector.names[requirement.name as usize].chosen;
            !requirement.dependency.conflict
                && chosen.is_some_and(|chosen| chosen.package == package)
        };
        let wishes = world.iter().map(|&(requirement, _)| requirement);
        let from_world = wishes.filter(stands_for).map(Cause::World);
        let from_packages = self.placed.iter().flat_map(|placement| {
            let depends = universe.depends(placement.package).iter().copied();
            depends
                .filter(stands_for)
                .map(|requirement| Cause::Dependency(placement.package, requirement))
        });
        let conditions = universe.install_if(package).iter();
        let from_conditions = conditions.filter_map(|condition| {
            let chosen = self.selector.names[condition.name as usize].chosen?;
            Some(Cause::InstallIf(chosen.package))
        });
        from_world
            .chain(from_packages)
            .chain(from_conditions)
            .next()
    }

    /// Whether everything that the package chosen for `name` waits for is placed.
    fn is_complete(&self, name: NameId) -> bool {
        let state = &self.selector.names[name as usize];
        let Some(chosen) = state.chosen.filter(|_| state.seen) else {
            return false;
        };
        let universe = self.selector.universe;
        universe.install_if(chosen.package).iter().all(|condition| {
            let there = self.selector.names[condition.name as usize].chosen;
            self.names[condition.name as usize]
                && universe.is_met(condition, Some(chosen.package), there)
        })
    }
}
