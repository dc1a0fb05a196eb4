//! Client tokens: a call with a token that was seen before gives the first call's result.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::context::Context;
use super::error::ServiceError;
use super::shelf::Shelf;

/// How long a token is remembered; EC2 promises at least a day.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a token stood for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    fingerprint: String,
    result: String,
    expires: Timestamp,
}

/// Tokens, by account, Region, operation and token.
#[derive(Debug, Clone)]
pub struct Tokens(pub(super) Shelf<TokenRecord>);

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens(Shelf::new("token"))
    }
}

impl Tokens {
    /// The result of the first call with this token. `fingerprint` is of all other parameters
    /// (such as [`super::wire::query::Params::fingerprint`]).
    ///
    /// # Errors
    /// `IdempotentParameterMismatch`: the token was used with other parameters.
    pub fn recall(
        &self,
        context: &Context,
        token: Option<&str>,
        fingerprint: &str,
    ) -> Result<Option<String>, ServiceError> {
        let Some(record) = token.and_then(|token| self.0.get(&key(context, token))) else {
            return Ok(None);
        };
        if record.expires <= context.now {
            return Ok(None);
        }
        if record.fingerprint != fingerprint {
            return Err(ServiceError::new(
                "IdempotentParameterMismatch",
                "The client token was used before with other parameters; a token stands for one \
                 call and its repetitions",
            ));
        }
        Ok(Some(record.result.clone()))
    }

    /// Remembers what a call with this token resulted in.
    pub fn keep(
        &mut self,
        context: &Context,
        token: Option<&str>,
        fingerprint: &str,
        result: &str,
    ) {
        let Some(token) = token else { return };
        self.0.insert(
            key(context, token),
            TokenRecord {
                fingerprint: fingerprint.to_owned(),
                result: result.to_owned(),
                expires: context.now.plus(KEPT),
            },
        );
    }
}

fn key(context: &Context, token: &str) -> String {
    format!(
        "{}/{}/{}/{token}",
        context.caller.account, context.region, context.operation
    )
}
