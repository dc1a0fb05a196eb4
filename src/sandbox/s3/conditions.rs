//! Conditions of requests: on what is read, and on what a write replaces.

use s3s::dto::{ETagCondition, Timestamp};

use super::call::{fault, timestamp};
use super::model::{Content, Record};
use crate::sandbox::clock;
use crate::sandbox::error::ServiceError;

/// Conditions of a read, or on the source of a copy.
#[derive(Debug, Default)]
pub struct ReadConditions {
    /// `If-Match`.
    pub matches: Option<ETagCondition>,
    /// `If-None-Match`.
    pub differs: Option<ETagCondition>,
    /// `If-Modified-Since`.
    pub modified_since: Option<Timestamp>,
    /// `If-Unmodified-Since`.
    pub unmodified_since: Option<Timestamp>,
}

/// What conditions of a read come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadVerdict {
    /// They hold.
    Go,
    /// The reader has it already.
    NotModified,
    /// The named one does not hold.
    Failed(&'static str),
}

impl ReadConditions {
    /// Whether they hold. As AWS has it, an `If-Match` that holds outweighs `If-Unmodified-Since`,
    /// and an `If-None-Match` outweighs `If-Modified-Since`. Times are compared in seconds, as
    /// headers have them.
    pub fn judge(&self, etag: &str, modified: clock::Timestamp) -> ReadVerdict {
        let modified = timestamp(clock::Timestamp(modified.0 / 1000 * 1000));
        match (&self.matches, &self.unmodified_since) {
            (Some(condition), _) if !is_met(condition, etag) => {
                return ReadVerdict::Failed("If-Match");
            }
            (None, Some(moment)) if modified > *moment => {
                return ReadVerdict::Failed("If-Unmodified-Since");
            }
            _ => {}
        }
        match (&self.differs, &self.modified_since) {
            (Some(condition), _) if is_met(condition, etag) => ReadVerdict::NotModified,
            (None, Some(moment)) if modified <= *moment => ReadVerdict::NotModified,
            _ => ReadVerdict::Go,
        }
    }
}

/// The error for a condition that does not hold.
pub fn precondition_failed(condition: &'static str) -> ServiceError {
    fault(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
    )
    .member("Condition", condition)
}

fn is_met(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => wanted.value() == etag,
    }
}

/// Conditions of a write on what it replaces.
#[derive(Debug, Clone, Default)]
pub struct WriteConditions {
    matches: Option<ETagCondition>,
    only_new: bool,
}

impl WriteConditions {
    /// From `If-Match` and `If-None-Match`.
    ///
    /// # Errors
    /// `NotImplemented`: an `If-None-Match` that is not `*`.
    pub fn new(
        matches: Option<ETagCondition>,
        differs: Option<ETagCondition>,
    ) -> Result<WriteConditions, ServiceError> {
        if differs
            .as_ref()
            .is_some_and(|condition| !condition.is_any())
        {
            return Err(fault(
                "NotImplemented",
                "A header you provided implies functionality that is not implemented",
            )
            .member("Header", "If-None-Match"));
        }
        Ok(WriteConditions {
            matches,
            only_new: differs.is_some(),
        })
    }

    /// Whether the writer must be allowed to read what it replaces.
    pub fn reads(&self) -> bool {
        self.matches.is_some()
    }

    /// Whether they are on what the object is, and not just on its being there.
    pub fn names_content(&self) -> bool {
        matches!(self.matches, Some(ETagCondition::ETag(_)))
    }

    /// Whether they hold now, when the object is replaced. `existed` is whether there was one when
    /// the request came: a writer who lost a race against a deletion is told so.
    ///
    /// # Errors
    /// `PreconditionFailed`, `ConditionalRequestConflict` or `NoSuchKey`.
    pub fn check(&self, record: Option<&Record>, existed: bool) -> Result<(), ServiceError> {
        let current = content(record);
        if self.only_new {
            match current {
                Some(_) => return Err(precondition_failed("If-None-Match")),
                None if existed => return Err(conflict("If-None-Match")),
                None => {}
            }
        }
        match (&self.matches, current) {
            (None, _) => Ok(()),
            (Some(condition), Some(current)) if is_met(condition, &current.etag) => Ok(()),
            (Some(_), Some(_)) => Err(precondition_failed("If-Match")),
            (Some(_), None) if existed => Err(conflict("If-Match")),
            (Some(_), None) => Err(fault("NoSuchKey", "The specified key does not exist.")),
        }
    }
}

/// What a reader without a version id would get.
pub fn content(record: Option<&Record>) -> Option<&Content> {
    record.and_then(Record::current).map(|(_, content)| content)
}

fn conflict(condition: &'static str) -> ServiceError {
    fault(
        "ConditionalRequestConflict",
        "The conditional request cannot succeed due to a conflicting operation against this \
         resource.",
    )
    .member("Condition", condition)
}
