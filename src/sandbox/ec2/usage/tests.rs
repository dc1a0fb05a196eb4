use std::time::Duration;

use crate::sandbox::ec2::instances::tests::{Lab, Params};
use crate::sandbox::testing::Xml;

const BOTH: &[(&str, &str)] = &[
    ("ResourceType.1.ResourceType", "ec2:Instance"),
    ("ResourceType.2.ResourceType", "ec2:LaunchTemplate"),
];

/// The lab's image shared with `customer`, who has an instance of it and a template with four
/// versions, the first of which names it.
fn used() -> (Lab, String) {
    let lab = Lab::new();
    let customer = lab.bed.caller("customer").account;
    let permission = ("LaunchPermission.Add.1.UserId", customer.as_str());
    let image = ("ImageId", lab.image.as_str());
    lab.ok("ModifyImageAttribute", &[image, permission]);
    let launched = lab.run_as("customer", &[]).expect("an instance");
    let instance = launched.text("instancesSet/item[0]/instanceId").to_owned();
    template(&lab, "customer");
    (lab, instance)
}

fn template(lab: &Lab, account: &str) {
    let name = ("LaunchTemplateName", "nodes");
    let image = ("LaunchTemplateData.ImageId", lab.image.as_str());
    let call = |action, params: Params<'_>| {
        lab.bed.ec2(account, action, params).expect("a template");
    };
    call("CreateLaunchTemplate", &[name, image]);
    for _ in 0..3 {
        let other = ("LaunchTemplateData.ImageId", "ami-00000000");
        call("CreateLaunchTemplateVersion", &[name, other]);
    }
}

fn report(lab: &Lab, more: Params<'_>) -> String {
    let params = [&[("ImageId", lab.image.as_str())], more].concat();
    let made = lab.ok("CreateImageUsageReport", &params);
    made.text("reportId").to_owned()
}

/// Kind, account and count of each entry.
fn entries(lab: &Lab, report: &str) -> Vec<(String, String, String)> {
    let answer = lab.ok("DescribeImageUsageReportEntries", &[("ReportId.1", report)]);
    let column = |answer: &Xml, name: &str| {
        let all = answer.all(name);
        all.iter().map(|text| text.to_string()).collect::<Vec<_>>()
    };
    let kinds = column(&answer, "/resourceType");
    let accounts = column(&answer, "/accountId");
    let counts = column(&answer, "/usageCount");
    let rest = accounts.into_iter().zip(counts);
    kinds
        .into_iter()
        .zip(rest)
        .map(|(kind, (account, count))| (kind, account, count))
        .collect()
}

#[test]
fn reports_say_who_else_uses_an_image() {
    let (lab, instance) = used();
    lab.launched(&[]);
    let customer = lab.bed.caller("customer").account.to_string();
    let entry = |kind: &str| (kind.to_owned(), customer.clone(), "1".to_owned());
    let both = [entry("ec2:Instance"), entry("ec2:LaunchTemplate")];
    let id = report(&lab, BOTH);
    assert_eq!(entries(&lab, &id), both);
    // The publisher's own are not among them, nor what an old version of a template names.
    let depth = [
        (
            "ResourceType.2.ResourceTypeOption.1.OptionName",
            "version-depth",
        ),
        ("ResourceType.2.ResourceTypeOption.1.OptionValue.1", "3"),
    ];
    let shallow = report(&lab, &[BOTH, &depth].concat());
    assert_eq!(entries(&lab, &shallow), both[..1]);
    let others = report(&lab, &[BOTH, &[("AccountId.1", "999999999999")]].concat());
    assert_eq!(entries(&lab, &others), []);

    // What is terminated uses nothing; a report is of its moment.
    let ended = [("InstanceId.1", instance.as_str())];
    let ended = lab.bed.ec2("customer", "TerminateInstances", &ended);
    ended.expect("it ends");
    lab.bed.shared.settle();
    assert_eq!(entries(&lab, &id), both);
    assert_eq!(entries(&lab, &report(&lab, BOTH)), both[1..]);

    let seen = lab.ok("DescribeImageUsageReports", &[("ReportId.1", &shallow)]);
    let path = "imageUsageReportSet/item[0]/";
    assert_eq!(seen.text(&format!("{path}state")), "available");
    let option = "resourceTypeSet/item[1]/resourceTypeOptionSet/item[0]/optionValueSet/item[0]";
    assert_eq!(seen.text(&format!("{path}{option}")), "3");
    lab.ok("DeleteImageUsageReport", &[("ReportId", &id)]);
    let gone = [("ReportId.1", id.as_str())];
    let code = lab.code("DescribeImageUsageReportEntries", &gone);
    assert_eq!(code, "InvalidImageUsageReportId.NotFound");
}

#[test]
fn reports_take_their_time_and_go_by_themselves() {
    let (lab, _) = used();
    let clock = &lab.bed.shared.clock;
    clock.set_scale(1.0);
    let id = report(&lab, BOTH);
    let state = || {
        let seen = lab.ok("DescribeImageUsageReports", &[("ImageId.1", &lab.image)]);
        seen.get("imageUsageReportSet/item[0]/state")
            .map(str::to_owned)
    };
    assert_eq!(state().as_deref(), Some("pending"));
    assert_eq!(entries(&lab, &id), []);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(state().as_deref(), Some("available"));
    assert_eq!(entries(&lab, &id).len(), 2);
    clock.advance(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(state(), None);
}

#[test]
fn owners_alone_get_reports() {
    let (lab, _) = used();
    let params = [BOTH, &[("ImageId", lab.image.as_str())]].concat();
    let error = lab.bed.ec2("customer", "CreateImageUsageReport", &params);
    assert_eq!(error.expect_err("it is not theirs").code, "AuthFailure");
    let image = ("ImageId", lab.image.as_str());
    for (params, expected) in [
        (&[image][..], "MissingParameter"),
        (
            &[image, ("ResourceType.1.ResourceType", "ssm:Parameter")],
            "InvalidParameterValue",
        ),
        (
            &[("ImageId", "ami-00000000"), BOTH[0]],
            "InvalidAMIID.NotFound",
        ),
        (
            &[image, BOTH[0], ("AccountId.1", "me")],
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(
            lab.code("CreateImageUsageReport", params),
            expected,
            "{params:?}"
        );
    }
}

#[test]
fn references_are_the_callers_own() {
    let (lab, _) = used();
    let instance = lab.launched(&[]);
    template(&lab, "publisher");
    let named = |more: Params<'_>| {
        let params = [&[("ImageId.1", lab.image.as_str())], more].concat();
        let answer = lab.ok("DescribeImageReferences", &params);
        let arns = answer.all("/arn");
        let short = |arn: &&str| arn.rsplit(':').next().expect("a part").to_owned();
        arns.iter().map(short).collect::<Vec<_>>()
    };
    let all = named(&[("IncludeAllResourceTypes", "true")]);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0], format!("instance/{instance}"));
    assert!(all[1].starts_with("launch-template/lt-"), "{all:?}");
    assert_eq!(named(BOTH), all);
    let stopped = [
        BOTH[0],
        (
            "ResourceType.1.ResourceTypeOption.1.OptionName",
            "state-name",
        ),
        (
            "ResourceType.1.ResourceTypeOption.1.OptionValue.1",
            "stopped",
        ),
    ];
    assert_eq!(named(&stopped), [""; 0]);
    assert_eq!(
        named(&[("ResourceType.1.ResourceType", "ssm:Parameter")]),
        [""; 0]
    );
    lab.ok("TerminateInstances", &[("InstanceId.1", &instance)]);
    lab.bed.shared.settle();
    assert_eq!(named(BOTH), all[1..]);

    let image = ("ImageId.1", lab.image.as_str());
    for (params, expected) in [
        (&[image][..], "MissingParameter"),
        (&[("IncludeAllResourceTypes", "true")], "MissingParameter"),
        (
            &[image, ("ResourceType.1.ResourceType", "s3:Object")],
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(
            lab.code("DescribeImageReferences", params),
            expected,
            "{params:?}"
        );
    }
}
