//! Whose credentials a publish runs with, and what becomes of it when they end.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::house::{House, REGIONS};
use crate::sandbox::place::PUBLISHER;
use crate::support::Ended;

/// Publishes; what is printed, and who is said to have registered the AMI.
#[track_caller]
fn publish(house: &House, name: &str, change: impl FnOnce(&mut std::process::Command)) -> String {
    let byte = u8::try_from(name.len()).expect("a byte");
    let image = house.image(name, &[(0, 1), (1, byte)]);
    let mut command = house.program();
    change(&mut command);
    let folder = image.to_str().expect("a path");
    let output = command
        .args(["publish", folder, "--output", "json"])
        .output()
        .expect("it starts");
    let told: Value = serde_json::from_str(&Ended::from(output).done()).expect("JSON");
    house.check(&told, &REGIONS[..2]);
    let registered = house.calls("operation=RegisterImage");
    let last = registered.last().expect("a call");
    last["principal"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_role_is_assumed_and_its_session_renewed() {
    let house = House::new();
    let role = |name: &str| format!("arn:aws:iam::{PUBLISHER}:role/{name}");
    let good = house.config();
    house.configure(&format!("{good}assume_role = \"{}\"\n", role("builder")));
    let who = publish(&house, "one", |_| {});
    assert!(who.contains("assumed-role/builder/alpine-ami"), "{who}");

    let roles = format!("roles = {{ publish = \"{}\" }}\n", role("publisher"));
    house.configure(&format!(
        "{good}assume_role = \"{}\"\n{roles}",
        role("builder")
    ));
    // The session ends in the middle, more than once, whatever its expiry said.
    for (operation, nth) in [
        ("StartSnapshot", 1),
        ("CompleteSnapshot", 1),
        ("CopyImage", 1),
    ] {
        house.place.fault(json!({
            "operation": operation, "nth": nth, "action": "expire-credentials"
        }));
    }
    let who = publish(&house, "second", |_| {});
    assert!(who.contains("assumed-role/publisher/alpine-ami"), "{who}");
    assert!(house.calls("operation=AssumeRole").len() >= 5);
}

#[test]
fn keys_that_end_stop_it_at_once() {
    let house = House::new();
    house
        .place
        .fault(json!({"operation": "StartSnapshot", "action": "expire-credentials"}));
    let image = house.image("one", &[(0, 1)]);
    let said = house
        .run(&["publish", image.to_str().expect("a path")])
        .failed(1);
    assert!(
        said.contains("ebs:StartSnapshot") && said.contains("renew"),
        "{said}"
    );
    assert_eq!(house.calls("operation=StartSnapshot").len(), 1);
}

#[test]
fn a_profile_and_a_web_identity_are_taken() {
    let house = House::new();
    let (id, secret) = {
        let keys = house.place.publisher().keys;
        (keys.id, keys.secret)
    };
    let profile = format!(
        "[profile images]\nrole_arn = arn:aws:iam::{PUBLISHER}:role/of-profile\n\
         source_profile = base\nregion = us-west-2\n[profile base]\n\
         aws_access_key_id = {id}\naws_secret_access_key = {secret}\n"
    );
    fs::write(house.folder().join("aws-config"), profile).expect("written");
    let good = house.config();
    house.configure(&format!("{good}profile = \"images\"\n"));
    let without_keys = |command: &mut std::process::Command| {
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY");
    };
    let who = publish(&house, "one", without_keys);
    assert!(who.contains("assumed-role/of-profile/"), "{who}");

    house.configure(&good);
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": "https://ci.example", "sub": "repo:main", "exp": 4_102_444_800_u64});
    let token = format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(claims));
    let file = house.folder().join("token");
    fs::write(&file, token).expect("written");
    let who = publish(&house, "second", |command| {
        without_keys(command);
        command
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", &file)
            .env("AWS_ROLE_ARN", format!("arn:aws:iam::{PUBLISHER}:role/ci"))
            .env("AWS_ROLE_SESSION_NAME", "nightly");
    });
    assert!(who.contains("assumed-role/ci/nightly"), "{who}");
}
