//! Reading a snapshot back.

use std::fs::File;
use std::sync::Arc;

use tokio::task::{JoinSet, spawn_blocking};

use super::pace::{Pace, Pass};
use super::{PUTS_PER_SECOND, UploadError};
use crate::aws::ebs::{Block, Ebs, Listed};
use crate::aws::{AwsError, SnapshotId};
use crate::blocks::digests::{BLOCK, BLOCKS_PER_GIB, BlockDigests, of_zeros};
use crate::image::sparse::Region as Sparse;
use crate::publish::progress::Progress;

/// Blocks under way at once: 48 MiB.
const MOST_UNDER_WAY: u32 = 96;
/// GetSnapshotBlock's quota is that of PutSnapshotBlock.
const GETS_PER_SECOND: u32 = PUTS_PER_SECOND;
/// So many differing blocks are named.
const NAMED: usize = 10;

/// What the comparison of a snapshot with digests came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Blocks that were compared.
    pub blocks: u32,
    /// How many differ.
    pub differing: u32,
    /// The first of them.
    pub first: Vec<u32>,
}

impl Verified {
    /// Whether the snapshot is what it should be.
    pub fn is_equal(&self) -> bool {
        self.differing == 0
    }
}

/// Compares every block of a completed snapshot with its digest. A block that the snapshot does not
/// have counts as zeros where `absent_is_zero`; of an encrypted snapshot it would be read as random
/// data, and so it differs.
///
/// # Errors
/// A call failed.
pub async fn verify(
    ebs: &Ebs,
    snapshot: &SnapshotId,
    expected: &BlockDigests,
    absent_is_zero: bool,
    progress: &Progress,
) -> Result<Verified, UploadError> {
    let listed = list(ebs, snapshot).await?;
    let total = listed.blocks.len() as u64 * BLOCK as u64;
    progress.begin(format!("reading back {snapshot}"), total);
    let digests = expected.clone();
    let mut found = vec![absent_is_zero.then(of_zeros); listed.volume_blocks()];
    let read = each(ebs, snapshot, listed.blocks, progress, |block, read| {
        Ok((block, read.sha256))
    });
    for (block, digest) in read.await? {
        if let Some(place) = found.get_mut(block as usize) {
            *place = Some(digest);
        }
    }
    progress.end();
    Ok(compare(&found, &digests))
}

/// Reads a completed snapshot into a file of the volume's size; zeros stay holes.
///
/// # Errors
/// A call failed, or the file cannot be written.
pub async fn download(
    ebs: &Ebs,
    snapshot: &SnapshotId,
    file: &Arc<File>,
    progress: &Progress,
) -> Result<(), UploadError> {
    let listed = list(ebs, snapshot).await?;
    let size = listed.volume_blocks() as u64 * BLOCK as u64;
    let unwritten = |block| {
        let (snapshot, region) = (snapshot.clone(), ebs.region().clone());
        move |source| UploadError::Write {
            block,
            snapshot,
            region,
            source,
        }
    };
    // What was there before must not show through the holes.
    let emptied = file.set_len(0).and_then(|()| file.set_len(size));
    emptied.map_err(unwritten(0))?;
    progress.begin(
        format!("reading {snapshot}"),
        listed.blocks.len() as u64 * BLOCK as u64,
    );
    let (to, name, region) = (Arc::clone(file), snapshot.clone(), ebs.region().clone());
    each(
        ebs,
        snapshot,
        listed.blocks,
        progress,
        move |block, read| {
            let at = u64::from(block) * BLOCK as u64;
            let written = Sparse::new(&to, 0, size).write_at(at, &read.bytes);
            written.map_err(|source| UploadError::Write {
                block,
                snapshot: name.clone(),
                region: region.clone(),
                source,
            })
        },
    )
    .await?;
    progress.end();
    Ok(())
}

/// What is found beside what is expected: every block that only one has differs.
fn compare(found: &[Option<[u8; 32]>], expected: &BlockDigests) -> Verified {
    let count = found.len().max(expected.0.len());
    let differing: Vec<u32> = (0..count)
        .filter(|block| found.get(*block).copied().flatten() != expected.0.get(*block).copied())
        .map(|block| block as u32)
        .collect();
    Verified {
        blocks: count as u32,
        differing: differing.len() as u32,
        first: differing.into_iter().take(NAMED).collect(),
    }
}

/// The blocks that a snapshot has.
struct Contents {
    blocks: Vec<Listed>,
    volume_gib: u32,
}

impl Contents {
    fn volume_blocks(&self) -> usize {
        self.volume_gib as usize * BLOCKS_PER_GIB as usize
    }
}

async fn list(ebs: &Ebs, snapshot: &SnapshotId) -> Result<Contents, AwsError> {
    let mut contents = Contents {
        blocks: Vec::new(),
        volume_gib: 0,
    };
    let mut page = None;
    loop {
        let answer = ebs.list_blocks(snapshot, page.as_deref()).await?;
        contents.blocks.extend(answer.blocks);
        contents.volume_gib = contents.volume_gib.max(answer.volume_gib);
        // An empty page may be followed by others.
        match answer.next {
            Some(next) => page = Some(next),
            None => return Ok(contents),
        }
    }
}

/// Reads blocks and does something with each, on a thread that may block.
async fn each<T: Send + 'static>(
    ebs: &Ebs,
    snapshot: &SnapshotId,
    blocks: Vec<Listed>,
    progress: &Progress,
    act: impl Fn(u32, Block) -> Result<T, UploadError> + Send + Sync + 'static,
) -> Result<Vec<T>, UploadError> {
    let (pace, act) = (
        Pace::new(MOST_UNDER_WAY, Some(GETS_PER_SECOND)),
        Arc::new(act),
    );
    let mut tasks = JoinSet::new();
    let mut results = Vec::with_capacity(blocks.len());
    for block in blocks {
        let pass = pace.next().await;
        while let Some(ended) = tasks.try_join_next() {
            results.push(ended_with(ended)?);
        }
        let (ebs, snapshot) = (ebs.clone(), snapshot.clone());
        let (act, progress) = (Arc::clone(&act), progress.clone());
        tasks.spawn(async move {
            let read = get(&ebs, &snapshot, &block, &progress, &pass).await?;
            let acted = spawn_blocking(move || act(block.index, read));
            let result = ended_with(acted.await)?;
            progress.advance(BLOCK as u64);
            pass.went_well();
            Ok(result)
        });
    }
    while let Some(ended) = tasks.join_next().await {
        results.push(ended_with(ended)?);
    }
    Ok(results)
}

async fn get(
    ebs: &Ebs,
    snapshot: &SnapshotId,
    block: &Listed,
    progress: &Progress,
    pass: &Pass,
) -> Result<Block, AwsError> {
    let progress = progress.clone();
    let watch = pass.watch(move || progress.throttled());
    ebs.get_block(snapshot, block, watch).await
}

fn ended_with<T>(
    ended: Result<Result<T, UploadError>, tokio::task::JoinError>,
) -> Result<T, UploadError> {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_only_one_has_differ() {
        let (a, b) = ([1; 32], [2; 32]);
        let expected = BlockDigests(vec![a, b, a]);
        for (found, first) in [
            (vec![Some(a), Some(b), Some(a)], vec![]),
            (vec![Some(a), None, Some(a)], vec![1]),
            (vec![Some(b), Some(b)], vec![0, 2]),
            (vec![Some(a), Some(b), Some(a), Some(a)], vec![3]),
            (vec![Some(a), Some(b), Some(a), None], vec![]),
        ] {
            let verified = compare(&found, &expected);
            assert_eq!(verified.first, first, "{found:?}");
            assert_eq!(verified.is_equal(), first.is_empty());
        }
        let many = compare(&vec![None; 30], &BlockDigests(vec![a; 30]));
        assert_eq!((many.blocks, many.differing), (30, 30));
        assert_eq!(many.first, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
