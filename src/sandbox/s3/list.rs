//! Listings: objects (both ways), versions, uploads under way and their parts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::S3Request;
use s3s::dto;

use super::access::Ask;
use super::buckets::{canonical_id, owner};
use super::call::{Call, fault, invalid_argument, timestamp};
use super::checksum::set_checksum;
use super::model::{Bucket, Content, Record, Upload, Version, object_key};
use super::multipart::find_upload;
use super::paging::{Page, Query, page};
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

/// A page has at most so many entries, whatever is asked for.
const LONGEST_PAGE: i32 = 1000;

/// What stays as it is when names are encoded.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b'/');

/// How names are written into an answer.
struct Encoding(Option<dto::EncodingType>);

impl Encoding {
    fn new(given: Option<dto::EncodingType>) -> Result<Encoding, ServiceError> {
        match &given {
            Some(kind) if kind.as_str() != "url" => Err(invalid_argument(
                "Invalid Encoding Method specified in Request",
                "encoding-type",
                kind.as_str(),
            )),
            _ => Ok(Encoding(given)),
        }
    }

    fn write(&self, name: &str) -> String {
        match self.0 {
            Some(_) => utf8_percent_encode(name, PLAIN)
                .to_string()
                .replace("%20", "+"),
            None => name.to_owned(),
        }
    }

    fn write_some(&self, name: Option<&String>) -> Option<String> {
        name.map(|name| self.write(name))
    }

    fn prefixes(&self, prefixes: &[String]) -> Option<Vec<dto::CommonPrefix>> {
        let shown: Vec<_> = prefixes
            .iter()
            .map(|prefix| dto::CommonPrefix {
                prefix: Some(self.write(prefix)),
            })
            .collect();
        (!shown.is_empty()).then_some(shown)
    }
}

fn page_length(given: Option<i32>, name: &str) -> Result<(i32, usize), ServiceError> {
    let given = given.unwrap_or(LONGEST_PAGE);
    if given < 0 {
        return Err(invalid_argument(
            format!("Argument {name} must be an integer between 0 and 2147483647"),
            name,
            &given.to_string(),
        ));
    }
    let length = given.min(LONGEST_PAGE);
    Ok((length, usize::try_from(length).unwrap_or(0)))
}

/// What a caller may see of a bucket; policies may go by prefix, delimiter and page.
fn ask<'a>(
    action: &'a str,
    prefix: Option<&String>,
    delimiter: Option<&String>,
    most: Option<i32>,
) -> Ask<'a> {
    let mut ask = Ask::bucket(action);
    if let Some(prefix) = prefix {
        ask = ask.with("s3:prefix", prefix.clone());
    }
    if let Some(delimiter) = delimiter {
        ask = ask.with("s3:delimiter", delimiter.clone());
    }
    if let Some(most) = most {
        ask = ask.with("s3:max-keys", most.to_string());
    }
    ask
}

/// The records of a bucket with keys from `from` on that begin with `prefix`, in order.
fn records<'w>(
    world: &'w World,
    bucket: &str,
    prefix: &str,
    from: &str,
) -> impl Iterator<Item = (&'w str, &'w Record)> {
    let start = object_key(bucket, prefix.max(from));
    let within = object_key(bucket, prefix);
    world
        .s3
        .objects
        .from_key(&start)
        .take_while(move |(place, _)| place.starts_with(&within))
        .map(|(_, record)| (record.key.as_str(), record))
}

/// A page of a bucket's current objects.
fn current<'w>(
    world: &'w World,
    bucket: &str,
    query: Query<'_>,
) -> Page<(&'w str, &'w Version, &'w Content)> {
    let all = records(world, bucket, query.prefix, query.after)
        .filter(|(key, _)| *key > query.after)
        .filter_map(|(key, record)| {
            let (version, content) = record.current()?;
            Some((key, (key, version, content)))
        });
    page(all, query)
}

fn class(content: &Content) -> String {
    let class = content.kept.storage_class.clone();
    class.unwrap_or_else(|| "STANDARD".to_owned())
}

fn object(
    (key, version, content): (&str, &Version, &Content),
    encoding: &Encoding,
    owner: Option<dto::Owner>,
) -> dto::Object {
    dto::Object {
        checksum_algorithm: Some(vec![dto::ChecksumAlgorithm::from_static(
            content.checksum.algorithm.name(),
        )]),
        checksum_type: Some(dto::ChecksumType::from_static(content.checksum.kind.name())),
        e_tag: Some(dto::ETag::Strong(content.etag.clone())),
        key: Some(encoding.write(key)),
        last_modified: Some(timestamp(version.modified)),
        owner,
        restore_status: None,
        size: i64::try_from(content.size).ok(),
        storage_class: Some(dto::ObjectStorageClass::from(class(content))),
    }
}

/// `ListObjects`.
pub async fn objects(
    call: &Call,
    request: S3Request<dto::ListObjectsInput>,
) -> Result<dto::ListObjectsOutput, ServiceError> {
    let input = request.input;
    let encoding = Encoding::new(input.encoding_type.clone())?;
    let (shown, most) = page_length(input.max_keys, "max-keys")?;
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        let ask = ask(
            "s3:ListBucket",
            input.prefix.as_ref(),
            input.delimiter.as_ref(),
            input.max_keys,
        );
        call.authorize(world, bucket, &ask)?;
        let found = current(
            world,
            &bucket.name,
            Query {
                prefix: input.prefix.as_deref().unwrap_or_default(),
                delimiter: input.delimiter.as_deref().unwrap_or_default(),
                after: input.marker.as_deref().unwrap_or_default(),
                most,
            },
        );
        let contents = found
            .items
            .into_iter()
            .map(|item| object(item, &encoding, Some(owner(&bucket.account))))
            .collect();
        Ok(dto::ListObjectsOutput {
            name: Some(bucket.name.clone()),
            prefix: Some(encoding.write(input.prefix.as_deref().unwrap_or_default())),
            marker: Some(encoding.write(input.marker.as_deref().unwrap_or_default())),
            max_keys: Some(shown),
            is_truncated: Some(found.next.is_some()),
            contents: Some(contents),
            common_prefixes: encoding.prefixes(&found.prefixes),
            delimiter: encoding.write_some(input.delimiter.as_ref()),
            // Without a delimiter, the last key itself is where to go on.
            next_marker: found
                .next
                .filter(|_| input.delimiter.is_some())
                .map(|next| encoding.write(&next)),
            encoding_type: input.encoding_type.clone(),
            request_charged: None,
        })
    })
}

/// `ListObjectsV2`.
pub async fn objects_v2(
    call: &Call,
    request: S3Request<dto::ListObjectsV2Input>,
) -> Result<dto::ListObjectsV2Output, ServiceError> {
    let input = request.input;
    let encoding = Encoding::new(input.encoding_type.clone())?;
    let (shown, most) = page_length(input.max_keys, "max-keys")?;
    let after = match &input.continuation_token {
        Some(token) => read_token(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        let ask = ask(
            "s3:ListBucket",
            input.prefix.as_ref(),
            input.delimiter.as_ref(),
            input.max_keys,
        );
        call.authorize(world, bucket, &ask)?;
        let found = current(
            world,
            &bucket.name,
            Query {
                prefix: input.prefix.as_deref().unwrap_or_default(),
                delimiter: input.delimiter.as_deref().unwrap_or_default(),
                after: &after,
                most,
            },
        );
        let count = found.items.len() + found.prefixes.len();
        let shows_owner = input.fetch_owner.unwrap_or(false);
        let contents: Vec<_> = found
            .items
            .into_iter()
            .map(|item| {
                let owner = shows_owner.then(|| owner(&bucket.account));
                object(item, &encoding, owner)
            })
            .collect();
        Ok(dto::ListObjectsV2Output {
            name: Some(bucket.name.clone()),
            prefix: Some(encoding.write(input.prefix.as_deref().unwrap_or_default())),
            max_keys: Some(shown),
            key_count: i32::try_from(count).ok(),
            continuation_token: input.continuation_token.clone(),
            is_truncated: Some(found.next.is_some()),
            next_continuation_token: found.next.as_deref().map(token),
            contents: (!contents.is_empty()).then_some(contents),
            common_prefixes: encoding.prefixes(&found.prefixes),
            delimiter: encoding.write_some(input.delimiter.as_ref()),
            encoding_type: input.encoding_type.clone(),
            start_after: encoding.write_some(input.start_after.as_ref()),
            request_charged: None,
        })
    })
}

/// A continuation token: nothing that a client should understand.
fn token(next: &str) -> String {
    format!("1{}", URL_SAFE_NO_PAD.encode(next))
}

fn read_token(token: &str) -> Result<String, ServiceError> {
    token
        .strip_prefix('1')
        .and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            invalid_argument(
                "The continuation token provided is incorrect",
                "continuation-token",
                token,
            )
        })
}

/// `ListObjectVersions`.
pub async fn versions(
    call: &Call,
    request: S3Request<dto::ListObjectVersionsInput>,
) -> Result<dto::ListObjectVersionsOutput, ServiceError> {
    let input = request.input;
    let encoding = Encoding::new(input.encoding_type.clone())?;
    let (shown, most) = page_length(input.max_keys, "max-keys")?;
    if input.version_id_marker.is_some() && input.key_marker.is_none() {
        return Err(invalid_argument(
            "A version-id marker cannot be specified without a key marker.",
            "version-id-marker",
            input.version_id_marker.as_deref().unwrap_or_default(),
        ));
    }
    let key_marker = input.key_marker.clone().unwrap_or_default();
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        let ask = ask(
            "s3:ListBucketVersions",
            input.prefix.as_ref(),
            input.delimiter.as_ref(),
            input.max_keys,
        );
        call.authorize(world, bucket, &ask)?;
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref().unwrap_or_default(),
            after: &key_marker,
            most,
        };
        let all = records(world, &bucket.name, query.prefix, &key_marker)
            .flat_map(|(key, record)| {
                let latest = std::iter::once(true).chain(std::iter::repeat(false));
                let versions = record.versions.iter().zip(latest);
                versions.map(move |(version, latest)| (key, (key, version, latest)))
            })
            .filter({
                let mut is_past = false;
                let id_marker = input.version_id_marker.as_deref();
                let key_marker = &key_marker;
                move |(key, (_, version, _))| {
                    let passes = *key > key_marker.as_str() || is_past;
                    is_past = is_past || id_marker.is_some_and(|id| id == version.id);
                    passes
                }
            });
        let found = page(all, query);
        let is_truncated = found.next.is_some();
        let last_is_key = found.prefixes.last().map(String::as_str) != found.next.as_deref();
        let next_version = found
            .items
            .last()
            .filter(|_| is_truncated && last_is_key)
            .map(|(_, version, _)| version.id.clone());
        let (versions, markers) = split(found.items, &encoding, bucket);
        Ok(dto::ListObjectVersionsOutput {
            common_prefixes: encoding.prefixes(&found.prefixes),
            delete_markers: (!markers.is_empty()).then_some(markers),
            delimiter: encoding.write_some(input.delimiter.as_ref()),
            encoding_type: input.encoding_type.clone(),
            is_truncated: Some(is_truncated),
            key_marker: Some(encoding.write(&key_marker)),
            max_keys: Some(shown),
            name: Some(bucket.name.clone()),
            next_key_marker: found.next.map(|next| encoding.write(&next)),
            next_version_id_marker: next_version,
            prefix: Some(encoding.write(query.prefix)),
            request_charged: None,
            version_id_marker: Some(input.version_id_marker.clone().unwrap_or_default()),
            versions: (!versions.is_empty()).then_some(versions),
        })
    })
}

fn split(
    items: Vec<(&str, &Version, bool)>,
    encoding: &Encoding,
    bucket: &Bucket,
) -> (Vec<dto::ObjectVersion>, Vec<dto::DeleteMarkerEntry>) {
    let (mut versions, mut markers) = (Vec::new(), Vec::new());
    for (key, version, is_latest) in items {
        match &version.content {
            Some(content) => versions.push(dto::ObjectVersion {
                checksum_algorithm: Some(vec![dto::ChecksumAlgorithm::from_static(
                    content.checksum.algorithm.name(),
                )]),
                checksum_type: Some(dto::ChecksumType::from_static(content.checksum.kind.name())),
                e_tag: Some(dto::ETag::Strong(content.etag.clone())),
                is_latest: Some(is_latest),
                key: Some(encoding.write(key)),
                last_modified: Some(timestamp(version.modified)),
                owner: Some(owner(&bucket.account)),
                restore_status: None,
                size: i64::try_from(content.size).ok(),
                storage_class: Some(dto::ObjectVersionStorageClass::from(class(content))),
                version_id: Some(version.id.clone()),
            }),
            None => markers.push(dto::DeleteMarkerEntry {
                is_latest: Some(is_latest),
                key: Some(encoding.write(key)),
                last_modified: Some(timestamp(version.modified)),
                owner: Some(owner(&bucket.account)),
                version_id: Some(version.id.clone()),
            }),
        }
    }
    (versions, markers)
}

fn initiator(upload: &Upload) -> dto::Initiator {
    dto::Initiator {
        display_name: None,
        id: Some(upload.initiator.clone()),
    }
}

/// `ListMultipartUploads`.
pub async fn uploads(
    call: &Call,
    request: S3Request<dto::ListMultipartUploadsInput>,
) -> Result<dto::ListMultipartUploadsOutput, ServiceError> {
    let input = request.input;
    let encoding = Encoding::new(input.encoding_type.clone())?;
    let (shown, most) = page_length(input.max_uploads, "max-uploads")?;
    let key_marker = input.key_marker.clone().unwrap_or_default();
    // Without a key marker, an upload's id is no marker.
    let id_marker = input
        .upload_id_marker
        .clone()
        .filter(|_| !key_marker.is_empty());
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        let ask = ask(
            "s3:ListBucketMultipartUploads",
            input.prefix.as_ref(),
            input.delimiter.as_ref(),
            None,
        );
        call.authorize(world, bucket, &ask)?;
        let mut all: Vec<&Upload> = world
            .s3
            .uploads
            .values()
            .filter(|upload| upload.bucket == bucket.name)
            .collect();
        let order = |upload: &&Upload| (upload.key.clone(), upload.initiated, upload.id.clone());
        all.sort_by_key(order);
        let marked = id_marker
            .as_ref()
            .and_then(|id| all.iter().position(|upload| upload.id == *id));
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref().unwrap_or_default(),
            after: &key_marker,
            most,
        };
        let rest = all
            .iter()
            .enumerate()
            .filter(|(at, upload)| {
                upload.key > key_marker || marked.is_some_and(|marked| *at > marked)
            })
            .map(|(_, upload)| (upload.key.as_str(), *upload));
        let found = page(rest, query);
        let next_id = found
            .items
            .last()
            .filter(|last| found.next.as_ref() == Some(&last.key))
            .map(|last| last.id.clone());
        let uploads: Vec<_> = found
            .items
            .into_iter()
            .map(|upload| upload_entry(upload, &encoding, bucket))
            .collect();
        Ok(dto::ListMultipartUploadsOutput {
            bucket: Some(bucket.name.clone()),
            common_prefixes: encoding.prefixes(&found.prefixes),
            delimiter: encoding.write_some(input.delimiter.as_ref()),
            encoding_type: input.encoding_type.clone(),
            is_truncated: Some(found.next.is_some()),
            key_marker: Some(encoding.write(&key_marker)),
            max_uploads: Some(shown),
            next_key_marker: found.next.map(|next| encoding.write(&next)),
            next_upload_id_marker: next_id,
            prefix: Some(encoding.write(query.prefix)),
            request_charged: None,
            upload_id_marker: Some(input.upload_id_marker.clone().unwrap_or_default()),
            uploads: (!uploads.is_empty()).then_some(uploads),
        })
    })
}

fn upload_entry(upload: &Upload, encoding: &Encoding, bucket: &Bucket) -> dto::MultipartUpload {
    let class = upload.kept.storage_class.clone();
    dto::MultipartUpload {
        checksum_algorithm: upload
            .checksum
            .map(|(algorithm, _)| dto::ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: upload
            .checksum
            .map(|(_, kind)| dto::ChecksumType::from_static(kind.name())),
        initiated: Some(timestamp(upload.initiated)),
        initiator: Some(initiator(upload)),
        key: Some(encoding.write(&upload.key)),
        owner: Some(dto::Owner {
            display_name: None,
            id: Some(canonical_id(&bucket.account)),
        }),
        storage_class: Some(dto::StorageClass::from(
            class.unwrap_or_else(|| "STANDARD".to_owned()),
        )),
        upload_id: Some(upload.id.clone()),
    }
}

/// `ListParts`.
pub async fn parts(
    call: &Call,
    request: S3Request<dto::ListPartsInput>,
) -> Result<dto::ListPartsOutput, ServiceError> {
    let input = request.input;
    let (shown, most) = page_length(input.max_parts, "max-parts")?;
    let after = input.part_number_marker.unwrap_or(0);
    if after < 0 {
        return Err(fault(
            "InvalidArgument",
            "Argument part-number-marker must be an integer between 0 and 2147483647",
        ));
    }
    call.shared.read(|world| {
        let owner_id = input.expected_bucket_owner.as_deref();
        let place = (&*input.bucket, owner_id, &*input.key, &*input.upload_id);
        let (bucket, upload) = find_upload(call, world, place)?;
        let ask = Ask::object("s3:ListMultipartUploadParts", &input.key);
        call.authorize(world, bucket, &ask)?;
        let mut left = world
            .s3
            .parts_of(&upload.id)
            .filter(|part| part.number > after);
        let parts: Vec<dto::Part> = left
            .by_ref()
            .take(most)
            .map(|part| {
                let mut entry = dto::Part {
                    e_tag: Some(dto::ETag::Strong(part.etag.clone())),
                    last_modified: Some(timestamp(part.modified)),
                    part_number: Some(part.number),
                    size: i64::try_from(part.size).ok(),
                    ..dto::Part::default()
                };
                if let Some((algorithm, value)) = part.checksum.clone() {
                    set_checksum!(entry, algorithm, value);
                }
                entry
            })
            .collect();
        let entry = upload_entry(upload, &Encoding(None), bucket);
        Ok(dto::ListPartsOutput {
            bucket: Some(bucket.name.clone()),
            checksum_algorithm: entry.checksum_algorithm,
            checksum_type: entry.checksum_type,
            initiator: entry.initiator,
            is_truncated: Some(left.next().is_some()),
            key: Some(upload.key.clone()),
            max_parts: Some(shown),
            next_part_number_marker: Some(
                parts.last().and_then(|part| part.part_number).unwrap_or(0),
            ),
            owner: entry.owner,
            part_number_marker: Some(after),
            parts: (!parts.is_empty()).then_some(parts),
            storage_class: entry.storage_class,
            upload_id: entry.upload_id,
            ..dto::ListPartsOutput::default()
        })
    })
}
