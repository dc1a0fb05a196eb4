//! How many blocks are under way at once: as many as the network needs, no more than AWS takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::aws::Kind;
use crate::aws::retry::Watch;

/// Blocks that AWS takes in a second, for a snapshot as for an account and Region.
/// <https://docs.aws.amazon.com/general/latest/gr/ebs-service.html>
pub const PUTS_PER_SECOND: u32 = 1000;

/// Calls under way at the beginning.
const FIRST: f64 = 64.0;
/// Never fewer.
const FEWEST: f64 = 2.0;
/// More calls than this are of use only if they do not wait for one another.
const PLENTY: f64 = 32.0;
/// They do wait for one another if a call takes so many times as long as the fastest one did.
const SLOWED: f64 = 4.0;
/// The share of a new duration in the average.
const WEIGHT: f64 = 1.0 / 16.0;

/// How many calls may be under way: more after each that went well, half as many when AWS or the
/// network says that it is too much.
#[derive(Debug)]
pub struct Window {
    limit: f64,
    most: f64,
    /// Until the first refusal it grows as fast as answers come.
    is_first_climb: bool,
    /// Calls begun before this one do not halve it again.
    halved_at: u64,
    fastest: f64,
    average: f64,
}

impl Window {
    /// For `most` calls at once.
    pub fn new(most: u32) -> Window {
        Window {
            limit: FIRST.min(f64::from(most)),
            most: f64::from(most),
            is_first_climb: true,
            halved_at: 0,
            fastest: f64::INFINITY,
            average: 0.0,
        }
    }

    /// How many calls may be under way.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// A call went well and took so long.
    pub fn went_well(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.fastest = self.fastest.min(took);
        self.average = match self.average {
            0.0 => took,
            average => average + (took - average) * WEIGHT,
        };
        let is_slowed = self.average > self.fastest * SLOWED;
        if self.limit >= PLENTY && is_slowed {
            return;
        }
        let step = if self.is_first_climb {
            1.0
        } else {
            1.0 / self.limit
        };
        self.limit = (self.limit + step).min(self.most);
    }

    /// A call was too much: the `begun`th, of `now` that were begun. Calls that were under way
    /// together say it together, which counts once.
    pub fn was_too_much(&mut self, begun: u64, now: u64) {
        if begun < self.halved_at {
            return;
        }
        self.halved_at = now;
        self.is_first_climb = false;
        self.limit = (self.limit / 2.0).max(FEWEST.min(self.most));
    }
}

/// Calls in a second, with a little to catch up with.
#[derive(Debug)]
struct Rate {
    per_second: Option<u32>,
    since: Instant,
    begun: f64,
}

impl Rate {
    /// How many calls a pause may be made up for with.
    const CATCH_UP: f64 = 20.0;

    /// How long the next call has to wait.
    fn wait(&mut self, now: Instant) -> Duration {
        let Some(per_second) = self.per_second.map(f64::from) else {
            return Duration::ZERO;
        };
        let due = now.duration_since(self.since).as_secs_f64() * per_second;
        self.begun = self.begun.max(due - Rate::CATCH_UP);
        Duration::from_secs_f64((self.begun - due).max(0.0) / per_second)
    }
}

/// Lets calls begin.
#[derive(Debug)]
pub struct Pace {
    state: Mutex<State>,
    ended: Notify,
    throttled: AtomicU64,
}

#[derive(Debug)]
struct State {
    window: Window,
    rate: Rate,
    under_way: usize,
    begun: u64,
}

impl Pace {
    /// At most so many at once, and so many in a second.
    pub fn new(most: u32, per_second: Option<u32>) -> Arc<Pace> {
        Arc::new(Pace {
            state: Mutex::new(State {
                window: Window::new(most),
                rate: Rate {
                    per_second,
                    since: Instant::now(),
                    begun: 0.0,
                },
                under_way: 0,
                begun: 0,
            }),
            ended: Notify::new(),
            throttled: AtomicU64::new(0),
        })
    }

    /// Waits until another call may begin. One task waits at a time.
    pub async fn next(self: &Arc<Pace>) -> Pass {
        loop {
            let wait = {
                let mut state = self.state();
                if state.under_way < state.window.limit() {
                    let wait = state.rate.wait(Instant::now());
                    if wait.is_zero() {
                        return self.begin(&mut state);
                    }
                    Some(wait)
                } else {
                    None
                }
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => self.ended.notified().await,
            }
        }
    }

    /// How many attempts AWS throttled.
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    fn begin(self: &Arc<Pace>, state: &mut State) -> Pass {
        state.under_way += 1;
        state.begun += 1;
        state.rate.begun += 1.0;
        Pass {
            pace: Arc::clone(self),
            number: state.begun,
            since: Instant::now(),
        }
    }

    fn failed(&self, kind: Kind, begun: u64) -> u64 {
        if kind == Kind::Throttled {
            self.throttled.fetch_add(1, Ordering::Relaxed);
        }
        let mut state = self.state();
        let now = state.begun + 1;
        // A connection that is cut says nothing about how much is too much.
        if matches!(kind, Kind::Throttled | Kind::Timeout | Kind::Server) {
            state.window.was_too_much(begun, now);
        }
        now
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is under way, until this is dropped.
#[derive(Debug)]
pub struct Pass {
    pace: Arc<Pace>,
    number: u64,
    since: Instant,
}

impl Pass {
    /// What the call's failed attempts are told to; `tell` hears of those that were throttled.
    pub fn watch(&self, tell: impl Fn() + Send + Sync + 'static) -> Watch {
        let (pace, begun) = (Arc::clone(&self.pace), AtomicU64::new(self.number));
        Arc::new(move |kind| {
            let now = pace.failed(kind, begun.load(Ordering::Relaxed));
            // The next attempt begins now.
            begun.store(now, Ordering::Relaxed);
            if kind == Kind::Throttled {
                tell();
            }
        })
    }

    /// The call went well.
    pub fn went_well(self) {
        let took = self.since.elapsed();
        self.pace.state().window.went_well(took);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.pace.state().under_way -= 1;
        self.pace.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_millis(200);

    fn climbed(window: &mut Window, calls: usize, took: Duration) -> usize {
        for _ in 0..calls {
            window.went_well(took);
        }
        window.limit()
    }

    #[test]
    fn a_window_grows_fast_until_it_is_too_much_then_slowly() {
        let mut window = Window::new(320);
        assert_eq!(window.limit(), 64);
        // In a round of answers it doubles: 3 rounds of 200 ms are enough for 4,096 blocks in 4 s.
        assert_eq!(climbed(&mut window, 64, FAR), 128);
        assert_eq!(climbed(&mut window, 400, FAR), 320);
        window.was_too_much(500, 600);
        assert_eq!(window.limit(), 160);
        // A round more is one more.
        assert_eq!(climbed(&mut window, 161, FAR), 161);
    }

    #[test]
    fn what_was_under_way_together_halves_once() {
        let mut window = Window::new(320);
        climbed(&mut window, 400, FAR);
        for begun in 400..600 {
            window.was_too_much(begun, 600);
        }
        assert_eq!(window.limit(), 160);
        for _ in 0..20 {
            window.was_too_much(600, 600);
        }
        assert_eq!(window.limit(), 2);
        let mut small = Window::new(1);
        small.was_too_much(1, 1);
        assert_eq!(small.limit(), 1);
    }

    #[test]
    fn calls_that_wait_for_one_another_are_enough() {
        let mut window = Window::new(320);
        window.went_well(Duration::from_millis(1));
        // It takes an answer or two to see that they do.
        assert_eq!(climbed(&mut window, 1000, Duration::from_millis(30)), 66);
    }

    #[test]
    fn a_rate_is_kept_and_a_pause_made_up_for_a_little() {
        let since = Instant::now();
        let mut rate = Rate {
            per_second: Some(1000),
            since,
            begun: 0.0,
        };
        let mut begin = |after: u64| {
            let wait = rate.wait(since + Duration::from_millis(after));
            rate.begun += 1.0;
            wait.as_micros()
        };
        assert_eq!(begin(0), 0);
        assert_eq!(begin(0), 1000);
        assert_eq!(begin(0), 2000);
        assert_eq!(begin(1000), 0);
        let waits: Vec<u128> = (0..21).map(|_| begin(1000)).collect();
        assert_eq!(waits[..19], [0; 19]);
        assert_eq!(waits[20], 1000);
    }

    #[tokio::test]
    async fn a_pass_that_is_dropped_lets_another_begin() {
        let pace = Pace::new(1, None);
        let pass = pace.next().await;
        let waiting = tokio::spawn({
            let pace = Arc::clone(&pace);
            async move { pace.next().await.number }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(pass);
        assert_eq!(waiting.await.expect("it ends"), 2);
    }
}
