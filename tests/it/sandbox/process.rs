//! Instances as processes of this machine: what runs, what it sees, and that nothing of it is left.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use alpine_ami::arch::Arch;
use alpine_ami::builder::ec2::user_data::{Fetch, UserData};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::client::{Call, Client, Expect as _};
use super::instances::{console, snapshot_of, state_after, volumes};
use super::place::Process;
use super::things::{block, image, snapshot};
use crate::support::skip;

/// Something that a process does takes a moment, on a busy machine some more.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sandbox whose instances are processes.
struct Place {
    process: Process,
    image: String,
    /// Ids of the instances that were launched.
    launched: RefCell<Vec<String>>,
    folder: tempfile::TempDir,
}

impl Drop for Place {
    /// What ends with the sandbox still has files in its folder.
    fn drop(&mut self) {
        self.process.kill();
        // A test that fails has something else to say.
        for id in self.launched.take() {
            if std::thread::panicking() {
                return;
            }
            wait("the end of an instance", || processes(&id).is_empty());
        }
    }
}

impl Place {
    /// None, and it is said, where this is not root.
    fn new(test: &str) -> Option<Place> {
        if !rustix::process::geteuid().is_root() {
            skip(test, "instances run as processes only for root");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let process = start(&folder.path().join("state"));
        let publisher = &process.publisher;
        let image = image(
            publisher,
            "any",
            &snapshot(publisher, &[(0, block(1))], None),
        );
        Some(Place {
            process,
            image,
            launched: RefCell::default(),
            folder,
        })
    }

    fn publisher(&self) -> &Client {
        &self.process.publisher
    }

    /// Launches an instance with a second volume, `/dev/sdf`.
    fn launch(&self, user_data: &str) -> Instance {
        let launched = self.publisher().ec2(
            "RunInstances",
            &[
                ("ImageId", &self.image),
                ("InstanceType", "t3.micro"),
                ("MinCount", "1"),
                ("MaxCount", "1"),
                ("UserData", &BASE64_STANDARD.encode(user_data)),
                ("BlockDeviceMapping.1.DeviceName", "/dev/sdf"),
                ("BlockDeviceMapping.1.Ebs.VolumeSize", "1"),
                ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false"),
            ],
        );
        let launched = launched.done("an instance");
        let id = launched.text("instancesSet/item[0]/instanceId").to_owned();
        self.launched.borrow_mut().push(id.clone());
        let [_, disk] = volumes(self.publisher(), &id);
        let file = self.folder.path().join(format!("state/blocks/{disk}.raw"));
        Instance { id, disk, file }
    }

    fn ask(&self, action: &str, instance: &Instance) {
        self.publisher()
            .ec2(action, &[("InstanceId.1", &instance.id)])
            .done(action);
    }

    fn wait_for_console(&self, instance: &Instance, text: &str) {
        wait(&format!("`{text}` on the console"), || {
            console(self.publisher(), &instance.id).contains(text)
        });
    }

    fn home(&self, instance: &Instance) -> PathBuf {
        let machines = self.folder.path().join("state/machines");
        machines.join(&instance.id).join("home")
    }
}

fn start(state: &Path) -> Process {
    Process::start_with(
        state,
        &["--instances", "process", "--limit", "rates=unlimited"],
    )
}

/// An instance, its second volume, and that one's data.
struct Instance {
    id: String,
    disk: String,
    file: PathBuf,
}

impl Instance {
    /// The loop devices that its volume is; its file may not be there yet.
    fn loop_devices(&self) -> Vec<String> {
        let listed = Command::new("losetup")
            .args([
                "--list",
                "--noheadings",
                "--raw",
                "--output",
                "NAME,BACK-FILE",
            ])
            .output()
            .expect("losetup");
        let listed = String::from_utf8(listed.stdout).expect("text");
        let file = self.file.to_str().expect("UTF-8");
        let devices = listed.lines().filter(|line| line.contains(file));
        devices.map(str::to_owned).collect()
    }
}

fn wait(what: &str, mut seen: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !seen() {
        assert!(begun.elapsed() < PATIENCE, "{what} was not seen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A number of seconds that nothing else sleeps: how a process is found again.
fn mark() -> String {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).expect("a time");
    format!(
        "{}.{:09}",
        10_000 + std::process::id(),
        since.subsec_nanos()
    )
}

/// The processes of this machine with such an argument.
fn processes(mark: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("processes").flatten();
    let commands = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    commands
        .map(|command| String::from_utf8_lossy(&command).replace('\0', " "))
        .filter(|command| command.contains(mark))
        .collect()
}

#[test]
fn user_data_runs_and_switches_off() {
    let Some(place) = Place::new("user_data_runs_and_switches_off") else {
        return;
    };
    let mark = mark();
    let instance = place.launch(&format!(
        r#"#!/bin/sh
say() {{ echo "process: $*" >/dev/console; }}
say "trigger $(stat -c %t:%T /proc/sysrq-trigger || echo none)"
say "user $(id -u) in $HOME, $PATH"
say "found $(ls -A /root /tmp /var/tmp /run /var/lib | tr '\n' ' ')"
say "boot $(cat /proc/sys/kernel/random/boot_id)"
say "host $(cat /proc/sys/kernel/hostname)"
say "devices $(ls /dev | grep -v loop | tr '\n' ' ')"
say "bytes $(blockdev --getsize64 /dev/sdf)"
say "poweroff $(command -v poweroff)"
echo "to standard output"
unshare --mount --pid --fork --mount-proc true && say "namespaces within"
printf 'written by a process' | dd of=/dev/sdf conv=notrunc 2>/dev/null
touch /root/kept /tmp/kept
(trap '' HUP INT TERM; setsid sleep {mark}) &
poweroff
sleep {mark}
"#
    ));
    let passing = ["pending", "running"];
    let ended = state_after(place.publisher(), &instance.id, &passing);
    let console = console(place.publisher(), &instance.id);
    assert_eq!(ended, "stopped", "{console}");

    // What would switch this machine off is `/dev/null`, where there is such a thing.
    let trigger = match Path::new("/proc/sysrq-trigger").exists() {
        true => "1:3",
        false => "none",
    };
    let trigger = format!("process: trigger {trigger}\n");
    assert!(console.contains(&trigger), "no `{trigger}` in {console}");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot");
    for line in [
        "process: user 0 in /root, /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
        "process: found /root:  /run:  /tmp:  /var/lib: user-data user-data.ran  /var/tmp: \n",
        "process: host ip-",
        "process: devices console fd full null ptmx pts random sdf shm stderr stdin stdout tty urandom zero \n",
        "process: bytes 1073741824\n",
        "process: poweroff /usr/local/sbin/poweroff\n",
        "process: namespaces within\n",
        "to standard output\n",
    ] {
        assert!(console.contains(line), "no `{line}` in {console}");
    }
    assert!(
        console.contains("process: boot ") && !console.contains(boot.trim()),
        "{console}"
    );
    assert_eq!(instance.loop_devices(), [""; 0]);
    assert_eq!(processes(&mark), [""; 0]);
    assert_eq!(processes(&instance.id), [""; 0]);
    assert!(!Path::new("/root/kept").exists() && !Path::new("/tmp/kept").exists());
    let snapshot = snapshot_of(place.publisher(), &instance.disk);
    let written = place.publisher().get_block(&snapshot, 0).done("a block");
    assert!(written.starts_with(b"written by a process"));

    place.ask("StartInstances", &instance);
    assert_eq!(
        state_after(place.publisher(), &instance.id, &["pending"]),
        "running"
    );
    assert_eq!(
        instance.loop_devices().len(),
        1,
        "it does nothing, but is there"
    );
    assert!(place.home(&instance).join("root/kept").exists());
    place.ask("StopInstances", &instance);
    let passing = ["running", "stopping"];
    assert_eq!(
        state_after(place.publisher(), &instance.id, &passing),
        "stopped"
    );
    let said = self::console(place.publisher(), &instance.id);
    assert_eq!(said, "", "user data runs once");
    place.ask("TerminateInstances", &instance);
    let passing = ["stopped", "shutting-down"];
    assert_eq!(
        state_after(place.publisher(), &instance.id, &passing),
        "terminated"
    );
    assert!(!place.home(&instance).exists());
}

#[test]
fn terminate_ends_what_runs() {
    let Some(place) = Place::new("terminate_ends_what_runs") else {
        return;
    };
    let mark = mark();
    let instance = place.launch(&format!(
        "#!/bin/sh\ntrap 'echo asked to end; exit' TERM\necho begun\nsleep {mark}\n"
    ));
    place.wait_for_console(&instance, "begun");
    wait("the process", || !processes(&mark).is_empty());
    assert_eq!(instance.loop_devices().len(), 1);
    place.ask("TerminateInstances", &instance);
    let passing = ["running", "shutting-down"];
    let ended = state_after(place.publisher(), &instance.id, &passing);
    let console = console(place.publisher(), &instance.id);
    assert_eq!(ended, "terminated", "{console}");
    assert!(console.contains("asked to end"), "{console}");
    assert_eq!(processes(&mark), [""; 0]);
    assert_eq!(instance.loop_devices(), [""; 0]);
}

#[test]
fn the_power_is_cut_where_nothing_is_asked() {
    let Some(place) = Place::new("the_power_is_cut_where_nothing_is_asked") else {
        return;
    };
    let mark = mark();
    let deaf = format!("#!/bin/sh\ntrap '' TERM\necho begun\nsleep {mark}\n");
    let instance = place.launch(&deaf);
    place.wait_for_console(&instance, "begun");
    let params = [
        ("InstanceId.1", instance.id.as_str()),
        ("SkipOsShutdown", "true"),
    ];
    let stopped = place.publisher().ec2("StopInstances", &params);
    stopped.done("stopping");
    let passing = ["running", "stopping"];
    assert_eq!(
        state_after(place.publisher(), &instance.id, &passing),
        "stopped"
    );
    assert_eq!(processes(&mark), [""; 0]);
    assert_eq!(instance.loop_devices(), [""; 0]);
}

#[test]
fn a_reboot_ends_what_runs_and_no_user_data_runs_again() {
    let Some(place) = Place::new("a_reboot_ends_what_runs_and_no_user_data_runs_again") else {
        return;
    };
    let mark = mark();
    let instance = place.launch(&format!("#!/bin/sh\necho begun\nexec sleep {mark}\n"));
    place.wait_for_console(&instance, "begun");
    place.ask("RebootInstances", &instance);
    wait("the new console", || {
        console(place.publisher(), &instance.id).is_empty()
    });
    assert_eq!(processes(&mark), [""; 0]);
    wait("the loop device", || instance.loop_devices().len() == 1);
    assert_eq!(
        state_after(place.publisher(), &instance.id, &["pending"]),
        "running"
    );
}

#[test]
fn user_data_that_is_no_script_does_nothing() {
    let Some(place) = Place::new("user_data_that_is_no_script_does_nothing") else {
        return;
    };
    for user_data in ["", "#cloud-config\n{}\n", "#!/no/such/shell\n"] {
        let instance = place.launch(user_data);
        assert_eq!(
            state_after(place.publisher(), &instance.id, &["pending"]),
            "running"
        );
        if user_data.starts_with("#!") {
            place.wait_for_console(&instance, "cannot run the user data: No such file");
        }
        place.ask("StopInstances", &instance);
        let passing = ["running", "stopping"];
        assert_eq!(
            state_after(place.publisher(), &instance.id, &passing),
            "stopped"
        );
        assert_eq!(instance.loop_devices(), [""; 0]);
    }
}

#[test]
fn a_snapshot_has_what_was_written_before_and_the_process_goes_on() {
    let Some(place) = Place::new("a_snapshot_has_what_was_written_before") else {
        return;
    };
    let instance = place.launch(
        "#!/bin/sh\nprintf before | dd of=/dev/sdf conv=notrunc 2>/dev/null\necho written\n\
         until [ -e /tmp/end ]; do sleep 0.05; done\necho goes on\n",
    );
    place.wait_for_console(&instance, "written");
    let snapshot = snapshot_of(place.publisher(), &instance.disk);
    let written = place.publisher().get_block(&snapshot, 0).done("a block");
    assert!(written.starts_with(b"before"));
    std::fs::write(place.home(&instance).join("tmp/end"), "").expect("written");
    place.wait_for_console(&instance, "goes on");
}

#[test]
fn nothing_outlives_a_killed_sandbox() {
    let Some(mut place) = Place::new("nothing_outlives_a_killed_sandbox") else {
        return;
    };
    let mark = mark();
    let deaf = format!("#!/bin/sh\ntrap '' HUP INT TERM\necho begun\nsleep {mark}\n");
    let instance = place.launch(&deaf);
    place.wait_for_console(&instance, "begun");
    wait("the process", || !processes(&mark).is_empty());
    place.process.kill();
    wait("the end of its processes", || processes(&mark).is_empty());
    wait("the end of its loop device", || {
        instance.loop_devices().is_empty()
    });

    // As after a power failure: it runs again, and its user data does not.
    place.process = start(&place.folder.path().join("state"));
    assert_eq!(
        state_after(place.publisher(), &instance.id, &["pending"]),
        "running"
    );
    wait("the loop device", || instance.loop_devices().len() == 1);
    assert_eq!(processes(&mark), [""; 0]);

    // Nor does anything outlive one that is killed while instances are being started.
    let more: Vec<Instance> = (0..4).map(|_| place.launch(&deaf)).collect();
    place.process.kill();
    for instance in more.iter().chain([&instance]) {
        wait("the end of an instance", || {
            processes(&instance.id).is_empty() && instance.loop_devices().is_empty()
        });
    }
    assert_eq!(processes(&mark), [""; 0]);
}

#[test]
fn a_build_instances_user_data_runs_as_it_is() {
    let Some(place) = Place::new("a_build_instances_user_data_runs_as_it_is") else {
        return;
    };
    let publisher = place.publisher();
    let worker = "#!/bin/sh\necho \"worker: $1 $2 with $(cat \"$3\")\"\n\
                  printf 'made by a worker' | dd of=/dev/sdf conv=notrunc,fsync 2>/dev/null\n";
    publisher.s3(&Call::new("PUT", "/jobs")).done("a bucket");
    let put = |name: &str, body: &str| {
        let path = format!("/jobs/{name}");
        publisher
            .s3(&Call::new("PUT", &path).body(body))
            .done("an object");
        let sum = Sha256::digest(body.as_bytes());
        Fetch {
            url: publisher.presigned("s3", &Call::new("GET", &path), 3600),
            sha256: sum.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    };
    let user_data = UserData {
        worker: put("worker", worker),
        job: put("job", "a job"),
        log_url: publisher.presigned("s3", &Call::new("PUT", "/jobs/log"), 3600),
        life: Duration::from_secs(3600),
        arch: Arch::host().expect("an architecture of ours"),
    };
    let instance = place.launch(&user_data.script().expect("a script"));
    let passing = ["pending", "running"];
    let ended = state_after(publisher, &instance.id, &passing);
    let console = console(publisher, &instance.id);
    assert_eq!(ended, "stopped", "{console}");
    assert!(
        console.contains("worker: worker --job with a job"),
        "{console}"
    );
    assert!(
        console.contains("alpine-ami: done: switching off"),
        "{console}"
    );
    let snapshot = snapshot_of(publisher, &instance.disk);
    let written = publisher.get_block(&snapshot, 0).done("a block");
    assert!(written.starts_with(b"made by a worker"));
    assert_eq!(instance.loop_devices(), [""; 0]);
}
