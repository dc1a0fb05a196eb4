//! Temporary credentials.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::input::{invalid, length, number, pattern, refuse, required};
use crate::digest::{hex, sha256};
use crate::sandbox::caller::{AccessKey, Caller};
use crate::sandbox::clock::Timestamp;
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, random};
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;

/// Shortest session.
pub(super) const SHORTEST: u64 = 900;

/// Longest session of a role; roles of the sandbox all allow that.
pub(super) const LONGEST_OF_ROLE: u64 = 12 * 3600;

/// Longest session of a role that a session of a role asks for.
const LONGEST_OF_CHAIN: u64 = 3600;

/// Longest session of a user.
const LONGEST_OF_USER: u64 = 36 * 3600;

/// A role by its ARN.
pub struct Role {
    arn: String,
    /// Whose it is.
    pub account: AccountId,
    name: String,
}

impl Role {
    /// The role of an account with this name and no path, if that is a name.
    pub fn of(account: &AccountId, name: &str) -> Option<Role> {
        Role::parse(&format!("arn:aws:iam::{account}:role/{name}"))
    }

    /// Reads `arn:aws:iam::<account>:role/<path><name>`.
    pub fn parse(arn: &str) -> Option<Role> {
        let (account, path) = arn
            .strip_prefix("arn:aws:iam::")
            .and_then(|rest| rest.split_once(":role/"))?;
        let (folders, name) = match path.rsplit_once('/') {
            Some((folders, name)) => (folders, name),
            None => ("", path),
        };
        let allowed = |char: char| char.is_ascii_alphanumeric() || "_+=,.@-".contains(char);
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            return None;
        }
        if !folders.chars().all(|char| char.is_ascii_graphic()) {
            return None;
        }
        Some(Role {
            arn: arn.to_owned(),
            account: account.parse().ok()?,
            name: name.to_owned(),
        })
    }

    /// A session of the role.
    pub fn session(self, name: &str) -> Caller {
        Caller {
            arn: format!(
                "arn:aws:sts::{}:assumed-role/{}/{name}",
                self.account, self.name
            ),
            user_id: format!("{}:{name}", self.unique_id()),
            account: self.account,
            role: Some(self.arn),
        }
    }

    /// The role's unique id; the same each time, as it was the same role.
    pub fn unique_id(&self) -> String {
        let digest = sha256(format!("{}/{}", self.account, self.name).as_bytes());
        format!("AROA{}", digest[..17].to_ascii_uppercase())
    }
}

pub(super) fn assume_role(context: &Context, params: &mut Params) -> Result<Xml, ServiceError> {
    let arn = required(params, "RoleArn")?;
    let session = required(params, "RoleSessionName")?;
    let duration = number(
        params,
        "DurationSeconds",
        "durationSeconds",
        SHORTEST,
        LONGEST_OF_ROLE,
    )?;
    let external_id = params.text("ExternalId");
    let token_size = number(
        params,
        "MinimumSessionTokenSize",
        "minimumSessionTokenSize",
        0,
        4096,
    )?;
    for (name, why) in [
        ("Policy", "it does not enforce session policies"),
        ("PolicyArns", "it does not enforce session policies"),
        ("Tags", "its policies do not see session tags"),
        ("TransitiveTagKeys", "its policies do not see session tags"),
        ("SourceIdentity", "its policies do not see it"),
        ("ProvidedContexts", "it has no trusted context providers"),
    ] {
        refuse(params, name, why)?;
    }
    check_mfa(context, params)?;
    params.finish()?;

    length(&arn, "roleArn", 20, 2048)?;
    length(&session, "roleSessionName", 2, 64)?;
    pattern(&session, "roleSessionName", "+=,.@-", "[\\w+=,.@-]*")?;
    if let Some(id) = external_id {
        length(&id, "externalId", 2, 1224)?;
        pattern(&id, "externalId", "+=,.@:/-", "[\\w+=,.@:\\/-]*")?;
    }
    let role = Role::parse(&arn).ok_or_else(|| invalid(format!("{arn} is invalid")))?;
    if context.caller.arn.ends_with(":root") {
        return Err(denied("Roles may not be assumed by root accounts."));
    }
    let chained = context.caller.arn.contains(":assumed-role/");
    if chained && duration.is_some_and(|duration| duration > LONGEST_OF_CHAIN) {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by \
             role chaining",
        ));
    }
    let caller = role.session(&session);
    let known = context.read(|world| world.accounts.get(caller.account.as_str()).is_some());
    if !known {
        return Err(denied(format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            context.caller.arn
        )));
    }
    give(context, caller, duration.unwrap_or(3600), token_size)
}

/// Gives out credentials of a role's session.
pub(super) fn give(
    context: &Context,
    caller: Caller,
    seconds: u64,
    token_size: Option<u64>,
) -> Result<Xml, ServiceError> {
    let key = temporary_key(context.now, caller, seconds, token_size);
    let mut xml = Xml::new();
    write_credentials(&mut xml, &key);
    xml.node("AssumedRoleUser", |xml| {
        xml.text("AssumedRoleId", &key.caller.user_id)
            .text("Arn", &key.caller.arn);
    });
    keep(context, key)?;
    Ok(xml)
}

pub(super) fn session_token(context: &Context, params: &mut Params) -> Result<Xml, ServiceError> {
    let duration = number(
        params,
        "DurationSeconds",
        "durationSeconds",
        SHORTEST,
        LONGEST_OF_USER,
    )?;
    let token_size = number(
        params,
        "MinimumSessionTokenSize",
        "minimumSessionTokenSize",
        0,
        4096,
    )?;
    check_mfa(context, params)?;
    params.finish()?;
    let request = &context.request;
    let in_session = context.caller.arn.contains(":assumed-role/")
        || request.header("x-amz-security-token").is_some()
        || request.query.contains("X-Amz-Security-Token=");
    if in_session {
        return Err(denied(
            "Cannot call GetSessionToken with session credentials",
        ));
    }
    let key = temporary_key(
        context.now,
        context.caller.clone(),
        duration.unwrap_or(12 * 3600),
        token_size,
    );
    let mut xml = Xml::new();
    write_credentials(&mut xml, &key);
    keep(context, key)?;
    Ok(xml)
}

pub(super) fn denied(message: impl Into<String>) -> ServiceError {
    ServiceError::new("AccessDenied", message).status(403)
}

/// Nobody here has an MFA device, so that no code can be right.
fn check_mfa(context: &Context, params: &mut Params) -> Result<(), ServiceError> {
    let serial = params.text("SerialNumber");
    let code = params.text("TokenCode");
    match (serial, code) {
        (None, None) => Ok(()),
        (Some(serial), Some(code)) => {
            length(&serial, "serialNumber", 9, 256)?;
            length(&code, "tokenCode", 6, 6)?;
            Err(denied(format!(
                "MultiFactorAuthentication failed, unable to validate MFA code: {} has no MFA \
                 device {serial}",
                context.caller.arn
            )))
        }
        _ => Err(invalid(
            "SerialNumber and TokenCode must both be given or both be left out",
        )),
    }
}

/// New credentials of a session.
pub fn temporary_key(
    now: Timestamp,
    caller: Caller,
    seconds: u64,
    token_size: Option<u64>,
) -> AccessKey {
    let mut token = BASE64_STANDARD.encode(random::<192>());
    while (token.len() as u64) < token_size.unwrap_or(0) {
        token.push_str(&BASE64_STANDARD.encode(random::<192>()));
    }
    let expires = now.plus(Duration::from_secs(seconds));
    AccessKey {
        id: format!("ASIA{}", hex(&random::<8>()).to_uppercase()),
        secret: BASE64_STANDARD.encode(random::<30>()),
        session_token: Some(token),
        // Whole seconds, as they are written.
        expires: Some(Timestamp(expires.0 - expires.0.rem_euclid(1000))),
        caller,
    }
}

fn write_credentials(xml: &mut Xml, key: &AccessKey) {
    xml.node("Credentials", |xml| {
        xml.text("AccessKeyId", &key.id)
            .text("SecretAccessKey", &key.secret)
            .optional("SessionToken", key.session_token.as_ref())
            .optional(
                "Expiration",
                key.expires
                    .map(|expires| expires.iso().replace(".000Z", "Z")),
            );
    });
}

/// Puts the credentials in, and takes out what has expired long ago.
fn keep(context: &Context, key: AccessKey) -> Result<(), ServiceError> {
    const KEPT_AFTER_END: Duration = Duration::from_secs(24 * 3600);
    context.transact(|world| {
        let gone: Vec<String> = world
            .access_keys
            .values()
            .filter(|old| {
                old.expires
                    .is_some_and(|expires| expires.plus(KEPT_AFTER_END) < context.now)
            })
            .map(|old| old.id.clone())
            .collect();
        for id in gone {
            world.access_keys.remove(&id);
        }
        world.access_keys.insert(key.id.clone(), key);
        Ok(())
    })
}
