use serde_json::{Value, json};

use super::*;
use crate::aws::testing::{Cloud, HOME, region};

async fn cloud() -> (Cloud, Ec2, Launch) {
    let cloud = Cloud::start().await;
    cloud.pretend_instances();
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let launch = ec2.test_launch("one").await;
    (cloud, ec2, launch)
}

async fn fault(cloud: &Cloud, action: Value) {
    let rule = json!({"operation": "RunInstances", "nth": 1, "action": action});
    cloud.fault(rule).await;
}

async fn tagged(ec2: &Ec2) -> Vec<Instance> {
    let found = ec2.instances_tagged("made-by", "a * test").await;
    found.expect("instances")
}

#[tokio::test]
async fn an_instance_is_launched_and_ended() {
    let (cloud, ec2, launch) = cloud().await;
    let made = ec2.test_instance(&launch).await;
    let instance = ec2.instance(&made.id).await.expect("an answer");
    let instance = instance.expect("it is there");
    let told = (&instance.id, &instance.image, &instance.tags);
    assert_eq!(told, (&made.id, &launch.image, &launch.tags));
    assert_eq!(instance.state, InstanceState::Running);
    let told = (instance.instance_type.as_str(), instance.zone.as_str());
    assert_eq!(told, ("t3.micro", "us-east-1a"));
    assert!((OffsetDateTime::now_utc() - instance.launched).abs() < time::Duration::hours(1));
    let devices: Vec<&str> = instance.volumes.keys().map(String::as_str).collect();
    assert_eq!(devices, ["/dev/sdf", "/dev/xvda"]);

    let volume = &instance.volumes["/dev/sdf"];
    let found = ec2.volume(volume).await.expect("an answer");
    let found = found.expect("a volume");
    assert_eq!((found.gib, found.encrypted), (2, true));
    assert_eq!(found.key.as_ref(), Some(&launch.volume.key));
    assert_eq!(found.attached_to.as_ref(), Some(&instance.id));
    assert_eq!(found.tags, launch.tags);

    ec2.stop(&instance.id).await.expect("it stops");
    let stopped = ec2.instance(&instance.id).await.expect("an answer");
    let stopped = stopped.expect("it is there");
    assert_eq!(stopped.state, InstanceState::Stopped);
    let reason = stopped.state_reason.expect("a reason");
    assert!(reason.contains("User initiated"), "{reason}");

    ec2.terminate(&instance.id).await.expect("it goes");
    ec2.terminate(&instance.id).await.expect("it is gone");
    let [ended] = &tagged(&ec2).await[..] else {
        panic!("one instance");
    };
    assert!(ended.state.is_ending() && ended.volumes.is_empty());
    assert_eq!(ec2.volume(volume).await.expect("an answer"), None);
    assert_eq!(cloud.calls("RunInstances").await.len(), 1);
}

#[tokio::test]
async fn the_root_volume_is_encrypted_at_launch() {
    let (_cloud, ec2, launch) = cloud().await;
    let root_of = async |launch: &Launch| {
        let made = ec2.test_instance(launch).await.id;
        let instance = ec2.instance(&made).await.expect("an answer");
        let volumes = instance.expect("it is there").volumes;
        assert_eq!(volumes.len(), 2);
        let root = ec2.volume(&volumes["/dev/xvda"]).await;
        (made, root.expect("an answer").expect("a volume"))
    };
    let (_, plain) = root_of(&launch).await;
    assert_eq!((plain.gib, plain.encrypted, plain.key), (2, false, None));

    let encrypted = Launch {
        token: "two".to_owned(),
        root_device: Some("/dev/xvda".to_owned()),
        ..launch
    };
    let (instance, root) = root_of(&encrypted).await;
    assert_eq!((root.gib, root.encrypted), (2, true));
    assert_eq!(root.key.as_ref(), Some(&encrypted.volume.key));
    assert_eq!(root.tags, encrypted.tags);
    ec2.terminate(&instance).await.expect("it goes");
    assert_eq!(ec2.volume(&root.id).await.expect("an answer"), None);
}

#[tokio::test]
async fn what_is_off_is_stopped_already() {
    let (cloud, ec2, launch) = cloud().await;
    let id = ec2.test_instance(&launch).await.id;
    let wrong_state = async |code| {
        cloud.no_faults().await;
        let error = json!({"error": {"status": 400, "code": code}});
        let rule = json!({"operation": "StopInstances", "nth": 1, "action": error});
        cloud.fault(rule).await;
    };
    // As of one that is pending.
    for code in ["IncorrectInstanceState", "IncorrectState"] {
        wrong_state(code).await;
        let error = ec2.stop(&id).await.expect_err("it is not stopped");
        assert_eq!(error.code.as_deref(), Some(code));
    }
    ec2.stop(&id).await.expect("it stops");
    ec2.stop(&id).await.expect("it is stopped");
    wrong_state("IncorrectInstanceState").await;
    ec2.stop(&id).await.expect("it is stopped still");
    ec2.terminate(&id).await.expect("it goes");
    ec2.stop(&id).await.expect("it is ending");
    let nobodys: InstanceId = "i-01234567".parse().expect("an id");
    ec2.stop(&nobodys).await.expect("nothing to do");
    assert_eq!(cloud.calls("StopInstances").await.len(), 7);
}

#[tokio::test]
async fn an_instance_is_found_by_its_token() {
    let (_cloud, ec2, launch) = cloud().await;
    let of = async |token| ec2.instances_of_token(token).await.expect("an answer");
    assert_eq!(of("one").await, []);
    let id = ec2.test_instance(&launch).await.id;
    let other = Launch {
        token: "one*".to_owned(),
        ..launch
    };
    let other = ec2.test_instance(&other).await.id;
    ec2.terminate(&id).await.expect("it goes");
    let [found] = &of("one").await[..] else {
        panic!("one instance");
    };
    assert!(found.id == id && found.state.is_ending());
    // Without wildcards.
    let [found] = &of("one*").await[..] else {
        panic!("one instance");
    };
    assert_eq!(found.id, other);
}

#[tokio::test]
async fn an_instance_goes_where_it_is_told() {
    let (_cloud, ec2, launch) = cloud().await;
    let subnets = ec2.default_subnets().await.expect("subnets");
    let there = Launch {
        subnet: Some(subnets[1].id.clone()),
        ..launch.clone()
    };
    assert_eq!(ec2.test_instance(&there).await.zone, "us-east-1b");
    let zone = Launch {
        zone: Some("us-east-1b".to_owned()),
        token: "two".to_owned(),
        ..launch
    };
    assert_eq!(ec2.test_instance(&zone).await.zone, "us-east-1b");
    let both = Launch {
        zone: Some("us-east-1a".to_owned()),
        token: "three".to_owned(),
        ..there
    };
    let error = ec2.run_instance(&both).await.expect_err("another zone");
    assert_eq!(error.kind, Kind::Invalid);
}

#[tokio::test]
async fn a_token_makes_one_instance() {
    let (_cloud, ec2, launch) = cloud().await;
    let first = ec2.test_instance(&launch).await;
    assert_eq!(ec2.test_instance(&launch).await.id, first.id);
    let other = Launch {
        user_data: "other".to_owned(),
        ..launch.clone()
    };
    let error = ec2.run_instance(&other).await.expect_err("a token in use");
    assert_eq!(error.kind, Kind::Conflict);
    assert_eq!(error.code.as_deref(), Some("IdempotentParameterMismatch"));
    ec2.terminate(&first.id).await.expect("it goes");
    let error = ec2.run_instance(&launch).await.expect_err("a used token");
    assert_eq!(error.kind, Kind::Conflict);
    assert_eq!(error.code.as_deref(), Some("IdempotentInstanceTerminated"));
    assert_eq!(tagged(&ec2).await.len(), 1);
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_instance() {
    let (cloud, ec2, launch) = cloud().await;
    fault(&cloud, json!("close-after")).await;
    let instance = ec2.test_instance(&launch).await;
    assert_eq!(cloud.calls("RunInstances").await.len(), 2);
    let [found] = &tagged(&ec2).await[..] else {
        panic!("one instance");
    };
    assert_eq!(found.id, instance.id);
}

#[tokio::test]
async fn a_lack_of_capacity_is_no_error_and_is_not_asked_for_again() {
    let (cloud, ec2, launch) = cloud().await;
    let no_capacity = async |launch: &Launch| match ec2.run_instance(launch).await {
        Ok(Launched::NoCapacity(why)) => why,
        other => panic!("{other:?}"),
    };
    fault(&cloud, json!("no-capacity")).await;
    let why = no_capacity(&launch).await;
    assert!(why.starts_with("InsufficientInstanceCapacity: "), "{why}");
    assert_eq!(cloud.calls("RunInstances").await.len(), 1);
    let not_there = Launch {
        zone: Some("us-east-1c".to_owned()),
        token: "two".to_owned(),
        ..launch.clone()
    };
    let why = no_capacity(&not_there).await;
    assert!(
        why.starts_with("Unsupported: ") && why.contains("us-east-1c"),
        "{why}"
    );
    for (code, status) in [
        ("UnfulfillableCapacity", 400),
        ("InsufficientVolumeCapacity", 500),
    ] {
        cloud.no_faults().await;
        fault(&cloud, json!({"error": {"status": status, "code": code}})).await;
        assert!(no_capacity(&launch).await.starts_with(code));
    }
    cloud.no_faults().await;
    assert_eq!(tagged(&ec2).await, []);
    // What came to nothing has not used the token.
    ec2.test_instance(&launch).await;
}

#[tokio::test]
async fn a_quota_is_an_error() {
    let (cloud, ec2, launch) = cloud().await;
    for code in ["VcpuLimitExceeded", "MaxSpotInstanceCountExceeded"] {
        cloud.no_faults().await;
        fault(&cloud, json!({"error": {"status": 400, "code": code}})).await;
        let error = ec2.run_instance(&launch).await.expect_err(code);
        assert_eq!(error.kind, Kind::Quota, "{error}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_used_shows_in_the_state() {
    let (_cloud, ec2, mut launch) = cloud().await;
    let key = "arn:aws:kms:us-east-1:111111111111:key/00000000-0000-0000-0000-000000000000";
    launch.volume.key = key.parse().expect("an ARN");
    let made = ec2.test_instance(&launch).await;
    let found = ec2.instance(&made.id).await.expect("an answer");
    let found = found.expect("it is shown");
    assert_eq!(found.state, InstanceState::Terminated);
    let reason = found.state_reason.expect("a reason");
    assert!(reason.starts_with("Client.InternalError"), "{reason}");
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let (_cloud, ec2, _) = cloud().await;
    let id: InstanceId = "i-01234567".parse().expect("an id");
    assert_eq!(ec2.instance(&id).await.expect("an answer"), None);
    ec2.terminate(&id).await.expect("nothing to do");
    let error = ec2.console_output(&id).await.expect_err("no console");
    assert_eq!(error.kind, Kind::NotFound);
}

#[tokio::test]
async fn pages_of_instances_and_volumes_are_all_read() {
    let (cloud, ec2, launch) = cloud().await;
    for token in ["1", "2", "3", "4", "5", "6"] {
        let token = token.to_owned();
        ec2.test_instance(&Launch {
            token,
            ..launch.clone()
        })
        .await;
    }
    assert_eq!(tagged(&ec2).await.len(), 6);
    assert_eq!(cloud.calls("DescribeInstances").await.len(), 2);
    let volumes = ec2.volumes_tagged("made-by", "a * test").await;
    assert_eq!(volumes.expect("volumes").len(), 12);
    let none = ec2.instances_tagged("made-by", "a*").await;
    assert_eq!(none.expect("an answer"), []);
}

#[tokio::test]
async fn the_console_is_read() {
    let (cloud, ec2, launch) = cloud().await;
    let new = ec2.test_instance(&launch).await.id;
    assert_eq!(ec2.console_output(&new).await.expect("nothing yet"), "");
    cloud.write_console(&new, b"login: \xff\n");
    let output = ec2.console_output(&new).await.expect("its output");
    assert_eq!(output, "login: \u{fffd}\n");
    // Types that are not on Nitro cannot tell the latest.
    let old = Launch {
        instance_type: "t2.micro".to_owned(),
        token: "two".to_owned(),
        ..launch
    };
    let old = ec2.test_instance(&old).await.id;
    cloud.write_console(&old, b"old");
    assert_eq!(ec2.console_output(&old).await.expect("its output"), "old");
    assert_eq!(cloud.calls("GetConsoleOutput").await.len(), 4);
}

#[tokio::test]
async fn a_launch_asks_for_everything_at_once() {
    let (_cloud, ec2, launch) = cloud().await;
    let subnet: SubnetId = "subnet-01234567".parse().expect("an id");
    let launch = Launch {
        subnet: Some(subnet),
        security_groups: vec!["sg-1".to_owned()],
        root_device: Some("/dev/xvda".to_owned()),
        ..launch
    };
    let request = ec2.launching(&launch);
    let input = request.as_input();
    let tagged: Vec<&str> = input
        .get_tag_specifications()
        .iter()
        .flatten()
        .filter_map(|tags| Some(tags.resource_type()?.as_str()))
        .collect();
    assert_eq!(tagged, ["instance", "volume", "network-interface"]);
    assert_eq!(input.get_user_data().as_deref(), Some("IyEvYmluL3NoCg=="));
    let metadata = input.get_metadata_options().as_ref().expect("options");
    assert_eq!(
        metadata.http_tokens(),
        Some(&types::HttpTokensState::Required)
    );
    assert_eq!(metadata.http_put_response_hop_limit(), Some(1));
    assert!(input.get_key_name().is_none() && input.get_iam_instance_profile().is_none());
    let mappings = input.get_block_device_mappings().iter().flatten();
    let volumes: Vec<_> = mappings
        .map(|mapping| (mapping.device_name(), mapping.ebs().expect("a volume")))
        .collect();
    let [(Some("/dev/xvda"), root), (Some("/dev/sdf"), second)] = volumes[..] else {
        panic!("{volumes:?}");
    };
    assert_eq!((root.volume_size(), second.volume_size()), (None, Some(2)));
    for volume in [root, second] {
        assert_eq!(volume.kms_key_id(), Some(launch.volume.key.as_str()));
        assert_eq!(volume.encrypted(), Some(true));
        assert_eq!(volume.delete_on_termination(), Some(true));
        assert_eq!(volume.volume_type(), Some(&types::VolumeType::Gp3));
        assert_eq!(volume.snapshot_id(), None);
    }
}

#[tokio::test]
async fn a_launch_does_not_show_its_secrets() {
    let (_cloud, _ec2, launch) = cloud().await;
    let launch = Launch {
        user_data: "https://bucket/job?X-Amz-Signature=1".to_owned(),
        ..launch
    };
    let text = format!("{launch:?}");
    assert!(
        text.contains("t3.micro") && !text.contains("X-Amz"),
        "{text}"
    );
}
