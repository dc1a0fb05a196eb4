//! JSON bodies of the AWS JSON and REST protocols.

use serde::de::DeserializeOwned;

use crate::sandbox::error::ServiceError;

/// Reads a body; none is an empty object. Types should deny unknown fields.
///
/// # Errors
/// `SerializationException`: no JSON, or not of the operation's shape.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ServiceError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| ServiceError::new("SerializationException", error.to_string()))
}
