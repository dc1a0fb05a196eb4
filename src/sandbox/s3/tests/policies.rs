//! Who may do what.

use super::client::{Client, with_bucket};
use crate::sandbox::s3::public::is_public;

fn policy(principal: &str, actions: &str, resource: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},
        "Action":{actions},"Resource":"arn:aws:s3:::{resource}"{condition}}}]}}"#
    )
}

const CUSTOMER: &str = r#"{"AWS":"222222222222"}"#;

#[test]
fn public() {
    let condition = |inner: &str| format!(r#","Condition":{{{inner}}}"#);
    for (principal, inner, expected) in [
        ("\"*\"", "", true),
        (r#"{"AWS":"*"}"#, "", true),
        (r#"{"AWS":["222222222222","*"]}"#, "", true),
        (CUSTOMER, "", false),
        (
            "\"*\"",
            r#""StringEquals":{"aws:PrincipalOrgID":"o-1"}"#,
            false,
        ),
        (
            "\"*\"",
            r#""StringLike":{"aws:PrincipalOrgID":"o-*"}"#,
            true,
        ),
        (
            "\"*\"",
            r#""ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-1/*"}"#,
            false,
        ),
        (
            "\"*\"",
            r#""ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"*"}"#,
            true,
        ),
        (
            "\"*\"",
            r#""StringNotEquals":{"aws:PrincipalOrgID":"o-1"}"#,
            true,
        ),
        (
            "\"*\"",
            r#""IpAddress":{"aws:SourceIp":"192.0.2.0/24"}"#,
            false,
        ),
        ("\"*\"", r#""IpAddress":{"aws:SourceIp":"0.0.0.0/0"}"#, true),
        ("\"*\"", r#""Bool":{"aws:SecureTransport":"true"}"#, true),
    ] {
        let condition = if inner.is_empty() {
            String::new()
        } else {
            condition(inner)
        };
        let document = policy(principal, "\"s3:GetObject\"", "bucket/*", &condition);
        assert_eq!(is_public(&document), expected, "{document}");
    }
}

#[test]
fn documents() {
    let (_bed, client) = with_bucket();
    let large = format!(
        "{}{}",
        policy(CUSTOMER, "\"s3:*\"", "bucket/*", ""),
        " ".repeat(20 << 10)
    );
    for (document, expected) in [
        (policy(CUSTOMER, "\"s3:GetObject\"", "bucket/*", ""), "204"),
        (
            policy(CUSTOMER, "\"s3:GetObject\"", "other/*", ""),
            "400 MalformedPolicy",
        ),
        (
            policy(CUSTOMER, "\"s3:GetObject\"", "bucket", ""),
            "400 MalformedPolicy",
        ),
        (
            policy(CUSTOMER, "\"s3:ListBucket\"", "bucket/*", ""),
            "400 MalformedPolicy",
        ),
        (
            policy(CUSTOMER, "\"ec2:RunInstances\"", "bucket/*", ""),
            "400 MalformedPolicy",
        ),
        (
            policy(CUSTOMER, "\"s3:*\"", "bucket/*", r#","Colour":"blue""#),
            "400 MalformedPolicy",
        ),
        (
            policy(
                CUSTOMER,
                "\"s3:*\"",
                "bucket/*",
                r#","Condition":{"StringEquals":{"s3:colour":"blue"}}"#,
            ),
            "400 MalformedPolicy",
        ),
        (
            policy(
                CUSTOMER,
                "\"s3:*\"",
                "bucket/*",
                r#","Condition":{"StringNotLike":{"aws:PrincipalOrgPaths":"o-1/*"}}"#,
            ),
            "400 MalformedPolicy",
        ),
        ("{".to_owned(), "400 MalformedPolicy"),
        ("{}".to_owned(), "400 MalformedPolicy"),
        (large, "400 PolicyTooLarge"),
        (
            policy("\"*\"", "\"s3:GetObject\"", "bucket/*", ""),
            "403 AccessDenied",
        ),
    ] {
        let reply = client.put("/bucket?policy", document.as_bytes());
        assert_eq!(reply.outcome(), expected, "{document}: {}", reply.text());
    }
    assert!(client.get("/bucket?policy").text().contains("222222222222"));
    assert_eq!(
        client.get("/bucket?policyStatus").element("IsPublic"),
        "false"
    );
    client.must("DELETE", "/bucket?policy", "");
    assert_eq!(
        client.get("/bucket?policy").outcome(),
        "404 NoSuchBucketPolicy"
    );
}

#[test]
fn other_accounts() {
    let (bed, client) = with_bucket();
    let customer = Client::new(&bed, "customer");
    client.must("PUT", "/bucket/shared/a", "data");
    client.must("PUT", "/bucket/own/a", "data");
    let outcomes = || {
        [
            ("GET", "/bucket/shared/a"),
            ("GET", "/bucket/own/a"),
            ("GET", "/bucket/shared/none"),
            ("GET", "/bucket?list-type=2&prefix=shared/"),
            ("GET", "/bucket?list-type=2"),
            ("PUT", "/bucket/shared/b"),
            ("DELETE", "/bucket/shared/a"),
        ]
        .map(|(method, path)| customer.send(method, path, &[], b"").status)
    };
    assert_eq!(outcomes(), [403; 7]);
    client.must(
        "PUT",
        "/bucket?policy",
        &policy(CUSTOMER, "\"s3:GetObject\"", "bucket/shared/*", ""),
    );
    assert_eq!(outcomes(), [200, 403, 403, 403, 403, 403, 403]);
    let statements = format!(
        r#"{{"Version":"2012-10-17","Statement":[
        {{"Effect":"Allow","Principal":{CUSTOMER},"Action":"s3:ListBucket",
          "Resource":"arn:aws:s3:::bucket",
          "Condition":{{"StringLike":{{"s3:prefix":"shared/*"}}}}}},
        {{"Effect":"Allow","Principal":{CUSTOMER},"Action":["s3:GetObject","s3:PutObject"],
          "Resource":"arn:aws:s3:::bucket/*"}},
        {{"Effect":"Deny","Principal":"*","Action":"s3:GetObject",
          "Resource":"arn:aws:s3:::bucket/own/*"}}]}}"#
    );
    client.must("PUT", "/bucket?policy", &statements);
    // What is missing is still hidden: the listing is allowed with a prefix only.
    assert_eq!(outcomes(), [200, 403, 403, 200, 403, 200, 403]);
    assert_eq!(
        client.get("/bucket/own/a").outcome(),
        "403 AccessDenied",
        "denied to all"
    );
}

#[test]
fn nobody_and_public_policies() {
    let (bed, client) = with_bucket();
    let (nobody, customer) = (Client::anonymous(&bed), Client::new(&bed, "customer"));
    client.must("PUT", "/bucket/a", "data");
    assert_eq!(nobody.get("/bucket/a").outcome(), "403 AccessDenied");
    client.must("DELETE", "/bucket?publicAccessBlock", "");
    let open = policy("\"*\"", "\"s3:GetObject\"", "bucket/*", "");
    client.must("PUT", "/bucket?policy", &open);
    assert_eq!(
        client.get("/bucket?policyStatus").element("IsPublic"),
        "true"
    );
    assert_eq!(nobody.get("/bucket/a").text(), "data");
    assert_eq!(
        nobody.get("/bucket?list-type=2").outcome(),
        "403 AccessDenied"
    );
    let reply = nobody.get("/bucket/a?response-content-type=x");
    assert_eq!(reply.outcome(), "400 InvalidRequest");
    client.must(
        "PUT",
        "/bucket?publicAccessBlock",
        "<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets>\
         </PublicAccessBlockConfiguration>",
    );
    assert_eq!(nobody.get("/bucket/a").outcome(), "403 AccessDenied");
    assert_eq!(customer.get("/bucket/a").outcome(), "403 AccessDenied");
    assert_eq!(client.get("/bucket/a").text(), "data");
}

#[test]
fn conditions_of_requests() {
    let (bed, client) = with_bucket();
    let customer = Client::new(&bed, "customer");
    client.must("PUT", "/bucket/a", "data");
    for (action, condition, expected) in [
        (
            "GetObject",
            r#""StringEquals":{"aws:PrincipalAccount":"222222222222"}"#,
            200,
        ),
        (
            "GetObject",
            r#""StringEquals":{"aws:PrincipalAccount":"333333333333"}"#,
            403,
        ),
        (
            "GetObject",
            r#""StringEquals":{"aws:PrincipalOrgID":"o-none"}"#,
            403,
        ),
        (
            "GetObject",
            r#""Bool":{"aws:SecureTransport":"false"}"#,
            200,
        ),
        ("GetObject", r#""Bool":{"aws:SecureTransport":"true"}"#, 403),
        (
            "GetObject",
            r#""StringEquals":{"s3:authType":"REST-HEADER"}"#,
            200,
        ),
        (
            "GetObject",
            r#""StringEquals":{"s3:authType":"REST-QUERY-STRING"}"#,
            403,
        ),
        (
            "GetObject",
            r#""NumericLessThan":{"s3:signatureAge":"60000"}"#,
            200,
        ),
        (
            "GetObject",
            r#""NumericGreaterThan":{"s3:signatureAge":"60000"}"#,
            403,
        ),
    ] {
        let condition = format!(r#","Condition":{{{condition}}}"#);
        let document = policy(
            CUSTOMER,
            &format!("\"s3:{action}\""),
            "bucket/*",
            &condition,
        );
        client.must("PUT", "/bucket?policy", &document);
        let reply = customer.get("/bucket/a");
        assert_eq!(reply.status, expected, "{condition}: {}", reply.text());
    }
    let tags = [("x-amz-tagging", "Stage=done")];
    client.send("PUT", "/bucket/tagged", &tags, b"data");
    let of_tags = |action: &str, condition: &str| {
        let condition = format!(r#","Condition":{{{condition}}}"#);
        client.must(
            "PUT",
            "/bucket?policy",
            &policy(CUSTOMER, action, "bucket/*", &condition),
        );
    };
    of_tags(
        r#""s3:GetObject""#,
        r#""StringEquals":{"s3:ExistingObjectTag/Stage":"done"}"#,
    );
    assert_eq!(customer.get("/bucket/tagged").status, 200);
    assert_eq!(customer.get("/bucket/a").outcome(), "403 AccessDenied");
    of_tags(
        r#"["s3:PutObject","s3:PutObjectTagging"]"#,
        r#""StringEquals":{"s3:RequestObjectTag/Stage":"done"},
            "ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":"Stage"}"#,
    );
    for (tags, expected) in [
        ("Stage=done", 200),
        ("Stage=no", 403),
        ("Stage=done&x=y", 403),
    ] {
        let headers = [("x-amz-tagging", tags)];
        let reply = customer.send("PUT", "/bucket/tagged", &headers, b"");
        assert_eq!(reply.status, expected, "{tags}: {}", reply.text());
    }
    let only_new = policy(
        CUSTOMER,
        "\"s3:PutObject\"",
        "bucket/*",
        r#","Condition":{"Null":{"s3:if-none-match":"false"}}"#,
    );
    client.must("PUT", "/bucket?policy", &only_new);
    assert_eq!(customer.put("/bucket/b", b"").outcome(), "403 AccessDenied");
    let headers = [("if-none-match", "*")];
    assert_eq!(customer.send("PUT", "/bucket/b", &headers, b"").status, 200);
}

#[test]
fn organizations() {
    let (bed, client) = with_bucket();
    let service = crate::sandbox::service::Service::Organizations;
    let made = bed
        .json(
            service,
            "publisher",
            "us-east-1",
            "CreateOrganization",
            serde_json::json!({ "FeatureSet": "ALL" }),
        )
        .expect("an organization");
    let id = made["Organization"]["Id"].as_str().expect("an id");
    client.must("PUT", "/bucket/a", "data");
    let condition = format!(r#","Condition":{{"StringEquals":{{"aws:PrincipalOrgID":"{id}"}}}}"#);
    let document = policy("\"*\"", "\"s3:GetObject\"", "bucket/*", &condition);
    client.must("PUT", "/bucket?policy", &document);
    let customer = Client::new(&bed, "customer");
    assert_eq!(
        customer.get("/bucket/a").outcome(),
        "403 AccessDenied",
        "not a member"
    );
    assert_eq!(
        Client::anonymous(&bed).get("/bucket/a").outcome(),
        "403 AccessDenied"
    );
    assert_eq!(client.get("/bucket/a").status, 200);
}
