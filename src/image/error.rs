//! What can go wrong between a root folder and a disk image.

use std::io;
use std::path::{Path, PathBuf};

use crate::arch::{Arch, Firmware};

/// An error of this module; each names what was being done, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A system call on a file or folder failed.
    #[error("{doing} `{path}`: {source}")]
    Io {
        /// What was being done, as a verb in -ing form.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A name in the root is not UTF-8; apk and the image's file list cannot hold it.
    #[error("file name is not UTF-8: `{path}`")]
    NotUtf8 {
        /// The path, with what cannot be shown escaped.
        path: String,
    },
    /// A file carries an access control list, which no package can declare.
    #[error("`{path}` carries a POSIX access control list")]
    AccessControlList {
        /// Path inside the root.
        path: String,
    },
    /// Folders nested deeper than any real root.
    #[error("folders are nested more than {limit} deep at `{path}`")]
    TooDeep {
        /// Path inside the root.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// A file differs from what it was when the tree was read.
    #[error("`{path}` changed while the image was being written")]
    Changed {
        /// Path inside the root.
        path: String,
    },
    /// A path that was to be added runs through something that is not a folder.
    #[error("cannot add `{path}` to the image: `{blocker}` is not a folder")]
    NotAFolder {
        /// The path to be added.
        path: String,
        /// The part of it that is in the way.
        blocker: String,
    },
    /// The disk is too small for the content.
    #[error(
        "the root file system does not fit: a disk of {size} MiB was asked for, \
         this content needs at least {needed} MiB",
        size = size_bytes >> 20,
        needed = needed_bytes >> 20
    )]
    TooSmall {
        /// Size asked for, in bytes.
        size_bytes: u64,
        /// Smallest disk that holds the content, in bytes; whole MiB.
        needed_bytes: u64,
    },
    /// A value of the plan cannot be used.
    #[error("disk plan: {what} `{value}`: {why}")]
    Plan {
        /// Which value.
        what: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The architecture has no such firmware.
    #[error("{arch} machines have no {firmware} firmware")]
    FirmwareArch {
        /// The firmware asked for.
        firmware: Firmware,
        /// The image's architecture.
        arch: Arch,
    },
    /// The ext4 writer refused.
    #[error("{doing} the root file system: {source}")]
    Ext4 {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: mkext4::Error,
    },
    /// The partition table could not be written.
    #[error("writing the partition table of `{path}`: {why}")]
    PartitionTable {
        /// The image file.
        path: PathBuf,
        /// What the writer said.
        why: String,
    },
    /// The EFI system partition could not be made.
    #[error("{doing} the EFI system partition: {source}")]
    Esp {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A boot loader is too large for its place.
    #[error("{what} takes {size} bytes, its partition holds {room}")]
    LoaderTooLarge {
        /// Which file.
        what: String,
        /// Its size, in bytes.
        size: usize,
        /// What there is room for, in bytes.
        room: usize,
    },
    /// The tools root has no GRUB for a firmware.
    #[error("no GRUB for {firmware} among the boot tools: `{path}` is missing")]
    LoaderMissing {
        /// The firmware asked for.
        firmware: Firmware,
        /// The path that was looked for, inside the tools root.
        path: String,
    },
    /// A program of the tools root could not be started.
    #[error("starting `{program}` among the boot tools: {source}")]
    ToolStart {
        /// The program.
        program: String,
        /// Why it could not be started.
        source: io::Error,
    },
    /// A program of the tools root failed.
    #[error("`{command}` failed ({status}): {message}")]
    ToolFailed {
        /// The whole command line.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it wrote, shortened to its end.
        message: String,
    },
    /// A boot loader image is not what it should be.
    #[error("{what} from the boot tools is not usable: {why}")]
    LoaderFormat {
        /// Which image.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The root has no kernel.
    #[error("no kernel in the root: there is no `boot/vmlinuz-<flavor>`")]
    NoKernel,
    /// The root has several kernels.
    #[error("more than one kernel in the root: {}", names.join(", "))]
    ManyKernels {
        /// Their paths inside the root.
        names: Vec<String>,
    },
    /// The root's kernel is not the one that the profile names.
    #[error(
        "the kernel of the root is `{found}`, the profile's `kernel.flavor` asks for `{wanted}`"
    )]
    OtherKernel {
        /// The kernel that is there.
        found: String,
        /// The one asked for.
        wanted: String,
    },
    /// The kernel's release is unknown.
    #[error("cannot tell the release of `{kernel}`: {why}")]
    KernelRelease {
        /// The kernel's path inside the root.
        kernel: String,
        /// What was found instead.
        why: String,
    },
    /// An index of kernel modules is missing.
    #[error("`{path}` is missing, so it is not known which modules kernel {release} has")]
    NoModuleIndex {
        /// Path inside the root.
        path: String,
        /// The kernel's release.
        release: String,
    },
    /// The kernel has no such module, built in or not.
    #[error("kernel {release} has no module `{module}`, which is needed to mount the root")]
    NoModule {
        /// The module.
        module: String,
        /// The kernel's release.
        release: String,
    },
    /// The plan says that there is no initramfs, but the kernel needs one.
    #[error("kernel {release} has `{module}` as a module file and needs an initramfs to load it")]
    InitramfsNeeded {
        /// The module.
        module: String,
        /// The kernel's release.
        release: String,
    },
    /// A module is compressed in a way that cannot be unpacked here.
    #[error("kernel module `{path}` is compressed with a method other than gzip")]
    ModuleCompression {
        /// Path inside the root.
        path: String,
    },
    /// A file that the initramfs needs is not in the root.
    #[error("the initramfs needs `{path}`, which is not in the root ({needed_by})")]
    InitramfsFile {
        /// What was looked for.
        path: String,
        /// Who needs it.
        needed_by: String,
    },
    /// A program of the root is not an ELF file that can be read.
    #[error("`{path}` is not a usable ELF program: {why}")]
    Elf {
        /// Path inside the root.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ImageError {
    /// For `map_err`: an I/O error with what was being done to which path.
    pub(super) fn io<E: Into<io::Error>>(
        doing: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> ImageError {
        let path = path.as_ref().to_path_buf();
        move |source| ImageError::Io {
            doing,
            path,
            source: source.into(),
        }
    }

    /// What the reader can do about it, where there is something to say.
    pub fn advice(&self) -> Option<String> {
        let advice = match self {
            ImageError::Io { source, .. } => return io_advice(source),
            ImageError::NotUtf8 { .. } => "rename the file in its package or overlay".to_owned(),
            ImageError::AccessControlList { .. } => {
                "the build folder probably has a default ACL: build elsewhere, or remove it \
                 with `setfacl -k`"
                    .to_owned()
            }
            ImageError::Changed { .. } => "another program works on the build folder; \
                                           build again when it has stopped"
                .to_owned(),
            ImageError::TooSmall { needed_bytes, .. } => format!(
                "make the profile's disk at least {} MiB, or remove packages",
                needed_bytes >> 20
            ),
            ImageError::FirmwareArch { arch, .. } => {
                format!("remove it from the profile's firmware for {arch}")
            }
            ImageError::LoaderMissing { firmware, .. } => format!(
                "add the package that holds GRUB for {firmware} (Alpine: `{}`) to the boot tools, \
                 or remove that firmware from the profile",
                match firmware {
                    Firmware::Bios => "grub-bios",
                    Firmware::Uefi => "grub-efi",
                }
            ),
            ImageError::NoKernel => "add a kernel package such as `linux-virt`".to_owned(),
            ImageError::ManyKernels { .. } => "keep one kernel package in the profile".to_owned(),
            ImageError::OtherKernel { .. } => {
                "set `kernel.flavor` to it, or take another kernel package".to_owned()
            }
            ImageError::NoModuleIndex { .. } => {
                "the kernel package must ship it, or run `depmod` (package kmod) for it; with \
                 everything built in, set the initramfs policy to `never`"
                    .to_owned()
            }
            ImageError::NoModule { .. } => {
                "use a kernel that has it, or change the profile's list of modules".to_owned()
            }
            ImageError::InitramfsNeeded { .. } => {
                "set the profile's initramfs policy to `auto`".to_owned()
            }
            ImageError::ModuleCompression { .. } => {
                "use a kernel whose modules are plain or gzip-compressed".to_owned()
            }
            ImageError::InitramfsFile { .. } => {
                "add the package that holds it (`busybox`, `musl`)".to_owned()
            }
            _ => return None,
        };
        Some(advice)
    }
}

/// Advice for the I/O errors that have one cause and one cure.
fn io_advice(error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free space where the image is written, or choose another folder".to_owned())
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            Some("choose an output folder that you can write to".to_owned())
        }
        _ => None,
    }
}

/// The result of everything in this module.
pub type Result<T, E = ImageError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_too_small_says_how_much_is_needed() {
        let error = ImageError::TooSmall {
            size_bytes: 64 << 20,
            needed_bytes: 212 << 20,
        };
        assert_eq!(
            error.to_string(),
            "the root file system does not fit: a disk of 64 MiB was asked for, \
             this content needs at least 212 MiB"
        );
        assert!(error.advice().is_some_and(|a| a.contains("212 MiB")));
    }

    #[test]
    fn a_full_disk_has_advice() {
        let error = ImageError::io::<io::Error>("writing", "/out/image.raw")(
            io::ErrorKind::StorageFull.into(),
        );
        assert!(error.advice().is_some_and(|a| a.contains("free space")));
    }
}
