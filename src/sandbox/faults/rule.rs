//! A rule: which calls it is for, and what befalls them.

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::limits::is_read;
use crate::sandbox::service::Service;

/// A call is delayed by ten minutes at most.
const LONGEST_DELAY: u64 = 10 * 60 * 1000;
/// Reads are stale for an hour at most.
const LONGEST_STALE: u64 = 60 * 60 * 1000;

/// A rule. Of what it does not name, all matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// The operation, such as `CopyImage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The caller's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Only the n-th matching call, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// Let so many matching calls pass first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<u64>,
    /// At most so often; otherwise until the rule is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// `nth`, `skip` and `times` count each request for itself: what is asked again, by a retry or
    /// a wait, is the same request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each: bool,
    /// What befalls the call.
    pub action: Action,
}

/// What befalls a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// The service's answer to too many calls.
    Throttle,
    /// An error.
    Error {
        /// HTTP status, 400 to 599.
        status: u16,
        /// AWS's code.
        code: String,
        /// The message.
        #[serde(default)]
        message: String,
    },
    /// The connection is closed, and nothing is done.
    CloseBefore,
    /// The work is done, then the connection is closed without an answer.
    CloseAfter,
    /// The call waits so long before it is worked on.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Nothing is done and nothing answered until the client gives up, or ten minutes are over.
    Stall,
    /// The service's answer to a session that has ended.
    ExpireCredentials,
    /// The service's answer to a principal without the permission.
    Deny,
    /// There is no capacity for instances.
    NoCapacity,
    /// What is accepted (a copy, a snapshot) fails later.
    FailLater {
        /// The reason that its state shows.
        reason: String,
    },
    /// After a matching write, reads of that service in that Region see the world before it.
    StaleReads {
        /// For how long, in milliseconds.
        ms: u64,
    },
}

impl Rule {
    /// A rule for every call.
    pub fn new(action: Action) -> Rule {
        Rule {
            service: None,
            operation: None,
            region: None,
            account: None,
            nth: None,
            skip: None,
            times: None,
            each: false,
            action,
        }
    }

    /// A rule for an operation of a service.
    pub fn on(service: Service, operation: &str, action: Action) -> Rule {
        Rule {
            service: Some(service),
            operation: Some(operation.to_owned()),
            ..Rule::new(action)
        }
    }

    /// The same for only the n-th matching call, from 1.
    pub fn nth(self, nth: u64) -> Rule {
        Rule {
            nth: Some(nth),
            ..self
        }
    }

    /// The same, at most so often.
    pub fn times(self, times: u64) -> Rule {
        Rule {
            times: Some(times),
            ..self
        }
    }

    /// The same, after so many matching calls.
    pub fn skip(self, skip: u64) -> Rule {
        Rule {
            skip: Some(skip),
            ..self
        }
    }

    /// The same in one Region.
    pub fn in_region(self, region: Region) -> Rule {
        Rule {
            region: Some(region),
            ..self
        }
    }

    /// The same for one account.
    pub fn by_account(self, account: AccountId) -> Rule {
        Rule {
            account: Some(account),
            ..self
        }
    }

    /// The same, counting each request for itself.
    pub fn each(self) -> Rule {
        Rule { each: true, ..self }
    }

    /// Whether the rule makes sense.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.nth == Some(0) {
            return Err("`nth` counts from 1".to_owned());
        }
        if self.nth.is_some() && (self.skip.is_some() || self.times.is_some()) {
            return Err(
                "`nth` is for one call: leave out `skip` and `times`, or use those alone"
                    .to_owned(),
            );
        }
        if self.times == Some(0) {
            return Err("`times` counts from 1".to_owned());
        }
        self.check_action()
    }

    fn check_action(&self) -> Result<(), String> {
        let operation = self.operation.as_deref().unwrap_or_default();
        let is_for = |service| self.service.is_none_or(|only| only == service);
        match &self.action {
            Action::Error { status, code, .. } => {
                if !(400..600).contains(status) {
                    return Err(format!("an error's status is 400 to 599, not {status}"));
                }
                let is_code =
                    |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
                if code.is_empty() || !code.chars().all(is_code) {
                    return Err(format!("`{code}` is no code of AWS's form"));
                }
            }
            Action::Delay { ms } if *ms > LONGEST_DELAY => {
                return Err(format!("a delay is {LONGEST_DELAY} ms at most"));
            }
            Action::StaleReads { ms } if *ms > LONGEST_STALE => {
                return Err(format!("reads are stale for {LONGEST_STALE} ms at most"));
            }
            Action::StaleReads { .. } if is_read(operation) => {
                return Err(format!(
                    "`stale-reads` is for writes, after which reads are stale; {operation} is a \
                     read"
                ));
            }
            Action::StaleReads { .. } if self.service == Some(Service::S3) => {
                return Err(
                    "S3 answers reads after writes consistently; it has no `stale-reads`"
                        .to_owned(),
                );
            }
            Action::NoCapacity
                if !is_for(Service::Ec2)
                    || !matches!(operation, "" | "RunInstances" | "StartInstances") =>
            {
                return Err(
                    "`no-capacity` is for RunInstances and StartInstances of ec2".to_owned(),
                );
            }
            Action::FailLater { .. } if !is_for(Service::Ec2) && !is_for(Service::Ebs) => {
                return Err("`fail-later` is for copies and snapshots of ec2 and ebs".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn matches(&self, call: &Subject) -> bool {
        let account = call.caller.map(|caller| &caller.account);
        let fits_action = match self.action {
            Action::StaleReads { .. } => !is_read(call.operation) && call.service != Service::S3,
            Action::NoCapacity => {
                call.service == Service::Ec2
                    && matches!(call.operation, "RunInstances" | "StartInstances")
            }
            Action::FailLater { .. } => {
                matches!(call.service, Service::Ec2 | Service::Ebs) && !is_read(call.operation)
            }
            _ => true,
        };
        fits_action
            && self.service.is_none_or(|service| service == call.service)
            && self
                .operation
                .as_deref()
                .is_none_or(|name| name == call.operation)
            && (self.region.is_none() || self.region.as_ref() == call.region)
            && (self.account.is_none() || self.account.as_ref() == account)
    }

    /// Whether it is due for the call that is the `seen`th to match, after `applied` times.
    pub(super) fn is_due(&self, seen: u64, applied: u64) -> bool {
        match self.nth {
            Some(nth) => seen == nth,
            None => seen > self.skip.unwrap_or(0) && self.times.is_none_or(|times| applied < times),
        }
    }
}
