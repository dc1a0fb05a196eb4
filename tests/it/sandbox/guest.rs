//! A real Alpine-like image, published block by block and run as an instance: what the guest sees
//! of EC2, what it can reach, and what becomes of what it writes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::client::{BLOCK, Call, Client, Expect as _};
use super::instances::{PATIENCE, console, snapshot_of, state_after, volumes};
use super::place::Process;
use super::things::{key, register, settled_image, settled_snapshot};
use crate::support::{demo_mirror, run};

/// Where a guest reaches the endpoint.
const ENDPOINT: &str = "169.254.169.200:4566";

/// What the guest does at its first boot; `GET` and `PUT` become paths with signatures.
const USER_DATA: &str = r#"#!/bin/sh
say() { echo "guest: $*" | tee -a /var/log/said >/dev/ttyS0; }
imds=/usr/libexec/alpine-ami/imds
say "instance $($imds get meta-data/instance-id)"
say "tag $($imds get meta-data/tags/instance/role)"
say "account $($imds get dynamic/instance-identity/document | grep -o '"accountId": *"[0-9]*"' | tr -dc 0-9)"
echo @IDENTIFY@ | base64 -d >/tmp/identify && chmod +x /tmp/identify
for disk in /sys/class/nvme/nvme*; do
	say "named $(/tmp/identify "/dev/${disk##*/}")"
	say "disk $(echo $(cat "$disk/model" "$disk/serial"))"
done
printf 'written by the guest' | dd of=/dev/nvme1n1 conv=notrunc 2>/dev/null
answer=$(printf 'GET %s HTTP/1.0\r\nHost: 169.254.169.200:4566\r\n\r\n' '@GET@' |
	timeout 20 busybox nc 169.254.169.200 4566 | tail -n 1)
say "job $answer"
printf 'PUT %s HTTP/1.0\r\nHost: 169.254.169.200:4566\r\nContent-Length: 6\r\n\r\nresult' '@PUT@' |
	timeout 20 busybox nc 169.254.169.200 4566 | head -n 1 >/dev/null
for there in @OTHERS@; do
	printf 'GET / HTTP/1.0\r\n\r\n' | timeout 5 busybox nc "${there%:*}" "${there#*:}" |
		grep -q HTTP && say "reaches $there"
done
say "asked for control: $(printf 'GET /_sandbox/health HTTP/1.0\r\nHost: x\r\n\r\n' |
	timeout 20 busybox nc 169.254.169.200 4566 | head -n 1 | tr -d '\r')"
say done
sync
poweroff
"#;

#[test]
fn an_instance_runs_its_image_and_keeps_what_it_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = build(folder.path());
    let process = Process::start_with(
        &folder.path().join("state"),
        &["--limit", "rates=unlimited"],
    );
    let publisher = &process.publisher;

    let key = key(publisher);
    let image = publish(publisher, &disk, &key);
    let instance = launch(publisher, &image);
    assert_eq!(
        state_after(publisher, &instance, &["pending", "running", "stopping"]),
        "stopped"
    );

    let console = console(publisher, &instance);
    let volumes = volumes(publisher, &instance);
    let [root, data] = [&volumes[0], &volumes[1]].map(|id| id.replace('-', ""));
    for line in [
        format!("guest: instance {instance}"),
        "guest: tag builder".to_owned(),
        "guest: account 111111111111".to_owned(),
        format!("guest: disk Amazon Elastic Block Store {root}"),
        format!("guest: disk Amazon Elastic Block Store {data}"),
        "guest: named /dev/xvda ".to_owned(),
        "guest: named /dev/sdf ".to_owned(),
        "guest: job the job".to_owned(),
        "guest: asked for control: HTTP/1.0 403 Forbidden".to_owned(),
        "guest: done".to_owned(),
    ] {
        assert!(console.contains(&line), "no `{line}` in {console}");
    }
    assert!(!console.contains("guest: reaches"), "{console}");
    let result = publisher
        .s3(&Call::new("GET", "/jobs/result"))
        .done("the result");
    assert_eq!(result.body, b"result");

    let snapshot = snapshot_of(publisher, &volumes[1]);
    let written = publisher.get_block(&snapshot, 0).done("a block");
    assert!(
        written.starts_with(b"written by the guest"),
        "the guest's bytes are not there"
    );

    it_starts_again_with_the_same_disks(publisher, &instance);
    // The guest is paused while its disk is copied, and goes on afterwards.
    snapshot_of(publisher, &volumes[0]);
    it_answers_the_power_button(publisher, &instance);
    publisher
        .ec2("TerminateInstances", &[("InstanceId.1", &instance)])
        .done("terminated");
    let passing = ["stopped", "shutting-down"];
    assert_eq!(state_after(publisher, &instance, &passing), "terminated");
    the_root_dies_and_the_other_disk_stays(publisher, &volumes);
}

/// The image of the profile `base`, of the demo mirror's packages.
fn build(folder: &Path) -> std::path::PathBuf {
    let mirror = demo_mirror();
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let out = folder.join("image");
    run([
        "build".to_owned(),
        "base".to_owned(),
        "--arch".to_owned(),
        "x86_64".to_owned(),
        "--mirror".to_owned(),
        text(&mirror),
        "--keys-dir".to_owned(),
        text(&mirror.join("keys")),
        "--out".to_owned(),
        text(&out),
    ])
    .done();
    out.join("image.raw")
}

/// Puts every block of the disk, zeros too, and registers what that makes.
fn publish(publisher: &Client, disk: &Path, key: &str) -> String {
    let disk = File::open(disk).expect("a disk");
    let count =
        u32::try_from(disk.metadata().expect("a disk").len() / BLOCK as u64).expect("small");
    let started = publisher
        .start_snapshot(&json!({"VolumeSize": 2, "Encrypted": true, "KmsKeyArn": key}))
        .done("a snapshot");
    let snapshot = started["SnapshotId"].as_str().expect("an id");
    let next = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut data = vec![0; BLOCK];
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    disk.read_exact_at(&mut data, u64::from(index) * BLOCK as u64)
                        .expect("a block");
                    publisher.put_block(snapshot, index, &data).done("put");
                }
            });
        }
    });
    publisher
        .complete_snapshot(snapshot, count as usize)
        .done("complete");
    assert_eq!(settled_snapshot(publisher, snapshot), "completed");
    let more = [("BootMode", "uefi-preferred"), ("ImdsSupport", "v2.0")];
    let registered = register(publisher, "base/x86_64/1", snapshot, &more).done("an image");
    let image = registered.text("imageId").to_owned();
    assert_eq!(settled_image(publisher, &image), "available");
    image
}

/// Launches it with a second disk, and a job that it gets and answers by presigned URLs.
fn launch(publisher: &Client, image: &str) -> String {
    publisher.s3(&Call::new("PUT", "/jobs")).done("a bucket");
    publisher
        .s3(&Call::new("PUT", "/jobs/job").body("the job"))
        .done("a job");
    let seen_by_guest = Client {
        endpoint: format!("http://{ENDPOINT}"),
        ..publisher.clone()
    };
    let path = |method, path| {
        let url = seen_by_guest.presigned("s3", &Call::new(method, path), 3600);
        url.replace(&seen_by_guest.endpoint, "")
    };
    let port = publisher.endpoint.rsplit(':').next().expect("a port");
    // The host as QEMU's user network would show it, and its addresses.
    let others = [
        format!("169.254.169.2:{port}"),
        format!("10.0.2.2:{port}"),
        format!("127.0.0.1:{port}"),
    ];
    let user_data = USER_DATA
        .replace("@GET@", &path("GET", "/jobs/job"))
        .replace("@PUT@", &path("PUT", "/jobs/result"))
        .replace("@OTHERS@", &others.join(" "))
        .replace("@IDENTIFY@", &identify());
    let launched = publisher
        .ec2(
            "RunInstances",
            &[
                ("ImageId", image),
                ("InstanceType", "t3.micro"),
                ("MinCount", "1"),
                ("MaxCount", "1"),
                ("UserData", &BASE64_STANDARD.encode(user_data)),
                ("MetadataOptions.InstanceMetadataTags", "enabled"),
                ("TagSpecification.1.ResourceType", "instance"),
                ("TagSpecification.1.Tag.1.Key", "role"),
                ("TagSpecification.1.Tag.1.Value", "builder"),
                ("BlockDeviceMapping.1.DeviceName", "/dev/sdf"),
                ("BlockDeviceMapping.1.Ebs.VolumeSize", "1"),
                ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false"),
            ],
        )
        .done("an instance");
    launched.text("instancesSet/item[0]/instanceId").to_owned()
}

/// The program of `identify.c`, in base64.
fn identify() -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sandbox/identify.c");
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("identify");
    let status = Command::new("gcc")
        .args(["-Os", "-s", "-static", "-nostdlib", "-fno-stack-protector"])
        .args(["-fno-asynchronous-unwind-tables", "-Wl,-n,--build-id=none"])
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .status()
        .expect("gcc");
    assert!(status.success(), "{status}");
    BASE64_STANDARD.encode(std::fs::read(program).expect("the program"))
}

/// User data ran once: at the second boot the guest stays up, with its log of the first.
fn it_starts_again_with_the_same_disks(publisher: &Client, instance: &str) {
    publisher
        .ec2("StartInstances", &[("InstanceId.1", instance)])
        .done("started");
    assert_eq!(state_after(publisher, instance, &["pending"]), "running");
    let begun = Instant::now();
    let booted = |console: &str| console.contains("login:");
    let mut seen = console(publisher, instance);
    while !booted(&seen) {
        assert!(begun.elapsed() < PATIENCE, "no login prompt: {seen}");
        std::thread::sleep(Duration::from_millis(500));
        seen = console(publisher, instance);
    }
    assert!(
        !seen.contains("guest: instance"),
        "user data ran again: {seen}"
    );
}

/// A stop is the guest's own shutdown, not the end of its power.
fn it_answers_the_power_button(publisher: &Client, instance: &str) {
    publisher
        .ec2("StopInstances", &[("InstanceId.1", instance)])
        .done("stopping");
    let passing = ["running", "stopping"];
    assert_eq!(state_after(publisher, instance, &passing), "stopped");
    let said = console(publisher, instance);
    assert!(said.contains("reboot: Power down"), "{said}");
}

fn the_root_dies_and_the_other_disk_stays(publisher: &Client, volumes: &[String; 2]) {
    publisher
        .ec2("DescribeVolumes", &[("VolumeId.1", &volumes[0])])
        .refused("InvalidVolume.NotFound");
    let kept = publisher
        .ec2("DescribeVolumes", &[("VolumeId.1", &volumes[1])])
        .done("the other disk");
    assert_eq!(kept.text("volumeSet/item[0]/status"), "available");
}
