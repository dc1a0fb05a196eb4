mod keys;
mod routes;
mod rules;

use super::{default_subnet, default_subnets, default_vpc, private_address};
use crate::sandbox::id::Region;
use crate::sandbox::service::Service;
use crate::sandbox::testing::{Bed, Xml};

fn call(bed: &Bed, action: &str, params: &[(&str, &str)]) -> Xml {
    bed.ec2("publisher", action, params).expect(action)
}

/// Asserts that a call is refused with AWS's code for what is wrong with it.
fn refused(bed: &Bed, action: &str, params: &[(&str, &str)], expected: &str) {
    let error = bed.ec2("publisher", action, params).expect_err(action);
    assert_eq!(error.code, expected, "{action} {params:?}: {error}");
}

fn here() -> Region {
    "us-east-1".parse().expect("a Region")
}

fn group(bed: &Bed, name: &str) -> String {
    let params = [("GroupName", name), ("GroupDescription", "for a test")];
    call(bed, "CreateSecurityGroup", &params)
        .text("groupId")
        .to_owned()
}

/// The id of the group `default`.
fn default_group(bed: &Bed) -> String {
    let answer = call(bed, "DescribeSecurityGroups", &[("GroupName.1", "default")]);
    answer.text("securityGroupInfo/item[0]/groupId").to_owned()
}

#[test]
fn the_default_network_is_there() {
    let bed = Bed::new();
    let answer = call(
        &bed,
        "DescribeVpcs",
        &[
            ("Filter.1.Name", "is-default"),
            ("Filter.1.Value.1", "true"),
        ],
    );
    let vpc = answer.text("vpcSet/item[0]/vpcId").to_owned();
    assert_eq!(answer.text("vpcSet/item[0]/cidrBlock"), "172.31.0.0/16");
    let again = call(&bed, "DescribeVpcs", &[("VpcId.1", &vpc)]);
    assert_eq!(again.text("vpcSet/item[0]/vpcId"), vpc, "ids last");
    let subnets = call(
        &bed,
        "DescribeSubnets",
        &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", &vpc)],
    );
    let mut ranges = subnets.all("/cidrBlock");
    ranges.sort_unstable();
    assert_eq!(
        ranges,
        ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]
    );
    let gateways = call(&bed, "DescribeInternetGateways", &[]);
    assert_eq!(
        gateways.text("internetGatewaySet/item[0]/attachmentSet/item[0]/vpcId"),
        vpc
    );
    let customers = bed.ec2("customer", "DescribeVpcs", &[]).expect("a VPC");
    assert_ne!(customers.text("vpcSet/item[0]/vpcId"), vpc);
    let elsewhere = bed.query(Service::Ec2, "publisher", "eu-west-1", "DescribeVpcs", &[]);
    assert_ne!(elsewhere.expect("a VPC").text("vpcSet/item[0]/vpcId"), vpc);
}

#[test]
fn filters_of_networks() {
    let bed = Bed::new();
    let subnet = &default_subnets(&bed.caller("publisher").account, &here())[1];
    let tag = [
        ("ResourceId.1", &*subnet.id),
        ("Tag.1.Key", "use"),
        ("Tag.1.Value", "build"),
    ];
    call(&bed, "CreateTags", &tag);
    for (action, name, value, expected) in [
        ("DescribeSubnets", "availability-zone", "us-east-1b", 1),
        ("DescribeSubnets", "availabilityZoneId", "use1-az2", 1),
        ("DescribeSubnets", "cidr-block", "172.31.16.0/20", 1),
        ("DescribeSubnets", "default-for-az", "true", 3),
        ("DescribeSubnets", "map-public-ip-on-launch", "false", 0),
        ("DescribeSubnets", "available-ip-address-count", "4091", 3),
        ("DescribeSubnets", "owner-id", "222222222222", 0),
        ("DescribeSubnets", "state", "available", 3),
        ("DescribeSubnets", "ipv6-native", "true", 0),
        ("DescribeSubnets", "outpost-arn", "*", 0),
        ("DescribeSubnets", "tag:use", "build", 1),
        ("DescribeSubnets", "tag-key", "use", 1),
        ("DescribeVpcs", "cidr", "172.31.0.0/16", 1),
        ("DescribeVpcs", "cidr", "10.0.0.0/8", 0),
        ("DescribeVpcs", "is-default", "false", 0),
        ("DescribeVpcs", "ipv6-cidr-block-association.state", "*", 0),
        (
            "DescribeInternetGateways",
            "attachment.state",
            "available",
            1,
        ),
        ("DescribeInternetGateways", "owner-id", "222222222222", 0),
    ] {
        let params = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let answer = call(&bed, action, &params);
        assert_eq!(
            answer.all("]/ownerId").len(),
            expected,
            "{action} {name}={value}"
        );
    }
    let invalid = "InvalidParameterValue";
    for (action, params, expected) in [
        (
            "DescribeVpcs",
            ("VpcId.1", "vpc-00000000"),
            "InvalidVpcID.NotFound",
        ),
        (
            "DescribeSubnets",
            ("SubnetId.1", "subnet-00000000"),
            "InvalidSubnetID.NotFound",
        ),
        (
            "DescribeInternetGateways",
            ("InternetGatewayId.1", "igw-00000000"),
            "InvalidInternetGatewayID.NotFound",
        ),
        ("DescribeVpcs", ("MaxResults", "4"), invalid),
        ("DescribeSubnets", ("MaxResults", "1001"), invalid),
        ("DescribeSubnets", ("NextToken", "x"), "InvalidNextToken"),
        ("DescribeSubnets", ("Tea", "x"), "UnknownParameter"),
    ] {
        refused(&bed, action, &[params], expected);
    }
}

#[test]
fn subnets_of_zones() {
    let bed = Bed::new();
    let account = bed.caller("publisher").account;
    let found = |zone: Option<&str>| {
        bed.shared
            .transact(|world| default_subnet(world, &account, &here(), zone))
    };
    assert_eq!(found(None).expect("a subnet").zone.name, "us-east-1a");
    let third = found(Some("us-east-1c")).expect("a subnet");
    assert_eq!(third.cidr(), "172.31.32.0/20");
    assert_eq!(third.vpc_id, default_vpc(&account, &here()));
    let error = found(Some("us-east-1d")).expect_err("no such zone");
    assert_eq!(error.code, "InvalidParameterValue");
}

#[test]
fn addresses_are_handed_out_once() {
    let bed = Bed::new();
    let subnet = default_subnets(&bed.caller("publisher").account, &here()).remove(0);
    let all = bed.shared.transact(|world| {
        (0..4091)
            .map(|_| private_address(world, &subnet.id))
            .collect::<Result<Vec<_>, _>>()
    });
    let mut all = all.expect("as many as there are");
    assert_eq!(all[0].to_string(), "172.31.0.4");
    assert_eq!(all[4090].to_string(), "172.31.15.254");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4091);
    let first = bed
        .shared
        .transact(|world| private_address(world, &subnet.id));
    assert_eq!(first.expect("no instance has it").to_string(), "172.31.0.4");
    let unknown = bed
        .shared
        .transact(|world| private_address(world, "subnet-00000000"));
    assert_eq!(
        unknown.expect_err("no subnet").code,
        "InvalidSubnetID.NotFound"
    );
}

#[test]
fn rules_of_groups() {
    let bed = Bed::new();
    let id = group(&bed, "Build");
    let long = "x".repeat(256);
    let invalid = "InvalidParameterValue";
    let text = ("GroupDescription", "x");
    for (params, expected) in [
        (vec![text], "MissingParameter"),
        (vec![("GroupName", "a")], "MissingParameter"),
        (vec![("GroupName", "build"), text], "InvalidGroup.Duplicate"),
        (vec![("GroupName", "Default"), text], invalid),
        (vec![("GroupName", "sg-a"), text], invalid),
        (vec![("GroupName", "ä"), text], invalid),
        (vec![("GroupName", "a|b"), text], invalid),
        (vec![("GroupName", &long), text], invalid),
        (
            vec![("GroupName", "a"), ("GroupDescription", &long)],
            invalid,
        ),
        (
            vec![("GroupName", "a"), text, ("VpcId", "vpc-00000000")],
            "InvalidVpcID.NotFound",
        ),
        (
            vec![
                ("GroupName", "a"),
                text,
                ("TagSpecification.1.ResourceType", "image"),
            ],
            invalid,
        ),
    ] {
        refused(&bed, "CreateSecurityGroup", &params, expected);
    }
    for (params, expected) in [
        (vec![], "MissingParameter"),
        (
            vec![("GroupId", &*id), ("GroupName", "Build")],
            "InvalidParameterCombination",
        ),
        (vec![("GroupId", "Build")], "InvalidGroupId.Malformed"),
        (vec![("GroupId", "sg-00000000")], "InvalidGroup.NotFound"),
        (vec![("GroupName", "other")], "InvalidGroup.NotFound"),
        (vec![("GroupName", "default")], "CannotDelete"),
    ] {
        refused(&bed, "DeleteSecurityGroup", &params, expected);
    }
    let params = [("GroupId", &*id)];
    let error = bed.ec2("customer", "DeleteSecurityGroup", &params);
    assert_eq!(error.expect_err("another's").code, "InvalidGroup.NotFound");
    call(&bed, "DeleteSecurityGroup", &params);
    refused(
        &bed,
        "DescribeSecurityGroups",
        &[("GroupId.1", &id)],
        "InvalidGroup.NotFound",
    );
    assert!(bed.shared.limits.set("security-groups", 1));
    refused(
        &bed,
        "CreateSecurityGroup",
        &[("GroupName", "a"), text],
        "SecurityGroupLimitExceeded",
    );
}

#[test]
fn groups_are_described() {
    let bed = Bed::new();
    let params = [
        ("GroupName", "Build"),
        ("GroupDescription", "a & b"),
        ("TagSpecification.1.ResourceType", "security-group"),
        ("TagSpecification.1.Tag.1.Key", "use"),
        ("TagSpecification.1.Tag.1.Value", "build"),
    ];
    let created = call(&bed, "CreateSecurityGroup", &params);
    let id = created.text("groupId").to_owned();
    assert_eq!(created.text("tagSet/item[0]/value"), "build");
    let answer = call(&bed, "DescribeSecurityGroups", &[("GroupId.1", &id)]);
    let at = |path: &str| {
        answer
            .text(&format!("securityGroupInfo/item[0]/{path}"))
            .to_owned()
    };
    assert_eq!(at("groupDescription"), "a & b");
    assert_eq!(at("ipPermissionsEgress/item[0]/ipProtocol"), "-1");
    assert_eq!(
        at("ipPermissionsEgress/item[0]/ipRanges/item[0]/cidrIp"),
        "0.0.0.0/0"
    );
    assert_eq!(
        answer.get("securityGroupInfo/item[0]/ipPermissions/item[0]/ipProtocol"),
        None
    );
    let default = default_group(&bed);
    let pair = call(&bed, "DescribeSecurityGroups", &[("GroupId.1", &default)]);
    assert_eq!(
        pair.text("securityGroupInfo/item[0]/ipPermissions/item[0]/groups/item[0]/groupId"),
        default
    );
    for (name, value, expected) in [
        ("group-name", "*", 2),
        ("group-name", "Build", 1),
        ("group-id", &*id, 1),
        ("description", "a*", 1),
        ("tag:use", "build", 1),
        ("tag-key", "other", 0),
        ("vpc-id", "vpc-0", 0),
        ("owner-id", "111111111111", 2),
        ("egress.ip-permission.cidr", "0.0.0.0/0", 2),
        ("ip-permission.cidr", "*", 0),
        ("ip-permission.group-id", &*default, 1),
        ("ip-permission.group-name", "default", 1),
        ("ip-permission.user-id", "111111111111", 1),
        ("ip-permission.from-port", "*", 0),
        ("ip-permission.prefix-list-id", "*", 0),
    ] {
        let params = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let answer = call(&bed, "DescribeSecurityGroups", &params);
        assert_eq!(answer.all("]/groupName").len(), expected, "{name}={value}");
    }
}

#[test]
fn what_uses_a_group_keeps_it() {
    let bed = Bed::new();
    let (one, other) = (group(&bed, "one"), group(&bed, "other"));
    let permission = [
        ("GroupId", &*other),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.Groups.1.GroupId", &one),
    ];
    call(&bed, "AuthorizeSecurityGroupIngress", &permission);
    refused(
        &bed,
        "DeleteSecurityGroup",
        &[("GroupId", &one)],
        "DependencyViolation",
    );
    call(&bed, "RevokeSecurityGroupIngress", &permission);

    bed.shared.machines.pretend();
    let params = [("Size", "1"), ("AvailabilityZone", "us-east-1a")];
    let volume = call(&bed, "CreateVolume", &params)
        .text("volumeId")
        .to_owned();
    let snapshot = call(&bed, "CreateSnapshot", &[("VolumeId", &volume)]);
    let snapshot = snapshot.text("snapshotId").to_owned();
    let image = [
        ("Name", "an-image"),
        ("Architecture", "x86_64"),
        ("RootDeviceName", "/dev/xvda"),
        ("VirtualizationType", "hvm"),
        ("EnaSupport", "true"),
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.SnapshotId", &snapshot),
    ];
    let image = call(&bed, "RegisterImage", &image)
        .text("imageId")
        .to_owned();
    let run = [
        ("ImageId", &*image),
        ("InstanceType", "t3.micro"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("SecurityGroupId.1", &one),
    ];
    let answer = call(&bed, "RunInstances", &run);
    let instance = answer.text("instancesSet/item[0]/instanceId");
    refused(
        &bed,
        "DeleteSecurityGroup",
        &[("GroupId", &one)],
        "DependencyViolation",
    );
    let subnets = call(
        &bed,
        "DescribeSubnets",
        &[
            ("Filter.1.Name", "availability-zone"),
            ("Filter.1.Value.1", "us-east-1a"),
        ],
    );
    assert_eq!(
        subnets.text("subnetSet/item[0]/availableIpAddressCount"),
        "4090"
    );
    call(&bed, "TerminateInstances", &[("InstanceId.1", instance)]);
    call(&bed, "DeleteSecurityGroup", &[("GroupId", &one)]);
}

#[test]
fn groups_of_an_instance() {
    let bed = Bed::new();
    let account = bed.caller("publisher").account;
    let ids: Vec<String> = (0..6)
        .map(|number| group(&bed, &format!("g{number}")))
        .collect();
    let check = |ids: &[String], names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        bed.shared
            .read(|world| super::check_security_groups(world, &account, &here(), ids, &names))
    };
    let default = check(&[], &[]).expect("the default group");
    assert_eq!(default, [(default_group(&bed), "default".to_owned())]);
    let two = check(&ids[..1], &["g1"]).expect("both");
    assert_eq!(
        two,
        [
            (ids[0].clone(), "g0".to_owned()),
            (ids[1].clone(), "g1".to_owned())
        ]
    );
    assert!(check(&ids[..5], &[]).is_ok());
    for (ids, names, expected) in [
        (&ids[..], vec![], "SecurityGroupsPerInterfaceLimitExceeded"),
        (&ids[..1], vec!["g0"], "InvalidParameterValue"),
        (&[], vec!["none"], "InvalidGroup.NotFound"),
        (&["sg-00000000".to_owned()], vec![], "InvalidGroup.NotFound"),
        (&["g0".to_owned()], vec![], "InvalidGroupId.Malformed"),
    ] {
        let error = check(ids, &names).expect_err(expected);
        assert_eq!(error.code, expected);
    }
}
