//! Keys of several Regions.

use super::*;

const OTHER: &str = "eu-west-1";

fn multi_region(vault: &Vault) -> String {
    arn_of(&vault.call("CreateKey", json!({ "MultiRegion": true })))
}

fn replicate(vault: &Vault, key: &str, region: &str) -> String {
    arn_of(&vault.call(
        "ReplicateKey",
        json!({ "KeyId": key, "ReplicaRegion": region }),
    ))
}

#[test]
fn a_replica_opens_what_the_primary_sealed() {
    let vault = Vault::new();
    let primary = multi_region(&vault);
    let replica = replicate(&vault, &primary, OTHER);
    assert_eq!(replica, primary.replace(REGION, OTHER), "the same id");
    assert!(primary.contains(":key/mrk-"), "{primary}");
    let sealed = vault.call(
        "Encrypt",
        json!({ "KeyId": primary, "Plaintext": "c2VjcmV0" }),
    );
    for named in [json!({}), json!({ "KeyId": replica })] {
        let mut body = named;
        body["CiphertextBlob"] = sealed["CiphertextBlob"].clone();
        let opened = vault.at("publisher", OTHER, "Decrypt", body);
        let opened = opened.expect("decrypted");
        assert_eq!(opened["Plaintext"], "c2VjcmV0");
        assert_eq!(opened["KeyId"], replica);
    }
    let single = vault.key();
    let sealed = vault.call("Encrypt", json!({ "KeyId": single, "Plaintext": "AAAA" }));
    let body = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    let error = vault.at("publisher", OTHER, "Decrypt", body);
    assert_eq!(
        error.expect_err("another Region").code,
        "AccessDeniedException"
    );
}

#[test]
fn relatives_know_each_other() {
    let vault = Vault::new();
    let primary = multi_region(&vault);
    let replica = replicate(&vault, &primary, OTHER);
    let described = vault.call("DescribeKey", json!({ "KeyId": primary }));
    let relations = &described["KeyMetadata"]["MultiRegionConfiguration"];
    assert_eq!(relations["MultiRegionKeyType"], "PRIMARY");
    assert_eq!(relations["PrimaryKey"]["Arn"], primary);
    assert_eq!(
        relations["ReplicaKeys"],
        json!([{ "Arn": replica, "Region": OTHER }])
    );

    vault.call(
        "UpdatePrimaryRegion",
        json!({ "KeyId": primary, "PrimaryRegion": OTHER }),
    );
    let described = vault.call("DescribeKey", json!({ "KeyId": primary }));
    let relations = &described["KeyMetadata"]["MultiRegionConfiguration"];
    assert_eq!(relations["MultiRegionKeyType"], "REPLICA");
    assert_eq!(relations["PrimaryKey"]["Arn"], replica);
    assert_eq!(relations["ReplicaKeys"][0]["Arn"], primary);
    let body = json!({ "KeyId": primary, "ReplicaRegion": "us-west-2" });
    assert_eq!(
        vault.code("ReplicateKey", body),
        "UnsupportedOperationException"
    );
}

#[test]
fn what_cannot_be_replicated() {
    let vault = Vault::new();
    let (single, primary) = (vault.key(), multi_region(&vault));
    replicate(&vault, &primary, OTHER);
    let to = |key: &str, region: &str| json!({ "KeyId": key, "ReplicaRegion": region });
    let unsupported = "UnsupportedOperationException";
    for (body, code) in [
        (to(&single, OTHER), unsupported),
        (to(&primary, OTHER), "AlreadyExistsException"),
        (to(&primary, REGION), "AlreadyExistsException"),
        (to(&primary, "mars-1"), "ValidationException"),
        (json!({ "KeyId": primary }), "ValidationException"),
    ] {
        assert_eq!(vault.code("ReplicateKey", body.clone()), code, "{body}");
    }
    let of_replica = vault.at(
        "publisher",
        OTHER,
        "ReplicateKey",
        to(&primary.replace(REGION, OTHER), "us-west-2"),
    );
    assert_eq!(of_replica.expect_err("a replica").code, unsupported);
    let to = |region: &str| json!({ "KeyId": primary, "PrimaryRegion": region });
    for (region, code) in [
        (REGION, unsupported),
        ("us-west-2", "NotFoundException"),
        ("mars-1", "ValidationException"),
    ] {
        assert_eq!(
            vault.code("UpdatePrimaryRegion", to(region)),
            code,
            "{region}"
        );
    }
    vault.call("DisableKey", json!({ "KeyId": primary }));
    let body = json!({ "KeyId": primary, "ReplicaRegion": "us-west-2" });
    assert_eq!(vault.code("ReplicateKey", body), "DisabledException");
    assert_eq!(
        vault.code("UpdatePrimaryRegion", to(OTHER)),
        "DisabledException"
    );
}

#[test]
fn a_replica_is_created_for_some_seconds() {
    let vault = Vault::new();
    let primary = multi_region(&vault);
    vault.bed.shared.clock.set_scale(1.0);
    let replica = replicate(&vault, &primary, OTHER);
    let use_it = || {
        let body = json!({ "KeyId": replica, "Plaintext": "AAAA" });
        vault.at("publisher", OTHER, "Encrypt", body)
    };
    assert_eq!(
        use_it().expect_err("too early").code,
        "KMSInvalidStateException"
    );
    vault
        .bed
        .shared
        .clock
        .advance(std::time::Duration::from_secs(6));
    use_it().expect("encrypted");
    vault.call(
        "UpdatePrimaryRegion",
        json!({ "KeyId": primary, "PrimaryRegion": OTHER }),
    );
    use_it().expect("a key that is updated can be used");
    let body = json!({ "KeyId": replica, "ReplicaRegion": "us-west-2" });
    let error = vault.at("publisher", OTHER, "ReplicateKey", body.clone());
    assert_eq!(
        error.expect_err("too early").code,
        "KMSInvalidStateException"
    );
    vault
        .bed
        .shared
        .clock
        .advance(std::time::Duration::from_secs(6));
    vault
        .at("publisher", OTHER, "ReplicateKey", body)
        .expect("replicated");
}

#[test]
fn a_primary_outlives_its_replicas() {
    let vault = Vault::new();
    let primary = multi_region(&vault);
    let replica = replicate(&vault, &primary, OTHER);
    let week = |key: &str| json!({ "KeyId": key, "PendingWindowInDays": 7 });
    let scheduled = vault.call("ScheduleKeyDeletion", week(&primary));
    assert_eq!(scheduled["KeyState"], "PendingReplicaDeletion");
    assert!(scheduled.get("DeletionDate").is_none(), "{scheduled}");
    let state = || {
        let described = vault.call("DescribeKey", json!({ "KeyId": primary }));
        text(&described["KeyMetadata"], "KeyState").to_owned()
    };
    vault.bed.shared.clock.advance(key::DAY * 30);
    assert_eq!(state(), "PendingReplicaDeletion");
    let of_replica = vault.at("publisher", OTHER, "ScheduleKeyDeletion", week(&replica));
    assert_eq!(
        of_replica.expect("scheduled")["KeyState"],
        "PendingDeletion"
    );
    vault.bed.shared.clock.advance(key::DAY * 8);
    assert_eq!(state(), "PendingDeletion", "its own time begins");
    vault.bed.shared.clock.advance(key::DAY * 7);
    let code = vault.code("DescribeKey", json!({ "KeyId": primary }));
    assert_eq!(code, "NotFoundException");
}

#[test]
fn policies_of_relatives_are_their_own() {
    let vault = Vault::new();
    let primary = multi_region(&vault);
    let policy = policy_with(&[json!({
        "Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
    })]);
    let body = json!({
        "KeyId": primary, "ReplicaRegion": OTHER, "Policy": policy, "Description": "replica",
        "Tags": [{ "TagKey": "a", "TagValue": "1" }],
    });
    let answer = vault.call("ReplicateKey", body);
    assert_eq!(answer["ReplicaPolicy"], policy);
    assert_eq!(answer["ReplicaTags"][0]["TagValue"], "1");
    let body = json!({ "KeyId": arn_of(&answer), "Plaintext": "AAAA" });
    let error = vault.at("publisher", OTHER, "Encrypt", body);
    assert_eq!(error.expect_err("denied").code, "AccessDeniedException");
    vault.call("Encrypt", json!({ "KeyId": primary, "Plaintext": "AAAA" }));
    // Rotation is the primary's.
    vault.call("EnableKeyRotation", json!({ "KeyId": primary }));
    let replica = json!({ "KeyId": arn_of(&answer) });
    let status = vault.at("publisher", OTHER, "GetKeyRotationStatus", replica.clone());
    assert_eq!(status.expect("a status")["KeyRotationEnabled"], true);
    let error = vault.at("publisher", OTHER, "DisableKeyRotation", replica);
    assert_eq!(
        error.expect_err("a replica").code,
        "UnsupportedOperationException"
    );
}

#[test]
fn a_replica_made_again_has_nothing_of_the_former() {
    let vault = Vault::new();
    let primary = multi_region(&vault);
    let replica = replicate(&vault, &primary, OTHER);
    let there = |operation: &str, body: Value| {
        vault
            .at("publisher", OTHER, operation, body)
            .unwrap_or_else(|error| panic!("{operation}: {error}"))
    };
    let grantee = format!("arn:aws:iam::{CUSTOMER}:root");
    there(
        "CreateGrant",
        json!({ "KeyId": replica, "GranteePrincipal": grantee, "Operations": ["Decrypt"] }),
    );
    let alias = |name: &str, key: &str| json!({ "AliasName": name, "TargetKeyId": key });
    there("CreateAlias", alias("alias/former", &replica));
    let bystander = arn_of(&there("CreateKey", json!({})));
    there("CreateAlias", alias("alias/bystander", &bystander));
    vault.call("CreateAlias", alias("alias/primary", &primary));
    there(
        "ScheduleKeyDeletion",
        json!({ "KeyId": replica, "PendingWindowInDays": 7 }),
    );
    vault.bed.shared.clock.advance(key::DAY * 8);
    assert_eq!(replicate(&vault, &primary, OTHER), replica);
    vault.bed.shared.clock.advance(key::DAY);
    let grants = there("ListGrants", json!({ "KeyId": replica }));
    assert_eq!(grants["Grants"], json!([]));
    let aliases = there("ListAliases", json!({ "KeyId": replica }));
    assert_eq!(aliases["Aliases"], json!([]));
    let other = there("ListAliases", json!({ "KeyId": bystander }));
    assert_eq!(other["Aliases"][0]["AliasName"], "alias/bystander");
    let of_primary = vault.call("ListAliases", json!({ "KeyId": primary }));
    assert_eq!(of_primary["Aliases"][0]["AliasName"], "alias/primary");
    there("CreateAlias", alias("alias/former", &replica));
}
