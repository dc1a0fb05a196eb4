//! Which calls a rule is for, how often, and what befalls them.

use super::*;
use crate::sandbox::testing::Bed;

fn read(json: &str) -> Result<Rule, String> {
    let rule: Rule = serde_json::from_str(json).map_err(|error| error.to_string())?;
    rule.check()?;
    Ok(rule)
}

fn call<'a>(service: Service, operation: &'a str) -> Subject<'a> {
    Subject {
        service,
        operation,
        caller: None,
        region: None,
    }
}

#[test]
fn rules_as_json() {
    for (json, ok) in [
        (r#"{"action": "throttle"}"#, true),
        (
            r#"{"service": "ec2", "operation": "CopyImage", "region": "us-east-1",
             "account": "111111111111", "nth": 2, "action": "deny"}"#,
            true,
        ),
        (
            r#"{"skip": 1, "times": 2, "action": {"delay": {"ms": 5}}}"#,
            true,
        ),
        (
            r#"{"action": {"error": {"status": 500, "code": "InternalError"}}}"#,
            true,
        ),
        (
            r#"{"action": {"error": {"status": 200, "code": "InternalError"}}}"#,
            false,
        ),
        (
            r#"{"action": {"error": {"status": 500, "code": "a\nb"}}}"#,
            false,
        ),
        (
            r#"{"action": {"error": {"status": 500, "code": ""}}}"#,
            false,
        ),
        (r#"{"action": {"delay": {"ms": 600001}}}"#, false),
        (r#"{"action": {"delay": {}}}"#, false),
        (r#"{"action": "close-before"}"#, true),
        (r#"{"action": "close-after"}"#, true),
        (r#"{"action": "stall"}"#, true),
        (r#"{"action": "expire-credentials"}"#, true),
        (r#"{"action": "no-capacity"}"#, true),
        (
            r#"{"operation": "RunInstances", "action": "no-capacity"}"#,
            true,
        ),
        (
            r#"{"operation": "CopyImage", "action": "no-capacity"}"#,
            false,
        ),
        (r#"{"service": "kms", "action": "no-capacity"}"#, false),
        (r#"{"action": {"fail-later": {"reason": "x"}}}"#, true),
        (
            r#"{"service": "kms", "action": {"fail-later": {"reason": "x"}}}"#,
            false,
        ),
        (r#"{"action": {"stale-reads": {"ms": 5}}}"#, true),
        (
            r#"{"service": "s3", "action": {"stale-reads": {"ms": 5}}}"#,
            false,
        ),
        (
            r#"{"operation": "DescribeImages", "action": {"stale-reads": {"ms": 5}}}"#,
            false,
        ),
        (r#"{"action": {"stale-reads": {"ms": 3600001}}}"#, false),
        (r#"{"nth": 0, "action": "deny"}"#, false),
        (r#"{"times": 0, "action": "deny"}"#, false),
        (r#"{"nth": 1, "times": 1, "action": "deny"}"#, false),
        (r#"{"nth": 1, "skip": 1, "action": "deny"}"#, false),
        (r#"{"service": "iam", "action": "deny"}"#, false),
        (r#"{"region": "mars-1", "action": "deny"}"#, false),
        (r#"{"account": "1", "action": "deny"}"#, false),
        (r#"{"action": "explode"}"#, false),
        (r#"{"what": 1, "action": "deny"}"#, false),
        (r#"{}"#, false),
    ] {
        assert_eq!(read(json).is_ok(), ok, "{json}: {:?}", read(json));
        if let Ok(rule) = read(json) {
            let again = serde_json::to_string(&rule).expect("JSON");
            assert_eq!(read(&again), Ok(rule), "{again}");
        }
    }
}

#[test]
fn which_calls_a_rule_is_for() {
    let bed = Bed::new();
    let publisher = bed.caller("publisher");
    let here: Region = "us-east-1".parse().expect("a Region");
    let call = Subject {
        caller: Some(&publisher),
        region: Some(&here),
        ..call(Service::Ec2, "CopyImage")
    };
    let deny = || Rule::new(Action::Deny);
    let account = |id: &str| id.parse::<AccountId>().expect("an id");
    for (rule, applies) in [
        (deny(), true),
        (Rule::on(Service::Ec2, "CopyImage", Action::Deny), true),
        (Rule::on(Service::Ec2, "CopySnapshot", Action::Deny), false),
        (Rule::on(Service::Ebs, "CopyImage", Action::Deny), false),
        (deny().in_region(here.clone()), true),
        (
            deny().in_region("us-west-2".parse().expect("a Region")),
            false,
        ),
        (deny().by_account(account("111111111111")), true),
        (deny().by_account(account("222222222222")), false),
    ] {
        let faults = Faults::default();
        let id = faults.add(rule.clone()).expect("a rule");
        let plan = faults.plan(&call, "");
        assert_eq!(plan.refusal.is_some(), applies, "{rule:?}");
        let fault = faults.get(id).expect("the fault");
        assert_eq!(
            (fault.seen, fault.applied),
            (applies.into(), applies.into())
        );
    }
    // Who calls is not known: the rule of an account is not for that.
    let faults = Faults::default();
    faults
        .add(deny().by_account(account("111111111111")))
        .expect("a rule");
    let unknown = Subject {
        caller: None,
        ..call
    };
    assert_eq!(faults.plan(&unknown, ""), Plan::default());
}

use crate::sandbox::id::AccountId;

#[test]
fn how_often_a_rule_applies() {
    let deny = || Rule::new(Action::Deny);
    for (rule, applied) in [
        (deny(), "xxxxx"),
        (deny().nth(1), "x...."),
        (deny().nth(3), "..x.."),
        (deny().times(2), "xx..."),
        (deny().skip(2), "..xxx"),
        (deny().skip(1).times(2), ".xx.."),
    ] {
        let faults = Faults::default();
        faults.add(rule.clone()).expect("a rule");
        let found: String = (0..5)
            .map(
                |_| match faults.plan(&call(Service::Kms, "Encrypt"), "").refusal {
                    Some(_) => 'x',
                    None => '.',
                },
            )
            .collect();
        assert_eq!(found, applied, "{rule:?}");
    }
}

#[test]
fn rules_apply_together_up_to_a_refusal() {
    let faults = Faults::default();
    let ms = |ms| Action::Delay { ms };
    let first = faults.add(Rule::new(ms(10))).expect("a rule");
    let second = faults.add(Rule::new(ms(5)).nth(1)).expect("a rule");
    let third = faults
        .add(Rule::new(Action::Throttle).times(1))
        .expect("a rule");
    let fourth = faults.add(Rule::new(Action::CloseAfter)).expect("a rule");
    let plan = faults.plan(&call(Service::Ec2, "CopyImage"), "");
    assert_eq!(plan.faults, [first, second, third]);
    assert_eq!(plan.delay, Duration::from_millis(15));
    assert!(plan.refusal.is_some() && !plan.close_after);
    assert_eq!(faults.get(fourth).map(|fault| fault.seen), Some(0));
    let plan = faults.plan(&call(Service::Ec2, "CopyImage"), "");
    assert_eq!(plan.faults, [first, fourth]);
    assert!(plan.refusal.is_none() && plan.close_after);

    assert!(faults.remove(first) && !faults.remove(first));
    let ids: Vec<u64> = faults.list().iter().map(|fault| fault.id).collect();
    assert_eq!(ids, [second, third, fourth]);
    faults.clear();
    assert_eq!(
        faults.plan(&call(Service::Ec2, "CopyImage"), ""),
        Plan::default()
    );
}

#[test]
fn each_action_in_each_services_words() {
    let error = |code: &str| Action::Error {
        status: 500,
        code: code.to_owned(),
        message: String::new(),
    };
    for (service, action, code, status) in [
        (Service::Ec2, Action::Throttle, "RequestLimitExceeded", 503),
        (
            Service::Ebs,
            Action::Throttle,
            "RequestThrottledException",
            400,
        ),
        (Service::Ec2, Action::Deny, "UnauthorizedOperation", 403),
        (Service::Ebs, Action::Deny, "AccessDeniedException", 403),
        (Service::Kms, Action::Deny, "AccessDeniedException", 400),
        (Service::Sts, Action::Deny, "AccessDenied", 403),
        (Service::S3, Action::Deny, "AccessDenied", 403),
        (
            Service::Organizations,
            Action::Deny,
            "AccessDeniedException",
            400,
        ),
        (
            Service::Ec2,
            Action::ExpireCredentials,
            "RequestExpired",
            400,
        ),
        (Service::S3, Action::ExpireCredentials, "ExpiredToken", 400),
        (
            Service::Kms,
            Action::ExpireCredentials,
            "ExpiredTokenException",
            400,
        ),
        (Service::Ec2, error("InternalError"), "InternalError", 500),
    ] {
        let faults = Faults::default();
        faults.add(Rule::new(action.clone())).expect("a rule");
        match faults.plan(&call(service, "X"), "").refusal {
            Some(Refusal::Error(error)) => {
                let found = (&*error.code, error.status);
                assert_eq!(found, (code, status), "{service:?} {action:?}");
            }
            other => panic!("{service:?} {action:?}: {other:?}"),
        }
    }
    for (action, refusal) in [
        (Action::CloseBefore, Refusal::Close),
        (Action::Stall, Refusal::Stall),
    ] {
        let faults = Faults::default();
        faults.add(Rule::new(action)).expect("a rule");
        assert_eq!(
            faults.plan(&call(Service::S3, "X"), "").refusal,
            Some(refusal)
        );
    }
}

#[test]
fn mishaps_are_for_calls_that_can_have_them() {
    let reason = || "Client.InternalError".to_owned();
    let fail = Action::FailLater { reason: reason() };
    let stale = Action::StaleReads { ms: 1 };
    for (action, service, operation, applies) in [
        (Action::NoCapacity, Service::Ec2, "RunInstances", true),
        (Action::NoCapacity, Service::Ec2, "CopyImage", false),
        (fail.clone(), Service::Ec2, "CopyImage", true),
        (fail.clone(), Service::Ebs, "StartSnapshot", true),
        (fail.clone(), Service::Ec2, "DescribeImages", false),
        (fail.clone(), Service::Kms, "CreateKey", false),
        (stale.clone(), Service::Ec2, "CopyImage", true),
        (stale.clone(), Service::Ec2, "DescribeImages", false),
        (stale.clone(), Service::S3, "PutObject", false),
    ] {
        let faults = Faults::default();
        faults.add(Rule::new(action.clone())).expect("a rule");
        let plan = faults.plan(&call(service, operation), "");
        assert_eq!(!plan.faults.is_empty(), applies, "{action:?} {operation}");
        let mishaps = plan.mishaps;
        assert_eq!(mishaps.no_capacity, applies && action == Action::NoCapacity);
        assert_eq!(mishaps.fail_later, (applies && action == fail).then(reason));
    }
}

#[test]
fn reads_see_the_old_world_where_the_write_was() {
    let bed = Bed::new();
    let world = bed.shared.snapshot();
    let (here, there): (Region, Region) = (
        "us-east-1".parse().expect("a Region"),
        "us-west-2".parse().expect("a Region"),
    );
    let at = |region, service, operation| Subject {
        region: Some(region),
        ..call(service, operation)
    };
    let faults = Faults::default();
    let write = at(&here, Service::Ec2, "CreateVolume");
    faults.show_old_world(&write, Arc::clone(&world), Duration::from_secs(60));
    for (subject, old) in [
        (at(&here, Service::Ec2, "DescribeVolumes"), true),
        (at(&here, Service::Ec2, "GetConsoleOutput"), true),
        (at(&here, Service::Ec2, "CreateVolume"), false),
        (at(&there, Service::Ec2, "DescribeVolumes"), false),
        (at(&here, Service::Ebs, "ListSnapshotBlocks"), false),
    ] {
        let found = faults.old_world(&subject);
        assert_eq!(found.is_some(), old, "{subject:?}");
    }
    // Of two, the older one; when it is over, none.
    let newer = bed.shared.snapshot();
    faults.show_old_world(&write, newer, Duration::from_secs(60));
    let seen = faults.old_world(&at(&here, Service::Ec2, "DescribeVolumes"));
    assert!(Arc::ptr_eq(&seen.expect("a world"), &world));
    faults.clear();
    faults.show_old_world(&write, world, Duration::ZERO);
    let seen = faults.old_world(&at(&here, Service::Ec2, "DescribeVolumes"));
    assert!(seen.is_none());
}

#[test]
fn each_request_is_counted_for_itself() {
    let faults = Faults::default();
    let rule = Rule::new(Action::Throttle).times(2).each();
    let id = faults.add(rule).expect("a rule");
    let refused =
        |call: &Subject, parameters: &str| faults.plan(call, parameters).refusal.is_some();
    let copy = call(Service::Ec2, "CopyImage");
    let there: Region = "eu-west-1".parse().expect("a Region");
    let elsewhere = Subject {
        region: Some(&there),
        ..copy
    };
    for other in [
        (copy, "{}"),
        (copy, r#"{"a": "b"}"#),
        (call(Service::Ec2, "CopySnapshot"), "{}"),
        (call(Service::Ebs, "CopyImage"), "{}"),
        (elsewhere, "{}"),
    ] {
        let met: Vec<bool> = (0..4).map(|_| refused(&other.0, other.1)).collect();
        assert_eq!(met, [true, true, false, false], "{other:?}");
    }
    let fault = faults.get(id).expect("the fault");
    assert_eq!((fault.seen, fault.applied), (20, 10));
}
