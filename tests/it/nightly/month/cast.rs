//! Who is there in the month: customers of each channel, somebody who is none, and what they use.

use std::fs;

use time::{Date, Duration};

use crate::publish::house::House;
use crate::sandbox::client::{Client, Expect as _};
use crate::sandbox::place::CUSTOMER;
use crate::share::street::{PLACES, organization};

/// A customer, as the test knows it.
pub struct Customer {
    pub name: &'static str,
    pub client: Client,
    pub channels: &'static [&'static str],
    pub regions: &'static [&'static str],
    pub grace_days: u32,
    /// The first day on which it is served, and the last one. [`NEVER`] until it joins.
    pub first: u32,
    pub last: u32,
    /// How `customers.toml` names it.
    who: String,
}

/// The month has no such day.
pub const NEVER: u32 = 99;

impl Customer {
    pub fn is_served_on(&self, day: u32) -> bool {
        (self.first..=self.last).contains(&day)
    }
}

/// Accounts besides the publisher's and the first customer's.
const ACCOUNTS: [(&str, &str); 4] = [
    ("globex", "333333333333"),
    ("initech", "444444444444"),
    ("umbrella", "555555555555"),
    ("stranger", "666666666666"),
];

/// Whoever gets nothing.
pub fn stranger(house: &House) -> Client {
    house.place.client("stranger")
}

/// Who gets what; `initech` joins later, and `umbrella` has a last day.
pub fn customers(house: &House, ends: u32) -> Vec<Customer> {
    for (name, id) in ACCOUNTS {
        let account = serde_json::json!({ "name": name, "id": id });
        house.place.control("POST", "accounts", account);
    }
    let globex = house.place.client("globex");
    let organization = organization(&globex);
    let customer = |name, client, channels, grace_days, who: String| Customer {
        name,
        client,
        channels,
        regions: &PLACES,
        grace_days,
        first: 1,
        last: NEVER,
        who,
    };
    let account = |id: &str| format!("accounts = [\"{id}\"]");
    let client = |name: &str| house.place.client(name);
    vec![
        customer(
            "acme",
            house.place.customer(),
            &["nightly"],
            1,
            account(CUSTOMER),
        ),
        Customer {
            regions: &PLACES[1..],
            ..customer(
                "globex",
                globex,
                &["stable"],
                3,
                format!("organizations = [\"{organization}\"]"),
            )
        },
        Customer {
            first: NEVER,
            ..customer(
                "initech",
                client("initech"),
                &["candidate", "stable"],
                20,
                account(ACCOUNTS[1].1),
            )
        },
        Customer {
            last: ends,
            ..customer(
                "umbrella",
                client("umbrella"),
                &["nightly", "stable"],
                3,
                account(ACCOUNTS[2].1),
            )
        },
    ]
}

/// Writes the file of those customers who are there from the first day, which has this date.
pub fn write_file(house: &House, cast: &[Customer], first_day: Date) {
    let mut text = String::new();
    for customer in cast.iter().filter(|customer| customer.first == 1) {
        let Customer {
            name,
            channels,
            regions,
            grace_days,
            last,
            who,
            ..
        } = customer;
        text += &format!(
            "[customers.{name}]\n{who}\nchannels = {channels:?}\nregions = {regions:?}\n\
             grace_days = {grace_days}\n"
        );
        if *last != NEVER {
            let end = first_day + Duration::days(i64::from(last - 1));
            text += &format!("end = {end}\n");
        }
        text += "\n";
    }
    fs::write(house.folder().join("customers.toml"), text).expect("written");
}

/// The arguments of `share add` for a customer that comes later.
pub fn joins(customer: &Customer) -> Vec<String> {
    let id = customer.who.split('"').nth(1).expect("an account");
    let grace = customer.grace_days.to_string();
    let channels = customer.channels.join(",");
    let words = [
        "share",
        "add",
        customer.name,
        "--account",
        id,
        "--channel",
        &channels,
        "--grace-days",
        &grace,
    ];
    words.map(str::to_owned).into()
}

/// An instance or a launch template that somebody has of an AMI.
pub struct Use {
    pub release: String,
    pub region: &'static str,
    user: Client,
    what: What,
}

enum What {
    Instance(String),
    Template,
}

impl Use {
    /// Launches an instance, which runs until [`Use::end`].
    pub fn instance(user: &Client, region: &'static str, release: &str, ami: &str) -> Use {
        let user = user.in_region(region);
        let params = [
            ("ImageId", ami),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("InstanceType", "t3.micro"),
        ];
        let launched = user.ec2("RunInstances", &params).done("an instance");
        let id = launched.text("instancesSet/item[0]/instanceId").to_owned();
        Use {
            release: release.to_owned(),
            region,
            user,
            what: What::Instance(id),
        }
    }

    /// Writes an AMI into a launch template.
    pub fn template(user: &Client, region: &'static str, release: &str, ami: &str) -> Use {
        let user = user.in_region(region);
        let params = [
            ("LaunchTemplateName", "nodes"),
            ("LaunchTemplateData.ImageId", ami),
        ];
        let made = user.ec2("CreateLaunchTemplate", &params);
        made.done("a template");
        Use {
            release: release.to_owned(),
            region,
            user,
            what: What::Template,
        }
    }

    /// It is used no more.
    pub fn end(self) {
        let ended = match &self.what {
            What::Instance(id) => self.user.ec2("TerminateInstances", &[("InstanceId.1", id)]),
            What::Template => {
                let params = [("LaunchTemplateName", "nodes")];
                self.user.ec2("DeleteLaunchTemplate", &params)
            }
        };
        ended.done("its end");
    }
}
