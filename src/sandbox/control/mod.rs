//! Control of a sandbox while it runs, at `/_sandbox/…` on its endpoint, in JSON.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /_sandbox/health` | says that the sandbox runs |
//! | `POST /_sandbox/faults` | adds a fault; answers with its number, `{"id": 1}` |
//! | `GET /_sandbox/faults`, `GET /_sandbox/faults/1` | the faults, with how many calls matched and to how many they were applied |
//! | `DELETE /_sandbox/faults`, `DELETE /_sandbox/faults/1` | removes all, or one |
//! | `GET /_sandbox/calls` | the calls that came in; filters in the query: `service`, `operation`, `account`, `region`, `error`, `after` (a call's number), `limit` (the last so many) |
//! | `DELETE /_sandbox/calls` | forgets them |
//! | `GET /_sandbox/limits` | quotas and rates by name |
//! | `PUT /_sandbox/limits` | sets some: `{"images": 5, "ebs-start-snapshot": {"per_second": 2, "burst": 4}, "ec2-mutating": "unlimited"}`; the name `rates` stands for all rates |
//! | `GET /_sandbox/clock` | the sandbox's time, how far it is ahead, and the scale of AWS's durations |
//! | `PUT /_sandbox/clock` | `{"scale": 0.1}` sets the scale, `{"advance_seconds": 86400}` puts the clock forward, for good |
//! | `GET /_sandbox/accounts` | the accounts with their access keys |
//! | `POST /_sandbox/accounts` | adds one: `{"name": "other", "id": "333333333333"}` |
//! | `PUT /_sandbox/policies/<role>?account=<id or name>` | gives a role of an account its identity policy, an IAM policy document: sessions of the role may do what it allows and nothing else; without one they are administrators |
//! | `GET /_sandbox/policies`, `GET /_sandbox/policies/<role>?account=…` | the roles that have a policy; a role's policy |
//! | `DELETE /_sandbox/policies/<role>?account=…` | makes the role's sessions administrators again |
//!
//! What is wrong with a request is said with a status of 400 to 499 and `{"error": "…"}`. The path
//! serves only this machine: no other one, no virtual machine, and no page in a browser.
//!
//! # Faults
//! A fault says for which calls it is, and what befalls them:
//!
//! ```json
//! {"service": "ec2", "operation": "CopyImage", "region": "eu-central-1",
//!  "account": "111111111111", "nth": 2, "action": "throttle"}
//! ```
//!
//! All but `action` may be left out. Instead of `nth` (from 1) there may be `skip`, so many calls
//! that pass first, and `times`, how often it is applied at most. With `"each": true` these count
//! every request for itself, by its operation, Region and parameters, so that `times: 1` hinders
//! each request once and lets its retry through. The actions:
//!
//! | action | what befalls the call |
//! |---|---|
//! | `"throttle"` | the service's answer to too many calls |
//! | `{"error": {"status": 500, "code": "InternalError", "message": "…"}}` | that error |
//! | `"close-before"` | the connection is closed and nothing is done |
//! | `"close-after"` | the work is done, then the connection is closed without an answer |
//! | `{"delay": {"ms": 500}}` | it waits first |
//! | `"stall"` | no answer, until the client gives up or ten minutes are over |
//! | `"expire-credentials"` | the service's answer to a session that has ended |
//! | `"deny"` | the service's answer to a principal without the permission |
//! | `"no-capacity"` | RunInstances finds no capacity |
//! | `{"fail-later": {"reason": "…"}}` | the copy or snapshot is accepted, and fails later |
//! | `{"stale-reads": {"ms": 2000}}` | after this write, the reads of the service in that Region (`Describe…`, `List…`, `Get…`) see the world before it for so long; not of S3, which is consistent |
//!
//! Faults are tried in the order in which they were added; those after one that refuses the call do
//! not see it. They are gone when the sandbox stops.

mod policies;
mod routes;
#[cfg(test)]
mod tests;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method};
use serde_json::{Value, json};

use super::s3;
use super::server::{Body, Endpoint, Peer};

/// How faults and the rest are controlled, for the command line's `--help`.
pub const HELP: &str = r#"Control and faults:
  The endpoint's path /_sandbox/ controls a running sandbox, in JSON and only from this machine.

    GET    /_sandbox/health             whether it runs
    POST   /_sandbox/faults             add a fault; answers {"id": 1}
    GET    /_sandbox/faults[/ID]        faults, how many calls matched and were hit
    DELETE /_sandbox/faults[/ID]        remove all, or one
    GET    /_sandbox/calls              calls that came in; ?service= &operation= &account=
                                        &region= &error= &after=NUMBER &limit=COUNT
    DELETE /_sandbox/calls              forget them
    GET    /_sandbox/limits             quotas and rates by name
    PUT    /_sandbox/limits             {"images": 5, "rates": "unlimited"}
    GET    /_sandbox/clock              time and scale
    PUT    /_sandbox/clock              {"scale": 0.1}, {"advance_seconds": 86400}
    GET    /_sandbox/accounts           accounts and their access keys
    POST   /_sandbox/accounts           {"name": "other", "id": "333333333333"}
    GET    /_sandbox/policies           roles that have a policy
    PUT    /_sandbox/policies/ROLE?account=ID_OR_NAME
                                        confine the role's sessions to an IAM policy, the body;
                                        GET shows it, DELETE makes them administrators again

  Every role can be assumed by everybody, with AssumeRole or AssumeRoleWithWebIdentity; of a web
  identity's token neither issuer nor signature are checked.

  A fault names the calls that it is for (service, operation, region, account: all may be left
  out), which of them (nth; or skip and times; with "each": true these count every request for
  itself, so that its retries are let through), and what befalls them:

    "throttle"                          too many calls, as the service says it
    {"error": {"status": 500, "code": "InternalError"}}
    "close-before", "close-after"       the connection closes before or after the work is done
    {"delay": {"ms": 500}}, "stall"     it takes longer, or is never answered
    "expire-credentials", "deny"        the session has ended; the permission is missing
    "no-capacity"                       RunInstances finds no capacity
    {"fail-later": {"reason": "..."}}   a copy or a snapshot is accepted and fails later
    {"stale-reads": {"ms": 2000}}       after a write, reads see the world before it

  The second CopyImage to eu-central-1 is throttled:
    curl -X POST http://127.0.0.1:4566/_sandbox/faults -d '{"service": "ec2",
      "operation": "CopyImage", "region": "eu-central-1", "nth": 2, "action": "throttle"}'
"#;

/// What is wrong with a request: an HTTP status, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong(u16, String);

/// Whether a request is control's. No bucket of S3 can have the path's name; where the host names
/// the bucket, the path is an object's key.
pub(super) fn is_for(path: &str, headers: &HeaderMap) -> bool {
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    (path == "/_sandbox" || path.starts_with("/_sandbox/"))
        && host.and_then(s3::bucket_of_host).is_none()
}

/// Answers a request.
pub(super) async fn answer(
    endpoint: &Endpoint,
    peer: Peer,
    request: hyper::Request<Incoming>,
) -> hyper::Response<Body> {
    let (head, body) = request.into_parts();
    let answer = match guard(peer, &head.headers) {
        Err(wrong) => Err(wrong),
        Ok(()) => match endpoint.bodies.read(body).await {
            Err(_) => Err(Wrong(
                400,
                "the body cannot be read, or is too large".to_owned(),
            )),
            Ok(held) => routes::route(
                endpoint,
                &head.method,
                head.uri.path(),
                head.uri.query().unwrap_or_default(),
                &held.bytes,
            ),
        },
    };
    respond(&head.method, answer)
}

/// Only whoever is on this machine, and not what a page in its browser sends: that has `Origin`,
/// or `Sec-Fetch-Site`, or a host's name that somebody let point at this machine.
fn guard(peer: Peer, headers: &HeaderMap) -> Result<(), Wrong> {
    if peer != Peer::Loopback {
        return Err(Wrong(
            403,
            "only this machine itself can control the sandbox".to_owned(),
        ));
    }
    if headers.contains_key("origin") || headers.contains_key("sec-fetch-site") {
        return Err(Wrong(
            403,
            "a page in a browser cannot control the sandbox".to_owned(),
        ));
    }
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    if host.is_none_or(|host| !is_local(host)) {
        return Err(Wrong(
            403,
            "control has no other host name than `localhost` or an address".to_owned(),
        ));
    }
    Ok(())
}

/// Whether a `Host` is `localhost` or an address, with or without a port.
fn is_local(host: &str) -> bool {
    use std::net::{IpAddr, SocketAddr};
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    host.parse::<SocketAddr>().is_ok()
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
        || name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
}

fn respond(method: &Method, answer: Result<Value, Wrong>) -> hyper::Response<Body> {
    let (status, value) = match answer {
        Ok(value) if *method == Method::POST => (201, value),
        Ok(value) => (200, value),
        Err(Wrong(status, why)) => (status, json!({ "error": why })),
    };
    let body = Full::new(format!("{value}\n").into())
        .map_err(|never| match never {})
        .boxed();
    let mut response = hyper::Response::new(body);
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        "content-type",
        hyper::header::HeaderValue::from_static("application/json"),
    );
    response
}
