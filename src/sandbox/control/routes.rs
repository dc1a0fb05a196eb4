//! What each path of control does.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Wrong, policies};
use crate::sandbox::calls::CallFilter;
use crate::sandbox::error::ServiceError;
use crate::sandbox::faults::Rule;
use crate::sandbox::id::AccountId;
use crate::sandbox::limits::Limit;
use crate::sandbox::server::{Endpoint, Environment, MOST_SCALE, add_account, advance_clock};

/// The clock is put forward by a century at most, in all.
const MOST_AHEAD: u64 = 100 * 366 * 24 * 3600;

/// Does what a request asks for.
pub(super) fn route(
    endpoint: &Endpoint,
    method: &Method,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Value, Wrong> {
    let rest = path.strip_prefix("/_sandbox").unwrap_or_default();
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    if !query.is_empty() && !matches!(parts[..], ["calls"] | ["policies", _]) {
        return Err(Wrong(400, format!("{path} has no query")));
    }
    if !body.is_empty() && !matches!(*method, Method::POST | Method::PUT) {
        return Err(Wrong(400, format!("{method} {path} has no body")));
    }
    let shared = &endpoint.shared;
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["health"]) => Ok(json!({ "status": "running", "endpoint": endpoint.url })),
        ("GET", ["faults"]) => to_json(&shared.faults.list()),
        ("POST", ["faults"]) => {
            let rule: Rule = read(body)?;
            let id = shared.faults.add(rule).map_err(bad)?;
            Ok(json!({ "id": id }))
        }
        ("DELETE", ["faults"]) => {
            shared.faults.clear();
            Ok(json!({}))
        }
        ("GET", ["faults", id]) => match shared.faults.get(number(id)?) {
            Some(fault) => to_json(&fault),
            None => Err(Wrong(404, format!("there is no fault {id}"))),
        },
        ("DELETE", ["faults", id]) => {
            if shared.faults.remove(number(id)?) {
                Ok(json!({}))
            } else {
                Err(Wrong(404, format!("there is no fault {id}")))
            }
        }
        ("GET", ["calls"]) => to_json(&shared.calls.list(&call_filter(query)?)),
        ("DELETE", ["calls"]) if query.is_empty() => {
            shared.calls.clear();
            Ok(json!({}))
        }
        ("DELETE", ["calls"]) => Err(Wrong(400, "calls are forgotten all at once".to_owned())),
        ("GET", ["limits"]) => to_json(&shared.limits.list()),
        ("PUT", ["limits"]) => {
            set_limits(endpoint, body)?;
            to_json(&shared.limits.list())
        }
        ("GET", ["clock"]) => Ok(clock(endpoint)),
        ("PUT", ["clock"]) => {
            set_clock(endpoint, body)?;
            Ok(clock(endpoint))
        }
        ("GET", ["accounts"]) => to_json(&Environment::of(shared, &endpoint.url).accounts),
        ("POST", ["accounts"]) => {
            post_account(endpoint, body)?;
            to_json(&Environment::of(shared, &endpoint.url).accounts)
        }
        ("GET", ["policies"]) => Ok(policies::list(endpoint)),
        (_, ["policies", role]) => policies::route(endpoint, method, role, query, body),
        (_, ["health" | "faults" | "calls" | "limits" | "clock" | "accounts" | "policies"])
        | (_, ["faults", _]) => Err(Wrong(405, format!("{path} has no {method}"))),
        _ => Err(Wrong(
            404,
            format!(
                "there is no {path}; there are /_sandbox/health, faults, calls, limits, clock, \
                 accounts and policies"
            ),
        )),
    }
}

fn set_limits(endpoint: &Endpoint, body: &[u8]) -> Result<(), Wrong> {
    let limits = &endpoint.shared.limits;
    let wanted: BTreeMap<String, Limit> = read(body)?;
    // All or none.
    let check = crate::sandbox::limits::Limits::new();
    for (name, limit) in &wanted {
        check.apply(name, *limit).map_err(bad)?;
    }
    for (name, limit) in &wanted {
        limits.apply(name, *limit).map_err(bad)?;
    }
    Ok(())
}

fn clock(endpoint: &Endpoint) -> Value {
    let clock = &endpoint.shared.clock;
    json!({
        "now": clock.now().iso(),
        "ahead_seconds": clock.ahead_ms() as f64 / 1000.0,
        "scale": clock.scale(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetClock {
    scale: Option<f64>,
    advance_seconds: Option<f64>,
}

fn set_clock(endpoint: &Endpoint, body: &[u8]) -> Result<(), Wrong> {
    let shared = &endpoint.shared;
    let wanted: SetClock = read(body)?;
    if let Some(scale) = wanted.scale
        && !(0.0..=MOST_SCALE).contains(&scale)
    {
        return Err(bad(format!("`scale` is a number from 0 to {MOST_SCALE}")));
    }
    if let Some(seconds) = wanted.advance_seconds {
        let by = Duration::try_from_secs_f64(seconds)
            .map_err(|_| bad("the clock goes forward only: `advance_seconds` is from 0"))?;
        let ahead = u64::try_from(shared.clock.ahead_ms() / 1000).unwrap_or_default();
        if by.as_secs().saturating_add(ahead) > MOST_AHEAD {
            return Err(bad("the clock cannot be more than a century ahead"));
        }
        advance_clock(shared, by).map_err(broken)?;
    }
    if let Some(scale) = wanted.scale {
        shared.clock.set_scale(scale);
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    name: String,
    id: AccountId,
}

fn post_account(endpoint: &Endpoint, body: &[u8]) -> Result<(), Wrong> {
    let shared = &endpoint.shared;
    let new: NewAccount = read(body)?;
    shared
        .transact(|world| {
            add_account(world, &new.name, &new.id)
                .map_err(|why| ServiceError::new("InvalidAccount", why).status(409))
        })
        .map_err(|error| Wrong(error.status, error.message))?;
    Environment::of(shared, &endpoint.url)
        .write(&shared.folder)
        .map_err(broken)
}

fn call_filter(query: &str) -> Result<CallFilter, Wrong> {
    let mut members = serde_json::Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = match &*name {
            "after" | "limit" => number(&value)?.into(),
            _ => Value::String(value.into_owned()),
        };
        if members.insert(name.to_string(), value).is_some() {
            return Err(bad(format!("`{name}` is given more than once")));
        }
    }
    serde_json::from_value(Value::Object(members)).map_err(bad)
}

fn number(text: &str) -> Result<u64, Wrong> {
    text.parse()
        .map_err(|_| bad(format!("`{text}` is no number")))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Wrong> {
    serde_json::from_slice(body).map_err(bad)
}

fn to_json(value: &impl serde::Serialize) -> Result<Value, Wrong> {
    serde_json::to_value(value).map_err(broken)
}

fn bad(why: impl std::fmt::Display) -> Wrong {
    Wrong(400, why.to_string())
}

fn broken(why: impl std::fmt::Display) -> Wrong {
    Wrong(500, why.to_string())
}
