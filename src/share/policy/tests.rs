use serde_json::json;

use super::*;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn key() -> KeyArn {
    KEY.parse().expect("an ARN")
}

fn account(text: &str) -> AccountId {
    text.parse().expect("an account")
}

fn user(text: &str) -> User {
    match text.split_once('/') {
        Some((organization, unit)) => User::Unit(organization.to_owned(), unit.to_owned()),
        None if text.starts_with("o-") => User::Organization(text.to_owned()),
        None => User::Account(account(text)),
    }
}

/// A policy that somebody wrote by hand, in an order of his own.
fn own() -> Value {
    json!({
        "Id": "mine",
        "Version": "2012-10-17",
        "Statement": [
            { "Resource": "*", "Effect": "Allow", "Sid": "Root", "Action": "kms:*",
              "Principal": { "AWS": "arn:aws:iam::111122223333:root" } },
            { "Sid": "Partner", "Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": "*",
              "Principal": { "AWS": ["999900001111", "arn:aws:iam::111122223333:role/own"] } },
        ]
    })
}

fn parsed(value: &Value) -> KeyPolicy {
    KeyPolicy::parse(&value.to_string(), "tests").expect("a policy")
}

#[test]
fn what_is_not_ours_stays_as_it_is() {
    let before = own();
    let users = [
        "222233334444",
        "o-a1b2c3d4e5",
        "o-a1b2c3d4e5/ou-ab12-cd34ef56",
    ]
    .map(user);
    let shared = parsed(&before).with(&users);
    let text = shared.text(&key());
    let after: Value = serde_json::from_str(&text).expect("JSON");
    let statements = after["Statement"].as_array().expect("statements");
    assert_eq!(statements.len(), 2 + 9);
    assert_eq!(
        statements[..2],
        before["Statement"].as_array().expect("two")[..]
    );
    assert!(
        text.starts_with("{\"Id\":\"mine\",\"Version\":\"2012-10-17\",\"Statement\":["),
        "{text}"
    );

    let again = KeyPolicy::parse(&text, "tests").expect("a policy");
    assert!(again.is_as_written());
    assert!(users.iter().all(|user| again.has(user)));
    assert_eq!(again.text(&key()), text);
    let none = again.without(&users).text(&key());
    assert_eq!(serde_json::from_str::<Value>(&none).expect("JSON"), before);
}

#[test]
fn statements_are_what_aws_documents() {
    let users = [
        "222233334444",
        "o-a1b2c3d4e5",
        "o-a1b2c3d4e5/ou-ab12-cd34ef56",
    ]
    .map(user);
    let text = parsed(&own()).with(&users).text(&key());
    let policy: Value = serde_json::from_str(&text).expect("JSON");
    let find = |sid: &str| {
        let statements = policy["Statement"].as_array().expect("statements");
        let found = statements.iter().find(|one| one["Sid"] == sid);
        found
            .unwrap_or_else(|| panic!("no {sid} in {policy:#}"))
            .clone()
    };
    assert_eq!(
        find("AlpineAmiSharetestsAccountsUse"),
        json!({
            "Sid": "AlpineAmiSharetestsAccountsUse",
            "Effect": "Allow",
            "Principal": { "AWS": ["arn:aws:iam::222233334444:root"] },
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            "Resource": "*",
        })
    );
    let grant = find("AlpineAmiSharetestsAccountsGrant");
    assert_eq!(grant["Action"], json!(["kms:CreateGrant"]));
    assert_eq!(
        grant["Condition"],
        json!({ "Bool": { "kms:GrantIsForAWSResource": "true" } })
    );
    let organization = find("AlpineAmiSharetestsOrganizationsGrant");
    assert_eq!(organization["Principal"], json!({ "AWS": "*" }));
    assert_eq!(
        organization["Condition"],
        json!({
            "Bool": { "kms:GrantIsForAWSResource": "true" },
            "StringEquals": { "aws:PrincipalOrgID": ["o-a1b2c3d4e5"] },
        })
    );
    let unit = find("AlpineAmiSharetestsUnitsUse");
    assert_eq!(
        unit["Condition"],
        json!({ "ForAnyValue:StringLike": {
            "aws:PrincipalOrgPaths": ["o-a1b2c3d4e5/*/ou-ab12-cd34ef56/*"],
        } })
    );
    let scaling = find("AlpineAmiSharetestsUnitsAutoScaling");
    let role = &scaling["Condition"]["StringLike"]["kms:GranteePrincipal"];
    assert!(
        role.as_str()
            .expect("an ARN")
            .ends_with("/AWSServiceRoleForAutoScaling*")
    );
}

/// AWS gives a policy back in other forms than it was given: accounts as ARNs, lists of one as texts,
/// lists in another order.
#[test]
fn forms_make_no_difference_and_changes_do() {
    let users = ["222233334444", "333344445555"].map(user);
    let text = parsed(&own()).with(&users).text(&key());
    let policy: Value = serde_json::from_str(&text).expect("JSON");
    let changed = |change: fn(&mut Value)| {
        let mut policy = policy.clone();
        let statements = policy["Statement"].as_array_mut().expect("statements");
        change(&mut statements[3]);
        assert!(
            statements[3]["Sid"]
                .as_str()
                .expect("ours")
                .ends_with("AccountsGrant")
        );
        parsed(&policy)
    };
    for same in [
        changed(|_| {}),
        changed(|statement| statement["Action"] = json!("kms:CreateGrant")),
        changed(|statement| {
            statement["Principal"]["AWS"] = json!(["333344445555", "222233334444"])
        }),
    ] {
        assert!(same.is_as_written());
        assert!(users.iter().all(|user| same.has(user)));
    }
    for other in [
        changed(|statement| statement["Condition"] = json!({})),
        changed(|statement| statement["Effect"] = json!("Deny")),
        changed(|statement| statement["Action"] = json!(["kms:*"])),
    ] {
        assert!(!other.is_as_written());
        let mended = other.with(&[]);
        assert_eq!(mended.text(&key()), text);
    }
    // Somebody wrote a role into our statement; and took an account out of one of the three.
    let other = changed(|statement| {
        statement["Principal"]["AWS"] = json!(["arn:aws:iam::444455556666:role/r", "333344445555"]);
    });
    let stranger = User::Other("arn:aws:iam::444455556666:role/r".to_owned());
    assert!(other.users().any(|user| *user == stranger));
    assert!(!other.has(&users[0]) && other.has(&users[1]) && !other.has(&stranger));
    let again = KeyPolicy::parse(&other.with(&users).text(&key()), "tests").expect("a policy");
    assert!(again.has(&users[0]) && again.users().any(|user| *user == stranger));
}

#[test]
fn who_could_not_change_it_again_is_seen() {
    let policy = |statements: Value| parsed(&json!({ "Statement": statements }));
    let me = "arn:aws:sts::111122223333:assumed-role/publisher/alpine-ami";
    for (statements, expected) in [
        (own()["Statement"].clone(), true),
        (
            json!([{ "Effect": "Allow", "Principal": { "AWS": "111122223333" }, "Action": "kms:Put*" }]),
            true,
        ),
        (
            json!({ "Effect": "Allow", "Principal": "*", "Action": ["kms:P?tKeyPolicy"] }),
            true,
        ),
        (
            json!([{ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111122223333:role/publisher" }, "Action": "*" }]),
            true,
        ),
        (
            json!([{ "Effect": "Allow", "Principal": { "AWS": "111122223333" }, "NotAction": "kms:Decrypt" }]),
            true,
        ),
        (
            json!([{ "Effect": "Allow", "Principal": { "AWS": "111122223333" }, "Action": "kms:Get*" }]),
            false,
        ),
        (
            json!([{ "Effect": "Allow", "Principal": { "AWS": "222233334444" }, "Action": "kms:*" }]),
            false,
        ),
        (
            json!([{ "Effect": "Allow", "Principal": { "AWS": "111122223333" }, "Action": "kms:*",
                  "Condition": { "Bool": { "aws:MultiFactorAuthPresent": "true" } } }]),
            true,
        ),
        (
            json!([{ "Effect": "Allow", "Principal": { "AWS": "111122223333" }, "Action": "kms:*" },
                { "Effect": "Deny", "Principal": "*", "Action": "kms:PutKeyPolicy" }]),
            false,
        ),
        (
            json!([{ "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "kms:*" }]),
            false,
        ),
    ] {
        let told = policy(statements.clone()).can_be_changed_by(&account("111122223333"), me);
        assert_eq!(told, expected, "{statements}");
    }
}

/// Two publishers may share a key: each leaves the other's statements alone.
#[test]
fn another_publishers_statements_are_not_ours() {
    let users = ["222233334444"].map(user);
    let text = parsed(&own()).with(&users).text(&key());
    let other = KeyPolicy::parse(&text, "staging").expect("a policy");
    assert_eq!(other.users().count(), 0);
    assert!(other.is_as_written());
    let foreign = other.foreign(&account("111122223333"));
    assert!(
        foreign.iter().any(|one| one.who.contains("222233334444")),
        "{foreign:?}"
    );
    let both = other.with(&users);
    let ours = KeyPolicy::parse(&both.text(&key()), "tests").expect("a policy");
    assert!(ours.has(&users[0]) && ours.is_as_written());
    assert_eq!(both.without(&users).text(&key()), text);
}

/// Whoever somebody has put under another operator is found, and stays when it is mended.
#[test]
fn nobody_is_lost_when_a_statement_is_mended() {
    let users = ["o-a1b2c3d4e5"].map(user);
    let text = parsed(&own()).with(&users).text(&key());
    let text = text.replace("StringEquals", "StringLike");
    let policy = KeyPolicy::parse(&text, "tests").expect("a policy");
    assert!(!policy.is_as_written() && policy.has(&users[0]));
}

#[test]
fn strangers_in_other_statements_are_told() {
    let mut policy = own();
    let statements = policy["Statement"].as_array_mut().expect("statements");
    statements.push(
        json!({ "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
        "Condition": { "StringEquals": { "aws:PrincipalOrgID": "o-a1b2c3d4e5" } } }),
    );
    statements.push(
        json!({ "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "kms:*",
        "Condition": { "StringEquals": { "kms:CallerAccount": "111122223333" } } }),
    );
    statements.push(
        json!({ "Effect": "Deny", "Principal": { "AWS": "777788889999" }, "Action": "kms:*" }),
    );
    let foreign = parsed(&policy).foreign(&account("111122223333"));
    let told: Vec<_> = foreign
        .iter()
        .map(|one| (one.statement.as_str(), one.who.as_str()))
        .collect();
    assert_eq!(
        told,
        [("Partner", "999900001111"), ("number 3", "o-a1b2c3d4e5")]
    );
}

#[test]
fn room_is_what_fits() {
    let policy = parsed(&own());
    let room = policy.room(&key());
    assert!((300..700).contains(&room), "{room}");
    let accounts = |count: usize| -> Vec<User> {
        let number = |number| account(&format!("{number:012}"));
        (0..count).map(|each| User::Account(number(each))).collect()
    };
    let full = policy.with(&accounts(room));
    assert!(full.text(&key()).len() <= MOST_BYTES);
    assert!(policy.with(&accounts(room + 1)).text(&key()).len() > MOST_BYTES);
}

#[test]
fn what_is_no_policy_is_told() {
    for (text, why) in [
        ("", "EOF"),
        ("[]", "no JSON object"),
        ("{}", "no statements"),
        ("{\"Statement\": 1}", "no statements"),
    ] {
        let error = KeyPolicy::parse(text, "tests").expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}
