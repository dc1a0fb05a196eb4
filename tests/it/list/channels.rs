//! Channels, read from a catalog in a bucket or on a web server.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use super::shop::{Shop, ids};
use crate::publish::house::{BUCKET, REGIONS};
use crate::sandbox::client::{Call, Expect as _};
use crate::sandbox::place::{CUSTOMER, PUBLISHER};

/// A channel's document: what is in it, and what was.
fn document(channel: &str, now: &str, before: &str) -> String {
    let stay = |release: &str, until: Value| {
        let mut stay = json!({ "release": release, "since": "2026-02-01T00:00:00Z", "by": "me" });
        if !until.is_null() {
            stay["until"] = until;
        }
        stay
    };
    let stays = [
        stay(before, json!("2026-02-02T00:00:00Z")),
        stay(now, Value::Null),
    ];
    json!({ "schema": 1, "channel": channel, "stays": stays }).to_string()
}

/// Puts an object into the publisher's bucket.
fn put(shop: &Shop, key: &str, body: &str) {
    let call = Call::new("PUT", &format!("/{BUCKET}/{key}")).body(body);
    shop.house.place.publisher().s3(&call).done("an object");
}

/// Lets the customer read the catalog: what the bucket's policy of a publisher says.
fn open(shop: &Shop, prefix: &str) {
    let customer = json!({ "AWS": format!("arn:aws:iam::{CUSTOMER}:root") });
    let folder = format!("{prefix}channels/*");
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        {
            "Effect": "Allow", "Principal": customer, "Action": "s3:ListBucket",
            "Resource": format!("arn:aws:s3:::{BUCKET}"),
            "Condition": { "StringLike": { "s3:prefix": folder } }
        },
        {
            "Effect": "Allow", "Principal": customer, "Action": "s3:GetObject",
            "Resource": format!("arn:aws:s3:::{BUCKET}/{folder}")
        }
    ] });
    let call = Call::new("PUT", &format!("/{BUCKET}?policy")).body(policy.to_string());
    shop.house.place.publisher().s3(&call).done("a policy");
}

/// Two releases of `base`: the older one is in `stable`, the newer one in `nightly`.
fn stocked() -> (Shop, [String; 2]) {
    let shop = Shop::new();
    let here = shop.house.client(REGIONS[0]);
    let name = |day: &str| format!("tests/base/3.15/alpine-3.15.11/x86_64/{day}");
    let amis = ["20260131.1", "20260201.1"].map(|day| shop.offer(&here, &name(day)));
    (shop, amis)
}

const OLDER: &str = "base-3.15-x86_64-20260131.1";
const NEWER: &str = "base-3.15-x86_64-20260201.1";

#[test]
fn a_bucket_of_another_account_in_another_region() {
    let (shop, [older, newer]) = stocked();
    put(
        &shop,
        "img/channels/stable.json",
        &document("stable", OLDER, NEWER),
    );
    put(
        &shop,
        "img/channels/nightly.json",
        &document("nightly", NEWER, OLDER),
    );
    put(&shop, "img/channels/README.txt", "no channel");
    let catalog = format!("s3://{BUCKET}/img");
    let base = ["--publisher", PUBLISHER, "--catalog", &catalog];

    // Who may not read it is told what is missing, and sees everything else.
    let partial = shop.list(&[&base[..], &["--format", "csv"]].concat());
    assert_eq!(partial.stdout.lines().count(), 3, "{}", partial.stdout);
    let said = partial.failed(1);
    assert!(
        said.contains("s3:GetObject") && said.contains("serve the catalog to the account"),
        "{said}"
    );
    let stable = [&base[..], &["--channel", "stable"]].concat();
    let refused = shop.list(&stable);
    assert_eq!(refused.stdout, "");
    refused.failed(1);

    open(&shop, "img/");
    let listed = shop.json(&base);
    assert_eq!(ids(&listed), [&newer, &older]);
    assert_eq!(listed["images"][0]["channels"], json!(["nightly"]));
    assert_eq!(listed["images"][1]["channels"], json!(["stable"]));
    assert_eq!(ids(&shop.json(&stable)), [&older]);
    let one = [&stable[..], &["--version", "3", "--id"]].concat();
    assert_eq!(shop.list(&one).done(), format!("{older}\n"));
    // From a Region where the bucket is not.
    let abroad = [&stable[..], &["--region", REGIONS[1]]].concat();
    assert!(ids(&shop.json(&abroad)).is_empty());
    let table = shop.list(&base).done();
    assert!(
        table
            .lines()
            .next()
            .is_some_and(|line| line.ends_with("channels")),
        "{table}"
    );
    let said = shop
        .list(&[&base[..], &["--channel", "edge"]].concat())
        .failed(1);
    assert!(said.contains("nightly, stable"), "{said}");

    put(&shop, "img/channels/stable.json", r#"{"schema": 99}"#);
    let said = shop.list(&stable).failed(1);
    assert!(
        said.contains("format 99") && said.contains("update alpine-ami"),
        "{said}"
    );
    let said = shop.list(&["--channel", "stable"]).failed(2);
    assert!(
        said.contains("catalog") && said.contains("--catalog s3://"),
        "{said}"
    );
    let said = shop
        .list(&["--catalog", "s3://no-such-bucket-at-all"])
        .failed(1);
    assert!(said.contains("no-such-bucket-at-all"), "{said}");
}

#[test]
fn a_publishers_own_bucket_is_its_catalog() {
    let (shop, [older, _]) = stocked();
    put(
        &shop,
        "channels/stable.json",
        &document("stable", OLDER, NEWER),
    );
    let list = [
        "list",
        "--channel",
        "stable",
        "--id",
        "--region",
        REGIONS[0],
    ];
    assert_eq!(shop.house.run(&list).done(), format!("{older}\n"));
}

#[test]
fn a_web_server() {
    let (shop, [older, newer]) = stocked();
    let edge = document("edge", NEWER, OLDER);
    let files = [
        (
            "/img/channels/stable.json",
            document("stable", OLDER, NEWER),
        ),
        ("/img/channels/edge.json", edge),
        ("/new/channels/nightly.json", r#"{"schema": 3}"#.to_owned()),
    ];
    let port = serve(files.map(|(path, body)| (path.to_owned(), body)).into());
    let at = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    let catalog = at("img");
    let base = [
        "--publisher",
        PUBLISHER,
        "--catalog",
        &catalog,
        "--region",
        REGIONS[0],
    ];
    let listed = shop.json(&base);
    assert_eq!(listed["images"][1]["channels"], json!(["stable"]));
    assert_eq!(listed["images"][0]["channels"], json!([]));
    // A channel that no configuration names is asked for by its name.
    let edge = [&base[..], &["--channel", "edge"]].concat();
    assert_eq!(ids(&shop.json(&edge)), [&newer]);

    // What is said once need not be said again.
    let settings = format!("[list]\npublisher = \"{PUBLISHER}\"\ncatalog = \"{catalog}\"\n");
    let file = shop.house.folder().join("customer.toml");
    std::fs::write(&file, settings).expect("written");
    let file = file.to_str().expect("a path");
    let one = ["--config", file, "--channel", "stable", "--id"];
    assert_eq!(shop.list(&one).done(), format!("{older}\n"));

    for (path, words) in [
        ("new", &["format 3", "update alpine-ami"][..]),
        ("nothing", &["none of the channels", "stable"]),
    ] {
        let catalog = at(path);
        let said = shop
            .list(&["--publisher", PUBLISHER, "--catalog", &catalog])
            .failed(1);
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    let gone = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr();
    let catalog = format!("http://{}", gone.expect("an address"));
    let partial = shop.list(&["--publisher", PUBLISHER, "--catalog", &catalog]);
    assert!(partial.stdout.contains(&older), "{}", partial.stdout);
    assert!(partial.failed(1).contains("the catalog cannot be read"));
    // An id that needs no channel needs no catalog.
    let one = ["--publisher", PUBLISHER, "--catalog", &catalog, "--id"];
    assert_eq!(shop.list(&one).done(), format!("{newer}\n"));
}

/// Serves files on a port of loopback until the tests end.
fn serve(files: BTreeMap<String, String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&files, stream.expect("a connection"));
        }
    });
    port
}

fn answer(files: &BTreeMap<String, String>, mut stream: TcpStream) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    for line in lines {
        if line.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match files.get(path) {
        Some(body) => ("200 OK", body.as_str()),
        None => ("404 Not Found", ""),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .expect("sent");
}
