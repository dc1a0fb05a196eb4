//! A run is killed at every call and at every record; the next one finishes it.

use super::*;

const ONE: [&str; 1] = ["eu-west-1"];

/// Runs until the fault has befallen a call. True if the run was over before.
async fn killed(world: &World, record: &Arc<Kept>, fault: u64) -> bool {
    let stalled = async {
        while world.applied(fault).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        results = world.run("run-1", record, &ONE) => {
            for result in results {
                // A copy that is told to fail does.
                assert!(matches!(result, Ok(_) | Err(RegionError::Failed { .. })), "{result:?}");
            }
            true
        }
        () = stalled => false,
    }
}

/// The run is killed before its nth call reaches AWS, or, `after`, when AWS has done what the call
/// asked for and the run has not heard of it. How many calls there were to die at.
async fn at_every_call(after: bool, copies_fail: bool) -> u32 {
    let mut world = World::new().await;
    for nth in 1.. {
        if copies_fail {
            let fail = json!({"fail-later": {"reason": "a bad day"}});
            world
                .fault(json!({"operation": "CopyImage", "nth": 1, "action": fail}))
                .await;
        }
        if after {
            world
                .fault(json!({"service": "ec2", "nth": nth, "action": "close-after"}))
                .await;
        }
        let stall =
            json!({"service": "ec2", "skip": nth - 1 + u32::from(after), "action": "stall"});
        let fault = world.fault(stall).await;
        let record = Arc::new(Kept::default());
        let over = killed(&world, &record, fault).await;
        world.cloud.no_faults().await;
        let results = world.run("run-2", &record, &ONE).await;
        if results.iter().any(Result::is_err) {
            // What the run saw fail itself, it leaves to the next.
            assert!(copies_fail, "{nth}: {results:?}");
            world.run_well("run-3", &record, &ONE).await;
        }
        world.check(&record, &ONE).await;
        if over {
            return nth - 1;
        }
        world = world.next().await;
    }
    unreachable!("a run has an end")
}

#[tokio::test]
async fn before_every_call() {
    let calls = at_every_call(false, false).await;
    assert!(calls >= 12, "{calls}");
}

#[tokio::test]
async fn after_every_call() {
    let calls = at_every_call(true, false).await;
    assert!(calls >= 12, "{calls}");
}

#[tokio::test]
async fn around_every_call_of_a_run_whose_copy_fails() {
    let before = at_every_call(false, true).await;
    let after = at_every_call(true, true).await;
    assert!(before.min(after) >= 12, "{before} {after}");
}

#[tokio::test]
async fn at_every_record() {
    let mut world = World::new().await;
    let mut deaths = 0;
    for fails in [false, true] {
        for kept in [true, false] {
            for at in 1.. {
                if fails {
                    let fail = json!({"fail-later": {"reason": "a bad day"}});
                    world
                        .fault(json!({"operation": "CopyImage", "nth": 1, "action": fail}))
                        .await;
                }
                let dies = Some((at, kept));
                let record = Arc::new(Kept {
                    dies,
                    ..Kept::default()
                });
                let over = tokio::select! {
                    _ = world.run("run-1", &record, &ONE) => true,
                    () = record.died.notified() => false,
                };
                world.cloud.no_faults().await;
                let places = record.places.lock().expect("a lock").clone();
                let record = Arc::new(Kept {
                    places: Mutex::new(places),
                    ..Kept::default()
                });
                // What had failed is made again in the second run, unless the run saw it fail.
                world.run_well("run-2", &record, &ONE).await;
                world.check(&record, &ONE).await;
                world = world.next().await;
                if over {
                    break;
                }
                deaths += 1;
            }
        }
    }
    // Known and finished at home; known and finished, or known and failed, abroad.
    assert_eq!(deaths, 16);
}
