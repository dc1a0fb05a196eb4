//! `list --setup`: what the customer's own account still needs.
//!
//! Whoever launches uses the key in their own name, by an IAM policy; Auto Scaling launches in the
//! name of a role of its own, which only a grant lets use another account's key.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html>

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::Row;
use crate::aws::{AccountId, Region};
use crate::doctor::policy::{Policy, Statement};
use crate::list::catalog::CatalogAddress;
use crate::share::policy::catalog::FOLDERS;

/// The name of the grant: one that is asked for twice is made once.
const GRANT: &str = "auto-scaling";

/// What stands for a key's id that is not known.
const UNKNOWN: &str = "KEY-ID";
/// What the role of Auto Scaling does with a key.
const OPERATIONS: &str = "Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant";
/// What whoever launches does with a key.
const KEY_USE: [&str; 4] = [
    "kms:DescribeKey",
    "kms:Decrypt",
    "kms:ReEncrypt*",
    "kms:GenerateDataKey*",
];

/// What an account needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setup {
    /// A grant for Auto Scaling for each Region and key.
    pub grants: Vec<Grant>,
    /// What whoever lists and launches must be allowed.
    pub policy: Policy,
}

/// A grant for Auto Scaling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// Where.
    pub region: Region,
    /// The key's ARN; with a placeholder where no description tells its id.
    pub key: String,
    /// The command that makes it.
    pub command: String,
}

/// The role in whose name Auto Scaling launches.
pub fn auto_scaling_role(account: &AccountId, region: &Region) -> String {
    let partition = region.partition();
    format!(
        "arn:{partition}:iam::{account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    )
}

/// The ARN of a key of the publisher's.
pub fn key_arn(publisher: &AccountId, region: &Region, id: &str) -> String {
    let partition = region.partition();
    format!("arn:{partition}:kms:{region}:{publisher}:key/{id}")
}

/// The keys of each Region; none where there are encrypted AMIs and no description tells a key.
pub fn keys(rows: &[Row]) -> BTreeMap<Region, BTreeSet<String>> {
    let mut keys: BTreeMap<Region, BTreeSet<String>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.encrypted) {
        let known = keys.entry(row.region.clone()).or_default();
        known.extend(row.key.clone());
    }
    keys
}

impl Setup {
    /// What `account` needs to launch what is listed, and to read the publisher's catalog, where it is
    /// known. `anywhere` is a Region of its partition.
    pub fn new(
        rows: &[Row],
        (publisher, account): (&AccountId, &AccountId),
        anywhere: &Region,
        catalog: Option<&CatalogAddress>,
    ) -> Setup {
        let mut grants = Vec::new();
        for (region, ids) in keys(rows) {
            let unknown = ids.is_empty().then(|| UNKNOWN.to_owned());
            let role = auto_scaling_role(account, &region);
            grants.extend(ids.into_iter().chain(unknown).map(|id| {
                let key = key_arn(publisher, &region, &id);
                let command = format!(
                    "aws kms create-grant --region {region} --key-id {key} --name {GRANT} --grantee-principal {role} --operations {OPERATIONS}"
                );
                Grant { region: region.clone(), key, command }
            }));
        }
        let keys = grants.iter().map(|grant| grant.key.clone()).collect();
        let mut policy = policy(publisher, account, anywhere, merged(keys, publisher));
        policy.statement.extend(reading(catalog, anywhere));
        Setup { policy, grants }
    }

    /// The Regions where no description tells the key.
    pub fn unknown(&self) -> Vec<&Region> {
        let unknown = self
            .grants
            .iter()
            .filter(|grant| grant.key.ends_with(UNKNOWN));
        unknown.map(|grant| &grant.region).collect()
    }

    /// For people to read and paste.
    pub fn text(&self, account: &AccountId) -> String {
        let mut text = String::new();
        if !self.grants.is_empty() {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "# Auto Scaling launches in the name of a role of its own. So that it may use the keys, once, in account {account}\n\
                 # (where it never launched anything: aws iam create-service-linked-role --aws-service-name autoscaling.amazonaws.com):"
            );
            for grant in &self.grants {
                let _ = writeln!(text, "{}", grant.command);
            }
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "# An IAM policy for whoever lists and launches:\n{}",
            self.policy.text()
        );
        text
    }
}

/// What reads the catalog, where it is in a bucket.
fn reading(catalog: Option<&CatalogAddress>, anywhere: &Region) -> Option<Statement> {
    let Some(CatalogAddress::Bucket { bucket, prefix }) = catalog else {
        return None;
    };
    let objects = format!("arn:{}:s3:::{}/{prefix}", anywhere.partition(), bucket.name);
    let folders = FOLDERS.map(|folder| format!("{objects}{folder}*"));
    Some(allow(
        "ReadCatalog",
        &["s3:GetObject"],
        folders.into(),
        None,
    ))
}

/// A multi-Region key has the same id everywhere: one ARN says so, and the policy stays short.
fn merged(arns: Vec<String>, publisher: &AccountId) -> Vec<String> {
    let everywhere = |arn: String| match (arn.split_once(":kms:"), arn.rsplit_once("key/mrk-")) {
        (Some((partition, _)), Some((_, id))) => {
            format!("{partition}:kms:*:{publisher}:key/mrk-{id}")
        }
        _ => arn,
    };
    let merged: BTreeSet<String> = arns.into_iter().map(everywhere).collect();
    merged.into_iter().collect()
}

/// What actions take as resources and conditions is from the service authorization reference.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html>
fn policy(
    publisher: &AccountId,
    account: &AccountId,
    anywhere: &Region,
    keys: Vec<String>,
) -> Policy {
    let partition = anywhere.partition();
    let made = [
        "instance",
        "key-pair",
        "launch-template",
        "network-interface",
        "security-group",
        "volume",
    ]
    .map(|kind| format!("arn:{partition}:ec2:*:{account}:{kind}/*"));
    // A subnet may be another account's that shares its network.
    let subnets = format!("arn:{partition}:ec2:*:*:subnet/*");
    let made: Vec<String> = made.into_iter().chain([subnets]).collect();
    let images = vec![format!("arn:{partition}:ec2:*::image/*")];
    let mut statement = vec![
        allow(
            "List",
            &["ec2:DescribeImages", "ec2:DescribeRegions"],
            vec!["*".to_owned()],
            None,
        ),
        allow(
            "LaunchImages",
            &["ec2:RunInstances"],
            images,
            Some(json!({ "StringEquals": { "ec2:Owner": publisher } })),
        ),
        allow("LaunchInto", &["ec2:RunInstances"], made, None),
    ];
    if !keys.is_empty() {
        let role = auto_scaling_role(account, anywhere);
        statement.extend([
            allow("UseKeys", &KEY_USE, keys.clone(), None),
            allow(
                "LetVolumesUseKeys",
                &["kms:CreateGrant"],
                keys.clone(),
                Some(json!({ "Bool": { "kms:GrantIsForAWSResource": "true" } })),
            ),
            allow(
                "LetAutoScalingUseKeys",
                &["kms:CreateGrant"],
                keys,
                Some(json!({ "StringEquals": { "kms:GranteePrincipal": role } })),
            ),
        ]);
    }
    Policy {
        version: "2012-10-17",
        statement,
    }
}

fn allow(
    sid: &'static str,
    action: &[&'static str],
    resource: Vec<String>,
    condition: Option<Value>,
) -> Statement {
    Statement {
        sid,
        effect: "Allow",
        action: action.to_vec(),
        resource,
        condition,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OTHER, OWNER, account, listed};
    use super::*;
    use crate::aws::testing::region;

    const NAME: &str = "p/node/1.22.8/alpine-3.15.11/x86_64/20260131.1";

    fn setup(rows: &[Row]) -> Setup {
        let accounts = (&account(OWNER), &account(OTHER));
        let catalog = "s3://images/a".parse().expect("an address");
        Setup::new(rows, accounts, &region("eu-west-1"), Some(&catalog))
    }

    #[test]
    fn the_command_is_filled_in() {
        let setup = setup(&listed(&[NAME, &NAME.replace("x86_64", "aarch64")]));
        let [grant] = &setup.grants[..] else {
            panic!("{setup:#?}");
        };
        assert_eq!(
            grant.command,
            "aws kms create-grant --region eu-west-1 \
             --key-id arn:aws:kms:eu-west-1:111122223333:key/1234-5678 \
             --name auto-scaling --grantee-principal arn:aws:iam::444455556666:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling \
             --operations Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant"
        );
        assert!(setup.unknown().is_empty());
        let text = setup.text(&account(OTHER));
        assert!(
            text.contains(&grant.command) && text.contains("\"Statement\""),
            "{text}"
        );
    }

    #[test]
    fn a_key_that_no_description_tells_has_a_placeholder() {
        let mut rows = listed(&[
            NAME,
            &format!("{NAME} us-east-1"),
            &format!("{NAME} us-west-2"),
        ]);
        rows[0].key = None;
        rows[1].key = Some("mrk-1".to_owned());
        rows[2].encrypted = false;
        let setup = setup(&rows);
        assert_eq!(setup.unknown(), [&region("eu-west-1")]);
        let keys: Vec<&str> = setup
            .grants
            .iter()
            .map(|grant| grant.key.as_str())
            .collect();
        let unknown = "arn:aws:kms:eu-west-1:111122223333:key/KEY-ID";
        assert_eq!(
            keys,
            [unknown, "arn:aws:kms:us-east-1:111122223333:key/mrk-1"]
        );
        let used = &setup.policy.statement[3];
        assert_eq!(
            used.resource,
            ["arn:aws:kms:*:111122223333:key/mrk-1", unknown]
        );
    }

    #[test]
    fn the_catalog_may_be_read() {
        let policy = setup(&[]).policy.text();
        for folder in ["catalog", "channels", "releases"] {
            let objects = format!("\"arn:aws:s3:::images/a/{folder}/*\"");
            assert!(policy.contains(&objects), "{policy}");
        }
        assert!(!policy.contains("s3:*") && !policy.contains("s3:ListBucket"));
    }

    #[test]
    fn nothing_that_is_encrypted_needs_no_key() {
        let setup = setup(&[]);
        assert!(setup.grants.is_empty());
        let policy = setup.policy.text();
        assert!(
            !policy.contains("kms:") && policy.contains("ec2:DescribeImages"),
            "{policy}"
        );
    }
}
