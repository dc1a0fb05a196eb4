use std::collections::BTreeSet;

use serde_json::json;
use time::macros::datetime;

use super::*;
use crate::publish::bucket::tests::{cloud, image, line, manifest};
use crate::publish::manifest::Retirement;

const NOW: OffsetDateTime = datetime!(2026-01-31 23:30 UTC);
const TOMORROW: OffsetDateTime = datetime!(2026-02-01 00:30 UTC);

/// The release that a run gives to a source.
async fn claimed(
    bucket: &Bucket,
    run: &str,
    source: &Source,
    now: OffsetDateTime,
) -> Result<String, BucketError> {
    let line = &line();
    let wanted = Claim {
        line,
        source,
        run,
        now,
    };
    let seen = preview(bucket, wanted).await?;
    let stored = claim(bucket, wanted, seen, |release| manifest(release, source))
        .await?
        .stored;
    assert_eq!(stored.manifest.source, *source);
    let read = bucket.manifest(&stored.manifest.release).await;
    assert_eq!(read.expect("read"), Some(stored.clone()));
    Ok(stored.manifest.release.to_string())
}

async fn ok(bucket: &Bucket, run: &str, digit: char, now: OffsetDateTime) -> String {
    let claimed = claimed(bucket, run, &image(digit), now).await;
    claimed.expect("a release")
}

async fn previewed(bucket: &Bucket, digit: char) -> (String, bool) {
    let (line, source) = (&line(), &image(digit));
    let wanted = Claim {
        line,
        source,
        run: "preview",
        now: NOW,
    };
    let preview = preview(bucket, wanted).await.expect("a preview");
    (preview.release.to_string(), preview.stored.is_some())
}

#[test]
fn the_next_number_follows_the_highest_of_the_day() {
    let id = |text: &str| text.parse::<ReleaseId>().expect(text);
    for (now, taken, expected) in [
        (NOW, &[][..], "node-1.22-x86_64-20260131.1"),
        (
            NOW,
            &[
                "node-1.22-x86_64-20260131.9",
                "node-1.22-x86_64-20260131.10",
            ],
            "node-1.22-x86_64-20260131.11",
        ),
        (
            NOW,
            &["node-1.22-x86_64-20260130.3", "node-1.22-x86_64-20260201.3"],
            "node-1.22-x86_64-20260131.1",
        ),
        (
            NOW,
            &[
                "node-1.23-x86_64-20260131.3",
                "node-1.22-aarch64-20260131.3",
            ],
            "node-1.22-x86_64-20260131.1",
        ),
        // It is another day already where this clock is, but not in UTC.
        (
            datetime!(2026-02-01 0:30 +1),
            &["node-1.22-x86_64-20260131.3"],
            "node-1.22-x86_64-20260131.4",
        ),
    ] {
        let taken: Vec<_> = taken.iter().map(|text| id(text)).collect();
        assert_eq!(next(&line(), now, &taken).to_string(), expected);
    }
}

#[tokio::test]
async fn a_source_keeps_its_release() {
    let (_cloud, bucket) = cloud().await;
    let first = "node-1.22-x86_64-20260131.1";
    assert_eq!(previewed(&bucket, '1').await, (first.to_owned(), false));
    assert_eq!(previewed(&bucket, '2').await, (first.to_owned(), false));
    assert_eq!(ok(&bucket, "r1", '1', NOW).await, first);
    assert_eq!(ok(&bucket, "r2", '1', TOMORROW).await, first);
    assert_eq!(previewed(&bucket, '1').await, (first.to_owned(), true));
    let second = "node-1.22-x86_64-20260131.2";
    assert_eq!(previewed(&bucket, '2').await, (second.to_owned(), false));
    assert_eq!(ok(&bucket, "r3", '2', NOW).await, second);
    let third = ok(&bucket, "r4", '3', TOMORROW).await;
    assert_eq!(third, "node-1.22-x86_64-20260201.1");

    // The same image in another line is another release.
    let (line, source) = (line(), image('1'));
    let other = Line {
        version: "1.23".to_owned(),
        ..line
    };
    let wanted = Claim {
        line: &other,
        source: &source,
        run: "r5",
        now: NOW,
    };
    let seen = preview(&bucket, wanted).await.expect("a preview");
    let draft = |release: &ReleaseId| manifest(release, &source);
    let claimed = claim(&bucket, wanted, seen.clone(), draft).await;
    let claimed = claimed.expect("a release");
    assert!(claimed.is_new);
    let release = claimed.stored.manifest.release.to_string();
    assert_eq!(release, "node-1.23-x86_64-20260131.1");
    // What was seen before is another's by now, or our own of an earlier run.
    let another_run = Claim {
        run: "r7",
        ..wanted
    };
    let again = claim(&bucket, another_run, seen.clone(), draft).await;
    let again = again.expect("a release");
    assert!(!again.is_new);
    assert_eq!(again.stored.manifest.release.to_string(), release);
    let source = image('2');
    let wanted = Claim {
        source: &source,
        run: "r6",
        ..wanted
    };
    let draft = |release: &ReleaseId| manifest(release, &source);
    let late = claim(&bucket, wanted, seen, draft).await;
    let late = late.expect("a release").stored.manifest.release.to_string();
    assert_eq!(late, "node-1.23-x86_64-20260131.2");
}

#[tokio::test]
async fn of_runs_at_once_no_two_images_share_an_id_and_no_image_has_two() {
    let (_cloud, bucket) = cloud().await;
    let mut runs = tokio::task::JoinSet::new();
    for run in 0..12 {
        let bucket = bucket.clone();
        runs.spawn(async move {
            let digit = char::from(b'1' + run % 4);
            let release = ok(&bucket, &format!("r{run}"), digit, NOW).await;
            (digit, release)
        });
    }
    let pairs: BTreeSet<_> = runs.join_all().await.into_iter().collect();
    let releases: BTreeSet<_> = pairs.iter().map(|(_, release)| release).collect();
    assert_eq!((pairs.len(), releases.len()), (4, 4), "{pairs:?}");
    let listed = bucket.releases(&line()).await.expect("listed");
    assert_eq!(listed.len(), 4);
}

#[tokio::test]
async fn lost_answers_change_nothing() {
    for lost in 1..=2 {
        let (cloud, bucket) = cloud().await;
        cloud
            .fault(json!({"operation": "PutObject", "nth": lost, "action": "close-after"}))
            .await;
        let first = ok(&bucket, "r1", '1', NOW).await;
        assert_eq!(first, "node-1.22-x86_64-20260131.1");
        assert_eq!(cloud.calls("PutObject").await.len(), 3);
        assert_eq!(ok(&bucket, "r2", '1', NOW).await, first);
        let listed = bucket.releases(&line()).await.expect("listed");
        assert_eq!(listed.len(), 1);
    }
}

/// A run that dies after its first write: the second fails for good.
async fn dies_in_between(cloud: &crate::aws::testing::Cloud, bucket: &Bucket) {
    let failure = json!({"error": {"status": 400, "code": "InvalidRequest"}});
    cloud
        .fault(json!({"operation": "PutObject", "nth": 2, "action": failure}))
        .await;
    let dead = claimed(bucket, "dead", &image('1'), NOW).await;
    assert!(matches!(dead, Err(BucketError::Aws(_))), "{dead:?}");
    cloud.no_faults().await;
    assert_eq!(bucket.releases(&line()).await.expect("listed"), []);
}

#[tokio::test]
async fn a_run_that_died_between_the_writes_is_gone_on_with() {
    let (cloud, bucket) = cloud().await;
    dies_in_between(&cloud, &bucket).await;
    let first = "node-1.22-x86_64-20260131.1";
    assert_eq!(previewed(&bucket, '1').await, (first.to_owned(), false));
    assert_eq!(ok(&bucket, "r2", '1', TOMORROW).await, first);
    assert_eq!(
        ok(&bucket, "r3", '2', NOW).await,
        "node-1.22-x86_64-20260131.2"
    );
}

#[tokio::test]
async fn an_id_that_another_took_meanwhile_is_left_to_it() {
    let (cloud, bucket) = cloud().await;
    dies_in_between(&cloud, &bucket).await;
    let (first, second) = ("node-1.22-x86_64-20260131.1", "node-1.22-x86_64-20260131.2");
    assert_eq!(ok(&bucket, "r2", '2', NOW).await, first);
    assert_eq!(previewed(&bucket, '1').await, (second.to_owned(), false));
    let mut runs = tokio::task::JoinSet::new();
    for run in 0..4 {
        let bucket = bucket.clone();
        runs.spawn(async move { ok(&bucket, &format!("r1{run}"), '1', NOW).await });
    }
    assert_eq!(runs.join_all().await, [second; 4]);
    assert_eq!(ok(&bucket, "r2", '2', NOW).await, first);
}

/// Writes into a release's manifest how far its end has come.
async fn retire(bucket: &Bucket, release: &str, retired: Retirement) {
    let release: ReleaseId = release.parse().expect("an id");
    let stored = bucket.manifest(&release).await.expect("read");
    let mut stored = stored.expect("a manifest");
    let next = ReleaseManifest {
        retired: Some(retired),
        ..stored.manifest.clone()
    };
    bucket.replace(&mut stored, next).await.expect("written");
}

const ENDING: Retirement = Retirement {
    deprecated: Some(NOW),
    deregistering: Some(NOW),
    deregistered: None,
};

#[tokio::test]
async fn what_was_retired_becomes_another_release() {
    // Programs before this one marked the end alone.
    let ended = Retirement {
        deregistering: None,
        deregistered: Some(NOW),
        ..ENDING
    };
    for retired in [ENDING, ended] {
        let (_cloud, bucket) = cloud().await;
        let first = ok(&bucket, "r1", '1', NOW).await;
        let hidden = Retirement {
            deprecated: Some(NOW),
            ..Retirement::default()
        };
        retire(&bucket, &first, hidden).await;
        assert_eq!(ok(&bucket, "r2", '1', TOMORROW).await, first);

        retire(&bucket, &first, retired).await;
        let next = "node-1.22-x86_64-20260131.2";
        assert_eq!(previewed(&bucket, '1').await, (next.to_owned(), false));
        let mut runs = tokio::task::JoinSet::new();
        for run in 0..6 {
            let bucket = bucket.clone();
            let digit = char::from(b'1' + run % 2);
            runs.spawn(async move { ok(&bucket, &format!("r1{run}"), digit, NOW).await });
        }
        let releases: BTreeSet<String> = runs.join_all().await.into_iter().collect();
        let third = "node-1.22-x86_64-20260131.3";
        assert_eq!(releases, [next, third].map(str::to_owned).into());
        let again = ok(&bucket, "r2", '1', TOMORROW).await;
        assert!(releases.contains(&again), "{again}");
        let old = bucket.manifest(&first.parse().expect("an id")).await;
        let old = old.expect("read").expect("it stays").manifest;
        assert_eq!((old.retired, &old.source), (Some(retired), &image('1')));
    }
}

/// Between the pointer and the manifest, like any other.
#[tokio::test]
async fn a_run_that_died_on_the_way_to_another_release_is_gone_on_with() {
    let (cloud, bucket) = cloud().await;
    let first = ok(&bucket, "r1", '1', NOW).await;
    retire(&bucket, &first, ENDING).await;
    let failure = json!({"error": {"status": 400, "code": "InvalidRequest"}});
    cloud
        .fault(json!({"operation": "PutObject", "nth": 2, "action": failure}))
        .await;
    let dead = claimed(&bucket, "dead", &image('1'), NOW).await;
    assert!(matches!(dead, Err(BucketError::Aws(_))), "{dead:?}");
    cloud.no_faults().await;
    let second = "node-1.22-x86_64-20260131.2";
    assert_eq!(previewed(&bucket, '1').await, (second.to_owned(), false));
    assert_eq!(ok(&bucket, "r2", '1', TOMORROW).await, second);
    assert_eq!(ok(&bucket, "r3", '1', TOMORROW).await, second);
}
