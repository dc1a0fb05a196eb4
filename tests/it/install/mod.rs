//! Packages into a root: scripts, triggers, conflicts, hostile packages, and nothing left on failure.

mod evil;
mod hostile;
mod ordinary;
mod scripts;

use std::fs;
use std::path::{Path, PathBuf};

use super::support::{Crafted, Ended, demo_mirror, program, repository, run, test_keys};

struct Place {
    _dir: tempfile::TempDir,
    repository: PathBuf,
    root: PathBuf,
}

fn place(packages: &[Crafted]) -> Place {
    let dir = tempfile::tempdir().expect("a folder");
    let base = dir.path().join("repository");
    repository(&base, packages, test_keys());
    let root = dir.path().join("root");
    Place {
        repository: base,
        root,
        _dir: dir,
    }
}

impl Place {
    /// Installs from the crafted repository and the demo mirror, whose busybox scripts run with.
    fn install(&self, constraints: &[&str]) -> Ended {
        run(self.args(constraints))
    }

    /// The arguments of that.
    fn args(&self, constraints: &[&str]) -> Vec<String> {
        self.args_with_keys(&test_keys().public_dir, constraints)
    }

    /// The same, with the crafted repository's key in another folder.
    fn args_with_keys(&self, keys: &Path, constraints: &[&str]) -> Vec<String> {
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let mirror = demo_mirror();
        let sources = [
            "--repository".to_owned(),
            text(&self.repository),
            "--keys-dir".to_owned(),
            text(keys),
            "--repository".to_owned(),
            text(&mirror.join("v3.15/main")),
            "--keys-dir".to_owned(),
            text(&mirror.join("keys")),
            "--root".to_owned(),
            text(&self.root),
        ];
        let fixed = ["packages", "install", "--arch", "x86_64"].map(str::to_owned);
        let constraints = constraints.iter().map(|&one| one.to_owned());
        fixed
            .into_iter()
            .chain(sources)
            .chain(constraints)
            .collect()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).expect(path)
    }

    /// A failed installation leaves no root.
    #[track_caller]
    fn refused(&self, constraints: &[&str], words: &[&str]) {
        let error = self.install(constraints).failed(1);
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error}");
        }
        assert!(!self.root.exists(), "a half-filled root was left");
    }
}

#[test]
fn two_packages_with_one_file_are_a_conflict_unless_one_replaces_the_other() {
    let one = || Crafted::new("one", "1-r0", "").file("usr/x", "one");
    let two = |more: &str| Crafted::new("two", "1-r0", more).file("usr/x", "two");
    place(&[one(), two("")]).refused(
        &["one", "two"],
        &["two-1-r0", "`usr/x`: it belongs to the package one already"],
    );
    let replaced = place(&[one(), two("replaces = one")]);
    replaced.install(&["one", "two"]).done();
    assert_eq!(replaced.read("usr/x"), "two");
    let database = replaced.read("lib/apk/db/installed");
    assert_eq!(database.matches("R:x\n").count(), 1, "{database}");
}

#[test]
fn a_root_with_something_in_it_is_not_touched() {
    let place = place(&[Crafted::new("app", "1-r0", "").file("x", "x")]);
    fs::create_dir(&place.root).expect("a folder");
    fs::write(place.root.join("mine"), "precious").expect("a file");
    let error = place.install(&["app"]).failed(2);
    assert!(error.contains("is not empty"), "{error}");
    assert_eq!(place.read("mine"), "precious");
    assert_eq!(fs::read_dir(&place.root).expect("a folder").count(), 1);
}

#[test]
fn an_installation_that_is_killed_leaves_no_root_and_can_be_run_again() {
    let app = Crafted::new("app", "1-r0", "depend = busybox")
        .script("post-install", "#!/bin/sh\nsleep 60\n");
    let killed = place(&[app]);
    let mirror = demo_mirror();
    let mut child = program()
        .args(["packages", "install", "--arch", "x86_64", "--repository"])
        .arg(&killed.repository)
        .arg("--keys-dir")
        .arg(&test_keys().public_dir)
        .arg("--repository")
        .arg(mirror.join("v3.15/main"))
        .arg("--keys-dir")
        .arg(mirror.join("keys"))
        .arg("--root")
        .arg(&killed.root)
        .arg("app")
        .spawn()
        .expect("it starts");
    let parent = killed.root.parent().expect("a folder").to_owned();
    let busy = || {
        let entries = fs::read_dir(&parent).expect("a folder").flatten();
        entries
            .into_iter()
            .any(|entry| entry.path().join("root/bin/busybox").exists())
    };
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !busy() {
        assert!(std::time::Instant::now() < limit, "it does not begin");
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert!(
        !killed.root.exists(),
        "a half-filled root looks like a whole one"
    );
    killed.install(&["busybox"]).done();
    let left = fs::read_dir(&parent).expect("a folder").count();
    assert_eq!(left, 2, "only the repository and the root are left");
}
