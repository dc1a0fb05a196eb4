//! What is done in the month, each step followed by a look at everything.

use serde_json::{Value, json};

use super::cast::{self, Use};
use super::{Month, QUIET};
use crate::nightly::town::Night;
use crate::prune::cellar::DAY;
use crate::sandbox::client::Client;
use crate::sandbox::place::HOME;

impl Month {
    /// The next night.
    #[track_caller]
    pub fn night(&mut self) {
        self.diary.day += 1;
        let day = self.diary.day;
        if day > 1 {
            // And some minutes, for deprecations, which begin some minutes after they are asked for.
            self.town.yard.house.place.advance(DAY + 5 * 60);
        }
        let is_quiet = QUIET.contains(&day);
        if !is_quiet {
            self.town.agent(day);
        }
        let night = self.town.node_night();
        let Night { status, said, .. } = &night;
        assert_eq!(*status, if is_quiet { 4 } else { 0 }, "day {day}: {said}");
        for step in ["share", "prune"] {
            assert_ne!(
                night.step(0, step)["outcome"],
                "failed",
                "day {day}: {said}"
            );
        }
        if !is_quiet {
            let release = night.report["images"][0]["release"].as_str();
            let release = release.expect("a release").to_owned();
            self.diary.enter("nightly", &release);
            self.released.push(release);
        }
        self.check("the night");
    }

    /// The program, as the publisher; it must succeed.
    #[track_caller]
    pub fn run(&mut self, args: &[&str]) -> String {
        let ended = self.town.yard.house.run(args);
        let (day, told) = (self.diary.day, args.join(" "));
        assert_eq!(ended.status, 0, "day {day}: {told}: {}", ended.stderr);
        ended.stdout
    }

    #[track_caller]
    pub fn promote(&mut self, channel: &'static str, release: &str) {
        self.run(&["promote", release, "--to", channel]);
        self.diary.enter(channel, release);
        self.check(&format!("promote {release} to {channel}"));
    }

    /// What is in a channel comes into the next one.
    #[track_caller]
    pub fn promote_from(&mut self, from: &str, channel: &'static str) {
        let release = self.current(from);
        self.promote(channel, &release);
    }

    pub fn current(&self, channel: &str) -> String {
        let current = self.diary.current(channel);
        current.expect("something is in the channel").to_owned()
    }

    #[track_caller]
    pub fn roll_back(&mut self, channel: &'static str) {
        let from = self.current(channel);
        let before = self.diary.before(channel, &from).expect("something");
        let told = self.run(&["rollback", channel, "--output", "json"]);
        let told: Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!((&told["from"], &told["to"]), (&json!(from), &json!(before)));
        self.diary.enter(channel, &before);
        self.check(&format!("rollback {channel}"));
    }

    /// What is in `stable` and `candidate` is bad. Who is named runs it there.
    #[track_caller]
    pub fn withdraw(&mut self, ran: &[(&'static str, &'static str)]) -> String {
        let bad = self.current("stable");
        assert_eq!(self.current("candidate"), bad);
        let reason = ["--withdraw", "--reason", "it loses packets"];
        self.run(&[&["rollback", "stable"], &reason[..]].concat());
        self.town.yard.house.place.advance(5 * 60);
        self.diary.withdraw(&bad, ran);
        for channel in ["stable", "candidate"] {
            let before = self.diary.before(channel, &bad).expect("something");
            self.diary.enter(channel, &before);
        }
        self.check("rollback stable --withdraw");
        bad
    }

    #[track_caller]
    pub fn prune(&mut self) {
        self.run(&["prune", "--yes"]);
        self.check("prune --yes");
    }

    /// The AMI of a release.
    pub fn ami(&self, region: &str, release: &str) -> String {
        let held = &self.holding("an AMI")[region];
        let mut held = held.iter();
        let held = held.find(|held| held.release == release);
        held.expect("it is there").ami.clone()
    }

    pub fn customer(&self, name: &str) -> Client {
        let mut cast = self.cast.iter();
        let found = cast.find(|customer| customer.name == name);
        found.expect("a customer").client.clone()
    }

    /// Somebody launches what is in a channel.
    pub fn launch(&mut self, user: &Client, region: &'static str, channel: &str) {
        let release = self.current(channel);
        let ami = self.ami(region, &release);
        self.uses.push(Use::instance(user, region, &release, &ami));
    }

    /// Somebody writes what is in a channel into a launch template.
    pub fn template(&mut self, user: &Client, region: &'static str, channel: &str) {
        let release = self.current(channel);
        let ami = self.ami(region, &release);
        self.uses.push(Use::template(user, region, &release, &ami));
    }

    /// A customer joins, by the file of customers.
    pub fn join(&mut self, name: &str) {
        let mut cast = self.cast.iter_mut();
        let joining = cast.find(|customer| customer.name == name);
        let joining = joining.expect("a customer");
        joining.first = self.diary.day;
        let args = cast::joins(joining);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.run(&args);
        self.run(&["share", "apply", "--yes"]);
        self.check(&format!("{name} joins"));
    }

    /// A release that was left to be retired comes into a channel after all.
    #[track_caller]
    pub fn restore(&mut self, channel: &'static str) {
        let holding = self.holding("a release to restore");
        let mut held = holding[HOME].iter();
        let held = held.find(|held| held.is_deprecated && !self.diary.is_withdrawn(&held.release));
        let release = held.expect("something is deprecated").release.clone();
        self.promote(channel, &release);
    }

    /// What is used the longest is used no more.
    pub fn end_use(&mut self) {
        let used = self.uses.remove(0);
        self.ended.push(used.release.clone());
        used.end();
    }
}
