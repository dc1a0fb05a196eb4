//! Whom a statement is for.

use crate::sandbox::caller::Caller;
use crate::sandbox::id::AccountId;

use super::PolicyError;
use super::document::Json;

/// One principal of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Principal {
    /// `*`: everybody, also who is anonymous.
    Everybody,
    /// An account, by id or by the ARN of its root.
    Account(AccountId),
    /// A user or role, for a role all of its sessions.
    Identity(String),
    /// One session of a role.
    Session(String),
    /// A user or role by its unique id.
    UniqueId(String),
    /// A service of AWS. None of them calls here in its own name.
    Service,
}

impl Principal {
    /// Whether a caller is meant; nobody is an anonymous one.
    pub fn means(&self, caller: Option<&Caller>) -> bool {
        let Some(caller) = caller else {
            return *self == Principal::Everybody;
        };
        match self {
            Principal::Everybody => true,
            Principal::Account(account) => caller.account == *account,
            Principal::Identity(arn) => caller.principal_arn() == *arn,
            Principal::Session(arn) => caller.arn == *arn,
            Principal::UniqueId(id) => caller.user_id.split(':').next() == Some(id.as_str()),
            Principal::Service => false,
        }
    }
}

/// The principals of a statement, or those that it excepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Principals {
    /// `Principal`.
    These(Vec<Principal>),
    /// `NotPrincipal`.
    AllBut(Vec<Principal>),
}

impl Principals {
    /// Whether the statement is for a caller, and not just because it is for its account.
    pub fn name(&self, caller: Option<&Caller>) -> bool {
        match self {
            Principals::These(list) => list.iter().any(|principal| {
                !matches!(principal, Principal::Account(_)) && principal.means(caller)
            }),
            Principals::AllBut(_) => false,
        }
    }

    /// Whether the statement is for a caller.
    pub fn include(&self, caller: Option<&Caller>) -> bool {
        match self {
            Principals::These(list) => list.iter().any(|principal| principal.means(caller)),
            Principals::AllBut(list) => !is_excepted(list, caller),
        }
    }
}

/// `NotPrincipal` excepts a caller only where everything that it is is named: the account, the user
/// or role, and for a session that too ("AWS JSON policy elements: NotPrincipal").
fn is_excepted(list: &[Principal], caller: Option<&Caller>) -> bool {
    if list.contains(&Principal::Everybody) {
        return true;
    }
    let Some(caller) = caller else { return false };
    let names = |wanted: &Principal| list.contains(wanted);
    let identity = caller.principal_arn();
    let is_root = identity == caller.root_arn();
    let is_session = identity != caller.arn;
    names(&Principal::Account(caller.account.clone()))
        && (is_root || names(&Principal::Identity(identity)))
        && (!is_session || names(&Principal::Session(caller.arn.clone())))
}

/// Reads a `Principal` or `NotPrincipal`.
pub(super) fn read(value: &Json) -> Result<Vec<Principal>, PolicyError> {
    let invalid = || PolicyError::new("Policy contains a statement with an invalid principal.");
    let groups = match value {
        Json::Text(text) if text == "*" => return Ok(vec![Principal::Everybody]),
        Json::Object(groups) if !groups.is_empty() => groups,
        _ => return Err(invalid()),
    };
    let mut principals = Vec::new();
    for (kind, values) in groups {
        let values = values.texts().filter(|texts| !texts.is_empty());
        for text in values.ok_or_else(invalid)? {
            principals.push(match kind.as_str() {
                "AWS" => of_account(&text)?,
                "Service" => of_service(&text)?,
                _ => {
                    return Err(PolicyError::new(format!(
                        "The sandbox has no principals of the kind `{kind}`."
                    )));
                }
            });
        }
    }
    Ok(principals)
}

fn of_account(text: &str) -> Result<Principal, PolicyError> {
    let invalid = || {
        PolicyError::new(format!(
            "Policy contains a statement with one or more invalid principals: {text}"
        ))
    };
    if text == "*" {
        return Ok(Principal::Everybody);
    }
    if let Ok(account) = text.parse() {
        return Ok(Principal::Account(account));
    }
    if (text.starts_with("AIDA") || text.starts_with("AROA"))
        && text.len() >= 16
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return Ok(Principal::UniqueId(text.to_owned()));
    }
    // No part of a principal may be a wildcard.
    if text.contains(['*', '?']) {
        return Err(invalid());
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", "aws", service, "", account, name] = parts[..] else {
        return Err(invalid());
    };
    let account: AccountId = account.parse().map_err(|_| invalid())?;
    let (kind, rest) = name.split_once('/').unwrap_or((name, ""));
    match (service, kind) {
        ("iam", "root") if name == "root" => Ok(Principal::Account(account)),
        ("iam", "user" | "role") if !rest.is_empty() => Ok(Principal::Identity(text.to_owned())),
        ("sts", "assumed-role")
            if rest
                .split_once('/')
                .is_some_and(|(role, session)| !role.is_empty() && !session.is_empty()) =>
        {
            Ok(Principal::Session(text.to_owned()))
        }
        _ => Err(invalid()),
    }
}

fn of_service(text: &str) -> Result<Principal, PolicyError> {
    let is_service = text
        .strip_suffix(".amazonaws.com")
        .is_some_and(|name| !name.is_empty() && !name.contains(['*', '?', ' ']));
    if is_service {
        Ok(Principal::Service)
    } else {
        Err(PolicyError::new(format!(
            "Policy contains a statement with one or more invalid principals: {text}"
        )))
    }
}
