//! What must hold after every step of the month, read from AWS and the bucket as each of those who are
//! there, and compared with the test's own diary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{CHANNELS, Month};
use crate::publish::house::{BUCKET, House, tag};
use crate::release::object;
use crate::sandbox::client::{Call, Client, Expect as _, Tree};
use crate::sandbox::place::HOME;
use crate::share::street::{PLACES, launches, uses};

/// An AMI of the publisher's.
pub struct Held {
    pub release: String,
    pub ami: String,
    pub is_deprecated: bool,
}

/// The publisher's AMIs, by Region.
pub type Holding = BTreeMap<&'static str, Vec<Held>>;

impl Month {
    /// Everything that must hold.
    #[track_caller]
    pub fn check(&mut self, step: &str) {
        let step = format!("day {}, {step}", self.diary.day);
        let holding = self.holding(&step);
        for place in 0..self.cast.len() {
            for region in PLACES {
                self.check_customer(&step, place, region, &holding[region]);
            }
        }
        for customer in &self.cast {
            let is_served = customer.is_served_on(self.diary.day);
            let reads = reads_catalog(&customer.client);
            assert_eq!(
                reads, is_served,
                "{step}: {} reads the catalog",
                customer.name
            );
        }
        assert!(
            !reads_catalog(&self.stranger),
            "{step}: a stranger reads the catalog"
        );
        for region in PLACES {
            let seen = listed(&self.stranger, region, true);
            assert!(seen.is_empty(), "{step}: a stranger sees {seen:?}");
            for held in &holding[region] {
                let launches = would_launch(&self.stranger, region, &held.ami);
                assert!(!launches, "{step}: a stranger launches {}", held.release);
            }
        }
        for used in &self.uses {
            let mut held = holding[used.region].iter();
            let is_there = held.any(|held| held.release == used.release);
            let (release, region) = (&used.release, used.region);
            assert!(is_there, "{step}: {release} is used in {region} and gone");
        }
        let current = self.check_channels(&step, &holding);
        self.check_page(&step, &current, &holding);
        self.steps += 1;
    }

    /// What the publisher holds. Each AMI is whole, and of a release that the bucket knows as one that
    /// is there; nothing else is left of anything.
    pub fn holding(&self, step: &str) -> Holding {
        let house = &self.town.yard.house;
        let mut holding = Holding::new();
        for region in PLACES {
            let (mut images, mut snapshots) = (house.images(region), house.snapshots(region));
            // What build instances boot is no release.
            let is_base = |image: &Tree| image.text("imageId") == self.town.yard.ami;
            for base in images.extract_if(.., |image| is_base(image)) {
                let id = base.text(SNAPSHOT);
                snapshots.retain(|snapshot| snapshot.text("snapshotId") != id);
            }
            let mut mapped: BTreeSet<String> = BTreeSet::new();
            let held: Vec<Held> = images
                .iter()
                .map(|image| {
                    assert_eq!(image.text("imageState"), "available", "{step}: {image:#?}");
                    let release = tag(image, "alpine-ami:release").expect("a release's");
                    let snapshot = image.text(SNAPSHOT);
                    assert!(
                        mapped.insert(snapshot.to_owned()),
                        "{step}: {snapshot} twice"
                    );
                    Held {
                        release,
                        ami: image.text("imageId").to_owned(),
                        is_deprecated: image.get("deprecationTime").is_some(),
                    }
                })
                .collect();
            for snapshot in &snapshots {
                let id = snapshot.text("snapshotId");
                assert_eq!(snapshot.text("status"), "completed", "{step}: {id}");
                assert!(mapped.remove(id), "{step}: {id} in {region} is left over");
            }
            assert!(
                mapped.is_empty(),
                "{step}: {mapped:?} are gone, and AMIs need them"
            );
            let releases: BTreeSet<&str> = held.iter().map(|held| &*held.release).collect();
            assert_eq!(releases.len(), held.len(), "{step}: two AMIs of a release");
            for release in releases {
                let manifest = self.manifest(release);
                assert_eq!(manifest["state"], "published", "{step}: {release}");
                let ended = &manifest["retired"]["deregistered"];
                assert!(
                    ended.is_null(),
                    "{step}: {release} is there and said to be gone"
                );
            }
            holding.insert(region, held);
        }
        self.town.yard.check_left(holding[HOME].len());
        holding
    }

    /// A release's manifest.
    pub fn manifest(&self, release: &str) -> Value {
        let key = format!("releases/{release}/manifest.json");
        let text = object(&self.town.yard.house, &key);
        let text = text.unwrap_or_else(|| panic!("{release} has no manifest"));
        serde_json::from_str(&text).expect("JSON")
    }

    /// A customer sees and launches what it was promised, and nothing else.
    #[track_caller]
    fn check_customer(&mut self, step: &str, place: usize, region: &'static str, held: &[Held]) {
        let customer = &self.cast[place];
        let step = format!("{step}: {} in {region}", customer.name);
        let promised = self.diary.may_launch(customer, region, true);
        let allowed = self.diary.may_launch(customer, region, false);
        let seen = listed(&customer.client, region, true);
        let shown = listed(&customer.client, region, false);
        let mut has = BTreeSet::new();
        for Held { release, ami, .. } in held {
            let sees = seen.contains(ami);
            assert_eq!(
                would_launch(&customer.client, region, ami),
                sees,
                "{step}: {release}"
            );
            // What was withdrawn is hidden, and launches all the same for who runs it.
            let is_shown = sees && !self.diary.is_withdrawn(release);
            assert_eq!(shown.contains(ami), is_shown, "{step}: {release}");
            if sees {
                has.insert(release.clone());
            }
        }
        assert_eq!(has.len(), seen.len(), "{step}: it sees what is nobody's");
        let lacks: Vec<_> = promised.difference(&has).collect();
        assert!(lacks.is_empty(), "{step}: it lacks {lacks:?}");
        let more: Vec<_> = has.difference(&allowed).collect();
        assert!(more.is_empty(), "{step}: it still has {more:?}");
        let key = &self.town.yard.house.keys[region];
        let has_key = uses(&customer.client, region, key);
        assert_eq!(has_key, !allowed.is_empty(), "{step}: the key");
        // Really, now and then: that takes longer.
        let week = (customer.name, region, self.diary.day / 7);
        let newest = promised.last().filter(|_| !self.launched.contains(&week));
        if let Some(newest) = newest {
            let mut held = held.iter();
            let held = held.find(|held| held.release == *newest);
            let ami = &held.expect("it is there").ami;
            assert!(launches(&customer.client, region, ami), "{step}: {newest}");
            self.launched.insert(week);
        }
    }

    /// The channels hold what the diary says, signed, and AWS has all of it as they say. The AMIs.
    #[track_caller]
    fn check_channels(&self, step: &str, holding: &Holding) -> BTreeSet<String> {
        let house = &self.town.yard.house;
        let mut amis = BTreeSet::new();
        for channel in CHANNELS {
            let step = format!("{step}: {channel}");
            let expected = self.diary.current(channel);
            let Some(text) = object(house, &format!("channels/{channel}.json")) else {
                assert_eq!(expected, None, "{step}");
                continue;
            };
            let document = signed(house, &text);
            let listed = document["releases"].as_array().expect("releases");
            let names = listed.iter().map(|one| one["release"].as_str());
            let names: Vec<_> = names.flatten().collect();
            assert_eq!(names, expected.into_iter().collect::<Vec<_>>(), "{step}");
            for one in listed {
                let release = one["release"].as_str().expect("an id");
                let paper = one["manifest"].as_str().expect("a key");
                let paper = object(house, paper).expect("it is signed");
                let manifest = signed(house, &paper);
                assert_eq!(manifest["release"], release, "{step}");
                assert!(manifest["withdrawn"].is_null(), "{step}: {manifest}");
                let regions = one["regions"].as_object().expect("Regions");
                assert_eq!(regions.len(), PLACES.len(), "{step}: {regions:?}");
                for region in PLACES {
                    let ami = regions[region]["ami"].as_str().expect("an AMI");
                    assert_eq!(manifest["regions"][region]["ami"], ami, "{step}");
                    let mut held = holding[region].iter();
                    let held = held.find(|held| held.ami == ami);
                    let held = held.unwrap_or_else(|| panic!("{step}: {ami} is gone"));
                    assert_eq!(held.release, release, "{step}");
                    assert!(!held.is_deprecated, "{step}: {release} is hidden");
                    amis.insert(ami.to_owned());
                }
            }
        }
        amis
    }

    /// The page shows the AMIs of the channels, and of earlier releases only what AWS still has, as it
    /// has it.
    #[track_caller]
    fn check_page(&self, step: &str, current: &BTreeSet<String>, holding: &Holding) {
        let page = object(&self.town.yard.house, "catalog/index.html");
        let page = page.expect("a page");
        let start = "<script type=\"application/json\" id=\"data\">";
        let data = page.split(start).nth(1).expect("data");
        let data = data.split("</script>").next().expect("an end");
        let data: Value = serde_json::from_str(data).expect("JSON");
        let (mut in_channels, mut all) = (BTreeSet::new(), BTreeSet::new());
        for (release, one) in data["releases"].as_object().expect("releases") {
            for (region, ami) in one["regions"].as_object().expect("Regions") {
                let ami = ami.as_str().expect("an id").to_owned();
                let mut held = holding[region.as_str()].iter();
                let held = held.find(|held| held.ami == ami);
                let held = held.unwrap_or_else(|| panic!("{step}: the page has {ami}, AWS not"));
                assert_eq!(held.release, *release, "{step}");
                let condition = match (self.diary.is_withdrawn(release), held.is_deprecated) {
                    (true, _) => "withdrawn",
                    (false, true) => "deprecated",
                    (false, false) => "good",
                };
                assert_eq!(one["condition"], condition, "{step}: the page of {release}");
                if !one["channel"].is_null() {
                    in_channels.insert(ami.clone());
                }
                all.insert(ami);
            }
        }
        assert_eq!(in_channels, *current, "{step}: the page");
        let starts = page.match_indices("ami-").map(|(at, _)| &page[at..]);
        let ids = starts
            .filter_map(|text| text.get(..21))
            .filter(|id| is_ami(id));
        let shown: BTreeSet<String> = ids.map(str::to_owned).collect();
        assert_eq!(shown, all, "{step}: the page");
    }
}

/// Where an image names its snapshot.
const SNAPSHOT: &str = "blockDeviceMapping/item[0]/ebs/snapshotId";

fn is_ami(text: &str) -> bool {
    text[4..].bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The AMIs that are shared with an account, those too that are hidden or not.
fn listed(client: &Client, region: &str, with_hidden: bool) -> BTreeSet<String> {
    let params = [
        ("ExecutableBy.1", "self"),
        (
            "IncludeDeprecated",
            if with_hidden { "true" } else { "false" },
        ),
    ];
    let answer = client.in_region(region).ec2("DescribeImages", &params);
    let answer = answer.done("images");
    let ids = answer.all("imageId").into_iter();
    ids.map(str::to_owned).collect()
}

/// Whether an account reads what the publisher's bucket says of the first channel.
fn reads_catalog(client: &Client) -> bool {
    let path = format!("/{BUCKET}/channels/{}.json", CHANNELS[0]);
    client.s3(&Call::new("GET", &path)).is_ok()
}

/// Whether an account may launch an AMI.
fn would_launch(client: &Client, region: &str, ami: &str) -> bool {
    let params = [
        ("ImageId", ami),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("InstanceType", "t3.micro"),
        ("DryRun", "true"),
    ];
    let refused = client.in_region(region).ec2("RunInstances", &params);
    match refused.expect_err("nothing is launched").code.as_str() {
        "DryRunOperation" => true,
        "InvalidAMIID.NotFound" => false,
        other => panic!("{ami} in {region}: {other}"),
    }
}

/// What a document says, if the publisher's key signed it as it is.
#[track_caller]
fn signed(house: &House, text: &str) -> Value {
    let envelope: Value = serde_json::from_str(text).expect("an envelope");
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let decoded = |value: &Value| STANDARD.decode(word(value)).expect("base64");
    let (kind, payload) = (
        word(&envelope["payloadType"]),
        decoded(&envelope["payload"]),
    );
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend(&payload);
    let pem = fs::read_to_string(house.folder().join("signing.pem.pub")).expect("a key");
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    let der = STANDARD.decode(lines.collect::<String>()).expect("base64");
    // A SubjectPublicKeyInfo of P-256 ends with the point.
    let point = &der[der.len() - 65..];
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(&message, &decoded(&envelope["signatures"][0]["sig"]))
        .expect("it is signed as it is");
    serde_json::from_slice(&payload).expect("JSON")
}
