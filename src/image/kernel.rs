//! Finding the kernel in a root.

use super::error::{ImageError, Result};
use super::rootdir::RootDir;

/// What kernels are called; Alpine's packages append a flavor (`virt`, `lts`).
const KERNEL_PREFIX: &str = "vmlinuz-";

/// The kernel of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Alpine's name for the build: `virt`, `lts`.
    pub flavor: String,
    /// Path inside the root: `boot/vmlinuz-virt`.
    pub path: String,
    /// What `uname -r` says: `5.15.194-0-virt`; the name of its folder of modules.
    pub release: String,
}

impl Kernel {
    /// The one kernel in `root`, which must be of the flavour `wanted`.
    ///
    /// # Errors
    /// [`ImageError::NoKernel`], [`ImageError::ManyKernels`], or [`ImageError::KernelRelease`]
    /// where neither `usr/share/kernel/<flavor>/kernel.release` nor a single folder in
    /// `lib/modules` tells its release.
    pub fn find(root: &RootDir, wanted: &str) -> Result<Kernel> {
        let mut flavors: Vec<String> = root
            .names("boot")?
            .unwrap_or_default()
            .iter()
            .filter_map(|name| name.strip_prefix(KERNEL_PREFIX))
            .map(str::to_owned)
            .collect();
        let flavor = match flavors.len() {
            0 => return Err(ImageError::NoKernel),
            1 => flavors.remove(0),
            _ => {
                let names = flavors.iter().map(|flavor| path_of(flavor)).collect();
                return Err(ImageError::ManyKernels { names });
            }
        };
        if flavor != wanted {
            return Err(ImageError::OtherKernel {
                found: path_of(&flavor),
                wanted: path_of(wanted),
            });
        }
        Ok(Kernel {
            release: release(root, &flavor)?,
            path: path_of(&flavor),
            flavor,
        })
    }

    /// Where this kernel's initramfs is, in the root; mkinitfs uses the same name.
    pub fn initramfs_path(&self) -> String {
        format!("boot/initramfs-{}", self.flavor)
    }
}

fn path_of(flavor: &str) -> String {
    format!("boot/{KERNEL_PREFIX}{flavor}")
}

fn release(root: &RootDir, flavor: &str) -> Result<String> {
    if let Some(text) = root.read_text(&format!("usr/share/kernel/{flavor}/kernel.release"))? {
        return Ok(text.trim().to_owned());
    }
    let mut found = root.names("lib/modules")?.unwrap_or_default();
    let why = match found.len() {
        1 => return Ok(found.remove(0)),
        0 => "`lib/modules` is empty or missing".to_owned(),
        _ => format!("`lib/modules` holds {}", found.join(", ")),
    };
    Err(ImageError::KernelRelease {
        kernel: path_of(flavor),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_with(files: &[&str]) -> (tempfile::TempDir, RootDir) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "6.1.2-virt\n").unwrap();
        }
        let root = RootDir::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn the_release_comes_from_the_package_or_from_the_modules() {
        let (_dir, root) = root_with(&[
            "boot/vmlinuz-virt",
            "boot/config-virt",
            "usr/share/kernel/virt/kernel.release",
            "lib/modules/5.0-old/modules.dep",
            "lib/modules/6.1.2-virt/modules.dep",
        ]);
        assert_eq!(Kernel::find(&root, "virt").unwrap().release, "6.1.2-virt");

        let (_dir, root) = root_with(&["boot/vmlinuz-lts", "lib/modules/5.9-lts/modules.dep"]);
        let error = Kernel::find(&root, "virt").unwrap_err();
        assert!(matches!(error, ImageError::OtherKernel { .. }), "{error}");
        let kernel = Kernel::find(&root, "lts").unwrap();
        assert_eq!(kernel.release, "5.9-lts");
        assert_eq!(kernel.path, "boot/vmlinuz-lts");
        assert_eq!(kernel.initramfs_path(), "boot/initramfs-lts");
    }

    #[test]
    fn none_and_two_are_errors_that_name_them() {
        let (_dir, root) = root_with(&["boot/System.map-virt"]);
        assert!(matches!(
            Kernel::find(&root, "virt"),
            Err(ImageError::NoKernel)
        ));

        let (_dir, root) = root_with(&["boot/vmlinuz-lts", "boot/vmlinuz-virt"]);
        let error = Kernel::find(&root, "virt").unwrap_err();
        assert_eq!(
            error.to_string(),
            "more than one kernel in the root: boot/vmlinuz-lts, boot/vmlinuz-virt"
        );

        let (_dir, root) = root_with(&["boot/vmlinuz-virt"]);
        let error = Kernel::find(&root, "virt").unwrap_err();
        assert!(matches!(error, ImageError::KernelRelease { .. }), "{error}");
    }
}
