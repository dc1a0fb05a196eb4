//! DescribeInstanceTypes and DescribeInstanceTypeOfferings.

use super::types::{EbsSpeed, InstanceType, TYPES};
use super::zones::{offered, zones};
use crate::sandbox::context::Context;
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::Region;
use crate::sandbox::wire::filter::Filters;
use crate::sandbox::wire::page::Page;
use crate::sandbox::wire::query::Params;
use crate::sandbox::wire::xml::Xml;
use crate::sandbox::world::World;

/// A call names at most so many types.
const MOST_TYPES: usize = 100;

const FILTERS: &[&str] = &[
    "auto-recovery-supported",
    "bare-metal",
    "burstable-performance-supported",
    "current-generation",
    "dedicated-hosts-supported",
    "ebs-info.attachment-limit-type",
    "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.baseline-iops",
    "ebs-info.ebs-optimized-info.baseline-throughput-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-iops",
    "ebs-info.ebs-optimized-info.maximum-throughput-in-mbps",
    "ebs-info.ebs-optimized-support",
    "ebs-info.encryption-support",
    "ebs-info.maximum-ebs-attachments",
    "ebs-info.nvme-support",
    "free-tier-eligible",
    "hibernation-supported",
    "hypervisor",
    "instance-storage-info.disk.count",
    "instance-storage-info.disk.size-in-gb",
    "instance-storage-info.disk.type",
    "instance-storage-info.encryption-support",
    "instance-storage-info.nvme-support",
    "instance-storage-info.total-size-in-gb",
    "instance-storage-supported",
    "instance-type",
    "memory-info.size-in-mib",
    "network-info.bandwidth-weightings",
    "network-info.efa-info.maximum-efa-interfaces",
    "network-info.efa-supported",
    "network-info.ena-support",
    "network-info.encryption-in-transit-supported",
    "network-info.flexible-ena-queues-support",
    "network-info.ipv4-addresses-per-interface",
    "network-info.ipv6-addresses-per-interface",
    "network-info.ipv6-supported",
    "network-info.maximum-network-cards",
    "network-info.maximum-network-interfaces",
    "network-info.network-performance",
    "nitro-enclaves-support",
    "nitro-tpm-info.supported-versions",
    "nitro-tpm-support",
    "processor-info.supported-architecture",
    "processor-info.supported-features",
    "processor-info.sustained-clock-speed-in-ghz",
    "reboot-migration-support",
    "supported-boot-mode",
    "supported-root-device-type",
    "supported-usage-class",
    "supported-virtualization-type",
    "vcpu-info.default-cores",
    "vcpu-info.default-threads-per-core",
    "vcpu-info.default-vcpus",
    "vcpu-info.valid-cores",
    "vcpu-info.valid-threads-per-core",
];

/// Whether some zone of a Region has instances of a type.
fn offered_in(region: &Region, kind: &InstanceType) -> bool {
    zones(region)
        .iter()
        .any(|zone| offered(region, &zone.name, kind.name))
}

pub(super) fn types(
    context: &Context,
    _world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let names = params.list("InstanceType")?;
    let everywhere = params.flag("IncludeUnsupportedInRegion")?.unwrap_or(false);
    let filters = Filters::take(params, FILTERS)?;
    let page = Page::take(params, &context.operation, 5..=100)?;
    params.finish()?;
    if names.len() > MOST_TYPES {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            format!("At most {MOST_TYPES} instance types can be given"),
        ));
    }
    let region = &context.region;
    let here: Vec<&InstanceType> = TYPES
        .iter()
        .filter(|kind| everywhere || offered_in(region, kind))
        .collect();
    let unknown: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !here.iter().any(|kind| kind.name == *name))
        .collect();
    if !unknown.is_empty() {
        return Err(ServiceError::new(
            "InvalidInstanceType",
            format!(
                "The following supplied instance types do not exist: [{}]",
                unknown.join(", ")
            ),
        ));
    }
    let found: Vec<&InstanceType> = here
        .into_iter()
        .filter(|kind| names.is_empty() || names.iter().any(|name| name == kind.name))
        .filter(|kind| filters.pass(|filter| values(kind, filter)))
        .collect();
    let (found, next) = page.cut(&context.operation, found, |kind| kind.name.to_owned());
    let mut xml = Xml::new();
    xml.list("instanceTypeSet", found, |xml, kind| {
        write(kind, offered_in(region, kind), xml);
    })
    .optional("nextToken", next);
    Ok(xml)
}

/// Mbit/s in MB/s, as EC2 writes it.
fn megabytes(mbps: u32) -> f64 {
    f64::from(mbps) / 8.0
}

fn supported(holds: bool) -> &'static str {
    if holds { "supported" } else { "unsupported" }
}

fn threads_per_core(kind: &InstanceType) -> u32 {
    kind.vcpus / kind.cores
}

/// How many cores can be asked for; nothing for types that take no such wish.
fn valid_cores(kind: &InstanceType) -> Vec<u32> {
    if kind.vcpus < 2 {
        return Vec::new();
    }
    (1..=kind.cores).collect()
}

/// How many threads a core can be asked to have.
fn valid_threads(kind: &InstanceType) -> Vec<u32> {
    if kind.vcpus < 2 {
        return Vec::new();
    }
    (1..=threads_per_core(kind)).collect()
}

fn placement(kind: &InstanceType) -> &'static [&'static str] {
    if kind.cluster_placement {
        &["cluster", "partition", "spread"]
    } else {
        &["partition", "spread"]
    }
}

fn texts(numbers: Vec<u32>) -> Vec<String> {
    numbers.iter().map(u32::to_string).collect()
}

fn values(kind: &InstanceType, filter: &str) -> Vec<String> {
    let ebs = |figure: fn(&EbsSpeed) -> String| kind.ebs.iter().map(figure).collect();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    vec![match filter {
        "auto-recovery-supported" | "hibernation-supported" | "network-info.ipv6-supported" => {
            true.to_string()
        }
        "bare-metal" | "instance-storage-supported" | "network-info.efa-supported" => {
            false.to_string()
        }
        "burstable-performance-supported" => kind.burstable.to_string(),
        "current-generation" => kind.current_generation.to_string(),
        "dedicated-hosts-supported" => kind.dedicated_hosts.to_string(),
        "ebs-info.attachment-limit-type" => attachment_limit(kind).to_owned(),
        "ebs-info.maximum-ebs-attachments" => kind.attachments.to_string(),
        "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps" => {
            return ebs(|ebs| ebs.baseline_mbps.to_string());
        }
        "ebs-info.ebs-optimized-info.baseline-iops" => {
            return ebs(|ebs| ebs.baseline_iops.to_string());
        }
        "ebs-info.ebs-optimized-info.baseline-throughput-in-mbps" => {
            return ebs(|ebs| megabytes(ebs.baseline_mbps).to_string());
        }
        "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps" => {
            return ebs(|ebs| ebs.maximum_mbps.to_string());
        }
        "ebs-info.ebs-optimized-info.maximum-iops" => {
            return ebs(|ebs| ebs.maximum_iops.to_string());
        }
        "ebs-info.ebs-optimized-info.maximum-throughput-in-mbps" => {
            return ebs(|ebs| megabytes(ebs.maximum_mbps).to_string());
        }
        "ebs-info.ebs-optimized-support" => ebs_optimized(kind).to_owned(),
        "ebs-info.encryption-support" => "supported".to_owned(),
        "ebs-info.nvme-support" => kind.nvme.to_owned(),
        "free-tier-eligible" => kind.free_tier.to_string(),
        "hypervisor" => kind.hypervisor.to_owned(),
        "instance-type" => kind.name.to_owned(),
        "memory-info.size-in-mib" => kind.memory_mib.to_string(),
        "network-info.ena-support" => kind.ena.to_owned(),
        "network-info.encryption-in-transit-supported" => kind.encrypts_traffic.to_string(),
        "network-info.flexible-ena-queues-support" => supported(kind.flexible_queues).to_owned(),
        "network-info.ipv4-addresses-per-interface"
        | "network-info.ipv6-addresses-per-interface" => kind.network.addresses.to_string(),
        "network-info.maximum-network-cards" => 1.to_string(),
        "network-info.maximum-network-interfaces" => kind.network.interfaces.to_string(),
        "network-info.network-performance" => kind.network.performance.to_owned(),
        "nitro-enclaves-support" => supported(kind.enclaves).to_owned(),
        "nitro-tpm-info.supported-versions" => {
            return words(if kind.tpm { &["2.0"] } else { &[] });
        }
        "nitro-tpm-support" => supported(kind.tpm).to_owned(),
        "processor-info.supported-architecture" => return words(kind.architectures),
        "processor-info.sustained-clock-speed-in-ghz" => kind.clock_ghz.to_string(),
        "reboot-migration-support" => "supported".to_owned(),
        "supported-boot-mode" => return words(kind.boot_modes),
        "supported-root-device-type" => "ebs".to_owned(),
        "supported-usage-class" => return words(&["on-demand", "spot"]),
        "supported-virtualization-type" => "hvm".to_owned(),
        "vcpu-info.default-cores" => kind.cores.to_string(),
        "vcpu-info.default-threads-per-core" => threads_per_core(kind).to_string(),
        "vcpu-info.default-vcpus" => kind.vcpus.to_string(),
        "vcpu-info.valid-cores" => return texts(valid_cores(kind)),
        "vcpu-info.valid-threads-per-core" => return texts(valid_threads(kind)),
        // Disks of their own, Elastic Fabric Adapters and the like: no type here has them.
        _ => return Vec::new(),
    }]
}

fn attachment_limit(kind: &InstanceType) -> &'static str {
    if kind.own_attachment_limit {
        "dedicated"
    } else {
        "shared"
    }
}

fn ebs_optimized(kind: &InstanceType) -> &'static str {
    if kind.ebs.is_some() {
        "default"
    } else {
        "unsupported"
    }
}

fn write_words<T: std::fmt::Display>(xml: &mut Xml, name: &str, words: &[T]) {
    xml.node(name, |xml| {
        for word in words {
            xml.text("item", word);
        }
    });
}

fn write(kind: &InstanceType, is_here: bool, xml: &mut Xml) {
    xml.text("instanceType", kind.name)
        .text("currentGeneration", kind.current_generation)
        .text("freeTierEligible", kind.free_tier);
    write_words(xml, "supportedUsageClasses", &["on-demand", "spot"]);
    write_words(xml, "supportedRootDeviceTypes", &["ebs"]);
    write_words(xml, "supportedVirtualizationTypes", &["hvm"]);
    xml.text("bareMetal", false)
        .text("hypervisor", kind.hypervisor)
        .node("processorInfo", |xml| {
            write_words(xml, "supportedArchitectures", kind.architectures);
            xml.text("sustainedClockSpeedInGhz", kind.clock_ghz)
                .text("manufacturer", kind.manufacturer);
        })
        .node("vCpuInfo", |xml| {
            xml.text("defaultVCpus", kind.vcpus)
                .text("defaultCores", kind.cores)
                .text("defaultThreadsPerCore", threads_per_core(kind));
            write_words(xml, "validCores", &valid_cores(kind));
            write_words(xml, "validThreadsPerCore", &valid_threads(kind));
        })
        .node("memoryInfo", |xml| {
            xml.text("sizeInMiB", kind.memory_mib);
        })
        .text("instanceStorageSupported", false)
        .node("ebsInfo", |xml| write_ebs(kind, xml))
        .node("networkInfo", |xml| write_network(kind, xml))
        .node("placementGroupInfo", |xml| {
            write_words(xml, "supportedStrategies", placement(kind));
        })
        .text("hibernationSupported", true)
        .text("burstablePerformanceSupported", kind.burstable)
        .text("dedicatedHostsSupported", kind.dedicated_hosts)
        .text("autoRecoverySupported", true);
    write_words(xml, "supportedBootModes", kind.boot_modes);
    xml.text("nitroEnclavesSupport", supported(kind.enclaves))
        .text("nitroTpmSupport", supported(kind.tpm));
    if kind.tpm {
        xml.node("nitroTpmInfo", |xml| {
            write_words(xml, "supportedVersions", &["2.0"]);
        });
    }
    xml.text("phcSupport", "unsupported")
        .text("rebootMigrationSupport", "supported")
        .text("supportedInRegion", is_here);
}

fn write_ebs(kind: &InstanceType, xml: &mut Xml) {
    xml.text("ebsOptimizedSupport", ebs_optimized(kind))
        .text("encryptionSupport", "supported");
    if let Some(ebs) = kind.ebs {
        xml.node("ebsOptimizedInfo", |xml| {
            xml.text("baselineBandwidthInMbps", ebs.baseline_mbps)
                .text("baselineThroughputInMBps", megabytes(ebs.baseline_mbps))
                .text("baselineIops", ebs.baseline_iops)
                .text("maximumBandwidthInMbps", ebs.maximum_mbps)
                .text("maximumThroughputInMBps", megabytes(ebs.maximum_mbps))
                .text("maximumIops", ebs.maximum_iops);
        });
    }
    xml.text("nvmeSupport", kind.nvme)
        .text("maximumEbsAttachments", kind.attachments)
        .text("attachmentLimitType", attachment_limit(kind));
}

fn write_network(kind: &InstanceType, xml: &mut Xml) {
    let network = kind.network;
    xml.text("networkPerformance", network.performance)
        .text("maximumNetworkInterfaces", network.interfaces)
        .text("maximumNetworkCards", 1)
        .text("defaultNetworkCardIndex", 0)
        .node("networkCards", |xml| {
            xml.node("item", |xml| {
                xml.text("networkCardIndex", 0)
                    .text("networkPerformance", network.performance)
                    .text("maximumNetworkInterfaces", network.interfaces)
                    .text("baselineBandwidthInGbps", network.baseline_gbps)
                    .text("peakBandwidthInGbps", network.peak_gbps);
            });
        })
        .text("ipv4AddressesPerInterface", network.addresses)
        .text("ipv6AddressesPerInterface", network.addresses)
        .text("ipv6Supported", true)
        .text("enaSupport", kind.ena)
        .text("efaSupported", false)
        .text("encryptionInTransitSupported", kind.encrypts_traffic)
        .text("enaSrdSupported", false)
        .text("flexibleEnaQueuesSupport", supported(kind.flexible_queues));
}

pub(super) fn offerings(
    context: &Context,
    _world: &World,
    params: &mut Params,
) -> Result<Xml, ServiceError> {
    let location_type = params
        .text("LocationType")
        .unwrap_or_else(|| "region".to_owned());
    let filters = Filters::take(params, &["instance-type", "location"])?;
    let page = Page::take(params, &context.operation, 5..=1000)?;
    params.finish()?;
    let region = &context.region;
    // A place's name, and the zones that it is.
    let places: Vec<(String, Vec<String>)> = match location_type.as_str() {
        "region" => {
            let all = zones(region).into_iter().map(|zone| zone.name).collect();
            vec![(region.to_string(), all)]
        }
        "availability-zone" => zones(region)
            .into_iter()
            .map(|zone| (zone.name.clone(), vec![zone.name]))
            .collect(),
        "availability-zone-id" => zones(region)
            .into_iter()
            .map(|zone| (zone.id, vec![zone.name]))
            .collect(),
        // There are no Outposts.
        "outpost" => Vec::new(),
        other => {
            return Err(ServiceError::invalid_value(
                "locationType",
                other,
                "It is region, availability-zone, availability-zone-id or outpost.",
            ));
        }
    };
    let mut found: Vec<(&str, &str)> = Vec::new();
    for kind in TYPES {
        for (place, zones) in &places {
            let is_here = zones.iter().any(|zone| offered(region, zone, kind.name));
            let passes = filters.pass(|filter| {
                vec![match filter {
                    "instance-type" => kind.name.to_owned(),
                    _ => place.clone(),
                }]
            });
            if is_here && passes {
                found.push((kind.name, place));
            }
        }
    }
    let key = |(kind, place): &(&str, &str)| format!("{kind}/{place}");
    found.sort_by_key(key);
    let (found, next) = page.cut(&context.operation, found, key);
    let mut xml = Xml::new();
    xml.list("instanceTypeOfferingSet", found, |xml, (kind, place)| {
        xml.text("instanceType", kind)
            .text("locationType", &location_type)
            .text("location", place);
    })
    .optional("nextToken", next);
    Ok(xml)
}
