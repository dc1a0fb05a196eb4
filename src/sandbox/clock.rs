//! The sandbox's time: when states change, and how fast.
//!
//! Durations that AWS takes (a copy: minutes) are multiplied by a scale, so that tests need not
//! wait; and the clock can be put forward, so that a deprecation or a cooldown comes to pass.
//! Signatures are checked against the real time, since clients use theirs; but answers say the
//! sandbox's, and what a client then signs with that is taken too.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// A moment, in milliseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The real time.
    pub fn real() -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Reads a time as AWS's clients send it: RFC 3339, with or without fractions.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Timestamp(
            i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()?,
        ))
    }

    /// As EC2 writes it: `2026-01-02T03:04:05.000Z`.
    pub fn iso(self) -> String {
        self.date_time()
            .format(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            ))
            .unwrap_or_default()
    }

    /// As JSON services write it: seconds since 1970 with a fraction.
    pub fn epoch_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// For formatting otherwise.
    pub fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// This moment and a while.
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso())
    }
}

/// The sandbox's clock.
#[derive(Debug)]
pub struct Clock {
    /// Bits of an `f64`.
    scale: AtomicU64,
    ahead_ms: AtomicI64,
}

impl Clock {
    /// A clock on which AWS's durations are multiplied by `scale`: 1 is AWS's pace, 0 is at once.
    pub fn new(scale: f64) -> Clock {
        Clock {
            scale: AtomicU64::new(scale.to_bits()),
            ahead_ms: AtomicI64::new(0),
        }
    }

    /// Now, as the sandbox has it.
    pub fn now(&self) -> Timestamp {
        Timestamp(Timestamp::real().0 + self.ahead_ms.load(Ordering::Relaxed))
    }

    /// When something that takes AWS `duration` from now will be done.
    pub fn after(&self, duration: Duration) -> Timestamp {
        self.now().plus(duration.mul_f64(self.scale()))
    }

    /// What AWS's durations are multiplied by.
    pub fn scale(&self) -> f64 {
        f64::from_bits(self.scale.load(Ordering::Relaxed))
    }

    /// Sets what AWS's durations are multiplied by, from now on.
    pub fn set_scale(&self, scale: f64) {
        self.scale.store(scale.to_bits(), Ordering::Relaxed);
    }

    /// Puts the clock forward.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// How far the clock is ahead of the real time, in milliseconds.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }
}
