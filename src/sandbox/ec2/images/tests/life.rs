use std::time::Duration;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn shown(bed: &Bed, id: &str, path: &str) -> Option<String> {
    let params = [("ImageId.1", id), ("IncludeDisabled", "true")];
    let answer = describe(bed, "publisher", &params).expect("the image");
    answer
        .get(&format!("imagesSet/item[0]/{path}"))
        .map(str::to_owned)
}

fn deprecate(bed: &Bed, id: &str, at: &str) -> Result<Xml, ServiceError> {
    let params = [("ImageId", id), ("DeprecateAt", at)];
    bed.ec2("publisher", "EnableImageDeprecation", &params)
}

/// Now and some years and days.
fn ahead(bed: &Bed, years: i32, days: i64) -> String {
    let now = bed.shared.clock.now().date_time();
    let then = now.replace_year(now.year() + years).expect("a date") + time::Duration::days(days);
    let ms = i64::try_from(then.unix_timestamp_nanos() / 1_000_000).expect("a time");
    Timestamp(ms).iso()
}

#[test]
fn dates_of_deprecation() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    for (at, expected) in [
        ("tomorrow", "InvalidParameterValue"),
        ("2030-01-01", "InvalidParameterValue"),
        ("", "MissingParameter"),
        ("2020-01-01T00:00:00Z", "InvalidParameterValue"),
        (&ahead(&bed, 10, 1), "InvalidParameterValue"),
    ] {
        let error = deprecate(&bed, &id, at).expect_err(at);
        assert_eq!(error.code, expected, "{at}");
    }
    let year = &ahead(&bed, 9, 0)[..4];
    for (seconds, shown_as) in [
        ("29", "13:17:00"),
        ("30", "13:18:00"),
        ("00.000", "13:17:00"),
    ] {
        let at = format!("{year}-06-15T13:17:{seconds}Z");
        assert_eq!(
            deprecate(&bed, &id, &at).expect("a date").text("return"),
            "true"
        );
        let expected = format!("{year}-06-15T{shown_as}.000Z");
        assert_eq!(shown(&bed, &id, "deprecationTime"), Some(expected));
    }
    ok(
        &bed,
        "publisher",
        "DisableImageDeprecation",
        &[("ImageId", &id)],
    );
    assert_eq!(shown(&bed, &id, "deprecationTime"), None);
}

#[test]
fn a_public_image_is_deprecated_after_two_years() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    unblock(&bed);
    let in_two_years = ahead(&bed, 2, 0);
    let public = [("ImageId", &*id), ("LaunchPermission.Add.1.Group", "all")];
    ok(&bed, "publisher", "ModifyImageAttribute", &public);
    let at = shown(&bed, &id, "deprecationTime").expect("a date");
    assert_eq!(at[..10], in_two_years[..10]);
    let error = deprecate(&bed, &id, &ahead(&bed, 2, 1)).expect_err("too late");
    assert_eq!(error.code, "InvalidParameterValue");
    deprecate(&bed, &id, &ahead(&bed, 1, 0)).expect("earlier");
    let params = [("ImageId", &*id)];
    assert_eq!(
        code(&bed, "publisher", "DisableImageDeprecation", &params),
        "OperationNotPermitted"
    );
    let private = [
        ("ImageId", &*id),
        ("LaunchPermission.Remove.1.Group", "all"),
    ];
    ok(&bed, "publisher", "ModifyImageAttribute", &private);
    ok(&bed, "publisher", "DisableImageDeprecation", &params);
    assert_eq!(shown(&bed, &id, "deprecationTime"), None);
}

#[test]
fn deprecated_images_are_hidden_from_others() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    share_with_customer(&bed, &id);
    deprecate(&bed, &id, &ahead(&bed, 0, 1)).expect("a date");
    assert_eq!(found(&bed, "customer", &[]), ["image"]);
    bed.shared.clock.advance(2 * DAY);
    for (account, params, is_found) in [
        ("publisher", vec![], true),
        ("publisher", vec![("IncludeDeprecated", "false")], true),
        ("customer", vec![], false),
        ("customer", vec![("IncludeDeprecated", "false")], false),
        ("customer", vec![("Owner.1", "111111111111")], false),
        ("customer", vec![("ExecutableBy.1", "self")], false),
        (
            "customer",
            vec![("Filter.1.Name", "name"), ("Filter.1.Value.1", "image")],
            false,
        ),
        ("customer", vec![("IncludeDeprecated", "true")], true),
        ("customer", vec![("ImageId.1", &id)], true),
    ] {
        assert_eq!(
            found(&bed, account, &params).len(),
            usize::from(is_found),
            "{account} {params:?}"
        );
    }
    assert_eq!(
        launchable(&bed, "customer", &id),
        Ok(()),
        "it launches as before"
    );
}

#[test]
fn a_disabled_image_is_lost_to_others() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    share_with_customer(&bed, &id);
    let params = [("ImageId", &*id)];
    assert_eq!(
        ok(&bed, "publisher", "DisableImage", &params).text("return"),
        "true"
    );
    ok(&bed, "publisher", "DisableImage", &params);
    assert_eq!(shown(&bed, &id, "imageState").as_deref(), Some("disabled"));
    assert!(found(&bed, "publisher", &[]).is_empty());
    assert!(found(&bed, "publisher", &[("ImageId.1", &id)]).is_empty());
    assert_eq!(
        found(&bed, "publisher", &[("IncludeDisabled", "true")]),
        ["image"]
    );
    assert!(found(&bed, "customer", &[("IncludeDisabled", "true")]).is_empty());
    assert_eq!(
        launchable(&bed, "publisher", &id),
        Err("InvalidAMIID.Unavailable".to_owned())
    );
    assert_eq!(
        launchable(&bed, "customer", &id),
        Err("InvalidAMIID.NotFound".to_owned())
    );
    let share = [
        ("ImageId", &*id),
        ("LaunchPermission.Add.1.UserId", "222222222222"),
    ];
    assert_eq!(
        code(&bed, "publisher", "ModifyImageAttribute", &share),
        "InvalidAMIID.Unavailable"
    );
    let describe = [("ImageId", &*id), ("Description.Value", "off")];
    ok(&bed, "publisher", "ModifyImageAttribute", &describe);

    ok(&bed, "publisher", "EnableImage", &params);
    ok(&bed, "publisher", "EnableImage", &params);
    assert_eq!(launchable(&bed, "publisher", &id), Ok(()));
    assert_eq!(
        launchable(&bed, "customer", &id),
        Err("InvalidAMIID.NotFound".to_owned())
    );
}

#[test]
fn an_image_that_is_not_there_yet_cannot_be_changed() {
    let bed = bed();
    bed.shared.clock.set_scale(1.0);
    let id = register(&bed, "image", &[]).expect("an image");
    for (action, more) in [
        ("ModifyImageAttribute", ("Description.Value", "x")),
        (
            "ModifyImageAttribute",
            ("LaunchPermission.Add.1.UserId", "222222222222"),
        ),
        ("DisableImage", ("DryRun", "false")),
        ("EnableImage", ("DryRun", "false")),
    ] {
        let params = [("ImageId", &*id), more];
        assert_eq!(
            code(&bed, "publisher", action, &params),
            "InvalidAMIID.Unavailable",
            "{action}"
        );
    }
    ok(&bed, "publisher", "DeregisterImage", &[("ImageId", &id)]);
}

#[test]
fn an_image_fails_with_its_snapshot() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    put_snapshot(&bed, SNAPSHOT, |snapshot| {
        snapshot.progress = Progress::Fails {
            at: Timestamp(0),
            reason: "the key is gone".to_owned(),
        };
    });
    assert_eq!(shown(&bed, &id, "imageState").as_deref(), Some("failed"));
    let message = shown(&bed, &id, "stateReason/message").expect("a reason");
    assert!(
        message.contains(SNAPSHOT) && message.contains("the key is gone"),
        "{message}"
    );
    assert!(shown(&bed, &id, "stateReason/code").is_some());
    assert_eq!(
        launchable(&bed, "publisher", &id),
        Err("InvalidAMIID.Unavailable".to_owned())
    );
}

#[test]
fn a_protected_image_stays() {
    let bed = bed();
    let params_of = |id: &str| vec![("ImageId".to_owned(), id.to_owned())];
    for (cooldown, name) in [
        ("false", "enabled-without-cooldown"),
        ("true", "enabled-with-cooldown"),
    ] {
        let id = register(&bed, &format!("image {cooldown}"), &[]).expect("an image");
        let params: Vec<(String, String)> = params_of(&id);
        let params: Vec<(&str, &str)> = params.iter().map(|(n, v)| (&**n, &**v)).collect();
        let enable = [params[0], ("WithCooldown", cooldown)];
        let answer = ok(
            &bed,
            "publisher",
            "EnableImageDeregistrationProtection",
            &enable,
        );
        assert_eq!(answer.text("return"), "true");
        assert_eq!(
            shown(&bed, &id, "deregistrationProtection").as_deref(),
            Some(name)
        );
        let refused = || code(&bed, "publisher", "DeregisterImage", &params);
        assert_eq!(refused(), "OperationNotPermitted");
        bed.shared.clock.advance(2 * DAY);
        assert_eq!(
            refused(),
            "OperationNotPermitted",
            "it does not end by itself"
        );
        ok(
            &bed,
            "publisher",
            "DisableImageDeregistrationProtection",
            &params,
        );
        let protection = shown(&bed, &id, "deregistrationProtection");
        assert_eq!(protection.as_deref(), Some("disabled"));
        if cooldown == "true" {
            assert_eq!(refused(), "OperationNotPermitted");
            bed.shared.clock.advance(DAY - Duration::from_secs(60));
            ok(
                &bed,
                "publisher",
                "DisableImageDeregistrationProtection",
                &params,
            );
            assert_eq!(refused(), "OperationNotPermitted");
            bed.shared.clock.advance(Duration::from_secs(120));
        }
        ok(&bed, "publisher", "DeregisterImage", &params);
    }
}

#[test]
fn a_deregistered_image_is_no_more() {
    let bed = bed();
    let id = register(&bed, "image", &[]).expect("an image");
    share_with_customer(&bed, &id);
    let tag = [
        ("TagSpecification.1.ResourceType", "image"),
        ("TagSpecification.1.Tag.1.Key", "a"),
    ];
    let tagged = register(&bed, "tagged", &tag).expect("an image");
    for id in [&id, &tagged] {
        let answer = ok(&bed, "publisher", "DeregisterImage", &[("ImageId", id)]);
        assert_eq!(answer.text("return"), "true");
        assert_eq!(answer.get("deleteSnapshotResultSet"), None);
    }
    assert!(found(&bed, "publisher", &[("IncludeDisabled", "true")]).is_empty());
    let named = [("ImageId.1", &*id)];
    assert_eq!(
        code(&bed, "publisher", "DescribeImages", &named),
        "InvalidAMIID.NotFound"
    );
    let params = [("ImageId", &*id)];
    assert_eq!(
        code(&bed, "publisher", "DeregisterImage", &params),
        "InvalidAMIID.Unavailable"
    );
    let unavailable = Err("InvalidAMIID.Unavailable".to_owned());
    assert_eq!(launchable(&bed, "publisher", &id), unavailable);
    assert_eq!(launchable(&bed, "customer", &id), unavailable);
    assert_eq!(
        launchable(&bed, "customer", &tagged),
        Err("InvalidAMIID.NotFound".to_owned())
    );
    let tags = bed.shared.read(|world| {
        let owner = bed_owner(world);
        world.tags.of(&owner, &tagged)
    });
    assert!(tags.is_empty());
    assert!(
        bed.shared
            .read(|world| world.ec2.snapshots.get(SNAPSHOT).is_some())
    );
}

fn bed_owner(world: &crate::sandbox::world::World) -> crate::sandbox::id::AccountId {
    let mut accounts = world.accounts.values();
    let publisher = accounts.find(|account| account.name == "publisher");
    publisher.expect("the publisher").id.clone()
}

#[test]
fn snapshots_go_with_their_image_if_asked_for() {
    let bed = bed();
    let only = "snap-00000000000000002";
    let theirs = "snap-00000000000000003";
    let publisher = bed.caller("publisher").account;
    let customer = bed.caller("customer").account;
    put_snapshot(&bed, only, |snapshot| {
        snapshot.shared_with.insert(customer.clone());
    });
    let of_only = [("BlockDeviceMapping.1.Ebs.SnapshotId", only)];
    let foreign = image_params("foreign", &of_only);
    ok(&bed, "customer", "RegisterImage", &foreign);
    put_snapshot(&bed, theirs, |snapshot| {
        snapshot.owner = customer;
        snapshot.shared_with.insert(publisher);
    });
    let more = [
        ("BlockDeviceMapping.2.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.2.Ebs.SnapshotId", only),
        ("BlockDeviceMapping.3.DeviceName", "/dev/sdg"),
        ("BlockDeviceMapping.3.Ebs.SnapshotId", theirs),
    ];
    let id = register(&bed, "image", &more).expect("an image");
    register(&bed, "other", &[]).expect("an image of the same root");
    let params = [("ImageId", &*id), ("DeleteAssociatedSnapshots", "true")];
    let answer = ok(&bed, "publisher", "DeregisterImage", &params);
    let results: Vec<(&str, &str)> = answer
        .all("/snapshotId")
        .into_iter()
        .zip(answer.all("/returnCode"))
        .collect();
    let expected = [
        (SNAPSHOT, "skipped"),
        (only, "success"),
        (theirs, "missing-permissions"),
    ];
    assert_eq!(results, expected);
    let left: Vec<String> = bed.shared.read(|world| {
        let snapshots = world.ec2.snapshots.values();
        snapshots.map(|snapshot| snapshot.id.clone()).collect()
    });
    assert_eq!(left, [SNAPSHOT, theirs]);
}
