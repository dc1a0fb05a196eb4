//! Versions and delete markers.

use super::client::{Answer, Client, with_bucket};

fn set(client: &Client, status: &str) {
    client.must(
        "PUT",
        "/bucket?versioning",
        &format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"),
    );
}

fn put(client: &Client, body: &str) -> String {
    let reply = client.must("PUT", "/bucket/a", body);
    reply.header("x-amz-version-id").to_owned()
}

fn listed(client: &Client) -> Vec<String> {
    client.get("/bucket?versions").elements("VersionId")
}

#[test]
fn kept_and_deleted() {
    let (_bed, client) = with_bucket();
    assert_eq!(put(&client, "one"), "");
    assert_eq!(put(&client, "two"), "");
    assert_eq!(listed(&client), ["null"]);
    set(&client, "Enabled");
    let three = put(&client, "three");
    let four = put(&client, "four");
    assert_eq!((three.len(), four.len()), (32, 32));
    let read = |id: &str| client.get(&format!("/bucket/a?versionId={id}"));
    assert_eq!(read("null").text(), "two");
    assert_eq!(read(&three).text(), "three");
    assert_eq!(client.get("/bucket/a").text(), "four");

    let deleted = client.must("DELETE", "/bucket/a", "");
    assert_eq!(deleted.header("x-amz-delete-marker"), "true");
    let marker = deleted.header("x-amz-version-id").to_owned();
    let gone = client.get("/bucket/a");
    assert_eq!(gone.outcome(), "404 NoSuchKey");
    assert_eq!(gone.header("x-amz-delete-marker"), "true");
    assert_eq!(read(&marker).outcome(), "405 MethodNotAllowed");
    assert_eq!(read(&"x".repeat(32)).outcome(), "404 NoSuchVersion");
    assert_eq!(read("x").outcome(), "400 InvalidArgument");
    assert_eq!(client.get("/bucket?list-type=2").elements("Key").len(), 0);
    assert_eq!(
        client.send("DELETE", "/bucket", &[], b"").outcome(),
        "409 BucketNotEmpty"
    );

    let delete =
        |id: &str| -> Answer { client.must("DELETE", &format!("/bucket/a?versionId={id}"), "") };
    assert_eq!(delete(&marker).header("x-amz-delete-marker"), "true");
    assert_eq!(client.get("/bucket/a").text(), "four");
    assert_eq!(delete(&four).header("x-amz-delete-marker"), "");
    assert_eq!(client.get("/bucket/a").text(), "three");
    delete(&three);
    delete("null");
    assert_eq!(client.send("DELETE", "/bucket", &[], b"").status, 204);
}

#[test]
fn suspended() {
    let (_bed, client) = with_bucket();
    set(&client, "Enabled");
    let one = put(&client, "one");
    set(&client, "Suspended");
    put(&client, "two");
    put(&client, "three");
    assert_eq!(listed(&client), ["null", &*one], "null is replaced");
    let deleted = client.must("DELETE", "/bucket/a", "");
    assert_eq!(deleted.header("x-amz-version-id"), "null");
    assert_eq!(client.get("/bucket/a").outcome(), "404 NoSuchKey");
    let page = client.get("/bucket?versions&max-keys=1");
    assert_eq!(page.element("IsTruncated"), "true");
    let marker = page.element("NextVersionIdMarker");
    assert_eq!(
        (page.element("NextKeyMarker"), &*marker),
        ("a".to_owned(), "null")
    );
    let rest = client.get(&format!(
        "/bucket?versions&key-marker=a&version-id-marker={marker}"
    ));
    assert_eq!(rest.elements("IsLatest"), ["false"]);
}

#[test]
fn many_at_once() {
    let (_bed, client) = with_bucket();
    client.must("PUT", "/bucket/a", "data");
    let delete = |inner: &str| {
        let body = format!("<Delete>{inner}</Delete>");
        let md5 = {
            use base64::Engine as _;
            let md5 = crate::sandbox::s3::checksum::md5_of(body.as_bytes());
            base64::engine::general_purpose::STANDARD.encode(md5)
        };
        let headers = [("content-md5", &*md5)];
        client.send("POST", "/bucket?delete", &headers, body.as_bytes())
    };
    let object = "<Object><Key>a</Key></Object>";
    let both = delete(&format!("{object}<Object><Key>none</Key></Object>"));
    assert_eq!(both.elements("Key"), ["a", "none"]);
    let quiet = delete(&format!("<Quiet>true</Quiet>{object}"));
    assert_eq!((quiet.status, quiet.elements("Key").len()), (200, 0));
    let bad = "<Object><Key>a</Key><VersionId>x</VersionId></Object>";
    assert_eq!(delete(bad).element("Code"), "InvalidArgument");
    assert_eq!(delete(&object.repeat(1001)).outcome(), "400 MalformedXML");
    assert_eq!(delete("").outcome(), "400 MalformedXML");
    assert_eq!(delete("<Object>").outcome(), "400 MalformedXML");
}
