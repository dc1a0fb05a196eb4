//! What tests look at of an instance: its state, its console, its volumes.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::client::{Client, Expect as _, Tree};
use super::things::settled_snapshot;

/// An emulated machine on a busy host boots in a minute.
pub const PATIENCE: Duration = Duration::from_secs(400);

/// An instance as its owner describes it.
pub fn describe(publisher: &Client, instance: &str) -> Tree {
    publisher
        .ec2("DescribeInstances", &[("InstanceId.1", instance)])
        .done("described")
}

/// The state that follows those that it passes through.
pub fn state_after(publisher: &Client, instance: &str, passing: &[&str]) -> String {
    let begun = Instant::now();
    loop {
        let seen = describe(publisher, instance);
        let state = seen.text("reservationSet/item[0]/instancesSet/item[0]/instanceState/name");
        if !passing.contains(&state) {
            return state.to_owned();
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "it stays {state}: {}",
            console(publisher, instance)
        );
        // A machine takes seconds; asking without a pause takes the processor from it.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What it has written to its console.
pub fn console(publisher: &Client, instance: &str) -> String {
    let output = publisher
        .ec2(
            "GetConsoleOutput",
            &[("InstanceId", instance), ("Latest", "true")],
        )
        .done("console output");
    let output = BASE64_STANDARD.decode(output.get("output").unwrap_or_default());
    String::from_utf8_lossy(&output.expect("base64")).into_owned()
}

/// The root volume and the other one.
pub fn volumes(publisher: &Client, instance: &str) -> [String; 2] {
    let seen = describe(publisher, instance);
    let base = "reservationSet/item[0]/instancesSet/item[0]/blockDeviceMapping";
    let volume_at = |device: &str| {
        (0..2)
            .find(|at| seen.text(&format!("{base}/item[{at}]/deviceName")) == device)
            .map(|at| {
                seen.text(&format!("{base}/item[{at}]/ebs/volumeId"))
                    .to_owned()
            })
            .unwrap_or_else(|| panic!("no {device} in {seen:#?}"))
    };
    [volume_at("/dev/xvda"), volume_at("/dev/sdf")]
}

/// A completed snapshot of a volume.
pub fn snapshot_of(publisher: &Client, volume: &str) -> String {
    let made = publisher
        .ec2("CreateSnapshot", &[("VolumeId", volume)])
        .done("a snapshot");
    let snapshot = made.text("snapshotId").to_owned();
    assert_eq!(settled_snapshot(publisher, &snapshot), "completed");
    snapshot
}
