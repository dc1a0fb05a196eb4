//! Packages that come, as users see it: a transfer of one build, or lines where several builds tell
//! theirs at the same time.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::{News, RETELL};
use crate::apk::fetch::{Event, Watch};
use crate::publish::progress::{Progress, Transfer};
use crate::ui::{LogFormat, Ui};

/// Less than this comes before anybody could read how much it is.
const WORTH_SHOWING: u64 = 1 << 20;
/// What the transfer is called.
const WHAT: &str = "packages";

/// Makes them the transfer of `progress`.
pub fn transfer(progress: &Progress) -> Watch {
    let progress = progress.clone();
    Watch::new(move |event| match event {
        Event::Begin(bytes) if bytes >= WORTH_SHOWING => progress.begin(WHAT, bytes),
        Event::Begin(_) => {}
        Event::Came(bytes) => progress.advance(bytes),
        Event::End => progress.end(),
    })
}

/// Tells `ui` of all of them together, every few seconds.
pub fn lines(ui: Ui) -> Watch {
    let tally = Mutex::new(Tally::default());
    Watch::new(move |event| {
        let now = Instant::now();
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(transfer) = tally.hear(event, now) else {
            return;
        };
        let news = News::Transfer(transfer.clone());
        match ui.log {
            LogFormat::Json if !ui.quiet => news.event(now),
            _ => ui.progress(&news.text(now)),
        }
    })
}

/// What comes for all builds.
#[derive(Debug, Default)]
struct Tally {
    /// How many of them wait for packages.
    builds: usize,
    transfer: Option<Transfer>,
    last: Option<Instant>,
}

impl Tally {
    /// What is to be told, if it is time to.
    fn hear(&mut self, event: Event, now: Instant) -> Option<&Transfer> {
        match event {
            Event::Begin(bytes) => {
                self.builds += 1;
                let transfer = self.transfer.get_or_insert_with(|| Transfer {
                    what: WHAT.to_owned(),
                    total: 0,
                    done: 0,
                    throttled: 0,
                    since: now,
                });
                transfer.total += bytes;
            }
            Event::Came(bytes) => self.transfer.as_mut()?.done += bytes,
            Event::End => {
                self.builds = self.builds.saturating_sub(1);
                if self.builds == 0 {
                    *self = Tally::default();
                }
                return None;
            }
        }
        let told = self.last;
        let is_due = told.is_none_or(|last| now.saturating_duration_since(last) >= RETELL);
        let transfer = self.transfer.as_ref()?;
        if !is_due || transfer.total < WORTH_SHOWING {
            return None;
        }
        self.last = Some(now);
        Some(transfer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn builds_at_the_same_time_tell_one_sum_every_few_seconds() {
        let begun = Instant::now();
        let mut tally = Tally::default();
        let mut hear = |event, seconds| {
            let now = begun + std::time::Duration::from_secs(seconds);
            let transfer = tally.hear(event, now)?.clone();
            Some(News::Transfer(transfer).text(now))
        };
        // Too little to tell, until another build makes it more.
        assert_eq!(hear(Event::Begin(MIB / 2), 0), None);
        assert_eq!(hear(Event::Came(MIB / 2), 0), None);
        let first = hear(Event::Begin(20 * MIB), 0);
        assert_eq!(first.as_deref(), Some("packages: 0/20 MiB"));
        assert_eq!(hear(Event::Came(MIB / 2), 1), None);
        assert_eq!(hear(Event::End, 2), None);
        let later = hear(Event::Came(9 * MIB), 5);
        assert_eq!(
            later.as_deref(),
            Some("packages: 10/20 MiB  2.0 MiB/s  5 s left")
        );
        assert_eq!(hear(Event::End, 9), None);
        // What comes after all have ended is counted anew.
        assert_eq!(hear(Event::Came(MIB), 9), None);
        let next = hear(Event::Begin(2 * MIB), 9);
        assert_eq!(next.as_deref(), Some("packages: 0/2 MiB"));
    }
}
