//! Each path, what it refuses, and who may use it.

use std::sync::Arc;

use super::routes::route;
use super::*;
use crate::sandbox::testing::Bed;

struct Desk {
    bed: Bed,
    endpoint: Endpoint,
}

impl Desk {
    fn new() -> Desk {
        let bed = Bed::new();
        let endpoint = Endpoint::new(Arc::clone(&bed.shared), "http://127.0.0.1:1".to_owned());
        Desk { bed, endpoint }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value, Wrong> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let method = method.parse().expect("a method");
        let path = format!("/_sandbox/{path}");
        route(&self.endpoint, &method, &path, query, body.as_bytes())
    }

    fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "").expect(path)
    }
}

#[test]
fn requests_that_are_refused() {
    let desk = Desk::new();
    for (method, path, body, status) in [
        ("GET", "", "", 404),
        ("GET", "nothing", "", 404),
        ("GET", "health/more", "", 404),
        ("GET", "health?a=b", "", 400),
        ("GET", "health", "{}", 400),
        ("POST", "health", "", 405),
        ("PUT", "faults", "{}", 405),
        ("POST", "faults", "", 400),
        ("POST", "faults", "[]", 400),
        ("POST", "faults", r#"{"action": "explode"}"#, 400),
        ("POST", "faults", r#"{"action": "deny", "x": 1}"#, 400),
        ("POST", "faults", r#"{"action": "deny", "nth": 0}"#, 400),
        ("POST", "faults/1", r#"{"action": "deny"}"#, 405),
        ("GET", "faults/1", "", 404),
        ("GET", "faults/x", "", 400),
        ("DELETE", "faults/1", "", 404),
        ("GET", "calls?x=1", "", 400),
        ("GET", "calls?service=iam", "", 400),
        ("GET", "calls?after=x", "", 400),
        ("GET", "calls?limit=1&limit=2", "", 400),
        ("DELETE", "calls?service=ec2", "", 400),
        ("PUT", "limits", r#"{"nothing": 1}"#, 400),
        ("PUT", "limits", r#"{"images": "many"}"#, 400),
        (
            "PUT",
            "limits",
            r#"{"images": 1, "sts": {"per_second": -1, "burst": 1}}"#,
            400,
        ),
        ("PUT", "clock", r#"{"scale": -1}"#, 400),
        ("PUT", "clock", r#"{"scale": 1001}"#, 400),
        ("PUT", "clock", r#"{"advance_seconds": -1}"#, 400),
        ("PUT", "clock", r#"{"advance_seconds": 1e300}"#, 400),
        ("PUT", "clock", r#"{"advance_seconds": 4e9}"#, 400),
        (
            "PUT",
            "clock",
            r#"{"advance_seconds": 60, "scale": -1}"#,
            400,
        ),
        ("PUT", "clock", r#"{"back": 1}"#, 400),
        ("POST", "policies", "{}", 405),
        ("PUT", "policies/ci", "{}", 400),
        ("PUT", "policies/ci?who=publisher", "{}", 400),
        (
            "PUT",
            "policies/ci?account=publisher&account=customer",
            "{}",
            400,
        ),
        ("PUT", "policies/ci?account=nobody", "{}", 404),
        ("PUT", "policies/ci?account=publisher", "{}", 400),
        (
            "PUT",
            "policies/ci?account=publisher",
            r#"{"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}"#,
            400,
        ),
        (
            "PUT",
            "policies/ci%20x?account=publisher",
            r#"{"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "*", "Resource": "*"}}"#,
            400,
        ),
        ("POST", "policies/ci?account=publisher", "{}", 405),
        ("GET", "policies/ci?account=publisher", "", 404),
        ("DELETE", "policies/ci?account=publisher", "", 404),
        ("POST", "accounts", r#"{"name": "a"}"#, 400),
        ("POST", "accounts", r#"{"name": "a", "id": "1"}"#, 400),
        (
            "POST",
            "accounts",
            r#"{"name": "a b", "id": "333333333333"}"#,
            409,
        ),
        (
            "POST",
            "accounts",
            r#"{"name": "publisher", "id": "333333333333"}"#,
            409,
        ),
        (
            "POST",
            "accounts",
            r#"{"name": "other", "id": "111111111111"}"#,
            409,
        ),
    ] {
        match desk.ask(method, path, body) {
            Err(Wrong(found, why)) => {
                assert_eq!(found, status, "{method} {path} {body}: {why}");
                assert!(!why.is_empty());
            }
            Ok(value) => panic!("{method} {path} {body}: {value}"),
        }
    }
    // Nothing of a refused change is done.
    assert_eq!(desk.get("limits")["images"], 50_000);
    assert_eq!(desk.get("clock")["ahead_seconds"], 0.0);
    assert_eq!(desk.get("faults"), json!([]));
}

#[test]
fn faults_come_and_go() {
    let desk = Desk::new();
    let rule = r#"{"service": "ec2", "nth": 2, "action": {"delay": {"ms": 5}}}"#;
    assert_eq!(desk.ask("POST", "faults", rule), Ok(json!({"id": 1})));
    assert_eq!(
        desk.ask("POST", "faults", r#"{"action": "stall"}"#),
        Ok(json!({"id": 2}))
    );
    let first = json!({
        "id": 1, "service": "ec2", "nth": 2, "action": {"delay": {"ms": 5}}, "seen": 0,
        "applied": 0
    });
    assert_eq!(desk.get("faults/1"), first);
    assert_eq!(desk.get("faults")[1]["action"], "stall");
    assert_eq!(desk.ask("DELETE", "faults/1", ""), Ok(json!({})));
    assert_eq!(desk.get("faults").as_array().map(Vec::len), Some(1));
    assert_eq!(desk.ask("DELETE", "faults", ""), Ok(json!({})));
    assert_eq!(desk.get("faults"), json!([]));
}

#[test]
fn limits_clock_and_accounts_are_set() {
    let desk = Desk::new();
    let set = desk.ask(
        "PUT",
        "limits",
        r#"{"images": 5, "sts": {"per_second": 0.5, "burst": 2}, "ec2-mutating": "unlimited"}"#,
    );
    let set = set.expect("limits");
    assert_eq!(set["images"], 5);
    assert_eq!(set["sts"], json!({"per_second": 0.5, "burst": 2.0}));
    assert_eq!(set["ec2-mutating"], "unlimited");
    assert_eq!(desk.bed.shared.limits.quota("images"), 5);

    for advance in ["60", "30.5"] {
        let body = format!(r#"{{"advance_seconds": {advance}, "scale": 0.25}}"#);
        desk.ask("PUT", "clock", &body).expect("a clock");
    }
    let clock = desk.get("clock");
    assert_eq!(clock["ahead_seconds"], 90.5);
    assert_eq!(clock["scale"], 0.25);
    assert_eq!(desk.bed.shared.clock.ahead_ms(), 90_500);

    let body = r#"{"name": "other", "id": "333333333333"}"#;
    for _ in 0..2 {
        let accounts = desk.ask("POST", "accounts", body).expect("accounts");
        assert_eq!(accounts.as_array().map(Vec::len), Some(3));
        assert_eq!(accounts[2]["name"], "other");
        assert!(accounts[2]["secret_access_key"].is_string());
        assert_eq!(accounts, desk.get("accounts"));
    }
    assert_eq!(desk.get("health")["status"], "running");
}

#[test]
fn policies_are_put_and_taken_away() {
    let desk = Desk::new();
    let document = json!({
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}
    });
    let path = "policies/ci%2Bx@y?account=publisher";
    let put = desk.ask("PUT", path, &document.to_string());
    assert_eq!(put, Ok(json!({})));
    assert_eq!(desk.get("policies/ci+x@y?account=111111111111"), document);
    let list = json!([{
        "account": "111111111111", "role": "ci+x@y",
        "arn": "arn:aws:iam::111111111111:role/ci+x@y"
    }]);
    assert_eq!(desk.get("policies"), list);
    assert!(
        desk.ask("GET", "policies/ci+x@y?account=customer", "")
            .is_err()
    );
    assert_eq!(desk.ask("DELETE", path, ""), Ok(json!({})));
    assert_eq!(desk.get("policies"), json!([]));
}

#[test]
fn calls_are_read_and_forgotten() {
    let desk = Desk::new();
    for service in [
        crate::sandbox::service::Service::Ec2,
        crate::sandbox::service::Service::Kms,
    ] {
        drop(crate::sandbox::calls::Recording::new(
            &desk.bed.shared,
            service,
            "id",
        ));
    }
    assert_eq!(desk.get("calls").as_array().map(Vec::len), Some(2));
    let found = desk.get("calls?service=kms&after=1&limit=5");
    assert_eq!(found[0]["sequence"], 2);
    assert_eq!(found[0]["parameters"], json!({}));
    assert_eq!(desk.ask("DELETE", "calls", ""), Ok(json!({})));
    assert_eq!(desk.get("calls"), json!([]));
}

#[test]
fn who_may_control() {
    let host = |host: &'static str| ("host", host);
    for (peer, headers, ok) in [
        (Peer::Loopback, vec![host("127.0.0.1:4566")], true),
        (Peer::Loopback, vec![host("localhost:4566")], true),
        (Peer::Loopback, vec![host("LOCALHOST")], true),
        (Peer::Loopback, vec![host("[::1]:4566")], true),
        (Peer::Loopback, vec![host("[::1]")], true),
        (Peer::Loopback, vec![host("127.0.0.1")], true),
        (Peer::Loopback, vec![], false),
        (Peer::Loopback, vec![host("evil.example:4566")], false),
        (Peer::Loopback, vec![host("localhost.evil.example")], false),
        (
            Peer::Loopback,
            vec![host("localhost"), ("origin", "http://localhost")],
            false,
        ),
        (
            Peer::Loopback,
            vec![host("localhost"), ("sec-fetch-site", "none")],
            false,
        ),
        (Peer::Remote, vec![host("127.0.0.1:4566")], false),
        (Peer::Socket, vec![host("127.0.0.1:4566")], false),
    ] {
        let map = headers
            .iter()
            .map(|(name, value)| {
                let name: hyper::header::HeaderName = name.parse().expect("a name");
                (name, value.parse().expect("a value"))
            })
            .collect();
        assert_eq!(guard(peer, &map).is_ok(), ok, "{peer:?} {headers:?}");
    }
}

#[test]
fn paths_of_control() {
    let here = "127.0.0.1:4566";
    for (host, path, ok) in [
        (here, "/_sandbox", true),
        (here, "/_sandbox/faults", true),
        ("localhost:4566", "/_sandbox/faults", true),
        (here, "/_sandboxes", false),
        (here, "/a/_sandbox/", false),
        (here, "/", false),
        ("bucket.localhost:4566", "/_sandbox/faults", false),
        ("bucket.s3.localhost:4566", "/_sandbox/faults", false),
        ("s3.localhost:4566", "/_sandbox/faults", true),
    ] {
        let headers = HeaderMap::from_iter([(hyper::header::HOST, host.parse().expect("a value"))]);
        assert_eq!(is_for(path, &headers), ok, "{host} {path}");
    }
}

#[test]
fn the_help_names_every_path_and_action() {
    for word in [
        "health",
        "faults",
        "calls",
        "limits",
        "clock",
        "accounts",
        "policies",
        "throttle",
        "error",
        "close-before",
        "close-after",
        "delay",
        "stall",
        "expire-credentials",
        "deny",
        "no-capacity",
        "fail-later",
        "stale-reads",
    ] {
        assert!(HELP.contains(word), "{word}");
    }
}
