//! DescribeInstances.

use super::{Instance, State, find_all, is_visible, state, volumes, write};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::volumes::Volume;
use crate::sandbox::error::ServiceError;
use crate::sandbox::tag;
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// The filters that EC2 has. Those of what the sandbox's instances never have are among them, and
/// match none.
const FILTERS: &[&str] = &[
    "affinity",
    "architecture",
    "availability-zone",
    "availability-zone-id",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "boot-mode",
    "capacity-reservation-id",
    "capacity-reservation-specification.capacity-reservation-preference",
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id",
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn",
    "client-token",
    "current-instance-boot-mode",
    "dns-name",
    "ebs-optimized",
    "ena-support",
    "enclave-options.enabled",
    "hibernation-options.configured",
    "host-id",
    "hypervisor",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "ip-address",
    "ipv6-address",
    "kernel-id",
    "key-name",
    "launch-index",
    "launch-time",
    "maintenance-options.auto-recovery",
    "metadata-options.http-endpoint",
    "metadata-options.http-protocol-ipv4",
    "metadata-options.http-protocol-ipv6",
    "metadata-options.http-put-response-hop-limit",
    "metadata-options.http-tokens",
    "metadata-options.instance-metadata-tags",
    "metadata-options.state",
    "monitoring-state",
    "network-interface.addresses.association.allocation-id",
    "network-interface.addresses.association.association-id",
    "network-interface.addresses.association.carrier-ip",
    "network-interface.addresses.association.customer-owned-ip",
    "network-interface.addresses.association.ip-owner-id",
    "network-interface.addresses.association.public-dns-name",
    "network-interface.addresses.association.public-ip",
    "network-interface.addresses.primary",
    "network-interface.addresses.private-dns-name",
    "network-interface.addresses.private-ip-address",
    "network-interface.association.allocation-id",
    "network-interface.association.association-id",
    "network-interface.association.carrier-ip",
    "network-interface.association.customer-owned-ip",
    "network-interface.association.ip-owner-id",
    "network-interface.association.public-dns-name",
    "network-interface.association.public-ip",
    "network-interface.attachment.attach-time",
    "network-interface.attachment.attachment-id",
    "network-interface.attachment.delete-on-termination",
    "network-interface.attachment.device-index",
    "network-interface.attachment.instance-id",
    "network-interface.attachment.instance-owner-id",
    "network-interface.attachment.network-card-index",
    "network-interface.attachment.status",
    "network-interface.availability-zone",
    "network-interface.deny-all-igw-traffic",
    "network-interface.description",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.ipv4-prefixes.ipv4-prefix",
    "network-interface.ipv6-address",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.ipv6-addresses.is-primary-ipv6",
    "network-interface.ipv6-native",
    "network-interface.ipv6-prefixes.ipv6-prefix",
    "network-interface.mac-address",
    "network-interface.network-interface-id",
    "network-interface.operator.managed",
    "network-interface.operator.principal",
    "network-interface.outpost-arn",
    "network-interface.owner-id",
    "network-interface.private-dns-name",
    "network-interface.private-ip-address",
    "network-interface.public-dns-name",
    "network-interface.requester-id",
    "network-interface.requester-managed",
    "network-interface.status",
    "network-interface.source-dest-check",
    "network-interface.subnet-id",
    "network-interface.tag-key",
    "network-interface.tag-value",
    "network-interface.vpc-id",
    "network-performance-options.bandwidth-weighting",
    "operator.managed",
    "operator.principal",
    "outpost-arn",
    "owner-id",
    "placement-group-name",
    "placement-partition-number",
    "platform",
    "platform-details",
    "private-dns-name",
    "private-dns-name-options.enable-resource-name-dns-a-record",
    "private-dns-name-options.enable-resource-name-dns-aaaa-record",
    "private-dns-name-options.hostname-type",
    "private-ip-address",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "reason",
    "requester-id",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "source-dest-check",
    "spot-instance-request-id",
    "state-reason-code",
    "state-reason-message",
    "subnet-id",
    "tag:",
    "tag-key",
    "tenancy",
    "tpm-support",
    "usage-operation",
    "usage-operation-update-time",
    "virtualization-type",
    "vpc-id",
];

/// DescribeInstances. Pages are of instances, as EC2's, so a reservation may be in two pages.
pub(super) fn describe(
    context: &Context,
    world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let ids = params.list("InstanceId")?;
    let filters = Filters::take(params, FILTERS)?;
    let page = Page::take(params, "DescribeInstances", 5..=1000)?;
    // Nobody manages instances for others here, so there are none to include.
    params.flag("IncludeManagedResources")?;
    params.finish()?;
    if page.is_limited() && !ids.is_empty() {
        return Err(ServiceError::invalid_combination(
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    let named = find_all(context, world, &ids)?;
    let instances: Vec<Instance> = if ids.is_empty() {
        world
            .ec2
            .instances
            .values()
            .filter(|instance| is_visible(context, instance))
            .cloned()
            .collect()
    } else {
        named.into_iter().cloned().collect()
    };
    let mut passed: Vec<Instance> = instances
        .into_iter()
        .filter(|instance| {
            let subject = Subject::new(context, world, instance);
            filters.pass(|name| subject.values(name))
        })
        .collect();
    passed.sort_by_key(place);
    let (shown, token) = page.cut("DescribeInstances", passed, place);

    let mut xml = Xml::new();
    xml.list(
        "reservationSet",
        shown.chunk_by(|one, next| one.reservation_id == next.reservation_id),
        |xml, instances| write::reservation(xml, context, world, instances),
    );
    xml.optional("nextToken", token);
    Ok(xml)
}

/// Where an instance stands among all: by reservation, in the order of its launch.
fn place(instance: &Instance) -> String {
    format!("{}/{:08}", instance.reservation_id, instance.launch_index)
}

/// An instance that filters look at.
struct Subject<'a> {
    context: &'a Context,
    world: &'a World,
    instance: &'a Instance,
    state: State,
    volumes: Vec<&'a Volume>,
}

impl<'a> Subject<'a> {
    fn new(context: &'a Context, world: &'a World, instance: &'a Instance) -> Subject<'a> {
        Subject {
            context,
            world,
            instance,
            state: state(instance, context.now),
            volumes: volumes(world, instance),
        }
    }

    /// The values that the instance has for a filter.
    fn values(&self, name: &str) -> Vec<String> {
        if let Some(part) = name.strip_prefix("block-device-mapping.") {
            return self.of_volumes(part);
        }
        if let Some(part) = name.strip_prefix("metadata-options.") {
            return vec![self.of_metadata(part)];
        }
        if let Some(part) = name.strip_prefix("network-interface.") {
            return self.of_interface(part);
        }
        if name == "tag-key" || name.starts_with("tag:") {
            let tags = self
                .world
                .tags
                .of(&self.context.caller.account, &self.instance.id);
            return tag::filter_values(&tags, name);
        }
        match name {
            "instance.group-id" => self.groups(|(id, _)| id),
            "instance.group-name" => self.groups(|(_, name)| name),
            _ => self.single(name).into_iter().collect(),
        }
    }

    fn groups(&self, part: impl Fn(&(String, String)) -> &String) -> Vec<String> {
        let groups = &self.instance.interface.groups;
        groups.iter().map(|group| part(group).clone()).collect()
    }

    fn single(&self, name: &str) -> Option<String> {
        let instance = self.instance;
        let interface = &instance.interface;
        let reason = instance
            .reason
            .as_ref()
            .filter(|_| self.state != State::Pending);
        Some(match name {
            "architecture" => instance.architecture.clone(),
            "availability-zone" => interface.zone.clone(),
            "availability-zone-id" => interface.zone_id.clone(),
            "boot-mode" => instance.boot_mode.clone()?,
            "capacity-reservation-specification.capacity-reservation-preference" => {
                "open".to_owned()
            }
            "client-token" => instance.client_token.clone()?,
            "current-instance-boot-mode" => write::current_boot_mode(instance).to_owned(),
            "ebs-optimized" => instance.ebs_optimized.to_string(),
            "ena-support" => write::has_ena(instance).to_string(),
            "enclave-options.enabled"
            | "hibernation-options.configured"
            | "operator.managed"
            | "private-dns-name-options.enable-resource-name-dns-a-record"
            | "private-dns-name-options.enable-resource-name-dns-aaaa-record" => false.to_string(),
            "hypervisor" => "xen".to_owned(),
            "image-id" => instance.image_id.clone(),
            "instance-id" => instance.id.clone(),
            "instance-state-code" => self.state.code().to_string(),
            "instance-state-name" => self.state.name().to_owned(),
            "instance-type" => instance.instance_type.clone(),
            "key-name" => instance.key.as_ref()?.name.clone(),
            "launch-index" => instance.launch_index.to_string(),
            "launch-time" | "usage-operation-update-time" => instance.launched.iso(),
            "maintenance-options.auto-recovery" => write::auto_recovery(instance).to_owned(),
            "monitoring-state" => write::monitoring(instance).to_owned(),
            "network-performance-options.bandwidth-weighting" | "tenancy" => "default".to_owned(),
            "owner-id" => instance.owner.to_string(),
            "platform-details" => "Linux/UNIX".to_owned(),
            "private-dns-name" => write::private_name(instance),
            "private-dns-name-options.hostname-type" => "ip-name".to_owned(),
            "private-ip-address" => interface.address.to_string(),
            "reason" => instance.transition.clone(),
            "reservation-id" => instance.reservation_id.clone(),
            "root-device-name" => instance.root_device_name.clone(),
            "root-device-type" => "ebs".to_owned(),
            "source-dest-check" => interface.source_dest_check.to_string(),
            "state-reason-code" => reason?.code.clone(),
            "state-reason-message" => reason?.message.clone(),
            "subnet-id" => interface.subnet_id.clone(),
            "usage-operation" => "RunInstances".to_owned(),
            "virtualization-type" => "hvm".to_owned(),
            "vpc-id" => interface.vpc_id.clone(),
            _ => return None,
        })
    }

    fn of_volumes(&self, part: &str) -> Vec<String> {
        self.volumes
            .iter()
            .filter_map(|volume| {
                let attachment = volume.attachment.as_ref()?;
                Some(match part {
                    "attach-time" => attachment.since.iso(),
                    "delete-on-termination" => attachment.delete_on_termination.to_string(),
                    "device-name" => attachment.device.clone(),
                    "status" => write::attachment_status(self.state).to_owned(),
                    "volume-id" => volume.id.clone(),
                    _ => return None,
                })
            })
            .collect()
    }

    fn of_metadata(&self, part: &str) -> String {
        let options = &self.instance.metadata;
        let on = |on: bool| if on { "enabled" } else { "disabled" };
        match part {
            "http-endpoint" => on(options.endpoint).to_owned(),
            "http-protocol-ipv4" => "enabled".to_owned(),
            "http-protocol-ipv6" => "disabled".to_owned(),
            "http-put-response-hop-limit" => options.hop_limit.to_string(),
            "http-tokens" if options.tokens_required => "required".to_owned(),
            "http-tokens" => "optional".to_owned(),
            "instance-metadata-tags" => on(options.tags).to_owned(),
            _ => "applied".to_owned(),
        }
    }

    fn of_interface(&self, part: &str) -> Vec<String> {
        let instance = self.instance;
        let interface = &instance.interface;
        if self.state == State::Terminated {
            return Vec::new();
        }
        let value = match part {
            "addresses.primary" => true.to_string(),
            "addresses.private-dns-name" | "private-dns-name" => write::private_name(instance),
            "addresses.private-ip-address" | "private-ip-address" => interface.address.to_string(),
            "attachment.attach-time" => interface.attached.iso(),
            "attachment.attachment-id" => interface.attachment_id.clone(),
            "attachment.delete-on-termination" => interface.delete_on_termination.to_string(),
            "attachment.device-index" | "attachment.network-card-index" => "0".to_owned(),
            "attachment.instance-id" => instance.id.clone(),
            "attachment.instance-owner-id" | "owner-id" => instance.owner.to_string(),
            "attachment.status" => write::interface_status(instance).to_owned(),
            "availability-zone" => interface.zone.clone(),
            "deny-all-igw-traffic" | "ipv6-native" | "operator.managed" | "requester-managed" => {
                false.to_string()
            }
            "description" => interface.description.clone(),
            "group-id" => return self.groups(|(id, _)| id),
            "group-name" => return self.groups(|(_, name)| name),
            "mac-address" => interface.mac.clone(),
            "network-interface-id" => interface.id.clone(),
            "source-dest-check" => interface.source_dest_check.to_string(),
            "status" => "in-use".to_owned(),
            "subnet-id" => interface.subnet_id.clone(),
            "vpc-id" => interface.vpc_id.clone(),
            "tag-key" | "tag-value" => {
                let account = &self.context.caller.account;
                let tags = self.world.tags.of(account, &interface.id);
                return tag::filter_values(&tags, part);
            }
            _ => return Vec::new(),
        };
        vec![value]
    }
}
