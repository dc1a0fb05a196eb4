//! CreateTags, DeleteTags, DescribeTags.

mod resource;
#[cfg(test)]
mod tests;

use super::Operation;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::tag::take_tags;
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// A call tags at most so many resources.
const MOST_RESOURCES: usize = 1000;

/// Names that DescribeTags filters by.
const FILTERS: &[&str] = &["key", "resource-id", "resource-type", "value", "tag:"];

/// The operations of this room.
pub fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "CreateTags" => Operation::Act(create),
        "DeleteTags" => Operation::Act(delete),
        "DescribeTags" => Operation::Look(describe),
        _ => return None,
    })
}

/// Takes `ResourceId.N`.
fn take_resources(params: &mut Params) -> Result<Vec<String>, ServiceError> {
    let resources = params.list("ResourceId")?;
    if resources.is_empty() {
        return Err(ServiceError::missing_parameter("resourceIdSet"));
    }
    if resources.len() > MOST_RESOURCES {
        return Err(ServiceError::invalid_value(
            "resourceIdSet",
            &resources.len().to_string(),
            format!("At most {MOST_RESOURCES} resources can be given."),
        ));
    }
    Ok(resources)
}

fn create(context: &Context, world: &mut World, params: &mut Params) -> Result<Xml, ServiceError> {
    let resources = take_resources(params)?;
    let tags = take_tags(params, "Tag")?;
    params.finish()?;
    if tags.is_empty() {
        return Err(ServiceError::missing_parameter("tagSet"));
    }
    for id in &resources {
        let kind = resource::kind_of(context, world, id)?;
        let account = &context.caller.account;
        world.tags.add(account, &context.region, kind, id, &tags)?;
    }
    Ok(returned())
}

fn delete(context: &Context, world: &mut World, params: &mut Params) -> Result<Xml, ServiceError> {
    let resources = take_resources(params)?;
    // A tag with a value is removed only if it has that value, be it the empty one.
    let wanted = params.structures("Tag", |tag| Ok((tag.required("Key")?, tag.text("Value"))))?;
    params.finish()?;
    let account = &context.caller.account;
    for (key, _) in &wanted {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ServiceError::new(
                "InvalidParameterValue",
                format!("The tag {key} is invalid: keys that begin with aws: are AWS's own"),
            ));
        }
    }
    for id in &resources {
        resource::kind_of(context, world, id)?;
        if wanted.is_empty() {
            for key in world.tags.of(account, id).keys() {
                world.tags.remove(account, id, key, None);
            }
        }
        for (key, value) in &wanted {
            world.tags.remove(account, id, key, value.as_deref());
        }
    }
    Ok(returned())
}

fn returned() -> Xml {
    let mut xml = Xml::new();
    xml.text("return", true);
    xml
}

/// One tag of a resource.
struct Tag {
    resource: String,
    kind: String,
    key: String,
    value: String,
}

fn describe(context: &Context, world: &World, params: &mut Params) -> Result<Xml, ServiceError> {
    let filters = Filters::take(params, FILTERS)?;
    let page = Page::take(params, &context.operation, 5..=1000)?;
    params.finish()?;
    let tags: Vec<Tag> = world
        .tags
        .list(&context.caller.account, &context.region)
        .into_iter()
        .flat_map(|entry| {
            let (resource, kind) = (entry.resource, entry.kind);
            entry.tags.into_iter().map(move |(key, value)| Tag {
                resource: resource.clone(),
                kind: kind.clone(),
                key,
                value,
            })
        })
        .filter(|tag| filters.pass(|name| filtered(tag, name)))
        .collect();
    let (tags, next) = page.cut(&context.operation, tags, |tag| {
        format!("{}/{}", tag.resource, tag.key)
    });
    let mut xml = Xml::new();
    xml.list("tagSet", &tags, |xml, tag| {
        xml.text("resourceId", &tag.resource)
            .text("resourceType", &tag.kind)
            .text("key", &tag.key)
            .text("value", &tag.value);
    })
    .optional("nextToken", next);
    Ok(xml)
}

fn filtered(tag: &Tag, name: &str) -> Vec<String> {
    let value = match name {
        "key" => &tag.key,
        "value" => &tag.value,
        "resource-id" => &tag.resource,
        "resource-type" => &tag.kind,
        _ if name.strip_prefix("tag:") == Some(&tag.key) => &tag.value,
        _ => return Vec::new(),
    };
    vec![value.clone()]
}
