//! What is to be where, by the test's own count of days. Nothing of the program's planning is in it.

use std::collections::{BTreeMap, BTreeSet};

use super::cast::Customer;

/// A release in a channel.
struct Stay {
    release: String,
    /// The day on which it left.
    left: Option<u32>,
}

/// Days, and what was in the channels on them.
#[derive(Default)]
pub struct Diary {
    /// Today: the first night is that of day 1.
    pub day: u32,
    stays: BTreeMap<&'static str, Vec<Stay>>,
    /// Withdrawn releases, and which customers ran them where.
    withdrawn: BTreeMap<String, BTreeSet<(&'static str, &'static str)>>,
}

impl Diary {
    /// A release comes into a channel, in the place of the one that is there.
    pub fn enter(&mut self, channel: &'static str, release: &str) {
        let day = self.day;
        let stays = self.stays.entry(channel).or_default();
        for stay in stays.iter_mut().filter(|stay| stay.left.is_none()) {
            stay.left = Some(day);
        }
        stays.push(Stay {
            release: release.to_owned(),
            left: None,
        });
    }

    /// What is in a channel.
    pub fn current(&self, channel: &str) -> Option<&str> {
        let mut stays = self.stays.get(channel)?.iter();
        let stay = stays.find(|stay| stay.left.is_none())?;
        Some(&stay.release)
    }

    /// The latest other release that was in a channel and is not withdrawn.
    pub fn before(&self, channel: &str, release: &str) -> Option<String> {
        let stays = self.stays.get(channel)?.iter().rev();
        let mut good = stays.map(|stay| &stay.release);
        good.find(|other| *other != release && !self.withdrawn.contains_key(*other))
            .cloned()
    }

    /// Nobody is to get a release any more but those who run it.
    pub fn withdraw(&mut self, release: &str, ran: &[(&'static str, &'static str)]) {
        let ran = ran.iter().copied().collect();
        self.withdrawn.insert(release.to_owned(), ran);
    }

    pub fn is_withdrawn(&self, release: &str) -> bool {
        self.withdrawn.contains_key(release)
    }

    /// What a customer may launch in a Region: what is in its channels, and what left them so short a
    /// while ago that it may keep it. With `promised`, only what it must be able to: what left before
    /// it came may be gone.
    pub fn may_launch(
        &self,
        customer: &Customer,
        region: &str,
        promised: bool,
    ) -> BTreeSet<String> {
        if !customer.is_served_on(self.day) || !customer.regions.contains(&region) {
            return BTreeSet::new();
        }
        let counts = |stay: &&Stay| match stay.left {
            None => true,
            Some(left) => {
                self.day < left + customer.grace_days && (!promised || left >= customer.first)
            }
        };
        let stays = customer.channels.iter();
        let stays = stays
            .filter_map(|channel| self.stays.get(channel))
            .flatten();
        let releases = stays.filter(counts).map(|stay| &stay.release);
        let ran = |release: &&String| {
            let withdrawn = self.withdrawn.get(*release);
            withdrawn.is_none_or(|ran| ran.contains(&(customer.name, region)))
        };
        releases.filter(ran).cloned().collect()
    }
}
