//! Sharing and promoting under the least policies that `doctor` prints.

use std::fs;

use serde_json::json;

use super::street::{PLACES, Street, assumed};
use crate::least::{self, actions, confine, cut, printed, role};
use crate::publish::house::{BUCKET, REGIONS};
use crate::sandbox::client::{Call, Expect as _};
use crate::sandbox::place::CUSTOMER;

/// The configuration with more of `[aws]`, where objects lie under a prefix.
fn configure(street: &Street, aws: &str) {
    let config = street.house.config();
    let config = config.replace("bucket =", "prefix = \"ami\"\nbucket =");
    let config = config.replace("[aws]\n", &format!("[aws]\n{aws}\n"));
    let config = format!("{config}[share]\ncatalog = \"customers\"\n");
    street.house.configure(&config);
}

/// Each command in a role of its own.
fn with_roles(street: &Street) {
    let roles = ["share", "promote"].map(|name| format!("{name} = \"{}\"", role(name)));
    configure(street, &format!("roles = {{ {} }}", roles.join(", ")));
}

/// Writes the file of customers; those with accounts may copy.
fn customers(street: &Street, names: &[&str]) {
    street.file(names, "");
    let path = street.house.folder().join("customers.toml");
    let text = fs::read_to_string(&path).expect("the file");
    let text = text.replace("\naccounts", "\ncopy = true\naccounts");
    fs::write(&path, text).expect("written");
}

/// Whether anybody has access in a Region by each of the ways: launch, copy, policy, grant.
fn access(street: &Street, region: &str) -> [bool; 4] {
    let state = street.state(region);
    let ways = state.as_object().expect("a state").iter();
    let has = |kind: &str| {
        let mut some = ways.clone().filter(|(id, _)| id.starts_with(kind));
        some.any(|(_, who)| who.as_array().is_some_and(|who| !who.is_empty()))
    };
    let policy = state["policy"].as_str().expect("a policy");
    let is_shared = policy.contains("AlpineAmiShare");
    [has("ami-"), has("snap-"), is_shared, has("grants")]
}

#[test]
fn the_least_policies_are_enough() {
    let street = Street::new();
    with_roles(&street);
    for command in ["share", "promote"] {
        confine(&street.house, command, &printed(&street.house, command));
    }
    let release = street.release(&[(0, 1)]);
    street.promote(&release);
    let everybody = ["acme", "globex", "initech", "umbrella"];
    customers(&street, &everybody);
    assert_eq!(street.plan(&[]).0, 3);
    street.apply();
    assert_eq!(street.plan(&[]).0, 0);
    for region in PLACES {
        assert_eq!(access(&street, region), [true; 4]);
    }
    // One comes into the place of another, and everybody goes.
    street.promote(&street.release(&[(0, 1), (1, 2)]));
    street.apply();
    for name in everybody {
        street.share(&["remove", name]).done();
    }
    street.apply();
    assert_eq!(street.plan(&[]).0, 0);
    for region in PLACES {
        assert_eq!(access(&street, region), [false; 4]);
    }
    let get = Call::new("GET", &format!("/{BUCKET}/ami/channels/stable.json"));
    let channel = street.house.client(REGIONS[0]).s3(&get).done("a channel");
    assert!(channel.text().contains("assumed-role/promote/"));
}

#[test]
fn without_an_action_share_says_which_is_missing() {
    let street = Street::new();
    with_roles(&street);
    street.promote(&street.release(&[(0, 1)]));
    let least = printed(&street.house, "share");
    let actions = actions(&least);
    assert_eq!(actions.len(), 19, "{actions:?}");
    for action in &actions {
        let (before, after) = match action.as_str() {
            "kms:RevokeGrant" => (&["umbrella"][..], &["acme"][..]),
            // The policy goes when nobody is left in it.
            "s3:DeleteBucketPolicy" => (&["acme"][..], &[][..]),
            _ => (&["acme"][..], &["globex", "umbrella"][..]),
        };
        confine(&street.house, "share", &least);
        customers(&street, before);
        street.apply();
        customers(&street, after);
        confine(&street.house, "share", &cut(&least, action));
        let ended = street.share(&["apply", "--yes"]);
        if action == "s3:DeleteObject" {
            // The lease stays until it has expired, or the process that had it is seen to be dead.
            ended.done();
            let get = Call::new("GET", &format!("/{BUCKET}/ami/leases/access.json"));
            street.house.client(REGIONS[0]).s3(&get).done("a lease");
            continue;
        }
        let said = ended.failed(1);
        assert!(said.contains(action.as_str()), "{action}: {said}");
        let looks = ["Describe", "Get", "List"].iter();
        let plan = street.share(&["plan"]);
        match looks.clone().any(|verb| action.contains(verb)) {
            true => assert!(plan.failed(1).contains(action.as_str()), "{action}"),
            false => assert_eq!(plan.status, 3, "{action}: {}", plan.stderr),
        }
    }
}

#[test]
fn without_an_action_promote_says_which_is_missing() {
    let street = Street::new();
    with_roles(&street);
    let least = printed(&street.house, "promote");
    let release = street.release(&[(0, 1)]);
    let args = ["promote", release.id(), "--to", "stable"];
    let actions = actions(&least);
    let mut expected = least::actions(&printed(&street.house, "share"));
    expected.push("ec2:DisableImageDeprecation".to_owned());
    expected.sort_unstable();
    assert_eq!(actions, expected);
    // Nobody is to be taken anything from, and what keeps the lease is no obstacle.
    let idle = [
        "ec2:DisableImageDeprecation",
        "ec2:ModifySnapshotAttribute",
        "kms:CreateGrant",
        // The key is given before the AMI, by the run that may not give that.
        "kms:PutKeyPolicy",
        "kms:RevokeGrant",
        "s3:DeleteBucketPolicy",
        "s3:DeleteObject",
    ];
    street.file(&["acme"], "");
    for action in actions
        .iter()
        .filter(|action| !idle.contains(&action.as_str()))
    {
        confine(&street.house, "promote", &cut(&least, action));
        let said = street.house.run(&args).failed(1);
        assert!(said.contains(action.as_str()), "{action}: {said}");
    }
    // What it writes are its records, channels and the catalog, and nothing else.
    confine(&street.house, "promote", &least);
    let session = assumed(&street.house.client(REGIONS[0]), &role("promote"));
    let put = |key: &str| Call::new("PUT", &format!("/{BUCKET}/ami/{key}")).body("{}");
    for key in ["releases/x.json", "leases/x.json", "sources/x.json"] {
        let refused = session.s3(&put(key)).refused("AccessDenied");
        assert!(refused.message.contains("s3:PutObject"), "{key}: {refused}");
    }
    street.promote(&release);
}

/// EBS gives itself grants on the caller's behalf, and `share` gives some to customers' roles; no
/// others are given.
#[test]
fn one_policy_for_publishing_and_sharing() {
    let street = Street::new();
    configure(&street, &format!("assume_role = \"{}\"", role("least")));
    let policy = printed(&street.house, "publish,share,promote");
    confine(&street.house, "least", &policy);
    street.promote(&street.release(&[(0, 1)]));
    customers(&street, &["acme", "umbrella"]);
    street.apply();
    for region in PLACES {
        assert_eq!(access(&street, region), [true; 4]);
    }
    let session = assumed(&street.house.client(REGIONS[0]), &role("least"));
    let grant = |operations: &[&str]| {
        let body = json!({
            "KeyId": street.house.keys[REGIONS[0]],
            "GranteePrincipal": format!("arn:aws:iam::{CUSTOMER}:role/node"),
            "Operations": operations,
        });
        session.kms("CreateGrant", body)
    };
    grant(&["Decrypt", "CreateGrant"]).done("a part of a launch");
    let refused = grant(&["Decrypt", "RetireGrant"]).refused("AccessDeniedException");
    assert!(refused.message.contains("explicit deny"), "{refused}");
}
