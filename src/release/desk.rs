//! What releases are promoted and rolled back with.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::error::ReleaseError;
use crate::aws::{Aws, wait};
use crate::channels::settings::{known, names};
use crate::channels::store::Store;
use crate::channels::{Channel, Entry};
use crate::config::Config;
use crate::diff::secdb::Secdb;
use crate::interrupt::Stop;
use crate::publish::bucket::Bucket;
use crate::publish::complete::Publisher;
use crate::publish::holder::{Holder, new_run_id};
use crate::publish::lease::{self, Lease, LeaseError};
use crate::publish::manifest::ReleaseManifest;
use crate::publish::progress::Progress;
use crate::publish::release::ReleaseId;
use crate::share::customers::Customer;
use crate::share::survey::{Job, if_any};
use crate::sign::{KeyRing, SignError, Signer};

/// How long another run that moves something is waited for.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often it is asked for meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

/// What releases are promoted and rolled back with.
pub struct Desk<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The publisher's part of it, complete.
    pub publisher: &'a Publisher,
    /// The publisher's session.
    pub aws: &'a Aws,
    /// The names of the channels.
    pub names: Vec<String>,
    /// The customers; nothing where there is no file of them.
    pub customers: Option<Vec<Customer>>,
    /// The channels.
    pub store: Store,
    /// Which vulnerabilities versions fix, as far as it is known.
    pub secdb: Secdb,
    /// Who is told what goes on.
    pub progress: &'a Progress,
}

impl<'a> Desk<'a> {
    /// Reads what is configured, and asks KMS for the key where one of KMS signs.
    ///
    /// # Errors
    /// The configuration, the file of customers or the key cannot be used.
    pub async fn open(
        config: &'a Config,
        publisher: &'a Publisher,
        aws: &'a Aws,
        progress: &'a Progress,
    ) -> Result<Desk<'a>, ReleaseError> {
        let names = names(&config.channels)?;
        let bucket = publisher.bucket(aws);
        bucket.check().await?;
        let signer = Signer::open(&config.signing, aws, &publisher.home).await?;
        let ring = match &signer {
            Some(signer) => Some(signer.ring(&config.signing)),
            None if config.signing.trusted.is_empty() => None,
            None => Some(KeyRing::read(&config.signing.trusted)),
        };
        let ring = ring.transpose().map_err(SignError::from)?;
        let customers = if_any(&bucket, publisher, &config.share, &names).await?;
        Ok(Desk {
            config,
            publisher,
            aws,
            names,
            customers,
            secdb: secdb(config).await,
            store: Store {
                bucket,
                publisher: publisher.name.clone(),
                account: aws.account().clone(),
                signer,
                ring,
            },
            progress,
        })
    }

    /// The publisher's bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.store.bucket
    }

    /// The manifest of a release.
    ///
    /// # Errors
    /// There is none; the bucket's.
    pub async fn manifest(&self, release: &ReleaseId) -> Result<ReleaseManifest, ReleaseError> {
        let stored = self.bucket().manifest(release).await?;
        let stored = stored.ok_or_else(|| ReleaseError::NoRelease {
            release: release.clone(),
            bucket: self.bucket().url(""),
        })?;
        Ok(stored.manifest)
    }

    /// An entry into a channel, now, by this principal.
    pub fn entry(&self, reason: Option<&str>) -> Entry {
        Entry {
            // By AWS's clock: the machines that promote need not have the same time.
            at: self.bucket().now(),
            by: self.aws.identity().arn.clone(),
            reason: reason.map(str::to_owned),
            approved_by: None,
            in_place_of: None,
        }
    }

    /// What changes customers' access, where there are customers: with these channels in place of
    /// those in the bucket.
    pub fn job<'j>(&'j self, as_if: &'j [Channel]) -> Option<Job<'j>> {
        Some(Job {
            publisher: self.publisher,
            aws: self.aws,
            settings: &self.config.share,
            channels: &self.names,
            customers: self.customers.as_deref()?,
            as_if,
            remove_unknown: false,
            progress: self.progress,
        })
    }

    /// Moves a channel under the lease. `look` is given the channel as it was before the lease was
    /// waited for, and decides; it may be stopped. `act` does it and may not: it would not be known how
    /// far it came.
    ///
    /// # Errors
    /// There is no such channel, or it cannot be read; the lease's; those of both.
    pub async fn under_lease<P, T>(
        &self,
        doing: &str,
        channel: &str,
        mut stop: Stop,
        look: impl AsyncFnOnce(Channel) -> Result<P, ReleaseError>,
        act: impl AsyncFnOnce(P) -> Result<T, ReleaseError>,
    ) -> Result<T, ReleaseError> {
        known(&self.names, channel)?;
        let seen = tokio::select! {
            biased;
            how = stop.told() => return Err(ReleaseError::Interrupted(how)),
            seen = self.store.read(channel) => seen?,
        };
        let lease = tokio::select! {
            biased;
            how = stop.told() => return Err(ReleaseError::Interrupted(how)),
            lease = self.lease(doing) => lease?,
        };
        let decided = tokio::select! {
            biased;
            lost = lease.lost() => Err(lost.into()),
            how = stop.told() => Err(ReleaseError::Interrupted(how)),
            decided = look(seen) => decided,
        };
        let result = match decided {
            Ok(decided) => act(decided).await,
            Err(error) => Err(error),
        };
        if let Err(error) = lease.release().await {
            // It expires by itself.
            tracing::debug!("{error}");
        }
        result
    }

    /// Waits until no other run moves releases or access, and keeps others from it.
    ///
    /// # Errors
    /// Another run is at it for minutes; the bucket's.
    async fn lease(&self, doing: &str) -> Result<Lease, ReleaseError> {
        let run = new_run_id(OffsetDateTime::now_utc());
        let ttl = Duration::from_secs(self.publisher.lease_seconds);
        let begun = Instant::now();
        loop {
            let holder = Holder::here(&run, doing);
            match Lease::acquire(self.bucket(), lease::Of::access(), holder, ttl).await {
                Err(LeaseError::Held { holder, .. }) if begun.elapsed() < PATIENCE => {
                    self.progress.say(format!("waiting for {holder}"));
                    wait::pause(PAUSE).await;
                }
                lease => return Ok(lease?),
            }
        }
    }
}

/// The security databases of all branches that files have, and of the addresses: what cannot be read
/// is told, and nothing waits for it.
async fn secdb(config: &Config) -> Secdb {
    match Secdb::load(&config.diff.secdb, None).await {
        Ok(secdb) => secdb,
        Err(error) => {
            tracing::warn!("fixes of vulnerabilities are not told: {error}");
            Secdb::default()
        }
    }
}
