//! Tags of keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::tag::MOST_TAGS;
use crate::sandbox::world::World;

use super::super::input::{Part, key_id, required, sized};
use super::super::key::Needs;
use super::super::reference::OWN_KEYS;
use super::{key_mut, permitted, read, request};

/// A tag of a request.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Tag {
    tag_key: Option<String>,
    tag_value: Option<String>,
}

/// The tags that a key has once new ones are added.
///
/// # Errors
/// `TagException`, `LimitExceededException`, `ValidationException`.
pub(super) fn checked(
    tags: Vec<Tag>,
    present: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ServiceError> {
    let wrong = |message: String| ServiceError::new("TagException", message);
    let mut new = BTreeMap::new();
    for tag in tags {
        let key = required(tag.tag_key, "tagKey")?;
        let value = required(tag.tag_value, "tagValue")?;
        sized(&key, "tagKey", 1, 128)?;
        sized(&value, "tagValue", 0, 256)?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(wrong(format!("The tag key {key} is AWS's own")));
        }
        let is_plain = |text: &str| {
            text.chars()
                .all(|one| one.is_alphanumeric() || one.is_whitespace() || "_.:/=+-@".contains(one))
        };
        if !is_plain(&key) || !is_plain(&value) {
            return Err(wrong(format!("The tag {key}={value} is not valid")));
        }
        if new.insert(key.clone(), value).is_some() {
            return Err(wrong(format!("Duplicate tag key {key}")));
        }
    }
    let mut all = present.clone();
    all.extend(new);
    if all.len() > MOST_TAGS {
        return Err(ServiceError::new(
            "LimitExceededException",
            format!("A key has at most {MOST_TAGS} tags"),
        ));
    }
    Ok(all)
}

/// Tags as answers have them.
pub(super) fn shown(tags: &BTreeMap<String, String>) -> Vec<Value> {
    tags.iter()
        .map(|(key, value)| json!({ "TagKey": key, "TagValue": value }))
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TagResource {
    key_id: Option<String>,
    tags: Option<Vec<Tag>>,
}

/// TagResource.
pub(super) fn tag(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: TagResource = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let tags = required(input.tags, "tags")?;
    let new = checked(tags, &BTreeMap::new())?;
    let mut request = request(context, "TagResource");
    for (key, value) in &new {
        let name = format!("aws:requesttag/{}", key.to_lowercase());
        request = request.with(&name, value);
    }
    request
        .conditions
        .insert("aws:tagkeys".to_owned(), new.keys().cloned().collect());
    let key = permitted(world, context, request, &reference, OWN_KEYS)?;
    key.require(world, context.now, Needs::Kept)?;
    let added = new.into_iter().map(|(key, value)| Tag {
        tag_key: Some(key),
        tag_value: Some(value),
    });
    let all = checked(added.collect(), &key.tags)?;
    let arn = key.arn();
    key_mut(world, &arn)?.tags = all;
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UntagResource {
    key_id: Option<String>,
    tag_keys: Option<Vec<String>>,
}

/// UntagResource. Tags that are not there are no error.
pub(super) fn untag(context: &Context, world: &mut World) -> Result<Value, ServiceError> {
    let input: UntagResource = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let names = required(input.tag_keys, "tagKeys")?;
    for name in &names {
        sized(name, "tagKeys", 1, 128)?;
    }
    let mut request = request(context, "UntagResource");
    request
        .conditions
        .insert("aws:tagkeys".to_owned(), names.clone());
    let key = permitted(world, context, request, &reference, OWN_KEYS)?;
    key.require(world, context.now, Needs::Kept)?;
    let arn = key.arn();
    key_mut(world, &arn)?
        .tags
        .retain(|name, _| !names.contains(name));
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListResourceTags {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

/// ListResourceTags.
pub(super) fn list(context: &Context, world: &World) -> Result<Value, ServiceError> {
    let input: ListResourceTags = read(context)?;
    let reference = key_id(input.key_id, "keyId")?;
    let part = Part::new("ListResourceTags", input.limit, input.marker, 50)?;
    let request = request(context, "ListResourceTags");
    let key = permitted(world, context, request, &reference, OWN_KEYS)?;
    let names = key.tags.keys().cloned();
    Ok(part.cut("Tags", names.zip(shown(&key.tags))))
}
