//! What dead runs left is removed past its end of life, and nothing else.

use serde_json::json;

use super::cellar::{Cellar, PLACES};
use crate::publish::house::{BUCKET, REGIONS};
use crate::sandbox::client::{Call, Expect as _};

/// A volume that says it is of a build.
fn volume(cellar: &Cellar, build: &str, end: &str) -> String {
    let params = [
        ("AvailabilityZone", &*format!("{}a", PLACES[0])),
        ("Size", "1"),
        ("TagSpecification.1.ResourceType", "volume"),
        ("TagSpecification.1.Tag.1.Key", "alpine-ami:build"),
        ("TagSpecification.1.Tag.1.Value", build),
        ("TagSpecification.1.Tag.2.Key", "alpine-ami:end-of-life"),
        ("TagSpecification.1.Tag.2.Value", end),
    ];
    let client = cellar.house.client(PLACES[0]);
    let made = client.ec2("CreateVolume", &params).done("a volume");
    made.text("volumeId").to_owned()
}

fn volumes(cellar: &Cellar) -> Vec<String> {
    let client = cellar.house.client(PLACES[0]);
    let answer = client.ec2("DescribeVolumes", &[]).done("volumes");
    answer
        .all("volumeId")
        .iter()
        .map(|id| id.to_string())
        .collect()
}

fn exists(cellar: &Cellar, key: &str) -> bool {
    let get = Call::new("GET", &format!("/{BUCKET}/{key}"));
    cellar.house.client(PLACES[0]).s3(&get).is_ok()
}

#[test]
fn dead_runs_are_swept_past_their_end_of_life() {
    let cellar = Cellar::new("");
    let published = cellar.release(1);
    let folder = cellar.dead_run(7);
    let snapshots = || cellar.house.snapshots(PLACES[0]).len();
    assert_eq!(snapshots(), 2);

    let dead = volume(
        &cellar,
        "node-1-x86_64-aaaaaaaaaaaa",
        "2026-01-01T00:00:00Z",
    );
    let living = volume(
        &cellar,
        "node-1-x86_64-bbbbbbbbbbbb",
        "2099-01-01T00:00:00Z",
    );
    let old = "builds/node-1-x86_64-aaaaaaaaaaaa/20260101T000000Z-00000001/job.json";
    let built = "builds/node-1-x86_64-aaaaaaaaaaaa/built.json";
    for key in [old, built] {
        let put = Call::new("PUT", &format!("/{BUCKET}/{key}")).body("{}");
        cellar.house.client(PLACES[0]).s3(&put).done("an object");
    }
    // Not asked for, nothing is swept.
    cellar.prune(&["--yes"]).done();
    assert_eq!((snapshots(), volumes(&cellar).len()), (2, 2));
    let ended = cellar.prune(&["--orphans"]);
    assert_eq!(ended.status, 3, "{}", ended.stderr);
    assert!(ended.stdout.contains(&dead), "{}", ended.stdout);
    assert!(!ended.stdout.contains("snap-"), "{}", ended.stdout);

    cellar.days(8);
    let ended = cellar.prune(&["--orphans", "--yes"]);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("left by dead runs:\n"),
        "{}",
        ended.stderr
    );
    assert_eq!((snapshots(), volumes(&cellar)), (1, vec![living]));
    assert_eq!(
        (exists(&cellar, old), exists(&cellar, built)),
        (false, true)
    );
    assert_eq!(cellar.counts(&published), (2, 0, 2));
    let said = cellar.prune(&["--orphans"]).done();
    assert!(said.contains("dead runs left nothing\n"), "{said}");

    // The dead release can still be finished: what is gone is made again.
    cellar.house.publish(&folder, &[]);
    cellar.prune(&["--orphans"]).done();
}

/// A Region that was to be added and failed takes nothing from those that have the release.
#[test]
fn what_is_published_stays_where_another_region_fails() {
    let cellar = Cellar::new("");
    let release = cellar.release(1);
    cellar.promote(&release);
    cellar.days(8);
    let denied = json!({"error": {"status": 403, "code": "UnauthorizedOperation"}});
    let rule = json!({"operation": "CopyImage", "region": REGIONS[2], "action": denied});
    cellar.house.place.fault(rule);
    let add = ["publish", &release, "--add-region", REGIONS[2]];
    cellar.house.run(&add).failed(1);
    cellar.no_faults();
    assert_eq!(cellar.manifest(&release)["state"], "publishing");
    let said = cellar.prune(&["--orphans", "--yes"]).done();
    assert_eq!(said, "nothing to do\n");
    assert_eq!(cellar.counts(&release), (2, 0, 2));
    cellar.house.run(&add).done();
    assert_eq!(cellar.manifest(&release)["state"], "published");
}
