//! What AWS holds: who may launch which AMI, copy which snapshot and use which key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::policy::KeyPolicy;
use crate::aws::ec2::{Ec2, Image, ImageState, Party};
use crate::aws::kms::Kms;
use crate::aws::kms::sharing::Grant;
use crate::aws::{AccountId, AmiId, Aws, AwsError, KeyArn, Region, SnapshotId};

/// Calls that go on at once in a Region: AWS lets through a burst of a hundred, then twenty a
/// second. <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>
const AT_ONCE: usize = 32;

/// What a Region holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PresentRegion {
    /// Who may launch AMIs of releases.
    pub images: BTreeMap<AmiId, PresentImage>,
    /// Who may copy their snapshots.
    pub snapshots: BTreeMap<SnapshotId, BTreeSet<Party>>,
    /// Who may use keys; why one cannot be read.
    pub keys: BTreeMap<KeyArn, PresentKey>,
}

/// Who may launch an AMI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentImage {
    /// The release that it is tagged with, or its name.
    pub release: String,
    /// Accounts, organizations and units.
    pub launch: BTreeSet<Party>,
    /// Its snapshots.
    pub snapshots: BTreeSet<SnapshotId>,
}

/// Who may use a key.
#[derive(Debug, Clone, PartialEq)]
pub struct PresentKey {
    /// Its policy.
    pub policy: KeyPolicy,
    /// Its grants, but for those of services of AWS.
    pub grants: Vec<Grant>,
}

/// Why a Region's state is not known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// A call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A key's policy is none that this program can keep.
    #[error("the policy of {key} cannot be read: {why}")]
    Policy {
        /// The key.
        key: KeyArn,
        /// Why.
        why: String,
    },
}

impl ReadError {
    /// What to do next.
    pub fn advice(&self) -> String {
        match self {
            ReadError::Aws(error) => error.advice(),
            ReadError::Policy { .. } => {
                "look at it: `aws kms get-key-policy --policy-name default --key-id …`".to_owned()
            }
        }
    }
}

/// Reads what Regions hold, of all at once: all AMIs of the publisher's releases, and these keys.
pub async fn read(
    aws: &Aws,
    publisher: &str,
    regions: BTreeMap<Region, BTreeSet<KeyArn>>,
) -> BTreeMap<Region, Result<PresentRegion, ReadError>> {
    let mut asked = JoinSet::new();
    for (region, keys) in regions {
        let reader = Reader {
            ec2: aws.ec2(&region),
            kms: aws.kms(&region),
            account: aws.account().clone(),
            // The first part of the names of this publisher's AMIs: the account may have another.
            names: format!("{publisher}/"),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        };
        asked.spawn(async move { (region, reader.region(keys).await) });
    }
    let mut found = BTreeMap::new();
    while let Some(answer) = asked.join_next().await {
        let (region, present) = answer.expect("reading does not panic");
        found.insert(region, present);
    }
    found
}

/// Reads one Region.
#[derive(Clone)]
struct Reader {
    ec2: Ec2,
    kms: Kms,
    account: AccountId,
    names: String,
    at_once: Arc<Semaphore>,
}

impl Reader {
    async fn region(&self, keys: BTreeSet<KeyArn>) -> Result<PresentRegion, ReadError> {
        let (images, keys) = tokio::try_join!(self.images(), self.keys(keys))?;
        let (images, snapshots) = images;
        Ok(PresentRegion {
            images,
            snapshots,
            keys,
        })
    }

    async fn images(
        &self,
    ) -> Result<
        (
            BTreeMap<AmiId, PresentImage>,
            BTreeMap<SnapshotId, BTreeSet<Party>>,
        ),
        ReadError,
    > {
        let found = self.ec2.images_of_releases().await?;
        let ours: Vec<&Image> = found.iter().filter(|image| self.is_ours(image)).collect();
        let amis: BTreeSet<&AmiId> = ours.iter().map(|image| &image.id).collect();
        let snapshots: BTreeSet<_> = ours.iter().flat_map(|image| image.snapshots()).collect();
        let launch = |ec2: Ec2, ami: AmiId| async move { ec2.launch_permissions(&ami).await };
        let copy = |ec2: Ec2, id: SnapshotId| async move { ec2.volume_permissions(&id).await };
        let (launch, copy) = tokio::try_join!(self.each(amis, launch), self.each(snapshots, copy))?;
        let mut launch = launch;
        let present = |image: &&Image| {
            let present = PresentImage {
                release: image.release().unwrap_or_default().to_owned(),
                launch: launch.remove(&image.id)?,
                snapshots: image.snapshots().cloned().collect(),
            };
            Some((image.id.clone(), present))
        };
        Ok((ours.iter().filter_map(present).collect(), copy))
    }

    /// What is not available has no permissions that could be changed.
    fn is_ours(&self, image: &Image) -> bool {
        let is_own = image.owner.as_ref() == Some(&self.account);
        is_own && image.state == ImageState::Available && image.name.starts_with(&self.names)
    }

    /// What is asked of each thing; what is gone meanwhile is left out.
    async fn each<T, V, F>(
        &self,
        things: BTreeSet<&T>,
        ask: impl Fn(Ec2, T) -> F,
    ) -> Result<BTreeMap<T, V>, ReadError>
    where
        T: Clone + Ord + Send + 'static,
        V: Send + 'static,
        F: Future<Output = Result<Option<V>, AwsError>> + Send + 'static,
    {
        let mut asked = JoinSet::new();
        for thing in things {
            let answer = ask(self.ec2.clone(), thing.clone());
            let (thing, at_once) = (thing.clone(), Arc::clone(&self.at_once));
            asked.spawn(async move {
                let _turn = at_once.acquire_owned().await;
                answer.await.map(|value| (thing, value))
            });
        }
        let mut found = BTreeMap::new();
        while let Some(answer) = asked.join_next().await {
            if let (thing, Some(value)) = answer.expect("reading does not panic")? {
                found.insert(thing, value);
            }
        }
        Ok(found)
    }

    async fn keys(
        &self,
        keys: BTreeSet<KeyArn>,
    ) -> Result<BTreeMap<KeyArn, PresentKey>, ReadError> {
        let mut found = BTreeMap::new();
        for key in keys {
            let present = read_key(&self.kms, &key).await?;
            found.insert(key, present);
        }
        Ok(found)
    }
}

/// Who may use a key.
async fn read_key(kms: &Kms, key: &KeyArn) -> Result<PresentKey, ReadError> {
    let (policy, grants) = tokio::try_join!(kms.policy(key), kms.grants(key))?;
    let policy = KeyPolicy::parse(&policy).map_err(|why| ReadError::Policy {
        key: key.clone(),
        why: why.to_string(),
    })?;
    Ok(PresentKey { policy, grants })
}
