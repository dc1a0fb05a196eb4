//! Which key an object is encrypted with, and who may use it. Data stands plain on the sandbox's
//! disk; what is enforced is the use of the key.

use s3s::dto;

use super::call::{Call, access_denied, fault, invalid_argument, not_here};
use super::model::{Bucket, Encryption};
use crate::sandbox::error::ServiceError;
use crate::sandbox::kms::{self, KeyUse};
use crate::sandbox::world::World;

/// What a writer asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `AES256` or `aws:kms`.
    pub algorithm: Option<String>,
    /// The key, in any of the forms of KMS.
    pub key: Option<String>,
    /// Whether a bucket key is to be used.
    pub bucket_key: Option<bool>,
}

impl Asked {
    /// What the object will be encrypted with: what was asked for, or what the bucket says.
    ///
    /// # Errors
    /// The arguments do not go together, or the caller may not write with the key.
    pub fn resolve(
        &self,
        call: &Call,
        world: &World,
        bucket: &Bucket,
    ) -> Result<Encryption, ServiceError> {
        let encryption = match (self.algorithm.as_deref(), &self.key) {
            (None, None) => match &bucket.encryption {
                Encryption::Aes256 => Encryption::Aes256,
                Encryption::Kms { key, bucket_key } => Encryption::Kms {
                    key: key.clone(),
                    bucket_key: self.bucket_key.unwrap_or(*bucket_key),
                },
            },
            (Some("AES256"), None) => Encryption::Aes256,
            (Some("AES256") | None, Some(key)) => {
                return Err(invalid_argument(
                    "Server Side Encryption with AWS KMS managed key requires HTTP header \
                     x-amz-server-side-encryption : aws:kms",
                    "x-amz-server-side-encryption-aws-kms-key-id",
                    key,
                ));
            }
            (Some("aws:kms"), None) => Encryption::Kms {
                key: None,
                bucket_key: self.bucket_key.unwrap_or(false),
            },
            (Some("aws:kms"), Some(key)) => Encryption::Kms {
                key: Some(resolve_key(call, world, bucket, key)?),
                bucket_key: self.bucket_key.unwrap_or(false),
            },
            (Some("aws:kms:dsse" | "aws:fsx"), _) => {
                return Err(not_here("encryption in two layers"));
            }
            (Some(other), _) => {
                return Err(invalid_argument(
                    "The encryption method specified is not supported",
                    "x-amz-server-side-encryption",
                    other,
                ));
            }
        };
        authorize(call, world, bucket, &encryption, KeyUse::GenerateDataKey)?;
        Ok(encryption)
    }
}

fn resolve_key(
    call: &Call,
    world: &World,
    bucket: &Bucket,
    key: &str,
) -> Result<String, ServiceError> {
    let caller = call.caller.as_ref().ok_or_else(access_denied)?;
    kms::resolve(world, &caller.account, &bucket.region, key).ok_or_else(|| {
        fault(
            "KMS.NotFoundException",
            format!("Key '{key}' does not exist"),
        )
    })
}

/// Whether the caller may use an object's key.
///
/// # Errors
/// `AccessDenied`, or `KMS.…` for a key that cannot be used at all.
pub fn authorize(
    call: &Call,
    world: &World,
    bucket: &Bucket,
    encryption: &Encryption,
    usage: KeyUse,
) -> Result<(), ServiceError> {
    let Encryption::Kms { key, .. } = encryption else {
        return Ok(());
    };
    let caller = call.caller.as_ref().ok_or_else(access_denied)?;
    let Some(key) = key else {
        // The key `aws/s3` is the account's own and cannot be shared.
        return if caller.account == bucket.account {
            Ok(())
        } else {
            Err(access_denied())
        };
    };
    let via = format!("s3.{}.amazonaws.com", bucket.region);
    kms::authorize(world, caller, key, usage, Some(&via)).map_err(|error| match &*error.code {
        "NotFoundException" => fault("KMS.NotFoundException", error.message),
        "DisabledException" => fault("KMS.DisabledException", error.message),
        "KMSInvalidStateException" => fault("KMS.KMSInvalidStateException", error.message),
        _ => fault("AccessDenied", error.message),
    })
}

/// How an answer says what an object is encrypted with.
pub struct Shown {
    /// `AES256` or `aws:kms`.
    pub algorithm: Option<dto::ServerSideEncryption>,
    /// The key's ARN.
    pub key: Option<String>,
    /// Whether a bucket key is used.
    pub bucket_key: Option<bool>,
}

impl Shown {
    /// Of an object in a bucket.
    pub fn of(encryption: &Encryption, bucket: &Bucket) -> Shown {
        match encryption {
            Encryption::Aes256 => Shown {
                algorithm: Some(dto::ServerSideEncryption::from_static(
                    dto::ServerSideEncryption::AES256,
                )),
                key: None,
                bucket_key: None,
            },
            Encryption::Kms { key, bucket_key } => Shown {
                algorithm: Some(dto::ServerSideEncryption::from_static(
                    dto::ServerSideEncryption::AWS_KMS,
                )),
                key: Some(key.clone().unwrap_or_else(|| {
                    format!(
                        "arn:aws:kms:{}:{}:alias/aws/s3",
                        bucket.region, bucket.account
                    )
                })),
                bucket_key: bucket_key.then_some(true),
            },
        }
    }
}
