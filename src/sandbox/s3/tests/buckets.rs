//! Buckets and what is set for them.

use super::client::{Client, with_bucket};
use crate::sandbox::testing::Bed;

const IN_FRANKFURT: &str = "<CreateBucketConfiguration><LocationConstraint>eu-central-1\
    </LocationConstraint></CreateBucketConfiguration>";

fn location(region: &str) -> String {
    IN_FRANKFURT.replace("eu-central-1", region)
}

#[test]
fn making() {
    let (bed, publisher) = with_bucket();
    let customer = Client::new(&bed, "customer");
    let frankfurt = Client {
        region: "eu-central-1",
        ..publisher.clone()
    };
    let long = format!("/{}", "a".repeat(64));
    for (who, path, body, expected) in [
        (&publisher, "/bucket", String::new(), "200"),
        (
            &customer,
            "/bucket",
            String::new(),
            "409 BucketAlreadyExists",
        ),
        (&publisher, "/eu-bucket", location("eu-central-1"), "200"),
        (
            &frankfurt,
            "/eu-bucket",
            location("eu-central-1"),
            "409 BucketAlreadyOwnedByYou",
        ),
        (
            &frankfurt,
            "/eu-two",
            String::new(),
            "400 IllegalLocationConstraintException",
        ),
        (
            &frankfurt,
            "/eu-two",
            location("eu-west-1"),
            "400 IllegalLocationConstraintException",
        ),
        (&frankfurt, "/eu-two", location("eu-central-1"), "200"),
        (
            &publisher,
            "/us-two",
            location("us-east-1"),
            "400 InvalidLocationConstraint",
        ),
        (
            &publisher,
            "/us-two",
            location("mars-north-1"),
            "400 InvalidLocationConstraint",
        ),
        (
            &publisher,
            "/us-two",
            "<Create".to_owned(),
            "400 MalformedXML",
        ),
        (
            &publisher,
            "/us-two",
            "<Other/>".to_owned(),
            "400 MalformedXML",
        ),
        (&publisher, "/Upper", String::new(), "400 InvalidBucketName"),
        (&publisher, "/ab", String::new(), "400 InvalidBucketName"),
        (
            &publisher,
            "/xn--abc",
            String::new(),
            "400 InvalidBucketName",
        ),
        (
            &publisher,
            "/abc-s3alias",
            String::new(),
            "400 InvalidBucketName",
        ),
        (
            &publisher,
            "/10.0.0.1",
            String::new(),
            "400 InvalidBucketName",
        ),
        (&publisher, &*long, String::new(), "400 InvalidBucketName"),
    ] {
        let reply = who.put(path, body.as_bytes());
        assert_eq!(reply.outcome(), expected, "{path} {body}: {}", reply.text());
    }
    bed.shared.limits.set("buckets", 3);
    assert_eq!(
        publisher.put("/one-more", b"").outcome(),
        "400 TooManyBuckets"
    );
    let listed = publisher.get("/").elements("Name");
    assert_eq!(listed, ["bucket", "eu-bucket", "eu-two"]);
    let page = publisher.get("/?max-buckets=1&prefix=eu");
    assert_eq!(page.elements("Name"), ["eu-bucket"]);
    assert_eq!(page.element("ContinuationToken"), "eu-bucket");
    assert_eq!(customer.get("/").elements("Name").len(), 0);
    assert_eq!(
        Client::anonymous(&bed).get("/").outcome(),
        "403 AccessDenied"
    );
}

#[test]
fn regions() {
    let (_bed, client) = with_bucket();
    client.must("PUT", "/eu-bucket", IN_FRANKFURT);
    let reply = client.get("/eu-bucket?list-type=2");
    assert_eq!(reply.outcome(), "301 PermanentRedirect");
    assert_eq!(reply.header("x-amz-bucket-region"), "eu-central-1");
    assert_eq!(reply.element("Endpoint"), "s3.eu-central-1.amazonaws.com");
    let head = client.send("HEAD", "/eu-bucket", &[], b"");
    assert_eq!((head.status, head.body.len()), (301, 0));
    assert_eq!(head.header("x-amz-bucket-region"), "eu-central-1");
    let location = client.get("/eu-bucket?location").text();
    assert!(location.contains(">eu-central-1<"), "{location}");
    let frankfurt = Client {
        region: "eu-central-1",
        ..client.clone()
    };
    assert_eq!(frankfurt.get("/eu-bucket?list-type=2").status, 200);
    assert_eq!(
        frankfurt.get("/bucket?location").outcome(),
        "301 PermanentRedirect"
    );
    let nowhere = Client {
        region: "mars-north-1",
        ..client
    };
    let reply = nowhere.get("/bucket");
    assert_eq!(reply.outcome(), "400 AuthorizationHeaderMalformed");
}

#[test]
fn deleting() {
    let (_bed, client) = with_bucket();
    client.must("PUT", "/bucket/a", "data");
    client.must("POST", "/bucket/b?uploads", "");
    assert_eq!(
        client.send("DELETE", "/bucket", &[], b"").outcome(),
        "409 BucketNotEmpty"
    );
    client.must("DELETE", "/bucket/a", "");
    assert_eq!(client.send("DELETE", "/bucket", &[], b"").status, 204);
    assert_eq!(
        client.send("DELETE", "/bucket", &[], b"").outcome(),
        "404 NoSuchBucket"
    );
    assert_eq!(client.put("/bucket/a", b"").outcome(), "404 NoSuchBucket");
    assert_eq!(client.send("HEAD", "/bucket", &[], b"").status, 404);
}

#[test]
fn settings() {
    let (bed, client) = with_bucket();
    let tagging = |tags: &str| format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    let encryption = |algorithm: &str| {
        format!(
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
             <SSEAlgorithm>{algorithm}</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
             </ServerSideEncryptionConfiguration>"
        )
    };
    let versioning =
        |inner: &str| format!("<VersioningConfiguration>{inner}</VersioningConfiguration>");
    let ownership = |kind: &str| {
        format!(
            "<OwnershipControls><Rule><ObjectOwnership>{kind}</ObjectOwnership></Rule>\
             </OwnershipControls>"
        )
    };
    for (method, path, body, expected) in [
        ("GET", "?tagging", String::new(), "404 NoSuchTagSet"),
        ("PUT", "?tagging", tagging(tag), "200"),
        ("GET", "?tagging", String::new(), "200"),
        ("PUT", "?tagging", tagging(&tag.repeat(2)), "400 InvalidTag"),
        (
            "PUT",
            "?tagging",
            tagging(&tag.replace('k', "aws:k")),
            "400 InvalidTag",
        ),
        ("DELETE", "?tagging", String::new(), "204"),
        ("GET", "?encryption", String::new(), "200"),
        ("PUT", "?encryption", encryption("AES256"), "200"),
        (
            "PUT",
            "?encryption",
            encryption("ROT13"),
            "400 InvalidArgument",
        ),
        ("DELETE", "?encryption", String::new(), "204"),
        (
            "PUT",
            "?versioning",
            versioning("<Status>Sometimes</Status>"),
            "400 MalformedXML",
        ),
        (
            "PUT",
            "?versioning",
            versioning(""),
            "400 IllegalVersioningConfigurationException",
        ),
        (
            "PUT",
            "?versioning",
            versioning("<Status>Enabled</Status>"),
            "200",
        ),
        ("GET", "?ownershipControls", String::new(), "200"),
        (
            "PUT",
            "?ownershipControls",
            ownership("BucketOwnerEnforced"),
            "200",
        ),
        (
            "PUT",
            "?ownershipControls",
            ownership("ObjectWriter"),
            "501 NotImplemented",
        ),
        ("GET", "?acl", String::new(), "200"),
        ("GET", "?publicAccessBlock", String::new(), "200"),
        ("DELETE", "?publicAccessBlock", String::new(), "204"),
        (
            "GET",
            "?publicAccessBlock",
            String::new(),
            "404 NoSuchPublicAccessBlockConfiguration",
        ),
        ("GET", "?lifecycle", String::new(), "501 NotImplemented"),
        ("GET", "?policy", String::new(), "404 NoSuchBucketPolicy"),
        (
            "GET",
            "?policyStatus",
            String::new(),
            "404 NoSuchBucketPolicy",
        ),
    ] {
        let reply = client.send(method, &format!("/bucket{path}"), &[], body.as_bytes());
        assert_eq!(
            reply.outcome(),
            expected,
            "{method} {path} {body}: {}",
            reply.text()
        );
    }
    let reply = client.send("PUT", "/bucket?acl", &[("x-amz-acl", "public-read")], b"");
    assert_eq!(reply.outcome(), "400 AccessControlListNotSupported");
    let wrong_owner = [("x-amz-expected-bucket-owner", "999999999999")];
    let reply = client.send("GET", "/bucket?versioning", &wrong_owner, b"");
    assert_eq!(reply.outcome(), "403 AccessDenied");
    for path in [
        "?tagging",
        "?versioning",
        "?encryption",
        "?policy",
        "?publicAccessBlock",
        "",
    ] {
        let reply = Client::new(&bed, "customer").get(&format!("/bucket{path}"));
        assert_eq!(reply.outcome(), "403 AccessDenied", "{path}");
    }
}

#[test]
fn virtual_hosts() {
    let bed = Bed::new();
    let client = Client::new(&bed, "publisher");
    client.must("PUT", "/bucket", "");
    client.must("PUT", "/bucket/a", "data");
    client.must("DELETE", "/bucket?publicAccessBlock", "");
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",
        "Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}]}"#;
    client.must("PUT", "/bucket?policy", policy);
    for (host, expected) in [
        ("bucket.localhost:4566", "200"),
        ("bucket.s3.us-east-1.amazonaws.com", "200"),
        ("other.localhost:4566", "404 NoSuchBucket"),
    ] {
        let reply = Client::anonymous(&bed).raw_host(host, "/a");
        assert_eq!(reply.outcome(), expected, "{host}");
    }
}
