//! Locks for tests.

use super::{Lock, LockedPackage, LockedRepository, Wishes};
use crate::apk::dependency::Dependency;
use crate::apk::index::Checksum;
use crate::arch::Arch;

pub fn wishes(words: &[&str]) -> Vec<Dependency> {
    let parse = |word: &&str| word.parse().expect("a wish");
    words.iter().map(parse).collect()
}

/// `name-version`, whose checksum is another one for every text.
pub fn package(id: &str) -> LockedPackage {
    let (name, version) = id.split_once('-').expect("name and version");
    let digest = crate::digest::sha256(id.as_bytes());
    let mut sum = [0; 20];
    sum.copy_from_slice(&digest.as_bytes()[..20]);
    LockedPackage {
        name: name.to_owned(),
        version: version.parse().expect("a version"),
        arch: "x86_64".to_owned(),
        repository: "v3.15/main".to_owned(),
        size: 1000,
        checksum: Checksum::Sha1(sum),
    }
}

/// A lock of these packages, of which the first is asked for.
pub fn lock(packages: &[&str]) -> Lock {
    let names = packages.iter().take(1);
    let names: Vec<_> = names.filter_map(|id| id.split('-').next()).collect();
    Lock {
        profile: "base".to_owned(),
        arch: Arch::X86_64,
        wishes: Wishes {
            required: wishes(&names),
            ..Wishes::default()
        },
        repositories: vec![LockedRepository {
            name: "v3.15/main".to_owned(),
            index_date: time::OffsetDateTime::from_unix_timestamp(1_718_724_962).ok(),
        }],
        image: packages.iter().map(|id| package(id)).collect(),
        left_out: Vec::new(),
        boot: vec![package("grub-2.06-r0")],
    }
}
