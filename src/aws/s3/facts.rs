//! How a bucket is set up and what may be done with it, for whoever checks that.

use std::fmt;

use aws_sdk_s3::types::{BucketVersioningStatus, PublicAccessBlockConfiguration};

use super::{BucketAddress, S3, is_refusal};
use crate::aws::error::{AwsError, Kind};

/// An entity tag that no object has.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";

/// How a bucket is set up. What the principal may not ask is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketFacts {
    /// Whether old versions of objects are kept.
    pub versioning: Option<bool>,
    /// Whether all four parts of Block Public Access are on.
    pub public_access_blocked: Option<bool>,
    /// How objects are encrypted where the writer says nothing.
    pub encryption: Option<Encryption>,
}

/// How objects are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub algorithm: String,
    /// The key, if it is not AWS's.
    pub key: Option<String>,
}

impl Encryption {
    /// Whether objects are under keys of S3's own, with which whoever may read them need not be
    /// concerned.
    pub fn is_under_own_keys_of_s3(&self) -> bool {
        self.algorithm == "AES256"
    }

    /// Whether objects are under a key of KMS that AWS made for the account, which no other account can
    /// be let use.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html>
    pub fn is_under_aws_key(&self) -> bool {
        let is_aws_key = |key: &String| key.ends_with("alias/aws/s3");
        self.algorithm.starts_with("aws:kms") && self.key.as_ref().is_none_or(is_aws_key)
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{} under {key}", self.algorithm),
            None => f.write_str(&self.algorithm),
        }
    }
}

impl S3 {
    /// How a bucket in this client's Region is set up.
    ///
    /// # Errors
    /// AWS's, but for permissions that are missing.
    pub async fn describe_bucket(&self, bucket: &BucketAddress) -> Result<BucketFacts, AwsError> {
        Ok(BucketFacts {
            versioning: if_allowed(self.versioning(bucket)).await?,
            public_access_blocked: if_allowed(self.public_access_blocked(bucket)).await?,
            encryption: if_allowed(self.default_encryption(bucket)).await?.flatten(),
        })
    }

    /// Asks whether objects may be written: in place of one that is not there, so that none is.
    ///
    /// # Errors
    /// They may not, or AWS's.
    pub async fn may_write(&self, bucket: &BucketAddress, key: &str) -> Result<(), AwsError> {
        let call = self.call("s3:PutObject", bucket, key);
        let ask = || {
            self.client
                .put_object()
                .bucket(&bucket.name)
                .key(key)
                .set_expected_bucket_owner(bucket.owner_text())
                .if_match(NO_ETAG)
                .send()
        };
        match self.caller.run(call, ask).await {
            Err(error) if !is_refusal(&error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn versioning(&self, bucket: &BucketAddress) -> Result<bool, AwsError> {
        let call = self.call("s3:GetBucketVersioning", bucket, "");
        let ask = || {
            self.client
                .get_bucket_versioning()
                .bucket(&bucket.name)
                .set_expected_bucket_owner(bucket.owner_text())
                .send()
        };
        let answer = self.caller.run(call, ask).await?;
        Ok(answer.status() == Some(&BucketVersioningStatus::Enabled))
    }

    async fn public_access_blocked(&self, bucket: &BucketAddress) -> Result<bool, AwsError> {
        let parts = self.public_access_block(bucket).await?;
        Ok(parts.is_some_and(|parts| {
            let parts = [
                parts.block_public_acls(),
                parts.ignore_public_acls(),
                parts.block_public_policy(),
                parts.restrict_public_buckets(),
            ];
            parts.iter().all(|part| *part == Some(true))
        }))
    }

    /// Whether Block Public Access of the bucket, not that of its account, refuses a public policy or
    /// takes its effect.
    ///
    /// # Errors
    /// AWS's.
    pub async fn blocks_public_policies(&self, bucket: &BucketAddress) -> Result<bool, AwsError> {
        let parts = self.public_access_block(bucket).await?;
        Ok(parts.is_some_and(|parts| {
            let parts = [parts.block_public_policy(), parts.restrict_public_buckets()];
            parts.contains(&Some(true))
        }))
    }

    async fn public_access_block(
        &self,
        bucket: &BucketAddress,
    ) -> Result<Option<PublicAccessBlockConfiguration>, AwsError> {
        let call = self.call("s3:GetBucketPublicAccessBlock", bucket, "");
        let ask = || {
            self.client
                .get_public_access_block()
                .bucket(&bucket.name)
                .set_expected_bucket_owner(bucket.owner_text())
                .send()
        };
        match self.caller.run(call, ask).await {
            Err(error) if error.code.as_deref() == Some("NoSuchPublicAccessBlockConfiguration") => {
                Ok(None)
            }
            answer => Ok(answer?.public_access_block_configuration),
        }
    }

    /// How objects are encrypted where the writer says nothing.
    ///
    /// # Errors
    /// AWS's.
    pub async fn default_encryption(
        &self,
        bucket: &BucketAddress,
    ) -> Result<Option<Encryption>, AwsError> {
        let call = self.call("s3:GetEncryptionConfiguration", bucket, "");
        let ask = || {
            self.client
                .get_bucket_encryption()
                .bucket(&bucket.name)
                .set_expected_bucket_owner(bucket.owner_text())
                .send()
        };
        let answer = match self.caller.run(call, ask).await {
            Err(error)
                if error.code.as_deref()
                    == Some("ServerSideEncryptionConfigurationNotFoundError") =>
            {
                return Ok(None);
            }
            answer => answer?,
        };
        let rules = answer.server_side_encryption_configuration();
        let default = rules
            .and_then(|rules| rules.rules().first())
            .and_then(|rule| rule.apply_server_side_encryption_by_default());
        Ok(default.map(|default| Encryption {
            algorithm: default.sse_algorithm().as_str().to_owned(),
            key: default.kms_master_key_id().map(str::to_owned),
        }))
    }
}

async fn if_allowed<T>(
    answer: impl Future<Output = Result<T, AwsError>>,
) -> Result<Option<T>, AwsError> {
    match answer.await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind == Kind::Denied => Ok(None),
        Err(error) => Err(error),
    }
}
