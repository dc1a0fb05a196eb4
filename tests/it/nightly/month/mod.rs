//! A month of nights on the sandbox's clock: releases are promoted, rolled back and withdrawn,
//! customers come and go, and what nobody needs any more ends. After every step all that was promised
//! is looked for.

mod cast;
mod check;
mod diary;
mod steps;

use std::collections::BTreeSet;

use cast::{Customer, Use};
use diary::Diary;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

use super::town::Town;
use crate::release::signing;
use crate::sandbox::client::Client;
use crate::share::street::{PLACES, launches};

/// The channels, from the first to the last.
const CHANNELS: [&str; 3] = ["nightly", "candidate", "stable"];

/// Short enough for releases to be gone within the month.
const SETTINGS: &str = "
[[channels]]
name = \"nightly\"
keep = { releases = 1, days = 1 }
[[channels]]
name = \"candidate\"
keep = { releases = 1, days = 1 }
[[channels]]
name = \"stable\"
gate = { min_age_hours = 24 }
keep = { releases = 2, days = 3 }
[prune]
deregister_after_days = 2
unpromoted_days = 1
version_days = 10
report_minutes = 1
[share]
catalog = \"customers\"
";

/// The last day of a customer.
const ENDS: u32 = 18;
/// Nights on which nothing is new. On the last of them, what was in `nightly` before is gone.
const QUIET: [u32; 6] = [6, 13, 20, 26, 27, 28];

/// A publisher, those who get something of it, and what is to be where.
struct Month {
    town: Town,
    cast: Vec<Customer>,
    stranger: Client,
    diary: Diary,
    uses: Vec<Use>,
    /// Who has really launched something where, in which week.
    launched: BTreeSet<(&'static str, &'static str, u32)>,
    /// How often all was looked at.
    steps: u32,
    released: Vec<String>,
    /// Releases that were used for a while.
    ended: Vec<String>,
}

impl Month {
    fn new() -> Month {
        let town = Town::of_nodes();
        let house = &town.yard.house;
        town.configure(SETTINGS);
        signing(house);
        let cast = cast::customers(house, ENDS);
        cast::write_file(house, &cast, noon(&town));
        Month {
            stranger: cast::stranger(house),
            town,
            cast,
            diary: Diary::default(),
            uses: Vec::new(),
            launched: BTreeSet::new(),
            steps: 0,
            released: Vec::new(),
            ended: Vec::new(),
        }
    }
}

/// Puts the clock to the next noon, so that no day ends while its steps are done; the date.
fn noon(town: &Town) -> Date {
    let place = &town.yard.house.place;
    let clock = place.control("GET", "clock", Value::Null);
    let now = clock["now"].as_str().expect("a time");
    let now = OffsetDateTime::parse(now, &Rfc3339).expect("a time");
    let noon = now.replace_time(time::Time::MIDNIGHT) + time::Duration::hours(36);
    let seconds = (noon - now).whole_seconds();
    place.advance(u64::try_from(seconds).expect("it comes"));
    noon.date()
}

#[test]
fn a_month_of_nightlies() {
    let mut month = Month::new();
    let [here, abroad] = PLACES;
    let (acme, initech, umbrella) = (
        month.customer("acme"),
        month.customer("initech"),
        month.customer("umbrella"),
    );
    let publisher = month.town.yard.house.place.publisher();
    let mut bad = String::new();
    for day in 1..=30 {
        month.night();
        match day {
            2 | 5 | 8 | 14 | 17 | 20 | 26 | 29 => month.promote_from("nightly", "candidate"),
            16 | 19 | 22 | 28 => month.promote_from("candidate", "stable"),
            3 => month.launch(&acme, here, "nightly"),
            4 => {
                month.promote_from("candidate", "stable");
                month.template(&publisher, here, "nightly");
            }
            7 => {
                month.promote_from("candidate", "stable");
                month.template(&umbrella, abroad, "stable");
            }
            9 => {
                month.roll_back("candidate");
                month.join("initech");
            }
            10 | 24 | 30 => month.prune(),
            11 => {
                month.promote_from("nightly", "candidate");
                month.launch(&initech, here, "candidate");
            }
            13 => {
                month.promote_from("candidate", "stable");
                bad = month.withdraw(&[("initech", here)]);
            }
            21 => month.roll_back("stable"),
            23 => {
                month.end_use();
                month.restore("candidate");
            }
            25 => {
                month.promote_from("candidate", "stable");
                month.end_use();
            }
            _ => {}
        }
    }
    month.end(&bad);
}

impl Month {
    /// Much has happened, or all of the above has looked at nothing.
    fn end(self, bad: &str) {
        let [here, abroad] = PLACES;
        let holding = self.holding("the end");
        let held = |region: &str| -> BTreeSet<&str> {
            let held = holding[region].iter();
            held.map(|held| held.release.as_str()).collect()
        };
        let deprecated = holding[here].iter().filter(|held| held.is_deprecated);
        let deprecated = deprecated.filter(|held| held.release != bad).count();
        assert!(deprecated > 0, "nothing is deprecated");
        let (gone, there): (Vec<_>, Vec<_>) = self.released.iter().partition(|release| {
            let ended = &self.manifest(release)["retired"]["deregistered"];
            ended.is_string()
        });
        assert_eq!(
            there
                .iter()
                .map(|one| one.as_str())
                .collect::<BTreeSet<_>>(),
            held(here)
        );
        assert_eq!(held(here), held(abroad));
        assert!(self.released.len() == 24 && gone.len() > 9, "{gone:?}");
        // What was used until the fourth week ended after that; what is used still is there.
        for release in &self.ended {
            assert!(gone.contains(&release), "{release} is not gone");
        }
        for used in &self.uses {
            assert!(there.contains(&&used.release), "{} is gone", used.release);
        }
        // Who ran what was withdrawn still launches it. That nobody else does was looked at all along.
        let ami = self.ami(here, bad);
        assert!(launches(&self.customer("initech"), here, &ami), "{bad}");
        assert!(
            self.steps > 50 && self.launched.len() > 20,
            "{}",
            self.steps
        );
        for channel in CHANNELS {
            let ami = self.ami(abroad, &self.current(channel));
            let verified = self
                .town
                .yard
                .house
                .run(&["verify", &format!("{ami}@{abroad}")]);
            verified.done();
        }
    }
}
