//! Control of the policies of roles: `/_sandbox/policies/<role>?account=<id or name>`.

use hyper::Method;
use serde_json::{Value, json};

use super::Wrong;
use crate::sandbox::error::ServiceError;
use crate::sandbox::iam::RolePolicy;
use crate::sandbox::id::AccountId;
use crate::sandbox::server::Endpoint;
use crate::sandbox::world::World;

/// Every role that has a policy.
pub(super) fn list(endpoint: &Endpoint) -> Value {
    let show = |policy: &RolePolicy| {
        json!({
            "account": policy.account,
            "role": policy.role,
            "arn": format!("arn:aws:iam::{}:role/{}", policy.account, policy.role),
        })
    };
    let policies = endpoint
        .shared
        .read(|world| world.iam.list().map(show).collect());
    Value::Array(policies)
}

/// Gives a role its policy, shows it as it was put, or takes it away.
pub(super) fn route(
    endpoint: &Endpoint,
    method: &Method,
    role: &str,
    query: &str,
    body: &[u8],
) -> Result<Value, Wrong> {
    let role = percent_encoding::percent_decode_str(role)
        .decode_utf8()
        .map_err(|_| Wrong(400, format!("`{role}` is no role's name")))?;
    let shared = &endpoint.shared;
    let account = shared.read(|world| account(world, query))?;
    let none = || {
        let why = format!(
            "the role `{role}` of the account {account} has no policy: its sessions are \
             administrators"
        );
        Wrong(404, why)
    };
    match method.as_str() {
        "GET" => shared.read(|world| {
            let policy = world.iam.get(&account, &role).ok_or_else(none)?;
            serde_json::from_str(&policy.document).map_err(|error| Wrong(500, error.to_string()))
        }),
        "PUT" => {
            let document = std::str::from_utf8(body)
                .map_err(|_| Wrong(400, "the policy is not in UTF-8".to_owned()))?;
            let put = shared.transact(|world| {
                world
                    .iam
                    .put(&account, &role, document)
                    .map_err(|error| ServiceError::new("MalformedPolicyDocument", error.0))
            });
            put.map_err(|error| Wrong(error.status, error.message))?;
            Ok(json!({}))
        }
        "DELETE" => {
            let deleted = shared.transact(|world| Ok(world.iam.delete(&account, &role)));
            match deleted.map_err(|error| Wrong(error.status, error.message))? {
                true => Ok(json!({})),
                false => Err(none()),
            }
        }
        _ => Err(Wrong(405, format!("a role's policy has no {method}"))),
    }
}

/// The account that `account=` names, by its id or name.
fn account(world: &World, query: &str) -> Result<AccountId, Wrong> {
    let mut given: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let (Some((name, wanted)), true) = (given.pop(), given.is_empty()) else {
        return Err(Wrong(
            400,
            "say whose role it is: ?account=<id or name>".to_owned(),
        ));
    };
    if name != "account" {
        return Err(Wrong(400, format!("a role's policy has no `{name}`")));
    }
    world
        .accounts
        .values()
        .find(|account| account.name == wanted || account.id.as_str() == wanted)
        .map(|account| account.id.clone())
        .ok_or_else(|| Wrong(404, format!("there is no account `{wanted}`")))
}
