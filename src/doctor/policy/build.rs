//! What `build --on ec2` needs and no other command.
//!
//! All of it is in the home Region. What a build makes carries its tag from the call on that makes
//! it, and only what carries the tag is looked into, stopped, copied and removed.

use serde_json::json;

use super::{Scope, Statement, Wanted, allow, has_tag};
use crate::aws::tags;

impl Scope<'_> {
    /// What is done with instances, their volumes and snapshots, but for their tags.
    pub(super) fn building(&self) -> [Statement; 5] {
        [
            self.launch(),
            self.launch_instance(),
            self.launch_volumes(),
            self.start_build_snapshot(),
            self.handle_builds(),
        ]
    }

    /// An ARN of the home Region without the account: nobody launches, reads or ends what is
    /// another's, but what another has shared may be launched into, as a network's subnets.
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-sharing.html>
    fn at_home(&self, kind: &str) -> String {
        format!("arn:{}:ec2:{}:*:{kind}/*", self.partition(), self.home())
    }

    /// EC2's reads take no resources. What other commands look at in all Regions is not looked at here.
    /// A pattern, for a home that is not known is any Region.
    pub(super) fn look_at_home(&self, wanted: Wanted) -> Statement {
        let mut actions = vec![
            // And what is offered of them where.
            "ec2:DescribeInstanceType*",
            "ec2:DescribeRouteTables",
            "ec2:DescribeSubnets",
        ];
        if !wanted.prune {
            actions.extend(["ec2:DescribeInstances", "ec2:DescribeVolumes"]);
        }
        if !wanted.looks() && !wanted.prune {
            actions.extend(["ec2:DescribeImages", "ec2:DescribeSnapshots"]);
        }
        let look = allow("LookAtHome", &actions, vec!["*".to_owned()]);
        look.when(json!({ "StringLike": { "aws:RequestedRegion": self.home() } }))
    }

    /// What a launch takes, and the interface, of which nothing is asked. Without an instance
    /// profile nobody passes a role.
    fn launch(&self) -> Statement {
        let resource = vec![
            self.ec2(self.home(), "image"),
            self.at_home("network-interface"),
            self.at_home("security-group"),
            self.at_home("subnet"),
        ];
        allow("Launch", &["ec2:RunInstances"], resource)
    }

    /// Version 2 of the metadata service only. The key is one of instances alone: in a statement
    /// with volumes it would allow no volume.
    fn launch_instance(&self) -> Statement {
        let instances = vec![self.at_home("instance")];
        let launch = allow("LaunchInstance", &["ec2:RunInstances"], instances);
        let mut condition = has_tag("aws:RequestTag", tags::BUILD);
        condition["StringEquals"] = json!({ "ec2:MetadataHttpTokens": "required" });
        launch.when(condition)
    }

    fn launch_volumes(&self) -> Statement {
        let volumes = vec![self.at_home("volume")];
        let launch = allow("LaunchVolumes", &["ec2:RunInstances"], volumes);
        launch.when(has_tag("aws:RequestTag", tags::BUILD))
    }

    /// The tag is in the call that makes the snapshot; which volumes it may be of stands in
    /// [`Scope::handle_builds`].
    fn start_build_snapshot(&self) -> Statement {
        let snapshots = vec![self.ec2(self.home(), "snapshot")];
        let start = allow("StartBuildSnapshot", &["ec2:CreateSnapshot"], snapshots);
        start.when(has_tag("aws:RequestTag", tags::BUILD))
    }

    fn handle_builds(&self) -> Statement {
        let actions = [
            "ec2:CreateSnapshot",
            "ec2:DeleteSnapshot",
            "ec2:DeleteVolume",
            "ec2:GetConsoleOutput",
            "ec2:StopInstances",
            "ec2:TerminateInstances",
        ];
        let handle = allow("HandleBuilds", &actions, self.of_builds());
        handle.when(has_tag("aws:ResourceTag", tags::BUILD))
    }

    /// What builds make and leave.
    pub(super) fn of_builds(&self) -> Vec<String> {
        vec![
            self.at_home("instance"),
            self.ec2(self.home(), "snapshot"),
            self.at_home("volume"),
        ]
    }
}
