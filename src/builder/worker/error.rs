//! Why a worker failed.

use std::io;
use std::path::{Path, PathBuf};

use super::Workplace;
use super::disk::DiskError;
use crate::arch::Arch;
use crate::builder::job::JobError;
use crate::builder::local::BuildError;
use crate::builder::packages::PackagesError;

/// A job that was not done.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The instance is of another architecture.
    #[error("the job is for {wanted}, this machine is {host}")]
    Arch {
        /// The job's.
        wanted: Arch,
        /// The machine's.
        host: &'static str,
    },
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A package that is no file's name.
    #[error("the job has a package called `{0}`")]
    Name(String),
    /// A file of the job. The address is not told: it is a secret.
    #[error("cannot fetch {what}: {why}")]
    Fetch {
        /// The file.
        what: String,
        /// Why.
        why: String,
    },
    /// A file of the job is another one.
    #[error("{what} was changed on the way: its {property} is {found}, not {expected}")]
    Changed {
        /// The file.
        what: String,
        /// Length or digest.
        property: &'static str,
        /// As it is.
        found: String,
        /// As it should be.
        expected: String,
    },
    /// Words or results.
    #[error("cannot send {what}: {why}")]
    Send {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The packages.
    #[error(transparent)]
    Repositories(#[from] PackagesError),
    /// The build.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The image has other packages than the job.
    #[error("the packages that were installed come to {found}, not {expected}")]
    Packages {
        /// As they are.
        found: String,
        /// As they should be.
        expected: String,
    },
    /// The image has no room on the disk.
    #[error("the image has {image} bytes, the disk {disk}")]
    TooLarge {
        /// The image's.
        image: u64,
        /// The disk's.
        disk: u64,
    },
    /// The work folder.
    #[error("cannot write {path}: {source}")]
    Folder {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl WorkerError {
    pub(super) fn folder(place: &Workplace) -> impl FnOnce(io::Error) -> WorkerError {
        WorkerError::writing(&place.folder)
    }

    pub(super) fn writing(path: &Path) -> impl FnOnce(io::Error) -> WorkerError {
        let path = path.to_owned();
        |source| WorkerError::Folder { path, source }
    }

    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            WorkerError::Build(error) => return error.advice(),
            WorkerError::Repositories(error) => return error.advice(),
            WorkerError::Disk(error) => return Some(error.advice().to_owned()),
            WorkerError::Job(_) | WorkerError::Name(_) | WorkerError::Changed { .. } => {
                "somebody changed what lies in the bucket, or another version of alpine-ami wrote it: look at who may write there, and build again"
            }
            WorkerError::Arch { .. } => "name an instance type of the image's architecture",
            WorkerError::Fetch { .. } | WorkerError::Send { .. } => {
                "where S3 gave no answer, the instance needs a way to it: a route to the internet with a public address, a NAT gateway, or an S3 endpoint; where it refused, the addresses may have expired with the credentials that signed them"
            }
            WorkerError::Packages { .. } => {
                "the worker is of another version than the program that wrote the job: build the worker from the same source"
            }
            WorkerError::TooLarge { .. } => {
                "make the profile's disk.size smaller, or the volume larger"
            }
            WorkerError::Folder { .. } => {
                "the build instance's own disk needs more room: take a base image with a larger root"
            }
        };
        Some(text.to_owned())
    }
}
