//! Tests of KMS, by subject.

mod access;
mod aliases;
mod encryption;
mod grants;
mod keys;
mod regions;
mod signing;

use serde_json::{Value, json};

use super::*;
use crate::sandbox::service::Service;
use crate::sandbox::testing::Bed;

const PUBLISHER: &str = "111111111111";
const CUSTOMER: &str = "222222222222";
const REGION: &str = "us-east-1";

/// A sandbox with keys in it.
pub(super) struct Vault {
    pub bed: Bed,
}

impl Vault {
    pub fn new() -> Vault {
        Vault { bed: Bed::new() }
    }

    /// A call as the publisher in `us-east-1` that succeeds.
    pub fn call(&self, operation: &str, body: Value) -> Value {
        self.as_account("publisher", operation, body.clone())
            .unwrap_or_else(|error| panic!("{operation} {body}: {error}"))
    }

    /// The code of a call as the publisher that fails.
    pub fn code(&self, operation: &str, body: Value) -> String {
        self.code_as("publisher", operation, body)
    }

    pub fn as_account(
        &self,
        account: &str,
        operation: &str,
        body: Value,
    ) -> Result<Value, ServiceError> {
        self.at(account, REGION, operation, body)
    }

    pub fn code_as(&self, account: &str, operation: &str, body: Value) -> String {
        match self.as_account(account, operation, body) {
            Ok(answer) => panic!("{operation} succeeded: {answer}"),
            Err(error) => error.code.into_owned(),
        }
    }

    pub fn at(
        &self,
        account: &str,
        region: &str,
        operation: &str,
        body: Value,
    ) -> Result<Value, ServiceError> {
        self.bed
            .json(Service::Kms, account, region, operation, body)
    }

    /// The ARN of a new symmetric key of the publisher's.
    pub fn key(&self) -> String {
        arn_of(&self.call("CreateKey", json!({})))
    }

    /// A symmetric key of the publisher's with a policy of these statements, besides the one that
    /// lets the publisher do all.
    pub fn key_with(&self, statements: &[Value]) -> String {
        let policy = policy_with(statements);
        arn_of(&self.call("CreateKey", json!({ "Policy": policy })))
    }

    /// A caller of an account by ARN.
    pub fn caller(&self, arn: &str) -> Caller {
        let account = arn.split(':').nth(4).expect("an account");
        Caller {
            account: account.parse().expect("an account"),
            arn: arn.to_owned(),
            user_id: "AROA0000000000000000:session".to_owned(),
            role: None,
        }
    }

    /// What [`authorize`] answers.
    pub fn authorize(
        &self,
        account: &str,
        key: &str,
        usage: KeyUse,
        via: Option<&str>,
    ) -> Result<(), String> {
        let caller = self.bed.caller(account);
        self.bed.shared.read(|world| {
            authorize(world, &caller, key, usage, via).map_err(|error| error.code.into_owned())
        })
    }
}

/// A policy of these statements, besides the one that lets the publisher do all.
pub(super) fn policy_with(statements: &[Value]) -> String {
    let mut all = vec![json!({
        "Sid": "Own",
        "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{PUBLISHER}:root") },
        "Action": "kms:*",
        "Resource": "*",
    })];
    all.extend_from_slice(statements);
    json!({ "Version": "2012-10-17", "Statement": all }).to_string()
}

pub(super) fn arn_of(answer: &Value) -> String {
    let metadata = answer
        .get("KeyMetadata")
        .or_else(|| answer.get("ReplicaKeyMetadata"));
    metadata.expect("metadata")["Arn"]
        .as_str()
        .expect("an ARN")
        .to_owned()
}

pub(super) fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {answer}"))
}
