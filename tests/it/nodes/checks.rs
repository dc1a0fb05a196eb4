//! The checks that images carry, run by a shell with a stand-in for what they look at: each fails where it
//! has to, and says why.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use super::plans;

/// A folder in the place of an image's root, with programs that answer as written.
struct Image {
    dir: tempfile::TempDir,
}

impl Image {
    fn new() -> Image {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(dir.path().join("root/bin")).expect("a folder");
        fs::create_dir(dir.path().join("programs")).expect("a folder");
        Image { dir }
    }

    fn write(&self, path: &str, mode: u32, text: &str) {
        let path = self.dir.path().join(path);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// What `program` prints.
    fn answers(&self, program: &str, text: &str) {
        let script = format!("#!/bin/sh\ncat <<'END'\n{text}\nEND\n");
        self.write(&format!("programs/{program}"), 0o755, &script);
    }

    /// Runs a check of the nodes, each path that it names being one of `paths` here.
    fn check(&self, name: &str, paths: &[(&str, &str)]) -> Output {
        let mut script = plans()[0].profile.checks[name].run.clone();
        for (theirs, ours) in paths {
            let ours = self.dir.path().join(ours).display().to_string();
            assert!(script.contains(theirs), "{name} has no {theirs}");
            script = script.replace(theirs, &ours);
        }
        let programs = self.dir.path().join("programs");
        let path = std::env::var("PATH").expect("a PATH");
        Command::new("sh")
            .args(["-c", &script])
            .env("PATH", format!("{}:{path}", programs.display()))
            .output()
            .expect("sh")
    }
}

const DECLARED: (&str, &str) = ("/usr/share/alpine-ami/declared", "declared");

#[track_caller]
fn passes(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

#[track_caller]
fn fails(output: &Output, word: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains(word), "{said}");
}

#[test]
fn an_open_port_must_be_declared() {
    let image = Image::new();
    let check = || image.check("nothing-listens-but-what-is-declared", &[DECLARED]);
    let head = "Active Internet connections (only servers)\n\
                Proto Recv-Q Send-Q Local Address           Foreign Address         State\n";
    let ssh = "tcp        0      0 0.0.0.0:22              0.0.0.0:*               LISTEN\n\
               tcp        0      0 :::22                   :::*                    LISTEN\n";
    let kubelet = "tcp        0      0 127.0.0.1:10248         0.0.0.0:*               LISTEN\n";
    let dns = "udp        0      0 0.0.0.0:53              0.0.0.0:*\n";
    image.answers("netstat", &format!("{head}{ssh}{kubelet}"));
    image.write("declared", 0o644, "listening='tcp/22 loopback'\n");
    passes(&check());
    image.write("declared", 0o644, "listening='tcp/22'\n");
    fails(&check(), "loopback is open and not declared");
    image.write("declared", 0o644, "listening='loopback'\n");
    fails(&check(), "tcp/22 is open and not declared");
    image.answers("netstat", &format!("{head}{ssh}{dns}"));
    image.write("declared", 0o644, "listening='tcp/22 loopback'\n");
    fails(&check(), "udp/53 is open and not declared");
    image.answers("netstat", head);
    image.write("declared", 0o644, "listening=''\n");
    passes(&check());
}

#[test]
fn a_program_with_more_rights_must_be_declared() {
    let image = Image::new();
    let name = "nothing-is-setuid-but-what-is-declared";
    let check = || image.check(name, &[DECLARED, ("/ -xdev", "root")]);
    let root = image.dir.path().join("root");
    let doas = root.join("bin/doas").display().to_string();
    image.write("root/bin/doas", 0o4755, "");
    image.write("root/bin/plain", 0o755, "");
    image.write("declared", 0o644, &format!("setuid='/bin/bbsuid {doas}'\n"));
    passes(&check());
    image.write("root/bin/wall", 0o2755, "");
    fails(&check(), "/bin/wall");
    image.write("root/bin/wall", 0o755, "");
    image.write("declared", 0o644, "setuid='/bin/bbsuid'\n");
    fails(&check(), "/bin/doas");
}

#[test]
fn a_password_is_found() {
    let image = Image::new();
    let check = || image.check("nobody-has-a-password", &[("/etc/shadow", "shadow")]);
    image.write(
        "shadow",
        0o600,
        "root:!:1:0:::::\nalpine:*:1:0:99999:7:::\n",
    );
    passes(&check());
    image.write("shadow", 0o600, "root:!:1:0:::::\nguest:$6$a$b:1:0:::::\n");
    fails(&check(), "guest has one");
    image.write("shadow", 0o600, "root::1:0:::::\n");
    fails(&check(), "root has one");
}

#[test]
fn what_all_may_write_is_found() {
    let image = Image::new();
    let check = || image.check("nothing-is-writable-for-all", &[("/ -xdev", "root")]);
    image.write("root/bin/plain", 0o664, "");
    fs::create_dir(image.dir.path().join("root/tmp")).expect("a folder");
    let mode = |path: &str, mode: u32| {
        let path = image.dir.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    // Where everybody has files, nobody removes another's.
    mode("root/tmp", 0o1777);
    passes(&check());
    mode("root/tmp", 0o777);
    fails(&check(), "root/tmp");
    mode("root/tmp", 0o755);
    mode("root/bin/plain", 0o666);
    fails(&check(), "bin/plain");
}
