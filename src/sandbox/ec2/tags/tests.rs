use crate::sandbox::ec2::network::{default_subnets, default_vpc};
use crate::sandbox::testing::Bed;

/// A bed with a snapshot of the publisher's that the customer may read, and one that it may not.
fn bed() -> (Bed, String, String) {
    let bed = Bed::new();
    let call =
        |action: &str, params: &[(&str, &str)]| bed.ec2("publisher", action, params).expect(action);
    let size = [("Size", "1"), ("AvailabilityZone", "us-east-1a")];
    let volume = call("CreateVolume", &size).text("volumeId").to_owned();
    let [shared, private] = [(), ()].map(|()| {
        let answer = call("CreateSnapshot", &[("VolumeId", &volume)]);
        answer.text("snapshotId").to_owned()
    });
    let sharing = [
        ("SnapshotId", &*shared),
        ("Attribute", "createVolumePermission"),
        ("OperationType", "add"),
        ("UserId.1", "222222222222"),
    ];
    call("ModifySnapshotAttribute", &sharing);
    (bed, shared, private)
}

#[test]
fn tags_are_each_accounts_own() {
    let (bed, shared, _) = bed();
    for (account, value) in [("publisher", "mine"), ("customer", "<theirs>")] {
        let params = [
            ("ResourceId.1", &*shared),
            ("Tag.1.Key", "Name"),
            ("Tag.1.Value", value),
        ];
        let answer = bed.ec2(account, "CreateTags", &params).expect("tagged");
        assert_eq!(answer.text("return"), "true");
    }
    for (account, value) in [("publisher", "mine"), ("customer", "<theirs>")] {
        let answer = bed.ec2(account, "DescribeTags", &[]).expect("tags");
        assert_eq!(answer.all("/value"), [value]);
        assert_eq!(answer.text("tagSet/item[0]/resourceType"), "snapshot");
        assert_eq!(answer.text("tagSet/item[0]/resourceId"), shared);
        assert_eq!(answer.text("tagSet/item[0]/key"), "Name");
    }
    let elsewhere = bed.query(
        crate::sandbox::service::Service::Ec2,
        "publisher",
        "eu-west-1",
        "DescribeTags",
        &[],
    );
    assert!(elsewhere.expect("tags").all("/value").is_empty());
}

#[test]
fn what_can_be_tagged() {
    let (bed, shared, private) = bed();
    let caller = bed.caller("customer");
    let region = "us-east-1".parse().expect("a Region");
    let vpc = default_vpc(&caller.account, &region);
    let subnet = default_subnets(&caller.account, &region)[0].id.clone();
    let ghost = |prefix: &str| format!("{prefix}-0123456789abcdef0");
    for (id, expected) in [
        (shared, None),
        (vpc, None),
        (subnet, None),
        (private, Some("InvalidSnapshot.NotFound")),
        (ghost("ami"), Some("InvalidAMIID.NotFound")),
        (ghost("snap"), Some("InvalidSnapshot.NotFound")),
        (ghost("i"), Some("InvalidInstanceID.NotFound")),
        (ghost("vol"), Some("InvalidVolume.NotFound")),
        (ghost("sg"), Some("InvalidGroup.NotFound")),
        (ghost("sgr"), Some("InvalidSecurityGroupRuleId.NotFound")),
        (ghost("key"), Some("InvalidKeyPair.NotFound")),
        (ghost("eni"), Some("InvalidNetworkInterfaceID.NotFound")),
        (ghost("vpc"), Some("InvalidVpcID.NotFound")),
        (ghost("subnet"), Some("InvalidSubnetID.NotFound")),
        (ghost("igw"), Some("InvalidInternetGatewayID.NotFound")),
        ("ami-xyz".to_owned(), Some("InvalidID")),
        ("snap-xyz".to_owned(), Some("InvalidID")),
        ("i-".to_owned(), Some("InvalidID")),
        ("i".to_owned(), Some("InvalidID")),
        ("vol-1".to_owned(), Some("InvalidID")),
        (ghost("tea"), Some("InvalidID")),
        ("tea".to_owned(), Some("InvalidID")),
    ] {
        let params = [
            ("ResourceId.1", &*id),
            ("Tag.1.Key", "a"),
            ("Tag.1.Value", "b"),
        ];
        let code = bed.ec2("customer", "CreateTags", &params).err();
        assert_eq!(code.as_ref().map(|error| &*error.code), expected, "{id}");
        let code = bed.ec2("customer", "DeleteTags", &params[..2]).err();
        assert_eq!(code.as_ref().map(|error| &*error.code), expected, "{id}");
    }
}

#[test]
fn all_or_nothing() {
    let (bed, shared, private) = bed();
    let params = [
        ("ResourceId.1", &*shared),
        ("ResourceId.2", &*private),
        ("Tag.1.Key", "a"),
    ];
    assert!(bed.ec2("customer", "CreateTags", &params).is_err());
    let answer = bed.ec2("customer", "DescribeTags", &[]).expect("tags");
    assert!(answer.all("/key").is_empty());
}

#[test]
fn rules_of_tags() {
    let (bed, shared, _) = bed();
    let long_key = "k".repeat(128);
    let long_value = "v".repeat(256);
    let id = ("ResourceId.1", &*shared);
    let invalid = "InvalidParameterValue";
    for (params, expected) in [
        (vec![("Tag.1.Key", "a")], "MissingParameter"),
        (vec![id], "MissingParameter"),
        (vec![id, ("Tag.1.Value", "a")], "MissingParameter"),
        (vec![id, ("Tag.1.Key", &long_key)], invalid),
        (
            vec![id, ("Tag.1.Key", "a"), ("Tag.1.Value", &long_value)],
            invalid,
        ),
        (vec![id, ("Tag.1.Key", "aws:x")], invalid),
        (vec![id, ("Tag.1.Key", "a"), ("Tag.2.Key", "a")], invalid),
        (
            vec![id, ("Tag.1.Key", "a"), ("Tag.1.Tea", "a")],
            "UnknownParameter",
        ),
    ] {
        let error = bed
            .ec2("publisher", "CreateTags", &params)
            .expect_err("an error");
        assert_eq!(error.code, expected, "{params:?}");
    }
    let names: Vec<(String, String)> = (1..=51)
        .map(|number| (format!("Tag.{number}.Key"), format!("key{number}")))
        .collect();
    let mut params: Vec<(&str, &str)> = vec![id];
    params.extend(names.iter().map(|(name, key)| (&**name, &**key)));
    let error = bed
        .ec2("publisher", "CreateTags", &params)
        .expect_err("51 tags");
    assert_eq!(error.code, "TagLimitExceeded");
    bed.ec2("publisher", "CreateTags", &params[..51])
        .expect("50 tags");

    let ids: Vec<String> = (1..=1001)
        .map(|number| format!("ResourceId.{number}"))
        .collect();
    let mut params: Vec<(&str, &str)> = ids.iter().map(|name| (&**name, &*shared)).collect();
    params.push(("Tag.1.Key", "key1"));
    let error = bed
        .ec2("publisher", "CreateTags", &params)
        .expect_err("1001 resources");
    assert_eq!(error.code, invalid);
    bed.ec2("publisher", "CreateTags", &params[1..])
        .expect("1000 resources");
    let error = bed.ec2("publisher", "DeleteTags", &[id, ("Tag.1.Key", "aws:x")]);
    assert_eq!(error.expect_err("AWS's own").code, invalid);
}

#[test]
fn removal_by_value() {
    let (bed, shared, _) = bed();
    let id = ("ResourceId.1", &*shared);
    let left = |removal: &[(&str, &str)]| {
        let tags = [
            id,
            ("Tag.1.Key", "a"),
            ("Tag.1.Value", "1"),
            ("Tag.2.Key", "b"),
        ];
        bed.ec2("publisher", "CreateTags", &tags).expect("tagged");
        bed.ec2("publisher", "DeleteTags", removal)
            .expect("removed");
        let answer = bed.ec2("publisher", "DescribeTags", &[]).expect("tags");
        answer.all("/key").join(",")
    };
    assert_eq!(left(&[id, ("Tag.1.Key", "a")]), "b");
    assert_eq!(left(&[id, ("Tag.1.Key", "a"), ("Tag.1.Value", "2")]), "a,b");
    assert_eq!(left(&[id, ("Tag.1.Key", "a"), ("Tag.1.Value", "")]), "a,b");
    assert_eq!(left(&[id, ("Tag.1.Key", "b"), ("Tag.1.Value", "")]), "a");
    assert_eq!(left(&[id]), "");
}

#[test]
fn filters_and_pages() {
    let (bed, shared, private) = bed();
    for (id, count) in [(&shared, 4), (&private, 3)] {
        for number in 0..count {
            let key = format!("k{number}");
            let params = [
                ("ResourceId.1", &**id),
                ("Tag.1.Key", &key),
                ("Tag.1.Value", "v"),
            ];
            bed.ec2("publisher", "CreateTags", &params).expect("tagged");
        }
    }
    for (name, value, expected) in [
        ("key", "k3", 1),
        ("key", "k*", 7),
        ("value", "w", 0),
        ("resource-id", &*private, 3),
        ("resource-type", "snapshot", 7),
        ("resource-type", "image", 0),
        ("tag:k0", "v", 2),
        ("tag:k3", "v", 1),
        ("tag:k9", "v", 0),
    ] {
        let params = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let answer = bed.ec2("publisher", "DescribeTags", &params).expect("tags");
        assert_eq!(answer.all("/key").len(), expected, "{name}={value}");
    }
    let first = bed
        .ec2("publisher", "DescribeTags", &[("MaxResults", "5")])
        .expect("a page");
    assert_eq!(first.all("/key").len(), 5);
    let token = first.text("nextToken");
    let params = [("MaxResults", "5"), ("NextToken", token)];
    let second = bed
        .ec2("publisher", "DescribeTags", &params)
        .expect("a page");
    assert_eq!(second.all("/key").len(), 2);
    assert_eq!(second.get("nextToken"), None);
    for (params, expected) in [
        (
            [("Filter.1.Name", "tag-key"), ("Filter.1.Value.1", "a")],
            "InvalidParameterValue",
        ),
        (
            [("MaxResults", "4"), ("NextToken", "")],
            "InvalidParameterValue",
        ),
        (
            [("MaxResults", "5"), ("NextToken", "tea")],
            "InvalidNextToken",
        ),
    ] {
        let error = bed
            .ec2("publisher", "DescribeTags", &params)
            .expect_err("an error");
        assert_eq!(error.code, expected, "{params:?}");
    }
}
