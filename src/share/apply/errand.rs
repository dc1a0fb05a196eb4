//! One Region: gives, sees that it is given, takes away, sees that it is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::sight::{Sight, sights};
use crate::aws::ec2::{Ec2, Way};
use crate::aws::kms::Kms;
use crate::aws::{AccountId, KeyArn, Region};
use crate::publish::progress::Progress;
use crate::share::error::RegionError;
use crate::share::plan::{Change, RegionPlan, grant_name};
use crate::share::policy::{KeyPolicy, MOST_BYTES, User};
use crate::share::present::ReadError;
use crate::share::survey::Job;

/// Calls that change something, at once in a Region.
const AT_ONCE: usize = 8;
/// Grants are seen everywhere within so long, and all else sooner.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/grants.html#terms-eventual-consistency>
const SETTLES: Duration = Duration::from_secs(300);

/// What is done in one Region.
#[derive(Clone)]
pub(super) struct Errand {
    pub(super) ec2: Ec2,
    pub(super) kms: Kms,
    pub(super) region: Region,
    account: AccountId,
    principal: String,
    pub(super) limit: Duration,
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

    /// The changes of a stage, until they are to be seen.
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
        let make = |errand: Errand, change: Change| async move { errand.make(&change, way).await };
        let see = |errand: Errand, sight: Sight| async move { errand.see(&sight, way).await };
        let sights = sights(&changes);
        self.each(changes, make).await?;
        self.each(sights, see).await
    }

    /// Does something with all of these, some at once.
    async fn each<T, F>(
        &self,
        things: Vec<T>,
        act: impl Fn(Errand, T) -> F,
    ) -> Result<(), RegionError>
    where
        F: Future<Output = Result<(), RegionError>> + Send + 'static,
    {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut running = JoinSet::new();
        for thing in things {
            let (act, turns) = (act(self.clone(), thing), Arc::clone(&turns));
            running.spawn(async move {
                let _turn = turns.acquire_owned().await;
                act.await
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

    pub(super) async fn policy(&self, key: &KeyArn) -> Result<KeyPolicy, RegionError> {
        let text = self.kms.policy(key).await?;
        let policy = KeyPolicy::parse(&text).map_err(|why| ReadError::Policy {
            key: key.clone(),
            why: why.to_string(),
        })?;
        Ok(policy)
    }
}
