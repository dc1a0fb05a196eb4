//! What a word on the command line of `diff` means.

use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::aws::{AmiId, Region, SnapshotId};
use crate::image::manifest::MANIFEST;
use crate::publish::release::ReleaseId;

/// What can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A folder that `build` made.
    Folder(PathBuf),
    /// A manifest of an image or of a release.
    Manifest(PathBuf),
    /// A disk image.
    Image(PathBuf),
    /// A lock.
    Lock(PathBuf),
    /// A release in the publisher's bucket.
    Release(ReleaseId),
    /// An AMI, in the home Region where none is named.
    Ami(AmiId, Option<Region>),
    /// A snapshot, in the home Region where none is named.
    Snapshot(SnapshotId, Option<Region>),
}

/// What a path is, as far as it needs to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnDisk {
    /// A folder, and whether there is a manifest in it.
    Folder {
        /// Whether it holds `manifest.json`.
        manifest: bool,
    },
    /// A file, and its first bytes, 512 where it has so many.
    File {
        /// The bytes.
        head: Vec<u8>,
    },
}

/// A word that means nothing that can be compared.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It looks like none of them.
    #[error(
        "`{0}` is nothing that can be compared: there is no such file or folder, and it is no release, AMI or snapshot"
    )]
    Unknown(String),
    /// It begins like an id.
    #[error("{0}")]
    Id(#[from] crate::aws::names::NameError),
    /// A folder without a build.
    #[error("the folder {0} holds no {MANIFEST}: it is not a finished build")]
    NoBuild(PathBuf),
    /// A file that is neither.
    #[error("the file {0} is neither a disk image nor a manifest nor a lock")]
    NoImage(PathBuf),
    /// It cannot be looked at.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SubjectError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(
            "name a build folder, a manifest.json, a raw disk image, a lock (*.lock.toml), a release (base-3.15-x86_64-20260131.1), \
             an AMI (ami-0123456789abcdef0, or ami-0123456789abcdef0@eu-west-1 in another Region than the home Region) or a snapshot (snap-…)"
                .to_owned(),
        )
    }
}

/// Says what `word` means; `look` tells what is at a path. What exists on disk wins.
///
/// # Errors
/// It means nothing.
pub fn parse(
    word: &str,
    look: impl FnOnce(&Path) -> io::Result<Option<OnDisk>>,
) -> Result<Subject, SubjectError> {
    let path = PathBuf::from(word);
    match look(&path) {
        Err(source) => Err(SubjectError::Read { path, source }),
        Ok(Some(OnDisk::Folder { manifest: true })) => Ok(Subject::Folder(path)),
        Ok(Some(OnDisk::Folder { manifest: false })) => Err(SubjectError::NoBuild(path)),
        Ok(Some(OnDisk::File { head })) => file(path, &head),
        Ok(None) => name(word),
    }
}

fn file(path: PathBuf, head: &[u8]) -> Result<Subject, SubjectError> {
    // The signature of a boot sector, which a GPT's protective MBR has too. A file that calls
    // itself an image is opened as one, so that what is wrong with it is told.
    let is_disk = head.get(510..512) == Some(&[0x55, 0xaa]);
    let is_named = path
        .extension()
        .is_some_and(|name| name == "raw" || name == "img");
    match head.trim_ascii_start().first() {
        _ if is_disk || is_named => Ok(Subject::Image(path)),
        Some(b'{') => Ok(Subject::Manifest(path)),
        _ if path.extension().is_some_and(|name| name == "toml") => Ok(Subject::Lock(path)),
        _ => Err(SubjectError::NoImage(path)),
    }
}

fn name(word: &str) -> Result<Subject, SubjectError> {
    let (id, region) = match word.split_once('@') {
        Some((id, region)) => (id, Some(region)),
        None => (word, None),
    };
    let region = || region.map(str::parse::<Region>).transpose();
    if id.starts_with("ami-") {
        return Ok(Subject::Ami(id.parse()?, region()?));
    }
    if id.starts_with("snap-") {
        return Ok(Subject::Snapshot(id.parse()?, region()?));
    }
    let release = word.parse().map(Subject::Release);
    release.map_err(|_| SubjectError::Unknown(word.to_owned()))
}

/// Looks at a path.
///
/// # Errors
/// There is something that cannot be read.
pub fn look(path: &Path) -> io::Result<Option<OnDisk>> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if metadata.is_dir() {
        let manifest = path.join(MANIFEST).is_file();
        return Ok(Some(OnDisk::Folder { manifest }));
    }
    if !metadata.is_file() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it is neither file nor folder",
        ));
    }
    let mut head = Vec::new();
    std::fs::File::open(path)?
        .take(512)
        .read_to_end(&mut head)?;
    Ok(Some(OnDisk::File { head }))
}
