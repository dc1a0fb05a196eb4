//! Why nothing can be said of an AMI or a file.

use std::path::PathBuf;

use crate::aws::{AmiId, AwsError, Region};
use crate::list::ListError;
use crate::publish::papers::{self, SIGNED};
use crate::sign::OpenError;

/// Why nothing can be said of an AMI or a file.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The catalog cannot be read.
    #[error(transparent)]
    Catalog(#[from] ListError),
    /// This account sees no such AMI.
    #[error("account {account} sees no AMI {ami} in {region}")]
    NoAmi {
        /// The AMI.
        ami: AmiId,
        /// Where.
        region: Region,
        /// Who asks.
        account: String,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The file holds no signed document.
    #[error("{path}: {why}")]
    NoEnvelope {
        /// The file.
        path: PathBuf,
        /// Why.
        why: OpenError,
    },
}

impl VerifyError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            VerifyError::Aws(error) => error.advice(),
            VerifyError::Catalog(error) => return error.advice(),
            VerifyError::NoAmi { .. } => {
                "check the id and the Region (ami-…@REGION); a publisher shares AMIs with accounts by name".to_owned()
            }
            VerifyError::Read { .. } => "correct the path".to_owned(),
            VerifyError::NoEnvelope { .. } => format!(
                "name a signed document of the publisher's catalog: releases/RELEASE/{SIGNED}, releases/RELEASE/{} or channels/CHANNEL.json",
                papers::PROVENANCE
            ),
        })
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        match self {
            VerifyError::Catalog(error) => error.is_bad_input(),
            VerifyError::Read { .. } | VerifyError::NoEnvelope { .. } => true,
            VerifyError::Aws(_) | VerifyError::NoAmi { .. } => false,
        }
    }
}
