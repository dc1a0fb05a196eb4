//! Buckets, and what each service answers.

use std::time::Duration;

use super::rates::Rates;
use super::*;
use crate::sandbox::id::{AccountId, Region};

fn account(digit: char) -> AccountId {
    String::from(digit).repeat(12).parse().expect("an id")
}

fn region(name: &str) -> Region {
    name.parse().expect("a Region")
}

/// How many of so many calls are admitted at that moment.
fn admitted(rates: &Rates, call: &Charged, count: usize, ms: u64) -> usize {
    let now = Duration::from_millis(ms);
    (0..count).filter(|_| rates.take(call, now).is_ok()).count()
}

#[test]
fn a_bucket_empties_and_fills() {
    let (account, region) = (account('1'), region("us-east-1"));
    let call = Charged {
        service: Service::Ebs,
        operation: "StartSnapshot",
        account: &account,
        region: &region,
        resource: "",
        is_filtered: true,
    };
    let rates = Rates::new();
    for (ms, admits) in [(0, 10), (0, 0), (100, 1), (150, 0), (200, 1), (9000, 10)] {
        assert_eq!(admitted(&rates, &call, 20, ms), admits, "after {ms} ms");
    }
    assert!(rates.set(
        "ebs-start-snapshot",
        Some(Rate {
            per_second: 1.0,
            burst: 2.0
        })
    ));
    assert_eq!(admitted(&rates, &call, 20, 9000), 2, "lowered");
    assert!(rates.set("ebs-start-snapshot", None));
    assert_eq!(admitted(&rates, &call, 2000, 9000), 2000, "lifted");
    assert!(!rates.set("nothing", None));
}

#[test]
fn whose_bucket_it_is() {
    let (one, two) = (account('1'), account('2'));
    let (here, there) = (region("us-east-1"), region("us-west-2"));
    let call = |operation, account, region, resource| Charged {
        service: Service::Ebs,
        operation,
        account,
        region,
        resource,
        is_filtered: true,
    };
    let put = "PutSnapshotBlock";
    let rates = Rates::new();
    // Each account and Region has its own, which all snapshots share.
    for (name, call, admits) in [
        ("the first", call(put, &one, &here, "snap-1"), 1000),
        ("the same again", call(put, &one, &here, "snap-1"), 0),
        ("another snapshot", call(put, &one, &here, "snap-2"), 0),
        ("another Region", call(put, &one, &there, "snap-1"), 1000),
        ("another account", call(put, &two, &here, "snap-1"), 1000),
        (
            "another operation",
            call("GetSnapshotBlock", &one, &here, "snap-1"),
            1000,
        ),
    ] {
        assert_eq!(admitted(&rates, &call, 1100, 0), admits, "{name}");
    }
    // The rate of a snapshot is its own.
    let rates = Rates::new();
    assert!(rates.set("ebs-put-snapshot-block", None));
    for (snapshot, admits) in [("snap-1", 1000), ("snap-1", 0), ("snap-2", 1000)] {
        let call = call(put, &one, &here, snapshot);
        assert_eq!(admitted(&rates, &call, 1100, 0), admits, "{snapshot}");
    }
    let spent = call(put, &one, &here, "snap-1");
    assert_eq!(
        rates.take(&spent, Duration::ZERO),
        Err("ebs-put-snapshot-block-of-snapshot")
    );
}

#[test]
fn a_refused_call_takes_no_token() {
    let (account, region) = (account('1'), region("us-east-1"));
    let call = |resource| Charged {
        service: Service::Ebs,
        operation: "PutSnapshotBlock",
        account: &account,
        region: &region,
        resource,
        is_filtered: true,
    };
    let rates = Rates::new();
    let one = Some(Rate {
        per_second: 0.0,
        burst: 1.0,
    });
    let two = Some(Rate {
        per_second: 0.0,
        burst: 2.0,
    });
    assert!(rates.set("ebs-put-snapshot-block-of-snapshot", one));
    assert!(rates.set("ebs-put-snapshot-block", two));
    assert_eq!(admitted(&rates, &call("snap-1"), 5, 0), 1);
    assert_eq!(
        admitted(&rates, &call("snap-2"), 5, 0),
        1,
        "the second is left"
    );
    assert_eq!(admitted(&rates, &call("snap-3"), 5, 0), 0);
}

#[test]
fn which_bucket_of_which_service() {
    let (account, region) = (account('1'), region("us-east-1"));
    for (service, operation, is_filtered, at_once) in [
        (Service::Ec2, "DescribeImages", true, 100),
        (Service::Ec2, "DescribeImages", false, 50),
        (Service::Ec2, "GetConsoleOutput", false, 100),
        (Service::Ec2, "RegisterImage", true, 50),
        (Service::Ec2, "CreateKeyPair", true, 50),
        (Service::Ec2, "RunInstances", true, 5),
        (Service::Ec2, "CopyImage", true, 100),
        (Service::Ebs, "CompleteSnapshot", true, 10),
        (Service::Ebs, "ListSnapshotBlocks", true, 50),
        (Service::Ebs, "ListChangedBlocks", true, 50),
        (Service::Ebs, "GetSnapshotBlock", true, 1000),
        (Service::Kms, "CreateGrant", true, 50),
        (Service::Kms, "CreateKey", true, 5),
        (Service::Kms, "PutKeyPolicy", true, 15),
        (Service::Kms, "Sign", true, 1000),
        (Service::Sts, "GetCallerIdentity", true, 600),
        (Service::S3, "PutObject", true, 3500),
        (Service::S3, "HeadObject", true, 5500),
        (Service::Organizations, "ListAccounts", true, 6000),
    ] {
        let call = Charged {
            service,
            operation,
            account: &account,
            region: &region,
            resource: "x",
            is_filtered,
        };
        let admitted = admitted(&Rates::new(), &call, 6000, 0);
        assert_eq!(admitted, at_once, "{service:?} {operation}");
    }
    // EC2 counts each action for itself, KMS its cryptographic operations together.
    let rates = Rates::new();
    let call = |service, operation| Charged {
        service,
        operation,
        account: &account,
        region: &region,
        resource: "",
        is_filtered: true,
    };
    assert_eq!(
        admitted(&rates, &call(Service::Ec2, "CreateTags"), 60, 0),
        50
    );
    assert_eq!(
        admitted(&rates, &call(Service::Ec2, "DeleteTags"), 60, 0),
        50
    );
    let encrypted = admitted(&rates, &call(Service::Kms, "Encrypt"), 11_000, 0);
    assert_eq!(encrypted, 10_000);
    assert_eq!(admitted(&rates, &call(Service::Kms, "Decrypt"), 60, 0), 0);
}

#[test]
fn each_service_throttles_in_its_way() {
    for (service, code, status) in [
        (Service::Ec2, "RequestLimitExceeded", 503),
        (Service::Ebs, "RequestThrottledException", 400),
        (Service::Kms, "ThrottlingException", 400),
        (Service::S3, "SlowDown", 503),
        (Service::Sts, "Throttling", 400),
        (Service::Organizations, "TooManyRequestsException", 400),
    ] {
        let error = throttled(service, "");
        assert_eq!((&*error.code, error.status), (code, status), "{service:?}");
    }
    for (rate, reason) in [
        ("ebs-put-snapshot-block", "ACCOUNT_THROTTLED"),
        (
            "ebs-put-snapshot-block-of-snapshot",
            "RESOURCE_LEVEL_THROTTLE",
        ),
    ] {
        let members = throttled(Service::Ebs, rate).members;
        assert_eq!(members, [("Reason", reason.to_owned())], "{rate}");
    }
}

#[test]
fn limits_are_set_by_name() {
    let limits = Limits::new();
    let rate = |per_second, burst| Limit::Rate(Rate { per_second, burst });
    for (name, limit, ok) in [
        ("images", Limit::Number(3), true),
        ("grants-per-key", Limit::UNLIMITED, true),
        ("images", rate(1.0, 2.0), false),
        ("sts", rate(1.5, 2.0), true),
        ("ec2-mutating", Limit::Number(7), true),
        ("ec2-non-mutating", Limit::UNLIMITED, true),
        ("sts", rate(-1.0, 2.0), false),
        ("sts", rate(f64::NAN, 2.0), false),
        ("nothing", Limit::Number(1), false),
        ("nothing", rate(1.0, 1.0), false),
    ] {
        assert_eq!(limits.apply(name, limit).is_ok(), ok, "{name} {limit:?}");
    }
    let list = limits.list();
    for (name, limit) in [
        ("images", Limit::Number(3)),
        ("grants-per-key", Limit::UNLIMITED),
        ("sts", rate(1.5, 2.0)),
        ("ec2-mutating", rate(7.0, 7.0)),
        ("ec2-non-mutating", Limit::UNLIMITED),
        ("ec2-run-instances", rate(2.0, 5.0)),
    ] {
        assert_eq!(list[name], limit, "{name}");
    }
    assert_eq!(limits.quota("images"), 3);
    assert_eq!(limits.quota("grants-per-key"), u64::MAX);
    limits.apply("rates", Limit::UNLIMITED).expect("all");
    assert_eq!(limits.list()["ec2-run-instances"], Limit::UNLIMITED);
    assert_eq!(limits.quota("images"), 3, "a quota is no rate");
}

#[test]
fn limits_as_text() {
    let rate = |per_second, burst| Limit::Rate(Rate { per_second, burst });
    for (text, limit) in [
        ("5", Some(Limit::Number(5))),
        ("unlimited", Some(Limit::UNLIMITED)),
        ("0.5/2", Some(rate(0.5, 2.0))),
        ("", None),
        ("-1", None),
        ("5/", None),
        ("many", None),
    ] {
        assert_eq!(text.parse().ok(), limit, "{text}");
    }
    for (json, limit) in [
        ("5", Some(Limit::Number(5))),
        ("\"unlimited\"", Some(Limit::UNLIMITED)),
        (r#"{"per_second": 0.5, "burst": 2}"#, Some(rate(0.5, 2.0))),
        (r#"{"per_second": 0.5}"#, None),
        (r#"{"per_second": 0.5, "burst": 2, "x": 1}"#, None),
        ("-5", None),
    ] {
        assert_eq!(serde_json::from_str(json).ok(), limit, "{json}");
    }
}
