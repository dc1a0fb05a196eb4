use std::collections::BTreeSet;

use super::*;
use crate::aws::testing::region;

/// The Regions that an account has from the start.
const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// What the sandbox, and with it the tests of the pipeline, can weigh.
const CONDITIONS: [&str; 13] = [
    "aws:CalledVia",
    "aws:RequestTag/alpine-ami:build",
    "aws:RequestTag/alpine-ami:release",
    "aws:RequestedRegion",
    "aws:ResourceTag/alpine-ami:build",
    "aws:ResourceTag/alpine-ami:release",
    "ec2:CreateAction",
    "ec2:MetadataHttpTokens",
    "kms:GrantIsForAWSResource",
    "kms:GrantOperations",
    "kms:ResourceAliases",
    "kms:ViaService",
    "s3:prefix",
];

struct Publisher {
    settings: PublishSettings,
    regions: Vec<Region>,
    account: AccountId,
    keys: BTreeMap<Region, KeyArn>,
    signing: SigningSettings,
    catalog: Readers,
    builds: bool,
}

impl Publisher {
    fn of(names: &[&str], multi_region: bool) -> Publisher {
        let regions: Vec<Region> = names.iter().map(|name| region(name)).collect();
        let key = |region: &Region| {
            let id = match multi_region {
                true => "mrk-0123456789abcdef0123456789abcdef".to_owned(),
                false => {
                    let digest = crate::digest::sha256(region.as_str().as_bytes());
                    format!("{}-4b2c-4c3d-8e4f-{}", &digest[..8], &digest[8..20])
                }
            };
            let arn = format!("arn:aws:kms:{region}:111122223333:key/{id}");
            (region.clone(), arn.parse().expect("an ARN"))
        };
        Publisher {
            settings: PublishSettings {
                home: regions.first().cloned(),
                bucket: Some("kubezero-images-eu-central-1".to_owned()),
                prefix: "machine-images".to_owned(),
                ..PublishSettings::default()
            },
            keys: regions.iter().map(key).collect(),
            account: "111122223333".parse().expect("an account"),
            regions,
            signing: SigningSettings::default(),
            catalog: Readers::Nobody,
            builds: true,
        }
    }

    fn policy(&self, commands: &[Command]) -> Policy {
        least(
            commands,
            &Scope {
                settings: &self.settings,
                regions: &self.regions,
                account: Some(&self.account),
                keys: &self.keys,
                signing: &self.signing,
                catalog: self.catalog,
                builds: self.builds,
            },
        )
    }
}

fn actions(policy: &Policy) -> BTreeSet<&'static str> {
    let all = policy.statement.iter();
    all.flat_map(|one| one.action.iter().copied()).collect()
}

#[test]
fn every_command_gets_what_it_calls_and_no_more() {
    let looks = [
        "ec2:DescribeImages",
        "ec2:DescribeRegions",
        "ec2:DescribeSnapshots",
    ];
    let builds = [
        "ec2:CreateSnapshot",
        "ec2:CreateTags",
        "ec2:DeleteSnapshot",
        "ec2:DeleteVolume",
        "ec2:DescribeImages",
        "ec2:DescribeInstanceType*",
        "ec2:DescribeInstances",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSnapshots",
        "ec2:DescribeSubnets",
        "ec2:DescribeVolumes",
        "ec2:GetConsoleOutput",
        "ec2:RunInstances",
        "ec2:StopInstances",
        "ec2:TerminateInstances",
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncrypt*",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ];
    let publishes = [
        "ebs:CompleteSnapshot",
        "ebs:GetSnapshotBlock",
        "ebs:ListSnapshotBlocks",
        "ebs:PutSnapshotBlock",
        "ebs:StartSnapshot",
        "ec2:CopyImage",
        "ec2:CreateTags",
        "ec2:DeleteSnapshot",
        "ec2:DeregisterImage",
        "ec2:RegisterImage",
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncrypt*",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ];
    let reads = ["s3:GetObject", "s3:ListBucket"];
    let compares = [
        "ebs:GetSnapshotBlock",
        "ebs:ListSnapshotBlocks",
        "kms:Decrypt",
        "kms:DescribeKey",
    ];
    let asks = [
        "kms:DescribeKey",
        "kms:GetKeyPolicy",
        "kms:ListAliases",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetBucketVersioning",
        "s3:GetEncryptionConfiguration",
        "s3:ListBucket",
    ];
    let shares = [
        "ec2:DescribeImageAttribute",
        "ec2:DescribeImages",
        "ec2:DescribeSnapshotAttribute",
        "ec2:ModifyImageAttribute",
        "ec2:ModifySnapshotAttribute",
        "kms:CreateGrant",
        "kms:GetKeyPolicy",
        "kms:ListGrants",
        "kms:PutKeyPolicy",
        "kms:RevokeGrant",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ];
    let promotes = [&shares[..], &["ec2:DisableImageDeprecation"]].concat();
    let hides = [
        "ec2:CreateImageUsageReport",
        "ec2:CreateTags",
        "ec2:DeleteImageUsageReport",
        "ec2:DescribeImageUsageReportEntries",
        "ec2:DescribeImageUsageReports",
        "ec2:DisableImageDeprecation",
        "ec2:EnableImageDeprecation",
    ];
    let prunes = [
        "ec2:DeleteSnapshot",
        "ec2:DeleteVolume",
        "ec2:DeregisterImage",
        "ec2:DescribeImageAttribute",
        "ec2:DescribeImageReferences",
        "ec2:DescribeImages",
        "ec2:DescribeInstances",
        "ec2:DescribeLaunchTemplate*",
        "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes",
        "ec2:TerminateInstances",
        "imagebuilder:GetContainerRecipe",
        "imagebuilder:List*Recipes",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        "ssm:DescribeParameters",
        "ssm:GetParameters",
    ];
    for (commands, expected) in [
        (&[Command::Publish][..], &[&looks[..], &publishes][..]),
        (&[Command::Share], &[&shares]),
        (&[Command::Promote], &[&promotes]),
        (&[Command::Rollback], &[&promotes, &hides]),
        (&[Command::Prune], &[&prunes, &hides]),
        (&[Command::Verify], &[&reads, &["ec2:DescribeImages"]]),
        (
            &[Command::Nightly],
            &[&looks, &builds, &publishes, &promotes, &prunes, &hides],
        ),
        (
            &[Command::Build, Command::Prune],
            &[&builds, &prunes, &hides],
        ),
        (
            &[Command::Share, Command::Doctor],
            &[&looks, &shares, &asks],
        ),
        (&[Command::Share, Command::Build], &[&builds, &shares]),
        (&[Command::Doctor], &[&looks, &asks]),
        (&[Command::Diff], &[&looks, &reads, &compares]),
        (
            &[Command::Diff, Command::Doctor],
            &[&looks, &reads, &compares, &asks],
        ),
        (&[Command::Test], &[&looks, &reads]),
        (&[Command::Build], &[&builds]),
        (
            &[Command::Build, Command::Publish],
            &[&looks, &builds, &publishes],
        ),
        (
            &[Command::Build, Command::Doctor],
            &[&looks, &builds, &asks],
        ),
        (
            &Command::ALL,
            &[
                &looks, &builds, &publishes, &asks, &promotes, &prunes, &hides,
            ],
        ),
    ] {
        let publisher = Publisher::of(&REGIONS, false);
        let policy = publisher.policy(commands);
        let expected: BTreeSet<&str> = expected.concat().into_iter().collect();
        assert_eq!(actions(&policy), expected, "{commands:?}");
    }
}

#[test]
fn a_night_is_all_that_it_does() {
    let mut publisher = Publisher::of(&REGIONS, false);
    let parts = [
        Command::Publish,
        Command::Share,
        Command::Promote,
        Command::Prune,
    ];
    let with_build = [&parts[..], &[Command::Build]].concat();
    for (builds, parts) in [(true, &with_build[..]), (false, &parts)] {
        publisher.builds = builds;
        let night = publisher.policy(&[Command::Nightly]);
        assert_eq!(night, publisher.policy(parts), "{builds}");
    }
    let night = publisher.policy(&[Command::Nightly]);
    assert!(!actions(&night).contains("ec2:RunInstances"));
}

#[test]
fn it_is_a_policy_that_aws_takes() {
    for (names, multi_region) in [
        (&REGIONS[..], false),
        (&REGIONS, true),
        (&REGIONS[..1], false),
    ] {
        let mut publisher = Publisher::of(names, multi_region);
        publisher.signing.key = Some("alias/releases".to_owned());
        publisher.catalog = Readers::Customers;
        for commands in [
            &Command::ALL[..],
            &[Command::Publish],
            &[Command::Diff, Command::Doctor],
            &[Command::Build],
            &[Command::Build, Command::Publish],
            &[Command::Build, Command::Diff, Command::Doctor],
            &[Command::Share],
            &[Command::Promote],
            &[Command::Rollback],
            &[Command::Prune],
            &[Command::Nightly],
            &[Command::Nightly, Command::Rollback, Command::Verify],
            &[Command::Share, Command::Promote, Command::Doctor],
            &[Command::Publish, Command::Share, Command::Promote],
            &[Command::Build, Command::Share],
        ] {
            let policy = publisher.policy(commands);
            let count = policy.characters();
            assert!(count <= MOST_CHARACTERS, "{commands:?}: {count} characters");
            let read: Value = serde_json::from_str(&policy.text()).expect("JSON");
            let statements = read["Statement"].as_array().expect("a list");
            let mut sids = BTreeSet::new();
            for statement in statements {
                let sid = statement["Sid"].as_str().expect("a sid");
                assert!(
                    sid.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                    "{sid}"
                );
                assert!(sids.insert(sid), "{sid} is there twice");
                let tests = statement["Condition"].as_object();
                let keys = tests.into_iter().flat_map(|tests| tests.values());
                let keys = keys.flat_map(|keys| keys.as_object().expect("keys").keys());
                for key in keys {
                    assert!(CONDITIONS.contains(&key.as_str()), "{sid}: {key}");
                }
                let everything = statement["Resource"] == json!(["*"]);
                let takes_none = sid.starts_with("Look") || statement["Effect"] == "Deny";
                assert_eq!(everything, takes_none, "{sid}");
            }
        }
    }
}

#[test]
fn what_is_removed_must_be_a_release_s_own() {
    let publisher = Publisher::of(&["eu-central-1", "us-east-1"], false);
    let policy = publisher.policy(&[Command::Publish]);
    let remove = policy
        .statement
        .iter()
        .find(|one| one.action.contains(&"ec2:DeregisterImage"));
    let expected = json!({
        "Sid": "HandleOwn",
        "Effect": "Allow",
        "Action": [
            "ebs:CompleteSnapshot",
            "ebs:PutSnapshotBlock",
            "ec2:DeleteSnapshot",
            "ec2:DeregisterImage",
            "ebs:GetSnapshotBlock",
            "ebs:ListSnapshotBlocks",
        ],
        "Resource": ["arn:aws:ec2:*::image/*", "arn:aws:ec2:*::snapshot/*"],
        "Condition": {
            "StringLike": { "aws:ResourceTag/alpine-ami:release": "?*" },
            "StringEquals": { "aws:RequestedRegion": ["eu-central-1", "us-east-1"] },
        },
    });
    assert_eq!(json!(remove), expected);
}

/// The statements of a policy that are about an action.
fn about(policy: &Policy, action: &str) -> Value {
    let all = policy.statement.iter();
    let about: Vec<_> = all.filter(|one| one.action.contains(&action)).collect();
    json!(about)
}

#[test]
fn a_build_stays_at_home_and_handles_its_own() {
    let publisher = Publisher::of(&["eu-central-1", "us-east-1"], false);
    let policy = publisher.policy(&[Command::Build]);
    let tagged = json!({ "StringLike": { "aws:ResourceTag/alpine-ami:build": "?*" } });
    let expected = json!([{
        "Sid": "HandleBuilds",
        "Effect": "Allow",
        "Action": [
            "ec2:CreateSnapshot",
            "ec2:DeleteSnapshot",
            "ec2:DeleteVolume",
            "ec2:GetConsoleOutput",
            "ec2:StopInstances",
            "ec2:TerminateInstances",
        ],
        "Resource": [
            "arn:aws:ec2:eu-central-1:*:instance/*",
            "arn:aws:ec2:eu-central-1::snapshot/*",
            "arn:aws:ec2:eu-central-1:*:volume/*",
        ],
        "Condition": tagged,
    }]);
    assert_eq!(about(&policy, "ec2:TerminateInstances"), expected);
    let instance = &about(&policy, "ec2:RunInstances")[1];
    let condition = json!({
        "StringLike": { "aws:RequestTag/alpine-ami:build": "?*" },
        "StringEquals": { "ec2:MetadataHttpTokens": "required" },
    });
    assert_eq!(instance["Condition"], condition);
    let text = policy.text();
    assert!(!text.contains("us-east-1"), "{text}");
    let keys = &about(&policy, "kms:Decrypt")[0]["Resource"];
    let home = &publisher.keys[&region("eu-central-1")];
    let home = format!("arn:aws:kms:*:*:key/{}", home.key_id());
    assert_eq!(*keys, json!([home]));
}

#[test]
fn keys_are_granted_to_aws_alone() {
    let publisher = Publisher::of(&["eu-central-1", "us-east-1"], false);
    // What moves a channel gives access, too.
    let all_but_share = Command::ALL.map(|command| match command {
        Command::Share | Command::Promote | Command::Rollback | Command::Nightly => {
            Command::Publish
        }
        other => other,
    });
    for commands in [&[Command::Build][..], &[Command::Publish], &all_but_share] {
        let grants = about(&publisher.policy(commands), "kms:CreateGrant");
        let [allow, deny] = &grants.as_array().expect("a list")[..] else {
            panic!("{grants}");
        };
        assert_eq!(allow["Sid"], "UseKeys");
        let expected = json!({
            "Sid": "GrantKeysOnlyToAws",
            "Effect": "Deny",
            "Action": ["kms:CreateGrant"],
            "Resource": ["*"],
            "Condition": { "BoolIfExists": { "kms:GrantIsForAWSResource": "false" } },
        });
        assert_eq!(*deny, expected);
    }
}

#[test]
fn share_grants_keys_for_launches() {
    let publisher = Publisher::of(&["eu-central-1", "us-east-1"], false);
    let all = "ForAnyValue:StringNotEquals";
    for (commands, allowed, for_aws) in [
        (&[Command::Share][..], &["ShareKeys"][..], false),
        (
            &[Command::Share, Command::Build],
            &["UseKeys", "ShareKeys"],
            true,
        ),
        (&[Command::Share, Command::Publish], &["UseKeys"], true),
        (&Command::ALL, &["UseKeys"], true),
    ] {
        let grants = about(&publisher.policy(commands), "kms:CreateGrant");
        let grants = grants.as_array().expect("a list");
        let (deny, allows) = grants.split_last().expect("statements");
        let sids: Vec<&Value> = allows.iter().map(|allow| &allow["Sid"]).collect();
        assert_eq!(sids, allowed, "{commands:?}");
        assert_eq!(deny["Effect"], "Deny");
        let mut expected = json!({ all: { "kms:GrantOperations": [
            "Encrypt",
            "Decrypt",
            "ReEncryptFrom",
            "ReEncryptTo",
            "GenerateDataKey",
            "GenerateDataKeyWithoutPlaintext",
            "DescribeKey",
            "CreateGrant",
        ] } });
        if for_aws {
            expected["BoolIfExists"] = json!({ "kms:GrantIsForAWSResource": "false" });
        }
        assert_eq!(deny["Condition"], expected, "{commands:?}");
    }
}

#[test]
fn share_and_promote_touch_their_own_alone() {
    let publisher = Publisher::of(&["eu-central-1", "us-east-1"], false);
    let policy = publisher.policy(&[Command::Share]);
    let share = &about(&policy, "ec2:ModifySnapshotAttribute")[0];
    assert_eq!(
        share["Resource"],
        json!(["arn:aws:ec2:*::image/*", "arn:aws:ec2:*::snapshot/*"])
    );
    let own = json!({
        "StringLike": { "aws:ResourceTag/alpine-ami:release": "?*" },
        "StringEquals": { "aws:RequestedRegion": ["eu-central-1", "us-east-1"] },
    });
    assert_eq!(share["Condition"], own);
    let keys = &about(&policy, "kms:PutKeyPolicy")[0]["Resource"];
    assert_eq!(keys.as_array().map(Vec::len), Some(2));

    let objects = |commands: &[Command], action: &str| {
        let statements = about(&publisher.policy(commands), action);
        let statements = statements.as_array().expect("a list").iter();
        let resources = statements.map(|one| one["Resource"].as_array().expect("a list"));
        let prefix = "arn:aws:s3:::kubezero-images-eu-central-1/machine-images/";
        let names = resources.flatten().map(|resource| {
            let resource = resource.as_str().expect("an ARN");
            resource.strip_prefix(prefix).expect("an object").to_owned()
        });
        names.collect::<Vec<_>>()
    };
    let (share, promote) = (&[Command::Share][..], &[Command::Promote][..]);
    let both = [share, promote].concat();
    for (commands, written, removed) in [
        (
            share,
            &["leases/access.json", "shares.json"][..],
            &["leases/access.json"][..],
        ),
        (
            promote,
            &[
                "catalog/*",
                "releases/*/manifest.json",
                "channels/*.json",
                "leases/access.json",
                "shares.json",
            ],
            &["leases/access.json"],
        ),
        (
            &both,
            &[
                "catalog/*",
                "releases/*/manifest.json",
                "channels/*.json",
                "leases/access.json",
                "shares.json",
            ],
            &["leases/access.json"],
        ),
        (
            &[Command::Rollback],
            &[
                "catalog/*",
                "releases/*/manifest.json",
                "channels/*.json",
                "releases/*/release.json",
                "leases/access.json",
                "shares.json",
            ],
            &["leases/access.json"],
        ),
        (
            &[Command::Prune],
            &["catalog/*", "releases/*/manifest.json", "leases/*"],
            &["leases/*", "builds/*"],
        ),
        (&[Command::Verify], &[], &[]),
        (&Command::ALL, &["*"], &["*"]),
    ] {
        assert_eq!(objects(commands, "s3:PutObject"), written);
        assert_eq!(objects(commands, "s3:DeleteObject"), removed);
        assert_eq!(objects(commands, "s3:GetObject"), ["*"]);
    }
}

#[test]
fn build_and_publish_share_what_both_need() {
    let publisher = Publisher::of(&["eu-central-1", "us-east-1"], false);
    let both = publisher.policy(&[Command::Build, Command::Publish]);
    for action in [
        "ec2:DescribeImages",
        "kms:Decrypt",
        "s3:ListBucket",
        "s3:PutObject",
    ] {
        let shared = about(&both, action);
        assert_eq!(shared.as_array().map(Vec::len), Some(1), "{action}");
        let publish = publisher.policy(&[Command::Publish]);
        assert_eq!(shared, about(&publish, action));
    }
    let tags = &about(&both, "ec2:CreateTags")[1];
    let making = json!([
        "CopyImage",
        "RegisterImage",
        "CreateSnapshot",
        "RunInstances"
    ]);
    assert_eq!(
        tags["Condition"]["StringEquals"]["ec2:CreateAction"],
        making
    );
}

#[test]
fn only_diff_reads_what_is_no_release_s_own() {
    let publisher = Publisher::of(&["eu-central-1"], false);
    for (commands, own) in [
        (&[Command::Publish][..], true),
        (&[Command::Publish, Command::Doctor], true),
        (&[Command::Diff], false),
        (&Command::ALL, false),
    ] {
        let policy = publisher.policy(commands);
        let statements = policy.statement.iter();
        let reads: Vec<_> = statements
            .filter(|one| one.action.contains(&"ebs:GetSnapshotBlock"))
            .collect();
        let [read] = reads[..] else {
            panic!("{reads:?}");
        };
        let mut expected = json!({ "StringEquals": { "aws:RequestedRegion": ["eu-central-1"] } });
        if own {
            expected["StringLike"] = json!({ "aws:ResourceTag/alpine-ami:release": "?*" });
        }
        assert_eq!(read.condition, Some(expected), "{commands:?}");
    }
}

#[test]
fn a_key_that_is_not_known_is_any_key_of_the_region() {
    let mut publisher = Publisher::of(&["cn-north-1", "cn-northwest-1"], false);
    publisher.keys.clear();
    let policy = publisher.policy(&[Command::Publish]);
    let use_keys = policy.statement.iter().find(|one| one.sid == "UseKeys");
    let expected = [
        "arn:aws-cn:kms:cn-north-1:111122223333:key/*",
        "arn:aws-cn:kms:cn-northwest-1:111122223333:key/*",
    ];
    assert_eq!(use_keys.expect("a statement").resource, expected);
}

#[test]
fn without_a_prefix_the_whole_bucket_is_listed() {
    let mut publisher = Publisher::of(&["eu-central-1"], false);
    let list = |publisher: &Publisher| {
        let policy = publisher.policy(&[Command::Diff]);
        let list = policy
            .statement
            .into_iter()
            .find(|one| one.sid == "ListBucket");
        list.expect("a statement").condition
    };
    let prefixed = json!({ "StringLikeIfExists": {
        "s3:prefix": ["machine-images/", "machine-images/*"],
    } });
    assert_eq!(list(&publisher), Some(prefixed));
    publisher.settings.prefix.clear();
    assert_eq!(list(&publisher), None);
}

#[test]
fn who_signs_may_use_the_key_that_signs() {
    let mut publisher = Publisher::of(&["eu-central-1"], false);
    for command in [Command::Publish, Command::Promote] {
        let sign = |publisher: &Publisher| about(&publisher.policy(&[command]), "kms:Sign");
        assert_eq!(sign(&publisher), json!([]));
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/ab";
        for (name, resource, condition) in [
            (arn, arn, json!(null)),
            ("ab", arn, json!(null)),
            (
                "alias/releases",
                "arn:aws:kms:eu-central-1:111122223333:key/*",
                json!({ "ForAnyValue:StringEquals": { "kms:ResourceAliases": "alias/releases" } }),
            ),
        ] {
            publisher.signing.key = Some(name.to_owned());
            let sign = sign(&publisher);
            assert_eq!(sign[0]["Resource"], json!([resource]), "{name}");
            assert_eq!(sign[0]["Condition"], condition, "{name}");
        }
        publisher.signing.key = None;
    }
}

#[test]
fn who_verifies_knows_the_key_and_does_not_sign() {
    let mut publisher = Publisher::of(&["eu-central-1"], false);
    publisher.signing.key = Some("alias/releases".to_owned());
    let policy = publisher.policy(&[Command::Verify]);
    assert_eq!(about(&policy, "kms:Sign"), json!([]));
    let key = &about(&policy, "kms:GetPublicKey")[0];
    assert_eq!(
        key["Action"],
        json!(["kms:DescribeKey", "kms:GetPublicKey"])
    );
}

/// What prunes ends what builds left, and launches nothing.
#[test]
fn prune_removes_what_is_tagged_alone() {
    let publisher = Publisher::of(&["eu-central-1", "us-east-1"], false);
    let policy = publisher.policy(&[Command::Prune]);
    let end = &about(&policy, "ec2:TerminateInstances")[0];
    let tagged = json!({ "StringLike": { "aws:ResourceTag/alpine-ami:build": "?*" } });
    assert_eq!(end["Condition"], tagged);
    let own = &about(&policy, "ec2:DeregisterImage")[0];
    let of_release = "aws:ResourceTag/alpine-ami:release";
    assert_eq!(own["Condition"]["StringLike"][of_release], "?*");
    for action in ["kms:Decrypt", "kms:Sign", "ec2:RunInstances"] {
        assert_eq!(about(&policy, action), json!([]), "{action}");
    }
    let seen = &about(&policy, "ssm:GetParameters")[0];
    let via = json!({ "aws:CalledVia": ["ec2-images.amazonaws.com"] });
    assert_eq!(seen["Condition"]["ForAnyValue:StringEquals"], via);
}
