//! Policies that others write in too: our statements in them, and all the others, which stay as they
//! are. Those of keys are here, that of the publisher's bucket in [`catalog`].
//!
//! Ours have Sids that begin with [`SID`] and the publisher's name: two publishers may share a key.
//! There is one for each kind of user and each purpose, so at most nine: accounts by their roots, organizations and units by conditions
//! (<https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html>).

pub mod catalog;
mod lockout;
mod statements;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::aws::ec2::Party;
use crate::aws::{AccountId, KeyArn};

/// What the Sids of our statements begin with, before the publisher's name.
pub const SID: &str = "AlpineAmiShare";

/// A publisher's name as Sids and the names of grants have it: letters and digits alone.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_sid.html>
pub fn tag(publisher: &str) -> String {
    publisher
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect()
}

/// So many bytes a key policy has at most.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html>
pub const MOST_BYTES: usize = 32_768;

/// Who may use a key by its policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub enum User {
    /// An account: what in it may, its own policies say.
    Account(AccountId),
    /// Whoever is in an organization, by its id `o-…`.
    Organization(String),
    /// Whoever is in an organizational unit or below it, by the ids of the organization and the unit.
    Unit(String, String),
    /// A principal that somebody else wrote into a statement of ours for accounts.
    Other(String),
    /// A path that somebody else wrote into a statement of ours for units.
    Path(String),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            User::Account(account) => account.as_str(),
            User::Organization(id) | User::Unit(_, id) | User::Other(id) | User::Path(id) => id,
        })
    }
}

impl From<User> for String {
    fn from(user: User) -> String {
        user.to_string()
    }
}

impl User {
    /// A party as a key's policy names it. Everybody is nobody's customer.
    pub fn of(party: &Party) -> Option<User> {
        Some(match party {
            Party::Account(account) => User::Account(account.clone()),
            Party::Organization(arn) => User::Organization(arn.organization().to_owned()),
            Party::Unit(arn) => User::Unit(arn.organization().to_owned(), arn.unit().to_owned()),
            Party::Everybody => return None,
        })
    }
}

/// What a statement of ours lets its users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// Read and re-encrypt what is under the key.
    Use,
    /// Have AWS's services grant it on, as EBS does for a volume.
    Grant,
    /// Grant it to the role of Auto Scaling, which no service does in a user's name.
    AutoScaling,
}

impl Purpose {
    const ALL: [Purpose; 3] = [Purpose::Use, Purpose::Grant, Purpose::AutoScaling];
}

/// A text that is no policy that this program can keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(String);

/// A policy without its statements, and these.
fn opened(text: &str) -> Result<(Map<String, Value>, Vec<Value>), PolicyError> {
    let document: Value = serde_json::from_str(text).map_err(|why| PolicyError(why.to_string()))?;
    let Value::Object(mut document) = document else {
        return Err(PolicyError("it is no JSON object".to_owned()));
    };
    let statements = match document.get_mut("Statement").map(Value::take) {
        Some(Value::Array(statements)) => statements,
        Some(statement @ Value::Object(_)) => vec![statement],
        _ => return Err(PolicyError("it has no statements".to_owned())),
    };
    Ok((document, statements))
}

/// The policy whose statements are these; the order of the document's members stays.
fn closed(document: &Map<String, Value>, statements: Vec<Value>) -> String {
    let mut document = document.clone();
    document.insert("Statement".to_owned(), Value::Array(statements));
    Value::Object(document).to_string()
}

/// Whether these statements are equal, whatever the form of lists: AWS gives back other forms than it
/// was given.
fn are_alike(some: &[Value], others: &[Value]) -> bool {
    let forms = |statements: &[Value]| -> BTreeSet<String> {
        let form = |statement| statements::form(statement).to_string();
        statements.iter().map(form).collect()
    };
    some.len() == others.len() && forms(some) == forms(others)
}

/// A key's policy.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyPolicy {
    /// What the Sids of our statements begin with.
    sid: String,
    /// Everything but the statements.
    document: Map<String, Value>,
    /// The statements that are not ours, as they are.
    others: Vec<Value>,
    /// What our statements let whom do.
    users: BTreeMap<User, BTreeSet<Purpose>>,
    /// Whether our statements are what we write for these users.
    is_as_written: bool,
}

/// Somebody whom a statement that is not ours lets use the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    /// The statement's Sid, or its place where it has none.
    pub statement: String,
    /// The principal.
    pub who: String,
}

impl KeyPolicy {
    /// Reads a policy, in which those statements are ours that have the publisher's name in their
    /// Sids.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str, publisher: &str) -> Result<KeyPolicy, PolicyError> {
        let sid = format!("{SID}{}", tag(publisher));
        let (document, statements) = opened(text)?;
        let (ours, others): (Vec<Value>, Vec<Value>) = statements
            .into_iter()
            .partition(|statement| statements::is_ours(statement, &sid));
        let mut users: BTreeMap<User, BTreeSet<Purpose>> = BTreeMap::new();
        let each = ours.iter();
        for (user, purpose) in each.flat_map(|statement| statements::users(statement, &sid)) {
            users.entry(user).or_default().insert(purpose);
        }
        let mut policy = KeyPolicy {
            sid,
            document,
            others,
            users,
            is_as_written: true,
        };
        policy.is_as_written = policy.writes(&ours);
        Ok(policy)
    }

    /// Whether these are the statements that would be written.
    fn writes(&self, ours: &[Value]) -> bool {
        let partition = ours.iter().find_map(statements::partition);
        let written = statements::written(&self.sid, &self.users, partition.unwrap_or("aws"));
        are_alike(ours, &written)
    }

    /// Whether our statements are what we write for their users: nobody else has changed them.
    pub fn is_as_written(&self) -> bool {
        self.is_as_written
    }

    /// Who may do anything by our statements.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.keys()
    }

    /// Whether our statements let somebody do all that they are for.
    pub fn has(&self, user: &User) -> bool {
        let purposes = self.users.get(user);
        purposes.is_some_and(|purposes| purposes.len() == Purpose::ALL.len())
    }

    /// The policy with more users.
    pub fn with<'u>(&self, users: impl IntoIterator<Item = &'u User>) -> KeyPolicy {
        let mut next = self.clone();
        for user in users {
            next.users.insert(user.clone(), Purpose::ALL.into());
        }
        next.is_as_written = true;
        next
    }

    /// The policy with fewer users.
    pub fn without<'u>(&self, users: impl IntoIterator<Item = &'u User>) -> KeyPolicy {
        let mut next = self.clone();
        for user in users {
            next.users.remove(user);
        }
        next.is_as_written = true;
        next
    }

    /// The policy of a key as it is put: without white space, of which AWS counts every byte.
    pub fn text(&self, key: &KeyArn) -> String {
        let partition = key.region().partition();
        let mut statements = self.others.clone();
        statements.extend(statements::written(&self.sid, &self.users, partition));
        closed(&self.document, statements)
    }

    /// How many more accounts the policy of a key has room for.
    pub fn room(&self, key: &KeyArn) -> usize {
        let account = |digits: &str| User::Account(digits.parse().expect("twelve digits"));
        let (one, two) = (account("000000000000"), account("000000000001"));
        let with_one = self.with([&one]).text(key).len();
        let each = self.with([&one, &two]).text(key).len() - with_one;
        match MOST_BYTES.checked_sub(with_one) {
            Some(left) => 1 + left / each,
            None => 0,
        }
    }

    /// Whether the account, or the principal that asks, may put another policy in its place.
    pub fn can_be_changed_by(&self, account: &AccountId, principal: &str) -> bool {
        lockout::may_put_policy(&self.others, account, principal)
    }

    /// Whom the statements that are not ours let use the key, outside of the key's own account.
    pub fn foreign(&self, account: &AccountId) -> BTreeSet<Foreign> {
        statements::foreign(&self.others, account)
    }
}
