//! What is signed, and what is not as it was signed.

use std::fs;
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{configured, forged, has_openssl, key, object, payload, put, release, signing};
use crate::publish::house::{House, REGIONS};
use crate::sandbox::client::Expect as _;
use crate::sandbox::things;
use crate::support::Ended;

fn saved(house: &House, name: &str, text: &str) {
    fs::write(house.folder().join(name), text).expect("written");
}

/// What it says of something that is not as it was signed.
#[track_caller]
fn not_signed(ended: Ended) -> String {
    assert_eq!(ended.status, 3, "{}", ended.stderr);
    ended.stdout
}

fn verify_file(house: &House, name: &str, key: &str) -> Ended {
    house.run(&["verify", "--manifest", name, "--key", key])
}

#[test]
fn what_is_published_is_signed_and_verified_without_aws() {
    let house = House::new();
    signing(&house);
    let release = release(&house, 1);
    let text = object(&house, &format!("releases/{release}/release.json")).expect("it is signed");
    saved(&house, "release.json", &text);
    let said = verify_file(&house, "release.json", "signing.pem.pub").done();
    let words = format!("release.json is what the publisher signed: {release}");
    assert!(said.contains(&words), "{said}");
    let manifest = payload(&text);
    assert_eq!(manifest["release"], json!(release));
    assert_eq!(manifest["state"], "published");
    assert_eq!(manifest["sbom"]["name"], "sbom.spdx.json");
    assert!(manifest["regions"][REGIONS[1]]["ami"].is_string());

    let provenance = object(
        &house,
        &format!("releases/{release}/provenance.intoto.json"),
    );
    let provenance = provenance.expect("it is signed");
    saved(&house, "provenance.json", &provenance);
    verify_file(&house, "provenance.json", "signing.pem.pub").done();
    let statement = payload(&provenance);
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(
        statement["subject"][0]["digest"]["sha256"],
        manifest["source"]["sha256"]
    );
    assert_eq!(statement["subject"].as_array().map(Vec::len), Some(3));

    // Published again, nothing is signed again.
    let again = house.run(&["publish", &release, "--exit-unchanged"]);
    assert_eq!(again.status, 4, "{}", again.stderr);

    let changed = forged(&text, |manifest| {
        manifest["regions"][REGIONS[1]]["ami"] = json!("ami-0123456789abcdef0");
    });
    saved(&house, "changed.json", &changed);
    let said = not_signed(verify_file(&house, "changed.json", "signing.pem.pub"));
    assert!(
        said.contains("it was changed after it was signed"),
        "{said}"
    );
    key(house.folder(), "other.pem");
    let said = not_signed(verify_file(&house, "release.json", "other.pem.pub"));
    assert!(said.contains("it is signed by the key"), "{said}");
}

/// What openssl says of a signature over the envelope's own encoding.
#[test]
fn openssl_verifies_what_is_signed() {
    if !has_openssl() {
        eprintln!("skipped: openssl is not here");
        return;
    }
    let house = House::new();
    signing(&house);
    let release = release(&house, 1);
    let text = object(&house, &format!("releases/{release}/release.json")).expect("it is signed");
    let envelope: Value = serde_json::from_str(&text).expect("JSON");
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let decode = |value: &Value| STANDARD.decode(word(value)).expect("base64");
    let (kind, bytes) = (word(&envelope["payloadType"]), decode(&envelope["payload"]));
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), bytes.len()).into_bytes();
    message.extend(bytes);
    let folder = house.folder();
    fs::write(folder.join("message"), &message).expect("written");
    fs::write(
        folder.join("sig"),
        decode(&envelope["signatures"][0]["sig"]),
    )
    .expect("written");
    let said = Command::new("openssl")
        .current_dir(folder)
        .args([
            "dgst",
            "-sha256",
            "-verify",
            "signing.pem.pub",
            "-signature",
            "sig",
            "message",
        ])
        .output()
        .expect("it starts");
    assert!(said.status.success(), "{said:?}");
    // The key's name is the digest of its SubjectPublicKeyInfo.
    let der = Command::new("openssl")
        .current_dir(folder)
        .args([
            "pkey",
            "-pubin",
            "-in",
            "signing.pem.pub",
            "-outform",
            "DER",
        ])
        .output()
        .expect("it starts");
    let id: String = digest(&SHA256, &der.stdout)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(envelope["signatures"][0]["keyid"], json!(id));
}

#[test]
fn a_key_of_kms_signs() {
    let house = House::new();
    let kms = house.client(REGIONS[0]);
    let spec = json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"});
    let made = kms.kms("CreateKey", spec).done("a key");
    let id = made["KeyMetadata"]["KeyId"]
        .as_str()
        .expect("an id")
        .to_owned();
    let alias = json!({"AliasName": "alias/releases", "TargetKeyId": id});
    kms.kms("CreateAlias", alias).done("an alias");
    configured(&house, "[signing]\nkey = \"alias/releases\"\n");
    let release = release(&house, 1);
    house.run(&["promote", &release, "--to", "stable"]).done();
    let text = object(&house, "channels/stable.json").expect("a channel");
    assert_eq!(payload(&text)["serial"], 1);
    let public = kms
        .kms("GetPublicKey", json!({ "KeyId": id }))
        .done("a key");
    let der = public["PublicKey"].as_str().expect("base64");
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
    saved(&house, "kms.pub", &pem);
    saved(&house, "stable.json", &text);
    verify_file(&house, "stable.json", "kms.pub").done();
    // One that can only encrypt signs nothing, and nothing is made.
    let other = &house.keys[REGIONS[0]];
    house.configure(&format!("{}[signing]\nkey = \"{other}\"\n", house.config()));
    let folder = house.image("image-2", &[(0, 2)]);
    let said = house
        .run(&["publish", folder.to_str().expect("a path")])
        .failed(2);
    assert!(
        said.contains("SYMMETRIC_DEFAULT") && said.contains("ECC_NIST_P256"),
        "{said}"
    );
    assert_eq!(house.images(REGIONS[0]).len(), 1);
}

#[test]
fn an_ami_is_what_was_signed_or_it_is_not() {
    let house = House::new();
    signing(&house);
    let folder = house.image("image", &[(0, 1)]);
    let published = house.publish(&folder, &[]);
    let release = published["release"].as_str().expect("an id");
    let ami = published["regions"][REGIONS[1]]["ami"]
        .as_str()
        .expect("an id");
    house.run(&["promote", release, "--to", "stable"]).done();
    let at = format!("{ami}@{}", REGIONS[1]);
    let verify = |what: &str| house.run(&["verify", what, "--key", "signing.pem.pub"]);
    let said = verify(&at).done();
    let words = [
        "ok  manifest",
        "ok  snapshot",
        "ok  owner",
        "ok  channel stable",
        release,
    ];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    // Without --key, by the publisher's own.
    house.run(&["verify", &at]).done();

    // A channel that somebody changed.
    let text = object(&house, "channels/stable.json").expect("a channel");
    let forged_channel = forged(&text, |channel| channel["releases"] = json!([]));
    put(&house, "channels/stable.json", &forged_channel);
    let said = not_signed(verify(&at));
    assert!(said.contains("NO  channel stable"), "{said}");
    let said = house
        .run(&["promote", release, "--to", "nightly"])
        .failed(1);
    assert!(said.contains("cannot be trusted"), "{said}");
    assert_eq!(object(&house, "channels/nightly.json"), None);
    let said = house.run(&["promote", release, "--to", "stable"]).failed(1);
    assert!(
        said.contains("cannot be trusted") && said.contains("stable.json"),
        "{said}"
    );
    put(&house, "channels/stable.json", &text);
    verify(&at).done();

    // An AMI of the same name with another snapshot in it.
    let client = house.client(REGIONS[1]);
    let name = published["name"].as_str().expect("a name");
    client
        .ec2("DeregisterImage", &[("ImageId", ami)])
        .done("it is gone");
    let blocks = [(0, things::block(9))];
    let snapshot = things::snapshot(&client, &blocks, Some(&house.keys[REGIONS[1]]));
    let other = things::image(&client, name, &snapshot);
    let said = not_signed(verify(&format!("{other}@{}", REGIONS[1])));
    assert!(
        said.contains("NO  ami") && said.contains("NO  snapshot"),
        "{said}"
    );
    assert!(said.contains("NOT what the publisher signed"), "{said}");
    let said = verify(&at).failed(1);
    assert!(said.contains(&format!("sees no AMI {ami}")), "{said}");
}

#[test]
fn what_cannot_be_verified() {
    let house = House::new();
    let said = house.run(&["verify", "ami-0123456789abcdef0"]).failed(2);
    assert!(said.contains("which key is the publisher's"), "{said}");
    let said = house
        .run(&["verify", "--manifest", "nothing.json"])
        .failed(2);
    assert!(said.contains("--key FILE"), "{said}");
    key(house.folder(), "k.pem");
    let said = verify_file(&house, "nothing.json", "k.pem.pub").failed(2);
    assert!(said.contains("cannot read nothing.json"), "{said}");
    saved(&house, "plain.json", "{\"schema\": 1}");
    let said = verify_file(&house, "plain.json", "k.pem.pub").failed(2);
    assert!(said.contains("it is no signed document"), "{said}");
    let said = verify_file(&house, "plain.json", "k.pem").failed(2);
    assert!(said.contains("k.pem is no public key"), "{said}");
    house.run(&["verify"]).failed(2);
    let said = house
        .run(&["verify", "ami-1", "--key", "k.pem.pub"])
        .failed(2);
    assert!(said.contains("ami-"), "{said}");
}

/// What the publisher's key vouches for, and what it does not.
#[test]
fn a_list_tells_what_is_signed() {
    let house = House::new();
    signing(&house);
    let (first, second) = (release(&house, 1), release(&house, 2));
    house.run(&["promote", &first, "--to", "stable"]).done();
    let list = |more: &[&str]| {
        let base = ["list", "--region", REGIONS[0], "--key", "signing.pem.pub"];
        house.run(&[&base[..], more].concat())
    };
    let listed: Value = serde_json::from_str(&list(&["--format", "json"]).done()).expect("JSON");
    let told: Vec<(&Value, &Value)> = listed["images"]
        .as_array()
        .expect("images")
        .iter()
        .map(|image| (&image["release"], &image["signed"]))
        .collect();
    let expected = [(json!(second), json!(false)), (json!(first), json!(true))];
    assert_eq!(
        told,
        expected
            .each_ref()
            .map(|(release, signed)| (release, signed))
    );
    let table = list(&[]).done();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].ends_with("signed"), "{table}");
    assert!(
        lines[1].contains(&second) && lines[1].ends_with("no"),
        "{table}"
    );
    assert!(
        lines[2].contains(&first) && lines[2].ends_with("yes"),
        "{table}"
    );
    let csv = list(&["--format", "csv"]).done();
    assert!(
        csv.lines()
            .nth(2)
            .is_some_and(|line| line.ends_with(",stable,true")),
        "{csv}"
    );
    // The newest is not what is launched, if nobody vouches for it.
    let id = list(&["--id"]).done();
    assert_eq!(json!(id.trim()), listed["images"][1]["ami"]);

    let text = object(&house, "channels/stable.json").expect("a channel");
    let changed = forged(&text, |channel| channel["publisher"] = json!("another"));
    put(&house, "channels/stable.json", &changed);
    for more in [&[][..], &["--id"], &["--channel", "stable"]] {
        let ended = list(more);
        assert_eq!(ended.stdout, "");
        let said = ended.failed(1);
        assert!(said.contains("cannot be trusted"), "{said}");
    }
    // Without a catalog a key says nothing, and that is told.
    let config = house.config().replace("bucket = ", "# bucket = ");
    house.configure(&config);
    let said = list(&["--id"]).failed(2);
    assert!(
        said.contains("a publisher's key is named, and no catalog"),
        "{said}"
    );
}
