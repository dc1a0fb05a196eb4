//! Identifiers of an image, all derived from one seed.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What an identifier is for; the name is part of what is hashed, so it must never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The disk, in the GPT header.
    Disk,
    /// The BIOS boot partition.
    BiosPartition,
    /// The EFI system partition.
    EspPartition,
    /// The EFI system partition's FAT serial number.
    EspVolume,
    /// The root partition.
    RootPartition,
    /// The root file system.
    RootFileSystem,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Purpose::Disk => "disk",
            Purpose::BiosPartition => "partition/bios",
            Purpose::EspPartition => "partition/esp",
            Purpose::EspVolume => "volume/esp",
            Purpose::RootPartition => "partition/root",
            Purpose::RootFileSystem => "filesystem/root",
        }
    }
}

/// The UUID for a purpose: version 8 (RFC 9562, section 5.8), which is for such derived ones.
pub fn uuid(seed: &[u8; 32], purpose: Purpose) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest(seed, purpose)[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The 32-bit serial number for a purpose.
pub fn serial(seed: &[u8; 32], purpose: Purpose) -> u32 {
    let digest = digest(seed, purpose);
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn digest(seed: &[u8; 32], purpose: Purpose) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"alpine-ami identifier 1\0");
    hash.update(purpose.name());
    hash.update(b"\0");
    hash.update(seed);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_fixed_and_differ_by_purpose_and_seed() {
        let root = uuid(&[0; 32], Purpose::RootFileSystem);
        // Pinned: another value here means that every image gets other bytes.
        assert_eq!(root.to_string(), "e77d4b70-f878-8f84-9f09-6163c6df3a98");
        assert_eq!(root.get_version_num(), 8);
        assert_ne!(root, uuid(&[0; 32], Purpose::RootPartition));
        assert_ne!(root, uuid(&[1; 32], Purpose::RootFileSystem));
    }
}
