//! Conditional reads and writes.

use std::time::SystemTime;

use super::client::with_bucket;

const ETAG: &str = "\"8d777f385d3dfec8815d20f7496026dc\"";

fn http_date(offset_hours: i64) -> String {
    let moment =
        time::OffsetDateTime::from(SystemTime::now()) + time::Duration::hours(offset_hours);
    moment
        .format(time::macros::format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        ))
        .expect("a date")
}

#[test]
fn reads() {
    let (_bed, client) = with_bucket();
    client.must("PUT", "/bucket/a", "data");
    let (past, future) = (http_date(-1), http_date(1));
    for (headers, expected) in [
        (vec![("if-match", ETAG)], "200"),
        (vec![("if-match", "\"x\"")], "412 PreconditionFailed"),
        (vec![("if-none-match", ETAG)], "304"),
        (vec![("if-none-match", "\"x\"")], "200"),
        (vec![("if-modified-since", &*past)], "200"),
        (vec![("if-modified-since", &*future)], "304"),
        (vec![("if-unmodified-since", &*future)], "200"),
        (
            vec![("if-unmodified-since", &*past)],
            "412 PreconditionFailed",
        ),
        (
            vec![("if-match", ETAG), ("if-unmodified-since", &*past)],
            "200",
        ),
        (
            vec![("if-none-match", "\"x\""), ("if-modified-since", &*future)],
            "200",
        ),
        (
            vec![("if-none-match", ETAG), ("if-modified-since", &*past)],
            "304",
        ),
    ] {
        let reply = client.send("GET", "/bucket/a", &headers, b"");
        assert_eq!(reply.outcome(), expected, "{headers:?}");
        if reply.status == 304 {
            assert_eq!((reply.header("etag"), reply.body.len()), (ETAG, 0));
        }
    }
}

#[test]
fn writes() {
    let (_bed, client) = with_bucket();
    let put = |key: &str, name: &str, value: &str| {
        let path = format!("/bucket/{key}");
        client
            .send("PUT", &path, &[(name, value)], b"data")
            .outcome()
    };
    assert_eq!(put("a", "if-none-match", "*"), "200");
    assert_eq!(put("a", "if-none-match", "*"), "412 PreconditionFailed");
    assert_eq!(put("a", "if-none-match", ETAG), "501 NotImplemented");
    assert_eq!(put("a", "if-match", ETAG), "200");
    assert_eq!(put("a", "if-match", "\"x\""), "412 PreconditionFailed");
    assert_eq!(put("b", "if-match", ETAG), "404 NoSuchKey");
    let delete = |value| {
        client
            .send("DELETE", "/bucket/a", &[("if-match", value)], b"")
            .outcome()
    };
    assert_eq!(delete("\"x\""), "412 PreconditionFailed");
    assert_eq!(delete(ETAG), "204");
    assert_eq!(put("a", "if-none-match", "*"), "200");
}

#[test]
fn a_deleted_object_is_new_again_where_versions_are_kept() {
    let (_bed, client) = with_bucket();
    client.must(
        "PUT",
        "/bucket?versioning",
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    );
    let put = || {
        let reply = client.send("PUT", "/bucket/a", &[("if-none-match", "*")], b"data");
        reply.outcome()
    };
    assert_eq!(put(), "200");
    assert_eq!(put(), "412 PreconditionFailed");
    client.must("DELETE", "/bucket/a", "");
    assert_eq!(put(), "200");
}

#[test]
fn one_of_many_writers_wins() {
    let (_bed, client) = with_bucket();
    let outcomes: Vec<String> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let client = client.clone();
                scope.spawn(move || {
                    let body = vec![number; 100_000];
                    let headers = [("if-none-match", "*")];
                    client.send("PUT", "/bucket/a", &headers, &body).outcome()
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().expect("a writer"))
            .collect()
    });
    let count = |wanted: &str| outcomes.iter().filter(|one| *one == wanted).count();
    assert_eq!(count("200"), 1, "{outcomes:?}");
    assert_eq!(count("412 PreconditionFailed"), 7, "{outcomes:?}");
    let files = std::fs::read_dir(client.shared.folder.join("s3/data")).expect("data");
    assert_eq!(files.count(), 1, "the losers' data is gone");
}

#[test]
fn a_writer_that_loses_against_a_deletion_is_told() {
    use crate::sandbox::s3::conditions::WriteConditions;
    use s3s::dto::ETagCondition;
    let only_new = WriteConditions::new(None, Some(ETagCondition::Any)).expect("conditions");
    let matching = WriteConditions::new(ETAG.parse().ok(), None).expect("conditions");
    for (conditions, existed, expected) in [
        (&only_new, true, Some("ConditionalRequestConflict")),
        (&only_new, false, None),
        (&matching, true, Some("ConditionalRequestConflict")),
        (&matching, false, Some("NoSuchKey")),
    ] {
        let error = conditions.check(None, existed).err();
        let code = error.as_ref().map(|error| &*error.code);
        assert_eq!(code, expected, "{conditions:?} {existed}");
        if let Some(error) = error.filter(|_| existed) {
            assert_eq!(error.status, 409);
        }
    }
}
