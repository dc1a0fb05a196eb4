//! `[share]` in `alpine-ami.toml`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::customers::DEFAULT_FILE;

/// How many accounts, organizations and units an AMI can be shared with, where AWS was not asked for
/// more. <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-quotas.html>
const LAUNCH_PERMISSIONS: usize = 1000;

/// Who gets what.
///
/// ```toml
/// [share]
/// customers = "customers.toml"
/// launch_permission_quota = 1000
/// catalog = "customers"
/// ```
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShareSettings {
    /// The file of customers, relative to the configuration's own folder.
    pub customers: PathBuf,
    /// The account's quota of launch permissions of an AMI.
    pub launch_permission_quota: usize,
    /// Who may read the catalog in the bucket, besides the account itself.
    pub catalog: Readers,
}

/// Who may read the catalog: the page, the channels, and the papers of releases.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Readers {
    /// Nobody.
    #[default]
    Nobody,
    /// The customers that are served, as `customers.toml` names them.
    Customers,
    /// Whoever knows where it is, over HTTPS, without an account. Block Public Access of the bucket
    /// must let it be.
    Everybody,
}

impl Default for ShareSettings {
    fn default() -> ShareSettings {
        ShareSettings {
            customers: DEFAULT_FILE.into(),
            launch_permission_quota: LAUNCH_PERMISSIONS,
            catalog: Readers::Nobody,
        }
    }
}
