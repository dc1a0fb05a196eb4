//! What AWS holds: who may launch which AMI, copy which snapshot and use which key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::policy::catalog::{CatalogPolicy, Place};
use super::policy::{KeyPolicy, PolicyError};
use crate::aws::ec2::{Ec2, Image, ImageState, Party};
use crate::aws::kms::Kms;
use crate::aws::kms::sharing::Grant;
use crate::aws::{AccountId, AmiId, Aws, AwsError, KeyArn, Kind, Region, SnapshotId};
use crate::publish::bucket::Bucket;

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
    /// Who may use keys, of those that there are.
    pub keys: BTreeMap<KeyArn, PresentKey>,
    /// Who may read the catalog, if it is here and that is looked at.
    pub catalog: Option<PresentCatalog>,
}

/// Who may read the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct PresentCatalog {
    /// The bucket's policy.
    pub policy: CatalogPolicy,
    /// Whether the bucket's Block Public Access keeps everybody out.
    pub is_blocked: bool,
    /// Whether what is in the bucket is encrypted under a key of AWS's, which no other account may
    /// use.
    pub is_under_aws_key: bool,
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
    /// The bucket's policy is none that this program can keep.
    #[error("the policy of the bucket {bucket} cannot be read: {why}")]
    Bucket {
        /// The bucket.
        bucket: String,
        /// Why.
        why: PolicyError,
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
            ReadError::Bucket { bucket, .. } => {
                format!("look at it: `aws s3api get-bucket-policy --bucket {bucket}`")
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
            publisher: publisher.to_owned(),
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

/// Reads who may read the catalog.
///
/// # Errors
/// A call's; the bucket's policy cannot be read.
pub async fn catalog(bucket: &Bucket, place: &Place) -> Result<PresentCatalog, ReadError> {
    let (s3, address) = (bucket.s3(), bucket.address());
    let (policy, is_blocked, encryption) = tokio::join!(
        catalog_policy(bucket, place),
        s3.blocks_public_policies(address),
        s3.default_encryption(address)
    );
    let (policy, is_blocked, encryption) = (policy?, is_blocked?, encryption?);
    let is_under_aws_key = encryption.is_some_and(|encryption| encryption.is_under_aws_key());
    Ok(PresentCatalog {
        policy,
        is_blocked,
        is_under_aws_key,
    })
}

/// Reads the policy of the publisher's bucket.
///
/// # Errors
/// A call's; it cannot be read.
pub async fn catalog_policy(bucket: &Bucket, place: &Place) -> Result<CatalogPolicy, ReadError> {
    let text = bucket.s3().policy(bucket.address()).await?;
    CatalogPolicy::parse(text.as_deref(), place.clone()).map_err(|why| ReadError::Bucket {
        bucket: place.bucket.clone(),
        why,
    })
}

/// Reads one Region.
#[derive(Clone)]
struct Reader {
    ec2: Ec2,
    kms: Kms,
    account: AccountId,
    publisher: String,
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
            catalog: None,
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

    /// What is not available has no permissions that could be changed; and the account may have
    /// another publisher.
    fn is_ours(&self, image: &Image) -> bool {
        let is_own = image.owner.as_ref() == Some(&self.account);
        let publisher = image.name.split('/').next();
        is_own && image.state == ImageState::Available && publisher == Some(&self.publisher)
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
            // One that is gone can be used by nobody.
            if let Some(present) = self.key(&key).await? {
                found.insert(key, present);
            }
        }
        Ok(found)
    }

    async fn key(&self, key: &KeyArn) -> Result<Option<PresentKey>, ReadError> {
        let read = tokio::try_join!(self.kms.policy(key), self.kms.grants(key));
        let (policy, grants) = match read {
            Err(error) if error.kind == Kind::NotFound => return Ok(None),
            read => read?,
        };
        let policy = parse_policy(key, &policy, &self.publisher)?;
        Ok(Some(PresentKey { policy, grants }))
    }
}

/// Reads the text of a key's policy.
///
/// # Errors
/// It is no policy that this program can keep.
pub fn parse_policy(key: &KeyArn, text: &str, publisher: &str) -> Result<KeyPolicy, ReadError> {
    KeyPolicy::parse(text, publisher).map_err(|why| ReadError::Policy {
        key: key.clone(),
        why: why.to_string(),
    })
}
