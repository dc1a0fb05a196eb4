//! Blocks are on disk, sparse, and never in memory.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::client::{BLOCK, Expect as _, put_block};
use super::place::Process;
use super::things::open_snapshot;

/// Blocks of 2 GiB.
const BLOCKS: u32 = 4096;

#[test]
fn memory_stays_small_while_blocks_are_put() {
    let folder = tempfile::tempdir().expect("a folder");
    let process = Process::start(&folder.path().join("state"));
    let client = &process.publisher;
    let started = client
        .start_snapshot(&serde_json::json!({"VolumeSize": 2}))
        .done("a snapshot");
    let id = started["SnapshotId"].as_str().expect("an id");
    let call = put_block(id, 0, &[7; BLOCK]);
    std::thread::scope(|scope| {
        for start in 0..4 {
            let call = &call;
            scope.spawn(move || {
                for index in (start..BLOCKS).step_by(4) {
                    let mut call = call.clone();
                    call.path = format!("/snapshots/{id}/blocks/{index}");
                    client.ebs(&call).done("a block");
                }
            });
        }
    });
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("it runs");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .expect("a number");
    assert!(peak < 100_000, "{peak} KiB were resident");
    client
        .complete_snapshot(id, BLOCKS as usize)
        .done("all are there");
}

#[test]
fn what_is_absent_takes_no_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let process = Process::start(&state);
    let client = &process.publisher;
    let id = open_snapshot(client, None);
    let before = on_disk(&state);
    for index in [0, 1000, 2047] {
        client.put_block(&id, index, &[7; BLOCK]).done("a block");
    }
    client.complete_snapshot(&id, 3).done("three blocks");
    let volume = client
        .ec2(
            "CreateVolume",
            &[("AvailabilityZone", "us-east-1a"), ("SnapshotId", &id)],
        )
        .done("a volume");
    super::things::settled_volume(client, volume.text("volumeId"));
    let grown = on_disk(&state) - before;
    // The snapshot and the volume: six blocks, and some room for the records.
    assert!(
        grown < 8 * BLOCK as u64,
        "{grown} bytes for two times three blocks"
    );
}

/// The bytes that a folder's files take on disk.
fn on_disk(folder: &Path) -> u64 {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => on_disk(&path),
                Ok(found) => found.blocks() * 512,
                Err(_) => 0,
            }
        })
        .sum()
}
