//! The whole line: a profile becomes an image, the image boots in QEMU and passes its own checks.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Ended, build, demo_mirror, program, run, shared_alpine, skip};

#[track_caller]
fn boot(out: &Path, more: &[&str]) -> Value {
    let fixed = ["test", out.to_str().expect("UTF-8"), "--output", "json"];
    let report = run(fixed.iter().chain(more));
    assert_eq!(report.status, 0, "{}{}", report.stdout, report.stderr);
    let report: Value = serde_json::from_str(&report.stdout).expect("JSON");
    assert_eq!(report["passed"], true, "{report}");
    assert_eq!(report["login_prompt"], true);
    assert_eq!(report["failed_services"], serde_json::json!([]));
    assert!(
        report["checks"]
            .as_array()
            .is_some_and(|checks| checks.len() >= 10),
        "{report}"
    );
    report
}

fn services(report: &Value, runlevel: &str) -> Vec<String> {
    let services = report["services"][runlevel].as_array().expect("a list");
    let started = services.iter().filter(|one| one["state"] == "started");
    started
        .map(|one| one["name"].as_str().expect("a name").to_owned())
        .collect()
}

fn ext4_of(image: &Path, dir: &Path) -> PathBuf {
    // The root is the third partition: it begins behind 1 MiB of table, 1 MiB of GRUB, 8 MiB of ESP.
    let mut disk = fs::File::open(image).expect("an image");
    disk.seek(SeekFrom::Start(10 << 20)).expect("a partition");
    let path = dir.join("root.ext4");
    let mut root = fs::File::create(&path).expect("a file");
    std::io::copy(&mut disk.take((2 << 30) - (11 << 20)), &mut root).expect("copied");
    path
}

#[test]
fn the_base_image_is_reproducible_and_sound_and_boots_under_bios_and_uefi() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    build("base", &one, &[]).done();
    build("base", &other, &[]).done();

    let manifest: Value =
        serde_json::from_slice(&fs::read(one.join("manifest.json")).expect("a manifest"))
            .expect("JSON");
    assert_eq!(manifest["profile"], "base");
    assert_eq!(manifest["alpine"], "3.15.11");
    assert_eq!(manifest["kernel"]["initramfs"], false);
    let image = one.join("image.raw");
    let meta = fs::metadata(&image).expect("an image");
    assert_eq!(meta.len(), 2 << 30);
    assert!(meta.blocks() * 512 < 512 << 20, "it is not sparse");
    assert_eq!(
        fs::read(one.join("manifest.json")).expect("one"),
        fs::read(other.join("manifest.json")).expect("other")
    );
    let same = Command::new("cmp")
        .arg(&image)
        .arg(other.join("image.raw"))
        .status()
        .expect("cmp");
    assert!(same.success(), "two builds differ");

    let check = |tool: &str, args: &[&str], path: &Path| {
        let output = Command::new(tool)
            .args(args)
            .arg(path)
            .output()
            .expect(tool);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{tool}: {text}");
        text
    };
    assert!(check("/sbin/sgdisk", &["-v"], &image).contains("No problems found"));
    check("/sbin/e2fsck", &["-fn"], &ext4_of(&image, dir.path()));

    // A read-only image in a read-only folder's stead: nothing may write to it.
    let mut readonly = meta.permissions();
    readonly.set_readonly(true);
    fs::set_permissions(&image, readonly).expect("a mode");
    for firmware in ["bios", "uefi"] {
        let report = boot(&one, &["--firmware", firmware]);
        assert_eq!(report["firmware"], firmware);
        assert_eq!(
            services(&report, "default"),
            ["chronyd", "instance-metadata", "monit", "sshd", "user-data"]
        );
        assert!(services(&report, "boot").contains(&"syslog".to_owned()));
        // Nothing is needed at boot but what every host of EC2's has.
        assert_eq!(report["connection_attempts"], serde_json::json!([]));
        assert!(
            report["os"]
                .as_str()
                .is_some_and(|os| os.contains("Stand-in")),
            "{report}"
        );
        assert!(
            report["root_used_bytes"]
                .as_u64()
                .is_some_and(|used| used > 50 << 20)
        );
        assert!(
            report["memory_used_bytes"]
                .as_u64()
                .is_some_and(|used| used > 1 << 20)
        );
        assert!(
            report["boot_seconds"]
                .as_f64()
                .is_some_and(|seconds| seconds > 1.0)
        );
    }
    let same = Command::new("cmp")
        .arg(&image)
        .arg(other.join("image.raw"))
        .status()
        .expect("cmp");
    assert!(same.success(), "booting wrote to the image");
    assert!(
        fs::read_to_string(one.join("console.log"))
            .expect("a console")
            .contains("login:")
    );
}

#[test]
fn the_build_instances_image_boots_and_asks_nobody() {
    let dir = tempfile::tempdir().expect("a folder");
    build("builder", dir.path(), &[]).done();
    let report = boot(dir.path(), &[]);
    assert_eq!(report["connection_attempts"], serde_json::json!([]));
    assert!(!services(&report, "default").contains(&"sshd".to_owned()));
}

#[test]
fn an_image_with_an_initramfs_boots() {
    let dir = tempfile::tempdir().expect("a folder");
    build(
        "base",
        dir.path(),
        &[
            "--set",
            "kernel.initramfs=always",
            "--set",
            "disk.label=other",
        ],
    )
    .done();
    let manifest: Value =
        serde_json::from_slice(&fs::read(dir.path().join("manifest.json")).expect("a manifest"))
            .expect("JSON");
    assert_eq!(manifest["kernel"]["initramfs"], true);
    boot(dir.path(), &[]);
    let console = fs::read_to_string(dir.path().join("console.log")).expect("a console");
    assert!(console.contains("Run /init as init process"), "{console}");
}

/// Real Alpine: signed packages of Alpine 3.19, with a kernel and a boot loader from the demo mirror,
/// since that repository has neither. It has no monit, either.
#[test]
fn real_alpine_boots_and_passes_its_checks() {
    let Some(alpine) = shared_alpine() else {
        skip(
            "real_alpine_boots_and_passes_its_checks",
            "the shared Alpine data is not here",
        );
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let demo = demo_mirror().join("v3.15/main");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (alpine_mirror, keys, demo) = (text(&alpine), text(&alpine.join("keys")), text(&demo));
    let args = [
        "--set",
        "alpine=3.19",
        "--mirror",
        &alpine_mirror,
        "--keys-dir",
        &keys,
        "--repository",
        &demo,
        "--set",
        "packages=[\"-monit\"]",
        "--set",
        "services.default=[\"-monit\"]",
        "--set",
        "checks.monit-runs-and-likes-its-configuration.run=true",
        "--set",
        "checks.monit-starts-a-daemon-that-died.run=true",
    ];
    build("base", dir.path(), &args).done();
    let manifest: Value =
        serde_json::from_slice(&fs::read(dir.path().join("manifest.json")).expect("a manifest"))
            .expect("JSON");
    let packages = manifest["packages"].as_array().expect("a list");
    let foreign: Vec<_> = packages
        .iter()
        .filter(|one| one["repository"] == demo.as_str())
        .map(|one| one["name"].as_str())
        .collect();
    assert_eq!(
        foreign,
        [Some("linux-virt")],
        "only the kernel is a stand-in"
    );
    assert!(packages.len() > 40);
    let report = boot(dir.path(), &[]);
    assert_eq!(report["os"], "Alpine Linux v3.19");
    assert!(services(&report, "default").contains(&"sshd".to_owned()));
    assert!(services(&report, "default").contains(&"chronyd".to_owned()));
    assert!(services(&report, "boot").contains(&"syslog".to_owned()));
}

#[test]
fn a_check_that_fails_fails_the_test() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("profiles")).expect("a folder");
    fs::write(
        dir.path().join("profiles/mine.toml"),
        "include = [\"base\"]\n[checks.impossible]\nrun = \"echo so it goes; false\"\n",
    )
    .expect("a profile");
    fs::write(
        dir.path().join("c.toml"),
        "[paths]\nprofiles = [\"profiles\"]\n",
    )
    .expect("a file");
    let out = dir.path().join("out");
    build("base", &out, &[]).done();
    let config = dir.path().join("c.toml");
    let args = [
        "--config",
        config.to_str().expect("UTF-8"),
        "test",
        out.to_str().expect("UTF-8"),
        "--profile",
        "mine",
        "--arch",
        "x86_64",
    ];
    let ended = run(args);
    assert_eq!(ended.status, 1, "{}", ended.stderr);
    assert!(
        ended.stdout.contains("impossible") && ended.stdout.contains("so it goes"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("Last lines of the console") && ended.stdout.contains("login:"),
        "the last console lines are missing: {}",
        ended.stdout
    );
}

#[test]
fn a_disk_that_does_not_boot_is_given_up_at_the_deadline() {
    let dir = tempfile::tempdir().expect("a folder");
    let image = dir.path().join("disk");
    fs::File::create(&image)
        .expect("a file")
        .set_len(16 << 20)
        .expect("a length");
    let args = [
        "test",
        image.to_str().expect("UTF-8"),
        "--profile",
        "base",
        "--arch",
        "x86_64",
        "--deadline",
        "8",
    ];
    let started = Instant::now();
    let error = run(args).failed(1);
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(
        error.contains("did not report within 8 s") && error.contains("next: "),
        "{error}"
    );
}

#[test]
fn a_failed_build_leaves_the_earlier_image_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    build("base", dir.path(), &[]).done();
    let other = run([
        "test",
        dir.path().to_str().expect("UTF-8"),
        "--arch",
        "aarch64",
    ]);
    assert!(
        other
            .failed(2)
            .contains("is for x86_64, not for what --arch says")
    );
    let twice = build("base", dir.path(), &["base"]).failed(2);
    assert!(
        twice.contains("the profile `base` is named twice"),
        "{twice}"
    );
    if !Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists() {
        let args = [
            "build",
            "base",
            "--arch",
            "aarch64",
            "--out",
            "/tmp/alpine-ami-aarch64",
        ];
        let foreign = run(args).failed(1);
        assert!(
            foreign.contains("an image for aarch64 cannot be built here"),
            "{foreign}"
        );
    }
    let before = fs::read(dir.path().join("manifest.json")).expect("a manifest");
    let small = build("base", dir.path(), &["--set", "disk.size=64MiB"]).failed(1);
    assert!(small.contains("next: "), "{small}");
    let missing = build(
        "base",
        dir.path(),
        &["--set", "packages=[\"no-such-package\"]"],
    )
    .failed(1);
    assert!(missing.contains("no-such-package"), "{missing}");
    let mirror = build("base", dir.path(), &["--mirror", "/nonexistent"]).failed(1);
    assert!(mirror.contains("there is no such file"), "{mirror}");
    let service = build(
        "base",
        dir.path(),
        &["--set", "services.default=[\"chronid\"]"],
    )
    .failed(1);
    assert!(
        service.contains("there is no /etc/init.d/chronid")
            && service.contains("did you mean `chronyd`?"),
        "{service}"
    );
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    let expected = [
        "build.json",
        "image.raw",
        "lock.toml",
        "manifest.json",
        "sbom.spdx.json",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        fs::read(dir.path().join("manifest.json")).expect("a manifest"),
        before
    );
}

#[test]
fn a_build_that_is_killed_or_interrupted_leaves_nothing_that_looks_finished() {
    let dir = tempfile::tempdir().expect("a folder");
    let mirror = demo_mirror();
    let start = || {
        program()
            .args(["build", "base", "--arch", "x86_64", "--mirror"])
            .arg(&mirror)
            .arg("--keys-dir")
            .arg(mirror.join("keys"))
            .arg("--out")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    };
    // The work folder of a build that has come as far as `file`, other than `dead`'s.
    let wait_for = |file: &str, dead: Option<&Path>| {
        let limit = Instant::now() + Duration::from_secs(120);
        loop {
            let entries = fs::read_dir(dir.path()).expect("a folder");
            let mut paths = entries.map(|entry| entry.expect("an entry").path());
            let busy = paths.find(|path| Some(path.as_path()) != dead && path.join(file).exists());
            if let Some(busy) = busy {
                return busy;
            }
            assert!(Instant::now() < limit, "the build does not come to {file}");
            std::thread::yield_now();
        }
    };

    let mut killed = start();
    let dead = wait_for("root/bin", None);
    killed.kill().expect("killed");
    killed.wait().expect("gone");
    assert!(!dir.path().join("image.raw").exists() && !dir.path().join("manifest.json").exists());
    let left = || fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(left(), 1, "the work folder is left for the next run");

    // While packages are installed, and while the boot loader and the disk are made.
    let (install, disk) = (rustix::process::Signal::INT, rustix::process::Signal::TERM);
    for (file, signal) in [("root/bin", install), ("tools/usr", disk)] {
        let mut interrupted = start();
        wait_for(file, Some(&dead));
        let pid = rustix::process::Pid::from_child(&interrupted);
        rustix::process::kill_process(pid, signal).expect("a signal");
        let status = interrupted.wait().expect("it ends");
        assert_eq!(status.code(), Some(1), "{file}");
        assert_eq!(left(), 0, "{file}: something was left");
    }
}

/// A profile's name and what `test` and `build` need of this machine, where it is not there.
#[test]
fn what_this_machine_lacks_is_named_with_the_way_to_get_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let image = dir.path().join("disk");
    fs::write(&image, "").expect("a file");
    let output = program()
        .env("PATH", dir.path())
        .args(["test", "--profile", "base", "--arch", "x86_64"])
        .arg(&image)
        .output()
        .expect("it starts");
    let error = Ended::from(output).failed(1);
    assert!(
        error.contains("qemu-system-x86_64") && error.contains("qemu-system-x86"),
        "{error}"
    );

    let unwritable = build("base", Path::new("/proc/alpine-ami"), &[]).failed(1);
    assert!(
        unwritable.contains("cannot write /proc/alpine-ami") && unwritable.contains("--out"),
        "{unwritable}"
    );

    if !rustix::process::geteuid().is_root() {
        skip(
            "build as a user without sub-ids",
            "only root can become one",
        );
        return;
    }
    // `nobody` has no sub-ids; the program must lie where everybody can start it.
    let open = |path: &Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("a mode");
    };
    open(dir.path());
    let copy = dir.path().join("alpine-ami");
    fs::copy(env!("CARGO_BIN_EXE_alpine-ami"), &copy).expect("a copy");
    open(&copy);
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args([
            "build",
            "base",
            "--arch",
            "x86_64",
            "--out",
            "/tmp/alpine-ami-nobody",
        ])
        .output()
        .expect("setpriv");
    let error = Ended::from(output).failed(1);
    assert!(
        error.contains("this needs root or user namespaces, and there is neither")
            && error.contains("/etc/subuid"),
        "{error}"
    );
    assert!(!Path::new("/tmp/alpine-ami-nobody").exists());
}

/// Links in overlays that lead to this machine's files, and names that are paths, change nothing here.
#[test]
fn an_overlay_or_profile_that_points_outside_writes_nothing_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    };
    write("victim", "precious");
    write(
        "c.toml",
        "[paths]\nprofiles = [\"p\"]\noverlays = [\"o\"]\n",
    );
    write(
        "p/links.toml",
        "include = [\"base\"]\noverlays = [\"links\"]\n",
    );
    let victim = dir.path().join("victim");
    let victim = victim.to_str().expect("UTF-8");
    let link = |path: &str| format!("[[symlink]]\npath = \"{path}\"\ntarget = \"{victim}\"\n");
    write(
        "o/links/overlay.toml",
        &(link("etc/shadow") + &link("etc/machine-id")),
    );
    let config = dir.path().join("c.toml");
    let out = dir.path().join("out");
    let mirror = demo_mirror();
    let keys = mirror.join("keys");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let build = |profile: &str| {
        let (config, mirror, keys, out) = (text(&config), text(&mirror), text(&keys), text(&out));
        run([
            "--config",
            &config,
            "build",
            profile,
            "--arch",
            "x86_64",
            "--mirror",
            &mirror,
            "--keys-dir",
            &keys,
            "--out",
            &out,
        ])
    };
    let error = build("links").failed(1);
    assert!(error.contains("/etc/shadow"), "{error}");
    assert_eq!(fs::read_to_string(victim).expect("the victim"), "precious");
    assert!(!out.exists());

    for (line, message) in [
        (
            "[users.\"../../x\"]\nuid = 2000\nshell = \"/bin/ash\"",
            "is not a name",
        ),
        (
            "[users.x]\nuid = 2000\nshell = \"/bin/ash\\nroot2::0:0::/:/bin/ash\"",
            "is not the path of a shell",
        ),
        ("services.default = [\"/tmp/x\"]", "is not a name"),
        ("disk.label = \"my root\"", "is not a name"),
        ("kernel.cmdline = [\"a b\"]", "is not one word"),
        ("overlays = [\"../links\"]", "is not a name"),
    ] {
        write("p/wrong.toml", &format!("include = [\"base\"]\n{line}\n"));
        let error = build("wrong").failed(2);
        assert!(
            error.contains("wrong.toml:") && error.contains(message),
            "{error}"
        );
    }
}
