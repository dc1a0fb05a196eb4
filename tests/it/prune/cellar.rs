//! A publisher with releases of different age.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::publish::house::{BUCKET, House, REGIONS, tag};
use crate::sandbox::client::{Call, Client, Expect as _, Tree};
use crate::support::Ended;

/// The Regions that releases are in.
pub const PLACES: [&str; 2] = [REGIONS[0], REGIONS[1]];
pub const DAY: u64 = 24 * 3600;

pub struct Cellar {
    pub house: House,
}

impl Cellar {
    /// With these settings besides the usual ones.
    pub fn new(settings: &str) -> Cellar {
        let house = House::new();
        house.configure(&format!("{}\n{settings}", house.config()));
        Cellar { house }
    }

    /// A release like no other; `number` is small.
    pub fn release(&self, number: u8) -> String {
        let blocks = [(0, 1), (u32::from(number) + 1, number + 1)];
        let folder = self.house.image(&format!("image-{number}"), &blocks);
        let published = self.house.publish(&folder, &[]);
        published["release"].as_str().expect("an id").to_owned()
    }

    pub fn promote(&self, release: &str) {
        self.house
            .run(&["promote", release, "--to", "stable"])
            .done();
    }

    pub fn days(&self, days: u64) {
        self.house.place.advance(days * DAY);
    }

    pub fn prune(&self, more: &[&str]) -> Ended {
        self.house.run(&[&["prune"], more].concat())
    }

    /// The plan as JSON; the exit status is what is expected.
    #[track_caller]
    pub fn plan(&self, status: i32, more: &[&str]) -> Value {
        let ended = self.prune(&[&["--output", "json"], more].concat());
        assert_eq!(ended.status, status, "{}{}", ended.stdout, ended.stderr);
        serde_json::from_str(&ended.stdout).expect("JSON")
    }

    /// The AMI of a release in a Region, if it is there.
    pub fn ami(&self, region: &str, release: &str) -> Option<String> {
        let mut images = self.house.images(region).into_iter();
        let image =
            images.find(|image| tag(image, "alpine-ami:release").as_deref() == Some(release))?;
        Some(image.text("imageId").to_owned())
    }

    /// In how many of [`PLACES`] a release has an AMI, a deprecation, and a snapshot.
    pub fn counts(&self, release: &str) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for region in PLACES {
            let of_it = |tree: &Tree| tag(tree, "alpine-ami:release").as_deref() == Some(release);
            let images = self.house.images(region);
            let images: Vec<_> = images.iter().filter(|image| of_it(image)).collect();
            counts.0 += images.len();
            let is_deprecated = |image: &&&Tree| image.get("deprecationTime").is_some();
            counts.1 += images.iter().filter(is_deprecated).count();
            counts.2 += self
                .house
                .snapshots(region)
                .iter()
                .filter(|one| of_it(one))
                .count();
        }
        counts
    }

    pub fn manifest(&self, release: &str) -> Value {
        let key = format!("/{BUCKET}/releases/{release}/manifest.json");
        let answer = self.house.client(PLACES[0]).s3(&Call::new("GET", &key));
        serde_json::from_slice(&answer.done("a manifest").body).expect("JSON")
    }

    /// A launch template of an account's that names an AMI.
    pub fn template(&self, client: &Client, ami: &str) {
        let params = [
            ("LaunchTemplateName", "nodes"),
            ("LaunchTemplateData.ImageId", ami),
        ];
        client
            .ec2("CreateLaunchTemplate", &params)
            .done("a template");
    }

    /// Shares an AMI with the customer.
    pub fn share(&self, region: &str, ami: &str) {
        let params = [
            ("ImageId", ami),
            (
                "LaunchPermission.Add.1.UserId",
                crate::sandbox::place::CUSTOMER,
            ),
        ];
        let client = self.house.client(region);
        client
            .ec2("ModifyImageAttribute", &params)
            .done("a permission");
    }

    /// Publishes an image in a run that is killed before it comes to an AMI; the image.
    pub fn dead_run(&self, byte: u8) -> PathBuf {
        let folder = self.house.image("dead", &[(u32::from(byte), byte)]);
        let fault = json!({"operation": "RegisterImage", "action": "stall", "nth": 1});
        let fault = self.house.place.fault(fault);
        let run = self
            .house
            .program()
            .args(["publish", folder.to_str().expect("a path"), "-q"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        assert_eq!(self.house.kill_at(run, fault), None);
        self.no_faults();
        folder
    }

    pub fn no_faults(&self) {
        self.house.place.control("DELETE", "faults", json!(null));
    }
}
