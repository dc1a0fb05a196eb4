//! Multipart uploads.

use base64::Engine as _;
use s3s::S3Request;
use s3s::dto;

use super::access::Ask;
use super::call::{Call, fault, invalid_argument, not_here};
use super::checksum::{
    Algorithm, Checksum, Kind, Promise, bad_md5, composite, content_md5, md5_of, set_checksum,
};
use super::conditions::WriteConditions;
use super::controls::malformed;
use super::data::{self, Piece, Received};
use super::encryption::{self, Shown};
use super::model::{Bucket, Content, Part, PartOf, Upload, object_key, part_key};
use super::put::{authorize_write, exists, insert, said_of_object, shown_id};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::random;
use crate::sandbox::kms::KeyUse;
use crate::sandbox::world::World;

/// Every part but the last has at least so many bytes.
const SMALLEST_PART: u64 = 5 << 20;
/// The highest number of a part.
const MOST_PARTS: i32 = 10_000;

/// A part's number.
///
/// # Errors
/// `InvalidArgument`.
pub fn part_number(number: i32) -> Result<i32, ServiceError> {
    if (1..=MOST_PARTS).contains(&number) {
        return Ok(number);
    }
    Err(invalid_argument(
        "Part number must be an integer between 1 and 10000, inclusive",
        "partNumber",
        &number.to_string(),
    ))
}

/// Bucket, its expected owner, key and upload id of a call.
pub type Place<'a> = (&'a str, Option<&'a str>, &'a str, &'a str);

/// An upload under way.
///
/// # Errors
/// `NoSuchUpload`, or what [`Call::bucket`] says.
pub fn find_upload<'w>(
    call: &Call,
    world: &'w World,
    (bucket, owner, key, id): Place<'_>,
) -> Result<(&'w Bucket, &'w Upload), ServiceError> {
    let bucket = call.bucket(world, bucket, owner)?;
    let upload = world
        .s3
        .uploads
        .get(id)
        .filter(|upload| upload.bucket == bucket.name && upload.key == key)
        .ok_or_else(|| {
            fault(
                "NoSuchUpload",
                "The specified upload does not exist. The upload ID may be invalid, or the upload \
                 may have been aborted or completed.",
            )
            .member("UploadId", id)
        })?;
    Ok((bucket, upload))
}

/// `CreateMultipartUpload`.
pub async fn create(
    call: &Call,
    request: S3Request<dto::CreateMultipartUploadInput>,
) -> Result<dto::CreateMultipartUploadOutput, ServiceError> {
    let input = request.input;
    let said = said_of_object!(input);
    let tags = said.check()?;
    let kind = input.checksum_type.as_ref().map(dto::ChecksumType::as_str);
    let checksum = match (&input.checksum_algorithm, kind) {
        (None, None) => None,
        (None, Some(_)) => {
            return Err(fault(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm \
                 header.",
            ));
        }
        (Some(algorithm), kind) => {
            let algorithm = Algorithm::named(algorithm.as_str())?;
            Some((algorithm, algorithm.kind(kind)?))
        }
    };
    let (upload, bucket) = call.shared.transact(|world| {
        let owner = input.expected_bucket_owner.as_deref();
        let bucket = call.bucket(world, &input.bucket, owner)?.clone();
        let conditions = WriteConditions::default();
        authorize_write(call, world, &bucket, &input.key, &tags, &conditions)?;
        let encryption = said.encryption.resolve(call, world, &bucket)?;
        // S3 reads the parts again to put them together.
        encryption::authorize(call, world, &bucket, &encryption, KeyUse::DecryptDataKey)?;
        let caller = call.caller.as_ref();
        let upload = Upload {
            id: base64::engine::general_purpose::URL_SAFE_NO_PAD
                .encode(random::<48>())
                .replace('-', "."),
            bucket: bucket.name.clone(),
            key: input.key.clone(),
            initiator: caller.map_or_else(|| "anonymous".to_owned(), |caller| caller.arn.clone()),
            initiated: call.now,
            encryption,
            kept: said.kept,
            tags,
            checksum,
        };
        world.s3.uploads.insert(upload.id.clone(), upload.clone());
        Ok((upload, bucket))
    })?;
    let encryption = Shown::of(&upload.encryption, &bucket);
    Ok(dto::CreateMultipartUploadOutput {
        bucket: Some(upload.bucket),
        key: Some(upload.key),
        upload_id: Some(upload.id),
        checksum_algorithm: checksum
            .map(|(algorithm, _)| dto::ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: checksum.map(|(_, kind)| dto::ChecksumType::from_static(kind.name())),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        bucket_key_enabled: encryption.bucket_key,
        ..dto::CreateMultipartUploadOutput::default()
    })
}

/// `UploadPart`.
pub async fn upload_part(
    call: &Call,
    request: S3Request<dto::UploadPartInput>,
) -> Result<dto::UploadPartOutput, ServiceError> {
    let mut input = request.input;
    let number = part_number(input.part_number)?;
    if input.sse_customer_algorithm.is_some() {
        return Err(not_here("encryption with keys of the customer's"));
    }
    let promise = Promise::of(&call.headers)?;
    let md5 = content_md5(&call.headers)?;
    let owner = input.expected_bucket_owner.as_deref();
    let place = (&*input.bucket, owner, &*input.key, &*input.upload_id);
    let upload = call.shared.read(|world| {
        let (bucket, upload) = find_upload(call, world, place)?;
        call.authorize(world, bucket, &Ask::object("s3:PutObject", &input.key))?;
        Ok::<_, ServiceError>(upload.clone())
    })?;
    let asked = upload.checksum.map(|(algorithm, _)| algorithm);
    check_algorithm(upload.checksum, promise.algorithm())?;
    let algorithm = promise
        .algorithm()
        .or(asked)
        .unwrap_or(Algorithm::Crc64Nvme);
    let received = data::receive(&call.shared, input.body.take(), algorithm).await?;
    if md5.is_some_and(|md5| md5 != received.md5) {
        return Err(bad_md5());
    }
    let trailer = request.trailing_headers.and_then(|headers| headers.take());
    promise.check(&received.sum, trailer.as_ref())?;
    let part = Part {
        number,
        file: received.file.clone(),
        size: received.size,
        etag: crate::digest::hex(&received.md5),
        checksum: (asked.is_some() || promise != Promise::None)
            .then(|| (algorithm, received.sum.clone())),
        modified: call.shared.clock.now(),
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
    let encryption = Shown::of(&upload.encryption, &bucket);
    let mut output = dto::UploadPartOutput {
        e_tag: Some(dto::ETag::Strong(part.etag)),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        bucket_key_enabled: encryption.bucket_key,
        ..dto::UploadPartOutput::default()
    };
    if let Some((algorithm, value)) = part.checksum {
        set_checksum!(output, algorithm, value);
    }
    Ok(output)
}

/// A part's checksum is of the algorithm that the upload was begun with; parts of a composite
/// checksum must have one.
fn check_algorithm(
    upload: Option<(Algorithm, Kind)>,
    part: Option<Algorithm>,
) -> Result<(), ServiceError> {
    match (upload, part) {
        (Some((asked, _)), Some(given)) if asked != given => Err(fault(
            "InvalidRequest",
            format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum \
                 Type: {}",
                asked.name().to_ascii_lowercase(),
                given.name().to_ascii_lowercase()
            ),
        )),
        (Some((asked, Kind::Composite)), None) => Err(fault(
            "InvalidRequest",
            format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum \
                 Type: null",
                asked.name().to_ascii_lowercase()
            ),
        )),
        _ => Ok(()),
    }
}

/// `AbortMultipartUpload`.
pub async fn abort(
    call: &Call,
    request: S3Request<dto::AbortMultipartUploadInput>,
) -> Result<dto::AbortMultipartUploadOutput, ServiceError> {
    let input = request.input;
    if input.if_match_initiated_time.is_some() {
        return Err(not_here("conditions on when an upload was begun"));
    }
    let files = call.shared.transact(|world| {
        let owner = input.expected_bucket_owner.as_deref();
        let place = (&*input.bucket, owner, &*input.key, &*input.upload_id);
        let (bucket, upload) = find_upload(call, world, place)?;
        let ask = Ask::object("s3:AbortMultipartUpload", &input.key);
        call.authorize(world, bucket, &ask)?;
        let id = upload.id.clone();
        Ok(world.s3.forget_upload(&id))
    })?;
    data::remove(&call.shared, &files);
    Ok(dto::AbortMultipartUploadOutput::default())
}

/// What is put together, and from which parts.
struct Plan {
    upload: Upload,
    parts: Vec<Part>,
    existed: bool,
}

/// `CompleteMultipartUpload`.
pub async fn complete(
    call: &Call,
    request: S3Request<dto::CompleteMultipartUploadInput>,
) -> Result<dto::CompleteMultipartUploadOutput, ServiceError> {
    let mut input = request.input;
    if input.sse_customer_algorithm.is_some() {
        return Err(not_here("encryption with keys of the customer's"));
    }
    let conditions = WriteConditions::new(input.if_match.take(), input.if_none_match.take())?;
    let plan = plan(call, &input, &conditions)?;
    // Without a checksum of the writer's, S3 makes one of its own.
    let (algorithm, kind) = plan
        .upload
        .checksum
        .unwrap_or((Algorithm::Crc64Nvme, Kind::FullObject));
    let shared = call.shared.clone();
    let parts = plan.parts.clone();
    let joined = tokio::task::spawn_blocking(move || {
        let pieces = parts.iter().filter_map(|part| {
            let path = data::path(&shared, part.file.as_ref()?);
            Some(std::fs::File::open(path).map(|file| Piece {
                file,
                start: 0,
                length: part.size,
            }))
        });
        data::join(&shared, pieces, algorithm)
    });
    let received = joined
        .await
        .map_err(ServiceError::internal)?
        .map_err(|error| unjoined(call, &input, error))?;
    let content = content(&plan.upload, &plan.parts, &received, (algorithm, kind));
    check_promised(call, &input, &content)?;
    let place = object_key(&input.bucket, &input.key);
    let (bucket, id, files) = call.shared.transact(|world| {
        let owner = input.expected_bucket_owner.as_deref();
        let at = (&*input.bucket, owner, &*input.key, &*input.upload_id);
        // Parts may have come and the upload gone while its data was put together.
        let bucket = find_upload(call, world, at)?.0.clone();
        let is_as_planned = plan.parts.iter().all(|part| {
            let now = world.s3.parts.get(&part_key(&input.upload_id, part.number));
            now == Some(part)
        });
        if !is_as_planned {
            return Err(invalid_part());
        }
        conditions.check(world.s3.objects.get(&place), plan.existed)?;
        let mut files = world.s3.forget_upload(&input.upload_id);
        let now = call.shared.clock.now();
        let (id, old) = insert(world, &bucket, &input.key, Some(content.clone()), now);
        files.extend(old);
        Ok((bucket, id, files))
    })?;
    received.keep();
    data::remove(&call.shared, &files);
    Ok(completed(call, content, &bucket, id, &input.key))
}

fn completed(
    call: &Call,
    content: Content,
    bucket: &Bucket,
    id: String,
    key: &str,
) -> dto::CompleteMultipartUploadOutput {
    let encryption = Shown::of(&content.encryption, bucket);
    let host = call
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let mut output = dto::CompleteMultipartUploadOutput {
        bucket: Some(bucket.name.clone()),
        key: Some(key.to_owned()),
        location: Some(format!("http://{host}{}", call.path)),
        e_tag: Some(dto::ETag::Strong(content.etag)),
        version_id: shown_id(bucket, id),
        checksum_type: Some(dto::ChecksumType::from_static(content.checksum.kind.name())),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        bucket_key_enabled: encryption.bucket_key,
        ..dto::CompleteMultipartUploadOutput::default()
    };
    let value = content.checksum.value;
    set_checksum!(output, content.checksum.algorithm, value);
    output
}

/// Why parts could not be put together: if a file was not there, the upload has ended meanwhile, or
/// the part was uploaded anew.
fn unjoined(
    call: &Call,
    input: &dto::CompleteMultipartUploadInput,
    error: std::io::Error,
) -> ServiceError {
    if error.kind() != std::io::ErrorKind::NotFound {
        return ServiceError::internal(error);
    }
    let owner = input.expected_bucket_owner.as_deref();
    let place = (&*input.bucket, owner, &*input.key, &*input.upload_id);
    call.shared
        .read(|world| find_upload(call, world, place).err())
        .unwrap_or_else(invalid_part)
}

/// Finds the parts that are asked for.
fn plan(
    call: &Call,
    input: &dto::CompleteMultipartUploadInput,
    conditions: &WriteConditions,
) -> Result<Plan, ServiceError> {
    let asked = input
        .multipart_upload
        .as_ref()
        .and_then(|upload| upload.parts.as_deref())
        .filter(|parts| !parts.is_empty())
        .ok_or_else(malformed)?;
    call.shared.read(|world| {
        let owner = input.expected_bucket_owner.as_deref();
        let place = (&*input.bucket, owner, &*input.key, &*input.upload_id);
        let (bucket, upload) = find_upload(call, world, place)?;
        authorize_write(call, world, bucket, &input.key, &upload.tags, conditions)?;
        let parts = choose(world, upload, asked)?;
        Ok(Plan {
            upload: upload.clone(),
            parts,
            existed: exists(world, &input.bucket, &input.key),
        })
    })
}

/// The parts that are named, which must be there as named, in order, and large enough.
fn choose(
    world: &World,
    upload: &Upload,
    asked: &[dto::CompletedPart],
) -> Result<Vec<Part>, ServiceError> {
    let mut parts: Vec<Part> = Vec::with_capacity(asked.len());
    for named in asked {
        let (Some(number), Some(etag)) = (named.part_number, &named.e_tag) else {
            return Err(malformed());
        };
        if parts.last().is_some_and(|last| last.number >= number) {
            return Err(fault(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. Parts must be ordered by part \
                 number.",
            )
            .member("UploadId", &*upload.id));
        }
        let part = world
            .s3
            .parts
            .get(&part_key(&upload.id, number))
            .filter(|part| part.etag == etag.value())
            .ok_or_else(|| {
                invalid_part()
                    .member("UploadId", &*upload.id)
                    .member("PartNumber", number.to_string())
                    .member("ETag", etag.value())
            })?;
        check_named_sum(upload, named, part)?;
        parts.push(part.clone());
    }
    let all_but_last = parts.len().saturating_sub(1);
    if let Some(small) = parts[..all_but_last]
        .iter()
        .find(|part| part.size < SMALLEST_PART)
    {
        return Err(fault(
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size",
        )
        .member("ProposedSize", small.size.to_string())
        .member("MinSizeAllowed", SMALLEST_PART.to_string())
        .member("PartNumber", small.number.to_string())
        .member("ETag", &*small.etag));
    }
    Ok(parts)
}

fn invalid_part() -> ServiceError {
    fault(
        "InvalidPart",
        "One or more of the specified parts could not be found. The part may not have been \
         uploaded, or the specified entity tag may not match the part's entity tag.",
    )
}

/// A checksum that a part is named with must be the part's; where the object's is composite,
/// every part must be named with one.
fn check_named_sum(
    upload: &Upload,
    named: &dto::CompletedPart,
    part: &Part,
) -> Result<(), ServiceError> {
    let sums = [
        (Algorithm::Crc32, &named.checksum_crc32),
        (Algorithm::Crc32c, &named.checksum_crc32c),
        (Algorithm::Crc64Nvme, &named.checksum_crc64nvme),
        (Algorithm::Sha1, &named.checksum_sha1),
        (Algorithm::Sha256, &named.checksum_sha256),
    ];
    let given: Vec<(Algorithm, String)> = sums
        .into_iter()
        .filter_map(|(algorithm, sum)| Some((algorithm, sum.clone()?)))
        .collect();
    for sum in &given {
        if part.checksum.as_ref() != Some(sum) {
            return Err(invalid_part().member("PartNumber", part.number.to_string()));
        }
    }
    match upload.checksum {
        Some((algorithm, Kind::Composite)) if given.is_empty() => Err(fault(
            "InvalidRequest",
            format!(
                "The upload was created using a {} checksum. The complete request must include the \
                 checksum for each part. It was missing for part {} in the request.",
                algorithm.name().to_ascii_lowercase(),
                part.number
            ),
        )),
        _ => Ok(()),
    }
}

fn content(
    upload: &Upload,
    parts: &[Part],
    received: &Received,
    (algorithm, kind): (Algorithm, Kind),
) -> Content {
    let digests: Vec<u8> = parts
        .iter()
        .flat_map(|part| md5_bytes(&part.etag))
        .collect();
    let sums: Vec<String> = parts
        .iter()
        .filter_map(|part| Some(part.checksum.as_ref()?.1.clone()))
        .collect();
    let value = match kind {
        Kind::FullObject => received.sum.clone(),
        Kind::Composite => composite(algorithm, &sums),
    };
    Content {
        file: received.file.clone(),
        size: received.size,
        etag: format!("{}-{}", crate::digest::hex(&md5_of(&digests)), parts.len()),
        checksum: Checksum {
            algorithm,
            kind,
            value,
        },
        kept: upload.kept.clone(),
        tags: upload.tags.clone(),
        encryption: upload.encryption.clone(),
        parts: parts
            .iter()
            .map(|part| PartOf {
                number: part.number,
                size: part.size,
                checksum: part
                    .checksum
                    .as_ref()
                    .filter(|(of, _)| *of == algorithm)
                    .map(|(_, value)| value.clone()),
            })
            .collect(),
    }
}

/// The MD5 that a part's ETag stands for.
fn md5_bytes(etag: &str) -> Vec<u8> {
    let digits: Vec<u8> = etag
        .chars()
        .filter_map(|char| char.to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// What the request says of the whole object must be so: its size, and its checksum.
fn check_promised(
    call: &Call,
    input: &dto::CompleteMultipartUploadInput,
    content: &Content,
) -> Result<(), ServiceError> {
    if let Some(kind) = &input.checksum_type
        && kind.as_str() != content.checksum.kind.name()
    {
        return Err(fault(
            "InvalidRequest",
            format!(
                "The upload was created using the {} checksum mode. The complete request must use \
                 the same checksum mode.",
                content.checksum.kind.name()
            ),
        ));
    }
    if let Some(size) = input.mpu_object_size
        && u64::try_from(size) != Ok(content.size)
    {
        return Err(fault(
            "InvalidRequest",
            format!(
                "The provided 'x-amz-mp-object-size' header value {size} does not match what was \
                 computed: {}",
                content.size
            ),
        ));
    }
    let given = call
        .headers
        .get(content.checksum.algorithm.header())
        .and_then(|value| value.to_str().ok());
    match given {
        Some(value) if value != content.checksum.value => Err(fault(
            "BadDigest",
            format!(
                "The {} you specified did not match the calculated checksum.",
                content.checksum.algorithm.name()
            ),
        )),
        _ => Ok(()),
    }
}
