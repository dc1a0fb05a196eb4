//! What a client needs to use a sandbox, in a file of its state folder.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::accounts::access_key;
use super::state::{Lock, write_whole};
use crate::sandbox::id::AccountId;
use crate::sandbox::shared::Shared;

/// The Region that clients are told to use.
pub const DEFAULT_REGION: &str = "us-east-1";

/// What a client needs to use a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Such as `http://127.0.0.1:4566`.
    pub endpoint: String,
    /// The Region to use if there is no reason for another.
    pub region: String,
    /// The accounts, in the order of their ids.
    pub accounts: Vec<AccountEnvironment>,
}

/// An account and its access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountEnvironment {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: AccountId,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
}

/// An environment that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// There is none.
    #[error("no sandbox runs with its state in {state}")]
    NotStarted {
        /// The state folder.
        state: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is not what this version of the program writes.
    #[error("{path} is in a form unknown here")]
    Form {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: serde_json::Error,
    },
    /// There is no such account.
    #[error("the sandbox has no account `{name}`")]
    NoAccount {
        /// The name asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
}

impl EnvironmentError {
    /// What the reader can do about it.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            EnvironmentError::NotStarted { state } => format!(
                "start one: alpine-ami sandbox start --state {}",
                state.display()
            ),
            EnvironmentError::Unreadable { .. } => {
                "give the folder that the sandbox was started with, as the user who started it"
                    .to_owned()
            }
            EnvironmentError::Form { .. } => "start the sandbox anew with this version".to_owned(),
            EnvironmentError::NoAccount { known, .. } => format!("it has {known}"),
        })
    }
}

impl Environment {
    /// Reads the environment of the sandbox that runs with its state in that folder.
    ///
    /// # Errors
    /// None was started, or the file cannot be read.
    pub fn read(state: &Path) -> Result<Environment, EnvironmentError> {
        let not_started = || EnvironmentError::NotStarted {
            state: state.to_owned(),
        };
        // One that was killed leaves its file.
        if !Lock::is_taken(state) {
            return Err(not_started());
        }
        let path = file(state);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_started()),
            Err(source) => return Err(EnvironmentError::Unreadable { path, source }),
        };
        serde_json::from_slice(&text).map_err(|source| EnvironmentError::Form { path, source })
    }

    /// The account of that name or id.
    ///
    /// # Errors
    /// There is none.
    pub fn account(&self, name: &str) -> Result<&AccountEnvironment, EnvironmentError> {
        self.accounts
            .iter()
            .find(|account| account.name == name || account.id.as_str() == name)
            .ok_or_else(|| EnvironmentError::NoAccount {
                name: name.to_owned(),
                known: self
                    .accounts
                    .iter()
                    .map(|account| account.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// The environment of a sandbox at an endpoint.
    pub(in crate::sandbox) fn of(shared: &Shared, endpoint: &str) -> Environment {
        let accounts = shared.read(|world| {
            world
                .accounts
                .values()
                .filter_map(|account| {
                    let key = access_key(world, &account.id)?;
                    Some(AccountEnvironment {
                        name: account.name.clone(),
                        id: account.id.clone(),
                        access_key_id: key.id.clone(),
                        secret_access_key: key.secret.clone(),
                    })
                })
                .collect()
        });
        Environment {
            endpoint: endpoint.to_owned(),
            region: DEFAULT_REGION.to_owned(),
            accounts,
        }
    }

    /// Writes the environment, for its owner alone.
    ///
    /// # Errors
    /// It cannot be written.
    pub(in crate::sandbox) fn write(&self, state: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        text.push(b'\n');
        write_whole(&file(state), &text)
    }

    /// The sandbox is gone.
    pub(super) fn remove(state: &Path) {
        // Whoever reads it finds out that nobody answers.
        let _ = std::fs::remove_file(file(state));
    }
}

fn file(state: &Path) -> PathBuf {
    state.join("environment.json")
}
