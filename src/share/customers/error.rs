//! Why the file of customers was not changed.

use std::io;
use std::path::PathBuf;

use crate::profile::error::{Mistake, nearest};

/// Why the file of customers was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is a customer of the name.
    #[error("there is a customer `{name}` already, in {file}, line {line}; nothing was changed")]
    Exists {
        /// The name.
        name: String,
        /// The file.
        file: String,
        /// The line.
        line: usize,
    },
    /// There is none of the name.
    #[error("there is no customer `{name}` in {file}")]
    Unknown {
        /// The name.
        name: String,
        /// The file.
        file: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The customers are not tables.
    #[error("{file}:{line}: `customers` is one inline table, which this program does not change")]
    Inline {
        /// The file.
        file: String,
        /// The line.
        line: usize,
    },
    /// The file is wrong already.
    #[error("{file} has mistakes, and was not changed:{}", all(.mistakes))]
    Wrong {
        /// The file.
        file: String,
        /// What is wrong with it.
        mistakes: Vec<Mistake>,
    },
    /// The file would be wrong afterwards.
    #[error("nothing was changed, since {file} would have mistakes:{}", all(.mistakes))]
    WouldBeWrong {
        /// The file.
        file: String,
        /// What would be wrong with it, in lines of what would have been written.
        mistakes: Vec<Mistake>,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}, which is as it was: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl EditError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            EditError::Exists { name, .. } => format!(
                "edit the file there, or take the customer out first: `alpine-ami share remove {name}`"
            ),
            EditError::Unknown { name, known, .. } => {
                let all = match &known[..] {
                    [] => "there are none".to_owned(),
                    known => format!("there are: {}", known.join(", ")),
                };
                match nearest(name, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`? {all}"),
                    None => all,
                }
            }
            EditError::Inline { .. } => {
                "write each customer as a table of its own, [customers.NAME]".to_owned()
            }
            EditError::Wrong { mistakes, .. } => {
                hints(mistakes).unwrap_or_else(|| "correct the file first".to_owned())
            }
            EditError::WouldBeWrong { mistakes, .. } => {
                hints(mistakes).unwrap_or_else(|| "correct the options".to_owned())
            }
            EditError::Read { .. } | EditError::Write { .. } => {
                "check the path (`customers` in [share] of the configuration) and its permissions"
                    .to_owned()
            }
        })
    }

    /// Whether it is what the user wrote that is wrong.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, EditError::Read { .. } | EditError::Write { .. })
    }
}

fn all(mistakes: &[Mistake]) -> String {
    mistakes
        .iter()
        .map(|mistake| format!("\n  {mistake}"))
        .collect()
}

fn hints(mistakes: &[Mistake]) -> Option<String> {
    let mut hints: Vec<&str> = mistakes
        .iter()
        .filter_map(|one| one.hint.as_deref())
        .collect();
    hints.dedup();
    (!hints.is_empty()).then(|| hints.join("\n"))
}
