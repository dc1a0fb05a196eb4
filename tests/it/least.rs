//! Least policies as `doctor` prints them, whole and with an action less, for a role of the publisher's.

use serde_json::{Value, json};

use crate::publish::house::House;
use crate::sandbox::place::PUBLISHER;
use crate::support::Ended;

/// The ARN of a role.
pub fn role(name: &str) -> String {
    format!("arn:aws:iam::{PUBLISHER}:role/{name}")
}

/// The least policy for some commands, with commas between them.
#[track_caller]
pub fn printed(house: &House, commands: &str) -> Value {
    let printed = house.run(&["doctor", "--iam-policy", commands]);
    serde_json::from_str(&printed.done()).expect("JSON")
}

/// Lets a role do what a policy says.
pub fn confine(house: &House, role: &str, policy: &Value) {
    let path = format!("policies/{role}?account=publisher");
    house.place.control("PUT", &path, policy.clone());
}

/// What a policy allows.
pub fn actions(policy: &Value) -> Vec<String> {
    let statements = policy["Statement"].as_array().expect("statements").iter();
    let allowed = statements.filter(|statement| statement["Effect"] == "Allow");
    let actions = allowed.flat_map(|statement| statement["Action"].as_array().expect("actions"));
    let mut actions: Vec<String> = actions
        .map(|action| action.as_str().expect("an action").to_owned())
        .collect();
    actions.sort_unstable();
    actions.dedup();
    actions
}

/// The policy without an action.
pub fn cut(policy: &Value, action: &str) -> Value {
    let mut cut = policy.clone();
    let statements = cut["Statement"].as_array_mut().expect("statements");
    for statement in statements.iter_mut() {
        let actions = statement["Action"].as_array_mut().expect("actions");
        actions.retain(|allowed| allowed != action);
    }
    statements.retain(|statement| statement["Action"] != json!([]));
    cut
}

/// What a command said that could not do all, on both its outputs.
pub fn said(ended: &Ended) -> String {
    format!("{}{}", ended.stdout, ended.stderr)
}

/// Whether words name an action; of a pattern, one that begins as it does.
pub fn names(words: &str, action: &str) -> bool {
    let begin = action.split('*').next().unwrap_or(action);
    words.contains(begin)
}
