use super::*;

#[tokio::test]
async fn a_release_comes_into_all_regions_and_the_second_run_does_nothing() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    let placing = world.placing("run-1", &record);
    let home = placing
        .home(world.target(HOME, &record), world.origin())
        .await
        .expect("a place");
    let targets = AWAY
        .iter()
        .map(|name| world.target(name, &record))
        .collect();
    let ami = home.ami.clone().expect("an AMI");
    let copies = placing.copies(&ami, &region(HOME), targets).await;
    for (region, place) in copies {
        let place = place.expect("a place");
        assert_eq!((&place.key, place.attempt), (&world.keys[&region], 0));
    }
    world.check(&record, &AWAY).await;
    let told = placing.progress.listen().borrow().clone();
    assert!(
        told.lines.contains(&format!("{HOME}: {ami}")),
        "{:?}",
        told.lines
    );
    assert_eq!(told.lines.len(), 4);
    assert!(
        told.regions.values().all(|at| at == "available"),
        "{:?}",
        told.regions
    );
    // The id is kept before anything is waited for.
    let states: Vec<String> = {
        let all = record.all.lock().expect("a lock");
        let of_home = all.iter().filter(|(at, _)| *at == region(HOME));
        of_home.map(|(_, place)| place.state.clone()).collect()
    };
    assert_eq!(states, ["pending", "available"]);

    let records = record.all.lock().expect("a lock").len();
    world.run_well("run-2", &record, &AWAY).await;
    world.check(&record, &AWAY).await;
    assert_eq!(world.cloud.calls("RegisterImage").await.len(), 1);
    assert_eq!(world.cloud.calls("CopyImage").await.len(), 3);
    assert_eq!(record.all.lock().expect("a lock").len(), records);
}

#[tokio::test]
async fn what_is_not_recorded_is_found() {
    let world = World::new().await;
    world.run_well("run-1", &Arc::default(), &AWAY[..1]).await;
    let record = Arc::new(Kept::default());
    world.run_well("run-2", &record, &AWAY[..1]).await;
    world.check(&record, &AWAY[..1]).await;
    assert_eq!(world.cloud.calls("CopyImage").await.len(), 1);
}

#[tokio::test]
async fn a_region_can_be_added_later() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    world.run_well("run-1", &record, &AWAY[..1]).await;
    world.run_well("run-2", &record, &AWAY).await;
    world.check(&record, &AWAY).await;
    assert_eq!(world.cloud.calls("CopyImage").await.len(), 3);
}

#[tokio::test]
async fn the_wait_tells_what_it_waits_for() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    let placing = world.placing("run-1", &record);
    let home = placing
        .home(world.target(HOME, &record), world.origin())
        .await
        .expect("a place");
    // Copies take 300 s of AWS's time.
    world
        .cloud
        .control("PUT", "clock", json!({"scale": 0.005}))
        .await;
    let mut told = placing.progress.listen();
    let listener = tokio::spawn(async move {
        let mut seen = Vec::new();
        while told.changed().await.is_ok() {
            let at = told.borrow().regions.get(&region(AWAY[0])).cloned();
            seen.extend(at);
            if seen.last().is_some_and(|at| at == "available") {
                break;
            }
        }
        seen
    });
    let ami = home.ami.expect("an AMI");
    let targets = vec![world.target(AWAY[0], &record)];
    let copies = placing.copies(&ami, &region(HOME), targets).await;
    let place = copies[&region(AWAY[0])].as_ref().expect("a place");
    let (copy, snapshot) = (place.ami.as_ref(), place.snapshot.as_ref());
    let (copy, snapshot) = copy.zip(snapshot).expect("both ids");
    let seen = listener.await.expect("what was told");
    let pending = format!("{copy} pending, {snapshot} pending ");
    assert!(
        seen.iter()
            .any(|at| at.starts_with(&pending) && at.contains("%, since ")),
        "{seen:?}"
    );
    world.check(&record, &AWAY[..1]).await;
}

#[tokio::test]
async fn names_are_checked_in_every_region_at_once() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    world.run_well("run-1", &record, &AWAY[..2]).await;
    let name = world.wanted("").name;
    let regions: Vec<Region> = AWAY
        .iter()
        .chain([&HOME])
        .map(|name| region(name))
        .collect();
    check_names(&world.aws, &name, Some(&world.release), &regions)
        .await
        .expect("they are ours");
    let world = world.next().await;
    for release in [None, Some(&world.release)] {
        let errors = check_names(&world.aws, &name, release, &regions).await;
        let errors = errors.expect_err("they are another's");
        let taken = errors.iter().map(|error| match error {
            RegionError::NameTaken {
                region,
                holder: Some(holder),
                ..
            } => {
                assert_eq!(holder, "base-1-x86_64-20260131.1");
                region.as_str()
            }
            other => panic!("{other}"),
        });
        assert_eq!(
            taken.collect::<Vec<_>>(),
            ["eu-central-1", "eu-west-1", HOME]
        );
    }
    check_names(&world.aws, "another name", None, &regions)
        .await
        .expect("it is free");
}

#[tokio::test]
async fn a_name_that_is_anothers_is_not_touched() {
    let world = World::new().await;
    let record = Arc::new(Kept::default());
    let mut foreign = world.placing("run-1", &record);
    let mut wanted = world.wanted("run-1");
    wanted.tags = Tags::default();
    foreign.wanted = Arc::new(wanted.clone());
    let ec2 = world.aws.ec2(&region(AWAY[0]));
    let key = &world.keys[&region(AWAY[0])];
    let snapshot = ec2.test_snapshot(Some(key), &Tags::default()).await;
    let registration = crate::aws::ec2::Registration {
        name: &wanted.name,
        description: "",
        arch: Arch::X86_64,
        boot_mode: "uefi-preferred",
        tpm: false,
        root_device: "/dev/xvda",
        snapshot: &snapshot,
        volume_gib: 1,
        tags: &wanted.tags,
    };
    let ami = ec2.register(&registration).await.expect("an AMI");
    let results = world.run("run-1", &record, &AWAY[..2]).await;
    let failed: Vec<_> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .collect();
    let [
        RegionError::NameTaken {
            region: at,
            ami: by,
            holder: None,
            ..
        },
    ] = failed[..]
    else {
        panic!("{failed:?}");
    };
    assert_eq!((at, by), (&region(AWAY[0]), &ami));
    assert!(
        failed[0]
            .advice()
            .is_some_and(|advice| advice.contains(ami.as_str()))
    );
    assert_eq!(ec2.test_images().await.len(), 1);
    assert_eq!(ec2.test_snapshots().await.len(), 1);
    assert_eq!(world.cloud.calls("CopyImage").await.len(), 1);
    let places = record.places.lock().expect("a lock");
    assert_eq!(places[&region(AWAY[1])].state, "available");
}
