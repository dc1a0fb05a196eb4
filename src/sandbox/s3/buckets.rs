//! Buckets: making, deleting and listing them, and where they are.

use std::collections::BTreeMap;

use s3s::S3Request;
use s3s::dto;

use super::access::Ask;
use super::call::{Call, access_denied, fault, invalid_argument, not_here, timestamp};
use super::controls::check_acl;
use super::model::{Bucket, Encryption, PublicAccessBlock, Versioning, object_key};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::Region;
use crate::sandbox::world::World;

/// `CreateBucket`.
pub async fn create(
    call: &Call,
    request: S3Request<dto::CreateBucketInput>,
) -> Result<dto::CreateBucketOutput, ServiceError> {
    let input = request.input;
    check_name(&input.bucket)?;
    let grants = [
        &input.grant_full_control,
        &input.grant_read,
        &input.grant_read_acp,
        &input.grant_write,
        &input.grant_write_acp,
    ];
    if grants.iter().any(|grant| grant.is_some())
        || input
            .acl
            .as_ref()
            .is_some_and(|acl| acl.as_str() != "private")
    {
        return Err(fault(
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    if input.object_lock_enabled_for_bucket == Some(true) {
        return Err(not_here("object lock"));
    }
    check_ownership(input.object_ownership.as_ref())?;
    let (Some(caller), Some(signed)) = (&call.caller, &call.region) else {
        return Err(access_denied());
    };
    let region = region_of(input.create_bucket_configuration.as_ref(), signed)?;
    call.shared.transact(|world| {
        let arn = super::access::arn(&input.bucket, None);
        call.authorize_identity(world, "s3:CreateBucket", &arn)?;
        if let Some(bucket) = world.s3.buckets.get(&input.bucket) {
            return already_there(bucket, &caller.account, &region);
        }
        let quota = call.shared.limits.quota("buckets");
        let count = world
            .s3
            .buckets
            .values()
            .filter(|bucket| bucket.account == caller.account)
            .count();
        if count as u64 >= quota {
            return Err(fault(
                "TooManyBuckets",
                "You have attempted to create more buckets than allowed",
            ));
        }
        let bucket = Bucket {
            name: input.bucket.clone(),
            account: caller.account.clone(),
            region: region.clone(),
            created: call.now,
            versioning: Versioning::Never,
            policy: None,
            block: Some(PublicAccessBlock::ALL),
            ownership_controls: true,
            encryption: Encryption::Aes256,
            tags: BTreeMap::new(),
        };
        world.s3.buckets.insert(input.bucket.clone(), bucket);
        Ok(())
    })?;
    Ok(dto::CreateBucketOutput {
        location: Some(format!("/{}", input.bucket)),
    })
}

/// Ownership with ACLs is refused: the sandbox has buckets without them only.
pub fn check_ownership(ownership: Option<&dto::ObjectOwnership>) -> Result<(), ServiceError> {
    match ownership.map(dto::ObjectOwnership::as_str) {
        None | Some("BucketOwnerEnforced") => Ok(()),
        Some("BucketOwnerPreferred" | "ObjectWriter") => {
            Err(not_here("object ownership with ACLs"))
        }
        Some(_) => Err(fault(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published \
             schema",
        )),
    }
}

/// Making a bucket again that one has is an error but in `us-east-1`, where it never was.
fn already_there(
    bucket: &Bucket,
    account: &crate::sandbox::id::AccountId,
    region: &Region,
) -> Result<(), ServiceError> {
    if bucket.account != *account {
        return Err(fault(
            "BucketAlreadyExists",
            "The requested bucket name is not available. The bucket namespace is shared by all \
             users of the system. Please select a different name and try again.",
        )
        .member("BucketName", &*bucket.name));
    }
    if bucket.region.as_str() == "us-east-1" && region.as_str() == "us-east-1" {
        return Ok(());
    }
    Err(fault(
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
    )
    .member("BucketName", &*bucket.name))
}

/// Where a new bucket is to be. `us-east-1` takes buckets for every Region, the others only their
/// own.
fn region_of(
    configuration: Option<&dto::CreateBucketConfiguration>,
    signed: &Region,
) -> Result<Region, ServiceError> {
    if configuration.is_some_and(|given| given.bucket.is_some() || given.location.is_some()) {
        return Err(not_here("directory buckets"));
    }
    let constraint = configuration
        .and_then(|given| given.location_constraint.as_ref())
        .map(dto::BucketLocationConstraint::as_str)
        .filter(|constraint| !constraint.is_empty());
    let incompatible = |constraint: &str| {
        fault(
            "IllegalLocationConstraintException",
            format!(
                "The {constraint} location constraint is incompatible for the region specific \
                 endpoint this request was sent to."
            ),
        )
    };
    match constraint {
        None if signed.as_str() == "us-east-1" => Ok(signed.clone()),
        None => Err(incompatible("unspecified")),
        Some(name) => {
            let invalid = || {
                fault(
                    "InvalidLocationConstraint",
                    "The specified location-constraint is not valid",
                )
                .member("LocationConstraint", name)
            };
            let region: Region = match name {
                "EU" => "eu-west-1",
                // The one Region that has no constraint.
                "us-east-1" => return Err(invalid()),
                name => name,
            }
            .parse()
            .map_err(|_| invalid())?;
            if signed.as_str() != "us-east-1" && region != *signed {
                return Err(incompatible(name));
            }
            Ok(region)
        }
    }
}

/// What s3s does not look at of a new bucket's name: beginnings and ends that AWS keeps to itself.
fn check_name(name: &str) -> Result<(), ServiceError> {
    let starts = ["xn--", "sthree-", "amzn-s3-demo-"];
    let ends = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    if starts.iter().any(|start| name.starts_with(start))
        || ends.iter().any(|end| name.ends_with(end))
    {
        return Err(
            fault("InvalidBucketName", "The specified bucket is not valid.")
                .member("BucketName", name),
        );
    }
    Ok(())
}

/// `DeleteBucket`: it must be empty.
pub async fn delete(
    call: &Call,
    request: S3Request<dto::DeleteBucketInput>,
) -> Result<dto::DeleteBucketOutput, ServiceError> {
    let input = request.input;
    let files = call.shared.transact(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        call.authorize(world, bucket, &Ask::bucket("s3:DeleteBucket"))?;
        let start = object_key(&bucket.name, "");
        let has_objects = world
            .s3
            .objects
            .from_key(&start)
            .next()
            .is_some_and(|(key, _)| key.starts_with(&start));
        if has_objects {
            let message = match bucket.versioning {
                Versioning::Never => "The bucket you tried to delete is not empty",
                _ => {
                    "The bucket you tried to delete is not empty. You must delete all versions in \
                     the bucket."
                }
            };
            return Err(fault("BucketNotEmpty", message).member("BucketName", &*bucket.name));
        }
        let name = bucket.name.clone();
        Ok(forget(world, &name))
    })?;
    super::data::remove(&call.shared, &files);
    Ok(dto::DeleteBucketOutput::default())
}

/// Takes out a bucket, and uploads to it that were never finished. Returns their files.
fn forget(world: &mut World, bucket: &str) -> Vec<String> {
    world.s3.buckets.remove(bucket);
    let uploads: Vec<String> = world
        .s3
        .uploads
        .values()
        .filter(|upload| upload.bucket == bucket)
        .map(|upload| upload.id.clone())
        .collect();
    uploads
        .iter()
        .flat_map(|upload| world.s3.forget_upload(upload))
        .collect()
}

/// `HeadBucket`, which says where a bucket is even to those who may not look into it.
pub async fn head(
    call: &Call,
    request: S3Request<dto::HeadBucketInput>,
) -> Result<dto::HeadBucketOutput, ServiceError> {
    let input = request.input;
    call.shared.read(|world| {
        if let Some(bucket) = world.s3.buckets.get(&input.bucket) {
            call.header("x-amz-bucket-region", bucket.region.as_str());
        }
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        call.authorize(world, bucket, &Ask::bucket("s3:ListBucket"))?;
        call.take_extra();
        Ok(dto::HeadBucketOutput {
            bucket_region: Some(bucket.region.to_string()),
            access_point_alias: Some(false),
            ..dto::HeadBucketOutput::default()
        })
    })
}

/// `ListBuckets`: the caller's, in every Region.
pub async fn list(
    call: &Call,
    request: S3Request<dto::ListBucketsInput>,
) -> Result<dto::ListBucketsOutput, ServiceError> {
    let input = request.input;
    let Some(caller) = &call.caller else {
        return Err(access_denied());
    };
    let most = match input.max_buckets {
        None => 10_000,
        Some(most @ 1..=10_000) => most,
        Some(most) => {
            return Err(invalid_argument(
                "Argument max-buckets must be an integer between 1 and 10000",
                "max-buckets",
                &most.to_string(),
            ));
        }
    };
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = input.continuation_token.unwrap_or_default();
    call.shared.read(|world| {
        call.authorize_identity(world, "s3:ListAllMyBuckets", "*")?;
        let mut found = world.s3.buckets.values().filter(|bucket| {
            bucket.account == caller.account
                && bucket.name.starts_with(&prefix)
                && bucket.name > after
                && input
                    .bucket_region
                    .as_ref()
                    .is_none_or(|region| region == bucket.region.as_str())
        });
        let mut buckets = Vec::new();
        for bucket in found.by_ref().take(usize::try_from(most).unwrap_or(0)) {
            buckets.push(dto::Bucket {
                bucket_region: Some(bucket.region.to_string()),
                creation_date: Some(timestamp(bucket.created)),
                name: Some(bucket.name.clone()),
            });
        }
        let continuation_token = match (found.next(), buckets.last()) {
            (Some(_), Some(last)) => last.name.clone(),
            _ => None,
        };
        Ok(dto::ListBucketsOutput {
            buckets: Some(buckets),
            continuation_token,
            owner: Some(owner(&caller.account)),
            prefix: input.prefix.clone(),
        })
    })
}

/// An account as S3 shows owners: its canonical id, 64 hexadecimal digits.
pub fn owner(account: &crate::sandbox::id::AccountId) -> dto::Owner {
    dto::Owner {
        display_name: None,
        id: Some(canonical_id(account)),
    }
}

/// The canonical id of an account.
pub fn canonical_id(account: &crate::sandbox::id::AccountId) -> String {
    use sha2::Digest as _;
    crate::digest::hex(&sha2::Sha256::digest(format!("canonical {account}")))
}

/// `GetBucketLocation`, which may be asked from `us-east-1` for every bucket.
pub async fn location(
    call: &Call,
    request: S3Request<dto::GetBucketLocationInput>,
) -> Result<dto::GetBucketLocationOutput, ServiceError> {
    let input = request.input;
    call.shared.read(|world| {
        let from_home = call
            .region
            .as_ref()
            .is_some_and(|region| region.as_str() == "us-east-1");
        let known = world.s3.buckets.get(&input.bucket);
        let bucket = match (known, from_home) {
            (Some(bucket), true) => bucket,
            _ => call.bucket(world, &input.bucket, None)?,
        };
        if let Some(owner) = &input.expected_bucket_owner
            && owner != bucket.account.as_str()
        {
            return Err(access_denied());
        }
        call.authorize_owner(world, bucket, "s3:GetBucketLocation")?;
        let region = bucket.region.as_str();
        Ok(dto::GetBucketLocationOutput {
            location_constraint: (region != "us-east-1")
                .then(|| dto::BucketLocationConstraint::from_static(region)),
        })
    })
}

/// ACLs that a writer of objects may give.
///
/// # Errors
/// `AccessControlListNotSupported`.
pub fn check_object_acl(
    acl: Option<&dto::ObjectCannedACL>,
    grants: &[&Option<String>],
) -> Result<(), ServiceError> {
    check_acl(acl.map(dto::ObjectCannedACL::as_str), grants)
}
