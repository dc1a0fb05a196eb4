//! One Region: gives, sees that it is given, takes away, sees that it is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::aws::ec2::{Ec2, Party, Way};
use crate::aws::kms::Kms;
use crate::aws::wait::{self, Seen};
use crate::aws::{AccountId, KeyArn, Region};
use crate::publish::progress::Progress;
use crate::share::error::RegionError;
use crate::share::plan::{Change, RegionPlan, grant_name};
use crate::share::policy::{KeyPolicy, MOST_BYTES, User};
use crate::share::present::{self, ReadError};
use crate::share::survey::Job;

/// Calls that change something, at once in a Region.
const AT_ONCE: usize = 8;
/// Grants are seen everywhere within so long, and all else sooner.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/grants.html#terms-eventual-consistency>
const SETTLES: Duration = Duration::from_secs(300);

/// What is done in one Region.
#[derive(Clone)]
pub(super) struct Errand {
    ec2: Ec2,
    kms: Kms,
    region: Region,
    account: AccountId,
    principal: String,
    limit: Duration,
    progress: Progress,
}

/// Changes that may be made at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Keys,
    Snapshots,
    Images,
}

impl Stage {
    fn of(change: &Change) -> Stage {
        match change {
            Change::Policy { .. } | Change::Grant { .. } | Change::Revoke { .. } => Stage::Keys,
            Change::Copy { .. } => Stage::Snapshots,
            Change::Launch { .. } => Stage::Images,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Stage::Keys => "keys",
            Stage::Snapshots => "snapshots",
            Stage::Images => "AMIs",
        }
    }
}

impl Errand {
    pub(super) fn new(job: &Job<'_>, region: &Region) -> Errand {
        Errand {
            ec2: job.aws.ec2(region),
            kms: job.aws.kms(region),
            region: region.clone(),
            account: job.aws.account().clone(),
            principal: job.aws.identity().arn.clone(),
            limit: job.aws.settings().wait().min(SETTLES),
            progress: job.progress.clone(),
        }
    }

    /// First everything is given: the key before what is under it, so that nobody sees an AMI that
    /// cannot be launched. Only then is anything taken away, the other way round.
    pub(super) async fn run(&self, plan: RegionPlan) -> Result<(), RegionError> {
        for stage in [Stage::Keys, Stage::Snapshots, Stage::Images] {
            self.stage(stage, Way::Add, &plan.add).await?;
        }
        for stage in [Stage::Images, Stage::Snapshots, Stage::Keys] {
            self.stage(stage, Way::Remove, &plan.remove).await?;
        }
        Ok(())
    }

    /// The changes of a stage, each until it is to be seen.
    async fn stage(&self, stage: Stage, way: Way, plan: &[Change]) -> Result<(), RegionError> {
        let changes = plan.iter().filter(|change| Stage::of(change) == stage);
        let changes: Vec<Change> = changes.cloned().collect();
        if changes.is_empty() {
            return Ok(());
        }
        let verb = match way {
            Way::Add => "giving",
            Way::Remove => "taking back",
        };
        let at = format!("{verb}: {} {}", changes.len(), stage.name());
        self.progress.region(&self.region, at);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut running = JoinSet::new();
        for change in changes {
            let (errand, turns) = (self.clone(), Arc::clone(&turns));
            running.spawn(async move {
                let _turn = turns.acquire_owned().await;
                errand.make(&change, way).await?;
                errand.see(&change, way).await
            });
        }
        while let Some(ended) = running.join_next().await {
            ended.expect("a change does not panic")?;
        }
        Ok(())
    }

    async fn make(&self, change: &Change, way: Way) -> Result<(), RegionError> {
        match change {
            Change::Policy { key, users } => return self.write_policy(key, users, way).await,
            Change::Grant { key, role } => {
                self.kms.grant(key, role, &grant_name(role)).await?;
            }
            Change::Revoke { key, grant, .. } => self.kms.revoke(key, grant).await?,
            Change::Copy {
                snapshot, parties, ..
            } => {
                let change = self.ec2.change_volume_permissions(snapshot, way, parties);
                change.await?;
            }
            Change::Launch { image, parties, .. } => {
                let change = self.ec2.change_launch_permissions(image, way, parties);
                change.await?;
            }
        }
        Ok(())
    }

    /// The policy is read again just before it is written: whatever else others have changed in it
    /// since the plan was made stays.
    async fn write_policy(
        &self,
        key: &KeyArn,
        users: &BTreeSet<User>,
        way: Way,
    ) -> Result<(), RegionError> {
        let before = self.policy(key).await?;
        let after = match way {
            Way::Add => before.with(users),
            Way::Remove => before.without(users),
        };
        if after == before {
            return Ok(());
        }
        let text = after.text(key);
        let why = if !after.can_be_changed_by(&self.account, &self.principal) {
            Some("it does not let the account change it again".to_owned())
        } else if text.len() > MOST_BYTES {
            Some(format!(
                "it would have {} bytes, and KMS takes {MOST_BYTES}",
                text.len()
            ))
        } else {
            None
        };
        if let Some(why) = why {
            return Err(RegionError::Policy {
                region: self.region.clone(),
                why: format!("{key}: {why}"),
            });
        }
        Ok(self.kms.put_policy(key, &text).await?)
    }

    async fn policy(&self, key: &KeyArn) -> Result<KeyPolicy, RegionError> {
        let text = self.kms.policy(key).await?;
        let policy = KeyPolicy::parse(&text).map_err(|why| ReadError::Policy {
            key: key.clone(),
            why: why.to_string(),
        })?;
        Ok(policy)
    }

    /// Waits until a change is to be seen.
    async fn see(&self, change: &Change, way: Way) -> Result<(), RegionError> {
        let look = || async {
            Ok::<_, RegionError>(match self.is_seen(change, way).await? {
                true => Seen::Reached(()),
                false => Seen::NotYet("as it was before".to_owned()),
            })
        };
        let seen = wait::until(self.limit, |_| {}, look).await?;
        seen.map_err(|timed_out| RegionError::NotSeen {
            what: subject(change),
            region: self.region.clone(),
            timed_out,
        })
    }

    async fn is_seen(&self, change: &Change, way: Way) -> Result<bool, RegionError> {
        let holds = |seen: Option<BTreeSet<Party>>, parties: &BTreeSet<Party>| match (seen, way) {
            (Some(seen), Way::Add) => parties.is_subset(&seen),
            (Some(seen), Way::Remove) => parties.is_disjoint(&seen),
            // What is gone can be neither launched nor copied.
            (None, way) => way == Way::Remove,
        };
        Ok(match change {
            Change::Policy { key, users } => {
                let policy = self.policy(key).await?;
                match way {
                    Way::Add => policy.is_as_written() && users.iter().all(|user| policy.has(user)),
                    Way::Remove => !policy.users().any(|user| users.contains(user)),
                }
            }
            Change::Grant { key, role } => {
                let key = present::read_key(&self.kms, key).await?;
                let is_there = |grantee: &str| grantee == role.as_str();
                key.grants
                    .iter()
                    .any(|grant| is_there(&grant.grantee) && grant.launches)
            }
            Change::Revoke { key, grant, .. } => {
                let key = present::read_key(&self.kms, key).await?;
                !key.grants.iter().any(|seen| seen.id == *grant)
            }
            Change::Copy {
                snapshot, parties, ..
            } => holds(self.ec2.volume_permissions(snapshot).await?, parties),
            Change::Launch { image, parties, .. } => {
                holds(self.ec2.launch_permissions(image).await?, parties)
            }
        })
    }
}

/// What a change is of.
fn subject(change: &Change) -> String {
    match change {
        Change::Policy { key, .. } => format!("the policy of {key}"),
        Change::Grant { key, role } => format!("the grant of {key} for {role}"),
        Change::Revoke { key, grant, .. } => format!("the end of grant {grant} of {key}"),
        Change::Copy { snapshot, .. } => format!("who may copy {snapshot}"),
        Change::Launch { image, .. } => format!("who may launch {image}"),
    }
}
