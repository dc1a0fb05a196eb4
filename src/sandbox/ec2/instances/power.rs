//! StartInstances, StopInstances, RebootInstances, TerminateInstances.

use super::{Instance, Phase, State, StateReason, find_all, refused, state, volumes};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::kms::{self, KeyUse};
use crate::sandbox::machines::{Order, Patience};
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::{Effect, World};

/// The ids of a call, which must name an instance.
fn take_ids(params: &mut Params) -> Result<Vec<String>, ServiceError> {
    let ids = params.list("InstanceId")?;
    if ids.is_empty() {
        return Err(ServiceError::missing_parameter("InstanceId"));
    }
    Ok(ids)
}

/// The instances of the ids, with the states that they are in.
fn look(
    context: &Context,
    world: &World,
    ids: &[String],
) -> Result<Vec<(Instance, State)>, ServiceError> {
    Ok(find_all(context, world, ids)?
        .into_iter()
        .map(|instance| (instance.clone(), state(instance, context.now)))
        .collect())
}

fn wrong_state(id: &str, done: &str) -> ServiceError {
    ServiceError::new(
        "IncorrectInstanceState",
        format!("The instance '{id}' is not in a state from which it can be {done}."),
    )
}

fn not_permitted(id: &str, done: &str, attribute: &str) -> ServiceError {
    ServiceError::new(
        "OperationNotPermitted",
        format!(
            "The instance '{id}' may not be {done}. Modify its '{attribute}' instance attribute \
             and try again."
        ),
    )
}

/// Writes how the states of instances changed.
fn changes(context: &Context, world: &World, before: &[(Instance, State)]) -> Xml {
    let mut xml = Xml::new();
    xml.list("instancesSet", before, |xml, (instance, before)| {
        let now = world
            .ec2
            .instances
            .get(&instance.id)
            .map_or(State::Terminated, |instance| state(instance, context.now));
        xml.text("instanceId", &instance.id);
        for (name, state) in [("currentState", now), ("previousState", *before)] {
            xml.node(name, |xml| {
                xml.text("code", state.code()).text("name", state.name());
            });
        }
    });
    xml
}

/// Puts an instance into a phase because its owner asked for it.
fn put(context: &Context, world: &mut World, id: &str, phase: Phase) {
    let Some(instance) = world.ec2.instances.get_mut(id) else {
        return;
    };
    instance.phase = phase;
    instance.reason = Some(StateReason::new(
        "Client.UserInitiatedShutdown",
        "User initiated shutdown",
    ));
    let now = context.now.iso();
    let (date, time) = (now.get(..10), now.get(11..19));
    instance.transition = format!(
        "User initiated ({} {} GMT)",
        date.unwrap_or_default(),
        time.unwrap_or_default()
    );
}

/// StartInstances.
pub(super) fn start(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = take_ids(params)?;
    if params.discard("AdditionalInfo") {
        return Err(refused("AdditionalInfo, which is reserved"));
    }
    params.finish()?;
    let found = look(context, world, &ids)?;
    for (instance, state) in &found {
        match state {
            State::Stopped => {
                context
                    .shared
                    .machines
                    .check(&instance.architecture, instance.firmware)
                    .map_err(|why| ServiceError::new("Unsupported", why))?;
                let disks = volumes(world, instance);
                let has_root = disks.first().is_some_and(|volume| {
                    volume
                        .attachment
                        .as_ref()
                        .is_some_and(|place| place.device == instance.root_device_name)
                });
                if !has_root {
                    return Err(ServiceError::new(
                        "IncorrectInstanceState",
                        format!(
                            "Instance '{}' does not have a volume attached at root ({})",
                            instance.id, instance.root_device_name
                        ),
                    ));
                }
            }
            State::Pending | State::Running => {}
            _ => return Err(wrong_state(&instance.id, "started")),
        }
    }
    for (instance, _) in found.iter().filter(|(_, state)| *state == State::Stopped) {
        let usable = keys_are_usable(context, world, instance);
        let Some(started) = world.ec2.instances.get_mut(&instance.id) else {
            continue;
        };
        if usable {
            started.phase = Phase::Pending { launch: false };
            started.launched = context.now;
            started.reason = None;
            started.transition = String::new();
            let order = Order::Run(instance.id.clone());
            world.effects.push(Effect::Machine(order));
        } else {
            // As AWS has it, the call is accepted and the instance falls back.
            started.reason = Some(super::phases::client_error());
        }
    }
    Ok(changes(context, world, &found))
}

/// Whether the keys of an instance's volumes can still be used.
fn keys_are_usable(context: &Context, world: &World, instance: &Instance) -> bool {
    let via = format!("ec2.{}.amazonaws.com", context.region);
    volumes(world, instance)
        .into_iter()
        .filter_map(|volume| volume.key.as_deref())
        .all(|key| kms::authorize(world, &context.caller, key, KeyUse::Decrypt, Some(&via)).is_ok())
}

/// StopInstances.
pub(super) fn stop(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = take_ids(params)?;
    let patience = take_patience(params)?;
    if params.flag("Hibernate")? == Some(true) {
        return Err(ServiceError::new(
            "UnsupportedHibernationConfiguration",
            "Hibernation is not enabled for the instance: the sandbox does not have it",
        ));
    }
    params.finish()?;
    let found = look(context, world, &ids)?;
    for (instance, state) in &found {
        match state {
            State::Running if instance.disable_api_stop => {
                return Err(not_permitted(&instance.id, "stopped", "disableApiStop"));
            }
            State::Running | State::Stopping | State::Stopped => {}
            _ => return Err(wrong_state(&instance.id, "stopped")),
        }
    }
    for (instance, state) in &found {
        if *state == State::Running {
            put(context, world, &instance.id, Phase::Stopping);
        }
        // A second call, with force, may be less patient than the first.
        if *state != State::Stopped {
            let order = Order::Stop(instance.id.clone(), patience);
            world.effects.push(Effect::Machine(order));
        }
    }
    Ok(changes(context, world, &found))
}

/// How long a guest is given to shut down.
fn take_patience(params: &mut Params) -> Result<Patience, ServiceError> {
    let force = params.flag("Force")?.unwrap_or(false);
    let skip = params.flag("SkipOsShutdown")?.unwrap_or(false);
    Ok(match (force, skip) {
        (_, true) => Patience::None,
        (true, false) => Patience::Short,
        (false, false) => Patience::Usual,
    })
}

/// RebootInstances.
pub(super) fn reboot(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = take_ids(params)?;
    params.finish()?;
    let found = look(context, world, &ids)?;
    if let Some((instance, _)) = found
        .iter()
        .find(|(instance, _)| !matches!(instance.phase, Phase::Running { .. }))
    {
        return Err(wrong_state(&instance.id, "rebooted"));
    }
    for (instance, _) in &found {
        let order = Order::Reboot(instance.id.clone());
        world.effects.push(Effect::Machine(order));
    }
    let mut xml = Xml::new();
    xml.text("return", true);
    Ok(xml)
}

/// TerminateInstances. A call that fails terminates none. (On AWS, one that fails because of a
/// protected instance still terminates those in other zones.)
pub(super) fn terminate(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = take_ids(params)?;
    let patience = take_patience(params)?;
    params.finish()?;
    let found = look(context, world, &ids)?;
    if let Some((instance, _)) = found.iter().find(|(instance, state)| {
        instance.disable_api_termination
            && !matches!(state, State::ShuttingDown | State::Terminated)
    }) {
        return Err(not_permitted(
            &instance.id,
            "terminated",
            "disableApiTermination",
        ));
    }
    for (instance, state) in &found {
        if matches!(instance.phase, Phase::Terminated { .. }) {
            continue;
        }
        if *state != State::ShuttingDown {
            put(context, world, &instance.id, Phase::ShuttingDown);
        }
        let order = Order::Stop(instance.id.clone(), patience);
        world.effects.push(Effect::Machine(order));
    }
    Ok(changes(context, world, &found))
}
