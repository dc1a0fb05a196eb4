//! A running virtual machine.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::accel::Accel;
use super::command::{self, AttachedVolume, MachineConfig, Sockets};
use super::console::Console;
use super::firmware::{self, FirmwareError};
use super::hotplug;
use super::nvme_identity::{self, IdentityError};
use super::process::{Program, Supervised, find_program};
use super::qmp::Qmp;
use crate::arch::Arch;

/// QEMU connects to our sockets before it does anything that takes time.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// How much of what QEMU printed is shown.
const SHOWN_OUTPUT: usize = 4096;

/// A machine that could not be started or run.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// There is no QEMU for this architecture.
    #[error("`{program}` is not installed: no virtual machine can run")]
    NoQemu {
        /// The program that was sought in `PATH`.
        program: &'static str,
        /// The architecture of the machine.
        arch: Arch,
    },
    /// The disk image cannot be read.
    #[error("cannot read the image {image}")]
    Image {
        /// The image.
        image: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no firmware to start the machine with.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// Its disks cannot be given the names that they have on EC2.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Something of the machine's on this host could not be made.
    #[error("cannot {action}")]
    Host {
        /// What was being done, and on which file.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
    /// QEMU ended before the machine ran.
    #[error("QEMU could not start the machine for {image} ({status}): {output}")]
    Refused {
        /// The image.
        image: PathBuf,
        /// How QEMU ended.
        status: ExitStatus,
        /// What it printed.
        output: String,
    },
    /// QEMU runs and does not come to its sockets.
    #[error("QEMU did not start the machine for {image} within {seconds} s")]
    Stuck {
        /// The image.
        image: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl MachineError {
    /// What the reader can do about it.
    pub fn advice(&self) -> Option<String> {
        match self {
            MachineError::NoQemu { arch, .. } => {
                let package = match arch {
                    Arch::X86_64 => "qemu-system-x86",
                    Arch::Aarch64 => "qemu-system-arm",
                };
                Some(format!(
                    "install the Debian package `{package}`, or run scripts/setup"
                ))
            }
            MachineError::Image { .. } => {
                Some("give the path of a raw disk image, such as `build` makes".to_owned())
            }
            MachineError::Firmware(error) => error.advice(),
            MachineError::Identity(error) => error.advice(),
            MachineError::Host { .. } => {
                Some("the folder for temporary files can be set with TMPDIR".to_owned())
            }
            MachineError::Refused { .. } => Some(
                "an image that another program writes to cannot be used at the same time; \
                 if KVM is at fault, set ALPINE_AMI_ACCEL=tcg"
                    .to_owned(),
            ),
            MachineError::Stuck { .. } => {
                Some("if KVM is at fault, set ALPINE_AMI_ACCEL=tcg".to_owned())
            }
        }
    }
}

/// The program that runs machines of this architecture.
pub fn qemu(arch: Arch) -> Result<PathBuf, MachineError> {
    let program = command::program_name(arch);
    find_program(program).ok_or(MachineError::NoQemu { program, arch })
}

/// A machine that runs until its guest powers off or this is dropped.
#[derive(Debug)]
pub struct Machine {
    process: Supervised,
    console: Console,
    capture: JoinHandle<io::Result<()>>,
    report: Option<UnixStream>,
    control: Control,
    output: File,
    started: Instant,
    /// Volumes that came while it ran.
    plugged: usize,
}

/// The control channel.
#[derive(Debug)]
enum Control {
    /// Nothing was asked for yet.
    New(UnixStream),
    /// Ready for commands.
    Ready(Qmp),
    /// It broke off.
    Gone,
}

impl Control {
    async fn qmp(&mut self) -> io::Result<&mut Qmp> {
        if let Control::New(_) = self
            && let Control::New(stream) = std::mem::replace(self, Control::Gone)
        {
            *self = Control::Ready(Qmp::negotiate(stream).await?);
        }
        match self {
            Control::Ready(qmp) => Ok(qmp),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Machine {
    /// Starts a machine; its console is written to a new file at `console_log`.
    ///
    /// `folder` takes sockets and what the guest writes to its disk; it must outlive the machine.
    pub async fn start(
        config: &MachineConfig,
        accel: Accel,
        folder: &Path,
        console_log: &Path,
    ) -> Result<Machine, MachineError> {
        let program = qemu(config.arch)?;
        let uefi = match config.kernel {
            Some(_) => None,
            None => firmware::find(config.arch, config.firmware)?,
        };
        let image = readable(&config.image)?;
        let config = MachineConfig {
            image,
            ..config.clone()
        };
        let sockets = Sockets {
            console: folder.join("console"),
            report: folder.join("report"),
            control: folder.join("control"),
        };
        let listeners = Listeners::bind(&sockets)?;
        let output_file = folder.join("qemu.log");
        let output = File::options()
            .create_new(true)
            .read(true)
            .append(true)
            .open(&output_file)
            .map_err(|source| host("create", &output_file, source))?;
        let arguments = command::arguments(&config, accel, uefi.as_ref(), &sockets);
        tracing::debug!(program = %program.display(), ?arguments, "starting QEMU");

        let started = Instant::now();
        let process = Supervised::start(Program {
            path: &program,
            arguments: &arguments,
            // QEMU puts the file of a disk opened with snapshot=on there.
            environment: &[("TMPDIR", folder.as_os_str())],
            output: output
                .try_clone()
                .map_err(|source| host("use", &output_file, source))?,
        })
        .map_err(|source| host("start", &program, source))?;

        let connected = tokio::select! {
            connected = listeners.accept() => connected.map_err(|source| host("use", folder, source))?,
            status = process.wait() => {
                let status = status.map_err(|source| host("wait for", &program, source))?;
                return Err(MachineError::Refused {
                    image: config.image,
                    status,
                    output: printed(&output),
                });
            }
            () = tokio::time::sleep(CONNECT_DEADLINE) => {
                return Err(MachineError::Stuck {
                    image: config.image,
                    seconds: CONNECT_DEADLINE.as_secs(),
                });
            }
        };
        let (console, capture) = Console::capture(connected.console, console_log)
            .await
            .map_err(|source| host("write the console log", console_log, source))?;
        let mut control = Control::New(connected.control);
        let identities = config.identities();
        if !identities.is_empty() {
            let failed = |source| host("control", &program, source);
            // QEMU answers once it has made all of the machine's devices.
            let qmp = control.qmp().await.map_err(failed)?;
            nvme_identity::give(process.pid(), &identities)?;
            qmp.resume().await.map_err(failed)?;
        }
        Ok(Machine {
            process,
            console,
            capture,
            report: Some(connected.report),
            control,
            output,
            started,
            plugged: 0,
        })
    }

    /// The machine's first serial port.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The machine's second serial port; there is one, so the second call gives nothing.
    pub fn take_report_channel(&mut self) -> Option<UnixStream> {
        self.report.take()
    }

    /// When QEMU was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// What QEMU itself printed, its end.
    pub fn output(&self) -> String {
        printed(&self.output)
    }

    /// Waits until the guest has powered off, or QEMU ended otherwise.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Presses the power button, waits for the guest to shut down, and kills it when
    /// it has not done so within `patience`. Returns whether it shut down by itself.
    pub async fn shut_down(self, patience: Duration) -> io::Result<bool> {
        let Machine {
            process,
            mut control,
            mut capture,
            ..
        } = self;
        let pressed = async {
            control.qmp().await?.power_button().await?;
            process.wait().await
        };
        let ended = tokio::time::timeout(patience, pressed).await;
        process.kill();
        // What is still on its way from the console belongs into the log.
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut capture).await;
        match ended {
            Ok(status) => Ok(status?.success()),
            Err(_) => Ok(false),
        }
    }

    /// Presses the power button: the guest is asked to shut down, and may or may not.
    pub async fn press_power_button(&mut self) -> io::Result<()> {
        self.control.qmp().await?.power_button().await
    }

    /// Stops the guest where it is; what it has written is in its disks' files afterwards.
    pub async fn pause(&mut self) -> io::Result<()> {
        self.control.qmp().await?.pause().await
    }

    /// Lets a guest go on that was paused.
    pub async fn resume(&mut self) -> io::Result<()> {
        self.control.qmp().await?.resume().await
    }

    /// Gives a running machine one more volume, which its guest sees come.
    ///
    /// # Errors
    /// All its ports are taken; QEMU refuses; the volume cannot be given its name.
    pub async fn plug(&mut self, volume: &AttachedVolume) -> Result<(), MachineError> {
        let failed = |source| host("attach", &volume.file, source);
        if self.plugged == hotplug::PORTS {
            let full = format!("only {} volumes come to a running machine", hotplug::PORTS);
            return Err(failed(io::Error::other(full)));
        }
        let pid = self.process.pid();
        let qmp = self.control.qmp().await.map_err(failed)?;
        qmp.pause().await.map_err(failed)?;
        let mut plugged = Ok(());
        for (command, arguments) in hotplug::commands(volume, self.plugged) {
            if plugged.is_ok() {
                plugged = qmp.ask(command, arguments).await.map_err(failed);
            }
        }
        if plugged.is_ok() {
            self.plugged += 1;
            plugged = nvme_identity::give(pid, &[hotplug::identity(volume)]).map_err(Into::into);
        }
        qmp.resume().await.map_err(failed)?;
        plugged
    }

    /// Kills the machine; that it is gone is for [`Machine::wait`] to say.
    pub fn kill_now(&self) {
        self.process.kill();
    }

    /// Kills the machine and waits for the last of its console to be in the file.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.process.kill();
        self.finish_console().await
    }

    /// Waits for the last of the console to be in its file, once the machine has ended.
    pub async fn finish_console(&mut self) -> io::Result<()> {
        match tokio::time::timeout(Duration::from_secs(5), &mut self.capture).await {
            Ok(Ok(written)) => written,
            Ok(Err(_)) | Err(_) => Err(io::Error::other("the console was not read to its end")),
        }
    }
}

/// The connections that QEMU makes.
struct Connected {
    console: UnixStream,
    report: UnixStream,
    control: UnixStream,
}

/// The sockets, before QEMU connects.
struct Listeners {
    console: UnixListener,
    report: UnixListener,
    control: UnixListener,
}

impl Listeners {
    fn bind(sockets: &Sockets) -> Result<Listeners, MachineError> {
        let bind = |path: &Path| {
            UnixListener::bind(path).map_err(|source| host("listen on the socket", path, source))
        };
        Ok(Listeners {
            console: bind(&sockets.console)?,
            report: bind(&sockets.report)?,
            control: bind(&sockets.control)?,
        })
    }

    async fn accept(self) -> io::Result<Connected> {
        Ok(Connected {
            console: self.console.accept().await?.0,
            report: self.report.accept().await?.0,
            control: self.control.accept().await?.0,
        })
    }
}

fn host(action: &str, path: &Path, source: io::Error) -> MachineError {
    MachineError::Host {
        action: format!("{action} {}", path.display()),
        source,
    }
}

/// The absolute path of the image, which QEMU needs to be sure that a colon is no protocol.
fn readable(image: &Path) -> Result<PathBuf, MachineError> {
    let failed = |source| MachineError::Image {
        image: image.to_owned(),
        source,
    };
    let file = File::open(image).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    std::fs::canonicalize(image).map_err(failed)
}

/// The end of what QEMU printed, on one line.
fn printed(mut output: &File) -> String {
    let mut bytes = Vec::new();
    let _ = output
        .rewind()
        .and_then(|()| output.read_to_end(&mut bytes));
    let start = bytes.len().saturating_sub(SHOWN_OUTPUT);
    let text = String::from_utf8_lossy(&bytes[start..]);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    if lines.is_empty() {
        return "it printed nothing".to_owned();
    }
    lines.join("; ")
}
