//! Aliases.

use super::*;

fn alias(name: &str, key: &str) -> Value {
    json!({ "AliasName": name, "TargetKeyId": key })
}

#[test]
fn aliases_stand_for_keys() {
    let vault = Vault::new();
    let (one, two) = (vault.key(), vault.key());
    vault.call("CreateAlias", alias("alias/images", &one));
    let arn = format!("arn:aws:kms:{REGION}:{PUBLISHER}:alias/images");
    for reference in ["alias/images", &arn] {
        let described = vault.call("DescribeKey", json!({ "KeyId": reference }));
        assert_eq!(arn_of(&described), one, "{reference}");
    }
    vault.call("UpdateAlias", alias("alias/images", &two));
    let described = vault.call("DescribeKey", json!({ "KeyId": "alias/images" }));
    assert_eq!(arn_of(&described), two);
    let listed = vault.call("ListAliases", json!({ "KeyId": two }));
    assert_eq!(listed["Aliases"][0]["AliasArn"], arn);
    assert_eq!(
        vault.call("ListAliases", json!({ "KeyId": one }))["Aliases"],
        json!([])
    );
    vault.call("DeleteAlias", json!({ "AliasName": "alias/images" }));
    let code = vault.code("DescribeKey", json!({ "KeyId": "alias/images" }));
    assert_eq!(code, "NotFoundException");
}

#[test]
fn what_aliases_cannot_be() {
    let vault = Vault::new();
    let key = vault.key();
    let signing = arn_of(&vault.call(
        "CreateKey",
        json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY" }),
    ));
    vault.call("CreateAlias", alias("alias/taken", &key));
    let default = vault.call("DescribeKey", json!({ "KeyId": "alias/aws/ebs" }));
    let invalid = "ValidationException";
    for (operation, body, code) in [
        ("CreateAlias", alias("images", &key), invalid),
        ("CreateAlias", alias("alias/", &key), invalid),
        ("CreateAlias", alias("alias/a b", &key), invalid),
        ("CreateAlias", alias("alias/a:b", &key), invalid),
        (
            "CreateAlias",
            alias(&format!("alias/{}", "x".repeat(251)), &key),
            invalid,
        ),
        ("CreateAlias", alias("alias/new", "alias/taken"), invalid),
        ("CreateAlias", json!({ "AliasName": "alias/new" }), invalid),
        ("CreateAlias", json!({ "TargetKeyId": key }), invalid),
        (
            "CreateAlias",
            alias("alias/aws/mine", &key),
            "NotAuthorizedException",
        ),
        (
            "CreateAlias",
            alias("alias/taken", &key),
            "AlreadyExistsException",
        ),
        (
            "CreateAlias",
            alias("alias/new", "12345678-1234-1234-1234-123456789012"),
            "NotFoundException",
        ),
        (
            "CreateAlias",
            alias("alias/new", &arn_of(&default)),
            "AccessDeniedException",
        ),
        (
            "UpdateAlias",
            alias("alias/none", &key),
            "NotFoundException",
        ),
        ("UpdateAlias", alias("alias/taken", &signing), invalid),
        (
            "UpdateAlias",
            alias("alias/aws/ebs", &key),
            "NotAuthorizedException",
        ),
        (
            "DeleteAlias",
            json!({ "AliasName": "alias/none" }),
            "NotFoundException",
        ),
        (
            "DeleteAlias",
            json!({ "AliasName": "alias/aws/ebs" }),
            "NotAuthorizedException",
        ),
        // Operations that manage a key take no alias for it.
        (
            "DisableKey",
            json!({ "KeyId": "alias/taken" }),
            "NotFoundException",
        ),
        (
            "DisableKey",
            json!({ "KeyId": format!("arn:aws:kms:{REGION}:{PUBLISHER}:alias/taken") }),
            "InvalidArnException",
        ),
    ] {
        assert_eq!(
            vault.code(operation, body.clone()),
            code,
            "{operation} {body}"
        );
    }
}

#[test]
fn the_default_key_of_ebs() {
    let vault = Vault::new();
    assert_eq!(vault.call("ListKeys", json!({}))["Keys"], json!([]));
    let account = PUBLISHER.parse().expect("an account");
    let region = REGION.parse().expect("a Region");
    let shared = &vault.bed.shared;
    let early = shared.read(|world| resolve(world, &account, &region, managed::EBS_ALIAS));
    let made = shared.transact(|world| Ok(ebs_default_key(world, &account, &region)));
    let made = made.expect("a key");
    assert_eq!(early, Some(made.clone()), "its name is known before");
    let described = vault.call("DescribeKey", json!({ "KeyId": "alias/aws/ebs" }));
    assert_eq!(arn_of(&described), made);
    assert_eq!(described["KeyMetadata"]["KeyManager"], "AWS");
    shared.read(|world| assert!(is_aws_managed(world, &made)));
    let other = vault.key();
    shared.read(|world| assert!(!is_aws_managed(world, &other)));
    let aliases = vault.call("ListAliases", json!({}));
    assert_eq!(aliases["Aliases"][0]["AliasName"], "alias/aws/ebs");
    // It serves EC2 only, and cannot be managed.
    let denied = "AccessDeniedException";
    for (operation, body) in [
        ("Encrypt", json!({ "KeyId": made, "Plaintext": "AAAA" })),
        ("DisableKey", json!({ "KeyId": made })),
        ("ScheduleKeyDeletion", json!({ "KeyId": made })),
        ("TagResource", json!({ "KeyId": made, "Tags": [] })),
        (
            "PutKeyPolicy",
            json!({ "KeyId": made, "Policy": policy_with(&[]) }),
        ),
    ] {
        assert_eq!(vault.code(operation, body), denied, "{operation}");
    }
    assert_eq!(
        vault.code_as("customer", "DescribeKey", json!({ "KeyId": made })),
        denied
    );
}
