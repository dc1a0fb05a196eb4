use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::sandbox::blocks::BLOCK_SIZE;
use crate::sandbox::service::Service;
use crate::sandbox::testing::{Bed, request};

/// Calls of the EBS direct APIs.
struct Direct<'a> {
    bed: &'a Bed,
    account: &'a str,
    region: &'a str,
}

fn direct(bed: &Bed) -> Direct<'_> {
    Direct {
        bed,
        account: "publisher",
        region: "us-east-1",
    }
}

fn digest(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

/// A block that is all one byte.
fn block(byte: u8) -> Vec<u8> {
    vec![byte; BLOCK_SIZE]
}

/// The aggregate of blocks in the order of their indexes.
fn linear(blocks: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for block in blocks {
        hash.update(Sha256::digest(block));
    }
    BASE64_STANDARD.encode(hash.finalize())
}

impl Direct<'_> {
    fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, ServiceError> {
        let request = request(method, path, headers, body);
        let operation = operation(&request).unwrap_or_default();
        let context = self
            .bed
            .context(Service::Ebs, operation, self.account, self.region, request);
        let reply = Service::Ebs.handle(&context);
        self.bed.shared.settle();
        reply
    }

    fn start(&self, body: Value) -> Result<Value, ServiceError> {
        let reply = self.call("POST", "/snapshots", &[], body.to_string().as_bytes())?;
        assert_eq!(reply.status, 201);
        Ok(serde_json::from_slice(&reply.body).expect("JSON"))
    }

    fn started(&self, body: Value) -> String {
        let answer = self.start(body).expect("started");
        answer["SnapshotId"].as_str().expect("an id").to_owned()
    }

    fn put(&self, snapshot: &str, index: u64, block: &[u8]) -> Result<Reply, ServiceError> {
        let checksum = digest(block);
        self.put_with(
            snapshot,
            index,
            &[
                ("x-amz-data-length", "524288"),
                ("x-amz-checksum", &checksum),
                ("x-amz-checksum-algorithm", "SHA256"),
            ],
            block,
        )
    }

    fn put_with(
        &self,
        snapshot: &str,
        index: u64,
        headers: &[(&str, &str)],
        block: &[u8],
    ) -> Result<Reply, ServiceError> {
        let path = format!("/snapshots/{snapshot}/blocks/{index}");
        self.call("PUT", &path, headers, block)
    }

    fn complete(&self, snapshot: &str, count: u64) -> Result<Reply, ServiceError> {
        self.complete_with(
            snapshot,
            &[("x-amz-changedblockscount", &count.to_string())],
        )
    }

    fn complete_with(
        &self,
        snapshot: &str,
        headers: &[(&str, &str)],
    ) -> Result<Reply, ServiceError> {
        let path = format!("/snapshots/completion/{snapshot}");
        self.call("POST", &path, headers, b"")
    }

    /// A completed snapshot of 1 GiB with these blocks.
    fn snapshot(&self, blocks: &[(u64, u8)]) -> String {
        self.snapshot_of(json!({ "VolumeSize": 1 }), blocks)
    }

    fn snapshot_of(&self, body: Value, blocks: &[(u64, u8)]) -> String {
        let id = self.started(body);
        for (index, byte) in blocks {
            self.put(&id, *index, &block(*byte)).expect("put");
        }
        self.complete(&id, blocks.len() as u64).expect("completed");
        id
    }

    fn get(&self, path: &str) -> Result<Value, ServiceError> {
        let reply = self.call("GET", path, &[], b"")?;
        assert_eq!(reply.status, 200);
        Ok(serde_json::from_slice(&reply.body).expect("JSON"))
    }

    fn blocks(&self, snapshot: &str) -> Result<Value, ServiceError> {
        self.get(&format!("/snapshots/{snapshot}/blocks"))
    }

    fn read(&self, snapshot: &str, index: u64, token: &str) -> Result<Reply, ServiceError> {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("blockToken", token)
            .finish();
        let path = format!("/snapshots/{snapshot}/blocks/{index}?{query}");
        self.call("GET", &path, &[], b"")
    }
}

fn indexes(list: &Value) -> Vec<u64> {
    list.as_array()
        .expect("a list")
        .iter()
        .map(|block| block["BlockIndex"].as_u64().expect("an index"))
        .collect()
}

fn reason(error: &ServiceError) -> &str {
    error
        .members
        .iter()
        .find(|(name, _)| *name == "Reason")
        .map_or("", |(_, reason)| reason)
}

#[test]
fn a_snapshot_is_written_and_read() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let answer = ebs
        .start(json!({
            "VolumeSize": 2, "Description": "a root", "Timeout": 10,
            "Tags": [{ "Key": "Name", "Value": "root" }],
        }))
        .expect("started");
    assert_eq!(answer["Status"], "pending");
    assert_eq!(answer["BlockSize"], 524_288);
    assert_eq!(answer["VolumeSize"], 2);
    assert_eq!(answer["OwnerId"], "111111111111");
    assert_eq!(answer["Tags"], json!([{ "Key": "Name", "Value": "root" }]));
    let id = answer["SnapshotId"].as_str().expect("an id");
    let blocks = [(4095, block(3)), (0, block(1)), (7, block(0))];
    for (index, block) in &blocks {
        let reply = ebs.put(id, *index, block).expect("put");
        assert_eq!(reply.status, 201);
        let checksum = ("x-amz-checksum", digest(block));
        assert!(reply.headers.contains(&checksum), "{:?}", reply.headers);
    }
    // A block put again counts once.
    ebs.put(id, 0, &block(2)).expect("put");
    assert_eq!(
        reason(&ebs.blocks(id).unwrap_err()),
        "INVALID_SNAPSHOT_ID",
        "it is pending"
    );
    let checksum = linear(&[&block(2), &block(0), &block(3)]);
    let reply = ebs
        .complete_with(
            id,
            &[
                ("x-amz-changedblockscount", "3"),
                ("x-amz-checksum", &checksum),
                ("x-amz-checksum-algorithm", "SHA256"),
                ("x-amz-checksum-aggregation-method", "LINEAR"),
            ],
        )
        .expect("completed");
    assert_eq!(reply.status, 202);

    let list = ebs.blocks(id).expect("a list");
    assert_eq!(indexes(&list["Blocks"]), [0, 7, 4095]);
    assert_eq!(list["VolumeSize"], 2);
    assert!(list.get("NextToken").is_none());
    for (entry, byte) in list["Blocks"]
        .as_array()
        .expect("a list")
        .iter()
        .zip([2, 0, 3])
    {
        let index = entry["BlockIndex"].as_u64().expect("an index");
        let token = entry["BlockToken"].as_str().expect("a token");
        let reply = ebs.read(id, index, token).expect("a block");
        assert_eq!(reply.body, block(byte), "block {index}");
        let headers = &reply.headers;
        assert!(headers.contains(&("x-amz-checksum", digest(&block(byte)))));
        assert!(headers.contains(&("x-amz-data-length", "524288".to_owned())));
    }
    let described = bed
        .ec2("publisher", "DescribeSnapshots", &[("SnapshotId.1", id)])
        .expect("described");
    assert_eq!(described.text("snapshotSet/item[0]/status"), "completed");
    assert_eq!(
        described.text("snapshotSet/item[0]/volumeId"),
        "vol-ffffffff"
    );
    assert_eq!(
        described.text("snapshotSet/item[0]/tagSet/item[0]/value"),
        "root"
    );
}

#[test]
fn a_start_that_is_wrong() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let parent = ebs.snapshot(&[(0, 1)]);
    let pending = ebs.started(json!({ "VolumeSize": 1 }));
    let long = "x".repeat(256);
    let long_token = "x".repeat(65);
    for (body, code, expected) in [
        (json!({}), "ValidationException", "INVALID_PARAMETER_VALUE"),
        (
            json!({ "VolumeSize": 0 }),
            "ValidationException",
            "INVALID_VOLUME_SIZE",
        ),
        (
            json!({ "VolumeSize": 65_537 }),
            "ValidationException",
            "INVALID_VOLUME_SIZE",
        ),
        (
            json!({ "VolumeSize": 1, "Timeout": 9 }),
            "ValidationException",
            "INVALID_PARAMETER_VALUE",
        ),
        (
            json!({ "VolumeSize": 1, "Timeout": 4321 }),
            "ValidationException",
            "INVALID_PARAMETER_VALUE",
        ),
        (
            json!({ "VolumeSize": 1, "Description": long }),
            "ValidationException",
            "INVALID_PARAMETER_VALUE",
        ),
        (
            json!({ "VolumeSize": 1, "ClientToken": long_token }),
            "ValidationException",
            "INVALID_PARAMETER_VALUE",
        ),
        (
            json!({ "VolumeSize": 1, "ClientToken": "a b" }),
            "ValidationException",
            "INVALID_PARAMETER_VALUE",
        ),
        (
            json!({ "VolumeSize": 1, "Tags": [{ "Key": "a" }, { "Key": "a" }] }),
            "ValidationException",
            "INVALID_TAG",
        ),
        (
            json!({ "VolumeSize": 1, "Tags": [{ "Key": "aws:a" }] }),
            "ValidationException",
            "INVALID_TAG",
        ),
        (
            json!({ "VolumeSize": 1, "Encrypted": true, "ParentSnapshotId": parent }),
            "ValidationException",
            "INVALID_DEPENDENCY_REQUEST",
        ),
        (
            json!({ "VolumeSize": 1, "Encrypted": false, "ParentSnapshotId": parent }),
            "ValidationException",
            "INVALID_DEPENDENCY_REQUEST",
        ),
        (
            json!({ "VolumeSize": 1, "KmsKeyArn": "arn:aws:kms:us-east-1:111111111111:key/a" }),
            "ValidationException",
            "INVALID_PARAMETER_VALUE",
        ),
        (
            json!({ "VolumeSize": 1, "Encrypted": true, "KmsKeyArn": "alias/a" }),
            "ValidationException",
            "INVALID_PARAMETER_VALUE",
        ),
        (
            json!({ "VolumeSize": 1, "Encrypted": true,
                "KmsKeyArn": "arn:aws:kms:us-east-1:111111111111:key/none" }),
            "ResourceNotFoundException",
            "DEPENDENCY_RESOURCE_NOT_FOUND",
        ),
        (
            json!({ "VolumeSize": 1, "ParentSnapshotId": "snap-00000000000000000" }),
            "ResourceNotFoundException",
            "SNAPSHOT_NOT_FOUND",
        ),
        (
            json!({ "VolumeSize": 1, "ParentSnapshotId": pending }),
            "ValidationException",
            "INVALID_SNAPSHOT_ID",
        ),
        (
            json!({ "VolumeSize": 1, "Colour": "red" }),
            "SerializationException",
            "",
        ),
        (json!({ "VolumeSize": "big" }), "SerializationException", ""),
    ] {
        let error = ebs.start(body.clone()).unwrap_err();
        assert_eq!((&*error.code, reason(&error)), (code, expected), "{body}");
    }
    let two = ebs.snapshot_of(json!({ "VolumeSize": 2 }), &[]);
    let error = ebs
        .start(json!({ "VolumeSize": 1, "ParentSnapshotId": two }))
        .unwrap_err();
    assert_eq!(
        reason(&error),
        "INVALID_VOLUME_SIZE",
        "smaller than its parent"
    );
}

#[test]
fn a_client_token_stands_for_one_start() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let body = json!({ "VolumeSize": 1, "ClientToken": "once" });
    let first = ebs.start(body.clone()).expect("started");
    assert_eq!(ebs.start(body.clone()).expect("the same"), first);
    // Also of a snapshot that takes no blocks any more, or is gone.
    let id = first["SnapshotId"].as_str().expect("an id");
    ebs.complete(id, 0).expect("completed");
    assert_eq!(ebs.start(body.clone()).expect("the same"), first);
    bed.ec2("publisher", "DeleteSnapshot", &[("SnapshotId", id)])
        .expect("deleted");
    assert_eq!(ebs.start(body).expect("the same"), first);
    let error = ebs
        .start(json!({ "VolumeSize": 2, "ClientToken": "once" }))
        .unwrap_err();
    assert_eq!((&*error.code, error.status), ("ConflictException", 409));
    let other = Direct {
        account: "customer",
        ..direct(&bed)
    };
    let theirs = other.started(json!({ "VolumeSize": 2, "ClientToken": "once" }));
    assert_ne!(first["SnapshotId"], theirs, "tokens are each account's own");
}

#[test]
fn a_put_that_is_wrong() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let id = ebs.started(json!({ "VolumeSize": 1 }));
    let good = block(1);
    let (checksum, other) = (digest(&good), digest(&block(2)));
    const LENGTH: (&str, &str) = ("x-amz-data-length", "524288");
    const ALGORITHM: (&str, &str) = ("x-amz-checksum-algorithm", "SHA256");
    let right = ("x-amz-checksum", checksum.as_str());
    let wrong = ("x-amz-checksum", other.as_str());
    let short = digest(&good[1..]);
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(u64, Headers<'_>, &[u8], &str); 9] = [
        (0, &[right, ALGORITHM], &good, "INVALID_PARAMETER_VALUE"),
        (0, &[LENGTH, ALGORITHM], &good, "INVALID_PARAMETER_VALUE"),
        (0, &[LENGTH, right], &good, "INVALID_PARAMETER_VALUE"),
        (
            0,
            &[LENGTH, right, ("x-amz-checksum-algorithm", "MD5")],
            &good,
            "INVALID_PARAMETER_VALUE",
        ),
        (
            0,
            &[LENGTH, wrong, ALGORITHM],
            &good,
            "INVALID_PARAMETER_VALUE",
        ),
        (
            0,
            &[LENGTH, right, ALGORITHM, ("x-amz-progress", "101")],
            &good,
            "INVALID_PARAMETER_VALUE",
        ),
        (
            0,
            &[("x-amz-data-length", "524287"), right, ALGORITHM],
            &good,
            "INVALID_BLOCK",
        ),
        (
            0,
            &[LENGTH, ("x-amz-checksum", &short), ALGORITHM],
            &good[1..],
            "INVALID_BLOCK",
        ),
        (2048, &[LENGTH, right, ALGORITHM], &good, "INVALID_BLOCK"),
    ];
    for (index, headers, body, expected) in cases {
        let error = ebs.put_with(&id, index, headers, body).unwrap_err();
        assert_eq!(error.code, "ValidationException", "{headers:?}");
        assert_eq!(reason(&error), expected, "{index} {headers:?}");
    }
    let error = ebs.put("snap-00000000000000000", 0, &good).unwrap_err();
    assert_eq!(
        (&*error.code, error.status),
        ("ResourceNotFoundException", 404)
    );
    assert_eq!(reason(&error), "SNAPSHOT_NOT_FOUND");
    let elsewhere = Direct {
        region: "us-west-2",
        ..direct(&bed)
    };
    let error = elsewhere.put(&id, 0, &good).unwrap_err();
    assert_eq!(error.code, "ResourceNotFoundException", "another Region");
    let customer = Direct {
        account: "customer",
        ..direct(&bed)
    };
    let error = customer.put(&id, 0, &good).unwrap_err();
    assert_eq!(error.code, "ResourceNotFoundException", "another account");
    let permission = [
        ("SnapshotId", id.as_str()),
        ("CreateVolumePermission.Add.1.UserId", "222222222222"),
    ];
    bed.ec2("publisher", "ModifySnapshotAttribute", &permission)
        .expect("shared");
    let error = customer.put(&id, 0, &good).unwrap_err();
    assert_eq!((&*error.code, error.status), ("AccessDeniedException", 403));
    assert_eq!(reason(&error), "UNAUTHORIZED_ACCOUNT");
    let error = ebs.complete(&id, 1).unwrap_err();
    assert_eq!(reason(&error), "INVALID_PARAMETER_VALUE", "none was kept");
}

#[test]
fn completing_checks_what_was_written() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let id = ebs.started(json!({ "VolumeSize": 1 }));
    ebs.put(&id, 1, &block(1)).expect("put");
    ebs.put(&id, 0, &block(2)).expect("put");
    let (right, wrong) = (
        linear(&[&block(2), &block(1)]),
        linear(&[&block(1), &block(2)]),
    );
    const COUNT: (&str, &str) = ("x-amz-changedblockscount", "2");
    const ALGORITHM: (&str, &str) = ("x-amz-checksum-algorithm", "SHA256");
    const METHOD: (&str, &str) = ("x-amz-checksum-aggregation-method", "LINEAR");
    let checksum = ("x-amz-checksum", right.as_str());
    let cases: [&[(&str, &str)]; 8] = [
        &[],
        &[("x-amz-changedblockscount", "1")],
        &[("x-amz-changedblockscount", "-1")],
        &[COUNT, ("x-amz-checksum", &wrong), ALGORITHM, METHOD],
        &[COUNT, checksum],
        &[COUNT, checksum, ALGORITHM],
        &[COUNT, ALGORITHM, METHOD],
        &[
            COUNT,
            checksum,
            ALGORITHM,
            ("x-amz-checksum-aggregation-method", "TREE"),
        ],
    ];
    for headers in cases {
        let error = ebs.complete_with(&id, headers).unwrap_err();
        assert_eq!(error.code, "ValidationException", "{headers:?}");
        assert_eq!(reason(&error), "INVALID_PARAMETER_VALUE", "{headers:?}");
    }
    ebs.complete_with(&id, &[COUNT, checksum, ALGORITHM, METHOD])
        .expect("completed");
    let error = ebs.complete(&id, 2).unwrap_err();
    assert_eq!(reason(&error), "INVALID_SNAPSHOT_ID", "completed already");
    let error = ebs.put(&id, 2, &block(1)).unwrap_err();
    assert_eq!(reason(&error), "INVALID_SNAPSHOT_ID", "completed already");
}

#[test]
fn a_parent_lends_its_blocks() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let parent = ebs.snapshot(&[(0, 1), (1, 2), (3, 0)]);
    let body = json!({ "VolumeSize": 2, "ParentSnapshotId": parent });
    let child = ebs.started(body);
    ebs.put(&child, 1, &block(9)).expect("put");
    ebs.put(&child, 4000, &block(4)).expect("put");
    bed.ec2("publisher", "DeleteSnapshot", &[("SnapshotId", &parent)])
        .expect("the parent may go");
    ebs.complete(&child, 2).expect("only what was put counts");
    let list = ebs.blocks(&child).expect("a list");
    assert_eq!(indexes(&list["Blocks"]), [0, 1, 3, 4000]);
    for (entry, byte) in list["Blocks"]
        .as_array()
        .expect("a list")
        .iter()
        .zip([1, 9, 0, 4])
    {
        let index = entry["BlockIndex"].as_u64().expect("an index");
        let token = entry["BlockToken"].as_str().expect("a token");
        let body = ebs.read(&child, index, token).expect("a block").body;
        assert_eq!(body, block(byte), "block {index}");
    }
}

#[test]
fn changes_between_snapshots_of_a_lineage() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let first = ebs.snapshot(&[(0, 1), (1, 2), (5, 5)]);
    let body = json!({ "VolumeSize": 1, "ParentSnapshotId": first });
    let second = ebs.snapshot_of(body, &[(1, 3), (2, 4), (5, 5)]);
    let changes = |first: &str, second: &str| {
        ebs.get(&format!(
            "/snapshots/{second}/changedblocks?firstSnapshotId={first}"
        ))
    };
    let list = changes(&first, &second).expect("a list");
    assert_eq!(indexes(&list["ChangedBlocks"]), [1, 2], "5 is the same");
    let changed = &list["ChangedBlocks"];
    assert!(
        changed[1].get("FirstBlockToken").is_none(),
        "not in the first"
    );
    for (id, token, byte) in [
        (&first, &changed[0]["FirstBlockToken"], 2),
        (&second, &changed[0]["SecondBlockToken"], 3),
    ] {
        let token = token.as_str().expect("a token");
        assert_eq!(ebs.read(id, 1, token).expect("a block").body, block(byte));
    }
    let other = ebs.snapshot(&[(0, 1)]);
    for (first, second, code, expected) in [
        (
            &*first,
            &*other,
            "ValidationException",
            "UNRELATED_SNAPSHOTS",
        ),
        (
            &*first,
            &*first,
            "ValidationException",
            "UNRELATED_SNAPSHOTS",
        ),
        (
            "snap-00000000000000000",
            &*second,
            "ResourceNotFoundException",
            "SNAPSHOT_NOT_FOUND",
        ),
    ] {
        let error = changes(first, second).unwrap_err();
        assert_eq!(
            (&*error.code, reason(&error)),
            (code, expected),
            "{first} {second}"
        );
    }
    let error = ebs
        .get(&format!("/snapshots/{second}/changedblocks"))
        .unwrap_err();
    assert_eq!(
        reason(&error),
        "INVALID_PARAMETER_VALUE",
        "no first snapshot"
    );
}

#[test]
fn lists_come_in_pages() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let blocks: Vec<(u64, u8)> = (0..250).map(|index| (index * 8, 0)).collect();
    let id = ebs.snapshot(&blocks);
    let list = |query: &str| ebs.get(&format!("/snapshots/{id}/blocks?{query}"));
    let page = |query: &str, token: &Value| {
        let token = token.as_str().expect("a token");
        let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
        list(&format!("{query}&pageToken={token}"))
    };
    let first = list("maxResults=100").expect("a page");
    let second = page("maxResults=200", &first["NextToken"]).expect("a page");
    let mut all = indexes(&first["Blocks"]);
    assert_eq!(all.len(), 100);
    all.extend(indexes(&second["Blocks"]));
    assert_eq!(
        all,
        blocks.iter().map(|(index, _)| *index).collect::<Vec<_>>()
    );
    assert!(second.get("NextToken").is_none());
    let rest = list("maxResults=10000&startingBlockIndex=1977").expect("a page");
    assert_eq!(indexes(&rest["Blocks"]), [1984, 1992]);
    for (query, expected) in [
        ("maxResults=99", "INVALID_PARAMETER_VALUE"),
        ("maxResults=10001", "INVALID_PARAMETER_VALUE"),
        ("startingBlockIndex=-1", "INVALID_PARAMETER_VALUE"),
        ("colour=red", "INVALID_PARAMETER_VALUE"),
        ("pageToken=bm9uZQ", "INVALID_PAGE_TOKEN"),
    ] {
        assert_eq!(reason(&list(query).unwrap_err()), expected, "{query}");
    }
    let other = ebs.snapshot(&[]);
    let token = first["NextToken"].as_str().expect("a token");
    let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    let error = ebs
        .get(&format!("/snapshots/{other}/blocks?pageToken={token}"))
        .unwrap_err();
    assert_eq!(reason(&error), "INVALID_PAGE_TOKEN", "another snapshot's");
    bed.shared
        .clock
        .advance(std::time::Duration::from_secs(3601));
    let error = page("maxResults=100", &first["NextToken"]).unwrap_err();
    assert_eq!(reason(&error), "INVALID_PAGE_TOKEN", "after an hour");
}

#[test]
fn a_block_token_is_for_one_block_and_a_week() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let id = ebs.snapshot(&[(0, 1), (1, 2)]);
    let other = ebs.snapshot(&[(0, 3)]);
    let list = ebs.blocks(&id).expect("a list");
    let token = list["Blocks"][0]["BlockToken"].as_str().expect("a token");
    ebs.read(&id, 0, token).expect("a block");
    for (id, index, token, expected) in [
        (&id, 1, token, "INVALID_BLOCK_TOKEN"),
        (&other, 0, token, "INVALID_BLOCK_TOKEN"),
        (&id, 0, "bm9uZQ==", "INVALID_BLOCK_TOKEN"),
        (&id, 0, "", "INVALID_BLOCK_TOKEN"),
        (&id, 2048, token, "INVALID_BLOCK"),
    ] {
        let error = ebs.read(id, index, token).unwrap_err();
        assert_eq!(reason(&error), expected, "{id} {index} {token}");
    }
    let day = std::time::Duration::from_secs(24 * 3600);
    bed.shared.clock.advance(day * 6);
    ebs.read(&id, 0, token).expect("a block after six days");
    bed.shared.clock.advance(day);
    let error = ebs.read(&id, 0, token).unwrap_err();
    assert_eq!(reason(&error), "INVALID_BLOCK_TOKEN", "after seven days");
}

#[test]
fn others_read_what_is_shared_with_them() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let id = ebs.snapshot(&[(0, 1)]);
    let customer = Direct {
        account: "customer",
        ..direct(&bed)
    };
    let error = customer.blocks(&id).unwrap_err();
    assert_eq!(reason(&error), "SNAPSHOT_NOT_FOUND");
    let permission = [
        ("SnapshotId", id.as_str()),
        ("CreateVolumePermission.Add.1.UserId", "222222222222"),
    ];
    bed.ec2("publisher", "ModifySnapshotAttribute", &permission)
        .expect("shared");
    let list = customer.blocks(&id).expect("a list");
    assert_eq!(indexes(&list["Blocks"]), [0]);
}

#[test]
fn a_snapshot_that_is_left_alone_fails() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let id = ebs.started(json!({ "VolumeSize": 1, "Timeout": 10 }));
    let minute = std::time::Duration::from_secs(60);
    bed.shared.clock.advance(minute * 9);
    ebs.put(&id, 0, &block(1)).expect("in time");
    bed.shared.clock.advance(minute * 9);
    ebs.put(&id, 1, &block(1)).expect("in time again");
    bed.shared.clock.advance(minute * 11);
    assert!(bed.shared.blocks.has_writer(&id));
    let error = ebs.put(&id, 2, &block(1)).unwrap_err();
    assert_eq!(reason(&error), "INVALID_SNAPSHOT_ID");
    assert!(!bed.shared.blocks.has_writer(&id), "its files are closed");
    let error = ebs.complete(&id, 2).unwrap_err();
    assert_eq!(reason(&error), "INVALID_SNAPSHOT_ID");
    let described = bed
        .ec2("publisher", "DescribeSnapshots", &[("SnapshotId.1", &id)])
        .expect("described");
    assert_eq!(described.text("snapshotSet/item[0]/status"), "error");
}

#[test]
fn a_put_that_the_completion_overtakes_changes_nothing() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let id = ebs.started(json!({ "VolumeSize": 1 }));
    ebs.put(&id, 0, &block(1)).expect("put");
    let before = bed.shared.snapshot();
    ebs.complete(&id, 1).expect("completed");
    let (late, checksum) = (block(2), digest(&block(2)));
    let headers = [
        ("x-amz-data-length", "524288"),
        ("x-amz-checksum", &checksum),
        ("x-amz-checksum-algorithm", "SHA256"),
    ];
    let path = format!("/snapshots/{id}/blocks/0");
    let request = request("PUT", &path, &headers, &late);
    let operation = operation(&request).expect("an operation");
    let mut context = bed.context(Service::Ebs, operation, "publisher", "us-east-1", request);
    // It looked before the completion, and goes on after it.
    context.stale = Some(before);
    let error = Service::Ebs.handle(&context).unwrap_err();
    assert_eq!(reason(&error), "INVALID_SNAPSHOT_ID");
    assert!(!bed.shared.blocks.has_writer(&id));
    let (found, _) = bed.shared.blocks.read(&id, 0).expect("read").expect("it");
    assert!(found == block(1));
}

#[test]
fn data_that_a_deletion_took_away_is_not_found() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let id = ebs.snapshot(&[(0, 1)]);
    let list = ebs.blocks(&id).expect("a list");
    let token = list["Blocks"][0]["BlockToken"].as_str().expect("a token");
    let open = ebs.started(json!({ "VolumeSize": 1 }));
    bed.shared.blocks.close(&open);
    let folder = bed.folder.path().join("blocks");
    // The documents are as a call saw them that looked before the deletion.
    for (id, end) in [(&id, "data"), (&open, "table"), (&open, "data")] {
        std::fs::remove_file(folder.join(format!("{id}.{end}"))).expect("removed");
    }
    let read = ebs.read(&id, 0, token).unwrap_err();
    std::fs::remove_file(folder.join(format!("{id}.table"))).expect("removed");
    for error in [
        read,
        ebs.read(&id, 0, token).unwrap_err(),
        ebs.blocks(&id).unwrap_err(),
        ebs.put(&open, 0, &block(1)).unwrap_err(),
        ebs.complete(&open, 0).unwrap_err(),
    ] {
        assert_eq!((error.status, reason(&error)), (404, "SNAPSHOT_NOT_FOUND"));
    }
}

#[test]
fn so_many_may_be_pending() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    bed.shared.limits.set("pending-snapshots", 2);
    let first = ebs.started(json!({ "VolumeSize": 1 }));
    ebs.started(json!({ "VolumeSize": 1 }));
    let error = ebs.start(json!({ "VolumeSize": 1 })).unwrap_err();
    assert_eq!(
        (&*error.code, error.status),
        ("ServiceQuotaExceededException", 402)
    );
    assert_eq!(reason(&error), "DEPENDENCY_SERVICE_QUOTA_EXCEEDED");
    ebs.complete(&first, 0).expect("completed");
    ebs.started(json!({ "VolumeSize": 1 }));
}

#[test]
fn requests_are_told_apart() {
    for (method, path, expected) in [
        ("POST", "/snapshots", Some("StartSnapshot")),
        (
            "PUT",
            "/snapshots/snap-1/blocks/2",
            Some("PutSnapshotBlock"),
        ),
        (
            "POST",
            "/snapshots/completion/snap-1",
            Some("CompleteSnapshot"),
        ),
        (
            "GET",
            "/snapshots/snap-1/blocks?maxResults=100",
            Some("ListSnapshotBlocks"),
        ),
        (
            "GET",
            "/snapshots/snap-1/changedblocks",
            Some("ListChangedBlocks"),
        ),
        (
            "GET",
            "/snapshots/snap-1/blocks/2",
            Some("GetSnapshotBlock"),
        ),
        ("GET", "/snapshots", None),
        ("DELETE", "/snapshots/snap-1/blocks/2", None),
        ("GET", "/snapshots/snap-1/blocks/2/3", None),
    ] {
        assert_eq!(
            operation(&request(method, path, &[], b"")),
            expected,
            "{method} {path}"
        );
    }
    let bed = Bed::new();
    let error = direct(&bed).call("GET", "/volumes", &[], b"").unwrap_err();
    assert_eq!(error.code, "UnknownOperationException");
}

#[test]
fn what_was_put_survives_a_restart() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let id = ebs.started(json!({ "VolumeSize": 1 }));
    ebs.put(&id, 0, &block(1)).expect("put");
    // What is only in memory is forgotten.
    bed.shared.blocks.close(&id);
    ebs.put(&id, 1, &block(2)).expect("put");
    crate::sandbox::blocks::recover(&bed.shared);
    bed.shared.settle();
    ebs.complete(&id, 2).expect("completed");
    assert_eq!(indexes(&ebs.blocks(&id).expect("a list")["Blocks"]), [0, 1]);
}

/// A key of an account in `us-east-1`.
fn key(bed: &Bed, account: &str) -> String {
    let body = json!({});
    let answer = bed.json(Service::Kms, account, "us-east-1", "CreateKey", body);
    let answer = answer.expect("a key");
    answer["KeyMetadata"]["Arn"]
        .as_str()
        .expect("an ARN")
        .to_owned()
}

#[test]
fn encrypted_snapshots_need_their_key() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let default = ebs.started(json!({ "VolumeSize": 1, "Encrypted": true }));
    ebs.put(&default, 0, &block(1)).expect("under aws/ebs");
    let key = key(&bed, "publisher");
    let body = json!({ "VolumeSize": 1, "Encrypted": true, "KmsKeyArn": key });
    let answer = ebs.start(body.clone()).expect("started");
    assert_eq!(answer["KmsKeyArn"], key);
    let id = ebs.snapshot_of(body.clone(), &[(0, 1)]);
    let child = ebs
        .start(json!({ "VolumeSize": 1, "ParentSnapshotId": id }))
        .expect("started");
    assert_eq!(child["KmsKeyArn"], key, "the parent's");
    let list = ebs.blocks(&id).expect("a list");
    let token = list["Blocks"][0]["BlockToken"].as_str().expect("a token");

    // Sharing the snapshot does not share its key.
    let permission = [
        ("SnapshotId", id.as_str()),
        ("CreateVolumePermission.Add.1.UserId", "222222222222"),
    ];
    bed.ec2("publisher", "ModifySnapshotAttribute", &permission)
        .expect("shared");
    let customer = Direct {
        account: "customer",
        ..direct(&bed)
    };
    for error in [
        customer.blocks(&id).unwrap_err(),
        customer.read(&id, 0, token).unwrap_err(),
        customer
            .start(json!({ "VolumeSize": 1, "ParentSnapshotId": id }))
            .unwrap_err(),
    ] {
        assert_eq!((&*error.code, error.status), ("AccessDeniedException", 403));
        assert_eq!(reason(&error), "DEPENDENCY_ACCESS_DENIED");
    }
    let grant = json!({
        "KeyId": key,
        "GranteePrincipal": "arn:aws:iam::222222222222:root",
        "Operations": ["Decrypt", "DescribeKey"],
    });
    bed.json(Service::Kms, "publisher", "us-east-1", "CreateGrant", grant)
        .expect("granted");
    let list = customer.blocks(&id).expect("a list");
    assert_eq!(indexes(&list["Blocks"]), [0]);

    let disable = json!({ "KeyId": key });
    bed.json(
        Service::Kms,
        "publisher",
        "us-east-1",
        "DisableKey",
        disable,
    )
    .expect("disabled");
    for error in [
        ebs.start(body).unwrap_err(),
        ebs.blocks(&id).unwrap_err(),
        ebs.read(&id, 0, token).unwrap_err(),
    ] {
        assert_eq!(error.code, "ValidationException");
        assert_eq!(reason(&error), "INVALID_CUSTOMER_KEY");
    }
}

#[test]
fn encryption_by_default_counts() {
    let bed = Bed::new();
    let ebs = direct(&bed);
    let plain = ebs.snapshot(&[]);
    bed.ec2("publisher", "EnableEbsEncryptionByDefault", &[])
        .expect("enabled");
    let answer = ebs.start(json!({ "VolumeSize": 1 })).expect("started");
    assert!(answer["KmsKeyArn"].is_string(), "{answer}");
    for (body, expected) in [
        (
            json!({ "VolumeSize": 1, "ParentSnapshotId": plain }),
            "INVALID_DEPENDENCY_REQUEST",
        ),
        (
            json!({ "VolumeSize": 1, "Encrypted": false }),
            "INVALID_PARAMETER_VALUE",
        ),
    ] {
        let error = ebs.start(body.clone()).unwrap_err();
        assert_eq!(reason(&error), expected, "{body}");
    }
}
