//! Who calls: the account and the principal that an access key stands for.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::AccountId;

/// A principal of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The account.
    pub account: AccountId,
    /// `arn:aws:iam::<account>:user/…`, or `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
    pub arn: String,
    /// The unique id that `GetCallerIdentity` gives, `AIDA…` or `AROA…:session`.
    pub user_id: String,
    /// For a session, the ARN of its role as it was assumed: the session's own ARN lacks the
    /// role's path. A session from before this was kept has none.
    #[serde(default)]
    pub role: Option<String>,
}

impl Caller {
    /// The ARN that policies and grants name: for a session, its role.
    pub fn principal_arn(&self) -> String {
        if let Some(role) = &self.role {
            return role.clone();
        }
        let session = self
            .arn
            .split_once(":assumed-role/")
            .and_then(|(_, rest)| rest.split_once('/'));
        match session {
            Some((role, _)) => format!("arn:aws:iam::{}:role/{role}", self.account),
            None => self.arn.clone(),
        }
    }

    /// The ARN that stands for the whole account in policies.
    pub fn root_arn(&self) -> String {
        format!("arn:aws:iam::{}:root", self.account)
    }
}

/// Credentials that the sandbox gave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA…`, or `ASIA…` for a session.
    pub id: String,
    /// What requests are signed with.
    pub secret: String,
    /// What a session's requests must carry too.
    pub session_token: Option<String>,
    /// When a session ends.
    pub expires: Option<Timestamp>,
    /// Whom it stands for.
    pub caller: Caller,
}
