//! Digests of a snapshot's blocks, as release manifests keep them.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::digest;

/// Bytes in a block of the EBS direct APIs.
/// <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html>
pub const BLOCK: usize = 524_288;
/// Blocks in a GiB of a volume.
pub const BLOCKS_PER_GIB: u32 = 2048;

/// A block's SHA-256.
pub type BlockDigest = [u8; 32];

/// The digest of a block of zeros.
pub fn of_zeros() -> BlockDigest {
    static ZEROS: LazyLock<BlockDigest> = LazyLock::new(|| Sha256::digest(vec![0; BLOCK]).into());
    *ZEROS
}

/// The SHA-256 of every block of a snapshot, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
pub struct BlockDigests(pub Vec<BlockDigest>);

impl BlockDigests {
    /// The blocks, by number, whose digests are not those of `other`; all blocks that only one has.
    pub fn differing(&self, other: &BlockDigests) -> Vec<u32> {
        let pairs = (0u32..).zip(&self.0);
        pairs
            .filter(|(index, digest)| other.0.get(*index as usize) != Some(digest))
            .map(|(index, _)| index)
            .collect()
    }
}

/// SHA-256 over digests in their order: what CompleteSnapshot calls LINEAR.
/// <https://docs.aws.amazon.com/ebs/latest/APIReference/API_CompleteSnapshot.html>
pub fn linear<'a>(digests: impl IntoIterator<Item = &'a BlockDigest>) -> BlockDigest {
    let mut hash = Sha256::new();
    for digest in digests {
        hash.update(digest);
    }
    hash.finalize().into()
}

/// As it is written: equal blocks in a row are one entry, `<hexadecimal digits> x<count>`.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Written {
    /// Bytes in a block.
    size: usize,
    /// SHA-256 over all digests in their order.
    linear_sha256: String,
    /// The digests.
    sha256: Vec<String>,
}

impl From<BlockDigests> for Written {
    fn from(BlockDigests(digests): BlockDigests) -> Written {
        let entry = |row: &[BlockDigest]| match row.len() {
            1 => digest::hex(&row[0]),
            count => format!("{} x{count}", digest::hex(&row[0])),
        };
        Written {
            size: BLOCK,
            linear_sha256: digest::hex(&linear(&digests)),
            sha256: digests.chunk_by(|a, b| a == b).map(entry).collect(),
        }
    }
}

impl TryFrom<Written> for BlockDigests {
    type Error = String;

    fn try_from(written: Written) -> Result<BlockDigests, String> {
        if written.size != BLOCK {
            return Err(format!("blocks of {} bytes, not of {BLOCK}", written.size));
        }
        let mut digests = Vec::new();
        for entry in &written.sha256 {
            let (hex, count) = match entry.split_once(" x") {
                Some((hex, count)) => (hex, count.parse::<usize>().ok()),
                None => (entry.as_str(), Some(1)),
            };
            let digest = parse(hex).zip(count);
            let (digest, count) = digest.ok_or_else(|| format!("`{entry}` is no digest"))?;
            // A volume has 64 TiB at most.
            let total = digests.len().checked_add(count);
            if total.is_none_or(|total| total > (64 << 10) * BLOCKS_PER_GIB as usize) {
                return Err("more blocks than a volume can have".to_owned());
            }
            digests.extend(std::iter::repeat_n(digest, count));
        }
        if digest::hex(&linear(&digests)) != written.linear_sha256 {
            return Err("the digests do not add up to linear_sha256".to_owned());
        }
        Ok(BlockDigests(digests))
    }
}

/// A digest in hexadecimal; `None` if it is none.
pub fn parse(hex: &str) -> Option<BlockDigest> {
    if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_in_rows_and_read_again() {
        let digests = BlockDigests(vec![[1; 32], of_zeros(), of_zeros(), of_zeros(), [1; 32]]);
        let json = serde_json::to_value(&digests).expect("JSON");
        let one = "01".repeat(32);
        let zeros = format!("{} x3", digest::hex(&of_zeros()));
        assert_eq!(json["sha256"], serde_json::json!([one, zeros, one]));
        let again: BlockDigests = serde_json::from_value(json.clone()).expect("digests");
        assert_eq!(again, digests);

        let mut wrong = json.clone();
        wrong["sha256"][0] = "02".repeat(32).into();
        assert!(serde_json::from_value::<BlockDigests>(wrong).is_err());
        for count in ["99999999999", "18446744073709551615"] {
            let mut endless = json.clone();
            endless["sha256"][1] = format!("{one} x{count}").into();
            let error = serde_json::from_value::<BlockDigests>(endless).expect_err(count);
            assert!(error.to_string().contains("more blocks"), "{error}");
        }
    }

    #[test]
    fn blocks_differ_by_place() {
        let a = BlockDigests(vec![[1; 32], [2; 32], [3; 32]]);
        let b = BlockDigests(vec![[1; 32], [9; 32]]);
        assert_eq!(a.differing(&b), [1, 2]);
        assert_eq!(b.differing(&a), [1]);
        assert_eq!(a.differing(&a), [0u32; 0]);
    }
}
