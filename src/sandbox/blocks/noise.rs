//! What an absent block of an encrypted snapshot reads as: bytes that look random.
//!
//! They are cut out of one pool at a place that depends on the volume and the block, so that they
//! cost no more than copying, and can be told again from what somebody wrote.

use std::sync::LazyLock;

use super::BLOCK_SIZE;

static POOL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x414d_492d_6e6f_6973_u64;
    (0..2 * BLOCK_SIZE / 8)
        .flat_map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(state).to_le_bytes()
        })
        .collect()
});

/// The noise of a volume's block.
pub fn block(volume: &str, index: u64) -> &'static [u8] {
    let seed = volume
        .bytes()
        .fold(index, |seed, byte| mix(seed ^ u64::from(byte)));
    // In steps of eight bytes; the result is less than half the pool.
    let start = usize::try_from(seed % (BLOCK_SIZE as u64 / 8)).unwrap_or(0) * 8;
    &POOL[start..start + BLOCK_SIZE]
}

/// SplitMix64's finalizer.
fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
