//! Signatures.

use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::*;

fn signing_key(vault: &Vault) -> String {
    arn_of(&vault.call(
        "CreateKey",
        json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY" }),
    ))
}

fn request(key: &str, message: &[u8], kind: &str) -> Value {
    json!({
        "KeyId": key,
        "Message": BASE64_STANDARD.encode(message),
        "MessageType": kind,
        "SigningAlgorithm": "ECDSA_SHA_256",
    })
}

fn bytes(answer: &Value, name: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text(answer, name)).expect("base64")
}

#[test]
fn raw_and_digest_are_one_signature() {
    let vault = Vault::new();
    let key = signing_key(&vault);
    let message = b"catalog";
    let digest = Sha256::digest(message);
    let raw = request(&key, message, "RAW");
    let hashed = request(&key, &digest, "DIGEST");
    for (signed, verified) in [(&raw, &hashed), (&hashed, &raw)] {
        let signature = vault.call("Sign", signed.clone());
        let mut body = verified.clone();
        body["Signature"] = signature["Signature"].clone();
        assert_eq!(vault.call("Verify", body.clone())["SignatureValid"], true);
        body["Message"] = json!(BASE64_STANDARD.encode([7; 32]));
        assert_eq!(
            vault.code("Verify", body.clone()),
            "KMSInvalidSignatureException"
        );
        body["Signature"] = json!("AAAA");
        assert_eq!(vault.code("Verify", body), "KMSInvalidSignatureException");
    }
    let mut other = request(&signing_key(&vault), message, "RAW");
    other["Signature"] = vault.call("Sign", raw)["Signature"].clone();
    assert_eq!(vault.code("Verify", other), "KMSInvalidSignatureException");
}

#[test]
fn what_is_not_signed() {
    let vault = Vault::new();
    let (key, symmetric) = (signing_key(&vault), vault.key());
    let with = |name: &str, value: Value| {
        let mut body = request(&key, b"x", "RAW");
        body[name] = value;
        body
    };
    let invalid = "ValidationException";
    for (body, code) in [
        (request(&key, &[0; 31], "DIGEST"), invalid),
        (request(&key, &[0; 33], "DIGEST"), invalid),
        (request(&key, &[0; 4097], "RAW"), invalid),
        (request(&key, &[], "RAW"), invalid),
        (request(&key, &[0; 64], "EXTERNAL_MU"), invalid),
        (request(&key, b"x", "COFFEE"), invalid),
        (request(&symmetric, b"x", "RAW"), "InvalidKeyUsageException"),
        (
            with("SigningAlgorithm", json!("RSASSA_PSS_SHA_256")),
            "InvalidKeyUsageException",
        ),
        (
            with("SigningAlgorithm", json!("ECDSA_SHA_384")),
            "InvalidKeyUsageException",
        ),
        (with("SigningAlgorithm", json!("ROT13")), invalid),
        (with("SigningAlgorithm", Value::Null), invalid),
        (with("KeyId", json!("alias/none")), "NotFoundException"),
        (
            with("GrantTokens", json!(["x"])),
            "InvalidGrantTokenException",
        ),
        (with("GrantTokens", json!(vec!["x"; 11])), invalid),
        (with("DryRun", json!(true)), "DryRunOperationException"),
    ] {
        assert_eq!(vault.code("Sign", body.clone()), code, "{body}");
    }
    vault.call("Sign", request(&key, &[0; 4096], "RAW"));
    // A signing key does not encrypt, and a symmetric one has no public key.
    let body = json!({ "KeyId": key, "Plaintext": "AAAA" });
    assert_eq!(vault.code("Encrypt", body), "InvalidKeyUsageException");
    let body = json!({ "KeyId": symmetric });
    assert_eq!(
        vault.code("GetPublicKey", body),
        "UnsupportedOperationException"
    );
    vault.call("DisableKey", json!({ "KeyId": key }));
    assert_eq!(
        vault.code("Sign", request(&key, b"x", "RAW")),
        "DisabledException"
    );
    assert_eq!(
        vault.code("GetPublicKey", json!({ "KeyId": key })),
        "DisabledException"
    );
}

/// An independent library must accept the signatures, and refuse others.
#[test]
fn openssl_verifies() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: there is no `openssl` here to verify signatures with");
        return;
    }
    let vault = Vault::new();
    let key = signing_key(&vault);
    let public = vault.call("GetPublicKey", json!({ "KeyId": key }));
    assert_eq!(public["KeySpec"], "ECC_NIST_P256");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    };
    let public = write("public.der", &bytes(&public, "PublicKey"));
    let message = b"a catalog of images";
    let signed = [
        request(&key, message, "RAW"),
        request(&key, &Sha256::digest(message), "DIGEST"),
    ];
    for body in signed {
        let signature = vault.call("Sign", body);
        let signature = write("signature", &bytes(&signature, "Signature"));
        for (content, is_right) in [(&message[..], true), (b"another catalog", false)] {
            let answer = Command::new("openssl")
                .args(["dgst", "-sha256", "-keyform", "DER", "-verify"])
                .arg(&public)
                .arg("-signature")
                .arg(&signature)
                .arg(write("message", content))
                .output()
                .expect("openssl");
            assert_eq!(answer.status.success(), is_right, "{answer:?}");
        }
    }
}
