//! What an instance can learn about itself: the content of EC2's metadata service.
//!
//! Paths and values follow "Instance metadata categories" of the EC2 user guide; only what
//! images use is there. [`super::imds`] serves it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::arch::Arch;

/// The public half of an SSH key pair that an instance was launched with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The key pair's name.
    pub name: String,
    /// One line as in `authorized_keys`.
    pub openssh_key: String,
}

/// An instance as its metadata service describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceMetadata {
    /// The image it was launched from, `ami-…`.
    pub ami_id: String,
    /// `i-…`; user data runs once for each.
    pub instance_id: String,
    /// Such as `t3.micro`.
    pub instance_type: String,
    /// The processor, under Alpine's name.
    pub arch: Arch,
    /// The account that runs it, twelve digits.
    pub account_id: String,
    /// Such as `eu-central-1`.
    pub region: String,
    /// Such as `eu-central-1a`.
    pub availability_zone: String,
    /// The private DNS name, which Kubernetes takes as the node's name.
    pub local_hostname: String,
    /// The private address.
    pub local_ipv4: Ipv4Addr,
    /// Hardware address of the first network interface, lower case with colons.
    pub mac: String,
    /// When it was launched, RFC 3339 in UTC.
    pub pending_time: String,
    /// The key pair it was launched with.
    pub public_key: Option<PublicKey>,
    /// User data, as the instance gets it (decoded).
    pub user_data: Option<Vec<u8>>,
    /// The instance's tags, where it was asked for that the service tells them.
    pub tags: Option<BTreeMap<String, String>>,
    /// Further leaves under `meta-data/`, by path; they go before those made of the fields above.
    pub more: BTreeMap<String, String>,
}

/// What stands at a path of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The bytes of the answer.
    pub body: Vec<u8>,
    /// Its media type.
    pub content_type: &'static str,
}

impl Found {
    fn text(body: String) -> Found {
        Found {
            body: body.into_bytes(),
            content_type: "text/plain",
        }
    }
}

/// Versions of the service, besides `latest`, are dates; cloud-init and others ask for one.
fn is_version(name: &str) -> bool {
    name == "latest"
        || (name.len() == 10
            && name.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            }))
}

impl InstanceMetadata {
    /// What stands at `path` (with its leading slash), if anything does.
    pub fn find(&self, path: &str) -> Option<Found> {
        let path = path.strip_prefix('/')?;
        if path.is_empty() {
            return Some(Found::text("latest".to_owned()));
        }
        let (version, rest) = path.split_once('/').unwrap_or((path, ""));
        if !is_version(version) {
            return None;
        }
        let (category, rest) = rest.split_once('/').unwrap_or((rest, ""));
        match (category, rest) {
            ("", "") => {
                let user_data = self.user_data.as_ref().map_or("", |_| "\nuser-data");
                Some(Found::text(format!("dynamic\nmeta-data{user_data}")))
            }
            ("meta-data", path) => lookup(&self.meta_data(), path).map(Found::text),
            ("user-data", "") => self.user_data.clone().map(|body| Found {
                body,
                content_type: "application/octet-stream",
            }),
            ("dynamic", path) => lookup(&self.dynamic(), path).map(Found::text),
            _ => None,
        }
    }

    /// Every leaf under `meta-data/`.
    fn meta_data(&self) -> BTreeMap<String, String> {
        let interface = format!("network/interfaces/macs/{}", self.mac);
        let address = self.local_ipv4.to_string();
        let mut leaves: BTreeMap<String, String> = [
            ("ami-id", self.ami_id.as_str()),
            ("ami-launch-index", "0"),
            ("block-device-mapping/ami", "xvda"),
            ("block-device-mapping/root", "/dev/xvda"),
            ("hostname", &self.local_hostname),
            ("instance-action", "none"),
            ("instance-id", &self.instance_id),
            ("instance-life-cycle", "on-demand"),
            ("instance-type", &self.instance_type),
            ("local-hostname", &self.local_hostname),
            ("local-ipv4", &address),
            ("mac", &self.mac),
            ("placement/availability-zone", &self.availability_zone),
            ("placement/region", &self.region),
            ("profile", "default-hvm"),
            ("services/domain", "amazonaws.com"),
            ("services/partition", "aws"),
        ]
        .into_iter()
        .map(|(path, value)| (path.to_owned(), value.to_owned()))
        .collect();
        for (name, value) in [
            ("device-number", "0"),
            ("local-hostname", &self.local_hostname),
            ("local-ipv4s", &address),
            ("mac", &self.mac),
            ("owner-id", &self.account_id),
        ] {
            leaves.insert(format!("{interface}/{name}"), value.to_owned());
        }
        if let Some(key) = &self.public_key {
            leaves.insert(
                "public-keys/0/openssh-key".to_owned(),
                format!("{}\n", key.openssh_key.trim_end()),
            );
            // The one listing that is not made of names of its children.
            leaves.insert("public-keys/".to_owned(), format!("0={}", key.name));
        }
        for (key, value) in self.tags.iter().flatten() {
            leaves.insert(format!("tags/instance/{key}"), value.clone());
        }
        leaves.extend(self.more.clone());
        leaves
    }

    /// Every leaf under `dynamic/`.
    fn dynamic(&self) -> BTreeMap<String, String> {
        let document = serde_json::json!({
            "accountId": self.account_id,
            "architecture": match self.arch {
                Arch::X86_64 => "x86_64",
                Arch::Aarch64 => "arm64",
            },
            "availabilityZone": self.availability_zone,
            "billingProducts": null,
            "devpayProductCodes": null,
            "marketplaceProductCodes": null,
            "imageId": self.ami_id,
            "instanceId": self.instance_id,
            "instanceType": self.instance_type,
            "kernelId": null,
            "pendingTime": self.pending_time,
            "privateIp": self.local_ipv4,
            "ramdiskId": null,
            "region": self.region,
            "version": "2017-09-30",
        });
        let text = format!("{document:#}");
        BTreeMap::from([("instance-identity/document".to_owned(), text)])
    }
}

/// The leaf at `path`, or the listing of the folder there: one name a line, folders with a slash.
fn lookup(leaves: &BTreeMap<String, String>, path: &str) -> Option<String> {
    if let Some(value) = leaves.get(path) {
        return Some(value.clone());
    }
    let folder = match path.trim_end_matches('/') {
        "" => String::new(),
        name => format!("{name}/"),
    };
    if let Some(listing) = leaves.get(&folder) {
        return Some(listing.clone());
    }
    let names: BTreeSet<String> = leaves
        .keys()
        .filter_map(|leaf| leaf.strip_prefix(&folder))
        .map(|rest| match rest.split_once('/') {
            Some((name, _)) => format!("{name}/"),
            None => rest.to_owned(),
        })
        .collect();
    if names.is_empty() {
        return None;
    }
    Some(names.into_iter().collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An instance with everything set.
    pub(in crate::vm) fn example() -> InstanceMetadata {
        InstanceMetadata {
            ami_id: "ami-0123456789abcdef0".to_owned(),
            instance_id: "i-0123456789abcdef0".to_owned(),
            instance_type: "t3.micro".to_owned(),
            arch: Arch::Aarch64,
            account_id: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            availability_zone: "eu-central-1a".to_owned(),
            local_hostname: "ip-10-0-0-7.eu-central-1.compute.internal".to_owned(),
            local_ipv4: Ipv4Addr::new(10, 0, 0, 7),
            mac: "02:00:00:00:00:01".to_owned(),
            pending_time: "2026-01-02T03:04:05Z".to_owned(),
            public_key: Some(PublicKey {
                name: "work".to_owned(),
                openssh_key: "ssh-ed25519 AAAA me".to_owned(),
            }),
            user_data: Some(b"#!/bin/sh\n".to_vec()),
            tags: None,
            more: BTreeMap::new(),
        }
    }

    fn text(path: &str) -> Option<String> {
        let found = example().find(path)?;
        Some(String::from_utf8(found.body).expect("text"))
    }

    #[test]
    fn values_and_listings() {
        for (path, expected) in [
            ("/", Some("latest")),
            ("/latest", Some("dynamic\nmeta-data\nuser-data")),
            ("/latest/", Some("dynamic\nmeta-data\nuser-data")),
            ("/2021-07-15/meta-data/mac", Some("02:00:00:00:00:01")),
            ("/latest/meta-data/instance-id", Some("i-0123456789abcdef0")),
            ("/latest/meta-data/placement/region", Some("eu-central-1")),
            (
                "/latest/meta-data/placement",
                Some("availability-zone\nregion"),
            ),
            (
                "/latest/meta-data/placement/",
                Some("availability-zone\nregion"),
            ),
            ("/latest/meta-data/services/domain", Some("amazonaws.com")),
            ("/latest/meta-data/public-keys/", Some("0=work")),
            ("/latest/meta-data/public-keys", Some("0=work")),
            ("/latest/meta-data/public-keys/0/", Some("openssh-key")),
            (
                "/latest/meta-data/public-keys/0/openssh-key",
                Some("ssh-ed25519 AAAA me\n"),
            ),
            (
                "/latest/meta-data/network/interfaces/macs",
                Some("02:00:00:00:00:01/"),
            ),
            ("/latest/user-data", Some("#!/bin/sh\n")),
            ("/latest/meta-data/instance-id/", None),
            ("/latest/meta-data/nothing", None),
            ("/latest/meta-data/place", None),
            ("/oldest/meta-data/", None),
            ("/latest/other", None),
            ("latest", None),
        ] {
            assert_eq!(text(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn top_listing_marks_folders() {
        let listing = text("/latest/meta-data/").expect("a listing");
        let names: Vec<&str> = listing.lines().collect();
        assert!(names.contains(&"ami-id"), "{names:?}");
        assert!(names.contains(&"placement/"), "{names:?}");
        assert!(names.contains(&"public-keys/"), "{names:?}");
    }

    #[test]
    fn without_key_and_user_data() {
        let mut instance = example();
        instance.public_key = None;
        instance.user_data = None;
        assert_eq!(instance.find("/latest/meta-data/public-keys/"), None);
        assert_eq!(instance.find("/latest/user-data"), None);
    }

    #[test]
    fn tags_and_further_leaves() {
        let mut instance = example();
        let pairs = |list: &[(&str, &str)]| {
            let owned = list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            owned.collect::<BTreeMap<_, _>>()
        };
        instance.tags = Some(pairs(&[("Name", "a b"), ("role", "db")]));
        instance.more = pairs(&[
            ("block-device-mapping/ebs1", "sdf"),
            ("block-device-mapping/root", "/dev/sda1"),
        ]);
        for (path, expected) in [
            ("tags/instance", "Name\nrole"),
            ("tags/instance/Name", "a b"),
            ("block-device-mapping", "ami\nebs1\nroot"),
            ("block-device-mapping/root", "/dev/sda1"),
        ] {
            let found = instance.find(&format!("/latest/meta-data/{path}"));
            assert_eq!(
                found.map(|found| found.body),
                Some(expected.as_bytes().to_vec()),
                "{path}"
            );
        }
        assert_eq!(example().find("/latest/meta-data/tags/"), None);
    }

    #[test]
    fn identity_document_uses_the_names_of_ec2() {
        let text = text("/latest/dynamic/instance-identity/document").expect("a document");
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(document["architecture"], "arm64");
        assert_eq!(document["privateIp"], "10.0.0.7");
        assert_eq!(document["accountId"], "123456789012");
    }
}
