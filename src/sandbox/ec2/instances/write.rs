//! Instances as XML.

use super::{Instance, Phase, State, metadata_options, role, state, volumes};
use crate::arch::Firmware;
use crate::sandbox::context::Context;
use crate::sandbox::ec2::places;
use crate::sandbox::ec2::volumes::Volume;
use crate::sandbox::tag;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// The instances of a reservation, in the order of their launch.
pub(super) fn of_reservation(world: &World, reservation: &str) -> Vec<Instance> {
    let mut instances: Vec<Instance> = world
        .ec2
        .instances
        .values()
        .filter(|instance| instance.reservation_id == reservation)
        .cloned()
        .collect();
    instances.sort_by_key(|instance| instance.launch_index);
    instances
}

/// Writes the members of a reservation with some of its instances.
pub(super) fn reservation(xml: &mut Xml, context: &Context, world: &World, instances: &[Instance]) {
    let Some(first) = instances.first() else {
        return;
    };
    xml.text("reservationId", &first.reservation_id)
        .text("ownerId", &first.owner)
        // Groups of EC2-Classic: instances of a VPC have theirs in their interfaces.
        .node("groupSet", |_| {})
        .list("instancesSet", instances, |xml, instance| {
            members(xml, context, world, instance);
        });
}

/// Whether an instance is attached to its volumes and its network.
fn is_attached(state: State) -> bool {
    state != State::Terminated
}

fn members(xml: &mut Xml, context: &Context, world: &World, instance: &Instance) {
    let state = state(instance, context.now);
    let attached = is_attached(state);
    xml.text("instanceId", &instance.id)
        .text("imageId", &instance.image_id);
    write_state(xml, "instanceState", state);
    xml.text(
        "privateDnsName",
        if attached {
            private_name(instance)
        } else {
            String::new()
        },
    )
    .text("dnsName", "")
    .text("reason", &instance.transition)
    .optional("keyName", instance.key.as_ref().map(|key| &key.name))
    .text("amiLaunchIndex", instance.launch_index)
    .node("productCodes", |_| {})
    .text("instanceType", &instance.instance_type)
    .text("launchTime", instance.launched.iso())
    .node("placement", |xml| {
        xml.text("availabilityZone", &instance.interface.zone)
            .text("availabilityZoneId", &instance.interface.zone_id)
            .text("groupName", "")
            .text("tenancy", "default");
    })
    .node("monitoring", |xml| {
        xml.text("state", monitoring(instance));
    });
    if attached {
        xml.text("subnetId", &instance.interface.subnet_id)
            .text("vpcId", &instance.interface.vpc_id)
            .text("privateIpAddress", instance.interface.address)
            .text("sourceDestCheck", instance.interface.source_dest_check);
        groups(xml, instance);
    }
    if let Some(reason) = instance.reason.as_ref().filter(|_| state != State::Pending) {
        xml.node("stateReason", |xml| {
            xml.text("code", &reason.code)
                .text("message", &reason.message);
        });
    }
    xml.text("architecture", &instance.architecture)
        .text("rootDeviceType", "ebs")
        .text("rootDeviceName", &instance.root_device_name);
    block_devices(xml, &volumes(world, instance), state);
    role::write(xml, instance);
    xml.text("virtualizationType", "hvm").text(
        "clientToken",
        instance.client_token.as_deref().unwrap_or_default(),
    );
    tag::write_tags(xml, &world.tags.of(&instance.owner, &instance.id));
    // EC2 says `xen` of Nitro instances too.
    xml.text("hypervisor", "xen");
    xml.node("networkInterfaceSet", |xml| {
        if attached {
            xml.node("item", |xml| interface(xml, instance));
        }
    });
    xml.text("ebsOptimized", instance.ebs_optimized)
        .text("enaSupport", has_ena(instance))
        .node("cpuOptions", |xml| {
            let (cores, threads) = instance.cores;
            xml.text("coreCount", cores).text("threadsPerCore", threads);
        })
        .node("capacityReservationSpecification", |xml| {
            xml.text("capacityReservationPreference", "open");
        })
        .node("hibernationOptions", |xml| {
            xml.text("configured", false);
        })
        .node("metadataOptions", |xml| {
            metadata_options::write(xml, &instance.metadata);
        })
        .node("enclaveOptions", |xml| {
            xml.text("enabled", false);
        })
        .optional("bootMode", instance.boot_mode.as_ref())
        .text("platformDetails", "Linux/UNIX")
        .text("usageOperation", "RunInstances")
        .text("usageOperationUpdateTime", instance.launched.iso())
        .node("privateDnsNameOptions", |xml| {
            xml.text("hostnameType", "ip-name")
                .text("enableResourceNameDnsARecord", false)
                .text("enableResourceNameDnsAAAARecord", false);
        })
        .node("maintenanceOptions", |xml| {
            xml.text("autoRecovery", auto_recovery(instance));
        })
        .text("currentInstanceBootMode", current_boot_mode(instance));
}

/// Writes a state's number and name.
pub(super) fn write_state(xml: &mut Xml, name: &str, state: State) {
    xml.node(name, |xml| {
        xml.text("code", state.code()).text("name", state.name());
    });
}

/// Writes a `groupSet`.
pub(super) fn groups(xml: &mut Xml, instance: &Instance) {
    xml.list("groupSet", &instance.interface.groups, |xml, (id, name)| {
        xml.text("groupId", id).text("groupName", name);
    });
}

/// Writes a `blockDeviceMapping`.
pub(super) fn block_devices(xml: &mut Xml, volumes: &[&Volume], state: State) {
    xml.list("blockDeviceMapping", volumes, |xml, volume| {
        let Some(attachment) = &volume.attachment else {
            return;
        };
        xml.text("deviceName", &attachment.device)
            .node("ebs", |xml| {
                xml.text("volumeId", &volume.id)
                    .text("status", attachment_status(state))
                    .text("attachTime", attachment.since.iso())
                    .text("deleteOnTermination", attachment.delete_on_termination);
            });
    });
}

fn interface(xml: &mut Xml, instance: &Instance) {
    let interface = &instance.interface;
    xml.text("networkInterfaceId", &interface.id)
        .text("subnetId", &interface.subnet_id)
        .text("vpcId", &interface.vpc_id)
        .text("description", &interface.description)
        .text("ownerId", &instance.owner)
        .text("status", "in-use")
        .text("macAddress", &interface.mac)
        .text("privateIpAddress", interface.address)
        .text("privateDnsName", private_name(instance))
        .text("sourceDestCheck", interface.source_dest_check);
    groups(xml, instance);
    xml.node("attachment", |xml| {
        xml.text("attachmentId", &interface.attachment_id)
            .text("deviceIndex", 0)
            .text("status", interface_status(instance))
            .text("attachTime", interface.attached.iso())
            .text("deleteOnTermination", interface.delete_on_termination)
            .text("networkCardIndex", 0);
    })
    .node("privateIpAddressesSet", |xml| {
        xml.node("item", |xml| {
            xml.text("privateIpAddress", interface.address)
                .text("privateDnsName", private_name(instance))
                .text("primary", true);
        });
    })
    .node("ipv6AddressesSet", |_| {})
    .text("interfaceType", "interface");
}

/// How far the attachment of a volume is.
pub(super) fn attachment_status(state: State) -> &'static str {
    match state {
        State::Pending => "attaching",
        _ => "attached",
    }
}

/// How far the attachment of the network interface is.
pub(super) fn interface_status(instance: &Instance) -> &'static str {
    match instance.phase {
        Phase::Pending { .. } => "attaching",
        _ => "attached",
    }
}

/// `ip-172-31-0-5.ec2.internal`, or with the Region's name outside `us-east-1`.
pub(crate) fn private_name(instance: &Instance) -> String {
    let address = instance.interface.address.to_string().replace('.', "-");
    match instance.region.as_str() {
        "us-east-1" => format!("ip-{address}.ec2.internal"),
        region => format!("ip-{address}.{region}.compute.internal"),
    }
}

/// EC2's word for how an instance is monitored.
pub(super) fn monitoring(instance: &Instance) -> &'static str {
    if instance.monitoring {
        "enabled"
    } else {
        "disabled"
    }
}

/// EC2's word for whether an instance is recovered by itself.
pub(super) fn auto_recovery(instance: &Instance) -> &'static str {
    if instance.auto_recovery {
        "default"
    } else {
        "disabled"
    }
}

/// What an instance boots with, in EC2's words.
pub(super) fn current_boot_mode(instance: &Instance) -> &'static str {
    match instance.firmware {
        Firmware::Bios => "legacy-bios",
        Firmware::Uefi => "uefi",
    }
}

/// Whether its network card is EC2's own.
pub(super) fn has_ena(instance: &Instance) -> bool {
    places::instance_type(&instance.instance_type).is_some_and(|kind| kind.ena != "unsupported")
}
