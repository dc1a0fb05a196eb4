//! Who may do what with a key: the key policy, then grants.
//!
//! "Determining access to AWS KMS keys", developer guide: a denial of the policy is final; what it
//! does not allow, a grant may. A key policy that names an account leaves it to that account's own
//! policies: it lets administrators pass, and of the sessions of a role with a policy those whose
//! policy allows it.

use std::collections::BTreeMap;

use crate::sandbox::caller::Caller;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::iam;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::policy::{self, Policy, Question, Verdict};
use crate::sandbox::world::World;

use super::grant::{self, Constraints, Wish};
use super::key::{self, Alias, Key};
use super::material::EncryptionContext;

/// Condition keys, in lower case, and their values.
pub(super) type Conditions = BTreeMap<String, Vec<String>>;

/// A request for a key.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    pub caller: &'a Caller,
    pub now: Timestamp,
    /// Without `kms:`, such as `Decrypt`.
    pub action: &'a str,
    /// The encryption context.
    pub context: &'a EncryptionContext,
    /// Ids of the grants whose tokens were given.
    pub tokens: &'a [String],
    /// What a new grant is to allow, and on what condition.
    pub new_grant: Option<(&'a [String], &'a Constraints)>,
    /// The service that asks on the caller's behalf.
    pub via: Option<&'a str>,
    /// Condition keys of this operation.
    pub conditions: Conditions,
}

impl<'a> Request<'a> {
    /// A request with nothing special about it.
    pub fn new(caller: &'a Caller, now: Timestamp, action: &'a str) -> Request<'a> {
        static NO_CONTEXT: EncryptionContext = EncryptionContext::new();
        Request {
            caller,
            now,
            action,
            context: &NO_CONTEXT,
            tokens: &[],
            new_grant: None,
            via: None,
            conditions: Conditions::new(),
        }
    }

    /// Adds a condition key.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Request<'a> {
        self.conditions.insert(key.to_owned(), vec![value.into()]);
        self
    }

    /// Says what a new grant is to allow, and on what condition.
    pub fn of_grant(&mut self, operations: &'a [String], constraints: &'a Constraints) {
        self.new_grant = Some((operations, constraints));
        self.conditions
            .insert("kms:grantoperations".to_owned(), operations.to_vec());
        if let Some(kind) = constraints.kind() {
            self.conditions
                .insert("kms:grantconstrainttype".to_owned(), vec![kind.to_owned()]);
        }
    }

    /// Whether the request may be done.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub fn check(&self, world: &World, key: &Key) -> Result<(), ServiceError> {
        let arn = key.arn();
        let is_own = key.account == self.caller.account;
        let conditions = self.all_conditions(world, key);
        let action = format!("kms:{}", self.action);
        let identity = iam::verdict(world, self.caller, &action, &arn, &conditions)?;
        if identity == Some(Verdict::Deny) {
            return Err(self.denied(&arn, &iam::why(Verdict::Deny, &action)));
        }
        match self.verdict(world, key, &key.policy)? {
            Verdict::Allow if self.is_granted_by(identity, key, &conditions)? => return Ok(()),
            Verdict::Deny if is_own => {
                return Err(self.denied(&arn, "with an explicit deny in a resource-based policy"));
            }
            Verdict::Deny => return Err(self.hidden(&arn)),
            Verdict::Allow | Verdict::Silent => {}
        }
        let wish = Wish {
            operation: self.action,
            context: self.context,
            tokens: self.tokens,
            new: self.new_grant,
        };
        let granted = grant::of_key(world, &arn)
            .into_iter()
            .any(|grant| grant.allows(self.caller, self.now, &wish));
        if granted {
            Ok(())
        } else if identity == Some(Verdict::Silent) {
            Err(self.denied(&arn, &iam::why(Verdict::Silent, &action)))
        } else if is_own {
            let why = format!(
                "because no resource-based policy allows the kms:{} action",
                self.action
            );
            Err(self.denied(&arn, &why))
        } else {
            Err(self.hidden(&arn))
        }
    }

    /// Whether what the key policy allows is allowed, given what the caller's identity policy says:
    /// a key policy that names the account only leaves it to that, and so does every one of another
    /// account's keys.
    fn is_granted_by(
        &self,
        identity: Option<Verdict>,
        key: &Key,
        conditions: &Conditions,
    ) -> Result<bool, ServiceError> {
        if identity != Some(Verdict::Silent) {
            return Ok(true);
        }
        let policy = Policy::parse(&key.policy).map_err(ServiceError::internal)?;
        let names_caller = policy.allows_directly(&Question {
            caller: Some(self.caller),
            action: &format!("kms:{}", self.action),
            resource: &key.arn(),
            conditions: conditions.clone(),
        });
        Ok(key.account == self.caller.account && names_caller)
    }

    /// What a key policy says of the request.
    ///
    /// # Errors
    /// The policy is none, which none that was put is.
    pub fn verdict(&self, world: &World, key: &Key, policy: &str) -> Result<Verdict, ServiceError> {
        let policy = Policy::parse(policy).map_err(ServiceError::internal)?;
        Ok(policy.ask(&Question {
            caller: Some(self.caller),
            action: &format!("kms:{}", self.action),
            resource: &key.arn(),
            conditions: self.all_conditions(world, key),
        }))
    }

    fn all_conditions(&self, world: &World, key: &Key) -> Conditions {
        let mut conditions = policy::caller_conditions(world, self.caller);
        conditions.extend(key_conditions(world, self.now, key));
        conditions.extend(self.own_conditions(&key.region));
        conditions.extend(self.conditions.clone());
        conditions
    }

    fn own_conditions(&self, region: &Region) -> Conditions {
        let mut conditions = Conditions::new();
        let mut add = |key: &str, value: String| {
            conditions.insert(key.to_owned(), vec![value]);
        };
        add("aws:currenttime", self.now.iso());
        add("aws:epochtime", (self.now.0 / 1000).to_string());
        add("aws:requestedregion", region.to_string());
        // The endpoint stands for one that is reached by TLS only.
        add("aws:securetransport", "true".to_owned());
        add("kms:calleraccount", self.caller.account.to_string());
        if let Some(via) = self.via {
            add("kms:viaservice", via.to_owned());
        }
        for (name, value) in self.context {
            let key = format!("kms:encryptioncontext:{}", name.to_ascii_lowercase());
            add(&key, value.clone());
        }
        if !self.context.is_empty() {
            let names = self.context.keys().cloned().collect();
            conditions.insert("kms:encryptioncontextkeys".to_owned(), names);
        }
        conditions
    }

    /// The refusal of a request.
    pub fn denied(&self, resource: &str, why: &str) -> ServiceError {
        ServiceError::new(
            "AccessDeniedException",
            format!(
                "User: {} is not authorized to perform: kms:{} on resource: {resource} {why}",
                self.caller.arn, self.action
            ),
        )
    }

    /// The refusal that does not tell another account whether there is such a key.
    pub fn hidden(&self, resource: &str) -> ServiceError {
        self.denied(
            resource,
            "because the resource does not exist in this Region, no resource-based policies allow \
             access, or a resource-based policy explicitly denies access",
        )
    }

    /// The refusal for a ciphertext, which does not tell whose key it is under.
    pub fn hidden_ciphertext(&self) -> ServiceError {
        ServiceError::new(
            "AccessDeniedException",
            format!(
                "User: {} is not authorized to perform: kms:{} on the resource associated with \
                 this ciphertext because the resource does not exist in this Region, no \
                 resource-based policies allow access, or a resource-based policy explicitly \
                 denies access",
                self.caller.arn, self.action
            ),
        )
    }
}

/// What a key itself says to conditions.
fn key_conditions(world: &World, now: Timestamp, key: &Key) -> Conditions {
    let mut conditions = Conditions::new();
    let mut add = |name: &str, value: &str| {
        conditions.insert(name.to_owned(), vec![value.to_owned()]);
    };
    add("aws:resourceaccount", key.account.as_str());
    add("kms:keyspec", key.spec.name());
    add("kms:keyusage", key.spec.usage());
    add("kms:keyorigin", "AWS_KMS");
    add(
        "kms:multiregion",
        if key.is_multi_region() {
            "true"
        } else {
            "false"
        },
    );
    if key.is_multi_region() {
        let kind = if key.is_primary(world) {
            "PRIMARY"
        } else {
            "REPLICA"
        };
        add("kms:multiregionkeytype", kind);
    }
    for (name, value) in &key.tags {
        add(&format!("aws:resourcetag/{}", name.to_lowercase()), value);
    }
    let aliases = aliases_of(world, now, key);
    if !aliases.is_empty() {
        let names = aliases.iter().map(|alias| alias.name.clone()).collect();
        conditions.insert("kms:resourcealiases".to_owned(), names);
    }
    conditions
}

/// The aliases of a key, in the order of their names.
pub(super) fn aliases_of<'w>(world: &'w World, now: Timestamp, key: &Key) -> Vec<&'w Alias> {
    aliases_in(world, now, &key.account, &key.region)
        .into_iter()
        .filter(|alias| alias.target == key.id)
        .collect()
}

/// The aliases of an account in a Region, in the order of their names.
pub(super) fn aliases_in<'w>(
    world: &'w World,
    now: Timestamp,
    account: &AccountId,
    region: &Region,
) -> Vec<&'w Alias> {
    let prefix = key::alias_arn(account, region, "alias/");
    world
        .kms
        .aliases
        .under(prefix)
        .map(|(_, alias)| alias)
        .filter(|alias| key::find(world, now, &alias.target_arn()).is_some())
        .collect()
}
