//! The root file system: a file tree as ext4, written without mounting anything.
//!
//! The bytes are fixed by the tree, the options and the version of mkext4, which is pinned
//! for that reason. Metadata comes first, then the files in the order of the tree.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use mkext4::spec::Superblock;
use mkext4::{FsBuilder, InodeCount, InodeHandle, Layout, Meta, ROOT, RegionSink, SpecialKind};

use super::error::{ImageError, Result};
use super::rootdir::RootDir;
use super::tree::{Attributes, Content, Kind, Node, Tree};

/// The block size of every file system made here, in bytes.
pub const BLOCK_SIZE: u64 = 4096;

/// One inode for so many bytes, mke2fs's default: 131,072 on 2 GiB.
const BYTES_PER_INODE: u64 = 16384;

/// A node unpacks container images and writes logs: at least so many inodes stay free for
/// that, however small the file system.
const SPARE_INODES: u32 = 16384;

/// Percentage kept for root. Nearly everything on a node runs as root, so mke2fs's 5 % (100 MB
/// of a 2 GiB disk) would protect nothing; a little lets a full disk be cleaned up.
const RESERVED_PERCENT: u8 = 1;

/// Where the search for the smallest sufficient size gives up, in bytes.
const LARGEST_TRIED: u64 = 1 << 42;

/// The longest label that ext4 has room for, in bytes.
pub const LABEL_MAX: usize = 16;

/// What a file system is called and how large it is.
#[derive(Debug, Clone)]
pub struct FsOptions {
    /// Size in bytes, a multiple of [`BLOCK_SIZE`].
    pub size_bytes: u64,
    /// UUID; it seeds every checksum and the folders' hash order too.
    pub uuid: [u8; 16],
    /// Label, [`LABEL_MAX`] bytes at most.
    pub label: String,
}

/// What a finished file system holds; the first three figures are what `df` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct FsUse {
    /// Space for files, in bytes: without inode tables, bitmaps and journal.
    pub capacity_bytes: u64,
    /// Used by files and folders, in bytes.
    pub used_bytes: u64,
    /// Free, the part kept for root included, in bytes.
    pub free_bytes: u64,
    /// Number of inodes.
    pub inodes: u32,
    /// Of them free.
    pub free_inodes: u32,
}

/// Why a file system could not be laid out.
enum LayoutError {
    /// It may fit into a larger one.
    Seal(mkext4::Error),
    /// Size does not matter.
    Other(ImageError),
}

/// Writes `tree` as a file system to `sink`, reading the files from `root`.
///
/// # Errors
/// [`ImageError::TooSmall`], in terms of the file system's size, where the tree does not fit.
pub fn write(
    tree: &Tree,
    root: &RootDir,
    options: &FsOptions,
    sink: &mut impl RegionSink,
) -> Result<FsUse> {
    let (layout, files) = match lay_out(tree, options) {
        Ok(laid_out) => laid_out,
        Err(LayoutError::Other(error)) => return Err(error),
        Err(LayoutError::Seal(error)) => return Err(too_small(tree, options, error)),
    };
    let mut sink = SuperblockTap { sink, seen: None };
    let mut writer = layout.writer(&mut sink).map_err(ext4("writing"))?;
    for file in &files {
        match file.content {
            Content::Bytes(bytes) => writer.fill(file.handle, &mut bytes.as_slice()),
            Content::Root(path) => {
                let mut reader = open_unchanged(root, path, file)?;
                writer.fill(file.handle, &mut reader)
            }
        }
        .map_err(|source| match source {
            mkext4::Error::Io(source) => ImageError::Io {
                doing: "copying into the root file system",
                path: file.shown_path(),
                source,
            },
            source => ext4("writing")(source),
        })?;
    }
    writer.finish().map_err(ext4("finishing"))?;
    sink.usage()
}

/// A file whose bytes are still to be copied.
struct Pending<'a> {
    handle: InodeHandle,
    content: &'a Content,
    size: u64,
}

impl Pending<'_> {
    fn shown_path(&self) -> std::path::PathBuf {
        match self.content {
            Content::Root(path) => path.into(),
            Content::Bytes(_) => "(generated)".into(),
        }
    }
}

/// Opens a file of the root, which must still have the size that the layout gave it.
fn open_unchanged(root: &RootDir, path: &str, file: &Pending<'_>) -> Result<impl Read + use<>> {
    let opened = root.exact_file(path)?;
    let metadata = opened
        .metadata()
        .map_err(ImageError::io("looking at", root.path().join(path)))?;
    if metadata.size() != file.size || !metadata.is_file() {
        return Err(ImageError::Changed {
            path: path.to_owned(),
        });
    }
    Ok(opened)
}

fn lay_out<'a>(
    tree: &'a Tree,
    options: &FsOptions,
) -> Result<(Layout, Vec<Pending<'a>>), LayoutError> {
    let inodes = u64::max(
        options.size_bytes / BYTES_PER_INODE,
        u64::from(count(&tree.root).saturating_add(SPARE_INODES)),
    );
    let mut settings = mkext4::Options::new(options.size_bytes, options.uuid, tree.epoch);
    settings.label = Some(options.label.clone());
    settings.inodes = InodeCount::Exact(u32::try_from(inodes).unwrap_or(u32::MAX));
    settings.reserved_percent = RESERVED_PERCENT;

    let refused = |error| LayoutError::Other(ext4("laying out")(error));
    let mut declaration = Declaration {
        builder: FsBuilder::new(settings).map_err(refused)?,
        links: HashMap::new(),
        files: Vec::new(),
    };
    declaration.root(&tree.root).map_err(refused)?;
    let layout = declaration.builder.seal().map_err(LayoutError::Seal)?;
    Ok((layout, declaration.files))
}

/// The error for a layout that failed: too small, unless no size would do.
fn too_small(tree: &Tree, options: &FsOptions, error: mkext4::Error) -> ImageError {
    const MIB: u64 = 1 << 20;
    let fits = |mebibytes: u64| {
        let size_bytes = mebibytes * MIB;
        lay_out(
            tree,
            &FsOptions {
                size_bytes,
                ..options.clone()
            },
        )
        .is_ok()
    };
    let (mut low, mut high) = (
        options.size_bytes / MIB,
        options.size_bytes.div_ceil(MIB).max(1),
    );
    while !fits(high) {
        if high * MIB > LARGEST_TRIED {
            return ext4("laying out")(error);
        }
        low = high;
        high *= 2;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    ImageError::TooSmall {
        size_bytes: options.size_bytes,
        needed_bytes: high * MIB,
    }
}

fn ext4(doing: &'static str) -> impl FnOnce(mkext4::Error) -> ImageError {
    move |source| ImageError::Ext4 { doing, source }
}

fn count(node: &Node) -> u32 {
    match &node.kind {
        Kind::Folder(children) => children
            .values()
            .map(count)
            .fold(1, |sum, more| sum.saturating_add(more)),
        _ => 1,
    }
}

/// The tree on its way into mkext4.
struct Declaration<'a> {
    builder: FsBuilder,
    /// First name of each file that has several.
    links: HashMap<(u64, u64), InodeHandle>,
    files: Vec<Pending<'a>>,
}

impl<'a> Declaration<'a> {
    fn root(&mut self, node: &'a Node) -> mkext4::Result<()> {
        self.builder.set_meta(ROOT, meta(&node.attributes))?;
        self.xattrs(ROOT, &node.attributes)?;
        self.children(ROOT, node)
    }

    fn children(&mut self, parent: InodeHandle, node: &'a Node) -> mkext4::Result<()> {
        if let Kind::Folder(children) = &node.kind {
            for (name, child) in children {
                self.node(parent, name, child)?;
            }
        }
        Ok(())
    }

    fn node(&mut self, parent: InodeHandle, name: &str, node: &'a Node) -> mkext4::Result<()> {
        let meta = meta(&node.attributes);
        let device = |kind| (name, meta, kind);
        let (name, meta, special) = match &node.kind {
            Kind::Folder(_) => {
                let handle = self.builder.mkdir(parent, name, meta)?;
                self.xattrs(handle, &node.attributes)?;
                return self.children(handle, node);
            }
            Kind::File {
                size,
                content,
                link,
            } => {
                return self.file(parent, name, node, (*size, content, *link));
            }
            Kind::Symlink(target) => {
                return self.builder.symlink(parent, name, target, meta).map(drop);
            }
            Kind::CharDevice(major, minor) => device(SpecialKind::Char {
                major: *major,
                minor: *minor,
            }),
            Kind::BlockDevice(major, minor) => device(SpecialKind::Block {
                major: *major,
                minor: *minor,
            }),
            Kind::Fifo => device(SpecialKind::Fifo),
        };
        self.builder.mknod(parent, name, meta, special).map(drop)
    }

    fn file(
        &mut self,
        parent: InodeHandle,
        name: &str,
        node: &Node,
        (size, content, link): (u64, &'a Content, Option<(u64, u64)>),
    ) -> mkext4::Result<()> {
        if let Some(first) = link.and_then(|link| self.links.get(&link)) {
            return self.builder.hardlink(parent, name, *first);
        }
        let handle = self
            .builder
            .file(parent, name, meta(&node.attributes), size)?;
        self.xattrs(handle, &node.attributes)?;
        if let Some(link) = link {
            self.links.insert(link, handle);
        }
        if size > 0 {
            self.files.push(Pending {
                handle,
                content,
                size,
            });
        }
        Ok(())
    }

    fn xattrs(&mut self, handle: InodeHandle, attributes: &Attributes) -> mkext4::Result<()> {
        for (name, value) in &attributes.xattrs {
            self.builder.set_xattr(handle, name, value)?;
        }
        Ok(())
    }
}

fn meta(attributes: &Attributes) -> Meta {
    Meta::new(
        attributes.mode,
        attributes.uid,
        attributes.gid,
        (attributes.mtime, 0),
    )
}

/// Passes everything on and keeps the superblock, which has the final figures.
struct SuperblockTap<'a, S> {
    sink: &'a mut S,
    seen: Option<Superblock>,
}

/// Where the superblock is: byte 1024, whatever the block size.
const SUPERBLOCK_AT: usize = 1024;

impl<S: RegionSink> RegionSink for SuperblockTap<'_, S> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = SUPERBLOCK_AT + Superblock::LEN;
        if offset == 0 && bytes.len() >= end {
            self.seen = Superblock::decode(&bytes[SUPERBLOCK_AT..end]).ok();
        }
        self.sink.data(offset, bytes)
    }

    fn zeros(&mut self, offset: u64, len: u64) -> io::Result<()> {
        self.sink.zeros(offset, len)
    }
}

impl<S> SuperblockTap<'_, S> {
    fn usage(&self) -> Result<FsUse> {
        let superblock = self.seen.as_ref().ok_or_else(|| ImageError::Ext4 {
            doing: "measuring",
            source: mkext4::Error::Unsupported("no superblock was written".to_owned()),
        })?;
        let capacity = superblock.blocks_count - u64::from(superblock.overhead_clusters);
        Ok(FsUse {
            capacity_bytes: capacity * BLOCK_SIZE,
            used_bytes: (capacity - superblock.free_blocks_count) * BLOCK_SIZE,
            free_bytes: superblock.free_blocks_count * BLOCK_SIZE,
            inodes: superblock.inodes_count,
            free_inodes: superblock.free_inodes_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mkext4::sink::VecSink;

    fn options(size_bytes: u64) -> FsOptions {
        FsOptions {
            size_bytes,
            uuid: [7; 16],
            label: "test".to_owned(),
        }
    }

    fn sample() -> (tempfile::TempDir, RootDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/a"), "husky").unwrap();
        std::fs::hard_link(dir.path().join("etc/a"), dir.path().join("etc/b")).unwrap();
        std::fs::write(dir.path().join("big"), vec![9u8; 3 << 20]).unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        let mut tree = Tree::read(&root, 1_700_000_000).unwrap();
        tree.add_char_device("dev/console", 0o600, 5, 1).unwrap();
        (dir, root, tree)
    }

    #[test]
    fn a_tree_is_written_and_read_back() {
        let (_dir, root, tree) = sample();
        let mut sink = VecSink::default();
        let usage = write(&tree, &root, &options(64 << 20), &mut sink).unwrap();

        let fs = mkext4::reader::Fs::open(&sink.buf[..]).unwrap();
        assert!(fs.verify().unwrap().is_empty());
        let a = fs.resolve("/etc/a").unwrap();
        assert_eq!(fs.read_file(a).unwrap(), b"husky");
        assert_eq!(
            fs.resolve("/etc/b").unwrap(),
            a,
            "a hard link became a copy"
        );
        assert!(
            usage.used_bytes > 3 << 20 && usage.free_bytes > 40 << 20,
            "{usage:?}"
        );
        assert!(usage.free_inodes >= SPARE_INODES);
    }

    #[test]
    fn too_small_names_a_size_that_does() {
        let (_dir, root, tree) = sample();
        let error = write(&tree, &root, &options(9 << 20), &mut VecSink::default()).unwrap_err();
        let ImageError::TooSmall { needed_bytes, .. } = error else {
            panic!("{error}");
        };
        let fits = |size| write(&tree, &root, &options(size), &mut VecSink::default()).is_ok();
        assert!(fits(needed_bytes));
        assert!(!fits(needed_bytes - (1 << 20)));
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_an_error() {
        let (dir, root, tree) = sample();
        std::fs::write(dir.path().join("etc/a"), "much longer than before").unwrap();
        let error = write(&tree, &root, &options(64 << 20), &mut VecSink::default()).unwrap_err();
        assert!(matches!(error, ImageError::Changed { .. }), "{error}");
    }
}
