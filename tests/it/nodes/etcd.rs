//! etcd's volume goes from controller to controller, and never to one that it is not for.

use std::collections::BTreeMap;

use serde_json::json;

use super::cluster::{Cluster, endpoint};
use crate::sandbox::client::{BLOCK, Expect as _};
use crate::sandbox::place::HOME;
use crate::sandbox::things;

/// How the volume is found.
const TAGS: [(&str, &str); 2] = [("kubezero:cluster", "blue"), ("kubezero:volume", "etcd")];

/// What a controller says of its etcd, and leaves there for its successor.
const LOOK: &str = r#"#!/bin/sh
say() { echo "node: $*" >/dev/ttyS0; }
say "mounted $(awk '$2 == "/var/lib/etcd" { print $3, $4 }' /proc/mounts)"
say "found $(cat /var/lib/etcd/member/data)"
mkdir -p /var/lib/etcd/member
hostname >/var/lib/etcd/member/data
sync
say "kubelet $(rc-service kubelet status 2>&1 | tail -n 1)"
# At the next boot once more.
rm /var/lib/alpine-ami/user-data-ran-for
say done
"#;

fn controllers(lines: &str) -> Cluster {
    let values = format!(
        "values.containers_wait_seconds = 1\nvalues.ec2_endpoint = \"{}\"\n{lines}",
        endpoint()
    );
    Cluster::of("kubezero-controller", &values)
}

/// Two at once: the second waits until the first is dead, and finds what it has left.
#[test]
fn a_successor_gets_the_data_of_its_predecessor() {
    let cluster = controllers("values.containers_on_root = true\n");
    let volume = cluster.volume(None, &TAGS);
    // The same in another zone, of another cluster, and for something else: none of them is meant.
    let others = [
        cluster.volume(None, &[TAGS[0], ("kubezero:volume", "backup")]),
        cluster.volume(None, &[("kubezero:cluster", "green"), TAGS[1]]),
    ];
    let first = cluster.launch(LOOK, &[]);
    let console = cluster.says(&first, "node: done");
    assert!(
        console.contains("node: mounted ext4 rw,nosuid,nodev,noexec,noatime"),
        "{console}"
    );
    assert!(console.contains("node: found \r\n"), "{console}");
    assert_eq!(cluster.holder(&volume), Some(first.clone()));

    let second = cluster.launch(LOOK, &[]);
    let waits = format!("is still attached to {first}");
    cluster.says(&second, &waits);
    assert_eq!(cluster.holder(&volume), Some(first.clone()));
    cluster.terminate(&first);
    let console = cluster.says(&second, "node: done");
    let first_name = console.split("node: found ").nth(1).expect("its data");
    assert!(first_name.starts_with("ip-"), "{console}");
    assert_eq!(cluster.holder(&volume), Some(second.clone()));
    for other in others {
        assert_eq!(cluster.holder(&other), None);
    }

    // After a reboot it is there again, without asking EC2: a role that may nothing any more.
    let other = json!({
        "Version": "2012-10-17",
        "Statement": { "Effect": "Allow", "Action": "ec2:DescribeRegions", "Resource": "*" },
    });
    let place = &cluster.house.place;
    place.control("PUT", "policies/controller?account=publisher", other);
    let console = cluster.says_after_a_reboot(&second, "node: done");
    assert!(console.contains("node: mounted ext4"), "{console}");
    assert!(console.contains("node: found ip-"), "{console}");
    assert!(
        !console.contains("Cannot look for the etcd volume"),
        "{console}"
    );
    assert_eq!(cluster.holder(&volume), Some(second.clone()));
    cluster.terminate(&second);
}

/// Something is on the volume that is no file system of etcd's: nothing is written to it, and kubelet
/// does not start. Nor does it without a volume for containers.
#[test]
fn a_foreign_volume_is_refused_untouched() {
    let cluster = controllers("");
    // No file system that anybody knows, and not blank.
    let mut foreign = vec![0; BLOCK];
    foreign[70_000..70_007].copy_from_slice(b"foreign");
    let snapshot = things::snapshot(&cluster.home, &[(0, foreign.clone())], None);
    let volume = cluster.volume(Some(&snapshot), &TAGS);
    let controller = cluster.launch(LOOK, &[]);
    let console = cluster.says(&controller, "node: done");
    assert!(console.contains("node: mounted \r\n"), "{console}");
    assert!(console.contains("REFUSED"), "{console}");
    assert!(
        console.contains("There is no containers' volume"),
        "{console}"
    );
    let kubelet = console.split("node: kubelet ").nth(1).expect("a status");
    assert!(kubelet.contains("stopped"), "{console}");
    cluster.terminate(&controller);
    while cluster.holder(&volume).is_some() {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let params = [("VolumeId", volume.as_str())];
    let after = cluster
        .home
        .ec2("CreateSnapshot", &params)
        .done("a snapshot");
    let after = after.text("snapshotId");
    assert_eq!(things::settled_snapshot(&cluster.home, after), "completed");
    let blocks = cluster.house.blocks(HOME, after);
    assert_eq!(blocks, BTreeMap::from([(0, foreign)]));
}
