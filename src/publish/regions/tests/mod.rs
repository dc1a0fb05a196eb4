//! Releases on their way into Regions of a sandbox.

mod faults;
mod kills;
mod plans;
mod sources;
mod ways;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::Notify;

use super::*;
use crate::arch::Firmware;
use crate::aws::settings::AwsSettings;
use crate::aws::tags;
use crate::aws::testing::{Cloud, HOME, region};

/// Where the tests copy to.
const AWAY: [&str; 3] = ["eu-west-1", "eu-central-1", "ap-southeast-2"];

/// A record in memory; it may die at one of its calls.
#[derive(Default)]
struct Kept {
    places: Mutex<BTreeMap<Region, Place>>,
    all: Mutex<Vec<(Region, Place)>>,
    /// At which call, counted from 1, and whether the place is kept before.
    dies: Option<(usize, bool)>,
    died: Notify,
}

#[async_trait]
impl Record for Kept {
    async fn place(&self, region: &Region, place: &Place) -> Result<(), NotRecorded> {
        let count = {
            let mut all = self.all.lock().expect("a lock");
            all.push((region.clone(), place.clone()));
            all.len()
        };
        let dies = self.dies.filter(|(at, _)| count >= *at);
        if dies.is_none_or(|(at, kept)| kept && count == at) {
            let mut places = self.places.lock().expect("a lock");
            places.insert(region.clone(), place.clone());
        }
        if dies.is_some() {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// A sandbox with a snapshot in the home Region and keys in all.
struct World {
    cloud: Cloud,
    aws: Aws,
    keys: BTreeMap<Region, KeyArn>,
    release: ReleaseId,
    snapshot: SnapshotId,
}

impl World {
    async fn new() -> World {
        let cloud = Cloud::start().await;
        let aws = cloud
            .aws_with(AwsSettings {
                attempt_seconds: 10,
                total_seconds: 60,
                wait_minutes: 1,
                ..AwsSettings::default()
            })
            .await;
        let mut keys = BTreeMap::new();
        for name in AWAY.iter().chain([&HOME]) {
            let ec2 = aws.ec2(&region(name));
            keys.insert(region(name), ec2.test_key().await);
        }
        World::of(cloud, aws, keys, 1).await
    }

    /// The same sandbox with another release.
    async fn next(self) -> World {
        World::of(self.cloud, self.aws, self.keys, self.release.number + 1).await
    }

    async fn of(cloud: Cloud, aws: Aws, keys: BTreeMap<Region, KeyArn>, number: u32) -> World {
        let release: ReleaseId = format!("base-1-x86_64-20260131.{number}")
            .parse()
            .expect("an id");
        let tags = tags_of(&release, "run-0");
        let home = region(HOME);
        let snapshot = aws
            .ec2(&home)
            .test_snapshot(Some(&keys[&home]), &tags)
            .await;
        World {
            cloud,
            aws,
            keys,
            release,
            snapshot,
        }
    }

    fn wanted(&self, run: &str) -> Wanted {
        Wanted {
            release: self.release.clone(),
            name: format!("tests/base/1/alpine-3.15.11/x86_64/{}", self.release.number),
            description: "an image of tests".to_owned(),
            arch: Arch::X86_64,
            boot: boot([Firmware::Bios, Firmware::Uefi], Arch::X86_64),
            volume_gib: 1,
            tags: tags_of(&self.release, run),
        }
    }

    fn placing(&self, run: &str, record: &Arc<Kept>) -> Placing {
        Placing {
            aws: self.aws.clone(),
            wanted: Arc::new(self.wanted(run)),
            record: record.clone(),
            is_new: false,
            progress: Progress::default(),
        }
    }

    fn target(&self, name: &str, record: &Kept) -> Target {
        let region = region(name);
        let recorded = record.places.lock().expect("a lock").get(&region).cloned();
        Target {
            key: self.keys[&region].clone(),
            region,
            recorded,
        }
    }

    fn origin(&self) -> Origin {
        Origin::Snapshot(self.snapshot.clone())
    }

    /// A run: the home Region, then the others at once.
    async fn run(
        &self,
        run: &str,
        record: &Arc<Kept>,
        away: &[&str],
    ) -> Vec<Result<Place, RegionError>> {
        let placing = self.placing(run, record);
        let home = placing.home(self.target(HOME, record), self.origin()).await;
        let Ok(place) = &home else {
            return vec![home];
        };
        let ami = place.ami.clone().expect("an AMI");
        let targets = away.iter().map(|name| self.target(name, record)).collect();
        let copies = placing.copies(&ami, &region(HOME), targets).await;
        assert_eq!(copies.len(), away.len());
        [home].into_iter().chain(copies.into_values()).collect()
    }

    async fn run_well(&self, run: &str, record: &Arc<Kept>, away: &[&str]) {
        for result in self.run(run, record, away).await {
            result.expect("a place");
        }
    }

    /// In each of the Regions: one AMI and one snapshot of the release, right, tagged and recorded;
    /// and in none of all Regions anything that is not tagged, or a snapshot that no AMI has.
    async fn check(&self, record: &Kept, away: &[&str]) {
        let wanted = self.wanted("");
        for name in AWAY.iter().chain([&HOME]) {
            let (at, ec2) = (region(name), self.aws.ec2(&region(name)));
            let release = self.release.to_string();
            let images = ec2.test_images().await;
            for snapshot in ec2.test_snapshots().await {
                assert!(
                    snapshot.release().is_some(),
                    "untagged in {at}: {snapshot:?}"
                );
                let of = images
                    .iter()
                    .filter(|image| image.root_snapshot() == Some(&snapshot.id));
                assert!(of.count() == 1, "orphan in {at}: {snapshot:?}");
            }
            let of_release = images
                .iter()
                .filter(|image| image.release() == Some(&release));
            let of_release: Vec<_> = of_release.collect();
            if !away.contains(name) && *name != HOME {
                assert!(of_release.is_empty(), "{of_release:?}");
                continue;
            }
            let [image] = of_release[..] else {
                panic!("{} AMIs in {at}", of_release.len());
            };
            let snapshot = image.root_snapshot().expect("a snapshot");
            let snapshot = ec2
                .snapshot(snapshot)
                .await
                .expect("an answer")
                .expect("a snapshot");
            assert_eq!(
                (&image.name, image.state.as_str()),
                (&wanted.name, "available")
            );
            assert_eq!(snapshot.key.as_ref(), Some(&self.keys[&at]));
            for tag in [tags::NAME, tags::RUN, tags::SOURCE, tags::END_OF_LIFE] {
                assert!(
                    image.tags.get(tag).is_some() && snapshot.tags.get(tag).is_some(),
                    "{tag}"
                );
            }
            let place = record.places.lock().expect("a lock").get(&at).cloned();
            let place = place.expect("a record");
            assert_eq!(
                (place.ami, place.snapshot),
                (Some(image.id.clone()), Some(snapshot.id))
            );
            assert_eq!((place.state.as_str(), place.error), ("available", None));
        }
    }

    /// Adds a fault, and gives its number.
    async fn fault(&self, rule: serde_json::Value) -> u64 {
        let added = self.cloud.control("POST", "faults", rule).await;
        added["id"].as_u64().expect("a number")
    }

    /// To how many calls a fault was applied.
    async fn applied(&self, fault: u64) -> u64 {
        let fault = self
            .cloud
            .control("GET", &format!("faults/{fault}"), json!(null))
            .await;
        fault["applied"].as_u64().expect("a count")
    }
}

fn tags_of(release: &ReleaseId, run: &str) -> Tags {
    let end = OffsetDateTime::UNIX_EPOCH;
    Tags::of_release(&release.to_string(), run, "a digest", end)
}
