//! Which blocks AWS has acknowledged: kept beside the image, because a snapshot that is not
//! completed cannot be read.
//!
//! A line says what the upload is, with the snapshot; then follows a line for each block. Lines
//! are only ever added, so that whatever is there after a SIGKILL is true. What a line says is
//! checked, and a journal with one that is wrong is not believed at all: sending a block again
//! costs little, leaving one out costs the snapshot.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::aws::{Region, SnapshotId};
use crate::blocks::digests::BlockDigest;
use crate::digest;

/// A block's line: number and check, eight hexadecimal digits each.
const LINE: usize = 18;

/// What makes an upload the same one.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The token of StartSnapshot.
    pub token: &'a str,
    /// Where.
    pub region: &'a Region,
    /// SHA-256 over the digests of all blocks of the volume.
    pub linear: &'a BlockDigest,
    /// The parent, of whose blocks none is sent.
    pub parent: Option<&'a SnapshotId>,
}

/// The journal of an upload that is going on.
#[derive(Debug)]
pub struct Journal {
    path: Option<PathBuf>,
    file: Option<File>,
    head: String,
    is_broken: AtomicBool,
}

impl Journal {
    /// Opens the journal of a snapshot, and reads which blocks were acknowledged; none if the
    /// journal is of something else. Where it cannot be written, the upload goes on without.
    pub fn open(
        path: Option<&Path>,
        subject: &Subject<'_>,
        snapshot: &SnapshotId,
    ) -> (Journal, Vec<u32>) {
        let head = head(subject, snapshot);
        let opened = path.map(|path| (path, begin(path, &head)));
        let (path, file, blocks) = match opened {
            Some((path, Ok((file, blocks)))) => (Some(path.to_owned()), Some(file), blocks),
            Some((path, Err(error))) => {
                without(path, &error);
                (None, None, Vec::new())
            }
            None => (None, None, Vec::new()),
        };
        let journal = Journal {
            path,
            file,
            head,
            is_broken: AtomicBool::new(false),
        };
        (journal, blocks)
    }

    /// AWS has acknowledged a block.
    pub fn acknowledged(&self, block: u32) {
        let Some(mut file) = self.file.as_ref() else {
            return;
        };
        // One write, so that lines of several threads do not mix: the file is open for appending.
        if let Err(error) = file.write_all(line(&self.head, block).as_bytes())
            && !self.is_broken.swap(true, Ordering::Relaxed)
            && let Some(path) = &self.path
        {
            without(path, &error);
        }
    }

    /// The snapshot is completed, or what the journal says did not turn out to be true.
    pub fn remove(&self) {
        if let Some(path) = &self.path {
            forget(path);
        }
    }
}

/// Removes the journal of an upload that nothing is left to do for, if there is one.
pub fn forget(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("{} cannot be removed: {error}", path.display());
        }
        _ => {}
    }
}

/// The head, which ends with its own check.
fn head(subject: &Subject<'_>, snapshot: &SnapshotId) -> String {
    let text = format!(
        "alpine-ami upload 1 token={} region={} blocks={} parent={} snapshot={snapshot}",
        subject.token,
        subject.region,
        digest::hex(subject.linear),
        subject.parent.map_or("none", SnapshotId::as_str),
    );
    format!("{text} {:08x}\n", check(&text, 0))
}

fn line(head: &str, block: u32) -> String {
    format!("{block:08x} {:08x}\n", check(head, block))
}

/// FNV-1a: it tells damage, not malice.
fn check(head: &str, block: u32) -> u32 {
    let bytes = head.bytes().chain(block.to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The journal, ready for more lines, and what it says so far.
fn begin(path: &Path, head: &str) -> io::Result<(File, Vec<u32>)> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create(true).open(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let blocks = read(&text, head);
    let keep = blocks
        .as_ref()
        .map_or(0, |blocks| head.len() + blocks.len() * LINE);
    // A line that was not written to its end would spoil the next one.
    file.set_len(keep as u64)?;
    file.seek(SeekFrom::End(0))?;
    if blocks.is_none() {
        file.write_all(head.as_bytes())?;
    }
    Ok((file, blocks.unwrap_or_default()))
}

/// What a journal with that head says. `None` if it has another one, or a line that is wrong.
fn read(text: &[u8], head: &str) -> Option<Vec<u32>> {
    let lines = text.strip_prefix(head.as_bytes())?;
    let blocks = lines.chunks_exact(LINE).map(|bytes| {
        let digits = std::str::from_utf8(bytes.get(..8)?).ok()?;
        let block = u32::from_str_radix(digits, 16).ok()?;
        (bytes == line(head, block).as_bytes()).then_some(block)
    });
    blocks.collect()
}

fn without(path: &Path, error: &io::Error) {
    tracing::warn!(
        "{} cannot be written ({error}): an upload that is interrupted will send every block again",
        path.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        folder: tempfile::TempDir,
        region: Region,
        snapshot: SnapshotId,
    }

    impl Case {
        fn new() -> Case {
            Case {
                folder: tempfile::tempdir().expect("a folder"),
                region: "eu-west-1".parse().expect("a Region"),
                snapshot: "snap-12345678".parse().expect("an id"),
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("image.upload")
        }

        fn subject<'a>(&'a self, token: &'a str, linear: &'a BlockDigest) -> Subject<'a> {
            Subject {
                token,
                region: &self.region,
                linear,
                parent: None,
            }
        }

        fn open(&self) -> (Journal, Vec<u32>) {
            let subject = self.subject("token", &[7; 32]);
            Journal::open(Some(&self.path()), &subject, &self.snapshot)
        }

        fn text(&self) -> Vec<u8> {
            std::fs::read(self.path()).expect("a journal")
        }

        fn put(&self, text: &[u8]) {
            std::fs::write(self.path(), text).expect("written");
        }
    }

    #[test]
    fn blocks_are_remembered_until_it_is_removed() {
        let case = Case::new();
        let (journal, blocks) = case.open();
        assert_eq!(blocks, [0u32; 0]);
        journal.acknowledged(5);
        journal.acknowledged(0);
        let (journal, blocks) = case.open();
        assert_eq!(blocks, [5, 0]);
        journal.acknowledged(4_000_000_000);
        assert_eq!(case.open().1, [5, 0, 4_000_000_000]);
        journal.remove();
        assert!(!case.path().exists());
        assert_eq!(case.open().1, [0u32; 0]);
        // What is not there needs no forgetting.
        for _ in 0..2 {
            forget(&case.path());
            assert!(!case.path().exists());
        }
    }

    #[test]
    fn half_a_line_is_dropped_and_written_over() {
        let case = Case::new();
        let (journal, _) = case.open();
        journal.acknowledged(1);
        journal.acknowledged(2);
        let whole = case.text();
        let first = whole.len() - LINE;
        for cut in first..whole.len() {
            case.put(&whole[..cut]);
            let (journal, blocks) = case.open();
            assert_eq!(blocks, [1], "{cut}");
            journal.acknowledged(3);
            assert_eq!(case.open().1, [1, 3], "{cut}");
        }
    }

    #[test]
    fn a_journal_that_is_wrong_anywhere_is_not_believed() {
        let case = Case::new();
        let (journal, _) = case.open();
        journal.acknowledged(1);
        journal.acknowledged(2);
        let whole = case.text();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            case.put(&damaged);
            assert_eq!(case.open().1, [0u32; 0], "byte {at}");
        }
    }

    #[test]
    fn a_journal_of_something_else_is_not_believed() {
        let case = Case::new();
        let other: SnapshotId = "snap-87654321".parse().expect("an id");
        let linear = [8; 32];
        let (mine, abroad) = ([7; 32], "eu-west-2".parse().expect("a Region"));
        let own = case.subject("token", &mine);
        for (subject, snapshot) in [
            (case.subject("other", &mine), &case.snapshot),
            (case.subject("token", &linear), &case.snapshot),
            (own, &other),
            (
                Subject {
                    region: &abroad,
                    ..own
                },
                &case.snapshot,
            ),
            (
                Subject {
                    parent: Some(&other),
                    ..own
                },
                &case.snapshot,
            ),
        ] {
            let _ = std::fs::remove_file(case.path());
            case.open().0.acknowledged(1);
            let (_, blocks) = Journal::open(Some(&case.path()), &subject, snapshot);
            assert_eq!(blocks, [0u32; 0], "{subject:?} {snapshot}");
        }
    }

    #[test]
    fn without_a_place_for_it_the_upload_goes_on() {
        let case = Case::new();
        let nowhere = case.folder.path().join("missing/image.upload");
        let subject = case.subject("token", &[7; 32]);
        let (journal, blocks) = Journal::open(Some(&nowhere), &subject, &case.snapshot);
        journal.acknowledged(1);
        journal.remove();
        assert_eq!(blocks, [0u32; 0]);
        assert!(!nowhere.exists());
    }
}
