//! Instance types, with the figures that AWS publishes for them.

/// An instance type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InstanceType {
    /// Such as `t3.micro`.
    pub name: &'static str,
    /// Virtual processors.
    pub vcpus: u32,
    /// Cores that these are threads of.
    pub cores: u32,
    /// Memory.
    pub memory_mib: u64,
    /// `x86_64`, `arm64`, `i386`.
    pub architectures: &'static [&'static str],
    /// `nitro` or `xen`.
    pub hypervisor: &'static str,
    /// `legacy-bios`, `uefi`.
    pub boot_modes: &'static [&'static str],
    /// `required` or `unsupported`.
    pub ena: &'static str,
    /// Whether volumes are NVMe disks: `required` or `unsupported`.
    pub nvme: &'static str,
    /// Whether it has a virtual TPM for images that ask for one.
    pub tpm: bool,
    /// Who makes the processor.
    pub manufacturer: &'static str,
    /// Sustained clock speed.
    pub clock_ghz: f64,
    /// Whether a T type.
    pub burstable: bool,
    /// Whether AWS's free tier has it.
    pub free_tier: bool,
    /// Whether of a current generation.
    pub current_generation: bool,
    /// How fast volumes are; none where volumes share the network.
    pub ebs: Option<EbsSpeed>,
    /// How many volumes can be attached.
    pub attachments: u32,
    /// Whether volumes have a limit of their own, or share one with network interfaces.
    pub own_attachment_limit: bool,
    /// Network interfaces.
    pub network: Network,
    /// Whether traffic between instances is encrypted.
    pub encrypts_traffic: bool,
    /// Whether queues of network interfaces can be moved.
    pub flexible_queues: bool,
    /// Whether there are dedicated hosts for it.
    pub dedicated_hosts: bool,
    /// Whether it has enclaves.
    pub enclaves: bool,
    /// Whether it goes into cluster placement groups.
    pub cluster_placement: bool,
}

/// How fast volumes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EbsSpeed {
    /// Always, in Mbit/s.
    pub baseline_mbps: u32,
    /// Always, in operations a second.
    pub baseline_iops: u32,
    /// For a while, in Mbit/s.
    pub maximum_mbps: u32,
    /// For a while, in operations a second.
    pub maximum_iops: u32,
}

/// Network interfaces of a type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Network {
    /// Most interfaces.
    pub interfaces: u32,
    /// Most addresses of an interface, of IPv4 and again of IPv6.
    pub addresses: u32,
    /// Such as `Up to 5 Gigabit`.
    pub performance: &'static str,
    /// Always.
    pub baseline_gbps: f64,
    /// For a while.
    pub peak_gbps: f64,
}

/// The type of a name.
pub fn instance_type(name: &str) -> Option<&'static InstanceType> {
    TYPES.iter().find(|kind| kind.name == name)
}

const fn ebs(
    baseline_mbps: u32,
    baseline_iops: u32,
    maximum_mbps: u32,
    maximum_iops: u32,
) -> EbsSpeed {
    EbsSpeed {
        baseline_mbps,
        baseline_iops,
        maximum_mbps,
        maximum_iops,
    }
}

const fn network(
    interfaces: u32,
    addresses: u32,
    performance: &'static str,
    baseline_gbps: f64,
    peak_gbps: f64,
) -> Network {
    Network {
        interfaces,
        addresses,
        performance,
        baseline_gbps,
        peak_gbps,
    }
}

/// What types with Intel's processors on Nitro have in common.
const INTEL: InstanceType = InstanceType {
    name: "",
    vcpus: 0,
    cores: 0,
    memory_mib: 0,
    architectures: &["x86_64"],
    hypervisor: "nitro",
    boot_modes: &["legacy-bios", "uefi"],
    ena: "required",
    nvme: "required",
    tpm: true,
    manufacturer: "Intel",
    clock_ghz: 0.0,
    burstable: false,
    free_tier: false,
    current_generation: true,
    ebs: None,
    attachments: 27,
    own_attachment_limit: false,
    network: network(0, 0, "", 0.0, 0.0),
    encrypts_traffic: false,
    flexible_queues: false,
    dedicated_hosts: false,
    enclaves: false,
    cluster_placement: false,
};

const AMD: InstanceType = InstanceType {
    manufacturer: "AMD",
    ..INTEL
};

const GRAVITON: InstanceType = InstanceType {
    architectures: &["arm64"],
    boot_modes: &["uefi"],
    manufacturer: "AWS",
    ..INTEL
};

const XEN: InstanceType = InstanceType {
    architectures: &["i386", "x86_64"],
    hypervisor: "xen",
    boot_modes: &["legacy-bios"],
    ena: "unsupported",
    nvme: "unsupported",
    tpm: false,
    attachments: 40,
    ..INTEL
};

/// Every type, in the order of their names; figures as DescribeInstanceTypes of AWS gives them.
pub const TYPES: &[InstanceType] = &[
    InstanceType {
        name: "c6g.large",
        vcpus: 2,
        cores: 2,
        memory_mib: 4096,
        clock_ghz: 2.5,
        ebs: Some(ebs(630, 3600, 4750, 20000)),
        network: network(3, 10, "Up to 10 Gigabit", 0.75, 10.0),
        dedicated_hosts: true,
        enclaves: true,
        cluster_placement: true,
        ..GRAVITON
    },
    InstanceType {
        name: "c6i.large",
        vcpus: 2,
        cores: 1,
        memory_mib: 4096,
        clock_ghz: 3.5,
        ebs: Some(ebs(650, 3600, 10000, 40000)),
        network: network(3, 10, "Up to 12.5 Gigabit", 0.781, 12.5),
        encrypts_traffic: true,
        flexible_queues: true,
        dedicated_hosts: true,
        cluster_placement: true,
        ..INTEL
    },
    InstanceType {
        name: "m5.large",
        vcpus: 2,
        cores: 1,
        memory_mib: 8192,
        clock_ghz: 3.1,
        current_generation: false,
        ebs: Some(ebs(650, 3600, 4750, 18750)),
        network: network(3, 10, "Up to 10 Gigabit", 0.75, 10.0),
        dedicated_hosts: true,
        cluster_placement: true,
        ..INTEL
    },
    InstanceType {
        name: "m6g.large",
        vcpus: 2,
        cores: 2,
        memory_mib: 8192,
        clock_ghz: 2.5,
        ebs: Some(ebs(630, 3600, 4750, 20000)),
        network: network(3, 10, "Up to 10 Gigabit", 0.75, 10.0),
        dedicated_hosts: true,
        enclaves: true,
        cluster_placement: true,
        ..GRAVITON
    },
    InstanceType {
        name: "m6g.medium",
        vcpus: 1,
        cores: 1,
        memory_mib: 4096,
        clock_ghz: 2.5,
        ebs: Some(ebs(315, 2500, 4750, 20000)),
        network: network(2, 4, "Up to 10 Gigabit", 0.5, 10.0),
        dedicated_hosts: true,
        cluster_placement: true,
        ..GRAVITON
    },
    InstanceType {
        name: "m6i.large",
        vcpus: 2,
        cores: 1,
        memory_mib: 8192,
        clock_ghz: 3.5,
        current_generation: false,
        ebs: Some(ebs(650, 3600, 10000, 40000)),
        network: network(3, 10, "Up to 12.5 Gigabit", 0.781, 12.5),
        encrypts_traffic: true,
        flexible_queues: true,
        dedicated_hosts: true,
        cluster_placement: true,
        ..INTEL
    },
    InstanceType {
        name: "m7i.large",
        vcpus: 2,
        cores: 1,
        memory_mib: 8192,
        clock_ghz: 3.2,
        ebs: Some(ebs(650, 3600, 10000, 40000)),
        network: network(3, 10, "Up to 12.5 Gigabit", 0.781, 12.5),
        encrypts_traffic: true,
        dedicated_hosts: true,
        cluster_placement: true,
        attachments: 32,
        own_attachment_limit: true,
        ..INTEL
    },
    InstanceType {
        name: "t2.micro",
        vcpus: 1,
        cores: 1,
        memory_mib: 1024,
        clock_ghz: 2.5,
        burstable: true,
        ebs: None,
        network: network(2, 2, "Low to Moderate", 0.064, 1.024),
        ..XEN
    },
    InstanceType {
        name: "t3.large",
        vcpus: 2,
        cores: 1,
        memory_mib: 8192,
        clock_ghz: 2.5,
        burstable: true,
        ebs: Some(ebs(695, 4000, 2780, 15700)),
        network: network(3, 12, "Up to 5 Gigabit", 0.512, 5.0),
        dedicated_hosts: true,
        ..INTEL
    },
    InstanceType {
        name: "t3.medium",
        vcpus: 2,
        cores: 1,
        memory_mib: 4096,
        clock_ghz: 2.5,
        burstable: true,
        ebs: Some(ebs(347, 2000, 2085, 11800)),
        network: network(3, 6, "Up to 5 Gigabit", 0.256, 5.0),
        dedicated_hosts: true,
        ..INTEL
    },
    InstanceType {
        name: "t3.micro",
        vcpus: 2,
        cores: 1,
        memory_mib: 1024,
        clock_ghz: 2.5,
        free_tier: true,
        burstable: true,
        ebs: Some(ebs(87, 500, 2085, 11800)),
        network: network(2, 2, "Up to 5 Gigabit", 0.064, 5.0),
        dedicated_hosts: true,
        ..INTEL
    },
    InstanceType {
        name: "t3.small",
        vcpus: 2,
        cores: 1,
        memory_mib: 2048,
        clock_ghz: 2.5,
        free_tier: true,
        burstable: true,
        ebs: Some(ebs(174, 1000, 2085, 11800)),
        network: network(3, 4, "Up to 5 Gigabit", 0.128, 5.0),
        dedicated_hosts: true,
        ..INTEL
    },
    InstanceType {
        name: "t3a.small",
        vcpus: 2,
        cores: 1,
        memory_mib: 2048,
        clock_ghz: 2.2,
        burstable: true,
        ebs: Some(ebs(175, 1000, 2085, 11800)),
        network: network(2, 4, "Up to 5 Gigabit", 0.128, 5.0),
        ..AMD
    },
    InstanceType {
        name: "t4g.medium",
        vcpus: 2,
        cores: 2,
        memory_mib: 4096,
        clock_ghz: 2.5,
        burstable: true,
        ebs: Some(ebs(347, 2000, 2085, 11800)),
        network: network(3, 6, "Up to 5 Gigabit", 0.256, 5.0),
        ..GRAVITON
    },
    InstanceType {
        name: "t4g.micro",
        vcpus: 2,
        cores: 2,
        memory_mib: 1024,
        clock_ghz: 2.5,
        free_tier: true,
        burstable: true,
        ebs: Some(ebs(87, 500, 2085, 11800)),
        network: network(2, 2, "Up to 5 Gigabit", 0.064, 5.0),
        ..GRAVITON
    },
    InstanceType {
        name: "t4g.small",
        vcpus: 2,
        cores: 2,
        memory_mib: 2048,
        clock_ghz: 2.5,
        free_tier: true,
        burstable: true,
        ebs: Some(ebs(174, 1000, 2085, 11800)),
        network: network(3, 4, "Up to 5 Gigabit", 0.128, 5.0),
        ..GRAVITON
    },
];
