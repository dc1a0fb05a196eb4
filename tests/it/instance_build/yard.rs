//! A publisher whose build instances are processes of this machine, and workers for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alpine_ami::blocks;
use alpine_ami::image::manifest::Manifest;
use serde_json::Value;

use crate::publish::house::{House, manifest, tag};
use crate::sandbox::client::{Expect as _, Tree};
use crate::sandbox::place::{HOME, Place};
use crate::sandbox::things;
use crate::support::{self, Ended, demo_mirror};

/// A worker that stands in for this program: it does not build, but says what a test wants it to
/// say. A static program, since the controller takes no other, that runs a script.
pub struct Worker {
    pub path: PathBuf,
    _folder: tempfile::TempDir,
}

/// How a stand-in worker behaves. `job` and `put` are there for it.
const PRELUDE: &str = r#"
import hashlib, json, sys, time, urllib.request
path = sys.argv[sys.argv.index("--job") + 1]
raw = open(path, "rb").read()
job = json.loads(raw)
sha256 = hashlib.sha256(raw).hexdigest()
manifest = json.loads(MANIFEST)
def put(what, value):
    data = json.dumps(value).encode()
    for wait in range(100):
        try:
            urllib.request.urlopen(urllib.request.Request(job["reports"][what], data=data, method="PUT"))
            return
        except Exception as error:
            print("stand-in worker:", error, flush=True)
            time.sleep(0.1)
    sys.exit("cannot send")
def report(*lines):
    put("progress", {"job_sha256": sha256, "sequence": 1, "elapsed_ms": 5, "lines": lines, "lines_before": 0})
def outcome(**end):
    put("result", {"schema": 1, "job_sha256": sha256, "tool": "stand-in", "lines": ["a line"], "steps": [["all", 1]], **end})
def done():
    outcome(state="done", manifest=manifest, device="/dev/sdf")
"#;

/// It writes to the disk, and says that it built what was asked for.
pub const GOOD: &str = r#"
report("stand-in worker: here")
with open("/dev/sdf", "r+b") as disk:
    disk.write(b"made by a stand-in")
done()
"#;

impl Worker {
    /// One that runs a script in Python, which knows the manifest of what the controller asks for.
    pub fn new(script: &str) -> Worker {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = serde_json::to_string(&wanted()).expect("JSON");
        // Python reads JSON's text as its own; what is left is C's.
        let python = format!("MANIFEST = r'''{manifest}'''\n{PRELUDE}\n{script}");
        let escaped: String = python.bytes().map(|byte| format!("\\{byte:03o}")).collect();
        let (source, path) = (folder.path().join("worker.c"), folder.path().join("worker"));
        let text = format!(
            "#include <unistd.h>\n\
             int main(int count, char **words) {{\n\
             char *args[64] = {{\"python3\", \"-c\", \"{escaped}\"}};\n\
             for (int at = 1; at < count && at < 60; at++) args[at + 2] = words[at];\n\
             execv(\"/usr/bin/python3\", args);\n\
             return 127;\n}}\n"
        );
        fs::write(&source, text).expect("written");
        let made = Command::new("cc")
            .args(["-static", "-w"])
            .arg(&source)
            .arg("-o")
            .arg(&path)
            .status();
        assert!(made.expect("a C compiler, which Rust needs too").success());
        Worker {
            path,
            _folder: folder,
        }
    }
}

/// What a build of the profile `base` would say of itself, but for the disk.
fn wanted() -> Manifest {
    let cache = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let draft = runtime.block_on(support::base_draft(cache.path()));
    let file = tempfile::tempfile().expect("a file");
    file.set_len(2 << 30).expect("a length");
    let plan = draft.plan();
    Manifest {
        tool: concat!("alpine-ami ", env!("CARGO_PKG_VERSION")).to_owned(),
        plan_digest: plan.digest.clone(),
        packages_digest: draft.packages_digest().to_owned(),
        boot_packages: draft.boot_packages().to_vec(),
        version: plan.profile.version.to_string(),
        firmware: plan.firmware.clone(),
        checks: plan.profile.checks.clone(),
        test_volumes: plan.profile.test.volumes.clone(),
        ..manifest(&blocks::scan(&file).expect("read"))
    }
}

/// A publisher with a base image and a configuration for build instances.
pub struct Yard {
    pub house: House,
    /// The base image. Nothing of it is run: instances are processes.
    pub ami: String,
}

impl Yard {
    pub fn new(worker: &Path) -> Yard {
        let house = House::in_place(Place::with_processes());
        let home = house.client(HOME);
        let key = house.keys[HOME].as_str();
        let snapshot = things::snapshot(&home, &[(0, things::block(1))], Some(key));
        let ami = things::image(&home, "base image", &snapshot);
        assert_eq!(things::settled_image(&home, &ami), "available");
        let yard = Yard { house, ami };
        yard.configure(worker, "");
        yard
    }

    /// Writes a configuration, with more in `[build]`.
    pub fn configure(&self, worker: &Path, more: &str) {
        self.house.configure(&self.config(worker, more));
    }

    pub fn config(&self, worker: &Path, more: &str) -> String {
        let publish = self
            .house
            .config()
            .replace("volume_gib = 1", "volume_gib = 2");
        format!(
            "{publish}\n[build]\nminutes = 5\nreport_seconds = 60\n{more}\n\
             base_images = {{ x86_64 = \"{}\" }}\n\
             instance_types = {{ x86_64 = [\"t3.small\", \"t3.micro\"] }}\n\
             workers = {{ x86_64 = \"{}\" }}\n",
            self.ami,
            worker.display()
        )
    }

    /// The folder that builds go to.
    pub fn out(&self) -> PathBuf {
        self.house.folder().join("built")
    }

    /// `build base --on ec2`, with more arguments.
    pub fn command(&self, more: &[&str]) -> Command {
        let mirror = demo_mirror();
        let mut command = self.house.program();
        command
            .args(["build", "--on", "ec2", "--output", "json"])
            .arg("--mirror")
            .arg(&mirror)
            .arg("--keys-dir")
            .arg(mirror.join("keys"))
            .arg("--out")
            .arg(self.out())
            .args(more);
        command
    }

    pub fn run(&self, more: &[&str]) -> Ended {
        let more = [&["base", "--arch", "x86_64"], more].concat();
        Ended::from(self.command(&more).output().expect("it starts"))
    }

    /// Builds; the image as it is told.
    #[track_caller]
    pub fn build(&self) -> Value {
        let printed = self.run(&[]).done();
        let printed: Value = serde_json::from_str(&printed).expect("JSON");
        printed["images"][0].clone()
    }

    /// The instances that there are, of whatever state.
    pub fn instances(&self) -> Vec<Tree> {
        let home = self.house.client(HOME);
        let answer = home.ec2("DescribeInstances", &[]).done("instances");
        let reservations = answer.items("reservationSet");
        reservations
            .iter()
            .flat_map(|one| one.items("instancesSet"))
            .collect()
    }

    /// Snapshots that a build made.
    pub fn snapshots(&self) -> Vec<Tree> {
        let mut snapshots = self.house.snapshots(HOME);
        snapshots.retain(|one| tag(one, "alpine-ami:build").is_some());
        snapshots
    }

    /// Keys of the objects of builds, but for what was built.
    pub fn objects(&self) -> Vec<String> {
        let home = self.house.client(HOME);
        let path = format!(
            "/{}?list-type=2&prefix=builds/",
            crate::publish::house::BUCKET
        );
        let answer = home.s3(&crate::sandbox::client::Call::new("GET", &path));
        let text = answer.done("a list").text();
        text.split("<Key>")
            .skip(1)
            .filter_map(|rest| rest.split("</Key>").next())
            .filter(|key| !key.ends_with("/built.json"))
            .map(str::to_owned)
            .collect()
    }

    /// Nothing runs, no volume of a build is left, and nothing of a job; so many snapshots are.
    #[track_caller]
    pub fn check_left(&self, snapshots: usize) {
        let home = self.house.client(HOME);
        for instance in self.instances() {
            assert_eq!(instance.text("instanceState/name"), "terminated");
        }
        let volumes = home.ec2("DescribeVolumes", &[]).done("volumes");
        assert!(volumes.items("volumeSet").is_empty(), "{volumes:#?}");
        let found = self.snapshots();
        assert_eq!(found.len(), snapshots, "{found:#?}");
        let objects = self.objects();
        assert!(objects.is_empty(), "{objects:?}");
    }

    /// What must hold of a build: one snapshot, completed, encrypted under the key, tagged; and a
    /// manifest that names it.
    #[track_caller]
    pub fn check_built(&self, told: &Value) {
        let snapshots = self.snapshots();
        let [snapshot] = &snapshots[..] else {
            panic!("{} snapshots: {snapshots:#?}", snapshots.len());
        };
        assert_eq!(told["snapshot"]["id"], snapshot.text("snapshotId"));
        assert_eq!(snapshot.text("status"), "completed");
        assert_eq!(snapshot.text("encrypted"), "true");
        assert_eq!(snapshot.text("kmsKeyId"), self.house.keys[HOME]);
        assert!(tag(snapshot, "alpine-ami:end-of-life").is_some());
        let manifest = Manifest::read(&self.out()).expect("a manifest");
        let lock = fs::read(self.out().join("lock.toml")).expect("a lock");
        let info = manifest.lock.expect("a lock");
        assert_eq!(info.sha256, alpine_ami::digest::sha256(&lock));
        let named = manifest.snapshot.expect("a snapshot");
        assert_eq!(named.id.as_str(), snapshot.text("snapshotId"));
        let home = self.house.client(HOME);
        let id = snapshot.text("snapshotId");
        let block = home.get_block(id, 0).done("a block");
        assert!(block.starts_with(b"made by a stand-in"), "other bytes");
        self.check_left(1);
    }
}
