//! The firmware that a machine starts with, and where distributions keep UEFI's files.

use std::path::{Path, PathBuf};

use crate::arch::Arch;
pub use crate::arch::Firmware;

/// The two flash memories of a UEFI machine, as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UefiFiles {
    /// The firmware itself.
    pub code: PathBuf,
    /// An empty store of variables, to start from.
    pub variables: PathBuf,
}

/// There is no UEFI firmware on this machine, or none at all for the architecture.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// The files were not found.
    #[error(
        "no UEFI firmware for {arch} on this machine (looked for {})",
        list(looked_for)
    )]
    Missing {
        /// Whose firmware was sought.
        arch: Arch,
        /// Every file that would have done.
        looked_for: Vec<PathBuf>,
    },
    /// Arm machines have no BIOS.
    #[error("an {arch} machine has no BIOS")]
    NoBios {
        /// The architecture asked for.
        arch: Arch,
    },
}

impl FirmwareError {
    /// What the reader can do about it.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            FirmwareError::Missing { arch, .. } => {
                let package = match arch {
                    Arch::X86_64 => "ovmf",
                    Arch::Aarch64 => "qemu-efi-aarch64",
                };
                format!("install the Debian package `{package}`, or run scripts/setup")
            }
            FirmwareError::NoBios { .. } => "use the firmware `uefi`".to_owned(),
        })
    }
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

/// Code and variables that belong together, best first: Debian, Fedora, Arch Linux, Alpine.
fn known_places(arch: Arch) -> &'static [(&'static str, &'static str)] {
    match arch {
        Arch::X86_64 => &[
            (
                "/usr/share/OVMF/OVMF_CODE_4M.fd",
                "/usr/share/OVMF/OVMF_VARS_4M.fd",
            ),
            (
                "/usr/share/OVMF/OVMF_CODE.fd",
                "/usr/share/OVMF/OVMF_VARS.fd",
            ),
            (
                "/usr/share/edk2/ovmf/OVMF_CODE.fd",
                "/usr/share/edk2/ovmf/OVMF_VARS.fd",
            ),
            (
                "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
                "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
            ),
        ],
        Arch::Aarch64 => &[
            (
                "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd",
                "/usr/share/AAVMF/AAVMF_VARS.fd",
            ),
            (
                "/usr/share/AAVMF/AAVMF_CODE.fd",
                "/usr/share/AAVMF/AAVMF_VARS.fd",
            ),
            (
                "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
                "/usr/share/edk2/aarch64/vars-template-pflash.raw",
            ),
        ],
    }
}

/// The files that a machine with this firmware needs; none for a BIOS, which QEMU brings.
pub fn find(arch: Arch, firmware: Firmware) -> Result<Option<UefiFiles>, FirmwareError> {
    match (firmware, arch) {
        (Firmware::Bios, Arch::X86_64) => Ok(None),
        (Firmware::Bios, Arch::Aarch64) => Err(FirmwareError::NoBios { arch }),
        (Firmware::Uefi, _) => first_pair(arch, Path::is_file).map(Some),
    }
}

fn first_pair(arch: Arch, is_file: impl Fn(&Path) -> bool) -> Result<UefiFiles, FirmwareError> {
    let places = known_places(arch);
    places
        .iter()
        .find(|(code, variables)| is_file(Path::new(code)) && is_file(Path::new(variables)))
        .map(|(code, variables)| UefiFiles {
            code: code.into(),
            variables: variables.into(),
        })
        .ok_or_else(|| FirmwareError::Missing {
            arch,
            looked_for: places.iter().map(|(code, _)| code.into()).collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_variables_are_a_pair() {
        let files = first_pair(Arch::X86_64, |path| {
            path != Path::new("/usr/share/OVMF/OVMF_VARS_4M.fd")
        })
        .expect("the older pair");
        assert_eq!(files.code, Path::new("/usr/share/OVMF/OVMF_CODE.fd"));
        assert_eq!(files.variables, Path::new("/usr/share/OVMF/OVMF_VARS.fd"));
    }

    #[test]
    fn missing_firmware_names_the_package() {
        let error = first_pair(Arch::X86_64, |_| false).expect_err("nothing there");
        assert!(
            error
                .to_string()
                .contains("/usr/share/OVMF/OVMF_CODE_4M.fd")
        );
        assert!(error.advice().expect("advice").contains("`ovmf`"));
    }

    #[test]
    fn arm_has_no_bios() {
        let error = find(Arch::Aarch64, Firmware::Bios).expect_err("no such thing");
        assert!(matches!(error, FirmwareError::NoBios { .. }));
    }
}
