//! The operations that the sandbox's S3 has, as s3s calls them. For the others s3s answers
//! `NotImplemented`.

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::host::{S3Host, VirtualHost};
use s3s::{S3, S3Request, S3Response, S3Result, dto};

use super::call::{Call, access_denied, fault, to_s3};
use super::{
    attributes, buckets, controls, copy, delete, get, list, multipart, policies, put, tagging,
};
use crate::sandbox::shared::Shared;
use std::sync::Arc;

/// S3 as s3s sees it.
#[derive(Debug, Clone)]
pub struct Backend(pub Arc<Shared>);

macro_rules! operations {
    ($($name:ident($input:ident) -> $output:ident = $handler:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Backend {
            $(
                async fn $name(
                    &self,
                    request: S3Request<dto::$input>,
                ) -> S3Result<S3Response<dto::$output>> {
                    let call = Call::of(&request)?;
                    call.finish($handler(&call, request).await)
                }
            )*
        }
    };
}

operations! {
    create_bucket(CreateBucketInput) -> CreateBucketOutput = buckets::create;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = buckets::delete;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = buckets::head;
    list_buckets(ListBucketsInput) -> ListBucketsOutput = buckets::list;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = buckets::location;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput = controls::versioning;
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput = controls::put_versioning;
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput = controls::encryption;
    put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput = controls::put_encryption;
    delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput = controls::delete_encryption;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput = controls::block;
    put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput = controls::put_block;
    delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput = controls::delete_block;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput = controls::ownership;
    put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput = controls::put_ownership;
    delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput = controls::delete_ownership;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput = controls::acl;
    put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput = controls::put_acl;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput = controls::object_acl;
    put_object_acl(PutObjectAclInput) -> PutObjectAclOutput = controls::put_object_acl;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput = policies::get;
    put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput = policies::put;
    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput = policies::delete;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput = policies::status;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput = tagging::bucket;
    put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput = tagging::put_bucket;
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput = tagging::delete_bucket;
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = tagging::object;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput = tagging::put_object;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput = tagging::delete_object;
    put_object(PutObjectInput) -> PutObjectOutput = put::put;
    get_object(GetObjectInput) -> GetObjectOutput = get::get;
    head_object(HeadObjectInput) -> HeadObjectOutput = get::head;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput = attributes::get;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = delete::one;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = delete::many;
    copy_object(CopyObjectInput) -> CopyObjectOutput = copy::object;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = copy::part;
    list_objects(ListObjectsInput) -> ListObjectsOutput = list::objects;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = list::objects_v2;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput = list::versions;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = list::uploads;
    list_parts(ListPartsInput) -> ListPartsOutput = list::parts;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = multipart::create;
    upload_part(UploadPartInput) -> UploadPartOutput = multipart::upload_part;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = multipart::complete;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = multipart::abort;
}

#[async_trait::async_trait]
impl S3Auth for Backend {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        self.0
            .read(|world| {
                let key = world.access_keys.get(access_key)?;
                Some(SecretKey::from(key.secret.as_str()))
            })
            .ok_or_else(|| {
                to_s3(fault(
                    "InvalidAccessKeyId",
                    "The AWS Access Key Id you provided does not exist in our records.",
                ))
            })
    }
}

#[async_trait::async_trait]
impl S3Access for Backend {
    /// Access is decided by each operation, which knows what it touches. Here it is only made
    /// sure that the key whose signature was verified is the one that the call goes by.
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let verified = context
            .credentials()
            .map(|credentials| credentials.access_key.clone());
        match context.extensions_mut().get::<Arc<Call>>() {
            Some(call) if call.access_key == verified => Ok(()),
            _ => Err(to_s3(access_denied())),
        }
    }
}

#[async_trait::async_trait]
impl S3Host for Backend {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        Ok(match bucket_of_host(host) {
            Some(bucket) => VirtualHost::new("localhost").with_bucket(bucket),
            None => VirtualHost::new(host),
        })
    }
}

/// The bucket that a host names: `bucket.localhost:4566`, `bucket.s3.<…>`, or that of an interface
/// endpoint, `<…>.bucket.vpce-<…>.s3.<…>.vpce.<…>`.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/privatelink-interface-endpoints.html>
pub fn bucket_of_host(host: &str) -> Option<&str> {
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if let Some((before, after)) = host.split_once(".s3.") {
        if !after.contains(".vpce.") {
            return Some(before);
        }
        return before
            .rsplit_once(".bucket.vpce-")
            .map(|(bucket, _)| bucket);
    }
    host.strip_suffix(".localhost")
        .filter(|rest| *rest != "s3" && !rest.is_empty())
        .map(|rest| rest.strip_suffix(".s3").unwrap_or(rest))
}
