//! Disk images of a test's own.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::arch::Firmware;
use crate::image::ext4::{self, FsOptions};
use crate::image::partition::{PartitionLayout, Role};
use crate::image::rootdir::RootDir;
use crate::image::sparse::Region;
use crate::image::tree::Tree;

/// The size of the images, in bytes.
pub(crate) const SIZE: u64 = 64 << 20;

/// A root folder, and the disk image made of it.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
    firmware: BTreeSet<Firmware>,
}

impl Disk {
    /// An empty root, for both firmwares.
    pub(crate) fn new() -> Disk {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("root")).expect("a root");
        Disk {
            folder,
            firmware: [Firmware::Bios, Firmware::Uefi].into(),
        }
    }

    /// For one firmware only.
    pub(crate) fn firmware(mut self, firmware: Firmware) -> Disk {
        self.firmware = [firmware].into();
        self
    }

    /// With a file.
    pub(crate) fn file(self, path: &str, mode: u32, bytes: impl AsRef<[u8]>) -> Disk {
        let path = self.inside(path);
        std::fs::write(&path, bytes).expect("a file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a mode");
        self
    }

    /// With a symbolic link.
    pub(crate) fn link(self, path: &str, target: &str) -> Disk {
        std::os::unix::fs::symlink(target, self.inside(path)).expect("a link");
        self
    }

    /// With another name for a file.
    pub(crate) fn hard_link(self, path: &str, of: &str) -> Disk {
        std::fs::hard_link(self.inside(of), self.inside(path)).expect("a link");
        self
    }

    /// With a folder.
    pub(crate) fn folder(self, path: &str) -> Disk {
        std::fs::create_dir_all(self.inside(path)).expect("a folder");
        self
    }

    fn inside(&self, path: &str) -> PathBuf {
        let path = self.folder.path().join("root").join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        path
    }

    /// The folder that the image lies in.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the image.
    pub(crate) fn write(&self) -> PathBuf {
        let path = self.folder.path().join("image.raw");
        let mut open = File::options();
        let open = open.read(true).write(true).create(true).truncate(true);
        let file = open.open(&path).expect("a file");
        file.set_len(SIZE).expect("a size");
        let layout = PartitionLayout::new(SIZE, &self.firmware, &[1; 32]).expect("a layout");
        layout.write(&file, &path, SIZE).expect("a table");
        if let Some(esp) = layout.find(Role::Esp) {
            file.write_all_at(b"loader", esp.start_bytes)
                .expect("written");
        }
        let part = layout.find(Role::Root).expect("a root");
        let root = RootDir::open(&self.folder.path().join("root")).expect("a root");
        let mut tree = Tree::read(&root, 1_700_000_000).expect("a tree");
        tree.add_char_device("dev/console", 0o600, 5, 1)
            .expect("a device");
        let options = FsOptions {
            size_bytes: part.size_bytes,
            uuid: [7; 16],
            label: "test".to_owned(),
        };
        let mut region = Region::new(&file, part.start_bytes, part.size_bytes);
        ext4::write(&tree, &root, &options, &mut region).expect("a file system");
        path
    }

    /// Where the root partition of its images starts and how large it is, in bytes.
    pub(crate) fn root(&self) -> (u64, u64) {
        let layout = PartitionLayout::new(SIZE, &self.firmware, &[1; 32]).expect("a layout");
        let part = layout.find(Role::Root).expect("a root");
        (part.start_bytes, part.size_bytes)
    }
}
