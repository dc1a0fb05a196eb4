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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An image with these packages, as `name version`.
    fn image(kernel: &str, packages: &[&str]) -> Manifest {
        let package = |text: &&str| {
            let (name, version) = text.split_once(' ').expect("two words");
            json!({ "name": name, "version": version, "arch": "x86_64", "checksum": text,
                "repository": "main", "size": 1, "installed_size": 1, "license": "MIT" })
        };
        let packages: Vec<_> = packages.iter().map(package).collect();
        let manifest = json!({
            "schema": 1, "tool": "tests", "profile": "base", "version": "3.15", "alpine": "3.15.0",
            "arch": "x86_64", "firmware": ["bios"], "plan_digest": "", "packages_digest": "",
            "source_date_epoch": 0, "image": { "file": "image.raw", "size": 1, "sha256": "" },
            "root": { "uuid": "", "label": "root", "capacity": 1, "used": 1 },
            "kernel": { "release": kernel, "cmdline": "", "initramfs": false },
            "packages": packages, "boot_packages": [], "left_out": [], "checks": {},
        });
        serde_json::from_value(manifest).expect("a manifest")
    }

    #[test]
    fn changes_are_told_in_a_line() {
        let before = image("5.15.1", &["musl 1.2-r0", "busybox 1.34-r1", "monit 5-r0"]);
        let after = image("5.15.2", &["musl 1.2-r1", "busybox 1.33-r0", "chrony 4-r0"]);
        assert_eq!(
            in_a_line(&before, &after).as_deref(),
            Some("1 upgraded, 1 downgraded, 1 added, 1 removed; Linux 5.15.1 → 5.15.2")
        );
        assert_eq!(in_a_line(&before, &before), None);
        let kernel = image("5.15.2", &["musl 1.2-r0", "busybox 1.34-r1", "monit 5-r0"]);
        let told = in_a_line(&before, &kernel);
        assert_eq!(told.as_deref(), Some("Linux 5.15.1 → 5.15.2"));
    }
}
