//! A channel's gate, and what a promotion shows.

use serde_json::{Value, json};

use super::{configured, current, forged, key, object, put, release, signing};
use crate::publish::house::{House, REGIONS};
use crate::share::street::{PLACES, Street};

#[track_caller]
fn refused(house: &House, args: &[&str], words: &[&str]) {
    let before = object(house, "channels/stable.json");
    let said = house.run(&[&["promote"], args].concat()).failed(2);
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    assert_eq!(object(house, "channels/stable.json"), before);
}

#[test]
fn only_what_is_signed_comes_in() {
    let house = House::new();
    let unsigned = release(&house, 1);
    signing(&house);
    let to_stable = [unsigned.as_str(), "--to", "stable"];
    let advice = format!("alpine-ami publish {unsigned}");
    refused(
        &house,
        &to_stable,
        &["it is not signed", &advice, "nothing was moved"],
    );
    // As the advice says.
    house.run(&["publish", &unsigned]).done();
    let said = house.run(&["promote", &unsigned, "--to", "stable", "--dry-run"]);
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert_eq!(current(&house, "stable"), Vec::<String>::new());

    let path = format!("releases/{unsigned}/release.json");
    let text = object(&house, &path).expect("it is signed");
    put(
        &house,
        &path,
        &forged(&text, |said| said["name"] = json!("another")),
    );
    refused(&house, &to_stable, &["was changed after it was signed"]);
    put(&house, &path, &text);
    // The manifest that the publisher's own commands go by.
    let plain = format!("releases/{unsigned}/manifest.json");
    let manifest = object(&house, &plain).expect("a manifest");
    put(
        &house,
        &plain,
        &manifest.replace("\"tool\": \"", "\"tool\": \"x"),
    );
    refused(&house, &to_stable, &["one of them was changed"]);
    put(&house, &plain, &manifest);
    key(house.folder(), "signing.pem");
    refused(&house, &to_stable, &["it is signed by the key"]);
}

#[test]
fn a_gate_asks_for_a_test_for_age_and_for_somebody_by_name() {
    let house = House::new();
    configured(
        &house,
        "[[channels]]\nname = \"candidate\"\n[[channels]]\nname = \"stable\"\n\
         gate = { tested = true, min_age_hours = 24, approvers = [\"ada\", \"grace\"] }\n",
    );
    let id = release(&house, 1);
    let to_stable = [id.as_str(), "--to", "stable"];
    refused(
        &house,
        &to_stable,
        &[
            "no test of",
            "it is not in candidate",
            "one of these must: ada, grace",
            "--approved-by NAME",
        ],
    );
    // A test is made and the folder published again.
    let image = std::fs::read_to_string(house.folder().join("image-1/manifest.json"));
    let image: Value = serde_json::from_str(&image.expect("a manifest")).expect("JSON");
    let tested = |passed: bool| {
        // The latest counts.
        let at = if passed {
            "2026-01-02T00:00:00Z"
        } else {
            "2026-01-01T00:00:00Z"
        };
        let tested = json!({
            "image_sha256": image["image"]["sha256"],
            "at": at,
            "passed": passed, "firmware": "uefi", "accel": "tcg", "boot_seconds": 12.5,
            "memory_used_bytes": 1, "root_used_bytes": 1, "checks": {}, "tool": "tests",
        });
        std::fs::write(house.folder().join("image-1/test.json"), tested.to_string())
            .expect("written");
        house.run(&["publish", "image-1"]).done();
    };
    tested(false);
    refused(&house, &to_stable, &["did not pass"]);
    tested(true);
    house.run(&["promote", &id, "--to", "candidate"]).done();
    refused(
        &house,
        &to_stable,
        &["it has been 0 h in candidate, not 24", "wait for"],
    );
    house.place.advance(86_400);
    let by = |name: &str| [id.as_str(), "--to", "stable", "--approved-by", name].map(str::to_owned);
    let eve = by("eve");
    let eve: Vec<&str> = eve.iter().map(String::as_str).collect();
    refused(&house, &eve, &["eve is none of those who approve"]);
    let args = [&["promote".to_owned()], &by("ada")[..]].concat();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = house.run(&args).done();
    let words = [
        "ok  its test passed",
        "24 h in candidate",
        "approved by ada",
        "available in 2 Regions",
    ];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    let stay = object(&house, "channels/stable.json").expect("a channel");
    assert!(stay.contains("\"approved_by\": \"ada\""), "{stay}");
}

#[test]
fn customers_have_access_before_the_channel_moves() {
    let street = Street::new();
    street.file(&["acme", "globex"], "");
    let first = street.release(&[(0, 1)]);
    let house = &street.house;
    let told = house
        .run(&["promote", first.id(), "--to", "stable", "--output", "json"])
        .done();
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["customers"], json!(["acme", "globex"]));
    // Nothing is left for `share apply` to give.
    let (status, plan) = street.plan(&[]);
    assert_eq!(status, 0, "{plan}");
    for region in PLACES {
        assert_eq!(
            crate::share::street::seen(&street.acme, region),
            [first.ami(region)]
        );
    }
    // A customer who needs it where it is not.
    street.file(
        &["acme"],
        &format!("regions = [\"{}\", \"{}\"]", PLACES[0], REGIONS[2]),
    );
    let config = house.config().replace(
        &format!("regions = [\"{}\", \"{}\"]", REGIONS[0], REGIONS[1]),
        &format!("regions = [\"{}\"]", REGIONS.join("\", \"")),
    );
    house.configure(&config);
    let second = house.image("second", &[(0, 7)]);
    let regions = PLACES.join(",");
    let second = house.publish(&second, &["--regions", &regions]);
    let second = second["release"].as_str().expect("an id");
    refused(
        house,
        &[second, "--to", "stable"],
        &["acme needs it in", REGIONS[2], "--add-region"],
    );
    assert_eq!(current(house, "stable"), [first.id()]);
}

#[test]
fn the_page_and_the_schemas_are_there_and_agree() {
    let house = House::new();
    signing(&house);
    let first = release(&house, 1);
    house
        .run(&[
            "promote",
            &first,
            "--to",
            "stable",
            "--reason",
            "the first <one>",
        ])
        .done();
    let page = object(&house, "catalog/index.html").expect("a page");
    for image in house.images(REGIONS[1]) {
        assert!(page.contains(image.text("imageId")), "an AMI is missing");
    }
    assert!(page.contains("the first &lt;one&gt;") && page.contains(&first));
    let document = super::payload(&object(&house, "channels/stable.json").expect("a channel"));
    let schema = object(&house, "catalog/channel.schema.json").expect("a schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    assert!(
        schema.is_valid(&document),
        "{:?}",
        schema.validate(&document).err()
    );
    assert!(!schema.is_valid(&json!({"schema": 2})));
    let manifest = object(&house, &format!("releases/{first}/release.json")).expect("signed");
    let manifest = super::payload(&manifest);
    let schema = object(&house, "catalog/release.schema.json").expect("a schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    assert!(
        schema.is_valid(&manifest),
        "{:?}",
        schema.validate(&manifest).err()
    );
    // Earlier versions stay.
    let second = release(&house, 2);
    house.run(&["promote", &second, "--to", "stable"]).done();
    let earlier = object(&house, "channels/stable/1.json").expect("the first version");
    assert_eq!(super::payload(&earlier), document);
    let now = super::payload(&object(&house, "channels/stable.json").expect("a channel"));
    assert_eq!((&now["serial"], &now["schema"]), (&json!(2), &json!(2)));
}

/// Written before there were signatures: read, and signed at the next move.
#[test]
fn channels_of_the_first_format_are_read() {
    let house = House::new();
    let (first, second) = (release(&house, 1), release(&house, 2));
    let old = json!({"schema": 1, "channel": "stable", "stays": [
        {"release": first, "since": "2026-01-01T00:00:00Z", "by": "somebody"}]});
    put(&house, "channels/stable.json", &old.to_string());
    signing(&house);
    house.run(&["publish", &second]).done();
    let ended = house.run(&["promote", &second, "--to", "stable"]);
    assert!(
        ended.stderr.contains("stable.json is not signed"),
        "{}",
        ended.stderr
    );
    let said = ended.done();
    assert!(said.contains(&format!("in the place of {first}")), "{said}");
    let kept = object(&house, "channels/stable/0.json").expect("what was there");
    assert_eq!(kept, old.to_string());
    assert_eq!(current(&house, "stable"), [second]);
}
