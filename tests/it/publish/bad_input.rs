//! One clear error before anything is made.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::{Value, json};

use super::house::{House, REGIONS};
use crate::sandbox::client::Expect as _;
use crate::sandbox::things;

/// The command is refused, says all of this, and nothing was made.
#[track_caller]
fn refused(house: &House, args: &[&str], words: &[&str]) {
    let ended = house.run(&[&["publish"], args].concat());
    assert_ne!(ended.status, 0, "{}", ended.stdout);
    let said = ended.stderr;
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    let says_what_next = ["next: ", "one looks like", "--help"];
    assert!(
        says_what_next.iter().any(|words| said.contains(words)),
        "{said}"
    );
    let errors = said.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{said}");
    for call in house.calls("") {
        let operation = call["operation"].as_str().unwrap_or_default();
        let makes = [
            "StartSnapshot",
            "RegisterImage",
            "CopyImage",
            "PutSnapshotBlock",
        ];
        assert!(!makes.contains(&operation), "{operation}: {said}");
    }
}

fn path(folder: &Path) -> &str {
    folder.to_str().expect("a path")
}

#[test]
fn images_that_are_not_what_was_built() {
    let house = House::new();
    let image = house.image("changed", &[(0, 1)]);
    let file = fs::File::options()
        .write(true)
        .open(image.join("image.raw"))
        .expect("a file");
    file.write_all_at(b"x", 4096).expect("written");
    refused(
        &house,
        &[path(&image)],
        &["SHA-256", "image.raw", "manifest.json"],
    );
    file.write_all_at(b"\x01", 4096).expect("written");
    let manifest = image.join("manifest.json");
    let good = fs::read_to_string(&manifest).expect("read");
    let json: Value = serde_json::from_str(&good).expect("JSON");
    for name in ["sha256", "blocks_sha256"] {
        let digest = json["image"][name].as_str().expect("a digest");
        for wrong in ["0".repeat(64), "nonsense".to_owned()] {
            fs::write(&manifest, good.replace(digest, &wrong)).expect("written");
            refused(&house, &[path(&image)], &["SHA-256", digest, &wrong]);
        }
    }
    fs::write(&manifest, good).expect("written");
    file.set_len(4096).expect("cut");
    refused(&house, &[path(&image)], &["length", "4096"]);
    drop(file);
    fs::remove_file(image.join("image.raw")).expect("removed");
    refused(&house, &[path(&image)], &["image.raw"]);
    fs::remove_file(image.join("manifest.json")).expect("removed");
    refused(&house, &[path(&image)], &["manifest.json"]);
    refused(&house, &["no/such/folder"], &["no/such/folder"]);
    refused(&house, &["nothing-of-that"], &["nothing-of-that"]);
}

#[test]
fn an_image_larger_than_the_volume() {
    let house = House::new();
    let image = house.image("large", &[(0, 1)]);
    let manifest = image.join("manifest.json");
    let size = (1u64 << 30) + 512;
    let file = fs::File::options()
        .write(true)
        .open(image.join("image.raw"))
        .expect("a file");
    file.set_len(size).expect("a length");
    let text = fs::read_to_string(&manifest).expect("read");
    let text = text.replace(&(64 * 524_288).to_string(), &size.to_string());
    fs::write(&manifest, text).expect("written");
    refused(&house, &[path(&image)], &["1073742336 bytes", "1 GiB"]);
}

#[test]
fn regions_and_keys() {
    let house = House::new();
    let image = house.image("one", &[(0, 1)]);
    let image = path(&image);
    refused(
        &house,
        &[image, "--regions", "Europe"],
        &["Europe", "eu-central-1"],
    );
    refused(&house, &[image, "--regions", "eu-west-9"], &["eu-west-9"]);
    refused(
        &house,
        &[image, "--regions", "eu-north-1"],
        &["eu-north-1", "key"],
    );
    refused(&house, &[image, "--regions", "af-south-1"], &["af-south-1"]);

    let good = house.config();
    let home = REGIONS[0];
    let with_key = |key: &str| {
        house.configure(&good.replace(&house.keys[home], key));
    };
    with_key("alias/aws/ebs");
    refused(&house, &[image], &["alias/aws/ebs", home]);
    with_key("alias/nothing");
    refused(&house, &[image], &["alias/nothing", home]);
    with_key(&house.keys[REGIONS[1]]);
    refused(&house, &[image], &[REGIONS[1], home]);

    let client = house.client(home);
    let key = things::key(&client);
    let id = json!({ "KeyId": key });
    client.kms("DisableKey", id).done("disabled");
    with_key(&key);
    refused(&house, &[image], &["disabled", &key]);
    let soon = json!({ "KeyId": key, "PendingWindowInDays": 7 });
    client.kms("ScheduleKeyDeletion", soon).done("scheduled");
    refused(&house, &[image], &["deletion", &key]);
}

#[test]
fn buckets_names_and_settings() {
    let house = House::new();
    let image = house.image("one", &[(0, 1)]);
    let image = path(&image);
    let good = house.config();
    house.configure(&good.replace("test-images", "no-such-bucket"));
    refused(&house, &[image], &["no-such-bucket"]);
    house.configure("");
    refused(&house, &[image], &["publisher", "home", "bucket", "keys"]);
    house.configure("[publish]\nhome = \"Frankfurt\"\n");
    refused(&house, &[image], &["alpine-ami.toml:2", "Frankfurt"]);
    house.configure("[publish]\nhomes = \"eu-central-1\"\n");
    refused(&house, &[image], &["homes", "home"]);
    house.configure(&good.replace("\"tests\"", "\"te&sts\""));
    refused(&house, &[image], &["te&sts", "`&`"]);

    house.configure(&good);
    let client = house.client(REGIONS[1]);
    let snapshot = things::snapshot(&client, &[], None);
    let today = time::OffsetDateTime::now_utc().date();
    let day = today.to_string().replace('-', "");
    let name = format!("tests/base/3.15/alpine-3.15.11/x86_64/{day}.1");
    let taken = things::image(&client, &name, &snapshot);
    let ended = house.run(&["publish", image]);
    let said = ended.failed(1);
    for word in [name.as_str(), taken.as_str(), REGIONS[1]] {
        assert!(said.contains(word), "{said}");
    }
    assert!(
        house
            .calls("operation=StartSnapshot&region=us-east-1")
            .is_empty()
    );
}

#[test]
fn credentials() {
    let house = House::new();
    let image = house.image("one", &[(0, 1)]);
    let run = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = house.program();
        change(&mut command);
        let output = command.args(["publish", path(&image)]).output();
        crate::support::Ended::from(output.expect("it starts")).failed(1)
    };
    let none = run(&|command| {
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY");
    });
    assert!(none.contains("credentials"), "{none}");
    assert!(none.contains("aws configure"), "{none}");
    let unknown = run(&|command| {
        command.env("AWS_ACCESS_KEY_ID", "AKIANOBODY0000000000");
    });
    assert!(unknown.contains("sts:GetCallerIdentity"), "{unknown}");
    let nobody = run(&|command| {
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    });
    assert!(nobody.contains("AWS_ENDPOINT_URL"), "{nobody}");
}
