//! How an instance goes from one phase to the next when something happens to its machine.

use std::time::Duration;

use super::{Instance, Phase, ShutdownBehavior, StateReason, volumes};
use crate::sandbox::blocks::Job;
use crate::sandbox::clock::{Clock, Timestamp};
use crate::sandbox::ec2::snapshots;
use crate::sandbox::ec2::volumes::Volume;
use crate::sandbox::world::{Effect, World};

/// AWS takes about so long until an instance whose machine runs is shown as running.
const PENDING: Duration = Duration::from_secs(10);
/// AWS's status checks take about so long.
const CHECKING: Duration = Duration::from_secs(150);
/// AWS takes about so long to find that a launch fails.
const FAILING: Duration = Duration::from_secs(5);
/// AWS shows an instance that is gone for about an hour.
const SHOWN: Duration = Duration::from_secs(3600);

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It is off: its guest switched it off, or we did because it was asked for.
    Off,
    /// It could not be started, or broke down.
    Broken(String),
}

/// The machine of an instance runs.
pub fn booted(world: &mut World, clock: &Clock, id: &str) {
    let Some(instance) = world.ec2.instances.get_mut(id) else {
        return;
    };
    if let Phase::Pending { .. } = instance.phase {
        instance.phase = Phase::Running {
            since: clock.after(PENDING),
            checked: clock.after(PENDING + CHECKING),
        };
        instance.reason = None;
        instance.transition = String::new();
    }
}

/// The machine of an instance has ended. What that means for the instance depends on what was
/// asked for before.
pub fn ended(world: &mut World, clock: &Clock, id: &str, ending: &Ending) {
    let Some(instance) = world.ec2.instances.get_mut(id) else {
        return;
    };
    match (&instance.phase, ending) {
        (Phase::Pending { .. } | Phase::Running { .. }, Ending::Off) => {
            instance.reason = Some(StateReason::new(
                "Client.InstanceInitiatedShutdown",
                "Instance initiated shutdown",
            ));
            match instance.shutdown_behavior {
                ShutdownBehavior::Stop => instance.phase = Phase::Stopped,
                ShutdownBehavior::Terminate => terminate(world, clock, id),
            }
        }
        (Phase::Pending { launch: true }, Ending::Broken(why)) => {
            let reason = StateReason::new("Server.InternalError", why);
            launch_failed(world, clock, id, reason);
        }
        (Phase::Pending { .. } | Phase::Running { .. }, Ending::Broken(why)) => {
            instance.reason = Some(StateReason::new("Server.InternalError", why));
            instance.phase = Phase::Stopped;
        }
        (Phase::Stopping, _) => instance.phase = Phase::Stopped,
        (Phase::ShuttingDown, _) => terminate(world, clock, id),
        (Phase::Stopped | Phase::Terminated { .. }, _) => {}
    }
}

/// A launch was accepted and comes to nothing; its volumes go whatever they were asked to do.
pub fn launch_failed(world: &mut World, clock: &Clock, id: &str, reason: StateReason) {
    let Some(instance) = world.ec2.instances.get(id).cloned() else {
        return;
    };
    for volume in volume_ids(world, &instance) {
        discard(world, &volume);
    }
    world.tags.forget(&instance.interface.id);
    if let Some(instance) = world.ec2.instances.get_mut(id) {
        instance.phase = Phase::Terminated {
            since: clock.after(FAILING),
            failed: true,
        };
        instance.reason = Some(reason);
    }
}

/// Whether the data of all of an instance's volumes is there, and no snapshot is being made of it,
/// in which a guest's writes would show that come after it was asked for.
///
/// # Errors
/// It never will be: why the launch fails.
pub fn data_is_there(world: &World, id: &str) -> Result<bool, StateReason> {
    let Some(instance) = world.ec2.instances.get(id) else {
        return Ok(false);
    };
    let volumes = volumes(world, instance);
    if volumes.iter().any(|volume| volume.failed.is_some()) {
        return Err(client_error());
    }
    let is_idle = |volume: &&Volume| volume.done && !snapshots::is_being_made(world, &volume.id);
    Ok(volumes.iter().all(is_idle))
}

/// What AWS says where a disk of a launch comes to nothing, mostly because its key cannot be used.
pub(super) fn client_error() -> StateReason {
    StateReason::new("Client.InternalError", "Client error on launch")
}

/// An instance is gone: its volumes are deleted with it or set free, as they were asked to be.
fn terminate(world: &mut World, clock: &Clock, id: &str) {
    let Some(instance) = world.ec2.instances.get(id).cloned() else {
        return;
    };
    for id in volume_ids(world, &instance) {
        let Some(volume) = world.ec2.volumes.get_mut(&id) else {
            continue;
        };
        let attachment = volume.attachment.take();
        if attachment.is_some_and(|attachment| attachment.delete_on_termination) {
            discard(world, &id);
        }
    }
    world.tags.forget(&instance.interface.id);
    if let Some(instance) = world.ec2.instances.get_mut(id) {
        instance.phase = Phase::Terminated {
            since: clock.now(),
            failed: false,
        };
    }
}

/// Whether an instance has been gone for so long that nobody sees it any more.
pub(super) fn is_forgotten(instance: &Instance, now: Timestamp) -> bool {
    matches!(instance.phase, Phase::Terminated { since, .. } if since.plus(SHOWN) <= now)
}

/// Removes what is left of instances that nobody sees any more.
pub(super) fn forget_old(world: &mut World, now: Timestamp) {
    let old: Vec<String> = world
        .ec2
        .instances
        .values()
        .filter(|instance| is_forgotten(instance, now))
        .map(|instance| instance.id.clone())
        .collect();
    for id in old {
        world.ec2.instances.remove(&id);
        world.tags.forget(&id);
    }
}

/// Deletes a volume with its data.
fn discard(world: &mut World, id: &str) {
    world.ec2.volumes.remove(id);
    world.tags.forget(id);
    let job = Job::Remove(id.to_owned());
    world.effects.push(Effect::Blocks(job));
}

fn volume_ids(world: &World, instance: &Instance) -> Vec<String> {
    volumes(world, instance)
        .into_iter()
        .map(|volume| volume.id.clone())
        .collect()
}
