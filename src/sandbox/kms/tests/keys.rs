//! Keys as such, their tags, their policies' size.

use super::*;

#[test]
fn a_key_is_described_as_it_was_made() {
    let vault = Vault::new();
    let made = vault.call(
        "CreateKey",
        json!({ "Description": "for images", "Tags": [{ "TagKey": "a", "TagValue": "1" }] }),
    );
    let metadata = &made["KeyMetadata"];
    for (name, value) in [
        ("AWSAccountId", json!(PUBLISHER)),
        ("Description", json!("for images")),
        ("Enabled", json!(true)),
        ("EncryptionAlgorithms", json!(["SYMMETRIC_DEFAULT"])),
        ("KeyManager", json!("CUSTOMER")),
        ("KeySpec", json!("SYMMETRIC_DEFAULT")),
        ("KeyState", json!("Enabled")),
        ("KeyUsage", json!("ENCRYPT_DECRYPT")),
        ("MultiRegion", json!(false)),
        ("Origin", json!("AWS_KMS")),
    ] {
        assert_eq!(metadata[name], value, "{name}");
    }
    let id = text(metadata, "KeyId").to_owned();
    for reference in [id.clone(), arn_of(&made)] {
        let described = vault.call("DescribeKey", json!({ "KeyId": reference }));
        assert_eq!(described["KeyMetadata"], *metadata);
    }
    let tags = vault.call("ListResourceTags", json!({ "KeyId": id }));
    assert_eq!(tags["Tags"], json!([{ "TagKey": "a", "TagValue": "1" }]));
    let policy = vault.call("GetKeyPolicy", json!({ "KeyId": id }));
    assert!(text(&policy, "Policy").contains("Enable IAM User Permissions"));
}

#[test]
fn keys_that_cannot_be_made() {
    let vault = Vault::new();
    let invalid = "ValidationException";
    let unsupported = "UnsupportedOperationException";
    let tag = |key: &str, value: &str| json!({ "TagKey": key, "TagValue": value });
    let many: Vec<Value> = (0..51).map(|number| tag(&number.to_string(), "")).collect();
    for (body, code) in [
        (
            json!({ "KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY" }),
            unsupported,
        ),
        (
            json!({ "KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC" }),
            unsupported,
        ),
        (
            json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT" }),
            unsupported,
        ),
        (json!({ "KeySpec": "AES" }), invalid),
        (json!({ "KeyUsage": "COFFEE" }), invalid),
        (json!({ "KeySpec": "ECC_NIST_P256" }), invalid),
        (
            json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "ENCRYPT_DECRYPT" }),
            invalid,
        ),
        (json!({ "KeyUsage": "SIGN_VERIFY" }), invalid),
        (
            json!({ "KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT" }),
            invalid,
        ),
        (json!({ "Origin": "EXTERNAL" }), unsupported),
        (json!({ "CustomKeyStoreId": "cks-1" }), unsupported),
        (json!({ "XksKeyId": "x" }), unsupported),
        (json!({ "Origin": "MARS" }), invalid),
        (json!({ "Description": "x".repeat(8193) }), invalid),
        (json!({ "Coffee": true }), "SerializationException"),
        (json!({ "MultiRegion": "yes" }), "SerializationException"),
        (json!({ "Tags": [tag("", "")] }), invalid),
        (json!({ "Tags": [tag("a", &"x".repeat(257))] }), invalid),
        (json!({ "Tags": [{ "TagKey": "a" }] }), invalid),
        (json!({ "Tags": [tag("aws:a", "")] }), "TagException"),
        (
            json!({ "Tags": [tag("a", "1"), tag("a", "2")] }),
            "TagException",
        ),
        (json!({ "Tags": [tag("a;b", "1")] }), "TagException"),
        (json!({ "Tags": many }), "LimitExceededException"),
        (
            json!({ "Policy": "{}" }),
            "MalformedPolicyDocumentException",
        ),
    ] {
        assert_eq!(vault.code("CreateKey", body.clone()), code, "{body}");
    }
    let keys = vault.call("ListKeys", json!({}));
    assert_eq!(keys["Keys"], json!([]), "nothing was left behind");
}

#[test]
fn what_is_no_key() {
    let vault = Vault::new();
    let key = vault.key();
    let id = key.rsplit('/').next().expect("an id");
    let (missing, invalid) = ("NotFoundException", "InvalidArnException");
    let absent = "12345678-1234-1234-1234-123456789012";
    let arn = |region: &str, account: &str| format!("arn:aws:kms:{region}:{account}:key/{absent}");
    for (reference, code) in [
        ("", "ValidationException"),
        ("key", missing),
        (absent, missing),
        ("mrk-12345678123412341234123456789012", missing),
        ("mrk-1234", missing),
        ("alias/none", missing),
        (&arn(REGION, PUBLISHER), missing),
        (&arn("eu-west-1", PUBLISHER), missing),
        (&key.replace(REGION, "eu-west-1"), missing),
        (&arn("mars-1", PUBLISHER), invalid),
        (&arn(REGION, "1"), invalid),
        ("arn:aws:s3:::bucket", invalid),
        (&arn(REGION, CUSTOMER), "AccessDeniedException"),
    ] {
        let body = json!({ "KeyId": reference });
        assert_eq!(vault.code("DescribeKey", body), code, "{reference}");
    }
    // An id means a key of the caller's own.
    assert_eq!(
        vault.code_as("customer", "DescribeKey", json!({ "KeyId": id })),
        missing
    );
    assert_eq!(vault.code("DescribeKey", json!({})), "ValidationException");
    assert_eq!(
        vault.code("MakeCoffee", json!({})),
        "UnknownOperationException"
    );
    assert_eq!(
        vault.code("ConnectCustomKeyStore", json!({})),
        "UnknownOperationException"
    );
    let error = vault.as_account("publisher", "DescribeKey", json!({ "KeyId": absent }));
    let message = format!("Key '{}' does not exist", arn(REGION, PUBLISHER));
    assert_eq!(error.expect_err("no key").message, message);
}

#[test]
fn states_and_what_they_allow() {
    let (disabled, invalid) = ("DisabledException", "KMSInvalidStateException");
    let vault = Vault::new();
    let key = vault.key();
    let of = |key: &str| json!({ "KeyId": key });
    let data_key = json!({ "KeyId": key, "KeySpec": "AES_256" });
    let made = vault.call("GenerateDataKey", data_key.clone());
    let decrypt = json!({ "CiphertextBlob": made["CiphertextBlob"] });
    let grant = json!({
        "KeyId": key,
        "GranteePrincipal": format!("arn:aws:iam::{CUSTOMER}:root"),
        "Operations": ["Decrypt"],
    });
    let tag = json!({ "KeyId": key, "Tags": [{ "TagKey": "a", "TagValue": "1" }] });
    let alias = json!({ "AliasName": "alias/new", "TargetKeyId": key });
    let describe = json!({ "KeyId": key, "Description": "x" });
    let state = |name: &str| {
        let answer = vault.call("DescribeKey", of(&key));
        assert_eq!(answer["KeyMetadata"]["KeyState"], name);
        assert_eq!(answer["KeyMetadata"]["Enabled"], name == "Enabled");
    };
    assert_eq!(
        vault.code("CancelKeyDeletion", of(&key)),
        invalid,
        "not pending deletion"
    );

    vault.call("DisableKey", of(&key));
    state("Disabled");
    for (operation, body) in [
        ("GenerateDataKey", &data_key),
        ("Encrypt", &json!({ "KeyId": key, "Plaintext": "AAAA" })),
        ("Decrypt", &decrypt),
        ("CreateGrant", &grant),
        ("EnableKeyRotation", &of(&key)),
        ("DisableKeyRotation", &of(&key)),
    ] {
        assert_eq!(vault.code(operation, body.clone()), disabled, "{operation}");
    }
    vault.call("TagResource", tag.clone());
    vault.call("UpdateKeyDescription", describe.clone());
    vault.call("EnableKey", of(&key));
    state("Enabled");

    for days in [6, 31, -1] {
        let body = json!({ "KeyId": key, "PendingWindowInDays": days });
        assert_eq!(
            vault.code("ScheduleKeyDeletion", body),
            "ValidationException",
            "{days}"
        );
    }
    let body = json!({ "KeyId": key, "PendingWindowInDays": 7 });
    let scheduled = vault.call("ScheduleKeyDeletion", body.clone());
    assert_eq!(scheduled["KeyState"], "PendingDeletion");
    assert!(scheduled["DeletionDate"].is_number(), "{scheduled}");
    state("PendingDeletion");
    for (operation, body) in [
        ("GenerateDataKey", &data_key),
        ("Decrypt", &decrypt),
        ("CreateGrant", &grant),
        ("EnableKey", &of(&key)),
        ("DisableKey", &of(&key)),
        ("TagResource", &tag),
        ("UntagResource", &json!({ "KeyId": key, "TagKeys": ["a"] })),
        ("UpdateKeyDescription", &describe),
        ("CreateAlias", &alias),
        ("EnableKeyRotation", &of(&key)),
        ("ScheduleKeyDeletion", &body),
    ] {
        assert_eq!(vault.code(operation, body.clone()), invalid, "{operation}");
    }
    vault.call("GetKeyPolicy", of(&key));
    vault.call("ListGrants", of(&key));
    vault.call("CancelKeyDeletion", of(&key));
    state("Disabled");
    vault.call("EnableKey", of(&key));
    vault.call("CreateAlias", alias);

    vault.call("ScheduleKeyDeletion", body);
    vault.bed.shared.clock.advance(key::DAY * 7);
    assert_eq!(vault.code("DescribeKey", of(&key)), "NotFoundException");
    assert_eq!(
        vault.code("CancelKeyDeletion", of(&key)),
        "NotFoundException"
    );
    assert_eq!(
        vault.code("DescribeKey", of("alias/new")),
        "NotFoundException"
    );
    assert_eq!(vault.code("Decrypt", decrypt), "AccessDeniedException");
    assert_eq!(vault.call("ListKeys", json!({}))["Keys"], json!([]));
    assert_eq!(vault.call("ListAliases", json!({}))["Aliases"], json!([]));
}

#[test]
fn lists_come_in_parts() {
    let vault = Vault::new();
    let mut keys: Vec<String> = (0..5).map(|_| vault.key()).collect();
    keys.sort_unstable();
    let (mut found, mut marker) = (Vec::new(), None);
    loop {
        let mut body = json!({ "Limit": 2 });
        if let Some(marker) = marker {
            body["Marker"] = marker;
        }
        let part = vault.call("ListKeys", body);
        let entries = part["Keys"].as_array().expect("keys");
        found.extend(entries.iter().map(|entry| text(entry, "KeyArn").to_owned()));
        marker = part.get("NextMarker").cloned();
        assert_eq!(part["Truncated"], marker.is_some());
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(found, keys);
    for (body, code) in [
        (json!({ "Limit": 0 }), "ValidationException"),
        (json!({ "Limit": 1001 }), "ValidationException"),
        (json!({ "Marker": "x" }), "InvalidMarkerException"),
        (json!({ "ResourceOwners": ["ME"] }), "ValidationException"),
        (
            json!({ "ResourceOwners": ["OTHER_ACCOUNTS_VIA_RAM"] }),
            "UnsupportedOperationException",
        ),
    ] {
        assert_eq!(vault.code("ListKeys", body.clone()), code, "{body}");
    }
    let other = vault.at("publisher", "eu-west-1", "ListKeys", json!({}));
    assert_eq!(other.expect("keys")["Keys"], json!([]), "another Region's");
}

#[test]
fn descriptions_and_tags_change() {
    let vault = Vault::new();
    let key = vault.key();
    vault.call(
        "UpdateKeyDescription",
        json!({ "KeyId": key, "Description": "new" }),
    );
    let described = vault.call("DescribeKey", json!({ "KeyId": key }));
    assert_eq!(described["KeyMetadata"]["Description"], "new");
    for (name, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
        let tags = json!([{ "TagKey": name, "TagValue": value }]);
        vault.call("TagResource", json!({ "KeyId": key, "Tags": tags }));
    }
    vault.call(
        "UntagResource",
        json!({ "KeyId": key, "TagKeys": ["b", "none"] }),
    );
    let tags = vault.call("ListResourceTags", json!({ "KeyId": key }));
    assert_eq!(tags["Tags"], json!([{ "TagKey": "a", "TagValue": "3" }]));
    for (operation, body) in [
        ("UpdateKeyDescription", json!({ "KeyId": key })),
        ("TagResource", json!({ "KeyId": key })),
        ("UntagResource", json!({ "KeyId": key })),
        ("UntagResource", json!({ "KeyId": key, "TagKeys": [""] })),
    ] {
        assert_eq!(
            vault.code(operation, body.clone()),
            "ValidationException",
            "{body}"
        );
    }
}

#[test]
fn rotation_is_for_symmetric_primary_keys() {
    let vault = Vault::new();
    let key = vault.key();
    let status = || vault.call("GetKeyRotationStatus", json!({ "KeyId": key }));
    assert_eq!(status()["KeyRotationEnabled"], false);
    vault.call("EnableKeyRotation", json!({ "KeyId": key }));
    assert_eq!(status()["RotationPeriodInDays"], 365);
    let first = status()["NextRotationDate"].as_f64().expect("a date");
    vault.bed.shared.clock.advance(key::DAY * 366);
    let next = status()["NextRotationDate"].as_f64().expect("a date");
    assert_eq!(next - first, 365.0 * 24.0 * 3600.0);
    for days in [89, 2561] {
        let body = json!({ "KeyId": key, "RotationPeriodInDays": days });
        assert_eq!(vault.code("EnableKeyRotation", body), "ValidationException");
    }
    let signing = arn_of(&vault.call(
        "CreateKey",
        json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY" }),
    ));
    for operation in [
        "GetKeyRotationStatus",
        "EnableKeyRotation",
        "DisableKeyRotation",
    ] {
        let code = vault.code(operation, json!({ "KeyId": signing }));
        assert_eq!(code, "UnsupportedOperationException", "{operation}");
    }
}

#[test]
fn policies_are_put_whole() {
    let vault = Vault::new();
    let key = vault.key();
    let put = |policy: &str| json!({ "KeyId": key, "Policy": policy });
    let good = policy_with(&[]);
    let other_statement = json!({
        "Effect": "Allow", "Principal": { "AWS": CUSTOMER }, "Action": "kms:*", "Resource": "*",
    });
    let others_only = json!({ "Statement": [other_statement] }).to_string();
    let denies = policy_with(&[json!({
        "Effect": "Deny", "Principal": "*", "Action": "kms:PutKeyPolicy", "Resource": "*",
    })]);
    let of_address = policy_with(&[json!({
        "Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
        "Condition": { "NotIpAddress": { "aws:SourceIp": "10.0.0.0/8" } },
    })]);
    let malformed = "MalformedPolicyDocumentException";
    for (body, code) in [
        (put(""), "ValidationException"),
        (json!({ "KeyId": key }), "ValidationException"),
        (put("x"), malformed),
        (put(&others_only), malformed),
        (put(&denies), malformed),
        (put(&of_address), malformed),
        (put(&good.replace("Own", "\u{1f511}")), malformed),
        (
            put(&format!("{good}{}", " ".repeat(32_768))),
            "LimitExceededException",
        ),
        (
            json!({ "KeyId": key, "Policy": good, "PolicyName": "mine" }),
            "NotFoundException",
        ),
    ] {
        assert_eq!(vault.code("PutKeyPolicy", body.clone()), code, "{body}");
    }
    vault.call("PutKeyPolicy", put(&good));
    assert_eq!(
        vault.call("GetKeyPolicy", json!({ "KeyId": key }))["Policy"],
        good
    );
    let names = vault.call("ListKeyPolicies", json!({ "KeyId": key }));
    assert_eq!(names["PolicyNames"], json!(["default"]));
    let error = vault
        .as_account("publisher", "PutKeyPolicy", put(&denies))
        .expect_err("a lockout");
    assert!(error.message.contains("in the future"), "{error}");
    // Whoever asks for it is locked out.
    let mut body = put(&denies);
    body["BypassPolicyLockoutSafetyCheck"] = json!(true);
    vault.call("PutKeyPolicy", body);
    assert_eq!(
        vault.code("PutKeyPolicy", put(&good)),
        "AccessDeniedException"
    );
}
