//! What was changed in a Region, looked at until it is to be seen.

use std::collections::{BTreeMap, BTreeSet};

use super::errand::Errand;
use crate::aws::ec2::{Party, Way};
use crate::aws::kms::sharing::Grant;
use crate::aws::wait::{self, Seen};
use crate::aws::{AmiId, KeyArn, RoleArn, SnapshotId};
use crate::share::error::RegionError;
use crate::share::plan::Change;
use crate::share::policy::User;
use crate::share::policy::catalog::Reader;

/// What one look shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// Users of a key, in its policy.
    Policy { key: KeyArn, users: BTreeSet<User> },
    /// All grants of a key: those of these roles are given, and those of these ids taken back.
    Grants {
        key: KeyArn,
        given: BTreeSet<RoleArn>,
        taken: BTreeSet<String>,
    },
    /// Who may copy a snapshot.
    Copy {
        snapshot: SnapshotId,
        parties: BTreeSet<Party>,
    },
    /// Who may launch an AMI.
    Launch {
        image: AmiId,
        parties: BTreeSet<Party>,
    },
    /// Who may read the catalog.
    Catalog {
        url: String,
        readers: BTreeSet<Reader>,
    },
}

/// What is to be looked at when these changes were made. AWS lists the grants of a key all at once:
/// they are not looked at one by one.
pub(super) fn sights(changes: Vec<Change>) -> Vec<Sight> {
    let mut grants: BTreeMap<KeyArn, (BTreeSet<RoleArn>, BTreeSet<String>)> = BTreeMap::new();
    let mut sights = Vec::new();
    for change in changes {
        match change {
            Change::Grant { key, role } => {
                grants.entry(key).or_default().0.insert(role);
            }
            Change::Revoke { key, grant, .. } => {
                grants.entry(key).or_default().1.insert(grant);
            }
            Change::Policy { key, users } => sights.push(Sight::Policy { key, users }),
            Change::Copy {
                snapshot, parties, ..
            } => sights.push(Sight::Copy { snapshot, parties }),
            Change::Launch { image, parties, .. } => sights.push(Sight::Launch { image, parties }),
            Change::Catalog { url, readers } => sights.push(Sight::Catalog { url, readers }),
        }
    }
    let grants = grants.into_iter();
    sights.extend(grants.map(|(key, (given, taken))| Sight::Grants { key, given, taken }));
    sights
}

impl Sight {
    /// What it is of.
    fn subject(&self) -> String {
        match self {
            Sight::Policy { key, .. } => format!("the policy of {key}"),
            Sight::Grants { key, .. } => format!("what is granted of {key}"),
            Sight::Copy { snapshot, .. } => format!("who may copy {snapshot}"),
            Sight::Launch { image, .. } => format!("who may launch {image}"),
            Sight::Catalog { url, .. } => format!("who may read {url}"),
        }
    }
}

impl Errand {
    /// Waits until it is to be seen that something was given, or taken away.
    pub(super) async fn see(&self, sight: &Sight, way: Way) -> Result<(), RegionError> {
        let look = || async {
            Ok::<_, RegionError>(match self.unseen(sight, way).await? {
                None => Seen::Reached(()),
                Some(what) => Seen::NotYet(what),
            })
        };
        let seen = wait::until(self.limit, |_| {}, look).await?;
        seen.map_err(|timed_out| RegionError::NotSeen {
            what: sight.subject(),
            region: self.region.clone(),
            timed_out,
        })
    }

    /// What is not as it was set, in words.
    async fn unseen(&self, sight: &Sight, way: Way) -> Result<Option<String>, RegionError> {
        let is_seen = match sight {
            Sight::Grants { key, given, taken } => {
                return Ok(unseen_grant(&self.kms.grants(key).await?, given, taken));
            }
            Sight::Policy { key, users } => {
                let policy = self.policy(key).await?;
                match way {
                    Way::Add => policy.is_as_written() && users.iter().all(|user| policy.has(user)),
                    Way::Remove => !policy.users().any(|user| users.contains(user)),
                }
            }
            Sight::Catalog { readers, .. } => {
                let policy = self.catalog_policy().await?;
                match way {
                    Way::Add => policy.is_as_written() && readers.is_subset(policy.readers()),
                    Way::Remove => readers.is_disjoint(policy.readers()),
                }
            }
            Sight::Copy { snapshot, parties } => {
                let seen = self.ec2.volume_permissions(snapshot).await?;
                holds(seen.as_ref(), parties, way)
            }
            Sight::Launch { image, parties } => {
                let seen = self.ec2.launch_permissions(image).await?;
                holds(seen.as_ref(), parties, way)
            }
        };
        Ok((!is_seen).then(|| "as it was before".to_owned()))
    }
}

/// Whether those who are seen are as they were set.
fn holds(seen: Option<&BTreeSet<Party>>, parties: &BTreeSet<Party>, way: Way) -> bool {
    match (seen, way) {
        (Some(seen), Way::Add) => parties.is_subset(seen),
        (Some(seen), Way::Remove) => parties.is_disjoint(seen),
        // What is gone can be neither launched nor copied.
        (None, way) => way == Way::Remove,
    }
}

/// A grant that was given and is not there, or was taken back and is.
fn unseen_grant(
    seen: &[Grant],
    given: &BTreeSet<RoleArn>,
    taken: &BTreeSet<String>,
) -> Option<String> {
    let launchers = seen.iter().filter(|grant| grant.launches);
    let launchers: BTreeSet<&str> = launchers.map(|grant| grant.grantee.as_str()).collect();
    let absent = given.iter().find(|role| !launchers.contains(role.as_str()));
    if let Some(role) = absent {
        return Some(format!("no grant for {role}"));
    }
    let present = seen.iter().find(|grant| taken.contains(&grant.id))?;
    Some(format!("grant {} for {}", present.id, present.grantee))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(number: u32) -> RoleArn {
        let arn = format!("arn:aws:iam::222222222222:role/node-{number}");
        arn.parse().expect("an ARN")
    }

    fn grant(number: u32) -> Grant {
        Grant {
            id: format!("id-{number}"),
            name: None,
            grantee: role(number).to_string(),
            launches: true,
            constrained: false,
        }
    }

    #[test]
    fn one_look_shows_all_grants_of_a_key() {
        let key = |number: u32| -> KeyArn {
            let arn = format!(
                "arn:aws:kms:us-east-1:111111111111:key/00000000-0000-0000-0000-00000000000{number}"
            );
            arn.parse().expect("an ARN")
        };
        let image: AmiId = "ami-00000000000000001".parse().expect("an id");
        let given = |number, role| Change::Grant {
            key: key(number),
            role,
        };
        let changes = vec![
            given(1, role(1)),
            Change::Policy {
                key: key(1),
                users: BTreeSet::new(),
            },
            given(1, role(2)),
            given(2, role(1)),
            Change::Launch {
                image: image.clone(),
                release: String::new(),
                parties: BTreeSet::new(),
            },
        ];
        let grants = |number, roles: &[RoleArn]| Sight::Grants {
            key: key(number),
            given: roles.iter().cloned().collect(),
            taken: BTreeSet::new(),
        };
        let expected = [
            Sight::Policy {
                key: key(1),
                users: BTreeSet::new(),
            },
            Sight::Launch {
                image,
                parties: BTreeSet::new(),
            },
            grants(1, &[role(1), role(2)]),
            grants(2, &[role(1)]),
        ];
        assert_eq!(sights(changes), expected);
    }

    #[test]
    fn a_grant_that_is_not_as_it_was_set_is_named() {
        let roles = |numbers: &[u32]| -> BTreeSet<RoleArn> {
            numbers.iter().map(|number| role(*number)).collect()
        };
        let ids = |numbers: &[u32]| -> BTreeSet<String> {
            numbers.iter().map(|number| grant(*number).id).collect()
        };
        let narrow = Grant {
            launches: false,
            ..grant(3)
        };
        let seen = [grant(1), grant(2), narrow];
        for (given, taken, expected) in [
            (&[1, 2][..], &[4][..], None),
            (&[1, 3], &[], Some(format!("no grant for {}", role(3)))),
            (&[], &[4, 2], Some(format!("grant id-2 for {}", role(2)))),
        ] {
            let unseen = unseen_grant(&seen, &roles(given), &ids(taken));
            assert_eq!(unseen, expected, "{given:?} {taken:?}");
        }
    }
}
