//! Objects for those who have no credentials, objects from files, and what is known of an object
//! without its content.
//!
//! A presigned URL lets whoever holds it do one thing with one object until it expires, with no
//! header but `host`. It also ends when the credentials end that it was signed with: those of a
//! role may have an hour left, or a few minutes. S3 takes at most seven days.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html>

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::config::{
    Builder, RequestChecksumCalculation, ResponseChecksumValidation, timeout::TimeoutConfig,
};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType};
use aws_smithy_runtime_api::client::result::SdkError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{BucketAddress, ETag, S3};
use crate::aws::error::{AwsError, Kind};
use crate::aws::retry::Call;
use crate::digest;

/// An attempt to upload has this time for each MiB, besides what every attempt has.
const PER_MIB: Duration = Duration::from_secs(1);
/// So many such attempts an upload may make.
const ATTEMPTS: u32 = 3;

/// An object that is there, but for its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSeen {
    /// Its length, in bytes.
    pub size: u64,
    /// SHA-256 of its bytes, in lower-case hexadecimal, as S3 checked it when it was written. None
    /// where its writer gave S3 another checksum or none, or wrote it in parts.
    pub sha256: Option<String>,
}

impl S3 {
    /// A URL that reads an object with `GET`. The bucket's owner is not checked: whoever uses the
    /// URL would have to say whom to expect.
    ///
    /// # Errors
    /// There are no credentials, the URL would be good for too long, or the endpoint of [`S3::at`]
    /// is none.
    pub async fn presigned_get(
        &self,
        bucket: &BucketAddress,
        key: &str,
        expires: Duration,
    ) -> Result<String, AwsError> {
        let call = self.call("s3:GetObject", bucket, key);
        let presigning = self.presigning(&call, expires)?;
        let signed = self.caller.run(call, || {
            let request = self.client.get_object().bucket(&bucket.name).key(key);
            let request = request.customize().config_override(self.signing());
            request.presigned(presigning.clone())
        });
        Ok(signed.await?.uri().to_owned())
    }

    /// A URL that writes an object with `PUT`, in place of the one that is there; as
    /// [`S3::presigned_get`].
    ///
    /// # Errors
    /// There are no credentials, the URL would be good for too long, or the endpoint of [`S3::at`]
    /// is none.
    pub async fn presigned_put(
        &self,
        bucket: &BucketAddress,
        key: &str,
        expires: Duration,
    ) -> Result<String, AwsError> {
        let call = self.call("s3:PutObject", bucket, key);
        let presigning = self.presigning(&call, expires)?;
        let signed = self.caller.run(call, || {
            let request = self.client.put_object().bucket(&bucket.name).key(key);
            let request = request.customize().config_override(self.signing());
            request.presigned(presigning.clone())
        });
        Ok(signed.await?.uri().to_owned())
    }

    /// Without checksums: one would be of the body that is not there yet, and whoever uses the URL
    /// would have to ask for one.
    fn signing(&self) -> Builder {
        let mut config = Builder::new()
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = &self.signs_for {
            config = config.endpoint_url(endpoint);
        }
        config
    }

    fn presigning(&self, call: &Call, expires: Duration) -> Result<PresigningConfig, AwsError> {
        let refuse = |why: String| self.caller.refuse(call, Kind::Invalid, why);
        // The SDK would take what is no URL for a fault of the network, which is tried again.
        match &self.signs_for {
            Some(endpoint) if !is_endpoint(endpoint) => {
                Err(refuse(format!("`{endpoint}` is no URL of an endpoint")))
            }
            _ => {
                let config = PresigningConfig::expires_in(expires);
                config.map_err(|error| refuse(error.to_string()))
            }
        }
    }

    /// Writes an object from a file, in one piece and with its SHA-256, in place of the one that is
    /// there. Time is given by its size. For files of up to some hundred MiB; S3 takes 5 GiB.
    ///
    /// # Errors
    /// AWS's, or the file cannot be read.
    pub async fn upload(
        &self,
        bucket: &BucketAddress,
        key: &str,
        content_type: &str,
        file: &Path,
    ) -> Result<ETag, AwsError> {
        let call = self.call("s3:PutObject", bucket, key);
        let unreadable = |error: std::io::Error| {
            let message = format!("cannot read {}: {error}", file.display());
            self.caller.refuse(&call, Kind::Invalid, message)
        };
        let size = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
        let settings = self.caller.session.settings();
        let mib = u32::try_from(size >> 20).unwrap_or(u32::MAX);
        let attempt = settings.attempt() + PER_MIB.saturating_mul(mib);
        let total = self.total.unwrap_or(settings.total());
        let call = call.clone().within(total.max(attempt * ATTEMPTS));
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt);
        let timeouts = Builder::new().timeout_config(timeouts.build());
        let answer = self
            .caller
            .run(call, async || {
                let body = ByteStream::from_path(file).await;
                let body = body.map_err(SdkError::construction_failure)?;
                self.client
                    .put_object()
                    .bucket(&bucket.name)
                    .key(key)
                    .set_expected_bucket_owner(bucket.owner_text())
                    .content_type(content_type)
                    .checksum_algorithm(ChecksumAlgorithm::Sha256)
                    .body(body)
                    .customize()
                    .config_override(timeouts.clone())
                    .send()
                    .await
            })
            .await?;
        Ok(ETag(answer.e_tag.unwrap_or_default()))
    }

    /// What is known of an object without its content; nothing if it is not there.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
    ///
    /// # Errors
    /// AWS's, which is `Denied` in place of "not there" where the bucket may not be listed, and
    /// where the object is encrypted under a key that the caller may not decrypt with: checksums
    /// take that. Its answer has no body, so that a bucket that is not there is no object either.
    pub async fn seen(
        &self,
        bucket: &BucketAddress,
        key: &str,
    ) -> Result<Option<ObjectSeen>, AwsError> {
        let call = self.call("s3:GetObject", bucket, key);
        let answer = self
            .caller
            .run(call, || {
                self.client
                    .head_object()
                    .bucket(&bucket.name)
                    .key(key)
                    .set_expected_bucket_owner(bucket.owner_text())
                    .checksum_mode(ChecksumMode::Enabled)
                    .send()
            })
            .await;
        match answer {
            Ok(answer) => Ok(Some(ObjectSeen {
                size: u64::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0),
                sha256: whole_sha256(answer.checksum_sha256(), answer.checksum_type()),
            })),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_endpoint(text: &str) -> bool {
    let url = reqwest::Url::parse(text);
    url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// S3's SHA-256 of a whole object, in hexadecimal. That of an object in parts is over the parts'
/// digests, and says how many there are: `…-2`.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>
fn whole_sha256(base64: Option<&str>, kind: Option<&ChecksumType>) -> Option<String> {
    if !matches!(kind, None | Some(ChecksumType::FullObject)) {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(base64?).ok()?;
    (bytes.len() == 32).then(|| digest::hex(&bytes))
}
