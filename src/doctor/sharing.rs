//! Whether customers can be given what they are to get.

use std::io::ErrorKind;
use std::path::Path;

use super::{Check, Group};
use crate::aws::sts::Identity;
use crate::aws::{KeyArn, Region};
use crate::channels::settings::{self, ChannelSettings};
use crate::share::customers::{self, DEFAULT_FILE, Known};
use crate::share::error::ShareError;
use crate::share::policy::KeyPolicy;

/// The file of customers. One that is called as every publisher's need not be there: not every
/// publisher shares.
pub fn file(path: &Path, channels: &[ChannelSettings], regions: &[Region]) -> Option<Check> {
    let name = "share.customers";
    let found = match read(path, channels, regions) {
        Ok(number) => {
            let found = format!("{}: {number} customers", path.display());
            return Some(Check::ok(Group::Configuration, name, found));
        }
        Err(ShareError::Read { source, .. })
            if source.kind() == ErrorKind::NotFound && path.ends_with(DEFAULT_FILE) =>
        {
            return None;
        }
        Err(error) => error,
    };
    let advice = found.advice();
    let found = found.to_string();
    Some(Check::failed(Group::Configuration, name, found, advice))
}

/// How many customers it names.
fn read(
    path: &Path,
    channels: &[ChannelSettings],
    regions: &[Region],
) -> Result<usize, ShareError> {
    let channels = settings::names(channels)?;
    let text = std::fs::read_to_string(path).map_err(|source| ShareError::Read {
        path: path.to_owned(),
        source,
    })?;
    let known = Known {
        channels: &channels,
        regions: &regions.iter().cloned().collect(),
    };
    let customers = customers::parse(&path.display().to_string(), &text, &known);
    Ok(customers.map_err(ShareError::Mistakes)?.len())
}

/// Whether customers can be added to a key's policy: `share` writes none that could not be changed
/// again, and there is room for so many.
pub fn key(document: &str, publisher: &str, key: &KeyArn, who: &Identity) -> Check {
    let (group, name) = (Group::Keys, "key policy for customers");
    let policy = match KeyPolicy::parse(document, publisher) {
        Ok(policy) => policy,
        Err(why) => {
            let advice = "look at it: `aws kms get-key-policy --policy-name default --key-id …`";
            return Check::warning(group, name, format!("cannot be read: {why}"), advice);
        }
    };
    if !policy.can_be_changed_by(&who.account, &who.arn) {
        return Check::warning(
            group,
            name,
            "does not let the account change it: `share apply` writes no policy that it could not change again",
            format!(
                "add a statement that allows kms:PutKeyPolicy to arn:{}:iam::{}:root, and see that none denies it",
                key.region().partition(),
                key.account()
            ),
        );
    }
    match policy.room(key) {
        0 => Check::warning(
            group,
            name,
            "has no room for another account",
            "share with organizations or units in the place of their accounts, or with `roles`, which get grants",
        ),
        room => {
            let found = format!("can be changed, and has room for {room} more accounts");
            Check::ok(group, name, found)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Status;
    use super::*;
    use crate::aws::testing::region;

    #[test]
    fn a_file_of_customers_is_there_and_right() {
        let folder = tempfile::tempdir().expect("a folder");
        let regions = [region("us-east-1")];
        let look = |name: &str| file(&folder.path().join(name), &[], &regions);
        assert_eq!(look("customers.toml"), None);
        let missing = look("customres.toml").expect("a check");
        assert_eq!(missing.status, Status::Failed);
        assert!(missing.found.contains("customres.toml"), "{missing:?}");

        let write = |text: &str| std::fs::write(folder.path().join("customers.toml"), text);
        let acme = "[customers.acme]\naccounts = [\"222222222222\"]\nchannels = [\"stable\"]\n";
        write(acme).expect("written");
        let good = look("customers.toml").expect("a check");
        assert_eq!(good.status, Status::Ok, "{good:?}");
        assert!(
            good.found.ends_with("customers.toml: 1 customers"),
            "{good:?}"
        );
        write(&acme.replace("stable", "stabel")).expect("written");
        let wrong = look("customers.toml").expect("a check");
        assert_eq!(wrong.status, Status::Failed);
        assert!(wrong.found.contains("customers.toml:3"), "{wrong:?}");
        assert!(wrong.advice.is_some());
    }

    #[test]
    fn a_key_s_policy_takes_customers() {
        let arn: KeyArn = "arn:aws:kms:us-east-1:111111111111:key/1"
            .parse()
            .expect("an ARN");
        let who = Identity {
            account: "111111111111".parse().expect("an account"),
            arn: "arn:aws:sts::111111111111:assumed-role/publisher/me".to_owned(),
        };
        let policy = |sid: &str, action: &str| {
            let root = json!({ "AWS": "arn:aws:iam::111111111111:root" });
            let statement = json!({
                "Sid": sid, "Effect": "Allow", "Principal": root, "Action": action, "Resource": "*",
            });
            json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
        };
        let long = "x".repeat(32_000);
        for (document, status, words) in [
            (policy("Own", "kms:*"), Status::Ok, "has room for "),
            (
                policy("Own", "kms:Decrypt"),
                Status::Warning,
                "does not let the account",
            ),
            (policy(&long, "kms:*"), Status::Warning, "has no room"),
            ("{}".to_owned(), Status::Warning, "cannot be read"),
        ] {
            let check = key(&document, "tests", &arn, &who);
            assert_eq!(check.status, status, "{check:?}");
            assert!(check.found.contains(words), "{check:?}");
        }
    }
}
