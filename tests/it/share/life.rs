//! Customers come and go, and releases with them.

use std::fs;

use alpine_ami::arch::Firmware;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::street::{PLACES, Release, Street, launches, seen, uses};
use crate::publish::house::{House, REGIONS};
use crate::sandbox::client::Expect as _;
use crate::sandbox::life::boot_sector;
use crate::sandbox::place::{CUSTOMER, Place};

/// Calls that change who has access.
const CHANGES: [&str; 5] = [
    "ModifyImageAttribute",
    "ModifySnapshotAttribute",
    "PutKeyPolicy",
    "CreateGrant",
    "RevokeGrant",
];

fn changes(house: &House) -> usize {
    let count = |name: &&str| house.calls(&format!("operation={name}")).len();
    CHANGES.iter().map(count).sum()
}

#[test]
fn each_customer_gets_what_it_should_in_every_region() {
    let street = Street::in_place(Place::with_processes());
    let release = street.release(&[(0, 1)]);
    street.promote(&release);
    street.file(&["acme", "globex", "initech", "umbrella"], "");
    let (status, plan) = street.plan(&[]);
    assert_eq!((status, &plan["in_sync"]), (3, &json!(false)));
    for (name, client) in street.customers() {
        for region in PLACES {
            assert_eq!(seen(client, region), [""; 0], "{name} {region}");
            assert!(
                !launches(client, region, release.ami(region)),
                "{name} {region}"
            );
        }
    }
    let before = changes(&street.house);
    let said = street.apply();
    assert!(
        said.ends_with("done: AWS holds it, read back in every Region\n"),
        "{said}"
    );
    for region in PLACES {
        for (name, client) in street.customers() {
            assert_eq!(
                seen(client, region),
                [release.ami(region)],
                "{name} {region}"
            );
            assert!(
                launches(client, region, release.ami(region)),
                "{name} {region}"
            );
        }
        // The role gets the key, and nobody else of its account.
        let key = &street.house.keys[region];
        assert!(!uses(&street.umbrella_admin, region, key));
        assert!(!launches(
            &street.umbrella_admin,
            region,
            release.ami(region)
        ));
    }
    // One policy, one grant and one list of launch permissions in each Region.
    assert_eq!(changes(&street.house) - before, 3 * PLACES.len());
    assert_eq!(street.plan(&[]).0, 0);
    let again = street.share(&["apply", "--yes", "--exit-unchanged"]);
    assert_eq!(again.status, 4, "{}", again.stderr);
    assert_eq!(changes(&street.house) - before, 3 * PLACES.len());

    the_next_release_comes_and_a_customer_goes(&street, &release);
}

fn the_next_release_comes_and_a_customer_goes(street: &Street, first: &Release) {
    let next = street.release(&[(0, 1), (1, 2)]);
    street.promote(&next);
    street.apply();
    for region in PLACES {
        // The release that has left the channel stays for a while.
        let mut both = [first.ami(region), next.ami(region)];
        both.sort_unstable();
        assert_eq!(seen(&street.globex, region), both);
    }
    street.share(&["remove", "acme"]).done();
    let (status, plan) = street.plan(&[]);
    assert_eq!(status, 3);
    let changes = plan["changes"].as_array().expect("changes");
    assert!(
        changes.iter().all(|change| change["customer"] == "acme"),
        "{plan:#}"
    );
    assert!(
        changes.iter().all(|change| change["action"] == "remove"),
        "{plan:#}"
    );
    assert_eq!(plan["unknown"], json!([]));
    street.apply();
    for region in PLACES {
        assert_eq!(seen(&street.acme, region), [""; 0]);
        assert!(!launches(&street.acme, region, next.ami(region)));
        assert!(!uses(&street.acme, region, &street.house.keys[region]));
        for (name, client) in &street.customers()[1..] {
            assert!(launches(client, region, next.ami(region)), "{name}");
        }
    }
    assert_eq!(street.plan(&[]).0, 0);
}

/// What a customer launches is a machine that boots, from blocks under the key of its Region.
#[test]
fn a_customers_machine_boots() {
    let street = Street::in_place(Place::with_machines());
    let sector = boot_sector(street.house.folder());
    let folder = street
        .house
        .image_of("bootable", &[(0, sector)], |manifest| {
            manifest.firmware = vec![Firmware::Bios];
        });
    let published = street.house.publish(&folder, &[]);
    let release = Release(published);
    street.promote(&release);
    street.file(&["globex"], "");
    street.apply();
    let client = street.globex.in_region(PLACES[1]);
    let params = [
        ("ImageId", release.ami(PLACES[1])),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("InstanceType", "t3.micro"),
    ];
    let launched = client.ec2("RunInstances", &params).done("a launch");
    let instance = launched.text("instancesSet/item[0]/instanceId");
    let begun = std::time::Instant::now();
    loop {
        let params = [("InstanceId", instance), ("Latest", "true")];
        let output = client.ec2("GetConsoleOutput", &params).done("a console");
        // There is none as long as the machine has said nothing.
        let output = output.get("output").unwrap_or_default();
        let output = BASE64_STANDARD.decode(output).expect("base64");
        let console = String::from_utf8_lossy(&output).into_owned();
        if console.contains("hello from the boot sector") {
            break;
        }
        assert!(begun.elapsed().as_secs() < 120, "{console}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let terminated = client.ec2("TerminateInstances", &[("InstanceId.1", instance)]);
    terminated.done("its end");
}

/// However many grants a key is given or loses, they are looked at together.
#[test]
fn grants_of_a_key_are_read_back_at_once() {
    let street = Street::new();
    street.promote(&street.release(&[(0, 1)]));
    let customers = |roles: &str| {
        let file = format!(
            "[customers.umbrella]\naccounts = [\"555555555555\"]\nchannels = [\"stable\"]\n\
             roles = [{roles}]\n"
        );
        fs::write(street.house.folder().join("customers.toml"), file).expect("written");
    };
    let role = |number: u32| format!("\"arn:aws:iam::555555555555:role/nodes-{number}\"");
    let roles: Vec<String> = (0..20).map(role).collect();
    let grants = || -> Vec<usize> {
        let list = |region: &&str| street.state(region)["grants"].as_array().map(Vec::len);
        PLACES.iter().filter_map(list).collect()
    };
    for (left, changes, operation) in [(20, 20, "CreateGrant"), (1, 19, "RevokeGrant")] {
        customers(&roles[..left].join(", "));
        let count = |operation: &str| street.house.calls(&format!("operation={operation}")).len();
        let before = [count(operation), count("ListGrants")];
        street.apply();
        let after = [count(operation), count("ListGrants")];
        // Of the lists one is for the plan; a change counts when two looks in a row see it.
        for (number, each) in [changes, 1 + 2].into_iter().enumerate() {
            let made = after[number] - before[number];
            assert_eq!(made, each * PLACES.len(), "{operation} {number}");
        }
        assert_eq!(grants(), [left; PLACES.len()]);
    }
}

/// What is the publisher's own in a key's policy, and whom it knows nothing of, stays.
#[test]
fn the_rest_of_a_policy_stays_and_strangers_are_told() {
    let street = Street::new();
    let release = street.release(&[(0, 1)]);
    street.promote(&release);
    street.file(
        &["acme", "umbrella"],
        "copy = true\nregions = [\"us-east-1\"]",
    );
    let home = street.house.client(REGIONS[0]);
    let key = &street.house.keys[REGIONS[0]];
    let own = json!({
        "Version": "2012-10-17",
        "Id": "written-by-hand",
        "Statement": [
            { "Principal": { "AWS": "arn:aws:iam::111111111111:root" }, "Effect": "Allow",
              "Action": "kms:*", "Resource": "*", "Sid": "Own" },
            { "Sid": "Partner", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*",
              "Principal": { "AWS": "arn:aws:iam::333333333333:root" } },
        ],
    });
    let body = json!({"KeyId": key, "PolicyName": "default", "Policy": own.to_string()});
    home.kms("PutKeyPolicy", body).done("a policy");
    let ami = release.ami(REGIONS[0]);
    let stranger = [
        ("ImageId", ami),
        ("LaunchPermission.Add.1.UserId", "444444444444"),
    ];
    home.ec2("ModifyImageAttribute", &stranger)
        .done("a stranger");

    let said = street.share(&["plan"]);
    assert_eq!(said.status, 3);
    let release = release.id();
    for words in [
        "acme\n",
        &format!("+ launch  {release}  {CUSTOMER}  in us-east-1"),
        &format!("+ copy    {release}  {CUSTOMER}  in us-east-1"),
        "+ key, by grant",
        "not in the file of customers",
        &format!("? launch             {release} ({ami})"),
        "444444444444",
        "(Partner)",
        "; 2 unknown\n",
    ] {
        assert!(
            said.stdout.contains(words),
            "`{words}` is not in:\n{}",
            said.stdout
        );
    }
    street.apply();
    let state = street.state(REGIONS[0]);
    let policy: Value =
        serde_json::from_str(state["policy"].as_str().expect("text")).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements");
    assert_eq!(
        statements[..2],
        own["Statement"].as_array().expect("two")[..]
    );
    assert_eq!((statements.len(), &policy["Id"]), (5, &own["Id"]));
    assert_eq!(
        state[ami],
        json!([CUSTOMER, "444444444444", "555555555555"])
    );
    // Nothing in the other Region.
    assert_eq!(street.state(REGIONS[1])["grants"], json!([]));

    let (status, plan) = street.plan(&["--remove-unknown"]);
    assert_eq!(
        (status, plan["changes"].as_array().map(Vec::len)),
        (3, Some(1)),
        "{plan:#}"
    );
    street.share(&["apply", "--yes", "--remove-unknown"]).done();
    let state = street.state(REGIONS[0]);
    assert_eq!(state[ami], json!([CUSTOMER, "555555555555"]));

    // All go, and what is left is what was there before.
    street.file(&[], "");
    street.apply();
    let state = street.state(REGIONS[0]);
    let policy: Value =
        serde_json::from_str(state["policy"].as_str().expect("text")).expect("JSON");
    assert_eq!(
        (&policy, &state[ami], &state["grants"]),
        (&own, &json!([]), &json!([]))
    );
    assert_eq!(street.plan(&[]).0, 0);
}

/// Who keeps access never loses it, not for a moment, whatever else is changed.
#[test]
fn who_keeps_access_has_it_throughout() {
    let street = Street::in_place(Place::with_processes());
    let release = street.release(&[(0, 1)]);
    street.promote(&release);
    street.file(&["acme", "globex", "initech", "umbrella"], "");
    street.apply();
    let next = street.release(&[(0, 1), (1, 2)]);
    street.promote(&next);
    // One goes, another one's snapshots are shared too, and a release comes.
    street.file(&["globex", "initech", "umbrella"], "");
    let more = fs::read_to_string(street.house.folder().join("customers.toml")).expect("read");
    let more = more.replace("roles =", "copy = true\nroles =");
    fs::write(street.house.folder().join("customers.toml"), more).expect("written");
    let delay = json!({"service": "kms", "action": {"delay": {"ms": 100}}, "each": true});
    street.house.place.fault(delay);

    let over = std::sync::atomic::AtomicBool::new(false);
    let is_over = || over.load(std::sync::atomic::Ordering::Relaxed);
    let customers = street.customers();
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        for (name, client) in &customers[1..] {
            for region in PLACES {
                let (ami, key) = (release.ami(region), &street.house.keys[region]);
                readers.push(scope.spawn(move || {
                    let mut looks = 0;
                    while !is_over() {
                        assert!(
                            seen(client, region).iter().any(|id| id == ami),
                            "{name} {region}"
                        );
                        assert!(uses(client, region, key), "{name} {region}");
                        looks += 1;
                    }
                    looks
                }));
            }
        }
        let launcher = scope.spawn(|| {
            let mut launched = 0;
            while !is_over() {
                for (name, client) in &customers[1..] {
                    assert!(
                        launches(client, PLACES[1], release.ami(PLACES[1])),
                        "{name}"
                    );
                    launched += 1;
                }
            }
            launched
        });
        let applied = street.share(&["apply", "--yes"]);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(applied.status, 0, "{}", applied.stderr);
        for reader in readers {
            assert!(reader.join().expect("it never lost access") > 2);
        }
        assert!(launcher.join().expect("it never lost access") > 0);
    });
    assert_eq!(street.plan(&[]).0, 0);
}
