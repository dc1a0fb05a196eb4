//! What a test of an image came to, kept beside the image in `test.json`: a release says it, and
//! channels may ask for it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::report::Report;
use crate::workdir::write_json;

/// The file's name.
pub const TEST: &str = "test.json";

/// What a test of an image came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tested {
    /// SHA-256 of the image that was booted.
    pub image_sha256: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub at: OffsetDateTime,
    /// Whether everything was as it should be.
    pub passed: bool,
    /// What it booted under.
    pub firmware: String,
    /// How the machine's instructions were run: `kvm` or `tcg`.
    pub accel: String,
    /// From power-on to the complete default runlevel, in seconds.
    pub boot_seconds: f64,
    /// Memory in use when booted, in bytes.
    pub memory_used_bytes: u64,
    /// Used of the root file system, in bytes.
    pub root_used_bytes: u64,
    /// Whether each check passed.
    pub checks: BTreeMap<String, bool>,
    /// Name and version of the program that tested it.
    pub tool: String,
}

impl Tested {
    /// Of a report about an image.
    pub fn of(report: &Report, image_sha256: &str, at: OffsetDateTime) -> Tested {
        let checks = report.checks.iter();
        Tested {
            image_sha256: image_sha256.to_owned(),
            at: at.replace_nanosecond(0).unwrap_or(at),
            passed: report.passed,
            firmware: report.subject.firmware.to_string(),
            accel: report.subject.accel.to_string(),
            boot_seconds: report.boot_seconds,
            memory_used_bytes: report.memory_used_bytes,
            root_used_bytes: report.root_used_bytes,
            checks: checks
                .map(|check| (check.name.clone(), check.passed))
                .collect(),
            tool: concat!("alpine-ami ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Keeps it beside the image, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write_json(&folder.join(TEST), self)
    }

    /// Reads what is beside an image; nothing if there is none, or it is of another image.
    pub fn read(folder: &Path, image_sha256: &str) -> Option<Tested> {
        let text = std::fs::read(folder.join(TEST)).ok()?;
        let tested: Tested = serde_json::from_slice(&text).ok()?;
        (tested.image_sha256 == image_sha256).then_some(tested)
    }
}
