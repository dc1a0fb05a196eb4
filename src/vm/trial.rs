//! Boots an image, has it check itself, and says how it went.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::accel::{self, Accel, AccelError};
use super::answers::{Answers, Garbled, Lines, Progress};
use super::attempts::attempts;
use super::command::{
    DirectKernel, GATEWAY, GUEST_ADDRESS, GUEST_MAC, MachineConfig, MetadataLink, report_device,
};
use super::firmware::Firmware;
use super::guest::{self, Check};
use super::imds::{MetadataServer, MetadataService};
use super::machine::{Machine, MachineError, qemu};
use super::metadata::{InstanceMetadata, PublicKey};
use super::report::{Observed, Report, Subject};
use crate::arch::Arch;
use crate::telemetry;
use crate::workdir::WorkDir;

/// What the folders for sockets and firmware variables begin with.
const WORK_PREFIX: &str = "alpine-ami-vm-";
/// How many lines of the console a message shows.
const SHOWN_LINES: usize = 25;
/// After a panic the kernel still prints where it happened.
const PANIC_GRACE: Duration = Duration::from_secs(1);
/// getty starts when the default runlevel is complete, so by then user data has been started:
/// what has not begun to report some time after the login prompt never will.
const BEGIN_PATIENCE: Duration = Duration::from_secs(60);
/// What a guest may need to stop its services.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(60);
/// The launch key of every test instance. Nobody has its private half.
const TEST_KEY: &str = "ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIODlU8UYSCTchtLl0WujWHcLZKdGLlIlp997mAFWba4P alpine-ami-test";

/// An image to test, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestConfig {
    /// The raw disk image; it is never written.
    pub image: PathBuf,
    /// The profile that the checks come from, for the report.
    pub profile: Option<String>,
    /// The machine's processor.
    pub arch: Arch,
    /// What it starts with.
    pub firmware: Firmware,
    /// Its memory, in MiB.
    pub memory_mib: u32,
    /// How many processors it has.
    pub cpus: u32,
    /// How its instructions are run; none to choose (see [`accel::choose`]).
    pub accel: Option<Accel>,
    /// What is checked inside.
    pub checks: Vec<Check>,
    /// The time for all of it, from power-on to power-off.
    pub deadline: Duration,
    /// Where the console is written: a file that is made or replaced, and stays.
    pub console_log: PathBuf,
    /// The `alpine-ami` program, which QEMU starts to relay metadata requests.
    pub relay: PathBuf,
    /// A kernel to start in place of the one on the disk.
    pub kernel: Option<DirectKernel>,
}

impl TestConfig {
    /// A test of `image` without checks, on the smallest machine, within 300 s.
    pub fn new(
        image: PathBuf,
        arch: Arch,
        firmware: Firmware,
        console_log: PathBuf,
        relay: PathBuf,
    ) -> TestConfig {
        let machine = MachineConfig::new(image, arch, firmware);
        TestConfig {
            image: machine.image,
            profile: None,
            arch,
            firmware,
            memory_mib: machine.memory_mib,
            cpus: machine.cpus,
            accel: None,
            checks: Vec::new(),
            deadline: Duration::from_secs(300),
            console_log,
            relay,
            kernel: None,
        }
    }
}

/// What stood last on a console, and where the rest of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastLines {
    /// The whole console.
    pub log: PathBuf,
    /// The lines, oldest first.
    pub lines: Vec<String>,
}

impl fmt::Display for LastLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines.is_empty() {
            return write!(f, "The console is empty ({}).", self.log.display());
        }
        write!(f, "Last lines of the console ({}):", self.log.display())?;
        for line in &self.lines {
            write!(f, "\n  | {line}")?;
        }
        Ok(())
    }
}

/// An image that could not be tested, or did not boot as far as its own checks.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The accelerator asked for is none.
    #[error(transparent)]
    Accel(#[from] AccelError),
    /// The machine could not be started.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Something of the test's on this host could not be made or used.
    #[error("cannot {action}")]
    Host {
        /// What was being done, and on which file.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The guest's kernel gave up.
    #[error("the kernel of {image} panicked: {message}\n{console}")]
    Panicked {
        /// The image.
        image: PathBuf,
        /// The kernel's message.
        message: String,
        /// What came before it.
        console: LastLines,
    },
    /// The guest's report was not whole in time, or never will be.
    #[error("{image} did not report within {seconds} s: {stage}\n{console}")]
    Silent {
        /// The image.
        image: PathBuf,
        /// How long it was waited for.
        seconds: u64,
        /// How far the guest came.
        stage: String,
        /// What it printed last.
        console: LastLines,
    },
    /// The machine was off before the guest's report was whole.
    #[error(
        "the machine of {image} ended ({status}; QEMU: {output}) before it reported: {stage}\n{console}"
    )]
    Ended {
        /// The image.
        image: PathBuf,
        /// How QEMU ended.
        status: ExitStatus,
        /// What QEMU printed.
        output: String,
        /// How far the guest came.
        stage: String,
        /// What it printed last.
        console: LastLines,
    },
    /// The guest's report makes no sense.
    #[error("{image}: {source}\n{console}")]
    Garbled {
        /// The image.
        image: PathBuf,
        /// What is wrong with it.
        source: Garbled,
        /// What the guest printed last.
        console: LastLines,
    },
}

impl VmError {
    /// What the reader can do about it.
    pub fn advice(&self) -> Option<String> {
        match self {
            VmError::Accel(error) => error.advice(),
            VmError::Machine(error) => error.advice(),
            VmError::Host { .. } => None,
            VmError::Panicked { .. } => Some(
                "look for the first error in the console log: mostly a missing driver, \
                 initramfs or root file system"
                    .to_owned(),
            ),
            VmError::Silent { .. } => Some(
                "the report comes from the service `user-data`, which needs `net` and the metadata \
                 service; where the machine is only slow (emulation), give it a longer deadline"
                    .to_owned(),
            ),
            VmError::Ended { .. } => Some(
                "a machine that restarts itself counts as ended; the console log says why it did"
                    .to_owned(),
            ),
            VmError::Garbled { .. } => {
                Some("nothing else in the image may write to the second serial port".to_owned())
            }
        }
    }
}

/// Boots the image, has it run the checks inside, and waits until it is off.
///
/// The report says whether it passed; an error means that there is no report. Dropping the
/// returned future kills the machine.
pub async fn test_image(config: &TestConfig) -> Result<Report, VmError> {
    let profile = config.profile.as_deref();
    let span = telemetry::span!("test", profile, arch = %config.arch, firmware = %config.firmware);
    telemetry::stage(span, test_it(config)).await
}

async fn test_it(config: &TestConfig) -> Result<Report, VmError> {
    let emulator = qemu(config.arch)?;
    let accel = match config.accel {
        Some(accel) => accel,
        None => accel::choose(config.arch, &emulator).await?,
    };
    let parent = std::env::temp_dir();
    let folder = WorkDir::new(&parent, WORK_PREFIX)
        .map_err(|source| host("make a folder in", &parent, source))?;
    let socket = folder.path().join("metadata");
    let _metadata = MetadataServer::on_socket(MetadataService::new(instance(config)), &socket)
        .map_err(|source| host("listen on the socket", &socket, source))?;
    let deadline = tokio::time::Instant::now() + config.deadline;
    let mut wanted = machine_config(config, socket);
    let capture = folder.path().join("network");
    wanted.capture = Some(capture.clone());
    let mut machine = Machine::start(&wanted, accel, folder.path(), &config.console_log).await?;

    let mut conversation = Conversation::default();
    let end = listen(config, &mut machine, &mut conversation, deadline).await;
    // Before the guest shuts down, which prints a lot and explains nothing.
    let mut last_lines = machine.console().tail(SHOWN_LINES);
    let shutdown_seconds = match end {
        End::Reported => switched_off(&machine, deadline).await,
        _ => None,
    };
    if shutdown_seconds.is_none() {
        last_lines = machine.console().tail(SHOWN_LINES);
    }
    if let Err(source) = machine.kill().await {
        return Err(host("write the console log", &config.console_log, source));
    }
    if let Some(error) = end.into_error(config, &machine, &conversation) {
        return Err(error);
    }
    let attempts = attempts(&capture, &wanted.mac, GATEWAY)
        .map_err(|source| host("read", &capture, source))?;
    let ready = conversation.ready.unwrap_or_else(Instant::now);
    let seen = Observed {
        boot_seconds: (ready - machine.started()).as_secs_f64(),
        shutdown_seconds,
        login_prompt: machine.console().login_prompt(),
        attempts,
        console: config.console_log.clone(),
        last_lines,
    };
    let subject = Subject {
        image: config.image.clone(),
        profile: config.profile.clone(),
        arch: config.arch,
        firmware: config.firmware,
        accel,
    };
    Ok(Report::new(
        subject,
        &config.checks,
        seen,
        conversation.answers,
    ))
}

/// How listening to the guest ended.
enum End {
    Reported,
    Garbled(Garbled),
    Panicked(String),
    Off(io::Result<ExitStatus>),
    OutOfTime,
}

/// What the guest has said so far.
#[derive(Default)]
struct Conversation {
    answers: Answers,
    /// When the default runlevel was complete.
    ready: Option<Instant>,
}

async fn listen(
    config: &TestConfig,
    machine: &mut Machine,
    conversation: &mut Conversation,
    deadline: tokio::time::Instant,
) -> End {
    let channel = machine
        .take_report_channel()
        .expect("a new machine has its report channel");
    let console = machine.console().clone();
    let begun = AtomicBool::new(false);
    let never_begins = async {
        console.prompted().await;
        tokio::time::sleep(BEGIN_PATIENCE).await;
        if begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let end = tokio::select! {
        // In this order: a guest that has reported and is off has reported.
        biased;
        end = hear(channel, conversation, &begun) => end,
        message = console.panicked() => End::Panicked(message),
        status = machine.wait() => End::Off(status),
        () = never_begins => End::OutOfTime,
        () = tokio::time::sleep_until(deadline) => End::OutOfTime,
    };
    tracing::debug!(image = %config.image.display(), "the guest has said what it has to say");
    if matches!(end, End::Panicked(_)) {
        let _ = tokio::time::timeout(PANIC_GRACE, machine.wait()).await;
    }
    end
}

/// Reads the report until it is whole or wrong. When the channel closes before, somebody
/// else knows better why.
async fn hear(mut channel: UnixStream, conversation: &mut Conversation, begun: &AtomicBool) -> End {
    let mut lines = Lines::default();
    let mut buffer = [0; 4096];
    loop {
        let length = match channel.read(&mut buffer).await {
            Ok(0) | Err(_) => return std::future::pending().await,
            Ok(length) => length,
        };
        for line in lines.feed(&buffer[..length]) {
            let progress = conversation.answers.accept(&line);
            begun.store(conversation.answers.lines > 0, Ordering::Relaxed);
            match progress {
                Ok(Progress::More) => {}
                Ok(Progress::Ready) => {
                    conversation.ready.get_or_insert_with(Instant::now);
                    tracing::info!("the guest has booted; checking it");
                }
                Ok(Progress::End) => return End::Reported,
                Err(garbled) => return End::Garbled(garbled),
            }
        }
    }
}

/// Waits for the guest to switch itself off; returns how long that took, in seconds.
async fn switched_off(machine: &Machine, deadline: tokio::time::Instant) -> Option<f64> {
    let asked = Instant::now();
    let limit = deadline.min(tokio::time::Instant::now() + SHUTDOWN_PATIENCE);
    match tokio::time::timeout_at(limit, machine.wait()).await {
        Ok(Ok(status)) if status.success() => Some(asked.elapsed().as_secs_f64()),
        _ => None,
    }
}

impl End {
    fn into_error(
        self,
        config: &TestConfig,
        machine: &Machine,
        conversation: &Conversation,
    ) -> Option<VmError> {
        let image = config.image.clone();
        let console = LastLines {
            log: config.console_log.clone(),
            lines: machine.console().tail(SHOWN_LINES),
        };
        let stage = stage(config, machine, conversation);
        match self {
            End::Reported => None,
            End::Garbled(source) => Some(VmError::Garbled {
                image,
                source,
                console,
            }),
            End::Panicked(message) => Some(VmError::Panicked {
                image,
                message,
                console,
            }),
            End::Off(Ok(status)) => Some(VmError::Ended {
                image,
                status,
                output: machine.output(),
                stage,
                console,
            }),
            End::Off(Err(source)) => Some(host("wait for the machine of", &image, source)),
            End::OutOfTime => Some(VmError::Silent {
                image,
                seconds: machine.started().elapsed().as_secs(),
                stage,
                console,
            }),
        }
    }
}

/// How far the guest came.
fn stage(config: &TestConfig, machine: &Machine, conversation: &Conversation) -> String {
    let answers = &conversation.answers;
    let running = answers.running_check.and_then(|n| config.checks.get(n));
    if let Some(check) = running {
        return format!("the check `{}` was running", check.name);
    }
    if answers.ready_seconds.is_some() {
        return "it was checking itself".to_owned();
    }
    if machine.console().login_prompt() {
        return "there is a login prompt, but its user data has not run to the end".to_owned();
    }
    if machine.console().tail(1).is_empty() {
        return "nothing came on its console, so the firmware may have found nothing to start"
            .to_owned();
    }
    "no login prompt was seen".to_owned()
}

fn host(action: &str, path: &Path, source: io::Error) -> VmError {
    VmError::Host {
        action: format!("{action} {}", path.display()),
        source,
    }
}

fn machine_config(config: &TestConfig, socket: PathBuf) -> MachineConfig {
    MachineConfig {
        memory_mib: config.memory_mib,
        cpus: config.cpus,
        metadata: Some(MetadataLink {
            relay: config.relay.clone(),
            socket,
        }),
        kernel: config.kernel.clone(),
        ..MachineConfig::new(config.image.clone(), config.arch, config.firmware)
    }
}

/// The instance that the machine takes itself for.
fn instance(config: &TestConfig) -> InstanceMetadata {
    // Half of the time for services that hang, the rest for the checks.
    let patience = (config.deadline.as_secs() / 2).max(10);
    let user_data = guest::user_data(&config.checks, report_device(config.arch), patience);
    InstanceMetadata {
        ami_id: "ami-00000000000000001".to_owned(),
        instance_id: "i-00000000000000001".to_owned(),
        instance_type: match config.arch {
            Arch::X86_64 => "t3.micro".to_owned(),
            Arch::Aarch64 => "t4g.micro".to_owned(),
        },
        arch: config.arch,
        account_id: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        availability_zone: "eu-central-1a".to_owned(),
        local_hostname: format!(
            "ip-{}.eu-central-1.compute.internal",
            GUEST_ADDRESS.to_string().replace('.', "-")
        ),
        local_ipv4: GUEST_ADDRESS,
        mac: GUEST_MAC.to_owned(),
        pending_time: "2026-01-01T00:00:00Z".to_owned(),
        public_key: Some(PublicKey {
            name: "alpine-ami-test".to_owned(),
            openssh_key: TEST_KEY.to_owned(),
        }),
        user_data: Some(user_data.into_bytes()),
        tags: None,
        more: BTreeMap::new(),
    }
}
