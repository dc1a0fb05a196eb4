//! What cannot be shared: one clear error, and nothing is changed.

use std::fs;

use serde_json::json;

use super::street::{PLACES, Street};
use crate::publish::house::REGIONS;
use crate::sandbox::client::Expect as _;
use crate::sandbox::place::CUSTOMER;

#[track_caller]
fn refused(street: &Street, args: &[&str], status: i32, words: &[&str]) -> String {
    let said = street.share(args).failed(status);
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    said
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_changed() {
    let street = Street::new();
    let release = street.release(&[(0, 1)]);
    street.promote(&release);
    let before = street.states();
    let words = ["cannot read the customers in customers.toml", "share add"];
    refused(&street, &["plan"], 2, &words);
    let file = street.house.folder().join("customers.toml");
    fs::write(
        &file,
        "[customers.a]\naccounts = [\"1\"]\nchannels = [\"stabel\"]\n",
    )
    .expect("written");
    let words = [
        "customers.toml:2:13: `1` is no account id",
        "customers.toml:3:13: there is no channel `stabel`",
        "did you mean `stable`?",
    ];
    refused(&street, &["plan"], 2, &words);
    refused(&street, &["apply", "--yes"], 2, &words);

    street.file(&["acme"], "");
    let said = refused(
        &street,
        &["apply"],
        2,
        &["no terminal", "share apply --yes"],
    );
    assert!(said.contains("+ launch"), "the plan is shown: {said}");
    assert_eq!(street.states(), before);

    // An account that AWS does not know: that Region says so, and the file is right after all.
    street.file(&["acme"], "");
    let text = fs::read_to_string(&file)
        .expect("read")
        .replace(CUSTOMER, "987654321098");
    fs::write(&file, text).expect("written");
    let words = [
        "sharing is not complete",
        "us-east-1: ",
        "ec2:ModifyImageAttribute",
    ];
    refused(&street, &["apply", "--yes"], 1, &words);
    street.file(&["acme"], "");
    street.apply();
    assert_eq!(
        street.plan(&[]).0,
        0,
        "what was given to nobody is taken back"
    );
    assert_eq!(street.plan(&[]).1["unknown"], json!([]));
}

/// A release that is not where a customer is to get it is told, and everything else is done.
#[test]
fn what_is_missing_is_told() {
    let street = Street::new();
    let release = street.release(&[(0, 1)]);
    street.promote(&release);
    street.file(&["acme"], "");
    let gone = [("ImageId", release.ami(REGIONS[1]))];
    let abroad = street.house.client(REGIONS[1]);
    abroad.ec2("DeregisterImage", &gone).done("it is gone");
    let (status, plan) = street.plan(&[]);
    assert_eq!(
        (status, plan["missing"].as_array().map(Vec::len)),
        (3, Some(1)),
        "{plan:#}"
    );
    let words = ["of what customers are to get is missing", "--add-region"];
    let said = street.share(&["apply", "--yes"]);
    assert_eq!(said.status, 1);
    for word in words {
        assert!(said.stderr.contains(word), "{}", said.stderr);
    }
    assert!(
        said.stdout.contains("missing: acme is to get"),
        "{}",
        said.stdout
    );
    let shared = street.state(REGIONS[0]);
    assert_eq!(shared[release.ami(REGIONS[0])], json!([CUSTOMER]));
}

/// One Region fails: the others are done, and the next run does only that one.
#[test]
fn a_region_that_fails_does_not_undo_the_others() {
    let street = Street::new();
    let release = street.release(&[(0, 1)]);
    street.promote(&release);
    street.file(&["acme", "globex"], "");
    let deny = json!({"service": "kms", "region": REGIONS[1], "operation": "PutKeyPolicy",
        "action": "deny", "each": true});
    street.house.place.fault(deny);
    let words = [
        &format!("{}: kms:PutKeyPolicy", REGIONS[1])[..],
        "allow kms:PutKeyPolicy",
        "run the same command again",
    ];
    refused(&street, &["apply", "--yes"], 1, &words);
    assert_eq!(
        street.state(REGIONS[0])[release.ami(REGIONS[0])]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    // Nobody sees an AMI whose key it cannot use.
    assert_eq!(street.state(REGIONS[1])[release.ami(REGIONS[1])], json!([]));
    street.house.place.control("DELETE", "faults", json!(null));
    let (_, plan) = street.plan(&[]);
    let changes = plan["changes"].as_array().expect("changes");
    assert!(
        changes.iter().all(|change| change["region"] == REGIONS[1]),
        "{plan:#}"
    );
    street.apply();
    assert_eq!(street.plan(&[]).0, 0);
}

/// A Region that cannot be read is told by its plan, which is no good then.
#[test]
fn a_region_that_cannot_be_read() {
    let street = Street::new();
    street.promote(&street.release(&[(0, 1)]));
    street.file(&["acme"], "");
    street.house.place.fault(
        json!({"operation": "DescribeImageAttribute", "region": PLACES[0],
        "action": "deny", "each": true}),
    );
    let words = [
        "the plan is not complete",
        "us-east-1: ec2:DescribeImageAttribute",
    ];
    refused(&street, &["plan"], 1, &words);
    refused(
        &street,
        &["apply", "--yes"],
        1,
        &["us-east-1: ec2:DescribeImageAttribute"],
    );
    // The other Region is done.
    let (_, plan) = street.plan(&[]);
    assert_eq!(plan["changes"], json!([]), "{plan:#}");
}
