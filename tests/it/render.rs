//! `render`: the same plan gives the same files, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::{program, run};

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("below").display().to_string();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

#[test]
fn two_runs_give_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let args = ["render", "kubezero-worker", "--arch", "x86_64", "--out"];
    run(args.iter().map(AsRef::as_ref).chain([one.as_os_str()])).done();
    // Another folder, umask, locale and time zone.
    let rendered = Command::new("sh")
        .args(["-c", "umask 077; cd /; exec \"$0\" \"$@\""])
        .arg(program().get_program())
        .args(args)
        .arg(&other)
        .env("TZ", "Asia/Tokyo")
        .env("LC_ALL", "C")
        .output()
        .expect("it starts");
    assert!(rendered.status.success());
    let (one, other) = (files(&one), files(&other));
    assert!(
        one.len() > 20 && one.contains_key("overlay/etc/fstab"),
        "{:?}",
        one.keys()
    );
    assert_eq!(one, other);
    let packages = std::str::from_utf8(&one["world"]).expect("UTF-8");
    for asked in [
        "chrony",
        "kubelet@kubezero~1.22.8",
        "cri-o@kubezero>=1.22.3",
        "aws-iam-authenticator@kubezero~0.5.7",
    ] {
        assert!(packages.lines().any(|line| line == asked), "{packages}");
    }
    assert_eq!(
        one["overlay/etc/fstab"],
        b"LABEL=root\t/\text4\trw,noatime\t0 1\n"
    );
}

#[test]
fn values_reach_the_templates_and_the_digest() {
    let dir = tempfile::tempdir().expect("a folder");
    let render = |set: &str| {
        let out = dir.path().join("plan");
        let out = out.to_str().expect("UTF-8");
        run([
            "render", "base", "--out", out, "--set", set, "--arch", "x86_64",
        ])
        .done();
        let plan = files(Path::new(out));
        (
            plan["overlay/etc/chrony/chrony.conf"].clone(),
            plan["digest"].clone(),
        )
    };
    let (conf, digest) = render("ntp_server=10.0.0.1");
    assert!(
        String::from_utf8(conf)
            .expect("UTF-8")
            .contains("server 10.0.0.1 prefer")
    );
    assert_ne!(digest, render("ntp_server=10.0.0.2").1);
}

#[test]
fn a_folder_with_something_else_in_it_is_not_touched() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("mine"), "precious").expect("a file");
    let out = dir.path().to_str().expect("UTF-8");
    let error = run(["render", "base", "--out", out]).failed(1);
    assert!(
        error.contains("is not empty and does not hold a rendered plan"),
        "{error}"
    );
    assert_eq!(files(dir.path()).len(), 1);
    // A file of the right name does not make it a plan.
    fs::write(dir.path().join("digest"), "of whisky").expect("a file");
    run(["render", "base", "--out", out]).failed(1);
    assert_eq!(files(dir.path()).len(), 2);
}

#[test]
fn an_undefined_name_in_a_template_is_an_error_with_its_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    };
    write(
        "c.toml",
        "[paths]\nprofiles = [\"p\"]\noverlays = [\"o\"]\n",
    );
    write(
        "p/mine.toml",
        "include = [\"base\"]\noverlays = [\"mine\"]\n",
    );
    write("o/mine/overlay.toml", "");
    write("o/mine/root/etc/x.tera", "fine\nserver {{ ntp_sever }}\n");
    let config = dir.path().join("c.toml");
    let out = dir.path().join("out");
    let args = [
        "--config",
        config.to_str().expect("UTF-8"),
        "render",
        "mine",
        "--out",
        out.to_str().expect("UTF-8"),
    ];
    let error = run(args).failed(2);
    assert!(
        error.contains("o/mine/root/etc/x.tera:2:11: Variable `ntp_sever` is not defined\n  next: did you mean `ntp_server`?"),
        "{error}"
    );
    assert!(!out.exists());
}

/// Whether a file says of itself that it is a shell script, or a part of one.
fn is_shell(text: &[u8]) -> bool {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.starts_with(b"# shellcheck shell=")
        || first.starts_with(b"#!") && (first.ends_with(b"sh") || first.ends_with(b"openrc-run"))
}

/// Every script that ships, as the image has it: templates are rendered first. And as it lies here,
/// for overlays that this one profile does not have; and those that test them.
#[test]
fn shellcheck_finds_nothing_in_any_script() {
    let dir = tempfile::tempdir().expect("a folder");
    let plan = dir.path().join("plan");
    let args = [
        "render",
        "kubezero-controller",
        "--arch",
        "x86_64",
        "--out",
        plan.to_str().expect("UTF-8"),
    ];
    run(args).done();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut scripts: Vec<_> = ["src/image/init.sh", "src/vm/guest.sh", ".ci/run"]
        .map(|path| checkout.join(path))
        .into();
    for folder in [
        plan.join("overlay"),
        checkout.join("overlays"),
        checkout.join("scripts"),
        checkout.join("tests/services"),
    ] {
        let found = files(&folder);
        let shell = found
            .iter()
            .filter(|(name, bytes)| !name.ends_with(".tera") && is_shell(bytes));
        scripts.extend(shell.map(|(name, _)| folder.join(name)));
    }
    assert!(scripts.len() > 10, "{scripts:?}");
    let is_bash =
        |path: &Path| fs::read(path).is_ok_and(|text| text.starts_with(b"#!/usr/bin/env bash"));
    let (bash, sh): (Vec<_>, Vec<_>) = scripts.iter().partition(|path| is_bash(path));
    // busybox's shell is an ash like dash: it has `local`, which POSIX has not.
    for (shell, scripts) in [("bash", bash), ("dash", sh)] {
        // Libraries are named from the checkout's root, and looked into from there.
        let checked = Command::new("shellcheck")
            .current_dir(checkout)
            .args(["--external-sources", "--severity=warning", "--shell", shell])
            .args(&scripts)
            .output()
            .expect("shellcheck");
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
    }
}
