use serde_json::json;
use time::OffsetDateTime;

use super::*;
use crate::arch::Arch;
use crate::aws::error::Kind;
use crate::aws::names::SnapshotId;
use crate::aws::tags;
use crate::aws::testing::{Cloud, HOME, region};

fn tags(release: &str) -> Tags {
    Tags(
        [(tags::RELEASE, release), (tags::NAME, "a * name")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
    )
}

fn registration<'a>(name: &'a str, snapshot: &'a SnapshotId, tags: &'a Tags) -> Registration<'a> {
    Registration {
        name,
        description: "an image",
        arch: Arch::Aarch64,
        boot_mode: "uefi",
        tpm: true,
        root_device: "/dev/xvda",
        snapshot,
        volume_gib: 2,
        tags,
    }
}

#[tokio::test]
async fn an_image_is_registered_with_everything_at_once() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let (key, tags) = (ec2.test_key().await, tags("r*1"));
    let snapshot = ec2.test_snapshot(Some(&key), &tags).await;
    let ami = ec2
        .register(&registration("a/b [1]", &snapshot, &tags))
        .await
        .expect("an AMI");
    let again = ec2
        .register(&registration("a/b [1]", &snapshot, &tags))
        .await;
    assert_eq!(again.expect_err("a duplicate").kind, Kind::Exists);

    let image = ec2.image(&ami).await.expect("an answer").expect("an image");
    assert_eq!(
        ec2.images_named("a/b [1]").await.expect("a list"),
        std::slice::from_ref(&image)
    );
    assert_eq!(
        ec2.images_of_release("r*1").await.expect("a list"),
        std::slice::from_ref(&image)
    );
    assert_eq!(
        ec2.images_with(std::slice::from_ref(&snapshot))
            .await
            .expect("a list"),
        std::slice::from_ref(&image)
    );
    // Values of filters are taken as they are, without wildcards.
    assert_eq!(ec2.images_named("a/b*").await.expect("a list"), []);
    assert_eq!(ec2.images_of_release("r*").await.expect("a list"), []);
    assert_eq!(ec2.snapshots_of_release("r?1").await.expect("a list"), []);
    assert_eq!(cloud.calls("RegisterImage").await.len(), 2);

    let told = (
        image.architecture.as_str(),
        image.boot_mode.as_deref(),
        image.ena,
    );
    assert_eq!(told, ("arm64", Some("uefi"), true));
    assert_eq!(
        (image.imds.as_deref(), image.tpm.as_deref()),
        (Some("v2.0"), Some("v2.0"))
    );
    assert_eq!((&image.tags, image.public), (&tags, false));
    let root = image.root().expect("a root");
    let told = (
        root.snapshot.as_ref(),
        root.volume_gib,
        root.volume_type.as_deref(),
    );
    assert_eq!(told, (Some(&snapshot), Some(2), Some("gp3")));
    assert!(root.delete_on_termination);
    let age = OffsetDateTime::now_utc() - image.created.expect("a date");
    assert!(age.abs() < time::Duration::hours(1), "{age}");
    assert_eq!(root.encrypted, Some(true));

    let [found] = &ec2.snapshots_of_release("r*1").await.expect("a list")[..] else {
        panic!("one snapshot");
    };
    assert_eq!(
        (found.key.as_ref(), found.encrypted, found.volume_gib),
        (Some(&key), true, 1)
    );
    assert_eq!(found.state, SnapshotState::Completed);
    assert!(
        !ec2.delete_snapshot(&snapshot).await.expect("an answer"),
        "it is used"
    );
    ec2.deregister(&ami, true).await.expect("it goes");
    ec2.deregister(&ami, true).await.expect("it is gone");
    assert_eq!(ec2.image(&ami).await.expect("an answer"), None);
    assert_eq!(ec2.snapshot(&snapshot).await.expect("an answer"), None);
    assert!(ec2.delete_snapshot(&snapshot).await.expect("it is gone"));
}

#[tokio::test]
async fn the_image_of_another_account_is_seen_if_it_is_shared() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let customer = cloud.customer().await;
    let theirs = customer.ec2(&region(HOME));
    let tags = tags("r");
    let mut made = Vec::new();
    for name in ["kept", "shared", "public"] {
        let snapshot = ec2.test_snapshot(None, &tags).await;
        let ami = ec2.register(&registration(name, &snapshot, &tags)).await;
        made.push(ami.expect("an AMI"));
    }
    let [kept, shared, public] = &made[..] else {
        panic!("three images");
    };
    ec2.test_share(shared, customer.account()).await;
    ec2.test_make_public(public).await;
    let seen = async |ami| theirs.image(ami).await.expect("an answer");
    assert_eq!(seen(kept).await, None);
    for (ami, name) in [(shared, "shared"), (public, "public")] {
        let image = seen(ami).await.expect("an image");
        let told = (image.name.as_str(), image.state, image.owner.as_ref());
        let publisher = "111111111111".parse().expect("an account");
        assert_eq!(told, (name, ImageState::Available, Some(&publisher)));
        // Tags are their owner's alone.
        assert_eq!(image.tags, Tags::default());
    }
    ec2.deregister(shared, false).await.expect("it goes");
    assert_eq!(seen(shared).await, None);
    let unavailable = json!({"error": {"status": 400, "code": "InvalidAMIID.Unavailable"}});
    let rule = json!({"operation": "DescribeImages", "nth": 1, "action": unavailable});
    cloud.fault(rule).await;
    assert_eq!(seen(public).await, None);
}

#[tokio::test]
async fn the_newest_image_of_a_name_is_found() {
    let cloud = Cloud::start().await;
    let (aws, customer) = (cloud.aws().await, cloud.customer().await);
    let (ec2, theirs) = (aws.ec2(&region(HOME)), customer.ec2(&region(HOME)));
    let tags = tags("r");
    let make = async |name: &str, arch| {
        let snapshot = ec2.test_snapshot(None, &tags).await;
        let registration = Registration {
            arch,
            tpm: false,
            ..registration(name, &snapshot, &tags)
        };
        let ami = ec2.register(&registration).await.expect("an AMI");
        let later = json!({"advance_seconds": 10});
        cloud.control("PUT", "clock", later).await;
        ami
    };
    // More than a page, the oldest last by its name.
    let mut newest = None;
    for number in [9, 8, 7, 6, 5, 4] {
        newest = Some(make(&format!("base-{number}-x"), Arch::Aarch64).await);
    }
    let newest = newest.expect("an AMI");
    let other_arch = make("base-3-x", Arch::X86_64).await;
    let disabled = make("base-2-x", Arch::Aarch64).await;
    let disabled = ec2.image(&disabled).await.expect("an answer");
    ec2.test_disable(&disabled.expect("an image")).await;
    make("other", Arch::Aarch64).await;

    let found = async |ec2: &Ec2, owner: &str, name: &str, arch| {
        let image = ec2.newest_image(owner, name, arch).await;
        image.expect("an answer").map(|image| image.id)
    };
    let publisher = aws.account().as_str();
    for owner in ["self", publisher] {
        let arm = found(&ec2, owner, "base-?-*", Arch::Aarch64).await;
        assert_eq!(arm.as_ref(), Some(&newest));
        let intel = found(&ec2, owner, "base-*", Arch::X86_64).await;
        assert_eq!(intel.as_ref(), Some(&other_arch));
    }
    let before = cloud.calls("DescribeImages").await.len();
    assert_eq!(found(&ec2, "self", "none*", Arch::Aarch64).await, None);
    assert_eq!(found(&ec2, "self", "base-2-x", Arch::Aarch64).await, None);
    assert_eq!(found(&ec2, "amazon", "base-*", Arch::Aarch64).await, None);
    assert_eq!(cloud.calls("DescribeImages").await.len(), before + 3);
    // Of another's, what is shared.
    let of = async |name| found(&theirs, publisher, name, Arch::Aarch64).await;
    assert_eq!(of("base-*").await, None);
    ec2.test_share(&newest, customer.account()).await;
    assert_eq!(of("base-*").await, Some(newest));
}

#[tokio::test]
async fn disabled_images_are_seen() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let tags = tags("r");
    let snapshot = ec2.test_snapshot(None, &tags).await;
    let ami = ec2
        .register(&registration("a name", &snapshot, &tags))
        .await
        .expect("an AMI");
    let image = ec2.image(&ami).await.expect("an answer").expect("an image");
    ec2.test_disable(&image).await;
    let [found] = &ec2.images_named("a name").await.expect("a list")[..] else {
        panic!("one image");
    };
    assert_eq!(found.state, ImageState::Disabled);
    assert_eq!(
        ec2.image(&ami).await.expect("an answer").as_ref(),
        Some(found)
    );
}

#[tokio::test]
async fn regions_say_whether_they_can_be_used() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let regions = ec2.regions().await.expect("Regions");
    let of = |name: &str| regions.iter().find(|status| status.region == region(name));
    assert!(of(HOME).is_some_and(|status| status.usable));
    let closed = of("af-south-1").expect("it is one of all");
    assert_eq!(
        (closed.usable, closed.opt_in.as_str()),
        (false, "not-opted-in")
    );
}

#[tokio::test]
async fn pages_are_all_read() {
    let cloud = Cloud::start().await;
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let tags = tags("r");
    for number in 0..6 {
        let snapshot = ec2.test_snapshot(None, &tags).await;
        let name = format!("image {number}");
        ec2.register(&registration(&name, &snapshot, &tags))
            .await
            .expect("an AMI");
    }
    assert_eq!(ec2.images_of_release("r").await.expect("images").len(), 6);
    assert_eq!(
        ec2.snapshots_of_release("r")
            .await
            .expect("snapshots")
            .len(),
        6
    );
    assert_eq!(cloud.calls("DescribeImages").await.len(), 2);
    assert_eq!(cloud.calls("DescribeSnapshots").await.len(), 2);
}
