//! The script that checks a machine from inside, given to it as user data.
//!
//! The image under test needs nothing for it but a shell, busybox's tools and a service that
//! runs user data; on any cloud image the same script would run.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What runs in the guest; see there for what it sends.
const PROGRAM: &str = include_str!("guest.sh");

/// A check that runs in the guest, as a profile declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is called in the report.
    pub name: String,
    /// A script for `sh`; it passes when it exits with 0.
    pub run: String,
    /// It is killed, and has failed, after that many seconds.
    pub timeout_seconds: u64,
}

/// The user data that has a guest check itself, report to `device` (such as `/dev/ttyS1`)
/// and power off. It waits `patience_seconds` for the default runlevel to be complete.
pub fn user_data(checks: &[Check], device: &str, patience_seconds: u64) -> String {
    let mut script = String::from(
        "#!/bin/sh\n\
         # Made by `alpine-ami test`: checks this machine from inside and switches it off.\n\
         umask 077\n\
         DIR=/run/alpine-ami-test\n\
         mkdir -p \"$DIR\" || exit 1\n\
         # Of a bounded size, so that a check that prints without end fills nothing else.\n\
         mount -t tmpfs -o size=16m,mode=0700 alpine-ami-test \"$DIR\"\n",
    );
    let mut listing = String::new();
    script.push_str(&write_file("program", PROGRAM));
    for (index, check) in checks.iter().enumerate() {
        script.push_str(&write_file(&format!("check.{index}"), &check.run));
        listing.push_str(&format!("{index} {}\n", check.timeout_seconds.max(1)));
    }
    script.push_str(&write_file("checks", &listing));
    // User data runs as a service of the default runlevel, which is complete only once this
    // has returned: so the program runs on its own. It gets none of OpenRC's variables, which
    // would make rc-status and the checks believe that they are part of a service.
    script.push_str(&format!(
        "env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
         HOME=/root LANG=C setsid sh \"$DIR/program\" \"$DIR\" {device} {patience_seconds} \
         </dev/null >\"$DIR/log\" 2>&1 &\n"
    ));
    script
}

/// A command that writes `text` to a file of the guest's folder, whatever is in it.
fn write_file(name: &str, text: &str) -> String {
    let encoded = BASE64_STANDARD.encode(text);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(76)
        // Base64 is ASCII: every piece of it is text.
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "base64 -d >\"$DIR/{name}\" <<'END' || exit 1\n{}\nEND\n",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn check(name: &str, run: &str) -> Check {
        Check {
            name: name.to_owned(),
            run: run.to_owned(),
            timeout_seconds: 7,
        }
    }

    #[test]
    fn it_is_a_script_that_returns_at_once() {
        let script = user_data(&[], "/dev/ttyS1", 60);
        assert!(script.starts_with("#!/bin/sh\n"));
        assert!(
            script.contains("setsid sh \"$DIR/program\" \"$DIR\" /dev/ttyS1 60 "),
            "{script}"
        );
        assert!(script.ends_with("2>&1 &\n"));
    }

    /// Whatever a check holds, the guest's files hold it too.
    #[test]
    fn checks_arrive_unchanged() {
        let folder = tempfile::tempdir().expect("a folder");
        let long = "echo ".to_owned() + &"x".repeat(1000);
        let checks = [
            check("quotes", "echo 'it''s' \"$HOME\" `date`\nEND\n"),
            check("empty", ""),
            check("long", &long),
        ];
        let script = user_data(&checks, "/dev/ttyS1", 60);
        // The same script, with a folder of ours, no mount and no start.
        let dir = format!("DIR={}", folder.path().display());
        let script: String = script
            .replace("DIR=/run/alpine-ami-test", &dir)
            .lines()
            .filter(|line| !line.starts_with("mount ") && !line.starts_with("env "))
            .map(|line| format!("{line}\n"))
            .collect();
        let status = Command::new("sh")
            .args(["-c", &script])
            .status()
            .expect("sh");
        assert!(status.success());

        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
        for (index, check) in checks.iter().enumerate() {
            assert_eq!(read(&format!("check.{index}")), check.run);
        }
        assert_eq!(read("checks"), "0 7\n1 7\n2 7\n");
        assert_eq!(read("program"), PROGRAM);
    }
}
