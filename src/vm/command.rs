//! QEMU's command line for a machine like an EC2 Nitro instance, as a pure function.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::accel::Accel;
use super::firmware::{Firmware, UefiFiles};
use super::hotplug;
use super::nvme_identity::Identity;
use crate::arch::Arch;

/// The address that QEMU's DHCP server gives to the guest.
///
/// QEMU can stand in for a server only at an address of the guest's own network, so that
/// network is the one around the metadata service.
pub const GUEST_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 15);

/// QEMU's own, where it sends what is for other networks.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 2);

/// Hardware address of the guest's network card: locally administered, as on EC2.
pub const GUEST_MAC: &str = "02:00:00:a9:fe:0f";

/// Where a guest finds the endpoint of the sandbox that it runs in: the only address besides the
/// metadata service's that it can reach. (A guest's own configuration, such as
/// `AWS_ENDPOINT_URL=http://169.254.169.200:4566`, names it; what is signed for the guest to use,
/// such as a presigned URL, must be signed for this address.)
pub const ENDPOINT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 200), 4566);

/// A kernel that QEMU starts by itself, past firmware and boot loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectKernel {
    /// The kernel image.
    pub kernel: PathBuf,
    /// The initial RAM file system, where the kernel needs one.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
}

/// A way for the guest to reach a service of ours; there is no other way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataLink {
    /// The program that relays a connection (`<program> metadata-relay <socket>`): the
    /// `alpine-ami` binary.
    pub relay: PathBuf,
    /// The Unix socket that the service listens on.
    pub socket: PathBuf,
}

/// What becomes of what the guest writes to its root disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootDisk {
    /// It goes when the machine ends; the image stays as it is.
    Discarded,
    /// It is written to the image, which is a volume of EC2's attached under this name.
    Kept {
        /// `/dev/xvda`.
        device_name: String,
    },
}

/// A volume that a machine has besides its root disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedVolume {
    /// `vol-…`.
    pub id: String,
    /// Its raw file, which the guest writes to.
    pub file: PathBuf,
    /// The name that it was attached under, `/dev/sdf`.
    pub device_name: String,
}

/// What a guest that resets itself (a reboot, a panic) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReset {
    /// The machine ends, so that a guest that panics is not tried for ever.
    End,
    /// It boots again, as on EC2.
    Reboot,
}

/// A machine to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// The raw disk image that is its root disk.
    pub image: PathBuf,
    /// Whether the image is written.
    pub root: RootDisk,
    /// Volumes besides the root disk.
    pub volumes: Vec<AttachedVolume>,
    /// Its processor.
    pub arch: Arch,
    /// What it starts with.
    pub firmware: Firmware,
    /// Its memory, in MiB.
    pub memory_mib: u32,
    /// How many processors it has.
    pub cpus: u32,
    /// The id of the volume that the root disk stands for, `vol-…`.
    pub volume_id: String,
    /// The metadata service; without it the guest has a network card and nobody to talk to.
    pub metadata: Option<MetadataLink>,
    /// What the guest reaches at [`ENDPOINT`].
    pub endpoint: Option<MetadataLink>,
    /// Hardware address of its network card.
    pub mac: String,
    /// A file for all that goes over that card; none where nobody looks at it.
    pub capture: Option<PathBuf>,
    /// What it does when its guest resets itself.
    pub on_reset: OnReset,
    /// A kernel to start in place of the one on the disk.
    pub kernel: Option<DirectKernel>,
}

impl MachineConfig {
    /// A machine of the smallest EC2 kind's memory, 512 MiB, without metadata. One
    /// processor: emulated, two take twice the time on a busy host.
    pub fn new(image: PathBuf, arch: Arch, firmware: Firmware) -> MachineConfig {
        MachineConfig {
            image,
            root: RootDisk::Discarded,
            volumes: Vec::new(),
            arch,
            firmware,
            memory_mib: 512,
            cpus: 1,
            volume_id: "vol-00000000000000001".to_owned(),
            metadata: None,
            endpoint: None,
            mac: GUEST_MAC.to_owned(),
            capture: None,
            on_reset: OnReset::End,
            kernel: None,
        }
    }

    /// Every disk that stands for a volume of EC2's, the root disk first.
    pub fn identities(&self) -> Vec<Identity> {
        let root = match &self.root {
            RootDisk::Discarded => None,
            RootDisk::Kept { device_name } => Some((&self.volume_id, device_name)),
        };
        let others = self
            .volumes
            .iter()
            .map(|volume| (&volume.id, &volume.device_name));
        root.into_iter()
            .chain(others)
            .map(|(id, device_name)| Identity {
                serial: volume_serial(id),
                device_name: device_name.clone(),
            })
            .collect()
    }
}

/// The Unix sockets that we listen on and QEMU connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// The first serial port, the guest's console.
    pub console: PathBuf,
    /// The second serial port, where the guest sends its report.
    pub report: PathBuf,
    /// QEMU's own control channel, QMP.
    pub control: PathBuf,
}

/// The device in the guest that is the second serial port.
pub fn report_device(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "/dev/ttyS1",
        // The console of QEMU's Arm machine is no 8250 (ttyAMA0): ours is the first of those.
        Arch::Aarch64 => "/dev/ttyS0",
    }
}

/// The name of the QEMU program for an architecture.
pub fn program_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "qemu-system-x86_64",
        Arch::Aarch64 => "qemu-system-aarch64",
    }
}

/// QEMU's machine type, one with PCI Express as NVMe disks have it on EC2.
pub fn machine_type(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "q35",
        Arch::Aarch64 => "virt",
    }
}

/// QEMU's processor model: all that the accelerator can do.
pub fn cpu_model(arch: Arch, accel: Accel) -> &'static str {
    match (accel, arch) {
        (Accel::Kvm, _) => "host",
        // Five-level page tables cost time in emulation and show nothing.
        (Accel::Tcg, Arch::X86_64) => "max,la57=off",
        // Emulating the architected pointer authentication takes half of all time.
        (Accel::Tcg, Arch::Aarch64) => "max,pauth-impdef=on",
    }
}

/// The serial number of an EBS volume's NVMe controller: its id without the dash.
pub fn volume_serial(volume_id: &str) -> String {
    volume_id.replace('-', "")
}

/// The arguments that QEMU gets.
pub fn arguments(
    config: &MachineConfig,
    accel: Accel,
    uefi: Option<&UefiFiles>,
    sockets: &Sockets,
) -> Vec<OsString> {
    let mut args = Arguments::default();
    args.flags(&["-nodefaults", "-no-user-config"]);
    if config.on_reset == OnReset::End {
        args.flags(&["-no-reboot"]);
    }
    if !config.identities().is_empty() {
        // Its disks get their names before its first instruction: see `nvme_identity`.
        args.flags(&["-S"]);
    }
    args.pair("-display", "none");
    args.pair("-name", "alpine-ami");
    machine(&mut args, config, accel);
    if let Some(uefi) = uefi {
        // Variables start from the template every time: snapshot keeps them in a temporary file.
        let code = option(
            &["if=pflash,unit=0,format=raw,readonly=on,file="],
            &uefi.code,
        );
        let variables = option(
            &["if=pflash,unit=1,format=raw,snapshot=on,file="],
            &uefi.variables,
        );
        args.pair("-drive", code);
        args.pair("-drive", variables);
    }
    if let Some(kernel) = &config.kernel {
        args.pair("-kernel", &kernel.kernel);
        args.pair("-append", &kernel.command_line);
        if let Some(initrd) = &kernel.initrd {
            args.pair("-initrd", initrd);
        }
    }
    disk(&mut args, config);
    for (number, volume) in config.volumes.iter().enumerate() {
        let id = format!("volume{number}");
        args.pair(
            "-drive",
            option(&["if=none,id=", &id, WRITTEN], &volume.file),
        );
        let serial = volume_serial(&volume.id);
        args.pair("-device", format!("nvme,drive={id},serial={serial}"));
    }
    if !config.identities().is_empty() {
        for port in hotplug::ports() {
            args.pair("-device", port);
        }
    }
    network(&mut args, config);
    args.pair("-object", "rng-random,id=random,filename=/dev/urandom");
    args.pair("-device", "virtio-rng-pci,rng=random");
    channels(&mut args, config.arch, sockets);
    args.0
}

/// Arguments in the making.
#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(Into::into));
    }

    fn pair(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.push(name.into());
        self.0.push(value.as_ref().to_owned());
    }
}

fn machine(args: &mut Arguments, config: &MachineConfig, accel: Accel) {
    args.pair("-machine", machine_type(config.arch));
    args.pair("-accel", accel.as_str());
    args.pair("-cpu", cpu_model(config.arch, accel));
    args.pair("-smp", config.cpus.to_string());
    args.pair("-m", format!("{}M", config.memory_mib));
    args.pair("-rtc", "base=utc");
}

/// How a volume's file is opened. What the guest discards becomes a hole in it again.
const WRITTEN: &str = ",format=raw,cache=writeback,discard=unmap,file=";

/// The root disk: an NVMe controller as EBS volumes have it on Nitro.
fn disk(args: &mut Arguments, config: &MachineConfig) {
    let drive = match config.root {
        // snapshot=on opens the image for reading only; what the guest writes goes to a
        // temporary file that has no name from the start, so nothing is left behind.
        RootDisk::Discarded => ",format=raw,snapshot=on,file=",
        RootDisk::Kept { .. } => WRITTEN,
    };
    args.pair("-drive", option(&["if=none,id=root", drive], &config.image));
    // A kernel given on the command line boots first, through an index of its own.
    let first = if config.kernel.is_some() {
        ""
    } else {
        ",bootindex=0"
    };
    let serial = volume_serial(&config.volume_id);
    args.pair("-device", format!("nvme,drive=root,serial={serial}{first}"));
}

/// Where every instance finds its metadata service.
const METADATA: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 254), 80);

/// A network with nothing in it but DHCP, the metadata service and a sandbox's endpoint.
///
/// The card is virtio's: of what QEMU can emulate, it is the one that both Debian's cloud
/// kernel and Alpine's virt kernel drive (EC2's own, ENA, QEMU has not).
fn network(args: &mut Arguments, config: &MachineConfig) {
    let mut net = OsString::from("user,id=net,ipv6=off,restrict=on,net=169.254.169.0/24,");
    net.push(format!("dhcpstart={GUEST_ADDRESS}"));
    for (address, link) in [(METADATA, &config.metadata), (ENDPOINT, &config.endpoint)] {
        let Some(link) = link else { continue };
        let mut command = shell_word(link.relay.as_os_str());
        command.push(" metadata-relay ");
        command.push(shell_word(link.socket.as_os_str()));
        net.push(format!(",guestfwd=tcp:{address}-cmd:"));
        net.push(double_commas(&command));
    }
    args.pair("-netdev", net);
    if let Some(capture) = &config.capture {
        let dump = option(&["filter-dump,id=capture,netdev=net,file="], capture);
        args.pair("-object", dump);
    }
    // No romfile: booting from the network is not wanted, and trying it takes time.
    args.pair(
        "-device",
        format!("virtio-net-pci,netdev=net,mac={},romfile=", config.mac),
    );
}

fn channels(args: &mut Arguments, arch: Arch, sockets: &Sockets) {
    for (id, path) in [
        ("console", &sockets.console),
        ("report", &sockets.report),
        ("control", &sockets.control),
    ] {
        args.pair("-chardev", option(&["socket,id=", id, ",path="], path));
    }
    args.pair("-serial", "chardev:console");
    match arch {
        Arch::X86_64 => args.pair("-serial", "chardev:report"),
        // The Arm machine has one serial port of its own.
        Arch::Aarch64 => args.pair("-device", "pci-serial,chardev=report"),
    }
    args.pair("-mon", "chardev=control,mode=control");
}

/// An option string that ends in a path.
fn option(start: &[&str], path: &Path) -> OsString {
    let mut option = OsString::from(start.concat());
    option.push(double_commas(path.as_os_str()));
    option
}

/// QEMU ends an option's value at a comma, unless there are two.
fn double_commas(value: &OsStr) -> OsString {
    replace_byte(value, b',', b",,")
}

/// A word of a command line as GLib's `g_shell_parse_argv` reads it, which splits the
/// relay's command line for QEMU.
fn shell_word(word: &OsStr) -> OsString {
    let mut quoted = OsString::from("'");
    quoted.push(replace_byte(word, b'\'', b"'\\''"));
    quoted.push("'");
    quoted
}

fn replace_byte(value: &OsStr, byte: u8, by: &[u8]) -> OsString {
    let bytes = value
        .as_bytes()
        .iter()
        .flat_map(|b| {
            if *b == byte {
                by
            } else {
                std::slice::from_ref(b)
            }
        })
        .copied()
        .collect();
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arch: Arch, firmware: Firmware) -> MachineConfig {
        MachineConfig {
            metadata: Some(MetadataLink {
                relay: "/usr/bin/alpine-ami".into(),
                socket: "/tmp/it's, here/metadata".into(),
            }),
            ..MachineConfig::new("/images/a,b.raw".into(), arch, firmware)
        }
    }

    fn sockets() -> Sockets {
        Sockets {
            console: "/w/console".into(),
            report: "/w/report".into(),
            control: "/w/control".into(),
        }
    }

    fn line(arguments: &[OsString]) -> String {
        let words: Vec<&str> = arguments
            .iter()
            .map(|word| word.to_str().expect("text"))
            .collect();
        words.join(" ").replace(" -", "\n-")
    }

    #[test]
    fn bios_machine() {
        let config = config(Arch::X86_64, Firmware::Bios);
        let expected = "\
-nodefaults
-no-user-config
-no-reboot
-display none
-name alpine-ami
-machine q35
-accel kvm
-cpu host
-smp 1
-m 512M
-rtc base=utc
-drive if=none,id=root,format=raw,snapshot=on,file=/images/a,,b.raw
-device nvme,drive=root,serial=vol00000000000000001,bootindex=0
-netdev user,id=net,ipv6=off,restrict=on,net=169.254.169.0/24,dhcpstart=169.254.169.15,\
guestfwd=tcp:169.254.169.254:80-cmd:'/usr/bin/alpine-ami' metadata-relay '/tmp/it'\\''s,, here/metadata'
-device virtio-net-pci,netdev=net,mac=02:00:00:a9:fe:0f,romfile=
-object rng-random,id=random,filename=/dev/urandom
-device virtio-rng-pci,rng=random
-chardev socket,id=console,path=/w/console
-chardev socket,id=report,path=/w/report
-chardev socket,id=control,path=/w/control
-serial chardev:console
-serial chardev:report
-mon chardev=control,mode=control";
        assert_eq!(
            line(&arguments(&config, Accel::Kvm, None, &sockets())),
            expected
        );
    }

    #[test]
    fn uefi_machine_keeps_the_variables_of_the_template() {
        let uefi = UefiFiles {
            code: "/f/CODE.fd".into(),
            variables: "/f/VARS.fd".into(),
        };
        let config = config(Arch::X86_64, Firmware::Uefi);
        let line = line(&arguments(&config, Accel::Tcg, Some(&uefi), &sockets()));
        assert!(line.contains("-accel tcg\n-cpu max,la57=off"), "{line}");
        assert!(
            line.contains("unit=0,format=raw,readonly=on,file=/f/CODE.fd"),
            "{line}"
        );
        assert!(
            line.contains("unit=1,format=raw,snapshot=on,file=/f/VARS.fd"),
            "{line}"
        );
    }

    #[test]
    fn arm_machine_reports_through_a_card() {
        let config = config(Arch::Aarch64, Firmware::Uefi);
        let line = line(&arguments(&config, Accel::Tcg, None, &sockets()));
        assert!(line.contains("-machine virt"), "{line}");
        assert!(line.contains("-device pci-serial,chardev=report"), "{line}");
        assert!(!line.contains("-serial chardev:report"), "{line}");
    }

    #[test]
    fn a_kernel_given_is_started_directly() {
        let mut config = config(Arch::X86_64, Firmware::Bios);
        config.metadata = None;
        config.kernel = Some(DirectKernel {
            kernel: "/k/vmlinuz".into(),
            initrd: Some("/k/initrd".into()),
            command_line: "root=/dev/nvme0n1 console=ttyS0".to_owned(),
        });
        let line = line(&arguments(&config, Accel::Tcg, None, &sockets()));
        assert!(
            line.contains(
                "-kernel /k/vmlinuz\n-append root=/dev/nvme0n1 console=ttyS0\n-initrd /k/initrd"
            ),
            "{line}"
        );
        assert!(!line.contains("guestfwd"), "{line}");
    }

    #[test]
    fn an_instance_writes_its_volumes_and_reaches_the_endpoint() {
        let mut config = config(Arch::X86_64, Firmware::Bios);
        config.root = RootDisk::Kept {
            device_name: "/dev/xvda".to_owned(),
        };
        config.volumes.push(AttachedVolume {
            id: "vol-0b".to_owned(),
            file: "/v/b.raw".into(),
            device_name: "sdf".to_owned(),
        });
        config.endpoint = Some(MetadataLink {
            relay: "/bin/a".into(),
            socket: "/w/endpoint".into(),
        });
        config.on_reset = OnReset::Reboot;
        config.mac = "02:00:00:00:00:07".to_owned();
        config.capture = Some("/w/network".into());
        let line = line(&arguments(&config, Accel::Tcg, None, &sockets()));
        for part in [
            "-no-user-config\n-S\n",
            "-drive if=none,id=root,format=raw,cache=writeback,discard=unmap,file=/images/a,,b.raw\n",
            "-drive if=none,id=volume0,format=raw,cache=writeback,discard=unmap,file=/v/b.raw\n\
             -device nvme,drive=volume0,serial=vol0b\n\
             -device pcie-root-port,id=port0,chassis=1,slot=0\n",
            ",guestfwd=tcp:169.254.169.200:4566-cmd:'/bin/a' metadata-relay '/w/endpoint'\n",
            "-object filter-dump,id=capture,netdev=net,file=/w/network\n",
            ",mac=02:00:00:00:00:07,",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!line.contains("-no-reboot"), "{line}");
        let names: Vec<_> = config
            .identities()
            .into_iter()
            .map(|identity| (identity.serial, identity.device_name))
            .collect();
        let pair = |serial: &str, name: &str| (serial.to_owned(), name.to_owned());
        assert_eq!(
            names,
            [
                pair("vol00000000000000001", "/dev/xvda"),
                pair("vol0b", "sdf")
            ]
        );
    }
}
