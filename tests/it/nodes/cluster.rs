//! Nodes of a cluster as instances of the sandbox: real machines, whose programs for Kubernetes are the
//! demo mirror's stand-ins.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use alpine_ami::sandbox::machines::GUEST_ENDPOINT;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::publish::house::{House, REGIONS};
use crate::sandbox::client::{Client, Expect as _};
use crate::sandbox::instances::console;
use crate::sandbox::place::{HOME, Place};
use crate::support::{Ended, demo_mirror};

/// An emulated machine on a busy host boots in a minute or two, and waits for things besides.
const PATIENCE: Duration = Duration::from_secs(500);
/// Where nodes and their volumes are.
const ZONE: &str = "us-east-1a";
/// The role of controllers.
const ROLE: &str = "controller";

/// Where a node finds EC2.
pub fn endpoint() -> String {
    format!("http://{GUEST_ENDPOINT}/")
}

/// A publisher with an image of nodes.
pub struct Cluster {
    pub house: House,
    pub home: Client,
    ami: String,
}

impl Cluster {
    /// Builds a profile over one of KubeZero's, with these lines in it, and publishes it.
    pub fn of(profile: &str, lines: &str) -> Cluster {
        let house = House::in_place(Place::with_machines());
        let config = house.config().replace("volume_gib = 1", "volume_gib = 2");
        house.configure(&format!("{config}\n[paths]\nprofiles = [\"profiles\"]\n"));
        let mirror = demo_mirror();
        let kubezero = mirror.join("v3.15/kubezero");
        let text = format!(
            "description = \"Nodes of stand-ins\"\ninclude = [\"{profile}\"]\n\
             repositories = [{{ url = \"{}\", tag = \"kubezero\" }}]\n{lines}",
            kubezero.display()
        );
        fs::create_dir(house.folder().join("profiles")).expect("a folder");
        fs::write(house.folder().join("profiles/node.toml"), text).expect("a profile");
        let folder = build(&house);
        let told = house.publish(&folder, &["--regions", REGIONS[0]]);
        let ami = told["regions"][HOME]["ami"].as_str().expect("an AMI");
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [
                { "Effect": "Allow", "Action": "ec2:DescribeVolumes", "Resource": "*" },
                {
                    "Effect": "Allow", "Action": "ec2:AttachVolume",
                    "Resource": ["arn:aws:ec2:*:*:instance/*", "arn:aws:ec2:*:*:volume/*"],
                },
            ],
        });
        let path = format!("policies/{ROLE}?account=publisher");
        house.place.control("PUT", &path, policy);
        Cluster {
            home: house.client(HOME),
            ami: ami.to_owned(),
            house,
        }
    }

    /// Launches a node with a script for user data.
    pub fn launch(&self, script: &str, more: &[(&str, &str)]) -> String {
        let data = BASE64_STANDARD.encode(script);
        let params = [
            ("ImageId", self.ami.as_str()),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("InstanceType", "t3.micro"),
            ("Placement.AvailabilityZone", ZONE),
            ("IamInstanceProfile.Name", ROLE),
            ("MetadataOptions.InstanceMetadataTags", "enabled"),
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.1.Key", "kubezero:cluster"),
            ("TagSpecification.1.Tag.1.Value", "blue"),
            ("UserData", &data),
        ];
        let launched = self.home.ec2("RunInstances", &[&params[..], more].concat());
        let launched = launched.done("an instance");
        launched.text("instancesSet/item[0]/instanceId").to_owned()
    }

    /// A volume of 1 GiB in the nodes' zone, made of a snapshot where one is given.
    pub fn volume(&self, snapshot: Option<&str>, tags: &[(&str, &str)]) -> String {
        let mut params = vec![
            ("AvailabilityZone".to_owned(), ZONE.to_owned()),
            ("Size".to_owned(), "1".to_owned()),
            ("VolumeType".to_owned(), "gp3".to_owned()),
        ];
        params.extend(snapshot.map(|id| ("SnapshotId".to_owned(), id.to_owned())));
        if !tags.is_empty() {
            let kind = "TagSpecification.1.ResourceType".to_owned();
            params.push((kind, "volume".to_owned()));
        }
        for (number, (key, value)) in (1..).zip(tags) {
            let name = |part| format!("TagSpecification.1.Tag.{number}.{part}");
            params.push((name("Key"), (*key).to_owned()));
            params.push((name("Value"), (*value).to_owned()));
        }
        let params: Vec<_> = params
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let made = self.home.ec2("CreateVolume", &params).done("a volume");
        made.text("volumeId").to_owned()
    }

    /// Waits until a node's console has a text; all that it has by then.
    #[track_caller]
    pub fn says(&self, instance: &str, text: &str) -> String {
        self.console(instance, text, |console| console.contains(text))
    }

    /// Boots a node again, which begins a new console, and waits until that has a text.
    #[track_caller]
    pub fn says_after_a_reboot(&self, instance: &str, text: &str) -> String {
        let reboot = self
            .home
            .ec2("RebootInstances", &[("InstanceId.1", instance)]);
        reboot.done("a reboot");
        self.console(instance, "new console", |console| !console.contains(text));
        self.says(instance, text)
    }

    #[track_caller]
    fn console(&self, instance: &str, wanted: &str, is_it: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let console = console(&self.home, instance);
            if is_it(&console) {
                return console;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{instance}: no {wanted}: {console}"
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    pub fn terminate(&self, instance: &str) {
        let ended = self
            .home
            .ec2("TerminateInstances", &[("InstanceId.1", instance)]);
        ended.done("its end");
    }

    /// The instance that has a volume; nothing if none has.
    pub fn holder(&self, volume: &str) -> Option<String> {
        let told = self.home.ec2("DescribeVolumes", &[("VolumeId.1", volume)]);
        let told = told.done("a volume");
        let holder = told.get("volumeSet/item[0]/attachmentSet/item[0]/instanceId");
        holder.map(str::to_owned)
    }
}

/// Builds the image; its folder.
fn build(house: &House) -> PathBuf {
    let mirror = demo_mirror();
    let output = house
        .program()
        .args([
            "build", "node", "--arch", "x86_64", "--output", "json", "--out", "image",
        ])
        .arg("--mirror")
        .arg(&mirror)
        .arg("--keys-dir")
        .arg(mirror.join("keys"))
        .output();
    let printed = Ended::from(output.expect("it starts")).done();
    let _: Value = serde_json::from_str(&printed).expect("JSON");
    house.folder().join("image")
}
