//! Installing as an ordinary user, in a user namespace with sub-ids.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use super::{Place, place};
use crate::support::{Crafted, Ended, program, skip, test_keys};

/// An id that no system gives out by itself.
const USER: u32 = 61_234;
/// The first of its sub-ids, which stands for 1 in the namespace.
const SUB_IDS: u32 = 7_000_000;

fn owned() -> Place {
    let app = Crafted::new("app", "1-r0", "depend = busybox")
        .file("srv/data", "x")
        .script(
            "post-install",
            "#!/bin/sh\nid -u > /who\nchown 42:43 /srv/data && chmod 4755 /srv/data\n",
        );
    place(&[app])
}

/// Runs the program as a user of its own, who has what `sub_ids` says, in a folder of its own.
///
/// A mount namespace gives this process, which is root, files about users of its own.
fn run_as_user(place: &Place, sub_ids: &str) -> Ended {
    let home = place.root.parent().expect("a folder");
    fs::set_permissions(home, fs::Permissions::from_mode(0o755)).expect("a mode");
    chown(home, Some(USER), Some(USER)).expect("an owner");
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let line = format!("builder:x:{USER}:{USER}::/nonexistent:/bin/sh\n");
    fs::write(home.join("passwd"), users + &line).expect("a file");
    fs::write(home.join("sub-ids"), sub_ids).expect("a file");
    // Those of the tests lie in a folder of root's alone.
    let keys = home.join("keys");
    fs::create_dir(&keys).expect("a folder");
    for key in fs::read_dir(&test_keys().public_dir).expect("keys") {
        let key = key.expect("a key");
        fs::copy(key.path(), keys.join(key.file_name())).expect("a copy");
    }
    let script = "mount --bind passwd /etc/passwd && mount --bind sub-ids /etc/subuid && \
                  mount --bind sub-ids /etc/subgid || exit 99\n\
                  user=$1; shift\n\
                  exec setpriv --reuid=$user --regid=$user --clear-groups -- \"$@\"\n";
    let output = Command::new("unshare")
        .args(["--mount", "--propagation=private", "sh", "-c", script, "sh"])
        .arg(USER.to_string())
        .arg(program().get_program())
        .args(place.args_with_keys(&keys, &["app"]))
        .current_dir(home)
        .env("HOME", home)
        .env("XDG_CACHE_HOME", home.join("cache"))
        .output()
        .expect("unshare");
    Ended::from(output)
}

/// Why this machine cannot have an ordinary user with sub-ids, if so.
fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("making a user for it needs root".to_owned());
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        if !Path::new(file).exists() {
            return Some(format!("there is no {file}"));
        }
    }
    let probe = Command::new("setpriv")
        .args(["--reuid=61234", "--clear-groups", "--"])
        .args(["unshare", "--user", "--map-root-user", "true"])
        .output();
    match probe {
        Ok(output) if output.status.success() => {}
        Ok(output) => return Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => return Some(error.to_string()),
    }
    let reached = Command::new("setpriv")
        .args(["--reuid=61234", "--clear-groups", "--"])
        .args(["test", "-x"])
        .arg(program().get_program())
        .status();
    if !reached.is_ok_and(|status| status.success()) {
        return Some("this checkout is in a folder that others cannot enter".to_owned());
    }
    let has_mapper = Command::new("sh")
        .args(["-c", "command -v newuidmap && command -v newgidmap"])
        .output()
        .is_ok_and(|output| output.status.success());
    (!has_mapper).then(|| "newuidmap and newgidmap are not installed".to_owned())
}

#[test]
fn an_ordinary_user_installs_the_same_as_root() {
    if let Some(why) = obstacle() {
        skip("an_ordinary_user_installs_the_same_as_root", &why);
        return;
    }
    let roots = owned();
    roots.install(&["app"]).done();
    let users = owned();
    run_as_user(&users, &format!("builder:{SUB_IDS}:65536\n")).done();

    assert_eq!(users.read("who"), "0\n");
    for file in [
        "lib/apk/db/installed",
        "lib/apk/db/triggers",
        "etc/apk/world",
    ] {
        assert_eq!(users.read(file), roots.read(file), "{file}");
    }
    let owner = |place: &Place, file: &str| {
        let meta = fs::metadata(place.root.join(file)).expect(file);
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    };
    assert_eq!(owner(&roots, "srv/data"), (42, 43, 0o4755));
    // Number 1 of the namespace is the first of the sub-ids.
    let (uid, gid) = (SUB_IDS + 41, SUB_IDS + 42);
    assert_eq!(owner(&users, "srv/data"), (uid, gid, 0o4755));
    assert_eq!(owner(&users, "bin/busybox").0, USER);
}

#[test]
fn a_user_without_sub_ids_is_told_what_is_missing() {
    if let Some(why) = obstacle() {
        skip("a_user_without_sub_ids_is_told_what_is_missing", &why);
        return;
    }
    let place = owned();
    let error = run_as_user(&place, "").failed(1);
    assert!(error.contains("needs root or user namespaces"), "{error}");
    assert!(
        error.contains("/etc/subuid") && error.contains("newuidmap"),
        "{error}"
    );
    assert!(!place.root.exists(), "a half-filled root was left");
}
