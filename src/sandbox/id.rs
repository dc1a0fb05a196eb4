//! Names of accounts, Regions and resources.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Twelve digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

impl AccountId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = String;

    fn from_str(text: &str) -> Result<AccountId, String> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(AccountId(text.to_owned()))
        } else {
            Err(format!("`{text}` is no account id: it has twelve digits"))
        }
    }
}

impl TryFrom<String> for AccountId {
    type Error = String;

    fn try_from(text: String) -> Result<AccountId, String> {
        text.parse()
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> String {
        id.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the Regions that the sandbox has: those that every AWS account has from the start,
/// and a few that are to be opted into.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(usize);

/// Name, and whether an account has it without asking.
const REGIONS: &[(&str, bool)] = &[
    ("af-south-1", false),
    ("ap-northeast-1", true),
    ("ap-northeast-2", true),
    ("ap-northeast-3", true),
    ("ap-south-1", true),
    ("ap-southeast-1", true),
    ("ap-southeast-2", true),
    ("ca-central-1", true),
    ("eu-central-1", true),
    ("eu-central-2", false),
    ("eu-north-1", true),
    ("eu-west-1", true),
    ("eu-west-2", true),
    ("eu-west-3", true),
    ("sa-east-1", true),
    ("us-east-1", true),
    ("us-east-2", true),
    ("us-west-1", true),
    ("us-west-2", true),
];

impl Region {
    /// Every Region, in the order of their names.
    pub fn all() -> impl Iterator<Item = Region> {
        (0..REGIONS.len()).map(Region)
    }

    /// The name, such as `eu-central-1`.
    pub fn as_str(&self) -> &'static str {
        REGIONS[self.0].0
    }

    /// Whether accounts have this Region without opting in.
    pub fn is_default(&self) -> bool {
        REGIONS[self.0].1
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Region, String> {
        REGIONS
            .iter()
            .position(|(name, _)| *name == text)
            .map(Region)
            .ok_or_else(|| format!("`{text}` is none of the sandbox's Regions"))
    }
}

impl TryFrom<String> for Region {
    type Error = String;

    fn try_from(text: String) -> Result<Region, String> {
        text.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> String {
        region.as_str().to_owned()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `N` random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random numbers");
    bytes
}

/// A new id of EC2's kind: the prefix and seventeen hexadecimal digits, `ami-0123456789abcdef0`.
pub fn new_id(prefix: &str) -> String {
    let digits = crate::digest::hex(&random::<9>());
    format!("{prefix}-{}", &digits[..17])
}

/// A random UUID, as request ids and key ids are.
pub fn new_uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = crate::digest::hex(&bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
