//! Pruning under the least policy that `doctor` prints for it.

use serde_json::{Value, json};

use super::cellar::{Cellar, PLACES};
use crate::least::{actions, confine, cut, names, printed, role, said};
use crate::publish::house::{BUCKET, House};
use crate::sandbox::client::{Call, Expect as _};
use crate::sandbox::place::Place;
use crate::sandbox::things;
use crate::support::Ended;

/// Each release is to go as soon as there is another one.
const SETTINGS: &str = "[[channels]]\nname = \"stable\"\nkeep = { releases = 0, days = 0 }\n\
    [prune]\nderegister_after_days = 0\nunpromoted_days = 0\nversion_days = 0\n";
/// A build that died long ago.
const BUILD: &str = "node-1-x86_64-aaaaaaaaaaaa";
/// An object of its.
const OBJECT: &str = "builds/node-1-x86_64-aaaaaaaaaaaa/20260101T000000Z-00000001/job.json";

/// Without these it is not known who uses what is to go: nothing of it is deregistered, and the plan
/// says why.
const TO_SEE: [&str; 4] = [
    "ec2:CreateImageUsageReport",
    "ec2:CreateTags",
    "ec2:DescribeImageUsageReportEntries",
    "ec2:DescribeImageUsageReports",
];

/// A cellar with everything in it that pruning has something to do with.
struct Full {
    cellar: Cellar,
    policy: Value,
    /// The releases, oldest first: the last but two is due, the last but one is to be deprecated.
    releases: Vec<String>,
    /// One of another profile, in a channel.
    other: String,
}

impl Full {
    fn new() -> Full {
        let house = House::in_place(Place::with_processes());
        let cellar = Cellar { house };
        let policy = printed(&cellar.house, "prune");
        let config = cellar.house.config();
        let roles = format!("[aws]\nroles = {{ prune = \"{}\" }}\n", role("prune"));
        let config = config.replace("[aws]\n", &roles);
        cellar.house.configure(&format!("{config}\n{SETTINGS}"));
        let home = cellar.house.client(PLACES[0]);
        let key = Some(&*cellar.house.keys[PLACES[0]]);
        let snapshot = things::snapshot(&home, &[(0, things::block(1))], key);
        let more = ["--profile", "builder", "--arch", "x86_64"];
        let other = cellar.house.publish(snapshot.as_ref(), &more);
        let other = other["release"].as_str().expect("an id").to_owned();
        cellar.promote(&other);
        let mut full = Full {
            cellar,
            policy,
            releases: Vec::new(),
            other,
        };
        full.release();
        full.release();
        full.prune(&full.policy).done();
        full.fill();
        full
    }

    /// One more release, newer than all.
    fn release(&mut self) {
        // Of the same day: releases of one second would be equally new. And a deprecation is rounded
        // to the minute.
        self.cellar.house.place.advance(300);
        let number = u8::try_from(self.releases.len() + 1).expect("a few");
        self.releases.push(self.cellar.release(number));
    }

    /// The release that is to be deregistered.
    fn due(&self) -> String {
        self.releases[self.releases.len() - 3].clone()
    }

    fn prune(&self, policy: &Value) -> Ended {
        confine(&self.cellar.house, "prune", policy);
        self.cellar.prune(&["--orphans", "--yes"])
    }

    fn put(&self, key: &str, body: String) {
        let put = Call::new("PUT", &format!("/{BUCKET}/{key}")).body(body);
        self.cellar
            .house
            .client(PLACES[0])
            .s3(&put)
            .done("an object");
    }

    /// What is in a channel is deprecated: who brought it back died before it was shown again.
    fn bring_back(&self) {
        let mut manifest = self.cellar.manifest(&self.other);
        manifest["retired"] = json!({ "deprecated": "2026-01-01T00:00:00Z" });
        let key = format!("releases/{}/manifest.json", self.other);
        self.put(&key, manifest.to_string());
        let ami = self.cellar.ami(PLACES[0], &self.other).expect("an AMI");
        let hide = [("ImageId", &*ami), ("DeprecateAt", "2027-06-01T00:00:00Z")];
        let home = self.cellar.house.client(PLACES[0]);
        home.ec2("EnableImageDeprecation", &hide).done("hidden");
    }

    /// One release more, so that one is due and one is to be deprecated; and something of each kind that
    /// a dead run left.
    fn fill(&mut self) {
        self.release();
        let home = self.cellar.house.client(PLACES[0]);
        let over = ("alpine-ami:end-of-life", "2026-01-01T00:00:00Z");
        let of_build = [("alpine-ami:build", BUILD), over];
        let volume = [
            ("AvailabilityZone", &*format!("{}a", PLACES[0])),
            ("Size", "1"),
        ];
        let volume = home.ec2(
            "CreateVolume",
            &[&volume[..], &tags("volume", &of_build)].concat(),
        );
        let volume = volume.done("a volume").text("volumeId").to_owned();
        things::settled_volume(&home, &volume);
        let tagged = [&[("VolumeId", &*volume)][..], &tags("snapshot", &of_build)].concat();
        home.ec2("CreateSnapshot", &tagged).done("a snapshot");
        let instance = [
            (
                "ImageId",
                &*self.cellar.ami(PLACES[0], &self.other).expect("an AMI"),
            ),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("InstanceType", "t3.micro"),
        ];
        let instance = [&instance[..], &tags("instance", &of_build)].concat();
        home.ec2("RunInstances", &instance).done("an instance");
        self.put(OBJECT, "{}".to_owned());
        // An AMI of ours that there is no manifest of.
        let release = format!("lost-1-x86_64-20260101.{}", self.releases.len());
        let name = format!(
            "tests/lost/1/alpine-3.15.11/x86_64/20260101.{}",
            self.releases.len()
        );
        let snapshot = things::snapshot(&home, &[(0, things::block(1))], None);
        let image = [
            ("Name", &*name),
            ("RootDeviceName", "/dev/xvda"),
            ("VirtualizationType", "hvm"),
            ("Architecture", "x86_64"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.SnapshotId", &snapshot),
        ];
        let of_release = [("alpine-ami:release", &*release), over];
        let tag = [
            ("ResourceId.1", &*snapshot),
            ("Tag.1.Key", "alpine-ami:release"),
            ("Tag.1.Value", &*release),
        ];
        home.ec2("CreateTags", &tag).done("a tag");
        let image = [&image[..], &tags("image", &of_release)].concat();
        home.ec2("RegisterImage", &image).done("an AMI");
    }
}

/// Tags of what a call makes.
fn tags<'a>(kind: &'a str, tags: &[(&'a str, &'a str); 2]) -> Vec<(&'a str, &'a str)> {
    let [one, other] = tags;
    vec![
        ("TagSpecification.1.ResourceType", kind),
        ("TagSpecification.1.Tag.1.Key", one.0),
        ("TagSpecification.1.Tag.1.Value", one.1),
        ("TagSpecification.1.Tag.2.Key", other.0),
        ("TagSpecification.1.Tag.2.Value", other.1),
    ]
}

#[test]
fn prune_needs_its_least_policy_and_no_action_of_it_is_too_much() {
    let mut full = Full::new();
    for action in actions(&full.policy) {
        if action == "ec2:DisableImageDeprecation" {
            full.bring_back();
        }
        let due = full.due();
        let ended = full.prune(&cut(&full.policy, &action));
        let words = said(&ended);
        assert!(names(&words, &action), "{action}: {words}");
        let is_seen = !TO_SEE.contains(&action.as_str());
        // A report that stays is a warning.
        let is_warning = action == "ec2:DeleteImageUsageReport";
        let status = i32::from(is_seen && !is_warning);
        assert_eq!(ended.status, status, "{action}: {words}");
        if !is_seen {
            assert_eq!(full.cellar.counts(&due), (2, 2, 2), "{action}: {words}");
        }
        full.prune(&full.policy).done();
        assert_eq!(full.cellar.counts(&due), (0, 0, 0), "{action}");
        let said = full.cellar.prune(&["--orphans"]).done();
        assert!(said.contains("dead runs left nothing\n"), "{said}");
        full.fill();
    }
}
