//! Keeping a lease: the task that renews it until it is told to stop, or the lease is lost.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::terms::Terms;
use super::{LeaseError, Place};
use crate::aws::s3::{Condition, ETag, Put};
use crate::publish::holder::Holder;

/// A lease as it was written last.
#[derive(Debug)]
pub struct Renewal {
    place: Place,
    holder: Holder,
    acquired: OffsetDateTime,
    etag: Option<ETag>,
    /// Before the write was sent that was the last to succeed.
    sent: Instant,
}

/// What an attempt to renew came to.
enum Renewed {
    Yes,
    /// It may be tried again.
    NotYet(LeaseError),
    /// It is another's.
    Lost(LeaseError),
}

impl Renewal {
    /// A lease that is to be written now.
    pub fn begin(place: &Place, holder: &Holder) -> Renewal {
        Renewal {
            place: place.clone(),
            holder: holder.clone(),
            acquired: OffsetDateTime::now_utc(),
            etag: None,
            sent: Instant::now(),
        }
    }

    /// It was written.
    pub fn written(self, etag: ETag) -> Renewal {
        Renewal {
            etag: Some(etag),
            ..self
        }
    }

    /// Writes the lease as of now; gives up when its time is over.
    pub async fn write(&self, condition: &Condition) -> Result<Put, LeaseError> {
        let Place { bucket, of, ttl } = &self.place;
        let terms = Terms {
            holder: self.holder.clone(),
            acquired: self.acquired,
            renewed: OffsetDateTime::now_utc(),
            expires_seconds: ttl.as_secs(),
        };
        let left = self.left();
        Ok(bucket.put_lease(of, &terms, condition, left).await?)
    }

    /// What is left until nobody can count on the lease any more.
    fn left(&self) -> Duration {
        self.place.ttl.saturating_sub(self.sent.elapsed())
    }

    /// Renews the lease, three times in the time that it holds, until it is told to stop or the
    /// lease is lost. Returns what the lease was when it was last heard of.
    pub async fn go_on(
        mut self,
        tell: watch::Sender<Option<LeaseError>>,
        mut stop: oneshot::Receiver<()>,
    ) -> ETag {
        let pause = self.place.ttl / 3;
        loop {
            // A sender that is dropped is a lease that is dropped.
            let stopped = tokio::time::timeout(pause.min(self.left()), &mut stop).await;
            if stopped.is_ok() {
                break;
            }
            // A renewal that is cut off may be done or not; who gives the lease back sees to that.
            let renewed = tokio::select! {
                biased;
                _ = &mut stop => break,
                renewed = self.renew() => renewed,
            };
            let lost = match renewed {
                Renewed::Yes => continue,
                Renewed::NotYet(error) if self.left().is_zero() => {
                    let ttl = self.place.ttl.as_secs();
                    let why = format!("it could not be renewed for {ttl} s: {error}");
                    self.place.lost(why)
                }
                Renewed::NotYet(error) => {
                    tracing::warn!("the lease is not renewed yet: {error}");
                    continue;
                }
                Renewed::Lost(error) => error,
            };
            tracing::error!("{lost}");
            tell.send_replace(Some(lost));
            break;
        }
        self.etag.expect("it was written before this began")
    }

    async fn renew(&mut self) -> Renewed {
        let limit = self.left();
        match tokio::time::timeout(limit, self.renew_once()).await {
            Ok(Ok(renewed)) => renewed,
            Ok(Err(error)) => Renewed::NotYet(error),
            Err(_) => Renewed::NotYet(self.place.lost("S3 does not answer")),
        }
    }

    async fn renew_once(&mut self) -> Result<Renewed, LeaseError> {
        // Twice, since an earlier renewal whose answer was lost may have been done.
        for _ in 0..2 {
            let etag = self.etag.clone().expect("it was written before");
            let sent = Instant::now();
            if let Put::Written(etag) = self.write(&Condition::Unchanged(etag)).await? {
                self.etag = Some(etag);
                self.sent = sent;
                return Ok(Renewed::Yes);
            }
            match self.place.read().await? {
                Some((terms, etag, _)) if terms.holder.run == self.holder.run => {
                    self.etag = Some(etag);
                }
                Some((terms, ..)) => {
                    let why = format!("{} has taken it over", terms.holder);
                    return Ok(Renewed::Lost(self.place.lost(why)));
                }
                None => return Ok(Renewed::Lost(self.place.lost("somebody removed it"))),
            }
        }
        let why = "it is written by this run twice at once";
        Ok(Renewed::NotYet(self.place.lost(why)))
    }
}
