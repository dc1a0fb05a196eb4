//! Where packages' scripts and build tools run: a root with namespaces of its own and no network.
//!
//! The jail is this program again, started by util-linux's `unshare` in new mount, PID, network,
//! IPC and UTS namespaces. It makes the root its `/`, lets go of everything else, and then runs
//! what it is asked to over its standard input, one JSON line a request. When its parent goes, or
//! is killed, the kernel ends everything in it.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::mount::{self, MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{self, Pid, Signal};
use serde::{Deserialize, Serialize};

/// The hidden subcommand that this program is started with inside the namespaces.
pub const SUBCOMMAND: &str = "jail";
/// Output kept of one script; the rest is dropped.
const OUTPUT_LIMIT: usize = 1 << 20;
/// Device nodes that scripts may use.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// What apk gives scripts (apk-tools, `src/package.c`).
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

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

/// A program to run in a jail.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// Path inside the root.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// After this it is killed, in milliseconds.
    pub deadline_ms: u64,
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
}

impl Jail {
    /// Starts a jail in `root`. `program` is this program's executable.
    ///
    /// # Errors
    /// No `unshare`, or no right to make namespaces.
    pub fn start(program: &Path, root: &Path) -> Result<Jail, JailError> {
        let start_error = |why: String| JailError::Start { why };
        // `setpriv` ends the jail when this process is killed, which no clean-up would survive.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig=KILL", "--", "unshare"])
            .args(["--mount", "--pid", "--net", "--ipc", "--uts", "--fork"])
            .args(["--kill-child=KILL", "--propagation=private", "--"])
            .arg(program)
            .args([SUBCOMMAND.as_ref(), root.as_os_str()])
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
        let mut jail = Jail {
            root: root.to_owned(),
            child,
            requests: Some(requests),
            outcomes: BufReader::new(outcomes),
        };
        // The jail says so when its root is in place; otherwise its last words say why.
        let mut ready = String::new();
        if jail.outcomes.read_line(&mut ready).is_ok() && ready.trim() == "ready" {
            return Ok(jail);
        }
        let mut words = String::new();
        if let Some(mut stderr) = jail.child.stderr.take() {
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
        let request = Request {
            program: program.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        };
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

impl Drop for Jail {
    fn drop(&mut self) {
        // The end of its input ends the jail, and with it, as PID 1 of its namespace, all in it.
        drop(self.requests.take());
        let _ = self.child.wait();
        let gone = Pid::from_child(&self.child);
        running().retain(|pid| *pid != gone);
    }
}

/// The inside of a jail: what the hidden subcommand does.
///
/// # Errors
/// The root cannot be entered; the text is what the parent reports.
pub fn serve(root: &Path) -> io::Result<()> {
    enter(root).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot enter {}: {error}", root.display()),
        )
    })?;
    let mut output = io::stdout().lock();
    writeln!(output, "ready")?;
    output.flush()?;
    for line in io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let outcome = execute(&request);
        writeln!(output, "{}", serde_json::to_string(&outcome)?)?;
        output.flush()?;
    }
    Ok(())
}

fn enter(root: &Path) -> io::Result<()> {
    let none = MountFlags::empty();
    mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    mount::mount_bind(root, root)?;
    mount_devices(&root.join("dev"))?;
    let proc = root.join("proc");
    std::fs::create_dir_all(&proc)?;
    mount::mount("proc", &proc, "proc", none, None)?;
    std::env::set_current_dir(root)?;
    // Stacks the old root on the new one, from where it is let go: nothing outside stays in reach.
    process::pivot_root(".", ".")?;
    mount::unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")?;
    process::umask(Mode::from_raw_mode(0o022));
    rustix::system::sethostname(b"localhost")?;
    Ok(())
}

/// A `dev` of a few nodes of the host's, bound one by one, because user namespaces cannot make any.
fn mount_devices(dev: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dev)?;
    let options = Some(c"mode=0755,size=64k");
    mount::mount("dev", dev, "tmpfs", MountFlags::NOSUID, options)?;
    for name in DEVICES {
        let host = Path::new("/dev").join(name);
        if !host.exists() {
            continue;
        }
        let node = dev.join(name);
        std::fs::File::create(&node)?;
        mount::mount_bind(&host, &node)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        std::os::unix::fs::symlink(target, dev.join(name))?;
    }
    Ok(())
}

fn execute(request: &Request) -> Outcome {
    let (reader, end) = match spawn(request) {
        Ok((reader, child)) => {
            let collector = std::thread::spawn(move || collect(reader));
            let deadline = Instant::now() + Duration::from_millis(request.deadline_ms);
            let end = wait(child, deadline);
            (collector.join().unwrap_or_default(), end)
        }
        Err(error) => (String::new(), End::NotStarted(error.to_string())),
    };
    Outcome {
        output: reader,
        end,
    }
}

fn spawn(request: &Request) -> io::Result<(io::PipeReader, Child)> {
    let (reader, writer) = io::pipe()?;
    let child = Command::new(&request.program)
        .args(&request.args)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    Ok((reader, child))
}

fn collect(reader: io::PipeReader) -> String {
    let mut bytes = Vec::new();
    let mut reader = reader.take(OUTPUT_LIMIT as u64);
    // What was read before an error is still worth showing.
    let _ = reader.read_to_end(&mut bytes);
    let _ = io::copy(&mut reader.into_inner(), &mut io::sink());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until the deadline, then ends the whole process group: a background process of the script
/// would hold the pipe open for ever.
fn wait(mut child: Child, deadline: Instant) -> End {
    let group = Pid::from_child(&child);
    let mut pause = Duration::from_micros(200);
    let end = loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                break match (status.code(), status.signal()) {
                    (Some(code), _) => End::Exited(code),
                    (None, signal) => End::Signalled(signal.unwrap_or(0)),
                };
            }
            Ok(None) if Instant::now() >= deadline => break End::TimedOut,
            Ok(None) => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(10));
            }
            Err(error) => break End::NotStarted(error.to_string()),
        }
    };
    // It is gone where nothing of the group is left.
    let _ = process::kill_process_group(group, Signal::KILL);
    if end == End::TimedOut {
        let _ = child.wait();
    }
    end
}
