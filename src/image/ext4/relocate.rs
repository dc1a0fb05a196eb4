//! The metadata of a file system that mkext4 laid out, and moving the data of its files.
//!
//! mkext4 lays files end to end behind its metadata. What says where they are is the extents in their
//! inodes, and the bitmaps and counts of free blocks; all of it is rewritten here, with its checksums.
//! The layout is the kernel's (<https://docs.kernel.org/filesystems/ext4/>); mkext4 writes blocks of 4 KiB,
//! descriptors of 32 bytes and inodes of 256.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use mkext4::spec::{Extent, ExtentHeader, GroupDesc, Superblock, iflags};
use mkext4::{RegionSink, csum};

use super::BLOCK_SIZE;
use super::place::Blocks;

const BLOCK: usize = BLOCK_SIZE as usize;
/// Where the superblock is: byte 1024, whatever the block size.
const SUPERBLOCK_AT: usize = 1024;
/// The block in which group descriptors begin.
const DESCRIPTORS_AT: u64 = 1;
const DESCRIPTOR: usize = 32;
const INODE: usize = 256;
/// Extents that an inode holds itself; with more it has a tree of blocks.
pub(super) const INLINE_EXTENTS: usize = 4;

/// Fields of an inode, by their first byte.
mod field {
    pub const MODE: usize = 0x00;
    pub const FLAGS: usize = 0x20;
    pub const BLOCK: usize = 0x28;
    pub const GENERATION: usize = 0x64;
    pub const CHECKSUM_LOW: usize = 0x7c;
    pub const CHECKSUM_HIGH: usize = 0x82;
}

/// Every block that is not a file's data, by its number.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl RegionSink for Metadata {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let first = offset / BLOCK_SIZE;
        let numbered = (first..).zip(bytes.chunks(BLOCK));
        self.blocks
            .extend(numbered.map(|(block, bytes)| (block, bytes.to_vec())));
        Ok(())
    }

    fn zeros(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Metadata {
    /// The superblock.
    ///
    /// # Errors
    /// There is none: the layout was not written.
    pub fn superblock(&self) -> mkext4::Result<Superblock> {
        let block = self.block(0)?;
        Superblock::decode(&block[SUPERBLOCK_AT..SUPERBLOCK_AT + Superblock::LEN])
    }

    /// Which blocks are in use, as the bitmaps have it.
    pub fn used(&self) -> mkext4::Result<Blocks> {
        let superblock = self.superblock()?;
        let mut used = Blocks::new(superblock.blocks_count);
        for group in self.groups(&superblock)? {
            let bitmap = self.block(group.descriptor.block_bitmap)?;
            for (bit, block) in group.blocks.clone().enumerate() {
                used.set(block..block + 1, bitmap[bit / 8] & 1 << (bit % 8) != 0);
            }
        }
        Ok(used)
    }

    /// Moves runs of file data: the first block of each before, and after. `used` is what is in use then.
    pub fn relocate(&mut self, moves: &BTreeMap<u64, u64>, used: &Blocks) -> mkext4::Result<()> {
        let superblock = self.superblock()?;
        let seed = csum::fs_seed(&superblock.uuid);
        let mut descriptors = Vec::new();
        for group in self.groups(&superblock)? {
            self.move_extents(&group, &superblock, seed, moves)?;
            descriptors.push(self.count(&group, seed, used)?);
        }
        self.write_descriptors(&superblock, &descriptors)
    }

    /// Writes everything, in the order of the blocks.
    pub fn write(&self, sink: &mut impl RegionSink) -> io::Result<()> {
        for (block, bytes) in &self.blocks {
            sink.data(block * BLOCK_SIZE, bytes)?;
        }
        Ok(())
    }

    fn block(&self, block: u64) -> mkext4::Result<&[u8]> {
        self.blocks
            .get(&block)
            .map(Vec::as_slice)
            .ok_or_else(|| missing(block))
    }

    fn block_mut(&mut self, block: u64) -> mkext4::Result<&mut Vec<u8>> {
        self.blocks.get_mut(&block).ok_or_else(|| missing(block))
    }

    fn groups(&self, superblock: &Superblock) -> mkext4::Result<Vec<Group>> {
        let size = u64::from(superblock.blocks_per_group);
        let groups = 0..superblock.group_count();
        groups
            .map(|number| {
                let at = number as usize * DESCRIPTOR;
                let table = self.block(DESCRIPTORS_AT + (at / BLOCK) as u64)?;
                let start = number * size;
                Ok(Group {
                    number: number as u32,
                    blocks: start..(start + size).min(superblock.blocks_count),
                    descriptor: GroupDesc::decode(&table[at % BLOCK..][..DESCRIPTOR])?,
                })
            })
            .collect()
    }

    /// Says in a group's inodes where their data is now.
    fn move_extents(
        &mut self,
        group: &Group,
        superblock: &Superblock,
        seed: u32,
        moves: &BTreeMap<u64, u64>,
    ) -> mkext4::Result<()> {
        let inodes = superblock.inodes_per_group;
        let first = group.descriptor.inode_table;
        let tables = first..first + (inodes as usize * INODE).div_ceil(BLOCK) as u64;
        // Blocks without an inode in use are not written.
        for (block, table) in self.blocks.range_mut(tables) {
            let before = (block - first) as usize * (BLOCK / INODE);
            for (place, inode) in table.chunks_mut(INODE).enumerate() {
                if move_inode(inode, moves)? {
                    let number = group.number * inodes + (before + place) as u32 + 1;
                    sign(inode, number, seed);
                }
            }
        }
        Ok(())
    }

    /// Writes a group's bitmap, and returns its descriptor with the count of what is free.
    fn count(
        &mut self,
        group: &Group,
        seed: u32,
        used: &Blocks,
    ) -> mkext4::Result<[u8; DESCRIPTOR]> {
        let mut descriptor = group.descriptor.clone();
        let bitmap = self.block_mut(descriptor.block_bitmap)?;
        // Behind the last block of the disk, bits stay set.
        let mut free = 0;
        for (bit, block) in group.blocks.clone().enumerate() {
            let mask = 1 << (bit % 8);
            match used.is_used(block) {
                true => bitmap[bit / 8] |= mask,
                false => {
                    bitmap[bit / 8] &= !mask;
                    free += 1;
                }
            }
        }
        descriptor.free_blocks_count = free;
        descriptor.block_bitmap_csum = csum::block_bitmap(seed, bitmap).into();
        let mut bytes = [0; DESCRIPTOR];
        descriptor.encode32(&mut bytes);
        descriptor.checksum = csum::group_desc(seed, group.number, &bytes);
        descriptor.encode32(&mut bytes);
        Ok(bytes)
    }

    /// Writes the descriptors behind the superblock and behind each of its backups.
    fn write_descriptors(
        &mut self,
        superblock: &Superblock,
        descriptors: &[[u8; DESCRIPTOR]],
    ) -> mkext4::Result<()> {
        let groups = (0..superblock.group_count()).filter(|group| has_superblock(*group));
        for group in groups {
            let start = group * u64::from(superblock.blocks_per_group) + DESCRIPTORS_AT;
            for (block, part) in (start..).zip(descriptors.chunks(BLOCK / DESCRIPTOR)) {
                self.block_mut(block)?[..part.len() * DESCRIPTOR]
                    .copy_from_slice(part.as_flattened());
            }
        }
        Ok(())
    }
}

struct Group {
    number: u32,
    blocks: Range<u64>,
    descriptor: GroupDesc,
}

/// Groups with a superblock: the first two, and powers of 3, 5 and 7 (`sparse_super`).
fn has_superblock(group: u64) -> bool {
    let is_power = |base: u64| {
        let mut power = base;
        while power < group {
            power *= base;
        }
        power == group
    };
    group <= 1 || [3, 5, 7].into_iter().any(is_power)
}

/// Says in an inode where its data is now; whether anything of it moved.
fn move_inode(inode: &mut [u8], moves: &BTreeMap<u64, u64>) -> mkext4::Result<bool> {
    const KIND: u16 = 0o170_000;
    const REGULAR: u16 = 0o100_000;
    let is_file = u16_at(inode, field::MODE) & KIND == REGULAR;
    if !is_file || u32_at(inode, field::FLAGS) & iflags::EXTENTS == 0 {
        return Ok(false);
    }
    let root = &mut inode[field::BLOCK..];
    let header = ExtentHeader::decode(root)?;
    if header.depth > 0 {
        return Ok(false);
    }
    let mut moved = false;
    let extents = root[ExtentHeader::LEN..].chunks_exact_mut(ExtentHeader::ENTRY_LEN);
    for bytes in extents.take(header.entries.into()) {
        let mut extent = Extent::decode(bytes);
        if let Some(start) = moves.get(&extent.start) {
            extent.start = *start;
            extent.encode(bytes);
            moved = true;
        }
    }
    Ok(moved)
}

/// Writes an inode's checksum.
fn sign(inode: &mut [u8], number: u32, seed: u32) {
    let sum = csum::inode(seed, number, u32_at(inode, field::GENERATION), inode);
    let [first, second, third, fourth] = sum.to_le_bytes();
    inode[field::CHECKSUM_LOW..][..2].copy_from_slice(&[first, second]);
    inode[field::CHECKSUM_HIGH..][..2].copy_from_slice(&[third, fourth]);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn missing(block: u64) -> mkext4::Error {
    mkext4::Error::Unsupported(format!("block {block} of the metadata was not written"))
}
