//! A whole disk image: partition table, boot loaders and root file system in one sparse file.
//!
//! The same plan, root and boot tools give the same bytes. Nothing is mounted, no loop device
//! and no privilege is used, and the file appears under its name only when it is complete.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use uuid::Uuid;

use crate::arch::{Arch, Firmware};

use super::bios;
use super::error::{ImageError, Result};
use super::esp;
use super::ext4::{self, FsOptions, FsUse};
use super::grub::{self, BootTools, MenuEntry, RootLocation, SerialPort};
use super::ids::{self, Purpose};
use super::initramfs::{self, InitramfsPlan};
use super::kernel::Kernel;
use super::partition::{Partition, PartitionLayout, Role};
use super::rootdir::RootDir;
use super::sparse::Region;
use super::tree::Tree;

/// Devices that are used before anything is mounted on `/dev`, by path, mode, major and minor:
/// the console by a kernel that mounts its root itself, null by OpenRC's first script.
const FIRST_DEVICES: [(&str, u16, u32, u32); 2] =
    [("dev/console", 0o600, 5, 1), ("dev/null", 0o666, 1, 3)];

/// What a disk is to be.
#[derive(Debug, Clone)]
pub struct DiskPlan {
    /// Size in bytes, whole MiB.
    pub size_bytes: u64,
    /// The architecture, which decides what the boot loaders are.
    pub arch: Arch,
    /// The firmwares that the disk starts under; at least one.
    pub firmware: BTreeSet<Firmware>,
    /// Label of the root file system, 16 bytes at most.
    pub root_label: String,
    /// Digest that every UUID comes from. Images with the same seed cannot be told apart when
    /// both are attached to one machine; another seed changes all of ext4's metadata.
    pub seed: [u8; 32],
    /// Seconds since 1970 that no time in the image is later than.
    pub epoch: i64,
    /// What is to be done about an initramfs.
    pub initramfs: InitramfsPlan,
    /// The kernel's flavour: `/boot/vmlinuz-<flavor>` must be the one that is there.
    pub kernel_flavor: String,
    /// The kernel's parameters besides `root=`, `rootfstype=` and `ro`.
    pub cmdline: String,
    /// The title of the boot menu's entry.
    pub title: String,
    /// Seconds that the boot menu waits.
    pub menu_timeout: u32,
    /// The serial port that the boot menu is also on.
    pub serial: Option<SerialPort>,
}

/// What a finished disk is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DiskSummary {
    /// Size of the image, in bytes.
    pub size_bytes: u64,
    /// What the file really takes on this machine's disk, in bytes.
    pub allocated_bytes: u64,
    /// The disk's GUID.
    #[serde(serialize_with = "as_text")]
    pub disk_guid: Uuid,
    /// Its partitions, the root last.
    pub partitions: Vec<Partition>,
    /// The root file system's UUID.
    #[serde(serialize_with = "as_text")]
    pub root_uuid: Uuid,
    /// The root file system's label.
    pub root_label: String,
    /// How full the root file system is.
    pub root_use: FsUse,
    /// The firmwares that it starts under.
    pub firmware: BTreeSet<Firmware>,
    /// The kernel's release.
    pub kernel_release: String,
    /// The kernel's whole command line.
    pub cmdline: String,
    /// Modules that the initramfs loads, in order; absent where there is no initramfs.
    pub initramfs_modules: Option<Vec<String>>,
    /// Files in the image that are not in the root folder, or differ from it.
    pub generated: Vec<String>,
}

fn as_text<S: serde::Serializer>(guid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(guid)
}

/// Writes the disk that `plan` describes, with the content of the folder `root`, to `out`,
/// which is replaced if it exists.
///
/// # Errors
/// Every [`ImageError`]; nothing is left at `out` then that was not there before.
pub fn write_disk(
    plan: &DiskPlan,
    root: &Path,
    tools: &BootTools<'_>,
    out: &Path,
) -> Result<DiskSummary> {
    check(plan)?;
    let root = RootDir::open(root)?;
    let layout = PartitionLayout::new(plan.size_bytes, &plan.firmware, &plan.seed)?;
    let system = System::prepare(plan, &root, &layout)?;
    let loaders = Loaders::make(plan, &layout, tools, system.root_uuid)?;

    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let partial = tempfile::Builder::new()
        .prefix(".image-")
        .suffix(".partial")
        .tempfile_in(folder)
        .map_err(ImageError::io("making a file in", folder))?;
    let file = partial.as_file();
    let root_use = write_parts(plan, &root, &layout, &system, &loaders, (file, out))?;
    let allocated_bytes = allocated(file, out)?;
    // Images are for others to read, whatever this process's umask; NamedTempFile makes 0600.
    file.set_permissions(Permissions::from_mode(0o644))
        .map_err(ImageError::io("setting permissions of", out))?;
    partial
        .persist(out)
        .map_err(|error| ImageError::io("renaming to", out)(error.error))?;

    Ok(DiskSummary {
        size_bytes: plan.size_bytes,
        allocated_bytes,
        disk_guid: layout.disk_guid,
        partitions: layout.partitions,
        root_uuid: system.root_uuid,
        root_label: plan.root_label.clone(),
        root_use,
        firmware: plan.firmware.clone(),
        kernel_release: system.kernel.release,
        cmdline: system.cmdline,
        initramfs_modules: system.initramfs_modules,
        generated: system.generated,
    })
}

/// Checks what can be checked before anything is read.
fn check(plan: &DiskPlan) -> Result<()> {
    let refused = |what, value: &dyn fmt::Display, why| ImageError::Plan {
        what,
        value: value.to_string(),
        why,
    };
    if plan.firmware.is_empty() {
        return Err(refused(
            "firmware",
            &"",
            "must name at least one of bios and uefi",
        ));
    }
    for firmware in &plan.firmware {
        grub::platform(plan.arch, *firmware)?;
    }
    if plan.root_label.len() > ext4::LABEL_MAX {
        return Err(refused(
            "root label",
            &plan.root_label,
            "is longer than 16 bytes",
        ));
    }
    // The superblock's times are 32 bits wide.
    if u32::try_from(plan.epoch).is_err() {
        return Err(refused(
            "epoch",
            &plan.epoch,
            "is not between 1970 and 2106",
        ));
    }
    Ok(())
}

/// The root file system's content and what boots it.
struct System {
    tree: Tree,
    kernel: Kernel,
    root_uuid: Uuid,
    cmdline: String,
    initramfs_modules: Option<Vec<String>>,
    generated: Vec<String>,
}

impl System {
    fn prepare(plan: &DiskPlan, root: &RootDir, layout: &PartitionLayout) -> Result<System> {
        let kernel = Kernel::find(root, &plan.kernel_flavor)?;
        let initramfs = initramfs::build(root, &kernel.release, &plan.initramfs)?;
        let root_uuid = ids::uuid(&plan.seed, Purpose::RootFileSystem);
        let cmdline = cmdline(plan, layout, root_uuid, initramfs.is_some());
        let menu = grub::config(&MenuEntry {
            title: plan.title.clone(),
            kernel: format!("/{}", kernel.path),
            initramfs: initramfs
                .as_ref()
                .map(|_| format!("/{}", kernel.initramfs_path())),
            cmdline: cmdline.clone(),
            timeout: plan.menu_timeout,
            serial: plan.serial,
        })?;

        let mut system = System {
            tree: Tree::read(root, plan.epoch)?,
            root_uuid,
            cmdline,
            initramfs_modules: None,
            generated: Vec::new(),
            kernel,
        };
        for (path, mode, major, minor) in FIRST_DEVICES {
            system.tree.add_char_device(path, mode, major, minor)?;
            system.generated.push(path.to_owned());
        }
        system.add(grub::CONFIG_PATH, 0o644, menu.into_bytes())?;
        if let Some(initramfs) = initramfs {
            system.add(&system.kernel.initramfs_path(), 0o600, initramfs.bytes)?;
            system.initramfs_modules = Some(initramfs.modules);
        }
        Ok(system)
    }

    fn add(&mut self, path: &str, mode: u16, bytes: Vec<u8>) -> Result<()> {
        self.generated.push(path.to_owned());
        self.tree.add_file(path, mode, bytes)
    }
}

/// The kernel's command line. Only the kernel itself knows PARTUUID, and only an initramfs
/// can look into file systems; the kernel must be told to wait for NVMe, which is found later
/// than it first looks.
fn cmdline(plan: &DiskPlan, layout: &PartitionLayout, uuid: Uuid, initramfs: bool) -> String {
    let partition = root_partition(layout);
    let root = if initramfs {
        format!("root=UUID={uuid}")
    } else {
        format!("root=PARTUUID={} rootwait", partition.guid)
    };
    let line = format!("{root} rootfstype=ext4 ro {}", plan.cmdline.trim());
    line.trim_end().to_owned()
}

fn root_partition(layout: &PartitionLayout) -> &Partition {
    layout
        .find(Role::Root)
        .expect("every layout has a root partition")
}

/// The boot loaders as they go onto the disk.
struct Loaders {
    bios: Option<bios::BiosBoot>,
    esp: Option<Vec<u8>>,
}

impl Loaders {
    fn make(
        plan: &DiskPlan,
        layout: &PartitionLayout,
        tools: &BootTools<'_>,
        root_uuid: Uuid,
    ) -> Result<Loaders> {
        let root = RootLocation {
            uuid: root_uuid,
            partition: root_partition(layout).number,
        };
        let mut loaders = Loaders {
            bios: None,
            esp: None,
        };
        if let Some(part) = layout.find(Role::BiosBoot) {
            let images = grub::bios_images(tools, plan.arch, &root)?;
            let room = part.size_bytes as usize;
            let boot = bios::embed(&images.boot, &images.core, part.first_sector(), room)?;
            loaders.bios = Some(boot);
        }
        if let Some(part) = layout.find(Role::Esp) {
            let image = grub::efi_image(tools, plan.arch, &root)?;
            let serial = ids::serial(&plan.seed, Purpose::EspVolume);
            loaders.esp = Some(esp::build(part.size_bytes, serial, plan.arch, &image)?);
        }
        Ok(loaders)
    }
}

fn write_parts(
    plan: &DiskPlan,
    root: &RootDir,
    layout: &PartitionLayout,
    system: &System,
    loaders: &Loaders,
    (file, out): (&File, &Path),
) -> Result<FsUse> {
    let write = |start: u64, bytes: &[u8]| {
        Region::new(file, start, plan.size_bytes - start)
            .write_at(0, bytes)
            .map_err(ImageError::io("writing", out))
    };
    file.set_len(plan.size_bytes)
        .map_err(ImageError::io("setting the size of", out))?;
    layout.write(file, out, plan.size_bytes)?;
    if let (Some(part), Some(boot)) = (layout.find(Role::BiosBoot), &loaders.bios) {
        write(0, &boot.boot_code)?;
        write(part.start_bytes, &boot.core)?;
    }
    if let (Some(part), Some(bytes)) = (layout.find(Role::Esp), &loaders.esp) {
        write(part.start_bytes, bytes)?;
    }

    let part = root_partition(layout);
    let options = FsOptions {
        size_bytes: part.size_bytes,
        uuid: system.root_uuid.into_bytes(),
        label: plan.root_label.clone(),
    };
    let mut region = Region::new(file, part.start_bytes, part.size_bytes);
    ext4::write(&system.tree, root, &options, &mut region).map_err(|error| match error {
        // Told in terms of the disk, which is what the profile has.
        ImageError::TooSmall { needed_bytes, .. } => ImageError::TooSmall {
            size_bytes: plan.size_bytes,
            needed_bytes: needed_bytes + layout.overhead_bytes(),
        },
        error => error,
    })
}

/// What the file takes on disk, in bytes.
fn allocated(file: &File, out: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata().map_err(ImageError::io("looking at", out))?;
    // st_blocks counts 512 bytes, whatever the file system's own blocks are.
    Ok(metadata.blocks() * 512)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{ExitStatus, Output};

    use crate::profile::InitramfsPolicy;

    /// A folder with a root and boot tools that hold just what is looked at.
    fn folders() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut boot_img = vec![0u8; 512];
        boot_img[0x66] = 0xeb;
        boot_img[510..].copy_from_slice(&[0x55, 0xaa]);
        for (path, bytes) in [
            ("root/boot/vmlinuz-virt", &[1u8; 9000][..]),
            (
                "root/lib/modules/6.1-virt/modules.builtin",
                b"nvme.ko\next4.ko\n",
            ),
            ("tools/usr/lib/grub/i386-pc/kernel.img", b""),
            ("tools/usr/lib/grub/i386-pc/boot.img", &boot_img),
            ("tools/usr/lib/grub/x86_64-efi/kernel.img", b""),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        dir
    }

    fn plan(size_bytes: u64) -> DiskPlan {
        DiskPlan {
            kernel_flavor: "virt".to_owned(),
            size_bytes,
            arch: Arch::X86_64,
            firmware: [Firmware::Bios, Firmware::Uefi].into(),
            root_label: "test".to_owned(),
            seed: [3; 32],
            epoch: 1_700_000_000,
            initramfs: InitramfsPlan {
                policy: InitramfsPolicy::Auto,
                ..InitramfsPlan::default()
            },
            cmdline: "quiet".to_owned(),
            title: "Test".to_owned(),
            menu_timeout: 0,
            serial: None,
        }
    }

    /// Writes a disk with a `grub-mkimage` that writes the same bytes for every image.
    fn write(dir: &Path, plan: &DiskPlan, out: &str) -> Result<DiskSummary> {
        let tools = dir.join("tools");
        let run = |command: &[&str]| {
            let output = command.iter().position(|word| *word == "-o").unwrap() + 1;
            let output = tools.join(command[output].trim_start_matches('/'));
            let mut image = vec![0u8; 512];
            image.extend([8u8; 2000]);
            std::fs::write(output, image)?;
            Ok(Output {
                status: ExitStatus::from_raw(0),
                stdout: vec![],
                stderr: vec![],
            })
        };
        let tools = BootTools {
            root: &tools,
            run: &run,
        };
        write_disk(plan, &dir.join("root"), &tools, &dir.join(out))
    }

    #[test]
    fn a_disk_holds_its_parts_and_is_the_same_each_time() {
        let dir = folders();
        let summary = write(dir.path(), &plan(64 << 20), "a.raw").unwrap();
        assert_eq!(
            summary,
            write(dir.path(), &plan(64 << 20), "b.raw").unwrap()
        );
        let bytes = std::fs::read(dir.path().join("a.raw")).unwrap();
        assert!(bytes == std::fs::read(dir.path().join("b.raw")).unwrap());
        assert!(summary.allocated_bytes < 2 << 20, "{summary:?}");

        assert_eq!(
            bytes[0x5c..0x64],
            2048u64.to_le_bytes(),
            "the first sector has no loader"
        );
        assert_eq!(bytes[510..512], [0x55, 0xaa]);
        let root = summary.partitions.last().unwrap();
        let fs = mkext4::reader::Fs::open(&bytes[root.start_bytes as usize..]).unwrap();
        assert!(fs.verify().unwrap().is_empty());
        let menu = fs
            .read_file(fs.resolve("/boot/grub/grub.cfg").unwrap())
            .unwrap();
        let menu = String::from_utf8(menu).unwrap();
        let line = format!(
            "linux /boot/vmlinuz-virt root=PARTUUID={} rootwait ",
            root.guid
        );
        assert!(menu.contains(&line), "{menu}");
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let dir = folders();
        std::fs::write(dir.path().join("out.raw"), "precious").unwrap();
        let big = std::fs::File::create(dir.path().join("root/big")).unwrap();
        big.write_all_at(&[1], 50 << 20).unwrap();
        let error = write(dir.path(), &plan(40 << 20), "out.raw").unwrap_err();
        let ImageError::TooSmall { needed_bytes, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(
            std::fs::read(dir.path().join("out.raw")).unwrap(),
            b"precious"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);

        assert!(write(dir.path(), &plan(needed_bytes), "out.raw").is_ok());
    }

    #[test]
    fn plans_that_cannot_be_are_refused_first() {
        let dir = folders();
        let refused = |change: fn(&mut DiskPlan)| {
            let mut plan = plan(64 << 20);
            change(&mut plan);
            write(dir.path(), &plan, "out.raw").unwrap_err().to_string()
        };
        assert!(refused(|plan| plan.firmware.clear()).contains("at least one"));
        assert!(refused(|plan| plan.root_label = "x".repeat(17)).contains("16 bytes"));
        assert!(refused(|plan| plan.epoch = -1).contains("1970"));
        assert!(refused(|plan| plan.arch = Arch::Aarch64).contains("aarch64"));
    }
}
