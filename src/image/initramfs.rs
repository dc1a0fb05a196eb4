//! The initramfs: whether a kernel needs one, and a small one if so.
//!
//! It holds busybox with its libraries, the modules between the kernel and its root, and the
//! script `init.sh`. Its bytes depend on those files alone: fixed order, inode numbers, times
//! and compression (the format is described in the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use cpio::NewcBuilder;
use flate2::{Compression, GzBuilder};

use super::elf;
use super::error::{ImageError, Result};
use super::modules::{Availability, Modules};
use super::rootdir::RootDir;
use crate::profile::InitramfsPolicy;

const INIT: &str = include_str!("init.sh");

/// The program that everything in `init.sh` is done with.
const BUSYBOX: &str = "bin/busybox";

/// What is to be done about an initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitramfsPlan {
    /// Whether there is one.
    pub policy: InitramfsPolicy,
    /// Modules without which the root cannot be mounted.
    pub modules: Vec<String>,
    /// Modules that are taken along where the kernel has them as files.
    pub extra_modules: Vec<String>,
}

impl Default for InitramfsPlan {
    /// The root as ext4 on NVMe, which is every EBS volume on Nitro; besides, the checksums of
    /// ext4, which it asks for by a name that only modprobe could resolve, and the disks of
    /// older (Xen) instance types.
    fn default() -> InitramfsPlan {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        InitramfsPlan {
            policy: InitramfsPolicy::Auto,
            modules: owned(&["nvme", "ext4"]),
            extra_modules: owned(&["crc32c_generic", "crc32c_intel", "xen_blkfront"]),
        }
    }
}

/// An initramfs and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initramfs {
    /// The compressed archive.
    pub bytes: Vec<u8>,
    /// Its modules in the order of loading, as paths below `lib/modules/<release>`.
    pub modules: Vec<String>,
}

/// The initramfs for kernel `release` in `root`, or `None` where it goes without.
///
/// # Errors
/// [`ImageError::NoModule`] where a needed module is neither built in nor a file, so that the
/// image could never boot; [`ImageError::InitramfsNeeded`] where it is a file and there is to
/// be no initramfs; what [`Modules::read`] and [`elf::closure`] say.
pub fn build(root: &RootDir, release: &str, plan: &InitramfsPlan) -> Result<Option<Initramfs>> {
    let modules = match Modules::read(root, release) {
        // Whoever says "never" may have a kernel that knows no modules at all.
        Err(ImageError::NoModuleIndex { .. }) if plan.policy == InitramfsPolicy::Never => {
            return Ok(None);
        }
        read => read?,
    };
    if !needed(&modules, plan)? {
        return Ok(None);
    }
    let wanted = plan.modules.iter().chain(&plan.extra_modules);
    let order = modules.load_order(wanted.map(String::as_str));
    let archive = content(root, &modules, &order)?;
    let bytes = archive
        .pack()
        .map_err(ImageError::io("packing", "initramfs"))?;
    Ok(Some(Initramfs {
        bytes,
        modules: order,
    }))
}

fn needed(modules: &Modules, plan: &InitramfsPlan) -> Result<bool> {
    let mut needed = plan.policy == InitramfsPolicy::Always;
    for module in &plan.modules {
        match modules.availability(module) {
            Availability::Builtin => {}
            Availability::Loadable if plan.policy == InitramfsPolicy::Never => {
                return Err(ImageError::InitramfsNeeded {
                    module: module.clone(),
                    release: modules.release().to_owned(),
                });
            }
            Availability::Loadable => needed = true,
            Availability::Absent => {
                return Err(ImageError::NoModule {
                    module: module.clone(),
                    release: modules.release().to_owned(),
                });
            }
        }
    }
    Ok(needed)
}

fn content(root: &RootDir, modules: &Modules, order: &[String]) -> Result<Archive> {
    let mut archive = Archive::default();
    archive.file("init", 0o755, INIT.as_bytes().to_vec());
    let mut stored: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    for (path, bytes) in elf::closure(root, BUSYBOX)? {
        // musl's loader and C library are one file under two names.
        match stored.get(&bytes) {
            Some(first) => archive.link(&path, &format!("/{first}")),
            None => {
                stored.insert(bytes.clone(), path.clone());
                archive.file(&path, 0o755, bytes);
            }
        }
    }
    let mut list = String::new();
    for path in order {
        // They are stored unpacked, whatever they were, and the archive is packed as a whole.
        let name = path.strip_suffix(".gz").unwrap_or(path);
        archive.file(
            &format!("lib/modules/{name}"),
            0o644,
            modules.read_file(root, path)?,
        );
        list += &format!("{name}\n");
    }
    archive.file("modules.load", 0o644, list.into_bytes());
    // The kernel opens it before /init has mounted anything.
    archive.entries.push(Entry {
        path: "dev/console".to_owned(),
        mode: 0o020_600,
        device: (5, 1),
        bytes: Vec::new(),
    });
    Ok(archive)
}

#[derive(Debug)]
struct Entry {
    path: String,
    /// File type and permissions.
    mode: u32,
    device: (u32, u32),
    bytes: Vec<u8>,
}

/// Files on their way into a cpio archive, in order.
#[derive(Debug, Default)]
struct Archive {
    entries: Vec<Entry>,
}

impl Archive {
    fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        self.entries.push(Entry {
            path: path.to_owned(),
            mode: 0o100_000 | mode,
            device: (0, 0),
            bytes,
        });
    }

    fn link(&mut self, path: &str, target: &str) {
        self.entries.push(Entry {
            path: path.to_owned(),
            mode: 0o120_777,
            device: (0, 0),
            bytes: target.as_bytes().to_vec(),
        });
    }

    /// The folders that the entries are in, each before what it holds.
    fn folders(&self) -> BTreeSet<String> {
        let mut folders = BTreeSet::new();
        for entry in &self.entries {
            let mut path = entry.path.as_str();
            while let Some((folder, _)) = path.rsplit_once('/') {
                folders.insert(folder.to_owned());
                path = folder;
            }
        }
        folders
    }

    /// The archive, compressed.
    fn pack(&self) -> io::Result<Vec<u8>> {
        // mtime 0 and operating system 255 ("unknown"), so that neither clock nor host shows.
        let mut output = GzBuilder::new()
            .mtime(0)
            .operating_system(255)
            .write(Vec::new(), Compression::new(6));
        let folders = self.folders();
        let folders = folders
            .iter()
            .map(|path| (path, 0o040_755, (0, 0), &[][..]));
        let entries = self.entries.iter();
        let entries = entries.map(|e| (&e.path, e.mode, e.device, e.bytes.as_slice()));
        for (number, (path, mode, device, bytes)) in (1..).zip(folders.chain(entries)) {
            let size = u32::try_from(bytes.len())
                .map_err(|_| io::Error::other(format!("`{path}` is larger than 4 GiB")))?;
            let header = NewcBuilder::new(path)
                .ino(number)
                .mode(mode)
                .rdev_major(device.0)
                .rdev_minor(device.1);
            let mut writer = header.write(&mut output, size);
            writer.write_all(bytes)?;
            writer.finish()?;
        }
        cpio::newc::trailer(&mut output)?;
        output.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;

    const RELEASE: &str = "6.1-virt";

    /// A root with a busybox that is this test, made static as far as anyone can see.
    fn root(builtin: &str, dep: &str) -> (tempfile::TempDir, RootDir) {
        let dir = tempfile::tempdir().unwrap();
        let modules = dir.path().join("lib/modules").join(RELEASE);
        std::fs::create_dir_all(modules.join("kernel")).unwrap();
        std::fs::create_dir_all(dir.path().join("bin")).unwrap();
        std::fs::write(dir.path().join(BUSYBOX), static_elf()).unwrap();
        std::fs::write(modules.join("modules.builtin"), builtin).unwrap();
        std::fs::write(modules.join("modules.dep"), dep).unwrap();
        std::fs::write(modules.join("kernel/nvme.ko"), "nvme").unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        (dir, root)
    }

    /// The smallest ELF file that reads as a static program.
    fn static_elf() -> Vec<u8> {
        let mut elf = vec![0u8; 64];
        elf[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        elf[16] = 2;
        elf[18] = 62;
        elf[20] = 1;
        elf[52] = 64;
        elf
    }

    fn plan(policy: InitramfsPolicy) -> InitramfsPlan {
        InitramfsPlan {
            policy,
            ..InitramfsPlan::default()
        }
    }

    #[test]
    fn built_in_modules_need_none() {
        let (_dir, root) = root("kernel/nvme.ko\nkernel/ext4.ko\n", "");
        let auto = plan(InitramfsPolicy::Auto);
        assert_eq!(build(&root, RELEASE, &auto).unwrap(), None);
        let always = plan(InitramfsPolicy::Always);
        assert!(build(&root, RELEASE, &always).unwrap().is_some());
    }

    #[test]
    fn a_module_that_is_nowhere_is_an_error() {
        let (_dir, root) = root("kernel/nvme.ko\n", "");
        let error = build(&root, RELEASE, &plan(InitramfsPolicy::Auto)).unwrap_err();
        assert!(error.to_string().contains("no module `ext4`"), "{error}");
    }

    #[test]
    fn going_without_is_checked_as_far_as_possible() {
        let never = plan(InitramfsPolicy::Never);
        let (dir, root) = root("kernel/ext4.ko\n", "kernel/nvme.ko:\n");
        let error = build(&root, RELEASE, &never).unwrap_err();
        assert!(
            matches!(&error, ImageError::InitramfsNeeded { module, .. } if module == "nvme"),
            "{error}"
        );
        std::fs::remove_dir_all(dir.path().join("lib")).unwrap();
        assert_eq!(build(&root, RELEASE, &never).unwrap(), None);
    }

    #[test]
    fn the_archive_is_the_same_each_time_and_holds_what_is_needed() {
        let (_dir, root) = root("kernel/ext4.ko\n", "kernel/nvme.ko:\n");
        let auto = plan(InitramfsPolicy::Auto);
        let built = build(&root, RELEASE, &auto).unwrap().unwrap();
        assert_eq!(built.modules, ["kernel/nvme.ko"]);
        assert_eq!(build(&root, RELEASE, &auto).unwrap().unwrap(), built);

        let mut reader = GzDecoder::new(built.bytes.as_slice());
        let mut names = Vec::new();
        loop {
            let entry = cpio::NewcReader::new(&mut reader).unwrap();
            if entry.entry().is_trailer() {
                break;
            }
            assert_eq!(entry.entry().mtime(), 0);
            names.push(entry.entry().name().to_owned());
            entry.finish().unwrap();
        }
        let expected = [
            "bin",
            "dev",
            "lib",
            "lib/modules",
            "lib/modules/kernel",
            "init",
            BUSYBOX,
            "lib/modules/kernel/nvme.ko",
            "modules.load",
            "dev/console",
        ];
        assert_eq!(names, expected);
    }
}
