//! The least IAM policy that commands need.
//!
//! What actions take as resources and conditions is from the service authorization reference
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/>). A managed policy holds
//! 6,144 characters, so a list of Regions stands in a condition, once a statement, and not in every
//! ARN.

mod bucket;
mod build;
mod keys;
mod retire;
mod share;

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::aws::{AccountId, KeyArn, Region, tags};
use crate::publish::settings::PublishSettings;
use crate::share::settings::Readers;
use crate::sign::settings::SigningSettings;

/// The most characters that a managed policy may have, white space not counted.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const MOST_CHARACTERS: usize = 6144;

/// What reads a snapshot.
const READS: [&str; 2] = ["ebs:GetSnapshotBlock", "ebs:ListSnapshotBlocks"];

/// A command whose permissions are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// `build` on an instance: `--on ec2`. One on this machine needs nothing.
    Build,
    /// `publish`.
    Publish,
    /// `doctor`: what it looks at beside what the other commands do.
    Doctor,
    /// `diff`: releases and AMIs are read.
    Diff,
    /// `test` of an AMI or a release: its manifest is read. Images on this machine need nothing.
    Test,
    /// `share plan` and `share apply`. The others change a file on this machine.
    Share,
    /// `promote`, with what gives customers access.
    Promote,
    /// `rollback`, with `--withdraw`.
    Rollback,
    /// `prune`, with `--orphans`.
    Prune,
    /// `nightly`: all that it does in one role.
    Nightly,
    /// `verify` of an AMI, by the publisher. A file needs nothing.
    Verify,
}

impl Command {
    /// All of them.
    pub const ALL: [Command; 11] = [
        Command::Build,
        Command::Publish,
        Command::Doctor,
        Command::Diff,
        Command::Test,
        Command::Share,
        Command::Promote,
        Command::Rollback,
        Command::Prune,
        Command::Nightly,
        Command::Verify,
    ];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Command::Build => "build",
            Command::Publish => "publish",
            Command::Doctor => "doctor",
            Command::Diff => "diff",
            Command::Test => "test",
            Command::Share => "share",
            Command::Promote => "promote",
            Command::Rollback => "rollback",
            Command::Prune => "prune",
            Command::Nightly => "nightly",
            Command::Verify => "verify",
        }
    }
}

/// No command that has a policy here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no command that has a policy: there are build, publish, doctor, diff, test, share, promote, rollback, prune, nightly and verify"
)]
pub struct CommandError(String);

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Command, CommandError> {
        let known = Command::ALL.into_iter().find(|known| known.name() == text);
        known.ok_or_else(|| CommandError(text.to_owned()))
    }
}

/// What the policy is for.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// `[publish]`.
    pub settings: &'a PublishSettings,
    /// The Regions of a release.
    pub regions: &'a [Region],
    /// The account, if it is known.
    pub account: Option<&'a AccountId>,
    /// The keys that are known; for other Regions, all keys of the account there.
    pub keys: &'a BTreeMap<Region, KeyArn>,
    /// `[signing]`.
    pub signing: &'a SigningSettings,
    /// Who is to read the catalog.
    pub catalog: Readers,
    /// Whether an unattended run may build on instances: `[build]` names what they boot.
    pub builds: bool,
}

/// A policy document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    /// The version of the language.
    pub version: &'static str,
    /// What is allowed.
    pub statement: Vec<Statement>,
}

/// Some actions for one purpose.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// The purpose.
    pub sid: &'static str,
    /// `Allow`, but for grants of keys that are not for AWS.
    pub effect: &'static str,
    /// What may be done.
    pub action: Vec<&'static str>,
    /// With what: ARNs, or `*` where an action takes none.
    pub resource: Vec<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Value>,
}

impl Policy {
    /// For people to read and paste.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a policy is JSON")
    }

    /// How many characters AWS counts.
    pub fn characters(&self) -> usize {
        let compact = serde_json::to_string(self).expect("a policy is JSON");
        compact.chars().filter(|char| !char.is_whitespace()).count()
    }
}

/// Which commands a policy is for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    build: bool,
    publish: bool,
    doctor: bool,
    diff: bool,
    test: bool,
    share: bool,
    promote: bool,
    rollback: bool,
    prune: bool,
    verify: bool,
}

impl Wanted {
    fn new(commands: &[Command], builds: bool) -> Wanted {
        let nightly = commands.contains(&Command::Nightly);
        let has = |command| commands.contains(&command);
        let or_nightly = |command| nightly || commands.contains(&command);
        Wanted {
            build: has(Command::Build) || (nightly && builds),
            publish: or_nightly(Command::Publish),
            doctor: has(Command::Doctor),
            diff: has(Command::Diff),
            test: has(Command::Test),
            // What comes into a channel is given to its customers first.
            share: or_nightly(Command::Share) || has(Command::Promote) || has(Command::Rollback),
            promote: or_nightly(Command::Promote) || has(Command::Rollback),
            rollback: has(Command::Rollback),
            prune: or_nightly(Command::Prune),
            verify: has(Command::Verify),
        }
    }

    /// Whether AMIs, Regions and snapshots are looked at wherever a release is.
    fn looks(self) -> bool {
        self.publish || self.doctor || self.diff || self.test
    }

    /// Whether it is asked who uses an AMI.
    fn asks_use(self) -> bool {
        self.rollback || self.prune
    }

    /// Whether objects of all kinds are written to the bucket.
    fn fills_bucket(self) -> bool {
        self.build || self.publish
    }

    /// Whether objects of the bucket are read.
    fn reads_bucket(self) -> bool {
        let reads = self.diff || self.test || self.share || self.prune || self.verify;
        self.fills_bucket() || reads
    }
}

/// The least that the commands need.
pub fn least(commands: &[Command], scope: &Scope<'_>) -> Policy {
    let wanted = Wanted::new(commands, scope.builds);
    let mut statement = Vec::new();
    statement.extend(scope.look(wanted));
    if wanted.build {
        statement.push(scope.look_at_home(wanted));
        statement.extend(scope.building());
    } else if wanted.prune {
        statement.push(scope.end_builds());
    }
    if wanted.publish {
        statement.push(scope.start_snapshot());
    } else if wanted.diff {
        statement.push(scope.decrypt_blocks());
    }
    statement.extend(scope.handle_own(wanted));
    statement.extend(scope.tag_at_creation(wanted));
    if wanted.prune {
        statement.push(scope.references());
    }
    statement.extend(scope.using_keys(wanted));
    statement.extend(scope.signing(wanted));
    if let Some(bucket) = &scope.settings.bucket {
        statement.extend(scope.using_bucket(bucket, wanted));
    }
    Policy {
        version: "2012-10-17",
        statement,
    }
}

fn allow(sid: &'static str, action: &[&'static str], resource: Vec<String>) -> Statement {
    Statement {
        sid,
        effect: "Allow",
        action: action.to_vec(),
        resource,
        condition: None,
    }
}

fn deny(sid: &'static str, action: &'static str, condition: Value) -> Statement {
    let everything = vec!["*".to_owned()];
    let deny = Statement {
        effect: "Deny",
        ..allow(sid, &[action], everything)
    };
    deny.when(condition)
}

impl Statement {
    /// With more actions, where they are wanted. Not in a statement of their own: a list of keys is
    /// what makes a policy long.
    fn and<const N: usize>(mut self, more: Option<[&'static str; N]>) -> Statement {
        for action in more.into_iter().flatten() {
            if !self.action.contains(&action) {
                self.action.push(action);
            }
        }
        self
    }

    fn when(self, condition: Value) -> Statement {
        Statement {
            condition: Some(condition),
            ..self
        }
    }
}

impl Scope<'_> {
    fn partition(&self) -> &'static str {
        self.regions.first().map_or("aws", Region::partition)
    }

    fn home_region(&self) -> Option<&Region> {
        self.settings.home.as_ref().or(self.regions.first())
    }

    fn home(&self) -> &str {
        self.home_region().map_or("*", Region::as_str)
    }

    /// An ARN of EC2: AMIs' and snapshots' have no account.
    fn ec2(&self, region: &str, kind: &str) -> String {
        format!("arn:{}:ec2:{region}::{kind}/*", self.partition())
    }

    /// AMIs and snapshots of all Regions: the statement's condition says which.
    fn images_and_snapshots(&self) -> Vec<String> {
        vec![self.ec2("*", "image"), self.ec2("*", "snapshot")]
    }

    fn in_regions(&self) -> Value {
        json!({ "aws:RequestedRegion": self.regions })
    }

    /// What carries the tag of a release, in the Regions.
    fn of_releases(&self) -> Value {
        let mut condition = has_tag("aws:ResourceTag", tags::RELEASE);
        condition["StringEquals"] = self.in_regions();
        condition
    }

    /// What is done in the Regions with AMIs and snapshots of whomever: one statement for all, for the
    /// list of Regions is long. Lists take no resources: those of EC2, and that of aliases. What else is
    /// here takes AMIs, snapshots and reports alone, and any of them.
    ///
    /// `share` and `verify` look at AMIs alone. A copy asks for its source too, which is in the home
    /// Region, but in the name of the Region that is copied to. `diff` compares any snapshots.
    fn look(&self, wanted: Wanted) -> Option<Statement> {
        let mut actions = Vec::new();
        if wanted.looks() || wanted.share || wanted.prune || wanted.verify {
            actions.push("ec2:DescribeImages");
        }
        if wanted.looks() {
            actions.push("ec2:DescribeRegions");
        }
        if wanted.looks() || wanted.prune {
            actions.push("ec2:DescribeSnapshots");
        }
        if wanted.prune {
            actions.extend(retire::LOOKS);
        }
        if wanted.asks_use() {
            actions.extend(retire::REPORTS);
        }
        if wanted.publish {
            actions.extend(["ec2:CopyImage", "ec2:RegisterImage"]);
        }
        if wanted.diff {
            actions.extend(READS);
        }
        if wanted.doctor {
            actions.push("kms:ListAliases");
        }
        let sid = match wanted.publish {
            true => "LookAndMakeImages",
            false => "Look",
        };
        let look = allow(sid, &actions, vec!["*".to_owned()]);
        let look = look.when(json!({ "StringEquals": self.in_regions() }));
        (!actions.is_empty()).then_some(look)
    }

    /// The tag is in the call that starts the snapshot. It asks for CreateTags besides, and being of
    /// another service no document says what `ec2:CreateAction` is there. And a snapshot that
    /// someone else made is published by tagging it. So what is asked for is that the call sets the
    /// tag of a release.
    fn start_snapshot(&self) -> Statement {
        let actions = ["ebs:StartSnapshot", "ec2:CreateTags"];
        let resource = vec![self.ec2(self.home(), "snapshot")];
        allow("StartAndTagSnapshot", &actions, resource)
            .when(has_tag("aws:RequestTag", tags::RELEASE))
    }

    /// Tags are set by the calls that make things, and by no others: who could tag an AMI later
    /// could make one of someone else's its own, and remove it. What these calls make is what they
    /// may make.
    fn tag_at_creation(&self, wanted: Wanted) -> Option<Statement> {
        let mut making = Vec::new();
        if wanted.publish {
            making.extend(["CopyImage", "RegisterImage"]);
        }
        if wanted.build {
            making.extend(["CreateSnapshot", "RunInstances"]);
        }
        if wanted.asks_use() {
            making.push("CreateImageUsageReport");
        }
        let anything = vec![format!("arn:{}:ec2:*:*:*/*", self.partition())];
        let is_made = !making.is_empty();
        let tag = allow("TagWhatIsMade", &["ec2:CreateTags"], anything);
        let tag = tag.when(json!({ "StringEquals": { "ec2:CreateAction": making } }));
        is_made.then_some(tag)
    }

    /// What commands do with AMIs and snapshots of releases: one statement for all, for its condition
    /// is long.
    ///
    /// Only a pending snapshot takes blocks, and the tag makes it a release's. A copy that failed is
    /// removed before it is made again. What was published is read back, in every Region; a snapshot
    /// that someone else made is tagged before.
    fn handle_own(&self, wanted: Wanted) -> Option<Statement> {
        let mut actions = Vec::new();
        if wanted.publish {
            actions.extend(["ebs:CompleteSnapshot", "ebs:PutSnapshotBlock"]);
        }
        if wanted.publish || wanted.prune {
            actions.extend(["ec2:DeleteSnapshot", "ec2:DeregisterImage"]);
        }
        if wanted.publish && !wanted.diff {
            actions.extend(READS);
        }
        if wanted.share {
            actions.extend(share::ATTRIBUTES);
        }
        let handle = allow("HandleOwn", &actions, self.images_and_snapshots())
            .and((wanted.promote || wanted.prune).then_some(share::SHOW))
            .and(wanted.asks_use().then_some(retire::HIDE))
            .and(wanted.prune.then_some(retire::SHARED));
        let handle = handle.when(self.of_releases());
        (!handle.action.is_empty()).then_some(handle)
    }
}

/// The tag is there, whatever it says.
fn has_tag(key: &str, tag: &str) -> Value {
    let mut tags = serde_json::Map::new();
    tags.insert(format!("{key}/{tag}"), json!("?*"));
    json!({ "StringLike": tags })
}

#[cfg(test)]
mod tests;
