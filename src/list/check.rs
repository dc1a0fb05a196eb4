//! `list --check`: tries what launching takes, in the caller's name, and makes nothing.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use tokio::task::JoinSet;

use super::filter::choose;
use super::setup::{auto_scaling_role, key_arn, keys};
use super::{ListError, Row};
use crate::arch::Arch;
use crate::aws::kms::Kms;
use crate::aws::{AccountId, AmiId, Aws, AwsError, KeyArn, Kind, Region};
use crate::ui::text;

/// How a try came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It works.
    Works,
    /// Something is missing.
    Missing,
    /// Something is missing that only Auto Scaling needs, and not where it has a grant already.
    MissingForAutoScaling,
    /// It could not be tried.
    NotTried,
}

/// Something that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Where.
    pub region: Region,
    /// The action, as IAM names it.
    pub action: &'static str,
    /// With what.
    pub resource: String,
    /// How it came out.
    pub outcome: Outcome,
    /// Why it does not work, or was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// All that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// By Region.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether something is missing.
    pub fn is_lacking(&self) -> bool {
        let mut outcomes = self.checks.iter().map(|check| check.outcome);
        outcomes.any(|outcome| outcome == Outcome::Missing)
    }

    /// For people: a table, and below it what is wrong and what to do.
    pub fn text(&self) -> String {
        let header = ["region", "action", "resource", ""].map(str::to_owned);
        let mut rows = vec![header.to_vec()];
        rows.extend(self.checks.iter().map(|check| {
            let outcome = match check.outcome {
                Outcome::Works => "works",
                Outcome::Missing => "MISSING",
                Outcome::MissingForAutoScaling => "missing, for Auto Scaling",
                Outcome::NotTried => "not tried",
            };
            vec![
                check.region.to_string(),
                check.action.to_owned(),
                check.resource.clone(),
                outcome.to_owned(),
            ]
        }));
        let mut text = text::table(&rows);
        for check in self.checks.iter().filter(|check| check.why.is_some()) {
            let why = check.why.as_deref().unwrap_or_default();
            // Writing to a string does not fail.
            let _ = write!(text, "\n{}, {}: {why}\n", check.region, check.action);
            if let Some(advice) = &check.advice {
                let _ = writeln!(text, "  next: {advice}");
            }
        }
        text
    }
}

/// Tries everything that the newest of the rows need: the launch of one of each profile and
/// architecture, and each key.
///
/// # Errors
/// Which of them are meant is not clear.
pub async fn check(aws: &Aws, rows: &[Row], publisher: &AccountId) -> Result<Report, ListError> {
    let newest: Vec<Row> = choose(rows)?.into_iter().cloned().collect();
    let mut by_region: BTreeMap<Region, Vec<Row>> = BTreeMap::new();
    for row in newest {
        by_region.entry(row.region.clone()).or_default().push(row);
    }
    let mut tried = JoinSet::new();
    for (region, rows) in by_region {
        let there = Place {
            aws: aws.clone(),
            region,
            publisher: publisher.clone(),
        };
        tried.spawn(async move { there.check(&rows).await });
    }
    let mut checks = Vec::new();
    while let Some(answer) = tried.join_next().await {
        checks.extend(answer.expect("a check does not panic"));
    }
    // Within a Region they stay in their order.
    checks.sort_by(|a: &Check, b| a.region.cmp(&b.region));
    Ok(Report { checks })
}

/// Where things are tried.
struct Place {
    aws: Aws,
    region: Region,
    publisher: AccountId,
}

/// The smallest type that runs the architecture everywhere.
fn instance_type(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "t3.micro",
        Arch::Aarch64 => "t4g.micro",
    }
}

impl Place {
    async fn check(&self, rows: &[Row]) -> Vec<Check> {
        let mut checks = Vec::new();
        for row in rows {
            checks.push(self.launch(&row.ami, row.arch).await);
        }
        let known = keys(rows).remove(&self.region);
        match known {
            None => {}
            Some(ids) if ids.is_empty() => {
                let why = "the AMI's description does not tell which key it is encrypted under";
                let advice = "ask the publisher for the key's ARN, or for a newer release";
                let check = self.not_tried("kms:DescribeKey", "a key", why);
                checks.push(Check {
                    advice: Some(advice.to_owned()),
                    ..check
                });
            }
            Some(ids) => checks.extend(self.keys(ids).await),
        }
        checks
    }

    async fn launch(&self, ami: &AmiId, arch: Arch) -> Check {
        let probe = self.aws.probe(&self.region);
        let answer = probe.may_launch(ami, instance_type(arch)).await;
        self.judge("ec2:RunInstances", ami.as_str(), answer)
    }

    async fn keys(&self, ids: BTreeSet<String>) -> Vec<Check> {
        let kms = self.aws.kms(&self.region);
        let mut checks = Vec::new();
        for id in ids {
            let arn = key_arn(&self.publisher, &self.region, &id);
            match arn.parse() {
                Ok(key) => checks.extend(self.key(&kms, &key).await),
                Err(error) => {
                    let why = crate::aws::names::NameError::to_string(&error);
                    checks.push(self.not_tried("kms:DescribeKey", &arn, &why));
                }
            }
        }
        checks
    }

    /// What EBS does with the key in the caller's name. A data key is made, of which nothing is kept.
    async fn key(&self, kms: &Kms, key: &KeyArn) -> Vec<Check> {
        let name = key.as_str();
        let described = kms.describe(name).await;
        let state = match &described {
            Ok(found) if !found.state.is_usable() => Some(found.state.to_string()),
            _ => None,
        };
        let mut checks = vec![self.judge("kms:DescribeKey", name, described.map(drop))];
        if let Some(state) = state {
            checks[0].outcome = Outcome::Missing;
            checks[0].why = Some(format!("the key is {state}"));
            checks[0].advice = Some(format!("tell the publisher, account {}", self.publisher));
        }
        let generated = kms.generate(key).await;
        let made = "kms:GenerateDataKeyWithoutPlaintext";
        match generated {
            Ok(ciphertext) => {
                checks.push(self.judge(made, name, Ok(())));
                let decrypt = kms.may_decrypt(key, &ciphertext).await;
                checks.push(self.judge("kms:Decrypt", name, decrypt));
                let again = kms.may_re_encrypt(key, &ciphertext).await;
                checks.push(self.judge("kms:ReEncrypt*", name, again));
            }
            Err(error) => {
                checks.push(self.judge(made, name, Err(error)));
                let why = format!("there is nothing to try it on without {made}");
                for action in ["kms:Decrypt", "kms:ReEncrypt*"] {
                    checks.push(self.not_tried(action, name, &why));
                }
            }
        }
        checks.push(self.grant(kms, key).await);
        checks
    }

    /// The grant for Auto Scaling. Those that EC2 makes in the caller's name cannot be tried.
    async fn grant(&self, kms: &Kms, key: &KeyArn) -> Check {
        let role = auto_scaling_role(self.aws.account(), &self.region);
        let answer = kms.may_grant(key, &role).await;
        let mut check = self.judge("kms:CreateGrant", key.as_str(), answer);
        if let (Outcome::Missing, Some(advice)) = (check.outcome, &check.advice) {
            check.outcome = Outcome::MissingForAutoScaling;
            check.advice = Some(format!(
                "only Auto Scaling needs it, unless it has the grant already ({role}): {advice}"
            ));
        }
        check
    }

    fn judge(&self, action: &'static str, resource: &str, answer: Result<(), AwsError>) -> Check {
        let check = Check {
            region: self.region.clone(),
            action,
            resource: resource.to_owned(),
            outcome: Outcome::Works,
            why: None,
            advice: None,
        };
        match answer {
            Ok(()) => check,
            Err(error) => Check {
                outcome: outcome(&error),
                why: Some(why(&error)),
                advice: Some(advice(action, &error, &self.publisher, self.aws.account())),
                ..check
            },
        }
    }

    fn not_tried(&self, action: &'static str, resource: &str, why: &str) -> Check {
        Check {
            region: self.region.clone(),
            action,
            resource: resource.to_owned(),
            outcome: Outcome::NotTried,
            why: Some(why.to_owned()),
            advice: None,
        }
    }
}

/// Permissions are looked at first: what fails later, for want of a network or of an instance type,
/// says nothing about them.
fn outcome(error: &AwsError) -> Outcome {
    let code = error.code.as_deref().unwrap_or_default();
    let is_elsewhere = matches!(
        code,
        "VPCIdNotSpecified" | "MissingInput" | "Unsupported" | "DefaultVpcDoesNotExist"
    );
    match error.kind {
        Kind::Capacity => Outcome::NotTried,
        kind if kind.is_transient() => Outcome::NotTried,
        _ if is_elsewhere => Outcome::NotTried,
        _ => Outcome::Missing,
    }
}

fn why(error: &AwsError) -> String {
    match &error.code {
        Some(code) => format!("{code}: {}", error.message),
        None => error.message.clone(),
    }
}

/// KMS says whose policy is missing: the caller's own (`identity-based`), or the key's.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html>
fn advice(action: &str, error: &AwsError, publisher: &AccountId, account: &AccountId) -> String {
    let own =
        format!("allow {action} to the principal: `alpine-ami list --setup` prints the policy");
    let is_denied = error.kind == Kind::Denied;
    let is_hidden = is_denied && !error.message.contains("identity-based");
    match (action.starts_with("kms:"), error.kind) {
        (true, Kind::NotFound) => {
            format!("tell the publisher, account {publisher}: the key is not there")
        }
        (true, _) if is_hidden => format!(
            "ask the publisher, account {publisher}, to let account {account} use the key: its policy must allow {action}"
        ),
        (false, Kind::NotFound) => format!(
            "ask the publisher, account {publisher}, to share the AMI with account {account}"
        ),
        _ if is_denied => own,
        _ if outcome(error) == Outcome::NotTried => {
            "permissions are looked at before this: launch with a subnet and a type of your own"
                .to_owned()
        }
        _ => error.advice(),
    }
}
