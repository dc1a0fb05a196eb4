//! Where packages' scripts and build tools run: a root with namespaces of its own and no network.
//!
//! The jail is this program again, started by util-linux's `unshare` in new mount, PID, network,
//! IPC and UTS namespaces. It makes the root its `/`, lets go of everything else, and then runs
//! what it is asked to over its standard input, one JSON line a request. When its parent goes, or
//! is killed, the kernel ends everything in it.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::mount::{self, MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{self, Pid, Signal};
use serde::{Deserialize, Serialize};

use super::rootdir::RootDir;

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
    // A package may have made either a link that leads out: that is refused here.
    let handle = RootDir::open(root).map_err(io::Error::other)?;
    handle.make_folder("dev")?;
    handle.make_folder("proc")?;
    mount_devices(&root.join("dev"))?;
    let proc = root.join("proc");
    mount::mount("proc", &proc, "proc", none, None)?;
    std::env::set_current_dir(root)?;
    // Stacks the old root on the new one, from where it is let go: nothing outside stays in reach.
    process::pivot_root(".", ".")?;
    mount::unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")?;
    process::umask(Mode::from_raw_mode(0o022));
    rustix::system::sethostname(b"localhost")?;
    protect_kernel()?;
    drop_capabilities()
}

/// Root in here may own the files of `/proc/sys` without any capability: they are made read-only.
fn protect_kernel() -> io::Result<()> {
    for path in ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"] {
        if !Path::new(path).exists() {
            continue;
        }
        mount::mount_bind(path, path)?;
        mount::mount_remount(path, MountFlags::BIND | MountFlags::RDONLY, c"")?;
    }
    Ok(())
}

/// What packages' scripts may do as root: change owners, modes and capabilities of files and
/// become the users they make. Everything else is taken from all that this process starts.
fn drop_capabilities() -> io::Result<()> {
    use rustix::thread::CapabilitySet as Set;
    let kept = Set::CHOWN
        | Set::DAC_OVERRIDE
        | Set::FOWNER
        | Set::FSETID
        | Set::KILL
        | Set::SETGID
        | Set::SETUID
        | Set::SETFCAP
        | Set::SYS_CHROOT;
    for (_, capability) in Set::all().difference(kept).iter_names() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // A kernel without this one cannot give it either.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A `dev` of a few nodes of the host's, bound one by one, because user namespaces cannot make any.
fn mount_devices(dev: &Path) -> io::Result<()> {
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
    let not_started = |error: io::Error| Outcome {
        output: String::new(),
        end: End::NotStarted(error.to_string()),
    };
    if let Some(text) = &request.script
        && let Err(error) = place_script(&request.program, text)
    {
        return not_started(error);
    }
    let outcome = match spawn(request) {
        Ok((reader, child)) => {
            let collector = std::thread::spawn(move || collect(reader));
            let end = wait(
                child,
                Instant::now() + Duration::from_millis(request.deadline_ms),
            );
            kill_leftovers();
            let output = collector.join().unwrap_or_default();
            Outcome { output, end }
        }
        Err(error) => not_started(error),
    };
    if request.script.is_some() {
        // They are gone where the script itself removed them.
        let _ = std::fs::remove_file(&request.program);
        let _ = std::fs::remove_dir(SCRIPT_DIR);
    }
    outcome
}

fn place_script(path: &str, text: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::create_dir_all(SCRIPT_DIR)?;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(path)?;
    file.write_all(text)
}

/// Ends whatever a script left running: it would hold the pipe open for ever, and could change the
/// root while the next package is unpacked. This process is the first of its PID namespace, so all
/// others in `/proc` are the script's.
fn kill_leftovers() {
    let others = || {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter_map(Pid::from_raw)
            .filter(|pid| *pid != Pid::INIT)
            .collect::<Vec<_>>()
    };
    // Round after round: one that forks while it is killed is met in the next.
    for _ in 0..100 {
        let found = others();
        if found.is_empty() {
            return;
        }
        for pid in found {
            let _ = process::kill_process(pid, Signal::KILL);
            // The dead children of dead scripts are this process's to reap.
            let _ = process::waitpid(Some(pid), process::WaitOptions::NOHANG);
        }
        std::thread::sleep(Duration::from_millis(1));
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

/// Waits until the deadline, then kills the program.
fn wait(mut child: Child, deadline: Instant) -> End {
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
    if end == End::TimedOut {
        // It is gone where it ended in this very moment.
        let _ = child.kill();
        let _ = child.wait();
    }
    end
}
