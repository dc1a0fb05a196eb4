//! What a release has that the one before it had not, in one line.

use crate::diff::packages::{Change, Package, compare};
use crate::image::manifest::Manifest;

/// What changed from one image to another; nothing if no package and no kernel did.
pub(super) fn in_a_line(before: &Manifest, after: &Manifest) -> Option<String> {
    let packages = |manifest: &Manifest| -> Vec<Package> {
        manifest.packages.iter().map(Package::from).collect()
    };
    let found = compare(&packages(before), &packages(after));
    let counts = [
        (found.count(Change::Up), "upgraded"),
        (found.count(Change::Down), "downgraded"),
        (found.count(Change::Rebuilt), "rebuilt"),
        (found.added.len(), "added"),
        (found.removed.len(), "removed"),
    ];
    let told = counts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, how)| format!("{count} {how}")).collect();
    let (from, to) = (&before.kernel.release, &after.kernel.release);
    let kernel = (from != to).then(|| format!("Linux {from} → {to}"));
    let parts: Vec<String> = [told.join(", ")]
        .into_iter()
        .filter(|part| !part.is_empty())
        .chain(kernel)
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
