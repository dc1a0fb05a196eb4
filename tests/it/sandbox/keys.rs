//! Signatures of KMS hold for openssl, which knows nothing of the sandbox.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::client::Expect as _;
use super::place::Place;

const MESSAGE: &[u8] = b"a release manifest";

/// Whether openssl finds that a signature of a message holds.
fn holds(folder: &Path, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let file = |name: &str, data: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, data).expect("a file");
        path
    };
    let (der, pem) = (file("key.der", key), folder.join("key.pem"));
    let output = Command::new("openssl")
        .args(["pkey", "-pubin", "-inform", "DER", "-pubout", "-in"])
        .arg(der)
        .arg("-out")
        .arg(&pem)
        .output()
        .expect("openssl");
    assert!(output.status.success(), "{output:?}");
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .arg(pem)
        .arg("-signature")
        .arg(file("signature", signature))
        .arg(file("message", message))
        .output()
        .expect("openssl");
    output.status.success()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a text");
    BASE64_STANDARD.decode(text).expect("Base64")
}

#[test]
fn signatures_hold_elsewhere() {
    let place = Place::new();
    let here = place.publisher();
    let made = here
        .kms(
            "CreateKey",
            json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}),
        )
        .done("a key");
    let id = &made["KeyMetadata"]["KeyId"];
    let public = here
        .kms("GetPublicKey", json!({"KeyId": id}))
        .done("its public half");
    assert_eq!(public["KeySpec"], "ECC_NIST_P256");
    let public = bytes(&public["PublicKey"]);
    let digest = Sha256::digest(MESSAGE);
    for (kind, data) in [("RAW", MESSAGE), ("DIGEST", &digest[..])] {
        let mut body = json!({
            "KeyId": id,
            "Message": BASE64_STANDARD.encode(data),
            "MessageType": kind,
            "SigningAlgorithm": "ECDSA_SHA_256"
        });
        let signed = here.kms("Sign", body.clone()).done("a signature");
        let signature = bytes(&signed["Signature"]);
        let folder = place.folder.path();
        assert!(holds(folder, &public, MESSAGE, &signature), "{kind}");
        assert!(!holds(folder, &public, b"another", &signature), "{kind}");

        body["Signature"] = signed["Signature"].clone();
        let verified = here.kms("Verify", body.clone()).done("it holds");
        assert_eq!(verified["SignatureValid"], true);
        body["Message"] = BASE64_STANDARD.encode(Sha256::digest(b"another")).into();
        here.kms("Verify", body)
            .refused("KMSInvalidSignatureException");
    }
    // A digest has its length.
    here.kms(
        "Sign",
        json!({
            "KeyId": id,
            "Message": BASE64_STANDARD.encode(MESSAGE),
            "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256"
        }),
    )
    .refused("ValidationException");
    here.kms("Encrypt", json!({"KeyId": id, "Plaintext": "YQ=="}))
        .refused("InvalidKeyUsageException");
}
