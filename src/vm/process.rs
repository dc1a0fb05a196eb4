//! A program that cannot outlive us: it ends when we drop it, and when we are killed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

/// A running program. Dropping it kills the program.
#[derive(Debug)]
pub struct Supervised {
    pid: Pid,
    pidfd: OwnedFd,
    exit: watch::Receiver<Option<ExitStatus>>,
}

/// What to start.
#[derive(Debug)]
pub struct Program<'a> {
    /// Path of the program.
    pub path: &'a Path,
    /// Its arguments.
    pub arguments: &'a [OsString],
    /// Variables set for it, besides our own.
    pub environment: &'a [(&'a str, &'a OsStr)],
    /// Where its standard output and standard error go.
    pub output: File,
}

impl Supervised {
    /// Starts a program in a process group of its own, so that Ctrl-C reaches only us and
    /// we end it in order.
    ///
    /// A signal from the kernel when we die (`PR_SET_PDEATHSIG`) is had through `setpriv` of
    /// util-linux, since setting it ourselves takes unsafe code. That signal comes when the
    /// *thread* ends that started the program, so that thread stays and waits for the program.
    /// Where there is no such `setpriv` the program runs without.
    pub fn start(program: Program<'_>) -> io::Result<Supervised> {
        let mut command = match dying_with_us() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]);
                command.arg(program.path);
                command
            }
            None => {
                tracing::warn!(
                    "no `setpriv --pdeathsig` here (Debian package util-linux): \
                     a virtual machine goes on running if this program is killed"
                );
                Command::new(program.path)
            }
        };
        command
            .args(program.arguments)
            .envs(program.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(program.output.try_clone()?)
            .stderr(program.output)
            .process_group(0);

        let (report_start, started) = mpsc::channel();
        let (report_exit, exit) = watch::channel(None);
        std::thread::Builder::new()
            .name("vm-supervisor".to_owned())
            .spawn(move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => {
                        let _ = report_start.send(Err(error));
                        return;
                    }
                };
                // Before it is waited for, its number cannot belong to another process.
                let pid = Pid::from_child(&child);
                match pidfd_open(pid, PidfdFlags::empty()) {
                    Ok(pidfd) => {
                        let _ = report_start.send(Ok((pid, pidfd)));
                    }
                    Err(error) => {
                        let _ = child.kill();
                        let _ = report_start.send(Err(error.into()));
                    }
                }
                if let Ok(status) = child.wait() {
                    let _ = report_exit.send(Some(status));
                }
            })?;
        let (pid, pidfd) = started
            .recv()
            .map_err(|_| io::Error::other("the supervising thread ended"))??;
        Ok(Supervised { pid, pidfd, exit })
    }

    /// Waits until the program ends.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        let mut exit = self.exit.clone();
        let status = exit
            .wait_for(Option::is_some)
            .await
            .map_err(|_| io::Error::other("the program could not be waited for"))?;
        status.ok_or_else(|| io::Error::other("the program has no exit status"))
    }

    /// The program's number, which is another program's once this one has ended.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Kills the program. That it is gone is for [`Supervised::wait`] to say: one that
    /// hangs in the kernel stays until the kernel lets go of it.
    pub fn kill(&self) {
        // The only failure is that it is gone already.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `setpriv`, where it is the one that can have a program killed when its parent dies;
/// busybox has another of that name.
fn dying_with_us() -> Option<PathBuf> {
    let setpriv = find_program("setpriv")?;
    let works = Command::new(&setpriv)
        .args(["--pdeathsig", "KILL", "--", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    works.then_some(setpriv)
}

/// The first program of that name in `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| {
            rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Supervised {
        Supervised::start(Program {
            path: &find_program("sleep").expect("sleep"),
            arguments: &["600".into()],
            environment: &[],
            output: tempfile::tempfile().expect("a file"),
        })
        .expect("started")
    }

    #[tokio::test]
    async fn a_killed_program_has_ended() {
        use std::os::unix::process::ExitStatusExt;
        let program = sleeper();
        program.kill();
        assert_eq!(program.wait().await.expect("a status").signal(), Some(9));
    }

    #[tokio::test]
    async fn dropping_kills() {
        let program = sleeper();
        let mut exit = program.exit.clone();
        drop(program);
        let status = *exit.wait_for(Option::is_some).await.expect("it ended");
        assert!(!status.expect("a status").success());
    }

    #[test]
    fn a_program_that_is_not_there_is_not_found() {
        assert_eq!(find_program("no-such-program-anywhere"), None);
    }
}
