//! `GetObjectAttributes`.

use s3s::S3Request;
use s3s::dto;

use super::access::Ask;
use super::call::{Call, invalid_argument, not_here, timestamp};
use super::checksum::{Checksum, set_checksum};
use super::encryption;
use super::get::{find, peek, shown};
use super::model::Content;
use crate::sandbox::error::ServiceError;
use crate::sandbox::kms::KeyUse;

/// `GetObjectAttributes`.
pub async fn get(
    call: &Call,
    request: S3Request<dto::GetObjectAttributesInput>,
) -> Result<dto::GetObjectAttributesOutput, ServiceError> {
    let input = request.input;
    if input.sse_customer_algorithm.is_some() {
        return Err(not_here("encryption with keys of the customer's"));
    }
    // s3s gives each header line as one; clients put all names into one line.
    let names: Vec<&str> = input
        .object_attributes
        .iter()
        .flat_map(|line| line.as_str().split(','))
        .map(str::trim)
        .collect();
    check_names(&names)?;
    let wants = |name: &str| names.contains(&name);
    call.shared.read(|world| {
        let bucket = call.bucket(world, &input.bucket, input.expected_bucket_owner.as_deref())?;
        let id = input.version_id.as_deref();
        let actions = match id {
            Some(_) => ["s3:GetObjectVersion", "s3:GetObjectVersionAttributes"],
            None => ["s3:GetObject", "s3:GetObjectAttributes"],
        };
        for action in actions {
            let mut ask = Ask::object(action, &input.key);
            if let Some((_, content)) = peek(world, bucket, &input.key, id) {
                ask = ask.existing_tags(&content.tags);
            }
            call.authorize(world, bucket, &ask)?;
        }
        let (version, content) = find(call, world, bucket, &input.key, id)?;
        encryption::authorize(
            call,
            world,
            bucket,
            &content.encryption,
            KeyUse::DecryptDataKey,
        )?;
        let class = || {
            let class = content.kept.storage_class.clone();
            dto::StorageClass::from(class.unwrap_or_else(|| "STANDARD".to_owned()))
        };
        Ok(dto::GetObjectAttributesOutput {
            checksum: wants("Checksum").then(|| checksum(&content.checksum)),
            e_tag: wants("ETag").then(|| dto::ETag::Strong(content.etag.clone())),
            last_modified: Some(timestamp(version.modified)),
            object_parts: wants("ObjectParts")
                .then(|| parts(content, input.max_parts, input.part_number_marker))
                .flatten(),
            object_size: wants("ObjectSize")
                .then(|| i64::try_from(content.size).ok())
                .flatten(),
            storage_class: wants("StorageClass").then(class),
            version_id: shown(bucket, version),
            ..dto::GetObjectAttributesOutput::default()
        })
    })
}

fn check_names(names: &[&str]) -> Result<(), ServiceError> {
    let known = [
        "ETag",
        "Checksum",
        "ObjectParts",
        "StorageClass",
        "ObjectSize",
    ];
    match names.iter().find(|name| !known.contains(name)) {
        None if !names.is_empty() => Ok(()),
        wrong => Err(invalid_argument(
            "Invalid attribute name specified.",
            "x-amz-object-attributes",
            wrong.copied().unwrap_or_default(),
        )),
    }
}

fn checksum(checksum: &Checksum) -> dto::Checksum {
    let mut shown = dto::Checksum {
        checksum_type: Some(dto::ChecksumType::from_static(checksum.kind.name())),
        ..dto::Checksum::default()
    };
    let value = checksum.value.clone();
    set_checksum!(shown, checksum.algorithm, value);
    shown
}

/// The parts of an object that was uploaded in parts. Without checksums of theirs, S3 tells their
/// number only.
fn parts(
    content: &Content,
    most: Option<i32>,
    after: Option<i32>,
) -> Option<dto::GetObjectAttributesParts> {
    if content.parts.is_empty() {
        return None;
    }
    let most = most.unwrap_or(1000).clamp(0, 1000);
    let after = after.unwrap_or(0);
    let mut answer = dto::GetObjectAttributesParts {
        total_parts_count: i32::try_from(content.parts.len()).ok(),
        ..dto::GetObjectAttributesParts::default()
    };
    if content.parts.iter().any(|part| part.checksum.is_none()) {
        return Some(answer);
    }
    let mut left = content.parts.iter().filter(|part| part.number > after);
    let page: Vec<dto::ObjectPart> = left
        .by_ref()
        .take(usize::try_from(most).unwrap_or(0))
        .map(|part| {
            let mut shown = dto::ObjectPart {
                part_number: Some(part.number),
                size: i64::try_from(part.size).ok(),
                ..dto::ObjectPart::default()
            };
            if let Some(value) = part.checksum.clone() {
                set_checksum!(shown, content.checksum.algorithm, value);
            }
            shown
        })
        .collect();
    answer.is_truncated = Some(left.next().is_some());
    answer.max_parts = Some(most);
    answer.part_number_marker = Some(after);
    answer.next_part_number_marker = page.last().and_then(|part| part.part_number);
    answer.parts = Some(page);
    Some(answer)
}
