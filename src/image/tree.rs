//! The file tree that goes into the image: read from a root folder, in one fixed order.
//!
//! What comes out depends on the files alone: names are sorted, times later than the plan's
//! epoch are set to it (the rule of `SOURCE_DATE_EPOCH`,
//! <https://reproducible-builds.org/specs/source-date-epoch/>) and carry no fraction of a
//! second, and attributes that belong to the building machine are left behind.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::{ImageError, Result};
use super::rootdir::{RootDir, sorted_names};

/// Folders of the root whose content exists only while a system runs.
pub const EMPTIED: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// Names in the root that the file system itself makes.
const MADE_BY_EXT4: [&str; 1] = ["lost+found"];

/// Far deeper than any package; keeps a hostile tree from exhausting stack and handles.
const MAX_DEPTH: usize = 128;

/// Owner, permissions and time of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, `0o7777` at most.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since 1970, clamped to the epoch.
    pub mtime: i64,
    /// Extended attributes by name: `user.*` and `security.capability`.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Attributes {
    fn owned_by_root(mode: u16, mtime: i64) -> Attributes {
        Attributes {
            mode,
            uid: 0,
            gid: 0,
            mtime,
            xattrs: BTreeMap::new(),
        }
    }
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In the root folder, under this path.
    Root(String),
    /// Made by us.
    Bytes(Vec<u8>),
}

/// What kind of thing a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder, its children by name.
    Folder(BTreeMap<String, Node>),
    /// A regular file.
    File {
        /// Size in bytes.
        size: u64,
        /// Its bytes.
        content: Content,
        /// Device and inode on this machine, where the file has several names.
        link: Option<(u64, u64)>,
    },
    /// A symbolic link and its target.
    Symlink(String),
    /// A character device, major and minor number.
    CharDevice(u32, u32),
    /// A block device, major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One file of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Owner, permissions, time.
    pub attributes: Attributes,
    /// What it is.
    pub kind: Kind,
}

/// The tree of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The root folder.
    pub root: Node,
    /// Seconds since 1970; no time in the tree is later.
    pub epoch: i64,
}

impl Tree {
    /// Reads the tree under `root`.
    ///
    /// Left out: what is in the folders of [`EMPTIED`], `lost+found`, and sockets, which mean
    /// nothing without the process that made them. Each folder is opened relative to its
    /// parent's handle and no link is followed, so nothing outside the root is ever read.
    pub fn read(root: &RootDir, epoch: i64) -> Result<Tree> {
        let reader = Reader { root, epoch };
        let stat =
            rustix::fs::fstat(root.handle()).map_err(ImageError::io("looking at", root.path()))?;
        let attributes = reader.attributes(root.handle(), &stat, "")?;
        let kind = Kind::Folder(reader.folder(root.handle(), "", 0)?);
        Ok(Tree {
            root: Node { attributes, kind },
            epoch,
        })
    }

    /// Adds a file of root's, replacing what has that name; missing folders are made.
    pub fn add_file(&mut self, path: &str, mode: u16, bytes: Vec<u8>) -> Result<()> {
        let kind = Kind::File {
            size: bytes.len() as u64,
            content: Content::Bytes(bytes),
            link: None,
        };
        self.add(path, mode, kind)
    }

    /// Adds a character device of root's, replacing what has that name.
    pub fn add_char_device(&mut self, path: &str, mode: u16, major: u32, minor: u32) -> Result<()> {
        self.add(path, mode, Kind::CharDevice(major, minor))
    }

    fn add(&mut self, path: &str, mode: u16, kind: Kind) -> Result<()> {
        let epoch = self.epoch;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut node = &mut self.root;
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            let children = children_of(node, path)?;
            node = children.entry(part.to_owned()).or_insert_with(|| Node {
                attributes: Attributes::owned_by_root(0o755, epoch),
                kind: Kind::Folder(BTreeMap::new()),
            });
            if !matches!(node.kind, Kind::Folder(_)) {
                return Err(ImageError::NotAFolder {
                    path: path.to_owned(),
                    blocker: part.to_owned(),
                });
            }
        }
        let attributes = Attributes::owned_by_root(mode, epoch);
        children_of(node, path)?.insert(name.to_owned(), Node { attributes, kind });
        Ok(())
    }
}

fn children_of<'a>(node: &'a mut Node, path: &str) -> Result<&'a mut BTreeMap<String, Node>> {
    match &mut node.kind {
        Kind::Folder(children) => Ok(children),
        _ => Err(ImageError::NotAFolder {
            path: path.to_owned(),
            blocker: "/".to_owned(),
        }),
    }
}

struct Reader<'a> {
    root: &'a RootDir,
    epoch: i64,
}

impl Reader<'_> {
    fn folder(&self, dir: impl AsFd, path: &str, depth: usize) -> Result<BTreeMap<String, Node>> {
        if depth > MAX_DEPTH {
            return Err(ImageError::TooDeep {
                path: path.to_owned(),
                limit: MAX_DEPTH,
            });
        }
        let mut children = BTreeMap::new();
        for name in sorted_names(&dir, &self.on_disk(path))? {
            if depth == 0 && MADE_BY_EXT4.contains(&name.as_str()) {
                continue;
            }
            let child_path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            if let Some(node) = self.node(dir.as_fd(), &name, child_path, depth)? {
                children.insert(name, node);
            }
        }
        Ok(children)
    }

    fn node(&self, dir: impl AsFd, name: &str, path: String, depth: usize) -> Result<Option<Node>> {
        let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(ImageError::io("looking at", self.on_disk(&path)))?;
        let (major, minor) = (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        );
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.child_folder(dir, name, path, depth).map(Some),
            FileType::RegularFile => return self.file(dir, name, path, &stat).map(Some),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&dir, name, Vec::new())
                    .map_err(ImageError::io("reading link", self.on_disk(&path)))?;
                let target = target.into_string().map_err(|_| ImageError::NotUtf8 {
                    path: format!("{path} (the target of this link)"),
                })?;
                Kind::Symlink(target)
            }
            FileType::CharacterDevice => Kind::CharDevice(major, minor),
            FileType::BlockDevice => Kind::BlockDevice(major, minor),
            FileType::Fifo => Kind::Fifo,
            _ => return Ok(None),
        };
        Ok(Some(Node {
            attributes: self.bare_attributes(&stat),
            kind,
        }))
    }

    fn child_folder(&self, dir: impl AsFd, name: &str, path: String, depth: usize) -> Result<Node> {
        let handle = self.open(dir, name, OFlags::DIRECTORY, &path)?;
        let stat = self.stat(&handle, &path)?;
        let children = if depth == 0 && EMPTIED.contains(&name) {
            BTreeMap::new()
        } else {
            self.folder(&handle, &path, depth + 1)?
        };
        Ok(Node {
            attributes: self.attributes(&handle, &stat, &path)?,
            kind: Kind::Folder(children),
        })
    }

    fn file(&self, dir: impl AsFd, name: &str, path: String, seen: &Stat) -> Result<Node> {
        let handle = self.open(dir, name, OFlags::NONBLOCK, &path)?;
        let stat = self.stat(&handle, &path)?;
        if (stat.st_dev, stat.st_ino) != (seen.st_dev, seen.st_ino) {
            return Err(ImageError::Changed { path });
        }
        let attributes = self.attributes(&handle, &stat, &path)?;
        Ok(Node {
            attributes,
            kind: Kind::File {
                size: stat.st_size.cast_unsigned(),
                content: Content::Root(path),
                link: (stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino)),
            },
        })
    }

    fn open(&self, dir: impl AsFd, name: &str, flags: OFlags, path: &str) -> Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(dir, name, flags, Mode::empty())
            .map_err(ImageError::io("opening", self.on_disk(path)))
    }

    fn stat(&self, handle: impl AsFd, path: &str) -> Result<Stat> {
        rustix::fs::fstat(handle).map_err(ImageError::io("looking at", self.on_disk(path)))
    }

    fn bare_attributes(&self, stat: &Stat) -> Attributes {
        Attributes {
            mode: (stat.st_mode & 0o7777) as u16,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: stat.st_mtime.clamp(0, self.epoch),
            xattrs: BTreeMap::new(),
        }
    }

    fn attributes(&self, handle: impl AsFd, stat: &Stat, path: &str) -> Result<Attributes> {
        let mut attributes = self.bare_attributes(stat);
        attributes.xattrs = self.xattrs(handle, path)?;
        Ok(attributes)
    }

    /// The attributes that packages set. Others (`security.selinux`, `trusted.overlay.*`)
    /// describe the machine that the folder happens to be on.
    fn xattrs(&self, handle: impl AsFd, path: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let failed =
            |error: Errno| ImageError::io("reading attributes of", self.on_disk(path))(error);
        let size = match rustix::fs::flistxattr_query(&handle) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(BTreeMap::new()),
            Ok(size) => size,
            Err(error) => return Err(failed(error)),
        };
        let mut list = vec![0u8; size];
        let filled = rustix::fs::flistxattr(&handle, &mut list[..]).map_err(failed)?;
        let mut found = BTreeMap::new();
        for name in list[..filled].split(|byte| *byte == 0) {
            let Ok(name) = str::from_utf8(name) else {
                continue;
            };
            if name.starts_with("system.posix_acl_") {
                return Err(ImageError::AccessControlList {
                    path: path.to_owned(),
                });
            }
            if name.starts_with("user.") || name == "security.capability" {
                let size = rustix::fs::fgetxattr_query(&handle, name).map_err(failed)?;
                let mut value = vec![0u8; size];
                let filled =
                    rustix::fs::fgetxattr(&handle, name, &mut value[..]).map_err(failed)?;
                value.truncate(filled);
                found.insert(name.to_owned(), value);
            }
        }
        Ok(found)
    }

    fn on_disk(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn child<'a>(tree: &'a Tree, path: &str) -> Option<&'a Node> {
        path.split('/')
            .try_fold(&tree.root, |node, part| match &node.kind {
                Kind::Folder(children) => children.get(part),
                _ => None,
            })
    }

    fn read(dir: &tempfile::TempDir, epoch: i64) -> Tree {
        Tree::read(&RootDir::open(dir.path()).unwrap(), epoch).unwrap()
    }

    #[test]
    fn what_only_lives_while_running_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["proc", "tmp", "etc/tmp", "lost+found"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join("x"), "x").unwrap();
        }
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("etc/s")).unwrap();
        let tree = read(&dir, 1_000_000_000);
        assert!(child(&tree, "proc").is_some());
        assert!(child(&tree, "proc/x").is_none());
        assert!(child(&tree, "tmp/x").is_none());
        assert!(
            child(&tree, "etc/tmp/x").is_some(),
            "only the root's own tmp is emptied"
        );
        assert!(child(&tree, "etc/s").is_none());
        assert!(child(&tree, "lost+found").is_none());
    }

    #[test]
    fn late_times_are_clamped_and_early_ones_kept() {
        let dir = tempfile::tempdir().unwrap();
        for (name, seconds) in [("early", 500), ("late", 2_000_000_000)] {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.set_modified(time).unwrap();
        }
        let tree = read(&dir, 1_000_000_000);
        assert_eq!(child(&tree, "early").unwrap().attributes.mtime, 500);
        assert_eq!(
            child(&tree, "late").unwrap().attributes.mtime,
            1_000_000_000
        );
    }

    #[test]
    fn links_of_both_kinds_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "same").unwrap();
        std::fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
        symlink("/nowhere", dir.path().join("c")).unwrap();
        let tree = read(&dir, 0);
        let link_of = |name: &str| match &child(&tree, name).unwrap().kind {
            Kind::File { link, .. } => *link,
            other => panic!("{other:?}"),
        };
        assert!(link_of("a").is_some());
        assert_eq!(link_of("a"), link_of("b"));
        assert_eq!(
            child(&tree, "c").unwrap().kind,
            Kind::Symlink("/nowhere".to_owned())
        );
    }

    #[test]
    fn files_are_added_with_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plain"), "").unwrap();
        let mut tree = read(&dir, 7);
        tree.add_file("boot/grub/grub.cfg", 0o600, b"x".to_vec())
            .unwrap();
        assert_eq!(child(&tree, "boot").unwrap().attributes.mode, 0o755);
        assert_eq!(
            child(&tree, "boot/grub/grub.cfg").unwrap().attributes.mode,
            0o600
        );
        let error = tree.add_file("plain/x", 0o600, vec![]).unwrap_err();
        assert!(matches!(error, ImageError::NotAFolder { .. }), "{error}");
    }
}
