//! Nights under the least policy that `doctor` prints for them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::town::Town;
use crate::least::{self, confine, cut, names, printed, role, said};
use crate::sandbox::place::CUSTOMER;
use crate::support::Ended;

/// In the order in which a night needs them, so that each night that lacks one comes farther than the
/// one before.
const ON_THE_WAY: [&str; 29] = [
    "s3:ListBucket",
    "s3:GetObject",
    "ec2:DescribeSubnets",
    "ec2:DescribeRouteTables",
    "ec2:DescribeInstanceType*",
    "ec2:DescribeImages",
    "kms:DescribeKey",
    "s3:PutObject",
    "ec2:RunInstances",
    "ec2:CreateTags",
    "kms:Decrypt",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:CreateGrant",
    "ec2:DescribeInstances",
    "ec2:DescribeVolumes",
    "ec2:DescribeSnapshots",
    "ec2:CreateSnapshot",
    "ec2:TerminateInstances",
    "ec2:DescribeRegions",
    "ec2:RegisterImage",
    "kms:ReEncrypt*",
    "ec2:CopyImage",
    "ec2:DescribeImageAttribute",
    "ec2:DescribeSnapshotAttribute",
    "kms:GetKeyPolicy",
    "kms:ListGrants",
    "kms:PutKeyPolicy",
    "ec2:ModifySnapshotAttribute",
    "ec2:ModifyImageAttribute",
];

/// Without these it is not known who uses what is to go: nothing of it is deregistered, and the night
/// says why.
const TO_SEE: [&str; 9] = [
    "ec2:DescribeImageReferences",
    "ec2:DescribeLaunchTemplate*",
    "imagebuilder:GetContainerRecipe",
    "imagebuilder:List*Recipes",
    "ssm:DescribeParameters",
    "ssm:GetParameters",
    "ec2:DescribeImageUsageReports",
    "ec2:CreateImageUsageReport",
    "ec2:DescribeImageUsageReportEntries",
];

/// Where releases end; and where the leases stay that the steps of a night take one after the other.
const AT_THE_END: [&str; 3] = [
    "ec2:DeregisterImage",
    "ec2:DeleteSnapshot",
    "s3:DeleteObject",
];

/// What these nights do without.
const SELDOM: [&str; 11] = [
    // Images of this machine are sent block by block: the night on this machine needs that.
    "ebs:CompleteSnapshot",
    "ebs:GetSnapshotBlock",
    "ebs:ListSnapshotBlocks",
    "ebs:PutSnapshotBlock",
    "ebs:StartSnapshot",
    // Builds that fail are looked into and cleared away.
    "ec2:DeleteVolume",
    "ec2:GetConsoleOutput",
    "ec2:StopInstances",
    // A report that stays is a warning.
    "ec2:DeleteImageUsageReport",
    // What was to be retired comes back into a channel.
    "ec2:DisableImageDeprecation",
    // A customer's role goes.
    "kms:RevokeGrant",
];

/// A town with two releases from before, whose nights are done in one role.
struct Confined {
    town: Town,
    least: Value,
}

impl Confined {
    fn new() -> Confined {
        let town = Town::new();
        town.configure(
            "[prune]\nderegister_after_days = 0\nunpromoted_days = 5\nversion_days = 0\n",
        );
        let customers = format!(
            "[customers.acme]\naccounts = [\"{CUSTOMER}\"]\nchannels = [\"nightly\"]\ncopy = true\n"
        );
        let house = &town.yard.house;
        fs::write(house.folder().join("customers.toml"), customers).expect("written");
        for byte in [1, 2] {
            house.publish(&house.image(&format!("before-{byte}"), &[(0, byte)]), &[]);
            // Of the same day: releases of one second would be equally new.
            house.place.advance(60);
        }
        let least = printed(house, "nightly");
        let role = role("nightly");
        town.reconfigure("[aws]\n", &format!("[aws]\nassume_role = \"{role}\"\n"));
        Confined { town, least }
    }

    fn night(&self, policy: &Value) -> Ended {
        confine(&self.town.yard.house, "nightly", policy);
        Ended::from(self.town.command(&["base"]).output().expect("it starts"))
    }

    /// A night without an action: it says which, and ends like this.
    #[track_caller]
    fn without(&self, action: &str, status: i32) {
        let ended = self.night(&cut(&self.least, action));
        let words = said(&ended);
        assert_eq!(ended.status, status, "{action}: {words}");
        assert!(names(&words, action), "{action}: {words}");
    }

    /// How many AMIs the account has at home that no instance is launched from.
    fn images(&self) -> usize {
        let yard = &self.town.yard;
        let images = yard.house.images(crate::sandbox::place::HOME);
        let is_base = |image: &&_| crate::sandbox::client::Tree::text(image, "imageId") == yard.ami;
        images.len() - images.iter().filter(is_base).count()
    }
}

#[test]
fn a_night_on_instances_needs_its_least_policy_and_no_action_of_it_is_too_much() {
    let confined = Confined::new();
    let all = [
        &ON_THE_WAY[..],
        &["ec2:EnableImageDeprecation"],
        &TO_SEE,
        &AT_THE_END,
        &SELDOM,
    ];
    let all: BTreeSet<String> = all.concat().into_iter().map(str::to_owned).collect();
    let actions: BTreeSet<String> = least::actions(&confined.least).into_iter().collect();
    assert_eq!(actions, all);
    for action in ON_THE_WAY {
        confined.without(action, 1);
    }
    assert!(confined.town.stays("nightly").is_empty());
    let night = confined.night(&confined.least);
    assert_eq!(night.status, 0, "{}", said(&night));
    assert_eq!(
        (confined.town.stays("nightly").len(), confined.images()),
        (1, 3)
    );

    let house = &confined.town.yard.house;
    house.place.advance(6 * 24 * 3600);
    confined.without("ec2:EnableImageDeprecation", 1);
    for action in TO_SEE {
        confined.without(action, 0);
        // A deprecation is rounded to the minute.
        house.place.advance(300);
    }
    assert_eq!(confined.images(), 3);
    for action in AT_THE_END {
        confined.without(action, 1);
    }
    let night = confined.night(&confined.least);
    assert_eq!(night.status, 0, "{}", said(&night));
    assert_eq!(confined.images(), 1);
    for region in &crate::publish::house::REGIONS[..2] {
        assert_eq!(
            house.snapshots(region).len(),
            1 + usize::from(*region == crate::sandbox::place::HOME)
        );
    }
}
