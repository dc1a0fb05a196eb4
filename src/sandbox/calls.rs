//! Calls that came in: the record of what was asked, by whom, and what was answered.

mod parameters;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use self::parameters::{of_path, parameters};
use super::clock::Timestamp;
use super::id::{AccountId, Region};
use super::service::Service;
use super::shared::Shared;

/// So many calls are kept at most.
const MOST_CALLS: usize = 100_000;
/// And so many bytes of their parameters, so that a long run does not fill the memory.
const MOST_BYTES: usize = 16 << 20;

/// A call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    /// The number of the call, in the order in which they ended.
    pub sequence: u64,
    /// The sandbox's time when it came in.
    #[serde(serialize_with = "iso")]
    pub time: Timestamp,
    /// The service.
    pub service: Service,
    /// The operation; empty if the request does not say.
    pub operation: String,
    /// The account, if the signature was right (for S3: if the key is known).
    pub account: Option<AccountId>,
    /// The principal's ARN, likewise.
    pub principal: Option<String>,
    /// The Region.
    pub region: Option<Region>,
    /// The request's id.
    pub request_id: String,
    /// Its parameters as JSON, without secrets.
    #[serde(serialize_with = "json")]
    pub parameters: String,
    /// HTTP status; none if the connection ended without an answer.
    pub status: Option<u16>,
    /// The code of the error that was answered.
    pub error: Option<String>,
    /// Ids of the faults that were applied.
    pub faults: Vec<u64>,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
}

fn iso<S: serde::Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&time.iso())
}

fn json<S: serde::Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => value.serialize(to),
        Err(_) => to.serialize_str(text),
    }
}

/// Which calls to read; all that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallFilter {
    /// The service.
    pub service: Option<Service>,
    /// The operation.
    pub operation: Option<String>,
    /// The account.
    pub account: Option<AccountId>,
    /// The Region.
    pub region: Option<Region>,
    /// The error's code.
    pub error: Option<String>,
    /// Only calls with a higher number.
    pub after: Option<u64>,
    /// So many, the last ones.
    pub limit: Option<usize>,
}

impl CallFilter {
    fn fits(&self, call: &Call) -> bool {
        fn same<T: PartialEq>(wanted: &Option<T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted.as_ref() == found
        }
        same(&self.service, Some(&call.service))
            && same(&self.operation, Some(&call.operation))
            && same(&self.account, call.account.as_ref())
            && same(&self.region, call.region.as_ref())
            && same(&self.error, call.error.as_ref())
            && self.after.is_none_or(|after| call.sequence > after)
    }
}

/// The log of calls.
#[derive(Debug, Default)]
pub struct CallLog(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    calls: VecDeque<Arc<Call>>,
    last: u64,
    bytes: usize,
}

impl CallLog {
    /// The calls that fit, in the order of their numbers.
    pub fn list(&self, filter: &CallFilter) -> Vec<Arc<Call>> {
        let kept = self.kept();
        let fitting = kept.calls.iter().rev().filter(|call| filter.fits(call));
        let mut calls: Vec<_> = fitting
            .take(filter.limit.unwrap_or(usize::MAX))
            .cloned()
            .collect();
        calls.reverse();
        calls
    }

    /// Forgets every call; numbers go on.
    pub fn clear(&self) {
        let mut kept = self.kept();
        kept.calls.clear();
        kept.bytes = 0;
    }

    fn push(&self, mut call: Call) {
        let mut kept = self.kept();
        kept.last += 1;
        call.sequence = kept.last;
        kept.bytes += call.parameters.len();
        kept.calls.push_back(Arc::new(call));
        while kept.calls.len() > MOST_CALLS || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.calls.pop_front() else {
                break;
            };
            kept.bytes -= oldest.parameters.len();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way; it goes into the log when the last holder lets go of it, whatever happened.
#[derive(Debug)]
pub struct Recording {
    shared: Arc<Shared>,
    draft: Mutex<Call>,
    start: Instant,
}

impl Recording {
    /// Begins with what is known of a call at once.
    pub fn new(shared: &Arc<Shared>, service: Service, request_id: &str) -> Arc<Recording> {
        Arc::new(Recording {
            draft: Mutex::new(Call {
                sequence: 0,
                time: shared.clock.now(),
                service,
                operation: String::new(),
                account: None,
                principal: None,
                region: None,
                request_id: request_id.to_owned(),
                parameters: "{}".to_owned(),
                status: None,
                error: None,
                faults: Vec::new(),
                duration_ms: 0.0,
            }),
            shared: Arc::clone(shared),
            start: Instant::now(),
        })
    }

    /// Writes down more of it.
    pub fn note(&self, write: impl FnOnce(&mut Call)) {
        write(&mut self.draft.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut call = self
            .draft
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        call.duration_ms = self.start.elapsed().as_secs_f64() * 1000.0;
        self.shared.calls.push(call);
    }
}
