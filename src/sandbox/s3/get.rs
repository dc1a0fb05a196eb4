//! Reading objects: `GetObject` and `HeadObject`.

use s3s::S3Request;
use s3s::dto;

use super::access::Ask;
use super::call::{Call, access_denied, fault, invalid_argument, not_here, timestamp};
use super::checksum::set_checksum;
use super::conditions::{ReadConditions, ReadVerdict, precondition_failed};
use super::data::{self, Piece};
use super::encryption::{self, Shown};
use super::model::{Bucket, Content, Version, Versioning, object_key};
use crate::sandbox::error::ServiceError;
use crate::sandbox::kms::KeyUse;
use crate::sandbox::world::World;

/// A version of an object, if it is there and no delete marker.
pub fn peek<'w>(
    world: &'w World,
    bucket: &Bucket,
    key: &str,
    version: Option<&str>,
) -> Option<(&'w Version, &'w Content)> {
    let record = world.s3.objects.get(&object_key(&bucket.name, key))?;
    match version {
        None => record.current(),
        Some(id) => {
            let version = record.versions.iter().find(|one| one.id == id)?;
            Some((version, version.content.as_ref()?))
        }
    }
}

/// A version of an object; the newest if none is named.
///
/// # Errors
/// `NoSuchKey`, `NoSuchVersion`, or `MethodNotAllowed` for a delete marker that is named. Who may
/// not list the bucket is not told what is missing, but `AccessDenied`.
pub fn find<'w>(
    call: &Call,
    world: &'w World,
    bucket: &Bucket,
    key: &str,
    version: Option<&str>,
) -> Result<(&'w Version, &'w Content), ServiceError> {
    if let Some(id) = version {
        check_version_id(id)?;
    }
    if let Some(found) = peek(world, bucket, key, version) {
        return Ok(found);
    }
    call.authorize(world, bucket, &Ask::bucket("s3:ListBucket"))
        .map_err(|_| access_denied())?;
    let record = world.s3.objects.get(&object_key(&bucket.name, key));
    let marker = record.and_then(|record| match version {
        None => record.versions.first(),
        Some(id) => record.versions.iter().find(|one| one.id == id),
    });
    if let Some(marker) = marker {
        call.header("x-amz-delete-marker", "true");
        call.header("x-amz-version-id", &marker.id);
    }
    match (version, marker) {
        (None, _) => {
            Err(fault("NoSuchKey", "The specified key does not exist.").member("Key", key))
        }
        (Some(id), None) => Err(
            fault("NoSuchVersion", "The specified version does not exist.")
                .member("Key", key)
                .member("VersionId", id),
        ),
        (Some(_), Some(_)) => {
            call.header("allow", "DELETE");
            Err(fault(
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            )
            .member("ResourceType", "DeleteMarker"))
        }
    }
}

/// Whether a text can be a version's id at all.
///
/// # Errors
/// `InvalidArgument`.
pub fn check_version_id(id: &str) -> Result<(), ServiceError> {
    if id == "null" || id.len() == 32 {
        return Ok(());
    }
    Err(invalid_argument(
        "Invalid version id specified",
        "versionId",
        id,
    ))
}

/// What GetObject and HeadObject say alike.
macro_rules! read_of {
    ($input:expr) => {
        Read {
            bucket: $input.bucket.clone(),
            key: $input.key.clone(),
            owner: $input.expected_bucket_owner.clone(),
            version: $input.version_id.clone(),
            range: $input.range,
            part: $input.part_number,
            conditions: ReadConditions {
                matches: $input.if_match.clone(),
                differs: $input.if_none_match.clone(),
                modified_since: $input.if_modified_since.clone(),
                unmodified_since: $input.if_unmodified_since.clone(),
            },
            has_customer_key: $input.sse_customer_algorithm.is_some()
                || $input.sse_customer_key.is_some()
                || $input.sse_customer_key_md5.is_some(),
            has_overrides: $input.response_cache_control.is_some()
                || $input.response_content_disposition.is_some()
                || $input.response_content_encoding.is_some()
                || $input.response_content_language.is_some()
                || $input.response_content_type.is_some()
                || $input.response_expires.is_some(),
        }
    };
}

struct Read {
    bucket: String,
    key: String,
    owner: Option<String>,
    version: Option<String>,
    range: Option<dto::Range>,
    part: Option<i32>,
    conditions: ReadConditions,
    has_customer_key: bool,
    has_overrides: bool,
}

/// What is read: a version, and which bytes of it.
struct Found {
    bucket: Bucket,
    version: Version,
    content: Content,
    start: u64,
    length: u64,
    file: Option<std::fs::File>,
}

impl Read {
    fn check(&self, call: &Call) -> Result<(), ServiceError> {
        if self.has_customer_key {
            return Err(not_here("encryption with keys of the customer's"));
        }
        if self.has_overrides && call.caller.is_none() {
            return Err(fault(
                "InvalidRequest",
                "Request specific response headers cannot be used for anonymous GET requests.",
            ));
        }
        if self.range.is_some() && self.part.is_some() {
            return Err(fault(
                "InvalidRequest",
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        Ok(())
    }

    /// Finds what is to be read, and opens its file while the world cannot change.
    fn find(&self, call: &Call) -> Result<Found, ServiceError> {
        self.check(call)?;
        call.shared.read(|world| {
            let bucket = call.bucket(world, &self.bucket, self.owner.as_deref())?;
            let action = match self.version {
                Some(_) => "s3:GetObjectVersion",
                None => "s3:GetObject",
            };
            let mut ask = Ask::object(action, &self.key);
            if let Some(version) = &self.version {
                ask = ask.with("s3:versionid", version.clone());
            }
            let version = self.version.as_deref();
            if let Some((_, content)) = peek(world, bucket, &self.key, version) {
                ask = ask.existing_tags(&content.tags);
            }
            call.authorize(world, bucket, &ask)?;
            let (version, content) = find(call, world, bucket, &self.key, version)?;
            encryption::authorize(
                call,
                world,
                bucket,
                &content.encryption,
                KeyUse::DecryptDataKey,
            )?;
            self.judge(call, bucket, version, content)?;
            let class = content.kept.storage_class.as_deref();
            if let (Some(class @ ("GLACIER" | "DEEP_ARCHIVE")), true) = (class, call.reads_data()) {
                return Err(fault(
                    "InvalidObjectState",
                    "The operation is not valid for the object's storage class",
                )
                .member("StorageClass", class));
            }
            let (start, length) = self.stretch(content)?;
            let open = |file: &String| std::fs::File::open(data::path(&call.shared, file));
            let file = content.file.as_ref().map(open).transpose();
            Ok(Found {
                bucket: bucket.clone(),
                version: version.clone(),
                content: content.clone(),
                start,
                length,
                file: file.map_err(ServiceError::internal)?,
            })
        })
    }

    fn judge(
        &self,
        call: &Call,
        bucket: &Bucket,
        version: &Version,
        content: &Content,
    ) -> Result<(), ServiceError> {
        match self.conditions.judge(&content.etag, version.modified) {
            ReadVerdict::Go => Ok(()),
            ReadVerdict::Failed(condition) => Err(precondition_failed(condition)),
            ReadVerdict::NotModified => {
                call.header("etag", &format!("\"{}\"", content.etag));
                call.header("last-modified", &http_date(version.modified));
                if let Some(id) = shown(bucket, version) {
                    call.header("x-amz-version-id", &id);
                }
                Err(fault("NotModified", "Not Modified"))
            }
        }
    }

    /// Which bytes are asked for.
    fn stretch(&self, content: &Content) -> Result<(u64, u64), ServiceError> {
        if let Some(number) = self.part {
            return part_stretch(content, number);
        }
        let Some(range) = &self.range else {
            return Ok((0, content.size));
        };
        let stretch = range.check(content.size).map_err(|_| {
            fault("InvalidRange", "The requested range is not satisfiable")
                .member("RangeRequested", range.to_header_string())
                .member("ActualObjectSize", content.size.to_string())
        })?;
        Ok((stretch.start, stretch.end - stretch.start))
    }
}

fn part_stretch(content: &Content, number: i32) -> Result<(u64, u64), ServiceError> {
    if content.parts.is_empty() && number == 1 {
        return Ok((0, content.size));
    }
    let mut start = 0;
    for part in &content.parts {
        if part.number == number {
            return Ok((start, part.size));
        }
        start += part.size;
    }
    Err(fault(
        "InvalidPartNumber",
        "The requested partnumber is not satisfiable",
    )
    .status(416)
    .member("PartNumberRequested", number.to_string())
    .member("ActualPartCount", content.parts.len().max(1).to_string()))
}

impl Call {
    fn reads_data(&self) -> bool {
        self.method == hyper::Method::GET
    }
}

fn http_date(moment: crate::sandbox::clock::Timestamp) -> String {
    moment
        .date_time()
        .format(time::macros::format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        ))
        .unwrap_or_default()
}

/// A version's id as answers to readers show it: not at all where there never were versions.
pub fn shown(bucket: &Bucket, version: &Version) -> Option<String> {
    (bucket.versioning != Versioning::Never).then(|| version.id.clone())
}

/// The fields that the outputs of GetObject and HeadObject have alike.
macro_rules! answer {
    ($output:ident, $found:expr, $read:expr, $with_checksum:expr) => {{
        let found = &$found;
        let content = &found.content;
        let kept = content.kept.clone();
        let encryption = Shown::of(&content.encryption, &found.bucket);
        let is_part = $read.range.is_some() || $read.part.is_some();
        let mut output = dto::$output {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(found.length).ok(),
            content_range: (is_part && found.length > 0).then(|| {
                format!(
                    "bytes {}-{}/{}",
                    found.start,
                    found.start + found.length - 1,
                    content.size
                )
            }),
            cache_control: kept.cache_control,
            content_disposition: kept.content_disposition,
            content_encoding: kept.content_encoding,
            content_language: kept.content_language,
            content_type: Some(
                kept.content_type
                    .unwrap_or_else(|| "binary/octet-stream".to_owned()),
            ),
            e_tag: Some(dto::ETag::Strong(content.etag.clone())),
            expires: kept.expires.map(timestamp),
            last_modified: Some(timestamp(found.version.modified)),
            metadata: Some(kept.metadata.into_iter().collect()),
            parts_count: $read
                .part
                .and_then(|_| i32::try_from(content.parts.len()).ok())
                .filter(|count| *count > 0),
            server_side_encryption: encryption.algorithm,
            ssekms_key_id: encryption.key,
            bucket_key_enabled: encryption.bucket_key,
            storage_class: kept
                .storage_class
                .filter(|class| class != "STANDARD")
                .map(dto::StorageClass::from),
            version_id: shown(&found.bucket, &found.version),
            website_redirect_location: kept.website_redirect,
            ..dto::$output::default()
        };
        // A checksum is of the whole object: a stretch of it has none.
        if $with_checksum && !is_part {
            let value = content.checksum.value.clone();
            set_checksum!(output, content.checksum.algorithm, value);
            let kind = content.checksum.kind.name();
            output.checksum_type = Some(dto::ChecksumType::from_static(kind));
        }
        output
    }};
}

fn wants_checksum(mode: Option<&dto::ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str().eq_ignore_ascii_case("enabled"))
}

/// `GetObject`.
pub async fn get(
    call: &Call,
    request: S3Request<dto::GetObjectInput>,
) -> Result<dto::GetObjectOutput, ServiceError> {
    let input = request.input;
    let read = read_of!(input);
    let mut found = read.find(call)?;
    let mut output = answer!(
        GetObjectOutput,
        found,
        read,
        wants_checksum(input.checksum_mode.as_ref())
    );
    output.tag_count = i32::try_from(found.content.tags.len())
        .ok()
        .filter(|count| *count > 0);
    let piece = found.file.take().map(|file| Piece {
        file,
        start: found.start,
        length: found.length,
    });
    output.body = Some(data::body(piece).map_err(ServiceError::internal)?);
    Ok(output)
}

/// `HeadObject`.
pub async fn head(
    call: &Call,
    request: S3Request<dto::HeadObjectInput>,
) -> Result<dto::HeadObjectOutput, ServiceError> {
    let input = request.input;
    let read = read_of!(input);
    let found = read.find(call)?;
    let mut output = answer!(
        HeadObjectOutput,
        found,
        read,
        wants_checksum(input.checksum_mode.as_ref())
    );
    // s3s does this for GetObject only.
    let given = [
        (&mut output.cache_control, input.response_cache_control),
        (
            &mut output.content_disposition,
            input.response_content_disposition,
        ),
        (
            &mut output.content_encoding,
            input.response_content_encoding,
        ),
        (
            &mut output.content_language,
            input.response_content_language,
        ),
    ];
    for (field, value) in given {
        if value.is_some() {
            *field = value;
        }
    }
    if let Some(kind) = input.response_content_type {
        output.content_type = Some(kind);
    }
    if let Some(moment) = input.response_expires {
        output.expires = Some(moment);
    }
    Ok(output)
}
