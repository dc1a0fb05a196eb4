//! The catalog, served to customers by the bucket's policy, or to everybody.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::street::{Release, Street};
use crate::publish::house::{BUCKET, REGIONS};
use crate::release::{configured, signing};
use crate::sandbox::client::{Call, Client, Expect as _, Refused};
use crate::sandbox::place::PUBLISHER;
use crate::support::Ended;

/// A publisher that signs, whose catalog these may read; a release is in `stable`, and all four are
/// customers.
fn served(readers: &str) -> (Street, Release) {
    let street = Street::new();
    signing(&street.house);
    configured(
        &street.house,
        &format!("[share]\ncatalog = \"{readers}\"\n"),
    );
    street.file(&["acme", "globex", "initech", "umbrella"], "");
    let release = street.release(&[(0, 1)]);
    street.promote(&release);
    (street, release)
}

fn reconfigure(street: &Street, from: &str, to: &str) {
    let file = street.house.folder().join("alpine-ami.toml");
    let text = fs::read_to_string(&file).expect("the configuration");
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replace(from, to)).expect("written");
}

fn get(client: &Client, key: &str) -> Result<String, Refused> {
    let answer = client.s3(&Call::new("GET", &format!("/{BUCKET}/{key}")));
    answer.map(|answer| answer.text())
}

/// What customers are to read.
fn papers(release: &Release) -> [String; 5] {
    let beside = |name: &str| format!("releases/{}/{name}", release.id());
    [
        "catalog/index.html".to_owned(),
        "catalog/index.json".to_owned(),
        "channels/stable.json".to_owned(),
        beside("release.json"),
        beside("provenance.intoto.json"),
    ]
}

fn put_policy(street: &Street, policy: &Value) {
    let call = Call::new("PUT", &format!("/{BUCKET}?policy")).body(policy.to_string());
    street.house.client(REGIONS[0]).s3(&call).done("a policy");
}

/// The program in another account, without any configuration.
fn as_customer(street: &Street, client: &Client, args: &[&str]) -> Ended {
    let home = street.house.folder().join("customer");
    fs::create_dir_all(&home).expect("a folder");
    let key = street.house.folder().join("signing.pem.pub");
    let mut command = street.house.program();
    command
        .current_dir(&home)
        .env("HOME", &home)
        .env("AWS_ACCESS_KEY_ID", &client.keys.id)
        .env("AWS_SECRET_ACCESS_KEY", &client.keys.secret)
        .env_remove("AWS_SESSION_TOKEN")
        .args(args)
        .arg("--key")
        .arg(key);
    if let Some(session) = &client.keys.session {
        command.env("AWS_SESSION_TOKEN", session);
    }
    Ended::from(command.output().expect("it starts"))
}

/// Sees that somebody lists what is in `stable`, and verifies it, from a catalog.
#[track_caller]
fn lists_and_verifies(street: &Street, client: &Client, release: &Release, catalog: &str) {
    let region = REGIONS[0];
    let ami = release.ami(region);
    let from = ["--region", region, "--catalog", catalog];
    let publisher = ["list", "--publisher", PUBLISHER, "--channel", "stable"];
    let list = [&publisher, &from[..], &["--format", "json"]].concat();
    let listed: Value =
        serde_json::from_str(&as_customer(street, client, &list).done()).expect("JSON");
    let images = listed["images"].as_array().expect("images");
    assert_eq!(images.len(), 1, "{listed}");
    assert_eq!(images[0]["ami"], ami);
    assert_eq!(images[0]["channels"], json!(["stable"]));
    assert_eq!(images[0]["signed"], json!(true));
    let verify = [&["verify", ami], &from[..]].concat();
    let said = as_customer(street, client, &verify).done();
    assert!(said.contains("channel stable"), "{said}");
}

#[test]
fn customers_read_the_catalog_and_nothing_else() {
    let (street, release) = served("customers");
    let place = &street.house.place;
    let stranger = json!({ "name": "stranger", "id": "777777777777" });
    place.control("POST", "accounts", stranger);
    let stranger = place.client("stranger");
    // Promotion gave them the AMI, and the catalog with it.
    assert_eq!(street.plan(&[]).0, 0);
    let mut readers = street.customers().to_vec();
    // An account reads it as a whole, whatever roles are named of it.
    readers.push(("umbrella's administrator", &street.umbrella_admin));
    for (name, client) in &readers {
        for paper in papers(&release) {
            get(client, &paper).unwrap_or_else(|why| panic!("{name}: {paper}: {why:?}"));
            get(&stranger, &paper).refused("AccessDenied");
        }
        for other in ["shares.json", "leases/access.json", "?list-type=2"] {
            get(client, other).refused("AccessDenied");
        }
        let put = Call::new("PUT", &format!("/{BUCKET}/channels/stable.json")).body("{}");
        client.s3(&put).refused("AccessDenied");
    }
    let catalog = format!("s3://{BUCKET}");
    for (_, client) in street.customers() {
        lists_and_verifies(&street, client, &release, &catalog);
    }
    street.share(&["remove", "acme"]).done();
    let seen = AtomicBool::new(false);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                get(&street.globex, "channels/stable.json").done("all the time");
                seen.store(true, Ordering::Relaxed);
            }
        });
        let said = street.apply();
        is_over.store(true, Ordering::Relaxed);
        assert!(said.contains("- catalog"), "{said}");
    });
    assert!(seen.into_inner());
    get(&street.acme, "channels/stable.json").refused("AccessDenied");
    lists_and_verifies(&street, &street.globex, &release, &catalog);
    // Whoever is not let in is told what to ask for.
    let args = ["list", "--publisher", PUBLISHER, "--channel", "stable"];
    let args = [&args[..], &["--region", REGIONS[0], "--catalog", &catalog]].concat();
    let said = as_customer(&street, &street.acme, &args).failed(1);
    assert!(said.contains("s3:GetObject"), "{said}");
    assert!(
        said.contains("ask the publisher to serve the catalog"),
        "{said}"
    );
}

#[test]
fn what_others_wrote_into_the_policy_stays() {
    let (street, _) = served("nobody");
    assert_eq!(street.bucket_policy(), None);
    let own = json!({ "Version": "2012-10-17", "Id": "own", "Statement": [{
        "Sid": "Tls", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": [format!("arn:aws:s3:::{BUCKET}"), format!("arn:aws:s3:::{BUCKET}/*")],
        "Condition": { "NumericLessThan": { "s3:TlsVersion": "1.2" } }
    }] });
    put_policy(&street, &own);
    reconfigure(&street, "\"nobody\"", "\"customers\"");
    let (status, told) = street.plan(&[]);
    assert_eq!(status, 3);
    let changes = told["changes"].as_array().expect("changes");
    assert_eq!(changes.len(), 4, "{told}");
    for change in changes {
        let kind = (&change["access"], &change["action"], &change["region"]);
        assert_eq!(kind, (&json!("catalog"), &json!("add"), &json!(REGIONS[0])));
        assert_eq!(change["resource"], format!("s3://{BUCKET}/"));
    }
    street.apply();
    assert_eq!(street.plan(&[]).0, 0);
    let mut shared = street.bucket_policy().expect("a policy");
    assert_eq!(shared["Id"], "own");
    assert_eq!(shared["Statement"][0], own["Statement"][0]);
    assert_eq!(shared["Statement"].as_array().expect("statements").len(), 4);
    // Somebody lets another account in by our statement: it is told, and stays until it is said to go.
    let ours = shared["Statement"].as_array_mut().expect("statements");
    let accounts = ours
        .iter_mut()
        .find(|one| one["Sid"] == "AlpineAmiCatalogtestsAccounts");
    let named = &mut accounts.expect("a statement")["Principal"]["AWS"];
    let mut all = named.as_array().cloned().expect("two accounts");
    all.push(json!("arn:aws:iam::666666666666:root"));
    *named = json!(all);
    put_policy(&street, &shared);
    let (status, told) = street.plan(&[]);
    assert_eq!(status, 0, "{told}");
    assert_eq!(told["unknown"][0]["who"], "666666666666");
    assert_eq!(told["unknown"][0]["access"], "catalog");
    street.share(&["apply", "--yes", "--remove-unknown"]).done();
    let text = street.bucket_policy().expect("a policy").to_string();
    assert!(!text.contains("666666666666"), "{text}");
    // It is mended where somebody has made more of it.
    let wider = text.replace("s3:GetObject", "s3:Get*");
    put_policy(&street, &serde_json::from_str(&wider).expect("JSON"));
    assert_eq!(street.plan(&[]).0, 3);
    street.apply();
    assert_eq!(street.bucket_policy().expect("a policy").to_string(), text);
    // Nobody reads it any more: what is not ours stays.
    reconfigure(&street, "\"customers\"", "\"nobody\"");
    assert_eq!(street.plan(&[]).0, 3);
    street.apply();
    assert_eq!(street.bucket_policy(), Some(own));
    assert_eq!(street.plan(&[]).0, 0);
}

#[test]
fn everybody_reads_it_over_http() {
    let (street, release) = served("customers");
    reconfigure(&street, "\"customers\"", "\"everybody\"");
    // A bucket is private until somebody says otherwise, and that is not us.
    let plan = street.share(&["plan"]);
    assert!(
        plan.stdout.contains("Block Public Access of the bucket") && plan.stdout.contains("next: "),
        "{}",
        plan.stdout
    );
    let said = street.share(&["apply", "--yes"]).failed(1);
    assert!(said.contains("put-public-access-block"), "{said}");
    let open = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>false</BlockPublicPolicy><RestrictPublicBuckets>false</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
    let call = Call::new("PUT", &format!("/{BUCKET}?publicAccessBlock")).body(open);
    street
        .house
        .client(REGIONS[0])
        .s3(&call)
        .done("not blocked");
    street.apply();
    assert_eq!(street.plan(&[]).0, 0);
    let anybody = street.house.place.publisher();
    let asked = |key: &str| {
        let get = Call::new("GET", &format!("/{BUCKET}/{key}"));
        anybody.send_as_is(&get).expect("an answer").status
    };
    for paper in papers(&release) {
        assert_eq!(asked(&paper), 200, "{paper}");
    }
    for other in [
        "shares.json",
        "leases/access.json",
        "?list-type=2",
        "channels/edge.json",
    ] {
        assert_eq!(asked(other), 403, "{other}");
    }
    let catalog = format!("{}/{BUCKET}/", anybody.endpoint);
    lists_and_verifies(&street, &street.acme, &release, &catalog);
    reconfigure(&street, "\"everybody\"", "\"nobody\"");
    street.apply();
    assert_eq!(asked("channels/stable.json"), 403);
    assert_eq!(street.bucket_policy(), None);
}
