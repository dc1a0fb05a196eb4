//! Why a disk image cannot be read.

use std::io;
use std::path::PathBuf;

use super::SCHEMA;

/// What comes of reading an image.
pub type Result<T, E = ContentsError> = std::result::Result<T, E>;

/// A disk image, or a list of files, that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// The file cannot be read.
    #[error("cannot read the image {image}: {source}")]
    Read {
        /// The image.
        image: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no partition table.
    #[error("{image} is no disk image with a partition table (GPT): {why}")]
    NoTable {
        /// The image.
        image: PathBuf,
        /// What was found.
        why: String,
    },
    /// No partition can be told to be the root.
    #[error("{image} has no root partition that can be told from others: {found}")]
    NoRoot {
        /// The image.
        image: PathBuf,
        /// The partitions that there are.
        found: String,
    },
    /// The root partition holds something else.
    #[error("partition {number} of {image}, the root, is no ext4 file system: {why}")]
    NoExt4 {
        /// The image.
        image: PathBuf,
        /// The partition.
        number: u32,
        /// What was found.
        why: String,
    },
    /// The file system is damaged, or has what cannot be read.
    #[error("cannot read `{path}` in the root file system of {image}: {why}")]
    Broken {
        /// The image.
        image: PathBuf,
        /// The path in it.
        path: String,
        /// Why.
        why: String,
    },
    /// It is not a list of files.
    #[error("{name} is not a list of files: {source}")]
    Parse {
        /// The list.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// It was written by a later version of this program.
    #[error("{name} has format {found}, this program knows {SCHEMA}")]
    Schema {
        /// The list.
        name: String,
        /// Its format.
        found: u32,
    },
}

impl ContentsError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        let advice = match self {
            ContentsError::Read { .. } => "correct the path, or make the file readable",
            ContentsError::NoTable { .. } => {
                "name a raw disk image, such as the image.raw of a build folder; other formats can be converted with `qemu-img convert -O raw`"
            }
            ContentsError::NoRoot { .. } => {
                "the root is the partition named `root`, or else the only one of a Linux type"
            }
            ContentsError::NoExt4 { .. } | ContentsError::Broken { .. } => {
                "check the image with e2fsck, or build or download it again"
            }
            ContentsError::Parse { .. } => {
                "name a list that this program wrote, or the image itself"
            }
            ContentsError::Schema { .. } => {
                "use the version of alpine-ami that wrote it, or a later one"
            }
        };
        Some(advice.to_owned())
    }
}
