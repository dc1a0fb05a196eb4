//! When a policy is public ("The meaning of public" in the S3 user guide), and what S3 demands of
//! a bucket's policy besides what every policy must be.

use serde_json::Value;

/// Whether a policy opens a bucket to everybody: a statement allows something to any principal,
/// and no condition holds it to fixed values of who or where from.
pub fn is_public(document: &str) -> bool {
    // What cannot be read does not get this far; if it did, the careful answer is yes.
    let Ok(policy) = serde_json::from_str::<Value>(document) else {
        return true;
    };
    statements(&policy).any(|statement| {
        statement["Effect"] == "Allow"
            && names_everybody(statement)
            && !statement["Condition"].as_object().is_some_and(|operators| {
                operators
                    .iter()
                    .any(|(operator, keys)| holds_to_fixed_values(operator, keys))
            })
    })
}

fn statements(policy: &Value) -> impl Iterator<Item = &Value> {
    one_or_more(&policy["Statement"]).into_iter()
}

/// The items of a list, or the one thing that stands in its place.
fn one_or_more(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

fn names_everybody(statement: &Value) -> bool {
    if !statement["NotPrincipal"].is_null() {
        return true;
    }
    let principal = &statement["Principal"];
    principal == "*"
        || one_or_more(&principal["AWS"])
            .into_iter()
            .any(|name| name == "*")
}

/// Keys that tell who somebody is or where from, in lower case.
const TELLING_KEYS: &[&str] = &[
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:sourcearn",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourceowner",
    "aws:sourceaccount",
    "aws:sourceip",
    "aws:userid",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:dataaccesspointarn",
    "s3:dataaccesspointaccount",
];

fn holds_to_fixed_values(operator: &str, keys: &Value) -> bool {
    let operator = operator.rsplit(':').next().unwrap_or(operator);
    let holds = matches!(
        operator,
        "StringEquals"
            | "StringEqualsIgnoreCase"
            | "StringLike"
            | "ArnEquals"
            | "ArnLike"
            | "IpAddress"
    );
    holds
        && keys.as_object().is_some_and(|keys| {
            keys.iter().any(|(key, values)| {
                let key = key.to_ascii_lowercase();
                TELLING_KEYS.contains(&key.as_str())
                    && one_or_more(values)
                        .into_iter()
                        .all(|value| value.as_str().is_some_and(|value| is_fixed(&key, value)))
            })
        })
}

fn is_fixed(key: &str, value: &str) -> bool {
    match key {
        // A range so wide that it means everybody.
        "aws:sourceip" => !value.ends_with("/0"),
        // A path below a fixed organization names that organization's accounts only.
        "aws:principalorgpaths" => value
            .split_once('/')
            .is_some_and(|(organization, _)| !organization.contains(['*', '?', '$'])),
        "aws:userid" => !value
            .split(':')
            .next()
            .unwrap_or_default()
            .contains(['*', '?', '$']),
        _ => !value.contains(['*', '?']) && !value.contains("${"),
    }
}

/// What is wrong with a document as the policy of a bucket.
pub fn check(document: &str, bucket: &str) -> Result<(), String> {
    let policy: Value = serde_json::from_str(document)
        .map_err(|_| "Policies must be valid JSON and the first byte must be '{'".to_owned())?;
    if statements(&policy).next().is_none() {
        return Err("Missing required field Statement".to_owned());
    }
    for statement in statements(&policy) {
        if statement["Principal"].is_null() && statement["NotPrincipal"].is_null() {
            return Err("Missing required field Principal".to_owned());
        }
        let actions = names(statement, "Action", "NotAction")?;
        if !actions
            .iter()
            .all(|action| *action == "*" || action.to_ascii_lowercase().starts_with("s3:"))
        {
            return Err("Policy has invalid action".to_owned());
        }
        let resources = names(statement, "Resource", "NotResource")?;
        let own = super::access::arn(bucket, None);
        let is_own = |resource: &&str| {
            **resource == own
                || **resource == format!("{own}*")
                || resource
                    .strip_prefix(own.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        if !resources.iter().all(is_own) {
            return Err("Policy has invalid resource".to_owned());
        }
        let for_objects = |resource: &&str| **resource != own;
        let fits = actions.iter().any(|action| match scope(action) {
            Scope::Bucket => resources
                .iter()
                .any(|resource| *resource == own || *resource == format!("{own}*")),
            Scope::Object => resources.iter().any(for_objects),
            Scope::Either => true,
        });
        if !fits && statement["NotAction"].is_null() {
            return Err("Action does not apply to any resource(s) in statement".to_owned());
        }
    }
    Ok(())
}

fn names<'a>(statement: &'a Value, name: &str, negated: &str) -> Result<Vec<&'a str>, String> {
    let values: Vec<&str> = one_or_more(&statement[name])
        .into_iter()
        .chain(one_or_more(&statement[negated]))
        .filter_map(Value::as_str)
        .collect();
    if values.is_empty() {
        return Err(format!("Missing required field {name}"));
    }
    Ok(values)
}

enum Scope {
    Bucket,
    Object,
    Either,
}

/// What kind of resource an action is on, as far as that is plain.
fn scope(action: &str) -> Scope {
    let name = action
        .split_once(':')
        .map_or(action, |(_, name)| name)
        .to_ascii_lowercase();
    if name.contains(['*', '?']) {
        return Scope::Either;
    }
    let of_objects = ["getobject", "putobject", "deleteobject", "restoreobject"];
    if of_objects.iter().any(|start| name.starts_with(start))
        || name == "abortmultipartupload"
        || name == "listmultipartuploadparts"
    {
        Scope::Object
    } else if name.starts_with("listbucket") || name.starts_with("getbucket") {
        Scope::Bucket
    } else {
        Scope::Either
    }
}
