use std::time::Duration;

use super::Lab;
use crate::sandbox::ec2::instances::{self, Ending, Phase};
use crate::sandbox::ec2::snapshots::Progress;
use crate::sandbox::machines;

fn ended(lab: &Lab, id: &str, ending: &Ending) {
    lab.bed
        .shared
        .transact(|world| {
            instances::ended(world, &lab.bed.shared.clock, id, ending);
            Ok(())
        })
        .expect("noted");
}

#[test]
fn stop_start_terminate() {
    let lab = Lab::new();
    let id = lab.launched(&[]);
    let named = [("InstanceId.1", id.as_str())];
    let change = |action: &str| {
        let xml = lab.ok(action, &named);
        let state = |which: &str| {
            xml.text(&format!("instancesSet/item[0]/{which}/name"))
                .to_owned()
        };
        (
            state("previousState"),
            state("currentState"),
            lab.state(&id),
        )
    };
    let states =
        |one: &str, two: &str, three: &str| (one.to_owned(), two.to_owned(), three.to_owned());
    assert_eq!(
        change("StartInstances"),
        states("running", "running", "running")
    );
    assert_eq!(
        change("StopInstances"),
        states("running", "stopping", "stopped")
    );
    assert_eq!(
        lab.member(&id, "stateReason/message"),
        "Client.UserInitiatedShutdown: User initiated shutdown"
    );
    assert!(lab.member(&id, "reason").starts_with("User initiated (2"));
    assert_eq!(
        lab.member(&id, "blockDeviceMapping/item[0]/deviceName"),
        "/dev/xvda"
    );
    assert_eq!(
        change("StopInstances"),
        states("stopped", "stopped", "stopped")
    );
    assert_eq!(
        change("StartInstances"),
        states("stopped", "pending", "running")
    );
    assert_eq!(lab.member(&id, "reason"), "");
    assert_eq!(
        change("TerminateInstances"),
        states("running", "shutting-down", "terminated")
    );
    assert_eq!(
        change("TerminateInstances"),
        states("terminated", "terminated", "terminated")
    );
    assert_eq!(lab.member(&id, "privateIpAddress"), "");
    lab.bed.shared.clock.advance(Duration::from_secs(3600));
    assert_eq!(
        lab.code("DescribeInstances", &named),
        "InvalidInstanceID.NotFound"
    );
    let other = lab.launched(&[]);
    let kept = lab.bed.shared.read(|world| world.ec2.instances.len());
    assert_eq!(kept, 1, "{other} only");
}

#[test]
fn what_cannot_be_done_in_a_state() {
    let lab = Lab::new();
    let running = lab.launched(&[]);
    let stopped = lab.launched(&[]);
    lab.ok("StopInstances", &[("InstanceId.1", &stopped)]);
    let gone = lab.launched(&[]);
    lab.ok("TerminateInstances", &[("InstanceId.1", &gone)]);
    let protected = lab.launched(&[
        ("DisableApiTermination", "true"),
        ("DisableApiStop", "true"),
    ]);
    let unknown = "i-0123456789abcdef0".to_owned();
    let malformed = "x".to_owned();
    for (action, id, code) in [
        ("StartInstances", &gone, "IncorrectInstanceState"),
        ("StopInstances", &gone, "IncorrectInstanceState"),
        ("RebootInstances", &gone, "IncorrectInstanceState"),
        ("RebootInstances", &stopped, "IncorrectInstanceState"),
        ("RebootInstances", &running, ""),
        ("StopInstances", &protected, "OperationNotPermitted"),
        ("TerminateInstances", &protected, "OperationNotPermitted"),
        ("StartInstances", &unknown, "InvalidInstanceID.NotFound"),
        ("TerminateInstances", &unknown, "InvalidInstanceID.NotFound"),
        ("StopInstances", &malformed, "InvalidInstanceID.Malformed"),
        ("GetConsoleOutput", &unknown, "InvalidInstanceID.NotFound"),
    ] {
        let name = if action == "GetConsoleOutput" {
            "InstanceId"
        } else {
            "InstanceId.1"
        };
        assert_eq!(lab.code(action, &[(name, id)]), code, "{action} {id}");
    }
    for action in [
        "StartInstances",
        "StopInstances",
        "RebootInstances",
        "TerminateInstances",
    ] {
        assert_eq!(lab.code(action, &[]), "MissingParameter", "{action}");
        let theirs = lab
            .bed
            .ec2("customer", action, &[("InstanceId.1", &running)]);
        assert_eq!(
            theirs.unwrap_err().code,
            "InvalidInstanceID.NotFound",
            "{action}"
        );
    }
    let hibernate = [("InstanceId.1", running.as_str()), ("Hibernate", "true")];
    assert_eq!(
        lab.code("StopInstances", &hibernate),
        "UnsupportedHibernationConfiguration"
    );
    // One that fails terminates none.
    let both = [
        ("InstanceId.1", running.as_str()),
        ("InstanceId.2", &protected),
    ];
    assert_eq!(
        lab.code("TerminateInstances", &both),
        "OperationNotPermitted"
    );
    assert_eq!(lab.state(&running), "running");
}

#[test]
fn the_guest_switches_itself_off() {
    let lab = Lab::new();
    let behavior = "InstanceInitiatedShutdownBehavior";
    for (behavior, ending, state, reason) in [
        (
            &[][..],
            Ending::Off,
            "stopped",
            "Client.InstanceInitiatedShutdown",
        ),
        (
            &[(behavior, "stop")],
            Ending::Off,
            "stopped",
            "Client.InstanceInitiatedShutdown",
        ),
        (
            &[(behavior, "terminate")],
            Ending::Off,
            "terminated",
            "Client.InstanceInitiatedShutdown",
        ),
        (
            &[(behavior, "terminate")],
            Ending::Broken("why".to_owned()),
            "stopped",
            "Server.InternalError",
        ),
    ] {
        let id = lab.launched(behavior);
        ended(&lab, &id, &ending);
        assert_eq!(lab.state(&id), state, "{behavior:?} {ending:?}");
        assert_eq!(lab.member(&id, "stateReason/code"), reason);
        // What comes twice changes nothing.
        ended(&lab, &id, &Ending::Off);
        assert_eq!(lab.state(&id), state);
    }
}

#[test]
fn volumes_die_with_their_instance_or_are_kept() {
    let lab = Lab::new();
    let id = lab.launched(&[
        ("BlockDeviceMapping.1.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "1"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false"),
    ]);
    assert_eq!(
        lab.member(&id, "blockDeviceMapping/item[0]/deviceName"),
        "/dev/xvda"
    );
    let root = lab.member(&id, "blockDeviceMapping/item[0]/ebs/volumeId");
    let data = lab.member(&id, "blockDeviceMapping/item[1]/ebs/volumeId");
    assert_eq!(
        lab.code("DeleteVolume", &[("VolumeId", &data)]),
        "VolumeInUse"
    );
    let blocks = &lab.bed.shared.blocks;
    assert!(blocks.volume_file(&root).exists());
    lab.ok("TerminateInstances", &[("InstanceId.1", &id)]);
    let left = lab.ok("DescribeVolumes", &[]);
    assert_eq!(left.all("Set/item[0]/volumeId"), [&data]);
    assert_eq!(left.text("volumeSet/item[0]/status"), "available");
    assert!(!blocks.volume_file(&root).exists());
    lab.ok("DeleteVolume", &[("VolumeId", &data)]);
}

#[test]
fn an_instance_without_its_root_does_not_start() {
    let lab = Lab::new();
    let id = lab.launched(&[]);
    lab.ok("StopInstances", &[("InstanceId.1", &id)]);
    let root = lab.member(&id, "blockDeviceMapping/item[0]/ebs/volumeId");
    lab.bed
        .shared
        .transact(|world| {
            let volume = world.ec2.volumes.get_mut(&root).expect("the root volume");
            volume.attachment = None;
            Ok(())
        })
        .expect("detached");
    let code = lab.code("StartInstances", &[("InstanceId.1", &id)]);
    assert_eq!(code, "IncorrectInstanceState");
}

#[test]
fn an_order_to_stop_that_comes_late_is_not_for_the_next_start() {
    let lab = Lab::new();
    let id = lab.launched(&[("InstanceInitiatedShutdownBehavior", "terminate")]);
    lab.ok("StopInstances", &[("InstanceId.1", &id)]);
    lab.ok("StartInstances", &[("InstanceId.1", &id)]);
    let late = machines::Order::Stop(id.clone(), machines::Patience::Usual);
    machines::perform(&lab.bed.shared, late);
    assert_eq!(lab.state(&id), "running");
}

#[test]
fn no_machine_starts_while_a_snapshot_of_its_volume_is_made() {
    let lab = Lab::new();
    let id = lab.launched(&[]);
    let root = lab.member(&id, "blockDeviceMapping/item[0]/ebs/volumeId");
    let snapshot = lab.ok("CreateSnapshot", &[("VolumeId", &root)]);
    let snapshot = snapshot.text("snapshotId");
    let starts = |made: bool| {
        let shared = &lab.bed.shared;
        shared
            .transact(|world| {
                let snapshot = world.ec2.snapshots.get_mut(snapshot).expect("it");
                if let Progress::Until { done, .. } = &mut snapshot.progress {
                    *done = made;
                }
                Ok(())
            })
            .expect("changed");
        shared.read(|world| instances::data_is_there(world, &id))
    };
    assert_eq!(starts(false), Ok(false));
    assert_eq!(starts(true), Ok(true));
}

#[test]
fn what_a_killed_sandbox_left_is_taken_up() {
    let lab = Lab::new();
    let shared = &lab.bed.shared;
    for (phase, state) in [
        (Phase::Pending { launch: true }, "running"),
        (Phase::Pending { launch: false }, "running"),
        (Phase::Stopping, "stopped"),
        (Phase::Stopped, "stopped"),
        (Phase::ShuttingDown, "terminated"),
    ] {
        let id = lab.launched(&[]);
        shared
            .transact(|world| {
                let instance = world.ec2.instances.get_mut(&id).expect("the instance");
                instance.phase = phase.clone();
                Ok(())
            })
            .expect("changed");
        let folder = shared.folder.join("machines");
        std::fs::create_dir_all(folder.join("i-gone")).expect("a folder");
        std::fs::create_dir_all(folder.join(&id)).expect("a folder");
        machines::recover(shared);
        shared.settle();
        assert_eq!(lab.state(&id), state, "{phase:?}");
        assert!(!folder.join("i-gone").exists() && folder.join(&id).exists());
    }
}
