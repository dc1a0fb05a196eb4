//! A worker whose volume comes late, whose metadata service is away for a while, and whose disks are
//! full.

use std::time::Duration;

use super::cluster::Cluster;
use crate::sandbox::client::Expect as _;

/// What a worker says of itself; and before its second boot it fills its disks.
const LOOK: &str = r#"#!/bin/sh
say() { echo "node: $*" >/dev/ttyS0; }
# kubelet is on its way while this runs.
tries=0
until [ -e /run/stand-ins/kubelet/1/argv ] || [ $((tries += 1)) -gt 600 ]; do sleep 0.2; done
say "containers $(awk '$2 == "/var/lib/containers" { print $3 }' /proc/mounts)"
say "kubelet $(stat -c %m /var/lib/containers/kubelet) $(tr '\n' ' ' </run/stand-ins/kubelet/1/argv)"
say "root $(df -Pm / | awk 'NR == 2 { print $2 }') MiB"
say "failed $(rc-status --crashed | wc -l)"
say "yaml $(stat -c '%a' /etc/kubernetes/kubezero.yaml 2>&1)"
say "was $(cat /var/lib/containers/was 2>/dev/null)"
hostname >/var/lib/containers/was
# 200 KiB are left on the root, and nothing on the other disk.
room=$(df -Pk / | awk 'NR == 2 { print $4 }')
fallocate -l "$((room - 200))K" /var/tmp/filler 2>/dev/null || dd if=/dev/zero of=/var/tmp/filler bs=1024 count=$((room - 200)) 2>/dev/null
dd if=/dev/zero of=/var/lib/containers/filler bs=65536 2>/dev/null
rm -f /var/lib/alpine-ami/user-data-ran-for
sync
say "room $(df -Pk / | awk 'NR == 2 { print $4 }') $(df -Pk /var/lib/containers | awk 'NR == 2 { print $4 }')"
say done
"#;

#[test]
fn a_worker_comes_up_in_the_end_and_again_with_full_disks() {
    let cluster = Cluster::of("kubezero-worker", "values.containers_wait_seconds = 600\n");
    // A larger root than the image's, and no metadata for a while.
    let worker = cluster.launch(
        LOOK,
        &[
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.VolumeSize", "4"),
            ("MetadataOptions.HttpEndpoint", "disabled"),
        ],
    );
    let console = cluster.says(
        &worker,
        "Waiting up to 600 s for the containers' volume /dev/xvdb",
    );
    assert!(!console.contains("node: "), "{console}");
    let volume = cluster.volume(None, &[]);
    let attach = [
        ("VolumeId", volume.as_str()),
        ("InstanceId", &worker),
        ("Device", "/dev/xvdb"),
    ];
    cluster.home.ec2("AttachVolume", &attach).done("attached");
    cluster.says(&worker, "/dev/xvdb came after");
    std::thread::sleep(Duration::from_secs(10));
    let enable = [("InstanceId", worker.as_str()), ("HttpEndpoint", "enabled")];
    let enabled = cluster.home.ec2("ModifyInstanceMetadataOptions", &enable);
    enabled.done("metadata");

    let console = cluster.says(&worker, "node: done");
    assert!(console.contains("node: containers xfs"), "{console}");
    let expected = format!("--provider-id=aws:///us-east-1a/{worker}");
    assert!(console.contains(&expected), "{console}");
    let root = console.split("node: root ").nth(1).expect("a size");
    let root: u32 = root
        .split(' ')
        .next()
        .expect("MiB")
        .parse()
        .expect("a number");
    assert!(root > 3500, "{console}");

    let again = cluster.says_after_a_reboot(&worker, "node: done");
    assert!(again.contains("node: was ip-"), "{again}");
    assert!(again.contains("node: containers xfs"), "{again}");
    assert!(again.contains(&expected), "{again}");
    cluster.terminate(&worker);
}
