//! A build under the least policy that `doctor` prints for it.

use serde_json::Value;

use super::yard::{GOOD, Worker, Yard};
use crate::least::{self, cut, printed};
use crate::publish::house::REGIONS;

/// Has every command of the yard assume a role that this policy confines.
fn confine(yard: &Yard, worker: &Worker, policy: &Value) {
    least::confine(&yard.house, "least", policy);
    let config = yard.config(&worker.path, "");
    let role = least::role("least");
    let assumed = config.replace("[aws]\n", &format!("[aws]\nassume_role = \"{role}\"\n"));
    yard.house.configure(&assumed);
}

#[test]
fn the_least_policy_is_enough_for_builds_and_their_end() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    let least = printed(&yard.house, "build");
    confine(&yard, &worker, &least);
    let told = yard.build();
    yard.check_built(&told);

    // What fails is looked into and removed, or kept.
    let failing = Worker::new("report('here')\nsys.exit(1)");
    confine(&yard, &failing, &least);
    let said = yard.run(&["--keep-on-failure"]).failed(1);
    assert!(said.contains("is kept"), "{said}");
    let said = yard.run(&[]).failed(1);
    assert!(said.contains("left no result"), "{said}");
    yard.check_left(1);

    // With what publishing needs besides, it is published.
    confine(&yard, &worker, &printed(&yard.house, "build,publish"));
    let published = yard.house.publish(&yard.out(), &[]);
    yard.house.check(&published, &REGIONS[..2]);
}

#[test]
fn without_an_action_of_the_policy_it_says_which_is_missing() {
    let worker = Worker::new(GOOD);
    for action in ["ec2:RunInstances", "ec2:CreateSnapshot"] {
        let yard = Yard::new(&worker.path);
        let cut = cut(&printed(&yard.house, "build"), action);
        confine(&yard, &worker, &cut);
        let said = yard.run(&[]).failed(1);
        assert!(said.contains(action), "{action}: {said}");
        yard.check_left(0);
    }
}
