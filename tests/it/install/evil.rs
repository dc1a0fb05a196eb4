//! Packages that hold exactly what they are told, however wrong, with right checksums.

use std::fs;
use std::path::Path;

use alpine_ami::apk::index::{Checksum, IndexPackage, parse_index};
use alpine_ami::apk::member::compress;
use alpine_ami::apk::pack::{SigningKey, write_index};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use tar::EntryType;

use super::{Place, place};
use crate::support::test_keys;

/// An entry of a tar, with a name that the tar crate itself would refuse to write.
pub fn entry(name: &str, kind: EntryType, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A file of which only the beginning is there.
pub fn announced(name: &str, size: u64) -> Vec<u8> {
    let mut bytes = file(name);
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(&bytes[..512]);
    header.set_size(size);
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    bytes
}

pub fn file(name: &str) -> Vec<u8> {
    entry(name, EntryType::Regular, "", b"x")
}

pub fn folder(name: &str) -> Vec<u8> {
    entry(name, EntryType::Directory, "", b"")
}

pub fn link(name: &str, target: &str) -> Vec<u8> {
    entry(name, EntryType::Symlink, target, b"")
}

/// A device node.
pub fn device(name: &str, kind: EntryType, major: u32, minor: u32) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).expect("a name");
    header.set_entry_type(kind);
    header.set_mode(0o666);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_device_major(major).expect("a number");
    header.set_device_minor(minor).expect("a number");
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A file that is all hole, of so many bytes (in octal digits).
pub fn sparse(name: &str, size: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).expect("a name");
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    let gnu = header.as_gnu_mut().expect("a GNU header");
    let field = |text: &str| {
        let mut field = [0; 12];
        field[..text.len()].copy_from_slice(text.as_bytes());
        field
    };
    gnu.sparse[0].offset = field(size);
    gnu.sparse[0].numbytes = field("0");
    gnu.realsize = field(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A PAX record for the entry that follows.
pub fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let length = rest + digits(rest + digits(rest));
    let line = format!("{length} {key}={value}\n");
    entry("PaxHeaders", EntryType::XHeader, "", line.as_bytes())
}

/// Entries as an archive with its end marker.
pub fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    compress(content).expect("gzip")
}

/// A package with this data, as its file holds it.
pub struct Evil {
    pub data: Vec<u8>,
    /// What the data hash is taken of, where that is not the data.
    pub hashed: Option<Vec<u8>>,
    /// Entries of the control member beside `.PKGINFO`.
    pub control: Vec<Vec<u8>>,
}

impl Evil {
    pub fn data(data: Vec<u8>) -> Evil {
        Evil {
            data,
            hashed: None,
            control: Vec::new(),
        }
    }

    pub fn entries(entries: &[Vec<u8>]) -> Evil {
        Evil::data(gzip(&archive(entries)))
    }

    /// Writes `evil-1-r0.apk` and returns what the index has to say of it. It is unsigned, as a
    /// package may be: the signed index vouches for it.
    pub fn pack(&self, dir: &Path) -> IndexPackage {
        let hash = Sha256::digest(self.hashed.as_ref().unwrap_or(&self.data));
        let hash = alpine_ami::digest::hex(&hash);
        let info = format!("pkgname = evil\npkgver = 1-r0\narch = x86_64\ndatahash = {hash}\n");
        let info = entry(".PKGINFO", EntryType::Regular, "", info.as_bytes());
        let control = gzip(&[vec![info], self.control.clone()].concat().concat());
        fs::write(
            dir.join("evil-1-r0.apk"),
            [control.as_slice(), &self.data].concat(),
        )
        .expect("written");
        let sum = Checksum::Sha1(Sha1::digest(&control).into());
        let size = control.len() + self.data.len();
        let record = format!("C:{sum}\nP:evil\nV:1-r0\nA:x86_64\nS:{size}\nI:1\n");
        parse_index(&record).expect("a record").remove(0)
    }

    /// A repository with this package alone.
    pub fn place(&self) -> Place {
        let place = place(&[]);
        let arch = place.repository.join("x86_64");
        sign(&arch, &[self.pack(&arch)]);
        place
    }
}

/// Writes the index of a repository.
pub fn sign(arch: &Path, packages: &[IndexPackage]) {
    let key = SigningKey::read(&test_keys().private).expect("a key");
    write_index(arch, "test", packages, &key).expect("an index");
}
