//! The worker of a build instance, on this machine: a loop device for the volume, a small server
//! for the bucket.

pub mod bucket;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use alpine_ami::arch::Arch;
use alpine_ami::builder::job::{Addresses, End, Job, JobDisk, Outcome, Report};
use alpine_ami::digest;

use self::bucket::Bucket;
use super::support::{self, Ended, demo_mirror, run};

/// The size of the profile's disk.
const SIZE: u64 = 2 << 30;

/// A volume, attached as `sdf`.
struct Volume {
    device: String,
    /// What becomes of `/dev`.
    devices: tempfile::TempDir,
    file: PathBuf,
}

impl Volume {
    fn new(size: u64, folder: &Path) -> Volume {
        let file = folder.join("volume");
        let volume = File::create(&file).expect("a file");
        volume.set_len(size).expect("a length");
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(&file)
            .output()
            .expect("losetup");
        assert!(output.status.success(), "{output:?}");
        let device = String::from_utf8(output.stdout).expect("a path");
        let device = device.trim().to_owned();
        let devices = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(&device, devices.path().join("sdf")).expect("a link");
        Volume {
            device,
            devices,
            file,
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let done = Command::new("losetup")
            .args(["--detach", &self.device])
            .status();
        // A panic here would hide the test's own.
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("cannot detach {}", self.device);
        }
    }
}

/// A job for the `base` profile, with all its files in the bucket.
async fn job(bucket: &Bucket, cache: &Path) -> Job {
    let draft = support::base_draft(cache).await;
    for (sha256, needed) in draft.needed() {
        let bytes = fs::read(&needed.path).expect("a package");
        bucket.put(&format!("/store/{sha256}"), bytes);
    }
    let disk = JobDisk {
        device: "/dev/sdf".to_owned(),
        size: SIZE,
    };
    let reports = Addresses {
        progress: bucket.url("/progress"),
        result: bucket.url("/result"),
    };
    draft.job("test", disk, reports, |sha256| {
        bucket.url(&format!("/store/{sha256}"))
    })
}

/// A place for a worker, and the job it gets.
struct Site {
    folder: tempfile::TempDir,
    bucket: Bucket,
    job: Job,
}

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        let bucket = Bucket::start();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let job = runtime.block_on(job(&bucket, &folder.path().join("cache")));
        Site {
            folder,
            bucket,
            job,
        }
    }

    /// Runs the worker as the user data does.
    fn work(&self, volume: &Volume) -> Ended {
        let bytes = serde_json::to_vec(&self.job).expect("JSON");
        self.work_with(volume, &bytes, &digest::sha256(&bytes))
    }

    fn work_with(&self, volume: &Volume, job: &[u8], sha256: &str) -> Ended {
        let file = self.folder.path().join("job.json");
        fs::write(&file, job).expect("written");
        let work = self.folder.path().join("work");
        fs::create_dir_all(&work).expect("a folder");
        let output = support::program()
            .arg("worker")
            .arg("--job")
            .arg(&file)
            .args(["--job-sha256", sha256])
            .arg("--work")
            .arg(&work)
            .arg("--devices")
            .arg(volume.devices.path())
            .output()
            .expect("it starts");
        let left: Vec<_> = fs::read_dir(&work).expect("a folder").collect();
        assert!(left.is_empty(), "{left:?}");
        Ended::from(output)
    }

    fn outcome(&self) -> Outcome {
        let result = self.bucket.get("/result").expect("a result");
        serde_json::from_slice(&result).expect("an outcome")
    }

    /// The worker fails; what it says of it, as its result has it.
    #[track_caller]
    fn fails(&self, volume: &Volume) -> String {
        let said = self.work(volume).failed(1);
        let End::Failed { error, advice } = self.outcome().end else {
            panic!("it did not fail: {said}");
        };
        assert!(said.contains(&error), "{error}\n{said}");
        assert!(advice.is_some(), "{error}");
        error
    }
}

#[test]
fn what_is_on_the_disk_is_what_a_local_build_makes() {
    let site = Site::new();
    let volume = Volume::new(SIZE, site.folder.path());
    // A bucket that throttles, files and results alike.
    site.bucket.refuse_each(1);
    site.work(&volume).done();

    let out = site.folder.path().join("local");
    let mirror = demo_mirror();
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    run([
        "build",
        "base",
        "--arch",
        "x86_64",
        "--mirror",
        &text(&mirror),
        "--keys-dir",
        &text(&mirror.join("keys")),
        "--out",
        &text(&out),
    ])
    .done();
    let same = Command::new("cmp")
        .arg(out.join("image.raw"))
        .arg(&volume.file)
        .status()
        .expect("cmp");
    assert!(same.success(), "the volume is not the image");

    let outcome = site.outcome();
    let End::Done { manifest, .. } = &outcome.end else {
        panic!("{outcome:?}");
    };
    let local = alpine_ami::image::manifest::Manifest::read(&out).expect("a manifest");
    assert_eq!(**manifest, local);
    // Zeros too: what was never written is not in the snapshot of a volume.
    let blocks =
        std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&volume.file).expect("a file"));
    assert!(blocks * 512 >= SIZE, "{blocks}");
    assert!(outcome.steps.len() >= 5, "{:?}", outcome.steps);
    let report = site.bucket.get("/progress").expect("a report");
    let report: Report = serde_json::from_slice(&report).expect("a report");
    assert!(report.sequence > 1 && report.lines.len() > 2, "{report:?}");
    assert_eq!(report.job_sha256, outcome.job_sha256);
}

#[test]
fn a_job_that_was_changed_is_not_done() {
    let mut site = Site::new();
    let volume = Volume::new(SIZE, site.folder.path());
    // The job itself: nothing in it is believed, its addresses neither.
    let bytes = serde_json::to_vec(&site.job).expect("JSON");
    let said = site.work_with(&volume, &bytes, &"0".repeat(64)).failed(1);
    assert!(said.contains(&"0".repeat(64)), "{said}");
    assert!(site.bucket.get("/result").is_none());

    // A package.
    let (name, package) = site.job.repositories[0]
        .packages
        .iter()
        .next()
        .map(|(name, source)| (name.clone(), source.clone()))
        .expect("a package");
    let path = format!("/store/{}", package.sha256);
    let good = site.bucket.get(&path).expect("it is there");
    let mut bad = good.clone();
    bad[100] ^= 1;
    site.bucket.put(&path, bad);
    let error = site.fails(&volume);
    assert!(
        error.contains(&name) && error.contains("SHA-256"),
        "{error}"
    );
    site.bucket
        .put(&path, [good.clone(), b"x".to_vec()].concat());
    let error = site.fails(&volume);
    assert!(error.contains(&name) && error.contains("length"), "{error}");
    site.bucket.put(&path, good);

    // The plan.
    let plan = site.job.plan.clone();
    let packages = site.job.plan.get_mut("world").expect("a file of the plan");
    packages.push_str("YQ==");
    let error = site.fails(&volume);
    assert!(error.contains("plan"), "{error}");
    site.job.plan = plan;

    site.job.arch = Arch::Aarch64;
    let error = site.fails(&volume);
    assert!(
        error.contains("aarch64") && error.contains("x86_64"),
        "{error}"
    );
}

#[test]
fn only_an_empty_disk_of_the_right_size_is_written() {
    let site = Site::new();
    let small = Volume::new(1 << 30, site.folder.path());
    let error = site.fails(&small);
    assert!(
        error.contains("1073741824 bytes, not 2147483648"),
        "{error}"
    );
    drop(small);

    let volume = Volume::new(SIZE, site.folder.path());
    let file = File::options()
        .write(true)
        .open(&volume.file)
        .expect("a file");
    file.write_all_at(b"x", SIZE - 5).expect("written");
    file.sync_all().expect("synced");
    let error = site.fails(&volume);
    assert!(
        error.contains("not empty") && error.contains("2147483643"),
        "{error}"
    );
    drop(volume);

    let volume = Volume::new(SIZE, site.folder.path());
    let ended = Command::new("mke2fs").args(["-q", &volume.device]).status();
    assert!(ended.expect("mke2fs").success());
    let mounted = site.folder.path().join("mounted");
    fs::create_dir(&mounted).expect("a folder");
    let mount = Command::new("mount")
        .arg(&volume.device)
        .arg(&mounted)
        .status();
    assert!(mount.expect("mount").success());
    let error = site.fails(&volume);
    let unmount = Command::new("umount").arg(&mounted).status();
    assert!(unmount.expect("umount").success());
    assert!(error.contains("in use"), "{error}");
}
