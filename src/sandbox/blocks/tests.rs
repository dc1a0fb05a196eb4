use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use super::make::Beginning;
use super::*;

fn store(folder: &Path) -> BlockStore {
    BlockStore::open(folder).expect("a store")
}

fn digest(block: &[u8]) -> [u8; 32] {
    Sha256::digest(block).into()
}

/// A block that is all one byte.
fn block(byte: u8) -> Vec<u8> {
    vec![byte; BLOCK_SIZE]
}

/// A snapshot with these blocks.
fn snapshot(store: &BlockStore, id: &str, blocks: &[(u64, u8)]) {
    let now = Timestamp(1);
    store.start(id, None, now).expect("started");
    let writer = store.writer(id, 0).expect("a writer");
    for (index, byte) in blocks {
        let block = block(*byte);
        let put = writer.put(*index, &block, &digest(&block), now);
        assert!(put.expect("put"), "block {index}");
    }
    store.close(id);
}

/// The indexes and first bytes of a snapshot's blocks, after their digests were checked.
fn blocks(store: &BlockStore, id: &str) -> Vec<(u64, u8)> {
    store
        .entries(id, 0)
        .expect("entries")
        .map(|entry| {
            let (index, expected) = entry.expect("an entry");
            let (block, found) = store.read(id, index).expect("read").expect("present");
            assert_eq!(found, expected, "block {index}");
            assert_eq!(digest(&block), expected, "block {index}");
            (index, block[0])
        })
        .collect()
}

fn volume_block(store: &BlockStore, volume: &str, index: u64) -> Vec<u8> {
    let file = File::open(store.volume_file(volume)).expect("a volume");
    let mut block = vec![0; BLOCK_SIZE];
    file.read_exact_at(&mut block, offset(index)).expect("read");
    block
}

fn write_volume(store: &BlockStore, volume: &str, index: u64, bytes: &[u8]) {
    File::options()
        .write(true)
        .open(store.volume_file(volume))
        .and_then(|file| file.write_all_at(bytes, offset(index)))
        .expect("written");
}

fn beginning(snapshot: &str, encrypted: bool) -> Option<Beginning<'_>> {
    Some(Beginning {
        snapshot,
        blocks: 16,
        encrypted,
    })
}

/// Bytes that a file takes on the disk.
fn taken(path: &Path) -> u64 {
    path.metadata().expect("metadata").blocks() * 512
}

#[test]
fn zeros_are_present_and_take_no_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    snapshot(&store, "snap-1", &[(1000, 0), (2047, 0), (3, 7), (0, 0)]);
    assert_eq!(
        blocks(&store, "snap-1"),
        [(0, 0), (3, 7), (1000, 0), (2047, 0)]
    );
    assert_eq!(store.read("snap-1", 1).expect("read"), None);
    let taken = taken(&store.file("snap-1", "data"));
    assert!(taken < 2 * BLOCK_SIZE as u64, "{taken}");
    // A block that becomes zeros gives its room back.
    let writer = store.writer("snap-1", 0).expect("a writer");
    let put = writer.put(3, &block(0), &ZERO_DIGEST, Timestamp(1));
    assert!(put.expect("put"));
    assert_eq!(self::taken(&store.file("snap-1", "data")), 0);
    assert_eq!(blocks(&store, "snap-1")[1], (3, 0));
}

#[test]
fn nothing_is_put_into_what_is_sealed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    snapshot(&store, "snap-1", &[]);
    let writer = store.writer("snap-1", 0).expect("a writer");
    *writer.seal() = true;
    let put = writer.put(0, &block(1), &digest(&block(1)), Timestamp(1));
    assert!(!put.expect("no failure"));
    assert!(blocks(&store, "snap-1").is_empty());
}

#[test]
fn many_put_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    snapshot(&store, "snap-1", &[]);
    let writer = store.writer("snap-1", 0).expect("a writer");
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let writer = &writer;
            scope.spawn(move || {
                for index in 0..32 {
                    // All threads put all blocks; one of them is last, and its block whole.
                    let block = block(thread + 1);
                    let put = writer.put(index, &block, &digest(&block), Timestamp(1));
                    assert!(put.expect("put"));
                }
            });
        }
    });
    assert_eq!(blocks(&store, "snap-1").len(), 32);
}

#[test]
fn a_copy_is_the_same_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    snapshot(&store, "snap-1", &[(0, 1), (5, 0)]);
    store.make_copy("snap-2", "snap-1").expect("copied");
    store.make_copy("snap-2", "snap-1").expect("copied again");
    let inode = |id| store.file(id, "data").metadata().expect("metadata").ino();
    assert_eq!(inode("snap-1"), inode("snap-2"));
    assert_eq!(blocks(&store, "snap-2"), [(0, 1), (5, 0)]);
}

#[test]
fn what_is_absent_reads_as_zeros_or_as_noise() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    snapshot(&store, "snap-1", &[(0, 1), (5, 0), (9, 2)]);
    for (volume, encrypted) in [("vol-1", false), ("vol-2", true)] {
        let beginning = beginning("snap-1", encrypted);
        store.make_volume(volume, 2, beginning).expect("made");
        let size = store
            .volume_file(volume)
            .metadata()
            .expect("metadata")
            .len();
        assert_eq!(size, 2 << 30);
        for (index, byte) in [(0, 1), (5, 0), (9, 2), (16, 0), (4095, 0)] {
            assert!(
                volume_block(&store, volume, index) == block(byte),
                "{volume} {index}"
            );
        }
        for index in [1, 4, 8, 10, 15] {
            let found = volume_block(&store, volume, index);
            if encrypted {
                let counts = found.iter().fold([0_u32; 256], |mut counts, byte| {
                    counts[usize::from(*byte)] += 1;
                    counts
                });
                let most = counts.iter().max().expect("counts");
                assert!(
                    *most < 3000,
                    "each of 256 bytes comes about 2,048 times: {most}"
                );
            } else {
                assert!(found == block(0), "{volume} {index}");
            }
        }
    }
    assert_ne!(noise::block("vol-2", 1), noise::block("vol-2", 2));
    assert_ne!(noise::block("vol-2", 1), noise::block("vol-3", 1));
}

#[test]
fn a_snapshot_of_a_volume_has_what_was_written_and_what_it_began_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    snapshot(&store, "snap-1", &[(0, 1), (5, 0), (9, 2)]);
    store
        .make_volume("vol-1", 1, beginning("snap-1", true))
        .expect("made");
    write_volume(&store, "vol-1", 7, b"\x03 new");
    write_volume(&store, "vol-1", 9, &block(4));
    store.make_snapshot("snap-2", "vol-1").expect("made");
    // Block 7 was noise but for its beginning; other absent blocks stay so.
    let found = blocks(&store, "snap-2");
    assert_eq!(found, [(0, 1), (5, 0), (7, 3), (9, 4)]);

    store.make_volume("vol-2", 1, None).expect("made");
    write_volume(&store, "vol-2", 2047, &block(0));
    write_volume(&store, "vol-2", 3, &block(8));
    store.make_snapshot("snap-3", "vol-2").expect("made");
    assert_eq!(blocks(&store, "snap-3"), [(3, 8), (2047, 0)]);
}

#[test]
fn work_that_was_broken_off_is_done_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    snapshot(&store, "snap-1", &[(0, 1)]);
    std::fs::write(store.file("vol-1", "raw.part"), b"half").expect("written");
    std::fs::hard_link(store.file("snap-1", "table"), store.file("vol-1", "table"))
        .expect("linked");
    store
        .make_volume("vol-1", 1, beginning("snap-1", false))
        .expect("made");
    assert_eq!(volume_block(&store, "vol-1", 0), block(1));
    std::fs::write(store.file("snap-2", "table.part"), vec![1; 640]).expect("written");
    std::fs::write(store.file("snap-2", "data"), vec![1; 640]).expect("written");
    store.make_snapshot("snap-2", "vol-1").expect("made");
    assert_eq!(blocks(&store, "snap-2"), [(0, 1)]);
}

#[test]
fn the_key_of_tokens_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = *store(folder.path()).token_key();
    assert_eq!(store(folder.path()).token_key(), &first);
    std::fs::write(folder.path().join("token.key"), b"short").expect("written");
    assert!(BlockStore::open(folder.path()).is_err());
}

mod in_a_sandbox {
    use super::*;
    use crate::sandbox::ec2::snapshots::{Origin, Progress};
    use crate::sandbox::testing::Bed;

    fn call(bed: &Bed, action: &str, params: &[(&str, &str)], id: &str) -> String {
        let answer = bed.ec2("publisher", action, params).expect(action);
        answer.text(id).to_owned()
    }

    /// A volume with a block, and a snapshot of it.
    fn volume_and_snapshot(bed: &Bed) -> (String, String) {
        let params = [("AvailabilityZone", "us-east-1a"), ("Size", "1")];
        let volume = call(bed, "CreateVolume", &params, "volumeId");
        write_volume(&bed.shared.blocks, &volume, 1, &block(6));
        let params = [("VolumeId", volume.as_str())];
        let snapshot = call(bed, "CreateSnapshot", &params, "snapshotId");
        (volume, snapshot)
    }

    /// As if a kill had come before the data was there.
    fn undo(bed: &Bed, snapshot: &str, volume: &str) {
        bed.shared
            .transact(|world| {
                let snapshot = world.ec2.snapshots.get_mut(snapshot).expect("a snapshot");
                snapshot.progress = Progress::Until {
                    ready: Timestamp(0),
                    done: false,
                };
                world.ec2.volumes.get_mut(volume).expect("a volume").done = false;
                Ok(())
            })
            .expect("changed");
        for path in [
            bed.shared.blocks.file(snapshot, "data"),
            bed.shared.blocks.file(snapshot, "table"),
        ] {
            std::fs::remove_file(path).expect("removed");
        }
    }

    fn files(bed: &Bed, id: &str) -> usize {
        let folder = std::fs::read_dir(bed.folder.path().join("blocks")).expect("a folder");
        let names = folder.map(|entry| entry.expect("an entry").file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with(&format!("{id}.")))
            .count()
    }

    #[test]
    fn a_kill_is_made_good() {
        let bed = Bed::new();
        let (volume, snapshot) = volume_and_snapshot(&bed);
        undo(&bed, &snapshot, &volume);
        let stray = bed.shared.blocks.file("snap-00000000000000000", "data");
        let half = bed.shared.blocks.file(&snapshot, "data.part");
        for path in [&stray, &half] {
            std::fs::write(path, b"x").expect("written");
        }
        recover(&bed.shared);
        bed.shared.settle();
        assert!(!stray.exists() && !half.exists());
        assert_eq!(blocks(&bed.shared.blocks, &snapshot), [(1, 6)]);
        let done = bed.shared.read(|world| {
            let snapshot = world.ec2.snapshots.get(&snapshot).expect("a snapshot");
            let volume = world.ec2.volumes.get(&volume).expect("a volume");
            volume.done && matches!(snapshot.progress, Progress::Until { done: true, .. })
        });
        assert!(done);
    }

    #[test]
    fn data_stays_until_what_is_made_from_it_is_done() {
        let bed = Bed::new();
        let (volume, snapshot) = volume_and_snapshot(&bed);
        undo(&bed, &snapshot, &volume);
        bed.shared
            .transact(|world| {
                world.ec2.volumes.get_mut(&volume).expect("a volume").done = true;
                Ok(())
            })
            .expect("changed");
        call(&bed, "DeleteVolume", &[("VolumeId", &volume)], "return");
        assert!(files(&bed, &volume) > 0, "the snapshot needs it");
        recover(&bed.shared);
        bed.shared.settle();
        assert_eq!(files(&bed, &volume), 0);
        assert_eq!(blocks(&bed.shared.blocks, &snapshot), [(1, 6)]);
        call(
            &bed,
            "DeleteSnapshot",
            &[("SnapshotId", &snapshot)],
            "return",
        );
        assert_eq!(files(&bed, &snapshot), 0);
    }

    #[test]
    fn what_cannot_be_made_shows() {
        let bed = Bed::new();
        let (volume, snapshot) = volume_and_snapshot(&bed);
        undo(&bed, &snapshot, &volume);
        bed.shared
            .transact(|world| {
                let snapshot = world.ec2.snapshots.get_mut(&snapshot).expect("a snapshot");
                snapshot.origin = Origin::Volume("vol-00000000000000000".to_owned());
                Ok(())
            })
            .expect("changed");
        recover(&bed.shared);
        bed.shared.settle();
        let params = [("SnapshotId.1", snapshot.as_str())];
        let status = "snapshotSet/item[0]/status";
        assert_eq!(call(&bed, "DescribeSnapshots", &params, status), "error");
    }
}
