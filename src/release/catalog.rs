//! What customers read besides the channels themselves: the schemas of what is signed.

use schemars::JsonSchema;
use schemars::schema_for;

use super::desk::Desk;
use super::error::ReleaseError;
use crate::aws::s3::{Condition, Put};
use crate::channels::Channel;
use crate::publish::bucket::BucketError;
use crate::publish::manifest::ReleaseManifest;

/// The JSON Schema of a channel's document.
pub const CHANNEL_SCHEMA: &str = "catalog/channel.schema.json";
/// The JSON Schema of a release's manifest.
pub const RELEASE_SCHEMA: &str = "catalog/release.schema.json";

/// So many others may be faster before this gives up.
const MOST_ROUNDS: u32 = 16;

/// Writes what is not as it should be. Whether anything was written.
///
/// # Errors
/// The bucket's.
pub async fn refresh(desk: &Desk<'_>) -> Result<bool, ReleaseError> {
    let channel = write(desk, CHANNEL_SCHEMA, JSON_SCHEMA, schema::<Channel>()).await?;
    let release = write(
        desk,
        RELEASE_SCHEMA,
        JSON_SCHEMA,
        schema::<ReleaseManifest>(),
    )
    .await?;
    Ok(channel | release)
}

const JSON_SCHEMA: &str = "application/schema+json";

/// A type's JSON Schema.
pub fn schema<T: JsonSchema>() -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(&schema_for!(T)).expect("a schema has a JSON form");
    text.push(b'\n');
    text
}

async fn write(
    desk: &Desk<'_>,
    key: &str,
    content_type: &str,
    bytes: Vec<u8>,
) -> Result<bool, BucketError> {
    let bucket = desk.bucket();
    for _ in 0..MOST_ROUNDS {
        let found = bucket.object(key).await?;
        let condition = match found {
            Some(found) if found.bytes == bytes => return Ok(false),
            Some(found) => Condition::Unchanged(found.etag),
            None => Condition::Absent,
        };
        let put = bucket.put_object(key, content_type, bytes.clone(), &condition);
        if let Put::Written(_) = put.await? {
            return Ok(true);
        }
    }
    Err(bucket.contended(key))
}
