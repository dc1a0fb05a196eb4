//! The inside of a jail: entering the root, letting go of everything else, and running what the
//! parent asks for.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{self, MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{self, Pid, PidfdFlags, Signal};

use super::{End, Outcome, READY, Request, SCRIPT_DIR};
use crate::image::rootdir::RootDir;

/// Output kept of one script; the rest is dropped.
const OUTPUT_LIMIT: usize = 1 << 20;
/// Device nodes that scripts may use.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// What programs read at the top of `/proc`. Everything else there is covered: it tells of this
/// machine, and no script needs it.
const SHOWN: [&str; 7] = [
    "cpuinfo",
    "filesystems",
    "meminfo",
    "stat",
    "sys",
    "uptime",
    "version",
];
/// What apk gives scripts (apk-tools, `src/package.c`).
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What the hidden subcommand does.
///
/// # Errors
/// The root cannot be entered; the text is what the parent reports.
pub fn serve(root: &Path) -> io::Result<()> {
    // Whoever started this program may have left files or folders open, and a folder of this
    // machine's is a way out: no script inherits them.
    close_fds::set_fds_cloexec(3, &[]);
    enter(root).map_err(|error| io::Error::new(error.kind(), not_entered(root, &error)))?;
    let mut output = io::stdout().lock();
    writeln!(output, "{READY}")?;
    output.flush()?;
    for line in io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let outcome = execute(&request);
        writeln!(output, "{}", serde_json::to_string(&outcome)?)?;
        output.flush()?;
    }
    Ok(())
}

/// What to say of a root that cannot be entered.
pub(super) fn not_entered(root: &Path, error: &io::Error) -> String {
    format!("cannot enter {}: {error}", root.display())
}

/// Makes `dev` and `proc`. A package may have made either a link that leads out: that is refused.
pub(super) fn make_mount_points(root: &Path) -> io::Result<()> {
    let handle = RootDir::open(root).map_err(io::Error::other)?;
    handle.make_folder("dev")?;
    handle.make_folder("proc")?;
    Ok(())
}

fn enter(root: &Path) -> io::Result<()> {
    let none = MountFlags::empty();
    mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    mount::mount_bind(root, root)?;
    make_mount_points(root)?;
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
/// What tells of this machine is covered.
fn protect_kernel() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        let is_shown = |name: &str| is_process(name) || SHOWN.contains(&name);
        // A link leads to what is shown, or to `/sys`, which is not there.
        if kind.is_symlink() || entry.file_name().to_str().is_some_and(is_shown) {
            continue;
        }
        if kind.is_dir() {
            let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
            mount::mount("none", &path, "tmpfs", flags, Some(c"mode=0555"))?;
        } else {
            mount::mount_bind("/dev/null", &path)?;
        }
    }
    mount::mount_bind("/proc/sys", "/proc/sys")?;
    mount::mount_remount("/proc/sys", MountFlags::BIND | MountFlags::RDONLY, c"")?;
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
    let ended = match await_end(&child, deadline) {
        Ok(true) => child.wait(),
        other => {
            // It is gone where it ended in this very moment.
            let _ = child.kill();
            let _ = child.wait();
            return match other {
                Ok(_) => End::TimedOut,
                Err(error) => End::NotStarted(error.to_string()),
            };
        }
    };
    match ended.map(|status| (status.code(), status.signal())) {
        Ok((Some(code), _)) => End::Exited(code),
        Ok((None, signal)) => End::Signalled(signal.unwrap_or(0)),
        Err(error) => End::NotStarted(error.to_string()),
    }
}

/// Whether the program ends before the deadline.
fn await_end(child: &Child, deadline: Instant) -> io::Result<bool> {
    let handle = process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left)) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
