//! How a sandbox is to be, and why one could not be started.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::sandbox::error::ServiceError;
use crate::sandbox::id::AccountId;
use crate::sandbox::limits::Limit;
use crate::sandbox::machines::InstanceMode;
use crate::sandbox::store::StoreError;

/// How a sandbox is to be.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Folder of its state; made where it is missing.
    pub state: PathBuf,
    /// Where it listens; port 0 takes a free one. What is not loopback is reachable for others:
    /// [`super::Sandbox::warnings`] then says so.
    pub listen: SocketAddr,
    /// Accounts by name, besides those in the state.
    pub accounts: Vec<(String, AccountId)>,
    /// How instances run.
    pub instances: InstanceMode,
    /// What AWS's durations are multiplied by: 1 is AWS's pace, 0 is at once.
    pub clock_scale: f64,
    /// This program's own file, which machines need; without it instances cannot run.
    pub program: Option<PathBuf>,
    /// Quotas and rates other than AWS's, by name.
    pub limits: Vec<(String, Limit)>,
}

impl SandboxConfig {
    /// The default accounts, a free port of loopback, no machines, everything at once: for tests.
    pub fn for_tests(state: PathBuf) -> SandboxConfig {
        SandboxConfig {
            state,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            accounts: default_accounts(),
            instances: InstanceMode::None,
            clock_scale: 0.0,
            program: None,
            limits: Vec::new(),
        }
    }
}

/// `publisher` 111111111111 and `customer` 222222222222.
pub fn default_accounts() -> Vec<(String, AccountId)> {
    [("publisher", "111111111111"), ("customer", "222222222222")]
        .map(|(name, id)| (name.to_owned(), id.parse().expect("twelve digits")))
        .to_vec()
}

/// A sandbox that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The folder of its state fails.
    #[error("cannot use the sandbox's folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another sandbox uses the folder.
    #[error(
        "{path} is the state of a sandbox that runs already{}",
        process.map(|id| format!(" (process {id})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process of the one that runs.
        process: Option<u32>,
    },
    /// The state fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why it failed.
        source: io::Error,
    },
    /// An account that was asked for contradicts one that is there.
    #[error("{0}")]
    Account(String),
    /// A limit that was asked for cannot be set.
    #[error("{0}")]
    Limit(String),
    /// The clock's scale is no number from 0.
    #[error("the clock's scale is a number from 0 to {most}, not {scale}", most = super::MOST_SCALE)]
    Scale {
        /// What was given.
        scale: f64,
    },
    /// The accounts cannot be put in.
    #[error("cannot set up the accounts: {0}")]
    Accounts(ServiceError),
}

impl SandboxError {
    /// What the reader can do about it.
    pub fn advice(&self) -> Option<String> {
        let advice = match self {
            SandboxError::Folder { .. } => "give a folder that can be written with --state",
            SandboxError::InUse { .. } => {
                "stop that one, or give this one another folder with --state"
            }
            SandboxError::Store(_) => {
                "a state that another version wrote or that is damaged cannot be taken over: give \
                 another folder with --state"
            }
            SandboxError::Listen { .. } => {
                "if another program has that port, choose one with --listen; port 0 takes a free one"
            }
            SandboxError::Account(_)
            | SandboxError::Limit(_)
            | SandboxError::Scale { .. }
            | SandboxError::Accounts(_) => return None,
        };
        Some(advice.to_owned())
    }
}
