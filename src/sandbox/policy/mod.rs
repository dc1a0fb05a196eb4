//! Policy documents of keys, buckets and roles: parsing them strictly, and what they say of a request.
//!
//! Semantics: "Policy evaluation logic" and "IAM JSON policy elements" of the IAM user guide.
//! Principals of the sandbox are administrators of their accounts, unless they are sessions of a role
//! with a policy, so a statement that names an account (which lets that account's own policies
//! decide) allows all of its other principals. Of the others see [`super::iam`].

mod condition;
mod document;
mod keys;
mod pattern;
mod principal;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::caller::Caller;
use super::organizations;
use super::world::World;
use statement::{Effect, Statement};

/// A policy document, understood in full.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// A document that is no policy, or uses what is not understood here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(pub String);

impl PolicyError {
    fn new(what: impl Into<String>) -> PolicyError {
        PolicyError(what.into())
    }
}

/// What is asked of a policy.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// Who; nobody for anonymous requests.
    pub caller: Option<&'a Caller>,
    /// Such as `kms:Decrypt`.
    pub action: &'a str,
    /// ARN of the resource.
    pub resource: &'a str,
    /// Condition keys in lower case (`aws:principalorgid`) and their values. The caller's own
    /// (`aws:PrincipalArn`, `aws:PrincipalAccount`) are added by the evaluation; those of its
    /// organization are to be put in from [`caller_conditions`].
    pub conditions: BTreeMap<String, Vec<String>>,
}

/// What a policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A statement allows it and none denies it.
    Allow,
    /// A statement denies it.
    Deny,
    /// No statement applies.
    Silent,
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// It is no policy, or it has an element, an operator or a condition key that is not known here.
    pub fn parse(document: &str) -> Result<Policy, PolicyError> {
        let document = document::read(document)?;
        let statements = statement::read_policy(&document)?;
        Ok(Policy { statements })
    }

    /// Reads the policy of an identity, which names no principals.
    ///
    /// # Errors
    /// Those of [`Self::parse`], and it names principals.
    pub fn parse_of_identity(document: &str) -> Result<Policy, PolicyError> {
        let document = document::read(document)?;
        let statements = statement::read_identity_policy(&document)?;
        Ok(Policy { statements })
    }

    /// What the policy says.
    pub fn ask(&self, question: &Question<'_>) -> Verdict {
        self.ask_if(question, |_| true)
    }

    /// Whether the policy allows it to the caller itself (or everybody) and not just to the
    /// caller's account, which leaves it to that account's identity policies.
    pub fn allows_directly(&self, question: &Question<'_>) -> bool {
        let is_direct = |statement: &Statement| {
            statement.effect == Effect::Deny || statement.names(question.caller)
        };
        self.ask_if(question, is_direct) == Verdict::Allow
    }

    fn ask_if(&self, question: &Question<'_>, counts: impl Fn(&Statement) -> bool) -> Verdict {
        let mut conditions = question.conditions.clone();
        if let Some(caller) = question.caller {
            add_identity(&mut conditions, caller);
        }
        let mut verdict = Verdict::Silent;
        for statement in &self.statements {
            if !counts(statement) || !statement.applies(question, &conditions) {
                continue;
            }
            match statement.effect {
                Effect::Deny => return Verdict::Deny,
                Effect::Allow => verdict = Verdict::Allow,
            }
        }
        verdict
    }

    /// Every condition key that the policy uses, in lower case: a service refuses a policy that
    /// asks for what its requests never say.
    pub fn condition_keys(&self) -> BTreeSet<&str> {
        self.statements
            .iter()
            .flat_map(Statement::condition_keys)
            .collect()
    }

    /// Every action (of `Action` and `NotAction`) as it is written, such as `s3:Get*`.
    pub fn actions(&self) -> BTreeSet<&str> {
        self.statements
            .iter()
            .flat_map(Statement::action_patterns)
            .collect()
    }

    /// Every resource (of `Resource` and `NotResource`) as it is written.
    pub fn resources(&self) -> BTreeSet<&str> {
        self.statements
            .iter()
            .flat_map(Statement::resource_patterns)
            .collect()
    }

    /// Whether a statement that allows something is for everybody, with no condition.
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }
}

/// The condition keys that tell who a caller is, and where its account is in an organization.
pub fn caller_conditions(world: &World, caller: &Caller) -> BTreeMap<String, Vec<String>> {
    let mut conditions = BTreeMap::new();
    add_identity(&mut conditions, caller);
    if let Some(membership) = organizations::membership(world, &caller.account) {
        for (key, value) in [
            ("aws:principalorgid", membership.organization_id),
            ("aws:principalorgpaths", membership.path),
            (
                "aws:principalorgmasteraccountid",
                membership.management_account.to_string(),
            ),
        ] {
            conditions.insert(key.to_owned(), vec![value]);
        }
    }
    conditions
}

fn add_identity(conditions: &mut BTreeMap<String, Vec<String>>, caller: &Caller) {
    let principal = caller.principal_arn();
    let kind = match () {
        () if principal.ends_with(":root") => "Account",
        () if caller.arn.contains(":assumed-role/") => "AssumedRole",
        () => "User",
    };
    let name = principal
        .split_once(":user/")
        .and_then(|(_, path)| path.rsplit('/').next())
        .map(str::to_owned);
    let mut add = |key: &str, value: String| {
        conditions.insert(key.to_owned(), vec![value]);
    };
    add("aws:principalaccount", caller.account.to_string());
    add("aws:principaltype", kind.to_owned());
    add("aws:userid", caller.user_id.clone());
    if let Some(name) = name {
        add("aws:username", name);
    }
    add("aws:principalarn", principal);
}
