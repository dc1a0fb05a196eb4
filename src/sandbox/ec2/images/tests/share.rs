use super::*;

const ORGANIZATION: &str = "arn:aws:organizations::999999999999:organization/o-abcdefghij";
const UNIT: &str = "arn:aws:organizations::999999999999:ou/o-abcdefghij/ou-ab12-11111111";

fn modify(bed: &Bed, id: &str, params: &[(&str, &str)]) -> Result<Xml, ServiceError> {
    let mut all = vec![("ImageId", id)];
    all.extend(params);
    bed.ec2("publisher", "ModifyImageAttribute", &all)
}

fn permissions(bed: &Bed, id: &str) -> Vec<String> {
    let params = [("ImageId", id), ("Attribute", "launchPermission")];
    let answer = ok(bed, "publisher", "DescribeImageAttribute", &params);
    let entries = answer.0.iter().filter(|(path, _)| path.contains("item["));
    entries
        .map(|(path, value)| {
            let kind = path.rsplit('/').next().unwrap_or_default();
            format!("{kind}={value}")
        })
        .collect()
}

#[test]
fn what_cannot_be_modified() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    share_with_customer(&bed, &id);
    let long_text = "d".repeat(256);
    let cases: &[(Given<'_>, &str)] = &[
        (&[], "InvalidParameterCombination"),
        (&[("Attribute", "launchPermission")], "MissingParameter"),
        (&[("OperationType", "add")], "MissingParameter"),
        (
            &[("Attribute", "bootMode"), ("Value", "uefi")],
            "InvalidParameterValue",
        ),
        (
            &[("Attribute", "description"), ("Value", &long_text)],
            "InvalidParameterValue",
        ),
        (
            &[("Description.Value", &long_text)],
            "InvalidParameterValue",
        ),
        (&[("Description.Text", "x")], "UnknownParameter"),
        (
            &[("Description.Value", "x"), ("Value", "y")],
            "UnknownParameter",
        ),
        (
            &[("Description.Value", "x"), ("ImdsSupport.Value", "v2.0")],
            "InvalidParameterCombination",
        ),
        (
            &[("Description.Value", "x"), ("Attribute", "imdsSupport")],
            "InvalidParameterCombination",
        ),
        (&[("ImdsSupport.Value", "v1.0")], "InvalidParameterValue"),
        (&[("ImdsSupport.Value", "")], "InvalidParameterValue"),
        (&[("ProductCode.1", "abc")], "UnsupportedOperation"),
        (
            &[("LaunchPermission.Add.1.UserId", "1111")],
            "InvalidAMIAttributeItemValue",
        ),
        (
            &[("LaunchPermission.Add.1.UserId", "2222-2222-2222")],
            "InvalidAMIAttributeItemValue",
        ),
        // No such account.
        (
            &[("LaunchPermission.Add.1.UserId", "333333333333")],
            "InvalidAMIAttributeItemValue",
        ),
        (
            &[("LaunchPermission.Add.1.Group", "everybody")],
            "InvalidAMIAttributeItemValue",
        ),
        (
            &[("LaunchPermission.Add.1.OrganizationArn", UNIT)],
            "InvalidAMIAttributeItemValue",
        ),
        (
            &[("LaunchPermission.Add.1.OrganizationArn", "o-abcdefghij")],
            "InvalidAMIAttributeItemValue",
        ),
        (
            &[("LaunchPermission.Add.1.OrganizationalUnitArn", ORGANIZATION)],
            "InvalidAMIAttributeItemValue",
        ),
        (
            &[
                ("LaunchPermission.Add.1.UserId", "222222222222"),
                ("LaunchPermission.Add.1.Group", "all"),
            ],
            "InvalidParameterCombination",
        ),
        (
            &[("LaunchPermission.Add.1.Colour", "blue")],
            "InvalidParameterCombination",
        ),
        (
            &[("OperationType", "give"), ("UserId.1", "222222222222")],
            "InvalidParameterValue",
        ),
        (&[("UserId.1", "222222222222")], "MissingParameter"),
        (
            &[("OperationType", "add"), ("UserGroup.1", "some")],
            "InvalidAMIAttributeItemValue",
        ),
        // New accounts block it.
        (
            &[("LaunchPermission.Add.1.Group", "all")],
            "OperationNotPermitted",
        ),
    ];
    for (params, expected) in cases {
        let error = modify(&bed, &id, params).expect_err(&format!("{params:?}"));
        assert_eq!(error.code, *expected, "{params:?}: {error}");
    }
    for (account, id, expected) in [
        ("publisher", "image", "InvalidAMIID.Malformed"),
        ("publisher", "ami-XYZ45678", "InvalidAMIID.Malformed"),
        (
            "publisher",
            "ami-00000000000000000",
            "InvalidAMIID.NotFound",
        ),
        ("customer", &*id, "AuthFailure"),
    ] {
        for (action, params) in [
            ("ModifyImageAttribute", vec![("Description.Value", "x")]),
            ("DescribeImageAttribute", vec![("Attribute", "description")]),
            (
                "ResetImageAttribute",
                vec![("Attribute", "launchPermission")],
            ),
            (
                "EnableImageDeprecation",
                vec![("DeprecateAt", "2030-01-01T00:00:00Z")],
            ),
            ("DisableImageDeprecation", vec![]),
            ("DisableImage", vec![]),
            ("EnableImage", vec![]),
            ("EnableImageDeregistrationProtection", vec![]),
            ("DisableImageDeregistrationProtection", vec![]),
            ("DeregisterImage", vec![]),
        ] {
            let mut params = params;
            params.push(("ImageId", id));
            assert_eq!(
                code(&bed, account, action, &params),
                expected,
                "{action} {id}"
            );
        }
    }
    assert_eq!(
        permissions(&bed, &id),
        ["userId=222222222222"],
        "and nothing else"
    );
}

#[test]
fn permissions_come_and_go_in_both_forms() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    unblock(&bed);
    let steps: &[(Given<'_>, &[&str])] = &[
        (
            &[("LaunchPermission.Add.1.UserId", "222222222222")],
            &["userId=222222222222"],
        ),
        (
            &[
                ("LaunchPermission.Add.1.OrganizationArn", ORGANIZATION),
                ("LaunchPermission.Add.2.UserId", "222222222222"),
                ("LaunchPermission.Remove.1.UserId", "333333333333"),
            ],
            &["userId=222222222222", "organizationArn=O"],
        ),
        (
            &[
                ("Attribute", "launchPermission"),
                ("OperationType", "add"),
                ("OrganizationalUnitArn.1", UNIT),
                ("UserGroup.1", "all"),
            ],
            &[
                "group=all",
                "userId=222222222222",
                "organizationArn=O",
                "organizationalUnitArn=U",
            ],
        ),
        (
            &[
                ("OperationType", "remove"),
                ("UserGroup.1", "all"),
                ("UserId.1", "222222222222"),
                ("OrganizationArn.1", ORGANIZATION),
            ],
            &["organizationalUnitArn=U"],
        ),
        (
            &[("LaunchPermission.Remove.1.OrganizationalUnitArn", UNIT)],
            &[],
        ),
    ];
    for (params, expected) in steps {
        let answer =
            modify(&bed, &id, params).unwrap_or_else(|error| panic!("{params:?}: {error}"));
        assert_eq!(answer.text("return"), "true");
        let expected: Vec<String> = expected
            .iter()
            .map(|entry| match entry.split_once('=') {
                Some((kind, "O")) => format!("{kind}={ORGANIZATION}"),
                Some((kind, "U")) => format!("{kind}={UNIT}"),
                _ => (*entry).to_owned(),
            })
            .collect();
        assert_eq!(permissions(&bed, &id), expected, "{params:?}");
    }
    share_with_customer(&bed, &id);
    let reset = [("ImageId", &*id), ("Attribute", "launchPermission")];
    ok(&bed, "publisher", "ResetImageAttribute", &reset);
    assert!(permissions(&bed, &id).is_empty());
    let other = [("ImageId", &*id), ("Attribute", "description")];
    assert_eq!(
        code(&bed, "publisher", "ResetImageAttribute", &other),
        "InvalidParameterValue"
    );
}

#[test]
fn attributes_are_read_back() {
    let bed = bed();
    let more = [
        ("BootMode", "uefi"),
        ("TpmSupport", "v2.0"),
        ("UefiData", "AAAA"),
    ];
    let id = register(&bed, "image", &more).expect("an image");
    modify(&bed, &id, &[("Description.Value", "new")]).expect("a description");
    modify(
        &bed,
        &id,
        &[("Attribute", "imdsSupport"), ("Value", "v2.0")],
    )
    .expect("a version");
    for (attribute, expected) in [
        ("description", Some("new")),
        ("imdsSupport", Some("v2.0")),
        ("bootMode", Some("uefi")),
        ("tpmSupport", Some("v2.0")),
        ("uefiData", Some("AAAA")),
        ("deregistrationProtection", Some("disabled")),
        ("sriovNetSupport", None),
        ("lastLaunchedTime", None),
        ("kernel", None),
        ("ramdisk", None),
    ] {
        let params = [("ImageId", &*id), ("Attribute", attribute)];
        let answer = ok(&bed, "publisher", "DescribeImageAttribute", &params);
        assert_eq!(answer.text("imageId"), id);
        assert_eq!(
            answer.get(&format!("{attribute}/value")),
            expected,
            "{attribute}"
        );
    }
    for (attribute, expected) in [
        ("blockDeviceMapping", "AuthFailure"),
        ("colour", "InvalidParameterValue"),
    ] {
        let params = [("ImageId", &*id), ("Attribute", attribute)];
        assert_eq!(
            code(&bed, "publisher", "DescribeImageAttribute", &params),
            expected
        );
    }
}

#[test]
fn an_encrypted_image_is_never_public() {
    let bed = bed();
    put_snapshot(&bed, SNAPSHOT, |snapshot| {
        snapshot.key = Some("arn:aws:kms:us-east-1:111111111111:key/k".to_owned());
    });
    let id = register(&bed, "image", &[]).expect("an image");
    unblock(&bed);
    let public = [("LaunchPermission.Add.1.Group", "all")];
    let error = modify(&bed, &id, &public).expect_err("an encrypted one");
    assert_eq!(error.code, "UnsupportedOperation");
    share_with_customer(&bed, &id);
    assert_eq!(launchable(&bed, "customer", &id), Ok(()));
}

#[test]
fn the_key_of_aws_cannot_be_shared() {
    let bed = bed();
    let owner = bed.caller("publisher").account;
    let key = bed
        .shared
        .transact(|world| {
            let region = US.parse().expect("a Region");
            Ok(crate::sandbox::kms::ebs_default_key(world, &owner, &region))
        })
        .expect("a key");
    put_snapshot(&bed, SNAPSHOT, |snapshot| snapshot.key = Some(key));
    let id = register(&bed, "image", &[]).expect("an image");
    for entry in [
        ("LaunchPermission.Add.1.UserId", "222222222222"),
        ("LaunchPermission.Add.1.OrganizationArn", ORGANIZATION),
    ] {
        let error = modify(&bed, &id, &[entry]).expect_err("under aws/ebs");
        assert_eq!(error.code, "InvalidParameter");
    }
    let remove = [("LaunchPermission.Remove.1.UserId", "222222222222")];
    modify(&bed, &id, &remove).expect("nothing to remove");
}

#[test]
fn permissions_and_public_images_are_limited() {
    let bed = bed();
    unblock(&bed);
    assert!(bed.shared.limits.set("launch-permissions-per-image", 2));
    assert!(bed.shared.limits.set("public-images", 1));
    let id = register(&bed, "image", &[]).expect("an image");
    let two = [
        ("LaunchPermission.Add.1.UserId", "222222222222"),
        ("LaunchPermission.Add.2.UserId", "111111111111"),
    ];
    modify(&bed, &id, &two).expect("two");
    modify(&bed, &id, &two).expect("the same two");
    let third = [("LaunchPermission.Add.1.OrganizationArn", ORGANIZATION)];
    let error = modify(&bed, &id, &third).expect_err("a third");
    assert_eq!(error.code, "ResourceLimitExceeded");
    let public = [
        ("LaunchPermission.Add.1.Group", "all"),
        ("LaunchPermission.Remove.1.UserId", "111111111111"),
    ];
    modify(&bed, &id, &public).expect("a public image");
    let other = register(&bed, "other", &[]).expect("an image");
    let error = modify(&bed, &other, &public).expect_err("a second public one");
    assert_eq!(error.code, "ResourceLimitExceeded");
}

#[test]
fn public_images_are_blocked_until_their_account_wants_them() {
    let bed = bed();
    let state = |region| {
        let answer = ok_in(
            &bed,
            "publisher",
            region,
            "GetImageBlockPublicAccessState",
            &[],
        );
        assert_eq!(answer.text("managedBy"), "account");
        answer.text("imageBlockPublicAccessState").to_owned()
    };
    assert_eq!(state(US), "block-new-sharing");
    let answer = ok(&bed, "publisher", "DisableImageBlockPublicAccess", &[]);
    assert_eq!(answer.text("imageBlockPublicAccessState"), "unblocked");
    assert_eq!(state(US), "unblocked");
    assert_eq!(state(EU), "block-new-sharing");
    let id = register(&bed, "image", &[]).expect("an image");
    let public = [("LaunchPermission.Add.1.Group", "all")];
    modify(&bed, &id, &public).expect("a public image");
    bed.shared.clock.set_scale(1.0);
    let block = [("ImageBlockPublicAccessState", "block-new-sharing")];
    let answer = ok(&bed, "publisher", "EnableImageBlockPublicAccess", &block);
    assert_eq!(
        answer.text("imageBlockPublicAccessState"),
        "block-new-sharing"
    );
    assert_eq!(state(US), "unblocked", "it takes a while");
    bed.shared
        .clock
        .advance(std::time::Duration::from_secs(600));
    assert_eq!(state(US), "block-new-sharing");
    assert_eq!(
        launchable(&bed, "customer", &id),
        Ok(()),
        "what is public stays so"
    );
    modify(&bed, &id, &public).expect("nothing new");
    for (params, expected) in [
        (vec![], "MissingParameter"),
        (
            vec![("ImageBlockPublicAccessState", "unblocked")],
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(
            code(&bed, "publisher", "EnableImageBlockPublicAccess", &params),
            expected
        );
    }
}

#[test]
fn who_may_launch() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    let not_found = Err("InvalidAMIID.NotFound".to_owned());
    assert_eq!(launchable(&bed, "publisher", &id), Ok(()));
    assert_eq!(launchable(&bed, "customer", &id), not_found);
    share_with_customer(&bed, &id);
    assert_eq!(launchable(&bed, "customer", &id), Ok(()));
    modify(
        &bed,
        &id,
        &[("LaunchPermission.Remove.1.UserId", "222222222222")],
    )
    .expect("taken");
    assert_eq!(launchable(&bed, "customer", &id), not_found);
    unblock(&bed);
    modify(&bed, &id, &[("LaunchPermission.Add.1.Group", "all")]).expect("public");
    assert_eq!(launchable(&bed, "customer", &id), Ok(()));
    assert_eq!(
        launchable(&bed, "customer", "ami-1"),
        Err("InvalidAMIID.Malformed".to_owned())
    );
}
