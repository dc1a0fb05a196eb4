//! Grants.

use std::time::Duration;

use super::*;

fn root(account: &str) -> String {
    format!("arn:aws:iam::{account}:root")
}

fn grant(key: &str, operations: &[&str]) -> Value {
    json!({ "KeyId": key, "GranteePrincipal": root(CUSTOMER), "Operations": operations })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn encrypt(key: &str) -> Value {
    json!({ "KeyId": key, "Plaintext": "AAAA" })
}

#[test]
fn a_grant_allows_its_operations() {
    let vault = Vault::new();
    let key = vault.key();
    assert_eq!(
        vault.code_as("customer", "Encrypt", encrypt(&key)),
        "AccessDeniedException"
    );
    let made = vault.call("CreateGrant", grant(&key, &["Encrypt", "DescribeKey"]));
    assert_eq!(text(&made, "GrantId").len(), 64);
    let sealed = vault
        .as_account("customer", "Encrypt", encrypt(&key))
        .expect("encrypted");
    vault
        .as_account("customer", "DescribeKey", json!({ "KeyId": key }))
        .expect("described");
    let decrypt = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    assert_eq!(
        vault.code_as("customer", "Decrypt", decrypt),
        "AccessDeniedException"
    );
    let listed = vault.call("ListGrants", json!({ "KeyId": key }));
    let entry = &listed["Grants"][0];
    for (name, value) in [
        ("KeyId", json!(key)),
        ("GrantId", made["GrantId"].clone()),
        ("GranteePrincipal", json!(root(CUSTOMER))),
        ("IssuingAccount", json!(root(PUBLISHER))),
        ("Operations", json!(["DescribeKey", "Encrypt"])),
    ] {
        assert_eq!(entry[name], value, "{name}");
    }
    let revoke = json!({ "KeyId": key, "GrantId": made["GrantId"] });
    vault.call("RevokeGrant", revoke.clone());
    assert_eq!(
        vault.code_as("customer", "Encrypt", encrypt(&key)),
        "AccessDeniedException"
    );
    assert_eq!(vault.code("RevokeGrant", revoke), "NotFoundException");
}

#[test]
fn a_denial_is_stronger_than_a_grant() {
    let vault = Vault::new();
    let key = vault.key_with(&[json!({
        "Effect": "Deny", "Principal": { "AWS": CUSTOMER }, "Action": "kms:Encrypt", "Resource": "*",
    })]);
    vault.call("CreateGrant", grant(&key, &["Encrypt", "DescribeKey"]));
    assert_eq!(
        vault.code_as("customer", "Encrypt", encrypt(&key)),
        "AccessDeniedException"
    );
    vault
        .as_account("customer", "DescribeKey", json!({ "KeyId": key }))
        .expect("described");
}

#[test]
fn a_name_makes_it_one_grant() {
    let vault = Vault::new();
    let key = vault.key();
    let named = with(
        grant(&key, &["Encrypt", "Decrypt"]),
        "Name",
        json!("customer-2"),
    );
    let first = vault.call("CreateGrant", named.clone());
    let same_again = with(
        named.clone(),
        "Operations",
        json!(["Decrypt", "Encrypt", "Encrypt"]),
    );
    let again = vault.call("CreateGrant", same_again);
    assert_eq!(first["GrantId"], again["GrantId"]);
    assert_ne!(first["GrantToken"], again["GrantToken"]);
    for (what, other) in [
        (
            "operations",
            with(named.clone(), "Operations", json!(["Decrypt"])),
        ),
        ("name", with(named.clone(), "Name", json!("customer-3"))),
        (
            "grantee",
            with(named.clone(), "GranteePrincipal", json!(root(PUBLISHER))),
        ),
        (
            "retiring",
            with(named.clone(), "RetiringPrincipal", json!(root(PUBLISHER))),
        ),
        (
            "constraints",
            with(
                named,
                "Constraints",
                json!({ "EncryptionContextEquals": { "a": "b" } }),
            ),
        ),
        ("no name", grant(&key, &["Encrypt", "Decrypt"])),
        ("no name again", grant(&key, &["Encrypt", "Decrypt"])),
    ] {
        assert_ne!(
            first["GrantId"],
            vault.call("CreateGrant", other)["GrantId"],
            "{what}"
        );
    }
    let listed = vault.call("ListGrants", json!({ "KeyId": key }));
    assert_eq!(listed["Grants"].as_array().map(Vec::len), Some(8));
}

#[test]
fn what_cannot_be_granted() {
    let vault = Vault::new();
    let key = vault.key();
    let signing = json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY" });
    let signing = arn_of(&vault.call("CreateKey", signing));
    let good = grant(&key, &["Encrypt"]);
    let pairs = |number: usize| -> serde_json::Map<String, Value> {
        (0..number)
            .map(|number| (number.to_string(), json!("")))
            .collect()
    };
    let subset = |context: Value| json!({ "EncryptionContextSubset": context });
    let (invalid, unsupported) = ("ValidationException", "UnsupportedOperationException");
    let arn = "InvalidArnException";
    for (body, code) in [
        (with(good.clone(), "Operations", json!([])), invalid),
        (
            with(good.clone(), "Operations", json!(["MakeCoffee"])),
            invalid,
        ),
        (with(good.clone(), "Operations", json!(["Sign"])), invalid),
        (with(good.clone(), "Operations", Value::Null), invalid),
        (grant(&signing, &["Encrypt"]), invalid),
        (
            with(
                grant(&signing, &["Sign"]),
                "Constraints",
                subset(json!({ "a": "b" })),
            ),
            invalid,
        ),
        (with(good.clone(), "GranteePrincipal", Value::Null), invalid),
        (with(good.clone(), "GranteePrincipal", json!(CUSTOMER)), arn),
        (with(good.clone(), "GranteePrincipal", json!("*")), arn),
        (
            with(
                good.clone(),
                "GranteePrincipal",
                json!("arn:aws:iam::1:root"),
            ),
            arn,
        ),
        (
            with(
                good.clone(),
                "GranteePrincipal",
                json!(root("11111111111x")),
            ),
            arn,
        ),
        (
            with(
                good.clone(),
                "GranteePrincipal",
                json!("arn:aws:iam::111111111111:user/*"),
            ),
            arn,
        ),
        (
            with(
                good.clone(),
                "RetiringPrincipal",
                json!("ec2.amazonaws.com"),
            ),
            arn,
        ),
        (
            with(
                good.clone(),
                "GranteeServicePrincipal",
                json!("ec2.amazonaws.com"),
            ),
            unsupported,
        ),
        (
            with(good.clone(), "Constraints", subset(json!(pairs(9)))),
            invalid,
        ),
        (
            with(
                good.clone(),
                "Constraints",
                subset(json!({ "a": "x".repeat(385) })),
            ),
            invalid,
        ),
        (
            with(
                good.clone(),
                "Constraints",
                json!({ "SourceArn": "arn:aws:s3:::a" }),
            ),
            unsupported,
        ),
        (with(good.clone(), "Name", json!("a b")), invalid),
        (with(good.clone(), "Name", json!("")), invalid),
        (
            with(good.clone(), "GrantTokens", json!(["x"])),
            "InvalidGrantTokenException",
        ),
        (
            with(good.clone(), "KeyId", json!("alias/none")),
            "NotFoundException",
        ),
        (
            with(good.clone(), "DryRun", json!(true)),
            "DryRunOperationException",
        ),
    ] {
        assert_eq!(vault.code("CreateGrant", body.clone()), code, "{body}");
    }
    let listed = vault.call("ListGrants", json!({ "KeyId": key }));
    assert_eq!(listed["Grants"], json!([]), "nothing was left behind");
    vault.bed.shared.limits.set("grants-per-key", 1);
    vault.call("CreateGrant", good.clone());
    assert_eq!(vault.code("CreateGrant", good), "LimitExceededException");
}

#[test]
fn constraints_bind_the_encryption_context() {
    let vault = Vault::new();
    for (kind, context, may) in [
        (
            "EncryptionContextEquals",
            json!({ "a": "1", "b": "2" }),
            true,
        ),
        (
            "EncryptionContextEquals",
            json!({ "a": "1", "b": "2", "c": "3" }),
            false,
        ),
        ("EncryptionContextEquals", json!({ "a": "1" }), false),
        (
            "EncryptionContextSubset",
            json!({ "a": "1", "b": "2", "c": "3" }),
            true,
        ),
        (
            "EncryptionContextSubset",
            json!({ "a": "1", "b": "3" }),
            false,
        ),
        ("EncryptionContextSubset", json!({}), false),
    ] {
        let key = vault.key();
        let constraints = json!({ kind: { "a": "1", "b": "2" } });
        let body = grant(&key, &["Encrypt", "DescribeKey"]);
        let made = vault.call(
            "CreateGrant",
            with(body, "Constraints", constraints.clone()),
        );
        let body = with(encrypt(&key), "EncryptionContext", context.clone());
        let answer = vault.as_account("customer", "Encrypt", body);
        assert_eq!(answer.is_ok(), may, "{kind} {context}: {answer:?}");
        // Describing has no context.
        vault
            .as_account("customer", "DescribeKey", json!({ "KeyId": key }))
            .expect("described");
        let filter = json!({ "KeyId": key, "GrantId": made["GrantId"] });
        let listed = vault.call("ListGrants", filter);
        assert_eq!(listed["Grants"][0]["Constraints"], constraints);
    }
}

#[test]
fn what_is_granted_on_is_no_more() {
    let vault = Vault::new();
    let key = vault.key();
    let subset = |context: Value| json!({ "EncryptionContextSubset": context });
    let parent = with(
        grant(&key, &["CreateGrant", "Encrypt", "Decrypt"]),
        "Constraints",
        subset(json!({ "a": "1" })),
    );
    vault.call("CreateGrant", parent);
    let child = |operations: &[&str], constraints: Value| {
        let body = with(grant(&key, operations), "Constraints", constraints);
        let answer = vault.as_account("customer", "CreateGrant", body);
        answer.map(|_| ()).map_err(|error| error.code.into_owned())
    };
    let denied = Err("AccessDeniedException".to_owned());
    assert_eq!(child(&["Encrypt"], subset(json!({ "a": "1" }))), Ok(()));
    assert_eq!(
        child(
            &["Decrypt", "Encrypt"],
            subset(json!({ "a": "1", "b": "2" }))
        ),
        Ok(())
    );
    let equals = json!({ "EncryptionContextEquals": { "a": "1" } });
    assert_eq!(child(&["Encrypt"], equals), Ok(()));
    assert_eq!(child(&["Encrypt"], json!({})), denied);
    assert_eq!(child(&["Encrypt"], subset(json!({ "a": "2" }))), denied);
    assert_eq!(child(&["DescribeKey"], subset(json!({ "a": "1" }))), denied);
    let listed = vault.call("ListGrants", json!({ "KeyId": key }));
    let issued = listed["Grants"].as_array().expect("grants");
    let by_customer = issued
        .iter()
        .filter(|entry| entry["IssuingAccount"] == root(CUSTOMER));
    assert_eq!(by_customer.count(), 3);
}

#[test]
fn a_grant_is_known_after_a_while_or_by_its_token() {
    let vault = Vault::new();
    let key = vault.key();
    let clock = &vault.bed.shared.clock;
    clock.set_scale(1.0);
    let made = vault.call("CreateGrant", grant(&key, &["Encrypt", "GenerateDataKey"]));
    assert_eq!(
        vault.code_as("customer", "Encrypt", encrypt(&key)),
        "AccessDeniedException"
    );
    let early = with(encrypt(&key), "GrantTokens", json!([made["GrantToken"]]));
    vault
        .as_account("customer", "Encrypt", early.clone())
        .expect("with the token");
    let other = vault.call("CreateGrant", grant(&vault.key(), &["Encrypt"]));
    let wrong = with(encrypt(&key), "GrantTokens", json!([other["GrantToken"]]));
    assert_eq!(
        vault.code_as("customer", "Encrypt", wrong),
        "AccessDeniedException"
    );
    clock.advance(Duration::from_secs(61));
    vault
        .as_account("customer", "Encrypt", encrypt(&key))
        .expect("known");
    // Its end is known everywhere after a while too.
    vault.call(
        "RevokeGrant",
        json!({ "KeyId": key, "GrantId": made["GrantId"] }),
    );
    assert_eq!(
        vault.call("ListGrants", json!({ "KeyId": key }))["Grants"],
        json!([])
    );
    vault
        .as_account("customer", "Encrypt", encrypt(&key))
        .expect("still");
    clock.advance(Duration::from_secs(61));
    assert_eq!(
        vault.code_as("customer", "Encrypt", early),
        "AccessDeniedException"
    );
    // Other services see grants by the same clock.
    let via = Some("ec2.us-east-1.amazonaws.com");
    vault.call("CreateGrant", grant(&key, &["DescribeKey", "Decrypt"]));
    let denied = Err("AccessDeniedException".to_owned());
    assert_eq!(
        vault.authorize("customer", &key, KeyUse::Decrypt, via),
        denied
    );
    clock.advance(Duration::from_secs(61));
    assert_eq!(
        vault.authorize("customer", &key, KeyUse::Decrypt, via),
        Ok(())
    );
}

#[test]
fn grants_for_other_services() {
    let vault = Vault::new();
    let via = Some("ec2.us-east-1.amazonaws.com");
    // What facts/aws.md has publishers grant to a customer.
    let all = [
        "DescribeKey",
        "Decrypt",
        "ReEncryptFrom",
        "ReEncryptTo",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "CreateGrant",
    ];
    let key = vault.key();
    vault.call("CreateGrant", grant(&key, &all));
    for usage in [KeyUse::Encrypt, KeyUse::Decrypt, KeyUse::ReEncryptFrom] {
        assert_eq!(
            vault.authorize("customer", &key, usage, via),
            Ok(()),
            "{usage:?}"
        );
    }
    let key = vault.key();
    let without: Vec<&str> = all
        .into_iter()
        .filter(|name| *name != "CreateGrant")
        .collect();
    vault.call("CreateGrant", grant(&key, &without));
    let denied = Err("AccessDeniedException".to_owned());
    assert_eq!(
        vault.authorize("customer", &key, KeyUse::ReEncryptFrom, via),
        denied
    );
    assert_eq!(
        vault.authorize("customer", &key, KeyUse::Decrypt, via),
        Ok(())
    );
}

#[test]
fn grantees_are_whom_the_grant_names() {
    let vault = Vault::new();
    let role = format!("arn:aws:iam::{CUSTOMER}:role/builder");
    let one = format!("arn:aws:sts::{CUSTOMER}:assumed-role/builder/one");
    let two = format!("arn:aws:sts::{CUSTOMER}:assumed-role/builder/two");
    let other_role = format!("arn:aws:sts::{CUSTOMER}:assumed-role/other/one");
    let user = format!("arn:aws:iam::{CUSTOMER}:user/admin");
    for (grantee, who, may) in [
        (&role, &one, true),
        (&role, &two, true),
        (&role, &other_role, false),
        (&role, &user, false),
        (&one, &one, true),
        (&one, &two, false),
        (&user, &user, true),
        (&user, &one, false),
        (&root(CUSTOMER), &one, true),
        (&root(CUSTOMER), &user, true),
        (&root(PUBLISHER), &user, false),
    ] {
        let key = vault.key();
        let body = grant(&key, &["DescribeKey", "Decrypt"]);
        vault.call(
            "CreateGrant",
            with(body, "GranteePrincipal", json!(grantee)),
        );
        let caller = vault.caller(who);
        let answer = vault
            .bed
            .shared
            .read(|world| authorize(world, &caller, &key, KeyUse::Decrypt, None));
        assert_eq!(answer.is_ok(), may, "{grantee} {who}: {answer:?}");
    }
}

#[test]
fn who_retires_a_grant() {
    let vault = Vault::new();
    let key = vault.key();
    let by_id = |made: &Value| json!({ "KeyId": key, "GrantId": made["GrantId"] });
    let by_token = |made: &Value| json!({ "GrantToken": made["GrantToken"] });
    let plain = grant(&key, &["Encrypt"]);
    let retirable = grant(&key, &["Encrypt", "RetireGrant"]);
    let retiring = with(plain.clone(), "RetiringPrincipal", json!(root(CUSTOMER)));
    for (body, account, may) in [
        (&plain, "customer", false),
        (&plain, "publisher", true),
        (&retirable, "customer", true),
        (&retiring, "customer", true),
    ] {
        for reference in [&by_id as &dyn Fn(&Value) -> Value, &by_token] {
            let made = vault.call("CreateGrant", body.clone());
            let dry = with(reference(&made), "DryRun", json!(true));
            let answer = vault.as_account(account, "RetireGrant", reference(&made));
            assert_eq!(answer.is_ok(), may, "{body} {account}: {answer:?}");
            let dry = vault.code_as(account, "RetireGrant", dry);
            let expected = if may {
                "NotFoundException"
            } else {
                "AccessDeniedException"
            };
            assert_eq!(dry, expected);
        }
    }
    let invalid = "ValidationException";
    for (body, code) in [
        (json!({}), invalid),
        (json!({ "KeyId": key }), invalid),
        (json!({ "GrantId": "x" }), invalid),
        (
            json!({ "KeyId": key, "GrantId": "x", "GrantToken": "x" }),
            invalid,
        ),
        (json!({ "KeyId": key, "GrantId": "x" }), "NotFoundException"),
        (json!({ "GrantToken": "x" }), "InvalidGrantTokenException"),
    ] {
        assert_eq!(vault.code("RetireGrant", body.clone()), code, "{body}");
    }
    let made = vault.call("CreateGrant", plain);
    let dry = with(by_id(&made), "DryRun", json!(true));
    assert_eq!(
        vault.code("RetireGrant", dry.clone()),
        "DryRunOperationException"
    );
    assert_eq!(vault.code("RevokeGrant", dry), "DryRunOperationException");
    assert_eq!(
        vault.code_as("customer", "RevokeGrant", by_id(&made)),
        "AccessDeniedException"
    );
    vault.call("RevokeGrant", by_id(&made));
}

#[test]
fn lists_of_grants() {
    let vault = Vault::new();
    let key = vault.key();
    let retiring = with(
        grant(&key, &["Encrypt"]),
        "RetiringPrincipal",
        json!(root(CUSTOMER)),
    );
    let mut ids: Vec<Value> = (0..3)
        .map(|_| vault.call("CreateGrant", retiring.clone())["GrantId"].clone())
        .collect();
    ids.sort_by_key(Value::to_string);
    let other = with(
        grant(&key, &["Encrypt"]),
        "GranteePrincipal",
        json!(root(PUBLISHER)),
    );
    let other = vault.call("CreateGrant", other);
    let found = |answer: &Value| -> Vec<Value> {
        let grants = answer["Grants"].as_array().expect("grants");
        grants
            .iter()
            .map(|grant| grant["GrantId"].clone())
            .collect()
    };
    let list = |members: Value| with(members, "KeyId", json!(key));
    let by_grantee = json!({ "GranteePrincipal": root(CUSTOMER) });
    assert_eq!(
        found(&vault.call("ListGrants", list(by_grantee.clone()))),
        ids
    );
    let by_id = json!({ "GrantId": other["GrantId"] });
    assert_eq!(
        found(&vault.call("ListGrants", list(by_id))),
        [other["GrantId"].clone()]
    );
    let first = vault.call(
        "ListGrants",
        list(with(by_grantee.clone(), "Limit", json!(2))),
    );
    let rest = with(by_grantee, "Marker", first["NextMarker"].clone());
    let rest = vault.call("ListGrants", list(rest));
    assert_eq!([found(&first), found(&rest)].concat(), ids);
    assert_eq!(
        (&first["Truncated"], &rest["Truncated"]),
        (&json!(true), &json!(false))
    );

    let retirable = json!({ "RetiringPrincipal": root(CUSTOMER) });
    let listed = vault.as_account("customer", "ListRetirableGrants", retirable.clone());
    assert_eq!(found(&listed.expect("grants")), ids);
    let elsewhere = vault.at(
        "customer",
        "eu-west-1",
        "ListRetirableGrants",
        retirable.clone(),
    );
    assert_eq!(found(&elsewhere.expect("grants")).len(), 0);
    assert_eq!(
        vault.code("ListRetirableGrants", retirable),
        "AccessDeniedException"
    );
    let denied = vault.code_as("customer", "ListGrants", json!({ "KeyId": key }));
    assert_eq!(denied, "AccessDeniedException");
    let invalid = vault.code("ListRetirableGrants", json!({}));
    assert_eq!(invalid, "ValidationException");
}
