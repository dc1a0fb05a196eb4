//! The one wait: looks until a state is reached, with evidence when it is not.

use std::fmt;
use std::time::{Duration, Instant};

/// The first look comes at once, the second after this.
const FIRST: Duration = Duration::from_millis(250);
/// A pause is such a part of the time that was waited: what is done is seen that much later.
const PART: u32 = 20;
/// And such a part where AWS tells how far it is, and the end is near.
const PART_AT_THE_END: u32 = 120;
/// No two looks are farther apart: what is done is seen at most so much later.
const LONGEST: Duration = Duration::from_secs(5);
/// Nor are they where AWS tells how far it is, and that is far from the end.
const LONGEST_BY_FORECAST: Duration = Duration::from_secs(15);

/// What a look saw.
#[derive(Debug)]
pub enum Seen<T> {
    /// The state that was waited for.
    Reached(T),
    /// Not yet: what is there, in words.
    NotYet(String),
    /// Not yet, and so much may be left.
    Nearer(String, Duration),
}

/// When something will be done that tells how far it is.
#[derive(Debug, Default)]
pub struct Forecast(Option<(Instant, f64)>);

impl Forecast {
    /// What is left at that percentage, if it goes on as it went since it was first seen.
    pub fn left(&mut self, now: Instant, percent: f64) -> Option<Duration> {
        let (since, from) = *self.0.get_or_insert((now, percent));
        let done = percent - from;
        if done < 1.0 {
            return None;
        }
        let factor = (100.0 - percent).max(0.0) / done;
        Some(now.duration_since(since).mul_f64(factor))
    }
}

/// The state was not reached in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedOut {
    /// How long it was waited for.
    pub waited: Duration,
    /// What was seen last.
    pub last: String,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.waited.as_secs_f64() / 60.0;
        write!(f, "waited {minutes:.0} min; last seen: {}", self.last)
    }
}

impl std::error::Error for TimedOut {}

/// Waits where nothing can be looked at.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Looks until the state is reached and holds: it counts when two looks in a row see it, since one
/// of AWS's readers may be ahead of another; for that they need not be far apart. `tell` hears what is there instead.
///
/// # Errors
/// The inner one: it did not come to that in time. The outer one: what a look failed with, which
/// also is how a state that can no longer become the right one ends the wait.
pub async fn until<T, E, F>(
    limit: Duration,
    tell: impl FnMut(&str),
    look: impl FnMut() -> F,
) -> Result<Result<T, TimedOut>, E>
where
    F: Future<Output = Result<Seen<T>, E>>,
{
    paced(FIRST, limit, tell, look).await
}

async fn paced<T, E, F>(
    first: Duration,
    limit: Duration,
    mut tell: impl FnMut(&str),
    mut look: impl FnMut() -> F,
) -> Result<Result<T, TimedOut>, E>
where
    F: Future<Output = Result<Seen<T>, E>>,
{
    let started = Instant::now();
    let mut reached = false;
    loop {
        let seen = look().await?;
        let left = match seen {
            Seen::Nearer(_, left) => Some(left),
            _ => None,
        };
        let waited = started.elapsed();
        let mut next = until_next(first, waited, left);
        match seen {
            Seen::Reached(state) if reached => return Ok(Ok(state)),
            Seen::Reached(_) => {
                reached = true;
                next = first / 5;
            }
            Seen::NotYet(last) | Seen::Nearer(last, _) => {
                reached = false;
                tell(&last);
                if waited + next > limit {
                    return Ok(Err(TimedOut { waited, last }));
                }
            }
        }
        tokio::time::sleep(next).await;
    }
}

/// How long until the next look, after so long, and where so much may be left.
fn until_next(first: Duration, waited: Duration, left: Option<Duration>) -> Duration {
    match left {
        // Half of it: the guess grows better as the end comes nearer. What stays just before its
        // end is not asked all the time.
        Some(left) => {
            let shortest = first.max(waited / PART_AT_THE_END);
            (left / 2).max(shortest).min(LONGEST_BY_FORECAST)
        }
        None => (waited / PART).clamp(first, LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;

    use super::*;

    async fn run(answers: &str, limit: Duration) -> Result<char, TimedOut> {
        let left = RefCell::new(answers.chars());
        let look = async || {
            let seen = match left.borrow_mut().next() {
                Some('.') | None => Seen::NotYet("pending".to_owned()),
                Some(state) => Seen::Reached(state),
            };
            Ok::<_, Infallible>(seen)
        };
        let Ok(result) = paced(Duration::from_millis(1), limit, |_| {}, look).await;
        result
    }

    #[test]
    fn what_is_left_is_told_by_what_is_done() {
        let mut forecast = Forecast::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(forecast.left(begun, 10.0), None);
        assert_eq!(forecast.left(at(20), 10.0), None);
        assert_eq!(forecast.left(at(20), 30.0), Some(Duration::from_secs(70)));
        assert_eq!(forecast.left(at(80), 90.0), Some(Duration::from_secs(10)));
        assert_eq!(forecast.left(at(99), 100.0), Some(Duration::ZERO));
    }

    #[test]
    fn looks_are_as_far_apart_as_the_end_is() {
        for (waited, left, expected) in [
            (0, None, 250),
            (10, None, 500),
            (60, None, 3000),
            (3600, None, 5000),
            (20, Some(600), 15_000),
            (30, Some(20), 10_000),
            (60, Some(0), 500),
            (0, Some(0), 250),
            (3600, Some(1), 15_000),
        ] {
            let left = left.map(Duration::from_secs);
            let pause = until_next(FIRST, Duration::from_secs(waited), left);
            let expected = Duration::from_millis(expected);
            assert_eq!(pause, expected, "{waited} {left:?}");
        }
    }

    #[tokio::test]
    async fn a_state_counts_when_it_holds() {
        assert_eq!(run("..a.bc", Duration::from_secs(60)).await, Ok('c'));
        let short = Duration::from_millis(100);
        let error = run("..a...", short).await.expect_err("it does not hold");
        assert_eq!(error.last, "pending");
    }
}
