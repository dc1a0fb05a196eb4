//! The blocks of an image: their digests, found in one pass over the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use rustix::fs::SeekFrom;
use sha2::{Digest as _, Sha256};

use crate::{digest, interrupt};

pub mod digests;

use digests::{BLOCK, BLOCKS_PER_GIB, BlockDigest, BlockDigests, linear, of_zeros};

/// Blocks that lie in memory for each thread that hashes.
const AHEAD: usize = 4;

/// What a pass over an image found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The digest of every block of the image; the last one's as if zeros followed.
    pub blocks: BlockDigests,
    /// SHA-256 of the whole file, in hexadecimal.
    pub sha256: String,
    /// Its length, in bytes.
    pub size: u64,
}

/// Reads an image once: blocks are hashed on all processors, the whole file on one. Holes are
/// neither read nor hashed as blocks; of the whole file they are a part like any other.
///
/// Takes a few MiB of memory, whatever the image's size.
///
/// # Errors
/// The file cannot be read, or became shorter meanwhile; or Ctrl-C came
/// ([`io::ErrorKind::Interrupted`]).
pub fn scan(file: &File) -> io::Result<Scan> {
    let mut whole = Sha256::new();
    let (blocks, size) = pass(file, &interrupt::raised, |bytes| whole.update(bytes))?;
    Ok(Scan {
        blocks,
        sha256: digest::hex(&whole.finalize()),
        size,
    })
}

/// The digests of an image's blocks alone. Of a [`scan`] the digest of the whole file takes most of
/// the time: no second processor can help with it, and holes are hashed as well.
///
/// # Errors
/// The file cannot be read, or became shorter meanwhile; or Ctrl-C came
/// ([`io::ErrorKind::Interrupted`]).
pub fn digests(file: &File) -> io::Result<BlockDigests> {
    Ok(pass(file, &interrupt::raised, |_| ())?.0)
}

/// SHA-256 over the digest of the whole file and those of its blocks, in order, in hexadecimal: it
/// holds the two together, so that comparing it with [`digests`] says that both are still those
/// that were written down. `None` if `sha256` is no digest.
pub fn bound(sha256: &str, blocks: &BlockDigests) -> Option<String> {
    let whole = digests::parse(sha256)?;
    let all = std::iter::once(&whole).chain(&blocks.0);
    Some(digest::hex(&linear(all)))
}

/// The digests of a volume of so many GiB that begins with these blocks and goes on with zeros.
/// `None` if they are more than it has.
pub fn on_volume(blocks: &BlockDigests, gib: u32) -> Option<BlockDigests> {
    let count = (gib as usize).checked_mul(BLOCKS_PER_GIB as usize)?;
    let missing = count.checked_sub(blocks.0.len())?;
    let mut all = blocks.0.clone();
    all.extend(std::iter::repeat_n(of_zeros(), missing));
    Some(BlockDigests(all))
}

/// A block of zeros, in memory once.
pub fn zeros() -> Bytes {
    static ZEROS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; BLOCK]));
    ZEROS.clone()
}

/// Reads a block of an image of that length; zeros follow the image's end. `block` holds
/// [`BLOCK`] bytes.
///
/// # Errors
/// The file cannot be read, or is shorter.
pub fn read(file: &File, size: u64, index: u32, block: &mut [u8]) -> io::Result<()> {
    let start = u64::from(index) * BLOCK as u64;
    // What is left of the image, which is less than a block where it is cast.
    let there = size.saturating_sub(start).min(BLOCK as u64) as usize;
    let (image, rest) = block.split_at_mut(there);
    rest.fill(0);
    file.read_exact_at(image, start)
}

/// A block on its way to be hashed.
type Filled = (usize, Vec<u8>);

/// Goes through the file in order, and tells `each` its bytes. Ends when `is_stopped` says so:
/// nobody can drop a thread that reads.
fn pass(
    file: &File,
    is_stopped: &dyn Fn() -> bool,
    mut each: impl FnMut(&[u8]),
) -> io::Result<(BlockDigests, u64)> {
    let size = file.metadata()?.len();
    let count = usize::try_from(size.div_ceil(BLOCK as u64)).map_err(io::Error::other)?;
    // This thread reads, and hashes the whole; the others hash blocks.
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().max(2) - 1);
    let digests = Mutex::new(vec![of_zeros(); count]);
    let (to_hash, filled) = sync_channel::<Filled>(threads * AHEAD);
    let (to_fill, empty) = sync_channel::<Vec<u8>>(threads * AHEAD);
    for _ in 0..threads * AHEAD {
        // There is room for all of them, and the other end is here.
        let _ = to_fill.send(vec![0; BLOCK]);
    }
    let filled = Mutex::new(filled);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (filled, digests, to_fill) = (&filled, &digests, to_fill.clone());
            scope.spawn(move || hash(filled, digests, &to_fill));
        }
        let fed = feed(file, size, &to_hash, &empty, &mut |bytes| {
            if is_stopped() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
            }
            each(bytes);
            Ok(())
        });
        // This is how the threads learn that no more comes.
        drop(to_hash);
        fed
    })?;
    let digests = digests.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((BlockDigests(digests), size))
}

/// Reads the blocks that hold data.
fn feed(
    file: &File,
    size: u64,
    to_hash: &SyncSender<Filled>,
    empty: &Receiver<Vec<u8>>,
    each: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let zeros = zeros();
    let mut data = 0;
    for index in 0..size.div_ceil(BLOCK as u64) {
        let start = index * BLOCK as u64;
        let length = (size - start).min(BLOCK as u64);
        if data < start {
            data = next_data(file, start)?.unwrap_or(size);
        }
        if data >= start + length {
            each(&zeros[..length as usize])?;
            continue;
        }
        // The threads give back what they got until this function ends.
        let mut block = empty.recv().map_err(io::Error::other)?;
        read(file, size, index as u32, &mut block)?;
        each(&block[..length as usize])?;
        to_hash
            .send((index as usize, block))
            .map_err(io::Error::other)?;
    }
    Ok(())
}

/// Where data begins, at `from` or behind it; `None` if a hole goes up to the end.
fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Hashes blocks until no more come.
fn hash(
    filled: &Mutex<Receiver<Filled>>,
    digests: &Mutex<Vec<BlockDigest>>,
    to_fill: &SyncSender<Vec<u8>>,
) {
    let zeros = zeros();
    loop {
        let next = filled.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((index, block)) = next else { return };
        // Mostly the first bytes tell them apart.
        if block != zeros {
            let digest = Sha256::digest(&block).into();
            digests.lock().unwrap_or_else(PoisonError::into_inner)[index] = digest;
        }
        // Nobody takes it if the file could not be read.
        let _ = to_fill.send(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(pieces: &[(u64, &[u8])], size: u64) -> File {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(size).expect("a length");
        for (at, bytes) in pieces {
            file.write_all_at(bytes, *at).expect("written");
        }
        file
    }

    #[test]
    fn a_scan_finds_what_reading_everything_finds() {
        let block = BLOCK as u64;
        let pattern: Vec<u8> = (0..3 * BLOCK).map(|at| (at * 7 + at / 251) as u8).collect();
        let zeros = vec![0; BLOCK];
        for (pieces, size) in [
            (vec![], 0),
            (vec![], 1),
            (vec![(0, &b"x"[..])], 1),
            (vec![], 9 * block),
            (vec![(block - 1, &b"ab"[..])], 2 * block),
            (vec![(5 * block + 17, &pattern[..])], 40 * block + 3),
            // Written, and yet zeros; and data up to the very end.
            (
                vec![
                    (block, &zeros[..]),
                    (3 * block, b"y"),
                    (7 * block + 4, b"z"),
                ],
                7 * block + 5,
            ),
        ] {
            let file = image(&pieces, size);
            let found = scan(&file).expect("a scan");
            let mut whole = vec![0; size as usize];
            file.read_exact_at(&mut whole, 0).expect("read");
            assert_eq!(found.sha256, digest::sha256(&whole), "{size}");
            whole.resize(whole.len().next_multiple_of(BLOCK), 0);
            let expected = whole
                .chunks(BLOCK)
                .map(|block| Sha256::digest(block).into());
            assert_eq!(
                found.blocks.0,
                expected.collect::<Vec<BlockDigest>>(),
                "{size}"
            );
            assert_eq!(found.size, size);
            assert_eq!(digests(&file).expect("digests"), found.blocks);
        }
    }

    #[test]
    fn the_file_and_its_blocks_are_held_together() {
        let blocks = BlockDigests(vec![[1; 32], [2; 32]]);
        let whole = "03".repeat(32);
        let expected = Sha256::digest([[3; 32], [1; 32], [2; 32]].concat());
        let held = bound(&whole, &blocks).expect("a digest");
        assert_eq!(held, digest::hex(&expected));
        for no_digest in ["", "nonsense", &"0g".repeat(32), &"+1".repeat(32)] {
            assert_eq!(bound(no_digest, &blocks), None, "{no_digest}");
        }
    }

    #[test]
    fn a_pass_can_be_stopped_between_blocks() {
        let block = BLOCK as u64;
        // Data and holes.
        for pieces in [vec![(block, &b"a"[..]), (2 * block, b"b")], vec![]] {
            let file = image(&pieces, 9 * block);
            let seen = std::cell::Cell::new(0);
            let passed = pass(&file, &|| seen.get() == 3, |_| seen.set(seen.get() + 1));
            let error = passed.expect_err("it is stopped");
            assert_eq!(error.kind(), io::ErrorKind::Interrupted);
            assert_eq!(seen.get(), 3);
        }
    }

    #[test]
    fn zeros_fill_the_volume() {
        let blocks = BlockDigests(vec![[1; 32]; 3]);
        let volume = on_volume(&blocks, 2).expect("it is large enough");
        assert_eq!(volume.0.len(), 4096);
        assert_eq!(volume.0[..3], blocks.0);
        assert!(volume.0[3..].iter().all(|digest| *digest == of_zeros()));
        let larger = BlockDigests(vec![[1; 32]; 2049]);
        assert_eq!(on_volume(&larger, 1), None);
    }

    #[test]
    fn a_block_is_read_with_zeros_behind_the_end() {
        let size = BLOCK as u64 + 2;
        let file = image(&[(BLOCK as u64, b"ab")], size);
        let mut block = vec![9; BLOCK];
        read(&file, size, 1, &mut block).expect("read");
        assert_eq!(block[..3], *b"ab\0");
        assert_eq!(block[2..], zeros()[2..]);
        read(&file, size, 2, &mut block).expect("read");
        assert_eq!(block, zeros());
    }
}
