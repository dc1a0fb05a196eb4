//! Who may use a key: policies, other accounts, organizations, services.

use super::*;

fn customer() -> Value {
    json!({ "AWS": format!("arn:aws:iam::{CUSTOMER}:root") })
}

fn allow(principal: Value, action: Value) -> Value {
    json!({ "Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*" })
}

fn conditioned(mut statement: Value, condition: Value) -> Value {
    statement["Condition"] = condition;
    statement
}

#[test]
fn the_messages_are_those_of_aws() {
    let vault = Vault::new();
    let denying = vault.key_with(&[json!({
        "Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
    })]);
    let silent = {
        let policy = policy_with(&[]).replace("kms:*", "kms:PutKeyPolicy");
        arn_of(&vault.call("CreateKey", json!({ "Policy": policy })))
    };
    let plain = vault.key();
    let absent = plain.replace(PUBLISHER, CUSTOMER);
    let hidden = "because the resource does not exist in this Region, no resource-based policies \
                  allow access, or a resource-based policy explicitly denies access";
    for (account, key, why) in [
        (
            "publisher",
            &denying,
            "with an explicit deny in a resource-based policy",
        ),
        (
            "publisher",
            &silent,
            "because no resource-based policy allows the kms:Encrypt action",
        ),
        ("publisher", &absent, hidden),
        ("customer", &plain, hidden),
        ("customer", &denying, hidden),
    ] {
        let body = json!({ "KeyId": key, "Plaintext": "AAAA" });
        let error = vault.as_account(account, "Encrypt", body).expect_err(why);
        assert_eq!(error.code, "AccessDeniedException");
        let user = vault.bed.caller(account).arn;
        let message = format!(
            "User: {user} is not authorized to perform: kms:Encrypt on resource: {key} {why}"
        );
        assert_eq!(error.message, message);
    }
    let sealed = vault.call("Encrypt", json!({ "KeyId": plain, "Plaintext": "AAAA" }));
    let body = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    let error = vault
        .as_account("customer", "Decrypt", body)
        .expect_err("denied");
    assert!(
        error.message.contains("associated with this ciphertext"),
        "{error}"
    );
    assert!(
        !error.message.contains(&plain),
        "the key's name is not told: {error}"
    );
}

#[test]
fn every_operation_asks_the_policy() {
    let vault = Vault::new();
    let key = vault.key();
    let made = vault.call(
        "GenerateDataKey",
        json!({ "KeyId": key, "KeySpec": "AES_256" }),
    );
    let grant = vault.call(
        "CreateGrant",
        json!({
            "KeyId": key, "GranteePrincipal": format!("arn:aws:iam::{CUSTOMER}:root"),
            "Operations": ["Encrypt"],
        }),
    );
    vault.call(
        "CreateAlias",
        json!({ "AliasName": "alias/a", "TargetKeyId": key }),
    );
    let nothing = json!({
        "Statement": [allow(json!({ "AWS": CUSTOMER }), json!("kms:PutKeyPolicy"))]
    });
    vault.call(
        "PutKeyPolicy",
        json!({
            "KeyId": key, "Policy": nothing.to_string(), "BypassPolicyLockoutSafetyCheck": true,
        }),
    );
    let tags = json!([{ "TagKey": "a", "TagValue": "1" }]);
    let sha = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (operation, members) in [
        ("DescribeKey", json!({})),
        ("EnableKey", json!({})),
        ("DisableKey", json!({})),
        ("ScheduleKeyDeletion", json!({})),
        ("CancelKeyDeletion", json!({})),
        ("UpdateKeyDescription", json!({ "Description": "" })),
        ("TagResource", json!({ "Tags": tags })),
        ("UntagResource", json!({ "TagKeys": ["a"] })),
        ("ListResourceTags", json!({})),
        ("ReplicateKey", json!({ "ReplicaRegion": "eu-west-1" })),
        (
            "UpdatePrimaryRegion",
            json!({ "PrimaryRegion": "eu-west-1" }),
        ),
        ("GetKeyPolicy", json!({})),
        ("PutKeyPolicy", json!({ "Policy": policy_with(&[]) })),
        ("ListKeyPolicies", json!({})),
        (
            "CreateGrant",
            json!({
                "GranteePrincipal": format!("arn:aws:iam::{PUBLISHER}:root"), "Operations": ["Encrypt"],
            }),
        ),
        ("ListGrants", json!({})),
        ("RevokeGrant", json!({ "GrantId": grant["GrantId"] })),
        ("Encrypt", json!({ "Plaintext": "AAAA" })),
        (
            "Decrypt",
            json!({ "CiphertextBlob": made["CiphertextBlob"] }),
        ),
        ("GenerateDataKey", json!({ "KeySpec": "AES_256" })),
        (
            "GenerateDataKeyWithoutPlaintext",
            json!({ "KeySpec": "AES_256" }),
        ),
        (
            "Sign",
            json!({ "Message": sha, "SigningAlgorithm": "ECDSA_SHA_256" }),
        ),
        (
            "Verify",
            json!({
                "Message": sha, "SigningAlgorithm": "ECDSA_SHA_256", "Signature": "AAAA",
            }),
        ),
        ("GetPublicKey", json!({})),
        ("GetKeyRotationStatus", json!({})),
        ("EnableKeyRotation", json!({})),
        ("DisableKeyRotation", json!({})),
    ] {
        let mut body = members;
        body["KeyId"] = json!(key);
        assert_eq!(
            vault.code(operation, body),
            "AccessDeniedException",
            "{operation}"
        );
    }
    let other = vault.key();
    for (operation, body) in [
        (
            "CreateAlias",
            json!({ "AliasName": "alias/b", "TargetKeyId": key }),
        ),
        (
            "UpdateAlias",
            json!({ "AliasName": "alias/a", "TargetKeyId": other }),
        ),
        ("DeleteAlias", json!({ "AliasName": "alias/a" })),
        (
            "ReEncrypt",
            json!({
                "CiphertextBlob": made["CiphertextBlob"], "DestinationKeyId": other,
            }),
        ),
    ] {
        assert_eq!(
            vault.code(operation, body),
            "AccessDeniedException",
            "{operation}"
        );
    }
    let sealed = vault.call("Encrypt", json!({ "KeyId": other, "Plaintext": "AAAA" }));
    let body = json!({ "CiphertextBlob": sealed["CiphertextBlob"], "DestinationKeyId": key });
    assert_eq!(
        vault.code("ReEncrypt", body),
        "AccessDeniedException",
        "ReEncryptTo"
    );
}

#[test]
fn another_account_needs_the_policy() {
    let vault = Vault::new();
    let key = vault.key_with(&[allow(customer(), json!(["kms:Decrypt", "kms:DescribeKey"]))]);
    let sealed = vault.call("Encrypt", json!({ "KeyId": key, "Plaintext": "c2VjcmV0" }));
    let decrypt = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    let opened = vault.as_account("customer", "Decrypt", decrypt.clone());
    assert_eq!(opened.expect("decrypted")["Plaintext"], "c2VjcmV0");
    let describe = json!({ "KeyId": key });
    vault
        .as_account("customer", "DescribeKey", describe.clone())
        .expect("described");
    let denied = "AccessDeniedException";
    let encrypt = json!({ "KeyId": key, "Plaintext": "AAAA" });
    assert_eq!(vault.code_as("customer", "Encrypt", encrypt), denied);
    // Some operations are for the own account only, whatever the policy says.
    let all = policy_with(&[allow(customer(), json!("kms:*"))]);
    vault.call("PutKeyPolicy", json!({ "KeyId": key, "Policy": all }));
    for operation in [
        "EnableKey",
        "GetKeyPolicy",
        "ListResourceTags",
        "ScheduleKeyDeletion",
    ] {
        assert_eq!(
            vault.code_as("customer", operation, describe.clone()),
            denied,
            "{operation}"
        );
    }
    vault
        .as_account("customer", "ListGrants", describe.clone())
        .expect("listed");
    vault.call(
        "PutKeyPolicy",
        json!({ "KeyId": key, "Policy": policy_with(&[]) }),
    );
    assert_eq!(vault.code_as("customer", "Decrypt", decrypt), denied);
    assert_eq!(vault.code_as("customer", "DescribeKey", describe), denied);
}

#[test]
fn conditions_of_requests() {
    let vault = Vault::new();
    let encrypt = |key: &str| json!({ "KeyId": key, "Plaintext": "AAAA" });
    let with_context = |key: &str| {
        let mut body = encrypt(key);
        body["EncryptionContext"] = json!({ "Stage": "prod" });
        body
    };
    let equals = |key: &str, value: &str| json!({ "StringEquals": { key: value } });
    for (condition, plain_may, context_may) in [
        (equals("kms:CallerAccount", CUSTOMER), true, true),
        (equals("kms:CallerAccount", PUBLISHER), false, false),
        (equals("aws:PrincipalAccount", CUSTOMER), true, true),
        (
            equals("kms:ViaService", "ec2.us-east-1.amazonaws.com"),
            false,
            false,
        ),
        (equals("kms:KeySpec", "SYMMETRIC_DEFAULT"), true, true),
        (
            equals("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT"),
            true,
            true,
        ),
        (equals("kms:EncryptionContext:Stage", "prod"), false, true),
        (equals("kms:EncryptionContext:Stage", "test"), false, false),
        (
            json!({ "ForAllValues:StringEquals": { "kms:EncryptionContextKeys": ["Stage"] } }),
            true,
            true,
        ),
        (
            json!({ "ForAnyValue:StringEquals": { "kms:EncryptionContextKeys": ["Stage"] } }),
            false,
            true,
        ),
        (
            json!({ "Null": { "kms:EncryptionContext:Stage": "true" } }),
            true,
            false,
        ),
        (
            json!({ "Bool": { "aws:SecureTransport": "true" } }),
            true,
            true,
        ),
        (
            json!({ "DateLessThan": { "aws:CurrentTime": "2020-01-01" } }),
            false,
            false,
        ),
        (equals("kms:RequestAlias", "alias/images"), false, false),
        (equals("aws:PrincipalOrgID", "o-1234567890"), false, false),
    ] {
        let statement = conditioned(allow(customer(), json!("kms:Encrypt")), condition.clone());
        let key = vault.key_with(&[statement]);
        for (body, may) in [
            (encrypt(&key), plain_may),
            (with_context(&key), context_may),
        ] {
            let answer = vault.as_account("customer", "Encrypt", body.clone());
            assert_eq!(answer.is_ok(), may, "{condition} {body}: {answer:?}");
        }
    }
    let statement = conditioned(
        allow(customer(), json!("kms:Encrypt")),
        equals("kms:RequestAlias", "alias/images"),
    );
    let key = vault.key_with(&[statement]);
    vault.call(
        "CreateAlias",
        json!({ "AliasName": "alias/images", "TargetKeyId": key }),
    );
    let by_alias = format!("arn:aws:kms:{REGION}:{PUBLISHER}:alias/images");
    vault
        .as_account("customer", "Encrypt", encrypt(&by_alias))
        .expect("by its alias");
}

#[test]
fn an_organization_is_let_in() {
    let vault = Vault::new();
    let organization = |operation: &str, body: Value| {
        let answer = vault
            .bed
            .json(Service::Organizations, "publisher", REGION, operation, body);
        answer.unwrap_or_else(|error| panic!("{operation}: {error}"))
    };
    let made = organization("CreateOrganization", json!({ "FeatureSet": "ALL" }));
    let id = text(&made["Organization"], "Id").to_owned();
    let root = organization("ListRoots", json!({}));
    let root = text(&root["Roots"][0], "Id").to_owned();
    let everybody = json!({ "AWS": "*" });
    let by_id = conditioned(
        allow(everybody.clone(), json!("kms:Encrypt")),
        json!({ "StringEquals": { "aws:PrincipalOrgID": id } }),
    );
    let by_path = conditioned(
        allow(everybody, json!("kms:Encrypt")),
        json!({ "ForAnyValue:StringLike": {
            "aws:PrincipalOrgPaths": [format!("{id}/{root}/*")]
        } }),
    );
    for statement in [by_id, by_path] {
        let key = {
            let policy =
                policy_with(std::slice::from_ref(&statement)).replace("kms:*", "kms:PutKeyPolicy");
            arn_of(&vault.call("CreateKey", json!({ "Policy": policy })))
        };
        let body = json!({ "KeyId": key, "Plaintext": "AAAA" });
        vault.call("Encrypt", body.clone());
        let code = vault.code_as("customer", "Encrypt", body);
        assert_eq!(code, "AccessDeniedException", "outside: {statement}");
    }
}

#[test]
fn what_other_services_may() {
    use KeyUse::{
        Decrypt, DecryptDataKey, Encrypt, GenerateDataKey, ReEncryptFrom, ReEncryptOwn,
        ReEncryptTo, ReadBack,
    };
    let vault = Vault::new();
    let ec2 = "ec2.us-east-1.amazonaws.com";
    let needs = |usage: KeyUse| match usage {
        Encrypt => [
            "kms:DescribeKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:CreateGrant",
        ]
        .as_slice(),
        Decrypt => &["kms:DescribeKey", "kms:Decrypt"],
        ReEncryptFrom => &["kms:Decrypt", "kms:ReEncryptFrom", "kms:CreateGrant"],
        GenerateDataKey => &["kms:GenerateDataKey"],
        DecryptDataKey | ReadBack => &["kms:Decrypt"],
        ReEncryptTo => &["kms:ReEncryptTo"],
        ReEncryptOwn => &["kms:ReEncryptFrom"],
    };
    for usage in [
        Encrypt,
        Decrypt,
        ReEncryptFrom,
        GenerateDataKey,
        DecryptDataKey,
        ReEncryptTo,
        ReEncryptOwn,
        ReadBack,
    ] {
        let all = needs(usage);
        let whole = vault.key_with(&[allow(customer(), json!(all))]);
        assert_eq!(
            vault.authorize("customer", &whole, usage, Some(ec2)),
            Ok(()),
            "{usage:?}"
        );
        for left_out in all {
            let mut some: Vec<_> = all.iter().filter(|action| *action != left_out).collect();
            // No action at all is none that a statement can have.
            some.push(&"kms:ListAliases");
            let key = vault.key_with(&[allow(customer(), json!(some))]);
            let answer = vault.authorize("customer", &key, usage, Some(ec2));
            assert_eq!(
                answer,
                Err("AccessDeniedException".to_owned()),
                "{usage:?} {left_out}"
            );
        }
    }
    // Grants are made for services of AWS only, and by way of EC2 only.
    let key = vault.key_with(&[
        allow(
            customer(),
            json!(["kms:DescribeKey", "kms:GenerateDataKey*"]),
        ),
        conditioned(
            allow(customer(), json!("kms:CreateGrant")),
            json!({
                "Bool": { "kms:GrantIsForAWSResource": "true" },
                "StringEquals": { "kms:ViaService": ec2 },
                "ForAllValues:StringEquals": { "kms:GrantOperations": ["Decrypt", "Encrypt"] },
            }),
        ),
    ]);
    let denied = Err("AccessDeniedException".to_owned());
    assert_eq!(
        vault.authorize("customer", &key, Encrypt, Some(ec2)),
        Ok(())
    );
    let elsewhere = Some("ec2.eu-west-1.amazonaws.com");
    assert_eq!(
        vault.authorize("customer", &key, Encrypt, elsewhere),
        denied
    );
    assert_eq!(vault.authorize("customer", &key, Encrypt, None), denied);
    let body = json!({
        "KeyId": key, "GranteePrincipal": format!("arn:aws:iam::{CUSTOMER}:root"),
        "Operations": ["Decrypt"],
    });
    assert_eq!(
        vault.code_as("customer", "CreateGrant", body),
        "AccessDeniedException"
    );
}

#[test]
fn what_other_services_cannot_use() {
    let vault = Vault::new();
    let usage = KeyUse::Encrypt;
    let key = vault.key();
    let authorize = |key: &str| vault.authorize("publisher", key, usage, None);
    let code = |code: &str| Err(code.to_owned());
    assert_eq!(authorize(&key), Ok(()));
    vault.call("DisableKey", json!({ "KeyId": key }));
    assert_eq!(authorize(&key), code("DisabledException"));
    vault.call(
        "ScheduleKeyDeletion",
        json!({ "KeyId": key, "PendingWindowInDays": 7 }),
    );
    assert_eq!(authorize(&key), code("KMSInvalidStateException"));
    vault.bed.shared.clock.advance(key::DAY * 8);
    assert_eq!(authorize(&key), code("NotFoundException"));
    assert_eq!(
        authorize(&key.replace(PUBLISHER, CUSTOMER)),
        code("AccessDeniedException")
    );
    let signing = json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY" });
    let signing = arn_of(&vault.call("CreateKey", signing));
    assert_eq!(authorize(&signing), code("InvalidKeyUsageException"));
}

#[test]
fn the_default_key_serves_its_own_account() {
    let vault = Vault::new();
    let account = PUBLISHER.parse().expect("an account");
    let region: Region = REGION.parse().expect("a Region");
    let unmade = managed::ebs_key(&account, &region, vault.bed.shared.clock.now()).arn();
    let denied = Err("AccessDeniedException".to_owned());
    let check = |when: &str| {
        for usage in [KeyUse::Encrypt, KeyUse::Decrypt, KeyUse::ReEncryptFrom] {
            for via in [Some("ec2.us-east-1.amazonaws.com"), None] {
                let own = vault.authorize("publisher", &unmade, usage, via);
                assert_eq!(own, Ok(()), "{when} {usage:?} {via:?}");
                let other = vault.authorize("customer", &unmade, usage, via);
                assert_eq!(other, denied, "{when} {usage:?} {via:?}");
            }
            let other_service = Some("rds.us-east-1.amazonaws.com");
            let answer = vault.authorize("publisher", &unmade, usage, other_service);
            assert_eq!(answer, denied, "{when} {usage:?}");
        }
    };
    check("before it is made");
    let made = vault
        .bed
        .shared
        .transact(|world| Ok(ebs_default_key(world, &account, &region)));
    assert_eq!(made.expect("a key"), unmade);
    check("once it is made");
}

#[test]
fn references_of_other_services() {
    let vault = Vault::new();
    let key = vault.key();
    vault.call(
        "CreateAlias",
        json!({ "AliasName": "alias/a", "TargetKeyId": key }),
    );
    let id = key.rsplit('/').next().expect("an id");
    let alias = format!("arn:aws:kms:{REGION}:{PUBLISHER}:alias/a");
    let publisher: AccountId = PUBLISHER.parse().expect("an account");
    let customer: AccountId = CUSTOMER.parse().expect("an account");
    for (account, region, reference, found) in [
        (&publisher, REGION, id, true),
        (&publisher, REGION, key.as_str(), true),
        (&publisher, REGION, "alias/a", true),
        (&publisher, REGION, &alias, true),
        (&customer, REGION, &key, true),
        (&customer, REGION, &alias, true),
        (&customer, REGION, id, false),
        (&customer, REGION, "alias/a", false),
        (&publisher, "eu-west-1", &key, false),
        (&publisher, "eu-west-1", id, false),
        (&publisher, REGION, "alias/b", false),
        (&publisher, REGION, "arn:aws:kms", false),
        (&publisher, REGION, "", false),
    ] {
        let region = region.parse().expect("a Region");
        let answer = vault
            .bed
            .shared
            .read(|world| resolve(world, account, &region, reference));
        assert_eq!(
            answer,
            found.then(|| key.clone()),
            "{account} {region} {reference}"
        );
    }
}
