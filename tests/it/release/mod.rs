//! A release's life after it is published: signed, promoted through gates, rolled back, withdrawn,
//! verified.

mod gates;
mod kill;
mod policy;
mod promote;
mod rollback;
mod verify;

use std::fs;
use std::path::Path;
use std::process::Command;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::publish::house::{BUCKET, House, REGIONS};
use crate::sandbox::client::{Call, Expect as _};

/// Writes a new private key, and its public half beside it as `NAME.pub`.
pub fn key(folder: &Path, name: &str) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
    let der = pair.private_key().as_der().expect("a key on P-256");
    let text = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n");
    let path = folder.join(name);
    fs::write(&path, pem).expect("written");
    let signer = alpine_ami::sign::Signer::read(&path).expect("a key");
    let public = folder.join(format!("{name}.pub"));
    fs::write(public, signer.public().to_pem()).expect("written");
}

/// A publisher that signs with the key `signing.pem`.
pub fn signing(house: &House) {
    key(house.folder(), "signing.pem");
    configured(house, "[signing]\nfile = \"signing.pem\"\n");
}

/// Adds to the configuration.
pub fn configured(house: &House, more: &str) {
    let path = house.folder().join("alpine-ami.toml");
    let text = fs::read_to_string(&path).expect("a configuration");
    fs::write(path, format!("{text}{more}")).expect("written");
}

/// An object of the publisher's bucket.
pub fn object(house: &House, key: &str) -> Option<String> {
    let get = Call::new("GET", &format!("/{BUCKET}/{key}"));
    Some(house.client(REGIONS[0]).s3(&get).ok()?.text())
}

/// Writes an object.
pub fn put(house: &House, key: &str, text: &str) {
    let put = Call::new("PUT", &format!("/{BUCKET}/{key}")).body(text);
    house.client(REGIONS[0]).s3(&put).done("an object");
}

/// What a signed document says.
pub fn payload(text: &str) -> Value {
    let envelope: Value = serde_json::from_str(text).expect("an envelope");
    let payload = envelope["payload"].as_str().expect("a payload");
    let bytes = STANDARD.decode(payload).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// The same envelope about something else.
pub fn forged(text: &str, change: impl Fn(&mut Value)) -> String {
    let mut envelope: Value = serde_json::from_str(text).expect("an envelope");
    let mut said = payload(text);
    change(&mut said);
    envelope["payload"] = STANDARD.encode(said.to_string()).into();
    envelope.to_string()
}

/// What is in a channel now, signed or not.
pub fn current(house: &House, channel: &str) -> Vec<String> {
    let Some(text) = object(house, &format!("channels/{channel}.json")) else {
        return Vec::new();
    };
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let document = match document.get("payload") {
        Some(_) => payload(&text),
        None => document,
    };
    let stays = document["stays"].as_array().expect("stays").iter();
    let stays = stays.filter(|stay| stay["until"].is_null());
    stays
        .map(|stay| stay["release"].as_str().expect("an id").to_owned())
        .collect()
}

/// Publishes an image with this byte in it; the release.
pub fn release(house: &House, byte: u8) -> String {
    let folder = house.image(&format!("image-{byte}"), &[(0, byte)]);
    let published = house.publish(&folder, &[]);
    published["release"].as_str().expect("an id").to_owned()
}

/// Whether OpenSSL is here.
pub fn has_openssl() -> bool {
    Command::new("openssl").arg("version").output().is_ok()
}
