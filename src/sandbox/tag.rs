//! Tags: each account's own, on whatever resource it can see. Nobody else sees them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::ServiceError;
use super::id::{AccountId, Region};
use super::shelf::Shelf;
use super::wire::query::Params;
use super::wire::xml::Xml;

/// A resource has at most so many.
pub const MOST_TAGS: usize = 50;

/// The tags that an account put on a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceTags {
    /// Whose tags these are.
    pub account: AccountId,
    /// Where the resource is.
    pub region: Region,
    /// The resource, such as `ami-…`.
    pub resource: String,
    /// EC2's name of the resource's type, such as `image`.
    pub kind: String,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// Tags of EC2's resources, by account and resource id.
#[derive(Debug, Clone)]
pub struct Tags(pub(super) Shelf<ResourceTags>);

impl Default for Tags {
    fn default() -> Tags {
        Tags(Shelf::new("tag"))
    }
}

impl Tags {
    /// The tags that `account` put on a resource.
    pub fn of(&self, account: &AccountId, resource: &str) -> BTreeMap<String, String> {
        self.0
            .get(&key(account, resource))
            .map(|entry| entry.tags.clone())
            .unwrap_or_default()
    }

    /// Adds tags, in place of those with the same keys.
    ///
    /// # Errors
    /// A tag is against the rules, or there are too many.
    pub fn add(
        &mut self,
        account: &AccountId,
        region: &Region,
        kind: &str,
        resource: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), ServiceError> {
        check(tags)?;
        if tags.is_empty() {
            return Ok(());
        }
        let mut all = self.of(account, resource);
        all.extend(tags.clone());
        if all.len() > MOST_TAGS {
            return Err(ServiceError::new(
                "TagLimitExceeded",
                format!("The maximum number of tags for {resource} has been reached: {MOST_TAGS}"),
            ));
        }
        let entry = ResourceTags {
            account: account.clone(),
            region: region.clone(),
            resource: resource.to_owned(),
            kind: kind.to_owned(),
            tags: all,
        };
        self.0.insert(key(account, resource), entry);
        Ok(())
    }

    /// Removes a tag; with a value, only if it has that value.
    pub fn remove(&mut self, account: &AccountId, resource: &str, name: &str, value: Option<&str>) {
        let key = key(account, resource);
        let is_there = self.0.get(&key).is_some_and(|entry| {
            entry
                .tags
                .get(name)
                .is_some_and(|has| value.is_none_or(|value| value == has))
        });
        if is_there && let Some(entry) = self.0.get_mut(&key) {
            entry.tags.remove(name);
            if entry.tags.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    /// Removes every account's tags of a resource that is gone.
    pub fn forget(&mut self, resource: &str) {
        let keys: Vec<String> = self
            .0
            .iter()
            .filter(|(_, entry)| entry.resource == resource)
            .map(|(key, _)| key.to_owned())
            .collect();
        for key in keys {
            self.0.remove(&key);
        }
    }

    /// Every entry of an account in a Region.
    pub fn list(&self, account: &AccountId, region: &Region) -> Vec<ResourceTags> {
        self.0
            .values()
            .filter(|entry| entry.account == *account && entry.region == *region)
            .cloned()
            .collect()
    }
}

fn key(account: &AccountId, resource: &str) -> String {
    format!("{resource}/{account}")
}

fn check(tags: &BTreeMap<String, String>) -> Result<(), ServiceError> {
    for (name, value) in tags {
        let wrong = if name.is_empty() || name.chars().count() > 127 {
            "its key must have 1 to 127 characters"
        } else if value.chars().count() > 255 {
            "its value must have at most 255 characters"
        } else if name.to_ascii_lowercase().starts_with("aws:") {
            "keys that begin with aws: are AWS's own"
        } else {
            continue;
        };
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!("The tag {name}={value} is invalid: {wrong}"),
        ));
    }
    Ok(())
}

/// Takes `<name>.N.Key` and `<name>.N.Value`.
///
/// # Errors
/// A key is missing or given twice.
pub fn take_tags(
    params: &mut Params,
    name: &str,
) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut tags = BTreeMap::new();
    for (key, value) in params.structures(name, |tag| {
        Ok((tag.required("Key")?, tag.text("Value").unwrap_or_default()))
    })? {
        if tags.insert(key.clone(), value).is_some() {
            return Err(ServiceError::new(
                "InvalidParameterValue",
                format!("Duplicate tag key '{key}' specified."),
            ));
        }
    }
    check(&tags)?;
    Ok(tags)
}

/// Takes `TagSpecification.N.ResourceType` and its tags. `kinds` are the types that the call
/// creates.
///
/// # Errors
/// A type that the call does not create, or one given twice.
pub fn take_tag_specifications(
    params: &mut Params,
    kinds: &[&str],
) -> Result<BTreeMap<String, BTreeMap<String, String>>, ServiceError> {
    let mut found = BTreeMap::new();
    for (kind, tags) in params.structures("TagSpecification", |specification| {
        Ok((
            specification.required("ResourceType")?,
            take_tags(specification, "Tag")?,
        ))
    })? {
        if !kinds.contains(&kind.as_str()) {
            return Err(ServiceError::new(
                "InvalidParameterValue",
                format!("'{kind}' is not a valid taggable resource type for this operation."),
            ));
        }
        if found.insert(kind.clone(), tags).is_some() {
            return Err(ServiceError::new(
                "InvalidParameterValue",
                format!("The resource type '{kind}' is given more than once"),
            ));
        }
    }
    Ok(found)
}

/// Writes a `tagSet`, where there are tags.
pub fn write_tags(xml: &mut Xml, tags: &BTreeMap<String, String>) {
    if !tags.is_empty() {
        xml.list("tagSet", tags, |xml, (key, value)| {
            xml.text("key", key).text("value", value);
        });
    }
}

/// The values of the filters `tag:K`, `tag-key` and `tag-value`; nothing for other names.
pub fn filter_values(tags: &BTreeMap<String, String>, filter: &str) -> Vec<String> {
    match filter {
        "tag-key" => tags.keys().cloned().collect(),
        "tag-value" => tags.values().cloned().collect(),
        _ => filter
            .strip_prefix("tag:")
            .and_then(|key| tags.get(key))
            .cloned()
            .into_iter()
            .collect(),
    }
}
