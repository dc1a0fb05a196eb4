//! The small objects: pointers from sources to releases, and leases.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bucket, BucketError, error, keys};
use crate::aws::s3::{Condition, ETag, Object, Put};
use crate::publish::lease::{Of, Terms};
use crate::publish::manifest::Source;
use crate::publish::release::{Line, ReleaseId};

/// Which release a source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::publish) struct Pointer {
    /// The release.
    pub release: ReleaseId,
    /// The run that wrote this: no two write equal bytes.
    pub run: String,
}

impl Bucket {
    /// Which release a source is in a line, by its pointer. The release may have no manifest yet,
    /// or another source's: [`super::claim`] knows.
    pub(in crate::publish) async fn pointer(
        &self,
        line: &Line,
        source: &Source,
    ) -> Result<Option<(Pointer, ETag)>, BucketError> {
        let key = keys::source(line, source);
        let Some(object) = self.object(&key).await? else {
            return Ok(None);
        };
        let pointer: Pointer = self.parse(&key, &object.bytes)?;
        if pointer.release.line != *line {
            let why = format!("{} is not of the line {line}", pointer.release);
            return Err(error::unreadable(self, &key, why));
        }
        Ok(Some((pointer, object.etag)))
    }

    /// Writes which release a source is. False if the condition does not hold.
    pub(in crate::publish) async fn point(
        &self,
        line: &Line,
        source: &Source,
        pointer: &Pointer,
        condition: &Condition,
    ) -> Result<bool, BucketError> {
        let key = keys::source(line, source);
        let put = self.put_json(&key, pointer, condition).await?;
        Ok(matches!(put, Put::Written(_)))
    }

    /// A lease, and the object that it is in.
    pub(in crate::publish) async fn lease(
        &self,
        of: &Of,
    ) -> Result<Option<(Terms, Object)>, BucketError> {
        let key = of.key();
        let Some(object) = self.object(&key).await? else {
            return Ok(None);
        };
        Ok(Some((self.parse(&key, &object.bytes)?, object)))
    }

    /// Writes a lease, or gives up after `within`.
    pub(in crate::publish) async fn put_lease(
        &self,
        of: &Of,
        terms: &Terms,
        condition: &Condition,
        within: Duration,
    ) -> Result<Put, BucketError> {
        let quick = Bucket {
            s3: self.s3.within(within),
            ..self.clone()
        };
        quick.put_json(&of.key(), terms, condition).await
    }

    /// Removes a lease. False if it is not that one any more.
    pub(in crate::publish) async fn remove_lease(
        &self,
        of: &Of,
        etag: &ETag,
    ) -> Result<bool, BucketError> {
        let key = format!("{}{}", self.prefix, of.key());
        Ok(self.s3.delete(&self.address, &key, etag).await?)
    }
}
