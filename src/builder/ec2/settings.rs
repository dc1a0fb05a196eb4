//! `[build]` in `alpine-ami.toml`: what build instances are made of, and where they run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use crate::arch::Arch;
use crate::aws::{AmiId, SubnetId};

/// Instances at once, where the configuration says nothing.
const AT_ONCE: u32 = 4;
/// Minutes after which an instance switches itself off, where the configuration says nothing.
const MINUTES: u32 = 60;
/// Seconds within which an instance must report, where the configuration says nothing: a slow base
/// image boots for minutes.
const REPORT_SECONDS: u32 = 600;
/// No build takes longer: presigned URLs hold for a week at most, and nobody waits that long.
const MOST_MINUTES: u32 = 24 * 60;

/// What a publisher says of build instances.
///
/// ```toml
/// [build.base_images]
/// x86_64 = "ami-0123456789abcdef0"                    # an id, or the newest of owner/name:
/// aarch64 = "self/kubezero/builder/*/aarch64/*"
///
/// [build.instance_types]
/// x86_64 = ["c7i.large", "c6i.large"]                 # in order of preference
///
/// [build.workers]
/// aarch64 = "workers/alpine-ami-aarch64"              # this program for the other architecture
/// ```
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BuildSettings {
    /// What instances boot, by architecture.
    pub base_images: BTreeMap<Arch, BaseImage>,
    /// Instance types in order of preference, by architecture; of each the zones are tried in turn.
    pub instance_types: BTreeMap<Arch, Vec<String>>,
    /// Subnets in order of preference; the default network's where none is named.
    pub subnets: Vec<SubnetId>,
    /// Ids of security groups; the default one of the network where none is named. No inbound rule
    /// is needed.
    pub security_groups: Vec<String>,
    /// This program, linked statically, by architecture. Where it is itself, for its own
    /// architecture it need not be named.
    pub workers: BTreeMap<Arch, PathBuf>,
    /// Instances at once; 4 where not given.
    pub at_once: Option<u32>,
    /// Minutes after which an instance switches itself off, whatever it is doing; 60 where not
    /// given.
    pub minutes: Option<u32>,
    /// Seconds within which an instance must report: after its launch, and after its last report;
    /// 600 where not given.
    pub report_seconds: Option<u32>,
    /// S3 as instances reach it, where that is not as this machine does: an interface endpoint's
    /// URL without private DNS, or `http://169.254.169.200:4566` in the sandbox.
    pub s3_endpoint: Option<String>,
}

/// What an instance boots: an AMI, or the newest of an owner's whose name matches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum BaseImage {
    /// This one.
    Id(AmiId),
    /// The newest.
    Newest {
        /// An account, `self`, or one of AWS's words such as `amazon`.
        owner: String,
        /// Its name, in which `*` and `?` stand for anything.
        name: String,
    },
}

impl schemars::JsonSchema for BaseImage {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BaseImage".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// A base image that is none.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither ami-… nor OWNER/NAME, such as self/kubezero/builder/*/x86_64/*")]
pub struct BaseImageError(String);

impl FromStr for BaseImage {
    type Err = BaseImageError;

    fn from_str(text: &str) -> Result<BaseImage, BaseImageError> {
        if let Ok(id) = text.parse() {
            return Ok(BaseImage::Id(id));
        }
        match text.split_once('/') {
            Some((owner, name)) if !owner.is_empty() && !name.is_empty() => Ok(BaseImage::Newest {
                owner: owner.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(BaseImageError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for BaseImage {
    type Error = BaseImageError;

    fn try_from(text: String) -> Result<BaseImage, BaseImageError> {
        text.parse()
    }
}

impl fmt::Display for BaseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BaseImage::Id(id) => id.fmt(f),
            BaseImage::Newest { owner, name } => write!(f, "{owner}/{name}"),
        }
    }
}

/// What `[build]` lacks, or says wrongly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Nothing to boot.
    #[error("the configuration's [build] names no base image for {0}")]
    NoBaseImage(Arch),
    /// A number that makes no sense.
    #[error("build.{key} is {found}: it is from 1 to {most}")]
    Number {
        /// Its name.
        key: &'static str,
        /// What it is.
        found: u32,
        /// The most that it may be.
        most: u32,
    },
    /// An address that is none.
    #[error("build.s3_endpoint is `{0}`, which is no http:// or https:// URL")]
    Endpoint(String),
}

impl SettingsError {
    /// What to do next.
    pub fn advice(&self) -> String {
        match self {
            SettingsError::NoBaseImage(arch) => format!(
                "name an AMI that runs user data, under [build.base_images]: {arch} = \"ami-…\" or \"OWNER/NAME\"; in an empty account, `alpine-ami build builder --arch {arch}` and `publish` make one"
            ),
            SettingsError::Number { key, .. } => format!("leave build.{key} away, or correct it"),
            SettingsError::Endpoint(_) => "write it as https://HOST".to_owned(),
        }
    }
}

impl BuildSettings {
    /// Whether its numbers and addresses make sense.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), SettingsError> {
        for (key, found, most) in [
            ("at_once", self.at_once(), 100),
            ("minutes", self.minutes(), MOST_MINUTES),
            ("report_seconds", self.report_seconds(), MOST_MINUTES * 60),
        ] {
            if !(1..=most).contains(&found) {
                return Err(SettingsError::Number { key, found, most });
            }
        }
        match &self.s3_endpoint {
            Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
                Err(SettingsError::Endpoint(url.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Instances at once.
    pub fn at_once(&self) -> u32 {
        self.at_once.unwrap_or(AT_ONCE)
    }

    /// Minutes after which an instance switches itself off.
    pub fn minutes(&self) -> u32 {
        self.minutes.unwrap_or(MINUTES)
    }

    /// Seconds within which an instance must report.
    pub fn report_seconds(&self) -> u32 {
        self.report_seconds.unwrap_or(REPORT_SECONDS)
    }

    /// What instances of an architecture boot.
    ///
    /// # Errors
    /// Nothing is named.
    pub fn base_image(&self, arch: Arch) -> Result<&BaseImage, SettingsError> {
        let named = self.base_images.get(&arch);
        named.ok_or(SettingsError::NoBaseImage(arch))
    }

    /// Instance types in order of preference.
    pub fn types(&self, arch: Arch) -> Vec<String> {
        if let Some(types) = self.instance_types.get(&arch)
            && !types.is_empty()
        {
            return types.clone();
        }
        // Of two processors and 4 GiB, the newest first: older ones are where they are not.
        let types = match arch {
            Arch::X86_64 => ["c7i.large", "c6i.large", "m6i.large", "t3.large"],
            Arch::Aarch64 => ["c7g.large", "c6g.large", "m6g.large", "t4g.large"],
        };
        types.map(str::to_owned).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_images_are_ids_or_names() {
        let text = r#"
            base_images = { x86_64 = "ami-12345678", aarch64 = "self/a/builder/*/aarch64/*" }
            workers = { aarch64 = "worker" }
        "#;
        let settings: BuildSettings = toml::from_str(text).expect("settings");
        settings.check().expect("sensible");
        let image = |arch| settings.base_image(arch).expect("named").clone();
        let id = "ami-12345678".parse().expect("an id");
        assert_eq!(image(Arch::X86_64), BaseImage::Id(id));
        let newest = BaseImage::Newest {
            owner: "self".to_owned(),
            name: "a/builder/*/aarch64/*".to_owned(),
        };
        assert_eq!(image(Arch::Aarch64), newest);
        assert_eq!(newest.to_string().parse::<BaseImage>().ok(), Some(newest));
        for bad in ["", "ami", "/name", "self/"] {
            let error = bad.parse::<BaseImage>().expect_err(bad).to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let settings = BuildSettings::default();
        let error = settings.base_image(Arch::Aarch64).expect_err("none");
        assert!(
            error.advice().contains("build builder --arch aarch64"),
            "{error}"
        );
        assert_eq!(settings.types(Arch::Aarch64)[0], "c7g.large");
        for (text, expected) in [
            ("minutes = 0", "build.minutes is 0"),
            ("at_once = 101", "build.at_once is 101"),
            ("s3_endpoint = \"x\"", "build.s3_endpoint is `x`"),
        ] {
            let settings: BuildSettings = toml::from_str(text).expect("settings");
            let error = settings.check().expect_err(text).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
