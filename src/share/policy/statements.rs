//! Statements of policies: how ours in a key's are written and read, and whom others name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Foreign, Purpose, User};
use crate::aws::AccountId;

/// What launching from an encrypted AMI takes, but for grants.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/share-amis-with-organizations-and-OUs.html>
const USES: [&str; 4] = [
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKey*",
    "kms:ReEncrypt*",
];
const GRANTS: [&str; 1] = ["kms:CreateGrant"];
/// The service-linked roles of Auto Scaling, with a suffix or without; their account is not asked
/// about, for it is the launch permission that counts.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/autoscaling-service-linked-role.html>
const AUTO_SCALING: &str =
    "iam::*:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling*";

/// How a statement names its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Accounts,
    Organizations,
    Units,
}

pub(super) const KINDS: [Kind; 3] = [Kind::Accounts, Kind::Organizations, Kind::Units];

/// Operator and key of the condition on an organization.
pub(super) const ORGANIZATIONS: (&str, &str) = ("StringEquals", "aws:PrincipalOrgID");
/// The same of a unit: a principal has one path, in a list.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalorgpaths>
const UNITS: (&str, &str) = ("ForAnyValue:StringLike", "aws:PrincipalOrgPaths");

impl Kind {
    pub(super) fn of(user: &User) -> Kind {
        match user {
            User::Account(_) | User::Other(_) => Kind::Accounts,
            User::Organization(_) => Kind::Organizations,
            User::Unit(..) | User::Path(_) => Kind::Units,
        }
    }

    pub(super) fn condition(self) -> Option<(&'static str, &'static str)> {
        match self {
            Kind::Accounts => None,
            Kind::Organizations => Some(ORGANIZATIONS),
            Kind::Units => Some(UNITS),
        }
    }
}

/// The kind and the purpose of a statement of ours, by its Sid.
fn meaning(statement: &Value, sid: &str) -> Option<(Kind, Purpose)> {
    let text = statement["Sid"].as_str()?.strip_prefix(sid)?;
    let pairs = KINDS
        .into_iter()
        .flat_map(|kind| Purpose::ALL.map(|purpose| (kind, purpose)));
    pairs
        .into_iter()
        .find(|(kind, purpose)| format!("{kind:?}{purpose:?}") == text)
}

pub(super) fn is_ours(statement: &Value, sid: &str) -> bool {
    meaning(statement, sid).is_some()
}

/// The statements for these users, in the order of kinds and purposes.
pub(super) fn written(
    sid: &str,
    users: &BTreeMap<User, BTreeSet<Purpose>>,
    partition: &str,
) -> Vec<Value> {
    let mut statements = Vec::new();
    for kind in KINDS {
        for purpose in Purpose::ALL {
            let named: Vec<String> = users
                .iter()
                .filter(|(user, purposes)| Kind::of(user) == kind && purposes.contains(&purpose))
                .map(|(user, _)| name(user, partition))
                .collect();
            if !named.is_empty() {
                let sid = format!("{sid}{kind:?}{purpose:?}");
                statements.push(statement(&sid, kind, purpose, named, partition));
            }
        }
    }
    statements
}

pub(super) fn name(user: &User, partition: &str) -> String {
    match user {
        User::Account(account) => format!("arn:{partition}:iam::{account}:root"),
        User::Organization(id) => id.clone(),
        // Paths hold the units from the root down, each with a slash behind it.
        User::Unit(organization, unit) => format!("{organization}/*/{unit}/*"),
        User::Other(text) | User::Path(text) => text.clone(),
    }
}

fn statement(
    sid: &str,
    kind: Kind,
    purpose: Purpose,
    named: Vec<String>,
    partition: &str,
) -> Value {
    let (actions, mut condition) = match purpose {
        Purpose::Use => (&USES[..], json!({})),
        Purpose::Grant => (
            &GRANTS[..],
            json!({ "Bool": { "kms:GrantIsForAWSResource": "true" } }),
        ),
        Purpose::AutoScaling => {
            let role = format!("arn:{partition}:{AUTO_SCALING}");
            let condition = json!({ "StringLike": { "kms:GranteePrincipal": role } });
            (&GRANTS[..], condition)
        }
    };
    let principal = principal(kind, named, &mut condition);
    let mut statement = json!({
        "Sid": sid,
        "Effect": "Allow",
        "Principal": { "AWS": principal },
        "Action": actions,
        "Resource": "*",
    });
    if condition != json!({}) {
        statement["Condition"] = condition;
    }
    statement
}

/// The principal of a statement for users of this kind; where that is everybody, with a condition that
/// holds it to them.
pub(super) fn principal(kind: Kind, named: Vec<String>, condition: &mut Value) -> Value {
    match kind.condition() {
        None => json!(named),
        Some((operator, key)) => {
            condition[operator][key] = json!(named);
            json!("*")
        }
    }
}

/// The users of a statement of ours.
pub(super) fn users(statement: &Value, sid: &str) -> Vec<(User, Purpose)> {
    let Some((kind, purpose)) = meaning(statement, sid) else {
        return Vec::new();
    };
    let users = named(statement, kind).into_iter();
    users.map(|user| (user, purpose)).collect()
}

/// Whom a statement of ours names.
pub(super) fn named(statement: &Value, kind: Kind) -> Vec<User> {
    let named = match kind.condition() {
        None => texts(&statement["Principal"]["AWS"]),
        // Under whatever operator somebody has put it since: nobody is lost when it is mended.
        Some((_, key)) => values(statement, key),
    };
    let user = |text: &&str| match kind {
        Kind::Accounts => {
            account(text).map_or_else(|| User::Other((*text).to_owned()), User::Account)
        }
        Kind::Organizations => User::Organization((*text).to_owned()),
        Kind::Units => unit(text).unwrap_or_else(|| User::Path((*text).to_owned())),
    };
    // A wildcard in the place of accounts is nobody's name, and must not be lost.
    named.iter().map(user).collect()
}

fn unit(path: &str) -> Option<User> {
    let (organization, rest) = path.split_once("/*/")?;
    let unit = rest.strip_suffix("/*")?;
    Some(User::Unit(organization.to_owned(), unit.to_owned()))
}

/// An account: twelve digits, or the ARN of its root. AWS makes the latter of the former.
fn account(principal: &str) -> Option<AccountId> {
    if let Ok(account) = principal.parse() {
        return Some(account);
    }
    account_in(principal).filter(|_| principal.ends_with(":root"))
}

/// The account that a principal is of.
fn account_in(principal: &str) -> Option<AccountId> {
    let parts: Vec<&str> = principal.splitn(6, ':').collect();
    match parts[..] {
        ["arn", _, "iam" | "sts", _, account, _] => account.parse().ok(),
        _ => None,
    }
}

/// The partition that a statement of ours was written for.
pub(super) fn partition(statement: &Value) -> Option<&str> {
    let named = texts(&statement["Principal"]["AWS"]);
    let grantee = texts(&statement["Condition"]["StringLike"]["kms:GranteePrincipal"]);
    let arn = named.into_iter().chain(grantee);
    arn.filter_map(|arn| arn.strip_prefix("arn:")?.split(':').next())
        .next()
}

/// A statement in the one form that all of its forms have: lists, sorted, even of one, and accounts
/// as ARNs.
pub(super) fn form(statement: &Value) -> Value {
    match statement {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let each = members.into_iter();
            Value::Object(
                each.map(|(name, value)| (name.clone(), form(value)))
                    .collect(),
            )
        }
        Value::Array(values) => {
            let mut texts: Vec<String> = values.iter().map(plain).collect();
            texts.sort();
            texts.dedup();
            json!(texts)
        }
        other => json!([plain(other)]),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => match text.parse::<AccountId>() {
            Ok(account) => format!("arn:aws:iam::{account}:root"),
            Err(_) => text.clone(),
        },
        other => other.to_string(),
    }
}

/// A text, or the texts of a list.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whom statements let use the key outside of an account.
pub(super) fn foreign(statements: &[Value], own: &AccountId) -> BTreeSet<Foreign> {
    let mut found = BTreeSet::new();
    for (index, statement) in statements.iter().enumerate() {
        if statement["Effect"] != "Allow" {
            continue;
        }
        let label = match statement["Sid"].as_str() {
            Some(sid) if !sid.is_empty() => sid.to_owned(),
            _ => format!("number {}", index + 1),
        };
        for who in strangers(statement, own) {
            let statement = label.clone();
            found.insert(Foreign { statement, who });
        }
    }
    found
}

fn strangers(statement: &Value, own: &AccountId) -> Vec<String> {
    let principal = match &statement["Principal"] {
        principal @ Value::String(_) => principal,
        principal => &principal["AWS"],
    };
    let named = texts(principal);
    let is_foreign = |who: &&str| match account(who).or_else(|| account_in(who)) {
        Some(account) => account != *own,
        // An organization by a condition, or everybody; what has no ARN is a principal that is gone.
        None => *who == "*" && !is_of_account(statement, own),
    };
    let strangers = named.into_iter().filter(is_foreign);
    strangers
        .map(|who| match (who, organizations(statement)) {
            ("*", Some(organizations)) => organizations,
            ("*", None) => "everybody, where its conditions hold".to_owned(),
            (who, _) => who.to_owned(),
        })
        .collect()
}

/// Whether a condition of a statement for everybody leaves the account's own principals alone.
fn is_of_account(statement: &Value, own: &AccountId) -> bool {
    let keys = [
        "kms:CallerAccount",
        "aws:PrincipalAccount",
        "aws:SourceAccount",
    ];
    let operators = ["StringEquals", "StringLike"];
    operators.iter().any(|operator| {
        keys.iter().any(|key| {
            let values = texts(&statement["Condition"][operator][key]);
            !values.is_empty() && values.iter().all(|value| *value == own.as_str())
        })
    })
}

fn organizations(statement: &Value) -> Option<String> {
    let keys = [ORGANIZATIONS.1, UNITS.1];
    let named: Vec<&str> = keys.iter().flat_map(|key| values(statement, key)).collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// The values of a condition key, under all operators.
fn values<'s>(statement: &'s Value, key: &str) -> Vec<&'s str> {
    let operators = statement["Condition"].as_object().into_iter().flatten();
    operators.flat_map(|(_, keys)| texts(&keys[key])).collect()
}
