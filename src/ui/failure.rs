//! Errors as users see them: what, where, why, and what next; and the exit status that goes with
//! them.

use std::fmt::Display;

use serde::Serialize;

use super::{LogFormat, Ui};
use crate::aws::AwsError;
use crate::builder::ec2::InstanceBuildError;
use crate::builder::local::BuildError;
use crate::builder::packages::PackagesError;
use crate::builder::worker::WorkerError;
use crate::causes::chain;
use crate::channels::settings::ChannelNameError;
use crate::config::ConfigError;
use crate::diff::load::LoadError;
use crate::diff::secdb::load::SecdbError;
use crate::image::install::InstallError;
use crate::image::manifest::ManifestError;
use crate::list::ListError;
use crate::lock::LockError;
use crate::nightly::error::NightlyError;
use crate::plan::{PlanError, WriteError};
use crate::profile::ProfileError;
use crate::publish::PublishError;
use crate::publish::complete::SettingsError;
use crate::release::error::ReleaseError;
use crate::release::prune::error::PruneError;
use crate::release::verify::VerifyError;
use crate::sandbox::SandboxError;
use crate::sandbox::server::EnvironmentError;
use crate::share::customers::error::EditError;
use crate::share::error::ShareError;
use crate::sign::SignError;
use crate::vm::VmError;
use crate::{diff, publish};

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// Wrong usage or bad input.
    BadInput = 2,
    /// Differences were found where the command was asked to check.
    Differs = 3,
    /// There was nothing to do where the caller asked to know.
    Unchanged = 4,
}

/// A failed command.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// What went wrong, on what, and why.
    pub error: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The exit status.
    #[serde(skip)]
    pub status: u8,
}

impl Failure {
    /// Something that did not work out.
    pub fn failed(error: impl Display, advice: Option<String>) -> Failure {
        Failure {
            error: error.to_string(),
            advice,
            status: Status::Failed as u8,
        }
    }

    /// Something wrong with what the user wrote.
    pub fn bad_input(error: impl Display, advice: Option<String>) -> Failure {
        Failure {
            status: Status::BadInput as u8,
            ..Failure::failed(error, advice)
        }
    }

    /// Prints the error on standard error.
    pub fn print(&self, ui: &Ui) {
        match ui.log {
            LogFormat::Text => {
                eprintln!("error: {}", self.error);
                if let Some(advice) = &self.advice {
                    // What follows the first line stands below it.
                    eprintln!("  next: {}", advice.replace('\n', "\n        "));
                }
            }
            LogFormat::Json => {
                tracing::error!(advice = self.advice.as_deref(), "{}", self.error);
            }
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Failure {
        Failure::bad_input(chain(&error), error.advice())
    }
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Failure {
        Failure::bad_input(chain(&error), error.advice())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let advice = match &error {
            ConfigError::Mistake(mistake) => mistake.hint.clone(),
            ConfigError::Read { .. } | ConfigError::NoFolder { .. } => Some(
                "correct the path; relative ones begin at the configuration's own folder"
                    .to_owned(),
            ),
        };
        Failure::bad_input(chain(&error), advice)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Failure {
        Failure::failed(chain(&error), Some(error.advice().to_owned()))
    }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Failure {
        Failure::failed(chain(&error), error.advice().map(str::to_owned))
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Failure {
        match error {
            BuildError::Keys(_) => Failure::bad_input(chain(&error), error.advice()),
            BuildError::Packages(error) => error.into(),
            _ => Failure::failed(chain(&error), error.advice()),
        }
    }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Failure {
        Failure::failed(chain(&error), error.advice())
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Failure {
        Failure::bad_input(chain(&error), Some(error.advice().to_owned()))
    }
}

impl From<VmError> for Failure {
    fn from(error: VmError) -> Failure {
        Failure::failed(chain(&error), error.advice())
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Failure {
        match error {
            SandboxError::Account(_) | SandboxError::Limit(_) | SandboxError::Scale { .. } => {
                Failure::bad_input(chain(&error), error.advice())
            }
            _ => Failure::failed(chain(&error), error.advice()),
        }
    }
}

impl From<EnvironmentError> for Failure {
    fn from(error: EnvironmentError) -> Failure {
        Failure::bad_input(chain(&error), error.advice())
    }
}

impl From<AwsError> for Failure {
    fn from(error: AwsError) -> Failure {
        let advice = error.advice();
        Failure::failed(error, Some(advice))
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        let advice = error.advice();
        Failure::bad_input(error, Some(advice))
    }
}

impl From<publish::subject::SubjectError> for Failure {
    fn from(error: publish::subject::SubjectError) -> Failure {
        let advice = error.advice();
        Failure::bad_input(chain(&error), Some(advice))
    }
}

impl From<diff::subject::SubjectError> for Failure {
    fn from(error: diff::subject::SubjectError) -> Failure {
        let advice = error.advice();
        Failure::bad_input(chain(&error), advice)
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Failure {
        let advice = Some(error.advice());
        match error.is_bad_input() {
            true => Failure::bad_input(error, advice),
            false => Failure::failed(error, advice),
        }
    }
}

impl From<ChannelNameError> for Failure {
    fn from(error: ChannelNameError) -> Failure {
        let advice = error.advice();
        Failure::bad_input(error, Some(advice))
    }
}

/// Errors that say themselves whether it is the user's input that is wrong.
macro_rules! from_errors {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                let advice = error.advice();
                match error.is_bad_input() {
                    true => Failure::bad_input(chain(&error), advice),
                    false => Failure::failed(chain(&error), advice),
                }
            }
        }
    )+};
}

from_errors!(
    EditError,
    InstanceBuildError,
    ListError,
    LoadError,
    LockError,
    NightlyError,
    PackagesError,
    ReleaseError,
    VerifyError,
    PruneError,
    PublishError,
    SecdbError,
    ShareError
);

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::failed(error, None)
    }
}
