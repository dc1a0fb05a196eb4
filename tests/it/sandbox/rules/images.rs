//! What becomes of images: used, tagged, deprecated, disabled, protected, deregistered.

use crate::sandbox::client::{Client, Expect as _, Outcome, Tree};
use crate::sandbox::place::{CUSTOMER, Place};
use crate::sandbox::things::{
    block, image, launch, launch_permission, register, share_snapshot, snapshot,
};

fn delete(client: &Client, snapshot: &str) -> Outcome<Tree> {
    client.ec2("DeleteSnapshot", &[("SnapshotId", snapshot)])
}

fn deregister(client: &Client, image: &str) -> Outcome<Tree> {
    client.ec2("DeregisterImage", &[("ImageId", image)])
}

/// The images shared with a caller, with further parameters.
fn shared(client: &Client, more: &[(&str, &str)]) -> usize {
    let mut params = vec![("ExecutableBy.1", "self")];
    params.extend(more);
    let images = client.ec2("DescribeImages", &params).done("images");
    images.all("imageId").len()
}

#[test]
fn a_snapshot_in_use_stays() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let first = image(&here, "first", &source);
    let second = image(&here, "second", &source);
    delete(&here, &source).refused("InvalidSnapshot.InUse");
    // Its images take it with them, the last one at least.
    let with_snapshots = |image: &str| {
        here.ec2(
            "DeregisterImage",
            &[("ImageId", image), ("DeleteAssociatedSnapshots", "true")],
        )
        .done("gone");
    };
    with_snapshots(&first);
    let described = || here.ec2("DescribeSnapshots", &[("SnapshotId.1", &source)]);
    described().done("the other image uses it");
    with_snapshots(&second);
    described().refused("InvalidSnapshot.NotFound");
}

#[test]
fn a_snapshot_goes_once_no_image_uses_it() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    deregister(&here, &image).done("gone");
    delete(&here, &source).done("nobody uses it");
    delete(&here, &source).refused("InvalidSnapshot.NotFound");
}

#[test]
fn tags_are_their_accounts_own() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let source = snapshot(&publisher, &[(0, block(1))], None);
    let tags = [
        ("TagSpecification.1.ResourceType", "image"),
        ("TagSpecification.1.Tag.1.Key", "secret"),
        ("TagSpecification.1.Tag.1.Value", "publisher"),
    ];
    let made = register(&publisher, "image", &source, &tags).done("an image");
    let image = made.text("imageId");
    launch_permission(&publisher, image, "Add", CUSTOMER).done("shared");
    share_snapshot(&publisher, &source, CUSTOMER).done("shared");

    let seen = |client: &Client, more: &[(&str, &str)]| {
        let mut params = vec![("ImageId.1", image)];
        params.extend(more);
        client.ec2("DescribeImages", &params).done("images")
    };
    let by_tag = [("Filter.1.Name", "tag:secret"), ("Filter.1.Value.1", "*")];
    assert_eq!(
        seen(&publisher, &[]).all("tagSet/item[0]/value"),
        ["publisher"]
    );
    assert_eq!(seen(&publisher, &by_tag).all("imageId").len(), 1);
    assert!(seen(&customer, &[]).all("tagSet/item[0]/value").is_empty());
    assert!(seen(&customer, &by_tag).all("imageId").is_empty());
    let tags = customer.ec2("DescribeTags", &[]).done("tags");
    assert!(tags.all("key").is_empty());

    // The customer's own tags on what is shared are its own.
    customer
        .ec2(
            "CreateTags",
            &[
                ("ResourceId.1", image),
                ("Tag.1.Key", "secret"),
                ("Tag.1.Value", "customer"),
            ],
        )
        .done("its own tag");
    assert_eq!(
        seen(&customer, &[]).all("tagSet/item[0]/value"),
        ["customer"]
    );
    assert_eq!(
        seen(&publisher, &[]).all("tagSet/item[0]/value"),
        ["publisher"]
    );
}

#[test]
fn deprecated_is_hidden_from_others() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let source = snapshot(&publisher, &[(0, block(1))], None);
    let image = image(&publisher, "image", &source);
    launch_permission(&publisher, &image, "Add", CUSTOMER).done("shared");
    let moment = place.sandbox().shared().clock.now();
    let soon = moment.plus(std::time::Duration::from_secs(3600)).iso();
    publisher
        .ec2(
            "EnableImageDeprecation",
            &[("ImageId", &image), ("DeprecateAt", &soon)],
        )
        .done("it will be deprecated");
    assert_eq!(shared(&customer, &[]), 1, "not yet");
    place.advance(2 * 3600);
    assert_eq!(shared(&customer, &[]), 0, "hidden");
    assert_eq!(shared(&customer, &[("IncludeDeprecated", "true")]), 1);
    assert_eq!(shared(&customer, &[("ImageId.1", &image)]), 1, "by its id");
    let mine = publisher.ec2("DescribeImages", &[("Owner.1", "self")]);
    assert_eq!(mine.done("images").all("imageId").len(), 1, "its owner's");

    publisher
        .ec2("DisableImageDeprecation", &[("ImageId", &image)])
        .done("no longer deprecated");
    assert_eq!(shared(&customer, &[]), 1);

    let past = moment.plus(std::time::Duration::ZERO).iso();
    publisher
        .ec2(
            "EnableImageDeprecation",
            &[("ImageId", &image), ("DeprecateAt", &past)],
        )
        .refused("InvalidParameterValue");
}

#[test]
fn disabled_does_not_launch() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let source = snapshot(&publisher, &[(0, block(1))], None);
    let image = image(&publisher, "image", &source);
    launch_permission(&publisher, &image, "Add", CUSTOMER).done("shared");
    publisher
        .ec2("DisableImage", &[("ImageId", &image)])
        .done("disabled");
    launch(&publisher, &image).refused("InvalidAMIID.Unavailable");
    let theirs = launch(&customer, &image).expect_err("disabled");
    assert!(theirs.code.starts_with("InvalidAMIID."), "{theirs}");
    assert_eq!(shared(&customer, &[]), 0);
    let mine = |more: &[(&str, &str)]| {
        let mut params = vec![("Owner.1", "self")];
        params.extend(more);
        let images = publisher.ec2("DescribeImages", &params).done("images");
        images.all("imageId").len()
    };
    assert_eq!(mine(&[]), 0);
    assert_eq!(mine(&[("IncludeDisabled", "true")]), 1);
    launch_permission(&publisher, &image, "Add", "333333333333")
        .refused("InvalidAMIID.Unavailable");

    publisher
        .ec2("EnableImage", &[("ImageId", &image)])
        .done("enabled");
    let refused = launch(&publisher, &image).expect_err("there are no machines");
    assert_ne!(refused.code, "InvalidAMIID.Unavailable");
    // Who could launch before cannot again: the permissions went.
    assert_eq!(shared(&customer, &[]), 0);
}

#[test]
fn deregistered_does_not_launch() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    deregister(&here, &image).done("gone");
    let refused = launch(&here, &image).expect_err("it is gone");
    assert!(
        ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"].contains(&&*refused.code),
        "{refused}"
    );
    let again = deregister(&here, &image).expect_err("it is gone");
    assert!(again.code.starts_with("InvalidAMIID."), "{again}");
}

#[test]
fn protected_is_not_deregistered() {
    let place = Place::new();
    let here = place.publisher();
    let source = snapshot(&here, &[(0, block(1))], None);
    let image = image(&here, "image", &source);
    here.ec2(
        "EnableImageDeregistrationProtection",
        &[("ImageId", &image), ("WithCooldown", "true")],
    )
    .done("protected");
    deregister(&here, &image).refused("OperationNotPermitted");
    here.ec2(
        "DisableImageDeregistrationProtection",
        &[("ImageId", &image)],
    )
    .done("protected for another day");
    deregister(&here, &image).refused("OperationNotPermitted");
    place.advance(25 * 3600);
    deregister(&here, &image).done("the day is over");
}

#[test]
fn an_image_needs_a_snapshot_that_is_there() {
    let place = Place::new();
    let (publisher, customer) = (place.publisher(), place.customer());
    let source = snapshot(&publisher, &[(0, block(1))], None);
    let none = "snap-00000000000000000";
    register(&publisher, "image", none, &[]).refused("InvalidSnapshot.NotFound");
    register(&customer, "image", &source, &[]).refused("InvalidSnapshot.NotFound");
    let open = crate::sandbox::things::open_snapshot(&publisher, None);
    register(&publisher, "image", &open, &[]).refused("IncorrectState");
}
