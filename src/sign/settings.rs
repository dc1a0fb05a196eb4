//! `[signing]` in `alpine-ami.toml`: by which key releases and channels are signed.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::aws::Region;

/// The key that signs, and those that are trusted besides.
///
/// ```toml
/// [signing]
/// key = "alias/releases"       # of KMS: ECC_NIST_P256, SIGN_VERIFY
/// # or a file in PEM form, which no one else may read: file = "releases.pem"
/// trusted = ["before.pub.pem"] # public keys that signed before this one
/// ```
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SigningSettings {
    /// The key of KMS: its id, its ARN or an alias.
    pub key: Option<String>,
    /// Where the key of KMS is; the home Region where not given.
    pub region: Option<Region>,
    /// A private key on disk, in place of one of KMS.
    pub file: Option<PathBuf>,
    /// Public keys whose signatures are good besides.
    pub trusted: Vec<PathBuf>,
}

impl SigningSettings {
    /// Whether there is a key to sign with.
    pub fn signs(&self) -> bool {
        self.key.is_some() || self.file.is_some()
    }

    /// Makes paths relative to a folder.
    pub fn based_on(&mut self, base: &Path) {
        for path in self.file.iter_mut().chain(&mut self.trusted) {
            *path = base.join(&*path);
        }
    }
}
