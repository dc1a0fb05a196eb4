//! Rates: token buckets by account and Region, as AWS throttles.
//!
//! A bucket holds so many tokens as calls may come at once, and is refilled at the rate. EC2 has
//! one for each action ("Request throttling for the Amazon EC2 API"), EBS the quotas of its direct
//! APIs, KMS its request quotas, S3 those of a prefix (here: of a bucket). They run in real time,
//! since clients back off in real time, and are full again after a restart.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::id::{AccountId, Region};
use crate::sandbox::service::Service;

/// A rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls a second in the long run.
    pub per_second: f64,
    /// Calls at once.
    pub burst: f64,
}

const fn rate(per_second: u32, burst: u32) -> Rate {
    Rate {
        per_second: per_second as f64,
        burst: burst as f64,
    }
}

/// A rate's name, and AWS's value for it.
pub const DEFAULT_RATES: &[(&str, Rate)] = &[
    ("ebs-complete-snapshot", rate(10, 10)),
    ("ebs-get-snapshot-block", rate(1000, 1000)),
    ("ebs-get-snapshot-block-of-snapshot", rate(1000, 1000)),
    ("ebs-list-changed-blocks", rate(50, 50)),
    ("ebs-list-snapshot-blocks", rate(50, 50)),
    ("ebs-put-snapshot-block", rate(1000, 1000)),
    ("ebs-put-snapshot-block-of-snapshot", rate(1000, 1000)),
    ("ebs-start-snapshot", rate(10, 10)),
    ("ec2-copy-image", rate(1, 100)),
    ("ec2-mutating", rate(5, 50)),
    ("ec2-non-mutating", rate(20, 100)),
    ("ec2-resource-intensive", rate(5, 50)),
    ("ec2-run-instances", rate(2, 5)),
    ("ec2-unfiltered", rate(10, 50)),
    ("kms-administrative", rate(5, 5)),
    ("kms-asymmetric", rate(1000, 1000)),
    ("kms-create-grant", rate(50, 50)),
    ("kms-cryptographic", rate(10_000, 10_000)),
    ("kms-describe-key", rate(2000, 2000)),
    ("kms-list-grants", rate(100, 100)),
    ("kms-policy-and-deletion", rate(15, 15)),
    ("kms-read", rate(500, 500)),
    ("kms-retire-and-revoke-grant", rate(30, 30)),
    ("kms-tag-resource", rate(10, 10)),
    ("s3-read", rate(5500, 5500)),
    ("s3-write", rate(3500, 3500)),
    ("sts", rate(600, 600)),
];

/// What a rate looks at in a call.
#[derive(Debug, Clone, Copy)]
pub struct Charged<'a> {
    /// The service.
    pub service: Service,
    /// The operation.
    pub operation: &'a str,
    /// Who pays.
    pub account: &'a AccountId,
    /// Where.
    pub region: &'a Region,
    /// The snapshot of an EBS call, the bucket of an S3 call.
    pub resource: &'a str,
    /// Whether a Describe call of EC2 is restricted by filters, ids or pages.
    pub is_filtered: bool,
}

/// The rates and their buckets.
#[derive(Debug)]
pub(super) struct Rates(Mutex<State>);

#[derive(Debug)]
struct State {
    /// None is unlimited.
    rates: BTreeMap<&'static str, Option<Rate>>,
    buckets: HashMap<Key, Bucket>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    rate: &'static str,
    account: AccountId,
    region: Region,
    /// A snapshot, a bucket of S3, an action of EC2.
    of: String,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    /// When that was so many, since some start.
    at: Duration,
}

/// So many buckets are kept; full ones are dropped when there are more.
const MOST_BUCKETS: usize = 10_000;

impl Rates {
    pub(super) fn new() -> Rates {
        Rates(Mutex::new(State {
            rates: DEFAULT_RATES
                .iter()
                .map(|(name, rate)| (*name, Some(*rate)))
                .collect(),
            buckets: HashMap::new(),
        }))
    }

    /// Takes a token for a call from each bucket that it needs one of, or from none.
    ///
    /// # Errors
    /// The name of the rate that is exceeded.
    pub(super) fn take(&self, call: &Charged, now: Duration) -> Result<(), &'static str> {
        let mut state = self.state();
        let keys: Vec<(Key, Rate)> = charges(call)
            .into_iter()
            .filter_map(|(rate, of)| {
                let value = state.rates.get(rate).copied().flatten()?;
                let key = Key {
                    rate,
                    account: call.account.clone(),
                    region: call.region.clone(),
                    of: of.to_owned(),
                };
                Some((key, value))
            })
            .collect();
        for (key, rate) in &keys {
            if state.tokens(key, *rate, now) < 1.0 {
                return Err(key.rate);
            }
        }
        for (key, rate) in keys {
            let tokens = state.tokens(&key, rate, now) - 1.0;
            state.buckets.insert(key, Bucket { tokens, at: now });
        }
        state.drop_full_ones(now);
        Ok(())
    }

    /// Sets a rate; none is unlimited. False if there is no such rate.
    pub(super) fn set(&self, name: &str, rate: Option<Rate>) -> bool {
        let mut state = self.state();
        let Some(known) = state.rates.get_mut(name) else {
            return false;
        };
        *known = rate;
        state.buckets.retain(|key, _| key.rate != name);
        true
    }

    /// Every rate.
    pub(super) fn list(&self) -> BTreeMap<&'static str, Option<Rate>> {
        self.state().rates.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tokens(&self, key: &Key, rate: Rate, now: Duration) -> f64 {
        match self.buckets.get(key) {
            None => rate.burst,
            Some(bucket) => {
                let since = now.saturating_sub(bucket.at).as_secs_f64();
                (bucket.tokens + since * rate.per_second).min(rate.burst)
            }
        }
    }

    fn drop_full_ones(&mut self, now: Duration) {
        if self.buckets.len() <= MOST_BUCKETS {
            return;
        }
        let full: Vec<Key> = self
            .buckets
            .keys()
            .filter(|key| {
                self.rates
                    .get(key.rate)
                    .copied()
                    .flatten()
                    .is_none_or(|rate| self.tokens(key, rate, now) >= rate.burst)
            })
            .cloned()
            .collect();
        for key in full {
            self.buckets.remove(&key);
        }
    }
}

/// The rates that a call counts against, and of what each is.
fn charges<'a>(call: &Charged<'a>) -> Vec<(&'static str, &'a str)> {
    match call.service {
        Service::Ebs => ebs(call.operation, call.resource),
        // A bucket for each action.
        Service::Ec2 => vec![(ec2(call.operation, call.is_filtered), call.operation)],
        Service::Kms => kms(call.operation),
        Service::Sts => vec![("sts", "")],
        Service::S3 => {
            let is_read = ["Get", "Head", "List"]
                .iter()
                .any(|read| call.operation.starts_with(read));
            vec![(if is_read { "s3-read" } else { "s3-write" }, call.resource)]
        }
        Service::Organizations => Vec::new(),
    }
}

fn ebs<'a>(operation: &str, snapshot: &'a str) -> Vec<(&'static str, &'a str)> {
    match operation {
        "StartSnapshot" => vec![("ebs-start-snapshot", "")],
        "CompleteSnapshot" => vec![("ebs-complete-snapshot", "")],
        "ListSnapshotBlocks" => vec![("ebs-list-snapshot-blocks", "")],
        "ListChangedBlocks" => vec![("ebs-list-changed-blocks", "")],
        "PutSnapshotBlock" => vec![
            ("ebs-put-snapshot-block", ""),
            ("ebs-put-snapshot-block-of-snapshot", snapshot),
        ],
        "GetSnapshotBlock" => vec![
            ("ebs-get-snapshot-block", ""),
            ("ebs-get-snapshot-block-of-snapshot", snapshot),
        ],
        _ => Vec::new(),
    }
}

fn ec2(action: &str, is_filtered: bool) -> &'static str {
    match action {
        "RunInstances" | "StartInstances" => "ec2-run-instances",
        "CopyImage" => "ec2-copy-image",
        "AuthorizeSecurityGroupIngress" | "RevokeSecurityGroupIngress" | "CreateKeyPair" => {
            "ec2-resource-intensive"
        }
        _ if action.starts_with("Describe") && !is_filtered => "ec2-unfiltered",
        _ if super::is_read(action) => "ec2-non-mutating",
        _ => "ec2-mutating",
    }
}

/// KMS's quotas. Cryptographic operations share theirs; other operations that stand on one line
/// here have the same number, each in a bucket of its own.
fn kms(operation: &str) -> Vec<(&'static str, &str)> {
    let rate = match operation {
        "Encrypt"
        | "Decrypt"
        | "ReEncrypt"
        | "GenerateDataKey"
        | "GenerateDataKeyWithoutPlaintext"
        | "GenerateRandom" => return vec![("kms-cryptographic", "")],
        "Sign" | "Verify" => return vec![("kms-asymmetric", "")],
        "CreateGrant" => "kms-create-grant",
        "DescribeKey" | "GetPublicKey" => "kms-describe-key",
        "ListGrants" | "ListRetirableGrants" => "kms-list-grants",
        "PutKeyPolicy" | "ScheduleKeyDeletion" | "DeleteAlias" => "kms-policy-and-deletion",
        "RetireGrant" | "RevokeGrant" => "kms-retire-and-revoke-grant",
        "TagResource" => "kms-tag-resource",
        _ if super::is_read(operation) => "kms-read",
        _ => "kms-administrative",
    };
    vec![(rate, operation)]
}
