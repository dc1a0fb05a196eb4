//! What a caller may call a key: id, ARN, alias, ARN of an alias.

use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::world::World;

use super::access::Request;
use super::key::{self, Key};

/// What an operation takes for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Takes {
    /// Aliases too.
    pub aliases: bool,
    /// Keys of other accounts too, by ARN.
    pub others: bool,
}

/// Own keys only, by id or ARN.
pub(super) const OWN_KEYS: Takes = Takes {
    aliases: false,
    others: false,
};
/// Keys of any account, by id or ARN.
pub(super) const KEYS: Takes = Takes {
    aliases: false,
    others: true,
};
/// Keys of any account, by alias too.
pub(super) const ANY: Takes = Takes {
    aliases: true,
    others: true,
};

/// A key that was found.
#[derive(Debug)]
pub(super) struct Found<'w> {
    pub key: &'w Key,
    /// The alias that it was called by, `alias/…`.
    pub alias: Option<String>,
}

/// A reference that is taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub account: AccountId,
    pub region: Region,
    pub name: Name,
}

/// What of a reference is not its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// A key's id.
    Key(String),
    /// `alias/…`.
    Alias(String),
}

impl Reference {
    /// Takes a reference apart, as a caller in an account and Region means it; nothing if it has
    /// no such form.
    pub fn parse(account: &AccountId, region: &Region, text: &str) -> Option<Reference> {
        if !text.starts_with("arn:") {
            return Some(Reference {
                account: account.clone(),
                region: region.clone(),
                name: Name::parse(text)?,
            });
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", "aws", "kms", region, account, resource] = parts[..] else {
            return None;
        };
        let name = match resource.strip_prefix("key/") {
            Some(id) => Name::Key(id.to_owned()),
            None => Name::parse(resource).filter(|name| matches!(name, Name::Alias(_)))?,
        };
        Some(Reference {
            account: account.parse().ok()?,
            region: region.parse().ok()?,
            name,
        })
    }

    /// The ARN of what is referred to.
    pub fn arn(&self) -> String {
        match &self.name {
            Name::Key(id) => key::arn(&self.account, &self.region, id),
            Name::Alias(name) => key::alias_arn(&self.account, &self.region, name),
        }
    }

    /// The ARN of the key that is meant, whether or not there is one.
    pub fn key_arn(&self, world: &World, now: Timestamp) -> Option<String> {
        match &self.name {
            Name::Key(_) => Some(self.arn()),
            Name::Alias(_) => Some(key::find_alias(world, now, &self.arn())?.target_arn()),
        }
    }
}

impl Name {
    fn parse(text: &str) -> Option<Name> {
        if text
            .strip_prefix("alias/")
            .is_some_and(|name| !name.is_empty())
        {
            return Some(Name::Alias(text.to_owned()));
        }
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_multi_region = text
            .strip_prefix("mrk-")
            .is_some_and(|rest| rest.len() == 32 && is_hex(rest));
        let parts: Vec<usize> = text.split('-').map(str::len).collect();
        let is_uuid = parts == [8, 4, 4, 4, 12] && text.split('-').all(is_hex);
        (is_multi_region || is_uuid).then(|| Name::Key(text.to_owned()))
    }
}

/// Finds the key that a request names.
///
/// # Errors
/// `NotFoundException`, `InvalidArnException`; for other accounts' keys `AccessDeniedException`.
pub(super) fn find<'w>(
    world: &'w World,
    request: &Request<'_>,
    region: &Region,
    text: &str,
    takes: Takes,
) -> Result<Found<'w>, ServiceError> {
    let not_found = |message: String| ServiceError::new("NotFoundException", message);
    let own = &request.caller.account;
    let is_arn = text.starts_with("arn:");
    let Some(reference) = Reference::parse(own, region, text) else {
        return Err(if is_arn {
            ServiceError::new("InvalidArnException", format!("Invalid arn {text}"))
        } else {
            not_found(format!("Invalid keyId '{text}'"))
        });
    };
    if reference.region != *region {
        return Err(not_found(format!("Invalid arn {}", reference.region)));
    }
    let arn = reference.arn();
    let alias = match &reference.name {
        Name::Key(_) => None,
        Name::Alias(_) if !takes.aliases && is_arn => {
            return Err(ServiceError::new(
                "InvalidArnException",
                format!("Invalid arn: {text} is not the ARN of a key"),
            ));
        }
        Name::Alias(_) if !takes.aliases => {
            return Err(not_found(format!("Invalid keyId '{text}'")));
        }
        Name::Alias(name) => Some(name.clone()),
    };
    if reference.account != *own && !takes.others {
        return Err(request.hidden(&arn));
    }
    let key = reference
        .key_arn(world, request.now)
        .and_then(|arn| key::find(world, request.now, &arn));
    match key {
        Some(key) => Ok(Found { key, alias }),
        None if reference.account != *own => Err(request.hidden(&arn)),
        None if alias.is_some() => Err(not_found(format!("Alias {arn} is not found."))),
        None => Err(not_found(format!("Key '{arn}' does not exist"))),
    }
}
