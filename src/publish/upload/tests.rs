//! Uploads to a sandbox, read back.

use std::os::unix::fs::FileExt as _;

use serde_json::{Value, json};

use super::verify::{download, verify};
use super::*;
use crate::aws::Aws;
use crate::aws::settings::AwsSettings;
use crate::aws::testing::{Cloud, HOME, region};
use crate::blocks::{self, on_volume};

const GIB: u64 = 1 << 30;

/// States as EC2 tells them.
struct Ec2(Ebs);

#[async_trait]
impl SnapshotStates for Ec2 {
    async fn state(&self, snapshot: &SnapshotId) -> Result<SnapshotState, AwsError> {
        let (state, why, _) = match self.0.state_for_tests(snapshot).await {
            Err(error) if error.kind == Kind::NotFound => return Ok(SnapshotState::Missing),
            told => told?,
        };
        Ok(match state.as_str() {
            "completed" => SnapshotState::Completed,
            "error" => SnapshotState::Failed(why),
            _ => SnapshotState::Pending,
        })
    }
}

/// A sandbox, and images in it.
struct Place {
    cloud: Cloud,
    aws: Aws,
    ebs: Ebs,
}

impl Place {
    async fn new() -> Place {
        let cloud = Cloud::start().await;
        let aws = cloud.aws().await;
        let ebs = aws.ebs(&region(HOME));
        Place { cloud, aws, ebs }
    }

    /// Another session, of which attempts take a second at most.
    async fn impatient() -> Place {
        let place = Place::new().await;
        let settings = AwsSettings {
            attempt_seconds: 1,
            total_seconds: 10,
            ..AwsSettings::default()
        };
        let aws = place.cloud.aws_with(settings).await;
        let ebs = aws.ebs(&region(HOME));
        Place { aws, ebs, ..place }
    }

    /// An upload of an image whose blocks hold these numbers; 0 is a hole.
    fn upload(&self, blocks: &[u8]) -> Upload {
        let image = tempfile::tempfile().expect("a file");
        image
            .set_len(blocks.len() as u64 * BLOCK as u64)
            .expect("a length");
        for (at, number) in blocks
            .iter()
            .enumerate()
            .filter(|(_, number)| **number != 0)
        {
            write(&image, at, *number);
        }
        let scan = blocks::scan(&image).expect("a scan");
        Upload {
            ebs: self.ebs.clone(),
            states: Arc::new(Ec2(self.ebs.clone())),
            image: Arc::new(image),
            size: scan.size,
            blocks: on_volume(&scan.blocks, 1).expect("it is large enough"),
            volume_gib: 1,
            token: scan.sha256,
            tags: Tags([("Name".to_owned(), "test".to_owned())].into()),
            description: "A test".to_owned(),
            key: None,
            parent: None,
            omit_zeros: true,
            journal: Some(self.journal()),
            puts_per_second: None,
            progress: Progress::default(),
        }
    }

    fn journal(&self) -> PathBuf {
        self.cloud.folder().join("image.upload")
    }

    async fn count(&self, operation: &str) -> usize {
        self.cloud.calls(operation).await.len()
    }

    /// How many puts were done.
    async fn puts(&self) -> usize {
        let calls = self.cloud.calls("PutSnapshotBlock").await;
        calls.iter().filter(|call| call["status"] == 201).count()
    }

    async fn fault(&self, operation: &str, times: u64, action: Value) {
        let rule = json!({"operation": operation, "times": times, "action": action});
        self.cloud.fault(rule).await;
    }

    /// The snapshot's bytes, where nothing is zeros.
    async fn bytes(&self, snapshot: &SnapshotId) -> File {
        self.completed(snapshot).await;
        let file = Arc::new(tempfile::tempfile().expect("a file"));
        let progress = Progress::default();
        download(&self.ebs, snapshot, &file, &progress)
            .await
            .expect("a download");
        Arc::into_inner(file).expect("nobody else has it")
    }

    /// Waits until the snapshot can be read.
    async fn completed(&self, snapshot: &SnapshotId) {
        use crate::aws::wait::{Seen, until};
        let states = Ec2(self.ebs.clone());
        let look = async || {
            Ok::<_, AwsError>(match states.state(snapshot).await? {
                SnapshotState::Completed => Seen::Reached(()),
                other => Seen::NotYet(format!("{other:?}")),
            })
        };
        let limit = Duration::from_secs(20);
        until(limit, |_| (), look)
            .await
            .expect("looks")
            .expect("completed");
    }

    async fn assert_equal(&self, snapshot: &SnapshotId, upload: &Upload) {
        let read = self.bytes(snapshot).await;
        assert_eq!(read.metadata().expect("metadata").len(), GIB);
        let mut there = vec![0; upload.size as usize];
        let mut back = there.clone();
        upload.image.read_exact_at(&mut there, 0).expect("read");
        read.read_exact_at(&mut back, 0).expect("read");
        assert!(there == back, "the snapshot is not the image");
        let digests = blocks::digests(&read).expect("digests");
        assert_eq!(digests, upload.blocks);
    }
}

fn write(image: &File, block: usize, number: u8) {
    let bytes: Vec<u8> = (0..BLOCK).map(|at| number ^ (at / 97) as u8).collect();
    let at = block as u64 * BLOCK as u64;
    image.write_all_at(&bytes, at).expect("written");
}

#[test]
fn what_is_sent() {
    let (zero, a, b) = (of_zeros(), [1; 32], [2; 32]);
    let new = BlockDigests(vec![a, zero, b, zero]);
    let old = BlockDigests(vec![a, b, b, zero]);
    for (parent, omit_zeros, expected) in [
        (None, false, vec![0, 1, 2, 3]),
        (None, true, vec![0, 2]),
        (Some(&old), false, vec![1]),
        // Zeros where the parent has something else are no zeros to leave out.
        (Some(&old), true, vec![1]),
        (Some(&new), false, vec![]),
    ] {
        assert_eq!(to_send(&new, parent, omit_zeros), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_snapshot_has_every_block() {
    let place = Place::new().await;
    let mut upload = place.upload(&[1, 0, 2, 3, 0, 4]);
    let key = place.ebs.key_for_tests().await;
    upload.key = Some(key);
    let progress = upload.progress.listen();
    let done = upload.run().await.expect("an upload");
    assert_eq!((done.blocks_sent, done.blocks_total), (2048, 2048));
    assert_eq!(place.puts().await, 2048);
    assert_eq!(done.bytes_sent, GIB);
    let id = done.snapshot.clone();
    assert_eq!(
        progress.borrow().lines,
        [format!("snapshot {id} in {HOME}")]
    );
    place.assert_equal(&id, &upload).await;
    let (_, _, tags) = place.ebs.state_for_tests(&id).await.expect("a state");
    assert_eq!(tags, upload.tags);
    let all = verify(&place.ebs, &id, &upload.blocks, false, &Progress::default()).await;
    assert!(all.expect("read").is_equal());
    let mut other = upload.blocks.clone();
    other.0[7] = [7; 32];
    let found = verify(&place.ebs, &id, &other, false, &Progress::default()).await;
    assert_eq!(found.expect("read").first, [7]);
    assert!(!place.journal().exists());
    // A second run finds it done, and what a run left that was killed in between.
    std::fs::write(place.journal(), "left behind").expect("written");
    let again = upload.run().await.expect("an upload");
    assert!(!place.journal().exists());
    assert_eq!((again.snapshot, again.blocks_sent), (id, 0));
    assert_eq!(place.count("PutSnapshotBlock").await, 2048);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_snapshot_is_sent_what_differs_and_has_everything() {
    let place = Place::new().await;
    let first = place.upload(&[1, 2, 3, 4, 5, 0, 7, 8]);
    let parent = first.run().await.expect("an upload").snapshot;
    place.completed(&parent).await;
    let before = place.puts().await;
    let mut second = place.upload(&[1, 2, 9, 0, 5, 6, 7, 8]);
    second.parent = Some(ParentSnapshot {
        snapshot: parent.clone(),
        blocks: first.blocks.clone(),
    });
    let done = second.run().await.expect("an upload");
    assert_eq!((done.blocks_sent, done.blocks_total), (3, 3));
    assert_eq!(place.puts().await - before, 3);
    place.assert_equal(&done.snapshot, &second).await;
    place.assert_equal(&parent, &first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_of_another_key_is_refused_before_a_block_is_sent() {
    let place = Place::new().await;
    let first = place.upload(&[1]);
    let parent = first.run().await.expect("an upload").snapshot;
    place.completed(&parent).await;
    let mut second = place.upload(&[2]);
    second.key = Some(place.ebs.key_for_tests().await);
    second.parent = Some(ParentSnapshot {
        snapshot: parent,
        blocks: first.blocks.clone(),
    });
    let error = second.run().await.expect_err("it is not encrypted");
    assert!(
        matches!(error, UploadError::WrongKey { found: None, .. }),
        "{error}"
    );
    assert_eq!(place.puts().await, 1);
}

/// What a run leaves that ends at its second half: the future is dropped.
async fn interrupted(place: &Place, upload: &Upload) -> usize {
    let rule = json!({"operation": "PutSnapshotBlock", "skip": 30, "action": "stall"});
    place.cloud.fault(rule).await;
    let (journal, half) = (place.journal(), async {
        // Until 30 blocks have a line, beside the head.
        let lines =
            || std::fs::read(place.journal()).map_or(0, |text| text.split(|b| *b == b'\n').count());
        while lines() < 32 {
            tokio::task::yield_now().await;
        }
    });
    tokio::select! {
        done = upload.run() => panic!("{done:?}"),
        () = half => {}
    }
    place.cloud.no_faults().await;
    assert!(journal.exists());
    place.puts().await
}

fn sixty() -> Vec<u8> {
    (1..=60).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_sends_only_what_is_missing() {
    let place = Place::new().await;
    let upload = place.upload(&sixty());
    // A block that was stalled may be taken once nothing stalls it, though nobody waits any more.
    let first = interrupted(&place, &upload).await;
    assert!((30..=60).contains(&first), "{first}");
    let done = upload.run().await.expect("an upload");
    assert_eq!((done.resumed_blocks, done.blocks_sent), (30, 30));
    let both = place.puts().await;
    assert!((60..=90).contains(&both), "{both}");
    assert_eq!(place.count("StartSnapshot").await, 2);
    place.assert_equal(&done.snapshot, &upload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_journal_a_second_run_sends_all_to_the_same_snapshot() {
    let place = Place::new().await;
    let upload = place.upload(&sixty());
    interrupted(&place, &upload).await;
    std::fs::write(place.journal(), "something else").expect("written");
    let done = upload.run().await.expect("an upload");
    assert_eq!((done.resumed_blocks, done.blocks_sent), (0, 60));
    place.assert_equal(&done.snapshot, &upload).await;
    let starts = place.cloud.calls("PutSnapshotBlock").await;
    let paths: HashSet<String> = starts
        .iter()
        .map(|call| call["parameters"]["SnapshotId"].to_string())
        .collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_says_too_much_is_given_up() {
    let place = Place::new().await;
    let upload = place.upload(&sixty());
    let put = interrupted(&place, &upload).await;
    let start = upload.start().await.expect("the snapshot");
    let subject = Subject {
        token: &upload.token,
        region: place.ebs.region(),
        linear: &linear(&upload.blocks.0),
        parent: None,
    };
    let (journal, known) = Journal::open(Some(&place.journal()), &subject, &start);
    let lie = (0..60)
        .find(|block| !known.contains(block))
        .expect("a block");
    journal.acknowledged(lie);
    let done = upload.run().await.expect("an upload");
    assert_eq!(done.resumed_blocks, 0);
    assert_eq!(place.puts().await, put + 29 + 60);
    place.assert_equal(&done.snapshot, &upload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_lived_through() {
    let place = Place::new().await;
    let server_error = json!({"error": {"status": 500, "code": "InternalServerException"}});
    let missing = json!({"error": {"status": 404, "code": "ResourceNotFoundException", "message": "The snapshot does not exist."}});
    let mut number = 0;
    for operation in [
        "StartSnapshot",
        "PutSnapshotBlock",
        "CompleteSnapshot",
        "ListSnapshotBlocks",
        "GetSnapshotBlock",
    ] {
        for (action, times) in [
            (json!("throttle"), 1),
            (json!("throttle"), 3),
            (server_error.clone(), 2),
            (json!("close-before"), 2),
            (json!("close-after"), 2),
            (missing.clone(), 2),
        ] {
            let settles = matches!(operation, "PutSnapshotBlock" | "CompleteSnapshot");
            if action == missing && !settles {
                continue;
            }
            number += 1;
            place.fault(operation, times, action.clone()).await;
            let mut upload = place.upload(&[number, 0, 1, 2]);
            upload.journal = None;
            let done = upload.run().await;
            let done = done.unwrap_or_else(|error| panic!("{operation} {action}: {error}"));
            place.assert_equal(&done.snapshot, &upload).await;
            let throttled = action == "throttle" && operation == "PutSnapshotBlock";
            assert_eq!(
                done.throttled,
                if throttled { times } else { 0 },
                "{operation} {action}"
            );
            place.cloud.no_faults().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_an_answer_are_made_again() {
    let place = Place::impatient().await;
    for operation in [
        "StartSnapshot",
        "PutSnapshotBlock",
        "CompleteSnapshot",
        "ListSnapshotBlocks",
        "GetSnapshotBlock",
    ] {
        place.fault(operation, 1, json!("stall")).await;
    }
    let upload = place.upload(&[1, 2, 3]);
    let done = upload.run().await.expect("an upload");
    place.assert_equal(&done.snapshot, &upload).await;
    assert_eq!(place.count("CompleteSnapshot").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_stops_at_once() {
    let place = Place::new().await;
    for (action, kind) in [
        ("deny", Kind::Denied),
        ("expire-credentials", Kind::Expired),
    ] {
        place.cloud.control("DELETE", "calls", Value::Null).await;
        place
            .cloud
            .fault(json!({"operation": "PutSnapshotBlock", "action": action}))
            .await;
        let upload = place.upload(&[1]);
        let error = upload.run().await.expect_err(action);
        let UploadError::Aws(error) = error else {
            panic!("{error}")
        };
        assert_eq!(error.kind, kind);
        let text = error.to_string();
        assert!(text.contains("ebs:PutSnapshotBlock on snap-"), "{text}");
        assert_eq!(place.count("PutSnapshotBlock").await, 1);
        place.cloud.no_faults().await;
    }
    assert_eq!(place.aws.account().as_str(), "111111111111");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_changes_is_told() {
    let place = Place::new().await;
    let upload = place.upload(&[1, 2, 3]);
    write(&upload.image, 1, 9);
    let error = upload.run().await.expect_err("it has changed");
    assert!(
        matches!(error, UploadError::Changed { block: 1, .. }),
        "{error}"
    );
    write(&upload.image, 1, 2);
    let done = upload.run().await.expect("an upload");
    place.assert_equal(&done.snapshot, &upload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_failed_needs_another_token() {
    let place = Place::new().await;
    let why = "Client.InternalError";
    place
        .fault("StartSnapshot", 1, json!({"fail-later": {"reason": why}}))
        .await;
    let mut upload = place.upload(&[1]);
    for _ in 0..2 {
        let error = upload.run().await.expect_err("it failed");
        assert!(
            matches!(&error, UploadError::SnapshotFailed { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(why), "{error}");
    }
    assert_eq!(place.puts().await, 0);
    upload.token = "another".to_owned();
    let done = upload.run().await.expect("an upload");
    place.assert_equal(&done.snapshot, &upload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_stands_for_what_was_asked_with_it() {
    let place = Place::new().await;
    let mut upload = place.upload(&[1]);
    upload.run().await.expect("an upload");
    upload.description = "Something else".to_owned();
    let error = upload.run().await.expect_err("it is not the same");
    assert!(matches!(error, UploadError::TokenTaken(_)), "{error}");
    upload.volume_gib = 2;
    let error = upload.run().await.expect_err("the digests are for 1 GiB");
    assert!(matches!(error, UploadError::WrongSize { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_block_of_an_encrypted_snapshot_differs() {
    let place = Place::new().await;
    let upload = place.upload(&[1, 0, 2]);
    let done = upload.run().await.expect("an upload");
    assert_eq!(done.blocks_sent, 2);
    place.completed(&done.snapshot).await;
    for (absent_is_zero, differing) in [(true, 0), (false, 2046)] {
        let found = verify(
            &place.ebs,
            &done.snapshot,
            &upload.blocks,
            absent_is_zero,
            &Progress::default(),
        )
        .await;
        assert_eq!(found.expect("read").differing, differing);
    }
}

/// States of a snapshot that EC2 goes on calling pending.
struct Slow;

#[async_trait]
impl SnapshotStates for Slow {
    async fn state(&self, _: &SnapshotId) -> Result<SnapshotState, AwsError> {
        Ok(SnapshotState::Pending)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_not_taken_does_not_pass_for_the_end() {
    let place = Place::new().await;
    let not_open = json!({"error": {"status": 409, "code": "ConflictException", "message": "The snapshot is not open."}});
    place.fault("PutSnapshotBlock", 1, not_open).await;
    let mut upload = place.upload(&[1, 2, 3]);
    upload.states = Arc::new(Slow);
    let error = upload.run().await.expect_err("a block is missing");
    let UploadError::Aws(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.action, "ebs:CompleteSnapshot");
    assert_eq!(error.kind, Kind::Invalid);
    assert!(place.journal().exists());
    let done = upload.run().await.expect("an upload");
    assert_eq!(done.resumed_blocks + done.blocks_sent, 3);
    place.assert_equal(&done.snapshot, &upload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_was_completed_and_is_still_pending_is_done() {
    let place = Place::new().await;
    let mut upload = place.upload(&[1, 2, 3]);
    upload.states = Arc::new(Slow);
    let done = upload.run().await.expect("an upload");
    let again = upload.run().await.expect("it is done");
    assert_eq!(again.snapshot, done.snapshot);
    assert_eq!(again.blocks_sent, 0);
    assert_eq!(place.count("CompleteSnapshot").await, 2);
    assert!(!place.journal().exists());
    place.assert_equal(&done.snapshot, &upload).await;
}

#[test]
fn what_follows_a_refusal() {
    let not_found = || {
        Box::new(AwsError::from(crate::aws::error::Details {
            action: "ebs:PutSnapshotBlock",
            resource: "snap-12345678".to_owned(),
            region: region(HOME),
            account: None,
            kind: Kind::NotFound,
            code: None,
            message: "it is not there".to_owned(),
            request_id: None,
            attempts: 1,
            elapsed: Duration::ZERO,
        }))
    };
    let told = |phase, is_known: bool, state| {
        let refused = if is_known {
            Refused::NotOpen("it is not open".to_owned())
        } else {
            Refused::NotFound(not_found())
        };
        match next(phase, refused, state) {
            Ok(next) => format!("{next:?}"),
            Err(End::Failed(why)) => format!("failed: {why}"),
            Err(End::Aws(error)) => format!("error: {}", error.message),
        }
    };
    use Phase::{Completion, Puts};
    let broken = || SnapshotState::Failed("broken".to_owned());
    let missing = format!("failed: {}", not_found());
    for (phase, is_known, state, expected) in [
        (Puts, true, SnapshotState::Pending, "Complete"),
        (Completion, true, SnapshotState::Pending, "Over"),
        (
            Puts,
            false,
            SnapshotState::Pending,
            "error: it is not there",
        ),
        (
            Completion,
            false,
            SnapshotState::Pending,
            "error: it is not there",
        ),
        (Puts, true, SnapshotState::Completed, "Over"),
        (Completion, false, SnapshotState::Completed, "Over"),
        (Puts, true, SnapshotState::Missing, "failed: it is not open"),
        (Completion, false, SnapshotState::Missing, missing.as_str()),
        (Puts, false, broken(), "failed: broken"),
        (Completion, true, broken(), "failed: broken"),
    ] {
        let shown = format!("{phase:?} {is_known} {state:?}");
        assert_eq!(told(phase, is_known, state), expected, "{shown}");
    }
}
