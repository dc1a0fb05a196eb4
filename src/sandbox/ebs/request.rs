//! Requests of the EBS direct APIs, taken apart: which call, and its query and headers.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use hyper::Method;

use super::error::invalid_value;
use crate::sandbox::error::ServiceError;
use crate::sandbox::http::Request;

/// A call, with what its path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `POST /snapshots`
    StartSnapshot,
    /// `PUT /snapshots/{snapshot}/blocks/{index}`
    PutSnapshotBlock {
        /// The snapshot.
        snapshot: String,
        /// The block.
        index: String,
    },
    /// `POST /snapshots/completion/{snapshot}`
    CompleteSnapshot {
        /// The snapshot.
        snapshot: String,
    },
    /// `GET /snapshots/{snapshot}/blocks`
    ListSnapshotBlocks {
        /// The snapshot.
        snapshot: String,
    },
    /// `GET /snapshots/{second}/changedblocks`
    ListChangedBlocks {
        /// The later snapshot.
        second: String,
    },
    /// `GET /snapshots/{snapshot}/blocks/{index}`
    GetSnapshotBlock {
        /// The snapshot.
        snapshot: String,
        /// The block.
        index: String,
    },
}

impl Call {
    /// The call that a request is, by its method and path.
    pub fn of(request: &Request) -> Option<Call> {
        let path = percent_encoding::percent_decode_str(&request.path)
            .decode_utf8()
            .ok()?;
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let owned = |text: &str| text.to_owned();
        Some(match (&request.method, parts.as_slice()) {
            (&Method::POST, ["snapshots"]) => Call::StartSnapshot,
            (&Method::POST, ["snapshots", "completion", snapshot]) => Call::CompleteSnapshot {
                snapshot: owned(snapshot),
            },
            (&Method::PUT, ["snapshots", snapshot, "blocks", index]) => Call::PutSnapshotBlock {
                snapshot: owned(snapshot),
                index: owned(index),
            },
            (&Method::GET, ["snapshots", snapshot, "blocks", index]) => Call::GetSnapshotBlock {
                snapshot: owned(snapshot),
                index: owned(index),
            },
            (&Method::GET, ["snapshots", snapshot, "blocks"]) => Call::ListSnapshotBlocks {
                snapshot: owned(snapshot),
            },
            (&Method::GET, ["snapshots", second, "changedblocks"]) => Call::ListChangedBlocks {
                second: owned(second),
            },
            _ => return None,
        })
    }

    /// The snapshot that the path names.
    pub fn snapshot(&self) -> Option<&str> {
        match self {
            Call::StartSnapshot => None,
            Call::ListChangedBlocks { second } => Some(second),
            Call::PutSnapshotBlock { snapshot, .. }
            | Call::CompleteSnapshot { snapshot }
            | Call::ListSnapshotBlocks { snapshot }
            | Call::GetSnapshotBlock { snapshot, .. } => Some(snapshot),
        }
    }

    /// The operation's name.
    pub fn name(&self) -> &'static str {
        match self {
            Call::StartSnapshot => "StartSnapshot",
            Call::PutSnapshotBlock { .. } => "PutSnapshotBlock",
            Call::CompleteSnapshot { .. } => "CompleteSnapshot",
            Call::ListSnapshotBlocks { .. } => "ListSnapshotBlocks",
            Call::ListChangedBlocks { .. } => "ListChangedBlocks",
            Call::GetSnapshotBlock { .. } => "GetSnapshotBlock",
        }
    }
}

/// The query and the headers of a request.
#[derive(Debug)]
pub struct Parts<'a> {
    request: &'a Request,
    query: BTreeMap<String, String>,
}

impl<'a> Parts<'a> {
    /// Takes a request's query apart.
    ///
    /// # Errors
    /// A parameter is given twice.
    pub fn new(request: &'a Request) -> Result<Parts<'a>, ServiceError> {
        let mut query = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(request.query.as_bytes()) {
            // A presigned request's signature, and the operation's name, which some SDKs add.
            if name == "x-id" || name.to_ascii_lowercase().starts_with("x-amz-") {
                continue;
            }
            if query.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(invalid_value(format!("{name} is given more than once")));
            }
        }
        Ok(Parts { request, query })
    }

    /// A parameter of the query, which stays there.
    pub fn peek(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A parameter of the query.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.query.remove(name)
    }

    /// A number of the query.
    ///
    /// # Errors
    /// It is none, or lies outside.
    pub fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Result<Option<T>, ServiceError> {
        self.query
            .remove(name)
            .map(|text| parse(name, &text, range))
            .transpose()
    }

    /// Ends the reading of the query.
    ///
    /// # Errors
    /// A parameter was not taken.
    pub fn finish(&self) -> Result<(), ServiceError> {
        match self.query.keys().next() {
            Some(name) => Err(invalid_value(format!(
                "The parameter {name} is not recognized"
            ))),
            None => Ok(()),
        }
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.request.header(name)
    }

    /// A header that must be there.
    ///
    /// # Errors
    /// It is not.
    pub fn required_header(&self, name: &str) -> Result<&'a str, ServiceError> {
        self.header(name)
            .ok_or_else(|| invalid_value(format!("The header {name} is missing")))
    }

    /// A number in a header.
    ///
    /// # Errors
    /// It is none, or lies outside.
    pub fn header_number<T: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Result<Option<T>, ServiceError> {
        self.header(name)
            .map(|text| parse(name, text, range))
            .transpose()
    }

    /// A header that can have one value only; whether it is there.
    ///
    /// # Errors
    /// It has another one.
    pub fn header_is(&self, name: &str, only: &str) -> Result<bool, ServiceError> {
        match self.header(name) {
            None => Ok(false),
            Some(value) if value == only => Ok(true),
            Some(value) => Err(invalid_value(format!(
                "Value '{value}' at '{name}' failed to satisfy constraint: Member must satisfy enum \
                 value set: [{only}]"
            ))),
        }
    }
}

/// Reads a number.
///
/// # Errors
/// It is none, or lies outside.
pub fn parse<T: FromStr + PartialOrd + Display>(
    name: &str,
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, ServiceError> {
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            invalid_value(format!(
                "Value '{text}' at '{name}' failed to satisfy constraint: Member must have a value \
                 from {} to {}",
                range.start(),
                range.end()
            ))
        })
}
