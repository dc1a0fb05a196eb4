//! Packages' scripts: when and how they run, what they see, and what becomes of those that fail.

use std::process::Command;

use super::place;
use crate::support::{Crafted, Ended, program};

#[test]
fn scripts_and_triggers_run_in_order_as_apk_runs_them() {
    let app = Crafted::new("app", "1-r0", "depend = busybox\ntriggers = /srv/* /nothing")
        .file("srv/data/file", "x")
        .script("pre-install", "#!/bin/sh\n[ ! -e /srv/data/file ] && echo \"pre $*\" >> /log\n")
        .script("post-install", "#!/bin/sh\n[ -e /srv/data/file ] && echo \"post $* $PWD $(umask) $(env | sort | cut -d= -f1 | tr '\\n' ' ')\" >> /log\n")
        .script("trigger", "#!/bin/sh\necho \"trigger $*\" >> /log\nip link | grep -c ' UP' >> /net; hostname >> /net; ls /proc/1 > /dev/null && ls /dev | tr '\\n' ' ' >> /net\n");
    let place = place(&[app]);
    place.install(&["app"]).done();
    let log = place.read("log");
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert_eq!((lines[0], lines[2]), ("pre 1-r0", "trigger /srv/data"));
    assert!(lines[1].starts_with("post 1-r0 / 0022 "), "{log}");
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
fn a_script_that_hangs_is_stopped_at_the_deadline_and_named() {
    let app = Crafted::new("app", "1-r0", "depend = busybox").script(
        "post-install",
        "#!/bin/sh\necho waiting for nothing\ntrap '' TERM INT HUP\nwhile :; do sleep 1000; done\n",
    );
    let place = place(&[app]);
    let mut args = place.args(&["app"]);
    args.extend(["--script-deadline", "1"].map(str::to_owned));
    let error = crate::support::run(args).failed(1);
    for words in [
        "the post-install script of app-1-r0 failed",
        "still running at its deadline",
        "| waiting for nothing",
    ] {
        assert!(error.contains(words), "{error}");
    }
    assert!(!place.root.exists(), "a half-filled root was left");
}

#[test]
fn scripts_see_nothing_of_whoever_started_them() {
    let app = Crafted::new("app", "1-r0", "depend = busybox").script(
        "post-install",
        "#!/bin/sh\n\
         ls /proc/$$/fd > /files\n\
         env > /environment; cat /proc/[0-9]*/environ >> /environment 2>/dev/null\n\
         ls -d /proc/[0-9]* > /processes\n\
         cd /proc; cat cmdline keys kallsyms interrupts partitions diskstats loadavg bus/*/* > /telling 2>/dev/null\n\
         cat /proc/mounts > /mounted || exit 1\n\
         cat /proc/net/dev | grep -v '|' | cut -d: -f1 | tr -d ' ' > /network\n\
         ls / > /top; ls /sys >> /top 2>/dev/null\n\
         cat /proc/self/mountinfo | cut -d' ' -f5 > /mounts\n",
    );
    let place = place(&[app]);
    // A shell that has a folder of this machine open, and a secret in its environment.
    let ready = program();
    let mut command = Command::new("bash");
    command
        .args(["-c", "exec 7</ && exec \"$0\" \"$@\""])
        .arg(ready.get_program())
        .args(place.args(&["app"]))
        .env("AWS_SECRET_ACCESS_KEY", "a-secret");
    for (name, value) in ready.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Ended::from(command.output().expect("it starts")).done();

    let files = place.read("files");
    assert!(files.lines().any(|file| file == "1"), "{files}");
    assert!(!files.lines().any(|file| file == "7"), "{files}");
    let environment = place.read("environment");
    assert!(environment.contains("PATH="), "{environment}");
    assert!(!environment.contains("a-secret"), "{environment}");
    // The jail itself, the script, and `ls`.
    let processes = place.read("processes");
    assert!(processes.lines().count() <= 3, "{processes}");
    assert_eq!(place.read("telling"), "");
    assert_ne!(place.read("mounted"), "");
    let network = place.read("network");
    assert!(network.contains("lo\n"), "{network}");
    for interface in std::fs::read_dir("/sys/class/net").expect("interfaces") {
        let interface = interface.expect("an interface");
        let state = std::fs::read_to_string(interface.path().join("operstate"));
        let name = interface.file_name().to_string_lossy().into_owned();
        let is_up = state.is_ok_and(|state| state.trim() == "up");
        assert!(
            !is_up || !network.lines().any(|line| line == name),
            "{network}"
        );
    }
    let top = place.read("top");
    assert!(!top.contains("home") && !top.contains("kernel"), "{top}");
    let mounts = place.read("mounts");
    let known = ["/", "/dev", "/proc"];
    for mount in mounts.lines() {
        let is_known =
            known.contains(&mount) || mount.starts_with("/dev/") || mount.starts_with("/proc/");
        assert!(is_known, "{mounts}");
    }
}
