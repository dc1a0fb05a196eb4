//! Becoming root where packages' owners matter: an ordinary user gets a user namespace with the
//! sub-ids that the system granted.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::program;
use crate::ui::Failure;

/// Set for the program inside the namespace, so that it does not enter another.
const ENTERED: &str = "ALPINE_AMI_USER_NAMESPACE";
const UNSHARE: [&str; 3] = ["--user", "--map-root-user", "--map-auto"];

/// Where this process is not root, becomes the same command as root of a new user namespace, and
/// does not return.
///
/// # Errors
/// Neither root nor a user namespace is to be had.
pub(super) fn become_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() || std::env::var_os(ENTERED).is_some() {
        return Ok(());
    }
    let probe = Command::new("unshare")
        .args(UNSHARE)
        .args(["--", "true"])
        .output();
    let why = match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("cannot start `unshare` (util-linux): {error}")),
    };
    if let Some(why) = why {
        // unshare ends some messages in the text of an errno that is no error.
        let why = why.replace(": Success", "").replace('\n', "; ");
        return Err(Failure::failed(
            format!("this needs root or user namespaces, and there is neither: {why}"),
            Some("run it as root, or give this user sub-ids (/etc/subuid, /etc/subgid), newuidmap (Debian's package uidmap) and the right to user namespaces".to_owned()),
        ));
    }
    // In this process's place, so that signals to it reach the work itself.
    let error = Command::new("unshare")
        .args(UNSHARE)
        .arg("--")
        .arg(program()?)
        .args(std::env::args_os().skip(1))
        .env(ENTERED, "1")
        .exec();
    Err(Failure::failed(
        format!("cannot start `unshare`: {error}"),
        None,
    ))
}
