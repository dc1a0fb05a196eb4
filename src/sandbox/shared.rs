//! What all calls share: the world, the clock, the limits, the faults, the blocks, the machines.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::blocks::BlockStore;
use super::calls::CallLog;
use super::clock::Clock;
use super::error::ServiceError;
use super::faults::Faults;
use super::limits::Limits;
use super::machines::Machines;
use super::shelf::Change;
use super::store::{Store, StoreError};
use super::world::{Effect, World};
use crate::causes;

/// What all calls share.
#[derive(Debug)]
pub struct Shared {
    /// The state folder.
    pub folder: PathBuf,
    /// The sandbox's time.
    pub clock: Arc<Clock>,
    /// Quotas and rates.
    pub limits: Limits,
    /// What is to go wrong.
    pub faults: Faults,
    /// Calls that came in.
    pub calls: CallLog,
    /// Data of snapshots and volumes.
    pub blocks: BlockStore,
    /// Virtual machines.
    pub machines: Machines,
    runtime: Handle,
    changed: watch::Sender<()>,
    state: Mutex<State>,
    jobs: Jobs,
}

#[derive(Debug)]
struct State {
    world: World,
    store: Store,
}

#[derive(Debug, Default)]
struct Jobs {
    running: AtomicUsize,
    lock: Mutex<()>,
    ended: Condvar,
}

/// The parts of [`Shared`] that are made outside.
#[derive(Debug)]
pub struct Parts {
    /// The state folder.
    pub folder: PathBuf,
    /// The sandbox's time.
    pub clock: Clock,
    /// Quotas and rates.
    pub limits: Limits,
    /// Data of snapshots and volumes.
    pub blocks: BlockStore,
    /// Virtual machines.
    pub machines: Machines,
}

impl Shared {
    /// Reads the state in the folder, and does everything on `runtime`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn open(parts: Parts, runtime: Handle) -> Result<Arc<Shared>, StoreError> {
        let store = Store::open(&parts.folder.join("state.sqlite"))?;
        let mut world = World::new();
        store.load(world.shelves())?;
        let clock = Arc::new(parts.clock);
        world.clock = Arc::clone(&clock);
        Ok(Arc::new(Shared {
            folder: parts.folder,
            clock,
            limits: parts.limits,
            faults: Faults::default(),
            calls: CallLog::default(),
            blocks: parts.blocks,
            machines: parts.machines,
            runtime,
            changed: watch::Sender::new(()),
            state: Mutex::new(State { world, store }),
            jobs: Jobs::default(),
        }))
    }

    /// Looks at the world.
    pub fn read<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.state().world)
    }

    /// Changes the world; the change is kept, on disk too, if `change` succeeds, and taken back if
    /// not. Effects are performed afterwards.
    ///
    /// # Errors
    /// What `change` says, and `InternalError` if the state cannot be written.
    pub fn transact<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut World) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        let mut state = self.state();
        let State { world, store } = &mut *state;
        // A handler that panics must not leave half a change behind.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| change(world)))
            .unwrap_or_else(|_| Err(ServiceError::internal("a call's handler panicked")));
        let result = result.and_then(|value| {
            let changes: Vec<Change> = world
                .shelves()
                .iter()
                .flat_map(|shelf| shelf.changes())
                .collect();
            if !changes.is_empty() {
                store
                    .write(&changes)
                    .map_err(|error| ServiceError::internal(causes::chain(&error)))?;
            }
            Ok(value)
        });
        let effects = std::mem::take(&mut world.effects);
        for shelf in world.shelves() {
            match &result {
                Ok(_) => shelf.committed(),
                Err(_) => shelf.roll_back(),
            }
        }
        drop(state);
        if result.is_ok() {
            self.changed.send_replace(());
            for effect in effects {
                self.perform(effect);
            }
        }
        result
    }

    /// Tells when the world may have changed, for those who wait for something.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// A copy of the world as it is.
    pub fn snapshot(&self) -> Arc<World> {
        Arc::new(self.state().world.clone())
    }

    /// Does work on a thread of its own that [`Self::settle`] waits for.
    pub fn spawn_job(self: &Arc<Self>, job: impl FnOnce(&Arc<Shared>) + Send + 'static) {
        self.jobs.running.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(self);
        self.runtime.spawn_blocking(move || {
            let _ended = Ended(&shared.jobs);
            job(&shared);
        });
    }

    /// Waits until no job runs.
    pub fn settle(&self) {
        let mut guard = lock(&self.jobs.lock);
        while self.jobs.running.load(Ordering::SeqCst) > 0 {
            guard = self
                .jobs
                .ended
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Where asynchronous work runs.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn perform(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Blocks(job) => super::blocks::perform(self, job),
            Effect::Machine(order) => super::machines::perform(self, order),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

struct Ended<'a>(&'a Jobs);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let _guard = lock(&self.0.lock);
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.notify_all();
    }
}

/// Locks; what is behind is whole whatever happened to a thread that held it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
