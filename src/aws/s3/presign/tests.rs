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
    assert_eq!(s3.head(&bucket, key).await.expect("an answer"), None);
    assert_eq!(cloud.http("PUT", &put, b"a job").await.0, 200);
    assert_eq!(s3.head(&bucket, key).await.expect("an answer"), Some(5));
    assert_eq!(cloud.http("GET", &get, b"").await, (200, b"a job".to_vec()));
    // Until it expires it may be used again.
    assert_eq!(cloud.http("PUT", &put, b"another").await.0, 200);
    assert_eq!(s3.head(&bucket, key).await.expect("an answer"), Some(7));
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
    let length = s3.head(&bucket, "image").await.expect("an answer");
    assert_eq!(length, Some(3 << 20));
    assert_eq!(cloud.calls("PutObject").await.len(), 2);

    let missing = cloud.folder().join("missing");
    let error = s3.upload(&bucket, "image", kind, &missing).await;
    let error = error.expect_err("no file").to_string();
    assert!(
        error.contains("cannot read ") && error.contains("missing"),
        "{error}"
    );
}
