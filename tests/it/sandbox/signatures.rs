//! Signatures that do not hold, or are for something else: nobody gets in.

use serde_json::json;

use super::bad_input::{is_refused, lives};
use super::client::{Call, Client, Expect as _, Keys, s3_outcome};
use super::place::Place;

#[test]
fn signatures_that_do_not_hold() {
    let place = Place::new();
    let here = place.publisher();
    let other = |change: fn(&mut Keys)| {
        let mut keys = here.keys.clone();
        change(&mut keys);
        here.with_keys(keys)
    };
    let wrong_secret = other(|keys| keys.secret.push('x'));
    let wrong_id = other(|keys| keys.id = "AKIA0000000000000000".to_owned());
    let late = Client {
        clock_off: -3600,
        ..here.clone()
    };
    let bucket = Call::new("GET", "/a-bucket");
    for (client, ec2, s3, json) in [
        (
            &wrong_secret,
            "SignatureDoesNotMatch",
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
        ),
        (
            &wrong_id,
            "AuthFailure",
            "InvalidAccessKeyId",
            "UnrecognizedClientException",
        ),
        (
            &late,
            "RequestExpired",
            "RequestTimeTooSkewed",
            "InvalidSignatureException",
        ),
    ] {
        client.ec2("DescribeImages", &[]).refused(ec2);
        client.s3(&bucket).refused(s3);
        client.kms("ListKeys", json!({})).refused(json);
        let refused = client.start_snapshot(&json!({"VolumeSize": 1}));
        let refused = refused.expect_err("it does not hold");
        assert!((400..500).contains(&refused.status), "{refused}");
    }
    lives(&here);
}

#[test]
fn a_signature_is_for_what_was_signed() {
    let place = Place::new();
    let here = place.publisher();
    here.s3(&Call::new("PUT", "/a-bucket")).done("a bucket");
    here.s3(&Call::new("PUT", "/a-bucket/a").body("a"))
        .done("an object");
    let call = Call::new("GET", "/a-bucket/a");
    let url = here.presigned("s3", &call, 60);
    let got = s3_outcome(here.send_url(&url, &call).done("an answer"));
    assert_eq!(got.done("as signed").body, b"a");

    let refused = |url: &str, call: &Call| {
        let answer = here.send_url(url, call).done("an answer");
        s3_outcome(answer).expect_err("it is not what was signed")
    };
    let put = Call::new("PUT", "/a-bucket/a").body("b");
    assert_eq!(refused(&url, &put).code, "SignatureDoesNotMatch");
    let other = url.replace("/a-bucket/a", "/a-bucket/b");
    assert_eq!(refused(&other, &call).code, "SignatureDoesNotMatch");
    let longer = url.replace("X-Amz-Expires=60", "X-Amz-Expires=600");
    assert_eq!(refused(&longer, &call).code, "SignatureDoesNotMatch");
    let mut late = here.clone();
    late.clock_off = -120;
    let expired = late.presigned("s3", &call, 60);
    assert_eq!(refused(&expired, &call).code, "AccessDenied");
    let too_long = here.presigned("s3", &call, 8 * 24 * 3600);
    assert_eq!(
        refused(&too_long, &call).code,
        "AuthorizationQueryParametersError"
    );

    let url = here.presigned("s3", &put, 60);
    let done = s3_outcome(here.send_url(&url, &put).done("an answer"));
    done.done("a presigned PUT");
    let got = here.s3(&call).done("the object");
    assert_eq!(got.body, b"b");
}

#[test]
fn authorizations_that_are_none() {
    let place = Place::new();
    let here = place.publisher();
    let long = format!("AWS4-HMAC-SHA256 Credential={}", "x/".repeat(4000));
    for value in [
        "",
        "none",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=",
        "AWS4-HMAC-SHA256 Credential=a/b/c/ec2/aws4_request",
        "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=x",
        "AWS4-HMAC-SHA256 Credential=a/20260101/mars-north-1/ec2/aws4_request, SignedHeaders=host, Signature=x",
        "AWS a:b",
        long.as_str(),
    ] {
        let call = Call::new("POST", "/")
            .header("authorization", value)
            .body("Action=DescribeImages&Version=2016-11-15");
        is_refused(value, &here.send_as_is(&call).done("an answer"));
    }
    let none = Call::new("POST", "/").body("Action=DescribeImages&Version=2016-11-15");
    is_refused("none at all", &here.send_as_is(&none).done("an answer"));
    lives(&here);
}
