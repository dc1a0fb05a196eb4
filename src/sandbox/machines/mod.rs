//! Machines of EC2's instances: one task for each instance that is to run.
//!
//! | part | subject |
//! |---|---|
//! | [`life`] | an instance's machine from its start to its end, and what is asked of it meanwhile |
//! | [`virtual_machine`] | an instance as a QEMU machine |
//! | [`guest`] | that machine's hardware, and what its metadata service tells |
//! | [`process`] | an instance as processes of this machine, for tests |

mod body;
mod guest;
mod life;
pub mod process;
#[cfg(test)]
mod real_tests;
#[cfg(test)]
mod tests;
mod virtual_machine;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::ec2::instances::{self, Ending, Phase, StateReason};
use super::shared::Shared;
use super::world::World;
use crate::arch::{Arch, Firmware};
use crate::vm::accel::{self, Accel};
use crate::vm::machine::qemu;

use crate::vm::command::AttachedVolume;

pub use crate::vm::command::ENDPOINT as GUEST_ENDPOINT;

/// How instances run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum InstanceMode {
    /// As QEMU virtual machines.
    #[default]
    Qemu,
    /// As a stand-in for tests, without a machine: user data runs as root on this one, in namespaces.
    /// Needs root, and user data that is trusted.
    ///
    /// Nothing of the image is used, and there is no metadata service. The network, with the
    /// endpoint on loopback, and all programs are this machine's. See [`process`].
    Process,
    /// Not at all: RunInstances answers with an error.
    None,
}

/// How long a guest is given to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As long as a slow one takes.
    Usual,
    /// Not so long (`Force`).
    Short,
    /// It is not asked at all (`SkipOsShutdown`).
    None,
}

impl Patience {
    fn duration(self) -> Duration {
        match self {
            Patience::Usual => Duration::from_secs(90),
            Patience::Short => Duration::from_secs(20),
            Patience::None => Duration::ZERO,
        }
    }
}

/// Work on machines, done after the change that asks for it is kept. Each names an instance.
#[derive(Debug, Clone)]
pub enum Order {
    /// Its machine is to run.
    Run(String),
    /// Its machine is to end; the instance's phase says what comes then.
    Stop(String, Patience),
    /// Its guest is to boot again.
    Reboot(String),
    /// Its machine is to have this volume too, while it runs.
    Plug(String, String),
}

/// What is asked of a machine that runs.
#[derive(Debug)]
enum Command {
    Stop(Patience),
    Reboot,
    Plug(AttachedVolume),
    Pause(Pause),
}

/// A pause that somebody asks for: its start is told, and it ends when the other side of `until`
/// is gone.
#[derive(Debug)]
struct Pause {
    started: oneshot::Sender<()>,
    until: oneshot::Receiver<()>,
}

/// A machine stands still as long as this lives.
#[derive(Debug)]
pub struct Paused(
    #[expect(dead_code, reason = "what counts is when it is dropped")] oneshot::Sender<()>,
);

/// A machine's task.
#[derive(Debug)]
struct Running {
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

/// The machines that run.
#[derive(Debug)]
pub struct Machines {
    mode: InstanceMode,
    program: Option<PathBuf>,
    accel: [OnceCell<Accel>; 2],
    running: Mutex<BTreeMap<String, Running>>,
    #[cfg(test)]
    bench: std::sync::atomic::AtomicBool,
}

impl Machines {
    /// No machine yet. `program` is this program's own file, which relays what guests send.
    pub fn new(mode: InstanceMode, program: Option<PathBuf>) -> Machines {
        Machines {
            mode,
            program,
            accel: [OnceCell::new(), OnceCell::new()],
            running: Mutex::default(),
            #[cfg(test)]
            bench: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// How instances run.
    pub fn mode(&self) -> InstanceMode {
        self.mode
    }

    /// Whether instances of an architecture (as EC2 names it) can run.
    ///
    /// # Errors
    /// Why they cannot, for the caller to read.
    pub fn check(&self, architecture: &str, firmware: Firmware) -> Result<(), String> {
        #[cfg(test)]
        if self.is_bench() {
            return Ok(());
        }
        if self.mode == InstanceMode::None {
            return Err(
                "This sandbox runs without instances (it was started with --instances none)"
                    .to_owned(),
            );
        }
        if self.program.is_none() {
            return Err(
                "This sandbox does not know its own program, without which no instance runs"
                    .to_owned(),
            );
        }
        match self.mode {
            InstanceMode::Process => process::check(architecture),
            _ => virtual_machine::check(architecture, firmware),
        }
    }

    /// Ends every machine at once. The instances stay as they are: with the next start of the
    /// sandbox they boot from their volumes, as after a power failure.
    pub fn close(&self) {
        for (_, running) in std::mem::take(&mut *self.running()) {
            running.task.abort();
        }
    }

    /// Has tests do without machines: instances run and end as they are told, at once.
    #[cfg(test)]
    pub(crate) fn pretend(&self) {
        self.bench.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    #[cfg(test)]
    fn is_bench(&self) -> bool {
        self.bench.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// How instructions of an architecture are run; found out once.
    async fn accel(&self, arch: Arch) -> Result<Accel, String> {
        let cell = match arch {
            Arch::X86_64 => &self.accel[0],
            Arch::Aarch64 => &self.accel[1],
        };
        let program = qemu(arch).map_err(|error| error.to_string())?;
        let chosen = cell
            .get_or_try_init(|| accel::choose(arch, &program))
            .await
            .map_err(|error| error.to_string())?;
        Ok(*chosen)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the machine of an instance stand still, if it runs. One that does not is not
    /// kept from starting. For threads that may wait.
    pub fn pause(&self, id: &str) -> Option<Paused> {
        let (started, starts) = oneshot::channel();
        let (paused, until) = oneshot::channel();
        let is_asked = self.send(id, Command::Pause(Pause { started, until }));
        (is_asked && starts.blocking_recv().is_ok()).then_some(Paused(paused))
    }

    /// Asks something of a machine's task; false where there is none that listens.
    fn send(&self, id: &str, command: Command) -> bool {
        self.running()
            .get(id)
            .is_some_and(|running| running.commands.send(command).is_ok())
    }
}

/// The file that the console of an instance's machine is written to.
pub fn console_file(shared: &Shared, id: &str) -> PathBuf {
    shared.folder.join("machines").join(id).join("console.log")
}

/// Does an order.
pub fn perform(shared: &Arc<Shared>, order: Order) {
    #[cfg(test)]
    if shared.machines.is_bench() {
        return tests::perform(shared, order);
    }
    match order {
        Order::Run(id) => run(shared, id),
        Order::Stop(id, patience) => {
            if !shared.machines.send(&id, Command::Stop(patience)) {
                end_as_asked(shared, &id);
            }
        }
        Order::Reboot(id) => {
            // One that has ended meanwhile has nothing to reboot.
            shared.machines.send(&id, Command::Reboot);
        }
        Order::Plug(id, volume) => {
            // One that has ended meanwhile has it when it is started again.
            if let Some(volume) = guest::volume(shared, &volume) {
                shared.machines.send(&id, Command::Plug(volume));
            }
        }
    }
}

/// Starts an instance's task, after the one that it may have had before.
fn run(shared: &Arc<Shared>, id: String) {
    let mut running = shared.machines.running();
    let before = running.remove(&id).map(|running| running.task);
    let (commands, asked) = mpsc::unbounded_channel();
    let task = shared.runtime().spawn({
        let (shared, id) = (Arc::clone(shared), id.clone());
        async move {
            if let Some(before) = before {
                // However that one ended: its machine is gone.
                let _ = before.await;
            }
            life::live(&shared, &id, asked).await;
        }
    });
    running.insert(id, Running { commands, task });
}

/// The launch of an instance has come to nothing.
fn launch_failed(shared: &Arc<Shared>, id: &str, reason: StateReason) {
    note(shared, id, |world| {
        instances::launch_failed(world, &shared.clock, id, reason);
    });
}

/// The machine of an instance has ended.
fn end(shared: &Arc<Shared>, id: &str, ending: &Ending) {
    note(shared, id, |world| {
        instances::ended(world, &shared.clock, id, ending);
    });
}

/// An instance that was to end has no machine any more. One that was started again since is not
/// meant.
fn end_as_asked(shared: &Arc<Shared>, id: &str) {
    note(shared, id, |world| {
        if is_to_end(world, id) {
            instances::ended(world, &shared.clock, id, &Ending::Off);
        }
    });
}

/// Notes a change, after which an instance may be gone for good.
fn note(shared: &Arc<Shared>, id: &str, change: impl FnOnce(&mut World)) {
    let noted = shared.transact(|world| {
        change(world);
        Ok(())
    });
    if let Err(error) = noted {
        tracing::error!(%error, instance = id, "sandbox: cannot note that an instance has ended");
    }
    process::clear(shared, id);
}

/// Whether an instance is not to run, or not any more. An order to stop it may come late, when it
/// was started again.
fn is_to_end(world: &World, id: &str) -> bool {
    let instance = world.ec2.instances.get(id);
    !instance.is_some_and(|instance| {
        matches!(
            instance.phase,
            Phase::Pending { .. } | Phase::Running { .. }
        )
    })
}

/// Takes up what a killed sandbox left unfinished: instances that should run are booted from their
/// volumes, those that were being stopped are.
pub fn recover(shared: &Arc<Shared>) {
    let found: Vec<_> = shared.read(|world| {
        let instances = world.ec2.instances.values();
        instances
            .map(|instance| {
                let machine = (instance.architecture.clone(), instance.firmware);
                (instance.id.clone(), instance.phase.clone(), machine)
            })
            .collect()
    });
    for (id, phase, (architecture, firmware)) in &found {
        match phase {
            Phase::Pending { .. } | Phase::Running { .. } => {
                match shared.machines.check(architecture, *firmware) {
                    Ok(()) => perform(shared, Order::Run(id.clone())),
                    Err(why) => end(shared, id, &Ending::Broken(why)),
                }
            }
            Phase::Stopping | Phase::ShuttingDown => end(shared, id, &Ending::Off),
            Phase::Stopped | Phase::Terminated { .. } => {}
        }
    }
    let known = |name: &str| found.iter().any(|(id, _, _)| id == name);
    forget_folders(shared, known);
}

/// Removes the folders of instances that are not remembered any more.
fn forget_folders(shared: &Shared, known: impl Fn(&str) -> bool) {
    let entries = std::fs::read_dir(shared.folder.join("machines"));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.to_str().is_some_and(&known)
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, folder = %entry.path().display(), "sandbox: cannot remove");
        }
    }
}
