//! Who uses an image: of its owner's own resources, and of other accounts.
//!
//! | part | subject |
//! |---|---|
//! | `references` | DescribeImageReferences: the caller's own instances and templates, as they are now |
//! | `report` | usage reports: how many instances and templates of which other accounts |
//!
//! Neither sees Auto Scaling groups with launch configurations, nor what names an image without
//! having launched it. AWS's reports may lack what began in the last day, and of templates in the last
//! days; the sandbox's are exact.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-usage.html>

mod references;
mod report;
#[cfg(test)]
mod tests;

use super::Operation;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::instances::{self, Instance, State};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::wire::query::Params;
use crate::sandbox::world::World;

pub use report::{Report, own};

const INSTANCE: &str = "ec2:Instance";
const TEMPLATE: &str = "ec2:LaunchTemplate";

/// A type of resources that are looked at, and how.
type Kind = (String, Vec<(String, Vec<String>)>);

/// Takes `ResourceType.N`, with its options.
fn take_kinds(params: &mut Params) -> Result<Vec<Kind>, ServiceError> {
    params.structures("ResourceType", |kind| {
        let name = kind.required("ResourceType")?;
        let options = kind.structures("ResourceTypeOption", |option| {
            Ok((option.required("OptionName")?, option.list("OptionValue")?))
        })?;
        Ok((name, options))
    })
}

/// How many versions of templates are looked at.
fn depth(text: &str) -> Result<usize, ServiceError> {
    let depth = text
        .parse()
        .ok()
        .filter(|depth| (1..=10_000).contains(depth));
    depth
        .ok_or_else(|| ServiceError::invalid_value("version-depth", text, "It must be 1 to 10000."))
}

/// An account's instances of an image, and the states that they are in. One that is terminated uses
/// nothing any more.
fn instances_of<'a>(
    context: &'a Context,
    world: &'a World,
    (owner, region): (&'a AccountId, &'a Region),
    image: &'a str,
) -> impl Iterator<Item = (&'a Instance, State)> {
    let instances = world.ec2.instances.values();
    instances
        .filter(move |instance| instance.owner == *owner && instance.region == *region)
        .filter(move |instance| instance.image_id == image)
        .map(|instance| (instance, instances::state(instance, context.now)))
        .filter(|(_, state)| *state != State::Terminated)
}

/// The operations of this room.
pub fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "DescribeImageReferences" => Operation::Look(references::describe),
        "CreateImageUsageReport" => Operation::Act(report::create),
        "DescribeImageUsageReports" => Operation::Look(report::describe),
        "DescribeImageUsageReportEntries" => Operation::Look(report::describe_entries),
        "DeleteImageUsageReport" => Operation::Act(report::delete),
        _ => return None,
    })
}
