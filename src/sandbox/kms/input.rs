//! What requests carry, and the errors for what they must not.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::sandbox::error::ServiceError;
use crate::sandbox::wire::page::{Page, read_token, write_token};

/// `ValidationException` for a value that breaks a constraint of the model.
pub(super) fn invalid(value: &str, member: &str, constraint: &str) -> ServiceError {
    wrong(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: \
         {constraint}"
    ))
}

/// `ValidationException` for what goes wrong otherwise.
pub(super) fn wrong(message: impl Into<String>) -> ServiceError {
    ServiceError::new("ValidationException", message)
}

/// `UnsupportedOperationException`: AWS has it, the sandbox has not, or neither has.
pub(super) fn unsupported(message: impl Into<String>) -> ServiceError {
    ServiceError::new("UnsupportedOperationException", message)
}

/// A member that must be there.
pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T, ServiceError> {
    value.ok_or_else(|| {
        wrong(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: \
             Member must not be null"
        ))
    })
}

/// A text whose length is limited.
pub(super) fn sized(
    text: &str,
    member: &str,
    least: usize,
    most: usize,
) -> Result<(), ServiceError> {
    let length = text.chars().count();
    let constraint = if length < least {
        format!("Member must have length greater than or equal to {least}")
    } else if length > most {
        format!("Member must have length less than or equal to {most}")
    } else {
        return Ok(());
    };
    Err(invalid(text, member, &constraint))
}

/// A key's id, ARN or alias, which must be there.
pub(super) fn key_id(value: Option<String>, member: &str) -> Result<String, ServiceError> {
    let value = required(value, member)?;
    sized(&value, member, 1, 2048)?;
    Ok(value)
}

/// A text that must be one of a list.
pub(super) fn one_of<'a>(
    value: &str,
    member: &str,
    known: &'a [&'a str],
) -> Result<&'a str, ServiceError> {
    known
        .iter()
        .find(|name| **name == value)
        .copied()
        .ok_or_else(|| {
            invalid(
                value,
                member,
                &format!("Member must satisfy enum value set: [{}]", known.join(", ")),
            )
        })
}

/// A number within bounds.
pub(super) fn within(
    value: i64,
    member: &str,
    bounds: std::ops::RangeInclusive<u32>,
) -> Result<u32, ServiceError> {
    let text = value.to_string();
    if value < i64::from(*bounds.start()) {
        return Err(invalid(
            &text,
            member,
            &format!(
                "Member must have value greater than or equal to {}",
                bounds.start()
            ),
        ));
    }
    u32::try_from(value)
        .ok()
        .filter(|value| value <= bounds.end())
        .ok_or_else(|| {
            invalid(
                &text,
                member,
                &format!(
                    "Member must have value less than or equal to {}",
                    bounds.end()
                ),
            )
        })
}

/// Bytes as JSON has them, base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob(pub Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Blob, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD
            .decode(&text)
            .map(Blob)
            .map_err(serde::de::Error::custom)
    }
}

impl Blob {
    /// Of a size that the model allows.
    pub fn sized(self, member: &str, most: usize) -> Result<Vec<u8>, ServiceError> {
        let length = self.0.len();
        let constraint = match length {
            0 => "Member must have length greater than or equal to 1".to_owned(),
            _ if length > most => {
                format!("Member must have length less than or equal to {most}")
            }
            _ => return Ok(self.0),
        };
        Err(invalid(&format!("({length} bytes)"), member, &constraint))
    }
}

/// Bytes for an answer.
pub(super) fn blob(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// A part of a list: `Limit` and `Marker`.
#[derive(Debug)]
pub(super) struct Part {
    operation: &'static str,
    limit: usize,
    after: Option<String>,
}

impl Part {
    /// Reads the members. `usual` is how many there are without a limit.
    pub fn new(
        operation: &'static str,
        limit: Option<i64>,
        marker: Option<String>,
        usual: usize,
    ) -> Result<Part, ServiceError> {
        let limit = match limit {
            Some(limit) => within(limit, "limit", 1..=1000)? as usize,
            None => usual,
        };
        let after = marker
            .map(|marker| {
                read_token(operation, &marker).ok_or_else(|| {
                    ServiceError::new("InvalidMarkerException", "The marker is not valid.")
                })
            })
            .transpose()?;
        Ok(Part {
            operation,
            limit,
            after,
        })
    }

    /// The part of items that are in the order of their keys, as the answer has it under `name`.
    pub fn cut(
        &self,
        name: &str,
        items: impl Iterator<Item = (String, serde_json::Value)>,
    ) -> serde_json::Value {
        let items: Vec<_> = items.collect();
        let page = Page::new(Some(self.limit), self.after.clone());
        let (items, token) = page.cut(self.operation, items, |(key, _)| key.clone());
        let last = items.last().map(|(key, _)| key.clone());
        let values: Vec<_> = items.into_iter().map(|(_, value)| value).collect();
        let mut answer = serde_json::Map::new();
        answer.insert(name.to_owned(), values.into());
        answer.insert("Truncated".to_owned(), token.is_some().into());
        if let (Some(_), Some(last)) = (token, last) {
            answer.insert(
                "NextMarker".to_owned(),
                write_token(self.operation, &last).into(),
            );
        }
        answer.into()
    }
}
