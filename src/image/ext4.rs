//! The root file system: a file tree as ext4, written without mounting anything.
//!
//! The bytes are fixed by the tree, the options and the version of mkext4, which is pinned
//! for that reason. Metadata comes first; where files lie, [`place`] says.

mod place;
mod relocate;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use mkext4::spec::Superblock;
use mkext4::{FsBuilder, InodeCount, InodeHandle, Layout, Meta, ROOT, RegionSink, SpecialKind};

use self::place::{Resident, place};
use self::relocate::{INLINE_EXTENTS, Metadata};
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

/// How much of a file is read at once, in bytes.
const COPIED_AT_ONCE: usize = 1 << 20;

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
    /// Where files lie.
    pub placement: Placement,
}

/// Where the files of a file system lie.
#[derive(Debug, Clone)]
pub enum Placement {
    /// Those of a package at a place that its name decides, so that few blocks differ from one image to
    /// the next. Packages by the paths of their files, which begin with a slash.
    Homes(BTreeMap<String, String>),
    /// End to end, in the order of the tree: what one file more moves is all behind it.
    Packed,
}

/// A part of the file system: its first byte, and how many.
type Run = (u64, u64);

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
    let mut metadata = Metadata::default();
    layout.writer(&mut metadata).map_err(ext4("laying out"))?;
    let runs = files.iter().map(|file| layout.extents(file.handle));
    let mut runs: Vec<Vec<Run>> = runs.collect();
    if let Placement::Homes(owners) = &options.placement {
        settle(&mut metadata, &files, &mut runs, owners).map_err(ext4("placing files in"))?;
    }

    let failed = ImageError::io("writing", "the root file system");
    // What is not written reads as zeros.
    let written = sink.zeros(0, options.size_bytes);
    written
        .and_then(|()| metadata.write(sink))
        .map_err(failed)?;
    let mut buffer = vec![0; COPIED_AT_ONCE];
    for (file, runs) in files.iter().zip(&runs) {
        let copied = match file.content {
            Content::Bytes(bytes) => copy(&mut bytes.as_slice(), runs, &mut buffer, sink),
            Content::Root(path) => {
                let mut reader = open_unchanged(root, path, file)?;
                copy(&mut reader, runs, &mut buffer, sink)
            }
        };
        let doing = "copying into the root file system";
        copied.map_err(ImageError::io(doing, file.shown_path()))?;
    }
    metadata
        .superblock()
        .map(|superblock| FsUse::of(&superblock))
        .map_err(ext4("measuring"))
}

/// Moves the files to their homes. A file of so many extents that they are not in its inode stays; where
/// there is no room for homes, all do.
fn settle(
    metadata: &mut Metadata,
    files: &[Pending<'_>],
    runs: &mut [Vec<Run>],
    owners: &BTreeMap<String, String>,
) -> mkext4::Result<()> {
    let blocks = |run: &Run| run.1.div_ceil(BLOCK_SIZE);
    let mut used = metadata.used()?;
    let mut movable: Vec<_> = files
        .iter()
        .zip(runs)
        .filter(|(_, runs)| runs.len() <= INLINE_EXTENTS)
        .collect();
    for run in movable.iter().flat_map(|(_, runs)| runs.iter()) {
        let first = run.0 / BLOCK_SIZE;
        used.set(first..first + blocks(run), false);
    }
    let residents = movable.iter().map(|(file, runs)| Resident {
        group: file.group(owners),
        blocks: runs.iter().map(blocks).sum(),
    });
    let Some(starts) = place(&residents.collect::<Vec<_>>(), used.clone()) else {
        tracing::info!("the root file system is too full to keep its files apart");
        return Ok(());
    };
    let mut moves = BTreeMap::new();
    for ((_, runs), start) in movable.iter_mut().zip(starts) {
        let mut next = start;
        for run in runs.iter_mut() {
            moves.insert(run.0 / BLOCK_SIZE, next);
            run.0 = next * BLOCK_SIZE;
            used.set(next..next + blocks(run), true);
            next += blocks(run);
        }
    }
    metadata.relocate(&moves, &used)
}

/// Copies a file to where it lies.
fn copy(
    reader: &mut impl Read,
    runs: &[Run],
    buffer: &mut [u8],
    sink: &mut impl RegionSink,
) -> io::Result<()> {
    for (start, length) in runs {
        let (mut at, end) = (*start, start + length);
        while at < end {
            let most = buffer
                .len()
                .min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let part = &mut buffer[..most];
            reader.read_exact(part)?;
            sink.data(at, part)?;
            at += part.len() as u64;
        }
    }
    Ok(())
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

    /// What it lies together with: the files of its package, or those of its first folder.
    fn group(&self, owners: &BTreeMap<String, String>) -> String {
        let Content::Root(path) = self.content else {
            return "(generated)".to_owned();
        };
        let path = format!("/{path}");
        match owners.get(&path) {
            Some(package) => package.clone(),
            None => path.split_inclusive('/').take(2).collect(),
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

impl FsUse {
    fn of(superblock: &Superblock) -> FsUse {
        let capacity = superblock.blocks_count - u64::from(superblock.overhead_clusters);
        FsUse {
            capacity_bytes: capacity * BLOCK_SIZE,
            used_bytes: (capacity - superblock.free_blocks_count) * BLOCK_SIZE,
            free_bytes: superblock.free_blocks_count * BLOCK_SIZE,
            inodes: superblock.inodes_count,
            free_inodes: superblock.free_inodes_count,
        }
    }
}

#[cfg(test)]
mod tests;
