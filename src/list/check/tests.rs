use std::time::Duration;

use super::*;
use crate::aws::error::{Details, kind};
use crate::aws::testing::region;
use crate::list::testing::{OTHER, OWNER, account};

fn error(action: &'static str, status: u16, code: &str, message: &str) -> AwsError {
    AwsError::from(Details {
        action,
        resource: "x".to_owned(),
        region: region("eu-west-1"),
        account: None,
        kind: kind(status, code, message),
        code: Some(code.to_owned()),
        message: message.to_owned(),
        request_id: None,
        attempts: 1,
        elapsed: Duration::ZERO,
    })
}

#[test]
fn what_is_missing_is_told_from_what_was_not_tried() {
    let launch = "ec2:RunInstances";
    for (action, status, code, message, expected, next) in [
        (
            launch,
            403,
            "UnauthorizedOperation",
            "",
            Outcome::Missing,
            "list --setup",
        ),
        (
            launch,
            400,
            "InvalidAMIID.NotFound",
            "",
            Outcome::Missing,
            "to share the AMI",
        ),
        (
            launch,
            400,
            "VPCIdNotSpecified",
            "",
            Outcome::NotTried,
            "a subnet",
        ),
        (
            launch,
            500,
            "InsufficientInstanceCapacity",
            "",
            Outcome::NotTried,
            "a subnet",
        ),
        (
            launch,
            503,
            "ServiceUnavailable",
            "",
            Outcome::NotTried,
            "a subnet",
        ),
        (
            "kms:Decrypt",
            400,
            "AccessDeniedException",
            "no resource-based policy allows it",
            Outcome::Missing,
            "ask the publisher, account 111122223333, to let account 444455556666",
        ),
        (
            "kms:Decrypt",
            400,
            "AccessDeniedException",
            "because no identity-based policy allows the kms:Decrypt action",
            Outcome::Missing,
            "list --setup",
        ),
        (
            "kms:DescribeKey",
            400,
            "NotFoundException",
            "",
            Outcome::Missing,
            "tell the publisher",
        ),
    ] {
        let error = error(action, status, code, message);
        assert_eq!(outcome(&error), expected, "{code}");
        let told = advice(action, &error, &account(OWNER), &account(OTHER));
        assert!(told.contains(next), "{code}: {told}");
    }
}

#[test]
fn a_report_says_what_is_missing_below_the_table() {
    let check = |action, outcome, why: Option<&str>| Check {
        region: region("eu-west-1"),
        action,
        resource: "ami-1".to_owned(),
        outcome,
        why: why.map(str::to_owned),
        advice: why.map(|_| "do it".to_owned()),
    };
    let mut report = Report {
        checks: vec![check("ec2:RunInstances", Outcome::Works, None)],
    };
    assert!(!report.is_lacking());
    report
        .checks
        .push(check("kms:Decrypt", Outcome::NotTried, Some("no")));
    assert!(!report.is_lacking());
    report
        .checks
        .push(check("kms:CreateGrant", Outcome::Missing, Some("refused")));
    assert!(report.is_lacking());
    let text = report.text();
    assert!(
        text.contains("kms:CreateGrant   ami-1     MISSING"),
        "{text}"
    );
    assert!(
        text.ends_with("\neu-west-1, kms:CreateGrant: refused\n  next: do it\n"),
        "{text}"
    );
}
