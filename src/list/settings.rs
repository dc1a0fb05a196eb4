//! `[list]` in `alpine-ami.toml`: whose AMIs are listed, for who does not want to say it each time.

use std::path::PathBuf;

use serde::Deserialize;

use crate::aws::AccountId;

/// What a customer says once.
///
/// ```toml
/// [list]
/// publisher = "123456789012"
/// catalog = "s3://kubezero-images"       # or https://…
/// key = "kubezero.pub.pem"               # whose signatures count
/// ```
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListSettings {
    /// The publisher's account.
    pub publisher: Option<AccountId>,
    /// Where the publisher's channels can be read: `s3://bucket/prefix` or `https://…`.
    pub catalog: Option<String>,
    /// The publisher's public key, in PEM form: what the catalog says must be signed by it.
    pub key: Option<PathBuf>,
}
