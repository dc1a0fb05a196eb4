//! SHA-256 digests as they are written in manifests and plans.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::SeekFrom;
use sha2::{Digest as _, Sha256};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes read or fed at a time.
const CHUNK: usize = 1 << 20;

/// The SHA-256 of a file's bytes, in hexadecimal. Holes are not read: the kernel would fill a page
/// of zeros for each 4 KiB of them, which takes longer than hashing an image's data.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_of_file(file: &File) -> io::Result<String> {
    let length = file.metadata()?.len();
    let zeros = vec![0; CHUNK];
    let mut buffer = vec![0; CHUNK];
    let mut hash = Sha256::new();
    let mut position = 0;
    while position < length {
        let data = match rustix::fs::seek(file, SeekFrom::Data(position)) {
            Ok(data) => data.min(length),
            // There is only a hole up to the end.
            Err(rustix::io::Errno::NXIO) => length,
            Err(error) => return Err(error.into()),
        };
        while position < data {
            let count = (data - position).min(CHUNK as u64);
            hash.update(&zeros[..usize::try_from(count).map_err(io::Error::other)?]);
            position += count;
        }
        if position == length {
            break;
        }
        let hole = rustix::fs::seek(file, SeekFrom::Hole(position))?.min(length);
        while position < hole {
            let count = (hole - position).min(CHUNK as u64);
            let chunk = &mut buffer[..usize::try_from(count).map_err(io::Error::other)?];
            file.read_exact_at(chunk, position)?;
            hash.update(chunk);
            position += count;
        }
    }
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digest() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
    }

    #[test]
    fn holes_count_as_zeros() {
        let file = tempfile::tempfile().expect("a file");
        let hashed = || sha256_of_file(&file).expect("reads");
        assert_eq!(hashed(), sha256(b""));
        file.set_len(3 << 20).expect("a length");
        assert_eq!(hashed(), sha256(&vec![0; 3 << 20]));
        file.write_all_at(b"data", 1 << 20).expect("written");
        file.write_all_at(b"end", (3 << 20) - 3).expect("written");
        let mut whole = vec![0; 3 << 20];
        whole[1 << 20..(1 << 20) + 4].copy_from_slice(b"data");
        whole[(3 << 20) - 3..].copy_from_slice(b"end");
        assert_eq!(hashed(), sha256(&whole));
    }
}
