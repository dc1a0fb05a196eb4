//! A publisher whose nights are short: images are built by workers that stand in for this program.

use std::fs;
use std::process::Command;

use alpine_ami::channels::Channel;
use serde_json::Value;

use crate::instance_build::yard::{GOOD, Worker, Yard};
use crate::publish::house::{BUCKET, REGIONS};
use crate::sandbox::client::{Call, Expect as _};
use crate::sandbox::place::HOME;
use crate::support::{Ended, demo_mirror};

/// A publisher with base images and workers, and one profile more that a test may ask for.
pub struct Town {
    pub yard: Yard,
    _worker: Worker,
}

/// What a night came to.
pub struct Night {
    pub status: i32,
    pub report: Value,
    pub said: String,
}

impl Town {
    pub fn new() -> Town {
        Town::with_worker(GOOD)
    }

    /// One whose workers run another script.
    pub fn with_worker(script: &str) -> Town {
        let worker = Worker::new(script);
        let yard = Yard::new(&worker.path);
        let config = yard.config(&worker.path, "");
        let profiles = yard.house.folder().join("profiles");
        fs::create_dir(&profiles).expect("a folder");
        yard.house
            .configure(&format!("{config}\n[paths]\nprofiles = [\"profiles\"]\n"));
        Town {
            yard,
            _worker: worker,
        }
    }

    /// Writes a profile over the built-in layers.
    pub fn profile(&self, name: &str, text: &str) {
        let text = format!("description = \"of a test\"\ninclude = [\"core\"]\n{text}\n");
        let file = self
            .yard
            .house
            .folder()
            .join(format!("profiles/{name}.toml"));
        fs::write(file, text).expect("written");
    }

    /// Adds to the configuration.
    pub fn configure(&self, more: &str) {
        let file = self.yard.house.folder().join("alpine-ami.toml");
        let text = fs::read_to_string(&file).expect("the configuration");
        self.yard.house.configure(&format!("{text}\n{more}\n"));
    }

    /// Changes the configuration.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let file = self.yard.house.folder().join("alpine-ami.toml");
        let text = fs::read_to_string(&file).expect("the configuration");
        assert!(text.contains(from), "{text}");
        self.yard.house.configure(&text.replace(from, to));
    }

    /// `nightly … --on ec2`, as the publisher.
    pub fn command(&self, args: &[&str]) -> Command {
        let mirror = demo_mirror();
        let mut command = self.yard.house.program();
        command
            .args(["nightly", "--on", "ec2", "--output", "json"])
            .args(["--arch", "x86_64", "--out", "nights"])
            .arg("--mirror")
            .arg(&mirror)
            .arg("--keys-dir")
            .arg(mirror.join("keys"))
            .args(args)
            .env_remove("GITHUB_STEP_SUMMARY");
        command
    }

    /// A night.
    #[track_caller]
    pub fn night(&self, args: &[&str]) -> Night {
        let ended = Ended::from(self.command(args).output().expect("it starts"));
        let report = serde_json::from_str(&ended.stdout);
        Night {
            status: ended.status,
            report: report.unwrap_or_else(|_| panic!("no report: {}", ended.stderr)),
            said: ended.stderr,
        }
    }

    /// What was ever in a channel.
    pub fn stays(&self, channel: &str) -> Vec<String> {
        let path = format!("/{BUCKET}/channels/{channel}.json");
        let Ok(answer) = self.yard.house.client(HOME).s3(&Call::new("GET", &path)) else {
            return Vec::new();
        };
        let text = answer.text();
        let channel: Channel = serde_json::from_str(&text).expect("a channel");
        let stays = channel.stays.iter();
        stays.map(|stay| stay.release.to_string()).collect()
    }

    /// Releases that have a manifest.
    pub fn releases(&self) -> Vec<String> {
        let path = format!("/{BUCKET}?list-type=2&prefix=releases/");
        let answer = self.yard.house.client(HOME).s3(&Call::new("GET", &path));
        let text = answer.done("a list").text();
        let keys = text
            .split("<Key>releases/")
            .skip(1)
            .filter_map(|rest| rest.split("</Key>").next());
        keys.filter_map(|key| Some(key.strip_suffix("/manifest.json")?.to_owned()))
            .collect()
    }

    /// What must hold when a night of `base` is over, whatever happened in nights before it: one
    /// release, one AMI and one snapshot of it in each Region, in the channel since once; and no
    /// instance runs.
    #[track_caller]
    pub fn check_base(&self, night: &Night) {
        let image = &night.report["images"][0];
        let release = image["release"].as_str().expect("a release");
        assert_eq!(self.releases(), [release], "{}", night.said);
        assert_eq!(self.stays("nightly"), [release]);
        for region in &REGIONS[..2] {
            let mut images = self.yard.house.images(region);
            // What instances boot is no release.
            images.retain(|image| image.text("imageId") != self.yard.ami);
            let [ami] = &images[..] else {
                panic!("{region}: {images:#?}");
            };
            assert_eq!(ami.text("imageState"), "available");
            assert_eq!(image["amis"][region], ami.text("imageId"));
        }
        self.yard.check_left(1);
    }
}

impl Night {
    /// How an image ended.
    pub fn outcome(&self, place: usize) -> &str {
        let outcome = &self.report["images"][place]["outcome"];
        outcome.as_str().expect("an outcome")
    }

    /// How a step of an image ended.
    #[track_caller]
    pub fn step(&self, place: usize, name: &str) -> &Value {
        let steps = self.report["images"][place]["steps"].as_array();
        let mut steps = steps.expect("steps").iter();
        let found = steps.find(|step| step["step"] == name);
        found.unwrap_or_else(|| panic!("no step {name}: {:#}", self.report))
    }

    /// `lock done, build skipped, …`
    pub fn steps(&self, place: usize) -> String {
        let steps = self.report["images"][place]["steps"].as_array();
        let steps = steps.expect("steps").iter();
        let told = steps.map(|step| {
            let text = |key: &str| step[key].as_str().expect(key);
            format!("{} {}", text("step"), text("outcome"))
        });
        told.collect::<Vec<_>>().join(", ")
    }
}
