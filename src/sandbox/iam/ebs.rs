//! What calls of the EBS direct APIs ask for ("Actions, resources, and condition keys for Amazon
//! Elastic Block Store").

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Wish, check as check_all};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::Region;
use crate::sandbox::world::World;

/// Checks a call of `operation` on snapshots; one that makes a snapshot names none.
///
/// # Errors
/// `AccessDeniedException`.
pub fn check(context: &Context, operation: &str, snapshots: &[&str]) -> Result<(), ServiceError> {
    let wishes = context
        .shared
        .read(|world| match super::is_confined(world, &context.caller) {
            false => Vec::new(),
            true if snapshots.is_empty() => start(context),
            true => existing(context, world, operation, snapshots),
        });
    check_all(context, wishes)
}

fn arn(region: &Region, snapshot: &str) -> String {
    format!("arn:aws:ec2:{region}::snapshot/{snapshot}")
}

fn existing(context: &Context, world: &World, operation: &str, snapshots: &[&str]) -> Vec<Wish> {
    let wish = |id: &&str| {
        Wish::new(format!("ebs:{operation}"), arn(&context.region, id))
            .tagged(&world.tags.of(&context.caller.account, id))
    };
    snapshots.iter().map(wish).collect()
}

/// StartSnapshot; with tags it needs `ec2:CreateTags` besides. AWS does not document what
/// `ec2:CreateAction` is then, so that the key is not there.
fn start(context: &Context) -> Vec<Wish> {
    let body: Value = serde_json::from_slice(&context.request.body).unwrap_or_default();
    let tags: BTreeMap<String, String> = body["Tags"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|tag| {
            let text = |name: &str| tag[name].as_str().map(str::to_owned);
            Some((text("Key")?, text("Value").unwrap_or_default()))
        })
        .collect();
    let resource = arn(&context.region, "*");
    let mut wish = Wish::new("ebs:StartSnapshot", &resource).tagging(&tags);
    for (key, member) in [
        ("ebs:description", "Description"),
        ("ebs:parentsnapshot", "ParentSnapshotId"),
        ("ebs:volumesize", "VolumeSize"),
    ] {
        wish = match &body[member] {
            Value::String(text) if key == "ebs:parentsnapshot" => {
                wish.with(key, arn(&context.region, text))
            }
            Value::String(text) => wish.with(key, text),
            Value::Number(number) => wish.with(key, number.to_string()),
            _ => wish,
        };
    }
    let mut wishes = vec![wish];
    if !tags.is_empty() {
        wishes.push(Wish::new("ec2:CreateTags", resource).tagging(&tags));
    }
    wishes
}
