//! `prune --orphans --yes`, killed at each call and run again.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::cellar::{Cellar, PLACES};
use crate::kills::{Point, killed_at, points};
use crate::publish::house::BUCKET;
use crate::release::object;
use crate::sandbox::client::{Call, Expect as _};

const ARGS: [&str; 3] = ["prune", "--orphans", "--yes"];

/// Releases of which each has something else before it.
struct Scene {
    cellar: Cellar,
    /// Used by a customer.
    used: String,
    /// In a channel, and hidden all the same.
    back: String,
    /// Deprecated, and due to be deregistered.
    due: String,
    due_amis: [String; 2],
    /// To be deprecated.
    old: String,
    /// The newest.
    new: String,
}

impl Scene {
    /// Each release is to go as soon as there is another one.
    fn new() -> Scene {
        let cellar = Cellar::new(
            "[[channels]]\nname = \"stable\"\nkeep = { releases = 0, days = 0 }\n\
             [prune]\nderegister_after_days = 1\nunpromoted_days = 0\nversion_days = 0\n",
        );
        let release = |number| {
            // Of the same day: releases of one second would be equally new.
            cellar.house.place.advance(60);
            cellar.release(number)
        };
        let (used, back, due, old) = (release(1), release(2), release(3), release(4));
        let ami = cellar.ami(PLACES[1], &used).expect("an AMI");
        cellar.share(PLACES[1], &ami);
        let customer = cellar.house.place.customer().in_region(PLACES[1]);
        cellar.template(&customer, &ami);
        // The page tells of what was there before, too.
        cellar.promote(&due);
        cellar.promote(&back);
        cellar.prune(&["--yes"]).done();
        assert_eq!(cellar.counts(&due), (2, 2, 2));
        let new = release(5);
        let ami = |region| cellar.ami(region, &due).expect("an AMI");
        let scene = Scene {
            due_amis: PLACES.map(ami),
            used,
            back,
            due,
            old,
            new,
            cellar,
        };
        scene.hide();
        scene.cellar.dead_run(9);
        assert_eq!(scene.cellar.house.snapshots(PLACES[0]).len(), 6);
        scene.cellar.days(8);
        scene
    }

    /// What is in the channel is as `prune` leaves what is to go.
    fn hide(&self) {
        let house = &self.cellar.house;
        let soon = OffsetDateTime::now_utc() + time::Duration::days(1);
        let soon = soon.format(&Rfc3339).expect("a time");
        for region in PLACES {
            let ami = self.cellar.ami(region, &self.back).expect("an AMI");
            let params = [("ImageId", &*ami), ("DeprecateAt", &*soon)];
            let hidden = house.client(region).ec2("EnableImageDeprecation", &params);
            hidden.done("a deprecation");
        }
        let mut manifest = self.cellar.manifest(&self.back);
        manifest["retired"] = json!({"deprecated": "2026-01-01T00:00:00Z"});
        let key = format!("/{BUCKET}/releases/{}/manifest.json", self.back);
        let put = Call::new("PUT", &key).body(manifest.to_string());
        house.client(PLACES[0]).s3(&put).done("a manifest");
    }

    /// All of it is done, and nothing else.
    #[track_caller]
    fn check(&self, point: &str) {
        let cellar = &self.cellar;
        let counts = [&self.used, &self.back, &self.due, &self.old, &self.new];
        let counts = counts.map(|release| cellar.counts(release));
        let expected = [(2, 0, 2), (2, 0, 2), (0, 0, 0), (2, 2, 2), (2, 0, 2)];
        assert_eq!(counts, expected, "{point}");
        let snapshots = cellar.house.snapshots(PLACES[0]).len();
        assert_eq!(snapshots, 4, "{point}: the dead run's is there");
        let page = object(&cellar.house, "catalog/index.html").expect("a page");
        assert!(page.contains(&self.back), "{point}");
        for ami in &self.due_amis {
            assert!(!page.contains(ami), "{point}: the page has {ami}");
        }
        let retired = |release| cellar.manifest(release)["retired"].clone();
        assert!(retired(&self.due)["deregistered"].is_string(), "{point}");
        let old = retired(&self.old);
        assert!(old["deprecated"].is_string(), "{point}");
        assert!(old["deregistered"].is_null(), "{point}");
        for kept in [&self.used, &self.back, &self.new] {
            assert!(retired(kept).is_null(), "{point}: {kept}");
        }
    }

    fn killed(&self, point: &Point) -> bool {
        let was_killed = killed_at(&self.cellar.house, &ARGS, point);
        let ended = self.cellar.house.run(&ARGS);
        assert_eq!(ended.status, 0, "{point}: {}", ended.stderr);
        self.check(&point.to_string());
        was_killed
    }
}

/// A run that deprecates, deregisters, takes a deprecation back and sweeps.
#[test]
fn killed_at_each_call_and_run_again() {
    let mut scene = Scene::new();
    scene.cellar.house.place.keep();
    let points = points(&scene.cellar.house, &ARGS);
    scene.check("not killed");
    let killed = points.iter().filter(|point| {
        scene.cellar.house.place.go_back();
        scene.killed(point)
    });
    let killed = killed.count();
    assert!(
        killed + 3 > points.len(),
        "{killed} of {} calls",
        points.len()
    );
    assert!(killed > 60, "only {killed} calls were met");
}
