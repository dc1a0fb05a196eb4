use super::*;

fn place() -> Place {
    Place {
        bucket: "images".to_owned(),
        prefix: "a/".to_owned(),
        region: "eu-west-1".parse().expect("a Region"),
        publisher: "te-sts".to_owned(),
    }
}

fn parsed(text: Option<&str>) -> CatalogPolicy {
    CatalogPolicy::parse(text, place()).expect("a policy")
}

fn account(number: u64) -> Reader {
    let id = format!("{number:012}").parse().expect("twelve digits");
    Reader::Party(User::Account(id))
}

fn readers() -> BTreeSet<Reader> {
    let organization = User::Organization("o-a1b2c3d4e5".to_owned());
    let unit = User::Unit("o-f1f2f3f4f5".to_owned(), "ou-ab12-cd34ef56".to_owned());
    [
        account(222_233_334_444),
        Reader::Party(organization),
        Reader::Party(unit),
    ]
    .into()
}

#[test]
fn readers_get_the_catalog_and_nothing_else() {
    let text = parsed(None).with(&readers()).text().expect("statements");
    let policy: Value = serde_json::from_str(&text).expect("JSON");
    let resources = json!([
        "arn:aws:s3:::images/a/catalog/*",
        "arn:aws:s3:::images/a/channels/*",
        "arn:aws:s3:::images/a/releases/*"
    ]);
    let statements = policy["Statement"].as_array().expect("statements");
    assert_eq!(statements.len(), 3);
    for statement in statements {
        assert_eq!(statement["Action"], "s3:GetObject");
        assert_eq!(statement["Resource"], resources);
    }
    assert_eq!(statements[0]["Sid"], "AlpineAmiCatalogtestsAccounts");
    assert_eq!(
        statements[0]["Principal"],
        json!({"AWS": ["arn:aws:iam::222233334444:root"]})
    );
    assert_eq!(
        statements[1]["Condition"],
        json!({"StringEquals": {"aws:PrincipalOrgID": ["o-a1b2c3d4e5"]}})
    );
    assert_eq!(
        statements[2]["Condition"],
        json!({
            "StringEquals": {"aws:PrincipalOrgID": ["o-f1f2f3f4f5"]},
            "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": ["o-f1f2f3f4f5/*/ou-ab12-cd34ef56/*"]},
        })
    );
    let again = parsed(Some(&text));
    assert!(again.is_as_written());
    assert_eq!(*again.readers(), readers());
    let public = parsed(None).with(&[Reader::Everybody].into());
    let public: Value = serde_json::from_str(&public.text().expect("one")).expect("JSON");
    assert_eq!(public["Statement"][0]["Principal"], "*");
    assert_eq!(public["Statement"][0]["Resource"], resources);
}

#[test]
fn what_is_not_ours_stays_as_it_is() {
    let own = r#"{"Id":"mine","Version":"2012-10-17","Statement":{"Sid":"AlpineAmiCatalogothersAccounts","Effect":"Allow","Principal":{"AWS":"999900001111"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::images/b/*"}}"#;
    let before = parsed(Some(own));
    assert!(before.readers().is_empty());
    let own_account = "111122223333".parse().expect("an account");
    let foreign: Vec<String> = before
        .foreign(&own_account)
        .into_iter()
        .map(|one| one.who)
        .collect();
    assert_eq!(foreign, ["999900001111"]);
    let shared = before.with(&readers());
    let text = shared.text().expect("statements");
    assert!(text.starts_with(r#"{"Id":"mine","Version":"2012-10-17","Statement":[{"Sid":"AlpineAmiCatalogothersAccounts","#), "{text}");
    let back = parsed(Some(&text)).without(&readers());
    let back: Value = serde_json::from_str(&back.text().expect("others")).expect("JSON");
    let own: Value = serde_json::from_str(own).expect("JSON");
    assert_eq!(back["Statement"], json!([own["Statement"]]));
    // Nothing is left: there is no empty policy.
    let alone = parsed(None).with(&readers());
    assert_eq!(alone.without(&readers()).text(), None);
}

#[test]
fn what_somebody_changed_is_seen_and_nobody_is_lost() {
    let text = parsed(None).with(&readers()).text().expect("statements");
    for (from, to) in [
        ("s3:GetObject", "s3:*"),
        ("/a/channels/*", "/*"),
        ("StringEquals", "StringLike"),
        (r#""Effect":"Allow","#, r#""Effect":"Deny","#),
    ] {
        assert!(text.contains(from), "{from}");
        let changed = parsed(Some(&text.replace(from, to)));
        assert!(!changed.is_as_written(), "{to}");
        assert_eq!(*changed.readers(), readers(), "{to}");
        assert_eq!(changed.with(&BTreeSet::new()).text().expect("one"), text);
    }
    for bad in ["", "[]", "{}", r#"{"Statement": "all"}"#] {
        assert!(CatalogPolicy::parse(Some(bad), place()).is_err(), "{bad}");
    }
}

#[test]
fn there_is_room_for_so_many_more_accounts() {
    let mut policy = parsed(None).with(&readers());
    let room = policy.room();
    assert!((300..600).contains(&room), "{room}");
    let more: BTreeSet<Reader> = (1..=room as u64).map(account).collect();
    policy = policy.with(&more);
    assert!(policy.bytes() <= MOST_BYTES, "{}", policy.bytes());
    assert_eq!(policy.room(), 0);
    assert!(policy.with(&[account(0)].into()).bytes() > MOST_BYTES);
}
