//! Which AMIs are listed, and in which forms.

use serde_json::{Value, json};

use super::shop::{STRANGER, Shop, ids};
use crate::publish::house::REGIONS;
use crate::sandbox::cli::Cli;
use crate::sandbox::client::Expect as _;
use crate::sandbox::place::{CUSTOMER, PUBLISHER};

/// Further AMIs of the publisher's, of the profile `node`.
const NODES: [&str; 4] = [
    "tests/node/1.22.8/alpine-3.15.11/x86_64/20260131.1",
    "tests/node/1.22.10/alpine-3.15.11/x86_64/20260101.1",
    "tests/node/1.220/alpine-3.15.11/x86_64/20260201.1",
    "tests/node/1.22.8/alpine-3.15.11/aarch64/20260131.1",
];

#[test]
fn a_customer_lists_what_is_shared_and_nothing_else() {
    let shop = Shop::new();
    let publisher = ["--publisher", PUBLISHER];
    let empty = shop.list(&publisher);
    assert_eq!(
        (empty.status, empty.stdout.as_str()),
        (0, ""),
        "{}",
        empty.stderr
    );
    for word in [
        CUSTOMER,
        PUBLISHER,
        REGIONS[0],
        REGIONS[1],
        "ask the publisher",
    ] {
        assert!(empty.stderr.contains(word), "{word}: {}", empty.stderr);
    }
    let nothing = json!({ "publisher": PUBLISHER, "images": [] });
    assert_eq!(shop.json(&publisher), nothing);
    let header = shop
        .list(&["--publisher", PUBLISHER, "--format", "csv"])
        .done();
    assert_eq!(header.lines().count(), 1, "{header}");
    for of_no_use in [
        &["--id"][..],
        &["--format", "cloudformation"],
        &["--format", "tfvars"],
    ] {
        let said = shop.list(&[&publisher, of_no_use].concat()).failed(1);
        assert!(said.contains("ask the publisher"), "{said}");
    }

    let amis = shop.sell();
    let listed = shop.json(&publisher);
    assert_eq!(ids(&listed), amis.iter().rev().collect::<Vec<_>>());
    let first = &listed["images"][0];
    let name = first["name"].as_str().expect("a name");
    let day = name.rsplit('/').next().expect("a day");
    let (year, rest) = day.split_at(4);
    assert_eq!(
        *first,
        json!({
            "region": REGIONS[1], "profile": "base", "version": "3.15", "alpine": "3.15.11",
            "arch": "x86_64", "release": format!("base-3.15-x86_64-{day}"),
            "date": format!("{year}-{}-{}", &rest[..2], &rest[2..4]), "ami": amis[1], "name": name,
            "encrypted": true, "deprecated": false, "newest": true
        })
    );

    // The AWS CLI sees the same.
    let cli = Cli::new(&shop.house.place, "customer");
    for (region, ami) in REGIONS.iter().zip(&amis) {
        let args = [
            "ec2",
            "describe-images",
            "--owners",
            PUBLISHER,
            "--region",
            region,
        ];
        let seen = cli.json(&args);
        assert_eq!(seen["Images"].as_array().map(Vec::len), Some(1), "{seen}");
        assert_eq!(seen["Images"][0]["ImageId"], ami.as_str());
        assert_eq!(
            ids(&shop.json(&["--publisher", PUBLISHER, "--region", region])),
            [ami]
        );
    }

    // Whoever else has an AMI of that name, it is not the publisher's.
    let place = &shop.house.place;
    let stranger = place.client("stranger");
    let fake = shop.offer(&stranger, name);
    let own = place.customer();
    let snapshot = crate::sandbox::things::snapshot(&own, &[], None);
    let mine = crate::sandbox::things::image(&own, name, &snapshot);
    // And what the publisher names otherwise is no release.
    let here = shop.house.client(REGIONS[0]);
    shop.offer(
        &here,
        "tests/base/3.15/alpine-3.15.11/x86_64/20260131.1 (copy)",
    );
    assert_eq!(shop.json(&publisher), listed);
    assert_eq!(ids(&shop.json(&["--publisher", STRANGER])), [fake.as_str()]);
    assert_eq!(ids(&shop.json(&[])), [mine.as_str()]);
}

#[test]
fn forms_and_filters() {
    let shop = Shop::new();
    let here = shop.house.client(REGIONS[0]);
    let amis = NODES.map(|name| match name.contains("aarch64") {
        false => shop.offer(&here, name),
        true => {
            let snapshot = crate::sandbox::things::snapshot(&here, &[], None);
            let params = [
                ("Name", name),
                ("Architecture", "arm64"),
                ("RootDeviceName", "/dev/xvda"),
                ("VirtualizationType", "hvm"),
                ("EnaSupport", "true"),
                ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
                ("BlockDeviceMapping.1.Ebs.SnapshotId", snapshot.as_str()),
            ];
            let made = here.ec2("RegisterImage", &params).done("an image");
            let ami = made.text("imageId").to_owned();
            shop.share(&here, &ami);
            ami
        }
    });
    let [older, newer, other, arm] = &amis;
    let base = ["--publisher", PUBLISHER, "--region", REGIONS[0]];
    let with = |more: &[&str]| shop.json(&[&base[..], more].concat());
    assert_eq!(ids(&with(&[])), [other, newer, older, arm]);
    assert_eq!(ids(&with(&["--version", "1.22"])), [newer, older, arm]);
    assert_eq!(
        ids(&with(&["--version", "1.22", "--arch", "x86_64"])),
        [newer, older]
    );
    assert_eq!(ids(&with(&["--version", "1.22.8"])), [older, arm]);
    assert!(ids(&with(&["--profile", "kubezero"])).is_empty());
    assert_eq!(
        with(&["--arch", "aarch64"])["images"][0]["encrypted"],
        false
    );

    let run = |more: &[&str]| shop.list(&[&base[..], more].concat());
    let said = run(&["--profile", "kubezero"]).stderr;
    assert!(
        said.contains("of the 4 AMIs") && said.contains("--profile kubezero"),
        "{said}"
    );
    let table = run(&[]).done();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    assert!(
        lines[0].starts_with("region     profile  version  alpine   arch"),
        "{table}"
    );
    assert!(
        lines[2].contains("node-1.22.10-x86_64-20260101.1  2026-01-01"),
        "{table}"
    );
    let json: Value = serde_json::from_str(&run(&["--output", "json"]).done()).expect("JSON");
    assert_eq!(json, with(&[]));
    let csv = run(&["--format", "csv", "--version", "1.220"]).done();
    assert_eq!(
        csv.lines().nth(1),
        Some(&*format!(
            "us-east-1,node,1.220,3.15.11,x86_64,node-1.220-x86_64-20260201.1,2026-02-01,{other},{},true,false,true",
            NODES[2]
        ))
    );
    let mapping = run(&["--format", "cloudformation", "--version", "1.22"]).done();
    assert_eq!(
        serde_json::from_str::<Value>(&mapping).expect("JSON"),
        json!({ "Mappings": { "AlpineAmi": {
            "us-east-1": { "NodeX8664": newer, "NodeAarch64": arm }
        } } })
    );
    let variables = run(&["--format", "tfvars"]).done();
    assert_eq!(
        variables,
        format!(
            "alpine_ami = {{\n  \"us-east-1\" = {{\n    \"node/x86_64\" = \"{other}\"\n    \"node/aarch64\" = \"{arm}\"\n  }}\n}}\n"
        )
    );

    // What an owner advises against is shown, and given to nobody.
    shop.deprecate(REGIONS[0], newer);
    let listed = with(&["--version", "1.22.10"]);
    assert_eq!(listed["images"][0]["deprecated"], true);
    assert_eq!(listed["images"][0]["newest"], false);
    let one = [
        "--id",
        "--profile",
        "node",
        "--arch",
        "x86_64",
        "--version",
        "1.22",
    ];
    assert_eq!(run(&one).done(), format!("{older}\n"));
    let said = run(&["--id", "--version", "1.22.10"]).failed(1);
    assert!(said.contains("are deprecated"), "{said}");
}

#[test]
fn a_script_gets_one_id_or_none() {
    let shop = Shop::new();
    let amis = shop.sell();
    let here = shop.house.client(REGIONS[0]);
    let arm = shop.offer(&here, NODES[0]);
    let run = |more: &[&str]| shop.list(&[&["--publisher", PUBLISHER, "--id"], more].concat());
    let one = [
        "--profile",
        "base",
        "--version",
        "3.15",
        "--arch",
        "x86_64",
        "--region",
        REGIONS[1],
    ];
    assert_eq!(run(&one).done(), format!("{}\n", amis[1]));
    for (more, words) in [
        (
            &[][..],
            &[
                "3 AMIs match",
                "--region",
                "--profile",
                REGIONS[0],
                REGIONS[1],
            ][..],
        ),
        (&["--profile", "base"], &["2 AMIs match", "add --region"]),
        (
            &["--region", REGIONS[0]],
            &["2 AMIs match", "add --profile", "base, node"],
        ),
        (
            &["--profile", "kubezero"],
            &["of the 3 AMIs", "none matches"],
        ),
    ] {
        let failed = run(more);
        assert_eq!(failed.stdout, "");
        let said = failed.failed(1);
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    assert_eq!(run(&["--profile", "node"]).done(), format!("{arm}\n"));
    for wrong in [
        &["--id", "--format", "csv"][..],
        &["--publisher", "12"],
        &["--region", "Europe"],
        &["--arch", "mips"],
        &["--channel", "No Word"],
        &["--channel", "stable"],
        &["--catalog", "http://example.com"],
    ] {
        let ended = shop.list(wrong);
        assert_eq!(
            ended.status, 2,
            "{wrong:?}: {}{}",
            ended.stdout, ended.stderr
        );
    }
}

#[test]
fn a_publisher_lists_its_own() {
    let shop = Shop::new();
    let amis = shop.sell();
    let here = shop.house.client(REGIONS[0]);
    shop.offer(&here, &NODES[0].replace("tests/", "staging/"));
    let printed = shop.house.run(&["list", "--output", "json"]).done();
    let listed: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(ids(&listed), [&amis[1], &amis[0]]);
    // Nothing is in a channel yet.
    assert_eq!(listed["images"][0]["channels"], json!([]));
    // Customers are not told the name, and see what the account publishes.
    assert_eq!(ids(&shop.json(&["--publisher", PUBLISHER])).len(), 3);
    let named = ["--publisher", PUBLISHER, "--publisher-name", "tests"];
    assert_eq!(ids(&shop.json(&named)).len(), 2);
}

#[test]
fn a_region_that_fails_does_not_hide_the_others() {
    let shop = Shop::new();
    let amis = shop.sell();
    let denied = json!({
        "operation": "DescribeImages", "region": REGIONS[1], "account": CUSTOMER, "action": "deny"
    });
    shop.house.place.fault(denied);
    let partial = shop.list(&["--publisher", PUBLISHER, "--output", "json"]);
    let listed: Value = serde_json::from_str(&partial.stdout).expect("JSON");
    assert_eq!(ids(&listed), [amis[0].as_str()]);
    let said = partial.failed(1);
    for word in ["ec2:DescribeImages", REGIONS[1], "allow"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let failed = shop.list(&["--publisher", PUBLISHER, "--id"]);
    assert_eq!(failed.stdout, "");
    failed.failed(1);
    let one = ["--publisher", PUBLISHER, "--id", "--region", REGIONS[0]];
    assert_eq!(shop.list(&one).done(), format!("{}\n", amis[0]));

    // One that the account has not opted in to comes first.
    let partial = shop.list(&[
        "--publisher",
        PUBLISHER,
        "--region",
        "af-south-1",
        "--region",
        REGIONS[0],
    ]);
    assert!(partial.stdout.contains(&amis[0]), "{}", partial.stdout);
    let said = partial.failed(1);
    assert!(said.contains("opted in to af-south-1"), "{said}");

    let denied = json!({
        "operation": "DescribeRegions", "account": CUSTOMER, "action": "deny"
    });
    shop.house.place.fault(denied);
    let said = shop.list(&["--publisher", PUBLISHER]).failed(1);
    assert!(
        said.contains("ec2:DescribeRegions") && said.contains("--region"),
        "{said}"
    );
    assert_eq!(shop.list(&one).done(), format!("{}\n", amis[0]));
}
