use serde_json::json;

use super::*;
use crate::aws::testing::{Cloud, HOME, region};

const HOUR: Duration = Duration::from_secs(3600);

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

#[tokio::test]
async fn a_url_is_all_that_is_needed() {
    let (cloud, s3, bucket) = cloud().await;
    let key = "jobs/1/a b+c.json";
    let put = s3.presigned_put(&bucket, key, HOUR).await.expect("a URL");
    let get = s3.presigned_get(&bucket, key, HOUR).await.expect("a URL");
    for url in [&put, &get] {
        assert!(url.contains("X-Amz-SignedHeaders=host&"), "{url}");
        assert!(url.contains("X-Amz-Expires=3600"), "{url}");
        assert!(!url.to_lowercase().contains("checksum"), "{url}");
    }
    assert_eq!(cloud.http("GET", &get, b"").await.0, 404);
    assert_eq!(s3.seen(&bucket, key).await.expect("an answer"), None);
    assert_eq!(cloud.http("PUT", &put, b"a job").await.0, 200);
    let seen = async || s3.seen(&bucket, key).await.expect("an answer");
    // Whoever uses a URL gives S3 no SHA-256.
    let of = |size| ObjectSeen { size, sha256: None };
    assert_eq!(seen().await, Some(of(5)));
    assert_eq!(cloud.http("GET", &get, b"").await, (200, b"a job".to_vec()));
    // Until it expires it may be used again.
    assert_eq!(cloud.http("PUT", &put, b"another").await.0, 200);
    assert_eq!(seen().await, Some(of(7)));
}

#[tokio::test]
async fn a_url_does_one_thing_with_one_object() {
    let (cloud, s3, bucket) = cloud().await;
    let put = s3.presigned_put(&bucket, "a", HOUR).await.expect("a URL");
    let get = s3.presigned_get(&bucket, "a", HOUR).await.expect("a URL");
    assert_eq!(cloud.http("PUT", &put, b"1").await.0, 200);
    let forged = |url: &str| {
        let (url, last) = url.split_at(url.len() - 1);
        format!("{url}{}", if last == "0" { "1" } else { "0" })
    };
    for (method, url) in [
        ("GET", &put),
        ("PUT", &get),
        ("DELETE", &put),
        ("PUT", &put.replace("/a?", "/b?")),
        ("PUT", &put.replace("Expires=3600", "Expires=7200")),
        ("GET", &get.replace("/a?", "/b?")),
        ("GET", &forged(&get)),
        ("PUT", &forged(&put)),
    ] {
        assert_eq!(cloud.http(method, url, b"2").await.0, 403, "{method} {url}");
    }
    assert_eq!(cloud.http("GET", &get, b"").await, (200, b"1".to_vec()));
    assert_eq!(s3.list(&bucket, "").await.expect("a list"), ["a"]);
}

#[tokio::test]
async fn a_url_leads_to_another_endpoint() {
    let (cloud, s3, bucket) = cloud().await;
    for (endpoint, begins) in [
        (
            "http://169.254.169.200:4566",
            "http://169.254.169.200:4566/things/a?",
        ),
        (
            "https://bucket.vpce-1a2b-5e6f.s3.us-east-1.vpce.amazonaws.com",
            "https://things.bucket.vpce-1a2b-5e6f.s3.us-east-1.vpce.amazonaws.com/a?",
        ),
    ] {
        let there = s3.at(endpoint);
        let put = there.presigned_put(&bucket, "a", HOUR).await;
        let get = there.presigned_get(&bucket, "a", HOUR).await;
        let (put, get) = (put.expect("a URL"), get.expect("a URL"));
        for url in [&put, &get] {
            assert!(url.starts_with(begins), "{url}");
            assert!(url.contains("X-Amz-SignedHeaders=host&"), "{url}");
        }
        let content = endpoint.as_bytes();
        assert_eq!(cloud.http_as_named("PUT", &put, content).await.0, 200);
        let read = cloud.http_as_named("GET", &get, b"").await;
        assert_eq!(read, (200, content.to_vec()));
        // The host is signed: the same at the sandbox's own address is forged.
        let (_, query) = get.split_once('?').expect("a query");
        let forged = format!("{}/things/a?{query}", cloud.endpoint());
        assert_eq!(cloud.http("GET", &forged, b"").await.0, 403, "{forged}");
        // Calls go where they went.
        let seen = there.seen(&bucket, "a").await.expect("an answer");
        assert_eq!(seen.map(|seen| seen.size), Some(content.len() as u64));
    }
    for endpoint in ["no endpoint", "169.254.169.200:4566", "s3://things", ""] {
        let url = s3.at(endpoint).presigned_get(&bucket, "a", HOUR).await;
        assert_eq!(url.expect_err(endpoint).kind, Kind::Invalid);
    }
}

#[tokio::test]
async fn what_is_seen_of_an_object() {
    use crate::aws::s3::Condition;
    let (cloud, s3, bucket) = cloud().await;
    let content = "some content";
    let put = s3.put(&bucket, "a", "text/plain", content, &Condition::Always);
    put.await.expect("written");
    let seen = s3.seen(&bucket, "a").await.expect("an answer");
    let expected = ObjectSeen {
        size: 12,
        sha256: Some(digest::sha256(content.as_bytes())),
    };
    assert_eq!(seen, Some(expected));
    let rule = json!({"operation": "HeadObject", "nth": 1, "action": "deny"});
    cloud.fault(rule).await;
    let error = s3.seen(&bucket, "a").await.expect_err("refused");
    assert_eq!(error.kind, Kind::Denied);
}

#[test]
fn only_of_a_whole_object_a_sha256_is_its_own() {
    let digest = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let parts = format!("{digest}-2");
    for (said, kind, expected) in [
        (Some(digest), Some(ChecksumType::FullObject), Some(hex)),
        (Some(digest), None, Some(hex)),
        (Some(digest), Some(ChecksumType::Composite), None),
        (Some(digest), Some(ChecksumType::from("NEW")), None),
        (Some(&parts), None, None),
        (Some("AAAA"), None, None),
        (None, Some(ChecksumType::FullObject), None),
    ] {
        let found = whole_sha256(said, kind.as_ref());
        assert_eq!(found.as_deref(), expected, "{said:?} {kind:?}");
    }
}

#[tokio::test]
async fn a_url_is_good_for_a_week_at_most() {
    let (_cloud, s3, bucket) = cloud().await;
    let week = 7 * 24 * HOUR;
    s3.presigned_get(&bucket, "a", week).await.expect("a URL");
    let error = s3.presigned_get(&bucket, "a", week + HOUR).await;
    assert_eq!(error.expect_err("too long").kind, Kind::Invalid);
}

#[tokio::test]
async fn a_file_is_uploaded() {
    let (cloud, s3, bucket) = cloud().await;
    let file = cloud.folder().join("image");
    std::fs::write(&file, vec![7; 3 << 20]).expect("a file");
    let rule = json!({"operation": "PutObject", "nth": 1, "action": "close-after"});
    cloud.fault(rule).await;
    let kind = "application/octet-stream";
    let etag = s3.upload(&bucket, "image", kind, &file).await;
    let object = s3.get(&bucket, "image", 4 << 20).await.expect("an answer");
    let object = object.expect("an object");
    assert_eq!(object.etag, etag.expect("written"));
    assert!(object.bytes.len() == 3 << 20 && object.bytes.iter().all(|byte| *byte == 7));
    let seen = s3.seen(&bucket, "image").await.expect("an answer");
    let expected = ObjectSeen {
        size: 3 << 20,
        sha256: Some(digest::sha256(&object.bytes)),
    };
    assert_eq!(seen, Some(expected));
    assert_eq!(cloud.calls("PutObject").await.len(), 2);

    let missing = cloud.folder().join("missing");
    let error = s3.upload(&bucket, "image", kind, &missing).await;
    let error = error.expect_err("no file").to_string();
    assert!(
        error.contains("cannot read ") && error.contains("missing"),
        "{error}"
    );
}
