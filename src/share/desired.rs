//! What AWS is to hold: what customers get, of the releases in their channels.

use std::collections::{BTreeMap, BTreeSet};

use time::{Duration, OffsetDateTime};

use super::customers::Customer;
use super::policy::User;
use super::policy::catalog::Reader;
use super::settings::Readers;
use crate::aws::ec2::Party;
use crate::aws::{AccountId, AmiId, KeyArn, Region, RoleArn, SnapshotId};
use crate::channels::{Channel, Stay};
use crate::publish::manifest::ReleaseManifest;
use crate::publish::release::ReleaseId;

/// What every Region is to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// The Regions in which somebody gets something.
    pub regions: BTreeMap<Region, DesiredRegion>,
    /// What customers are to get and cannot: the release is not there.
    pub missing: BTreeSet<Missing>,
    /// Customers of whom it is not known what they are to get: nothing is taken from them.
    pub unsure: BTreeSet<String>,
}

/// Who is to read the catalog: every customer that is served, all of it, whatever its channels.
pub fn readers(customers: &[Customer], readers: Readers, now: OffsetDateTime) -> BTreeSet<Reader> {
    match readers {
        Readers::Nobody => BTreeSet::new(),
        Readers::Everybody => [Reader::Everybody].into(),
        Readers::Customers => customers
            .iter()
            .filter(|customer| customer.is_served_on(now.date()))
            .flat_map(Customer::parties)
            .filter_map(|party| User::of(&party).map(Reader::Party))
            .collect(),
    }
}

/// What a Region is to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredRegion {
    /// Who may launch.
    pub images: BTreeMap<AmiId, DesiredImage>,
    /// Which accounts may copy.
    pub snapshots: BTreeMap<SnapshotId, BTreeSet<Party>>,
    /// Who may use keys.
    pub keys: BTreeMap<KeyArn, DesiredKey>,
    /// Who may read the catalog, which is in one Region alone.
    pub readers: BTreeSet<Reader>,
}

/// Who is to launch an AMI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredImage {
    /// The release that it is.
    pub release: ReleaseId,
    /// Accounts, organizations and units.
    pub launch: BTreeSet<Party>,
}

/// Who is to use a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredKey {
    /// By the key's policy.
    pub users: BTreeSet<User>,
    /// By grants.
    pub roles: BTreeSet<RoleArn>,
    /// Who gets which release that is under it.
    pub releases: BTreeSet<(String, ReleaseId)>,
}

/// A release that a customer is to get in a Region, and that is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Missing {
    /// The customer.
    pub customer: String,
    /// The Region.
    pub region: Region,
    /// The release.
    pub release: ReleaseId,
    /// What is wrong.
    pub why: String,
}

/// The releases that some customer gets: of all others nothing needs to be known.
pub fn wanted(
    customers: &[Customer],
    channels: &[Channel],
    now: OffsetDateTime,
) -> BTreeSet<ReleaseId> {
    let each = customers.iter();
    each.flat_map(|customer| releases_of(customer, channels, now))
        .cloned()
        .collect()
}

/// What is known of releases.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The channels that there are documents of.
    pub channels: &'a [Channel],
    /// The manifests of the releases that are [`wanted`], where there are any.
    pub releases: &'a BTreeMap<ReleaseId, ReleaseManifest>,
    /// The publisher's Regions.
    pub regions: &'a BTreeSet<Region>,
}

/// What AWS is to hold.
///
/// Where a manifest is gone, or there is no document of any channel of a customer's, as in a bucket
/// under another prefix, it is not known what the customer is to get.
pub fn desired(customers: &[Customer], known: Known<'_>, now: OffsetDateTime) -> Desired {
    let Known {
        channels, releases, ..
    } = known;
    let mut desired = Desired::default();
    for customer in customers {
        let has_channel = |channel: &Channel| customer.channels.contains(&channel.channel);
        if !channels.iter().any(has_channel) {
            desired.unsure.insert(customer.name.clone());
        }
        for release in releases_of(customer, channels, now) {
            match releases.get(release) {
                Some(manifest) => {
                    let gets = |one: &&Customer| releases_of(one, channels, now).contains(release);
                    let named = match manifest.withdrawn {
                        None => BTreeSet::new(),
                        Some(_) => accounts(customers.iter().filter(gets)),
                    };
                    desired.give(customer, manifest, &named);
                }
                None => desired.lack(customer, release, known.regions),
            }
        }
    }
    desired
}

/// The releases that a customer gets now: those in its channels, and those that left them a short
/// while ago.
fn releases_of<'c>(
    customer: &Customer,
    channels: &'c [Channel],
    now: OffsetDateTime,
) -> BTreeSet<&'c ReleaseId> {
    if !customer.is_served_on(now.date()) {
        return BTreeSet::new();
    }
    let grace = Duration::days(customer.grace_days.into());
    // An end that no calendar has is none.
    let is_over = |until: OffsetDateTime| until.checked_add(grace).is_some_and(|end| end <= now);
    let stays = |stay: &&Stay| !stay.until.is_some_and(is_over);
    channels
        .iter()
        .filter(|channel| customer.channels.contains(&channel.channel))
        .flat_map(|channel| channel.stays.iter().filter(stays))
        .map(|stay| &stay.release)
        .filter(|release| customer.wants(&release.line.profile))
        .collect()
}

impl Desired {
    fn lack(&mut self, customer: &Customer, release: &ReleaseId, regions: &BTreeSet<Region>) {
        let why = "the bucket has no manifest of it";
        for region in customer.regions.as_ref().unwrap_or(regions) {
            self.miss(customer, region, release, why);
        }
        self.unsure.insert(customer.name.clone());
    }

    fn miss(&mut self, customer: &Customer, region: &Region, release: &ReleaseId, why: &str) {
        self.missing.insert(Missing {
            customer: customer.name.clone(),
            region: region.clone(),
            release: release.clone(),
            why: why.to_owned(),
        });
    }

    fn give(
        &mut self,
        customer: &Customer,
        manifest: &ReleaseManifest,
        named: &BTreeSet<&AccountId>,
    ) {
        let release = &manifest.release;
        for (region, place) in &manifest.regions {
            if !customer.is_in(region) {
                continue;
            }
            let Some(ami) = &place.ami else {
                self.miss(customer, region, release, "it has no AMI there");
                continue;
            };
            let here = self.regions.entry(region.clone()).or_default();
            let parties = customer
                .parties()
                .filter(|party| keeps(manifest, region, party, named));
            let parties: BTreeSet<Party> = parties.collect();
            here.give(customer, (release, parties), ami, place.snapshot.as_ref());
            here.give_key(customer, release, &place.key);
        }
        for region in customer.regions.iter().flatten() {
            if !manifest.regions.contains_key(region) {
                self.miss(customer, region, release, "it was not published there");
            }
        }
    }
}

fn accounts<'c>(customers: impl Iterator<Item = &'c Customer>) -> BTreeSet<&'c AccountId> {
    customers.flat_map(|customer| &customer.accounts).collect()
}

/// Whether somebody is to be able to launch a release: one that was withdrawn, only who runs it. Who
/// runs it and is named by none of those that got it has it by an organization or a unit.
fn keeps(
    manifest: &ReleaseManifest,
    region: &Region,
    party: &Party,
    named: &BTreeSet<&AccountId>,
) -> bool {
    let withdrawn = manifest.withdrawn.as_ref();
    let running = withdrawn.and_then(|withdrawn| withdrawn.running.as_ref()?.get(region));
    let Some(running) = running else {
        return true;
    };
    match party {
        Party::Account(account) => running.contains(account),
        _ => running.iter().any(|account| !named.contains(account)),
    }
}

impl DesiredRegion {
    fn give(
        &mut self,
        customer: &Customer,
        (release, parties): (&ReleaseId, BTreeSet<Party>),
        ami: &AmiId,
        snapshot: Option<&SnapshotId>,
    ) {
        if parties.is_empty() {
            return;
        }
        let image = self.images.entry(ami.clone()).or_insert(DesiredImage {
            release: release.clone(),
            launch: BTreeSet::new(),
        });
        if let Some(snapshot) = snapshot.filter(|_| customer.copy) {
            let copiers = self.snapshots.entry(snapshot.clone()).or_default();
            let accounts = parties
                .iter()
                .filter(|party| matches!(party, Party::Account(_)));
            copiers.extend(accounts.cloned());
        }
        image.launch.extend(parties);
    }

    /// An account that roles are named of gets the key through these alone.
    fn give_key(&mut self, customer: &Customer, release: &ReleaseId, key: &KeyArn) {
        let key = self.keys.entry(key.clone()).or_default();
        key.releases
            .insert((customer.name.clone(), release.clone()));
        let by_role: BTreeSet<_> = customer.roles.iter().map(RoleArn::account).collect();
        let parties = customer.parties().filter(|party| match party {
            Party::Account(account) => !by_role.contains(account),
            _ => true,
        });
        key.users
            .extend(parties.filter_map(|party| User::of(&party)));
        key.roles.extend(customer.roles.iter().cloned());
    }
}
