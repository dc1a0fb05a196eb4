//! Walking the root file system of an image, and hashing its files on all cores.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ext4_view::{DirEntry, Ext4, Ext4Error, FileType, PathBuf};
use sha2::{Digest as _, Sha256};

use super::disk::{DiskImage, PartitionRange};
use super::error::{ContentsError, Result};
use super::{Contents, Entry, EntryKind, PartitionDigest, SCHEMA};
use crate::{digest, interrupt};

/// Far deeper than any package; a damaged file system may have a folder inside itself.
const MAX_DEPTH: usize = 128;
/// More than an image has: 2 GiB come with 131,072 inodes. A list of so many files takes about
/// 100 MB, with its text: some 350 bytes a file, and 200 of JSON.
const MAX_ENTRIES: usize = 200_000;
/// The longest target that Linux makes (PATH_MAX), in bytes.
const MAX_TARGET: u64 = 4096;
/// Bytes hashed at a time.
const CHUNK: usize = 1 << 16;

/// A path, and its bytes as the image has them.
struct Found {
    entry: Entry,
    path: PathBuf,
}

impl DiskImage {
    /// Lists every file. Memory: the list, and 64 KiB and a few blocks a core.
    ///
    /// # Errors
    /// See [`super::ContentsError`]; Ctrl-C is [`io::ErrorKind::Interrupted`] in one that reads.
    pub fn list(&self) -> Result<Contents> {
        // A thread of its own, so that a panic in the reader of damaged file systems ends there.
        let mut found = thread::scope(|scope| scope.spawn(|| self.walk()).join())
            .unwrap_or_else(|_| Err(self.broken("/", "the reader has given up")))?;
        found.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
        let partitions = self.hash(&mut found)?;
        let mut entries: Vec<Entry> = found.into_iter().map(|found| found.entry).collect();
        self.tell_owners(&mut entries);
        Ok(Contents {
            schema: SCHEMA,
            partitions,
            used: self.used,
            entries,
        })
    }

    /// A file's bytes, or nothing where there is no such file; at most `limit` bytes.
    ///
    /// # Errors
    /// The file system is damaged, or the file is larger.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let read = || {
            let fs = self.ext4()?;
            let size = match fs.metadata(path) {
                Ok(metadata) => metadata.len(),
                Err(Ext4Error::NotFound) => return Ok(None),
                Err(error) => return Err(self.refused(path)(error)),
            };
            if size > limit {
                return Err(self.broken(path, format!("it has {size} bytes, more than {limit}")));
            }
            fs.read(path).map(Some).map_err(self.refused(path))
        };
        thread::scope(|scope| scope.spawn(read).join())
            .unwrap_or_else(|_| Err(self.broken(path, "the reader has given up")))
    }

    /// Names in a folder, sorted; none where there is no such folder.
    ///
    /// # Errors
    /// The file system is damaged.
    pub fn names(&self, folder: &str) -> Result<Vec<String>> {
        let read = || {
            let fs = self.ext4()?;
            let entries = match fs.read_dir(folder) {
                Ok(entries) => entries,
                Err(Ext4Error::NotFound | Ext4Error::NotADirectory) => return Ok(Vec::new()),
                Err(error) => return Err(self.refused(folder)(error)),
            };
            let mut names = Vec::new();
            for entry in entries.take(MAX_ENTRIES) {
                let entry = entry.map_err(self.refused(folder))?;
                names.push(text(entry.file_name().as_ref()));
            }
            names.retain(|name| name != "." && name != "..");
            names.sort();
            Ok(names)
        };
        thread::scope(|scope| scope.spawn(read).join())
            .unwrap_or_else(|_| Err(self.broken(folder, "the reader has given up")))
    }

    fn walk(&self) -> Result<Vec<Found>> {
        let fs = self.ext4()?;
        let root = fs.symlink_metadata("/").map_err(self.refused("/"))?;
        let mut found = vec![Found {
            entry: entry("/".to_owned(), EntryKind::Dir, &root),
            path: PathBuf::new("/"),
        }];
        let mut folders = vec![(PathBuf::new("/"), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let shown = text(folder.as_ref());
            if depth == MAX_DEPTH {
                return Err(self.broken(shown, format!("folders are more than {depth} deep")));
            }
            for child in fs.read_dir(&folder).map_err(self.refused(shown.as_str()))? {
                if interrupt::raised() {
                    return Err(self.unread(interrupted()));
                }
                let child = child.map_err(self.refused(shown.as_str()))?;
                if child.file_name() == "." || child.file_name() == ".." {
                    continue;
                }
                let child = self.look_at(&fs, &child)?;
                if child.entry.kind == EntryKind::Dir {
                    folders.push((child.path.clone(), depth + 1));
                }
                found.push(child);
                if found.len() > MAX_ENTRIES {
                    let why = format!("more than {MAX_ENTRIES} files, which are too many to list");
                    return Err(self.broken(shown, why));
                }
            }
        }
        Ok(found)
    }

    fn look_at(&self, fs: &Ext4, child: &DirEntry) -> Result<Found> {
        let path = child.path();
        let shown = text(path.as_ref());
        let metadata = child.metadata().map_err(self.refused(shown.as_str()))?;
        let kind = kind(metadata.file_type());
        let size = metadata.len();
        let most = if kind == EntryKind::Symlink {
            MAX_TARGET
        } else {
            self.root.size
        };
        if size > most {
            return Err(self.broken(shown, format!("it claims to have {size} bytes")));
        }
        let mut entry = entry(shown, kind, &metadata);
        if kind == EntryKind::Symlink {
            let target = fs
                .read_link(&path)
                .map_err(self.refused(entry.path.as_str()))?;
            entry.target = Some(text(target.as_ref()));
        }
        Ok(Found { entry, path })
    }

    /// Fills in the digests of files, and gives those of the partitions.
    fn hash(&self, found: &mut [Found]) -> Result<Vec<PartitionDigest>> {
        let files: Vec<usize> = (0..found.len())
            .filter(|index| found[*index].entry.kind == EntryKind::File)
            .collect();
        let next = AtomicUsize::new(0);
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let shared = &*found;
        let (digests, partitions) = thread::scope(|scope| {
            let work = || self.hash_some(shared, &files, &next);
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let partitions: io::Result<Vec<_>> = self
                .others
                .iter()
                .map(|part| partition(&self.file, part))
                .collect();
            let gave_up = |_| Err(self.broken("/", "the reader has given up"));
            let digests: Result<Vec<_>> = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(gave_up))
                .collect();
            (digests, partitions)
        });
        for (index, digest) in digests?.into_iter().flatten() {
            found[index].entry.sha256 = Some(digest);
        }
        partitions.map_err(|source| self.unread(source))
    }

    fn unread(&self, source: io::Error) -> ContentsError {
        ContentsError::Read {
            image: self.path.clone(),
            source,
        }
    }

    /// Hashes files that no other thread has taken, until there are none.
    fn hash_some(
        &self,
        found: &[Found],
        files: &[usize],
        next: &AtomicUsize,
    ) -> Result<Vec<(usize, String)>> {
        let fs = self.ext4()?;
        let mut buffer = vec![0; CHUNK];
        let mut digests = Vec::new();
        while let Some(index) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Found { entry, path } = &found[*index];
            let digest = hash_file(&fs, path, entry.size.unwrap_or_default(), &mut buffer);
            // What it says of a file that it did not read to its end is no news then.
            if interrupt::raised() {
                return Err(self.unread(interrupted()));
            }
            digests.push((
                *index,
                digest.map_err(|why| self.broken(entry.path.as_str(), why))?,
            ));
        }
        Ok(digests)
    }
}

/// The end of work that cannot be dropped.
fn interrupted() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "interrupted")
}

fn hash_file(fs: &Ext4, path: &PathBuf, size: u64, buffer: &mut [u8]) -> Result<String, String> {
    let mut hash = Sha256::new();
    let mut file = fs.open(path).map_err(|error| error.to_string())?;
    let mut read = 0;
    loop {
        let count = file.read_bytes(buffer).map_err(|error| error.to_string())?;
        if count == 0 || interrupt::raised() {
            break;
        }
        hash.update(&buffer[..count]);
        read += count as u64;
    }
    if read == size {
        Ok(digest::hex(&hash.finalize()))
    } else {
        Err(format!("it ends after {read} bytes"))
    }
}

fn partition(file: &File, part: &PartitionRange) -> io::Result<PartitionDigest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let end = part.start + part.size;
    let mut at = part.start;
    while at < end {
        if interrupt::raised() {
            return Err(interrupted());
        }
        let count = usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK));
        file.read_exact_at(&mut buffer[..count], at)?;
        hash.update(&buffer[..count]);
        at += count as u64;
    }
    Ok(PartitionDigest {
        number: part.number,
        name: part.name.clone(),
        size: part.size,
        sha256: digest::hex(&hash.finalize()),
    })
}

fn entry(path: String, kind: EntryKind, metadata: &ext4_view::Metadata) -> Entry {
    Entry {
        path,
        kind,
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        size: (kind == EntryKind::File).then(|| metadata.len()),
        sha256: None,
        target: None,
        package: None,
    }
}

fn kind(kind: FileType) -> EntryKind {
    match kind {
        FileType::Directory => EntryKind::Dir,
        FileType::Regular => EntryKind::File,
        FileType::Symlink => EntryKind::Symlink,
        FileType::CharacterDevice => EntryKind::CharDevice,
        FileType::BlockDevice => EntryKind::BlockDevice,
        FileType::Fifo => EntryKind::Fifo,
        FileType::Socket => EntryKind::Socket,
    }
}

/// As text: what is not UTF-8 is escaped, and control characters, which a terminal would obey.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
}
