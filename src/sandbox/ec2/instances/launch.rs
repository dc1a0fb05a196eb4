//! RunInstances.

use std::collections::BTreeMap;

use super::decide::{Launch, decide};
use super::request::Request;
use super::{Instance, Interface, LoginKey, Phase, State, StateReason, phases, state, write};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::images::{self, BlockDevice};
use crate::sandbox::ec2::network;
use crate::sandbox::ec2::volumes::{self, Attachment, NewVolume};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::{new_id, random};
use crate::sandbox::machines::Order;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::{Effect, World};

/// RunInstances.
pub(super) fn run(
    context: &Context,
    world: &mut World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let request = Request::take(context, world, params)?;
    let token = request.client_token.as_deref();
    if let Some(reservation) = world.tokens.recall(context, token, &request.fingerprint)? {
        return repeated(context, world, &reservation);
    }
    let launch = decide(context, world, &request)?;
    let count = count(context, world, &request)?;
    if context.mishaps.no_capacity {
        return Err(ServiceError::new(
            "InsufficientInstanceCapacity",
            format!(
                "We currently do not have sufficient {} capacity in the Availability Zone you \
                 requested ({}). Our system will be working on provisioning additional capacity.",
                launch.kind.name, launch.subnet.zone.name
            ),
        )
        .status(500));
    }
    context
        .shared
        .machines
        .check(&launch.image.architecture, launch.firmware)
        .map_err(|why| ServiceError::new("Unsupported", why))?;
    phases::forget_old(world, context.now);
    for index in 0..count {
        start(context, world, &request, &launch, index)?;
    }
    images::launched(world, &launch.image.id, context.now);
    let reservation = &launch.reservation_id;
    world
        .tokens
        .keep(context, token, &request.fingerprint, reservation);
    let mut xml = Xml::new();
    let instances = write::of_reservation(world, reservation);
    write::reservation(&mut xml, context, world, &instances);
    Ok(xml)
}

/// The answer to a call that was answered before.
fn repeated(context: &Context, world: &World, reservation: &str) -> Result<Xml, ServiceError> {
    let instances = write::of_reservation(world, reservation);
    let is_gone = |instance: &Instance| state(instance, context.now) == State::Terminated;
    if instances.iter().all(is_gone) {
        return Err(ServiceError::new(
            "IdempotentInstanceTerminated",
            "The request to launch an instance uses the same client token as a previous request \
             for which the instance has been terminated.",
        ));
    }
    let mut xml = Xml::new();
    write::reservation(&mut xml, context, world, &instances);
    Ok(xml)
}

/// How many instances are launched: as many as the quota still allows, if that is enough.
fn count(context: &Context, world: &World, request: &Request) -> Result<u32, ServiceError> {
    let most = context.shared.limits.quota("running-instances");
    let running = world
        .ec2
        .instances
        .values()
        .filter(|instance| {
            instance.owner == context.caller.account && instance.region == context.region
        })
        .filter(|instance| {
            matches!(
                state(instance, context.now),
                State::Pending | State::Running
            )
        })
        .count() as u64;
    let left = u32::try_from(most.saturating_sub(running)).unwrap_or(u32::MAX);
    if left < request.least {
        return Err(ServiceError::new(
            "InstanceLimitExceeded",
            format!(
                "You have requested more instances ({}) than your current instance limit of {most} \
                 allows for the specified instance type. Please visit \
                 http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this \
                 limit.",
                running + u64::from(request.least)
            ),
        ));
    }
    Ok(left.min(request.most))
}

/// Launches one instance. What goes wrong with the keys of its disks shows later, as on AWS: the
/// instance is pending, and then terminated.
fn start(
    context: &Context,
    world: &mut World,
    request: &Request,
    launch: &Launch,
    index: u32,
) -> Result<(), ServiceError> {
    let instance = new_instance(context, world, request, launch, index)?;
    let id = instance.id.clone();
    let interface = instance.interface.id.clone();
    let (account, region) = (&context.caller.account, &context.region);
    world.ec2.instances.insert(&id, instance);
    let tags_of = |kind: &str| request.tags.get(kind).cloned().unwrap_or_default();
    world
        .tags
        .add(account, region, "instance", &id, &tags_of("instance"))?;
    world.tags.add(
        account,
        region,
        "network-interface",
        &interface,
        &tags_of("network-interface"),
    )?;
    for device in &launch.devices {
        let attached = attach(context, world, launch, device, &id, &tags_of("volume"));
        if let Err(error) = attached {
            let reason = key_trouble(&error).ok_or(error)?;
            phases::launch_failed(world, &context.shared.clock, &id, reason);
            return Ok(());
        }
    }
    world.effects.push(Effect::Machine(Order::Run(id)));
    Ok(())
}

/// Why the launch comes to nothing, where an error of a volume's is about its key.
fn key_trouble(error: &ServiceError) -> Option<StateReason> {
    match &*error.code {
        "Client.InternalError" => Some(phases::client_error()),
        "InvalidKMSKey.InvalidState" => Some(StateReason::new(
            "Client.InvalidKMSKey.InvalidState",
            "The KMS key provided is in an incorrect state",
        )),
        _ => None,
    }
}

/// Makes a volume and attaches it.
fn attach(
    context: &Context,
    world: &mut World,
    launch: &Launch,
    device: &BlockDevice,
    instance_id: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), ServiceError> {
    let id = volumes::create(
        context,
        world,
        NewVolume {
            zone: launch.subnet.zone.name.clone(),
            size_gib: device.size_gib,
            volume_type: device.volume_type.clone(),
            iops: device.iops,
            throughput: device.throughput,
            snapshot_id: device.snapshot_id.clone(),
            image: Some(&launch.image),
            encrypted: device.encrypted,
            kms_key_id: device.kms_key_id.clone(),
        },
    )?;
    let volume = world
        .ec2
        .volumes
        .get_mut(&id)
        .ok_or_else(|| ServiceError::internal(format!("volume {id} is not there")))?;
    volume.attachment = Some(Attachment {
        instance_id: instance_id.to_owned(),
        device: device.device_name.clone(),
        since: context.now,
        delete_on_termination: device.delete_on_termination.unwrap_or(true),
    });
    world.tags.add(
        &context.caller.account,
        &context.region,
        "volume",
        &id,
        tags,
    )
}

fn new_instance(
    context: &Context,
    world: &mut World,
    request: &Request,
    launch: &Launch,
    index: u32,
) -> Result<Instance, ServiceError> {
    let Launch { image, subnet, .. } = launch;
    Ok(Instance {
        id: new_id("i"),
        owner: context.caller.account.clone(),
        region: context.region.clone(),
        reservation_id: launch.reservation_id.clone(),
        launch_index: index,
        client_token: request.client_token.clone(),
        image_id: image.id.clone(),
        instance_type: launch.kind.name.to_owned(),
        architecture: image.architecture.clone(),
        boot_mode: image.boot_mode.clone(),
        firmware: launch.firmware,
        root_device_name: image.root_device_name.clone(),
        interface: Interface {
            id: new_id("eni"),
            attachment_id: new_id("eni-attach"),
            description: request.network.description.clone(),
            mac: new_mac(),
            address: network::private_address(world, &subnet.id)?,
            subnet_id: subnet.id.clone(),
            vpc_id: subnet.vpc_id.clone(),
            zone: subnet.zone.name.clone(),
            zone_id: subnet.zone.id.clone(),
            groups: launch.groups.clone(),
            source_dest_check: true,
            delete_on_termination: request.network.delete_on_termination.unwrap_or(true),
            attached: context.now,
        },
        key: launch.key.as_ref().map(|key| LoginKey {
            name: key.name.clone(),
            public_key: key.public_key_openssh.clone(),
        }),
        role: request.role.clone(),
        credentials: None,
        user_data: request.user_data.clone(),
        metadata: request.metadata.for_image(image.imds_support.as_deref()),
        shutdown_behavior: request.shutdown_behavior,
        disable_api_termination: request.disable_api_termination,
        disable_api_stop: request.disable_api_stop,
        ebs_optimized: request.ebs_optimized,
        monitoring: request.monitoring,
        cores: launch.cores,
        auto_recovery: request.auto_recovery,
        launched: context.now,
        phase: Phase::Pending { launch: true },
        reason: None,
        transition: String::new(),
    })
}

/// A hardware address as EC2's: locally administered, for one card only.
fn new_mac() -> String {
    let [a, b, c, d, e] = random::<5>();
    format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}
