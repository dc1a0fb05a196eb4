//! Images of what is locked, made of the demo mirror's packages.

use std::fs;
use std::path::Path;

use alpine_ami::digest::sha256;
use alpine_ami::image::manifest::Manifest;

use crate::instance_build::yard::{GOOD, Worker, Yard};
use crate::support::{Ended, demo_mirror, program};

/// What was built once is built again, to the byte, when no mirror has anything of it any more.
#[test]
fn the_same_lock_gives_the_same_image_without_any_mirror() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = demo_mirror().join("keys");
    let run = |args: &[&str], mirror: &Path| {
        let mut command = program();
        command
            .current_dir(folder.path())
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .args(args)
            .args(["--arch", "x86_64", "--keys-dir"])
            .arg(&keys)
            .arg("--mirror")
            .arg(mirror);
        Ended::from(command.output().expect("it starts"))
    };
    // Without a lock: the newest, locked for this build.
    run(&["build", "base", "--out", "newest"], &demo_mirror()).done();
    run(&["lock", "base"], &demo_mirror()).done();
    let gone = folder.path().join("gone");
    run(&["build", "base", "--locked", "--out", "locked"], &gone).done();

    let manifest = |out: &str| Manifest::read(&folder.path().join(out)).expect("a manifest");
    let (newest, locked) = (manifest("newest"), manifest("locked"));
    assert_eq!(newest.image, locked.image);
    assert_eq!(newest.lock, locked.lock);
    let info = locked.lock.expect("a lock");
    assert_eq!(info.indexes[0].repository, "v3.15/main");
    assert!(info.indexes[0].date.is_some(), "{info:?}");
    let text = |path: &str| fs::read(folder.path().join(path)).expect(path);
    let lock = text("locks/base-x86_64.lock.toml");
    assert_eq!(info.sha256, sha256(&lock));
    assert_eq!(text("locked/lock.toml"), lock);
    assert_eq!(text("newest/lock.toml"), lock);
}

#[test]
fn a_build_instance_is_told_the_lock() {
    // A worker that says which lock it was given.
    let tell = "manifest['alpine'] = hashlib.sha256(job['lock'].encode()).hexdigest()\n";
    let worker = Worker::new(&format!("{tell}{GOOD}"));
    let yard = Yard::new(&worker.path);
    let refused = yard.run(&["--locked"]).failed(2);
    assert!(refused.contains("there is no lock"), "{refused}");

    let mirror = demo_mirror();
    let mut lock = yard.house.program();
    lock.args(["lock", "base", "--arch", "x86_64", "--mirror"])
        .arg(&mirror)
        .arg("--keys-dir")
        .arg(mirror.join("keys"));
    Ended::from(lock.output().expect("it starts")).done();
    let file = yard.house.folder().join("locks/base-x86_64.lock.toml");
    // A date that no index has: what was resolved anew would have another.
    let text = fs::read_to_string(&file).expect("a lock");
    let at = text.find("index_date = \"20").expect("a date") + "index_date = \"20".len();
    let marked = format!("{}01{}", &text[..at], &text[at + 2..]);
    fs::write(&file, &marked).expect("written");
    yard.run(&["--locked"]).done();
    let manifest = Manifest::read(&yard.out()).expect("a manifest");
    assert_eq!(manifest.alpine, sha256(marked.as_bytes()));
    let beside = fs::read_to_string(yard.out().join("lock.toml")).expect("a lock");
    assert_eq!(beside, marked);
}
