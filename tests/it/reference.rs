//! Against Alpine's own apk 2.12.7: what we install it can read, what we pack it accepts.
//!
//! Needs the shared Alpine data and root (for the chroot); says so and passes where there is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alpine_ami::arch::Arch;
use alpine_ami::config::Config;
use alpine_ami::image::configure::configure;
use alpine_ami::image::rootdir::RootDir;
use alpine_ami::image::seal::seal;
use alpine_ami::plan::Plan;
use alpine_ami::profile::ProfileSource;

use super::support::{Crafted, demo_mirror, repository, run, shared_alpine, skip, test_keys};

/// The packages that are compared: 58 with what they need.
const WORLD: [&str; 5] = [
    "alpine-base",
    "openssh-server",
    "e2fsprogs",
    "tiny-cloud-alpine",
    "chrony",
];

/// An empty file in the reference's root: it uses only the repositories that are named.
const NO_REPOSITORIES: &str = "/none";

/// A scratch root with the reference apk in it.
struct Reference {
    dir: tempfile::TempDir,
    alpine: PathBuf,
}

fn reference(test: &str) -> Option<Reference> {
    let Some(alpine) = shared_alpine() else {
        skip(test, "the shared Alpine data is not here");
        return None;
    };
    if !rustix::process::geteuid().is_root() {
        skip(test, "the reference apk runs in a chroot, which needs root");
        return None;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(alpine.join("minirootfs-3.15.11-x86_64.tar.gz"))
        .arg("-C")
        .arg(dir.path())
        .status()
        .expect("tar");
    assert!(unpacked.success());
    fs::write(dir.path().join(&NO_REPOSITORIES[1..]), "").expect("a file");
    Some(Reference { dir, alpine })
}

impl Reference {
    fn copy(&self, from: &Path, to: &str) {
        let to = self.dir.path().join(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        let copied = Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(&to)
            .status()
            .expect("cp");
        assert!(copied.success());
    }

    /// Our root in `made`, of Alpine's own packages, and the repository and keys beside it.
    fn install(&self) -> PathBuf {
        let root = self.dir.path().join("made");
        let repository = self.alpine.join("v3.19/main");
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let mut args = ["packages", "install", "--arch", "x86_64", "--root"]
            .map(str::to_owned)
            .to_vec();
        args.extend([text(&root), "--repository".to_owned(), text(&repository)]);
        args.extend(WORLD.map(str::to_owned));
        run(args).done();
        self.copy(&repository, "repository");
        self.copy(&self.alpine.join("keys"), "keys");
        root
    }

    /// Runs apk on our root.
    #[track_caller]
    fn on_ours(&self, args: &[&str]) -> String {
        let ours = [
            "--root",
            "/made",
            "--keys-dir",
            "/keys",
            "--repositories-file",
            NO_REPOSITORIES,
            "--repository",
            "/repository",
        ];
        self.apk(&[&ours, args].concat())
    }

    /// The database of a root, line by line.
    fn database(&self, root: &str) -> Vec<String> {
        let path = self.dir.path().join(root).join("lib/apk/db/installed");
        let text = fs::read_to_string(path).expect("a database");
        // apk writes `r:` of a package without files to the next package: see apk.md.
        let lines = text.lines().filter(|line| !line.starts_with("r:"));
        lines.map(str::to_owned).collect()
    }

    #[track_caller]
    fn apk(&self, args: &[&str]) -> String {
        let output = Command::new("chroot")
            .arg(self.dir.path())
            .arg("/sbin/apk")
            .args(args)
            .output()
            .expect("chroot");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "apk {args:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }
}

#[test]
fn apk_reads_what_we_installed_and_finds_nothing_wrong() {
    let Some(reference) = reference("apk_reads_what_we_installed") else {
        return;
    };
    reference.install();
    reference.copy(&reference.alpine.join("keys"), "theirs/etc/apk/keys");
    let theirs = [
        "--root",
        "/theirs",
        "--keys-dir",
        "/keys",
        "--repositories-file",
        NO_REPOSITORIES,
        "--repository",
        "/repository",
        "--initdb",
        "add",
    ];
    reference.apk(&[&theirs[..], &WORLD].concat());

    // The same packages in the same order, with the same files, modes, owners and checksums.
    let made = reference.database("made");
    assert_eq!(made, reference.database("theirs"));
    assert!(made.len() > 2000);
    for file in [
        "lib/apk/db/triggers",
        "etc/apk/world",
        "etc/passwd",
        "etc/group",
    ] {
        let read = |root: &str| {
            fs::read_to_string(reference.dir.path().join(root).join(file)).expect(file)
        };
        assert_eq!(read("made"), read("theirs"), "{file}");
    }
    let listed = reference.on_ours(&["info", "-v"]);
    assert_eq!(listed, reference.apk(&["--root", "/theirs", "info", "-v"]));
    assert_eq!(listed.lines().count(), 58);

    assert_eq!(reference.on_ours(&["audit", "--system"]), "");
    // Nothing is broken, and nothing is missing or too much.
    let wants_nothing = "OK: 21 MiB in 58 packages\n";
    assert_eq!(reference.on_ours(&["fix", "--simulate"]), wants_nothing);
    assert_eq!(reference.on_ours(&["add", "--simulate"]), wants_nothing);
}

#[test]
fn apk_adds_and_removes_packages_in_what_we_installed() {
    let Some(reference) = reference("apk_adds_and_removes_packages_in_what_we_installed") else {
        return;
    };
    let root = reference.install();
    let before = reference.database("made");
    // apk finds our packages' scripts in the database that we wrote.
    let trigger = "Executing busybox-1.36.1-r15.trigger";
    let added = reference.on_ours(&["add", "doas", "openntpd"]);
    assert!(added.contains(trigger), "{added}");
    assert!(root.join("usr/bin/doas").exists());
    let listed = reference.on_ours(&["info"]);
    assert!(listed.lines().any(|name| name == "openntpd"), "{listed}");
    let world = fs::read_to_string(root.join("etc/apk/world")).expect("a world");
    assert!(
        world.contains("doas\n") && world.contains("chrony\n"),
        "{world}"
    );

    let removed = reference.on_ours(&["del", "doas", "openntpd"]);
    assert!(removed.contains(trigger), "{removed}");
    assert!(!root.join("usr/bin/doas").exists());
    assert_eq!(reference.database("made"), before);
    assert_eq!(reference.on_ours(&["audit", "--system"]), "");

    // One of ours goes, with all that only it needed.
    reference.on_ours(&["del", "tiny-cloud-alpine"]);
    assert_eq!(reference.on_ours(&["info"]).lines().count(), 45);
}

#[test]
fn apk_finds_nothing_changed_but_what_the_overlays_bring() {
    let Some(reference) = reference("apk_finds_nothing_changed_but_what_the_overlays_bring") else {
        return;
    };
    let root = reference.install();
    let place = reference.dir.path();
    let (config, profile) = (place.join("c.toml"), place.join("profiles/mine.toml"));
    fs::create_dir(place.join("profiles")).expect("a folder");
    fs::write(&config, "[paths]\nprofiles = [\"profiles\"]\n").expect("a file");
    fs::write(&profile, "include = [\"core\"]\nalpine = \"3.19\"\n").expect("a file");
    let source = ProfileSource {
        arch: Some(Arch::X86_64),
        ..ProfileSource::new("mine")
    };
    let library = Config::load(Some(&config))
        .expect("a configuration")
        .library();
    let plan = Plan::new(&library, &source).expect("a plan");
    let handle = RootDir::open(&root).expect("a root");
    configure(&handle, &plan, 19_000).expect("it fits");
    seal(&handle, &plan.tree, 19_000).expect("it seals");

    let audit = reference.on_ours(&["audit", "--system"]);
    let is_ours = |path: &str| {
        let below = format!("{path}/");
        plan.tree
            .keys()
            .any(|key| key == path || key.starts_with(&below))
    };
    for line in audit.lines() {
        let (state, path) = line.split_once(' ').expect("a state and a path");
        assert!(
            is_ours(path.trim_end_matches('/')),
            "{state} {path}: {audit}"
        );
    }
    // Without `--system` it tells what was changed in `etc`, where our overlays are.
    let configuration = reference.on_ours(&["audit"]);
    assert!(
        configuration.contains(" etc/chrony/chrony.conf\n"),
        "{configuration}"
    );
    assert_eq!(
        reference.on_ours(&["fix", "--simulate"]),
        "OK: 21 MiB in 58 packages\n"
    );
}

#[test]
fn scripts_run_as_apk_runs_them() {
    let Some(reference) = reference("scripts_run_as_apk_runs_them") else {
        return;
    };
    let place = reference.dir.path();
    let logging = |name: &str, more: &str| {
        let log = "#!/bin/sh\necho \"${0##*/} $# [$*] $PWD $(umask) $(ls /srv) $(env | sort | tr '\\n' ' ')\" >> /log\n";
        // apk names the folders in the order of its hash table.
        let fired =
            "#!/bin/sh\nfor folder in \"$@\"; do echo \"${0##*/} $folder\"; done | sort >> /log\n";
        Crafted::new(name, "1.2-r3", more)
            .file(&format!("srv/{name}/file"), "x")
            .script("pre-install", log)
            .script("post-install", log)
            .script("pre-upgrade", log)
            .script("post-deinstall", log)
            .script("trigger", fired)
    };
    let packages = [
        logging("zed", "depend = busybox\ntriggers = /srv /srv/*"),
        logging("app", "depend = zed\ntriggers = /nothing /srv/app /etc/*"),
        logging("with", "install_if = app zed\ntriggers = /srv/zed"),
    ];
    let crafted = place.join("crafted");
    repository(&crafted, &packages, test_keys());
    let mirror = demo_mirror();
    reference.copy(&mirror.join("v3.15/main"), "repository");
    reference.copy(&mirror.join("keys"), "keys");
    for key in fs::read_dir(&test_keys().public_dir).expect("keys") {
        let key = key.expect("a key");
        fs::copy(key.path(), place.join("keys").join(key.file_name())).expect("a copy");
    }
    let theirs = [
        "--root",
        "/theirs",
        "--keys-dir",
        "/keys",
        "--repositories-file",
        NO_REPOSITORIES,
        "--repository",
        "/repository",
        "--repository",
        "/crafted",
        "--initdb",
        "add",
        "app",
    ];
    reference.apk(&theirs);
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let ours = place.join("ours");
    let mut args = ["packages", "install", "--arch", "x86_64"]
        .map(str::to_owned)
        .to_vec();
    for (option, path) in [
        ("--root", &ours),
        ("--repository", &crafted),
        ("--repository", &place.join("repository")),
        ("--keys-dir", &place.join("keys")),
    ] {
        args.extend([option.to_owned(), text(path)]);
    }
    args.push("app".to_owned());
    run(args).done();

    let log = |root: &str| fs::read_to_string(place.join(root).join("log")).expect("a log");
    assert_eq!(log("ours"), log("theirs"));
    assert!(log("ours").contains("zed-1.2-r3.post-install 1 [1.2-r3] / 0022 zed PATH="));
    assert!(log("ours").contains("app-1.2-r3.trigger /srv/app\n"));
}

#[test]
fn apk_accepts_the_demo_mirror() {
    let Some(reference) = reference("apk_accepts_the_demo_mirror") else {
        return;
    };
    let mirror = demo_mirror();
    reference.copy(&mirror.join("v3.15/main"), "repository");
    reference.copy(&mirror.join("keys"), "made/etc/apk/keys");
    let sources = [
        "--root",
        "/made",
        "--keys-dir",
        "/made/etc/apk/keys",
        "--repositories-file",
        NO_REPOSITORIES,
        "--repository",
        "/repository",
    ];
    let add = ["--initdb", "add", "alpine-base", "openssh-server", "chrony"];
    reference.apk(&[&sources[..], &add[..]].concat());
    let installed = reference.apk(&["--root", "/made", "info"]);
    assert!(
        installed.lines().any(|name| name == "openssh-server"),
        "{installed}"
    );
}
