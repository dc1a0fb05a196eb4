//! Who may use a key: its policy, and grants.

use aws_sdk_kms::types::{GrantListEntry, GrantOperation};

use super::Kms;
use crate::aws::error::{AwsError, Kind};
use crate::aws::names::{AccountId, KeyArn, RoleArn};
use crate::aws::retry::Call;

/// What a key's policy is called; there is no other.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html>
const POLICY: &str = "default";
/// What a page of grants holds at most.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_ListGrants.html>
const PAGE: i32 = if cfg!(test) { 2 } else { 100 };
/// What launching from an encrypted AMI takes, as Auto Scaling needs it too.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html>
const OPERATIONS: [GrantOperation; 8] = [
    GrantOperation::Encrypt,
    GrantOperation::Decrypt,
    GrantOperation::ReEncryptFrom,
    GrantOperation::ReEncryptTo,
    GrantOperation::GenerateDataKey,
    GrantOperation::GenerateDataKeyWithoutPlaintext,
    GrantOperation::DescribeKey,
    GrantOperation::CreateGrant,
];

/// The operations that [`Kms::grant`] grants, as KMS calls them.
pub fn launch_operations() -> [String; 8] {
    OPERATIONS.map(|operation| operation.to_string())
}

/// A grant of a key's use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: String,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// Who may use the key: an ARN, or the id of a principal that is gone.
    pub grantee: String,
    /// Whether it is all that a launch takes.
    pub launches: bool,
    /// Whether it is for certain data only, as those are that EBS gives itself for a volume.
    pub constrained: bool,
}

impl Grant {
    /// The account of who may use the key, where that is an account's principal.
    pub fn account(&self) -> Option<AccountId> {
        let mut parts = self.grantee.splitn(6, ':');
        let (arn, _, service) = (parts.next()?, parts.next()?, parts.next()?);
        let account = parts.nth(1)?;
        let is_principal = arn == "arn" && matches!(service, "iam" | "sts");
        is_principal.then(|| account.parse().ok())?
    }
}

impl Kms {
    /// The key's policy, as JSON.
    ///
    /// # Errors
    /// AWS's; another account's key has no policy to be seen.
    pub async fn policy(&self, key: &KeyArn) -> Result<String, AwsError> {
        let call = Call::new("kms:GetKeyPolicy", key);
        let send = || {
            let call = self.client.get_key_policy().key_id(key.as_str());
            call.policy_name(POLICY).send()
        };
        let answer = self.caller.run(call, send).await?;
        Ok(answer.policy().unwrap_or_default().to_owned())
    }

    /// Puts a policy in the place of the key's. KMS refuses one that would keep the caller from
    /// doing so again.
    ///
    /// # Errors
    /// AWS's.
    pub async fn put_policy(&self, key: &KeyArn, policy: &str) -> Result<(), AwsError> {
        let call = Call::new("kms:PutKeyPolicy", key);
        let send = || {
            let call = self.client.put_key_policy().key_id(key.as_str());
            call.policy_name(POLICY).policy(policy).send()
        };
        self.caller.run(call, send).await.map(drop)
    }

    /// The grants of the account's own key, but for those of services of AWS.
    ///
    /// # Errors
    /// AWS's.
    pub async fn grants(&self, key: &KeyArn) -> Result<Vec<Grant>, AwsError> {
        let mut grants = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let call = Call::new("kms:ListGrants", key);
            let send = || {
                let call = self.client.list_grants().key_id(key.as_str()).limit(PAGE);
                call.set_marker(marker.clone()).send()
            };
            let page = self.caller.run(call, send).await?;
            grants.extend(page.grants().iter().filter_map(grant));
            marker = page.next_marker().map(str::to_owned);
            if !page.truncated() || marker.is_none() {
                return Ok(grants);
            }
        }
    }

    /// Grants a role what a launch takes. A grant of that name for that role is given once.
    ///
    /// # Errors
    /// AWS's; the role is not there.
    pub async fn grant(&self, key: &KeyArn, role: &RoleArn, name: &str) -> Result<(), AwsError> {
        let call = Call::new("kms:CreateGrant", format!("{key} for {role}"));
        let send = || {
            let call = self.client.create_grant().key_id(key.as_str());
            let call = call.grantee_principal(role.as_str()).name(name);
            call.set_operations(Some(OPERATIONS.into())).send()
        };
        self.caller.run(call, send).await.map(drop)
    }

    /// Takes a grant back. One that is not there is no error.
    ///
    /// # Errors
    /// AWS's.
    pub async fn revoke(&self, key: &KeyArn, grant: &str) -> Result<(), AwsError> {
        let call = Call::new("kms:RevokeGrant", format!("grant {grant} of {key}"));
        let send = || {
            let call = self.client.revoke_grant().key_id(key.as_str());
            call.grant_id(grant).send()
        };
        match self.caller.run(call, send).await {
            Err(error) if error.kind != Kind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn grant(entry: &GrantListEntry) -> Option<Grant> {
    let has = |operation: &GrantOperation| entry.operations().contains(operation);
    Some(Grant {
        id: entry.grant_id()?.to_owned(),
        name: entry
            .name()
            .map(str::to_owned)
            .filter(|name| !name.is_empty()),
        // A service of AWS has another field.
        grantee: entry.grantee_principal()?.to_owned(),
        launches: OPERATIONS.iter().all(has),
        constrained: entry.constraints().is_some_and(|constraints| {
            let sets = [
                constraints.encryption_context_subset(),
                constraints.encryption_context_equals(),
            ];
            sets.into_iter().flatten().any(|set| !set.is_empty())
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::testing::{Cloud, HOME, region};

    #[tokio::test]
    async fn grants_are_given_once_and_taken_back() {
        let cloud = Cloud::start().await;
        let aws = cloud.aws().await;
        let kms = aws.kms(&region(HOME));
        let key = aws.ec2(&region(HOME)).test_key().await;
        let role = |number: u32| -> RoleArn {
            let arn = format!("arn:aws:iam::222222222222:role/path/node-{number}");
            arn.parse().expect("an ARN")
        };
        for number in [1, 2, 3, 1] {
            let name = format!("alpine-ami-share/{number}");
            kms.grant(&key, &role(number), &name)
                .await
                .expect("a grant");
        }
        let mut grants = kms.grants(&key).await.expect("grants");
        grants.sort_by(|one, other| one.grantee.cmp(&other.grantee));
        assert_eq!(grants.len(), 3, "{grants:?}");
        assert_eq!(grants[1].grantee, role(2).as_str());
        assert_eq!(grants[1].account(), Some(role(2).account()));
        assert_eq!(grants[1].name.as_deref(), Some("alpine-ami-share/2"));
        assert!(
            grants
                .iter()
                .all(|grant| grant.launches && !grant.constrained)
        );
        kms.revoke(&key, &grants[1].id).await.expect("revoked");
        kms.revoke(&key, &grants[1].id)
            .await
            .expect("revoked already");
        assert_eq!(kms.grants(&key).await.expect("grants").len(), 2);

        let before = kms.policy(&key).await.expect("a policy");
        kms.put_policy(&key, &before).await.expect("put");
        let locked = before.replace("Allow", "Deny");
        let error = kms.put_policy(&key, &locked).await.expect_err("a lock-out");
        assert_eq!(error.action, "kms:PutKeyPolicy");
    }
}
