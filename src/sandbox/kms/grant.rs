//! Grants: what they allow, and to whom.

use serde::{Deserialize, Serialize};

use crate::sandbox::caller::Caller;
use crate::sandbox::clock::Timestamp;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{AccountId, random};
use crate::sandbox::world::World;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::material::{EncryptionContext, Spec};

/// Every operation that a grant can allow.
pub(super) const OPERATIONS: &[&str] = &[
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "Sign",
    "Verify",
    "GetPublicKey",
    "CreateGrant",
    "RetireGrant",
    "DescribeKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateMac",
    "VerifyMac",
    "DeriveSharedSecret",
    "Encapsulate",
    "Decapsulate",
];

/// Whether a grant of a key of that kind can allow an operation.
pub(super) fn fits(operation: &str, spec: Spec) -> bool {
    match operation {
        "CreateGrant" | "RetireGrant" | "DescribeKey" => true,
        "Sign" | "Verify" | "GetPublicKey" => spec == Spec::EccP256,
        "GenerateMac" | "VerifyMac" | "DeriveSharedSecret" | "Encapsulate" | "Decapsulate" => false,
        _ => spec == Spec::Symmetric,
    }
}

/// Operations that have no encryption context, which the constraint does not apply to.
fn is_unconstrained(operation: &str) -> bool {
    matches!(operation, "DescribeKey" | "RetireGrant")
}

/// What a request's encryption context must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraints {
    /// Exactly this.
    pub equals: Option<EncryptionContext>,
    /// At least this.
    pub subset: Option<EncryptionContext>,
}

impl Constraints {
    fn met_by(&self, context: &EncryptionContext) -> bool {
        self.equals.as_ref().is_none_or(|wanted| wanted == context)
            && self
                .subset
                .as_ref()
                .is_none_or(|wanted| contains(context, wanted))
    }

    /// Whether whatever meets `child` meets these too.
    pub fn cover(&self, child: &Constraints) -> bool {
        match &self.equals {
            Some(wanted) if child.equals.as_ref() != Some(wanted) => return false,
            _ => {}
        }
        match &self.subset {
            Some(wanted) => [&child.equals, &child.subset]
                .into_iter()
                .flatten()
                .any(|has| contains(has, wanted)),
            None => true,
        }
    }

    /// For `kms:GrantConstraintType`.
    pub fn kind(&self) -> Option<&'static str> {
        match (&self.equals, &self.subset) {
            (Some(_), _) => Some("EncryptionContextEquals"),
            (None, Some(_)) => Some("EncryptionContextSubset"),
            (None, None) => None,
        }
    }
}

fn contains(context: &EncryptionContext, wanted: &EncryptionContext) -> bool {
    wanted
        .iter()
        .all(|(key, value)| context.get(key) == Some(value))
}

/// A grant of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// 64 hexadecimal digits.
    pub id: String,
    /// ARN of the key.
    pub key: String,
    /// What makes a repeated call give the same grant.
    pub name: Option<String>,
    /// Who gets it: ARN of a principal, or of an account's root.
    pub grantee: String,
    /// Who may retire it.
    pub retiring: Option<String>,
    /// The account that made it.
    pub issuer: AccountId,
    /// What it allows.
    pub operations: Vec<String>,
    /// On what condition.
    pub constraints: Constraints,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is known everywhere; before, its token is needed.
    pub known: Timestamp,
    /// Until when what was revoked or retired still works somewhere.
    pub ended: Option<Timestamp>,
    /// What its tokens are made with.
    pub secret: String,
}

/// Where a grant is remembered.
pub(super) fn shelf_key(key_arn: &str, id: &str) -> String {
    format!("{key_arn}/{id}")
}

/// What a request says that a grant's constraints are about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    /// Such as `Decrypt`.
    pub operation: &'a str,
    /// The encryption context.
    pub context: &'a EncryptionContext,
    /// The ids of grants whose tokens were given.
    pub tokens: &'a [String],
    /// For `CreateGrant`: what the new grant is to allow, and on what condition.
    pub new: Option<(&'a [String], &'a Constraints)>,
}

impl Grant {
    /// Whether the grant lets a caller do something now.
    pub(super) fn allows(&self, caller: &Caller, now: Timestamp, wish: &Wish<'_>) -> bool {
        let is_known = self.known <= now || wish.tokens.contains(&self.id);
        let is_over = self.ended.is_some_and(|ended| ended <= now);
        let has = |operation: &str| self.operations.iter().any(|known| known == operation);
        if !is_known || is_over || !has(wish.operation) || !is_principal(&self.grantee, caller) {
            return false;
        }
        match wish.new {
            // What was granted is the most that can be granted on.
            Some((operations, constraints)) => {
                operations.iter().all(|operation| has(operation))
                    && self.constraints.cover(constraints)
            }
            None => is_unconstrained(wish.operation) || self.constraints.met_by(wish.context),
        }
    }

    /// A token for it; no two are alike.
    pub fn new_token(&self) -> String {
        let nonce = crate::digest::hex(&random::<16>());
        let proof = self.proof(&nonce);
        BASE64_URL_SAFE_NO_PAD.encode(format!("{}\n{}\n{nonce}\n{proof}", self.key, self.id))
    }

    fn proof(&self, nonce: &str) -> String {
        crate::digest::sha256(format!("{}\n{nonce}", self.secret).as_bytes())
    }

    /// Whether the grant is still there for those who manage it.
    pub fn is_listed(&self) -> bool {
        self.ended.is_none()
    }
}

/// Whether a grant's principal is a caller: the user or role, the session, or its whole account.
pub(super) fn is_principal(principal: &str, caller: &Caller) -> bool {
    principal == caller.arn || principal == caller.principal_arn() || principal == caller.root_arn()
}

/// The grants of a key.
pub(super) fn of_key<'w>(world: &'w World, key_arn: &str) -> Vec<&'w Grant> {
    let prefix = shelf_key(key_arn, "");
    world
        .kms
        .grants
        .under(prefix)
        .map(|(_, grant)| grant)
        .collect()
}

/// The grant of a token, if it is there.
///
/// # Errors
/// `InvalidGrantTokenException`: the token is none.
pub(super) fn of_token<'w>(
    world: &'w World,
    token: &str,
) -> Result<Option<&'w Grant>, ServiceError> {
    let invalid = || {
        ServiceError::new(
            "InvalidGrantTokenException",
            "The grant token is not valid.",
        )
    };
    let text = BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(invalid)?;
    let parts: Vec<&str> = text.split('\n').collect();
    let [key, id, nonce, proof] = parts[..] else {
        return Err(invalid());
    };
    let Some(grant) = world.kms.grants.get(&shelf_key(key, id)) else {
        return Ok(None);
    };
    if grant.proof(nonce) == proof {
        Ok(Some(grant))
    } else {
        Err(invalid())
    }
}

/// The ids of the grants of tokens.
///
/// # Errors
/// `InvalidGrantTokenException`, `ValidationException`.
pub(super) fn of_tokens(world: &World, tokens: &[String]) -> Result<Vec<String>, ServiceError> {
    if tokens.len() > 10 {
        return Err(super::input::invalid(
            &format!("{tokens:?}"),
            "grantTokens",
            "Member must have length less than or equal to 10",
        ));
    }
    let mut ids = Vec::new();
    for token in tokens {
        ids.extend(of_token(world, token)?.map(|grant| grant.id.clone()));
    }
    Ok(ids)
}
