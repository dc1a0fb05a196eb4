//! Values of an image that are neither packages nor files: kernel, Alpine, firmware and so on.

use super::{About, Pair, Side, ValueChange};
use crate::apk::dependency::Dependency;
use crate::image::manifest::{Manifest, PackageInfo};
use crate::lock::Lock;

/// Values that say what an image is, in the order in which they are told.
pub const ABOUT: [&str; 7] = [
    "profile",
    "version",
    "alpine",
    "arch",
    "kernel",
    "firmware",
    "boot mode",
];

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its name.
    pub name: &'static str,
    /// The value.
    pub value: String,
}

/// A value, where there is one.
pub fn fact(name: &'static str, value: impl Into<String>) -> Fact {
    Fact {
        name,
        value: value.into(),
    }
}

/// What a manifest tells. Firmware is told in the order of its names, so that an image that has
/// no manifest can tell it the same way.
pub fn of_manifest(manifest: &Manifest) -> Vec<Fact> {
    let mut firmware: Vec<_> = manifest.firmware.iter().map(ToString::to_string).collect();
    firmware.sort();
    let boot: Vec<_> = manifest
        .boot_packages
        .iter()
        .map(name_and_version)
        .collect();
    // Names alone would not tell of a check that now asks for something else.
    let checks = serde_json::to_string(&manifest.checks).expect("checks are JSON");
    vec![
        fact("profile", &manifest.profile),
        fact("version", &manifest.version),
        fact("alpine", &manifest.alpine),
        fact("arch", manifest.arch.to_string()),
        fact("firmware", firmware.join(", ")),
        fact("kernel", &manifest.kernel.release),
        fact(
            "kernel command line",
            without_root(&manifest.kernel.cmdline),
        ),
        fact(
            "initramfs",
            if manifest.kernel.initramfs {
                "yes"
            } else {
                "no"
            },
        ),
        fact("boot loader packages", boot.join(", ")),
        fact("packages left out", manifest.left_out.join(", ")),
        fact("root label", &manifest.root.label),
        fact("checks", checks),
        fact("built by", &manifest.tool),
    ]
}

/// What a lock tells, under the names that a manifest's have.
pub fn of_lock(lock: &Lock) -> Vec<Fact> {
    let boot = lock.boot.iter();
    let boot: Vec<_> = boot
        .map(|package| format!("{} {}", package.name, package.version))
        .collect();
    let texts =
        |wishes: &[Dependency]| -> Vec<String> { wishes.iter().map(ToString::to_string).collect() };
    let names = lock.repositories.iter();
    let names: Vec<_> = names.map(|one| one.name.as_str()).collect();
    // `v3.15/main`: a repository of a mirror says which release it is of.
    let release = names.iter().find_map(|name| {
        let (release, _) = name.strip_prefix('v')?.split_once('/')?;
        Some(release.to_owned())
    });
    let mut facts = vec![
        fact("profile", &lock.profile),
        fact("arch", lock.arch.to_string()),
        fact("asked for", texts(&lock.wishes.required).join(", ")),
        fact(
            "asked for where it is there",
            texts(&lock.wishes.optional).join(", "),
        ),
        fact("boot loader packages", boot.join(", ")),
        fact("packages left out", texts(&lock.left_out).join(", ")),
        fact("repositories", names.join(", ")),
    ];
    facts.extend(release.map(|release| fact("alpine", release)));
    facts
}

fn name_and_version(package: &PackageInfo) -> String {
    format!("{} {}", package.name, package.version)
}

/// The command line without the root's UUID, which is another in every build that differs at all.
fn without_root(cmdline: &str) -> String {
    let words = cmdline.split_whitespace();
    words
        .filter(|word| !word.starts_with("root="))
        .collect::<Vec<_>>()
        .join(" ")
}

/// What differs among the values that both sides tell, in the order of the first.
pub fn changes(from: &[Fact], to: &[Fact]) -> Vec<ValueChange> {
    let change = |before: &Fact| {
        let after = to.iter().find(|after| after.name == before.name)?;
        (before.value != after.value).then(|| ValueChange {
            name: before.name.to_owned(),
            change: Pair {
                from: before.value.clone(),
                to: after.value.clone(),
            },
        })
    };
    from.iter().filter_map(change).collect()
}

/// What two sides are: the release and the values of [`ABOUT`], where one of them tells.
pub fn about(from: &Side, to: &Side) -> Vec<About> {
    let value = |side: &Side, name| {
        let fact = side.facts.iter().find(|fact| fact.name == name)?;
        Some(fact.value.clone())
    };
    let release = |side: &Side| side.release.as_ref().map(ToString::to_string);
    let mut all = vec![About {
        name: "release",
        from: release(from),
        to: release(to),
    }];
    all.extend(ABOUT.map(|name| About {
        name,
        from: value(from, name),
        to: value(to, name),
    }));
    all.retain(|about| about.from.is_some() || about.to.is_some());
    all
}
