//! AWS's own vectors, an independent signer, and every part tampered with.

use std::time::{Duration, SystemTime};

use super::signer::{Unsigned, signed};
use super::*;
use crate::sandbox::testing::request;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const HOST: &str = "127.0.0.1:4566";

fn key() -> AccessKey {
    AccessKey {
        id: "AKIDEXAMPLE".to_owned(),
        secret: SECRET.to_owned(),
        session_token: None,
        expires: None,
        caller: Caller {
            account: "111111111111".parse().expect("an id"),
            arn: "arn:aws:iam::111111111111:user/admin".to_owned(),
            user_id: "AIDA".to_owned(),
            role: None,
        },
    }
}

fn session() -> AccessKey {
    AccessKey {
        session_token: Some("to/ken+==".to_owned()),
        expires: Some(Timestamp::real().plus(Duration::from_secs(60))),
        ..key()
    }
}

/// Whether a request of AWS's test suite holds; it may be of any date and of any service.
fn holds(text: &str) -> bool {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let line: Vec<&str> = lines.next().expect("a first line").split(' ').collect();
    let headers: Vec<(&str, &str)> = lines
        .map(|line| line.split_once(':').expect("a header"))
        .collect();
    let request = request(line[0], line[1], &headers, body.as_bytes());
    let presented = presented::read(&request).expect("a signature");
    check_signature(Service::Ec2, &presented, &request, SECRET).is_ok()
}

#[test]
fn vectors_of_aws() {
    let mut count = 0;
    for vector in include_str!("vectors.txt").split("\n== ").skip(1) {
        let (name, text) = vector.split_once('\n').expect("a name");
        let text = text.trim_end();
        assert!(holds(text), "{name}");
        assert!(
            !holds(&text.replace("us-east-1", "us-east-2")),
            "{name} for another Region"
        );
        count += 1;
    }
    assert!(count > 50, "{count} vectors");
}

/// A call of EC2, signed in the header.
fn call<'a>() -> Unsigned<'a> {
    Unsigned {
        method: "POST",
        uri: format!("http://{HOST}/"),
        headers: vec![
            ("host", HOST),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-amz-extra", "  two   words "),
        ],
        body: b"Action=DescribeImages&Version=2016-11-15",
        service: "ec2",
        region: "us-east-1",
        time: SystemTime::now(),
        presigned: None,
        unsigned_payload: false,
    }
}

fn presigned_call<'a>() -> Unsigned<'a> {
    Unsigned {
        method: "GET",
        uri: format!("http://{HOST}/?Action=DescribeImages&Version=2016-11-15&Owner.1=a%2Fb%20c"),
        headers: vec![("host", HOST)],
        body: b"",
        presigned: Some(Duration::from_secs(3600)),
        ..call()
    }
}

/// A request, signed, and what is done to it afterwards.
fn sent(unsigned: &Unsigned, key: &AccessKey, change: impl FnOnce(&mut Sent)) -> Request {
    let (uri, headers) = signed(unsigned, key);
    let mut sent = Sent {
        method: unsigned.method.to_owned(),
        path: uri
            .strip_prefix(&format!("http://{HOST}"))
            .expect("the host")
            .to_owned(),
        headers,
        body: unsigned.body.to_vec(),
    };
    change(&mut sent);
    let headers: Vec<(&str, &str)> = sent
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    request(&sent.method, &sent.path, &headers, &sent.body)
}

struct Sent {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Sent {
    fn replace(&mut self, header: &str, from: &str, to: &str) {
        let found = self.headers.iter_mut().find(|(name, _)| name == header);
        let (_, value) = found.unwrap_or_else(|| panic!("a header {header}"));
        assert!(value.contains(from), "{from} in {value}");
        *value = value.replace(from, to);
    }

    fn remove(&mut self, header: &str) {
        let before = self.headers.len();
        self.headers.retain(|(name, _)| name != header);
        assert!(self.headers.len() < before, "a header {header}");
    }

    fn add(&mut self, header: &str, value: &str) {
        self.headers.push((header.to_owned(), value.to_owned()));
    }

    fn query(&mut self, from: &str, to: &str) {
        assert!(self.path.contains(from), "{from} in {}", self.path);
        self.path = self.path.replace(from, to);
    }
}

fn now() -> Times {
    Times {
        real: Timestamp::real(),
        sandbox: Timestamp::real(),
    }
}

fn check(
    service: Service,
    request: &Request,
    key: &AccessKey,
) -> Result<(Region, Caller), Refusal> {
    verify(service, request, now(), |id| {
        (id == key.id).then(|| key.clone())
    })
}

#[test]
fn what_the_crate_signs_holds() {
    let ebs = Unsigned {
        method: "PUT",
        uri: format!("http://{HOST}/snapshots/snap-1/blocks/3?a=b&a=%20&Z"),
        body: b"block",
        service: "ebs",
        headers: vec![("host", HOST)],
        ..call()
    };
    let cases = [
        (Service::Ec2, call()),
        (Service::Ec2, presigned_call()),
        (
            Service::Ebs,
            Unsigned {
                uri: format!("http://{HOST}/a//b/../c%20d/%C3%A9/"),
                ..ebs.clone()
            },
        ),
        (
            Service::Ebs,
            Unsigned {
                unsigned_payload: true,
                ..ebs.clone()
            },
        ),
        (Service::Ebs, ebs),
        (
            Service::Kms,
            Unsigned {
                service: "kms",
                region: "eu-central-1",
                ..call()
            },
        ),
    ];
    for (service, unsigned) in cases {
        for key in [key(), session()] {
            let request = sent(&unsigned, &key, |_| {});
            let (region, caller) = check(service, &request, &key)
                .unwrap_or_else(|refusal| panic!("{refusal:?} for {unsigned:?}"));
            assert_eq!(region.as_str(), unsigned.region);
            assert_eq!(caller, key.caller);
        }
    }
}

#[test]
fn a_tampered_call_is_refused() {
    type Change = fn(&mut Sent);
    let mismatch = "SignatureDoesNotMatch";
    let incomplete = "IncompleteSignature";
    let cases: &[(&str, Change, &str)] = &[
        ("method", |sent| sent.method = "GET".to_owned(), mismatch),
        ("path", |sent| sent.path = "/a".to_owned(), mismatch),
        ("query", |sent| sent.path = "/?a=b".to_owned(), mismatch),
        ("body", |sent| sent.body.push(b'x'), mismatch),
        (
            "host",
            |sent| sent.replace("host", "4566", "4567"),
            mismatch,
        ),
        (
            "header",
            |sent| sent.replace("x-amz-extra", "two", "2"),
            mismatch,
        ),
        (
            "a signed header gone",
            |sent| sent.remove("content-type"),
            mismatch,
        ),
        (
            "one more value",
            |sent| sent.add("content-type", "a"),
            mismatch,
        ),
        (
            "a header of AWS's unsigned",
            |sent| sent.add("x-amz-new", "a"),
            mismatch,
        ),
        (
            "host unsigned",
            |sent| sent.replace("authorization", "host;", ""),
            mismatch,
        ),
        (
            "signature",
            |sent| {
                let (_, header) = sent.headers.last_mut().expect("a header");
                let last = if header.ends_with('0') { '1' } else { '0' };
                header.pop();
                header.push(last);
            },
            mismatch,
        ),
        (
            "a short signature",
            |sent| sent.headers.last_mut().expect("a header").1.truncate(150),
            mismatch,
        ),
        (
            "the Region",
            |sent| sent.replace("authorization", "us-east-1", "us-west-2"),
            mismatch,
        ),
        (
            "the service",
            |sent| sent.replace("authorization", "/ec2/", "/ebs/"),
            mismatch,
        ),
        (
            "a hash that is not the body's",
            |sent| sent.add("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            mismatch,
        ),
        (
            "another key",
            |sent| sent.replace("authorization", "AKIDEXAMPLE", "AKIDOTHER"),
            "AuthFailure",
        ),
        (
            "a token where there is none",
            |sent| sent.add("x-amz-security-token", "x"),
            "AuthFailure",
        ),
        (
            "no such Region",
            |sent| sent.replace("authorization", "us-east-1", "mars-1"),
            "AuthFailure",
        ),
        (
            "a Region to be opted into",
            |sent| sent.replace("authorization", "us-east-1", "af-south-1"),
            "AuthFailure",
        ),
        (
            "version 4a",
            |sent| sent.replace("authorization", "HMAC-SHA256", "ECDSA-P256-SHA256"),
            incomplete,
        ),
        (
            "the scope's end",
            |sent| sent.replace("authorization", "aws4_request", "aws5_request"),
            incomplete,
        ),
        (
            "no signature in the header",
            |sent| sent.replace("authorization", ", Signature=", ", Sig="),
            incomplete,
        ),
        (
            "headers out of order",
            |sent| sent.replace("authorization", "content-type;host", "host;content-type"),
            incomplete,
        ),
        ("no date", |sent| sent.remove("x-amz-date"), incomplete),
        (
            "a bad date",
            |sent| sent.replace("x-amz-date", "T", " "),
            incomplete,
        ),
        (
            "two signatures",
            |sent| sent.add("authorization", "x"),
            incomplete,
        ),
        (
            "signed in the query too",
            |sent| sent.path = "/?X-Amz-Signature=x".to_owned(),
            incomplete,
        ),
        (
            "no signature",
            |sent| sent.remove("authorization"),
            "MissingAuthenticationToken",
        ),
    ];
    for (name, change, code) in cases {
        let request = sent(&call(), &key(), change);
        let refusal = check(Service::Ec2, &request, &key()).expect_err(name);
        assert_eq!(refusal.answer(Service::Ec2).code, *code, "{name}");
    }
}

#[test]
fn a_tampered_presigned_call_is_refused() {
    type Change = fn(&mut Sent);
    let mismatch = "SignatureDoesNotMatch";
    let incomplete = "IncompleteSignature";
    let cases: &[(&str, Change, &str)] = &[
        (
            "a parameter",
            |sent| sent.query("DescribeImages", "DeregisterImage"),
            mismatch,
        ),
        ("one more", |sent| sent.path.push_str("&a=b"), mismatch),
        (
            "the time",
            |sent| sent.query("Expires=3600", "Expires=3601"),
            mismatch,
        ),
        ("a body", |sent| sent.body.push(b'a'), mismatch),
        (
            "too long",
            |sent| sent.query("Expires=3600", "Expires=604801"),
            incomplete,
        ),
        (
            "no time",
            |sent| sent.query("X-Amz-Expires=3600", "a=b"),
            incomplete,
        ),
        (
            "twice",
            |sent| sent.path.push_str("&X-Amz-Expires=3600"),
            incomplete,
        ),
        (
            "algorithm",
            |sent| sent.query("AWS4-HMAC-SHA256", "AWS4"),
            incomplete,
        ),
    ];
    for (name, change, code) in cases {
        let request = sent(&presigned_call(), &key(), change);
        let refusal = check(Service::Ec2, &request, &key()).expect_err(name);
        assert_eq!(refusal.answer(Service::Ec2).code, *code, "{name}");
    }
}

#[test]
fn a_signature_holds_for_a_time() {
    let minutes = |minutes: i64| {
        let distance = Duration::from_secs(60 * minutes.unsigned_abs());
        if minutes < 0 {
            SystemTime::now() - distance
        } else {
            SystemTime::now() + distance
        }
    };
    for (unsigned, from, ok) in [
        (call(), -14, true),
        (call(), -16, false),
        (call(), 14, true),
        (call(), 16, false),
        (presigned_call(), -59, true),
        (presigned_call(), -61, false),
        (presigned_call(), 16, false),
    ] {
        let unsigned = Unsigned {
            time: minutes(from),
            ..unsigned
        };
        let request = sent(&unsigned, &key(), |_| {});
        let result = check(Service::Ec2, &request, &key());
        assert_eq!(result.is_ok(), ok, "{from} minutes: {result:?}");
        if let Err(refusal) = result {
            assert_eq!(refusal.answer(Service::Ec2).code, "RequestExpired");
        }
    }
    // The scope's date is the request's.
    let request = sent(&call(), &key(), |sent| {
        let date = scope_date(sent);
        sent.replace("authorization", &format!("/{date}/"), "/20200101/");
    });
    let refusal = check(Service::Ec2, &request, &key()).expect_err("another date");
    assert_eq!(refusal.answer(Service::Ec2).code, "SignatureDoesNotMatch");
}

/// Clients that correct their time by our answers, when the clock is two days ahead.
#[test]
fn a_signature_may_be_of_the_sandboxs_time() {
    let hours = |hours: u64| Duration::from_secs(3600 * hours);
    let ahead = Times {
        sandbox: Timestamp::real().plus(hours(48)),
        ..now()
    };
    for (unsigned, after, ok) in [
        (call(), 0, true),
        // What the answers said before the clock was put forward once more.
        (call(), 24, true),
        (call(), 48, true),
        (call(), 49, false),
        (presigned_call(), 0, true),
        (presigned_call(), 48, true),
        (presigned_call(), 46, false),
        (presigned_call(), 49, false),
    ] {
        let unsigned = Unsigned {
            time: SystemTime::now() + hours(after),
            ..unsigned
        };
        let request = sent(&unsigned, &key(), |_| {});
        let result = verify(Service::Ec2, &request, ahead, |_| Some(key()));
        assert_eq!(result.is_ok(), ok, "{after} hours: {result:?}");
    }
}

fn scope_date(sent: &Sent) -> String {
    let found = sent.headers.iter().find(|(name, _)| name == "x-amz-date");
    found.expect("a date").1[..8].to_owned()
}

#[test]
fn a_session_needs_its_token_and_ends() {
    type Change = fn(&mut Sent);
    let wrong: &[(&str, Change)] = &[
        ("none", |sent| sent.remove("x-amz-security-token")),
        ("another", |sent| {
            sent.replace("x-amz-security-token", "to", "do")
        }),
    ];
    for (name, change) in wrong {
        let request = sent(&call(), &session(), change);
        let refusal = check(Service::Ec2, &request, &session()).expect_err(name);
        assert_eq!(refusal, Refusal::UnknownKey, "{name}");
    }
    let request = sent(&call(), &session(), |_| {});
    let later = Times {
        sandbox: Timestamp::real().plus(Duration::from_secs(61)),
        ..now()
    };
    let result = verify(Service::Ec2, &request, later, |_| Some(session()));
    assert_eq!(result, Err(Refusal::ExpiredSession));
}

#[test]
fn only_a_block_may_be_unsigned() {
    for (service, name, method, ok) in [
        (Service::Ebs, "ebs", "PUT", true),
        (Service::Ebs, "ebs", "POST", false),
        (Service::Ec2, "ec2", "POST", false),
    ] {
        let unsigned = Unsigned {
            service: name,
            method,
            unsigned_payload: true,
            ..call()
        };
        let request = sent(&unsigned, &key(), |_| {});
        let result = check(service, &request, &key());
        assert_eq!(result.is_ok(), ok, "{name} {method}");
    }
    // Signed as unsigned, and said so in the header, is the same.
    let unsigned = Unsigned {
        method: "PUT",
        service: "ebs",
        unsigned_payload: true,
        headers: vec![("host", HOST), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")],
        ..call()
    };
    let request = sent(&unsigned, &key(), |_| {});
    check(Service::Ebs, &request, &key()).expect("an unsigned block");
}

#[test]
fn each_service_says_it_in_its_way() {
    use Service::{Ebs, Ec2, Kms, Organizations, S3, Sts};
    let incomplete = || Refusal::Incomplete(String::new());
    let skewed = || Refusal::Skewed(String::new());
    let mismatch = || Refusal::Mismatch(String::new());
    let opt_in = || Refusal::OptIn("af-south-1".parse().expect("a Region"));
    for (service, refusal, code, status) in [
        (Ec2, Refusal::Missing, "MissingAuthenticationToken", 403),
        (Ec2, Refusal::UnknownKey, "AuthFailure", 401),
        (Ec2, Refusal::ExpiredSession, "RequestExpired", 400),
        (Ec2, mismatch(), "SignatureDoesNotMatch", 403),
        (Ec2, opt_in(), "AuthFailure", 401),
        (Sts, Refusal::Missing, "MissingAuthenticationToken", 403),
        (Sts, incomplete(), "IncompleteSignature", 400),
        (Sts, Refusal::UnknownKey, "InvalidClientTokenId", 403),
        (Sts, Refusal::ExpiredSession, "ExpiredToken", 403),
        (Sts, skewed(), "SignatureDoesNotMatch", 403),
        (Sts, opt_in(), "InvalidClientTokenId", 403),
        (
            Kms,
            Refusal::Missing,
            "MissingAuthenticationTokenException",
            400,
        ),
        (Kms, incomplete(), "IncompleteSignatureException", 400),
        (Kms, Refusal::UnknownKey, "UnrecognizedClientException", 400),
        (Kms, Refusal::ExpiredSession, "ExpiredTokenException", 400),
        (Kms, skewed(), "InvalidSignatureException", 400),
        (Kms, mismatch(), "InvalidSignatureException", 400),
        (Organizations, mismatch(), "InvalidSignatureException", 400),
        (Ebs, Refusal::UnknownKey, "UnrecognizedClientException", 403),
        (Ebs, mismatch(), "InvalidSignatureException", 403),
        (Ebs, Refusal::ExpiredSession, "ExpiredTokenException", 403),
        (S3, Refusal::ExpiredSession, "ExpiredToken", 400),
    ] {
        let error = refusal.clone().answer(service);
        assert_eq!(
            (&*error.code, error.status),
            (code, status),
            "{service:?} {refusal:?}"
        );
    }
}

#[test]
fn paths() {
    for (sent, canonical) in [
        ("/", "/"),
        ("/a/../..", "/"),
        ("//a//b/", "/a/b/"),
        ("/a/./b/.", "/a/b/"),
        // Of AWS's suite, with a key that it does not tell.
        (
            "/test/@connections/JBDvjfGEIAMCERw%3D",
            "/test/%40connections/JBDvjfGEIAMCERw%253D",
        ),
    ] {
        assert_eq!(canonical::path(sent), canonical, "{sent}");
    }
}

#[test]
fn scopes() {
    for (credential, region, service) in [
        ("k/20260101/us-east-1/ec2/aws4_request", "us-east-1", "ec2"),
        ("k/20260101/kms/aws4_request", "", "kms"),
        ("k", "", ""),
    ] {
        let scope = Scope::read(credential);
        assert_eq!(
            (&*scope.region, &*scope.service),
            (region, service),
            "{credential}"
        );
    }
}
