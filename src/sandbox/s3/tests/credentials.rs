//! Signatures, tokens, expiry: what s3s checks, and what the gate adds.

use std::time::{Duration, SystemTime};

use super::client::{Client, key, with_bucket};
use crate::sandbox::caller::AccessKey;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::sigv4::signer::{Unsigned, signed};

fn ago(seconds: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(seconds)
}

#[test]
fn presigned() {
    let (bed, client) = with_bucket();
    client.must("PUT", "/bucket/a", "data");
    let now = SystemTime::now();
    let nobody = Client::anonymous(&bed);
    let good = client.presign("GET", "/bucket/a", now, 60);
    let reply = nobody.raw("GET", &good, &[], b"");
    assert_eq!((reply.status, reply.text().as_str()), (200, "data"));
    let put = client.presign("PUT", "/bucket/b", now, 60);
    assert_eq!(nobody.raw("PUT", &put, &[], b"more").status, 200);
    assert_eq!(client.get("/bucket/b").text(), "more");

    let extra = [("x-amz-acl".to_owned(), "private".to_owned())];
    for (method, uri, headers, expected) in [
        ("PUT", good.clone(), &[][..], "403 SignatureDoesNotMatch"),
        (
            "GET",
            good.replace("/a?", "/b?"),
            &[],
            "403 SignatureDoesNotMatch",
        ),
        (
            "GET",
            format!("{good}&versionId=null"),
            &[],
            "403 SignatureDoesNotMatch",
        ),
        ("GET", good.clone(), &extra, "403 AccessDenied"),
        (
            "GET",
            good.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
            &[],
            "403 SignatureDoesNotMatch",
        ),
        (
            "GET",
            good.replace("X-Amz-Expires=60", "Foo=60"),
            &[],
            "400 AuthorizationQueryParametersError",
        ),
        (
            "GET",
            client.presign("GET", "/bucket/a", now, 604_801),
            &[],
            "400 AuthorizationQueryParametersError",
        ),
        (
            "GET",
            client.presign("GET", "/bucket/a", ago(61), 60),
            &[],
            "403 AccessDenied",
        ),
        (
            "GET",
            client.presign("GET", "/bucket/a", now + Duration::from_secs(3600), 60),
            &[],
            "403 RequestTimeTooSkewed",
        ),
        (
            "GET",
            format!("{good}&AWSAccessKeyId=x&Signature=x&Expires=1"),
            &[],
            "400 InvalidArgument",
        ),
    ] {
        let reply = nobody.raw(method, &uri, headers, b"");
        assert_eq!(
            reply.outcome(),
            expected,
            "{method} {uri}: {}",
            reply.text()
        );
    }
    let late = client.presign("GET", "/bucket/a", ago(61), 60);
    let reply = nobody.raw("GET", &late, &[], b"");
    assert_eq!(reply.element("Message"), "Request has expired");
}

fn header_signed(client: &Client, time: SystemTime, hash: &str) -> Vec<(String, String)> {
    let request = Unsigned {
        method: "PUT",
        uri: "http://127.0.0.1/bucket/a".to_owned(),
        headers: vec![("x-amz-content-sha256", hash)],
        body: b"data",
        service: "s3",
        region: client.region,
        time,
        presigned: None,
        unsigned_payload: hash == "UNSIGNED-PAYLOAD",
    };
    signed(&request, client.key.as_ref().expect("a key")).1
}

#[test]
fn in_headers() {
    let (_bed, client) = with_bucket();
    let now = SystemTime::now();
    let hash = crate::digest::sha256(b"data");
    let hash = hash.as_str();
    let unsigned = "UNSIGNED-PAYLOAD";
    let outcome = |headers: Vec<(String, String)>, body: &[u8]| {
        client.raw("PUT", "/bucket/a", &headers, body).outcome()
    };
    let with = |name: &str, value: &str| {
        let mut headers = header_signed(&client, now, unsigned);
        headers.push((name.to_owned(), value.to_owned()));
        headers
    };
    assert_eq!(outcome(header_signed(&client, now, hash), b"data"), "200");
    assert_eq!(
        outcome(header_signed(&client, now, unsigned), b"else"),
        "200"
    );
    assert_eq!(
        outcome(header_signed(&client, now, hash), b"atad"),
        "400 XAmzContentSHA256Mismatch"
    );
    assert_eq!(
        outcome(header_signed(&client, ago(16 * 60), hash), b"data"),
        "403 RequestTimeTooSkewed"
    );
    assert_eq!(
        outcome(with("x-amz-meta-a", "b"), b"data"),
        "403 AccessDenied"
    );
    assert_eq!(
        outcome(with("content-type", "multipart/form-data; boundary=x"), b""),
        "501 NotImplemented"
    );
    let basic = vec![("authorization".to_owned(), "AWS key:signature".to_owned())];
    assert_eq!(outcome(basic, b""), "400 InvalidRequest");
    let mut wrong = client.clone();
    wrong.key.as_mut().expect("a key").secret.push('x');
    assert_eq!(
        wrong.put("/bucket/a", b"").outcome(),
        "403 SignatureDoesNotMatch"
    );
    wrong.key.as_mut().expect("a key").id = "AKIANOBODY".to_owned();
    assert_eq!(
        wrong.put("/bucket/a", b"").outcome(),
        "403 InvalidAccessKeyId"
    );
}

#[test]
fn documents() {
    let (_bed, client) = with_bucket();
    let body = "<Delete><Object><Key>a</Key></Object></Delete>";
    let other = crate::digest::sha256(b"other");
    let other = other.as_str();
    for (headers, expected) in [
        (vec![], "400 InvalidRequest"),
        (vec![("content-md5", "x")], "400 InvalidDigest"),
        (
            vec![("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")],
            "400 BadDigest",
        ),
        (vec![("x-amz-checksum-crc32", "AAAAAA==")], "400 BadDigest"),
        (vec![("x-amz-checksum-crc32", "AAAA")], "400 InvalidRequest"),
        (
            vec![
                ("content-md5", "YqVbi6MgTmEYSpvdLBVuyg=="),
                ("x-amz-content-sha256", other),
            ],
            "400 XAmzContentSHA256Mismatch",
        ),
    ] {
        let reply = client.send("POST", "/bucket?delete", &headers, body.as_bytes());
        assert_eq!(reply.outcome(), expected, "{headers:?}: {}", reply.text());
    }
    let large = vec![b' '; 5 << 20];
    let reply = client.send("PUT", "/bucket?policy", &[], &large);
    assert_eq!(reply.outcome(), "400 MaxMessageLengthExceeded");
}

#[test]
fn sessions() {
    let (bed, client) = with_bucket();
    let session = AccessKey {
        id: "ASIASESSION".to_owned(),
        session_token: Some("the-token".to_owned()),
        expires: Some(Timestamp(bed.shared.clock.now().0 + 3_600_000)),
        ..key(&bed, "publisher")
    };
    bed.shared
        .transact(|world| {
            world
                .access_keys
                .insert(session.id.clone(), session.clone());
            Ok(())
        })
        .expect("kept");
    let with_token = |token: Option<&str>| Client {
        key: Some(AccessKey {
            session_token: token.map(str::to_owned),
            ..session.clone()
        }),
        ..client.clone()
    };
    let good = with_token(Some("the-token"));
    let presigned = good.presign("GET", "/bucket", SystemTime::now(), 600);
    let nobody = Client::anonymous(&bed);
    assert_eq!(good.get("/bucket").status, 200);
    assert_eq!(nobody.raw("GET", &presigned, &[], b"").status, 200);
    assert_eq!(
        with_token(Some("other")).get("/bucket").outcome(),
        "400 InvalidToken"
    );
    assert_eq!(
        with_token(None).get("/bucket").outcome(),
        "403 InvalidAccessKeyId"
    );
    let mut plain = client.clone();
    plain.key.as_mut().expect("a key").session_token = Some("the-token".to_owned());
    assert_eq!(plain.get("/bucket").outcome(), "400 InvalidToken");
    bed.shared.clock.advance(Duration::from_secs(3601));
    assert_eq!(good.get("/bucket").outcome(), "400 ExpiredToken");
    assert_eq!(
        nobody.raw("GET", &presigned, &[], b"").outcome(),
        "400 ExpiredToken"
    );
}
