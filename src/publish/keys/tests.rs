use aws_sdk_kms::types::{KeySpec, KeyUsageType};

use super::*;
use crate::aws::testing::{ABROAD, Cloud, HOME, region};

const MRK: &str = "arn:aws:kms:us-east-1:111111111111:key/mrk-0123456789abcdef0123456789abcdef";
const SINGLE: &str = "arn:aws:kms:us-east-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef";

/// Keys of a configuration, as it is written.
fn keys(toml: &str) -> Keys {
    toml::from_str(toml).expect("a table of keys")
}

fn regions() -> Vec<Region> {
    vec![region(HOME), region(ABROAD)]
}

#[test]
fn each_region_has_a_name_or_a_problem() {
    let other = MRK.replace("us-east-1", "eu-west-1");
    let alias_arn = "arn:aws:kms:eu-west-1:111111111111:alias/images";
    for (toml, expected) in [
        (
            "us-east-1 = 'alias/a'\neu-west-1 = 'alias/b/c'",
            Ok(["alias/b/c", "alias/a"]),
        ),
        (&format!("multi_region = '{MRK}'"), Ok([&*other, MRK])),
        (
            &format!("multi_region = '{MRK}'\neu-west-1 = '{alias_arn}'"),
            Ok([alias_arn, MRK]),
        ),
        (
            &format!("multi_region = '{MRK}'\neu-west-1 = 'mrk-0123456789abcdef0123456789abcdef'"),
            Ok(["mrk-0123456789abcdef0123456789abcdef", MRK]),
        ),
        (
            "us-east-1 = 'alias/a'",
            Err("eu-west-1: `[publish.keys]` names no key"),
        ),
        (
            "us-east-1 = 'alias/a'\neu-west-1 = 'alias/aws/ebs'",
            Err("eu-west-1: alias/aws/ebs is managed by AWS"),
        ),
        (
            "us-east-1 = 'alias/a'\neu-west-1 = 'arn:aws:kms:eu-west-1:111111111111:alias/aws/s3'",
            Err("eu-west-1: arn:aws:kms:eu-west-1:111111111111:alias/aws/s3 is managed by AWS"),
        ),
        (
            &format!("us-east-1 = 'alias/a'\neu-west-1 = '{SINGLE}'"),
            Err(&format!("eu-west-1: {SINGLE} is in us-east-1")),
        ),
        (
            &format!("multi_region = '{SINGLE}'"),
            Err(&format!(
                "eu-west-1: `multi_region` names {SINGLE}, which is no multi-Region key"
            )),
        ),
        (
            "us-east-1 = 'alias/a'\neu-west-1 = 'images'",
            Err("eu-west-1: `images` is no alias"),
        ),
        (
            "us-east-1 = 'alias/a'\neu-west-1 = 'arn:aws:s3:::bucket'",
            Err("eu-west-1: `arn:aws:s3:::bucket` is no alias"),
        ),
        (
            "us-east-1 = 'alias/a'\neu-west-1 = ''",
            Err("eu-west-1: `` is no alias"),
        ),
    ] {
        let found = names(&keys(toml), &regions());
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                let values: Vec<&str> = found.values().map(String::as_str).collect();
                assert_eq!(values, expected, "{toml}");
            }
            (Err(errors), Err(expected)) => {
                let text = errors.to_string();
                assert!(text.starts_with(expected), "{toml}: {text}");
                assert!(errors.advice().is_some(), "{toml}");
            }
            (found, _) => panic!("{toml}: {found:?}"),
        }
    }
}

#[test]
fn a_misspelt_alias_is_recognised_and_a_strange_one_is_not() {
    let aliases = ["alias/images", "alias/backups", "alias/db"].map(str::to_owned);
    for (name, expected) in [
        ("alias/image", Some("alias/images")),
        ("alias/Images", Some("alias/images")),
        ("alias/imgaes", Some("alias/images")),
        ("alias/zzz", None),
    ] {
        assert_eq!(nearest(name, &aliases).as_deref(), expected, "{name}");
    }
    assert_eq!(nearest("alias/x", &[]), None);
}

#[test]
fn a_key_is_good_only_if_volumes_can_be_encrypted_under_it_now() {
    let good = Key {
        arn: SINGLE.parse().expect("an ARN"),
        state: KeyState::Enabled,
        customer_managed: true,
        spec: "SYMMETRIC_DEFAULT".to_owned(),
        usage: "ENCRYPT_DECRYPT".to_owned(),
        multi_region: false,
        deletion_date: None,
    };
    let with_state = |state| Key {
        state,
        ..good.clone()
    };
    let home = region(HOME);
    for usable in [KeyState::Enabled, KeyState::Updating] {
        let arn = check(&home, with_state(usable)).expect("a good key");
        assert_eq!(arn.as_str(), SINGLE);
    }
    let hmac = Key {
        spec: "HMAC_256".to_owned(),
        usage: "GENERATE_VERIFY_MAC".to_owned(),
        ..good.clone()
    };
    let doomed = Key {
        state: KeyState::PendingDeletion,
        deletion_date: OffsetDateTime::from_unix_timestamp(1_800_000_000).ok(),
        ..good.clone()
    };
    for (key, said) in [
        (with_state(KeyState::Disabled), "is disabled"),
        (with_state(KeyState::PendingImport), "it is pending import"),
        (with_state(KeyState::Unavailable), "it is unavailable"),
        (with_state(KeyState::Creating), "it is being created"),
        (with_state(KeyState::Other("Odd".to_owned())), "it is Odd"),
        (hmac, "spec HMAC_256 for GENERATE_VERIFY_MAC"),
        (doomed, "will be deleted on 2027-01-15"),
    ] {
        let error = check(&home, key).expect_err("no good");
        assert!(error.to_string().contains(said), "{error}");
    }
    let elsewhere = check(&region(ABROAD), good).expect_err("of another Region");
    assert!(matches!(elsewhere, KeyError::OtherRegion { .. }));
}

/// Makes a key with an alias.
async fn make(kms: &Kms, alias: &str) -> String {
    let made = kms.sdk().create_key().send().await.expect("a key");
    name_it(kms, alias, made.key_metadata().expect("metadata").key_id()).await
}

async fn name_it(kms: &Kms, alias: &str, id: &str) -> String {
    let call = kms.sdk().create_alias().alias_name(alias);
    call.target_key_id(id).send().await.expect("an alias");
    id.to_owned()
}

#[tokio::test]
async fn the_keys_of_all_regions_are_found() {
    let cloud = Cloud::start().await;
    let aws = cloud.aws().await;
    let home = make(&aws.kms(&region(HOME)), "alias/images").await;
    let abroad = make(&aws.kms(&region(ABROAD)), "alias/images").await;
    let asked = format!("us-east-1 = 'alias/images'\neu-west-1 = '{abroad}'");
    let found = resolve(&aws, &keys(&asked), &regions())
        .await
        .expect("keys");
    let ids: Vec<&str> = found.values().map(KeyArn::key_id).collect();
    assert_eq!(ids, [&abroad, &home]);
}

#[tokio::test]
async fn a_multi_region_key_is_found_where_it_has_replicas() {
    let cloud = Cloud::start().await;
    let aws = cloud.aws().await;
    let kms = aws.kms(&region(HOME));
    let made = kms.sdk().create_key().multi_region(true).send().await;
    let made = made.expect("a key");
    let arn = made
        .key_metadata()
        .and_then(|key| key.arn())
        .expect("an ARN");
    let asked = keys(&format!("multi_region = '{arn}'"));
    let errors = resolve(&aws, &asked, &regions())
        .await
        .expect_err("no replica");
    let [error] = errors.0.as_slice() else {
        panic!("{errors}");
    };
    assert_eq!(error.region(), &region(ABROAD));
    let advice = error.advice().expect("advice");
    assert!(
        advice.contains("aws kms replicate-key --key-id mrk-"),
        "{advice}"
    );

    let call = kms.sdk().replicate_key().key_id(arn).replica_region(ABROAD);
    call.send().await.expect("a replica");
    let found = resolve(&aws, &asked, &regions()).await.expect("keys");
    assert_eq!(found[&region(HOME)].as_str(), arn);
    assert_eq!(
        found[&region(ABROAD)].as_str(),
        arn.replace(HOME, ABROAD).as_str()
    );
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let cloud = Cloud::start().await;
    let aws = cloud.aws().await;
    // One Region for each thing that can be wrong with a key.
    let off = make(&aws.kms(&region("eu-west-2")), "alias/images").await;
    let sdk = aws.kms(&region("eu-west-2")).sdk().clone();
    sdk.disable_key().key_id(&off).send().await.expect("off");

    let doomed = make(&aws.kms(&region("eu-west-3")), "alias/images").await;
    let sdk = aws.kms(&region("eu-west-3")).sdk().clone();
    let call = sdk.schedule_key_deletion().key_id(&doomed);
    call.pending_window_in_days(7).send().await.expect("doomed");

    let signing = aws.kms(&region("us-west-2"));
    let call = signing.sdk().create_key().key_spec(KeySpec::EccNistP256);
    let made = call.key_usage(KeyUsageType::SignVerify).send().await;
    let made = made.expect("a key");
    let id = made.key_metadata().expect("metadata").key_id();
    name_it(&signing, "alias/images", id).await;

    make(&aws.kms(&region("us-east-2")), "alias/images-of-ours").await;
    make(&aws.kms(&region(HOME)), "alias/images").await;

    let asked = keys(
        "us-east-1 = 'alias/images'
         us-east-2 = 'alias/images-of-our'
         us-west-2 = 'alias/images'
         eu-west-1 = 'alias/aws/ebs'
         eu-west-2 = 'alias/images'
         eu-west-3 = 'alias/images'
         ap-south-1 = 'arn:aws:kms:ap-south-1:222222222222:key/01234567-89ab-cdef-0123-456789abcdef'",
    );
    let mut all: Vec<Region> = asked.by_region.keys().cloned().collect();
    all.push(region("sa-east-1"));
    let errors = resolve(&aws, &asked, &all).await.expect_err("no good");
    let told: Vec<(&str, &KeyError)> = errors
        .0
        .iter()
        .map(|error| (error.region().as_str(), error))
        .collect();
    let [
        ("ap-south-1", KeyError::Aws { error, .. }),
        ("eu-west-1", KeyError::AwsManaged { .. }),
        ("eu-west-2", KeyError::Disabled { key, .. }),
        ("eu-west-3", KeyError::PendingDeletion { date: Some(_), .. }),
        ("sa-east-1", KeyError::Missing { .. }),
        ("us-east-2", KeyError::NotThere { nearest, .. }),
        ("us-west-2", KeyError::NotForVolumes { spec, .. }),
    ] = told.as_slice()
    else {
        panic!("{errors}");
    };
    assert_eq!(error.kind, Kind::Denied);
    assert_eq!(key.key_id(), off);
    assert_eq!(nearest.as_deref(), Some("alias/images-of-ours"));
    assert_eq!(spec, "ECC_NIST_P256");
    let text = errors.to_string();
    assert!(
        text.starts_with("the keys of 7 Regions cannot be used:\n"),
        "{text}"
    );
    let advice = errors.advice().expect("advice");
    assert!(
        advice.contains("aws kms enable-key --region eu-west-2"),
        "{advice}"
    );
    // Nothing but looks.
    let made = cloud.calls("CreateGrant").await.len() + cloud.calls("GenerateDataKey").await.len();
    assert_eq!(made, 0);
}
