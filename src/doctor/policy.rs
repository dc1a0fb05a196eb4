//! The least IAM policy that commands need.
//!
//! What actions take as resources and conditions is from the service authorization reference
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/>). A managed policy holds
//! 6,144 characters, so a list of Regions stands in a condition, once a statement, and not in every
//! ARN.

mod build;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::aws::{AccountId, KeyArn, Region, tags};
use crate::publish::settings::PublishSettings;

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
}

impl Command {
    /// All of them.
    pub const ALL: [Command; 5] = [
        Command::Build,
        Command::Publish,
        Command::Doctor,
        Command::Diff,
        Command::Test,
    ];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Command::Build => "build",
            Command::Publish => "publish",
            Command::Doctor => "doctor",
            Command::Diff => "diff",
            Command::Test => "test",
        }
    }
}

/// No command that calls AWS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no command that calls AWS: there are build, publish, doctor, diff and test")]
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

/// The least that the commands need.
pub fn least(commands: &[Command], scope: &Scope<'_>) -> Policy {
    let wanted: BTreeSet<Command> = commands.iter().copied().collect();
    let has = |command| wanted.contains(&command);
    let (build, publish, diff) = (
        has(Command::Build),
        has(Command::Publish),
        has(Command::Diff),
    );
    let reads = build || publish || diff || has(Command::Test);
    let looks_abroad = wanted.iter().any(|command| *command != Command::Build);
    let mut statement = Vec::new();
    if looks_abroad {
        statement.push(scope.look());
    }
    if build {
        statement.push(scope.look_at_home(!looks_abroad));
        statement.extend(scope.building());
    }
    if publish {
        statement.extend(scope.publishing(diff));
    } else if diff {
        statement.extend([scope.read_snapshots(), scope.decrypt_blocks()]);
    }
    if build || publish {
        statement.push(scope.tag_at_creation(build, publish));
    }
    statement.extend(scope.using_keys(build, publish, has(Command::Doctor)));
    if let Some(bucket) = &scope.settings.bucket {
        if reads {
            let writes = build || publish;
            statement.extend([scope.list_bucket(bucket), scope.objects(bucket, writes)]);
        }
        if has(Command::Doctor) {
            statement.push(scope.ask_about_bucket(bucket, reads));
        }
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

impl Statement {
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

    /// What `publish` does with snapshots and AMIs; with `diff`, which compares any.
    fn publishing(&self, diff: bool) -> [Statement; 4] {
        [
            self.start_snapshot(),
            self.fill_snapshot(),
            self.make_images(diff),
            self.handle_own(!diff),
        ]
    }

    /// What commands do with keys. All those of a release are `publish`'s, and the home Region's is
    /// among them: with it, `build` asks for nothing more.
    fn using_keys(&self, build: bool, publish: bool, doctor: bool) -> Vec<Statement> {
        let mut using = Vec::new();
        if publish {
            using.push(self.use_keys(self.key_arns(self.regions), doctor));
        } else if build {
            using.push(self.use_keys(self.key_arns(self.home_region()), false));
        }
        if build || publish {
            using.push(grant_keys_only_to_aws());
        }
        if doctor && !publish {
            using.push(self.ask_about_keys());
        }
        if doctor {
            using.push(self.ask_about_aliases());
        }
        using
    }

    /// EC2's reads take no resources.
    fn look(&self) -> Statement {
        let actions = [
            "ec2:DescribeImages",
            "ec2:DescribeRegions",
            "ec2:DescribeSnapshots",
        ];
        let look = allow("Look", &actions, vec!["*".to_owned()]);
        look.when(json!({ "StringEquals": self.in_regions() }))
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

    /// Only a pending snapshot takes blocks, and the tag makes it a release's.
    fn fill_snapshot(&self) -> Statement {
        let actions = ["ebs:CompleteSnapshot", "ebs:PutSnapshotBlock"];
        let resource = vec![self.ec2(self.home(), "snapshot")];
        allow("FillSnapshot", &actions, resource).when(has_tag("aws:ResourceTag", tags::RELEASE))
    }

    /// Any snapshot may be compared.
    fn read_snapshots(&self) -> Statement {
        let read = allow("ReadSnapshots", &READS, vec![self.ec2("*", "snapshot")]);
        read.when(json!({ "StringEquals": self.in_regions() }))
    }

    /// Reading a block of an encrypted snapshot takes its key, which EBS looks up first.
    fn decrypt_blocks(&self) -> Statement {
        let actions = ["kms:Decrypt", "kms:DescribeKey"];
        allow("DecryptBlocks", &actions, self.key_arns(self.regions))
    }

    /// CopyImage asks for the source too, which is in the home Region, but in the name of the
    /// Region that is copied to. What `diff` reads is not in a statement of its own: the list of
    /// Regions is long.
    fn make_images(&self, and_read: bool) -> Statement {
        let mut actions = vec!["ec2:CopyImage", "ec2:RegisterImage"];
        let sid = match and_read {
            true => {
                actions.extend(READS);
                "MakeAndCompare"
            }
            false => "MakeImages",
        };
        let make = allow(sid, &actions, self.images_and_snapshots());
        make.when(json!({ "StringEquals": self.in_regions() }))
    }

    /// Tags are set by the calls that make things, and by no others: who could tag an AMI later
    /// could make one of someone else's its own, and remove it.
    fn tag_at_creation(&self, build: bool, publish: bool) -> Statement {
        let (mut resource, mut making) = (Vec::new(), Vec::new());
        if publish {
            resource.extend(self.images_and_snapshots());
            making.extend(["CopyImage", "RegisterImage"]);
        }
        if build {
            resource.extend(self.made_by_builds());
            making.extend(["CreateSnapshot", "RunInstances"]);
        }
        if build && !publish {
            resource.push(self.ec2(self.home(), "snapshot"));
        }
        let tag = allow("TagWhatIsMade", &["ec2:CreateTags"], resource);
        tag.when(json!({ "StringEquals": { "ec2:CreateAction": making } }))
    }

    /// A copy that failed is removed before it is made again. What was published is read back, in
    /// every Region; a snapshot that someone else made is tagged before.
    fn handle_own(&self, and_read: bool) -> Statement {
        let mut actions = vec!["ec2:DeleteSnapshot", "ec2:DeregisterImage"];
        if and_read {
            actions.extend(READS);
        }
        let handle = allow("HandleOwn", &actions, self.images_and_snapshots());
        let mut condition = has_tag("aws:ResourceTag", tags::RELEASE);
        condition["StringEquals"] = self.in_regions();
        handle.when(condition)
    }

    /// The keys' ARNs. No two keys have the same id, but for a multi-Region key and its replicas:
    /// leaving Region and account out allows nothing more, and makes a list of many Regions short
    /// enough.
    fn key_arns<'a>(&self, regions: impl IntoIterator<Item = &'a Region>) -> Vec<String> {
        let partition = self.partition();
        let account = self.account.map_or("*", AccountId::as_str);
        let arn = |region: &Region| match self.keys.get(region) {
            Some(key) => format!("arn:{partition}:kms:*:*:key/{}", key.key_id()),
            None => format!("arn:{partition}:kms:{region}:{account}:key/*"),
        };
        let arns: BTreeSet<String> = regions.into_iter().map(arn).collect();
        arns.into_iter().collect()
    }

    /// What EBS does with a key, it does with the caller's permissions. What grants it may give,
    /// [`grant_keys_only_to_aws`] says.
    /// <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html>
    fn use_keys(&self, keys: Vec<String>, and_ask: bool) -> Statement {
        let mut actions = vec![
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncrypt*",
        ];
        if and_ask {
            // Not in a statement of its own: the list of keys is what makes a policy long.
            actions.push("kms:GetKeyPolicy");
        }
        allow("UseKeys", &actions, keys)
    }

    fn ask_about_keys(&self) -> Statement {
        let actions = ["kms:DescribeKey", "kms:GetKeyPolicy"];
        allow("AskAboutKeys", &actions, self.key_arns(self.regions))
    }

    /// Aliases are listed by Region and account, not by key.
    fn ask_about_aliases(&self) -> Statement {
        let everything = vec!["*".to_owned()];
        allow("AskAboutAliases", &["kms:ListAliases"], everything)
    }

    fn bucket(&self, bucket: &str) -> String {
        format!("arn:{}:s3:::{bucket}", self.partition())
    }

    /// What keys of objects begin with: nothing, or what ends with `/`.
    fn prefix(&self) -> String {
        match self.settings.prefix.trim_matches('/') {
            "" => String::new(),
            words => format!("{words}/"),
        }
    }

    /// `IfExists`: HeadBucket has no prefix, and neither has the question that S3 asks itself to
    /// decide whether a missing object is "not there" or "not for you".
    fn list_bucket(&self, bucket: &str) -> Statement {
        let list = allow("ListBucket", &["s3:ListBucket"], vec![self.bucket(bucket)]);
        let prefix = self.prefix();
        match prefix.as_str() {
            "" => list,
            prefix => list.when(json!({ "StringLikeIfExists": {
                "s3:prefix": [prefix, format!("{prefix}*")],
            } })),
        }
    }

    fn objects(&self, bucket: &str, writes: bool) -> Statement {
        let resource = vec![format!("{}/{}*", self.bucket(bucket), self.prefix())];
        match writes {
            true => {
                let actions = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"];
                allow("WriteObjects", &actions, resource)
            }
            false => allow("ReadObjects", &["s3:GetObject"], resource),
        }
    }

    fn ask_about_bucket(&self, bucket: &str, lists: bool) -> Statement {
        let mut actions = vec![
            "s3:GetBucketPublicAccessBlock",
            "s3:GetBucketVersioning",
            "s3:GetEncryptionConfiguration",
        ];
        if !lists {
            actions.push("s3:ListBucket");
        }
        allow("AskAboutBucket", &actions, vec![self.bucket(bucket)])
    }
}

/// Only AWS's services, on the caller's behalf, may give grants. This is what a condition on an
/// allowance of CreateGrant would say, but that would need the keys' list, which is what makes a
/// policy long, a second time. A call that does not say whom the grant is for is refused too.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-grant-is-for-aws-resource>
fn grant_keys_only_to_aws() -> Statement {
    let everything = vec!["*".to_owned()];
    let deny = Statement {
        effect: "Deny",
        ..allow("GrantKeysOnlyToAws", &["kms:CreateGrant"], everything)
    };
    deny.when(json!({ "BoolIfExists": { "kms:GrantIsForAWSResource": "false" } }))
}

/// The tag is there, whatever it says.
fn has_tag(key: &str, tag: &str) -> Value {
    let mut tags = serde_json::Map::new();
    tags.insert(format!("{key}/{tag}"), json!("?*"));
    json!({ "StringLike": tags })
}

#[cfg(test)]
mod tests;
