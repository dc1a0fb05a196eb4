//! `[downloads]` in `alpine-ami.toml`, and the limits it comes to.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde::Deserialize;

use crate::apk::store::{Store, USUAL_LIMIT};
use crate::profile::ByteSize;

/// How packages are fetched, and how much of them is kept.
///
/// ```toml
/// [downloads]
/// parallel = 8             # packages at once
/// attempts = 3             # tries a mirror gets before the next one is asked
/// silence_seconds = 30     # how long a mirror may say nothing
/// slowest = "4KiB"         # a mirror that gives less a second for that long is given up
/// store = "20GiB"          # what downloaded packages may take on this machine
/// ```
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DownloadSettings {
    /// Packages at once.
    pub parallel: NonZeroU16,
    /// Tries a mirror gets before the next one is asked.
    pub attempts: NonZeroU16,
    /// How long a mirror may say nothing, in seconds.
    pub silence_seconds: NonZeroU32,
    /// What a mirror must give in a second, on the average of so long.
    pub slowest: ByteSize,
    /// What downloaded packages may take on this machine; those that a running build needs stay in any
    /// case.
    pub store: ByteSize,
}

const fn positive(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("it is not zero")
}

impl Default for DownloadSettings {
    fn default() -> DownloadSettings {
        DownloadSettings {
            // Enough to hide latency, few enough for a public mirror.
            parallel: const { positive(8) },
            attempts: const { positive(3) },
            silence_seconds: const { NonZeroU32::new(30).expect("it is not zero") },
            slowest: ByteSize(4 << 10),
            store: ByteSize(USUAL_LIMIT),
        }
    }
}

impl DownloadSettings {
    /// The user's store, no larger than this.
    pub fn store(&self) -> Store {
        Store::with_limit(Store::user_dir(), self.store.0)
    }

    /// How downloads are bounded.
    pub fn limits(&self) -> Limits {
        let usual = Limits::default();
        let silence = Duration::from_secs(u64::from(self.silence_seconds.get()));
        Limits {
            parallel: usize::from(self.parallel.get()),
            attempts: u32::from(self.attempts.get()),
            connect: usual.connect.min(silence),
            silence,
            slowest: self.slowest.0,
            ..usual
        }
    }
}

/// How downloads are bounded.
///
/// Together they are a deadline: what is fetched is never longer than its index says (an index never
/// longer than the longest one), a mirror that is too slow for that is given up, and so is one that has
/// failed a few times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Packages at once.
    pub parallel: usize,
    /// Tries a mirror gets for one file.
    pub attempts: u32,
    /// How long a mirror may take to accept a connection.
    pub connect: Duration,
    /// How long it may say nothing, and the time over which its rate is measured.
    pub silence: Duration,
    /// What it must give in a second, in bytes.
    pub slowest: u64,
    /// About how long to wait before the second try; before each further one, twice as long.
    pub pause: Duration,
    /// How long a whole index may take.
    pub index: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            parallel: 8,
            attempts: 3,
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            slowest: 4 << 10,
            pause: Duration::from_millis(500),
            index: Duration::from_secs(600),
        }
    }
}

impl Limits {
    /// Waits before try number `attempt`, counted from 0. Everybody who lost a mirror at the same
    /// moment comes back at another one.
    pub(super) async fn pause(&self, attempt: u32) {
        let wait = self.wait(attempt, fastrand::f64());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long that is, with a random number from 0 to 1.
    fn wait(&self, attempt: u32, random: f64) -> Duration {
        match attempt.checked_sub(1) {
            None => Duration::ZERO,
            Some(before) => self.pause * 2_u32.pow(before.min(5)),
        }
        .mul_f64(0.5 + random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_usual() {
        let settings: DownloadSettings = toml::from_str("").expect("settings");
        assert_eq!(settings.limits(), Limits::default());
        let settings: DownloadSettings =
            toml::from_str("parallel = 2\nslowest = \"1MiB\"\nstore = \"1GiB\"").expect("settings");
        assert_eq!(settings.limits().parallel, 2);
        assert_eq!(settings.limits().slowest, 1 << 20);
        assert_eq!(settings.store.0, 1 << 30);
        for wrong in ["parallel = 0", "attempts = 0", "slowest = 4", "stor = 1"] {
            assert!(
                toml::from_str::<DownloadSettings>(wrong).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn pauses_grow_and_differ() {
        let limits = Limits::default();
        let wait = |attempt, random| limits.wait(attempt, random).as_millis();
        assert_eq!(wait(0, 0.9), 0);
        assert_eq!((wait(1, 0.0), wait(1, 0.5), wait(1, 1.0)), (250, 500, 750));
        assert_eq!((wait(2, 0.0), wait(3, 0.0)), (500, 1000));
        assert_eq!(wait(6, 0.5), wait(60, 0.5));
    }
}
