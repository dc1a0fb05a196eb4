//! KMS: keys, policies that are enforced, grants, and what other services ask of it.

mod access;
mod grant;
mod input;
mod key;
mod managed;
mod material;
mod operations;
mod reference;
#[cfg(test)]
mod tests;

use super::caller::Caller;
use super::context::Context;
use super::error::ServiceError;
use super::http::Reply;
use super::id::{AccountId, Region};
use super::shelf::{AnyShelf, Shelf};
use super::world::World;
use access::Request;
use key::{Key, Needs};
use material::Spec;
use reference::Reference;

/// KMS's state.
#[derive(Debug, Clone)]
pub struct KmsState {
    /// Keys by ARN; also those that were deleted, since a primary's end depends on its replicas'.
    keys: Shelf<Key>,
    /// What a key and its replicas share, by id.
    materials: Shelf<material::Material>,
    /// Aliases by ARN.
    aliases: Shelf<key::Alias>,
    /// Grants by the key's ARN and their id.
    grants: Shelf<grant::Grant>,
}

impl Default for KmsState {
    fn default() -> KmsState {
        KmsState {
            keys: Shelf::new("kms-key"),
            materials: Shelf::new("kms-material"),
            aliases: Shelf::new("kms-alias"),
            grants: Shelf::new("kms-grant"),
        }
    }
}

impl KmsState {
    /// Its shelves.
    pub fn shelves(&mut self) -> Vec<&mut dyn AnyShelf> {
        vec![
            &mut self.keys,
            &mut self.materials,
            &mut self.aliases,
            &mut self.grants,
        ]
    }
}

/// Uses of a key by another service on a caller's behalf, as facts/aws.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Write new encrypted data (StartSnapshot, a copy's destination, a new volume):
    /// DescribeKey, GenerateDataKeyWithoutPlaintext, CreateGrant with `kms:GrantIsForAWSResource`.
    Encrypt,
    /// Read encrypted data (launch, copy's source, GetSnapshotBlock): DescribeKey, Decrypt.
    Decrypt,
    /// Launch or copy from another's key: Decrypt, ReEncryptFrom, CreateGrant for AWS resources.
    ReEncryptFrom,
    /// Copy encrypted data to this key: ReEncryptTo.
    ReEncryptTo,
    /// Copy encrypted data of one's own from this key: ReEncryptFrom.
    ReEncryptOwn,
    /// Make copies under this key: Decrypt, which AWS documents for whoever encrypts.
    ReadBack,
    /// Write an object of S3: GenerateDataKey.
    GenerateDataKey,
    /// Read an object of S3: Decrypt.
    DecryptDataKey,
}

impl KeyUse {
    fn actions(self) -> &'static [&'static str] {
        match self {
            KeyUse::Encrypt => &[
                "DescribeKey",
                "GenerateDataKeyWithoutPlaintext",
                "CreateGrant",
            ],
            KeyUse::Decrypt => &["DescribeKey", "Decrypt"],
            KeyUse::ReEncryptFrom => &["Decrypt", "ReEncryptFrom", "CreateGrant"],
            KeyUse::ReEncryptTo => &["ReEncryptTo"],
            KeyUse::ReEncryptOwn => &["ReEncryptFrom"],
            KeyUse::ReadBack => &["Decrypt"],
            KeyUse::GenerateDataKey => &["GenerateDataKey"],
            KeyUse::DecryptDataKey => &["Decrypt"],
        }
    }
}

/// The ARN of the key that `reference` (id, ARN, alias name or alias ARN) means for a caller.
/// An ARN may be another account's. `None` where there is no such key, or it is in another Region.
/// The own `alias/aws/ebs` has its ARN also where the key is not made yet: whoever goes on to use
/// it calls [`ebs_default_key`].
pub fn resolve(
    world: &World,
    account: &AccountId,
    region: &Region,
    reference: &str,
) -> Option<String> {
    let now = world.clock.now();
    let reference = Reference::parse(account, region, reference)?;
    if reference.region != *region {
        return None;
    }
    let own_default = managed::ebs_key(account, region, now);
    if reference.arn() == key::alias_arn(account, region, managed::EBS_ALIAS)
        || reference.arn() == own_default.arn()
    {
        return Some(own_default.arn());
    }
    let arn = reference.key_arn(world, now)?;
    key::find(world, now, &arn).map(Key::arn)
}

/// The ARN of the account's AWS-managed key `aws/ebs` of a Region, made when it is first needed.
pub fn ebs_default_key(world: &mut World, account: &AccountId, region: &Region) -> String {
    let now = world.clock.now();
    managed::make_ebs_key(world, now, account, region)
}

/// Whether a key is one that AWS manages (`aws/ebs`), which cannot be shared.
pub fn is_aws_managed(world: &World, arn: &str) -> bool {
    match world.kms.keys.get(arn) {
        Some(key) => key.aws_managed,
        None => unmade_default(world, arn).is_some(),
    }
}

/// The key `aws/ebs` that an ARN means, if it is not made yet.
fn unmade_default(world: &World, arn: &str) -> Option<Key> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, _, region, account, _] = parts[..] else {
        return None;
    };
    let key = managed::ebs_key(
        &account.parse().ok()?,
        &region.parse().ok()?,
        world.clock.now(),
    );
    (key.arn() == arn).then_some(key)
}

/// Whether `caller` may use the key in this way through a service of AWS
/// (`via`: `ec2.<region>.amazonaws.com` or none for EBS direct, which calls as the caller).
///
/// # Errors
/// KMS's code and message: `AccessDeniedException`, `NotFoundException`, `DisabledException`,
/// `KMSInvalidStateException`. The service that asks wraps it in its own error.
pub fn authorize(
    world: &World,
    caller: &Caller,
    key_arn: &str,
    usage: KeyUse,
    via: Option<&str>,
) -> Result<(), ServiceError> {
    let now = world.clock.now();
    let unmade;
    let found = match key::find(world, now, key_arn) {
        Some(key) => Some(key),
        None => {
            unmade = unmade_default(world, key_arn);
            unmade.as_ref()
        }
    };
    // EBS direct uses the default key too, whose policy knows EBS by EC2's name only.
    let ec2 = found
        .filter(|key| key.aws_managed)
        .map(|key| managed::ec2(&key.region));
    let via = via.or(ec2.as_deref());
    let grant = operations::grants::for_volume();
    for action in usage.actions() {
        let mut request = Request::new(caller, now, action);
        request.via = via;
        let Some(key) = found else {
            return Err(missing(&request, key_arn));
        };
        if *action == "CreateGrant" {
            request.of_grant(&grant.0, &grant.1);
            request = request.with("kms:grantisforawsresource", "true");
        }
        request.check(world, key)?;
    }
    let Some(key) = found else { return Ok(()) };
    key.require(world, now, Needs::Usable)?;
    if key.spec != Spec::Symmetric {
        return Err(operations::wrong_usage(key, "Decrypt"));
    }
    Ok(())
}

fn missing(request: &Request<'_>, key_arn: &str) -> ServiceError {
    let is_own = key_arn.split(':').nth(4) == Some(request.caller.account.as_str());
    if is_own {
        ServiceError::new(
            "NotFoundException",
            format!("Key '{key_arn}' does not exist"),
        )
    } else {
        request.hidden(key_arn)
    }
}

/// Answers a call.
///
/// # Errors
/// The service's own.
pub fn handle(context: &Context) -> Result<Reply, ServiceError> {
    operations::handle(context)
}
