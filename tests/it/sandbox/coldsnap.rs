//! coldsnap, awslabs's client of the EBS direct APIs, uploads and downloads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::{HOME, Place};
use crate::support::skip;

/// What is uploaded: 64 MiB in which no two blocks are the same.
const SIZE: usize = 64 << 20;

#[test]
fn a_file_comes_back_byte_for_byte() {
    let Some(coldsnap) = coldsnap() else {
        skip(
            "coldsnap",
            "it is not in target/coldsnap: scripts/install-coldsnap",
        );
        return;
    };
    let place = Place::new();
    let sent = place.folder.path().join("sent.img");
    let got = place.folder.path().join("got.img");
    fs::write(&sent, noise(SIZE)).expect("a file");

    let run = |args: &[&str]| {
        let client = place.publisher();
        let output = Command::new(&coldsnap)
            .args(["--region", HOME, "--endpoint", &client.endpoint])
            .args(args)
            .env("HOME", place.folder.path())
            .env("AWS_ENDPOINT_URL", &client.endpoint)
            .env("AWS_ACCESS_KEY_ID", &client.keys.id)
            .env("AWS_SECRET_ACCESS_KEY", &client.keys.secret)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .expect("coldsnap starts");
        assert!(
            output.status.success(),
            "coldsnap {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let uploaded = run(&["upload", "--no-progress", "--wait", &path(&sent)]);
    let snapshot = uploaded.trim();
    assert!(snapshot.starts_with("snap-"), "{uploaded}");
    run(&["download", "--no-progress", snapshot, &path(&got)]);

    let got = fs::read(&got).expect("a file");
    let sent = fs::read(&sent).expect("a file");
    // A snapshot is of whole GiB; what coldsnap was not given reads as zeros.
    assert!(got.len() >= sent.len(), "{} bytes came back", got.len());
    assert!(got[..SIZE] == sent[..], "other bytes came back");
    assert!(got[SIZE..].iter().all(|byte| *byte == 0));
}

fn coldsnap() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/coldsnap/bin/coldsnap");
    path.exists().then_some(path)
}

/// Bytes that repeat nowhere (xorshift), and are the same each time.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}
