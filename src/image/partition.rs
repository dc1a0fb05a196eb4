//! The partition table: where each partition lies, and its GPT.
//!
//! BIOS boot first, then the EFI system partition, and the root last, so that it can grow
//! when an instance is started with a larger volume. Starts and sizes are whole MiB.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types;
use uuid::Uuid;

use super::error::{ImageError, Result};
use super::ids::{self, Purpose};
use crate::arch::Firmware;

/// Bytes in a sector, the unit of the table.
pub const SECTOR: u64 = 512;

const MIB: u64 = 1 << 20;

/// Before the first partition: the table, and alignment for any storage.
const HEAD: u64 = MIB;

/// After the last partition: the backup table needs 33 sectors; the rest keeps sizes whole.
const TAIL: u64 = MIB;

/// Room for GRUB's core image, which real mode limits to less than half of this.
const BIOS_BOOT_SIZE: u64 = MIB;

/// Room for two boot loaders side by side; just large enough for FAT16 with 512-byte clusters.
const ESP_SIZE: u64 = 8 * MIB;

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// GRUB's core image, which has no room elsewhere on a GPT disk.
    BiosBoot,
    /// The EFI system partition.
    Esp,
    /// The root file system.
    Root,
}

impl Role {
    /// The partition's name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Role::BiosBoot => "bios-boot",
            Role::Esp => "esp",
            Role::Root => "root",
        }
    }

    fn kind(self) -> partition_types::Type {
        match self {
            // 21686148-6449-6E6F-744E-656564454649, "Hah!IdontNeedEFI"
            Role::BiosBoot => partition_types::BIOS,
            // C12A7328-F81F-11D2-BA4B-00A0C93EC93B (UEFI 2.10, table 5.7)
            Role::Esp => partition_types::EFI,
            // 0FC63DAF-8483-4772-8E79-3D69D8477DE4, not the root type of the Discoverable
            // Partitions Specification: nothing here looks for that.
            Role::Root => partition_types::LINUX_FS,
        }
    }

    fn purpose(self) -> Purpose {
        match self {
            Role::BiosBoot => Purpose::BiosPartition,
            Role::Esp => Purpose::EspPartition,
            Role::Root => Purpose::RootPartition,
        }
    }
}

/// One partition of an image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Partition {
    /// Its number in the table, from 1.
    pub number: u32,
    /// What it is for.
    pub role: Role,
    /// Its own GUID, which Linux calls PARTUUID.
    #[serde(serialize_with = "as_text")]
    pub guid: Uuid,
    /// Where it starts, in bytes.
    pub start_bytes: u64,
    /// How large it is, in bytes.
    pub size_bytes: u64,
}

fn as_text<S: serde::Serializer>(guid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(guid)
}

impl Partition {
    /// Its first sector.
    pub fn first_sector(&self) -> u64 {
        self.start_bytes / SECTOR
    }
}

/// The partitions of an image, in the order of their numbers and places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLayout {
    /// The disk's GUID.
    pub disk_guid: Uuid,
    /// The partitions; the root is the last.
    pub partitions: Vec<Partition>,
}

impl PartitionLayout {
    /// Lays out a disk of `size_bytes` for the firmwares asked for.
    ///
    /// # Errors
    /// [`ImageError::Plan`] where the size is not whole MiB or leaves nothing for the root.
    pub fn new(
        size_bytes: u64,
        firmware: &BTreeSet<Firmware>,
        seed: &[u8; 32],
    ) -> Result<PartitionLayout> {
        let unusable = |why| ImageError::Plan {
            what: "size",
            value: format!("{size_bytes} bytes"),
            why,
        };
        if !size_bytes.is_multiple_of(MIB) {
            return Err(unusable("must be whole MiB"));
        }
        let mut fixed = Vec::new();
        if firmware.contains(&Firmware::Bios) {
            fixed.push((Role::BiosBoot, BIOS_BOOT_SIZE));
        }
        if firmware.contains(&Firmware::Uefi) {
            fixed.push((Role::Esp, ESP_SIZE));
        }
        let taken = HEAD + TAIL + fixed.iter().map(|(_, size)| size).sum::<u64>();
        let root_size = size_bytes
            .checked_sub(taken)
            .filter(|size| *size > 0)
            .ok_or_else(|| unusable("leaves no room for a root partition"))?;
        fixed.push((Role::Root, root_size));

        let mut start_bytes = HEAD;
        let mut partitions = Vec::new();
        for (number, (role, size_bytes)) in (1..).zip(fixed) {
            partitions.push(Partition {
                number,
                role,
                guid: ids::uuid(seed, role.purpose()),
                start_bytes,
                size_bytes,
            });
            start_bytes += size_bytes;
        }
        Ok(PartitionLayout {
            disk_guid: ids::uuid(seed, Purpose::Disk),
            partitions,
        })
    }

    /// The partition for `role`, where the layout has it.
    pub fn find(&self, role: Role) -> Option<&Partition> {
        self.partitions.iter().find(|part| part.role == role)
    }

    /// What a disk needs beside its root partition, in bytes.
    pub fn overhead_bytes(&self) -> u64 {
        let others = self
            .partitions
            .iter()
            .filter(|part| part.role != Role::Root);
        HEAD + TAIL + others.map(|part| part.size_bytes).sum::<u64>()
    }

    /// Writes the protective MBR, the table and its backup into `file`, which has the disk's
    /// full size; `path` is for messages.
    pub fn write(&self, file: &File, path: &Path, size_bytes: u64) -> Result<()> {
        let refused = |why: String| ImageError::PartitionTable {
            path: path.to_path_buf(),
            why,
        };
        let mut device = file;
        let sectors = u32::try_from(size_bytes / SECTOR - 1).unwrap_or(u32::MAX);
        ProtectiveMBR::with_lb_size(sectors)
            .overwrite_lba0(&mut device)
            .map_err(|error| refused(error.to_string()))?;
        let mut disk = gpt::GptConfig::new()
            .writable(true)
            .logical_block_size(LogicalBlockSize::Lb512)
            .create_from_device(device, Some(self.disk_guid))
            .map_err(|error| refused(error.to_string()))?;
        disk.update_partitions(self.entries())
            .map_err(|error| refused(error.to_string()))?;
        disk.write().map_err(|error| refused(error.to_string()))?;
        Ok(())
    }

    fn entries(&self) -> BTreeMap<u32, gpt::partition::Partition> {
        let entry = |part: &Partition| gpt::partition::Partition {
            part_type_guid: part.role.kind(),
            part_guid: part.guid,
            first_lba: part.first_sector(),
            last_lba: (part.start_bytes + part.size_bytes) / SECTOR - 1,
            flags: 0,
            name: part.role.name().to_owned(),
        };
        self.partitions
            .iter()
            .map(|part| (part.number, entry(part)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Firmware; 2] = [Firmware::Bios, Firmware::Uefi];

    #[test]
    fn the_root_is_last_and_takes_the_rest() {
        for firmware in [&BOTH[..], &BOTH[..1], &BOTH[1..]] {
            let layout =
                PartitionLayout::new(2 << 30, &firmware.iter().copied().collect(), &[1; 32])
                    .unwrap();
            let parts = &layout.partitions;
            assert_eq!(parts.len(), firmware.len() + 1);
            let root = parts.last().unwrap();
            assert_eq!(root.role, Role::Root);
            assert_eq!(root.start_bytes + root.size_bytes, (2 << 30) - TAIL);
            assert_eq!(root.size_bytes, (2 << 30) - layout.overhead_bytes());
            for pair in parts.windows(2) {
                assert_eq!(
                    pair[0].start_bytes + pair[0].size_bytes,
                    pair[1].start_bytes
                );
            }
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let both = BOTH.into_iter().collect();
        for size in [0, 5 << 20, (2 << 30) + 1] {
            let error = PartitionLayout::new(size, &both, &[1; 32]).unwrap_err();
            assert!(matches!(error, ImageError::Plan { .. }), "{error}");
        }
    }

    #[test]
    fn the_table_is_the_same_each_time_and_reads_back() {
        let write = || {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(64 << 20).unwrap();
            let layout =
                PartitionLayout::new(64 << 20, &BOTH.into_iter().collect(), &[1; 32]).unwrap();
            layout.write(file.as_file(), file.path(), 64 << 20).unwrap();
            (file, layout)
        };
        let (first, layout) = write();
        let (second, _) = write();
        assert!(std::fs::read(first.path()).unwrap() == std::fs::read(second.path()).unwrap());

        let read = gpt::GptConfig::new()
            .only_valid_headers(true)
            .open(first.path())
            .unwrap();
        assert_eq!(*read.guid(), layout.disk_guid);
        assert_eq!(read.partitions()[&3].part_guid, layout.partitions[2].guid);
        assert_eq!(read.partitions()[&2].name, "esp");
    }
}
