//! A request to S3 under way: who asks, for which Region, and what the answer is to carry besides.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::gate::{OLD_REGIONS, no_version_2};
use super::model::Bucket;
use crate::sandbox::caller::Caller;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::Region;
use crate::sandbox::shared::Shared;
use crate::sandbox::world::World;

/// A request under way.
#[derive(Debug)]
pub struct Call {
    /// The sandbox.
    pub shared: Arc<Shared>,
    /// Who asks; nobody for anonymous requests.
    pub caller: Option<Caller>,
    /// The access key that it is signed with.
    pub access_key: Option<String>,
    /// The Region that it is signed for.
    pub region: Option<Region>,
    /// Whether its signature is of version 2.
    pub is_version_2: bool,
    /// The sandbox's time when it came.
    pub now: Timestamp,
    /// The request's id.
    pub request_id: String,
    /// Its method.
    pub method: hyper::Method,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its path, as it was sent.
    pub path: String,
    /// Its query, as it was sent.
    pub query: String,
    /// Whether the bucket is named by the host and not by the path.
    pub virtual_hosted: bool,
    /// Where it came from, if that is known.
    pub peer: Option<std::net::IpAddr>,
    /// What the answer carries besides.
    pub extra: Mutex<Extra>,
}

/// What an answer carries besides what its operation's output holds.
#[derive(Debug, Default)]
pub struct Extra {
    /// Further elements of an error document.
    pub members: Vec<(&'static str, String)>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Call {
    /// The call that a request of s3s belongs to.
    ///
    /// # Errors
    /// `InternalError`: none does.
    pub fn of<T>(request: &S3Request<T>) -> S3Result<Arc<Call>> {
        request
            .extensions
            .get::<Arc<Call>>()
            .cloned()
            .ok_or_else(|| S3Error::new(S3ErrorCode::InternalError))
    }

    /// Gives a header to the answer, be it an error or not.
    pub fn header(&self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.extra()
                .headers
                .push((HeaderName::from_static(name), value));
        }
    }

    /// What the answer carries besides.
    pub fn take_extra(&self) -> Extra {
        std::mem::take(&mut self.extra())
    }

    /// The result of an operation as s3s wants it.
    ///
    /// # Errors
    /// The operation's own.
    pub fn finish<T>(&self, result: Result<T, ServiceError>) -> S3Result<S3Response<T>> {
        result.map(S3Response::new).map_err(|error| {
            self.extra().members.extend(error.members.iter().cloned());
            to_s3(error)
        })
    }

    /// A bucket, if it is here and the owner that the caller expects.
    ///
    /// # Errors
    /// `NoSuchBucket`; `PermanentRedirect` or `AuthorizationHeaderMalformed` where the request is
    /// signed for another Region; `AccessDenied` for another owner.
    pub fn bucket<'w>(
        &self,
        world: &'w World,
        name: &str,
        expected_owner: Option<&str>,
    ) -> Result<&'w Bucket, ServiceError> {
        let bucket = world.s3.buckets.get(name);
        let bucket = bucket.ok_or_else(|| no_such_bucket(name))?;
        self.check_region(bucket)?;
        match expected_owner {
            Some(owner) if owner != bucket.account.as_str() => Err(access_denied()),
            _ => Ok(bucket),
        }
    }

    fn check_region(&self, bucket: &Bucket) -> Result<(), ServiceError> {
        if self.is_version_2 && !OLD_REGIONS.contains(&bucket.region.as_str()) {
            return Err(no_version_2());
        }
        let Some(signed) = self
            .region
            .as_ref()
            .filter(|signed| **signed != bucket.region)
        else {
            return Ok(());
        };
        self.header("x-amz-bucket-region", bucket.region.as_str());
        if self.virtual_hosted {
            return Err(fault(
                "AuthorizationHeaderMalformed",
                format!(
                    "The authorization header is malformed; the region '{signed}' is wrong; \
                     expecting '{}'",
                    bucket.region
                ),
            )
            .member("Region", bucket.region.as_str()));
        }
        Err(fault(
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified \
             endpoint. Please send all future requests to this endpoint.",
        )
        .member(
            "Endpoint",
            format!("s3.{}.amazonaws.com", bucket.region.as_str()),
        )
        .member("Bucket", &*bucket.name))
    }

    fn extra(&self) -> std::sync::MutexGuard<'_, Extra> {
        self.extra.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with the HTTP status that S3 gives its code.
pub fn fault(code: &'static str, message: impl Into<String>) -> ServiceError {
    let status = match code {
        "NoSuchPublicAccessBlockConfiguration"
        | "ServerSideEncryptionConfigurationNotFoundError"
        | "OwnershipControlsNotFoundError" => 404,
        _ => S3ErrorCode::from_str(code)
            .ok()
            .and_then(|code| code.status_code())
            .map_or(400, |status| status.as_u16()),
    };
    ServiceError::new(code, message).status(status)
}

/// The error for a bucket that is not there.
pub fn no_such_bucket(name: &str) -> ServiceError {
    fault("NoSuchBucket", "The specified bucket does not exist").member("BucketName", name)
}

/// The error that says no more than that.
pub fn access_denied() -> ServiceError {
    fault("AccessDenied", "Access Denied")
}

/// An error of an argument.
pub fn invalid_argument(message: impl Into<String>, name: &str, value: &str) -> ServiceError {
    fault("InvalidArgument", message)
        .member("ArgumentName", name)
        .member("ArgumentValue", value)
}

/// What AWS has and the sandbox has not.
pub fn not_here(what: &str) -> ServiceError {
    fault(
        "NotImplemented",
        format!("The sandbox's S3 does not have {what}."),
    )
}

/// An error in the form of s3s.
pub fn to_s3(error: ServiceError) -> S3Error {
    let code = S3ErrorCode::from_str(&error.code).unwrap_or(S3ErrorCode::InternalError);
    let mut answer = S3Error::with_message(code, error.message);
    if let Ok(status) = hyper::StatusCode::from_u16(error.status) {
        answer.set_status_code(status);
    }
    answer
}

/// A moment in the form of s3s.
pub fn timestamp(moment: Timestamp) -> s3s::dto::Timestamp {
    moment.date_time().into()
}
