//! An instance as a QEMU machine, with all that its guest talks to.

use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{console_file, guest};
use crate::arch::Firmware;
use crate::sandbox::ec2::instances::Ending;
use crate::sandbox::shared::Shared;
use crate::vm::command::AttachedVolume;
use crate::vm::firmware;
use crate::vm::imds::{Access, MetadataServer, MetadataService};
use crate::vm::machine::{Machine, MachineError, qemu};
use crate::workdir::WorkDir;

/// The QEMU of a sandbox that was killed dies with it, but the kernel may take a moment to let go
/// of its volumes.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_RETRY: Duration = Duration::from_millis(200);

/// Whether instances of an architecture (as EC2 names it) can be virtual machines here.
///
/// # Errors
/// Why they cannot, for the caller to read.
pub(super) fn check(architecture: &str, firmware: Firmware) -> Result<(), String> {
    let cannot = |error: &dyn std::fmt::Display, advice: Option<String>| match advice {
        Some(advice) => format!("The sandbox cannot run instances: {error}; {advice}"),
        None => format!("The sandbox cannot run instances: {error}"),
    };
    let arch = guest::arch(architecture)
        .ok_or_else(|| cannot(&format!("no machine is {architecture}"), None))?;
    qemu(arch).map_err(|error| cannot(&error, error.advice()))?;
    firmware::find(arch, firmware).map_err(|error| cannot(&error, error.advice()))?;
    Ok(())
}

/// A machine that runs, with all that its guest talks to.
pub(super) struct VirtualMachine {
    machine: Machine,
    _metadata: MetadataServer,
    /// Last, since the others have their sockets in it.
    _folder: WorkDir,
}

impl VirtualMachine {
    /// Starts the machine. An error says why it does not run.
    pub(super) async fn start(shared: &Arc<Shared>, id: &str) -> Result<VirtualMachine, String> {
        let parent = std::env::temp_dir();
        let folder = WorkDir::new(&parent, "alpine-ami-instance-")
            .map_err(|error| format!("cannot make a folder in {}: {error}", parent.display()))?;
        let socket = folder.path().join("imds");
        let metadata = serve_metadata(shared, id, &socket)?;
        let program = shared.machines.program.as_deref();
        let program = program.ok_or("the sandbox does not know its own program")?;
        let arch = shared
            .read(|world| {
                let instance = world.ec2.instances.get(id)?;
                guest::arch(&instance.architecture)
            })
            .ok_or("no machine has its architecture")?;
        let accel = shared.machines.accel(arch).await?;
        let config = guest::machine(shared, id, accel, program, &socket)?;
        let console = console_file(shared, id);
        if let Some(parent) = console.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|error| format!("cannot make {}: {error}", parent.display()))?;
        }
        let given_up = Instant::now() + LOCK_PATIENCE;
        let mut attempt = 0;
        let machine = loop {
            // Sockets of an attempt before are in the way of the next.
            let own = folder
                .folder(&format!("machine{attempt}"))
                .map_err(|error| format!("cannot make a folder: {error}"))?;
            match Machine::start(&config, accel, &own, &console).await {
                Ok(machine) => break machine,
                Err(error) if is_locked(&error) && Instant::now() < given_up => {
                    tokio::time::sleep(LOCK_RETRY).await;
                    attempt += 1;
                }
                Err(error) => return Err(error.to_string()),
            }
        };
        Ok(VirtualMachine {
            machine,
            _metadata: metadata,
            _folder: folder,
        })
    }

    /// Waits until the machine is off.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.machine.wait().await
    }

    /// Waits, after its end, for the last of its console: it belongs into its file.
    pub(super) async fn finish(&mut self) {
        if let Err(error) = self.machine.finish_console().await {
            tracing::warn!(%error, "sandbox: a console is not whole");
        }
    }

    /// How it ended, by what [`VirtualMachine::wait`] said.
    pub(super) fn ending(&self, status: io::Result<ExitStatus>, was_killed: bool) -> Ending {
        match status {
            Ok(status) if status.success() || was_killed => Ending::Off,
            Ok(status) => {
                Ending::Broken(format!("QEMU ended ({status}): {}", self.machine.output()))
            }
            Err(error) => Ending::Broken(error.to_string()),
        }
    }

    /// Asks the guest to shut down.
    pub(super) async fn press_power_button(&mut self) -> io::Result<()> {
        self.machine.press_power_button().await
    }

    /// Stops the guest where it is; what it has written is in its volumes' files afterwards.
    pub(super) async fn pause(&mut self) -> io::Result<()> {
        self.machine.pause().await
    }

    /// Lets a guest go on that was paused.
    pub(super) async fn resume(&mut self) -> io::Result<()> {
        self.machine.resume().await
    }

    /// Gives it one more volume.
    pub(super) async fn plug(&mut self, volume: &AttachedVolume) -> Result<(), String> {
        self.machine.plug(volume).await.map_err(|error| {
            let source = std::error::Error::source(&error);
            source.map_or(error.to_string(), |source| format!("{error}: {source}"))
        })
    }

    /// Cuts its power; that it is off is for [`VirtualMachine::wait`] to say.
    pub(super) fn kill_now(&mut self) {
        self.machine.kill_now();
    }
}

fn serve_metadata(shared: &Arc<Shared>, id: &str, socket: &Path) -> Result<MetadataServer, String> {
    let (_, at_start) = guest::metadata(shared, id).ok_or("the instance is not there any more")?;
    let service = MetadataService::changing({
        let (shared, id) = (Arc::clone(shared), id.to_owned());
        move || {
            guest::metadata(&shared, &id).unwrap_or_else(|| (Access::Off, Arc::clone(&at_start)))
        }
    });
    MetadataServer::on_socket(service, socket)
        .map_err(|error| format!("cannot serve metadata on {}: {error}", socket.display()))
}

/// Whether another QEMU still has one of the volumes.
fn is_locked(error: &MachineError) -> bool {
    matches!(error, MachineError::Refused { output, .. } if output.contains("lock"))
}
