//! Under which key new data is encrypted, for copies of snapshots and for volumes.

use super::Snapshot;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::places::ebs_defaults;
use crate::sandbox::error::ServiceError;
use crate::sandbox::iam;
use crate::sandbox::kms::{self, KeyUse};
use crate::sandbox::world::World;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Whether it is to be encrypted.
    pub encrypted: Option<bool>,
    /// The key, as it was given.
    pub key: Option<&'a str>,
    /// The snapshot that the data comes from.
    pub source: Option<&'a Snapshot>,
    /// Without a key being named, what comes from the caller's own encrypted snapshot keeps its
    /// key: so it is for volumes, and not for copies.
    pub keep_key: bool,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// ARN of the key, or what was given where that is none; nothing for unencrypted data.
    pub key: Option<String>,
    /// What hinders the work, which AWS finds out only after the call.
    pub trouble: Option<Trouble>,
}

/// What hinders the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such key, or the caller may not use it.
    Inaccessible,
    /// The key is disabled or about to be deleted.
    State,
}

impl Trouble {
    /// As AWS says it in a state message.
    pub fn message(self) -> &'static str {
        match self {
            Trouble::Inaccessible => "Given key ID is not accessible",
            Trouble::State => "Given key ID is in an incorrect state",
        }
    }
}

/// The key for new data.
///
/// # Errors
/// Parameters that do not go together.
pub fn choose(
    context: &Context,
    world: &mut World,
    wish: Wish<'_>,
) -> Result<Choice, ServiceError> {
    let account = &context.caller.account;
    let source_key = wish.source.and_then(|source| source.key.as_deref());
    if source_key.is_some() && wish.encrypted == Some(false) {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            "Encrypted cannot be false for what is made from an encrypted snapshot",
        ));
    }
    let defaults = ebs_defaults(world, account, &context.region);
    if source_key.is_none() && wish.encrypted != Some(true) && !defaults.encrypt {
        return match wish.key {
            Some(_) => Err(ServiceError::new(
                "InvalidParameterDependency",
                "The parameter KmsKeyId requires the parameter Encrypted to be set.",
            )),
            None => Ok(Choice {
                key: None,
                trouble: None,
            }),
        };
    }
    let own_key = wish
        .source
        .filter(|source| wish.keep_key && source.owner == *account)
        .and_then(|source| source.key.clone());
    let key = match (wish.key, own_key, defaults.key) {
        (Some(given), _, _) => kms::resolve(world, account, &context.region, given),
        (None, Some(own), _) => Some(own),
        (None, None, Some(default)) => Some(default),
        (None, None, None) => Some(kms::ebs_default_key(world, account, &context.region)),
    };
    let Some(key) = key else {
        return Ok(Choice {
            key: wish.key.map(str::to_owned),
            trouble: Some(Trouble::Inaccessible),
        });
    };
    // The account's own default key may have been named before it was made.
    if kms::is_aws_managed(world, &key) && key.split(':').nth(4) == Some(account.as_str()) {
        kms::ebs_default_key(world, account, &context.region);
    }
    let mut trouble = hindrance(
        context,
        world,
        &key,
        KeyUse::Encrypt,
        context.region.as_str(),
    );
    if let (None, Some(source_key), Some(source)) = (trouble, source_key, wish.source) {
        let usage = match source.owner == *account {
            true => KeyUse::Decrypt,
            false => KeyUse::ReEncryptFrom,
        };
        trouble = hindrance(context, world, source_key, usage, source.region.as_str());
    }
    if trouble.is_none() {
        trouble = confinement(context, world, &key, wish.source);
    }
    Ok(Choice {
        key: Some(key),
        trouble,
    })
}

/// What a role with a policy needs besides ("Required permissions for Amazon EBS encryption"). AWS
/// documents these without saying which of its calls need them; who has them all is safe.
fn confinement(
    context: &Context,
    world: &World,
    key: &str,
    source: Option<&Snapshot>,
) -> Option<Trouble> {
    if !iam::is_confined(world, &context.caller) {
        return None;
    }
    let here = context.region.as_str();
    let source = source.and_then(|source| Some((source.key.as_deref()?, source)));
    let mut needs = vec![(key, KeyUse::ReadBack, here)];
    if let Some((from, source)) = source.filter(|(from, _)| *from != key) {
        needs.push((from, KeyUse::ReEncryptOwn, source.region.as_str()));
        needs.push((key, KeyUse::ReEncryptTo, here));
    }
    needs
        .into_iter()
        .find_map(|(key, usage, region)| hindrance(context, world, key, usage, region))
}

fn hindrance(
    context: &Context,
    world: &World,
    key: &str,
    usage: KeyUse,
    region: &str,
) -> Option<Trouble> {
    let via = format!("ec2.{region}.amazonaws.com");
    let error = kms::authorize(world, &context.caller, key, usage, Some(&via)).err()?;
    Some(match &*error.code {
        "DisabledException" | "KMSInvalidStateException" => Trouble::State,
        _ => Trouble::Inaccessible,
    })
}
