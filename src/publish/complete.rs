//! The configuration of a publisher, complete: what `[publish]` must say before anything is done.

use std::collections::BTreeSet;

use super::bucket::Bucket;
use super::settings::{Keys, PublishSettings};
use crate::aws::{Aws, Region};

/// Days after which what belongs to no finished release may be swept.
const END_OF_LIFE_DAYS: u32 = 7;
/// GiB of the root volume.
const VOLUME_GIB: u32 = 2;
/// Characters of the publisher's own part of a description: profile and versions come before it.
const LONGEST_DESCRIPTION: usize = 160;
/// Seconds that a lease holds after its last renewal.
const LEASE_SECONDS: u64 = 60;

/// What a publisher must say and did not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Keys are missing.
    #[error("the configuration's [publish] lacks {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// The publisher's name would not be one part of an AMI's name.
    #[error("publish.publisher is `{name}`: it is a word of letters, digits, `.`, `_` and `-`{}", bad_letter(.name))]
    Publisher {
        /// The name.
        name: String,
    },
    /// No bucket can be called that.
    #[error(
        "publish.bucket is `{0}`, which is no bucket's name: 3 to 63 lower-case letters, digits, `.` and `-`"
    )]
    Bucket(String),
    /// EC2 would not take the description.
    #[error("publish.description cannot be part of an AMI's description: {0}")]
    Description(String),
    /// No volume has that size.
    #[error("publish.volume_gib is {0}: a volume has 1 to 16384 GiB")]
    Volume(u32),
}

impl SettingsError {
    /// What to do next.
    pub fn advice(&self) -> String {
        match self {
            SettingsError::Missing(missing) => {
                let lines: Vec<&str> = missing.iter().map(|key| example(key)).collect();
                format!(
                    "add to alpine-ami.toml, under [publish]: {}",
                    lines.join("; ")
                )
            }
            SettingsError::Publisher { .. } => {
                "take a word such as \"my-company\": it is the first part of AMIs' names".to_owned()
            }
            SettingsError::Bucket(_) => {
                "write the bucket's name alone, without s3:// and path; what keys begin with is `prefix`".to_owned()
            }
            SettingsError::Description(_) => {
                "write it with the letters of ASCII, in 160 characters at most".to_owned()
            }
            SettingsError::Volume(_) => "2 is what the images of this project need".to_owned(),
        }
    }
}

fn example(key: &str) -> &'static str {
    match key {
        "publisher" => "publisher = \"my-company\" (the first part of AMIs' names)",
        "home" => "home = \"eu-central-1\" (where images are uploaded and the bucket is)",
        "bucket" => "bucket = \"my-images\" (an S3 bucket in the home Region, for manifests)",
        _ => "keys = { eu-central-1 = \"alias/images\" } (a KMS key for each Region)",
    }
}

/// A publisher's configuration, complete.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// The first part of AMIs' names.
    pub name: String,
    /// Where images are uploaded, and the bucket is.
    pub home: Region,
    /// The Regions of a release that names none itself; the home Region is one of them.
    pub regions: BTreeSet<Region>,
    /// The bucket.
    pub bucket: String,
    /// What keys of objects begin with.
    pub prefix: String,
    /// The keys of KMS.
    pub keys: Keys,
    /// The end of AMIs' descriptions.
    pub description: Option<String>,
    /// Days after which what belongs to no finished release may be swept.
    pub end_of_life_days: u32,
    /// Seconds that a lease holds after its last renewal.
    pub lease_seconds: u64,
    /// GiB of the root volume.
    pub volume_gib: u32,
}

impl Publisher {
    /// The publisher's bucket, in a session.
    pub fn bucket(&self, aws: &Aws) -> Bucket {
        Bucket::new(aws, &self.home, &self.bucket, &self.prefix)
    }

    /// The configuration, if it says all that publishing needs.
    ///
    /// # Errors
    /// Something is missing: all of it is named.
    pub fn new(settings: &PublishSettings) -> Result<Publisher, SettingsError> {
        let PublishSettings {
            publisher,
            home,
            bucket,
            ..
        } = settings;
        let no_keys = settings.keys.multi_region.is_none() && settings.keys.by_region.is_empty();
        let missing: Vec<&str> = [
            ("publisher", publisher.is_none()),
            ("home", home.is_none()),
            ("bucket", bucket.is_none()),
            ("keys", no_keys),
        ]
        .into_iter()
        .filter_map(|(key, is_missing)| is_missing.then_some(key))
        .collect();
        let (Some(name), Some(home), Some(bucket), []) = (publisher, home, bucket, &missing[..])
        else {
            return Err(SettingsError::Missing(missing));
        };
        let volume_gib = settings.volume_gib.unwrap_or(VOLUME_GIB);
        if !(1..=16_384).contains(&volume_gib) {
            return Err(SettingsError::Volume(volume_gib));
        }
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_letter) {
            return Err(SettingsError::Publisher { name: name.clone() });
        }
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = bucket
            .bytes()
            .all(|byte| is_plain(byte) || b".-".contains(&byte));
        if !fits || !(3..=63).contains(&bucket.len()) {
            return Err(SettingsError::Bucket(bucket.clone()));
        }
        check_description(settings.description.as_deref().unwrap_or_default())?;
        let mut regions: BTreeSet<Region> = settings.regions.iter().cloned().collect();
        regions.insert(home.clone());
        Ok(Publisher {
            name: name.clone(),
            home: home.clone(),
            regions,
            bucket: bucket.clone(),
            prefix: settings.prefix.clone(),
            keys: settings.keys.clone(),
            description: settings.description.clone(),
            end_of_life_days: settings.end_of_life_days.unwrap_or(END_OF_LIFE_DAYS),
            lease_seconds: settings.lease_seconds.unwrap_or(LEASE_SECONDS).max(3),
            volume_gib,
        })
    }
}

fn bad_letter(name: &str) -> String {
    let is_letter = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    let bad = name.chars().find(|c| !is_letter(c));
    bad.map_or(String::new(), |bad| format!("; `{bad}` is none of them"))
}

/// EC2 takes 255 printable characters, and refuses the AMI after everything was sent.
fn check_description(text: &str) -> Result<(), SettingsError> {
    let bad = text.chars().find(|c| !c.is_ascii() || c.is_ascii_control());
    let why = match bad {
        Some(bad) => format!("{bad:?} is not ASCII"),
        None if text.len() > LONGEST_DESCRIPTION => format!("it has {} characters", text.len()),
        None => return Ok(()),
    };
    Err(SettingsError::Description(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let error = Publisher::new(&PublishSettings::default()).expect_err("nothing is said");
        let all = SettingsError::Missing(vec!["publisher", "home", "bucket", "keys"]);
        assert_eq!(error, all);
        assert!(error.advice().contains("home = \"eu-central-1\""));
    }

    #[test]
    fn the_home_region_is_always_one() {
        let text = r#"
            publisher = "p"
            home = "eu-central-1"
            bucket = "bucket"
            regions = ["us-east-1"]
            keys = { eu-central-1 = "alias/x" }
        "#;
        let settings: PublishSettings = toml::from_str(text).expect("settings");
        let publisher = Publisher::new(&settings).expect("complete");
        let regions: Vec<&str> = publisher.regions.iter().map(Region::as_str).collect();
        assert_eq!(regions, ["eu-central-1", "us-east-1"]);
        assert_eq!((publisher.volume_gib, publisher.lease_seconds), (2, 60));

        for bad in ["", "de mo", "a/b"] {
            let publisher = Some(bad.to_owned());
            let named = PublishSettings {
                publisher,
                ..settings.clone()
            };
            let error = Publisher::new(&named).expect_err("no word");
            assert_eq!(
                error,
                SettingsError::Publisher {
                    name: bad.to_owned()
                }
            );
        }
        for bad in ["b", "s3://images/", "Images"] {
            let bucket = Some(bad.to_owned());
            let named = PublishSettings {
                bucket,
                ..settings.clone()
            };
            let error = Publisher::new(&named).expect_err("no bucket");
            assert_eq!(error, SettingsError::Bucket(bad.to_owned()));
        }
        let foreign = PublishSettings {
            description: Some("für Knoten".to_owned()),
            ..settings.clone()
        };
        let error = Publisher::new(&foreign).expect_err("a letter");
        assert!(error.to_string().ends_with("'ü' is not ASCII"), "{error}");
        let zero = PublishSettings {
            volume_gib: Some(0),
            ..settings
        };
        assert_eq!(
            Publisher::new(&zero).expect_err("no volume"),
            SettingsError::Volume(0)
        );
    }
}
