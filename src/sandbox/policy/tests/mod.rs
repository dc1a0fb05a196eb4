//! Tests of policies: reading them, and what they say.

mod reading;
mod saying;

use serde_json::{Value, json};

use super::*;

/// A policy of one statement, which allows everything to everybody but for these members.
pub(super) fn one(members: Value) -> String {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": "*",
        "Action": "*",
        "Resource": "*",
    });
    let members = members.as_object().expect("an object");
    for (name, value) in members {
        if let Some(opposite) = name.strip_prefix("Not") {
            statement
                .as_object_mut()
                .expect("an object")
                .remove(opposite);
        }
        statement[name] = value.clone();
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

pub(super) fn user() -> Caller {
    Caller {
        account: "111111111111".parse().expect("an account"),
        arn: "arn:aws:iam::111111111111:user/admin".to_owned(),
        user_id: "AIDA0000000000000001".to_owned(),
        role: None,
    }
}

pub(super) fn session() -> Caller {
    Caller {
        account: "222222222222".parse().expect("an account"),
        arn: "arn:aws:sts::222222222222:assumed-role/builder/one".to_owned(),
        user_id: "AROA0000000000000002:one".to_owned(),
        role: None,
    }
}

pub(super) fn parsed(document: &str) -> Policy {
    Policy::parse(document).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// What a policy says to a caller who asks for `kms:Decrypt` of a key.
pub(super) fn said(
    document: &str,
    caller: Option<&Caller>,
    conditions: &[(&str, &[&str])],
) -> Verdict {
    let conditions = conditions
        .iter()
        .map(|(key, values)| {
            let values = values.iter().map(|value| (*value).to_owned());
            ((*key).to_owned(), values.collect())
        })
        .collect();
    parsed(document).ask(&Question {
        caller,
        action: "kms:Decrypt",
        resource: "arn:aws:kms:us-east-1:111111111111:key/abc",
        conditions,
    })
}
