use std::collections::{BTreeMap, BTreeSet};

use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::keep::Why;
use super::plan::{Mark, Plan, Planned, Step, Terms, plan};
use super::seen::{HeldImage, Seen, SeenPlace, SeenRelease, Use, Uses};
use super::settings::{Keep, PruneSettings};
use crate::aws::Region;
use crate::aws::ec2::{Usage, UseKind};
use crate::channels::{Channel, Entry};
use crate::publish::manifest::Retirement;
use crate::publish::release::ReleaseId;
use crate::share::customers::{self, Customer, Known};

const NOW: OffsetDateTime = datetime!(2026-06-30 12:00 UTC);
const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];

const SETTINGS: PruneSettings = PruneSettings {
    deregister_after_days: 30,
    unpromoted_days: 30,
    version_days: 180,
    report_minutes: 15,
};

fn region(name: &str) -> Region {
    name.parse().expect("a Region")
}

fn ago(days: i64) -> OffsetDateTime {
    NOW - Duration::days(days)
}

/// A release of so many days ago, the older the smaller its number.
fn id(version: &str, days: i64) -> ReleaseId {
    let day = ago(days).date();
    let (month, number) = (u8::from(day.month()), day.day());
    let text = format!(
        "node-{version}-x86_64-{}{month:02}{number:02}.1",
        day.year()
    );
    text.parse().expect("an id")
}

/// In both Regions, available, used by nobody.
fn release(version: &str, days: i64) -> SeenRelease {
    let place = |name: &&str| {
        let ami = format!("ami-{:08x}", days * 16 + name.len() as i64);
        let image = HeldImage {
            id: ami.parse().expect("an AMI"),
            deprecation: None,
            owns_snapshots: true,
        };
        let place = SeenPlace::Held {
            image: Some(image),
            snapshots: Vec::new(),
            uses: Uses::Seen(Vec::new()),
        };
        (region(name), place)
    };
    SeenRelease {
        id: id(version, days),
        created: ago(days),
        retired: None,
        places: REGIONS.iter().map(place).collect(),
    }
}

/// The same, deprecated so many days ago.
fn deprecated(mut release: SeenRelease, days: i64) -> SeenRelease {
    for place in release.places.values_mut() {
        if let SeenPlace::Held {
            image: Some(image), ..
        } = place
        {
            image.deprecation = Some(ago(days));
        }
    }
    release.retired = Some(Retirement {
        deprecated: Some(ago(days)),
        ..Retirement::default()
    });
    release
}

/// The same, with other uses in the first Region.
fn with_uses(mut release: SeenRelease, answer: Uses) -> SeenRelease {
    if let Some(SeenPlace::Held { uses, .. }) = release.places.get_mut(&region(REGIONS[0])) {
        *uses = answer;
    }
    release
}

fn used() -> Uses {
    Uses::Seen(vec![Use::Other(Usage {
        account: "222222222222".parse().expect("an account"),
        kind: UseKind::from("ec2:Instance"),
        count: 2,
    })])
}

/// A channel that releases came into, each so many days ago.
fn channel(name: &str, entries: &[(&ReleaseId, i64)]) -> Channel {
    let mut channel = Channel::empty(name);
    for (release, days) in entries {
        let entry = Entry {
            at: ago(*days),
            by: "me".to_owned(),
            reason: None,
            approved_by: None,
            in_place_of: None,
        };
        channel = channel.with(release, entry).expect("another one").0;
    }
    channel
}

fn seen(releases: Vec<SeenRelease>, channels: Vec<(Channel, Keep)>) -> Seen {
    Seen {
        releases,
        channels,
        customers: Vec::new(),
    }
}

fn planned(seen: &Seen, despite_unseen: bool) -> Plan {
    let terms = Terms {
        settings: &SETTINGS,
        despite_unseen,
    };
    plan(seen, terms, NOW)
}

fn of<'p>(plan: &'p Plan, release: &ReleaseId) -> &'p Planned {
    let mut all = plan.releases.iter();
    all.find(|one| one.release == *release).expect("planned")
}

/// What is done in both Regions, in one word.
fn word(planned: &Planned) -> &'static str {
    let words: BTreeSet<&str> = planned
        .steps
        .values()
        .map(|step| match step {
            Step::Deprecate { .. } => "deprecate",
            Step::Deregister { .. } => "deregister",
            Step::DeleteSnapshots { .. } => "snapshots",
            Step::Wait { .. } => "wait",
            Step::Restore { .. } => "restore",
        })
        .collect();
    assert!(words.len() <= 1, "{planned:#?}");
    words.into_iter().next().unwrap_or("nothing")
}

fn customer(grace_days: u32, more: &str) -> Customer {
    let text = format!(
        "[customers.acme]\naccounts = [\"222222222222\"]\nchannels = [\"stable\"]\n\
         grace_days = {grace_days}\n{more}\n"
    );
    let known = Known {
        channels: &["stable".to_owned()],
        regions: &REGIONS.iter().map(|name| region(name)).collect(),
    };
    let parsed = customers::parse("customers.toml", &text, &known);
    parsed.expect("a customer").remove(0)
}

/// One release of 100 days ago, and the newest: what keeps the old one.
#[test]
fn why_releases_stay() {
    let keep = |releases, days| Keep { releases, days };
    let (old, middle, new) = (id("1.22", 100), id("1.22", 50), id("1.22", 1));
    type Case<'c> = (
        &'c str,
        &'c [(&'c ReleaseId, i64)],
        Keep,
        Option<Customer>,
        &'c [&'c str],
    );
    let cases: &[Case<'_>] = &[
        ("never promoted", &[], keep(0, 0), None, &[]),
        ("in it", &[(&old, 99)], keep(0, 0), None, &["in stable"]),
        ("left", &[(&old, 99), (&new, 40)], keep(0, 30), None, &[]),
        (
            "left lately",
            &[(&old, 99), (&new, 20)],
            keep(0, 30),
            None,
            &["left stable, kept until 2026-07-10"],
        ),
        (
            "one of the last",
            &[(&old, 99), (&middle, 45), (&new, 40)],
            keep(3, 0),
            None,
            &["one of the last 3 of stable"],
        ),
        (
            "too many since",
            &[(&old, 99), (&middle, 45), (&new, 40)],
            keep(2, 0),
            None,
            &[],
        ),
        (
            "twice in it, counted once",
            &[
                (&old, 99),
                (&middle, 45),
                (&new, 40),
                (&middle, 39),
                (&new, 38),
            ],
            keep(3, 0),
            None,
            &["one of the last 3 of stable"],
        ),
        (
            "grace",
            &[(&old, 99), (&new, 40)],
            keep(0, 30),
            Some(customer(60, "")),
            &["acme may keep it until 2026-07-20"],
        ),
        (
            "grace is over",
            &[(&old, 99), (&new, 40)],
            keep(0, 0),
            Some(customer(39, "")),
            &[],
        ),
        (
            "another profile's customer",
            &[(&old, 99), (&new, 40)],
            keep(0, 0),
            Some(customer(60, "profiles = [\"base\"]")),
            &[],
        ),
        (
            "a customer that was",
            &[(&old, 99), (&new, 40)],
            keep(0, 0),
            Some(customer(60, "end = 2026-01-01")),
            &[],
        ),
    ];
    for (name, entries, keep, customer, expected) in cases {
        let releases = vec![
            release("1.22", 100),
            release("1.22", 50),
            release("1.22", 1),
        ];
        let mut seen = seen(releases, vec![(channel("stable", entries), *keep)]);
        seen.customers.extend(customer.clone());
        let plan = planned(&seen, false);
        let planned = of(&plan, &old);
        let said: Vec<String> = planned.kept.iter().map(ToString::to_string).collect();
        assert_eq!(said, *expected, "{name}");
        let step = if expected.is_empty() {
            "deprecate"
        } else {
            "nothing"
        };
        assert_eq!(word(planned), step, "{name}");
    }
}

#[test]
fn the_newest_stays_and_versions_for_a_while() {
    let keep = Keep {
        releases: 0,
        days: 0,
    };
    let releases = || {
        vec![
            release("1.21", 300),
            release("1.21", 290),
            release("1.22", 100),
            release("1.22", 60),
            release("1.23", 50),
        ]
    };
    let said = |entries: &[(&ReleaseId, i64)]| -> Vec<String> {
        let channels = vec![(channel("stable", entries), keep)];
        let plan = planned(&seen(releases(), channels), false);
        let texts = plan.releases.iter().map(|one| {
            let whys: Vec<String> = one.kept.iter().map(ToString::to_string).collect();
            whys.join("; ")
        });
        texts.collect()
    };
    // In the order of their ids: 1.21 before 1.22.
    let version = "the newest of its version, kept until 2026-10-28";
    assert_eq!(said(&[]), ["", "", "", version, "the newest"]);
    // A channel had 1.21 lately.
    let lately = [(&id("1.21", 290), 280), (&id("1.23", 50), 40)];
    let version_21 = "the newest of its version, kept until 2026-11-17";
    let expected = ["", version_21, "", version, "the newest"];
    let told = said(&lately);
    assert_eq!(told[..4], expected[..4]);
    assert_eq!(told[4], "in stable; the newest");
}

#[test]
fn what_was_in_no_channel_stays_while_it_is_young() {
    let releases = vec![release("1.22", 29), release("1.22", 31), release("1.22", 1)];
    let plan = planned(&seen(releases, Vec::new()), false);
    let kept = &of(&plan, &id("1.22", 29)).kept;
    assert!(matches!(kept[..], [Why::Unpromoted { .. }]), "{kept:?}");
    assert_eq!(word(of(&plan, &id("1.22", 31))), "deprecate");
}

/// A release that is to go, step by step.
#[test]
fn what_is_to_go_goes_step_by_step() {
    let old = || release("1.22", 100);
    let unseen = || Uses::Unseen("you may not ask".to_owned());
    let gone = |snapshots: &[&str]| {
        let mut release = deprecated(old(), 40);
        for place in release.places.values_mut() {
            let snapshots = snapshots.iter().map(|id| id.parse().expect("an id"));
            *place = SeenPlace::Held {
                image: None,
                snapshots: snapshots.collect(),
                uses: Uses::NotAsked,
            };
        }
        release
    };
    let (to_hide, to_forget) = (Some(Mark::Deprecated), Some(Mark::Deregistered));
    for (name, release, despite, step, mark) in [
        ("new", old(), false, "deprecate", to_hide),
        ("waits", deprecated(old(), 29), false, "wait", None),
        (
            "is due",
            deprecated(old(), 30),
            false,
            "deregister",
            to_forget,
        ),
        (
            "is due and used",
            with_uses(deprecated(old(), 30), used()),
            false,
            "nothing",
            None,
        ),
        ("used", with_uses(old(), used()), true, "nothing", None),
        (
            "unseen",
            with_uses(old(), unseen()),
            false,
            "deprecate",
            to_hide,
        ),
        (
            "due and unseen",
            with_uses(deprecated(old(), 30), unseen()),
            true,
            "deregister",
            to_forget,
        ),
        (
            "leaves snapshots",
            gone(&["snap-00000001"]),
            false,
            "snapshots",
            to_forget,
        ),
        ("gone", gone(&[]), false, "nothing", to_forget),
    ] {
        let seen = seen(vec![release, self::release("1.22", 1)], Vec::new());
        let plan = planned(&seen, despite);
        let planned = of(&plan, &id("1.22", 100));
        assert_eq!((word(planned), planned.mark), (step, mark), "{name}");
    }
    // Nothing is deregistered anywhere, if one Region cannot be seen.
    let due = with_uses(deprecated(old(), 30), unseen());
    let mut unread = deprecated(old(), 30);
    let why = "it does not answer".to_owned();
    unread
        .places
        .insert(region(REGIONS[0]), SeenPlace::Unread(why));
    for release in [due, unread] {
        let seen = seen(vec![release, self::release("1.22", 1)], Vec::new());
        let plan = planned(&seen, false);
        let planned = of(&plan, &id("1.22", 100));
        assert_eq!(
            (planned.steps.len(), planned.unseen.len()),
            (0, 1),
            "{planned:#?}"
        );
        assert_eq!(planned.mark, None);
    }
    // What has its mark is done.
    let mut done = gone(&[]);
    done.retired = Some(Retirement {
        deprecated: Some(ago(40)),
        deregistering: Some(ago(1)),
        deregistered: Some(ago(1)),
    });
    let plan = planned(&seen(vec![done, release("1.22", 1)], Vec::new()), false);
    assert!(!plan.has_work(), "{plan:#?}");
}

/// Another publisher's snapshots, and those that a release was made from, stay.
#[test]
fn snapshots_of_others_stay() {
    let mut due = deprecated(release("1.22", 100), 30);
    for place in due.places.values_mut() {
        if let SeenPlace::Held {
            image: Some(image), ..
        } = place
        {
            image.owns_snapshots = false;
        }
    }
    let plan = planned(&seen(vec![due, release("1.22", 1)], Vec::new()), false);
    let steps = &of(&plan, &id("1.22", 100)).steps;
    let keeps = |step: &Step| {
        matches!(
            step,
            Step::Deregister {
                with_snapshots: false,
                ..
            }
        )
    };
    assert!(steps.len() == 2 && steps.values().all(keeps), "{steps:?}");
}

/// What came back into a channel after it was deprecated is shown to everybody again, if `prune`
/// deprecated it.
#[test]
fn what_comes_back_is_shown_again() {
    let keep = Keep::default();
    let old = id("1.22", 100);
    for (by_us, expected) in [(true, "restore"), (false, "nothing")] {
        let mut release = deprecated(release("1.22", 100), 5);
        if !by_us {
            release.retired = None;
        }
        let channels = vec![(channel("stable", &[(&old, 1)]), keep)];
        let plan = planned(
            &seen(vec![release, self::release("1.22", 1)], channels),
            false,
        );
        let planned = of(&plan, &old);
        assert_eq!(word(planned), expected);
        assert_eq!(planned.mark, by_us.then_some(Mark::Restored));
    }
}

/// Who uses an AMI is asked of those that are to go, and of no others.
#[test]
fn questions_are_asked_of_what_is_to_go() {
    let releases = vec![
        with_uses(release("1.22", 100), Uses::NotAsked),
        deprecated(release("1.22", 90), 29),
        deprecated(release("1.22", 80), 31),
        release("1.22", 1),
    ];
    let plan = planned(&seen(releases, Vec::new()), false);
    let asked: BTreeSet<&ReleaseId> = plan.questions().map(|(release, ..)| release).collect();
    assert_eq!(asked, [&id("1.22", 100), &id("1.22", 80)].into());
}

/// Histories of half a year: what is needed is in no removing action, each need looked up here once
/// more, in other words.
#[test]
fn nothing_needed_is_removed() {
    let (mut removed, mut kept) = (0, 0);
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (seen, settings) = history(&mut random);
        let terms = Terms {
            settings: &settings,
            despite_unseen: false,
        };
        let plan = plan(&seen, terms, NOW);
        for planned in &plan.releases {
            let is_retired = planned
                .steps
                .values()
                .any(|step| step.removes() || matches!(step, Step::Deprecate { .. }));
            if !is_retired {
                kept += 1;
                continue;
            }
            removed += 1;
            let mut all = seen.releases.iter();
            let release = all.find(|one| one.id == planned.release).expect("seen");
            let need = need(&seen, release);
            assert_eq!(need, None, "seed {seed}: {planned:#?}");
            let is_unseen = release.places.values().any(|place| {
                matches!(
                    place,
                    SeenPlace::Unread(_)
                        | SeenPlace::Held {
                            uses: Uses::Unseen(_),
                            ..
                        }
                )
            });
            let removes = planned.steps.values().any(Step::removes);
            assert!(!(is_unseen && removes), "seed {seed}: {planned:#?}");
        }
    }
    assert!(removed > 500 && kept > 500, "{removed} {kept}");
}

/// Why a release is needed, if it is.
fn need(seen: &Seen, release: &SeenRelease) -> Option<&'static str> {
    for (channel, keep) in &seen.channels {
        let stays = channel
            .stays
            .iter()
            .filter(|stay| stay.release == release.id);
        let grace = seen
            .customers
            .iter()
            .filter(|customer| customer.channels.contains(&channel.channel));
        let grace = grace.map(|customer| customer.grace_days).max().unwrap_or(0);
        let days = Duration::days(keep.days.max(grace).into());
        for stay in stays {
            match stay.until {
                None => return Some("in a channel"),
                Some(until) if NOW < until + days => return Some("left lately"),
                Some(_) => {}
            }
        }
        // All others that were in it later than this one ever was.
        let last = |id: &ReleaseId| {
            let mut stays = channel.stays.iter();
            stays.rposition(|stay| stay.release == *id)
        };
        let kin = channel.stays.iter().filter(|stay| {
            let (line, other) = (&stay.release.line, &release.id.line);
            (&line.profile, line.arch) == (&other.profile, other.arch)
        });
        let later: BTreeSet<&ReleaseId> = kin
            .map(|stay| &stay.release)
            .filter(|other| last(other) > last(&release.id))
            .collect();
        if last(&release.id).is_some() && later.len() < keep.releases as usize {
            return Some("one of the last");
        }
    }
    let is_newer = |other: &SeenRelease| other.created > release.created;
    if !seen.releases.iter().any(is_newer) {
        return Some("the newest");
    }
    let is_used = |place: &SeenPlace| matches!(place, SeenPlace::Held { uses: Uses::Seen(uses), .. } if !uses.is_empty());
    release.places.values().any(is_used).then_some("used")
}

fn history(random: &mut fastrand::Rng) -> (Seen, PruneSettings) {
    let settings = PruneSettings {
        deregister_after_days: random.u32(0..40),
        unpromoted_days: random.u32(0..40),
        version_days: random.u32(0..100),
        report_minutes: 1,
    };
    // One a day at most, the oldest first.
    let mut releases = Vec::new();
    for days in (0..random.i64(5..180)).rev().step_by(random.usize(1..20)) {
        let version = ["1.21", "1.22"][random.usize(0..2)];
        let mut one = release(version, days);
        if random.bool() {
            one = deprecated(one, random.i64(0..=days));
        }
        one = match random.u32(0..6) {
            0 => with_uses(one, used()),
            1 => with_uses(one, Uses::Unseen("why".to_owned())),
            2 => {
                let unread = SeenPlace::Unread("why".to_owned());
                one.places.insert(region(REGIONS[1]), unread);
                one
            }
            _ => one,
        };
        releases.push(one);
    }
    let channels = ["nightly", "stable"].map(|name| {
        let mut moves: BTreeMap<i64, ReleaseId> = BTreeMap::new();
        for one in &releases {
            let days = (NOW - one.created).whole_days();
            if random.bool() {
                moves.insert(random.i64(-days..=0), one.id.clone());
            }
        }
        let mut all = Channel::empty(name);
        for (days, release) in moves {
            let entry = Entry {
                at: ago(-days),
                by: "me".to_owned(),
                reason: None,
                approved_by: None,
                in_place_of: None,
            };
            all = all.with(&release, entry).map_or(all, |(next, _)| next);
        }
        let keep = Keep {
            releases: random.u32(0..4),
            days: random.u32(0..40),
        };
        (all, keep)
    });
    let seen = Seen {
        releases,
        channels: channels.into(),
        customers: vec![customer(random.u32(0..60), "")],
    };
    (seen, settings)
}
