//! What `prune` needs, and `rollback` where it withdraws: releases end, and nobody may use them then.

use serde_json::json;

use super::{Scope, Statement, allow, has_tag};
use crate::aws::tags;

/// Who of one's own names an AMI, and what dead builds left.
pub(super) const LOOKS: [&str; 3] = [
    "ec2:DescribeImageReferences",
    "ec2:DescribeInstances",
    "ec2:DescribeVolumes",
];

/// Who else uses an AMI, as AWS's reports say. They are made of the account's own AMIs alone, and
/// change nothing of them.
pub(super) const REPORTS: [&str; 4] = [
    "ec2:CreateImageUsageReport",
    "ec2:DeleteImageUsageReport",
    "ec2:DescribeImageUsageReportEntries",
    "ec2:DescribeImageUsageReports",
];

/// AMIs are hidden from customers.
pub(super) const HIDE: [&str; 1] = ["ec2:EnableImageDeprecation"];

/// Whether somebody may launch an AMI of which there is no manifest.
pub(super) const SHARED: [&str; 1] = ["ec2:DescribeImageAttribute"];

/// As whom EC2 looks for what refers to an AMI.
const FOR_IMAGES: &str = "ec2-images.amazonaws.com";

impl Scope<'_> {
    /// EC2 looks for references with the caller's permissions, and for nobody else. At instances it
    /// looks too, as the caller does.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html#ami-references-required-permissions>
    pub(super) fn references(&self) -> Statement {
        let actions = [
            "ec2:DescribeLaunchTemplate*",
            "imagebuilder:GetContainerRecipe",
            "imagebuilder:List*Recipes",
            "ssm:DescribeParameters",
            "ssm:GetParameters",
        ];
        let look = allow("LookForReferences", &actions, vec!["*".to_owned()]);
        look.when(json!({ "ForAnyValue:StringEquals": { "aws:CalledVia": [FOR_IMAGES] } }))
    }

    /// What dead builds left goes: where there is `build`, it may that already.
    pub(super) fn end_builds(&self) -> Statement {
        let actions = [
            "ec2:DeleteSnapshot",
            "ec2:DeleteVolume",
            "ec2:TerminateInstances",
        ];
        let end = allow("EndBuilds", &actions, self.of_builds());
        end.when(has_tag("aws:ResourceTag", tags::BUILD))
    }
}
