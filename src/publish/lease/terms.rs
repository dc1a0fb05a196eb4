//! What a lease says, and what that means to somebody else.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::publish::holder::Holder;

/// S3 says times in whole seconds: of two of them, either may be almost a second off.
const ROUNDING: Duration = Duration::seconds(2);

/// What a lease says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Terms {
    /// Who holds it.
    pub holder: Holder,
    /// Since when, by the holder's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub acquired: OffsetDateTime,
    /// When it was renewed last, by the holder's clock; no two renewals are equal bytes.
    #[serde(with = "time::serde::rfc3339")]
    pub renewed: OffsetDateTime,
    /// How long it holds after that.
    pub expires_seconds: u64,
}

impl Terms {
    pub fn ttl(&self) -> Duration {
        Duration::seconds(i64::try_from(self.expires_seconds).unwrap_or(i64::MAX))
    }
}

/// What a lease means to whoever wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another's.
    Held,
    /// This run wrote it, though it did not hear so.
    Ours,
    /// It is over.
    Expired,
    /// Its holder is dead.
    Dead,
}

/// What a lease means to `us`, `age` after S3 had it.
pub fn judge(
    terms: &Terms,
    us: &Holder,
    age: Duration,
    is_dead: impl Fn(&Holder) -> bool,
) -> Verdict {
    if terms.holder.run == us.run {
        Verdict::Ours
    } else if age > terms.ttl().saturating_add(ROUNDING) {
        Verdict::Expired
    } else if is_dead(&terms.holder) {
        Verdict::Dead
    } else {
        Verdict::Held
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn leases_are_judged_by_age_and_holder() {
        let us = Holder::here("us", "publish");
        for (run, age, dead, expected) in [
            ("them", 0, false, Verdict::Held),
            ("them", 62, false, Verdict::Held),
            ("them", 63, false, Verdict::Expired),
            ("them", 63, true, Verdict::Expired),
            ("them", 0, true, Verdict::Dead),
            // S3's clock is behind what it said a moment ago.
            ("them", -5, false, Verdict::Held),
            ("us", 0, false, Verdict::Ours),
            ("us", 100, true, Verdict::Ours),
        ] {
            let terms = Terms {
                holder: Holder::here(run, "publish"),
                acquired: datetime!(2026-01-31 10:11:12 UTC),
                renewed: datetime!(2026-01-31 10:11:12 UTC),
                expires_seconds: 60,
            };
            let verdict = judge(&terms, &us, Duration::seconds(age), |_| dead);
            assert_eq!(verdict, expected, "{run}, {age} s, dead: {dead}");
        }
    }
}
