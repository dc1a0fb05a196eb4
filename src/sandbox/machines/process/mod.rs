//! Instances as processes: a stand-in for machines, which runs their user data and nothing else.
//!
//! An instance is a process tree in namespaces of this machine, so it takes a moment to start where
//! an emulated machine takes minutes. It boots nothing: of its image and its root volume nothing is
//! used. Its user data, if it is a script (`#!`), runs as root at the instance's first start. Each
//! of its other volumes is a loop device under the volume's EC2 name.
//!
//! It is no prison. User data is root of this machine and trusted: it is only kept from switching
//! this machine off by mistake, and from what it would leave lying about. It has this machine's
//! programs, kernel and network, so that the sandbox's endpoint is on loopback for it, too. There
//! is no metadata service.
//!
//! | part | subject |
//! |---|---|
//! | [`home`] | the instance's own folders, which are all that is left of it between two starts |
//! | [`init`] | the first process in the namespaces: what it starts, ends and answers |
//! | [`namespace`] | what the processes see of this machine |
//! | [`loops`] | volumes as loop devices |
//!
//! The sandbox and the first process talk over that one's standard input and output, a line at a
//! time. The end of its input is the end of everything in the namespaces, so that nothing outlives
//! a sandbox however it ends. Nobody needs to be there to kill or to clean up: the kernel ends all
//! processes with their first one, and detaches a loop device that nobody has open any more.

mod home;
pub mod init;
mod loops;
mod namespace;

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub(super) use home::clear;

use super::guest;
use crate::arch::Arch;
use crate::sandbox::ec2::instances::Ending;
use crate::sandbox::shared::Shared;
use crate::vm::process::find_program;

/// Programs of util-linux that are needed.
const PROGRAMS: [&str; 2] = ["unshare", "losetup"];
/// Namespaces of its own for everything but the network, in which nothing outlives `unshare`.
const UNSHARE: [&str; 8] = [
    "--mount",
    "--pid",
    "--ipc",
    "--uts",
    "--propagation=private",
    "--fork",
    "--kill-child=KILL",
    "--",
];

/// Whether this machine can run instances of an architecture (as EC2 names it) in this way.
///
/// # Errors
/// Why it cannot, for the caller to read.
pub(super) fn check(architecture: &str) -> Result<(), String> {
    let cannot = |why: &str| format!("The sandbox cannot run instances as processes: {why}");
    if guest::arch(architecture).is_none_or(|arch| Arch::host() != Some(arch)) {
        return Err(cannot(&format!(
            "this machine is {}, the image is for {architecture}; start it with --instances qemu",
            std::env::consts::ARCH
        )));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(cannot(
            "that takes root; start it as root, or with --instances qemu",
        ));
    }
    match PROGRAMS.iter().find(|name| find_program(name).is_none()) {
        Some(missing) => Err(cannot(&format!(
            "`{missing}` is not installed; it is in the package util-linux"
        ))),
        None => Ok(()),
    }
}

/// An instance that runs. Dropping it ends all its processes.
#[derive(Debug)]
pub(super) struct Process {
    /// `unshare`, which ends when the first process in the namespaces has ended with all others.
    child: Child,
    /// None once its power is cut.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// What it complained of.
    complaints: File,
    volumes: Vec<PathBuf>,
}

impl Process {
    /// Starts an instance. An error says why it does not run.
    pub(super) async fn start(shared: &Shared, id: &str) -> Result<Process, String> {
        let program = shared.machines.program.as_deref();
        let program = program.ok_or("the sandbox does not know its own program")?;
        let program = std::path::absolute(program)
            .map_err(|error| format!("cannot use {}: {error}", program.display()))?;
        let setup = home::prepare(shared, id)?;
        let volumes: Vec<PathBuf> = setup.volumes.iter().map(|it| it.file.clone()).collect();
        // Those of a sandbox that was killed end with it, but that may take them a moment.
        loops::released(&volumes).await?;
        let cannot = |error: io::Error| format!("cannot start its first process: {error}");
        let complaints = tempfile::tempfile().map_err(cannot)?;
        let mut child = Command::new("unshare")
            .args(UNSHARE)
            .arg(program)
            .args([init::SUBCOMMAND, id])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints.try_clone().map_err(cannot)?)
            // Ctrl-C is for the sandbox, which ends it in order.
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("its first process has no pipes".to_owned());
        };
        let mut process = Process {
            child,
            orders: Some(orders),
            answers: BufReader::new(answers),
            complaints,
            volumes,
        };
        let setup = serde_json::to_string(&setup).map_err(|error| cannot(error.into()))?;
        match process.ask(&setup, init::READY).await {
            Ok(()) => Ok(process),
            Err(error) => {
                // The end of its input, if it has not ended already.
                process.kill_now();
                let _ = process.wait().await;
                process.finish().await;
                Err(process.words().unwrap_or_else(|| cannot(error)))
            }
        }
    }

    /// Gives an order and waits for the answer.
    async fn ask(&mut self, order: &str, expected: &str) -> io::Result<()> {
        self.tell(order).await?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).await?;
        match answer.trim_end() == expected {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "it answered `{}`, not `{expected}`",
                answer.trim_end()
            ))),
        }
    }

    async fn tell(&mut self, order: &str) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let orders = self.orders.as_mut().ok_or_else(gone)?;
        orders.write_all(format!("{order}\n").as_bytes()).await?;
        orders.flush().await
    }

    /// Waits until no process of it is left.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sees to it, after its end, that its volumes are loop devices no more.
    pub(super) async fn finish(&mut self) {
        if let Err(error) = loops::released(&self.volumes).await {
            tracing::warn!(%error, "sandbox: a volume is still a loop device");
        }
    }

    /// How it ended, by what [`Process::wait`] said.
    pub(super) fn ending(&self, status: io::Result<ExitStatus>, was_killed: bool) -> Ending {
        match status {
            Ok(status) if status.success() || was_killed => Ending::Off,
            Ok(status) => Ending::Broken(format!(
                "its first process ended ({status}): {}",
                self.words().as_deref().unwrap_or("it said nothing")
            )),
            Err(error) => Ending::Broken(error.to_string()),
        }
    }

    /// Has its processes asked to end.
    pub(super) async fn press_power_button(&mut self) -> io::Result<()> {
        self.tell(init::SHUT_DOWN).await
    }

    /// Stops its processes where they are. What they have written to a volume's device is in the
    /// volume's file then, but for what a system call was just writing; a file system that they
    /// mounted goes on being written back by the kernel.
    pub(super) async fn pause(&mut self) -> io::Result<()> {
        self.ask(init::PAUSE, init::PAUSED).await
    }

    /// Lets processes go on that were paused.
    pub(super) async fn resume(&mut self) -> io::Result<()> {
        self.tell(init::RESUME).await
    }

    /// Has everything in the namespaces killed; that it is gone is for [`Process::wait`] to say.
    pub(super) fn kill_now(&mut self) {
        // The first process ends with its input, and all others with it. Killing it instead could
        // come between the attachment of a loop device and its being told to detach itself.
        self.orders = None;
    }

    /// What its first process complained of, if it did, on one line.
    fn words(&self) -> Option<String> {
        let mut words = String::new();
        let mut file = &self.complaints;
        // Whatever can be read of it is better than nothing.
        let _ = file.rewind().and_then(|()| file.read_to_string(&mut words));
        let words = words.trim().replace('\n', "; ");
        (!words.is_empty()).then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_architecture_is_refused() {
        let other = match Arch::host() {
            Some(Arch::Aarch64) => "x86_64",
            _ => "arm64",
        };
        for architecture in [other, "i386"] {
            let why = check(architecture).expect_err("another one");
            let expected = format!("the image is for {architecture}; start it with --instances");
            assert!(why.contains(&expected), "{why}");
        }
    }
}
