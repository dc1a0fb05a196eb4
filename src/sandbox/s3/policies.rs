//! The calls for a bucket's policy.

use s3s::S3Request;
use s3s::dto::{
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
    GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, PolicyStatus, PutBucketPolicyInput,
    PutBucketPolicyOutput,
};

use super::call::{Call, access_denied, fault};
use super::public;
use crate::sandbox::error::ServiceError;
use crate::sandbox::policy::{Policy, Question, Verdict};

/// A policy holds so many bytes.
const LARGEST_POLICY: usize = 20 << 10;

fn no_policy(bucket: &str) -> ServiceError {
    fault("NoSuchBucketPolicy", "The bucket policy does not exist").member("BucketName", bucket)
}

/// `GetBucketPolicy`.
pub async fn get(
    call: &Call,
    request: S3Request<GetBucketPolicyInput>,
) -> Result<GetBucketPolicyOutput, ServiceError> {
    let input = request.input;
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        call.authorize_owner(world, bucket, "s3:GetBucketPolicy")?;
        let policy = bucket
            .policy
            .clone()
            .ok_or_else(|| no_policy(&bucket.name))?;
        Ok(GetBucketPolicyOutput {
            policy: Some(policy),
        })
    })
}

/// `PutBucketPolicy`: the document is understood in full, or refused.
pub async fn put(
    call: &Call,
    request: S3Request<PutBucketPolicyInput>,
) -> Result<PutBucketPolicyOutput, ServiceError> {
    let input = request.input;
    call.shared.transact(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        call.authorize_owner(world, bucket, "s3:PutBucketPolicy")?;
        if input.policy.len() > LARGEST_POLICY {
            return Err(fault(
                "PolicyTooLarge",
                "Bucket policy exceeds the maximum allowed document size.",
            ));
        }
        let malformed = |why: String| fault("MalformedPolicy", why);
        public::check(&input.policy, &bucket.name).map_err(malformed)?;
        let policy = Policy::parse(&input.policy).map_err(|error| malformed(error.0))?;
        if let Some(key) = policy
            .condition_keys()
            .into_iter()
            .find(|key| !super::access::is_known_key(key))
        {
            let mut error = malformed("Policy has an invalid condition key".to_owned());
            error.message = format!("{} - {key}", error.message);
            return Err(error);
        }
        if let Some(action) = policy
            .actions()
            .into_iter()
            .find(|action| !super::actions::is_known(action))
        {
            return Err(malformed(format!("Policy has invalid action - {action}")));
        }
        let blocks_public = bucket.block.is_some_and(|block| block.block_public_policy);
        if blocks_public && public::is_public(&input.policy) {
            let mut error = access_denied();
            error.message = format!(
                "User: {} is not authorized to perform: s3:PutBucketPolicy on resource: \
                 \"arn:aws:s3:::{}\" because public policies are prevented by the BlockPublicPolicy \
                 setting in S3 Block Public Access.",
                call.caller.as_ref().map_or("anonymous", |caller| &caller.arn),
                bucket.name
            );
            return Err(error);
        }
        if !input.confirm_remove_self_bucket_access.unwrap_or(false) {
            check_lockout(call, &policy, &bucket.name)?;
        }
        let name = bucket.name.clone();
        if let Some(bucket) = world.s3.buckets.get_mut(&name) {
            bucket.policy = Some(input.policy.clone());
        }
        Ok(PutBucketPolicyOutput::default())
    })
}

/// Whoever sets a policy must be able to change it again, unless told that this is meant.
fn check_lockout(call: &Call, policy: &Policy, bucket: &str) -> Result<(), ServiceError> {
    let verdict = policy.ask(&Question {
        caller: call.caller.as_ref(),
        action: "s3:PutBucketPolicy",
        resource: &super::access::arn(bucket, None),
        conditions: std::collections::BTreeMap::new(),
    });
    if verdict == Verdict::Deny {
        return Err(fault(
            "MalformedPolicy",
            "The policy would deny you s3:PutBucketPolicy; set \
             x-amz-confirm-remove-self-bucket-access if that is meant",
        ));
    }
    Ok(())
}

/// `DeleteBucketPolicy`, which does not mind that there is none.
pub async fn delete(
    call: &Call,
    request: S3Request<DeleteBucketPolicyInput>,
) -> Result<DeleteBucketPolicyOutput, ServiceError> {
    let input = request.input;
    call.shared.transact(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        call.authorize_owner(world, bucket, "s3:DeleteBucketPolicy")?;
        let name = bucket.name.clone();
        if let Some(bucket) = world.s3.buckets.get_mut(&name) {
            bucket.policy = None;
        }
        Ok(DeleteBucketPolicyOutput::default())
    })
}

/// `GetBucketPolicyStatus`.
pub async fn status(
    call: &Call,
    request: S3Request<GetBucketPolicyStatusInput>,
) -> Result<GetBucketPolicyStatusOutput, ServiceError> {
    let input = request.input;
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        call.authorize_owner(world, bucket, "s3:GetBucketPolicyStatus")?;
        let policy = bucket
            .policy
            .as_deref()
            .ok_or_else(|| no_policy(&bucket.name))?;
        Ok(GetBucketPolicyStatusOutput {
            policy_status: Some(PolicyStatus {
                is_public: Some(public::is_public(policy)),
            }),
        })
    })
}
