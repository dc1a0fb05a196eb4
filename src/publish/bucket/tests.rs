use serde_json::json;

use super::*;
use crate::arch::Arch;
use crate::aws::testing::{ABROAD, Cloud, HOME, region};
use crate::blocks::digests::BlockDigests;
use crate::publish::manifest::{Boot, Place, Source};

/// A cloud with a bucket in it.
pub(in crate::publish) async fn cloud() -> (Cloud, Bucket) {
    let cloud = Cloud::start().await;
    let aws = cloud.aws().await;
    let home = region(HOME);
    aws.s3(&home).create_bucket("images").await.expect("made");
    let bucket = Bucket::new(&aws, &home, "images", "a/b");
    (cloud, bucket)
}

pub(in crate::publish) fn line() -> Line {
    Line {
        profile: "node".to_owned(),
        version: "1.22".to_owned(),
        arch: Arch::X86_64,
    }
}

pub(in crate::publish) fn image(digit: char) -> Source {
    Source::Image {
        sha256: digit.to_string().repeat(64),
        size: 1 << 31,
    }
}

pub(in crate::publish) fn manifest(release: &ReleaseId, source: &Source) -> ReleaseManifest {
    ReleaseManifest {
        schema: SCHEMA,
        release: release.clone(),
        state: State::Publishing,
        was_published: false,
        name: format!("tests/{release}"),
        description: "an image".to_owned(),
        tool: "alpine-ami 0".to_owned(),
        account: "111111111111".parse().expect("an account"),
        created: OffsetDateTime::UNIX_EPOCH,
        run: "20260131T101112Z-00000001".to_owned(),
        end_of_life: OffsetDateTime::UNIX_EPOCH,
        source: source.clone(),
        boot: Boot {
            mode: "uefi-preferred".to_owned(),
            tpm: true,
            root_device: "/dev/xvda".to_owned(),
        },
        volume_gib: 2,
        home: region(HOME),
        regions: Default::default(),
        snapshots_given_up: 0,
        parent: None,
        blocks: None,
        image: None,
        files: None,
        sbom: None,
        origin: None,
        tested: None,
        withdrawn: None,
        retired: None,
    }
}

/// A place whose state says who wrote it.
fn place(state: &str) -> Place {
    let key = "arn:aws:kms:us-east-1:111111111111:key/1";
    Place {
        ami: None,
        snapshot: None,
        key: key.parse().expect("a key"),
        state: state.to_owned(),
        attempt: 0,
        error: None,
    }
}

fn id(text: &str) -> ReleaseId {
    text.parse().expect(text)
}

async fn write(bucket: &Bucket, release: &str) -> Stored {
    let manifest = manifest(&id(release), &image('1'));
    let created = bucket.create(manifest).await.expect("written");
    created.expect("there was none")
}

async fn overwrite(bucket: &Bucket, key: &str, text: &str) {
    let text = text.to_owned();
    let put = bucket.put_object(key, "application/json", text, &Condition::Always);
    put.await.expect("written");
}

const RELEASE: &str = "node-1.22-x86_64-20260131.1";

#[tokio::test]
async fn manifests_are_written_once_and_read() {
    let (_cloud, bucket) = cloud().await;
    bucket.check().await.expect("a bucket of ours");
    assert_eq!(bucket.manifest(&id(RELEASE)).await.expect("read"), None);
    let stored = write(&bucket, RELEASE).await;
    let read = bucket.manifest(&id(RELEASE)).await.expect("read");
    assert_eq!(read.as_ref(), Some(&stored));
    let other = manifest(&id(RELEASE), &image('2'));
    assert_eq!(bucket.create(other).await.expect("an answer"), None);
    let read = bucket.manifest(&id(RELEASE)).await.expect("read");
    assert_eq!(read.expect("still there"), stored);
    let url = "s3://images/a/b/releases/node-1.22-x86_64-20260131.1/manifest.json";
    assert_eq!(bucket.manifest_url(&id(RELEASE)), url);
}

#[tokio::test]
async fn of_two_writers_of_a_manifest_the_second_is_refused() {
    let (_cloud, bucket) = cloud().await;
    let mut first = write(&bucket, RELEASE).await;
    let mut second = first.clone();
    let with = |state: &str| {
        let mut manifest = first.manifest.clone();
        manifest.regions.insert(region(HOME), place(state));
        manifest
    };
    let (one, other) = (with("one"), with("other"));
    bucket.replace(&mut first, one).await.expect("written");
    let refused = bucket.replace(&mut second, other).await;
    assert!(
        matches!(refused, Err(BucketError::Contended { .. })),
        "{refused:?}"
    );
    let read = bucket.manifest(&id(RELEASE)).await.expect("read");
    assert_eq!(read, Some(first));
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_ours() {
    let (cloud, bucket) = cloud().await;
    let mut stored = write(&bucket, RELEASE).await;
    for action in ["close-after", "close-before"] {
        cloud
            .fault(json!({"operation": "PutObject", "nth": 1, "action": action}))
            .await;
        let mut manifest = stored.manifest.clone();
        manifest.description.push('!');
        bucket
            .replace(&mut stored, manifest)
            .await
            .expect("written");
        cloud.no_faults().await;
    }
    assert_eq!(stored.manifest.description, "an image!!");
    let read = bucket.manifest(&id(RELEASE)).await.expect("read");
    assert_eq!(read, Some(stored.clone()));
}

#[tokio::test]
async fn a_first_manifest_whose_answer_is_lost_is_ours() {
    let (cloud, bucket) = cloud().await;
    cloud
        .fault(json!({"operation": "PutObject", "nth": 1, "action": "close-after"}))
        .await;
    let stored = write(&bucket, RELEASE).await;
    assert_eq!(cloud.calls("PutObject").await.len(), 2);
    let read = bucket.manifest(&id(RELEASE)).await.expect("read");
    assert_eq!(read, Some(stored));
}

#[tokio::test]
async fn manifests_that_cannot_be_read_are_named() {
    let (_cloud, bucket) = cloud().await;
    let key = keys::manifest(&id(RELEASE));
    let other = manifest(&id("node-1.22-x86_64-20260131.2"), &image('1'));
    let other = serde_json::to_string(&other).expect("JSON");
    for (text, expected) in [
        ("{", "cannot be read: EOF while parsing"),
        ("{\"schema\": 1}", "cannot be read: missing field `release`"),
        (
            "{\"schema\": 2, \"what\": []}",
            "has format 2; this version knows formats up to 1",
        ),
        (
            &other,
            "cannot be read: it is the manifest of node-1.22-x86_64-20260131.2",
        ),
    ] {
        overwrite(&bucket, &key, text).await;
        let error = bucket.manifest(&id(RELEASE)).await.expect_err(expected);
        let error = error.to_string();
        let start = format!("s3://images/a/b/{key} in us-east-1 {expected}");
        assert!(error.starts_with(&start), "{error}");
    }
}

#[tokio::test]
async fn releases_are_listed_and_the_best_earlier_one_is_found() {
    let (_cloud, bucket) = cloud().await;
    for release in [
        RELEASE,
        "node-1.22-x86_64-20260201.1",
        "node-1.22-x86_64-20260202.1",
        "node-1.22-x86_64-20260203.1",
        "node-1.22-aarch64-20260203.1",
    ] {
        let mut stored = write(&bucket, release).await;
        let is_published = !release.ends_with("0202.1");
        let mut manifest = stored.manifest.clone();
        if is_published {
            manifest.state = State::Published;
        }
        manifest.blocks = Some(BlockDigests(vec![[1; 32]]));
        bucket
            .replace(&mut stored, manifest)
            .await
            .expect("written");
    }
    overwrite(&bucket, "releases/node-1.22-x86_64-mine", "?").await;
    overwrite(
        &bucket,
        "releases/node-1.22-x86_64-20260202.9/manifest.json",
        "?",
    )
    .await;
    let listed = bucket.releases(&line()).await.expect("listed");
    let listed: Vec<_> = listed.iter().map(|id| (id.date, id.number)).collect();
    let expected = [
        (20_260_203, 1),
        (20_260_202, 9),
        (20_260_202, 1),
        (20_260_201, 1),
        (20_260_131, 1),
    ];
    assert_eq!(listed, expected);

    let newest = id("node-1.22-x86_64-20260203.1");
    let found = bucket.earlier(&newest, |_| true).await.expect("found");
    let found = found.expect("a release").release.to_string();
    assert_eq!(found, "node-1.22-x86_64-20260201.1");
    let fits = |manifest: &ReleaseManifest| manifest.release.date < 20_260_201;
    let found = bucket.earlier(&newest, fits).await.expect("found");
    assert_eq!(found.expect("a release").release, id(RELEASE));
    let found = bucket.earlier(&id(RELEASE), |_| true).await.expect("found");
    assert_eq!(found, None);
}

#[tokio::test]
async fn attachments_are_checked() {
    let (_cloud, bucket) = cloud().await;
    let release = id(RELEASE);
    let written = bucket.attach(&release, "files.json", "[]").await;
    let mut attachment = written.expect("written");
    let read = bucket.attachment(&release, &attachment).await;
    assert_eq!(read.expect("read"), "[]");
    overwrite(&bucket, &keys::attachment(&release, "files.json"), "[1]").await;
    let error = bucket.attachment(&release, &attachment).await;
    let error = error.expect_err("other bytes");
    assert!(matches!(error, BucketError::Altered { .. }), "{error}");
    attachment.name = "others.json".to_owned();
    let error = bucket.attachment(&release, &attachment).await;
    let error = error.expect_err("nothing there");
    assert!(matches!(error, BucketError::Gone { .. }), "{error}");
}

#[tokio::test]
async fn a_bucket_that_does_not_fit_is_told() {
    let (cloud, ours) = cloud().await;
    let aws = cloud.aws().await;
    aws.s3(&region(ABROAD))
        .create_bucket("abroad")
        .await
        .expect("made");
    let customer = cloud.customer().await;
    customer
        .s3(&region(HOME))
        .create_bucket("theirs")
        .await
        .expect("made");
    for (name, home, expected, advice) in [
        (
            "none",
            HOME,
            "there is no bucket none (looked for in us-east-1)",
            "make it: aws s3api create-bucket --bucket none --region us-east-1",
        ),
        (
            "none",
            ABROAD,
            "there is no bucket none (looked for in eu-west-1)",
            "--region eu-west-1 --create-bucket-configuration LocationConstraint=eu-west-1",
        ),
        (
            "abroad",
            HOME,
            "the bucket abroad is in eu-west-1, not in the home Region us-east-1",
            "set `home = \"eu-west-1\"` in [publish], or name a bucket that is in us-east-1",
        ),
        (
            "theirs",
            HOME,
            "the bucket theirs in us-east-1 may not be looked into by account 111111111111: it \
             belongs to another account, or s3:ListBucket is not allowed",
            "name another bucket in [publish]",
        ),
    ] {
        let bucket = Bucket::new(&aws, &region(home), name, "");
        let error = bucket.check().await.expect_err(expected);
        assert_eq!(error.to_string(), expected);
        let told = error.advice().expect("advice");
        assert!(told.ends_with(advice), "{told}");
    }
    cloud
        .fault(json!({"operation": "HeadBucket", "action": "deny"}))
        .await;
    let error = ours.check().await.expect_err("not allowed");
    assert!(matches!(error, BucketError::Denied { .. }), "{error}");
}

#[tokio::test]
async fn a_bucket_of_another_account_that_lets_us_in_is_not_ours() {
    let (cloud, _) = cloud().await;
    let theirs = cloud.customer().await;
    let theirs = theirs.s3(&region(HOME));
    theirs.create_bucket("theirs").await.expect("made");
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"AWS": "111111111111"},
            "Action": ["s3:*"],
            "Resource": ["arn:aws:s3:::theirs", "arn:aws:s3:::theirs/*"],
        }],
    });
    theirs
        .put_bucket_policy("theirs", &policy.to_string())
        .await
        .expect("written");
    let bucket = Bucket::new(&cloud.aws().await, &region(HOME), "theirs", "");
    let error = bucket.check().await.expect_err("not ours");
    assert!(matches!(error, BucketError::NotOurs { .. }), "{error}");
    let error = write_to(&bucket).await.expect_err("not ours");
    let BucketError::Aws(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind, crate::aws::Kind::Denied);
}

async fn write_to(bucket: &Bucket) -> Result<Option<Stored>, BucketError> {
    bucket.create(manifest(&id(RELEASE), &image('1'))).await
}
