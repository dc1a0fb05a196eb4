//! How long sharing with a thousand accounts takes, and how many calls: `cargo bench --bench share`.
//!
//! Prints tables and asserts no times: the machines that this runs on are shared. The program runs
//! as its users run it, against a sandbox in this process in which every call takes 100 ms; client
//! and server share the processors.
//!
//! No other tool does this. Beside each number of calls is the least that there can be, by the
//! numbers of Regions, AMIs and changes alone; and beside the times what a loop of
//! `modify-image-attribute` would take, with one call for each account and Region: a hundred of them
//! are measured, the rest is extrapolated.

#![allow(
    dead_code,
    reason = "the client, the places and the house are those of the tests"
)]

#[path = "../it/sandbox/client.rs"]
mod client;
#[path = "share/customers.rs"]
mod customers;
#[path = "../it/publish/house.rs"]
mod house;
#[path = "share/least.rs"]
mod least;
#[path = "../it/sandbox/place.rs"]
mod place;
mod seventeen;
#[path = "../it/support.rs"]
mod support;
#[path = "share/table.rs"]
mod table;
#[path = "../it/sandbox/things.rs"]
mod things;
#[path = "../it/sandbox/tree.rs"]
mod tree;

/// Where the tests' modules look for each other.
mod sandbox {
    pub(crate) use crate::{client, place, things};
}

use std::fs;
use std::time::{Duration, Instant};

use client::Expect as _;
use customers::Customer;
use house::{BUCKET, House};
use place::{HOME, Place};
use serde_json::{Value, json};
use seventeen::REGIONS;
use table::{Calls, Step};

/// Milliseconds that every call takes.
const LATENCY: u64 = 100;
/// So many calls of the loop are measured.
const SAMPLE: usize = 100;

fn main() {
    let (before, others) = (customers::first(), customers::all_accounts());
    let after = customers::later(&before);
    let mut tables = Vec::new();
    let mut looped = Duration::ZERO;
    for (rates, is_limited) in [("none", false), ("AWS's", true)] {
        let place = Place::with(|config| config.accounts.extend(others.iter().cloned()));
        if !is_limited {
            place.limit("rates", json!("unlimited"));
        }
        let bench = Bench::new(place);
        let steps = bench.run(&before, &after);
        if !is_limited {
            looped = bench.loop_of_single_calls(&before[0]);
        }
        tables.push((rates, steps));
    }
    println!("{}\n", customers::heading(&before, LATENCY));
    println!("{}", table::steps(&tables));
    println!("{}", table::operations(&tables[0].1));
    let pairs: usize = before.iter().map(Customer::pairs).sum();
    let all = looped.mul_f64(pairs as f64 / SAMPLE as f64);
    println!(
        "one ModifyImageAttribute for each account and Region, one after the other: {SAMPLE} took \
         {:.1} s, so {pairs} would take {:.1} min (extrapolated; without keys, snapshots and reading)",
        looped.as_secs_f64(),
        all.as_secs_f64() / 60.0
    );
}

/// A publisher with a release in all Regions.
struct Bench {
    house: House,
    /// The release's AMI at home.
    ami: String,
}

impl Bench {
    fn new(place: Place) -> Bench {
        let mut house = House::in_place(place);
        for region in REGIONS {
            let key = || things::key(&house.place.publisher().in_region(region));
            let key = house.keys.get(region).cloned().unwrap_or_else(key);
            house.keys.insert(region, key);
        }
        house.configure(&configuration(&house));
        let blocks = [(0, things::block(1))];
        let snapshot = things::snapshot(&house.client(HOME), &blocks, Some(&house.keys[HOME]));
        let source = [snapshot.as_str(), "--profile", "base", "--arch", "x86_64"];
        let args = [&["publish", "--output", "json"], &source[..]].concat();
        let published: Value = serde_json::from_str(&house.run(&args).done()).expect("JSON");
        let release = published["release"].as_str().expect("a release");
        house.run(&["promote", release, "--to", "stable"]).done();
        let delay = json!({"action": {"delay": {"ms": LATENCY}}});
        house.place.fault(delay);
        let ami = &published["regions"][HOME]["ami"];
        let ami = ami.as_str().expect("an AMI").to_owned();
        Bench { house, ami }
    }

    /// From nobody to the first customers, and to the later ones.
    fn run(&self, first: &[Customer], later: &[Customer]) -> Vec<Step> {
        let folder = self.house.folder();
        fs::write(folder.join("customers.toml"), customers::file(first)).expect("written");
        let (plan, apply) = (["share", "plan"], ["share", "apply", "--yes"]);
        let mut steps = vec![
            self.step("plan, nothing is shared yet", &plan, 3, least::plan(&[])),
            self.step("apply: all customers", &apply, 0, least::apply(&[], first)),
            self.step("plan, nothing to do", &plan, 0, least::plan(first)),
        ];
        fs::write(folder.join("customers.toml"), customers::file(later)).expect("written");
        steps.extend([
            self.step("plan, one comes and one goes", &plan, 3, least::plan(first)),
            self.step("apply: it", &apply, 0, least::apply(first, later)),
            self.step("plan, nothing to do", &plan, 0, least::plan(later)),
        ]);
        steps
    }

    /// Runs the program, which must end so, and counts its calls.
    fn step(&self, what: &'static str, args: &[&str], status: i32, least: Calls) -> Step {
        self.house.place.control("DELETE", "calls", Value::Null);
        let begun = Instant::now();
        let ended = self.house.run(args);
        let wall = begun.elapsed();
        assert_eq!(
            ended.status, status,
            "{what}: {}{}",
            ended.stdout, ended.stderr
        );
        Step::new(what, wall, &self.house.calls(""), least)
    }

    /// A customer's accounts are given launch permission as a loop over them does it: the time of
    /// [`SAMPLE`] calls.
    fn loop_of_single_calls(&self, customer: &Customer) -> Duration {
        let home = self.house.client(HOME);
        let begun = Instant::now();
        for account in customer.accounts.iter().cycle().take(SAMPLE) {
            let change = [
                ("ImageId", self.ami.as_str()),
                ("LaunchPermission.Add.1.UserId", account.as_str()),
            ];
            home.ec2("ModifyImageAttribute", &change).done("a change");
        }
        begun.elapsed()
    }
}

fn configuration(house: &House) -> String {
    let keys = house.keys.iter();
    let keys: String = keys
        .map(|(region, key)| format!("{region} = \"{key}\"\n"))
        .collect();
    format!(
        "[publish]\npublisher = \"bench\"\nhome = \"{HOME}\"\nbucket = \"{BUCKET}\"\n\
         regions = [\"{}\"]\nvolume_gib = 1\n[publish.keys]\n{keys}",
        REGIONS.join("\", \"")
    )
}
