//! Instances with real machines: an image of this project's boots under QEMU.
//!
//! It takes minutes where machines are emulated, and an image: not run by itself.
//!
//! ```text
//! cargo build
//! TEST_IMAGE=target/demo/base/image.raw cargo test --lib real_machine -- --ignored --nocapture
//! ```

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::{InstanceMode, console_file};
use crate::sandbox::blocks::BLOCK_SIZE;
use crate::sandbox::service::Service;
use crate::sandbox::testing::{Bed, Xml, request};
use crate::sandbox::{Sandbox, SandboxConfig};

/// What the instance does at its first boot. It shows what it sees on its console.
const USER_DATA: &str = r#"#!/bin/sh
exec >/dev/console 2>&1
echo @IDENTIFY@ | base64 -d >/root/identify
chmod +x /root/identify
imds=/usr/libexec/alpine-ami/imds
echo "== id $($imds get meta-data/instance-id)"
echo "== tag $($imds get meta-data/tags/instance/Name)"
echo "== disks $($imds get meta-data/block-device-mapping/ebs1)"
echo "== account $($imds get dynamic/instance-identity/document | grep accountId)"
for disk in /sys/class/nvme/nvme*; do
    echo "== $(cat "$disk/model") / $(cat "$disk/serial") / $(cat "$disk/firmware_rev")"
    echo "== named $(/root/identify "/dev/${disk##*/}")"
    # The data volume is the one of 1 GiB.
    [ "$(cat "$disk/${disk##*/}n1/size")" = 2097152 ] && data=/dev/${disk##*/}n1
done
echo "written by the guest" | dd of="$data" bs=512 conv=sync
sync
# Arguments are a URL.
status() { timeout 20 busybox wget -S -O /dev/null "$1" 2>&1 | grep -o 'HTTP/1.[01] [0-9]*' | head -n 1; }
echo "== endpoint $(status http://169.254.169.200:4566/)"
echo "== elsewhere $(status http://169.254.169.2/)$(status http://10.0.2.2:4566/)"
echo "persistent root" >>/etc/issue
# The profile `base` leaves the power button alone, as EC2 would see it.
modprobe -a button evdev
mkdir -p /etc/acpi/PWRF
printf '#!/bin/sh\npoweroff\n' >/etc/acpi/PWRF/00000080
chmod +x /etc/acpi/PWRF/00000080
rc-update add acpid default
rc-service acpid start
echo "== buttons $(ls /dev/input) $(pidof acpid)"
sync
echo "== done"
"#;

/// Prints the device name in the identify-controller data of an NVMe disk.
const IDENTIFY: &str = include_str!("../../../tests/it/sandbox/identify.c");

/// The program, in base64, made by the C compiler.
fn identify() -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, program) = (folder.path().join("a.c"), folder.path().join("a"));
    std::fs::write(&source, IDENTIFY).expect("written");
    let status = std::process::Command::new("cc")
        .args(["-Os", "-s", "-static", "-nostdlib", "-fno-stack-protector"])
        .args(["-fno-asynchronous-unwind-tables", "-Wl,-n,--build-id=none"])
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .status()
        .expect("a C compiler, which Rust needs too");
    assert!(status.success(), "{status}");
    BASE64_STANDARD.encode(std::fs::read(&program).expect("the program"))
}

/// Where each test's sandbox is.
struct World {
    state: tempfile::TempDir,
    program: PathBuf,
    sandbox: Option<Sandbox>,
    bed: Option<Bed>,
}

impl World {
    fn new() -> Option<World> {
        // target/debug/deps/<test> beside target/debug/alpine-ami.
        let test = std::env::current_exe().ok()?;
        let program = test.parent()?.parent()?.join("alpine-ami");
        if !program.exists() {
            eprintln!("SKIPPED: {} is not built", program.display());
            return None;
        }
        let mut world = World {
            state: tempfile::tempdir().expect("a folder"),
            program,
            sandbox: None,
            bed: None,
        };
        world.start();
        Some(world)
    }

    /// Starts the sandbox, or starts it again.
    fn start(&mut self) {
        self.sandbox = None;
        self.bed = None;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut config = SandboxConfig::for_tests(self.state.path().to_owned());
        config.instances = InstanceMode::Qemu;
        config.program = Some(self.program.clone());
        let sandbox = runtime.block_on(Sandbox::start(config)).expect("started");
        self.bed = Some(Bed::around(sandbox.shared().clone(), runtime));
        self.sandbox = Some(sandbox);
    }

    fn bed(&self) -> &Bed {
        self.bed.as_ref().expect("it is started")
    }

    fn ec2(&self, action: &str, params: &[(&str, &str)]) -> Xml {
        match self.bed().ec2("publisher", action, params) {
            Ok(xml) => xml,
            Err(error) => panic!("{action}: {error}"),
        }
    }

    fn ebs(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let request = request(method, path, headers, body);
        let operation = Service::Ebs.operation(&request).expect("an operation");
        let context =
            self.bed()
                .context(Service::Ebs, &operation, "publisher", "us-east-1", request);
        let reply = Service::Ebs.handle(&context).expect(path);
        self.bed().shared.settle();
        reply.body.to_vec()
    }

    /// Puts a disk image into a snapshot.
    fn upload(&self, image: &Path) -> String {
        let mut file = std::fs::File::open(image).expect("the image");
        let gib = file.metadata().expect("metadata").len().div_ceil(1 << 30);
        let body = format!("{{\"VolumeSize\": {gib}}}");
        let answer = self.ebs("POST", "/snapshots", &[], body.as_bytes());
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        let id = answer["SnapshotId"].as_str().expect("an id").to_owned();
        let mut block = vec![0; BLOCK_SIZE];
        let mut count = 0;
        for index in 0.. {
            let mut length = 0;
            while length < BLOCK_SIZE {
                match file.read(&mut block[length..]).expect("the image") {
                    0 => break,
                    read => length += read,
                }
            }
            if length == 0 {
                break;
            }
            block[length..].fill(0);
            if block.iter().all(|byte| *byte == 0) {
                continue;
            }
            let checksum = BASE64_STANDARD.encode(Sha256::digest(&block));
            self.ebs(
                "PUT",
                &format!("/snapshots/{id}/blocks/{index}"),
                &[
                    ("x-amz-data-length", "524288"),
                    ("x-amz-checksum", &checksum),
                    ("x-amz-checksum-algorithm", "SHA256"),
                ],
                &block,
            );
            count += 1;
        }
        let path = format!("/snapshots/completion/{id}");
        let count = count.to_string();
        self.ebs("POST", &path, &[("x-amz-changedblockscount", &count)], b"");
        id
    }

    /// Registers an image of a disk image.
    fn image(&self, image: &Path) -> String {
        let snapshot = self.upload(image);
        let ami = self.ec2(
            "RegisterImage",
            &[
                ("Name", "real"),
                ("Architecture", "x86_64"),
                ("RootDeviceName", "/dev/xvda"),
                ("VirtualizationType", "hvm"),
                ("EnaSupport", "true"),
                ("ImdsSupport", "v2.0"),
                ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
                ("BlockDeviceMapping.1.Ebs.SnapshotId", &snapshot),
            ],
        );
        ami.text("imageId").to_owned()
    }

    fn console(&self, instance: &str) -> String {
        let file = console_file(&self.bed().shared, instance);
        let bytes = std::fs::read(file).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn state(&self, instance: &str) -> String {
        let xml = self.ec2("DescribeInstances", &[("InstanceId.1", instance)]);
        let item = "reservationSet/item[0]/instancesSet/item[0]";
        let reason = xml.get(&format!("{item}/stateReason/message"));
        if let Some(reason) = reason.filter(|reason| reason.starts_with("Server.")) {
            panic!("{instance} broke down: {reason}");
        }
        xml.text(&format!("{item}/instanceState/name")).to_owned()
    }

    /// Waits for something that the machine does.
    fn wait(&self, instance: &str, what: &str, mut seen: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !seen() {
            assert!(
                begun.elapsed() < Duration::from_secs(300),
                "{what} was not seen; {} and its console says\n{}",
                self.state(instance),
                self.console(instance)
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        eprintln!("{what}: after {:.1} s", begun.elapsed().as_secs_f64());
    }

    fn wait_console(&self, instance: &str, text: &str) {
        let what = format!("`{text}` on the console");
        self.wait(instance, &what, || self.console(instance).contains(text));
    }

    fn wait_state(&self, instance: &str, state: &str) {
        self.wait(instance, state, || self.state(instance) == state);
    }

    fn volume_starts_with(&self, volume: &str, text: &str) -> bool {
        let file = self.bed().shared.blocks.volume_file(volume);
        let mut start = vec![0; text.len()];
        let read = std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut start));
        read.is_ok() && start == text.as_bytes()
    }
}

fn run<'a>(
    image: &'a str,
    user_data: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut params = vec![
        ("ImageId", image),
        ("InstanceType", "t3.micro"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("UserData", user_data),
    ];
    params.extend(more);
    params
}

#[test]
#[ignore = "boots a virtual machine several times, which takes minutes"]
fn real_machine_lives_as_an_instance() {
    let Some(image) = std::env::var_os("TEST_IMAGE") else {
        eprintln!("SKIPPED: TEST_IMAGE names no disk image");
        return;
    };
    let Some(mut world) = World::new() else {
        return;
    };
    let ami = world.image(Path::new(&image));
    let data_disk = [
        ("BlockDeviceMapping.1.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "1"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "first"),
        ("MetadataOptions.InstanceMetadataTags", "enabled"),
    ];
    let script = BASE64_STANDARD.encode(USER_DATA.replace("@IDENTIFY@", &identify()));
    let launched = world.ec2("RunInstances", &run(&ami, &script, &data_disk));
    let id = launched.text("instancesSet/item[0]/instanceId").to_owned();
    world.wait_state(&id, "running");
    let described = world.ec2("DescribeInstances", &[("InstanceId.1", &id)]);
    let volumes: Vec<String> = described
        .all("/ebs/volumeId")
        .into_iter()
        .map(str::to_owned)
        .collect();
    let [root, data] = &volumes[..] else {
        panic!("two volumes, not {volumes:?}");
    };

    world.wait_console(&id, "== done");
    world.wait_console(&id, " login:");
    let console = world.console(&id);
    let data_serial = data.replace('-', "");
    for line in [
        format!("== id {id}"),
        "== tag first".to_owned(),
        "== disks sdf".to_owned(),
        "\"accountId\": \"111111111111\"".to_owned(),
        "Amazon Elastic Block Store".to_owned(),
        format!("{data_serial} / 1.0"),
        format!("{} / 1.0", root.replace('-', "")),
        "== named /dev/xvda ".to_owned(),
        "== named /dev/sdf ".to_owned(),
        "== endpoint HTTP/1.".to_owned(),
    ] {
        assert!(console.contains(&line), "{line} is not in\n{console}");
    }
    let elsewhere = console.lines().find(|line| line.contains("== elsewhere"));
    assert_eq!(elsewhere.map(str::trim), Some("== elsewhere"));

    world.ec2("StopInstances", &[("InstanceId.1", &id)]);
    world.wait_state(&id, "stopped");
    assert!(world.volume_starts_with(data, "written by the guest"));

    world.ec2("StartInstances", &[("InstanceId.1", &id)]);
    world.wait_state(&id, "running");
    world.wait_console(&id, "persistent root");
    world.wait_console(&id, " login:");
    assert!(
        !world.console(&id).contains("== done"),
        "user data runs once"
    );

    world.ec2("RebootInstances", &[("InstanceId.1", &id)]);
    world.wait(&id, "the reboot", || {
        !world.console(&id).contains(" login:")
    });
    world.wait_console(&id, " login:");
    assert_eq!(world.state(&id), "running");

    // As a killed sandbox does, this one takes its machines with it and boots them again.
    world.start();
    world.wait(&id, "the next boot", || {
        !world.console(&id).contains(" login:")
    });
    world.wait_console(&id, " login:");
    assert_eq!(world.state(&id), "running");

    world.ec2("TerminateInstances", &[("InstanceId.1", &id)]);
    world.wait_state(&id, "terminated");
    let kept = world.ec2("DescribeVolumes", &[]);
    assert_eq!(kept.all("/volumeId"), [data], "the data volume only");
    assert_eq!(kept.text("volumeSet/item[0]/status"), "available");
}

#[test]
#[ignore = "boots a virtual machine, which takes a minute"]
fn real_machine_switches_itself_off() {
    let Some(image) = std::env::var_os("TEST_IMAGE") else {
        eprintln!("SKIPPED: TEST_IMAGE names no disk image");
        return;
    };
    let Some(world) = World::new() else {
        return;
    };
    let ami = world.image(Path::new(&image));
    let script = BASE64_STANDARD.encode("#!/bin/sh\npoweroff\n");
    let ends = [("InstanceInitiatedShutdownBehavior", "terminate")];
    let launched = world.ec2("RunInstances", &run(&ami, &script, &ends));
    let id = launched.text("instancesSet/item[0]/instanceId").to_owned();
    world.wait_state(&id, "terminated");
    let described = world.ec2("DescribeInstances", &[("InstanceId.1", &id)]);
    let reason = "reservationSet/item[0]/instancesSet/item[0]/stateReason/code";
    assert_eq!(described.text(reason), "Client.InstanceInitiatedShutdown");
}
