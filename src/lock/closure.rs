//! Whether locked packages meet each other's dependencies: a lock that a hand or a merge has changed
//! may lack one.

use std::collections::HashMap;

use super::{Lock, Wishes};
use crate::apk::dependency::Dependency;
use crate::apk::index::{Checksum, IndexPackage};
use crate::apk::version::Version;

/// Who stands for a name: the place of the package, the version that it has there, its checksum.
type Providers<'a> = HashMap<&'a str, Vec<(usize, Option<&'a Version>, &'a Checksum)>>;

/// What `world` and the packages themselves want and do not get, a sentence each.
pub fn unmet(world: &[Dependency], packages: &[IndexPackage]) -> Vec<String> {
    let providers = providers(packages);
    let mut problems = Vec::new();
    for wish in world {
        if !is_met(wish, None, &providers) {
            problems.push(told(wish, "it is asked for", "it is not wanted"));
        }
    }
    for (place, package) in packages.iter().enumerate() {
        for wish in &package.depends {
            if !is_met(wish, Some(place), &providers) {
                let id = format!("{}-{}", package.name, package.version);
                let (needs, excludes) = (format!("{id} needs it"), format!("{id} excludes it"));
                problems.push(told(wish, &needs, &excludes));
            }
        }
    }
    problems
}

/// What does not hold together in a lock whose packages say this of themselves, a sentence each.
pub fn unmet_in(lock: &Lock, image: &[IndexPackage], boot: &[IndexPackage]) -> Vec<String> {
    let Wishes {
        required,
        optional,
        boot: boot_wishes,
    } = &lock.wishes;
    let taken = optional.iter().filter(|wish| !lock.left_out.contains(wish));
    let world: Vec<Dependency> = required.iter().chain(taken).cloned().collect();
    let mut what = unmet(&world, image);
    what.extend(unmet(boot_wishes, boot));
    what
}

fn told(wish: &Dependency, needs: &str, excludes: &str) -> String {
    match wish.conflict {
        false => format!("`{wish}` is not locked, and {needs}"),
        true => format!("`{wish}` does not hold: it is locked, and {excludes}"),
    }
}

fn providers(packages: &[IndexPackage]) -> Providers<'_> {
    let mut providers = Providers::new();
    for (place, package) in packages.iter().enumerate() {
        let own = (&*package.name, Some(&package.version));
        let provides = package.provides.iter();
        let provides = provides.map(|provide| (&*provide.name, provide.version.as_ref()));
        for (name, version) in std::iter::once(own).chain(provides) {
            let known = providers.entry(name).or_default();
            known.push((place, version, &package.checksum));
        }
    }
    providers
}

/// `asker` is nobody where the world asks. What a package excludes, it may itself be.
fn is_met(wish: &Dependency, asker: Option<usize>, providers: &Providers<'_>) -> bool {
    let known = providers.get(&*wish.name).map_or(&[][..], Vec::as_slice);
    let mut others = known
        .iter()
        .filter(|(place, ..)| !wish.conflict || Some(*place) != asker);
    others.any(|(_, version, checksum)| wish.fits(*version, checksum)) != wish.conflict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apk::index::parse_index;
    use crate::lock::testing::wishes;

    fn packages(records: &str) -> Vec<IndexPackage> {
        let records = records.replace("P:", "C:Q1EfatjsUqKYSrqv18O1FlA3hcIHI=\nA:x86_64\nP:");
        parse_index(&records).expect("packages")
    }

    #[test]
    fn what_is_missing_is_named_with_who_needs_it() {
        let locked = "P:app\nV:2-r0\nD:so:lib.so.1 tool>=1 !app-old !app<1\n\n\
                      P:lib\nV:1.5-r0\np:so:lib.so.1=1.5 tool=2\n\n";
        assert!(unmet(&wishes(&["app>1", "!nothing"]), &packages(locked)).is_empty());
        let alone = locked.split("P:lib").next().expect("the first");
        assert_eq!(
            unmet(&wishes(&["app>1", "lib"]), &packages(alone)),
            [
                "`lib` is not locked, and it is asked for",
                "`so:lib.so.1` is not locked, and app-2-r0 needs it",
                "`tool>=1` is not locked, and app-2-r0 needs it",
            ]
        );
        let both = format!("{locked}P:app-old\nV:1-r0\n\n");
        assert_eq!(
            unmet(&wishes(&["app>3", "!lib"]), &packages(&both)),
            [
                "`app>3` is not locked, and it is asked for",
                "`!lib` does not hold: it is locked, and it is not wanted",
                "`!app-old` does not hold: it is locked, and app-2-r0 excludes it",
            ]
        );
    }
}
