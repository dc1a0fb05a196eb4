//! The EFI system partition: a small FAT file system with one boot loader in it.

use std::io::{self, Cursor, Write};

use fatfs::{
    Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider,
};

use crate::arch::Arch;

use super::error::{ImageError, Result};

/// The volume label, padded to the eleven bytes of FAT.
const LABEL: [u8; 11] = *b"EFI        ";

/// FAT16 with clusters of one sector. UEFI 2.10, section 13.3, has firmware read FAT12, FAT16
/// and FAT32; a FAT32 of one-sector clusters would take 33 MiB for a file of 300 KiB.
const CLUSTER_BYTES: u32 = 512;

/// FAT cannot say "no time"; this is the first it can say.
#[derive(Debug)]
struct FirstOfFat;

static FIRST_OF_FAT: FirstOfFat = FirstOfFat;

impl TimeProvider for FirstOfFat {
    fn get_current_date(&self) -> Date {
        Date {
            year: 1980,
            month: 1,
            day: 1,
        }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime {
            date: self.get_current_date(),
            time: Time {
                hour: 0,
                min: 0,
                sec: 0,
                millis: 0,
            },
        }
    }
}

/// The name under which firmware looks for a loader on a disk it has no boot entry for
/// (UEFI 2.10, table 3.2), which is every fresh instance.
pub fn removable_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "BOOTX64.EFI",
        Arch::Aarch64 => "BOOTAA64.EFI",
    }
}

/// The bytes of an EFI system partition of `size_bytes` with `loader` as the removable-media
/// boot file of `arch`.
///
/// # Errors
/// [`ImageError::LoaderTooLarge`] where the loader does not fit.
pub fn build(size_bytes: u64, serial: u32, arch: Arch, loader: &[u8]) -> Result<Vec<u8>> {
    let mut disk = Cursor::new(vec![0u8; size_bytes as usize]);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat16)
        .bytes_per_cluster(CLUSTER_BYTES)
        .volume_id(serial)
        .volume_label(LABEL);
    fatfs::format_volume(&mut disk, options).map_err(esp("formatting"))?;
    {
        let options = FsOptions::new().time_provider(&FIRST_OF_FAT);
        let fs = FileSystem::new(&mut disk, options).map_err(esp("opening"))?;
        let free = fs.stats().map_err(esp("measuring"))?;
        // Two folders of one cluster each come first.
        let room = (free.free_clusters() as usize).saturating_sub(2) * CLUSTER_BYTES as usize;
        if loader.len() > room {
            return Err(ImageError::LoaderTooLarge {
                what: removable_name(arch).to_owned(),
                size: loader.len(),
                room,
            });
        }
        fill(&fs, arch, loader).map_err(esp("filling"))?;
        fs.unmount().map_err(esp("closing"))?;
    }
    Ok(disk.into_inner())
}

fn fill<T: io::Read + io::Write + io::Seek>(
    fs: &FileSystem<T>,
    arch: Arch,
    loader: &[u8],
) -> io::Result<()> {
    let boot = fs.root_dir().create_dir("EFI")?.create_dir("BOOT")?;
    let mut file = boot.create_file(removable_name(arch))?;
    file.write_all(loader)?;
    file.flush()
}

fn esp(doing: &'static str) -> impl FnOnce(io::Error) -> ImageError {
    move |source| ImageError::Esp { doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_loader_is_where_firmware_looks() {
        let loader = b"MZ loader".repeat(40_000);
        let bytes = build(8 << 20, 0xCAFE_F00D, Arch::Aarch64, &loader).unwrap();
        assert!(bytes == build(8 << 20, 0xCAFE_F00D, Arch::Aarch64, &loader).unwrap());

        let fs = FileSystem::new(Cursor::new(bytes), FsOptions::new()).unwrap();
        assert_eq!(fs.volume_id(), 0xCAFE_F00D);
        assert_eq!(fs.fat_type(), FatType::Fat16);
        let root = fs.root_dir();
        let mut file = root.open_file("EFI/BOOT/BOOTAA64.EFI").unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == loader);
        let years = root.iter().map(|entry| entry.unwrap().modified().date.year);
        assert_eq!(years.collect::<Vec<_>>(), [1980]);
    }

    #[test]
    fn a_loader_too_large_is_refused() {
        let error = build(8 << 20, 1, Arch::X86_64, &vec![1; 8 << 20]).unwrap_err();
        assert!(
            matches!(error, ImageError::LoaderTooLarge { .. }),
            "{error}"
        );
    }
}
