use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use time::Duration;
use time::macros::datetime;

use super::told::Told;
use super::*;
use crate::aws::kms::sharing::Grant;
use crate::channels::{Channel, Entry};
use crate::share::customers::{self, Customer, Known};
use crate::share::desired::{self, DesiredImage, DesiredKey, DesiredRegion};
use crate::share::owners::Record;
use crate::share::policy::catalog::{CatalogPolicy, Place, Reader};
use crate::share::policy::{KeyPolicy, MOST_BYTES};
use crate::share::present::{PresentCatalog, PresentImage, PresentKey};
use crate::share::settings::Readers;

const OWN: &str = "111122223333";
const REGIONS: [&str; 2] = ["eu-central-1", "us-east-1"];
const NOW: time::OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

fn region(name: &str) -> Region {
    name.parse().expect("a Region")
}

fn key(region: &str) -> KeyArn {
    let arn = format!("arn:aws:kms:{region}:{OWN}:key/1234abcd-12ab-34cd-56ef-1234567890ab");
    arn.parse().expect("an ARN")
}

fn account(number: u64) -> AccountId {
    format!("{number:012}").parse().expect("an account")
}

fn ami(number: usize) -> AmiId {
    format!("ami-{number:017x}").parse().expect("an AMI")
}

fn snapshot(number: usize) -> SnapshotId {
    format!("snap-{number:017x}").parse().expect("a snapshot")
}

fn policy() -> KeyPolicy {
    let text = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{OWN}:root") }, "Action": "kms:*",
        "Resource": "*" }] });
    KeyPolicy::parse(&text.to_string(), "tests").expect("a policy")
}

/// A world of AWS in which plans are done.
#[derive(Clone)]
struct World(BTreeMap<Region, PresentRegion>);

impl World {
    /// With some AMIs and a key in each Region, and nobody who has access.
    fn new(images: usize) -> World {
        let present = |name: &&str| {
            let image = |number: usize| PresentImage {
                release: release(number).to_string(),
                launch: BTreeSet::new(),
                snapshots: BTreeSet::from([snapshot(number)]),
            };
            let key_there = PresentKey {
                policy: policy(),
                grants: Vec::new(),
            };
            let present = PresentRegion {
                images: (0..images)
                    .map(|number| (ami(number), image(number)))
                    .collect(),
                snapshots: (0..images)
                    .map(|number| (snapshot(number), BTreeSet::new()))
                    .collect(),
                keys: BTreeMap::from([(key(name), key_there)]),
                catalog: None,
            };
            (region(name), present)
        };
        World(REGIONS.iter().map(present).collect())
    }

    /// A catalog that nobody reads, in the first Region.
    fn with_catalog(mut self) -> World {
        let place = Place {
            bucket: "images".to_owned(),
            prefix: String::new(),
            region: region(REGIONS[0]),
            publisher: "tests".to_owned(),
        };
        let catalog = PresentCatalog {
            policy: CatalogPolicy::parse(None, place).expect("no policy"),
            is_blocked: false,
            is_under_aws_key: false,
        };
        let home = self.0.get_mut(&region(REGIONS[0]));
        home.expect("a Region").catalog = Some(catalog);
        self
    }

    fn catalog(&mut self) -> &mut CatalogPolicy {
        let home = self.0.get_mut(&region(REGIONS[0])).expect("a Region");
        &mut home.catalog.as_mut().expect("a catalog").policy
    }

    fn apply(&mut self, plan: &Plan) {
        for (region, plan) in &plan.regions {
            let here = self.0.get_mut(region).expect("a Region");
            for change in &plan.add {
                change_it(here, change, true);
            }
            for change in &plan.remove {
                change_it(here, change, false);
            }
        }
    }
}

fn change_set(set: &mut BTreeSet<Party>, parties: &BTreeSet<Party>, adds: bool) {
    for party in parties {
        // The least: nothing is added that is there, and nothing removed that is not.
        let changed = match adds {
            true => set.insert(party.clone()),
            false => set.remove(party),
        };
        assert!(changed, "{party} for nothing");
    }
}

fn change_it(here: &mut PresentRegion, change: &Change, adds: bool) {
    match change {
        Change::Policy { key, users } => {
            let key = here.keys.get_mut(key).expect("a key");
            let next = match adds {
                true => key.policy.with(users),
                false => key.policy.without(users),
            };
            assert_ne!(next, key.policy, "a policy written for nothing");
            key.policy = next;
        }
        Change::Grant { key, role } => {
            let key = here.keys.get_mut(key).expect("a key");
            let name = grant_name("tests", role);
            key.grants
                .push(grant(role.as_str(), role.as_str(), Some(&name)));
        }
        Change::Revoke { key, grant, .. } => {
            let key = here.keys.get_mut(key).expect("a key");
            let before = key.grants.len();
            key.grants.retain(|seen| seen.id != *grant);
            assert_eq!(key.grants.len() + 1, before);
        }
        Change::Copy {
            snapshot, parties, ..
        } => {
            let set = here.snapshots.get_mut(snapshot).expect("a snapshot");
            change_set(set, parties, adds);
        }
        Change::Launch { image, parties, .. } => {
            let image = here.images.get_mut(image).expect("an AMI");
            change_set(&mut image.launch, parties, adds);
        }
        Change::Catalog { readers, .. } => {
            let policy = &mut here.catalog.as_mut().expect("a catalog").policy;
            let next = match adds {
                true => policy.with(readers),
                false => policy.without(readers),
            };
            assert_ne!(next, *policy, "a policy written for nothing");
            *policy = next;
        }
    }
}

fn grant(id: &str, grantee: &str, name: Option<&str>) -> Grant {
    Grant {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        grantee: grantee.to_owned(),
        launches: true,
        constrained: false,
    }
}

fn release(number: usize) -> crate::publish::release::ReleaseId {
    format!("base-3.15-x86_64-202605{:02}.1", number + 1)
        .parse()
        .expect("a release")
}

fn read(text: &str) -> Vec<Customer> {
    let channels = ["candidate", "stable"].map(str::to_owned);
    let regions = REGIONS.map(region).into();
    let known = Known {
        channels: &channels,
        regions: &regions,
    };
    customers::parse("customers.toml", text, &known).expect("customers")
}

/// What customers are to have of releases, all of which are in both channels.
fn wanted(customers: &[Customer], images: &[usize]) -> Desired {
    let mut desired = Desired::default();
    for name in REGIONS {
        let mut here = DesiredRegion::default();
        for customer in customers
            .iter()
            .filter(|customer| customer.is_in(&region(name)))
        {
            let parties: BTreeSet<Party> = customer.parties().collect();
            for number in images {
                let image = here.images.entry(ami(*number)).or_insert(DesiredImage {
                    release: release(*number),
                    launch: BTreeSet::new(),
                });
                image.launch.extend(parties.clone());
                if customer.copy {
                    let accounts = customer.accounts.iter().cloned().map(Party::Account);
                    here.snapshots
                        .entry(snapshot(*number))
                        .or_default()
                        .extend(accounts);
                }
            }
            if !images.is_empty() {
                let key = here
                    .keys
                    .entry(key(name))
                    .or_insert_with(DesiredKey::default);
                key.users.extend(parties.iter().filter_map(User::of));
                key.roles.extend(customer.roles.iter().cloned());
            }
        }
        desired.regions.insert(region(name), here);
    }
    desired
}

/// The same, where these read the catalog.
fn served(mut desired: Desired, customers: &[Customer], readers: Readers) -> Desired {
    let home = desired.regions.get_mut(&region(REGIONS[0]));
    home.expect("a Region").readers = desired::readers(customers, readers, NOW);
    desired
}

fn any_readers(random: &mut fastrand::Rng) -> Readers {
    let all = [Readers::Nobody, Readers::Customers, Readers::Everybody];
    all[random.usize(..3)]
}

fn plan(desired: &Desired, world: &World, owners: &Owners, remove_unknown: bool) -> Plan {
    let account = OWN.parse().expect("an account");
    let terms = Terms {
        owners,
        publisher: "tests",
        account: &account,
        principal: "arn:aws:iam::111122223333:user/r",
        launch_permissions: 1000,
        remove_unknown,
    };
    Plan::new(desired, &world.0, terms)
}

const TWO: &str = r#"
[customers.acme]
accounts = ["000000000001", "000000000002"]
channels = ["stable"]
copy = true

[customers.globex]
organizations = ["arn:aws:organizations::444455556666:organization/o-a1b2c3d4e5"]
units = ["arn:aws:organizations::444455556666:ou/o-a1b2c3d4e5/ou-ab12-cd34ef56"]
roles = ["arn:aws:iam::000000000009:role/node"]
channels = ["stable"]
regions = ["us-east-1"]
"#;

#[test]
fn a_plan_gives_keys_first_and_takes_them_last() {
    let customers = read(TWO);
    let owners = Owners::new(&customers, &Record::default());
    let mut world = World::new(2);
    let first = plan(&wanted(&customers, &[0]), &world, &owners, false);
    let kinds = |changes: &[Change]| -> Vec<&str> {
        let kind = |change: &Change| match change {
            Change::Policy { .. } => "policy",
            Change::Grant { .. } => "grant",
            Change::Revoke { .. } => "revoke",
            Change::Copy { .. } => "copy",
            Change::Launch { .. } => "launch",
            Change::Catalog { .. } => "catalog",
        };
        changes.iter().map(kind).collect()
    };
    let here = &first.regions[&region("us-east-1")];
    assert_eq!(kinds(&here.add), ["policy", "grant", "copy", "launch"]);
    assert!(here.remove.is_empty() && !first.is_in_sync());
    let told = Told::new(&first, &owners, BTreeMap::new());
    let shown = text::plan(&told);
    let expected = "\
acme
  + launch  base-3.15-x86_64-20260501.1  000000000001, 000000000002  in eu-central-1, us-east-1
  + copy    base-3.15-x86_64-20260501.1  000000000001, 000000000002  in eu-central-1, us-east-1
  + key                                  000000000001, 000000000002  in eu-central-1, us-east-1

globex
  + launch         base-3.15-x86_64-20260501.1  arn:aws:organizations::444455556666:organization/o-a1b2c3d4e5, arn:aws:organizations::444455556666:ou/o-a1b2c3d4e5/ou-ab12-cd34ef56  in us-east-1
  + key                                         o-a1b2c3d4e5, ou-ab12-cd34ef56                                                                                                       in us-east-1
  + key, by grant                               arn:aws:iam::000000000009:role/node                                                                                                  in us-east-1

17 to add, 0 to remove, in 2 Regions
";
    assert_eq!(shown, expected, "{shown}");
    world.apply(&first);
    assert!(plan(&wanted(&customers, &[0]), &world, &owners, false).is_in_sync());

    // All go: they are known from the record.
    let record = Record::default().with(&customers, &BTreeSet::new(), false, NOW);
    let owners = Owners::new(&[], &record);
    let last = plan(&Desired::default(), &world, &owners, false);
    let here = &last.regions[&region("us-east-1")];
    assert_eq!(kinds(&here.remove), ["launch", "copy", "revoke", "policy"]);
    assert!(here.add.is_empty());
    world.apply(&last);
    assert_eq!(world.0, World::new(2).0);
}

#[test]
fn who_is_unknown_is_told_and_left_alone() {
    let customers = read(TWO);
    let owners = Owners::new(&customers, &Record::default());
    let desired = wanted(&customers, &[0]);
    let mut world = World::new(1);
    world.apply(&plan(&desired, &world, &owners, false));
    let stranger = account(77);
    {
        let here = world.0.get_mut(&region("us-east-1")).expect("a Region");
        let party = Party::Account(stranger.clone());
        here.images
            .get_mut(&ami(0))
            .expect("an AMI")
            .launch
            .insert(party.clone());
        here.snapshots
            .get_mut(&snapshot(0))
            .expect("a snapshot")
            .insert(party);
        let key = here.keys.get_mut(&key("us-east-1")).expect("a key");
        key.policy = key.policy.with(&[User::Account(stranger.clone())]);
        key.grants
            .push(grant("g1", "arn:aws:iam::000000000077:role/r", None));
        // Of a volume in use, of a customer's own, and of the account's own.
        let volume = grant(
            "g2",
            "arn:aws:sts::000000000077:assumed-role/aws:ec2/i",
            None,
        );
        key.grants.push(Grant {
            constrained: true,
            ..volume
        });
        key.grants
            .push(grant("g3", "arn:aws:iam::000000000001:role/scaling", None));
        key.grants
            .push(grant("g4", "arn:aws:iam::111122223333:role/own", None));
    }
    let seen = plan(&desired, &world, &owners, false);
    assert!(seen.regions.is_empty() && seen.is_in_sync(), "{seen:#?}");
    let who: BTreeSet<_> = seen.unknown.iter().map(|one| one.who.as_str()).collect();
    let expected = ["000000000077", "arn:aws:iam::000000000077:role/r"];
    assert_eq!(who, expected.into());
    assert_eq!(seen.unknown.len(), 4, "{:#?}", seen.unknown);
    let shown = text::plan(&Told::new(&seen, &owners, BTreeMap::new()));
    assert!(
        shown.contains("? launch") && shown.ends_with("nothing to change; 4 unknown\n"),
        "{shown}"
    );

    let removing = plan(&desired, &world, &owners, true);
    let before = world.clone();
    world.apply(&removing);
    assert_ne!(world.0, before.0);
    let after = plan(&desired, &world, &owners, false);
    // Whether a role is in an organization that has the key cannot be seen: its grant stays.
    let left: Vec<_> = after
        .unknown
        .iter()
        .map(|one| (one.who.as_str(), one.removable))
        .collect();
    assert_eq!(left, [("arn:aws:iam::000000000077:role/r", false)]);
}

/// What customers have granted to their Auto Scaling with the key that they may use stays, by whatever
/// way they get it: by a role of the account, or by an organization that the account is in.
#[test]
fn grants_of_customers_own_stay() {
    let text = r#"
[customers.by-role]
accounts = ["000000000001"]
roles = ["arn:aws:iam::000000000001:role/node"]
channels = ["stable"]

[customers.by-account]
accounts = ["000000000002"]
channels = ["stable"]
"#;
    let moved = text.replace(
        "accounts = [\"000000000002\"]",
        "organizations = [\"arn:aws:organizations::444455556666:organization/o-a1b2c3d4e5\"]",
    );
    let (before, after) = (read(text), read(&moved));
    let record = Record::default().with(&before, &BTreeSet::new(), false, NOW);
    let mut world = World::new(1);
    let owners = Owners::new(&before, &record);
    world.apply(&plan(&wanted(&before, &[0]), &world, &owners, false));
    let scaling = |number: u64| {
        let role = "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling";
        grant(
            &format!("g{number}"),
            &format!("arn:aws:iam::{}:{role}", account(number)),
            None,
        )
    };
    for (region, here) in &mut world.0 {
        let key = here.keys.get_mut(&key(region.as_str())).expect("a key");
        key.grants.extend([scaling(1), scaling(2)]);
    }
    assert!(plan(&wanted(&before, &[0]), &world, &owners, false).is_in_sync());
    let owners = Owners::new(&after, &record);
    for remove_unknown in [false, true] {
        let plan = plan(&wanted(&after, &[0]), &world, &owners, remove_unknown);
        let changes = plan.regions.values().flat_map(|plan| &plan.remove);
        let revoked = changes.filter(|change| matches!(change, Change::Revoke { .. }));
        assert_eq!(revoked.count(), 0, "{plan:#?}");
    }
    // When nobody has the key any more, they go.
    let owners = Owners::new(&[], &record);
    let last = plan(&Desired::default(), &world, &owners, false);
    world.apply(&last);
    assert_eq!(world.0, World::new(1).0);
}

/// Another publisher may share the key, and have the same customer: what it has granted stays.
#[test]
fn grants_of_another_publisher_stay() {
    let customers = read(TWO);
    let record = Record::default().with(&customers, &BTreeSet::new(), false, NOW);
    let owners = Owners::new(&[], &record);
    let mut world = World::new(1);
    let role: RoleArn = "arn:aws:iam::000000000009:role/node"
        .parse()
        .expect("a role");
    for (region, here) in &mut world.0 {
        let key = here.keys.get_mut(&key(region.as_str())).expect("a key");
        let name = grant_name("staging", &role);
        key.grants.push(grant("g", role.as_str(), Some(&name)));
    }
    for remove_unknown in [false, true] {
        let plan = plan(&Desired::default(), &world, &owners, remove_unknown);
        assert!(plan.regions.is_empty(), "{plan:#?}");
        assert_eq!(plan.unknown.len(), REGIONS.len());
    }
}

/// A manifest that is gone, or channels that are not there, take nothing from anybody.
#[test]
fn who_is_to_get_what_nobody_knows_loses_nothing() {
    let customers = read(TWO);
    let owners = Owners::new(&customers, &Record::default());
    let mut world = World::new(1);
    world.apply(&plan(&wanted(&customers, &[0]), &world, &owners, false));
    let entry = Entry {
        at: NOW,
        by: String::new(),
        reason: None,
        approved_by: None,
        in_place_of: None,
    };
    let stable = Channel::empty("stable")
        .with(&release(0), entry)
        .expect("it is new")
        .0;
    let (releases, regions) = (BTreeMap::new(), REGIONS.map(region).into());
    for channels in [&[stable][..], &[Channel::empty("candidate")], &[]] {
        let known = desired::Known {
            channels,
            releases: &releases,
            regions: &regions,
        };
        let desired = desired::desired(&customers, known, NOW);
        assert_eq!(desired.unsure.len(), 2, "{channels:?}");
        assert_eq!(
            desired.missing.len(),
            if channels.len() == 1 && !channels[0].stays.is_empty() {
                3
            } else {
                0
            }
        );
        let plan = plan(&desired, &world, &owners, false);
        assert!(plan.regions.is_empty(), "{plan:#?}");
        let told = Told::new(&plan, &owners, BTreeMap::new());
        assert_eq!(told.unsure, ["acme", "globex"]);
        assert!(text::plan(&told).contains("unsure: what acme is to get"));
    }
}

#[test]
fn a_key_that_is_gone_is_told() {
    let customers = read(TWO);
    let owners = Owners::new(&customers, &Record::default());
    let mut desired = wanted(&customers, &[0]);
    for here in desired.regions.values_mut() {
        for key in here.keys.values_mut() {
            key.releases.insert(("acme".to_owned(), release(0)));
        }
    }
    let mut world = World::new(1);
    world
        .0
        .get_mut(&region("us-east-1"))
        .expect("a Region")
        .keys
        .clear();
    let plan = plan(&desired, &world, &owners, false);
    let missing: Vec<_> = plan
        .missing
        .iter()
        .map(|one| (one.customer.as_str(), one.region.as_str()))
        .collect();
    assert_eq!(missing, [("acme", "us-east-1")]);
    assert!(
        plan.missing
            .iter()
            .all(|one| one.why.contains("is not there"))
    );
}

#[test]
fn what_must_not_be_written_is_refused() {
    let mut text = "[customers.many]\nchannels = [\"stable\"]\naccounts = [\n".to_owned();
    for number in 1..=1001 {
        text.push_str(&format!("\"{number:012}\",\n"));
    }
    text.push_str("]\n");
    let customers = read(&text);
    let owners = Owners::new(&customers, &Record::default());
    let refused = plan(&wanted(&customers, &[0]), &World::new(1), &owners, false).refused;
    let whys: Vec<_> = refused.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(refused.len(), 4, "{whys:#?}");
    assert!(
        whys[0].contains(&format!("KMS takes {MOST_BYTES}: 1001 are to be added")),
        "{}",
        whys[0]
    );
    assert!(refused[0].advice.contains("organization") && refused[0].advice.contains("grants"));
    assert!(
        whys[1].contains("1001 launch permissions, and the quota is 1000"),
        "{}",
        whys[1]
    );

    // A policy that only somebody else may change.
    let mut world = World::new(1);
    let locked = json!({ "Statement": [{ "Effect": "Allow", "Action": "kms:*", "Resource": "*",
        "Principal": { "AWS": "arn:aws:iam::111122223333:role/admin" } }] });
    for (region, here) in &mut world.0 {
        let key = here.keys.get_mut(&key(region.as_str())).expect("a key");
        key.policy = KeyPolicy::parse(&locked.to_string(), "tests").expect("a policy");
    }
    let customers = read(TWO);
    let owners = Owners::new(&customers, &Record::default());
    let refused = plan(&wanted(&customers, &[0]), &world, &owners, false).refused;
    assert_eq!(refused.len(), 2);
    assert!(
        refused[0].why.contains("change it again"),
        "{}",
        refused[0].why
    );
}

#[test]
fn an_ami_that_is_gone_is_missing() {
    let customers = read(TWO);
    let owners = Owners::new(&customers, &Record::default());
    let plan = plan(&wanted(&customers, &[0, 5]), &World::new(1), &owners, false);
    let told: Vec<_> = plan
        .missing
        .iter()
        .map(|one| {
            (
                one.customer.as_str(),
                one.region.as_str(),
                one.release.to_string(),
            )
        })
        .collect();
    let gone = release(5).to_string();
    let expected = [
        ("acme", "eu-central-1", gone.clone()),
        ("acme", "us-east-1", gone.clone()),
        ("globex", "us-east-1", gone),
    ];
    assert_eq!(told, expected);
}

/// Which releases a customer gets: those in its channels, for a while those that left them, and
/// nothing before its time and after it.
#[test]
fn channels_and_days_decide() {
    let mut channel = Channel::empty("stable");
    for (number, hours) in [(0, 0), (1, 24), (2, 48)] {
        let entry = Entry {
            at: NOW - Duration::days(10) + Duration::hours(hours),
            by: String::new(),
            reason: None,
            approved_by: None,
            in_place_of: None,
        };
        channel = channel.with(&release(number), entry).expect("it is new").0;
    }
    let channels = [channel, Channel::empty("candidate")];
    for (lines, expected) in [
        ("channels = [\"stable\"]\ngrace_days = 0", vec![2]),
        ("channels = [\"stable\"]\ngrace_days = 9", vec![1, 2]),
        ("channels = [\"stable\"]\ngrace_days = 10", vec![0, 1, 2]),
        ("channels = [\"stable\"]", vec![0, 1, 2]),
        (
            "channels = [\"stable\"]\ngrace_days = 4000000000",
            vec![0, 1, 2],
        ),
        ("channels = [\"candidate\"]", vec![]),
        ("channels = [\"stable\"]\nprofiles = [\"node*\"]", vec![]),
        (
            "channels = [\"stable\"]\nprofiles = [\"ba*\"]\ngrace_days = 0",
            vec![2],
        ),
        ("channels = [\"stable\"]\nend = 2026-05-31", vec![]),
        (
            "channels = [\"stable\"]\nend = 2026-06-01\ngrace_days = 0",
            vec![2],
        ),
        ("channels = [\"stable\"]\nstart = 2026-06-02", vec![]),
    ] {
        let text = format!("[customers.acme]\naccounts = [\"000000000001\"]\n{lines}\n");
        let wanted = desired::wanted(&read(&text), &channels, NOW);
        let expected: BTreeSet<_> = expected.into_iter().map(release).collect();
        assert_eq!(wanted, expected, "{lines}");
    }
}

/// Random files over random states: one pass, the least changes, and nobody unknown is touched.
#[test]
fn any_state_becomes_the_desired_one_in_one_pass() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (before, now) = (random_file(&mut random), random_file(&mut random));
        let (before, now) = (read(&before), read(&now));
        let record = Record::default().with(&before, &BTreeSet::new(), false, NOW);
        let owners = Owners::new(&now, &record);
        let mut world = World::new(3).with_catalog();
        let images: Vec<usize> = (0..3).filter(|_| random.bool()).collect();
        let desired = wanted(&before, &images);
        let desired = served(desired, &before, any_readers(&mut random));
        world.apply(&plan(&desired, &world, &owners, false));
        disturb(&mut world, &mut random);
        if random.bool() {
            let stranger = Reader::Party(User::Account(account(99)));
            *world.catalog() = world.catalog().with(&[stranger].into());
        }

        let images: Vec<usize> = (0..3).filter(|_| random.bool()).collect();
        let desired = wanted(&now, &images);
        let readers = any_readers(&mut random);
        let desired = served(desired, &now, readers);
        let first = plan(&desired, &world, &owners, false);
        let strangers = unknown_of(&first);
        for plan in first.regions.values() {
            assert!(
                one_change_each(&plan.add) && one_change_each(&plan.remove),
                "seed {seed}"
            );
        }
        world.apply(&first);
        let second = plan(&desired, &world, &owners, false);
        assert!(second.regions.is_empty(), "seed {seed}: {second:#?}");
        assert_eq!(unknown_of(&second), strangers, "seed {seed}");
        check(&world, &desired, &owners, seed);

        // And with `--remove-unknown` nobody else is left.
        let clean = plan(&desired, &world, &owners, true);
        world.apply(&clean);
        let expected = desired::readers(&now, readers, NOW);
        assert_eq!(*world.catalog().readers(), expected, "seed {seed}");
        let last = plan(&desired, &world, &owners, false);
        assert!(last.regions.is_empty(), "seed {seed}");
        assert!(
            last.unknown.iter().all(|one| !one.removable),
            "seed {seed}: {last:#?}"
        );
    }
}

fn unknown_of(plan: &Plan) -> BTreeSet<Unknown> {
    plan.unknown.clone()
}

/// A thing is changed by one call, not by two.
fn one_change_each(changes: &[Change]) -> bool {
    let mut seen = BTreeSet::new();
    changes.iter().all(|change| {
        seen.insert(match change {
            Change::Policy { key, .. } => key.to_string(),
            Change::Grant { key, role } => format!("{key} {role}"),
            Change::Revoke { grant, .. } => grant.clone(),
            Change::Copy { snapshot, .. } => snapshot.to_string(),
            Change::Launch { image, .. } => image.to_string(),
            Change::Catalog { url, .. } => url.clone(),
        })
    })
}

fn random_file(random: &mut fastrand::Rng) -> String {
    let mut text = String::new();
    for number in 1..=4_u64 {
        if random.u8(..3) == 0 {
            continue;
        }
        text.push_str(&format!("[customers.c{number}]\nchannels = [\"stable\"]\n"));
        let accounts: Vec<String> = (0..random.u64(1..4))
            .map(|each| format!("\"{}\"", account(number * 10 + each)))
            .collect();
        text.push_str(&format!("accounts = [{}]\n", accounts.join(", ")));
        text.push_str(&format!("copy = {}\n", random.bool()));
        if random.bool() {
            let id = format!("o-a1b2c3d4e{number}");
            text.push_str(&format!(
                "organizations = [\"arn:aws:organizations::444455556666:organization/{id}\"]\n"
            ));
        }
        if random.bool() {
            let role = format!("arn:aws:iam::{}:role/node", account(number * 10));
            text.push_str(&format!("roles = [\"{role}\"]\n"));
        }
        if random.bool() {
            text.push_str(&format!("regions = [\"{}\"]\n", REGIONS[random.usize(..2)]));
        }
    }
    text
}

/// Others give access by hand, and take some away.
fn disturb(world: &mut World, random: &mut fastrand::Rng) {
    for (region, here) in &mut world.0 {
        for image in here.images.values_mut() {
            image.launch.retain(|_| random.u8(..4) > 0);
            if random.bool() {
                image
                    .launch
                    .insert(Party::Account(account(random.u64(90..93))));
            }
        }
        for copiers in here.snapshots.values_mut() {
            copiers.retain(|_| random.u8(..4) > 0);
            if random.u8(..4) == 0 {
                copiers.insert(Party::Account(account(random.u64(90..93))));
            }
        }
        let key = here.keys.get_mut(&key(region.as_str())).expect("a key");
        if random.bool() {
            let text = key.policy.text(&self::key(region.as_str()));
            let text = text.replace("kms:ReEncrypt*", "kms:ReEncryptFrom");
            key.policy = KeyPolicy::parse(&text, "tests").expect("a policy");
        }
        if random.bool() {
            key.policy = key
                .policy
                .with(&[User::Account(account(random.u64(90..93)))]);
        }
        key.grants.retain(|_| random.bool());
        if random.bool() {
            let role = format!("arn:aws:iam::{}:role/other", account(random.u64(90..93)));
            key.grants.push(grant("by-hand", &role, None));
        }
    }
}

/// What is there is what is desired, and nothing else but of those nobody knows.
fn check(world: &World, desired: &Desired, owners: &Owners, seed: u64) {
    let nobody = BTreeSet::new();
    let none = DesiredKey::default();
    for (region, here) in &world.0 {
        let wanted = &desired.regions[region];
        for (image, seen) in &here.images {
            let wanted = wanted
                .images
                .get(image)
                .map_or(&nobody, |image| &image.launch);
            let known: BTreeSet<Party> = seen
                .launch
                .iter()
                .filter(|party| owners.of(party).is_some())
                .cloned()
                .collect();
            assert_eq!(known, *wanted, "seed {seed}: {image}");
        }
        for (snapshot, seen) in &here.snapshots {
            let wanted = wanted.snapshots.get(snapshot).unwrap_or(&nobody);
            let known: BTreeSet<Party> = seen
                .iter()
                .filter(|party| owners.of(party).is_some())
                .cloned()
                .collect();
            assert_eq!(known, *wanted, "seed {seed}: {snapshot}");
        }
        for (key, seen) in &here.keys {
            let wanted = wanted.keys.get(key).unwrap_or(&none);
            assert!(seen.policy.is_as_written(), "seed {seed}");
            assert!(
                wanted.users.iter().all(|user| seen.policy.has(user)),
                "seed {seed}"
            );
            let known = seen
                .policy
                .users()
                .filter(|user| owners.of_user(user).is_some());
            assert_eq!(known.count(), wanted.users.len(), "seed {seed}");
            for role in &wanted.roles {
                let of_role = seen
                    .grants
                    .iter()
                    .filter(|grant| grant.grantee == role.as_str());
                assert_eq!(of_role.count(), 1, "seed {seed}: {role}");
            }
        }
    }
}
