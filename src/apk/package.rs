//! A package file, verified before a byte of it is unpacked.
//!
//! An `.apk` is three gzip members: a signature, a control tar (`.PKGINFO` and scripts) and the
//! data tar. [`Package::open`] reads the whole file once and checks, in this order, the package's
//! own signature (where it has one), the checksum the index gave for the control member, and the
//! `datahash` the control member gave for the rest. Only what passed has a [`Package`]. What is
//! read of it afterwards is hashed once more: the file may lie in a folder that others write.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::index::Checksum;
use super::keys::{KeyError, KeyRing};
use super::member::{Member, read_member};
use super::pkginfo::PkgInfo;

/// The control member holds `.PKGINFO` and scripts; the largest in Alpine are some 100 KiB.
pub(super) const CONTROL_LIMIT: usize = 16 << 20;
/// Unpacked bytes of one package: more than an image has room for.
pub(super) const SIZE_LIMIT: u64 = 16 << 30;
/// How many times its size a package may unpack to. Text comes to ten, a bomb to a thousand.
const RATIO_LIMIT: u64 = 100;
/// So much any package may unpack to: small ones hold mostly zeros between entries.
const SIZE_FREE: u64 = 64 << 20;

/// A package file that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The file cannot be read.
    #[error("cannot read the package {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a package, or cut short.
    #[error("the package {path} is damaged or cut short: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Its control part is not the one the index lists.
    #[error("the package {path} has checksum {found}, and {expected} is listed for it")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// What the index says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// Its data is not what its control part says.
    #[error("the data of the package {path} does not match its datahash")]
    DataHash {
        /// The file.
        path: PathBuf,
    },
    /// Its own signature is by an unknown key, or wrong.
    #[error("cannot trust the package {path}: {source}")]
    Signature {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
}

/// The kinds of script that a package may carry, by the name of their entry without the dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScriptKind {
    /// Before the files are laid down.
    PreInstall,
    /// After.
    PostInstall,
    /// When a package that is there is replaced; kept for the image's own apk.
    PreUpgrade,
    /// When a package that is there was replaced; kept for the image's own apk.
    PostUpgrade,
    /// Before removal; kept for the image's own apk.
    PreDeinstall,
    /// After removal; kept for the image's own apk.
    PostDeinstall,
    /// When a directory that the package watches has changed.
    Trigger,
}

impl ScriptKind {
    /// Every kind, in the order in which apk writes them to `scripts.tar`.
    pub const ALL: [ScriptKind; 7] = [
        ScriptKind::PreInstall,
        ScriptKind::PostInstall,
        ScriptKind::PreDeinstall,
        ScriptKind::PostDeinstall,
        ScriptKind::PreUpgrade,
        ScriptKind::PostUpgrade,
        ScriptKind::Trigger,
    ];

    /// apk's name of it, such as `post-install`.
    pub fn as_str(self) -> &'static str {
        match self {
            ScriptKind::PreInstall => "pre-install",
            ScriptKind::PostInstall => "post-install",
            ScriptKind::PreUpgrade => "pre-upgrade",
            ScriptKind::PostUpgrade => "post-upgrade",
            ScriptKind::PreDeinstall => "pre-deinstall",
            ScriptKind::PostDeinstall => "post-deinstall",
            ScriptKind::Trigger => "trigger",
        }
    }
}

/// The scripts of a package by their kind.
pub type Scripts = BTreeMap<ScriptKind, Vec<u8>>;

/// A verified package.
#[derive(Debug)]
pub struct Package {
    /// What it says of itself.
    pub info: PkgInfo,
    /// Its scripts.
    pub scripts: Scripts,
    file: File,
    data_offset: u64,
    data_size: u64,
}

impl Package {
    /// Opens and verifies the package in `path`.
    ///
    /// # Errors
    /// See [`PackageError`]: nothing of a package that fails is given out.
    pub fn open(path: &Path, expected: &Checksum, keys: &KeyRing) -> Result<Package, PackageError> {
        let read_error = |source| PackageError::Read {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(read_error)?;
        let mut reader = BufReader::with_capacity(128 << 10, &file);
        let control = verify_control(path, &mut reader, expected, keys)?;
        let (info, scripts) = read_control(&control.content)
            .map_err(|error| damaged(path, format!("its control part: {error}")))?;
        let data_offset = reader.stream_position().map_err(read_error)?;
        let data_size = verify_data(path, &mut reader, &info)?;
        file.seek(SeekFrom::Start(data_offset))
            .map_err(read_error)?;
        Ok(Package {
            info,
            scripts,
            file,
            data_offset,
            data_size,
        })
    }

    /// The data tar, unpacked as it is read: one gzip member, and nothing behind it.
    ///
    /// # Errors
    /// The file cannot be read. Reading what is returned fails where it unpacks to too much, is cut
    /// short, goes on after its end, or is not what was verified any more.
    pub fn data(&mut self) -> io::Result<impl Read + '_> {
        self.file.seek(SeekFrom::Start(self.data_offset))?;
        let buffered = BufReader::with_capacity(128 << 10, &self.file);
        Ok(Data {
            decoder: GzDecoder::new(Hashed {
                inner: buffered,
                hash: Sha256::new(),
            }),
            unpacked: 0,
            limit: unpacked_limit(self.data_size),
            expected: self.info.get("datahash").unwrap_or_default(),
        })
    }
}

/// What data of so many compressed bytes may unpack to, in bytes.
fn unpacked_limit(compressed: u64) -> u64 {
    let limit = compressed.saturating_mul(RATIO_LIMIT).max(SIZE_FREE);
    limit.min(SIZE_LIMIT)
}

/// The data of a package, see [`Package::data`].
struct Data<'a> {
    decoder: GzDecoder<Hashed<BufReader<&'a File>>>,
    unpacked: u64,
    limit: u64,
    expected: &'a str,
}

impl Read for Data<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self
            .decoder
            .read(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => wrong("its data is cut short".to_owned()),
                _ => error,
            })?;
        if count == 0 && !buffer.is_empty() {
            self.finish()?;
        }
        self.unpacked += count as u64;
        if self.unpacked > self.limit {
            return Err(wrong(format!(
                "it unpacks to more than {} bytes, which is out of all proportion to its size",
                self.limit
            )));
        }
        Ok(count)
    }
}

impl Data<'_> {
    /// Sees at the end of the member that it is the last, and that it was the verified one.
    fn finish(&mut self) -> io::Result<()> {
        let compressed = self.decoder.get_mut();
        if !compressed.fill_buf()?.is_empty() {
            return Err(wrong("there is more in the file after its data".to_owned()));
        }
        let found = std::mem::take(&mut compressed.hash).finalize();
        // Whoever reads on after the end gets the same answer: nothing has been hashed since.
        if self.expected.is_empty() || crate::digest::hex(&found) == self.expected {
            self.expected = "";
            return Ok(());
        }
        Err(wrong(
            "its file was changed after it was verified".to_owned(),
        ))
    }
}

fn wrong(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Passes on what is consumed to a hash.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: BufRead> BufRead for Hashed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // The buffer is still filled: `consume` follows `fill_buf`, so this reads nothing.
        if let Ok(buffer) = self.inner.fill_buf() {
            self.hash.update(&buffer[..count]);
        }
        self.inner.consume(count);
    }
}

impl<R: BufRead> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

fn damaged(path: &Path, why: impl Into<String>) -> PackageError {
    PackageError::Damaged {
        path: path.to_owned(),
        why: why.into(),
    }
}

/// Reads the first two members and checks signature and checksum.
fn verify_control(
    path: &Path,
    reader: &mut impl BufRead,
    expected: &Checksum,
    keys: &KeyRing,
) -> Result<Member, PackageError> {
    let member_error = |error: io::Error| damaged(path, error.to_string());
    let first = read_member(reader, CONTROL_LIMIT).map_err(member_error)?;
    // A package may be unsigned: what vouches for it is the checksum in the signed index.
    let control = if first.content.starts_with(b".SIGN.") {
        let control = read_member(reader, CONTROL_LIMIT).map_err(member_error)?;
        keys.verify(&first, &control.compressed)
            .map_err(|source| PackageError::Signature {
                path: path.to_owned(),
                source,
            })?;
        control
    } else {
        first
    };
    let found = Checksum::Sha1(Sha1::digest(&control.compressed).into());
    if found != *expected {
        return Err(PackageError::Checksum {
            path: path.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }
    Ok(control)
}

/// Hashes everything after the control member, compares it with `datahash`, and returns its size.
fn verify_data(
    path: &Path,
    reader: &mut impl BufRead,
    info: &PkgInfo,
) -> Result<u64, PackageError> {
    let expected = info
        .get("datahash")
        .ok_or_else(|| damaged(path, "its .PKGINFO has no datahash"))?;
    let mut hash = Sha256::new();
    let mut size = 0;
    loop {
        let chunk = reader
            .fill_buf()
            .map_err(|error| damaged(path, error.to_string()))?;
        if chunk.is_empty() {
            break;
        }
        hash.update(chunk);
        let length = chunk.len();
        reader.consume(length);
        size += length as u64;
    }
    if crate::digest::hex(&hash.finalize()) != expected {
        return Err(PackageError::DataHash {
            path: path.to_owned(),
        });
    }
    Ok(size)
}

pub(super) type Control = (PkgInfo, Scripts);

pub(super) fn read_control(content: &[u8]) -> io::Result<Control> {
    let mut info = None;
    let mut scripts = BTreeMap::new();
    for entry in tar::Archive::new(content).entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type().is_gnu_sparse() {
            // A few bytes of it could stand for any number of zeros.
            return Err(io::Error::other(format!("its entry {name} has holes")));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let kind = name.strip_prefix('.').and_then(|name| {
            ScriptKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == name)
        });
        let is_second = match kind {
            _ if name == ".PKGINFO" => {
                let text = String::from_utf8(bytes)
                    .map_err(|_| io::Error::other(".PKGINFO is not UTF-8 text"))?;
                info.replace(PkgInfo::parse(&text)).is_some()
            }
            Some(kind) => scripts.insert(kind, bytes).is_some(),
            None => false,
        };
        if is_second {
            return Err(io::Error::other(format!("it has two entries {name}")));
        }
    }
    let info = info.ok_or_else(|| io::Error::other("there is no .PKGINFO"))?;
    if info.id().is_none() {
        return Err(io::Error::other(".PKGINFO lacks pkgname or pkgver"));
    }
    Ok((info, scripts))
}
