//! What is desired and what is there, looked up, and the plan that comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use tokio::task::JoinSet;

use super::customers::{self, Customer, Known};
use super::desired::{self, Desired, readers};
use super::error::ShareError;
use super::owners::{Owners, Record};
use super::plan::told::Told;
use super::plan::{Plan, Terms};
use super::policy::catalog::Place;
use super::present::{self, PresentRegion, ReadError};
use super::settings::{Readers, ShareSettings};
use crate::aws::s3::ETag;
use crate::aws::{Aws, KeyArn, Region};
use crate::channels::{Channel, store};
use crate::publish::bucket::{Bucket, BucketError, keys};
use crate::publish::complete::Publisher;
use crate::publish::manifest::ReleaseManifest;
use crate::publish::progress::Progress;
use crate::publish::release::ReleaseId;

/// Whose access is planned or changed, and how.
pub struct Job<'a> {
    /// The publisher's configuration.
    pub publisher: &'a Publisher,
    /// The publisher's session.
    pub aws: &'a Aws,
    /// `[share]`.
    pub settings: &'a ShareSettings,
    /// The names of the channels.
    pub channels: &'a [String],
    /// The customers.
    pub customers: &'a [Customer],
    /// Channels as they are to be: these count in place of those in the bucket.
    pub as_if: &'a [Channel],
    /// Whether access that the file does not know is taken away.
    pub remove_unknown: bool,
    /// Who is told what goes on.
    pub progress: &'a Progress,
}

/// What was looked up.
pub struct Survey {
    /// What is to be changed.
    pub plan: Plan,
    /// Whose is what.
    pub owners: Owners,
    /// Regions whose state could not be read.
    pub failed: BTreeMap<Region, ReadError>,
    pub(super) record: Record,
    pub(super) etag: Option<ETag>,
    /// The keys that customers are to use.
    pub(super) keys: BTreeSet<KeyArn>,
}

impl Survey {
    /// The plan as it is told.
    pub fn told(&self) -> Told {
        let failed = self.failed.iter();
        let failed = failed.map(|(region, error)| (region.clone(), error.to_string()));
        Told::new(&self.plan, &self.owners, failed.collect())
    }
}

/// Reads the file of customers.
///
/// # Errors
/// It is not there, or has mistakes.
pub fn read_customers(
    publisher: &Publisher,
    settings: &ShareSettings,
    channels: &[String],
) -> Result<Vec<Customer>, ShareError> {
    let path = &settings.customers;
    let text = std::fs::read_to_string(path).map_err(|source| ShareError::Read {
        path: path.clone(),
        source,
    })?;
    let known = Known {
        channels,
        regions: &publisher.regions,
    };
    let file = path.display().to_string();
    customers::parse(&file, &text, &known).map_err(ShareError::Mistakes)
}

/// The customers; none where there is no file of them and there never were any. A file that is gone, or
/// not where it is looked for, is no reason to forget whom access was given to.
///
/// # Errors
/// The file has mistakes, or is missing though there are customers; the bucket's.
pub async fn if_any(
    bucket: &Bucket,
    publisher: &Publisher,
    settings: &ShareSettings,
    channels: &[String],
) -> Result<Option<Vec<Customer>>, ShareError> {
    match read_customers(publisher, settings, channels) {
        Err(ShareError::Read { path, source }) if source.kind() == ErrorKind::NotFound => {
            match Record::read(bucket).await?.0.parties.is_empty() {
                true => Ok(None),
                false => Err(ShareError::Read { path, source }),
            }
        }
        customers => customers.map(Some),
    }
}

impl Job<'_> {
    /// Whether anybody is to read the catalog.
    pub fn serves_catalog(&self) -> bool {
        self.settings.catalog != Readers::Nobody
    }

    /// Where the catalog is.
    pub fn catalog(&self) -> Place {
        let Publisher {
            home,
            bucket,
            prefix,
            name,
            ..
        } = self.publisher;
        Place {
            bucket: bucket.clone(),
            prefix: keys::prefix(prefix),
            region: home.clone(),
            publisher: name.clone(),
        }
    }

    /// The publisher's bucket.
    pub fn bucket(&self) -> Bucket {
        let Publisher {
            home,
            bucket,
            prefix,
            ..
        } = self.publisher;
        Bucket::new(self.aws, home, bucket, prefix)
    }
}

/// Looks up what is desired and what is there, and plans.
///
/// # Errors
/// The bucket's. A Region that cannot be read is no error, but told.
pub async fn survey(job: &Job<'_>, bucket: &Bucket) -> Result<Survey, ShareError> {
    job.progress.say("reading the channels");
    let (channels, record) = tokio::join!(read_channels(job, bucket), Record::read(bucket));
    let (channels, (record, etag)) = (channels?, record?);
    // By AWS's clock, which promotions are dated by.
    let now = bucket.now();
    let wanted = desired::wanted(job.customers, &channels, now);
    let releases = read_releases(bucket, wanted).await?;
    let known = desired::Known {
        channels: &channels,
        releases: &releases,
        regions: &job.publisher.regions,
    };
    let mut desired = desired::desired(job.customers, known, now);
    let home = job.publisher.home.clone();
    let readers = readers(job.customers, job.settings.catalog, now);
    desired.regions.entry(home.clone()).or_default().readers = readers;
    let regions = places(job, &desired, &record);
    job.progress.say(format!(
        "reading who has access, in {} Regions",
        regions.len()
    ));
    let mut present: BTreeMap<Region, PresentRegion> = BTreeMap::new();
    let mut failed = BTreeMap::new();
    for (region, read) in present::read(job.aws, &job.publisher.name, regions).await {
        match read {
            Ok(found) => drop(present.insert(region, found)),
            Err(error) => drop(failed.insert(region, error)),
        }
    }
    // Where nobody is to read it and nobody could, it is nobody's business who else may read a bucket.
    if job.serves_catalog() || record.catalog {
        let catalog = present::catalog(bucket, &job.catalog()).await;
        match (catalog, present.get_mut(&home)) {
            (Ok(catalog), Some(region)) => region.catalog = Some(catalog),
            (Err(error), _) => drop(failed.insert(home.clone(), error)),
            // What could not be read of the Region is told already.
            (Ok(_), None) => {}
        }
    }
    present.retain(|region, _| !failed.contains_key(region));
    let owners = Owners::new(job.customers, &record);
    let terms = Terms {
        owners: &owners,
        publisher: &job.publisher.name,
        account: job.aws.account(),
        principal: &job.aws.identity().arn,
        launch_permissions: job.settings.launch_permission_quota,
        remove_unknown: job.remove_unknown,
    };
    let plan = Plan::new(&desired, &present, terms);
    let keys = desired.regions.values();
    let keys = keys.flat_map(|region| region.keys.keys().cloned());
    Ok(Survey {
        plan,
        keys: keys.collect(),
        owners,
        failed,
        record,
        etag,
    })
}

/// The channels that some customer gets, of those that there are.
async fn read_channels(job: &Job<'_>, bucket: &Bucket) -> Result<Vec<Channel>, BucketError> {
    let named = job.customers.iter().flat_map(|customer| &customer.channels);
    let named: BTreeSet<&String> = named.collect();
    let read = |name: String, bucket: Bucket| async move { store::find(&bucket, &name).await };
    let named = named.into_iter().cloned();
    let found = gather(named.map(|name| read(name, bucket.clone()))).await?;
    let found = found.into_iter().flatten();
    let is_given = |channel: &Channel| {
        let mut given = job.as_if.iter();
        given.any(|as_if| as_if.channel == channel.channel)
    };
    let mut channels: Vec<Channel> = found.filter(|channel| !is_given(channel)).collect();
    channels.extend_from_slice(job.as_if);
    Ok(channels)
}

async fn read_releases(
    bucket: &Bucket,
    wanted: BTreeSet<ReleaseId>,
) -> Result<BTreeMap<ReleaseId, ReleaseManifest>, BucketError> {
    let read = |id: ReleaseId, bucket: Bucket| async move { bucket.manifest(&id).await };
    let read = wanted.into_iter().map(|id| read(id, bucket.clone()));
    let found = gather(read).await?.into_iter().flatten();
    Ok(found
        .map(|stored| (stored.manifest.release.clone(), stored.manifest))
        .collect())
}

/// What all of them come to, asked for at once.
async fn gather<T, F>(asked: impl Iterator<Item = F>) -> Result<Vec<T>, BucketError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, BucketError>> + Send + 'static,
{
    let mut asked: JoinSet<_> = asked.collect();
    let mut found = Vec::new();
    while let Some(answer) = asked.join_next().await {
        found.push(answer.expect("reading does not panic")?);
    }
    Ok(found)
}

/// The Regions that are looked at, with the keys there: those that customers are to use, and those
/// that some could use before.
fn places(job: &Job<'_>, desired: &Desired, record: &Record) -> BTreeMap<Region, BTreeSet<KeyArn>> {
    let regions = job.publisher.regions.iter().cloned();
    let mut places: BTreeMap<Region, BTreeSet<KeyArn>> =
        regions.map(|region| (region, BTreeSet::new())).collect();
    for (region, wanted) in &desired.regions {
        let keys = places.entry(region.clone()).or_default();
        keys.extend(wanted.keys.keys().cloned());
    }
    for key in &record.keys {
        places.entry(key.region()).or_default().insert(key.clone());
    }
    places
}
