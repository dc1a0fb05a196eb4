//! Against Alpine's own apk 2.12.7: what we install it can read, what we pack it accepts.
//!
//! Needs the shared Alpine data and root (for the chroot); says so and passes where there is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{demo_mirror, run, shared_alpine, skip};

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
    let root = reference.dir.path().join("made");
    let repository = reference.alpine.join("v3.19/main");
    let world = [
        "alpine-base",
        "openssh-server",
        "e2fsprogs",
        "tiny-cloud-alpine",
        "chrony",
    ];
    let args = [
        "packages",
        "install",
        "--arch",
        "x86_64",
        "--root",
        root.to_str().expect("UTF-8"),
        "--repository",
        repository.to_str().expect("UTF-8"),
    ];
    run(args.iter().chain(&world)).done();

    let keys = reference.alpine.join("keys");
    reference.copy(&repository, "repository");
    reference.copy(&keys, "theirs/etc/apk/keys");
    let theirs = [
        "--root",
        "/theirs",
        "--keys-dir",
        "/theirs/etc/apk/keys",
        "--repositories-file",
        "/dev/null",
        "--repository",
        "/repository",
        "--initdb",
        "add",
    ];
    reference.apk(&[&theirs[..], &world[..]].concat());

    // The same packages in the same order, with the same files, modes, owners and checksums.
    let database = |root: &str| {
        let text = fs::read_to_string(reference.dir.path().join(root).join("lib/apk/db/installed"))
            .expect("a database");
        // apk writes `r:` of a package without files to the next package: see apk.md.
        let lines = text.lines().filter(|line| !line.starts_with("r:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(database("made"), database("theirs"));
    assert!(database("made").len() > 2000);
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
    assert_eq!(reference.apk(&["--root", "/made", "audit", "--system"]), "");
    assert_eq!(
        reference.apk(&["--root", "/made", "info"]).lines().count(),
        58
    );
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
        "/dev/null",
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
