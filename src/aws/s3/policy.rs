//! A bucket's policy.

use super::{BucketAddress, S3};
use crate::aws::error::AwsError;

impl S3 {
    /// The policy of a bucket; nothing if it has none.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicy.html>
    ///
    /// # Errors
    /// AWS's.
    pub async fn policy(&self, bucket: &BucketAddress) -> Result<Option<String>, AwsError> {
        let call = self.call("s3:GetBucketPolicy", bucket, "");
        let ask = || {
            self.client
                .get_bucket_policy()
                .bucket(&bucket.name)
                .set_expected_bucket_owner(bucket.owner_text())
                .send()
        };
        match self.caller.run(call, ask).await {
            Err(error) if error.code.as_deref() == Some("NoSuchBucketPolicy") => Ok(None),
            answer => Ok(answer?.policy),
        }
    }

    /// Gives a bucket a policy in place of the one that it has; or none.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html>
    ///
    /// # Errors
    /// AWS's: `Denied` also where Block Public Access of the bucket or of its account forbids it, and
    /// `Invalid` where it names a principal that there is not.
    pub async fn set_policy(
        &self,
        bucket: &BucketAddress,
        policy: Option<&str>,
    ) -> Result<(), AwsError> {
        match policy {
            Some(policy) => self.put_policy(bucket, policy).await,
            None => self.delete_policy(bucket).await,
        }
    }

    async fn put_policy(&self, bucket: &BucketAddress, policy: &str) -> Result<(), AwsError> {
        let call = self.call("s3:PutBucketPolicy", bucket, "");
        let put = || {
            self.client
                .put_bucket_policy()
                .bucket(&bucket.name)
                .set_expected_bucket_owner(bucket.owner_text())
                .policy(policy)
                .send()
        };
        self.caller.run(call, put).await.map(drop)
    }

    async fn delete_policy(&self, bucket: &BucketAddress) -> Result<(), AwsError> {
        let call = self.call("s3:DeleteBucketPolicy", bucket, "");
        let delete = || {
            self.client
                .delete_bucket_policy()
                .bucket(&bucket.name)
                .set_expected_bucket_owner(bucket.owner_text())
                .send()
        };
        self.caller.run(call, delete).await.map(drop)
    }
}
