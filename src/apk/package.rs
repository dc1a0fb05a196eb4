//! A package file, verified before a byte of it is unpacked.
//!
//! An `.apk` is three gzip members: a signature, a control tar (`.PKGINFO` and scripts) and the
//! data tar. [`Package::open`] reads the whole file once and checks, in this order, the package's
//! own signature (where it has one), the checksum the index gave for the control member, and the
//! `datahash` the control member gave for the rest. Only what passed has a [`Package`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::index::Checksum;
use super::keys::{KeyError, KeyRing};
use super::member::{Member, read_member};
use super::pkginfo::PkgInfo;

/// The control member holds `.PKGINFO` and scripts; the largest in Alpine are some 100 KiB.
pub(super) const CONTROL_LIMIT: usize = 16 << 20;

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
    #[error("the package {path} has checksum {found}, its index says {expected}")]
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

/// A verified package.
#[derive(Debug)]
pub struct Package {
    /// What it says of itself.
    pub info: PkgInfo,
    /// Its scripts.
    pub scripts: BTreeMap<ScriptKind, Vec<u8>>,
    file: File,
    data_offset: u64,
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
        verify_data(path, &mut reader, &info)?;
        file.seek(SeekFrom::Start(data_offset))
            .map_err(read_error)?;
        Ok(Package {
            info,
            scripts,
            file,
            data_offset,
        })
    }

    /// The data tar, unpacked as it is read.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn data(&mut self) -> io::Result<impl Read + '_> {
        self.file.seek(SeekFrom::Start(self.data_offset))?;
        let reader = BufReader::with_capacity(128 << 10, &self.file);
        Ok(MultiGzDecoder::new(reader))
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

/// Hashes everything after the control member and compares it with `datahash`.
fn verify_data(path: &Path, reader: &mut impl BufRead, info: &PkgInfo) -> Result<(), PackageError> {
    let expected = info
        .get("datahash")
        .ok_or_else(|| damaged(path, "its .PKGINFO has no datahash"))?;
    let mut hash = Sha256::new();
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
    }
    if crate::digest::hex(&hash.finalize()) != expected {
        return Err(PackageError::DataHash {
            path: path.to_owned(),
        });
    }
    Ok(())
}

pub(super) type Control = (PkgInfo, BTreeMap<ScriptKind, Vec<u8>>);

pub(super) fn read_control(content: &[u8]) -> io::Result<Control> {
    let mut info = None;
    let mut scripts = BTreeMap::new();
    for entry in tar::Archive::new(content).entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if name == ".PKGINFO" {
            let text = String::from_utf8(bytes)
                .map_err(|_| io::Error::other(".PKGINFO is not UTF-8 text"))?;
            info = Some(PkgInfo::parse(&text));
        } else if let Some(kind) = name.strip_prefix('.').and_then(|name| {
            ScriptKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == name)
        }) {
            scripts.insert(kind, bytes);
        }
    }
    let info = info.ok_or_else(|| io::Error::other("there is no .PKGINFO"))?;
    if info.id().is_none() {
        return Err(io::Error::other(".PKGINFO lacks pkgname or pkgver"));
    }
    Ok((info, scripts))
}
