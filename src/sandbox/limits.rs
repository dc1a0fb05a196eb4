//! Quotas and rates: AWS's at first, each to be lowered, raised or lifted by its name.

mod rates;
#[cfg(test)]
mod tests;

pub use rates::{Charged, DEFAULT_RATES, Rate};

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use self::rates::Rates;
use super::error::ServiceError;
use super::service::Service;

/// A quota's name, and AWS's value for it.
pub const DEFAULTS: &[(&str, u64)] = &[
    ("ami-copies-into-region", 100),
    ("snapshot-copies-into-region", 20),
    ("pending-snapshots", 100),
    ("pending-snapshots-per-volume", 5),
    ("launch-permissions-per-image", 1000),
    ("grants-per-key", 50_000),
    ("grant-delay-seconds", 60),
    ("key-policy-bytes", 32_768),
    ("user-data-bytes", 16_384),
    ("images", 50_000),
    ("public-images", 5),
    ("running-instances", 64),
    ("accounts-per-organization", 10),
    ("security-groups", 2500),
    ("buckets", 10_000),
];

/// What a quota or a rate is set to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// `"unlimited"`.
    Unlimited(Unlimited),
    /// A quota's number; of a rate, calls a second and as many at once.
    Number(u64),
    /// A rate.
    Rate(Rate),
}

/// `"unlimited"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unlimited {
    /// Without a limit.
    Unlimited,
}

impl Limit {
    /// Without a limit.
    pub const UNLIMITED: Limit = Limit::Unlimited(Unlimited::Unlimited);
}

impl FromStr for Limit {
    type Err = String;

    /// `unlimited`, `5`, or `5/20` for a rate of 5 a second and 20 at once.
    fn from_str(text: &str) -> Result<Limit, String> {
        let wrong = || format!("`{text}` is no limit: `unlimited`, `5`, or `5/20` for a rate");
        if text == "unlimited" {
            return Ok(Limit::UNLIMITED);
        }
        match text.split_once('/') {
            None => text.parse().map(Limit::Number).map_err(|_| wrong()),
            Some((per_second, burst)) => Ok(Limit::Rate(Rate {
                per_second: per_second.parse().map_err(|_| wrong())?,
                burst: burst.parse().map_err(|_| wrong())?,
            })),
        }
    }
}

/// Quotas and rates, by name.
#[derive(Debug)]
pub struct Limits {
    quotas: Mutex<BTreeMap<&'static str, u64>>,
    rates: Rates,
    start: Instant,
}

impl Limits {
    /// AWS's.
    pub fn new() -> Limits {
        Limits {
            quotas: Mutex::new(DEFAULTS.iter().copied().collect()),
            rates: Rates::new(),
            start: Instant::now(),
        }
    }

    /// A quota.
    pub fn quota(&self, name: &str) -> u64 {
        debug_assert!(DEFAULTS.iter().any(|(known, _)| *known == name), "{name}");
        self.quotas
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .copied()
            .unwrap_or(u64::MAX)
    }

    /// Sets a quota; false if there is none of that name.
    pub fn set(&self, name: &str, value: u64) -> bool {
        match self
            .quotas
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(name)
        {
            Some(limit) => {
                *limit = value;
                true
            }
            None => false,
        }
    }

    /// Sets a quota or a rate; the name `rates` stands for every rate.
    ///
    /// # Errors
    /// There is none of that name, or it cannot be set to that.
    pub fn apply(&self, name: &str, limit: Limit) -> Result<(), String> {
        let rate = match limit {
            Limit::Unlimited(_) => None,
            Limit::Number(number) => Some(Rate {
                per_second: number as f64,
                burst: number as f64,
            }),
            Limit::Rate(rate) => Some(rate),
        };
        let is_number = |number: f64| number.is_finite() && number >= 0.0;
        if rate.is_some_and(|rate| !is_number(rate.per_second) || !is_number(rate.burst)) {
            return Err(format!("the rate `{name}` must have numbers from 0"));
        }
        if name == "rates" {
            for (name, _) in DEFAULT_RATES {
                self.rates.set(name, rate);
            }
            return Ok(());
        }
        let done = match limit {
            _ if self.rates.set(name, rate) => true,
            Limit::Unlimited(_) => self.set(name, u64::MAX),
            Limit::Number(number) => self.set(name, number),
            Limit::Rate(_) if DEFAULTS.iter().any(|(known, _)| *known == name) => {
                return Err(format!("`{name}` is a quota: set it to a number"));
            }
            Limit::Rate(_) => false,
        };
        if done {
            Ok(())
        } else {
            let names: Vec<&str> = self.list().into_keys().collect();
            Err(format!(
                "there is no limit `{name}`; there are rates (all of them) and {}",
                names.join(", ")
            ))
        }
    }

    /// Every quota and rate.
    pub fn list(&self) -> BTreeMap<&'static str, Limit> {
        let quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        let quotas = quotas.iter().map(|(name, value)| match *value {
            u64::MAX => (*name, Limit::UNLIMITED),
            value => (*name, Limit::Number(value)),
        });
        let rates = self.rates.list().into_iter();
        let rates = rates.map(|(name, rate)| match rate {
            None => (name, Limit::UNLIMITED),
            Some(rate) => (name, Limit::Rate(rate)),
        });
        quotas.chain(rates).collect()
    }

    /// Counts a call.
    ///
    /// # Errors
    /// A rate is exceeded; in the service's words.
    pub fn admit(&self, call: &Charged) -> Result<(), ServiceError> {
        self.rates
            .take(call, self.start.elapsed())
            .map_err(|rate| throttled(call.service, rate))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::new()
    }
}

/// Whether an operation only looks, by its name.
pub fn is_read(operation: &str) -> bool {
    ["Describe", "List", "Get", "Search"]
        .iter()
        .any(|read| operation.starts_with(read))
}

/// What a service answers when there are too many calls. `rate` is the name of the rate.
pub fn throttled(service: Service, rate: &str) -> ServiceError {
    match service {
        Service::Ec2 => {
            ServiceError::new("RequestLimitExceeded", "Request limit exceeded.").status(503)
        }
        Service::Ebs => {
            let reason = if rate.ends_with("-of-snapshot") {
                "RESOURCE_LEVEL_THROTTLE"
            } else {
                "ACCOUNT_THROTTLED"
            };
            ServiceError::new("RequestThrottledException", "Rate exceeded.")
                .member("Reason", reason)
        }
        Service::Kms => ServiceError::new(
            "ThrottlingException",
            "You have exceeded the rate at which you may call KMS. Reduce the frequency of your \
             calls.",
        ),
        Service::Organizations => ServiceError::new(
            "TooManyRequestsException",
            "AWS Organizations can't complete your request because another request is already in \
             progress. Try again later.",
        ),
        Service::Sts => ServiceError::new("Throttling", "Rate exceeded"),
        Service::S3 => {
            ServiceError::new("SlowDown", "Please reduce your request rate.").status(503)
        }
    }
}
