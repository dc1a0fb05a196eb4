//! Packages into a root: scripts, triggers, conflicts, hostile entries, and nothing left on failure.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use alpine_ami::apk::index::{Checksum, IndexPackage, parse_index};
use alpine_ami::apk::member::compress;
use alpine_ami::apk::pack::{SigningKey, write_index};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

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
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let mirror = demo_mirror();
        let sources = [
            "--repository".to_owned(),
            text(&self.repository),
            "--keys-dir".to_owned(),
            text(&test_keys().public_dir),
            "--repository".to_owned(),
            text(&mirror.join("v3.15/main")),
            "--keys-dir".to_owned(),
            text(&mirror.join("keys")),
            "--root".to_owned(),
            text(&self.root),
        ];
        let fixed = ["packages", "install", "--arch", "x86_64"].map(str::to_owned);
        let constraints = constraints.iter().map(|&one| one.to_owned());
        run(fixed.into_iter().chain(sources).chain(constraints))
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
fn scripts_and_triggers_run_in_order_as_apk_runs_them() {
    let app = Crafted::new("app", "1-r0", "depend = busybox\ntriggers = /srv/* /nothing")
        .file("srv/data/file", "x")
        .script("pre-install", "#!/bin/sh\n[ ! -e /srv/data/file ] && echo pre >> /log\n")
        .script("post-install", "#!/bin/sh\n[ -e /srv/data/file ] && echo \"post $PWD $(umask) $(env | sort | cut -d= -f1 | tr '\\n' ' ')\" >> /log\n")
        .script("trigger", "#!/bin/sh\necho \"trigger $*\" >> /log\nip link | grep -c ' UP' >> /net; hostname >> /net; ls /proc/1 > /dev/null && ls /dev | tr '\\n' ' ' >> /net\n");
    let place = place(&[app]);
    place.install(&["app"]).done();
    let log = place.read("log");
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert_eq!((lines[0], lines[2]), ("pre", "trigger /srv/data"));
    assert!(lines[1].starts_with("post / 0022 "), "{log}");
    assert!(
        lines[1].contains(" PATH ") && !lines[1].contains("HOME"),
        "{log}"
    );
    let net = place.read("net");
    assert!(
        net.starts_with("0\nlocalhost\n"),
        "there is a network, or the host's name: {net}"
    );
    assert!(
        net.contains("null") && !net.contains("sda") && !net.contains("vda"),
        "{net}"
    );
    let database = place.read("lib/apk/db/installed");
    assert!(database.contains("P:app\nV:1-r0\nA:x86_64\n"), "{database}");
    assert!(database.contains("F:srv/data\nR:file\na:0:0:755\nZ:Q1EfatjsUqKYSrqv18O1FlA3hcIHI=\n"));
    assert_eq!(place.read("etc/apk/world"), "app\n");
    assert!(
        place
            .read("lib/apk/db/triggers")
            .contains("/srv/* /nothing\n")
    );
    assert!(!place.root.join("lib/apk/exec").exists());
    assert!(
        !place.root.join("dev/null").exists(),
        "the jail's mounts were left in the root"
    );
}

#[test]
fn a_script_that_fails_stops_everything_and_is_shown() {
    let app = Crafted::new("app", "1-r0", "depend = busybox").script(
        "post-install",
        "#!/bin/sh\necho something is wrong >&2\nexit 7\n",
    );
    place(&[app]).refused(
        &["app"],
        &[
            "the post-install script of app-1-r0 failed: it exited with status 7",
            "| something is wrong",
        ],
    );
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

/// A package whose data tar holds exactly these entries, however wrong, with right checksums.
fn hostile(dir: &Path, build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> IndexPackage {
    let mut data = tar::Builder::new(Vec::new());
    build(&mut data);
    let data = compress(&data.into_inner().expect("a tar")).expect("gzip");
    let hash = alpine_ami::digest::hex(&Sha256::digest(&data));
    let info = format!("pkgname = evil\npkgver = 1-r0\narch = x86_64\ndatahash = {hash}\n");
    let mut control = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(info.len() as u64);
    control
        .append_data(&mut header, ".PKGINFO", info.as_bytes())
        .expect("an entry");
    let mut control = control.into_inner().expect("a tar");
    control.truncate(control.len() - 1024);
    let control = compress(&control).expect("gzip");
    // Unsigned, as a package may be: the signed index vouches for it.
    let mut file = fs::File::create(dir.join("evil-1-r0.apk")).expect("a file");
    file.write_all(&control).expect("written");
    file.write_all(&data).expect("written");
    let sum = Checksum::Sha1(Sha1::digest(&control).into());
    let size = control.len() + data.len();
    let record = format!("C:{sum}\nP:evil\nV:1-r0\nA:x86_64\nS:{size}\nI:1\n");
    parse_index(&record).expect("a record").remove(0)
}

/// An entry with a name that the tar crate itself would refuse to write.
fn entry(
    builder: &mut tar::Builder<Vec<u8>>,
    name: &str,
    kind: tar::EntryType,
    link: &str,
    content: &str,
) {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder
        .append(&header, content.as_bytes())
        .expect("an entry");
}

#[test]
fn nothing_leaves_the_root() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    type Entries = &'static [(&'static str, tar::EntryType, &'static str)];
    let attacks: [(Entries, &str); 8] = [
        (&[("/tmp/alpine-ami-escaped", Regular, "")], "is absolute"),
        (&[("../alpine-ami-escaped", Regular, "")], "leaves the root"),
        (
            &[
                ("a", Directory, ""),
                ("a/../../alpine-ami-escaped", Regular, ""),
            ],
            "leaves the root",
        ),
        (
            &[
                ("out", Symlink, "/tmp"),
                ("out/alpine-ami-escaped", Regular, ""),
            ],
            "symbolic link",
        ),
        (
            &[
                ("out", Symlink, ".."),
                ("out/alpine-ami-escaped", Regular, ""),
            ],
            "symbolic link",
        ),
        (&[("hard", Link, "/etc/passwd")], "is absolute"),
        (&[("hard", Link, "../../etc/passwd")], "leaves the root"),
        (
            &[("twice", Regular, ""), ("twice", Regular, "")],
            "in the package twice",
        ),
    ];
    for (entries, message) in attacks {
        let place = place(&[]);
        let arch = place.repository.join("x86_64");
        let package = hostile(&arch, |builder| {
            for (name, kind, link) in entries {
                entry(builder, name, *kind, link, "");
            }
        });
        let key = SigningKey::read(&test_keys().private).expect("a key");
        write_index(&arch, "test", &[package], &key).expect("an index");
        place.refused(&["evil"], &["cannot unpack the package evil-1-r0", message]);
        let escaped = [
            PathBuf::from("/tmp/alpine-ami-escaped"),
            place.root.with_file_name("alpine-ami-escaped"),
        ];
        for path in escaped {
            assert!(!path.exists(), "{} was written", path.display());
        }
    }
}

#[test]
fn a_link_that_a_package_or_script_leaves_leads_us_nowhere() {
    let outside = tempfile::tempdir().expect("a folder");
    let target = outside.path().to_str().expect("UTF-8");
    // A package that makes apk's own folder a link to this machine's.
    let evil = place(&[]);
    let arch = evil.repository.join("x86_64");
    let package = hostile(&arch, |builder| {
        entry(builder, "lib", tar::EntryType::Directory, "", "");
        entry(builder, "lib/apk", tar::EntryType::Symlink, target, "");
    });
    let key = SigningKey::read(&test_keys().private).expect("a key");
    write_index(&arch, "test", &[package], &key).expect("an index");
    evil.refused(&["evil"], &["package database"]);

    // A package that makes `dev` one: the jail has its devices there, and makes the folder.
    let evil = place(&[
        Crafted::new("later", "1-r0", "depend = evil\ndepend = busybox")
            .script("post-install", "#!/bin/sh\ntrue\n"),
    ]);
    let arch = evil.repository.join("x86_64");
    let made = format!("{target}/made");
    let package = hostile(&arch, |builder| {
        entry(builder, "dev", tar::EntryType::Symlink, &made, "");
    });
    let index = fs::read(arch.join("APKINDEX.tar.gz")).expect("an index");
    let mut reader = index.as_slice();
    alpine_ami::apk::member::read_member(&mut reader, 1 << 20).expect("the signature");
    let index = alpine_ami::apk::member::read_member(&mut reader, 1 << 20).expect("the index");
    let text = tar::Archive::new(index.content.as_slice())
        .entries()
        .expect("a tar")
        .map(|entry| std::io::read_to_string(entry.expect("an entry")).expect("text"))
        .last()
        .expect("an index");
    let mut packages = parse_index(&text).expect("an index");
    packages.push(package);
    write_index(&arch, "test", &packages, &key).expect("an index");
    evil.refused(
        &["later", "evil"],
        &["cannot run scripts in namespaces", "symbolic link"],
    );

    // A script that does so once it runs.
    let script: &'static str = Box::leak(
        format!("#!/bin/sh\nmv /lib/apk /lib/old 2>/dev/null; ln -s {target} /lib/apk\n")
            .into_boxed_str(),
    );
    let app = Crafted::new("app", "1-r0", "depend = busybox").script("post-install", script);
    let again =
        Crafted::new("later", "1-r0", "depend = app").script("post-install", "#!/bin/sh\ntrue\n");
    let place = place(&[app, again]);
    assert_ne!(place.install(&["later"]).status, 0);
    let left: Vec<_> = fs::read_dir(outside.path()).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn scripts_have_no_power_over_this_machine() {
    let app = Crafted::new("app", "1-r0", "depend = busybox").script(
        "post-install",
        "#!/bin/sh\n\
         mknod /disk b 8 0 2>/dev/null && echo mknod >> /did\n\
         mount -t tmpfs x /mnt 2>/dev/null && echo mount >> /did\n\
         echo x > /proc/sys/kernel/hostname 2>/dev/null && echo sysctl >> /did\n\
         echo '{}' > /proc/1/fd/1 2>/dev/null && echo forged >> /did\n\
         echo end >> /did\n",
    );
    let place = place(&[app]);
    place.install(&["app"]).done();
    let did = place.read("did");
    for power in ["mknod", "mount", "sysctl", "forged"] {
        assert!(!did.contains(power), "{did}");
    }
    assert!(did.ends_with("end\n"), "{did}");
}

#[test]
fn what_a_script_leaves_running_is_ended() {
    let app = Crafted::new("app", "1-r0", "depend = busybox").script(
        "post-install",
        "#!/bin/sh\nsetsid sleep 1000 &\n(sleep 1000; touch /late) &\nexit 0\n",
    );
    let place = place(&[app]);
    let started = std::time::Instant::now();
    place.install(&["app"]).done();
    assert!(
        started.elapsed() < std::time::Duration::from_secs(100),
        "it waited for the script's children"
    );
}

#[test]
fn a_package_under_another_name_than_its_own_is_refused() {
    let place = place(&[]);
    let arch = place.repository.join("x86_64");
    let mut package = hostile(&arch, |builder| {
        entry(builder, "x", tar::EntryType::Regular, "", "")
    });
    package.name = "good".into();
    fs::rename(arch.join("evil-1-r0.apk"), arch.join("good-1-r0.apk")).expect("renamed");
    let key = SigningKey::read(&test_keys().private).expect("a key");
    write_index(&arch, "test", &[package], &key).expect("an index");
    place.refused(&["good"], &["calls itself evil-1-r0, its index good-1-r0"]);
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
