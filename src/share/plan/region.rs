//! The plan of one Region.

mod catalog;

use std::collections::{BTreeMap, BTreeSet};

use super::{Access, Change, Plan, Refused, RegionPlan, Terms, Unknown};
use crate::aws::ec2::Party;
use crate::aws::kms::sharing::Grant;
use crate::aws::{KeyArn, Region, RoleArn};
use crate::digest;
use crate::share::desired::{DesiredKey, DesiredRegion, Missing};
use crate::share::policy::{MOST_BYTES, User, tag};
use crate::share::present::{PresentKey, PresentRegion};

/// What the names of all publishers' grants begin with.
const GRANTS: &str = "alpine-ami-share/";

/// What the names of a publisher's grants begin with.
fn grants_of(publisher: &str) -> String {
    format!("{GRANTS}{}/", tag(publisher))
}

/// The name of a publisher's grant for a role: AWS gives a grant of a name once.
pub fn grant_name(publisher: &str, role: &RoleArn) -> String {
    let digest = digest::sha256(role.as_str().as_bytes());
    format!("{}{digest}", grants_of(publisher))
}

/// Plans one Region.
pub(super) struct Planner<'a> {
    region: &'a Region,
    desired: &'a DesiredRegion,
    present: &'a PresentRegion,
    unsure: &'a BTreeSet<String>,
    terms: Terms<'a>,
    plan: RegionPlan,
    unknown: BTreeSet<Unknown>,
    missing: BTreeSet<Missing>,
    refused: Vec<Refused>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        region: &'a Region,
        desired: &'a DesiredRegion,
        present: &'a PresentRegion,
        unsure: &'a BTreeSet<String>,
        terms: Terms<'a>,
    ) -> Planner<'a> {
        Planner {
            region,
            desired,
            present,
            unsure,
            terms,
            plan: RegionPlan::default(),
            unknown: BTreeSet::new(),
            missing: BTreeSet::new(),
            refused: Vec::new(),
        }
    }

    pub(super) fn add_to(mut self, plan: &mut Plan) {
        // Keys first where access is given, and last where it is taken away.
        let mut removals = self.keys();
        self.snapshots(&mut removals);
        self.images(&mut removals);
        self.catalog(&mut removals);
        removals.reverse();
        self.plan.remove = removals;
        plan.unknown.extend(self.unknown);
        plan.missing.extend(self.missing);
        plan.refused.extend(self.refused);
        if !self.plan.is_empty() {
            plan.regions.insert(self.region.clone(), self.plan);
        }
    }

    fn keys(&mut self) -> Vec<Change> {
        let mut removals = Vec::new();
        let nobody = DesiredKey::default();
        let (desired, present) = (self.desired, self.present);
        for (key, wanted) in &desired.keys {
            if !present.keys.contains_key(key) {
                let lost = wanted.releases.iter();
                self.missing.extend(lost.map(|(customer, release)| Missing {
                    customer: customer.clone(),
                    region: self.region.clone(),
                    release: release.clone(),
                    why: format!("its key {key} is not there"),
                }));
            }
        }
        for (key, seen) in &present.keys {
            let wanted = desired.keys.get(key).unwrap_or(&nobody);
            removals.extend(self.policy(key, wanted, seen));
            removals.extend(self.grants(key, wanted, seen));
        }
        removals
    }

    fn policy(&mut self, key: &KeyArn, wanted: &DesiredKey, seen: &PresentKey) -> Option<Change> {
        let policy = &seen.policy;
        let added: BTreeSet<User> = wanted
            .users
            .iter()
            .filter(|user| !policy.has(user))
            .cloned()
            .collect();
        let extra = policy.users().filter(|user| !wanted.users.contains(user));
        let removed: BTreeSet<User> = extra
            .filter(|user| {
                let owner = self.terms.owners.of_user(user);
                let access = Access::Key { key: key.clone() };
                self.is_taken(owner, user.to_string(), access, true)
            })
            .cloned()
            .collect();
        for foreign in policy.foreign(self.terms.account) {
            let access = Access::Statement {
                key: key.clone(),
                statement: foreign.statement,
            };
            self.is_taken(None, foreign.who, access, false);
        }
        let rewrites = !added.is_empty() || (removed.is_empty() && !policy.is_as_written());
        if rewrites || !removed.is_empty() {
            self.check_policy(key, seen, &added);
        }
        if rewrites {
            self.plan.add.push(Change::Policy {
                key: key.clone(),
                users: added,
            });
        }
        (!removed.is_empty()).then(|| Change::Policy {
            key: key.clone(),
            users: removed,
        })
    }

    /// What would lock the publisher out, or be too large, is not written.
    fn check_policy(&mut self, key: &KeyArn, seen: &PresentKey, added: &BTreeSet<User>) {
        let policy = &seen.policy;
        let Terms {
            account, principal, ..
        } = self.terms;
        if !policy.can_be_changed_by(account, principal) {
            let why = format!("the policy of {key} does not let account {account} change it again");
            let advice = format!(
                "add a statement that allows kms:PutKeyPolicy to arn:{}:iam::{account}:root, and see that none denies it",
                self.region.partition()
            );
            self.refuse(why, advice);
        }
        let bytes = policy.with(added).text(key).len();
        if bytes > MOST_BYTES {
            let room = policy.room(key);
            let why = format!(
                "the policy of {key} would have {bytes} bytes, and KMS takes {MOST_BYTES}: {} are to be added, and there is room for {room} more accounts",
                added.len()
            );
            let advice = "name the organization or a unit in place of its accounts (one entry for all of them), or `roles` of a customer, which get grants instead; where customers also go, let them go first: apply without the new ones".to_owned();
            self.refuse(why, advice);
        }
    }

    fn refuse(&mut self, why: String, advice: String) {
        self.refused.push(Refused {
            region: self.region.clone(),
            why,
            advice,
        });
    }

    fn grants(&mut self, key: &KeyArn, wanted: &DesiredKey, seen: &PresentKey) -> Vec<Change> {
        let mut removals = Vec::new();
        for role in &wanted.roles {
            let is_there = |grant: &Grant| grant.grantee == role.as_str() && grant.launches;
            if !seen
                .grants
                .iter()
                .any(|grant| is_there(grant) && !grant.constrained)
            {
                self.plan.add.push(Change::Grant {
                    key: key.clone(),
                    role: role.clone(),
                });
            }
        }
        for grant in &seen.grants {
            if self.is_to_go(key, wanted, grant) {
                let name_of = |role: &RoleArn| grant_name(self.terms.publisher, role);
                let customer = self.terms.owners.of_grant(grant, name_of);
                removals.push(Change::Revoke {
                    key: key.clone(),
                    grant: grant.id.clone(),
                    grantee: grant.grantee.clone(),
                    customer: customer.map(str::to_owned),
                });
            }
        }
        removals
    }

    /// Whether a grant is taken back. Those of volumes in use, of the account's own principals, and
    /// those that customers who keep the key have given, stay.
    fn is_to_go(&mut self, key: &KeyArn, wanted: &DesiredKey, grant: &Grant) -> bool {
        let wanted_roles = wanted.roles.iter().map(RoleArn::as_str);
        let account = grant.account();
        if grant.constrained
            || account.as_ref() == Some(self.terms.account)
            || wanted_roles.into_iter().any(|role| role == grant.grantee)
        {
            return false;
        }
        let is_named = |begin: &str| {
            let name = grant.name.as_deref();
            name.is_some_and(|name| name.starts_with(begin))
        };
        let is_ours = is_named(&grants_of(self.terms.publisher));
        // Another publisher may share the key, and have the same customers.
        let is_anothers = is_named(GRANTS) && !is_ours;
        let keeps = account.is_some_and(|account| {
            let by_role = wanted.roles.iter().any(|role| role.account() == account);
            by_role || wanted.users.contains(&User::Account(account))
        });
        if keeps && !is_ours {
            return false;
        }
        let name_of = |role: &RoleArn| grant_name(self.terms.publisher, role);
        let owner = self.terms.owners.of_grant(grant, name_of);
        // Whether the account of a role is in an organization, nobody can see from here.
        let has_groups = wanted
            .users
            .iter()
            .any(|user| matches!(user, User::Organization(_) | User::Unit(..)));
        let access = Access::Grant {
            key: key.clone(),
            grant: grant.id.clone(),
        };
        let removable = is_ours || !(has_groups || is_anothers);
        let owner = owner.filter(|_| removable);
        self.is_taken(owner, grant.grantee.clone(), access, removable)
    }

    fn snapshots(&mut self, removals: &mut Vec<Change>) {
        let nobody = BTreeSet::new();
        let (desired, present) = (self.desired, self.present);
        let releases = self.releases_of_snapshots();
        for (snapshot, seen) in &present.snapshots {
            let release = releases.get(snapshot.as_str()).cloned().unwrap_or_default();
            let wanted = desired.snapshots.get(snapshot).unwrap_or(&nobody);
            let access = Access::Copy {
                snapshot: snapshot.clone(),
                release: release.clone(),
            };
            let (added, removed) = self.parties(wanted, seen, &access);
            let change = |parties| Change::Copy {
                snapshot: snapshot.clone(),
                release: release.clone(),
                parties,
            };
            if !added.is_empty() {
                self.plan.add.push(change(added));
            }
            if !removed.is_empty() {
                removals.push(change(removed));
            }
        }
    }

    /// Which release a snapshot belongs to.
    fn releases_of_snapshots(&self) -> BTreeMap<String, String> {
        let images = self.present.images.values();
        let pairs = images.flat_map(|image| {
            let snapshots = image.snapshots.iter();
            snapshots.map(|snapshot| (snapshot.to_string(), image.release.clone()))
        });
        pairs.collect()
    }

    fn images(&mut self, removals: &mut Vec<Change>) {
        let nobody = BTreeSet::new();
        let (desired, present) = (self.desired, self.present);
        for (image, seen) in &present.images {
            let wanted = desired
                .images
                .get(image)
                .map_or(&nobody, |wanted| &wanted.launch);
            let access = Access::Launch {
                image: image.clone(),
                release: seen.release.clone(),
            };
            let (added, removed) = self.parties(wanted, &seen.launch, &access);
            let most = self.terms.launch_permissions;
            let entries = seen.launch.len() + added.len();
            if !added.is_empty() && entries > most {
                let why = format!(
                    "{image} ({}) would have {entries} launch permissions, and the quota is {most}",
                    seen.release
                );
                let advice = "name organizations or units in place of accounts, or ask AWS for a higher quota (\"AMI sharing\") and say so: `launch_permission_quota` in [share]".to_owned();
                self.refuse(why, advice);
            }
            let change = |parties| Change::Launch {
                image: image.clone(),
                release: seen.release.clone(),
                parties,
            };
            if !added.is_empty() {
                self.plan.add.push(change(added));
            }
            if !removed.is_empty() {
                removals.push(change(removed));
            }
        }
        for (image, wanted) in &desired.images {
            if !present.images.contains_key(image) {
                self.miss(image.as_str(), wanted);
            }
        }
    }

    /// The AMI of a release that customers are to get is not there, or cannot be shared.
    fn miss(&mut self, image: &str, wanted: &crate::share::desired::DesiredImage) {
        let owners = self.terms.owners;
        let customers: BTreeSet<&str> = wanted
            .launch
            .iter()
            .filter_map(|party| owners.of(party))
            .collect();
        self.missing
            .extend(customers.into_iter().map(|customer| Missing {
                customer: customer.to_owned(),
                region: self.region.clone(),
                release: wanted.release.clone(),
                why: format!("{image} is not there, or not available"),
            }));
    }

    /// Who is to be added and who removed.
    fn parties(
        &mut self,
        wanted: &BTreeSet<Party>,
        seen: &BTreeSet<Party>,
        access: &Access,
    ) -> (BTreeSet<Party>, BTreeSet<Party>) {
        let added = wanted.difference(seen).cloned().collect();
        let extra = seen.difference(wanted);
        let removed = extra.filter(|party| {
            let owner = self.terms.owners.of(party);
            self.is_taken(owner, party.to_string(), access.clone(), true)
        });
        let removed: BTreeSet<Party> = removed.cloned().collect();
        (added, removed)
    }

    /// Whether access that is not desired is taken away. If the file does not know whose it is, it is
    /// told.
    fn is_taken(
        &mut self,
        owner: Option<&str>,
        who: String,
        access: Access,
        removable: bool,
    ) -> bool {
        if let Some(owner) = owner {
            return !self.unsure.contains(owner);
        }
        self.unknown.insert(Unknown {
            who,
            region: self.region.clone(),
            access,
            removable,
        });
        removable && self.terms.remove_unknown
    }
}
