//! S3: objects, written under conditions.
//!
//! S3 is strongly consistent, and a `PUT` may be made to depend on what is there (`If-None-Match`,
//! `If-Match`): <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>.
//! A conditional write whose answer was lost is refused when it is made again, by its own first
//! attempt; [`S3::put`] sees that by reading what is there. For that to be right, writers that
//! compete must not write equal bytes: a run's id in them is enough.

mod facts;
mod policy;
mod presign;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use bytes::{Bytes, BytesMut};
use time::OffsetDateTime;

use super::error::{AwsError, Kind};
use super::names::{AccountId, Region};
use super::retry::{Call, Caller};

pub use facts::{BucketFacts, Encryption};
pub use presign::ObjectSeen;

/// A client in a Region.
#[derive(Debug, Clone)]
pub struct S3 {
    caller: Caller,
    client: aws_sdk_s3::Client,
    total: Option<Duration>,
    /// Where presigned URLs lead, if not where this client's calls go.
    signs_for: Option<String>,
}

/// A bucket, as calls name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketAddress {
    /// Its name.
    pub name: String,
    /// The account that must own it, if that matters: S3 refuses the call where another does.
    pub owner: Option<AccountId>,
}

/// What S3 calls this content of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

/// What is known of a bucket that may not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketSeen {
    /// It is in this client's Region, and may be looked into.
    Here,
    /// It is in another Region, which S3 mostly names.
    Elsewhere(Option<Region>),
    /// It is there, and is another account's, or the permission is missing; S3 does not say which.
    Denied,
    /// No account has a bucket of that name.
    Missing,
}

/// An object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub bytes: Bytes,
    /// What S3 calls this content.
    pub etag: ETag,
    /// When it was written, in seconds of S3's clock.
    pub modified: OffsetDateTime,
}

/// What a write depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// There is no such object yet: `If-None-Match: *`.
    Absent,
    /// The object still has this content: `If-Match`.
    Unchanged(ETag),
}

/// What a write under a condition came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is written.
    Written(ETag),
    /// The condition does not hold: somebody else was there before.
    Refused,
}

impl S3 {
    pub(super) fn new(caller: Caller) -> S3 {
        let config = aws_sdk_s3::config::Builder::from(caller.session.sdk())
            .region(aws_config::Region::new(caller.region.to_string()))
            .interceptor(caller.session.interceptor())
            .build();
        let client = aws_sdk_s3::Client::from_conf(config);
        S3 {
            caller,
            client,
            total: None,
            signs_for: None,
        }
    }

    /// The Region.
    pub fn region(&self) -> &Region {
        &self.caller.region
    }

    /// A client whose calls may take so long, with all their attempts.
    pub fn within(&self, total: Duration) -> S3 {
        S3 {
            total: Some(total),
            ..self.clone()
        }
    }

    /// A client whose presigned URLs lead to another endpoint, as those need who reach S3 another
    /// way: an interface endpoint of their network, an address of their machine. Its calls go where
    /// they went.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/privatelink-interface-endpoints.html>
    pub fn at(&self, endpoint: &str) -> S3 {
        S3 {
            signs_for: Some(endpoint.to_owned()),
            ..self.clone()
        }
    }

    fn call(&self, action: &'static str, bucket: &BucketAddress, key: &str) -> Call {
        let call = Call::new(action, format!("s3://{}/{key}", bucket.name));
        match self.total {
            Some(total) => call.within(total),
            None => call,
        }
    }

    /// Where a bucket is. S3 answers this call without a body: the status and a header are all
    /// there is.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html>
    ///
    /// # Errors
    /// AWS's, but for the answers that say where it is.
    pub async fn head_bucket(&self, bucket: &BucketAddress) -> Result<BucketSeen, AwsError> {
        let said = Mutex::new(None);
        let call = self.call("s3:ListBucket", bucket, "");
        let answer = self
            .caller
            .run(call, async || {
                let answer = self
                    .client
                    .head_bucket()
                    .bucket(&bucket.name)
                    .set_expected_bucket_owner(bucket.owner_text())
                    .send()
                    .await;
                let raw = answer.as_ref().err().and_then(SdkError::raw_response);
                if let Some(raw) = raw {
                    let region = raw.headers().get("x-amz-bucket-region");
                    let region = region.and_then(|name| name.parse::<Region>().ok());
                    let status = raw.status().as_u16();
                    *said.lock().unwrap_or_else(PoisonError::into_inner) = Some((status, region));
                }
                answer
            })
            .await;
        let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (answer, said) {
            (Ok(_), _) => Ok(BucketSeen::Here),
            (Err(error), Some((status, region))) => {
                seen(&self.caller.region, status, region).ok_or(error)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Reads an object; nothing if it is not there. `most` is how many bytes it may have.
    ///
    /// # Errors
    /// AWS's, which is `Denied` in place of "not there" where the bucket may not be listed; or the
    /// object is larger.
    pub async fn get(
        &self,
        bucket: &BucketAddress,
        key: &str,
        most: usize,
    ) -> Result<Option<Object>, AwsError> {
        let call = self.call("s3:GetObject", bucket, key);
        let attempt = self.caller.session.settings().attempt();
        let answer = self
            .caller
            .run(call.clone(), async || {
                let answer = self
                    .client
                    .get_object()
                    .bucket(&bucket.name)
                    .key(key)
                    .set_expected_bucket_owner(bucket.owner_text())
                    .send()
                    .await?;
                // The body comes after what the SDK calls an attempt.
                let reading = tokio::time::timeout(attempt, read(answer, most));
                reading.await.map_err(SdkError::timeout_error)?
            })
            .await;
        match answer {
            Ok(Read::All(object)) => Ok(Some(object)),
            Ok(Read::TooLarge) => {
                let message = format!("the object has more than {most} bytes");
                Err(self.caller.refuse(&call, Kind::Invalid, message))
            }
            Err(error) if error.code.as_deref() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes an object, with its SHA-256, under a condition. The bucket decides how it is
    /// encrypted.
    ///
    /// # Errors
    /// AWS's, but for a condition that does not hold.
    pub async fn put(
        &self,
        bucket: &BucketAddress,
        key: &str,
        content_type: &str,
        bytes: impl Into<Bytes>,
        condition: &Condition,
    ) -> Result<Put, AwsError> {
        let bytes = bytes.into();
        let call = self.call("s3:PutObject", bucket, key);
        let answer = self
            .caller
            .run(call.clone(), || {
                let put = self
                    .client
                    .put_object()
                    .bucket(&bucket.name)
                    .key(key)
                    .set_expected_bucket_owner(bucket.owner_text())
                    .content_type(content_type)
                    .checksum_algorithm(ChecksumAlgorithm::Sha256)
                    .body(ByteStream::from(bytes.clone()));
                match condition {
                    Condition::Always => put,
                    Condition::Absent => put.if_none_match("*"),
                    Condition::Unchanged(ETag(etag)) => put.if_match(etag),
                }
                .send()
            })
            .await;
        match answer {
            Ok(answer) => Ok(Put::Written(ETag(answer.e_tag.unwrap_or_default()))),
            Err(error) if is_refusal(&error) => self.refused(bucket, key, &bytes).await,
            Err(error) => Err(error),
        }
    }

    /// A refused write is written all the same if an attempt before, whose answer was lost, did it.
    async fn refused(
        &self,
        bucket: &BucketAddress,
        key: &str,
        bytes: &Bytes,
    ) -> Result<Put, AwsError> {
        // An object with more bytes is not ours, but that is no error here.
        match self.get(bucket, key, bytes.len()).await {
            Ok(Some(there)) if there.bytes == bytes => Ok(Put::Written(there.etag)),
            Ok(_) => Ok(Put::Refused),
            Err(error) if error.kind == Kind::Invalid => Ok(Put::Refused),
            Err(error) => Err(error),
        }
    }

    /// The keys that begin with a prefix, in their order (that of UTF-8's bytes).
    ///
    /// # Errors
    /// AWS's.
    pub async fn list(
        &self,
        bucket: &BucketAddress,
        prefix: &str,
    ) -> Result<Vec<String>, AwsError> {
        let mut keys = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let call = self.call("s3:ListBucket", bucket, &format!("{prefix}*"));
            let page = self
                .caller
                .run(call, || {
                    self.client
                        .list_objects_v2()
                        .bucket(&bucket.name)
                        .prefix(prefix)
                        .set_expected_bucket_owner(bucket.owner_text())
                        .set_continuation_token(next.clone())
                        .send()
                })
                .await?;
            keys.extend(page.contents.into_iter().flatten().filter_map(|o| o.key));
            next = page.next_continuation_token;
            if next.is_none() {
                return Ok(keys);
            }
        }
    }

    /// Deletes an object if it still has this content. False if it has other content; that it is
    /// gone already is as good.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html>
    ///
    /// # Errors
    /// AWS's.
    pub async fn delete(
        &self,
        bucket: &BucketAddress,
        key: &str,
        ETag(etag): &ETag,
    ) -> Result<bool, AwsError> {
        let call = self.call("s3:DeleteObject", bucket, key);
        let answer = self
            .caller
            .run(call, || {
                self.client
                    .delete_object()
                    .bucket(&bucket.name)
                    .key(key)
                    .set_expected_bucket_owner(bucket.owner_text())
                    .if_match(etag)
                    .send()
            })
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if error.code.as_deref() == Some("NoSuchKey") => Ok(true),
            Err(error) if error.kind == Kind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object, whatever its content; in a bucket with versions, the older ones stay. That
    /// it is gone already is as good.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>
    ///
    /// # Errors
    /// AWS's.
    pub async fn remove(&self, bucket: &BucketAddress, key: &str) -> Result<(), AwsError> {
        let call = self.call("s3:DeleteObject", bucket, key);
        let answer = self
            .caller
            .run(call, || {
                self.client
                    .delete_object()
                    .bucket(&bucket.name)
                    .key(key)
                    .set_expected_bucket_owner(bucket.owner_text())
                    .send()
            })
            .await;
        match answer {
            Err(error) if error.code.as_deref() != Some("NoSuchKey") => Err(error),
            _ => Ok(()),
        }
    }

    /// For tests, which set buckets up in ways that this program never does.
    #[cfg(test)]
    pub(crate) fn sdk(&self) -> &aws_sdk_s3::Client {
        &self.client
    }

    /// Makes a bucket in this client's Region.
    #[cfg(test)]
    pub(crate) async fn create_bucket(&self, name: &str) -> Result<(), AwsError> {
        use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
        let region = self.caller.region.as_str();
        // The one Region that has no name for it.
        let place = (region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region))
                .build()
        });
        let call = Call::new("s3:CreateBucket", format!("s3://{name}"));
        let create = || {
            self.client
                .create_bucket()
                .bucket(name)
                .set_create_bucket_configuration(place.clone())
                .send()
        };
        self.caller.run(call, create).await.map(drop)
    }

    /// Gives a bucket a policy.
    #[cfg(test)]
    pub(crate) async fn put_bucket_policy(&self, name: &str, json: &str) -> Result<(), AwsError> {
        let call = Call::new("s3:PutBucketPolicy", format!("s3://{name}"));
        let put = || {
            self.client
                .put_bucket_policy()
                .bucket(name)
                .policy(json)
                .send()
        };
        self.caller.run(call, put).await.map(drop)
    }
}

impl BucketAddress {
    fn owner_text(&self) -> Option<String> {
        self.owner.as_ref().map(ToString::to_string)
    }
}

/// What a failed HeadBucket says: its status, and the Region in its header. `400` is what a request
/// gets that is signed for another Region than the bucket's.
fn seen(asked: &Region, status: u16, region: Option<Region>) -> Option<BucketSeen> {
    match (status, region) {
        (404, _) => Some(BucketSeen::Missing),
        (301, region) => Some(BucketSeen::Elsewhere(region)),
        (400 | 403, Some(region)) if region != *asked => Some(BucketSeen::Elsewhere(Some(region))),
        (403, _) => Some(BucketSeen::Denied),
        _ => None,
    }
}

/// Whether a write was refused for its condition: S3 says `NoSuchKey` where an object that was to
/// be unchanged is gone.
fn is_refusal(error: &AwsError) -> bool {
    error.kind == Kind::Conflict || error.code.as_deref() == Some("NoSuchKey")
}

/// What reading an object came to.
enum Read {
    All(Object),
    TooLarge,
}

async fn read(
    answer: GetObjectOutput,
    most: usize,
) -> Result<Read, SdkError<GetObjectError, HttpResponse>> {
    let etag = ETag(answer.e_tag.unwrap_or_default());
    let modified = answer.last_modified.map_or(0, |moment| moment.secs());
    let modified = OffsetDateTime::from_unix_timestamp(modified).map_err(broken)?;
    let mut body = answer.body;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.try_next().await.map_err(broken)? {
        if bytes.len() + chunk.len() > most {
            return Ok(Read::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Read::All(Object {
        bytes: bytes.freeze(),
        etag,
        modified,
    }))
}

/// An answer that broke off, or does not have the checksum that it says: it may be better the next
/// time.
fn broken<E>(error: impl StdError + Send + Sync + 'static) -> SdkError<E, HttpResponse> {
    SdkError::dispatch_failure(ConnectorError::io(Box::new(error)))
}
