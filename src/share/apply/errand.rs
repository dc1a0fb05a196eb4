//! One Region: gives, sees that it is given, takes away, sees that it is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::sight::{Sight, sights};
use crate::aws::ec2::{Ec2, Way};
use crate::aws::kms::Kms;
use crate::aws::wait;
use crate::aws::{AccountId, KeyArn, Kind, Region};
use crate::publish::bucket::Bucket;
use crate::publish::progress::Progress;
use crate::share::error::RegionError;
use crate::share::plan::{Change, RegionPlan, grant_name};
use crate::share::policy::catalog::{self, CatalogPolicy, Place, Reader};
use crate::share::policy::{KeyPolicy, MOST_BYTES, User};
use crate::share::present::{self, parse_policy};
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
    /// Where the catalog is; all of it is in one Region.
    catalog: (Bucket, Place),
    publisher: String,
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
    Catalog,
}

impl Stage {
    fn of(change: &Change) -> Stage {
        match change {
            Change::Policy { .. } | Change::Grant { .. } | Change::Revoke { .. } => Stage::Keys,
            Change::Copy { .. } => Stage::Snapshots,
            Change::Launch { .. } => Stage::Images,
            Change::Catalog { .. } => Stage::Catalog,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Stage::Keys => "keys",
            Stage::Snapshots => "snapshots",
            Stage::Images => "AMIs",
            Stage::Catalog => "the catalog",
        }
    }
}

impl Errand {
    pub(super) fn new(job: &Job<'_>, region: &Region) -> Errand {
        Errand {
            ec2: job.aws.ec2(region),
            kms: job.aws.kms(region),
            region: region.clone(),
            catalog: (job.bucket(), job.catalog()),
            publisher: job.publisher.name.clone(),
            account: job.aws.account().clone(),
            principal: job.aws.identity().arn.clone(),
            limit: job.aws.settings().wait().min(SETTLES),
            progress: job.progress.clone(),
        }
    }

    /// First everything is given: the key before what is under it, so that nobody sees an AMI that
    /// cannot be launched. Only then is anything taken away, the other way round.
    ///
    /// A grant that cannot be given is one role's trouble, which may not even be there: it keeps
    /// nobody else waiting, but no key is taken from anybody then.
    pub(super) async fn run(&self, plan: RegionPlan) -> Result<(), RegionError> {
        let (grants, rest): (Vec<Change>, Vec<Change>) = plan
            .add
            .iter()
            .cloned()
            .partition(|change| matches!(change, Change::Grant { .. }));
        let granted = self.make_all(Stage::Keys, Way::Add, grants).await;
        for stage in [Stage::Keys, Stage::Snapshots, Stage::Images, Stage::Catalog] {
            self.stage(stage, Way::Add, &rest).await?;
        }
        for stage in [Stage::Catalog, Stage::Images, Stage::Snapshots] {
            self.stage(stage, Way::Remove, &plan.remove).await?;
        }
        granted?;
        if hands_over(&plan) {
            let minutes = SETTLES.as_secs() / 60;
            let at = format!("waiting {minutes} min: grants take so long to count everywhere");
            self.progress.region(&self.region, at);
            wait::pause(SETTLES).await;
        }
        self.stage(Stage::Keys, Way::Remove, &plan.remove).await
    }

    async fn stage(&self, stage: Stage, way: Way, plan: &[Change]) -> Result<(), RegionError> {
        let changes = plan.iter().filter(|change| Stage::of(change) == stage);
        let changes = changes.cloned().collect();
        self.make_all(stage, way, changes).await
    }

    /// The changes of a stage, each until it is to be seen. One that fails does not end the others.
    async fn make_all(
        &self,
        stage: Stage,
        way: Way,
        changes: Vec<Change>,
    ) -> Result<(), RegionError> {
        if changes.is_empty() {
            return Ok(());
        }
        let verb = match way {
            Way::Add => "giving",
            Way::Remove => "taking back",
        };
        let at = match stage {
            Stage::Catalog => format!("{verb}: {}", stage.name()),
            _ => format!("{verb}: {} {}", changes.len(), stage.name()),
        };
        self.progress.region(&self.region, at);
        let make = |errand: Errand, change: Change| async move {
            errand.make(&change, way).await?;
            Ok(change)
        };
        let (made, result) = self.each(changes, make).await;
        // What was not made would be waited for in vain.
        let see = |errand: Errand, sight: Sight| async move { errand.see(&sight, way).await };
        let (_, seen) = self.each(sights(made), see).await;
        result.and(seen)
    }

    /// Does something with all of these, some at once: what came of it, and the first error.
    async fn each<T, V, F>(
        &self,
        things: Vec<T>,
        act: impl Fn(Errand, T) -> F,
    ) -> (Vec<V>, Result<(), RegionError>)
    where
        V: Send + 'static,
        F: Future<Output = Result<V, RegionError>> + Send + 'static,
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
        let (mut done, mut result) = (Vec::new(), Ok(()));
        while let Some(ended) = running.join_next().await {
            match ended.expect("a change does not panic") {
                Ok(value) => done.push(value),
                Err(error) => result = result.and(Err(error)),
            }
        }
        (done, result)
    }

    async fn make(&self, change: &Change, way: Way) -> Result<(), RegionError> {
        match change {
            Change::Policy { key, users } => return self.write_policy(key, users, way).await,
            Change::Catalog { readers, .. } => {
                return self.write_bucket_policy(readers, way).await;
            }
            Change::Grant { key, role } => {
                let name = grant_name(&self.publisher, role);
                self.kms.grant(key, role, &name).await?;
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
        let put = self.kms.put_policy(key, &text).await;
        put.map_err(|error| match error.kind {
            // KMS does not say which of the principals there is not.
            Kind::Invalid => RegionError::Put {
                users: users.iter().map(ToString::to_string).collect(),
                error,
            },
            _ => error.into(),
        })
    }

    /// The same with the policy of the publisher's bucket.
    async fn write_bucket_policy(
        &self,
        readers: &BTreeSet<Reader>,
        way: Way,
    ) -> Result<(), RegionError> {
        let before = self.catalog_policy().await?;
        let after = match way {
            Way::Add => before.with(readers),
            Way::Remove => before.without(readers),
        };
        if after == before {
            return Ok(());
        }
        let bytes = after.bytes();
        if bytes > catalog::MOST_BYTES {
            return Err(RegionError::Policy {
                region: self.region.clone(),
                why: format!(
                    "that of the bucket would have {bytes} bytes, and S3 takes {}",
                    catalog::MOST_BYTES
                ),
            });
        }
        let (bucket, _) = &self.catalog;
        let text = after.text();
        let put = bucket.s3().set_policy(bucket.address(), text.as_deref());
        put.await.map_err(|error| match error.kind {
            Kind::Invalid => RegionError::Put {
                users: readers.iter().map(ToString::to_string).collect(),
                error,
            },
            _ => error.into(),
        })
    }

    pub(super) async fn catalog_policy(&self) -> Result<CatalogPolicy, RegionError> {
        let (bucket, place) = &self.catalog;
        Ok(present::catalog_policy(bucket, place).await?)
    }

    pub(super) async fn policy(&self, key: &KeyArn) -> Result<KeyPolicy, RegionError> {
        let text = self.kms.policy(key).await?;
        Ok(parse_policy(key, &text, &self.publisher)?)
    }
}

/// Whether somebody loses a key by its policy who gets it by a grant: an account whose roles are
/// named from now on.
fn hands_over(plan: &RegionPlan) -> bool {
    let granted: BTreeSet<AccountId> = plan
        .add
        .iter()
        .filter_map(|change| match change {
            Change::Grant { role, .. } => Some(role.account()),
            _ => None,
        })
        .collect();
    plan.remove.iter().any(|change| match change {
        Change::Policy { users, .. } => users.iter().any(|user| match user {
            User::Account(account) => granted.contains(account),
            _ => false,
        }),
        _ => false,
    })
}
