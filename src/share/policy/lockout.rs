//! Whether a policy can still be changed. KMS refuses one that its caller could not change again; this
//! says so before anything is done, where it is plain.

use serde_json::Value;

use super::statements::texts;
use crate::aws::AccountId;

const PUT: &str = "kms:PutKeyPolicy";

/// Whether statements may let the account, or the principal, put another policy. What hangs on a
/// condition may be: then KMS decides.
pub(super) fn may_put_policy(statements: &[Value], account: &AccountId, principal: &str) -> bool {
    let applies = |statement: &&Value| {
        let is_named = names(statement, account, principal);
        is_named && is_about_putting(statement)
    };
    let about: Vec<&Value> = statements.iter().filter(applies).collect();
    let is_plain = |statement: &&Value| statement.get("Condition").is_none();
    let is_denial = |statement: &&&Value| statement["Effect"] == "Deny" && is_plain(statement);
    let is_allowed = about.iter().any(|statement| statement["Effect"] == "Allow");
    is_allowed && !about.iter().any(|statement| is_denial(&statement))
}

fn names(statement: &Value, account: &AccountId, principal: &str) -> bool {
    let named = match &statement["Principal"] {
        named @ Value::String(_) => texts(named),
        named => texts(&named["AWS"]),
    };
    let role = role_of(principal);
    named.into_iter().any(|name| {
        let is_root = name.ends_with(&format!(":iam::{account}:root"));
        name == "*"
            || name == account.as_str()
            || is_root
            || name == principal
            || role.is_some_and(|role| is_role(name, role))
    })
}

/// The name of the role whose session a principal is: `arn:aws:sts::…:assumed-role/<role>/<session>`.
fn role_of(principal: &str) -> Option<&str> {
    let (_, rest) = principal.split_once(":assumed-role/")?;
    rest.split_once('/').map(|(role, _)| role)
}

/// Whether an ARN is a role's, whatever its path, which sessions do not say.
fn is_role(arn: &str, name: &str) -> bool {
    let path = arn.split_once(":role/").map(|(_, path)| path);
    path.and_then(|path| path.rsplit('/').next()) == Some(name)
}

fn is_about_putting(statement: &Value) -> bool {
    let matches =
        |pattern: &&str| is_like(&pattern.to_ascii_lowercase(), &PUT.to_ascii_lowercase());
    let actions = texts(&statement["Action"]);
    let all_but = texts(&statement["NotAction"]);
    match all_but.is_empty() {
        true => actions.iter().any(matches),
        false => !all_but.iter().any(matches),
    }
}

/// Whether a text is of a pattern, in which `*` stands for anything and `?` for a character.
fn is_like(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            is_like(&pattern[1..], text)
                || text
                    .chars()
                    .next()
                    .is_some_and(|char| is_like(pattern, &text[char.len_utf8()..]))
        }
        (Some(want), Some(have)) if want == '?' || want == have => {
            is_like(&pattern[want.len_utf8()..], &text[have.len_utf8()..])
        }
        _ => false,
    }
}
