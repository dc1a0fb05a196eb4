//! Tags of objects and of buckets.

use std::collections::BTreeMap;

use s3s::S3Request;
use s3s::dto;

use super::access::Ask;
use super::call::{Call, fault, invalid_argument};
use super::controls::change;
use super::get::{find, peek};
use super::model::{Bucket, Versioning, object_key};
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

/// An object has at most so many tags.
const MOST_OBJECT_TAGS: usize = 10;
/// A bucket has at most so many tags.
const MOST_BUCKET_TAGS: usize = 50;

/// The tags in `x-amz-tagging`.
///
/// # Errors
/// It names a tag twice, or a tag is against the rules.
pub fn from_header(header: Option<&str>) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut tags = BTreeMap::new();
    let header = header.unwrap_or_default();
    for (key, value) in form_urlencoded::parse(header.as_bytes()) {
        if tags.insert(key.into_owned(), value.into_owned()).is_some() {
            return Err(invalid_argument(
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
                 parameters without tag name duplicates.",
                "x-amz-tagging",
                header,
            ));
        }
    }
    check(&tags, MOST_OBJECT_TAGS)?;
    Ok(tags)
}

/// The tags of a document.
fn from_set(set: Vec<dto::Tag>, most: usize) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut tags = BTreeMap::new();
    for tag in set {
        let (Some(key), Some(value)) = (tag.key, tag.value) else {
            return Err(super::controls::malformed());
        };
        if tags.insert(key, value).is_some() {
            return Err(fault(
                "InvalidTag",
                "Cannot provide multiple Tags with the same key",
            ));
        }
    }
    check(&tags, most)?;
    Ok(tags)
}

fn check(tags: &BTreeMap<String, String>, most: usize) -> Result<(), ServiceError> {
    if tags.len() > most {
        let what = if most == MOST_OBJECT_TAGS {
            "Object"
        } else {
            "Bucket"
        };
        return Err(fault(
            "BadRequest",
            format!("{what} tags cannot be greater than {most}"),
        ));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(
                fault("InvalidTag", "The TagKey you have provided is invalid")
                    .member("TagKey", &**key),
            );
        }
        if value.chars().count() > 256 {
            return Err(
                fault("InvalidTag", "The TagValue you have provided is invalid")
                    .member("TagValue", &**value),
            );
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(fault(
                "InvalidTag",
                "System tags cannot be added/updated by requester",
            ));
        }
    }
    Ok(())
}

fn to_set(tags: &BTreeMap<String, String>) -> Vec<dto::Tag> {
    tags.iter()
        .map(|(key, value)| dto::Tag {
            key: Some(key.clone()),
            value: Some(value.clone()),
        })
        .collect()
}

/// `GetBucketTagging`.
pub async fn bucket(
    call: &Call,
    request: S3Request<dto::GetBucketTaggingInput>,
) -> Result<dto::GetBucketTaggingOutput, ServiceError> {
    let input = request.input;
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        call.authorize_owner(world, bucket, "s3:GetBucketTagging")?;
        if bucket.tags.is_empty() {
            return Err(fault("NoSuchTagSet", "The TagSet does not exist")
                .member("BucketName", &*bucket.name));
        }
        Ok(dto::GetBucketTaggingOutput {
            tag_set: to_set(&bucket.tags),
        })
    })
}

/// `PutBucketTagging`.
pub async fn put_bucket(
    call: &Call,
    request: S3Request<dto::PutBucketTaggingInput>,
) -> Result<dto::PutBucketTaggingOutput, ServiceError> {
    let input = request.input;
    let tags = from_set(input.tagging.tag_set, MOST_BUCKET_TAGS)?;
    let owner = input.expected_bucket_owner.as_deref();
    change(
        call,
        &input.bucket,
        owner,
        "s3:PutBucketTagging",
        |bucket| {
            bucket.tags = tags;
            Ok(dto::PutBucketTaggingOutput::default())
        },
    )
}

/// `DeleteBucketTagging`.
pub async fn delete_bucket(
    call: &Call,
    request: S3Request<dto::DeleteBucketTaggingInput>,
) -> Result<dto::DeleteBucketTaggingOutput, ServiceError> {
    let input = request.input;
    let owner = input.expected_bucket_owner.as_deref();
    change(
        call,
        &input.bucket,
        owner,
        "s3:PutBucketTagging",
        |bucket| {
            bucket.tags.clear();
            Ok(dto::DeleteBucketTaggingOutput::default())
        },
    )
}

/// The id of a version as answers to calls about tags show it.
fn shown(bucket: &Bucket, id: &str) -> Option<String> {
    (bucket.versioning != Versioning::Never).then(|| id.to_owned())
}

fn action(version: Option<&String>, plain: &'static str, of_version: &'static str) -> &'static str {
    match version {
        Some(_) => of_version,
        None => plain,
    }
}

/// `GetObjectTagging`.
pub async fn object(
    call: &Call,
    request: S3Request<dto::GetObjectTaggingInput>,
) -> Result<dto::GetObjectTaggingOutput, ServiceError> {
    let input = request.input;
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        let action = action(
            input.version_id.as_ref(),
            "s3:GetObjectTagging",
            "s3:GetObjectVersionTagging",
        );
        let mut ask = Ask::object(action, &input.key);
        let version_id = input.version_id.as_deref();
        if let Some((_, content)) = peek(world, bucket, &input.key, version_id) {
            ask = ask.existing_tags(&content.tags);
        }
        call.authorize(world, bucket, &ask)?;
        let (version, content) = find(call, world, bucket, &input.key, version_id)?;
        Ok(dto::GetObjectTaggingOutput {
            tag_set: to_set(&content.tags),
            version_id: shown(bucket, &version.id),
        })
    })
}

/// `PutObjectTagging`.
pub async fn put_object(
    call: &Call,
    request: S3Request<dto::PutObjectTaggingInput>,
) -> Result<dto::PutObjectTaggingOutput, ServiceError> {
    let input = request.input;
    let tags = from_set(input.tagging.tag_set, MOST_OBJECT_TAGS)?;
    let action = action(
        input.version_id.as_ref(),
        "s3:PutObjectTagging",
        "s3:PutObjectVersionTagging",
    );
    let version_id = replace(
        call,
        (&input.bucket, input.expected_bucket_owner.as_deref()),
        (&input.key, input.version_id.as_deref()),
        action,
        tags,
    )?;
    Ok(dto::PutObjectTaggingOutput { version_id })
}

/// `DeleteObjectTagging`.
pub async fn delete_object(
    call: &Call,
    request: S3Request<dto::DeleteObjectTaggingInput>,
) -> Result<dto::DeleteObjectTaggingOutput, ServiceError> {
    let input = request.input;
    let action = action(
        input.version_id.as_ref(),
        "s3:DeleteObjectTagging",
        "s3:DeleteObjectVersionTagging",
    );
    let version_id = replace(
        call,
        (&input.bucket, input.expected_bucket_owner.as_deref()),
        (&input.key, input.version_id.as_deref()),
        action,
        BTreeMap::new(),
    )?;
    Ok(dto::DeleteObjectTaggingOutput { version_id })
}

fn replace(
    call: &Call,
    (bucket, owner): (&str, Option<&str>),
    (key, version): (&str, Option<&str>),
    action: &str,
    tags: BTreeMap<String, String>,
) -> Result<Option<String>, ServiceError> {
    call.shared.transact(|world: &mut World| {
        let bucket = call.bucket(world, bucket, owner)?.clone();
        let mut ask = Ask::object(action, key).request_tags(&tags);
        if let Some((_, content)) = peek(world, &bucket, key, version) {
            ask = ask.existing_tags(&content.tags);
        }
        call.authorize(world, &bucket, &ask)?;
        let id = find(call, world, &bucket, key, version)?.0.id.clone();
        let record = world.s3.objects.get_mut(&object_key(&bucket.name, key));
        let content = record.and_then(|record| {
            let version = record.versions.iter_mut().find(|one| one.id == id)?;
            version.content.as_mut()
        });
        if let Some(content) = content {
            content.tags = tags;
        }
        Ok(shown(&bucket, &id))
    })
}
