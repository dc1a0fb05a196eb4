//! Names of AWS's things, parsed once, at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {rule}")]
pub struct NameError {
    /// What was read.
    pub text: String,
    /// What it was to be.
    pub what: &'static str,
    /// What such a name looks like.
    pub rule: &'static str,
}

/// A name that is a text of a certain form.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<$name, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    return Ok($name(text.to_owned()));
                }
                Err(NameError { text: text.to_owned(), what: $what, rule: $rule })
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<$name, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

name!(
    /// A Region's name, such as `eu-central-1`. That it exists, and is opted in, only AWS knows.
    Region,
    "Region",
    "one looks like eu-central-1",
    is_region
);
name!(
    /// Twelve digits.
    AccountId,
    "account id",
    "it has twelve digits",
    |text| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
);
name!(
    /// An AMI's id.
    AmiId,
    "AMI id",
    "it is ami- and 8 or 17 hexadecimal digits",
    |text| is_id(text, "ami-")
);
name!(
    /// A snapshot's id.
    SnapshotId,
    "snapshot id",
    "it is snap- and 8 or 17 hexadecimal digits",
    |text| is_id(text, "snap-")
);
name!(
    /// An instance's id.
    InstanceId,
    "instance id",
    "it is i- and 8 or 17 hexadecimal digits",
    |text| is_id(text, "i-")
);
name!(
    /// A volume's id.
    VolumeId,
    "volume id",
    "it is vol- and 8 or 17 hexadecimal digits",
    |text| is_id(text, "vol-")
);
name!(
    /// A subnet's id.
    SubnetId,
    "subnet id",
    "it is subnet- and 8 or 17 hexadecimal digits",
    |text| is_id(text, "subnet-")
);
name!(
    /// A KMS key's ARN: `arn:aws:kms:eu-central-1:111122223333:key/…`.
    KeyArn,
    "ARN of a KMS key",
    "it looks like arn:aws:kms:eu-central-1:111122223333:key/1234abcd-…",
    |text| key_parts(text).is_some()
);

name!(
    /// An organization's ARN: `arn:aws:organizations::111122223333:organization/o-…`.
    OrganizationArn,
    "ARN of an organization",
    "it looks like arn:aws:organizations::111122223333:organization/o-1234567890",
    |text| organizations_part(text, "organization/").is_some_and(is_organization)
);
name!(
    /// An organizational unit's ARN: `arn:aws:organizations::111122223333:ou/o-…/ou-…`.
    UnitArn,
    "ARN of an organizational unit",
    "it looks like arn:aws:organizations::111122223333:ou/o-1234567890/ou-ab12-34567890",
    |text| {
        let part = organizations_part(text, "ou/").and_then(|rest| rest.split_once('/'));
        part.is_some_and(|(organization, unit)| is_organization(organization) && is_unit(unit))
    }
);
name!(
    /// A role's ARN: `arn:aws:iam::111122223333:role/…`.
    RoleArn,
    "ARN of a role",
    "it looks like arn:aws:iam::111122223333:role/name",
    |text| role_account(text).is_some()
);

impl OrganizationArn {
    /// The organization's id, `o-…`.
    pub fn organization(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl UnitArn {
    /// The id of the organization that it is in.
    pub fn organization(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }

    /// The unit's id, `ou-…`.
    pub fn unit(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl RoleArn {
    /// The account that the role is in.
    pub fn account(&self) -> AccountId {
        let account = role_account(&self.0).expect("it was checked when it was parsed");
        AccountId(account.to_owned())
    }
}

impl Region {
    /// The partition that the Region is in: `aws`, `aws-cn` or `aws-us-gov`.
    pub fn partition(&self) -> &'static str {
        match &self.0 {
            name if name.starts_with("cn-") => "aws-cn",
            name if name.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }
}

impl KeyArn {
    /// The Region that the key is in.
    pub fn region(&self) -> Region {
        Region(self.parts().0.to_owned())
    }

    /// The account that owns it.
    pub fn account(&self) -> AccountId {
        AccountId(self.parts().1.to_owned())
    }

    /// Its id: a UUID, or `mrk-…`.
    pub fn key_id(&self) -> &str {
        self.parts().2
    }

    /// Whether replicas of it in other Regions have the same id.
    pub fn is_multi_region(&self) -> bool {
        self.key_id().starts_with("mrk-")
    }

    /// The ARN of the replica of a multi-Region key in another Region.
    pub fn in_region(&self, region: &Region) -> KeyArn {
        let (_, account, id) = self.parts();
        let partition = region.partition();
        KeyArn(format!("arn:{partition}:kms:{region}:{account}:key/{id}"))
    }

    fn parts(&self) -> (&str, &str, &str) {
        key_parts(&self.0).expect("it was checked when it was parsed")
    }
}

/// A Region of an account, as errors name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Box<str>);

impl Place {
    /// The Region, and the account where it is known.
    pub fn new(region: &Region, account: Option<&AccountId>) -> Place {
        let text = match account {
            Some(account) => format!("{region} (account {account})"),
            None => region.to_string(),
        };
        Place(text.into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Lower-case words and a digit: `us-east-1`, `us-gov-west-1`, `ap-southeast-2`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else {
        return false;
    };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    words.len() >= 2 && words.iter().all(is_word) && is_number
}

fn is_id(text: &str, prefix: &str) -> bool {
    let Some(digits) = text.strip_prefix(prefix) else {
        return false;
    };
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    matches!(digits.len(), 8 | 17) && digits.bytes().all(is_hex)
}

/// What follows `kind` in an ARN of AWS Organizations.
fn organizations_part<'a>(arn: &'a str, kind: &str) -> Option<&'a str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "organizations", "", account, resource] = parts[..] else {
        return None;
    };
    let is_named = partition.starts_with("aws") && account.parse::<AccountId>().is_ok();
    resource.strip_prefix(kind).filter(|_| is_named)
}

/// `o-` and 10 to 32 small letters or digits.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html>
fn is_organization(text: &str) -> bool {
    let rest = text.strip_prefix("o-");
    rest.is_some_and(|rest| (10..=32).contains(&rest.len()) && is_small(rest))
}

/// `ou-`, the root's 4 to 32 small letters or digits, `-`, and 8 to 32 of its own.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_OrganizationalUnit.html>
fn is_unit(text: &str) -> bool {
    let rest = text
        .strip_prefix("ou-")
        .and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(root, unit)| {
        (4..=32).contains(&root.len())
            && (8..=32).contains(&unit.len())
            && is_small(root)
            && is_small(unit)
    })
}

fn is_small(text: &str) -> bool {
    let is_small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().all(is_small)
}

/// The account of a role's ARN.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>
fn role_account(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts[..] else {
        return None;
    };
    let name = resource.strip_prefix("role/")?;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_/-".contains(&byte);
    let is_name = !name.is_empty() && !name.ends_with('/') && name.bytes().all(is_letter);
    let is_named = partition.starts_with("aws") && account.parse::<AccountId>().is_ok();
    (is_name && is_named).then_some(account)
}

/// Region, account and key id.
fn key_parts(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let id = resource.strip_prefix("key/")?;
    let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let fits = arn == "arn" && partition.starts_with("aws") && service == "kms";
    let named = is_region(region) && account.parse::<AccountId>().is_ok();
    (fits && named && is_id).then_some((region, account, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["eu-central-1", "us-gov-west-1", "ap-southeast-12"] {
            assert_eq!(good.parse::<Region>().expect(good).as_str(), good);
        }
        for bad in [
            "",
            "eu",
            "eu-central",
            "eu-central-",
            "EU-central-1",
            "eu--1",
            "eu-central-1 ",
        ] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
        assert!("ami-0123456789abcdef0".parse::<AmiId>().is_ok());
        assert!("ami-12345678".parse::<AmiId>().is_ok());
        assert!("ami-0123456789ABCDEF0".parse::<AmiId>().is_err());
        assert!("i-0123456789abcdef0".parse::<InstanceId>().is_ok());
        assert!("vol-12345678".parse::<VolumeId>().is_ok());
        assert!("subnet-12345678".parse::<SubnetId>().is_ok());
        assert!("ami-12345678".parse::<InstanceId>().is_err());
        assert!("subnet-".parse::<SubnetId>().is_err());
        let error = "snap-1".parse::<SnapshotId>().expect_err("too short");
        let text = "`snap-1` is no snapshot id: it is snap- and 8 or 17 hexadecimal digits";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn customers_are_named_by_arns_too() {
        let organizations = "arn:aws:organizations::111122223333";
        let text = format!("{organizations}:organization/o-a1b2c3d4e5");
        let organization: OrganizationArn = text.parse().expect("an organization");
        assert_eq!(organization.organization(), "o-a1b2c3d4e5");
        let text = format!("{organizations}:ou/o-a1b2c3d4e5/ou-ab12-cd34ef56");
        let unit: UnitArn = text.parse().expect("a unit");
        let told = (unit.organization(), unit.unit());
        assert_eq!(told, ("o-a1b2c3d4e5", "ou-ab12-cd34ef56"));
        let role: RoleArn = "arn:aws:iam::111122223333:role/path/to/name"
            .parse()
            .expect("a role");
        assert_eq!(role.account().as_str(), "111122223333");
        for bad in [
            "o-a1b2c3d4e5".to_owned(),
            format!("{organizations}:organization/o-1"),
            format!("{organizations}:organization/o-A1B2C3D4E5"),
            "arn:aws:organizations::1:organization/o-a1b2c3d4e5".to_owned(),
        ] {
            assert!(bad.parse::<OrganizationArn>().is_err(), "{bad}");
        }
        for bad in [
            "ou/o-a1b2c3d4e5",
            "ou/o-a1b2c3d4e5/ou-ab12",
            "ou/ou-ab12-cd34ef56",
        ] {
            let bad = format!("{organizations}:{bad}");
            assert!(bad.parse::<UnitArn>().is_err(), "{bad}");
        }
        for bad in [
            "arn:aws:iam::111122223333:user/name",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::11112222333:role/name",
            "arn:aws:sts::111122223333:assumed-role/name/session",
        ] {
            assert!(bad.parse::<RoleArn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn arns_of_keys_have_parts() {
        let arn = "arn:aws:kms:eu-west-1:111122223333:key/mrk-0a";
        let arn: KeyArn = arn.parse().expect("an ARN");
        let told = (
            arn.region(),
            arn.account(),
            arn.key_id(),
            arn.is_multi_region(),
        );
        let region: Region = "eu-west-1".parse().expect("a Region");
        let account: AccountId = "111122223333".parse().expect("an account");
        assert_eq!(told, (region, account, "mrk-0a", true));
        let other = arn.in_region(&"us-east-1".parse().expect("a Region"));
        assert_eq!(
            other.as_str(),
            "arn:aws:kms:us-east-1:111122223333:key/mrk-0a"
        );
        for bad in [
            "arn:aws:kms:eu-west-1:111122223333:alias/x",
            "arn:aws:s3:eu-west-1:111122223333:key/x",
            "arn:aws:kms:eu-west-1:1:key/x",
        ] {
            assert!(bad.parse::<KeyArn>().is_err(), "{bad}");
        }
    }
}
