//! Identity policies of roles, so that a policy of least privilege can be tried.
//!
//! A role has one policy, put by control (`PUT /_sandbox/policies/<role>`). A session of such a
//! role is confined to it: what the policy does not allow is refused, as AWS words it. A role
//! without one is an administrator, as are the users. "Policy evaluation logic" of the IAM user
//! guide; which resources and condition keys an action has: "Service authorization reference".
//!
//! | part | subject |
//! |---|---|
//! | `ec2`, `ebs` | what a call of these asks for |
//! | here | the policies, and their evaluation |
//!
//! KMS and S3 weigh the identity policy together with the policy of the key or the bucket, in
//! rooms of their own ([`super::kms`], [`super::s3`]). STS and Organizations ask for each call.

mod ebs;
mod ec2;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::clock::Timestamp;
use super::context::Context;
use super::error::ServiceError;
use super::id::{AccountId, Region};
use super::policy::{self, Policy, PolicyError, Question, Verdict};
use super::service::Service;
use super::shelf::{AnyShelf, Shelf};
use super::world::World;

pub use ebs::check as check_ebs;
pub use ec2::{allows as allows_ec2, check as check_ec2};

/// Condition keys, in lower case, and their values.
pub type Conditions = BTreeMap<String, Vec<String>>;

/// The largest policy in characters without white space: AWS's for all inline policies of a role.
const LARGEST_POLICY: usize = 10_240;

/// The policy of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolePolicy {
    /// Whose role it is.
    pub account: AccountId,
    /// The role's name, without its path.
    pub role: String,
    /// The document, as it was put.
    pub document: String,
}

/// The policies of roles.
#[derive(Debug, Clone)]
pub struct IamState {
    policies: Shelf<RolePolicy>,
}

impl Default for IamState {
    fn default() -> IamState {
        IamState {
            policies: Shelf::new("iam-role-policy"),
        }
    }
}

impl IamState {
    /// Its shelves.
    pub fn shelves(&mut self) -> Vec<&mut dyn AnyShelf> {
        vec![&mut self.policies]
    }

    /// The policy of a role.
    pub fn get(&self, account: &AccountId, role: &str) -> Option<&RolePolicy> {
        self.policies.get(&key(account, role))
    }

    /// Every policy, in the order of accounts and roles.
    pub fn list(&self) -> impl Iterator<Item = &RolePolicy> {
        self.policies.values()
    }

    /// Gives a role its policy, in place of the one that it has.
    ///
    /// # Errors
    /// The name is no role's, or the document is no identity policy, or one with what is not
    /// understood here.
    pub fn put(
        &mut self,
        account: &AccountId,
        role: &str,
        document: &str,
    ) -> Result<(), PolicyError> {
        let allowed = |char: char| char.is_ascii_alphanumeric() || "_+=,.@-".contains(char);
        if role.is_empty() || role.len() > 64 || !role.chars().all(allowed) {
            return Err(PolicyError(format!("`{role}` is no role's name")));
        }
        let size = document.chars().filter(|char| !char.is_whitespace());
        if size.count() > LARGEST_POLICY {
            return Err(PolicyError(format!(
                "a role's policies have at most {LARGEST_POLICY} characters"
            )));
        }
        Policy::parse_of_identity(document)?;
        let policy = RolePolicy {
            account: account.clone(),
            role: role.to_owned(),
            document: document.to_owned(),
        };
        self.policies.insert(key(account, role), policy);
        Ok(())
    }

    /// Takes a role's policy away; whether it had one.
    pub fn delete(&mut self, account: &AccountId, role: &str) -> bool {
        self.policies.remove(&key(account, role)).is_some()
    }
}

fn key(account: &AccountId, role: &str) -> String {
    format!("{account}/{role}")
}

/// Something that a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Such as `ec2:CopyImage`.
    pub action: String,
    /// An ARN, or `*`.
    pub resource: String,
    /// Condition keys besides those that every call has.
    pub conditions: Conditions,
}

impl Wish {
    /// An action on a resource.
    pub fn new(action: impl Into<String>, resource: impl Into<String>) -> Wish {
        Wish {
            action: action.into(),
            resource: resource.into(),
            conditions: Conditions::new(),
        }
    }

    /// The same with a condition key.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Wish {
        self.conditions.insert(key.to_owned(), vec![value.into()]);
        self
    }

    /// The same with the tags that the resource has.
    fn tagged(mut self, tags: &BTreeMap<String, String>) -> Wish {
        for (name, value) in tags {
            let name = name.to_lowercase();
            self = self
                .with(&format!("aws:resourcetag/{name}"), value)
                .with(&format!("ec2:resourcetag/{name}"), value);
        }
        self
    }

    /// The same with the tags that the resource is to have.
    fn tagging(mut self, tags: &BTreeMap<String, String>) -> Wish {
        for (name, value) in tags {
            self = self.with(&format!("aws:requesttag/{}", name.to_lowercase()), value);
        }
        if !tags.is_empty() {
            let names = tags.keys().cloned().collect();
            self.conditions.insert("aws:tagkeys".to_owned(), names);
        }
        self
    }
}

/// The role that a caller is in a session of.
fn role_of(caller: &Caller) -> Option<&str> {
    let (_, rest) = caller.arn.split_once(":assumed-role/")?;
    Some(rest.split_once('/').map_or(rest, |(role, _)| role))
}

/// The policy that confines a caller; nothing for an administrator.
fn policy_of<'w>(world: &'w World, caller: &Caller) -> Option<&'w RolePolicy> {
    world.iam.get(&caller.account, role_of(caller)?)
}

/// Whether a caller is confined to a policy.
pub fn is_confined(world: &World, caller: &Caller) -> bool {
    policy_of(world, caller).is_some()
}

/// What the caller's identity policy says of an action, given all condition keys of the request;
/// nothing where the caller is not confined.
///
/// # Errors
/// The policy is none, which none that was put is.
pub fn verdict(
    world: &World,
    caller: &Caller,
    action: &str,
    resource: &str,
    conditions: &Conditions,
) -> Result<Option<Verdict>, ServiceError> {
    let Some(policy) = policy_of(world, caller) else {
        return Ok(None);
    };
    let policy = Policy::parse_of_identity(&policy.document).map_err(ServiceError::internal)?;
    Ok(Some(policy.ask(&Question {
        caller: Some(caller),
        action,
        resource,
        conditions: conditions.clone(),
    })))
}

/// Why an identity policy refuses an action, as it stands in AWS's messages.
pub fn why(verdict: Verdict, action: &str) -> String {
    match verdict {
        Verdict::Deny => "with an explicit deny in an identity-based policy".to_owned(),
        _ => format!("because no identity-based policy allows the {action} action"),
    }
}

/// The condition keys that every request has, whatever the service.
fn common(world: &World, caller: &Caller, region: &Region, now: Timestamp) -> Conditions {
    let mut conditions = policy::caller_conditions(world, caller);
    for (key, value) in [
        ("aws:currenttime", now.iso()),
        ("aws:epochtime", (now.0 / 1000).to_string()),
        ("aws:requestedregion", region.to_string()),
        // The endpoint stands for one that is reached by TLS only.
        ("aws:securetransport", "true".to_owned()),
    ] {
        conditions.insert(key.to_owned(), vec![value]);
    }
    conditions
}

/// The first of some wishes that a confined caller is not granted, and what the policy says.
fn refused(
    context: &Context,
    world: &World,
    wishes: impl IntoIterator<Item = Wish>,
) -> Result<Option<(Wish, Verdict)>, ServiceError> {
    let caller = &context.caller;
    let common = common(world, caller, &context.region, context.now);
    for wish in wishes {
        let mut conditions = common.clone();
        conditions.extend(wish.conditions.clone());
        let verdict = verdict(world, caller, &wish.action, &wish.resource, &conditions)?;
        match verdict {
            None | Some(Verdict::Allow) => {}
            Some(verdict) => return Ok(Some((wish, verdict))),
        }
    }
    Ok(None)
}

/// Checks what a call asks for, for a service that leaves all to identity policies.
///
/// # Errors
/// The service's answer to a principal without the permission.
pub fn check(
    context: &Context,
    wishes: impl IntoIterator<Item = Wish>,
) -> Result<(), ServiceError> {
    let refused = context.shared.read(|world| {
        if !is_confined(world, &context.caller) {
            return Ok(None);
        }
        refused(context, world, wishes)
    })?;
    match refused {
        None => Ok(()),
        Some((wish, verdict)) => Err(denial(context, &wish, verdict)),
    }
}

/// The service's answer to a principal without the permission.
fn denial(context: &Context, wish: &Wish, verdict: Verdict) -> ServiceError {
    let action = &wish.action;
    let of = match (context.service, wish.resource.as_str()) {
        (Service::Ec2, "*") => String::new(),
        (_, resource) => format!(" on resource: {resource}"),
    };
    let what = format!(
        "User: {} is not authorized to perform: {action}{of} {}",
        context.caller.arn,
        why(verdict, action)
    );
    match context.service {
        Service::Ec2 => ServiceError::new(
            "UnauthorizedOperation",
            format!("You are not authorized to perform this operation. {what}"),
        )
        .status(403),
        Service::Ebs => ServiceError::new("AccessDeniedException", what).status(403),
        Service::Kms | Service::Organizations => ServiceError::new("AccessDeniedException", what),
        Service::Sts | Service::S3 => ServiceError::new("AccessDenied", what).status(403),
    }
}
