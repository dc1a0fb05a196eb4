//! Where packages' scripts and build tools run: a root with namespaces of its own and no network.
//!
//! The jail is this program again, started by util-linux's `unshare` in new mount, PID, network,
//! IPC and UTS namespaces. It makes the root its `/`, lets go of everything else, and then runs
//! what it is asked to over its standard input, one JSON line a request. When its parent goes, or
//! is killed, the kernel ends everything in it.
//!
//! What is in it sees the root, a few devices and its own processes: no network, no other file or
//! process of this machine, no open file of this program's, and nothing of its environment.

mod inside;

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{self, Pid, Signal};
use serde::{Deserialize, Serialize};

pub use self::inside::serve;

/// The hidden subcommand that this program is started with inside the namespaces.
pub const SUBCOMMAND: &str = "jail";
/// What its parent waits for.
const READY: &str = "ready";

/// A jail that does not come up or breaks down.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The namespaces cannot be made.
    #[error("cannot run scripts in namespaces of their own: {why}")]
    Start {
        /// Why.
        why: String,
    },
    /// The jail's process went away.
    #[error("the process that runs scripts in {root} went away: {source}")]
    Lost {
        /// The root.
        root: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where apk puts scripts to run them (apk-tools, `src/package.c`).
const SCRIPT_DIR: &str = "/lib/apk/exec";

/// A program to run in a jail.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    /// Path inside the root.
    program: String,
    /// What is written there before and removed afterwards, by whoever is inside already: from
    /// there no symbolic link of the root leads out of it.
    script: Option<Vec<u8>>,
    /// Its arguments.
    args: Vec<String>,
    /// After this it is killed, in milliseconds.
    deadline_ms: u64,
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// What it wrote to standard output and error, cut at 1 MiB.
    pub output: String,
    /// Exit status, signal or deadline.
    pub end: End,
}

/// The end of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It exited.
    Exited(i32),
    /// It was killed by a signal.
    Signalled(i32),
    /// It was still running at its deadline.
    TimedOut,
    /// It could not be started.
    NotStarted(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Exited(status) => write!(f, "it exited with status {status}"),
            End::Signalled(signal) => write!(f, "it was killed by signal {signal}"),
            End::TimedOut => f.write_str("it was still running at its deadline and was killed"),
            End::NotStarted(why) => write!(f, "it could not be started: {why}"),
        }
    }
}

/// Process ids of the running jails, for [`kill_all`].
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every running jail with all that is in it; whoever waits for one sees that it is gone.
pub fn kill_all() {
    for pid in running().iter() {
        // One that is gone already needs no killing.
        let _ = process::kill_process(*pid, Signal::KILL);
    }
}

/// A running jail.
#[derive(Debug)]
pub struct Jail {
    root: PathBuf,
    child: Child,
    requests: Option<ChildStdin>,
    outcomes: BufReader<ChildStdout>,
    is_ready: bool,
}

fn start_error(why: String) -> JailError {
    JailError::Start { why }
}

impl Jail {
    /// Starts a jail in `root` and waits until it is there. `program` is this program's executable.
    ///
    /// # Errors
    /// No `unshare`, or no right to make namespaces.
    pub fn start(program: &Path, root: &Path) -> Result<Jail, JailError> {
        let mut jail = Jail::spawn(program, root)?;
        jail.await_ready()?;
        Ok(jail)
    }

    /// Starts a jail and does not wait for it: the first request does.
    ///
    /// # Errors
    /// `dev` and `proc` cannot be made in the root, or there is no `unshare`.
    pub fn spawn(program: &Path, root: &Path) -> Result<Jail, JailError> {
        // Before anybody else can make them, so that they are the same on each run.
        inside::make_mount_points(root)
            .map_err(|error| start_error(inside::not_entered(root, &error)))?;
        // `setpriv` ends the jail when this process is killed, which no clean-up would survive.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig=KILL", "--", "unshare"])
            .args(["--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup"])
            .args(["--fork", "--kill-child=KILL", "--propagation=private", "--"])
            .arg(program)
            .args([SUBCOMMAND.as_ref(), root.as_os_str()])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => start_error(
                "the programs `setpriv` and `unshare` of util-linux are not installed".to_owned(),
            ),
            _ => start_error(error.to_string()),
        })?;
        let (Some(requests), Some(outcomes)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(start_error("its pipes are missing".to_owned()));
        };
        running().push(Pid::from_child(&child));
        Ok(Jail {
            root: root.to_owned(),
            child,
            requests: Some(requests),
            outcomes: BufReader::new(outcomes),
            is_ready: false,
        })
    }

    /// The jail says so when its root is in place; otherwise its last words say why.
    fn await_ready(&mut self) -> Result<(), JailError> {
        if self.is_ready {
            return Ok(());
        }
        let mut ready = String::new();
        if self.outcomes.read_line(&mut ready).is_ok() && ready.trim() == READY {
            self.is_ready = true;
            return Ok(());
        }
        let mut words = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // Whatever can be read of it is better than nothing.
            let _ = stderr.read_to_string(&mut words);
        }
        Err(start_error(words.trim().replace('\n', "; ")))
    }

    /// Runs one program and waits for it.
    ///
    /// # Errors
    /// The jail itself is gone; how the program ended is in the [`Outcome`].
    pub fn run(
        &mut self,
        program: &str,
        args: &[&str],
        deadline: Duration,
    ) -> Result<Outcome, JailError> {
        self.request(Request {
            program: program.to_owned(),
            script: None,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            deadline_ms: milliseconds(deadline),
        })
    }

    /// Runs a script that is not in the root, as `lib/apk/exec/<name>`.
    ///
    /// # Errors
    /// Those of [`Jail::run`].
    pub fn script(
        &mut self,
        name: &str,
        text: &[u8],
        args: &[&str],
        deadline: Duration,
    ) -> Result<Outcome, JailError> {
        self.request(Request {
            program: format!("{SCRIPT_DIR}/{name}"),
            script: Some(text.to_vec()),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            deadline_ms: milliseconds(deadline),
        })
    }

    fn request(&mut self, request: Request) -> Result<Outcome, JailError> {
        self.await_ready()?;
        self.exchange(&request).map_err(|source| JailError::Lost {
            root: self.root.clone(),
            source,
        })
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Outcome> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        self.requests
            .as_mut()
            .expect("the pipe is there until drop")
            .write_all(line.as_bytes())?;
        let mut answer = String::new();
        if self.outcomes.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Jail {
    fn drop(&mut self) {
        // The end of its input ends the jail, and with it, as PID 1 of its namespace, all in it.
        drop(self.requests.take());
        let _ = self.child.wait();
        let gone = Pid::from_child(&self.child);
        running().retain(|pid| *pid != gone);
    }
}
