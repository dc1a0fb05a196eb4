//! What can be wrong with a lock.

use std::io;
use std::path::PathBuf;

use super::indexes::Date;
use crate::apk::keys::KeyError;
use crate::builder::packages::PackagesError;
use crate::profile::error::Mistake;

/// A lock that cannot be used, or made.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be read.
    #[error("cannot read the lock {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it makes no sense.
    #[error("{0}")]
    Mistake(Box<Mistake>),
    /// It was written by a later version of this program.
    #[error(
        "{path}:{line}: the lock has format {found}, this program knows {}",
        super::file::SCHEMA
    )]
    Schema {
        /// The file.
        path: String,
        /// Where it says so.
        line: usize,
        /// Its format.
        found: u32,
    },
    /// The profile asks for something else by now.
    #[error("the lock {path} is out of date:{}", list(.reasons))]
    Outdated {
        /// The file.
        path: PathBuf,
        /// What differs.
        reasons: Vec<String>,
        /// The command that brings it up to date.
        again: String,
    },
    /// There is none, and the build was to take only what is locked.
    #[error("there is no lock {path}, and --locked was given")]
    None {
        /// Where it would be.
        path: PathBuf,
        /// The command that makes it.
        again: String,
    },
    /// A mirror whose index is older than one that was seen before.
    #[error("{0}")]
    Older(Box<OlderIndex>),
    /// Keys that were named.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Repositories and packages.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// It cannot be written.
    #[error("cannot write the lock {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An index that is older than one that was seen before.
#[derive(Debug, thiserror::Error)]
#[error(
    "the index of {repository} from {from} is of {}, older than that of {} which {whose} was made from: the mirror is behind, or somebody serves old packages",
    Date(*.found), Date(*.locked)
)]
pub struct OlderIndex {
    /// What was made from the newer one: the lock `…`, the release `…`.
    pub whose: String,
    /// The repository.
    pub repository: String,
    /// The mirror.
    pub from: String,
    /// When the mirror's index was made.
    pub found: Option<time::OffsetDateTime>,
    /// When the newer one was.
    pub locked: Option<time::OffsetDateTime>,
    /// What to do where the repository was put back to what it was.
    pub put_back: String,
}

fn list(reasons: &[String]) -> String {
    let lines = reasons.iter().map(|reason| format!("\n  {reason}"));
    lines.collect()
}

impl LockError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            LockError::Read { .. } | LockError::Write { .. } => {
                "see that the folder of locks ([paths] locks in the configuration) can be read and written".to_owned()
            }
            LockError::Mistake(mistake) => {
                let hint = mistake.hint.iter().map(|hint| format!("{hint}\n"));
                format!(
                    "{}put the file back as it was, or remove it and lock anew: locks are made by `alpine-ami lock`",
                    hint.collect::<String>()
                )
            }
            LockError::Schema { .. } => {
                "use the version of alpine-ami that wrote it, or a later one".to_owned()
            }
            LockError::Outdated { again, .. } => format!(
                "`{again}` brings it up to date and changes no more than it must; then build again"
            ),
            LockError::None { again, .. } => format!("`{again}` makes it"),
            LockError::Older(older) => format!(
                "name another mirror with --mirror; if the repository was really put back to what it was, {}",
                older.put_back
            ),
            LockError::Keys(_) => {
                "--keys-dir names a folder with public keys called *.pub".to_owned()
            }
            LockError::Packages(error) => return error.advice(),
        })
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        if let LockError::Packages(error) = self {
            return error.is_bad_input();
        }
        matches!(
            self,
            LockError::Mistake(_)
                | LockError::Schema { .. }
                | LockError::Outdated { .. }
                | LockError::None { .. }
                | LockError::Keys(_)
        )
    }
}
