//! QEMU's command line for a machine like an EC2 Nitro instance, as a pure function.

use std::ffi::{OsStr, OsString};
use std::net::Ipv4Addr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::accel::Accel;
use super::firmware::{Firmware, UefiFiles};
use crate::arch::Arch;

/// The address that QEMU's DHCP server gives to the guest.
///
/// QEMU can stand in for a server only at an address of the guest's own network, so that
/// network is the one around the metadata service.
pub const GUEST_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 15);

/// Hardware address of the guest's network card: locally administered, as on EC2.
pub const GUEST_MAC: &str = "02:00:00:a9:fe:0f";

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

/// A way for the guest to reach the metadata service, the only thing it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataLink {
    /// The program that relays a connection (`<program> metadata-relay <socket>`): the
    /// `alpine-ami` binary.
    pub relay: PathBuf,
    /// The Unix socket that the metadata service listens on.
    pub socket: PathBuf,
}

/// A machine to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// The raw disk image that is its root disk. It is never written.
    pub image: PathBuf,
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
    /// A kernel to start in place of the one on the disk.
    pub kernel: Option<DirectKernel>,
}

impl MachineConfig {
    /// A machine of the smallest EC2 kind's memory, 512 MiB, without metadata. One
    /// processor: emulated, two take twice the time on a busy host.
    pub fn new(image: PathBuf, arch: Arch, firmware: Firmware) -> MachineConfig {
        MachineConfig {
            image,
            arch,
            firmware,
            memory_mib: 512,
            cpus: 1,
            volume_id: "vol-00000000000000001".to_owned(),
            metadata: None,
            kernel: None,
        }
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
    // -no-reboot: a guest that resets itself after a panic ends, and is not tried for ever.
    args.flags(&["-nodefaults", "-no-user-config", "-no-reboot"]);
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

/// The root disk: an NVMe controller as EBS volumes have it on Nitro.
fn disk(args: &mut Arguments, config: &MachineConfig) {
    // snapshot=on opens the image for reading only; what the guest writes goes to a
    // temporary file that has no name from the start, so nothing is left behind.
    args.pair(
        "-drive",
        option(
            &["if=none,id=root,format=raw,snapshot=on,file="],
            &config.image,
        ),
    );
    // A kernel given on the command line boots first, through an index of its own.
    let first = if config.kernel.is_some() {
        ""
    } else {
        ",bootindex=0"
    };
    let serial = volume_serial(&config.volume_id);
    args.pair("-device", format!("nvme,drive=root,serial={serial}{first}"));
}

/// A network with nothing in it but DHCP and the metadata service.
///
/// The card is virtio's: of what QEMU can emulate, it is the one that both Debian's cloud
/// kernel and Alpine's virt kernel drive (EC2's own, ENA, QEMU has not).
fn network(args: &mut Arguments, config: &MachineConfig) {
    let mut net = OsString::from("user,id=net,ipv6=off,restrict=on,net=169.254.169.0/24,");
    net.push(format!("dhcpstart={GUEST_ADDRESS}"));
    if let Some(link) = &config.metadata {
        let mut command = shell_word(link.relay.as_os_str());
        command.push(" metadata-relay ");
        command.push(shell_word(link.socket.as_os_str()));
        net.push(",guestfwd=tcp:169.254.169.254:80-cmd:");
        net.push(double_commas(&command));
    }
    args.pair("-netdev", net);
    // No romfile: booting from the network is not wanted, and trying it takes time.
    args.pair(
        "-device",
        format!("virtio-net-pci,netdev=net,mac={GUEST_MAC},romfile="),
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
}
