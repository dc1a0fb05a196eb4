//! How instances of an image boot: RegisterImage's parameters, from what the image starts under.

use crate::arch::{Arch, Firmware};
use crate::publish::manifest::Boot;

/// The device of the root volume.
pub const ROOT_DEVICE: &str = "/dev/xvda";

/// The boot mode of an image that starts under these firmwares, none of which is one that machines
/// of the architecture do not have.
///
/// An AMI of the mode `uefi-preferred` may start without UEFI on older types of instances, so it
/// cannot be registered with a TPM: that needs the mode `uefi`.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-boot.html>
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/enable-nitrotpm-prerequisites.html>
pub fn boot(firmware: impl IntoIterator<Item = Firmware>, arch: Arch) -> Boot {
    let exists = |firmware: &Firmware| firmware.exists_on(arch);
    let given: Vec<Firmware> = firmware.into_iter().filter(exists).collect();
    let has = |firmware| given.contains(&firmware);
    let mode = match (has(Firmware::Bios), has(Firmware::Uefi)) {
        _ if arch == Arch::Aarch64 => "uefi",
        (true, true) => "uefi-preferred",
        (false, true) => "uefi",
        (_, false) => "legacy-bios",
    };
    Boot {
        mode: mode.to_owned(),
        tpm: mode == "uefi",
        root_device: ROOT_DEVICE.to_owned(),
    }
}

/// How instances boot of an AMI that does not say it: as most types of instances do.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-boot.html>
pub(super) fn default_mode(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "legacy-bios",
        Arch::Aarch64 => "uefi",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_follows_from_the_firmwares() {
        use Firmware::{Bios, Uefi};
        for (firmware, arch, mode, tpm) in [
            (&[Bios, Uefi][..], Arch::X86_64, "uefi-preferred", false),
            (&[Uefi], Arch::X86_64, "uefi", true),
            (&[Bios], Arch::X86_64, "legacy-bios", false),
            (&[Uefi], Arch::Aarch64, "uefi", true),
            (&[Bios, Uefi], Arch::Aarch64, "uefi", true),
        ] {
            let boot = boot(firmware.iter().copied(), arch);
            assert_eq!((boot.mode.as_str(), boot.tpm), (mode, tpm), "{firmware:?}");
            assert_eq!(boot.root_device, "/dev/xvda");
        }
    }
}
