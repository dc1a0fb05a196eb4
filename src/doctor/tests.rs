mod build;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::aws::ebs::{Encryption, Start, Taken};
use crate::aws::ec2::SnapshotState;
use crate::aws::error::Details;
use crate::aws::tags::{self, Tags};
use crate::aws::testing::{ABROAD, Cloud, HOME, region};
use crate::aws::wait::{Seen, until};
use crate::aws::{KeyArn, Kind, SnapshotId};
use crate::share::settings::Readers;

const BUCKET: &str = "publishers-images";
/// Long enough for any answer of a sandbox on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// A machine with nothing on it.
fn machine() -> tools::Machine {
    tools::Machine {
        path: Vec::new(),
        root: PathBuf::from("/nonexistent"),
        uid: 1000,
        user: None,
    }
}

fn patient(toml: &str) -> Patient {
    Patient {
        aws: AwsSettings::default(),
        publish: toml::from_str(toml).expect("settings"),
        build: BuildSettings::default(),
        share: ShareSettings::default(),
        signing: SigningSettings::default(),
        channels: Vec::new(),
        command: "publish".to_owned(),
        machine: machine(),
        program: PathBuf::from("/nonexistent"),
    }
}

/// A publisher who has everything, in two Regions.
fn good() -> Patient {
    patient(
        r#"
        publisher = "kubezero"
        home = "us-east-1"
        regions = ["us-east-1", "eu-west-1"]
        bucket = "publishers-images"
        prefix = "ami"
        keys = { us-east-1 = "alias/images", eu-west-1 = "alias/images" }
        "#,
    )
}

/// Makes what the good publisher has.
async fn furnish(cloud: &Cloud) -> Aws {
    let aws = cloud.aws().await;
    for name in [HOME, ABROAD] {
        let kms = aws.kms(&region(name)).sdk().clone();
        let made = kms.create_key().send().await.expect("a key");
        let id = made.key_metadata().expect("metadata").key_id();
        let call = kms.create_alias().alias_name("alias/images");
        call.target_key_id(id).send().await.expect("an alias");
    }
    let s3 = aws.s3(&region(HOME)).sdk().clone();
    s3.create_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .expect("a bucket");
    aws
}

/// The checks that are not about this machine, as `status name region`.
fn told(report: &Report) -> Vec<String> {
    let checks = report.checks.iter();
    checks
        .filter(|check| check.group != Group::Tools)
        .map(|check| {
            let region = check.region.as_ref().map_or("", Region::as_str);
            let told = format!("{} {} {region}", check.status, check.name);
            told.trim_end().to_owned()
        })
        .collect()
}

/// The one check of that name, in that Region.
fn find<'a>(report: &'a Report, name: &str, place: &str) -> &'a Check {
    let fits = |check: &&Check| {
        let region = check.region.as_ref().map_or("", Region::as_str);
        check.name == name && region == place
    };
    let found: Vec<&Check> = report.checks.iter().filter(fits).collect();
    let [only] = found.as_slice() else {
        panic!(
            "{} checks {name} in `{place}`:\n{}",
            found.len(),
            report.text()
        );
    };
    only
}

#[tokio::test]
async fn where_all_is_well_nothing_fails_and_nothing_is_made() {
    let cloud = Cloud::start().await;
    let aws = furnish(&cloud).await;
    let before = cloud.calls("").await.len();
    let folder = tempfile::tempdir().expect("a folder");
    let mut patient = good();
    patient.share.customers = folder.path().join("customers.toml");
    std::fs::write(
        &patient.share.customers,
        "[customers.acme]\naccounts = [\"222222222222\"]\nchannels = [\"stable\"]\n",
    )
    .expect("written");
    let report = examine_as(&patient, Ok(aws.clone()), LONG).await;
    assert!(!report.has_failed(), "{}", report.text());
    let told = told(&report);
    for expected in [
        "ok share.customers",
        "ok key policy for customers eu-west-1",
        "ok publish.publisher",
        "ok publish.keys",
        "ok principal",
        "ok clock",
        "ok region eu-west-1",
        "ok ec2:DescribeImages eu-west-1",
        "ok ec2:CopyImage eu-west-1",
        "ok ec2:RegisterImage us-east-1",
        "ok ebs:StartSnapshot us-east-1",
        "ok ebs:CompleteSnapshot us-east-1",
        "ok ebs:ListSnapshotBlocks us-east-1",
        "ok ec2:DeregisterImage eu-west-1",
        "ok ec2:DeleteSnapshot us-east-1",
        "ok key us-east-1",
        "ok key policy eu-west-1",
        "ok kms:GenerateDataKeyWithoutPlaintext us-east-1",
        "ok kms:Decrypt us-east-1",
        "ok kms:ReEncrypt* eu-west-1",
        "ok kms:CreateGrant eu-west-1",
        "ok bucket",
        "warning versioning",
        "ok s3:GetObject",
        "ok s3:PutObject",
        "? s3:DeleteObject",
        "ok AMIs us-east-1",
        "ok pending snapshots eu-west-1",
    ] {
        assert!(
            told.iter().any(|line| line == expected),
            "{expected}:\n{}",
            report.text()
        );
    }
    // Every call that could have made something was refused, or was a dry run.
    for call in cloud.calls("").await.split_off(before) {
        let operation = call["operation"].as_str().expect("an operation");
        let reads = [
            "Describe",
            "Get",
            "List",
            "Head",
            "GenerateDataKeyWithoutPlaintext",
        ];
        let is_read = reads.iter().any(|read| operation.starts_with(read));
        assert!(is_read || !call["error"].is_null(), "{call}");
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_named_with_its_region() {
    let cloud = Cloud::start().await;
    let aws = furnish(&cloud).await;
    for (operation, place) in [
        ("CopyImage", ABROAD),
        ("RegisterImage", HOME),
        ("StartSnapshot", HOME),
        ("CompleteSnapshot", HOME),
        ("ListSnapshotBlocks", ABROAD),
        ("Decrypt", ABROAD),
        ("ReEncrypt", ABROAD),
        ("GenerateDataKeyWithoutPlaintext", HOME),
        ("PutObject", HOME),
        ("GetObject", HOME),
        ("DeregisterImage", HOME),
        ("DescribeRegions", HOME),
    ] {
        cloud
            .fault(json!({"operation": operation, "region": place, "action": "deny"}))
            .await;
    }
    let report = examine_as(&good(), Ok(aws), LONG).await;
    for (name, place, expected) in [
        ("ec2:CopyImage", ABROAD, Status::Failed),
        ("ec2:RegisterImage", HOME, Status::Failed),
        ("ebs:StartSnapshot", HOME, Status::Failed),
        // They may be allowed for what has a release's tag.
        ("ebs:CompleteSnapshot", HOME, Status::Skipped),
        ("ebs:ListSnapshotBlocks", ABROAD, Status::Skipped),
        ("ebs:ListSnapshotBlocks", HOME, Status::Ok),
        ("kms:Decrypt", ABROAD, Status::Failed),
        ("kms:ReEncrypt*", ABROAD, Status::Failed),
        ("kms:GenerateDataKeyWithoutPlaintext", HOME, Status::Failed),
        ("s3:PutObject", "", Status::Failed),
        ("s3:GetObject", "", Status::Failed),
        ("ec2:DeregisterImage", HOME, Status::Skipped),
        ("ec2:DescribeRegions", "", Status::Failed),
    ] {
        let check = find(&report, name, place);
        assert_eq!(check.status, expected, "{name} {place}:\n{}", report.text());
        if expected == Status::Failed {
            let advice = check.advice.as_deref().unwrap_or_default();
            assert!(advice.contains("doctor --iam-policy"), "{name}: {advice}");
        }
    }
}

#[tokio::test]
async fn without_an_answer_of_a_region_the_others_are_told() {
    let cloud = Cloud::start().await;
    let aws = furnish(&cloud).await;
    cloud
        .fault(json!({"service": "ec2", "region": ABROAD, "action": "stall"}))
        .await;
    let report = examine_as(&good(), Ok(aws), Duration::from_secs(3)).await;
    let silent = find(&report, "ec2", ABROAD);
    assert_eq!(silent.status, Status::Failed);
    assert_eq!(silent.found, "no answer within 3 s");
    assert_eq!(find(&report, "ec2:RegisterImage", HOME).status, Status::Ok);
    assert_eq!(find(&report, "key", ABROAD).status, Status::Ok);
}

/// What a session ends with that has no credentials.
fn nobody() -> AwsError {
    AwsError::from(Details {
        action: "sts:GetCallerIdentity",
        resource: "the caller".to_owned(),
        region: region(HOME),
        account: None,
        kind: crate::aws::Kind::Credentials,
        code: None,
        message: "no source of credentials".to_owned(),
        request_id: None,
        attempts: 1,
        elapsed: Duration::ZERO,
    })
}

#[tokio::test]
async fn without_credentials_this_machine_is_looked_at() {
    let report = examine_as(&good(), Err(nobody()), LONG).await;
    let principal = find(&report, "principal", "");
    assert_eq!(principal.status, Status::Failed);
    assert!(
        principal
            .found
            .starts_with("there are none that can be used")
    );
    let advice = principal.advice.as_deref().unwrap_or_default();
    assert!(advice.contains("aws configure"), "{advice}");
    assert_eq!(find(&report, "unshare", "").status, Status::Warning);
    assert!(
        report
            .checks
            .iter()
            .all(|check| check.group <= Group::Credentials)
    );
    assert_eq!(find(&report, "clock", "").status, Status::Skipped);
}

#[test]
fn a_refusal_for_the_clock_s_sake_is_told_as_such() {
    let refused = |code: &str, message: &str| {
        AwsError::from(Details {
            action: "sts:GetCallerIdentity",
            resource: "the caller".to_owned(),
            region: region(HOME),
            account: None,
            kind: crate::aws::Kind::Credentials,
            code: Some(code.to_owned()),
            message: message.to_owned(),
            request_id: None,
            attempts: 1,
            elapsed: Duration::ZERO,
        })
    };
    for (code, message, expected) in [
        (
            "SignatureDoesNotMatch",
            "Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z",
            Status::Failed,
        ),
        (
            "SignatureDoesNotMatch",
            "Signature not yet current: 20260101T010000Z is still later than 20260101T000000Z",
            Status::Failed,
        ),
        (
            "RequestTimeTooSkewed",
            "The difference is too large.",
            Status::Failed,
        ),
        (
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match",
            Status::Skipped,
        ),
        (
            "InvalidClientTokenId",
            "The security token is invalid.",
            Status::Skipped,
        ),
    ] {
        let checks = account::checks(&Err(refused(code, message)), "somewhere");
        let clock = checks.iter().find(|check| check.name == "clock");
        assert_eq!(clock.map(|check| check.status), Some(expected), "{message}");
    }
}

#[tokio::test]
async fn each_missing_line_of_the_configuration_is_shown() {
    let cloud = Cloud::start().await;
    let aws = cloud.aws().await;
    let report = examine_as(&patient(""), Ok(aws), LONG).await;
    for (name, line) in [
        ("publish.publisher", "publisher = "),
        ("publish.home", "home = "),
        ("publish.bucket", "bucket = "),
        ("publish.regions", "regions = ["),
        ("publish.keys", "keys = {"),
    ] {
        let advice = find(&report, name, "").advice.clone().unwrap_or_default();
        assert!(advice.contains(line), "{name}: {advice}");
    }
    let half = patient(
        "home = 'us-east-1'\nregions = ['eu-west-1']\nkeys = { us-east-1 = 'alias/aws/ebs' }",
    );
    let report = examine_as(&half, Ok(cloud.aws().await), LONG).await;
    let keys = find(&report, "publish.keys", ABROAD);
    assert!(keys.found.contains("names no key"), "{}", keys.found);
    let keys = find(&report, "publish.keys", HOME);
    assert!(keys.found.contains("managed by AWS"), "{}", keys.found);
}

#[tokio::test]
async fn regions_and_keys_that_are_no_good_are_told() {
    let cloud = Cloud::start().await;
    let aws = furnish(&cloud).await;
    let kms = aws.kms(&region(ABROAD));
    let key = kms.describe("alias/images").await.expect("the key").arn;
    let call = kms.sdk().disable_key().key_id(key.as_str());
    call.send().await.expect("off");
    let mut patient = good();
    patient.publish.regions.push(region("af-south-1"));
    patient.publish.regions.push(region("eu-west-9"));
    patient.publish.keys.multi_region = "arn:aws:kms:us-east-1:111111111111:key/mrk-1".parse().ok();
    let report = examine_as(&patient, Ok(aws), LONG).await;
    assert_eq!(find(&report, "region", ABROAD).status, Status::Ok);
    let closed = find(&report, "region", "af-south-1");
    assert_eq!(closed.found, "the account has not opted in");
    let unknown = find(&report, "region", "eu-west-9");
    assert_eq!(unknown.found, "there is no such Region");
    // They are not asked for anything.
    let lines = told(&report);
    let of = |name: &str| lines.iter().filter(|line| line.ends_with(name)).count();
    assert_eq!((of("af-south-1"), of("eu-west-9")), (1, 1), "{lines:?}");
    let off = find(&report, "key", ABROAD);
    assert_eq!(off.found, format!("{key} is disabled"));
    assert_eq!(find(&report, "key", HOME).status, Status::Ok);
}

#[tokio::test]
async fn a_bucket_is_the_account_s_own_and_at_home() {
    let cloud = Cloud::start().await;
    let aws = furnish(&cloud).await;
    let (aws, home) = (&aws, &region(HOME));
    let s3 = aws.s3(home).sdk().clone();

    let there = bucket::checks(aws, home, (BUCKET, ""), Readers::Nobody).await;
    let status = |checks: &[Check], name: &str| {
        let check = checks.iter().find(|check| check.name == name);
        check.map(|check| check.status)
    };
    assert_eq!(status(&there, "versioning"), Some(Status::Warning));

    use aws_sdk_s3::types::{
        BucketVersioningStatus, PublicAccessBlockConfiguration, VersioningConfiguration,
    };
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
    let call = s3.put_bucket_versioning().bucket(BUCKET);
    call.versioning_configuration(on.build())
        .send()
        .await
        .expect("versions");
    let block = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true);
    for (restrict, expected) in [(false, Status::Warning), (true, Status::Ok)] {
        let block = block.clone().restrict_public_buckets(restrict).build();
        let call = s3.put_public_access_block().bucket(BUCKET);
        let call = call.public_access_block_configuration(block);
        call.send().await.expect("a block");
        let checks = bucket::checks(aws, home, (BUCKET, ""), Readers::Nobody).await;
        assert_eq!(status(&checks, "versioning"), Some(Status::Ok));
        assert_eq!(status(&checks, "public access"), Some(expected));
    }

    let missing = bucket::checks(aws, home, ("nobody-has-this-bucket", ""), Readers::Nobody).await;
    assert_eq!(missing[0].status, Status::Failed);
    assert!(
        missing[0].found.starts_with("there is no bucket"),
        "{}",
        missing[0].found
    );
    let advice = missing[0].advice.as_deref().unwrap_or_default();
    assert!(advice.ends_with("--region us-east-1`"), "{advice}");
}

#[tokio::test]
async fn a_bucket_elsewhere_or_of_others_is_refused() {
    let cloud = Cloud::start().await;
    let aws = furnish(&cloud).await;
    let elsewhere = bucket::checks(&aws, &region(ABROAD), (BUCKET, ""), Readers::Nobody).await;
    assert_eq!(elsewhere[0].status, Status::Failed, "{elsewhere:?}");
    assert!(
        elsewhere[0]
            .found
            .contains("is in us-east-1, not in the home Region eu-west-1"),
        "{elsewhere:?}"
    );
    cloud
        .fault(json!({"operation": "HeadBucket", "action": "deny"}))
        .await;
    let refused = bucket::checks(&aws, &region(HOME), (BUCKET, ""), Readers::Nobody).await;
    assert!(
        refused[0].found.contains("another account's"),
        "{refused:?}"
    );
}

/// A session of a role that may do what the policy allows and nothing else.
async fn confine(cloud: &Cloud, policy: &policy::Policy) -> Aws {
    let policy = serde_json::to_value(policy).expect("JSON");
    let path = "policies/publisher?account=111111111111";
    cloud.control("PUT", path, policy).await;
    let settings = AwsSettings {
        assume_role: Some("arn:aws:iam::111111111111:role/publisher".to_owned()),
        total_seconds: 20,
        ..AwsSettings::default()
    };
    cloud.aws_with(settings).await
}

/// The policy that the doctor prints is enough for the doctor to find nothing wrong.
#[tokio::test]
async fn under_the_least_policy_the_doctor_finds_nothing_wrong() {
    use std::collections::BTreeMap;

    let cloud = Cloud::start().await;
    let aws = furnish(&cloud).await;
    let patient = good();
    let regions = patient.regions();
    let keys = crate::publish::keys::resolve(&aws, &patient.publish.keys, &regions);
    let keys = keys.await.expect("keys");
    let scope = policy::Scope {
        settings: &patient.publish,
        regions: &regions,
        account: Some(aws.account()),
        keys: &keys,
        signing: &patient.signing,
        catalog: patient.share.catalog,
        builds: !patient.build.base_images.is_empty(),
    };
    let confined = async |commands: &[policy::Command]| {
        let aws = confine(&cloud, &policy::least(commands, &scope)).await;
        let report = examine_as(&patient, Ok(aws), LONG).await;
        let statuses = report.checks.iter().filter_map(|check| {
            let told = (check.name.clone(), check.status);
            check.name.contains(':').then_some(told)
        });
        (statuses.collect::<BTreeMap<_, _>>(), report)
    };

    let (statuses, report) = confined(&[policy::Command::Publish, policy::Command::Doctor]).await;
    assert!(!report.has_failed(), "{}", report.text());
    for (name, expected) in [
        ("ec2:RegisterImage", Status::Ok),
        ("ec2:CopyImage", Status::Ok),
        ("ebs:StartSnapshot", Status::Ok),
        // Nothing has a release's tag yet.
        ("ebs:CompleteSnapshot", Status::Skipped),
        ("ebs:ListSnapshotBlocks", Status::Skipped),
        ("kms:Decrypt", Status::Ok),
        ("kms:ReEncrypt*", Status::Ok),
        ("kms:CreateGrant", Status::Skipped),
        ("s3:GetObject", Status::Ok),
        ("s3:PutObject", Status::Ok),
    ] {
        assert_eq!(statuses[name], expected, "{name}:\n{}", report.text());
    }

    let (statuses, report) = confined(&[policy::Command::Diff]).await;
    for (name, expected) in [
        ("ec2:DescribeImages", Status::Ok),
        ("ebs:ListSnapshotBlocks", Status::Ok),
        ("s3:GetObject", Status::Ok),
        ("s3:PutObject", Status::Failed),
        ("ec2:RegisterImage", Status::Failed),
        ("ebs:StartSnapshot", Status::Failed),
    ] {
        assert_eq!(statuses[name], expected, "{name}:\n{}", report.text());
    }
}

/// A snapshot of one block under the key of its Region, with a release's tag or without.
async fn snapshot(aws: &Aws, key: &KeyArn, release: Option<&str>) -> Result<SnapshotId, AwsError> {
    let ebs = aws.ebs(&key.region());
    let release = release.map(|release| (tags::RELEASE.to_owned(), release.to_owned()));
    let start = Start {
        token: release.as_ref().map_or("foreign", |(_, release)| release),
        volume_gib: 1,
        encryption: &Encryption::Key(key.clone()),
        description: "",
        tags: &Tags(release.clone().into_iter().collect()),
    };
    let id = ebs.start_snapshot(&start).await?.snapshot;
    let block = vec![7; 512 * 1024];
    let sum: [u8; 32] = Sha256::digest(&block).into();
    let put = ebs.put_block(&id, 0, block.into(), &sum, Arc::new(|_| ()));
    assert_eq!(put.await?, Taken::Yes);
    let linear = Sha256::digest(sum).into();
    let completed = ebs.complete_snapshot(&id, 1, &linear).await?;
    assert_eq!(completed, Taken::Yes);
    let ec2 = aws.ec2(&key.region());
    let look = async || {
        let seen = ec2.snapshot(&id).await?.expect("it was made");
        Ok::<_, AwsError>(match seen.state {
            SnapshotState::Pending => Seen::NotYet(String::new()),
            _ => Seen::Reached(()),
        })
    };
    let done = until(Duration::from_secs(20), |_| (), look).await?;
    done.expect("it is completed");
    Ok(id)
}

/// Reads what a snapshot has.
async fn read(aws: &Aws, place: &Region, id: &SnapshotId) -> Result<Vec<u8>, AwsError> {
    let ebs = aws.ebs(place);
    let page = ebs.list_blocks(id, None).await?;
    let block = ebs.get_block(id, &page.blocks[0], Arc::new(|_| ())).await?;
    Ok(block.bytes)
}

#[tokio::test]
async fn under_the_least_policy_publish_reads_its_own_and_diff_reads_all() {
    let cloud = Cloud::start().await;
    let aws = furnish(&cloud).await;
    let (patient, home) = (good(), region(HOME));
    let key = aws.kms(&home).describe("alias/images").await;
    let key = key.expect("the key").arn;
    let foreign = snapshot(&aws, &key, None).await.expect("a snapshot");
    let confined = async |command| {
        let session = Ok(cloud.aws().await);
        let (policy, warnings) = least_policy_as(&patient, &[command], session).await;
        assert_eq!(warnings, [""; 0]);
        confine(&cloud, &policy).await
    };

    let publisher = confined(policy::Command::Publish).await;
    let own = snapshot(&publisher, &key, Some("r")).await;
    let own = own.expect("a snapshot of one's own");
    read(&publisher, &home, &own).await.expect("one's own");
    let refused = read(&publisher, &home, &foreign).await;
    let refused = refused.expect_err("someone else's");
    let told = (refused.kind, refused.action);
    assert_eq!(told, (Kind::Denied, "ebs:ListSnapshotBlocks"));

    let reader = confined(policy::Command::Diff).await;
    for id in [&own, &foreign] {
        let bytes = read(&reader, &home, id).await.expect("any snapshot");
        assert!(bytes == [7; 512 * 1024]);
    }
    let refused = snapshot(&reader, &key, Some("s")).await;
    assert_eq!(refused.expect_err("it only reads").kind, Kind::Denied);

    let tester = confined(policy::Command::Test).await;
    let refused = read(&tester, &home, &own).await;
    assert_eq!(refused.expect_err("it reads none").kind, Kind::Denied);
}

#[tokio::test]
async fn a_key_that_cannot_be_resolved_widens_its_own_region_alone() {
    let cloud = Cloud::start().await;
    let aws = furnish(&cloud).await;
    let key = aws.kms(&region(HOME)).describe("alias/images").await;
    let key = key.expect("the key").arn;
    let mut patient = good();
    let wrong = "alias/imagse".to_owned();
    patient.publish.keys.by_region.insert(region(ABROAD), wrong);
    let keys_of = |policy: &policy::Policy| {
        let uses = policy.statement.iter().find(|one| one.sid == "UseKeys");
        uses.expect("a statement").resource.clone()
    };
    let commands = [policy::Command::Publish];
    let (policy, warnings) = least_policy_as(&patient, &commands, Ok(aws)).await;
    let expected = [
        format!("arn:aws:kms:*:*:key/{}", key.key_id()),
        "arn:aws:kms:eu-west-1:111111111111:key/*".to_owned(),
    ];
    assert_eq!(keys_of(&policy), expected);
    let expected = "eu-west-1: there is no alias/imagse; is it alias/images?: the policy allows all \
                    keys of the account there";
    assert_eq!(warnings, [expected]);

    patient.publish.home = None;
    let (policy, warnings) = least_policy_as(&patient, &commands, Err(nobody())).await;
    let expected = ["us-east-1", "eu-west-1"].map(|name| format!("arn:aws:kms:{name}:*:key/*"));
    let found: std::collections::BTreeSet<String> = keys_of(&policy).into_iter().collect();
    assert_eq!(found, expected.into());
    let [home, account] = &warnings[..] else {
        panic!("{warnings:?}")
    };
    assert!(home.contains("`publish.home` is not configured"), "{home}");
    assert!(
        account.contains("names neither account nor keys"),
        "{account}"
    );
}

#[test]
fn the_clock_warns_before_aws_refuses() {
    for (skew, status, found) in [
        (0, Status::Ok, "the same as AWS's"),
        (60, Status::Ok, "60 s behind AWS's"),
        (-61, Status::Warning, "61 s ahead of AWS's"),
        (240, Status::Warning, "240 s behind AWS's"),
        (
            -241,
            Status::Failed,
            "241 s ahead of AWS's; from five minutes on, AWS refuses all calls",
        ),
    ] {
        let check = account::clock(skew);
        assert_eq!((check.status, check.found.as_str()), (status, found));
    }
}

#[test]
fn where_credentials_come_from_is_said() {
    let role = AwsSettings {
        roles: [("publish".to_owned(), "arn:aws:iam::1:role/p".to_owned())].into(),
        ..AwsSettings::default()
    };
    let profile = AwsSettings {
        profile: Some("images".to_owned()),
        ..AwsSettings::default()
    };
    let plain = AwsSettings::default();
    for (settings, env, expected) in [
        (
            &plain,
            &[][..],
            "the default profile of the AWS CLI, or the instance's role",
        ),
        (
            &plain,
            &["AWS_ACCESS_KEY_ID", "AWS_PROFILE"],
            "AWS_ACCESS_KEY_ID in the environment",
        ),
        (&plain, &["AWS_PROFILE"], "profile x (AWS_PROFILE)"),
        (
            &profile,
            &["AWS_PROFILE"],
            "profile images (`aws.profile` in alpine-ami.toml)",
        ),
        (
            &plain,
            &["AWS_WEB_IDENTITY_TOKEN_FILE"],
            "web identity in x (AWS_WEB_IDENTITY_TOKEN_FILE)",
        ),
        (
            &role,
            &["AWS_ACCESS_KEY_ID"],
            "AWS_ACCESS_KEY_ID in the environment, then arn:aws:iam::1:role/p",
        ),
    ] {
        let found = account::source(settings, "publish", |name| {
            env.contains(&name).then(|| "x".to_owned())
        });
        assert_eq!(found, expected);
    }
}

#[test]
fn a_report_is_read_by_people_and_machines() {
    let report = Report {
        checks: vec![
            Check::ok(Group::Keys, "key", "good").of(&region(HOME)),
            Check::ok(Group::Credentials, "clock", "the same as AWS's"),
            Check::failed(
                Group::Keys,
                "key",
                "is disabled",
                Some("enable it".to_owned()),
            )
            .of(&region(ABROAD)),
            Check::skipped(Group::Bucket, "s3:DeleteObject", "cannot be asked"),
        ],
    };
    let expected = "\
Credentials
  ok                  clock            the same as AWS's

Keys
  FAILED   eu-west-1  key              is disabled
           → enable it
  ok       us-east-1  key              good

Bucket
  ?                   s3:DeleteObject  cannot be asked

2 work, 1 do not, 0 should be looked at, 1 could not be checked
";
    assert_eq!(report.text(), expected);
    assert!(report.has_failed());
    let json = serde_json::to_value(&report).expect("JSON");
    let expected = json!({
        "group": "keys", "name": "key", "region": "eu-west-1", "status": "failed",
        "found": "is disabled", "advice": "enable it",
    });
    assert_eq!(json["checks"][2], expected);
}
