use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Lab;
use crate::sandbox::faults::Mishaps;
use crate::sandbox::machines::GUEST_ENDPOINT;
use crate::sandbox::service::Service;
use crate::sandbox::testing::{Bed, request};

#[test]
fn a_launch_as_it_is_described() {
    let lab = Lab::new();
    let id = lab.launched(&[
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "web"),
        ("TagSpecification.2.ResourceType", "volume"),
        ("TagSpecification.2.Tag.1.Key", "of"),
        ("TagSpecification.2.Tag.1.Value", "web"),
        ("Placement.AvailabilityZone", "us-east-1b"),
        ("InstanceInitiatedShutdownBehavior", "terminate"),
        ("EbsOptimized", "true"),
        ("Monitoring.Enabled", "true"),
        ("CpuOptions.CoreCount", "1"),
        ("CpuOptions.ThreadsPerCore", "1"),
    ]);
    for (path, value) in [
        ("imageId", lab.image.as_str()),
        ("instanceState/code", "16"),
        ("instanceState/name", "running"),
        ("privateDnsName", "ip-172-31-16-4.ec2.internal"),
        ("privateIpAddress", "172.31.16.4"),
        ("instanceType", "t3.micro"),
        ("placement/availabilityZone", "us-east-1b"),
        ("monitoring/state", "enabled"),
        ("architecture", "x86_64"),
        ("rootDeviceName", "/dev/xvda"),
        ("rootDeviceType", "ebs"),
        ("blockDeviceMapping/item[0]/deviceName", "/dev/xvda"),
        ("blockDeviceMapping/item[0]/ebs/status", "attached"),
        ("blockDeviceMapping/item[0]/ebs/deleteOnTermination", "true"),
        ("tagSet/item[0]/value", "web"),
        ("groupSet/item[0]/groupName", "default"),
        ("networkInterfaceSet/item[0]/status", "in-use"),
        ("networkInterfaceSet/item[0]/attachment/deviceIndex", "0"),
        ("metadataOptions/httpTokens", "required"),
        ("metadataOptions/httpPutResponseHopLimit", "2"),
        ("metadataOptions/instanceMetadataTags", "disabled"),
        ("cpuOptions/threadsPerCore", "1"),
        ("ebsOptimized", "true"),
        ("currentInstanceBootMode", "legacy-bios"),
        ("stateReason/code", ""),
    ] {
        assert_eq!(lab.member(&id, path), value, "{path}");
    }
    let volume = lab.member(&id, "blockDeviceMapping/item[0]/ebs/volumeId");
    let volumes = lab.ok("DescribeVolumes", &[("VolumeId.1", &volume)]);
    for (path, value) in [
        ("size", "2"),
        ("status", "in-use"),
        ("attachmentSet/item[0]/instanceId", id.as_str()),
        ("tagSet/item[0]/key", "of"),
    ] {
        assert_eq!(volumes.text(&format!("volumeSet/item[0]/{path}")), value);
    }
}

#[test]
fn launches_that_cannot_be() {
    let lab = Lab::new();
    let arm = lab.register("arm", &[("Architecture", "arm64"), ("EnaSupport", "true")]);
    let uefi = lab.register("uefi", &[("BootMode", "uefi"), ("EnaSupport", "true")]);
    let ena = ("EnaSupport", "true");
    let plain = lab.register("without-ena", &[]);
    let tpm = lab.register("tpm", &[("BootMode", "uefi"), ena, ("TpmSupport", "v2.0")]);
    let variables = lab.register(
        "variables",
        &[("BootMode", "uefi"), ena, ("UefiData", "QU1aTlVFRkk=")],
    );
    let large = BASE64_STANDARD.encode(vec![b'x'; 16_385]);
    let long = "x".repeat(65);
    let mine = lab.launched(&[]);
    for (other, code) in [
        (&[("", "ImageId")][..], "MissingParameter"),
        (&[("", "MinCount")], "MissingParameter"),
        (&[("", "MaxCount")], "MissingParameter"),
        (&[("MinCount", "0")], "InvalidParameterValue"),
        (&[("MinCount", "2")], "InvalidParameterValue"),
        (&[("MinCount", "many")], "InvalidParameterValue"),
        (&[("", "InstanceType")], "InvalidParameterValue"),
        (&[("InstanceType", "t3.nonsense")], "InvalidParameterValue"),
        (&[("ImageId", "ami-nonsense")], "InvalidAMIID.Malformed"),
        (
            &[("ImageId", "ami-0123456789abcdef0")],
            "InvalidAMIID.NotFound",
        ),
        (&[("ImageId", &arm)], "InvalidParameterValue"),
        (&[("InstanceType", "t4g.micro")], "InvalidParameterValue"),
        (&[("ImageId", &plain)], "InvalidParameterCombination"),
        (&[("ImageId", &tpm)], "UnsupportedOperation"),
        (&[("ImageId", &variables)], "UnsupportedOperation"),
        (
            &[("ImageId", &uefi), ("InstanceType", "t2.micro")],
            "InvalidParameterCombination",
        ),
        (
            &[("Placement.AvailabilityZone", "us-east-1z")],
            "InvalidParameterValue",
        ),
        (
            &[("Placement.AvailabilityZone", "us-east-1c")],
            "Unsupported",
        ),
        (
            &[("Placement.AvailabilityZoneId", "x")],
            "InvalidParameterValue",
        ),
        (&[("Placement.Tenancy", "host")], "UnsupportedOperation"),
        (&[("Placement.Tenancy", "mine")], "InvalidParameterValue"),
        (&[("Placement.GroupName", "g")], "UnsupportedOperation"),
        (&[("SubnetId", "subnet-1")], "InvalidSubnetID.NotFound"),
        (&[("SecurityGroupId.1", "sg-1")], "InvalidGroup.NotFound"),
        (&[("SecurityGroup.1", "none")], "InvalidGroup.NotFound"),
        (&[("KeyName", "none")], "InvalidKeyPair.NotFound"),
        (&[("UserData", "%%%")], "InvalidUserData.Malformed"),
        (&[("UserData", &large)], "InvalidParameterValue"),
        (&[("ClientToken", &long)], "InvalidParameterValue"),
        (
            &[("InstanceInitiatedShutdownBehavior", "hibernate")],
            "InvalidParameterValue",
        ),
        (
            &[("MetadataOptions.HttpTokens", "no")],
            "InvalidParameterValue",
        ),
        (
            &[("MetadataOptions.HttpPutResponseHopLimit", "65")],
            "InvalidParameterValue",
        ),
        (
            &[("MetadataOptions.HttpProtocolIpv6", "enabled")],
            "UnsupportedOperation",
        ),
        (
            &[
                ("MetadataOptions.HttpEndpoint", "disabled"),
                ("MetadataOptions.HttpTokens", "required"),
            ],
            "InvalidParameterCombination",
        ),
        (
            &[
                ("MetadataOptions.InstanceMetadataTags", "enabled"),
                ("TagSpecification.1.ResourceType", "instance"),
                ("TagSpecification.1.Tag.1.Key", "a b"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ("TagSpecification.1.ResourceType", "image"),
                ("TagSpecification.1.Tag.1.Key", "a"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[("IamInstanceProfile.Name", "p q")],
            "InvalidParameterValue",
        ),
        (
            &[(
                "IamInstanceProfile.Arn",
                "arn:aws:iam::999999999999:instance-profile/p",
            )],
            "InvalidParameterValue",
        ),
        (
            &[("LaunchTemplate.LaunchTemplateName", "t")],
            "InvalidLaunchTemplateName.NotFoundException",
        ),
        (&[("KernelId", "aki-1")], "UnsupportedOperation"),
        (
            &[("PrivateIpAddress", "172.31.0.9")],
            "UnsupportedOperation",
        ),
        (
            &[("InstanceMarketOptions.MarketType", "spot")],
            "UnsupportedOperation",
        ),
        (
            &[("HibernationOptions.Configured", "true")],
            "UnsupportedOperation",
        ),
        (
            &[("EnclaveOptions.Enabled", "true")],
            "UnsupportedOperation",
        ),
        (
            &[("CpuOptions.CoreCount", "1")],
            "InvalidParameterCombination",
        ),
        (
            &[
                ("CpuOptions.CoreCount", "9"),
                ("CpuOptions.ThreadsPerCore", "1"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ("InstanceType", "m5.large"),
                ("CreditSpecification.CpuCredits", "unlimited"),
            ],
            "InvalidParameterCombination",
        ),
        (
            &[("NetworkInterface.1.DeviceIndex", "1")],
            "InvalidParameterValue",
        ),
        (
            &[
                ("NetworkInterface.1.DeviceIndex", "0"),
                ("SecurityGroup.1", "default"),
            ],
            "InvalidParameterCombination",
        ),
        (
            &[
                ("NetworkInterface.1.DeviceIndex", "0"),
                ("NetworkInterface.2.DeviceIndex", "1"),
            ],
            "InvalidParameterValue",
        ),
        (
            &[
                ("NetworkInterface.1.DeviceIndex", "0"),
                ("NetworkInterface.1.Ipv6AddressCount", "1"),
            ],
            "UnsupportedOperation",
        ),
        (&[("Nonsense", "1")], "UnknownParameter"),
        (&[("Placement.Nonsense", "1")], "UnknownParameter"),
        (&[("DryRun", "true")], "DryRunOperation"),
    ] {
        let error = lab.run(other).expect_err("refused");
        assert_eq!(error.code, code, "{other:?}: {error}");
    }
    let all = lab.ok("DescribeInstances", &[]);
    assert_eq!(all.all("/instanceId"), [&mine], "nothing is left of them");
}

#[test]
fn launches_that_are_like_the_usual_one() {
    let lab = Lab::new();
    for other in [
        &[("HibernationOptions.Configured", "false")][..],
        &[("EnclaveOptions.Enabled", "false")],
        &[("Placement.Tenancy", "default")],
        &[("Placement.AvailabilityZoneId", "use1-az1")],
        &[("CreditSpecification.CpuCredits", "standard")],
        &[("MaintenanceOptions.AutoRecovery", "disabled")],
        &[("PrivateDnsNameOptions.HostnameType", "ip-name")],
        &[
            ("NetworkInterface.1.DeviceIndex", "0"),
            ("NetworkInterface.1.AssociatePublicIpAddress", "true"),
        ],
    ] {
        let id = lab.launched(other);
        assert_eq!(lab.state(&id), "running", "{other:?}");
    }
}

#[test]
fn metadata_options_follow_the_image_and_the_call() {
    let lab = Lab::new();
    let old = lab.register("old", &[("EnaSupport", "true")]);
    for (other, tokens, limit) in [
        (&[][..], "required", "2"),
        (
            &[("MetadataOptions.HttpTokens", "optional")],
            "optional",
            "2",
        ),
        (&[("ImageId", &old)], "optional", "1"),
        (
            &[
                ("ImageId", &old),
                ("MetadataOptions.HttpTokens", "required"),
            ],
            "required",
            "1",
        ),
        (
            &[("MetadataOptions.HttpPutResponseHopLimit", "64")],
            "required",
            "64",
        ),
    ] {
        let id = lab.launched(other);
        let options = (
            lab.member(&id, "metadataOptions/httpTokens"),
            lab.member(&id, "metadataOptions/httpPutResponseHopLimit"),
        );
        assert_eq!(options, (tokens.to_owned(), limit.to_owned()), "{other:?}");
    }
}

#[test]
fn a_token_stands_for_one_launch() {
    let lab = Lab::new();
    let token = ("ClientToken", "t");
    let first = lab.launched(&[token]);
    assert_eq!(lab.launched(&[token]), first);
    let other = lab.run(&[token, ("MaxCount", "2")]).unwrap_err();
    assert_eq!(other.code, "IdempotentParameterMismatch");
    lab.ok("TerminateInstances", &[("InstanceId.1", &first)]);
    let gone = lab.run(&[token]).unwrap_err();
    assert_eq!(gone.code, "IdempotentInstanceTerminated");
    assert_ne!(lab.launched(&[]), lab.launched(&[]));
}

#[test]
fn as_many_as_the_quota_allows() {
    let lab = Lab::new();
    assert!(lab.bed.shared.limits.set("running-instances", 3));
    let launched = lab
        .run(&[("MinCount", "2"), ("MaxCount", "9")])
        .expect("launched");
    let indexes = launched.all("/amiLaunchIndex");
    assert_eq!(indexes, ["0", "1", "2"]);
    let error = lab.run(&[]).unwrap_err();
    assert_eq!(error.code, "InstanceLimitExceeded");
    let id = launched.text("instancesSet/item[0]/instanceId");
    lab.ok("StopInstances", &[("InstanceId.1", id)]);
    lab.launched(&[]);
    // Another account has a quota of its own.
    let image = ("ImageId", lab.image.as_str());
    let permission = [image, ("LaunchPermission.Add.1.UserId", "222222222222")];
    lab.ok("ModifyImageAttribute", &permission);
    lab.run_as("customer", &[]).expect("launched");
}

#[test]
fn launch_permission_is_enough_for_an_image_that_is_not_encrypted() {
    let lab = Lab::new();
    let error = lab.run_as("customer", &[]).unwrap_err();
    assert_eq!(error.code, "InvalidAMIID.NotFound");
    lab.ok(
        "ModifyImageAttribute",
        &[
            ("ImageId", &lab.image),
            ("LaunchPermission.Add.1.UserId", "222222222222"),
        ],
    );
    let launched = lab.run_as("customer", &[]).expect("launched");
    assert_eq!(launched.text("ownerId"), "222222222222");
    // A snapshot that is not the image's still needs its own permission.
    let other = [
        ("BlockDeviceMapping.1.DeviceName", "/dev/sdf"),
        (
            "BlockDeviceMapping.1.Ebs.SnapshotId",
            "snap-0123456789abcdef0",
        ),
    ];
    let error = lab.run_as("customer", &other).unwrap_err();
    assert_eq!(error.code, "InvalidSnapshot.NotFound");
}

#[test]
fn an_image_lends_only_its_owners_snapshots() {
    let lab = Lab::new();
    let publisher = lab.bed.caller("publisher").account;
    let permission = [
        ("ImageId", lab.image.as_str()),
        ("LaunchPermission.Add.1.UserId", "222222222222"),
    ];
    lab.ok("ModifyImageAttribute", &permission);
    // The publisher's image is of a snapshot that somebody else shares with the publisher.
    let lend = |is_shared: bool| {
        lab.bed
            .shared
            .transact(|world| {
                let snapshot = world.ec2.snapshots.get_mut(&lab.snapshot).expect("it");
                snapshot.owner = "333333333333".parse().expect("an account");
                snapshot.shared_with.clear();
                if is_shared {
                    snapshot.shared_with.insert(publisher.clone());
                }
                Ok(())
            })
            .expect("changed");
    };
    let launch = |account: &str| match lab.run_as(account, &[]) {
        Ok(_) => String::new(),
        Err(error) => error.code.into_owned(),
    };
    assert_eq!(launch("customer"), "");
    lend(true);
    assert_eq!(launch("publisher"), "");
    assert_eq!(launch("customer"), "InvalidSnapshot.NotFound");
    lend(false);
    assert_eq!(launch("publisher"), "InvalidSnapshot.NotFound");
}

#[test]
fn a_key_that_cannot_be_used_shows_later() {
    let lab = Lab::new();
    let id = lab.launched(&[
        ("BlockDeviceMapping.1.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "1"),
        ("BlockDeviceMapping.1.Ebs.Encrypted", "true"),
        (
            "BlockDeviceMapping.1.Ebs.KmsKeyId",
            "arn:aws:kms:us-east-1:222222222222:key/01234567-89ab-4cde-8f01-23456789abcd",
        ),
    ]);
    assert_eq!(lab.state(&id), "terminated");
    assert_eq!(
        lab.member(&id, "stateReason/message"),
        "Client.InternalError: Client error on launch"
    );
    let volumes = lab.ok("DescribeVolumes", &[]);
    assert!(volumes.all("/volumeId").is_empty(), "nothing is left");
}

#[test]
fn a_failing_launch_is_pending_first() {
    let lab = Lab::new();
    lab.bed.shared.clock.set_scale(1.0);
    let key = "arn:aws:kms:us-east-1:222222222222:key/01234567-89ab-4cde-8f01-23456789abcd";
    let disk = [
        ("BlockDeviceMapping.1.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "1"),
        ("BlockDeviceMapping.1.Ebs.Encrypted", "true"),
        ("BlockDeviceMapping.1.Ebs.KmsKeyId", key),
    ];
    let failing = lab.launched(&disk);
    let good = lab.launched(&[]);
    for id in [&failing, &good] {
        assert_eq!(lab.state(id), "pending");
        assert_eq!(lab.member(id, "stateReason/code"), "");
    }
    lab.bed.shared.clock.advance(Duration::from_secs(60));
    assert_eq!(lab.state(&failing), "terminated");
    assert_eq!(lab.state(&good), "running");
}

#[test]
fn without_capacity() {
    let lab = Lab::new();
    let body = format!(
        "Action=RunInstances&Version=2016-11-15&ImageId={}&InstanceType=t3.micro&MinCount=1&MaxCount=1",
        lab.image
    );
    let request = request("POST", "/", &[], body.as_bytes());
    let mut context = lab.bed.context(
        Service::Ec2,
        "RunInstances",
        "publisher",
        "us-east-1",
        request,
    );
    context.mishaps = Mishaps {
        no_capacity: true,
        ..Mishaps::default()
    };
    let error = Service::Ec2.handle(&context).unwrap_err();
    assert_eq!(error.code, "InsufficientInstanceCapacity");
    assert_eq!(error.status, 500);
}

#[test]
fn without_machines_a_launch_says_so() {
    let lab = Lab::new();
    // The same state in a sandbox that has no machines.
    let bed = Bed::new();
    let world = lab.bed.shared.snapshot();
    bed.shared
        .transact(|other| {
            for image in world.ec2.images.values() {
                let mut image = image.clone();
                image.permissions.public = true;
                other.ec2.images.insert(image.id.clone(), image);
            }
            for snapshot in world.ec2.snapshots.values() {
                other.ec2.snapshots.insert(&snapshot.id, snapshot.clone());
            }
            Ok(())
        })
        .expect("copied");
    let params = [
        ("ImageId", lab.image.as_str()),
        ("InstanceType", "t3.micro"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
    ];
    let error = bed.ec2("publisher", "RunInstances", &params).unwrap_err();
    assert_eq!(error.code, "Unsupported");
    assert!(error.message.contains("--instances none"), "{error}");
}

#[test]
fn the_endpoint_of_guests_has_a_name() {
    assert_eq!(GUEST_ENDPOINT.to_string(), "169.254.169.200:4566");
}

/// Makes an encrypted image under a key of the publisher's and shares it with the customer.
fn shared_encrypted_image(lab: &Lab) -> (String, String) {
    let kms = |operation: &str, body| {
        lab.bed
            .json(Service::Kms, "publisher", "us-east-1", operation, body)
            .expect(operation)
    };
    let key = kms("CreateKey", serde_json::json!({}));
    let key = key["KeyMetadata"]["Arn"]
        .as_str()
        .expect("an ARN")
        .to_owned();
    let copy = lab.ok(
        "CopySnapshot",
        &[
            ("SourceRegion", "us-east-1"),
            ("SourceSnapshotId", &lab.snapshot),
            ("Encrypted", "true"),
            ("KmsKeyId", &key),
        ],
    );
    let image = lab.ok(
        "RegisterImage",
        &[
            ("Name", "encrypted"),
            ("Architecture", "x86_64"),
            ("EnaSupport", "true"),
            ("RootDeviceName", "/dev/xvda"),
            ("VirtualizationType", "hvm"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            (
                "BlockDeviceMapping.1.Ebs.SnapshotId",
                copy.text("snapshotId"),
            ),
        ],
    );
    let image = image.text("imageId").to_owned();
    lab.ok(
        "ModifyImageAttribute",
        &[
            ("ImageId", &image),
            ("LaunchPermission.Add.1.UserId", "222222222222"),
        ],
    );
    (image, key)
}

#[test]
fn an_encrypted_image_needs_launch_permission_and_the_key() {
    let lab = Lab::new();
    let (image, key) = shared_encrypted_image(&lab);
    let launch = || {
        let launched = lab
            .run_as("customer", &[("ImageId", &image)])
            .expect("accepted");
        let id = launched.text("instancesSet/item[0]/instanceId").to_owned();
        let path = "reservationSet/item[0]/instancesSet/item[0]";
        let described = lab
            .bed
            .ec2("customer", "DescribeInstances", &[("InstanceId.1", &id)])
            .expect("described");
        let state = described
            .text(&format!("{path}/instanceState/name"))
            .to_owned();
        let volume = described.get(&format!("{path}/blockDeviceMapping/item[0]/ebs/volumeId"));
        (state, volume.map(str::to_owned))
    };
    assert_eq!(launch(), ("terminated".to_owned(), None));

    let grant = serde_json::json!({
        "KeyId": key,
        "GranteePrincipal": "arn:aws:iam::222222222222:root",
        "Operations": [
            "DescribeKey", "Decrypt", "CreateGrant", "GenerateDataKey",
            "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo",
        ],
    });
    lab.bed
        .json(Service::Kms, "publisher", "us-east-1", "CreateGrant", grant)
        .expect("a grant");
    let (state, volume) = launch();
    assert_eq!(state, "running");
    let volume = volume.expect("a volume");
    let volume = lab
        .bed
        .ec2("customer", "DescribeVolumes", &[("VolumeId.1", &volume)])
        .expect("described");
    assert_eq!(volume.text("volumeSet/item[0]/encrypted"), "true");
}
