//! A dry run says whether a call would succeed, and does nothing.

use crate::sandbox::client::Expect as _;
use crate::sandbox::place::{ABROAD, HOME, Place};
use crate::sandbox::things::{block, image, snapshot};

#[test]
fn what_would_succeed_is_not_done() {
    let place = Place::new();
    let (here, abroad) = (place.publisher(), place.publisher().in_region(ABROAD));
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    let dry = ("DryRun", "true");
    for (client, action, params) in [
        (
            &here,
            "CreateVolume",
            &[("AvailabilityZone", "us-east-1a"), ("Size", "1"), dry][..],
        ),
        (&here, "DescribeImages", &[dry]),
        (&here, "DeregisterImage", &[("ImageId", &image), dry]),
        (
            &here,
            "CreateTags",
            &[
                ("ResourceId.1", &image),
                ("Tag.1.Key", "a"),
                ("Tag.1.Value", "b"),
                dry,
            ],
        ),
        (
            &here,
            "ModifyImageAttribute",
            &[
                ("ImageId", &image),
                ("LaunchPermission.Add.1.UserId", "222222222222"),
                dry,
            ],
        ),
        (
            &abroad,
            "CopyImage",
            &[
                ("Name", "copy"),
                ("SourceImageId", &image),
                ("SourceRegion", HOME),
                dry,
            ],
        ),
        (
            &abroad,
            "CopySnapshot",
            &[("SourceSnapshotId", &source), ("SourceRegion", HOME), dry],
        ),
    ] {
        let refused = client.ec2(action, params).refused("DryRunOperation");
        assert_eq!(refused.status, 412, "{action}: {refused}");
    }
    let count = |action: &str, end: &str, of: &[&str]| {
        let clients = [&here, &abroad];
        let of: Vec<_> = of.iter().map(|owner| ("Owner.1", *owner)).collect();
        let all = clients.map(|client| client.ec2(action, &of).done(action).all(end).len());
        all.iter().sum::<usize>()
    };
    assert_eq!(count("DescribeVolumes", "volumeId", &[]), 0);
    assert_eq!(count("DescribeImages", "imageId", &["self"]), 1);
    assert_eq!(count("DescribeTags", "key", &[]), 0);
    assert_eq!(count("DescribeSnapshots", "startTime", &["self"]), 1);
    let theirs = place
        .customer()
        .ec2("DescribeImages", &[("ImageId.1", &image)]);
    theirs.refused("InvalidAMIID.NotFound");
}

#[test]
fn what_would_fail_says_why() {
    let place = Place::new();
    let here = place.publisher();
    let dry = ("DryRun", "true");
    let none = "ami-0123456789abcdef0";
    here.ec2("DeregisterImage", &[("ImageId", none), dry])
        .refused("InvalidAMIID.NotFound");
    here.ec2("CreateVolume", &[("AvailabilityZone", "us-east-1a"), dry])
        .expect_err("it has no size");
    here.ec2("DescribeImages", &[("Colour", "red"), dry])
        .refused("UnknownParameter");
}
