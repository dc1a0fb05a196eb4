//! One writer for a line, one run for a build, one that gives access: a lease in the bucket, renewed
//! while a run goes on.
//!
//! The lease is an object, `leases/<line>.json`, `leases/builds/<build>.json` or `leases/access.json`. It is made under `If-None-Match`, and renewed,
//! taken over and removed under `If-Match`, so that it changes hands only from a state that the new
//! holder has seen. It has expired when it was not renewed for its time, by S3's clock alone: when S3
//! says it was written, against what S3 says is now.
//!
//! A holder gives up before anybody may take over: it counts from before it sent the renewal, the
//! others from after S3 had it. What a lease cannot do is to stop a call that is under way; the
//! conditions under which manifests are written, and client tokens, see to that.

mod renewal;
mod terms;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::bucket::{Bucket, BucketError};
use super::holder::Holder;
use super::release::Line;
use crate::aws::s3::{Condition, ETag, Put};
use crate::aws::{Kind, Region};

use renewal::Renewal;
pub(super) use terms::Terms;
use terms::Verdict;

/// How long a lease holds after its last renewal, where the configuration says nothing.
pub const TTL: Duration = Duration::from_secs(60);

/// So many others may be faster before this gives up.
const MOST_ROUNDS: u32 = 32;

/// Why there is no lease, or none any more.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LeaseError {
    /// The bucket's.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Another run holds it.
    #[error(
        "{of} by {holder} since {}: its lease {object} in {region} holds until {} if it is not \
         renewed", told(.since), told(.expires)
    )]
    Held {
        /// What the lease is of.
        of: Of,
        /// Who.
        holder: Box<Holder>,
        /// Since when.
        since: OffsetDateTime,
        /// When it expires if it is not renewed.
        expires: OffsetDateTime,
        /// Where the lease is: `s3://…`.
        object: String,
        /// The bucket's Region.
        region: Region,
    },
    /// It was ours.
    #[error("the lease {object} in {region} is lost: {why}")]
    Lost {
        /// Where it is: `s3://…`.
        object: String,
        /// The bucket's Region.
        region: Region,
        /// How that came.
        why: String,
    },
}

impl LeaseError {
    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        match self {
            LeaseError::Bucket(error) => error.advice(),
            LeaseError::Held { expires, .. } => Some(format!(
                "wait until that run is done and run the same command again: what it has made is \
                 found; if it was killed, its lease expires at {}",
                told(expires)
            )),
            LeaseError::Lost { .. } => Some(
                "see that nothing else does the same, then run the same command again; \
                 it goes on where this one stopped"
                    .to_owned(),
            ),
        }
    }
}

/// What a lease is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Of {
    name: String,
    doing: &'static str,
    folder: &'static str,
}

impl Of {
    /// Publishing in a line.
    pub fn line(line: &Line) -> Of {
        Of {
            name: line.to_string(),
            doing: "published",
            folder: "",
        }
    }

    /// A build on an instance, by its id.
    pub fn build(id: &str) -> Of {
        Of {
            name: id.to_owned(),
            doing: "built",
            folder: "builds/",
        }
    }

    /// Giving access to customers.
    pub fn access() -> Of {
        Of {
            name: "access".to_owned(),
            doing: "changed",
            folder: "",
        }
    }

    /// The object's key, without the bucket's prefix.
    pub(super) fn key(&self) -> String {
        format!("leases/{}{}.json", self.folder, self.name)
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is being {}", self.name, self.doing)
    }
}

/// A lease that is held, and renewed by a task of its own.
///
/// If it is dropped it is not renewed any more, and expires: [`Lease::release`] gives it back.
#[derive(Debug)]
pub struct Lease {
    holder: Holder,
    place: Place,
    lost: watch::Receiver<Option<LeaseError>>,
    stop: Option<oneshot::Sender<()>>,
    renewing: JoinHandle<ETag>,
}

/// Where a lease is, and how long it holds.
#[derive(Debug, Clone)]
struct Place {
    bucket: Bucket,
    of: Of,
    ttl: Duration,
}

impl Lease {
    /// Takes a lease, from nobody, from a run whose lease has expired, or from one that
    /// is seen to be dead. A run that has it already gets it again. `ttl` is how long it holds after
    /// its last renewal, in whole seconds, at least one.
    ///
    /// # Errors
    /// Another run holds it; the bucket's.
    pub async fn acquire(
        bucket: &Bucket,
        of: Of,
        holder: Holder,
        ttl: Duration,
    ) -> Result<Lease, LeaseError> {
        let place = Place {
            bucket: bucket.clone(),
            of,
            ttl: Duration::from_secs(ttl.as_secs().max(1)),
        };
        let mut condition = Condition::Absent;
        for _ in 0..MOST_ROUNDS {
            let renewal = Renewal::begin(&place, &holder);
            if let Put::Written(etag) = renewal.write(&condition).await? {
                return Ok(Lease::held(place, holder, renewal.written(etag)));
            }
            condition = match place.read().await? {
                None => Condition::Absent,
                Some((terms, etag, age)) => {
                    match terms::judge(&terms, &holder, age, Holder::is_dead) {
                        Verdict::Held => return Err(place.held_by(terms, age)),
                        Verdict::Ours => {}
                        Verdict::Expired => tracing::info!(
                            "the lease {} of {} has expired: taken over",
                            place.url(),
                            terms.holder
                        ),
                        Verdict::Dead => tracing::info!(
                            "the lease {} of {} is taken over: that process is dead",
                            place.url(),
                            terms.holder
                        ),
                    }
                    Condition::Unchanged(etag)
                }
            };
        }
        Err(place.bucket.contended(&place.of.key()).into())
    }

    fn held(place: Place, holder: Holder, renewal: Renewal) -> Lease {
        let (tell, lost) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let renewing = tokio::spawn(renewal.go_on(tell, stopped));
        Lease {
            holder,
            place,
            lost,
            stop: Some(stop),
            renewing,
        }
    }

    /// Who holds it: the run that it was acquired for.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Ends when the lease is lost, and says how that came; as long as it is held, never.
    pub async fn lost(&self) -> LeaseError {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(error)) => error.clone(),
            // The task has ended without a word.
            _ => self.place.lost("it is not renewed any more"),
        }
    }

    /// Gives the lease back. One that was lost meanwhile is left to whoever has it.
    ///
    /// # Errors
    /// The bucket's; the lease then expires by itself. That it may not be removed is told, too: what
    /// comes next has to wait for it.
    pub async fn release(self) -> Result<(), LeaseError> {
        let object = self.place.bucket.url(&self.place.of.key());
        let released = self.give_back().await;
        if let Err(LeaseError::Bucket(BucketError::Aws(error))) = &released
            && error.kind == Kind::Denied
        {
            tracing::warn!("the lease {object} holds until it expires: {error}");
        }
        released
    }

    async fn give_back(mut self) -> Result<(), LeaseError> {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
        let Ok(etag) = (&mut self.renewing).await else {
            return Ok(());
        };
        if self.lost.borrow().is_some() || self.place.remove(&etag).await? {
            return Ok(());
        }
        // A renewal whose answer was lost may have been done: then it is still ours.
        if let Some((terms, etag, _)) = self.place.read().await?
            && terms.holder.run == self.holder.run
        {
            self.place.remove(&etag).await?;
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Place {
    fn url(&self) -> String {
        self.bucket.url(&self.of.key())
    }

    /// What the lease says, and how old that is.
    async fn read(&self) -> Result<Option<(Terms, ETag, time::Duration)>, LeaseError> {
        let found = self.bucket.lease(&self.of).await?;
        let found = found.map(|(terms, object)| {
            let age = self.bucket.now() - object.modified;
            (terms, object.etag, age)
        });
        Ok(found)
    }

    async fn remove(&self, etag: &ETag) -> Result<bool, LeaseError> {
        Ok(self.bucket.remove_lease(&self.of, etag).await?)
    }

    fn held_by(&self, terms: Terms, age: time::Duration) -> LeaseError {
        let left = terms.ttl() - age;
        LeaseError::Held {
            of: self.of.clone(),
            since: terms.acquired,
            expires: OffsetDateTime::now_utc() + left,
            holder: Box::new(terms.holder),
            object: self.url(),
            region: self.bucket.region().clone(),
        }
    }

    fn lost(&self, why: impl Into<String>) -> LeaseError {
        LeaseError::Lost {
            object: self.url(),
            region: self.bucket.region().clone(),
            why: why.into(),
        }
    }
}

/// A time as people read it: to the second.
fn told(moment: &OffsetDateTime) -> String {
    let moment = moment.replace_nanosecond(0).unwrap_or(*moment);
    moment.format(&Rfc3339).unwrap_or_default()
}
