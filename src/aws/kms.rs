//! KMS: keys, and what may be done with them; who else may use them is in [`sharing`].

pub mod sharing;

use std::fmt;

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{
    DataKeySpec, GrantOperation, KeyMetadata, MessageType, SigningAlgorithmSpec,
};
use serde::Serialize;
use time::OffsetDateTime;

use super::error::{AwsError, Kind};
use super::names::KeyArn;
use super::probe::allowed;
use super::retry::{Call, Caller};

/// What whoever makes encrypted volumes, snapshots and copies needs on their key: EBS does it in the
/// caller's name, and says of a refusal no more than that it is about the key.
/// <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html>
pub const FOR_VOLUMES: &str = "kms:CreateGrant, kms:Decrypt, kms:DescribeKey, \
    kms:GenerateDataKeyWithoutPlaintext and kms:ReEncrypt*";

/// A key as DescribeKey shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its ARN, whatever name it was asked for by.
    pub arn: KeyArn,
    /// What can be done with it now.
    pub state: KeyState,
    /// Whether the customer made it, and not AWS.
    pub customer_managed: bool,
    /// `SYMMETRIC_DEFAULT`, `RSA_2048`, `HMAC_256`, …
    pub spec: String,
    /// `ENCRYPT_DECRYPT`, `SIGN_VERIFY`, …
    pub usage: String,
    /// Whether it has, or can have, replicas in other Regions.
    pub multi_region: bool,
    /// When it is deleted, if that is to be.
    #[serde(with = "time::serde::rfc3339::option")]
    pub deletion_date: Option<OffsetDateTime>,
}

impl Key {
    /// Whether EBS can encrypt with it: it takes symmetric keys for encryption only.
    /// <https://docs.aws.amazon.com/ebs/latest/userguide/how-ebs-encryption-works.html>
    pub fn encrypts_volumes(&self) -> bool {
        self.spec == "SYMMETRIC_DEFAULT" && self.usage == "ENCRYPT_DECRYPT"
    }
}

/// What can be done with a key.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// It can be used.
    Enabled,
    /// It can be used; its primary Region is being changed.
    Updating,
    /// It was switched off.
    Disabled,
    /// It will be deleted.
    PendingDeletion,
    /// It will be deleted once its replicas are.
    PendingReplicaDeletion,
    /// It is made.
    Creating,
    /// Its material was not imported yet.
    PendingImport,
    /// Its key store cannot be reached.
    Unavailable,
    /// One that AWS has added since.
    #[serde(untagged)]
    Other(String),
}

impl KeyState {
    /// Whether the key can be used now.
    pub fn is_usable(&self) -> bool {
        matches!(self, KeyState::Enabled | KeyState::Updating)
    }

    fn of(name: &str) -> KeyState {
        match name {
            "Enabled" => KeyState::Enabled,
            "Updating" => KeyState::Updating,
            "Disabled" => KeyState::Disabled,
            "PendingDeletion" => KeyState::PendingDeletion,
            "PendingReplicaDeletion" => KeyState::PendingReplicaDeletion,
            "Creating" => KeyState::Creating,
            "PendingImport" => KeyState::PendingImport,
            "Unavailable" => KeyState::Unavailable,
            other => KeyState::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            KeyState::Enabled => "enabled",
            KeyState::Updating => "updating",
            KeyState::Disabled => "disabled",
            KeyState::PendingDeletion => "pending deletion",
            KeyState::PendingReplicaDeletion => "pending deletion of its replicas",
            KeyState::Creating => "being created",
            KeyState::PendingImport => "pending import",
            KeyState::Unavailable => "unavailable",
            KeyState::Other(name) => name,
        })
    }
}

/// A client in a Region.
#[derive(Debug, Clone)]
pub struct Kms {
    caller: Caller,
    client: aws_sdk_kms::Client,
}

impl Kms {
    pub(super) fn new(caller: Caller) -> Kms {
        let config = aws_sdk_kms::config::Builder::from(caller.session.sdk())
            .region(aws_config::Region::new(caller.region.to_string()))
            .interceptor(caller.session.interceptor())
            .build();
        let client = aws_sdk_kms::Client::from_conf(config);
        Kms { caller, client }
    }

    /// Looks up a key by its id, its ARN, an alias, or an alias's ARN.
    ///
    /// # Errors
    /// It is not there, or the key's owner does not let this principal see it.
    pub async fn describe(&self, name: &str) -> Result<Key, AwsError> {
        let call = Call::new("kms:DescribeKey", name);
        let answer = self
            .caller
            .run(call.clone(), || {
                self.client.describe_key().key_id(name).send()
            })
            .await?;
        let told = answer.key_metadata().ok_or("no key".to_owned());
        told.and_then(key)
            .map_err(|why| self.caller.refuse(&call, Kind::Invalid, why))
    }

    /// The names of the account's aliases here, without AWS's own (`alias/aws/…`).
    ///
    /// # Errors
    /// AWS's.
    pub async fn aliases(&self) -> Result<Vec<String>, AwsError> {
        let mut names = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let call = Call::new("kms:ListAliases", "*");
            let send = || {
                let marker = marker.clone();
                self.client.list_aliases().set_marker(marker).send()
            };
            let page = self.caller.run(call, send).await?;
            let named = page.aliases().iter().filter_map(|alias| alias.alias_name());
            names.extend(
                named
                    .filter(|name| !name.starts_with("alias/aws/"))
                    .map(str::to_owned),
            );
            marker = page.next_marker().map(str::to_owned);
            if !page.truncated() || marker.is_none() {
                return Ok(names);
            }
        }
    }

    /// Makes a data key and keeps nothing of it but its ciphertext: what EBS does on the caller's
    /// behalf when it begins to encrypt. Nothing is left in AWS.
    ///
    /// # Errors
    /// AWS's.
    pub async fn generate(&self, key: &KeyArn) -> Result<Vec<u8>, AwsError> {
        let call = Call::new("kms:GenerateDataKeyWithoutPlaintext", key);
        let send = || {
            let call = self.client.generate_data_key_without_plaintext();
            let call = call.key_id(key.as_str()).key_spec(DataKeySpec::Aes256);
            call.send()
        };
        let answer = self.caller.run(call, send).await?;
        let blob = answer.ciphertext_blob().map(|blob| blob.as_ref().to_vec());
        Ok(blob.unwrap_or_default())
    }

    /// Asks whether a ciphertext may be decrypted; it is not.
    ///
    /// # Errors
    /// It may not, or AWS's.
    pub async fn may_decrypt(&self, key: &KeyArn, ciphertext: &[u8]) -> Result<(), AwsError> {
        let send = || {
            let call = self.client.decrypt().key_id(key.as_str());
            let call = call.ciphertext_blob(Blob::new(ciphertext));
            call.dry_run(true).send()
        };
        let call = Call::new("kms:Decrypt", key);
        allowed(self.caller.run(call, send)).await
    }

    /// The public half of a key that signs: its SubjectPublicKeyInfo, in DER.
    ///
    /// # Errors
    /// AWS's.
    pub async fn public_key(&self, key: &KeyArn) -> Result<Vec<u8>, AwsError> {
        let call = Call::new("kms:GetPublicKey", key);
        let send = || self.client.get_public_key().key_id(key.as_str()).send();
        let told = self.caller.run(call, send).await?;
        Ok(told.public_key.map(Blob::into_inner).unwrap_or_default())
    }

    /// Signs a SHA-256 digest with a key on the curve P-256; the signature is in DER.
    ///
    /// # Errors
    /// AWS's.
    pub async fn sign_digest(&self, key: &str, digest: &[u8]) -> Result<Vec<u8>, AwsError> {
        let call = Call::new("kms:Sign", key);
        let send = || {
            let call = self.client.sign().key_id(key);
            let call = call.message_type(MessageType::Digest);
            let call = call.message(Blob::new(digest));
            call.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
                .send()
        };
        let told = self.caller.run(call, send).await?;
        Ok(told.signature.map(Blob::into_inner).unwrap_or_default())
    }

    /// Asks whether a ciphertext may be brought from the key to the same key: `kms:ReEncryptFrom`
    /// and `kms:ReEncryptTo`.
    ///
    /// # Errors
    /// It may not, or AWS's.
    pub async fn may_re_encrypt(&self, key: &KeyArn, ciphertext: &[u8]) -> Result<(), AwsError> {
        let send = || {
            let call = self.client.re_encrypt().source_key_id(key.as_str());
            let call = call.destination_key_id(key.as_str());
            let call = call.ciphertext_blob(Blob::new(ciphertext));
            call.dry_run(true).send()
        };
        let call = Call::new("kms:ReEncrypt", key);
        allowed(self.caller.run(call, send)).await
    }

    /// Asks whether a grant of the key's use may be given to a principal; it is not. Who may give
    /// grants only through EC2 (`kms:GrantIsForAWSResource`) is refused here.
    ///
    /// # Errors
    /// It may not, or AWS's.
    pub async fn may_grant(&self, key: &KeyArn, principal: &str) -> Result<(), AwsError> {
        let send = || {
            let call = self.client.create_grant().key_id(key.as_str());
            let call = call.grantee_principal(principal);
            let call = call.operations(GrantOperation::Decrypt);
            call.dry_run(true).send()
        };
        let call = Call::new("kms:CreateGrant", key);
        allowed(self.caller.run(call, send)).await
    }
}

fn key(told: &KeyMetadata) -> Result<Key, String> {
    let arn = told.arn().unwrap_or_default().parse();
    let arn = arn.map_err(|error| format!("{error}"))?;
    let deletion_date = told
        .deletion_date()
        .and_then(|date| OffsetDateTime::from_unix_timestamp(date.secs()).ok());
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Ok(Key {
        arn,
        state: KeyState::of(told.key_state().map_or("", |state| state.as_str())),
        customer_managed: told.key_manager().map(|manager| manager.as_str()) == Some("CUSTOMER"),
        spec: text(told.key_spec().map(|spec| spec.as_str())),
        usage: text(told.key_usage().map(|usage| usage.as_str())),
        multi_region: told.multi_region().unwrap_or(false),
        deletion_date,
    })
}

#[cfg(test)]
impl Kms {
    /// For tests, which make keys in ways that this program never does.
    pub(crate) fn sdk(&self) -> &aws_sdk_kms::Client {
        &self.client
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cloud, HOME, region};
    use super::*;

    #[tokio::test]
    async fn a_key_is_found_by_its_alias_and_can_be_used() {
        let cloud = Cloud::start().await;
        let aws = cloud.aws().await;
        let kms = aws.kms(&region(HOME));
        let made = kms.sdk().create_key().send().await.expect("a key");
        let id = made.key_metadata().expect("its metadata").key_id();
        for number in 0..60 {
            let name = format!("alias/images-{number:02}");
            let call = kms.sdk().create_alias().alias_name(name).target_key_id(id);
            call.send().await.expect("an alias");
        }
        // More than a page of them.
        assert_eq!(kms.aliases().await.expect("aliases").len(), 60);

        let key = kms.describe("alias/images-07").await.expect("a key");
        assert_eq!((key.arn.key_id(), &key.state), (id, &KeyState::Enabled));
        assert!(key.customer_managed && key.encrypts_volumes() && !key.multi_region);
        let policy = kms.policy(&key.arn).await.expect("a policy");
        assert!(
            policy.contains(":root") && policy.contains("kms:*"),
            "{policy}"
        );

        let ciphertext = kms.generate(&key.arn).await.expect("a data key");
        kms.may_decrypt(&key.arn, &ciphertext).await.expect("leave");
        kms.may_re_encrypt(&key.arn, &ciphertext)
            .await
            .expect("leave");
        let principal = aws.identity().arn.clone();
        kms.may_grant(&key.arn, &principal).await.expect("leave");
        let grants = kms.sdk().list_grants().key_id(id).send().await;
        assert!(grants.expect("grants").grants().is_empty());

        cloud
            .fault(serde_json::json!({"operation": "Decrypt", "action": "deny"}))
            .await;
        let refused = kms.may_decrypt(&key.arn, &ciphertext).await;
        assert_eq!(refused.expect_err("no leave").kind, Kind::Denied);
        let missing = kms.describe("alias/nothing").await.expect_err("no key");
        assert_eq!(missing.kind, Kind::NotFound);
        assert!(!kms.policy(&key.arn).await.expect("a policy").is_empty());
    }
}
