//! Volumes as loop devices, which detach themselves when nobody has them open any more.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;

use super::home::Volume;

/// The kernel may take a moment to let go of a volume whose processes are gone.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(50);

/// A volume that is a loop device as long as this lives.
#[derive(Debug)]
pub(super) struct Loop {
    /// Such as `sdf`.
    pub(super) name: String,
    /// Such as `/dev/loop3`.
    pub(super) path: PathBuf,
    /// Keeps it from detaching itself; writes what is written to it into the volume's file.
    pub(super) file: File,
}

/// Makes a loop device of a volume. For the first process in an instance's namespaces, which is not
/// killed meanwhile: `losetup` cannot say from the start that a device is to detach itself.
///
/// # Errors
/// There is no device to be had, or it would be left behind.
pub(super) fn attach(volume: &Volume) -> io::Result<Loop> {
    let failed = |why: &dyn std::fmt::Display| {
        let file = volume.file.display();
        io::Error::other(format!("cannot make a loop device of {file}: {why}"))
    };
    let losetup = || std::process::Command::new("losetup");
    let made = losetup()
        .args(["--find", "--show"])
        .arg(&volume.file)
        .output();
    let made = text(made).map_err(|error| failed(&error))?;
    let path = PathBuf::from(made.trim());
    let opened = File::options().read(true).write(true).open(&path);
    // Of a device that is open, this says that its last user's end is to be its own.
    let told = losetup().arg("--detach").arg(&path).output();
    let file = opened.map_err(|error| failed(&error))?;
    text(told).map_err(|error| failed(&error))?;
    if !detaches_itself(&path) {
        return Err(failed(&"this kernel does not let it detach itself"));
    }
    Ok(Loop {
        name: short(&volume.device).to_owned(),
        path,
        file,
    })
}

/// `sdf` of `/dev/sdf`.
fn short(device: &str) -> &str {
    device.strip_prefix("/dev/").unwrap_or(device)
}

fn detaches_itself(device: &Path) -> bool {
    let name = device.file_name().unwrap_or_default();
    let state = Path::new("/sys/block").join(name).join("loop/autoclear");
    fs::read_to_string(state).is_ok_and(|state| state.trim() == "1")
}

/// Sees to it that no file is a loop device any more, and waits until that is so.
///
/// # Errors
/// One stays a loop device: somebody else has it open.
pub(super) async fn released(files: &[PathBuf]) -> Result<(), String> {
    let given_up = Instant::now() + PATIENCE;
    for file in files {
        loop {
            let devices = of(file).await?;
            if devices.is_empty() {
                break;
            }
            if Instant::now() >= given_up {
                return Err(format!(
                    "{} is still {}",
                    file.display(),
                    devices.join(", ")
                ));
            }
            // Only one that a process was killed over needs to be told.
            let told = losetup().arg("--detach").args(&devices).output().await;
            tracing::debug!(?devices, ?told, "sandbox: waiting for loop devices");
            tokio::time::sleep(RETRY).await;
        }
    }
    Ok(())
}

/// The loop devices of a file.
async fn of(file: &Path) -> Result<Vec<String>, String> {
    let mut losetup = losetup();
    losetup.args(["--noheadings", "--output", "NAME", "--associated"]);
    let listed = losetup.arg(file).output().await;
    let listed = text(listed).map_err(|error| format!("cannot list loop devices: {error}"))?;
    Ok(listed.split_whitespace().map(str::to_owned).collect())
}

fn losetup() -> Command {
    let mut command = Command::new("losetup");
    command.stdin(Stdio::null());
    command
}

/// What a program printed; its complaint where it failed.
fn text(ended: io::Result<Output>) -> io::Result<String> {
    let output = ended?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
    }
}
