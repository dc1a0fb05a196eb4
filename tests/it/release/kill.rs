//! Promotion, rollback and withdrawal, killed at each call and run again: the same end.

use serde_json::{Value, json};

use super::{configured, current, object, payload};
use crate::kills::{Point, killed_at, points};
use crate::publish::house::{House, REGIONS};
use crate::sandbox::client::Expect as _;
use crate::sandbox::place::CUSTOMER;
use crate::share::street::{PLACES, Release, Street};

/// A publisher whose key is KMS's, with a customer of each kind, of whom only one has access so far.
struct Scene {
    street: Street,
    first: Release,
    second: Release,
}

impl Scene {
    /// With the first release in `stable`.
    fn new() -> Scene {
        let street = Street::new();
        let house = &street.house;
        let kms = house.client(REGIONS[0]);
        let spec = json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"});
        let key = kms.kms("CreateKey", spec).done("a key");
        let key = key["KeyMetadata"]["KeyId"].as_str().expect("an id");
        configured(house, &format!("[signing]\nkey = \"{key}\"\n"));
        street.file(&["acme"], "");
        let (first, second) = (street.release(&[(0, 1)]), street.release(&[(0, 1), (1, 2)]));
        street.promote(&first);
        street.file(&["acme", "globex", "umbrella"], "");
        Scene {
            street,
            first,
            second,
        }
    }

    /// Kills a command at each of its calls, from the same beginning, and runs it again: it comes to
    /// what it comes to without that, and `check` finds it so. How many points there were.
    fn each(&mut self, args: &[&str], check: impl Fn(&Scene)) -> usize {
        self.street.house.place.keep();
        let points = points(&self.street.house, args);
        check(self);
        let expected = self.street.states();
        let killed = points.iter().filter(|point| {
            self.street.house.place.go_back();
            self.killed(args, point, &expected, &check)
        });
        let killed = killed.count();
        assert!(
            killed + 3 > points.len(),
            "{killed} of {} calls",
            points.len()
        );
        killed
    }

    fn killed(
        &self,
        args: &[&str],
        point: &Point,
        expected: &[Value],
        check: &impl Fn(&Scene),
    ) -> bool {
        let house = &self.street.house;
        let was_killed = killed_at(house, args, point);
        let ended = house.run(args);
        // What was cut off after its last write has nothing left to do.
        let is_there = ended.status == 2 && ended.stderr.contains("already");
        assert!(ended.status == 0 || is_there, "{point}: {}", ended.stderr);
        assert_eq!(self.street.states(), expected, "{point}");
        check(self);
        was_killed
    }

    /// Channel, page and AWS say that this is what customers get.
    #[track_caller]
    fn holds(&self, release: &Release) {
        let house = &self.street.house;
        assert_eq!(current(house, "stable"), [release.id()]);
        let channel = payload(&object(house, "channels/stable.json").expect("a channel"));
        let listed = channel["releases"].as_array().expect("releases");
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0]["release"], json!(release.id()));
        let page = object(house, "catalog/index.html").expect("a page");
        for region in PLACES {
            assert_eq!(listed[0]["regions"][region]["ami"], release.ami(region));
            assert!(page.contains(release.ami(region)));
            let who = permissions(house, region, release.ami(region));
            assert_eq!(who.len(), 3, "{region}: {who:?}");
        }
    }
}

/// Access is given, keys too, and the channel moves.
#[test]
fn a_promotion_killed_at_each_call_and_run_again() {
    let mut scene = Scene::new();
    let second = scene.second.id().to_owned();
    let killed = scene.each(&["promote", &second, "--to", "stable"], |scene| {
        scene.holds(&scene.second);
    });
    assert!(killed > 60, "only {killed} calls were met");
}

#[test]
fn a_rollback_killed_at_each_call_and_run_again() {
    let mut scene = Scene::new();
    scene.street.promote(&scene.second);
    let killed = scene.each(&["rollback", "stable"], |scene| scene.holds(&scene.first));
    assert!(killed > 40, "only {killed} calls were met");
}

/// It goes out of both channels, is hidden, and is taken from everybody who has no use of it.
#[test]
fn a_withdrawal_killed_at_each_call_and_run_again() {
    let mut scene = Scene::new();
    let house = &scene.street.house;
    scene.street.promote(&scene.second);
    let to_nightly = ["promote", scene.second.id(), "--to", "nightly"];
    house.run(&to_nightly).done();
    // As good as an instance: the launch template of an account.
    let params = [
        ("LaunchTemplateName", "nodes"),
        ("LaunchTemplateData.ImageId", scene.second.ami(PLACES[0])),
    ];
    let acme = scene.street.acme.in_region(PLACES[0]);
    acme.ec2("CreateLaunchTemplate", &params).done("a template");
    let args = ["rollback", "stable", "--withdraw", "--reason", "a hole"];
    let killed = scene.each(&args, |scene| {
        scene.holds(&scene.first);
        withdrawn(&scene.street.house, &scene.second);
    });
    assert!(killed > 80, "only {killed} calls were met");
}

/// The accounts and organizations that may launch an AMI.
fn permissions(house: &House, region: &str, ami: &str) -> Vec<String> {
    let params = [("ImageId", ami), ("Attribute", "launchPermission")];
    let who = house.client(region).ec2("DescribeImageAttribute", &params);
    let who = who.done("permissions");
    let names = ["userId", "organizationArn"].map(|name| who.all(name));
    names.concat().into_iter().map(str::to_owned).collect()
}

/// A release is nobody's but the account's that has a use of it, and everybody is told.
#[track_caller]
fn withdrawn(house: &House, release: &Release) {
    assert_eq!(current(house, "nightly"), Vec::<String>::new());
    for (region, expected) in [(PLACES[0], vec![CUSTOMER]), (PLACES[1], vec![])] {
        let client = house.client(region);
        let who = permissions(house, region, release.ami(region));
        assert_eq!(who, expected, "{region}");
        let image = client.ec2("DescribeImages", &[("ImageId.1", release.ami(region))]);
        let image = image.done("an image");
        assert!(image.get("imagesSet/item[0]/deprecationTime").is_some());
    }
    let paper = object(house, &format!("releases/{}/release.json", release.id()));
    let withdrawal = &payload(&paper.expect("it is signed"))["withdrawn"];
    assert_eq!(withdrawal["reason"], "a hole");
    let running = json!({ PLACES[0]: [CUSTOMER], PLACES[1]: [] });
    assert_eq!(withdrawal["running"], running);
    let page = object(house, "catalog/index.html").expect("a page");
    assert!(page.contains("<strong>This release was withdrawn.</strong>"));
    let said = house.run(&["promote", release.id(), "--to", "stable"]);
    assert!(said.failed(2).contains("it was withdrawn by"));
}
