//! The manifest of the release that a run is at: changed in memory, written behind.
//!
//! Regions come to something at the same time. What is recorded while a write is under way goes with
//! the next one, so that seventeen Regions take a few writes, not seventeen in a row.

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::bucket::{Bucket, BucketError, Stored};
use super::manifest::{Place, ReleaseManifest};
use super::regions::{NotRecorded, Record};
use crate::aws::Region;

/// The manifest of the release that a run is at.
#[derive(Debug)]
pub(super) struct Book {
    bucket: Bucket,
    now: Mutex<Version>,
    written: Mutex<Written>,
}

#[derive(Debug, Clone)]
struct Version {
    manifest: ReleaseManifest,
    number: u64,
}

#[derive(Debug)]
struct Written {
    stored: Stored,
    number: u64,
}

impl Book {
    /// Of a manifest that lies in the bucket.
    pub(super) fn open(bucket: &Bucket, stored: Stored) -> Book {
        let manifest = stored.manifest.clone();
        let number = 0;
        Book {
            bucket: bucket.clone(),
            now: Mutex::new(Version { manifest, number }),
            written: Mutex::new(Written { stored, number }),
        }
    }

    /// The manifest as it is.
    pub(super) async fn manifest(&self) -> ReleaseManifest {
        self.now.lock().await.manifest.clone()
    }

    /// Whether this run changed anything.
    pub(super) async fn is_changed(&self) -> bool {
        self.now.lock().await.number > 0
    }

    /// Changes the manifest; returns when that, and all that was changed before, is written.
    ///
    /// # Errors
    /// It cannot be written, or somebody else has written it.
    pub(super) async fn change(
        &self,
        change: impl FnOnce(&mut ReleaseManifest),
    ) -> Result<(), BucketError> {
        let number = {
            let mut now = self.now.lock().await;
            let before = now.manifest.clone();
            change(&mut now.manifest);
            if now.manifest != before {
                now.number += 1;
            }
            now.number
        };
        let mut written = self.written.lock().await;
        if written.number >= number {
            return Ok(());
        }
        let now = self.now.lock().await.clone();
        // Under the lease nobody else writes it: who has, has the lease now.
        let stored = &mut written.stored;
        self.bucket.replace(stored, now.manifest).await?;
        written.number = now.number;
        Ok(())
    }
}

#[async_trait]
impl Record for Book {
    async fn place(&self, region: &Region, place: &Place) -> Result<(), NotRecorded> {
        let written = self.change(|manifest| {
            manifest.regions.insert(region.clone(), place.clone());
        });
        written.await.map_err(|error| NotRecorded {
            advice: error.advice(),
            source: Box::new(error),
        })
    }
}
