//! `[diff]` in `alpine-ami.toml`: where it says which vulnerabilities a version fixes.

use serde::Deserialize;

/// What two images are compared with the help of.
///
/// ```toml
/// [diff]
/// secdb = ["https://secdb.alpinelinux.org/"]       # or files and folders
/// ```
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiffSettings {
    /// Alpine's security databases: files, folders, addresses of files, or an address that ends in `/`
    /// and has `v3.15/main.json` and `v3.15/community.json` below it. Paths begin at the configuration.
    pub secdb: Vec<String>,
}
