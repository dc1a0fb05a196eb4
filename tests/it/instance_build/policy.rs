//! A build under the least policy that `doctor` prints for it.

use serde_json::{Value, json};

use super::yard::{GOOD, Worker, Yard};
use crate::publish::house::REGIONS;
use crate::sandbox::place::PUBLISHER;

/// Has every command of the yard assume a role that this policy confines.
fn confine(yard: &Yard, worker: &Worker, policy: &Value) {
    let path = "policies/least?account=publisher";
    yard.house.place.control("PUT", path, policy.clone());
    let role = format!("arn:aws:iam::{PUBLISHER}:role/least");
    let config = yard.config(&worker.path, "");
    let assumed = config.replace("[aws]\n", &format!("[aws]\nassume_role = \"{role}\"\n"));
    yard.house.configure(&assumed);
}

fn policy(yard: &Yard, commands: &str) -> Value {
    let printed = yard.house.run(&["doctor", "--iam-policy", commands]).done();
    serde_json::from_str(&printed).expect("JSON")
}

#[test]
fn the_least_policy_is_enough_for_builds_and_their_end() {
    let worker = Worker::new(GOOD);
    let yard = Yard::new(&worker.path);
    let least = policy(&yard, "build");
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
    confine(&yard, &worker, &policy(&yard, "build,publish"));
    let published = yard.house.publish(&yard.out(), &[]);
    yard.house.check(&published, &REGIONS[..2]);
}

#[test]
fn without_an_action_of_the_policy_it_says_which_is_missing() {
    let worker = Worker::new(GOOD);
    for action in ["ec2:RunInstances", "ec2:CreateSnapshot"] {
        let yard = Yard::new(&worker.path);
        let mut cut = policy(&yard, "build");
        let statements = cut["Statement"].as_array_mut().expect("statements");
        for statement in statements.iter_mut() {
            let actions = statement["Action"].as_array_mut().expect("actions");
            actions.retain(|allowed| allowed != action);
        }
        statements.retain(|statement| statement["Action"] != json!([]));
        confine(&yard, &worker, &cut);
        let said = yard.run(&[]).failed(1);
        assert!(said.contains(action), "{action}: {said}");
        yard.check_left(0);
    }
}
