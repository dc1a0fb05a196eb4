//! Errors as AWS types them: a code that programs act on, and a message for people.

use std::borrow::Cow;

/// An error that is the answer to a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ServiceError {
    /// AWS's code, such as `InvalidAMIID.NotFound`.
    pub code: Cow<'static, str>,
    /// What is wrong, with the resource's name.
    pub message: String,
    /// HTTP status.
    pub status: u16,
    /// Further members of a JSON error, such as the `Reason` of EBS's errors.
    pub members: Vec<(&'static str, String)>,
}

impl ServiceError {
    /// An error of the caller's, status 400.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> ServiceError {
        ServiceError {
            code: code.into(),
            message: message.into(),
            status: 400,
            members: Vec::new(),
        }
    }

    /// The same with another HTTP status.
    pub fn status(mut self, status: u16) -> ServiceError {
        self.status = status;
        self
    }

    /// The same with a further member, for JSON services.
    pub fn member(mut self, name: &'static str, value: impl Into<String>) -> ServiceError {
        self.members.push((name, value.into()));
        self
    }

    /// A failure of the sandbox itself: its disk, its programs. Status 500.
    pub fn internal(what: impl std::fmt::Display) -> ServiceError {
        tracing::error!("sandbox: {what}");
        ServiceError::new("InternalError", format!("the sandbox failed: {what}")).status(500)
    }

    /// EC2: a required parameter is not there.
    pub fn missing_parameter(name: &str) -> ServiceError {
        ServiceError::new(
            "MissingParameter",
            format!("The request must contain the parameter {name}"),
        )
    }

    /// EC2: a parameter has a value that it cannot have.
    pub fn invalid_value(name: &str, value: &str, why: impl std::fmt::Display) -> ServiceError {
        ServiceError::new(
            "InvalidParameterValue",
            format!("Value ({value}) for parameter {name} is invalid. {why}"),
        )
    }

    /// EC2: parameters that do not go together.
    pub fn invalid_combination(why: impl Into<String>) -> ServiceError {
        ServiceError::new("InvalidParameterCombination", why)
    }
}
