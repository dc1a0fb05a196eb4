use serde_json::json;

use super::*;
use crate::aws::Kind;
use crate::aws::ec2::SnapshotState;
use crate::aws::testing::{Cloud, HOME, region};

async fn cloud() -> (Cloud, Ec2, VolumeId) {
    let cloud = Cloud::start().await;
    cloud.pretend_instances();
    let ec2 = cloud.aws().await.ec2(&region(HOME));
    let launch = ec2.test_launch("one").await;
    let made = ec2.test_instance(&launch).await.id;
    let instance = ec2.instance(&made).await.expect("an answer");
    let volume = instance.and_then(|instance| instance.volumes.get("/dev/sdf").cloned());
    (cloud, ec2, volume.expect("its volume"))
}

fn tags() -> Tags {
    Tags([("made-by".to_owned(), "a snapshot".to_owned())].into())
}

#[tokio::test]
async fn volumes_are_found_and_deleted() {
    let (_cloud, ec2, id) = cloud().await;
    let volumes = ec2.volumes_tagged("made-by", "a * test").await;
    let volumes = volumes.expect("volumes");
    assert_eq!(volumes.len(), 2);
    let volume = volumes.iter().find(|volume| volume.id == id);
    let volume = volume.expect("it is among them");
    assert_eq!(volume.state, VolumeState::InUse);
    let error = ec2.delete_volume(&id).await.expect_err("it is in use");
    assert_eq!(error.code.as_deref(), Some("VolumeInUse"));
    let nobodys: VolumeId = "vol-01234567".parse().expect("an id");
    ec2.delete_volume(&nobodys).await.expect("nothing to do");
    assert_eq!(ec2.volume(&nobodys).await.expect("an answer"), None);
}

#[tokio::test]
async fn a_snapshot_is_made_of_a_volume() {
    let (_cloud, ec2, volume) = cloud().await;
    assert_eq!(ec2.snapshots_of_volume(&volume).await.expect("a list"), []);
    let made = ec2.create_snapshot(&volume, "an image", &tags()).await;
    let made = made.expect("a snapshot");
    let [found] = &ec2.snapshots_of_volume(&volume).await.expect("a list")[..] else {
        panic!("one snapshot");
    };
    assert_eq!((&found.id, &found.tags), (&made, &tags()));
    assert_eq!(found.description, "an image");
    assert_eq!((found.encrypted, found.volume_gib), (true, 2));
    assert_ne!(found.state, SnapshotState::Error);
    let volume = ec2.volume(&volume).await.expect("an answer");
    assert_eq!(found.key, volume.expect("a volume").key);
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_snapshot() {
    let (cloud, ec2, volume) = cloud().await;
    let fault = async |action| {
        let rule = json!({"operation": "CreateSnapshot", "nth": 1, "action": action});
        cloud.no_faults().await;
        cloud.fault(rule).await;
    };
    fault(json!("close-after")).await;
    let error = ec2.create_snapshot(&volume, "an image", &tags()).await;
    assert_eq!(error.expect_err("no answer").kind, Kind::Network);
    assert_eq!(cloud.calls("CreateSnapshot").await.len(), 1);
    let found = ec2.snapshots_of_volume(&volume).await.expect("a list");
    assert_eq!(found.len(), 1);
    // What was refused is asked for again.
    fault(json!("throttle")).await;
    let made = ec2.create_snapshot(&volume, "another", &tags()).await;
    made.expect("a snapshot");
    assert_eq!(cloud.calls("CreateSnapshot").await.len(), 3);
    let found = ec2.snapshots_of_volume(&volume).await.expect("a list");
    assert_eq!(found.len(), 2);
}
