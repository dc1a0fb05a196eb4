//! The key of a Region: its state, its policy, and whether it can be used.

use serde_json::Value;

use super::{Check, Group, sharing};
use crate::aws::kms::Kms;
use crate::aws::sts::Identity;
use crate::aws::{Aws, AwsError, KeyArn, Kind, Region};
use crate::publish::keys;
use crate::publish::settings::Keys;

/// What can be said of a Region's key; for a publisher who shares, also for customers.
pub async fn checks(aws: &Aws, region: &Region, names: &Keys, sharer: Option<&str>) -> Vec<Check> {
    let one = std::slice::from_ref(region);
    if keys::names(names, one).is_err() {
        // The configuration's own checks have said it.
        return Vec::new();
    }
    let found = keys::resolve(aws, names, one).await;
    let key = match found.map(|mut found| found.remove(region)) {
        Ok(Some(key)) => key,
        Ok(None) => return Vec::new(),
        Err(errors) => {
            let failed = errors.0.into_iter().map(|error| {
                let (found, advice) = (error.to_string(), error.advice());
                Check::failed(Group::Keys, "key", found, advice).of(region)
            });
            return failed.collect();
        }
    };
    let kms = aws.kms(region);
    let mut checks = vec![Check::ok(
        Group::Keys,
        "key",
        format!("{key}: enabled, symmetric, customer-managed"),
    )];
    checks.extend(policy(&kms, &key, aws.identity(), sharer).await);
    checks.extend(usage(&kms, &key, &aws.identity().arn).await);
    checks.into_iter().map(|check| check.of(region)).collect()
}

/// Whose use the key's policy allows, and whether customers can be added to it.
async fn policy(kms: &Kms, key: &KeyArn, who: &Identity, sharer: Option<&str>) -> Vec<Check> {
    let name = "key policy";
    let document = match kms.policy(key).await {
        Ok(document) => document,
        Err(error) => {
            let why = format!("cannot be read: {}", error.message);
            return vec![Check::skipped(Group::Keys, name, why)];
        }
    };
    let own = match allows(&document, key, who) {
        Some(how) => Check::ok(Group::Keys, name, how),
        None => Check::warning(
            Group::Keys,
            name,
            format!("names neither {} nor its account", who.arn),
            format!(
                "add a statement that allows arn:{}:iam::{}:root, so that IAM policies of the account decide",
                key.region().partition(),
                key.account()
            ),
        ),
    };
    let customers = sharer.map(|publisher| sharing::key(&document, publisher, key, who));
    [own].into_iter().chain(customers).collect()
}

/// How a key policy lets the principal in, if it does: conditions are not weighed.
fn allows(document: &str, key: &KeyArn, who: &Identity) -> Option<&'static str> {
    let document: Value = serde_json::from_str(document).ok()?;
    let statements = list(&document["Statement"]);
    let allowed = statements
        .iter()
        .filter(|statement| statement["Effect"] == "Allow");
    let named: Vec<&str> = allowed
        .flat_map(|statement| match &statement["Principal"] {
            Value::String(all) => vec![all.as_str()],
            principal => list(&principal["AWS"])
                .into_iter()
                .filter_map(Value::as_str)
                .collect(),
        })
        .collect();
    let root = format!("arn:{}:iam::{}:root", key.region().partition(), who.account);
    let role = role_of(&who.arn);
    if named
        .iter()
        .any(|name| *name == root || *name == who.account.as_str())
    {
        return Some("leaves it to the account's IAM policies");
    }
    named
        .iter()
        .any(|name| *name == "*" || *name == who.arn || Some(*name) == role.as_deref())
        .then_some("names the principal")
}

/// One or many: policies write a list of one without brackets.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// The role of a session: `arn:aws:sts::1…:assumed-role/NAME/SESSION`. A role's path is not in it.
fn role_of(arn: &str) -> Option<String> {
    let (head, rest) = arn.split_once(":assumed-role/")?;
    let (name, _) = rest.split_once('/')?;
    Some(format!("{}:role/{name}", head.replace(":sts:", ":iam:")))
}

/// Whether the principal can use the key: a data key is made, of which nothing is kept, and what
/// EBS would do with it is asked for in dry runs.
async fn usage(kms: &Kms, key: &KeyArn, who: &str) -> Vec<Check> {
    let made = "kms:GenerateDataKeyWithoutPlaintext";
    let ciphertext = match kms.generate(key).await {
        Ok(ciphertext) => ciphertext,
        Err(error) => return vec![refused(made, &error)],
    };
    let decrypt = kms.may_decrypt(key, &ciphertext).await;
    let again = kms.may_re_encrypt(key, &ciphertext).await;
    let grant = kms.may_grant(key, who).await;
    vec![
        Check::ok(Group::Keys, made, "allowed (called)"),
        judge("kms:Decrypt", decrypt),
        judge("kms:ReEncrypt*", again),
        match grant {
            // The least policy allows no other.
            Err(error) if error.kind == Kind::Denied => Check::skipped(
                Group::Keys,
                "kms:CreateGrant",
                "refused to the principal itself; whether EC2 may on its behalf (kms:GrantIsForAWSResource) shows only in a copy",
            ),
            answer => judge("kms:CreateGrant", answer),
        },
    ]
}

fn judge(action: &'static str, answer: Result<(), AwsError>) -> Check {
    match answer {
        Ok(()) => Check::ok(Group::Keys, action, "allowed (dry run)"),
        Err(error) => refused(action, &error),
    }
}

fn refused(action: &'static str, error: &AwsError) -> Check {
    let found = format!("refused: {}", error.message);
    match error.kind {
        Kind::Denied => Check::failed(Group::Keys, action, found, Some(error.advice())),
        _ => Check::failed(Group::Keys, action, error.to_string(), Some(error.advice())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_policy_lets_in_whom_it_names() {
        let key = "arn:aws:kms:us-east-1:111111111111:key/1".parse();
        let key = key.expect("an ARN");
        let who = Identity {
            account: "111111111111".parse().expect("an account"),
            arn: "arn:aws:sts::111111111111:assumed-role/publisher/me".to_owned(),
        };
        let root = "arn:aws:iam::111111111111:root";
        let account = Some("leaves it to the account's IAM policies");
        let principal = Some("names the principal");
        for (effect, names, expected) in [
            ("Allow", json!({ "AWS": root }), account),
            ("Allow", json!({ "AWS": ["111111111111"] }), account),
            ("Allow", json!("*"), principal),
            (
                "Allow",
                json!({ "AWS": ["x", "arn:aws:iam::111111111111:role/publisher"] }),
                principal,
            ),
            (
                "Allow",
                json!({ "AWS": "arn:aws:iam::222222222222:root" }),
                None,
            ),
            ("Allow", json!({ "Service": "ec2.amazonaws.com" }), None),
            ("Deny", json!({ "AWS": root }), None),
        ] {
            let statement = json!({ "Effect": effect, "Principal": names, "Action": "kms:*" });
            for document in [
                json!({ "Statement": statement }),
                json!({ "Statement": [statement] }),
            ] {
                let text = document.to_string();
                assert_eq!(allows(&text, &key, &who), expected, "{text}");
            }
        }
    }
}
