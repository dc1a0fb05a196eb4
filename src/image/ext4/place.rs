//! Where the files of a root file system lie: at places that do not move when other files change.
//!
//! A snapshot is paid for, copied and sent by its blocks of 512 KiB that differ from the one before. If
//! files were laid end to end, one byte more in the first would move all the others. So:
//!
//! 1. The files of a package lie together, in the order of their names. Files of no package (what the
//!    profile brings, apk's database) belong together by the first folder of their path.
//! 2. Such a group begins at a 512 KiB block that its name alone decides: its *home*, the SHA-256 of the
//!    name modulo the number of blocks. Groups of less than half a block share one of [`BINS`] homes, in
//!    the order of their names, each bin a group of its own.
//! 3. Where the home is taken, the next place that is free is taken, from the end on to the beginning.
//!    Large groups choose first, by powers of two, so that a byte more does not change the order.
//!
//! A disk has far more blocks than its files need, so few groups are not at home. Where no place is left
//! for one in one piece, the disk is nearly full, and there is nothing to be kept apart.

use std::collections::BTreeMap;
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::BLOCK_SIZE;

/// Blocks of a file system in one block of a snapshot: 512 KiB, EBS's block
/// (<https://docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html>).
pub(super) const CHUNK: u64 = (512 << 10) / BLOCK_SIZE;
/// How many homes small groups share. Each costs half a block of a snapshot, and each update of a small
/// package at most one.
const BINS: u64 = 16;

/// A file that needs a place.
#[derive(Debug, Clone)]
pub(super) struct Resident {
    /// The name of its group.
    pub group: String,
    /// Its size, in blocks of the file system.
    pub blocks: u64,
}

/// The blocks of a file system, and which of them are in use.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    used: Vec<bool>,
}

impl Blocks {
    /// So many blocks, none of them in use.
    pub fn new(count: u64) -> Blocks {
        Blocks {
            used: vec![false; count as usize],
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.used.len() as u64
    }

    /// Whether that block is in use.
    pub fn is_used(&self, block: u64) -> bool {
        self.used[block as usize]
    }

    /// Says of these blocks whether they are in use.
    pub fn set(&mut self, blocks: Range<u64>, used: bool) {
        self.used[blocks.start as usize..blocks.end as usize].fill(used);
    }

    /// The first place for so many blocks in one piece that begins at a chunk, at `home` or behind it.
    fn room(&self, chunks: Range<u64>, blocks: u64) -> Option<u64> {
        let mut chunk = chunks.start;
        while chunk < chunks.end {
            let start = chunk * CHUNK;
            let wanted = self.used.get(start as usize..(start + blocks) as usize)?;
            match wanted.iter().rposition(|used| *used) {
                None => return Some(start),
                Some(last) => chunk = (start + last as u64) / CHUNK + 1,
            }
        }
        None
    }
}

/// The first block of each file, in their order, among those of `blocks` that are not in use; nothing
/// where a group finds no place in one piece.
pub(super) fn place(files: &[Resident], mut blocks: Blocks) -> Option<Vec<u64>> {
    let mut starts = vec![0; files.len()];
    let chunks = blocks.count() / CHUNK;
    for group in homes(files) {
        let home = hash(&group.name) % chunks.max(1);
        let start = blocks
            .room(home..chunks, group.blocks)
            .or_else(|| blocks.room(0..home, group.blocks))?;
        blocks.set(start..start + group.blocks, true);
        let mut next = start;
        for file in group.files {
            starts[file] = next;
            next += files[file].blocks;
        }
    }
    Some(starts)
}

/// Files that have one home.
struct Household {
    name: String,
    files: Vec<usize>,
    blocks: u64,
}

/// Groups and bins, in the order in which they choose.
fn homes(files: &[Resident]) -> Vec<Household> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        groups.entry(&file.group).or_default().push(index);
    }
    let mut homes: BTreeMap<String, Household> = BTreeMap::new();
    for (name, members) in groups {
        let blocks: u64 = members.iter().map(|file| files[*file].blocks).sum();
        let name = match blocks < CHUNK / 2 {
            // No package and no folder is called that.
            true => format!("bin {}", hash(name) % BINS),
            false => name.to_owned(),
        };
        let home = homes.entry(name.clone()).or_insert_with(|| Household {
            name,
            files: Vec::new(),
            blocks: 0,
        });
        home.files.extend(members);
        home.blocks += blocks;
    }
    let mut homes: Vec<_> = homes.into_values().collect();
    homes.sort_by_cached_key(|home| {
        let class = home.blocks.next_power_of_two();
        (
            std::cmp::Reverse(class),
            hash(&home.name),
            home.name.clone(),
        )
    });
    homes
}

/// The number that a name comes to.
fn hash(name: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(name).into();
    let (first, _) = digest.split_at(8);
    first
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident(group: &str, blocks: u64) -> Resident {
        Resident {
            group: group.to_owned(),
            blocks,
        }
    }

    fn sample() -> Vec<Resident> {
        let many = (0..60).map(|number| resident(&format!("package-{number}"), 1 + number * 7));
        many.chain([resident("package-40", 300)]).collect()
    }

    #[test]
    fn no_two_share_a_block_and_what_is_used_stays() {
        let files = sample();
        let mut blocks = Blocks::new(40_000);
        blocks.set(0..5000, true);
        blocks.set(32_768..32_770, true);
        let starts = place(&files, blocks.clone()).expect("there is room");
        for (file, start) in files.iter().zip(&starts) {
            for block in *start..start + file.blocks {
                assert!(!blocks.is_used(block), "{block}");
                blocks.set(block..block + 1, true);
            }
        }
        let (one, other) = (starts[40], starts[60]);
        assert_eq!(other, one + files[40].blocks, "a package lies together");
    }

    #[test]
    fn what_does_not_change_does_not_move() {
        let files = sample();
        let before = place(&files, Blocks::new(400_000)).expect("there is room");
        let mut grown = files.clone();
        grown[5].blocks += 1;
        grown[50].blocks += 130;
        grown.remove(30);
        let after = place(&grown, Blocks::new(400_000)).expect("there is room");
        let mut kept = before.clone();
        kept.remove(30);
        let moved = kept.iter().zip(&after).filter(|(one, other)| one != other);
        // Those behind the grown one in its bin, and no others.
        let moved: Vec<_> = moved.collect();
        assert!(moved.len() <= 4, "{moved:?}");
    }

    #[test]
    fn a_disk_without_a_place_has_none() {
        let mut blocks = Blocks::new(10 * CHUNK);
        assert!(place(&[resident("one", 10 * CHUNK)], blocks.clone()).is_some());
        blocks.set(5 * CHUNK..5 * CHUNK + 1, true);
        assert!(place(&[resident("one", 6 * CHUNK)], blocks.clone()).is_none());
        assert!(place(&[resident("one", 5 * CHUNK)], blocks).is_some());
        assert!(place(&[resident("one", 1)], Blocks::new(5)).is_none());
        assert_eq!(place(&[], Blocks::new(5)), Some(vec![]));
    }
}
