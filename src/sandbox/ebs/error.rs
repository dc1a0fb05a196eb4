//! Errors as the EBS direct APIs type them, with their reasons.

use std::borrow::Cow;
use std::io;

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::kms::{self, KeyUse};
use crate::sandbox::world::World;

/// `ValidationException` with a reason.
pub fn validation(reason: &'static str, message: impl Into<Cow<'static, str>>) -> ServiceError {
    ServiceError::new("ValidationException", message.into().into_owned()).member("Reason", reason)
}

/// `ValidationException`: a parameter has a value that it cannot have.
pub fn invalid_value(message: impl Into<Cow<'static, str>>) -> ServiceError {
    validation("INVALID_PARAMETER_VALUE", message)
}

/// `ResourceNotFoundException`: there is no such snapshot for the caller.
pub fn snapshot_not_found(id: &str) -> ServiceError {
    ServiceError::new(
        "ResourceNotFoundException",
        format!("The snapshot '{id}' does not exist."),
    )
    .status(404)
    .member("Reason", "SNAPSHOT_NOT_FOUND")
}

/// Why a snapshot's files cannot be opened or read: mostly it was deleted since the call looked.
pub fn unreadable(id: &str, error: &io::Error) -> ServiceError {
    match error.kind() {
        io::ErrorKind::NotFound => snapshot_not_found(id),
        _ => ServiceError::internal(error),
    }
}

/// `ResourceNotFoundException`: a key is not there.
pub fn key_not_found(key: &str) -> ServiceError {
    ServiceError::new(
        "ResourceNotFoundException",
        format!("The KMS key '{key}' does not exist or is in another Region."),
    )
    .status(404)
    .member("Reason", "DEPENDENCY_RESOURCE_NOT_FOUND")
}

/// `AccessDeniedException`: the snapshot is another account's.
pub fn not_the_owner(id: &str) -> ServiceError {
    ServiceError::new(
        "AccessDeniedException",
        format!("The snapshot '{id}' is another account's."),
    )
    .status(403)
    .member("Reason", "UNAUTHORIZED_ACCOUNT")
}

/// `ServiceQuotaExceededException`.
pub fn quota_exceeded(message: impl Into<String>) -> ServiceError {
    ServiceError::new("ServiceQuotaExceededException", message)
        .status(402)
        .member("Reason", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED")
}

/// Whether the caller may use a snapshot's key.
///
/// # Errors
/// `AccessDeniedException`, or `ValidationException` for a key that cannot be used by anybody.
pub fn authorize(
    context: &Context,
    world: &World,
    key: Option<&str>,
    usage: KeyUse,
) -> Result<(), ServiceError> {
    let Some(key) = key else { return Ok(()) };
    kms::authorize(world, &context.caller, key, usage, None).map_err(|error| match &*error.code {
        "DisabledException" | "KMSInvalidStateException" => {
            validation("INVALID_CUSTOMER_KEY", error.message)
        }
        "NotFoundException" => key_not_found(key),
        _ => ServiceError::new("AccessDeniedException", error.message)
            .status(403)
            .member("Reason", "DEPENDENCY_ACCESS_DENIED"),
    })
}
