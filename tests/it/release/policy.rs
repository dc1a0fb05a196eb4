//! Rolling back, withdrawing and verifying under the least policies that `doctor` prints.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::{configured, current, object, payload, release};
use crate::least::{actions, confine, cut, names, printed, role, said};
use crate::publish::house::{BUCKET, House, REGIONS};
use crate::sandbox::client::{Call, Expect as _};
use crate::share::street::{Release, Street, assumed};
use crate::support::Ended;

/// In the order in which a rollback needs them, so that each run that lacks one comes farther than the
/// one before.
const ON_THE_WAY: [&str; 15] = [
    "kms:DescribeKey",
    "kms:GetPublicKey",
    "s3:ListBucket",
    "s3:GetObject",
    "s3:PutObject",
    "ec2:DescribeImages",
    "ec2:DescribeImageAttribute",
    "ec2:DescribeSnapshotAttribute",
    "kms:GetKeyPolicy",
    "kms:ListGrants",
    "kms:Sign",
    "kms:PutKeyPolicy",
    "ec2:ModifySnapshotAttribute",
    "ec2:ModifyImageAttribute",
    // Then the channel has moved.
    "ec2:EnableImageDeprecation",
];

/// A role's key does not wait for the key's policy, nor that for it.
const BY_ITSELF: &str = "kms:CreateGrant";

/// Without these it is not known who runs what is withdrawn: nothing is taken from anybody.
const TO_SEE: [&str; 4] = [
    "ec2:DescribeImageUsageReports",
    "ec2:CreateTags",
    "ec2:CreateImageUsageReport",
    "ec2:DescribeImageUsageReportEntries",
];

/// What a rollback does without.
const SELDOM: [&str; 4] = [
    // A report that stays, and a lease that does until it expires, are warnings.
    "ec2:DeleteImageUsageReport",
    "s3:DeleteObject",
    // Only what was to be retired is hidden.
    "ec2:DisableImageDeprecation",
    // `share apply` alone takes grants back.
    "kms:RevokeGrant",
];

/// A key of KMS that signs.
fn signing(house: &House) {
    let kms = house.client(REGIONS[0]);
    let spec = json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"});
    let made = kms.kms("CreateKey", spec).done("a key");
    let id = &made["KeyMetadata"]["KeyId"];
    let alias = json!({"AliasName": "alias/releases", "TargetKeyId": id});
    kms.kms("CreateAlias", alias).done("an alias");
    configured(house, "[signing]\nkey = \"alias/releases\"\n");
}

/// Lets a command be done in a role of its own; the least policy for it.
fn with_role(house: &House, command: &str) -> Value {
    let least = printed(house, command);
    let roles = format!("[aws]\nroles = {{ {command} = \"{}\" }}\n", role(command));
    let file = house.folder().join("alpine-ami.toml");
    let config = fs::read_to_string(&file).expect("a configuration");
    fs::write(&file, config.replace("[aws]\n", &roles)).expect("written");
    confine(house, command, &least);
    least
}

/// A channel with something bad in it, over something good.
struct Bad {
    street: Street,
    good: Release,
    least: Value,
}

impl Bad {
    fn new() -> Bad {
        let street = Street::new();
        signing(&street.house);
        let least = with_role(&street.house, "rollback");
        let good = street.release(&[(0, 1)]);
        street.promote(&good);
        Bad {
            street,
            good,
            least,
        }
    }

    /// Writes the file of customers; those with accounts may copy.
    fn customers(&self, names: &[&str]) {
        self.street.file(names, "");
        let path = self.street.house.folder().join("customers.toml");
        let text = fs::read_to_string(&path).expect("the file");
        let text = text.replace("\naccounts", "\ncopy = true\naccounts");
        fs::write(&path, text).expect("written");
    }

    /// Brings another release into the channel. Of the good one nobody has anything then; these come to
    /// it only by a rollback.
    fn promote(&self, byte: u8, customers: &[&str]) -> Release {
        let bad = self.street.release(&[(0, 1), (byte.into(), byte)]);
        self.street.promote(&bad);
        self.customers(&["acme"]);
        self.street.apply();
        self.customers(customers);
        bad
    }

    fn withdraw(&self, policy: &Value) -> Ended {
        let house = &self.street.house;
        confine(house, "rollback", policy);
        house.run(&["rollback", "stable", "--withdraw"])
    }

    /// A rollback without an action: it says which.
    #[track_caller]
    fn without(&self, action: &str, status: i32) {
        let ended = self.withdraw(&cut(&self.least, action));
        let words = said(&ended);
        assert_eq!(ended.status, status, "{action}: {words}");
        assert!(names(&words, action), "{action}: {words}");
    }
}

#[test]
fn rollback_needs_its_least_policy_and_no_action_of_it_is_too_much() {
    let bad = Bad::new();
    let all = [&ON_THE_WAY[..], &[BY_ITSELF], &TO_SEE, &SELDOM].concat();
    let all: BTreeSet<String> = all.into_iter().map(str::to_owned).collect();
    assert_eq!(BTreeSet::from_iter(actions(&bad.least)), all);
    let house = &bad.street.house;
    let first = bad.promote(1, &["acme", "globex", "umbrella"]);
    for action in ON_THE_WAY {
        assert_eq!(current(house, "stable"), [first.id()], "before {action}");
        bad.without(action, 1);
    }
    assert_eq!(current(house, "stable"), [bad.good.id()]);
    bad.withdraw(&bad.least).done();

    let second = bad.promote(2, &["acme"]);
    for action in TO_SEE {
        bad.without(action, 1);
    }
    for action in ["ec2:DeleteImageUsageReport", "s3:DeleteObject"] {
        let ended = bad.withdraw(&cut(&bad.least, action));
        assert!(names(&ended.stderr, action), "{action}: {}", ended.stderr);
    }
    let third = bad.promote(3, &["acme", "umbrella"]);
    bad.without(BY_ITSELF, 1);
    assert_eq!(current(house, "stable"), [third.id()]);
    bad.withdraw(&bad.least).done();
    for withdrawn in [first, second, third] {
        let papers = object(house, &format!("releases/{}/release.json", withdrawn.id()));
        let papers = payload(&papers.expect("it is signed"));
        assert!(papers["withdrawn"]["running"].is_object(), "{papers:#}");
    }

    // What it writes are its records, channels, papers and the catalog, and nothing else.
    confine(house, "rollback", &bad.least);
    let session = assumed(&house.client(REGIONS[0]), &role("rollback"));
    for key in [
        "releases/x/sbom.spdx.json",
        "leases/x.json",
        "sources/x.json",
    ] {
        let put = Call::new("PUT", &format!("/{BUCKET}/{key}")).body("{}");
        let refused = session.s3(&put).refused("AccessDenied");
        assert!(refused.message.contains("s3:PutObject"), "{key}: {refused}");
    }
}

#[test]
fn verify_needs_its_least_policy_and_no_action_of_it_is_too_much() {
    let house = House::new();
    signing(&house);
    let least = with_role(&house, "verify");
    let release = release(&house, 1);
    house.run(&["promote", &release, "--to", "stable"]).done();
    let ami = house.images(REGIONS[1])[0].text("imageId").to_owned();
    let at = format!("{ami}@{}", REGIONS[1]);
    let expected = [
        "ec2:DescribeImages",
        "kms:DescribeKey",
        "kms:GetPublicKey",
        "s3:GetObject",
        "s3:ListBucket",
    ];
    assert_eq!(actions(&least), expected);
    confine(&house, "verify", &least);
    let good = house.run(&["verify", &at]).done();
    assert!(good.contains("is what the publisher signed"), "{good}");
    for action in expected {
        if action == "s3:ListBucket" {
            // Only with it S3 tells what is not there from what is not for the caller.
            let key = format!("/{BUCKET}/releases/{release}/release.json");
            let client = house.client(REGIONS[0]);
            client.s3(&Call::new("DELETE", &key)).done("deleted");
        }
        confine(&house, "verify", &cut(&least, action));
        let ended = house.run(&["verify", &at]);
        let words = said(&ended);
        assert_eq!(ended.status, 1, "{action}: {words}");
        let named = match action {
            "s3:ListBucket" => "s3:GetObject",
            action => action,
        };
        assert!(names(&words, named), "{action}: {words}");
    }
    confine(&house, "verify", &least);
    let ended = house.run(&["verify", &at]);
    let words = said(&ended);
    assert_eq!(ended.status, 3, "{words}");
    assert!(words.contains("it is not signed"), "{words}");
}
