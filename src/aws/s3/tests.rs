use serde_json::json;

use super::*;
use crate::aws::testing::{ABROAD, Cloud, HOME, region};

async fn cloud() -> (Cloud, S3, BucketAddress) {
    let cloud = Cloud::start().await;
    let s3 = cloud.aws().await.s3(&region(HOME));
    s3.create_bucket("things").await.expect("made");
    let bucket = BucketAddress {
        name: "things".to_owned(),
        owner: Some("111111111111".parse().expect("an account")),
    };
    (cloud, s3, bucket)
}

fn written(put: Put) -> ETag {
    match put {
        Put::Written(etag) => etag,
        Put::Refused => panic!("refused"),
    }
}

#[tokio::test]
async fn writes_depend_on_what_is_there() {
    let (_cloud, s3, bucket) = cloud().await;
    let put = async |bytes: &'static str, condition: &Condition| {
        let put = s3.put(&bucket, "a", "text/plain", bytes, condition).await;
        put.expect("an answer")
    };
    let nothing = Condition::Unchanged(ETag("\"0\"".to_owned()));
    assert_eq!(put("0", &nothing).await, Put::Refused);
    let first = written(put("1", &Condition::Absent).await);
    assert_eq!(put("2", &Condition::Absent).await, Put::Refused);
    // As good as a lost answer: it is what we wanted to write.
    assert_eq!(
        put("1", &Condition::Absent).await,
        Put::Written(first.clone())
    );
    let second = written(put("2", &Condition::Unchanged(first.clone())).await);
    let stale = Condition::Unchanged(first.clone());
    assert_eq!(put("a longer one", &stale).await, Put::Refused);
    assert_eq!(put("3", &stale).await, Put::Refused);
    let third = written(put("3", &Condition::Always).await);
    assert!(first != second && second != third);
    let object = s3.get(&bucket, "a", 1).await.expect("read");
    let object = object.expect("there");
    assert_eq!((&object.bytes[..], &object.etag), (&b"3"[..], &third));
    assert!((OffsetDateTime::now_utc() - object.modified).abs() < time::Duration::hours(1));

    assert!(!s3.delete(&bucket, "a", &second).await.expect("an answer"));
    assert!(s3.delete(&bucket, "a", &third).await.expect("deleted"));
    assert!(s3.delete(&bucket, "a", &third).await.expect("gone"));
    assert_eq!(s3.get(&bucket, "a", 1).await.expect("an answer"), None);
}

#[tokio::test]
async fn what_is_removed_may_be_anything_or_nothing() {
    let (cloud, s3, bucket) = cloud().await;
    let put = s3.put(&bucket, "a", "text/plain", "1", &Condition::Always);
    written(put.await.expect("written"));
    cloud
        .fault(json!({"operation": "DeleteObject", "nth": 1, "action": "close-after"}))
        .await;
    s3.remove(&bucket, "a").await.expect("removed");
    s3.remove(&bucket, "a").await.expect("gone");
    assert_eq!(s3.get(&bucket, "a", 1).await.expect("an answer"), None);
    assert_eq!(cloud.calls("DeleteObject").await.len(), 3);
    let nowhere = BucketAddress {
        name: "nowhere".to_owned(),
        ..bucket
    };
    let error = s3.remove(&nowhere, "a").await.expect_err("no bucket");
    assert_eq!(error.code.as_deref(), Some("NoSuchBucket"));
}

#[tokio::test]
async fn writes_whose_answers_are_lost_are_done_once() {
    let (cloud, s3, bucket) = cloud().await;
    let mut condition = Condition::Absent;
    for (bytes, action) in [
        ("1", json!("close-after")),
        ("2", json!("close-after")),
        ("3", json!("close-before")),
        (
            "4",
            json!({"error": {"status": 409, "code": "ConditionalRequestConflict"}}),
        ),
    ] {
        let before = cloud.calls("PutObject").await.len();
        cloud
            .fault(json!({"operation": "PutObject", "nth": 1, "action": action}))
            .await;
        let put = s3.put(&bucket, "a", "text/plain", bytes, &condition).await;
        condition = Condition::Unchanged(written(put.expect(bytes)));
        assert_eq!(cloud.calls("PutObject").await.len(), before + 2, "{bytes}");
        cloud.no_faults().await;
    }
    let etag = s3.get(&bucket, "a", 1).await.expect("read").expect("there");
    cloud
        .fault(json!({"operation": "DeleteObject", "nth": 1, "action": "close-after"}))
        .await;
    let deleted = s3.delete(&bucket, "a", &etag.etag).await;
    assert!(deleted.expect("deleted"));
}

#[tokio::test]
async fn objects_have_a_bound() {
    let (_cloud, s3, bucket) = cloud().await;
    let put = s3.put(&bucket, "a", "text/plain", "12345", &Condition::Always);
    written(put.await.expect("written"));
    assert!(s3.get(&bucket, "a", 5).await.expect("read").is_some());
    let error = s3.get(&bucket, "a", 4).await.expect_err("too large");
    let text = "s3:GetObject on s3://things/a in us-east-1 (account 111111111111): the object has \
                more than 4 bytes";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn all_pages_are_listed() {
    let (_cloud, s3, bucket) = cloud().await;
    let mut expected = Vec::new();
    let mut puts = tokio::task::JoinSet::new();
    // A page has a thousand.
    for number in 0..1001 {
        let key = format!("some/{number:04}");
        expected.push(key.clone());
        let (s3, bucket) = (s3.clone(), bucket.clone());
        puts.spawn(async move {
            let put = s3.put(&bucket, &key, "text/plain", key.clone(), &Condition::Absent);
            put.await.expect("written")
        });
        if number % 50 == 0 {
            while puts.join_next().await.is_some() {}
        }
    }
    puts.join_all().await;
    let put = s3.put(&bucket, "other", "text/plain", "", &Condition::Always);
    written(put.await.expect("written"));
    assert_eq!(s3.list(&bucket, "some/").await.expect("listed"), expected);
    assert_eq!(
        s3.list(&bucket, "none").await.expect("listed"),
        [""; 0].map(String::from)
    );
}

#[tokio::test]
async fn another_owner_is_refused() {
    let (_cloud, s3, bucket) = cloud().await;
    let theirs = BucketAddress {
        owner: Some("222222222222".parse().expect("an account")),
        ..bucket.clone()
    };
    let error = s3.get(&theirs, "a", 1).await.expect_err("refused");
    assert_eq!(error.kind, Kind::Denied);
    let put = s3.put(&theirs, "a", "text/plain", "1", &Condition::Always);
    assert_eq!(put.await.expect_err("refused").kind, Kind::Denied);
    let seen = s3.head_bucket(&theirs).await.expect("an answer");
    assert_eq!(seen, BucketSeen::Denied);
    let seen = s3.head_bucket(&bucket).await.expect("an answer");
    assert_eq!(seen, BucketSeen::Here);
}

#[tokio::test]
async fn a_bucket_is_described() {
    let (cloud, s3, bucket) = cloud().await;
    let mut expected = BucketFacts {
        versioning: Some(false),
        public_access_blocked: Some(true),
        encryption: Some(Encryption {
            algorithm: "AES256".to_owned(),
            key: None,
        }),
    };
    let facts = s3.describe_bucket(&bucket).await.expect("described");
    assert_eq!(facts, expected);
    cloud
        .fault(json!({"operation": "GetBucketVersioning", "action": "deny"}))
        .await;
    expected.versioning = None;
    let facts = s3.describe_bucket(&bucket).await.expect("described");
    assert_eq!(facts, expected);
}

#[test]
fn what_head_bucket_says() {
    let abroad = || Some(region(ABROAD));
    for (status, said, expected) in [
        (404, None, Some(BucketSeen::Missing)),
        (301, abroad(), Some(BucketSeen::Elsewhere(abroad()))),
        (301, None, Some(BucketSeen::Elsewhere(None))),
        (400, abroad(), Some(BucketSeen::Elsewhere(abroad()))),
        (400, None, None),
        (403, abroad(), Some(BucketSeen::Elsewhere(abroad()))),
        (403, Some(region(HOME)), Some(BucketSeen::Denied)),
        (403, None, Some(BucketSeen::Denied)),
        (500, None, None),
    ] {
        let found = seen(&region(HOME), status, said.clone());
        assert_eq!(found, expected, "{status} {said:?}");
    }
}
