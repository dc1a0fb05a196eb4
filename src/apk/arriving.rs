//! A package that is verified while its bytes arrive.
//!
//! The same checks in the same order as [`Package::open`](super::package::Package::open) makes on a
//! file, each as soon as it can be made: a package that is another one is refused when its control part
//! is there, before its data is fetched. The path in its errors is the name of the package's file.

use std::io::{self, Write};
use std::path::PathBuf;

use flate2::write::GzDecoder;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::index::Checksum;
use super::keys::KeyRing;
use super::member::Member;
use super::package::{CONTROL_LIMIT, PackageError, read_control};

/// How far a package has arrived.
pub(super) struct Arriving<'a> {
    file: PathBuf,
    expected: Checksum,
    keys: &'a KeyRing,
    signature: Option<Member>,
    stage: Stage,
}

enum Stage {
    /// The signature, or the control part.
    Member(Arrival),
    /// The rest, which `.PKGINFO` gives the digest of.
    Data { hash: Sha256, expected: String },
}

impl<'a> Arriving<'a> {
    /// A package of which nothing is there. `file` is what it is called in errors.
    pub fn new(file: &str, expected: Checksum, keys: &'a KeyRing) -> Arriving<'a> {
        Arriving {
            file: PathBuf::from(file),
            expected,
            keys,
            signature: None,
            stage: Stage::Member(Arrival::new()),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// They are not of that package.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), PackageError> {
        while !bytes.is_empty() {
            match &mut self.stage {
                Stage::Data { hash, .. } => {
                    hash.update(bytes);
                    return Ok(());
                }
                Stage::Member(arrival) => {
                    let taken = arrival.push(bytes);
                    match taken.map_err(|error| self.damaged(error.to_string()))? {
                        0 => self.end_member()?,
                        taken => bytes = &bytes[taken..],
                    }
                }
            }
        }
        Ok(())
    }

    /// All bytes were given.
    ///
    /// # Errors
    /// Together they are not that package.
    pub fn finish(mut self) -> Result<(), PackageError> {
        if let Stage::Member(_) = self.stage {
            self.end_member()?;
        }
        match &self.stage {
            Stage::Member(_) => Err(self.damaged("its control part is missing".to_owned())),
            Stage::Data { hash, expected } => {
                match crate::digest::hex(&hash.clone().finalize()) == *expected {
                    true => Ok(()),
                    false => Err(PackageError::DataHash { path: self.file }),
                }
            }
        }
    }

    fn end_member(&mut self) -> Result<(), PackageError> {
        let next = Stage::Member(Arrival::new());
        let Stage::Member(arrival) = std::mem::replace(&mut self.stage, next) else {
            return Ok(());
        };
        let member = arrival.end();
        let member = member.map_err(|error| self.damaged(error.to_string()))?;
        if self.signature.is_none() && member.content.starts_with(b".SIGN.") {
            self.signature = Some(member);
            return Ok(());
        }
        let expected = self.control(&member)?;
        let hash = Sha256::new();
        self.stage = Stage::Data { hash, expected };
        Ok(())
    }

    /// Checks the control part, and gives the digest of what comes after it.
    fn control(&self, control: &Member) -> Result<String, PackageError> {
        let path = || self.file.clone();
        if let Some(signature) = &self.signature {
            let verified = self.keys.verify(signature, &control.compressed);
            verified.map_err(|source| PackageError::Signature {
                path: path(),
                source,
            })?;
        }
        let found = Checksum::Sha1(Sha1::digest(&control.compressed).into());
        if found != self.expected {
            return Err(PackageError::Checksum {
                path: path(),
                expected: self.expected.to_string(),
                found: found.to_string(),
            });
        }
        let (info, _) = read_control(&control.content)
            .map_err(|error| self.damaged(format!("its control part: {error}")))?;
        let hash = info.get("datahash").map(str::to_owned);
        hash.ok_or_else(|| self.damaged("its .PKGINFO has no datahash".to_owned()))
    }

    fn damaged(&self, why: String) -> PackageError {
        PackageError::Damaged {
            path: self.file.clone(),
            why,
        }
    }
}

/// A gzip member of which so much has come.
struct Arrival {
    decoder: GzDecoder<Bounded>,
    compressed: Vec<u8>,
}

impl Arrival {
    fn new() -> Arrival {
        Arrival {
            decoder: GzDecoder::new(Bounded(Vec::new())),
            compressed: Vec::new(),
        }
    }

    /// How many of the bytes belong to it; none when it has ended.
    fn push(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.decoder.write(bytes)?;
        self.compressed.extend_from_slice(&bytes[..taken]);
        match self.compressed.len() > CONTROL_LIMIT {
            true => Err(too_large()),
            false => Ok(taken),
        }
    }

    fn end(self) -> io::Result<Member> {
        Ok(Member {
            content: self.decoder.finish()?.0,
            compressed: self.compressed,
        })
    }
}

/// Holds no more than a control part may unpack to.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > CONTROL_LIMIT {
            return Err(too_large());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large() -> io::Error {
    let why = format!("its control part is larger than {CONTROL_LIMIT} bytes");
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apk::member::compress;

    /// A control part, the data after it, and the checksum that an index would give.
    fn package() -> (Vec<u8>, Vec<u8>, Checksum) {
        let data = compress(&[7; 5000]).expect("compresses");
        let hash = crate::digest::sha256(&data);
        let text = format!("pkgname = a\npkgver = 1\ndatahash = {hash}\n");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, ".PKGINFO", text.as_bytes())
            .expect("a tar");
        let control = compress(&tar.into_inner().expect("a tar")).expect("compresses");
        let checksum = Checksum::Sha1(Sha1::digest(&control).into());
        (control, data, checksum)
    }

    fn arrive(bytes: &[u8], step: usize, expected: Checksum) -> Result<(), String> {
        let keys = KeyRing::default();
        let mut arriving = Arriving::new("a-1.apk", expected, &keys);
        for piece in bytes.chunks(step) {
            arriving.push(piece).map_err(|error| error.to_string())?;
        }
        arriving.finish().map_err(|error| error.to_string())
    }

    #[test]
    fn pieces_of_any_size_come_to_the_same() {
        let (control, data, checksum) = package();
        let whole = [control, data].concat();
        for step in [1, 2, 7, 100, whole.len()] {
            assert_eq!(arrive(&whole, step, checksum), Ok(()), "{step}");
            let cut = arrive(&whole[..whole.len() - 1], step, checksum);
            let cut = cut.expect_err("a byte is missing");
            assert!(cut.contains("does not match its datahash"), "{cut}");
        }
    }

    #[test]
    fn another_package_is_refused_before_its_data() {
        let (control, data, _) = package();
        let expected = Checksum::Sha1([0; 20]);
        let keys = KeyRing::default();
        let mut arriving = Arriving::new("a-1.apk", expected, &keys);
        let begun = [&control, &data[..1]].concat();
        let error = arriving.push(&begun).expect_err("another package");
        assert!(matches!(error, PackageError::Checksum { .. }), "{error}");
    }

    #[test]
    fn what_is_cut_in_its_control_part_or_unpacks_to_too_much_is_refused() {
        let (control, _, checksum) = package();
        for length in [0, 5, control.len() / 2] {
            assert!(
                arrive(&control[..length], 64, checksum).is_err(),
                "{length}"
            );
        }
        let bomb = compress(&vec![0; CONTROL_LIMIT + 1]).expect("compresses");
        let error = arrive(&bomb, 1000, checksum).expect_err("a bomb");
        assert!(error.contains("larger than"), "{error}");
        // An unsigned package whose data is missing, though the control part is whole.
        assert!(arrive(&control, 64, checksum).is_err());
    }
}
