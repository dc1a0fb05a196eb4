//! How fast packages are resolved and installed, beside apk 2.12.7 in the same run:
//! `cargo bench --bench packages`.
//!
//! Prints a table and asserts nothing: the machines that this runs on are shared. Both programs
//! take turns, each in a process of its own, on the same files and the same file system; what is
//! read is in the page cache. apk runs in a chroot of Alpine's own minimal root, which needs root
//! and the shared Alpine data (`ALPINE_AMI_SHARED`, or `../shared` beside the checkout).

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Each is run so often after a first time that does not count.
const TIMES: usize = 9;
const ARCH: &str = "x86_64";

/// What a Kubernetes node asks for, over both full indexes of Alpine 3.19.
const RESOLVED: [&str; 18] = [
    "alpine-base",
    "kubelet",
    "crun",
    "openssh",
    "chrony",
    "e2fsprogs",
    "linux-virt",
    "cni-plugins",
    "conmon",
    "cri-tools",
    "jq",
    "curl",
    "bash",
    "iptables",
    "ipset",
    "socat",
    "ethtool",
    "tiny-cloud-aws",
];

/// 58 packages with what they need, 21 MiB, and their scripts.
const INSTALLED: [&str; 5] = [
    "alpine-base",
    "openssh-server",
    "e2fsprogs",
    "tiny-cloud-alpine",
    "chrony",
];

fn main() {
    let shared = std::env::var_os("ALPINE_AMI_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let alpine = shared.join("alpine");
    if !alpine.join("v3.19").is_dir() || !rustix::process::geteuid().is_root() {
        println!("nothing is measured: it takes root and the shared Alpine data");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path(), &alpine);
    println!(
        "{:<44} {:<12} {:>9} {:>9} {:>13} {:>12}",
        "", "program", "median", "fastest", "peak memory", "against apk"
    );
    let resolved = format!("resolve {} names over both indexes", RESOLVED.len());
    place.compare(&resolved, Place::apk_resolves, Place::we_resolve);
    let installed = "install 58 packages with their scripts";
    place.compare(installed, Place::apk_installs, Place::we_install);
}

/// Alpine's minimal root with the repositories in it.
struct Place {
    root: PathBuf,
    /// Folders that were filled: each run gets a new one. Removing them in between would leave a file
    /// system that is slow to give out what was just freed.
    filled: Cell<u32>,
}

impl Place {
    fn new(root: &Path, alpine: &Path) -> Place {
        let run = |command: &mut Command| {
            assert!(
                command.status().expect("it starts").success(),
                "{command:?}"
            );
        };
        let archive = alpine.join("minirootfs-3.15.11-x86_64.tar.gz");
        run(Command::new("tar")
            .arg("xzf")
            .arg(archive)
            .arg("-C")
            .arg(root));
        for (from, to) in [
            ("v3.19/main", "packages"),
            ("index/v3.19/main", "main"),
            ("index/v3.19/community", "community"),
            ("keys", "keys"),
        ] {
            run(Command::new("cp")
                .arg("-a")
                .arg(alpine.join(from))
                .arg(root.join(to)));
        }
        fs::write(root.join("none"), "").expect("a file");
        Place {
            root: root.to_owned(),
            filled: Cell::new(0),
        }
    }

    /// The name of a new folder.
    fn fresh(&self) -> String {
        self.filled.set(self.filled.get() + 1);
        format!("filled-{}", self.filled.get())
    }

    /// Runs both by turns and prints a row for each.
    fn compare(&self, what: &str, theirs: fn(&Place) -> Command, ours: fn(&Place) -> Command) {
        let mut runs = [Vec::new(), Vec::new()];
        for turn in 0..=TIMES {
            for (runs, command) in runs.iter_mut().zip([theirs, ours]) {
                let run = measure(&mut command(self));
                if turn > 0 {
                    runs.push(run);
                }
            }
        }
        let [theirs, ours] = runs.map(Figures::of);
        for (name, figures) in [("apk 2.12.7", &theirs), ("alpine-ami", &ours)] {
            println!(
                "{what:<44} {name:<12} {:>6.0} ms {:>6.0} ms {:>9.1} MB {:>12.2}",
                milliseconds(figures.median),
                milliseconds(figures.fastest),
                figures.memory,
                figures.median.as_secs_f64() / theirs.median.as_secs_f64(),
            );
        }
    }

    /// apk on an empty root of its own below the chroot.
    fn apk(&self, repositories: &[&str]) -> Command {
        let name = self.fresh();
        let target = self.root.join(&name);
        for folder in ["etc/apk", "lib/apk/db", "var/cache/apk"] {
            fs::create_dir_all(target.join(folder)).expect("a folder");
        }
        for (file, text) in [
            ("lib/apk/db/installed", ""),
            ("etc/apk/world", ""),
            ("etc/apk/arch", ARCH),
        ] {
            fs::write(target.join(file), text).expect("a file");
        }
        let mut command = Command::new("chroot");
        command
            .arg(&self.root)
            .args([
                "/sbin/apk",
                "--root",
                &format!("/{name}"),
                "--keys-dir",
                "/keys",
            ])
            .args(["--repositories-file", "/none", "--no-network"]);
        for repository in repositories {
            command.args(["--repository", repository]);
        }
        command.arg("add");
        command
    }

    fn apk_resolves(&self) -> Command {
        // apk reads the last one first.
        let mut command = self.apk(&["/community", "/main"]);
        command.arg("--simulate").args(RESOLVED);
        command
    }

    fn apk_installs(&self) -> Command {
        let mut command = self.apk(&["/packages"]);
        command.args(INSTALLED);
        command
    }

    fn ours(&self, what: &str, repositories: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alpine-ami"));
        command
            .env("XDG_CACHE_HOME", self.root.join("cache"))
            .args(["packages", what, "--arch", ARCH]);
        for repository in repositories {
            command.arg("--repository").arg(self.root.join(repository));
        }
        command
    }

    fn we_resolve(&self) -> Command {
        let mut command = self.ours("resolve", &["main", "community"]);
        command.args(RESOLVED);
        command
    }

    fn we_install(&self) -> Command {
        let root = self.root.join(self.fresh());
        let mut command = self.ours("install", &["packages"]);
        command.arg("--root").arg(root).args(INSTALLED);
        command
    }
}

/// What a run took.
struct Run {
    wall: Duration,
    /// The most memory that was resident, in MB of 10^6 bytes.
    memory: f64,
}

/// What several runs took.
struct Figures {
    median: Duration,
    fastest: Duration,
    memory: f64,
}

impl Figures {
    fn of(mut runs: Vec<Run>) -> Figures {
        runs.sort_by_key(|run| run.wall);
        Figures {
            median: runs[runs.len() / 2].wall,
            fastest: runs[0].wall,
            memory: runs.iter().map(|run| run.memory).fold(0.0, f64::max),
        }
    }
}

fn measure(command: &mut Command) -> Run {
    let begun = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("a handle");
    let pause = Timespec {
        tv_sec: 0,
        tv_nsec: 2_000_000,
    };
    let mut memory = 0.0;
    while poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&pause)) == Ok(0) {
        memory = peak_memory(&child).unwrap_or(memory);
    }
    let wall = begun.elapsed();
    assert!(child.wait().expect("it ends").success(), "{command:?}");
    Run { wall, memory }
}

/// The most memory that it ever had resident, in MB.
fn peak_memory(child: &Child) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
