//! What a customer's account still needs, and whether it works.

use serde_json::{Value, json};

use super::shop::{Shop, auto_scaling_role, ids};
use crate::least::cut;
use crate::publish::house::REGIONS;
use crate::sandbox::cli::Cli;
use crate::sandbox::client::Expect as _;
use crate::sandbox::place::{CUSTOMER, PUBLISHER};

/// What `--setup` prints, in JSON.
fn setup(shop: &Shop) -> Value {
    let args = ["--publisher", PUBLISHER, "--setup", "--output", "json"];
    serde_json::from_str(&shop.list(&args).done()).expect("JSON")
}

/// What `--check` finds, by Region and action.
fn outcomes(report: &str) -> Vec<(String, String, String)> {
    let report: Value = serde_json::from_str(report).expect("JSON");
    let checks = report["checks"].as_array().expect("checks");
    let text = |check: &Value, name: &str| check[name].as_str().expect(name).to_owned();
    let told = checks.iter().map(|check| {
        (
            text(check, "region"),
            text(check, "action"),
            text(check, "outcome"),
        )
    });
    told.collect()
}

#[test]
fn what_is_printed_makes_the_grants() {
    let shop = Shop::new();
    shop.sell();
    shop.open_key(REGIONS[0], true);
    shop.open_key(REGIONS[1], true);
    let told = setup(&shop);
    let grants = told["grants"].as_array().expect("grants");
    assert_eq!(grants.len(), 2, "{told:#}");
    let cli = Cli::new(&shop.house.place, "customer");
    for grant in grants {
        let region = grant["region"].as_str().expect("a Region");
        assert_eq!(grant["key"], shop.house.keys[region].as_str());
        let command = grant["command"].as_str().expect("a command");
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(words[0], "aws");
        let made = cli.json(&words[1..]);
        assert!(made["GrantId"].is_string(), "{made}");
        let key = json!({ "KeyId": shop.house.keys[region] });
        let list = shop
            .house
            .client(region)
            .kms("ListGrants", key)
            .done("grants");
        assert_eq!(list["Grants"][0]["GranteePrincipal"], auto_scaling_role());
        assert_eq!(
            list["Grants"][0]["Operations"].as_array().map(Vec::len),
            Some(8)
        );
    }
    let printed = shop.list(&["--publisher", PUBLISHER, "--setup"]).done();
    for grant in grants {
        assert!(
            printed.contains(grant["command"].as_str().expect("a command")),
            "{printed}"
        );
    }
}

#[test]
fn an_older_ami_does_not_tell_its_key() {
    let shop = Shop::new();
    let here = shop.house.client(REGIONS[0]);
    shop.offer(&here, "tests/base/3.15/alpine-3.15.11/x86_64/20260131.1");
    let ended = shop.list(&["--publisher", PUBLISHER, "--setup"]);
    assert!(
        ended.stderr.contains("does not") || ended.stderr.contains("no AMI's description"),
        "{}",
        ended.stderr
    );
    let key = format!("arn:aws:kms:{}:{PUBLISHER}:key/KEY-ID", REGIONS[0]);
    assert!(ended.done().contains(&key));
    // What cannot be tried is not missing.
    let args = ["--publisher", PUBLISHER, "--check", "--output", "json"];
    let checked = shop.list(&args);
    let told = outcomes(&checked.stdout);
    assert_eq!(checked.status, 0, "{}", checked.stderr);
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].2, "not-tried");
}

#[test]
fn a_check_tells_what_is_missing_until_it_is_there() {
    let shop = Shop::new();
    let args = ["--publisher", PUBLISHER, "--check"];
    let nothing = shop.list(&args);
    assert_eq!(nothing.status, 3, "{}", nothing.stderr);
    assert!(
        nothing.stderr.contains("ask the publisher"),
        "{}",
        nothing.stderr
    );

    let amis = shop.sell();
    // It may be launched, and the key may not be used.
    let closed = shop.list(&args);
    assert_eq!(closed.status, 3, "{}", closed.stderr);
    for word in [
        "ec2:RunInstances",
        &amis[0],
        &amis[1],
        "kms:DescribeKey",
        "MISSING",
        &shop.house.keys[REGIONS[0]],
        &format!("to let account {CUSTOMER} use the key"),
    ] {
        assert!(closed.stdout.contains(word), "{word}: {}", closed.stdout);
    }

    // With the key, and without leave to let Auto Scaling use it.
    shop.open_key(REGIONS[0], false);
    shop.open_key(REGIONS[1], true);
    let json = [&args[..], &["--output", "json"]].concat();
    let told = shop.list(&json);
    // Not everybody launches by Auto Scaling, and who does may have the grant already.
    assert_eq!(told.status, 0, "{}", told.stderr);
    let missing: Vec<_> = outcomes(&told.stdout)
        .into_iter()
        .filter(|(_, _, outcome)| outcome != "works")
        .collect();
    let grant = (
        REGIONS[0].to_owned(),
        "kms:CreateGrant".to_owned(),
        "missing-for-auto-scaling".to_owned(),
    );
    assert_eq!(missing, [grant], "{}", told.stdout);

    shop.open_key(REGIONS[0], true);
    let good = shop.list(&json);
    assert_eq!(good.status, 0, "{}", good.stdout);
    let told = outcomes(&good.stdout);
    let actions: Vec<&str> = told
        .iter()
        .take(6)
        .map(|(_, action, _)| action.as_str())
        .collect();
    assert_eq!(
        actions,
        [
            "ec2:RunInstances",
            "kms:DescribeKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:Decrypt",
            "kms:ReEncrypt*",
            "kms:CreateGrant",
        ]
    );
    assert_eq!(told.len(), 12);

    // Nothing was made by it.
    let key = json!({ "KeyId": shop.house.keys[REGIONS[0]] });
    let grants = shop
        .house
        .client(REGIONS[0])
        .kms("ListGrants", key)
        .done("grants");
    assert_eq!(grants["Grants"], json!([]));
    let customer = shop.house.place.customer();
    let instances = customer.ec2("DescribeInstances", &[]).done("instances");
    assert!(instances.items("reservationSet").is_empty());
}

#[test]
fn the_policy_is_enough_and_no_more() {
    let shop = Shop::new();
    let amis = shop.sell();
    for region in &REGIONS[..2] {
        shop.open_key(region, true);
    }
    let policy = setup(&shop)["policy"].clone();
    let args = ["--publisher", PUBLISHER];
    let listed = shop
        .confined(&policy, &[&args[..], &["--output", "json"]].concat())
        .done();
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(ids(&listed), [&amis[1], &amis[0]]);
    let check = [&args[..], &["--check"]].concat();
    let checked = shop.confined(&policy, &check);
    assert_eq!(checked.status, 0, "{}{}", checked.stdout, checked.stderr);

    // Without an action, that one is told.
    for action in [
        "ec2:DescribeImages",
        "ec2:DescribeRegions",
        "ec2:RunInstances",
        "kms:DescribeKey",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:CreateGrant",
    ] {
        let ended = shop.confined(&cut(&policy, action), &check);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        let looks = action.starts_with("ec2:Describe");
        let expected = match action {
            "kms:CreateGrant" => 0,
            _ if looks => 1,
            _ => 3,
        };
        assert_eq!(ended.status, expected, "{action}: {said}");
        assert!(
            said.contains(action.trim_end_matches('*')),
            "{action}: {said}"
        );
        assert!(looks || said.contains("list --setup"), "{action}: {said}");
    }
}
