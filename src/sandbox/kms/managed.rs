//! The key `aws/ebs` that AWS keeps for each account and Region.

use std::collections::BTreeMap;

use serde_json::json;

use crate::sandbox::clock::Timestamp;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::world::World;

use super::key::{self, Alias, Key, alias_arn};
use super::material::{Material, Spec};

/// Its alias.
pub(super) const EBS_ALIAS: &str = "alias/aws/ebs";

/// Its id in an account and Region. It follows from these, so that the key has a name before there
/// is one: reading the world must not change it.
pub(super) fn ebs_key_id(account: &AccountId, region: &Region) -> String {
    let digest = crate::digest::sha256(format!("{EBS_ALIAS}\n{account}\n{region}").as_bytes());
    format!(
        "{}-{}-4{}-a{}-{}",
        &digest[..8],
        &digest[8..12],
        &digest[13..16],
        &digest[17..20],
        &digest[20..32]
    )
}

/// The key as it is made.
pub(super) fn ebs_key(account: &AccountId, region: &Region, now: Timestamp) -> Key {
    Key {
        id: ebs_key_id(account, region),
        account: account.clone(),
        region: region.clone(),
        spec: Spec::Symmetric,
        aws_managed: true,
        created: now,
        ready: now,
        updating_until: None,
        description: "Default key that protects my EBS volumes when no other key is defined"
            .to_owned(),
        enabled: true,
        deletion: None,
        policy: policy(account, region),
        tags: BTreeMap::new(),
    }
}

/// Makes the key where there is none yet; gives its ARN.
pub(super) fn make_ebs_key(
    world: &mut World,
    now: Timestamp,
    account: &AccountId,
    region: &Region,
) -> String {
    let key = ebs_key(account, region, now);
    let arn = key.arn();
    if key::find(world, now, &arn).is_some() {
        return arn;
    }
    let mut material = Material::new(Spec::Symmetric, region.clone())
        .expect("a symmetric key is but random numbers");
    // AWS changes its managed keys every year.
    material.set_rotation(now, Some(365));
    let alias = Alias {
        name: EBS_ALIAS.to_owned(),
        account: account.clone(),
        region: region.clone(),
        target: key.id.clone(),
        created: now,
        updated: now,
    };
    world.kms.materials.insert(key.id.clone(), material);
    world
        .kms
        .aliases
        .insert(alias_arn(account, region, EBS_ALIAS), alias);
    world.kms.keys.insert(arn.clone(), key);
    arn
}

fn policy(account: &AccountId, region: &Region) -> String {
    let document = json!({
        "Version": "2012-10-17",
        "Id": "auto-ebs-2",
        "Statement": [
            {
                "Sid": "Allow access through EBS for all principals in the account that are \
                        authorized to use EBS",
                "Effect": "Allow",
                "Principal": { "AWS": "*" },
                "Action": [
                    "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*",
                    "kms:CreateGrant", "kms:DescribeKey"
                ],
                "Resource": "*",
                "Condition": {
                    "StringEquals": {
                        "kms:CallerAccount": account,
                        "kms:ViaService": ec2(region),
                    }
                }
            },
            {
                "Sid": "Allow direct access to key metadata to the account",
                "Effect": "Allow",
                "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
                "Resource": "*"
            }
        ]
    });
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// EC2 as `kms:ViaService` names it.
pub(super) fn ec2(region: &Region) -> String {
    format!("ec2.{region}.amazonaws.com")
}
