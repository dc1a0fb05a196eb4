//! Disks that introduce themselves as EBS volumes do, which QEMU has no options for.
//!
//! On EC2 the identify-controller data of a volume's NVMe controller has Amazon's vendor id, the
//! model `Amazon Elastic Block Store`, and among the vendor-specific bytes the device name that
//! the volume was attached under. Guests find their volumes by that (`ebsnvme-id`, udev rules,
//! Alpine's mdev scripts). QEMU lets the serial number be set, and nothing else of it.
//!
//! So the data is written where QEMU keeps it, in its own memory, before the guest's first
//! instruction: QEMU makes the 4,096 bytes when it makes the device, answers every Identify
//! command with a copy of them, and never makes them anew, not on a reset either. The machine is
//! started with `-S`; the bytes are found by what QEMU wrote at their beginning (vendor ids, the
//! serial number asked for, QEMU's model name, together 64 bytes), which no other data repeats by
//! chance; and only then the processors are started. The kernel lets us write the memory of a
//! program that we started (see `ptrace_access_mode_check` in ptrace(2)).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::process::Pid;

/// Numbers of the controller's fields in the identify-controller data (NVM Express base
/// specification, figure "Identify – Identify Controller Data Structure").
const SERIAL: std::ops::Range<usize> = 4..24;
const MODEL: std::ops::Range<usize> = 24..64;
const FIRMWARE: std::ops::Range<usize> = 64..72;
/// The first of the vendor-specific bytes; EC2 has the device name there.
const DEVICE_NAME: std::ops::Range<usize> = 3072..3104;
/// Vendor and subsystem vendor of the PCI device.
const VENDORS: std::ops::Range<usize> = 0..4;

/// Red Hat's and its virtual devices', as QEMU has them.
const QEMU_VENDORS: [u8; 4] = [0x36, 0x1b, 0xf4, 0x1a];
/// Amazon's.
const EC2_VENDORS: [u8; 4] = [0x0f, 0x1d, 0x0f, 0x1d];
const QEMU_MODEL: &str = "QEMU NVMe Ctrl";
const EC2_MODEL: &str = "Amazon Elastic Block Store";
const EC2_FIRMWARE: &str = "1.0";

/// QEMU's own data lies in areas smaller than this; larger ones are the guest's memory, which is
/// empty yet and takes long to read.
const LARGEST_AREA: u64 = 64 << 20;

/// What a volume's controller says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The serial number that QEMU was given, by which the controller is found.
    pub serial: String,
    /// The name that the volume was attached under, such as `/dev/xvda` or `sdf`.
    pub device_name: String,
}

/// A controller that could not be given its identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// QEMU's memory cannot be read or written.
    #[error("cannot use the memory of QEMU (process {pid}) to name its disks")]
    Memory {
        /// QEMU.
        pid: i32,
        /// Why it failed.
        source: io::Error,
    },
    /// The controller's data is not where it is sought.
    #[error("QEMU has no disk with the serial number {serial} whose name could be set")]
    NotFound {
        /// The serial number.
        serial: String,
    },
}

impl IdentityError {
    /// What the reader can do about it.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            IdentityError::Memory { .. } => {
                "a program must be allowed to trace those that it starts \
                 (/proc/sys/kernel/yama/ptrace_scope 0 or 1)"
                    .to_owned()
            }
            IdentityError::NotFound { .. } => {
                "this was made for QEMU 5.2 and later; report the version of yours".to_owned()
            }
        })
    }
}

/// Gives the controllers of a QEMU that has not started its guest yet their identities.
pub fn give(qemu: Pid, identities: &[Identity]) -> Result<(), IdentityError> {
    let pid = qemu.as_raw_nonzero().get();
    let failed = |source| IdentityError::Memory { pid, source };
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(failed)?;
    let memory = File::options()
        .read(true)
        .write(true)
        .open(format!("/proc/{pid}/mem"))
        .map_err(failed)?;
    let mut missing: Vec<&Identity> = identities.iter().collect();
    for area in maps.lines().filter_map(Area::parse) {
        if missing.is_empty() {
            break;
        }
        // Some areas cannot be read, those of devices: QEMU's data is not there.
        let Ok(bytes) = area.read(&memory) else {
            continue;
        };
        let mut left = Vec::new();
        for identity in missing {
            match find(&bytes, identity) {
                Some(at) => {
                    for (field, value) in fields(identity) {
                        memory
                            .write_all_at(&value, area.start + (at + field.start) as u64)
                            .map_err(failed)?;
                    }
                }
                None => left.push(identity),
            }
        }
        missing = left;
    }
    match missing.first() {
        None => Ok(()),
        Some(identity) => Err(IdentityError::NotFound {
            serial: identity.serial.clone(),
        }),
    }
}

/// Part of a process's memory.
#[derive(Debug, PartialEq, Eq)]
struct Area {
    start: u64,
    length: usize,
}

impl Area {
    /// The area of a line of `/proc/<pid>/maps`, if it may hold data of the program's own making:
    /// private, written, no larger than that is.
    fn parse(line: &str) -> Option<Area> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let length = u64::from_str_radix(end, 16).ok()?.checked_sub(start)?;
        if words.next()? != "rw-p" || length > LARGEST_AREA {
            return None;
        }
        Some(Area {
            start,
            length: usize::try_from(length).ok()?,
        })
    }

    fn read(&self, memory: &File) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        memory.read_exact_at(&mut bytes, self.start)?;
        Ok(bytes)
    }
}

/// Where the data of the controller with that serial number begins.
fn find(bytes: &[u8], identity: &Identity) -> Option<usize> {
    let mut beginning = QEMU_VENDORS.to_vec();
    beginning.extend(padded(&identity.serial, SERIAL.len()));
    beginning.extend(padded(QEMU_MODEL, MODEL.len()));
    let last = bytes.len().checked_sub(DEVICE_NAME.end)?;
    // The data is part of an allocated object, so its beginning is aligned.
    (0..=last)
        .step_by(4)
        .find(|&at| bytes[at..].starts_with(&beginning))
}

/// What is written, and where in the data.
fn fields(identity: &Identity) -> [(std::ops::Range<usize>, Vec<u8>); 4] {
    [
        (VENDORS, EC2_VENDORS.to_vec()),
        (MODEL, padded(EC2_MODEL, MODEL.len())),
        (FIRMWARE, padded(EC2_FIRMWARE, FIRMWARE.len())),
        (
            DEVICE_NAME,
            padded(&identity.device_name, DEVICE_NAME.len()),
        ),
    ]
}

/// A text in a field of the data: spaces follow it.
fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, b' ');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(serial: &str, device_name: &str) -> Identity {
        Identity {
            serial: serial.to_owned(),
            device_name: device_name.to_owned(),
        }
    }

    /// The data as QEMU makes it.
    fn controller(serial: &str) -> Vec<u8> {
        let mut data = QEMU_VENDORS.to_vec();
        data.extend(padded(serial, 20));
        data.extend(padded(QEMU_MODEL, 40));
        data.resize(4096, 0);
        data
    }

    #[test]
    fn areas_that_are_looked_at() {
        let area = |start, length| Some(Area { start, length });
        for (line, expected) in [
            (
                "561f4762a000-561f4762b000 rw-p 00000000 00:00 0   [heap]",
                area(0x561f_4762_a000, 0x1000),
            ),
            ("7f0000000000-7f0000001000 r--p 00000000 00:00 0", None),
            ("7f0000000000-7f0000001000 rw-s 00000000 00:00 0", None),
            ("7f0000000000-7f0020000000 rw-p 00000000 00:00 0", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(Area::parse(line), expected, "{line}");
        }
    }

    #[test]
    fn a_controller_is_found_by_its_serial_number() {
        let mut bytes = vec![0; 100];
        bytes.extend(controller("vol0a"));
        let second = bytes.len();
        bytes.extend(controller("vol0ab"));
        for (serial, expected) in [
            ("vol0a", Some(100)),
            ("vol0ab", Some(second)),
            ("vol0", None),
        ] {
            assert_eq!(find(&bytes, &identity(serial, "sdf")), expected, "{serial}");
        }
        let cut = &bytes[..second + 100];
        assert_eq!(find(cut, &identity("vol0ab", "sdf")), None, "cut off");
        assert_eq!(find(b"short", &identity("vol0ab", "sdf")), None);
    }

    #[test]
    fn fields_are_filled_with_spaces() {
        for (field, value) in fields(&identity("vol0a", "/dev/xvda")) {
            assert_eq!(value.len(), field.len(), "{field:?}");
        }
        assert_eq!(
            padded("/dev/xvda", DEVICE_NAME.len()),
            b"/dev/xvda                       "
        );
    }
}
