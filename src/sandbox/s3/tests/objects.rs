//! Objects: writing, reading, copying, tags, checksums.

use std::sync::Arc;
use std::time::SystemTime;

use super::client::{Client, with_bucket};
use crate::sandbox::s3::model::{Bucket, Versioning};

#[test]
fn what_is_written_is_read() {
    let (_bed, client) = with_bucket();
    let headers = [
        ("content-type", "text/plain"),
        ("cache-control", "no-store"),
        ("x-amz-meta-one", "eins"),
        ("x-amz-tagging", "a=b&c=d"),
        ("x-amz-storage-class", "STANDARD_IA"),
    ];
    let put = client.send("PUT", "/bucket/dir/a%20b", &headers, b"0123456789");
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(put.header("etag"), "\"781e5e245d69b566979b86e28d23f2c7\"");
    assert_eq!(put.header("x-amz-server-side-encryption"), "AES256");
    assert_eq!(put.header("x-amz-checksum-crc64nvme").len(), 12);
    let get = client.get("/bucket/dir/a%20b");
    assert_eq!(get.text(), "0123456789");
    for (name, value) in [
        ("content-type", "text/plain"),
        ("cache-control", "no-store"),
        ("x-amz-meta-one", "eins"),
        ("x-amz-tagging-count", "2"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("content-length", "10"),
        ("x-amz-version-id", ""),
    ] {
        assert_eq!(get.header(name), value, "{name}");
    }
    let head = client.send(
        "HEAD",
        "/bucket/dir/a%20b",
        &[("x-amz-checksum-mode", "ENABLED")],
        b"",
    );
    assert_eq!(head.header("content-length"), "10");
    assert_eq!(head.header("x-amz-checksum-type"), "FULL_OBJECT");
    let overridden = client.get("/bucket/dir/a%20b?response-content-type=text%2Fx");
    assert_eq!(overridden.header("content-type"), "text/x");
    client.must("PUT", "/bucket/empty", "");
    assert_eq!(client.get("/bucket/empty").text(), "");
}

#[test]
fn ranges() {
    let (_bed, client) = with_bucket();
    client.must("PUT", "/bucket/a", "0123456789");
    client.must("PUT", "/bucket/empty", "");
    for (path, range, expected, text) in [
        ("/bucket/a", "bytes=0-3", "206", "0123"),
        ("/bucket/a", "bytes=8-", "206", "89"),
        ("/bucket/a", "bytes=-2", "206", "89"),
        ("/bucket/a", "bytes=-20", "206", "0123456789"),
        ("/bucket/a", "bytes=5-100", "206", "56789"),
        ("/bucket/a", "bytes=10-", "416 InvalidRange", ""),
        ("/bucket/empty", "bytes=0-", "416 InvalidRange", ""),
    ] {
        let reply = client.send("GET", path, &[("range", range)], b"");
        assert_eq!(reply.outcome(), expected, "{path} {range}");
        if reply.status == 206 {
            assert_eq!(reply.text(), text, "{range}");
        }
    }
    let head = client.send("HEAD", "/bucket/a", &[("range", "bytes=2-4")], b"");
    assert_eq!((head.status, head.header("content-length")), (206, "3"));
    assert_eq!(head.header("content-range"), "bytes 2-4/10");
    assert_eq!(client.get("/bucket/a?partNumber=1").text(), "0123456789");
    assert_eq!(
        client.get("/bucket/a?partNumber=2").outcome(),
        "416 InvalidPartNumber"
    );
}

#[test]
fn what_is_refused() {
    let (_bed, client) = with_bucket();
    let long_metadata = "x".repeat(2100);
    let many_tags: String = (0..11).map(|n| format!("k{n}=v&")).collect();
    for (name, value, expected) in [
        ("content-md5", "x", "400 InvalidDigest"),
        ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==", "400 BadDigest"),
        ("x-amz-checksum-crc32", "AAAAAA==", "400 BadDigest"),
        ("x-amz-checksum-sha256", "AAAA", "400 InvalidRequest"),
        (
            "x-amz-sdk-checksum-algorithm",
            "CRC32",
            "400 InvalidRequest",
        ),
        (
            "x-amz-acl",
            "public-read",
            "400 AccessControlListNotSupported",
        ),
        (
            "x-amz-grant-read",
            "id=1",
            "400 AccessControlListNotSupported",
        ),
        ("x-amz-meta-a", &*long_metadata, "400 MetadataTooLarge"),
        ("x-amz-tagging", "a=b&a=c", "400 InvalidArgument"),
        ("x-amz-tagging", &*many_tags, "400 BadRequest"),
        ("x-amz-storage-class", "COLD", "400 InvalidStorageClass"),
        (
            "x-amz-server-side-encryption",
            "ROT13",
            "400 InvalidArgument",
        ),
        (
            "x-amz-server-side-encryption-aws-kms-key-id",
            "alias/x",
            "400 InvalidArgument",
        ),
        ("x-amz-object-lock-legal-hold", "ON", "400 InvalidRequest"),
        (
            "x-amz-server-side-encryption-customer-algorithm",
            "AES256",
            "501 NotImplemented",
        ),
    ] {
        let reply = client.send("PUT", "/bucket/a", &[(name, value)], b"data");
        assert_eq!(
            reply.outcome(),
            expected,
            "{name}: {value}: {}",
            reply.text()
        );
    }
    let two = [
        ("x-amz-checksum-crc32", "rfPzYw=="),
        ("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ];
    let reply = client.send("PUT", "/bucket/a", &two, b"data");
    assert_eq!(reply.outcome(), "400 InvalidRequest");
    let kms = [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "alias/none"),
    ];
    let reply = client.send("PUT", "/bucket/a", &kms, b"data");
    assert_eq!(reply.outcome(), "400 KMS.NotFoundException");
    let key = format!("/bucket/{}", "k".repeat(1025));
    assert_eq!(client.put(&key, b"").outcome(), "400 KeyTooLongError");
    assert_eq!(client.get("/bucket/a").outcome(), "404 NoSuchKey");
    assert_eq!(client.get("/none/a").outcome(), "404 NoSuchBucket");
    client.must("PUT", "/bucket/cold", "x");
    let cold = [("x-amz-storage-class", "GLACIER")];
    client.send("PUT", "/bucket/cold", &cold, b"data");
    assert_eq!(
        client.get("/bucket/cold").outcome(),
        "403 InvalidObjectState"
    );
}

#[test]
fn checksums() {
    let (_bed, client) = with_bucket();
    // Of `123456789`, as the check values of the CRCs have it, and sha1sum and sha256sum.
    for (header, value) in [
        ("x-amz-checksum-crc32", "y/Q5Jg=="),
        ("x-amz-checksum-crc32c", "4waSgw=="),
        ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
        ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
        (
            "x-amz-checksum-sha256",
            "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
        ),
    ] {
        let reply = client.send("PUT", "/bucket/a", &[(header, value)], b"123456789");
        assert_eq!(reply.outcome(), "200", "{header}: {}", reply.text());
        let plain = client.get("/bucket/a");
        assert_eq!(plain.header(header), "", "not unless asked for");
        let asked = client.send(
            "GET",
            "/bucket/a",
            &[("x-amz-checksum-mode", "ENABLED")],
            b"",
        );
        assert_eq!(asked.header(header), value);
    }
}

#[test]
fn copies() {
    let (_bed, client) = with_bucket();
    let headers = [("x-amz-meta-a", "b"), ("x-amz-tagging", "k=v")];
    client.send("PUT", "/bucket/a", &headers, b"data");
    let source = ("x-amz-copy-source", "/bucket/a");
    for (headers, expected) in [
        (vec![source], "200"),
        (vec![("x-amz-copy-source", "bucket/none")], "404 NoSuchKey"),
        (vec![("x-amz-copy-source", "none/a")], "404 NoSuchBucket"),
        (
            vec![source, ("x-amz-copy-source-if-match", "\"x\"")],
            "412 PreconditionFailed",
        ),
        (
            vec![source, ("x-amz-copy-source-if-none-match", "*")],
            "412 PreconditionFailed",
        ),
        (
            vec![source, ("if-none-match", "*")],
            "412 PreconditionFailed",
        ),
        (
            vec![source, ("x-amz-metadata-directive", "MERGE")],
            "400 InvalidArgument",
        ),
    ] {
        let reply = client.send("PUT", "/bucket/b", &headers, b"");
        assert_eq!(reply.outcome(), expected, "{headers:?}: {}", reply.text());
    }
    let copy = client.get("/bucket/b");
    assert_eq!(
        (copy.text().as_str(), copy.header("x-amz-meta-a")),
        ("data", "b")
    );
    assert_eq!(copy.header("x-amz-tagging-count"), "1");
    let onto_itself = client.send("PUT", "/bucket/a", &[source], b"");
    assert_eq!(onto_itself.outcome(), "400 InvalidRequest");
    let replaced = [
        source,
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-tagging-directive", "REPLACE"),
        ("x-amz-meta-c", "d"),
    ];
    assert_eq!(client.send("PUT", "/bucket/a", &replaced, b"").status, 200);
    let changed = client.get("/bucket/a");
    assert_eq!(changed.header("x-amz-meta-a"), "");
    assert_eq!(changed.header("x-amz-meta-c"), "d");
    assert_eq!(changed.header("x-amz-tagging-count"), "");
}

#[test]
fn tags() {
    let (_bed, client) = with_bucket();
    client.must("PUT", "/bucket/a", "data");
    let set = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
    assert_eq!(client.put("/bucket/a?tagging", set.as_bytes()).status, 200);
    assert_eq!(client.get("/bucket/a?tagging").elements("Key"), ["k"]);
    assert_eq!(
        client.send("DELETE", "/bucket/a?tagging", &[], b"").status,
        204
    );
    assert_eq!(client.get("/bucket/a?tagging").elements("Key").len(), 0);
    assert_eq!(
        client.put("/bucket/b?tagging", set.as_bytes()).outcome(),
        "404 NoSuchKey"
    );
    assert_eq!(
        client.put("/bucket/a?tagging", b"<Tagging>").outcome(),
        "400 MalformedXML"
    );
}

#[test]
fn attributes() {
    let (_bed, client) = with_bucket();
    client.must("PUT", "/bucket/a", "data");
    let ask = |names| {
        let headers = [("x-amz-object-attributes", names)];
        client.send("GET", "/bucket/a?attributes", &headers, b"")
    };
    let reply = ask("ETag,ObjectSize,Checksum");
    assert_eq!(reply.element("ObjectSize"), "4");
    assert_eq!(reply.element("ETag"), "8d777f385d3dfec8815d20f7496026dc");
    assert_eq!(reply.element("ChecksumType"), "FULL_OBJECT");
    assert_eq!(ask("ObjectSize,Colour").outcome(), "400 InvalidArgument");
}

#[test]
fn encryption_keys_are_enforced() {
    let (bed, client) = with_bucket();
    let kms = crate::sandbox::service::Service::Kms;
    let made = bed
        .json(
            kms,
            "publisher",
            "us-east-1",
            "CreateKey",
            serde_json::json!({}),
        )
        .expect("a key");
    let arn = made["KeyMetadata"]["Arn"]
        .as_str()
        .expect("an ARN")
        .to_owned();
    let headers = [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", &*arn),
    ];
    let put = client.send("PUT", "/bucket/a", &headers, b"data");
    assert_eq!(put.outcome(), "200", "{}", put.text());
    assert_eq!(
        put.header("x-amz-server-side-encryption-aws-kms-key-id"),
        arn
    );
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Principal":{"AWS":"222222222222"},"Action":["s3:GetObject","s3:PutObject"],
        "Resource":"arn:aws:s3:::bucket/*"}]}"#;
    client.must("PUT", "/bucket?policy", policy);
    client.must("PUT", "/bucket/plain", "data");
    let customer = Client::new(&bed, "customer");
    assert_eq!(customer.get("/bucket/plain").status, 200);
    assert_eq!(customer.get("/bucket/a").outcome(), "403 AccessDenied");
    assert_eq!(
        customer.send("PUT", "/bucket/b", &headers, b"x").outcome(),
        "403 AccessDenied"
    );
    // Of the key, writing needs GenerateDataKey, and reading and uploads in parts need Decrypt.
    let of_key = |actions: &[&str]| {
        let statement = |account: &str, actions: &[&str]| {
            serde_json::json!({
                "Effect": "Allow", "Principal": { "AWS": account }, "Action": actions,
                "Resource": "*",
            })
        };
        let mut statements = vec![statement("111111111111", &["kms:*"])];
        statements.push(statement("222222222222", actions));
        let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": statements });
        let body = serde_json::json!({ "KeyId": arn, "Policy": policy.to_string() });
        bed.json(kms, "publisher", "us-east-1", "PutKeyPolicy", body)
            .expect("a policy");
        let put = customer.send("PUT", "/bucket/b", &headers, b"x").status;
        let upload = customer
            .send("POST", "/bucket/b?uploads", &headers, b"")
            .status;
        (put, customer.get("/bucket/a").status, upload)
    };
    assert_eq!(of_key(&["kms:GenerateDataKey"]), (200, 403, 403));
    assert_eq!(of_key(&["kms:Decrypt"]), (403, 200, 403));
    let both = ["kms:GenerateDataKey", "kms:Decrypt"];
    assert_eq!(of_key(&both), (200, 200, 200));
    // The account's own key aws/s3 cannot be shared at all.
    client.send("PUT", "/bucket/c", &headers[..1], b"data");
    assert_eq!(client.get("/bucket/c").status, 200);
    assert_eq!(customer.get("/bucket/c").outcome(), "403 AccessDenied");
    assert_eq!(
        Client::anonymous(&bed).get("/bucket/c").outcome(),
        "403 AccessDenied"
    );
    bed.json(
        kms,
        "publisher",
        "us-east-1",
        "DisableKey",
        serde_json::json!({ "KeyId": arn }),
    )
    .expect("disabled");
    assert_eq!(
        client.get("/bucket/a").outcome(),
        "400 KMS.DisabledException"
    );
}

#[test]
fn checksums_behind_the_data() {
    let (_bed, client) = with_bucket();
    let headers = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "9"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("content-encoding", "aws-chunked"),
    ];
    let chunked = |trailer: &str| format!("9\r\n123456789\r\n0\r\n{trailer}\r\n");
    for (body, expected) in [
        (chunked("x-amz-checksum-crc32:y/Q5Jg==\r\n"), "200"),
        (
            chunked("x-amz-checksum-crc32:AAAAAA==\r\n"),
            "400 BadDigest",
        ),
        (chunked(""), "400 MalformedTrailerError"),
        ("9\r\n1234".to_owned(), "400 IncompleteBody"),
        ("nonsense\r\n".to_owned(), "400 InvalidRequest"),
    ] {
        let reply = client.send("PUT", "/bucket/a", &headers, body.as_bytes());
        assert_eq!(reply.outcome(), expected, "{body:?}: {}", reply.text());
    }
    let get = client.get("/bucket/a");
    assert_eq!(get.text(), "123456789");
    assert_eq!(
        get.header("content-encoding"),
        "",
        "it was of the transfer only"
    );
}

/// A body of one frame; something happens before it comes.
struct Late<F> {
    before: Option<F>,
    data: Option<&'static [u8]>,
}

impl<F: FnOnce() + Unpin> hyper::body::Body for Late<F> {
    type Data = hyper::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        if let Some(before) = self.before.take() {
            before();
        }
        let data = self.data.take().map(hyper::body::Bytes::from_static);
        std::task::Poll::Ready(data.map(|data| Ok(hyper::body::Frame::data(data))))
    }
}

#[test]
fn a_bucket_that_is_made_anew_while_data_comes() {
    let (bed, client) = with_bucket();
    let customer = bed.caller("customer").account;
    let put = |change: Box<dyn FnOnce(&mut Bucket) + Send + Sync>| {
        let shared = Arc::clone(&client.shared);
        let before = move || {
            let changed = shared.transact(|world| {
                change(world.s3.buckets.get_mut("bucket").expect("a bucket"));
                Ok(())
            });
            changed.expect("changed");
        };
        let uri = client.presign("PUT", "/bucket/a", SystemTime::now(), 60);
        let request = hyper::Request::builder()
            .method("PUT")
            .uri(uri)
            .header("host", "127.0.0.1")
            .header("content-length", 4);
        let body = Late {
            before: Some(before),
            data: Some(b"data"),
        };
        client
            .exchange(request, s3s::Body::http_body(body))
            .outcome()
    };
    let same = put(Box::new(|bucket| bucket.versioning = Versioning::Suspended));
    assert_eq!(same, "200", "the same bucket, however it has changed");
    let later = put(Box::new(|bucket| bucket.created.0 += 1));
    assert_eq!(later, "404 NoSuchBucket");
    let others = put(Box::new(move |bucket| bucket.account = customer));
    assert_eq!(others, "404 NoSuchBucket");
}
