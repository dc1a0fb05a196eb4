//! Copying objects, and stretches of objects into parts of uploads.

use s3s::S3Request;
use s3s::dto;

use super::access::Ask;
use super::call::{Call, fault, invalid_argument, not_here, timestamp};
use super::checksum::{Algorithm, Checksum, Kind, set_checksum};
use super::conditions::{ReadConditions, ReadVerdict, WriteConditions, precondition_failed};
use super::data::{self, Piece, Received};
use super::encryption::{self, Shown};
use super::get::{find, peek, shown};
use super::model::{Bucket, Content, Part, Version, part_key};
use super::multipart::{find_upload, part_number};
use super::put::{Target, authorize_write, commit, exists, said_of_object, shown_id};
use crate::sandbox::error::ServiceError;
use crate::sandbox::kms::KeyUse;

/// Where a copy comes from.
struct Source {
    bucket: Bucket,
    version: Version,
    content: Content,
    file: Option<std::fs::File>,
}

/// What CopyObject and UploadPartCopy say alike of the source.
macro_rules! source_of {
    ($call:expr, $input:expr) => {{
        if $input.copy_source_sse_customer_algorithm.is_some()
            || $input.copy_source_sse_customer_key.is_some()
            || $input.copy_source_sse_customer_key_md5.is_some()
        {
            return Err(not_here("encryption with keys of the customer's"));
        }
        let conditions = ReadConditions {
            matches: $input.copy_source_if_match.clone(),
            differs: $input.copy_source_if_none_match.clone(),
            modified_since: $input.copy_source_if_modified_since.clone(),
            unmodified_since: $input.copy_source_if_unmodified_since.clone(),
        };
        let owner = $input.expected_source_bucket_owner.as_deref();
        find_source($call, &$input.copy_source, owner, &conditions)?
    }};
}

/// Finds what is to be copied, and opens its file while the world cannot change.
fn find_source(
    call: &Call,
    source: &dto::CopySource,
    owner: Option<&str>,
    conditions: &ReadConditions,
) -> Result<Source, ServiceError> {
    let dto::CopySource::Bucket {
        bucket,
        key,
        version_id,
    } = source
    else {
        return Err(not_here("access points"));
    };
    call.shared.read(|world| {
        let bucket = match world.s3.buckets.get(bucket) {
            // A copy may come from another Region.
            Some(found) if owner.is_none_or(|owner| owner == found.account.as_str()) => found,
            _ => call.bucket(world, bucket, owner)?,
        };
        let id = version_id.as_deref();
        let action = match id {
            Some(_) => "s3:GetObjectVersion",
            None => "s3:GetObject",
        };
        let mut ask = Ask::object(action, key);
        if let Some((_, content)) = peek(world, bucket, key, id) {
            ask = ask.existing_tags(&content.tags);
        }
        call.authorize(world, bucket, &ask)?;
        let (version, content) = find(call, world, bucket, key, id)?;
        encryption::authorize(
            call,
            world,
            bucket,
            &content.encryption,
            KeyUse::DecryptDataKey,
        )?;
        match conditions.judge(&content.etag, version.modified) {
            ReadVerdict::Go => {}
            ReadVerdict::NotModified => {
                return Err(precondition_failed("x-amz-copy-source-If-None-Match"));
            }
            ReadVerdict::Failed("If-Match") => {
                return Err(precondition_failed("x-amz-copy-source-If-Match"));
            }
            ReadVerdict::Failed(_) => {
                return Err(precondition_failed("x-amz-copy-source-If-Unmodified-Since"));
            }
        }
        let open = |file: &String| std::fs::File::open(data::path(&call.shared, file));
        let file = content.file.as_ref().map(open).transpose();
        Ok(Source {
            bucket: bucket.clone(),
            version: version.clone(),
            content: content.clone(),
            file: file.map_err(ServiceError::internal)?,
        })
    })
}

/// Copies a stretch of a source into a file of its own.
async fn copy_data(
    call: &Call,
    file: Option<std::fs::File>,
    (start, length): (u64, u64),
    algorithm: Algorithm,
) -> Result<Received, ServiceError> {
    let piece = file.map(|file| {
        Ok(Piece {
            file,
            start,
            length,
        })
    });
    let shared = call.shared.clone();
    tokio::task::spawn_blocking(move || data::join(&shared, piece, algorithm))
        .await
        .map_err(ServiceError::internal)?
        .map_err(ServiceError::internal)
}

/// `CopyObject`.
pub async fn object(
    call: &Call,
    request: S3Request<dto::CopyObjectInput>,
) -> Result<dto::CopyObjectOutput, ServiceError> {
    let input = request.input;
    let mut said = said_of_object!(input);
    let mut tags = said.check()?;
    let replaces_metadata = directive(
        input.metadata_directive.as_ref().map(|one| one.as_str()),
        "x-amz-metadata-directive",
    )?;
    let replaces_tags = directive(
        input.tagging_directive.as_ref().map(|one| one.as_str()),
        "x-amz-tagging-directive",
    )?;
    let mut source = source_of!(call, input);
    if source.content.size > data::LARGEST_PUT {
        return Err(fault(
            "InvalidRequest",
            "The specified copy source is larger than the maximum allowable size for a copy source: \
             5368709120",
        ));
    }
    let changes_class = said.kept.storage_class.is_some();
    let is_onto_itself = matches!(&input.copy_source, dto::CopySource::Bucket { bucket, key, version_id: None }
        if **bucket == *input.bucket && **key == *input.key);
    let changes = replaces_metadata
        || changes_class
        || said.kept.website_redirect.is_some()
        || said.encryption.algorithm.is_some();
    if is_onto_itself && !changes {
        return Err(fault(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without \
             changing the object's metadata, storage class, website redirect location or \
             encryption attributes.",
        ));
    }
    if !replaces_metadata {
        let asked = said.kept;
        said.kept = source.content.kept.clone();
        // These two are never copied along.
        said.kept.storage_class = asked.storage_class;
        said.kept.website_redirect = asked.website_redirect;
    }
    if !replaces_tags {
        tags = source.content.tags.clone();
    }
    let header = |name: &str| -> Result<Option<dto::ETagCondition>, ServiceError> {
        let Some(value) = call.headers.get(name) else {
            return Ok(None);
        };
        dto::ETagCondition::parse_http_header(value.as_bytes())
            .map(Some)
            .map_err(|_| fault("InvalidRequest", format!("invalid header: {name}")))
    };
    let conditions = WriteConditions::new(header("if-match")?, header("if-none-match")?)?;
    let algorithm = match &input.checksum_algorithm {
        Some(named) => Algorithm::named(named.as_str())?,
        None => source.content.checksum.algorithm,
    };
    let owner = input.expected_bucket_owner.as_deref();
    let (authorized, encryption, existed) = call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, owner)?;
        authorize_write(call, world, bucket, &input.key, &tags, &conditions)?;
        if !replaces_tags && !tags.is_empty() {
            let dto::CopySource::Bucket { key, .. } = &input.copy_source else {
                return Err(not_here("access points"));
            };
            let ask = Ask::object("s3:GetObjectTagging", key).existing_tags(&tags);
            call.authorize(world, &source.bucket, &ask)?;
        }
        let encryption = said.encryption.resolve(call, world, bucket)?;
        let existed = exists(world, &input.bucket, &input.key);
        Ok::<_, ServiceError>((bucket.clone(), encryption, existed))
    })?;
    let whole = (0, source.content.size);
    let received = copy_data(call, source.file.take(), whole, algorithm).await?;
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
    let target = Target {
        bucket: &authorized,
        key: &input.key,
        conditions: &conditions,
        existed,
    };
    let (bucket, id) = commit(call, target, content.clone())?;
    received.keep();
    Ok(copied(call, content, &bucket, id, &source))
}

fn copied(
    call: &Call,
    content: Content,
    bucket: &Bucket,
    id: String,
    source: &Source,
) -> dto::CopyObjectOutput {
    let encryption = Shown::of(&content.encryption, bucket);
    let mut result = dto::CopyObjectResult {
        e_tag: Some(dto::ETag::Strong(content.etag)),
        last_modified: Some(timestamp(call.shared.clock.now())),
        checksum_type: Some(dto::ChecksumType::from_static(content.checksum.kind.name())),
        ..dto::CopyObjectResult::default()
    };
    let value = content.checksum.value;
    set_checksum!(result, content.checksum.algorithm, value);
    dto::CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: shown(&source.bucket, &source.version),
        version_id: shown_id(bucket, id),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        bucket_key_enabled: encryption.bucket_key,
        ..dto::CopyObjectOutput::default()
    }
}

/// Whether a directive is `REPLACE`.
fn directive(given: Option<&str>, header: &'static str) -> Result<bool, ServiceError> {
    match given {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(invalid_argument(
            "Unknown metadata directive.",
            header,
            other,
        )),
    }
}

/// `UploadPartCopy`.
pub async fn part(
    call: &Call,
    request: S3Request<dto::UploadPartCopyInput>,
) -> Result<dto::UploadPartCopyOutput, ServiceError> {
    let input = request.input;
    let number = part_number(input.part_number)?;
    if input.sse_customer_algorithm.is_some() {
        return Err(not_here("encryption with keys of the customer's"));
    }
    let mut source = source_of!(call, input);
    let owner = input.expected_bucket_owner.as_deref();
    let place = (&*input.bucket, owner, &*input.key, &*input.upload_id);
    let upload = call.shared.read(|world| {
        let (bucket, upload) = find_upload(call, world, place)?;
        call.authorize(world, bucket, &Ask::object("s3:PutObject", &input.key))?;
        Ok::<_, ServiceError>(upload.clone())
    })?;
    let size = source.content.size;
    let stretch = match &input.copy_source_range {
        None => (0, size),
        Some(range) => copy_stretch(range, size)?,
    };
    if stretch.1 > data::LARGEST_PUT {
        return Err(data::too_large(stretch.1));
    }
    let algorithm = upload
        .checksum
        .map_or(Algorithm::Crc64Nvme, |(algorithm, _)| algorithm);
    let received = copy_data(call, source.file.take(), stretch, algorithm).await?;
    let now = call.shared.clock.now();
    let part = Part {
        number,
        file: received.file.clone(),
        size: received.size,
        etag: crate::digest::hex(&received.md5),
        checksum: upload
            .checksum
            .map(|(algorithm, _)| (algorithm, received.sum.clone())),
        modified: now,
    };
    let (bucket, replaced) = call.shared.transact(|world| {
        let bucket = find_upload(call, world, place)?.0.clone();
        let place = part_key(&upload.id, number);
        let replaced = world.s3.parts.get(&place).and_then(|old| old.file.clone());
        world.s3.parts.insert(place, part.clone());
        Ok((bucket, replaced))
    })?;
    received.keep();
    data::remove(&call.shared, replaced.as_slice());
    let mut result = dto::CopyPartResult {
        e_tag: Some(dto::ETag::Strong(part.etag)),
        last_modified: Some(timestamp(now)),
        ..dto::CopyPartResult::default()
    };
    if let Some((algorithm, value)) = part.checksum {
        set_checksum!(result, algorithm, value);
    }
    let encryption = Shown::of(&upload.encryption, &bucket);
    Ok(dto::UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: shown(&source.bucket, &source.version),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        bucket_key_enabled: encryption.bucket_key,
        ..dto::UploadPartCopyOutput::default()
    })
}

/// `x-amz-copy-source-range`: both ends must be given, and within the source.
fn copy_stretch(range: &str, size: u64) -> Result<(u64, u64), ServiceError> {
    let wrong = || {
        invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy",
            "x-amz-copy-source-range",
            range,
        )
    };
    let Ok(dto::Range::Int {
        first,
        last: Some(last),
    }) = dto::Range::parse(range)
    else {
        return Err(wrong());
    };
    if last >= size {
        return Err(invalid_argument(
            format!("Range specified is not valid for source object of size: {size}"),
            "x-amz-copy-source-range",
            range,
        ));
    }
    Ok((first, last - first + 1))
}
