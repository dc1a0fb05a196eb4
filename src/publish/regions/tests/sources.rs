use super::*;
use crate::aws::ec2::Registration;

fn refused<T: std::fmt::Debug>(result: Result<T, RegionError>) -> (String, String) {
    match result.expect_err("a refusal") {
        RegionError::Source { why, next, .. } => (why, next),
        other => panic!("{other}"),
    }
}

async fn register(world: &World, at: &str, snapshot: &SnapshotId, name: &str) -> AmiId {
    let tags = Tags::default();
    let registration = Registration {
        name,
        description: "made by hand",
        arch: Arch::X86_64,
        boot_mode: "uefi",
        tpm: true,
        root_device: "/dev/sda1",
        snapshot,
        volume_gib: 3,
        tags: &tags,
    };
    let ami = world.aws.ec2(&region(at)).register(&registration).await;
    ami.expect("an AMI")
}

#[tokio::test]
async fn snapshots_are_looked_at() {
    let world = World::new().await;
    let (aws, home) = (&world.aws, region(HOME));
    let (ec2, key) = (aws.ec2(&home), &world.keys[&region(HOME)]);
    let good = ec2.test_snapshot(Some(key), &Tags::default()).await;
    let found = inspect_snapshot(aws, &home, &good, key, None)
        .await
        .expect("a good one");
    assert_eq!(found.id, good);

    let plain = ec2.test_snapshot(None, &Tags::default()).await;
    let (why, next) = refused(inspect_snapshot(aws, &home, &plain, key, None).await);
    assert_eq!(why, "it is not encrypted");
    assert!(
        next.contains("copy-snapshot") && next.contains(key.as_str()),
        "{next}"
    );

    let other = ec2.test_key().await;
    let (why, _) = refused(inspect_snapshot(aws, &home, &good, &other, None).await);
    assert!(
        why.contains(key.as_str()) && why.contains(other.as_str()),
        "{why}"
    );

    let none: SnapshotId = "snap-00000000".parse().expect("an id");
    let (why, _) = refused(inspect_snapshot(aws, &home, &none, key, None).await);
    assert!(why.contains("no such snapshot"), "{why}");

    // The world's own is a release's.
    let of_release = &world.snapshot;
    let (why, _) = refused(inspect_snapshot(aws, &home, of_release, key, None).await);
    assert!(why.contains("base-1-x86_64-20260131.1"), "{why}");
    let release = Some(&world.release);
    inspect_snapshot(aws, &home, of_release, key, release)
        .await
        .expect("its own");

    let tags = world.wanted("run-1").tags;
    adopt_snapshot(aws, &home, &good, &tags)
        .await
        .expect("tags");
    let found = ec2
        .snapshot(&good)
        .await
        .expect("an answer")
        .expect("a snapshot");
    assert_eq!(found.tags, tags);
}

#[tokio::test]
async fn an_ami_becomes_a_release_by_its_snapshot_or_as_a_copy() {
    for (at, same_key) in [(HOME, true), (HOME, false), ("eu-west-1", true)] {
        let world = World::new().await;
        let (aws, home) = (&world.aws, region(HOME));
        assert!(
            aws.ec2(&home)
                .delete_snapshot(&world.snapshot)
                .await
                .expect("it goes")
        );
        let ec2 = aws.ec2(&region(at));
        let key = if same_key {
            world.keys[&region(at)].clone()
        } else {
            ec2.test_key().await
        };
        let snapshot = ec2.test_snapshot(Some(&key), &Tags::default()).await;
        let ami = register(&world, at, &snapshot, "made by hand").await;
        let source = inspect_ami(aws, &region(at), &ami, None)
            .await
            .expect("a source");
        assert_eq!((source.arch, source.volume_gib), (Arch::X86_64, 3));
        let boot = Boot {
            mode: "uefi".to_owned(),
            tpm: true,
            root_device: "/dev/sda1".to_owned(),
        };
        assert_eq!(source.boot, boot);

        let origin = source.origin(&home, &world.keys[&home]);
        let is_snapshot = origin == Origin::Snapshot(snapshot.clone());
        assert_eq!(is_snapshot, at == HOME && same_key);
        let record = Arc::new(Kept::default());
        let mut placing = world.placing("run-1", &record);
        let wanted = world.wanted("run-1");
        if is_snapshot {
            adopt_snapshot(aws, &home, &snapshot, &wanted.tags)
                .await
                .expect("tags");
        }
        placing.wanted = Arc::new(Wanted {
            boot,
            volume_gib: 3,
            ..wanted.clone()
        });
        for _ in 0..2 {
            let target = world.target(HOME, &record);
            let place = placing.home(target, origin.clone()).await.expect("a place");
            let image = place.ami.expect("an AMI");
            let image = aws
                .ec2(&home)
                .image(&image)
                .await
                .expect("an answer")
                .expect("an image");
            assert_eq!((&image.name, &image.tags), (&wanted.name, &wanted.tags));
            let of = image.root_snapshot().expect("a snapshot").clone();
            assert_eq!(of == snapshot, is_snapshot);
            let of = aws
                .ec2(&home)
                .snapshot(&of)
                .await
                .expect("an answer")
                .expect("one");
            assert_eq!(
                (of.key.as_ref(), &of.tags),
                (Some(&world.keys[&home]), &wanted.tags)
            );
        }
        // What it was made from is as it was.
        let own = ec2
            .image(&ami)
            .await
            .expect("an answer")
            .expect("it is still there");
        assert_eq!(
            (own.name.as_str(), own.root_snapshot()),
            ("made by hand", Some(&snapshot))
        );
        let of_release = aws
            .ec2(&home)
            .images_of_release(&world.release.to_string())
            .await;
        assert_eq!(of_release.expect("images").len(), 1);
    }
}

#[tokio::test]
async fn amis_that_cannot_be_published_are_refused() {
    let world = World::new().await;
    let (aws, home) = (&world.aws, region(HOME));
    let none: AmiId = "ami-00000000".parse().expect("an id");
    let (why, _) = refused(inspect_ami(aws, &home, &none, None).await);
    assert!(why.contains("no such AMI"), "{why}");

    let ami = register(&world, HOME, &world.snapshot, "of a release's snapshot").await;
    let (why, next) = refused(inspect_ami(aws, &home, &ami, None).await);
    assert!(
        why.contains("is of the release base-1-x86_64-20260131.1"),
        "{why}"
    );
    assert!(next.contains("publish a copy"), "{next}");
    let image = aws
        .ec2(&home)
        .image(&ami)
        .await
        .expect("an answer")
        .expect("an image");
    aws.ec2(&home).test_disable(&image).await;
    let (why, _) = refused(inspect_ami(aws, &home, &ami, None).await);
    assert_eq!(why, "it is disabled");
}
