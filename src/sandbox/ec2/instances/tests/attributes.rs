use super::Lab;

/// The value of an attribute; `-` where it has none.
fn attribute(lab: &Lab, id: &str, name: &str) -> String {
    let xml = lab.ok(
        "DescribeInstanceAttribute",
        &[("InstanceId", id), ("Attribute", name)],
    );
    let value = xml.get(&format!("{name}/value"));
    value.unwrap_or("-").to_owned()
}

#[test]
fn attributes_as_launched() {
    let lab = Lab::new();
    let id = lab.launched(&[("UserData", "IyEvYmluL3No")]);
    for (name, value) in [
        ("instanceType", "t3.micro"),
        ("userData", "IyEvYmluL3No"),
        ("disableApiTermination", "false"),
        ("disableApiStop", "false"),
        ("instanceInitiatedShutdownBehavior", "stop"),
        ("rootDeviceName", "/dev/xvda"),
        ("sourceDestCheck", "true"),
        ("ebsOptimized", "false"),
        ("enaSupport", "true"),
        ("kernel", "-"),
    ] {
        assert_eq!(attribute(&lab, &id, name), value, "{name}");
    }
    let plain = lab.launched(&[]);
    assert_eq!(attribute(&lab, &plain, "userData"), "-");
    let named = |name| [("InstanceId", id.as_str()), ("Attribute", name)];
    let groups = lab.ok("DescribeInstanceAttribute", &named("groupSet"));
    assert!(groups.text("groupSet/item[0]/groupId").starts_with("sg-"));
    let disks = lab.ok("DescribeInstanceAttribute", &named("blockDeviceMapping"));
    assert_eq!(
        disks.text("blockDeviceMapping/item[0]/deviceName"),
        "/dev/xvda"
    );
    assert_eq!(
        lab.code("DescribeInstanceAttribute", &named("nonsense")),
        "InvalidParameterValue"
    );
}

#[test]
fn changes_and_when_they_can_be_made() {
    let lab = Lab::new();
    let running = lab.launched(&[]);
    let stopped = lab.launched(&[]);
    lab.ok("StopInstances", &[("InstanceId.1", &stopped)]);
    let gone = lab.launched(&[]);
    lab.ok("TerminateInstances", &[("InstanceId.1", &gone)]);
    for (id, params, code) in [
        (&running, &[("DisableApiTermination.Value", "true")][..], ""),
        (&running, &[("SourceDestCheck.Value", "false")], ""),
        (
            &running,
            &[("Attribute", "disableApiStop"), ("Value", "true")],
            "",
        ),
        (
            &running,
            &[("InstanceInitiatedShutdownBehavior.Value", "terminate")],
            "",
        ),
        (&stopped, &[("UserData.Value", "eA==")], ""),
        (&stopped, &[("InstanceType.Value", "t3.small")], ""),
        (
            &running,
            &[("UserData.Value", "eA==")],
            "IncorrectInstanceState",
        ),
        (
            &running,
            &[("InstanceType.Value", "t3.small")],
            "IncorrectInstanceState",
        ),
        (
            &running,
            &[("EbsOptimized.Value", "true")],
            "IncorrectInstanceState",
        ),
        (
            &gone,
            &[("DisableApiStop.Value", "true")],
            "IncorrectInstanceState",
        ),
        (
            &stopped,
            &[("UserData.Value", "%")],
            "InvalidUserData.Malformed",
        ),
        (
            &stopped,
            &[("InstanceType.Value", "t4g.micro")],
            "InvalidInstanceAttributeValue",
        ),
        (
            &stopped,
            &[("InstanceType.Value", "none")],
            "InvalidInstanceAttributeValue",
        ),
        (
            &running,
            &[("InstanceInitiatedShutdownBehavior.Value", "sleep")],
            "InvalidParameterValue",
        ),
        (
            &running,
            &[("DisableApiStop.Value", "maybe")],
            "InvalidParameterValue",
        ),
        (&running, &[("GroupId.1", "sg-1")], "InvalidGroup.NotFound"),
        (
            &running,
            &[("Kernel.Value", "aki-1")],
            "UnsupportedOperation",
        ),
        (
            &running,
            &[("EnaSupport.Value", "true")],
            "UnsupportedOperation",
        ),
        (&running, &[], "InvalidParameterCombination"),
        (
            &running,
            &[
                ("DisableApiStop.Value", "true"),
                ("SourceDestCheck.Value", "true"),
            ],
            "InvalidParameterCombination",
        ),
        (
            &running,
            &[("Attribute", "rootDeviceName"), ("Value", "/dev/sda")],
            "InvalidParameterValue",
        ),
        (
            &running,
            &[
                ("BlockDeviceMapping.1.DeviceName", "/dev/sdz"),
                ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false"),
            ],
            "InvalidInstanceAttributeValue",
        ),
        (
            &running,
            &[
                ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
                ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false"),
            ],
            "",
        ),
    ] {
        let mut all = vec![("InstanceId", id.as_str())];
        all.extend(params);
        assert_eq!(
            lab.code("ModifyInstanceAttribute", &all),
            code,
            "{params:?}"
        );
    }
    for (id, name, value) in [
        (&running, "disableApiTermination", "true"),
        (&running, "sourceDestCheck", "false"),
        (&running, "disableApiStop", "true"),
        (&running, "instanceInitiatedShutdownBehavior", "terminate"),
        (&stopped, "userData", "eA=="),
        (&stopped, "instanceType", "t3.small"),
    ] {
        assert_eq!(attribute(&lab, id, name), value, "{name}");
    }
    assert_eq!(
        lab.member(
            &running,
            "blockDeviceMapping/item[0]/ebs/deleteOnTermination"
        ),
        "false"
    );
}

#[test]
fn metadata_options_change_by_what_is_given() {
    let lab = Lab::new();
    let id = lab.launched(&[]);
    let modify = |params: &[(&'static str, &'static str)]| {
        let mut all = vec![("InstanceId", id.as_str())];
        all.extend(params);
        lab.code("ModifyInstanceMetadataOptions", &all)
    };
    assert_eq!(modify(&[("HttpTokens", "optional")]), "");
    assert_eq!(modify(&[("InstanceMetadataTags", "enabled")]), "");
    for (path, value) in [
        ("httpTokens", "optional"),
        ("httpPutResponseHopLimit", "2"),
        ("httpEndpoint", "enabled"),
        ("instanceMetadataTags", "enabled"),
    ] {
        let path = format!("metadataOptions/{path}");
        assert_eq!(lab.member(&id, &path), value, "{path}");
    }
    assert_eq!(modify(&[]), "MissingParameter");
    assert_eq!(modify(&[("HttpTokens", "x")]), "InvalidParameterValue");
    lab.ok("TerminateInstances", &[("InstanceId.1", &id)]);
    assert_eq!(
        modify(&[("HttpEndpoint", "disabled")]),
        "IncorrectInstanceState"
    );
}
