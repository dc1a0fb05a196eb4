//! The accounts: each has a name, an id and an access key.

use std::sync::Arc;

use super::SandboxError;
use crate::sandbox::caller::{AccessKey, Caller};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, random};
use crate::sandbox::shared::Shared;
use crate::sandbox::world::{Account, World};

/// Adds accounts that are not there yet.
pub(super) fn add_all(
    shared: &Arc<Shared>,
    accounts: &[(String, AccountId)],
) -> Result<(), SandboxError> {
    let mut contradiction = None;
    let result = shared.transact(|world| {
        for (name, id) in accounts {
            add(world, name, id).map_err(|why| {
                contradiction = Some(why.clone());
                ServiceError::new("InvalidAccount", why)
            })?;
        }
        Ok(())
    });
    match (result, contradiction) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(why)) => Err(SandboxError::Account(why)),
        (Err(error), None) => Err(SandboxError::Accounts(error)),
    }
}

/// Adds an account with an access key. True if it was not there yet.
///
/// # Errors
/// The name is another account's, or the account has another name; in words for whoever asks.
pub(in crate::sandbox) fn add(
    world: &mut World,
    name: &str,
    id: &AccountId,
) -> Result<bool, String> {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        return Err(format!(
            "`{name}` is no account's name: 1 to 64 letters, digits, `.`, `_` and `-`"
        ));
    }
    if let Some(other) = world
        .accounts
        .values()
        .find(|known| known.name == name && known.id != *id)
    {
        return Err(format!(
            "the account `{name}` has the id {} here, not {id}: choose another name, or use that id",
            other.id
        ));
    }
    match world.accounts.get(id.as_str()) {
        Some(known) if known.name == name => return Ok(false),
        Some(known) => {
            return Err(format!(
                "the account {id} is called `{}` here, not `{name}`: choose another id, or use \
                 that name",
                known.name
            ));
        }
        None => {}
    }
    let account = Account {
        id: id.clone(),
        name: name.to_owned(),
    };
    world.accounts.insert(id.as_str(), account);
    let key = new_access_key(id);
    world.access_keys.insert(key.id.clone(), key);
    Ok(true)
}

/// The account's own access key, not one of a session.
pub(in crate::sandbox) fn access_key<'a>(
    world: &'a World,
    id: &AccountId,
) -> Option<&'a AccessKey> {
    world
        .access_keys
        .values()
        .find(|key| key.session_token.is_none() && key.caller.account == *id)
}

/// Credentials of the administrator of a new account.
pub(in crate::sandbox) fn new_access_key(account: &AccountId) -> AccessKey {
    let text = |bytes: &[u8]| crate::digest::hex(bytes).to_uppercase();
    AccessKey {
        id: format!("AKIA{}", text(&random::<8>())),
        secret: crate::digest::hex(&random::<20>()),
        session_token: None,
        expires: None,
        caller: Caller {
            account: account.clone(),
            arn: format!("arn:aws:iam::{account}:user/admin"),
            user_id: format!("AIDA{}", text(&random::<8>())),
            role: None,
        },
    }
}
