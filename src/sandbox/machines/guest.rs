//! An instance as a machine: its hardware, and what its metadata service tells.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::arch::Arch;
use crate::sandbox::ec2::instances::{self, Instance};
use crate::sandbox::ec2::places;
use crate::sandbox::ec2::volumes::Volume;
use crate::sandbox::server::SOCKET;
use crate::sandbox::shared::Shared;
use crate::sandbox::world::World;
use crate::vm::accel::Accel;
use crate::vm::command::{AttachedVolume, MachineConfig, MetadataLink, OnReset, RootDisk};
use crate::vm::imds::Access;
use crate::vm::metadata::{InstanceMetadata, PublicKey};

/// A machine has at most so much memory, however much its instance type has: many fit into the
/// memory of a laptop.
const MOST_MEMORY_MIB: u64 = 2048;

/// The architecture that EC2 calls so.
pub fn arch(name: &str) -> Option<Arch> {
    match name {
        "x86_64" => Some(Arch::X86_64),
        "arm64" => Some(Arch::Aarch64),
        _ => None,
    }
}

/// The machine of an instance, whose metadata service listens on the socket `metadata`.
///
/// # Errors
/// What it lacks.
pub fn machine(
    shared: &Shared,
    id: &str,
    accel: Accel,
    program: &Path,
    metadata: &Path,
) -> Result<MachineConfig, String> {
    let program = absolute(program)?;
    let endpoint = absolute(&shared.folder.join(SOCKET))?;
    let relay = |socket: &Path| MetadataLink {
        relay: program.clone(),
        socket: socket.to_owned(),
    };
    shared.read(|world| {
        let instance = world
            .ec2
            .instances
            .get(id)
            .ok_or("the instance is not there any more")?;
        let volumes = instances::volumes(world, instance).into_iter();
        let mut volumes = volumes.filter_map(|volume| attached(shared, volume));
        let root = volumes
            .next()
            .transpose()?
            .filter(|volume| volume.device_name == instance.root_device_name)
            .ok_or("it has no root volume")?;
        let arch = arch(&instance.architecture).ok_or("no machine has its architecture")?;
        let kind = places::instance_type(&instance.instance_type);
        let memory = kind.map_or(MOST_MEMORY_MIB, |kind| kind.memory_mib.min(MOST_MEMORY_MIB));
        Ok(MachineConfig {
            root: RootDisk::Kept {
                device_name: root.device_name,
            },
            volume_id: root.id,
            volumes: volumes.collect::<Result<_, _>>()?,
            memory_mib: u32::try_from(memory).unwrap_or(u32::MAX),
            cpus: processors(accel, kind.map_or(1, |kind| kind.vcpus)),
            metadata: Some(relay(metadata)),
            // A state folder whose path is too long for a socket has none, and was warned of.
            endpoint: endpoint.exists().then(|| relay(&endpoint)),
            mac: instance.interface.mac.clone(),
            on_reset: OnReset::Reboot,
            ..MachineConfig::new(root.file, arch, instance.firmware)
        })
    })
}

/// As many processors as the type has and this machine can give; emulated, several take longer
/// than one.
fn processors(accel: Accel, of_type: u32) -> u32 {
    match accel {
        Accel::Tcg => 1,
        Accel::Kvm => {
            let here = std::thread::available_parallelism().map_or(1, |count| count.get());
            of_type.min(u32::try_from(here).unwrap_or(1))
        }
    }
}

/// A volume that is attached to an instance, as its machine has it.
pub fn volume(shared: &Shared, id: &str) -> Option<AttachedVolume> {
    let volume = shared.read(|world| world.ec2.volumes.get(id).cloned())?;
    match attached(shared, &volume)? {
        Ok(volume) => Some(volume),
        Err(why) => {
            tracing::error!(%why, volume = id, "sandbox: a volume does not come");
            None
        }
    }
}

fn attached(shared: &Shared, volume: &Volume) -> Option<Result<AttachedVolume, String>> {
    let attachment = volume.attachment.as_ref()?;
    let file = absolute(&shared.blocks.volume_file(&volume.id));
    Some(file.map(|file| AttachedVolume {
        id: volume.id.clone(),
        file,
        device_name: attachment.device.clone(),
    }))
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("cannot use {}: {error}", path.display()))
}

/// What an instance's metadata service tells now, and whom; none where the instance is gone.
pub fn metadata(shared: &Arc<Shared>, id: &str) -> Option<(Access, Arc<InstanceMetadata>)> {
    instances::role::renew(shared, id);
    shared.read(|world| {
        let instance = world.ec2.instances.get(id)?;
        let options = &instance.metadata;
        let access = match (options.endpoint, options.tokens_required) {
            (false, _) => Access::Off,
            (true, true) => Access::Tokens,
            (true, false) => Access::Open,
        };
        Some((access, Arc::new(describe(world, instance)?)))
    })
}

fn describe(world: &World, instance: &Instance) -> Option<InstanceMetadata> {
    let user_data = instance.user_data.as_ref();
    Some(InstanceMetadata {
        ami_id: instance.image_id.clone(),
        instance_id: instance.id.clone(),
        instance_type: instance.instance_type.clone(),
        arch: arch(&instance.architecture)?,
        account_id: instance.owner.to_string(),
        region: instance.region.to_string(),
        availability_zone: instance.interface.zone.clone(),
        local_hostname: instances::private_name(instance),
        local_ipv4: instance.interface.address,
        mac: instance.interface.mac.clone(),
        // To the second, as EC2 has it.
        pending_time: format!("{}Z", instance.launched.iso().get(..19)?),
        public_key: instance.key.as_ref().map(|key| PublicKey {
            name: key.name.clone(),
            openssh_key: key.public_key.clone(),
        }),
        // It was checked when it came in.
        user_data: user_data.and_then(|text| BASE64_STANDARD.decode(text).ok()),
        tags: instance
            .metadata
            .tags
            .then(|| world.tags.of(&instance.owner, &instance.id)),
        more: more(world, instance),
    })
}

/// Leaves that only the sandbox knows.
fn more(world: &World, instance: &Instance) -> BTreeMap<String, String> {
    let interface = &instance.interface;
    let list = |part: fn(&(String, String)) -> &str| {
        let parts: Vec<&str> = interface.groups.iter().map(part).collect();
        parts.join("\n")
    };
    let (group_ids, group_names) = (list(|(id, _)| id), list(|(_, name)| name));
    let network = format!("network/interfaces/macs/{}", interface.mac);
    let short = |name: &str| name.strip_prefix("/dev/").unwrap_or(name).to_owned();
    let mut leaves: BTreeMap<String, String> = [
        ("ami-launch-index", instance.launch_index.to_string()),
        ("reservation-id", instance.reservation_id.clone()),
        ("security-groups", group_names.clone()),
        ("placement/availability-zone-id", interface.zone_id.clone()),
        (
            "block-device-mapping/ami",
            short(&instance.root_device_name),
        ),
        (
            "block-device-mapping/root",
            instance.root_device_name.clone(),
        ),
    ]
    .map(|(path, value)| (path.to_owned(), value))
    .into();
    for (name, value) in [
        ("interface-id", interface.id.clone()),
        ("security-group-ids", group_ids),
        ("security-groups", group_names),
        ("subnet-id", interface.subnet_id.clone()),
        ("vpc-id", interface.vpc_id.clone()),
    ] {
        leaves.insert(format!("{network}/{name}"), value);
    }
    leaves.extend(instances::role::leaves(world, instance));
    let others = instances::volumes(world, instance).into_iter().skip(1);
    for (number, volume) in (1..).zip(others) {
        if let Some(attachment) = &volume.attachment {
            leaves.insert(
                format!("block-device-mapping/ebs{number}"),
                short(&attachment.device),
            );
        }
    }
    leaves
}
