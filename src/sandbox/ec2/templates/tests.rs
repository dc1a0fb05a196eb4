use crate::sandbox::ec2::instances::tests::{Lab, Params};

const NAME: (&str, &str) = ("LaunchTemplateName", "nodes");
const RUN: &[(&str, &str)] = &[("MinCount", "1"), ("MaxCount", "1")];

/// Makes the template `nodes`, of the lab's image.
fn made(lab: &Lab, more: Params<'_>) -> String {
    let image = ("LaunchTemplateData.ImageId", lab.image.as_str());
    let params = [&[NAME, image], more].concat();
    let answer = lab.ok("CreateLaunchTemplate", &params);
    answer.text("launchTemplate/launchTemplateId").to_owned()
}

fn versions(lab: &Lab, params: Params<'_>) -> Vec<String> {
    let answer = lab.ok("DescribeLaunchTemplateVersions", params);
    let numbers = answer.all("/versionNumber");
    numbers.iter().map(|number| number.to_string()).collect()
}

#[test]
fn templates_have_versions() {
    let lab = Lab::new();
    let id = made(
        &lab,
        &[("ClientToken", "one"), ("VersionDescription", "first")],
    );
    assert_eq!(
        made(
            &lab,
            &[("ClientToken", "one"), ("VersionDescription", "first")]
        ),
        id
    );
    let other = lab.register("two", &[]);
    let next = lab.ok(
        "CreateLaunchTemplateVersion",
        &[
            ("LaunchTemplateId", &id),
            ("SourceVersion", "1"),
            ("LaunchTemplateData.ImageId", &other),
            ("LaunchTemplateData.InstanceType", "t3.small"),
        ],
    );
    let path = "launchTemplateVersion/";
    assert_eq!(next.text(&format!("{path}versionNumber")), "2");
    assert_eq!(
        next.text(&format!("{path}launchTemplateData/imageId")),
        other
    );
    assert_eq!(next.text(&format!("{path}defaultVersion")), "false");

    assert_eq!(versions(&lab, &[NAME]), ["1", "2"]);
    for (wanted, expected) in [("$Latest", "2"), ("$Default", "1"), ("2", "2")] {
        let of = [
            ("LaunchTemplateId", id.as_str()),
            ("LaunchTemplateVersion.1", wanted),
        ];
        assert_eq!(versions(&lab, &of), [expected], "{wanted}");
    }
    assert_eq!(
        versions(&lab, &[("LaunchTemplateVersion.1", "$Latest")]),
        ["2"]
    );
    let by_image = [
        NAME,
        ("Filter.1.Name", "image-id"),
        ("Filter.1.Value.1", &other),
    ];
    assert_eq!(versions(&lab, &by_image), ["2"]);
    let first = lab.ok(
        "DescribeLaunchTemplateVersions",
        &[NAME, ("MaxResults", "1")],
    );
    let rest = [
        NAME,
        ("MaxResults", "1"),
        ("NextToken", first.text("nextToken")),
    ];
    assert_eq!(versions(&lab, &rest), ["2"]);

    lab.ok("ModifyLaunchTemplate", &[NAME, ("SetDefaultVersion", "2")]);
    let seen = lab.ok(
        "DescribeLaunchTemplates",
        &[("LaunchTemplateName.1", "nodes")],
    );
    let member = |name: &str| {
        seen.text(&format!("launchTemplates/item[0]/{name}"))
            .to_owned()
    };
    assert_eq!(
        (
            member("defaultVersionNumber"),
            member("latestVersionNumber")
        ),
        ("2".into(), "2".into())
    );
    lab.ok("DeleteLaunchTemplate", &[("LaunchTemplateId", &id)]);
    assert_eq!(
        lab.code("DescribeLaunchTemplateVersions", &[NAME]),
        "InvalidLaunchTemplateName.NotFoundException"
    );
}

/// As EC2 shows it: lists are sets, and names begin with a small letter.
#[test]
fn data_is_shown() {
    let lab = Lab::new();
    let data = |name: &'static str| format!("LaunchTemplateData.{name}");
    let given = [
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "3"),
        ("BlockDeviceMapping.2.DeviceName", "/dev/sdf"),
        ("MetadataOptions.HttpTokens", "required"),
        ("NetworkInterface.1.DeviceIndex", "0"),
        ("NetworkInterface.1.SecurityGroupId.1", "sg-1"),
        ("SecurityGroupId.1", "sg-2"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "a"),
        ("TagSpecification.1.Tag.1.Value", "b"),
    ]
    .map(|(name, value)| (data(name), value));
    let given: Vec<(&str, &str)> = given
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    made(&lab, &given);
    let seen = lab.ok("DescribeLaunchTemplateVersions", &[NAME]);
    let folder = "launchTemplateVersionSet/item[0]/launchTemplateData/";
    for (path, expected) in [
        ("imageId", lab.image.as_str()),
        ("blockDeviceMappingSet/item[0]/deviceName", "/dev/xvda"),
        ("blockDeviceMappingSet/item[0]/ebs/volumeSize", "3"),
        ("blockDeviceMappingSet/item[1]/deviceName", "/dev/sdf"),
        ("metadataOptions/httpTokens", "required"),
        ("networkInterfaceSet/item[0]/deviceIndex", "0"),
        ("networkInterfaceSet/item[0]/groupSet/item[0]", "sg-1"),
        ("securityGroupIdSet/item[0]", "sg-2"),
        ("tagSpecificationSet/item[0]/resourceType", "instance"),
        ("tagSpecificationSet/item[0]/tagSet/item[0]/key", "a"),
    ] {
        assert_eq!(seen.text(&format!("{folder}{path}")), expected, "{path}");
    }
}

#[test]
fn instances_are_launched_from_templates() {
    let lab = Lab::new();
    let id = made(
        &lab,
        &[
            ("LaunchTemplateData.InstanceType", "t3.small"),
            (
                "LaunchTemplateData.TagSpecification.1.ResourceType",
                "instance",
            ),
            ("LaunchTemplateData.TagSpecification.1.Tag.1.Key", "role"),
            ("LaunchTemplateData.TagSpecification.1.Tag.1.Value", "node"),
        ],
    );
    let launched = |more: Params<'_>| {
        let answer = lab.ok("RunInstances", &[RUN, more].concat());
        let member = |name: &str| {
            answer
                .text(&format!("instancesSet/item[0]/{name}"))
                .to_owned()
        };
        (
            member("imageId"),
            member("instanceType"),
            member("tagSet/item[0]/value"),
        )
    };
    let expected = |kind: &str| (lab.image.clone(), kind.to_owned(), "node".to_owned());
    assert_eq!(
        launched(&[("LaunchTemplate.LaunchTemplateId", &id)]),
        expected("t3.small")
    );
    let by_name = ("LaunchTemplate.LaunchTemplateName", "nodes");
    let version = ("LaunchTemplate.Version", "$Latest");
    assert_eq!(launched(&[by_name, version]), expected("t3.small"));
    // What the call says itself comes first.
    assert_eq!(
        launched(&[by_name, ("InstanceType", "t3.micro")]),
        expected("t3.micro")
    );

    let code = |more: Params<'_>| lab.code("RunInstances", &[RUN, more].concat());
    let none = "InvalidLaunchTemplateId.VersionNotFound";
    assert_eq!(code(&[by_name, ("LaunchTemplate.Version", "7")]), none);
    let unknown = [("LaunchTemplate.LaunchTemplateId", "lt-00000000000000000")];
    assert_eq!(code(&unknown), "InvalidLaunchTemplateId.NotFound");
    let both = [("LaunchTemplate.LaunchTemplateId", id.as_str()), by_name];
    assert_eq!(code(&both), "InvalidParameterCombination");
}

#[test]
fn what_is_no_template() {
    let lab = Lab::new();
    made(&lab, &[]);
    let image = ("LaunchTemplateData.ImageId", lab.image.as_str());
    for (params, expected) in [
        (
            &[NAME, image][..],
            "InvalidLaunchTemplateName.AlreadyExistsException",
        ),
        (
            &[("LaunchTemplateName", "a b"), image],
            "InvalidLaunchTemplateName.MalformedException",
        ),
        (&[("LaunchTemplateName", "more")], "MissingParameter"),
        (
            &[
                ("LaunchTemplateName", "more"),
                ("LaunchTemplateData.Image", "x"),
            ],
            "UnknownParameter",
        ),
        (&[image], "MissingParameter"),
    ] {
        assert_eq!(
            lab.code("CreateLaunchTemplate", params),
            expected,
            "{params:?}"
        );
    }
    for (id, expected) in [
        ("lt-x", "InvalidLaunchTemplateId.Malformed"),
        ("lt-00000000000000000", "InvalidLaunchTemplateId.NotFound"),
    ] {
        let params = [("LaunchTemplateId", id)];
        assert_eq!(lab.code("DeleteLaunchTemplate", &params), expected);
    }
}

/// Whoever launches from a template asks for what stands in it.
#[test]
fn policies_see_what_a_template_asks_for() {
    let lab = Lab::new();
    let id = made(&lab, &[("LaunchTemplateData.InstanceType", "t3.micro")]);
    let region = "us-east-1";
    let everything_but = |image: &str| {
        serde_json::json!([
            {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "ec2:RunInstances",
             "Resource": format!("arn:aws:ec2:{region}::image/{image}")},
        ])
    };
    let template = ("LaunchTemplate.LaunchTemplateId", id.as_str());
    let run = || {
        let params = [RUN, &[template]].concat();
        lab.bed.ec2("publisher/ci", "RunInstances", &params)
    };
    lab.bed.confine("publisher/ci", everything_but(&lab.image));
    assert_eq!(
        run().expect_err("it is denied").code,
        "UnauthorizedOperation"
    );
    lab.bed.confine("publisher/ci", everything_but("ami-0"));
    run().expect("it is another image");
}
