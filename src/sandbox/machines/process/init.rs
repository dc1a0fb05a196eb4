//! The first process of an instance that runs as processes: what the hidden subcommand does.
//!
//! It puts the instance's own things in place, starts its user data, reaps what is orphaned, and
//! copies its console. When it ends, the kernel ends everything in its namespaces: as soon as its
//! input ends, or when the instance is switched off and its user data has come to its end.

use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use super::home::{Setup, USER_DATA, USER_DATA_RAN};
use super::loops::{self, Loop};
use super::namespace::{self, CONSOLE};

/// The hidden subcommand that this program is started with inside the namespaces.
pub const SUBCOMMAND: &str = "instance-init";

/// Orders, and the answers to some.
pub(super) const SHUT_DOWN: &str = "shut down";
pub(super) const PAUSE: &str = "pause";
pub(super) const RESUME: &str = "resume";
pub(super) const READY: &str = "ready";
pub(super) const PAUSED: &str = "paused";

/// What cloud images run user data with.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// User data is given so long to end when the instance is switched off.
const GRACE: Duration = Duration::from_secs(30);
/// What goes on when it has ended is given so long.
const GRACE_OF_OTHERS: Duration = Duration::from_millis(500);

/// Is the first process, until the instance is off. What it is to set up, and orders, are lines of
/// standard input; answers are lines of standard output.
///
/// # Errors
/// The instance cannot be set up: nothing was started. The text is what the sandbox reports.
pub fn serve() -> io::Result<()> {
    // What is done here to all processes would else be done to those of this machine.
    if !is_first() {
        let text = "this is started by `sandbox start --instances process`, and by nobody else";
        return Err(io::Error::other(text));
    }
    let mut setup = String::new();
    io::stdin().read_line(&mut setup)?;
    let setup: Setup = serde_json::from_str(&setup)?;
    let loops: Vec<Loop> = setup
        .volumes
        .iter()
        .map(loops::attach)
        .collect::<io::Result<_>>()?;
    let log = File::options().append(true).open(&setup.console)?;
    namespace::enter(&setup, &loops)?;
    let console = Console::open(log)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(live(&loops, &console))?;
    // From here on nobody writes to the console any more, so that it comes to its end.
    all_others(Signal::KILL);
    while rustix::process::wait(WaitOptions::empty()).is_ok() {}
    console.close();
    Ok(())
}

/// Starts what the instance runs and does what it is told, until it is off.
async fn live(loops: &[Loop], console: &Console) -> io::Result<()> {
    let mut children = signal(SignalKind::child())?;
    let mut off = signal(SignalKind::user_defined2())?;
    let mut off_at_once = signal(SignalKind::user_defined1())?;
    let mut orders = orders();
    answer(READY)?;
    let mut user_data = start(console);
    let mut end: Option<Instant> = None;
    loop {
        let is_off = tokio::select! {
            _ = children.recv() => false,
            _ = off.recv() => true,
            _ = off_at_once.recv() => return Ok(()),
            Some(order) = orders.recv() => {
                obey(&order, loops)?;
                order == SHUT_DOWN
            }
            () = reached(end) => return Ok(()),
        };
        if is_off {
            all_others(Signal::TERM);
            end.get_or_insert(Instant::now() + GRACE);
        }
        let are_left = reap(&mut user_data);
        if let Some(at) = &mut end {
            if !are_left {
                return Ok(());
            }
            if user_data.is_none() {
                *at = (*at).min(Instant::now() + GRACE_OF_OTHERS);
            }
        }
    }
}

async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The lines of standard input, whose end is this process's: the sandbox is gone, or wants it so.
fn orders() -> UnboundedReceiver<String> {
    let (give, orders) = unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            // Whoever does not listen any more is ending.
            let _ = give.send(line);
        }
        std::process::exit(1);
    });
    orders
}

fn answer(word: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{word}")?;
    output.flush()
}

fn obey(order: &str, loops: &[Loop]) -> io::Result<()> {
    match order {
        PAUSE => {
            all_others(Signal::STOP);
            for attached in loops {
                attached.file.sync_all()?;
            }
            answer(PAUSED)
        }
        RESUME => {
            all_others(Signal::CONT);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Starts the user data, if there is any and it was never started. One that cannot be is no reason
/// to switch off: the instance runs.
fn start(console: &Console) -> Option<Pid> {
    let folder = Path::new("/var/lib");
    let script = folder.join(USER_DATA);
    if !script.exists() {
        return None;
    }
    let started = match File::create_new(folder.join(USER_DATA_RAN)) {
        Ok(_) => run(&script, console),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return None,
        Err(error) => Err(error),
    };
    started
        .inspect_err(|error| console.say(&format!("cannot run the user data: {error}")))
        .ok()
}

fn run(script: &Path, console: &Console) -> io::Result<Pid> {
    let output = console.writer()?;
    let child = Command::new(script)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    Ok(Pid::from_child(&child))
}

/// Reaps those that have ended, which user data may be; whether others go on.
fn reap(user_data: &mut Option<Pid>) -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, _))) => {
                user_data.take_if(|script| *script == pid);
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Sends a signal to every process in the namespace but this one.
fn all_others(signal: Signal) {
    // Nobody is left where it fails. The group of the first process stands for all processes.
    if is_first() {
        let _ = rustix::process::kill_process_group(Pid::INIT, signal);
    }
}

fn is_first() -> bool {
    rustix::process::getpid() == Pid::INIT
}

/// `/dev/console`, which is a pipe, and the file that gets what is written to it.
struct Console {
    /// Keeps the pipe from coming to its end while nobody writes.
    pipe: File,
    copier: JoinHandle<()>,
}

impl Console {
    fn open(mut log: File) -> io::Result<Console> {
        // For reading and writing, since either alone waits for the other.
        let both = File::options().read(true).write(true).open(CONSOLE)?;
        let mut reader = File::open(CONSOLE)?;
        let pipe = File::options().write(true).open(CONSOLE)?;
        drop(both);
        let copier = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                // Without room for the log, whoever writes must still not wait for ever.
                let _ = log.write_all(&buffer[..count]);
            }
        });
        Ok(Console { pipe, copier })
    }

    fn writer(&self) -> io::Result<File> {
        self.pipe.try_clone()
    }

    fn say(&self, text: &str) {
        // There is no other place to say it.
        let _ = writeln!(&self.pipe, "{text}");
    }

    /// Waits until the file has all that was written, when everybody who wrote is gone.
    fn close(self) {
        drop(self.pipe);
        let _ = self.copier.join();
    }
}
