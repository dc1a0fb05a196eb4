//! What differs between two locks, for people and machines.
//!
//! As JSON: `{"wishes": {"added", "removed"}, "repositories": {"added", "removed"}, "left_out":
//! {"added", "removed"}, "image": Group, "boot": Group}`, where a group is `{"added": [Package],
//! "removed": [Package], "changed": [{"name", "change": "up|down|rebuilt|moved", "from": Package,
//! "to": Package}], "reordered": bool}` and a package `{"name", "version", "repository", "size",
//! "checksum"}`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{Lock, LockedPackage, Wishes};
use crate::apk::dependency::Dependency;
use crate::apk::index::Checksum;
use crate::ui::text::table;

/// What differs between two locks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// What is asked for.
    pub wishes: Words,
    /// Where packages come from.
    pub repositories: Words,
    /// What is asked for and not to be had.
    pub left_out: Words,
    /// The image's packages.
    pub image: Group,
    /// The boot loader's.
    pub boot: Group,
}

/// Words that came and went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Words {
    /// That came.
    pub added: Vec<String>,
    /// That went.
    pub removed: Vec<String>,
}

/// Packages that came, went and changed, each list sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// That came.
    pub added: Vec<PackageTold>,
    /// That went.
    pub removed: Vec<PackageTold>,
    /// That are not as they were.
    pub changed: Vec<PackageChange>,
    /// Whether those that stayed are installed in another order.
    pub reordered: bool,
    /// How many are as they were.
    #[serde(skip)]
    pub kept: usize,
}

/// A package as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageTold {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from.
    pub repository: String,
    /// Bytes of its file.
    pub size: u64,
    /// What identifies it.
    pub checksum: Checksum,
}

/// A package that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Its name.
    pub name: String,
    /// How it changed.
    pub change: Change,
    /// As it was.
    pub from: PackageTold,
    /// As it is.
    pub to: PackageTold,
}

/// How a package changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// To an older version.
    Down,
    /// To a newer version.
    Up,
    /// The version is the same, the package is another.
    Rebuilt,
    /// It is the same package from another repository.
    Moved,
}

impl From<&LockedPackage> for PackageTold {
    fn from(package: &LockedPackage) -> PackageTold {
        PackageTold {
            name: package.name.clone(),
            version: package.version.to_string(),
            repository: package.repository.clone(),
            size: package.size,
            checksum: package.checksum,
        }
    }
}

impl Words {
    fn between(from: &[String], to: &[String]) -> Words {
        let not_in = |all: &[String], others: &[String]| -> Vec<String> {
            let new = all.iter().filter(|word| !others.contains(word));
            new.cloned().collect()
        };
        Words {
            added: not_in(to, from),
            removed: not_in(from, to),
        }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    fn rows(&self, rows: &mut Vec<Vec<String>>) {
        for (sign, words) in [('+', &self.added), ('-', &self.removed)] {
            rows.extend(words.iter().map(|word| vec![format!("  {sign} {word}")]));
        }
    }
}

impl Group {
    /// Compares by name: one version of each is installed.
    fn between(from: &[LockedPackage], to: &[LockedPackage]) -> Group {
        let mut before: BTreeMap<&str, &LockedPackage> =
            from.iter().map(|one| (one.name.as_str(), one)).collect();
        let after: BTreeMap<&str, &LockedPackage> =
            to.iter().map(|one| (one.name.as_str(), one)).collect();
        let order = |all: &[LockedPackage], others: &BTreeMap<&str, &LockedPackage>| {
            let names = all.iter().map(|one| one.name.clone());
            let both = names.filter(|name| others.contains_key(name.as_str()));
            both.collect::<Vec<_>>()
        };
        let mut group = Group {
            reordered: order(from, &after) != order(to, &before),
            ..Group::default()
        };
        for (name, to) in &after {
            match before.remove(name) {
                None => group.added.push((*to).into()),
                Some(from) if from == *to => group.kept += 1,
                Some(from) => group.changed.push(PackageChange {
                    name: (*name).to_owned(),
                    change: change(from, to),
                    from: from.into(),
                    to: (*to).into(),
                }),
            }
        }
        group.removed = before.into_values().map(Into::into).collect();
        group
    }

    fn is_empty(&self) -> bool {
        self.count() == 0 && !self.reordered
    }

    fn count(&self) -> usize {
        self.added.len() + self.removed.len() + self.changed.len()
    }

    /// Downgrades first, then what changed, came and went.
    fn rows(&self, rows: &mut Vec<Vec<String>>) {
        let mut changed: Vec<_> = self.changed.iter().collect();
        changed.sort_by_key(|one| one.change != Change::Down);
        for one in changed {
            let (from, to) = (&one.from, &one.to);
            let mut told = match one.change {
                Change::Up | Change::Down => format!("{} → {}", from.version, to.version),
                Change::Rebuilt => format!("{} rebuilt", to.version),
                Change::Moved => to.version.clone(),
            };
            if from.repository != to.repository {
                told.push_str(&format!(", from {} now", to.repository));
            }
            let mut row = vec![format!("  ~ {}", one.name), told];
            if one.change == Change::Down {
                row.push("DOWNGRADE".to_owned());
            }
            rows.push(row);
        }
        for (sign, packages) in [('+', &self.added), ('-', &self.removed)] {
            rows.extend(
                packages
                    .iter()
                    .map(|one| vec![format!("  {sign} {}", one.name), one.version.clone()]),
            );
        }
    }
}

fn change(from: &LockedPackage, to: &LockedPackage) -> Change {
    match to.version.cmp(&from.version) {
        Ordering::Greater => Change::Up,
        Ordering::Less => Change::Down,
        Ordering::Equal if from.checksum != to.checksum => Change::Rebuilt,
        Ordering::Equal => Change::Moved,
    }
}

fn texts(wishes: &[Dependency]) -> impl Iterator<Item = String> {
    wishes.iter().map(ToString::to_string)
}

/// As the profile writes them; those of the boot loader are called so.
fn words(wishes: &Wishes) -> Vec<String> {
    let optional = texts(&wishes.optional).map(|wish| wish + "?");
    let boot = texts(&wishes.boot).map(|wish| format!("{wish} (boot loader)"));
    texts(&wishes.required)
        .chain(optional)
        .chain(boot)
        .collect()
}

impl Changes {
    /// What differs from one lock to another.
    pub fn between(from: &Lock, to: &Lock) -> Changes {
        let repositories = |lock: &Lock| -> Vec<String> {
            let names = lock.repositories.iter().map(|one| one.name.clone());
            names.collect()
        };
        let left_out = |lock: &Lock| texts(&lock.left_out).collect::<Vec<_>>();
        Changes {
            wishes: Words::between(&words(&from.wishes), &words(&to.wishes)),
            repositories: Words::between(&repositories(from), &repositories(to)),
            left_out: Words::between(&left_out(from), &left_out(to)),
            image: Group::between(&from.image, &to.image),
            boot: Group::between(&from.boot, &to.boot),
        }
    }

    /// Whether nothing differs but, maybe, the order of repositories and dates of indexes.
    pub fn is_empty(&self) -> bool {
        self.wishes.is_empty()
            && self.repositories.is_empty()
            && self.left_out.is_empty()
            && self.image.is_empty()
            && self.boot.is_empty()
    }

    /// `3 packages changed, 1 added, 55 as they were`; those of the boot loader count too.
    pub fn summary(&self) -> String {
        let both = |count: fn(&Group) -> usize| count(&self.image) + count(&self.boot);
        let counts = [
            (both(|group| group.changed.len()), "changed"),
            (both(|group| group.added.len()), "added"),
            (both(|group| group.removed.len()), "removed"),
        ];
        let told = counts.iter().filter(|(count, _)| *count > 0);
        let told: Vec<_> = told
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let kept = match both(|group| group.kept) {
            1 => "1 as it was".to_owned(),
            kept => format!("{kept} as they were"),
        };
        match told.is_empty() {
            true => format!("no package changed, {kept}"),
            false => format!("{}, {kept}", told.join(", ")),
        }
    }

    /// All of it, by sections, below a line that says whose it is.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut section = |title: &str, rows: Vec<Vec<String>>| {
            if !rows.is_empty() {
                text.push_str(&format!("  {title}\n{}", table(&rows)));
            }
        };
        for (title, words) in [
            ("asked for", &self.wishes),
            ("repositories", &self.repositories),
            ("not to be had", &self.left_out),
        ] {
            let mut rows = Vec::new();
            words.rows(&mut rows);
            section(title, rows);
        }
        for (title, group) in [("packages", &self.image), ("boot loader", &self.boot)] {
            let mut rows = Vec::new();
            group.rows(&mut rows);
            if group.reordered {
                rows.push(vec!["  another order of installation".to_owned()]);
            }
            section(title, rows);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::testing::{lock, package, wishes};

    #[test]
    fn changes_are_told_as_people_read_them() {
        let from = lock(&[
            "app-1.0-r0",
            "bin-2-r0",
            "curl-8.0-r1",
            "down-3-r0",
            "lib-1-r0",
            "same-1-r0",
        ]);
        let mut to = lock(&[
            "app-1.0-r0",
            "curl-8.1-r0",
            "down-2-r0",
            "jq-1.6-r1",
            "lib-1-r0",
            "same-1-r0",
        ]);
        to.wishes.required = wishes(&["app", "jq"]);
        to.wishes.optional = wishes(&["none"]);
        to.left_out = wishes(&["none"]);
        to.image[4].checksum = package("lib-2-r0").checksum;
        to.boot = vec![package("grub-2.12-r0")];
        let changes = Changes::between(&from, &to);
        assert_eq!(
            changes.summary(),
            "4 changed, 1 added, 1 removed, 2 as they were"
        );
        assert_eq!(
            changes.to_text(),
            "  asked for\n  + jq\n  + none?\n\
             \u{20} not to be had\n  + none\n\
             \u{20} packages\n\
             \u{20} ~ down  3-r0 → 2-r0      DOWNGRADE\n\
             \u{20} ~ curl  8.0-r1 → 8.1-r0\n\
             \u{20} ~ lib   1-r0 rebuilt\n\
             \u{20} + jq    1.6-r1\n\
             \u{20} - bin   2-r0\n\
             \u{20} boot loader\n\
             \u{20} ~ grub  2.06-r0 → 2.12-r0\n"
        );
        assert!(!changes.is_empty());
        let json = serde_json::to_value(&changes).expect("JSON");
        assert_eq!(json["image"]["changed"][0]["change"], "up");
        assert_eq!(json["image"]["changed"][1]["change"], "down");
        assert_eq!(json["image"]["changed"][2]["change"], "rebuilt");
        assert_eq!(json["boot"]["changed"][0]["to"]["version"], "2.12-r0");
    }

    #[test]
    fn order_and_repositories_count_dates_do_not() {
        let from = lock(&["a-1", "b-1"]);
        let mut dated = from.clone();
        dated.repositories[0].index_date = None;
        let changes = Changes::between(&from, &dated);
        assert!(changes.is_empty() && changes.to_text().is_empty());
        assert_eq!(changes.summary(), "no package changed, 3 as they were");

        let mut reordered = from.clone();
        reordered.image.reverse();
        let changes = Changes::between(&from, &reordered);
        assert!(changes.image.reordered && !changes.is_empty());
        assert!(
            changes.to_text().contains("another order"),
            "{}",
            changes.to_text()
        );

        let mut moved = from.clone();
        moved.repositories[0].name = "v3.15/community".to_owned();
        for package in moved.image.iter_mut().chain(&mut moved.boot) {
            package.repository = "v3.15/community".to_owned();
        }
        let text = Changes::between(&from, &moved).to_text();
        assert!(
            text.contains("  + v3.15/community\n  - v3.15/main\n"),
            "{text}"
        );
        assert!(
            text.contains("  ~ a  1, from v3.15/community now\n"),
            "{text}"
        );
    }
}
