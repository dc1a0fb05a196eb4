//! Listings.

use super::client::with_bucket;
use crate::sandbox::s3::paging::{Page, Query, page};

#[test]
fn pages() {
    let keys = ["a", "b/1", "b/2", "c", "d/e/f", "d/g", "é"];
    let list = |prefix, delimiter, after, most| {
        let after: &str = after;
        let all = keys
            .iter()
            .filter(|key| **key > after)
            .map(|key| (*key, *key));
        page(
            all,
            Query {
                prefix,
                delimiter,
                after,
                most,
            },
        )
    };
    for (query, items, prefixes, next) in [
        (("", "", "", 1000), &keys[..], &[][..], None),
        (("", "/", "", 1000), &["a", "c", "é"], &["b/", "d/"], None),
        (("", "/", "", 2), &["a"], &["b/"], Some("b/")),
        (("", "/", "b/", 2), &["c"], &["d/"], Some("d/")),
        (("", "/", "d/", 2), &["é"], &[], None),
        (("", "/", "b/1", 1), &[], &["b/"], Some("b/")),
        (("d/", "/", "", 1000), &["d/g"], &["d/e/"], None),
        (("d", "/", "", 1000), &[], &["d/"], None),
        (("", "", "c", 1), &["d/e/f"], &[], Some("d/e/f")),
        (("x", "", "", 10), &[], &[], None),
        (("", "", "", 0), &[], &[], None),
    ] {
        let (prefix, delimiter, after, most) = query;
        let expected = Page {
            items: items.to_vec(),
            prefixes: prefixes
                .iter()
                .map(|one: &&str| (*one).to_owned())
                .collect(),
            next: next.map(str::to_owned),
        };
        assert_eq!(list(prefix, delimiter, after, most), expected, "{query:?}");
    }
}

#[test]
fn objects() {
    let (_bed, client) = with_bucket();
    client.must("PUT", "/bucket-two", "");
    for key in ["a", "b/1", "b/2", "c%20%26d", "z"] {
        client.must("PUT", &format!("/bucket/{key}"), "data");
        client.must("PUT", &format!("/bucket-two/{key}"), "data");
    }
    let all = client.get("/bucket?list-type=2");
    assert_eq!(all.elements("Key"), ["a", "b/1", "b/2", "c &amp;d", "z"]);
    assert_eq!(all.element("KeyCount"), "5");
    let encoded = client.get("/bucket?list-type=2&encoding-type=url&prefix=c");
    assert_eq!(encoded.elements("Key"), ["c+%26d"]);
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let reply = client.get(&format!(
            "/bucket?list-type=2&max-keys=2&delimiter=%2F{token}"
        ));
        seen.push((reply.elements("Key"), reply.elements("Prefix")));
        if reply.element("IsTruncated") == "false" {
            break;
        }
        token = format!(
            "&continuation-token={}",
            reply.element("NextContinuationToken")
        );
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[0].0, ["a"]);
    assert_eq!(seen[1].0, ["c &amp;d", "z"]);
    let after = client.get("/bucket?list-type=2&start-after=b/1&max-keys=1");
    assert_eq!(after.elements("Key"), ["b/2"]);
    let first = client.get("/bucket?max-keys=2&delimiter=%2F");
    assert_eq!(first.element("NextMarker"), "b/");
    let second = client.get("/bucket?marker=b%2F&delimiter=%2F");
    assert_eq!(second.elements("Key"), ["c &amp;d", "z"]);
    for (query, expected) in [
        (
            "list-type=2&continuation-token=nonsense",
            "400 InvalidArgument",
        ),
        ("list-type=2&max-keys=-1", "400 InvalidArgument"),
        ("list-type=2&encoding-type=rot13", "400 InvalidArgument"),
        ("versions&version-id-marker=null", "400 InvalidArgument"),
    ] {
        let reply = client.get(&format!("/bucket?{query}"));
        assert_eq!(reply.outcome(), expected, "{query}: {}", reply.text());
    }
}
