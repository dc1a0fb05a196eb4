//! What is to go wrong, by request: rules that match calls and say what befalls them.
//!
//! Rules are tried in the order in which they were added. Each counts the calls that match it and
//! is due for some of them. All that are due apply together, up to the first that refuses the call:
//! rules after that one do not see it.

mod plan;
mod rule;
#[cfg(test)]
mod tests;

pub use plan::{Plan, Refusal};
pub use rule::{Action, Rule};

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::caller::Caller;
use super::id::Region;
use super::limits::is_read;
use super::service::Service;
use super::world::World;

/// What a call that is let through is to do badly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mishaps {
    /// A copy or a snapshot that is accepted fails later, for this reason.
    pub fail_later: Option<String>,
    /// There is no capacity for instances.
    pub no_capacity: bool,
}

/// A rule that was added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// Its number.
    pub id: u64,
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// How many calls matched it.
    pub seen: u64,
    /// To how many it was applied.
    pub applied: u64,
    /// The same two numbers of each request, where the rule counts those.
    #[serde(skip)]
    requests: HashMap<u64, (u64, u64)>,
}

impl Fault {
    /// Counts a call. Whether the rule is due for it.
    fn count(&mut self, call: &Subject, parameters: &str) -> bool {
        self.seen += 1;
        let is_due = if self.rule.each {
            let (seen, applied) = self.requests.entry(request(call, parameters)).or_default();
            *seen += 1;
            let is_due = self.rule.is_due(*seen, *applied);
            *applied += u64::from(is_due);
            is_due
        } else {
            self.rule.is_due(self.seen, self.applied)
        };
        self.applied += u64::from(is_due);
        is_due
    }
}

/// What is the same in a request that is made again. Neither the signature nor the bytes of a block
/// or an object are part of it.
fn request(call: &Subject, parameters: &str) -> u64 {
    let mut hash = DefaultHasher::new();
    let account = call.caller.map(|caller| &caller.account);
    (
        call.service.name(),
        call.operation,
        account,
        call.region,
        parameters,
    )
        .hash(&mut hash);
    hash.finish()
}

/// A call as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The service.
    pub service: Service,
    /// The operation; empty if the request does not say.
    pub operation: &'a str,
    /// Who calls, where that is known.
    pub caller: Option<&'a Caller>,
    /// The Region, where that is known.
    pub region: Option<&'a Region>,
}

/// Faults that were asked for.
#[derive(Debug, Default)]
pub struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    last: u64,
    views: Vec<View>,
}

/// The world as it was before a write, which reads see for a while.
#[derive(Debug)]
struct View {
    service: Service,
    region: Region,
    until: Instant,
    world: Arc<World>,
}

impl Faults {
    /// Adds a rule. Returns its number.
    ///
    /// # Errors
    /// The rule contradicts itself; in words for whoever wrote it.
    pub fn add(&self, rule: Rule) -> Result<u64, String> {
        rule.check()?;
        let mut state = self.state();
        state.last += 1;
        let id = state.last;
        state.faults.push(Fault {
            id,
            rule,
            seen: 0,
            applied: 0,
            requests: HashMap::new(),
        });
        Ok(id)
    }

    /// Every rule with its counts.
    pub fn list(&self) -> Vec<Fault> {
        self.state().faults.clone()
    }

    /// A rule with its counts.
    pub fn get(&self, id: u64) -> Option<Fault> {
        let state = self.state();
        state.faults.iter().find(|fault| fault.id == id).cloned()
    }

    /// Removes a rule; false if there is none of that number.
    pub fn remove(&self, id: u64) -> bool {
        let mut state = self.state();
        let before = state.faults.len();
        state.faults.retain(|fault| fault.id != id);
        state.faults.len() < before
    }

    /// Removes every rule, and reads see the world as it is.
    pub fn clear(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.views.clear();
    }

    /// What befalls a call with these parameters (as they are recorded); counts it.
    pub fn plan(&self, call: &Subject, parameters: &str) -> Plan {
        let mut plan = Plan::default();
        for fault in &mut self.state().faults {
            if !fault.rule.matches(call) {
                continue;
            }
            if !fault.count(call, parameters) {
                continue;
            }
            plan.apply(fault.id, &fault.rule.action, call);
            if plan.refusal.is_some() {
                break;
            }
        }
        plan
    }

    /// For that long, reads of the service in the Region see the world as it was.
    pub fn show_old_world(&self, call: &Subject, world: Arc<World>, lasting: Duration) {
        let Some(region) = call.region.cloned() else {
            return;
        };
        self.state().views.push(View {
            service: call.service,
            region,
            until: Instant::now() + lasting,
            world,
        });
    }

    /// The world that a read is to see, if it is not the one that is.
    pub fn old_world(&self, call: &Subject) -> Option<Arc<World>> {
        let mut state = self.state();
        if state.views.is_empty() {
            return None;
        }
        let now = Instant::now();
        state.views.retain(|view| view.until > now);
        if !is_read(call.operation) {
            return None;
        }
        // The first is the oldest.
        let view = state
            .views
            .iter()
            .find(|view| view.service == call.service && Some(&view.region) == call.region)?;
        Some(Arc::clone(&view.world))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
