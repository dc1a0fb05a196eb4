//! Why a release stays. One reason is enough.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::seen::{Seen, SeenPlace, SeenRelease, Use, Uses};
use super::settings::{Keep, PruneSettings};
use crate::aws::Region;
use crate::channels::Channel;
use crate::publish::release::{Line, ReleaseId};

/// Why a release stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Why {
    /// It is in a channel.
    InChannel {
        /// The channel.
        channel: String,
    },
    /// It is one of the last that were in a channel.
    OneOfTheLast {
        /// The channel.
        channel: String,
        /// How many of them stay.
        releases: u32,
    },
    /// It left a channel a short while ago.
    LeftChannel {
        /// The channel.
        channel: String,
        /// Until when that keeps it.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// It left a channel, and a customer of that may keep it for a while.
    Grace {
        /// The customer.
        customer: String,
        /// Until when.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// Nothing of its profile and architecture is newer.
    Newest,
    /// Nothing of its version is newer, and the version is not long out of use.
    NewestOfVersion {
        /// Until when that keeps it.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// It was in no channel yet.
    Unpromoted {
        /// Until when that keeps it.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// Somebody uses it.
    Used {
        /// Where.
        region: Region,
        /// Who.
        by: Use,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::InChannel { channel } => write!(f, "in {channel}"),
            Why::OneOfTheLast { channel, releases } => {
                write!(f, "one of the last {releases} of {channel}")
            }
            Why::LeftChannel { channel, until } => {
                write!(f, "left {channel}, kept until {}", until.date())
            }
            Why::Grace { customer, until } => {
                write!(f, "{customer} may keep it until {}", until.date())
            }
            Why::Newest => f.write_str("the newest"),
            Why::NewestOfVersion { until } => {
                write!(f, "the newest of its version, kept until {}", until.date())
            }
            Why::Unpromoted { until } => {
                write!(f, "in no channel yet, kept until {}", until.date())
            }
            Why::Used { region, by } => write!(f, "used in {region} by {by}"),
        }
    }
}

/// All reasons why a release stays; none if it may go.
pub fn whys(
    seen: &Seen,
    release: &SeenRelease,
    settings: &PruneSettings,
    now: OffsetDateTime,
) -> Vec<Why> {
    let mut whys = Vec::new();
    for (channel, keep) in &seen.channels {
        of_channel(seen, channel, *keep, &release.id, now, &mut whys);
    }
    whys.extend(of_age(seen, release, settings, now));
    for (region, place) in &release.places {
        let SeenPlace::Held {
            uses: Uses::Seen(uses),
            ..
        } = place
        else {
            continue;
        };
        whys.extend(uses.iter().map(|by| Why::Used {
            region: region.clone(),
            by: by.clone(),
        }));
    }
    whys
}

fn of_channel(
    seen: &Seen,
    channel: &Channel,
    keep: Keep,
    release: &ReleaseId,
    now: OffsetDateTime,
    whys: &mut Vec<Why>,
) {
    let name = || channel.channel.clone();
    let mut stays = channel.stays.iter().filter(|stay| stay.release == *release);
    if stays.clone().any(|stay| stay.until.is_none()) {
        whys.push(Why::InChannel { channel: name() });
        return;
    }
    if last(channel, &release.line, keep.releases).contains(release) {
        whys.push(Why::OneOfTheLast {
            channel: name(),
            releases: keep.releases,
        });
    }
    let Some(left) = stays.by_ref().filter_map(|stay| stay.until).max() else {
        return;
    };
    let until = after(left, keep.days);
    if now < until {
        whys.push(Why::LeftChannel {
            channel: name(),
            until,
        });
    }
    // Those who are served no more are owed nothing.
    let customers = seen.customers.iter().filter(|customer| {
        customer.channels.contains(&channel.channel)
            && customer.wants(&release.line.profile)
            && customer.end.is_none_or(|end| now.date() <= end)
    });
    for customer in customers {
        let until = after(left, customer.grace_days);
        if now < until {
            whys.push(Why::Grace {
                customer: customer.name.clone(),
                until,
            });
        }
    }
}

/// The last releases of a profile and architecture that were in a channel, each once.
fn last<'c>(channel: &'c Channel, line: &Line, count: u32) -> BTreeSet<&'c ReleaseId> {
    let mut found = BTreeSet::new();
    for stay in channel.stays.iter().rev() {
        if found.len() >= count as usize {
            break;
        }
        if is_kin(&stay.release.line, line) {
            found.insert(&stay.release);
        }
    }
    found
}

fn of_age(
    seen: &Seen,
    release: &SeenRelease,
    settings: &PruneSettings,
    now: OffsetDateTime,
) -> Option<Why> {
    let is_newest_of = |is_rival: &dyn Fn(&Line) -> bool| {
        let rivals = seen
            .releases
            .iter()
            .filter(|other| is_rival(&other.id.line));
        rivals.map(age).max() == Some(age(release))
    };
    let line = &release.id.line;
    if is_newest_of(&|other| is_kin(other, line)) {
        return Some(Why::Newest);
    }
    let stays = seen.channels.iter().flat_map(|(channel, _)| &channel.stays);
    let stays = stays.filter(|stay| stay.release.line == *line);
    // One that is in a channel still is kept for that.
    let left = stays.clone().map(|stay| stay.until.unwrap_or(now)).max();
    let until = after(left.unwrap_or(release.created), settings.version_days);
    if is_newest_of(&|other| other == line) && now < until {
        return Some(Why::NewestOfVersion { until });
    }
    let was_promoted = stays.clone().any(|stay| stay.release == release.id);
    let until = after(release.created, settings.unpromoted_days);
    (!was_promoted && now < until).then_some(Why::Unpromoted { until })
}

/// What makes one release newer than another of its profile.
fn age(release: &SeenRelease) -> (u32, OffsetDateTime, u32) {
    (release.id.date, release.created, release.id.number)
}

fn is_kin(one: &Line, other: &Line) -> bool {
    (&one.profile, one.arch) == (&other.profile, other.arch)
}

/// A moment so many days later; the last that there is where no calendar has it.
pub(super) fn after(moment: OffsetDateTime, days: u32) -> OffsetDateTime {
    let later = moment.checked_add(Duration::days(days.into()));
    later.unwrap_or(time::PrimitiveDateTime::MAX.assume_utc())
}
