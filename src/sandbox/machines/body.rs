//! What an instance is here: a virtual machine, or a stand-in for one.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;

use super::InstanceMode;
use super::process::Process;
use super::virtual_machine::VirtualMachine;
use crate::sandbox::ec2::instances::Ending;
use crate::sandbox::shared::Shared;
use crate::vm::command::AttachedVolume;

/// What runs of an instance. Dropping it ends it at once.
pub(super) enum Body {
    Machine(VirtualMachine),
    Process(Process),
}

/// Asks the same of either.
macro_rules! of {
    ($body:expr, $it:ident => $what:expr) => {
        match $body {
            Body::Machine($it) => $what,
            Body::Process($it) => $what,
        }
    };
}

impl Body {
    /// Starts an instance. An error says why it does not run.
    pub(super) async fn start(shared: &Arc<Shared>, id: &str) -> Result<Body, String> {
        match shared.machines.mode() {
            InstanceMode::Process => Process::start(shared, id).await.map(Body::Process),
            InstanceMode::Qemu | InstanceMode::None => {
                VirtualMachine::start(shared, id).await.map(Body::Machine)
            }
        }
    }

    /// Waits until it is off.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        of!(self, it => it.wait().await)
    }

    /// Sees, after its end, to what it leaves.
    pub(super) async fn finish(&mut self) {
        of!(self, it => it.finish().await);
    }

    /// How it ended, by what [`Body::wait`] said.
    pub(super) fn ending(&self, status: io::Result<ExitStatus>, was_killed: bool) -> Ending {
        of!(self, it => it.ending(status, was_killed))
    }

    /// Asks it to shut down.
    pub(super) async fn press_power_button(&mut self) -> io::Result<()> {
        of!(self, it => it.press_power_button().await)
    }

    /// Has it stand still, with what it has written in its volumes' files.
    pub(super) async fn pause(&mut self) -> io::Result<()> {
        of!(self, it => it.pause().await)
    }

    /// Lets it go on after a pause.
    pub(super) async fn resume(&mut self) -> io::Result<()> {
        of!(self, it => it.resume().await)
    }

    /// Gives it one more volume. A stand-in has no devices that could come.
    pub(super) async fn plug(&mut self, volume: &AttachedVolume) -> Result<(), String> {
        match self {
            Body::Machine(machine) => machine.plug(volume).await,
            Body::Process(_) => Err("processes get no volumes while they run".to_owned()),
        }
    }

    /// Cuts its power; that it is off is for [`Body::wait`] to say.
    pub(super) fn kill_now(&mut self) {
        of!(self, it => it.kill_now());
    }
}
