//! `doctor`, and a pipeline under the least policy that it prints.

use serde_json::{Value, json};

use super::house::{House, REGIONS};
use crate::sandbox::client::Expect as _;
use crate::support::Ended;

/// The program in a session of a role that may do what this policy says.
struct Confined<'a> {
    house: &'a House,
    keys: [String; 3],
}

impl Confined<'_> {
    fn new<'a>(house: &'a House, policy: &str) -> Confined<'a> {
        let policy: Value = serde_json::from_str(policy).expect("JSON");
        house
            .place
            .control("PUT", "policies/least?account=publisher", policy);
        let role = format!(
            "arn:aws:iam::{}:role/least",
            crate::sandbox::place::PUBLISHER
        );
        let answer = house
            .client(REGIONS[0])
            .sts(
                "AssumeRole",
                &[("RoleArn", &role), ("RoleSessionName", "test")],
            )
            .done("a session");
        let part = |name: &str| {
            answer
                .text(&format!("AssumeRoleResult/Credentials/{name}"))
                .to_owned()
        };
        let keys = ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(part);
        Confined { house, keys }
    }

    fn run(&self, args: &[&str]) -> Ended {
        let [id, secret, session] = &self.keys;
        let output = self
            .house
            .program()
            .env("AWS_ACCESS_KEY_ID", id)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_SESSION_TOKEN", session)
            .args(args)
            .output();
        Ended::from(output.expect("it starts"))
    }
}

#[test]
fn the_least_policy_is_enough_for_the_pipeline_and_no_more() {
    let house = House::new();
    let policy = house.run(&["doctor", "--iam-policy"]).done();
    let confined = Confined::new(&house, &policy);
    let image = house.image("one", &[(0, 1), (1, 1)]);
    let folder = image.to_str().expect("a path");

    let report = confined.run(&["doctor", "--output", "json"]).done();
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert!(
        report["checks"]
            .as_array()
            .is_some_and(|checks| checks.len() > 20)
    );

    let args = ["publish", folder, "--verify", "--output", "json"];
    let first: Value = serde_json::from_str(&confined.run(&args).done()).expect("JSON");
    house.check(&first, &REGIONS[..2]);
    // What only a failure needs: a copy that fails is taken away, and made again.
    house.place.fault(json!({
        "operation": "CopyImage", "times": 1, "action": {"fail-later": {"reason": "bad luck"}}
    }));
    let other = house.image("two", &[(0, 1), (1, 2)]);
    let args = [
        "publish",
        other.to_str().expect("a path"),
        "--output",
        "json",
    ];
    assert!(confined.run(&args).failed(1).contains("bad luck"));
    let second: Value = serde_json::from_str(&confined.run(&args).done()).expect("JSON");
    house.check(&second, &REGIONS[..2]);
    house.check_no_orphans(2);
    let release = |told: &Value| told["release"].as_str().expect("a release").to_owned();
    // It may read what it compares, which is no disk image here.
    let said = confined
        .run(&["diff", &release(&first), &release(&second)])
        .failed(2);
    assert!(said.contains("no disk image"), "{said}");

    // Without an action that it names, something is refused.
    let publishing = house.run(&["doctor", "--iam-policy", "publish"]).done();
    let publishing: Value = serde_json::from_str(&publishing).expect("JSON");
    for action in [
        "ebs:PutSnapshotBlock",
        "ec2:CopyImage",
        "kms:CreateGrant",
        "s3:PutObject",
    ] {
        let mut cut = publishing.clone();
        for statement in cut["Statement"].as_array_mut().expect("statements") {
            let actions = statement["Action"].as_array_mut().expect("actions");
            actions.retain(|allowed| allowed != action);
        }
        let statements = cut["Statement"].as_array_mut().expect("statements");
        statements.retain(|statement| {
            statement["Action"]
                .as_array()
                .is_some_and(|a| !a.is_empty())
        });
        let confined = Confined::new(&house, &cut.to_string());
        let image = house.image(
            &action.replace(':', "-"),
            &[(0, 1), (2, action.len() as u8)],
        );
        let said = confined
            .run(&["publish", image.to_str().expect("a path")])
            .failed(1);
        let service = action.split(':').next().expect("a service");
        assert!(
            said.contains(service) || said.contains("key"),
            "{action}: {said}"
        );
    }
}

#[test]
fn the_doctor_says_what_works_and_what_does_not() {
    let house = House::new();
    let healthy = house.run(&["doctor"]);
    assert_eq!(healthy.status, 0, "{}{}", healthy.stdout, healthy.stderr);
    for word in [
        "test-images",
        REGIONS[0],
        REGIONS[1],
        "111111111111",
        "ec2:CopyImage",
    ] {
        assert!(healthy.stdout.contains(word), "{word}: {}", healthy.stdout);
    }
    house.configure(&house.config().replace("test-images", "no-such-bucket"));
    let ill = house.run(&["doctor", "--output", "json"]);
    assert_eq!(ill.status, 1, "{}", ill.stderr);
    let report: Value = serde_json::from_str(&ill.stdout).expect("JSON");
    let failed: Vec<&Value> = report["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter(|check| check["status"] == "failed")
        .collect();
    let text = serde_json::to_string(&failed).expect("JSON");
    assert!(text.contains("no-such-bucket"), "{text}");
    assert!(
        failed.iter().all(|check| check["advice"].is_string()),
        "{text}"
    );
}
