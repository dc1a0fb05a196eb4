//! How a release stands to the channel that nights bring theirs into.
//!
//! Packages may go back to what they were: a repository takes a bad version away. Then the image is one
//! of an earlier night, which a later one has replaced, and it comes back. What somebody took out, by a
//! rollback or by promoting something else, does not.

use crate::channels::Channel;
use crate::publish::release::ReleaseId;

/// What the channel's history tells customers of a night's promotion.
pub(super) const REASON: &str = "nightly";

/// How a release stands to the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was never there.
    New,
    /// It is there.
    There,
    /// It was there, until a night brought another one.
    Replaced,
    /// It was there, until somebody took it out.
    TakenOut,
}

impl Standing {
    /// That of a release.
    pub(super) fn of(release: &ReleaseId, channel: &Channel) -> Standing {
        let stays = || channel.stays_of(&release.line);
        let Some(last) = stays().filter(|stay| stay.release == *release).last() else {
            return Standing::New;
        };
        let Some(until) = last.until else {
            return Standing::There;
        };
        let by_night = stays().any(|stay| {
            stay.since == until
                && stay.in_place_of.is_none()
                && stay.reason.as_deref() == Some(REASON)
        });
        match by_night {
            true => Standing::Replaced,
            false => Standing::TakenOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::channels::Entry;

    fn id(number: u32) -> ReleaseId {
        let id = format!("base-3.15-x86_64-20260131.{number}");
        id.parse().expect("an id")
    }

    /// A channel into which these came, one a second; a release that is to be rolled back to names
    /// another one.
    fn channel(entries: &[(u32, Option<&str>, Option<u32>)]) -> Channel {
        let mut channel = Channel::empty("nightly");
        for (second, (release, reason, in_place_of)) in (0..).zip(entries) {
            let entry = Entry {
                at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(second),
                by: "arn:aws:iam::111111111111:role/release".to_owned(),
                reason: reason.map(str::to_owned),
                approved_by: None,
                in_place_of: in_place_of.map(id),
            };
            channel = channel.with(&id(*release), entry).expect("it is new").0;
        }
        channel
    }

    #[test]
    fn nights_replace_and_people_take_out() {
        use Standing::{New, Replaced, TakenOut, There};
        let night = Some(REASON);
        let table = [
            (vec![(1, night, None), (2, night, None)], [Replaced, There]),
            // A night brought it back, and the next one replaced it again.
            (
                vec![(1, night, None), (2, night, None), (1, night, None)],
                [There, Replaced],
            ),
            // A rollback, whatever was said of it.
            (
                vec![(1, night, None), (2, night, None), (1, night, Some(2))],
                [There, TakenOut],
            ),
            // Somebody has promoted something else.
            (vec![(1, night, None), (2, None, None)], [TakenOut, There]),
            // Taken out, and since then a night has brought the next one.
            (
                vec![(2, night, None), (1, None, Some(2)), (3, night, None)],
                [Replaced, TakenOut],
            ),
            (vec![], [New, New]),
        ];
        for (entries, expected) in table {
            let channel = channel(&entries);
            let found = [1, 2].map(|number| Standing::of(&id(number), &channel));
            assert_eq!(found, expected, "{entries:?}");
        }
    }

    /// What is withdrawn with nothing before it leaves the channel empty.
    #[test]
    fn what_left_and_nothing_came_was_taken_out() {
        let channel = channel(&[(1, Some(REASON), None)]);
        let at = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(9);
        let channel = channel.without(&id(1), at).expect("it was there");
        assert_eq!(Standing::of(&id(1), &channel), Standing::TakenOut);
    }
}
