//! `[publish]` in `alpine-ami.toml`: who publishes, where to, and under which keys.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::aws::Region;

/// What a publisher says once.
///
/// ```toml
/// [publish]
/// publisher = "kubezero"                  # the first part of AMIs' names
/// home = "eu-central-1"                   # where images are uploaded and the bucket is
/// regions = ["eu-central-1", "us-east-1"]
/// bucket = "kubezero-images"
///
/// [publish.keys]
/// eu-central-1 = "alias/images"
/// us-east-1 = "arn:aws:kms:us-east-1:111122223333:key/…"
/// # or, for every Region: multi_region = "arn:aws:kms:eu-central-1:111122223333:key/mrk-…"
/// ```
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PublishSettings {
    /// The first part of AMIs' names.
    pub publisher: Option<String>,
    /// The Region that images are uploaded to, and that the bucket is in.
    pub home: Option<Region>,
    /// The Regions of a release where `--regions` names none; the home Region is always one.
    pub regions: Vec<Region>,
    /// The bucket of manifests and leases.
    pub bucket: Option<String>,
    /// What keys of objects in it begin with.
    pub prefix: String,
    /// The keys that snapshots are encrypted under.
    pub keys: Keys,
    /// What customers read in the AMI's description, after profile and versions.
    pub description: Option<String>,
    /// Days after which what belongs to no finished release may be swept; 7 where not given.
    pub end_of_life_days: Option<u32>,
    /// Seconds that a lease holds after its last renewal; 60 where not given.
    pub lease_seconds: Option<u64>,
    /// GiB of the root volume; 2 where it is not given.
    pub volume_gib: Option<u32>,
}

/// Keys by Region: an alias, a key's id, or its ARN.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
pub struct Keys {
    /// One multi-Region key that has a replica in every Region: its ARN.
    pub multi_region: Option<crate::aws::KeyArn>,
    /// The key of each Region.
    #[serde(flatten)]
    pub by_region: BTreeMap<Region, String>,
}
