//! What is set for a bucket as a whole: versioning, encryption, the block of public access,
//! ownership; and ACLs, which exist to be read only.

use s3s::S3Request;
use s3s::dto;

use super::access::Ask;
use super::buckets::{check_ownership, owner};
use super::call::{Call, fault, not_here};
use super::encryption;
use super::model::{Bucket, Encryption, PublicAccessBlock, Versioning};
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

/// Looks at a bucket of the caller's.
fn look<T>(
    call: &Call,
    name: &str,
    expected_owner: Option<&str>,
    action: &str,
    look: impl FnOnce(&Bucket) -> Result<T, ServiceError>,
) -> Result<T, ServiceError> {
    call.shared.read(|world| {
        let bucket = call.bucket(world, name, expected_owner)?;
        call.authorize_owner(world, bucket, action)?;
        look(bucket)
    })
}

/// Changes a bucket of the caller's.
pub(super) fn change<T>(
    call: &Call,
    name: &str,
    expected_owner: Option<&str>,
    action: &str,
    change: impl FnOnce(&mut Bucket) -> Result<T, ServiceError>,
) -> Result<T, ServiceError> {
    call.shared.transact(|world: &mut World| {
        let bucket = call.bucket(world, name, expected_owner)?;
        call.authorize_owner(world, bucket, action)?;
        let bucket = world
            .s3
            .buckets
            .get_mut(name)
            .ok_or_else(|| ServiceError::internal("the bucket was there a moment ago"))?;
        change(bucket)
    })
}

/// `GetBucketVersioning`.
pub async fn versioning(
    call: &Call,
    request: S3Request<dto::GetBucketVersioningInput>,
) -> Result<dto::GetBucketVersioningOutput, ServiceError> {
    let input = request.input;
    let owner = input.expected_bucket_owner.as_deref();
    look(
        call,
        &input.bucket,
        owner,
        "s3:GetBucketVersioning",
        |bucket| {
            let status = match bucket.versioning {
                Versioning::Never => None,
                Versioning::Enabled => Some(dto::BucketVersioningStatus::ENABLED),
                Versioning::Suspended => Some(dto::BucketVersioningStatus::SUSPENDED),
            };
            Ok(dto::GetBucketVersioningOutput {
                mfa_delete: None,
                status: status.map(dto::BucketVersioningStatus::from_static),
            })
        },
    )
}

/// `PutBucketVersioning`.
pub async fn put_versioning(
    call: &Call,
    request: S3Request<dto::PutBucketVersioningInput>,
) -> Result<dto::PutBucketVersioningOutput, ServiceError> {
    let input = request.input;
    let configuration = input.versioning_configuration;
    if input.mfa.is_some()
        || configuration
            .mfa_delete
            .is_some_and(|state| state.as_str() == "Enabled")
    {
        return Err(not_here("deletion guarded by MFA"));
    }
    let versioning = match configuration.status.as_ref().map(|status| status.as_str()) {
        Some("Enabled") => Versioning::Enabled,
        Some("Suspended") => Versioning::Suspended,
        Some(_) => return Err(malformed()),
        None => {
            return Err(fault(
                "IllegalVersioningConfigurationException",
                "The Versioning element must be specified",
            ));
        }
    };
    let owner = input.expected_bucket_owner.as_deref();
    change(
        call,
        &input.bucket,
        owner,
        "s3:PutBucketVersioning",
        |bucket| {
            bucket.versioning = versioning;
            Ok(dto::PutBucketVersioningOutput::default())
        },
    )
}

/// The error for a document that is no such configuration.
pub fn malformed() -> ServiceError {
    fault(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

/// `GetBucketEncryption`.
pub async fn encryption(
    call: &Call,
    request: S3Request<dto::GetBucketEncryptionInput>,
) -> Result<dto::GetBucketEncryptionOutput, ServiceError> {
    let input = request.input;
    let owner = input.expected_bucket_owner.as_deref();
    look(
        call,
        &input.bucket,
        owner,
        "s3:GetEncryptionConfiguration",
        |bucket| {
            let (algorithm, key, bucket_key) = match &bucket.encryption {
                Encryption::Aes256 => (dto::ServerSideEncryption::AES256, None, false),
                Encryption::Kms { key, bucket_key } => {
                    (dto::ServerSideEncryption::AWS_KMS, key.clone(), *bucket_key)
                }
            };
            let rule = dto::ServerSideEncryptionRule {
                apply_server_side_encryption_by_default: Some(dto::ServerSideEncryptionByDefault {
                    kms_master_key_id: key,
                    sse_algorithm: dto::ServerSideEncryption::from_static(algorithm),
                }),
                bucket_key_enabled: Some(bucket_key),
            };
            Ok(dto::GetBucketEncryptionOutput {
                server_side_encryption_configuration: Some(
                    dto::ServerSideEncryptionConfiguration { rules: vec![rule] },
                ),
            })
        },
    )
}

/// `PutBucketEncryption`.
pub async fn put_encryption(
    call: &Call,
    request: S3Request<dto::PutBucketEncryptionInput>,
) -> Result<dto::PutBucketEncryptionOutput, ServiceError> {
    let input = request.input;
    let [rule] = &*input.server_side_encryption_configuration.rules else {
        return Err(malformed());
    };
    let chosen = rule
        .apply_server_side_encryption_by_default
        .as_ref()
        .ok_or_else(malformed)?;
    let asked = encryption::Asked {
        algorithm: Some(chosen.sse_algorithm.as_str().to_owned()),
        key: chosen.kms_master_key_id.clone(),
        bucket_key: rule.bucket_key_enabled,
    };
    let owner = input.expected_bucket_owner.as_deref();
    call.shared.transact(|world| {
        let bucket = call.bucket(world, &input.bucket, owner)?;
        call.authorize_owner(world, bucket, "s3:PutEncryptionConfiguration")?;
        let encryption = asked.resolve(call, world, bucket)?;
        if let Some(bucket) = world.s3.buckets.get_mut(&input.bucket) {
            bucket.encryption = encryption;
        }
        Ok(dto::PutBucketEncryptionOutput::default())
    })
}

/// `DeleteBucketEncryption`, after which new objects are encrypted with S3's own keys again.
pub async fn delete_encryption(
    call: &Call,
    request: S3Request<dto::DeleteBucketEncryptionInput>,
) -> Result<dto::DeleteBucketEncryptionOutput, ServiceError> {
    let input = request.input;
    let owner = input.expected_bucket_owner.as_deref();
    change(
        call,
        &input.bucket,
        owner,
        "s3:PutEncryptionConfiguration",
        |bucket| {
            bucket.encryption = Encryption::Aes256;
            Ok(dto::DeleteBucketEncryptionOutput::default())
        },
    )
}

/// `GetPublicAccessBlock`.
pub async fn block(
    call: &Call,
    request: S3Request<dto::GetPublicAccessBlockInput>,
) -> Result<dto::GetPublicAccessBlockOutput, ServiceError> {
    let input = request.input;
    let owner = input.expected_bucket_owner.as_deref();
    look(
        call,
        &input.bucket,
        owner,
        "s3:GetBucketPublicAccessBlock",
        |bucket| {
            let block = bucket.block.ok_or_else(|| {
                fault(
                    "NoSuchPublicAccessBlockConfiguration",
                    "The public access block configuration was not found",
                )
                .member("BucketName", &*bucket.name)
            })?;
            Ok(dto::GetPublicAccessBlockOutput {
                public_access_block_configuration: Some(dto::PublicAccessBlockConfiguration {
                    block_public_acls: Some(block.block_public_acls),
                    block_public_policy: Some(block.block_public_policy),
                    ignore_public_acls: Some(block.ignore_public_acls),
                    restrict_public_buckets: Some(block.restrict_public_buckets),
                }),
            })
        },
    )
}

/// `PutPublicAccessBlock`: what is not given is off.
pub async fn put_block(
    call: &Call,
    request: S3Request<dto::PutPublicAccessBlockInput>,
) -> Result<dto::PutPublicAccessBlockOutput, ServiceError> {
    let input = request.input;
    let given = input.public_access_block_configuration;
    let block = PublicAccessBlock {
        block_public_acls: given.block_public_acls.unwrap_or(false),
        ignore_public_acls: given.ignore_public_acls.unwrap_or(false),
        block_public_policy: given.block_public_policy.unwrap_or(false),
        restrict_public_buckets: given.restrict_public_buckets.unwrap_or(false),
    };
    let owner = input.expected_bucket_owner.as_deref();
    change(
        call,
        &input.bucket,
        owner,
        "s3:PutBucketPublicAccessBlock",
        |bucket| {
            bucket.block = Some(block);
            Ok(dto::PutPublicAccessBlockOutput::default())
        },
    )
}

/// `DeletePublicAccessBlock`.
pub async fn delete_block(
    call: &Call,
    request: S3Request<dto::DeletePublicAccessBlockInput>,
) -> Result<dto::DeletePublicAccessBlockOutput, ServiceError> {
    let input = request.input;
    let owner = input.expected_bucket_owner.as_deref();
    change(
        call,
        &input.bucket,
        owner,
        "s3:PutBucketPublicAccessBlock",
        |bucket| {
            bucket.block = None;
            Ok(dto::DeletePublicAccessBlockOutput::default())
        },
    )
}

/// `GetBucketOwnershipControls`.
pub async fn ownership(
    call: &Call,
    request: S3Request<dto::GetBucketOwnershipControlsInput>,
) -> Result<dto::GetBucketOwnershipControlsOutput, ServiceError> {
    let input = request.input;
    let owner = input.expected_bucket_owner.as_deref();
    look(
        call,
        &input.bucket,
        owner,
        "s3:GetBucketOwnershipControls",
        |bucket| {
            if !bucket.ownership_controls {
                return Err(fault(
                    "OwnershipControlsNotFoundError",
                    "The bucket ownership controls were not found",
                )
                .member("BucketName", &*bucket.name));
            }
            let rule = dto::OwnershipControlsRule {
                object_ownership: dto::ObjectOwnership::from_static(
                    dto::ObjectOwnership::BUCKET_OWNER_ENFORCED,
                ),
            };
            Ok(dto::GetBucketOwnershipControlsOutput {
                ownership_controls: Some(dto::OwnershipControls { rules: vec![rule] }),
            })
        },
    )
}

/// `PutBucketOwnershipControls`.
pub async fn put_ownership(
    call: &Call,
    request: S3Request<dto::PutBucketOwnershipControlsInput>,
) -> Result<dto::PutBucketOwnershipControlsOutput, ServiceError> {
    let input = request.input;
    let [rule] = &*input.ownership_controls.rules else {
        return Err(malformed());
    };
    check_ownership(Some(&rule.object_ownership))?;
    let owner = input.expected_bucket_owner.as_deref();
    change(
        call,
        &input.bucket,
        owner,
        "s3:PutBucketOwnershipControls",
        |bucket| {
            bucket.ownership_controls = true;
            Ok(dto::PutBucketOwnershipControlsOutput::default())
        },
    )
}

/// `DeleteBucketOwnershipControls` would bring ACLs back, which the sandbox does not have.
pub async fn delete_ownership(
    _call: &Call,
    _request: S3Request<dto::DeleteBucketOwnershipControlsInput>,
) -> Result<dto::DeleteBucketOwnershipControlsOutput, ServiceError> {
    Err(not_here("object ownership with ACLs"))
}

/// ACLs that are as good as none: the owner has everything.
///
/// # Errors
/// `AccessControlListNotSupported`: any other.
pub fn check_acl(acl: Option<&str>, grants: &[&Option<String>]) -> Result<(), ServiceError> {
    let is_plain = matches!(acl, None | Some("private" | "bucket-owner-full-control"));
    if is_plain && grants.iter().all(|grant| grant.is_none()) {
        return Ok(());
    }
    Err(no_acls())
}

fn no_acls() -> ServiceError {
    fault(
        "AccessControlListNotSupported",
        "The bucket does not allow ACLs",
    )
}

fn full_control(bucket: &Bucket) -> Vec<dto::Grant> {
    let of = owner(&bucket.account);
    vec![dto::Grant {
        grantee: Some(dto::Grantee {
            display_name: None,
            email_address: None,
            id: of.id,
            type_: dto::Type::from_static(dto::Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(dto::Permission::from_static(dto::Permission::FULL_CONTROL)),
    }]
}

/// `GetBucketAcl`: its owner has full control.
pub async fn acl(
    call: &Call,
    request: S3Request<dto::GetBucketAclInput>,
) -> Result<dto::GetBucketAclOutput, ServiceError> {
    let input = request.input;
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        call.authorize(world, bucket, &Ask::bucket("s3:GetBucketAcl"))?;
        Ok(dto::GetBucketAclOutput {
            grants: Some(full_control(bucket)),
            owner: Some(owner(&bucket.account)),
        })
    })
}

/// `PutBucketAcl`: no bucket of the sandbox allows ACLs.
pub async fn put_acl(
    call: &Call,
    request: S3Request<dto::PutBucketAclInput>,
) -> Result<dto::PutBucketAclOutput, ServiceError> {
    let input = request.input;
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        call.authorize(world, bucket, &Ask::bucket("s3:PutBucketAcl"))?;
        if input.acl.is_some_and(|acl| acl.as_str() == "private") {
            return Ok(dto::PutBucketAclOutput::default());
        }
        Err(no_acls())
    })
}

/// `GetObjectAcl`: the bucket's owner has full control.
pub async fn object_acl(
    call: &Call,
    request: S3Request<dto::GetObjectAclInput>,
) -> Result<dto::GetObjectAclOutput, ServiceError> {
    let input = request.input;
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        let action = match input.version_id {
            Some(_) => "s3:GetObjectVersionAcl",
            None => "s3:GetObjectAcl",
        };
        call.authorize(world, bucket, &Ask::object(action, &input.key))?;
        super::get::find(call, world, bucket, &input.key, input.version_id.as_deref())?;
        Ok(dto::GetObjectAclOutput {
            grants: Some(full_control(bucket)),
            owner: Some(owner(&bucket.account)),
            request_charged: None,
        })
    })
}

/// `PutObjectAcl`: no bucket of the sandbox allows ACLs.
pub async fn put_object_acl(
    call: &Call,
    request: S3Request<dto::PutObjectAclInput>,
) -> Result<dto::PutObjectAclOutput, ServiceError> {
    let input = request.input;
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        let ask = Ask::object("s3:PutObjectAcl", &input.key);
        call.authorize(world, bucket, &ask)?;
        super::get::find(call, world, bucket, &input.key, input.version_id.as_deref())?;
        match input.acl.as_ref().map(dto::ObjectCannedACL::as_str) {
            Some("private" | "bucket-owner-full-control") => Ok(dto::PutObjectAclOutput::default()),
            _ => Err(no_acls()),
        }
    })
}
