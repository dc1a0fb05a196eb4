use super::*;
use crate::aws::Kind;

const ONE: [&str; 1] = ["eu-west-1"];

fn only_error(results: Vec<Result<Place, RegionError>>) -> RegionError {
    let mut errors: Vec<RegionError> = results.into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

#[tokio::test]
async fn a_failed_copy_leaves_evidence_and_nothing_else() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    let reason = "Given key ID is not accessible";
    let rule = json!({"operation": "CopyImage", "region": AWAY[0], "nth": 1, "action": {"fail-later": {"reason": reason}}});
    world.fault(rule).await;
    let error = only_error(world.run("run-1", &record, &AWAY).await);
    let RegionError::Failed {
        region: at,
        ami,
        reason: told,
        attempt: 1,
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(at, &region(AWAY[0]));
    assert!(told.contains(reason), "{told}");
    assert!(error.advice().is_some_and(|advice| advice.contains("key")));
    let ec2 = world.aws.ec2(&region(AWAY[0]));
    assert_eq!(
        (ec2.test_images().await, ec2.test_snapshots().await),
        (vec![], vec![])
    );
    let place = record.places.lock().expect("a lock")[&region(AWAY[0])].clone();
    assert_eq!((place.ami.as_ref(), place.attempt), (Some(ami), 1));
    assert!(place.error.is_some_and(|error| error.contains(reason)));
    // The others came through.
    world.check(&record, &AWAY[1..]).await;

    // AWS would answer the first token with the AMI that failed.
    world.run_well("run-2", &record, &AWAY).await;
    world.check(&record, &AWAY).await;
    assert_eq!(
        record.places.lock().expect("a lock")[&region(AWAY[0])].attempt,
        1
    );
    assert_eq!(world.cloud.calls("CopyImage").await.len(), 4);
}

#[tokio::test]
async fn what_a_failed_copy_left_is_swept_and_nothing_else_is() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    let rule =
        json!({"operation": "CopyImage", "nth": 1, "action": {"fail-later": {"reason": "so"}}});
    world.fault(rule).await;
    let ec2 = world.aws.ec2(&region(ONE[0]));
    let key = &world.keys[&region(ONE[0])];
    let foreign = ec2.test_snapshot(Some(key), &Tags::default()).await;
    let left = ec2
        .test_snapshot(Some(key), &world.wanted("run-0").tags)
        .await;
    only_error(world.run("run-1", &record, &ONE).await);
    let there = |snapshots: Vec<crate::aws::ec2::Snapshot>| {
        let ids = snapshots.into_iter().map(|snapshot| snapshot.id);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(
        there(ec2.test_snapshots().await),
        std::slice::from_ref(&foreign)
    );
    // A run died while it swept: the next one does it.
    ec2.test_snapshot(Some(key), &world.wanted("run-0").tags)
        .await;
    world.run_well("run-2", &record, &ONE).await;
    let snapshots = there(ec2.test_snapshots().await);
    assert_eq!(snapshots.len(), 2);
    assert!(snapshots.contains(&foreign) && !snapshots.contains(&left));
    assert!(ec2.delete_snapshot(&foreign).await.expect("it goes"));
    world.check(&record, &ONE).await;
}

#[tokio::test]
async fn readers_that_are_behind_change_nothing() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    for operation in ["RegisterImage", "CopyImage"] {
        let stale = json!({"operation": operation, "action": {"stale-reads": {"ms": 1500}}});
        world.fault(stale).await;
    }
    world.run_well("run-1", &record, &AWAY).await;
    world.check(&record, &AWAY).await;
}

#[tokio::test]
async fn a_run_that_died_is_found_by_name_and_token_when_readers_are_behind() {
    let world = World::new().await;
    // It dies before it has recorded the first id; nobody sees what it made for a while.
    for at in 1..=2 {
        let record = Arc::new(Kept {
            dies: Some((at, false)),
            ..Kept::default()
        });
        tokio::select! {
            _ = world.run("run-1", &record, &ONE) => panic!("it dies"),
            () = record.died.notified() => {}
        }
    }
    let record = Arc::new(Kept::default());
    world.cloud.no_faults().await;
    world.run_well("run-2", &record, &ONE).await;
    world.check(&record, &ONE).await;

    let world = world.next().await;
    for operation in ["RegisterImage", "CopyImage"] {
        let stale = json!({"operation": operation, "action": {"stale-reads": {"ms": 5000}}});
        world.fault(stale).await;
    }
    // The third record is the copy's first.
    for at in [1, 3] {
        let record = Arc::new(Kept {
            dies: Some((at, false)),
            ..Kept::default()
        });
        tokio::select! {
            _ = world.run("run-1", &record, &ONE) => panic!("it dies"),
            () = record.died.notified() => {}
        }
    }
    let record = Arc::new(Kept::default());
    world.run_well("run-3", &record, &ONE).await;
    world.check(&record, &ONE).await;
    let errors = world.cloud.calls("CopyImage").await;
    let errors: Vec<_> = errors
        .iter()
        .filter_map(|call| call["error"].as_str())
        .collect();
    assert_eq!(errors, ["IdempotentParameterMismatch"]);
}

#[tokio::test]
async fn lost_answers_and_throttles_are_borne() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    for action in ["close-after", "throttle", "close-before"] {
        for operation in [
            "RegisterImage",
            "CopyImage",
            "DescribeImages",
            "DescribeSnapshots",
        ] {
            world
                .fault(json!({"operation": operation, "times": 2, "action": action}))
                .await;
        }
    }
    world.run_well("run-1", &record, &AWAY).await;
    world.check(&record, &AWAY).await;
}

#[tokio::test]
async fn a_refused_permission_stops_at_once() {
    for (operation, action) in [
        ("DescribeImages", "ec2:DescribeImages"),
        ("RegisterImage", "ec2:RegisterImage"),
        ("CopyImage", "ec2:CopyImage"),
        ("DescribeSnapshots", "ec2:DescribeSnapshots"),
    ] {
        let world = World::new().await;
        world
            .fault(json!({"operation": operation, "action": "deny"}))
            .await;
        let record = Arc::new(Kept::default());
        let error = only_error(world.run("run-1", &record, &ONE).await);
        let RegionError::Aws(error) = &error else {
            panic!("{error}");
        };
        assert_eq!(
            (error.action, error.kind, error.attempts),
            (action, Kind::Denied, 1)
        );
        assert!(!error.resource.is_empty());
        assert!(error.advice().contains(action), "{}", error.advice());
    }
}

#[tokio::test]
async fn a_full_region_is_waited_for_and_a_full_account_is_not() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    let message =
        "Too many image copies in progress. The limit is 100 for this destination region.";
    let full = |message: &str| json!({"operation": "CopyImage", "times": 2, "action": {"error": {"status": 400, "code": "ResourceLimitExceeded", "message": message}}});
    world.fault(full(message)).await;
    world.run_well("run-1", &record, &ONE).await;
    world.check(&record, &ONE).await;
    assert_eq!(world.cloud.calls("CopyImage").await.len(), 3);

    let world = world.next().await;
    let record = Arc::new(Kept::default());
    world
        .fault(full(
            "You have reached your quota of 5 for the number of images in this Region.",
        ))
        .await;
    let error = only_error(world.run("run-1", &record, &ONE).await);
    assert!(
        matches!(&error, RegionError::Aws(error) if error.kind == Kind::Quota),
        "{error}"
    );
}

#[tokio::test]
async fn an_ami_that_is_not_what_the_release_says_is_an_error() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    world.run_well("run-1", &record, &ONE).await;
    let mut world = world;
    let other = world.aws.ec2(&region(ONE[0])).test_key().await;
    world.keys.insert(region(ONE[0]), other.clone());
    let error = only_error(world.run("run-2", &record, &ONE).await);
    let RegionError::Different { field, wanted, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(
        (*field, wanted.as_str()),
        ("snapshot's key", other.as_str())
    );
    assert!(error.to_string().contains(ONE[0]));

    let ec2 = world.aws.ec2(&region(HOME));
    let image = ec2.test_images().await.remove(0);
    ec2.test_disable(&image).await;
    let error = only_error(world.run("run-3", &record, &ONE).await);
    let RegionError::OutOfUse { state, ami, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((state.as_str(), ami), ("disabled", &image.id));
    assert!(
        error
            .advice()
            .is_some_and(|advice| advice.contains("enable-image"))
    );
}

#[tokio::test]
async fn an_ami_that_somebody_took_away_is_made_again() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    world.run_well("run-1", &record, &ONE).await;
    let ec2 = world.aws.ec2(&region(ONE[0]));
    let gone = ec2.test_images().await.remove(0).id;
    ec2.deregister(&gone, true).await.expect("it goes");
    world.run_well("run-2", &record, &ONE).await;
    world.check(&record, &ONE).await;
    let place = record.places.lock().expect("a lock")[&region(ONE[0])].clone();
    assert_eq!(place.attempt, 1);
    assert_ne!(place.ami, Some(gone));
}
