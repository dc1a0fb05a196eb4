//! Writing objects: `PutObject`, and what every write of an object has in common.

use std::collections::BTreeMap;

use base64::Engine as _;
use s3s::S3Request;
use s3s::dto;

use super::access::Ask;
use super::buckets::check_object_acl;
use super::call::{Call, fault, no_such_bucket, not_here};
use super::checksum::{Algorithm, Checksum, Kind, Promise, bad_md5, content_md5, set_checksum};
use super::conditions::{WriteConditions, content};
use super::data;
use super::encryption::{Asked, Shown};
use super::model::{Bucket, Content, Kept, Record, Version, Versioning, object_key};
use super::tagging;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::random;
use crate::sandbox::world::World;

/// Metadata holds so many bytes, names and values together.
const LARGEST_METADATA: usize = 2048;

/// What the inputs of PutObject, CopyObject and CreateMultipartUpload say alike of an object.
macro_rules! said_of_object {
    ($input:expr) => {
        $crate::sandbox::s3::put::Said {
            kept: $crate::sandbox::s3::model::Kept {
                content_type: $input.content_type.as_ref().map(ToString::to_string),
                cache_control: $input.cache_control.clone(),
                content_disposition: $input.content_disposition.clone(),
                content_encoding: $crate::sandbox::s3::put::own_encoding(
                    $input.content_encoding.as_deref(),
                ),
                content_language: $input.content_language.clone(),
                expires: $input
                    .expires
                    .clone()
                    .and_then($crate::sandbox::s3::put::moment),
                website_redirect: $input.website_redirect_location.clone(),
                storage_class: $input
                    .storage_class
                    .as_ref()
                    .map(|class| class.as_str().to_owned()),
                metadata: $input
                    .metadata
                    .clone()
                    .unwrap_or_default()
                    .into_iter()
                    .collect(),
            },
            tagging: $input.tagging.clone(),
            encryption: $crate::sandbox::s3::encryption::Asked {
                algorithm: $input
                    .server_side_encryption
                    .as_ref()
                    .map(|method| method.as_str().to_owned()),
                key: $input.ssekms_key_id.clone(),
                bucket_key: $input.bucket_key_enabled,
            },
            has_customer_key: $input.sse_customer_algorithm.is_some()
                || $input.sse_customer_key.is_some()
                || $input.sse_customer_key_md5.is_some(),
            has_encryption_context: $input.ssekms_encryption_context.is_some(),
            has_lock: $input.object_lock_mode.is_some()
                || $input.object_lock_retain_until_date.is_some()
                || $input.object_lock_legal_hold_status.is_some(),
            acl: $input.acl.clone(),
            grants: [
                $input.grant_full_control.clone(),
                $input.grant_read.clone(),
                $input.grant_read_acp.clone(),
                $input.grant_write_acp.clone(),
            ],
        }
    };
}
pub(super) use said_of_object;

/// What a writer says of an object.
#[derive(Debug)]
pub struct Said {
    /// What readers are told again.
    pub kept: Kept,
    /// `x-amz-tagging`.
    pub tagging: Option<String>,
    /// How it is to be encrypted.
    pub encryption: Asked,
    /// Whether there is a key of the customer's own.
    pub has_customer_key: bool,
    /// Whether there is an encryption context.
    pub has_encryption_context: bool,
    /// Whether it is to be locked.
    pub has_lock: bool,
    /// A canned ACL.
    pub acl: Option<dto::ObjectCannedACL>,
    /// Grants.
    pub grants: [Option<String>; 4],
}

impl Said {
    /// Refuses what is wrong or not to be had, and returns the tags.
    ///
    /// # Errors
    /// S3's own.
    pub fn check(&self) -> Result<BTreeMap<String, String>, ServiceError> {
        check_object_acl(self.acl.as_ref(), &self.grants.each_ref())?;
        if self.has_customer_key {
            return Err(not_here("encryption with keys of the customer's"));
        }
        if self.has_encryption_context {
            return Err(not_here("encryption contexts"));
        }
        if self.has_lock {
            return Err(fault(
                "InvalidRequest",
                "Bucket is missing Object Lock Configuration",
            ));
        }
        let size: usize = self
            .kept
            .metadata
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if size > LARGEST_METADATA {
            return Err(fault(
                "MetadataTooLarge",
                "Your metadata headers exceed the maximum allowed metadata size",
            )
            .member("Size", size.to_string())
            .member("MaxSizeAllowed", LARGEST_METADATA.to_string()));
        }
        check_storage_class(self.kept.storage_class.as_deref())?;
        tagging::from_header(self.tagging.as_deref())
    }
}

fn check_storage_class(class: Option<&str>) -> Result<(), ServiceError> {
    match class {
        None
        | Some(
            "STANDARD"
            | "REDUCED_REDUNDANCY"
            | "STANDARD_IA"
            | "ONEZONE_IA"
            | "INTELLIGENT_TIERING"
            | "GLACIER"
            | "GLACIER_IR"
            | "DEEP_ARCHIVE",
        ) => Ok(()),
        Some(class) => Err(fault(
            "InvalidStorageClass",
            "The storage class you specified is not valid",
        )
        .member("StorageClassRequested", class)),
    }
}

/// A content encoding without `aws-chunked`, which is of the transfer only.
pub fn own_encoding(given: Option<&str>) -> Option<String> {
    let own: Vec<&str> = given?
        .split(',')
        .map(str::trim)
        .filter(|encoding| !encoding.is_empty() && *encoding != "aws-chunked")
        .collect();
    (!own.is_empty()).then(|| own.join(","))
}

/// A moment of s3s in the sandbox's form.
pub fn moment(given: dto::Timestamp) -> Option<Timestamp> {
    let moment: time::OffsetDateTime = given.into();
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000)
        .ok()
        .map(Timestamp)
}

/// Whether the caller may write an object so; `existed` says whether there is one already.
///
/// # Errors
/// `AccessDenied`.
pub fn authorize_write(
    call: &Call,
    world: &World,
    bucket: &Bucket,
    key: &str,
    tags: &BTreeMap<String, String>,
    conditions: &WriteConditions,
) -> Result<(), ServiceError> {
    let ask = Ask::object("s3:PutObject", key).request_tags(tags);
    call.authorize(world, bucket, &ask)?;
    if !tags.is_empty() {
        let ask = Ask::object("s3:PutObjectTagging", key).request_tags(tags);
        call.authorize(world, bucket, &ask)?;
    }
    if conditions.reads() {
        call.authorize(world, bucket, &Ask::object("s3:GetObject", key))?;
    }
    Ok(())
}

/// Whether there is an object now.
pub fn exists(world: &World, bucket: &str, key: &str) -> bool {
    content(world.s3.objects.get(&object_key(bucket, key))).is_some()
}

/// A new version's id, as the bucket's versioning has it.
fn new_version_id(versioning: Versioning) -> String {
    match versioning {
        Versioning::Enabled => base64::engine::general_purpose::URL_SAFE_NO_PAD
            .encode(random::<24>())
            .replace('-', "."),
        Versioning::Never | Versioning::Suspended => "null".to_owned(),
    }
}

/// Puts a version on top of an object's versions: content, or a delete marker. Returns the
/// version's id, and the files that are not needed any more.
pub fn insert(
    world: &mut World,
    bucket: &Bucket,
    key: &str,
    content: Option<Content>,
    now: Timestamp,
) -> (String, Vec<String>) {
    let place = object_key(&bucket.name, key);
    let mut record = world.s3.objects.get(&place).cloned().unwrap_or(Record {
        bucket: bucket.name.clone(),
        key: key.to_owned(),
        versions: Vec::new(),
    });
    let id = new_version_id(bucket.versioning);
    let mut files = Vec::new();
    // Only the version `null` is ever replaced.
    record.versions.retain_mut(|version| {
        if version.id != id {
            return true;
        }
        files.extend(version.content.take().and_then(|content| content.file));
        false
    });
    let version = Version {
        id: id.clone(),
        modified: now,
        content,
    };
    record.versions.insert(0, version);
    world.s3.objects.insert(place, record);
    (id, files)
}

/// The version id that the answer to a write shows.
pub fn shown_id(bucket: &Bucket, id: String) -> Option<String> {
    (bucket.versioning == Versioning::Enabled).then_some(id)
}

/// `PutObject`.
pub async fn put(
    call: &Call,
    request: S3Request<dto::PutObjectInput>,
) -> Result<dto::PutObjectOutput, ServiceError> {
    let mut input = request.input;
    let said = said_of_object!(input);
    let tags = said.check()?;
    if input.write_offset_bytes.is_some() {
        return Err(not_here("appending to objects"));
    }
    let promise = Promise::of(&call.headers)?;
    let md5 = content_md5(&call.headers)?;
    if let Some(size) = input
        .content_length
        .and_then(|size| u64::try_from(size).ok())
        && size > data::LARGEST_PUT
    {
        return Err(data::too_large(size));
    }
    let conditions = WriteConditions::new(input.if_match.take(), input.if_none_match.take())?;
    let owner = input.expected_bucket_owner.as_deref();
    let (authorized, encryption, existed) = call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, owner)?;
        authorize_write(call, world, bucket, &input.key, &tags, &conditions)?;
        let encryption = said.encryption.resolve(call, world, bucket)?;
        let existed = exists(world, &input.bucket, &input.key);
        Ok::<_, ServiceError>((bucket.clone(), encryption, existed))
    })?;
    // Without a checksum of the writer's, S3 makes one of its own.
    let algorithm = promise.algorithm().unwrap_or(Algorithm::Crc64Nvme);
    let received = data::receive(&call.shared, input.body.take(), algorithm).await?;
    if md5.is_some_and(|md5| md5 != received.md5) {
        return Err(bad_md5());
    }
    let trailer = request.trailing_headers.and_then(|headers| headers.take());
    promise.check(&received.sum, trailer.as_ref())?;
    let content = Content {
        file: received.file.clone(),
        size: received.size,
        etag: crate::digest::hex(&received.md5),
        checksum: Checksum {
            algorithm,
            kind: Kind::FullObject,
            value: received.sum.clone(),
        },
        kept: said.kept,
        tags,
        encryption,
        parts: Vec::new(),
    };
    let (bucket, id) = commit(
        call,
        Target {
            bucket: &authorized,
            key: &input.key,
            conditions: &conditions,
            existed,
        },
        content.clone(),
    )?;
    received.keep();
    Ok(answer(content, &bucket, id))
}

/// What a write is to replace.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The bucket as it was when the write was authorized.
    pub bucket: &'a Bucket,
    /// The object's key.
    pub key: &'a str,
    /// Conditions on what is there.
    pub conditions: &'a WriteConditions,
    /// Whether something was there when the request came.
    pub existed: bool,
}

/// Makes content the object's newest, if the conditions hold at that moment. As on AWS, rights
/// count when a request comes; but a bucket that was made anew since, perhaps by somebody else, is
/// not the one that they were for.
///
/// # Errors
/// The conditions do not hold, or the bucket is gone.
pub fn commit(
    call: &Call,
    target: Target<'_>,
    content: Content,
) -> Result<(Bucket, String), ServiceError> {
    let (bucket, id, files) = call.shared.transact(|world| {
        let bucket = call.bucket(world, &target.bucket.name, None)?.clone();
        if !bucket.is_same(target.bucket) {
            return Err(no_such_bucket(&bucket.name));
        }
        let place = object_key(&bucket.name, target.key);
        target
            .conditions
            .check(world.s3.objects.get(&place), target.existed)?;
        let now = call.shared.clock.now();
        let (id, files) = insert(world, &bucket, target.key, Some(content), now);
        Ok((bucket, id, files))
    })?;
    data::remove(&call.shared, &files);
    Ok((bucket, id))
}

fn answer(content: Content, bucket: &Bucket, id: String) -> dto::PutObjectOutput {
    let encryption = Shown::of(&content.encryption, bucket);
    let mut output = dto::PutObjectOutput {
        e_tag: Some(dto::ETag::Strong(content.etag)),
        version_id: shown_id(bucket, id),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        bucket_key_enabled: encryption.bucket_key,
        checksum_type: Some(dto::ChecksumType::from_static(content.checksum.kind.name())),
        ..dto::PutObjectOutput::default()
    };
    let value = content.checksum.value;
    set_checksum!(output, content.checksum.algorithm, value);
    output
}
