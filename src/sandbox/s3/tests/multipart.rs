//! Multipart uploads.

use super::client::{Answer, Client, with_bucket};

fn begin(client: &Client, headers: &[(&str, &str)]) -> String {
    let reply = client.send("POST", "/bucket/big?uploads", headers, b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.element("UploadId")
}

fn part(client: &Client, id: &str, number: i32, body: &[u8]) -> Answer {
    client.put(
        &format!("/bucket/big?partNumber={number}&uploadId={id}"),
        body,
    )
}

fn complete(client: &Client, id: &str, parts: &[(i32, &str)], headers: &[(&str, &str)]) -> Answer {
    let list: String = parts
        .iter()
        .map(|(number, etag)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        })
        .collect();
    let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let path = format!("/bucket/big?uploadId={id}");
    client.send("POST", &path, headers, body.as_bytes())
}

#[test]
fn put_together() {
    let (_bed, client) = with_bucket();
    let id = begin(
        &client,
        &[("content-type", "text/x"), ("x-amz-tagging", "k=v")],
    );
    let large = vec![b'x'; 5 << 20];
    let one = part(&client, &id, 1, &large).header("etag").to_owned();
    let old = part(&client, &id, 7, b"old").header("etag").to_owned();
    let two = part(&client, &id, 7, b"end").header("etag").to_owned();
    let listed = client.get(&format!("/bucket/big?uploadId={id}&max-parts=1"));
    assert_eq!(listed.elements("PartNumber"), ["1"]);
    assert_eq!(listed.element("IsTruncated"), "true");
    let uploads = client.get("/bucket?uploads");
    assert_eq!(uploads.elements("UploadId"), [&*id]);
    for (parts, expected) in [
        (vec![(1, &*one), (7, &*old)], "400 InvalidPart"),
        (vec![(1, &*one), (2, &*two)], "400 InvalidPart"),
        (vec![(7, &*two), (1, &*one)], "400 InvalidPartOrder"),
        (vec![(1, &*one), (1, &*one)], "400 InvalidPartOrder"),
        (vec![], "400 MalformedXML"),
    ] {
        let reply = complete(&client, &id, &parts, &[]);
        assert_eq!(reply.outcome(), expected, "{parts:?}: {}", reply.text());
    }
    let reply = complete(&client, &id, &[(1, &one), (7, &two)], &[]);
    assert_eq!(reply.outcome(), "200", "{}", reply.text());
    assert!(reply.element("ETag").ends_with("-2\""), "{}", reply.text());
    let get = client.get("/bucket/big");
    assert_eq!(get.body.len(), large.len() + 3);
    assert!(get.body.ends_with(b"xend"));
    assert_eq!(get.header("content-type"), "text/x");
    assert_eq!(get.header("x-amz-tagging-count"), "1");
    let second = client.get("/bucket/big?partNumber=7");
    assert_eq!(
        (
            second.text().as_str(),
            second.header("x-amz-mp-parts-count")
        ),
        ("end", "2")
    );
    assert_eq!(
        complete(&client, &id, &[(1, &one)], &[]).outcome(),
        "404 NoSuchUpload"
    );
    let files = std::fs::read_dir(client.shared.folder.join("s3/data")).expect("data");
    assert_eq!(files.count(), 1, "the parts are gone");
}

#[test]
fn rules() {
    let (_bed, client) = with_bucket();
    let id = begin(&client, &[]);
    let one = part(&client, &id, 1, b"small").header("etag").to_owned();
    let two = part(&client, &id, 2, b"small").header("etag").to_owned();
    let both = [(1, &*one), (2, &*two)];
    assert_eq!(
        complete(&client, &id, &both, &[]).outcome(),
        "400 EntityTooSmall"
    );
    let size = [("x-amz-mp-object-size", "6")];
    assert_eq!(
        complete(&client, &id, &both[..1], &size).outcome(),
        "400 InvalidRequest"
    );
    client.must("PUT", "/bucket/big", "there already");
    let only_new = [("if-none-match", "*")];
    assert_eq!(
        complete(&client, &id, &both[..1], &only_new).outcome(),
        "412 PreconditionFailed"
    );
    let other = [("if-match", "\"x\"")];
    assert_eq!(
        complete(&client, &id, &both[..1], &other).outcome(),
        "412 PreconditionFailed"
    );
    for (number, expected) in [(0, "400 InvalidArgument"), (10_001, "400 InvalidArgument")] {
        assert_eq!(
            part(&client, &id, number, b"").outcome(),
            expected,
            "{number}"
        );
    }
    assert_eq!(part(&client, "none", 1, b"").outcome(), "404 NoSuchUpload");
    let path = format!("/bucket/big?uploadId={id}");
    assert_eq!(client.send("DELETE", &path, &[], b"").status, 204);
    assert_eq!(
        client.send("DELETE", &path, &[], b"").outcome(),
        "404 NoSuchUpload"
    );
    assert_eq!(client.get(&path).outcome(), "404 NoSuchUpload");
    assert_eq!(client.get("/bucket/big").text(), "there already");
}

#[test]
fn checksums() {
    let (_bed, client) = with_bucket();
    for (headers, expected) in [
        (
            vec![("x-amz-checksum-algorithm", "MD4")],
            "400 InvalidRequest",
        ),
        (
            vec![("x-amz-checksum-type", "COMPOSITE")],
            "400 InvalidRequest",
        ),
        (
            vec![
                ("x-amz-checksum-algorithm", "SHA256"),
                ("x-amz-checksum-type", "FULL_OBJECT"),
            ],
            "400 InvalidRequest",
        ),
        (
            vec![
                ("x-amz-checksum-algorithm", "CRC64NVME"),
                ("x-amz-checksum-type", "COMPOSITE"),
            ],
            "400 InvalidRequest",
        ),
    ] {
        let reply = client.send("POST", "/bucket/big?uploads", &headers, b"");
        assert_eq!(reply.outcome(), expected, "{headers:?}");
    }
    let full = begin(
        &client,
        &[
            ("x-amz-checksum-algorithm", "CRC32"),
            ("x-amz-checksum-type", "FULL_OBJECT"),
        ],
    );
    let etag = part(&client, &full, 1, b"123456789")
        .header("etag")
        .to_owned();
    let wrong = [("x-amz-checksum-crc32", "AAAAAA==")];
    assert_eq!(
        complete(&client, &full, &[(1, &etag)], &wrong).outcome(),
        "400 BadDigest"
    );
    let reply = complete(&client, &full, &[(1, &etag)], &[]);
    assert_eq!(reply.element("ChecksumCRC32"), "y/Q5Jg==");
    let composite = begin(&client, &[("x-amz-checksum-algorithm", "SHA256")]);
    assert_eq!(
        part(&client, &composite, 1, b"x").outcome(),
        "400 InvalidRequest"
    );
    let other = [("x-amz-checksum-crc32", "y/Q5Jg==")];
    let path = format!("/bucket/big?partNumber=1&uploadId={composite}");
    let reply = client.send("PUT", &path, &other, b"123456789");
    assert_eq!(reply.outcome(), "400 InvalidRequest");
}

#[test]
fn parts_by_copy() {
    let (_bed, client) = with_bucket();
    client.must("PUT", "/bucket/a", "0123456789");
    let id = begin(&client, &[]);
    let path = format!("/bucket/big?partNumber=1&uploadId={id}");
    let source = ("x-amz-copy-source", "bucket/a");
    let copy = |range| {
        client.send(
            "PUT",
            &path,
            &[source, ("x-amz-copy-source-range", range)],
            b"",
        )
    };
    assert_eq!(copy("bytes=2-10").outcome(), "400 InvalidArgument");
    assert_eq!(copy("bytes=2-").outcome(), "400 InvalidArgument");
    let etag = copy("bytes=2-4").element("ETag");
    assert_eq!(complete(&client, &id, &[(1, &etag)], &[]).status, 200);
    assert_eq!(client.get("/bucket/big").text(), "234");
}

#[test]
fn a_part_that_goes_while_it_is_put_together() {
    let (_bed, client) = with_bucket();
    let id = begin(&client, &[]);
    let one = part(&client, &id, 1, b"data").header("etag").to_owned();
    // As if another had uploaded the part anew just now.
    let folder = client.shared.folder.join("s3/data");
    for entry in std::fs::read_dir(folder).expect("data").flatten() {
        std::fs::remove_file(entry.path()).expect("removed");
    }
    let reply = complete(&client, &id, &[(1, &one)], &[]);
    assert_eq!(reply.outcome(), "400 InvalidPart", "{}", reply.text());
}
