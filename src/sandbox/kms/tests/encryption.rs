use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;

#[test]
fn what_is_encrypted_is_decrypted() {
    let vault = Vault::new();
    let key = vault.key();
    let sealed = vault.call(
        "Encrypt",
        json!({ "KeyId": key, "Plaintext": "c2VjcmV0", "EncryptionContext": { "a": "b", "c": "d" } }),
    );
    assert_eq!(text(&sealed, "KeyId"), key);
    let blob = text(&sealed, "CiphertextBlob");
    let opened = vault.call(
        "Decrypt",
        json!({ "CiphertextBlob": blob, "EncryptionContext": { "c": "d", "a": "b" } }),
    );
    assert_eq!(text(&opened, "Plaintext"), "c2VjcmV0");
    assert_eq!(text(&opened, "KeyId"), key);
}

#[test]
fn ciphertext_that_is_not_what_it_was() {
    let vault = Vault::new();
    let (key, other) = (vault.key(), vault.key());
    let context = json!({ "a": "b" });
    let sealed = vault.call(
        "Encrypt",
        json!({ "KeyId": key, "Plaintext": "c2VjcmV0", "EncryptionContext": context }),
    );
    let blob = text(&sealed, "CiphertextBlob");
    let bytes = BASE64_STANDARD.decode(blob).expect("base64");
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        BASE64_STANDARD.encode(bytes)
    };
    let last = bytes.len() - 1;
    for (what, body, code) in [
        (
            "another context",
            json!({ "CiphertextBlob": blob, "EncryptionContext": { "a": "c" } }),
            "InvalidCiphertextException",
        ),
        (
            "no context",
            json!({ "CiphertextBlob": blob }),
            "InvalidCiphertextException",
        ),
        (
            "a changed tag",
            json!({ "CiphertextBlob": changed(last), "EncryptionContext": context }),
            "InvalidCiphertextException",
        ),
        (
            "a changed version",
            json!({ "CiphertextBlob": changed(56), "EncryptionContext": context }),
            "InvalidCiphertextException",
        ),
        (
            "no ciphertext of ours",
            json!({ "CiphertextBlob": "AAAA" }),
            "InvalidCiphertextException",
        ),
        (
            "a blob that ends early",
            json!({ "CiphertextBlob": BASE64_STANDARD.encode(&bytes[..30]) }),
            "InvalidCiphertextException",
        ),
        (
            "another key",
            json!({ "CiphertextBlob": blob, "EncryptionContext": context, "KeyId": other }),
            "IncorrectKeyException",
        ),
        (
            "no base64",
            json!({ "CiphertextBlob": "?" }),
            "SerializationException",
        ),
        ("nothing", json!({}), "ValidationException"),
        (
            "an unknown member",
            json!({ "CiphertextBlob": blob, "Coffee": 1 }),
            "SerializationException",
        ),
        (
            "an algorithm of other keys",
            json!({ "CiphertextBlob": blob, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256" }),
            "InvalidKeyUsageException",
        ),
        (
            "no algorithm",
            json!({ "CiphertextBlob": blob, "EncryptionAlgorithm": "ROT13" }),
            "ValidationException",
        ),
        (
            "an enclave",
            json!({ "CiphertextBlob": blob, "Recipient": {} }),
            "UnsupportedOperationException",
        ),
        (
            "dry run",
            json!({ "CiphertextBlob": blob, "EncryptionContext": context, "DryRun": true }),
            "DryRunOperationException",
        ),
    ] {
        assert_eq!(vault.code("Decrypt", body), code, "{what}");
    }
}

#[test]
fn plaintext_and_data_keys_have_bounds() {
    let vault = Vault::new();
    let key = vault.key();
    let long = BASE64_STANDARD.encode([0; 4097]);
    let invalid = "ValidationException";
    for (operation, body) in [
        ("Encrypt", json!({ "KeyId": key, "Plaintext": long })),
        ("Encrypt", json!({ "KeyId": key, "Plaintext": "" })),
        ("Encrypt", json!({ "Plaintext": "AAAA" })),
        ("GenerateDataKey", json!({ "KeyId": key })),
        (
            "GenerateDataKey",
            json!({ "KeyId": key, "KeySpec": "AES_256", "NumberOfBytes": 3 }),
        ),
        (
            "GenerateDataKey",
            json!({ "KeyId": key, "KeySpec": "AES_1" }),
        ),
        (
            "GenerateDataKey",
            json!({ "KeyId": key, "NumberOfBytes": 0 }),
        ),
        (
            "GenerateDataKey",
            json!({ "KeyId": key, "NumberOfBytes": 1025 }),
        ),
        ("GenerateRandom", json!({ "NumberOfBytes": 1025 })),
        ("GenerateRandom", json!({})),
    ] {
        assert_eq!(
            vault.code(operation, body.clone()),
            invalid,
            "{operation} {body}"
        );
    }
    for (body, length) in [
        (json!({ "KeyId": key, "KeySpec": "AES_256" }), 32),
        (json!({ "KeyId": key, "KeySpec": "AES_128" }), 16),
        (json!({ "KeyId": key, "NumberOfBytes": 7 }), 7),
    ] {
        let made = vault.call("GenerateDataKey", body);
        let blob = text(&made, "CiphertextBlob");
        let opened = vault.call("Decrypt", json!({ "CiphertextBlob": blob }));
        assert_eq!(text(&opened, "Plaintext"), text(&made, "Plaintext"));
        let bytes = BASE64_STANDARD.decode(text(&made, "Plaintext"));
        assert_eq!(bytes.expect("base64").len(), length);
    }
    let body = json!({ "KeyId": key, "KeySpec": "AES_256" });
    let made = vault.call("GenerateDataKeyWithoutPlaintext", body);
    assert!(made.get("Plaintext").is_none(), "{made}");
    let random = vault.call("GenerateRandom", json!({ "NumberOfBytes": 1024 }));
    let random = BASE64_STANDARD.decode(text(&random, "Plaintext"));
    assert_eq!(random.expect("base64").len(), 1024);
}

#[test]
fn re_encryption() {
    let vault = Vault::new();
    let (from, to) = (vault.key(), vault.key());
    let sealed = vault.call(
        "Encrypt",
        json!({ "KeyId": from, "Plaintext": "c2VjcmV0", "EncryptionContext": { "a": "1" } }),
    );
    let blob = text(&sealed, "CiphertextBlob");
    let again = vault.call(
        "ReEncrypt",
        json!({
            "CiphertextBlob": blob,
            "SourceEncryptionContext": { "a": "1" },
            "SourceKeyId": from,
            "DestinationKeyId": to,
            "DestinationEncryptionContext": { "a": "2" },
        }),
    );
    assert_eq!(text(&again, "SourceKeyId"), from);
    assert_eq!(text(&again, "KeyId"), to);
    let opened = vault.call(
        "Decrypt",
        json!({
            "CiphertextBlob": text(&again, "CiphertextBlob"),
            "EncryptionContext": { "a": "2" },
        }),
    );
    assert_eq!(text(&opened, "Plaintext"), "c2VjcmV0");
    let wrong = json!({ "CiphertextBlob": blob, "DestinationKeyId": to });
    assert_eq!(vault.code("ReEncrypt", wrong), "InvalidCiphertextException");
    let wrong = json!({
        "CiphertextBlob": blob,
        "SourceEncryptionContext": { "a": "1" },
        "SourceKeyId": to,
        "DestinationKeyId": to,
    });
    assert_eq!(vault.code("ReEncrypt", wrong), "IncorrectKeyException");
}

#[test]
fn rotated_keys_open_what_they_sealed() {
    let vault = Vault::new();
    let key = vault.key();
    let encrypt = || {
        vault.call(
            "GenerateDataKey",
            json!({ "KeyId": key, "KeySpec": "AES_256" }),
        )
    };
    let before = encrypt();
    vault.call(
        "EnableKeyRotation",
        json!({ "KeyId": key, "RotationPeriodInDays": 90 }),
    );
    assert_eq!(encrypt()["KeyMaterialId"], before["KeyMaterialId"]);
    vault.bed.shared.clock.advance(key::DAY * 91);
    let after = encrypt();
    assert_ne!(after["KeyMaterialId"], before["KeyMaterialId"]);
    vault.call("DisableKeyRotation", json!({ "KeyId": key }));
    vault.bed.shared.clock.advance(key::DAY * 91);
    assert_eq!(encrypt()["KeyMaterialId"], after["KeyMaterialId"]);
    for made in [before, after] {
        let body = json!({ "CiphertextBlob": made["CiphertextBlob"] });
        let opened = vault.call("Decrypt", body);
        assert_eq!(opened["Plaintext"], made["Plaintext"]);
        assert_eq!(opened["KeyMaterialId"], made["KeyMaterialId"]);
    }
}
