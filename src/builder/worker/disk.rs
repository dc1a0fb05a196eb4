//! The disk that a worker fills: found by its EC2 name, refused if anything is on it.
//!
//! On Nitro instances an EBS volume is an NVMe disk whose number says nothing; its controller tells
//! the name that it was attached under:
//! <https://docs.aws.amazon.com/ebs/latest/userguide/nvme-ebs-volumes.html>.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Advice, OFlags};
use tokio::time::Instant;

use crate::builder::job::JobDisk;
use crate::interrupt;

/// A volume is attached while the instance boots already.
pub const APPEARS_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Bytes read or written at a time.
const CHUNK: usize = 1 << 20;

/// A disk that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It is not there.
    #[error("there is no disk {wanted} on this machine; there are: {}", list(.there))]
    Missing {
        /// Its EC2 name.
        wanted: String,
        /// Disks that there are, with their EC2 names.
        there: Vec<String>,
    },
    /// Several claim the name.
    #[error("several disks are called {wanted}: {}", list(.found))]
    Several {
        /// The EC2 name.
        wanted: String,
        /// Their device files.
        found: Vec<String>,
    },
    /// It has another size.
    #[error("the disk {path} has {found} bytes, not {expected}")]
    Size {
        /// Its device file.
        path: PathBuf,
        /// As it is.
        found: u64,
        /// As it should be.
        expected: u64,
    },
    /// There is something on it.
    #[error("the disk {path} is not empty: there is data at byte {at}")]
    NotEmpty {
        /// Its device file.
        path: PathBuf,
        /// Where.
        at: u64,
    },
    /// It is mounted, or used otherwise.
    #[error("the disk {0} is in use")]
    InUse(PathBuf),
    /// It does not hold what was written.
    #[error("the disk {path} does not hold what was written to it, at byte {at}")]
    Differs {
        /// Its device file.
        path: PathBuf,
        /// Where.
        at: u64,
    },
    /// It cannot be read or written.
    #[error("cannot use the disk {path}: {source}")]
    Io {
        /// Its device file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DiskError {
    /// What to do next.
    pub fn advice(&self) -> &'static str {
        match self {
            DiskError::Missing { .. } | DiskError::Several { .. } => {
                "look at how the instance was started: the volume belongs to its block device mapping"
            }
            DiskError::Size { .. } | DiskError::NotEmpty { .. } | DiskError::InUse(_) => {
                "nothing was written; the volume must be a new one, of the size of the image's disk"
            }
            DiskError::Differs { .. } | DiskError::Io { .. } => {
                "build again: that starts another instance with another volume"
            }
        }
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

/// A disk that was found.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    size: u64,
}

/// A disk of the right size with nothing on it, and nobody using it.
#[derive(Debug)]
pub struct EmptyDisk {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Disk {
    /// Finds the disk by its EC2 name among the devices in a folder (`/dev`), once it is there.
    ///
    /// # Errors
    /// It is not there, or several are called so.
    pub async fn find(
        devices: &Path,
        wanted: &JobDisk,
        within: Duration,
    ) -> Result<Disk, DiskError> {
        let begun = Instant::now();
        loop {
            let found: Vec<_> = called(devices, &wanted.device).into_iter().collect();
            match &found[..] {
                [path] => {
                    return Ok(Disk {
                        path: path.clone(),
                        size: wanted.size,
                    });
                }
                [] if begun.elapsed() < within => tokio::time::sleep(LOOK_AGAIN).await,
                [] => {
                    return Err(DiskError::Missing {
                        wanted: wanted.device.clone(),
                        there: disks(devices),
                    });
                }
                several => {
                    return Err(DiskError::Several {
                        wanted: wanted.device.clone(),
                        found: several
                            .iter()
                            .map(|path| path.display().to_string())
                            .collect(),
                    });
                }
            }
        }
    }

    /// Refuses a disk of another size, one that is in use, and one that is not empty. Takes as long
    /// as reading all of it does.
    ///
    /// # Errors
    /// See [`DiskError`]; nothing was written.
    pub fn checked(self) -> Result<EmptyDisk, DiskError> {
        let Disk { path, size } = self;
        let failed = |source| DiskError::Io {
            path: path.clone(),
            source,
        };
        // Of a block device, EXCL is refused while it, or a part of it, is mounted.
        let exclusive = OFlags::EXCL.bits().cast_signed();
        let opened = File::options()
            .read(true)
            .write(true)
            .custom_flags(exclusive)
            .open(&path);
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Err(DiskError::InUse(path));
            }
            opened => opened.map_err(failed)?,
        };
        // The length in a device file's metadata is nought.
        let found = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if found != size {
            return Err(DiskError::Size {
                path,
                found,
                expected: size,
            });
        }
        match first_byte(&mut file).map_err(failed)? {
            Some(at) => Err(DiskError::NotEmpty { path, at }),
            None => Ok(EmptyDisk { path, file, size }),
        }
    }
}

/// Where the first byte lies that is not nought.
fn first_byte(file: &mut File) -> io::Result<Option<u64>> {
    let (mut buffer, zeros) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    file.rewind()?;
    loop {
        stop_if_told()?;
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        if buffer[..count] != zeros[..count] {
            let place = buffer
                .iter()
                .position(|byte| *byte != 0)
                .unwrap_or_default();
            return Ok(Some(at + place as u64));
        }
        at += count as u64;
    }
}

impl EmptyDisk {
    /// Its device file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an image to the disk, and zeros behind it, and reads all of it back. Zeros are written
    /// like everything else: what was never written of an encrypted volume is missing in its
    /// snapshot, and reads as noise.
    ///
    /// # Errors
    /// The image cannot be read, or the disk not be written; or it does not hold what was written.
    pub fn fill(self, image: &Path) -> Result<(), DiskError> {
        let failed = |source| DiskError::Io {
            path: self.path.clone(),
            source,
        };
        let image = File::open(image).map_err(failed)?;
        let size = image.metadata().map_err(failed)?.len();
        if size > self.size {
            return Err(DiskError::Size {
                path: self.path,
                found: self.size,
                expected: size,
            });
        }
        self.each_chunk(&image, size, |at, bytes| self.file.write_all_at(bytes, at))
            .map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        // What is read next comes from the disk, not from the kernel's memory of what was written.
        rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)
            .map_err(|error| failed(error.into()))?;
        let (mut there, mut differs) = (vec![0; CHUNK], None);
        self.each_chunk(&image, size, |at, bytes| {
            let there = &mut there[..bytes.len()];
            self.file.read_exact_at(there, at)?;
            if differs.is_none() && there != bytes {
                differs = Some(at);
            }
            Ok(())
        })
        .map_err(failed)?;
        match differs {
            Some(at) => Err(DiskError::Differs {
                path: self.path,
                at,
            }),
            None => Ok(()),
        }
    }

    /// Goes through what the disk is to hold: an image of that size, and zeros behind it.
    fn each_chunk(
        &self,
        image: &File,
        size: u64,
        mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        while at < self.size {
            stop_if_told()?;
            let count = (self.size - at).min(CHUNK as u64);
            let chunk = &mut buffer[..usize::try_from(count).map_err(io::Error::other)?];
            let there =
                usize::try_from(size.saturating_sub(at).min(count)).map_err(io::Error::other)?;
            let (data, rest) = chunk.split_at_mut(there);
            image.read_exact_at(data, at)?;
            rest.fill(0);
            each(at, chunk)?;
            at += count;
        }
        Ok(())
    }
}

fn stop_if_told() -> io::Result<()> {
    match interrupt::raised() {
        true => Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted")),
        false => Ok(()),
    }
}

/// The device files of the disks that have an EC2 name, links resolved: that of their controller,
/// or that of the file (`sdf`, `xvdf`), as udev and Xen have it.
fn called(devices: &Path, wanted: &str) -> BTreeSet<PathBuf> {
    let letters = letters(wanted);
    let by_name = ["sd", "xvd"].map(|prefix| devices.join(format!("{prefix}{letters}")));
    let by_name = by_name.into_iter().filter(|path| is_disk(path));
    let by_controller = nvme(devices)
        .into_iter()
        .filter(|(_, name)| name.as_deref().map(self::letters) == Some(letters))
        .map(|(path, _)| path);
    by_name
        .chain(by_controller)
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect()
}

/// `f` of `/dev/sdf`, `sdf`, `/dev/xvdf`: what names of one attachment have in common.
fn letters(name: &str) -> &str {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    name.strip_prefix("xvd")
        .or_else(|| name.strip_prefix("sd"))
        .unwrap_or(name)
}

fn is_disk(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// NVMe disks (their first name spaces), with the EC2 names that their controllers tell.
fn nvme(devices: &Path) -> Vec<(PathBuf, Option<String>)> {
    let Ok(entries) = fs::read_dir(devices) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = name
                .strip_prefix("nvme")
                .and_then(|name| name.strip_suffix("n1"));
            number.is_some_and(|number| number.parse::<u32>().is_ok()) && is_disk(path)
        })
        .map(|path| {
            let name = ec2_name(&path);
            (path, name)
        })
        .collect()
}

/// The EC2 name that a disk's controller tells, if it is an EBS volume.
fn ec2_name(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let nvme = nvme_amz::Nvme::try_from(file).ok()?;
    nvme.names.device_name
}

/// What there is, for whoever looks for one that is not.
fn disks(devices: &Path) -> Vec<String> {
    let told = |(path, name): (PathBuf, Option<String>)| match name {
        Some(name) => format!("{} ({name})", path.display()),
        None => path.display().to_string(),
    };
    let mut disks: Vec<String> = nvme(devices).into_iter().map(told).collect();
    disks.sort();
    disks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_attachment() {
        for name in ["/dev/sdf", "sdf", "/dev/xvdf", "xvdf", "f"] {
            assert_eq!(letters(name), "f", "{name}");
        }
        assert_eq!(letters("/dev/sdba"), "ba");
    }

    #[tokio::test]
    async fn a_disk_that_does_not_appear_is_waited_for() {
        let devices = tempfile::tempdir().expect("a folder");
        // A file is no disk.
        fs::write(devices.path().join("sdf"), "").expect("written");
        let wanted = JobDisk {
            device: "/dev/sdf".to_owned(),
            size: 1,
        };
        let begun = Instant::now();
        let within = Duration::from_millis(600);
        let found = Disk::find(devices.path(), &wanted, within).await;
        assert!(begun.elapsed() >= within);
        let error = found.expect_err("none");
        assert_eq!(
            error.to_string(),
            "there is no disk /dev/sdf on this machine; there are: none"
        );
    }
}
