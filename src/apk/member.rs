//! Gzip members: an `.apk` and an `APKINDEX.tar.gz` are several of them, back to back.
//!
//! What is signed and what is checksummed are the *compressed* bytes of a member, so the reader
//! here keeps them in step with what the decompressor consumed.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// A buffered reader that keeps the bytes consumed from it.
struct Tap<'a, R> {
    inner: &'a mut R,
    taken: Vec<u8>,
    limit: usize,
}

impl<R: BufRead> Read for Tap<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buf.len());
        buf[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Tap<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken.len() > self.limit {
            return Err(too_large("compressed", self.limit));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // The buffer is still filled: `consume` follows `fill_buf`, so this reads nothing.
        if let Ok(buffer) = self.inner.fill_buf() {
            self.taken.extend_from_slice(&buffer[..count]);
        }
        self.inner.consume(count);
    }
}

fn too_large(what: &str, limit: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the {what} member is larger than {limit} bytes"),
    )
}

/// One gzip member, both as it is on disk and unpacked.
#[derive(Debug)]
pub struct Member {
    /// The bytes that signatures and checksums are taken over.
    pub compressed: Vec<u8>,
    /// What they hold.
    pub content: Vec<u8>,
}

/// Reads exactly one gzip member and leaves `reader` at the byte after it.
///
/// `limit` bounds both sizes, in bytes: a member that unpacks to more is refused, so that a few
/// kilobytes from a hostile mirror cannot fill the memory.
///
/// # Errors
/// A truncated or corrupt member, one larger than `limit`, or a read that failed.
pub fn read_member(reader: &mut impl BufRead, limit: usize) -> io::Result<Member> {
    let mut tap = Tap {
        inner: reader,
        taken: Vec::new(),
        limit,
    };
    let mut content = Vec::new();
    let mut decoder = GzDecoder::new(&mut tap);
    decoder
        .by_ref()
        .take(limit as u64 + 1)
        .read_to_end(&mut content)?;
    if content.len() > limit {
        return Err(too_large("unpacked", limit));
    }
    Ok(Member {
        compressed: tap.taken,
        content,
    })
}

/// Compresses `content` as one gzip member without a time or a name in its header, so that the
/// same content gives the same bytes.
///
/// # Errors
/// None in practice: writing to memory does not fail.
pub fn compress(content: &[u8]) -> io::Result<Vec<u8>> {
    use std::io::Write;
    let mut encoder = flate2::GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), flate2::Compression::default());
    encoder.write_all(content)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_one_at_a_time() {
        let first = compress(b"first").expect("compresses");
        let second = compress(b"second").expect("compresses");
        let both = [first.clone(), second.clone(), b"rest".to_vec()].concat();
        let mut reader = io::BufReader::with_capacity(3, both.as_slice());
        let one = read_member(&mut reader, 100).expect("first member");
        assert_eq!(one.content, b"first");
        assert_eq!(one.compressed, first);
        let two = read_member(&mut reader, 100).expect("second member");
        assert_eq!(two.content, b"second");
        assert_eq!(two.compressed, second);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).expect("rest");
        assert_eq!(rest, "rest");
    }

    #[test]
    fn a_truncated_member_is_an_error() {
        let whole = compress(&[7; 4000]).expect("compresses");
        for length in [0, 1, 9, whole.len() / 2, whole.len() - 1] {
            assert!(read_member(&mut &whole[..length], 10_000).is_err());
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let bomb = compress(&vec![0; 1 << 20]).expect("compresses");
        let error = read_member(&mut bomb.as_slice(), 4096).expect_err("too large");
        assert!(error.to_string().contains("larger than 4096 bytes"));
    }
}
