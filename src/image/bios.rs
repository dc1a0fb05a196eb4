//! GRUB on a BIOS disk: what `grub-bios-setup` writes, without a block device to write to.
//!
//! Two pieces are tied together by sector numbers. `boot.img` goes into the first sector of
//! the disk and loads the first sector of `core.img`, which carries a list of the sectors that
//! hold the rest. The offsets are those of `include/grub/i386/pc/boot.h` and the steps those of
//! `util/setup.c` in the GRUB source. The error correction that setup can add to the core is
//! left out, as with its option `--no-rs-codes`: nobody else writes to our own partition.

use super::error::{ImageError, Result};
use super::partition::SECTOR;

/// The part of the first sector that is code; disk signature and partition table follow
/// (`GRUB_BOOT_MACHINE_WINDOWS_NT_MAGIC`).
pub const BOOT_CODE: usize = 0x1b8;

/// `GRUB_BOOT_MACHINE_BPB_START` and `_END`: the parameter block of a FAT file system, which
/// a partitioned disk does not have.
const PARAMETER_BLOCK: std::ops::Range<usize> = 0x03..0x5a;

/// `GRUB_BOOT_MACHINE_KERNEL_SECTOR`: the first sector of `core.img`, 8 bytes.
const KERNEL_SECTOR: usize = 0x5c;

/// `GRUB_BOOT_MACHINE_BOOT_DRIVE`: the drive to load from; 0xff is the one booted from.
const BOOT_DRIVE: usize = 0x64;

/// `GRUB_BOOT_MACHINE_DRIVE_CHECK`: a jump over a check for firmware that passes a wrong drive
/// number; setup replaces it with two no-operations on anything but a floppy disk.
const DRIVE_CHECK: usize = 0x66;

/// `GRUB_BOOT_MACHINE_SIGNATURE`, at the end of the sector.
const SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// Where the list of sectors in the first sector of `core.img` begins: it grows downwards
/// from the end, 12 bytes an entry (`struct grub_pc_bios_boot_blocklist`).
const BLOCK_LIST: usize = SECTOR_BYTES - BLOCK_LIST_ENTRY;
const BLOCK_LIST_ENTRY: usize = 12;

/// The segment that the second sector is loaded to: `GRUB_BOOT_MACHINE_KERNEL_SEG` (0x800)
/// and one sector further.
const SECOND_SECTOR_SEGMENT: u16 = 0x800 + (SECTOR_BYTES as u16 >> 4);

const SECTOR_BYTES: usize = SECTOR as usize;

/// What goes onto the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BiosBoot {
    /// The code of the disk's first sector; the table after it stays as it is.
    pub boot_code: [u8; BOOT_CODE],
    /// The content of the BIOS boot partition, from its first sector.
    pub core: Vec<u8>,
}

/// Ties `boot_img` and `core_img` to a BIOS boot partition that begins at sector
/// `first_sector` and has room for `room` bytes.
pub fn embed(boot_img: &[u8], core_img: &[u8], first_sector: u64, room: usize) -> Result<BiosBoot> {
    if core_img.len() > room {
        return Err(ImageError::LoaderTooLarge {
            what: "GRUB's core image".to_owned(),
            size: core_img.len(),
            room,
        });
    }
    Ok(BiosBoot {
        boot_code: boot_code(boot_img, first_sector)?,
        core: core(core_img, first_sector)?,
    })
}

fn boot_code(boot_img: &[u8], first_sector: u64) -> Result<[u8; BOOT_CODE]> {
    let unusable = |why: &str| ImageError::LoaderFormat {
        what: "boot.img",
        why: why.to_owned(),
    };
    if boot_img.len() != SECTOR_BYTES {
        return Err(unusable("it is not one sector long"));
    }
    if boot_img[SECTOR_BYTES - 2..] != SIGNATURE {
        return Err(unusable("it has no boot signature"));
    }
    // A short jump: anything else here means a layout that these offsets do not fit.
    if boot_img[DRIVE_CHECK] != 0xeb {
        return Err(unusable("there is no drive check where GRUB 2 has it"));
    }
    let mut code = [0u8; BOOT_CODE];
    code.copy_from_slice(&boot_img[..BOOT_CODE]);
    code[PARAMETER_BLOCK].fill(0);
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&first_sector.to_le_bytes());
    code[BOOT_DRIVE] = 0xff;
    code[DRIVE_CHECK..DRIVE_CHECK + 2].fill(0x90);
    Ok(code)
}

fn core(core_img: &[u8], first_sector: u64) -> Result<Vec<u8>> {
    let unusable = |why: &str| ImageError::LoaderFormat {
        what: "core.img",
        why: why.to_owned(),
    };
    let sectors = core_img.len().div_ceil(SECTOR_BYTES);
    let rest = sectors
        .checked_sub(1)
        .filter(|rest| *rest > 0)
        .and_then(|rest| u16::try_from(rest).ok())
        .ok_or_else(|| unusable("its length cannot be right"))?;
    let mut core = core_img.to_vec();
    core.resize(sectors * SECTOR_BYTES, 0);

    let entry = &mut core[BLOCK_LIST..SECTOR_BYTES];
    entry[..8].copy_from_slice(&(first_sector + 1).to_le_bytes());
    entry[8..10].copy_from_slice(&rest.to_le_bytes());
    entry[10..].copy_from_slice(&SECOND_SECTOR_SEGMENT.to_le_bytes());
    // The partition is one run of sectors; the next entry, of length 0, ends the list.
    let end = &core[BLOCK_LIST - BLOCK_LIST_ENTRY..BLOCK_LIST];
    if end[8..10] != [0, 0] {
        return Err(unusable(
            "its first sector has no room for a list of sectors",
        ));
    }
    Ok(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot_img() -> Vec<u8> {
        let mut image = vec![0x11u8; SECTOR_BYTES];
        image[DRIVE_CHECK] = 0xeb;
        image[510..].copy_from_slice(&SIGNATURE);
        image
    }

    #[test]
    fn both_pieces_point_at_the_right_sectors() {
        let mut core_img = vec![0u8; 512];
        core_img.extend(vec![7u8; 1000]);
        let boot = embed(&boot_img(), &core_img, 2048, 1 << 20).unwrap();

        assert_eq!(
            boot.boot_code[KERNEL_SECTOR..KERNEL_SECTOR + 8],
            2048u64.to_le_bytes()
        );
        assert_eq!(boot.boot_code[DRIVE_CHECK..DRIVE_CHECK + 2], [0x90, 0x90]);
        assert!(
            boot.boot_code[PARAMETER_BLOCK]
                .iter()
                .all(|byte| *byte == 0)
        );
        assert_eq!(boot.boot_code[0], 0x11);

        assert_eq!(boot.core.len(), 3 * 512);
        let entry = &boot.core[500..512];
        assert_eq!(entry[..8], 2049u64.to_le_bytes());
        assert_eq!(entry[8..10], 2u16.to_le_bytes());
        assert_eq!(entry[10..], 0x820u16.to_le_bytes());
        assert_eq!(boot.core[512..1512], core_img[512..]);
    }

    #[test]
    fn images_that_are_not_grubs_are_refused() {
        let core = vec![0u8; 2048];
        let mut no_signature = boot_img();
        no_signature[511] = 0;
        let mut no_check = boot_img();
        no_check[DRIVE_CHECK] = 0;
        for boot in [vec![], no_signature, no_check] {
            let error = embed(&boot, &core, 2048, 1 << 20).unwrap_err();
            assert!(matches!(error, ImageError::LoaderFormat { .. }), "{error}");
        }
        assert!(embed(&boot_img(), &[0; 512], 2048, 1 << 20).is_err());
        let error = embed(&boot_img(), &core, 2048, 1024).unwrap_err();
        assert!(
            matches!(error, ImageError::LoaderTooLarge { .. }),
            "{error}"
        );
    }
}
