//! Deleting objects, one or up to a thousand at once.

use s3s::S3Request;
use s3s::dto;

use super::access::Ask;
use super::call::{Call, fault, not_here};
use super::conditions::{WriteConditions, content};
use super::controls::malformed;
use super::data;
use super::get::{check_version_id, peek};
use super::model::{Bucket, Versioning, object_key};
use super::put::insert;
use crate::sandbox::error::ServiceError;
use crate::sandbox::world::World;

/// A call deletes at most so many objects.
const MOST_OBJECTS: usize = 1000;

/// What a deletion came to.
#[derive(Debug, Default)]
struct Deleted {
    /// Whether a delete marker was made or deleted.
    marker: bool,
    /// Of the marker that was made, or of the version that was deleted.
    version: Option<String>,
    files: Vec<String>,
}

fn authorize(
    call: &Call,
    world: &World,
    bucket: &Bucket,
    key: &str,
    version: Option<&str>,
    conditions: &WriteConditions,
) -> Result<(), ServiceError> {
    let action = match version {
        Some(_) => "s3:DeleteObjectVersion",
        None => "s3:DeleteObject",
    };
    let mut ask = Ask::object(action, key);
    if let Some(version) = version {
        ask = ask.with("s3:versionid", version);
    }
    if let Some((_, content)) = peek(world, bucket, key, version) {
        ask = ask.existing_tags(&content.tags);
    }
    call.authorize(world, bucket, &ask)?;
    // Who may delete only must not find out what is there ("How to perform conditional deletes").
    if conditions.names_content() {
        call.authorize(world, bucket, &Ask::object("s3:GetObject", key))?;
    }
    Ok(())
}

/// Deletes a version, or, where versions are kept, puts a delete marker on top. That there is
/// nothing to delete is no error.
fn delete(
    call: &Call,
    world: &mut World,
    bucket: &Bucket,
    key: &str,
    version: Option<&str>,
) -> Result<Deleted, ServiceError> {
    let place = object_key(&bucket.name, key);
    match (version, bucket.versioning) {
        (Some(id), _) => {
            check_version_id(id)?;
            Ok(delete_version(world, &place, id))
        }
        (None, Versioning::Never) => {
            let mut deleted = delete_version(world, &place, "null");
            deleted.version = None;
            Ok(deleted)
        }
        (None, Versioning::Enabled | Versioning::Suspended) => {
            let now = call.shared.clock.now();
            let (id, files) = insert(world, bucket, key, None, now);
            Ok(Deleted {
                marker: true,
                version: Some(id),
                files,
            })
        }
    }
}

fn delete_version(world: &mut World, place: &str, id: &str) -> Deleted {
    let mut deleted = Deleted {
        version: Some(id.to_owned()),
        ..Deleted::default()
    };
    let Some(record) = world.s3.objects.get_mut(place) else {
        return deleted;
    };
    if let Some(at) = record.versions.iter().position(|version| version.id == id) {
        let version = record.versions.remove(at);
        deleted.marker = version.content.is_none();
        deleted.files = version
            .content
            .and_then(|content| content.file)
            .into_iter()
            .collect();
    }
    if record.versions.is_empty() {
        world.s3.objects.remove(place);
    }
    deleted
}

/// `DeleteObject`.
pub async fn one(
    call: &Call,
    request: S3Request<dto::DeleteObjectInput>,
) -> Result<dto::DeleteObjectOutput, ServiceError> {
    let input = request.input;
    if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
        return Err(not_here(
            "conditions on the size or the time of what is deleted",
        ));
    }
    if input.bypass_governance_retention.is_some() || input.mfa.is_some() {
        return Err(not_here("object lock or deletion guarded by MFA"));
    }
    let conditions = WriteConditions::new(input.if_match, None)?;
    let deleted = call.shared.transact(|world| {
        let owner = input.expected_bucket_owner.as_deref();
        let bucket = call.bucket(world, &input.bucket, owner)?.clone();
        let version = input.version_id.as_deref();
        authorize(call, world, &bucket, &input.key, version, &conditions)?;
        let record = world.s3.objects.get(&object_key(&bucket.name, &input.key));
        // A condition is on what is there; that nothing is there is met by deleting nothing.
        if content(record).is_some() {
            conditions.check(record, true)?;
        }
        delete(call, world, &bucket, &input.key, version)
    })?;
    data::remove(&call.shared, &deleted.files);
    Ok(dto::DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version,
        ..dto::DeleteObjectOutput::default()
    })
}

/// `DeleteObjects`: what may not be deleted is among the errors of the answer.
pub async fn many(
    call: &Call,
    request: S3Request<dto::DeleteObjectsInput>,
) -> Result<dto::DeleteObjectsOutput, ServiceError> {
    let input = request.input;
    if input.bypass_governance_retention.is_some() || input.mfa.is_some() {
        return Err(not_here("object lock or deletion guarded by MFA"));
    }
    let objects = input.delete.objects;
    if objects.is_empty() || objects.len() > MOST_OBJECTS {
        return Err(malformed());
    }
    let is_quiet = input.delete.quiet.unwrap_or(false);
    let (deleted, errors, files) = call.shared.transact(|world| {
        let owner = input.expected_bucket_owner.as_deref();
        let bucket = call.bucket(world, &input.bucket, owner)?.clone();
        let (mut all, mut errors, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for object in objects {
            match delete_of_many(call, world, &bucket, &object) {
                Ok(deleted) => {
                    all.push(shown(object, &deleted));
                    files.extend(deleted.files);
                }
                Err(error) => errors.push(dto::Error {
                    code: Some(error.code.into_owned()),
                    key: Some(object.key),
                    message: Some(error.message),
                    version_id: object.version_id,
                }),
            }
        }
        Ok((all, errors, files))
    })?;
    data::remove(&call.shared, &files);
    Ok(dto::DeleteObjectsOutput {
        deleted: (!is_quiet).then_some(deleted),
        errors: (!errors.is_empty()).then_some(errors),
        request_charged: None,
    })
}

fn delete_of_many(
    call: &Call,
    world: &mut World,
    bucket: &Bucket,
    object: &dto::ObjectIdentifier,
) -> Result<Deleted, ServiceError> {
    if object.size.is_some() || object.last_modified_time.is_some() {
        return Err(not_here(
            "conditions on the size or the time of what is deleted",
        ));
    }
    if object.key.is_empty() {
        return Err(fault(
            "UserKeyMustBeSpecified",
            "User key must be specified.",
        ));
    }
    let version = object.version_id.as_deref();
    let wanted = object.e_tag.clone().map(dto::ETagCondition::ETag);
    let conditions = WriteConditions::new(wanted, None)?;
    authorize(call, world, bucket, &object.key, version, &conditions)?;
    let record = world.s3.objects.get(&object_key(&bucket.name, &object.key));
    if content(record).is_some() {
        conditions.check(record, true)?;
    }
    delete(call, world, bucket, &object.key, version)
}

fn shown(object: dto::ObjectIdentifier, deleted: &Deleted) -> dto::DeletedObject {
    dto::DeletedObject {
        delete_marker: deleted.marker.then_some(true),
        delete_marker_version_id: deleted.marker.then(|| deleted.version.clone()).flatten(),
        key: Some(object.key),
        version_id: object.version_id,
    }
}
