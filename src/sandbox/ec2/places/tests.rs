use super::{TYPES, instance_type, offered, place_of, zones};
use crate::sandbox::ec2::network::default_vpc;
use crate::sandbox::id::Region;
use crate::sandbox::service::Service;
use crate::sandbox::testing::{Bed, Xml};

fn call(bed: &Bed, region: &str, action: &str, params: &[(&str, &str)]) -> Xml {
    bed.query(Service::Ec2, "publisher", region, action, params)
        .expect("an answer")
}

fn region(name: &str) -> Region {
    name.parse().expect("a Region")
}

/// Calls that are wrong, with AWS's code for that.
#[test]
fn what_is_refused() {
    let bed = Bed::new();
    let names: Vec<String> = (1..=101).map(|n| format!("InstanceType.{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "t3.micro")).collect();
    let invalid = "InvalidParameterValue";
    type Params<'a> = Vec<(&'a str, &'a str)>;
    let cases: Vec<(&str, Params<'_>, &str)> = vec![
        ("DescribeRegions", vec![("RegionName.1", "mars-1")], invalid),
        ("DescribeRegions", vec![("AllRegions", "maybe")], invalid),
        (
            "DescribeRegions",
            vec![("MaxResults", "5")],
            "UnknownParameter",
        ),
        (
            "DescribeRegions",
            vec![("Filter.1.Name", "zone"), ("Filter.1.Value.1", "x")],
            invalid,
        ),
        (
            "DescribeAvailabilityZones",
            vec![("ZoneName.1", "us-east-1z")],
            invalid,
        ),
        (
            "DescribeAvailabilityZones",
            vec![("ZoneName.1", "eu-west-1a")],
            invalid,
        ),
        (
            "DescribeAvailabilityZones",
            vec![("ZoneId.1", "use1-az9")],
            invalid,
        ),
        (
            "DescribeInstanceTypes",
            vec![("InstanceType.1", "t9.huge")],
            "InvalidInstanceType",
        ),
        ("DescribeInstanceTypes", many, invalid),
        ("DescribeInstanceTypes", vec![("MaxResults", "4")], invalid),
        (
            "DescribeInstanceTypes",
            vec![("MaxResults", "101")],
            invalid,
        ),
        (
            "DescribeInstanceTypes",
            vec![("NextToken", "x")],
            "InvalidNextToken",
        ),
        (
            "DescribeInstanceTypeOfferings",
            vec![("LocationType", "planet")],
            invalid,
        ),
        (
            "DescribeInstanceTypeOfferings",
            vec![("MaxResults", "1001")],
            invalid,
        ),
        (
            "DescribeAccountAttributes",
            vec![("AttributeName.1", "tea")],
            invalid,
        ),
        (
            "EnableEbsEncryptionByDefault",
            vec![("Tea", "x")],
            "UnknownParameter",
        ),
        (
            "EnableEbsEncryptionByDefault",
            vec![("DryRun", "true")],
            "DryRunOperation",
        ),
        ("ModifyEbsDefaultKmsKeyId", vec![], "MissingParameter"),
        (
            "EnableSnapshotBlockPublicAccess",
            vec![],
            "MissingParameter",
        ),
        (
            "EnableSnapshotBlockPublicAccess",
            vec![("State", "unblocked")],
            invalid,
        ),
    ];
    for (action, params, expected) in cases {
        let error = bed.ec2("publisher", action, &params).expect_err(action);
        assert_eq!(error.code, expected, "{action} {params:?}");
    }
    let answer = call(&bed, "us-east-1", "GetEbsEncryptionByDefault", &[]);
    assert_eq!(answer.text("ebsEncryptionByDefault"), "false", "a dry run");
}

#[test]
fn regions() {
    let bed = Bed::new();
    let names = |params: &[(&str, &str)]| {
        let answer = call(&bed, "us-east-1", "DescribeRegions", params);
        answer.all("/regionName").join(" ")
    };
    assert!(!names(&[]).contains("af-south-1"), "not opted into");
    assert!(names(&[("AllRegions", "true")]).contains("af-south-1"));
    assert_eq!(names(&[("RegionName.1", "eu-central-2")]), "eu-central-2");
    let filter = |name: &'static str, value: &'static str| {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        [&[("AllRegions", "true")][..], &filter].concat()
    };
    assert_eq!(
        names(&filter("opt-in-status", "not-opted-in")),
        "af-south-1 eu-central-2"
    );
    assert_eq!(
        names(&filter("endpoint", "ec2.sa-east-1.amazonaws.com")),
        "sa-east-1"
    );
    assert_eq!(
        names(&filter("region-name", "us-w*")),
        "us-west-1 us-west-2"
    );
    let answer = call(
        &bed,
        "us-east-1",
        "DescribeRegions",
        &[("RegionName.1", "us-east-1")],
    );
    assert_eq!(
        answer.text("regionInfo/item[0]/optInStatus"),
        "opt-in-not-required"
    );
}

#[test]
fn availability_zones() {
    let bed = Bed::new();
    for region in Region::all() {
        let zones = zones(&region);
        let (mut names, mut ids): (Vec<_>, Vec<_>) =
            zones.into_iter().map(|zone| (zone.name, zone.id)).unzip();
        names.dedup();
        ids.sort();
        ids.dedup();
        assert_eq!((names.len(), ids.len()), (3, 3), "{region}");
        assert!(!place_of(&region).long_name.is_empty());
    }
    let zone = |name: &str, value: &str| {
        let params = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let answer = call(&bed, "eu-central-1", "DescribeAvailabilityZones", &params);
        answer.all("/zoneName").join(" ")
    };
    let all = "eu-central-1a eu-central-1b eu-central-1c";
    for (name, value, expected) in [
        ("zone-id", "euc1-az1", "eu-central-1c"),
        ("zone-name", "*b", "eu-central-1b"),
        ("zone-type", "availability-zone", all),
        ("zone-type", "local-zone", ""),
        ("state", "available", all),
        ("state", "impaired", ""),
        ("region-name", "eu-central-1", all),
        ("group-name", "eu-central-1-zg-1", all),
        ("group-long-name", "Europe (Frankfurt) 1", all),
        ("opt-in-status", "opted-in", ""),
        ("message", "*", ""),
    ] {
        assert_eq!(zone(name, value), expected, "{name}={value}");
    }
    let params = [("ZoneId.1", "euc1-az2"), ("AllAvailabilityZones", "true")];
    let answer = call(&bed, "eu-central-1", "DescribeAvailabilityZones", &params);
    assert_eq!(answer.all("/zoneName"), ["eu-central-1a"]);
    assert_eq!(
        answer.text("availabilityZoneInfo/item[0]/zoneState"),
        "available"
    );
}

#[test]
fn instance_types() {
    let bed = Bed::new();
    let sorted = TYPES.windows(2).all(|pair| pair[0].name < pair[1].name);
    assert!(sorted, "pages follow the names");
    assert!(instance_type("t9.huge").is_none());
    let params = [
        ("InstanceType.1", "t4g.micro"),
        ("InstanceType.2", "t2.micro"),
    ];
    let answer = call(&bed, "us-east-1", "DescribeInstanceTypes", &params);
    for (path, expected) in [
        ("item[0]/instanceType", "t2.micro"),
        ("item[0]/hypervisor", "xen"),
        ("item[0]/networkInfo/enaSupport", "unsupported"),
        ("item[0]/ebsInfo/nvmeSupport", "unsupported"),
        ("item[0]/supportedBootModes/item[0]", "legacy-bios"),
        ("item[1]/instanceType", "t4g.micro"),
        (
            "item[1]/processorInfo/supportedArchitectures/item[0]",
            "arm64",
        ),
        ("item[1]/supportedBootModes/item[0]", "uefi"),
        ("item[1]/memoryInfo/sizeInMiB", "1024"),
        ("item[1]/vCpuInfo/defaultVCpus", "2"),
        ("item[1]/vCpuInfo/defaultThreadsPerCore", "1"),
        (
            "item[1]/ebsInfo/ebsOptimizedInfo/baselineThroughputInMBps",
            "10.875",
        ),
    ] {
        assert_eq!(
            answer.text(&format!("instanceTypeSet/{path}")),
            expected,
            "{path}"
        );
    }
}

#[test]
fn instance_types_by_filter() {
    let bed = Bed::new();
    let found = |region: &str, name: &str, value: &str| {
        let params = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let answer = call(&bed, region, "DescribeInstanceTypes", &params);
        answer.all("/instanceType").join(" ")
    };
    for (name, value, expected) in [
        (
            "instance-type",
            "t3.*",
            "t3.large t3.medium t3.micro t3.small",
        ),
        ("hypervisor", "xen", "t2.micro"),
        ("processor-info.supported-architecture", "i386", "t2.micro"),
        (
            "memory-info.size-in-mib",
            "1024",
            "t2.micro t3.micro t4g.micro",
        ),
        ("vcpu-info.default-vcpus", "1", "m6g.medium t2.micro"),
        ("ebs-info.attachment-limit-type", "dedicated", "m7i.large"),
        ("ebs-info.ebs-optimized-support", "unsupported", "t2.micro"),
        ("current-generation", "false", "m5.large m6i.large"),
        ("nitro-enclaves-support", "supported", "c6g.large m6g.large"),
        ("network-info.efa-supported", "true", ""),
        ("instance-storage-info.disk.type", "ssd", ""),
        (
            "supported-boot-mode",
            "legacy-bios",
            "c6i.large m5.large m6i.large m7i.large t2.micro t3.large t3.medium t3.micro t3.small t3a.small",
        ),
    ] {
        assert_eq!(found("us-east-1", name, value), expected, "{name}={value}");
    }
    assert_eq!(
        found("eu-north-1", "instance-type", "t2.*"),
        "",
        "not there"
    );
    let params = [("InstanceType.1", "t2.micro")];
    let error = bed.query(
        Service::Ec2,
        "publisher",
        "eu-north-1",
        "DescribeInstanceTypes",
        &params,
    );
    assert_eq!(error.expect_err("not there").code, "InvalidInstanceType");
    let params = [params[0], ("IncludeUnsupportedInRegion", "true")];
    let answer = call(&bed, "eu-north-1", "DescribeInstanceTypes", &params);
    assert_eq!(
        answer.text("instanceTypeSet/item[0]/supportedInRegion"),
        "false"
    );
}

#[test]
fn types_come_in_pages() {
    let bed = Bed::new();
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let params = [("MaxResults", "5"), ("NextToken", &*token)];
        let answer = call(&bed, "us-east-1", "DescribeInstanceTypes", &params);
        let page = answer.all("/instanceType");
        assert!(page.len() <= 5);
        names.extend(page.into_iter().map(str::to_owned));
        match answer.get("nextToken") {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let all: Vec<&str> = TYPES.iter().map(|kind| kind.name).collect();
    assert_eq!(names, all);
}

#[test]
fn offerings() {
    let bed = Bed::new();
    for (place, zone, kind, expected) in [
        ("us-east-1", "us-east-1a", "t3.micro", true),
        ("us-east-1", "us-east-1c", "t3.micro", false),
        ("us-east-1", "us-east-1c", "t2.micro", true),
        ("us-east-1", "us-east-1z", "t3.micro", false),
        ("us-east-1", "eu-west-1a", "t3.micro", false),
        ("us-east-1", "us-east-1a", "t9.huge", false),
        ("eu-north-1", "eu-north-1a", "t2.micro", false),
    ] {
        assert_eq!(
            offered(&region(place), zone, kind),
            expected,
            "{zone} {kind}"
        );
    }
    for (place, kind, location_type, expected) in [
        (
            "us-east-1",
            "t3.micro",
            "availability-zone",
            "us-east-1a us-east-1b",
        ),
        (
            "us-east-1",
            "t3.micro",
            "availability-zone-id",
            "use1-az1 use1-az2",
        ),
        ("us-east-1", "t3.micro", "region", "us-east-1"),
        ("us-east-1", "t3.micro", "outpost", ""),
        ("eu-north-1", "t2.micro", "region", ""),
    ] {
        let params = [
            ("LocationType", location_type),
            ("Filter.1.Name", "instance-type"),
            ("Filter.1.Value.1", kind),
        ];
        let answer = call(&bed, place, "DescribeInstanceTypeOfferings", &params);
        assert_eq!(
            answer.all("/location").join(" "),
            expected,
            "{kind} {location_type}"
        );
    }
    let params = [
        ("LocationType", "availability-zone"),
        ("Filter.1.Name", "location"),
        ("Filter.1.Value.1", "us-east-1c"),
    ];
    let answer = call(&bed, "us-east-1", "DescribeInstanceTypeOfferings", &params);
    assert_eq!(answer.all("/instanceType"), ["t2.micro"]);
}

#[test]
fn settings_are_the_accounts_in_the_region() {
    let bed = Bed::new();
    let key = "arn:aws:kms:us-east-1:111111111111:key/0b1cbd5f-0000-0000-0000-000000000000";
    let set = [("KmsKeyId", key)];
    for (action, params, name, expected) in [
        (
            "GetEbsEncryptionByDefault",
            &[][..],
            "ebsEncryptionByDefault",
            "false",
        ),
        (
            "EnableEbsEncryptionByDefault",
            &[],
            "ebsEncryptionByDefault",
            "true",
        ),
        (
            "GetEbsEncryptionByDefault",
            &[],
            "ebsEncryptionByDefault",
            "true",
        ),
        ("GetEbsDefaultKmsKeyId", &[], "kmsKeyId", "alias/aws/ebs"),
        ("ModifyEbsDefaultKmsKeyId", &set, "kmsKeyId", key),
        ("GetEbsDefaultKmsKeyId", &[], "kmsKeyId", key),
    ] {
        let answer = call(&bed, "us-east-1", action, params);
        assert_eq!(answer.text(name), expected, "{action}");
    }
    let account = bed.caller("publisher").account;
    let defaults = |place: &str| {
        bed.shared
            .read(|world| super::ebs_defaults(world, &account, &region(place)))
    };
    assert_eq!(defaults("us-east-1").key.as_deref(), Some(key));
    assert!(defaults("us-east-1").encrypt && !defaults("eu-west-1").encrypt);
    let other = bed
        .ec2("customer", "GetEbsEncryptionByDefault", &[])
        .expect("an answer");
    assert_eq!(other.text("ebsEncryptionByDefault"), "false");
    for (action, name, expected) in [
        ("ResetEbsDefaultKmsKeyId", "kmsKeyId", "alias/aws/ebs"),
        ("GetEbsDefaultKmsKeyId", "kmsKeyId", "alias/aws/ebs"),
        (
            "DisableEbsEncryptionByDefault",
            "ebsEncryptionByDefault",
            "false",
        ),
        (
            "GetEbsEncryptionByDefault",
            "ebsEncryptionByDefault",
            "false",
        ),
    ] {
        assert_eq!(
            call(&bed, "us-east-1", action, &[]).text(name),
            expected,
            "{action}"
        );
    }
}

#[test]
fn keys_that_are_not_known_are_taken_all_the_same() {
    let bed = Bed::new();
    for (given, kept) in [
        (
            "0b1cbd5f",
            "arn:aws:kms:us-east-1:111111111111:key/0b1cbd5f",
        ),
        (
            "alias/none",
            "arn:aws:kms:us-east-1:111111111111:alias/none",
        ),
    ] {
        let params = [("KmsKeyId", given)];
        let answer = call(&bed, "us-east-1", "ModifyEbsDefaultKmsKeyId", &params);
        assert_eq!(answer.text("kmsKeyId"), kept);
    }
}

#[test]
fn public_snapshots_can_be_blocked() {
    let bed = Bed::new();
    let state = || call(&bed, "us-east-1", "GetSnapshotBlockPublicAccessState", &[]);
    assert_eq!(state().text("state"), "unblocked");
    for blocked in ["block-all-sharing", "block-new-sharing"] {
        let params = [("State", blocked)];
        let answer = call(
            &bed,
            "us-east-1",
            "EnableSnapshotBlockPublicAccess",
            &params,
        );
        assert_eq!(answer.text("state"), blocked);
        assert_eq!(state().text("state"), blocked);
    }
    call(&bed, "us-east-1", "DisableSnapshotBlockPublicAccess", &[]);
    assert_eq!(state().text("state"), "unblocked");
}

#[test]
fn account_attributes() {
    let bed = Bed::new();
    let answer = call(&bed, "us-east-1", "DescribeAccountAttributes", &[]);
    assert_eq!(answer.all("/attributeName").len(), 6);
    let params = [("AttributeName.1", "default-vpc")];
    let answer = call(&bed, "us-east-1", "DescribeAccountAttributes", &params);
    let vpc = default_vpc(&bed.caller("publisher").account, &region("us-east-1"));
    assert_eq!(answer.all("/attributeValue"), [vpc]);
}
