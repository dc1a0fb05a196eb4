//! Why nothing was pruned, or not everything.

use serde::Serialize;

use crate::aws::{AwsError, Region};
use crate::channels::settings::ChannelNameError;
use crate::profile::error::Mistake;
use crate::publish::bucket::BucketError;
use crate::publish::complete::SettingsError;
use crate::publish::lease::LeaseError;
use crate::publish::release::ReleaseId;
use crate::release::error::ReleaseError;
use crate::share::error::ShareError;

/// Why nothing was pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The publisher's configuration is not complete.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Channels cannot be called so.
    #[error(transparent)]
    Channels(#[from] ChannelNameError),
    /// The file of customers cannot be used.
    #[error(transparent)]
    Customers(Box<ShareError>),
    /// What the catalog's page is made with cannot be used.
    #[error(transparent)]
    Desk(Box<ReleaseError>),
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The bucket, or what lies in it, cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Another run moves releases or access, or the lease was lost.
    #[error(transparent)]
    Lease(Box<LeaseError>),
    /// Told to stop.
    #[error("{how}; {done} releases were done")]
    Interrupted {
        /// By what.
        how: &'static str,
        /// How many releases were done.
        done: usize,
    },
}

impl PruneError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            PruneError::Settings(error) => Some(error.advice()),
            PruneError::Channels(error) => Some(error.advice()),
            PruneError::Customers(error) => error.advice(),
            PruneError::Desk(error) => error.advice(),
            PruneError::Aws(error) => Some(error.advice()),
            PruneError::Bucket(error) => error.advice(),
            PruneError::Lease(error) => error.advice(),
            PruneError::Interrupted { .. } => {
                Some("run the same command again: it looks at what is there and goes on".to_owned())
            }
        }
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        match self {
            PruneError::Settings(_) | PruneError::Channels(_) => true,
            PruneError::Customers(error) => error.is_bad_input(),
            PruneError::Desk(error) => error.is_bad_input(),
            PruneError::Bucket(error) => matches!(
                error,
                BucketError::Missing { .. } | BucketError::Elsewhere { .. }
            ),
            _ => false,
        }
    }
}

impl From<LeaseError> for PruneError {
    fn from(error: LeaseError) -> PruneError {
        PruneError::Lease(Box::new(error))
    }
}

impl From<ReleaseError> for PruneError {
    fn from(error: ReleaseError) -> PruneError {
        PruneError::Desk(Box::new(error))
    }
}

impl From<Vec<Mistake>> for PruneError {
    fn from(mistakes: Vec<Mistake>) -> PruneError {
        PruneError::Customers(Box::new(ShareError::Mistakes(mistakes)))
    }
}

/// What did not work out, of a release or a Region. The others were gone on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Where, if it is of a Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Of which release, if it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// What and why.
    pub error: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Trouble {
    /// A call that failed.
    pub fn of_call(region: &Region, release: Option<&ReleaseId>, error: &AwsError) -> Trouble {
        Trouble {
            region: Some(region.clone()),
            release: release.cloned(),
            error: error.to_string(),
            advice: Some(error.advice()),
        }
    }

    /// The catalog's page could not be written.
    pub fn of_page(error: &ReleaseError) -> Trouble {
        Trouble {
            region: None,
            release: None,
            error: format!("the catalog's page is not as it should be: {error}"),
            advice: error.advice(),
        }
    }

    /// Something of a release's as a whole.
    pub fn of_release(
        release: &ReleaseId,
        error: impl std::fmt::Display,
        advice: Option<String>,
    ) -> Trouble {
        Trouble {
            region: None,
            release: Some(release.clone()),
            error: error.to_string(),
            advice,
        }
    }
}
