//! How much larger an image has become, and through which packages.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{Package, Pair, Side};

/// How sizes changed, in bytes; nothing where a side does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SizesDifference {
    /// Length of the image file.
    pub image: Option<Pair<u64>>,
    /// In use in the root file system.
    pub used: Option<Pair<u64>>,
    /// What all packages take once installed, as they say.
    pub packages: Option<Pair<u64>>,
    /// Packages whose installed size changed, the largest growth first.
    pub growth: Vec<Growth>,
}

/// A package that has become larger or smaller; one that came or went counts whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Growth {
    /// The package.
    pub package: String,
    /// By how many bytes it grew.
    pub bytes: i64,
}

impl SizesDifference {
    /// Whether any size that is known of both differs.
    pub fn differ(&self) -> bool {
        let differ =
            |pair: &Option<Pair<u64>>| pair.as_ref().is_some_and(|pair| pair.from != pair.to);
        differ(&self.image) || differ(&self.used) || differ(&self.packages)
    }
}

/// By how much `to` is more than `from`.
pub fn delta(from: u64, to: u64) -> i64 {
    i64::try_from(i128::from(to) - i128::from(from)).unwrap_or(if to > from {
        i64::MAX
    } else {
        i64::MIN
    })
}

/// Compares sizes.
pub fn compare(from: &Side, to: &Side) -> SizesDifference {
    let both = |from: Option<u64>, to: Option<u64>| {
        Some(Pair {
            from: from?,
            to: to?,
        })
    };
    let packages = from.packages.as_ref().zip(to.packages.as_ref());
    SizesDifference {
        image: both(from.image_size, to.image_size),
        used: both(from.used, to.used),
        packages: packages.map(|(from, to)| Pair {
            from: total(from),
            to: total(to),
        }),
        growth: packages.map_or_else(Vec::new, |(from, to)| growth(from, to)),
    }
}

fn total(packages: &[Package]) -> u64 {
    packages
        .iter()
        .fold(0, |sum, package| sum.saturating_add(package.installed_size))
}

fn growth(from: &[Package], to: &[Package]) -> Vec<Growth> {
    let mut sizes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for package in from {
        sizes.entry(&package.name).or_default().0 = package.installed_size;
    }
    for package in to {
        sizes.entry(&package.name).or_default().1 = package.installed_size;
    }
    let changed = sizes.into_iter().filter(|(_, (from, to))| from != to);
    let mut growth: Vec<_> = changed
        .map(|(name, (from, to))| Growth {
            package: name.to_owned(),
            bytes: delta(from, to),
        })
        .collect();
    growth.sort_by_key(|growth| Reverse(growth.bytes));
    growth
}
