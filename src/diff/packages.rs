//! Packages that were added, removed or changed.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::apk::version::Version;
use crate::image::manifest::PackageInfo;
use crate::lock::LockedPackage;

/// A package of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub arch: String,
    /// Its checksum in apk's form.
    pub checksum: String,
    /// Bytes of its file.
    pub size: u64,
    /// Bytes that it takes once installed.
    pub installed_size: u64,
    /// Its licence.
    pub license: String,
    /// The source package that it is built from, where that is called otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl Package {
    /// The source package that it is built from.
    pub fn origin(&self) -> &str {
        self.origin.as_deref().unwrap_or(&self.name)
    }

    /// Whether nothing differs; manifests tell the origin only since later.
    fn is_same(&self, other: &Package) -> bool {
        let told = |package: &Package| Package {
            origin: None,
            ..package.clone()
        };
        told(self) == told(other)
    }
}

impl From<&PackageInfo> for Package {
    fn from(info: &PackageInfo) -> Package {
        Package {
            name: info.name.clone(),
            version: info.version.clone(),
            arch: info.arch.clone(),
            checksum: info.checksum.clone(),
            size: info.size,
            installed_size: info.installed_size,
            license: info.license.clone(),
            origin: info.origin.clone(),
        }
    }
}

/// What a lock leaves to the packages themselves is empty.
impl From<&LockedPackage> for Package {
    fn from(locked: &LockedPackage) -> Package {
        Package {
            name: locked.name.clone(),
            version: locked.version.to_string(),
            arch: locked.arch.clone(),
            checksum: locked.checksum.to_string(),
            size: locked.size,
            installed_size: 0,
            license: String::new(),
            origin: None,
        }
    }
}

/// What differs among packages, each list sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PackagesDifference {
    /// Only in the second image.
    pub added: Vec<Package>,
    /// Only in the first.
    pub removed: Vec<Package>,
    /// In both, but not the same.
    pub changed: Vec<PackageChange>,
}

/// A package that is not the same in both images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Its name.
    pub name: String,
    /// How it changed.
    pub change: Change,
    /// As it is in the first image.
    pub from: Package,
    /// As it is in the second.
    pub to: Package,
}

/// How a package changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// To a newer version.
    Up,
    /// To an older version.
    Down,
    /// The version is the same, the checksum is not.
    Rebuilt,
    /// Neither; the licence, say, or a version that is no version of apk's.
    Other,
}

impl PackagesDifference {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// How many changed in this way.
    pub fn count(&self, change: Change) -> usize {
        self.changed
            .iter()
            .filter(|package| package.change == change)
            .count()
    }
}

impl PackageChange {
    /// Whether its licence is another.
    pub fn license_changed(&self) -> bool {
        self.from.license != self.to.license
    }
}

/// Compares packages by name: apk installs one version of each.
pub fn compare(from: &[Package], to: &[Package]) -> PackagesDifference {
    let mut before: BTreeMap<&str, &Package> = from.iter().map(|p| (p.name.as_str(), p)).collect();
    let after: BTreeMap<&str, &Package> = to.iter().map(|p| (p.name.as_str(), p)).collect();
    let mut difference = PackagesDifference::default();
    for (name, to) in after {
        match before.remove(name) {
            None => difference.added.push(to.clone()),
            Some(from) if from.is_same(to) => {}
            Some(from) => difference.changed.push(PackageChange {
                name: name.to_owned(),
                change: change(from, to),
                from: from.clone(),
                to: to.clone(),
            }),
        }
    }
    difference.removed = before.into_values().cloned().collect();
    difference
}

fn change(from: &Package, to: &Package) -> Change {
    let versions = (Version::parse(&from.version), Version::parse(&to.version));
    let order = match &versions {
        (Ok(from), Ok(to)) => Some(to.cmp(from)),
        _ if from.version == to.version => Some(Ordering::Equal),
        _ => None,
    };
    match order {
        Some(Ordering::Greater) => Change::Up,
        Some(Ordering::Less) => Change::Down,
        Some(Ordering::Equal) if from.checksum != to.checksum => Change::Rebuilt,
        _ => Change::Other,
    }
}
