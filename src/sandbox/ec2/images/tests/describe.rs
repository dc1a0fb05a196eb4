use super::*;

#[test]
fn what_cannot_be_asked() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    let cases: &[(Given<'_>, &str)] = &[
        (&[("ImageId.1", "ami-1")], "InvalidAMIID.Malformed"),
        (
            &[("ImageId.1", "snap-00000000000000001")],
            "InvalidAMIID.Malformed",
        ),
        (&[("ImageId.1", "")], "InvalidAMIID.Malformed"),
        (
            &[("ImageId.1", "ami-00000000000000001")],
            "InvalidAMIID.NotFound",
        ),
        (
            &[("ImageId.1", &id), ("ImageId.2", "ami-00000001")],
            "InvalidAMIID.NotFound",
        ),
        (
            &[("ImageId.1", &id), ("MaxResults", "5")],
            "InvalidParameterCombination",
        ),
        (&[("MaxResults", "0")], "InvalidParameterValue"),
        (&[("MaxResults", "1001")], "InvalidParameterValue"),
        (&[("NextToken", "x")], "InvalidNextToken"),
        (&[("Owner.1", "me")], "InvalidUserID.Malformed"),
        (&[("Owner.1", "1111")], "InvalidUserID.Malformed"),
        (
            &[("ExecutableBy.1", "everybody")],
            "InvalidUserID.Malformed",
        ),
        (
            &[("Filter.1.Name", "colour"), ("Filter.1.Value.1", "x")],
            "InvalidParameterValue",
        ),
        (
            &[("Filter.1.Name", "tag-value"), ("Filter.1.Value.1", "x")],
            "InvalidParameterValue",
        ),
        (&[("Filter.1.Name", "name")], "InvalidParameterValue"),
        (&[("IncludeDeprecated", "maybe")], "InvalidParameterValue"),
        (&[("Owners.1", "self")], "UnknownParameter"),
    ];
    for (params, expected) in cases {
        assert_eq!(
            code(&bed, "publisher", "DescribeImages", params),
            *expected,
            "{params:?}"
        );
    }
    let params = [("ImageId.1", &*id)];
    assert_eq!(
        code(&bed, "customer", "DescribeImages", &params),
        "InvalidAMIID.NotFound"
    );
    let there = bed.query(Service::Ec2, "publisher", EU, "DescribeImages", &params);
    assert_eq!(there.expect_err("elsewhere").code, "InvalidAMIID.NotFound");
}

#[test]
fn missing_images_are_all_named() {
    let bed = bed();
    for (ids, message) in [
        (
            vec![("ImageId.1", "ami-00000001")],
            "The image id '[ami-00000001]' does not exist",
        ),
        (
            vec![("ImageId.1", "ami-00000001"), ("ImageId.2", "ami-00000002")],
            "The image ids '[ami-00000001, ami-00000002]' do not exist",
        ),
    ] {
        let error = describe(&bed, "publisher", &ids).expect_err("none of them is there");
        assert_eq!(error.message, message);
    }
}

/// Images: `private` is shared with nobody, `shared` with `customer`, `public` with everybody,
/// `theirs` is of `customer` and shared with `publisher`.
fn several() -> Bed {
    let bed = bed();
    unblock(&bed);
    put_snapshot(&bed, "snap-00000000000000002", |snapshot| {
        snapshot.owner = bed.caller("customer").account;
    });
    register(&bed, "private", &[]).expect("an image");
    let shared = register(&bed, "shared", &[]).expect("an image");
    share_with_customer(&bed, &shared);
    let public = register(&bed, "public", &[]).expect("an image");
    let params = [
        ("ImageId", &*public),
        ("LaunchPermission.Add.1.Group", "all"),
    ];
    ok(&bed, "publisher", "ModifyImageAttribute", &params);
    let theirs = [(
        "BlockDeviceMapping.1.Ebs.SnapshotId",
        "snap-00000000000000002",
    )];
    let answer = ok(
        &bed,
        "customer",
        "RegisterImage",
        &image_params("theirs", &theirs),
    );
    let id = answer.text("imageId");
    let params = [
        ("ImageId", id),
        ("LaunchPermission.Add.1.UserId", "111111111111"),
    ];
    ok(&bed, "customer", "ModifyImageAttribute", &params);
    bed
}

#[test]
fn owners_and_executors() {
    let bed = several();
    let cases: &[(&str, Given<'_>, &[&str])] = &[
        ("publisher", &[], &["private", "public", "shared", "theirs"]),
        ("customer", &[], &["public", "shared", "theirs"]),
        (
            "publisher",
            &[("Owner.1", "self")],
            &["private", "public", "shared"],
        ),
        (
            "publisher",
            &[("Owner.1", "111111111111")],
            &["private", "public", "shared"],
        ),
        (
            "customer",
            &[("Owner.1", "111111111111")],
            &["public", "shared"],
        ),
        (
            "customer",
            &[("Owner.1", "self"), ("Owner.2", "111111111111")],
            &["public", "shared", "theirs"],
        ),
        ("customer", &[("Owner.1", "333333333333")], &[]),
        (
            "customer",
            &[("Owner.1", "amazon"), ("Owner.2", "aws-marketplace")],
            &[],
        ),
        // What is shared with the caller: neither its own nor what everybody has.
        ("customer", &[("ExecutableBy.1", "self")], &["shared"]),
        (
            "customer",
            &[("ExecutableBy.1", "222222222222")],
            &["shared"],
        ),
        ("publisher", &[("ExecutableBy.1", "self")], &["theirs"]),
        ("customer", &[("ExecutableBy.1", "all")], &["public"]),
        (
            "customer",
            &[("ExecutableBy.1", "all"), ("ExecutableBy.2", "self")],
            &["public", "shared"],
        ),
        // What is shared with another, of what the caller sees.
        (
            "publisher",
            &[("ExecutableBy.1", "222222222222")],
            &["shared"],
        ),
        (
            "customer",
            &[("ExecutableBy.1", "111111111111")],
            &["theirs"],
        ),
        (
            "customer",
            &[("ExecutableBy.1", "self"), ("Owner.1", "self")],
            &[],
        ),
    ];
    for (account, params, expected) in cases {
        assert_eq!(
            found(&bed, account, params),
            *expected,
            "{account} {params:?}"
        );
    }
    assert!(
        ok_in(&bed, "publisher", EU, "DescribeImages", &[])
            .all("/name")
            .is_empty(),
        "each Region has its own"
    );
}

#[test]
fn organizations_and_units() {
    let bed = several();
    let organization = Organization::with_customer(&bed);
    let grant = |name: &str, member: &str, arn: &str| {
        let id = register(&bed, name, &[]).expect("an image");
        let member = format!("LaunchPermission.Add.1.{member}");
        let params = [("ImageId", &*id), (&*member, arn)];
        ok(&bed, "publisher", "ModifyImageAttribute", &params);
        id
    };
    let by_organization = grant("by organization", "OrganizationArn", &organization.arn);
    let by_unit = grant("by unit", "OrganizationalUnitArn", &organization.unit_arn);
    let elsewhere = grant(
        "elsewhere",
        "OrganizationalUnitArn",
        &format!("{}x", organization.unit_arn),
    );
    assert_eq!(
        found(&bed, "customer", &[("ExecutableBy.1", "self")]),
        ["by organization", "by unit", "shared"]
    );
    assert_eq!(
        found(&bed, "publisher", &[("ExecutableBy.1", "222222222222")]),
        ["shared"],
        "for another account, only what is shared with its id"
    );
    assert_eq!(launchable(&bed, "customer", &by_organization), Ok(()));
    assert_eq!(launchable(&bed, "customer", &by_unit), Ok(()));
    assert_eq!(
        launchable(&bed, "customer", &elsewhere),
        Err("InvalidAMIID.NotFound".to_owned())
    );
}

/// An organization of `publisher`'s with a unit, and `customer` in a unit of that.
struct Organization {
    arn: String,
    unit_arn: String,
}

impl Organization {
    fn with_customer(bed: &Bed) -> Organization {
        let call = |account: &str, operation: &str, body: serde_json::Value| {
            bed.json(Service::Organizations, account, US, operation, body)
                .unwrap_or_else(|error| panic!("{operation}: {error}"))
        };
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let made = call(
            "publisher",
            "CreateOrganization",
            serde_json::json!({"FeatureSet": "ALL"}),
        );
        let invited = call(
            "publisher",
            "InviteAccountToOrganization",
            serde_json::json!({"Target": {"Id": "222222222222", "Type": "ACCOUNT"}}),
        );
        let handshake = text(&invited["Handshake"]["Id"]);
        call(
            "customer",
            "AcceptHandshake",
            serde_json::json!({"HandshakeId": handshake}),
        );
        let roots = call("publisher", "ListRoots", serde_json::json!({}));
        let root = text(&roots["Roots"][0]["Id"]);
        let unit = |parent: &str, name: &str| {
            let body = serde_json::json!({"ParentId": parent, "Name": name});
            let made = call("publisher", "CreateOrganizationalUnit", body);
            let unit = &made["OrganizationalUnit"];
            (text(&unit["Id"]), text(&unit["Arn"]))
        };
        let (outer, unit_arn) = unit(&root, "outer");
        let (inner, _) = unit(&outer, "inner");
        let body = serde_json::json!({
            "AccountId": "222222222222",
            "SourceParentId": root,
            "DestinationParentId": inner,
        });
        call("publisher", "MoveAccount", body);
        Organization {
            arn: text(&made["Organization"]["Arn"]),
            unit_arn,
        }
    }
}

#[test]
fn filters() {
    let bed = bed();
    put_snapshot(&bed, "snap-00000000000000002", |snapshot| {
        snapshot.key = Some("arn:aws:kms:us-east-1:111111111111:key/k".to_owned());
        snapshot.size_gib = 5;
    });
    let first = [
        ("Description", "the first"),
        ("BootMode", "uefi-preferred"),
        ("EnaSupport", "true"),
        ("SriovNetSupport", "simple"),
        ("TagSpecification.1.ResourceType", "image"),
        ("TagSpecification.1.Tag.1.Key", "stage"),
        ("TagSpecification.1.Tag.1.Value", "test"),
    ];
    let first = register(&bed, "one/x86_64/1", &first).expect("an image");
    let second = [
        ("Architecture", "arm64"),
        ("RootDeviceName", "/dev/sda1"),
        ("BlockDeviceMapping.1.DeviceName", "/dev/sda1"),
        (
            "BlockDeviceMapping.1.Ebs.SnapshotId",
            "snap-00000000000000002",
        ),
        ("BlockDeviceMapping.1.Ebs.VolumeType", "gp2"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false"),
    ];
    register(&bed, "two/arm64/1", &second).expect("an image");
    let today = &bed.shared.clock.now().iso()[..8];
    let (one, two): (&[&str], &[&str]) = (&["one/x86_64/1"], &["two/arm64/1"]);
    let both: &[&str] = &["one/x86_64/1", "two/arm64/1"];
    let day = format!("{today}*");
    let cases: &[(&str, &str, &[&str])] = &[
        ("architecture", "arm64", two),
        ("boot-mode", "uefi-preferred", one),
        ("block-device-mapping.delete-on-termination", "false", two),
        ("block-device-mapping.device-name", "/dev/xvda", one),
        ("block-device-mapping.encrypted", "true", two),
        ("block-device-mapping.encrypted", "false", one),
        ("block-device-mapping.snapshot-id", SNAPSHOT, one),
        ("block-device-mapping.volume-size", "5", two),
        ("block-device-mapping.volume-type", "gp3", one),
        ("creation-date", &day, both),
        ("creation-date", "2001-*", &[]),
        ("description", "the *", one),
        ("ena-support", "true", one),
        ("hypervisor", "xen", both),
        ("image-id", &first, one),
        ("image-type", "machine", both),
        ("is-public", "false", both),
        ("manifest-location", "111111111111/two*", two),
        ("name", "*/x86_64/*", one),
        ("name", "???/arm64/1", two),
        ("name", "one", &[]),
        ("owner-id", "111111111111", both),
        ("root-device-name", "/dev/sda1", two),
        ("root-device-type", "ebs", both),
        ("sriov-net-support", "simple", one),
        ("state", "available", both),
        ("state", "pending", &[]),
        ("state-reason-code", "*", &[]),
        ("tag:stage", "test", one),
        ("tag:stage", "live", &[]),
        ("tag-key", "stage", one),
        ("virtualization-type", "hvm", both),
        // Nothing here has any of these.
        ("owner-alias", "*", &[]),
        ("platform", "windows", &[]),
        ("product-code", "*", &[]),
        ("kernel-id", "*", &[]),
        ("source-image-id", "*", &[]),
        ("source-instance-id", "*", &[]),
        ("scan-result.finding-scan-date", "*", &[]),
        ("image-watermark.watermark-key", "*", &[]),
    ];
    for (name, value, expected) in cases {
        let params = [("Filter.1.Name", *name), ("Filter.1.Value.1", *value)];
        assert_eq!(
            found(&bed, "publisher", &params),
            *expected,
            "{name}={value}"
        );
    }
    let all_must_hold = [
        ("Filter.1.Name", "hypervisor"),
        ("Filter.1.Value.1", "ovm"),
        ("Filter.1.Value.2", "xen"),
        ("Filter.2.Name", "architecture"),
        ("Filter.2.Value.1", "arm64"),
    ];
    assert_eq!(found(&bed, "publisher", &all_must_hold), two);
}

#[test]
fn tags_are_each_accounts_own() {
    let bed = bed();
    let tags = [
        ("TagSpecification.1.ResourceType", "image"),
        ("TagSpecification.1.Tag.1.Key", "stage"),
        ("TagSpecification.1.Tag.1.Value", "test"),
    ];
    let id = register(&bed, "image", &tags).expect("an image");
    share_with_customer(&bed, &id);
    let own = describe(&bed, "publisher", &[]).expect("the image");
    assert_eq!(own.all("tagSet/item[0]/value"), ["test"]);
    let shared = describe(&bed, "customer", &[]).expect("the image");
    assert!(shared.all("/value").is_empty());
    let filter = [("Filter.1.Name", "tag:stage"), ("Filter.1.Value.1", "test")];
    assert_eq!(found(&bed, "publisher", &filter), ["image"]);
    assert!(found(&bed, "customer", &filter).is_empty());
}

#[test]
fn pages() {
    let bed = bed();
    for number in 0..5 {
        register(&bed, &format!("image {number}"), &[]).expect("an image");
    }
    let mut token = String::new();
    let mut sizes = Vec::new();
    let mut names = Vec::new();
    loop {
        let params = [("MaxResults", "2"), ("NextToken", &*token)];
        let answer = describe(&bed, "publisher", &params).expect("a page");
        let page = found(&bed, "publisher", &params);
        sizes.push(page.len());
        names.extend(page);
        match answer.get("nextToken") {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    names.sort();
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(
        names,
        (0..5)
            .map(|number| format!("image {number}"))
            .collect::<Vec<_>>()
    );
}
