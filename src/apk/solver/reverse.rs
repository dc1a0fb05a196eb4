//! Who depends on a name, and who comes by itself when it is there.

use super::universe::{NameId, Universe};

/// For each name, the names whose candidates refer to it, in the order of apk's table of names.
///
/// A provided name counts as well as a package's own: where `so:x=1` is provided by a package that
/// needs musl, `so:x` depends on musl. (`apk_db_name_rdepends` in `src/database.c`.)
pub(super) struct Reverses {
    depends: Lists,
    install_if: Lists,
}

/// Lists by name: those of name `n` are `items[start[n]..start[n + 1]]`.
#[derive(Default)]
struct Lists {
    start: Vec<u32>,
    items: Vec<NameId>,
}

impl Lists {
    fn get(&self, name: NameId) -> &[NameId] {
        let name = name as usize;
        match self.start.get(name..name + 2) {
            Some(&[start, end]) => &self.items[start as usize..end as usize],
            _ => &[],
        }
    }

    /// Sorts pairs of (to, from) by `to` and keeps their order otherwise.
    fn new(names: usize, pairs: &[(NameId, NameId)]) -> Lists {
        let mut next = vec![0_u32; names + 1];
        for &(to, _) in pairs {
            next[to as usize + 1] += 1;
        }
        for name in 0..names {
            next[name + 1] += next[name];
        }
        let start = next.clone();
        let mut items = vec![0; pairs.len()];
        for &(to, from) in pairs {
            let slot = &mut next[to as usize];
            items[*slot as usize] = from;
            *slot += 1;
        }
        Lists { start, items }
    }
}

impl Reverses {
    /// Collects the `install_if` of all packages; they are needed to find out who plays a part.
    pub fn of_install_if(universe: &Universe<'_>) -> Reverses {
        let mut names = Vec::new();
        for package in 0..universe.candidates.len() as u32 {
            if !universe.install_if(package).is_empty() {
                names.extend(universe.names_of(package));
            }
        }
        names.sort_unstable();
        names.dedup();
        let install_if = collect(universe, names, |package| {
            universe
                .install_if(package)
                .iter()
                .map(|condition| condition.name)
        });
        Reverses {
            depends: Lists::default(),
            install_if,
        }
    }

    /// Collects the dependencies of the candidates of `names`.
    pub fn add_depends(&mut self, universe: &Universe<'_>, names: Vec<NameId>) {
        self.depends = collect(universe, names, |package| {
            universe
                .depends(package)
                .iter()
                .map(|requirement| requirement.name)
        });
    }

    pub fn depends(&self, name: NameId) -> &[NameId] {
        self.depends.get(name)
    }

    pub fn install_if(&self, name: NameId) -> &[NameId] {
        self.install_if.get(name)
    }
}

/// Turns around what the candidates of `names` refer to, each name once.
fn collect<I: Iterator<Item = NameId>>(
    universe: &Universe<'_>,
    mut names: Vec<NameId>,
    refers_to: impl Fn(u32) -> I,
) -> Lists {
    universe.hash_order(&mut names);
    let mut last_from = vec![NameId::MAX; universe.name_count()];
    let mut pairs = Vec::new();
    for from in names {
        for provider in universe.providers(from) {
            for to in refers_to(provider.package) {
                if last_from[to as usize] != from {
                    last_from[to as usize] = from;
                    pairs.push((to, from));
                }
            }
        }
    }
    Lists::new(universe.name_count(), &pairs)
}
