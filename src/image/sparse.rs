//! Writing a part of a sparse file: blocks of zeros stay holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use mkext4::RegionSink;

/// The unit in which holes are made; the block size of the file systems images are kept on.
const BLOCK: usize = 4096;

/// A byte range of a freshly made file, which reads as zeros wherever nothing was written.
#[derive(Debug)]
pub struct Region<'a> {
    file: &'a File,
    start: u64,
    len: u64,
}

impl<'a> Region<'a> {
    /// The range of `len` bytes at `start`, both in bytes.
    pub fn new(file: &'a File, start: u64, len: u64) -> Region<'a> {
        Region { file, start, len }
    }

    /// Writes `bytes` at `offset` of the range, leaving out blocks that are all zeros.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check(offset, bytes.len() as u64)?;
        let mut at = self.start + offset;
        let mut rest = bytes;
        // Blocks are those of the whole file, so that holes fall on its boundaries.
        let mut pending: &[u8] = &[];
        let mut pending_at = at;
        while !rest.is_empty() {
            let take = (BLOCK - (at % BLOCK as u64) as usize).min(rest.len());
            let (block, tail) = rest.split_at(take);
            if block.iter().any(|byte| *byte != 0) {
                if pending.is_empty() {
                    pending_at = at;
                }
                let from = (pending_at - self.start - offset) as usize;
                pending = &bytes[from..from + pending.len() + take];
            } else if !pending.is_empty() {
                self.file.write_all_at(pending, pending_at)?;
                pending = &[];
            }
            at += take as u64;
            rest = tail;
        }
        self.file.write_all_at(pending, pending_at)
    }

    fn check(&self, offset: u64, len: u64) -> io::Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(io::Error::other(format!(
                "{len} bytes at {offset} are past the end of a range of {} bytes",
                self.len
            ))),
        }
    }
}

impl RegionSink for Region<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_at(offset, bytes)
    }

    fn zeros(&mut self, offset: u64, len: u64) -> io::Result<()> {
        self.check(offset, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn content_is_kept_and_zeros_take_no_space() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mut bytes = vec![0u8; 300_000];
        bytes[5] = 1;
        bytes[150_000] = 2;
        bytes[299_999] = 3;
        Region::new(&file, 1000, 1 << 19)
            .write_at(77, &bytes)
            .unwrap();

        let mut read = vec![0u8; bytes.len()];
        file.read_exact_at(&mut read, 1077).unwrap();
        assert!(read == bytes);
        assert!(file.metadata().unwrap().blocks() * 512 <= 3 * BLOCK as u64);
    }

    #[test]
    fn nothing_is_written_past_the_end() {
        let file = tempfile::tempfile().unwrap();
        assert!(Region::new(&file, 0, 10).write_at(5, b"123456").is_err());
    }
}
